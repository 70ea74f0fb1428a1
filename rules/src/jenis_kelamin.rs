//! Sex, in the spellings that sources use.

use schemas::worker::JenisKelamin;

use crate::word::Word;

/// The sex that a clean text means; `None` for a spelling that is not known.
pub(crate) fn read(text: &str) -> Option<JenisKelamin> {
    match text {
        "L" => return Some(JenisKelamin::LakiLaki),
        "P" => return Some(JenisKelamin::Perempuan),
        _ => {}
    }
    match Word::new(text)?.as_str() {
        "l" | "lakilaki" | "laki-laki" | "pria" => Some(JenisKelamin::LakiLaki),
        "p" | "perempuan" | "wanita" => Some(JenisKelamin::Perempuan),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_spellings_are_read_and_no_other() {
        for text in ["L", "l", "Laki-laki", "LAKI - LAKI", "Laki Laki", "lakilaki", "PRIA", " L "] {
            assert_eq!(read(text), Some(JenisKelamin::LakiLaki), "{text}");
        }
        for text in ["P", "p", "Perempuan", "PEREMPUAN", "WANITA", "w a n i t a"] {
            assert_eq!(read(text), Some(JenisKelamin::Perempuan), "{text}");
        }
        for text in [
            "M",
            "F",
            "1",
            "2",
            "LP",
            "L/P",
            "laki",
            "laki--laki",
            "Ｌ",
            "wanita.",
            "TIDAK_DIKETAHUI",
            "laki-laki-laki-laki-laki-laki-laki",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
