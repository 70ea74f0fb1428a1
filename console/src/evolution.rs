//! How two versions of a schema stand to each other. Pure.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use serde_json::Value;

/// Whether `new` may follow all of `old` (version number and text) under a registry's rule; the
/// error says which version and why.
///
/// The registry has the last word when a schema is registered; this says beforehand, and in which
/// field, so that nothing is made by halves.
pub(crate) fn may_follow(rule: &str, new: &str, old: &[(u32, String)]) -> Result<(), String> {
    let new = Schema::parse_str(new).map_err(|error| format!("the schema of this program is not readable: {error}"))?;
    for (version, text) in old {
        let old = Schema::parse_str(text)
            .map_err(|error| format!("version {version} in the registry is not readable: {error}"))?;
        // The new schema reads what the old one wrote.
        if rule != "FORWARD_TRANSITIVE" {
            reads(&new, &old)
                .map_err(|why| format!("with version {version}, new readers cannot read old records: {why}"))?;
        }
        if rule != "BACKWARD_TRANSITIVE" {
            reads(&old, &new)
                .map_err(|why| format!("with version {version}, old readers cannot read new records: {why}"))?;
        }
    }
    Ok(())
}

/// Whether a reader reads everything that a writer may write: some of it is not enough.
fn reads(reader: &Schema, writer: &Schema) -> Result<(), String> {
    match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => Ok(()),
        Ok(Compatibility::Partial) => Err("some values have no place in the reader's schema".to_owned()),
        Err(error) => {
            // The outer error names the field, the innermost one says why.
            let mut words = error.to_string();
            let mut next = std::error::Error::source(&error);
            while let Some(cause) = next {
                words.push_str(": ");
                words.push_str(&cause.to_string());
                next = cause.source();
            }
            Err(words)
        }
    }
}

/// One field that differs between two schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// `employments[].sip`.
    pub(crate) field: String,
    /// Its type in the first schema; `None` where it is not there.
    pub(crate) before: Option<String>,
    /// Its type in the second schema; `None` where it is not there.
    pub(crate) after: Option<String>,
}

/// The fields that differ, in the order of their names; documentation is not compared.
pub(crate) fn changes(before: &str, after: &str) -> Result<Vec<Change>, serde_json::Error> {
    let before = fields(before)?;
    let after = fields(after)?;
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names
        .into_iter()
        .map(|name| Change { field: name.clone(), before: before.get(name).cloned(), after: after.get(name).cloned() })
        .filter(|change| change.before != change.after)
        .collect())
}

/// Every field with its type in words.
fn fields(schema: &str) -> Result<BTreeMap<String, String>, serde_json::Error> {
    let schema: Value = serde_json::from_str(schema)?;
    let mut fields = BTreeMap::new();
    walk("", &schema, &mut fields);
    Ok(fields)
}

/// Notes the fields below a type and gives the type in words.
fn walk(path: &str, schema: &Value, fields: &mut BTreeMap<String, String>) -> String {
    match schema {
        Value::String(name) => name.clone(),
        Value::Array(branches) => {
            branches.iter().map(|branch| walk(path, branch, fields)).collect::<Vec<_>>().join(" or ")
        }
        Value::Object(object) => {
            let name = object.get("name").and_then(Value::as_str).unwrap_or("");
            let kind = object.get("type").unwrap_or(&Value::Null);
            match kind.as_str() {
                Some("record") => {
                    let list = object.get("fields").and_then(Value::as_array);
                    for field in list.into_iter().flatten() {
                        note(path, field, fields);
                    }
                    format!("record {name}")
                }
                Some("enum") => {
                    let symbols: Vec<&str> = object
                        .get("symbols")
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .collect();
                    let unknown = object.get("default").and_then(Value::as_str);
                    format!(
                        "one of {}{}",
                        symbols.join(", "),
                        unknown.map(|default| format!(" (unknown: {default})")).unwrap_or_default()
                    )
                }
                Some("array") => {
                    let items = object.get("items").unwrap_or(&Value::Null);
                    format!("list of {}", walk(&format!("{path}[]"), items, fields))
                }
                Some("map") => {
                    let values = object.get("values").unwrap_or(&Value::Null);
                    format!("map of {}", walk(&format!("{path}{{}}"), values, fields))
                }
                Some(primitive) => match object.get("logicalType").and_then(Value::as_str) {
                    Some(logical) => format!("{primitive} ({logical})"),
                    None => primitive.to_owned(),
                },
                None => walk(path, kind, fields),
            }
        }
        other => other.to_string(),
    }
}

fn note(path: &str, field: &Value, fields: &mut BTreeMap<String, String>) {
    let name = field.get("name").and_then(Value::as_str).unwrap_or("?");
    let below = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let mut words = walk(&below, field.get("type").unwrap_or(&Value::Null), fields);
    if let Some(default) = field.get("default") {
        words.push_str(&format!(", default {default}"));
    }
    fields.insert(below, words);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::SUBJECTS;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
    }

    const A: &str = r#"{"name":"a","type":"string"}"#;
    const B: &str = r#"{"name":"b","type":"long"}"#;
    const B_OPTIONAL: &str = r#"{"name":"b","type":["null","long"],"default":null}"#;

    #[test]
    fn the_shipped_schemas_may_follow_themselves() {
        for subject in SUBJECTS {
            let same = [(1, subject.avsc.to_owned())];
            assert_eq!(may_follow(subject.compatibility, subject.avsc, &same), Ok(()));
        }
    }

    #[test]
    fn a_rule_looks_in_its_direction_at_every_version() {
        let check = |rule: &str, new: &str, old: &[&str], good: bool| {
            let old: Vec<(u32, String)> = (1..).zip(old).map(|(version, fields)| (version, record(fields))).collect();
            let outcome = may_follow(rule, &record(new), &old);
            assert_eq!(outcome.is_ok(), good, "{rule} {new}: {outcome:?}");
        };
        let a_b = format!("{A},{B}");
        let a_b_optional = format!("{A},{B_OPTIONAL}");
        check("FULL_TRANSITIVE", &a_b_optional, &[A], true);
        check("FULL_TRANSITIVE", &a_b, &[A], false);
        check("FULL_TRANSITIVE", A, &[&a_b], false);
        check("BACKWARD_TRANSITIVE", A, &[&a_b], true);
        check("BACKWARD_TRANSITIVE", &a_b, &[A], false);
        check("FULL_TRANSITIVE", &a_b_optional, &[&a_b_optional, &a_b], false);
        check("FULL_TRANSITIVE", A, &[], true);
    }

    #[test]
    fn changes_name_the_field_and_both_types() {
        let before = record(&format!(
            r#"{A},{{"name":"l","type":{{"type":"array","items":{{"type":"record","name":"I","fields":[{B}]}}}}}}"#
        ));
        let after = record(&format!(
            r#"{A},{{"name":"l","type":{{"type":"array","items":{{"type":"record","name":"I","fields":[{B_OPTIONAL}]}}}}}},{{"name":"e","type":{{"type":"enum","name":"E","symbols":["X","Y"],"default":"X"}}}}"#
        ));
        let told: Vec<String> = changes(&before, &after)
            .expect("both are JSON")
            .into_iter()
            .map(|change| format!("{}: {:?} -> {:?}", change.field, change.before, change.after))
            .collect();
        assert_eq!(
            told,
            [
                r#"e: None -> Some("one of X, Y (unknown: X)")"#,
                r#"l[].b: Some("long") -> Some("null or long, default null")"#,
            ]
        );
        assert_eq!(changes(&before, &before).expect("JSON"), []);
    }
}
