//! The processor's transactions where the client library's own promise ends.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use harness::kafka_proxy::{KafkaProxy, Late};
use harness::tables::Tables;
use harness::{Stage, System, compare, topics, wait};
use schemas::worker;

use crate::{support, whole};

/// Kafka's codes for a request of a producer that was replaced.
const REFUSALS: [i16; 2] = [47, 90];

/// Goal: a request to commit that was delayed on the way ends no later transaction, and nothing is published twice.
/// Method: a proxy keeps the first such request of the processor and cuts its link. librdkafka sends it again and reports
/// success; the kept one is delivered when the next transaction has sent its records. Without a new producer the broker would
/// answer "done", and what is sent so far would be committed.
#[test]
fn a_commit_that_comes_late_ends_no_other_transaction() -> Result<()> {
    let proxy = KafkaProxy::start()?;
    let (_dir, mut system) = support::system_with(|options| {
        options.kafka_proxy_port = Some(proxy.address().port());
        let settings = [
            ("kafka.bootstrap_servers", format!("\"{}\"", proxy.address())),
            ("processor.threads", "1".to_owned()),
            ("processor.batch_records_max", "200".to_owned()),
        ];
        options.settings.extend(settings.map(|(key, value)| (key.to_owned(), value)));
    })?;
    let behind = system.stack.kafka_behind_proxy().context("a listener behind the proxy")?;
    proxy.lead_to(SocketAddr::from((Ipv4Addr::LOCALHOST, behind)));
    proxy.delay_commit_of("sisdmk-processor-");
    whole::start(&mut system, 2_500)?;

    let answer = wait::until("the late request to be delivered", whole::BATCH_LIMIT, || match proxy.late() {
        Late::Delivered(code) => Ok(Some(code)),
        Late::Failed(why) => anyhow::bail!("the proxy failed: {why}"),
        Late::Nothing | Late::Awaited(_) | Late::Kept { .. } | Late::Met { .. } => Ok(None),
    })?;
    assert!(REFUSALS.contains(&answer), "the broker took the late request: it answered {answer}");
    let mut tables = Tables::open(&system)?;
    let first = whole::first_batch(&mut tables)?;
    assert_eq!((&first["status"], &first["tied"]), (&"complete".into(), &true.into()), "{first}");
    nothing_twice(&system)?;
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    system.stop_stages()
}

/// Each raw record is in `sisdmk.clean` at most once.
fn nothing_twice(system: &System) -> Result<()> {
    let mut places = BTreeSet::new();
    for record in topics::read(system, "sisdmk.clean")? {
        let frame = record.value.context("a state")?;
        let schema_id = frame.get(1..5).and_then(|id| id.try_into().ok()).context("a frame")?;
        let worker = worker::decode(&frame, u32::from_be_bytes(schema_id))?;
        let place = (worker.raw_partition, worker.raw_offset);
        assert!(places.insert(place), "the raw record {place:?} was published twice");
    }
    assert!(places.len() > 100, "{} records", places.len());
    Ok(())
}

/// Goal: of two processes that an operator gave one name the newest works on, and the other one ends and says why.
/// Method: a second one is started while records trickle in.
#[test]
fn of_two_processors_with_one_name_the_newest_stays() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    system.set("processor.threads", "1")?;
    system.set("source.requests_per_second", "1")?;
    whole::start(&mut system, 300)?;
    let mut newest = system.another_processor("0")?;
    let older = system.process(Stage::Processor)?;
    let status = older.wait(whole::BATCH_LIMIT)?;
    let said = std::fs::read_to_string(older.log_path())?;
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("sisdmk-processor-0-0") && said.contains("processor.instance"), "{said}");
    assert!(newest.ended()?.is_none(), "the newest ended too: {}", newest.log_tail());

    let mut tables = Tables::open(&system)?;
    let first = whole::first_batch(&mut tables)?;
    assert_eq!(first["tied"], true, "{first}");
    nothing_twice(&system)?;
    assert!(newest.stop()?.success());
    system.stop(Stage::Producer)?;
    system.stop(Stage::Sink)
}

/// Goal: a lone processor whose transactions the broker ended, because they were open for too long, does them again, however
/// often that happens within a minute.
/// Method: it is stopped in the middle of a transaction until the broker has aborted that, twice.
#[test]
fn a_transaction_that_took_too_long_is_done_again() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    system.set("processor.threads", "1")?;
    system.set("processor.batch_wait", "\"1s\"")?;
    system.set("processor.transaction_timeout", "\"3s\"")?;
    system.set("source.requests_per_second", "2")?;
    whole::start(&mut system, 300)?;
    for _ in 0..2 {
        stop_for_too_long(&mut system)?;
    }
    let mut tables = Tables::open(&system)?;
    let first = whole::first_batch(&mut tables)?;
    assert_eq!((&first["status"], &first["tied"]), (&"complete".into(), &true.into()), "{first}");
    nothing_twice(&system)?;
    let said = std::fs::read_to_string(system.process(Stage::Processor)?.log_path())?;
    assert!(said.to_lowercase().contains("fenced"), "it was never fenced:\n{said}");
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    system.stop_stages()
}

/// Stops the processor while a transaction of its is open, until the broker has ended that.
fn stop_for_too_long(system: &mut System) -> Result<()> {
    let is_open = |system: &System| -> Result<bool> {
        Ok(topics::end(system, "sisdmk.clean", true)? < topics::end(system, "sisdmk.clean", false)?)
    };
    wait::until("the processor to be stopped in a transaction", whole::BATCH_LIMIT, || {
        if !is_open(system)? {
            return Ok(None);
        }
        system.process(Stage::Processor)?.signal(libc::SIGSTOP)?;
        // Its end may have been on the way: then it is over at once, or at least before the broker would end it.
        let early =
            wait::until("an end that was on the way", Duration::from_secs(1), || Ok((!is_open(system)?).then_some(())));
        if early.is_err() {
            return Ok(Some(()));
        }
        system.process(Stage::Processor)?.signal(libc::SIGCONT)?;
        Ok(None)
    })?;
    wait::until("the broker to end the transaction", whole::BATCH_LIMIT, || Ok((!is_open(system)?).then_some(())))?;
    system.process(Stage::Processor)?.signal(libc::SIGCONT)
}
