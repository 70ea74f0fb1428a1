//! Finding the rows that Postgres refuses, without its words.
//!
//! A refused row fails its whole statement, and the server's text about it holds the row's values,
//! so it is not read. Instead the rows are tried in halves: one bad row among 20,000 is found in
//! about 30 trials. Pure: the caller tries ranges and says how each went.

use std::ops::Range;

/// A search over rows `0..n`.
#[derive(Debug)]
pub(crate) struct Bisection<R> {
    /// Ranges still to be tried, the next one last.
    open: Vec<Range<usize>>,
    /// Ranges known to hold a bad row that are not worth a trial of their own.
    found: Vec<(usize, R)>,
}

impl<R> Bisection<R> {
    /// A search over rows that were refused together. A single row is its own answer: `refusal`.
    pub(crate) fn new(rows: usize, refusal: R) -> Self {
        let mut search = Self { open: Vec::new(), found: Vec::new() };
        search.refused(0..rows, refusal);
        search
    }

    /// The rows to try next; none: the search is over.
    pub(crate) fn next_trial(&mut self) -> Option<Range<usize>> {
        self.open.pop()
    }

    /// These rows were refused together.
    pub(crate) fn refused(&mut self, rows: Range<usize>, refusal: R) {
        match rows.len() {
            0 => {}
            1 => self.found.push((rows.start, refusal)),
            length => {
                let middle = rows.start + length / 2;
                self.open.push(middle..rows.end);
                self.open.push(rows.start..middle);
            }
        }
    }

    /// The bad rows, each with the refusal of its own trial. Empty when the rows were refused
    /// together and taken apart, which is no fault of any single row.
    pub(crate) fn into_found(self) -> Vec<(usize, R)> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(rows: usize, bad: &[usize]) -> (Vec<usize>, usize) {
        let refused = |range: &Range<usize>| bad.iter().any(|row| range.contains(row));
        let mut search = Bisection::new(rows, ());
        let mut trials = 0;
        while let Some(range) = search.next_trial() {
            trials += 1;
            if refused(&range) {
                search.refused(range, ());
            }
        }
        let mut found: Vec<_> = search.into_found().into_iter().map(|(row, ())| row).collect();
        found.sort_unstable();
        (found, trials)
    }

    #[test]
    fn bad_rows_are_found_wherever_they_stand() {
        for bad in [&[0][..], &[499], &[250], &[0, 499], &[7, 8, 9], &[0, 1, 2, 3, 4]] {
            assert_eq!(search(500, bad).0, bad);
        }
        assert_eq!(search(1, &[0]), (vec![0], 0));
        assert_eq!(search(3, &[0, 1, 2]).0, [0, 1, 2]);
    }

    #[test]
    fn one_bad_row_costs_a_few_trials() {
        assert!(search(20_000, &[12_345]).1 <= 30);
    }

    #[test]
    fn rows_that_are_refused_only_together_name_nobody() {
        let mut search = Bisection::new(4, ());
        while search.next_trial().is_some() {}
        assert!(search.into_found().is_empty());
    }
}
