//! Dates in the forms that the profile declares.
//!
//! Day and month are never told apart by their values: a text that two declared forms read as different days is refused,
//! because a guess that is right for 13/05 is wrong for 05/04.

use schemas::Date;
use schemas::layout::DateFormat;

use crate::Code;

/// 1900-01-01 to 2199-12-31: no worker, diploma or licence has a date outside.
const DAYS: std::ops::RangeInclusive<Date> = Date(-25_567)..=Date(84_005);
/// Days from 1899-12-30, day 0 of spreadsheets, to 1970-01-01.
const SPREADSHEET_EPOCH_DAYS: i32 = 25_569;

/// The date that a clean text means.
///
/// Errors: [`Code::DateInvalid`] where no format fits, [`Code::DateAmbiguous`] where two fit with different dates.
pub(crate) fn read(text: &str, formats: &[DateFormat]) -> Result<Date, Code> {
    // As nearly every date is written; the same in the loop's own way.
    if let ([DateFormat::Iso, ..], Ok(text)) = (formats, text.as_bytes().try_into())
        && let Some(date) = Date::from_iso(text)
        && DAYS.contains(&date)
    {
        return Ok(date);
    }
    let mut found = None;
    for format in formats {
        let Some(date) = fit(text.as_bytes(), *format).filter(|date| DAYS.contains(date)) else {
            continue;
        };
        // Every other shape excludes all the rest.
        if !matches!(format, DateFormat::DmySlash | DateFormat::MdySlash) {
            return Ok(date);
        }
        if found.is_some_and(|found| found != date) {
            return Err(Code::DateAmbiguous);
        }
        found = Some(date);
    }
    found.ok_or(Code::DateInvalid)
}

/// The date that a text has under one format; `None` if it has not its shape or there is no such day.
fn fit(text: &[u8], format: DateFormat) -> Option<Date> {
    match format {
        DateFormat::Iso => Date::from_iso(text.try_into().ok()?),
        DateFormat::IsoMidnight => {
            let (date, time) = text.split_first_chunk()?;
            is_midnight(time).then(|| Date::from_iso(date))?
        }
        DateFormat::DmyDash => {
            let (day, month, year) = two_two_four(text.try_into().ok()?, b'-')?;
            day_of(year, month, day)
        }
        DateFormat::DmySlash => {
            let (day, month, year) = two_two_four(text.try_into().ok()?, b'/')?;
            day_of(year, month, day)
        }
        DateFormat::MdySlash => {
            let (month, day, year) = two_two_four(text.try_into().ok()?, b'/')?;
            day_of(year, month, day)
        }
        DateFormat::DMonthY => day_month_year(text),
        DateFormat::ExcelSerial => spreadsheet_serial(text),
    }
}

/// ` 00:00:00` or `T00:00:00`, with zeros of a fraction. A zone is refused: midnight elsewhere is another day here.
fn is_midnight(time: &[u8]) -> bool {
    let Some(([b' ' | b'T', clock @ ..], fraction)) = time.split_first_chunk::<9>() else { return false };
    let fraction_is_zero = match fraction {
        [] => true,
        [b'.', zeros @ ..] => !zeros.is_empty() && zeros.iter().all(|digit| *digit == b'0'),
        _ => false,
    };
    clock == b"00:00:00" && fraction_is_zero
}

fn two_two_four(text: &[u8; 10], separator: u8) -> Option<(u32, u32, u32)> {
    let [a1, a2, s1, b1, b2, s2, y1, y2, y3, y4] = *text;
    if s1 != separator || s2 != separator {
        return None;
    }
    Some((number(&[a1, a2])?, number(&[b1, b2])?, number(&[y1, y2, y3, y4])?))
}

/// `17 Mei 1990`.
fn day_month_year(text: &[u8]) -> Option<Date> {
    let mut words = text.split(|byte| *byte == b' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !matches!(day.len(), 1 | 2) || year.len() != 4 {
        return None;
    }
    let month = month.strip_suffix(b".").unwrap_or(month);
    let index = MONTHS.iter().position(|names| names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(month)))?;
    day_of(number(year)?, u32::try_from(index + 1).ok()?, number(day)?)
}

/// Indonesian months: the full name, then the short ones in use.
const MONTHS: [&[&str]; 12] = [
    &["Januari", "Jan"],
    &["Februari", "Feb", "Peb"],
    &["Maret", "Mar"],
    &["April", "Apr"],
    &["Mei"],
    &["Juni", "Jun"],
    &["Juli", "Jul"],
    &["Agustus", "Agu", "Ags", "Agt"],
    &["September", "Sep", "Sept"],
    &["Oktober", "Okt"],
    &["November", "Nov", "Nop"],
    &["Desember", "Des"],
];

fn spreadsheet_serial(text: &[u8]) -> Option<Date> {
    if !matches!(text.len(), 1..=6) || text.first() == Some(&b'0') {
        return None;
    }
    let days = i32::try_from(number(text)?).ok()?;
    Some(Date(days - SPREADSHEET_EPOCH_DAYS))
}

fn day_of(year: u32, month: u32, day: u32) -> Option<Date> {
    Date::from_ymd(i32::try_from(year).ok()?, month, day)
}

/// The number that at most six ASCII digits spell.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(format: DateFormat, text: &str, expected: Option<&str>) {
        let found = read(text, &[format]);
        assert_eq!(found.map(|date| date.to_string()).ok().as_deref(), expected, "{text} as {format}");
        if expected.is_none() {
            assert_eq!(found, Err(Code::DateInvalid));
        }
    }

    #[test]
    fn each_format_reads_its_own_shape() {
        for (format, text, date) in [
            (DateFormat::Iso, "1990-05-17", "1990-05-17"),
            (DateFormat::Iso, "2000-02-29", "2000-02-29"),
            (DateFormat::Iso, "1900-01-01", "1900-01-01"),
            (DateFormat::Iso, "2199-12-31", "2199-12-31"),
            (DateFormat::IsoMidnight, "1990-05-17 00:00:00", "1990-05-17"),
            (DateFormat::IsoMidnight, "1990-05-17T00:00:00", "1990-05-17"),
            (DateFormat::IsoMidnight, "1990-05-17 00:00:00.000", "1990-05-17"),
            (DateFormat::DmyDash, "17-05-1990", "1990-05-17"),
            (DateFormat::DmySlash, "17/05/1990", "1990-05-17"),
            (DateFormat::MdySlash, "05/17/1990", "1990-05-17"),
            (DateFormat::DMonthY, "17 Mei 1990", "1990-05-17"),
            (DateFormat::DMonthY, "7 MEI 1990", "1990-05-07"),
            (DateFormat::DMonthY, "12 Agu 1990", "1990-08-12"),
            (DateFormat::DMonthY, "12 agustus 1990", "1990-08-12"),
            (DateFormat::DMonthY, "01 Okt. 2001", "2001-10-01"),
            (DateFormat::DMonthY, "31 DES 1999", "1999-12-31"),
            (DateFormat::DMonthY, "28 Peb 1999", "1999-02-28"),
            (DateFormat::DMonthY, "1 Nop 1999", "1999-11-01"),
            (DateFormat::ExcelSerial, "33010", "1990-05-17"),
            (DateFormat::ExcelSerial, "2", "1900-01-01"),
            (DateFormat::ExcelSerial, "109574", "2199-12-31"),
        ] {
            check(format, text, Some(date));
        }
    }

    #[test]
    fn what_a_format_does_not_read() {
        for (format, texts) in [
            (
                DateFormat::Iso,
                &[
                    "",
                    "1990-5-17",
                    "90-05-17",
                    "1990/05/17",
                    "17-05-1990",
                    "1990-05-17 ",
                    "1990-02-29",
                    "1990-04-31",
                    "1990-13-01",
                    "1990-00-01",
                    "1990-01-00",
                    "1899-12-31",
                    "2200-01-01",
                    "0000-00-00",
                    "0001-01-01",
                    "9999-12-31",
                    "1990-05-17 00:00:00",
                    "+990-05-17",
                    "1990-05-1x",
                    "Seumur Hidup",
                ][..],
            ),
            (
                DateFormat::IsoMidnight,
                &[
                    "1990-05-17",
                    "1990-05-17 00:00:01",
                    "1990-05-17 00:00",
                    "1990-05-17 00:00:00Z",
                    "1990-05-17T00:00:00+07:00",
                    "1990-05-17 00:00:00.",
                    "1990-05-17 00:00:00.1",
                    "1990-05-17_00:00:00",
                    "1990-02-30 00:00:00",
                    "1990-05-17t00:00:00",
                    "1899-12-31 00:00:00",
                ],
            ),
            (
                DateFormat::DmyDash,
                &[
                    "17/05/1990",
                    "1990-05-17",
                    "05-17-1990",
                    "31-04-1990",
                    "1-5-1990",
                    "17-05-90",
                    "29-02-1900",
                    "17-05-1899",
                ],
            ),
            (DateFormat::DmySlash, &["17-05-1990", "05/17/1990", "7/5/1990", "17/05/90", "17/05-1990"]),
            (DateFormat::MdySlash, &["17/05/1990", "13/13/1990", "02/30/1990", "00/10/1990"]),
            (
                DateFormat::DMonthY,
                &[
                    "17 May 1990",
                    "17 Aug 1990",
                    "17 Dec 1990",
                    "17-Mei-1990",
                    "17 Mei 90",
                    "017 Mei 1990",
                    "Mei 17 1990",
                    "17 Mei 1990 x",
                    "17  Mei 1990",
                    "31 Apr 1990",
                    "0 Mei 1990",
                    "17 Mei.. 1990",
                    "17 . 1990",
                    "17 Me 1990",
                    " 17 Mei 1990",
                    "17 Mei 1899",
                ],
            ),
            (
                DateFormat::ExcelSerial,
                &["0", "1", "033010", "33010.0", "-1", "109575", "1000000", "33 010", "999999", "1990-05-17"],
            ),
        ] {
            for text in texts {
                check(format, text, None);
            }
        }
    }

    #[test]
    fn every_month_has_its_name() {
        for (index, names) in MONTHS.iter().enumerate() {
            for name in *names {
                let expected = format!("1990-{:02}-09", index + 1);
                check(DateFormat::DMonthY, &format!("9 {name} 1990"), Some(&expected));
            }
        }
    }

    #[test]
    fn two_readings_that_differ_are_refused_and_two_that_agree_are_not() {
        let both = [DateFormat::DmySlash, DateFormat::MdySlash];
        let check = |text: &str, expected: Result<&str, Code>| {
            assert_eq!(read(text, &both).map(|date| date.to_string()), expected.map(str::to_owned), "{text}");
            let turned = [DateFormat::MdySlash, DateFormat::Iso, DateFormat::DmySlash];
            assert_eq!(read(text, &turned).map(|date| date.to_string()), expected.map(str::to_owned), "{text}");
        };
        check("05/04/1990", Err(Code::DateAmbiguous));
        check("12/11/1990", Err(Code::DateAmbiguous));
        check("05/05/1990", Ok("1990-05-05"));
        // Only one of the two exists.
        check("17/05/1990", Ok("1990-05-17"));
        check("05/17/1990", Ok("1990-05-17"));
        check("31/04/1990", Err(Code::DateInvalid));
        check("17/17/1990", Err(Code::DateInvalid));
        check("05/04/1899", Err(Code::DateInvalid));
    }

    #[test]
    fn the_range_is_300_whole_years() {
        assert_eq!(DAYS.start().to_string(), "1900-01-01");
        assert_eq!(DAYS.end().to_string(), "2199-12-31");
    }

    #[test]
    fn without_a_format_nothing_is_a_date() {
        assert_eq!(read("1990-05-17", &[]), Err(Code::DateInvalid));
    }

    proptest! {
        #[test]
        fn every_day_in_range_is_read_in_every_format(days in -25_567..84_006_i32) {
            let date = Date(days);
            let (year, month, day) = date.ymd();
            let name = MONTHS[usize::try_from(month - 1).expect("a month")][0];
            for (format, text) in [
                (DateFormat::Iso, date.to_string()),
                (DateFormat::IsoMidnight, format!("{date} 00:00:00")),
                (DateFormat::DmyDash, format!("{day:02}-{month:02}-{year}")),
                (DateFormat::DmySlash, format!("{day:02}/{month:02}/{year}")),
                (DateFormat::MdySlash, format!("{month:02}/{day:02}/{year}")),
                (DateFormat::DMonthY, format!("{day} {name} {year}")),
                (DateFormat::ExcelSerial, (days + SPREADSHEET_EPOCH_DAYS).to_string()),
            ] {
                let found = read(&text, &[format]);
                prop_assert_eq!(found, Ok(date), "{} as {}", text, format);
            }
        }

        #[test]
        fn any_text_has_an_answer(text in "\\PC{0,30}|[0-9/ T:.-]{0,24}|[0-9]{1,2} [A-Za-z.]{2,9} [0-9]{4}|[0-9]{2}/[0-9]{2}/[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2}") {
            let fitting: Vec<_> = DateFormat::ALL.iter().filter(|format| fit(text.as_bytes(), **format).is_some()).collect();
            let slashes = [&DateFormat::DmySlash, &DateFormat::MdySlash];
            prop_assert!(fitting.len() < 2 || fitting == slashes, "shapes exclude each other");
            let date = read(&text, DateFormat::ALL);
            if let Ok(date) = date {
                prop_assert!((1900..=2199).contains(&date.ymd().0));
            }
        }
    }
}
