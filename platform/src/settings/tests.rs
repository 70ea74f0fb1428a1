//! What a configuration is told, and what is taken from where.

use std::path::PathBuf;

use super::*;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sisdmk.toml");
    std::fs::write(&path, text).expect("write");
    (folder, path)
}

fn load(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Settings, ConfigErrors> {
    let (_folder, path) = file(text);
    let args = CommonArgs { config: Some(path), set: flags.iter().map(|flag| (*flag).to_owned()).collect() };
    Settings::from_layers(&args, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// Every fault as one text, with the file's folder cut away.
fn faults(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> Vec<String> {
    let errors = load(text, environment, flags).expect_err("faults");
    errors
        .0
        .iter()
        .map(|error| {
            let text = error.to_string();
            match (text.find("/"), text.find("sisdmk.toml")) {
                (Some(from), Some(to)) if from < to => format!("{}{}", &text[..from], &text[to..]),
                _ => text,
            }
        })
        .collect()
}

#[test]
fn the_table_is_sound() {
    let mut keys = std::collections::BTreeSet::new();
    for setting in SETTINGS {
        assert!(keys.insert(setting.key), "{} stands twice", setting.key);
        assert_eq!(setting.key.split('.').count(), 2, "{}", setting.key);
        assert!(setting.doc.ends_with('.') && !setting.used_by.is_empty(), "{}", setting.key);
        assert!(setting.needed_by.iter().all(|process| setting.used_by.contains(process)), "{}", setting.key);
        assert!(setting.needed_by.is_empty() || setting.default.is_none(), "{}", setting.key);
        assert!(!setting.secret_file || setting.kind == Kind::Path, "{}", setting.key);
        for text in [setting.default, setting.min, setting.max].into_iter().flatten() {
            let value =
                value::parse(setting.kind, text).unwrap_or_else(|error| panic!("{} {text}: {error}", setting.key));
            assert_eq!(layers::out_of_bounds(setting, &value), None, "{} {text}", setting.key);
        }
    }
    Settings::from_pairs([]).expect("the defaults are a configuration");
}

#[test]
fn the_last_layer_wins_and_every_value_tells_where_it_comes_from() {
    let settings = load(
        "[source]\nretries = 1\nbackoff = \"2s\"\nregions = [\"32\", \"32.73\"]\n[sink]\nbatch_wait = \"50ms\"\n",
        &[("SISDMK_SOURCE__RETRIES", "2"), ("SISDMK_SOURCE__BACKOFF_MAX", "9s"), ("OTHER", "x")],
        &["source.retries=4"],
    )
    .expect("settings");
    assert_eq!(settings.int("source.retries"), 4);
    assert_eq!(settings.origin("source.retries"), &Origin::Flag);
    assert_eq!(settings.duration("source.backoff"), Duration::from_secs(2));
    assert!(settings.origin("source.backoff").to_string().ends_with("sisdmk.toml line 3"));
    assert_eq!(settings.duration("source.backoff_max"), Duration::from_secs(9));
    assert_eq!(settings.origin("source.backoff_max").to_string(), "environment SISDMK_SOURCE__BACKOFF_MAX");
    assert_eq!(settings.list("source.regions"), ["32", "32.73"]);
    assert_eq!(settings.bytes("source.body_bytes_max"), 32 << 20);
    assert_eq!(settings.origin("source.body_bytes_max"), &Origin::Default);
    assert_eq!(settings.address("sink.listen").port(), 9103);
    assert!(!settings.flag("security.allow_plaintext"));
    assert!(!settings.is_set("kafka.bootstrap_servers"));
}

#[test]
fn tables_are_replaced_whole_or_changed_by_name() {
    let settings = load(
        "[kafka.properties]\nsecurity.protocol = \"SASL_SSL\"\n\"linger.ms\" = 5\n[rules.status_aktif]\n\"Aktif Bekerja\" = \"AKTIF\"\n",
        &[],
        &["kafka.properties.linger.ms=7"],
    )
    .expect("settings");
    let properties = settings.table("kafka.properties");
    assert_eq!(properties.get("security.protocol").map(String::as_str), Some("SASL_SSL"));
    assert_eq!(properties.get("linger.ms").map(String::as_str), Some("7"));
    assert_eq!(
        settings.table("rules.status_aktif").into_iter().collect::<Vec<_>>(),
        [("Aktif Bekerja".into(), "AKTIF".into())]
    );
    let default = Settings::from_pairs([]).expect("settings").table("rules.status_aktif");
    assert_eq!(default.len(), 6);
}

#[test]
fn all_faults_are_told_at_once_with_key_place_and_what_is_allowed() {
    let faults = faults(
        "[source]\nretries = 11\nrequest_timeout = 30\nlokback = \"1m\"\n\n[sorce]\nx = 1\n[sink]\nbatch_rows_max = \"many\"\n[kafka.properties]\nacks = \"1\"\n",
        &[("SISDMK_SINK__THREADS", "0"), ("SISDMK_SINK__TREADS", "2")],
        &["schedule.jitter=soon", "telemetry.log_format=xml", "oops"],
    );
    let expected = [
        "source.retries (sisdmk.toml line 2): `11` is out of bounds; allowed: 0 to 10",
        "source.request_timeout (sisdmk.toml line 3): must be a text with a unit",
        "source.lokback (sisdmk.toml line 4): is not a setting; did you mean `source.lookback`?",
        "sorce (sisdmk.toml line 6): is not a section; there are: kafka, registry,",
        "sink.batch_rows_max (sisdmk.toml line 9): must be a number without quotes",
        "sink.threads (environment SISDMK_SINK__THREADS): `0` is out of bounds; allowed: 1 to 64",
        "sink.treads (environment SISDMK_SINK__TREADS): is not a setting; did you mean `sink.threads`?",
        "schedule.jitter (flag --set): `soon` must be a duration",
        "telemetry.log_format (flag --set): `xml` must be one of: json, text",
        "flag --set: must be written --set section.key=value",
        "kafka.properties.acks (sisdmk.toml line 10): is fixed",
    ];
    for expected in expected {
        assert!(
            faults.iter().any(|fault| fault.starts_with(expected)),
            "{expected}\nis not among\n{}",
            faults.join("\n")
        );
    }
    assert_eq!(faults.len(), expected.len(), "{}", faults.join("\n"));
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault() {
    let text = faults("[source\nretries = 1", &[], &[]).join("\n");
    assert!(text.contains("line 1") && text.contains("is not valid TOML"), "{text}");
    let twice = faults("[source]\nretries = 1\nretries = 2\n", &[], &[]).join("\n");
    assert!(twice.contains("line 3") && twice.contains("is not valid TOML"), "{twice}");
    let args = CommonArgs { config: Some(PathBuf::from("/nonexistent/sisdmk.toml")), set: vec![] };
    let errors = Settings::from_layers(&args, []).expect_err("faults");
    assert!(errors.to_string().contains("/nonexistent/sisdmk.toml: cannot be read"), "{errors}");
}

#[test]
fn variables_of_others_are_left_alone_and_a_single_underscore_is_told() {
    let none: [&str; 0] = [];
    load("", &[("SISDMK_PRODUCER_PORT", "tcp://10.0.0.1:80"), ("SISDMK_STACK_HOME", "/x")], &none).expect("settings");
    let faults = faults("", &[("SISDMK_KAFKA_BOOTSTRAP_SERVERS", "k:9092")], &[]);
    assert_eq!(
        faults,
        ["SISDMK_KAFKA_BOOTSTRAP_SERVERS: is not a setting; did you mean `SISDMK_KAFKA__BOOTSTRAP_SERVERS`?"]
    );
}

#[test]
fn what_a_process_needs_is_told_at_once() {
    let settings = Settings::from_pairs([("kafka.bootstrap_servers", "k:9092")]).expect("settings");
    let errors = settings.require_for("producer").expect_err("faults");
    let keys: Vec<&str> = errors.0.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["registry.url", "source.base_url", "identity.hmac_key_file"]);
    assert!(errors.to_string().contains("SISDMK_SOURCE__BASE_URL"), "{errors}");
    assert_eq!(crate::exit::Failure::from(errors).exit, crate::exit::Exit::Config);
}

#[test]
fn secrets_are_neither_shown_nor_repeated_in_faults() {
    let canary = "hunter22";
    let texts = faults(
        &format!(
            "[source]\ntoken_file = 7\nbase_url = \"https://u:{canary}@h/\"\n[kafka.properties]\n\"sasl.password\" = \"{canary}\"\n"
        ),
        &[("SISDMK_POSTGRES__URL", &format!("postgresql://u@h/d?password={canary}"))],
        &[&format!("kafka.properties.ssl.key.pem={canary}")],
    );
    assert_eq!(texts.len(), 5, "{}", texts.join("\n"));
    assert!(!texts.join("\n").contains(canary), "{}", texts.join("\n"));

    let settings = load(
        &format!("[source]\ntoken_file = \"{canary}\"\npassword_file = \"/run/secrets/p\"\n[kafka.properties]\n\"sasl.username\" = \"u\"\n"),
        &[],
        &[],
    )
    .expect("settings");
    let shown = settings.entries();
    let value = |key: &str| shown.iter().find(|entry| entry.key == key).and_then(|entry| entry.value.clone());
    assert_eq!(value("source.token_file").as_deref(), Some("(hidden)"));
    assert_eq!(value("source.password_file").as_deref(), Some("/run/secrets/p"));
    assert_eq!(value("kafka.properties").as_deref(), Some("sasl.username=u"));
    assert_eq!(value("kafka.bootstrap_servers"), None);
    assert_eq!(shown.len(), SETTINGS.len());
}

#[test]
fn plaintext_and_unverified_links_are_refused_unless_allowed() {
    let refused = |pairs: &[(&str, &str)]| -> Vec<String> {
        let settings = Settings::from_pairs(pairs.iter().copied()).expect("settings");
        links(&settings, &Link::ALL).err().unwrap_or_default().0.into_iter().map(|error| error.key).collect()
    };
    let plain = [
        ("registry.url", "http://r/apis"),
        ("source.base_url", "HTTP://s"),
        ("producer.admin_url", "http://p:1"),
        ("alerts.webhook_url", "http://w"),
        ("telemetry.otlp_endpoint", "http://t"),
        ("postgres.url", "postgresql://u@h/d?sslmode=require"),
        ("setup.postgres_url", "postgresql://u@h/d"),
    ];
    assert_eq!(
        refused(&plain),
        [
            "kafka.properties.security.protocol",
            "registry.url",
            "postgres.url",
            "setup.postgres_url",
            "source.base_url",
            "producer.admin_url",
            "alerts.webhook_url",
            "telemetry.otlp_endpoint",
        ]
    );
    let mut allowed = plain.to_vec();
    allowed.push(("security.allow_plaintext", "true"));
    assert_eq!(refused(&allowed), Vec::<String>::new());
    let safe = [
        ("kafka.properties", "security.protocol=SASL_SSL"),
        ("registry.url", "https://r/apis"),
        ("source.base_url", "https://s"),
        ("producer.admin_url", "https://p:1"),
        ("postgres.url", "postgresql://u@h/d?sslmode=verify-full&sslrootcert=/ca.pem"),
    ];
    assert_eq!(refused(&safe), Vec::<String>::new());
    let local = [
        safe.as_slice(),
        &[
            ("producer.admin_url", "http://127.0.0.1:1"),
            ("alerts.alertmanager_url", "http://[::1]:9093"),
            ("telemetry.otlp_endpoint", "http://localhost:4318"),
            ("registry.url", "http://127.0.0.1:8080/apis"),
        ],
    ]
    .concat();
    assert_eq!(refused(&local), ["registry.url", "telemetry.otlp_endpoint"], "only addresses, and only own services");
    let twice =
        [safe.as_slice(), &[("postgres.url", "postgresql://u@h/d?sslmode=verify-full&sslmode=disable")]].concat();
    assert_eq!(refused(&twice), ["postgres.url"]);
}
