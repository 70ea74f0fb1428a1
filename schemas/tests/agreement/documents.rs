//! `docs/CONTRACT.md` and the schemas say the same, and the enums in Rust are those of the schemas.

use schemas::event::{BatchKind, BatchStatus, EventType};
use schemas::version::Stamp;
use schemas::worker::{JenisKelamin, Op, StatusAktif};
use schemas::{BATCH_EVENT_AVSC, SDMK_WORKER_AVSC};
use serde_json::Value;

const CONTRACT: &str = include_str!("../../../docs/CONTRACT.md");

/// A field as one of the two says it.
#[derive(Debug, PartialEq)]
struct Field {
    name: String,
    /// `long`, `null/string`, `array of Pendidikan`; logical types after a blank.
    kind: String,
    personal: bool,
}

/// The text under a heading, up to the next one.
fn section(heading: &str) -> &'static str {
    let (_, rest) = CONTRACT.split_once(heading).expect(heading);
    rest.split("\n#").next().expect("a section")
}

/// First two columns of a section's table; a row may name several fields, and then either one
/// type for all or as many types.
fn table(heading: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    for row in section(heading).lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let names: Vec<&str> = cells[1].split(", ").map(|name| name.trim_matches('`')).collect();
        let personal = cells[2].contains("personal");
        // Symbols and defaults are compared elsewhere; only the type itself is before them. What
        // else follows a comma (a form, `personal`) is no part of the type.
        let described = cells[2].split([':', ';']).next().unwrap_or_default();
        let parts: Vec<&str> = described.split(", ").map(str::trim).filter(|part| *part != "personal").collect();
        let kinds = if names.len() > 1 && parts.len() == names.len() {
            parts.into_iter().map(str::to_owned).collect()
        } else {
            let kept: Vec<&str> = parts
                .into_iter()
                .enumerate()
                .filter(|(index, part)| *index == 0 || *part == "timestamp-micros")
                .map(|(_, part)| part)
                .collect();
            vec![kept.join(", "); names.len()]
        };
        for (name, kind) in names.iter().zip(kinds) {
            fields.push(Field { name: (*name).to_owned(), kind: kind.replace('`', ""), personal });
        }
    }
    fields
}

fn fields(record: &Value) -> Vec<Field> {
    let fields = record["fields"].as_array().expect("fields");
    fields
        .iter()
        .map(|field| Field {
            name: field["name"].as_str().expect("a name").to_owned(),
            kind: kind(&field["type"]),
            personal: field.get("confidentiality").is_some(),
        })
        .collect()
}

/// A type in the words of the contract.
fn kind(schema: &Value) -> String {
    match schema {
        Value::String(name) => name.clone(),
        Value::Array(branches) => format!("null/{}", kind(&branches[1])),
        Value::Object(map) => match (map["type"].as_str(), map.get("logicalType")) {
            (Some("string"), Some(_)) => "string (uuid)".to_owned(),
            (Some("int"), Some(_)) => "int date".to_owned(),
            (Some("long"), Some(logical)) => {
                format!("long, {}", logical.as_str().expect("a logical type"))
            }
            (Some("enum"), _) => format!("enum {}", map["name"].as_str().expect("a name")),
            (Some("array"), _) => format!("array of {}", kind(&map["items"])),
            (Some("map"), _) => format!("map of {}", kind(&map["values"])),
            (Some("record"), _) => map["name"].as_str().expect("a name").to_owned(),
            _ => panic!("a type that the contract has no word for"),
        },
        _ => panic!("not a schema"),
    }
}

fn parse(avsc: &str) -> Value {
    serde_json::from_str(avsc).expect("JSON")
}

/// The record type of an array field.
fn items<'v>(worker: &'v Value, field: &str) -> &'v Value {
    let fields = worker["fields"].as_array().expect("fields");
    let field = fields.iter().find(|other| other["name"] == field);
    &field.expect("the field")["type"]["items"]
}

#[test]
fn the_table_of_the_worker_is_the_schema() {
    assert_eq!(table("## 3. Avro: `SdmkWorker`"), fields(&parse(SDMK_WORKER_AVSC)));
}

#[test]
fn the_table_of_the_event_is_the_schema() {
    let documented: Vec<Field> = table("## 4. Avro: `BatchEvent`")
        .into_iter()
        .map(|mut field| {
            // The contract leaves out the names of two enums that nothing else uses.
            if field.kind == "enum" {
                field.kind = match field.name.as_str() {
                    "event_type" => "enum EventType".to_owned(),
                    _ => "enum BatchKind".to_owned(),
                };
            }
            field
        })
        .collect();
    assert_eq!(documented, fields(&parse(BATCH_EVENT_AVSC)));
}

/// The names between backquotes, and whether `(personal)` follows.
fn named(text: &str) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('`') {
        let (name, after) = after.split_once('`').expect("a closing backquote");
        let note = after.split(['`', '·', ',', '.']).next().unwrap_or_default();
        names.push((name.to_owned(), note.contains("personal")));
        rest = after;
    }
    names
}

#[test]
fn the_lists_of_nested_fields_are_the_schema() {
    let worker = parse(SDMK_WORKER_AVSC);
    let names = |record: &Value| -> Vec<(String, bool)> {
        fields(record).into_iter().map(|field| (field.name, field.personal)).collect()
    };

    let (_, jobs) = section("### 3.1 `Employment`").split_once("\n\n").expect("the list of fields");
    let (jobs, rest) = jobs.split_once("All but the key are null/T").expect("the rule");
    assert!(!rest.is_empty());
    let employment = items(&worker, "employments");
    assert_eq!(named(jobs), names(employment));
    for (index, field) in fields(employment).iter().enumerate() {
        assert_eq!(field.kind.starts_with("null/"), index > 0, "{}", field.name);
    }

    let lists = section("### 3.2 `Pendidikan`, `Pelatihan`");
    for (record, field) in [("Pendidikan", "pendidikan"), ("Pelatihan", "pelatihan")] {
        let (_, list) = lists.split_once(&format!("`{record}`: ")).expect(record);
        let list = list.split_once('.').expect("the end of the list").0;
        let record = items(&worker, field);
        assert_eq!(named(list), names(record));
        assert!(fields(record).iter().all(|field| field.kind == "null/string"));
    }
}

/// Name, symbols and default of every enum in a schema.
fn enums(schema: &Value, found: &mut Vec<(String, Vec<String>, String)>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| enums(item, found)),
        Value::Object(map) => {
            if map.get("type").is_some_and(|word| word == "enum") {
                let text = |value: &Value| value.as_str().expect("text").to_owned();
                let symbols = map["symbols"].as_array().expect("symbols");
                found.push((text(&map["name"]), symbols.iter().map(text).collect(), text(&map["default"])));
            }
            map.values().for_each(|value| enums(value, found));
        }
        _ => {}
    }
}

#[test]
fn the_enums_in_rust_are_those_of_the_schemas_and_of_the_contract() {
    macro_rules! rust_enum {
        ($name:ident, $default:ident) => {
            (
                stringify!($name).to_owned(),
                $name::ALL.iter().map(|symbol| symbol.to_string()).collect(),
                $name::$default.to_string(),
            )
        };
    }
    let mut found = Vec::new();
    enums(&parse(SDMK_WORKER_AVSC), &mut found);
    enums(&parse(BATCH_EVENT_AVSC), &mut found);
    let expected: Vec<(String, Vec<String>, String)> = vec![
        rust_enum!(Stamp, Source),
        rust_enum!(Op, Update),
        rust_enum!(JenisKelamin, TidakDiketahui),
        rust_enum!(StatusAktif, TidakDiketahui),
        rust_enum!(EventType, TidakDiketahui),
        rust_enum!(BatchKind, TidakDiketahui),
        rust_enum!(BatchStatus, TidakDiketahui),
    ];
    assert_eq!(found, expected);
    for (name, symbols, _) in &expected {
        let list = symbols.iter().map(|symbol| format!("`{symbol}`")).collect::<Vec<_>>().join(", ");
        assert!(CONTRACT.contains(&list), "{name}: {list}");
    }
    assert!(Stamp::ALL.iter().all(|symbol| Stamp::parse(symbol.as_str()) == Some(*symbol)));
    assert!(EventType::ALL.iter().enumerate().all(|(place, symbol)| usize::from(symbol.index()) == place));
    assert_eq!(Op::parse("x"), None);
}
