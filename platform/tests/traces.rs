//! Spans leave the process as OTLP over HTTP, in the trace that a header named.
//!
//! A test of its own process: telemetry is started once.

use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use platform::settings::Settings;
use platform::telemetry::{self, TraceContext};

#[test]
fn a_span_is_exported_in_the_trace_that_its_record_carried() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let (arrived, arrivals) = mpsc::channel::<Bytes>();
    let collector = Router::new().route(
        "/v1/traces",
        post(move |body: Bytes| {
            let arrived = arrived.clone();
            async move {
                arrived.send(body).expect("the test waits");
                // An empty ExportTraceServiceResponse has no bytes.
                ([("content-type", "application/x-protobuf")], Bytes::new())
            }
        }),
    );
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("listen");
    let endpoint = format!("http://{}/", listener.local_addr().expect("address"));
    runtime.spawn(async move { axum::serve(listener, collector).await });

    let settings = Settings::from_pairs([("telemetry.otlp_endpoint", endpoint.as_str())]).expect("settings");
    let guard = telemetry::init("test-process", &settings).expect("telemetry");
    let received = TraceContext::new_root();
    let unsampled = TraceContext::new_root_sampled(0.0);
    let other = TraceContext::new_root();
    {
        let span = tracing::info_span!("commit", partition = 3);
        received.adopt(&span);
        other.link(&span);
        let sent = TraceContext::of(&span).expect("traces are on");
        assert_eq!((sent.trace_id, sent.sampled), (received.trace_id, true));
        assert_ne!(sent.span_id, received.span_id);
        let _entered = span.enter();
    }
    {
        let span = tracing::info_span!("quiet");
        unsampled.adopt(&span);
        let _entered = span.enter();
    }
    drop(tracing::info_span!("rootless").entered());
    drop(guard);

    let mut bytes = Vec::new();
    while let Ok(body) = arrivals.recv_timeout(if bytes.is_empty() { Duration::from_secs(10) } else { Duration::ZERO })
    {
        bytes.extend_from_slice(&body);
    }
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    for part in [&received.trace_id[..], &received.span_id, &other.trace_id, b"commit", b"test-process", b"partition"] {
        assert!(holds(part), "{} is missing", String::from_utf8_lossy(part));
    }
    for part in [&unsampled.trace_id[..], b"quiet", b"rootless"] {
        assert!(!holds(part), "{} was exported", String::from_utf8_lossy(part));
    }
}
