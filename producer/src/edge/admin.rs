//! The admin endpoint: poll now, pause, resume, and what is going on.
//!
//! Everything is decided by the loop; this hands wishes over and waits for the answer. The bearer token
//! comes from a file, which is read at each request, so that a new one holds at once.

mod shelf;

pub use shelf::Shelf;

use crate::agenda::Reason;
use crate::incident;
use crate::region::Region;
use crate::state::{BatchRecord, BatchState, BatchStatus, ScheduleRecord, StateView, StoppedFor};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use platform::secrets::SecretFile;
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Wishes that wait for the loop, at most.
pub const COMMANDS_MAX: usize = 16;

/// An operator's wish, with the way back for the answer.
#[derive(Debug)]
pub enum Command {
    /// Start a batch now.
    Poll {
        /// One region; none: all that are configured.
        region: Option<Region>,
        /// Lower bound instead of the watermark.
        since: Option<Timestamp>,
        /// Its id.
        reply: oneshot::Sender<Result<Uuid, Refusal>>,
    },
    /// Start batches by the clock, or none.
    Switch {
        /// Which.
        enabled: bool,
        /// The status then.
        reply: oneshot::Sender<Result<StatusView, Refusal>>,
    },
    /// Start batches by the clock, and ask a source that had refused our token.
    Resume {
        /// The status then.
        reply: oneshot::Sender<Result<StatusView, Refusal>>,
    },
}

/// Why a wish is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A batch runs.
    BatchRunning,
    /// The source refuses our token.
    Stopped,
    /// A region is asked for, and the source is read by facility.
    ByFacility,
    /// The process is to stop.
    Stopping,
}

/// What `GET /admin/status` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatusView {
    /// `<profile>/<version>`.
    pub source: String,
    /// Whether batches start by the clock.
    pub enabled: bool,
    /// Why no request goes out.
    pub stopped_for: Option<StoppedFor>,
    /// When the next batch starts by the clock.
    pub next_run: Option<Timestamp>,
    /// Why then, or why not.
    pub reason: Reason,
    /// When the newest batch was started.
    pub last_run: Option<Timestamp>,
    /// How it ended; none while it runs.
    pub last_status: Option<BatchStatus>,
    /// The newest batch.
    pub batch: Option<BatchRecord>,
    /// What is wrong with the source at present, and what to do about it.
    pub incidents: Vec<serde_json::Value>,
}

impl StatusView {
    /// What the state says, and what comes next.
    #[must_use]
    pub fn new(source: String, view: &StateView, (next_run, reason): (Option<Timestamp>, Reason)) -> Self {
        let ScheduleRecord { enabled, stopped_for, last_started, .. } = view.schedule;
        let ended = view.batch.as_ref().filter(|batch| batch.state == BatchState::Closed);
        Self {
            source,
            enabled,
            stopped_for,
            next_run,
            reason,
            last_run: last_started,
            last_status: ended.map(|batch| batch.status.unwrap_or(BatchStatus::Complete)),
            batch: view.batch.clone(),
            incidents: incident::shown(&view.incidents),
        }
    }

    /// Next run, last run and reason on one line.
    #[must_use]
    pub fn schedule_line(&self) -> String {
        let time = |at: Option<Timestamp>| at.map_or_else(|| "none".to_owned(), |at| at.to_string());
        let ended = match (self.last_run, self.last_status) {
            (Some(_), Some(status)) => format!(" ({})", status.as_str()),
            (Some(_), None) => " (it runs)".to_owned(),
            (None, _) => String::new(),
        };
        format!("next {} ({}), last {}{ended}", time(self.next_run), self.reason.as_str(), time(self.last_run))
    }
}

/// What operators are shown; written by the loop, read by the endpoint.
#[derive(Debug, Default)]
pub struct Status(Mutex<StatusView>);

impl Status {
    /// Replaces what is shown.
    pub fn set(&self, shown: StatusView) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// What is shown now.
    #[must_use]
    pub fn get(&self) -> StatusView {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the handlers share.
#[derive(Debug, Clone)]
struct Admin {
    token: Option<Arc<SecretFile>>,
    commands: mpsc::Sender<Command>,
    status: Arc<Status>,
    shelf: Arc<Shelf>,
}

/// Body of `POST /admin/poll`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PollBody {
    region: Option<String>,
    since: Option<String>,
}

/// Body of `PUT /admin/enabled`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnabledBody {
    enabled: bool,
}

/// The admin endpoints. `token`: none means that they all answer 403.
pub fn router(
    token: Option<Arc<SecretFile>>,
    commands: mpsc::Sender<Command>,
    status: Arc<Status>,
    shelf: Arc<Shelf>,
) -> Router {
    Router::new()
        .route("/admin/poll", post(poll))
        .route("/admin/pause", post(pause))
        .route("/admin/enabled", put(enabled))
        .route("/admin/resume", post(resume))
        .route("/admin/status", get(status_now))
        .route("/admin/quarantine", get(shelf::list))
        .route("/admin/quarantine/{batch}/{name}", get(shelf::show))
        .route("/admin/quarantine/{batch}/{name}/retry", post(shelf::retry))
        .with_state(Admin { token, commands, status, shelf })
}

async fn poll(State(admin): State<Admin>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = admin.refuse(&headers) {
        return refused;
    }
    let body: PollBody = match if body.is_empty() { Ok(PollBody::default()) } else { serde_json::from_slice(&body) } {
        Ok(body) => body,
        Err(_) => {
            return error(
                StatusCode::BAD_REQUEST,
                "bad_body",
                "the body must be {\"region\":\"32\",\"since\":\"..\"}, both optional",
                None,
            );
        }
    };
    let region = body.region.as_deref().map(|code| Region::parse(code).filter(Region::is_known));
    if region == Some(None) {
        return error(
            StatusCode::BAD_REQUEST,
            "bad_region",
            "not a province (`32`) or regency (`32.73`)",
            Some("region"),
        );
    }
    let since = body.since.as_deref().map(Timestamp::parse_rfc3339);
    if since == Some(None) {
        return error(StatusCode::BAD_REQUEST, "bad_since", "not an RFC 3339 time with an offset", Some("since"));
    }
    let (reply, answer) = oneshot::channel();
    let command = Command::Poll { region: region.flatten(), since: since.flatten(), reply };
    match admin.ask(command, answer).await {
        Ok(batch_id) => (StatusCode::ACCEPTED, Json(json!({ "batch_id": batch_id }))).into_response(),
        Err(refusal) => refused(refusal),
    }
}

async fn pause(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if let Some(refused) = admin.refuse(&headers) {
        return refused;
    }
    admin.switch(false).await
}

/// The switch of an integration manager: says how it is to be, so that the same wish twice is no harm.
async fn enabled(State(admin): State<Admin>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = admin.refuse(&headers) {
        return refused;
    }
    match serde_json::from_slice::<EnabledBody>(&body) {
        Ok(body) => admin.switch(body.enabled).await,
        Err(_) => error(StatusCode::BAD_REQUEST, "bad_body", "the body must be {\"enabled\":true} or false", None),
    }
}

async fn resume(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if let Some(refused) = admin.refuse(&headers) {
        return refused;
    }
    let (reply, answer) = oneshot::channel();
    admin.ask(Command::Resume { reply }, answer).await.map_or_else(refused, |view| Json(view).into_response())
}

async fn status_now(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    admin.refuse(&headers).unwrap_or_else(|| Json(admin.status.get()).into_response())
}

impl Admin {
    /// The answer to somebody who may not ask; none for somebody who may.
    fn refuse(&self, headers: &HeaderMap) -> Option<Response> {
        let Some(file) = &self.token else {
            let message = "the admin endpoint is off: producer.admin_token_file is not set";
            return Some(error(StatusCode::FORBIDDEN, "admin_off", message, None));
        };
        let Ok(token) = file.read() else {
            let message = "the admin token cannot be read";
            return Some(error(StatusCode::INTERNAL_SERVER_ERROR, "token_unreadable", message, None));
        };
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).and_then(bearer);
        if given.is_some_and(|given| is_same(given, token.expose())) {
            return None;
        }
        let mut response = error(StatusCode::UNAUTHORIZED, "unauthorized", "a bearer token is needed", None);
        response.headers_mut().insert("www-authenticate", axum::http::HeaderValue::from_static("Bearer"));
        Some(response)
    }

    async fn switch(&self, enabled: bool) -> Response {
        let (reply, answer) = oneshot::channel();
        let asked = self.ask(Command::Switch { enabled, reply }, answer).await;
        asked.map_or_else(refused, |view| Json(view).into_response())
    }

    /// Hands a wish to the loop and waits for the answer.
    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
        self.commands.send(command).await.map_err(|_| Refusal::Stopping)?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }
}

/// The token of `Bearer ..`; the scheme's case is free.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// Compares in a time that does not depend on where two tokens of one length differ.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differs =
        given.iter().zip(token).fold(0, |differs, (left, right)| std::hint::black_box(differs | (left ^ right)));
    given.len() == token.len() && differs == 0
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::BatchRunning => {
            error(StatusCode::CONFLICT, "batch_running", "a batch runs; ask again when it has ended", None)
        }
        Refusal::Stopped => error(
            StatusCode::CONFLICT,
            "auth_failed",
            "the source refuses the token; put a new one into its file, or resume",
            None,
        ),
        Refusal::ByFacility => error(
            StatusCode::BAD_REQUEST,
            "bad_region",
            "this source is read by facility; leave the region out",
            Some("region"),
        ),
        Refusal::Stopping => error(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the producer is stopping", None),
    }
}

fn error(status: StatusCode, code: &str, message: &str, field: Option<&str>) -> Response {
    (status, Json(json!({ "error": { "code": code, "message": message, "field": field } }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::http::{self, Health};
    use platform::shutdown::Shutdown;
    use std::os::unix::fs::PermissionsExt as _;

    /// Serves the endpoint with a loop that starts one batch and then has it running for ever.
    async fn served(token: Option<Arc<SecretFile>>) -> (http::Server, String) {
        let shelf = Arc::new(shelf::tests::shelf(std::path::PathBuf::from("/nonexistent")));
        let (commands, mut wishes) = mpsc::channel(COMMANDS_MAX);
        let status = Arc::new(Status::default());
        let shown = Arc::clone(&status);
        tokio::spawn(async move {
            let mut view = StateView::default();
            let mut running = false;
            while let Some(command) = wishes.recv().await {
                match command {
                    Command::Poll { reply, .. } if running => {
                        let _ = reply.send(Err(Refusal::BatchRunning));
                    }
                    Command::Poll { region, since, reply } => {
                        running = true;
                        assert_eq!(region.map(|region| region.to_string()).as_deref(), Some("32.73"));
                        assert_eq!(
                            since.map(|since| since.to_string()).as_deref(),
                            Some("2026-11-01T00:00:00.000000Z")
                        );
                        let _ = reply.send(Ok(Uuid::from_u128(7)));
                    }
                    Command::Switch { enabled, reply } => {
                        view.schedule.enabled = enabled;
                        shown.set(StatusView::new("sdmk-modified/1".to_owned(), &view, (None, Reason::Paused)));
                        let _ = reply.send(Ok(shown.get()));
                    }
                    Command::Resume { reply } => {
                        let _ = reply.send(Err(Refusal::Stopping));
                    }
                }
            }
        });
        let listen = "127.0.0.1:0".parse().expect("an address");
        let server = http::serve(
            "producer.listen",
            listen,
            Health::new(&[]),
            router(token, commands, status, shelf),
            Shutdown::new(),
        );
        let server = server.await.expect("a free port");
        let address = format!("http://{}/admin", server.address());
        (server, address)
    }

    #[tokio::test]
    async fn wishes_are_handed_over_and_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "hunter22\n").expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let (_server, address) = served(Some(Arc::new(SecretFile::new(path)))).await;
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let ask = async |verb: &str, path: &str, token: &str, body: &str| {
            let method = reqwest::Method::from_bytes(verb.as_bytes()).expect("a method");
            let request = client.request(method, format!("{address}/{path}")).bearer_auth(token).body(body.to_owned());
            let response = request.send().await.expect("an answer");
            let status = response.status().as_u16();
            (status, response.json::<serde_json::Value>().await.expect("JSON"))
        };
        let refused = async |path: &str, token: &str, body: &str, status: u16, code: &str| {
            let (found, answer) = ask("POST", path, token, body).await;
            assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{body}");
        };
        refused("poll", "hunter23", "", 401, "unauthorized").await;
        refused("pause", "", "", 401, "unauthorized").await;
        refused("poll", "hunter22", "{", 400, "bad_body").await;
        refused("poll", "hunter22", r#"{"regions":"32"}"#, 400, "bad_body").await;
        refused("poll", "hunter22", r#"{"region":"32.99"}"#, 400, "bad_region").await;
        refused("poll", "hunter22", r#"{"since":"2026-11-01"}"#, 400, "bad_since").await;
        let wish = r#"{"region":"32.73","since":"2026-11-01T07:00:00+07:00"}"#;
        let (status, answer) = ask("POST", "poll", "hunter22", wish).await;
        assert_eq!((status, answer["batch_id"].as_str()), (202, Some("00000000-0000-0000-0000-000000000007")));
        refused("poll", "hunter22", wish, 409, "batch_running").await;
        let (status, answer) = ask("POST", "pause", "hunter22", "").await;
        assert_eq!((status, &answer["enabled"]), (200, &json!(false)));
        assert_eq!(ask("GET", "status", "hunter22", "").await, (200, answer));
        for on in [true, true, false] {
            let (status, answer) = ask("PUT", "enabled", "hunter22", &json!({ "enabled": on }).to_string()).await;
            assert_eq!((status, &answer["enabled"]), (200, &json!(on)));
        }
        for (body, token, status, code) in [
            (r#"{"enabled":"yes"}"#, "hunter22", 400, "bad_body"),
            ("", "hunter22", 400, "bad_body"),
            (r#"{"enabled":true}"#, "hunter2", 401, "unauthorized"),
        ] {
            let (found, answer) = ask("PUT", "enabled", token, body).await;
            assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{body}");
        }
        refused("resume", "hunter22", "", 503, "stopping").await;
    }

    #[tokio::test]
    async fn without_a_token_the_endpoint_is_off() {
        let (_server, address) = served(None).await;
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let response = client.get(format!("{address}/status")).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 403);
    }

    #[test]
    fn tokens_are_compared_whole() {
        let check = |header: &str, good: bool| {
            let same = bearer(header.as_bytes()).is_some_and(|given| is_same(given, b"hunter22"));
            assert_eq!(same, good, "{header}");
        };
        check("Bearer hunter22", true);
        check("bearer hunter22 ", true);
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer hunter2",
            "Bearer hunter23",
            "Bearer hunter222",
            "Basic hunter22",
            "hunter22",
        ] {
            check(bad, false);
        }
    }
}
