//! What the processor asks before the first record: are the topics, the identity key and the schemas those that were
//! agreed?

use platform::clock::Deadline;
use platform::contract::{Partitions, TopicRule};
use platform::exit::Failure;
use platform::kafka::{KafkaConfig, KafkaFault, read_to_end};
use platform::registry::Registry;
use platform::start::{ASK_TIMEOUT, Start};
use schemas::identity::IdentityKey;

const STATE_TOPIC: &str = "sisdmk.state";
const IDENTITY_KEY: &[u8] = b"identity";

/// The registry's ids of what this stage writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaIds {
    /// `SdmkWorker`.
    pub(crate) clean: u32,
    /// `BatchEvent`.
    pub(crate) audit: u32,
}

/// Asks until everything is answered; `None` where the process is to stop first.
///
/// Errors: exit 3 where a topic or schema differs or is missing, exit 2 for another identity key.
pub(crate) async fn check(
    start: Start<'_>,
    kafka: &KafkaConfig,
    registry: &Registry,
    key: &IdentityKey,
) -> Result<Option<SchemaIds>, Failure> {
    let Some(()) = start.topics(kafka, &topics()).await? else { return Ok(None) };
    let Some(()) = start.ask_kafka(|| fingerprint(kafka, key)).await? else { return Ok(None) };
    let clean = start.schema(registry, "sisdmk.clean-value", schemas::SDMK_WORKER_AVSC).await?;
    let audit = start.schema(registry, "sisdmk.audit-value", schemas::BATCH_EVENT_AVSC).await?;
    Ok(clean.zip(audit).map(|(clean, audit)| SchemaIds { clean, audit }))
}

fn topics() -> [TopicRule; 5] {
    let rule = |name, partitions, cleanup| TopicRule { name, partitions, cleanup, message_bytes_min: 0 };
    [
        rule("sisdmk.raw", Partitions::Any, "delete"),
        rule("sisdmk.clean", Partitions::SameAs("sisdmk.raw"), "compact"),
        rule("sisdmk.dlq", Partitions::SameAs("sisdmk.raw"), "delete"),
        rule("sisdmk.audit", Partitions::Exactly(1), "delete"),
        rule(STATE_TOPIC, Partitions::Exactly(1), "compact"),
    ]
}

/// Compares our identity key with the fingerprint that `setup` wrote.
fn fingerprint(kafka: &KafkaConfig, key: &IdentityKey) -> Result<Result<(), Failure>, KafkaFault> {
    let mut stored = None;
    // `setup` writes this one record outside of any transaction, so open ones need not be waited for.
    read_to_end(kafka, STATE_TOPIC, false, Deadline::after(ASK_TIMEOUT), |message| {
        if message.key == Some(IDENTITY_KEY) {
            stored = message.value.map(|value| String::from_utf8_lossy(value).into_owned());
        }
    })?;
    Ok(match stored {
        None => Err(Failure::environment("sisdmk.state holds no fingerprint of the identity key")
            .hint("run `sisdmk setup` with the same identity.hmac_key_file")),
        Some(stored) if stored.contains(&format!("\"{}\"", key.fingerprint())) => Ok(()),
        Some(_) => Err(Failure::config("identity.hmac_key_file is not the key that this system was set up with")
            .hint("give the original key; another one would publish every person under a second identity")),
    })
}
