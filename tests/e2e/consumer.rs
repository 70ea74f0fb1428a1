//! The example in `examples/python/`: another program, in another language, that reads `sisdmk.clean`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use harness::breaking::Ending;
use harness::tables::Tables;
use harness::topics::Record;
use harness::{System, topics};
use sha2::{Digest as _, Sha256};

use crate::{support, whole};

/// Goal: the example prints what is on the topic: every person's last state, deletes, no aborted transaction, no personal value.
/// Method: a batch, then a tombstone that counts and one that does not; what it prints is compared with `sdmk.person`.
#[test]
fn the_python_example_prints_what_is_on_the_topic() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    whole::start(&mut system, 400)?;
    let mut tables = Tables::open(&system)?;
    let first = whole::first_batch(&mut tables)?;
    assert_eq!(first["status"], "complete", "{first}");
    system.stop_stages()?;

    let records = topics::read(&system, "sisdmk.clean")?;
    let [kept, gone] = records.get(..2).context("two records")? else { bail!("two records") };
    let tombstone = |record: &Record| Record { value: None, ..record.clone() };
    system.publish("sisdmk.clean", &[tombstone(kept)], Ending::Abort)?;
    system.publish("sisdmk.clean", &[tombstone(gone)], Ending::Commit)?;

    let text = consume(&system, &["--max", &(records.len() + 1).to_string()])?;
    assert_eq!(text.lines().count(), records.len() + 1, "one line for each record");
    let mut last = BTreeMap::new();
    for line in text.lines() {
        let (person, state) = line.split_once('\t').context("person and state")?;
        last.insert(person.to_owned(), state.to_owned());
    }
    let keys: BTreeSet<&str> = records.iter().filter_map(|record| record.key.as_deref()).collect();
    assert_eq!(last.keys().map(String::as_str).collect::<BTreeSet<_>>(), keys);

    let gone = gone.key.as_deref().context("a key")?;
    assert_eq!(last.remove(gone).as_deref(), Some("deleted"));
    let expected = tables.json(&format!(
        "SELECT jsonb_build_array(person_id, concat_ws(E'\\t', 'c', status_aktif, coalesce(kode_wilayah, '-'),
             to_char(last_updated AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"+00:00\"')))::text
         FROM sdmk.person WHERE person_id <> '{gone}'"
    ))?;
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
    assert!(expected.len() > 300, "{} persons", expected.len());
    assert_eq!(last, expected);

    for nik in tables.column("SELECT nik::text FROM sdmk.person")?.into_iter().flatten() {
        assert!(!text.contains(&nik), "a NIK is printed");
    }
    // Somebody who only wants to look.
    assert_eq!(consume(&system, &["--max", "3", "--group", "another"])?.lines().count(), 3);
    Ok(())
}

/// Runs the example against a system; what it printed.
fn consume(system: &System, more: &[&str]) -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python");
    let output = Command::new(python(&folder.join("requirements.txt"))?)
        .arg(folder.join("consume_clean.py"))
        .args([&system.stack.bootstrap_servers(), &system.stack.registry_url()])
        .args(more)
        .output()?;
    if !output.status.success() {
        bail!("the example ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A Python that has what the file asks for: a virtual environment, made once and kept beside the servers' jars.
fn python(requirements: &Path) -> Result<PathBuf> {
    let version = run(Command::new("python3").args(["-c", "import sys; print(sys.executable, sys.version)"]))?;
    let mut digest = Sha256::new();
    digest.update(fs::read(requirements)?);
    digest.update(&version);
    let key: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let cache = stack::cache_dir()?;
    let kept = cache.join(format!("python-{key}"));
    let program = |dir: &Path| dir.join("bin/python");
    if !program(&kept).exists() {
        fs::create_dir_all(&cache)?;
        // Complete or not at all, also with several tests at the same time.
        let new = tempfile::tempdir_in(&cache)?;
        run(Command::new("python3").args(["-m", "venv"]).arg(new.path()))?;
        run(Command::new(program(new.path()))
            .args(["-m", "pip", "install", "-q", "--require-hashes", "-r"])
            .arg(requirements))?;
        let new = new.keep();
        if fs::rename(&new, &kept).is_err() {
            // Somebody was faster.
            fs::remove_dir_all(&new)?;
        }
    }
    Ok(program(&kept))
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
