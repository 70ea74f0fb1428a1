//! From a source's field name to our field, for every key of every record.

use std::marker::PhantomData;

use super::{EmploymentField, PelatihanField, PendidikanField, PersonField};
use crate::json::{Mark, fingerprint};

/// A closed set of our fields, whose names a profile gives.
pub trait Field: Copy + 'static {
    /// All of them, in the order of [`Field::slot`].
    const ALL: &'static [Self];

    /// Place in a table of all fields, from 0.
    fn slot(self) -> usize;

    /// Key in the profile file.
    fn key(self) -> &'static str;
}

macro_rules! fields {
    ($($name:ident),+) => {
        $(
            impl Field for $name {
                const ALL: &'static [Self] = Self::ALL;

                fn slot(self) -> usize {
                    usize::from(self.index())
                }

                fn key(self) -> &'static str {
                    self.as_str()
                }
            }
        )+
    };
}
fields!(PersonField, EmploymentField, PendidikanField, PelatihanField);

/// The source's names of a set of our fields. A field may have none: this source does not
/// deliver it.
#[derive(Clone, Debug)]
pub struct Names<F> {
    /// By slot.
    names: Vec<Option<Box<str>>>,
    /// By slot: the name as it nearly always stands in a record, between the comma before it and the colon behind it.
    marks: Vec<Option<Mark>>,
    /// Slots by the names' fingerprints; a name's place is the first free one from there on. Four
    /// times as many places as fields keep those walks to a step.
    places: [u8; PLACES],
    field: PhantomData<F>,
}

/// No set has more fields.
pub(super) const SLOTS: usize = 32;
const PLACES: usize = 4 * SLOTS;
const FREE: u8 = u8::MAX;

impl<F: Field> Names<F> {
    /// No names at all.
    pub(super) fn empty() -> Self {
        Self {
            names: vec![None; F::ALL.len()],
            marks: vec![None; F::ALL.len()],
            places: [FREE; PLACES],
            field: PhantomData,
        }
    }

    /// Gives a field its name; `false` if another field has the same one.
    pub(super) fn insert(&mut self, field: F, name: &str) -> bool {
        if self.field(name).is_some() {
            return false;
        }
        let Some(place) = probe(name).find(|place| self.places[*place] == FREE) else {
            return false;
        };
        self.places[place] = u8::try_from(field.slot()).expect("fewer than 32 fields in a set");
        self.names[field.slot()] = Some(name.into());
        self.marks[field.slot()] = mark(name);
        true
    }

    /// Our field of a source's field name, or `None` for one that is not ours.
    #[inline]
    #[must_use]
    pub fn field(&self, name: &str) -> Option<F> {
        F::ALL.get(usize::from(self.slot(name)?)).copied()
    }

    /// Its place among all fields.
    #[inline]
    pub(super) fn slot(&self, name: &str) -> Option<u8> {
        for place in probe(name) {
            let slot = self.places[place];
            let held = self.names.get(usize::from(slot))?.as_deref()?;
            if is_same(held.as_bytes(), name.as_bytes()) {
                return Some(slot);
            }
        }
        None
    }

    /// What stands in a record where a field's key is written as usual; `None` where that is not known.
    #[inline]
    pub(super) fn mark(&self, slot: u8) -> Option<&Mark> {
        self.marks.get(usize::from(slot))?.as_ref()
    }

    /// The source's name of our field.
    #[inline]
    #[must_use]
    pub fn name(&self, field: F) -> Option<&str> {
        self.names.get(field.slot())?.as_deref()
    }

    /// Whether the source delivers none of these fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.iter().all(Option::is_none)
    }
}

/// `,"NAME":`; `None` for a name that is long, or that a record has to write with escapes.
fn mark(name: &str) -> Option<Mark> {
    let is_escaped = |byte: u8| byte < 0x20 || matches!(byte, b'"' | b'\\');
    if name.bytes().any(is_escaped) {
        return None;
    }
    Mark::new(format!(",\"{name}\":").as_bytes())
}

/// Whether two names are the same. Nearly always they are, and short: in place, where the call of a
/// general comparison costs more than the comparison.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match (one.first_chunk::<8>(), other.first_chunk::<8>(), one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(first), Some(other_first), Some(last), Some(other_last)) => {
            first == other_first && last == other_last && (one.len() <= 16 || one == other)
        }
        _ => match (one.first_chunk::<4>(), other.first_chunk::<4>(), one.last_chunk::<4>(), other.last_chunk::<4>()) {
            (Some(first), Some(other_first), Some(last), Some(other_last)) => {
                first == other_first && last == other_last
            }
            _ => one.iter().eq(other),
        },
    }
}

/// Places where a name may stand, in the order in which they are tried.
#[inline]
fn probe(name: &str) -> impl Iterator<Item = usize> + use<> {
    // The seven highest bits, which number the places.
    let [_, _, _, _, _, _, _, high] = fingerprint(name.as_bytes()).to_le_bytes();
    let first = usize::from(high >> 1);
    (first..first + PLACES).map(|place| place % PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_finds_its_field_and_no_other_does(
            names in proptest::collection::hash_set("[A-Z_]{0,20}", EmploymentField::ALL.len()),
            other in "[A-Z_]{0,20}",
        ) {
            let mut table = Names::<EmploymentField>::empty();
            for (field, name) in EmploymentField::ALL.iter().zip(&names) {
                prop_assert!(table.insert(*field, name));
                prop_assert!(!table.insert(*field, name));
            }
            for (field, name) in EmploymentField::ALL.iter().zip(&names) {
                prop_assert_eq!(table.field(name), Some(*field));
                prop_assert_eq!(table.name(*field), Some(name.as_str()));
            }
            prop_assert_eq!(table.field(&other).is_some(), names.contains(&other));
        }
    }

    #[test]
    fn a_source_may_deliver_nothing() {
        let table = Names::<PersonField>::empty();
        assert!(table.is_empty());
        assert_eq!(table.field("NIK"), None);
        assert_eq!(table.name(PersonField::Nik), None);
    }
}
