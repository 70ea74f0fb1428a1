//! The scripts of the deployment, run for real on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::deployment::{Deployment, entries, root, text, texts};

fn make_secrets(folder: &Path) -> Output {
    Command::new(root().join("scripts/compose-secrets.sh")).arg(folder).output().expect("the script runs")
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("entry"));
    files.map(|file| (file.file_name().into_string().expect("text"), fs::read(file.path()).expect("read"))).collect()
}

#[test]
fn the_script_makes_every_secret_that_compose_mounts_and_a_second_run_changes_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = make_secrets(folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let secrets = folder.path().join("secrets");
    let made = contents(&secrets);
    let compose = Deployment::read().compose;
    let declared: BTreeSet<&str> = entries(&compose["secrets"]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(made.keys().map(String::as_str).collect::<BTreeSet<_>>(), declared);

    let distinct: BTreeSet<&Vec<u8>> = made.values().collect();
    assert_eq!(distinct.len(), made.len(), "two secrets are the same");
    let registry = format!("apicurio.datasource.password={}\n", String::from_utf8_lossy(&made["postgres_registry"]));
    assert_eq!(String::from_utf8_lossy(&made["registry.properties"]), registry);
    for (name, secret) in &made {
        let file = fs::metadata(secrets.join(name)).expect("there");
        assert_eq!(file.mode() & 0o777, 0o640, "{name}");
        assert!(secret.len() >= 64, "{name} is short");
        // What the programs say to it: neither refused nor readable by everybody.
        platform::secrets::read(&secrets.join(name)).expect("our programs take it");
    }
    assert_eq!(fs::metadata(&secrets).expect("there").mode() & 0o777, 0o700);

    let group = fs::metadata(secrets.join("source_token")).expect("there").gid();
    assert_ne!(group, 0, "the services would be members of root's group");
    let environment = fs::read_to_string(folder.path().join(".env")).expect(".env");
    assert_eq!(environment, format!("SISDMK_SECRETS_GID={group}\n"));

    fs::remove_file(secrets.join("grafana_admin")).expect("removed");
    assert!(make_secrets(folder.path()).status.success());
    let again = contents(&secrets);
    let changed: Vec<&String> = made.keys().filter(|name| made.get(*name) != again.get(*name)).collect();
    assert_eq!(changed, ["grafana_admin"], "only what was missing is made");
    assert_eq!(fs::read_to_string(folder.path().join(".env")).expect(".env"), environment);
}

#[test]
fn secrets_stay_out_of_the_repository() {
    for line in ["/secrets", "/.env"] {
        assert!(text(".gitignore").lines().any(|found| found == line), ".gitignore has no {line}");
    }
}

#[test]
fn http_ok_believes_nothing_but_200() {
    let ask = |answer: Option<&'static str>| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port().to_string();
        let server = answer.map(|answer| {
            std::thread::spawn(move || {
                let (client, _) = listener.accept().expect("asked");
                let mut reader = BufReader::new(client);
                let mut request = String::new();
                // To its end: bash sends a line at a time, and closing before all of it is read would reset the
                // connection, which can take the answer with it.
                while !request.ends_with("\r\n\r\n") {
                    assert!(reader.read_line(&mut request).expect("text") > 0, "cut: {request}");
                }
                reader.into_inner().write_all(answer.as_bytes()).expect("answered");
                request
            })
        });
        let script = root().join("deploy/compose/http-ok.sh");
        let output = Command::new(script).args([port.as_str(), "/readyz"]).output().expect("bash runs");
        if let Some(server) = server {
            let request = server.join().expect("served");
            assert!(request.starts_with("GET /readyz HTTP/1.0\r\n"), "{request}");
        }
        output.status.success()
    };
    assert!(ask(Some("HTTP/1.1 200 OK\r\n\r\nready\n")));
    assert!(!ask(Some("HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready\n")));
    assert!(!ask(Some("HTTP/1.1 404 Not Found\r\n\r\n200\n")));
    assert!(!ask(Some("")));
    assert!(!ask(None), "nobody listens");
}

/// README.md tells people to type `docker compose run --rm console ..`; the console takes what stands there.
#[test]
fn the_console_takes_what_the_readme_says() {
    let compose = Deployment::read().compose;
    let entrypoint = texts(&compose["services"]["console"]["entrypoint"]);
    let readme = text("README.md");
    let typed: Vec<&str> =
        readme.lines().filter_map(|line| line.strip_prefix("docker compose run --rm console ")).collect();
    assert!(!typed.is_empty());
    for verb in typed {
        let arguments = entrypoint.iter().skip(1).copied().chain(verb.split_whitespace()).chain(["--help"]);
        let output = Command::new(env!("CARGO_BIN_EXE_stage-console")).args(arguments).output().expect("sisdmk runs");
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
