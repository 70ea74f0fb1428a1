//! `sisdmk-stack` as a process: exit codes, sentences, and what it leaves behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::{processes_of, wait_until};

fn command(dir: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sisdmk-stack"));
    command.arg(verb).arg("--dir").arg(dir.join("stack"));
    command
}

fn run(dir: &Path, verb: &str, more: &[&str]) -> Output {
    command(dir, verb).args(more).output().expect("it runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `up` in the foreground, once it has said that it is ready.
fn up(dir: &Path) -> Child {
    let mut child = command(dir, "up")
        .args(["--kafka-heap-mb=256", "--postgres-shared-buffers-mb=32"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    let ready = out.lines().map_while(Result::ok).any(|line| line.contains("Ctrl-C stops everything"));
    assert!(ready, "it ended before it was ready");
    child
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill runs");
    assert!(status.success());
}

#[test]
fn ctrl_c_stops_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = up(dir.path());
    assert!(!processes_of(dir.path()).is_empty());
    signal(child.id(), "-INT");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(processes_of(dir.path()), Vec::<u32>::new());
    run(dir.path(), "down", &["--discard"]);
}

#[test]
fn kill_9_of_the_owner_ends_every_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = up(dir.path());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    wait_until("no process is left", || processes_of(dir.path()).is_empty());
    // And the directory can be used again.
    let mut child = up(dir.path());
    signal(child.id(), "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    run(dir.path(), "down", &["--discard"]);
    assert!(!dir.path().join("stack").exists());
}

#[test]
fn a_server_that_dies_ends_up_with_its_name_and_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = command(dir.path(), "up").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    assert!(out.lines().map_while(Result::ok).any(|line| line.contains("Ctrl-C")));
    let status = run(dir.path(), "status", &["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let pid = json.pointer("/servers/1/pid").and_then(serde_json::Value::as_u64).expect("the pid of the registry");
    signal(u32::try_from(pid).expect("a pid"), "-KILL");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("failed to keep registry running"), "{said}");
    assert!(said.contains("registry.log"), "{said}");
    assert_eq!(processes_of(dir.path()), Vec::<u32>::new());
    run(dir.path(), "down", &["--discard"]);
}

#[test]
fn a_detached_stack_stays_until_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let fails = |verb: &str, word: &str| {
        let output = run(dir.path(), verb, &[]);
        assert_eq!(output.status.code(), Some(3), "{verb}");
        assert!(stderr(&output).contains(word), "{verb}: {}", stderr(&output));
    };
    for verb in ["status", "env", "down"] {
        fails(verb, "failed to find a running stack");
    }
    let output = run(dir.path(), "up", &["--detach", "--kafka-heap-mb=256"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(run(dir.path(), "status", &[]).status.code(), Some(0));
    fails("up", "one is already up there");

    let env = run(dir.path(), "env", &[]);
    let text = String::from_utf8_lossy(&env.stdout).into_owned();
    for line in text.lines() {
        assert!(line.starts_with("export SISDMK_"), "{line}");
    }
    assert_eq!(text.lines().count(), 5);

    assert_eq!(run(dir.path(), "down", &[]).status.code(), Some(0));
    assert_eq!(processes_of(dir.path()), Vec::<u32>::new());
    assert_eq!(run(dir.path(), "status", &[]).status.code(), Some(1));
    fails("env", "failed to find a running stack");
    assert_eq!(run(dir.path(), "down", &["--discard"]).status.code(), Some(0));
    assert!(!dir.path().join("stack").exists());
}

#[test]
fn connect_and_alertmanager_come_where_they_are_asked_for_and_go_with_the_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let servers = || {
        let status = run(dir.path(), "status", &["--json"]);
        assert_eq!(status.status.code(), Some(0), "{}", stderr(&status));
        let json: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
        let servers = json["servers"].as_array().expect("a list").clone();
        servers.iter().map(|server| format!("{} {}", server["server"], server["state"])).collect::<Vec<_>>()
    };
    let output = run(dir.path(), "up", &["--detach", "--kafka-heap-mb=256", "--connect", "--alertmanager"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\nconnect   http://127.0.0.1:") && text.contains("\nalerts    http://127.0.0.1:"), "{text}");
    assert_eq!(
        servers().get(3..),
        Some(&["\"connect\" \"running\"", "\"alertmanager\" \"running\""].map(str::to_owned)[..])
    );
    assert_eq!(run(dir.path(), "down", &[]).status.code(), Some(0));
    assert_eq!(processes_of(dir.path()), Vec::<u32>::new());
    let log = fs::read_to_string(dir.path().join("stack/logs/connect.log")).expect("the log is kept");
    assert!(log.contains("Kafka Connect stopped"), "it was stopped cleanly");

    let output = run(dir.path(), "up", &["--detach", "--kafka-heap-mb=256"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(servers().len(), 3, "{:?}", servers());
    assert_eq!(run(dir.path(), "down", &["--discard"]).status.code(), Some(0));
}

#[test]
fn a_busy_port_is_one_sentence_and_exit_code_3() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    for server in ["kafka", "registry", "postgres"] {
        let output = run(dir.path(), "up", &[&format!("--{server}-port={port}")]);
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(
            stderr(&output),
            format!(
                "sisdmk-stack: failed to start {server}: port {port} on 127.0.0.1 is taken by another process; stop that process, choose another port with --{server}-port, or leave the option out for a free one\n"
            )
        );
    }
    assert!(!dir.path().join("stack").exists(), "nothing was begun");
}

#[test]
fn a_missing_java_is_one_sentence_and_exit_code_3() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = command(dir.path(), "up").env("PATH", "").output().expect("it runs");
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.starts_with("sisdmk-stack: failed to find java: "), "{said}");
    assert!(said.contains("apt-get install openjdk-17-jre-headless"), "{said}");
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn a_mistake_on_the_command_line_is_exit_code_2() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(run(dir.path(), "up", &["--kafka-port=0"]).status.code(), Some(2));
    assert_eq!(run(dir.path(), "up", &["--connect-port=20000"]).status.code(), Some(2), "without --connect");
    assert_eq!(run(dir.path(), "up", &["--alertmanager-port=20000"]).status.code(), Some(2), "without --alertmanager");
    assert_eq!(run(dir.path(), "sideways", &[]).status.code(), Some(2));
    assert_eq!(run(dir.path(), "up", &["--help"]).status.code(), Some(0));
}

#[test]
fn two_processes_fill_one_cache_and_later_starts_need_no_maven() {
    let dir = tempfile::tempdir().expect("a directory");
    let fetch = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sisdmk-stack"));
        command.arg("fetch").env("SISDMK_CACHE", dir.path());
        command
    };
    let both = [fetch().spawn(), fetch().spawn()];
    for child in both {
        assert_eq!(child.expect("it runs").wait().expect("it ends").code(), Some(0));
    }

    // Java is still there, Maven is not.
    let java = Command::new("sh").args(["-c", "command -v java"]).output().expect("sh runs");
    let java = String::from_utf8(java.stdout).expect("a path");
    let programs = dir.path().join("programs");
    fs::create_dir(&programs).expect("created");
    symlink(java.trim(), programs.join("java")).expect("linked");
    let without_maven = || fetch().env("PATH", &programs).output().expect("it runs");
    assert_eq!(without_maven().status.code(), Some(0));

    // A file that was cut is noticed; without Maven there is nothing to do but to say so.
    let jar = fs::read_dir(dir.path())
        .expect("listed")
        .filter_map(|entry| fs::read_dir(entry.ok()?.path().join("kafka")).ok())
        .flatten()
        .find_map(|jar| Some(jar.ok()?.path()))
        .expect("a jar");
    fs::write(&jar, "").expect("cut");
    let output = without_maven();
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).starts_with("sisdmk-stack: failed to find mvn: "), "{}", stderr(&output));
}
