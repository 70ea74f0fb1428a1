//! The files that say how the system is deployed, read once and handed to every check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The files, parsed as far as the checks need it.
#[derive(Clone)]
pub(crate) struct Deployment {
    /// `docker-compose.yml` with its anchors resolved and its variables as written.
    pub(crate) compose: Value,
    pub(crate) dockerfile: String,
    pub(crate) dockerignore: String,
    /// `.env.example`.
    pub(crate) variables: String,
    /// `deploy/compose/sisdmk.toml`.
    pub(crate) settings: String,
    /// `monitoring/prometheus/prometheus.yml`.
    pub(crate) prometheus: Value,
    /// The dashboard of Grafana.
    pub(crate) dashboard: Value,
}

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the workspace").to_path_buf()
}

/// A file of the repository as text.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file of the repository.
pub(crate) fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Deployment {
    pub(crate) fn read() -> Self {
        let dashboard = text("monitoring/grafana/dashboards/sisdmk-stream.json");
        Self {
            compose: yaml("docker-compose.yml"),
            dockerfile: text("Dockerfile"),
            dockerignore: text(".dockerignore"),
            variables: text(".env.example"),
            settings: text("deploy/compose/sisdmk.toml"),
            prometheus: yaml("monitoring/prometheus/prometheus.yml"),
            dashboard: serde_json::from_str(&dashboard).expect("the dashboard is JSON"),
        }
    }

    /// Services by name.
    pub(crate) fn services(&self) -> Vec<(&str, &Value)> {
        entries(&self.compose["services"])
    }

    /// The image of the services that run a program of ours.
    pub(crate) fn is_ours(service: &Value) -> bool {
        service["image"].as_str().is_some_and(|image| image.starts_with("sisdmk-stream:"))
    }

    /// A service that ends by itself.
    pub(crate) fn is_one_shot(service: &Value) -> bool {
        service["restart"] == "no"
    }

    /// The settings file as TOML.
    pub(crate) fn toml(&self) -> toml::Table {
        self.settings.parse().expect("deploy/compose/sisdmk.toml is TOML")
    }

    /// The default of each variable, as `.env.example` gives it.
    pub(crate) fn defaults(&self) -> BTreeMap<&str, &str> {
        self.variables.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect()
    }
}

/// The entries of an object; none where it is something else.
pub(crate) fn entries(value: &Value) -> Vec<(&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

/// The texts of a list; none where it is something else.
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Every text below a value, with its path.
pub(crate) fn leaves(value: &Value) -> Vec<(String, &str)> {
    let below = |name: &str, value| {
        leaves(value).into_iter().map(|(path, text)| (format!("{name}.{path}"), text)).collect::<Vec<_>>()
    };
    match value {
        Value::String(text) => vec![(String::new(), text.as_str())],
        Value::Array(items) => items.iter().enumerate().flat_map(|(at, item)| below(&at.to_string(), item)).collect(),
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| below(name, value)).collect(),
        _ => Vec::new(),
    }
}

/// One `${NAME..}` in a text: its name and what stands behind it (`:-default`, `:?message`, or nothing).
pub(crate) fn variables(text: &str) -> Vec<(&str, &str)> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(inside, _)| {
            let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
            inside.split_at(end)
        })
        .collect()
}

/// The text with every variable replaced by its default, or by `1000` where it has none.
pub(crate) fn resolved(text: &str) -> String {
    let mut result = text.to_owned();
    for (name, rest) in variables(text) {
        let value = rest.strip_prefix(":-").unwrap_or("1000");
        result = result.replacen(&format!("${{{name}{rest}}}"), value, 1);
    }
    result
}
