//! `sisdmk poll`, `pause`, `resume`: what changes a running producer.

use std::time::Duration;

use platform::clock::Deadline;
use platform::exit::Failure;
use platform::settings::Settings;
use schemas::Timestamp;
use serde_json::{Value, json};

use crate::batch::Batch;
use crate::command::PollArgs;
use crate::edge::admin::Admin;
use crate::edge::postgres::{self, As};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::table::{clean, pairs};
use crate::words::{Zone, count, span};

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a producer may be away (a restart) before a wait gives up.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// What the books may take beyond their own deadline.
const BOOKS_GRACE: Duration = Duration::from_secs(60);

/// Asks for a pull; with `--wait`, until it has ended and is booked.
pub(crate) async fn poll(settings: &Settings, args: &PollArgs) -> Outcome {
    let admin = Admin::new(settings)?;
    let mut wish = json!({});
    if let Some(region) = &args.region {
        wish["region"] = json!(region);
    }
    if let Some(since) = args.since {
        wish["since"] = json!(since);
    }
    let answer = admin.poll(&wish).await?;
    let Some(batch_id) = answer["batch_id"].as_str() else {
        let failure =
            Failure::environment("the producer's answer names no batch").hint("use a producer of the same release");
        return Err(Refusal::new("not_a_producer", failure));
    };
    if !args.wait {
        return Ok(Answer::new(
            format!("batch {} has begun; `sisdmk batches` shows how it goes", clean(batch_id)),
            json!({ "batch_id": batch_id }),
        ));
    }
    let status = ended(settings, &admin, batch_id).await?;
    if settings.is_set("postgres.url") {
        let batch = booked(settings, batch_id).await?;
        return judged(&batch);
    }
    let told = status.unwrap_or_else(|| "unknown".to_owned());
    let result = json!({ "batch_id": batch_id, "status": told });
    if told == "complete" {
        Ok(Answer::new(format!("batch {batch_id} is fetched"), result))
    } else {
        Err(not_complete(batch_id, &told).with(result, ""))
    }
}

fn not_complete(batch_id: &str, status: &str) -> Refusal {
    let failure = Failure::runtime(format!("batch {} ended as {}", clean(batch_id), clean(status)))
        .hint(match status {
            "auth_failed" => "the source refused the credentials: put good ones into their file; the producer then goes on by itself",
            "format_changed" => "the source answered in another shape than its profile declares: what it sent is in quarantine, the producer's log says which part differs",
            _ => "`sisdmk batches show <batch>` says where, the producer's log says why",
        });
    Refusal::new("batch_not_complete", failure)
}

/// What a closed batch means for `--wait`.
fn judged(batch: &Batch) -> Outcome {
    let counts = &batch.counts;
    let text = format!(
        "fetched {}, clean {}, dead letters {}, new rows {}, changed rows {}, took {}\n",
        count(counts.fetched),
        count(counts.clean),
        count(counts.dlq.saturating_add(counts.rejected)),
        count(counts.inserted),
        count(counts.updated),
        span(batch.duration_ms.unwrap_or(0)),
    );
    match (batch.status_word(), batch.tied) {
        ("complete", Some(true)) => {
            Ok(Answer::new(format!("batch {} is complete, every record is accounted for", batch.id), batch.json())
                .text(text))
        }
        (status, _) => Err(not_complete(&batch.id, status).with(batch.json(), text)),
    }
}

/// Waits until the producer has closed the batch; its status, where it can still be told.
async fn ended(settings: &Settings, admin: &Admin, batch_id: &str) -> Result<Option<String>, Refusal> {
    let deadline = Deadline::after(settings.duration("source.cycle_timeout") + BOOKS_GRACE);
    let mut away: Option<Deadline> = None;
    loop {
        match admin.status().await {
            Ok(status) => {
                away = None;
                if let Progress::Ended(status) = progress(batch_id, &status["batch"]) {
                    return Ok(status);
                }
            }
            Err(refusal) => {
                let until = *away.get_or_insert_with(|| Deadline::after(AWAY_MAX));
                if refusal.code != "producer_unreachable" || until.passed() {
                    return Err(refusal);
                }
            }
        }
        if deadline.passed() {
            let failure = Failure::runtime("the batch has not ended within source.cycle_timeout")
                .hint("`sisdmk batches` shows how it goes");
            return Err(Refusal::new("timeout", failure));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How far a batch is, by the producer's word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// The producer still shows an earlier batch.
    NotBegun,
    /// It is open.
    Running,
    /// It is closed; its status, unless a later one has taken its place already.
    Ended(Option<String>),
}

/// `shown` is `batch` of the producer's status. Batch ids are UUIDv7: they sort by time.
fn progress(ours: &str, shown: &Value) -> Progress {
    match shown["batch_id"].as_str() {
        None => Progress::NotBegun,
        Some(id) if id < ours => Progress::NotBegun,
        Some(id) if id > ours => Progress::Ended(None),
        Some(_) if shown["state"] == "closed" => Progress::Ended(shown["status"].as_str().map(str::to_owned)),
        Some(_) => Progress::Running,
    }
}

/// Waits until the sink has booked the batch.
async fn booked(settings: &Settings, batch_id: &str) -> Result<Batch, Refusal> {
    let deadline = Deadline::after(settings.duration("ledger.deadline") + BOOKS_GRACE);
    let mut connection = postgres::connect(settings, As::User).await?;
    loop {
        let batch = postgres::batches(&mut connection, Some(batch_id), 1).await?.pop();
        if let Some(batch) = batch.filter(|batch| batch.status.is_some()) {
            return Ok(batch);
        }
        if deadline.passed() {
            let failure = Failure::runtime(format!(
                "batch {batch_id} is fetched, but the sink has not closed it within ledger.deadline"
            ))
            .hint("are sisdmk-processor and sisdmk-sink running? `sisdmk lag` shows how far they are");
            return Err(Refusal::new("timeout", failure));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Stops scheduled pulls.
pub(crate) async fn pause(settings: &Settings) -> Outcome {
    let status = Admin::new(settings)?.switch("pause").await?;
    Ok(switched(settings, &status, "scheduled pulls are stopped until `sisdmk resume`"))
}

/// Lets scheduled pulls go on.
pub(crate) async fn resume(settings: &Settings) -> Outcome {
    let status = Admin::new(settings)?.switch("resume").await?;
    Ok(switched(settings, &status, "scheduled pulls go on"))
}

fn switched(settings: &Settings, status: &Value, summary: &str) -> Answer {
    let zone = Zone::of(settings.text("schedule.time_zone"));
    Answer::new(summary, status.clone()).text(producer_lines(status, zone))
}

/// The producer's status for people.
pub(crate) fn producer_lines(status: &Value, zone: Zone) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let next = status["next_run"]
        .as_str()
        .and_then(Timestamp::parse_rfc3339)
        .map_or_else(|| "-".to_owned(), |at| zone.write(at));
    let batch = &status["batch"];
    let latest = match batch["batch_id"].as_str() {
        None => "none yet".to_owned(),
        Some(id) => format!(
            "{id} ({}{})",
            text(&batch["state"]),
            batch["status"].as_str().map(|status| format!(", {status}")).unwrap_or_default()
        ),
    };
    let schedule = match (status["enabled"].as_bool(), status["stopped_for"].as_str()) {
        (_, Some("auth_failed")) => {
            "stopped: the source refused the credentials; put a good token into its file, or `sisdmk resume`".to_owned()
        }
        (_, Some(why)) => format!("stopped: {why}"),
        (Some(true), None) => "on".to_owned(),
        (Some(false), None) => "paused".to_owned(),
        (None, None) => "-".to_owned(),
    };
    pairs([("source", text(&status["source"])), ("schedule", schedule), ("next pull", next), ("latest batch", latest)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "0193a5c8-0000-7000-8000-000000000001";
    const OURS: &str = "0193a5c8-0000-7000-8000-000000000002";
    const LATER: &str = "0193a5c8-0000-7000-8000-000000000003";

    #[test]
    fn a_wait_ends_when_our_batch_is_closed_or_a_later_one_is_there() {
        let check = |shown: Value, expected: Progress| {
            assert_eq!(progress(OURS, &shown), expected, "{shown}");
        };
        check(Value::Null, Progress::NotBegun);
        check(json!({"batch_id": EARLIER, "state": "closed"}), Progress::NotBegun);
        check(json!({"batch_id": OURS, "state": "open"}), Progress::Running);
        check(
            json!({"batch_id": OURS, "state": "closed", "status": "failed"}),
            Progress::Ended(Some("failed".to_owned())),
        );
        check(json!({"batch_id": LATER, "state": "open"}), Progress::Ended(None));
    }

    #[test]
    fn the_producer_s_state_is_told_in_plain_words() {
        let status = json!({
            "source": "sdmk-modified/1", "enabled": true, "stopped_for": "auth_failed", "next_run": null,
            "batch": {"batch_id": OURS, "state": "closed", "status": "auth_failed"},
        });
        let lines = producer_lines(&status, Zone::of("Asia/Jakarta"));
        assert!(lines.contains("schedule      stopped: the source refused the credentials"), "{lines}");
        assert!(lines.contains("latest batch  0193a5c8-0000-7000-8000-000000000002 (closed, auth_failed)"), "{lines}");
        let paused = json!({"enabled": false, "next_run": "2026-11-23T18:00:00.000000Z"});
        let lines = producer_lines(&paused, Zone::of("Asia/Jakarta"));
        assert!(
            lines.contains("schedule      paused\nnext pull     2026-11-24 01:00:00 WIB\nlatest batch  none yet"),
            "{lines}"
        );
    }
}
