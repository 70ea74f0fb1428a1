//! Regions as the source is asked for them: a province (`32`) or a regency (`32.73`).
//!
//! The producer knows codes and nothing else about regions; names, other code systems and
//! boundaries belong to the rules of the processor.

use std::fmt;

/// One code a line, four digits; lines with `#` carry the notice of the source.
const REGENCIES: &str = include_str!("../data/regencies.txt");

/// A Kemendagri code, dotted: two digits for a province, `pp.rr` for a regency or city.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

impl Region {
    /// Reads `32` or `32.73`; anything else is `None`. Whether such a region exists is not asked here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let good = match text.split_once('.') {
            None => digits(text),
            Some((province, regency)) => digits(province) && digits(regency),
        };
        good.then(|| Self(text.to_owned()))
    }

    /// The dotted form, as in `sisdmk.state` and in reports.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for a two-digit code.
    #[must_use]
    pub fn is_province(&self) -> bool {
        !self.0.contains('.')
    }

    /// The province that this is or lies in.
    #[must_use]
    pub fn province(&self) -> Self {
        Self(self.0.chars().take(2).collect())
    }

    /// The digits alone, the form in which the source takes them: `32`, `3273`.
    #[must_use]
    pub fn digits(&self) -> String {
        self.0.replace('.', "")
    }

    /// True if this is in the table of regions that ships with the program.
    #[must_use]
    pub fn is_known(&self) -> bool {
        if self.is_province() { provinces().contains(self) } else { regencies(self).contains(self) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

fn codes() -> impl Iterator<Item = &'static str> {
    REGENCIES.lines().filter(|line| !line.starts_with('#') && line.len() == 4)
}

/// All provinces, in the order of their codes.
#[must_use]
pub fn provinces() -> Vec<Region> {
    let mut provinces: Vec<Region> =
        codes().filter_map(|code| code.get(..2)).map(|code| Region(code.to_owned())).collect();
    provinces.dedup();
    provinces
}

/// The regencies and cities of the province that `region` is or lies in, in the order of their codes.
#[must_use]
pub fn regencies(region: &Region) -> Vec<Region> {
    let province = region.0.get(..2).unwrap_or_default();
    codes()
        .filter_map(|code| code.split_at_checked(2))
        .filter(|(of, _)| *of == province)
        .map(|(of, regency)| Region(format!("{of}.{regency}")))
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
}
