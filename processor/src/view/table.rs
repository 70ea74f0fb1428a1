//! Where each person of one partition stands, in few bytes: a hash table without pointers.
//!
//! The standard library's map doubles: while it grows it holds the old table and a new one of twice the size, three times
//! what it needs. This one is cut into segments that grow one by one and by a quarter, so that at no moment more than
//! [`BYTES_A_PERSON_MAX`] are taken for a person (beyond some thousand persons). Nothing is ever removed: a deletion is a
//! state like any other.

use schemas::version::Version;
use schemas::{PersonId, Timestamp};

/// What a view may take for one person, counted at the worst moment of its growth.
pub const BYTES_A_PERSON_MAX: usize = 100;

/// Growing copies one segment at a time, so the copy is a small part of the whole.
const SEGMENTS: usize = 64;
/// Slots of a segment that holds anything.
const SLOTS_MIN: usize = 8;
/// Number of provinces that a code of two digits can name.
const PROVINCES: usize = 100;

/// Persons by number of the province.
pub type Provinces = [u32; PROVINCES];

/// Where one person stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// This is the current version.
    Current {
        /// What tells it from others.
        version: Version,
        /// Number of the province; 0 where it names none.
        province: u8,
    },
    /// The source no longer listed the person at this time.
    Gone {
        /// `sisdmk-fetched-at` of the tombstone.
        at: Timestamp,
    },
}

/// Person to state.
#[derive(Debug)]
pub struct Table {
    segments: Box<[Segment]>,
    provinces: Box<Provinces>,
}

#[derive(Debug, Default)]
struct Segment {
    slots: Box<[Slot]>,
    used: usize,
}

/// A person and its state, or nothing.
#[derive(Clone, Copy, Debug)]
struct Slot {
    person: [u64; 2],
    last_updated: i64,
    fetched_at: i64,
    content_hash: i64,
    rules_revision: i32,
    province: u8,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Empty,
    Current,
    Gone,
}

const SLOT_BYTES: usize = 48;
const _: () = assert!(size_of::<Slot>() == SLOT_BYTES, "the bound is made of this");

const EMPTY: Slot = Slot {
    person: [0; 2],
    last_updated: 0,
    fetched_at: 0,
    content_hash: 0,
    rules_revision: 0,
    province: 0,
    kind: Kind::Empty,
};

impl Slot {
    fn new(person: [u64; 2], state: State) -> Self {
        match state {
            State::Current { version, province } => Self {
                person,
                last_updated: version.last_updated.0,
                fetched_at: version.fetched_at.0,
                content_hash: version.content_hash,
                rules_revision: version.rules_revision,
                province: if usize::from(province) < PROVINCES { province } else { 0 },
                kind: Kind::Current,
            },
            State::Gone { at } => Self { person, fetched_at: at.0, kind: Kind::Gone, ..EMPTY },
        }
    }

    fn state(&self) -> Option<State> {
        let fetched_at = Timestamp(self.fetched_at);
        match self.kind {
            Kind::Empty => None,
            Kind::Gone => Some(State::Gone { at: fetched_at }),
            Kind::Current => Some(State::Current {
                version: Version {
                    last_updated: Timestamp(self.last_updated),
                    fetched_at,
                    rules_revision: self.rules_revision,
                    content_hash: self.content_hash,
                },
                province: self.province,
            }),
        }
    }
}

/// Segment, and where in it the search begins. A person id is already a keyed hash; the product only spreads ids that
/// somebody made by hand.
fn place(person: [u64; 2]) -> (usize, u64) {
    let mixed = (person[0] ^ person[1].rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (usize::try_from(mixed >> 58).expect("six bits"), mixed << 6)
}

impl Segment {
    /// The person's slot, or the empty one where it belongs. There is always an empty one.
    fn find(&self, person: [u64; 2], start: u64) -> usize {
        let count = self.slots.len();
        // The upper half of the product: `start` as a fraction of the slots.
        let mut index = usize::try_from((u128::from(start) * count as u128) >> 64).expect("below the count of slots");
        loop {
            let slot = &self.slots[index];
            if slot.kind == Kind::Empty || slot.person == person {
                return index;
            }
            index += 1;
            if index == count {
                index = 0;
            }
        }
    }

    /// Makes room for one more: at most four of five slots are used.
    fn grow(&mut self) {
        let grown = (self.slots.len() + self.slots.len() / 4 + 1).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; grown].into_boxed_slice());
        for slot in old.iter().filter(|slot| slot.kind != Kind::Empty) {
            let index = self.find(slot.person, place(slot.person).1);
            self.slots[index] = *slot;
        }
    }

    fn is_full(&self) -> bool {
        (self.used + 1) * 5 > self.slots.len() * 4
    }
}

impl Default for Table {
    fn default() -> Self {
        Self {
            segments: std::iter::repeat_with(Segment::default).take(SEGMENTS).collect(),
            provinces: Box::new([0; PROVINCES]),
        }
    }
}

impl Table {
    /// Where this person stands; `None` for one never heard of.
    #[must_use]
    pub fn get(&self, person_id: PersonId) -> Option<State> {
        let person = words(person_id);
        let (segment, start) = place(person);
        let segment = &self.segments[segment];
        if segment.used == 0 {
            return None;
        }
        segment.slots[segment.find(person, start)].state()
    }

    /// This is where the person stands from now on.
    pub fn set(&mut self, person_id: PersonId, state: State) {
        let person = words(person_id);
        let (segment, start) = place(person);
        let segment = &mut self.segments[segment];
        if segment.slots.is_empty() {
            segment.grow();
        }
        let mut index = segment.find(person, start);
        if segment.slots[index].kind == Kind::Empty {
            if segment.is_full() {
                segment.grow();
                index = segment.find(person, start);
            }
            segment.used += 1;
        }
        let (old, new) = (segment.slots[index], Slot::new(person, state));
        segment.slots[index] = new;
        if old.kind == Kind::Current {
            self.provinces[usize::from(old.province)] -= 1;
        }
        if new.kind == Kind::Current {
            self.provinces[usize::from(new.province)] += 1;
        }
    }

    /// Persons with a state, those who are gone too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.used).sum()
    }

    /// Whether nobody is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Current persons by number of the province; 0 holds those without one.
    #[must_use]
    pub fn provinces(&self) -> &Provinces {
        &self.provinces
    }

    /// Memory taken, without what the allocator adds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots: usize = self.segments.iter().map(|segment| segment.slots.len()).sum();
        slots * SLOT_BYTES + SEGMENTS * size_of::<Segment>() + size_of::<Provinces>()
    }
}

fn words(person_id: PersonId) -> [u64; 2] {
    let (high, low) = person_id.0.as_u64_pair();
    [high, low]
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn current(number: i64) -> State {
        State::Current {
            version: Version {
                last_updated: Timestamp(number),
                fetched_at: Timestamp(number + 1),
                rules_revision: 7,
                content_hash: -number,
            },
            province: u8::try_from(number % 40).expect("below 40"),
        }
    }

    /// A number spread over a UUID as a keyed hash would.
    fn person(number: u64) -> PersonId {
        let mix = |seed: u64| (number ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ number.rotate_left(31);
        PersonId(Uuid::from_u64_pair(mix(1), mix(2)))
    }

    #[test]
    fn a_million_persons_take_at_most_a_hundred_bytes_each_at_every_moment() {
        let mut table = Table::default();
        let mut worst = 0.0_f64;
        for number in 0..1_000_000_u32 {
            let before = table.bytes();
            table.set(person(number.into()), current(number.into()));
            let grown = table.bytes() - before;
            if grown > 0 && number >= 20_000 {
                // While a segment grows its old slots and its new ones are both there.
                let largest = table.segments.iter().map(|segment| segment.slots.len()).max().unwrap_or(0) * SLOT_BYTES;
                #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
                let each = (before + largest) as f64 / f64::from(number);
                worst = worst.max(each);
            }
        }
        assert!(worst > 48.0 && worst <= BYTES_A_PERSON_MAX as f64, "{worst:.1} bytes a person");
        assert_eq!(table.len(), 1_000_000);
        for number in (0..1_000_000).step_by(997) {
            assert_eq!(table.get(person(number)), Some(current(i64::try_from(number).expect("small"))));
        }
        assert_eq!(table.get(person(1_000_000)), None);
        assert_eq!(table.provinces().iter().sum::<u32>(), 1_000_000);
    }

    #[test]
    fn ids_made_by_hand_are_found_again() {
        let mut table = Table::default();
        assert!(table.is_empty());
        for number in 0..5_000_u32 {
            table.set(PersonId(Uuid::from_u128(number.into())), current(number.into()));
        }
        for number in 0..5_000_u32 {
            assert_eq!(table.get(PersonId(Uuid::from_u128(number.into()))), Some(current(number.into())));
        }
        assert_eq!(table.len(), 5_000);
    }

    #[test]
    fn provinces_count_current_persons_only() {
        let mut table = Table::default();
        table.set(person(1), current(32));
        table.set(person(2), current(32));
        table.set(person(2), current(11));
        table.set(person(1), State::Gone { at: Timestamp(9) });
        table.set(person(3), State::Gone { at: Timestamp(9) });
        assert_eq!((table.provinces()[32], table.provinces()[11], table.len()), (0, 1, 3));
        assert_eq!(table.get(person(1)), Some(State::Gone { at: Timestamp(9) }));
    }
}
