//! Ways to break a stage on purpose, for the fault tests: it exists under the feature `sabotage` alone, which no default
//! and no release build has.
//!
//! A **fail point** is a place at which a test can end or stop the process: it writes a file named after the point into the
//! folder `SISDMK_FAIL_POINTS`, and the first process that comes by takes it and obeys. A **sabotage** takes one of the
//! product's promises away, to see that the tests notice: their names stand in `SISDMK_SABOTAGE`, comma-separated.
//! A **wrong clock** goes so many seconds off as the file `SISDMK_CLOCK` says, and jumps when that file changes.
//! Without these variables such a build does what every other one does.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// One promise taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The processor commits its positions before its records.
    OffsetBeforeProduce,
    /// The sink writes whatever comes, older or not.
    NoNewerGuard,
    /// A member of a group reads records of transactions that are open or aborted.
    ReadUncommitted,
    /// A transactional producer goes on after an end that nobody can tell.
    ReuseProducer,
    /// The sink moves its position whatever it is.
    NoCompareAndSet,
}

impl Sabotage {
    /// Its name in `SISDMK_SABOTAGE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OffsetBeforeProduce => "offset-before-produce",
            Self::NoNewerGuard => "no-newer-guard",
            Self::ReadUncommitted => "read-uncommitted",
            Self::ReuseProducer => "reuse-producer",
            Self::NoCompareAndSet => "no-compare-and-set",
        }
    }

    /// Whether it is to be done in this process.
    #[must_use]
    pub fn is_on(self) -> bool {
        static NAMED: OnceLock<String> = OnceLock::new();
        #[expect(clippy::disallowed_methods, reason = "a switch of test builds, not a setting of the product")]
        let named = NAMED.get_or_init(|| std::env::var("SISDMK_SABOTAGE").unwrap_or_default());
        named.split(',').any(|name| name == self.name())
    }
}

/// A place that a test may name. The file's text says what happens: `kill` (as `kill -9`), `stop` (SIGSTOP, until somebody
/// sends SIGCONT). The file is renamed to `<point>.<pid>.<number>.hit` first, so that it is obeyed once and can be counted.
pub fn point(name: &str) {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    static HITS: AtomicU32 = AtomicU32::new(0);
    #[expect(clippy::disallowed_methods, reason = "a switch of test builds, not a setting of the product")]
    let folder = FOLDER.get_or_init(|| std::env::var_os("SISDMK_FAIL_POINTS").map(PathBuf::from));
    let Some(folder) = folder else { return };
    let armed = folder.join(name);
    let Ok(act) = fs::read_to_string(&armed) else { return };
    let hit = HITS.fetch_add(1, Ordering::Relaxed);
    let taken = folder.join(format!("{name}.{}.{hit}.hit", std::process::id()));
    if fs::rename(&armed, taken).is_err() {
        // Another process was faster.
        return;
    }
    let signal = match act.trim() {
        "kill" => libc::SIGKILL,
        "stop" => libc::SIGSTOP,
        other => panic!("fail point {name}: `{other}` is not an act"),
    };
    #[expect(
        unsafe_code,
        reason = "raise(3): to this thread, which then does nothing more before the process stands still"
    )]
    // SAFETY: no memory is passed.
    unsafe {
        libc::raise(signal);
    }
}

/// The time of day by the clock of the host as a test has set it.
#[must_use]
pub fn wrong(now: SystemTime) -> SystemTime {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "a switch of test builds, not a setting of the product")]
    let file = FILE.get_or_init(|| std::env::var_os("SISDMK_CLOCK").map(PathBuf::from));
    let Some(file) = file else { return now };
    let seconds: i64 = fs::read_to_string(file).expect("the clock's file").trim().parse().expect("seconds");
    let off = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { now - off } else { now + off }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_for_tests_does_nothing_unless_it_is_told() {
        for sabotage in [
            Sabotage::OffsetBeforeProduce,
            Sabotage::NoNewerGuard,
            Sabotage::ReadUncommitted,
            Sabotage::ReuseProducer,
            Sabotage::NoCompareAndSet,
        ] {
            assert!(!sabotage.is_on(), "{}", sabotage.name());
        }
        // Would end this process.
        point("flushed");
        assert_eq!(wrong(SystemTime::UNIX_EPOCH), SystemTime::UNIX_EPOCH);
    }
}
