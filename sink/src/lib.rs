//! The sink: `sisdmk.clean` into Postgres, and the ledger that closes batches.
//!
//! **Promise.** Every record of `sisdmk.clean` ends once as a row that was inserted, updated, marked as
//! deleted or found equal, stale or superseded, or as a dead letter, and is counted as such: position,
//! rows and counts are written by one transaction of Postgres, or none of them is. No row ever goes
//! back to an older version, whatever is delivered again and in whatever order. A fault of the world
//! is waited out in place; it never makes a dead letter.
//!
//! The promise does not cover dead letters being there once: a commit that fails after they were
//! written writes them again, with the same coordinates.
//!
//! [`plan`], [`bisection`], [`report`], [`ledger`], [`policy`] and [`partition`] decide and are pure;
//! [`copy`] and [`stage`] encode. `edge/worker` drives a partition, `edge/writer` is the transaction,
//! `edge/ledger` closes batches. [`migrations`] is also used by `sisdmk setup`.

mod batch;
mod bisection;
mod closing;
mod config;
mod copy;
mod edge;
mod ledger;
mod letter;
pub mod migrations;
mod partition;
mod plan;
mod policy;
mod report;
mod stage;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use platform::exit::{self, Failure};
use platform::http::{self, Health};
use platform::registry::Registry;
use platform::settings::{CommonArgs, Settings};
use platform::shutdown::Shutdown;
use platform::start::Start;
use platform::telemetry;

use crate::config::Config;
use crate::edge::ledger::Ledger;
use crate::edge::postgres::Address;
use crate::edge::start::{self, SchemaIds};
use crate::edge::worker::{Worker, check_name};

const PROCESS: &str = "sisdmk-sink";

/// Takes sisdmk.clean into Postgres and closes batches.
#[derive(Debug, Parser)]
#[command(name = PROCESS, version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs the process until it is asked to stop. Exit code 0 then, else 1 runtime, 2 configuration, 3 environment.
#[must_use]
pub fn main() -> ExitCode {
    exit::report(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = Settings::load(&arguments.common)?;
    let config = Arc::new(Config::new(&settings)?);
    let registry = Registry::new(&settings)?;
    let _telemetry = telemetry::init(PROCESS, &settings)?;
    let shutdown = Shutdown::on_signals()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::environment("cannot start the threads of the runtime").because(error))?;
    runtime.block_on(serve(config, registry, shutdown))
}

async fn serve(config: Arc<Config>, registry: Registry, shutdown: Shutdown) -> Result<(), Failure> {
    let workers: Vec<String> = (0..config.threads).map(check_name).collect();
    let checks: Vec<&str> =
        start::CHECKS.into_iter().chain([edge::ledger::CHECK]).chain(workers.iter().map(String::as_str)).collect();
    let health = Health::new(&checks);
    let server =
        http::serve("sink.listen", config.listen, health.clone(), Default::default(), shutdown.clone()).await?;
    let address = Address::new(&config.postgres_url, config.postgres_password_file.clone(), "sisdmk-sink start")?;
    let _following = config.kafka.follow_files(&health)?;
    let start = Start { stage: "sink", health: &health, shutdown: &shutdown };
    let outcome = match start::check(start, &config.kafka, &registry, &address).await {
        Ok(Some(ids)) => tokio::task::block_in_place(|| work(&config, ids, &health, &shutdown)),
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    server.stop().await;
    outcome
}

/// Runs the workers and the ledger until `shutdown`, or until one of them must not go on; then all end.
fn work(config: &Arc<Config>, ids: SchemaIds, health: &Health, shutdown: &Shutdown) -> Result<(), Failure> {
    let spawn = |name: String, body: Box<dyn FnOnce() -> Result<(), Failure> + Send>| {
        let ends = shutdown.clone();
        std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                // Also when it panics: one thread that does not go on ends the process, because the
                // others would hide it.
                let _ends = Ends(ends);
                body()
            })
            .map_err(|error| Failure::environment("cannot start a thread").because(error))
    };
    let mut threads = Vec::new();
    for number in 0..config.threads {
        let (config, health, shutdown) = (Arc::clone(config), health.clone(), shutdown.clone());
        threads.push(spawn(
            format!("worker-{number}"),
            Box::new(move || Worker::join(config, number, ids.clean, health)?.run(&shutdown)),
        )?);
    }
    let (config, health, stopping) = (Arc::clone(config), health.clone(), shutdown.clone());
    threads.push(spawn(
        "ledger".to_owned(),
        Box::new(move || {
            Ledger::new(config, ids.audit, health)?.run(&stopping);
            Ok(())
        }),
    )?);
    let mut outcome = Ok(());
    for thread in threads {
        let ended =
            thread.join().unwrap_or_else(|_| Err(Failure::runtime("a thread panicked; its place is in the log")));
        outcome = outcome.and(ended);
    }
    outcome
}

/// Asks everybody to stop when it is dropped.
struct Ends(Shutdown);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.set();
    }
}
