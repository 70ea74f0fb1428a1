//! One process of ours: started with its own log, killed with its parent, waited for by what it says.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// Longest time a process may take to answer `/readyz`, and to end after SIGTERM: on a machine that has other work. What is
/// promised is shorter, and tests of their own measure it.
const READY_LIMIT: Duration = Duration::from_secs(120);
const END_LIMIT: Duration = Duration::from_secs(90);

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where it serves `/readyz`, if it does.
    listen: Option<SocketAddr>,
}

impl Process {
    /// Starts `program` with `environment` added to this process' own; its output is appended to `<logs>/<name>.log`.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        logs: &Path,
        listen: Option<SocketAddr>,
    ) -> Result<Self> {
        fs::create_dir_all(logs)?;
        let log = logs.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        // A group of its own: Ctrl-C reaches whoever started it, which then stops everything in order.
        command.process_group(0);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        die_with_parent(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log, listen })
    }

    /// Waits until `/readyz` answers 200.
    pub fn wait_ready(&mut self) -> Result<()> {
        let Some(listen) = self.listen else {
            return Ok(());
        };
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(2)).build()?;
        let url = format!("http://{listen}/readyz?verbose");
        let name = self.name.clone();
        let mut last = String::new();
        let ready = wait::until(&format!("{name} to be ready"), READY_LIMIT, || {
            if let Some(status) = self.ended()? {
                bail!("{name} ended with {status}: {}", self.log_tail());
            }
            let Ok(answer) = client.get(&url).send() else {
                return Ok(None);
            };
            let ready = answer.status().is_success();
            last = answer.text().unwrap_or_default();
            Ok(ready.then_some(()))
        });
        ready.with_context(|| format!("last answer:\n{last}\nlog:\n{}", self.log_tail()))
    }

    /// Waits until it listens. From then on it takes a signal as a request; before, it is ended by it.
    pub fn wait_listening(&mut self) -> Result<()> {
        let Some(listen) = self.listen else {
            return Ok(());
        };
        wait::until(&format!("{} to listen", self.name), READY_LIMIT, || {
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status}: {}", self.name, self.log_tail());
            }
            Ok(TcpStream::connect_timeout(&listen, Duration::from_secs(2)).is_ok().then_some(()))
        })
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait::until(&format!("{} to end", self.name), limit, || Ok(self.child.try_wait()?))
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits for its end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(libc::SIGTERM)?;
        self.wait(END_LIMIT)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        #[expect(unsafe_code, reason = "kill(2) on a child that was not waited for yet")]
        let sent = unsafe { libc::kill(pid, signal) };
        if sent != 0 {
            bail!("cannot signal {}", self.name);
        }
        Ok(())
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had, in bytes; none once it has ended.
    #[must_use]
    pub fn memory_peak(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    /// The memory that it has now, in bytes; none once it has ended.
    #[must_use]
    pub fn memory_now(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// Where its output goes.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The last lines of its output, for an error message.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nothing can be done about a failure here; the kernel ends the child with us anyway.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Asks the kernel to kill the child when the thread that started it ends, so that no test and no demonstration
/// leaves a process behind, whatever ends it. (The kernel means the thread: start processes from the one that lives
/// as long as the test.)
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    #[expect(
        unsafe_code,
        reason = "prctl(2) and getppid(2) are async-signal-safe, as code between fork and exec must be"
    )]
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have ended between fork and prctl.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}
