//! Incidents of the source: at most one of a kind is open, from the first time it is met until a batch
//! that heard from the source did not meet it. Pure.

use crate::state::{IncidentKind, IncidentRecord, IncidentsRecord};
use schemas::Timestamp;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The open incidents.
pub type Incidents = IncidentsRecord;

/// The open incidents with this one; none if it is open already, and nobody is to be told again.
#[must_use]
pub fn opened(open: &Incidents, kind: IncidentKind, batch_id: Uuid, now: Timestamp) -> Option<Incidents> {
    if open.contains_key(&kind) {
        return None;
    }
    let mut open = open.clone();
    open.insert(kind, IncidentRecord { opened_at: now, batch_id });
    Some(open)
}

/// Takes out the incidents that a batch did not meet, and names them.
pub fn resolved(open: &mut Incidents, met: &BTreeSet<IncidentKind>) -> Vec<IncidentKind> {
    let over: Vec<IncidentKind> = open.keys().copied().filter(|kind| !met.contains(kind)).collect();
    open.retain(|kind, _| met.contains(kind));
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_opened_once_and_resolved_once() {
        let mut open = Incidents::new();
        for (at, told) in [(1, true), (2, false)] {
            match opened(&open, IncidentKind::Unreachable, Uuid::nil(), Timestamp(at)) {
                Some(now_open) => {
                    assert!(told);
                    open = now_open;
                }
                None => assert!(!told),
            }
        }
        assert_eq!(open[&IncidentKind::Unreachable].opened_at, Timestamp(1));
        let met = BTreeSet::from([IncidentKind::Unreachable]);
        assert_eq!(resolved(&mut open, &met), []);
        assert_eq!(resolved(&mut open, &BTreeSet::new()), [IncidentKind::Unreachable]);
        assert_eq!(resolved(&mut open, &BTreeSet::new()), []);
    }
}
