//! A signal asks the process to stop. A test of its own process: the signal goes to all of it.

use std::process::Command;
use std::time::Duration;

use platform::shutdown::Shutdown;

#[test]
fn sigterm_sets_the_wish_to_stop() {
    let shutdown = Shutdown::on_signals().expect("listen to signals");
    assert!(!shutdown.is_set());
    let sent = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().expect("kill");
    assert!(sent.success());
    assert!(shutdown.wait_blocking(Duration::from_secs(10)), "the signal was not seen");
}
