//! The rules compiled for one source.

use std::collections::BTreeMap;
use std::fmt;

use schemas::layout::{CodeSystem, Field, Layout, Names, PersonField};
use thiserror::Error;

use crate::reason::FieldPath;
use crate::region::Regions;
use crate::status_aktif::Mapping;
use crate::wilayah;
use crate::word::Word;

/// The internal code system, which `kode_wilayah` is written in.
const INTERNAL_SYSTEM: CodeSystem = CodeSystem::Kemendagri2025;

/// Everything that judging needs beside the record: made once at start-up, shared by all threads.
pub struct Rules {
    pub(crate) layout: Layout,
    pub(crate) status_aktif: Mapping,
    /// Codes of the source.
    pub(crate) regions: Regions,
    /// Codes in a NIK, which are Kemendagri's whatever the source's are.
    pub(crate) nik_regions: Regions,
    /// What stands for the end of a registration that has none.
    pub(crate) str_for_life: Vec<Word>,
    pub(crate) paths: Paths,
    pub(crate) declared: Declared,
    wilayah_versi: String,
}

/// How many names the profile declares for each object.
pub(crate) struct Declared {
    pub(crate) person: u32,
    pub(crate) employment: u32,
    pub(crate) pendidikan: u32,
    pub(crate) pelatihan: u32,
}

/// How every declared field is called in a reason, by slot.
pub(crate) struct Paths {
    pub(crate) person: Vec<FieldPath>,
    pub(crate) employment: Vec<FieldPath>,
    pub(crate) pendidikan: Vec<FieldPath>,
    pub(crate) pelatihan: Vec<FieldPath>,
}

/// Why a profile and its settings make no rules: all faults, not the first.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct RulesError {
    /// What is wrong; never empty.
    pub faults: Vec<RulesFault>,
}

/// One fault of a profile or of the mapping of the active status.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RulesFault {
    /// A code system for which there is no table.
    #[error("record.code_system of the profile: {} has no table here; supply rules/data/wilayah_{}.csv, a bridge from its codes to those of Kemendagri as rules/data/README.md says, and build with it, or declare another system", .0.as_str(), .0.as_str().replace('-', "_"))]
    CodeSystem(CodeSystem),
    /// A field without which every record would be refused.
    #[error("record.fields.{field} of the profile: is needed, because no record is accepted without it")]
    FieldMissing {
        /// Key in the profile.
        field: &'static str,
    },
    /// A raw value that no record can have.
    #[error("rules.status_aktif: {raw:?} must be 1 to 64 bytes without its blanks")]
    StatusAktifValue {
        /// The key as declared.
        raw: String,
    },
    /// A meaning that is not one of our words.
    #[error("rules.status_aktif: {raw:?} means {meaning:?}, which must be AKTIF, TIDAK_AKTIF, CUTI or TUGAS_BELAJAR")]
    StatusAktifMeaning {
        /// The key as declared.
        raw: String,
        /// Its value as declared.
        meaning: String,
    },
    /// A raw value with two meanings.
    #[error("rules.status_aktif: {raw:?} is declared twice with different meanings (case and blanks are ignored)")]
    StatusAktifTwice {
        /// The later key as declared.
        raw: String,
    },
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl Rules {
    /// Compiles the rules for a source.
    ///
    /// `status_aktif` is the setting `rules.status_aktif`: raw value to one of our words; empty means
    /// [`crate::status_aktif::DEFAULT`].
    /// Errors: every fault of profile and mapping that would make judging wrong or useless.
    pub fn new(layout: Layout, status_aktif: &BTreeMap<String, String>) -> Result<Self, RulesError> {
        let mut faults = Vec::new();
        for field in [PersonField::Nik, PersonField::Nama] {
            if layout.person.name(field).is_none() {
                faults.push(RulesFault::FieldMissing { field: field.key() });
            }
        }
        let regions = match layout.code_system {
            CodeSystem::Kemendagri2025 | CodeSystem::Kemendagri2022 => Some(Regions::kemendagri()),
            CodeSystem::Bps2023 => Some(Regions::bps()),
            CodeSystem::Bps2020 => None,
        };
        if regions.is_none() {
            faults.push(RulesFault::CodeSystem(layout.code_system));
        }
        let mapping = Mapping::new(status_aktif).map_err(|errors| faults.extend(errors));
        let (Some(regions), Ok(status_aktif), []) = (regions, mapping, faults.as_slice()) else {
            return Err(RulesError { faults });
        };
        Ok(Self {
            wilayah_versi: format!(
                "{}>{}#{}",
                layout.code_system.as_str(),
                INTERNAL_SYSTEM.as_str(),
                wilayah::checksum()
            ),
            str_for_life: layout.str_for_life.iter().filter_map(|text| Word::new(text)).collect(),
            paths: Paths::of(&layout),
            declared: Declared::of(&layout),
            nik_regions: Regions::kemendagri(),
            regions,
            status_aktif,
            layout,
        })
    }

    /// Declared system, internal system and checksum of the table: kept on every row, so that a new table means
    /// mapping again and not fetching again.
    #[must_use]
    pub fn wilayah_versi(&self) -> &str {
        &self.wilayah_versi
    }

    /// The layout that these rules were made for.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("source", &self.layout.source())
            .field("wilayah_versi", &self.wilayah_versi)
            .finish_non_exhaustive()
    }
}

impl Paths {
    fn of(layout: &Layout) -> Self {
        let list = |field: PersonField| match layout.person.name(field) {
            Some(name) => format!("{name}[]."),
            None => format!("{}[].", field.key()),
        };
        Self {
            person: paths("", &layout.person),
            employment: paths(&list(PersonField::Employments), &layout.employment),
            pendidikan: paths(&list(PersonField::Pendidikan), &layout.pendidikan),
            pelatihan: paths(&list(PersonField::Pelatihan), &layout.pelatihan),
        }
    }
}

impl Declared {
    fn of(layout: &Layout) -> Self {
        Self {
            person: count(&layout.person),
            employment: count(&layout.employment),
            pendidikan: count(&layout.pendidikan),
            pelatihan: count(&layout.pelatihan),
        }
    }
}

fn count<F: Field>(names: &Names<F>) -> u32 {
    F::ALL.iter().map(|field| u32::from(names.name(*field).is_some())).sum()
}

fn paths<F: Field>(prefix: &str, names: &Names<F>) -> Vec<FieldPath> {
    let path = |field: &F| format!("{prefix}{}", names.name(*field).unwrap_or_else(|| field.key()));
    F::ALL.iter().map(|field| FieldPath::declared(path(field))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::path;
    use crate::tests::{layout, profile};
    use schemas::layout::EmploymentField;

    #[test]
    fn the_mapping_version_names_both_systems_and_the_table() {
        for (system, versi) in [
            ("kemendagri-2025", "kemendagri-2025>kemendagri-2025#07ad26f2"),
            ("kemendagri-2022", "kemendagri-2022>kemendagri-2025#07ad26f2"),
            ("bps-2023", "bps-2023>kemendagri-2025#07ad26f2"),
        ] {
            let layout = layout(&profile().replace("kemendagri-2025", system));
            let rules = Rules::new(layout, &BTreeMap::new()).expect("a known system");
            assert_eq!(rules.wilayah_versi(), versi);
        }
    }

    #[test]
    fn a_source_that_cannot_be_judged_is_refused_with_every_fault() {
        let text = profile()
            .replace("kemendagri-2025", "bps-2020")
            .replace("nik = \"NIK\"\n", "")
            .replace("\nnama = \"NAMA\"\n", "\n");
        let status = BTreeMap::from([("Aktif".to_owned(), "YA".to_owned())]);
        let error = Rules::new(layout(&text), &status).expect_err("four faults");
        assert_eq!(
            error.faults,
            [
                RulesFault::FieldMissing { field: "nik" },
                RulesFault::FieldMissing { field: "nama" },
                RulesFault::CodeSystem(CodeSystem::Bps2020),
                RulesFault::StatusAktifMeaning { raw: "Aktif".into(), meaning: "YA".into() },
            ]
        );
        let sentence = error.to_string();
        assert!(sentence.starts_with("record.fields.nik of the profile: is needed"), "{sentence}");
        assert_eq!(sentence.matches("; ").count(), 4, "{sentence}");
        assert!(sentence.contains("supply rules/data/wilayah_bps_2020.csv"), "{sentence}");
    }

    #[test]
    fn paths_are_the_sources_names_and_our_own_where_it_has_none() {
        let text = profile().replace("status_aktif = \"STATUS_AKTIF\"\n", "");
        let rules = Rules::new(layout(&text), &BTreeMap::new()).expect("good");
        assert_eq!(path(&rules.paths.person, PersonField::Nik).as_str(), "NIK");
        assert_eq!(path(&rules.paths.person, PersonField::StatusAktif).as_str(), "status_aktif");
        assert_eq!(path(&rules.paths.employment, EmploymentField::KodeKabupaten).as_str(), "PEKERJAAN[].KODE_KAB");
    }

    #[test]
    fn rules_can_be_shared_by_threads() {
        fn check<T: Send + Sync>() {}
        check::<Rules>();
        check::<crate::Verdict<'static>>();
    }
}
