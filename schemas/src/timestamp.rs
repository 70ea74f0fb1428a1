//! Moments in time, to the microsecond, always UTC.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::date::{civil, digits, split_iso};

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// Microseconds since 1970-01-01T00:00:00Z; negative before.
    pub i64,
);

pub(crate) const SECOND_MICROS: i64 = 1_000_000;
pub(crate) const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;

impl Timestamp {
    /// Reads RFC 3339 with its mandatory offset, `Z` or `+07:00`; `T` may be `t` or a blank.
    ///
    /// Digits of the fraction beyond the sixth are cut off. A leap second (60) is refused: it has
    /// no microsecond of its own in this count.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (local, rest) = split_local(text.as_bytes())?;
        Some(Self(local - split_offset(rest)?))
    }
}

impl fmt::Display for Timestamp {
    /// `2026-11-23T01:02:03.000004Z`, always with six decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY_MICROS));
        let micros = self.0.rem_euclid(DAY_MICROS);
        let seconds = micros / SECOND_MICROS;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60,
            micros % SECOND_MICROS,
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 timestamp"))
    }
}

/// `YYYY-MM-DD[Tt ]HH:MM:SS[.f]` at the start of `text`, as microseconds since 1970 on the clock
/// that wrote it, and what follows.
pub(crate) fn split_local(text: &[u8]) -> Option<(i64, &[u8])> {
    let (date, text) = split_iso(text)?;
    let (clock, mut text) = text.split_first_chunk::<9>()?;
    if !matches!(clock[0], b'T' | b't' | b' ') || clock[3] != b':' || clock[6] != b':' {
        return None;
    }
    let hour = digits(&clock[1..3])?;
    let minute = digits(&clock[4..6])?;
    let second = digits(&clock[7..])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = 0;
    if let Some((b'.', fraction)) = text.split_first() {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = fraction.split_at(length);
        let kept = &fraction[..length.min(6)];
        let missing = 6 - u32::try_from(kept.len()).ok()?;
        micros = i64::from(digits(kept).filter(|_| length > 0)?) * 10_i64.pow(missing);
        text = rest;
    }
    let seconds = i64::from(hour * 3_600 + minute * 60 + second);
    let local = i64::from(date.0) * DAY_MICROS + seconds * SECOND_MICROS + micros;
    Some((local, text))
}

/// `Z` or `+HH:MM`, and nothing after it, as microseconds east of UTC.
pub(crate) fn split_offset(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let micros = i64::from(hours * 60 + minutes) * 60 * SECOND_MICROS;
            Some(if *sign == b'-' { -micros } else { micros })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Option<&str>) {
        let found = Timestamp::parse_rfc3339(text).map(|moment| moment.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn rfc3339_is_read_to_the_microsecond_in_utc() {
        check("2026-11-20T08:15:30+07:00", Some("2026-11-20T01:15:30.000000Z"));
        check("2026-11-20t08:15:30z", Some("2026-11-20T08:15:30.000000Z"));
        check("2026-11-20 08:15:30.5-01:30", Some("2026-11-20T09:45:30.500000Z"));
        check("2026-11-23T01:02:03.000004Z", Some("2026-11-23T01:02:03.000004Z"));
        check("2026-11-23T01:02:03.0000049999999Z", Some("2026-11-23T01:02:03.000004Z"));
        check("1969-12-31T23:59:59.999999Z", Some("1969-12-31T23:59:59.999999Z"));
        check("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00.000000Z"));
        check("2024-02-29T23:59:59-23:59", Some("2024-03-01T23:58:59.000000Z"));
        assert_eq!(Timestamp::parse_rfc3339("1970-01-01T00:00:00Z"), Some(Timestamp(0)));
    }

    #[test]
    fn what_is_not_rfc3339_is_refused() {
        for bad in [
            "",
            "2026-11-20",
            "2026-11-20T08:15:30",
            "2026-11-20T08:15Z",
            "2026-11-20T08:15:30.Z",
            "2026-11-20T08:15:30,5Z",
            "2026-11-20T08:15:60Z",
            "2026-12-31T23:59:60Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T08:60:00Z",
            "2026-02-29T08:15:30Z",
            "2026-11-20T08:15:30+0700",
            "2026-11-20T08:15:30+07",
            "2026-11-20T08:15:30+24:00",
            "2026-11-20T08:15:30+07:60",
            "2026-11-20T08:15:30Z ",
            " 2026-11-20T08:15:30Z",
            "2026-11-20X08:15:30Z",
            "2026-11-20T08.15.30Z",
            "2026-11-20T08:15:30\u{2212}07:00",
        ] {
            check(bad, None);
        }
    }

    proptest! {
        #[test]
        fn what_we_write_reads_back(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let moment = Timestamp(micros);
            prop_assert_eq!(Timestamp::parse_rfc3339(&moment.to_string()), Some(moment));
        }

        #[test]
        fn any_moment_can_be_written_and_any_text_read(micros: i64, text: String) {
            let _ = (Timestamp(micros).to_string(), Timestamp::parse_rfc3339(&text));
        }
    }
}
