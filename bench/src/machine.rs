//! Where and when it was measured.

use std::fs;
use std::process::Command;
use std::thread;

use platform::clock::{now_micros, rfc3339};
use serde::Serialize;

/// The machine, the day and the version.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Processors that this program may use.
    pub cores: usize,
    /// Their model.
    pub cpu: String,
    /// Memory, in GiB.
    pub memory_gib: u64,
    /// Kernel release.
    pub kernel: String,
    /// When the measuring ended, UTC.
    pub at: String,
    /// Commit of the working tree; with `+` where files differ from it.
    pub commit: String,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            cores: thread::available_parallelism().map_or(0, usize::from),
            cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or("unknown").to_owned(),
            memory_gib: memory_gib(&read("/proc/meminfo")).unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            at: rfc3339(now_micros()).get(..16).unwrap_or_default().replace('T', " ") + " UTC",
            commit: commit(),
        }
    }
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.trim_start().strip_prefix(':')?.trim()))
}

/// Rounded: a machine of 24 GiB says a little less.
fn memory_gib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib + 512 * 1024) / (1024 * 1024))
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown".to_owned() };
    let clean = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| changes.is_empty());
    if clean { commit } else { commit + "+" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read_from_what_the_kernel_says() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 9B45\nprocessor\t: 1\n";
        assert_eq!(cpu_model(cpuinfo), Some("AMD EPYC 9B45"));
        assert_eq!(cpu_model("processor\t: 0\n"), None);
        assert_eq!(memory_gib("MemTotal:       24689344 kB\nMemFree: 1 kB\n"), Some(24));
        assert_eq!(memory_gib(""), None);
    }
}
