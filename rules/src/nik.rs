//! The NIK: what 16 digits must be, and what they say about the person.
//!
//! Sources: PP 37/2007 art. 37 (region of first registration, day, month and year of birth with 40 added to a woman's
//! day, serial from 0001). A NIK stays for life, so a later correction of the birth date is no fault of the NIK, and
//! retired region codes are as good as today's. Nothing is ever repaired.

use crate::region::Regions;
use crate::{Code, kecamatan};
use schemas::Date;

/// What is added to a woman's day of birth.
const WOMAN_DAYS: u32 = 40;

/// The parts of 16 digits that the rules read.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    regency: u16,
    kecamatan: u32,
    day: u32,
    month: u32,
    year: u32,
    serial: u32,
}

impl Parts {
    /// `None` unless `text` is exactly 16 ASCII digits.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let digits: &[u8; 16] = text.as_bytes().try_into().ok()?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let [r1, r2, r3, r4, k1, k2, d1, d2, m1, m2, y1, y2, s1, s2, s3, s4] =
            digits.map(|digit| u32::from(digit - b'0'));
        Some(Self {
            regency: u16::try_from(r1 * 1_000 + r2 * 100 + r3 * 10 + r4).ok()?,
            kecamatan: k1 * 10 + k2,
            day: d1 * 10 + d2,
            month: m1 * 10 + m2,
            year: y1 * 10 + y2,
            serial: s1 * 1_000 + s2 * 100 + s3 * 10 + s4,
        })
    }

    fn is_woman(self) -> bool {
        self.day > WOMAN_DAYS
    }

    /// Day of birth without what is added for women; 0 or above 31 for a day that nobody has.
    fn birth_day(self) -> u32 {
        if self.is_woman() { self.day - WOMAN_DAYS } else { self.day }
    }

    /// Hard rules on the digits; all that apply.
    pub(crate) fn hard_reasons(self, regions: &Regions) -> impl Iterator<Item = Code> {
        let day_is_good = matches!(self.birth_day(), 1..=31);
        let month_is_good = matches!(self.month, 1..=12);
        let date_exists = [1900, 2000].into_iter().any(|century| {
            let year = century + i32::try_from(self.year).unwrap_or_default();
            Date::from_ymd(year, self.month, self.birth_day()).is_some()
        });
        [
            (Code::NikProvince, !regions.is_province(self.regency / 100)),
            (Code::NikBirthDay, !day_is_good),
            (Code::NikBirthMonth, !month_is_good),
            (Code::NikBirthDate, day_is_good && month_is_good && !date_exists),
            (Code::NikSerial, self.serial == 0),
        ]
        .into_iter()
        .filter_map(|(code, applies)| applies.then_some(code))
    }

    /// Whether the first four digits are a regency of today or a retired one.
    pub(crate) fn has_known_regency(self, regions: &Regions) -> bool {
        regions.is_regency(self.regency)
    }

    /// Whether the third pair of digits may be a kecamatan of that regency.
    pub(crate) fn may_have_kecamatan(self) -> bool {
        kecamatan::may_be(self.regency, self.kecamatan)
    }

    /// Whether a birth date is the one in the digits, as far as they tell: they have no century.
    pub(crate) fn has_birth_date(self, date: Date) -> bool {
        let (year, month, day) = date.ymd();
        let year_in_century = u32::try_from(year.rem_euclid(100)).unwrap_or_default();
        (day, month, year_in_century) == (self.birth_day(), self.month, self.year)
    }

    /// Whether the digits are a woman's (`true`) or a man's, as `is_woman` says.
    pub(crate) fn has_sex(self, is_woman: bool) -> bool {
        self.is_woman() == is_woman
    }
}

/// Why a text is not 16 digits.
pub(crate) fn form_reason(text: &str) -> Code {
    if is_spreadsheet(text.as_bytes()) { Code::NikSpreadsheet } else { Code::NikLength }
}

/// `'...`, `=...`, or digits followed by a fraction, an exponent, or both.
fn is_spreadsheet(text: &[u8]) -> bool {
    if matches!(text.first(), Some(b'\'' | b'=')) {
        return true;
    }
    let Some(rest) = after_digits(text) else { return false };
    let fraction = match rest.split_first() {
        Some((b'.' | b',', after)) => after_digits(after),
        _ => None,
    };
    let has_exponent = |rest: &[u8]| match rest {
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => {
            after_digits(digits).is_some_and(<[u8]>::is_empty)
        }
        _ => false,
    };
    match fraction {
        Some(rest) => rest.is_empty() || has_exponent(rest),
        None => has_exponent(rest),
    }
}

/// What follows one or more digits; `None` if there is none at the start.
fn after_digits(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 { None } else { text.get(length..) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    fn regions() -> &'static Regions {
        static REGIONS: LazyLock<Regions> = LazyLock::new(Regions::kemendagri);
        &REGIONS
    }

    fn check(nik: &str, expected: &[Code]) {
        let found: Vec<Code> = match Parts::read(nik) {
            Some(parts) => parts.hard_reasons(regions()).collect(),
            None => vec![form_reason(nik)],
        };
        assert_eq!(found, expected, "{nik}");
    }

    #[test]
    fn good_numbers_pass() {
        for nik in [
            "3273015705900004",
            "9171011203850003",
            // Above 2^53 and odd: the one that a double would change.
            "9301014101900003",
            "3273013112900001",
            "3273017112900001",
            "3273010101900001",
            "3273014101900001",
            // 29 February exists in 2000, though not in 1900.
            "3273012902000001",
            "3273016902000001",
            "3273012902960001",
            // A retired prefix, Merauke before the split.
            "9101011203850003",
            "3273010101909999",
        ] {
            check(nik, &[]);
        }
    }

    #[test]
    fn what_is_not_16_digits_has_one_reason_of_form() {
        for nik in [
            "3.17E+15",
            "3,17E+15",
            "3.27301570590000E+15",
            "3E15",
            "3e+15",
            "317e-2",
            "3273015705900004.0",
            "3273015705900004,00",
            "'3273015705900004",
            "=3273015705900004",
            "=\"3273015705900004\"",
            "'",
            "=",
            "327301.5705900004",
            "1.0",
        ] {
            check(nik, &[Code::NikSpreadsheet]);
        }
        for nik in [
            "1",
            "327301570590000",
            "32730157059000044",
            "3273 0157 0590 0004",
            "327301570590000X",
            "3273-0157-0590-0004",
            "32.73.01.570590.0004",
            "3,273,015,705,900,004",
            "3273015705900004.",
            ".5",
            "3.17E",
            "3.17E+",
            "3.17E+15 ",
            "E15",
            "+3.17E+15",
            "-1.0",
            "3.1.7E+15",
            "3.17E+1.5",
            "３２７３０１５７０５９０００",
            "\"3273015705900004\"",
            "3273015705900004'",
        ] {
            check(nik, &[Code::NikLength]);
        }
    }

    #[test]
    fn provinces_are_the_38_of_today() {
        let good = [
            11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 31, 32, 33, 34, 35, 36, 51, 52, 53, 61, 62, 63, 64, 65, 71, 72, 73,
            74, 75, 76, 81, 82, 91, 92, 93, 94, 95, 96,
        ];
        assert_eq!(good.len(), 38);
        for province in 0..100 {
            let nik = format!("{province:02}01015705900004");
            let expected: &[Code] = if good.contains(&province) { &[] } else { &[Code::NikProvince] };
            check(&nik, expected);
        }
    }

    #[test]
    fn days_and_months_have_their_bounds() {
        for day in 0..100 {
            let nik = format!("327301{day:02}01900004");
            let expected: &[Code] = if matches!(day, 1..=31 | 41..=71) { &[] } else { &[Code::NikBirthDay] };
            check(&nik, expected);
        }
        for month in 0..100 {
            let nik = format!("32730101{month:02}900004");
            let expected: &[Code] = if matches!(month, 1..=12) { &[] } else { &[Code::NikBirthMonth] };
            check(&nik, expected);
        }
    }

    #[test]
    fn a_date_must_exist_in_one_of_two_centuries() {
        for (day_month_year, exists) in [
            ("300290", false),
            ("310490", false),
            ("310690", false),
            ("310990", false),
            ("311190", false),
            ("700290", false),
            ("710490", false),
            ("290290", false),
            ("690290", false),
            ("290201", false),
            ("290200", true),
            ("690200", true),
            ("290204", true),
            ("290296", true),
            ("310190", true),
            ("710190", true),
            ("300490", true),
        ] {
            let expected: &[Code] = if exists { &[] } else { &[Code::NikBirthDate] };
            check(&format!("327301{day_month_year}0004"), expected);
        }
    }

    #[test]
    fn all_reasons_come_at_once() {
        check("0000000000000000", &[Code::NikProvince, Code::NikBirthDay, Code::NikBirthMonth, Code::NikSerial]);
        check("9999999999999999", &[Code::NikProvince, Code::NikBirthDay, Code::NikBirthMonth]);
        check("0901013002900000", &[Code::NikProvince, Code::NikBirthDate, Code::NikSerial]);
        check("3273015705900000", &[Code::NikSerial]);
        check("1001015705900004", &[Code::NikProvince]);
        // 97 is a province for BPS only.
        check("9701015705900004", &[Code::NikProvince]);
    }

    #[test]
    fn what_the_digits_say_about_the_person() {
        let woman = Parts::read("3273015705900004").expect("16 digits");
        let man = Parts::read("3273011705000004").expect("16 digits");
        let date = |text| Date::parse_iso(text).expect("a date");
        assert!(woman.has_sex(true) && !woman.has_sex(false));
        assert!(man.has_sex(false) && !man.has_sex(true));
        for (parts, text, same) in [
            (woman, "1990-05-17", true),
            (woman, "1890-05-17", true),
            (woman, "1990-05-18", false),
            (woman, "1990-06-17", false),
            (woman, "1991-05-17", false),
            (man, "2000-05-17", true),
            (man, "1900-05-17", true),
            (man, "2001-05-17", false),
        ] {
            assert_eq!(parts.has_birth_date(date(text)), same, "{text}");
        }
    }

    #[test]
    fn known_regencies_are_todays_and_retired_ones() {
        for (regency, known) in [
            ("3273", true),
            ("9101", true),
            ("9301", true),
            ("9271", true),
            ("9671", true),
            ("3200", false),
            ("3299", false),
            ("9199", false),
        ] {
            let parts = Parts::read(&format!("{regency}015705900004")).expect("16 digits");
            assert_eq!(parts.has_known_regency(regions()), known, "{regency}");
        }
        let known = (0..10_000).filter(|regency| regions().is_regency(*regency)).count();
        assert_eq!(known, 514 + 26);
    }

    proptest! {
        #[test]
        fn any_text_has_a_verdict(text in "\\PC{0,30}|[0-9]{14,18}|['=]?[0-9.,eE+-]{1,20}") {
            let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit());
            prop_assert_eq!(Parts::read(&text).is_some(), digits);
            if let Some(parts) = Parts::read(&text) {
                prop_assert!(parts.hard_reasons(regions()).count() <= 5);
            }
            prop_assert!(matches!(form_reason(&text), Code::NikSpreadsheet | Code::NikLength));
        }

        #[test]
        fn a_number_made_from_a_person_is_good_and_says_so(
            row in 0..514_usize, day in 1..=28_u32, month in 1..=12_u32, year in 1930..2010_i32, serial in 1..10_000, is_woman: bool,
        ) {
            let regency = crate::wilayah::rows()[38 + row].kode.replace('.', "");
            let shown_day = if is_woman { day + 40 } else { day };
            let nik = format!("{regency}01{shown_day:02}{month:02}{:02}{serial:04}", year % 100);
            let parts = Parts::read(&nik).expect("16 digits");
            prop_assert_eq!(parts.hard_reasons(regions()).count(), 0);
            prop_assert!(parts.has_known_regency(regions()));
            prop_assert!(parts.has_sex(is_woman));
            prop_assert!(parts.has_birth_date(Date::from_ymd(year, month, day).expect("a date")));
        }
    }
}
