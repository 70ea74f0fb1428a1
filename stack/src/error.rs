//! What can go wrong, as a sentence with its remedy and as an exit code.

use std::io;
use std::path::{Path, PathBuf};

use crate::server::Server;

/// Why a stack could not be started, stopped or found.
///
/// Each message is a fragment that reads after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// The request itself makes no sense.
    #[error("use the stack: {0}")]
    Usage(String),
    /// A program that must be installed is not on this machine.
    #[error("find {tool}: {remedy}")]
    MissingTool {
        /// What is missing, in words.
        tool: &'static str,
        /// What to do about it.
        remedy: String,
    },
    /// The Java on the PATH is too old.
    #[error(
        "use {program}: it is Java {found}, and Kafka needs 17 or newer; install one with `apt-get install openjdk-17-jre-headless` and put it first on PATH"
    )]
    OldJava {
        /// The program that was asked.
        program: PathBuf,
        /// Its answer, for example `11.0.2`.
        found: String,
    },
    /// A port that was asked for is taken by somebody else.
    #[error(
        "start {server}: port {port} on 127.0.0.1 is taken by another process; stop that process, choose another port with --{server}-port, or leave the option out for a free one"
    )]
    PortBusy {
        /// The server that wanted the port.
        server: Server,
        /// The port.
        port: u16,
    },
    /// No free port was found, or each one was lost again before the server opened it.
    #[error("find a free port on 127.0.0.1 for {server}; name one with --{server}-port")]
    NoPort {
        /// The server that wanted it.
        server: Server,
    },
    /// The jars could not be fetched.
    #[error(
        "fetch the Java servers with Maven: {detail}; connect this machine to a Maven repository (or its mirror in ~/.m2/settings.xml) once, later starts work offline"
    )]
    Download {
        /// The end of Maven's output.
        detail: String,
    },
    /// A file is not what the checksum list says it is.
    #[error("trust {file}: {detail}")]
    Checksum {
        /// Name of the file, relative to the cache.
        file: String,
        /// What differs and what to do.
        detail: String,
    },
    /// A server ended or did not answer in time.
    #[error("start {server}: {detail}; the end of {}:\n{tail}", log.display())]
    ServerFailed {
        /// The server.
        server: Server,
        /// What happened.
        detail: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A tool of Kafka's refused.
    #[error("run {tool} ({status}):\n{output}")]
    Tool {
        /// Its class.
        tool: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        output: String,
    },
    /// A server ended although nobody stopped it.
    #[error("keep {server} running: it ended by itself; the end of {}:\n{tail}", log.display())]
    ServerEnded {
        /// The server.
        server: Server,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The stack belongs to a program that is not `sisdmk-stack`.
    #[error(
        "stop the stack in {}: it belongs to process {pid} and ends with it; end that process",
        dir.display()
    )]
    Owned {
        /// The directory.
        dir: PathBuf,
        /// The process that started it.
        pid: u32,
    },
    /// Another stack is up in this directory.
    #[error(
        "start a stack in {}: one is already up there (process {pid}); stop it with `sisdmk-stack down --dir {}` or choose another directory with --dir",
        dir.display(), dir.display()
    )]
    AlreadyUp {
        /// The directory.
        dir: PathBuf,
        /// One process of that stack.
        pid: u32,
    },
    /// No stack is up in this directory.
    #[error(
        "find a running stack in {}: start one with `sisdmk-stack up --dir {}`",
        dir.display(), dir.display()
    )]
    NotUp {
        /// The directory.
        dir: PathBuf,
    },
    /// The user asked to stop while the servers were starting.
    #[error("finish the start: it was interrupted")]
    Interrupted,
    /// A file or a process could not be handled.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, for example `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
}

impl StackError {
    /// 1 runtime, 2 usage, 3 environment (something on this machine must be changed first).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::MissingTool { .. }
            | Self::OldJava { .. }
            | Self::PortBusy { .. }
            | Self::NoPort { .. }
            | Self::Download { .. }
            | Self::Checksum { .. }
            | Self::AlreadyUp { .. }
            | Self::Owned { .. }
            | Self::NotUp { .. } => 3,
            Self::ServerFailed { .. }
            | Self::ServerEnded { .. }
            | Self::Tool { .. }
            | Self::Interrupted
            | Self::Io { .. } => 1,
        }
    }

    /// For `map_err`: names the file or program an operating system error belongs to.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}
