//! Places as the source is asked for them: a province (`32`), a regency (`32.73`), or a facility.
//!
//! The producer knows codes and nothing else about regions; names, other code systems and
//! boundaries belong to the rules of the processor.

use std::fmt;

/// One code a line, four digits; lines with `#` carry the notice of the source.
const REGENCIES: &str = include_str!("../data/regencies.txt");

/// A Kemendagri code, dotted: two digits for a province, `pp.rr` for a regency or city. Or the source's code
/// of a facility.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    code: String,
    is_facility: bool,
}

/// Longest code of a facility.
const FACILITY_BYTES_MAX: usize = 64;

impl Region {
    /// Reads the code of a facility: letters, digits, `.`, `_`, `-`, at most 64. Such a code can stand in an
    /// address, a log line and a state record as it is. Sixteen digits are a NIK, whatever list they are in.
    #[must_use]
    pub fn facility(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let nik = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit());
        let good = (1..=FACILITY_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) && !nik;
        good.then(|| Self { code: text.to_owned(), is_facility: true })
    }

    /// True for a facility.
    #[must_use]
    pub fn is_facility(&self) -> bool {
        self.is_facility
    }

    fn of_code(code: impl Into<String>) -> Self {
        Self { code: code.into(), is_facility: false }
    }

    /// Reads `32` or `32.73`; anything else is `None`. Whether such a region exists is not asked here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let good = match text.split_once('.') {
            None => digits(text),
            Some((province, regency)) => digits(province) && digits(regency),
        };
        good.then(|| Self::of_code(text))
    }

    /// The dotted form, as in `sisdmk.state` and in reports.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.code
    }

    /// True for a two-digit code.
    #[must_use]
    pub fn is_province(&self) -> bool {
        !self.is_facility && !self.code.contains('.')
    }

    /// The province that this is or lies in; a facility is told by nothing but its own code.
    #[must_use]
    pub fn province(&self) -> Self {
        if self.is_facility { self.clone() } else { Self::of_code(self.code.chars().take(2).collect::<String>()) }
    }

    /// The form in which the source takes it: the digits alone (`32`, `3273`), or a facility's code as it is.
    #[must_use]
    pub fn digits(&self) -> String {
        if self.is_facility { self.code.clone() } else { self.code.replace('.', "") }
    }

    /// True if this is in the table of regions that ships with the program.
    #[must_use]
    pub fn is_known(&self) -> bool {
        if self.is_province() { provinces().contains(self) } else { regencies(self).contains(self) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.code)
    }
}

fn codes() -> impl Iterator<Item = &'static str> {
    REGENCIES.lines().filter(|line| !line.starts_with('#') && line.len() == 4)
}

/// All provinces, in the order of their codes.
#[must_use]
pub fn provinces() -> Vec<Region> {
    let mut provinces: Vec<Region> = codes().filter_map(|code| code.get(..2)).map(Region::of_code).collect();
    provinces.dedup();
    provinces
}

/// The regencies and cities of the province that `region` is or lies in, in the order of their codes.
#[must_use]
pub fn regencies(region: &Region) -> Vec<Region> {
    let province = region.code.get(..2).unwrap_or_default();
    codes()
        .filter_map(|code| code.split_at_checked(2))
        .filter(|(of, _)| *of == province)
        .map(|(of, regency)| Region::of_code(format!("{of}.{regency}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_their_dotted_form_only() {
        let check = |text: &str, good: bool| assert_eq!(Region::parse(text).is_some(), good, "{text}");
        for good in ["32", "32.73", "00", "96.71"] {
            check(good, true);
        }
        for bad in ["", "3", "3273", "32.", "32.7", "32.733", ".73", "32.73.01", "3a", "٣٢"] {
            check(bad, false);
        }
    }

    #[test]
    fn the_table_holds_every_province_and_regency_once() {
        assert_eq!(provinces().len(), 38);
        let all: Vec<Region> = provinces().iter().flat_map(regencies).collect();
        assert_eq!(all.len(), 514);
        assert!(all.is_sorted() && all.iter().all(Region::is_known));
        let bandung = Region::parse("32.73").expect("a code");
        assert_eq!((bandung.digits().as_str(), bandung.is_province()), ("3273", false));
        assert_eq!(regencies(&bandung).len(), 27);
        assert!(!Region::parse("32.99").expect("a code").is_known());
        assert!(!Region::parse("99").expect("a code").is_known());
    }

    #[test]
    fn a_facility_is_what_the_source_calls_it_and_never_a_region() {
        for good in ["P3273000001", "32", "1010045", "a.b-c_d"] {
            let facility = Region::facility(good).expect(good);
            assert_eq!((facility.as_str(), facility.digits().as_str()), (good, good));
            assert!(facility.is_facility() && !facility.is_province() && !facility.is_known());
            assert_eq!(facility.province(), facility);
        }
        assert_ne!(Region::facility("32"), Region::parse("32"));
        for bad in ["", " P1", "P1 P2", "P1\n", "P&x=1", "\u{663}", "3273015705900004", &"9".repeat(65)] {
            assert_eq!(Region::facility(bad), None, "{bad}");
        }
    }
}
