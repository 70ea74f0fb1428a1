//! The source over HTTP: the only file that speaks to it.
//!
//! One call is one request and its whole answer. Tries, waits and what a fault means for a slice belong
//! to the cycle. Nothing here logs an address or an error of the HTTP client as it is: with some
//! profiles the token stands in the query.

use crate::config::Config;
use crate::cycle::{Arrived, Ask, Fault, FaultKind};
use crate::hold::Origin;
use crate::page;
use crate::profile::{Carry, Profile};
use platform::clock;
use platform::exit::Failure;
use platform::secrets::{SecretFault, SecretFile, SecretText};
use platform::telemetry::TraceContext;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use schemas::Timestamp;
use schemas::identity::IdentityKey;
use schemas::layout::Layout;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// Redirects within the same origin that are followed.
const REDIRECTS_MAX: usize = 3;

/// A `Date` further from this host's clock than this is no time at all; the host's clock is taken then.
/// Without the bound one bad answer would freeze `fetched_at`, which never decreases, in the future.
const DATE_APART_MAX_US: i64 = 24 * 3_600 * 1_000_000;

/// Clocks further apart than this are an incident.
pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(120);

/// The source.
#[derive(Debug)]
pub struct Sisdmk {
    client: Client,
    profile: Profile,
    layout: Layout,
    key: IdentityKey,
    address: String,
    body_bytes_max: usize,
    token_file: SecretFile,
    token: Mutex<Token>,
    pace: Pace,
    /// The greatest `fetched_at` given so far.
    fetched_at: AtomicI64,
}

/// What came of one request.
#[derive(Debug)]
pub struct Answer {
    /// `X-Request-ID` of the request.
    pub request_id: Uuid,
    /// HTTP status, or our short word where there was none: a metric's label.
    pub code: String,
    /// From the request to the last byte.
    pub took: Duration,
    /// The request carried a token that has been replaced since: a refusal of it says nothing.
    pub token_was_replaced: bool,
    /// How far the source's clock is from this host's.
    pub clocks_apart: Option<Duration>,
    /// The page, or how it failed.
    pub outcome: Result<Arrived, Fault>,
    /// The body of an answer that is not the declared shape.
    pub odd_body: Option<Vec<u8>>,
}

/// The token in use; the number grows with each other one.
#[derive(Debug, Clone)]
struct Token {
    number: u64,
    text: SecretText,
}

/// Spreads requests evenly, over all slices.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// When the next request may go out; it is taken by asking.
    fn take(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.interval);
        at
    }
}

/// The body did not come whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFault {
    TooLarge,
    Cut,
    Timeout,
}

impl Sisdmk {
    /// The source that the configuration names. Nothing is asked yet.
    ///
    /// `fetched_at`: the greatest one that was given before this process started.
    ///
    /// # Errors
    /// Exit 2 when the token cannot be read or TLS cannot be set up.
    pub fn new(config: &Config, token_file: SecretFile, fetched_at: Option<Timestamp>) -> Result<Self, Failure> {
        let token = token_file.read_text()?;
        // The token goes to one origin only, and no proxy of the environment sees it.
        let same_origin = Policy::custom(|attempt| {
            let same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
            if same && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
        });
        let client = Client::builder()
            .timeout(config.request_timeout)
            .redirect(same_origin)
            .no_proxy()
            .gzip(true)
            .user_agent(concat!("sisdmk-stream/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::config("cannot set up HTTP").because(error.without_url()))?;
        Ok(Self {
            client,
            profile: config.profile.clone(),
            layout: config.layout.clone(),
            key: config.identity_key.clone(),
            address: format!("{}{}", config.base_url, config.profile.request.path),
            body_bytes_max: config.body_bytes_max,
            token_file,
            token: Mutex::new(Token { number: 0, text: token }),
            pace: Pace { interval: config.limits.request_interval, next: Mutex::new(None) },
            fetched_at: AtomicI64::new(fetched_at.map_or(i64::MIN, |at| at.0)),
        })
    }

    /// Reads the token's file again. True if there is another token now.
    ///
    /// # Errors
    /// When the file cannot be read; the former token stays.
    pub fn renew_token(&self) -> Result<bool, SecretFault> {
        let fresh = self.token_file.read_text()?;
        let mut token = self.token.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = token.text != fresh;
        if changed {
            *token = Token { number: token.number + 1, text: fresh };
        }
        Ok(changed)
    }

    fn token(&self) -> Token {
        self.token.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Whether the token's file holds another token than the one in use.
    #[must_use]
    pub fn token_file_changed(&self) -> bool {
        self.token_file.changed()
    }

    /// Puts one request, in its turn, and reads the whole answer.
    pub async fn fetch(&self, ask: &Ask, trace: &TraceContext) -> Answer {
        sleep_until(self.pace.take(Instant::now())).await;
        let request_id = Uuid::now_v7();
        let watch = clock::Stopwatch::start();
        let mut answer = Answer {
            request_id,
            code: String::new(),
            took: Duration::ZERO,
            token_was_replaced: false,
            clocks_apart: None,
            outcome: Err(unreachable("network")),
            odd_body: None,
        };
        let token = self.token();
        match self.send(ask, &token.text, request_id, trace).await {
            Ok(response) => self.read(response, trace, &mut answer).await,
            Err(error) => {
                let code = error_code(&error);
                code.clone_into(&mut answer.code);
                answer.outcome = Err(unreachable(code));
            }
        }
        answer.took = watch.elapsed();
        answer.token_was_replaced = token.number != self.token().number;
        answer
    }

    async fn send(
        &self,
        ask: &Ask,
        token: &SecretText,
        request_id: Uuid,
        trace: &TraceContext,
    ) -> reqwest::Result<Response> {
        let mut query = query(&self.profile, ask);
        let mut request = self
            .client
            .get(&self.address)
            .header("x-request-id", request_id.to_string())
            .header("traceparent", trace.traceparent());
        match self.profile.auth.carry {
            Carry::Header => {
                if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) {
                    value.set_sensitive(true);
                    request = request.header(AUTHORIZATION, value);
                }
            }
            Carry::Query => {
                let name = self.profile.auth.query_name.clone().unwrap_or_default();
                query.push((name, token.expose().to_owned()));
            }
        }
        request.query(&query).send().await
    }

    async fn read(&self, response: Response, trace: &TraceContext, answer: &mut Answer) {
        let status = response.status();
        answer.code = status.as_u16().to_string();
        let host_now = Timestamp(clock::now_micros());
        let (source_time, apart) = source_time(response.headers(), host_now);
        let fetched_at = self.fetched_at(source_time);
        answer.clocks_apart = apart;
        if status != StatusCode::OK {
            let retry_after = retry_after(response.headers(), host_now);
            answer.outcome = Err(Fault { retry_after, ..status_fault(status) });
            return;
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = match body(response, self.body_bytes_max).await {
            Ok(body) => body,
            Err(fault) => {
                let code = match fault {
                    BodyFault::TooLarge => "body_too_large",
                    BodyFault::Cut => "cut_body",
                    BodyFault::Timeout => "timeout",
                };
                code.clone_into(&mut answer.code);
                answer.outcome = Err(unreachable(code));
                return;
            }
        };
        match page::read(&body, content_type.as_deref(), &self.profile.answer) {
            Ok(found) => {
                let origin = Origin { request_id: answer.request_id, traceparent: trace.traceparent(), fetched_at };
                let page = page::hold(body, &found.records, &self.layout, &self.key, origin);
                answer.outcome = Ok(Arrived { page, total: found.total, source_time });
            }
            Err(fault) => {
                fault.code().clone_into(&mut answer.code);
                answer.outcome = Err(Fault { kind: fault.kind(), code: fault.code(), retry_after: None });
                if fault.kind() == FaultKind::Format {
                    answer.odd_body = Some(body);
                }
            }
        }
    }

    /// When the source gave the answer out; never before one that was given earlier.
    fn fetched_at(&self, source_time: Timestamp) -> Timestamp {
        Timestamp(self.fetched_at.fetch_max(source_time.0, Ordering::AcqRel).max(source_time.0))
    }
}

/// The source's clock: its `Date`, else this host's clock. And how far the two are apart.
fn source_time(headers: &HeaderMap, host_now: Timestamp) -> (Timestamp, Option<Duration>) {
    let date = headers.get(DATE).and_then(|value| http_date(value.to_str().ok()?));
    let apart_us = date.map(|date| date.0.saturating_sub(host_now.0));
    let good = date.filter(|_| apart_us.is_some_and(|apart| apart.saturating_abs() <= DATE_APART_MAX_US));
    (good.unwrap_or(host_now), apart_us.map(|apart| Duration::from_micros(apart.unsigned_abs())))
}

/// The parameters of a request, without the token.
fn query(profile: &Profile, ask: &Ask) -> Vec<(String, String)> {
    let request = &profile.request;
    let region = if ask.region.is_province() { &request.province } else { &request.regency };
    let named = |name: &Option<String>, value: Option<String>| Some((name.clone()?, value?));
    [
        named(region, Some(ask.region.digits())),
        named(&request.since, ask.since.map(|at| at.to_string())),
        named(&request.until, ask.until.map(|at| at.to_string())),
        named(&profile.paging.page, Some(ask.page.to_string())),
        named(&profile.paging.limit, ask.limit.map(|limit| limit.to_string())),
    ]
    .into_iter()
    .flatten()
    .collect()
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

fn unreachable(code: &'static str) -> Fault {
    Fault { kind: FaultKind::Unreachable, code, retry_after: None }
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
        401 => Fault { kind: FaultKind::Auth, code: "http_401", retry_after: None },
        403 => Fault { kind: FaultKind::Auth, code: "http_403", retry_after: None },
        429 => unreachable("http_429"),
        500..=599 => unreachable("http_5xx"),
        300..=399 => unreachable("http_redirect"),
        400..=499 => unreachable("http_4xx"),
        _ => unreachable("http_other"),
    }
}

/// The wait that the source asks for: seconds, or an HTTP date. Anything else, and a date in the past, is
/// no wish.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = http_date(text)?;
    u64::try_from(until.0.saturating_sub(now.0)).ok().map(Duration::from_micros)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the form that RFC 9110 asks for.
fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.trim().strip_suffix("GMT")?;
    let date = chrono::DateTime::parse_from_rfc2822(&format!("{text}+0000")).ok()?;
    Some(Timestamp(date.timestamp_micros()))
}

#[cfg(test)]
mod tests;
