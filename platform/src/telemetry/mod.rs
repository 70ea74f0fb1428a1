//! Logs and traces.
//!
//! Logs are JSON lines on standard error, UTC, one object a line: `timestamp`, `level`, `target`,
//! `message`, then the fields of the event and of the spans around it. Traces leave the process as
//! OTLP over HTTP, and only where an endpoint is configured. Neither holds a value of a record: who
//! writes a field or a span sees to that.

mod context;
mod format;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

pub use context::TraceContext;

use crate::exit::Failure;
use crate::metrics;
use crate::settings::Settings;

/// How long the last spans may take to leave the process at its end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps telemetry alive; dropping it sends the last spans, within 3 s.
#[derive(Debug)]
#[must_use = "telemetry ends when this is dropped"]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(error = %error, "the last spans could not be sent");
        }
    }
}

/// Starts logs and, where `telemetry.otlp_endpoint` is set, traces, for the process of that name.
/// Call it once, outside of async code.
///
/// # Errors
/// Exit 2 when the log level or the endpoint cannot be used, exit 1 when telemetry runs already.
pub fn init(process: &str, settings: &Settings) -> Result<Guard, Failure> {
    let level = settings.text("telemetry.log_level");
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Failure::config("telemetry.log_level cannot be used")
            .because(error)
            .hint("for example `info`, or `info,sink=debug`")
    })?;
    let provider =
        settings.opt_text("telemetry.otlp_endpoint").map(|endpoint| exporter(process, endpoint)).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer(process.to_owned())).with_filter(filter_fn(is_ours))
    });
    let logs = if settings.text("telemetry.log_format") == "text" {
        fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_timer(format::Utc).boxed()
    } else {
        fmt::layer()
            .with_writer(std::io::stderr)
            .fmt_fields(fmt::format::JsonFields::new())
            .event_format(format::JsonLines)
            .boxed()
    };
    tracing_subscriber::registry()
        .with(traces)
        .with(logs.with_filter(filter))
        .try_init()
        .map_err(|error| Failure::runtime("telemetry runs already").because(error))?;
    metrics::build_info(process);
    panics();
    Ok(Guard(provider))
}

/// What goes into traces: `info` and above, without the spans of client libraries, which are many and
/// say nothing about a batch. The exporter's own requests would be traced too, without end.
fn is_ours(metadata: &tracing::Metadata<'_>) -> bool {
    const CLIENTS: &[&str] = &["h2", "hyper", "hyper_util", "reqwest", "tower", "opentelemetry", "opentelemetry_sdk"];
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= tracing::Level::INFO && !CLIENTS.contains(&root)
}

fn exporter(process: &str, endpoint: &str) -> Result<SdkTracerProvider, Failure> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .with_headers([("x-request-id".to_owned(), uuid::Uuid::now_v7().to_string())].into())
        .build()
        .map_err(|error| Failure::config("telemetry.otlp_endpoint cannot be used").because(error))?;
    let resource = Resource::builder()
        .with_service_name(process.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        // A batch decides once, in its trace context; whoever handles its records follows.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
        .build())
}

/// A panic becomes one log line with its place. Its text stays out: it may quote what a record held.
fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name().unwrap_or("-"), "a thread panicked");
    }));
}
