//! Profiles that are good and those that are not.

use super::check::line_at;
use super::*;

const SHIPPED: &str = include_str!("../../profiles/sdmk-modified.toml");

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
        assert_eq!(error.key, key, "{error}");
    };
    check("carry = \"header\"", "carry = \"query\"", "auth.query_name");
    check("carry = \"header\"", "carry = \"header\"\nquery_name = \"t\"", "auth.query_name");
    check("carry = \"header\"", "carry = \"query\"\nquery_name = \"t\"\nheader_name = \"x\"", "auth.header_name");
    check("carry = \"header\"", "carry = \"header\"\nheader_name = \"x y\"", "auth.header_name");
    check("carry = \"header\"", "carry = \"header\"\nheader_scheme = \"a b\"", "auth.header_scheme");
    check("kind = \"bearer\"", "kind = \"login\"", "auth.login");
    check("kind = \"bearer\"", "kind = \"oauth2\"", "auth.login");
    check("time_format = \"rfc3339\"", "", "request.time_format");
    check("province =", "facility = \"f\"\nprovince =", "request.facility");
    check("page = \"page\"", "", "paging.page");
    check("kind = \"page\"", "kind = \"cursor\"", "paging.cursor");
    check("kind = \"page\"", "kind = \"cursor\"\ncursor = \"after\"", "paging.next");
    check("kind = \"page\"", "kind = \"page\"\nnext = \"next\"", "paging.next");
    check("kind = \"page\"", "kind = \"none\"", "paging.page");
    check("records = \"data\"", "records = \"data.\"", "answer.records");
    check("total = \"totalRowCount\"", "total = \"\"", "answer.total");
    check("[record]", "[facilities]\npath = \"/f\"\n[record]", "facilities.path");
}

/// A profile that logs in, with one line of its `[auth.login]` changed.
#[test]
fn a_login_is_declared_in_full_and_a_fault_names_its_line() {
    let login = "[auth.login]\npath = \"/l\"\nuser = \"u\"\nsecret = \"s\"\ntoken = \"a.t\"\nstatus = \"status\"\nstatus_ok = [200]\n";
    let good = SHIPPED.replacen("kind = \"bearer\"", "kind = \"login\"", 1).replacen(
        "[request]",
        &format!("{login}[request]"),
        1,
    );
    let profile = Profile::parse(&good).expect("a good profile");
    assert_eq!(profile.auth.login.expect("a login").refresh_before_seconds, 60);
    let check = |from: &str, to: &str, key: &str, says: &str| {
        let found = good.find(login).expect("its section");
        let (before, section) = good.split_at(found);
        let text = format!("{before}{}", section.replacen(from, to, 1));
        let error = Profile::parse(&text).expect_err(to);
        let at = section.find(from).map_or(0, |at| line_at(&good, found + at));
        assert_eq!((error.key.as_str(), error.line), (key, at), "{error}");
        assert!(error.message.contains(says), "{error}");
    };
    check("path = \"/l\"", "path = \"l\"", "auth.login.path", "'/'");
    check("user = \"u\"", "user = \"\"", "auth.login.user", "form");
    check("secret = \"s\"", "secret = \"\"", "auth.login.secret", "form");
    check("secret =", "secrets =", "secrets", "unknown field");
    check("token = \"a.t\"", "token = \"a..t\"", "auth.login.token", "dot");
    check("status_ok = [200]", "status_ok = []", "auth.login.status_ok", "success");
    check("status_ok = [200]", "lifetime_seconds = 0", "auth.login.lifetime_seconds", "1 or more");
    check("[auth.login]\npath = \"/l\"\n", "[auth.login]\n", "auth.login", "missing field `path`");
}

/// Words in back quotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The keys that a section takes, as the refusal of another one names them.
fn keys_of(section: &str) -> Vec<String> {
    let full = SHIPPED.replacen("kind = \"bearer\"", "kind = \"login\"", 1).replacen(
        "[request]",
        "[auth.login]\npath = \"/\"\nuser = \"u\"\nsecret = \"s\"\ntoken = \"t\"\n[request]",
        1,
    ) + "\n[facilities]\npath = \"/\"\n";
    let header = format!("[{section}]");
    assert!(full.contains(&header), "{header}");
    let text = full.replacen(&header, &format!("{header}\nno_such_key = 1"), 1);
    if section.starts_with("record") {
        let error = schemas::layout::Layout::from_profile_toml(&text).expect_err("an unknown key").message;
        let (_, known) = error.split_once("known here: ").expect("a list");
        return known.split(", ").map(str::to_owned).collect();
    }
    let error = Profile::parse(&text).expect_err("an unknown key").message;
    let (unknown, known) = error.split_once("expected").expect("a list");
    assert!(unknown.contains("no_such_key"), "{error}");
    quoted(known)
}

#[test]
fn every_key_of_a_profile_is_explained_and_no_other() {
    const PAGE: &str = include_str!("../../../docs/profiles.md");
    let explained: std::collections::BTreeSet<String> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| quoted(line).remove(0))
        .filter(|key| key.contains('.'))
        .collect();
    let mut accepted = std::collections::BTreeSet::new();
    for section in [
        "profile",
        "auth",
        "auth.login",
        "request",
        "paging",
        "answer",
        "facilities",
        "record",
        "record.fields",
        "record.employment",
        "record.pendidikan",
        "record.pelatihan",
    ] {
        accepted.extend(keys_of(section).into_iter().map(|key| format!("{section}.{key}")));
    }
    assert!(accepted.len() > 80, "{}", accepted.len());
    assert_eq!(accepted, explained, "docs/profiles.md and the keys that are accepted");
}

#[test]
fn every_shipped_profile_is_read_by_the_producer_too() {
    for (name, text) in schemas::layout::SHIPPED {
        let profile = Profile::parse(text).expect(name);
        assert_eq!(profile.profile.name, *name);
    }
}

#[test]
fn a_profile_says_which_settings_it_cannot_do_without() {
    let needed = |name: &str| {
        let text = schemas::layout::shipped(name).expect("it ships");
        Profile::parse(text).expect("a good profile").needed_settings()
    };
    assert_eq!(needed("sdmk-modified"), ["source.token_file"]);
    assert_eq!(needed("biodata-facility"), ["source.username", "source.password_file", "source.facilities_file"]);
}
