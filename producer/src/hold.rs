//! The pages of a slice, held until the slice is complete. Pure.
//!
//! A record is a byte range of the page it came in; nothing is copied. One [`Read`] is one pass over
//! the pages of a slice; a [`Hold`] joins passes when the source's rows moved between its pages.

use schemas::{PersonId, Timestamp};
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use uuid::Uuid;

/// Where the version stands in a UUID: 8 in every `person_id`, 0 in every [`Identity`] of bytes.
const VERSION_BITS: u128 = 0xf << 76;

/// Who a row is about: its `person_id`, or, where none can be read, its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(u128);

impl Identity {
    /// Of a row with a readable identity.
    #[must_use]
    pub fn person(person: PersonId) -> Self {
        Self(person.0.as_u128())
    }

    /// Of a row without one.
    #[must_use]
    pub fn bytes(record: &[u8]) -> Self {
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            record.hash(&mut hasher);
            u128::from(hasher.finish())
        };
        Self((half(0) << 64 | half(1)) & !VERSION_BITS)
    }

    /// The `person_id`, unless this stands for bytes.
    #[must_use]
    pub fn as_person(self) -> Option<PersonId> {
        (self.0 & VERSION_BITS == 8 << 76).then(|| PersonId(Uuid::from_u128(self.0)))
    }
}

/// One record of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    start: u32,
    end: u32,
    /// Who it is about.
    pub identity: Identity,
}

impl Row {
    /// A row over `range` of the page's body; `None` beyond 4 GiB, which no body cap allows.
    #[must_use]
    pub fn new(range: &Range<usize>, identity: Identity) -> Option<Self> {
        Some(Self { start: u32::try_from(range.start).ok()?, end: u32::try_from(range.end).ok()?, identity })
    }

    /// Bytes of the record.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.end.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }

    /// True for a record of no bytes, which no JSON value is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where the records of a page came from: the same for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `X-Request-ID` of the request.
    pub request_id: Uuid,
    /// W3C `traceparent` of the request.
    pub traceparent: String,
    /// When the source gave the page out.
    pub fetched_at: Timestamp,
}

/// One page: the body as it came, after decompression, and where its records are.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldPage {
    body: Vec<u8>,
    rows: Vec<Row>,
    /// Where it came from.
    pub origin: Origin,
    /// The greatest credible `last_updated` of its records.
    pub highest: Option<Timestamp>,
}

impl fmt::Debug for HeldPage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the body: it is made of personal data.
        out.debug_struct("HeldPage")
            .field("bytes", &self.body.len())
            .field("rows", &self.rows.len())
            .field("origin", &self.origin)
            .field("highest", &self.highest)
            .finish()
    }
}

impl HeldPage {
    /// A page; a row outside `body` would be an empty record.
    #[must_use]
    pub fn new(body: Vec<u8>, rows: Vec<Row>, origin: Origin, highest: Option<Timestamp>) -> Self {
        Self { body, rows, origin, highest }
    }

    /// The records with their bytes, in the order of the page.
    pub fn records(&self) -> impl Iterator<Item = (&Row, &[u8])> {
        self.rows.iter().map(|row| {
            let (start, end) = (usize::try_from(row.start), usize::try_from(row.end));
            let bytes = start.ok().zip(end.ok()).and_then(|(start, end)| self.body.get(start..end));
            (row, bytes.unwrap_or_default())
        })
    }

    /// The answer as it came.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True for a page without records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes that this page takes in memory, its share of the set of identities included.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        // A hash set keeps up to 16/7 slots of 17 bytes for an element.
        const IDENTITY_BYTES: usize = 40;
        self.body.capacity() + self.rows.len() * (size_of::<Row>() + IDENTITY_BYTES)
    }

    /// True if the records of both are the same bytes in the same order.
    fn same_records(&self, other: &Self) -> bool {
        self.len() == other.len() && self.records().zip(other.records()).all(|((_, left), (_, right))| left == right)
    }

    /// The rows that `wanted` keeps, with their bytes copied, so that the page itself can go.
    fn keep(&self, wanted: impl Fn(Identity) -> bool) -> Self {
        let (mut body, mut rows) = (Vec::new(), Vec::new());
        for (row, bytes) in self.records().filter(|(row, _)| wanted(row.identity)) {
            let start = body.len();
            body.extend_from_slice(bytes);
            rows.extend(Row::new(&(start..body.len()), row.identity));
        }
        Self { body, rows, origin: self.origin.clone(), highest: self.highest }
    }
}

/// One pass over the pages of a slice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Read {
    pages: Vec<HeldPage>,
    identities: HashSet<Identity>,
    rows: u64,
    total: Option<u64>,
    /// The total went down while the pages were read: rows left the slice, and others slid over the edge
    /// of a page that was still to be read.
    total_fell: bool,
}

/// What the count check says about a finished pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// As many identities as the source said, or the source says no number.
    Ties,
    /// Not as many, but two passes in a row found the same ones.
    Settled,
    /// Not as many: read again.
    Again,
    /// Not as many after the last pass that is allowed.
    Short,
}

/// The passes over one slice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hold {
    read: Read,
    /// Rows of earlier passes that the present one may not bring again, and the identities of the last.
    carried: Vec<HeldPage>,
    former: Option<HashSet<Identity>>,
    passes: u32,
}

impl Hold {
    /// Adds a page to the present pass. `total` is what the source says now.
    pub fn push(&mut self, page: HeldPage, total: Option<u64>) {
        self.read.identities.extend(page.rows.iter().map(|row| row.identity));
        self.read.rows += u64::try_from(page.len()).unwrap_or(u64::MAX);
        self.read.total_fell |= total.zip(self.read.total).is_some_and(|(now, before)| now < before);
        self.read.total = total.or(self.read.total);
        if !page.is_empty() {
            self.read.pages.push(page);
        }
    }

    /// True if `page` holds the very records of the page before it: the source does not page on.
    /// A page of one record is not judged: two equal rows may follow each other.
    #[must_use]
    pub fn repeats(&self, page: &HeldPage) -> bool {
        page.len() > 1 && self.read.pages.last().is_some_and(|last| last.same_records(page))
    }

    /// Rows of the present pass.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.read.rows
    }

    /// What the source last said the number of rows is.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.read.total
    }

    /// Number of finished and present passes.
    #[must_use]
    pub fn pass(&self) -> u32 {
        self.passes + 1
    }

    /// Bytes of everything held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.read.pages.iter().chain(&self.carried).map(HeldPage::held_bytes).sum()
    }

    /// Judges the present pass at its end; `passes_max` counts it.
    #[must_use]
    pub fn check(&self, passes_max: u32) -> Check {
        let Some(total) = self.read.total else { return Check::Ties };
        let count = |identities: usize| u64::try_from(identities).unwrap_or(u64::MAX);
        let joined = || {
            let mut joined: HashSet<Identity> = self.read.identities.clone();
            joined.extend(self.carried.iter().flat_map(|page| page.rows.iter().map(|row| row.identity)));
            joined.len()
        };
        let ties = || count(self.read.identities.len()) == total || (self.passes > 0 && count(joined()) == total);
        if !self.read.total_fell && ties() {
            Check::Ties
        } else if self.former.as_ref() == Some(&self.read.identities) {
            Check::Settled
        } else if self.pass() >= passes_max {
            Check::Short
        } else {
            Check::Again
        }
    }

    /// Puts the present pass behind and begins another.
    pub fn again(&mut self) {
        let read = std::mem::take(&mut self.read);
        self.carried.extend(read.pages);
        self.former = Some(read.identities);
        self.passes += 1;
    }

    /// Number of different identities of the present pass.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        u64::try_from(self.read.identities.len()).unwrap_or(u64::MAX)
    }

    /// The complete slice: the last pass as it is, and the rows that only earlier passes saw, once each.
    #[must_use]
    pub fn into_pages(self) -> Vec<HeldPage> {
        let Self { read: Read { mut pages, identities, .. }, carried, .. } = self;
        let seen = std::cell::RefCell::new(identities);
        // The newest of the earlier passes first: where two of them saw a row, it is the better one.
        for page in carried.iter().rev() {
            let kept = page.keep(|identity| seen.borrow_mut().insert(identity));
            if !kept.is_empty() {
                pages.push(kept);
            }
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of one-letter records; an upper-case letter has a readable identity.
    fn page(letters: &str) -> HeldPage {
        let body = letters.as_bytes().to_vec();
        let rows = body.iter().enumerate().filter_map(|(at, letter)| {
            let person = PersonId(uuid::Builder::from_custom_bytes([*letter; 16]).into_uuid());
            let identity =
                if letter.is_ascii_uppercase() { Identity::person(person) } else { Identity::bytes(&[*letter]) };
            Row::new(&(at..at + 1), identity)
        });
        let rows = rows.collect();
        let origin = Origin { request_id: Uuid::nil(), traceparent: String::new(), fetched_at: Timestamp(0) };
        HeldPage::new(body, rows, origin, None)
    }

    fn letters(pages: &[HeldPage]) -> String {
        let bytes = pages.iter().flat_map(|page| page.records().flat_map(|(_, bytes)| bytes.to_vec()));
        String::from_utf8(bytes.collect()).expect("letters")
    }

    #[test]
    fn an_identity_of_bytes_is_never_taken_for_a_person() {
        for record in 0..2_000_u32 {
            let bytes = record.to_le_bytes();
            assert_eq!(Identity::bytes(&bytes).as_person(), None);
            assert_eq!(Identity::bytes(&bytes), Identity::bytes(&bytes));
        }
        let person = PersonId(uuid::Builder::from_custom_bytes([7; 16]).into_uuid());
        assert_eq!(Identity::person(person).as_person(), Some(person));
    }

    #[test]
    fn passes_are_joined_until_the_count_ties() {
        // Each pass: its pages and the total the source says; then the verdict of each and the records.
        let check = |passes: &[(&[&str], u64)], verdicts: &[Check], records: &str| {
            let mut hold = Hold::default();
            for ((pages, total), verdict) in passes.iter().zip(verdicts) {
                if hold.rows() > 0 || hold.former.is_some() {
                    hold.again();
                }
                for letters in *pages {
                    hold.push(page(letters), Some(*total));
                }
                assert_eq!(hold.check(3), *verdict, "{passes:?}");
            }
            assert_eq!(letters(&hold.into_pages()), records, "{passes:?}");
        };
        use Check::{Again, Settled, Short, Ties};
        check(&[(&["AB", "C"], 3)], &[Ties], "ABC");
        check(&[(&["AB", "ab"], 4)], &[Ties], "ABab");
        // A person on two pages is two records and one identity; the row that slid away is found by the
        // second pass.
        check(&[(&["AB", "BC"], 4), (&["AB", "CD"], 4)], &[Again, Ties], "ABCD");
        check(&[(&["AB", "BC"], 4), (&["AD", "AB"], 4)], &[Again, Ties], "ADABC");
        check(&[(&["AB"], 3), (&["AB"], 3)], &[Again, Settled], "AB");
        check(&[(&["AB"], 9), (&["AC"], 9), (&["AD"], 9)], &[Again, Again, Short], "ADCB");
        check(&[(&["AB"], 9), (&["AC"], 9), (&["AC"], 9)], &[Again, Again, Settled], "ACB");
        // More than the source says is a difference too.
        check(&[(&["ABC"], 2), (&["AB"], 2)], &[Again, Ties], "ABC");
    }

    #[test]
    fn a_total_that_falls_between_pages_is_not_trusted() {
        // A, B, C, D; A leaves after page 1, C slides onto it, and the count ties all the same.
        let mut hold = Hold::default();
        hold.push(page("AB"), Some(4));
        hold.push(page("D"), Some(3));
        assert_eq!(hold.check(3), Check::Again);
        hold.again();
        hold.push(page("BC"), Some(3));
        hold.push(page("D"), Some(3));
        assert_eq!(hold.check(3), Check::Ties);
        assert_eq!(letters(&hold.into_pages()), "BCDA");
    }

    #[test]
    fn a_page_given_out_twice_is_seen() {
        let mut hold = Hold::default();
        assert!(!hold.repeats(&page("AB")));
        hold.push(page("AB"), None);
        assert!(hold.repeats(&page("AB")) && !hold.repeats(&page("BA")) && !hold.repeats(&page("A")));
        assert_eq!(hold.check(3), Check::Ties);
    }

    #[test]
    fn a_page_is_not_printed() {
        assert!(!format!("{:?}", page("SECRET")).contains("SECRET"));
        assert!(!format!("{:?}", page("SECRET")).contains("83, 69"));
    }
}
