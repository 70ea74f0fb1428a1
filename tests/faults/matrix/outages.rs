//! Outages that last longer than anybody waits for an answer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::proxy::Weather;
use harness::tables::Tables;
use harness::{Stage, compare, topics, wait};
use stack::Server;

use crate::support;
use crate::world::{self, BATCH_LIMIT, STEP_LIMIT};

/// Longer than a transaction (10 s), a session of the group (30 s as shipped), a request (10 s) and the delivery of a record (60 s).
const CUT: Duration = Duration::from_secs(65);
/// Longest time after the end of a fault until its batch is closed.
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// Goal: who runs goes on without the registry, however long it is away; a link to the broker that is cut for longer than every
/// time-out is waited out by all stages, which say so meanwhile; no good record becomes a dead letter.
/// Method: the registry is cut off for the whole test. Without it batches pass; then the broker is cut off in the middle of one. Then
/// the broker is stopped in order and comes back, while a new processor waits for the registry, which comes back at last.
#[test]
fn outages_longer_than_every_time_out_are_waited_out() -> Result<()> {
    let (_dir, mut system) = world::system(|options| options.proxied = true)?;
    world::set_up(&mut system, 600)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;

    system.links()?.registry.set(Weather::Cut);
    world::batch(&system, &mut tables, 100)?;

    system.simulator()?.change(200)?;
    let batch = system.poll()?;
    system.links()?.kafka.set(Weather::Cut);
    #[expect(clippy::disallowed_methods, reason = "how long a link is cut is real time")]
    let since = Instant::now();
    for stage in [Stage::Processor, Stage::Sink] {
        wait::until(&format!("the {} to say that it is hindered", stage.name()), CUT, || {
            Ok((!support::readiness(&system, stage)?.0).then_some(()))
        })?;
    }
    std::thread::sleep(CUT.saturating_sub(since.elapsed()));
    ensure!(tables.batch(&batch)?.is_none_or(|row| row["finished_at"].is_null()), "the batch waits");
    system.links()?.kafka.restore();
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    // What that batch could not bring comes with the next.
    world::batch(&system, &mut tables, 50)?;

    system.process(Stage::Processor)?.kill()?;
    system.spawn(Stage::Processor)?;
    wait::until("the new processor to wait for the registry", STEP_LIMIT, || {
        // It may not listen yet.
        let said = support::readiness(&system, Stage::Processor);
        Ok(said.is_ok_and(|(ready, text)| !ready && text.contains("[-]registry")).then_some(()))
    })?;
    system.stack.server(Server::Kafka).stop();
    system.stack.server(Server::Kafka).start()?;
    system.simulator()?.change(100)?;
    let batch = system.poll()?;
    system.links()?.registry.restore();
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    system.process(Stage::Processor)?.wait_ready()?;

    tables.wait_at_rest(BATCH_LIMIT)?;
    let verdict = world::judge(&system)?;
    assert!(verdict.is_clean(), "{verdict}");
    // Against the bad records that the source gave out: not one letter more.
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    ensure!(topics::read(&system, "sisdmk.dlq")?.iter().all(|letter| letter.headers["dlq.stage"] == "processor"));
    system.stop_stages()
}
