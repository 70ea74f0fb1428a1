//! Bounds of waits; the one place here that reads the clock.

use std::time::{Duration, Instant};

/// A moment after which waiting ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(at_most: Duration) -> Self {
        Self(now() + at_most)
    }

    pub(crate) fn is_over(self) -> bool {
        now() >= self.0
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this crate uses no other of ours, so it cannot take the clock of platform"
)]
fn now() -> Instant {
    Instant::now()
}
