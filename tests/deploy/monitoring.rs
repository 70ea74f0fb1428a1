//! Prometheus asks the processes where they listen, and the dashboard shows metrics that exist, by labels that they have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use crate::deployment::{Deployment, root, texts, yaml};
use crate::programs::answers;

/// Words of PromQL and labels of Prometheus itself that are no label of ours.
const NOT_OURS: [&str; 3] = ["le", "job", "instance"];

pub(crate) fn faults(deployment: &Deployment) -> Vec<String> {
    let mut faults = scraped(deployment);
    let metrics = metrics();
    faults.extend(rules(deployment, &metrics));
    faults.extend(told(deployment));
    faults.extend(["alertmanager", "prometheus"].iter().filter_map(|name| configuration(deployment, name)));
    let source = &yaml("monitoring/grafana/provisioning/datasources/prometheus.yml")["datasources"][0];
    if source["url"] != "http://prometheus:9090" {
        faults.push("grafana: the data source is not the service prometheus".to_owned());
    }
    let provider = yaml("monitoring/grafana/provisioning/dashboards/sisdmk.yml");
    let folder = provider["providers"][0]["options"]["path"].as_str().unwrap_or_default().to_owned();
    let mounts = texts(&deployment.compose["services"]["grafana"]["volumes"]);
    if !mounts.contains(&format!("./monitoring/grafana/dashboards:{folder}:ro").as_str()) {
        faults.push(format!("grafana: the dashboards are not mounted at {folder}"));
    }
    let panels = deployment.dashboard["panels"].as_array().cloned().unwrap_or_default();
    if panels.is_empty() {
        faults.push("dashboard: no panel".to_owned());
    }
    for panel in &panels {
        let title = panel["title"].as_str().unwrap_or_default();
        for target in panel["targets"].as_array().into_iter().flatten() {
            if target["datasource"]["uid"] != source["uid"] {
                faults.push(format!("dashboard, {title}: another data source than the one that is there"));
            }
            let expression = target["expr"].as_str().unwrap_or_default();
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let wrong = expression_faults(expression, legend, &metrics);
            faults.extend(wrong.into_iter().map(|fault| format!("dashboard, {title}: {fault}")));
        }
    }
    faults
}

/// Whoever has an alert, Prometheus or the producer, tells the Alertmanager that is there.
fn told(deployment: &Deployment) -> Vec<String> {
    let mut faults = Vec::new();
    let toml = deployment.toml();
    let alertmanagers = &deployment.prometheus["alerting"]["alertmanagers"];
    let targets: Vec<&str> = alertmanagers
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|group| group["static_configs"].as_array().into_iter().flatten())
        .flat_map(|group| texts(&group["targets"]))
        .collect();
    if targets.is_empty() {
        faults.push("prometheus.yml: no Alertmanager is told".to_owned());
    }
    for target in targets {
        let (host, port) = target.split_once(':').unwrap_or((target, ""));
        let service = &deployment.compose["services"][host];
        if service.is_null() || !answers(service, &toml, host, port) {
            faults.push(format!("prometheus.yml: nobody answers at {target}"));
        }
    }
    let url = toml.get("alerts").and_then(|alerts| alerts.get("alertmanager_url")).and_then(toml::Value::as_str);
    if url.is_none_or(|url| !url.starts_with("http://alertmanager:")) {
        faults.push("deploy/compose/sisdmk.toml: alerts.alertmanager_url is not the service alertmanager".to_owned());
    }
    faults
}

/// The file that a service is started with is there, by the folder that is mounted.
fn configuration(deployment: &Deployment, name: &str) -> Option<String> {
    let service = &deployment.compose["services"][name];
    let file = texts(&service["command"]).into_iter().find_map(|word| word.strip_prefix("--config.file="));
    let Some(file) = file else { return Some(format!("service {name}: it is given no configuration")) };
    let there = texts(&service["volumes"]).into_iter().filter_map(|mount| mount.strip_suffix(":ro")?.split_once(':'));
    let mut there =
        there.filter_map(|(folder, at)| Some(root().join(folder).join(file.strip_prefix(at)?.strip_prefix('/')?)));
    (!there.any(|path| path.exists())).then(|| format!("service {name}: {file} is not there"))
}

/// The rule files that Prometheus is told of are there, and their expressions know our metrics and labels.
fn rules(deployment: &Deployment, metrics: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let files = texts(&deployment.prometheus["rule_files"]);
    let mut faults = Vec::new();
    if files != ["rules/sisdmk.yml"] {
        faults.push(format!("prometheus.yml: other rule files than rules/sisdmk.yml: {files:?}"));
    }
    for group in yaml("monitoring/prometheus/rules/sisdmk.yml")["groups"].as_array().into_iter().flatten() {
        for rule in group["rules"].as_array().into_iter().flatten() {
            let name = rule["alert"].as_str().unwrap_or_default();
            let expression = rule["expr"].as_str().unwrap_or_default();
            // Prometheus' own metric of who answers.
            if !expression.starts_with("up{") {
                let wrong = expression_faults(expression, "", metrics);
                faults.extend(wrong.into_iter().map(|fault| format!("{name}: {fault}")));
            }
            for text in ["summary", "action"] {
                if rule["annotations"][text].as_str().is_none_or(str::is_empty) {
                    faults.push(format!("{name}: no {text}"));
                }
            }
        }
    }
    faults
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() {
    let rules = fs::read_to_string(root().join("monitoring/prometheus/rules/sisdmk.yml")).expect("readable");
    let files = ["sisdmk.test.yml", "sisdmk-weeks.test.yml"].map(|name| format!("monitoring/prometheus/rules/{name}"));
    let tests = files.each_ref().map(|file| fs::read_to_string(root().join(file)).expect("readable")).concat();
    for line in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        for wanted in
            [format!("alertname: {line}, exp_alerts: []"), format!("alertname: {line}\n        exp_alerts:\n")]
        {
            assert!(tests.contains(&wanted), "{line} is not tested both ways: `{wanted}`");
        }
    }
    let output = Command::new("promtool")
        .args(["test", "rules"])
        .args(&files)
        .current_dir(root())
        .output()
        .expect("promtool of the package prometheus runs; scripts/install.sh installs it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("SUCCESS"), "{text}");
}

/// What the servers themselves say of their files.
#[test]
fn the_servers_take_their_configurations() {
    for (program, arguments) in [
        ("promtool", ["check", "config", "monitoring/prometheus/prometheus.yml"].as_slice()),
        ("amtool", &["check-config", "monitoring/alertmanager/alertmanager.yml"]),
    ] {
        let output = Command::new(program).args(arguments).current_dir(root()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; scripts/install.sh installs it"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("SUCCESS"), "{program}: {text}");
    }
}

/// Each stage is asked on the port where it listens, and nobody else is.
fn scraped(deployment: &Deployment) -> Vec<String> {
    let toml = deployment.toml();
    let mut missing = BTreeSet::from(["producer", "processor", "sink"]);
    let mut faults = Vec::new();
    for job in deployment.prometheus["scrape_configs"].as_array().into_iter().flatten() {
        for target in texts(&job["static_configs"][0]["targets"]) {
            let (host, port) = target.split_once(':').unwrap_or((target, ""));
            let service = &deployment.compose["services"][host];
            if service.is_null() || !answers(service, &toml, host, port) {
                faults.push(format!("prometheus.yml: nobody answers at {target}"));
            }
            if job["job_name"] != host {
                faults.push(format!("prometheus.yml: {target} is not of the job {}", job["job_name"]));
            }
            missing.remove(host);
        }
    }
    faults.extend(missing.into_iter().map(|stage| format!("prometheus.yml: {stage} is not asked")));
    faults
}

/// The metrics in our code: name to kind and labels. A histogram has its three series.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    let homes = [
        "platform/src/metrics.rs",
        "sink/src/edge/gauges.rs",
        "processor/src/edge/telemetry.rs",
        "producer/src/edge/alerts.rs",
        "producer/src/edge/quarantine.rs",
    ];
    for file in homes {
        let text = fs::read_to_string(root().join(file)).expect("readable");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, _) in code.match_indices("\"sisdmk_") {
            let rest = &code[at + 1..];
            let (name, rest) = rest.split_once('"').expect("a text ends");
            // Up to the end of the statement that makes it.
            let statement = rest.split("&METRIC").next().unwrap_or_default();
            let labels: BTreeSet<String> = statement
                .split_once("&[")
                .and_then(|(_, labels)| labels.split_once(']'))
                .map(|(labels, _)| labels.split('"').skip(1).step_by(2).map(str::to_owned).collect())
                .unwrap_or_default();
            let before = code[..at].rsplit("static METRIC").next().unwrap_or_default();
            let series: &[&str] = if before.contains("istogram") { &["_bucket", "_sum", "_count"] } else { &[""] };
            for suffix in series {
                found.insert(format!("{name}{suffix}"), labels.clone());
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

/// Metrics that do not exist, and labels that the metrics of the expression do not have.
fn expression_faults(expression: &str, legend: &str, metrics: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::from(NOT_OURS);
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let names: Vec<&str> = expression.split(word).filter(|name| name.starts_with("sisdmk_")).collect();
    if names.is_empty() {
        faults.push(format!("`{expression}` shows none of our metrics"));
    }
    for name in names {
        match metrics.get(name) {
            None => faults.push(format!("no program of ours has the metric {name}")),
            Some(labels) => known.extend(labels.iter().map(String::as_str)),
        }
    }
    let inside = |open: &'static str, close: char| {
        let parts = expression.split(open).skip(1).filter_map(move |rest| rest.split(close).next());
        parts.flat_map(|part| part.split(',')).map(|part| part.split(['=', '!']).next().unwrap_or_default().trim())
    };
    let legends = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    for label in inside("by (", ')').chain(inside("{", '}')).chain(legends) {
        if !known.contains(label) {
            faults.push(format!("`{expression}` has no label {label}"));
        }
    }
    faults
}

#[test]
fn the_code_is_read_with_its_labels() {
    let metrics = metrics();
    let labels = |name: &str| metrics.get(name).map(|labels| labels.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(labels("sisdmk_source_requests_total"), Some(vec!["code", "endpoint"]));
    assert_eq!(labels("sisdmk_consecutive_failed_batches"), Some(Vec::new()));
    assert_eq!(labels("sisdmk_batch_duration_seconds_bucket"), Some(vec!["kind"]));
    assert_eq!(labels("sisdmk_batch_duration_seconds"), None);
    assert_eq!(labels("sisdmk_batches_untied_total"), Some(vec!["kind"]));
    assert_eq!(labels("sisdmk_end_to_end_latency_seconds_count"), Some(Vec::new()));
}

#[test]
fn wrong_expressions_are_refused() {
    let metrics = metrics();
    let check = |expression: &str, fault: &str| {
        let faults = expression_faults(expression, "", &metrics);
        assert!(faults.iter().any(|found| found.contains(fault)), "{expression}: {faults:?}");
    };
    check("sum(sisdmk_nothing_total)", "no program of ours has the metric sisdmk_nothing_total");
    check("rate(sisdmk_batch_duration_seconds[5m])", "sisdmk_batch_duration_seconds");
    check("sum by (colour) (sisdmk_records_total)", "no label colour");
    check("sisdmk_records_total{colour=\"red\"}", "no label colour");
    check("up", "none of our metrics");
    assert!(
        expression_faults("sum by (stage) (sisdmk_records_total{outcome!=\"x\"})", "{{stage}}", &metrics).is_empty()
    );
}
