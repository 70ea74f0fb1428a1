//! What is being done, on standard error, so that standard output holds the tables alone.

use std::io::Write as _;

/// One line.
pub(crate) fn line(text: &str) {
    // Nobody is left to tell when it is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
