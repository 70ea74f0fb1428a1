//! Rules that stand between the keys of a profile, and where in the file a fault is. Pure.

use super::{AuthKind, Carry, Login, PagingKind, Profile, ProfileError};
use std::ops::Range;

/// The first rule that is broken, with its key and line.
pub(super) fn check(profile: &Profile, text: &str) -> Result<(), ProfileError> {
    let fault = |section: &str, key: &str, message: &str| {
        Err(ProfileError {
            key: format!("{section}.{key}"),
            line: line_of(text, section, key),
            message: message.to_owned(),
        })
    };
    let name = &profile.profile.name;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        return fault("profile", "name", "must be lower-case letters, digits and hyphens");
    }
    let auth = &profile.auth;
    match auth.carry {
        Carry::Query if auth.query_name.as_deref().is_none_or(str::is_empty) => {
            return fault("auth", "query_name", "is needed with carry = \"query\"");
        }
        Carry::Query if auth.header_name.is_some() || auth.header_scheme.is_some() => {
            let key = if auth.header_name.is_some() { "header_name" } else { "header_scheme" };
            return fault("auth", key, "has no meaning with carry = \"query\"");
        }
        Carry::Header if auth.query_name.is_some() => {
            return fault("auth", "query_name", "has no meaning with carry = \"header\"");
        }
        Carry::Query | Carry::Header => {}
    }
    let token = |text: &String| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if auth.header_name.as_ref().is_some_and(|name| name.is_empty() || !token(name)) {
        return fault("auth", "header_name", "must be the name of a header: letters, digits, - and _");
    }
    if auth.header_scheme.as_ref().is_some_and(|scheme| !token(scheme)) {
        return fault("auth", "header_scheme", "must be one word: letters, digits, - and _");
    }
    match (&auth.login, auth.kind) {
        (Some(login), AuthKind::Login | AuthKind::Oauth2) => self::login(login, &fault)?,
        (None, AuthKind::Login | AuthKind::Oauth2) => {
            return fault("auth", "login", "section [auth.login] is needed with kind = \"login\" and \"oauth2\"");
        }
        (Some(_), AuthKind::Bearer) => return fault("auth", "login", "has no meaning with kind = \"bearer\""),
        (None, AuthKind::Bearer) => {}
    }
    let request = &profile.request;
    if !request.path.starts_with('/') {
        return fault("request", "path", "must begin with '/'");
    }
    let by_region = request.province.is_some() || request.regency.is_some();
    if !by_region && request.facility.is_none() {
        return fault("request", "province", "one of province, regency, facility is needed");
    }
    if by_region && request.facility.is_some() {
        return fault("request", "facility", "stands alone: a source is read by region or by facility");
    }
    if (request.since.is_some() || request.until.is_some()) && request.time_format.is_none() {
        return fault("request", "time_format", "is needed with since or until");
    }
    let paging = &profile.paging;
    match paging.kind {
        PagingKind::Page if paging.page.is_none() => return fault("paging", "page", "is needed with kind = \"page\""),
        PagingKind::Cursor if paging.cursor.is_none() => {
            return fault("paging", "cursor", "is needed with kind = \"cursor\"");
        }
        PagingKind::Cursor if paging.next.is_none() => {
            return fault("paging", "next", "is needed with kind = \"cursor\"");
        }
        PagingKind::Page | PagingKind::Cursor | PagingKind::None => {}
    }
    let of_cursor =
        [("cursor", paging.cursor.is_some()), ("next", paging.next.is_some()), ("next_is", paging.next_is.is_some())];
    if let Some((key, _)) = of_cursor.iter().find(|(_, given)| *given && paging.kind != PagingKind::Cursor) {
        return fault("paging", key, "has no meaning without kind = \"cursor\"");
    }
    if paging.page.is_some() && paging.kind != PagingKind::Page {
        return fault("paging", "page", "has no meaning without kind = \"page\"");
    }
    if paging.limit.is_some() != paging.limit_max.is_some() || paging.limit_max == Some(0) {
        return fault("paging", "limit_max", "limit and limit_max (1 or more) belong together");
    }
    let answer = &profile.answer;
    if answer.status.is_some() && answer.status_ok.is_empty() {
        return fault("answer", "status_ok", "must name the statuses that mean success");
    }
    for (key, path) in [
        ("status", &answer.status),
        ("message", &answer.message),
        ("records", &Some(answer.records.clone())),
        ("total", &answer.total),
    ] {
        if path.as_ref().is_some_and(|path| !is_path(path)) {
            return fault("answer", key, "must be a name, or names with a dot between them");
        }
    }
    if paging.next.as_ref().is_some_and(|path| !is_path(path)) {
        return fault("paging", "next", "must be a name, or names with a dot between them");
    }
    if let Some(facilities) = &profile.facilities {
        if request.facility.is_none() {
            return fault("facilities", "path", "has no meaning without request.facility");
        }
        if !facilities.path.starts_with('/') {
            return fault("facilities", "path", "must begin with '/'");
        }
        if facilities.records.as_ref().is_some_and(|path| !is_path(path)) {
            return fault("facilities", "records", "must be a name, or names with a dot between them");
        }
    }
    Ok(())
}

fn login(login: &Login, fault: &impl Fn(&str, &str, &str) -> Result<(), ProfileError>) -> Result<(), ProfileError> {
    const SECTION: &str = "auth.login";
    if !login.path.starts_with('/') {
        return fault(SECTION, "path", "must begin with '/'");
    }
    for (key, name) in [("user", &login.user), ("secret", &login.secret)] {
        if name.is_empty() {
            return fault(SECTION, key, "must name a field of the form");
        }
    }
    for (key, path) in
        [("token", Some(&login.token)), ("expires_in", login.expires_in.as_ref()), ("status", login.status.as_ref())]
    {
        if path.is_some_and(|path| !is_path(path)) {
            return fault(SECTION, key, "must be a name, or names with a dot between them");
        }
    }
    if login.lifetime_seconds == Some(0) {
        return fault(SECTION, "lifetime_seconds", "must be 1 or more");
    }
    if login.status.is_none() && !(login.status_ok.is_empty() && login.status_auth.is_empty()) {
        return fault(SECTION, "status", "must say where the answer keeps its status");
    }
    if login.status.is_some() && login.status_ok.is_empty() {
        return fault(SECTION, "status_ok", "must name the statuses that mean success");
    }
    Ok(())
}

/// Names with dots between them, none of them empty.
fn is_path(path: &str) -> bool {
    path.split('.').all(|name| !name.is_empty())
}

/// Line of a byte position, from 1.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The key that a fault is about: what the parser points at, else the key of that line.
pub(super) fn key_at(text: &str, span: &Range<usize>) -> String {
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

/// Line of a key that is present, else of its section or the nearest section around it, else 1.
fn line_of(text: &str, section: &str, key: &str) -> usize {
    let header = |line: &str| {
        let line = line.trim();
        line.strip_prefix('[').and_then(|rest| rest.split(']').next()).map(|name| name.trim().to_owned())
    };
    let (mut at, mut found) = (String::new(), None);
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = header(line) {
            let around = section.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'));
            if name == section || (found.is_none() && around) {
                found = Some(index + 1);
            }
            if name == format!("{section}.{key}") {
                return index + 1;
            }
            at = name;
        } else if at == section && line.split('=').next().is_some_and(|name| name.trim() == key) {
            return index + 1;
        }
    }
    found.unwrap_or(1)
}
