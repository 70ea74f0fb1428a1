//! Processes that are asked to end, that are there twice, and that crash for good.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::points::{Act, BATCH_READY, FLUSHED, ROWS_WRITTEN};
use harness::tables::Tables;
use harness::{Stage, compare, wait};

use crate::world::{self, BATCH_LIMIT, STEP_LIMIT};

/// Longest time a process may take to end after SIGTERM.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Goal: SIGTERM ends every stage within 30 s with exit code 0, with work in its hands; a second producer takes over and
/// the first one ends with exit code 3; a batch that a crash cut off is closed as what it was.
/// Method: one system. Each stage is asked to end in the middle of a batch and started again. Then a second producer is
/// started. Then a producer is killed with a slice open, a second time in the same batch, and the source refuses the token
/// before the third comes up: that batch did end badly, and must say so.
#[test]
fn processes_end_in_order_take_over_and_close_what_a_crash_cut_off() -> Result<()> {
    let (_dir, mut system) = world::system(|options| {
        options.settings.insert("processor.batch_records_max".into(), "50".into());
        options.settings.insert("sink.batch_rows_max".into(), "50".into());
        options.settings.insert("source.requests_per_second".into(), "20".into());
        options.settings.insert("schedule.run_on_start".into(), "false".into());
    })?;
    world::set_up(&mut system, 1_500)?;
    let mut tables = Tables::open(&system)?;
    for stage in [Stage::Sink, Stage::Processor, Stage::Producer] {
        system.start(stage)?;
    }
    let first = system.poll()?;
    for stage in Stage::ALL {
        drains(&mut system, &mut tables, &first, stage)?;
    }
    tables.wait_closed(&first, BATCH_LIMIT)?;

    // Another producer: it is the newer one, so it goes on and the older one gives way.
    let mut second = system.spawn_another(Stage::Producer, "second")?;
    second.wait_ready()?;
    let status = wait::until("the older producer to give way", STEP_LIMIT, || {
        // It notices with its next write, and may end before it has answered: then there is nobody to ask again.
        system.console(&["poll"])?;
        system.process(Stage::Producer)?.ended()
    })?;
    assert_eq!(status.code(), Some(3), "{}", system.process(Stage::Producer)?.log_tail());
    let told = std::fs::read_to_string(system.process(Stage::Producer)?.log_path())?;
    assert!(told.contains("another producer has taken over"), "{told}");
    assert!(second.ended()?.is_none(), "the newer one goes on");
    ensure!(second.stop()?.success(), "{}", second.log_tail());
    system.start(Stage::Producer)?;
    world::batch(&system, &mut tables, 100)?;

    // Cut off twice, and then refused.
    let points = system.fail_points(Stage::Producer)?;
    system.simulator()?.change(300)?;
    let cut_off = system.poll()?;
    points.arm(FLUSHED, Act::Kill)?;
    points.wait_hits(FLUSHED, 1, STEP_LIMIT)?;
    system.process(Stage::Producer)?.wait(STEP_LIMIT)?;
    system.simulator()?.faults(&serde_json::json!([{"kind": "status", "status": 401, "times": 1_000_000}]))?;
    system.start(Stage::Producer)?;
    let row = tables.wait_closed(&cut_off, BATCH_LIMIT)?;
    assert_eq!((row["status"].as_str(), row["tied"].as_bool()), (Some("auth_failed"), Some(true)), "{row}");
    system.simulator()?.faults(&serde_json::json!([]))?;
    let resumed = system.console(&["resume"])?;
    ensure!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    tables.wait_at_rest(BATCH_LIMIT)?;
    let last = system.poll()?;
    tables.wait_closed(&last, BATCH_LIMIT)?;
    let verdict = world::judge(&system)?;
    assert!(verdict.is_clean(), "{verdict}");
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    system.stop_stages()
}

/// Asks a stage to end while the batch is open.
fn drains(system: &mut harness::System, tables: &mut Tables, batch: &str, stage: Stage) -> Result<()> {
    let row = tables.batch(batch)?;
    ensure!(row.is_none_or(|row| row["finished_at"].is_null()), "the batch was over before {} was asked", stage.name());
    #[expect(clippy::disallowed_methods, reason = "the time to end is what is measured")]
    let asked = Instant::now();
    system.stop(stage).with_context(|| format!("{} and SIGTERM", stage.name()))?;
    ensure!(asked.elapsed() <= DRAIN_LIMIT, "{} took {:?} to end", stage.name(), asked.elapsed());
    system.start(stage)
}

/// Goal: a sink and a processor that stand still with work in their hands keep nobody waiting for longer than a minute,
/// and what they hold comes to nothing when they go on.
/// Method: two of each. One processor stops with a transaction flushed, one sink with its rows written and not committed;
/// the batch must end without them. Then they go on.
#[test]
fn who_stands_still_with_work_in_hand_keeps_nobody_waiting() -> Result<()> {
    let (_dir, mut system) = world::system(|options| {
        options.settings.insert("processor.threads".into(), "1".into());
        options.settings.insert("sink.threads".into(), "1".into());
        options.settings.insert("sink.batch_rows_max".into(), "40".into());
    })?;
    world::set_up(&mut system, 400)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;
    let mut processor = system.another_processor("second")?;
    let mut sink = system.spawn_another(Stage::Sink, "second")?;
    sink.wait_ready()?;

    for (stage, point) in [(Stage::Processor, FLUSHED), (Stage::Sink, ROWS_WRITTEN), (Stage::Sink, BATCH_READY)] {
        let points = system.fail_points(stage)?;
        points.arm(point, Act::Stop)?;
        system.simulator()?.change(150)?;
        let batch = system.poll()?;
        let stopped = points.wait_hits(point, 1, STEP_LIMIT)?;
        let row = tables.wait_closed(&batch, Duration::from_secs(60) + STEP_LIMIT)?;
        assert_eq!(row["tied"], true, "{row}");
        for process in [&mut processor, &mut sink] {
            if stopped.contains(&process.pid()) {
                process.signal(libc::SIGCONT)?;
            }
        }
        if stopped.contains(&system.process(stage)?.pid()) {
            system.process(stage)?.signal(libc::SIGCONT)?;
        }
        world::batch(&system, &mut tables, 50)?;
    }
    let verdict = world::judge(&system)?;
    assert!(verdict.is_clean(), "{verdict}");
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    wait::until("the zombies to be ready", STEP_LIMIT, || {
        Ok((processor.ended()?.is_none() && sink.ended()?.is_none()).then_some(()))
    })?;
    processor.stop()?;
    sink.stop()?;
    system.stop_stages()
}
