//! The system as containers, checked without a container engine.
//!
//! Goal: what can be known of `docker-compose.yml`, `Dockerfile` and `monitoring/` from reading them and from
//! running our own programs is known before anybody starts them. Method: every check returns faults; the files
//! as they are have none, and each of many small changes to them (`broken`) has the fault that belongs to it.
//! What this cannot know: whether the images exist under these tags, and how their programs behave.

mod alerts;
mod broken;
mod deployment;
mod hardening;
mod image;
mod monitoring;
mod programs;
mod references;
mod schema;
mod scripts;

use deployment::Deployment;

/// Everything that is wrong, each with the place and what is expected there.
fn faults(deployment: &Deployment) -> Vec<String> {
    [schema::faults, hardening::faults, references::faults, programs::faults, image::faults, monitoring::faults]
        .iter()
        .flat_map(|check| check(deployment))
        .collect()
}

#[test]
fn the_files_as_they_are_have_no_fault() {
    let faults = faults(&Deployment::read());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
