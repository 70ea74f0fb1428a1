//! The golden cases and the profiles under which they are judged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rules::Rules;
use schemas::Timestamp;
use schemas::layout::{Layout, shipped};
use toml::{Table, Value};

/// Everything that the cases need.
pub(crate) struct Book {
    pub(crate) fetched_at: Timestamp,
    pub(crate) profiles: BTreeMap<String, Rules>,
    pub(crate) cases: Vec<Case>,
}

/// One case with its record and the verdict that its file tells.
pub(crate) struct Case {
    /// File and name.
    pub(crate) place: String,
    pub(crate) rule: String,
    pub(crate) profile: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) expected: serde_json::Value,
}

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn table(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key).map(|value| value.as_str().unwrap_or_else(|| panic!("{key} is a text")))
}

/// Puts `changes` over `base`, table by table.
fn merge(base: &mut Table, changes: &Table) {
    for (key, value) in changes {
        match (base.get_mut(key), value) {
            (Some(Value::Table(base)), Value::Table(changes)) => merge(base, changes),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

fn rules_of(changes: &Table) -> Rules {
    let mut profile: Table = shipped("sdmk-modified").expect("it ships").parse().expect("TOML");
    let mut status = BTreeMap::new();
    for (key, value) in changes {
        let declared = value.as_table().unwrap_or_else(|| panic!("{key} is a table"));
        match key.as_str() {
            "record" => merge(profile["record"].as_table_mut().expect("a table"), declared),
            "status_aktif" => {
                let pair = |(raw, word): (&String, &Value)| (raw.clone(), word.as_str().expect("a text").to_owned());
                status = declared.iter().map(pair).collect();
            }
            other => panic!("{other} is nothing that a golden profile declares"),
        }
    }
    let layout = Layout::from_profile_toml(&profile.to_string()).expect("a good profile");
    Rules::new(layout, &status).expect("a good profile")
}

impl Book {
    pub(crate) fn read() -> Self {
        let folder = folder("golden");
        let declared = table(&folder.join("profiles.toml"));
        let base = table(&folder.join("base.toml"));
        let profiles: BTreeMap<String, Rules> = declared["profile"]
            .as_table()
            .expect("profiles")
            .iter()
            .map(|(name, changes)| (name.clone(), rules_of(changes.as_table().expect("a table"))))
            .collect();
        let mut files: Vec<PathBuf> =
            fs::read_dir(&folder).expect("golden").map(|file| file.expect("a file").path()).collect();
        files.sort();
        let mut cases = Vec::new();
        for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "toml")) {
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            if ["profiles", "base"].contains(&name.as_str()) {
                continue;
            }
            for case in table(file)["case"].as_array().expect("cases") {
                cases.push(Case::read(&name, case.as_table().expect("a table"), &base));
            }
        }
        let fetched_at = Timestamp::parse_rfc3339(text(&declared, "fetched_at").expect("fetched_at")).expect("a time");
        Self { fetched_at, profiles, cases }
    }
}

impl Case {
    fn read(file: &str, case: &Table, base: &Table) -> Self {
        let place = format!("{file}: {}", text(case, "name").expect("every case has a name"));
        Self {
            rule: text(case, "rule").unwrap_or_else(|| panic!("{place}: names its rule")).to_owned(),
            profile: text(case, "profile").unwrap_or("default").to_owned(),
            payload: payload(case, base),
            expected: expected(case),
            place,
        }
    }
}

/// Its own bytes, or the base person with the case's changes: every value is a JSON text.
fn payload(case: &Table, base: &Table) -> Vec<u8> {
    if let Some(hex) = text(case, "record_hex") {
        return from_hex(hex);
    }
    if let Some(record) = text(case, "record") {
        return record.as_bytes().to_vec();
    }
    let part = |name: &str| -> BTreeMap<String, String> {
        let fields = base[name].as_table().expect("a table").iter();
        fields.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect()
    };
    let (mut person, mut job) = (part("person"), part("job"));
    let absent: Vec<&str> =
        case.get("without").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, value) in case.get("change").and_then(Value::as_table).into_iter().flatten() {
        let value = value.as_str().expect("a JSON text").to_owned();
        match name.strip_prefix("PEKERJAAN.") {
            Some(name) => job.insert(name.to_owned(), value),
            None => person.insert(name.clone(), value),
        };
    }
    for name in &absent {
        match name.strip_prefix("PEKERJAAN.") {
            Some(name) => job.remove(name),
            None => person.remove(*name),
        };
    }
    if !absent.contains(&"PEKERJAAN") {
        person.entry("PEKERJAAN".to_owned()).or_insert_with(|| format!("[{}]", object(&job)));
    }
    object(&person).into_bytes()
}

fn object(fields: &BTreeMap<String, String>) -> String {
    let members: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    let digits = pairs.iter().map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|digits| u8::from_str_radix(digits, 16).expect("hexadecimal")).collect()
}

/// The verdict in the form of [`crate::verdict::told`].
fn expected(case: &Table) -> serde_json::Value {
    let json = |value: &Value| serde_json::to_value(value).expect("plain values");
    let mut told = serde_json::Map::new();
    for key in ["verdict", "reasons", "warnings"] {
        told.extend(case.get(key).map(|value| (key.to_owned(), json(value))));
    }
    if let Some(clean) = case.get("clean").and_then(Value::as_table) {
        for list in ["employments", "pendidikan", "pelatihan"] {
            told.insert(list.to_owned(), serde_json::json!([]));
        }
        told.extend(clean.iter().map(|(key, value)| (key.clone(), json(value))));
    }
    serde_json::Value::Object(told)
}
