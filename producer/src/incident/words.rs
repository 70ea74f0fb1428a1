//! What an incident is called and what is said about it: what it is, where, and what to do. No value of a
//! record is in it, because none reaches an incident.

use super::{Incidents, Notice, Phase};
use crate::state::{IncidentKind, IncidentRecord};
use schemas::Timestamp;
use serde_json::{Value, json};

/// The name of the alert.
fn alert_name(kind: IncidentKind) -> &'static str {
    match kind {
        IncidentKind::Unreachable => "SisdmkSourceUnreachable",
        IncidentKind::AuthFailed => "SisdmkSourceAuthFailed",
        IncidentKind::FormatChanged => "SisdmkSourceFormatChanged",
        IncidentKind::Clock => "SisdmkSourceClock",
    }
}

/// `critical`: nothing more arrives until somebody acts. `warning`: it may mend itself.
fn severity(kind: IncidentKind) -> &'static str {
    match kind {
        IncidentKind::AuthFailed | IncidentKind::FormatChanged => "critical",
        IncidentKind::Unreachable | IncidentKind::Clock => "warning",
    }
}

/// What it is, one sentence.
fn what(kind: IncidentKind) -> &'static str {
    match kind {
        IncidentKind::Unreachable => "The source gives no good answer.",
        IncidentKind::AuthFailed => "The source refuses the credentials; no request goes out any more.",
        IncidentKind::FormatChanged => "The source answers in another shape than its profile declares.",
        IncidentKind::Clock => "The source's clock and this host's are more than 2 minutes apart.",
    }
}

/// What to do about it.
fn action(kind: IncidentKind) -> &'static str {
    match kind {
        IncidentKind::Unreachable => {
            "Nothing is lost: the watermark stands and the next cycle asks again. If it lasts, ask the source's \
             operators with the request id."
        }
        IncidentKind::AuthFailed => {
            "Put good credentials into their file (they are taken up within a second), or run `sisdmk resume`."
        }
        IncidentKind::FormatChanged => {
            "Nothing is lost: the watermark of that region stands and the page is in quarantine. Look at it with \
             `sisdmk quarantine list`, correct the profile, restart the producer, then `sisdmk quarantine retry`."
        }
        IncidentKind::Clock => {
            "Compare both clocks with a time server. Until then the source's time decides, so nothing is lost."
        }
    }
}

/// Where and since when, for people.
fn place(incident: &IncidentRecord) -> String {
    let mut text = incident.detail.clone();
    if let Some(region) = &incident.region {
        text.push_str(&format!("; first met in region {region}"));
    }
    text.push_str(&format!("; batch {}", incident.batch_id));
    if let Some(request_id) = incident.request_id {
        text.push_str(&format!(", request {request_id}"));
    }
    text
}

/// One alert for Alertmanager's v2 API. `ends_at`: for an open incident, until when it holds if nobody says
/// it again; for one that is over, when that was.
///
/// Its labels are the same from beginning to end and name no region: one alert, however many regions fail.
#[must_use]
pub fn alert(profile: &str, kind: IncidentKind, incident: &IncidentRecord, ends_at: Timestamp) -> Value {
    json!({
        "labels": {
            "alertname": alert_name(kind),
            "kind": kind.as_str(),
            "service": "sisdmk-producer",
            "severity": severity(kind),
            "source": profile,
        },
        "annotations": {"summary": what(kind), "description": place(incident), "action": action(kind)},
        "startsAt": incident.opened_at,
        "endsAt": ends_at,
    })
}

/// The webhook's body.
#[must_use]
pub fn message(source: &str, notice: &Notice) -> Value {
    let incident = &notice.incident;
    let over = (notice.phase == Phase::Resolved).then_some(notice.at);
    json!({
        "id": notice.id,
        "state": notice.phase,
        "kind": notice.kind,
        "severity": severity(notice.kind),
        "source": source,
        "opened_at": incident.opened_at,
        "resolved_at": over,
        "what": what(notice.kind),
        "where": place(incident),
        "action": if over.is_some() { "Nothing: it is over." } else { action(notice.kind) },
        "region": incident.region,
        "batch_id": incident.batch_id,
        "request_id": incident.request_id,
    })
}

/// Open incidents as the admin endpoint shows them.
#[must_use]
pub fn shown(open: &Incidents) -> Vec<Value> {
    open.iter()
        .map(|(kind, incident)| {
            json!({
                "kind": kind,
                "opened_at": incident.opened_at,
                "batch_id": incident.batch_id,
                "request_id": incident.request_id,
                "region": incident.region,
                "detail": incident.detail,
                "action": action(*kind),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{Target, ended};
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn incident() -> IncidentRecord {
        IncidentRecord {
            opened_at: Timestamp(0),
            batch_id: Uuid::from_u128(1),
            region: Some("32".to_owned()),
            detail: "html".to_owned(),
            request_id: Some(Uuid::from_u128(2)),
            trace_id: String::new(),
        }
    }

    #[test]
    fn an_alert_says_what_where_and_what_to_do() {
        let found = alert("sdmk-modified", IncidentKind::FormatChanged, &incident(), Timestamp(60_000_000));
        assert_eq!(found["labels"]["alertname"], "SisdmkSourceFormatChanged");
        assert_eq!(found["labels"]["severity"], "critical");
        assert_eq!(found["labels"]["source"], "sdmk-modified");
        assert_eq!(
            found["annotations"]["description"],
            "html; first met in region 32; batch 00000000-0000-0000-0000-000000000001, request 00000000-0000-0000-0000-000000000002"
        );
        assert!(found["annotations"]["action"].as_str().is_some_and(|text| text.contains("sisdmk quarantine list")));
        assert_eq!(found["startsAt"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(found["endsAt"], "1970-01-01T00:01:00.000000Z");
        // The identity of an alert is its labels: nothing in them may change while it fires.
        let elsewhere = IncidentRecord { region: Some("33".to_owned()), request_id: None, ..incident() };
        let other = alert("sdmk-modified", IncidentKind::FormatChanged, &elsewhere, Timestamp(1));
        assert_eq!(other["labels"], found["labels"]);
    }

    #[test]
    fn a_message_about_the_end_says_when_it_was_and_asks_for_nothing() {
        let batch = serde_json::json!({
            "batch_id": Uuid::from_u128(7), "kind": "scheduled", "state": "closed", "status": "complete",
            "started_at": "2026-11-23T00:00:00Z", "trace_id": "", "since": null, "planned": [], "committed": [],
            "failed": [], "fetched": 0, "raw": 0, "quarantined": 0, "requests": 0, "ordinal": 0,
        });
        let batch = serde_json::from_value(batch).expect("a batch");
        let webhook = BTreeSet::from([Target::Webhook]);
        let notice = ended(IncidentKind::Unreachable, &incident(), &batch, Timestamp(5_000_000), &webhook);
        let found = message("sdmk-modified/1", &notice);
        assert_eq!((&found["state"], &found["kind"]), (&json!("resolved"), &json!("unreachable")));
        assert_eq!(found["resolved_at"], "1970-01-01T00:00:05.000000Z");
        assert_eq!(found["batch_id"], "00000000-0000-0000-0000-000000000001", "where it was met, not where it ended");
        assert_eq!(found["action"], "Nothing: it is over.");
        assert_eq!(found["id"], notice.id.to_string());
    }
}
