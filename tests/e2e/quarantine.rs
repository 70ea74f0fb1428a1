//! An answer of another shape: kept, told without values, and tried again once the profile is right.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use harness::tables::Tables;
use harness::{Stage, System, topics};
use serde_json::{Value, json};

use crate::{support, whole};

const PROFILE: &str = include_str!("../../producer/profiles/sdmk-modified.toml");

/// Goal: a source that changes its structure costs nothing: no dead letter, no gap, no untied count; the operator is told what
/// differs, and no value of a person is shown on the way.
/// Method: `NIK` gets another name, then the list of records does; the page in quarantine is looked at and tried with the old
/// profile, which must fail, and with a corrected one, which must bring everything.
#[test]
fn a_changed_structure_is_kept_told_and_mended_by_the_profile() -> Result<()> {
    let (_dir, mut system) = support::system_with(|options| {
        options.settings.insert("source.regions".into(), "[\"32\"]".into());
        options.settings.insert("source.backoff".into(), "\"1ms\"".into());
    })?;
    whole::start(&mut system, 2_000)?;
    let mut tables = Tables::open(&system)?;
    let first = whole::first_batch(&mut tables)?;
    assert_eq!((&first["status"], &first["tied"]), (&json!("complete"), &json!(true)), "{first}");
    let letters = topics::count(&system, "sisdmk.dlq")?;

    // Every record would be a dead letter.
    system
        .simulator()?
        .faults(&json!([{"kind": "rename_field", "from": "NIK", "to": "NO_KTP", "times": 1_000_000}]))?;
    let batch = tables.wait_closed(&system.poll_since("2000-01-01T00:00:00Z")?, whole::BATCH_LIMIT)?;
    assert_eq!((&batch["status"], &batch["tied"]), (&json!("format_changed"), &json!(true)), "{batch}");
    assert_eq!(topics::count(&system, "sisdmk.dlq")?, letters, "no dead letter comes of it");
    let incidents = system.producer_status()?["incidents"].clone();
    let detail = incidents[0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("data[].NIK is missing") && detail.contains("data[].NO_KTP is new ("), "{incidents}");

    system.simulator()?.change(500)?;
    system.simulator()?.faults(&json!([{"kind": "rename_field", "from": "data", "to": "rows", "times": 1_000_000}]))?;
    let batch = tables.wait_closed(&system.poll()?, whole::BATCH_LIMIT)?;
    assert_eq!((&batch["status"], &batch["tied"]), (&json!("format_changed"), &json!(true)), "{batch}");
    let listed = console(&system, &["quarantine", "list", "--json"], 0)?;
    let listed: Value = serde_json::from_str(&listed)?;
    let newest = &listed["result"]["items"][0];
    assert_eq!((&newest["code"], &newest["region"]), (&json!("records_missing"), &json!("32")), "{listed}");
    let id = newest["id"].as_str().context("an id")?.to_owned();
    assert!(id.starts_with(batch["batch_id"].as_str().unwrap_or("?")), "{id} {batch}");

    let shown = console(&system, &["quarantine", "show", &id], 0)?;
    assert!(shown.contains("data is missing; rows is new (list)") && shown.contains("rows[].NIK"), "{shown}");
    assert!(console(&system, &["quarantine", "retry", &id], 1)?.is_empty());
    shows_nobody(&mut system, &mut tables, &shown)?;

    let corrected = system.dir().join("corrected.toml");
    fs::write(&corrected, PROFILE.replace("records = \"data\"", "records = \"rows\""))?;
    system.set("source.profile", &format!("\"{}\"", corrected.display()))?;
    system.set("schedule.run_on_start", "false")?;
    system.stop(Stage::Producer)?;
    system.spawn(Stage::Producer)?;
    let retried = harness::wait::until("the retry to be taken", whole::BATCH_LIMIT, || {
        Ok(console(&system, &["quarantine", "retry", &id, "--json"], 0).ok())
    })?;
    let retried: Value = serde_json::from_str(&retried)?;
    let batch = retried["result"]["batch_id"].as_str().context("a batch")?;
    let batch = tables.wait_closed(batch, whole::BATCH_LIMIT)?;
    assert_eq!((&batch["status"], &batch["tied"]), (&json!("complete"), &json!(true)), "{batch}");
    assert!(batch["updated"].as_i64() > Some(20), "{batch}");
    assert_eq!(system.producer_status()?["incidents"], json!([]));
    nobody_is_old(&system, &mut tables)?;
    system.stop_stages()
}

/// Whoever is in the table is there in the state that the source has now.
fn nobody_is_old(system: &System, tables: &mut Tables) -> Result<()> {
    let rows = tables.json(
        "SELECT json_build_object('person_id', person_id, 'last_updated',
                to_char(last_updated AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))::text FROM sdmk.person",
    )?;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let truth: BTreeMap<String, String> = system
        .simulator()?
        .persons()?
        .map(|person| person.map(|person| (text(&person, "person_id"), text(&person, "last_updated"))))
        .collect::<Result<_>>()?;
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in &rows {
        assert_eq!(truth.get(&text(row, "person_id")), Some(&text(row, "last_updated")), "somebody is old");
    }
    Ok(())
}

/// Runs a verb, which must end with `code`; what it printed.
fn console(system: &System, arguments: &[&str], code: i32) -> Result<String> {
    let output = system.console(arguments)?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(
        output.status.code() == Some(code),
        "{arguments:?}: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(stdout)
}

/// No NIK and no name in what was shown, nor in the producer's log.
fn shows_nobody(system: &mut System, tables: &mut Tables, shown: &str) -> Result<()> {
    let log = fs::read_to_string(system.process(Stage::Producer)?.log_path())?;
    assert!(log.contains("incident opened") && log.contains("is missing"), "the log tells the incident");
    let people =
        tables.column("SELECT nik::text FROM sdmk.person UNION SELECT nama FROM sdmk.person WHERE length(nama) > 8")?;
    assert!(people.len() > 100);
    for value in people.into_iter().flatten() {
        assert!(!shown.contains(&value) && !log.contains(&value), "a value is shown");
    }
    Ok(())
}
