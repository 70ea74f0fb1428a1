//! What the producer does while no batch runs: start one, look for other credentials, or wait; and how the
//! record of the schedule changes with what happens. Pure.

use crate::schedule::{self, Due, Schedule};
use crate::state::{BatchRecord, BatchStatus, ScheduleRecord, StoppedFor};
use schemas::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A scheduled batch now, which serves this due time.
    Start {
        /// The due time.
        due: Timestamp,
    },
    /// Nothing before this time.
    At(Timestamp),
    /// Nothing until there are other credentials or an operator resumes.
    Credentials,
    /// Nothing until somebody asks.
    Asked,
}

/// What a process does first, once it has read the state and no batch was left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// As at any other time.
    Wait,
    /// The credentials are newer than their refusal: the stop ends.
    EndStop,
    /// A scheduled batch, which serves this moment.
    Start,
}

/// What a process does first. `credentials_are_newer`: they were changed after the batch that was refused had
/// started.
#[must_use]
pub fn first(record: &ScheduleRecord, run_on_start: bool, credentials_are_newer: bool) -> First {
    match record.stopped_for {
        Some(_) if credentials_are_newer => First::EndStop,
        Some(_) => First::Wait,
        None if record.enabled && run_on_start => First::Start,
        None => First::Wait,
    }
}

/// What comes next. `came_up`: due times before it are not served unless the state knows of an earlier one,
/// so that a new installation does not begin with a catch-up.
#[must_use]
pub fn next(
    schedule: &Schedule,
    record: &ScheduleRecord,
    came_up: Timestamp,
    now: Timestamp,
    jitter: Duration,
) -> Next {
    if record.stopped_for.is_some() {
        return Next::Credentials;
    }
    if !record.enabled {
        return Next::Asked;
    }
    match schedule::due(schedule, record.last_due.unwrap_or(came_up), now, jitter) {
        Some(Due::Now(due)) => Next::Start { due },
        Some(Due::At(at)) => Next::At(at),
        None => Next::Asked,
    }
}

/// The record once `batch` is announced; `due` is what a scheduled one serves, none for one that was asked for.
#[must_use]
pub fn started(record: &ScheduleRecord, batch: &BatchRecord, due: Option<Timestamp>) -> ScheduleRecord {
    ScheduleRecord {
        last_due: due.or(record.last_due),
        last_started: Some(batch.started_at),
        last_batch_id: Some(batch.batch_id),
        ..record.clone()
    }
}

/// The record once a batch has ended: a refusal stops everything. `mark` says which credentials were refused.
#[must_use]
pub fn ended(record: &ScheduleRecord, status: BatchStatus, mark: impl FnOnce() -> String) -> ScheduleRecord {
    if status == BatchStatus::AuthFailed {
        ScheduleRecord { stopped_for: Some(StoppedFor::AuthFailed), refused: Some(mark()), ..record.clone() }
    } else {
        record.clone()
    }
}

/// The record once batches by the clock are switched on or off.
#[must_use]
pub fn switched(record: &ScheduleRecord, enabled: bool) -> ScheduleRecord {
    ScheduleRecord { enabled, ..record.clone() }
}

/// The record once the source may be asked again.
#[must_use]
pub fn may_ask(record: &ScheduleRecord) -> ScheduleRecord {
    ScheduleRecord { stopped_for: None, refused: None, ..record.clone() }
}

/// Why the next batch comes when it comes, or does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// By the clock.
    #[default]
    Clock,
    /// A due time has passed: at once.
    CatchUp,
    /// A batch runs; the next one by the clock after it.
    Running,
    /// Somebody has switched the clock off.
    Paused,
    /// The source refuses the credentials.
    AuthFailed,
}

impl Reason {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "by the clock",
            Self::CatchUp => "a due time has passed",
            Self::Running => "a batch runs",
            Self::Paused => "paused",
            Self::AuthFailed => "the source refuses the credentials",
        }
    }
}

/// When the next batch by the clock starts, and why then or why not.
#[must_use]
pub fn outlook(
    schedule: &Schedule,
    record: &ScheduleRecord,
    came_up: Timestamp,
    now: Timestamp,
    jitter: Duration,
    batch_runs: bool,
) -> (Option<Timestamp>, Reason) {
    match next(schedule, record, came_up, now, jitter) {
        Next::Credentials => (None, Reason::AuthFailed),
        Next::Asked => (None, Reason::Paused),
        Next::At(at) if batch_runs => (Some(at), Reason::Running),
        Next::At(at) => (Some(at), Reason::Clock),
        // It is served as soon as the loop comes to it, or the batch that runs has ended.
        Next::Start { .. } if batch_runs => (Some(now), Reason::Running),
        Next::Start { .. } => (Some(now), Reason::CatchUp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    fn served(due: Option<&str>) -> ScheduleRecord {
        ScheduleRecord { last_due: due.map(at), ..ScheduleRecord::default() }
    }

    #[test]
    fn the_switch_the_stop_and_the_clock_decide_in_this_order() {
        let schedule = Schedule::parse("0 */6 * * *", "UTC").expect("a schedule");
        let check = |record: &ScheduleRecord, now: &str, expected: Next| {
            let found = next(&schedule, record, at("2026-11-23T01:00:00Z"), at(now), Duration::ZERO);
            assert_eq!(found, expected, "{record:?} {now}");
        };
        let (six, twelve) = ("2026-11-23T06:00:00Z", "2026-11-23T12:00:00Z");
        check(&served(None), "2026-11-23T02:00:00Z", Next::At(at(six)));
        check(&served(None), six, Next::Start { due: at(six) });
        check(&served(Some(six)), six, Next::At(at(twelve)));
        let paused = switched(&served(Some(six)), false);
        check(&paused, "2026-12-24T00:00:00Z", Next::Asked);
        let stopped = ended(&paused, BatchStatus::AuthFailed, String::new);
        check(&stopped, "2026-12-24T00:00:00Z", Next::Credentials);
        // Neither the switch nor a resume forgets what was served: one catch-up, not none and not many.
        let on = may_ask(&switched(&stopped, true));
        check(&on, "2026-12-24T00:01:00Z", Next::Start { due: at("2026-12-24T00:00:00Z") });
    }

    #[test]
    fn a_good_end_does_not_lift_a_stop_and_a_manual_batch_serves_no_due_time() {
        let stopped = ended(&served(None), BatchStatus::AuthFailed, String::new);
        assert_eq!(ended(&stopped, BatchStatus::Complete, String::new), stopped);
        assert_eq!(ended(&served(None), BatchStatus::Failed, String::new), served(None));
        let batch: BatchRecord = serde_json::from_value(serde_json::json!({
            "batch_id": Uuid::from_u128(7), "kind": "manual", "state": "open", "status": null,
            "started_at": "2026-11-23T07:00:00Z", "trace_id": "", "since": null, "planned": [], "committed": [],
            "failed": [], "fetched": 0, "raw": 0, "quarantined": 0, "requests": 0, "ordinal": 0,
        }))
        .expect("a batch");
        let due = Some("2026-11-23T06:00:00Z");
        let record = started(&served(due), &batch, None);
        assert_eq!((record.last_due, record.last_started), (due.map(at), Some(batch.started_at)));
        assert_eq!(started(&served(due), &batch, Some(Timestamp(9))).last_due, Some(Timestamp(9)));
    }

    #[test]
    fn a_process_starts_as_the_state_and_the_configuration_say() {
        let (on, off) = (served(None), switched(&served(None), false));
        let stopped = ended(&on, BatchStatus::AuthFailed, String::new);
        for (record, run_on_start, newer, expected) in [
            (&on, false, false, First::Wait),
            (&on, true, false, First::Start),
            (&off, true, false, First::Wait),
            (&stopped, true, false, First::Wait),
            (&stopped, false, true, First::EndStop),
        ] {
            assert_eq!(first(record, run_on_start, newer), expected, "{record:?} {run_on_start} {newer}");
        }
    }

    #[test]
    fn the_outlook_says_why() {
        let schedule = Schedule::parse("0 */6 * * *", "UTC").expect("a schedule");
        let (six, seven, twelve) = ("2026-11-23T06:00:00Z", "2026-11-23T07:00:00Z", "2026-11-23T12:00:00Z");
        let check = |record: &ScheduleRecord, now: &str, runs: bool, next: Option<&str>, reason: Reason| {
            let found = outlook(&schedule, record, at(six), at(now), Duration::ZERO, runs);
            assert_eq!(found, (next.map(at), reason), "{record:?} {now} {runs}");
        };
        let on = served(Some(six));
        check(&on, seven, false, Some(twelve), Reason::Clock);
        check(&on, seven, true, Some(twelve), Reason::Running);
        check(&on, "2026-11-24T09:00:00Z", false, Some("2026-11-24T09:00:00Z"), Reason::CatchUp);
        check(&switched(&on, false), seven, false, None, Reason::Paused);
        check(&ended(&on, BatchStatus::AuthFailed, String::new), seven, false, None, Reason::AuthFailed);
    }
}
