//! Memory, while everything comes and nothing goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::breaking::Ending;
use harness::tables::Tables;
use harness::topics::{self, Record};
use harness::{Stage, System, compare};
use stack::Server;

use crate::world::{self, BATCH_LIMIT};

/// Health workers; all of them change and are fetched again all the time.
const WORKERS: u64 = 3_000;
/// Records of `sisdmk.clean` that wait for the sink beside: more than its client queues and a worker takes in before it stands in its
/// write. What a worker may hold besides (`HELD_BYTES_MAX`) is not reached.
const WAITING: usize = 300_000;
/// Of them written in one transaction.
const CHUNK: usize = 50_000;
/// What a process of ours may have, whatever happens.
const LIMIT_BYTES: u64 = 512 << 20;
/// What the sink may take on top of what it had: a worker holds 64 MiB, its consumer 16 MiB and an answer of 8 MiB; the rest is the
/// allocator's. All that waits would be more.
const SINK_GROWTH_MAX: u64 = 160 << 20;
/// Growth in the second half of a long time that is still called flat.
const FLAT_BYTES: u64 = 32 << 20;
/// How long Postgres stands still, and in a long run.
const PAUSE: Duration = Duration::from_secs(15);
const LONG_PAUSE: Duration = Duration::from_secs(300);
/// Longest time until everything that waited is in the tables.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(600);

/// The most memory of each stage in a stretch of time, in bytes.
type Peaks = BTreeMap<&'static str, u64>;

/// Goal: while Postgres answers nobody, the stages before it go on at full speed and no process grows beyond its bounds; afterwards
/// everything arrives.
/// Method: Postgres is stopped with SIGSTOP. More records than the sink may hold are put on its topic at once, and the source has
/// everybody change and fetched again until the time is over; memory is looked at all the while. `make soak` does it for 5 minutes
/// and asks that the second half needs no more than the first.
#[test]
#[expect(clippy::print_stdout, reason = "the figures; the test runner shows them with a failure")]
fn memory_stays_within_bounds_while_postgres_stands_still() -> Result<()> {
    let long = crate::random::wanted().is_some();
    let (_dir, mut system) = world::system(|options| {
        options.settings.insert("sink.threads".into(), "1".into());
    })?;
    world::set_up(&mut system, WORKERS)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;
    system.wait_read_everything(BATCH_LIMIT)?;
    let copies = copies(&system)?;

    let before = look(&mut system)?;
    system.stack.server(Server::Postgres).pause();
    let pause = if long { LONG_PAUSE } else { PAUSE };
    let (first, second) = while_stopped(&mut system, &copies, pause)?;
    system.stack.server(Server::Postgres).resume();

    println!("Postgres stopped for {} s; MiB before, in the first half, in the second:", pause.as_secs());
    for stage in Stage::ALL {
        let [before, first, second] = [&before, &first, &second].map(|peaks| peaks[stage.name()]);
        println!("{} {} {} {}", stage.name(), before >> 20, first >> 20, second >> 20);
        ensure!(first.max(second) <= LIMIT_BYTES, "the {} took too much memory", stage.name());
        ensure!(!long || second <= first + FLAT_BYTES, "the {} went on growing", stage.name());
    }
    let (had, took) = (before["sink"], first["sink"].max(second["sink"]));
    ensure!(took <= had + SINK_GROWTH_MAX, "the sink grew from {} to {} MiB", had >> 20, took >> 20);

    system.wait_read_everything(CATCH_UP_LIMIT)?;
    tables.wait_at_rest(CATCH_UP_LIMIT)?;
    let comparison = compare::rows(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    system.stop_stages()
}

/// Records that say what is known, on every partition.
fn copies(system: &System) -> Result<Vec<Record>> {
    let records = topics::read(system, "sisdmk.clean")?;
    ensure!(!records.is_empty(), "somebody is known");
    Ok(records.into_iter().cycle().take(CHUNK).collect())
}

/// Everything that can come, for so long; the most memory in both halves of the time.
fn while_stopped(system: &mut System, copies: &[Record], pause: Duration) -> Result<(Peaks, Peaks)> {
    #[expect(clippy::disallowed_methods, reason = "the time for which a server stands still")]
    let began = Instant::now();
    let (mut first, mut second) = (Peaks::new(), Peaks::new());
    let (mut written, mut batches) = (0, 0_u32);
    let mut batch = system.poll()?;
    while began.elapsed() < pause || written < WAITING {
        if written < WAITING {
            system.publish("sisdmk.clean", copies, Ending::Commit)?;
            written += copies.len();
        }
        let status = system.producer_status()?;
        if status["batch"]["batch_id"] == *batch && status["batch"]["state"] == "closed" {
            system.simulator()?.change(WORKERS)?;
            batch = system.poll()?;
            batches += 1;
        }
        let half = if began.elapsed() < pause / 2 { &mut first } else { &mut second };
        for (stage, bytes) in look(system)? {
            let peak = half.entry(stage).or_default();
            *peak = (*peak).max(bytes);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // What was written last reaches the sink after this, and everything it may hold has reached it long before.
    ensure!(batches > 0, "the source was not fetched again");
    for (stage, bytes) in look(system)? {
        first.entry(stage).or_insert(bytes);
        second.entry(stage).or_insert(bytes);
    }
    Ok((first, second))
}

/// What each stage has now.
fn look(system: &mut System) -> Result<Peaks> {
    let mut memory = Peaks::new();
    for stage in Stage::ALL {
        let now = system.process(stage)?.memory_now().with_context(|| format!("the {} has ended", stage.name()))?;
        memory.insert(stage.name(), now);
    }
    Ok(memory)
}
