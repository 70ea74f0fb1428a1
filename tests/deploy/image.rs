//! `Dockerfile` and `.dockerignore`.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::deployment::{Deployment, root, text};
use crate::hardening::{between, is_pinned};
use crate::programs::{built, command};

/// Which Debian package holds a library that our programs are linked with; none: in the base image.
const LIBRARIES: [(&str, Option<&str>); 10] = [
    ("libssl.so.3", Some("libssl3")),
    ("libcrypto.so.3", Some("libssl3")),
    ("libz.so.1", Some("zlib1g")),
    ("libc.so.6", None),
    ("libm.so.6", None),
    ("libgcc_s.so.1", None),
    ("libstdc++.so.6", None),
    ("linux-vdso.so.1", None),
    ("ld-linux-x86-64.so.2", None),
    ("ld-linux-aarch64.so.1", None),
];

/// Instructions with their continuation lines joined and comments left out.
fn instructions(dockerfile: &str) -> Vec<String> {
    let lines: Vec<&str> = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined.lines().filter(|line| !line.trim().is_empty()).map(|line| words(line).join(" ")).collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

pub(crate) fn faults(deployment: &Deployment) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = instructions(&deployment.dockerfile);
    let bases: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_prefix("FROM ")).filter_map(|rest| rest.split(' ').next()).collect();
    let [build, last] = bases[..] else { return vec!["Dockerfile: two stages are expected".to_owned()] };
    for base in [build, last] {
        let (name, tag) = base.split_once(':').unwrap_or((base, ""));
        if !["rust", "debian"].contains(&name) || !is_pinned(tag) {
            faults.push(format!("Dockerfile: base image {base} is not rust or debian of one release"));
        }
    }
    let toolchain = between(&text("rust-toolchain.toml"), "channel = \"", "\"").unwrap_or_default();
    if !build.starts_with(&format!("rust:{toolchain}-")) {
        faults.push(format!("Dockerfile: {build} is not Rust {toolchain} of rust-toolchain.toml"));
    }
    if !(build.ends_with("-bookworm") && last.starts_with("debian:12.")) {
        faults.push(format!("Dockerfile: {build} and {last} are not the same Debian"));
    }
    let cut = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap_or(0);
    let (first, end) = lines.split_at(cut);
    faults.extend(user(deployment, end));
    faults.extend(packages(&lines, end));
    faults.extend(programs(deployment, first, end));
    faults.extend(copies(&lines));
    faults.extend(ignored(deployment));
    faults
}

fn user(deployment: &Deployment, end: &[String]) -> Vec<String> {
    let user = end.iter().rev().find_map(|line| line.strip_prefix("USER ")).unwrap_or("root");
    let mut faults = Vec::new();
    if user.split(':').any(|id| id.parse::<u32>().map_or(true, |id| id == 0)) {
        faults.push(format!("Dockerfile: USER {user} is not a number other than root's"));
    }
    let ours = deployment.services().into_iter().filter(|(_, service)| Deployment::is_ours(service));
    for (name, _) in ours.filter(|(_, service)| service["user"] != user) {
        faults.push(format!("service {name}: it does not run as {user}, whose the image is"));
    }
    faults
}

fn packages(lines: &[String], end: &[String]) -> Vec<String> {
    let mut faults: Vec<String> = lines
        .iter()
        .filter(|line| line.contains("apt-get install"))
        .filter(|line| {
            !line.contains("--no-install-recommends")
                || !line.contains("apt-get update")
                || !line.contains("rm -rf /var/lib/apt/lists/*")
        })
        .map(|line| format!("Dockerfile: `{line}` leaves lists behind, uses old ones or takes recommended packages"))
        .collect();
    let installed: BTreeSet<&str> = end.iter().flat_map(|line| words(line)).collect();
    let ldd = Command::new("ldd").arg(built("sisdmk-producer").expect("built")).output().expect("ldd runs");
    for line in String::from_utf8_lossy(&ldd.stdout).lines() {
        let library = line.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        match LIBRARIES.iter().find(|(name, _)| *name == library) {
            None => faults.push(format!("Dockerfile: nobody has said which package holds {library}")),
            Some((_, Some(package))) if !installed.contains(package) => {
                faults.push(format!("Dockerfile: {library} needs the package {package}"));
            }
            Some(_) => {}
        }
    }
    if !installed.contains("ca-certificates") {
        faults.push("Dockerfile: without ca-certificates no https source can be verified".to_owned());
    }
    faults
}

/// Programs that exist in the workspace, by name, with their crates.
fn workspace() -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for package in list(&metadata["packages"]) {
        for target in list(&package["targets"]).iter().filter(|target| target["kind"][0] == "bin") {
            let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
            found.push((name(target), name(&package)));
        }
    }
    found
}

fn programs(deployment: &Deployment, first: &[String], end: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let workspace = workspace();
    let build: BTreeSet<&str> = first.iter().flat_map(|line| words(line)).collect();
    if !build.contains("--locked") || !build.contains("--release") {
        faults.push("Dockerfile: cargo builds without --locked --release".to_owned());
    }
    let ours = deployment.services().into_iter().filter(|(_, service)| Deployment::is_ours(service));
    let used: BTreeSet<String> = ours.filter_map(|(_, service)| command(service).into_iter().next()).collect();
    for program in &used {
        let Some((_, package)) = workspace.iter().find(|(name, _)| name == program) else {
            faults.push(format!("Dockerfile: {program} is no program of the workspace"));
            continue;
        };
        let built = first.iter().any(|line| line.contains(&format!("--package {package} ")));
        if !built || !build.contains(format!("target/release/{program}").as_str()) {
            faults.push(format!("Dockerfile: {program} of {package} is not built and copied"));
        }
    }
    if !end.iter().any(|line| line == "COPY --from=build /programs/ /usr/local/bin/") {
        faults.push("Dockerfile: the programs are not copied into the image".to_owned());
    }
    faults
}

/// What is copied from the repository is there; nothing is fetched by address.
fn copies(lines: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for line in lines {
        if line.starts_with("ADD ") || line.contains("://") {
            faults.push(format!("Dockerfile: `{line}` fetches something that nobody has pinned"));
        }
        let Some(rest) = line.strip_prefix("COPY ").filter(|rest| !rest.contains("--from=")) else { continue };
        let paths: Vec<&str> = rest.split(' ').filter(|word| !word.starts_with("--")).collect();
        for source in paths.iter().take(paths.len().saturating_sub(1)) {
            if !root().join(source).exists() {
                faults.push(format!("Dockerfile: {source} is not in the repository"));
            }
        }
    }
    faults
}

fn ignored(deployment: &Deployment) -> Vec<String> {
    let lines: BTreeSet<&str> = deployment.dockerignore.lines().collect();
    let must = [".git", ".env", "secrets", "target"].into_iter().filter(|name| !lines.contains(name));
    let mut faults: Vec<String> = must.map(|name| format!(".dockerignore: {name} would go into the build")).collect();
    let manifest: toml::Table = text("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let members = manifest["workspace"]["members"].as_array().into_iter().flatten().filter_map(toml::Value::as_str);
    for needed in members.chain(["Cargo.toml", "Cargo.lock", "deploy", ".cargo"]) {
        if lines.contains(needed) || lines.contains(format!("/{needed}").as_str()) {
            faults.push(format!(".dockerignore: cargo needs {needed}"));
        }
    }
    faults
}
