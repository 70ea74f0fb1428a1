//! Processes: started so that they cannot be forgotten, signalled only when they are surely ours.
//!
//! A pid alone does not name a process: the kernel gives it out again. Everything here works with
//! a pid and its start time, so a stale `stack.json` never ends somebody else's program. Between
//! the check and the signal lies a gap of microseconds; the kernel hands out pids in a circle, so
//! for it to matter all other pids would have to be used up within that gap.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;

/// A process that a recycled pid cannot be mistaken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine did (`/proc/<pid>/stat`, field 22).
    pub(crate) start_ticks: u64,
}

impl ProcessId {
    /// The process that has this pid now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        Some(Self { pid, start_ticks: stat.start_ticks })
    }

    /// Whether it still runs. A zombie does not: it holds no port, file or memory any more.
    pub(crate) fn is_alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.is_dead())
    }

    /// Whether it is stopped (by `SIGSTOP`).
    pub(crate) fn is_paused(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.state == 'T')
    }

    /// Sends a signal, if it is still the same process.
    pub(crate) fn signal(self, signal: i32) {
        if self.is_alive() {
            send(self.pid, signal);
        }
    }

    /// Memory held, in bytes (`VmRSS`, which counts pages shared with its relatives too).
    pub(crate) fn resident_bytes(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// This process and all it has started, itself first.
    pub(crate) fn family(self) -> Vec<Self> {
        if !self.is_alive() {
            return Vec::new();
        }
        let mut children: BTreeMap<u32, Vec<ProcessId>> = BTreeMap::new();
        for pid in pids() {
            if let Some(stat) = Stat::read(pid)
                && !stat.is_dead()
            {
                children.entry(stat.parent).or_default().push(ProcessId { pid, start_ticks: stat.start_ticks });
            }
        }
        let mut family = vec![self];
        let mut next = 0;
        while let Some(member) = family.get(next).copied() {
            family.extend(children.remove(&member.pid).unwrap_or_default());
            next += 1;
        }
        family
    }
}

/// Waits until none of them runs any more. False: the time was over first.
pub(crate) fn wait_gone(processes: &[ProcessId], at_most: Duration) -> bool {
    let deadline = Deadline::after(at_most);
    while processes.iter().any(|process| process.is_alive()) {
        if deadline.is_over() {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// Processes of this program that work in this directory, whoever started them.
pub(crate) fn working_in(dir: &Path, program: &Path) -> Vec<ProcessId> {
    let name = program.file_name().unwrap_or_default();
    pids()
        .filter(|pid| {
            let proc = PathBuf::from(format!("/proc/{pid}"));
            fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd == dir)
                && fs::read_to_string(proc.join("comm")).is_ok_and(|comm| comm.trim() == name)
        })
        .filter_map(ProcessId::of)
        .collect()
}

/// How often conditions are looked at. Short against every start and stop here.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Tells this boot from another: start times begin anew with each.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

struct Stat {
    state: char,
    parent: u32,
    start_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `pid (name) state ppid ...`; the name may hold blanks and brackets, hence the last one.
    fn parse(text: &str) -> Option<Self> {
        let (_, after_name) = text.rsplit_once(')')?;
        let mut words = after_name.split_whitespace();
        let state = words.next()?.chars().next()?;
        let parent = words.next()?.parse().ok()?;
        // The start time is field 22; state is field 3 and two are consumed.
        let start_ticks = words.nth(17)?.parse().ok()?;
        Some(Self { state, parent, start_ticks })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[expect(unsafe_code, reason = "the standard library can only send SIGKILL")]
fn send(pid: u32, signal: i32) {
    if let Ok(pid) = libc::pid_t::try_from(pid)
        && pid > 0
    {
        // SAFETY: kill(2) takes two integers and touches no memory of ours. An error means that
        // the process is gone or not ours, and the callers wait for the effect, not the call.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Whether this process may change user and own files of others.
#[expect(unsafe_code, reason = "the standard library does not tell the user id")]
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid(2) takes nothing and always succeeds.
    unsafe { libc::geteuid() == 0 }
}

/// What becomes of a server when the process that started it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bond {
    /// The kernel sends it this signal, however its owner ended.
    DiesWithOwner(i32),
    /// It stays, in a session of its own, untouched by the terminal.
    Detached,
}

/// Starts a process. It gets a process group of its own, so that Ctrl-C in a terminal reaches
/// only the owner, which then stops everything in order.
pub(crate) fn spawn(mut command: Command, bond: Bond) -> io::Result<Child> {
    prepare(&mut command, bond);
    on_spawner(move || command.spawn())
}

#[expect(unsafe_code, reason = "setsid and the parent-death signal must be set between fork and exec")]
fn prepare(command: &mut Command, bond: Bond) {
    let owner = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are plain
    // system calls on integers and one on a local signal set. Nothing is allocated: the errors
    // are made from numbers.
    unsafe {
        command.pre_exec(move || {
            // The command line interface blocks the signals it waits for; a server must not
            // inherit that, or it could not be stopped by them.
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            match bond {
                Bond::Detached => {
                    if libc::setsid() == -1 {
                        return Err(io::Error::last_os_error());
                    }
                }
                Bond::DiesWithOwner(signal) => {
                    if libc::setpgid(0, 0) == -1 {
                        return Err(io::Error::last_os_error());
                    }
                    // After the change of user, which the standard library makes before this
                    // closure: a change of user clears the parent-death signal.
                    if libc::prctl(libc::PR_SET_PDEATHSIG, signal) == -1 {
                        return Err(io::Error::last_os_error());
                    }
                    // The owner may have ended before the line above took effect.
                    if u32::try_from(libc::getppid()) != Ok(owner) {
                        return Err(io::Error::from_raw_os_error(libc::ESRCH));
                    }
                }
            }
            Ok(())
        });
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs `work` on the one thread that starts processes.
///
/// The parent-death signal is tied to the thread that forked, not to its process. A caller may
/// start a stack on a test's or a pool's thread that ends long before the stack; this thread ends
/// only with the process.
fn on_spawner<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, received) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("stack-spawner".to_owned())
            .spawn(move || received.into_iter().for_each(|job| job()))
            .expect("a process that cannot start one thread cannot start servers either");
        Mutex::new(jobs)
    });
    let (answer, result) = mpsc::channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(Box::new(move || {
            // The receiver waits below; it cannot be gone.
            let _ = answer.send(work());
        }))
        .expect("the spawner thread never ends");
    result.recv().expect("the spawner thread answers every job")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_the_last_bracket() {
        let line = "42 (a) b) c) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2";
        let stat = Stat::parse(line).expect("a valid line");
        assert_eq!((stat.state, stat.parent, stat.start_ticks), ('S', 7, 98_765));
        for broken in ["", "42 (a", "42 (a) S", "42 (a) S x 1"] {
            assert!(Stat::parse(broken).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn a_recycled_pid_is_neither_alive_nor_signalled() {
        let mut child = spawn(sleep(), Bond::DiesWithOwner(libc::SIGKILL)).expect("sleep starts");
        let real = ProcessId::of(child.id()).expect("it runs");
        let recycled = ProcessId { start_ticks: real.start_ticks + 1, ..real };
        assert!(real.is_alive());
        assert!(!recycled.is_alive());
        recycled.signal(libc::SIGKILL);
        assert!(recycled.family().is_empty());
        assert!(child.try_wait().expect("it is our child").is_none(), "not hit");
        real.signal(libc::SIGKILL);
        child.wait().expect("it is our child");
        assert!(!real.is_alive());
    }

    #[test]
    fn a_server_outlives_the_thread_that_asked_for_it() {
        let mut child = thread::spawn(|| spawn(sleep(), Bond::DiesWithOwner(libc::SIGKILL)))
            .join()
            .expect("the thread ends well")
            .expect("sleep starts");
        // The signal of a dying thread is sent before join returns, so no wait is needed here.
        assert!(child.try_wait().expect("it is our child").is_none());
        child.kill().expect("it runs");
        child.wait().expect("it is our child");
    }

    #[test]
    fn a_family_holds_the_children_of_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'sleep 600 & wait' & wait"]);
        let mut child = spawn(command, Bond::DiesWithOwner(libc::SIGKILL)).expect("sh starts");
        let parent = ProcessId::of(child.id()).expect("it runs");
        let deadline = Deadline::after(Duration::from_secs(10));
        while parent.family().len() < 3 {
            assert!(!deadline.is_over(), "{:?}", parent.family());
            thread::sleep(POLL);
        }
        let family = parent.family();
        assert_eq!(family.first(), Some(&parent));
        for member in &family {
            member.signal(libc::SIGKILL);
        }
        child.wait().expect("it is our child");
        assert!(wait_gone(&family, Duration::from_secs(10)));
    }

    #[test]
    fn a_process_is_found_by_its_directory_and_program() {
        let dir = tempfile::tempdir().expect("a directory");
        let here = fs::canonicalize(dir.path()).expect("it exists");
        let mut command = sleep();
        command.current_dir(&here);
        let mut child = spawn(command, Bond::DiesWithOwner(libc::SIGKILL)).expect("sleep starts");
        let found = working_in(&here, Path::new("/usr/bin/sleep"));
        assert_eq!(found, Vec::from_iter(ProcessId::of(child.id())));
        assert!(working_in(&here, Path::new("/usr/bin/java")).is_empty());
        child.kill().expect("it runs");
        child.wait().expect("it is our child");
    }

    fn sleep() -> Command {
        let mut command = Command::new("sleep");
        command.arg("600");
        command
    }
}
