//! A dead letter that cannot be written: its partition waits, nothing is passed over, the others go on.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use harness::breaking::Ending;
use harness::tables::Tables;
use harness::topics::Record;
use harness::{Stage, System, compare, topics, wait};

use crate::{support, whole};

const RAW: &str = "sisdmk.raw";
const DLQ: &str = "sisdmk.dlq";
/// As `sisdmk setup` makes it.
const DLQ_BYTES_MAX: &str = "1245184";

/// Goal: where `sisdmk.dlq` refuses a letter, or is not there, the partition of that letter stands still and says so, its
/// position stays, the other partitions go on, and everything goes on by itself once the topic is mended.
/// Method: a record that is no JSON is put on partition 0 while the topic takes next to nothing, and once more while it is gone.
#[test]
fn a_letter_that_cannot_be_written_stops_its_partition_alone() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    system.setup()?;
    let mut good = support::simulator(800);
    good.bad_share = 0.0;
    system.start_simulator(&good)?;
    for stage in [Stage::Sink, Stage::Processor, Stage::Producer] {
        system.start(stage)?;
    }
    let mut tables = Tables::open(&system)?;
    let first = whole::first_batch(&mut tables)?;
    assert_eq!(first["tied"], true, "{first}");

    system.alter_topic(DLQ, "max.message.bytes", "100")?;
    let bad = poison(&system, 1)?;
    let batch = others_go_on(&mut system, bad, "refuses a record as too large")?;
    system.alter_topic(DLQ, "max.message.bytes", DLQ_BYTES_MAX)?;
    goes_on(&system, &mut tables, &batch, 1)?;

    system.delete_topic(DLQ)?;
    let bad = poison(&system, 2)?;
    let batch = others_go_on(&mut system, bad, "is not there")?;
    system.setup()?;
    goes_on(&system, &mut tables, &batch, 2)?;

    let comparison = compare::rows(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    system.stop_stages()
}

fn broken(number: usize) -> Vec<u8> {
    format!("{{ broken {number}").into_bytes()
}

/// Puts a record that is no JSON on partition 0; its offset.
fn poison(system: &System, number: usize) -> Result<i64> {
    let mut record = topics::read(system, RAW)?.into_iter().next().context("a raw record")?;
    record.headers.insert("sisdmk-batch-id".to_owned(), support::BATCH_BY_HAND.to_owned());
    let value = broken(number);
    system.publish(RAW, &[Record { partition: 0, key: None, value: Some(value.clone()), ..record }], Ending::Commit)?;
    let raw = topics::read(system, RAW)?;
    let found = raw.iter().rfind(|record| record.value.as_ref() == Some(&value));
    Ok(found.context("the record that was just written")?.offset)
}

/// Partition 0 waits before `bad`, and says why; a batch of changes passes on every other one. The batch.
fn others_go_on(system: &mut System, bad: i64, why: &str) -> Result<String> {
    wait::until("the partition to stand still", whole::BATCH_LIMIT, || {
        let (ready, text) = support::readiness(system, Stage::Processor)?;
        Ok((!ready && text.contains(&format!("sisdmk.raw/0: sisdmk.dlq {why}"))).then_some(()))
    })?;
    assert_eq!(support::metric(system, Stage::Processor, "sisdmk_processor_partition_stopped")?, 1);
    system.simulator()?.change(200)?;
    let batch = system.poll()?;
    let partitions = wait::until("the other partitions to go on", whole::BATCH_LIMIT, || {
        let records = topics::read(system, "sisdmk.clean")?;
        let of_batch = records.iter().filter(|record| record.headers.get("sisdmk-batch-id") == Some(&batch));
        let partitions: BTreeSet<i32> = of_batch.map(|record| record.partition).collect();
        Ok((partitions.len() >= 3).then_some(partitions))
    })?;
    assert_eq!(partitions, BTreeSet::from([1, 2, 3]));
    assert_eq!(
        topics::committed(system, "sisdmk-processor", RAW, 0)?,
        Some(bad),
        "the position stays before the record"
    );
    Ok(batch)
}

/// Nothing but time passes, and the letter is there with its exact bytes, the batch is closed and ties, and all is well.
fn goes_on(system: &System, tables: &mut Tables, batch: &str, number: usize) -> Result<()> {
    let row = tables.wait_closed(batch, whole::BATCH_LIMIT)?;
    assert_eq!((&row["status"], &row["tied"]), (&"complete".into(), &true.into()), "{row}");
    let letters = topics::read(system, DLQ)?;
    let found = letters.iter().filter(|letter| letter.value.as_ref() == Some(&broken(number))).count();
    assert_eq!(found, 1, "the letter is there once");
    wait::until("the processor to be ready", whole::BATCH_LIMIT, || {
        Ok(support::readiness(system, Stage::Processor)?.0.then_some(()))
    })?;
    assert_eq!(support::metric(system, Stage::Processor, "sisdmk_processor_partition_stopped")?, 0);
    Ok(())
}
