//! The one place that reads the clocks of this machine.
//!
//! Everything with a decision in it takes `now` as an argument; edges get it here. Wall time is
//! microseconds since 1970-01-01 UTC, the unit of every stamp of the product. Spans of time use the
//! monotonic clock, which nobody sets.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall time: microseconds since 1970-01-01 UTC. Before 1970 it is negative.
#[must_use]
pub fn now_micros() -> i64 {
    micros(now())
}

/// Wall time as the standard library's type, for clients that want that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads wall time")]
pub fn now() -> SystemTime {
    #[cfg(not(feature = "sabotage"))]
    let now = SystemTime::now();
    #[cfg(feature = "sabotage")]
    let now = crate::sabotage::wrong(SystemTime::now());
    now
}

/// The monotonic clock, for spans of time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Microseconds since 1970-01-01 UTC of a wall time; saturates at the ends of `i64`.
#[must_use]
pub fn micros(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |span| -span),
    }
}

/// A wall time as `2026-11-23T01:02:03.000004Z`: RFC 3339, always 6 decimals and `Z`.
///
/// Years outside 0..=9999 are clamped to those ends, so that the text always has 27 characters.
#[must_use]
pub fn rfc3339(micros: i64) -> String {
    // Clamped to 0000-01-01T00:00:00 .. 9999-12-31T23:59:59.999999.
    let micros = micros.clamp(-62_167_219_200_000_000, 253_402_300_799_999_999);
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date from days, Howard Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{fraction:06}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
    )
}

/// A point on the monotonic clock after which a caller stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `span` from now. Spans beyond a year are cut to a year.
    #[must_use]
    pub fn after(span: Duration) -> Self {
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        Self(monotonic() + span.min(YEAR))
    }

    /// What is left; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(monotonic())
    }

    /// True once nothing is left.
    #[must_use]
    pub fn passed(self) -> bool {
        self.remaining().is_zero()
    }
}

/// A running measurement of elapsed time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(monotonic())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_are_written_in_the_contract_s_form() {
        let check = |micros: i64, text: &str| assert_eq!(rfc3339(micros), text);
        check(0, "1970-01-01T00:00:00.000000Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
        check(1_795_395_723_000_004, "2026-11-23T01:02:03.000004Z");
        check(4_102_444_799_999_999, "2099-12-31T23:59:59.999999Z");
        check(i64::MAX, "9999-12-31T23:59:59.999999Z");
        check(i64::MIN, "0000-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_deadline_passes_and_never_goes_below_zero() {
        assert!(Deadline::after(Duration::ZERO).passed());
        assert!(!Deadline::after(Duration::MAX).passed());
        assert_eq!(Deadline::after(Duration::ZERO).remaining(), Duration::ZERO);
    }
}
