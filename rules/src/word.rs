//! A short word for comparison: without blanks, lower case.

/// Longest word, in bytes; every value that is looked up is shorter.
pub(crate) const WORD_BYTES_MAX: usize = 64;

/// A word that needs no allocation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Word {
    bytes: [u8; WORD_BYTES_MAX],
    length: usize,
}

impl Word {
    /// `None` where it is longer than anything that is looked up.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut word = Self { bytes: [0; WORD_BYTES_MAX], length: 0 };
        if text.len() <= WORD_BYTES_MAX && text.is_ascii() {
            for byte in text.bytes().filter(|byte| !char::from(*byte).is_whitespace()) {
                *word.bytes.get_mut(word.length)? = byte.to_ascii_lowercase();
                word.length += 1;
            }
            return Some(word);
        }
        for c in text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase) {
            let place = word.bytes.get_mut(word.length..)?;
            if place.len() < c.len_utf8() {
                return None;
            }
            word.length += c.encode_utf8(place).len();
        }
        Some(word)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_blanks_are_gone_and_nothing_else() {
        for (text, word) in [
            ("Tidak Aktif", "tidakaktif"),
            (" NON - Aktif\t", "non-aktif"),
            ("ÉCOLE", "école"),
            ("", ""),
            ("\u{3000}", ""),
        ] {
            assert_eq!(Word::new(text).expect("short").as_str(), word);
        }
        assert_eq!(Word::new(&"a".repeat(64)).map(|word| word.length), Some(64));
        assert!(Word::new(&"a".repeat(65)).is_none());
        assert!(Word::new(&format!("{}é", "a".repeat(63))).is_none());
    }
}
