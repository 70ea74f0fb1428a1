//! Every version a schema ever had must be readable by every other, because a compacted topic
//! keeps old records for years.

use std::fs;
use std::path::Path;

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use schemas::{BATCH_EVENT_AVSC, SDMK_WORKER_AVSC};
use serde_json::Value;

/// All versions of a schema in the order they were published, numbered from 1 without a gap.
fn versions(name: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("history");
    let prefix = format!("{name}.");
    let mut numbers: Vec<usize> = fs::read_dir(&folder)
        .expect("schemas/history")
        .map(|entry| entry.expect("a file of schemas/history").file_name())
        .filter_map(|file| {
            let file = file.to_str().expect("a name in UTF-8");
            file.strip_prefix(&prefix)?.strip_suffix(".avsc")?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{name}");
    numbers
        .iter()
        .map(|number| fs::read_to_string(folder.join(format!("{name}.{number}.avsc"))))
        .collect::<Result<_, _>>()
        .expect("a version of a schema")
}

#[test]
fn the_newest_version_in_the_history_is_the_one_in_use() {
    for (name, current) in [("sdmk_worker", SDMK_WORKER_AVSC), ("batch_event", BATCH_EVENT_AVSC)] {
        let versions = versions(name);
        assert_eq!(versions.last().map(String::as_str), Some(current), "{name}");
    }
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("history"));
    let count = files.expect("schemas/history").count();
    assert_eq!(
        count,
        versions("sdmk_worker").len() + versions("batch_event").len(),
        "a file of the history that no test reads"
    );
}

/// `Full` and nothing less: `can_read` says `Ok(Partial)` where reading fails for some values.
fn assert_reads(reader: &Schema, writer: &Schema, what: &str) {
    let found = SchemaCompatibility::can_read(writer, reader);
    assert_eq!(found, Ok(Compatibility::Full), "{what}");
}

#[test]
fn every_version_of_the_worker_reads_every_other() {
    let versions = parsed("sdmk_worker");
    for (i, reader) in versions.iter().enumerate() {
        for (j, writer) in versions.iter().enumerate() {
            assert_reads(reader, writer, &format!("{} reads {}", i + 1, j + 1));
        }
    }
}

#[test]
fn every_version_of_the_event_reads_those_before_it() {
    let versions = parsed("batch_event");
    for (i, reader) in versions.iter().enumerate() {
        for (j, writer) in versions.iter().enumerate().take(i + 1) {
            assert_reads(reader, writer, &format!("{} reads {}", i + 1, j + 1));
        }
    }
}

fn parsed(name: &str) -> Vec<Schema> {
    let parse = |text: &String| Schema::parse_str(text).expect("a version of a schema");
    versions(name).iter().map(parse).collect()
}

/// What the checks above are made of really refuses: else they could pass by saying nothing.
#[test]
fn the_check_refuses_what_readers_would_trip_over() {
    let current = Schema::parse_str(SDMK_WORKER_AVSC).expect("the worker");
    let changed = |from: &str, to: &str| {
        assert!(SDMK_WORKER_AVSC.contains(from), "{from}");
        let text = SDMK_WORKER_AVSC.replacen(from, to, 1);
        Schema::parse_str(&text).expect("still a schema")
    };
    let full =
        |reader: &Schema, writer: &Schema| SchemaCompatibility::can_read(writer, reader) == Ok(Compatibility::Full);
    // A field without a default that old records do not have.
    let field = changed(
        "{ \"name\": \"nama\",",
        "{ \"name\": \"baru\", \"type\": \"string\", \"doc\": \"\" },\n    { \"name\": \"nama\",",
    );
    assert!(!full(&field, &current) && full(&current, &field));
    // A symbol more, in an enum without a default: `Partial`, and so refused.
    let without = changed(", \"default\": \"TIDAK_DIKETAHUI\"}", "}");
    let more = changed("[\"L\", \"P\", ", "[\"L\", \"P\", \"X\", ");
    assert!(!full(&without, &more));
    assert!(full(&current, &more) && full(&more, &current));
    // Text that may now be null.
    let null =
        changed("\"name\": \"nama\", \"type\": \"string\"", "\"name\": \"nama\", \"type\": [\"null\", \"string\"]");
    assert!(full(&null, &current) && !full(&current, &null));
}

/// What no compatibility checker sees: another logical type over the same number, and another
/// full name of a nested type.
#[test]
fn no_version_changes_what_an_old_field_means() {
    for name in ["sdmk_worker", "batch_event"] {
        let versions: Vec<Value> =
            versions(name).iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        for pair in versions.windows(2) {
            let [old, new] = [meanings(&pair[0]), meanings(&pair[1])];
            for (path, meaning) in old {
                let same = new.iter().find(|(other, _)| *other == path);
                if let Some((_, new_meaning)) = same {
                    assert_eq!(meaning, *new_meaning, "{name}: {path}");
                }
            }
        }
    }
}

/// Path, and logical types and names of types, of every field of a schema.
fn meanings(schema: &Value) -> Vec<(String, String)> {
    fn walk(schema: &Value, path: &str, found: &mut Vec<(String, String)>) {
        match schema {
            Value::Array(branches) => branches.iter().for_each(|branch| walk(branch, path, found)),
            Value::Object(map) => {
                for word in ["logicalType", "name", "namespace"] {
                    if let Some(value) = map.get(word) {
                        found.push((format!("{path} {word}"), value.to_string()));
                    }
                }
                for field in map.get("fields").and_then(Value::as_array).into_iter().flatten() {
                    let name = field["name"].as_str().expect("a field's name");
                    walk(&field["type"], &format!("{path}.{name}"), found);
                }
                for word in ["type", "items", "values"] {
                    if let Some(inner) = map.get(word) {
                        walk(inner, path, found);
                    }
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(schema, "", &mut found);
    found
}

/// House rules for schemas: each makes a later change possible or keeps a person's data marked.
#[test]
fn every_field_is_documented_and_can_evolve() {
    for (text, record_count) in [(SDMK_WORKER_AVSC, 4), (BATCH_EVENT_AVSC, 1)] {
        let schema: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(schema["namespace"], "id.sisdmk");
        let mut records = 0;
        check_type(&schema, &mut records);
        assert_eq!(records, record_count);
    }
}

fn check_type(schema: &Value, records: &mut usize) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| check_type(branch, records)),
        Value::Object(map) => match map["type"].as_str() {
            Some("record") => {
                *records += 1;
                assert!(map.contains_key("doc"), "{}", map["name"]);
                let fields = map["fields"].as_array().expect("fields");
                fields.iter().for_each(|field| check_field(field, records));
            }
            Some("enum") => {
                let symbols = map["symbols"].as_array().expect("symbols");
                assert!(symbols.contains(&map["default"]), "{}", map["name"]);
                assert!(map.contains_key("doc"), "{}", map["name"]);
            }
            Some("array") => check_type(&map["items"], records),
            Some("map") => check_type(&map["values"], records),
            _ => {}
        },
        _ => {}
    }
}

fn check_field(field: &Value, records: &mut usize) {
    let name = &field["name"];
    let doc = field["doc"].as_str().unwrap_or_default();
    assert!(doc.len() > 3, "{name} has no doc");
    match &field["type"] {
        Value::Array(branches) => {
            assert_eq!(branches.len(), 2, "{name}");
            assert_eq!(branches[0], "null", "{name}");
            assert_eq!(field.get("default"), Some(&Value::Null), "{name}");
        }
        Value::Object(map) if map["type"] == "array" => {
            assert_eq!(field.get("default"), Some(&Value::Array(Vec::new())), "{name}");
        }
        _ => {}
    }
    let confidentiality = field.get("confidentiality");
    assert!(confidentiality.is_none_or(|word| word == "personal"), "{name}");
    check_type(&field["type"], records);
}
