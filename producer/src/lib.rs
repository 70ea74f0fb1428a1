//! The producer: polls SISDMK and writes `sisdmk.raw`.
//!
//! **Promise.** Every record that the source gives out in a complete slice is in `sisdmk.raw` with its
//! exact bytes, or in quarantine, before the watermark passes it; records, watermark, report and batch
//! state of a slice are one Kafka transaction, so a crash at any moment leaves either all of them or none.
//! The same record may come again (slices overlap on purpose); the version rule of the stages behind
//! makes that harmless.
//!
//! [`cycle`] is the pure middle: it decides what is asked, published and given up. [`edge`] does it. A
//! profile ([`profile`]) declares everything about a source, so another one needs no other code.
//!
//! Not here: any judgement about a record. It is cut out of its page, its identity is read for the key, and
//! that is all.

pub mod agenda;
pub mod config;
pub mod cycle;
pub mod edge;
pub mod facility;
pub mod hold;
pub mod incident;
pub mod page;
pub mod profile;
pub mod region;
pub mod report;
pub mod schedule;
pub mod shape;
pub mod state;
pub mod watermark;

pub use edge::probe;

use clap::Parser;
use config::{Config, PROCESS};
use edge::admin::{self, COMMANDS_MAX, Status};
use edge::alerts;
use edge::poller::{Parts, Poller};
use edge::raw_topic::RawTopic;
use edge::sisdmk::Sisdmk;
use edge::start;
use platform::exit::{self, Failure};
use platform::http::{self, Health};
use platform::registry::Registry;
use platform::settings::{CommonArgs, Settings};
use platform::shutdown::Shutdown;
use platform::start::Start;
use platform::telemetry;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::block_in_place;

/// Polls SISDMK and writes every record to the topic sisdmk.raw.
#[derive(Debug, Parser)]
#[command(name = PROCESS, version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs the process until it is asked to stop. Exit code 0 then, else 1 runtime, 2 configuration, 3
/// environment.
#[must_use]
pub fn main() -> ExitCode {
    exit::report(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = Settings::load(&arguments.common)?;
    let config = Config::new(&settings)?;
    let registry = Registry::new(&settings)?;
    let _telemetry = telemetry::init(PROCESS, &settings)?;
    let shutdown = Shutdown::on_signals()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::environment("cannot start the threads of the runtime").because(error))?;
    runtime.block_on(serve(config, registry, shutdown))
}

async fn serve(config: Config, registry: Registry, shutdown: Shutdown) -> Result<(), Failure> {
    let health = Health::new(&["kafka", "registry", "state", "source"]);
    let status = Arc::new(Status::default());
    let (commands, wishes) = mpsc::channel(COMMANDS_MAX);
    let shelf = Arc::new(admin::Shelf::new(&config));
    let routes = admin::router(config.admin_token.clone(), commands, Arc::clone(&status), shelf);
    let server = http::serve("producer.listen", config.listen, health.clone(), routes, shutdown.clone()).await?;
    let outcome = poll(config, registry, health, status, wishes, shutdown).await;
    server.stop().await;
    outcome
}

/// Checks the contract, takes over the state and runs the loop.
async fn poll(
    config: Config,
    registry: Registry,
    health: Health,
    status: Arc<Status>,
    commands: mpsc::Receiver<admin::Command>,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let _following = config.kafka.follow_files(&health)?;
    let start = Start { stage: "producer", health: &health, shutdown: &shutdown };
    let Some(audit_schema_id) = start::check(start, &config, &registry).await? else { return Ok(()) };
    let mut topic = RawTopic::new(&config, audit_schema_id, health.clone(), shutdown.clone());
    let Some(view) = block_in_place(|| topic.open())? else { return Ok(()) };
    health.ok("state");
    let fetched_at = view.batch.as_ref().and_then(|batch| batch.fetched_at);
    let sisdmk = Sisdmk::new(&config, fetched_at)?;
    if view.schedule.stopped_for.is_none() && view.incidents.is_empty() {
        health.ok("source");
    } else {
        health.not_ok("source", "an incident is open");
    }
    let alarm = alerts::start(&config.alerts, &config.profile.profile.name, &config.source(), &shutdown)?;
    Poller::new(Parts { config, sisdmk, topic, view, commands, alarm, status, health, shutdown }).run().await
}
