//! Whether a batch's counts tie, and how it is closed.
//!
//! Every number was counted where it happened and came here in a report; none is made of others.
//! Pure: reports and times in, a decision out.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::Timestamp;
use schemas::event::{BatchStatus, EventType, event_id};
use uuid::Uuid;

/// Counts of one batch, summed over the reports of each stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums(BTreeMap<String, BTreeMap<String, i64>>);

impl Sums {
    /// Adds to one count of a stage.
    pub(crate) fn add(&mut self, stage: &str, name: &str, count: i64) {
        let sum = self.0.entry(stage.to_owned()).or_default().entry(name.to_owned()).or_default();
        *sum = sum.saturating_add(count);
    }

    fn get(&self, stage: &str, name: &str) -> i64 {
        self.0.get(stage).and_then(|counts| counts.get(name)).copied().unwrap_or(0)
    }

    fn has(&self, stage: &str) -> bool {
        self.0.contains_key(stage)
    }

    fn dlq_by_code(&self) -> BTreeMap<String, i64> {
        let Some(counts) = self.0.get("processor") else { return BTreeMap::new() };
        counts.iter().filter_map(|(name, count)| Some((name.strip_prefix("dlq.")?.to_owned(), *count))).collect()
    }
}

/// What the producer, or the console for a replay, said when everything was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// `fetched`, `raw`, `quarantined`, `requests`.
    pub(crate) counts: BTreeMap<String, i64>,
    /// How the fetching ended.
    pub(crate) status: BatchStatus,
    /// When the ledger took note of it. The deadline runs from here and not from the event's own
    /// time, so that a ledger that was down reads what is waiting before it gives anything up.
    pub(crate) recorded_at: Timestamp,
}

/// The counts of a batch as in its row of `audit.batch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchCounts {
    /// Column and number, in the order of the table.
    pub(crate) columns: Vec<(&'static str, i64)>,
    /// HTTP requests made.
    pub(crate) requests: i64,
    /// The processor's dead letters by first reason.
    pub(crate) dlq_by_code: BTreeMap<String, i64>,
}

/// How a batch is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// The worst that happened.
    pub(crate) status: BatchStatus,
    /// Whether the counts tie.
    pub(crate) tied: bool,
    /// Every count.
    pub(crate) counts: BatchCounts,
    /// Which stage is short, and by how much.
    pub(crate) detail: Option<String>,
}

/// Decides about a batch whose fetching has ended; none: it stays open.
pub(crate) fn close(announced: &Announced, sums: &Sums, now: Timestamp, deadline: Duration) -> Option<Closing> {
    let counts = counts(announced, sums);
    match short(announced, sums) {
        None => Some(Closing { status: announced.status, tied: true, counts, detail: None }),
        Some(detail) => {
            let deadline = i64::try_from(deadline.as_micros()).unwrap_or(i64::MAX);
            let over = now.0.saturating_sub(announced.recorded_at.0) >= deadline;
            over.then(|| Closing {
                status: worst(announced.status, BatchStatus::Incomplete),
                tied: false,
                counts,
                detail: Some(detail),
            })
        }
    }
}

/// The first equation of the contract that does not hold, as a sentence that begins with the stage.
fn short(announced: &Announced, sums: &Sums) -> Option<String> {
    let said = |name: &str| announced.counts.get(name).copied().unwrap_or(0);
    let processor = |name: &str| sums.get("processor", name);
    let sink = |name: &str| sums.get("sink", name);
    let (fetched, raw, quarantined) = (said("fetched"), said("raw"), said("quarantined"));

    let mut equations = Vec::with_capacity(8);
    let mut equation =
        |stage, left: (&'static str, i64), right: (&'static str, i64)| equations.push((stage, left, right));
    equation("producer", ("fetched", fetched), ("raw + quarantined", raw.saturating_add(quarantined)));
    // A replay is announced by the console, which has no slices to report.
    if sums.has("producer") {
        equation("producer", ("fetched", fetched), ("fetched of its slices", sums.get("producer", "fetched")));
        equation("producer", ("raw", raw), ("raw of its slices", sums.get("producer", "raw")));
    }
    equation("processor", ("raw", raw), ("raw_in", processor("raw_in")));
    equation(
        "processor",
        ("raw_in", processor("raw_in")),
        (
            "clean - deletes_found + dlq + processor_equal + processor_stale",
            processor("clean") - processor("deletes_found")
                + processor("dlq")
                + processor("processor_equal")
                + processor("processor_stale"),
        ),
    );
    equation("sink", ("clean", processor("clean")), ("clean_in", sink("clean_in")));
    let outcomes = ["inserted", "updated", "deleted", "sink_equal", "sink_stale", "superseded", "rejected"];
    equation(
        "sink",
        ("clean_in", sink("clean_in")),
        (
            "inserted + updated + deleted + sink_equal + sink_stale + superseded + rejected",
            outcomes.iter().map(|name| sink(name)).sum(),
        ),
    );
    equations.into_iter().find(|(_, left, right)| left.1 != right.1).map(|(stage, left, right)| {
        let (short_or_over, by) =
            if right.1 < left.1 { ("short", left.1 - right.1) } else { ("over", right.1 - left.1) };
        format!("{stage} is {short_or_over} by {by}: {} is {}, {} is {}", left.0, left.1, right.0, right.1)
    })
}

fn counts(announced: &Announced, sums: &Sums) -> BatchCounts {
    let said = |name: &'static str| (name, announced.counts.get(name).copied().unwrap_or(0));
    let processor = |name: &'static str| (name, sums.get("processor", name));
    let sink = |name: &'static str| (name, sums.get("sink", name));
    BatchCounts {
        columns: vec![
            said("fetched"),
            said("raw"),
            said("quarantined"),
            processor("clean"),
            processor("deletes_found"),
            processor("dlq"),
            processor("processor_equal"),
            processor("processor_stale"),
            sink("inserted"),
            sink("updated"),
            sink("deleted"),
            sink("sink_equal"),
            sink("sink_stale"),
            sink("superseded"),
            sink("rejected"),
            // The processor sees every contradiction first; the sink sees those again that passed.
            ("conflict", sums.get("processor", "conflict").max(sums.get("sink", "conflict"))),
        ],
        requests: announced.counts.get("requests").copied().unwrap_or(0),
        dlq_by_code: sums.dlq_by_code(),
    }
}

/// The worse of two ends, in the order of the contract.
pub(crate) fn worst(one: BatchStatus, other: BatchStatus) -> BatchStatus {
    let rank = |status| match status {
        BatchStatus::AuthFailed => 5,
        BatchStatus::FormatChanged => 4,
        BatchStatus::Failed => 3,
        BatchStatus::Incomplete => 2,
        // A newer producer's word for something that is not complete.
        BatchStatus::TidakDiketahui => 1,
        BatchStatus::Complete => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// The id of the event that tells of a batch's close: the same whoever closes it.
pub(crate) fn closed_event_id(batch_id: Uuid) -> Uuid {
    event_id(batch_id, EventType::BatchClosed, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(900);

    fn announced(fetched: i64, raw: i64, quarantined: i64, status: BatchStatus) -> Announced {
        let counts = [("fetched", fetched), ("raw", raw), ("quarantined", quarantined), ("requests", 3)];
        Announced {
            counts: counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            status,
            recorded_at: Timestamp(1_000_000),
        }
    }

    fn sums(list: &[(&str, &str, i64)]) -> Sums {
        let mut sums = Sums::default();
        list.iter().for_each(|(stage, name, count)| sums.add(stage, name, *count));
        sums
    }

    /// 10 fetched, 1 quarantined, 9 raw; 2 dead, 1 equal, 1 stale, 5 clean and a deletion found.
    const GOOD: &[(&str, &str, i64)] = &[
        ("producer", "fetched", 4),
        ("producer", "fetched", 6),
        ("producer", "raw", 9),
        ("processor", "raw_in", 9),
        ("processor", "clean", 6),
        ("processor", "deletes_found", 1),
        ("processor", "dlq", 2),
        ("processor", "dlq.nik_length", 2),
        ("processor", "processor_equal", 1),
        ("processor", "processor_stale", 1),
        ("processor", "conflict", 2),
        ("sink", "clean_in", 6),
        ("sink", "inserted", 1),
        ("sink", "updated", 1),
        ("sink", "deleted", 1),
        ("sink", "sink_equal", 1),
        ("sink", "superseded", 1),
        ("sink", "rejected", 1),
        ("sink", "conflict", 1),
    ];

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn a_batch_that_ties_is_closed_at_once_with_the_producer_s_status() {
        for status in [BatchStatus::Complete, BatchStatus::Failed, BatchStatus::AuthFailed] {
            let closing = close(&announced(10, 9, 1, status), &sums(GOOD), at(0), DEADLINE).expect("closed");
            assert_eq!((closing.status, closing.tied, closing.detail), (status, true, None));
            assert_eq!(closing.counts.dlq_by_code, BTreeMap::from([("nik_length".to_owned(), 2)]));
            assert_eq!(closing.counts.requests, 3);
            let column =
                |name: &str| closing.counts.columns.iter().find(|(column, _)| *column == name).map(|(_, count)| *count);
            assert_eq!(
                (column("fetched"), column("clean"), column("superseded"), column("conflict")),
                (Some(10), Some(6), Some(1), Some(2))
            );
        }
    }

    #[test]
    fn an_empty_batch_ties() {
        let closing = close(&announced(0, 0, 0, BatchStatus::Complete), &Sums::default(), at(0), DEADLINE);
        assert!(closing.expect("closed").tied);
    }

    #[test]
    fn a_replay_has_no_slices() {
        let without: Vec<_> = GOOD.iter().copied().filter(|(stage, ..)| *stage != "producer").collect();
        assert!(
            close(&announced(10, 9, 1, BatchStatus::Complete), &sums(&without), at(0), DEADLINE).expect("closed").tied
        );
    }

    #[test]
    fn every_missing_or_repeated_count_keeps_the_batch_open_until_the_deadline() {
        let check = |changed: (&str, &str, i64), stage: &str| {
            let mut list = GOOD.to_vec();
            list.push(changed);
            let announced = announced(10, 9, 1, BatchStatus::Complete);
            assert_eq!(close(&announced, &sums(&list), at(899), DEADLINE), None, "{changed:?}");
            let closing = close(&announced, &sums(&list), at(900), DEADLINE).expect("closed");
            assert_eq!((closing.status, closing.tied), (BatchStatus::Incomplete, false), "{changed:?}");
            let detail = closing.detail.expect("a detail");
            assert!(detail.starts_with(stage), "{changed:?}: {detail}");
        };
        for by in [-1, 1] {
            check(("producer", "fetched", by), "producer");
            check(("producer", "raw", by), "producer");
            for name in ["raw_in", "dlq", "processor_equal", "processor_stale", "deletes_found"] {
                check(("processor", name, by), "processor");
            }
            check(("processor", "clean", by), "processor");
            for name in
                ["clean_in", "inserted", "updated", "deleted", "sink_equal", "sink_stale", "superseded", "rejected"]
            {
                check(("sink", name, by), "sink");
            }
        }
    }

    #[test]
    fn the_detail_names_the_stage_that_is_short() {
        let mut list = GOOD.to_vec();
        list.push(("processor", "raw_in", -4));
        let closing =
            close(&announced(10, 9, 1, BatchStatus::Complete), &sums(&list), at(900), DEADLINE).expect("closed");
        assert_eq!(closing.detail.as_deref(), Some("processor is short by 4: raw is 9, raw_in is 5"));
    }

    #[test]
    fn the_worst_end_wins() {
        use BatchStatus::{AuthFailed, Complete, Failed, FormatChanged, Incomplete};
        let order = [AuthFailed, FormatChanged, Failed, Incomplete, Complete];
        for (place, status) in order.iter().enumerate() {
            for other in &order[place..] {
                assert_eq!((worst(*status, *other), worst(*other, *status)), (*status, *status));
            }
        }
        let late = close(&announced(5, 4, 0, AuthFailed), &Sums::default(), at(900), DEADLINE).expect("closed");
        assert_eq!((late.status, late.tied), (AuthFailed, false));
    }
}
