//! `stack.json`: what runs in a directory, for the commands that come later.
//!
//! It is written after each change, so that `down` also finds the servers of a start that was cut
//! off in the middle. After a stop it keeps the ports: addresses stay the same from day to day.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::StackError;
use crate::process::{self, ProcessId};
use crate::server::Server;

const FORMAT: u32 = 1;

/// The content of `stack.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StackState {
    pub(crate) format: u32,
    /// Start times count from the boot, so processes of another boot are surely gone.
    pub(crate) boot_id: String,
    /// The process whose end ends the servers; none when they are detached.
    pub(crate) owner: Option<Owner>,
    /// By name of the server.
    pub(crate) servers: BTreeMap<String, ServerState>,
}

/// Who holds a stack that is not detached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) process: ProcessId,
    /// Whether it is `sisdmk-stack up`, which `down` may ask to stop. Any other program is not
    /// ours to end.
    pub(crate) is_command: bool,
}

/// One server in `stack.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerState {
    /// None: it was stopped.
    pub(crate) process: Option<ProcessId>,
    /// The port of its clients first.
    pub(crate) ports: Vec<u16>,
    pub(crate) log: PathBuf,
}

impl StackState {
    pub(crate) fn new() -> Self {
        Self { format: FORMAT, boot_id: process::boot_id(), owner: None, servers: BTreeMap::new() }
    }

    /// Reads a directory; `None` when no stack was ever there.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, StackError> {
        let path = path_in(dir);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StackError::io("read", &path)(error)),
        };
        let state = Self::parse(&text).map_err(|detail| StackError::Io {
            action: "read",
            path,
            source: io::Error::new(io::ErrorKind::InvalidData, detail),
        })?;
        Ok(Some(state))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut state: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if state.format != FORMAT {
            return Err(format!("its format is {}, this program knows {FORMAT}", state.format));
        }
        state.forget_other_boot(&process::boot_id());
        Ok(state)
    }

    fn forget_other_boot(&mut self, boot_id: &str) {
        if self.boot_id != boot_id {
            boot_id.clone_into(&mut self.boot_id);
            self.owner = None;
            for server in self.servers.values_mut() {
                server.process = None;
            }
        }
    }

    /// The processes that still run, with the server each one is.
    pub(crate) fn alive(&self) -> Vec<(Server, ProcessId)> {
        Server::KNOWN
            .into_iter()
            .filter_map(|server| Some((server, self.server(server)?.process?)))
            .filter(|(_, process)| process.is_alive())
            .collect()
    }

    pub(crate) fn server(&self, server: Server) -> Option<&ServerState> {
        self.servers.get(server.name())
    }

    /// The ports of the last start.
    pub(crate) fn ports(&self, server: Server) -> &[u16] {
        self.server(server).map_or(&[], |state| &state.ports)
    }
}

/// Where the state of a directory is.
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join("stack.json")
}

/// The state of a running stack, on disk after each change.
#[derive(Debug)]
pub(crate) struct StateFile {
    dir: PathBuf,
    state: Mutex<StackState>,
}

impl StateFile {
    pub(crate) fn new(dir: &Path, state: StackState) -> Result<Self, StackError> {
        let file = Self { dir: dir.to_path_buf(), state: Mutex::new(state) };
        file.write(&file.lock())?;
        Ok(file)
    }

    pub(crate) fn started(
        &self,
        server: Server,
        process: ProcessId,
        ports: &[u16],
        log: &Path,
    ) -> Result<(), StackError> {
        let mut state = self.lock();
        state.servers.insert(
            server.name().to_owned(),
            ServerState { process: Some(process), ports: ports.to_vec(), log: log.to_path_buf() },
        );
        self.write(&state)
    }

    /// Best effort: a process that is still named here is known to be gone by its start time.
    pub(crate) fn stopped(&self, server: Server) {
        let mut state = self.lock();
        if let Some(server) = state.servers.get_mut(server.name()) {
            server.process = None;
            let _ = self.write(&state);
        }
    }

    /// Best effort, for the same reason.
    pub(crate) fn disowned(&self) {
        let mut state = self.lock();
        state.owner = None;
        let _ = self.write(&state);
    }

    fn lock(&self) -> MutexGuard<'_, StackState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Written beside and renamed, so that a reader never sees half of it.
    fn write(&self, state: &StackState) -> Result<(), StackError> {
        let path = path_in(&self.dir);
        let new = self.dir.join("stack.json.new");
        let mut text = serde_json::to_string_pretty(state).expect("numbers and strings become JSON");
        text.push('\n');
        fs::write(&new, text).map_err(StackError::io("write", &new))?;
        fs::rename(&new, &path).map_err(StackError::io("replace", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> StackState {
        let mut state = StackState::new();
        state.owner = Some(Owner { process: ProcessId { pid: 1, start_ticks: 2 }, is_command: true });
        state.servers.insert(
            "kafka".to_owned(),
            ServerState {
                process: Some(ProcessId { pid: 3, start_ticks: u64::MAX }),
                ports: vec![20_000, 20_001],
                log: PathBuf::from("/a b/kafka.log"),
            },
        );
        state
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(StackState::read(dir.path()).expect("readable"), None);
        StateFile::new(dir.path(), example()).expect("written");
        assert_eq!(StackState::read(dir.path()).expect("readable"), Some(example()));
    }

    #[test]
    fn another_format_and_broken_text_are_refused() {
        let mut state = example();
        state.format = 99;
        let text = serde_json::to_string(&state).expect("JSON");
        assert!(StackState::parse(&text).expect_err("refused").contains("99"));
        assert!(StackState::parse("{").is_err());
    }

    #[test]
    fn processes_of_another_boot_are_forgotten_and_ports_kept() {
        let mut state = example();
        state.forget_other_boot("another");
        assert_eq!(state.owner, None);
        assert!(state.alive().is_empty());
        assert_eq!(state.ports(Server::Kafka), [20_000, 20_001]);
        assert!(state.ports(Server::Postgres).is_empty());
    }

    #[test]
    fn a_pid_with_another_start_time_is_not_alive() {
        let mut state = example();
        let me = ProcessId::of(std::process::id()).expect("this process runs");
        let mut kafka = |process| {
            state.servers.get_mut("kafka").expect("listed").process = Some(process);
            state.alive().len()
        };
        assert_eq!(kafka(me), 1);
        assert_eq!(kafka(ProcessId { start_ticks: me.start_ticks + 1, ..me }), 0);
    }
}
