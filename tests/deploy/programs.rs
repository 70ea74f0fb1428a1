//! Our programs in `docker-compose.yml`: each exists, takes its arguments, and finds its settings and secrets.
//!
//! Arguments are not compared with a list: the program itself reads them, with `--help` behind them, which it
//! reaches only when it takes all the others.

use std::collections::BTreeSet;
use std::process::Command;

use platform::settings::SETTINGS;
use serde_json::Value;

use crate::deployment::{Deployment, entries, resolved, root, texts};

/// Where the image's program is in this build. One line each: cargo tells the paths to tests of this crate only.
pub(crate) fn built(program: &str) -> Option<&'static str> {
    Some(match program {
        "sisdmk-producer" => env!("CARGO_BIN_EXE_stage-producer"),
        "sisdmk-processor" => env!("CARGO_BIN_EXE_stage-processor"),
        "sisdmk-sink" => env!("CARGO_BIN_EXE_stage-sink"),
        "sisdmk" => env!("CARGO_BIN_EXE_stage-console"),
        "sisdmk-simulator" => env!("CARGO_BIN_EXE_stage-simulator"),
        _ => return None,
    })
}

/// The command line of a service, its variables replaced by their defaults.
pub(crate) fn command(service: &Value) -> Vec<String> {
    ["entrypoint", "command"].iter().flat_map(|part| texts(&service[part])).map(resolved).collect()
}

pub(crate) fn faults(deployment: &Deployment) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, service) in deployment.services() {
        faults.extend(environment(name, service));
        if Deployment::is_ours(service) {
            faults.extend(arguments(name, service));
            faults.extend(secrets(deployment, name, service));
        }
    }
    faults.extend(addresses(deployment));
    faults.extend(validate(deployment));
    faults
}

/// Variables of ours are settings that exist.
fn environment(name: &str, service: &Value) -> Vec<String> {
    entries(&service["environment"])
        .into_iter()
        .filter_map(|(variable, _)| Some((variable, variable.strip_prefix("SISDMK_")?)))
        .filter(|(_, key)| {
            let key = key.to_ascii_lowercase().replacen("__", ".", 1);
            !SETTINGS.iter().any(|setting| setting.key == key)
        })
        .map(|(variable, _)| format!("service {name}: {variable} is no setting"))
        .collect()
}

fn arguments(name: &str, service: &Value) -> Option<String> {
    let words = command(service);
    let (program, arguments) = words.split_first()?;
    let Some(path) = built(program) else { return Some(format!("service {name}: the image has no {program}")) };
    let output = Command::new(path).args(arguments).arg("--help").env_clear().output().expect("our program runs");
    (!output.status.success()).then(|| {
        format!("service {name}: {program} refuses its arguments: {}", String::from_utf8_lossy(&output.stderr).trim())
    })
}

/// A stage mounts the secrets that its settings name, and no service mounts one that nothing names.
fn secrets(deployment: &Deployment, name: &str, service: &Value) -> Vec<String> {
    let mounted: BTreeSet<&str> = texts(&service["secrets"]).into_iter().collect();
    let words = command(service);
    let toml = deployment.toml();
    let console = words.first().is_some_and(|program| program == "sisdmk");
    let process = if console { "console" } else { name };
    let configured = words.iter().any(|word| word == "--config");
    let mut named: BTreeSet<String> =
        words.iter().filter_map(|word| Some(word.split_once("/run/secrets/")?.1.to_owned())).collect();
    for setting in SETTINGS.iter().filter(|setting| configured && setting.secret_file) {
        let Some((section, key)) = setting.key.split_once('.') else { continue };
        let value = toml.get(section).and_then(|section| section.get(key)).and_then(toml::Value::as_str);
        if let Some(file) = value.filter(|_| setting.used_by.contains(&process)) {
            named.insert(file.trim_start_matches("/run/secrets/").to_owned());
        }
    }
    let unnamed = mounted.iter().filter(|secret| !named.contains(**secret));
    let mut faults: Vec<String> =
        unnamed.map(|secret| format!("service {name}: nothing tells it to read the secret {secret}")).collect();
    // A verb of the console reads only some of what the console as a whole may read.
    let missing = named.iter().filter(|secret| !console && !mounted.contains(secret.as_str()));
    faults.extend(missing.map(|secret| format!("service {name}: the secret {secret} is not mounted")));
    let file_mounted = texts(&service["volumes"]).iter().any(|mount| mount.contains(":/etc/sisdmk/sisdmk.toml:"));
    if configured && !file_mounted {
        faults.push(format!("service {name}: its settings file is not mounted"));
    }
    faults
}

/// Hosts in the settings are services on the network inside; where a process listens, its health is asked.
fn addresses(deployment: &Deployment) -> Vec<String> {
    let mut faults = Vec::new();
    let toml = deployment.toml();
    let services = &deployment.compose["services"];
    for (section, keys) in &toml {
        for (key, value) in keys.as_table().into_iter().flatten() {
            let Some(value) = value.as_str() else { continue };
            let (listens, names) = (key == "listen", key.contains("url") || key == "bootstrap_servers");
            let port = value.rsplit(':').next().unwrap_or_default();
            if listens && !texts(&services[section]["healthcheck"]["test"]).contains(&port) {
                faults.push(format!("service {section}: its health is not asked on port {port}, where it listens"));
            }
            let authority = value.split_once("://").map_or(value, |(_, rest)| rest).split('/').next();
            let authority = authority.and_then(|all| all.rsplit('@').next()).unwrap_or_default();
            let Some((host, port)) = authority.split_once(':').filter(|_| names) else { continue };
            let service = &services[host];
            if !texts(&service["networks"]).contains(&"inside") {
                faults.push(format!("{section}.{key}: {host} is no service on the network inside"));
            } else if !answers(service, &toml, host, port) {
                faults.push(format!("{section}.{key}: {host} does not answer on port {port}"));
            }
        }
    }
    faults
}

/// Whether a service says somewhere that it answers on that port: where its health is asked, where it listens.
pub(crate) fn answers(service: &Value, toml: &toml::Table, host: &str, port: &str) -> bool {
    let listen = toml.get(host).and_then(|section| section.get("listen")).and_then(toml::Value::as_str);
    let probe = texts(&service["healthcheck"]["test"]).join(" ");
    let own = service["image"].as_str().is_some_and(|image| image.starts_with("postgres:")) && port == "5432";
    own || listen.is_some_and(|listen| listen.ends_with(&format!(":{port}")))
        || probe.split(|c: char| !c.is_ascii_digit()).any(|number| number == port)
}

/// `sisdmk validate` takes the settings file; secrets that are not on this machine are notes to it.
fn validate(deployment: &Deployment) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sisdmk.toml");
    std::fs::write(&file, &deployment.settings).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_stage-console"))
        .args(["validate", "--config"])
        .arg(&file)
        .env_clear()
        .current_dir(root())
        .output()
        .expect("sisdmk runs");
    (!output.status.success())
        .then(|| format!("deploy/compose/sisdmk.toml: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
