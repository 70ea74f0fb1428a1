//! Numbers: their grammar and their range, never their value.

/// Length of the number at the start of `bytes`; `None` if there is none.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match bytes.get(at)? {
        b'0' => at += 1,
        b'1'..=b'9' => at += digits(bytes, at),
        _ => return None,
    }
    if bytes.get(at) == Some(&b'.') {
        at += 1 + some_digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at += some_digits(bytes, at)?;
    }
    Some(at)
}

fn digits(bytes: &[u8], from: usize) -> usize {
    bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count()
}

fn some_digits(bytes: &[u8], from: usize) -> Option<usize> {
    Some(digits(bytes, from)).filter(|count| *count > 0)
}

/// Whether an `f64` can hold the magnitude of a number as written.
pub(super) fn in_range(number: &str) -> bool {
    // Without an exponent it takes 309 digits to leave the range.
    let plain = number.len() < 300 && !number.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    plain || number.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_numbers() {
        let check = |text: &str, expected: Option<usize>| {
            assert_eq!(length(text.as_bytes()), expected, "{text}");
        };
        for whole in ["0", "-0", "7", "10", "-12.5", "0.0", "1e5", "1E+5", "1.25e-10", "3273015705900004"] {
            check(whole, Some(whole.len()));
        }
        for (text, part) in [("01", 1), ("1 ", 1), ("1,2", 1), ("1]", 1), ("-0x", 2)] {
            check(text, Some(part));
        }
        for bad in ["", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "-a", "e5", "N"] {
            check(bad, None);
        }
    }

    #[test]
    fn the_range_is_that_of_a_double() {
        for (text, expected) in [
            ("1e308", true),
            ("-1e308", true),
            ("1e309", false),
            ("-1e999", false),
            ("1e-999", true),
            ("0e99999999999999999999", true),
            ("1e99999999999999999999", false),
        ] {
            assert_eq!(in_range(text), expected, "{text}");
        }
        assert!(in_range(&"9".repeat(308)));
        assert!(!in_range(&"9".repeat(310)));
        assert!(in_range(&format!("0.{}", "1".repeat(400))));
    }
}
