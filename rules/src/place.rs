//! Where a person lives or a unit stands: the source's codes and name against the region tables.

use std::borrow::Cow;

use crate::Code;
use crate::reading::{Found, Reading};
use crate::reason::FieldPath;
use crate::text::Received;

/// What a source says about a place. The province's name is not among it: its code says the same and is exact.
#[derive(Default)]
pub(crate) struct Clues<'a> {
    pub(crate) kode_provinsi: Found<Received<'a>>,
    pub(crate) kode_kabupaten: Found<Received<'a>>,
    /// Clean text.
    pub(crate) nama_kabupaten: Found<Cow<'a, str>>,
}

/// What the clues are called in a reason.
pub(crate) struct CluePaths<'p> {
    pub(crate) kode_provinsi: &'p FieldPath,
    pub(crate) kode_kabupaten: &'p FieldPath,
    pub(crate) nama_kabupaten: &'p FieldPath,
}

/// The region of today and the code it came from.
pub(crate) struct Place<'a> {
    pub(crate) kode: &'static str,
    pub(crate) asal: Cow<'a, str>,
}

impl<'a> Clues<'a> {
    /// Judges the clues together; null where the source gave no code at all.
    pub(crate) fn judge(&self, reading: &mut Reading<'_>, paths: &CluePaths<'_>) -> Found<Place<'a>> {
        let rules = reading.rules;
        let received = match &self.kode_kabupaten {
            Found::Good(received) => received,
            Found::Refused => return Found::Refused,
            Found::Null => return self.judge_province(reading, paths),
        };
        let Some(code) = received.clean() else {
            return self.judge_province(reading, paths);
        };
        let Some(regency) = rules.regions.regency(&code) else {
            return reading.refused(Code::RegionUnknown, paths.kode_kabupaten);
        };
        if let Found::Good(received) = &self.kode_provinsi
            && let Some(code) = received.clean()
            && !regency.has_province(&code)
        {
            reading.refuse(Code::RegionProvinceDiffers, paths.kode_provinsi);
        }
        if let Found::Good(name) = &self.nama_kabupaten
            && !regency.has_name(name)
        {
            reading.refuse(Code::RegionNameDiffers, paths.nama_kabupaten);
        }
        Found::Good(Place { kode: regency.row().kode, asal: received.trimmed() })
    }

    fn judge_province(&self, reading: &mut Reading<'_>, paths: &CluePaths<'_>) -> Found<Place<'a>> {
        let received = match &self.kode_provinsi {
            Found::Good(received) => received,
            Found::Refused => return Found::Refused,
            Found::Null => return Found::Null,
        };
        let Some(code) = received.clean() else {
            return Found::Null;
        };
        match reading.rules.regions.province(&code) {
            Some(row) => Found::Good(Place { kode: row.kode, asal: received.trimmed() }),
            None => reading.refused(Code::RegionUnknown, paths.kode_provinsi),
        }
    }
}
