//! `sisdmk offsets reset`: the way out where a position is lost. It accepts a gap, and writes that down.
//!
//! The event and the position of sink and ledger are one transaction. The processor's position is Kafka's: it is set
//! while the event's transaction is open, so that neither is there without the other but for a failed commit, which the
//! error then says.

use platform::clock::now_micros;
use platform::exit::Failure;
use platform::kafka::admin::Admin;
use platform::settings::Settings;
use serde_json::{Value, json};
use sink::migrations;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::command::{Goal, OffsetsResetArgs, Reader};
use crate::edge::kafka::{self, End};
use crate::edge::postgres::{self, As};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::words::count;

/// What is to be done, judged before anything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reset {
    reader: Reader,
    partition: i32,
    before: Option<i64>,
    after: i64,
    end: End,
}

impl Reset {
    /// Judges the wish. Errors: the partition or the position is not in the topic, or nothing is lost.
    fn of(args: &OffsetsResetArgs, before: Option<i64>, ends: &[End]) -> Result<Self, Refusal> {
        let topic = args.stage.topic();
        let usage = |text: String, hint: String| Refusal::new("usage", Failure::config(text).hint(hint));
        let Some(end) = ends.iter().find(|end| end.partition == args.partition) else {
            return Err(usage(
                format!("{topic} has no partition {}", args.partition),
                "`sisdmk lag` lists them".to_owned(),
            ));
        };
        let span = format!("from {} to {}", count(end.first), count(end.end));
        let after = match args.to {
            Goal::First => end.first,
            Goal::End => end.end,
            Goal::At(offset) => offset,
        };
        if !(end.first..=end.end).contains(&after) {
            let text = format!("{topic}/{} does not reach to {}", args.partition, count(after));
            return Err(usage(text, format!("it holds positions {span}")));
        }
        let lost = before.is_none_or(|before| !(end.first..=end.end).contains(&before));
        if !lost && !args.anyway {
            let failure = Failure::runtime(format!(
                "the position of {} in {topic}/{} is not lost: it is {}, and the topic holds positions {span}",
                args.stage.name(),
                args.partition,
                before.map(count).unwrap_or_default()
            ))
            .hint(
                "nothing was changed; --anyway moves it all the same, and records are then skipped or taken in twice",
            );
            return Err(Refusal::new("refused", failure));
        }
        Ok(Self { reader: args.stage, partition: args.partition, before, after, end: *end })
    }

    fn sentence(&self) -> String {
        let from = self.before.map_or_else(|| "no position".to_owned(), count);
        format!(
            "{} in {}/{}: from {from} to {}",
            self.reader.name(),
            self.reader.topic(),
            self.partition,
            count(self.after)
        )
    }

    fn result(&self) -> Value {
        json!({
            "stage": self.reader.name(),
            "topic": self.reader.topic(),
            "partition": self.partition,
            "from": self.before,
            "to": self.after,
            "first": self.end.first,
            "end": self.end.end,
        })
    }
}

/// Sets one position, and records it.
pub(crate) async fn reset(settings: &Settings, args: &OffsetsResetArgs) -> Outcome {
    const DOING: &str = "record the new position";
    let failed = |fault| kafka::failure(settings, &fault);
    let config = kafka::config(settings)?;
    let mut database = postgres::connect(settings, As::Owner).await?;
    let admin = Admin::connect(&config).map_err(failed)?;
    let topic = args.stage.topic();
    let ends = kafka::ends(&admin, topic).map_err(failed)?;
    let before = match args.stage.group() {
        Some(group) => kafka::committed(&admin, group, topic).map_err(failed)?.get(&args.partition).copied(),
        None => {
            let positions = postgres::sink_positions(&mut database).await?;
            positions.get(&(topic.to_owned(), args.partition)).copied()
        }
    };
    let reset = Reset::of(args, before, &ends)?;

    let broke = |error: sqlx::Error| postgres::fault(DOING, &error);
    let mut transaction = database.begin().await.map_err(broke)?;
    let removed = sqlx::query(include_str!("../sql/remove_reports.sql"))
        .bind(args.stage.name())
        .bind(topic)
        .bind(args.partition)
        .bind(reset.after)
        .execute(&mut *transaction)
        .await
        .map_err(broke)?;
    let mut payload = reset.result();
    payload["reports_removed"] = json!(removed.rows_affected());
    payload["action"] = json!("offsets reset");
    payload["reason"] = json!(args.reason);
    sqlx::query(include_str!("../sql/record_operator_action.sql"))
        .bind(Uuid::now_v7())
        .bind(chrono::DateTime::from_timestamp_micros(now_micros()))
        .bind(format!("position reset, {}: {}", reset.sentence(), args.reason))
        .bind(payload.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(broke)?;
    match args.stage.group() {
        Some(group) => kafka::blocking(|| admin.set_group_offsets(group, topic, &[(args.partition, reset.after)]))
            .map_err(failed)?,
        None => {
            migrations::reset_position(&mut transaction, topic, args.partition, reset.after)
                .await
                .map_err(|error| Failure::runtime("cannot set the position").because(error))?;
        }
    }
    transaction.commit().await.map_err(broke)?;
    let summary = format!("{}; recorded in audit.event", reset.sentence());
    Ok(Answer::new(summary, reset.result()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(to: Goal, anyway: bool) -> OffsetsResetArgs {
        OffsetsResetArgs { stage: Reader::Sink, partition: 1, to, reason: "because".to_owned(), anyway }
    }

    #[test]
    fn only_a_lost_position_is_moved_and_only_to_where_the_topic_reaches() {
        let ends = [End { partition: 1, first: 10, end: 40 }];
        let check = |to, anyway, before, expected: Result<i64, &str>| {
            let reset = Reset::of(&args(to, anyway), before, &ends);
            let found = reset.map(|reset| reset.after).map_err(|refusal| refusal.code);
            assert_eq!(found, expected, "{to:?} {anyway} {before:?}");
        };
        check(Goal::First, false, Some(3), Ok(10));
        check(Goal::End, false, Some(3), Ok(40));
        check(Goal::At(17), false, None, Ok(17));
        check(Goal::At(40), false, Some(41), Ok(40));
        check(Goal::At(41), false, None, Err("usage"));
        check(Goal::At(9), false, None, Err("usage"));
        check(Goal::First, false, Some(10), Err("refused"));
        check(Goal::First, false, Some(40), Err("refused"));
        check(Goal::First, true, Some(40), Ok(10));
        let elsewhere = Reset::of(&OffsetsResetArgs { partition: 2, ..args(Goal::First, false) }, None, &ends);
        assert_eq!(elsewhere.expect_err("no such partition").code, "usage");
    }

    #[test]
    fn what_is_recorded_says_from_where_to_where() {
        let reset = Reset::of(&args(Goal::First, false), Some(3), &[End { partition: 1, first: 10, end: 40 }]);
        let reset = reset.expect("lost");
        assert_eq!(reset.sentence(), "sink in sisdmk.clean/1: from 3 to 10");
        assert_eq!(
            reset.result().to_string(),
            r#"{"end":40,"first":10,"from":3,"partition":1,"stage":"sink","to":10,"topic":"sisdmk.clean"}"#
        );
    }
}
