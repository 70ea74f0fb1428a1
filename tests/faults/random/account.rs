//! What a run of random faults was like so far: printed while it goes on and at its end, as a table for a page.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::compare::Comparison;
use harness::history::{History, Verdict, passed_percent};
use harness::tables::Tables;
use harness::{Stage, System};

use super::deck::Fault;
use super::night::Round;

/// Counts of `audit.batch` that say what became of records, in the order of their way.
const OUTCOMES: [&str; 12] = [
    "raw",
    "quarantined",
    "clean",
    "dlq",
    "processor_equal",
    "processor_stale",
    "inserted",
    "updated",
    "sink_equal",
    "sink_stale",
    "superseded",
    "rejected",
];

/// Everything that was counted.
pub(crate) struct Account {
    seed: u64,
    began: Instant,
    /// Records that changed at the source.
    pub(crate) planned: u64,
    faults: BTreeMap<String, usize>,
    rounds: usize,
    slow: usize,
    revived: usize,
    slowest: Duration,
    slowest_after: String,
    peaks: BTreeMap<&'static str, u64>,
    open_kills: BTreeMap<&'static str, usize>,
    judgements: usize,
    /// The last judgement, which is over everything from the beginning.
    judged: String,
    compared: String,
    outcomes: String,
    passed: usize,
}

impl Account {
    pub(crate) fn new(seed: u64, planned: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "how long a test runs is real time")]
        let began = Instant::now();
        Self {
            seed,
            began,
            planned,
            faults: BTreeMap::new(),
            rounds: 0,
            slow: 0,
            revived: 0,
            slowest: Duration::ZERO,
            slowest_after: String::new(),
            peaks: BTreeMap::new(),
            open_kills: BTreeMap::new(),
            judgements: 0,
            judged: String::new(),
            compared: String::new(),
            outcomes: String::new(),
            passed: 0,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds
    }

    /// A round has ended.
    pub(crate) fn add(&mut self, hand: &[Fault], round: &Round, changes: u64, limit: Duration) {
        self.rounds += 1;
        self.planned += changes;
        self.revived += round.revived;
        self.slow += usize::from(round.resumed > limit);
        for fault in hand {
            *self.faults.entry(fault.to_string()).or_default() += 1;
        }
        if round.resumed > self.slowest {
            self.slowest = round.resumed;
            self.slowest_after.clone_from(&round.what);
        }
    }

    /// The most memory that the processes of each stage had so far.
    pub(crate) fn memory(&mut self, peaks: &BTreeMap<&'static str, u64>) {
        for (stage, bytes) in peaks {
            let peak = self.peaks.entry(stage).or_default();
            *peak = (*peak).max(*bytes);
        }
    }

    /// Kills of each stage that met a transaction or a batch open.
    pub(crate) fn open_kills(&mut self, kills: BTreeMap<&'static str, usize>) -> usize {
        self.open_kills = kills;
        self.open_kills.values().sum()
    }

    /// Both judges have spoken; the share of the planned records that passed, in percent.
    pub(crate) fn judge(
        &mut self,
        system: &System,
        history: &History,
        verdict: &Verdict,
        comparison: &Comparison,
    ) -> Result<usize> {
        self.judgements += 1;
        self.judged = format!("{}: {} anomalies", verdict.judged, verdict.anomalies.len());
        self.compared = format!(
            "{} persons, {} dead letters, {} batches: {} differences",
            comparison.persons, comparison.dead_letters, comparison.batches, comparison.differences
        );
        self.passed = passed_percent(history, usize::try_from(self.planned)?);
        let mut tables = Tables::open(system)?;
        let mut outcomes = Vec::new();
        for name in OUTCOMES {
            let count = tables.number(&format!("SELECT coalesce(sum({name}), 0)::bigint FROM audit.batch"))?;
            if count > 0 {
                outcomes.push(format!("{name} {count}"));
            }
        }
        self.outcomes = outcomes.join(", ");
        Ok(self.passed)
    }
}

fn counted<K: fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    let words: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    words.join(", ")
}

impl fmt::Display for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peaks: Vec<String> = Stage::ALL
            .iter()
            .filter_map(|stage| Some(format!("{} {}", stage.name(), self.peaks.get(stage.name())?.div_ceil(1 << 20))))
            .collect();
        writeln!(out, "| random faults, seed {} | {:.0} s |\n|---|---|", self.seed, self.elapsed().as_secs_f64())?;
        let faults: usize = self.faults.values().sum();
        for (what, figure) in [
            ("rounds, each with a batch", self.rounds.to_string()),
            ("faults by kind", format!("{faults}: {}", counted(&self.faults))),
            ("kills with a transaction or a batch open", counted(&self.open_kills)),
            ("processes started again", self.revived.to_string()),
            ("records planned, passed", format!("{}, {} %", self.planned, self.passed)),
            ("what became of them", self.outcomes.clone()),
            ("histories checked", format!("{}, the last of {}", self.judgements, self.judged)),
            ("tables against the source", self.compared.clone()),
            ("longest recovery", format!("{:.1} s after: {}", self.slowest.as_secs_f64(), self.slowest_after)),
            ("rounds that took longer than a minute", self.slow.to_string()),
            ("most memory of a process, MiB", peaks.join(", ")),
        ] {
            writeln!(out, "| {what} | {figure} |")?;
        }
        Ok(())
    }
}
