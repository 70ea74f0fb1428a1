//! Provinces and regencies of Indonesia under both code systems, and the codes that the splits of Papua retired.
//!
//! The tables are compiled in (`rules/data/`, with source and licence). 169 four-digit codes are valid in both systems
//! and mean different places, so a lookup that finds a code proves nothing: the system is declared, never guessed.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

const WILAYAH_CSV: &str = include_str!("../data/wilayah.csv");
const PEMEKARAN_CSV: &str = include_str!("../data/wilayah_pemekaran.csv");

/// Every compiled-in row is checked by the tests below, so none of these can fail in a built program.
const CHECKED: &str = "the compiled-in region tables are checked by tests";

/// Level of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tingkat {
    /// A province.
    Provinsi,
    /// A regency.
    Kabupaten,
    /// A city, of the same level as a regency.
    Kota,
}

impl Tingkat {
    /// As in `sdmk.wilayah.tingkat`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provinsi => "provinsi",
            Self::Kabupaten => "kabupaten",
            Self::Kota => "kota",
        }
    }
}

/// One region of today (Kepmendagri 300.2.2-2430/2025).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wilayah {
    /// Kemendagri code, dotted: `32`, `32.73`.
    pub kode: &'static str,
    /// BPS code of 2023, without a dot: `32`, `3273`.
    pub bps: &'static str,
    /// Its level.
    pub tingkat: Tingkat,
    /// Its name as in the decree: `Kota Bandung`.
    pub nama: &'static str,
    /// Kemendagri code of its province; `None` for a province.
    pub induk: Option<&'static str>,
}

impl Wilayah {
    /// The Kemendagri code as a number: 32, 3273.
    pub(crate) fn number(&self) -> u16 {
        number(self.kode)
    }
}

/// A code that the splits of 2022 replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pemekaran {
    /// The retired code as a number.
    pub(crate) old: u16,
    /// The code of the same regency today.
    pub(crate) new: u16,
}

/// All 552 regions, provinces first, by Kemendagri code.
#[must_use]
pub fn rows() -> &'static [Wilayah] {
    static ROWS: LazyLock<Vec<Wilayah>> = LazyLock::new(|| WILAYAH_CSV.lines().skip(1).map(row).collect());
    &ROWS
}

/// The 26 retired codes.
pub(crate) fn pemekaran() -> &'static [Pemekaran] {
    static ROWS: LazyLock<Vec<Pemekaran>> = LazyLock::new(|| {
        let pair = |line: &str| {
            let mut cells = line.split(',');
            let mut code = || number(cells.next().expect(CHECKED));
            Pemekaran { old: code(), new: code() }
        };
        PEMEKARAN_CSV.lines().skip(1).map(pair).collect()
    });
    &ROWS
}

/// First 8 hexadecimal digits of the table's SHA-256: the part of `wilayah_versi` that changes with the table.
pub(crate) fn checksum() -> String {
    let digest = Sha256::digest(WILAYAH_CSV.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn row(line: &'static str) -> Wilayah {
    let mut cells = line.split(',');
    let mut cell = || cells.next().expect(CHECKED);
    let (kode, bps, level, nama, induk) = (cell(), cell(), cell(), cell(), cell());
    let tingkat = match level {
        "province" => Tingkat::Provinsi,
        _ if nama.starts_with("Kota ") => Tingkat::Kota,
        _ => Tingkat::Kabupaten,
    };
    Wilayah { kode, bps, tingkat, nama, induk: (!induk.is_empty()).then_some(induk) }
}

fn number(code: &str) -> u16 {
    let digits = code.bytes().filter(u8::is_ascii_digit);
    digits.fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn of(tingkat: Tingkat) -> Vec<&'static Wilayah> {
        rows().iter().filter(|row| row.tingkat == tingkat).collect()
    }

    #[test]
    fn the_table_holds_38_provinces_416_kabupaten_and_98_kota() {
        assert_eq!(of(Tingkat::Provinsi).len(), 38);
        assert_eq!(of(Tingkat::Kabupaten).len(), 416);
        assert_eq!(of(Tingkat::Kota).len(), 98);
        assert_eq!(rows().len(), 552);
        assert_eq!(pemekaran().len(), 26);
    }

    #[test]
    fn every_line_has_five_cells_and_nothing_that_needs_quotes() {
        assert_eq!(WILAYAH_CSV.lines().next(), Some("kemendagri_code,bps_code,level,name,parent_kemendagri_code"));
        for line in WILAYAH_CSV.lines().skip(1) {
            assert_eq!(line.split(',').count(), 5, "{line}");
            assert!(!line.contains('"') && !line.contains('\r') && line.is_ascii(), "{line}");
        }
        assert_eq!(PEMEKARAN_CSV.lines().next(), Some("old_kemendagri_code,new_kemendagri_code,name,year"));
        for line in PEMEKARAN_CSV.lines().skip(1) {
            assert_eq!(line.split(',').count(), 4, "{line}");
        }
    }

    #[test]
    fn codes_are_unique_in_each_system_and_begin_with_their_province() {
        let kode: BTreeSet<_> = rows().iter().map(|row| row.kode).collect();
        let bps: BTreeSet<_> = rows().iter().map(|row| row.bps).collect();
        assert_eq!((kode.len(), bps.len()), (552, 552));
        for row in rows() {
            let Some(induk) = row.induk else {
                assert_eq!((row.kode.len(), row.bps.len(), row.tingkat), (2, 2, Tingkat::Provinsi));
                continue;
            };
            let province = rows().iter().find(|other| other.kode == induk).expect("its province is a row");
            assert_eq!(row.kode.len(), 5, "{row:?}");
            assert_eq!(row.kode.split('.').next(), Some(province.kode), "{row:?}");
            assert_eq!(row.bps.len(), 4, "{row:?}");
            assert!(row.bps.starts_with(province.bps), "{row:?}");
            let is_kota = row.number() % 100 >= 71;
            assert_eq!(is_kota, row.tingkat == Tingkat::Kota, "{row:?}");
            assert_eq!(number(row.bps) % 100 >= 71, is_kota, "{row:?}");
            assert!(is_kota || row.nama.starts_with("Kabupaten "), "{row:?}");
        }
    }

    #[test]
    fn retired_codes_lead_to_a_region_of_today_and_are_none_themselves() {
        let today: BTreeSet<u16> = rows().iter().map(Wilayah::number).collect();
        let names: Vec<&str> = PEMEKARAN_CSV.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
        for (pair, name) in pemekaran().iter().zip(names) {
            assert!(today.contains(&pair.new) && !today.contains(&pair.old), "{pair:?}");
            assert!(matches!(pair.old / 100, 91 | 92), "{pair:?}");
            let row = rows().iter().find(|row| row.number() == pair.new).expect("in the table");
            assert_eq!(row.nama, name);
        }
    }

    #[test]
    fn the_files_are_the_ones_that_the_readme_describes() {
        let readme = include_str!("../data/README.md");
        for (name, text) in [
            ("wilayah.csv", WILAYAH_CSV),
            ("wilayah_pemekaran.csv", PEMEKARAN_CSV),
            ("wilayah_kecamatan.csv", include_str!("../data/wilayah_kecamatan.csv")),
        ] {
            let digest = Sha256::digest(text.as_bytes());
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(readme.contains(&hex), "{name}: {hex}");
        }
        assert_eq!(checksum(), "07ad26f2");
    }
}
