//! Partitions that stand still because something of theirs cannot be written: a topic that takes less than it must, or is not
//! there. The others go on; the record that cannot be written is never passed over.
//!
//! Such a partition is tried again from time to time. Until its record is written it counts as standing still. Pure: `now` is an
//! argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use platform::kafka::{FaultKind, Refused};

/// Between two tries. A try that fails costs the partitions beside it one transaction.
pub const TRY_EVERY: Duration = Duration::from_secs(15);

/// Why a partition stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The topic that does not take a record.
    pub topic: String,
    /// What it says.
    pub kind: FaultKind,
}

#[derive(Debug)]
struct Stop {
    cause: Cause,
    /// When it may be tried; none: it is being tried.
    due: Option<Instant>,
}

/// The partitions that stand still.
#[derive(Debug, Default)]
pub struct Standstill(BTreeMap<i32, Stop>);

impl Standstill {
    /// This partition stands still from now on.
    pub fn stop(&mut self, partition: i32, cause: Cause, now: Instant) {
        self.0.insert(partition, Stop { cause, due: Some(now + TRY_EVERY) });
    }

    /// Whether nothing of this partition may be taken at present.
    #[must_use]
    pub fn holds(&self, partition: i32) -> bool {
        self.0.get(&partition).is_some_and(|stop| stop.due.is_some())
    }

    /// Lets those be tried again that have waited long enough; whether there are any. `is_there` says whether a topic is there,
    /// so that nobody waits for one that is not.
    pub fn try_again(&mut self, now: Instant, mut is_there: impl FnMut(&str) -> bool) -> bool {
        let mut any = false;
        for stop in self.0.values_mut().filter(|stop| stop.due.is_some_and(|due| due <= now)) {
            if stop.cause.kind == FaultKind::Missing && !is_there(&stop.cause.topic) {
                stop.due = Some(now + TRY_EVERY);
            } else {
                stop.due = None;
                any = true;
            }
        }
        any
    }

    /// A transaction with records of this partition is committed: it goes on.
    pub fn wrote(&mut self, partition: i32) {
        if self.0.get(&partition).is_some_and(|stop| stop.due.is_none()) {
            self.0.remove(&partition);
        }
    }

    /// The partition is somebody else's now.
    pub fn forget(&mut self, partition: i32) {
        self.0.remove(&partition);
    }

    /// All of them, those that are being tried too.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Cause)> {
        self.0.iter().map(|(partition, stop)| (*partition, &stop.cause))
    }

    /// Whether none stands still.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The partitions on which a transaction failed, where it failed on some of them and not as a whole.
///
/// `refused`: partitions that did not take a record. `missing`: a topic that is not there, and the partitions that had records
/// for it; a broker answers for such a topic with silence.
#[must_use]
pub fn culprits(refused: &[Refused], missing: Option<(&str, &BTreeSet<i32>)>) -> BTreeMap<i32, Cause> {
    let mut culprits = BTreeMap::new();
    for one in refused {
        match one.kind {
            FaultKind::TooLarge | FaultKind::Denied | FaultKind::Missing | FaultKind::Config => {
                culprits.insert(one.partition, Cause { topic: one.topic.clone(), kind: one.kind });
            }
            // Of the whole transaction, or of the way to the brokers.
            FaultKind::Retriable
            | FaultKind::Abortable
            | FaultKind::Fenced
            | FaultKind::Fatal
            | FaultKind::Login
            | FaultKind::Timeout => {}
        }
    }
    if let Some((topic, partitions)) = missing {
        for partition in partitions {
            culprits.entry(*partition).or_insert(Cause { topic: topic.to_owned(), kind: FaultKind::Missing });
        }
    }
    culprits
}

#[cfg(test)]
mod tests {
    use super::*;

    const DLQ: &str = "sisdmk.dlq";

    fn cause(kind: FaultKind) -> Cause {
        Cause { topic: DLQ.to_owned(), kind }
    }

    #[test]
    fn a_partition_stands_still_until_its_record_is_written() {
        let start = platform::clock::monotonic();
        let mut standstill = Standstill::default();
        standstill.stop(3, cause(FaultKind::TooLarge), start);
        assert!(standstill.holds(3) && !standstill.holds(4));
        // A transaction of the others says nothing about it.
        standstill.wrote(3);
        assert!(!standstill.try_again(start, |_| true));
        assert!(standstill.holds(3));
        assert!(standstill.try_again(start + TRY_EVERY, |_| true));
        assert!(!standstill.holds(3), "it is tried");
        assert_eq!(standstill.iter().count(), 1, "and still tells that it stands");
        standstill.stop(3, cause(FaultKind::TooLarge), start + TRY_EVERY);
        assert!(standstill.holds(3), "in vain");
        assert!(standstill.try_again(start + TRY_EVERY * 2, |_| true));
        standstill.wrote(3);
        assert!(standstill.is_empty());
    }

    #[test]
    fn a_topic_that_is_not_there_is_not_tried() {
        let start = platform::clock::monotonic();
        let mut standstill = Standstill::default();
        standstill.stop(1, cause(FaultKind::Missing), start);
        let later = start + TRY_EVERY;
        assert!(!standstill.try_again(later, |topic| topic != DLQ));
        assert!(standstill.holds(1));
        assert!(standstill.try_again(later + TRY_EVERY, |topic| topic == DLQ));
        standstill.forget(1);
        assert!(standstill.is_empty());
    }

    #[test]
    fn only_what_a_partition_says_of_itself_stops_it() {
        let refused = |partition, kind| Refused { topic: DLQ.to_owned(), partition, kind };
        for (kind, stops) in [
            (FaultKind::TooLarge, true),
            (FaultKind::Missing, true),
            (FaultKind::Denied, true),
            (FaultKind::Config, true),
            (FaultKind::Timeout, false),
            (FaultKind::Retriable, false),
            (FaultKind::Abortable, false),
            (FaultKind::Fenced, false),
            (FaultKind::Fatal, false),
        ] {
            let found = culprits(&[refused(2, kind)], None);
            assert_eq!(found.contains_key(&2), stops, "{kind:?}");
        }
        let with_letters = BTreeSet::from([0, 2]);
        let found = culprits(&[refused(2, FaultKind::TooLarge)], Some((DLQ, &with_letters)));
        assert_eq!(found, BTreeMap::from([(0, cause(FaultKind::Missing)), (2, cause(FaultKind::TooLarge))]));
    }
}
