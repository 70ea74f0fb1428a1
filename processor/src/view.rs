//! The current view of one partition of `sisdmk.clean`: where each person stands, as readers of committed records see it.
//!
//! It decides what becomes of a record that is clean: whether it is news, and whether the person was there before. Changes of
//! the open transaction lie in an overlay, which is laid into the view once the transaction is known to be committed and
//! forgotten when it was given up.
//!
//! The rules are those of the sink, so that view and table never differ: `schemas::version` between two states, and a deletion
//! stands until the source gave the person out after it. Pure: no client, no clock.

mod table;

use std::collections::HashMap;

use schemas::version::{self, Outcome, Stamp, Version};
use schemas::worker::Op;
use schemas::{PersonId, Timestamp};

pub use table::{BYTES_A_PERSON_MAX, Provinces, State, Table};

/// What a clean record is, held against the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// To be published, as the first of its person or as a newer one.
    Newer(Op),
    /// It says what is known.
    Equal,
    /// It is older than what is known.
    Stale,
}

/// The same, and whether the source contradicts itself: two contents under one `last_updated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub news: News,
    /// Counted, whoever wins.
    pub conflict: bool,
}

/// A record of `sisdmk.clean`, as far as a view needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// This is the person's state.
    State {
        /// What tells it from others.
        version: Version,
        /// Whether `last_updated` is the source's own.
        stamp: Stamp,
        /// Number of the province; 0 where it names none.
        province: u8,
    },
    /// A tombstone: the source no longer listed the person at this time.
    Gone(Timestamp),
}

/// What `incoming` is to a person who stands at `known`.
#[must_use]
pub fn compare(known: Option<State>, incoming: &Version, stamp: Stamp) -> Finding {
    match known {
        None => Finding { news: News::Newer(Op::Create), conflict: false },
        Some(State::Gone { at }) => Finding {
            news: if incoming.fetched_at > at { News::Newer(Op::Create) } else { News::Stale },
            conflict: false,
        },
        Some(State::Current { version, .. }) => {
            let judgement = version::compare(incoming, &version, stamp);
            let news = match judgement.outcome {
                Outcome::Newer => News::Newer(Op::Update),
                Outcome::Equal => News::Equal,
                Outcome::Stale => News::Stale,
            };
            Finding { news, conflict: judgement.conflict }
        }
    }
}

/// Where a person stands after a record of the topic; `None`: where it stood before.
fn after(known: Option<State>, word: Word) -> Option<State> {
    match word {
        Word::State { version, stamp, province } => matches!(compare(known, &version, stamp).news, News::Newer(_))
            .then_some(State::Current { version, province }),
        Word::Gone(at) => match known {
            // Given out after it was seen missing, or seen missing again.
            Some(State::Current { version, .. }) if version.fetched_at > at => None,
            Some(State::Gone { at: before }) if before >= at => None,
            _ => Some(State::Gone { at }),
        },
    }
}

/// The view of one partition.
#[derive(Debug, Default)]
pub struct View {
    table: Table,
    overlay: HashMap<PersonId, State>,
    /// Every committed record of the partition below this offset is in the table.
    next: i64,
    /// The record at `next` is the marker of our own last transaction, unless somebody else wrote there too.
    marker: bool,
}

impl View {
    /// What a clean record is to what is known, the open transaction's own records included.
    #[must_use]
    pub fn judge(&self, person_id: PersonId, incoming: &Version, stamp: Stamp) -> Finding {
        let known = self.overlay.get(&person_id).copied().or_else(|| self.table.get(person_id));
        compare(known, incoming, stamp)
    }

    /// The open transaction publishes this as the person's newest version.
    pub fn publish(&mut self, person_id: PersonId, version: Version, province: u8) {
        self.overlay.insert(person_id, State::Current { version, province });
    }

    /// The open transaction left nothing behind, or nobody knows whether it did: then the topic tells, see
    /// [`learn`](Self::learn).
    pub fn abort(&mut self) {
        self.overlay.clear();
    }

    /// The open transaction is committed; it wrote `written` to the partition.
    ///
    /// Returns false where somebody else wrote there too: then the position stays, and the partition is to be read from
    /// there on.
    pub fn commit(&mut self, written: Option<Written>) -> bool {
        for (person_id, state) in self.overlay.drain() {
            self.table.set(person_id, state);
        }
        let Some(written) = written else { return true };
        let expected = [Some(self.next), self.marker.then_some(self.next + 1)];
        if !expected.contains(&Some(written.first_offset)) || written.next_offset() != Some(written.last_offset + 1) {
            return false;
        }
        self.next = written.last_offset + 1;
        self.marker = true;
        true
    }

    /// A committed record of the partition; they come in offset order, and may come again.
    pub fn learn(&mut self, person_id: PersonId, word: Word) {
        if let Some(state) = after(self.table.get(person_id), word) {
            self.table.set(person_id, state);
        }
    }

    /// Every committed record below `next` was learned.
    pub fn reached(&mut self, next: i64) {
        if next > self.next {
            self.next = next;
            self.marker = false;
        }
    }

    /// Every committed record below this offset is known.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Whether a log that ends at `end` holds anything that is not known. (A marker of ours is nothing.)
    #[must_use]
    pub fn is_behind(&self, end: i64) -> bool {
        end > self.next + i64::from(self.marker)
    }

    /// Who is known, and where they stand; without the open transaction.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }
}

/// What one transaction wrote to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Offset of the first record.
    pub first_offset: i64,
    /// Offset of the last one.
    pub last_offset: i64,
    /// Number of records.
    pub count: u64,
}

impl Written {
    /// The offset after the last record where nobody else wrote between them.
    fn next_offset(&self) -> Option<i64> {
        self.first_offset.checked_add(i64::try_from(self.count).ok()?)
    }
}

#[cfg(test)]
mod tests;
