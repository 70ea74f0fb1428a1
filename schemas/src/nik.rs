//! The NIK (Nomor Induk Kependudukan), the number by which the state knows a person.

use std::borrow::Cow;
use std::fmt;

/// Sixteen ASCII digits. Whether they make sense (region, birth date, serial) is for the rules.
///
/// `Debug` masks all of them; there is no `Display`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nik<'a>(Cow<'a, str>);

impl<'a> Nik<'a> {
    /// Digits in a NIK, which are also its bytes.
    pub const DIGITS: usize = 16;
    /// Stands where a decoder has met a fault; never given out.
    pub(crate) const UNREAD: Self = Self(Cow::Borrowed("0000000000000000"));

    /// `None` unless `text` is exactly sixteen ASCII digits: nothing is trimmed or repaired here.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Option<Self> {
        let text = text.into();
        let digits = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then_some(Self(text))
    }

    /// The sixteen digits, for the one place that writes them where they belong.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The digits with their ownership, borrowed still if they were borrowed.
    #[must_use]
    pub fn into_inner(self) -> Cow<'a, str> {
        self.0
    }
}

impl fmt::Debug for Nik<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nik(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sixteen_ascii_digits_make_a_nik() {
        for (text, good) in [
            ("3273015705900004", true),
            ("0000000000000000", true),
            ("", false),
            ("327301570590000", false),
            ("32730157059000045", false),
            (" 3273015705900004", false),
            ("3273015705900004 ", false),
            ("327301570590000x", false),
            ("3.27301570590000", false),
            // Arabic-Indic digits are digits to Unicode and not to a NIK: eight of two bytes each.
            ("٣٢٧٣٠١٥٧", false),
        ] {
            assert_eq!(Nik::new(text).is_some(), good, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_digit() {
        let nik = Nik::new("3273015705900004");
        assert_eq!(format!("{nik:?}"), "Some(Nik(masked))");
    }
}
