//! Operators who read a topic that falls silent.

use std::time::Duration;

use anyhow::Result;

use crate::support;

/// Longer than a reader waits without a record, and than this test takes.
const OPEN_FOR: Duration = Duration::from_secs(300);

/// Goal: who reads dead letters is told soon that no more come although there are more, and not only when the time for reading
/// gigabytes is over. Method: somebody leaves a transaction open on the topic, as a broker that goes away in the middle of a
/// reading looks to its reader; when it has ended the same question is answered.
#[test]
fn reading_that_meets_silence_ends_and_says_so() -> Result<()> {
    let (_dir, system) = support::system()?;
    system.setup()?;
    let open = system.leave_open("sisdmk.dlq", OPEN_FOR)?;

    let output = system.console(&["dlq", "list", "--json"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("sisdmk.dlq") && told.contains("nothing has come for 30 s"), "{told}");

    open.commit()?;
    let output = system.console(&["dlq", "list", "--json"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    Ok(())
}
