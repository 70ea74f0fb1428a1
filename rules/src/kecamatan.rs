//! Which kecamatan a regency has: the third pair of digits of a NIK.
//!
//! A NIK keeps the prefix of its first registration for life, so a number that is not in use today is no fault by
//! itself. Outside Papua no kecamatan code was retired since 2016; of those retired there, all under 91 and 92, no list
//! is at hand, so under these two provinces nothing is said about a kecamatan.

use std::sync::LazyLock;

const KECAMATAN_CSV: &str = include_str!("../data/wilayah_kecamatan.csv");
const REGENCY_CODES: usize = 10_000;
/// Provinces under which kecamatan codes were retired that are not in the table.
const PROVINCES_NOT_JUDGED: [u16; 2] = [91, 92];

/// Whether a regency, as four digits, may have had a kecamatan, as two. `true` where that is not known.
pub(crate) fn may_be(regency: u16, kecamatan: u32) -> bool {
    static TABLE: LazyLock<Vec<u128>> = LazyLock::new(|| {
        let mut table = vec![0; REGENCY_CODES];
        for (regency, kecamatan) in codes().filter(|(regency, _)| !PROVINCES_NOT_JUDGED.contains(&(regency / 100))) {
            if let Some(entry) = table.get_mut(usize::from(regency)) {
                *entry |= 1 << kecamatan;
            }
        }
        table
    });
    let known = TABLE.get(usize::from(regency)).copied().unwrap_or_default();
    // Numbers begin at 01 everywhere.
    kecamatan > 0 && (known == 0 || known & 1_u128.checked_shl(kecamatan).unwrap_or_default() != 0)
}

/// Every row: regency as four digits, kecamatan as two.
fn codes() -> impl Iterator<Item = (u16, u32)> {
    KECAMATAN_CSV.lines().skip(1).filter_map(|line| {
        let mut parts = line.split(',').next()?.split('.');
        let (province, regency): (u16, u16) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((province * 100 + regency, parts.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wilayah;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_whole() {
        let all: BTreeSet<_> = codes().collect();
        assert_eq!(all.len(), 7_285);
        assert!(all.iter().all(|(_, kecamatan)| (1..100).contains(kecamatan)));
        let regencies: BTreeSet<u16> = all.iter().map(|(regency, _)| *regency).collect();
        let known: BTreeSet<u16> =
            wilayah::rows().iter().filter(|row| row.induk.is_some()).map(wilayah::Wilayah::number).collect();
        assert_eq!(regencies, known);
    }

    #[test]
    fn every_kecamatan_of_today_is_known_and_its_neighbours_only_where_they_are_rows() {
        let all: BTreeSet<_> = codes().collect();
        for (regency, kecamatan) in &all {
            assert!(may_be(*regency, *kecamatan), "{regency} {kecamatan}");
        }
        let unknown = (1_100..9_100_u16)
            .filter(|regency| all.iter().any(|(known, _)| known == regency))
            .flat_map(|regency| (0..100_u32).map(move |kecamatan| (regency, kecamatan)))
            .filter(|pair| !all.contains(pair));
        for (regency, kecamatan) in unknown {
            assert!(!may_be(regency, kecamatan), "{regency} {kecamatan}");
        }
    }

    #[test]
    fn where_codes_were_retired_without_a_list_nothing_is_said() {
        for (regency, kecamatan, expected) in [
            (9101, 99, true),
            (9271, 99, true),
            (9171, 99, true),
            (9101, 0, false),
            (9301, 1, true),
            (9301, 99, false),
            (3273, 30, true),
            (3273, 31, false),
            // No regency at all: its own reason says so.
            (3299, 1, true),
        ] {
            assert_eq!(may_be(regency, kecamatan), expected, "{regency} {kecamatan}");
        }
    }
}
