//! Days and stamps, and every way in which a source may write them.

/// A day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(pub(crate) i32);

/// An instant in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(pub(crate) i64);

/// Microseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub(crate) const DAY: i64 = 86_400 * SECOND;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const BULAN: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"];

impl Day {
    /// The day of a date of the Gregorian calendar that is known to exist.
    pub(crate) fn from_ymd(year: i32, month: u32, day: u32) -> Self {
        // Days from civil, H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let (month, day) = (i32::try_from(month).unwrap_or(1), i32::try_from(day).unwrap_or(1));
        let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self(era * 146_097 + day_of_era - 719_468)
    }

    /// Year, month from 1, day from 1.
    pub(crate) fn ymd(self) -> (i32, u32, u32) {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
        let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        (year, month.unsigned_abs(), day.unsigned_abs())
    }

    /// This day `years` later, the 29th of February as the 28th.
    pub(crate) fn years_later(self, years: i32) -> Self {
        let (year, month, day) = self.ymd();
        Self::from_ymd(year + years, month, if month == 2 { day.min(28) } else { day })
    }
}

/// How a source writes dates. The names are those of a profile's `date_formats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum DateFormat {
    /// `1990-05-17`
    Iso,
    /// `1990-05-17 00:00:00`
    IsoMidnight,
    /// `17-05-1990`
    DmyDash,
    /// `17/05/1990`
    DmySlash,
    /// `05/17/1990`
    MdySlash,
    /// `17 Mei 1990`
    DMonthY,
    /// `33010`: days since 1899-12-30
    ExcelSerial,
}

/// How a source writes an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StampForm {
    /// RFC 3339 with this many minutes east of Greenwich and this many decimals.
    Offset { minutes: i16, decimals: u8 },
    /// RFC 3339 with `Z`.
    Utc { decimals: u8 },
    /// Without offset, in West Indonesian time, which the shipped profile declares as its zone.
    NaiveWib { decimals: u8 },
}

/// Appends `value` in decimal, padded with zeros to `width` digits.
pub(crate) fn push_number(out: &mut String, value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut rest = value;
    let mut used = 0;
    while rest > 0 || used == 0 {
        used += 1;
        digits[20 - used] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    for digit in &digits[20 - used.max(width.min(20))..] {
        out.push(char::from(*digit));
    }
}

/// Appends `1990-05-17`.
pub(crate) fn push_iso(out: &mut String, day: Day) {
    let (year, month, of_month) = day.ymd();
    push_year(out, year);
    out.push('-');
    push_number(out, u64::from(month), 2);
    out.push('-');
    push_number(out, u64::from(of_month), 2);
}

fn push_year(out: &mut String, year: i32) {
    push_number(out, u64::from(year.unsigned_abs()), 4);
}

/// Appends `day` in `format`.
pub(crate) fn push_day(out: &mut String, day: Day, format: DateFormat) {
    let (year, month, of_month) = day.ymd();
    let (month, of_month) = (u64::from(month), u64::from(of_month));
    let mut triple = |first: u64, second: u64, separator: char| {
        push_number(out, first, 2);
        out.push(separator);
        push_number(out, second, 2);
        out.push(separator);
        push_year(out, year);
    };
    match format {
        DateFormat::Iso => push_iso(out, day),
        DateFormat::IsoMidnight => {
            push_iso(out, day);
            out.push_str(" 00:00:00");
        }
        DateFormat::DmyDash => triple(of_month, month, '-'),
        DateFormat::DmySlash => triple(of_month, month, '/'),
        DateFormat::MdySlash => triple(month, of_month, '/'),
        DateFormat::DMonthY => {
            push_number(out, of_month, 1);
            out.push(' ');
            out.push_str(BULAN[usize::try_from(month).unwrap_or(1) - 1]);
            out.push(' ');
            push_year(out, year);
        }
        DateFormat::ExcelSerial => {
            push_number(out, u64::from((day.0 - Day::from_ymd(1899, 12, 30).0).unsigned_abs()), 1);
        }
    }
}

impl Stamp {
    /// Reads RFC 3339 with an offset.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| Self(time.timestamp_micros()))
    }

    /// The last whole second, as a stamp.
    pub(crate) fn whole_second(self) -> Self {
        Self(self.0.div_euclid(SECOND) * SECOND)
    }
}

impl std::fmt::Display for Stamp {
    /// The contract's form: `2026-11-23T01:02:03.000004Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(27);
        push_stamp(&mut text, *self, StampForm::Utc { decimals: 6 });
        f.write_str(&text)
    }
}

/// Appends `stamp` in `form`. Decimals beyond the sixth are made up: a reader truncates them.
pub(crate) fn push_stamp(out: &mut String, stamp: Stamp, form: StampForm) {
    let (minutes, decimals) = match form {
        StampForm::Offset { minutes, decimals } => (minutes, decimals),
        StampForm::Utc { decimals } => (0, decimals),
        StampForm::NaiveWib { decimals } => (7 * 60, decimals),
    };
    let local = stamp.0 + i64::from(minutes) * 60 * SECOND;
    push_iso(out, Day(i32::try_from(local.div_euclid(DAY)).unwrap_or(0)));
    out.push(if matches!(form, StampForm::NaiveWib { .. }) { ' ' } else { 'T' });
    let micros = local.rem_euclid(DAY).unsigned_abs();
    let seconds = micros / SECOND.unsigned_abs();
    push_number(out, seconds / 3600, 2);
    out.push(':');
    push_number(out, seconds / 60 % 60, 2);
    out.push(':');
    push_number(out, seconds % 60, 2);
    let fraction = micros % SECOND.unsigned_abs();
    match decimals {
        0 => {}
        3 => {
            out.push('.');
            push_number(out, fraction / 1000, 3);
        }
        6 => {
            out.push('.');
            push_number(out, fraction, 6);
        }
        _ => {
            out.push('.');
            push_number(out, fraction, 6);
            out.push_str("789");
        }
    }
    match form {
        StampForm::Utc { .. } => out.push('Z'),
        StampForm::NaiveWib { .. } => {}
        StampForm::Offset { minutes, .. } => {
            out.push(if minutes < 0 { '-' } else { '+' });
            let minutes = u64::from(minutes.unsigned_abs());
            push_number(out, minutes / 60, 2);
            out.push(':');
            push_number(out, minutes % 60, 2);
        }
    }
}

/// The value of HTTP's `Date` header (RFC 9110, 5.6.7).
pub(crate) fn http_date(stamp: Stamp) -> String {
    let days = stamp.0.div_euclid(DAY);
    let seconds = stamp.0.rem_euclid(DAY).unsigned_abs() / SECOND.unsigned_abs();
    let (year, month, day) = Day(i32::try_from(days).unwrap_or(0)).ymd();
    let weekday = WEEKDAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];
    format!(
        "{weekday}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        MONTHS[(month - 1) as usize],
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(day: Day, format: DateFormat) -> String {
        let mut text = String::new();
        push_day(&mut text, day, format);
        text
    }

    #[test]
    fn days_agree_with_chrono() {
        use chrono::Datelike;
        for days in (-40_000..60_000).step_by(13) {
            let date = chrono::NaiveDate::from_num_days_from_ce_opt(days + 719_163).expect("in range");
            assert_eq!(Day(days).ymd(), (date.year(), date.month(), date.day()));
            assert_eq!(Day::from_ymd(date.year(), date.month(), date.day()), Day(days));
        }
    }

    #[test]
    fn a_day_is_written_in_every_format() {
        let day = Day::from_ymd(1990, 5, 7);
        assert_eq!(written(day, DateFormat::Iso), "1990-05-07");
        assert_eq!(written(day, DateFormat::IsoMidnight), "1990-05-07 00:00:00");
        assert_eq!(written(day, DateFormat::DmyDash), "07-05-1990");
        assert_eq!(written(day, DateFormat::DmySlash), "07/05/1990");
        assert_eq!(written(day, DateFormat::MdySlash), "05/07/1990");
        assert_eq!(written(day, DateFormat::DMonthY), "7 Mei 1990");
        assert_eq!(written(Day::from_ymd(1990, 5, 17), DateFormat::ExcelSerial), "33010");
    }

    #[test]
    fn a_stamp_means_the_same_in_every_form() {
        let stamp = Stamp::parse("2026-11-20T08:15:30.123456+07:00").expect("valid");
        assert_eq!(stamp.to_string(), "2026-11-20T01:15:30.123456Z");
        for minutes in [0, 420, 480, 540, -90] {
            let mut text = String::new();
            push_stamp(&mut text, stamp, StampForm::Offset { minutes, decimals: 6 });
            assert_eq!(Stamp::parse(&text), Some(stamp), "{text}");
        }
        let mut text = String::new();
        push_stamp(&mut text, stamp, StampForm::NaiveWib { decimals: 3 });
        assert_eq!(text, "2026-11-20 08:15:30.123");
        text.clear();
        push_stamp(&mut text, stamp, StampForm::Utc { decimals: 9 });
        assert_eq!(text, "2026-11-20T01:15:30.123456789Z");
    }

    #[test]
    fn the_date_header_has_the_form_of_http() {
        let stamp = Stamp::parse("1994-11-06T08:49:37Z").expect("valid");
        assert_eq!(http_date(stamp), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn the_29th_of_february_ages_to_the_28th() {
        assert_eq!(Day::from_ymd(2000, 2, 29).years_later(5).ymd(), (2005, 2, 28));
    }
}
