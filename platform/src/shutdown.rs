//! The wish to stop, as a value that threads and tasks can ask and await.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Deadline;
use crate::exit::Failure;

/// Set once, by a signal or by the process itself; never unset. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// One that only the program sets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM or SIGINT sets. Works with and without an async runtime of the caller's.
    ///
    /// A second signal ends the process at once, with exit code 130 or 143: somebody who asks twice
    /// does not want to wait for the work in hand.
    ///
    /// # Errors
    /// Exit 3 when the signals cannot be listened to.
    pub fn on_signals() -> Result<Self, Failure> {
        let shutdown = Self::new();
        let set = shutdown.clone();
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let failed = |error: std::io::Error| Failure::environment("cannot listen to signals").because(error);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return;
                    }
                };
                runtime.block_on(listen(&set, &ready));
            })
            .map_err(failed)?;
        match is_ready.recv() {
            Ok(Ok(())) => Ok(shutdown),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(Failure::environment("cannot listen to signals")),
        }
    }

    /// Asks everybody to stop.
    pub fn set(&self) {
        self.0.cancel();
    }

    /// Whether everybody is asked to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Resolves once it is set.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.clone().cancelled_owned()
    }

    /// Blocks the calling thread until it is set or `span` has passed; true when it is set.
    #[must_use]
    pub fn wait_blocking(&self, span: Duration) -> bool {
        // Short steps instead of a condition variable: the token is set by tasks as well, and a
        // reaction within 50 ms is far below the 30 s that a process has to end.
        const STEP: Duration = Duration::from_millis(50);
        let deadline = Deadline::after(span);
        while !self.is_set() && !deadline.passed() {
            std::thread::sleep(deadline.remaining().min(STEP));
        }
        self.is_set()
    }
}

#[expect(clippy::disallowed_methods, reason = "a second signal asks for an end without ceremony")]
async fn listen(set: &Shutdown, ready: &std::sync::mpsc::SyncSender<std::io::Result<()>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    loop {
        let code = tokio::select! {
            _ = terminate.recv() => 143,
            _ = interrupt.recv() => 130,
        };
        if set.is_set() {
            std::process::exit(code);
        }
        tracing::info!("asked to stop; finishing the work in hand");
        set.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_it_wakes_a_thread_that_waits() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.wait_blocking(Duration::from_millis(1)));
        let other = shutdown.clone();
        let waiting = std::thread::spawn(move || other.wait_blocking(Duration::from_secs(30)));
        shutdown.set();
        assert!(waiting.join().expect("the waiting thread does not panic"));
        assert!(shutdown.is_set());
    }
}
