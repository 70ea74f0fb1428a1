//! One round: workers change, a batch begins, faults hit it, and it must end by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use harness::points::{Act, BATCH_READY, FLUSHED, ROWS_WRITTEN};
use harness::proxy::{Proxy, Weather};
use harness::tables::Tables;
use harness::{Stage, System, wait};
use stack::Server;

use super::deck::{Break, Dice, Fault, Link};
use super::fleet::Fleet;
use crate::world::{BATCH_LIMIT, STEP_LIMIT};

/// Longer than a group waits for a silent member.
const FREEZE: Duration = Duration::from_secs(9);
/// How long a link is broken, and a server is away.
const OUTAGE: Duration = Duration::from_secs(7);
/// Members that come and go in a storm.
const STORM_CHANGES: u64 = 5;
/// How long a batch may go without meeting a fail point before another one is begun.
const MEET_LIMIT: Duration = Duration::from_secs(20);

/// What a round was like.
pub(crate) struct Round {
    pub(crate) what: String,
    pub(crate) revived: usize,
    /// From the end of the faults, and the start of who was killed, to the end of the batch.
    pub(crate) resumed: Duration,
}

impl fmt::Display for Round {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {} started again; resumed after {:.1} s", self.what, self.revived, self.resumed.as_secs_f64())
    }
}

/// Kills so far, by stage, that met an open transaction or a batch in the hands of the sink.
pub(crate) fn open_kills(system: &System) -> Result<BTreeMap<&'static str, usize>> {
    let mut kills = BTreeMap::new();
    for (stage, point) in [
        (Stage::Producer, FLUSHED),
        (Stage::Processor, FLUSHED),
        (Stage::Sink, ROWS_WRITTEN),
        (Stage::Sink, BATCH_READY),
    ] {
        *kills.entry(stage.name()).or_default() += system.fail_points(stage)?.hits(point)?.len();
    }
    Ok(kills)
}

/// Plays a round.
pub(crate) fn round(fleet: &mut Fleet, hand: &[Fault], seed: u64, changes: u64) -> Result<Round> {
    let mut dice = Dice::new(seed);
    let before = fleet.revived;
    let what = hand.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let played = play(fleet, hand, &mut dice, changes);
    let batch = played.with_context(|| what.clone())?;
    #[expect(clippy::disallowed_methods, reason = "the time to resume is what is measured")]
    let ended = Instant::now();
    // Its own connection each time: the server may just have come back.
    wait::until(&format!("batch {batch} to be closed after: {what}"), BATCH_LIMIT, || {
        let Ok(mut tables) = Tables::open(&fleet.system) else { return Ok(None) };
        // Somebody who ends now has ended by itself.
        fleet.revive()?;
        Ok(tables.batch(&batch)?.filter(|row| !row["finished_at"].is_null()))
    })?;
    Ok(Round { what, revived: fleet.revived - before, resumed: ended.elapsed() })
}

/// Begins a batch and does the faults to it; the batch that must end.
fn play(fleet: &mut Fleet, hand: &[Fault], dice: &mut Dice, changes: u64) -> Result<String> {
    fleet.system.simulator()?.change(changes)?;
    let mut met = Vec::new();
    for fault in hand {
        if let Fault::KillAt(stage, point) = *fault {
            met.push((stage, point, fleet.system.fail_points(stage)?.hits(point)?.len()));
        }
    }
    // The producer's points are armed once it has taken the batch: its answer would be lost with it.
    arm(fleet, hand, |stage| stage != Stage::Producer)?;
    let mut batch = fleet.system.poll()?;
    arm(fleet, hand, |stage| stage == Stage::Producer)?;
    std::thread::sleep(Duration::from_millis(dice.below(900)));
    for fault in hand {
        begin(fleet, *fault, dice)?;
    }
    for fault in hand {
        end(fleet, *fault)?;
    }
    for (stage, point, before) in met {
        meet(fleet, stage, point, before, &mut batch)?;
    }
    fleet.revive()?;
    Ok(batch)
}

fn arm(fleet: &Fleet, hand: &[Fault], which: impl Fn(Stage) -> bool) -> Result<()> {
    for fault in hand {
        if let Fault::KillAt(stage, point) = *fault
            && which(stage)
        {
            fleet.system.fail_points(stage)?.arm(point, Act::Kill)?;
        }
    }
    Ok(())
}

/// Waits until somebody has died at a point; where a batch was over too soon, another one is begun.
fn meet(fleet: &mut Fleet, stage: Stage, point: &str, before: usize, batch: &mut String) -> Result<()> {
    let points = fleet.system.fail_points(stage)?;
    #[expect(clippy::disallowed_methods, reason = "when a batch that met nothing is followed by another")]
    let mut since = Instant::now();
    wait::until(&format!("a {} to die at {point}", stage.name()), STEP_LIMIT, || {
        let met = points.hits(point)?.len() > before;
        // Another fault of this round may have ended somebody without whom nobody comes by.
        fleet.revive()?;
        if !met && since.elapsed() > MEET_LIMIT {
            fleet.system.simulator()?.change(20)?;
            *batch = fleet.system.poll()?;
            since += MEET_LIMIT;
        }
        Ok(met.then_some(()))
    })
}

fn begin(fleet: &mut Fleet, fault: Fault, dice: &mut Dice) -> Result<()> {
    let which = dice.below(2);
    match fault {
        // Armed before.
        Fault::KillAt(..) => {}
        Fault::Kill(stage) => fleet.one(stage, which)?.kill()?,
        Fault::Freeze(stage) => {
            let process = fleet.one(stage, which)?;
            process.signal(libc::SIGSTOP)?;
            std::thread::sleep(FREEZE + Duration::from_millis(dice.below(3_000)));
            process.signal(libc::SIGCONT)?;
        }
        Fault::Broker => {
            fleet.kill_broker()?;
            std::thread::sleep(Duration::from_millis(dice.below(4_000)));
        }
        Fault::Postgres => {
            fleet.system.stack.server(Server::Postgres).kill();
            std::thread::sleep(Duration::from_millis(dice.below(4_000)));
        }
        Fault::ReadOnly => {
            read_only(&fleet.system, true)?;
            std::thread::sleep(OUTAGE);
        }
        Fault::Registry => {
            fleet.system.stack.server(Server::Registry).stop();
            for stage in [Stage::Processor, Stage::Sink] {
                fleet.one(stage, which)?.kill()?;
            }
            fleet.revive()?;
            std::thread::sleep(OUTAGE);
        }
        Fault::Link(link, how) => {
            let proxy = proxy(&fleet.system, link)?;
            match how {
                Break::Reset => {
                    for _ in 0..5 {
                        proxy.reset();
                        std::thread::sleep(Duration::from_millis(300));
                    }
                    return Ok(());
                }
                Break::Cut => proxy.set(Weather::Cut),
                Break::Hold => proxy.set(Weather::Hold),
                Break::Slow => proxy.set(Weather::Delay(Duration::from_millis(60))),
            }
            std::thread::sleep(OUTAGE + Duration::from_millis(dice.below(3_000)));
        }
        Fault::Storm => storm(fleet, dice)?,
    }
    Ok(())
}

fn end(fleet: &mut Fleet, fault: Fault) -> Result<()> {
    match fault {
        Fault::KillAt(..) | Fault::Kill(_) | Fault::Freeze(_) | Fault::Storm => {}
        Fault::Broker => fleet.system.stack.server(Server::Kafka).start()?,
        Fault::Postgres => fleet.system.stack.server(Server::Postgres).start()?,
        Fault::Registry => fleet.system.stack.server(Server::Registry).start()?,
        Fault::ReadOnly => read_only(&fleet.system, false)?,
        Fault::Link(link, _) => proxy(&fleet.system, link)?.restore(),
    }
    Ok(())
}

fn proxy(system: &System, link: Link) -> Result<&Proxy> {
    let links = system.links()?;
    Ok(match link {
        Link::Kafka => &links.kafka,
        Link::Registry => &links.registry,
        Link::Postgres => &links.postgres,
        Link::Source => &links.source,
    })
}

/// As a server that has become a replica: connections stay, and every write is refused.
pub(crate) fn read_only(system: &System, on: bool) -> Result<()> {
    let mut tables = Tables::open(system)?;
    let change = if on {
        "ALTER SYSTEM SET default_transaction_read_only = on"
    } else {
        "ALTER SYSTEM RESET default_transaction_read_only"
    };
    // One statement at a time: it may not run inside a transaction, and several at once are one.
    tables.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")?;
    tables.execute(change)?;
    tables.execute("SELECT pg_reload_conf()")?;
    Ok(())
}

/// A third processor comes and goes, and the second sink.
fn storm(fleet: &mut Fleet, dice: &mut Dice) -> Result<()> {
    fleet.join(Stage::Processor, "third")?;
    for _ in 0..STORM_CHANGES {
        std::thread::sleep(Duration::from_millis(700 + dice.below(1_500)));
        let (stage, instance) = match dice.below(3) {
            0 => (Stage::Processor, "second"),
            1 => (Stage::Processor, "third"),
            _ => (Stage::Sink, "second"),
        };
        fleet.leave(stage, instance)?;
        std::thread::sleep(Duration::from_millis(dice.below(1_000)));
        fleet.join(stage, instance)?;
    }
    fleet.leave(Stage::Processor, "third")
}
