//! What has really been given out, as far as the truth depends on it.

use std::collections::BTreeMap;

use crate::book::Row;
use crate::calendar::Stamp;
use crate::person::Person;
use crate::population::{Fate, Population};
use crate::record::Shape;

/// A bad record that was given out: worker, revision, and whether by the older service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BadRecord {
    pub(crate) index: u32,
    pub(crate) revision: u32,
    pub(crate) biodata: bool,
}

/// Bad records that were given out, and the last good ones of workers who are bad at some time. For everybody
/// else the current record is the truth and nothing needs to be kept.
#[derive(Debug, Default)]
pub(crate) struct Served {
    good: BTreeMap<(u32, bool), Row>,
    bad: BTreeMap<BadRecord, Stamp>,
}

impl Served {
    /// Whether it matters for the truth that this record is given out.
    pub(crate) fn wants(population: &Population, person: &Person, shape: Shape) -> bool {
        shape.is_bad(person) || population.fate(person.index) != Fate::Good
    }

    /// Takes note of a record that was given out.
    pub(crate) fn note(&mut self, person: &Person, shape: Shape) {
        let biodata = shape != Shape::SdmkModified;
        let (index, revision, stamp) = (person.index, person.revision, person.stamp);
        if shape.is_bad(person) {
            self.bad.insert(BadRecord { index, revision, biodata }, stamp);
        } else {
            let row = Row { index, revision, stamp };
            let kept = self.good.entry((index, biodata)).or_insert(row);
            if kept.revision <= revision {
                *kept = row;
            }
        }
    }

    /// The last good record of a worker that was given out.
    pub(crate) fn last_good(&self, index: u32, shape: Shape) -> Option<Row> {
        self.good.get(&(index, shape != Shape::SdmkModified)).copied()
    }

    /// The bad records after `last`, in order, at most `count`.
    pub(crate) fn bad_after(&self, last: Option<BadRecord>, count: usize) -> Vec<(BadRecord, Stamp)> {
        use std::ops::Bound;
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.bad.range((from, Bound::Unbounded)).take(count).map(|(key, stamp)| (*key, *stamp)).collect()
    }
}
