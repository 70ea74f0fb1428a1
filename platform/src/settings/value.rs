//! What values look like: text in, a checked value or a sentence of what is allowed out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The form of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, not empty.
    Text,
    /// A path of the file system.
    Path,
    /// An absolute URL without a password in it.
    Url,
    /// `address:port` to listen on.
    Address,
    /// A span of time: `500ms`, `10s`, `5m`, `6h`, `7d`.
    Duration,
    /// A size: bytes, or `16KiB`, `32MiB`, `1GiB`.
    Bytes,
    /// A whole number.
    Int,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Texts; comma-separated where they are one text.
    List,
    /// Names with values; `name=value,name=value` where they are one text.
    Table,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// The kind as a reader of the documentation wants it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Path => "path".into(),
            Self::Url => "URL".into(),
            Self::Address => "address".into(),
            Self::Duration => "duration".into(),
            Self::Bytes => "size".into(),
            Self::Int => "integer".into(),
            Self::Number => "number".into(),
            Self::Flag => "true, false".into(),
            Self::List => "list".into(),
            Self::Table => "table".into(),
            Self::Choice(words) => words.join(", "),
        }
    }
}

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Text, URL and choice.
    Text(String),
    Path(PathBuf),
    Address(SocketAddr),
    Duration(Duration),
    Bytes(u64),
    Int(i64),
    Number(f64),
    Flag(bool),
    List(Vec<String>),
    Table(BTreeMap<String, String>),
}

/// Reads a value from one text, as the environment and the command line give it.
///
/// Errors: what is allowed, as the end of a sentence; never the text itself.
pub(crate) fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    match kind {
        Kind::Text if trimmed.is_empty() => Err("must not be empty".into()),
        Kind::Text => Ok(Value::Text(trimmed.to_owned())),
        Kind::Path if trimmed.is_empty() => Err("must be a path, not empty".into()),
        Kind::Path => Ok(Value::Path(PathBuf::from(trimmed))),
        Kind::Url => url(trimmed),
        Kind::Address => trimmed
            .parse()
            .map(Value::Address)
            .map_err(|_| "must be an address with a port, for example `127.0.0.1:9101`".into()),
        Kind::Duration => duration(trimmed)
            .map(Value::Duration)
            .ok_or_else(|| "must be a duration such as `500ms`, `10s`, `5m`, `6h` or `7d`".into()),
        Kind::Bytes => bytes(trimmed)
            .map(Value::Bytes)
            .ok_or_else(|| "must be a size in bytes, or such as `16KiB`, `32MiB`, `1GiB`".into()),
        Kind::Int => trimmed.parse().map(Value::Int).map_err(|_| "must be a whole number".into()),
        Kind::Number => match trimmed.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Number(number)),
            _ => Err("must be a number".into()),
        },
        Kind::Flag => match trimmed {
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            _ => Err("must be `true` or `false`".into()),
        },
        Kind::List => Ok(Value::List(
            trimmed.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
        )),
        Kind::Table => table(trimmed).map(Value::Table),
        Kind::Choice(words) if words.contains(&trimmed) => Ok(Value::Text(trimmed.to_owned())),
        Kind::Choice(words) => Err(format!("must be one of: {}", words.join(", "))),
    }
}

fn url(text: &str) -> Result<Value, String> {
    let parsed = reqwest::Url::parse(text)
        .map_err(|_| "must be an absolute URL, for example `https://host:8443/path`".to_owned())?;
    if parsed.password().is_some() || parsed.query_pairs().any(|(name, _)| name == "password") {
        return Err("must not carry a password: secrets are read from files only".into());
    }
    if parsed.cannot_be_a_base() {
        return Err("must be an absolute URL with `//`, for example `https://host:8443/path`".into());
    }
    Ok(Value::Text(text.to_owned()))
}

/// A whole number and its unit; none on anything else or on overflow.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit.trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3_600)?)),
        "d" => Some(Duration::from_secs(number.checked_mul(86_400)?)),
        _ => None,
    }
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn table(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut table = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let Some((name, value)) = item.split_once('=') else {
            return Err("must be written `name=value,name=value`".into());
        };
        table.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(table)
}

/// Whether a value lies within its bounds, both inclusive; values without an order always do.
pub(crate) fn within(value: &Value, min: Option<&Value>, max: Option<&Value>) -> bool {
    let below = |low: &Value| less(value, low);
    let above = |high: &Value| less(high, value);
    !min.is_some_and(below) && !max.is_some_and(above)
}

fn less(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Duration(a), Value::Duration(b)) => a < b,
        (Value::Bytes(a), Value::Bytes(b)) => a < b,
        (Value::Int(a), Value::Int(b)) => a < b,
        (Value::Number(a), Value::Number(b)) => a < b,
        _ => false,
    }
}

/// The value written as on the command line; what `config show` prints.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Path(path) => path.display().to_string(),
        Value::Address(address) => address.to_string(),
        Value::Duration(span) => show_duration(*span),
        Value::Bytes(bytes) => show_bytes(*bytes),
        Value::Int(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(items) => items.join(","),
        Value::Table(table) => {
            table.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        }
    }
}

fn show_duration(span: Duration) -> String {
    let millis = span.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    if millis == 0 { "0s".into() } else { format!("{millis}ms") }
}

fn show_bytes(bytes: u64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_every_form_that_the_contract_names() {
        let check = |kind: Kind, text: &str, value: Value| assert_eq!(parse(kind, text), Ok(value), "{text}");
        check(Kind::Duration, "500ms", Value::Duration(Duration::from_millis(500)));
        check(Kind::Duration, " 6h ", Value::Duration(Duration::from_secs(21_600)));
        check(Kind::Duration, "0s", Value::Duration(Duration::ZERO));
        check(Kind::Bytes, "17", Value::Bytes(17));
        check(Kind::Bytes, "16KiB", Value::Bytes(16_384));
        check(Kind::Bytes, "1GiB", Value::Bytes(1 << 30));
        check(Kind::Int, "-3", Value::Int(-3));
        check(Kind::Number, "0.5", Value::Number(0.5));
        check(Kind::Flag, "true", Value::Flag(true));
        check(Kind::List, "32, 32.73,,", Value::List(vec!["32".into(), "32.73".into()]));
        check(Kind::List, "", Value::List(vec![]));
        check(Kind::Address, "127.0.0.1:0", Value::Address(([127, 0, 0, 1], 0).into()));
        check(Kind::Url, "file:///var/q", Value::Text("file:///var/q".into()));
        check(Kind::Choice(&["json", "text"]), "text", Value::Text("text".into()));
        check(Kind::Table, "a=1, b = x=y", Value::Table([("a".into(), "1".into()), ("b".into(), "x=y".into())].into()));
    }

    #[test]
    fn what_is_not_in_form_is_refused_without_repeating_it() {
        let check = |kind: Kind, text: &str| {
            let message = parse(kind, text).expect_err(text);
            assert!(text.trim().len() < 3 || !message.contains(text.trim()), "{message}");
        };
        check(Kind::Duration, "10");
        check(Kind::Duration, "s");
        check(Kind::Duration, "10 weeks");
        check(Kind::Duration, "-1s");
        check(Kind::Duration, "99999999999999999999d");
        check(Kind::Bytes, "1.5MiB");
        check(Kind::Bytes, "16MB");
        check(Kind::Bytes, "99999999999999GiB");
        check(Kind::Int, "3.0");
        check(Kind::Number, "NaN");
        check(Kind::Number, "inf");
        check(Kind::Flag, "yes");
        check(Kind::Address, "localhost:80");
        check(Kind::Url, "host:9092/x");
        check(Kind::Url, "https://user:hunter22@host/");
        check(Kind::Url, "postgresql://u@h/d?password=hunter22");
        check(Kind::Text, "  ");
        check(Kind::Path, "");
        check(Kind::Choice(&["json", "text"]), "xml");
        check(Kind::Table, "a");
    }

    #[test]
    fn a_value_that_is_shown_can_be_read_again() {
        for (kind, text) in [
            (Kind::Duration, "90s"),
            (Kind::Duration, "7d"),
            (Kind::Duration, "0s"),
            (Kind::Duration, "1500ms"),
            (Kind::Bytes, "1025"),
            (Kind::Bytes, "32MiB"),
            (Kind::Number, "0.25"),
            (Kind::List, "a,b"),
            (Kind::Table, "a=1,b=2"),
        ] {
            let value = parse(kind, text).expect(text);
            assert_eq!(show(&value), text);
        }
    }
}
