//! Faults of Kafka, sorted by what a caller can do about them.

use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode as Code};

/// What a caller can do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The same call may work later: brokers away, leaders moving, a coordinator loading.
    Retriable,
    /// The open transaction must be aborted; then the work may be done again.
    Abortable,
    /// Another client took over this transactional id or this group membership.
    Fenced,
    /// This client is of no use any more; a new one may be.
    Fatal,
    /// The record is larger than the client, the topic or the broker takes.
    TooLarge,
    /// No answer within the bound.
    Timeout,
    /// The principal has no right to do this.
    Denied,
    /// The broker does not let this client in: its password is not the one that the broker knows. A client that is made
    /// of another one may be.
    Login,
    /// The topic, partition, group or offset is not there.
    Missing,
    /// The configuration of the client is wrong.
    Config,
}

/// A fault of Kafka or of the way to it.
///
/// The message names codes, brokers, topics; librdkafka never puts a record's key or value there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KafkaFault {
    /// What can be done about it.
    pub kind: FaultKind,
    /// What happened, as the end of a sentence that begins with "failed to".
    pub message: String,
}

impl KafkaFault {
    /// A fault of that kind.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the same call on the same client may work later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self.kind, FaultKind::Retriable | FaultKind::Timeout)
    }

    /// A fault of doing `what`.
    pub(crate) fn of(what: &str, error: &KafkaError) -> Self {
        let kind = match error {
            KafkaError::Transaction(error) => transaction_kind(error),
            KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) => FaultKind::Config,
            KafkaError::MessageConsumptionFatal(code) => fatal_kind(*code),
            other => other.rdkafka_error_code().map_or(FaultKind::Retriable, code_kind),
        };
        let message = match error {
            // The value of a property is not repeated: it may be a secret.
            KafkaError::ClientConfig(_, _, key, _) => format!("{what}: librdkafka refuses the property {key}"),
            KafkaError::Transaction(error) => format!("{what}: {} ({})", error.string(), error.name()),
            other => format!("{what}: {other}"),
        };
        Self { kind, message }
    }

    /// A fault of doing `what`, by its code.
    pub(crate) fn of_code(what: &str, code: Code) -> Self {
        Self { kind: code_kind(code), message: format!("{what}: {code}") }
    }
}

fn transaction_kind(error: &RDKafkaError) -> FaultKind {
    if error.is_fatal() {
        fatal_kind(error.code())
    } else if error.txn_requires_abort() {
        FaultKind::Abortable
    } else if error.code() == Code::OperationTimedOut {
        FaultKind::Timeout
    } else if error.is_retriable() {
        FaultKind::Retriable
    } else {
        code_kind(error.code())
    }
}

fn fatal_kind(code: Code) -> FaultKind {
    if fences(code) { FaultKind::Fenced } else { FaultKind::Fatal }
}

/// Codes that say that somebody else took over.
fn fences(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId)
}

/// What can be done about a code that comes without further marks.
pub(crate) fn code_kind(code: Code) -> FaultKind {
    match code {
        code if fences(code) => FaultKind::Fenced,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => FaultKind::TooLarge,
        Code::OperationTimedOut | Code::MessageTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => {
            FaultKind::Timeout
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => FaultKind::Denied,
        Code::Authentication | Code::SaslAuthenticationFailed => FaultKind::Login,
        Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::UnknownGroup
        | Code::AutoOffsetReset
        | Code::OffsetOutOfRange
        | Code::NoOffset => FaultKind::Missing,
        Code::Fatal | Code::InvalidTransactionalState | Code::OutOfOrderSequenceNumber => FaultKind::Fatal,
        // A state fault of a producer means that its transaction has already failed.
        Code::State | Code::PurgeQueue | Code::PurgeInflight => FaultKind::Abortable,
        Code::InvalidArgument | Code::InvalidConfig | Code::PolicyViolation => FaultKind::Config,
        _ => FaultKind::Retriable,
    }
}

/// Whether a code says that a connection to a broker was lost or could not be made.
pub(crate) fn is_link_loss(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::Resolve
            | Code::SSL
            | Code::Authentication
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_can_be_done() {
        let check = |code: Code, kind: FaultKind| assert_eq!(code_kind(code), kind, "{code:?}");
        check(Code::AllBrokersDown, FaultKind::Retriable);
        check(Code::BrokerTransportFailure, FaultKind::Retriable);
        check(Code::NotEnoughReplicas, FaultKind::Retriable);
        check(Code::MessageSizeTooLarge, FaultKind::TooLarge);
        check(Code::MessageTimedOut, FaultKind::Timeout);
        check(Code::Fenced, FaultKind::Fenced);
        check(Code::InvalidProducerEpoch, FaultKind::Fenced);
        check(Code::TopicAuthorizationFailed, FaultKind::Denied);
        check(Code::Authentication, FaultKind::Login);
        check(Code::UnknownTopicOrPartition, FaultKind::Missing);
        check(Code::AutoOffsetReset, FaultKind::Missing);
        check(Code::State, FaultKind::Abortable);
    }

    #[test]
    fn the_value_of_a_refused_property_is_not_repeated() {
        let error = rdkafka::ClientConfig::new().set("acks", "hunter22").create_native_config().err().expect("refused");
        let fault = KafkaFault::of("configure", &error);
        assert_eq!(fault.kind, FaultKind::Config);
        assert!(!fault.message.contains("hunter22"), "{fault}");
    }
}
