//! The host's clock.

use crate::calendar::Stamp;

/// Now, in microseconds.
#[expect(clippy::disallowed_methods, reason = "the one place where the simulator reads the clock")]
pub(crate) fn now() -> Stamp {
    Stamp(chrono::Utc::now().timestamp_micros())
}
