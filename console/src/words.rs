//! How numbers, times and sizes are written for people. Pure.

use schemas::Timestamp;

/// `1,234,567`.
pub(crate) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 {
        text.insert(0, '-');
    }
    text
}

/// `1 batch`, `2 batches`.
pub(crate) fn counted(number: usize, one: &str, many: &str) -> String {
    let written = count(i64::try_from(number).unwrap_or(i64::MAX));
    format!("{written} {}", if number == 1 { one } else { many })
}

/// A span of time: `0.4 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`, `3 d 04 h`. Negative spans are 0.
pub(crate) fn span(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    let seconds = milliseconds / 1_000;
    match seconds {
        0..60 => format!("{seconds}.{} s", milliseconds % 1_000 / 100),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The zone in which people read times: Indonesia has three, without summer time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zone {
    /// East of UTC.
    hours: i64,
    /// As people write it.
    name: &'static str,
}

impl Zone {
    /// The zone of `schedule.time_zone`; any other than Indonesia's is shown as UTC.
    pub(crate) fn of(time_zone: &str) -> Self {
        let (hours, name) = match time_zone {
            "Asia/Jakarta" | "Asia/Pontianak" => (7, "WIB"),
            "Asia/Makassar" => (8, "WITA"),
            "Asia/Jayapura" => (9, "WIT"),
            _ => (0, "UTC"),
        };
        Self { hours, name }
    }

    /// `2026-11-23 08:02:03 WIB`.
    pub(crate) fn write(self, moment: Timestamp) -> String {
        let shifted = Timestamp(moment.0.saturating_add(self.hours * 3_600_000_000)).to_string();
        let date = shifted.get(..10).unwrap_or(&shifted);
        let clock = shifted.get(11..19).unwrap_or_default();
        format!("{date} {clock} {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_the_zone_of_the_schedule() {
        let moment = Timestamp::parse_rfc3339("2026-11-23T18:02:03.9Z").expect("a time");
        let check = |zone: &str, text: &str| assert_eq!(Zone::of(zone).write(moment), text);
        check("Asia/Jakarta", "2026-11-24 01:02:03 WIB");
        check("Asia/Makassar", "2026-11-24 02:02:03 WITA");
        check("Asia/Jayapura", "2026-11-24 03:02:03 WIT");
        check("Europe/Berlin", "2026-11-23 18:02:03 UTC");
    }

    #[test]
    fn counts_are_grouped_by_three() {
        let check = |number, text: &str| assert_eq!(count(number), text);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(-1_234_567, "-1,234,567");
        check(i64::MIN, "-9,223,372,036,854,775,808");
        assert_eq!(counted(1, "batch", "batches"), "1 batch");
        assert_eq!(counted(0, "batch", "batches"), "0 batches");
    }

    #[test]
    fn spans_have_the_two_units_that_matter() {
        let check = |milliseconds, text: &str| assert_eq!(span(milliseconds), text);
        check(-5, "0.0 s");
        check(449, "0.4 s");
        check(59_999, "59.9 s");
        check(245_000, "4 min 05 s");
        check(7_380_000, "2 h 03 min");
        check(273_600_000, "3 d 04 h");
    }
}
