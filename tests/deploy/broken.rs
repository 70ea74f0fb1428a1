//! Each of these changes is small, plausible and wrong, and each must be found.

use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::faults;

/// A change to a value of `docker-compose.yml`, by its pointer; null removes it.
fn set(pointer: &'static str, value: Value) -> impl Fn(&mut Deployment) {
    move |deployment| {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = deployment.compose.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}: nothing there"));
        match (parent, &value) {
            (Value::Object(fields), Value::Null) => drop(fields.remove(name).expect("it was there")),
            (Value::Object(fields), _) => drop(fields.insert(name.to_owned(), value.clone())),
            (Value::Array(items), _) => items[name.parse::<usize>().expect("a place")] = value.clone(),
            _ => panic!("{pointer}: no fields there"),
        }
    }
}

/// Another text in a file; it must have been there.
fn replace(file: fn(&mut Deployment) -> &mut String, from: &'static str, to: &'static str) -> impl Fn(&mut Deployment) {
    move |deployment| {
        let text = file(deployment);
        assert!(text.contains(from), "{from} is not in the file");
        *text = text.replace(from, to);
    }
}

fn check(break_it: impl Fn(&mut Deployment), fault: &str) {
    let mut deployment = Deployment::read();
    break_it(&mut deployment);
    let faults = faults(&deployment);
    assert!(faults.iter().any(|found| found.contains(fault)), "not found: {fault}\nbut: {faults:#?}");
}

#[test]
fn services_that_could_do_too_much_are_found() {
    check(set("/services/sink/read_only", json!(false)), "service sink: read_only is not true");
    check(set("/services/sink/privileged", json!(true)), "service sink: `privileged`");
    check(set("/services/kafka/network_mode", json!("host")), "service kafka: `network_mode`");
    check(set("/services/sink/user", json!("0:0")), "service sink: user `0:0`");
    check(set("/services/grafana/user", Value::Null), "service grafana: user ``");
    check(set("/services/sink/cap_drop", Value::Null), "service sink: cap_drop");
    check(set("/services/sink/cap_add", json!(["NET_ADMIN"])), "service sink: `cap_add`");
    check(set("/services/sink/security_opt", json!([])), "service sink: security_opt");
    check(set("/services/kafka/ports/0", json!("9092:9092")), "port 9092:9092 is published beyond 127.0.0.1");
    check(set("/services/kafka/ports/0", json!("0.0.0.0:9092:9092")), "published beyond");
    check(set("/services/postgres/ports", json!(["127.0.0.1:5432:5432"])), "cannot be reached");
    check(set("/services/sink/networks", json!(["inside", "outside"])), "service sink: it is on the network outside");
    check(set("/networks/inside/internal", json!(false)), "inside is not internal");
    check(
        set("/services/sink/volumes/0", json!("./deploy/compose/sisdmk.toml:/etc/sisdmk/sisdmk.toml")),
        "without :ro",
    );
    check(set("/services/sink/volumes/0", json!("/var/run/docker.sock:/s:ro")), "neither a file of the repository");
}

#[test]
fn services_without_bounds_or_health_are_found() {
    check(set("/services/processor/healthcheck", Value::Null), "service processor: no healthcheck");
    check(set("/services/kafka/healthcheck/test", json!(["NONE"])), "service kafka: no healthcheck");
    check(set("/services/prometheus/mem_limit", Value::Null), "service prometheus: no mem_limit");
    check(set("/services/prometheus/logging", Value::Null), "service prometheus: its log");
    check(set("/services/sink/restart", Value::Null), "service sink: restart");
    check(set("/services/sink/tmpfs", json!(["/tmp"])), "service sink: no /tmp with a size");
}

#[test]
fn images_that_move_or_differ_are_found() {
    for tag in ["latest", "4", "4-rc1", "4.3.x"] {
        check(set("/services/kafka/image", json!(format!("apache/kafka:{tag}"))), "is not the full version");
    }
    check(set("/services/kafka/image", json!("apache/kafka")), "has no tag");
    check(set("/services/kafka/image", json!("apache/kafka:4.3.0")), "the workspace has version 4.3.1");
    check(set("/services/sink/image", json!("sisdmk-stream:9.9.9")), "the workspace has version");
    check(set("/services/kafka/image", json!("bitnami/kafka:4.3.1")), "is not one of");
}

#[test]
fn secrets_in_the_file_or_in_nobodys_hands_are_found() {
    let grafana = "/services/grafana/environment/GF_SECURITY_ADMIN_PASSWORD";
    check(set(grafana, json!("hunter2")), "GF_SECURITY_ADMIN_PASSWORD must name a file");
    check(set("/services/grafana/secrets", json!([])), "GF_SECURITY_ADMIN_PASSWORD__FILE must name a file");
    let url = json!("jdbc:postgresql://registry:hunter2@postgres:5432/registry");
    check(set("/services/registry/environment/APICURIO_DATASOURCE_URL", url), "looks like a secret");
    let url = json!("jdbc:postgresql://postgres/registry?password=hunter2");
    check(set("/services/registry/environment/APICURIO_DATASOURCE_URL", url), "looks like a secret");
    check(set("/services/sink/group_add", json!([])), "service sink: it mounts secrets and is not in their group");
    check(set("/services/processor/secrets", json!([])), "the secret identity_hmac_key is not mounted");
    check(
        set("/services/processor/secrets", json!(["identity_hmac_key", "postgres_admin"])),
        "nothing tells it to read",
    );
    check(set("/secrets/grafana_admin", Value::Null), "grafana_admin is used and not declared");
    check(set("/secrets/spare", json!({ "file": "./secrets/spare" })), "spare is declared and not used");
    check(set("/secrets/source_token/file", json!("./token")), "source_token is not the file");
}

#[test]
fn what_is_named_and_not_there_is_found() {
    check(set("/services/sink/depends_on/nobody", json!({ "condition": "service_healthy" })), "which does not exist");
    check(set("/services/sink/depends_on/setup/condition", json!("service_started")), "it waits for setup without");
    check(set("/services/sink/depends_on/setup", Value::Null), "it does not wait for setup");
    check(
        set("/services/sink/depends_on/console", json!({ "condition": "service_completed_successfully" })),
        "does not start",
    );
    check(
        set("/services/sink/volumes/0", json!("./deploy/nothing.toml:/etc/sisdmk/sisdmk.toml:ro")),
        "is not in the repository",
    );
    check(set("/services/kafka/volumes/0", json!("data:/var/lib/kafka/data")), "data is used and not declared");
    check(set("/volumes/spare", json!({})), "spare is declared and not used");
    check(set("/services/grafana/ports/0", json!("127.0.0.1:${PROMETHEUS_PORT:-9090}:3000")), "is published twice");
    check(
        set("/services/grafana/ports/0", json!("127.0.0.1:${G_PORT:-3000}:3000")),
        "${G_PORT} is not in .env.example",
    );
    check(set("/services/grafana/ports/0", json!("127.0.0.1:${GRAFANA_PORT:-3001}:3000")), "3000 in .env.example");
    check(set("/services/grafana/ports/0", json!("127.0.0.1:${GRAFANA_PORT}:3000")), "neither a default nor a message");
    check(replace(|it| &mut it.variables, "GRAFANA_PORT=3000", "GRAFANA_PORT=3000\nSPARE=1"), "nothing reads SPARE");
    check(set("/services/sink/healthcheck/intervall", json!("5s")), "compose schema: /services/sink/healthcheck");
    check(set("/services/sink/mem_limits", json!("1g")), "compose schema: /services/sink");
}

#[test]
fn programs_arguments_and_settings_that_do_not_exist_are_found() {
    check(set("/services/sink/command/0", json!("sisdmk-sinks")), "the image has no sisdmk-sinks");
    check(set("/services/setup/command/1", json!("install")), "service setup: sisdmk refuses its arguments");
    check(set("/services/setup/command/2", json!("--partition-count")), "service setup: sisdmk refuses its arguments");
    check(set("/services/simulator/command/2", json!("--workers=many")), "service simulator: sisdmk-simulator refuses");
    let level = "/services/console/environment/SISDMK_TELEMETRY__LEVEL";
    check(set(level, json!("warn")), "SISDMK_TELEMETRY__LEVEL is no setting");
    check(set("/services/sink/volumes", json!([])), "its settings file is not mounted");
    let settings = |from, to| replace(|it| &mut it.settings, from, to);
    check(settings("requests_per_second", "requests_a_second"), "deploy/compose/sisdmk.toml: ");
    check(settings("allow_plaintext = true", "allow_plaintext = false"), "deploy/compose/sisdmk.toml: ");
    check(settings("jitter = \"0s\"", "jitter = \"2d\""), "deploy/compose/sisdmk.toml: ");
    check(settings("kafka:19092", "broker:19092"), "kafka.bootstrap_servers: broker is no service");
    check(settings("kafka:19092", "kafka:9093"), "kafka.bootstrap_servers: kafka does not answer on port 9093");
    check(settings("0.0.0.0:9103", "0.0.0.0:9109"), "its health is not asked on port 9109");
    check(settings("/run/secrets/source_token", "/run/secrets/api_token"), "the secret api_token is not mounted");
}

#[test]
fn images_built_otherwise_are_found() {
    let dockerfile = |from, to| replace(|it| &mut it.dockerfile, from, to);
    check(dockerfile("rust:1.95.0-slim-bookworm", "rust:slim"), "base image rust:slim");
    check(dockerfile("rust:1.95.0-", "rust:1.94.0-"), "is not Rust 1.95.0");
    check(dockerfile("debian:12.15-slim", "debian:13.6-slim"), "are not the same Debian");
    check(dockerfile("USER 10001:10001\n", ""), "USER root is not a number");
    check(dockerfile("USER 10001:10001", "USER 10002:10002"), "it does not run as 10002:10002");
    check(dockerfile("--locked ", ""), "without --locked");
    check(dockerfile(" libssl3", ""), "needs the package libssl3");
    check(dockerfile(" ca-certificates", ""), "ca-certificates");
    check(dockerfile("--no-install-recommends ", ""), "takes recommended packages");
    check(dockerfile(" target/release/sisdmk-sink", ""), "sisdmk-sink of sink is not built and copied");
    check(dockerfile(" --package console", ""), "sisdmk of console is not built and copied");
    check(dockerfile("http-ok.sh /usr", "http-fine.sh /usr"), "http-fine.sh is not in the repository");
    check(dockerfile("USER 10001", "ADD https://example.org/x /x\nUSER 10001"), "nobody has pinned");
    let ignore = |from, to| replace(|it| &mut it.dockerignore, from, to);
    check(ignore("secrets\n", ""), "secrets would go into the build");
    check(ignore("docs\n", "rules\n"), ".dockerignore: cargo needs rules");
}

#[test]
fn monitoring_of_what_is_not_there_is_found() {
    let target = |value: Value| {
        move |it: &mut Deployment| it.prometheus["scrape_configs"][2]["static_configs"][0]["targets"][0] = value.clone()
    };
    check(target(json!("sink:9109")), "nobody answers at sink:9109");
    check(target(json!("sinks:9103")), "sink is not asked");
    check(|it| it.prometheus["rule_files"] = json!(["rules.yml"]), "other rule files than");
    let told = |value: Value| {
        move |it: &mut Deployment| {
            it.prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = value.clone();
        }
    };
    check(told(json!(["alertmanager:9094"])), "nobody answers at alertmanager:9094");
    check(told(json!(["alerts:9093"])), "nobody answers at alerts:9093");
    check(told(json!([])), "no Alertmanager is told");
    check(|it| it.prometheus["alerting"] = Value::Null, "no Alertmanager is told");
    check(
        set("/services/alertmanager/volumes/0", json!("./monitoring/prometheus:/etc/alertmanager:ro")),
        "/etc/alertmanager/alertmanager.yml is not there",
    );
    check(
        set("/services/alertmanager/command/0", json!("--config.file=/etc/alertmanager/other.yml")),
        "/etc/alertmanager/other.yml is not there",
    );
    let other = |from, to| replace(|it| &mut it.settings, from, to);
    check(other("alertmanager:9093", "prometheus:9090"), "alerts.alertmanager_url is not the service alertmanager");
    check(other("http://alertmanager:9093", "http://alertmanager:9094"), "alertmanager does not answer on port 9094");
    check(other("alertmanager_url = ", "webhook_url = "), "alerts.alertmanager_url is not the service alertmanager");
    let first = |it: &mut Deployment, key: &str, value: Value| it.dashboard["panels"][0]["targets"][0][key] = value;
    check(
        move |it| first(it, "expr", json!("sisdmk_record_total")),
        "no program of ours has the metric sisdmk_record_total",
    );
    check(move |it| first(it, "legendFormat", json!("{{colour}}")), "no label colour");
    check(move |it| first(it, "datasource", json!({ "uid": "other" })), "another data source");
    check(set("/services/grafana/volumes/1", json!("./monitoring/grafana/dashboards:/d:ro")), "not mounted at");
}
