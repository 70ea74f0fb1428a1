//! One raw record to a clean one or a dead letter. Pure: no clock, no client, no log.

use std::sync::Arc;

use rules::{Code, FieldCounts, Memory, RawRecord, Rules, Verdict};
use schemas::identity::{self, IdentityKey};
use schemas::letter::Letter;
use schemas::version::Version;
use schemas::worker::{self, Encoder, Envelope, Op};
use schemas::{PersonId, Timestamp};

use crate::provenance::Provenance;
use crate::runs::Outcome;
use crate::view::{News, View};

/// Largest frame that `sisdmk.clean` takes: its `max.message.bytes` less room for key, headers and the batch around it.
const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024 - 64 * 1024;

/// The only topic that this stage reads.
pub const RAW_TOPIC: &str = "sisdmk.raw";

/// One record of `sisdmk.raw`, borrowed from the client.
#[derive(Clone, Copy)]
pub struct RawMessage<'a> {
    /// Partition of `sisdmk.raw`.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// Key as received.
    pub key: Option<&'a [u8]>,
    /// The source's bytes; a record without a value has none.
    pub payload: &'a [u8],
    /// What its headers say.
    pub provenance: &'a Provenance,
}

/// What became of one raw record, and what is to be published for it.
pub enum Transformed<'t> {
    /// To `sisdmk.clean`.
    Clean {
        /// The key.
        person_id: PersonId,
        /// A whole Confluent frame.
        frame: &'t [u8],
    },
    /// Nothing: it says what is known.
    Equal,
    /// Nothing: something newer is known.
    Stale,
    /// To `sisdmk.dlq`, with the original key and bytes.
    Dead {
        /// Headers to add, old ones of the same kind removed.
        headers: Vec<(&'static str, String)>,
        /// First reason.
        code: &'static str,
    },
}

impl Transformed<'_> {
    /// How the ledger counts it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Clean { .. } => Outcome::Clean,
            Self::Equal => Outcome::Equal,
            Self::Stale => Outcome::Stale,
            Self::Dead { code, .. } => Outcome::Dead(code),
        }
    }
}

/// Rules, identity and codec of this stage, with the buffer that every record of a thread goes through.
pub struct Transform {
    rules: Arc<Rules>,
    memory: Memory,
    key: Arc<IdentityKey>,
    encoder: Encoder,
    frame: Vec<u8>,
    fields: FieldCounts,
    conflict: bool,
}

impl Transform {
    /// `clean_schema_id`: the registry's id of `SdmkWorker`.
    #[must_use]
    pub fn new(rules: Arc<Rules>, key: Arc<IdentityKey>, clean_schema_id: u32) -> Self {
        Self {
            rules,
            memory: Memory::default(),
            key,
            encoder: Encoder::new(clean_schema_id),
            frame: Vec::with_capacity(4096),
            fields: FieldCounts::default(),
            conflict: false,
        }
    }

    /// How the fields of the record that was judged last differ from the profile.
    #[must_use]
    pub fn fields(&self) -> FieldCounts {
        self.fields
    }

    /// Whether the record that was judged last contradicts what is known under the same `last_updated`.
    #[must_use]
    pub fn conflict(&self) -> bool {
        self.conflict
    }

    /// Judges one record and holds it against the view of its partition, which then knows what is published.
    ///
    /// `now` is the time that a dead letter carries; the verdict itself depends on `fetched_at` alone, so that a replay is
    /// judged the same. A replay of what is known is published again: its last delivery may have died in the sink.
    ///
    /// Errors: none. Every record has an end.
    pub fn apply(&mut self, raw: RawMessage<'_>, view: &mut View, now: Timestamp) -> Transformed<'_> {
        self.fields = FieldCounts::default();
        self.conflict = false;
        let Some(fetched_at) = raw.provenance.ours() else {
            return dead(raw, &[(Code::HeaderMissing, "")], now);
        };
        let (verdict, fields) =
            rules::judge_and_count(&RawRecord { payload: raw.payload, fetched_at }, &self.rules, &mut self.memory);
        self.fields = fields;
        // By reference: a body is many fields, and to move it costs as much as to read a few of them.
        match &verdict {
            Verdict::Clean { last_updated, body } => {
                let last_updated = *last_updated;
                let person_id = self.key.person_id(&body.nik);
                if !is_key(raw.key, person_id) {
                    return dead(raw, &[(Code::IdentityMismatch, "")], now);
                }
                let stamp = self.rules.layout().stamp;
                let encoded = self.encoder.body(body);
                let version = Version {
                    last_updated,
                    fetched_at,
                    rules_revision: rules::REVISION,
                    content_hash: encoded.content_hash(),
                };
                let found = view.judge(person_id, &version, stamp);
                self.conflict = found.conflict;
                let (op, is_news) = match found.news {
                    News::Newer(op) => (op, true),
                    News::Equal if raw.provenance.is_replay => (Op::Update, false),
                    News::Equal => return Transformed::Equal,
                    News::Stale => return Transformed::Stale,
                };
                let envelope = Envelope {
                    last_updated,
                    fetched_at,
                    rules_revision: rules::REVISION,
                    stamp,
                    op,
                    person_id,
                    batch_id: raw.provenance.batch_id,
                    request_id: raw.provenance.request_id,
                    trace_id: raw.provenance.trace_id,
                    raw_topic: RAW_TOPIC,
                    raw_partition: raw.partition,
                    raw_offset: raw.offset,
                    wilayah_versi: self.rules.wilayah_versi(),
                };
                self.frame.clear();
                encoded.write(&envelope, &mut self.frame);
                if self.frame.len() > FRAME_BYTES_MAX {
                    // No later try could publish it, and waiting would stop everybody behind it.
                    return dead(raw, &[(Code::RecordTooLarge, "")], now);
                }
                if is_news {
                    view.publish(person_id, version, worker::province(body.kode_wilayah.as_deref()));
                }
                Transformed::Clean { person_id, frame: &self.frame }
            }
            Verdict::Rejected { reasons } => {
                let mut found: Vec<(Code, String)> =
                    reasons.iter().map(|reason| (reason.code, reason.field.to_string())).collect();
                let identity = identity::read(raw.payload, self.rules.layout()).map(|nik| self.key.person_id(&nik));
                let agrees = match (identity, raw.key) {
                    (None, None) => true,
                    (Some(person_id), key) => is_key(key, person_id),
                    (None, Some(_)) => false,
                };
                if !agrees {
                    found.push((Code::IdentityMismatch, String::new()));
                }
                let found: Vec<(Code, &str)> = found.iter().map(|(code, field)| (*code, field.as_str())).collect();
                dead(raw, &found, now)
            }
        }
    }
}

/// Whether the record's key is this person.
fn is_key(key: Option<&[u8]>, person_id: PersonId) -> bool {
    key.and_then(PersonId::parse) == Some(person_id)
}

/// The letter of a record with these reasons, at least one, in any order.
fn dead(raw: RawMessage<'_>, reasons: &[(Code, &str)], now: Timestamp) -> Transformed<'static> {
    let mut reasons = reasons.to_vec();
    // The catalogue's order decides which reason is first; of two fields with one reason, the record's order.
    reasons.sort_by_key(|(code, _)| *code);
    let mut codes: Vec<&'static str> = reasons.iter().map(|(code, _)| code.as_str()).collect();
    codes.dedup();
    let (first, field) = reasons.first().copied().expect("a dead letter has a reason: its callers give at least one");
    let headers = Letter {
        stage: "processor",
        connect_stage: "VALUE_CONVERTER",
        codes: &codes,
        field,
        message: first.message_en(),
        topic: RAW_TOPIC,
        partition: raw.partition,
        offset: raw.offset,
        failed_at: now,
        first_failed_at: raw.provenance.first_failed_at,
        attempts_before: raw.provenance.attempts_before,
    }
    .headers();
    Transformed::Dead { headers, code: first.as_str() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemas::layout::{Layout, shipped};
    use schemas::{TraceId, worker};
    use uuid::Uuid;

    use super::*;

    const SCHEMA_ID: u32 = 7;

    fn transform() -> Transform {
        let layout = Layout::from_profile_toml(shipped("sdmk-modified").expect("shipped")).expect("good");
        let status = BTreeMap::from([("Aktif".to_owned(), "AKTIF".to_owned())]);
        let rules = Rules::new(layout, &status).expect("good");
        let key = IdentityKey::from_secret(b"a key of this test").expect("not empty");
        Transform::new(Arc::new(rules), Arc::new(key), SCHEMA_ID)
    }

    fn provenance() -> Provenance {
        Provenance {
            batch_id: Uuid::from_u128(1),
            request_id: Uuid::from_u128(2),
            fetched_at: Timestamp::parse_rfc3339("2026-11-23T00:00:00.000000Z"),
            trace_id: TraceId([3; 16]),
            is_replay: false,
            attempts_before: 0,
            first_failed_at: None,
        }
    }

    fn record(nik: &str, unit: &str) -> String {
        format!(
            r#"{{"NIK":"{nik}","NAMA":"Contoh","STATUS_AKTIF":"Aktif","TANGGAL_LAHIR":"1990-05-17","JENIS_KELAMIN":"P",
            "KODE_KAB":"3273","NAMA_KAB":"KOTA BANDUNG","LAST_UPDATED":"2026-11-20T08:15:30+07:00",
            "PEKERJAAN":[{unit}]}}"#
        )
    }

    const NIK: &str = "3273015705900004";

    /// The codes of the letter, or nothing for a clean record.
    fn codes(key: Option<&str>, payload: &str, provenance: &Provenance) -> Option<String> {
        let mut transform = transform();
        let raw = RawMessage {
            partition: 1,
            offset: 9,
            key: key.map(str::as_bytes),
            payload: payload.as_bytes(),
            provenance,
        };
        match transform.apply(raw, &mut View::default(), Timestamp(5)) {
            Transformed::Clean { .. } | Transformed::Equal | Transformed::Stale => None,
            Transformed::Dead { headers, .. } => {
                headers.into_iter().find(|(name, _)| *name == "dlq.error.codes").map(|(_, value)| value)
            }
        }
    }

    fn person() -> String {
        let payload = record(NIK, "");
        let nik = identity::read(payload.as_bytes(), transform().rules.layout()).expect("readable");
        transform().key.person_id(&nik).to_string()
    }

    #[test]
    fn a_clean_record_names_where_it_came_from() {
        let (mut transform, payload, key) = (transform(), record(NIK, ""), person());
        let raw = RawMessage {
            partition: 1,
            offset: 9,
            key: Some(key.as_bytes()),
            payload: payload.as_bytes(),
            provenance: &provenance(),
        };
        let Transformed::Clean { person_id, frame } = transform.apply(raw, &mut View::default(), Timestamp(5)) else {
            panic!("the record is good");
        };
        let worker = worker::decode(frame, SCHEMA_ID).expect("our own frame");
        assert_eq!((worker.raw_partition, worker.raw_offset, worker.person_id), (1, 9, person_id));
        assert_eq!(worker.batch_id, Uuid::from_u128(1));
        assert_eq!(worker.version.rules_revision, rules::REVISION);
        assert_eq!(person_id.to_string(), key);
    }

    /// What becomes of a record with this stamp and name, fetched at that second, against a view.
    fn follow(view: &mut View, stamp: &str, unit: &str, second: u32, is_replay: bool) -> (&'static str, bool) {
        let (mut transform, key) = (transform(), person());
        let payload = record(NIK, unit).replace("2026-11-20T08:15:30", stamp);
        let fetched_at = Timestamp::parse_rfc3339(&format!("2026-11-23T00:00:{second:02}.000000Z"));
        let provenance = Provenance { fetched_at, is_replay, ..provenance() };
        let raw = RawMessage {
            partition: 1,
            offset: 9,
            key: Some(key.as_bytes()),
            payload: payload.as_bytes(),
            provenance: &provenance,
        };
        let became = match transform.apply(raw, view, Timestamp(5)) {
            Transformed::Clean { frame, .. } => worker::decode(frame, SCHEMA_ID).expect("our own frame").op.as_str(),
            Transformed::Equal => "equal",
            Transformed::Stale => "stale",
            Transformed::Dead { code, .. } => code,
        };
        (became, transform.conflict())
    }

    #[test]
    fn only_news_is_published_and_a_replay_of_what_is_known() {
        let mut view = View::default();
        let (first, second) = ("2026-11-20T08:15:30", "2026-11-20T08:15:31");
        assert_eq!(follow(&mut view, first, "", 1, false), ("c", false));
        assert_eq!(follow(&mut view, first, "", 2, false), ("equal", false), "polled again");
        assert_eq!(follow(&mut view, first, "", 1, true), ("u", false), "replayed");
        assert_eq!(follow(&mut view, second, "", 3, false), ("u", false), "a newer stamp");
        assert_eq!(follow(&mut view, first, "", 4, false), ("stale", false), "late");
        assert_eq!(follow(&mut view, first, "", 1, true), ("stale", false), "replayed and beaten");
        assert_eq!(follow(&mut view, second, r#"{"UNIT":"x"}"#, 4, false), ("u", true), "contradicts itself");
        assert_eq!(follow(&mut view, second, r#"{"UNIT":"y"}"#, 2, false), ("stale", true));
    }

    #[test]
    fn a_record_that_cannot_be_published_is_not_known_afterwards() {
        let mut view = View::default();
        let unit = format!(r#"{{"UNIT":"{}","ALAMAT":"{}"}}"#, "u".repeat(4_000), "a".repeat(4_000));
        let many = vec![unit; 300].join(",");
        let stamp = "2026-11-20T08:15:30";
        assert_eq!(follow(&mut view, stamp, &many, 1, false).0, "record_too_large");
        assert_eq!(follow(&mut view, stamp, "", 2, false), ("c", false));
    }

    #[test]
    fn a_record_under_another_identity_is_never_published() {
        let (good, other) = (record(NIK, ""), Uuid::from_u128(8).to_string());
        assert_eq!(codes(Some(&person()), &good, &provenance()), None);
        for key in [None, Some(other.as_str()), Some("no uuid")] {
            assert_eq!(codes(key, &good, &provenance()).as_deref(), Some("identity_mismatch"), "{key:?}");
        }
        // No identity to read, and none claimed: the NIK's own reason says everything.
        assert_eq!(codes(None, &record("327301570590", ""), &provenance()).as_deref(), Some("nik_length"));
        let claimed = codes(Some(&other), &record("327301570590", ""), &provenance());
        assert_eq!(claimed.as_deref(), Some("identity_mismatch,nik_length"));
    }

    #[test]
    fn no_header_of_a_letter_holds_a_value_of_its_record() {
        let canary = "KENARI7Q";
        let good: serde_json::Value = serde_json::from_str(&record(NIK, "{}")).expect("JSON");
        let mut fields: Vec<String> = good.as_object().expect("an object").keys().cloned().collect();
        fields.extend(["KODE_PROV", "NAMA_PROV", "ALAMAT", "TEMPAT_LAHIR", "PENDIDIKAN"].map(str::to_owned));
        for field in fields {
            for value in [canary.into(), format!("{canary}\u{7}").into(), serde_json::json!({ canary: canary })] {
                let mut record = good.clone();
                record[&field] = value;
                let (mut transform, payload) = (transform(), record.to_string());
                let provenance = provenance();
                let raw = RawMessage {
                    partition: 1,
                    offset: 9,
                    key: None,
                    payload: payload.as_bytes(),
                    provenance: &provenance,
                };
                let Transformed::Dead { headers, code } = transform.apply(raw, &mut View::default(), Timestamp(5))
                else {
                    panic!("its key is missing: never clean");
                };
                for (name, value) in headers {
                    let shown = format!("{name}{value}{code}");
                    assert!(!shown.contains(canary) && !shown.contains(NIK), "{field}: {name} shows a value");
                }
            }
        }
    }

    #[test]
    fn a_record_that_is_not_ours_is_a_letter_of_its_own_reason() {
        let foreign = Provenance { fetched_at: None, ..provenance() };
        assert_eq!(codes(Some(&person()), &record(NIK, ""), &foreign).as_deref(), Some("header_missing"));
    }

    #[test]
    fn a_record_that_no_topic_takes_is_a_letter_and_not_a_stand_still() {
        let unit = format!(r#"{{"UNIT":"{}","ALAMAT":"{}"}}"#, "u".repeat(4_000), "a".repeat(4_000));
        let many = vec![unit; 300].join(",");
        assert_eq!(codes(Some(&person()), &record(NIK, &many), &provenance()).as_deref(), Some("record_too_large"));
    }
}
