//! A dead letter as an operator may see it: why it died, where it came from, never what it says. Pure.
//!
//! `dlq.*` and `__connect.errors.*` are written by our stages and replaced on every failure. All
//! other headers came with the record, and anybody may have written them: their values are shown
//! only where they have exactly the form that the contract gives them.

use rules::Code;
use schemas::{PersonId, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::command::DlqPlace;
use crate::table::clean;
use crate::words::counted;

/// What is known about one dead letter without looking into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// Where it is.
    pub(crate) place: DlqPlace,
    /// When it died; the record's own time where the header is missing.
    pub(crate) failed_at: Timestamp,
    /// When it died for the first time.
    pub(crate) first_failed_at: Option<Timestamp>,
    /// Which stage refused it.
    pub(crate) stage: String,
    /// All reasons, catalogue order; the first stands for all.
    pub(crate) codes: Vec<String>,
    /// Source field of the first reason.
    pub(crate) field: String,
    /// How often it has died.
    pub(crate) attempts: Option<u32>,
    /// The batch that brought it.
    pub(crate) batch_id: Option<Uuid>,
    /// The worker it is about, if that could be told.
    pub(crate) person_id: Option<PersonId>,
    /// Where the record lies in `sisdmk.raw`.
    pub(crate) origin: Option<String>,
    /// Equal for letters that died of the same reasons in the same place.
    pub(crate) fingerprint: String,
}

/// The parts of a message that a dead letter is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope<'a> {
    /// Where it is.
    pub(crate) place: DlqPlace,
    /// The record's time, milliseconds since 1970.
    pub(crate) timestamp_ms: Option<i64>,
    /// The key.
    pub(crate) key: Option<&'a [u8]>,
    /// Name and value of every header.
    pub(crate) headers: &'a [(String, Vec<u8>)],
}

impl Envelope<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Our own word, written by a stage.
    fn word(&self, name: &str) -> String {
        self.header(name).map(clean).unwrap_or_default()
    }

    fn moment(&self, name: &str) -> Option<Timestamp> {
        self.header(name).and_then(Timestamp::parse_rfc3339)
    }

    /// Reads the headers.
    pub(crate) fn read(&self) -> DeadLetter {
        let first = self.word("dlq.error.code");
        let mut codes: Vec<String> = self
            .header("dlq.error.codes")
            .unwrap_or_default()
            .split(',')
            .map(clean)
            .filter(|code| !code.is_empty())
            .collect();
        if codes.is_empty() && !first.is_empty() {
            codes.push(first);
        }
        let origin = ["__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset"]
            .map(|name| self.word(name));
        let dead_at = Timestamp(self.timestamp_ms.unwrap_or(0).saturating_mul(1_000));
        DeadLetter {
            place: self.place,
            failed_at: self.moment("dlq.failed.at").unwrap_or(dead_at),
            first_failed_at: self.moment("dlq.first.failed.at"),
            stage: self.word("dlq.stage"),
            codes,
            field: self.word("dlq.error.field"),
            attempts: self.header("dlq.attempts").and_then(|n| n.parse().ok()),
            batch_id: self.header("sisdmk-batch-id").and_then(|id| Uuid::parse_str(id).ok()),
            person_id: self.key.and_then(PersonId::parse),
            origin: origin.iter().all(|part| !part.is_empty()).then(|| origin.join("/")),
            fingerprint: self.word("dlq.fingerprint"),
        }
    }

    /// Every header as it may be shown: name and value, or name and length.
    pub(crate) fn shown_headers(&self) -> Vec<(String, String)> {
        self.headers.iter().map(|(name, value)| shown(name, value)).collect()
    }

    /// The key as it may be shown: anything but a person id could be a NIK.
    pub(crate) fn shown_key(&self) -> String {
        match (self.key, self.key.and_then(PersonId::parse)) {
            (_, Some(person)) => person.to_string(),
            (Some(key), None) => format!("(not a person id, {} bytes)", key.len()),
            (None, None) => "(none: no NIK could be read)".to_owned(),
        }
    }
}

fn shown(name: &str, value: &[u8]) -> (String, String) {
    let text = std::str::from_utf8(value).ok();
    let ours = name.starts_with("dlq.") || name.starts_with("__connect.errors.");
    let has_form = text.is_some_and(|text| match name {
        "sisdmk-batch-id" | "sisdmk-request-id" | "sisdmk-origin-batch-id" => Uuid::parse_str(text).is_ok(),
        "sisdmk-fetched-at" => Timestamp::parse_rfc3339(text).is_some(),
        "sisdmk-source" => is_source(text),
        "traceparent" => is_traceparent(text),
        "sisdmk-replay-of" => text.parse::<DlqPlace>().is_ok(),
        _ => false,
    });
    match text {
        Some(text) if ours || has_form => (clean(name), clean(text)),
        _ => (
            crate::mask::shown_name(name.as_bytes()),
            format!("(not shown, {})", counted(value.len(), "byte", "bytes")),
        ),
    }
}

/// `sdmk-modified/1`.
fn is_source(text: &str) -> bool {
    text.len() <= 60
        && text.split_once('/').is_some_and(|(name, version)| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                // A longer run of digits is not part of a profile's name, and may be a number.
                && name.bytes().filter(u8::is_ascii_digit).count() <= 4
                && (1..=4).contains(&version.len())
                && version.bytes().all(|b| b.is_ascii_digit())
        })
}

/// `00-<32 hex>-<16 hex>-<2 hex>`.
fn is_traceparent(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [2, 32, 16, 2] && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

impl DeadLetter {
    /// The first reason, which stands for the letter in counts.
    pub(crate) fn code(&self) -> &str {
        self.codes.first().map_or("(none)", String::as_str)
    }

    /// Whether it is one of those asked for: with this reason among its reasons, of this stage.
    pub(crate) fn matches(&self, code: Option<&str>, stage: Option<&str>) -> bool {
        code.is_none_or(|code| self.codes.iter().any(|own| own == code))
            && stage.is_none_or(|stage| self.stage == stage)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "place": self.place.to_string(),
            "partition": self.place.partition,
            "offset": self.place.offset,
            "failed_at": self.failed_at,
            "first_failed_at": self.first_failed_at,
            "stage": self.stage,
            "code": self.code(),
            "codes": self.codes,
            "field": self.field,
            "attempts": self.attempts,
            "batch_id": self.batch_id,
            "person_id": self.person_id,
            "origin": self.origin,
            "fingerprint": self.fingerprint,
        })
    }
}

/// The catalogue's entry for a code.
pub(crate) fn known(code: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|known| known.as_str() == code)
}

/// Keeps the newest letters, at most as many as asked for.
///
/// A dead-letter topic may hold a month of them: memory stays bounded however many there are.
#[derive(Debug)]
pub(crate) struct Newest {
    limit: usize,
    kept: std::collections::BTreeMap<(Timestamp, DlqPlace), DeadLetter>,
}

impl Newest {
    /// Keeps at most `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: std::collections::BTreeMap::new() }
    }

    /// Takes one more into account.
    pub(crate) fn push(&mut self, letter: DeadLetter) {
        self.kept.insert((letter.failed_at, letter.place), letter);
        if self.kept.len() > self.limit {
            self.kept.pop_first();
        }
    }

    /// Those that were kept, newest first.
    pub(crate) fn into_newest_first(self) -> Vec<DeadLetter> {
        self.kept.into_values().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: DlqPlace = DlqPlace { partition: 1, offset: 7 };

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn envelope<'a>(key: Option<&'a [u8]>, headers: &'a [(String, Vec<u8>)]) -> Envelope<'a> {
        Envelope { place: PLACE, timestamp_ms: Some(1_000), key, headers }
    }

    #[test]
    fn a_letter_is_read_from_its_headers() {
        let headers = headers(&[
            ("dlq.stage", "processor"),
            ("dlq.error.code", "nik_length"),
            ("dlq.error.codes", "nik_length,date_invalid"),
            ("dlq.error.field", "NIK"),
            ("dlq.attempts", "2"),
            ("dlq.failed.at", "2026-11-23T01:02:03.000004Z"),
            ("sisdmk-batch-id", "0193a5c8-0000-7000-8000-000000000001"),
            ("__connect.errors.topic", "sisdmk.raw"),
            ("__connect.errors.partition", "1"),
            ("__connect.errors.offset", "41"),
        ]);
        let letter = envelope(None, &headers).read();
        assert_eq!(letter.code(), "nik_length");
        assert_eq!(letter.codes.len(), 2);
        assert_eq!(letter.attempts, Some(2));
        assert_eq!(letter.origin.as_deref(), Some("sisdmk.raw/1/41"));
        assert_eq!(letter.failed_at.to_string(), "2026-11-23T01:02:03.000004Z");
        assert!(letter.matches(Some("date_invalid"), Some("processor")));
        assert!(!letter.matches(Some("nik_serial"), None));
        assert!(!letter.matches(None, Some("sink")));
    }

    #[test]
    fn a_letter_without_headers_is_still_listed() {
        let letter = envelope(None, &[]).read();
        assert_eq!(letter.code(), "(none)");
        assert_eq!(letter.failed_at, Timestamp(1_000_000));
        assert_eq!((letter.attempts, letter.origin), (None, None));
    }

    #[test]
    fn headers_that_came_with_the_record_are_shown_only_in_their_form() {
        let check = |name: &str, value: &str, expected: (&str, &str)| {
            let (shown_name, shown_value) = shown(name, value.as_bytes());
            assert_eq!((shown_name.as_str(), shown_value.as_str()), expected);
        };
        let nik = "3273011205800001";
        check("dlq.stage", "sink", ("dlq.stage", "sink"));
        check("sisdmk-source", "sdmk-modified/1", ("sisdmk-source", "sdmk-modified/1"));
        for name in
            ["sisdmk-source", "sisdmk-batch-id", "sisdmk-fetched-at", "traceparent", "other", "sisdmk-replay-of"]
        {
            check(name, nik, (name, "(not shown, 16 bytes)"));
        }
        check(nik, "x", ("(unusual name, 16 characters)", "(not shown, 1 byte)"));
        check(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        );
    }

    #[test]
    fn a_key_that_is_no_person_id_is_not_shown() {
        let check = |key: Option<&[u8]>, expected: &str| {
            assert_eq!(envelope(key, &[]).shown_key(), expected);
        };
        check(None, "(none: no NIK could be read)");
        check(Some(b"3273011205800001"), "(not a person id, 16 bytes)");
        check(Some(b"01936ad3-0f6a-8abc-8def-0123456789ab"), "01936ad3-0f6a-8abc-8def-0123456789ab");
    }

    #[test]
    fn the_newest_are_kept_and_come_first() {
        let mut newest = Newest::new(2);
        for (partition, micros) in [(0, 3), (1, 1), (2, 2), (3, 2)] {
            let mut letter = envelope(None, &[]).read();
            letter.place.partition = partition;
            letter.failed_at = Timestamp(micros);
            newest.push(letter);
        }
        let kept: Vec<i32> = newest.into_newest_first().iter().map(|letter| letter.place.partition).collect();
        assert_eq!(kept, [0, 3]);
    }
}
