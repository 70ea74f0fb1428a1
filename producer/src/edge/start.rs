//! What is asked before the first record: are the topics, the event schema and the identity key the ones
//! that were agreed?

use crate::config::Config;
use crate::edge::raw_topic::{AUDIT, RAW, STATE, read_state};
use crate::state::Keys;
use platform::clock::Deadline;
use platform::contract::{Partitions, TopicRule};
use platform::exit::Failure;
use platform::kafka::KafkaFault;
use platform::registry::Registry;
use platform::start::{ASK_TIMEOUT, Start};
use schemas::BATCH_EVENT_AVSC;

/// Subject of the events' schema.
const AUDIT_SUBJECT: &str = "sisdmk.audit-value";

/// Key, headers and framing that come to a record's bytes.
const RECORD_OVERHEAD_BYTES: u64 = 64 * 1024;

/// Asks everything and returns the id of the events' schema; `None` when the process is to stop first.
///
/// # Errors
/// Exit 3: a topic or schema differs, or there is no fingerprint yet. Exit 2: another identity key.
pub async fn check(start: Start<'_>, config: &Config, registry: &Registry) -> Result<Option<u32>, Failure> {
    let Some(()) = start.topics(&config.kafka, &rules(config)).await? else { return Ok(None) };
    let schema_id = start.schema(registry, AUDIT_SUBJECT, BATCH_EVENT_AVSC).await?;
    let Some(()) = start.ask_kafka(|| fingerprint(config)).await? else { return Ok(None) };
    Ok(schema_id)
}

fn rules(config: &Config) -> [TopicRule; 3] {
    let record_bytes_max = u64::try_from(config.limits.record_bytes_max).unwrap_or(u64::MAX);
    let rule =
        |name, partitions, cleanup, message_bytes_min| TopicRule { name, partitions, cleanup, message_bytes_min };
    [
        rule(RAW, Partitions::Any, "delete", record_bytes_max.saturating_add(RECORD_OVERHEAD_BYTES)),
        rule(AUDIT, Partitions::Exactly(1), "delete", 0),
        rule(STATE, Partitions::Exactly(1), "compact", 0),
    ]
}

/// Compares the fingerprint of our identity key with the one that `setup` wrote.
///
/// This comes before the transactional id is taken over, so that a process with a wrong key does not
/// stop the one that runs. The entry is not part of a transaction, so open ones need not be waited for.
fn fingerprint(config: &Config) -> Result<Result<(), Failure>, KafkaFault> {
    let keys = Keys::of(&config.profile.profile.name);
    let view = match read_state(&config.kafka, &keys, false, Deadline::after(ASK_TIMEOUT))? {
        Ok(view) => view,
        Err(failure) => return Ok(Err(failure)),
    };
    Ok(match view.identity {
        None => Err(Failure::environment("sisdmk.state holds no fingerprint of the identity key")
            .hint("run `sisdmk setup` with the same identity.hmac_key_file")),
        Some(identity) if identity.fingerprint == config.identity_key.fingerprint() => Ok(()),
        Some(_) => Err(Failure::config("identity.hmac_key_file is not the key that this system was set up with")
            .hint("give the original key; another one would publish every person under a second identity")),
    })
}
