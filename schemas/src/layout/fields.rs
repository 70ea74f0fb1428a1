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

    /// As `next`, where the guess was wrong, or is right and stands after blanks as some sources write them.
    #[cold]
    fn search(&mut self, scanner: &mut Scanner<'_>) -> Result<Option<F>, JsonFault> {
        if scanner.pass_end() {
            return Ok(None);
        }
        let slot = self.order.after(self.last);
        if self.names.mark(slot).is_some_and(|mark| scanner.pass_spaced_mark(mark)) {
            return Ok(self.meet(scanner, slot));
        }
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::json::Value;
    use crate::layout::{Layout, PersonField, shipped};
    use proptest::prelude::*;

    fn layout() -> Layout {
        let text = shipped("sdmk-modified").expect("the default profile");
        // Names that a record cannot write as they are, and one that is too long to be foretold.
        let text = text.replace("\"TEMPAT_LAHIR\"", "'A\":\"B'").replace("\"ALAMAT\"", "'C\\D'");
        let text = text.replace("\"KODE_PROV\"", &format!("\"{}\"", "K".repeat(40)));
        Layout::from_profile_toml(&text).expect("a good profile")
    }

    /// What is read of one object, or its fault.
    type Read = Result<(Vec<Option<PersonField>>, u32), JsonFault>;

    /// With the guesses of `order`.
    fn read(record: &[u8], layout: &Layout, order: &mut Order<PersonField>) -> Read {
        let mut scanner = Scanner::record(record)?;
        let mut fields = Fields::new(&layout.person, order);
        let mut found = Vec::new();
        while let Some(field) = fields.next(&mut scanner)? {
            found.push(Some(field));
            scanner.skip()?;
        }
        let distinct: HashSet<_> = found.iter().collect();
        assert_eq!(usize::try_from(fields.known()), Ok(distinct.len()));
        let unknown = fields.unknown();
        scanner.end()?;
        Ok((found, unknown))
    }

    /// Key by key, each looked up.
    fn read_plainly(record: &[u8], layout: &Layout) -> Read {
        let mut scanner = Scanner::record(record)?;
        let (mut found, mut unknown) = (Vec::new(), 0);
        while let Some(key) = scanner.key()? {
            match layout.person.field(&key) {
                Some(field) => found.push(Some(field)),
                None => unknown += 1,
            }
            scanner.skip()?;
        }
        scanner.end()?;
        Ok((found, unknown))
    }

    fn key(layout: &Layout, field: usize, escaped: bool) -> String {
        let other = ["X", "NIKK", "", "nik"];
        let name = PersonField::ALL.get(field).and_then(|field| layout.person.name(*field));
        let name = name.unwrap_or_else(|| other[field % other.len()]);
        let text = serde_json::to_string(name).expect("text");
        match name.chars().next() {
            Some(first) if escaped => text.replacen(first, &format!("\\u{:04x}", u32::from(first)), 1),
            _ => text,
        }
    }

    #[test]
    fn the_same_order_is_foretold_and_a_repeated_field_is_a_repeated_key() {
        let layout = layout();
        let mut order = Order::default();
        for _ in 0..3 {
            let record = br#"{"LAST_UPDATED":1,"NIK":"x","NAMA":null}"#;
            let expected = [PersonField::LastUpdated, PersonField::Nik, PersonField::Nama].map(Some);
            assert_eq!(read(record, &layout, &mut order), Ok((expected.to_vec(), 0)));
            let mut scanner = Scanner::record(record).expect("an object");
            assert_eq!(order.after(START), 11);
            let mark = layout.person.mark(11).expect("a short name");
            assert!(!scanner.pass_spaced_mark(mark) && scanner.pass_mark(mark));
            assert_eq!(scanner.value(), Ok(Value::Number("1")));
            let spaced = br#"{ "LAST_UPDATED": 1, "NIK": "x", "NAMA": null, "KODE_KAB": 3273 }"#;
            let mut scanner = Scanner::record(spaced).expect("an object");
            assert!(!scanner.pass_mark(mark) && scanner.pass_spaced_mark(mark));
            assert_eq!(scanner.value(), Ok(Value::Number("1")));
            let nik = layout.person.mark(0).expect("a short name");
            assert!(!scanner.pass_mark(nik) && scanner.pass_spaced_mark(nik));
        }
        for record in [
            r#"{"NIK":1,"NIK":2,"LAST_UPDATED":"2026-11-20T08:15:30+07:00"}"#,
            r#"{"NIK":1,"N\u0049K":2,"LAST_UPDATED":"2026-11-20T08:15:30+07:00"}"#,
            r#"{"N\u0049K":1,"LAST_UPDATED":"2026-11-20T08:15:30+07:00","NIK":2,"X":"2026-11-20T08:15:30+07:00"}"#,
            r#"{"X":1,"LAST_UPDATED":"2026-11-20T08:15:30+07:00","X":2}"#,
        ] {
            for mut order in [Order::default(), order.clone()] {
                assert_eq!(read(record.as_bytes(), &layout, &mut order), Err(JsonFault::DuplicateKey), "{record}");
            }
        }
    }

    proptest! {
        /// However wrong the guesses are, and whatever stands between the members.
        #[test]
        fn guesses_change_nothing(
            records in prop::collection::vec(
                (
                    prop::collection::vec((0..PersonField::ALL.len() + 4, any::<bool>(), 0..12_usize), 0..20),
                    prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
                ),
                1..6,
            ),
            repeats in any::<bool>(),
        ) {
            let layout = layout();
            let mut order = Order::default();
            for (members, damage) in records {
                let mut seen = HashSet::new();
                let members = members.into_iter().filter(|(field, ..)| repeats || seen.insert(*field)).map(|(field, escaped, value)| {
                    let value = ["1", "null", "\"a b\"", "\"NIK\\\":1,\"", "{\"NIK\":1}", "[1,\"NIK\",2]", " \"\" "].get(value).unwrap_or(&"\"x\"");
                    let colon = if escaped { " : " } else { ":" };
                    let before = ["", " ", "\n\t"].get(field % 5).unwrap_or(&"");
                    format!("{before}{}{colon}{value}", key(&layout, field, escaped && value.len() > 2))
                });
                let mut record = format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into_bytes();
                if let Some((at, byte)) = damage {
                    let at = at.index(record.len());
                    record[at] = byte;
                }
                prop_assert_eq!(read(&record, &layout, &mut order), read_plainly(&record, &layout));
            }
        }
    }
}
