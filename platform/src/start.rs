//! The questions of a process before its first record.
//!
//! One rule for all of them: a server that does not answer is waited for, visibly, and a contract that differs is
//! refused with its fix. What is asked is the process's own business.

use std::time::Duration;

use tokio::task::block_in_place;

use crate::clock::Deadline;
use crate::contract::{self, TopicRule};
use crate::exit::Failure;
use crate::http::Health;
use crate::kafka::{FaultKind, KafkaConfig, KafkaFault};
use crate::registry::{Registry, RegistryFault};
use crate::shutdown::Shutdown;

/// How long one question to Kafka may take before it is asked again.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Waits between questions to a server that does not answer.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What an asked server is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// It answered what was agreed.
    Good(T),
    /// It did not answer; why, in our words.
    Waits(String),
}

/// Asks for one process, on a runtime with several threads.
#[derive(Clone, Copy)]
pub struct Start<'p> {
    /// Name of the stage, for whoever grants rights.
    pub stage: &'p str,
    /// Told about every question, under the name of its check.
    pub health: &'p Health,
    /// Ends the asking.
    pub shutdown: &'p Shutdown,
}

impl Start<'_> {
    /// Asks until there is an answer; `None` where the process is to stop first.
    ///
    /// # Errors
    /// What `question` refuses.
    pub async fn ask<T>(
        &self,
        check: &str,
        mut question: impl AsyncFnMut() -> Result<Answer<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let mut wait = WAIT_FIRST;
        while !self.shutdown.is_set() {
            match question().await? {
                Answer::Good(answer) => {
                    self.health.ok(check);
                    return Ok(Some(answer));
                }
                Answer::Waits(why) => {
                    tracing::warn!(error = why, "{check} does not answer; trying again");
                    self.health.not_ok(check, why);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.wait() => {}
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
        Ok(None)
    }

    /// A question to Kafka, which blocks.
    ///
    /// # Errors
    /// What `question` refuses; exit 3 for missing rights, exit 2 for a wrong client.
    pub async fn ask_kafka<T>(
        &self,
        mut question: impl FnMut() -> Result<Result<T, Failure>, KafkaFault>,
    ) -> Result<Option<T>, Failure> {
        self.ask("kafka", async || match block_in_place(&mut question) {
            Ok(answer) => answer.map(Answer::Good),
            Err(fault) => self.waitable(&fault).map(Answer::Waits),
        })
        .await
    }

    /// Compares topics with what they must be.
    ///
    /// # Errors
    /// Exit 3 with every difference and its fix.
    pub async fn topics(&self, kafka: &KafkaConfig, rules: &[TopicRule]) -> Result<Option<()>, Failure> {
        self.ask_kafka(|| {
            let differences = contract::check_topics(kafka, rules, Deadline::after(ASK_TIMEOUT))?;
            Ok(if differences.is_empty() { Ok(()) } else { Err(contract::refusal(&differences)) })
        })
        .await
    }

    /// The registry's id of a schema, looked up and never registered.
    ///
    /// # Errors
    /// Exit 3 where the subject holds something else, or nothing.
    pub async fn schema(&self, registry: &Registry, subject: &str, schema: &str) -> Result<Option<u32>, Failure> {
        self.ask("registry", async || match registry.schema_id(subject, schema).await {
            Ok(id) => Ok(Answer::Good(id)),
            Err(fault @ RegistryFault::Unreachable { .. }) => Ok(Answer::Waits(format!("failed to {fault}"))),
            Err(fault @ (RegistryFault::NotFound { .. } | RegistryFault::Different { .. })) => {
                Err(Failure::environment(format!("the schema of {subject} is not this program's"))
                    .because(fault)
                    .hint("run `sisdmk setup`, or `sisdmk schema register` after an update"))
            }
            Err(fault @ (RegistryFault::Denied { .. } | RegistryFault::Refused { .. })) => {
                Err(Failure::environment("the schema registry refuses the look-up").because(fault))
            }
        })
        .await
    }

    /// A fault that waiting may mend, as our words; the others end the process.
    fn waitable(&self, fault: &KafkaFault) -> Result<String, Failure> {
        let message = format!("failed to {fault}");
        match fault.kind {
            FaultKind::Denied => {
                Err(Failure::environment(message).hint(format!("give this principal the rights of the {}", self.stage)))
            }
            FaultKind::Config => Err(Failure::config(message)),
            // A password that is rotated is taken up from its file.
            //
            // Topics that are missing are a difference, which [`topics`](Self::topics) tells. Besides, a broker that has just
            // started may not know yet who leads a partition, and calls it unknown.
            FaultKind::Login
            | FaultKind::Missing
            | FaultKind::Retriable
            | FaultKind::Abortable
            | FaultKind::Fenced
            | FaultKind::Fatal
            | FaultKind::TooLarge
            | FaultKind::Timeout => Ok(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_comes_back_is_waited_for_and_readiness_says_so() {
        let (health, shutdown) = (Health::new(&["kafka"]), Shutdown::new());
        let start = Start { stage: "test", health: &health, shutdown: &shutdown };
        let mut asked = 0;
        let answer = start
            .ask_kafka(|| {
                asked += 1;
                if let Some(kind) = [FaultKind::Retriable, FaultKind::Missing].get(asked - 1) {
                    return Err(KafkaFault::new(*kind, "ask"));
                }
                assert!(!health.is_ready(), "nobody answered yet");
                Ok(Ok(7))
            })
            .await;
        assert_eq!(answer.expect("waited for"), Some(7));
        assert!(health.is_ready());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn missing_rights_are_not_waited_for() {
        let (health, shutdown) = (Health::new(&["kafka"]), Shutdown::new());
        let start = Start { stage: "test", health: &health, shutdown: &shutdown };
        let refused = start.ask_kafka(|| Err::<Result<(), _>, _>(KafkaFault::new(FaultKind::Denied, "ask"))).await;
        assert_eq!(refused.expect_err("refused").exit, Exit::Environment);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_process_that_is_to_stop_asks_no_more() {
        let (health, shutdown) = (Health::new(&["kafka"]), Shutdown::new());
        shutdown.set();
        let start = Start { stage: "test", health: &health, shutdown: &shutdown };
        assert_eq!(start.ask_kafka(|| Ok(Ok(1))).await.expect("no fault"), None);
    }
}
