//! The metrics of all processes: one registry, one place for every name.
//!
//! Base units in the name, `_total` for counters. A label is one of ours (stage, code, region),
//! never a person and never free text.

use std::sync::LazyLock;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntGauge, Opts, Registry, TextEncoder,
};
pub use prometheus::{HistogramVec as Histograms, IntCounter, IntCounterVec, IntGaugeVec, core};

/// The type of the text that `/metrics` answers with.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Seconds of one HTTP request to the source.
const REQUEST_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds from the source's answer to the row in Postgres.
const LATENCY_SECONDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];
/// Seconds of one batch; 300 is where the alert for a slow one stands.
const BATCH_SECONDS: &[f64] =
    &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 18_000.0];

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// The registry of this process.
#[must_use]
pub fn registry() -> &'static Registry {
    &REGISTRY
}

/// Everything that was measured, in Prometheus' text form.
#[must_use]
pub fn render() -> String {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&REGISTRY.gather(), &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(error) => {
            tracing::error!(error = %error, "the metrics cannot be written");
            String::new()
        }
    }
}

fn kept<C: Collector + Clone + 'static>(made: prometheus::Result<C>) -> C {
    let collector = made.expect("names and labels are constants that a test makes");
    REGISTRY.register(Box::new(collector.clone())).expect("every metric is made once, by its LazyLock or its owner");
    collector
}

/// A counter of one's own; `name` ends with `_total`. Make it once and keep it.
#[must_use]
pub fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    kept(IntCounterVec::new(Opts::new(name, help), labels))
}

/// A gauge of one's own. Make it once and keep it.
#[must_use]
pub fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    kept(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A gauge of one's own that takes fractions. Make it once and keep it.
#[must_use]
pub fn float_gauge(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    kept(GaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram of one's own; `name` ends with its unit. Make it once and keep it.
#[must_use]
pub fn histogram(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    kept(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}

/// `sisdmk_batch_records{stage,outcome}`: records of the batch that was closed last.
#[must_use]
pub fn batch_records() -> &'static IntGaugeVec {
    static METRIC: LazyLock<IntGaugeVec> = LazyLock::new(|| {
        gauge("sisdmk_batch_records", "Records of the last closed batch, by stage and outcome.", &["stage", "outcome"])
    });
    &METRIC
}

/// `sisdmk_batches_total{kind,status}`: batches closed.
#[must_use]
pub fn batches() -> &'static IntCounterVec {
    static METRIC: LazyLock<IntCounterVec> =
        LazyLock::new(|| counter("sisdmk_batches_total", "Batches closed, by kind and status.", &["kind", "status"]));
    &METRIC
}

/// `sisdmk_batch_duration_seconds{kind}`: from a batch's first request to its close.
#[must_use]
pub fn batch_duration() -> &'static HistogramVec {
    static METRIC: LazyLock<HistogramVec> = LazyLock::new(|| {
        histogram(
            "sisdmk_batch_duration_seconds",
            "Seconds from a batch's start to its close.",
            &["kind"],
            BATCH_SECONDS,
        )
    });
    &METRIC
}

/// `sisdmk_consecutive_failed_batches`: batches in a row that were not complete.
#[must_use]
pub fn consecutive_failed_batches() -> &'static IntGauge {
    static METRIC: LazyLock<IntGauge> = LazyLock::new(|| {
        kept(IntGauge::new("sisdmk_consecutive_failed_batches", "Batches in a row that were not complete."))
    });
    &METRIC
}

/// `sisdmk_source_requests_total{endpoint,code}`: requests to the source, by HTTP status or fault.
#[must_use]
pub fn source_requests() -> &'static IntCounterVec {
    static METRIC: LazyLock<IntCounterVec> = LazyLock::new(|| {
        counter(
            "sisdmk_source_requests_total",
            "Requests to the source, by endpoint and status or fault.",
            &["endpoint", "code"],
        )
    });
    &METRIC
}

/// `sisdmk_source_request_duration_seconds{endpoint}`: one request to the source.
#[must_use]
pub fn source_request_duration() -> &'static HistogramVec {
    static METRIC: LazyLock<HistogramVec> = LazyLock::new(|| {
        histogram(
            "sisdmk_source_request_duration_seconds",
            "Seconds of one request to the source, by endpoint.",
            &["endpoint"],
            REQUEST_SECONDS,
        )
    });
    &METRIC
}

/// `sisdmk_records_total{stage,outcome}`: records by what became of them.
#[must_use]
pub fn records() -> &'static IntCounterVec {
    static METRIC: LazyLock<IntCounterVec> =
        LazyLock::new(|| counter("sisdmk_records_total", "Records, by stage and outcome.", &["stage", "outcome"]));
    &METRIC
}

/// `sisdmk_dead_letters_total{stage,code}`: dead letters by their first reason.
#[must_use]
pub fn dead_letters() -> &'static IntCounterVec {
    static METRIC: LazyLock<IntCounterVec> = LazyLock::new(|| {
        counter("sisdmk_dead_letters_total", "Dead letters, by stage and first reason code.", &["stage", "code"])
    });
    &METRIC
}

/// `sisdmk_watermark_timestamp_seconds{region}`: up to where a region was read.
#[must_use]
pub fn watermark_timestamp() -> &'static GaugeVec {
    static METRIC: LazyLock<GaugeVec> = LazyLock::new(|| {
        float_gauge(
            "sisdmk_watermark_timestamp_seconds",
            "The watermark of a region, seconds since 1970 UTC.",
            &["region"],
        )
    });
    &METRIC
}

/// `sisdmk_last_success_timestamp_seconds`: when the last complete batch was closed.
#[must_use]
pub fn last_success_timestamp() -> &'static Gauge {
    static METRIC: LazyLock<Gauge> = LazyLock::new(|| {
        kept(Gauge::new(
            "sisdmk_last_success_timestamp_seconds",
            "End of the last complete batch, seconds since 1970 UTC.",
        ))
    });
    &METRIC
}

/// `sisdmk_stage_lag_records{stage,partition}`: offsets between a stage's position and the log's end.
#[must_use]
pub fn stage_lag() -> &'static IntGaugeVec {
    static METRIC: LazyLock<IntGaugeVec> = LazyLock::new(|| {
        gauge(
            "sisdmk_stage_lag_records",
            "Offsets between a stage's position and the log's end.",
            &["stage", "partition"],
        )
    });
    &METRIC
}

/// `sisdmk_end_to_end_latency_seconds`: from the source's answer to the row in Postgres.
#[must_use]
pub fn end_to_end_latency() -> &'static Histogram {
    static METRIC: LazyLock<Histogram> = LazyLock::new(|| {
        kept(Histogram::with_opts(
            HistogramOpts::new(
                "sisdmk_end_to_end_latency_seconds",
                "Seconds from the source's answer to the commit of the row.",
            )
            .buckets(LATENCY_SECONDS.to_vec()),
        ))
    });
    &METRIC
}

/// `sisdmk_build_info{process,version}`: 1. Set once, by [`crate::telemetry::init`].
pub fn build_info(process: &str) {
    static METRIC: LazyLock<IntGaugeVec> =
        LazyLock::new(|| gauge("sisdmk_build_info", "1, with what is running.", &["process", "version"]));
    METRIC.with_label_values(&[process, env!("CARGO_PKG_VERSION")]).set(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_contract_is_made_once_and_rendered_under_its_name() {
        batch_records().with_label_values(&["sink", "inserted"]).set(1);
        batches().with_label_values(&["scheduled", "complete"]).inc();
        batch_duration().with_label_values(&["scheduled"]).observe(3.0);
        consecutive_failed_batches().set(0);
        source_requests().with_label_values(&["sdmk", "200"]).inc();
        source_request_duration().with_label_values(&["sdmk"]).observe(0.1);
        records().with_label_values(&["processor", "clean"]).inc_by(2);
        dead_letters().with_label_values(&["processor", "nik_missing"]).inc();
        watermark_timestamp().with_label_values(&["32"]).set(1.5);
        last_success_timestamp().set(2.5);
        stage_lag().with_label_values(&["sink", "0"]).set(7);
        end_to_end_latency().observe(1.0);
        build_info("test");
        let text = render();
        for name in [
            "sisdmk_batch_records{outcome=\"inserted\",stage=\"sink\"} 1",
            "sisdmk_batches_total{kind=\"scheduled\",status=\"complete\"} 1",
            "sisdmk_batch_duration_seconds_bucket{kind=\"scheduled\",le=\"300\"} 1",
            "sisdmk_consecutive_failed_batches 0",
            "sisdmk_source_requests_total{code=\"200\",endpoint=\"sdmk\"} 1",
            "sisdmk_source_request_duration_seconds_count{endpoint=\"sdmk\"} 1",
            "sisdmk_records_total{outcome=\"clean\",stage=\"processor\"} 2",
            "sisdmk_dead_letters_total{code=\"nik_missing\",stage=\"processor\"} 1",
            "sisdmk_watermark_timestamp_seconds{region=\"32\"} 1.5",
            "sisdmk_last_success_timestamp_seconds 2.5",
            "sisdmk_stage_lag_records{partition=\"0\",stage=\"sink\"} 7",
            "sisdmk_end_to_end_latency_seconds_count 1",
            "sisdmk_build_info{process=\"test\",version=\"",
        ] {
            assert!(text.contains(name), "{name} is not in\n{text}");
        }
    }
}
