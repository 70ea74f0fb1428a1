//! Calendar days: proleptic Gregorian, no time, no zone.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A day, counted from 1970-01-01 as Avro's and Postgres's `date` do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(
    /// Days since 1970-01-01; negative before.
    pub i32,
);

/// A whole cycle of the Gregorian calendar: 400 years have always this many days.
const CYCLE_DAYS: i64 = 146_097;
/// Days from 0000-03-01, where the arithmetic below starts its years, to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

impl Date {
    /// The day of year, month (1 to 12) and day of month (from 1); `None` where there is no such day.
    #[must_use]
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=12).contains(&month) || day == 0 || (day > 28 && day > days_in_month(year, month)) {
            return None;
        }
        let year = i64::from(year) - i64::from(month <= 2);
        let centuries = year.div_euclid(100);
        let days = year * 365 + year.div_euclid(4) - centuries + centuries.div_euclid(4);
        i32::try_from(days + i64::from(day_of_year(month, day)) - EPOCH_DAYS).ok().map(Self)
    }

    /// Exactly `YYYY-MM-DD`, years 0000 to 9999.
    #[inline]
    #[must_use]
    pub fn from_iso(text: &[u8; 10]) -> Option<Self> {
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
        let number = eight_digits([y1, y2, y3, y4, m1, m2, d1, d2])?;
        Self::from_ymd(i32::try_from(number / 10_000).ok()?, number / 100 % 100, number % 100)
    }

    /// Year, month (1 to 12) and day of month (1 to 31).
    #[must_use]
    pub fn ymd(self) -> (i32, u32, u32) {
        civil(i64::from(self.0))
    }

    /// Exactly `YYYY-MM-DD`, years 0000 to 9999.
    #[must_use]
    pub fn parse_iso(text: &str) -> Option<Self> {
        match split_iso(text.as_bytes())? {
            (date, []) => Some(date),
            _ => None,
        }
    }
}

impl fmt::Display for Date {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_iso(&text).ok_or_else(|| de::Error::custom("not a date YYYY-MM-DD"))
    }
}

/// Days since the first of March. Years that begin in March put the leap day last, so that months have fixed offsets.
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
#[inline]
fn day_of_year(month: u32, day: u32) -> u32 {
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    (153 * month_from_march + 2) / 5 + day - 1
}

/// Days in a month (1 to 12) of a year.
#[must_use]
pub(crate) fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Year, month and day of a day counted from 1970-01-01, for any day that a timestamp can have.
pub(crate) fn civil(days: i64) -> (i32, u32, u32) {
    let days = days + EPOCH_DAYS;
    let cycle = days.div_euclid(CYCLE_DAYS);
    let day_of_cycle = days.rem_euclid(CYCLE_DAYS);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / (CYCLE_DAYS - 1)) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
    let small = "a day within i32 days or i64 microseconds of 1970 has a year, month and day that fit";
    (i32::try_from(year).expect(small), u32::try_from(month).expect(small), u32::try_from(day).expect(small))
}

/// `YYYY-MM-DD` at the start of `text`, and what follows it.
pub(crate) fn split_iso(text: &[u8]) -> Option<(Date, &[u8])> {
    let (head, rest) = text.split_first_chunk()?;
    Some((Date::from_iso(head)?, rest))
}

/// The number that eight ASCII digits spell, all at once: a record has a date in every tenth field.
fn eight_digits(text: [u8; 8]) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(text);
    // A digit has the high half 3, and still has it with 6 added. A byte that runs over into the next one has the high
    // half F.
    let halves = (word & (ONES * 0xf0)) | (word.wrapping_add(ONES * 0x06) & (ONES * 0xf0)) >> 4;
    if halves != ONES * 0x33 {
        return None;
    }
    // The first digit is the lowest byte. Neighbours are joined to numbers of two, four and eight digits; no sum reaches
    // the next number's place.
    let digits = word - ONES * 0x30;
    let pairs = (digits & 0x00ff_00ff_00ff_00ff) * 10 + (digits >> 8 & 0x00ff_00ff_00ff_00ff);
    let fours = (pairs & 0x0000_ffff_0000_ffff) * 100 + (pairs >> 16 & 0x0000_ffff_0000_ffff);
    let whole = (fours & 0xffff_ffff) * 10_000 + (fours >> 32);
    u32::try_from(whole).ok()
}

/// The number that up to nine ASCII digits spell; `None` if one is not a digit.
pub(crate) fn digits(text: &[u8]) -> Option<u32> {
    debug_assert!(text.len() <= 9, "more digits than a u32 holds");
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second formula: counts day by day from 1600-01-01, which is 135,140 days before 1970.
    #[test]
    fn every_day_from_1600_to_2400_agrees_with_counting_one_by_one() {
        let mut number = -135_140;
        for year in 1600..2400 {
            let leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
            let months = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, days) in (1..).zip(months) {
                for day in 1..=days {
                    assert_eq!(Date::from_ymd(year, month, day), Some(Date(number)));
                    assert_eq!(Date(number).ymd(), (year, month, day));
                    number += 1;
                }
                assert_eq!(Date::from_ymd(year, month, days + 1), None);
                assert_eq!(Date::from_ymd(year, month, 0), None);
            }
            assert_eq!(Date::from_ymd(year, 0, 1), None);
            assert_eq!(Date::from_ymd(year, 13, 1), None);
        }
        assert_eq!(Date::from_ymd(1970, 1, 1), Some(Date(0)));
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        for days in [i32::MIN, i32::MIN + 1, -1, 0, 1, i32::MAX] {
            let (year, month, day) = Date(days).ymd();
            assert_eq!(Date::from_ymd(year, month, day), Some(Date(days)));
        }
        assert_eq!(Date::from_ymd(i32::MAX, 12, 31), None);
        assert_eq!(Date::from_ymd(i32::MIN, 1, 1), None);
    }

    #[test]
    fn eight_digits_are_their_number_and_nothing_else_is_one() {
        for number in (0..100_000_000).step_by(9_973).chain([1, 10, 12_345_678, 99_999_999]) {
            let text: [u8; 8] = format!("{number:08}").into_bytes().try_into().expect("eight digits");
            assert_eq!(eight_digits(text), Some(number));
            for at in 0..8 {
                for byte in (0..=u8::MAX).filter(|byte| number % 64 == 0 && !byte.is_ascii_digit()) {
                    let mut other = text;
                    other[at] = byte;
                    assert_eq!(eight_digits(other), None, "{byte} at {at} of {number}");
                }
            }
        }
        assert_eq!(eight_digits([0xff; 8]), None);
    }

    #[test]
    fn iso_text_is_exactly_ten_characters() {
        let check = |text: &str, expected: Option<&str>| {
            let date = Date::parse_iso(text).map(|date| date.to_string());
            assert_eq!(date.as_deref(), expected, "{text}");
        };
        check("1990-05-17", Some("1990-05-17"));
        check("2000-02-29", Some("2000-02-29"));
        check("0000-02-29", Some("0000-02-29"));
        check("9999-12-31", Some("9999-12-31"));
        for bad in [
            "",
            "1900-02-29",
            "1990-5-17",
            "1990-05-17 ",
            " 1990-05-17",
            "1990/05/17",
            "1990-13-01",
            "1990-00-01",
            "1990-01-00",
            "1990-04-31",
            "+990-04-30",
            "199a-04-30",
            "１９９０-05-17",
        ] {
            check(bad, None);
        }
    }
}
