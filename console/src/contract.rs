//! The agreed surroundings: topics with their settings, schema subjects, consumer groups. Pure.
//!
//! `sisdmk setup` makes them, the other verbs and `sisdmk doctor` look at them. A test compares the
//! topics with `docs/CONTRACT.md` section 1.

/// Partitions of the three record topics where `--partitions` says nothing.
pub(crate) const PARTITIONS_DEFAULT: i32 = 12;
/// More is a mistake: nothing of this size needs it, and every partition costs memory everywhere.
pub(crate) const PARTITIONS_MAX: i32 = 1_000;

/// Source records as received.
pub(crate) const RAW: &str = "sisdmk.raw";
/// The current state of each worker.
pub(crate) const CLEAN: &str = "sisdmk.clean";
/// Dead letters.
pub(crate) const DLQ: &str = "sisdmk.dlq";
/// Batch events.
pub(crate) const AUDIT: &str = "sisdmk.audit";
/// Watermarks, the open batch, the fingerprint.
pub(crate) const STATE: &str = "sisdmk.state";

/// Consumer group of the processor, on [`RAW`].
pub(crate) const PROCESSOR_GROUP: &str = "sisdmk-processor";
/// Consumer group of the sink, on [`CLEAN`]: a hint for lag tools, the truth is in `sink.offset`.
pub(crate) const SINK_GROUP: &str = "sisdmk-sink";

/// Key of the fingerprint in [`STATE`].
pub(crate) const IDENTITY_KEY: &str = "identity";

/// How many partitions a topic has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// The number that `setup --partitions` chose; the same for raw, clean and dlq.
    Chosen,
    /// Exactly one: its records have one order.
    One,
}

/// A topic as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: &'static str,
    /// How many partitions.
    pub(crate) width: Width,
    /// Settings that must have exactly these values; all others are the broker's.
    pub(crate) settings: &'static [(&'static str, &'static str)],
}

impl Topic {
    /// Its number of partitions, where `chosen` is that of the record topics.
    pub(crate) fn partitions(&self, chosen: i32) -> i32 {
        match self.width {
            Width::Chosen => chosen,
            Width::One => 1,
        }
    }

    /// For how long it keeps records, in words.
    pub(crate) fn keeps(&self) -> String {
        const DAY_MS: i64 = 86_400_000;
        let of = |key: &str| self.settings.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        match (of("cleanup.policy"), of("retention.ms").and_then(|ms| ms.parse::<i64>().ok())) {
            (Some("compact"), _) => "keeps the newest record of each key".to_owned(),
            (_, Some(ms)) => format!("keeps records for {} days", ms / DAY_MS),
            (_, None) => "keeps records as long as the broker's default says".to_owned(),
        }
    }
}

/// Every topic.
pub(crate) const TOPICS: &[Topic] = &[
    Topic {
        name: RAW,
        width: Width::Chosen,
        settings: &[
            ("cleanup.policy", "delete"),
            ("retention.ms", "3196800000"),
            ("max.message.bytes", "1179648"),
            ("compression.type", "producer"),
        ],
    },
    Topic {
        name: CLEAN,
        width: Width::Chosen,
        settings: &[
            ("cleanup.policy", "compact"),
            ("min.compaction.lag.ms", "172800000"),
            ("max.compaction.lag.ms", "259200000"),
            ("delete.retention.ms", "3801600000"),
            ("max.message.bytes", "2097152"),
        ],
    },
    Topic {
        name: DLQ,
        width: Width::Chosen,
        settings: &[("cleanup.policy", "delete"), ("retention.ms", "2592000000"), ("max.message.bytes", "1245184")],
    },
    Topic {
        name: AUDIT,
        width: Width::One,
        settings: &[("cleanup.policy", "delete"), ("retention.ms", "34560000000")],
    },
    // Only full segments are compacted, and a producer that starts reads what is there: with the broker's gigabyte that would be
    // a week's versions of some hundred records.
    Topic { name: STATE, width: Width::One, settings: &[("cleanup.policy", "compact"), ("segment.bytes", "1048576")] },
];

/// A schema subject as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Its name in the registry.
    pub(crate) name: &'static str,
    /// The rule for its next versions.
    pub(crate) compatibility: &'static str,
    /// The schema, Avro's JSON.
    pub(crate) avsc: &'static str,
}

/// Every subject.
pub(crate) const SUBJECTS: &[Subject] = &[
    Subject { name: "sisdmk.clean-value", compatibility: "FULL_TRANSITIVE", avsc: schemas::SDMK_WORKER_AVSC },
    Subject { name: "sisdmk.audit-value", compatibility: "BACKWARD_TRANSITIVE", avsc: schemas::BATCH_EVENT_AVSC },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a table of the contract whose first cell is a topic.
    fn promised() -> Vec<Vec<&'static str>> {
        let contract = include_str!("../../docs/CONTRACT.md");
        let section = contract
            .split("\n## ")
            .find(|section| section.starts_with("1. Topics"))
            .expect("the contract has a section on topics");
        section
            .lines()
            .filter(|line| line.starts_with("| `sisdmk."))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect()
    }

    #[test]
    fn topics_and_their_settings_are_those_of_the_contract() {
        let promised = promised();
        assert_eq!(promised.len(), TOPICS.len());
        for (cells, topic) in promised.iter().zip(TOPICS) {
            assert_eq!(cells.get(1).copied(), Some(format!("`{}`", topic.name).as_str()));
            let width = match topic.width {
                Width::Chosen => "N",
                Width::One => "1",
            };
            assert_eq!(cells.get(4).copied(), Some(width), "{}", topic.name);
            let settings: Vec<String> =
                cells.get(5).expect("a cell of settings").split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let ours: Vec<String> = topic.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(settings, ours, "{}", topic.name);
        }
    }

    #[test]
    fn how_long_a_topic_keeps_records_is_told_in_days() {
        let keeps: Vec<String> = TOPICS.iter().map(Topic::keeps).collect();
        assert_eq!(keeps[0], "keeps records for 37 days");
        assert_eq!(keeps[1], "keeps the newest record of each key");
        assert_eq!(keeps[3], "keeps records for 400 days");
    }

    #[test]
    fn only_the_record_topics_follow_the_chosen_number() {
        let widths: Vec<i32> = TOPICS.iter().map(|topic| topic.partitions(4)).collect();
        assert_eq!(widths, [4, 4, 4, 1, 1]);
    }
}
