//! The Java that runs Kafka and the registry.

use std::path::{Path, PathBuf};

use crate::checksums;
use crate::error::StackError;
use crate::server::Server;
use crate::tools;

/// Kafka 4 needs 17; the registry is the newest that runs on it.
const JAVA_VERSION_MIN: u32 = 17;

/// A Java that is new enough.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    pub(crate) program: PathBuf,
    /// Changes with the release: what one Java has recorded about classes, another cannot read.
    pub(crate) fingerprint: String,
}

/// Classes of a server, parsed and laid out as they will be in memory. A start with such an
/// archive takes about half the time. A Java that does not like its archive starts without.
#[derive(Debug, Clone, Default)]
pub(crate) enum Archives {
    #[default]
    None,
    /// One file for each server, in this directory.
    Use(PathBuf),
    /// The same, written when the server ends.
    Record(PathBuf),
}

impl Archives {
    /// The flag for one server.
    pub(crate) fn flag(&self, server: Server) -> Option<String> {
        let (flag, dir) = match self {
            Self::None => return None,
            Self::Use(dir) => ("SharedArchiveFile", dir),
            Self::Record(dir) => ("ArchiveClassesAtExit", dir),
        };
        Some(format!("-XX:{flag}={}", archive_in(dir, server).display()))
    }
}

/// The archive of one server.
pub(crate) fn archive_in(dir: &Path, server: Server) -> PathBuf {
    dir.join(server.name()).with_extension("jsa")
}

/// The `java` on the PATH, once it has said that it is new enough.
pub(crate) fn find() -> Result<Java, StackError> {
    let java = tools::on_path("java").ok_or_else(|| StackError::MissingTool {
        tool: "java",
        remedy: "Kafka and the registry need Java 17 or newer on PATH; install it with `apt-get install openjdk-17-jre-headless`".to_owned(),
    })?;
    let output = tools::command(&java).arg("-version").output().map_err(StackError::io("run", &java))?;
    let text = String::from_utf8_lossy(&output.stderr);
    match version(&text) {
        Some((major, _)) if major >= JAVA_VERSION_MIN => {
            let mut fingerprint = checksums::digest_of_bytes(&output.stderr);
            fingerprint.truncate(16);
            Ok(Java { program: java, fingerprint })
        }
        Some((_, found)) => Err(StackError::OldJava { program: java, found }),
        None => Err(StackError::OldJava { program: java, found: "of unknown version".to_owned() }),
    }
}

/// Flags that fit a small machine: one collector thread and only the quick compiler, which starts
/// faster and needs less memory; the broker's hot work is copying and checksums, not Java code.
pub(crate) fn flags(heap_start_mb: u32, heap_max_mb: u32, tmp: &Path) -> Vec<String> {
    vec![
        format!("-Xms{}m", heap_start_mb.min(heap_max_mb)),
        format!("-Xmx{heap_max_mb}m"),
        "-XX:+UseSerialGC".to_owned(),
        "-XX:TieredStopAtLevel=1".to_owned(),
        // A server without memory must end and be seen, not limp on.
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
        // Else each process leaves a file of counters in /tmp when it is killed.
        "-XX:-UsePerfData".to_owned(),
        "-Djava.awt.headless=true".to_owned(),
        format!("-Djava.io.tmpdir={}", tmp.display()),
    ]
}

/// Major version and full text, from the first line of `java -version`.
fn version(text: &str) -> Option<(u32, String)> {
    // Other lines may come first, for example "Picked up JAVA_TOOL_OPTIONS".
    let line = text.lines().find(|line| line.contains("version \""))?;
    let full = line.split('"').nth(1)?;
    let mut parts = full.split(['.', '_', '-', '+']);
    let first: u32 = parts.next()?.parse().ok()?;
    // Until 8 the numbers were written 1.8.0.
    let major = if first == 1 { parts.next()?.parse().ok()? } else { first };
    Some((major, full.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_old_and_new_forms() {
        let check = |line: &str, expected: Option<u32>| {
            assert_eq!(version(line).map(|(major, _)| major), expected, "{line}");
        };
        check("openjdk version \"17.0.15\" 2025-04-15", Some(17));
        check("Picked up X\nopenjdk version \"21\" 2023-09-19", Some(21));
        check("java version \"1.8.0_202\"", Some(8));
        check("openjdk version \"25-ea\" 2025-09-16", Some(25));
        check("no java here", None);
        check("version \"\"", None);
    }
}
