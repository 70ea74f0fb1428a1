//! What is asked before the first record: are the topics, the schemas and the tables those that were
//! agreed?

use platform::contract::{Partitions, TopicRule};
use platform::exit::Failure;
use platform::kafka::KafkaConfig;
use platform::registry::Registry;
use platform::start::{Answer, Start};

use crate::edge::ledger::AUDIT;
use crate::edge::postgres::{Address, fault};
use crate::edge::worker::CLEAN;
use crate::migrations::{self, MigrationFault};
use crate::policy::action;

/// Names of the checks that are asked here.
pub(crate) const CHECKS: [&str; 3] = ["kafka", "registry", "postgres"];

/// The registry's ids of what the sink reads and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaIds {
    /// `SdmkWorker`.
    pub(crate) clean: u32,
    /// `BatchEvent`.
    pub(crate) audit: u32,
}

/// Asks until everything is answered; `None` where the process is to stop first.
///
/// # Errors
/// Exit 3 where a topic, schema or table differs or is missing.
pub(crate) async fn check(
    start: Start<'_>,
    kafka: &KafkaConfig,
    registry: &Registry,
    address: &Address,
) -> Result<Option<SchemaIds>, Failure> {
    let Some(()) = start.topics(kafka, &topics()).await? else { return Ok(None) };
    let Some(()) = start.ask("postgres", async || ask_postgres(address).await).await? else { return Ok(None) };
    let clean = start.schema(registry, "sisdmk.clean-value", schemas::SDMK_WORKER_AVSC).await?;
    let audit = start.schema(registry, "sisdmk.audit-value", schemas::BATCH_EVENT_AVSC).await?;
    Ok(clean.zip(audit).map(|(clean, audit)| SchemaIds { clean, audit }))
}

fn topics() -> [TopicRule; 3] {
    let rule = |name, partitions, cleanup| TopicRule { name, partitions, cleanup, message_bytes_min: 0 };
    [
        rule(CLEAN, Partitions::Any, "compact"),
        rule("sisdmk.dlq", Partitions::SameAs(CLEAN), "delete"),
        rule(AUDIT, Partitions::Exactly(1), "delete"),
    ]
}

async fn ask_postgres(address: &Address) -> Result<Answer<()>, Failure> {
    let waits = |fault: crate::policy::Fault| {
        let (_, advice) = action(&fault, 0);
        Ok(Answer::Waits(format!("failed to {fault}; {advice}")))
    };
    let mut connection = match address.connect().await {
        Ok(connection) => connection,
        Err(fault) => return waits(fault),
    };
    match migrations::check(&mut connection).await {
        Ok(()) => Ok(Answer::Good(())),
        Err(MigrationFault::Postgres(error)) => waits(fault(&error)),
        Err(differs) => Err(Failure::environment(format!("the tables are not this program's: {differs}"))),
    }
}
