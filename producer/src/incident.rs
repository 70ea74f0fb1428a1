//! Incidents of the source: at most one of a kind is open, from the first time it is met until a batch
//! that heard from the source did not meet it. And what people are told about them. Pure.
//!
//! A message waits in the state ([`Notice`]) until whoever is to get it has taken it, so that neither a
//! dead receiver nor a restart loses one. What Alertmanager shows as firing is not queued: it is told again
//! and again from the open incidents themselves.

mod words;

pub use words::{alert, message, shown};

use crate::cycle::FaultKind;
use crate::state::{BatchRecord, IncidentKind, IncidentRecord, IncidentsRecord};
use schemas::Timestamp;
use schemas::event::{self, EventType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Messages that wait for a receiver, at most: beyond it the oldest is dropped, counted and logged.
/// Sixteen incidents that came and went; a receiver that has missed so many has other worries.
pub const NOTICES_MAX: usize = 32;

/// The open incidents.
pub type Incidents = IncidentsRecord;

/// Who is told besides the audit topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Alertmanager's API.
    Alertmanager,
    /// A plain endpoint.
    Webhook,
}

impl Target {
    /// The word in labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Webhook => "webhook",
        }
    }
}

/// What a message says of its incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It has begun.
    Firing,
    /// It is over.
    Resolved,
}

/// A message that waits to be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same however often it is sent: the id of the event on `sisdmk.audit`.
    pub id: Uuid,
    /// Which incident.
    pub kind: IncidentKind,
    /// Its beginning or its end.
    pub phase: Phase,
    /// When that was.
    pub at: Timestamp,
    /// Who has not taken it yet; never empty while it waits.
    pub waits_for: BTreeSet<Target>,
    /// The incident itself.
    #[serde(flatten)]
    pub incident: IncidentRecord,
}

/// The incident of a region that was given up for such a fault; none where the fault is none of the source's, or the
/// whole batch ends with it.
#[must_use]
pub fn of_region(fault: Option<FaultKind>) -> Option<IncidentKind> {
    match fault? {
        FaultKind::Unreachable => Some(IncidentKind::Unreachable),
        FaultKind::Format => Some(IncidentKind::FormatChanged),
        FaultKind::Auth => None,
    }
}

/// The open incidents with this one; none if it is open already, and nobody is to be told again.
#[must_use]
pub fn opened(open: &Incidents, kind: IncidentKind, incident: IncidentRecord) -> Option<Incidents> {
    if open.contains_key(&kind) {
        return None;
    }
    let mut open = open.clone();
    open.insert(kind, incident);
    Some(open)
}

/// Takes out the incidents that are over with `batch`, which heard from the source, and gives them back.
///
/// One that `batch` has met stays. One that was met in a region is over when that region has been read
/// again: a poll of another region says nothing about it. It is also over when the region is not among the
/// `configured` ones any more, because then nobody will ever ask for it.
pub fn resolved(
    open: &mut Incidents,
    met: &BTreeSet<IncidentKind>,
    batch: &BatchRecord,
    configured: &[String],
) -> Vec<(IncidentKind, IncidentRecord)> {
    let lies_in = |codes: &[String], region: &str| {
        let within = |code: &String| region.strip_prefix(code.as_str()).is_some_and(|rest| rest.starts_with('.'));
        codes.iter().any(|code| code == region || within(code))
    };
    let is_over = |kind: &IncidentKind, incident: &IncidentRecord| {
        let read = |region: &String| lies_in(&batch.committed, region) || !lies_in(configured, region);
        !met.contains(kind) && incident.region.as_ref().is_none_or(read)
    };
    let over: Vec<_> = open
        .iter()
        .filter(|(kind, incident)| is_over(kind, incident))
        .map(|(kind, incident)| (*kind, incident.clone()))
        .collect();
    open.retain(|kind, _| !over.iter().any(|(gone, _)| gone == kind));
    over
}

/// The message about the beginning of an incident; Alertmanager learns of it from the open incidents.
#[must_use]
pub fn begun(kind: IncidentKind, incident: &IncidentRecord, targets: &BTreeSet<Target>) -> Notice {
    Notice {
        id: event::event_id(incident.batch_id, EventType::IncidentOpened, &[kind.as_str()]),
        kind,
        phase: Phase::Firing,
        at: incident.opened_at,
        waits_for: targets.iter().copied().filter(|target| *target == Target::Webhook).collect(),
        incident: incident.clone(),
    }
}

/// The message about its end, which `batch` brought.
#[must_use]
pub fn ended(
    kind: IncidentKind,
    incident: &IncidentRecord,
    batch: &BatchRecord,
    at: Timestamp,
    targets: &BTreeSet<Target>,
) -> Notice {
    Notice {
        id: event::event_id(batch.batch_id, EventType::IncidentResolved, &[kind.as_str()]),
        kind,
        phase: Phase::Resolved,
        at,
        waits_for: targets.clone(),
        incident: incident.clone(),
    }
}

/// Puts a message at the end of the queue, unless nobody is to get it. Gives back what had to make room.
pub fn queue(notices: &mut Vec<Notice>, notice: Notice) -> Option<Notice> {
    if notice.waits_for.is_empty() {
        return None;
    }
    let dropped = (notices.len() >= NOTICES_MAX).then(|| notices.remove(0));
    notices.push(notice);
    dropped
}

/// Strikes out that `target` has taken the message. False if it was not waiting for it.
pub fn taken(notices: &mut Vec<Notice>, id: Uuid, target: Target) -> bool {
    let struck =
        notices.iter_mut().find(|notice| notice.id == id).is_some_and(|notice| notice.waits_for.remove(&target));
    notices.retain(|notice| !notice.waits_for.is_empty());
    struck
}

/// What still makes sense of a queue that a former process left: messages for `targets`.
#[must_use]
pub fn inherited(mut notices: Vec<Notice>, targets: &BTreeSet<Target>) -> Vec<Notice> {
    for notice in &mut notices {
        notice.waits_for.retain(|target| targets.contains(target));
    }
    notices.retain(|notice| !notice.waits_for.is_empty());
    notices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{BatchKind, BatchState};

    fn incident(region: Option<&str>) -> IncidentRecord {
        IncidentRecord {
            opened_at: Timestamp(1),
            batch_id: Uuid::from_u128(1),
            region: region.map(str::to_owned),
            detail: "http_5xx".to_owned(),
            request_id: None,
            trace_id: String::new(),
        }
    }

    fn batch(number: u128, committed: &[&str]) -> BatchRecord {
        BatchRecord {
            batch_id: Uuid::from_u128(number),
            kind: BatchKind::Scheduled,
            state: BatchState::Open,
            status: None,
            started_at: Timestamp(0),
            trace_id: String::new(),
            since: None,
            planned: Vec::new(),
            committed: committed.iter().map(|code| (*code).to_owned()).collect(),
            failed: Vec::new(),
            fetched: 0,
            raw: 0,
            quarantined: 0,
            requests: 0,
            ordinal: 0,
            fetched_at: None,
            facilities: None,
        }
    }

    #[test]
    fn an_incident_is_opened_once_and_resolved_once() {
        let kind = IncidentKind::AuthFailed;
        let mut open = opened(&Incidents::new(), kind, incident(None)).expect("the first time");
        assert_eq!(opened(&open, kind, IncidentRecord { opened_at: Timestamp(2), ..incident(None) }), None);
        assert_eq!(resolved(&mut open, &BTreeSet::from([kind]), &batch(2, &[]), &[]), []);
        assert_eq!(resolved(&mut open, &BTreeSet::new(), &batch(2, &[]), &[]), [(kind, incident(None))]);
        assert_eq!(resolved(&mut open, &BTreeSet::new(), &batch(2, &[]), &[]), []);
    }

    #[test]
    fn an_incident_of_a_region_is_over_when_that_region_was_read() {
        let check = |region: &str, committed: &[&str], configured: &[&str], over: bool| {
            let kind = IncidentKind::FormatChanged;
            let mut open = Incidents::from([(kind, incident(Some(region)))]);
            let configured: Vec<String> = configured.iter().map(|code| (*code).to_owned()).collect();
            let found = resolved(&mut open, &BTreeSet::new(), &batch(2, committed), &configured);
            assert_eq!((found.len() == 1, open.is_empty()), (over, over), "{region} {committed:?}");
        };
        check("32", &["32"], &["31", "32"], true);
        check("32", &["31"], &["31", "32"], false);
        check("32", &["32.73"], &["31", "32"], false);
        check("32.73", &["32"], &["32"], true);
        check("32.73", &["32.73"], &["32"], true);
        check("32.73", &["32.7", "3"], &["32"], false);
        // The region was taken out of the configuration.
        check("33", &["32"], &["32"], true);
    }

    #[test]
    fn a_message_waits_until_each_receiver_has_taken_it() {
        let both = BTreeSet::from([Target::Alertmanager, Target::Webhook]);
        let (kind, mut notices) = (IncidentKind::Unreachable, Vec::new());
        let begun = begun(kind, &incident(None), &both);
        let ended = ended(kind, &incident(None), &batch(2, &[]), Timestamp(9), &both);
        assert_eq!(queue(&mut notices, begun.clone()), None);
        assert_eq!(queue(&mut notices, ended.clone()), None);
        assert_ne!(begun.id, ended.id);
        assert!(!taken(&mut notices, begun.id, Target::Alertmanager), "it was never queued for it");
        assert!(taken(&mut notices, begun.id, Target::Webhook) && !taken(&mut notices, begun.id, Target::Webhook));
        assert!(taken(&mut notices, ended.id, Target::Webhook));
        assert_eq!(notices.iter().map(|notice| notice.id).collect::<Vec<_>>(), [ended.id]);
        assert!(taken(&mut notices, ended.id, Target::Alertmanager) && notices.is_empty());
    }

    #[test]
    fn the_queue_is_bounded_and_gives_back_what_it_drops() {
        let webhook = BTreeSet::from([Target::Webhook]);
        let (kind, mut notices) = (IncidentKind::Clock, Vec::new());
        for number in 0..u128::try_from(NOTICES_MAX).expect("a small number") {
            let notice = ended(kind, &incident(None), &batch(number, &[]), Timestamp(0), &webhook);
            assert_eq!(queue(&mut notices, notice), None);
        }
        let first = notices[0].clone();
        let more = ended(kind, &incident(None), &batch(999, &[]), Timestamp(0), &webhook);
        assert_eq!(queue(&mut notices, more.clone()), Some(first));
        assert_eq!((notices.len(), notices.last()), (NOTICES_MAX, Some(&more)));
        assert_eq!(queue(&mut notices, Notice { waits_for: BTreeSet::new(), ..more.clone() }), None);
        assert_eq!(notices.len(), NOTICES_MAX, "a message for nobody is not queued");
        assert_eq!(inherited(notices.clone(), &webhook), notices);
        assert_eq!(inherited(notices, &BTreeSet::from([Target::Alertmanager])), []);
    }
}
