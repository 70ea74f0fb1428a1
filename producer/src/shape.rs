//! The outline of an answer and how it differs from what the profile declares: names and kinds, never a
//! value. Pure.
//!
//! Entries of an array are laid over each other (`data[].NIK`), so the outline of a page of a hundred records is
//! as long as that of one. A name comes from outside too: one that does not look like the name of a field is not
//! shown, because a source that uses a NIK as a key must not make it visible.

use crate::profile::Answer;
use schemas::foreign;
use schemas::json;
use schemas::layout::{Field, Layout, Names, PersonField};
use schemas::version::Stamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Different paths of an outline, at most; what is beyond is not looked at.
const PATHS_MAX: usize = 300;

/// Nesting that is followed.
const DEPTH_MAX: usize = 8;

/// Entries of an array that are looked at: a change of structure shows in the first ones.
const ENTRIES_MAX: usize = 1_000;

/// Differences that are told; the rest are counted.
const DIFFERENCES_MAX: usize = 12;

/// Records from which on a page is judged as a whole.
const RECORDS_MIN: usize = 20;

/// What stands at one place of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// `data[].PEKERJAAN[].UNIT`; empty for the answer itself.
    pub path: String,
    /// How often each kind of value stands there.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// The outline of an answer, in the order of the paths.
#[must_use]
pub fn outline(body: &[u8]) -> Vec<Place> {
    let mut walk = Walk::default();
    walk.value("", body, 0);
    walk.places.into_iter().map(|(path, kinds)| Place { path, kinds }).collect()
}

#[derive(Default)]
struct Walk {
    places: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

impl Walk {
    fn value(&mut self, path: &str, bytes: &[u8], depth: usize) {
        if !self.places.contains_key(path) && self.places.len() >= PATHS_MAX {
            return;
        }
        let kind = foreign::kind(bytes);
        *self.places.entry(path.to_owned()).or_default().entry(kind).or_default() += 1;
        if depth >= DEPTH_MAX {
            return;
        }
        match kind {
            "object" => {
                for member in json::members(bytes).map_while(Result::ok) {
                    let name = shown(&member.name);
                    let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                    self.value(&path, member.value, depth + 1);
                }
            }
            "list" => {
                let path = format!("{path}[]");
                for entry in json::elements(bytes).take(ENTRIES_MAX).map_while(Result::ok) {
                    self.value(&path, entry, depth + 1);
                }
            }
            _ => {}
        }
    }
}

/// A field's name, where it can be shown.
fn shown(name: &str) -> &str {
    if foreign::is_plain(name) { name } else { "(unusual name)" }
}

/// What differs from the profile, each in a few words; empty where nothing does.
///
/// Missing: declared, and nowhere in the answer. New: in the answer, and not declared. Another kind: never of a
/// kind that the profile's rules can read.
#[must_use]
pub fn differences(body: &[u8], answer: &Answer, layout: &Layout) -> Vec<String> {
    let outline: BTreeMap<String, BTreeMap<&'static str, u64>> =
        outline(body).into_iter().map(|place| (place.path, place.kinds)).collect();
    match outline.get("") {
        Some(kinds) if kinds.contains_key("object") => {}
        Some(kinds) => return vec![format!("the answer is {}", words(kinds))],
        None => return Vec::new(),
    }
    let mut found = Differences { outline: &outline, told: Vec::new() };
    let top: Vec<(Option<&str>, &[&str])> = vec![
        (answer.status.as_deref(), &["number", "text"]),
        (answer.total.as_deref(), &["number", "text"]),
        (Some(&answer.records), &["list"]),
    ];
    let also = [answer.message.as_deref(), Some("page"), Some("limit")];
    found.section("", &top, &also.into_iter().flatten().collect::<Vec<_>>());
    let records = format!("{}[]", answer.records);
    if outline.contains_key(&records) {
        found.fields(&records, &layout.person);
        let list = |field| layout.person.name(field).map(|name| format!("{records}.{name}[]"));
        if let Some(place) = list(PersonField::Employments) {
            found.fields(&place, &layout.employment);
        }
        if let Some(place) = list(PersonField::Pendidikan) {
            found.fields(&place, &layout.pendidikan);
        }
        if let Some(place) = list(PersonField::Pelatihan) {
            found.fields(&place, &layout.pelatihan);
        }
    }
    let mut told = found.told;
    if told.len() > DIFFERENCES_MAX {
        let more = told.len() - DIFFERENCES_MAX;
        told.truncate(DIFFERENCES_MAX);
        told.push(format!("{more} more"));
    }
    told
}

struct Differences<'a> {
    outline: &'a BTreeMap<String, BTreeMap<&'static str, u64>>,
    told: Vec<String>,
}

impl Differences<'_> {
    /// One object: what it must hold, of which kinds, and what it may hold besides.
    fn section(&mut self, at: &str, declared: &[(Option<&str>, &[&str])], also: &[&str]) {
        let path = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let mut known: BTreeSet<&str> = also.iter().copied().collect();
        for (name, kinds) in declared.iter().filter_map(|(name, kinds)| Some(((*name)?, kinds))) {
            // Of `result.rows`, `result` is known too.
            known.extend([name, name.split('.').next().unwrap_or_default()]);
            let path = path(name);
            match self.outline.get(&path) {
                None => self.told.push(format!("{path} is missing")),
                Some(found) if !found.keys().any(|kind| *kind == "null" || kinds.contains(kind)) => {
                    self.told.push(format!("{path} is {}", words(found)));
                }
                Some(_) => {}
            }
        }
        let below = if at.is_empty() { String::new() } else { format!("{at}.") };
        let news = self.outline.iter().filter_map(|(path, kinds)| {
            let name = path.strip_prefix(&below)?;
            let new = !name.is_empty() && !name.contains(['.', '[']) && !known.contains(name);
            new.then(|| format!("{path} is new ({})", words(kinds)))
        });
        self.told.extend(news.collect::<Vec<_>>());
    }

    /// The declared fields of an object; nothing to say where no such object is there.
    fn fields<F: Field>(&mut self, at: &str, names: &Names<F>) {
        if !self.outline.contains_key(at) {
            return;
        }
        let declared: Vec<(Option<&str>, &[&str])> = F::ALL
            .iter()
            .map(|field| {
                let list = ["employments", "pendidikan", "pelatihan"].contains(&field.key());
                let kinds: &[&str] = if list { &["list"] } else { &["text", "number"] };
                (names.name(*field), kinds)
            })
            .collect();
        self.section(at, &declared, &[]);
    }
}

fn words(kinds: &BTreeMap<&'static str, u64>) -> String {
    kinds.keys().copied().collect::<Vec<_>>().join(" or ")
}

/// Whether a page that can be cut into records holds none of the fields on which everything rests: the identity, and
/// the stamp where the source has one. A few bad records may lack them; a whole page of many does not.
#[must_use]
pub fn lost_its_fields(records: &[&[u8]], layout: &Layout) -> bool {
    if records.len() < RECORDS_MIN {
        return false;
    }
    let needed = [
        layout.person.name(PersonField::Nik),
        layout.person.name(PersonField::LastUpdated).filter(|_| layout.stamp == Stamp::Source),
    ];
    needed.into_iter().flatten().any(|name| {
        let has = |record: &&[u8]| json::members(record).map_while(Result::ok).any(|member| member.name == name);
        !records.iter().any(has)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    const PROFILE: &str = include_str!("../profiles/sdmk-modified.toml");

    fn differs(body: &str) -> Vec<String> {
        let profile = Profile::parse(PROFILE).expect("the shipped profile");
        let layout = Layout::from_profile_toml(PROFILE).expect("the shipped profile");
        differences(body.as_bytes(), &profile.answer, &layout)
    }

    /// A record with every declared field of the person, invented.
    fn record(also: &str) -> String {
        let texts = [
            "NIK",
            "NAMA",
            "JENIS_KELAMIN",
            "TEMPAT_LAHIR",
            "TANGGAL_LAHIR",
            "ALAMAT",
            "KODE_PROV",
            "NAMA_PROV",
            "KODE_KAB",
            "NAMA_KAB",
            "STATUS_AKTIF",
            "LAST_UPDATED",
        ];
        let texts: Vec<String> = texts.iter().map(|name| format!("\"{name}\":\"SECRET\"")).collect();
        format!("{{{},\"PEKERJAAN\":[],\"PENDIDIKAN\":null,\"PELATIHAN\":[]{also}}}", texts.join(","))
    }

    fn page(records: &[String]) -> String {
        format!(
            "{{\"status\":200,\"message\":\"OK\",\"totalRowCount\":1,\"page\":1,\"limit\":9,\"data\":[{}]}}",
            records.join(",")
        )
    }

    #[test]
    fn a_page_as_declared_does_not_differ() {
        assert_eq!(differs(&page(&[record(""), record("")])), [""; 0]);
        assert_eq!(differs(&page(&[])), [""; 0], "an empty page says nothing about records");
    }

    #[test]
    fn what_is_missing_new_or_of_another_kind_is_named_and_no_value_is() {
        let check = |body: &str, expected: &[&str]| {
            let found = differs(body);
            assert_eq!(found, expected, "{body}");
            assert!(!found.concat().contains("SECRET"));
        };
        check("<html>SECRET", &["the answer is HTML"]);
        check("[]", &["the answer is list"]);
        check("SECRET", &["the answer is no JSON"]);
        check(
            &page(&[record("")]).replace("\"data\"", "\"rows\"").replace("\"totalRowCount\":1", "\"totalRowCount\":[]"),
            &["totalRowCount is list", "data is missing", "rows is new (list)"],
        );
        check(&page(&[record("")]).replace("[{", "{\"0\":{").replace("}]}", "}}}"), &["data is object"]);
        check(
            &page(&[record("").replace("\"NIK\"", "\"NO_KTP\"")]),
            &["data[].NIK is missing", "data[].NO_KTP is new (text)"],
        );
        // One record of many has it: it is not missing.
        check(&page(&[record(""), record("").replace("\"NIK\"", "\"NAMA\"")]), &[]);
        check(
            &page(&[record(",\"3273015705900004\":1").replace("\"NIK\":\"SECRET\"", "\"NIK\":{\"SECRET\":1}")]),
            &["data[].NIK is object", "data[].(unusual name) is new (number)"],
        );
        let job = record("").replace("\"PEKERJAAN\":[]", "\"PEKERJAAN\":[{\"UNIT\":\"SECRET\",\"PUSKESMAS\":null}]");
        let found = differs(&page(&[job]));
        assert!(found.contains(&"data[].PEKERJAAN[].KODE_UNIT is missing".to_owned()), "{found:?}");
        assert!(
            found.len() <= DIFFERENCES_MAX + 1 && found.last().is_some_and(|last| last.ends_with(" more")),
            "{found:?}"
        );
    }

    #[test]
    fn an_outline_is_bounded_and_lays_entries_over_each_other() {
        let places = outline(br#"{"a":[{"b":1},{"b":"SECRET"},{"b":null}],"c":{"d":tru"#);
        let told: Vec<String> = places.iter().map(|place| format!("{}:{:?}", place.path, place.kinds)).collect();
        assert_eq!(told[..3], [":{\"object\": 1}", "a:{\"list\": 1}", "a[]:{\"object\": 3}"]);
        assert_eq!(told[3], "a[].b:{\"null\": 1, \"number\": 1, \"text\": 1}");
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        assert!(outline(deep.as_bytes()).len() <= DEPTH_MAX + 1);
        let wide: Vec<String> =
            (0..2_000).map(|at| format!("\"f{}\":1", "x".repeat(at % 39) + &(at % 10).to_string())).collect();
        assert!(outline(format!("{{{}}}", wide.join(",")).as_bytes()).len() <= PATHS_MAX);
    }

    #[test]
    fn a_page_that_lost_its_identity_is_seen_and_a_few_bad_records_are_not_one() {
        let layout = Layout::from_profile_toml(PROFILE).expect("the shipped profile");
        let (good, bad) = (record(""), record("").replace("\"NIK\"", "\"NO_KTP\""));
        let check = |good_count: usize, bad_count: usize, lost: bool| {
            let mut records = vec![good.as_bytes(); good_count];
            records.extend(vec![bad.as_bytes(); bad_count]);
            assert_eq!(lost_its_fields(&records, &layout), lost, "{good_count} {bad_count}");
        };
        check(0, 100, true);
        check(0, RECORDS_MIN - 1, false);
        check(1, 100, false);
        check(100, 0, false);
        let stampless = record("").replace("LAST_UPDATED", "CHANGED");
        assert!(lost_its_fields(&[stampless.as_bytes(); RECORDS_MIN], &layout));
    }
}
