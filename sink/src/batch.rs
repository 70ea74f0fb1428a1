//! Records of one partition between the poll and the transaction.
//!
//! librdkafka lends a record for the time of one call, so each is copied once, into one growing
//! buffer per partition, and everything after that borrows from there: no allocation a record.

use std::ops::Range;

use schemas::worker::{Employment, Op, SdmkWorker};
use schemas::{PersonId, Timestamp};
use uuid::Uuid;

use crate::plan::{Entry, Word};
use crate::policy::Refusal;

/// Header with the batch of a record.
pub(crate) const BATCH_ID: &str = "sisdmk-batch-id";
/// Header with the time at which the source gave a record out.
pub(crate) const FETCHED_AT: &str = "sisdmk-fetched-at";

/// A copied record: places in the buffer of its batch.
#[derive(Clone, Debug)]
struct Kept {
    offset: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// Records of one partition in offset order.
#[derive(Debug)]
pub(crate) struct Batch {
    position: i64,
    records: Vec<Kept>,
    bytes: Vec<u8>,
}

/// One record of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Record<'b> {
    /// Its offset.
    pub(crate) offset: i64,
    /// Its key.
    pub(crate) key: Option<&'b [u8]>,
    /// Its value; none is a tombstone.
    pub(crate) value: Option<&'b [u8]>,
    headers: &'b [u8],
}

/// Length of a header value that is null.
const NULL: u32 = u32::MAX;

impl Batch {
    /// An empty batch of a partition that was left at `position`.
    pub(crate) fn new(position: i64) -> Self {
        Self { position, records: Vec::new(), bytes: Vec::new() }
    }

    /// Where the partition was left by the transaction before.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// Where this batch leaves it.
    pub(crate) fn next_position(&self) -> i64 {
        self.records.last().map_or(self.position, |record| record.offset + 1)
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Copies a record. One from before the batch's end has been taken already and is left out: the
    /// consumer repeats records after a seek.
    pub(crate) fn push<'h>(
        &mut self,
        offset: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) {
        if offset < self.next_position() {
            return;
        }
        let key = key.map(|key| self.keep(key));
        let value = value.map(|value| self.keep(value));
        let start = self.bytes.len();
        for (name, value) in headers {
            self.keep_sized(name.len(), name);
            match value {
                Some(value) => self.keep_sized(value.len(), value),
                None => self.bytes.extend_from_slice(&NULL.to_ne_bytes()),
            }
        }
        self.records.push(Kept { offset, key, value, headers: start..self.bytes.len() });
    }

    /// Forgets the records; the memory stays. The partition was left where this batch leaves it.
    pub(crate) fn finish(&mut self) {
        self.position = self.next_position();
        self.records.clear();
        self.bytes.clear();
    }

    /// The records in offset order.
    pub(crate) fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.records.iter().map(|kept| self.lend(kept))
    }

    /// One record.
    pub(crate) fn record(&self, position: usize) -> Record<'_> {
        self.lend(&self.records[position])
    }

    fn lend(&self, kept: &Kept) -> Record<'_> {
        let slice = |range: &Range<usize>| &self.bytes[range.clone()];
        Record {
            offset: kept.offset,
            key: kept.key.as_ref().map(slice),
            value: kept.value.as_ref().map(slice),
            headers: slice(&kept.headers),
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn keep_sized(&mut self, length: usize, bytes: &[u8]) {
        let length = u32::try_from(length).expect("a Kafka record is smaller than 4 GiB");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

impl<'b> Record<'b> {
    /// Its headers in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)> + use<'b> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            let name = take_sized(&mut rest)??;
            Some((name, take_sized(&mut rest)?))
        })
    }

    /// The last header of that name, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&'b str> {
        let last = self.headers().filter(|(other, _)| *other == name.as_bytes()).last();
        last.and_then(|(_, value)| std::str::from_utf8(value?).ok())
    }

    /// The batch that its header names.
    pub(crate) fn header_batch_id(&self) -> Option<Uuid> {
        self.header(BATCH_ID).and_then(|text| Uuid::try_parse(text).ok())
    }
}

/// Outer none: the end. Inner none: null.
fn take_sized<'b>(rest: &mut &'b [u8]) -> Option<Option<&'b [u8]>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = u32::from_ne_bytes(*length);
    if length == NULL {
        *rest = after;
        return Some(None);
    }
    let (bytes, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(Some(bytes))
}

/// A record that says something about its person.
#[expect(clippy::large_enum_variant, reason = "nearly every record is a state; a box would be an allocation for each")]
pub(crate) enum Read<'b> {
    /// The person's state.
    State(SdmkWorker<'b>),
    /// The person is gone at the source.
    Gone {
        /// Whose tombstone it is.
        person_id: PersonId,
        /// When the source was seen without the person.
        at: Timestamp,
        /// The batch that found it; nil where the header is missing.
        batch_id: Uuid,
    },
}

impl Read<'_> {
    /// The batch that brought the record.
    pub(crate) fn batch_id(&self) -> Uuid {
        match self {
            Self::State(worker) => worker.batch_id,
            Self::Gone { batch_id, .. } => *batch_id,
        }
    }

    /// When the source gave it out.
    pub(crate) fn fetched_at(&self) -> Timestamp {
        match self {
            Self::State(worker) => worker.version.fetched_at,
            Self::Gone { at, .. } => *at,
        }
    }

    /// What the plan needs to know of it.
    pub(crate) fn entry(&self) -> Entry {
        match self {
            Self::State(worker) if worker.op == Op::Delete => {
                Entry { person_id: worker.person_id, word: Word::Gone(worker.version.fetched_at) }
            }
            Self::State(worker) => {
                Entry { person_id: worker.person_id, word: Word::State(worker.version, worker.stamp) }
            }
            Self::Gone { person_id, at, .. } => Entry { person_id: *person_id, word: Word::Gone(*at) },
        }
    }
}

/// Reads a record written with the schema of that id.
///
/// # Errors
/// Why it must be set aside.
pub(crate) fn read(record: Record<'_>, schema_id: u32) -> Result<Read<'_>, Refusal> {
    let key = record.key.and_then(PersonId::parse);
    let Some(value) = record.value else {
        let person_id = key.ok_or(Refusal::IdentityMismatch)?;
        let at = record.header(FETCHED_AT).and_then(Timestamp::parse_rfc3339).ok_or(Refusal::HeaderMissing)?;
        return Ok(Read::Gone { person_id, at, batch_id: record.header_batch_id().unwrap_or_default() });
    };
    let worker = schemas::worker::decode(value, schema_id).map_err(|fault| Refusal::Undecodable(chain(&fault)))?;
    if key != Some(worker.person_id) {
        return Err(Refusal::IdentityMismatch);
    }
    if has_a_key_twice(&worker.body.employments) {
        return Err(Refusal::JobTwice);
    }
    Ok(Read::State(worker))
}

/// The processor sorts jobs by their key, so that one look at each is enough nearly always.
fn has_a_key_twice(jobs: &[Employment<'_>]) -> bool {
    if jobs.windows(2).all(|pair| pair[0].employment_key < pair[1].employment_key) {
        return false;
    }
    let mut keys: Vec<&str> = jobs.iter().map(|job| job.employment_key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// An error with its causes. Decoding errors name fields and schema ids, never a value.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: &str = "01936ad3-0f6a-8abc-8def-0123456789ab";

    fn headers<'h>(list: &'h [(&'h str, Option<&'h str>)]) -> impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)> {
        list.iter().map(|(name, value)| (name.as_bytes(), value.map(str::as_bytes)))
    }

    #[test]
    fn records_come_back_as_they_were() {
        let mut batch = Batch::new(3);
        batch.push(5, Some(b"k"), Some(b"value"), headers(&[("a", Some("1")), ("b", None), ("a", Some(""))]));
        batch.push(9, None, None, headers(&[]));
        assert_eq!((batch.position(), batch.next_position(), batch.len()), (3, 10, 2));
        let first = batch.record(0);
        assert_eq!((first.offset, first.key, first.value), (5, Some(&b"k"[..]), Some(&b"value"[..])));
        let found: Vec<_> = first.headers().collect();
        assert_eq!(found, [(&b"a"[..], Some(&b"1"[..])), (b"b", None), (b"a", Some(b""))]);
        assert_eq!(first.header("a"), Some(""), "the last one of a name counts");
        assert_eq!((first.header("b"), first.header("c")), (None, None));
        let second = batch.record(1);
        assert_eq!((second.offset, second.key, second.value, second.headers().count()), (9, None, None, 0));
    }

    #[test]
    fn records_that_were_taken_before_are_left_out() {
        let mut batch = Batch::new(3);
        for offset in [2, 3, 4, 4, 3, 5] {
            batch.push(offset, None, None, headers(&[]));
        }
        let offsets: Vec<_> = batch.records().map(|record| record.offset).collect();
        assert_eq!(offsets, [3, 4, 5]);
        batch.finish();
        assert!(batch.is_empty());
        assert_eq!((batch.position(), batch.next_position()), (6, 6));
    }

    #[test]
    fn a_tombstone_is_read_from_its_key_and_headers() {
        let check = |key: Option<&str>, list: &[(&str, Option<&str>)]| {
            let mut batch = Batch::new(0);
            batch.push(0, key.map(str::as_bytes), None, headers(list));
            match read(batch.record(0), 1) {
                Ok(Read::Gone { person_id, at, batch_id }) => format!("{person_id} {at} {batch_id}"),
                Ok(Read::State(_)) => "state".to_owned(),
                Err(refusal) => refusal.code().to_owned(),
            }
        };
        let batch = "01936ad3-0f6a-7abc-8def-0123456789ab";
        let at = "2026-11-23T01:02:03.000004Z";
        assert_eq!(
            check(Some(PERSON), &[(FETCHED_AT, Some(at)), (BATCH_ID, Some(batch))]),
            format!("{PERSON} {at} {batch}")
        );
        assert_eq!(check(Some(PERSON), &[(FETCHED_AT, Some(at))]), format!("{PERSON} {at} {}", Uuid::nil()));
        assert_eq!(check(Some(PERSON), &[(FETCHED_AT, Some("yesterday"))]), "header_missing");
        assert_eq!(check(Some(PERSON), &[]), "header_missing");
        assert_eq!(check(None, &[(FETCHED_AT, Some(at))]), "identity_mismatch");
        assert_eq!(check(Some("not a person"), &[(FETCHED_AT, Some(at))]), "identity_mismatch");
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused_without_their_content() {
        let mut batch = Batch::new(0);
        batch.push(0, Some(PERSON.as_bytes()), Some(b"{\"NIK\":\"3273015705900004\"}"), headers(&[]));
        let Err(refusal) = read(batch.record(0), 1) else { panic!("read what is no frame") };
        assert_eq!(refusal.code(), "frame_undecodable");
        assert!(!refusal.sentence().contains("3273"), "{}", refusal.sentence());
    }
}
