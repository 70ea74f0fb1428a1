//! The bytes of one answer: status in the body, total, and where each record begins and ends. Pure.
//!
//! Records are cut out, not judged: a record with a broken escape or a number beyond range is a record
//! all the same and goes to `sisdmk.raw` as it is, where its reasons are found. What stands in a message
//! or in a record is never part of a fault.

use crate::cycle::FaultKind;
use crate::hold::{HeldPage, Identity, Origin, Row};
use crate::profile::Answer;
use schemas::identity::{self, IdentityKey};
use schemas::json::{self, Value};
use schemas::layout::Layout;
use schemas::stamp;
use std::ops::Range;

/// What an answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows over all pages, if the source tells it.
    pub total: Option<u64>,
    /// Byte ranges of the records, in the order of the answer.
    pub records: Vec<Range<usize>>,
}

/// Why an answer is not a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageFault {
    /// No bytes at all.
    #[error("read the answer: it is empty")]
    Empty,
    /// The JSON ends before its brackets close.
    #[error("read the answer: it is cut short")]
    Cut,
    /// The status in the body says that the request failed.
    #[error("read the answer: its own status is a failure")]
    InBody,
    /// The status in the body says that our token was refused.
    #[error("read the answer: its own status refuses the token")]
    Refused,
    /// A web page.
    #[error("read the answer: it is HTML")]
    Html,
    /// No JSON object.
    #[error("read the answer: it is not a JSON object")]
    NotJson,
    /// The status is missing or not a whole number.
    #[error("read the answer: it has no status")]
    NoStatus,
    /// The array of records is missing or no array.
    #[error("read the answer: it has no array of records")]
    NoRecords,
    /// The total is missing or not a whole number.
    #[error("read the answer: it has no total")]
    NoTotal,
    /// A name that the profile declares comes twice.
    #[error("read the answer: a declared name comes twice")]
    Twice,
}

impl PageFault {
    /// What it means for the slice.
    #[must_use]
    pub fn kind(self) -> FaultKind {
        match self {
            Self::Empty | Self::Cut | Self::InBody => FaultKind::Unreachable,
            Self::Refused => FaultKind::Auth,
            Self::Html | Self::NotJson | Self::NoStatus | Self::NoRecords | Self::NoTotal | Self::Twice => {
                FaultKind::Format
            }
        }
    }

    /// Our short word for it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty_body",
            Self::Cut => "cut_body",
            Self::InBody => "in_body_failure",
            Self::Refused => "in_body_auth",
            Self::Html => "html",
            Self::NotJson => "not_json",
            Self::NoStatus => "status_missing",
            Self::NoRecords => "records_missing",
            Self::NoTotal => "total_missing",
            Self::Twice => "name_twice",
        }
    }
}

/// Reads an answer of HTTP status 200.
///
/// # Errors
/// An answer that is not what `answer` declares. A failure told in the body comes before anything that
/// is missing: such answers seldom carry rows.
pub fn read(body: &[u8], content_type: Option<&str>, answer: &Answer) -> Result<Page, PageFault> {
    let text = body.trim_ascii_start();
    if text.is_empty() {
        return Err(PageFault::Empty);
    }
    let html = content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
    if text.starts_with(b"<") || (html && !text.starts_with(b"{")) {
        return Err(PageFault::Html);
    }
    let (mut status, mut total, mut records) = (None, None, None);
    for member in json::members(body) {
        let member = member.map_err(|fault| match fault {
            json::PageFault::Unclosed => PageFault::Cut,
            _ => PageFault::NotJson,
        })?;
        let slot = if answer.status.as_deref() == Some(&*member.name) {
            &mut status
        } else if answer.total.as_deref() == Some(&*member.name) {
            &mut total
        } else if answer.records == member.name {
            &mut records
        } else {
            continue;
        };
        if slot.replace(member.value).is_some() {
            return Err(PageFault::Twice);
        }
    }
    if answer.status.is_some() {
        let status = status.and_then(whole_number).ok_or(PageFault::NoStatus)?;
        if answer.status_auth.contains(&status) {
            return Err(PageFault::Refused);
        }
        if !answer.status_ok.contains(&status) {
            return Err(PageFault::InBody);
        }
    }
    let total = match &answer.total {
        None => None,
        Some(_) => {
            let total = total.and_then(whole_number).and_then(|total| u64::try_from(total).ok());
            Some(total.ok_or(PageFault::NoTotal)?)
        }
    };
    let records = json::elements(records.ok_or(PageFault::NoRecords)?)
        .map(|element| element.map(|element| range_in(body, element)))
        .collect::<Result<_, _>>()
        .map_err(|_| PageFault::NoRecords)?;
    Ok(Page { total, records })
}

/// A whole number, also one written as text.
fn whole_number(bytes: &[u8]) -> Option<i64> {
    match json::value(bytes).ok()? {
        Value::Number(digits) => digits.parse().ok(),
        Value::Text(digits) => digits.trim().parse().ok(),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}

/// Where `part` lies in `whole`, of which it is a piece.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}

/// Reads who each record is about and what its stamp is, and keeps the page with that.
///
/// A stamp that is not credible at `origin.fetched_at` does not count for the watermark.
#[must_use]
pub fn hold(body: Vec<u8>, records: &[Range<usize>], layout: &Layout, key: &IdentityKey, origin: Origin) -> HeldPage {
    let mut highest = None;
    let rows = records
        .iter()
        .filter_map(|range| {
            let record = body.get(range.clone())?;
            let peek = identity::peek(record, layout);
            let credible = peek.last_updated.filter(|at| stamp::credible(*at, origin.fetched_at).is_ok());
            highest = highest.max(credible);
            let identity = match &peek.nik {
                Some(nik) => Identity::person(key.person_id(nik)),
                None => Identity::bytes(record),
            };
            Row::new(range, identity)
        })
        .collect();
    HeldPage::new(body, rows, origin, highest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use schemas::Timestamp;
    use uuid::Uuid;

    const PROFILE: &str = include_str!("../profiles/sdmk-modified.toml");

    fn answer() -> Answer {
        Profile::parse(PROFILE).expect("the shipped profile").answer
    }

    #[test]
    fn records_are_cut_out_byte_for_byte() {
        let check = |body: &str, total: u64, records: &[&str]| {
            let page = read(body.as_bytes(), Some("application/json"), &answer()).expect(body);
            let found: Vec<&str> = page.records.iter().map(|range| &body[range.clone()]).collect();
            assert_eq!((page.total, found.as_slice()), (Some(total), records));
        };
        check(r#"{"status":200,"totalRowCount":0,"data":[]}"#, 0, &[]);
        check(
            r#" {"status":200,"message":"}]","totalRowCount":2,"data":[ {"a":"]"} ,
            {"b" : 1.0}]} "#,
            2,
            &[r#"{"a":"]"}"#, r#"{"b" : 1.0}"#],
        );
        // The order of the names is free, further names are passed over, numbers may be text.
        check(r#"{"data":[1],"extra":{"data":[9]},"totalRowCount":"1","status":"200"}"#, 1, &["1"]);
        // A record that no parser takes does not spoil its neighbours.
        check(
            r#"{"status":200,"totalRowCount":3,"data":[{"a":1},{"b":"\ud800","c":1e999},{"d":4}]}"#,
            3,
            &[r#"{"a":1}"#, r#"{"b":"\ud800","c":1e999}"#, r#"{"d":4}"#],
        );
    }

    #[test]
    fn an_answer_that_is_no_page_is_refused_with_its_fault() {
        let check = |body: &str, content_type: &str, fault: PageFault, kind: FaultKind| {
            assert_eq!(read(body.as_bytes(), Some(content_type), &answer()), Err(fault), "{body}");
            assert_eq!(fault.kind(), kind, "{body}");
        };
        use FaultKind::{Auth, Format, Unreachable};
        let json = "application/json";
        check("", json, PageFault::Empty, Unreachable);
        check(" \r\n", json, PageFault::Empty, Unreachable);
        check(r#"{"status":200,"totalRowCount":2,"data":[{"a":1},{"b"#, json, PageFault::Cut, Unreachable);
        check(r#"{"status":200,"totalRowCount":2,"data":[{"a":1}]"#, json, PageFault::Cut, Unreachable);
        check(r#"{"status":500,"message":"x"}"#, json, PageFault::InBody, Unreachable);
        check(r#"{"status":404,"totalRowCount":0,"data":[]}"#, json, PageFault::InBody, Unreachable);
        check(r#"{"status":401}"#, json, PageFault::Refused, Auth);
        check(r#"{"status":"403","data":null}"#, json, PageFault::Refused, Auth);
        check("<!DOCTYPE html><html>", json, PageFault::Html, Format);
        check("maintenance", "text/html; charset=utf-8", PageFault::Html, Format);
        check("maintenance", "text/plain", PageFault::NotJson, Format);
        check("[]", json, PageFault::NotJson, Format);
        check("{}", json, PageFault::NoStatus, Format);
        check(r#"{"status":null,"totalRowCount":0,"data":[]}"#, json, PageFault::NoStatus, Format);
        check(r#"{"status":200,"totalRowCount":0}"#, json, PageFault::NoRecords, Format);
        check(r#"{"status":200,"totalRowCount":0,"data":{}}"#, json, PageFault::NoRecords, Format);
        check(r#"{"status":200,"totalRowCount":0,"data":null}"#, json, PageFault::NoRecords, Format);
        check(r#"{"status":200,"totalRowCount":1,"data":[{},]}"#, json, PageFault::NoRecords, Format);
        check(r#"{"status":200,"data":[]}"#, json, PageFault::NoTotal, Format);
        check(r#"{"status":200,"totalRowCount":-1,"data":[]}"#, json, PageFault::NoTotal, Format);
        check(r#"{"status":200,"totalRowCount":1.5,"data":[]}"#, json, PageFault::NoTotal, Format);
        check(r#"{"status":200,"totalRowCount":1,"data":[],"data":[]}"#, json, PageFault::Twice, Format);
    }

    #[test]
    fn a_page_is_held_with_identities_and_its_highest_credible_stamp() {
        let layout = Layout::from_profile_toml(PROFILE).expect("the shipped profile");
        let key = IdentityKey::from_secret(b"a key of invented people").expect("a key");
        let body = r#"{"status":200,"totalRowCount":4,"data":[
            {"NIK":"3273015705900004","LAST_UPDATED":"2026-11-20T08:15:30+07:00"},
            {"NIK":9171011203850003,"LAST_UPDATED":"2026-11-20T10:00:00+09:00"},
            {"NIK":"none","LAST_UPDATED":"2099-01-01T00:00:00Z"},
            {"NIK":"3273015705900004","NIK":"3273015705900004"}]}"#;
        let page = read(body.as_bytes(), None, &answer()).expect("a page");
        let fetched_at = Timestamp::parse_rfc3339("2026-11-23T00:00:00Z").expect("a time");
        let origin = Origin { request_id: Uuid::nil(), traceparent: String::new(), fetched_at };
        let held = hold(body.as_bytes().to_vec(), &page.records, &layout, &key, origin);
        let readable: Vec<bool> = held.records().map(|(row, _)| row.identity.as_person().is_some()).collect();
        assert_eq!(readable, [true, true, false, false]);
        assert_eq!(held.highest, Timestamp::parse_rfc3339("2026-11-20T08:15:30+07:00"));
    }
}
