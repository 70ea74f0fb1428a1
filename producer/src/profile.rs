//! What a profile says about a source: how to ask, how to page, where an answer keeps things. Pure.
//!
//! The section `[record]` is read by `schemas::layout` and only checked for presence here. An
//! unknown key is an error that names the key and its line: a mistyped key must not be ignored.

mod check;

use serde::Deserialize;
use std::collections::BTreeMap;

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
    /// Where the source lists its facilities, if it does.
    pub facilities: Option<Facilities>,
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
    /// Name of the header when `carry = "header"`; `Authorization` where left out.
    pub header_name: Option<String>,
    /// What stands before the token in that header; `Bearer` where left out, nothing where empty.
    pub header_scheme: Option<String>,
    /// How a token is asked for; with `login` and `oauth2`.
    pub login: Option<Login>,
}

/// Section `[auth.login]`: one POST of a form, and an answer with a token in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Path below `source.base_url`, beginning with `/`.
    pub path: String,
    /// Form field that takes `source.username`, or `source.client_id`.
    pub user: String,
    /// Form field that takes the password, or the client's secret.
    pub secret: String,
    /// Further parameters of the query, the same every time.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Further fields of the form, the same every time.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
    /// Where the answer keeps the token.
    pub token: String,
    /// Where the answer keeps the token's life, in seconds.
    pub expires_in: Option<String>,
    /// The token's life in seconds where the answer does not tell it; unset: until it is refused.
    pub lifetime_seconds: Option<u32>,
    /// How long before its end a token is replaced, at most half of its life.
    #[serde(default = "refresh_before_seconds")]
    pub refresh_before_seconds: u32,
    /// Where the answer keeps a status of its own, if it has one.
    pub status: Option<String>,
    /// Statuses that mean success.
    #[serde(default)]
    pub status_ok: Vec<i64>,
    /// Statuses that mean that the credentials were refused.
    #[serde(default)]
    pub status_auth: Vec<i64>,
}

/// Long enough for a request that begins just before, short beside a life of an hour.
fn refresh_before_seconds() -> u32 {
    60
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
    /// A header, `Authorization: Bearer ..` unless the profile says otherwise.
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
    /// Where an answer keeps what leads to the next page.
    pub next: Option<String>,
    /// What stands there; a cursor where left out.
    pub next_is: Option<NextIs>,
}

/// What an answer gives for the next page. Nothing, null or an empty text: this was the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NextIs {
    /// The cursor itself.
    #[default]
    Cursor,
    /// A link, with the cursor in its query under the name of `cursor`. The link itself is never followed.
    Link,
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

/// Section `[answer]`: names in the JSON object of an answer; `a.b` is `b` in the object `a`.
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
    /// Statuses that mean success without any record: the source has none for what was asked.
    #[serde(default)]
    pub status_empty: Vec<i64>,
    /// Name of the message. It is never logged: what a source writes there is not known.
    pub message: Option<String>,
    /// Name of the array of records.
    pub records: String,
    /// Name of the number of rows over all pages, if the source tells it.
    pub total: Option<String>,
}

/// Section `[facilities]`: one GET whose answer, of the shape of `[answer]`, lists every facility.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facilities {
    /// Path below `source.base_url`, beginning with `/`.
    pub path: String,
    /// Where the answer keeps the array; that of `[answer]` where left out.
    pub records: Option<String>,
    /// Name of the facility's code in each entry; unset: each entry is the code itself.
    pub code: Option<String>,
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
                key: check::key_at(text, &span),
                line: check::line_at(text, span.start),
                message: error.message().to_owned(),
            }
        })?;
        check::check(&profile, text)?;
        Ok(profile)
    }

    /// Settings that a producer with this profile does not start without, besides those that every producer needs.
    #[must_use]
    pub fn needed_settings(&self) -> Vec<&'static str> {
        let mut keys = match self.auth.kind {
            AuthKind::Bearer => vec!["source.token_file"],
            AuthKind::Login => vec!["source.username", "source.password_file"],
            AuthKind::Oauth2 => vec!["source.client_id", "source.client_secret_file"],
        };
        if self.request.facility.is_some() && self.facilities.is_none() {
            keys.push("source.facilities_file");
        }
        keys
    }

    /// `<name>/<version>`: header `sisdmk-source`, field `source` of every event.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{}/{}", self.profile.name, self.profile.version)
    }
}

#[cfg(test)]
mod tests;
