//! Events of `sisdmk.audit` as rows, and a batch's close as an event.
//!
//! Symbols of Avro are upper case, values of the tables lower case; this is where one becomes the
//! other. Pure.

use serde_json::json;

use schemas::Timestamp;
use schemas::TraceId;
use schemas::event::{BatchEvent, BatchKind, BatchStatus, EventType};
use uuid::Uuid;

use crate::ledger::{Announced, Closing, closed_event_id};

/// A symbol as the tables write it: `BATCH_FETCHED` is `batch_fetched`.
pub(crate) fn lower(symbol: &str) -> String {
    symbol.to_ascii_lowercase()
}

/// The kind that a table's word names.
pub(crate) fn kind(word: &str) -> BatchKind {
    BatchKind::parse(&word.to_ascii_uppercase()).unwrap_or(BatchKind::TidakDiketahui)
}

/// Everything of an event that has no column of its own.
pub(crate) fn payload(event: &BatchEvent) -> String {
    json!({
        "stage": event.stage,
        "topic": event.topic,
        "partition": event.partition,
        "first_offset": event.first_offset,
        "next_offset": event.next_offset,
        "counts": event.counts,
        "tied": event.tied,
        "status": event.status.map(|status| lower(status.as_str())),
        "started_at": event.started_at,
        "duration_ms": event.duration_ms,
        "request_id": event.request_id,
        "trace_id": event.trace_id,
    })
    .to_string()
}

/// Reads back what was announced from the payload of its event; none: it is not one of ours.
pub(crate) fn announced(payload: &str, recorded_at: Timestamp) -> Option<Announced> {
    let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
    let counts = payload.get("counts")?.as_object()?;
    let counts = counts.iter().map(|(name, count)| Some((name.clone(), count.as_i64()?))).collect::<Option<_>>()?;
    let status = payload.get("status").and_then(|status| status.as_str()).unwrap_or_default();
    Some(Announced {
        counts,
        // Announced without a word about how it went: whoever announced it was not sure.
        status: BatchStatus::parse(&status.to_ascii_uppercase()).unwrap_or(BatchStatus::Incomplete),
        recorded_at,
    })
}

/// Why an event cannot be put on record as it is; none for every event that our programs write.
///
/// Checked before the tables are asked: an event that they refuse would hold up all that follow.
pub(crate) fn unfit(event: &BatchEvent) -> Option<&'static str> {
    /// Years 1 to 9999.
    const MOMENTS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;
    let texts =
        [Some(&event.source), event.stage.as_ref(), event.topic.as_ref(), event.region.as_ref(), event.detail.as_ref()];
    let moments = [Some(event.occurred_at), event.started_at];
    if texts.into_iter().flatten().chain(event.counts.keys()).any(|text| text.contains('\0')) {
        return Some("a text holds a NUL");
    }
    if moments.into_iter().flatten().any(|moment| !MOMENTS.contains(&moment.0)) {
        return Some("a time is not in the years 1 to 9999");
    }
    if event.event_type != EventType::StageReport {
        return None;
    }
    let (Some(_), Some(_), Some(_), Some(first), Some(next)) =
        (&event.stage, &event.topic, event.partition, event.first_offset, event.next_offset)
    else {
        return Some("a report without its stage, topic, partition or range");
    };
    (next < first).then_some("a report whose range ends before it begins")
}

/// A batch that is being closed.
#[derive(Clone, Debug)]
pub(crate) struct OpenBatch {
    /// Its id.
    pub(crate) batch_id: Uuid,
    /// Kind, as the table writes it.
    pub(crate) kind: String,
    /// Source.
    pub(crate) source: String,
    /// When it began.
    pub(crate) started_at: Option<Timestamp>,
    /// Its trace.
    pub(crate) trace_id: Option<TraceId>,
}

impl OpenBatch {
    /// From its start to now.
    pub(crate) fn duration_ms(&self, now: Timestamp) -> Option<i64> {
        self.started_at.map(|started_at| now.0.saturating_sub(started_at.0).max(0) / 1_000)
    }

    /// The event that tells of its close.
    pub(crate) fn closed(&self, closing: &Closing, now: Timestamp) -> BatchEvent {
        let dlq_by_code = closing.counts.dlq_by_code.iter().map(|(code, count)| (format!("dlq.{code}"), *count));
        let columns = closing.counts.columns.iter().map(|(name, count)| ((*name).to_owned(), *count));
        let requests = [("requests".to_owned(), closing.counts.requests)];
        BatchEvent {
            event_id: closed_event_id(self.batch_id),
            event_type: EventType::BatchClosed,
            occurred_at: now,
            batch_id: self.batch_id,
            kind: kind(&self.kind),
            source: self.source.clone(),
            stage: None,
            topic: None,
            partition: None,
            first_offset: None,
            next_offset: None,
            region: None,
            counts: columns.chain(requests).chain(dlq_by_code).collect(),
            status: Some(closing.status),
            tied: Some(closing.tied),
            started_at: self.started_at,
            duration_ms: self.duration_ms(now),
            request_id: None,
            trace_id: self.trace_id,
            detail: closing.detail.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::BatchCounts;
    use std::collections::BTreeMap;

    fn batch() -> OpenBatch {
        OpenBatch {
            batch_id: Uuid::from_u128(7),
            kind: "manual".to_owned(),
            source: "sdmk-modified/1".to_owned(),
            started_at: Some(Timestamp(1_000_000)),
            trace_id: None,
        }
    }

    fn closing() -> Closing {
        Closing {
            status: BatchStatus::Failed,
            tied: true,
            counts: BatchCounts {
                columns: vec![("fetched", 3), ("raw", 3)],
                requests: 2,
                dlq_by_code: BTreeMap::from([("nik_length".to_owned(), 1)]),
            },
            detail: None,
        }
    }

    #[test]
    fn a_close_is_one_event_however_often_it_is_made() {
        let one = batch().closed(&closing(), Timestamp(3_500_000));
        assert_eq!(one.event_id, batch().closed(&closing(), Timestamp(9)).event_id);
        assert_eq!((one.duration_ms, one.kind, one.tied), (Some(2_500), BatchKind::Manual, Some(true)));
        let counts: Vec<_> = one.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(counts, [("dlq.nik_length", 1), ("fetched", 3), ("raw", 3), ("requests", 2)]);
    }

    #[test]
    fn what_was_announced_is_read_back_from_its_event() {
        let mut event = batch().closed(&closing(), Timestamp(0));
        event.event_type = EventType::BatchFetched;
        let read = announced(&payload(&event), Timestamp(5)).expect("an announcement");
        assert_eq!(read.counts, event.counts);
        assert_eq!((read.status, read.recorded_at), (BatchStatus::Failed, Timestamp(5)));
        event.status = None;
        let unsure = announced(&payload(&event), Timestamp(5)).expect("an announcement");
        assert_eq!(unsure.status, BatchStatus::Incomplete);
        assert_eq!(announced("{}", Timestamp(0)), None);
        assert_eq!(announced("[1", Timestamp(0)), None);
    }

    #[test]
    fn an_event_that_the_tables_would_refuse_is_found_before() {
        let good = batch().closed(&closing(), Timestamp(0));
        assert_eq!(unfit(&good), None);
        let with = |change: &dyn Fn(&mut BatchEvent)| {
            let mut event = good.clone();
            change(&mut event);
            unfit(&event)
        };
        assert!(with(&|event| event.detail = Some("a\0b".to_owned())).is_some());
        assert!(with(&|event| event.counts = BTreeMap::from([("\0".to_owned(), 1)])).is_some());
        assert!(with(&|event| event.occurred_at = Timestamp(i64::MAX)).is_some());
        assert!(with(&|event| event.started_at = Some(Timestamp(i64::MIN))).is_some());
        let report = |first: i64, next: i64| {
            with(&|event| {
                event.event_type = EventType::StageReport;
                (event.stage, event.topic) = (Some("processor".to_owned()), Some("sisdmk.raw".to_owned()));
                (event.partition, event.first_offset, event.next_offset) = (Some(0), Some(first), Some(next));
            })
        };
        assert_eq!((report(5, 5), report(5, 9)), (None, None));
        assert!(report(5, 4).is_some());
        assert!(with(&|event| event.event_type = EventType::StageReport).is_some());
    }

    #[test]
    fn symbols_and_words_of_the_tables_are_the_same_words() {
        for known in BatchKind::ALL {
            assert_eq!(kind(&lower(known.as_str())), *known);
        }
        assert_eq!(kind("something newer"), BatchKind::TidakDiketahui);
    }
}
