//! The pure cycle and the HTTP edge together, without Kafka: waits are noted and not waited, slices are kept.

use super::*;
use crate::cycle::{Cycle, Event, Note, Slice, Step};
use crate::incident;
use crate::state::{BatchKind, BatchRecord, BatchState, BatchStatus, IncidentKind};
use std::collections::BTreeMap;

/// What came of a batch.
pub(super) struct Ran {
    pub(super) batch: BatchRecord,
    pub(super) waits: Vec<Duration>,
    pub(super) slices: Vec<Slice>,
    /// Our word for each try that failed.
    pub(super) failed: Vec<&'static str>,
    /// Answers that are not the declared shape, with their bytes.
    pub(super) odd: usize,
    /// What an operator is told.
    pub(super) incidents: Vec<IncidentKind>,
}

impl Ran {
    /// Number of records, and of those with an identity.
    pub(super) fn records(&self) -> (usize, usize) {
        let rows = || self.slices.iter().flat_map(|slice| slice.pages.iter().flat_map(|page| page.records()));
        (rows().count(), rows().filter(|(row, _)| row.identity.as_person().is_some()).count())
    }

    pub(super) fn watermark(&self) -> Option<Timestamp> {
        self.slices.iter().filter_map(|slice| slice.watermark).map(|record| record.watermark).max()
    }
}

pub(super) fn batch(planned: &[&str]) -> BatchRecord {
    BatchRecord {
        batch_id: Uuid::from_u128(1),
        kind: BatchKind::Scheduled,
        state: BatchState::Open,
        status: None,
        started_at: Timestamp(clock::now_micros()),
        trace_id: String::new(),
        since: None,
        planned: planned.iter().map(|code| (*code).to_owned()).collect(),
        committed: Vec::new(),
        failed: Vec::new(),
        fetched: 0,
        raw: 0,
        quarantined: 0,
        requests: 0,
        ordinal: 0,
        fetched_at: None,
        facilities: None,
    }
}

/// One region of a source with these settings, with one lane.
pub(super) async fn region(address: &str, folder: &Path, more: &[(&str, &str)]) -> Ran {
    let config = configured(address, folder, more);
    let sisdmk = Sisdmk::new(&config, None).expect("a source");
    drive(&sisdmk, Cycle::new(batch(&["31"]), BTreeMap::new(), config.limits, 1)).await
}

pub(super) async fn drive(sisdmk: &Sisdmk, mut cycle: Cycle) -> Ran {
    let trace = TraceContext::new_root();
    let (mut waits, mut slices, mut failed, mut odd) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut incidents = Vec::new();
    let mut event = Event::Free;
    loop {
        let step = cycle.next(0, event, Timestamp(clock::now_micros()));
        for note in cycle.take_notes() {
            match note {
                Note::TryFailed { fault, .. } => failed.push(fault.code),
                Note::RegionFailed { fault, .. } => incidents.extend(incident::of_region(fault)),
                _ => {}
            }
        }
        event = match step {
            Step::Fetch(ask) => {
                let answer = sisdmk.fetch(&ask, &trace).await;
                odd += usize::from(answer.odd_body.is_some());
                match answer.outcome {
                    Ok(arrived) => Event::Page(arrived),
                    Err(fault) => Event::Fault { fault, chance: 1.0 },
                }
            }
            Step::Wait(wait) => {
                waits.push(wait);
                Event::Waited
            }
            Step::RenewToken => Event::Token { changed: sisdmk.renew_token().expect("a secret") },
            Step::Publish(slice) => {
                slices.push(*slice);
                Event::Published
            }
            Step::Rest => panic!("one lane has nothing to wait for"),
            Step::End(batch) => {
                // As the poller does.
                incidents.extend((batch.status == Some(BatchStatus::AuthFailed)).then_some(IncidentKind::AuthFailed));
                return Ran { batch: *batch, waits, slices, failed, odd, incidents };
            }
        };
    }
}
