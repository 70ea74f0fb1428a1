//! The stack against the real servers: what survives, what stops, what is refused.
//!
//! Needs Java 17, PostgreSQL and, the first time, Maven. Each test has a stack of its own in a
//! temporary directory; none of them waits for luck: conditions have deadlines.

mod clients;
mod command_line;
mod faults;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use stack::{Options, Stack};
use tempfile::TempDir;

/// A stack that is deleted at the end of its test, and the directory it lies in.
fn stack() -> (Stack, TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let stack = Stack::up(options(dir.path())).expect("the stack comes up");
    (stack, dir)
}

fn options(dir: &Path) -> Options {
    Options {
        postgres_fsync: false,
        postgres_shared_buffers_mb: 32,
        kafka_heap_mb: 256,
        discard: true,
        ..Options::new(dir.join("stack"))
    }
}

/// Waits for a condition; the time limit is generous, because the machine may be busy.
#[expect(clippy::disallowed_methods, reason = "a deadline, in a crate that uses no other of ours")]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited 60 s until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Pids of all servers, and of all their children, that work in a directory or name it.
fn processes_of(dir: &Path) -> Vec<u32> {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    let text = dir.to_string_lossy().into_owned();
    // Under root the data of Postgres may lie elsewhere.
    let postgres = fs::canonicalize(dir.join("data/postgres")).ok();
    let entries = fs::read_dir("/proc").expect("this is Linux");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let proc = Path::new("/proc").join(pid.to_string());
            let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
            let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"));
            let works_there = fs::read_link(proc.join("cwd"))
                .is_ok_and(|cwd| cwd.starts_with(&dir) || postgres.as_ref().is_some_and(|data| cwd == *data));
            let names_it =
                fs::read(proc.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&text));
            *pid != std::process::id() && !zombie && (works_there || names_it)
        })
        .collect()
}
