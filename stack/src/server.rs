//! One server: started from a recipe, watched until it is ready, stopped, killed, paused.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::StackError;
use crate::ports;
use crate::probe::Probe;
use crate::process::{self, Bond, POLL, ProcessId};
use crate::stack::Cancel;
use crate::state::StateFile;
use crate::tools;

/// The servers of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// Apache Kafka: broker and controller in one process.
    Kafka,
    /// The second broker, in the stacks that ask for three.
    Kafka2,
    /// The third broker, in the same.
    Kafka3,
    /// Apicurio Registry, with the Confluent-compatible API.
    Registry,
    /// PostgreSQL, with the database `healthforce`.
    Postgres,
    /// Kafka Connect: one standalone worker, in the stacks that ask for it.
    Connect,
    /// Alertmanager, in the stacks that ask for it.
    Alertmanager,
}

impl Server {
    /// Those of every stack, in the order they are listed to people.
    pub const ALL: [Self; 3] = [Self::Kafka, Self::Registry, Self::Postgres];
    /// And what only some stacks have.
    pub(crate) const KNOWN: [Self; 7] =
        [Self::Kafka, Self::Kafka2, Self::Kafka3, Self::Registry, Self::Postgres, Self::Connect, Self::Alertmanager];
    /// The brokers, in the order of their node ids, which begin at 1.
    pub const BROKERS: [Self; 3] = [Self::Kafka, Self::Kafka2, Self::Kafka3];
    /// The order in which servers are stopped, those of a line together: who writes to another one ends before it. A worker of Connect says to the
    /// brokers how far it has read, and a broker asks the controller, which is the first one's, to let it go.
    pub(crate) const ENDS: [&[Self]; 3] = [
        &[Self::Connect],
        &[Self::Kafka2, Self::Kafka3],
        &[Self::Kafka, Self::Registry, Self::Postgres, Self::Alertmanager],
    ];

    /// The name in options, files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Kafka2 => "kafka-2",
            Self::Kafka3 => "kafka-3",
            Self::Registry => "registry",
            Self::Postgres => "postgres",
            Self::Connect => "connect",
            Self::Alertmanager => "alertmanager",
        }
    }

    /// The signal that asks for a clean stop.
    pub(crate) fn stop_signal(self) -> i32 {
        match self {
            Self::Kafka | Self::Kafka2 | Self::Kafka3 => libc::SIGTERM,
            Self::Registry | Self::Connect | Self::Alertmanager => libc::SIGTERM,
            // Fast shutdown. SIGTERM would wait for every client to leave by itself.
            Self::Postgres => libc::SIGINT,
        }
    }

    /// The signal that the kernel sends when the owner of the stack is gone.
    fn orphan_signal(self) -> i32 {
        match self {
            Self::Kafka | Self::Kafka2 | Self::Kafka3 => libc::SIGKILL,
            Self::Registry | Self::Connect | Self::Alertmanager => libc::SIGKILL,
            // Immediate shutdown: unlike SIGKILL it takes children and shared memory with it.
            Self::Postgres => libc::SIGQUIT,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A server without ever having heard of it: a start that takes longer has failed.
const READY_DEADLINE: Duration = Duration::from_secs(90);
/// A clean stop that takes longer becomes a kill.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// After `SIGKILL` only the kernel works; longer means a process stuck in a disk.
pub(crate) const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// A log larger than this is set aside at the next start.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
const TAIL_LINES: usize = 15;
const TAIL_BYTES_MAX: u64 = 64 * 1024;
/// How the servers say that their port is taken.
const PORT_LOST: [&str; 3] = ["Address already in use", "already bound", "Address in use"];

/// User and group that a server runs as, when not as the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// All that is needed to start one server, again and again with the same port and data.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) server: Server,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) working_dir: PathBuf,
    pub(crate) user: Option<User>,
    pub(crate) log: PathBuf,
    /// The port of its clients first.
    pub(crate) ports: Vec<u16>,
    pub(crate) probe: Probe,
    /// A file that a killed server leaves and that its next start must not find.
    pub(crate) stale_file: Option<PathBuf>,
}

/// Handle of one server of a stack.
#[derive(Debug)]
pub struct ServerHandle {
    recipe: Recipe,
    state: Arc<StateFile>,
    detached: bool,
    running: Option<Running>,
    pause: Option<Pause>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    id: ProcessId,
}

/// How the first start of a server ended.
pub(crate) enum Start {
    Ready(Box<ServerHandle>),
    /// Somebody took the port between the choice and the start.
    PortLost,
}

impl ServerHandle {
    /// Starts a server and waits until it answers.
    pub(crate) fn launch(
        recipe: Recipe,
        state: Arc<StateFile>,
        detached: bool,
        cancel: &Cancel<'_>,
    ) -> Result<Start, StackError> {
        let mut handle = Self { recipe, state, detached, running: None, pause: None };
        match handle.start_and_wait(cancel) {
            Ok(()) => Ok(Start::Ready(Box::new(handle))),
            Err(Failure::PortLost) => Ok(Start::PortLost),
            Err(Failure::Other(error)) => Err(error),
        }
    }

    /// Which server this is.
    #[must_use]
    pub fn server(&self) -> Server {
        self.recipe.server
    }

    /// Its process; 0 while it is down.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| running.id.pid)
    }

    /// The port its clients use.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.recipe.ports.first().copied().unwrap_or_default()
    }

    /// All its ports, that of its clients first.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.recipe.ports
    }

    /// What it writes, standard output and standard error together.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.recipe.log
    }

    /// Whether its process runs (it may be paused).
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.id.is_alive())
    }

    /// Ends it and all its children at once with `SIGKILL`, as a power cut would, and waits until
    /// the kernel has taken back their memory and ports. Does nothing when it is down.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        // First the parent stands still, so that the list of its children is complete; a killed
        // Postgres would else leave children that still hold the shared memory.
        running.id.signal(libc::SIGSTOP);
        let family = running.id.family();
        for member in &family {
            member.signal(libc::SIGKILL);
        }
        // Reaps it. An error means that it was reaped already.
        let _ = running.child.wait();
        process::wait_gone(&family, KILL_DEADLINE);
        self.pause = None;
        self.state.stopped(self.recipe.server);
    }

    /// Asks for a clean stop and waits; kills when it takes longer than 30 seconds. For Postgres
    /// this is its fast shutdown, which ends sessions instead of waiting for them.
    pub fn stop(&mut self) {
        self.stop_with(self.recipe.server.stop_signal());
    }

    fn stop_with(&mut self, signal: i32) {
        self.resume();
        let Some(running) = self.running.as_mut() else {
            return;
        };
        let family = running.id.family();
        running.id.signal(signal);
        let deadline = Deadline::after(STOP_DEADLINE);
        while matches!(running.child.try_wait(), Ok(None)) {
            if deadline.is_over() {
                return self.kill();
            }
            thread::sleep(POLL);
        }
        // A parent that ended by itself may leave children behind for a moment.
        if !process::wait_gone(&family, KILL_DEADLINE) {
            for member in &family {
                member.signal(libc::SIGKILL);
            }
        }
        self.running = None;
        self.state.stopped(self.recipe.server);
    }

    /// Starts it again on the same port with the same data, and waits until it answers. Does
    /// nothing when it runs.
    pub fn start(&mut self) -> Result<(), StackError> {
        if self.is_running() {
            return Ok(());
        }
        // It may have ended by itself; then it still waits to be reaped.
        self.kill();
        self.start_and_wait(&Cancel::default()).map_err(|failure| match failure {
            Failure::PortLost => StackError::PortBusy { server: self.recipe.server, port: self.port() },
            Failure::Other(error) => error,
        })
    }

    /// Freezes it and its children with `SIGSTOP`: connections stay open and nothing answers.
    pub fn pause(&mut self) {
        let Some(running) = &self.running else {
            return;
        };
        if self.pause.is_some() {
            return;
        }
        // The parent first: it can then start no child that would escape the list.
        running.id.signal(libc::SIGSTOP);
        let family = running.id.family();
        for member in &family {
            member.signal(libc::SIGSTOP);
        }
        self.pause = Some(Pause::new(family));
    }

    /// Lets a paused server go on.
    pub fn resume(&mut self) {
        self.pause = None;
    }

    /// The end of a stack: clean, or quick when nothing needs to be kept.
    pub(crate) fn finish(&mut self, discard: bool) {
        if discard {
            self.stop_with(self.recipe.server.orphan_signal());
        } else {
            self.stop();
        }
    }

    fn start_and_wait(&mut self, cancel: &Cancel<'_>) -> Result<(), Failure> {
        if !self.recipe.ports.iter().copied().all(ports::is_free) {
            return Err(Failure::PortLost);
        }
        // What is left of an earlier server, mostly children of a killed Postgres on their way
        // out: two servers must not write the same files.
        let earlier = process::working_in(&self.recipe.working_dir, &self.recipe.program);
        if !process::wait_gone(&earlier, KILL_DEADLINE) {
            return Err(Failure::Other(StackError::AlreadyUp {
                dir: self.recipe.working_dir.clone(),
                pid: earlier.first().map_or(0, |process| process.pid),
            }));
        }
        if let Some(file) = &self.recipe.stale_file {
            // Mostly it is not there; if it cannot be removed, the server itself complains.
            let _ = fs::remove_file(file);
        }
        let log_start = set_aside(&self.recipe.log);
        let result = self.spawn().and_then(|()| self.wait_ready(cancel));
        if result.is_err() {
            self.kill();
        }
        match result {
            Err(_) if log_says_port_lost(&self.recipe.log, log_start) => Err(Failure::PortLost),
            result => result.map_err(Failure::Other),
        }
    }

    fn spawn(&mut self) -> Result<(), StackError> {
        let recipe = &self.recipe;
        let log = || {
            OpenOptions::new().create(true).append(true).open(&recipe.log).map_err(StackError::io("open", &recipe.log))
        };
        let mut command = tools::command(&recipe.program);
        command
            .args(&recipe.arguments)
            .current_dir(&recipe.working_dir)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?);
        if let Some(user) = recipe.user {
            // With the user the standard library also drops the groups of root.
            command.uid(user.uid).gid(user.gid);
        }
        let bond = if self.detached { Bond::Detached } else { Bond::DiesWithOwner(recipe.server.orphan_signal()) };
        let child = process::spawn(command, bond).map_err(StackError::io("run", &recipe.program))?;
        let id = ProcessId::of(child.id()).ok_or_else(|| StackError::ServerFailed {
            server: recipe.server,
            detail: "its process cannot be seen in /proc".to_owned(),
            log: recipe.log.clone(),
            tail: String::new(),
        })?;
        self.running = Some(Running { child, id });
        self.state.started(recipe.server, id, &recipe.ports, &recipe.log)
    }

    fn wait_ready(&mut self, cancel: &Cancel<'_>) -> Result<(), StackError> {
        let deadline = Deadline::after(READY_DEADLINE);
        loop {
            if cancel.is_set() {
                return Err(StackError::Interrupted);
            }
            let answer = self.recipe.probe.ask();
            // Asked after the probe: else a stranger on the same port could answer for a server
            // that has just ended.
            if let Some(status) = self.running.as_mut().and_then(|running| running.child.try_wait().ok().flatten()) {
                return Err(self.failed(format!("it ended at once ({status})")));
            }
            match answer {
                Ok(()) => return Ok(()),
                Err(last) if deadline.is_over() => {
                    return Err(self.failed(format!(
                        "it did not become ready within {} seconds: {last}",
                        READY_DEADLINE.as_secs()
                    )));
                }
                Err(_) => thread::sleep(POLL),
            }
        }
    }

    fn failed(&self, detail: String) -> StackError {
        StackError::ServerFailed {
            server: self.recipe.server,
            detail,
            log: self.recipe.log.clone(),
            tail: tail(&self.recipe.log),
        }
    }

    /// Forgets the process without ending it: the stack is detached.
    pub(crate) fn leave(&mut self) {
        self.running = None;
    }
}

impl Drop for ServerHandle {
    /// Also for a server whose stack never came up, because another of its servers failed.
    fn drop(&mut self) {
        self.kill();
        for &port in &self.recipe.ports {
            ports::release(port);
        }
    }
}

enum Failure {
    PortLost,
    Other(StackError),
}

/// Keeps a family of processes stopped; when it is dropped, they go on.
///
/// It also lets them go on when this process is killed: a stopped process does not notice that
/// its parent died, so the children of a paused Postgres would stay for ever. A small shell waits
/// on a pipe that the kernel closes with this process.
#[derive(Debug)]
struct Pause {
    family: Vec<ProcessId>,
    guard: Option<(Child, ChildStdin)>,
}

impl Pause {
    fn new(family: Vec<ProcessId>) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg("read line; kill -CONT \"$@\" 2>/dev/null")
            .arg("sh")
            .args(family.iter().map(|member| member.pid.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Detached, because it has to act just after the owner has died.
        let guard = process::spawn(command, Bond::Detached).ok().and_then(|mut child| {
            let pipe = child.stdin.take()?;
            Some((child, pipe))
        });
        Self { family, guard }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        for member in &self.family {
            member.signal(libc::SIGCONT);
        }
        if let Some((mut child, pipe)) = self.guard.take() {
            drop(pipe);
            // It ends now that its pipe is closed.
            let _ = child.wait();
        }
    }
}

/// Moves a large log away and gives the length of what is there: where the new lines begin.
fn set_aside(log: &Path) -> u64 {
    let length = fs::metadata(log).map_or(0, |meta| meta.len());
    if length > LOG_BYTES_MAX && fs::rename(log, log.with_extension("log.1")).is_ok() {
        return 0;
    }
    length
}

/// Looks only at what this start has written.
fn log_says_port_lost(log: &Path, from: u64) -> bool {
    let new = read_from(log, from);
    PORT_LOST.iter().any(|words| new.contains(words))
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let length = fs::metadata(log).map_or(0, |meta| meta.len());
    let text = read_from(log, length.saturating_sub(TAIL_BYTES_MAX));
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    match lines.get(from..) {
        Some(last) if !last.is_empty() => last.join("\n"),
        _ => "(it is empty)".to_owned(),
    }
}

/// The text of a file from a byte on, at most [`LOG_BYTES_MAX`]; nothing when it is unreadable.
fn read_from(path: &Path, from: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path)
        && file.seek(SeekFrom::Start(from)).is_ok()
    {
        // What was read before an error is still worth showing.
        let _ = file.take(LOG_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
