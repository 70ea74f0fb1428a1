//! Ctrl-C for programs that start a system: a flag, so that everything is stopped in order.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

/// Set by SIGINT and SIGTERM; every wait looks at it.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether somebody wants this process to end.
#[must_use]
pub fn is_set() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// An error once somebody wants this process to end.
pub fn check() -> Result<()> {
    ensure!(!is_set(), "interrupted");
    Ok(())
}

/// From now on SIGINT and SIGTERM set the flag and do nothing else.
pub fn catch() -> Result<()> {
    extern "C" fn set(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        #[expect(unsafe_code, reason = "signal(2) with a handler that stores one atomic flag")]
        let before = unsafe { libc::signal(signal, set as *const () as libc::sighandler_t) };
        ensure!(before != libc::SIG_ERR, "cannot catch signals");
    }
    Ok(())
}
