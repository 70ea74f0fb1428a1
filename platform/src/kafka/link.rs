//! What librdkafka reports about its links and about itself, for every kind of client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::fault::is_link_loss;
use crate::clock::Deadline;

/// The same error is logged once in this time: brokers that are away are reported at every try.
const REPEAT_AFTER: Duration = Duration::from_secs(10);

/// Counts lost links and hands librdkafka's log lines to ours.
#[derive(Debug, Default)]
pub(crate) struct Links {
    lost: AtomicU64,
    told: Mutex<Option<(Code, Deadline)>>,
}

impl Links {
    /// Links lost or not made since the client was created; a growing count says that requests may
    /// have been sent twice.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }

    fn add(&self) {
        self.lost.fetch_add(1, Ordering::AcqRel);
    }

    /// An error of the client that belongs to no record.
    pub(crate) fn error(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code().is_some_and(is_link_loss) {
            self.add();
        }
        let code = error.rdkafka_error_code();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Broken links of single brokers are in the log lines already.
        let again = told.as_ref().is_some_and(|(last, until)| Some(*last) == code && !until.passed());
        if again || code == Some(Code::BrokerTransportFailure) {
            tracing::debug!(target: "librdkafka", error = %error, reason, "kafka client");
            return;
        }
        // A warning and not an error: whoever is hindered by it says so where it is handled.
        tracing::warn!(target: "librdkafka", error = %error, reason, "kafka client");
        *told = code.map(|code| (code, Deadline::after(REPEAT_AFTER)));
    }

    /// A log line of librdkafka. It knows brokers, topics and codes, never a record's content.
    pub(crate) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if says_lost(facility, message) {
            self.add();
        }
        match level {
            // One set of properties serves producers and consumers; that each ignores the other's is
            // no news.
            _ if facility == "CONFWARN" => tracing::debug!(target: "librdkafka", facility, "{message}"),
            // An error of librdkafka is a broker that is away or a transaction that will be done again;
            // whether that is one for us is decided, and logged, where it is handled.
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }
}

/// Whether a log line says that a request got no answer and may be sent again.
///
/// Errors of a broker are not enough: librdkafka reports the same one only once in 30 s, does not report
/// a first disconnection as one, and a request that timed out on a link that holds is none either. So
/// the words are read in which it logs each failure and time-out, and, with `debug=eos`, the outcome
/// of each try to end a transaction.
fn says_lost(facility: &str, message: &str) -> bool {
    match facility {
        "REQTMOUT" | "FAIL" => true,
        "ENDTXN" => ["_TRANSPORT", "_TIMED_OUT"].iter().any(|name| message.contains(name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_of_a_lost_link_is_counted_however_often_it_is_logged() {
        let links = Links::default();
        let check = |lost: u64| assert_eq!(links.lost(), lost);
        for _ in 0..2 {
            links.error(&KafkaError::Global(Code::BrokerTransportFailure), "disconnected");
        }
        check(2);
        links.error(&KafkaError::Global(Code::Fenced), "fenced");
        check(2);
        let log = |facility: &str, message: &str| links.log(RDKafkaLogLevel::Debug, facility, message);
        log("REQTMOUT", "TxnCoordinator/1: Timed out 1 in-flight, 0 retry-queued requests");
        check(3);
        log("ENDTXN", "EndTxn returned _TRANSPORT in state CommittingTransaction (may_retry=true)");
        log("ENDTXN", "EndTxn returned _TIMED_OUT_QUEUE in state CommittingTransaction (may_retry=true)");
        check(5);
        log("ENDTXN", "EndTxn returned NO_ERROR in state CommittingTransaction (may_retry=true)");
        log("FAIL", "127.0.0.1:1/1: Disconnected: connection reset by peer (after 81ms in state UP)");
        check(6);
        log("TXNSTATE", "Transaction state change InTransaction -> BeginCommit");
        check(6);
    }
}
