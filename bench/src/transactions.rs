//! What transactions cost: the processor beside the same work without them, over the same records of the same topic.
//!
//! Both run in turns, the one that begins changing with each round, so that a machine that becomes slower or busier
//! is to nobody's advantage; each run starts with empty topics behind it. What both wrote is compared record by record.

mod without;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::{Binaries, Stage, topics};
use platform::kafka::Deadline;
use platform::kafka::admin::{Admin, TopicSpec};
use serde::Serialize;

use self::without::{Plan, SchemaIds};
use crate::figures::{Figures, Phase, Spread};
use crate::log;
use crate::options::{Options, Record};
use crate::progress::{Outcomes, given_at, log_from};
use crate::sampler::Moment;
use crate::site::Site;
use crate::table::{Table, grouped};

/// What the processor is to reach of the speed without transactions.
pub(crate) const AIM: f64 = 0.9;

/// Where the run without transactions writes.
const CLEAN: &str = "bench.clean";
const REPORTS: &str = "bench.audit";
const GROUP: &str = "sisdmk-processor";
const JUDGED: [&str; 4] = ["clean", "dlq", "processor_equal", "processor_stale"];
/// Settings of `sisdmk.clean` that decide what writing to it costs.
const ALIKE: [&str; 4] = ["cleanup.policy", "compression.type", "max.message.bytes", "min.insync.replicas"];
/// How often every person is there: once for the first time, then changed each time. A worker's transaction is counted when it
/// ends, so a run must be many of them long: with 480,000 records the same code gave 0.79 to 0.92.
const TIMES: u64 = 8;
/// More people make a run longer, and say nothing else.
const WORKERS_MAX: u64 = 200_000;
/// A run is measured from here on at the earliest: until then clients connect and caches warm.
const FROM_PERCENT: u64 = 10;
/// Members of a group join within this time; until all have, one of them does the work of two.
const JOINING_SECONDS: Moment = 5.0;
/// How often a member asks whether others have joined: the default of 3 s would be most of a run.
const HEARTBEAT: &str = "\"300\"";
/// Time between two looks at how far a run is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest time for a question to the broker.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Records a second of the processor.
    pub with: f64,
    /// Records a second of the same work without transactions.
    pub without: f64,
}

impl Pair {
    /// The share that is left with transactions.
    #[must_use]
    pub fn ratio(self) -> f64 {
        self.with / self.without
    }
}

/// Over all rounds; none where nothing was measured.
pub(crate) fn ratio(pairs: &[Pair]) -> Option<Spread> {
    Spread::of(pairs.iter().map(|pair| pair.ratio()))
}

/// What was measured, as a table; empty where nothing was.
pub(crate) fn table(pairs: &[Pair]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["records/s of the processor", "with transactions", "without", "with / without"]);
    for (round, pair) in (1..).zip(pairs) {
        table.row([
            format!("round {round}"),
            grouped(pair.with),
            grouped(pair.without),
            format!("{:.2}", pair.ratio()),
        ]);
    }
    format!(
        "### What transactions cost\n\nThe processor beside the same work at least once: same records, library, clients' settings, \
         workers and batches;\neach batch is on the broker before its positions are committed, and nobody waits for that.\n\n{}",
        table.text()
    )
}

/// Measures all rounds on one system.
pub(crate) fn measure(options: &Options, binaries: &Binaries, figures: &mut Figures) -> Result<()> {
    log::line("The processor beside the same work without transactions");
    let of_this = Options { workers: options.workers.min(WORKERS_MAX), ..options.clone() };
    let mut site = Site::up(&of_this, binaries, Record::Standard, "transactions")?;
    site.system.set("kafka.properties.\"heartbeat.interval.ms\"", HEARTBEAT)?;
    fill(&mut site)?;
    let records = site.workers * TIMES;
    let plan = Plan::read(&site.system.configuration())?;
    let mut ids = None;
    // Once for nothing: the first one finds cold caches, and shows the ids that the registry gave.
    with(&mut site, &plan, records)?;
    for round in 1..=options.transaction_rounds {
        let ids = match ids {
            Some(ids) => ids,
            None => *ids.insert(schema_ids(&site)?),
        };
        let mut run = |is_with: bool| -> Result<f64> {
            if is_with { with(&mut site, &plan, records) } else { without(&mut site, &plan, ids, records) }
        };
        let first_with = round % 2 == 1;
        let (first, second) = (run(first_with)?, run(!first_with)?);
        let (with, without) = if first_with { (first, second) } else { (second, first) };
        let pair = Pair { with, without };
        site.tell(&format!(
            "with transactions {:>9.0} records/s, without {:>9.0}: {:.2}",
            pair.with,
            pair.without,
            pair.ratio()
        ));
        figures.transactions.push(pair);
        ensure!(digest(&site, "sisdmk.clean")? == digest(&site, CLEAN)?, "both did not write the same records");
    }
    figures.parity.push(format!(
        "With and without transactions: the same {} records, byte for byte, {} times",
        digest(&site, CLEAN)?.0,
        options.transaction_rounds
    ));
    site.down(&mut figures.memory_peaks)
}

/// Puts everybody on `sisdmk.raw`, changes everybody, and puts them there again, some times.
fn fill(site: &mut Site) -> Result<()> {
    let counters = site.start(Stage::Producer)?;
    for times in 1..=TIMES {
        let phase = if times == 1 { Phase::Load } else { Phase::Update };
        site.change(phase)?;
        let batch = site.poll(phase)?;
        let all = site.workers * times;
        site.follow("the producer", &[&counters], |_, now| {
            Ok((now.iter().map(|now| now.sum(&["raw"])).sum::<u64>() == all).then_some(()))
        })?;
        site.wait_fetched(&batch)?;
    }
    site.system.stop(Stage::Producer)
}

/// The processor, from the first record of the topic on; records a second.
fn with(site: &mut Site, plan: &Plan, records: u64) -> Result<f64> {
    let before = topics::end(&site.system, "sisdmk.clean", false)?;
    if before > 0 {
        site.system.delete_topic("sisdmk.clean")?;
        let starts: Vec<(i32, i64)> = (0..partitions(site)?).map(|partition| (partition, 0)).collect();
        Admin::connect(&plan.kafka)?.set_group_offsets(GROUP, "sisdmk.raw", &starts)?;
        site.system.setup()?;
    }
    let (log, length) = site.log(Stage::Processor);
    let counters = site.spawn(Stage::Processor)?;
    let mut seen = Vec::new();
    let judged = |now: &[Outcomes]| now.iter().map(|now| now.sum(&JUDGED)).sum::<u64>();
    site.follow("the processor", &[&counters], |at, now| {
        seen.push((at, judged(now)));
        Ok((judged(now) >= records).then_some(()))
    })?;
    let given: Vec<Moment> = given_at(&log_from(&log, length)?).into_iter().map(|at| site.sampler.moment(at)).collect();
    let first = given.iter().copied().reduce(Moment::min).context("the processor was given partitions")?;
    let joined = given.into_iter().filter(|at| *at <= first + JOINING_SECONDS).fold(first, Moment::max);
    site.system.stop(Stage::Processor)?;
    rate(&seen, records, joined)
}

/// The same without transactions.
fn without(site: &mut Site, plan: &Plan, ids: SchemaIds, records: u64) -> Result<f64> {
    let admin = Admin::connect(&plan.kafka)?;
    let deadline = || Deadline::after(ASK_LIMIT);
    for topic in [CLEAN, REPORTS] {
        if admin.describe_topics(&[topic], deadline())?.iter().flatten().next().is_some() {
            site.system.delete_topic(topic)?;
        }
    }
    let facts = admin.describe_topics(&["sisdmk.clean", "sisdmk.audit"], deadline())?;
    for (name, facts) in [CLEAN, REPORTS].into_iter().zip(facts) {
        let facts = facts.context("a topic of the pipeline")?;
        let config = facts.config.into_iter().filter(|(key, _)| ALIKE.contains(&key.as_str())).collect();
        let spec = TopicSpec { name: name.to_owned(), partitions: i32::try_from(facts.partitions)?, config };
        harness::wait::until(&format!("{name} to be made"), ASK_LIMIT, || {
            // The old one goes in its own time.
            Ok((admin.create_topics(std::slice::from_ref(&spec), deadline())?.len() == 1).then_some(()))
        })?;
    }
    let partitions = partitions(site)?;
    let mut seen = Vec::new();
    plan.run(partitions, ids, records, |done| seen.push((site.sampler.clock(), done)))?;
    harness::interrupt::check()?;
    rate(&seen, records, 0.0)
}

fn partitions(site: &Site) -> Result<i32> {
    Ok(i32::try_from(topics::partitions(&site.system, "sisdmk.raw")?)?)
}

/// Records a second from the first look after `from` at which a tenth was done to the one at which all were.
fn rate(seen: &[(Moment, u64)], records: u64, from: Moment) -> Result<f64> {
    let tenth = (records * FROM_PERCENT).div_ceil(100);
    let first = seen.iter().find(|(at, done)| *at >= from && *done >= tenth);
    let last = seen.iter().find(|(_, done)| *done >= records);
    let ((from, before), (to, after)) = first.zip(last).context("a run that did all records")?;
    ensure!(to > from && before * 2 <= records, "a run was nearly over when all took part: ask for more workers");
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let records = (after - before) as f64;
    Ok(records / (to - from))
}

/// The ids in the frames that the processor wrote.
fn schema_ids(site: &Site) -> Result<SchemaIds> {
    let of = |topic: &str| -> Result<u32> {
        let mut id = None;
        topics::each(&site.system, topic, |message| {
            id = message.value.and_then(|frame| Some(u32::from_be_bytes(frame.get(1..5)?.try_into().ok()?)));
        })?;
        id.with_context(|| format!("{topic} holds no frame"))
    };
    Ok(SchemaIds { clean: of("sisdmk.clean")?, audit: of("sisdmk.audit")? })
}

/// How many records a topic holds, and a sum of what they are, whatever their order among partitions.
fn digest(site: &Site, topic: &str) -> Result<(u64, u64)> {
    let (mut count, mut sum) = (0_u64, 0_u64);
    topics::each(&site.system, topic, |message| {
        let mut hasher = DefaultHasher::new();
        (message.partition, message.key, message.value).hash(&mut hasher);
        message.headers().for_each(|header| header.hash(&mut hasher));
        count += 1;
        sum = sum.wrapping_add(hasher.finish());
    })?;
    Ok((count, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_measured_from_when_all_take_part_to_its_end() {
        let seen = [(1.0, 0), (2.0, 5), (3.0, 20), (4.0, 40), (5.0, 100), (6.0, 100)];
        for (from, expected) in [(0.0, 40.0), (3.0, 40.0), (3.5, 60.0)] {
            let found = rate(&seen, 100, from).expect("a run");
            assert!((found - expected).abs() < 1e-9, "from {from}: {found}");
        }
        assert!(rate(&seen[..4], 100, 0.0).is_err(), "it did not end");
        assert!(rate(&seen, 100, 4.5).is_err(), "it was over before");
        assert!(rate(&[(1.0, 0), (2.0, 100)], 100, 0.0).is_err(), "nothing between");
    }

    #[test]
    fn the_ratio_is_that_of_each_round() {
        let pair = |with, without| Pair { with, without };
        let ratio = ratio(&[pair(90.0, 100.0), pair(10.0, 10.0), pair(40.0, 50.0)]).expect("three rounds");
        assert!((ratio.median - 0.9).abs() < 1e-9 && (ratio.min - 0.8).abs() < 1e-9, "{ratio:?}");
    }
}
