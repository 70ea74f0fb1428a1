//! Region codes: from the declared code system to the code of today.
//!
//! Compiled once per profile: every four-digit string leads straight to its regency, so a record costs an array access.
//! The declared system alone decides what a code means, however well its digits would fit another one.

use crate::region_name::{ALIASES, FoldedName};
use crate::wilayah::{self, Pemekaran, Tingkat, Wilayah};

/// Number of strings of four digits, and of two.
const REGENCY_CODES: usize = 10_000;
const PROVINCE_CODES: usize = 100;

/// Meaning of every code under one system.
pub(crate) struct Regions {
    places: Vec<Place>,
    /// Index into `places` plus 1; 0 for a code that does not exist.
    regency_places: Vec<u16>,
    provinces: Vec<Option<&'static Wilayah>>,
}

/// A regency of today with the names by which it is known.
struct Place {
    row: &'static Wilayah,
    province: u16,
    names: Vec<FoldedName>,
}

/// A regency as a record's code names it.
#[derive(Clone, Copy)]
pub(crate) struct Regency<'r> {
    place: &'r Place,
    /// The code as given, before pemekaran and mapping.
    declared: u16,
    regions: &'r Regions,
}

impl Regions {
    /// Kemendagri codes, today's and the retired ones.
    pub(crate) fn kemendagri() -> Self {
        Self::new(|row| row.kode, wilayah::pemekaran())
    }

    /// BPS codes of 2023.
    pub(crate) fn bps() -> Self {
        Self::new(|row| row.bps, &[])
    }

    fn new(code: impl Fn(&Wilayah) -> &'static str, retired: &[Pemekaran]) -> Self {
        let mut regions =
            Self { places: Vec::new(), regency_places: vec![0; REGENCY_CODES], provinces: vec![None; PROVINCE_CODES] };
        for row in wilayah::rows() {
            if row.tingkat == Tingkat::Provinsi {
                if let Some(place) =
                    digits(code(row), 2).and_then(|number| regions.provinces.get_mut(usize::from(number)))
                {
                    *place = Some(row);
                }
                continue;
            }
            let aliases = ALIASES.iter().filter(|(number, _)| *number == row.number()).map(|(_, name)| *name);
            regions.places.push(Place {
                row,
                province: row.number() / 100,
                names: std::iter::once(row.nama).chain(aliases).filter_map(FoldedName::new).collect(),
            });
            let place = u16::try_from(regions.places.len()).unwrap_or_default();
            let olds = retired.iter().filter(|pair| pair.new == row.number()).map(|pair| pair.old);
            for number in digits(code(row), 4).into_iter().chain(olds) {
                if let Some(entry) = regions.regency_places.get_mut(usize::from(number)) {
                    *entry = place;
                }
            }
        }
        regions
    }

    /// Whether a number of two digits is a province.
    pub(crate) fn is_province(&self, number: u16) -> bool {
        self.province_row(number).is_some()
    }

    /// Whether a number of four digits is a regency.
    pub(crate) fn is_regency(&self, number: u16) -> bool {
        self.place(number).is_some()
    }

    /// The province of a code as text: two digits, dots and blanks ignored.
    pub(crate) fn province(&self, code: &str) -> Option<&'static Wilayah> {
        self.province_row(digits(code, 2)?)
    }

    /// The regency of a code as text: four digits, dots and blanks ignored.
    pub(crate) fn regency(&self, code: &str) -> Option<Regency<'_>> {
        let declared = digits(code, 4)?;
        Some(Regency { place: self.place(declared)?, declared, regions: self })
    }

    fn province_row(&self, number: u16) -> Option<&'static Wilayah> {
        *self.provinces.get(usize::from(number))?
    }

    fn place(&self, number: u16) -> Option<&Place> {
        let index = usize::from(*self.regency_places.get(usize::from(number))?);
        self.places.get(index.checked_sub(1)?)
    }
}

impl Regency<'_> {
    /// The region of today.
    pub(crate) fn row(self) -> &'static Wilayah {
        self.place.row
    }

    /// Whether a province's code belongs to this regency.
    ///
    /// A code that a split retired may come with the province that it then had: both are of the same time.
    pub(crate) fn has_province(self, code: &str) -> bool {
        digits(code, 2).is_some_and(|number| {
            number == self.declared / 100
                || self.regions.province_row(number).is_some_and(|row| row.number() == self.place.province)
        })
    }

    /// Whether a name is this regency's.
    pub(crate) fn has_name(self, name: &str) -> bool {
        // Most sources write today's name; then nothing has to be folded.
        name.eq_ignore_ascii_case(self.place.row.nama)
            || FoldedName::new(name).is_some_and(|given| self.place.names.iter().any(|name| name.agrees(&given)))
    }
}

/// The number that exactly `count` ASCII digits spell, dots and blanks ignored.
fn digits(text: &str, count: usize) -> Option<u16> {
    // As nearly every source writes them; anything else is read one by one.
    match *text.as_bytes() {
        [d1 @ b'0'..=b'9', d2 @ b'0'..=b'9'] if count == 2 => return Some(pair(d1, d2)),
        [d1 @ b'0'..=b'9', d2 @ b'0'..=b'9', d3 @ b'0'..=b'9', d4 @ b'0'..=b'9']
        | [d1 @ b'0'..=b'9', d2 @ b'0'..=b'9', b'.', d3 @ b'0'..=b'9', d4 @ b'0'..=b'9']
            if count == 4 =>
        {
            return Some(pair(d1, d2) * 100 + pair(d3, d4));
        }
        _ => {}
    }
    let mut seen = 0;
    let mut number: u16 = 0;
    for c in text.chars() {
        if c == '.' || c.is_whitespace() {
            continue;
        }
        seen += 1;
        if seen > count {
            return None;
        }
        number = number * 10 + u16::try_from(c.to_digit(10)?).ok()?;
    }
    (seen == count).then_some(number)
}

/// The number of two digits.
fn pair(tens: u8, ones: u8) -> u16 {
    u16::from(tens - b'0') * 10 + u16::from(ones - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn regencies() -> impl Iterator<Item = &'static Wilayah> {
        wilayah::rows().iter().filter(|row| row.induk.is_some())
    }

    fn province_of(row: &Wilayah) -> &'static Wilayah {
        wilayah::rows().iter().find(|province| Some(province.kode) == row.induk).expect("in the table")
    }

    #[test]
    fn every_region_is_found_by_its_code_in_both_systems_and_written_as_today() {
        let (kemendagri, bps) = (Regions::kemendagri(), Regions::bps());
        for row in wilayah::rows() {
            let plain = row.kode.replace('.', "");
            if row.tingkat == Tingkat::Provinsi {
                assert_eq!(kemendagri.province(row.kode), Some(row));
                assert_eq!(bps.province(row.bps), Some(row));
                assert!(kemendagri.regency(row.kode).is_none() && bps.regency(row.bps).is_none());
                continue;
            }
            for code in [row.kode, &plain] {
                assert_eq!(kemendagri.regency(code).map(Regency::row), Some(row), "{code}");
            }
            assert_eq!(bps.regency(row.bps).map(Regency::row), Some(row), "{}", row.bps);
            let spread = format!(" {}.{} ", &row.bps[..2], &row.bps[2..]);
            assert_eq!(bps.regency(&spread).map(Regency::row), Some(row), "{spread}");
            assert!(kemendagri.province(&plain).is_none() && bps.province(row.bps).is_none());
        }
    }

    #[test]
    fn no_string_of_digits_means_more_than_the_table_says() {
        let (kemendagri, bps) = (Regions::kemendagri(), Regions::bps());
        let count = |regions: &Regions| (0..10_000).filter(|number| regions.is_regency(*number)).count();
        assert_eq!((count(&kemendagri), count(&bps)), (514 + 26, 514));
        let count = |regions: &Regions| (0..100).filter(|number| regions.is_province(*number)).count();
        assert_eq!((count(&kemendagri), count(&bps)), (38, 38));
        assert!(!kemendagri.is_regency(u16::MAX) && !kemendagri.is_province(100));
    }

    #[test]
    fn codes_that_both_systems_know_are_judged_by_the_declared_one() {
        let (kemendagri, bps) = (Regions::kemendagri(), Regions::bps());
        let todays: BTreeMap<String, _> = regencies().map(|row| (row.kode.replace('.', ""), row)).collect();
        let (mut same, mut ambiguous, mut only_bps) = (0, 0, 0);
        for row in regencies() {
            let Some(other) = todays.get(row.bps) else {
                only_bps += 1;
                assert_eq!(bps.regency(row.bps).map(Regency::row), Some(row));
                let retired = wilayah::pemekaran().iter().any(|pair| pair.old.to_string() == row.bps);
                assert_eq!(kemendagri.regency(row.bps).is_some(), retired, "{}", row.bps);
                continue;
            };
            if row == *other {
                same += 1;
            } else {
                ambiguous += 1;
                assert_ne!(bps.regency(row.bps).map(Regency::row), kemendagri.regency(row.bps).map(Regency::row));
            }
            assert_eq!(bps.regency(row.bps).map(Regency::row), Some(row), "{}", row.bps);
            assert_eq!(kemendagri.regency(row.bps).map(Regency::row), Some(*other), "{}", row.bps);
        }
        assert_eq!((same, ambiguous, only_bps), (315, 169, 30));
    }

    #[test]
    fn the_26_retired_codes_lead_to_today_with_either_province() {
        let (kemendagri, bps) = (Regions::kemendagri(), Regions::bps());
        for pair in wilayah::pemekaran() {
            for code in [pair.old.to_string(), format!("{}.{:02}", pair.old / 100, pair.old % 100)] {
                let regency = kemendagri.regency(&code).expect("a retired code");
                assert_eq!(regency.row().number(), pair.new);
                assert!(regency.has_province(&(pair.old / 100).to_string()));
                assert!(regency.has_province(&(pair.new / 100).to_string()));
                assert!(!regency.has_province("32"));
                assert!(regency.has_name(regency.row().nama));
            }
            // Today's code is of a time when it stood under today's province only.
            let today = kemendagri.regency(&pair.new.to_string()).expect("in the table");
            assert!(!today.has_province(&(pair.old / 100).to_string()), "{pair:?}");
        }
        // BPS never had these as Kemendagri's: what it knows of the same digits is another regency.
        let meant = |code| bps.regency(code).map(|regency| regency.row().nama);
        assert_eq!(meant("9101"), Some("Kabupaten Fak Fak"));
        assert_eq!(meant("9124"), None);
    }

    #[test]
    fn every_regency_has_its_own_province_and_name_and_no_other() {
        for (regions, code) in
            [(Regions::kemendagri(), (|row| row.kode) as fn(&Wilayah) -> &'static str), (Regions::bps(), |row| row.bps)]
        {
            for row in regencies() {
                let regency = regions.regency(code(row)).expect("in the table");
                let provinces = wilayah::rows().iter().filter(|row| row.induk.is_none());
                for province in provinces {
                    let own = province == province_of(row);
                    assert_eq!(regency.has_province(code(province)), own, "{} {}", row.nama, province.nama);
                }
                assert!(!regency.has_province("99") && !regency.has_province("") && !regency.has_province(code(row)));
                for other in regencies() {
                    assert_eq!(regency.has_name(other.nama), other == row, "{} {}", row.nama, other.nama);
                }
            }
        }
    }

    #[test]
    fn former_names_are_names_still() {
        let kemendagri = Regions::kemendagri();
        for (code, name, good) in [
            ("12.12", "Kab. Toba Samosir", true),
            ("12.12", "TOBA", true),
            ("12.12", "Samosir", false),
            ("76.01", "Mamuju Utara", true),
            ("76.01", "Pasangkayu", true),
            ("76.01", "Mamuju", false),
            ("81.03", "Kab. Maluku Tenggara Barat", true),
            ("81.03", "Kep. Tanimbar", true),
            ("81.03", "Maluku Tenggara", false),
            ("12.77", "KOTA PADANG SIDEMPUAN", true),
            ("12.77", "Kota Padangsidimpuan", true),
            ("12.77", "Kab. Padang Sidempuan", false),
            ("31.71", "KOTA JAKARTA SELATAN", false),
        ] {
            let regency = kemendagri.regency(code).expect("in the table");
            assert_eq!(regency.has_name(name), good, "{code} {name}");
        }
    }

    #[test]
    fn what_is_not_the_right_number_of_digits_is_no_code() {
        let kemendagri = Regions::kemendagri();
        for code in [
            "",
            "3",
            "32",
            "327",
            "32.7",
            "32730",
            "32.73.01",
            "3273010001",
            "32-73",
            "32,73",
            "３２７３",
            "327A",
            "-3273",
            "+273",
            "3273.0",
            "11.1",
        ] {
            assert!(kemendagri.regency(code).is_none(), "{code}");
        }
        for code in ["3273", "32.73", "32.73.", " 32 73 ", "3.273", "32\u{a0}.73"] {
            assert_eq!(kemendagri.regency(code).map(|regency| regency.row().kode), Some("32.73"), "{code}");
        }
        for code in ["", "3", "320", "3273", "3x", "97", "00", "٣٢"] {
            assert!(kemendagri.province(code).is_none(), "{code}");
        }
        for code in ["32", "32.", " 3 2"] {
            assert_eq!(kemendagri.province(code).map(|row| row.kode), Some("32"), "{code}");
        }
    }
}
