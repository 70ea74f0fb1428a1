//! What `docker-compose.yml` names must exist, and what it declares must be used.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::deployment::{Deployment, entries, leaves, root, texts, variables};

pub(crate) fn faults(deployment: &Deployment) -> Vec<String> {
    let mut faults = Vec::new();
    let mut used: [BTreeSet<&str>; 3] = Default::default();
    for (name, service) in deployment.services() {
        for mount in texts(&service["volumes"]) {
            match mount.split_once(':') {
                Some((file, rest)) if file.starts_with('.') => {
                    if !root().join(file).exists() {
                        faults.push(format!("service {name}: {file} is not in the repository"));
                    }
                    if !rest.ends_with(":ro") {
                        faults.push(format!("service {name}: {file} is mounted without :ro"));
                    }
                }
                Some((volume, _)) if !volume.starts_with('/') => drop(used[0].insert(volume)),
                _ => faults.push(format!("service {name}: {mount} is neither a file of the repository nor a volume")),
            }
        }
        used[1].extend(texts(&service["networks"]));
        used[2].extend(texts(&service["secrets"]));
        faults.extend(order(deployment, name, service));
    }
    for (kind, used) in ["volumes", "networks", "secrets"].into_iter().zip(used) {
        let declared: BTreeSet<&str> = entries(&deployment.compose[kind]).into_iter().map(|(name, _)| name).collect();
        faults.extend(used.difference(&declared).map(|name| format!("{kind}: {name} is used and not declared")));
        faults.extend(declared.difference(&used).map(|name| format!("{kind}: {name} is declared and not used")));
    }
    for (name, secret) in entries(&deployment.compose["secrets"]) {
        if secret["file"] != format!("./secrets/{name}") {
            faults.push(format!("secrets: {name} is not the file ./secrets/{name}"));
        }
    }
    if deployment.compose["networks"]["inside"]["internal"] != true {
        faults.push("networks: inside is not internal".to_owned());
    }
    faults.extend(ports(deployment));
    faults.extend(of_the_environment(deployment));
    faults
}

/// Who waits for whom, and for what.
fn order(deployment: &Deployment, name: &str, service: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (other, wait) in entries(&service["depends_on"]) {
        let target = &deployment.compose["services"][other];
        let expected =
            if Deployment::is_one_shot(target) { "service_completed_successfully" } else { "service_healthy" };
        if target.is_null() {
            faults.push(format!("service {name}: it waits for {other}, which does not exist"));
        } else if wait["condition"] != expected {
            faults.push(format!("service {name}: it waits for {other} without {expected}"));
        } else if !target["profiles"].is_null() {
            faults.push(format!("service {name}: it waits for {other}, which `up` does not start"));
        }
    }
    let stage = ["producer", "processor", "sink"].contains(&name);
    if stage && service["depends_on"]["setup"].is_null() {
        faults.push(format!("service {name}: it does not wait for setup"));
    }
    faults
}

/// No two services want the same port of this machine.
fn ports(deployment: &Deployment) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = deployment.services().into_iter().flat_map(|(_, service)| texts(&service["ports"]));
    all.filter_map(|port| {
        let resolved = crate::deployment::resolved(port);
        let (host, _) = resolved.rsplit_once(':')?;
        (!seen.insert(host.to_owned())).then(|| format!("port {host} is published twice"))
    })
    .collect()
}

/// Every `${NAME}` stands in `.env.example` with the default that counts, and every line there is used.
fn of_the_environment(deployment: &Deployment) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unused = deployment.defaults();
    let documented = deployment.defaults();
    for (path, text) in leaves(&deployment.compose) {
        for (name, rest) in variables(text) {
            unused.remove(name);
            match (documented.get(name), rest.strip_prefix(":-")) {
                (None, _) => faults.push(format!("{path}: ${{{name}}} is not in .env.example")),
                (Some(told), Some(default)) if *told != default => {
                    faults.push(format!("{path}: ${{{name}}} is {default} here and {told} in .env.example"));
                }
                (Some(_), None) if !rest.starts_with(":?") => {
                    faults.push(format!("{path}: ${{{name}}} has neither a default nor a message"));
                }
                _ => {}
            }
        }
    }
    faults.extend(unused.keys().map(|name| format!(".env.example: nothing reads {name}")));
    faults
}
