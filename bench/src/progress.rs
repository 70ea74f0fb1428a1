//! How far a stage is, from its own counters, and when it began, from its log.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use schemas::Timestamp;
use serde_json::Value;

/// The counter that every stage keeps: records by what became of them, after the commit.
const RECORDS: &str = "sisdmk_records_total";
/// What `platform` logs when the group gives partitions to a member.
const GIVEN: &str = "the group changed our partitions";

/// What the counters of one stage say, by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes(Vec<(String, u64)>);

impl Outcomes {
    /// The counters of a stage in Prometheus' text form.
    pub(crate) fn parse(text: &str, stage: &str) -> Self {
        let wanted = format!("stage=\"{stage}\"");
        let outcomes = text.lines().filter_map(|line| {
            let (labels, value) = line.strip_prefix(RECORDS)?.strip_prefix('{')?.split_once('}')?;
            let outcome = labels.split(',').find_map(|label| label.strip_prefix("outcome=\"")?.strip_suffix('"'))?;
            let belongs = labels.split(',').any(|label| label == wanted);
            belongs.then(|| Some((outcome.to_owned(), value.trim().parse().ok()?)))?
        });
        Self(outcomes.collect())
    }

    /// Records of the outcomes in `names`.
    pub(crate) fn sum(&self, names: &[&str]) -> u64 {
        self.0.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, count)| count).sum()
    }
}

/// Asks a stage for its counters.
pub(crate) struct Counters {
    client: reqwest::blocking::Client,
    url: String,
    stage: &'static str,
}

impl Counters {
    /// Those of the stage that listens there.
    pub(crate) fn new(listen: SocketAddr, stage: &'static str) -> Result<Self> {
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(5)).build()?;
        Ok(Self { client, url: format!("http://{listen}/metrics"), stage })
    }

    /// What was done so far; none while the process does not answer.
    pub(crate) fn read(&self) -> Option<Outcomes> {
        let text = self.client.get(&self.url).send().ok()?.text().ok()?;
        Some(Outcomes::parse(&text, self.stage))
    }
}

/// Wall times, in microseconds, at which a log says that its process was given partitions.
pub(crate) fn given_at(log: &str) -> Vec<i64> {
    log.lines()
        .filter(|line| line.contains(GIVEN))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == GIVEN && line["event"].as_str().is_some_and(|it| it.starts_with("Assigned")))
        .filter_map(|line| Timestamp::parse_rfc3339(line["timestamp"].as_str()?))
        .map(|at| at.0)
        .collect()
}

/// What a log holds from `from` bytes on.
pub(crate) fn log_from(path: &Path, from: usize) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_a_stage_are_found_among_others() {
        let text = "# HELP sisdmk_records_total Records, by stage and outcome.\n\
                    sisdmk_records_total{outcome=\"clean\",stage=\"processor\"} 20\n\
                    sisdmk_records_total{outcome=\"dlq\",stage=\"processor\"} 3\n\
                    sisdmk_records_total{outcome=\"raw\",stage=\"producer\"} 99\n\
                    sisdmk_records_total_other{outcome=\"clean\",stage=\"processor\"} 7\n";
        let outcomes = Outcomes::parse(text, "processor");
        assert_eq!(outcomes.sum(&["clean", "dlq"]), 23);
        assert_eq!(outcomes.sum(&["clean"]), 20);
        assert_eq!(Outcomes::parse(text, "sink"), Outcomes::default());
    }

    #[test]
    fn a_log_says_when_partitions_were_given() {
        let line = |event: &str| {
            format!(
                "{{\"timestamp\":\"1970-01-01T00:00:01.000002Z\",\"level\":\"INFO\",\"message\":\"{GIVEN}\",\"event\":\"{event}\"}}"
            )
        };
        let log =
            format!("not JSON\n{}\n{}\n{{\"message\":\"other\"}}\n", line("Assigned([0, 1])"), line("Revoked([1])"));
        assert_eq!(given_at(&log), vec![1_000_002]);
    }
}
