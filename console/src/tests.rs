//! The command line through the library: what it prints and with which code it ends.

use super::*;
use serde_json::Value;

fn ran(line: &str) -> Printed {
    run(line.split_whitespace().map(OsString::from).collect())
}

/// With exactly these settings, whatever the environment of the test holds.
fn ran_with<const N: usize>(line: &str, settings: [(&str, &str); N]) -> Printed {
    let cli = Cli::try_parse_from(line.split_whitespace()).expect("a command line");
    let settings = Settings::from_pairs(settings).expect("settings");
    let outcome = runtime().and_then(|runtime| runtime.block_on(verbs::perform(&cli.verb, &settings)));
    lay_out(cli.verb.name(), &outcome, cli.json)
}

fn object(printed: &Printed) -> Value {
    assert_eq!(printed.stdout.lines().count(), 1, "{printed:?}");
    assert_eq!(printed.stderr, "", "{printed:?}");
    serde_json::from_str(&printed.stdout).expect("one JSON object")
}

#[test]
fn help_and_version_end_with_0() {
    for line in ["sisdmk --help", "sisdmk setup --help", "sisdmk --version"] {
        let printed = ran(line);
        assert_eq!((printed.exit, printed.stderr.as_str()), (0, ""), "{line}");
        assert!(!printed.stdout.is_empty());
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for line in ["sisdmk", "sisdmk btches", "sisdmk setup --partitions 0", "sisdmk dlq show 17"] {
        let printed = ran(line);
        assert_eq!(printed.exit, 2, "{line}");
        assert!(printed.stdout.is_empty() && !printed.stderr.is_empty(), "{line}");
        let told = object(&ran(&format!("{line} --json")));
        assert_eq!(told["ok"], false);
        assert_eq!(told["error"]["code"], "usage");
        assert_ne!(told["error"]["message"], "");
    }
}

#[test]
fn a_nik_on_the_command_line_is_refused_and_not_repeated() {
    for line in [
        "sisdmk dlq show 3273011205800001",
        "sisdmk batches --json --limit 3273011205800001",
        "sisdmk poll --region=3273011205800001",
    ] {
        let printed = ran(line);
        assert_eq!(printed.exit, 2, "{line}");
        for said in [&printed.stdout, &printed.stderr] {
            assert!(!said.contains("3273011205800001"), "{said}");
        }
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_for_every_verb() {
    for verb in ["setup", "lag", "batches", "dlq list", "doctor", "config show"] {
        let printed = ran(&format!("sisdmk {verb} --json --set no.such_key=1"));
        let told = object(&printed);
        assert_eq!(printed.exit, 2, "{verb}");
        assert_eq!(told["command"], verb);
        assert_eq!(told["error"]["code"], "configuration");
        assert!(told["error"]["message"].to_string().contains("no.such_key"));
    }
}

#[test]
fn what_is_not_set_is_asked_for_before_anything_is_connected() {
    let printed = ran_with("sisdmk setup", [("security.allow_plaintext", "true")]);
    assert_eq!(printed.exit, 2);
    for key in ["kafka.bootstrap_servers", "registry.url", "postgres.url", "identity.hmac_key_file"] {
        assert!(printed.stderr.contains(key), "{}", printed.stderr);
    }
}

#[test]
fn a_link_without_encryption_is_refused_unless_allowed() {
    let printed = ran_with("sisdmk lag", [("kafka.bootstrap_servers", "127.0.0.1:1")]);
    assert_eq!(printed.exit, 2);
    assert!(printed.stderr.contains("security.allow_plaintext"));
}

#[test]
fn the_catalogue_of_reasons_is_whole_and_needs_no_configuration() {
    let told = object(&ran("sisdmk reasons --json"));
    let reasons = told["result"]["reasons"].as_array().expect("a list");
    assert_eq!(reasons.len(), rules::Code::ALL.len());
    let text = ran("sisdmk reasons").stdout;
    for code in rules::Code::ALL {
        assert!(text.contains(&format!("\n{}\n", code.as_str())));
        assert!(text.contains(code.message_id()));
    }
}

#[test]
fn config_show_lists_every_setting_with_its_origin() {
    let printed = ran("sisdmk config show --json --set sink.threads=3");
    let told = object(&printed);
    let settings = told["result"]["settings"].as_array().expect("a list");
    assert_eq!(settings.len(), platform::settings::SETTINGS.len());
    let threads = settings.iter().find(|setting| setting["key"] == "sink.threads").expect("the setting");
    assert_eq!((&threads["value"], &threads["from"]), (&Value::from("3"), &Value::from("flag --set")));
}

#[test]
fn validate_tells_every_fault_at_once() {
    let printed = ran_with("sisdmk validate --json", [("source.profile", "/no/such/file")]);
    let told = object(&printed);
    assert_eq!(printed.exit, 2);
    let faults = told["result"]["faults"].to_string();
    for part in ["/no/such/file", "kafka.bootstrap_servers", "source.base_url"] {
        assert!(faults.contains(part), "{faults}");
    }
}

/// The configuration that the operators' page shows is one that the programs take.
#[test]
fn the_configuration_of_the_operations_page_is_valid() {
    let page = include_str!("../../docs/OPERATIONS.md");
    let toml = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("sisdmk.toml");
    std::fs::write(&file, toml).expect("written");
    let printed = ran(&format!("sisdmk validate --json --config {}", file.display()));
    assert_eq!(printed.exit, 0, "{}{}", printed.stdout, printed.stderr);
    let secrets = toml.lines().filter(|line| line.contains("_file = ") && !line.starts_with("ca_file")).count();
    let unreadable = &object(&printed)["result"]["unreadable_secrets"];
    assert_eq!(unreadable.as_array().map(Vec::len), Some(secrets), "only the secrets are not there: {unreadable}");
}
