//! Records to read and to damage. Invented people only.

/// Two jobs and an education, about as large as records get.
pub(crate) const RICH_RECORD: &str = include_str!("../../test_data/rich_record.json");
