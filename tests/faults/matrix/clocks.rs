//! Our hosts' clocks are wrong, and jump.

use anyhow::{Context as _, Result, ensure};
use harness::tables::Tables;
use harness::{Stage, System, compare};

use crate::world::{self, BATCH_LIMIT};

const WORKERS: u64 = 1_000;
const CHANGES: u64 = 100;
/// Raw records of a batch beyond which it was a flood: what changed, what the look-back brings once more, and nothing else.
const RAW_MAX: i64 = 500;

/// Goal: a clock that is two hours behind, then ahead, then right again, and its jumps, skip nothing, fetch nothing without need, and
/// stop no batch; an incident says that the clock is wrong, until it is right.
/// Method: the clock is set under all stages while they run, and a stage is started anew under it. It is `platform::clock`, the only one
/// that our code has; servers, source and the client of Kafka keep the true one.
#[test]
fn a_clock_that_is_two_hours_wrong_skips_nothing_and_floods_nobody() -> Result<()> {
    let (_dir, mut system) = world::system(|options| {
        options.own_clock = true;
        options.settings.insert("source.lookback".into(), "\"10s\"".into());
    })?;
    world::set_up(&mut system, WORKERS)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;

    for (seconds, restarted) in [(-7_200, Stage::Producer), (7_200, Stage::Processor), (0, Stage::Sink)] {
        // Under all of them, in the middle of nothing; then one starts under it.
        system.set_clock(seconds)?;
        one_batch(&system, &mut tables, seconds)?;
        let status = system.producer_status()?;
        let incidents = status["incidents"].as_array().context("incidents")?;
        let is_told = incidents.iter().any(|incident| incident["kind"] == "clock");
        ensure!(is_told == (seconds != 0), "{seconds} s: {status}");
        system.stop(restarted)?;
        // Not waited for: with a wrong clock a producer that works is not ready.
        system.spawn(restarted)?;
        one_batch(&system, &mut tables, seconds)?;
    }
    let verdict = world::judge(&system)?;
    assert!(verdict.is_clean(), "{verdict}");
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    system.stop_stages()
}

fn one_batch(system: &System, tables: &mut Tables, seconds: i64) -> Result<()> {
    system.simulator()?.change(CHANGES)?;
    let row = tables.wait_closed(&system.poll()?, BATCH_LIMIT)?;
    assert_eq!((&row["status"], &row["tied"]), (&"complete".into(), &true.into()), "{seconds} s: {row}");
    let raw = row["raw"].as_i64().context("raw")?;
    ensure!(raw >= i64::try_from(CHANGES)? / 2 && raw <= RAW_MAX, "{seconds} s: {raw} records were fetched");
    // When a row was fetched is the source's time, whatever our clock says; Postgres has the true one.
    let elsewhen = tables.number(
        "SELECT count(*) FROM sdmk.person WHERE fetched_at NOT BETWEEN now() - interval '1 hour' AND now() + interval '1 minute'",
    )?;
    ensure!(elsewhen == 0, "{seconds} s: {elsewhen} rows say that they were fetched at another time than they were");
    Ok(())
}
