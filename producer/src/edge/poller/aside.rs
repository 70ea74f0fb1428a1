//! What cannot be published is set aside: answers of another shape, records that are too large.

use super::*;
use crate::edge::quarantine::QuarantineFault;
use crate::shape;
use tokio::runtime::Handle;

impl Poller {
    /// An answer that could be cut into records and holds none of the fields on which everything rests is of another
    /// shape after all: published, each of its records would be a dead letter.
    pub(super) fn whole(
        &self,
        outcome: Result<Arrived, Fault>,
        request_id: Uuid,
        lane: usize,
        running: &mut Running,
    ) -> Result<Arrived, Fault> {
        let arrived = outcome?;
        let page = &arrived.page;
        let suspect = page.highest.is_none() || page.records().all(|(row, _)| row.identity.as_person().is_none());
        let records: Vec<&[u8]> = if suspect { page.records().map(|(_, record)| record).collect() } else { Vec::new() };
        if !shape::lost_its_fields(&records, &self.config.api.layout) {
            return Ok(arrived);
        }
        running.odd.insert(lane, (request_id, arrived.page.into_body()));
        Err(Fault { kind: FaultKind::Format, code: "fields_missing", retry_after: None })
    }

    /// Keeps the answer of another shape, and says how it differs.
    pub(super) fn keep_odd_page(
        &self,
        lane: usize,
        code: &str,
        region: &Region,
        batch_id: Uuid,
        running: &mut Running,
    ) -> Vec<String> {
        let Some((request_id, body)) = running.odd.remove(&lane) else { return Vec::new() };
        let differs = shape::differences(&body, &self.config.profile.answer, &self.config.api.layout);
        let since = running.asks.get(&lane).and_then(|ask| ask.since);
        let about = Kept { differs: differs.clone(), ..self.about(code, region, since) };
        let bytes = body.len();
        match now_or_later(self.quarantine.keep_page(batch_id, request_id, body, &about, &running.trace)) {
            Ok(()) => tracing::warn!(%batch_id, %request_id, bytes, "an answer of another shape is in quarantine"),
            // Nothing is lost with it: the watermark stays, and the next cycle asks again.
            Err(error) => tracing::error!(
                %batch_id, %request_id, error = platform::exit::flat(&error), "an answer of another shape cannot be kept"
            ),
        }
        differs
    }

    /// Puts the records that are too large into the quarantine store, before the slice counts them.
    pub(super) fn set_aside(&self, slice: &Slice, running: &Running) -> bool {
        let (batch_id, record_bytes_max) = (slice.batch.batch_id, self.config.limits.record_bytes_max);
        let of_region = |ask: &&Ask| ask.region == slice.region;
        let since = running.asks.values().find(of_region).and_then(|ask| ask.since);
        let about = self.about("record_too_large", &slice.region, since);
        for page in &slice.pages {
            let request_id = page.origin.request_id;
            let large = page.records().enumerate().filter(|(_, (row, _))| row.len() > record_bytes_max);
            for (index, (_, record)) in large {
                let kept =
                    self.quarantine.keep_record(batch_id, request_id, index, record.to_vec(), &about, &running.trace);
                if let Err(error) = now_or_later(kept) {
                    tracing::error!(error = platform::exit::flat(&error), %batch_id, %request_id, "a record that is too large cannot be kept; its slice fails");
                    return false;
                }
            }
        }
        true
    }

    fn about(&self, code: &str, region: &Region, since: Option<Timestamp>) -> Kept {
        let (source, region) = (self.config.source(), region.to_string());
        Kept { kept_at: now(), source, region, since, code: code.to_owned(), differs: Vec::new() }
    }
}

/// Waits for the store. The runtime's other threads go on with requests and the admin endpoint.
fn now_or_later<T>(work: impl Future<Output = Result<T, QuarantineFault>>) -> Result<T, QuarantineFault> {
    block_in_place(|| Handle::current().block_on(work))
}
