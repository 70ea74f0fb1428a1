//! The source over HTTP: this file and those below it are the only ones that speak to it.
//!
//! One call is one request and its whole answer. Tries, waits and what a fault means for a slice belong
//! to the cycle. Nothing here logs an address or an error of the HTTP client as it is: with some
//! profiles the token stands in the query.

mod link;
mod token;

use crate::config::Config;
use crate::cycle::{Arrived, Ask, Fault, FaultKind};
use crate::edge::metrics;
use crate::facility;
use crate::hold::Origin;
use crate::page;
use crate::profile::{Answer as Answers, Paging, PagingKind, Profile};
use crate::region::Region;
pub(crate) use link::{Link, Reply};
use link::{http_date, unreachable};
use platform::clock;
use platform::exit::Failure;
use platform::secrets::SecretFault;
use platform::telemetry::TraceContext;
use reqwest::header::{DATE, HeaderMap};
use schemas::Timestamp;
use schemas::identity::IdentityKey;
use schemas::layout::Layout;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// A `Date` further from this host's clock than this is no time at all; the host's clock is taken then.
/// Without the bound one bad answer would freeze `fetched_at`, which never decreases, in the future.
const DATE_APART_MAX_US: i64 = 24 * 3_600 * 1_000_000;

/// Clocks further apart than this are an incident.
pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(120);

/// The source.
#[derive(Debug)]
pub struct Sisdmk {
    link: Link,
    profile: Profile,
    layout: Layout,
    key: IdentityKey,
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
    /// False if the login before it failed: then it never went out.
    pub sent: bool,
    /// The request carried a token that has been replaced since: a refusal of it says nothing.
    pub token_was_replaced: bool,
    /// How far the source's clock is from this host's.
    pub clocks_apart: Option<Duration>,
    /// The page, or how it failed.
    pub outcome: Result<Arrived, Fault>,
    /// The body of an answer that is not the declared shape.
    pub odd_body: Option<Vec<u8>>,
}

impl Sisdmk {
    /// The source that the configuration names. Nothing is asked yet.
    ///
    /// `fetched_at`: the greatest one that was given before this process started.
    ///
    /// # Errors
    /// Exit 2 when the secret cannot be read or TLS cannot be set up.
    pub fn new(config: &Config, fetched_at: Option<Timestamp>) -> Result<Self, Failure> {
        Ok(Self {
            link: Link::new(&config.api)?,
            profile: config.api.profile.clone(),
            layout: config.api.layout.clone(),
            key: config.identity_key.clone(),
            fetched_at: AtomicI64::new(fetched_at.map_or(i64::MIN, |at| at.0)),
        })
    }

    /// Takes up what stands in the file of the secret; what was refused before may be tried once more. At the
    /// beginning of a batch, and when an operator says so.
    pub fn begin(&self) {
        self.link.tokens.begin();
    }

    /// The token in use was refused: true if there is another one, or if another login may bring one.
    ///
    /// # Errors
    /// When the file of the secret cannot be read; the former one stays.
    pub fn renew_token(&self) -> Result<bool, SecretFault> {
        self.link.tokens.renew()
    }

    /// By which the token or secret in use is known again.
    #[must_use]
    pub fn credential_mark(&self) -> String {
        self.link.tokens.mark(&self.key)
    }

    /// Whether the file holds another token or secret, or the name that goes with it is another one, than what
    /// was refused.
    #[must_use]
    pub fn is_another_credential(&self, refused: &str) -> bool {
        self.link.tokens.mark_of_file(&self.key).is_some_and(|mark| mark != refused)
    }

    /// Puts one request, in its turn, and reads the whole answer.
    pub async fn fetch(&self, ask: &Ask, trace: &TraceContext) -> Answer {
        let reply = self.link.get(&self.profile.request.path, &query(&self.profile, ask), trace).await;
        let host_now = Timestamp(clock::now_micros());
        let content_type = reply.content_type().map(str::to_owned);
        let Reply { request_id, code, took, sent, token_was_replaced, head, body } = reply;
        let mut answer = Answer {
            request_id,
            code,
            took,
            sent,
            token_was_replaced,
            clocks_apart: None,
            outcome: Err(unreachable("network")),
            odd_body: None,
        };
        let (mut at, mut fetched_at) = (host_now, host_now);
        if let Some((_, headers)) = &head {
            let (source_time, apart) = source_time(headers, host_now);
            at = source_time;
            fetched_at = self.fetched_at(source_time);
            answer.clocks_apart = apart;
        }
        match body {
            Ok(body) => self.understand(body, content_type.as_deref(), (at, fetched_at), trace, &mut answer),
            Err(fault) => answer.outcome = Err(fault),
        }
        answer
    }

    /// Asks for the list of facilities that the profile declares; and the request's id.
    pub async fn facilities(&self, trace: &TraceContext) -> (Uuid, Result<Vec<Region>, Fault>) {
        let odd = |code| Fault { kind: FaultKind::Format, code, retry_after: None };
        let Some(declared) = &self.profile.facilities else { return (Uuid::nil(), Err(odd("facilities_undeclared"))) };
        let reply = self.link.get(&declared.path, &[], trace).await;
        let content_type = reply.content_type().map(str::to_owned);
        let Reply { request_id, mut code, took, sent, body, .. } = reply;
        let codes = body.and_then(|body| {
            let Profile { answer, paging, .. } = &self.profile;
            let records = declared.records.clone().unwrap_or_else(|| answer.records.clone());
            // One answer holds the list: neither a total nor a next page is looked for.
            let answer = Answers { records, total: None, ..answer.clone() };
            let paging = Paging { next: None, ..paging.clone() };
            let page = page::read(&body, content_type.as_deref(), &answer, &paging).map_err(|fault| Fault {
                kind: fault.kind(),
                code: fault.code(),
                retry_after: None,
            })?;
            let entries = page.records.iter().map(|range| body.get(range.clone()).unwrap_or_default());
            let codes = entries
                .map(|entry| page::code(entry, declared.code.as_deref()).and_then(|code| Region::facility(&code)));
            let codes = codes.collect::<Option<Vec<_>>>().ok_or(odd("facility_unreadable"))?;
            facility::in_order(codes).ok_or(odd("facilities_missing"))
        });
        if let Err(fault) = &codes {
            fault.code.clone_into(&mut code);
        }
        if sent {
            metrics::request(&declared.path, &code, took);
        }
        (request_id, codes)
    }

    /// Cuts the records out of a body. `times`: the source's clock, and the page's `fetched_at`.
    fn understand(
        &self,
        body: Vec<u8>,
        content_type: Option<&str>,
        (source_time, fetched_at): (Timestamp, Timestamp),
        trace: &TraceContext,
        answer: &mut Answer,
    ) {
        match page::read(&body, content_type, &self.profile.answer, &self.profile.paging) {
            Ok(found) => {
                let origin = Origin { request_id: answer.request_id, traceparent: trace.traceparent(), fetched_at };
                let page = page::hold(body, &found.records, &self.layout, &self.key, origin);
                answer.outcome = Ok(Arrived { page, total: found.total, next: found.next, source_time });
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
pub(crate) fn query(profile: &Profile, ask: &Ask) -> Vec<(String, String)> {
    let request = &profile.request;
    let region = if ask.region.is_facility() {
        &request.facility
    } else if ask.region.is_province() {
        &request.province
    } else {
        &request.regency
    };
    let page = (profile.paging.kind == PagingKind::Page).then(|| ask.page.to_string());
    let named = |name: &Option<String>, value: Option<String>| Some((name.clone()?, value?));
    [
        named(region, Some(ask.region.digits())),
        named(&request.since, ask.since.map(|at| at.to_string())),
        named(&request.until, ask.until.map(|at| at.to_string())),
        named(&profile.paging.page, page),
        named(&profile.paging.limit, ask.limit.map(|limit| limit.to_string())),
        named(&profile.paging.cursor, ask.cursor.as_ref().map(|cursor| cursor.expose().to_owned())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests;
