//! The whole system on this machine: servers, configuration, secrets, stages.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stack::{Options, Stack};

use crate::clock;
use crate::points::FailPoints;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::simulator::{Simulator, SimulatorOptions};
use crate::{tables, wait};

/// Longest time until the producer takes a poll: it may be in the middle of another batch, on a machine that has other work.
const POLL_LIMIT: Duration = Duration::from_secs(180);

/// Heap of each broker where there are several.
const SMALL_HEAP_MB: u32 = 256;

/// The stages, in the order the data flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// SISDMK to `sisdmk.raw`.
    Producer,
    /// `sisdmk.raw` to `sisdmk.clean`.
    Processor,
    /// `sisdmk.clean` to Postgres.
    Sink,
}

impl Stage {
    /// All, in the order the data flows.
    pub const ALL: [Self; 3] = [Self::Producer, Self::Processor, Self::Sink];

    /// The word used everywhere for this stage.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Processor => "processor",
            Self::Sink => "sink",
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `sisdmk-producer`.
    pub producer: PathBuf,
    /// `sisdmk-processor`.
    pub processor: PathBuf,
    /// `sisdmk-sink`.
    pub sink: PathBuf,
    /// `sisdmk`.
    pub console: PathBuf,
    /// `sisdmk-simulator`.
    pub simulator: PathBuf,
}

impl Binaries {
    /// The programs beside the running one, as `cargo build` leaves them.
    pub fn beside_this_program() -> Result<Self> {
        let here = std::env::current_exe()?;
        let folder = here.parent().context("this program has no folder")?;
        let at = |name: &str| {
            let path = folder.join(name);
            if path.exists() {
                Ok(path)
            } else {
                bail!("{} is missing: run `cargo build --workspace --bins`", path.display())
            }
        };
        Ok(Self {
            producer: at("sisdmk-producer")?,
            processor: at("sisdmk-processor")?,
            sink: at("sisdmk-sink")?,
            console: at("sisdmk")?,
            simulator: at("sisdmk-simulator")?,
        })
    }

    fn of(&self, stage: Stage) -> &Path {
        match stage {
            Stage::Producer => &self.producer,
            Stage::Processor => &self.processor,
            Stage::Sink => &self.sink,
        }
    }
}

/// What a system is started with.
#[derive(Clone, Debug)]
pub struct SystemOptions {
    /// Folder for everything: data, logs, secrets, configuration.
    pub dir: PathBuf,
    /// The programs to run.
    pub binaries: Binaries,
    /// Partitions of `sisdmk.raw`, `sisdmk.clean` and `sisdmk.dlq`.
    pub partitions: u32,
    /// Settings beside the harness' own, `section.key` to a TOML value.
    pub settings: BTreeMap<String, String>,
    /// Nobody wants to see it afterwards: Postgres need not wait for the disk, and the servers' data are deleted.
    pub throwaway: bool,
    /// How many brokers: 1 or 3, see [`stack::Options`]; three have small heaps.
    pub brokers: u8,
    /// Port of a proxy before the broker, to which clients that come in through it are kept; see [`stack::Options`]. Whoever
    /// makes the proxy also sets `kafka.bootstrap_servers`.
    pub kafka_proxy_port: Option<u16>,
    /// The broker lets in by way of its proxy only whom it knows; see [`stack::Options`]. Whoever sets it also gives the stages
    /// what they need for it.
    pub kafka_proxy_tls: Option<PathBuf>,
    /// Put a proxy in front of each server: the stages then reach Kafka, registry, Postgres and source through it alone.
    /// What the harness itself asks goes past them.
    pub proxied: bool,
    /// Give each stage a folder of fail points. Only builds with the feature `sabotage` look into it.
    pub fail_points: bool,
    /// Run the stages on a clock that [`System::set_clock`] sets; else on that of the machine. Only builds with the feature
    /// `sabotage` do.
    pub own_clock: bool,
    /// The promise that a stage breaks, by its name in `platform::sabotage`. Only such builds do.
    pub sabotage: Option<(Stage, &'static str)>,
    /// Also start Kafka Connect, without any connector.
    pub connect: bool,
    /// Also start Alertmanager, which the producer then tells its incidents.
    pub alertmanager: bool,
    /// Whether Postgres waits for the disk at each commit, whatever `throwaway` says.
    pub postgres_fsync: Option<bool>,
    /// `shared_buffers` of Postgres in MiB; none: the stack's own.
    pub postgres_shared_buffers_mb: Option<u32>,
}

impl SystemOptions {
    /// The local stack's form: 4 partitions, nothing special.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, binaries: Binaries) -> Self {
        Self {
            dir: dir.into(),
            binaries,
            partitions: 4,
            settings: BTreeMap::new(),
            throwaway: false,
            brokers: 1,
            kafka_proxy_port: None,
            kafka_proxy_tls: None,
            proxied: false,
            fail_points: false,
            own_clock: false,
            sabotage: None,
            connect: false,
            alertmanager: false,
            postgres_fsync: None,
            postgres_shared_buffers_mb: None,
        }
    }
}

/// The links between the stages and what they talk to.
#[derive(Debug)]
pub struct Links {
    /// To the broker.
    pub kafka: Proxy,
    /// To the schema registry.
    pub registry: Proxy,
    /// To Postgres.
    pub postgres: Proxy,
    /// To the source.
    pub source: Proxy,
}

impl Links {
    /// Lets everything pass again, on every link.
    pub fn restore(&self) {
        for link in [&self.kafka, &self.registry, &self.postgres, &self.source] {
            link.restore();
        }
    }
}

/// Servers that run, a configuration that names them, and the stages started so far.
pub struct System {
    /// The real servers.
    pub stack: Stack,
    options: SystemOptions,
    links: Option<Links>,
    listen: BTreeMap<&'static str, SocketAddr>,
    running: BTreeMap<Stage, Process>,
    simulator: Option<Simulator>,
}

impl System {
    /// Starts the servers and writes secrets and configuration. No topic and no table is made yet.
    pub fn up(options: SystemOptions) -> Result<Self> {
        fs::create_dir_all(options.dir.join("secrets"))?;
        fs::create_dir_all(options.dir.join("quarantine"))?;
        let mut servers = Options::new(options.dir.join("stack"));
        servers.postgres_fsync = options.postgres_fsync.unwrap_or(!options.throwaway);
        if let Some(size) = options.postgres_shared_buffers_mb {
            servers.postgres_shared_buffers_mb = size;
        }
        servers.discard = options.throwaway;
        servers.kafka_brokers = options.brokers;
        if options.brokers > 1 {
            servers.kafka_heap_mb = SMALL_HEAP_MB;
        }
        servers.connect = options.connect;
        servers.alertmanager = options.alertmanager;
        let links = if options.proxied {
            let proxy = Proxy::start;
            Some(Links { kafka: proxy()?, registry: proxy()?, postgres: proxy()?, source: proxy()? })
        } else {
            None
        };
        let own = links.as_ref().map(|links| links.kafka.address().port());
        servers.kafka_proxy_port = own.or(options.kafka_proxy_port);
        servers.kafka_proxy_tls = options.kafka_proxy_tls.clone();
        let stack = Stack::up(servers)?;
        let mut listen = BTreeMap::new();
        for name in ["simulator", "producer", "processor", "sink"] {
            listen.insert(name, free_address()?);
        }
        let system = Self { stack, options, links, listen, running: BTreeMap::new(), simulator: None };
        system.lead_links()?;
        if system.options.own_clock {
            system.set_clock(0)?;
        }
        // With the newline that an editor leaves: it is no part of the key, and the simulator must find the same.
        system.secret("hmac.key", b"key of a demonstration, of no use elsewhere\n")?;
        system.secret("api.token", b"token-of-the-demonstration")?;
        system.secret("admin.token", b"admin-of-the-demonstration")?;
        system.secret("sink.password", tables::SINK_PASSWORD.as_bytes())?;
        system.write_configuration()?;
        Ok(system)
    }

    /// Tells the proxies where the servers are.
    fn lead_links(&self) -> Result<()> {
        let Some(links) = &self.links else { return Ok(()) };
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        links.kafka.lead_to(local(self.stack.kafka_behind_proxy().context("a listener behind the proxy")?));
        links.registry.lead_to(local(port_of(&self.stack.registry_url())?));
        links.postgres.lead_to(local(port_of(&self.stack.postgres_url())?));
        links.source.lead_to(self.address("simulator").context("no address")?);
        Ok(())
    }

    /// The links, in a system that was started with proxies.
    pub fn links(&self) -> Result<&Links> {
        self.links.as_ref().context("this system has no proxies")
    }

    /// Folder of this system.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// The configuration file that all processes share.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.options.dir.join("sisdmk.toml")
    }

    /// The console's program.
    #[must_use]
    pub fn console_path(&self) -> &Path {
        &self.options.binaries.console
    }

    /// Where a process of ours listens.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.listen.get(name).copied()
    }

    /// Path of a secret's file.
    #[must_use]
    pub fn secret_path(&self, name: &str) -> PathBuf {
        self.options.dir.join("secrets").join(name)
    }

    /// Writes a secret as a secret manager's agent would: readable by its owner alone, replaced at once.
    pub fn secret(&self, name: &str, value: &[u8]) -> Result<()> {
        use std::io::Write as _;
        let path = self.secret_path(name);
        let next = path.with_extension("next");
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(value)?;
        file.sync_all()?;
        fs::rename(next, path)?;
        Ok(())
    }

    fn write_configuration(&self) -> Result<()> {
        let quoted = |text: &dyn std::fmt::Display| format!("\"{text}\"");
        let secret = |name: &str| quoted(&self.secret_path(name).display());
        let address = |name: &str| self.address(name).map_or_else(String::new, |at| at.to_string());
        let past = |url: String, link: fn(&Links) -> &Proxy| -> Result<String> {
            let Some(links) = &self.links else { return Ok(url) };
            let port = port_of(&url)?;
            Ok(url.replacen(&format!(":{port}"), &format!(":{}", link(links).address().port()), 1))
        };
        let source = past(format!("http://{}", address("simulator")), |links| &links.source)?;
        let mut settings: BTreeMap<String, String> = [
            ("kafka.bootstrap_servers", quoted(&past(self.stack.bootstrap_servers(), |links| &links.kafka)?)),
            ("registry.url", quoted(&past(self.stack.registry_url(), |links| &links.registry)?)),
            ("postgres.url", quoted(&past(self.sink_postgres_url(), |links| &links.postgres)?)),
            ("postgres.password_file", secret("sink.password")),
            ("setup.postgres_url", quoted(&self.stack.postgres_url())),
            ("setup.postgres_password_file", quoted(&self.stack.postgres_password_file().display())),
            ("source.profile", quoted(&"sdmk-modified")),
            ("source.base_url", quoted(&source)),
            ("source.token_file", secret("api.token")),
            // The simulator is ours: nobody has to be spared.
            ("source.requests_per_second", "1000".to_owned()),
            ("identity.hmac_key_file", secret("hmac.key")),
            ("schedule.run_on_start", "true".to_owned()),
            ("schedule.jitter", quoted(&"0s")),
            ("quarantine.url", quoted(&format!("file://{}", self.options.dir.join("quarantine").display()))),
            ("producer.listen", quoted(&address("producer"))),
            ("producer.admin_url", quoted(&format!("http://{}", address("producer")))),
            ("producer.admin_token_file", secret("admin.token")),
            ("processor.listen", quoted(&address("processor"))),
            ("processor.threads", "2".to_owned()),
            ("sink.listen", quoted(&address("sink"))),
            ("security.allow_plaintext", "true".to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        if let Some(url) = self.stack.alertmanager_url() {
            settings.insert("alerts.alertmanager_url".to_owned(), quoted(&url));
        }
        settings.extend(self.options.settings.clone());
        let mut sections: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in &settings {
            let (section, key) = name.split_once('.').context("a setting is section.key")?;
            let body = sections.entry(section).or_default();
            body.push_str(&format!("{key} = {value}\n"));
        }
        let text: String = sections.iter().map(|(section, body)| format!("[{section}]\n{body}\n")).collect();
        fs::write(self.configuration(), text)?;
        Ok(())
    }

    /// Changes one setting in the configuration file; processes see it at their next start.
    pub fn set(&mut self, key: &str, toml_value: &str) -> Result<()> {
        self.options.settings.insert(key.to_owned(), toml_value.to_owned());
        self.write_configuration()
    }

    /// The sink's own login: what it may do is what its role may do.
    #[must_use]
    pub fn sink_postgres_url(&self) -> String {
        self.stack.postgres_url().replacen(
            "postgres://sisdmk_admin@",
            &format!("postgres://{}@", tables::SINK_LOGIN),
            1,
        )
    }

    /// Runs `sisdmk` with the system's configuration and waits for its end.
    pub fn console(&self, arguments: &[&str]) -> Result<Output> {
        Command::new(&self.options.binaries.console)
            .args(arguments)
            .arg("--config")
            .arg(self.configuration())
            .output()
            .context("cannot run sisdmk")
    }

    /// `sisdmk setup`, and the login of the sink, which is an operator's to make.
    pub fn setup(&self) -> Result<String> {
        let partitions = self.options.partitions.to_string();
        let output = self.console(&["setup", "--partitions", &partitions])?;
        if !output.status.success() {
            bail!(
                "sisdmk setup: {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        tables::make_sink_login(self)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts the simulator where the configuration expects the source.
    pub fn start_simulator(&mut self, options: &SimulatorOptions) -> Result<&Simulator> {
        let address = self.address("simulator").context("no address")?;
        let simulator = Simulator::start(
            &self.options.binaries.simulator,
            options,
            address,
            &self.secret_path("api.token"),
            &self.secret_path("hmac.key"),
            &self.options.dir.join("logs"),
        )?;
        Ok(self.simulator.insert(simulator))
    }

    /// The simulator that runs.
    pub fn simulator(&self) -> Result<&Simulator> {
        self.simulator.as_ref().context("the simulator was not started")
    }

    /// Starts a stage without waiting until it is ready.
    pub fn spawn(&mut self, stage: Stage) -> Result<&mut Process> {
        let arguments = ["--config".to_owned(), self.configuration().display().to_string()];
        let process = Process::start(
            stage.name(),
            self.options.binaries.of(stage),
            &arguments,
            &self.environment(stage)?,
            &self.options.dir.join("logs"),
            self.address(stage.name()),
        )?;
        self.running.insert(stage, process);
        self.process(stage)
    }

    /// Starts another processor beside the first, under a name of its own, and waits until it is ready.
    pub fn another_processor(&self, instance: &str) -> Result<Process> {
        let mut process = self.spawn_another(Stage::Processor, instance)?;
        process.wait_ready()?;
        Ok(process)
    }

    /// Starts another process of a stage beside the first, without waiting for it.
    pub fn spawn_another(&self, stage: Stage, instance: &str) -> Result<Process> {
        let listen = free_address()?;
        let mut settings = vec![format!("{}.listen={listen}", stage.name())];
        if stage == Stage::Processor {
            settings.push(format!("processor.instance={instance}"));
        }
        let mut arguments = vec!["--config".to_owned(), self.configuration().display().to_string()];
        arguments.extend(settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]));
        let name = format!("{}-{instance}", stage.name());
        let logs = self.options.dir.join("logs");
        let program = self.options.binaries.of(stage);
        Process::start(&name, program, &arguments, &self.environment(stage)?, &logs, Some(listen))
    }

    /// The fail points of the processes of a stage.
    pub fn fail_points(&self, stage: Stage) -> Result<FailPoints> {
        FailPoints::new(self.options.dir.join("points").join(stage.name()))
    }

    fn environment(&self, stage: Stage) -> Result<Vec<(String, String)>> {
        let mut environment = Vec::new();
        if self.options.fail_points {
            environment.push(self.fail_points(stage)?.environment());
        }
        if let Some((_, name)) = self.options.sabotage.filter(|(of, _)| *of == stage) {
            environment.push(("SISDMK_SABOTAGE".to_owned(), name.to_owned()));
        }
        if self.options.own_clock {
            environment.push(clock::environment(&self.clock_file()));
        }
        Ok(environment)
    }

    fn clock_file(&self) -> PathBuf {
        self.options.dir.join("clock")
    }

    /// Sets the clock of the stages, those that run too, so many seconds from the machine's.
    pub fn set_clock(&self, seconds: i64) -> Result<()> {
        clock::set(&self.clock_file(), seconds)
    }

    /// Starts a stage and waits until it is ready.
    pub fn start(&mut self, stage: Stage) -> Result<()> {
        self.spawn(stage)?.wait_ready()
    }

    /// The process of a stage that was started.
    pub fn process(&mut self, stage: Stage) -> Result<&mut Process> {
        self.running.get_mut(&stage).with_context(|| format!("{} was not started", stage.name()))
    }

    /// Stops a stage cleanly.
    pub fn stop(&mut self, stage: Stage) -> Result<()> {
        let mut process = self.running.remove(&stage).with_context(|| format!("{} was not started", stage.name()))?;
        ended_well(stage, &mut process)
    }

    /// `kill -9`, then starts it again.
    pub fn kill_and_restart(&mut self, stage: Stage) -> Result<()> {
        self.process(stage)?.kill()?;
        self.start(stage)
    }

    /// Asks the producer for a batch now; its id.
    pub fn poll(&self) -> Result<String> {
        self.poll_with("{}")
    }

    /// Asks the producer for a batch of everything since an RFC 3339 time, whatever was fetched before; its id.
    pub fn poll_since(&self, since: &str) -> Result<String> {
        self.poll_with(&format!("{{\"since\":\"{since}\"}}"))
    }

    /// What the producer says of itself and of its newest batch.
    pub fn producer_status(&self) -> Result<serde_json::Value> {
        let address = self.address("producer").context("no address")?;
        let token = fs::read_to_string(self.secret_path("admin.token"))?;
        let answer = reqwest::blocking::Client::new()
            .get(format!("http://{address}/admin/status"))
            .bearer_auth(token)
            .send()?
            .error_for_status()?;
        Ok(serde_json::from_str(&answer.text()?)?)
    }

    fn poll_with(&self, body: &str) -> Result<String> {
        let address = self.address("producer").context("no address")?;
        let token = fs::read_to_string(self.secret_path("admin.token"))?;
        let client = reqwest::blocking::Client::new();
        wait::until("the producer to take a poll", POLL_LIMIT, || {
            let answer = client
                .post(format!("http://{address}/admin/poll"))
                .bearer_auth(&token)
                .header("content-type", "application/json")
                .body(body.to_owned())
                .send();
            // It may be between two processes, or in the middle of a batch.
            let Ok(answer) = answer else { return Ok(None) };
            if answer.status() == reqwest::StatusCode::CONFLICT
                || answer.status() == reqwest::StatusCode::SERVICE_UNAVAILABLE
            {
                return Ok(None);
            }
            let status = answer.status();
            let text = answer.text()?;
            if !status.is_success() {
                bail!("the producer refused to poll: {status} {text}");
            }
            let body: serde_json::Value = serde_json::from_str(&text)?;
            Ok(body["batch_id"].as_str().map(str::to_owned))
        })
    }

    /// Stops the stages in the order the data flows, then the simulator; the servers stop with `self`.
    pub fn stop_stages(&mut self) -> Result<()> {
        for (stage, mut process) in std::mem::take(&mut self.running) {
            ended_well(stage, &mut process)?;
        }
        self.simulator = None;
        Ok(())
    }
}

fn ended_well(stage: Stage, process: &mut Process) -> Result<()> {
    let status = process.stop()?;
    if !status.success() {
        bail!("{} ended with {status}: {}", stage.name(), process.log_tail());
    }
    Ok(())
}

/// The port of a server's address or URL.
fn port_of(url: &str) -> Result<u16> {
    let after = url.rsplit_once("127.0.0.1:").context("a server on this machine")?.1;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    let port = stack::free_port().context("this machine has no free port")?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}
