//! Which faults come, and when: from a seed alone.

use std::fmt;

use harness::Stage;
use harness::points::{BATCH_READY, ENDED, FLUSHED, ROWS_COMMITTED, ROWS_WRITTEN};

/// A link of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Kafka,
    Registry,
    Postgres,
    Source,
}

/// What a link suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Cut,
    Hold,
    Reset,
    Slow,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` at a fail point.
    KillAt(Stage, &'static str),
    /// `kill -9` at any moment.
    Kill(Stage),
    /// SIGSTOP for longer than the group waits, then SIGCONT.
    Freeze(Stage),
    /// The broker is killed and started again.
    Broker,
    /// Postgres is killed and started again.
    Postgres,
    /// Postgres takes no writes, as after a failover.
    ReadOnly,
    /// The registry is away while a processor and a sink start.
    Registry,
    /// A link breaks for some seconds.
    Link(Link, Break),
    /// Processors and sinks come and go.
    Storm,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillAt(stage, point) => write!(out, "{} killed at {point}", stage.name()),
            Self::Kill(stage) => write!(out, "{} killed", stage.name()),
            Self::Freeze(stage) => write!(out, "{} frozen", stage.name()),
            Self::Broker => write!(out, "broker killed"),
            Self::Postgres => write!(out, "postgres killed"),
            Self::ReadOnly => write!(out, "postgres read-only"),
            Self::Registry => write!(out, "registry away"),
            Self::Link(link, how) => write!(out, "link to {link:?} {how:?}"),
            Self::Storm => write!(out, "rebalance storm"),
        }
    }
}

impl Fault {
    /// Two faults that take hold of the same thing would undo each other's end.
    fn agrees_with(self, other: Self) -> bool {
        let holds = |fault: Self| match fault {
            Self::KillAt(stage, _) | Self::Kill(stage) | Self::Freeze(stage) => vec![stage.name()],
            Self::Broker => vec!["kafka"],
            Self::Postgres | Self::ReadOnly => vec!["postgres"],
            // Fail points and members are theirs for a while.
            Self::Registry | Self::Storm => vec!["processor", "sink", "registry"],
            Self::Link(Link::Kafka, _) => vec!["kafka"],
            Self::Link(Link::Postgres, _) => vec!["postgres"],
            Self::Link(Link::Registry, _) => vec!["registry"],
            Self::Link(Link::Source, _) => vec!["producer"],
        };
        let (mine, theirs) = (holds(self), holds(other));
        // One long fault at a time: the second is a kill.
        let short = matches!(other, Self::KillAt(..) | Self::Kill(_));
        short && !mine.iter().any(|held| theirs.contains(held))
    }
}

/// Every fault of one night.
fn deck() -> Vec<Fault> {
    use Stage::{Processor, Producer, Sink};
    let mut deck = Vec::new();
    for (stage, point, times) in [
        (Producer, FLUSHED, 2),
        (Producer, ENDED, 1),
        (Processor, FLUSHED, 4),
        (Processor, ENDED, 1),
        (Sink, ROWS_WRITTEN, 4),
        (Sink, BATCH_READY, 1),
        (Sink, ROWS_COMMITTED, 1),
    ] {
        deck.extend(vec![Fault::KillAt(stage, point); times]);
    }
    deck.extend(Stage::ALL.map(Fault::Kill));
    deck.extend(Stage::ALL.map(Fault::Freeze));
    deck.extend([Fault::Broker, Fault::Postgres, Fault::ReadOnly, Fault::Registry, Fault::Storm]);
    deck.extend([
        Fault::Link(Link::Kafka, Break::Cut),
        Fault::Link(Link::Kafka, Break::Slow),
        Fault::Link(Link::Kafka, Break::Reset),
        Fault::Link(Link::Postgres, Break::Cut),
        Fault::Link(Link::Postgres, Break::Hold),
        Fault::Link(Link::Source, Break::Cut),
        Fault::Link(Link::Source, Break::Hold),
        Fault::Link(Link::Registry, Break::Cut),
    ]);
    deck
}

/// Random numbers from a seed: SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

/// Whole decks, shuffled and dealt: each a list of rounds, each round one fault or two that agree.
pub(crate) fn nights(seed: u64) -> impl Iterator<Item = Vec<Vec<Fault>>> {
    let mut dice = Dice::new(seed);
    std::iter::repeat_with(move || {
        let mut left = deck();
        for place in (1..left.len()).rev() {
            let other = dice.below(u64::try_from(place + 1).expect("a deck is small"));
            left.swap(place, usize::try_from(other).expect("below the length"));
        }
        let mut rounds = Vec::new();
        while let Some(first) = left.pop() {
            let mut hand = vec![first];
            if let Some(place) = left.iter().rposition(|other| first.agrees_with(*other)) {
                hand.push(left.remove(place));
            }
            rounds.push(hand);
        }
        rounds
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_night_and_every_fault_is_in_it_once() {
        let night = |seed| nights(seed).next().expect("a night");
        assert_eq!(night(7), night(7));
        assert_ne!(night(7), night(8));
        for seed in 0..50 {
            let mut dealt: Vec<String> = night(seed).concat().iter().map(ToString::to_string).collect();
            let mut whole: Vec<String> = deck().iter().map(ToString::to_string).collect();
            dealt.sort();
            whole.sort();
            assert_eq!(dealt, whole, "seed {seed}");
        }
    }

    #[test]
    fn a_night_meets_enough_open_transactions() {
        let open = |fault: &Fault| matches!(fault, Fault::KillAt(_, FLUSHED | ROWS_WRITTEN | BATCH_READY));
        assert!(deck().iter().filter(|fault| open(fault)).count() > super::super::OPEN_KILLS_MIN);
    }

    #[test]
    fn faults_of_one_round_hold_different_things() {
        use Stage::{Producer, Sink};
        let kill = Fault::Kill(Sink);
        assert!(Fault::Broker.agrees_with(kill));
        assert!(Fault::KillAt(Producer, FLUSHED).agrees_with(kill));
        assert!(!Fault::Freeze(Sink).agrees_with(kill), "the same stage");
        assert!(!Fault::Storm.agrees_with(kill), "members are the storm's");
        assert!(!kill.agrees_with(Fault::Freeze(Producer)), "the long one comes first");
    }
}
