//! The jars of Kafka, the registry and Connect: fetched once with Maven, checked, then used without network.
//!
//! They live outside `target/`, so that `cargo clean` does not cost a download. There are two
//! bundles, so that only who asks for Connect downloads it. The directory of a bundle is named after everything that decides its content; it appears by one rename, complete or not at
//! all; of two processes that fill it at the same time, one waits for the other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::checksums::{self, Checksums};
use crate::error::StackError;
use crate::java::{self, Archives, Java};
use crate::process::{self, Bond, POLL};
use crate::server::Server;
use crate::tools;

/// Compiled in, so that the program needs no source tree beside it.
const POM: &str = include_str!("../pom.xml");
/// See [`checksums::parse`] for the format.
pub(crate) const CHECKSUMS: &str = include_str!("../checksums.sha256");

/// What is fetched together.
struct Bundle {
    pom: &'static str,
    checksums: &'static str,
}

/// What every stack needs.
const SERVERS: Bundle = Bundle { pom: POM, checksums: CHECKSUMS };
const CONNECT: Bundle =
    Bundle { pom: include_str!("../connect/pom.xml"), checksums: include_str!("../connect/checksums.sha256") };

impl Bundle {
    fn dir(&self, root: &Path) -> PathBuf {
        root.join(key(self.pom, self.checksums))
    }

    /// Its directory, fetched first if this machine does not have it yet.
    fn get(&self, root: &Path, cancel: &AtomicBool) -> Result<PathBuf, StackError> {
        let dir = self.dir(root);
        if !is_complete(&dir) {
            fill(self, root, &dir, cancel)?;
        }
        Ok(dir)
    }
}

/// Name and size of every file of a complete cache; the last file to be written.
const INVENTORY: &str = "inventory.json";
const MAVEN_LINES: usize = 8;

/// Where the programs of the Java servers are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// A directory of jars.
    pub(crate) kafka: PathBuf,
    /// The directory with the unpacked registry.
    pub(crate) registry: PathBuf,
    /// See [`record_archives`].
    pub(crate) archives: Archives,
}

/// Path below the cache -> length in bytes.
type Inventory = BTreeMap<String, u64>;

/// The programs, fetched first if this machine does not have them yet.
pub(crate) fn programs(java: &Java, cancel: &AtomicBool) -> Result<Programs, StackError> {
    let dir = SERVERS.get(&root_here()?, cancel)?;
    let archives = archives_in(&dir, java);
    Ok(Programs {
        kafka: dir.join("kafka"),
        registry: dir.join("registry"),
        archives: if archives.is_dir() { Archives::Use(archives) } else { Archives::None },
    })
}

/// The directory with the jars of Connect, fetched first if this machine does not have them yet.
pub(crate) fn connect_jars(cancel: &AtomicBool) -> Result<PathBuf, StackError> {
    Ok(CONNECT.get(&root_here()?, cancel)?.join("connect"))
}

/// Has `run` start and end the servers once in an empty directory, so that they record archives
/// of their classes for all later starts. Does nothing when this Java has them already.
pub(crate) fn record_archives(
    java: &Java,
    mut programs: Programs,
    run: impl FnOnce(&Path, &Programs) -> Result<(), StackError>,
) -> Result<(), StackError> {
    let root = root_here()?;
    let archives = archives_in(&SERVERS.dir(&root), java);
    let _lock = lock(&root)?;
    if archives.is_dir() {
        return Ok(());
    }
    let work = root.join("recording");
    remove(&work)?;
    let new = work.join("archives");
    fs::create_dir_all(&new).map_err(StackError::io("create", &new))?;
    programs.archives = Archives::Record(new.clone());
    run(&work.join("stack"), &programs)?;
    for server in [Server::Kafka, Server::Registry] {
        let archive = java::archive_in(&new, server);
        fs::metadata(&archive).map_err(StackError::io("record", &archive))?;
    }
    fs::rename(&new, &archives).map_err(StackError::io("create", &archives))?;
    remove(&work)
}

fn archives_in(dir: &Path, java: &Java) -> PathBuf {
    dir.join(format!("archives-{}", java.fingerprint))
}

/// Where downloads outlive `cargo clean`: `SISDMK_CACHE`, else a directory in the user's cache.
///
/// # Errors
/// The environment names no place.
pub fn root_here() -> Result<PathBuf, StackError> {
    root(tools::variable("SISDMK_CACHE"), tools::variable("XDG_CACHE_HOME"), tools::variable("HOME"))
}

/// One process at a time writes to the cache. The kernel gives the lock back when the process
/// ends, however it ends.
fn lock(root: &Path) -> Result<File, StackError> {
    fs::create_dir_all(root).map_err(StackError::io("create", root))?;
    let path = root.join("lock");
    let lock = File::create(&path).map_err(StackError::io("create", &path))?;
    lock.lock().map_err(StackError::io("lock", &path))?;
    Ok(lock)
}

/// `SISDMK_CACHE`, else a directory in the user's cache.
fn root(own: Option<OsString>, xdg: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, StackError> {
    let given = |value: Option<OsString>| value.filter(|v| !v.is_empty());
    let root = if let Some(own) = given(own) {
        PathBuf::from(own)
    } else if let Some(xdg) = given(xdg) {
        PathBuf::from(xdg).join("sisdmk-stack")
    } else if let Some(home) = given(home) {
        PathBuf::from(home).join(".cache/sisdmk-stack")
    } else {
        return Err(StackError::MissingTool {
            tool: "a place for the downloaded jars",
            remedy: "neither HOME nor SISDMK_CACHE is set; set SISDMK_CACHE to a directory".to_owned(),
        });
    };
    // The servers start in directories of their own.
    std::path::absolute(&root).map_err(StackError::io("find", &root))
}

fn key(pom: &str, checksums: &str) -> String {
    // The lengths keep apart what mere concatenation would not.
    let text = format!("{}:{}:{pom}{checksums}", pom.len(), checksums.len());
    let mut digest = checksums::digest_of_bytes(text.as_bytes());
    digest.truncate(16);
    digest
}

/// A cheap look at each start: every file there with its length. Content was checked when the
/// cache was filled, and whoever may write here may also replace this program.
fn is_complete(dir: &Path) -> bool {
    let Ok(text) = fs::read_to_string(dir.join(INVENTORY)) else {
        return false;
    };
    let Ok(inventory) = serde_json::from_str::<Inventory>(&text) else {
        return false;
    };
    !inventory.is_empty()
        && inventory.iter().all(|(file, length)| fs::metadata(dir.join(file)).is_ok_and(|meta| meta.len() == *length))
}

fn fill(bundle: &Bundle, root: &Path, dir: &Path, cancel: &AtomicBool) -> Result<(), StackError> {
    let _lock = lock(root)?;
    if is_complete(dir) {
        return Ok(());
    }
    // Under the lock nobody else works here: what is there is left from a process that died.
    let partial = root.join("partial");
    for left in [partial.as_path(), dir] {
        remove(left)?;
    }
    fs::create_dir_all(&partial).map_err(StackError::io("create", &partial))?;
    fetch(bundle.pom, &partial, cancel)?;
    check(bundle.checksums, &partial)?;
    let registry = partial.join("registry");
    if registry.is_dir() {
        unpack_registry(&registry)?;
    }
    let inventory = files_below(&partial, |path| Ok(fs::metadata(path)?.len()))?;
    let text = serde_json::to_string(&inventory).expect("names and numbers become JSON");
    let path = partial.join(INVENTORY);
    fs::write(&path, text).map_err(StackError::io("write", &path))?;
    fs::rename(&partial, dir).map_err(StackError::io("create", dir))
}

fn fetch(pom_text: &str, out: &Path, cancel: &AtomicBool) -> Result<(), StackError> {
    let maven = tools::on_path("mvn").ok_or_else(|| StackError::MissingTool {
        tool: "mvn",
        remedy:
            "the jars of Kafka and the registry are fetched with Maven, once; install it with `apt-get install maven`"
                .to_owned(),
    })?;
    let pom = out.join("pom.xml");
    fs::write(&pom, pom_text).map_err(StackError::io("write", &pom))?;
    let log_path = out.join("maven.log");
    let log = File::create(&log_path).map_err(StackError::io("create", &log_path))?;
    let errors = log.try_clone().map_err(StackError::io("open", &log_path))?;
    // With the user's whole environment: proxies and mirrors are set there.
    let mut command = Command::new(&maven);
    command
        .args(["-B", "-ntp", "-q", "-f"])
        .arg(&pom)
        .arg("generate-resources")
        .arg(format!("-Dsisdmk.out={}", out.display()))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    let mut child =
        process::spawn(command, Bond::DiesWithOwner(libc::SIGKILL)).map_err(StackError::io("run", &maven))?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(StackError::io("run", &maven))? {
            break status;
        }
        if cancel.load(Ordering::Relaxed) {
            // Maven is a shell script around Java; without its child it ends by itself.
            if let Some(id) = process::ProcessId::of(child.id()) {
                id.family().iter().for_each(|member| member.signal(libc::SIGKILL));
            }
            let _ = child.wait();
            return Err(StackError::Interrupted);
        }
        thread::sleep(POLL);
    };
    if !status.success() {
        let said = fs::read_to_string(&log_path).unwrap_or_default();
        return Err(StackError::Download { detail: summary(&said) });
    }
    for file in [&pom, &log_path] {
        fs::remove_file(file).map_err(StackError::io("remove", file))?;
    }
    Ok(())
}

/// The first errors of Maven: they say what failed, the last ones advertise its help pages.
fn summary(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|line| line.contains("ERROR")).take(MAVEN_LINES).collect();
    if lines.is_empty() { "it gave no reason".to_owned() } else { lines.join("\n") }
}

fn check(checksums: &str, dir: &Path) -> Result<(), StackError> {
    let expected: Checksums = checksums::parse(checksums)
        .map_err(|detail| StackError::Checksum { file: "checksums.sha256".to_owned(), detail })?;
    let found = files_below(dir, checksums::digest_of)?;
    match checksums::compare(&expected, &found) {
        None => Ok(()),
        Some((file, detail)) => Err(StackError::Checksum { file, detail }),
    }
}

fn unpack_registry(dir: &Path) -> Result<(), StackError> {
    let tar = tools::on_path("tar").ok_or_else(|| StackError::MissingTool {
        tool: "tar",
        remedy: "it unpacks the registry; install it with `apt-get install tar gzip`".to_owned(),
    })?;
    let archives = files_below(dir, |_| Ok(()))?;
    let archive =
        archives.keys().find(|name| name.ends_with(".tar.gz")).map(|name| dir.join(name)).ok_or_else(|| {
            StackError::Checksum { file: dir.display().to_string(), detail: "it holds no .tar.gz".to_owned() }
        })?;
    let output = Command::new(&tar)
        .args(["--no-same-owner", "-xzf"])
        .arg(&archive)
        .arg("-C")
        .arg(dir)
        .output()
        .map_err(StackError::io("run", &tar))?;
    if !output.status.success() {
        return Err(StackError::Io {
            action: "unpack",
            path: archive,
            source: io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()),
        });
    }
    fs::remove_file(&archive).map_err(StackError::io("remove", &archive))
}

/// Something about every file below a directory, by its path relative to it.
fn files_below<T>(dir: &Path, about: impl Fn(&Path) -> io::Result<T>) -> Result<BTreeMap<String, T>, StackError> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(current) = open.pop() {
        let entries = fs::read_dir(&current).map_err(StackError::io("list", &current))?;
        for entry in entries {
            let path = entry.map_err(StackError::io("list", &current))?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let value = about(&path).map_err(StackError::io("read", &path))?;
                let name = path.strip_prefix(dir).unwrap_or(&path);
                files.insert(name.to_string_lossy().into_owned(), value);
            }
        }
    }
    Ok(files)
}

fn remove(dir: &Path) -> Result<(), StackError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StackError::io("remove", dir)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_cache_follows_the_environment() {
        let check = |own: Option<&str>, xdg: Option<&str>, home: Option<&str>, expected| {
            let os = |value: Option<&str>| value.map(OsString::from);
            let found = root(os(own), os(xdg), os(home)).ok();
            assert_eq!(found, Option::<&str>::map(expected, PathBuf::from));
        };
        check(Some("/c"), Some("/x"), Some("/h"), Some("/c"));
        check(None, Some("/x"), Some("/h"), Some("/x/sisdmk-stack"));
        check(Some(""), None, Some("/h"), Some("/h/.cache/sisdmk-stack"));
        check(None, None, None, None);
    }

    #[test]
    fn the_key_changes_with_the_versions_and_with_the_checksums() {
        assert_eq!(key("a", "b").len(), 16);
        assert_ne!(key("a", "b"), key("a", "c"));
        assert_ne!(key("a", "b"), key("c", "b"));
        assert_ne!(key("ab", "c"), key("a", "bc"));
    }

    #[test]
    fn a_cache_is_complete_only_with_every_file_at_its_length() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        assert!(!is_complete(dir.path()));
        fs::write(path(INVENTORY), r#"{"a.jar":3}"#).expect("written");
        assert!(!is_complete(dir.path()), "the file is missing");
        fs::write(path("a.jar"), "ab").expect("written");
        assert!(!is_complete(dir.path()), "the file is cut");
        fs::write(path("a.jar"), "abc").expect("written");
        assert!(is_complete(dir.path()));
        fs::write(path(INVENTORY), "{}").expect("written");
        assert!(!is_complete(dir.path()), "an empty inventory proves nothing");
    }

    #[test]
    fn an_unlisted_file_stops_the_filling() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("kafka")).expect("created");
        fs::write(dir.path().join("kafka/stranger.jar"), "x").expect("written");
        let error = check(CHECKSUMS, dir.path()).expect_err("refused");
        assert!(error.to_string().starts_with("trust kafka/stranger.jar"));
        assert_eq!(error.exit_code(), 3);
    }

    #[test]
    fn the_summary_of_maven_is_its_first_errors() {
        assert_eq!(summary("x\n[ERROR] a\ny\n[ERROR] b"), "[ERROR] a\n[ERROR] b");
        assert_eq!(summary(""), "it gave no reason");
    }
}
