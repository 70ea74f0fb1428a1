//! The headers of a dead letter, one form for every stage that writes one.
//!
//! A dead letter keeps its record's own headers, key and bytes; what is added here says why it is dead and
//! where it came from. Nothing here is taken from the record's payload.

use xxhash_rust::xxh3::xxh3_64;

use crate::Timestamp;

/// Prefixes of the headers that a dead letter adds. A record that already carries some of them, because it was
/// replayed, has them replaced: two answers to one question would leave the reader to guess.
pub const ADDED_PREFIXES: [&str; 2] = ["dlq.", "__connect.errors."];

/// Why and where one record died.
#[derive(Debug)]
pub struct Letter<'a> {
    /// `processor` or `sink`.
    pub stage: &'static str,
    /// Kafka Connect's word for the place: `VALUE_CONVERTER` or `TASK_PUT`.
    pub connect_stage: &'static str,
    /// Stable reason codes in catalogue order, each once, at least one.
    pub codes: &'a [&'static str],
    /// Source field of the first reason, or empty.
    pub field: &'a str,
    /// Our own sentence about the first reason, without any value.
    pub message: &'a str,
    /// Coordinates of the record in `sisdmk.raw`.
    pub topic: &'a str,
    /// Partition of `topic`.
    pub partition: i32,
    /// Offset in `partition`.
    pub offset: i64,
    /// Now.
    pub failed_at: Timestamp,
    /// `dlq.first.failed.at` of the record, where it died before.
    pub first_failed_at: Option<Timestamp>,
    /// `dlq.attempts` of the record, where it died before.
    pub attempts_before: u32,
}

impl Letter<'_> {
    /// Names and values of the added headers, in the order of `docs/CONTRACT.md` section 2.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let first = self.codes.first().copied().unwrap_or_default();
        let first_failed_at = self.first_failed_at.unwrap_or(self.failed_at);
        vec![
            ("dlq.stage", self.stage.to_owned()),
            ("dlq.error.code", first.to_owned()),
            ("dlq.error.codes", self.codes.join(",")),
            ("dlq.error.field", self.field.to_owned()),
            ("dlq.fingerprint", self.fingerprint()),
            ("dlq.failed.at", self.failed_at.to_string()),
            ("dlq.first.failed.at", first_failed_at.to_string()),
            ("dlq.attempts", self.attempts_before.saturating_add(1).to_string()),
            ("__connect.errors.topic", self.topic.to_owned()),
            ("__connect.errors.partition", self.partition.to_string()),
            ("__connect.errors.offset", self.offset.to_string()),
            ("__connect.errors.stage", self.connect_stage.to_owned()),
            ("__connect.errors.exception.class.name", first.to_owned()),
            ("__connect.errors.exception.message", self.message.to_owned()),
        ]
    }

    /// Equal for letters that died of the same reasons in the same stage: what an operator groups by.
    fn fingerprint(&self) -> String {
        let text = format!("{}|{}|{}", self.stage, self.codes.join(","), self.field);
        format!("{:016x}", xxh3_64(text.as_bytes()))
    }
}

/// Whether a header of the incoming record is replaced by [`Letter::headers`].
#[must_use]
pub fn is_replaced(name: &str) -> bool {
    ADDED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter<'static> {
        Letter {
            stage: "processor",
            connect_stage: "VALUE_CONVERTER",
            codes: &["nik_length", "status_aktif_unknown"],
            field: "NIK",
            message: "the NIK does not have 16 digits",
            topic: "sisdmk.raw",
            partition: 2,
            offset: 41,
            failed_at: Timestamp(1_000_000),
            first_failed_at: None,
            attempts_before: 0,
        }
    }

    fn value(headers: &[(&'static str, String)], name: &str) -> String {
        headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()).expect("the header is there")
    }

    #[test]
    fn a_first_failure_has_one_attempt_and_one_time() {
        let headers = letter().headers();
        assert_eq!(value(&headers, "dlq.attempts"), "1");
        assert_eq!(value(&headers, "dlq.failed.at"), value(&headers, "dlq.first.failed.at"));
        assert_eq!(value(&headers, "dlq.error.codes"), "nik_length,status_aktif_unknown");
        assert_eq!(value(&headers, "__connect.errors.offset"), "41");
    }

    #[test]
    fn a_repeat_keeps_the_first_time_and_counts_on() {
        let headers = Letter { first_failed_at: Some(Timestamp(7)), attempts_before: 2, ..letter() }.headers();
        assert_eq!(value(&headers, "dlq.attempts"), "3");
        assert_eq!(value(&headers, "dlq.first.failed.at"), Timestamp(7).to_string());
    }

    #[test]
    fn the_fingerprint_groups_by_stage_codes_and_field_alone() {
        let here = letter().fingerprint();
        assert_eq!(here, Letter { offset: 1, partition: 0, failed_at: Timestamp(5), ..letter() }.fingerprint());
        assert_ne!(here, Letter { field: "NAMA", ..letter() }.fingerprint());
        assert_eq!(here.len(), 16);
    }

    #[test]
    fn every_added_header_is_replaced_on_a_repeat() {
        assert!(letter().headers().iter().all(|(name, _)| is_replaced(name)));
        assert!(!is_replaced("sisdmk-batch-id"));
    }
}
