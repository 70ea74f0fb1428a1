//! What a worker knows of one of its partitions, and when it is that partition's turn.
//!
//! Pure: `now` is an argument, in a unit that only grows (the edge gives time since its start).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::batch::Batch;
use crate::config::{BACKOFF, BACKOFF_MAX};
use crate::policy::{Fault, Refusal};

/// How a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Ours, and its position is not known yet. Nothing is delivered.
    Asking,
    /// Records are taken in.
    Running,
    /// Held after a fault until this time; its records are kept.
    Held(Duration),
    /// Waits for an operator. The position, if there is one, at which it stopped.
    Stopped(Option<i64>),
}

/// One partition of a worker.
#[derive(Debug)]
pub(crate) struct Partition {
    /// How it stands.
    pub(crate) standing: Standing,
    /// Records that are not committed.
    pub(crate) batch: Batch,
    /// Those of them that are known to be bad.
    pub(crate) refused: BTreeMap<usize, Refusal>,
    /// Failed tries of this batch.
    tries: u32,
    /// Those of them that no server is to blame for: its counts do not tie.
    doubts: u32,
    /// When the first of its records was taken.
    since: Option<Duration>,
}

impl Partition {
    /// A partition that was just assigned.
    pub(crate) fn assigned() -> Self {
        Self {
            standing: Standing::Asking,
            batch: Batch::new(0),
            refused: BTreeMap::new(),
            tries: 0,
            doubts: 0,
            since: None,
        }
    }

    /// Starts, or starts anew, from a position; what was held is forgotten.
    pub(crate) fn start(&mut self, position: i64) {
        *self = Self { standing: Standing::Running, batch: Batch::new(position), ..Self::assigned() };
    }

    /// Stands still until an operator acts; what was held is forgotten.
    pub(crate) fn stop(&mut self) {
        let at = match self.standing {
            Standing::Asking => None,
            Standing::Running | Standing::Held(_) => Some(self.batch.position()),
            Standing::Stopped(at) => at,
        };
        *self = Self { standing: Standing::Stopped(at), ..Self::assigned() };
    }

    /// The batch is committed.
    pub(crate) fn done(&mut self) {
        self.batch.finish();
        self.refused.clear();
        self.tries = 0;
        self.doubts = 0;
        self.since = None;
        self.standing = Standing::Running;
    }

    /// A try failed; the next one is due after a wait that doubles with each.
    pub(crate) fn hold(&mut self, now: Duration) {
        self.tries = self.tries.saturating_add(1);
        self.standing = Standing::Held(now + backoff(self.tries));
    }

    /// Counts a fault that, unlike one of a server, must not come for ever; how many came before.
    pub(crate) fn doubt(&mut self, fault: &Fault) -> u32 {
        let before = self.doubts;
        if matches!(fault, Fault::CountsDiffer { .. } | Fault::NobodyToBlame { .. }) {
            self.doubts = self.doubts.saturating_add(1);
        }
        before
    }

    /// Notes when records began to wait.
    pub(crate) fn waits_since(&mut self, now: Duration) {
        if !self.batch.is_empty() && self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// Whether the batch should be written now: it is full, or waited long enough, or its hold is over.
    pub(crate) fn is_due(&self, now: Duration, rows_max: usize, wait: Duration) -> bool {
        if self.batch.is_empty() {
            return false;
        }
        match self.standing {
            Standing::Running => {
                self.batch.len() >= rows_max || self.since.is_some_and(|since| now.saturating_sub(since) >= wait)
            }
            Standing::Held(until) => now >= until,
            Standing::Asking | Standing::Stopped(_) => false,
        }
    }
}

/// Wait after that many failed tries.
pub(crate) fn backoff(tries: u32) -> Duration {
    let doubled = BACKOFF.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1).min(16)).unwrap_or(u32::MAX));
    doubled.min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn running(records: i64) -> Partition {
        let mut partition = Partition::assigned();
        partition.start(10);
        for offset in 10..10 + records {
            partition.batch.push(offset, None, None, std::iter::empty());
        }
        partition.waits_since(at(1_000));
        partition
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_has_waited() {
        assert!(!running(0).is_due(at(9_999), 3, at(100)));
        assert!(!running(2).is_due(at(1_099), 3, at(100)));
        assert!(running(2).is_due(at(1_100), 3, at(100)));
        assert!(running(3).is_due(at(1_000), 3, at(100)));
    }

    #[test]
    fn a_held_batch_is_due_again_after_its_wait_and_keeps_its_records() {
        let mut partition = running(2);
        partition.hold(at(2_000));
        assert!(!partition.is_due(at(2_249), 1, at(0)));
        assert!(partition.is_due(at(2_250), 1, at(0)));
        assert_eq!(partition.batch.len(), 2);
        partition.done();
        assert_eq!((partition.standing, partition.tries, partition.batch.position()), (Standing::Running, 0, 12));
    }

    #[test]
    fn waits_double_up_to_a_cap() {
        let waits: Vec<_> = (1..9).map(|tries| backoff(tries).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn only_counts_that_do_not_tie_are_doubted() {
        let mut partition = running(1);
        let differs = Fault::CountsDiffer { topic: String::new(), partition: 0, first_offset: 10 };
        for _ in 0..9 {
            partition.hold(at(0));
            assert_eq!(partition.doubt(&Fault::Connection("down")), 0);
        }
        assert_eq!((partition.doubt(&differs), partition.doubt(&differs)), (0, 1));
        partition.done();
        assert_eq!(partition.doubt(&differs), 0);
    }

    #[test]
    fn a_stopped_partition_remembers_where_and_takes_nothing() {
        let mut partition = running(2);
        partition.stop();
        assert_eq!(partition.standing, Standing::Stopped(Some(10)));
        assert!(partition.batch.is_empty() && !partition.is_due(at(9_999), 1, at(0)));
        partition.stop();
        assert_eq!(partition.standing, Standing::Stopped(Some(10)));
        let mut unknown = Partition::assigned();
        unknown.stop();
        assert_eq!(unknown.standing, Standing::Stopped(None));
    }
}
