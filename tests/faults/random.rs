//! A night of faults: processes are killed, stopped and cut off at random, and in the morning everything must be there.
//!
//! Goal: what the pipeline promises holds under any sequence of faults, and the flow resumes by itself within a minute
//! after each. Method: the faults are dealt from a deck, shuffled by a printed seed, one or two at a time, each while a
//! batch is under way; who was killed is started again, as a supervisor would, and nothing else is done. Afterwards the
//! tables are compared with the source's truth in every field, and the recorded history is judged. A night in which
//! little passed proves little: it fails.
//!
//! `SISDMK_TEST_SEED` repeats a night, `SISDMK_FAULT_SECONDS` makes it longer (`make soak`): then both judges look after each
//! deck, what was counted is told then and at the end, and a machine that has other work may be slower than promised.

mod account;
mod deck;
mod fleet;
mod night;

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::history::{self, record};
use harness::tables::Tables;
use harness::{Stage, System, compare};

use crate::world;
use account::Account;
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
/// Longest time from the end of a fault to the end of the batch that it hit; in a long run it is told and ends nothing.
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// How long to go on dealing whole decks; none: one deck.
pub(crate) fn wanted() -> Option<Duration> {
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

    let mut account = Account::new(seed, WORKERS);
    let played = play(&mut fleet, seed, &mut account);
    // Also of a run that failed: how far it came.
    println!("{account}");
    played?;
    let mut system = fleet.finish()?;
    for stage in Stage::ALL {
        system.stop(stage)?;
    }
    Ok(())
}

/// Deals and plays until it is enough.
#[expect(clippy::print_stdout, reason = "what a night was like; the test runner shows it with a failure")]
fn play(fleet: &mut Fleet, seed: u64, account: &mut Account) -> Result<()> {
    for (deck, dealt) in deck::nights(seed).enumerate() {
        if deck > 0 {
            println!("{account}");
        }
        for hand in dealt {
            let number = u64::try_from(account.rounds())?;
            let round = night::round(fleet, &hand, seed.wrapping_add(number), CHANGES)?;
            account.add(&hand, &round, CHANGES, RESUME_LIMIT);
            account.memory(fleet.peaks());
            println!("{:>5.0} s  round {}: {round}", account.elapsed().as_secs_f64(), account.rounds());
            if wanted().is_none() {
                ensure!(round.resumed <= RESUME_LIMIT, "the flow took {:?} to resume", round.resumed);
            }
            // A whole night has every fault; a longer one may stop anywhere.
            if wanted().is_some_and(|wanted| account.elapsed() >= wanted) {
                return judge(&fleet.system, account);
            }
        }
        judge(&fleet.system, account)?;
        if wanted().is_none_or(|wanted| account.elapsed() >= wanted) {
            break;
        }
    }
    Ok(())
}

/// One batch without a fault, and then both judges must be content with everything since the beginning.
fn judge(system: &System, account: &mut Account) -> Result<()> {
    let last = system.poll()?;
    let mut tables = Tables::open(system)?;
    tables.wait_closed(&last, world::BATCH_LIMIT)?;
    tables.wait_at_rest(world::BATCH_LIMIT)?;
    system.wait_read_everything(world::BATCH_LIMIT)?;
    let history = record::record(system)?;
    let verdict = history::check(&history);
    let comparison = compare::compare(system)?;
    let passed = account.judge(system, &history, &verdict, &comparison)?;
    let open_kills = account.open_kills(night::open_kills(system)?);
    ensure!(verdict.is_clean(), "{verdict}");
    ensure!(comparison.is_equal(), "{comparison}");
    ensure!(passed >= PASSED_MIN, "only {passed} % of {} records passed", account.planned);
    // A long run may end before its first deck does.
    if wanted().is_none() {
        ensure!(open_kills >= OPEN_KILLS_MIN, "only {open_kills} kills met something open");
    }
    Ok(())
}
