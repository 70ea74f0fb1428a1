//! The command line: `sisdmk-stack up | down | status | env | fetch`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::json;

use crate::cache;
use crate::error::StackError;
use crate::java;
use crate::options::Options;
use crate::postgres;
use crate::process::{self, POLL, ProcessId};
use crate::server::{self, KILL_DEADLINE, STOP_DEADLINE, Server};
use crate::stack::{self, Stack};
use crate::state::StackState;

/// Set by Ctrl-C, `SIGTERM` and `SIGHUP`.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// How often `up` looks whether its servers still run.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// What a shell reports for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Starts Kafka, the schema registry and Postgres on this machine, without Docker; Kafka Connect and Alertmanager where asked for.
#[derive(Debug, Parser)]
#[command(name = "sisdmk-stack", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the servers and keep them until Ctrl-C.
    Up(Up),
    /// Stop the servers of a directory.
    Down {
        #[command(flatten)]
        place: Place,
        /// Delete topics, schemas, tables and logs as well.
        #[arg(long)]
        discard: bool,
    },
    /// Show what runs. Exit code 0: all servers do.
    Status {
        #[command(flatten)]
        place: Place,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the settings of the product for this stack: `eval "$(sisdmk-stack env)"`.
    Env {
        #[command(flatten)]
        place: Place,
    },
    /// Download and check the Java servers, so that `up` needs no network.
    Fetch {
        /// Also run them once, so that later starts take about half the time.
        #[arg(long)]
        warm: bool,
        /// Also those of Kafka Connect.
        #[arg(long)]
        connect: bool,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// Directory of the stack.
    #[arg(long, default_value = ".stack")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    place: Place,
    /// Leave the servers running; `down` stops them.
    #[arg(long)]
    detach: bool,
    /// Port of Kafka [default: a free one].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    kafka_port: Option<u16>,
    /// Port of the schema registry [default: a free one].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    registry_port: Option<u16>,
    /// Port of Postgres [default: a free one].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    postgres_port: Option<u16>,
    /// Also start Kafka Connect, without any connector.
    #[arg(long)]
    connect: bool,
    /// Port of Kafka Connect [default: a free one].
    #[arg(long, value_name = "PORT", requires = "connect", value_parser = clap::value_parser!(u16).range(1..))]
    connect_port: Option<u16>,
    /// Also start Alertmanager, of the distribution's package.
    #[arg(long)]
    alertmanager: bool,
    /// Port of Alertmanager [default: a free one].
    #[arg(long, value_name = "PORT", requires = "alertmanager", value_parser = clap::value_parser!(u16).range(1..))]
    alertmanager_port: Option<u16>,
    /// Brokers: 1, or 3 with every topic on each of them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    kafka_brokers: u8,
    /// Largest heap of each broker in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(128..))]
    kafka_heap_mb: u32,
    /// Shared buffers of Postgres in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..))]
    postgres_shared_buffers_mb: u32,
}

impl Up {
    fn options(self) -> Options {
        Options {
            kafka_port: self.kafka_port,
            kafka_brokers: self.kafka_brokers,
            registry_port: self.registry_port,
            postgres_port: self.postgres_port,
            connect: self.connect,
            connect_port: self.connect_port,
            alertmanager: self.alertmanager,
            alertmanager_port: self.alertmanager_port,
            postgres_shared_buffers_mb: self.postgres_shared_buffers_mb,
            kafka_heap_mb: self.kafka_heap_mb,
            detach: self.detach,
            ..Options::new(self.place.dir)
        }
    }
}

/// Runs the command line of this process. Exit codes: 0 done, 1 runtime, 2 usage, 3 environment.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output with 0, mistakes to standard error with 2. If that is
            // closed there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    let result = match cli.verb {
        Verb::Up(up) => run_up(up.options()),
        Verb::Down { place, discard } => run_down(&place.dir, discard),
        Verb::Status { place, json } => run_status(&place.dir, json),
        Verb::Env { place } => run_env(&place.dir),
        Verb::Fetch { warm, connect } => run_fetch(warm, connect),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run_up(options: Options) -> Result<ExitCode, StackError> {
    catch_signals();
    let mut stack = Stack::up_until(options.clone(), &INTERRUPTED, true)?;
    let mut lines = vec![
        format!("kafka     {}", stack.bootstrap_servers()),
        format!("registry  {}", stack.registry_url()),
        format!("postgres  {}", stack.postgres_url()),
        format!("password  {}", stack.postgres_password_file().display()),
        format!("logs      {}", stack.dir().join("logs").display()),
    ];
    if let Some(url) = stack.connect_url() {
        lines.insert(3, format!("connect   {url}"));
    }
    if let Some(url) = stack.alertmanager_url() {
        lines.insert(3, format!("alerts    {url}"));
    }
    if options.detach {
        lines.push(format!("stop with: sisdmk-stack down --dir {}", stack.dir().display()));
        say(&lines);
        return Ok(ExitCode::SUCCESS);
    }
    lines.push("Ctrl-C stops everything".to_owned());
    say(&lines);
    let ended = watch(&mut stack);
    stack.down()?;
    ended.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Waits for the user, or for the end of a server that nobody asked for.
fn watch(stack: &mut Stack) -> Option<StackError> {
    loop {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return None;
        }
        for handle in stack.servers() {
            if !handle.is_running() {
                let log = handle.log_path().to_path_buf();
                return Some(StackError::ServerEnded { server: handle.server(), tail: server::tail(&log), log });
            }
        }
        thread::sleep(WATCH_INTERVAL);
    }
}

fn run_down(dir: &Path, discard: bool) -> Result<ExitCode, StackError> {
    let not_up = || StackError::NotUp { dir: dir.to_path_buf() };
    let state = StackState::read(dir)?.ok_or_else(not_up)?;
    if let Some(owner) = state.owner
        && owner.process.is_alive()
    {
        if !owner.is_command {
            return Err(StackError::Owned { dir: dir.to_path_buf(), pid: owner.process.pid });
        }
        // It stops its servers in order, and would else report their end as a failure.
        owner.process.signal(libc::SIGTERM);
        if !process::wait_gone(&[owner.process], STOP_DEADLINE + KILL_DEADLINE) {
            owner.process.signal(libc::SIGKILL);
            process::wait_gone(&[owner.process], KILL_DEADLINE);
        }
    }
    // Read again: the owner may have been starting a server.
    let state = StackState::read(dir)?.ok_or_else(not_up)?;
    for together in Server::ENDS {
        thread::scope(|scope| {
            for (server, process) in state.alive().into_iter().filter(|(server, _)| together.contains(server)) {
                scope.spawn(move || end(server, process));
            }
        });
    }
    if let Some((_, process)) = state.alive().first() {
        return Err(StackError::AlreadyUp { dir: dir.to_path_buf(), pid: process.pid });
    }
    if discard {
        let _lock: (File, StackState) = stack::take(dir)?;
        postgres::discard(dir);
        std::fs::remove_dir_all(dir).map_err(StackError::io("remove", dir))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops a server that is not this process' child.
fn end(server: Server, process: ProcessId) {
    let family = process.family();
    // It may be paused, and would then never hear the signal.
    family.iter().for_each(|member| member.signal(libc::SIGCONT));
    process.signal(server.stop_signal());
    if !process::wait_gone(&family, STOP_DEADLINE) {
        let all: Vec<_> = process.family().into_iter().chain(family).collect();
        all.iter().for_each(|member| member.signal(libc::SIGKILL));
        process::wait_gone(&all, KILL_DEADLINE);
    }
}

fn run_status(dir: &Path, as_json: bool) -> Result<ExitCode, StackError> {
    let state = StackState::read(dir)?.ok_or_else(|| StackError::NotUp { dir: dir.to_path_buf() })?;
    let mut rows = Vec::new();
    for server in Server::KNOWN {
        let Some(known) = state.server(server) else {
            continue;
        };
        // The last start was without it.
        if !Server::ALL.contains(&server) && known.process.is_none() {
            continue;
        }
        let process = known.process.filter(|process| process.is_alive());
        let condition = match process {
            None => "stopped",
            Some(process) if process.is_paused() => "paused",
            Some(_) => "running",
        };
        let port = known.ports.first().copied().unwrap_or_default();
        let resident_bytes: u64 =
            process.iter().flat_map(|process| process.family()).filter_map(process::ProcessId::resident_bytes).sum();
        rows.push(Row {
            server,
            condition,
            pid: process.map(|process| process.pid),
            address: match server {
                Server::Kafka | Server::Kafka2 | Server::Kafka3 => stack::bootstrap_servers_at([port].into_iter()),
                Server::Registry => stack::registry_url(port),
                Server::Postgres => stack::postgres_url(port),
                Server::Connect | Server::Alertmanager => stack::http_url(port),
            },
            resident_bytes,
            log: known.log.display().to_string(),
        });
    }
    let all_run = rows.len() >= Server::ALL.len() && rows.iter().all(|row| row.condition == "running");
    if as_json {
        let servers: Vec<_> = rows.iter().map(Row::json).collect();
        let text = json!({ "dir": dir, "running": all_run, "servers": servers });
        say(&[format!("{text:#}")]);
    } else {
        let mut lines = vec![format!("{:<12} {:<8} {:>8} {:>8}  {}", "server", "state", "pid", "MiB", "address")];
        lines.extend(rows.iter().map(Row::line));
        say(&lines);
    }
    Ok(ExitCode::from(u8::from(!all_run)))
}

struct Row {
    server: Server,
    condition: &'static str,
    pid: Option<u32>,
    address: String,
    resident_bytes: u64,
    log: String,
}

impl Row {
    fn line(&self) -> String {
        format!(
            "{:<12} {:<8} {:>8} {:>8}  {}",
            self.server.name(),
            self.condition,
            self.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            self.resident_bytes / (1024 * 1024),
            self.address
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "server": self.server.name(),
            "state": self.condition,
            "pid": self.pid,
            "address": self.address,
            "resident_bytes": self.resident_bytes,
            "log": self.log,
        })
    }
}

fn run_env(dir: &Path) -> Result<ExitCode, StackError> {
    let not_up = || StackError::NotUp { dir: dir.to_path_buf() };
    let state = StackState::read(dir)?.ok_or_else(not_up)?;
    let alive = state.alive();
    if !Server::ALL.iter().all(|server| alive.iter().any(|(running, _)| running == server)) {
        return Err(not_up());
    }
    let dir = std::fs::canonicalize(dir).map_err(StackError::io("find", dir))?;
    let port = |server| state.ports(server).first().copied().unwrap_or_default();
    let brokers = alive.iter().map(|(server, _)| *server).filter(|server| Server::BROKERS.contains(server));
    let bootstrap_servers = stack::bootstrap_servers_at(brokers.map(port));
    let env = stack::env_of(&dir, &bootstrap_servers, port(Server::Registry), port(Server::Postgres));
    let lines: Vec<String> = env.iter().map(|(name, value)| format!("export {name}={}", quoted(value))).collect();
    say(&lines);
    Ok(ExitCode::SUCCESS)
}

fn run_fetch(warm: bool, connect: bool) -> Result<ExitCode, StackError> {
    catch_signals();
    if connect {
        cache::connect_jars(&INTERRUPTED)?;
    }
    if warm {
        stack::warm_until(&INTERRUPTED)?;
    } else {
        cache::programs(&java::find()?, &INTERRUPTED)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A word for the shell that means exactly this text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Writes lines for the user. A closed pipe (`| head`) is no reason to stop the servers.
fn say(lines: &[String]) {
    let mut out = io::stdout().lock();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}

/// One line with the whole chain of causes.
fn complain(error: &StackError) {
    let mut text = format!("sisdmk-stack: failed to {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// From here on the signals that end a program set [`INTERRUPTED`] instead; the second one ends
/// it at once, and the kernel then ends the servers.
#[expect(unsafe_code, reason = "the standard library cannot wait for signals, and this needs no crate")]
#[expect(clippy::disallowed_methods, reason = "the second signal means: at once, without stopping anything in order")]
fn catch_signals() {
    // SAFETY: a zeroed sigset_t is a valid one to initialise, and all calls get pointers to it
    // while it lives. It is called before any other thread exists, so all threads inherit the
    // mask and the signals reach only sigwait.
    let signals = unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut signals, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
        signals
    };
    thread::spawn(move || {
        loop {
            let mut signal = 0;
            // SAFETY: both pointers are to values that live during the call.
            if unsafe { libc::sigwait(&raw const signals, &raw mut signal) } != 0 {
                thread::sleep(POLL);
                continue;
            }
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(EXIT_INTERRUPTED);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_quoted_word_means_itself_to_the_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn ports_and_sizes_out_of_range_are_refused() {
        for bad in ["--kafka-port=0", "--kafka-port=65536", "--kafka-heap-mb=1", "--postgres-shared-buffers-mb=1"] {
            assert!(Cli::try_parse_from(["sisdmk-stack", "up", bad]).is_err(), "{bad}");
        }
    }
}
