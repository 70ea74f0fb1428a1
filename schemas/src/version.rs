//! Which of two versions of one worker is the newer: the one rule, used by the processor's view and
//! the sink, and repeated in SQL by the guard of the sink's UPDATE.
//!
//! `last_updated` decides first, because it is the source's own word. Where it ties, what the
//! source said last (`fetched_at`) and then what newer rules made of it (`rules_revision`) wins;
//! `content_hash` only breaks a full tie, so that the outcome never depends on who came first.
//! The same content under the same stamp is no news, whenever it was fetched: that is what makes
//! a re-poll change nothing.
//!
//! The limit of that last promise: where the source gives out two contents under one stamp *and*
//! gives one of them out again later, `equal` leaves the earlier `fetched_at` in place, so which
//! content stays can depend on the order of arrival. Such a worker is counted as `conflict`, and
//! the next real change of its stamp settles it.

use crate::symbols::symbols;
use crate::timestamp::Timestamp;

/// What tells versions of one worker apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// The source's stamp, or `fetched_at` where the source has none.
    pub last_updated: Timestamp,
    /// When the source gave the record out; kept by replays.
    pub fetched_at: Timestamp,
    /// Revision of the rules that judged it.
    pub rules_revision: i32,
    /// XXH3-64 of the encoded business fields.
    pub content_hash: i64,
}

symbols! {
    /// Where a record's `last_updated` comes from.
    pub enum Stamp {
        /// The source stamps its records.
        Source = "SOURCE",
        /// The source has no stamp; `last_updated` is `fetched_at`.
        Fetched = "FETCHED",
    }
}

/// What becomes of an incoming version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It replaces the stored one.
    Newer,
    /// It says the same as the stored one; nothing is written.
    Equal,
    /// The stored one stays.
    Stale,
}

/// The outcome, and whether it had to decide between contradicting words of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Judgement {
    /// What becomes of the incoming version.
    pub outcome: Outcome,
    /// Both have the same `last_updated` and different contents: counted, whoever wins.
    pub conflict: bool,
}

/// Compares an incoming version with the stored one of the same worker.
///
/// `stamp` is the incoming record's. Where the source has no stamp, equal content is always
/// equal, since the only thing that moved is our own clock.
#[must_use]
pub fn compare(incoming: &Version, stored: &Version, stamp: Stamp) -> Judgement {
    let same_content = incoming.content_hash == stored.content_hash;
    let same_stamp = incoming.last_updated == stored.last_updated;
    let equal = same_content && (same_stamp || stamp == Stamp::Fetched);
    let order =
        |version: &Version| (version.last_updated, version.fetched_at, version.rules_revision, version.content_hash);
    let outcome = if equal {
        Outcome::Equal
    } else if order(incoming) > order(stored) {
        Outcome::Newer
    } else {
        Outcome::Stale
    };
    Judgement { outcome, conflict: same_stamp && !same_content }
}

/// Compares an incoming version with the stored one of a worker who may be marked as gone.
///
/// `deleted_at`: when the source was found without the worker. Only a record that the source gave out after that
/// brings the worker back; whether it says the same as before does not matter then.
#[must_use]
pub fn compare_held(incoming: &Version, stored: &Version, deleted_at: Option<Timestamp>, stamp: Stamp) -> Judgement {
    let judgement = compare(incoming, stored, stamp);
    let Some(deleted_at) = deleted_at else { return judgement };
    let outcome = if incoming.fetched_at > deleted_at { Outcome::Newer } else { Outcome::Stale };
    Judgement { outcome, ..judgement }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `last_updated`, `fetched_at`, `rules_revision`, `content_hash`.
    type Row = (i64, i64, i32, i64);

    fn version((last_updated, fetched_at, rules_revision, content_hash): Row) -> Version {
        Version {
            last_updated: Timestamp(last_updated),
            fetched_at: Timestamp(fetched_at),
            rules_revision,
            content_hash,
        }
    }

    fn check(incoming: Row, stored: Row, stamp: Stamp, outcome: Outcome, conflict: bool) {
        assert_eq!(
            compare(&version(incoming), &version(stored), stamp),
            Judgement { outcome, conflict },
            "{incoming:?} against {stored:?}, {stamp}"
        );
    }

    #[test]
    fn every_row_of_the_rule() {
        use Outcome::{Equal, Newer, Stale};
        let stored = (100, 200, 5, 7);
        for (incoming, outcome, conflict) in [
            // An older stamp is stale, whatever else it has.
            ((99, 200, 5, 8), Stale, false),
            ((99, 999, 9, 99), Stale, false),
            ((99, 200, 5, 7), Stale, false),
            // The same stamp and content is equal, whenever it was fetched and judged.
            ((100, 200, 5, 7), Equal, false),
            ((100, 100, 5, 7), Equal, false),
            ((100, 300, 5, 7), Equal, false),
            ((100, 300, 9, 7), Equal, false),
            // A newer stamp wins, also with the same content and with an older rest.
            ((101, 200, 5, 8), Newer, false),
            ((101, 200, 5, 7), Newer, false),
            ((101, 1, 1, 1), Newer, false),
            // The same stamp and another content: who was fetched later, then who was judged
            // later, then the greater hash. Always a conflict.
            ((100, 201, 1, 1), Newer, true),
            ((100, 199, 9, 9), Stale, true),
            ((100, 200, 6, 1), Newer, true),
            ((100, 200, 4, 9), Stale, true),
            ((100, 200, 5, 8), Newer, true),
            ((100, 200, 5, 6), Stale, true),
            ((100, 200, 5, -8), Stale, true),
        ] {
            check(incoming, stored, Stamp::Source, outcome, conflict);
        }
    }

    #[test]
    fn without_a_stamp_of_the_source_the_same_content_is_never_news() {
        use Outcome::{Equal, Newer, Stale};
        let stored = (200, 200, 5, 7);
        for (incoming, outcome, conflict) in [
            ((300, 300, 5, 7), Equal, false),
            ((200, 200, 5, 7), Equal, false),
            ((100, 100, 5, 7), Equal, false),
            ((300, 300, 6, 7), Equal, false),
            ((300, 300, 5, 8), Newer, false),
            ((100, 100, 5, 8), Stale, false),
            ((200, 200, 6, 8), Newer, true),
            ((200, 200, 5, 6), Stale, true),
        ] {
            check(incoming, stored, Stamp::Fetched, outcome, conflict);
        }
    }

    fn row() -> impl Strategy<Value = Row> {
        // Few different values, so that ties are common.
        (0..3_i64, 0..3_i64, 0..3_i32, -1..2_i64)
    }

    /// What is stored after a history, by the rule alone.
    fn settle(history: &[Row], stamp: Stamp) -> Version {
        let mut stored = version(history[0]);
        for row in &history[1..] {
            let incoming = version(*row);
            if compare(&incoming, &stored, stamp).outcome == Outcome::Newer {
                stored = incoming;
            }
        }
        stored
    }

    proptest! {
        #[test]
        fn one_of_two_wins_and_both_orders_agree(a in row(), b in row(), fetched: bool) {
            let stamp = if fetched { Stamp::Fetched } else { Stamp::Source };
            let (forth, back) = (
                compare(&version(a), &version(b), stamp),
                compare(&version(b), &version(a), stamp),
            );
            prop_assert_eq!(forth.conflict, back.conflict);
            let mirrored = match forth.outcome {
                Outcome::Newer => Outcome::Stale,
                Outcome::Stale => Outcome::Newer,
                Outcome::Equal => Outcome::Equal,
            };
            prop_assert_eq!(back.outcome, mirrored);
            if forth.outcome == Outcome::Equal {
                prop_assert_eq!(a.3, b.3);
            }
        }

        /// Each content of a stamp was given out once here (its repetitions are copies: replays
        /// and re-deliveries). Then what is stored in the end depends on neither the order of
        /// arrival nor on how often anything arrives.
        #[test]
        fn whatever_the_order_and_the_repetitions_the_same_version_wins(
            rows in prop::collection::vec(row(), 1..8),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut contents = std::collections::HashSet::new();
            let rows: Vec<Row> = rows
                .into_iter()
                .filter(|(last_updated, _, _, hash)| contents.insert((*last_updated, *hash)))
                .collect();
            let winner = settle(&rows, Stamp::Source);
            for row in &rows {
                let against = compare(&version(*row), &winner, Stamp::Source).outcome;
                prop_assert_ne!(against, Outcome::Newer);
            }
            let mut history: Vec<Row> = order.iter().map(|index| rows[index.index(rows.len())]).collect();
            history.extend(&rows);
            prop_assert_eq!(settle(&history, Stamp::Source), winner);
            history.reverse();
            prop_assert_eq!(settle(&history, Stamp::Source), winner);
        }

        #[test]
        fn the_stored_stamp_never_goes_back(rows in prop::collection::vec(row(), 1..12)) {
            let mut newest = i64::MIN;
            for end in 1..=rows.len() {
                let stored = settle(&rows[..end], Stamp::Source).last_updated.0;
                prop_assert!(stored >= newest);
                newest = stored;
            }
            prop_assert_eq!(Some(newest), rows.iter().map(|row| row.0).max());
        }

        #[test]
        fn coming_again_changes_nothing(rows in prop::collection::vec(row(), 1..8), fetched: bool) {
            let stamp = if fetched { Stamp::Fetched } else { Stamp::Source };
            for row in &rows {
                let version = version(*row);
                prop_assert_eq!(compare(&version, &version, stamp).outcome, Outcome::Equal);
            }
        }
    }
}
