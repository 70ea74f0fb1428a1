//! One batch: where its records went, and whether that adds up. Pure.

use std::collections::BTreeMap;

use schemas::Timestamp;
use serde_json::{Value, json};

use crate::words::count;

/// A batch as it stands in `audit.batch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Its id.
    pub(crate) id: String,
    /// `scheduled`, `manual`, ...
    pub(crate) kind: String,
    /// `<profile>/<version>`.
    pub(crate) source: String,
    /// When it began.
    pub(crate) started_at: Option<Timestamp>,
    /// When it was closed.
    pub(crate) finished_at: Option<Timestamp>,
    /// How it ended; `None` while it is open.
    pub(crate) status: Option<String>,
    /// Whether every count adds up; `None` while it is open.
    pub(crate) tied: Option<bool>,
    /// Where its records went.
    pub(crate) counts: Counts,
    /// Requests to the source.
    pub(crate) requests: Option<i64>,
    /// Dead letters by their first reason.
    pub(crate) dlq_by_code: BTreeMap<String, i64>,
    /// From start to close.
    pub(crate) duration_ms: Option<i64>,
    /// Its trace.
    pub(crate) trace_id: Option<String>,
    /// What there is to say in words.
    pub(crate) detail: Option<String>,
}

/// Where the records of a batch went, by the names of the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records that the source gave out.
    pub(crate) fetched: i64,
    /// Records written to `sisdmk.raw`.
    pub(crate) raw: i64,
    /// Records set aside before that.
    pub(crate) quarantined: i64,
    /// Records written to `sisdmk.clean`.
    pub(crate) clean: i64,
    /// Of these, those without a raw record of their own.
    pub(crate) deletes_found: i64,
    /// Dead letters of the processor.
    pub(crate) dlq: i64,
    /// Nothing new.
    pub(crate) processor_equal: i64,
    /// Older than what is known.
    pub(crate) processor_stale: i64,
    /// New rows.
    pub(crate) inserted: i64,
    /// Changed rows.
    pub(crate) updated: i64,
    /// Rows marked deleted.
    pub(crate) deleted: i64,
    /// Nothing new for the table.
    pub(crate) sink_equal: i64,
    /// Older than the row.
    pub(crate) sink_stale: i64,
    /// Followed by a newer version in the same transaction.
    pub(crate) superseded: i64,
    /// Dead letters of the sink.
    pub(crate) rejected: i64,
    /// Same stamp, other content.
    pub(crate) conflict: i64,
}

/// One line of the bookkeeping: a total, and the parts that must make it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Equation {
    /// Which step of the way.
    pub(crate) step: &'static str,
    /// Name and number of the total.
    pub(crate) total: (&'static str, i64),
    /// Name and number of each part; the sign is part of the number's use, not of the number.
    pub(crate) parts: Vec<(Sign, &'static str, i64)>,
}

/// Whether a part is added or taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Added.
    Plus,
    /// Taken off.
    Minus,
}

impl Equation {
    /// Total less parts: 0 where it adds up.
    pub(crate) fn missing(&self) -> i64 {
        self.parts.iter().fold(self.total.1, |left, (sign, _, number)| match sign {
            Sign::Plus => left.saturating_sub(*number),
            Sign::Minus => left.saturating_add(*number),
        })
    }

    /// `fetched 20 = raw 18 + quarantined 2`.
    pub(crate) fn write(&self) -> String {
        let mut text = format!("{} {} =", self.total.0, count(self.total.1));
        for (index, (sign, name, number)) in self.parts.iter().enumerate() {
            match (index, sign) {
                (0, Sign::Plus) => {}
                (_, Sign::Plus) => text.push_str(" +"),
                (_, Sign::Minus) => text.push_str(" -"),
            }
            text.push_str(&format!(" {name} {}", count(*number)));
        }
        text
    }
}

impl Counts {
    /// The counts with their names, in the order of the contract.
    pub(crate) fn named(&self) -> [(&'static str, i64); 16] {
        [
            ("fetched", self.fetched),
            ("raw", self.raw),
            ("quarantined", self.quarantined),
            ("clean", self.clean),
            ("deletes_found", self.deletes_found),
            ("dlq", self.dlq),
            ("processor_equal", self.processor_equal),
            ("processor_stale", self.processor_stale),
            ("inserted", self.inserted),
            ("updated", self.updated),
            ("deleted", self.deleted),
            ("sink_equal", self.sink_equal),
            ("sink_stale", self.sink_stale),
            ("superseded", self.superseded),
            ("rejected", self.rejected),
            ("conflict", self.conflict),
        ]
    }

    /// What the stages have reported so far, for a batch that is still open. `reports`: totals by
    /// stage and name.
    pub(crate) fn from_reports(reports: &BTreeMap<(String, String), i64>) -> Self {
        let of = |stage: &str, name: &str| reports.get(&(stage.to_owned(), name.to_owned())).copied().unwrap_or(0);
        Self {
            fetched: of("producer", "fetched"),
            raw: of("producer", "raw"),
            quarantined: of("producer", "quarantined"),
            clean: of("processor", "clean"),
            deletes_found: of("processor", "deletes_found"),
            dlq: of("processor", "dlq"),
            processor_equal: of("processor", "processor_equal"),
            processor_stale: of("processor", "processor_stale"),
            inserted: of("sink", "inserted"),
            updated: of("sink", "updated"),
            deleted: of("sink", "deleted"),
            sink_equal: of("sink", "sink_equal"),
            sink_stale: of("sink", "sink_stale"),
            superseded: of("sink", "superseded"),
            rejected: of("sink", "rejected"),
            conflict: of("processor", "conflict").saturating_add(of("sink", "conflict")),
        }
    }

    /// Records that changed no row, because the row says the same or something newer.
    pub(crate) fn unchanged(&self) -> i64 {
        [self.processor_equal, self.processor_stale, self.sink_equal, self.sink_stale, self.superseded].iter().sum()
    }

    /// The three steps of the way, each with its equation.
    pub(crate) fn equations(&self) -> [Equation; 3] {
        use Sign::{Minus, Plus};
        [
            Equation {
                step: "producer: what the source gave out",
                total: ("fetched", self.fetched),
                parts: vec![(Plus, "raw", self.raw), (Plus, "quarantined", self.quarantined)],
            },
            Equation {
                step: "processor: what was checked",
                total: ("raw", self.raw),
                parts: vec![
                    (Plus, "clean", self.clean),
                    (Minus, "deletes_found", self.deletes_found),
                    (Plus, "dlq", self.dlq),
                    (Plus, "processor_equal", self.processor_equal),
                    (Plus, "processor_stale", self.processor_stale),
                ],
            },
            Equation {
                step: "sink: what was written to the database",
                total: ("clean", self.clean),
                parts: vec![
                    (Plus, "inserted", self.inserted),
                    (Plus, "updated", self.updated),
                    (Plus, "deleted", self.deleted),
                    (Plus, "sink_equal", self.sink_equal),
                    (Plus, "sink_stale", self.sink_stale),
                    (Plus, "superseded", self.superseded),
                    (Plus, "rejected", self.rejected),
                ],
            },
        ]
    }
}

impl Batch {
    /// For programs: the columns of `audit.batch` by their names.
    pub(crate) fn json(&self) -> Value {
        let mut object = json!({
            "batch_id": self.id,
            "kind": self.kind,
            "source": self.source,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "status": self.status,
            "tied": self.tied,
            "requests": self.requests,
            "dlq_by_code": self.dlq_by_code,
            "duration_ms": self.duration_ms,
            "trace_id": self.trace_id,
            "detail": self.detail,
        });
        if let Some(object) = object.as_object_mut() {
            object.extend(self.counts.named().map(|(name, number)| (name.to_owned(), json!(number))));
        }
        object
    }

    /// `open`, or how it ended.
    pub(crate) fn status_word(&self) -> &str {
        self.status.as_deref().unwrap_or("open")
    }

    /// Whether the counts add up, in one word.
    pub(crate) fn tied_word(&self) -> &'static str {
        match self.tied {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Counts = Counts {
        fetched: 20_000,
        raw: 19_998,
        quarantined: 2,
        clean: 19_001,
        deletes_found: 1,
        dlq: 900,
        processor_equal: 90,
        processor_stale: 8,
        inserted: 18_000,
        updated: 900,
        deleted: 1,
        sink_equal: 50,
        sink_stale: 30,
        superseded: 15,
        rejected: 5,
        conflict: 3,
    };

    #[test]
    fn a_batch_that_adds_up_misses_nothing() {
        assert_eq!(COUNTS.equations().map(|equation| equation.missing()), [0; 3]);
    }

    #[test]
    fn what_is_missing_is_told_where_it_is_missing() {
        let short = Counts { dlq: 890, inserted: 18_004, ..COUNTS };
        assert_eq!(short.equations().map(|equation| equation.missing()), [0, 10, -4]);
    }

    #[test]
    fn every_fetched_record_is_in_one_column_of_the_list() {
        let shown = COUNTS.quarantined
            + COUNTS.dlq
            + COUNTS.rejected
            + COUNTS.unchanged()
            + COUNTS.inserted
            + COUNTS.updated
            + COUNTS.deleted;
        assert_eq!(shown, COUNTS.fetched + COUNTS.deletes_found);
    }

    #[test]
    fn an_equation_reads_like_one() {
        let written = COUNTS.equations().map(|equation| equation.write());
        assert_eq!(written[0], "fetched 20,000 = raw 19,998 + quarantined 2");
        assert_eq!(
            written[1],
            "raw 19,998 = clean 19,001 - deletes_found 1 + dlq 900 + processor_equal 90 + processor_stale 8"
        );
    }

    #[test]
    fn counts_of_an_open_batch_come_from_the_reports() {
        let reports = [
            (("producer", "fetched"), 5),
            (("producer", "raw"), 5),
            (("processor", "clean"), 3),
            (("processor", "conflict"), 1),
            (("sink", "conflict"), 1),
            (("sink", "clean_in"), 3),
            (("nobody", "fetched"), 9),
        ]
        .map(|((stage, name), number)| ((stage.to_owned(), name.to_owned()), number));
        assert_eq!(
            Counts::from_reports(&reports.into()),
            Counts { fetched: 5, raw: 5, clean: 3, conflict: 2, ..Counts::default() }
        );
    }
}
