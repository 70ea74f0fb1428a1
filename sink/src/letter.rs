//! Dead letters of the sink: what is added to a record that Postgres cannot hold.
//!
//! The record keeps its key, its bytes and its own headers. What a letter of an earlier failure
//! added is replaced and not appended: a reader finds one answer to each question.

use schemas::Timestamp;
use schemas::letter::{ADDED_PREFIXES, Letter as Added};

use crate::batch::Record;
use crate::policy::Refusal;

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coordinates<'b> {
    /// Topic.
    pub(crate) topic: &'b str,
    /// Partition.
    pub(crate) partition: i32,
    /// Offset.
    pub(crate) offset: i64,
}

/// A record that is set aside.
pub(crate) struct Letter<'b> {
    /// The record.
    pub(crate) record: Record<'b>,
    /// Its partition, which is also the letter's.
    pub(crate) partition: i32,
    /// Where its raw record stands.
    pub(crate) raw: Coordinates<'b>,
    /// Why.
    pub(crate) refusal: &'b Refusal,
}

impl Letter<'_> {
    /// All headers of the letter, the record's own first.
    pub(crate) fn headers(&self, now: Timestamp) -> Vec<(String, Vec<u8>)> {
        let own = self.record.headers().filter_map(|(name, value)| {
            let name = std::str::from_utf8(name).ok()?;
            let added = ADDED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            (!added).then(|| (name.to_owned(), value.unwrap_or_default().to_vec()))
        });
        let added = Added {
            stage: "sink",
            connect_stage: "TASK_PUT",
            codes: &[self.refusal.code()],
            field: "",
            message: &self.refusal.sentence(),
            topic: self.raw.topic,
            partition: self.raw.partition,
            offset: self.raw.offset,
            failed_at: now,
            first_failed_at: self.record.header("dlq.first.failed.at").and_then(Timestamp::parse_rfc3339),
            attempts_before: self.record.header("dlq.attempts").and_then(|text| text.parse().ok()).unwrap_or(0),
        };
        let added = added.headers().into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes()));
        own.chain(added).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;

    #[test]
    fn a_letter_keeps_its_headers_and_replaces_those_of_an_earlier_one() {
        let mut batch = Batch::new(7);
        let own = [
            ("sisdmk-batch-id", "b"),
            ("dlq.stage", "processor"),
            ("dlq.attempts", "2"),
            ("dlq.first.failed.at", "2026-01-01T00:00:00.000000Z"),
            ("__connect.errors.topic", "old"),
        ];
        batch.push(
            7,
            Some(b"k"),
            Some(b"v"),
            own.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))),
        );
        let letter = Letter {
            record: batch.record(0),
            partition: 3,
            raw: Coordinates { topic: "sisdmk.raw", partition: 3, offset: 99 },
            refusal: &Refusal::IdentityMismatch,
        };
        let headers = letter.headers(Timestamp(0));
        let find = |wanted: &str| {
            let mut found = headers.iter().filter(|(name, _)| name == wanted);
            let value = found.next().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            assert!(found.next().is_none(), "{wanted} twice");
            value.unwrap_or_else(|| panic!("{wanted} is missing"))
        };
        for (name, value) in [
            ("sisdmk-batch-id", "b"),
            ("dlq.stage", "sink"),
            ("dlq.attempts", "3"),
            ("dlq.error.code", "identity_mismatch"),
            ("dlq.first.failed.at", "2026-01-01T00:00:00.000000Z"),
            ("dlq.failed.at", "1970-01-01T00:00:00.000000Z"),
            ("__connect.errors.topic", "sisdmk.raw"),
            ("__connect.errors.offset", "99"),
            ("__connect.errors.stage", "TASK_PUT"),
        ] {
            assert_eq!(find(name), value, "{name}");
        }
    }
}
