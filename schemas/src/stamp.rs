//! The source's own stamp, `last_updated`: reading it and believing it.

use thiserror::Error;

use crate::layout::{StampFormat, Zone, epoch_ms};
use crate::timestamp::{SECOND_MICROS, Timestamp, split_local};

/// How far a stamp may lie after the moment the record was fetched: clocks differ.
pub const AHEAD_MAX_SECONDS: i64 = 5 * 60;
/// 2000-01-01T00:00:00Z; nothing in this system was updated before it.
pub const OLDEST: Timestamp = Timestamp(946_684_800 * SECOND_MICROS);

/// Why a readable stamp is not believed. Believing it would freeze the row, or the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum StampFault {
    /// More than five minutes after the record was fetched.
    #[error("a stamp later than the moment it was fetched")]
    Future,
    /// Before the year 2000.
    #[error("a stamp before the year 2000")]
    TooOld,
}

/// Reads a stamp in the first of `formats` that it fits. Unicode blanks around it are ignored;
/// `zone` is the clock of stamps without an offset. Precision beyond a microsecond is cut off.
#[must_use]
pub fn parse(text: &str, formats: &[StampFormat], zone: Zone) -> Option<Timestamp> {
    let text = text.trim();
    formats.iter().find_map(|format| match format {
        StampFormat::Rfc3339 => Timestamp::parse_rfc3339(text),
        StampFormat::Naive => match split_local(text.as_bytes())? {
            (local, []) => Some(Timestamp(local - zone.east_micros())),
            _ => None,
        },
        StampFormat::EpochMs => epoch_ms(text),
    })
}

/// Whether a stamp can be true of a record that was fetched at `fetched_at`.
pub fn credible(last_updated: Timestamp, fetched_at: Timestamp) -> Result<(), StampFault> {
    if last_updated < OLDEST {
        Err(StampFault::TooOld)
    } else if last_updated.0 > fetched_at.0.saturating_add(AHEAD_MAX_SECONDS * SECOND_MICROS) {
        Err(StampFault::Future)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[StampFormat] = StampFormat::ALL;

    fn check(text: &str, formats: &[StampFormat], zone: &str, expected: Option<&str>) {
        let zone = Zone::parse(zone).expect("a zone");
        let found = parse(text, formats, zone).map(|moment| moment.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn a_naive_stamp_is_read_on_the_clock_of_its_zone() {
        let text = "2026-01-01 10:00:00";
        for (zone, expected) in [
            ("Asia/Jakarta", "2026-01-01T03:00:00.000000Z"),
            ("Asia/Makassar", "2026-01-01T02:00:00.000000Z"),
            ("Asia/Jayapura", "2026-01-01T01:00:00.000000Z"),
            ("UTC", "2026-01-01T10:00:00.000000Z"),
            ("+07:00", "2026-01-01T03:00:00.000000Z"),
            ("-03:30", "2026-01-01T13:30:00.000000Z"),
        ] {
            check(text, ALL, zone, Some(expected));
        }
    }

    #[test]
    fn an_offset_in_the_stamp_decides_whatever_the_zone() {
        for zone in ["Asia/Jakarta", "Asia/Jayapura", "UTC"] {
            check("2026-01-01 10:00:00+09:00", ALL, zone, Some("2026-01-01T01:00:00.000000Z"));
        }
    }

    #[test]
    fn only_declared_formats_are_read() {
        use StampFormat::{EpochMs, Naive, Rfc3339};
        for (text, format) in [
            ("2026-01-01T10:00:00.123456789Z", Rfc3339),
            ("2026-01-01T10:00:00.123456789", Naive),
            ("2026-01-01 10:00:00", Naive),
            ("1767261600123", EpochMs),
            ("0", EpochMs),
        ] {
            for declared in ALL {
                let found = parse(text, &[*declared], Zone::UTC);
                assert_eq!(found.is_some(), *declared == format, "{text} as {declared}");
            }
        }
        check("1767261600123", &[EpochMs], "Asia/Jakarta", Some("2026-01-01T10:00:00.123000Z"));
        check("\u{a0}2026-01-01T10:00:00.1234569\t", &[Naive], "UTC", Some("2026-01-01T10:00:00.123456Z"));
    }

    #[test]
    fn what_is_no_stamp_is_refused() {
        for bad in [
            "",
            " ",
            "-",
            "NULL",
            "10.00",
            "2026-01-01",
            "01/01/2026 10:00:00",
            "2026-02-30 10:00:00",
            "2026-01-01 24:00:00",
            "2026-01-01 10:00:60",
            "2026-01-01 10:00",
            "-1",
            "1767261600.123",
            "1.7e12",
            "1234567890123456",
            "12345678901234567890123",
            "١٢٣",
        ] {
            check(bad, ALL, "Asia/Jakarta", None);
        }
        assert_eq!(parse("2026-01-01T10:00:00Z", &[], Zone::UTC), None);
    }

    #[test]
    fn a_stamp_is_believed_from_2000_to_five_minutes_ahead() {
        let fetched_at = Timestamp::parse_rfc3339("2026-11-23T01:02:03Z").expect("a moment");
        let check = |text: &str, expected: Result<(), StampFault>| {
            let stamp = Timestamp::parse_rfc3339(text).expect("a moment");
            assert_eq!(credible(stamp, fetched_at), expected, "{text}");
        };
        check("2026-11-23T01:02:03Z", Ok(()));
        check("2026-11-23T01:07:03Z", Ok(()));
        check("2026-11-23T01:07:03.000001Z", Err(StampFault::Future));
        check("2099-01-01T00:00:00Z", Err(StampFault::Future));
        check("2000-01-01T00:00:00Z", Ok(()));
        check("1999-12-31T23:59:59.999999Z", Err(StampFault::TooOld));
        check("1970-01-01T00:00:00Z", Err(StampFault::TooOld));
        for extreme in [i64::MIN, i64::MAX] {
            assert!(credible(Timestamp(extreme), fetched_at).is_err());
            let _ = credible(fetched_at, Timestamp(extreme));
        }
    }

    #[test]
    fn the_zone_knows_its_calendar_day() {
        let jakarta = Zone::parse("Asia/Jakarta").expect("a zone");
        let day = |text: &str| {
            let moment = Timestamp::parse_rfc3339(text).expect("a moment");
            jakarta.date_of(moment).to_string()
        };
        assert_eq!(day("2026-11-23T16:59:59.999999Z"), "2026-11-23");
        assert_eq!(day("2026-11-23T17:00:00Z"), "2026-11-24");
        assert_eq!(day("1969-12-31T16:59:59Z"), "1969-12-31");
        assert_eq!(jakarta.east_seconds(), 7 * 3_600);
        for extreme in [i64::MIN, i64::MAX] {
            let _ = jakarta.date_of(Timestamp(extreme));
        }
        for bad in ["", "WIB", "Asia/jakarta", "07:00", "+7", "+25:00", "Z"] {
            assert_eq!(Zone::parse(bad), None, "{bad}");
        }
    }
}
