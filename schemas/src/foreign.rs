//! What may be shown of JSON that somebody else wrote: names of fields and kinds of values, never a value. Pure.
//!
//! Whoever tells an operator what an answer or a record looks like asks here, so that there is one rule.

/// Longest name of a field that is shown.
const NAME_BYTES_MAX: usize = 40;

/// Digits in a name that is shown, at most: a year has more, and a NIK used as a key far more.
const NAME_DIGITS_MAX: usize = 2;

/// The kind of a value, in words, by its first byte: what follows may be broken, and then it is an outline of what can
/// be told.
#[must_use]
pub fn kind(bytes: &[u8]) -> &'static str {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => "object",
        Some(b'[') => "list",
        Some(b'"') => "text",
        Some(b'-' | b'0'..=b'9') => "number",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        Some(b'<') => "HTML",
        Some(_) => "no JSON",
        None => "nothing",
    }
}

/// Whether a name looks like the name of a field. One that does not may be anything, a person's number too, and is not
/// shown.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        && name.bytes().filter(u8::is_ascii_digit).count() <= NAME_DIGITS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_first_byte() {
        let check = |bytes: &[u8], told: &str| assert_eq!(kind(bytes), told);
        check(b" {\"a\"", "object");
        check(b"[", "list");
        check(b"\"x\"", "text");
        check(b"-1", "number");
        check(b"0", "number");
        check(b"false", "true or false");
        check(b"null", "null");
        check(b"<html>", "HTML");
        check(b"\xff", "no JSON");
        check(b" \n", "nothing");
    }

    #[test]
    fn names_that_may_hold_a_value_are_not_shown() {
        for plain in ["NIK", "kode_kab", "_x", "a-b", "ALAMAT2", "x12"] {
            assert!(is_plain(plain), "{plain}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for other in ["", "3273015705900004", "x123", "nama lengkap", "N\u{fc}r", "a.b", "-a", "a@b", &long] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
