//! What can be wrong with a record, and the reason code that each flaw must earn.

use crate::dice::Dice;

/// A flaw that the source puts into a record. In the order of the catalogue of reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flaw {
    JsonInvalid,
    JsonNotObject,
    JsonDuplicateKey,
    JsonNumberRange,
    JsonSurrogate,
    JsonNul,
    JsonDepth,
    NikMissing,
    NikNumberInexact,
    NikSpreadsheet,
    NikLength,
    NikProvince,
    NikBirthDay,
    NikBirthMonth,
    NikBirthDate,
    NikSerial,
    NamaMissing,
    StatusAktifMissing,
    StatusAktifUnknown,
    LastUpdatedMissing,
    LastUpdatedInvalid,
    LastUpdatedFuture,
    LastUpdatedTooOld,
    DateInvalid,
    DateAmbiguous,
    RegionUnknown,
    RegionProvinceDiffers,
    RegionNameDiffers,
    FieldType,
    TextControlCharacter,
    TextTooLong,
    ListTooLong,
}

use Flaw::{
    DateAmbiguous, DateInvalid, FieldType, JsonDepth, JsonDuplicateKey, JsonInvalid, JsonNotObject, JsonNul,
    JsonNumberRange, JsonSurrogate, LastUpdatedFuture, LastUpdatedInvalid, LastUpdatedMissing, LastUpdatedTooOld,
    ListTooLong, NamaMissing, NikBirthDate, NikBirthDay, NikBirthMonth, NikLength, NikMissing, NikNumberInexact,
    NikProvince, NikSerial, NikSpreadsheet, RegionNameDiffers, RegionProvinceDiffers, RegionUnknown,
    StatusAktifMissing, StatusAktifUnknown, TextControlCharacter, TextTooLong,
};

/// Every flaw, in the order of the catalogue.
pub(crate) const ALL: [Flaw; 32] = [
    JsonInvalid,
    JsonNotObject,
    JsonDuplicateKey,
    JsonNumberRange,
    JsonSurrogate,
    JsonNul,
    JsonDepth,
    NikMissing,
    NikNumberInexact,
    NikSpreadsheet,
    NikLength,
    NikProvince,
    NikBirthDay,
    NikBirthMonth,
    NikBirthDate,
    NikSerial,
    NamaMissing,
    StatusAktifMissing,
    StatusAktifUnknown,
    LastUpdatedMissing,
    LastUpdatedInvalid,
    LastUpdatedFuture,
    LastUpdatedTooOld,
    DateInvalid,
    DateAmbiguous,
    RegionUnknown,
    RegionProvinceDiffers,
    RegionNameDiffers,
    FieldType,
    TextControlCharacter,
    TextTooLong,
    ListTooLong,
];

/// Flaws that come together in one record. None of them hides the other.
const PAIRS: [(Flaw, Flaw); 8] = [
    (NamaMissing, StatusAktifUnknown),
    (NikSerial, DateInvalid),
    (NikProvince, NikSerial),
    (StatusAktifMissing, RegionUnknown),
    (LastUpdatedFuture, RegionNameDiffers),
    (NikMissing, TextControlCharacter),
    (NikLength, LastUpdatedInvalid),
    (RegionProvinceDiffers, FieldType),
];

impl Flaw {
    /// The reason code, as it stands in `dlq.error.codes`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            JsonInvalid => "json_invalid",
            JsonNotObject => "json_not_object",
            JsonDuplicateKey => "json_duplicate_key",
            JsonNumberRange => "json_number_range",
            JsonSurrogate => "json_surrogate",
            JsonNul => "json_nul",
            JsonDepth => "json_depth",
            NikMissing => "nik_missing",
            NikNumberInexact => "nik_number_inexact",
            NikSpreadsheet => "nik_spreadsheet",
            NikLength => "nik_length",
            NikProvince => "nik_province",
            NikBirthDay => "nik_birth_day",
            NikBirthMonth => "nik_birth_month",
            NikBirthDate => "nik_birth_date",
            NikSerial => "nik_serial",
            NamaMissing => "nama_missing",
            StatusAktifMissing => "status_aktif_missing",
            StatusAktifUnknown => "status_aktif_unknown",
            LastUpdatedMissing => "last_updated_missing",
            LastUpdatedInvalid => "last_updated_invalid",
            LastUpdatedFuture => "last_updated_future",
            LastUpdatedTooOld => "last_updated_too_old",
            DateInvalid => "date_invalid",
            DateAmbiguous => "date_ambiguous",
            RegionUnknown => "region_unknown",
            RegionProvinceDiffers => "region_province_differs",
            RegionNameDiffers => "region_name_differs",
            FieldType => "field_type",
            TextControlCharacter => "text_control_character",
            TextTooLong => "text_too_long",
            ListTooLong => "list_too_long",
        }
    }

    /// Whether the record cannot be read as a JSON object at all, so that nothing else is judged.
    pub(crate) fn is_json(self) -> bool {
        matches!(
            self,
            JsonInvalid | JsonNotObject | JsonDuplicateKey | JsonNumberRange | JsonSurrogate | JsonNul | JsonDepth
        )
    }

    fn is_stamp(self) -> bool {
        matches!(self, LastUpdatedMissing | LastUpdatedInvalid | LastUpdatedFuture | LastUpdatedTooOld)
    }

    fn is_status(self) -> bool {
        matches!(self, StatusAktifMissing | StatusAktifUnknown)
    }
}

/// The flaws of one record: none, one or two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaws([Option<Flaw>; 2]);

impl Flaws {
    /// One flaw, or a pair in one of eight cases. `ambiguous_dates`: whether the consumer declares formats
    /// under which a date can mean two days.
    pub(crate) fn draw(dice: &mut Dice, ambiguous_dates: bool) -> Self {
        if dice.chance(125_000) {
            let (first, second) = dice.pick(&PAIRS);
            return Self([Some(first), Some(second)]);
        }
        let flaw = dice.pick(&ALL);
        Self([Some(if flaw == DateAmbiguous && !ambiguous_dates { DateInvalid } else { flaw }), None])
    }

    /// Exactly this flaw.
    #[cfg(test)]
    pub(crate) fn only(flaw: Flaw) -> Self {
        Self([Some(flaw), None])
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == [None, None]
    }

    pub(crate) fn has(self, flaw: Flaw) -> bool {
        self.0.contains(&Some(flaw))
    }

    /// The flaw on the JSON level, if there is one.
    pub(crate) fn json(self) -> Option<Flaw> {
        self.0.into_iter().flatten().find(|it| it.is_json())
    }

    /// What remains where the source has no stamp, or no active status, to be wrong.
    pub(crate) fn without(self, stamp: bool, status: bool) -> Self {
        Self(self.0.map(|flaw| flaw.filter(|it| !(stamp && it.is_stamp() || status && it.is_status()))))
    }

    /// The codes, sorted by their text.
    pub(crate) fn codes(self) -> Vec<&'static str> {
        let mut codes: Vec<&'static str> = self.0.into_iter().flatten().map(Flaw::code).collect();
        codes.sort_unstable();
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_flaws_share_a_code() {
        let codes: std::collections::HashSet<_> = ALL.iter().map(|it| it.code()).collect();
        assert_eq!(codes.len(), ALL.len());
    }

    #[test]
    fn a_flaw_of_a_field_that_the_source_lacks_is_no_flaw() {
        assert!(Flaws::only(LastUpdatedFuture).without(true, false).is_empty());
        assert!(!Flaws::only(LastUpdatedFuture).without(false, true).is_empty());
        assert!(Flaws::only(StatusAktifUnknown).without(false, true).is_empty());
    }
}
