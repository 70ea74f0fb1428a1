//! The processes of a night, and the supervisor that starts those that were killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use harness::{Process, Stage, System, wait};
use stack::Server;

/// Looks in a row, a few hundred milliseconds together, in which the broker wrote down nothing about a transaction.
const QUIET_LOOKS: u32 = 5;
/// Longest time until then: clients are frozen, so that only what they have asked for is still to be done.
const QUIET_LIMIT: Duration = Duration::from_secs(5);

/// Two of each stage that may have several; they take over from each other.
const SECOND: [(Stage, &str); 2] = [(Stage::Processor, "second"), (Stage::Sink, "second")];

/// Everything that runs.
pub(crate) struct Fleet {
    pub(crate) system: System,
    /// Processes started again so far.
    pub(crate) revived: usize,
    others: Vec<(Stage, String, Process)>,
    /// The most memory that a process of each stage was seen with.
    peaks: BTreeMap<&'static str, u64>,
}

impl Fleet {
    /// Starts every stage, and the second of those that may have one.
    pub(crate) fn start(mut system: System) -> Result<Self> {
        for stage in [Stage::Sink, Stage::Processor, Stage::Producer] {
            system.start(stage)?;
        }
        let mut fleet = Self { system, revived: 0, others: Vec::new(), peaks: BTreeMap::new() };
        for (stage, instance) in SECOND {
            fleet.join(stage, instance)?.wait_ready()?;
        }
        Ok(fleet)
    }

    /// Starts another member, without waiting for it.
    pub(crate) fn join(&mut self, stage: Stage, instance: &str) -> Result<&mut Process> {
        let process = self.system.spawn_another(stage, instance)?;
        self.others.push((stage, instance.to_owned(), process));
        Ok(&mut self.others.last_mut().context("just pushed")?.2)
    }

    /// Stops a member in order.
    pub(crate) fn leave(&mut self, stage: Stage, instance: &str) -> Result<()> {
        let place = self.others.iter().position(|(of, name, _)| *of == stage && name == instance);
        let (.., mut process) = self.others.remove(place.context("no such member")?);
        process.wait_listening()?;
        let status = process.stop()?;
        ensure!(status.success(), "{} {instance} ended with {status}: {}", stage.name(), process.log_tail());
        Ok(())
    }

    /// The most memory that a process of each stage was seen with, in bytes. It is looked at whenever somebody is looked after:
    /// who is killed takes what it had since then along.
    pub(crate) fn peaks(&self) -> &BTreeMap<&'static str, u64> {
        &self.peaks
    }

    /// One of the processes of a stage.
    pub(crate) fn one(&mut self, stage: Stage, which: u64) -> Result<&mut Process> {
        let second = self.others.iter().position(|(of, ..)| *of == stage).filter(|_| which % 2 == 1);
        match second {
            Some(place) => Ok(&mut self.others[place].2),
            None => self.system.process(stage),
        }
    }

    /// Starts again whoever was killed, as a supervisor does. Somebody who ended otherwise, which would need a person, is
    /// an error.
    pub(crate) fn revive(&mut self) -> Result<()> {
        for stage in Stage::ALL {
            let process = self.system.process(stage)?;
            note(&mut self.peaks, stage, process);
            if killed(stage.name(), process)? {
                self.system.spawn(stage)?;
                self.revived += 1;
            }
        }
        for (stage, instance, process) in &mut self.others {
            note(&mut self.peaks, *stage, process);
            if killed(instance, process)? {
                *process = self.system.spawn_another(*stage, instance)?;
                self.revived += 1;
            }
        }
        Ok(())
    }

    /// Freezes everybody, kills the broker once no end of a transaction is under way in it, and lets all go on. Transactions
    /// that are open stay open; what is spared is a fault of Kafka 4.3.1 that no client can mend (docs/reliability.md, "An
    /// acknowledged commit that the broker forgets").
    pub(crate) fn kill_broker(&mut self) -> Result<()> {
        self.signal_all(libc::SIGSTOP)?;
        let log = self.system.stack.dir().join("data/kafka/topics");
        let mut before = (Vec::new(), 0);
        let quiet = wait::until("no end of a transaction under way", QUIET_LIMIT, || {
            let now = transaction_logs(&log)?;
            before = if now == before.0 { (now, before.1 + 1) } else { (now, 0) };
            Ok((before.1 >= QUIET_LOOKS).then_some(()))
        });
        self.system.stack.server(Server::Kafka).kill();
        self.signal_all(libc::SIGCONT)?;
        quiet
    }

    fn signal_all(&mut self, signal: i32) -> Result<()> {
        for stage in Stage::ALL {
            let process = self.system.process(stage)?;
            if process.ended()?.is_none() {
                process.signal(signal)?;
            }
        }
        for (.., process) in &mut self.others {
            if process.ended()?.is_none() {
                process.signal(signal)?;
            }
        }
        Ok(())
    }

    /// Sends the second members home.
    pub(crate) fn finish(mut self) -> Result<System> {
        while let Some((stage, instance, _)) = self.others.last() {
            let (stage, instance) = (*stage, instance.clone());
            self.leave(stage, &instance)?;
        }
        Ok(self.system)
    }
}

/// The length of every log in which the broker keeps what becomes of transactions.
fn transaction_logs(topics: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut logs = Vec::new();
    for folder in fs::read_dir(topics)? {
        let log = folder?.path().join("00000000000000000000.log");
        if log.to_string_lossy().contains("/__transaction_state-") {
            logs.push((log.clone(), fs::metadata(&log)?.len()));
        }
    }
    logs.sort();
    ensure!(!logs.is_empty(), "no logs of transactions in {}", topics.display());
    Ok(logs)
}

fn note(peaks: &mut BTreeMap<&'static str, u64>, stage: Stage, process: &Process) {
    // One that has ended has none.
    let peak = peaks.entry(stage.name()).or_default();
    *peak = (*peak).max(process.memory_peak().unwrap_or(0));
}

fn killed(name: &str, process: &mut Process) -> Result<bool> {
    use std::os::unix::process::ExitStatusExt as _;
    match process.ended()? {
        None => Ok(false),
        Some(status) if status.signal() == Some(libc::SIGKILL) => Ok(true),
        Some(status) => bail!("{name} ended by itself with {status}: {}", process.log_tail()),
    }
}
