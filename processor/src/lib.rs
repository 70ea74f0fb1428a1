//! The processor: `sisdmk.raw` to `sisdmk.clean` or `sisdmk.dlq`.
//!
//! **Promise.** For readers of committed records each raw record ends exactly once: as a clean record, as a dead letter, or as
//! one that says nothing new (`equal`, `stale`), in the transaction that also carries its position and the report of it. A fault
//! of the world is waited out in place and never makes a dead letter.
//!
//! The promise ends where the client's does: after an end of a transaction that nobody can tell, the producer is
//! thrown away and the committed positions are read again; every clean record carries its raw coordinates, so that even
//! then a duplicate could be seen, and the sink would find it `equal`.
//!
//! [`transform`] decides about a record, [`view`] knows whether it is news, [`runs`] accounts for positions; all are pure. The loop
//! is in `edge/worker`.

pub mod carried;
mod config;
mod edge;
pub mod policy;
pub mod provenance;
pub mod report;
pub mod runs;
pub mod standstill;
pub mod transform;
pub mod view;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use platform::exit::{self, Failure};
use platform::http::{self, Health};
use platform::kafka::KafkaConfig;
use platform::registry::Registry;
use platform::secrets;
use platform::settings::{CommonArgs, Settings};
use platform::shutdown::Shutdown;
use platform::start::Start;
use platform::telemetry;
use rules::Rules;
use schemas::identity::IdentityKey;

pub use crate::config::flow_max;
use crate::config::{Config, STAGE};
use crate::edge::start::{self, SchemaIds};
use crate::edge::telemetry::{Telemetry, check};
use crate::edge::views::{Kept, Views};
use crate::edge::worker::{Part, Worker};
use crate::transform::Transform;

const PROCESS: &str = "sisdmk-processor";

/// Judges every record of sisdmk.raw and publishes it clean, or dead with its reasons.
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

/// Everything that is read before any connection is opened.
struct Parts {
    config: Config,
    kafka: KafkaConfig,
    rules: Arc<Rules>,
    key: Arc<IdentityKey>,
}

impl Parts {
    /// What worker `number` is told.
    fn part(&self, number: usize, ids: SchemaIds) -> Part<'_> {
        Part { config: &self.config, kafka: &self.kafka, number, audit_schema_id: ids.audit }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = Settings::load(&arguments.common)?;
    let config = Config::read(&settings)?;
    let kafka = KafkaConfig::new(&settings, PROCESS)?.with_transaction_timeout(config.transaction_timeout);
    let registry = Registry::new(&settings)?;
    let rules = Rules::new(config.layout.clone(), &config.status_aktif)
        .map_err(|error| Failure::config("the profile and its settings make no rules").because(error))?;
    let key = secrets::read(&config.hmac_key_file)?;
    let key = IdentityKey::from_secret(key.expose())
        .map_err(|error| Failure::config("identity.hmac_key_file cannot be used").because(error))?;
    let _telemetry = telemetry::init(PROCESS, &settings)?;
    let shutdown = Shutdown::on_signals()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::environment("cannot start the threads of the runtime").because(error))?;
    let parts = Parts { config, kafka, rules: Arc::new(rules), key: Arc::new(key) };
    runtime.block_on(serve(parts, registry, shutdown))
}

async fn serve(parts: Parts, registry: Registry, shutdown: Shutdown) -> Result<(), Failure> {
    let workers: Vec<String> = (0..parts.config.threads).map(check).collect();
    let checks: Vec<&str> = ["kafka", "registry"].into_iter().chain(workers.iter().map(String::as_str)).collect();
    let health = Health::new(&checks);
    let server =
        http::serve("processor.listen", parts.config.listen, health.clone(), Default::default(), shutdown.clone())
            .await?;
    let _following = parts.kafka.follow_files(&health)?;
    let start = Start { stage: STAGE, health: &health, shutdown: &shutdown };
    let outcome = match start::check(start, &parts.kafka, &registry, &parts.key).await {
        Ok(Some(ids)) => tokio::task::block_in_place(|| work(&parts, ids, &health, &shutdown)),
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    server.stop().await;
    outcome
}

/// Runs all workers until `shutdown` or until one of them must not go on; then all end.
fn work(parts: &Parts, ids: SchemaIds, health: &Health, shutdown: &Shutdown) -> Result<(), Failure> {
    let kept = &Kept::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..parts.config.threads)
            .map(|number| {
                std::thread::Builder::new()
                    .name(format!("worker-{number}"))
                    .spawn_scoped(scope, move || {
                        let transform = Transform::new(Arc::clone(&parts.rules), Arc::clone(&parts.key), ids.clean);
                        let telemetry = Telemetry::new(health.clone(), number);
                        let views = Views::new(&parts.kafka, ids.clean, kept.clone(), telemetry.clone());
                        let ended = Worker::join(parts.part(number, ids), transform, views, telemetry)
                            .map_err(|fault| Failure::config(format!("failed to {fault}")))
                            .and_then(|worker| worker.run(shutdown));
                        // One worker that must not go on ends the process: the others would hide it.
                        shutdown.set();
                        ended
                    })
                    .map_err(|error| Failure::environment("cannot start a worker's thread").because(error))
            })
            .collect();
        // All are waited for, also after the first that failed; its failure is what is told.
        let mut outcome = Ok(());
        for thread in threads {
            let ended = thread.and_then(|thread| {
                thread.join().unwrap_or_else(|_| Err(Failure::runtime("a worker's thread panicked")))
            });
            outcome = outcome.and(ended);
        }
        outcome
    })
}
