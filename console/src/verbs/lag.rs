//! `sisdmk lag`: how far each stage has read, partition by partition.

use std::collections::BTreeMap;

use platform::kafka::admin::Admin;
use platform::settings::Settings;
use serde_json::json;

use crate::contract::{AUDIT, CLEAN, PROCESSOR_GROUP, RAW, SINK_GROUP};
use crate::edge::kafka::{self, End};
use crate::edge::postgres::{self, As};
use crate::outcome::{Answer, Outcome};
use crate::table::{Side, Table};
use crate::words::{count, counted};

/// How far one group is with one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    group: &'static str,
    topic: &'static str,
    end: End,
    position: Option<i64>,
    /// Records between position and end, where they were counted.
    left: Option<i64>,
}

impl Line {
    /// Records that are still to be read: counted where that was quickly done, else the difference,
    /// in which markers of transactions count, too.
    fn lag(&self) -> Option<i64> {
        let difference = self.position.map(|position| self.end.end.saturating_sub(position).max(0))?;
        Some(self.left.unwrap_or(difference))
    }

    /// What is wrong with the position, in words; empty where nothing is.
    fn note(&self) -> &'static str {
        match self.position {
            None => "no position: run `sisdmk setup`",
            Some(position) if position < self.end.first => "LOST: records have expired before they were read",
            Some(position) if position > self.end.end => "LOST: the topic is not the one that was read",
            Some(_) => "",
        }
    }
}

/// Positions from the group for the processor, from the database for the sink, whose truth is there.
pub(crate) async fn run(settings: &Settings) -> Outcome {
    let failed = |fault| kafka::failure(settings, &fault);
    let config = kafka::config(settings)?;
    let in_database = settings.is_set("postgres.url");
    let sink = if in_database {
        let mut connection = postgres::connect(settings, As::User).await?;
        Some(postgres::sink_positions(&mut connection).await?)
    } else {
        None
    };
    let admin = Admin::connect(&config).map_err(failed)?;
    let mut lines = Vec::new();
    let processor = kafka::committed(&admin, PROCESSOR_GROUP, RAW).map_err(failed)?;
    let ends = kafka::ends(&admin, RAW).map_err(failed)?;
    lines.extend(joined(PROCESSOR_GROUP, RAW, ends, &processor));
    for topic in [CLEAN, AUDIT] {
        let positions = match &sink {
            Some(rows) => rows
                .iter()
                .filter(|((name, _), _)| name == topic)
                .map(|((_, partition), position)| (*partition, *position))
                .collect(),
            // Without the database only the hint is left, and there is none for audit.
            None if topic == CLEAN => kafka::committed(&admin, SINK_GROUP, CLEAN).map_err(failed)?,
            None => continue,
        };
        let ends = kafka::ends(&admin, topic).map_err(failed)?;
        let mut joined = joined(SINK_GROUP, topic, ends, &positions);
        let gaps: Vec<(i32, i64, i64)> = joined
            .iter()
            .filter(|line| line.note().is_empty())
            .filter_map(|line| Some((line.end.partition, line.position?, line.end.end)))
            .collect();
        let left = kafka::records_left(&config, topic, &gaps).map_err(failed)?;
        for line in &mut joined {
            line.left = left.get(&line.end.partition).copied();
        }
        lines.extend(joined);
    }
    Ok(told(&lines, in_database))
}

fn joined(group: &'static str, topic: &'static str, ends: Vec<End>, positions: &BTreeMap<i32, i64>) -> Vec<Line> {
    ends.into_iter()
        .map(|end| Line { group, topic, end, position: positions.get(&end.partition).copied(), left: None })
        .collect()
}

fn told(lines: &[Line], in_database: bool) -> Answer {
    let mut table = Table::new(&[
        ("group", Side::Left),
        ("topic", Side::Left),
        ("partition", Side::Right),
        ("position", Side::Right),
        ("end", Side::Right),
        ("lag", Side::Right),
        ("note", Side::Left),
    ]);
    let dash = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), count);
    let mut behind: BTreeMap<&str, i64> = BTreeMap::new();
    for line in lines {
        table.row([
            line.group,
            line.topic,
            &line.end.partition.to_string(),
            &dash(line.position),
            &count(line.end.end),
            &dash(line.lag()),
            line.note(),
        ]);
        *behind.entry(line.group).or_default() += line.lag().unwrap_or(0);
    }
    let unwell = lines.iter().filter(|line| !line.note().is_empty()).count();
    let mut summary = behind
        .iter()
        .map(|(group, lag)| match lag {
            0 => format!("{group} has read everything"),
            n => format!("{group} is {} behind", records(*n)),
        })
        .collect::<Vec<_>>()
        .join("; ");
    if unwell > 0 {
        summary.push_str(&format!("; look at the note of {}", counted(unwell, "partition", "partitions")));
    }
    if !in_database {
        summary.push_str("; postgres.url is not set, so the sink's position is Kafka's hint");
    }
    let result = json!({
        "sink_positions_from": if in_database { "sink.offset" } else { "kafka" },
        "groups": behind.iter().map(|(group, lag)| json!({"group": group, "lag": lag})).collect::<Vec<_>>(),
        "partitions": lines.iter().map(|line| json!({
            "group": line.group,
            "topic": line.topic,
            "partition": line.end.partition,
            "position": line.position,
            "first": line.end.first,
            "end": line.end.end,
            "lag": line.lag(),
            "note": line.note(),
        })).collect::<Vec<_>>(),
    });
    Answer::new(summary, result).text(table.render())
}

fn records(number: i64) -> String {
    counted(usize::try_from(number).unwrap_or(usize::MAX), "record", "records")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(position: Option<i64>, first: i64, end: i64) -> Line {
        Line { group: PROCESSOR_GROUP, topic: RAW, end: End { partition: 0, first, end }, position, left: None }
    }

    #[test]
    fn lag_counts_to_the_end_and_a_lost_position_is_said() {
        let check = |line: Line, lag: Option<i64>, note: &str| {
            assert_eq!(line.lag(), lag, "{line:?}");
            assert!(line.note().starts_with(note) && line.note().is_empty() == note.is_empty());
        };
        check(line(Some(10), 0, 10), Some(0), "");
        check(line(Some(3), 3, 10), Some(7), "");
        check(line(None, 0, 0), None, "no position");
        check(line(Some(2), 3, 10), Some(8), "LOST: records have expired");
        check(line(Some(11), 0, 10), Some(0), "LOST: the topic");
    }

    #[test]
    fn counted_records_are_truer_than_the_difference() {
        let mut idle = line(Some(9), 0, 10);
        assert_eq!(idle.lag(), Some(1));
        idle.left = Some(0);
        assert_eq!(idle.lag(), Some(0));
    }

    #[test]
    fn the_summary_adds_up_each_group() {
        let mut sink = line(Some(10), 0, 10);
        sink.group = SINK_GROUP;
        let answer = told(&[line(Some(1_000), 0, 3_345), line(None, 0, 1), sink], true);
        assert_eq!(
            answer.summary,
            "sisdmk-processor is 2,345 records behind; sisdmk-sink has read everything; look at the note of 1 partition"
        );
        assert_eq!(answer.result["partitions"][0]["lag"], 2_345);
        assert!(told(&[], false).summary.contains("Kafka's hint"));
    }
}
