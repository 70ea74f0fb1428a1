//! Active status: an explicit mapping from what the source writes to our own words.
//!
//! There is no default meaning: a value that nobody has declared refuses the record, because "active" by default would
//! put people to work who are not.

use std::collections::BTreeMap;

use schemas::worker::StatusAktif;

use crate::RulesFault;
use crate::word::Word;

/// The mapping where the configuration has none: raw value, our word.
pub const DEFAULT: [(&str, &str); 6] = [
    ("aktif", "AKTIF"),
    ("tidakaktif", "TIDAK_AKTIF"),
    ("nonaktif", "TIDAK_AKTIF"),
    ("non-aktif", "TIDAK_AKTIF"),
    ("cuti", "CUTI"),
    ("tugasbelajar", "TUGAS_BELAJAR"),
];

/// The mapping, compiled.
pub(crate) struct Mapping(Vec<(Word, StatusAktif)>);

impl Mapping {
    /// Errors: a raw value that is empty, too long or twice with different meanings, and a meaning that is not one of
    /// the four words. All of them, not the first.
    pub(crate) fn new(declared: &BTreeMap<String, String>) -> Result<Self, Vec<RulesFault>> {
        let mut mapping = Self(Vec::new());
        if declared.is_empty() {
            mapping.0.extend(DEFAULT.iter().filter_map(|(raw, meaning)| Some((Word::new(raw)?, meaning_of(meaning)?))));
            return Ok(mapping);
        }
        let mut errors = Vec::new();
        for (raw, meaning) in declared {
            match mapping.entry(raw, meaning) {
                Ok(Some(entry)) => mapping.0.push(entry),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(mapping) } else { Err(errors) }
    }

    fn entry(&self, raw: &str, meaning: &str) -> Result<Option<(Word, StatusAktif)>, RulesFault> {
        let word = Word::new(raw)
            .filter(|word| !word.as_str().is_empty())
            .ok_or_else(|| RulesFault::StatusAktifValue { raw: raw.to_owned() })?;
        let status = meaning_of(meaning)
            .ok_or_else(|| RulesFault::StatusAktifMeaning { raw: raw.to_owned(), meaning: meaning.to_owned() })?;
        match self.find(&word) {
            None => Ok(Some((word, status))),
            Some(earlier) if earlier == status => Ok(None),
            Some(_) => Err(RulesFault::StatusAktifTwice { raw: raw.to_owned() }),
        }
    }

    /// The meaning of a clean text.
    pub(crate) fn read(&self, text: &str) -> Option<StatusAktif> {
        // Nearly always it has no blanks; then it is the word itself but for its case.
        match self.0.iter().find(|(raw, _)| raw.as_bytes().eq_ignore_ascii_case(text.as_bytes())) {
            Some((_, status)) => Some(*status),
            None => self.find(&Word::new(text)?),
        }
    }

    fn find(&self, word: &Word) -> Option<StatusAktif> {
        self.0.iter().find(|(raw, _)| raw == word).map(|(_, status)| *status)
    }
}

fn meaning_of(meaning: &str) -> Option<StatusAktif> {
    match meaning {
        "AKTIF" => Some(StatusAktif::Aktif),
        "TIDAK_AKTIF" => Some(StatusAktif::TidakAktif),
        "CUTI" => Some(StatusAktif::Cuti),
        "TUGAS_BELAJAR" => Some(StatusAktif::TugasBelajar),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(pairs: &[(&str, &str)]) -> Result<Mapping, Vec<RulesFault>> {
        Mapping::new(&pairs.iter().map(|(raw, meaning)| ((*raw).to_owned(), (*meaning).to_owned())).collect())
    }

    #[test]
    fn the_default_knows_what_sources_are_known_to_write() {
        let mapping = mapping(&[]).expect("the default is good");
        for (text, status) in [
            ("Aktif", Some(StatusAktif::Aktif)),
            ("AKTIF", Some(StatusAktif::Aktif)),
            (" a k t i f ", Some(StatusAktif::Aktif)),
            ("Tidak Aktif", Some(StatusAktif::TidakAktif)),
            ("Nonaktif", Some(StatusAktif::TidakAktif)),
            ("Non Aktif", Some(StatusAktif::TidakAktif)),
            ("NON-AKTIF", Some(StatusAktif::TidakAktif)),
            ("Cuti", Some(StatusAktif::Cuti)),
            ("Tugas Belajar", Some(StatusAktif::TugasBelajar)),
            ("1", None),
            ("Y", None),
            ("Pensiun", None),
            ("aktif.", None),
            ("tidak-aktif", None),
            ("", None),
        ] {
            assert_eq!(mapping.read(text), status, "{text}");
        }
        assert_eq!(mapping.0.len(), DEFAULT.len());
    }

    #[test]
    fn a_declared_mapping_replaces_the_default() {
        let mapping = mapping(&[("1", "AKTIF"), ("Pensiun", "TIDAK_AKTIF"), ("PENSIUN", "TIDAK_AKTIF")]).expect("good");
        assert_eq!(mapping.read("1"), Some(StatusAktif::Aktif));
        assert_eq!(mapping.read("pensiun"), Some(StatusAktif::TidakAktif));
        assert_eq!(mapping.read("aktif"), None);
    }

    #[test]
    fn a_mapping_that_contradicts_itself_or_means_nothing_is_refused_whole() {
        let errors = mapping(&[("", "AKTIF"), ("a", "AKTIF"), ("A", "CUTI"), ("x", "aktif"), ("y", "TIDAK_DIKETAHUI")])
            .err()
            .expect("refused");
        assert_eq!(
            errors,
            [
                RulesFault::StatusAktifValue { raw: String::new() },
                RulesFault::StatusAktifTwice { raw: "a".into() },
                RulesFault::StatusAktifMeaning { raw: "x".into(), meaning: "aktif".into() },
                RulesFault::StatusAktifMeaning { raw: "y".into(), meaning: "TIDAK_DIKETAHUI".into() },
            ]
        );
    }
}
