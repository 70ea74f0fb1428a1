//! The bytes of one answer: status in the body, total, and where each record begins and ends. Pure.
//!
//! Records are cut out, not judged: a record with a broken escape or a number beyond range is a record
//! all the same and goes to `sisdmk.raw` as it is, where its reasons are found. What stands in a message
//! or in a record is never part of a fault.

use crate::cycle::{Cursor, FaultKind};
use crate::hold::{HeldPage, Identity, Origin, Row};
use crate::profile::{Answer, NextIs, Paging};
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
    /// What leads to the next page, where there is one.
    pub next: Option<Cursor>,
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
    /// The array of records has a place where nothing stands, or something behind it.
    #[error("read the answer: its array of records is broken")]
    Broken,
    /// More records than any answer holds.
    #[error("read the answer: it has too many records")]
    TooMany,
    /// What should lead to the next page does not.
    #[error("read the answer: what leads to its next page cannot be used")]
    BadNext,
}

impl PageFault {
    /// What it means for the slice.
    #[must_use]
    pub fn kind(self) -> FaultKind {
        match self {
            Self::Empty | Self::Cut | Self::InBody => FaultKind::Unreachable,
            Self::Refused => FaultKind::Auth,
            Self::Html
            | Self::NotJson
            | Self::NoStatus
            | Self::NoRecords
            | Self::NoTotal
            | Self::Twice
            | Self::Broken
            | Self::TooMany
            | Self::BadNext => FaultKind::Format,
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
            Self::Broken => "records_broken",
            Self::TooMany => "records_too_many",
            Self::BadNext => "next_unusable",
        }
    }
}

/// UTF-8's mark of the byte order, which some services put before their JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Most records in one answer. Each takes some 100 bytes beside its own, so that a body of nothing but `{},` would take
/// thirty times its size.
const RECORDS_MAX: usize = 200_000;

/// Longest cursor that goes into an address.
const CURSOR_BYTES_MAX: usize = 4 * 1024;

/// The JSON object of an answer: its bytes without what may stand before them.
///
/// # Errors
/// No bytes, or a web page.
fn object<'a>(body: &'a [u8], content_type: Option<&str>) -> Result<&'a [u8], PageFault> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).trim_ascii_start();
    if text.is_empty() {
        return Err(PageFault::Empty);
    }
    let html = content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
    if text.starts_with(b"<") || (html && !text.starts_with(b"{")) {
        return Err(PageFault::Html);
    }
    Ok(text)
}

/// The values at `paths` in the answer of a service: `a.b` is the member `b` of the object `a`. A path that
/// is not there has no value.
///
/// # Errors
/// An answer that is no JSON object, or in which a name of a path comes twice.
pub fn values<'a, const N: usize>(
    body: &'a [u8],
    content_type: Option<&str>,
    paths: [Option<&str>; N],
) -> Result<[Option<&'a [u8]>; N], PageFault> {
    let mut found = [None; N];
    for member in json::members(object(body, content_type)?) {
        let member = member.map_err(|fault| match fault {
            json::PageFault::Unclosed => PageFault::Cut,
            _ => PageFault::NotJson,
        })?;
        for (path, slot) in paths.iter().zip(&mut found) {
            let Some(path) = path else { continue };
            let (name, below) = path.split_once('.').map_or((*path, None), |(name, below)| (name, Some(below)));
            if member.name != name {
                continue;
            }
            let value = match below {
                None => Some(member.value),
                Some(below) => inner(member.value, below)?,
            };
            if let Some(value) = value
                && slot.replace(value).is_some()
            {
                return Err(PageFault::Twice);
            }
        }
    }
    Ok(found)
}

/// The value at a path below an object; none where there is no such object.
fn inner<'a>(value: &'a [u8], path: &str) -> Result<Option<&'a [u8]>, PageFault> {
    let (name, below) = path.split_once('.').map_or((path, None), |(name, below)| (name, Some(below)));
    let mut found = None;
    for member in json::members(value).filter_map(Result::ok).filter(|member| member.name == name) {
        let value = match below {
            None => Some(member.value),
            Some(below) => inner(member.value, below)?,
        };
        if found.is_some() {
            return Err(PageFault::Twice);
        }
        found = value;
    }
    Ok(found)
}

/// Reads an answer of HTTP status 200.
///
/// # Errors
/// An answer that is not what `answer` and `paging` declare. A failure told in the body comes before anything
/// that is missing: such answers seldom carry rows.
pub fn read(body: &[u8], content_type: Option<&str>, answer: &Answer, paging: &Paging) -> Result<Page, PageFault> {
    let paths =
        [answer.status.as_deref(), answer.total.as_deref(), Some(answer.records.as_str()), paging.next.as_deref()];
    let [status, total, records, next] = values(body, content_type, paths)?;
    if answer.status.is_some() {
        let status = status.and_then(whole_number).ok_or(PageFault::NoStatus)?;
        if answer.status_auth.contains(&status) {
            return Err(PageFault::Refused);
        }
        if answer.status_empty.contains(&status) {
            return Ok(Page { total: answer.total.as_ref().map(|_| 0), ..Page::default() });
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
    let records: Vec<Range<usize>> = json::elements(records.ok_or(PageFault::NoRecords)?)
        .take(RECORDS_MAX + 1)
        .map(|element| element.map(|element| range_in(body, element)))
        .collect::<Result<_, _>>()
        .map_err(|fault| match fault {
            json::PageFault::NotArray => PageFault::NoRecords,
            // What stood in the empty place cannot be known: to deliver the others would be to lose it.
            _ => PageFault::Broken,
        })?;
    if records.len() > RECORDS_MAX {
        return Err(PageFault::TooMany);
    }
    let next = match next {
        None => None,
        Some(next) => cursor(next, paging)?,
    };
    Ok(Page { total, records, next })
}

/// What leads to the next page: none where the value is null or empty.
fn cursor(value: &[u8], paging: &Paging) -> Result<Option<Cursor>, PageFault> {
    let text = match json::value(value).map_err(|_| PageFault::BadNext)? {
        Value::Null | Value::Bool(false) => return Ok(None),
        Value::Text(text) => text.into_owned(),
        Value::Number(digits) => digits.to_owned(),
        Value::Bool(true) | Value::Object | Value::Array => return Err(PageFault::BadNext),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let text = match paging.next_is.unwrap_or_default() {
        NextIs::Cursor => text,
        NextIs::Link => {
            let name = paging.cursor.as_deref().unwrap_or_default();
            parameter(&text, name).filter(|cursor| !cursor.is_empty()).ok_or(PageFault::BadNext)?
        }
    };
    if text.len() > CURSOR_BYTES_MAX {
        return Err(PageFault::BadNext);
    }
    Ok(Some(Cursor::new(text)))
}

/// A parameter of the query of a link, decoded. Where the link leads is not looked at: only our own address
/// is ever asked.
fn parameter(link: &str, name: &str) -> Option<String> {
    let query = link.split_once('?')?.1.split('#').next()?;
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key)? == name).then(|| decoded(value)).flatten()
    })
}

/// Text of a query as it was before it was percent-encoded.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

/// The code of an entry: the entry itself, or its member of that name. Text or a whole number, blanks around it
/// left out.
pub fn code(entry: &[u8], name: Option<&str>) -> Option<String> {
    let value = match name {
        None => entry,
        Some(name) => inner(entry, name).ok()??,
    };
    match json::value(value).ok()? {
        Value::Text(text) => Some(text.trim().to_owned()),
        Value::Number(digits) => Some(digits.to_owned()),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}

/// The text of a value, if it is one.
pub fn text(value: &[u8]) -> Option<String> {
    match json::value(value).ok()? {
        Value::Text(text) => Some(text.into_owned()),
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}

/// A whole number, also one written as text.
pub fn whole_number(bytes: &[u8]) -> Option<i64> {
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

    fn read(body: &[u8], content_type: Option<&str>) -> Result<Page, PageFault> {
        let Profile { answer, paging, .. } = Profile::parse(PROFILE).expect("the shipped profile");
        super::read(body, content_type, &answer, &paging)
    }

    #[test]
    fn records_are_cut_out_byte_for_byte() {
        let check = |body: &str, total: u64, records: &[&str]| {
            let page = read(body.as_bytes(), Some("application/json")).expect(body);
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
            assert_eq!(read(body.as_bytes(), Some(content_type)), Err(fault), "{body}");
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
        for broken in ["[{},]", "[,{}]", "[{},,{}]", "[,]"] {
            let body = format!(r#"{{"status":200,"totalRowCount":1,"data":{broken}}}"#);
            check(&body, json, PageFault::Broken, Format);
        }
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
        let page = read(body.as_bytes(), None).expect("a page");
        let fetched_at = Timestamp::parse_rfc3339("2026-11-23T00:00:00Z").expect("a time");
        let origin = Origin { request_id: Uuid::nil(), traceparent: String::new(), fetched_at };
        let held = hold(body.as_bytes().to_vec(), &page.records, &layout, &key, origin);
        let readable: Vec<bool> = held.records().map(|(row, _)| row.identity.as_person().is_some()).collect();
        assert_eq!(readable, [true, true, false, false]);
        assert_eq!(held.highest, Timestamp::parse_rfc3339("2026-11-20T08:15:30+07:00"));
    }

    #[test]
    fn names_with_dots_lead_into_objects() {
        let check = |body: &str, wanted: Result<[Option<&str>; 3], PageFault>| {
            let found = values(body.as_bytes(), None, [Some("a"), Some("m.total"), Some("m.n.x")]);
            let found =
                found.map(|found| found.map(|value| value.map(|value| std::str::from_utf8(value).expect("text"))));
            assert_eq!(found, wanted, "{body}");
        };
        check(r#"{"a":1,"m":{"total":2,"n":{"x":3}}}"#, Ok([Some("1"), Some("2"), Some("3")]));
        check(r#"{"m":{"total":null},"m.total":9,"total":8}"#, Ok([None, Some("null"), None]));
        check(r#"{"m":[{"total":2}],"a":{"total":2}}"#, Ok([Some(r#"{"total":2}"#), None, None]));
        check(r#"{"m":{"total":1,"total":2}}"#, Err(PageFault::Twice));
        check(r#"{"m":{"total":1},"m":{"total":2}}"#, Err(PageFault::Twice));
        check("[]", Err(PageFault::NotJson));
    }

    #[test]
    fn what_leads_to_the_next_page_is_a_cursor_or_a_link() {
        let Profile { answer, paging, .. } = Profile::parse(PROFILE).expect("the shipped profile");
        let next = |value: &str, next_is: NextIs| {
            let paging = Paging {
                next: Some("next".to_owned()),
                next_is: Some(next_is),
                cursor: Some("after".to_owned()),
                ..paging.clone()
            };
            let body = format!(r#"{{"status":200,"totalRowCount":0,"data":[]{value}}}"#);
            super::read(body.as_bytes(), None, &answer, &paging)
                .map(|page| page.next.map(|cursor| cursor.expose().to_owned()))
        };
        let check = |value: &str, next_is: NextIs, wanted: Option<&str>| {
            assert_eq!(next(value, next_is), Ok(wanted.map(str::to_owned)), "{value}");
        };
        use NextIs::{Cursor, Link};
        for last in ["", r#","next":null"#, r#","next":"""#, r#","next":false"#] {
            check(last, Cursor, None);
            check(last, Link, None);
        }
        check(r#","next":"a b""#, Cursor, Some("a b"));
        check(r#","next":17"#, Cursor, Some("17"));
        check(r#","next":"https://x.example/p?page=2&after=a%2Bb%20c+d&z#after=no""#, Link, Some("a+b c d"));
        check(r#","next":"?after=1""#, Link, Some("1"));
        for (bad, next_is) in [
            (r#","next":{}"#, Cursor),
            (r#","next":true"#, Cursor),
            (r#","next":"/p?page=2""#, Link),
            (r#","next":"/p?after=""#, Link),
            (r#","next":"/p?after=%zz""#, Link),
        ] {
            assert_eq!(next(bad, next_is), Err(PageFault::BadNext), "{bad}");
        }
        assert_eq!(
            next(&format!(r#","next":"{}""#, "x".repeat(CURSOR_BYTES_MAX + 1)), Cursor),
            Err(PageFault::BadNext)
        );
    }

    #[test]
    fn nobody_there_is_an_answer_without_rows_where_the_profile_says_so() {
        let text = schemas::layout::shipped("biodata-facility").expect("it ships");
        let Profile { answer, paging, .. } = Profile::parse(text).expect("a good profile");
        let check = |body: &str, wanted: Result<usize, PageFault>| {
            assert_eq!(
                super::read(body.as_bytes(), None, &answer, &paging).map(|page| page.records.len()),
                wanted,
                "{body}"
            );
        };
        check(r#"{"status":200,"message":"sukses","data":[{},{}]}"#, Ok(2));
        check(r#"{"status":404,"message":"Data tidak ditemukan","data":null}"#, Ok(0));
        check(r#"{"status":"404"}"#, Ok(0));
        check(r#"{"status":500}"#, Err(PageFault::InBody));
        check(r#"{"status":401}"#, Err(PageFault::Refused));
        check(r#"{"status":200,"data":null}"#, Err(PageFault::NoRecords));
    }

    #[test]
    fn the_code_of_an_entry_is_itself_or_one_of_its_members() {
        let check = |entry: &str, name: Option<&str>, wanted: Option<&str>| {
            assert_eq!(code(entry.as_bytes(), name).as_deref(), wanted, "{entry}");
        };
        check(r#"" P1 ""#, None, Some("P1"));
        check("1010045", None, Some("1010045"));
        check(r#"{"KODE":"P1"}"#, Some("KODE"), Some("P1"));
        check(r#"{"unit":{"kode":7}}"#, Some("unit.kode"), Some("7"));
        for (entry, name) in [("null", None), ("{}", None), ("{}", Some("KODE")), (r#"{"KODE":null}"#, Some("KODE"))] {
            check(entry, name, None);
        }
    }
}
