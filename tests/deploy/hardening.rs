//! What every service must be: pinned, unprivileged, bounded, watched, and free of secrets.

use serde_json::Value;

use crate::deployment::{Deployment, entries, leaves, text, texts};

/// Where images may come from; one of another name is a decision, not a typing error.
pub(crate) const IMAGES: [&str; 8] = [
    "apache/kafka",
    "apicurio/apicurio-registry",
    "ghcr.io/kafbat/kafka-ui",
    "grafana/grafana",
    "postgres",
    "prom/alertmanager",
    "prom/prometheus",
    "sisdmk-stream",
];

/// Services that may write into their image, with the reason. None needs it.
const WRITABLE: [(&str, &str); 0] = [];

/// What gives a container more than it has by itself.
const POWERS: [&str; 9] =
    ["privileged", "cap_add", "devices", "device_cgroup_rules", "network_mode", "pid", "ipc", "userns_mode", "cgroup"];

/// Words in a variable's name that promise a secret.
const SECRET_WORDS: [&str; 5] = ["PASSWORD", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE_KEY"];

pub(crate) fn faults(deployment: &Deployment) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, service) in deployment.services() {
        let mut fault = |text: String| faults.push(format!("service {name}: {text}"));
        image(service, &mut fault);
        privileges(name, service, &mut fault);
        bounds(service, &mut fault);
        for (variable, value) in entries(&service["environment"]) {
            secret_variable(variable, value, service, &mut fault);
        }
    }
    for (path, value) in leaves(&deployment.compose) {
        let lower = value.to_ascii_lowercase();
        let words = ["password=", "token=", "secret=", "bearer "];
        if has_credentials(&lower) || words.iter().any(|word| lower.contains(word)) {
            faults.push(format!("{path} looks like a secret: it belongs into a file of secrets/"));
        }
    }
    faults
}

/// `scheme://user:password@host`.
fn has_credentials(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next());
    authority.and_then(|authority| authority.rsplit_once('@')).is_some_and(|(user, _)| user.contains(':'))
}

fn image(service: &Value, fault: &mut impl FnMut(String)) {
    let image = service["image"].as_str().unwrap_or_default();
    let Some((repository, tag)) = image.rsplit_once(':') else { return fault(format!("image `{image}` has no tag")) };
    if !IMAGES.contains(&repository) {
        fault(format!("image {repository} is not one of {IMAGES:?}"));
    }
    if !is_pinned(tag) {
        fault(format!("tag `{tag}` is not the full version of one release"));
    }
    // What the tests run without containers and what is deployed are the same releases.
    let expected = match repository {
        "apache/kafka" => between(&text("stack/pom.xml"), "<kafka.version>", "<"),
        "apicurio/apicurio-registry" => between(&text("stack/pom.xml"), "<apicurio.version>", "<"),
        "sisdmk-stream" => between(&text("Cargo.toml"), "[workspace.package]\nversion = \"", "\""),
        _ => None,
    };
    if expected.as_ref().is_some_and(|expected| expected != tag) {
        fault(format!("image {image}, but the workspace has version {}", expected.unwrap_or_default()));
    }
}

/// `15.19-bookworm`, `v1.5.0`: at least two numbers, and no word that moves.
pub(crate) fn is_pinned(tag: &str) -> bool {
    let version = tag.strip_prefix('v').unwrap_or(tag).split('-').next().unwrap_or_default();
    version.split('.').count() >= 2 && version.split('.').all(|part| part.parse::<u32>().is_ok())
}

pub(crate) fn between(text: &str, before: &str, after: &str) -> Option<String> {
    Some(text.split_once(before)?.1.split_once(after)?.0.to_owned())
}

fn privileges(name: &str, service: &Value, fault: &mut impl FnMut(String)) {
    for power in POWERS {
        if !service[power].is_null() {
            fault(format!("`{power}` is more than any service needs"));
        }
    }
    if service["read_only"] != true && !WRITABLE.iter().any(|(allowed, _)| *allowed == name) {
        fault("read_only is not true, and WRITABLE gives no reason".to_owned());
    }
    if texts(&service["cap_drop"]) != ["ALL"] {
        fault("cap_drop is not [ALL]".to_owned());
    }
    if !texts(&service["security_opt"]).contains(&"no-new-privileges:true") {
        fault("security_opt has no no-new-privileges:true".to_owned());
    }
    let user = service["user"].as_str().unwrap_or_default();
    let id = user.split(':').next().and_then(|id| id.parse::<u32>().ok());
    if id.is_none_or(|id| id == 0) {
        fault(format!("user `{user}` is not the number of a user other than root"));
    }
    if !texts(&service["secrets"]).is_empty() && texts(&service["group_add"]).is_empty() {
        fault("it mounts secrets and is not in their group (group_add)".to_owned());
    }
    let networks = texts(&service["networks"]);
    for port in texts(&service["ports"]) {
        if !port.starts_with("127.0.0.1:") {
            fault(format!("port {port} is published beyond 127.0.0.1"));
        }
        if !networks.contains(&"outside") {
            fault(format!("port {port} cannot be reached: it is not on the network outside"));
        }
    }
    if networks.contains(&"outside") && texts(&service["ports"]).is_empty() {
        fault("it is on the network outside and publishes nothing".to_owned());
    }
}

fn bounds(service: &Value, fault: &mut impl FnMut(String)) {
    for limit in ["mem_limit", "pids_limit"] {
        if service[limit].is_null() {
            fault(format!("no {limit}"));
        }
    }
    if service["logging"]["options"]["max-size"].is_null() {
        fault("its log grows without bound (logging.options.max-size)".to_owned());
    }
    let one_shot = Deployment::is_one_shot(service);
    if !one_shot && service["restart"] != "unless-stopped" {
        fault("restart is neither unless-stopped nor \"no\"".to_owned());
    }
    let probe = texts(&service["healthcheck"]["test"]);
    if !one_shot && !probe.first().is_some_and(|kind| kind.starts_with("CMD")) {
        fault("no healthcheck".to_owned());
    }
    if !texts(&service["tmpfs"]).iter().any(|mount| mount.starts_with("/tmp:size=")) && service["tmpfs"].is_array() {
        fault("no /tmp with a size".to_owned());
    }
}

fn secret_variable(variable: &str, value: &Value, service: &Value, fault: &mut impl FnMut(String)) {
    let upper = variable.to_ascii_uppercase();
    if !SECRET_WORDS.iter().any(|word| upper.contains(word)) {
        return;
    }
    let file = value.as_str().and_then(|path| path.strip_prefix("/run/secrets/"));
    if !upper.ends_with("_FILE") || !file.is_some_and(|file| texts(&service["secrets"]).contains(&file)) {
        fault(format!("{variable} must name a file below /run/secrets that this service mounts"));
    }
}
