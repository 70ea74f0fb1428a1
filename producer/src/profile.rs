//! What a profile says about a source: how to ask, how to page, where an answer keeps things. Pure.
//!
//! The section `[record]` is read by `schemas::layout` and only checked for presence here. An
//! unknown key is an error that names the key and its line: a mistyped key must not be ignored.

use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;

/// The producer's sections of a profile.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name and version: the `sisdmk-source` of every record.
    pub profile: Name,
    /// How the source knows us.
    pub auth: Auth,
    /// How a request is put.
    pub request: Request,
    /// How a long answer is cut into pages.
    pub paging: Paging,
    /// Where an answer keeps what the producer needs.
    pub answer: Answer,
    /// Read by `schemas::layout`.
    #[serde(rename = "record")]
    _record: serde::de::IgnoredAny,
}

/// Section `[profile]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// Lower-case letters, digits and hyphens: it is part of keys in `sisdmk.state`.
    pub name: String,
    /// Raised when the source's contract changes.
    pub version: u32,
}

/// Section `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Where the token comes from.
    pub kind: AuthKind,
    /// Where the token goes.
    pub carry: Carry,
    /// Name of the query parameter when `carry = "query"`.
    pub query_name: Option<String>,
}

/// Where the token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthKind {
    /// A token given to us, in a file.
    Bearer,
    /// User name and password against a token.
    Login,
    /// OAuth 2 client credentials.
    Oauth2,
}

/// Where the token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carry {
    /// `Authorization: Bearer ..`.
    Header,
    /// A query parameter; it lands in the access logs of whoever sees the address.
    Query,
}

/// Section `[request]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Path below `source.base_url`, beginning with `/`.
    pub path: String,
    /// Name of the parameter that takes a province: two digits.
    pub province: Option<String>,
    /// Name of the parameter that takes a regency: four digits.
    pub regency: Option<String>,
    /// Name of the parameter that takes a facility code.
    pub facility: Option<String>,
    /// Name of the parameter for the lower bound of the change time, inclusive.
    pub since: Option<String>,
    /// Name of the parameter for the upper bound of the change time.
    pub until: Option<String>,
    /// How a time is written.
    pub time_format: Option<TimeFormat>,
}

/// HTTP method of a request for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    Get,
}

/// How a time is written in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeFormat {
    /// RFC 3339 with an offset.
    Rfc3339,
}

/// Section `[paging]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// The way of paging.
    pub kind: PagingKind,
    /// Name of the parameter that takes the page's number, from 1.
    pub page: Option<String>,
    /// Name of the parameter that takes the number of rows a page.
    pub limit: Option<String>,
    /// The most rows the source gives on a page.
    pub limit_max: Option<u32>,
    /// Name of the parameter that takes a cursor.
    pub cursor: Option<String>,
    /// Where an answer keeps the next cursor.
    pub next_cursor: Option<String>,
}

/// The way of paging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PagingKind {
    /// Numbered pages.
    Page,
    /// A cursor in each answer.
    Cursor,
    /// One answer holds everything.
    None,
}

/// Section `[answer]`: top-level names in the JSON object of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Name of the status in the body, if the source puts one there.
    pub status: Option<String>,
    /// Statuses that mean success.
    #[serde(default)]
    pub status_ok: Vec<i64>,
    /// Statuses that mean that our token was refused.
    #[serde(default)]
    pub status_auth: Vec<i64>,
    /// Name of the message. It is never logged: what a source writes there is not known.
    pub message: Option<String>,
    /// Name of the array of records.
    pub records: String,
    /// Name of the number of rows over all pages, if the source tells it.
    pub total: Option<String>,
}

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {key}: {message}")]
pub struct ProfileError {
    /// The key at fault, as far as it is known.
    pub key: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong, in our words or the parser's; profiles hold nothing secret.
    pub message: String,
}

impl Profile {
    /// Reads the producer's sections of a profile's text.
    ///
    /// # Errors
    /// The first fault found: bad TOML, an unknown or missing key, a value that does not fit.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            ProfileError {
                key: key_at(text, &span),
                line: line_at(text, span.start),
                message: error.message().to_owned(),
            }
        })?;
        profile.check(text)?;
        Ok(profile)
    }

    /// `<name>/<version>`: header `sisdmk-source`, field `source` of every event.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{}/{}", self.profile.name, self.profile.version)
    }

    /// Rules that stand between keys.
    fn check(&self, text: &str) -> Result<(), ProfileError> {
        let fault = |section: &str, key: &str, message: &str| ProfileError {
            key: format!("{section}.{key}"),
            line: line_of(text, section, key),
            message: message.to_owned(),
        };
        let name = &self.profile.name;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(fault("profile", "name", "must be lower-case letters, digits and hyphens"));
        }
        if self.auth.carry == Carry::Query && self.auth.query_name.is_none() {
            return Err(fault("auth", "query_name", "is needed with carry = \"query\""));
        }
        if !self.request.path.starts_with('/') {
            return Err(fault("request", "path", "must begin with '/'"));
        }
        let request = &self.request;
        if request.province.is_none() && request.regency.is_none() && request.facility.is_none() {
            return Err(fault("request", "province", "one of province, regency, facility is needed"));
        }
        if (request.since.is_some() || request.until.is_some()) && request.time_format.is_none() {
            return Err(fault("request", "time_format", "is needed with since or until"));
        }
        let paging = &self.paging;
        match paging.kind {
            PagingKind::Page if paging.page.is_none() => {
                return Err(fault("paging", "page", "is needed with kind = \"page\""));
            }
            PagingKind::Cursor if paging.cursor.is_none() || paging.next_cursor.is_none() => {
                return Err(fault("paging", "cursor", "cursor and next_cursor are needed with kind = \"cursor\""));
            }
            PagingKind::Page | PagingKind::Cursor | PagingKind::None => {}
        }
        if paging.limit.is_some() != paging.limit_max.is_some() || paging.limit_max == Some(0) {
            return Err(fault("paging", "limit_max", "limit and limit_max (1 or more) belong together"));
        }
        if self.answer.status.is_some() && self.answer.status_ok.is_empty() {
            return Err(fault("answer", "status_ok", "must name the statuses that mean success"));
        }
        Ok(())
    }
}

/// Line of a byte position, from 1.
fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The key that a fault is about: what the parser points at, else the key of that line.
fn key_at(text: &str, span: &Range<usize>) -> String {
    let bare = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    let at = text.get(span.clone()).unwrap_or_default().trim();
    if bare(at) && at.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return at.to_owned();
    }
    let line = text.lines().nth(line_at(text, span.start) - 1).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim().trim_matches(['[', ']']);
    if bare(key) { key.to_owned() } else { "profile".to_owned() }
}

/// Line of a key that is present, else of its section, else 1.
fn line_of(text: &str, section: &str, key: &str) -> usize {
    type Keys = std::collections::BTreeMap<Spanned<String>, toml::Value>;
    let sections = toml::from_str::<std::collections::BTreeMap<Spanned<String>, toml::Value>>(text);
    let Some(found) = sections.ok().and_then(|sections: Keys| {
        sections.into_keys().find(|name| name.get_ref() == section).map(|name| name.span().start)
    }) else {
        return 1;
    };
    let first = line_at(text, found);
    text.lines()
        .enumerate()
        .skip(first)
        .take_while(|(_, line)| !line.trim_start().starts_with('['))
        .find(|(_, line)| line.split('=').next().is_some_and(|name| name.trim() == key))
        .map_or(first, |(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../profiles/sdmk-modified.toml");

    #[test]
    fn the_shipped_profile_is_read() {
        let profile = Profile::parse(SHIPPED).expect("a good profile");
        assert_eq!(profile.source(), "sdmk-modified/1");
        assert_eq!(profile.paging.limit_max, Some(100));
        assert_eq!(profile.answer.status_auth, [401, 403]);
    }

    #[test]
    fn a_fault_names_its_key_and_line() {
        let check = |from: &str, to: &str, key: &str, says: &str| {
            assert_eq!(SHIPPED.matches(from).count(), 1, "{from}");
            let text = SHIPPED.replacen(from, to, 1);
            let error = Profile::parse(&text).expect_err(to);
            let at = SHIPPED.find(from).map_or(0, |at| line_at(SHIPPED, at));
            assert_eq!((error.key.as_str(), error.line), (key, at), "{error}");
            assert!(error.message.contains(says), "{error}");
        };
        check("province =", "provinz =", "provinz", "unknown field");
        check("total =", "totl =", "totl", "unknown field");
        check("name = \"sdmk-modified\"", "name = \"SDMK\"", "profile.name", "lower-case");
        check("kind = \"bearer\"", "kind = \"basic\"", "kind", "unknown variant");
        check("path = \"/rest/sdmk\"", "path = \"rest\"", "request.path", "'/'");
        check("limit_max = 100", "limit_max = 0", "paging.limit_max", "1 or more");
        check("limit_max = 100", "limit_max = \"many\"", "limit_max", "invalid type");
        check("status_ok = [200]", "status_ok = []", "answer.status_ok", "success");
        check("[answer]", "[answers]", "answers", "unknown field");
    }

    #[test]
    fn keys_that_need_each_other_are_asked_for() {
        let check = |from: &str, to: &str, key: &str| {
            let error = Profile::parse(&SHIPPED.replacen(from, to, 1)).expect_err(to);
            assert_eq!(error.key, key);
        };
        check("carry = \"header\"", "carry = \"query\"", "auth.query_name");
        check("time_format = \"rfc3339\"", "", "request.time_format");
        check("page = \"page\"", "", "paging.page");
        check("kind = \"page\"", "kind = \"cursor\"", "paging.cursor");
    }
}
