//! Waiting for a condition, with a deadline and a reason.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `look` answers something, at most `limit`.
///
/// Errors: what `look` fails with, at once; after `limit`, a sentence that names `what` was waited for.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    #[expect(clippy::disallowed_methods, reason = "a test's deadline is real time")]
    let started = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if started.elapsed() > limit {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
