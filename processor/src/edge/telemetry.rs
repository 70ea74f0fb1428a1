//! What one worker tells the world about its work: metrics, readiness, a log line where somebody may have to act.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use platform::http::Health;
use platform::kafka::{FaultKind, KafkaFault};
use platform::metrics;

use crate::config::STAGE;
use crate::runs::Runs;
use crate::standstill::{Cause, Standstill};
use crate::transform::RAW_TOPIC;
use crate::view::{Provinces, Table};

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
            *outcomes.entry("processor_equal").or_default() += run.processor_equal;
            *outcomes.entry("processor_stale").or_default() += run.processor_stale;
            conflicts().with_label_values(&[STAGE]).inc_by(u64::try_from(run.conflict).unwrap_or(0));
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

    /// A view is being read; what it covers is not judged meanwhile.
    pub(crate) fn reading_view(&self, partitions: &[i32], read: i64, all: i64) {
        let list = places("sisdmk.clean", partitions);
        self.health.not_ok(&self.view_check(), format!("reading the view of {list}: {read} of {all} positions"));
    }

    /// It is not being read any more.
    pub(crate) fn view_read(&self) {
        self.health.forget(&self.view_check());
    }

    /// So many views were brought up to the ends of their partitions.
    pub(crate) fn caught_up(&self, took: Duration, partitions: usize, positions: i64) {
        positions_read().with_label_values::<&str>(&[]).inc_by(u64::try_from(positions).unwrap_or(0));
        rebuilds().with_label_values::<&str>(&[]).observe(took.as_secs_f64());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(took_ms, partitions, positions, worker = self.worker, "the current view is read");
    }

    /// What the view of a partition holds; `told` is what was told before.
    pub(crate) fn view(&self, partition: i32, table: &Table, told: &Provinces) {
        persons().with_label_values(&[&partition.to_string()]).set(i64::try_from(table.len()).unwrap_or(i64::MAX));
        by_province(table.provinces(), told);
    }

    /// It went away with its partition.
    pub(crate) fn view_gone(&self, partition: i32, told: &Provinces) {
        // It may never have been told.
        let _ = persons().remove_label_values(&[&partition.to_string()]);
        by_province(&[0; _], told);
    }

    fn view_check(&self) -> String {
        format!("{} view", self.worker)
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

    /// These partitions of this worker stand still, because something of theirs cannot be written.
    pub(crate) fn standing(&self, standstill: &Standstill) {
        let name = format!("{} standstill", self.worker);
        if standstill.is_empty() {
            self.health.forget(&name);
            return;
        }
        let list: Vec<String> = standstill
            .iter()
            .map(|(partition, cause)| {
                let why = match cause.kind {
                    FaultKind::TooLarge => "refuses a record as too large",
                    FaultKind::Denied => "may not be written",
                    FaultKind::Missing => "is not there",
                    _ => "does not take a record",
                };
                format!("sisdmk.raw/{partition}: {} {why}", cause.topic)
            })
            .collect();
        self.health.not_ok(&name, list.join("; "));
    }

    /// A partition begins to stand still.
    pub(crate) fn stopped(&self, partition: i32, cause: &Cause) {
        tracing::error!(
            partition,
            topic = cause.topic,
            kind = ?cause.kind,
            worker = self.worker,
            "a record cannot be written; the partition stands still, nothing is passed over"
        );
        stopped_partitions().with_label_values(&[RAW_TOPIC, &partition.to_string()]).set(1);
    }

    /// It goes on, or is somebody else's.
    pub(crate) fn moving(&self, partition: i32) {
        // It may never have stood still.
        let _ = stopped_partitions().remove_label_values(&[RAW_TOPIC, &partition.to_string()]);
    }

    /// These partitions of this worker stand still, because nobody knows where they were.
    pub(crate) fn lost(&self, partitions: &BTreeSet<i32>) {
        let name = format!("{} position", self.worker);
        if partitions.is_empty() {
            self.health.forget(&name);
            return;
        }
        let partitions: Vec<i32> = partitions.iter().copied().collect();
        let list = places("sisdmk.raw", &partitions);
        tracing::error!(
            partitions = list,
            worker = self.worker,
            "the committed position is lost; these partitions stand still"
        );
        self.health.not_ok(&name, format!("the position in {list} is lost: see `sisdmk offsets reset`"));
    }
}

/// `sisdmk.raw/0, sisdmk.raw/3`.
fn places(topic: &str, partitions: &[i32]) -> String {
    let list: Vec<String> = partitions.iter().map(|partition| format!("{topic}/{partition}")).collect();
    list.join(", ")
}

/// Moves the figure of each province by what has changed: all workers of the process add to the same ones.
fn by_province(now: &Provinces, told: &Provinces) {
    for (number, (now, told)) in now.iter().zip(told).enumerate() {
        if now != told {
            provinces().with_label_values(&[&format!("{number:02}")]).add(i64::from(*now) - i64::from(*told));
        }
    }
}

/// `sisdmk_processor_partition_stopped{topic,partition}`: 1 while something of a partition cannot be written.
fn stopped_partitions() -> &'static metrics::core::GenericGaugeVec<metrics::core::AtomicI64> {
    static METRIC: LazyLock<metrics::core::GenericGaugeVec<metrics::core::AtomicI64>> = LazyLock::new(|| {
        metrics::gauge(
            "sisdmk_processor_partition_stopped",
            "1 while a partition stands still because a record of it cannot be written.",
            &["topic", "partition"],
        )
    });
    &METRIC
}

/// `sisdmk_view_persons{partition}`: persons in the current view, those who are gone too.
fn persons() -> &'static metrics::core::GenericGaugeVec<metrics::core::AtomicI64> {
    static METRIC: LazyLock<metrics::core::GenericGaugeVec<metrics::core::AtomicI64>> = LazyLock::new(|| {
        metrics::gauge("sisdmk_view_persons", "Persons in the current view of a partition.", &["partition"])
    });
    &METRIC
}

/// `sisdmk_view_province_persons{province}`: current persons by the number of their province, 00 without one.
fn provinces() -> &'static metrics::core::GenericGaugeVec<metrics::core::AtomicI64> {
    static METRIC: LazyLock<metrics::core::GenericGaugeVec<metrics::core::AtomicI64>> = LazyLock::new(|| {
        metrics::gauge(
            "sisdmk_view_province_persons",
            "Persons in the current views of this process, by province.",
            &["province"],
        )
    });
    &METRIC
}

/// `sisdmk_view_rebuild_seconds`: from the first look to the end of the partitions.
fn rebuilds() -> &'static metrics::Histograms {
    static METRIC: LazyLock<metrics::Histograms> = LazyLock::new(|| {
        metrics::histogram(
            "sisdmk_view_rebuild_seconds",
            "Seconds in which views were brought up to the ends of their partitions.",
            &[],
            &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 300.0],
        )
    });
    &METRIC
}

/// `sisdmk_view_positions_read_total`: what bringing views up has cost.
fn positions_read() -> &'static metrics::core::GenericCounterVec<metrics::core::AtomicU64> {
    static METRIC: LazyLock<metrics::core::GenericCounterVec<metrics::core::AtomicU64>> = LazyLock::new(|| {
        metrics::counter(
            "sisdmk_view_positions_read_total",
            "Positions of sisdmk.clean that were read to bring views up to the ends of their partitions.",
            &[],
        )
    });
    &METRIC
}

/// `sisdmk_conflicts_total{stage}`: contradictions of the source under one `last_updated`.
fn conflicts() -> &'static metrics::core::GenericCounterVec<metrics::core::AtomicU64> {
    static METRIC: LazyLock<metrics::core::GenericCounterVec<metrics::core::AtomicU64>> = LazyLock::new(|| {
        metrics::counter(
            "sisdmk_conflicts_total",
            "Records that contradict another one with the same last_updated.",
            &["stage"],
        )
    });
    &METRIC
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
