//! The processor's share of the ledger: which positions of `sisdmk.raw` it has taken, and what became of them.
//!
//! A range covers positions, not records: it begins where the previous one of its partition ended, so the
//! transaction markers between two records belong to the range that skipped them, and all ranges of a
//! partition tile it without a gap. A range holds records of one batch only.

use std::collections::BTreeMap;

use rules::FieldCounts;
use uuid::Uuid;

/// What became of one raw record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Published to `sisdmk.clean`.
    Clean,
    /// Published to `sisdmk.dlq`; the stable code of the first reason.
    Dead(&'static str),
    /// It says what is known; not published.
    Equal,
    /// Something newer of its person is known; not published.
    Stale,
}

/// Records of one batch, taken one after the other from one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Partition of `sisdmk.raw`.
    pub partition: i32,
    /// First position covered.
    pub first_offset: i64,
    /// Position after the last one covered.
    pub next_offset: i64,
    /// The batch of every record in it; the nil UUID for records that name none.
    pub batch_id: Uuid,
    /// Records read. Each ends as one of the four that follow.
    pub raw_in: i64,
    /// Records published to `sisdmk.clean`.
    pub clean: i64,
    /// Records published to `sisdmk.dlq`.
    pub dlq: i64,
    /// Records that say what is known.
    pub processor_equal: i64,
    /// Records that are older than what is known.
    pub processor_stale: i64,
    /// Records with the `last_updated` of what is known and another content, whoever won.
    pub conflict: i64,
    /// Dead letters by first reason code.
    pub dlq_by_code: BTreeMap<&'static str, i64>,
    /// Fields whose name the profile does not declare.
    pub field_unknown: i64,
    /// Declared names that records did not have.
    pub field_missing: i64,
}

impl Run {
    fn new(partition: i32, first_offset: i64, batch_id: Uuid) -> Self {
        Self {
            partition,
            first_offset,
            next_offset: first_offset,
            batch_id,
            raw_in: 0,
            clean: 0,
            dlq: 0,
            processor_equal: 0,
            processor_stale: 0,
            conflict: 0,
            dlq_by_code: BTreeMap::new(),
            field_unknown: 0,
            field_missing: 0,
        }
    }

    /// The counts of a stage report; a count of the catalogue is there even when it is zero.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, i64> {
        let mut counts: BTreeMap<String, i64> = [
            ("raw_in", self.raw_in),
            ("clean", self.clean),
            ("dlq", self.dlq),
            ("processor_equal", self.processor_equal),
            ("processor_stale", self.processor_stale),
            ("deletes_found", 0),
            ("conflict", self.conflict),
            ("field_unknown", self.field_unknown),
            ("field_missing", self.field_missing),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
        for (code, count) in &self.dlq_by_code {
            counts.insert(format!("dlq.{code}"), *count);
        }
        counts
    }
}

/// The ranges of one transaction, partition by partition.
#[derive(Debug, Default)]
pub struct Runs {
    /// Position up to which each assigned partition is accounted for by a committed transaction.
    committed: BTreeMap<i32, i64>,
    open: BTreeMap<i32, Vec<Run>>,
}

impl Runs {
    /// Starts to account for `partition` from `position`, its committed offset.
    pub fn assign(&mut self, partition: i32, position: i64) {
        self.open.remove(&partition);
        self.committed.insert(partition, position);
    }

    /// Forgets `partition`; what was open on it is not accounted for.
    pub fn revoke(&mut self, partition: i32) {
        self.open.remove(&partition);
        self.committed.remove(&partition);
    }

    /// Partitions accounted for at present.
    pub fn assigned(&self) -> impl Iterator<Item = i32> + '_ {
        self.committed.keys().copied()
    }

    /// Whether a record of this partition may be taken: it is assigned, and `offset` was not taken before.
    #[must_use]
    pub fn expects(&self, partition: i32, offset: i64) -> bool {
        self.position(partition).is_some_and(|position| offset >= position)
    }

    fn position(&self, partition: i32) -> Option<i64> {
        let committed = *self.committed.get(&partition)?;
        let last = self.open.get(&partition).and_then(|runs| runs.last());
        Some(last.map_or(committed, |run| run.next_offset))
    }

    /// Accounts for one record. The partition must be assigned; a record of another one is ignored,
    /// because its offset will not be committed either.
    pub fn take(&mut self, partition: i32, offset: i64, batch_id: Uuid, outcome: Outcome) {
        let Some(position) = self.position(partition) else {
            return;
        };
        let runs = self.open.entry(partition).or_default();
        if runs.last().is_none_or(|run| run.batch_id != batch_id) {
            runs.push(Run::new(partition, position, batch_id));
        }
        let Some(run) = runs.last_mut() else { return };
        run.next_offset = offset + 1;
        run.raw_in += 1;
        match outcome {
            Outcome::Clean => run.clean += 1,
            Outcome::Dead(code) => {
                run.dlq += 1;
                *run.dlq_by_code.entry(code).or_default() += 1;
            }
            Outcome::Equal => run.processor_equal += 1,
            Outcome::Stale => run.processor_stale += 1,
        }
    }

    /// The record taken last on this partition contradicts what is known under the same `last_updated`.
    pub fn count_conflict(&mut self, partition: i32) {
        if let Some(run) = self.open.get_mut(&partition).and_then(|runs| runs.last_mut()) {
            run.conflict += 1;
        }
    }

    /// Adds to the run of the record taken last on this partition how its fields differ from the profile.
    pub fn count_fields(&mut self, partition: i32, fields: FieldCounts) {
        if let Some(run) = self.open.get_mut(&partition).and_then(|runs| runs.last_mut()) {
            run.field_unknown += i64::from(fields.unknown);
            run.field_missing += i64::from(fields.missing);
        }
    }

    /// Moves a partition to the end of its log where nothing but transaction markers was left,
    /// so that an idle processor shows no lag. The positions count for the nil batch.
    pub fn skip_to(&mut self, partition: i32, end: i64) {
        let Some(position) = self.position(partition) else {
            return;
        };
        if end <= position {
            return;
        }
        let runs = self.open.entry(partition).or_default();
        match runs.last_mut() {
            Some(run) => run.next_offset = end,
            None => {
                let mut run = Run::new(partition, position, Uuid::nil());
                run.next_offset = end;
                runs.push(run);
            }
        }
    }

    /// The ranges of the open transaction, in partition and position order.
    pub fn open(&self) -> impl Iterator<Item = &Run> {
        self.open.values().flatten()
    }

    /// Whether the open transaction accounts for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Offsets that the open transaction would commit: one for each partition it touched.
    #[must_use]
    pub fn next_offsets(&self) -> Vec<(i32, i64)> {
        self.open.iter().filter_map(|(partition, runs)| Some((*partition, runs.last()?.next_offset))).collect()
    }

    /// The transaction is known to have ended well.
    pub fn commit(&mut self) {
        for (partition, next_offset) in self.next_offsets() {
            self.committed.insert(partition, next_offset);
        }
        self.open.clear();
    }

    /// The transaction left nothing behind.
    pub fn abort(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn ranges(runs: &Runs) -> Vec<(i32, i64, i64, Uuid, i64)> {
        runs.open().map(|run| (run.partition, run.first_offset, run.next_offset, run.batch_id, run.raw_in)).collect()
    }

    #[test]
    fn ranges_tile_the_partition_over_markers_and_batches() {
        let mut runs = Runs::default();
        runs.assign(0, 10);
        runs.take(0, 12, A, Outcome::Clean);
        runs.take(0, 13, A, Outcome::Dead("nik_length"));
        runs.take(0, 17, B, Outcome::Clean);
        assert_eq!(ranges(&runs), [(0, 10, 14, A, 2), (0, 14, 18, B, 1)]);
        assert_eq!(runs.next_offsets(), [(0, 18)]);
        runs.commit();
        runs.take(0, 20, B, Outcome::Clean);
        assert_eq!(ranges(&runs), [(0, 18, 21, B, 1)]);
    }

    #[test]
    fn an_aborted_transaction_is_accounted_for_again() {
        let mut runs = Runs::default();
        runs.assign(3, 0);
        runs.take(3, 0, A, Outcome::Clean);
        runs.abort();
        assert!(runs.is_empty());
        runs.take(3, 0, A, Outcome::Clean);
        assert_eq!(ranges(&runs), [(3, 0, 1, A, 1)]);
    }

    #[test]
    fn a_revoked_partition_takes_nothing() {
        let mut runs = Runs::default();
        runs.assign(0, 0);
        runs.take(0, 0, A, Outcome::Clean);
        runs.revoke(0);
        runs.take(0, 1, A, Outcome::Clean);
        assert!(runs.is_empty());
        assert!(!runs.expects(0, 2));
    }

    #[test]
    fn a_record_taken_before_is_not_expected_again() {
        let mut runs = Runs::default();
        runs.assign(0, 5);
        assert!(!runs.expects(0, 4));
        runs.take(0, 5, A, Outcome::Clean);
        assert!(!runs.expects(0, 5));
        assert!(runs.expects(0, 6));
    }

    #[test]
    fn markers_at_the_end_of_an_idle_partition_are_covered() {
        let mut runs = Runs::default();
        runs.assign(0, 5);
        runs.skip_to(0, 5);
        assert!(runs.is_empty());
        runs.skip_to(0, 7);
        assert_eq!(ranges(&runs), [(0, 5, 7, Uuid::nil(), 0)]);
        runs.commit();
        runs.take(0, 9, A, Outcome::Clean);
        runs.skip_to(0, 11);
        assert_eq!(ranges(&runs), [(0, 7, 11, A, 1)]);
    }

    #[test]
    fn what_is_not_published_is_counted_and_every_record_has_one_end() {
        let mut runs = Runs::default();
        runs.assign(0, 0);
        for (offset, outcome) in
            [Outcome::Clean, Outcome::Equal, Outcome::Equal, Outcome::Stale, Outcome::Dead("nik_length")]
                .into_iter()
                .enumerate()
        {
            runs.take(0, i64::try_from(offset).expect("small"), A, outcome);
        }
        // A contradiction is a remark, not an outcome.
        runs.count_conflict(0);
        runs.count_conflict(1);
        let counts = runs.open().next().expect("one run").counts();
        let [clean, dlq, equal, stale] =
            ["clean", "dlq", "processor_equal", "processor_stale"].map(|name| counts[name]);
        assert_eq!((clean, dlq, equal, stale, counts["conflict"]), (1, 1, 2, 1, 1));
        assert_eq!(counts["raw_in"], clean - counts["deletes_found"] + dlq + equal + stale);
    }

    #[test]
    fn counts_name_every_outcome_and_the_codes() {
        let mut runs = Runs::default();
        runs.assign(0, 0);
        runs.take(0, 0, A, Outcome::Dead("nik_length"));
        runs.take(0, 1, A, Outcome::Dead("nik_length"));
        runs.count_fields(0, FieldCounts { unknown: 1, missing: 2 });
        runs.take(0, 2, A, Outcome::Clean);
        runs.count_fields(0, FieldCounts { unknown: 0, missing: 3 });
        // Nobody has this partition.
        runs.count_fields(1, FieldCounts { unknown: 7, missing: 7 });
        let counts = runs.open().next().expect("one run").counts();
        assert_eq!(counts["raw_in"], 3);
        assert_eq!(counts["clean"], 1);
        assert_eq!(counts["dlq"], 2);
        assert_eq!(counts["dlq.nik_length"], 2);
        assert_eq!(counts["processor_stale"], 0);
        assert_eq!(counts["deletes_found"], 0);
        assert_eq!((counts["field_unknown"], counts["field_missing"]), (1, 5));
    }
}
