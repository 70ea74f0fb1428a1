//! The state that changes: each worker's revision and stamp, twelve bytes a worker, and nothing else.

use std::ops::Range;

use crate::calendar::Stamp;
use crate::dice::Shuffle;
use crate::population::Population;

/// Workers per summary of stamps. A filtered read looks into a chunk only where its stamps may match.
const CHUNK: usize = 512;

/// Which stamps a request asks for; both ends belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) since: Option<Stamp>,
    pub(crate) until: Option<Stamp>,
}

impl Window {
    fn bounds(self) -> (i64, i64) {
        (self.since.map_or(i64::MIN, |it| it.0), self.until.map_or(i64::MAX, |it| it.0))
    }
}

/// One line of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) index: u32,
    pub(crate) revision: u32,
    pub(crate) stamp: Stamp,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    oldest: i64,
    newest: i64,
}

/// Revisions and stamps of everybody.
#[derive(Debug)]
pub(crate) struct Book {
    revisions: Vec<u32>,
    stamps: Vec<i64>,
    spans: Vec<Span>,
    order: Shuffle,
    changes: u64,
    bad: u64,
}

impl Book {
    pub(crate) fn new(population: &Population) -> Self {
        let workers = population.make.workers;
        let stamps: Vec<i64> = (0..workers).map(|index| population.first_stamp(index).0).collect();
        let spans = stamps.chunks(CHUNK).map(span).collect();
        let bad = (0..workers).filter(|index| population.fate(*index).is_bad_at(0)).count();
        Self {
            revisions: vec![0; workers as usize],
            stamps,
            spans,
            order: Shuffle::new(population.make.seed, 1, u64::from(workers).max(1)),
            changes: 0,
            bad: bad as u64,
        }
    }

    /// How many changes there have been.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// How many workers have a bad record now.
    pub(crate) fn bad(&self) -> u64 {
        self.bad
    }

    /// A worker's revision and stamp.
    pub(crate) fn row(&self, index: u32) -> Row {
        let at = index as usize;
        Row { index, revision: self.revisions[at], stamp: Stamp(self.stamps[at]) }
    }

    /// Changes `count` workers at `now`: nobody twice before everybody has had a turn.
    /// Result: how many were changed, which is all of them unless there is nobody.
    pub(crate) fn change(&mut self, population: &Population, count: u64, now: Stamp) -> u64 {
        let workers = u64::from(population.make.workers);
        if workers == 0 {
            return 0;
        }
        for _ in 0..count {
            let index = u32::try_from(self.order.at(self.changes % workers)).expect("an index");
            self.change_one(population, index, now);
            self.changes += 1;
        }
        count
    }

    fn change_one(&mut self, population: &Population, index: u32, now: Stamp) {
        let at = index as usize;
        let fate = population.fate(index);
        let was_bad = fate.is_bad_at(self.revisions[at]);
        self.revisions[at] = self.revisions[at].saturating_add(1);
        // Strictly later than the last one, whatever the host's clock does.
        self.stamps[at] = now.0.max(self.stamps[at] + 1);
        match (was_bad, fate.is_bad_at(self.revisions[at])) {
            (true, false) => self.bad -= 1,
            (false, true) => self.bad += 1,
            (true, true) | (false, false) => {}
        }
        let first = at / CHUNK * CHUNK;
        self.spans[at / CHUNK] = span(&self.stamps[first..(first + CHUNK).min(self.stamps.len())]);
    }

    /// The workers of `range` in `window`: how many there are, and those from `offset` on, at most `limit`.
    pub(crate) fn select(&self, range: Range<u32>, window: Window, offset: usize, limit: usize) -> (usize, Vec<Row>) {
        if window == Window::default() {
            let total = range.len();
            return (total, range.skip(offset).take(limit).map(|index| self.row(index)).collect());
        }
        let (since, until) = window.bounds();
        let mut rows = Vec::with_capacity(limit);
        let mut total = 0;
        let mut at = range.start as usize;
        let end = range.end as usize;
        while at < end {
            let chunk_end = ((at / CHUNK + 1) * CHUNK).min(end);
            let span = self.spans[at / CHUNK];
            if span.newest >= since && span.oldest <= until {
                let all = span.oldest >= since && span.newest <= until;
                if all && (total + chunk_end - at <= offset || rows.len() == limit) {
                    total += chunk_end - at;
                } else {
                    for (place, stamp) in (at..chunk_end).zip(&self.stamps[at..chunk_end]) {
                        if (since..=until).contains(stamp) {
                            if total >= offset && rows.len() < limit {
                                rows.push(self.row(u32::try_from(place).expect("an index")));
                            }
                            total += 1;
                        }
                    }
                }
            }
            at = chunk_end;
        }
        (total, rows)
    }
}

fn span(stamps: &[i64]) -> Span {
    Span {
        oldest: stamps.iter().copied().min().unwrap_or(i64::MAX),
        newest: stamps.iter().copied().max().unwrap_or(i64::MIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::tests::make;

    /// The same question, answered by looking at everybody.
    fn by_looking(book: &Book, range: Range<u32>, window: Window, offset: usize, limit: usize) -> (usize, Vec<Row>) {
        let (since, until) = window.bounds();
        let all: Vec<Row> =
            range.map(|index| book.row(index)).filter(|row| (since..=until).contains(&row.stamp.0)).collect();
        (all.len(), all.into_iter().skip(offset).take(limit).collect())
    }

    #[test]
    fn every_page_of_every_window_is_what_a_look_at_everybody_gives() {
        let population = Population::new(make(5_000));
        let mut book = Book::new(&population);
        let start = population.make.started_at;
        for round in 0..12 {
            let now = Stamp(start.0 + round * 1_000_000);
            book.change(&population, 97, now);
            let windows = [
                Window::default(),
                Window { since: Some(now), until: None },
                Window { since: Some(Stamp(now.0 - 2_000_000)), until: Some(Stamp(now.0 - 1)) },
                Window { since: Some(population.first_stamp(17)), until: None },
                Window { since: None, until: Some(population.first_stamp(99)) },
                Window { since: Some(Stamp(now.0 + 1)), until: None },
            ];
            for window in windows {
                for range in [0..5_000, 0..0, 511..513, 700..4_321] {
                    for (offset, limit) in [(0, 100), (100, 100), (4_950, 100), (9_000, 10), (3, 1)] {
                        assert_eq!(
                            book.select(range.clone(), window, offset, limit),
                            by_looking(&book, range.clone(), window, offset, limit),
                            "round {round}, {window:?}, {range:?}, {offset}, {limit}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_change_is_later_than_the_last_even_if_the_clock_is_not() {
        let population = Population::new(make(3));
        let mut book = Book::new(&population);
        let before: Vec<Row> = (0..3).map(|index| book.row(index)).collect();
        book.change(&population, 3, Stamp(0));
        for row in before {
            let after = book.row(row.index);
            assert_eq!(after.revision, 1);
            assert!(after.stamp > row.stamp);
        }
    }

    #[test]
    fn the_count_of_bad_records_follows_the_changes() {
        let population = Population::new(make(4_000));
        let mut book = Book::new(&population);
        for _ in 0..3 {
            book.change(&population, 3_000, population.make.started_at);
            let bad = (0..4_000).filter(|it| population.fate(*it).is_bad_at(book.row(*it).revision)).count();
            assert_eq!(book.bad(), bad as u64);
        }
        assert_eq!(book.changes(), 9_000);
    }
}
