//! The tests of the alert rules are tested: each rule is changed in every way that could slip in, and `promtool` must notice.
//!
//! Goal: no threshold, wait, label or matcher of a rule can be changed with its tests still passing. Method: one change at a
//! time, only the rule that it is in and only the tests of its alert, because that takes a twentieth of the time.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deployment::yaml;

const RULES: &str = "monitoring/prometheus/rules/sisdmk.yml";
const TESTS: [&str; 2] =
    ["monitoring/prometheus/rules/sisdmk.test.yml", "monitoring/prometheus/rules/sisdmk-weeks.test.yml"];

/// Signs of a comparison with a number, the longer ones first.
const COMPARISONS: [&str; 5] = [">= ", "== ", "<= ", "> ", "< "];

/// Where each number stands that something is compared with.
fn thresholds(expression: &str) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for sign in COMPARISONS {
        for (at, _) in expression.match_indices(sign) {
            let from = at + sign.len();
            let rest = &expression[from..];
            let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            if length > 0 && !found.iter().any(|range| range.start == from) {
                found.push(from..from + length);
            }
        }
    }
    found
}

/// Every change to a rule, each with what it is.
fn changes(rule: &Value) -> Vec<(String, Value)> {
    let mut changes = Vec::new();
    let mut change = |what: String, key: &str, value: Option<Value>| {
        let mut rule = rule.clone();
        let fields = rule.as_object_mut().expect("a rule");
        match value {
            Some(value) => drop(fields.insert(key.to_owned(), value)),
            None => drop(fields.remove(key)),
        }
        changes.push((what, rule));
    };
    match rule["for"].as_str() {
        Some(wait) => {
            let (number, unit) = wait.split_at(wait.len() - 1);
            let longer = number.parse::<u64>().expect("a number") * 4;
            change("without its wait".to_owned(), "for", None);
            change("four times its wait".to_owned(), "for", Some(json!(format!("{longer}{unit}"))));
        }
        None => change("with a wait".to_owned(), "for", Some(json!("1h"))),
    }
    let other = if rule["labels"]["severity"] == "critical" { "warning" } else { "critical" };
    change(format!("severity {other}"), "labels", Some(json!({ "severity": other })));
    let expression = rule["expr"].as_str().expect("an expression");
    for range in thresholds(expression) {
        let number: f64 = expression[range.clone()].parse().expect("a number");
        for other in [number * 2.0 + 1.0, if number > 1.0 { number / 2.0 } else { number - 1.0 }] {
            let text = format!("{}{other}{}", &expression[..range.start], &expression[range.end..]);
            change(text.clone(), "expr", Some(json!(text)));
        }
    }
    for (open, _) in expression.match_indices('{') {
        let close = open + expression[open..].find('}').expect("it closes");
        let text = format!("{}{}", &expression[..open], &expression[close + 1..]);
        change(text.clone(), "expr", Some(json!(text)));
    }
    changes
}

/// Whether `promtool` is content with this rule, by the tests of its alert.
fn passes(rule: &Value, tests: &[Value]) -> bool {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, value: &Value| {
        // JSON is YAML.
        fs::write(folder.path().join(name), value.to_string()).expect("written");
        name.to_owned()
    };
    write("sisdmk.yml", &json!({ "groups": [{ "name": "one", "rules": [rule] }] }));
    let mut files = Vec::new();
    for file in tests {
        let mut file = file.clone();
        let groups = file["tests"].as_array_mut().expect("tests");
        for group in groups.iter_mut() {
            let tests = group["alert_rule_test"].as_array_mut().expect("tests of alerts");
            tests.retain(|test| test["alertname"] == rule["alert"]);
        }
        groups.retain(|group| group["alert_rule_test"].as_array().is_some_and(|tests| !tests.is_empty()));
        if !groups.is_empty() {
            files.push(write(&format!("{}.test.yml", files.len()), &file));
        }
    }
    assert!(!files.is_empty(), "{} has no test", rule["alert"]);
    let output = Command::new("promtool").args(["test", "rules"]).args(&files).current_dir(folder.path()).output();
    let output = output.expect("promtool of the package prometheus runs; scripts/install.sh installs it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // It says what it does not like of a test that fails; anything else is no verdict.
    assert!(output.status.success() || text.contains("FAILED"), "{rule}: {text}");
    assert!(!text.contains("parse error") && !text.contains("unmarshal"), "{rule}: {text}");
    output.status.success()
}

#[test]
fn no_change_to_an_alert_rule_goes_unnoticed() {
    let tests = TESTS.map(yaml);
    let rules: Vec<Value> = yaml(RULES)["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules").clone())
        .collect();
    let mut unnoticed = Vec::new();
    let mut count = 0;
    for rule in &rules {
        assert!(passes(rule, &tests), "{} fails as it is", rule["alert"]);
        for (what, changed) in changes(rule) {
            count += 1;
            if passes(&changed, &tests) {
                unnoticed.push(format!("{}: {what}", rule["alert"]));
            }
        }
    }
    assert!(unnoticed.is_empty(), "of {count} changes these went unnoticed:\n{}", unnoticed.join("\n"));
    assert!(count > 4 * rules.len(), "{count} changes of {} rules", rules.len());
}

#[test]
fn thresholds_are_found() {
    let found = |text: &str| thresholds(text).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>();
    assert_eq!(found("a >= 3"), ["3"]);
    assert_eq!(found("time() - (a > 0) > 13 * 3600"), ["0", "13"]);
    assert_eq!(found("sum(increase(a[1h])) > 0.1 * sum(b{le=\"300\"}) and c > 20"), ["0.1", "20"]);
    assert_eq!(found("up{job=~\"x\"} == 0"), ["0"]);
    assert_eq!(found("a and b"), [""; 0]);
}
