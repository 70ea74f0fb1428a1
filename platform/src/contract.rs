//! Topics compared with what they must be, at the start of every process.
//!
//! A topic with another cleanup policy loses records in silence, one with another number of partitions
//! moves keys; so a process that finds a difference does not start, and says all of them at once.

use std::fmt;

use crate::clock::Deadline;
use crate::exit::Failure;
use crate::kafka::admin::{Admin, TopicFacts};
use crate::kafka::{KafkaConfig, KafkaFault};

/// How many partitions a topic must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitions {
    /// Any number.
    Any,
    /// This number.
    Exactly(usize),
    /// As many as another topic of the list.
    SameAs(&'static str),
}

/// What a process needs of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRule {
    /// Its name.
    pub name: &'static str,
    /// Its number of partitions.
    pub partitions: Partitions,
    /// Its `cleanup.policy`.
    pub cleanup: &'static str,
    /// The least `max.message.bytes`; 0 where it does not matter.
    pub message_bytes_min: u64,
}

/// One way in which a topic is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The topic.
    pub topic: &'static str,
    /// `partitions`, a setting's name, or empty where the topic is not there.
    pub what: &'static str,
    /// What it must be.
    pub wanted: String,
    /// What it is.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, what, wanted, found } = self;
        if what.is_empty() {
            write!(f, "topic {topic} is not there")
        } else {
            write!(f, "topic {topic} has {what}={found} instead of {wanted}")
        }
    }
}

/// Asks the broker and compares. Each call takes at most until `deadline`.
///
/// # Errors
/// When no broker answers, or the principal has no right to ask.
pub fn check_topics(
    config: &KafkaConfig,
    rules: &[TopicRule],
    deadline: Deadline,
) -> Result<Vec<Difference>, KafkaFault> {
    let names: Vec<&str> = rules.iter().map(|rule| rule.name).collect();
    let facts = Admin::connect(config)?.describe_topics(&names, deadline)?;
    Ok(differences(rules, &facts))
}

/// Compares rules with facts in the same order; none: the topic is not there.
#[must_use]
pub fn differences(rules: &[TopicRule], facts: &[Option<TopicFacts>]) -> Vec<Difference> {
    let partitions_of = |name: &str| {
        rules
            .iter()
            .zip(facts)
            .find(|(rule, _)| rule.name == name)
            .and_then(|(_, fact)| Some(fact.as_ref()?.partitions))
    };
    let mut differences = Vec::new();
    for (rule, fact) in rules.iter().zip(facts) {
        let mut differs = |what, wanted: String, found: String| {
            differences.push(Difference { topic: rule.name, what, wanted, found });
        };
        let Some(fact) = fact else {
            differs("", String::new(), String::new());
            continue;
        };
        let wanted = match rule.partitions {
            Partitions::Any => None,
            Partitions::Exactly(number) => Some(number),
            Partitions::SameAs(other) => partitions_of(other),
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != fact.partitions) {
            differs("partitions", wanted.to_string(), fact.partitions.to_string());
        }
        let setting = |name: &str| fact.config.get(name).map_or("", String::as_str);
        let cleanup = setting("cleanup.policy");
        if cleanup != rule.cleanup {
            differs("cleanup.policy", rule.cleanup.to_owned(), cleanup.to_owned());
        }
        let bytes = setting("max.message.bytes");
        if rule.message_bytes_min > 0 && bytes.parse::<u64>().is_ok_and(|bytes| bytes < rule.message_bytes_min) {
            differs("max.message.bytes", format!("{} or more", rule.message_bytes_min), bytes.to_owned());
        }
    }
    differences
}

/// The refusal to start: exit 3, all differences, and who mends them.
#[must_use]
pub fn refusal(differences: &[Difference]) -> Failure {
    let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
    Failure::environment(all.join("; "))
        .hint("run `sisdmk setup`, which makes what is missing and names what it cannot change")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, partitions: usize, cleanup: &str, bytes: &str) -> Option<TopicFacts> {
        let config = [("cleanup.policy", cleanup), ("max.message.bytes", bytes)];
        let config = config.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Some(TopicFacts { name: name.to_owned(), partitions, config })
    }

    #[test]
    fn every_difference_is_named() {
        let rule =
            |name, partitions, cleanup, message_bytes_min| TopicRule { name, partitions, cleanup, message_bytes_min };
        let rules = [
            rule("a", Partitions::Any, "delete", 1_000),
            rule("b", Partitions::SameAs("a"), "compact", 0),
            rule("c", Partitions::Exactly(1), "compact", 0),
        ];
        let good = [facts("a", 4, "delete", "1000"), facts("b", 4, "compact", "1"), facts("c", 1, "compact", "1")];
        assert_eq!(differences(&rules, &good), vec![]);
        let bad = [facts("a", 4, "compact", "999"), facts("b", 3, "compact", "1"), None];
        let told: Vec<String> = differences(&rules, &bad).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "topic a has cleanup.policy=compact instead of delete",
                "topic a has max.message.bytes=999 instead of 1000 or more",
                "topic b has partitions=3 instead of 4",
                "topic c is not there",
            ]
        );
        assert_eq!(refusal(&differences(&rules, &bad)).exit, crate::exit::Exit::Environment);
    }
}
