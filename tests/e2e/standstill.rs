//! A dead letter that cannot be written: its partition waits, nothing is passed over, the others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::breaking::Ending;
use harness::tables::Tables;
use harness::topics::Record;
use harness::{Stage, System, compare, topics, wait};

use crate::{support, whole};

const RAW: &str = "sisdmk.raw";
const CLEAN: &str = "sisdmk.clean";
const DLQ: &str = "sisdmk.dlq";
/// What a record that cannot be written may cost the partitions beside it.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(5);
/// As `sisdmk setup` makes it.
const DLQ_BYTES_MAX: &str = "1245184";

/// Goal: where `sisdmk.dlq` refuses a letter, or is not there, the partition of that letter stands still and says so, its
/// position stays, the other partitions wait for it for 5 s at most and go on, and everything goes on by itself once the topic is
/// mended.
/// Method: a record that is no JSON is put on partition 0 while the topic takes next to nothing, and once more while it is gone;
/// in the same moment every other partition gets a record, whose time to be done is measured. Then the same is done to the sink.
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
    // The processor's producer knows the topic from the letter before; that of the sink has never heard of it.
    let bad = poison(&system, 2)?;
    let batch = others_go_on(&mut system, bad, "is not there")?;
    unreadable_for_the_sink(&mut system, &mut tables)?;
    system.setup()?;
    goes_on(&system, &mut tables, &batch, 2)?;

    let comparison = compare::rows(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    system.stop_stages()
}

fn broken(number: usize) -> Vec<u8> {
    format!("{{ broken {number}").into_bytes()
}

/// Puts a record that is no JSON on partition 0 and one that is known on every other; its offset, once the others are done.
fn poison(system: &System, number: usize) -> Result<i64> {
    let raw = topics::read(system, RAW)?;
    let mut records = one_of_each(&raw)?;
    for record in &mut records {
        record.headers.insert("sisdmk-batch-id".to_owned(), support::BATCH_BY_HAND.to_owned());
    }
    let value = broken(number);
    records[0] = Record { key: None, value: Some(value.clone()), ..records[0].clone() };
    neighbours_go_on(system, RAW, &records, |partition| topics::committed(system, "sisdmk-processor", RAW, partition))?;
    let raw = topics::read(system, RAW)?;
    let found = raw.iter().rfind(|record| record.value.as_ref() == Some(&value));
    Ok(found.context("the record that was just written")?.offset)
}

/// The same for the sink: on `sisdmk.clean` a frame that is none.
fn unreadable_for_the_sink(system: &mut System, tables: &mut Tables) -> Result<()> {
    let mut records = one_of_each(&topics::read(system, CLEAN)?)?;
    records[0].value = Some(b"no frame".to_vec());
    neighbours_go_on(system, CLEAN, &records, |partition| {
        let position =
            format!("SELECT next_offset FROM sink.offset WHERE topic = '{CLEAN}' AND partition = {partition}");
        Ok(Some(tables.number(&position)?))
    })?;
    wait::until("the sink to say why partition 0 waits", support::ASK_LIMIT, || {
        let (ready, text) = support::readiness(system, Stage::Sink)?;
        Ok((!ready && text.contains(DLQ)).then_some(()))
    })?;
    Ok(())
}

/// A record of each partition, the first one of partition 0.
fn one_of_each(records: &[Record]) -> Result<Vec<Record>> {
    (0..4)
        .map(|partition| records.iter().find(|record| record.partition == partition).cloned().context("a record"))
        .collect()
}

/// Writes the records in one transaction, and waits until all but that of partition 0 are done: not longer than they may wait.
#[expect(clippy::print_stdout, reason = "the figure; the test runner shows it with a failure")]
fn neighbours_go_on(
    system: &System,
    topic: &str,
    records: &[Record],
    mut position: impl FnMut(i32) -> Result<Option<i64>>,
) -> Result<()> {
    system.publish(topic, records, Ending::Commit)?;
    #[expect(clippy::disallowed_methods, reason = "how long the others wait is what is measured")]
    let since = Instant::now();
    // In partition and offset order: the last of each counts. Behind it there are markers of transactions, which are nothing to
    // be done.
    let written = topics::read(system, topic)?;
    let mut ends: BTreeMap<i32, i64> = written.iter().map(|record| (record.partition, record.offset + 1)).collect();
    ends.remove(&0);
    let mut last = None;
    let done = wait::until("the other partitions to be done", support::ASK_LIMIT, || {
        for (partition, end) in &ends {
            let at = position(*partition)?;
            if at < Some(*end) {
                last = Some((*partition, at, *end));
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    done.with_context(|| format!("{topic}: partition, position and end: {last:?}"))?;
    let waited = since.elapsed();
    ensure!(waited <= NEIGHBOURS_WAIT_MAX, "{topic}: the other partitions waited {waited:?}");
    println!("{topic}: the other partitions waited {waited:?}");
    Ok(())
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
