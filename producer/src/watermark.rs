//! How far a region has been read: the watermark, and from where the next slice reads. Pure.
//!
//! A watermark says: every row of the region whose `last_updated` is not later than this has been
//! given out and is in `sisdmk.raw`. The source makes rows visible a little late, so a slice begins
//! `lookback` before it; the version rule of the stages behind makes the overlap harmless.

use schemas::Timestamp;
use std::time::Duration;

/// Where the next slice of a region begins: `watermark - lookback`, inclusive.
///
/// `None`, never read, stays `None`: the source is asked without a lower bound.
#[must_use]
pub fn since(watermark: Option<Timestamp>, lookback: Duration) -> Option<Timestamp> {
    let lookback_us = i64::try_from(lookback.as_micros()).unwrap_or(i64::MAX);
    watermark.map(|Timestamp(at)| Timestamp(at.saturating_sub(lookback_us)))
}

/// The watermark after a slice is complete.
///
/// `highest`: the greatest credible `last_updated` of the slice. `bound`: the source's time at the
/// slice's first request, or the end of a split window if that is earlier: rows changed after it
/// may or may not have been seen. A slice without rows moves nothing.
/// A stored watermark later than `bound` cannot be true (the source's clock was wrong when it was
/// written) and comes down to it.
#[must_use]
pub fn advance(stored: Option<Timestamp>, highest: Option<Timestamp>, bound: Timestamp) -> Option<Timestamp> {
    let seen = highest.map(|highest| highest.min(bound));
    match (stored, seen) {
        (Some(stored), _) if stored > bound => Some(bound),
        (Some(stored), Some(seen)) => Some(stored.max(seen)),
        (stored, seen) => stored.or(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_never_passes_the_first_request_and_never_goes_back() {
        let at = |at: Option<i64>| at.map(Timestamp);
        let check = |stored, highest, bound, expected| {
            assert_eq!(advance(at(stored), at(highest), Timestamp(bound)), at(expected));
        };
        check(None, None, 100, None);
        check(None, Some(50), 100, Some(50));
        check(None, Some(150), 100, Some(100));
        check(Some(40), None, 100, Some(40));
        check(Some(40), Some(50), 100, Some(50));
        check(Some(40), Some(30), 100, Some(40));
        check(Some(40), Some(150), 100, Some(100));
        // The source's clock had been ahead: the watermark comes down, so that nothing is skipped.
        check(Some(200), None, 100, Some(100));
        check(Some(200), Some(50), 100, Some(100));
    }

    #[test]
    fn the_look_back_is_taken_from_a_watermark_only() {
        let ten = Duration::from_secs(600);
        assert_eq!(since(None, ten), None);
        assert_eq!(since(Some(Timestamp(600_000_001)), ten), Some(Timestamp(1)));
        assert_eq!(since(Some(Timestamp(i64::MIN)), ten), Some(Timestamp(i64::MIN)));
    }
}
