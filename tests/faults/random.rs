//! A night of faults: processes are killed, stopped and cut off at random, and in the morning everything must be there.
//!
//! Goal: what the pipeline promises holds under any sequence of faults, and the flow resumes by itself within a minute
//! after each. Method: the faults are dealt from a deck, shuffled by a printed seed, one or two at a time, each while a
//! batch is under way; who was killed is started again, as a supervisor would, and nothing else is done. Afterwards the
//! tables are compared with the source's truth in every field, and the recorded history is judged. A night in which
//! little passed proves little: it fails.
//!
//! `SISDMK_TEST_SEED` repeats a night, `SISDMK_FAULT_SECONDS` makes it longer (`make soak`).

mod deck;
mod fleet;
mod night;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::history::{self, record};
use harness::tables::Tables;
use harness::{Stage, compare};

use crate::world;
use fleet::Fleet;
pub(crate) use night::read_only;

/// Health workers at the beginning.
const WORKERS: u64 = 1_500;
/// Workers that change before each round of faults.
const CHANGES: u64 = 120;
/// Kills with a transaction or a batch open that a night must have seen.
const OPEN_KILLS_MIN: usize = 10;
/// Share of the records, in percent, below which a night proves nothing.
const PASSED_MIN: usize = 95;
/// Longest time from the end of a fault to the end of the batch that it hit.
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// How long to go on dealing whole decks; none: one deck.
fn wanted() -> Option<Duration> {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, not a setting of the product")]
    let seconds = std::env::var("SISDMK_FAULT_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("SISDMK_FAULT_SECONDS is a number")))
}

#[test]
#[expect(clippy::print_stdout, reason = "what a night was like; the test runner shows it with a failure")]
fn a_night_of_faults_loses_nothing_and_doubles_nothing() -> Result<()> {
    let seed = crate::support::seed();
    let (_dir, mut system) = world::system(|options| {
        options.proxied = true;
        for (key, value) in [
            ("schedule.run_on_start", "false"),
            ("source.lookback", "\"20s\""),
            // Several transactions and several batches of the database in each round.
            ("processor.threads", "1"),
            ("processor.batch_records_max", "50"),
            ("sink.threads", "1"),
            ("sink.batch_rows_max", "50"),
            // A source that is cut off for some seconds is not given up.
            ("source.backoff_max", "\"4s\""),
        ] {
            options.settings.insert(key.into(), value.into());
        }
    })?;
    world::set_up(&mut system, WORKERS)?;
    let mut fleet = Fleet::start(system)?;
    let first = fleet.system.poll()?;
    Tables::open(&fleet.system)?.wait_closed(&first, world::BATCH_LIMIT)?;

    #[expect(clippy::disallowed_methods, reason = "how long a test runs is real time")]
    let began = Instant::now();
    let mut planned = WORKERS;
    let mut slowest = Duration::ZERO;
    let mut rounds = 0;
    for dealt in deck::nights(seed) {
        for hand in dealt {
            let round = night::round(&mut fleet, &hand, seed.wrapping_add(rounds), CHANGES)?;
            rounds += 1;
            planned += CHANGES;
            println!("{:>5.0} s  round {rounds}: {round}", began.elapsed().as_secs_f64());
            slowest = slowest.max(round.resumed);
            ensure!(round.resumed <= RESUME_LIMIT, "round {rounds}: the flow took {:?} to resume", round.resumed);
            // A whole night has every fault; a longer one may stop anywhere.
            if wanted().is_some_and(|wanted| began.elapsed() >= wanted) {
                break;
            }
        }
        if wanted().is_none_or(|wanted| began.elapsed() >= wanted) {
            break;
        }
    }

    let mut system = fleet.finish()?;
    let last = system.poll()?;
    Tables::open(&system)?.wait_closed(&last, world::BATCH_LIMIT)?;
    system.wait_read_everything(world::BATCH_LIMIT)?;
    let history = record::record(&system)?;
    let verdict = history::check(&history);
    let comparison = compare::compare(&system)?;
    let passed = history::passed_percent(&history, usize::try_from(planned)?);
    let open_kills = night::open_kills(&system)?;
    println!(
        "seed {seed}: {rounds} rounds in {:.0} s, {open_kills} kills with a transaction or a batch open, {planned} records planned, \
         {passed} % passed, flow resumed after {:.1} s at most",
        began.elapsed().as_secs_f64(),
        slowest.as_secs_f64()
    );
    println!("{verdict}{comparison}");
    assert!(verdict.is_clean(), "{verdict}");
    assert!(comparison.is_equal(), "{comparison}");
    assert!(passed >= PASSED_MIN, "only {passed} % of {planned} records passed");
    if wanted().is_none() {
        assert!(open_kills >= OPEN_KILLS_MIN, "only {open_kills} kills met something open");
    }
    for stage in Stage::ALL {
        system.stop(stage)?;
    }
    Ok(())
}
