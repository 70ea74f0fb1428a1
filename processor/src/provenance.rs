//! Where a raw record comes from, as its headers say.

use schemas::{Timestamp, TraceId};
use uuid::Uuid;

/// Header names of `docs/CONTRACT.md` section 2.
pub mod header {
    /// Batch that brought the record.
    pub const BATCH_ID: &str = "sisdmk-batch-id";
    /// HTTP request that brought the record.
    pub const REQUEST_ID: &str = "sisdmk-request-id";
    /// When the source gave it out.
    pub const FETCHED_AT: &str = "sisdmk-fetched-at";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// Which dead letter was replayed; absent on a first delivery.
    pub const REPLAY_OF: &str = "sisdmk-replay-of";
    /// Attempts so far, on a replayed dead letter.
    pub const ATTEMPTS: &str = "dlq.attempts";
    /// First failure, on a replayed dead letter.
    pub const FIRST_FAILED_AT: &str = "dlq.first.failed.at";
}

/// What the headers of one raw record say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The nil UUID where the record names none.
    pub batch_id: Uuid,
    /// The nil UUID where the record names none.
    pub request_id: Uuid,
    /// `None` where it is missing or not in the form of the contract.
    pub fetched_at: Option<Timestamp>,
    /// All zero where the record carries no trace.
    pub trace_id: TraceId,
    /// Whether an operator replayed it.
    pub is_replay: bool,
    /// Times the record died before.
    pub attempts_before: u32,
    /// When it died first.
    pub first_failed_at: Option<Timestamp>,
}

impl Provenance {
    /// Reads the headers through `get`, which answers the last header of a name.
    ///
    /// Errors: none. What cannot be read is left out; [`Provenance::is_ours`] tells whether enough is there.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let text = |name: &str| std::str::from_utf8(get(name)?).ok();
        let uuid = |name: &str| text(name).and_then(|text| Uuid::try_parse(text).ok()).unwrap_or_default();
        let time = |name: &str| text(name).and_then(Timestamp::parse_rfc3339);
        Self {
            batch_id: uuid(header::BATCH_ID),
            request_id: uuid(header::REQUEST_ID),
            fetched_at: time(header::FETCHED_AT),
            trace_id: text(header::TRACEPARENT).and_then(trace_id).unwrap_or_default(),
            is_replay: get(header::REPLAY_OF).is_some(),
            attempts_before: text(header::ATTEMPTS).and_then(|text| text.parse().ok()).unwrap_or(0),
            first_failed_at: time(header::FIRST_FAILED_AT),
        }
    }

    /// Whether the record was written by this pipeline: a foreign one cannot be judged, because nothing says
    /// when its source gave it out.
    #[must_use]
    pub fn ours(&self) -> Option<Timestamp> {
        self.fetched_at.filter(|_| !self.batch_id.is_nil())
    }
}

/// The trace id of a W3C `traceparent`, version 00.
fn trace_id(traceparent: &str) -> Option<TraceId> {
    let mut parts = traceparent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 {
        return None;
    }
    u128::from_str_radix(trace, 16).ok().map(|id| TraceId(id.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: &str = "0193a000-0000-7000-8000-000000000001";
    const TIME: &str = "2026-11-23T01:02:03.000004Z";

    fn read(headers: &[(&str, &'static str)]) -> Provenance {
        Provenance::read(|name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes()))
    }

    #[test]
    fn a_record_of_the_producer_is_ours() {
        let read = read(&[
            (header::BATCH_ID, BATCH),
            (header::FETCHED_AT, TIME),
            (header::TRACEPARENT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ]);
        assert_eq!(read.ours(), Timestamp::parse_rfc3339(TIME));
        assert_eq!(u128::from_be_bytes(read.trace_id.0), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((read.attempts_before, read.first_failed_at, read.is_replay), (0, None, false));
    }

    #[test]
    fn a_record_without_batch_or_time_is_foreign() {
        for headers in [
            &[][..],
            &[(header::BATCH_ID, BATCH)],
            &[(header::FETCHED_AT, TIME)],
            &[(header::BATCH_ID, "batch"), (header::FETCHED_AT, TIME)],
            &[(header::BATCH_ID, BATCH), (header::FETCHED_AT, "yesterday")],
        ] {
            assert_eq!(read(headers).ours(), None, "{headers:?}");
        }
    }

    #[test]
    fn a_traceparent_of_another_form_is_no_trace() {
        for text in ["", "00", "00-12-34-01", "zz", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
            assert_eq!(trace_id(text), None, "{text}");
        }
    }

    #[test]
    fn a_replayed_letter_keeps_its_history() {
        let read =
            read(&[(header::ATTEMPTS, "2"), (header::FIRST_FAILED_AT, TIME), (header::REPLAY_OF, "sisdmk.dlq/0/17")]);
        assert!(read.is_replay);
        assert_eq!(read.attempts_before, 2);
        assert_eq!(read.first_failed_at, Timestamp::parse_rfc3339(TIME));
    }
}
