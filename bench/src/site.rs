//! One system that is measured: servers with empty tables, a source, and the sampler that watches everybody.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::tables::Tables;
use harness::{Binaries, SimulatorOptions, Stage, System, SystemOptions, interrupt};
use platform::clock::Deadline;
use stack::Server;

use crate::figures::Phase;
use crate::log;
use crate::memory::{self, Peaks};
use crate::options::{Options, Record};
use crate::part::Part;
use crate::progress::{Counters, Outcomes};
use crate::sampler::{Moment, Sampler};

/// Settings of Postgres beside `shared_buffers`: no checkpoint falls into a run, whose pages would then all be written
/// whole into the WAL once more.
const POSTGRES: [(&str, &str); 2] = [("max_wal_size", "16GB"), ("checkpoint_timeout", "30min")];
/// Time between two looks at the counters of a stage.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Before the first stamp of anybody.
const EVER: &str = "2000-01-01T00:00:00Z";

/// The system.
pub(crate) struct Site {
    /// Watches; ends before those it watches.
    pub(crate) sampler: Sampler,
    pub(crate) tables: Tables,
    pub(crate) system: System,
    pub(crate) record: Record,
    pub(crate) workers: u64,
    dir: PathBuf,
}

impl Site {
    /// Starts servers and source. No stage runs yet.
    pub(crate) fn up(options: &Options, binaries: &Binaries, record: Record, name: &str) -> Result<Self> {
        interrupt::check()?;
        let dir = options.dir.join(name);
        let mut settings = SystemOptions::new(&dir, binaries.clone());
        settings.throwaway = true;
        settings.postgres_fsync = Some(true);
        settings.postgres_shared_buffers_mb = Some(options.shared_buffers_mb);
        // Only the batches that are asked for.
        settings.settings.insert("schedule.cron".into(), "\"0 0 1 1 *\"".into());
        settings.settings.insert("schedule.run_on_start".into(), "false".into());
        let mut system = System::up(settings)?;
        system.setup()?;
        let mut tables = Tables::open(&system)?;
        for (name, value) in POSTGRES {
            tables.execute(&format!("ALTER SYSTEM SET {name} = '{value}'"))?;
        }
        tables.execute("SELECT pg_reload_conf()")?;
        let simulator = SimulatorOptions {
            workers: options.workers,
            seed: options.seed,
            bad_share: 0.0,
            changes_per_second: 0.0,
            more: vec!["--record".to_owned(), record.name().to_owned()],
        };
        let source = system.start_simulator(&simulator)?.pid();
        let sampler = Sampler::start();
        let own = u32::try_from(tables.number("SELECT pg_backend_pid()::bigint")?)?;
        sampler.follow_postgres(system.stack.server(Server::Postgres).pid(), &[own]);
        sampler.follow(Part::Broker, system.stack.server(Server::Kafka).pid());
        sampler.follow(Part::Registry, system.stack.server(Server::Registry).pid());
        sampler.follow(Part::Simulator, source);
        Ok(Self { sampler, tables, system, record, workers: options.workers, dir })
    }

    /// Stops everything and deletes it; the most memory that each part had.
    pub(crate) fn down(mut self, peaks: &mut Peaks) -> Result<()> {
        memory::merge(peaks, self.sampler.peaks());
        self.system.stop_stages()?;
        let Self { sampler, tables, system, dir, .. } = self;
        drop((sampler, tables, system));
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))
    }

    /// Changes at the source what the phase wants changed; how many.
    pub(crate) fn change(&self, phase: Phase) -> Result<u64> {
        let changes = match phase {
            Phase::Load => return Ok(0),
            Phase::Update => self.workers,
            Phase::Redelivery => self.workers / 100,
        };
        self.system.simulator()?.change(changes)?;
        Ok(changes)
    }

    /// Asks for the phase's batch; its id.
    pub(crate) fn poll(&self, phase: Phase) -> Result<String> {
        match phase {
            Phase::Load | Phase::Update => self.system.poll(),
            Phase::Redelivery => self.poll_everything(),
        }
    }

    /// Asks for everybody, whatever was fetched before.
    pub(crate) fn poll_everything(&self) -> Result<String> {
        self.system.poll_since(EVER)
    }

    /// Starts a stage without waiting until it is ready; its counters.
    pub(crate) fn spawn(&mut self, stage: Stage) -> Result<Counters> {
        let part = match stage {
            Stage::Producer => Part::Producer,
            Stage::Processor => Part::Processor,
            Stage::Sink => Part::Sink,
        };
        let pid = self.system.spawn(stage)?.pid();
        self.sampler.follow(part, pid);
        Counters::new(self.system.address(stage.name()).context("a stage listens")?, stage.name())
    }

    /// Starts a stage and waits until it is ready; its counters.
    pub(crate) fn start(&mut self, stage: Stage) -> Result<Counters> {
        let counters = self.spawn(stage)?;
        self.system.process(stage)?.wait_ready()?;
        Ok(counters)
    }

    /// Stops a stage, once more looked at before.
    pub(crate) fn stop(&mut self, stage: Stage, peaks: &mut Peaks) -> Result<()> {
        memory::merge(peaks, self.sampler.peaks());
        self.system.stop(stage)
    }

    /// Where the log of a stage will go on.
    pub(crate) fn log(&self, stage: Stage) -> (PathBuf, usize) {
        let path = self.system.dir().join("logs").join(format!("{}.log", stage.name()));
        let length = fs::metadata(&path).map_or(0, |meta| usize::try_from(meta.len()).unwrap_or(usize::MAX));
        (path, length)
    }

    /// Looks at counters until `done` says how the end looks.
    ///
    /// `done` gets the present counts of every stage asked, none while one does not answer.
    pub(crate) fn follow<T>(
        &mut self,
        what: &str,
        counters: &[&Counters],
        mut done: impl FnMut(Moment, &[Outcomes]) -> Result<Option<T>>,
    ) -> Result<T> {
        // A machine ten times slower than the slowest seen still ends within it.
        let deadline = Deadline::after(Duration::from_secs(120 + self.workers / 500));
        loop {
            interrupt::check()?;
            let at = self.sampler.clock();
            let outcomes: Option<Vec<Outcomes>> = counters.iter().map(|counters| counters.read()).collect();
            match outcomes {
                Some(outcomes) => {
                    if let Some(found) = done(at, &outcomes)? {
                        return Ok(found);
                    }
                }
                None => self.all_run()?,
            }
            if deadline.passed() {
                self.all_run()?;
                bail!("waited in vain for {what}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn all_run(&mut self) -> Result<()> {
        for stage in Stage::ALL {
            if let Ok(process) = self.system.process(stage)
                && let Some(status) = process.ended()?
            {
                bail!("{} ended with {status}: {}", stage.name(), process.log_tail());
            }
        }
        Ok(())
    }

    /// Whether the producer has told the end of this batch.
    pub(crate) fn is_fetched(&self, batch: &str) -> Result<bool> {
        let status = self.system.producer_status()?;
        Ok(status["batch"]["batch_id"] == *batch && status["batch"]["state"] == "closed")
    }

    /// Waits until the producer has told the end of its batch.
    pub(crate) fn wait_fetched(&self, batch: &str) -> Result<()> {
        harness::wait::until("the end of the batch", Duration::from_secs(60), || {
            Ok(self.is_fetched(batch)?.then_some(()))
        })
    }

    /// Bytes written to the WAL so far.
    pub(crate) fn wal_bytes(&mut self) -> Result<u64> {
        let bytes = self.tables.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")?;
        Ok(u64::try_from(bytes)?)
    }

    /// Bytes of a topic's records as they lie on the broker's disk.
    pub(crate) fn topic_bytes(&self, topic: &str) -> Result<u64> {
        let topics = self.system.stack.dir().join("data/kafka/topics");
        let (mut bytes, mut partitions) = (0, 0);
        for entry in fs::read_dir(&topics).with_context(|| format!("cannot read {}", topics.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.rsplit_once('-').is_none_or(|(name, _)| name != topic) {
                continue;
            }
            partitions += 1;
            for file in fs::read_dir(entry.path())? {
                let file = file?;
                if file.path().extension().is_some_and(|extension| extension == "log") {
                    bytes += file.metadata()?.len();
                }
            }
        }
        ensure!(partitions > 0, "{} holds no {topic}", topics.display());
        Ok(bytes)
    }

    /// The settings that decide about the figures.
    pub(crate) fn settings(&mut self) -> Result<String> {
        let of_postgres = self.tables.column(
            "SELECT name || ' ' || current_setting(name) FROM pg_settings
             WHERE name IN ('fsync', 'synchronous_commit', 'shared_buffers', 'max_wal_size', 'checkpoint_timeout')
             ORDER BY name",
        )?;
        let version = self.tables.column("SELECT current_setting('server_version')")?;
        let text = |values: Vec<Option<String>>| values.into_iter().flatten().collect::<Vec<_>>().join(", ");
        Ok(format!(
            "PostgreSQL {} ({}), Kafka with one broker, 4 partitions, 2 workers each in processor and sink",
            text(version),
            text(of_postgres)
        ))
    }

    /// A line about this system.
    pub(crate) fn tell(&self, text: &str) {
        log::line(&format!("  {:<9} {text}", self.record.name()));
    }
}
