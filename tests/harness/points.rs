//! Fail points of stages that were built with the feature `sabotage`: a test names the next place at which a process ends
//! or stops.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

/// A transaction of Kafka is open and everything sent is on the broker; nobody has asked to end it.
pub const FLUSHED: &str = "flushed";
/// It was ended, and the process has not taken note of it.
pub const ENDED: &str = "ended";
/// The sink has a batch, and no transaction of the database yet.
pub const BATCH_READY: &str = "batch_ready";
/// Rows, position and reports are written and not committed.
pub const ROWS_WRITTEN: &str = "rows_written";
/// They are committed, and the sink has not taken note of it.
pub const ROWS_COMMITTED: &str = "rows_committed";

/// What a process does at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// As `kill -9`.
    Kill,
    /// SIGSTOP, until somebody sends SIGCONT.
    Stop,
}

/// The points of the processes of one stage.
#[derive(Clone, Debug)]
pub struct FailPoints {
    folder: PathBuf,
}

impl FailPoints {
    pub(crate) fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    pub(crate) fn environment(&self) -> (String, String) {
        ("SISDMK_FAIL_POINTS".to_owned(), self.folder.display().to_string())
    }

    /// The next process that comes by obeys, once.
    pub fn arm(&self, point: &str, act: Act) -> Result<()> {
        let text = match act {
            Act::Kill => "kill",
            Act::Stop => "stop",
        };
        // Written elsewhere first: a process must not find half a word.
        let next = self.folder.join(format!("{point}.next"));
        fs::write(&next, text)?;
        fs::rename(next, self.folder.join(point))?;
        Ok(())
    }

    /// Takes an order back; false: somebody has obeyed it.
    pub fn disarm(&self, point: &str) -> bool {
        fs::remove_file(self.folder.join(point)).is_ok()
    }

    /// Process ids of those that obeyed at a point, in no order.
    pub fn hits(&self, point: &str) -> Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let words: Vec<&str> = name.split('.').collect();
            if let [of, pid, _, "hit"] = words.as_slice()
                && *of == point
            {
                pids.push(pid.parse().context("a process id")?);
            }
        }
        Ok(pids)
    }

    /// Waits until there are `count` hits at a point.
    pub fn wait_hits(&self, point: &str, count: usize, limit: Duration) -> Result<Vec<u32>> {
        wait::until(&format!("{count} processes at the fail point {point}"), limit, || {
            let hits = self.hits(point)?;
            Ok((hits.len() >= count).then_some(hits))
        })
    }
}
