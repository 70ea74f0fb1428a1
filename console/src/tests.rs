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

/// Answers each connection with the next of these, and closes. The address, and a folder with a token.
fn source(answers: Vec<String>) -> (String, tempfile::TempDir) {
    use std::io::{BufRead as _, Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().expect("a connection");
            let mut reader = std::io::BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).expect("a line") > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).expect("a body");
            reader.into_inner().write_all(answer.as_bytes()).expect("sent");
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in [("token", "TOPSECRET"), ("password", "TOPSECRET"), ("list", "P1\nP2\n")] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("a mode");
    }
    (address, folder)
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// The probe against these answers, for programs and for people.
fn probed(line: &str, profile: &str, answers: &[String]) -> (Printed, Printed) {
    let run = |line: &str| {
        let (address, folder) = source(answers.to_vec());
        let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        let printed = ran_with(
            line,
            [
                ("source.profile", profile),
                ("source.base_url", &address),
                ("source.token_file", &path("token")),
                ("source.username", "dinkes"),
                ("source.password_file", &path("password")),
                ("source.facilities_file", &path("list")),
                ("source.request_timeout", "5s"),
                ("security.allow_plaintext", "true"),
            ],
        );
        for hidden in ["TOPSECRET", "3273015705900004", "Contoh"] {
            assert!(!printed.stdout.contains(hidden) && !printed.stderr.contains(hidden), "{hidden}: {printed:?}");
        }
        printed
    };
    (run(&format!("{line} --json")), run(line))
}

#[test]
fn a_probe_shows_what_came_and_no_value() {
    let person = r#"{"NIK":"3273015705900004","NAMA":"Contoh","STATUS_AKTIF":"Aktif","BARU":1}"#;
    let token = http("200 OK", r#"{"token":"TOPSECRET"}"#);
    let page = http("200 OK", &format!(r#"{{"status":200,"message":"Contoh","data":[{person}]}}"#));
    let (programs, people) = probed("sisdmk source probe", "biodata-facility", &[token.clone(), page]);
    let told = object(&programs);
    assert_eq!((programs.exit, told["ok"].as_bool()), (0, Some(true)), "{told}");
    let result = &told["result"];
    assert_eq!((&result["place"], &result["logged_in"], &result["rows"]), (&"P1".into(), &true.into(), &1.into()));
    let nik = &result["fields"][0];
    assert_eq!((&nik["field"], &nik["source"], &nik["found"]), (&"record.fields.nik".into(), &"NIK".into(), &1.into()));
    assert_eq!(nik["kinds"][0], "text");
    assert!(
        result["missing"].as_array().is_some_and(|missing| missing.contains(&"record.fields.alamat".into())),
        "{result}"
    );
    assert_eq!(result["unknown"][0]["name"], "BARU");
    assert_eq!(people.exit, 0);
    for shown in ["record.fields.nik", "missing", "unknown, 1", "brought a token"] {
        assert!(people.stdout.contains(shown), "{shown}: {}", people.stdout);
    }

    // A mandatory field that is not there.
    let page = http("200 OK", r#"{"status":200,"data":[{"NIK":"3273015705900004","NAMA":"Contoh"}]}"#);
    let (programs, _) = probed("sisdmk source probe --facility P2", "biodata-facility", &[token.clone(), page]);
    let told: Value = serde_json::from_str(&programs.stdout).expect("JSON");
    assert_eq!((programs.exit, told["error"]["code"].as_str()), (3, Some("source_differs")), "{told}");
    assert_eq!(told["result"]["place"], "P2");
}

#[test]
fn a_probe_that_fails_says_why_and_ends_with_3_or_2() {
    let check = |line: &str, profile: &str, answers: &[String], exit: u8, code: &str| {
        let (programs, people) = probed(line, profile, answers);
        let told: Value = serde_json::from_str(&programs.stdout).expect("JSON");
        assert_eq!((programs.exit, told["error"]["code"].as_str()), (exit, Some(code)), "{told}");
        assert_eq!(people.exit, exit);
    };
    let probe = "sisdmk source probe";
    check(probe, "biodata-facility", &[http("401 No", "Contoh")], 3, "source_refused");
    check(probe, "sdmk-modified", &[http("403 No", "Contoh")], 3, "source_refused");
    check(probe, "sdmk-modified", &[http("500 Oops", "Contoh")], 3, "source_unreachable");
    check(probe, "sdmk-modified", &[http("302 Moved\r\nlocation: /?token=TOPSECRET", "")], 3, "source_unreachable");
    check(probe, "sdmk-modified", &[], 3, "source_unreachable");
    check(probe, "sdmk-modified", &[http("200 OK", "<html>Contoh")], 3, "source_differs");
    check(probe, "sdmk-modified", &[http("200 OK", r#"{"status":200,"data":["Contoh"]}"#)], 3, "source_differs");
    check("sisdmk source probe --facility P1", "sdmk-modified", &[], 2, "configuration");
    check("sisdmk source probe --region 32", "biodata-facility", &[], 2, "configuration");
    check("sisdmk source probe --region 99", "sdmk-modified", &[], 2, "configuration");
}

#[test]
fn validate_names_what_a_profile_needs_and_the_line_that_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = schemas::layout::shipped("biodata-facility").expect("it ships");
    let check = |text: &str, said: &[&str]| {
        let path = folder.path().join("profile.toml");
        std::fs::write(&path, text).expect("a profile");
        let printed = ran_with("sisdmk validate", [("source.profile", path.to_str().expect("text"))]);
        assert_eq!(printed.exit, 2, "{printed:?}");
        for said in said {
            assert!(printed.stderr.contains(said), "{said}: {}", printed.stderr);
        }
    };
    check(text, &["source.username", "source.password_file", "source.facilities_file"]);
    let line = |key: &str| text.lines().position(|line| line.starts_with(key)).map_or(0, |index| index + 1);
    check(
        &text.replacen("lifetime_seconds = 1800", "lifetime_seconds = 0", 1),
        &[&format!("line {}", line("lifetime_seconds")), "auth.login.lifetime_seconds"],
    );
    check(
        &text.replacen("status_empty =", "status_none =", 1),
        &[&format!("line {}", line("status_empty")), "status_none"],
    );
    check(&text.replacen("query_name =", "query_nam =", 1), &[&format!("line {}", line("query_name")), "query_nam"]);
}

#[test]
fn validate_reads_the_list_of_facilities_and_names_its_wrong_lines() {
    let (address, folder) = source(Vec::new());
    let list = folder.path().join("facilities");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let check = |profile: &str, text: &str, regions: &str| {
        std::fs::write(&list, text).expect("a list");
        let settings = [
            ("kafka.bootstrap_servers", "127.0.0.1:1"),
            ("registry.url", "http://127.0.0.1:1"),
            ("postgres.url", "postgres://sink@127.0.0.1:1/db"),
            ("source.profile", profile),
            ("source.base_url", &address),
            ("source.username", "dinkes"),
            ("source.password_file", &path("password")),
            ("source.token_file", &path("token")),
            ("identity.hmac_key_file", &path("token")),
            ("source.facilities_file", &path("facilities")),
            ("source.regions", regions),
            ("security.allow_plaintext", "true"),
        ];
        ran_with("sisdmk validate --json", settings)
    };
    let good = check("biodata-facility", "P2\n# nobody\nP1\nP2\n", "");
    assert_eq!((good.exit, &object(&good)["result"]["facilities"]), (0, &2.into()), "{good:?}");
    let refused = |profile: &str, text: &str, regions: &str, said: &str| {
        let printed = check(profile, text, regions);
        let told: Value = serde_json::from_str(&printed.stdout).expect("JSON");
        let faults: Vec<&str> =
            told["result"]["faults"].as_array().expect("faults").iter().filter_map(Value::as_str).collect();
        assert_eq!((printed.exit, faults.len()), (2, 1), "{faults:?}");
        assert!(faults[0].contains(said) && !printed.stdout.contains("3273015705900004"), "{said}: {faults:?}");
    };
    refused("biodata-facility", "P1\n3273015705900004\nP3\nP 4\n", "", "lines 2, 4 of the list of facilities");
    refused("biodata-facility", "# P1\n", "", "the list of facilities is empty");
    refused("biodata-facility", "P1\n", "32", "source.regions");
    refused("sdmk-modified", "P1\n", "", "source.facilities_file: has no meaning");
    std::fs::remove_file(&list).expect("it was there");
    let gone = ran_with(
        "sisdmk validate",
        [("source.profile", "biodata-facility"), ("source.facilities_file", &path("facilities"))],
    );
    assert!(gone.exit == 2 && gone.stderr.contains("the list of facilities cannot be read"), "{gone:?}");
}

/// Goal: with Kafka away, every verb that asks it ends within the time of one question, with exit code 3 and the address
/// that does not answer, also the one that may read for ten minutes once it is there.
/// Method: a port of this machine where nobody listens; the verbs run side by side, because each waits its 20 s.
#[test]
fn with_kafka_away_every_verb_that_asks_it_ends_in_time() {
    let lines = [
        "sisdmk dlq list --json",
        "sisdmk dlq groups --json",
        "sisdmk dlq show sisdmk.dlq/0/7 --json",
        "sisdmk trace 0193a000-0000-7000-8000-0000000000ff --json",
        "sisdmk lag --json",
    ];
    let ask = |line: &'static str| {
        let watch = platform::clock::Stopwatch::start();
        // Without a database, which `lag` would ask first.
        let settings = [("kafka.bootstrap_servers", "127.0.0.1:1"), ("security.allow_plaintext", "true")];
        (line, ran_with(line, settings), watch.elapsed())
    };
    let ended: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = lines.map(|line| scope.spawn(move || ask(line))).into_iter().collect();
        running.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    for (line, printed, took) in ended {
        let told = object(&printed);
        assert_eq!((printed.exit, &told["error"]["code"]), (3, &"environment".into()), "{line}: {told}");
        let (message, hint) = (told["error"]["message"].to_string(), told["error"]["hint"].to_string());
        assert!(message.contains("sisdmk"), "what was asked for: {line}: {message}");
        assert!(hint.contains("is Kafka running") && hint.contains("127.0.0.1:1"), "{line}: {hint}");
        assert!(took < 2 * edge::kafka::ANSWER_MAX, "{line}: {took:?}");
    }
}
