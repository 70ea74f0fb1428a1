//! The members of one object of a record, as our fields.

use std::marker::PhantomData;

use super::names::{Field, Names, SLOTS};
use crate::json::{JsonFault, Scanner};

/// Which field followed which when an object of this kind was read last.
///
/// A source writes its fields in the same order again and again, so the next key can be foretold and compared instead of
/// read and looked up. It is a guess and nothing else: whatever it says, the same fields are found.
#[derive(Clone, Debug)]
pub struct Order<F> {
    /// By slot, the slot that came next; before the first field comes [`START`].
    next: [u8; SLOTS + 1],
    set: PhantomData<F>,
}

/// Stands for a field before the first.
const START: u8 = 32;

impl<F> Default for Order<F> {
    /// That of our own list, as far as one is needed before the first record.
    fn default() -> Self {
        let mut next = [0; SLOTS + 1];
        for (slot, next) in (1..).zip(next.iter_mut().take(SLOTS)) {
            *next = slot;
        }
        Self { next, set: PhantomData }
    }
}

impl<F> Order<F> {
    #[inline]
    fn after(&self, slot: u8) -> u8 {
        self.next.get(usize::from(slot)).copied().unwrap_or(START)
    }

    fn learn(&mut self, slot: u8, next: u8) {
        if let Some(place) = self.next.get_mut(usize::from(slot)) {
            *place = next;
        }
    }
}

/// Reads the keys of the object that a scanner stands in. The caller reads or skips each value, and asks for keys in no
/// other way.
#[derive(Debug)]
pub struct Fields<'n, F> {
    names: &'n Names<F>,
    order: &'n mut Order<F>,
    last: u8,
    /// A bit for every field that was there.
    seen: u32,
    unknown: u32,
}

impl<'n, F: Field> Fields<'n, F> {
    /// Before the first key.
    #[inline]
    pub fn new(names: &'n Names<F>, order: &'n mut Order<F>) -> Self {
        Self { names, order, last: START, seen: 0, unknown: 0 }
    }

    /// The next field, whose value is next in the scanner, or `None` where the object ends. Members that are none of our
    /// fields are skipped and counted.
    ///
    /// Errors: as [`Scanner::key`] and [`Scanner::skip`]; a repeated key is noted in the scanner as they note it.
    #[inline]
    pub fn next(&mut self, scanner: &mut Scanner<'_>) -> Result<Option<F>, JsonFault> {
        let slot = self.order.after(self.last);
        match self.names.mark(slot) {
            Some(mark) if scanner.pass_mark(mark) => Ok(self.meet(scanner, slot)),
            _ => self.search(scanner),
        }
    }

    /// As `next`, where the guess was wrong.
    #[cold]
    fn search(&mut self, scanner: &mut Scanner<'_>) -> Result<Option<F>, JsonFault> {
        while let Some(key) = scanner.key()? {
            let Some(slot) = self.names.slot(&key) else {
                self.unknown += 1;
                scanner.skip()?;
                continue;
            };
            self.order.learn(self.last, slot);
            return Ok(self.meet(scanner, slot));
        }
        Ok(None)
    }

    /// A field is there. Two keys that differ as they are written are the same field only where both are its name once
    /// their escapes are resolved; so a bit for each tells all repetitions of ours, and the scanner those of other keys.
    #[inline]
    fn meet(&mut self, scanner: &mut Scanner<'_>, slot: u8) -> Option<F> {
        let bit = 1 << slot;
        if self.seen & bit != 0 {
            scanner.note_repeated_key();
        }
        self.seen |= bit;
        self.last = slot;
        F::ALL.get(usize::from(slot)).copied()
    }

    /// Members so far that are none of our fields.
    #[inline]
    #[must_use]
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// Fields of ours so far, each once.
    #[inline]
    #[must_use]
    pub fn known(&self) -> u32 {
        self.seen.count_ones()
    }
}
