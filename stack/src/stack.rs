//! A stack: the servers of one directory.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::alertmanager;
use crate::cache;
use crate::connect;
use crate::error::StackError;
use crate::java;
use crate::kafka::{self, Node};
use crate::options::Options;
use crate::ports;
use crate::postgres;
use crate::process::{self, ProcessId};
use crate::registry;
use crate::server::{KILL_DEADLINE, Recipe, Server, ServerHandle, Start};
use crate::state::{Owner, StackState, StateFile};

/// A port that was free when it was chosen may be taken when the server opens it. Five times in a
/// row it is something else.
const PORT_ATTEMPTS_MAX: u32 = 5;

/// Running servers; they stop when this is dropped, unless they are detached.
#[derive(Debug)]
pub struct Stack {
    options: Options,
    kafka: ServerHandle,
    /// The second and the third one, where there are three.
    more_brokers: Vec<ServerHandle>,
    registry: ServerHandle,
    postgres: ServerHandle,
    connect: Option<ServerHandle>,
    alertmanager: Option<ServerHandle>,
    state: Arc<StateFile>,
    password_file: PathBuf,
    /// The program and the jars of Kafka, for its tools.
    java: PathBuf,
    kafka_jars: PathBuf,
    down: bool,
    /// Held as long as this process answers for the directory.
    lock: File,
}

/// Ends a start from outside or because another server failed.
#[derive(Default)]
pub(crate) struct Cancel<'a> {
    user: Option<&'a AtomicBool>,
    sibling: AtomicBool,
}

impl Cancel<'_> {
    pub(crate) fn is_set(&self) -> bool {
        self.user.is_some_and(|user| user.load(Ordering::Relaxed)) || self.sibling.load(Ordering::Relaxed)
    }
}

impl Stack {
    /// Starts all servers and returns when each of them answers.
    ///
    /// The first start on a machine downloads the Java servers. Directories and data of an
    /// earlier start are used again.
    ///
    /// # Errors
    /// Something is missing on the machine, a port that was asked for is taken, another stack is
    /// up in the directory, or a server failed; the error says what to do and quotes the log.
    /// Whatever was started is stopped again.
    pub fn up(options: Options) -> Result<Self, StackError> {
        Self::up_until(options, &AtomicBool::new(false), false)
    }

    /// As [`Stack::up`], given up when `cancel` is set.
    pub(crate) fn up_until(mut options: Options, cancel: &AtomicBool, is_command: bool) -> Result<Self, StackError> {
        check_fixed_ports(&options)?;
        kafka::check(&options)?;
        let java = java::find()?;
        postgres::check_installed()?;
        if options.alertmanager {
            alertmanager::program()?;
        }
        let programs = cache::programs(&java, cancel)?;
        let connect_jars = options.connect.then(|| cache::connect_jars(cancel)).transpose()?;
        for part in ["data", "logs"] {
            let dir = options.dir.join(part);
            fs::create_dir_all(&dir).map_err(StackError::io("create", &dir))?;
        }
        // The servers work in directories of their own, so relative paths would mislead them.
        options.dir = fs::canonicalize(&options.dir).map_err(StackError::io("find", &options.dir))?;
        let (lock, mut before) = take(&options.dir)?;
        before.owner = (!options.detach)
            .then(|| ProcessId::of(std::process::id()))
            .flatten()
            .map(|process| Owner { process, is_command });
        // All of them have ended, and the optional ones may not be among those that start now.
        before.servers.values_mut().for_each(|server| server.process = None);
        let last_ports = before.clone();
        let state = Arc::new(StateFile::new(&options.dir, before)?);

        let cancel = Cancel { user: Some(cancel), sibling: AtomicBool::new(false) };
        // `brokers`: those that run, for a server that is told of them.
        let start = |server: Server, brokers: &[&ServerHandle]| {
            let prepare = |ports: &[u16]| -> Result<Recipe, StackError> {
                let first = first(ports);
                match server {
                    Server::Kafka => kafka::prepare(&options, &java, &programs, Node::First, ports),
                    Server::Kafka2 | Server::Kafka3 => {
                        let controller_port =
                            kafka::controller_port(brokers.first().map_or(&[], |first| first.ports()));
                        let node = Node::Further { server, controller_port };
                        kafka::prepare(&options, &java, &programs, node, ports)
                    }
                    Server::Registry => registry::prepare(&options, &java, &programs, first),
                    Server::Postgres => postgres::prepare(&options, first),
                    Server::Alertmanager => alertmanager::prepare(&options, first),
                    Server::Connect => {
                        let jars = connect_jars.as_deref().expect("it is started only where its jars are");
                        connect::prepare(&options, &java, jars, &bootstrap_servers(brokers.iter().copied()), first)
                    }
                }
            };
            let result = start_one(
                server,
                kafka::ports_wanted(&options, server),
                fixed_port(&options, server),
                last_ports.ports(server),
                prepare,
                &state,
                options.detach,
                &cancel,
            );
            if result.is_err() {
                cancel.sibling.store(true, Ordering::Relaxed);
            }
            result
        };
        let [kafka, registry, postgres] = thread::scope(|scope| {
            let start = &start;
            Server::ALL
                .map(|server| scope.spawn(move || start(server, &[])))
                .map(|thread| thread.join().expect("a start returns its error"))
        });
        let (kafka, registry, postgres) = match (kafka, registry, postgres) {
            (Ok(kafka), Ok(registry), Ok(postgres)) => (kafka, registry, postgres),
            results => {
                // The others were interrupted because of the one that failed; what did start is
                // killed when it is dropped here.
                let mut errors: Vec<StackError> =
                    [results.0, results.1, results.2].into_iter().filter_map(Result::err).collect();
                state.disowned();
                errors.sort_by_key(|error| matches!(error, StackError::Interrupted));
                return Err(errors.swap_remove(0));
            }
        };
        let further = Server::BROKERS.iter().skip(1).filter(|_| options.kafka_brokers > 1);
        let more_brokers = thread::scope(|scope| {
            let (start, kafka) = (&start, &kafka);
            let starts: Vec<_> = further.map(|&server| scope.spawn(move || start(server, &[kafka]))).collect();
            let ended = starts.into_iter().map(|thread| thread.join().expect("a start returns its error"));
            // All of them, so that one that did start is killed as it is dropped.
            ended.collect::<Vec<_>>().into_iter().collect::<Result<Vec<ServerHandle>, StackError>>()
        })
        .inspect_err(|_| state.disowned())?;
        // A worker does not wait for its broker. When it fails, the others are killed as they are dropped.
        let connect = connect_jars
            .as_ref()
            .map(|_| start(Server::Connect, &[&kafka].into_iter().chain(&more_brokers).collect::<Vec<_>>()))
            .transpose()
            .inspect_err(|_| state.disowned())?;
        let alertmanager = options
            .alertmanager
            .then(|| start(Server::Alertmanager, &[]))
            .transpose()
            .inspect_err(|_| state.disowned())?;
        Ok(Self {
            password_file: postgres::password_file(&options.dir),
            kafka,
            more_brokers,
            registry,
            postgres,
            connect,
            alertmanager,
            state,
            java: java.program.clone(),
            kafka_jars: programs.kafka.clone(),
            down: false,
            lock,
            options,
        })
    }

    /// Stops all servers cleanly; each gets 30 seconds, then it is killed. A second call does
    /// nothing.
    ///
    /// # Errors
    /// With [`Options::discard`]: the directory could not be deleted.
    pub fn down(&mut self) -> Result<(), StackError> {
        if self.down {
            return Ok(());
        }
        self.down = true;
        let discard = self.options.discard;
        for together in Server::ENDS {
            thread::scope(|scope| {
                for handle in self.servers().filter(|handle| together.contains(&handle.server())) {
                    scope.spawn(move || handle.finish(discard));
                }
            });
        }
        self.state.disowned();
        if discard {
            postgres::discard(&self.options.dir);
            fs::remove_dir_all(&self.options.dir).map_err(StackError::io("remove", &self.options.dir))?;
        }
        // Only now may another stack begin here. An error means that it is unlocked already.
        let _ = self.lock.unlock();
        Ok(())
    }

    /// `kafka.bootstrap_servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        bootstrap_servers([&self.kafka].into_iter().chain(&self.more_brokers))
    }

    /// The port that a proxy in front of the broker passes on to, in a stack with
    /// [`Options::kafka_proxy_port`].
    #[must_use]
    pub fn kafka_behind_proxy(&self) -> Option<u16> {
        self.kafka.ports().get(2).copied()
    }

    /// Runs one of Kafka's own tools, by its class, against the broker; what it says. Some seconds each time.
    ///
    /// # Errors
    /// It refused; with its words.
    pub fn kafka_tool(&self, class: &str, arguments: &[&str]) -> Result<String, StackError> {
        let broker = self.bootstrap_servers();
        let arguments: Vec<&str> =
            ["--bootstrap-server", &broker].into_iter().chain(arguments.iter().copied()).collect();
        kafka::tool(&self.options, &self.java, &self.kafka_jars, class, &arguments)
    }

    /// `registry.url`, with the path of the Confluent-compatible API.
    #[must_use]
    pub fn registry_url(&self) -> String {
        registry_url(self.registry.port())
    }

    /// `postgres.url`, without the password.
    #[must_use]
    pub fn postgres_url(&self) -> String {
        postgres_url(self.postgres.port())
    }

    /// Kafka Connect's REST API, in a stack that has one.
    #[must_use]
    pub fn connect_url(&self) -> Option<String> {
        self.connect.as_ref().map(|connect| http_url(connect.port()))
    }

    /// `alerts.alertmanager_url`, in a stack that has one.
    #[must_use]
    pub fn alertmanager_url(&self) -> Option<String> {
        self.alertmanager.as_ref().map(|alertmanager| http_url(alertmanager.port()))
    }

    /// The working directory of Kafka Connect: `${file:name:key}` in the configuration of a
    /// connector reads the file `name` there.
    #[must_use]
    pub fn connect_dir(&self) -> PathBuf {
        connect::dir(&self.options)
    }

    /// `postgres.password_file`: mode 0600, one line.
    #[must_use]
    pub fn postgres_password_file(&self) -> &Path {
        &self.password_file
    }

    /// The same password in the form of libpq (`PGPASSFILE`), for `psql`: mode 0600.
    #[must_use]
    pub fn postgres_passfile(&self) -> PathBuf {
        postgres::passfile(&self.options.dir)
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// The settings of the product for this stack, as environment variables.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        env_of(&self.options.dir, &self.bootstrap_servers(), self.registry.port(), self.postgres.port())
    }

    /// One of the servers, to break it and to mend it.
    ///
    /// # Panics
    /// When it is asked for one that the stack was started without.
    pub fn server(&mut self, which: Server) -> &mut ServerHandle {
        self.servers().find(|handle| handle.server() == which).expect("the stack was started with it")
    }

    /// Those that were started.
    pub(crate) fn servers(&mut self) -> impl Iterator<Item = &mut ServerHandle> {
        let always = [&mut self.kafka, &mut self.registry, &mut self.postgres];
        always.into_iter().chain(&mut self.more_brokers).chain(&mut self.connect).chain(&mut self.alertmanager)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.options.detach && !self.down {
            self.servers().for_each(ServerHandle::leave);
        } else {
            // There is nobody to tell; the servers themselves are ended in any case.
            let _ = self.down();
        }
    }
}

/// Fetches the Java servers and runs them once, so that later starts take about half the time.
/// Takes some ten seconds, once for each Java and version; worth it before many starts.
pub fn warm() -> Result<(), StackError> {
    warm_until(&AtomicBool::new(false))
}

/// As [`warm`], given up when `cancel` is set.
pub(crate) fn warm_until(cancel: &AtomicBool) -> Result<(), StackError> {
    let java = java::find()?;
    let programs = cache::programs(&java, cancel)?;
    cache::record_archives(&java, programs, |dir, programs| {
        let options = Options::new(dir);
        fs::create_dir_all(dir.join("logs")).map_err(StackError::io("create", dir))?;
        let state = Arc::new(StateFile::new(dir, StackState::new())?);
        let cancel = Cancel { user: Some(cancel), sibling: AtomicBool::new(false) };
        let mut kafka = start_one(
            Server::Kafka,
            kafka::ports_wanted(&options, Server::Kafka),
            None,
            &[],
            |ports| kafka::prepare(&options, &java, programs, Node::First, ports),
            &state,
            false,
            &cancel,
        )?;
        let mut registry = start_one(
            Server::Registry,
            1,
            None,
            &[],
            |ports| registry::prepare(&options, &java, programs, first(ports)),
            &state,
            false,
            &cancel,
        )?;
        // The archives are written at the end of a clean stop.
        thread::scope(|scope| {
            scope.spawn(|| kafka.stop());
            scope.spawn(|| registry.stop());
        });
        Ok(())
    })
}

/// The port of the clients.
fn first(ports: &[u16]) -> u16 {
    ports.first().copied().unwrap_or_default()
}

/// `kafka.bootstrap_servers` of these brokers.
fn bootstrap_servers<'a>(brokers: impl Iterator<Item = &'a ServerHandle>) -> String {
    bootstrap_servers_at(brokers.map(ServerHandle::port))
}

/// `kafka.bootstrap_servers` of a stack with these ports.
pub(crate) fn bootstrap_servers_at(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// `registry.url` of a stack with this port.
pub(crate) fn registry_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}{}", registry::API_PATH)
}

/// Kafka Connect's REST API or Alertmanager, of a stack with this port.
pub(crate) fn http_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// `postgres.url` of a stack with this port.
pub(crate) fn postgres_url(port: u16) -> String {
    format!("postgres://{}@127.0.0.1:{port}/{}", postgres::ROLE, postgres::DATABASE)
}

/// The product's settings, in the order of its documentation.
pub(crate) fn env_of(dir: &Path, bootstrap_servers: &str, registry: u16, postgres: u16) -> Vec<(String, String)> {
    [
        ("SISDMK_KAFKA__BOOTSTRAP_SERVERS", bootstrap_servers.to_owned()),
        ("SISDMK_REGISTRY__URL", registry_url(registry)),
        ("SISDMK_POSTGRES__URL", postgres_url(postgres)),
        ("SISDMK_POSTGRES__PASSWORD_FILE", postgres::password_file(dir).display().to_string()),
        // Nothing here leaves the machine, so nothing here is encrypted.
        ("SISDMK_SECURITY__ALLOW_PLAINTEXT", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn fixed_port(options: &Options, server: Server) -> Option<u16> {
    match server {
        Server::Kafka => options.kafka_port,
        Server::Kafka2 | Server::Kafka3 => None,
        Server::Registry => options.registry_port,
        Server::Postgres => options.postgres_port,
        Server::Connect => options.connect_port,
        Server::Alertmanager => options.alertmanager_port,
    }
}

/// Before anything is downloaded or made: the answer must come at once.
fn check_fixed_ports(options: &Options) -> Result<(), StackError> {
    if options.connect_port.is_some() && !options.connect {
        return Err(StackError::Usage("a port for Connect was given, and no Connect was asked for".to_owned()));
    }
    if options.alertmanager_port.is_some() && !options.alertmanager {
        return Err(StackError::Usage("a port for Alertmanager was given, and none was asked for".to_owned()));
    }
    for (index, server) in Server::KNOWN.into_iter().enumerate() {
        let Some(port) = fixed_port(options, server) else {
            continue;
        };
        let earlier = Server::KNOWN.iter().take(index);
        if earlier.into_iter().any(|&other| fixed_port(options, other) == Some(port)) {
            return Err(StackError::Usage(format!("port {port} is asked for twice; give each server its own")));
        }
        if !ports::is_free(port) {
            return Err(StackError::PortBusy { server, port });
        }
        ports::reserve(port);
    }
    Ok(())
}

/// Takes a directory for this process, and reads what an earlier one left there.
pub(crate) fn take(dir: &Path) -> Result<(File, StackState), StackError> {
    let path = dir.join("lock");
    let lock =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(StackError::io("open", &path))?;
    let before = StackState::read(dir)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = before.and_then(|state| state.owner);
            return Err(StackError::AlreadyUp {
                dir: dir.to_path_buf(),
                pid: owner.map_or(0, |owner| owner.process.pid),
            });
        }
        Err(TryLockError::Error(error)) => return Err(StackError::io("lock", &path)(error)),
    }
    // Read again: it may have changed before the lock was ours.
    let state = StackState::read(dir)?.unwrap_or_else(StackState::new);
    let alive = state.alive();
    if state.owner.is_some() {
        // Their owner is gone, or it would hold the lock, so the kernel is ending them.
        let processes: Vec<ProcessId> = alive.iter().map(|&(_, process)| process).collect();
        process::wait_gone(&processes, KILL_DEADLINE);
    }
    match state.alive().first() {
        None => Ok((lock, state)),
        Some((_, process)) => Err(StackError::AlreadyUp { dir: dir.to_path_buf(), pid: process.pid }),
    }
}

/// Starts one server, with another port when the one it was given is lost.
#[expect(clippy::too_many_arguments, reason = "what one start needs; a struct would be used once")]
fn start_one(
    server: Server,
    wanted: usize,
    fixed: Option<u16>,
    last: &[u16],
    prepare: impl Fn(&[u16]) -> Result<Recipe, StackError>,
    state: &Arc<StateFile>,
    detach: bool,
    cancel: &Cancel<'_>,
) -> Result<ServerHandle, StackError> {
    for attempt in 1..=PORT_ATTEMPTS_MAX {
        let mut chosen = Vec::new();
        for index in 0..wanted {
            let port = match (fixed, index) {
                (Some(port), 0) => port,
                // A port that was lost is not wanted again.
                _ => ports::choose(last.get(index).copied().filter(|_| attempt == 1))
                    .ok_or(StackError::NoPort { server })?,
            };
            chosen.push(port);
        }
        let recipe = prepare(&chosen)?;
        let start = ServerHandle::launch(recipe, Arc::clone(state), detach, cancel)?;
        match (start, fixed) {
            (Start::Ready(handle), _) => return Ok(*handle),
            (Start::PortLost, Some(port)) if !ports::is_free(port) => {
                return Err(StackError::PortBusy { server, port });
            }
            (Start::PortLost, _) => {}
        }
    }
    Err(StackError::NoPort { server })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_every_address_and_no_secret() {
        let env = env_of(Path::new("/s"), &bootstrap_servers_at([1, 4].into_iter()), 2, 3);
        let text: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            text,
            [
                "SISDMK_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:1,127.0.0.1:4",
                "SISDMK_REGISTRY__URL=http://127.0.0.1:2/apis/ccompat/v7",
                "SISDMK_POSTGRES__URL=postgres://sisdmk_admin@127.0.0.1:3/healthforce",
                "SISDMK_POSTGRES__PASSWORD_FILE=/s/postgres.password",
                "SISDMK_SECURITY__ALLOW_PLAINTEXT=true",
            ]
        );
    }

    #[test]
    fn one_port_for_two_servers_is_a_mistake_of_the_caller() {
        let mut options = Options::new("x");
        let free = ports::choose(None).expect("a free port");
        options.kafka_port = Some(free);
        options.postgres_port = Some(free);
        let error = check_fixed_ports(&options).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
        options.postgres_port = None;
        check_fixed_ports(&options).expect("one is fine");
    }

    #[test]
    fn a_directory_is_taken_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let (lock, state) = take(dir.path()).expect("it is free");
        assert!(state.servers.is_empty());
        let error = take(dir.path()).expect_err("it is taken");
        assert_eq!(error.exit_code(), 3);
        drop(lock);
        take(dir.path()).expect("it is free again");
    }

    #[test]
    fn a_directory_with_detached_servers_is_not_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateFile::new(dir.path(), StackState::new()).expect("written");
        let me = ProcessId::of(std::process::id()).expect("this process runs");
        state.started(Server::Kafka, me, &[1], Path::new("/log")).expect("written");
        let error = take(dir.path()).expect_err("it is taken");
        assert!(error.to_string().contains(&format!("process {}", me.pid)), "{error}");
        state.stopped(Server::Kafka);
        take(dir.path()).expect("it is free");
    }
}
