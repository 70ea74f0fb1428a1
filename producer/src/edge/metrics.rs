//! The producer's numbers for Prometheus.
//!
//! What is counted over all stages of a batch (its end, its status, whether its counts tie) is counted by
//! the sink, which closes it.

use crate::cycle::Slice;
use crate::region::Region;
use crate::state::WatermarkRecord;
use platform::metrics::{records, source_request_duration, source_requests, watermark_timestamp};
use std::time::Duration;

/// The producer's stage label.
const STAGE: &str = "producer";

/// One answer of the source, or its absence: `code` is the HTTP status or our word for the fault.
pub(super) fn request(endpoint: &str, code: &str, took: Duration) {
    source_requests().with_label_values(&[endpoint, code]).inc();
    source_request_duration().with_label_values(&[endpoint]).observe(took.as_secs_f64());
}

/// A committed slice.
pub(super) fn slice(slice: &Slice) {
    for (outcome, count) in [("fetched", slice.fetched), ("raw", slice.raw), ("quarantined", slice.quarantined)] {
        records().with_label_values(&[STAGE, outcome]).inc_by(count);
    }
}

/// Up to where a region was read.
pub(super) fn watermark(region: &Region, record: &WatermarkRecord) {
    let seconds = Duration::from_micros(u64::try_from(record.watermark.0).unwrap_or_default()).as_secs_f64();
    watermark_timestamp().with_label_values(&[region.as_str()]).set(seconds);
}
