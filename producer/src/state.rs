//! What the producer remembers in `sisdmk.state`: the JSON of each key, and the view read from it. Pure.
//!
//! The shapes are section 5 of `docs/CONTRACT.md`. The last value of a key holds; a null value
//! removes it. Keys of other sources are passed over, so that two profiles can share the topic.

use crate::incident::Notice;
use crate::region::Region;
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// Key of the fingerprint that `sisdmk setup` writes.
pub const IDENTITY_KEY: &str = "identity";

/// Value of [`IDENTITY_KEY`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// 16 hex digits over the HMAC key.
    pub fingerprint: String,
    /// When `setup` wrote it.
    pub written_at: Timestamp,
}

/// How far one region has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkRecord {
    /// Rows changed up to this time are in `sisdmk.raw`.
    pub watermark: Timestamp,
    /// The batch that moved it.
    pub batch_id: Uuid,
    /// The source's time at the first request of the slice that moved it.
    pub slice_started_at: Timestamp,
}

/// Why a batch was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchKind {
    /// By the clock.
    Scheduled,
    /// By an operator.
    Manual,
    /// A full read that finds what is gone at the source.
    Reconcile,
    /// Dead letters given back.
    Replay,
    /// New region tables.
    Remap,
}

impl BatchKind {
    /// The word in state, tables and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
            Self::Reconcile => "reconcile",
            Self::Replay => "replay",
            Self::Remap => "remap",
        }
    }
}

/// How a batch ended; ordered from good to worst, so that the maximum is the worst that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Every planned region was read.
    Complete,
    /// The time of the cycle was over before all regions were read.
    Incomplete,
    /// A region could not be read.
    Failed,
    /// The source answered in another shape than the profile declares.
    FormatChanged,
    /// The source refused our token.
    AuthFailed,
}

impl BatchStatus {
    /// The word in state, tables and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::FormatChanged => "format_changed",
            Self::AuthFailed => "auth_failed",
        }
    }
}

/// Whether slices of a batch may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// More slices may come, after a restart too.
    Open,
    /// `BATCH_FETCHED` has been written.
    Closed,
}

/// The newest batch of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// UUIDv7.
    pub batch_id: Uuid,
    /// Why it was started.
    pub kind: BatchKind,
    /// Open or closed.
    pub state: BatchState,
    /// The worst that has happened so far; null while nothing has.
    pub status: Option<BatchStatus>,
    /// When its first transaction was written.
    pub started_at: Timestamp,
    /// 32 hex digits; a resumed batch goes on with it.
    pub trace_id: String,
    /// Lower bound that an operator asked for.
    pub since: Option<Timestamp>,
    /// Regions to read.
    pub planned: Vec<String>,
    /// Regions that are in `sisdmk.raw`; also the regencies of a province that had to be split.
    pub committed: Vec<String>,
    /// Regions given up in this batch.
    pub failed: Vec<String>,
    /// Records of the committed slices.
    pub fetched: u64,
    /// Of these, written to `sisdmk.raw`.
    pub raw: u64,
    /// Of these, set aside because they are too large.
    pub quarantined: u64,
    /// HTTP requests, failed ones included.
    pub requests: u64,
    /// Running number of fetched records over all batches of the source.
    pub ordinal: u64,
    /// The greatest `sisdmk-fetched-at` given so far: it never decreases.
    #[serde(default)]
    pub fetched_at: Option<Timestamp>,
    /// How far it has come, where the source is asked by facility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facilities: Option<FacilitiesRecord>,
}

/// How far a batch has come through a list of facilities, in the order of their codes. It stays this small
/// however long the list is, because it is written with every transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacilitiesRecord {
    /// Facilities of the list.
    pub planned: u64,
    /// Of these, in `sisdmk.raw`, or without any record.
    pub done: u64,
    /// Of these, given up in this batch.
    pub failed: u64,
    /// Every facility up to this code is done or given up; none: not even the first.
    pub through: Option<String>,
}

/// When the source was read by the clock, and whether it may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRecord {
    /// The integration manager's switch.
    pub enabled: bool,
    /// The due time that the newest scheduled batch served.
    pub last_due: Option<Timestamp>,
    /// When the newest batch was started.
    pub last_started: Option<Timestamp>,
    /// The newest batch.
    pub last_batch_id: Option<Uuid>,
    /// Set while nothing may be asked.
    pub stopped_for: Option<StoppedFor>,
    /// Mark of the credential that was refused: another one ends the stop, also after a restart. It is keyed,
    /// so that it says nothing about the credential.
    #[serde(default)]
    pub refused: Option<String>,
}

impl Default for ScheduleRecord {
    fn default() -> Self {
        Self {
            enabled: true,
            last_due: None,
            last_started: None,
            last_batch_id: None,
            stopped_for: None,
            refused: None,
        }
    }
}

/// Why no request goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedFor {
    /// The source refused our token.
    AuthFailed,
}

/// The four faults of a source that call for a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// No good answer.
    Unreachable,
    /// The token was refused.
    AuthFailed,
    /// An answer that is not the declared shape.
    FormatChanged,
    /// The source's clock and ours are apart.
    Clock,
}

impl IncidentKind {
    /// The name in events and alerts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::AuthFailed => "auth_failed",
            Self::FormatChanged => "format_changed",
            Self::Clock => "clock",
        }
    }
}

/// One incident that is still open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentRecord {
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The batch that met it first.
    pub batch_id: Uuid,
    /// The region in which it was met first; none where it concerns the whole source.
    #[serde(default)]
    pub region: Option<String>,
    /// Our own words: the code of the fault and what differs.
    #[serde(default)]
    pub detail: String,
    /// The request that met it.
    #[serde(default)]
    pub request_id: Option<Uuid>,
    /// The batch's trace, 32 hex digits.
    #[serde(default)]
    pub trace_id: String,
}

/// Open incidents of a source, at most one of a kind.
pub type IncidentsRecord = BTreeMap<IncidentKind, IncidentRecord>;

/// The keys of one source.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys of the profile with this name.
    #[must_use]
    pub fn of(profile: &str) -> Self {
        Self { prefix: format!("source/{profile}/") }
    }

    /// Key of the newest batch.
    #[must_use]
    pub fn batch(&self) -> String {
        format!("{}batch", self.prefix)
    }

    /// Key of the schedule.
    #[must_use]
    pub fn schedule(&self) -> String {
        format!("{}schedule", self.prefix)
    }

    /// Key of the open incidents.
    #[must_use]
    pub fn incidents(&self) -> String {
        format!("{}incidents", self.prefix)
    }

    /// Key of the messages about incidents that nobody has taken yet.
    #[must_use]
    pub fn notices(&self) -> String {
        format!("{}notices", self.prefix)
    }

    /// Key of a region's watermark.
    #[must_use]
    pub fn watermark(&self, region: &Region) -> String {
        format!("{}watermark/{region}", self.prefix)
    }
}

/// One entry to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key, text.
    pub key: String,
    /// Value, JSON.
    pub value: Vec<u8>,
}

impl Entry {
    /// An entry with the JSON of `record`.
    #[must_use]
    pub fn new<T: Serialize>(key: String, record: &T) -> Self {
        let value = serde_json::to_vec(record).expect("records of the state have text keys and finite numbers");
        Self { key, value }
    }
}

/// A value that is not what the contract says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value of `{key}` in sisdmk.state is not what this version writes")]
pub struct StateFault {
    /// The key.
    pub key: String,
}

/// Everything the topic says about one source, once it has been read to its end.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StateView {
    /// The fingerprint; none before `sisdmk setup` has run.
    pub identity: Option<IdentityRecord>,
    /// Watermarks by region.
    pub watermarks: BTreeMap<Region, WatermarkRecord>,
    /// The newest batch.
    pub batch: Option<BatchRecord>,
    /// The schedule.
    pub schedule: ScheduleRecord,
    /// Open incidents.
    pub incidents: IncidentsRecord,
    /// Messages about incidents that wait for a receiver, oldest first.
    pub notices: Vec<Notice>,
    /// The last value of every key of this source, as bytes: to find out whether a transaction with an
    /// unclear end was committed.
    last: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for StateView {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StateView")
            .field("watermarks", &self.watermarks.len())
            .field("batch", &self.batch)
            .field("schedule", &self.schedule)
            .field("incidents", &self.incidents)
            .field("notices", &self.notices.len())
            .finish_non_exhaustive()
    }
}

impl StateView {
    /// Takes in one record of the topic, in the order of the log.
    ///
    /// # Errors
    /// A value of a known key that does not parse.
    pub fn apply(&mut self, keys: &Keys, key: &str, value: Option<&[u8]>) -> Result<(), StateFault> {
        let fault = || StateFault { key: key.to_owned() };
        if key == IDENTITY_KEY {
            self.identity = read(value).map_err(|_| fault())?;
            return Ok(());
        }
        let Some(name) = key.strip_prefix(&keys.prefix) else { return Ok(()) };
        match name {
            "batch" => self.batch = read(value).map_err(|_| fault())?,
            "schedule" => self.schedule = read(value).map_err(|_| fault())?.unwrap_or_default(),
            "incidents" => self.incidents = read(value).map_err(|_| fault())?.unwrap_or_default(),
            "notices" => self.notices = read(value).map_err(|_| fault())?.unwrap_or_default(),
            _ => {
                let region = name.strip_prefix("watermark/").and_then(Region::parse).ok_or_else(fault)?;
                match read(value).map_err(|_| fault())? {
                    Some(record) => drop(self.watermarks.insert(region, record)),
                    None => drop(self.watermarks.remove(&region)),
                }
            }
        }
        match value {
            Some(value) => drop(self.last.insert(key.to_owned(), value.to_vec())),
            None => drop(self.last.remove(key)),
        }
        Ok(())
    }

    /// True if the last value of every key in `entries` is the one given: the transaction that wrote
    /// them was committed.
    #[must_use]
    pub fn holds(&self, entries: &[Entry]) -> bool {
        entries.iter().all(|entry| self.last.get(&entry.key) == Some(&entry.value))
    }

    /// True if nobody else has written: every value is the one in `left`, or one of `pending`, a transaction
    /// of ours that may or may not have been committed.
    #[must_use]
    pub fn is_as_left(&self, left: &Self, pending: &[Entry]) -> bool {
        let ours = |key: &String, value: &Vec<u8>| {
            left.last.get(key) == Some(value) || pending.iter().any(|entry| entry.key == *key && entry.value == *value)
        };
        self.last.iter().all(|(key, value)| ours(key, value)) && left.last.keys().all(|key| self.last.contains_key(key))
    }

    /// The batch that a former process left open.
    #[must_use]
    pub fn open_batch(&self) -> Option<&BatchRecord> {
        self.batch.as_ref().filter(|batch| batch.state == BatchState::Open)
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: Option<&[u8]>) -> Result<Option<T>, serde_json::Error> {
    value.map(serde_json::from_slice).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{self, Target};
    use std::collections::BTreeSet;

    const BATCH: &str = r#"{"batch_id":"019ab000-0000-7000-8000-000000000001","kind":"scheduled","state":"open","status":null,"started_at":"2026-11-23T01:02:03.000004Z","trace_id":"0af7651916cd43dd8448eb211c80319c","since":null,"planned":["11","12"],"committed":["11"],"failed":[],"fetched":3,"raw":2,"quarantined":1,"requests":4,"ordinal":9,"fetched_at":null}"#;

    fn view(entries: &[(&str, Option<&str>)]) -> Result<StateView, StateFault> {
        let mut view = StateView::default();
        for (key, value) in entries {
            view.apply(&Keys::of("sdmk-modified"), key, value.map(str::as_bytes))?;
        }
        Ok(view)
    }

    #[test]
    fn every_record_is_written_as_the_contract_says() {
        let batch: BatchRecord = serde_json::from_str(BATCH).expect("a batch");
        assert_eq!(String::from_utf8(Entry::new(String::new(), &batch).value).expect("text"), BATCH);
        let older = BATCH.replace(r#","fetched_at":null"#, "");
        assert_eq!(serde_json::from_str::<BatchRecord>(&older).expect("without fetched_at"), batch);
        let schedule = ScheduleRecord { stopped_for: Some(StoppedFor::AuthFailed), ..ScheduleRecord::default() };
        assert_eq!(
            serde_json::to_string(&schedule).expect("JSON"),
            r#"{"enabled":true,"last_due":null,"last_started":null,"last_batch_id":null,"stopped_for":"auth_failed","refused":null}"#
        );
        let batch_id = batch.batch_id;
        let written = r#"{"unreachable":{"opened_at":"2026-11-23T01:02:03.000004Z","batch_id":"019ab000-0000-7000-8000-000000000001","region":"32","detail":"http_5xx","request_id":null,"trace_id":"0af7651916cd43dd8448eb211c80319c"}}"#;
        let incident = IncidentRecord {
            opened_at: batch.started_at,
            batch_id,
            region: Some("32".to_owned()),
            detail: "http_5xx".to_owned(),
            request_id: None,
            trace_id: batch.trace_id.clone(),
        };
        let open = IncidentsRecord::from([(IncidentKind::Unreachable, incident.clone())]);
        assert_eq!(serde_json::to_string(&open).expect("JSON"), written);
        let before = r#"{"clock":{"opened_at":"2026-11-23T01:02:03.000004Z","batch_id":"019ab000-0000-7000-8000-000000000001"}}"#;
        assert!(serde_json::from_str::<IncidentsRecord>(before).is_ok(), "what an earlier version wrote");
        let webhook = BTreeSet::from([Target::Webhook]);
        let notice = Notice { id: batch_id, ..incident::begun(IncidentKind::Clock, &incident, &webhook) };
        assert_eq!(
            serde_json::to_string(&[notice]).expect("JSON"),
            r#"[{"id":"019ab000-0000-7000-8000-000000000001","kind":"clock","phase":"firing","at":"2026-11-23T01:02:03.000004Z","waits_for":["webhook"],"opened_at":"2026-11-23T01:02:03.000004Z","batch_id":"019ab000-0000-7000-8000-000000000001","region":"32","detail":"http_5xx","request_id":null,"trace_id":"0af7651916cd43dd8448eb211c80319c"}]"#
        );
    }

    #[test]
    fn the_last_value_of_a_key_holds_and_other_sources_are_passed_over() {
        let mark = |at: &str| {
            format!(
                r#"{{"watermark":"{at}","batch_id":"019ab000-0000-7000-8000-000000000001","slice_started_at":"{at}"}}"#
            )
        };
        let (old, new) = (mark("2026-01-01T00:00:00.000000Z"), mark("2026-02-01T00:00:00.000000Z"));
        let view = view(&[
            ("source/sdmk-modified/watermark/32", Some(&old)),
            ("source/sdmk-modified/watermark/32.73", Some(&old)),
            ("source/sdmk-modified/watermark/32", Some(&new)),
            ("source/sdmk-modified/watermark/32.73", None),
            ("source/other/batch", Some("{}")),
            ("source/sdmk-modified/batch", Some(BATCH)),
            ("identity", Some(r#"{"fingerprint":"00","written_at":"2026-01-01T00:00:00.000000Z"}"#)),
        ])
        .expect("a good state");
        let region = Region::parse("32").expect("a code");
        assert_eq!(view.watermarks.len(), 1);
        assert_eq!(view.watermarks[&region].watermark.to_string(), "2026-02-01T00:00:00.000000Z");
        assert_eq!(view.identity.as_ref().map(|identity| identity.fingerprint.as_str()), Some("00"));
        assert_eq!(view.open_batch().map(|batch| batch.ordinal), Some(9));

        let keys = Keys::of("sdmk-modified");
        let written = Entry { key: keys.watermark(&region), value: new.into_bytes() };
        assert!(view.holds(std::slice::from_ref(&written)));
        assert!(!view.holds(&[written, Entry { key: keys.schedule(), value: b"{}".to_vec() }]));
    }

    #[test]
    fn somebody_else_s_writing_is_seen() {
        let batch = |fetched: u32| BATCH.replace(r#""fetched":3"#, &format!(r#""fetched":{fetched}"#));
        let of = |fetched| view(&[("source/sdmk-modified/batch", Some(&batch(fetched)))]).expect("a good state");
        let pending = [Entry { key: "source/sdmk-modified/batch".to_owned(), value: batch(4).into_bytes() }];
        assert!(of(3).is_as_left(&of(3), &[]));
        assert!(of(3).is_as_left(&of(3), &pending) && of(4).is_as_left(&of(3), &pending));
        assert!(!of(4).is_as_left(&of(3), &[]) && !of(5).is_as_left(&of(3), &pending));
        assert!(!StateView::default().is_as_left(&of(3), &[]) && !of(3).is_as_left(&StateView::default(), &pending));
    }

    #[test]
    fn a_value_that_is_not_ours_is_refused_by_name() {
        for key in ["batch", "schedule", "incidents", "notices", "watermark/32", "watermark/3273", "something"] {
            let key = format!("source/sdmk-modified/{key}");
            assert_eq!(view(&[(&key, Some("[{}]"))]), Err(StateFault { key: key.clone() }));
        }
    }

    #[test]
    fn the_worst_status_is_the_greatest() {
        use BatchStatus::{AuthFailed, Complete, Failed, FormatChanged, Incomplete};
        assert!(AuthFailed > FormatChanged && FormatChanged > Failed && Failed > Incomplete && Incomplete > Complete);
    }
}
