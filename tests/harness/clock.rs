//! A clock of our processes that a test sets. Only builds with the feature `sabotage` look at it.

use std::fs;
use std::path::Path;

use anyhow::Result;

/// What makes a process go by the clock in `file`. Only the time of day is another one: waits and time-outs stay true.
pub(crate) fn environment(file: &Path) -> (String, String) {
    ("SISDMK_CLOCK".to_owned(), file.display().to_string())
}

/// Sets the clock so many seconds from the machine's.
pub(crate) fn set(file: &Path, seconds: i64) -> Result<()> {
    // Written elsewhere first: a process must not find half a number.
    let next = file.with_extension("next");
    fs::write(&next, seconds.to_string())?;
    fs::rename(next, file)?;
    Ok(())
}
