//! Which records of a batch are written, in which order.
//!
//! A key cannot be copied in twice, nor a row be changed twice by one command, and a row written twice
//! in one transaction is work for nothing: of the records with one key only the newest is written, the
//! others are `superseded`. Keys are sorted, because neighbours in the index are neighbours in
//! memory. Pure: positions in, positions out.

use schemas::PersonId;
use schemas::Timestamp;
use schemas::version::{self, Outcome, Stamp, Version};

/// What the plan needs to know of one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Whose record it is.
    pub(crate) person_id: PersonId,
    /// What it says.
    pub(crate) word: Word,
}

/// What a record says about its person.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// This is the state.
    State(Version, Stamp),
    /// The source no longer lists the person; when that was seen.
    Gone(Timestamp),
}

/// The records to write, as positions in the batch.
///
/// The three steps are done one after the other in one transaction; within a step no key occurs
/// twice. `after` is empty but for the rare batch in which a person goes and comes back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WritePlan {
    /// States from before their person's deletion, and of everybody who was not deleted; by key.
    pub(crate) before: Vec<usize>,
    /// Deletions, by key.
    pub(crate) deletions: Vec<usize>,
    /// States that the source gave out after it had been seen without the person; by key.
    pub(crate) after: Vec<usize>,
    /// Records beaten by another one of the same batch.
    pub(crate) superseded: Vec<usize>,
    /// Records that contradict another one of the same batch with the same `last_updated`.
    pub(crate) conflicts: Vec<usize>,
}

impl WritePlan {
    /// Records that are written.
    pub(crate) fn rows(&self) -> usize {
        self.before.len() + self.deletions.len() + self.after.len()
    }

    /// The part of the plan that consists of rows `from..to`, counted over the three steps.
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        let mut part = Self::default();
        let mut start = 0;
        for (step, kept) in
            [(&self.before, &mut part.before), (&self.deletions, &mut part.deletions), (&self.after, &mut part.after)]
        {
            let end = start + step.len();
            let (low, high) = (from.clamp(start, end) - start, to.clamp(start, end) - start);
            kept.extend_from_slice(&step[low..high.max(low)]);
            start = end;
        }
        part
    }
}

/// Plans a batch.
///
/// Shape: the records of one partition in offset order; `None` for those that are set aside (not
/// readable, or refused before), which count nowhere here. Keys may repeat.
/// Result: every `Some` is in exactly one of the steps or in `superseded`.
///
/// Within a batch the order of arrival decides nothing but who is called superseded: whichever
/// order the same records come in, the same row is left behind, as with one record a transaction.
pub(crate) fn plan(entries: &[Option<Entry>]) -> WritePlan {
    let mut order: Vec<(PersonId, usize)> = entries
        .iter()
        .enumerate()
        .filter_map(|(position, entry)| entry.map(|entry| (entry.person_id, position)))
        .collect();
    order.sort_unstable();
    let word = |position: usize| entries[position].map(|entry| entry.word);

    let mut plan = WritePlan::default();
    plan.before.reserve(order.len());
    for group in order.chunk_by(|one, other| one.0 == other.0) {
        let mut deletion: Option<(usize, Timestamp)> = None;
        for &(_, position) in group {
            let Some(Word::Gone(at)) = word(position) else { continue };
            let beaten = match deletion {
                Some((_, newest)) if at <= newest => Some(position),
                Some((earlier, _)) => {
                    deletion = Some((position, at));
                    Some(earlier)
                }
                None => {
                    deletion = Some((position, at));
                    None
                }
            };
            plan.superseded.extend(beaten);
        }
        let (mut before, mut after) = (None, None);
        for &(_, position) in group {
            let Some(Word::State(version, stamp)) = word(position) else { continue };
            let came_back = deletion.is_some_and(|(_, at)| version.fetched_at > at);
            let newest = if came_back { &mut after } else { &mut before };
            plan.challenge(newest, position, version, stamp);
        }
        plan.before.extend(before.map(|(position, _)| position));
        plan.deletions.extend(deletion.map(|(position, _)| position));
        plan.after.extend(after.map(|(position, _)| position));
    }
    plan
}

impl WritePlan {
    /// Lets a record challenge the newest one so far; the loser is superseded, also when both are equal.
    fn challenge(&mut self, newest: &mut Option<(usize, Version)>, position: usize, version: Version, stamp: Stamp) {
        let Some((holder, held)) = *newest else {
            *newest = Some((position, version));
            return;
        };
        let judgement = version::compare(&version, &held, stamp);
        if judgement.conflict {
            self.conflicts.push(position);
        }
        match judgement.outcome {
            Outcome::Newer => {
                self.superseded.push(holder);
                *newest = Some((position, version));
            }
            Outcome::Equal | Outcome::Stale => self.superseded.push(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn person(number: u128) -> PersonId {
        PersonId(Uuid::from_u128(number))
    }

    fn state(number: u128, last_updated: i64, fetched_at: i64, content_hash: i64) -> Option<Entry> {
        let version = Version {
            last_updated: Timestamp(last_updated),
            fetched_at: Timestamp(fetched_at),
            rules_revision: 1,
            content_hash,
        };
        Some(Entry { person_id: person(number), word: Word::State(version, Stamp::Source) })
    }

    fn gone(number: u128, at: i64) -> Option<Entry> {
        Some(Entry { person_id: person(number), word: Word::Gone(Timestamp(at)) })
    }

    fn check(entries: &[Option<Entry>], before: &[usize], deletions: &[usize], after: &[usize], superseded: &[usize]) {
        let mut plan = plan(entries);
        plan.superseded.sort_unstable();
        assert_eq!(plan.before, before, "before");
        assert_eq!(plan.deletions, deletions, "deletions");
        assert_eq!(plan.after, after, "after");
        assert_eq!(plan.superseded, superseded, "superseded");
        let planned = plan.rows() + plan.superseded.len();
        assert_eq!(planned, entries.iter().flatten().count(), "each record once");
    }

    #[test]
    fn rows_come_in_key_order() {
        check(&[state(3, 1, 1, 0), state(1, 1, 1, 0), state(2, 1, 1, 0)], &[1, 2, 0], &[], &[], &[]);
        check(&[], &[], &[], &[], &[]);
    }

    #[test]
    fn the_newest_of_a_key_is_written_wherever_it_stands() {
        check(&[state(1, 3, 1, 3), state(1, 1, 1, 1), state(1, 2, 1, 2)], &[0], &[], &[], &[1, 2]);
        check(&[state(1, 1, 1, 1), state(1, 3, 1, 3), state(1, 2, 1, 2)], &[1], &[], &[], &[0, 2]);
        check(&[state(1, 1, 1, 1), state(1, 2, 1, 2), state(1, 3, 1, 3)], &[2], &[], &[], &[0, 1]);
    }

    #[test]
    fn of_two_equal_ones_the_later_is_superseded() {
        check(&[state(1, 5, 1, 7), state(1, 5, 9, 7)], &[0], &[], &[], &[1]);
    }

    #[test]
    fn a_contradiction_is_counted_whoever_wins() {
        let entries = [state(1, 5, 2, 7), state(1, 5, 1, 8), state(1, 5, 3, 9)];
        check(&entries, &[2], &[], &[], &[0, 1]);
        assert_eq!(plan(&entries).conflicts, [1, 2]);
    }

    #[test]
    fn records_set_aside_count_nowhere() {
        check(&[None, state(1, 1, 1, 1), None], &[1], &[], &[], &[]);
    }

    #[test]
    fn the_latest_deletion_stands_between_what_was_before_and_what_came_after() {
        check(&[state(1, 1, 10, 1), gone(1, 20)], &[0], &[1], &[], &[]);
        check(&[gone(1, 20), state(1, 1, 30, 1)], &[], &[0], &[1], &[]);
        check(&[state(1, 1, 10, 1), gone(1, 20), state(1, 1, 30, 1), gone(2, 5)], &[0], &[1, 3], &[2], &[]);
        check(&[gone(1, 20), gone(1, 30), gone(1, 30), gone(1, 10)], &[], &[1], &[], &[0, 2, 3]);
        // Seen missing and given out at the same moment: missing wins, as it does in the statement.
        check(&[state(1, 1, 20, 1), gone(1, 20)], &[0], &[1], &[], &[]);
    }

    #[test]
    fn a_part_of_a_plan_is_a_range_over_its_three_steps() {
        let plan =
            WritePlan { before: vec![10, 11, 12], deletions: vec![20], after: vec![30, 31], ..WritePlan::default() };
        let parts = |from, to| {
            let part = plan.part(from, to);
            (part.before, part.deletions, part.after)
        };
        assert_eq!(parts(0, 6), (vec![10, 11, 12], vec![20], vec![30, 31]));
        assert_eq!(parts(1, 2), (vec![11], vec![], vec![]));
        assert_eq!(parts(2, 5), (vec![12], vec![20], vec![30]));
        assert_eq!(parts(3, 4), (vec![], vec![20], vec![]));
        assert_eq!(parts(5, 9), (vec![], vec![], vec![31]));
        assert_eq!(parts(4, 4), (vec![], vec![], vec![]));
    }
}
