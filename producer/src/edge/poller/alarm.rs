//! Incidents: when one is met, when it is over, and who has been told.

use super::*;
use crate::edge::alerts::{self, Desk, Taken};
use crate::incident::{self, Incidents, Notice};
use crate::state::IncidentRecord;
use schemas::event::BatchEvent;

/// Something that calls for a human.
pub(super) struct Met {
    pub(super) kind: IncidentKind,
    /// Where; none: it concerns the whole source.
    pub(super) region: Option<String>,
    /// Our own words, without a value.
    pub(super) detail: String,
    pub(super) request_id: Option<Uuid>,
}

/// What is over with a batch.
pub(super) struct Over {
    pub(super) incidents: Incidents,
    pub(super) notices: Vec<Notice>,
    pub(super) events: Vec<BatchEvent>,
    pub(super) entries: Vec<Entry>,
}

impl Poller {
    /// An incident is met: recorded and told once, however often it is met until it is over.
    pub(super) fn meet(&mut self, met: Met, batch: &BatchRecord, running: &mut Running) -> Result<(), Failure> {
        let Met { kind, region, detail, request_id } = met;
        running.met.insert(kind);
        let place = region.as_ref().map(|region| format!(" in region {region}")).unwrap_or_default();
        self.health.not_ok("source", format!("{}: {detail}{place}", kind.as_str()));
        let trace_id = batch.trace_id.clone();
        let record =
            IncidentRecord { opened_at: now(), batch_id: batch.batch_id, region, detail, request_id, trace_id };
        let Some(open) = incident::opened(&self.view.incidents, kind, record.clone()) else { return Ok(()) };
        tracing::error!(batch_id = %batch.batch_id, trace_id = batch.trace_id, incident = kind.as_str(), detail = record.detail, region = record.region, "incident opened");
        let mut notices = self.view.notices.clone();
        put(&mut notices, incident::begun(kind, &record, &self.alarm.targets));
        let event = report::incident_opened(kind, &record, batch, &self.config.source());
        let mut entries = vec![Entry::new(self.keys.incidents(), &open)];
        self.note_notices(&notices, &mut entries);
        if self.write(None, vec![event], entries, &running.trace)? == Written::Committed {
            self.view.incidents = open;
            self.view.notices = notices;
            self.tell();
            self.show();
        }
        Ok(())
    }

    /// What is over with the end of `batch`. Only a batch that heard from the source can say so.
    pub(super) fn over(&self, batch: &BatchRecord, running: &Running, ended_at: Timestamp) -> Over {
        let (mut incidents, mut notices) = (self.view.incidents.clone(), self.view.notices.clone());
        let (mut events, mut entries) = (Vec::new(), Vec::new());
        if running.good_answers > 0 {
            let mut configured: Vec<String> = self.config.regions.iter().map(ToString::to_string).collect();
            // A facility that this batch has not come to says nothing yet.
            if let Some(record) = &batch.facilities {
                let met_in = incidents.values().filter_map(|incident| incident.region.clone());
                configured.extend(met_in.filter(|code| record.through.as_ref().is_none_or(|through| code > through)));
            }
            for (kind, record) in incident::resolved(&mut incidents, &running.met, batch, &configured) {
                tracing::info!(batch_id = %batch.batch_id, incident = kind.as_str(), "incident resolved");
                events.push(report::incident_resolved(kind, batch, &self.config.source(), ended_at));
                put(&mut notices, incident::ended(kind, &record, batch, ended_at, &self.alarm.targets));
            }
            if incidents != self.view.incidents {
                entries.push(Entry::new(self.keys.incidents(), &incidents));
                self.note_notices(&notices, &mut entries);
            }
        }
        Over { incidents, notices, events, entries }
    }

    /// The same once it is written.
    pub(super) fn is_over(&mut self, incidents: Incidents, notices: Vec<Notice>) {
        if incidents.is_empty() {
            self.health.ok("source");
        }
        self.view.incidents = incidents;
        self.view.notices = notices;
        self.tell();
    }

    /// A receiver has taken a message: it waits for it no longer.
    pub(super) fn taken(&mut self, Taken { id, by }: Taken) -> Result<(), Failure> {
        let mut notices = self.view.notices.clone();
        if incident::taken(&mut notices, id, by) {
            let entry = Entry::new(self.keys.notices(), &notices);
            if self.write(None, Vec::new(), vec![entry], &TraceContext::new_root())? == Written::Committed {
                self.view.notices = notices;
                self.tell();
            }
        }
        Ok(())
    }

    /// Lays on the desk what is to be told now.
    pub(super) fn tell(&self) {
        let desk = Desk { open: self.view.incidents.clone(), notices: self.view.notices.clone() };
        // Nobody listens where no receiver is configured.
        let _ = self.alarm.desk.send(desk);
    }

    fn note_notices(&self, notices: &[Notice], entries: &mut Vec<Entry>) {
        if notices != self.view.notices {
            entries.push(Entry::new(self.keys.notices(), &notices));
        }
    }
}

fn put(notices: &mut Vec<Notice>, notice: Notice) {
    if let Some(dropped) = incident::queue(notices, notice) {
        alerts::dropped(&dropped);
    }
}
