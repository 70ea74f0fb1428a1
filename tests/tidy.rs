//! The layout rules: which crate may use which, one home for each client library, files that stay small.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each of our crates may use. `docs/ARCHITECTURE.md` draws it.
const ARROWS: [(&str, &[&str]); 11] = [
    ("schemas", &[]),
    ("rules", &["schemas"]),
    ("platform", &[]),
    ("producer", &["platform", "schemas"]),
    ("processor", &["platform", "schemas", "rules"]),
    ("sink", &["platform", "schemas"]),
    ("console", &["platform", "schemas", "rules", "sink", "producer"]),
    ("simulator", &[]),
    ("stack", &[]),
    ("tests", &["schemas", "rules", "platform", "producer", "processor", "sink", "console", "simulator", "stack"]),
    // It asks the stages through the harness only, as anybody outside could; the processor's library does its work once more
    // without transactions, to see what those cost.
    ("bench", &["schemas", "rules", "platform", "processor", "stack", "tests"]),
];

/// What else the console may name of the stages it looks into.
const CONSOLE_MAY_NAME: [(&str, &[&str]); 2] = [("sink::", &["migrations"]), ("producer::", &["profile", "probe"])];

/// Client libraries and the only crates of ours that may name them.
const HOMES: [(&str, &[&str]); 6] = [
    ("rdkafka", &["platform", "tests"]),
    ("object_store", &["producer"]),
    ("opentelemetry", &["platform"]),
    ("opentelemetry-otlp", &["platform"]),
    ("schema_registry_converter", &["platform", "console"]),
    ("sqlx", &["sink", "console", "tests"]),
];

/// Lines of a Rust file beyond which nobody would know their way; tests in the file count too.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the workspace").to_path_buf()
}

/// Ordinary, build and optional dependencies by crate; what only tests use is not an arrow.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let names = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| dependency["name"].as_str().expect("name").to_owned())
                .collect();
            (package["name"].as_str().expect("name").to_owned(), names)
        })
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let dependencies = dependencies();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let members: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(members, ours, "a crate of the workspace is missing in ARROWS, or the other way round");
    for (name, allowed) in ARROWS {
        for dependency in dependencies[name].iter().filter(|name| ours.contains(name.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{name} may not use {dependency}");
        }
    }
}

#[test]
fn no_default_and_no_release_build_can_be_sabotaged() {
    for (name, _) in ARROWS {
        let text = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("Cargo.toml");
        let manifest: toml::Table = text.parse().expect("TOML");
        let features = manifest.get("features").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        // No default at all: a feature that switched the sabotage on could hide behind one that is on by default.
        assert!(!features.contains_key("default"), "{name} has default features");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let used = manifest.get(section).map(ToString::to_string).unwrap_or_default();
            assert!(!used.contains("sabotage"), "{name} switches the sabotage on in {section}");
        }
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    assert!(!workspace.contains("sabotage"), "the workspace switches the sabotage on");
    for file in ["Dockerfile", "docker-compose.yml", "scripts/install.sh", ".ci/run"] {
        let text = fs::read_to_string(root().join(file)).expect("readable");
        assert!(!text.contains("sabotage") && !text.contains("all-features"), "{file}");
    }
    let makefile = fs::read_to_string(root().join("Makefile")).expect("Makefile");
    for line in makefile.lines().filter(|line| line.contains("cargo build")) {
        assert!(!line.contains("features"), "{line}");
    }
}

#[test]
fn a_program_without_a_test_runner_has_no_tests() {
    for (name, _) in ARROWS {
        let folder = root().join(name);
        let text = fs::read_to_string(folder.join("Cargo.toml")).expect("Cargo.toml");
        let manifest: toml::Table = text.parse().expect("TOML");
        for program in manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten() {
            let path = folder.join(program["path"].as_str().expect("a path"));
            let text = fs::read_to_string(&path).expect("readable");
            let is_tested = program.get("test").and_then(toml::Value::as_bool).unwrap_or(true);
            // Whatever else it had, a module for one, could bring tests that nobody would run.
            let only_main = ["mod ", "#["].iter().all(|word| !text.contains(word));
            assert!(is_tested || only_main, "{}: `test = false`, and more than a main", path.display());
        }
    }
}

#[test]
fn each_client_library_has_one_home() {
    for (name, dependencies) in dependencies() {
        for (library, homes) in HOMES {
            assert!(
                !dependencies.contains(library) || homes.contains(&name.as_str()),
                "{name} may not use {library}: it belongs to {homes:?}"
            );
        }
    }
}

#[test]
fn the_console_looks_into_stages_through_named_doors() {
    for file in rust_files(&root().join("console/src")) {
        let text = fs::read_to_string(&file).expect("readable");
        for (stage, doors) in CONSOLE_MAY_NAME {
            for (start, _) in text.match_indices(stage) {
                let before = text[..start].chars().next_back();
                let path = &text[start + stage.len()..];
                assert!(
                    before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '"')
                        || doors.iter().any(|door| path.starts_with(door)),
                    "{}: {stage}{}",
                    file.display(),
                    path.chars().take(20).collect::<String>()
                );
            }
        }
    }
}

#[test]
fn the_middle_of_a_stage_is_pure() {
    for stage in ["producer", "processor", "sink"] {
        let source = root().join(stage).join("src");
        for file in rust_files(&source) {
            let inside = file.strip_prefix(&source).expect("inside").display().to_string();
            let edge = inside.starts_with("edge") || ["lib.rs", "main.rs", "config.rs"].contains(&inside.as_str());
            if edge || inside.starts_with("migrations") {
                continue;
            }
            let text = fs::read_to_string(&file).expect("readable");
            for word in
                ["async fn", ".await", "Instant::now", "SystemTime::now", "clock::now", "rdkafka::", "reqwest::"]
            {
                assert!(!text.contains(word), "{}: `{word}` belongs into edge/", file.display());
            }
        }
    }
}

#[test]
fn files_stay_small_enough_to_read() {
    for (name, _) in ARROWS {
        for file in rust_files(&root().join(name)) {
            let lines = fs::read_to_string(&file).expect("readable").lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines", file.display());
        }
    }
}

#[test]
fn the_independent_truth_judges_by_the_same_tables() {
    for table in ["wilayah.csv", "wilayah_pemekaran.csv", "wilayah_kecamatan.csv"] {
        let ours = fs::read(root().join("rules/data").join(table)).expect("rules/data");
        let theirs = fs::read(root().join("simulator/data").join(table)).expect("simulator/data");
        assert!(ours == theirs, "{table} differs between rules/data and simulator/data");
    }
}

#[test]
fn readme_lists_every_folder() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    for (name, _) in ARROWS {
        assert!(readme.contains(&format!("{name}/")), "README.md does not list {name}/");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{} holds no Rust file", folder.display());
    found
}
