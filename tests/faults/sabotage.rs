//! The checker notices when a promise is broken, and finds nothing wrong in the same run when it is kept.
//!
//! Each scenario runs once as it is and once for each promise that it can bring to light. The sabotage is in the stage, the
//! circumstances are those of any night: a process that ends with a transaction open, records that are delivered again, a
//! sink that was thought dead.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use harness::history::{Kind, Verdict};
use harness::kafka_proxy::{KafkaProxy, Late};
use harness::points::{Act, BATCH_READY, ENDED, FLUSHED};
use harness::tables::Tables;
use harness::{Stage, System, topics, wait};

use crate::world::{self, BATCH_LIMIT, STEP_LIMIT};

type Broken = Option<(Stage, &'static str)>;

/// Starts everything but the processor, for which `least` records wait then.
fn with_records_waiting(system: &mut System, workers: u64, least: i64) -> Result<Tables> {
    world::set_up(system, workers)?;
    let mut tables = Tables::open(system)?;
    for stage in [Stage::Sink, Stage::Producer] {
        system.start(stage)?;
    }
    world::first_batch(&mut tables)?;
    wait::until("records to wait for the processor", BATCH_LIMIT, || {
        Ok((topics::count(system, "sisdmk.raw")? > least).then_some(()))
    })?;
    Ok(tables)
}

/// The processor dies at the point that was armed; another one takes over, and the history is judged.
fn killed_and_judged(system: &mut System, tables: &mut Tables) -> Result<Verdict> {
    system.fail_points(Stage::Processor)?.wait_hits(FLUSHED, 1, STEP_LIMIT)?;
    ensure!(!system.process(Stage::Processor)?.wait(STEP_LIMIT)?.success(), "it was killed");
    system.start(Stage::Processor)?;
    tables.wait_at_rest(BATCH_LIMIT)?;
    judged(system)
}

fn judged(system: &mut System) -> Result<Verdict> {
    let verdict = world::judge(system)?;
    system.stop_stages()?;
    Ok(verdict)
}

fn assert_sound(verdict: &Verdict) {
    assert!(verdict.is_clean(), "nothing was broken: {verdict}");
}

fn assert_caught(verdict: &Verdict, kind: Kind) {
    assert!(verdict.has(kind), "{kind:?} was not noticed: {verdict}");
}

/// The processor ends with `kill -9` while everything of a transaction is on the broker and its end was not asked for.
fn processor_killed_in_a_transaction(broken: Broken) -> Result<Verdict> {
    let (_dir, mut system) = world::system(|options| {
        options.sabotage = broken;
        options.settings.insert("processor.threads".into(), "1".into());
        // A batch that lost records is closed all the same, and soon.
        options.settings.insert("ledger.deadline".into(), "\"20s\"".into());
    })?;
    let mut tables = with_records_waiting(&mut system, 400, 300)?;
    system.fail_points(Stage::Processor)?.arm(FLUSHED, Act::Kill)?;
    system.spawn(Stage::Processor)?;
    killed_and_judged(&mut system, &mut tables)
}

#[test]
fn a_processor_killed_in_a_transaction_leaves_a_sound_history() -> Result<()> {
    assert_sound(&processor_killed_in_a_transaction(None)?);
    Ok(())
}

#[test]
fn positions_committed_before_their_records_are_caught() -> Result<()> {
    let broken = Some((Stage::Processor, "offset-before-produce"));
    assert_caught(&processor_killed_in_a_transaction(broken)?, Kind::Lost);
    Ok(())
}

#[test]
fn a_sink_that_reads_what_was_never_committed_is_caught() -> Result<()> {
    let broken = Some((Stage::Sink, "read-uncommitted"));
    assert_caught(&processor_killed_in_a_transaction(broken)?, Kind::AbortedRead);
    Ok(())
}

/// Everything on `sisdmk.clean` is delivered to the sink a second time, old states after new ones.
fn delivered_again(broken: Broken) -> Result<Verdict> {
    let (_dir, mut system) = world::system(|options| {
        options.sabotage = broken;
        // Old and new states of one person in different transactions.
        options.settings.insert("sink.batch_rows_max".into(), "20".into());
    })?;
    world::set_up(&mut system, 200)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;
    world::batch(&system, &mut tables, 150)?;
    system.wait_read_everything(BATCH_LIMIT)?;
    system.stop(Stage::Sink)?;
    // As an operator could set it.
    tables.execute(
        "BEGIN;
         UPDATE sink.offset SET next_offset = 0 WHERE topic = 'sisdmk.clean';
         DELETE FROM audit.stage_report WHERE stage = 'sink';
         COMMIT",
    )?;
    system.start(Stage::Sink)?;
    judged(&mut system)
}

#[test]
fn old_states_that_come_again_change_nothing() -> Result<()> {
    assert_sound(&delivered_again(None)?);
    Ok(())
}

#[test]
fn old_states_written_over_new_ones_are_caught() -> Result<()> {
    assert_caught(&delivered_again(Some((Stage::Sink, "no-newer-guard")))?, Kind::Backwards);
    Ok(())
}

/// A sink stands still with a batch in its hands for so long that the group gives its partitions to another one, which
/// writes that batch and more; then it goes on.
fn zombie_sink(broken: Broken) -> Result<Verdict> {
    let (_dir, mut system) = world::system(|options| {
        options.sabotage = broken;
        options.settings.insert("sink.threads".into(), "1".into());
        options.settings.insert("sink.batch_rows_max".into(), "40".into());
    })?;
    world::set_up(&mut system, 300)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;

    let points = system.fail_points(Stage::Sink)?;
    points.arm(BATCH_READY, Act::Stop)?;
    system.simulator()?.change(200)?;
    let second = system.poll()?;
    points.wait_hits(BATCH_READY, 1, STEP_LIMIT)?;
    let mut other = system.spawn_another(Stage::Sink, "other")?;
    tables.wait_closed(&second, BATCH_LIMIT)?;
    world::batch(&system, &mut tables, 100)?;
    system.process(Stage::Sink)?.signal(libc::SIGCONT)?;
    // It tries what it has in its hands first. With the promise kept it says so; without, the position is its own again.
    wait::until("the zombie to try", STEP_LIMIT, || {
        let log = std::fs::read_to_string(system.process(Stage::Sink)?.log_path())?;
        let refused = log.contains("going on from the position of the table");
        let back = tables.number("SELECT count(*) FROM witness.move WHERE next_offset < was")? > 0;
        Ok((refused || back).then_some(()))
    })?;
    world::batch(&system, &mut tables, 100)?;
    let verdict = world::judge(&system)?;
    other.stop()?;
    system.stop_stages()?;
    Ok(verdict)
}

#[test]
fn a_sink_that_was_thought_dead_writes_nothing_when_it_comes_back() -> Result<()> {
    assert_sound(&zombie_sink(None)?);
    Ok(())
}

#[test]
fn a_position_moved_whatever_it_was_is_caught() -> Result<()> {
    assert_caught(&zombie_sink(Some((Stage::Sink, "no-compare-and-set")))?, Kind::Jumped);
    Ok(())
}

/// The processor's first request to commit is delayed on the way: it is sent again and answered, and the first one arrives in
/// the middle of the next transaction, when its records are on the broker and its positions are not. Then the processor ends
/// with `kill -9` before it has asked to end that one.
fn commit_that_comes_late(broken: Broken) -> Result<Verdict> {
    let proxy = KafkaProxy::start()?;
    let (_dir, mut system) = world::system(|options| {
        options.sabotage = broken;
        options.kafka_proxy_port = Some(proxy.address().port());
        for (key, value) in [
            ("kafka.bootstrap_servers", format!("\"{}\"", proxy.address())),
            ("processor.threads", "1".to_owned()),
            ("processor.batch_records_max", "100".to_owned()),
            ("ledger.deadline", "\"20s\"".to_owned()),
        ] {
            options.settings.insert(key.into(), value);
        }
    })?;
    let behind = system.stack.kafka_behind_proxy().context("a listener behind the proxy")?;
    proxy.lead_to(SocketAddr::from((Ipv4Addr::LOCALHOST, behind)));
    let mut tables = with_records_waiting(&mut system, 600, 500)?;
    let points = system.fail_points(Stage::Processor)?;
    proxy.delay_commit_until_told("sisdmk-processor-");
    // Between the two transactions it stands still for a moment, so that the kill meets the second one.
    points.arm(ENDED, Act::Stop)?;
    system.spawn(Stage::Processor)?;
    points.wait_hits(ENDED, 1, STEP_LIMIT)?;
    let before = topics::end(&system, "sisdmk.clean", false)?;
    points.arm(FLUSHED, Act::Kill)?;
    system.process(Stage::Processor)?.signal(libc::SIGCONT)?;
    wait::until("the second transaction to have records and no positions", STEP_LIMIT, || {
        let has_records = topics::end(&system, "sisdmk.clean", false)? > before;
        Ok((has_records && matches!(proxy.late(), Late::Met { .. })).then_some(()))
    })?;
    let code = proxy.deliver()?;
    ensure!((code == 0) == broken.is_some(), "the late request was answered with {code}");
    killed_and_judged(&mut system, &mut tables)
}

#[test]
fn a_commit_that_comes_late_ends_nothing_else() -> Result<()> {
    assert_sound(&commit_that_comes_late(None)?);
    Ok(())
}

#[test]
fn a_producer_that_goes_on_after_an_unclear_end_is_caught() -> Result<()> {
    assert_caught(&commit_that_comes_late(Some((Stage::Processor, "reuse-producer")))?, Kind::Torn);
    Ok(())
}
