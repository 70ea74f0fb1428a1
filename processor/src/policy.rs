//! What the processor does about a fault of the world: one decision for each kind, and one sentence for the operator.
//!
//! Nothing here can become a dead letter: a fault has no reason code.

use std::time::Duration;

use platform::kafka::FaultKind;

/// First wait after a fault; doubled at each further one.
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// Longest wait between two tries: a broker that is back is noticed within it.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Fenced twice within this time, the id belongs to somebody else who is alive.
const FENCED_AGAIN: Duration = Duration::from_secs(60);

/// What to do about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Abort the transaction, go back to the committed positions, do it again.
    Again,
    /// The same, with a new producer: the old one cannot be trusted or used any more.
    NewProducer,
    /// Another instance has taken over this transactional id: end with exit code 3.
    Yield,
}

/// The decision for each kind of fault.
#[must_use]
pub fn action(kind: FaultKind) -> Action {
    match kind {
        // The last five need an operator; the work goes on by itself once the rights, the password, the topic, its limits or
        // the configuration are mended, and until then readiness says what is wrong.
        FaultKind::Retriable
        | FaultKind::Timeout
        | FaultKind::Abortable
        | FaultKind::TooLarge
        | FaultKind::Denied
        | FaultKind::Login
        | FaultKind::Missing
        | FaultKind::Config => Action::Again,
        FaultKind::Fatal => Action::NewProducer,
        FaultKind::Fenced => Action::Yield,
    }
}

/// The decision for a producer that was fenced.
///
/// A lone one is fenced too, when the broker ended its transaction because it was open for too long; `own_timeout` says that it was.
/// `since_last`: time since it was fenced before, without such a time-out. Of two processes with one id each fences the other, so
/// the older one, which was fenced first, is also the first to be fenced again: the newest instance stays.
#[must_use]
pub fn fenced(since_last: Option<Duration>, own_timeout: bool) -> Action {
    if own_timeout || since_last.is_none_or(|since| since >= FENCED_AGAIN) {
        Action::NewProducer
    } else {
        Action::Yield
    }
}

/// What follows a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterPoll {
    /// Nothing was taken and nothing is to be told.
    Nothing,
    /// Report, positions, commit; the transaction is begun first where only positions moved.
    Commit,
    /// Abort, read the positions again.
    GiveUp,
}

/// What follows a poll that met no fault.
///
/// `open`: records were sent in a transaction. `changed`: the group took or gave partitions. `accounted`: ranges of
/// partitions that are still ours wait to be reported. A change gives up every open transaction, whatever the
/// ranges say: those of a partition that went away are forgotten with it, and its records must not be committed
/// without its position.
#[must_use]
pub fn after_poll(open: bool, changed: bool, accounted: bool) -> AfterPoll {
    match (open, changed, accounted) {
        (true, true, _) | (true, false, false) => AfterPoll::GiveUp,
        (_, false, true) | (false, true, true) => AfterPoll::Commit,
        (false, _, false) => AfterPoll::Nothing,
    }
}

/// How long to wait after `faults` faults in a row.
#[must_use]
pub fn wait_after(faults: u32) -> Duration {
    let doubled = WAIT_FIRST.saturating_mul(1 << faults.saturating_sub(1).min(16));
    doubled.min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_partitions_gives_up_what_was_sent_whatever_is_left_of_its_ranges() {
        for (open, changed, accounted, next) in [
            (false, false, false, AfterPoll::Nothing),
            (false, true, false, AfterPoll::Nothing),
            (false, false, true, AfterPoll::Commit),
            (false, true, true, AfterPoll::Commit),
            (true, false, true, AfterPoll::Commit),
            (true, false, false, AfterPoll::GiveUp),
            (true, true, true, AfterPoll::GiveUp),
            // Everything sent was of partitions that went away: nothing is left to account for, and yet it is sent.
            (true, true, false, AfterPoll::GiveUp),
        ] {
            assert_eq!(after_poll(open, changed, accounted), next, "{open} {changed} {accounted}");
        }
    }

    #[test]
    fn who_is_fenced_twice_without_a_time_out_of_its_own_gives_way() {
        for (since_last, own_timeout, next) in [
            (None, false, Action::NewProducer),
            (None, true, Action::NewProducer),
            (Some(Duration::from_secs(59)), false, Action::Yield),
            (Some(Duration::from_secs(59)), true, Action::NewProducer),
            (Some(Duration::from_secs(60)), false, Action::NewProducer),
        ] {
            assert_eq!(fenced(since_last, own_timeout), next, "{since_last:?} {own_timeout}");
        }
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        assert_eq!(wait_after(1), WAIT_FIRST);
        assert_eq!(wait_after(2), WAIT_FIRST * 2);
        assert_eq!(wait_after(50), WAIT_MAX);
    }

    #[test]
    fn only_a_newer_instance_ends_the_process() {
        assert_eq!(action(FaultKind::Fenced), Action::Yield);
        for kind in [FaultKind::Retriable, FaultKind::Timeout, FaultKind::Abortable] {
            assert_eq!(action(kind), Action::Again);
        }
        assert_eq!(action(FaultKind::Fatal), Action::NewProducer);
    }
}
