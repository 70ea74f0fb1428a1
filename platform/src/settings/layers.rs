//! The layers of a configuration: defaults, file, environment, flags.
//!
//! Each layer is read as a whole; what is wrong in it is collected, what is right is kept, so that
//! one run tells everything there is to mend.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::HIDDEN;
use super::errors::{ConfigError, ConfigErrors, Origin};
use super::table::{SETTINGS, Setting, find};
use super::value::{Kind, Value, parse, show, within};

/// One value of a layer: of a whole setting, or of one name of a table.
pub(crate) struct Given {
    key: &'static str,
    /// The name within a table, where only that one is given.
    name: Option<String>,
    value: Value,
    origin: Origin,
}

/// What one layer gives.
pub(crate) type Layer = Vec<Given>;

/// Values by key, as they are laid over each other.
pub(crate) type Laid = BTreeMap<&'static str, (Option<Value>, Origin)>;

/// The lowest layer.
pub(crate) fn defaults() -> Laid {
    SETTINGS
        .iter()
        .map(|setting| {
            let value =
                setting.default.map(|text| parse(setting.kind, text).expect("a test reads every default of the table"));
            (setting.key, (value, Origin::Default))
        })
        .collect()
}

/// Lays a layer over what there is. A whole table replaces the one below; a single name is added.
pub(crate) fn lay(layer: Layer, laid: &mut Laid) {
    for given in layer {
        match (given.name, given.value, laid.get_mut(given.key)) {
            (Some(name), Value::Text(text), Some((value, origin))) => {
                if !matches!(value, Some(Value::Table(_))) {
                    *value = Some(Value::Table(BTreeMap::new()));
                }
                if let Some(Value::Table(table)) = value {
                    table.insert(name, text);
                }
                *origin = given.origin;
            }
            (_, value, _) => {
                laid.insert(given.key, (Some(value), given.origin));
            }
        }
    }
}

/// The name of a setting's variable: `SISDMK_KAFKA__BOOTSTRAP_SERVERS`.
pub(crate) fn variable(key: &str) -> String {
    format!("SISDMK_{}", key.replacen('.', "__", 1).to_ascii_uppercase())
}

/// What is wrong with the bounds of a value, if anything.
pub(crate) fn out_of_bounds(setting: &Setting, value: &Value) -> Option<String> {
    let bound = |text: Option<&str>| text.and_then(|text| parse(setting.kind, text).ok());
    let (min, max) = (bound(setting.min), bound(setting.max));
    if within(value, min.as_ref(), max.as_ref()) {
        return None;
    }
    Some(format!("`{}` is out of bounds; allowed: {}", show(value), bounds(setting)))
}

fn bounds(setting: &Setting) -> String {
    match (setting.min, setting.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("{min} or more"),
        (None, Some(max)) => format!("{max} or less"),
        (None, None) => setting.kind.name(),
    }
}

/// A value that one text gives, or the fault.
fn read(setting: &'static Setting, text: &str, origin: Origin, errors: &mut ConfigErrors) -> Option<Given> {
    match parse(setting.kind, text) {
        Ok(value) => Some(Given { key: setting.key, name: None, value, origin }),
        Err(message) => {
            errors.0.push(ConfigError {
                key: setting.key.to_owned(),
                origin: Some(origin),
                message: refused(setting, text, &message),
            });
            None
        }
    }
}

/// What was given and what is allowed. Paths of secrets, URLs (which may carry one) and tables are
/// not repeated.
fn refused(setting: &Setting, given: &str, message: &str) -> String {
    let quiet = setting.secret_file || matches!(setting.kind, Kind::Url | Kind::Table | Kind::Path);
    let given = if quiet { HIDDEN.to_owned() } else { format!("`{}`", given.escape_debug()) };
    match (setting.min, setting.max) {
        (None, None) => format!("{given} {message}"),
        _ => format!("{given} {message}; allowed: {}", bounds(setting)),
    }
}

/// A key that the table does not know, with the nearest one it knows.
fn unknown(key: &str, origin: Origin) -> ConfigError {
    let message = match nearest(key) {
        Some(near) => format!("is not a setting; did you mean `{near}`?"),
        None => "is not a setting; `sisdmk config show` lists them all".to_owned(),
    };
    ConfigError { key: key.escape_debug().to_string(), origin: Some(origin), message }
}

/// The known key with the fewest changes, if they are few for its length; else one with the same
/// last part.
fn nearest(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let (near, changes) =
        SETTINGS.iter().map(|s| (s.key, distance(&key, s.key))).min_by_key(|(_, changes)| *changes)?;
    if changes <= (key.len() / 4).clamp(1, 4) {
        return Some(near);
    }
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    SETTINGS.iter().map(|s| s.key).find(|known| last(known) == last(&key))
}

/// Levenshtein distance over bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

/// The flags `--set section.key=value`; a name of a table as `section.key.name=value`.
pub(crate) fn from_flags(flags: &[String], errors: &mut ConfigErrors) -> Layer {
    let pairs = flags.iter().filter_map(|flag| match flag.split_once('=') {
        Some(pair) => Some(pair),
        None => {
            errors.0.push(ConfigError {
                key: String::new(),
                origin: Some(Origin::Flag),
                message: "must be written --set section.key=value".to_owned(),
            });
            None
        }
    });
    let pairs: Vec<_> = pairs.collect();
    keyed(pairs, &Origin::Flag, errors)
}

/// Values that a program gives.
pub(crate) fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, errors: &mut ConfigErrors) -> Layer {
    keyed(pairs, &Origin::Given, errors)
}

fn keyed<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, origin: &Origin, errors: &mut ConfigErrors) -> Layer {
    let mut layer = Layer::new();
    for (key, text) in pairs {
        let key = key.trim();
        if let Some(setting) = find(key) {
            layer.extend(read(setting, text, origin.clone(), errors));
        } else if let Some((setting, name)) = within_table(key) {
            let value = Value::Text(text.trim().to_owned());
            layer.push(Given { key: setting.key, name: Some(name.to_owned()), value, origin: origin.clone() });
        } else {
            errors.0.push(unknown(key, origin.clone()));
        }
    }
    layer
}

/// The table setting that a longer key points into, and the name in it.
fn within_table(key: &str) -> Option<(&'static Setting, &str)> {
    SETTINGS.iter().filter(|setting| setting.kind == Kind::Table).find_map(|setting| {
        let name = key.strip_prefix(setting.key)?.strip_prefix('.')?;
        (!name.is_empty()).then_some((setting, name))
    })
}

/// The variables `SISDMK_SECTION__KEY`.
///
/// A variable without a double underscore is somebody else's (Kubernetes sets `SISDMK_PRODUCER_PORT`
/// for a service of that name) unless it is a setting's name but for the underscores.
pub(crate) fn from_environment(
    environment: impl IntoIterator<Item = (String, String)>,
    errors: &mut ConfigErrors,
) -> Layer {
    let mut layer = Layer::new();
    // The environment has no order; the faults should have one.
    let variables: BTreeMap<String, String> =
        environment.into_iter().filter(|(name, _)| name.starts_with("SISDMK_")).collect();
    for (name, text) in variables {
        let origin = Origin::Environment(name.clone());
        let Some(key) = name.strip_prefix("SISDMK_").filter(|rest| rest.contains("__")) else {
            let single = |key: &str| variable(key).replace("__", "_");
            if let Some(meant) = SETTINGS.iter().find(|setting| single(setting.key) == name) {
                errors.0.push(ConfigError {
                    key: name.clone(),
                    origin: None,
                    message: format!("is not a setting; did you mean `{}`?", variable(meant.key)),
                });
            }
            continue;
        };
        let key = key.replacen("__", ".", 1).to_ascii_lowercase();
        match find(&key) {
            Some(setting) => layer.extend(read(setting, &text, origin, errors)),
            None => errors.0.push(unknown(&key, origin)),
        }
    }
    layer
}

/// The TOML file.
pub(crate) fn from_file(path: &Path, errors: &mut ConfigErrors) -> Layer {
    let whole = |line: usize, message: String| ConfigError {
        key: String::new(),
        origin: Some(Origin::File(path.to_owned(), line)),
        message,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            errors.0.push(whole(0, format!("cannot be read: {error}")));
            return Layer::new();
        }
    };
    let line = |offset: usize| text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
    let tree = match DeTable::parse(&text) {
        Ok(tree) => tree.into_inner(),
        Err(error) => {
            // `message` and not `Display`: that one prints the line, which may hold anything.
            let at = error.span().map_or(0, |span| line(span.start));
            errors.0.push(whole(at, format!("is not valid TOML: {}", error.message())));
            return Layer::new();
        }
    };
    let mut layer = Layer::new();
    for (section, content) in &tree {
        let section_name: &str = section.get_ref();
        let at = Origin::File(path.to_owned(), line(section.span().start));
        let DeValue::Table(keys) = content.get_ref() else {
            errors.0.push(unknown(section_name, at));
            continue;
        };
        if !SETTINGS.iter().any(|setting| setting.key.split('.').next() == Some(section_name)) {
            let known: Vec<&str> = sections();
            errors.0.push(ConfigError {
                key: section_name.escape_debug().to_string(),
                origin: Some(at),
                message: format!("is not a section; there are: {}", known.join(", ")),
            });
            continue;
        }
        for (key, value) in keys {
            let origin = Origin::File(path.to_owned(), line(key.span().start));
            let full = format!("{section_name}.{}", key.get_ref());
            match find(&full) {
                Some(setting) => layer.extend(from_toml(setting, value, origin, errors)),
                None => errors.0.push(unknown(&full, origin)),
            }
        }
    }
    layer
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = SETTINGS.iter().filter_map(|setting| setting.key.split('.').next()).collect();
    sections.dedup();
    sections
}

/// A value of the file. The type must fit: a number for a number, text for the rest.
fn from_toml(
    setting: &'static Setting,
    value: &Spanned<DeValue<'_>>,
    origin: Origin,
    errors: &mut ConfigErrors,
) -> Option<Given> {
    let mut refuse = |message: String| {
        errors.0.push(ConfigError { key: setting.key.to_owned(), origin: Some(origin.clone()), message });
        None
    };
    let text = match (setting.kind, value.get_ref()) {
        (Kind::List, DeValue::Array(items)) => {
            let items: Option<Vec<String>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            return match items {
                Some(items) => Some(Given { key: setting.key, name: None, value: Value::List(items), origin }),
                None => refuse("must be a list of texts".into()),
            };
        }
        (Kind::List, DeValue::String(text)) if text.is_empty() => String::new(),
        (Kind::List, _) => return refuse("must be a list, for example `[\"32\", \"33\"]`".into()),
        (Kind::Table, DeValue::Table(table)) => {
            let mut flat = BTreeMap::new();
            return if flatten("", table, &mut flat) {
                Some(Given { key: setting.key, name: None, value: Value::Table(flat), origin })
            } else {
                refuse(format!("must be a table of texts, `[{}]`", setting.key))
            };
        }
        (Kind::Table, _) => return refuse(format!("must be a table, `[{}]`", setting.key)),
        (Kind::Int | Kind::Bytes | Kind::Number, DeValue::Integer(_)) => scalar(value.get_ref()).unwrap_or_default(),
        (Kind::Number, DeValue::Float(_)) | (Kind::Flag, DeValue::Boolean(_)) => {
            scalar(value.get_ref()).unwrap_or_default()
        }
        (Kind::Int | Kind::Number, _) => return refuse("must be a number without quotes".into()),
        (Kind::Flag, _) => return refuse("must be `true` or `false` without quotes".into()),
        (_, DeValue::String(text)) => text.to_string(),
        (Kind::Duration, _) => return refuse("must be a text with a unit, for example `\"10s\"`".into()),
        (Kind::Bytes, _) => return refuse("must be a size, for example `\"32MiB\"`".into()),
        (_, _) => return refuse("must be a text in quotes".into()),
    };
    read(setting, &text, origin, errors)
}

/// The text of a single value; none for tables and arrays.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // Underscores are TOML's, not ours; other radixes than ten are refused by our own parser.
        DeValue::Integer(number) => Some(number.to_string().replace('_', "")),
        DeValue::Float(number) => Some(number.to_string().replace('_', "")),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Joins nested names with dots: `session.timeout.ms = 1` is three tables to TOML, one name to us.
fn flatten(prefix: &str, table: &DeTable<'_>, into: &mut BTreeMap<String, String>) -> bool {
    table.iter().all(|(name, value)| {
        let name = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&name, inner, into),
            other => match scalar(other) {
                Some(text) => {
                    into.insert(name, text);
                    true
                }
                None => false,
            },
        }
    })
}
