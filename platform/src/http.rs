//! The small HTTP server of every process: health, metrics, and what the process adds.
//!
//! `/livez` asks nothing but the server itself; `/readyz` is 200 when every named check is good and
//! 503 otherwise, with one line for each check under `?verbose`; `/metrics` is Prometheus' text.
//! Every answer carries `X-Request-ID`: the request's own, or a new UUIDv7.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::exit::Failure;
use crate::metrics;
use crate::shutdown::Shutdown;

/// The header that names a request.
pub const X_REQUEST_ID: &str = "x-request-id";

/// Longest request id that is taken over from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The id of a request that is being served, among the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Named checks, set by any thread and read by `/readyz`. Clones share them.
///
/// The process is ready when every check is good. A check is bad from its name on until somebody
/// says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, Result<String, String>>>>);

impl Health {
    /// The checks that must become good before the process is ready.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        let health = Self::default();
        for name in names {
            health.not_ok(name, "starting");
        }
        health
    }

    fn checks(&self) -> MutexGuard<'_, BTreeMap<String, Result<String, String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That check is good.
    pub fn ok(&self, name: &str) {
        let mut checks = self.checks();
        match checks.get_mut(name) {
            Some(Ok(_)) => {}
            Some(check) => *check = Ok(String::new()),
            None => {
                checks.insert(name.to_owned(), Ok(String::new()));
            }
        }
    }

    /// That check is good, and this is worth knowing beside it: our own words, on one line.
    pub fn note(&self, name: &str, text: impl Into<String>) {
        self.checks().insert(name.to_owned(), Ok(text.into().replace(['\n', '\r'], " ")));
    }

    /// That check is bad, for this reason: our own words, on one line, without values of records.
    pub fn not_ok(&self, name: &str, reason: impl Into<String>) {
        let reason = reason.into().replace(['\n', '\r'], " ");
        self.checks().insert(name.to_owned(), Err(reason));
    }

    /// That check is no concern any more, such as one of a partition that went to another process.
    pub fn forget(&self, name: &str) {
        self.checks().remove(name);
    }

    /// Whether every check is good.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks().values().all(Result::is_ok)
    }

    /// One line for each check, `[+]name ok`, `[+]name ok: note` or `[-]name reason`, and whether all are good.
    #[must_use]
    pub fn verbose(&self) -> (bool, String) {
        let checks = self.checks();
        let mut text = String::new();
        for (name, check) in checks.iter() {
            let line = match check {
                Ok(note) if note.is_empty() => format!("[+]{name} ok\n"),
                Ok(note) => format!("[+]{name} ok: {note}\n"),
                Err(reason) => format!("[-]{name} {reason}\n"),
            };
            text.push_str(&line);
        }
        (checks.values().all(Result::is_ok), text)
    }
}

/// A running server. It answers until it is stopped or dropped, also while the process drains:
/// then `/readyz` says so.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// The address it listens on, with the real port where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what is under way and ends.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // Bounded: a client that never finishes its request does not hold the process.
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), &mut self.task).await;
        if ended.is_err() {
            tracing::warn!(address = %self.address, "requests were still open after 5 s; closing anyway");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// Listens on the address that `setting` names and serves health, metrics and the process's own routes. Once `shutdown` is set, the
/// check `shutdown` is bad.
///
/// # Errors
/// Exit 3 when the address cannot be listened on.
pub async fn serve(
    setting: &str,
    listen: SocketAddr,
    health: Health,
    extra: Router,
    shutdown: Shutdown,
) -> Result<Server, Failure> {
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "address in use: `ss -ltnp 'sport = :{}'` shows by whom; stop that process, or give this one another address with {setting}",
                listen.port()
            ),
            std::io::ErrorKind::PermissionDenied => {
                format!("ports below 1024 need a privilege: choose a higher one with {setting}")
            }
            _ => format!("{setting} must name an address of this machine"),
        };
        Failure::environment(format!("cannot listen on {listen}")).because(error).hint(hint)
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::environment(format!("cannot listen on {listen}")).because(error))?;
    let stop = CancellationToken::new();
    let app = with_request_id(routes(health.clone()).merge(extra));
    let stopped = stop.clone().cancelled_owned();
    let task = tokio::spawn(async move {
        let draining = async move {
            shutdown.wait().await;
            health.not_ok("shutdown", "stopping");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = axum::serve(listener, app).with_graceful_shutdown(stopped) => {
                if let Err(error) = served {
                    tracing::error!(error = %error, "the HTTP server stopped");
                }
            }
            () = draining => {}
        }
    });
    tracing::info!(%address, "listening");
    Ok(Server { address, stop, task })
}

fn routes(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(async || ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render())))
        .with_state(health)
}

async fn readyz(State(health): State<Health>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let (ready, lines) = health.verbose();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    let summary = if ready { "ready" } else { "not ready" };
    (status, if verbose { format!("{lines}{summary}\n") } else { format!("{summary}\n") })
}

/// Adds the request id to every request of these routes (as [`RequestId`]) and to every answer.
pub fn with_request_id(routes: Router) -> Router {
    routes.layer(middleware::from_fn(request_id))
}

async fn request_id(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(X_REQUEST_ID).filter(|given| is_fit(given)).cloned();
    let (text, value) = match given {
        Some(value) => (String::from_utf8_lossy(value.as_bytes()).into_owned(), value),
        None => {
            let id = Uuid::now_v7().to_string();
            let value = HeaderValue::from_str(&id).expect("a UUID is hex digits and dashes");
            (id, value)
        }
    };
    request.extensions_mut().insert(RequestId(text));
    let mut response = next.run(request).await;
    response.headers_mut().insert(HeaderName::from_static(X_REQUEST_ID), value);
    response
}

/// Whether a client's id may go into our logs and answers: short, and visible ASCII only.
fn is_fit(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    !bytes.is_empty() && bytes.len() <= REQUEST_ID_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(server: &Server, path: &str, id: Option<&str>) -> (u16, String, String) {
        let url = format!("http://{}{path}", server.address());
        let mut request = reqwest::Client::new().get(url);
        if let Some(id) = id {
            request = request.header(X_REQUEST_ID, id);
        }
        let response = request.send().await.expect("answer");
        let id = response.headers()[X_REQUEST_ID].to_str().expect("text").to_owned();
        (response.status().as_u16(), id, response.text().await.expect("body"))
    }

    fn local() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    #[tokio::test]
    async fn a_process_is_ready_when_every_check_is_good_and_not_while_it_stops() {
        let (health, shutdown) = (Health::new(&["kafka", "postgres"]), Shutdown::new());
        let server =
            serve("test.listen", local(), health.clone(), Router::new(), shutdown.clone()).await.expect("listen");
        assert_eq!(ask(&server, "/livez", None).await.0, 200);
        health.ok("kafka");
        let (status, _, body) = ask(&server, "/readyz?verbose", None).await;
        assert_eq!((status, body.as_str()), (503, "[+]kafka ok\n[-]postgres starting\nnot ready\n"));
        health.ok("postgres");
        let (status, _, body) = ask(&server, "/readyz", None).await;
        assert_eq!((status, body.as_str()), (200, "ready\n"));
        shutdown.set();
        while health.is_ready() {
            tokio::task::yield_now().await;
        }
        let (status, _, body) = ask(&server, "/readyz?verbose=1", None).await;
        assert_eq!(status, 503);
        assert!(body.contains("[-]shutdown stopping"), "{body}");
        server.stop().await;
    }

    #[tokio::test]
    async fn every_answer_carries_the_request_s_id_or_a_new_one() {
        let server =
            serve("test.listen", local(), Health::default(), Router::new(), Shutdown::new()).await.expect("listen");
        assert_eq!(ask(&server, "/livez", Some("abc-1")).await.1, "abc-1");
        let long = "x".repeat(129);
        for unfit in [None, Some("with blank"), Some(long.as_str())] {
            let (_, id, _) = ask(&server, "/nothing", unfit).await;
            assert_eq!(Uuid::parse_str(&id).expect("a UUID").get_version_num(), 7);
        }
        let (status, _, body) = ask(&server, "/metrics", None).await;
        assert_eq!(status, 200);
        assert!(body.is_empty() || body.contains("# TYPE"), "{body}");
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_with_what_to_do() {
        let first =
            serve("test.listen", local(), Health::default(), Router::new(), Shutdown::new()).await.expect("listen");
        let failure = serve("test.listen", first.address(), Health::default(), Router::new(), Shutdown::new())
            .await
            .expect_err("in use");
        assert_eq!(failure.exit, crate::exit::Exit::Environment);
        assert!(failure.hint.contains("address in use") && failure.hint.contains("ss -ltnp"), "{failure:?}");
    }
}
