//! Tells Alertmanager and a webhook about incidents: one task for each, so that neither waits for the
//! other and the pipeline waits for none.
//!
//! What is to be told comes over a channel that holds the newest wishes only ([`Desk`]). A message that was
//! taken goes back to the loop, which strikes it out of the state; until it shows there, this remembers it.
//! Whatever fails is tried again, longer apart each time, for ever: the queue is bounded, and what has to
//! make room in it is counted.

use crate::config::Alerts;
use crate::incident::{Incidents, Notice, Phase, Target, alert, message};
use platform::clock;
use platform::exit::Failure;
use platform::metrics::{IntCounter, IntCounterVec, counter};
use platform::shutdown::Shutdown;
use platform::telemetry::TraceContext;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use schemas::{Timestamp, TraceId};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// Messages that were taken and wait to be struck out, at most; then the next one is not sent.
pub const TAKEN_MAX: usize = 16;

/// An open incident that is not told again for so many times `alerts.resend` is over for Alertmanager.
const HOLDS_FOR_RESENDS: u32 = 5;

/// How long one delivery may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits between tries.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What is to be told: the open incidents, and the messages that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desk {
    /// Told to Alertmanager again and again.
    pub open: Incidents,
    /// Each told once, in this order.
    pub notices: Vec<Notice>,
}

/// A message that a receiver has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub id: Uuid,
    /// Who.
    pub by: Target,
}

/// Both ends of the loop's way to the tasks.
#[derive(Debug)]
pub struct Alarm {
    /// Where the loop says what is to be told.
    pub desk: watch::Sender<Desk>,
    /// Where it hears what was taken.
    pub taken: mpsc::Receiver<Taken>,
    /// Who is told at all.
    pub targets: BTreeSet<Target>,
}

/// Why a delivery did not go through: our own word, because the client's text holds the address, and in the
/// address of a webhook there may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum DeliveryFault {
    #[error("deliver: no answer ({0})")]
    NoAnswer(&'static str),
    #[error("deliver: HTTP status {0}")]
    Status(u16),
    #[error("deliver: the token's file cannot be read")]
    Token,
}

/// What both tasks share.
struct Teller {
    client: Client,
    alerts: Alerts,
    /// Name of the profile, and with its version.
    profile: String,
    source: String,
    desk: watch::Receiver<Desk>,
    taken: mpsc::Sender<Taken>,
    shutdown: Shutdown,
    target: Target,
    /// Taken, and not yet gone from the desk.
    done: BTreeSet<Uuid>,
    failures: u32,
}

/// Starts a task for each receiver that is configured; they end with `shutdown`.
///
/// # Errors
/// Exit 2 when TLS cannot be set up.
pub fn start(alerts: &Alerts, profile: &str, source: &str, shutdown: &Shutdown) -> Result<Alarm, Failure> {
    let client = Client::builder()
        .timeout(DELIVERY_TIMEOUT)
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("sisdmk-stream/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failure::config("cannot set up HTTP").because(error.without_url()))?;
    let (desk, wishes) = watch::channel(Desk::default());
    let (taken, heard) = mpsc::channel(TAKEN_MAX);
    let mut targets = BTreeSet::new();
    let configured = [(Target::Alertmanager, &alerts.alertmanager_url), (Target::Webhook, &alerts.webhook_url)];
    for (target, url) in configured {
        if url.is_none() {
            continue;
        }
        targets.insert(target);
        let teller = Teller {
            client: client.clone(),
            alerts: alerts.clone(),
            profile: profile.to_owned(),
            source: source.to_owned(),
            desk: wishes.clone(),
            taken: taken.clone(),
            shutdown: shutdown.clone(),
            target,
            done: BTreeSet::new(),
            failures: 0,
        };
        tokio::spawn(teller.run());
    }
    Ok(Alarm { desk, taken: heard, targets })
}

impl Teller {
    async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            () = shutdown.wait() => {}
            () = self.tell() => {}
        }
    }

    /// Ends only when the loop is gone.
    async fn tell(&mut self) {
        loop {
            let desk = self.desk.borrow_and_update().clone();
            self.done.retain(|id| desk.notices.iter().any(|notice| notice.id == *id));
            let told = match self.target {
                Target::Alertmanager => self.tell_alertmanager(&desk).await,
                Target::Webhook => self.tell_webhook(&desk).await,
            };
            let wait = match told {
                Ok(wait) => {
                    self.failures = 0;
                    wait
                }
                Err(fault) => {
                    deliveries(self.target, "failed").inc();
                    self.failures = self.failures.saturating_add(1);
                    let wait = backoff(self.failures);
                    tracing::warn!(
                        receiver = self.target.as_str(), error = %fault, tries = self.failures,
                        "an incident cannot be told; trying again"
                    );
                    Some(wait)
                }
            };
            let changed = match wait {
                // A change does not cut a back-off short: a dead receiver is not asked more often for it.
                Some(wait) if self.failures > 0 => {
                    tokio::time::sleep(wait).await;
                    Ok(())
                }
                Some(wait) => tokio::time::timeout(wait, self.desk.changed()).await.unwrap_or(Ok(())),
                None => self.desk.changed().await,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// All open incidents, and those that are over, in one request. The answer: when to come again.
    async fn tell_alertmanager(&mut self, desk: &Desk) -> Result<Option<Duration>, DeliveryFault> {
        let Some(url) = &self.alerts.alertmanager_url else { return Ok(None) };
        let over: Vec<Notice> = self.waiting(desk).filter(|notice| notice.phase == Phase::Resolved).collect();
        if desk.open.is_empty() && over.is_empty() {
            return Ok(None);
        }
        let holds_us = i64::try_from((self.alerts.resend * HOLDS_FOR_RESENDS).as_micros()).unwrap_or(i64::MAX);
        let holds_until = Timestamp(clock::now_micros().saturating_add(holds_us));
        // The ends first: where a kind fires again already, its newer beginning must be the last word.
        let ended = over.iter().map(|notice| alert(&self.profile, notice.kind, &notice.incident, notice.at));
        let firing = desk.open.iter().map(|(kind, incident)| alert(&self.profile, *kind, incident, holds_until));
        let body: Vec<Value> = ended.chain(firing).collect();
        let trace = over.last().map(|notice| &notice.incident).or_else(|| desk.open.values().next());
        let request = self.client.post(format!("{}/api/v2/alerts", url.trim_end_matches('/')));
        deliver(request, trace.map(|incident| incident.trace_id.as_str()), &Value::Array(body)).await?;
        deliveries(self.target, "taken").inc();
        for notice in over {
            self.strike_out(notice.id).await;
        }
        Ok(Some(self.alerts.resend))
    }

    /// The messages that wait, one after the other.
    async fn tell_webhook(&mut self, desk: &Desk) -> Result<Option<Duration>, DeliveryFault> {
        let Some(url) = self.alerts.webhook_url.clone() else { return Ok(None) };
        for notice in self.waiting(desk).collect::<Vec<_>>() {
            let mut request = self.client.post(&url).header("idempotency-key", notice.id.to_string());
            if let Some(token) = &self.alerts.webhook_token {
                let token = token.read_text().map_err(|_| DeliveryFault::Token)?;
                request = request.bearer_auth(token.expose());
            }
            deliver(request, Some(&notice.incident.trace_id), &message(&self.source, &notice)).await?;
            deliveries(self.target, "taken").inc();
            self.failures = 0;
            self.strike_out(notice.id).await;
        }
        Ok(None)
    }

    fn waiting(&self, desk: &Desk) -> impl Iterator<Item = Notice> {
        let ours = |notice: &&Notice| notice.waits_for.contains(&self.target) && !self.done.contains(&notice.id);
        desk.notices.iter().filter(ours).cloned().collect::<Vec<_>>().into_iter()
    }

    async fn strike_out(&mut self, id: Uuid) {
        self.done.insert(id);
        // An error means that the loop is gone: then it comes again after the restart.
        let _ = self.taken.send(Taken { id, by: self.target }).await;
    }
}

/// Puts one request; anything but 2xx is a failure.
async fn deliver(request: RequestBuilder, trace_id: Option<&str>, body: &Value) -> Result<(), DeliveryFault> {
    let root = TraceContext::new_root_sampled(0.0);
    let trace = match trace_id.and_then(|text| TraceId::parse(text.as_bytes())) {
        Some(TraceId(trace_id)) => TraceContext { trace_id, ..root },
        None => root,
    };
    let request = request
        .header("x-request-id", Uuid::now_v7().to_string())
        .header("traceparent", trace.traceparent())
        .json(body);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(DeliveryFault::Status(answer.status().as_u16())),
        Err(error) if error.is_timeout() => Err(DeliveryFault::NoAnswer("timeout")),
        Err(error) if error.is_connect() => Err(DeliveryFault::NoAnswer("connect")),
        Err(_) => Err(DeliveryFault::NoAnswer("network")),
    }
}

/// 1 s, 2 s, 4 s .. 60 s.
fn backoff(failures: u32) -> Duration {
    BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(BACKOFF_MAX)
}

fn deliveries(target: Target, outcome: &str) -> IntCounter {
    static METRIC: LazyLock<IntCounterVec> = LazyLock::new(|| {
        counter(
            "sisdmk_alert_deliveries_total",
            "Deliveries of messages about incidents, by receiver and outcome (taken, failed, dropped).",
            &["target", "outcome"],
        )
    });
    METRIC.with_label_values(&[target.as_str(), outcome])
}

/// A message had to make room before it was taken.
pub(super) fn dropped(notice: &Notice) {
    for target in &notice.waits_for {
        deliveries(*target, "dropped").inc();
    }
    tracing::error!(
        notice_id = %notice.id, incident = notice.kind.as_str(),
        "a message about an incident was never taken and had to make room for newer ones"
    );
}

#[cfg(test)]
mod tests;
