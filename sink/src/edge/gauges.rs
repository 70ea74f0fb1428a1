//! What the sink measures beyond the metrics that all stages share.

use std::sync::LazyLock;

use platform::metrics::{self, core};
use schemas::Timestamp;

use crate::report::Counts;

type Counters = core::GenericCounterVec<core::AtomicU64>;
type Gauges = core::GenericGaugeVec<core::AtomicI64>;

/// `sisdmk_sink_partition_stopped{topic,partition}`: 1 while a partition stands still for an operator.
pub(crate) fn stopped() -> &'static Gauges {
    static METRIC: LazyLock<Gauges> = LazyLock::new(|| {
        metrics::gauge(
            "sisdmk_sink_partition_stopped",
            "1 while a partition waits for an operator.",
            &["topic", "partition"],
        )
    });
    &METRIC
}

/// `sisdmk_sink_faults_total{action}`: faults of the world, by what was done about them.
pub(crate) fn faults() -> &'static Counters {
    static METRIC: LazyLock<Counters> = LazyLock::new(|| {
        metrics::counter("sisdmk_sink_faults_total", "Failed transactions, by what was done about it.", &["action"])
    });
    &METRIC
}

/// `sisdmk_conflicts_total{stage}`: contradictions of the source under one `last_updated`.
pub(crate) fn conflicts() -> &'static Counters {
    static METRIC: LazyLock<Counters> = LazyLock::new(|| {
        metrics::counter(
            "sisdmk_conflicts_total",
            "Records that contradict another one with the same last_updated.",
            &["stage"],
        )
    });
    &METRIC
}

/// `sisdmk_ledger_events_total{outcome}`: events of `sisdmk.audit`, by what became of them.
pub(crate) fn ledger_events() -> &'static Counters {
    static METRIC: LazyLock<Counters> = LazyLock::new(|| {
        metrics::counter(
            "sisdmk_ledger_events_total",
            "Events read from sisdmk.audit, by what became of them.",
            &["outcome"],
        )
    });
    &METRIC
}

/// `sisdmk_batches_untied_total{kind}`: batches closed although their counts do not tie.
pub(crate) fn untied() -> &'static Counters {
    static METRIC: LazyLock<Counters> = LazyLock::new(|| {
        metrics::counter("sisdmk_batches_untied_total", "Batches closed although their counts do not tie.", &["kind"])
    });
    &METRIC
}

/// `sisdmk_open_batches`: batches that are not closed yet.
pub(crate) fn open_batches() -> &'static Gauges {
    static METRIC: LazyLock<Gauges> =
        LazyLock::new(|| metrics::gauge("sisdmk_open_batches", "Batches that are not closed.", &[]));
    &METRIC
}

/// Counts what a committed range holds.
pub(crate) fn count(counts: &Counts) {
    for (name, number) in counts.named() {
        let Ok(number) = u64::try_from(number) else { continue };
        match name {
            // The sum of the others.
            "clean_in" => {}
            "conflict" => conflicts().with_label_values(&["sink"]).inc_by(number),
            outcome => metrics::records().with_label_values(&["sink", outcome]).inc_by(number),
        }
    }
}

/// Seconds from `from` to `to`; zero where the clocks disagree.
#[expect(clippy::cast_precision_loss, reason = "a span of time for a histogram")]
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.0.saturating_sub(from.0).max(0) as f64 / 1e6
}
