//! The headers that a record carries on from topic to topic, read once for all records of a page.

use crate::provenance::Provenance;

/// Headers that go from the raw record to the clean one and to the dead letter, in this order.
pub const CARRIED: [&str; 9] = [
    "sisdmk-batch-id",
    "sisdmk-request-id",
    "sisdmk-fetched-at",
    "sisdmk-source",
    "traceparent",
    "sisdmk-replay-of",
    "sisdmk-origin-batch-id",
    "dlq.attempts",
    "dlq.first.failed.at",
];

/// The carried headers of one record, borrowed from it. The last one of a name counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried<'a>([Option<&'a [u8]>; CARRIED.len()]);

impl<'a> Carried<'a> {
    /// Picks them out of all headers of a record.
    pub fn of(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Self {
        let mut values = [None; CARRIED.len()];
        for (name, value) in headers {
            if let Some(slot) = CARRIED.iter().position(|carried| carried.as_bytes() == name) {
                values[slot] = value;
            }
        }
        Self(values)
    }

    /// Those that are there.
    pub fn present(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + '_ {
        CARRIED.into_iter().zip(self.0).filter_map(|(name, value)| Some((name, value?)))
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        CARRIED.iter().position(|carried| *carried == name).and_then(|slot| self.0[slot])
    }

    fn provenance(&self) -> Provenance {
        Provenance::read(|name| self.get(name))
    }
}

/// What the last record carried, so that the hundred records of a page are read once.
#[derive(Debug, Default)]
pub struct LastCarried<S> {
    values: [Option<Vec<u8>>; CARRIED.len()],
    read: Option<(Provenance, S)>,
}

impl<S> LastCarried<S> {
    /// What these headers say, and what `make` made of them: both are kept for the next record.
    pub fn read(&mut self, carried: &Carried<'_>, make: impl FnOnce(&Carried<'_>) -> S) -> (&Provenance, &S) {
        let same = self.values.iter().map(Option::as_deref).eq(carried.0);
        let read = match self.read.take().filter(|_| same) {
            Some(read) => read,
            None => {
                self.values = carried.0.map(|value| value.map(<[u8]>::to_vec));
                (carried.provenance(), make(carried))
            }
        };
        let (provenance, made) = self.read.insert(read);
        (provenance, made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Header = (&'static [u8], Option<&'static [u8]>);

    const PAGE: [Header; 3] = [
        (b"sisdmk-batch-id", Some(b"0193a000-0000-7000-8000-000000000001")),
        (b"foreign", Some(b"x")),
        (b"sisdmk-batch-id", Some(b"0193a000-0000-7000-8000-000000000002")),
    ];

    #[test]
    fn the_last_header_of_a_name_counts_and_foreign_ones_stay_behind() {
        let carried = Carried::of(PAGE.into_iter());
        let present: Vec<_> = carried.present().map(|(name, _)| name).collect();
        assert_eq!(present, ["sisdmk-batch-id"]);
        assert!(carried.provenance().batch_id.to_string().ends_with('2'));
    }

    #[test]
    fn equal_headers_are_made_into_something_once() {
        let mut last = LastCarried::default();
        let mut made = 0;
        for headers in [&PAGE[..1], &PAGE[..1], &PAGE[2..], &PAGE[..1]] {
            let carried = Carried::of(headers.iter().copied());
            last.read(&carried, |_| made += 1);
        }
        assert_eq!(made, 3);
    }
}
