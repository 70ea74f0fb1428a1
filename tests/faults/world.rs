//! What the fault tests share: a small system whose history is recorded.

use std::time::Duration;

use anyhow::Result;
use harness::history::{self, Verdict, record};
use harness::tables::Tables;
use harness::{Stage, System, SystemOptions, wait};
use tempfile::TempDir;

use crate::support;

/// Longest time a batch may take: two cores may have other work.
pub(crate) const BATCH_LIMIT: Duration = Duration::from_secs(240);
/// Longest time until a process comes by a fail point, or a group has noticed that a member is gone.
pub(crate) const STEP_LIMIT: Duration = Duration::from_secs(120);

/// A system whose groups notice a dead member soon, with fail points.
pub(crate) fn system(choose: impl FnOnce(&mut SystemOptions)) -> Result<(TempDir, System)> {
    support::system_with(|options| {
        options.fail_points = true;
        support::notice_the_dead_soon(options);
        choose(options);
    })
}

/// Sets it up with witnesses, and starts the source.
pub(crate) fn set_up(system: &mut System, workers: u64) -> Result<()> {
    system.setup()?;
    record::install(system)?;
    system.start_simulator(&support::simulator(workers))?;
    Ok(())
}

/// The id of the first batch.
pub(crate) fn first_batch(tables: &mut Tables) -> Result<String> {
    wait::until("the first batch", BATCH_LIMIT, || Ok(tables.batch_ids()?.into_iter().next()))
}

/// Starts every stage and waits for the end of the first batch.
pub(crate) fn start(system: &mut System, tables: &mut Tables) -> Result<()> {
    for stage in [Stage::Sink, Stage::Processor, Stage::Producer] {
        system.start(stage)?;
    }
    let first = first_batch(tables)?;
    tables.wait_closed(&first, BATCH_LIMIT)?;
    Ok(())
}

/// Lets workers change, polls, and waits for the end of that batch.
pub(crate) fn batch(system: &System, tables: &mut Tables, changes: u64) -> Result<()> {
    system.simulator()?.change(changes)?;
    let id = system.poll()?;
    tables.wait_closed(&id, BATCH_LIMIT)?;
    Ok(())
}

/// Records and judges the history of a system that has read everything.
pub(crate) fn judge(system: &System) -> Result<Verdict> {
    system.wait_read_everything(BATCH_LIMIT)?;
    Ok(history::check(&record::record(system)?))
}
