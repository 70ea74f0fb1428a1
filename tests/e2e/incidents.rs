//! Incidents, told to the real Alertmanager and to a webhook.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::webhook::Webhook;
use harness::{Stage, System, topics, wait};
use schemas::event::EventType;
use serde_json::{Value, json};

use crate::support;

/// Longest time until something that has happened is told.
const TOLD_LIMIT: Duration = Duration::from_secs(120);

/// The alerts that Alertmanager shows as firing.
fn firing(system: &System) -> Result<Vec<Value>> {
    let url = system.stack.alertmanager_url().context("the stack has an Alertmanager")?;
    let text = reqwest::blocking::get(format!("{url}/api/v2/alerts?active=true"))?.error_for_status()?.text()?;
    let alerts: Vec<Value> = serde_json::from_str(&text)?;
    Ok(alerts.into_iter().filter(|alert| alert["labels"]["service"] == "sisdmk-producer").collect())
}

fn wait_firing(system: &System, kinds: &[&str]) -> Result<Vec<Value>> {
    wait::until(&format!("alerts {kinds:?}"), TOLD_LIMIT, || {
        let alerts = firing(system)?;
        let found: BTreeSet<&str> = alerts.iter().filter_map(|alert| alert["labels"]["kind"].as_str()).collect();
        Ok((found == kinds.iter().copied().collect()).then_some(alerts))
    })
}

/// How many requests the source has answered, once the batch that runs has ended.
fn requests_at_rest(system: &System) -> Result<u64> {
    wait::until("the batch to end", TOLD_LIMIT, || {
        Ok((system.producer_status()?["batch"]["state"] == "closed").then_some(()))
    })?;
    Ok(system.simulator()?.summary()?.requests)
}

/// Goal: an incident is told once and is told until it is over, to both receivers, whatever dies in between; a refused token
/// stops every request.
/// Method: all 38 regions answer in HTML while the webhook is down and the producer is killed; then the webhook comes up, and
/// Alertmanager, to which an alert that nobody repeats is over after 5 s, must still show it long after that; then the source
/// is well again. Afterwards the same with a refused token and `sisdmk resume`.
#[test]
fn an_incident_is_told_until_it_is_over() -> Result<()> {
    let address = Webhook::free_address()?;
    let (_dir, mut system) = support::system_with(|options| {
        options.alertmanager = true;
        let settings = [
            ("alerts.resend", "\"1s\"".to_owned()),
            ("alerts.webhook_url", format!("\"http://{address}/incidents\"")),
            ("source.backoff", "\"1ms\"".to_owned()),
        ];
        options.settings.extend(settings.map(|(key, value)| (key.to_owned(), value)));
    })?;
    system.setup()?;
    system.start_simulator(&support::simulator(200))?;
    system.simulator()?.faults(&json!([{"kind": "html", "times": 1_000_000}]))?;
    system.spawn(Stage::Producer)?;

    let told = wait_firing(&system, &["format_changed"])?;
    assert_eq!(told.len(), 1, "one alert for all regions: {told:?}");
    for (place, words) in [
        ("/labels/severity", "critical"),
        ("/annotations/description", "html: the answer is HTML; first met in region 11"),
    ] {
        let text = told[0].pointer(place).and_then(Value::as_str).unwrap_or_default();
        assert!(text.starts_with(words), "{place}: {told:?}");
    }
    let began = told[0]["startsAt"].clone();
    let first_end = told[0]["endsAt"].as_str().context("an end")?.to_owned();

    // The webhook was down all the time, and the process that knew what to tell it is gone.
    system.process(Stage::Producer)?.kill()?;
    let webhook = Webhook::start(address)?;
    system.spawn(Stage::Producer)?;
    let first = wait::until("the webhook to be told", TOLD_LIMIT, || Ok(webhook.messages().into_iter().next()))?;
    assert_eq!((&first.body["state"], &first.body["kind"]), (&json!("firing"), &json!("format_changed")));
    assert_eq!(first.headers["idempotency-key"], first.body["id"].as_str().unwrap_or_default());
    assert_eq!(uuid_version(&first.headers["x-request-id"]), Some('7'), "{first:?}");
    assert!(first.headers["traceparent"].starts_with("00-"), "{first:?}");

    wait::until("the first end to pass", TOLD_LIMIT, || {
        Ok((platform::clock::rfc3339(platform::clock::now_micros()) > first_end).then_some(()))
    })?;
    let still = wait_firing(&system, &["format_changed"])?;
    assert_eq!(still[0]["startsAt"], began, "the same alert, not a new one");

    system.simulator()?.faults(&json!([]))?;
    system.poll()?;
    wait_firing(&system, &[])?;
    let over = wait::until("the webhook to hear the end", TOLD_LIMIT, || {
        Ok(webhook.messages().into_iter().find(|message| message.body["state"] == "resolved"))
    })?;
    assert!(over.body["resolved_at"].is_string() && over.body["id"] != first.body["id"], "{over:?}");

    refused_token(&mut system)?;
    wait_firing(&system, &[])?;
    told_once(&system, &webhook)
}

/// A refused token: no request goes out any more, until somebody resumes.
fn refused_token(system: &mut System) -> Result<()> {
    system.simulator()?.faults(&json!([{"kind": "status", "status": 401, "times": 1_000_000}]))?;
    system.poll()?;
    let told = wait_firing(system, &["auth_failed"])?;
    assert!(
        told[0]
            .pointer("/annotations/action")
            .and_then(Value::as_str)
            .is_some_and(|text| text.contains("sisdmk resume"))
    );
    let requests = requests_at_rest(system)?;
    let status = system.producer_status()?;
    assert_eq!(status["stopped_for"], "auth_failed", "{status}");
    assert_eq!(status["incidents"][0]["kind"], "auth_failed", "{status}");
    // It is told again several times meanwhile, and the source is not asked.
    let ends = told[0]["endsAt"].clone();
    wait::until("the alert to be told again", TOLD_LIMIT, || {
        Ok(firing(system)?.first().is_some_and(|alert| alert["endsAt"] != ends).then_some(()))
    })?;
    assert_eq!(system.simulator()?.summary()?.requests, requests, "no request while the token is refused");
    system.simulator()?.faults(&json!([]))?;
    let output = system.console(&["resume"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Two incidents began and ended: two events of each on `sisdmk.audit`, and the same four at the webhook. A message may have
/// come twice (the producer was killed), but then with the same id.
fn told_once(system: &System, webhook: &Webhook) -> Result<()> {
    let mut recorded = Vec::new();
    for event in topics::events(system)? {
        if matches!(event.event_type, EventType::IncidentOpened | EventType::IncidentResolved) {
            recorded.push(event.event_id.to_string());
        }
    }
    assert_eq!(recorded.len(), 4, "{recorded:?}");
    let told = wait::until("the webhook to hear everything", TOLD_LIMIT, || {
        let ids = webhook.messages().into_iter().filter_map(|message| message.body["id"].as_str().map(str::to_owned));
        let mut ids: Vec<String> = ids.collect();
        ids.dedup();
        Ok((ids.len() >= 4).then_some(ids))
    })?;
    assert_eq!(told, recorded, "in the order of the events");
    Ok(())
}

fn uuid_version(text: &str) -> Option<char> {
    text.chars().nth(14)
}
