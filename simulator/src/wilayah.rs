//! The country: provinces and regencies in the order of their codes, in both code systems, with retired codes.
//!
//! Read from this crate's own copies of the reference tables; see `data/README.md` for their sources.

use sha2::{Digest, Sha256};

const WILAYAH: &str = include_str!("../data/wilayah.csv");
const KECAMATAN: &str = include_str!("../data/wilayah_kecamatan.csv");
const PEMEKARAN: &str = include_str!("../data/wilayah_pemekaran.csv");

/// Population in ten thousands, about 2023, rounded. It only sets proportions between provinces.
const POPULATION: [(&str, u32); 38] = [
    ("11", 550),
    ("12", 1540),
    ("13", 580),
    ("14", 660),
    ("15", 370),
    ("16", 880),
    ("17", 210),
    ("18", 930),
    ("19", 150),
    ("21", 220),
    ("31", 1070),
    ("32", 4990),
    ("33", 3750),
    ("34", 370),
    ("35", 4150),
    ("36", 1230),
    ("51", 440),
    ("52", 550),
    ("53", 560),
    ("61", 560),
    ("62", 280),
    ("63", 420),
    ("64", 390),
    ("65", 70),
    ("71", 270),
    ("72", 310),
    ("73", 940),
    ("74", 280),
    ("75", 120),
    ("76", 150),
    ("81", 190),
    ("82", 130),
    ("91", 110),
    ("92", 60),
    ("93", 55),
    ("94", 150),
    ("95", 150),
    ("96", 60),
];

/// The code system that a source declares for its region codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CodeSystem {
    /// Kemendagri, decree of 2025; some records still carry codes retired in 2022.
    #[value(name = "kemendagri-2025")]
    Kemendagri2025,
    /// Kemendagri before the Papua splits: the 26 split regencies under 91 and 92.
    #[value(name = "kemendagri-2022")]
    Kemendagri2022,
    /// BPS, areas of 2023.
    #[value(name = "bps-2023")]
    Bps2023,
}

impl CodeSystem {
    /// The name that profiles use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kemendagri2025 => "kemendagri-2025",
            Self::Kemendagri2022 => "kemendagri-2022",
            Self::Bps2023 => "bps-2023",
        }
    }
}

/// Kabupaten or kota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kabupaten,
    Kota,
}

#[derive(Debug)]
pub(crate) struct Province {
    /// Two digits, Kemendagri 2025.
    pub(crate) code: &'static str,
    /// Two digits, BPS 2023.
    pub(crate) bps: &'static str,
    pub(crate) name: &'static str,
    /// Positions of its regencies.
    pub(crate) regencies: std::ops::Range<usize>,
}

#[derive(Debug)]
pub(crate) struct Regency {
    /// `32.73`, Kemendagri 2025.
    pub(crate) dotted: &'static str,
    /// `3273`.
    pub(crate) digits: String,
    /// `3273`, BPS 2023.
    pub(crate) bps: &'static str,
    /// `9101` of a regency that had another code before 2022.
    pub(crate) retired: Option<String>,
    /// As in the table: `Kota Bandung`.
    pub(crate) name: &'static str,
    /// Without its kind: `Bandung`.
    pub(crate) bare: &'static str,
    pub(crate) kind: Kind,
    pub(crate) province: usize,
    /// The last two digits of its districts.
    pub(crate) districts: Vec<&'static str>,
    weight: u64,
}

/// All regions.
#[derive(Debug)]
pub(crate) struct Wilayah {
    pub(crate) provinces: Vec<Province>,
    pub(crate) regencies: Vec<Regency>,
    /// First eight hex digits of the SHA-256 of the table.
    pub(crate) table_hash: String,
}

impl Wilayah {
    /// Reads the tables that are compiled in.
    pub(crate) fn load() -> Self {
        let mut provinces = Vec::with_capacity(POPULATION.len());
        let mut regencies: Vec<Regency> = Vec::with_capacity(514);
        for row in rows(WILAYAH) {
            let [code, bps, level, name, _] = columns(row);
            if level == "province" {
                provinces.push(Province { code, bps, name, regencies: 0..0 });
            }
        }
        provinces.sort_by_key(|province| province.code);
        for row in rows(WILAYAH) {
            let [code, bps, level, name, parent] = columns(row);
            if level != "regency" {
                continue;
            }
            let province = provinces.iter().position(|it| it.code == parent).expect("each regency has its province");
            let (kind, bare) = match name.split_once(' ') {
                Some(("Kota", rest)) => (Kind::Kota, rest),
                Some((_, rest)) => (Kind::Kabupaten, rest),
                None => (Kind::Kabupaten, name),
            };
            regencies.push(Regency {
                dotted: code,
                digits: code.replace('.', ""),
                bps,
                retired: None,
                name,
                bare,
                kind,
                province,
                districts: Vec::new(),
                weight: 0,
            });
        }
        regencies.sort_by_key(|regency| regency.dotted);
        for row in rows(PEMEKARAN) {
            let [old, new, _, _] = columns(row);
            let regency = regencies.iter_mut().find(|it| it.dotted == new).expect("new codes are codes of today");
            regency.retired = Some(old.replace('.', ""));
        }
        for row in rows(KECAMATAN) {
            let [code, _, _, _, parent] = columns(row);
            let at = regencies.binary_search_by_key(&parent, |it| it.dotted).expect("each district has its regency");
            regencies[at].districts.push(code.rsplit('.').next().unwrap_or("01"));
        }
        for (at, province) in provinces.iter_mut().enumerate() {
            let first = regencies.iter().position(|it| it.province == at).expect("each province has regencies");
            let count = regencies.iter().filter(|it| it.province == at).count();
            province.regencies = first..first + count;
        }
        weigh(&provinces, &mut regencies);
        let table_hash = Sha256::digest(WILAYAH.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self { provinces, regencies, table_hash }
    }

    /// The index of the first worker of each regency, and the number of workers as the last entry.
    pub(crate) fn starts(&self, workers: u32) -> Vec<u32> {
        let total: u64 = self.regencies.iter().map(|it| it.weight).sum();
        let mut before = 0;
        let mut starts = Vec::with_capacity(self.regencies.len() + 1);
        for regency in &self.regencies {
            starts.push(u32::try_from(u64::from(workers) * before / total).expect("a part of the workers"));
            before += regency.weight;
        }
        starts.push(workers);
        starts
    }

    /// The position of the regency with this Kemendagri 2025 code, dots ignored.
    pub(crate) fn regency(&self, digits: &str) -> Option<usize> {
        self.regencies.iter().position(|it| it.digits == digits)
    }

    /// The position of the province with this Kemendagri 2025 code.
    pub(crate) fn province(&self, digits: &str) -> Option<usize> {
        self.provinces.iter().position(|it| it.code == digits)
    }
}

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().skip(1).filter(|row| !row.is_empty())
}

/// The columns of a row; no table has quoted values.
fn columns<const N: usize>(row: &'static str) -> [&'static str; N] {
    let mut parts = row.split(',');
    std::array::from_fn(|_| parts.next().unwrap_or(""))
}

/// A regency's share of its province: kota count more, and no two are alike.
fn weigh(provinces: &[Province], regencies: &mut [Regency]) {
    for province in provinces {
        let population = POPULATION.iter().find(|(code, _)| *code == province.code).map_or(100, |(_, it)| *it);
        let parts: Vec<u64> = province
            .regencies
            .clone()
            .map(|at| {
                let spread = 60 + (u64::try_from(at).unwrap_or(0) * 37) % 80;
                if regencies[at].kind == Kind::Kota { spread * 8 / 5 } else { spread }
            })
            .collect();
        let sum: u64 = parts.iter().sum();
        for (at, part) in province.regencies.clone().zip(parts) {
            regencies[at].weight = (u64::from(population) * 10_000 * part / sum).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_country_is_whole() {
        let wilayah = Wilayah::load();
        assert_eq!(wilayah.provinces.len(), 38);
        assert_eq!(wilayah.regencies.len(), 514);
        assert_eq!(wilayah.regencies.iter().filter(|it| it.kind == Kind::Kota).count(), 98);
        assert_eq!(wilayah.regencies.iter().map(|it| it.districts.len()).sum::<usize>(), 7_285);
        assert_eq!(wilayah.regencies.iter().filter(|it| it.retired.is_some()).count(), 26);
        assert!(wilayah.provinces.iter().all(|it| POPULATION.iter().any(|(code, _)| *code == it.code)));
        assert_eq!(wilayah.table_hash, "07ad26f2");
    }

    #[test]
    fn regencies_of_a_province_and_workers_of_a_regency_are_contiguous() {
        let wilayah = Wilayah::load();
        for (at, province) in wilayah.provinces.iter().enumerate() {
            assert!(wilayah.regencies[province.regencies.clone()].iter().all(|it| it.province == at));
        }
        let starts = wilayah.starts(20_000);
        assert_eq!(starts.len(), 515);
        assert!(starts.is_sorted());
        assert_eq!((starts[0], starts[514]), (0, 20_000));
        let java = wilayah.province("32").expect("West Java");
        let range = &wilayah.provinces[java].regencies;
        let share = starts[range.end] - starts[range.start];
        assert!((3_000..4_500).contains(&share), "West Java has {share} of 20,000");
    }
}
