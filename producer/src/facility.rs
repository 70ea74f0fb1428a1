//! The facilities of a source that is asked for one at a time: their codes, read from a list.
//!
//! They are read in the order of their codes, each once: then one code says how far a batch has come.

use crate::region::Region;

/// Wrong lines that are named.
const LINES_TOLD_MAX: usize = 5;

/// Why a list cannot be used. A line is named by its number: what stands in it may be anything.
#[derive(Debug, thiserror::Error)]
pub enum FacilityFault {
    /// The file is not there or not readable.
    #[error("the list of facilities cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// Far too long.
    #[error("the list of facilities is longer than 32 MiB")]
    TooLong,
    /// Lines that are no code, by their numbers.
    #[error("{} of the list of facilities: no code of letters, digits, '.', '_' and '-', at most 64, and not 16 digits", lines(.0))]
    NoCode(Vec<usize>),
    /// Nothing in it.
    #[error("the list of facilities is empty")]
    Empty,
}

/// Reads a list: one code a line; blank lines and what begins with `#` are passed over.
///
/// # Errors
/// The lines that are no code; a list without any.
pub fn parse(text: &str) -> Result<Vec<Region>, FacilityFault> {
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let (mut codes, mut wrong) = (Vec::new(), Vec::new());
    for (number, code) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        match Region::facility(code) {
            Some(code) => codes.push(code),
            None => wrong.push(number),
        }
    }
    if wrong.is_empty() { in_order(codes).ok_or(FacilityFault::Empty) } else { Err(FacilityFault::NoCode(wrong)) }
}

/// `line 2`, `lines 2, 3, 9, 10, 12 and 400 more`.
fn lines(wrong: &[usize]) -> String {
    let told: Vec<String> = wrong.iter().take(LINES_TOLD_MAX).map(ToString::to_string).collect();
    let more = wrong.len().saturating_sub(LINES_TOLD_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("line{} {}{more}", if wrong.len() == 1 { "" } else { "s" }, told.join(", "))
}

/// Each code once, in their order; none where there is not one.
#[must_use]
pub fn in_order(mut codes: Vec<Region>) -> Option<Vec<Region>> {
    codes.sort();
    codes.dedup();
    (!codes.is_empty()).then_some(codes)
}

/// Where a batch goes on that has come as far as `through`: the facilities behind it.
#[must_use]
pub fn after<'a>(codes: &'a [Region], through: Option<&str>) -> &'a [Region] {
    let first = through.map_or(0, |through| codes.partition_point(|code| code.as_str() <= through));
    codes.get(first..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_the_order_of_its_codes() {
        let codes = parse("\u{feff}# invented\r\nP2\r\n\r\n  P1  \nP10\nP2\n").expect("a list");
        assert_eq!(codes.iter().map(Region::as_str).collect::<Vec<_>>(), ["P1", "P10", "P2"]);
        let left = |through: Option<&str>| after(&codes, through).len();
        assert_eq!((left(None), left(Some("P1")), left(Some("P10")), left(Some("P2"))), (3, 2, 1, 0));
        // A code that is gone from the list, or new, changes nothing about the others.
        assert_eq!((left(Some("P0")), left(Some("P11"))), (3, 1));
    }

    #[test]
    fn what_is_no_list_is_refused_by_its_line() {
        let check = |text: &str, says: &str| {
            let fault = parse(text).expect_err(text).to_string();
            assert!(fault.contains(says), "{fault}");
        };
        check("", "empty");
        check("# P1\n\n", "empty");
        check("P1\nP 2\n", "line 2");
        check("P1\n\n3273015705900004\n", "line 3");
        check("P 1\nP2\n\nP 3\n", "lines 1, 4 of");
        check(&"P 1\n".repeat(12), "lines 1, 2, 3, 4, 5 and 7 more of");
        assert!(!parse("3273015705900004").expect_err("a NIK").to_string().contains("3273"));
    }
}
