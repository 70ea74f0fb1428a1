//! Leaders that move to another broker: of partitions, of transactions, of groups.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::leaders::{self, GROUPS, Led, TRANSACTIONS};
use harness::tables::Tables;
use harness::{Stage, System, compare, topics, wait};
use stack::Server;

use crate::support;
use crate::world::{self, BATCH_LIMIT, STEP_LIMIT};

/// Health workers, and how many change before each batch.
const WORKERS: u64 = 600;
const CHANGES: u64 = 200;
/// Longest time after a broker goes, or comes back, until the batch that met it is closed.
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// Who finds the group or the transaction of a process at the leader of a partition.
const COORDINATED: [(&str, &str); 5] = [
    (TRANSACTIONS, "sisdmk-producer"),
    (TRANSACTIONS, "sisdmk-processor-0-0"),
    (TRANSACTIONS, "sisdmk-processor-0-1"),
    (GROUPS, "sisdmk-processor"),
    (GROUPS, "sisdmk-sink"),
];

/// How a broker goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    /// `kill -9`: the controller notices after some seconds, and its replicas may lack nothing but what nobody was promised.
    AtOnce,
    /// SIGTERM: it hands its partitions over first.
    InOrder,
}

/// Goal: whichever broker goes, at once or in order, and comes back, the flow goes on with the other two within a minute and without
/// a hand; nothing is lost or done twice, and nobody ends.
/// Method: three brokers with three replicas of every topic, of which two must have a record before it counts. Each broker goes in
/// the middle of a batch: whatever it led (partitions of `sisdmk.raw` and `sisdmk.clean`, coordinators of the transactional ids and
/// the groups) must be led by others, and that batch must be closed while it is away. It comes back, and what it led before goes back
/// to it while further batches pass. In the end each of these leaders has moved, those of both kinds of coordinators too.
/// The first broker is also the controller: while it is away nobody is made leader, so it goes in order.
#[test]
#[expect(clippy::print_stdout, reason = "the figures; the test runner shows them with a failure")]
fn leaders_that_move_lose_nothing_and_double_nothing() -> Result<()> {
    let (_dir, mut system) = world::system(|options| {
        options.brokers = 3;
        for (key, value) in [
            ("processor.threads", "2"),
            // A batch takes some seconds, and many transactions.
            ("processor.batch_records_max", "50"),
            ("sink.batch_rows_max", "50"),
            ("source.requests_per_second", "12"),
        ] {
            options.settings.insert(key.into(), value.into());
        }
    })?;
    world::set_up(&mut system, WORKERS)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;

    let mut moved = BTreeSet::new();
    for (broker, goes) in
        [(Server::Kafka2, Goes::AtOnce), (Server::Kafka3, Goes::AtOnce), (Server::Kafka, Goes::InOrder)]
    {
        let met = moves(&mut system, &mut tables, broker, goes);
        let (led, away, back) = met.with_context(|| format!("{} goes {goes:?}", broker.name()))?;
        println!(
            "{} {goes:?}: {} leaders moved; batch closed after {away:.1?}; led again {back:.1?} after its return",
            broker.name(),
            led.len()
        );
        moved.extend(led);
    }
    let all: BTreeSet<Role> = roles(&system)?.into_iter().map(|(role, _)| role).collect();
    assert_eq!(moved, all, "every leader has moved");

    tables.wait_at_rest(BATCH_LIMIT)?;
    let letters = topics::read(&system, "sisdmk.dlq")?;
    ensure!(
        letters.iter().all(|letter| letter.headers["dlq.stage"] == "processor"),
        "a leader that moves is nobody's dead letter"
    );
    let verdict = world::judge(&system)?;
    assert!(verdict.is_clean(), "{verdict}");
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    for stage in Stage::ALL {
        system.process(stage)?.wait_ready()?;
    }
    system.stop_stages()
}

/// What a leader is for, and of which partition.
type Role = (&'static str, &'static str, i32);

/// Every leader that this is about, and where it stands.
fn roles(system: &System) -> Result<Vec<(Role, Led)>> {
    let mut roles = Vec::new();
    for topic in ["sisdmk.raw", "sisdmk.clean", "sisdmk.audit", "sisdmk.state"] {
        roles.extend(leaders::of(system, topic)?.into_iter().map(|led| ((topic, "", led.partition), led)));
    }
    for (topic, id) in COORDINATED {
        let all = leaders::of(system, topic)?;
        let partition = leaders::partition_of(id, all.len())?;
        let led = all.into_iter().find(|led| led.partition == partition).context("its partition")?;
        roles.push(((topic, id, partition), led));
    }
    Ok(roles)
}

/// A broker goes in the middle of a batch, and comes back. What it led; the time until the batch was closed, and that until it led all
/// of it again.
fn moves(
    system: &mut System,
    tables: &mut Tables,
    broker: Server,
    goes: Goes,
) -> Result<(Vec<Role>, Duration, Duration)> {
    let node = 1 + i32::try_from(Server::BROKERS.iter().position(|one| *one == broker).context("a broker")?)?;
    let before = wait::until("every leader to be at home, with all replicas", STEP_LIMIT, || {
        let roles = roles(system)?;
        Ok(roles.iter().all(|(_, led)| led.is_at_home() && led.replicas.len() == 3).then_some(roles))
    })?;
    let led: Vec<Role> = before.into_iter().filter(|(_, led)| led.leader == Some(node)).map(|(role, _)| role).collect();
    let leads = |roles: &[(Role, Led)]| roles.iter().filter(|(_, led)| led.leader == Some(node)).count();

    let (batch, from) = flowing(system)?;
    let since = now();
    match goes {
        Goes::AtOnce => system.stack.server(broker).kill(),
        Goes::InOrder => system.stack.server(broker).stop(),
    }
    wait::until("what it led to be led by others", STEP_LIMIT, || {
        let roles = roles(system)?;
        Ok((leads(&roles) == 0 && roles.iter().all(|(_, led)| led.leader.is_some())).then_some(()))
    })?;
    closed(system, tables, &batch, from)?;
    let away = since.elapsed();

    system.stack.server(broker).start()?;
    let since = now();
    // One batch follows the other, so that records flow when the leaders go back.
    wait::until("what it led to be led by it again", STEP_LIMIT, || {
        let (batch, from) = flowing(system)?;
        closed(system, tables, &batch, from)?;
        Ok((leads(&roles(system)?) == led.len()).then_some(()))
    })?;
    Ok((led, away, since.elapsed()))
}

/// Begins a batch; its id and where `sisdmk.raw` ends once some of its records are there.
fn flowing(system: &System) -> Result<(String, i64)> {
    system.simulator()?.change(CHANGES)?;
    let before = raw_end(system)?;
    let batch = system.poll()?;
    let now = wait::until("the first records of the batch", STEP_LIMIT, || {
        let now = raw_end(system)?;
        Ok((now > before).then_some(now))
    })?;
    Ok((batch, now))
}

/// Where `sisdmk.raw` ends. A leader that moves does not answer, and the next question finds another one.
fn raw_end(system: &System) -> Result<i64> {
    wait::until("the end of sisdmk.raw", STEP_LIMIT, || Ok(topics::end(system, "sisdmk.raw", false).ok()))
}

/// The batch is closed in time, as a good one, and had more to bring than what was there when the fault began.
fn closed(system: &System, tables: &mut Tables, batch: &str, from: i64) -> Result<()> {
    let row = tables.wait_closed(batch, RESUME_LIMIT).with_context(|| says(system))?;
    assert_eq!((&row["status"], &row["tied"]), (&"complete".into(), &true.into()), "{row}");
    ensure!(raw_end(system)? > from, "everything had come before the fault");
    Ok(())
}

/// What each stage says of itself, for whoever wonders why nothing goes on.
fn says(system: &System) -> String {
    let told = Stage::ALL.map(|stage| match support::readiness(system, stage) {
        Ok((_, text)) => format!("{}:\n{text}", stage.name()),
        Err(error) => format!("{}: {error}", stage.name()),
    });
    told.join("\n")
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the time to resume is what is measured")]
    Instant::now()
}
