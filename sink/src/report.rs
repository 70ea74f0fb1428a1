//! The sink's share of the ledger: which positions of `sisdmk.clean` a transaction has taken, and
//! what became of the records there.
//!
//! A range covers positions, not records: it begins where the one before it ended, so compacted
//! gaps and transaction markers belong to the range that skipped them, and all ranges of a
//! partition tile it. A range holds records of one batch only.

use std::collections::BTreeMap;

use uuid::Uuid;

/// What became of the records of one range. Each number is counted where it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records read.
    pub(crate) clean_in: i64,
    /// Persons seen for the first time.
    pub(crate) inserted: i64,
    /// Persons whose row changed.
    pub(crate) updated: i64,
    /// Persons marked as deleted.
    pub(crate) deleted: i64,
    /// Records that say what the row says already.
    pub(crate) sink_equal: i64,
    /// Records older than the row.
    pub(crate) sink_stale: i64,
    /// Records beaten by another one of the same transaction.
    pub(crate) superseded: i64,
    /// Records set aside in `sisdmk.dlq`.
    pub(crate) rejected: i64,
    /// Records that contradict another one with the same `last_updated`, whatever became of them.
    pub(crate) conflict: i64,
}

impl Counts {
    /// Name and number of each, as in a stage report.
    pub(crate) fn named(&self) -> [(&'static str, i64); 9] {
        [
            ("clean_in", self.clean_in),
            ("inserted", self.inserted),
            ("updated", self.updated),
            ("deleted", self.deleted),
            ("sink_equal", self.sink_equal),
            ("sink_stale", self.sink_stale),
            ("superseded", self.superseded),
            ("rejected", self.rejected),
            ("conflict", self.conflict),
        ]
    }

    /// `clean_in` is the sum of what became of the records. Where it is not, a record was counted
    /// twice or not at all, which is a bug.
    pub(crate) fn ties(&self) -> bool {
        let outcomes = [
            self.inserted,
            self.updated,
            self.deleted,
            self.sink_equal,
            self.sink_stale,
            self.superseded,
            self.rejected,
        ];
        self.clean_in == outcomes.iter().sum::<i64>()
    }
}

/// Records of one batch that stand one after the other in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// First position covered.
    pub(crate) first_offset: i64,
    /// Position after the last one covered.
    pub(crate) next_offset: i64,
    /// The batch of every record in it; the nil UUID for records that name none.
    pub(crate) batch_id: Uuid,
    /// What became of them.
    pub(crate) counts: Counts,
}

impl Run {
    /// The counts as the JSON of `audit.stage_report`.
    pub(crate) fn counts_json(&self) -> String {
        let counts: BTreeMap<_, _> = self.counts.named().into_iter().collect();
        serde_json::to_string(&counts).expect("names and numbers are always JSON")
    }
}

/// Cuts a transaction's records into runs.
///
/// Shape: `position` is where the partition was left by the transaction before; `records` gives
/// offset and batch of each record, in offset order.
/// Result: runs that tile from `position` to the position after the last record, with `clean_in`
/// filled in; and for each record the number of its run.
pub(crate) fn runs(position: i64, records: impl Iterator<Item = (i64, Uuid)>) -> (Vec<Run>, Vec<usize>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut run_of = Vec::with_capacity(records.size_hint().0);
    for (offset, batch_id) in records {
        let first_offset = match runs.last_mut() {
            Some(run) if run.batch_id == batch_id => None,
            Some(run) => {
                // The gap before this record was skipped on the way to it.
                Some(run.next_offset)
            }
            None => Some(position),
        };
        if let Some(first_offset) = first_offset {
            runs.push(Run { first_offset, next_offset: offset, batch_id, counts: Counts::default() });
        }
        if let Some(run) = runs.last_mut() {
            run.next_offset = offset + 1;
            run.counts.clean_in += 1;
        }
        run_of.push(runs.len() - 1);
    }
    (runs, run_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn check(position: i64, records: &[(i64, u128)], expected: &[(i64, i64, u128, i64)], run_of: &[usize]) {
        let (runs, of) = runs(position, records.iter().map(|&(offset, batch)| (offset, id(batch))));
        let found: Vec<_> = runs
            .iter()
            .map(|run| (run.first_offset, run.next_offset, run.batch_id.as_u128(), run.counts.clean_in))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(of, run_of);
    }

    #[test]
    fn runs_tile_and_hold_one_batch_each() {
        check(0, &[(0, 1), (1, 1)], &[(0, 2, 1, 2)], &[0, 0]);
        check(5, &[(5, 1), (6, 2), (7, 1)], &[(5, 6, 1, 1), (6, 7, 2, 1), (7, 8, 1, 1)], &[0, 1, 2]);
        check(0, &[(3, 0)], &[(0, 4, 0, 1)], &[0]);
        check(9, &[], &[], &[]);
    }

    #[test]
    fn gaps_belong_to_the_run_that_skips_them() {
        check(10, &[(14, 1), (20, 1), (25, 2)], &[(10, 21, 1, 2), (21, 26, 2, 1)], &[0, 0, 1]);
    }

    #[test]
    fn counts_tie_only_when_every_record_is_counted_once() {
        let mut counts =
            Counts { clean_in: 7, inserted: 1, updated: 1, deleted: 1, sink_equal: 1, ..Counts::default() };
        assert!(!counts.ties());
        (counts.sink_stale, counts.superseded, counts.rejected) = (1, 1, 1);
        assert!(counts.ties());
        counts.conflict = 5;
        assert!(counts.ties(), "a conflict is a remark, not an outcome");
        counts.clean_in = 6;
        assert!(!counts.ties());
    }
}
