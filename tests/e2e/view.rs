//! The processor's current view, seen from outside.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use harness::breaking::Ending;
use harness::tables::Tables;
use harness::topics::Record;
use harness::{Stage, System, compare, topics, wait};
use schemas::worker::{self, Op};
use serde_json::Value;

use crate::{support, whole};

/// Since when everything is polled again.
const EVER: &str = "2000-01-01T00:00:00Z";

/// Goal: `op` is true, what is known is not published again, and what the view knows is what the topic says: also after
/// `kill -9`, and after somebody else wrote there.
/// Method: everything is polled again and again; in between the processor is killed, records change, a second processor takes half
/// of the partitions and gives them back, and a tombstone is written by hand.
#[test]
fn only_news_passes_and_op_says_what_kind() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    whole::start(&mut system, 1_200)?;
    let mut tables = Tables::open(&system)?;
    let first = whole::first_batch(&mut tables)?;
    let persons = first["inserted"].as_i64().context("inserted")?;
    assert!(persons > 1_000, "{first}");
    assert_eq!(ops(&system)?, BTreeMap::from([(Op::Create.as_str(), persons)]));

    nothing_is_new(&mut system, &mut tables, persons)?;
    system.kill_and_restart(Stage::Processor)?;
    nothing_is_new(&mut system, &mut tables, persons)?;
    let known = || support::metric(&system, Stage::Processor, "sisdmk_view_persons");
    wait::until("the view to hold everybody", support::ASK_LIMIT, || Ok((known()? == persons).then_some(())))?;
    system.simulator()?.change(200)?;
    let changed = tables.wait_closed(&system.poll()?, whole::BATCH_LIMIT)?;
    let count = |name: &str| changed[name].as_i64().with_context(|| format!("no {name}"));
    // A bad record that has become a good one is the first of its person.
    let (inserted, updated) = (count("inserted")?, count("updated")?);
    assert!(updated > 100 && changed["tied"] == true, "{changed}");
    assert_eq!(count("clean")?, inserted + updated, "only news is published: {changed}");
    let expected = BTreeMap::from([(Op::Create.as_str(), persons + inserted), (Op::Update.as_str(), updated)]);
    assert_eq!(ops(&system)?, expected);
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");

    away_and_back(&mut system, &mut tables, persons + inserted)?;
    erased_by_somebody_else(&system, &mut tables)?;
    replayed(&system, &mut tables)?;
    system.stop_stages()
}

/// Everything is polled once more, and not one record is published.
fn nothing_is_new(system: &mut System, tables: &mut Tables, persons: i64) -> Result<()> {
    let row = tables.wait_closed(&system.poll_since(EVER)?, whole::BATCH_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    assert_eq!((row["clean"].as_i64(), row["processor_stale"].as_i64()), (Some(0), Some(0)), "{row}");
    assert!(row["processor_equal"].as_i64() >= Some(persons), "{row}");
    Ok(())
}

/// How many records of the topic say which `op`.
fn ops(system: &System) -> Result<BTreeMap<&'static str, i64>> {
    let mut ops = BTreeMap::new();
    for record in topics::read(system, "sisdmk.clean")? {
        let frame = record.value.context("no tombstone yet")?;
        *ops.entry(op(&frame)?.as_str()).or_default() += 1;
    }
    Ok(ops)
}

fn op(frame: &[u8]) -> Result<Op> {
    let schema_id = frame.get(1..5).and_then(|id| id.try_into().ok()).context("a frame")?;
    Ok(worker::decode(frame, u32::from_be_bytes(schema_id))?.op)
}

/// Half of the partitions go to another processor and come back: of them only what was written meanwhile is read, and not what was
/// known before.
fn away_and_back(system: &mut System, tables: &mut Tables, persons: i64) -> Result<()> {
    let of_first = |system: &System, name: &str| support::metric(system, Stage::Processor, name);
    let read = |system: &System| of_first(system, "sisdmk_view_positions_read_total");
    let known = |system: &System| of_first(system, "sisdmk_view_persons");
    wait::until("the view to hold everybody", support::ASK_LIMIT, || Ok((known(system)? == persons).then_some(())))?;
    let before = read(system)?;
    assert!(before * 5 > persons * 4, "after its start it has read nearly everything: {before} for {persons}");
    let mut other = system.another_processor("other")?;
    wait::until("partitions to go", whole::BATCH_LIMIT, || Ok((known(system)? < persons).then_some(())))?;
    let left = known(system)?;
    // Nobody new: what comes back is as many as before.
    system.simulator()?.change(40)?;
    let row = tables.wait_closed(&system.poll()?, whole::BATCH_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    assert!(other.stop()?.success(), "{}", other.log_tail());
    wait::until("partitions to come back", whole::BATCH_LIMIT, || Ok((known(system)? >= persons).then_some(())))?;
    let tail = read(system)? - before;
    assert!(tail > 0, "the other one has written something");
    assert!(tail < (persons - left) / 3, "{tail} positions were read for {} persons", persons - left);
    Ok(())
}

/// A tombstone that the processor did not write is noticed while it runs; the next record of that person is its first again.
fn erased_by_somebody_else(system: &System, tables: &mut Tables) -> Result<()> {
    let alive = || support::metric(system, Stage::Processor, "sisdmk_view_province_persons");
    let before = tables.number("SELECT count(*) FROM sdmk.person")?;
    wait::until("the view to be told of", support::ASK_LIMIT, || Ok((alive()? == before).then_some(())))?;
    let records = topics::read(system, "sisdmk.clean")?;
    let gone = records.last().context("a record")?;
    system.publish("sisdmk.clean", &[Record { value: None, ..gone.clone() }], Ending::Commit)?;
    wait::until(
        "the view to know of the tombstone",
        support::ASK_LIMIT,
        || Ok((alive()? == before - 1).then_some(())),
    )?;
    let row = tables.wait_closed(&system.poll_since(EVER)?, whole::BATCH_LIMIT)?;
    assert_eq!((row["clean"].as_i64(), row["updated"].as_i64()), (Some(1), Some(1)), "{row}");
    let records = topics::read(system, "sisdmk.clean")?;
    let back = records.iter().rfind(|record| record.key == gone.key).context("it came back")?;
    assert_eq!(op(back.value.as_deref().context("a state")?)?, Op::Create);
    let comparison = compare::rows(system)?;
    assert!(comparison.is_equal(), "{comparison}");
    Ok(())
}

/// A replay of what is known is published again, because it may have died in the sink.
fn replayed(system: &System, tables: &mut Tables) -> Result<()> {
    let current: Vec<Value> = tables.json(
        "SELECT jsonb_build_object('partition', raw_partition, 'offset', raw_offset)::text FROM sdmk.person LIMIT 1",
    )?;
    let current = current.first().context("a person")?;
    let mut raw = topics::read(system, "sisdmk.raw")?
        .into_iter()
        .find(|raw| current["partition"] == raw.partition && current["offset"] == raw.offset)
        .context("the row's raw record")?;
    let before = topics::count(system, "sisdmk.clean")?;
    raw.headers.insert("sisdmk-replay-of".to_owned(), "sisdmk.dlq/0/0".to_owned());
    raw.headers.insert("sisdmk-batch-id".to_owned(), support::BATCH_BY_HAND.to_owned());
    let place = (raw.partition, raw.key.clone());
    system.publish("sisdmk.raw", &[raw], Ending::Commit)?;
    wait::until("the replay to be published", whole::BATCH_LIMIT, || {
        Ok((topics::count(system, "sisdmk.clean")? > before).then_some(()))
    })?;
    let records = topics::read(system, "sisdmk.clean")?;
    let again = records.iter().rfind(|record| (record.partition, record.key.clone()) == place);
    let again = again.and_then(|record| record.value.as_deref()).context("published")?;
    assert_eq!(op(again)?, Op::Update);
    Ok(())
}
