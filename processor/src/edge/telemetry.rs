//! What one worker tells the world about its work: metrics, readiness, a log line where somebody may have to act.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use platform::http::Health;
use platform::kafka::KafkaFault;
use platform::metrics;

use crate::config::STAGE;
use crate::runs::Runs;

/// The voice of one worker.
#[derive(Clone)]
pub(crate) struct Telemetry {
    health: Health,
    /// Name of this worker among the checks of `/readyz`.
    worker: String,
}

impl Telemetry {
    pub(crate) fn new(health: Health, number: usize) -> Self {
        Self { health, worker: check(number) }
    }

    /// A transaction is committed.
    pub(crate) fn committed(&self, runs: &Runs) {
        let mut outcomes: BTreeMap<&str, i64> = BTreeMap::new();
        for run in runs.open() {
            *outcomes.entry("clean").or_default() += run.clean;
            *outcomes.entry("dlq").or_default() += run.dlq;
            for (kind, count) in [("unknown", run.field_unknown), ("missing", run.field_missing)] {
                fields().with_label_values(&[kind]).inc_by(u64::try_from(count).unwrap_or(0));
            }
            for (code, count) in &run.dlq_by_code {
                let counter = metrics::dead_letters().with_label_values(&[STAGE, code]);
                counter.inc_by(u64::try_from(*count).unwrap_or(0));
            }
        }
        for (outcome, count) in outcomes {
            metrics::records().with_label_values(&[STAGE, outcome]).inc_by(u64::try_from(count).unwrap_or(0));
        }
    }

    /// How far each partition is behind the end of its log.
    pub(crate) fn lag(&self, partition: i32, records: i64) {
        metrics::stage_lag().with_label_values(&[STAGE, &partition.to_string()]).set(records);
    }

    /// A partition went to another worker or process, which tells its lag from now on.
    pub(crate) fn gone(&self, partition: i32) {
        // It may never have been told.
        let _ = metrics::stage_lag().remove_label_values(&[STAGE, &partition.to_string()]);
    }

    /// The last step went well.
    pub(crate) fn working(&self) {
        self.health.ok(&self.worker);
    }

    /// The world is in the way; the same work is done again after `wait`.
    pub(crate) fn hindered(&self, fault: &KafkaFault, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(error = %fault, wait_ms, worker = self.worker, "failed to process; trying again");
        self.health.not_ok(&self.worker, format!("failed to {fault}"));
    }

    /// Something that mends itself.
    pub(crate) fn noted(&self, fault: &KafkaFault) {
        tracing::info!(error = %fault, worker = self.worker, "kafka reports");
    }

    /// These partitions of this worker stand still, because nobody knows where they were.
    pub(crate) fn lost(&self, partitions: &BTreeSet<i32>) {
        let name = format!("{} position", self.worker);
        if partitions.is_empty() {
            self.health.forget(&name);
            return;
        }
        let list: Vec<String> = partitions.iter().map(|partition| format!("sisdmk.raw/{partition}")).collect();
        let list = list.join(", ");
        tracing::error!(
            partitions = list,
            worker = self.worker,
            "the committed position is lost; these partitions stand still"
        );
        self.health.not_ok(&name, format!("the position in {list} is lost: see `sisdmk offsets reset`"));
    }
}

/// `sisdmk_source_fields_total{kind}`: fields of the source that do not stand as the profile says.
fn fields() -> &'static metrics::core::GenericCounterVec<metrics::core::AtomicU64> {
    static METRIC: LazyLock<metrics::core::GenericCounterVec<metrics::core::AtomicU64>> = LazyLock::new(|| {
        metrics::counter(
            "sisdmk_source_fields_total",
            "Fields in records that the profile does not declare (unknown), or declares and they lack (missing).",
            &["kind"],
        )
    });
    &METRIC
}

/// Name of a worker's check in `/readyz`.
pub(crate) fn check(number: usize) -> String {
    format!("worker {number}")
}
