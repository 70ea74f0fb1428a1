//! One reason why a record is refused or marked.

use std::fmt;
use std::sync::Arc;

use crate::Code;

/// The place of a reason in the source's own words: `NIK`, `PEKERJAAN[].KODE_KAB`; empty for the record as a whole.
///
/// It is made of names that the profile declares, never of anything that a record holds, so it may be shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Option<Arc<str>>);

impl FieldPath {
    /// The record as a whole, or its headers.
    pub const WHOLE: Self = Self(None);

    /// A field of the profile.
    pub(crate) fn declared(name: String) -> Self {
        Self(Some(name.into()))
    }

    /// The path, empty for the record as a whole.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One reason. Reasons sort by catalogue order, then by the field's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    /// What is wrong.
    pub code: Code,
    /// Where.
    pub field: FieldPath,
}

impl Reason {
    /// A reason about the record as a whole, or its headers.
    #[must_use]
    pub fn of_record(code: Code) -> Self {
        Self { code, field: FieldPath::WHOLE }
    }
}

impl fmt::Display for Reason {
    /// `field: message`, in English and without a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(self.code.message_en()),
            field => write!(f, "{field}: {}", self.code.message_en()),
        }
    }
}

/// Codes of reasons, each once, in catalogue order: what `dlq.error.codes` and `warnings` hold.
///
/// `reasons` must be sorted, as [`crate::judge`] gives them.
#[must_use]
pub fn codes(reasons: &[Reason]) -> Vec<&'static str> {
    let mut codes: Vec<Code> = reasons.iter().map(|reason| reason.code).collect();
    codes.dedup();
    codes.into_iter().map(Code::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_as_a_sentence_with_its_field() {
        let reason = Reason { code: Code::NikMissing, field: FieldPath::declared("NIK".into()) };
        assert_eq!(reason.to_string(), "NIK: the NIK is missing");
        assert_eq!(
            Reason::of_record(Code::JsonNul).to_string(),
            "a text holds the character NUL, which no database stores"
        );
        assert_eq!(format!("{reason:?}"), r#"Reason { code: NikMissing, field: "NIK" }"#);
    }

    #[test]
    fn codes_stand_once_however_many_fields_have_them() {
        let at = |code, field: &str| Reason { code, field: FieldPath::declared(field.into()) };
        let reasons = [
            at(Code::NikLength, "NIK"),
            at(Code::DateInvalid, "PEKERJAAN[].TANGGAL_STR"),
            at(Code::DateInvalid, "TANGGAL_LAHIR"),
        ];
        assert!(reasons.is_sorted());
        assert_eq!(codes(&reasons), ["nik_length", "date_invalid"]);
        assert_eq!(codes(&[]), [""; 0]);
    }
}
