//! Compares a regency's name as a source writes it with the name of a code.
//!
//! Tolerant of what clerks vary (case, dots, blanks, hyphens, `Kab.`, `Kep.`, `Adm.`), and of nothing else: the
//! comparison is there to notice that a code means another place than its name does.

use std::fmt;

/// Longest name that can agree, in bytes without blanks; the longest of the table has 38.
const FOLDED_BYTES_MAX: usize = 64;

/// What a first word says about the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kabupaten,
    Kota,
}

/// A name reduced to what is compared.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct FoldedName {
    bytes: [u8; FOLDED_BYTES_MAX],
    length: usize,
    /// Bytes at the start that spell the kind.
    kind_length: usize,
    kind: Option<Kind>,
}

impl FoldedName {
    /// `None` where the name is longer than any that could agree.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let mut folded = Self { bytes: [0; FOLDED_BYTES_MAX], length: 0, kind_length: 0, kind: None };
        let mut is_first = true;
        for word in name.as_bytes().split(|byte| matches!(byte, b' ' | b'.' | b'-')) {
            if word.is_empty() {
                continue;
            }
            let start = folded.length;
            if word.eq_ignore_ascii_case(b"adm") || word.eq_ignore_ascii_case(b"administrasi") {
                is_first = false;
                continue;
            }
            if word.eq_ignore_ascii_case(b"kep") {
                folded.push(b"kepulauan")?;
            } else {
                folded.push(word)?;
            }
            if is_first {
                folded.kind = match folded.bytes.get(start..folded.length)? {
                    b"kab" | b"kabupaten" => Some(Kind::Kabupaten),
                    b"kota" => Some(Kind::Kota),
                    _ => None,
                };
                if folded.kind.is_some() {
                    folded.kind_length = folded.length;
                }
                is_first = false;
            }
        }
        Some(folded)
    }

    fn push(&mut self, word: &[u8]) -> Option<()> {
        let end = self.length + word.len();
        let place = self.bytes.get_mut(self.length..end)?;
        place.copy_from_slice(word);
        place.make_ascii_lowercase();
        self.length = end;
        Some(())
    }

    fn whole(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.kind_length..self.length).unwrap_or_default()
    }

    /// Whether a name given by a source is this name of the table.
    pub(crate) fn agrees(&self, given: &Self) -> bool {
        let same_kind = match (self.kind, given.kind) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        // The second half is for names that begin like a kind: `Kota Baru` is Kabupaten Kotabaru.
        (same_kind && self.rest() == given.rest()) || self.rest() == given.whole()
    }
}

impl fmt::Debug for FoldedName {
    /// Without the name: it may be a record's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FoldedName({})", self.length)
    }
}

/// Names that a regency had under the same code, or that the other code system spells differently:
/// Kemendagri code, name.
pub(crate) const ALIASES: [(u16, &str); 4] = [
    (1212, "Kabupaten Toba Samosir"),
    (1277, "Kota Padang Sidempuan"),
    (7601, "Kabupaten Mamuju Utara"),
    (8103, "Kabupaten Maluku Tenggara Barat"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wilayah::{self, Tingkat};

    fn check(table: &str, given: &str, agrees: bool) {
        let table_name = FoldedName::new(table).expect("short");
        let found = FoldedName::new(given).is_some_and(|given| table_name.agrees(&given));
        assert_eq!(found, agrees, "{given} for {table}");
    }

    #[test]
    fn what_clerks_vary_does_not_matter() {
        for (table, given) in [
            ("Kota Bandung", "Kota Bandung"),
            ("Kota Bandung", "KOTA BANDUNG"),
            ("Kota Bandung", "Bandung"),
            ("Kabupaten Bandung", "Bandung"),
            ("Kabupaten Bandung", "KAB. BANDUNG"),
            ("Kabupaten Bandung", "Kab.Bandung"),
            ("Kabupaten Bandung Barat", "kab bandung-barat"),
            ("Kabupaten Fak Fak", "FAKFAK"),
            ("Kabupaten Fak Fak", "Kab. Fak-Fak"),
            ("Kabupaten Toli-Toli", "Kab. Toli Toli"),
            ("Kabupaten Kep. Siau Tagulandang Biaro", "Kepulauan Siau Tagulandang Biaro"),
            ("Kabupaten Kepulauan Seribu", "KAB. ADM. KEP. SERIBU"),
            ("Kabupaten Administrasi Kepulauan Seribu", "Kepulauan Seribu"),
            ("Kabupaten Administrasi Kepulauan Seribu", "Adm. Kep. Seribu"),
            ("Kota Administrasi Jakarta Pusat", "Kota Jakarta Pusat"),
            ("Kota Administrasi Jakarta Pusat", "JAKARTA PUSAT"),
            ("Kabupaten Kotabaru", "Kota Baru"),
            ("Kabupaten Kotabaru", "Kab. Kota Baru"),
            ("Kota Kotamobagu", "Kotamobagu"),
            ("Kota Kotamobagu", "Kota Mobagu"),
            ("Kabupaten Lima Puluh Kota", "Kab. Limapuluh Kota"),
            ("Kabupaten Kotawaringin Barat", "Kotawaringin Barat"),
        ] {
            check(table, given, true);
        }
    }

    #[test]
    fn another_place_is_never_taken_for_this_one() {
        for (table, given) in [
            ("Kota Bandung", "Kabupaten Bandung"),
            ("Kabupaten Bandung", "Kota Bandung"),
            ("Kabupaten Bandung", "Kab. Bandung Barat"),
            ("Kota Administrasi Jakarta Pusat", "Kota Administrasi Jakarta Selatan"),
            ("Kota Bandung", "Kota"),
            ("Kota Bandung", "Kotabandung"),
            ("Kabupaten Kotabaru", "Baru"),
            ("Kabupaten Banggai Kepulauan", "Kab. Banggai"),
            ("Kabupaten Banggai Kepulauan", "Kepulauan Banggai"),
            ("Kota Bandung", "..."),
            ("Kota Bandung", "Kota Bandúng"),
            ("Kota Bandung", "Kota Bandung Kota Bandung Kota Bandung Kota Bandung Kota Bandung Kota Bandung"),
        ] {
            check(table, given, false);
        }
    }

    #[test]
    fn no_form_of_any_regencys_name_agrees_with_another_regency_of_that_kind() {
        let regencies: Vec<_> = wilayah::rows().iter().filter(|row| row.tingkat != Tingkat::Provinsi).collect();
        for row in &regencies {
            let mut upper = row.nama.to_uppercase();
            upper = upper.replace("KABUPATEN ", "KAB. ").replace("KEPULAUAN", "KEP.").replace("ADMINISTRASI", "ADM.");
            for given in [row.nama, &upper, &row.nama.replace(' ', "  ").to_lowercase()] {
                let given = FoldedName::new(given).expect("short");
                for other in &regencies {
                    let table = FoldedName::new(other.nama).expect("short");
                    assert_eq!(table.agrees(&given), other.nama == row.nama, "{} for {}", row.nama, other.nama);
                }
            }
        }
    }

    #[test]
    fn every_name_of_the_table_fits() {
        let length = |name: &str| FoldedName::new(name).map_or(usize::MAX, |name| name.length);
        assert_eq!(wilayah::rows().iter().map(|row| length(row.nama)).max(), Some(38));
        assert!(ALIASES.iter().all(|(_, name)| length(name) <= 38));
    }
}
