//! The bound on memory, and what was seen of it.

use std::collections::BTreeMap;

use crate::figures::Figures;
use crate::part::Part;

/// Memory that one process of ours may have, whatever the load.
pub(crate) const LIMIT_BYTES: u64 = 512 * 1024 * 1024;
/// Growth in the second half of a pause that is still called flat: what an allocator gives and takes.
pub(crate) const FLAT_BYTES: u64 = 32 * 1024 * 1024;

/// The most memory of each part.
pub(crate) type Peaks = BTreeMap<Part, u64>;

/// Keeps the larger of both for each part.
pub(crate) fn merge(into: &mut Peaks, others: Peaks) {
    for (part, bytes) in others {
        let peak = into.entry(part).or_default();
        *peak = bytes.max(*peak);
    }
}

/// What is not within its bounds, in sentences.
pub(crate) fn over_limit(figures: &Figures) -> Vec<String> {
    let mut over = Vec::new();
    for part in Part::OURS {
        if let Some(peak) = figures.memory_peaks.get(&part).filter(|peak| **peak > LIMIT_BYTES) {
            over.push(format!("the {} took {} MiB, more than {}", part.name(), mib(*peak), mib(LIMIT_BYTES)));
        }
        let paused = figures.pause.as_ref().and_then(|pause| pause.memory.get(&part));
        if let Some(paused) = paused.filter(|it| it.second_half > it.first_half + FLAT_BYTES) {
            over.push(format!(
                "the {} grew from {} to {} MiB while Postgres stood still",
                part.name(),
                mib(paused.first_half),
                mib(paused.second_half)
            ));
        }
    }
    over
}

/// Whole MiB.
pub(crate) fn mib(bytes: u64) -> u64 {
    (bytes + 512 * 1024) / (1024 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Pause, PausedMemory};

    #[test]
    fn only_our_own_processes_are_bound_and_only_growth_in_the_second_half_is_told() {
        let mut figures = Figures::new(1, 1);
        merge(&mut figures.memory_peaks, Peaks::from([(Part::Sink, LIMIT_BYTES), (Part::Broker, LIMIT_BYTES * 2)]));
        merge(&mut figures.memory_peaks, Peaks::from([(Part::Sink, 1)]));
        assert_eq!(over_limit(&figures), Vec::<String>::new());
        merge(&mut figures.memory_peaks, Peaks::from([(Part::Sink, LIMIT_BYTES + (1 << 20))]));
        assert_eq!(over_limit(&figures), ["the sink took 513 MiB, more than 512"]);
        figures.memory_peaks.clear();
        let grown = PausedMemory { at_stop: 1 << 20, first_half: 100 << 20, second_half: 133 << 20 };
        let memory = BTreeMap::from([
            (Part::Processor, grown),
            (Part::Producer, PausedMemory { second_half: 132 << 20, ..grown }),
        ]);
        figures.pause = Some(Pause { seconds: 30.0, records: 1, catch_up_seconds: 1.0, memory });
        assert_eq!(over_limit(&figures), ["the processor grew from 100 to 133 MiB while Postgres stood still"]);
    }
}
