//! Against small servers that refuse, are slow to come, and take.

use super::*;
use crate::incident::{begun, ended};
use crate::state::{BatchRecord, IncidentKind, IncidentRecord};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::any;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedReceiver;

/// One request that the server got.
struct Got {
    path: String,
    headers: HeaderMap,
    body: Value,
}

#[derive(Clone)]
struct Receiver {
    got: mpsc::UnboundedSender<Got>,
    /// Statuses of the next answers; 200 when there are no more.
    answers: Arc<Mutex<Vec<u16>>>,
}

async fn take(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: String) -> StatusCode {
    let body = serde_json::from_str(&body).expect("JSON");
    let status = {
        let mut answers = receiver.answers.lock().expect("a lock");
        if answers.is_empty() { 200 } else { answers.remove(0) }
    };
    let _ = receiver.got.send(Got { path: uri.path().to_owned(), headers, body });
    StatusCode::from_u16(status).expect("a status")
}

async fn receiver(answers: &[u16]) -> (String, UnboundedReceiver<Got>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (got, taken) = mpsc::unbounded_channel();
    let state = Receiver { got, answers: Arc::new(Mutex::new(answers.to_vec())) };
    let routes = Router::new().fallback(any(take)).with_state(state);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (format!("http://{address}"), taken)
}

fn incident() -> IncidentRecord {
    IncidentRecord {
        opened_at: Timestamp(1_000_000),
        batch_id: Uuid::from_u128(1),
        region: Some("32".to_owned()),
        detail: "http_5xx".to_owned(),
        request_id: None,
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
    }
}

fn later_batch() -> BatchRecord {
    serde_json::from_value(serde_json::json!({
        "batch_id": Uuid::from_u128(2), "kind": "scheduled", "state": "closed", "status": "complete",
        "started_at": "2026-11-23T00:00:00Z", "trace_id": "", "since": null, "planned": [], "committed": [],
        "failed": [], "fetched": 0, "raw": 0, "quarantined": 0, "requests": 0, "ordinal": 0,
    }))
    .expect("a batch")
}

fn alerts(alertmanager_url: Option<String>, webhook_url: Option<String>) -> Alerts {
    Alerts { alertmanager_url, webhook_url, webhook_token: None, resend: Duration::from_millis(20) }
}

async fn next(got: &mut UnboundedReceiver<Got>) -> Got {
    tokio::time::timeout(Duration::from_secs(60), got.recv()).await.expect("in time").expect("a request")
}

#[tokio::test]
async fn a_webhook_gets_each_message_in_order_until_it_takes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "hunter22\n").expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    // The first one is refused twice, and the second must not overtake it.
    let (url, mut got) = receiver(&[500, 404, 200, 204]).await;
    let shutdown = Shutdown::new();
    let token = Some(Arc::new(platform::secrets::SecretFile::new(path)));
    let alerts = Alerts { webhook_token: token, ..alerts(None, Some(format!("{url}/hook?key=1"))) };
    let mut alarm = start(&alerts, "sdmk-modified", "sdmk-modified/1", &shutdown).expect("started");
    assert_eq!(alarm.targets, BTreeSet::from([Target::Webhook]));
    let kind = IncidentKind::Unreachable;
    let first = begun(kind, &incident(), &alarm.targets);
    let second = ended(kind, &incident(), &later_batch(), Timestamp(9_000_000), &alarm.targets);
    let notices = vec![first.clone(), second.clone()];
    alarm.desk.send(Desk { open: Incidents::new(), notices }).expect("somebody listens");

    let mut requests = BTreeSet::new();
    for (id, state) in [(first.id, "firing"), (first.id, "firing"), (first.id, "firing"), (second.id, "resolved")] {
        let Got { path, headers, body } = next(&mut got).await;
        let header =
            |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        assert_eq!(
            (path.as_str(), body["id"].as_str(), body["state"].as_str()),
            ("/hook", Some(&*id.to_string()), Some(state))
        );
        assert_eq!(header("idempotency-key"), id.to_string());
        assert_eq!(header("authorization"), "Bearer hunter22");
        let request_id = Uuid::parse_str(&header("x-request-id")).expect("a UUID");
        assert_eq!(request_id.get_version_num(), 7);
        assert!(requests.insert(request_id), "each request has an id of its own");
        assert!(header("traceparent").starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    }
    let told = [alarm.taken.recv().await, alarm.taken.recv().await];
    let by = Target::Webhook;
    assert_eq!(told, [Some(Taken { id: first.id, by }), Some(Taken { id: second.id, by })]);
    shutdown.set();
}

#[tokio::test]
async fn alertmanager_is_told_again_while_it_burns_and_once_when_it_is_over() {
    let (url, mut got) = receiver(&[503]).await;
    let shutdown = Shutdown::new();
    let mut alarm =
        start(&alerts(Some(format!("{url}/")), None), "sdmk-modified", "sdmk-modified/1", &shutdown).expect("started");
    let kind = IncidentKind::AuthFailed;
    let open = Incidents::from([(kind, incident())]);
    alarm.desk.send(Desk { open, notices: Vec::new() }).expect("somebody listens");
    let mut last_end = String::new();
    for round in 0..4 {
        let Got { path, body, .. } = next(&mut got).await;
        assert_eq!((path.as_str(), body.as_array().map(Vec::len)), ("/api/v2/alerts", Some(1)));
        assert_eq!(body[0]["labels"]["alertname"], "SisdmkSourceAuthFailed");
        let end = body[0]["endsAt"].as_str().expect("an end").to_owned();
        assert!(end > last_end, "round {round}: each time it holds for longer");
        last_end = end;
    }
    let over = ended(kind, &incident(), &later_batch(), Timestamp(9_000_000), &alarm.targets);
    alarm.desk.send(Desk { open: Incidents::new(), notices: vec![over.clone()] }).expect("somebody listens");
    assert_eq!(alarm.taken.recv().await, Some(Taken { id: over.id, by: Target::Alertmanager }));
    // What was on its way may still come; the last one is the end, and after it there is silence.
    let mut last = None;
    while let Ok(request) = got.try_recv() {
        last = Some(request.body);
    }
    let last = last.expect("the end");
    assert_eq!(
        (last.as_array().map(Vec::len), &last[0]["endsAt"]),
        (Some(1), &serde_json::json!("1970-01-01T00:00:09.000000Z"))
    );
    shutdown.set();
}

#[test]
fn waits_grow_and_stay_bounded() {
    assert_eq!([1, 2, 3, 7, 40].map(|failures| backoff(failures).as_secs()), [1, 2, 4, 60, 60]);
}
