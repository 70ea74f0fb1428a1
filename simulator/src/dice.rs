//! Repeatable chance: every property of a worker is a function of the seed, the worker's index and a turn.
//!
//! Nothing random is stored. The same seed gives the same country on every machine.

/// What a stream of draws decides. Streams with different purposes are independent of each other, so
/// adding a draw to one never moves another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Change = 1,
    Fate,
    Flaw,
    Form,
    Job,
    Person,
    Registration,
    School,
    Shuffle,
    Stamp,
    Status,
    Title,
    Training,
    Address,
}

/// A stream of draws (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scrambles 64 bits, each input to one output (finaliser of SplitMix64; Steele, Lea, Flood 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Dice {
    /// The stream of `purpose` for one worker; `turn` tells apart the states that the worker goes through.
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u32, turn: u32) -> Self {
        let place = (u64::from(index) << 32) | u64::from(turn);
        let state = mix(seed.wrapping_add((purpose as u64).wrapping_mul(GOLDEN))) ^ mix(place.wrapping_add(GOLDEN));
        Self { state }
    }

    /// 64 fresh bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number in `0..bound`; 0 where `bound` is 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        high_half(u64::from(high_half(self.bits())).wrapping_mul(u64::from(bound)))
    }

    /// True with a probability of `per_million` in a million.
    pub(crate) fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < per_million
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let bound = u32::try_from(choices.len()).expect("lists of choices are short");
        choices[self.below(bound) as usize]
    }
}

/// The upper 32 bits, without a lossy cast.
fn high_half(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// A permutation of `0..size`: a Feistel network over the next even power of two, walked until it falls inside.
#[derive(Clone, Debug)]
pub(crate) struct Shuffle {
    size: u64,
    half_bits: u32,
    keys: [u64; 4],
}

impl Shuffle {
    /// A permutation of `0..size`; `turn` selects which one.
    pub(crate) fn new(seed: u64, turn: u32, size: u64) -> Self {
        let bits = 64 - size.saturating_sub(1).leading_zeros();
        let mut dice = Dice::new(seed, Purpose::Shuffle, 0, turn);
        Self { size, half_bits: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| dice.bits()) }
    }

    /// Where `position` goes. `position` must be below `size`.
    pub(crate) fn at(&self, position: u64) -> u64 {
        let mut place = position;
        // The walk stays on the cycle of `position`, which leads back into the range at the latest at its start.
        loop {
            place = self.round(place);
            if place < self.size {
                return place;
            }
        }
    }

    fn round(&self, place: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (place >> self.half_bits, place & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_meets_every_place_once() {
        for size in [1, 2, 3, 100, 16_801, 65_536] {
            let shuffle = Shuffle::new(7, 1, size);
            let mut met = vec![false; usize::try_from(size).expect("small")];
            for position in 0..size {
                let place = usize::try_from(shuffle.at(position)).expect("small");
                assert!(!met[place], "size {size}: {place} is met twice");
                met[place] = true;
            }
        }
    }

    #[test]
    fn draws_stay_below_their_bound_and_repeat_with_the_seed() {
        let mut one = Dice::new(1, Purpose::Person, 5, 0);
        let mut two = Dice::new(1, Purpose::Person, 5, 0);
        for bound in 1..500 {
            let drawn = one.below(bound);
            assert!(drawn < bound);
            assert_eq!(drawn, two.below(bound));
        }
        assert_ne!(Dice::new(1, Purpose::Person, 5, 0).bits(), Dice::new(1, Purpose::Job, 5, 0).bits());
        assert_ne!(Dice::new(1, Purpose::Person, 5, 0).bits(), Dice::new(2, Purpose::Person, 5, 0).bits());
    }
}
