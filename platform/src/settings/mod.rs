//! Settings: one table, one file, one order, all faults at once.
//!
//! The order is: default, then the TOML file, then the environment (`SISDMK_SECTION__KEY`), then
//! `--set section.key=value`; the last one wins. Unknown keys are faults. Everything is read and
//! checked here before a process opens its first connection. Secrets are not settings: a setting
//! names the file that holds one.

mod document;
mod errors;
mod layers;
mod links;
mod table;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use document::markdown_table;
pub use errors::{ConfigError, ConfigErrors, Origin};
pub use links::{Link, links};
pub use table::{SETTINGS, Setting, find};
pub use value::Kind;

use layers::Layer;
use value::Value;

/// The flags that every process takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CommonArgs {
    /// The configuration file (TOML) of all processes.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// One setting; wins over the file and the environment. May be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", global = true)]
    pub set: Vec<String>,
}

/// One setting as `config show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `section.key`.
    pub key: &'static str,
    /// The value as on the command line; none: unset. Secrets are hidden.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// What it does.
    pub doc: &'static str,
}

#[derive(Debug, Clone)]
struct Held {
    value: Option<Value>,
    origin: Origin,
}

/// All settings of all processes, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    held: BTreeMap<&'static str, Held>,
}

impl Settings {
    /// Reads file, environment and flags over the defaults and checks every value.
    ///
    /// # Errors
    /// Every fault there is, each with its key, its origin and what is allowed.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn load(args: &CommonArgs) -> Result<Self, ConfigErrors> {
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_layers(args, environment)
    }

    /// The same from values that a program holds, over the defaults.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let layer = layers::from_pairs(pairs, &mut errors);
        Self::merge(vec![layer], errors)
    }

    fn from_layers(
        args: &CommonArgs,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let mut layers = Vec::new();
        if let Some(path) = &args.config {
            layers.push(layers::from_file(path, &mut errors));
        }
        layers.push(layers::from_environment(environment, &mut errors));
        layers.push(layers::from_flags(&args.set, &mut errors));
        Self::merge(layers, errors)
    }

    fn merge(layers: Vec<Layer>, mut errors: ConfigErrors) -> Result<Self, ConfigErrors> {
        let mut held = layers::defaults();
        for layer in layers {
            layers::lay(layer, &mut held);
        }
        let held: BTreeMap<_, _> =
            held.into_iter().map(|(key, (value, origin))| (key, Held { value, origin })).collect();
        for setting in SETTINGS {
            let Some(Held { value: Some(value), origin }) = held.get(setting.key) else { continue };
            if let Some(message) = layers::out_of_bounds(setting, value) {
                errors.0.push(ConfigError { key: setting.key.to_owned(), origin: Some(origin.clone()), message });
            }
        }
        if let Some(Held { value: Some(Value::Table(properties)), origin }) = held.get("kafka.properties") {
            for (name, fix) in crate::kafka::denied(properties) {
                errors.0.push(ConfigError {
                    key: format!("kafka.properties.{name}"),
                    origin: Some(origin.clone()),
                    message: fix.to_owned(),
                });
            }
        }
        errors
            .0
            .sort_by_key(|error| SETTINGS.iter().position(|s| error.key.starts_with(s.key)).unwrap_or(SETTINGS.len()));
        errors.into_result()?;
        Ok(Self { held })
    }

    /// Checks that everything is set which this process cannot do without.
    ///
    /// # Errors
    /// Every setting of the table that the process needs and nobody gave.
    pub fn require_for(&self, process: &str) -> Result<(), ConfigErrors> {
        let needed: Vec<_> = SETTINGS.iter().filter(|s| s.needed_by.contains(&process)).map(|s| s.key).collect();
        self.require(&needed)
    }

    /// Checks that these settings are set.
    ///
    /// # Errors
    /// Every one of them that is not.
    pub fn require(&self, keys: &[&str]) -> Result<(), ConfigErrors> {
        let missing = keys.iter().filter(|key| self.held(key).value.is_none()).map(|key| {
            let doc = find(key).map_or("", |setting| setting.doc);
            ConfigError {
                key: (*key).to_owned(),
                origin: None,
                message: format!(
                    "must be set: in the file given with --config, as {}, or with --set {key}=..; {doc}",
                    layers::variable(key)
                ),
            }
        });
        ConfigErrors(missing.collect()).into_result()
    }

    fn held(&self, key: &str) -> &Held {
        self.held.get(key).expect("a setting that is read stands in the table of settings")
    }

    /// Text, URL or choice. Panics where it is unset: a key without a default is read after
    /// [`Settings::require`], or with [`Settings::opt_text`].
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.opt_text(key).expect("a setting without a default is required before it is read")
    }

    /// Text, URL or choice, if set.
    #[must_use]
    pub fn opt_text(&self, key: &str) -> Option<&str> {
        match self.held(key).value.as_ref()? {
            Value::Text(text) => Some(text),
            other => wrong_kind(key, other),
        }
    }

    /// A path; panics where unset, as [`Settings::text`].
    #[must_use]
    pub fn path(&self, key: &str) -> &Path {
        self.opt_path(key).expect("a setting without a default is required before it is read")
    }

    /// A path, if set.
    #[must_use]
    pub fn opt_path(&self, key: &str) -> Option<&Path> {
        match self.held(key).value.as_ref()? {
            Value::Path(path) => Some(path),
            other => wrong_kind(key, other),
        }
    }

    /// A socket address.
    #[must_use]
    pub fn address(&self, key: &str) -> SocketAddr {
        match self.value(key) {
            Value::Address(address) => *address,
            other => wrong_kind(key, other),
        }
    }

    /// A span of time.
    #[must_use]
    pub fn duration(&self, key: &str) -> Duration {
        match self.value(key) {
            Value::Duration(span) => *span,
            other => wrong_kind(key, other),
        }
    }

    /// A size in bytes.
    #[must_use]
    pub fn bytes(&self, key: &str) -> u64 {
        match self.value(key) {
            Value::Bytes(bytes) => *bytes,
            other => wrong_kind(key, other),
        }
    }

    /// A whole number.
    #[must_use]
    pub fn int(&self, key: &str) -> i64 {
        match self.value(key) {
            Value::Int(number) => *number,
            other => wrong_kind(key, other),
        }
    }

    /// A whole number as a count: zero where it is negative.
    #[must_use]
    pub fn count(&self, key: &str) -> usize {
        usize::try_from(self.int(key)).unwrap_or(0)
    }

    /// A number.
    #[must_use]
    pub fn number(&self, key: &str) -> f64 {
        match self.value(key) {
            Value::Number(number) => *number,
            other => wrong_kind(key, other),
        }
    }

    /// True or false.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        match self.value(key) {
            Value::Flag(flag) => *flag,
            other => wrong_kind(key, other),
        }
    }

    /// Texts; empty where unset.
    #[must_use]
    pub fn list(&self, key: &str) -> &[String] {
        match &self.held(key).value {
            None => &[],
            Some(Value::List(items)) => items,
            Some(other) => wrong_kind(key, other),
        }
    }

    /// Names with values; empty where unset.
    #[must_use]
    pub fn table(&self, key: &str) -> BTreeMap<String, String> {
        match &self.held(key).value {
            None => BTreeMap::new(),
            Some(Value::Table(table)) => table.clone(),
            Some(other) => wrong_kind(key, other),
        }
    }

    /// Whether somebody or the table of settings gives it a value.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.held(key).value.is_some()
    }

    /// Where its value comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Origin {
        &self.held(key).origin
    }

    /// Every setting with its value, or `(hidden)`, and where it comes from, in the table's order.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        SETTINGS
            .iter()
            .map(|setting| {
                let held = self.held(setting.key);
                Entry {
                    key: setting.key,
                    value: held.value.as_ref().map(|value| document::public(setting, value)),
                    origin: held.origin.clone(),
                    doc: setting.doc,
                }
            })
            .collect()
    }

    fn value(&self, key: &str) -> &Value {
        self.held(key).value.as_ref().expect("a setting without a default is required before it is read")
    }
}

#[track_caller]
#[expect(
    clippy::panic,
    reason = "the kind of a setting is fixed in the table; asking for another is a mistake in the code"
)]
fn wrong_kind<T>(key: &str, value: &Value) -> T {
    // The value itself stays out: only its kind is told.
    let kind = match value {
        Value::Text(_) => "text",
        Value::Path(_) => "path",
        Value::Address(_) => "address",
        Value::Duration(_) => "duration",
        Value::Bytes(_) => "bytes",
        Value::Int(_) => "int",
        Value::Number(_) => "number",
        Value::Flag(_) => "flag",
        Value::List(_) => "list",
        Value::Table(_) => "table",
    };
    panic!("setting {key} is read with another accessor than `{kind}`")
}

#[cfg(test)]
mod tests;
