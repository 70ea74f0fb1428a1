//! The connector of `connect/`: a second database that follows `sisdmk.clean`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::breaking::Ending;
use harness::connect::DATABASE;
use harness::tables::Tables;
use harness::topics::Record;
use harness::{System, topics, wait};
use serde_json::Value;
use stack::Server;

use crate::{support, whole};

/// Longest time until what is on the topic is in the second database: on a busy machine the worker takes its time.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(120);
/// The lists, which are left out, and what a row of a table from which rows are deleted cannot have.
const ONLY_OURS: [&str; 3] = ["pendidikan", "pelatihan", "deleted_at"];
/// What the second database needs for the rule which version is newer.
const ONLY_THEIRS: [&str; 3] = ["last_updated_us", "fetched_at_us", "stamp"];

/// Goal: the configuration in `connect/` keeps a second database equal to `sdmk.person`: first pull, changes, deletes; it
/// believes no aborted transaction and no older version; and when it fails, it shows nobody's data.
/// Method: two batches compared in every common column; then records written by hand into one partition, in an order that
/// makes the last one the proof that the ones before were read; then a table that refuses every row.
#[test]
fn a_second_database_follows_the_topic() -> Result<()> {
    let (_dir, mut system) = support::system_with(|options| options.connect = true)?;
    whole::start(&mut system, 600)?;
    system.start_connector()?;
    let mut ours = Tables::open(&system)?;
    let mut theirs = Tables::open_database(&system, DATABASE)?;
    let columns = common_columns(&mut ours, &mut theirs)?;

    whole::first_batch(&mut ours)?;
    let first = wait_equal(&system, &mut ours, &mut theirs, &columns)?;
    assert!(first.len() > 400, "{} rows", first.len());

    system.simulator()?.change(200)?;
    let second = ours.wait_closed(&system.poll()?, whole::BATCH_LIMIT)?;
    assert!(second["updated"].as_i64() > Some(50), "{second}");
    let followed = wait_equal(&system, &mut ours, &mut theirs, &columns)?;
    assert_ne!(first, followed, "an update arrived");

    // What follows is written past our own stages, which would have their own opinion of it.
    system.stop_stages()?;
    let gone = by_hand(&system, &mut theirs, &columns)?;
    failure_shows_nobody(&mut system, &mut ours, &mut theirs, gone)
}

/// An aborted tombstone, an older version and a real tombstone, in this order; gives the record of the person that is gone.
fn by_hand(system: &System, theirs: &mut Tables, columns: &str) -> Result<Record> {
    let mut by_person: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in topics::read(system, "sisdmk.clean")? {
        by_person.entry(record.key.clone().context("a key")?).or_default().push(record);
    }
    let older = by_person
        .values()
        .find(|versions| versions.first().map(|v| &v.value) != versions.last().map(|v| &v.value))
        .and_then(|versions| versions.first())
        .context("somebody with two versions")?
        .clone();
    let mut others = by_person
        .values()
        .filter_map(|versions| versions.last())
        .filter(|record| record.partition == older.partition && record.key != older.key);
    let kept = others.next().context("a second person of the partition")?;
    let gone = others.next().context("a third one")?;
    let tombstone = |record: &Record| Record { value: None, ..record.clone() };

    let before = rows(theirs, "sdmk_worker", columns)?;
    system.publish("sisdmk.clean", &[tombstone(kept)], Ending::Abort)?;
    system.publish("sisdmk.clean", &[older, tombstone(gone)], Ending::Commit)?;
    let gone_id = gone.key.clone().context("a key")?;
    let after = wait::until("the tombstone's row to go", ARRIVAL_LIMIT, || {
        let after = rows(theirs, "sdmk_worker", columns)?;
        Ok((!after.contains_key(&gone_id)).then_some(after))
    })?;
    let mut expected = before;
    expected.remove(&gone_id).context("it was there")?;
    assert!(after == expected, "more changed than the one row that was deleted");
    Ok(gone.clone())
}

/// A row that the database refuses stops the task, and neither log nor status names a NIK or the password.
fn failure_shows_nobody(system: &mut System, ours: &mut Tables, theirs: &mut Tables, record: Record) -> Result<()> {
    theirs.execute("ALTER TABLE sdmk_worker ADD CONSTRAINT refuses_every_row CHECK (false) NOT VALID")?;
    system.publish("sisdmk.clean", &[record], Ending::Commit)?;
    let status = wait::until("the task to fail", ARRIVAL_LIMIT, || {
        let (state, text) = system.connector_status()?;
        Ok((state == "FAILED").then_some(text))
    })?;
    let log = fs::read_to_string(system.stack.server(Server::Connect).log_path())?;
    assert!(log.contains("refuses_every_row"), "the log says why");
    for said in [&status, &log] {
        assert!(!said.contains(system.connector_password()), "the password is shown");
        for nik in ours.column("SELECT nik::text FROM sdmk.person")?.into_iter().flatten() {
            assert!(!said.contains(&nik), "a NIK is shown");
        }
    }
    Ok(())
}

/// The columns of both tables, which must be all but those named above.
fn common_columns(ours: &mut Tables, theirs: &mut Tables) -> Result<String> {
    let columns = |tables: &mut Tables, table: &str, without: [&str; 3]| -> Result<BTreeSet<String>> {
        let (schema, name) = table.split_once('.').context("schema.table")?;
        let all = tables.column(&format!(
            "SELECT column_name::text FROM information_schema.columns
             WHERE table_schema = '{schema}' AND table_name = '{name}'"
        ))?;
        Ok(all.into_iter().flatten().filter(|column| !without.contains(&column.as_str())).collect())
    };
    let common = columns(ours, "sdmk.person", ONLY_OURS)?;
    assert_eq!(common, columns(theirs, "public.sdmk_worker", ONLY_THEIRS)?);
    assert!(common.len() > 20, "{common:?}");
    Ok(Vec::from_iter(common).join(", "))
}

/// Rows by person.
fn rows(tables: &mut Tables, table: &str, columns: &str) -> Result<BTreeMap<String, Value>> {
    let rows = tables.json(&format!("SELECT to_jsonb(t)::text FROM (SELECT {columns} FROM {table}) t"))?;
    rows.into_iter().map(|row| Ok((row["person_id"].as_str().context("person_id")?.to_owned(), row))).collect()
}

/// Waits until both tables hold the same; a task that has failed is told at once.
fn wait_equal(
    system: &System,
    ours: &mut Tables,
    theirs: &mut Tables,
    columns: &str,
) -> Result<BTreeMap<String, Value>> {
    wait::until("the second database to be equal", ARRIVAL_LIMIT, || {
        let (state, text) = system.connector_status()?;
        anyhow::ensure!(state != "FAILED", "the connector failed: {text}");
        let expected = rows(ours, "sdmk.person", columns)?;
        Ok((rows(theirs, "sdmk_worker", columns)? == expected).then_some(expected))
    })
}
