//! One request to the source and its whole answer, with the token and, where it takes one, the login before it.
//!
//! TLS is always verified; no redirect is followed, because it would carry the token along; no proxy of the
//! environment sees it. An error of the HTTP client becomes our own word here: its text may hold the address, and
//! with some profiles the token stands in it.

use super::token::{Issued, Tokens};
use crate::config::Api;
use crate::cycle::{Fault, FaultKind};
use crate::edge::metrics;
use crate::page;
use crate::profile::{Auth, AuthKind, Carry, Login};
use platform::clock;
use platform::exit::Failure;
use platform::secrets::SecretText;
use platform::telemetry::TraceContext;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use schemas::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// Bytes of the answer to a login.
const LOGIN_BYTES_MAX: usize = 64 * 1024;

/// The ways in which OAuth 2 says that it does not know us (RFC 6749, section 5.2).
const OAUTH2_REFUSALS: [&str; 4] = ["invalid_client", "invalid_grant", "unauthorized_client", "access_denied"];

/// The way to the source.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    base_url: String,
    auth: Auth,
    header: HeaderName,
    body_bytes_max: usize,
    pub(super) tokens: Tokens,
    pace: Pace,
    /// `X-Request-ID` of the newest login: what is told about a request that never went out because of it.
    login_id: Mutex<Uuid>,
}

/// What came of one request.
pub(crate) struct Reply {
    /// `X-Request-ID` of the request.
    pub(crate) request_id: Uuid,
    /// HTTP status, or our short word where there was none.
    pub(crate) code: String,
    /// From the request to the last byte.
    pub(crate) took: Duration,
    /// False if the login before it failed: then it never went out.
    pub(crate) sent: bool,
    /// The request carried a token that has been replaced since: a refusal of it says nothing.
    pub(crate) token_was_replaced: bool,
    /// Status and headers, where there was an answer.
    pub(crate) head: Option<(StatusCode, HeaderMap)>,
    /// The body of an answer of status 200, decompressed.
    pub(crate) body: Result<Vec<u8>, Fault>,
}

/// Spreads requests evenly, over all slices.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) interval: Duration,
    pub(super) next: Mutex<Option<Instant>>,
}

impl Pace {
    /// When the next request may go out; it is taken by asking.
    pub(super) fn take(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.interval);
        at
    }
}

impl Reply {
    /// The answer's `Content-Type`.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.head.as_ref()?.1.get(CONTENT_TYPE)?.to_str().ok()
    }
}

impl Link {
    /// The way that the configuration names. Nothing is asked yet.
    ///
    /// # Errors
    /// Exit 2 when the secret cannot be read or TLS cannot be set up.
    pub(crate) fn new(api: &Api) -> Result<Self, Failure> {
        let client = Client::builder()
            .timeout(api.request_timeout)
            .redirect(Policy::none())
            .no_proxy()
            .gzip(true)
            .user_agent(concat!("sisdmk-stream/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::config("cannot set up HTTP").because(error.without_url()))?;
        let auth = api.profile.auth.clone();
        let header = match &auth.header_name {
            None => AUTHORIZATION,
            Some(name) => HeaderName::try_from(name.as_str())
                .map_err(|_| Failure::config("source.profile: auth.header_name is not the name of a header"))?,
        };
        Ok(Self {
            client,
            base_url: api.base_url.clone(),
            header,
            body_bytes_max: api.body_bytes_max,
            tokens: Tokens::new(&auth, &api.credential)?,
            pace: Pace { interval: api.request_interval, next: Mutex::new(None) },
            login_id: Mutex::new(Uuid::nil()),
            auth,
        })
    }

    /// Puts one GET, in its turn, and reads the whole answer.
    pub(crate) async fn get(&self, path: &str, query: &[(String, String)], trace: &TraceContext) -> Reply {
        let token = match self.tokens.get(|| self.log_in(trace)).await {
            Ok(token) => token,
            Err(fault) => {
                let request_id = *self.login_id.lock().unwrap_or_else(PoisonError::into_inner);
                return Reply { request_id, code: fault.code.to_owned(), body: Err(fault), ..Reply::unsent() };
            }
        };
        sleep_until(self.pace.take(Instant::now())).await;
        let mut reply = Reply { sent: true, ..Reply::unsent() };
        let watch = clock::Stopwatch::start();
        let request = self.client.get(format!("{}{path}", self.base_url)).query(query);
        reply.body = match self.with_token(request, &token.text) {
            Ok(request) => match identified(request, reply.request_id, trace).send().await {
                Ok(response) => {
                    let head = (response.status(), response.headers().clone());
                    let body = whole(response, self.body_bytes_max).await;
                    reply.code = code_of(head.0, &body);
                    reply.head = Some(head);
                    body
                }
                Err(error) => Err(unreachable(error_code(&error))),
            },
            Err(fault) => Err(fault),
        };
        if let Err(fault) = &reply.body
            && reply.head.is_none()
        {
            fault.code.clone_into(&mut reply.code);
        }
        reply.took = watch.elapsed();
        reply.token_was_replaced = token.number != self.tokens.number();
        reply
    }

    fn with_token(&self, request: RequestBuilder, token: &SecretText) -> Result<RequestBuilder, Fault> {
        match self.auth.carry {
            Carry::Header => {
                let scheme = self.auth.header_scheme.as_deref().unwrap_or("Bearer");
                let blank = if scheme.is_empty() { "" } else { " " };
                let value = HeaderValue::from_str(&format!("{scheme}{blank}{}", token.expose()));
                let mut value = value.map_err(|_| auth("token_unusable"))?;
                value.set_sensitive(true);
                Ok(request.header(&self.header, value))
            }
            Carry::Query => {
                let name = self.auth.query_name.as_deref().unwrap_or_default();
                Ok(request.query(&[(name, token.expose())]))
            }
        }
    }

    /// Asks for a token.
    async fn log_in(&self, trace: &TraceContext) -> Result<Issued, Fault> {
        let Some(login) = &self.auth.login else { return Err(auth("login_undeclared")) };
        sleep_until(self.pace.take(Instant::now())).await;
        let (user, secret) = self.tokens.credentials();
        let request_id = Uuid::now_v7();
        *self.login_id.lock().unwrap_or_else(PoisonError::into_inner) = request_id;
        let watch = clock::Stopwatch::start();
        let mut form: Vec<(&str, &str)> =
            login.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.extend([(login.user.as_str(), user.as_str()), (login.secret.as_str(), secret.expose())]);
        let request = self.client.post(format!("{}{}", self.base_url, login.path)).query(&login.query).form(&form);
        let outcome = match identified(request, request_id, trace).send().await {
            Ok(response) => self.issued(login, response).await,
            Err(error) => Err(unreachable(match error_code(&error) {
                "timeout" => "login_timeout",
                "connect" => "login_connect",
                _ => "login_network",
            })),
        };
        let code = outcome.as_ref().map_or_else(|fault| fault.code, |_| "200");
        metrics::request(&login.path, code, watch.elapsed());
        tracing::debug!(%request_id, code, took_ms = watch.elapsed().as_millis(), "login");
        outcome
    }

    /// The token in the answer to a login.
    async fn issued(&self, login: &Login, response: Response) -> Result<Issued, Fault> {
        let status = response.status();
        let wish = retry_after(response.headers(), Timestamp(clock::now_micros()));
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        let failed = |code| Fault { retry_after: wish, ..unreachable(code) };
        let body = match status.as_u16() {
            401 | 403 => return Err(auth("login_refused")),
            200 | 201 | 400 => body(response, LOGIN_BYTES_MAX).await.map_err(|_| failed("login_cut_body"))?,
            429 => return Err(failed("login_http_429")),
            500..=599 => return Err(failed("login_http_5xx")),
            300..=399 => return Err(failed("login_http_redirect")),
            _ => return Err(failed("login_http_4xx")),
        };
        let content_type = content_type.as_deref();
        if status == StatusCode::BAD_REQUEST {
            let word = page::values(&body, content_type, [Some("error")]).ok().and_then(|[word]| page::text(word?));
            let refused =
                self.auth.kind == AuthKind::Oauth2 && word.is_some_and(|word| OAUTH2_REFUSALS.contains(&word.as_str()));
            return Err(if refused { auth("login_refused") } else { failed("login_http_4xx") });
        }
        let paths = [login.status.as_deref(), Some(login.token.as_str()), login.expires_in.as_deref()];
        let [said, token, life] = page::values(&body, content_type, paths).map_err(|fault| match fault.kind() {
            FaultKind::Unreachable => failed("login_cut_body"),
            FaultKind::Auth | FaultKind::Format => {
                Fault { kind: FaultKind::Format, code: "login_not_json", retry_after: None }
            }
        })?;
        if login.status.is_some() {
            match said.and_then(page::whole_number) {
                Some(status) if login.status_auth.contains(&status) => return Err(auth("login_refused")),
                Some(status) if login.status_ok.contains(&status) => {}
                _ => return Err(failed("login_in_body_failure")),
            }
        }
        // A whole answer without a token is how some services say that a password is wrong. To try the same again
        // would lock the account.
        let token =
            token.and_then(page::text).filter(|token| !token.is_empty()).ok_or_else(|| auth("login_no_token"))?;
        let told = life.and_then(page::whole_number).and_then(|seconds| u64::try_from(seconds).ok());
        let life = told.or(login.lifetime_seconds.map(u64::from)).map(Duration::from_secs);
        Ok(Issued { text: SecretText::new(token), life })
    }
}

impl Reply {
    fn unsent() -> Self {
        Self {
            request_id: Uuid::now_v7(),
            code: String::new(),
            took: Duration::ZERO,
            sent: false,
            token_was_replaced: false,
            head: None,
            body: Err(unreachable("network")),
        }
    }
}

/// The request with what makes it known in the source's log and in a trace.
fn identified(request: RequestBuilder, request_id: Uuid, trace: &TraceContext) -> RequestBuilder {
    request.header("x-request-id", request_id.to_string()).header("traceparent", trace.traceparent())
}

/// The body of a good answer; else what its status means.
async fn whole(response: Response, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let status = response.status();
    if status != StatusCode::OK {
        let now = super::source_time(response.headers(), Timestamp(clock::now_micros())).0;
        let retry_after = retry_after(response.headers(), now);
        return Err(Fault { retry_after, ..status_fault(status) });
    }
    body(response, bytes_max).await.map_err(|fault| {
        unreachable(match fault {
            BodyFault::TooLarge => "body_too_large",
            BodyFault::Cut => "cut_body",
            BodyFault::Timeout => "timeout",
        })
    })
}

fn code_of(status: StatusCode, body: &Result<Vec<u8>, Fault>) -> String {
    match body {
        Err(fault) if status == StatusCode::OK => fault.code.to_owned(),
        _ => status.as_u16().to_string(),
    }
}

/// The body did not come whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFault {
    TooLarge,
    Cut,
    Timeout,
}

/// The body, decompressed, up to a cap: a small compressed body may be a huge one.
async fn body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, BodyFault> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > bytes_max {
        return Err(BodyFault::TooLarge);
    }
    let mut body = Vec::with_capacity(announced);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                if body.len() + chunk.len() > bytes_max {
                    return Err(BodyFault::TooLarge);
                }
                let needed = body.len() + chunk.len();
                if needed > body.capacity() {
                    // As a Vec grows, but never beyond what it may become.
                    let capacity = needed.max(body.capacity().saturating_mul(2)).min(bytes_max);
                    body.reserve_exact(capacity - body.len());
                }
                body.extend_from_slice(&chunk);
            }
            Ok(None) => {
                body.shrink_to_fit();
                return Ok(body);
            }
            Err(error) if error.is_timeout() => return Err(BodyFault::Timeout),
            Err(_) => return Err(BodyFault::Cut),
        }
    }
}

pub(super) fn unreachable(code: &'static str) -> Fault {
    Fault { kind: FaultKind::Unreachable, code, retry_after: None }
}

fn auth(code: &'static str) -> Fault {
    Fault { kind: FaultKind::Auth, code, retry_after: None }
}

/// Our word for an error of the HTTP client; its own text may hold the address.
fn error_code(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else if error.is_builder() {
        "bad_request"
    } else {
        "network"
    }
}

/// What a status other than 200 means.
fn status_fault(status: StatusCode) -> Fault {
    match status.as_u16() {
        401 => auth("http_401"),
        403 => auth("http_403"),
        429 => unreachable("http_429"),
        500..=599 => unreachable("http_5xx"),
        300..=399 => unreachable("http_redirect"),
        400..=499 => unreachable("http_4xx"),
        _ => unreachable("http_other"),
    }
}

/// The wait that the source asks for: seconds, or an HTTP date. Anything else, and a date in the past, is
/// no wish.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = http_date(text)?;
    u64::try_from(until.0.saturating_sub(now.0)).ok().map(Duration::from_micros)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the form that RFC 9110 asks for.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.trim().strip_suffix("GMT")?;
    let date = chrono::DateTime::parse_from_rfc2822(&format!("{text}+0000")).ok()?;
    Some(Timestamp(date.timestamp_micros()))
}
