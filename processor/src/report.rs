//! The stage report of one range, as a `BatchEvent`.

use schemas::Timestamp;
use schemas::event::{self, BatchEvent, BatchKind, EventType};

use crate::runs::Run;
use crate::transform::RAW_TOPIC;

/// Where reports go.
pub const TOPIC: &str = "sisdmk.audit";

const STAGE: &str = "processor";

/// Writes the report of `run` as a whole Confluent frame into `out`, which is emptied first.
pub fn encode(run: &Run, now: Timestamp, schema_id: u32, out: &mut Vec<u8>) {
    let (partition, first_offset) = (run.partition.to_string(), run.first_offset.to_string());
    let parts = [STAGE, RAW_TOPIC, &partition, &first_offset];
    let report = BatchEvent {
        event_id: event::event_id(run.batch_id, EventType::StageReport, &parts),
        event_type: EventType::StageReport,
        occurred_at: now,
        batch_id: run.batch_id,
        // The batch's own events say what kind it is; a record does not.
        kind: BatchKind::TidakDiketahui,
        source: String::new(),
        stage: Some(STAGE.to_owned()),
        topic: Some(RAW_TOPIC.to_owned()),
        partition: Some(run.partition),
        first_offset: Some(run.first_offset),
        next_offset: Some(run.next_offset),
        region: None,
        counts: run.counts(),
        status: None,
        tied: None,
        started_at: None,
        duration_ms: None,
        request_id: None,
        trace_id: None,
        detail: None,
    };
    out.clear();
    event::encode(&report, schema_id, out);
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::runs::{Outcome, Runs};

    #[test]
    fn a_report_says_the_range_and_every_count() {
        let batch = Uuid::from_u128(7);
        let mut runs = Runs::default();
        runs.assign(2, 5);
        runs.take(2, 6, batch, Outcome::Clean);
        let mut frame = vec![1, 2, 3];
        encode(runs.open().next().expect("one"), Timestamp(9), 4, &mut frame);
        let report = event::decode(&frame, 4).expect("our own frame");
        assert_eq!(
            (report.partition, report.first_offset, report.next_offset, report.batch_id),
            (Some(2), Some(5), Some(7), batch)
        );
        assert_eq!(report.counts["clean"], 1);
        let mut again = Vec::new();
        encode(runs.open().next().expect("one"), Timestamp(10), 4, &mut again);
        assert_eq!(event::decode(&again, 4).expect("frame").event_id, report.event_id);
    }
}
