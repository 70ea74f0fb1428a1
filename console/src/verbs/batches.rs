//! `sisdmk batches`: what was pulled, when, and whether every record is accounted for.

use platform::exit::Failure;
use platform::settings::Settings;
use schemas::Timestamp;
use serde_json::{Value, json};

use crate::batch::{Batch, Counts};
use crate::edge::admin::Admin;
use crate::edge::postgres::{self, As};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::table::{Side, Table, clean, pairs};
use crate::words::{Zone, count, counted, span};

/// The latest batches, newest first.
pub(crate) async fn list(settings: &Settings, limit: u32) -> Outcome {
    let mut connection = postgres::connect(settings, As::User).await?;
    let batches = postgres::batches(&mut connection, None, limit).await?;
    let now = Timestamp(platform::clock::now_micros());
    let zone = Zone::of(settings.text("schedule.time_zone"));
    Ok(under(producer(settings).await, zone, listed(&batches, zone, now)))
}

/// The producer's status; none where it may not be asked or does not answer, which is no fault of this verb.
async fn producer(settings: &Settings) -> Option<Value> {
    if !settings.is_set("producer.admin_token_file") {
        return None;
    }
    Admin::new(settings).ok()?.status().await.ok()
}

/// The list under one line about the producer: when it pulls next, and why then.
fn under(status: Option<Value>, zone: Zone, mut list: Answer) -> Answer {
    list.result["producer"] = status.clone().unwrap_or(Value::Null);
    let line = match &status {
        None => "producer: not asked, or it does not answer".to_owned(),
        Some(status) => {
            let time = |value: &Value| {
                value.as_str().and_then(Timestamp::parse_rfc3339).map_or_else(|| "none".to_owned(), |at| zone.write(at))
            };
            let ended = status["last_status"].as_str().map(|status| format!(" ({})", clean(status)));
            format!(
                "next pull: {} ({}); last pull: {}{}",
                time(&status["next_run"]),
                reason(status["reason"].as_str().unwrap_or_default()),
                time(&status["last_run"]),
                ended.unwrap_or_default()
            )
        }
    };
    list.text = format!("{line}\n\n{}", list.text);
    list
}

/// Why the next pull comes when it comes, in words.
fn reason(word: &str) -> &'static str {
    match word {
        "clock" => "by the clock",
        "catch_up" => "a due time has passed",
        "running" => "a batch runs",
        "paused" => "paused; `sisdmk resume` lets it go on",
        "auth_failed" => "the source refuses the credentials",
        _ => "unknown",
    }
}

fn listed(batches: &[Batch], zone: Zone, now: Timestamp) -> Answer {
    let mut table = Table::new(&[
        ("started", Side::Left),
        ("batch", Side::Left),
        ("kind", Side::Left),
        ("status", Side::Left),
        ("tied", Side::Left),
        ("fetched", Side::Right),
        ("clean", Side::Right),
        ("dead letters", Side::Right),
        ("new", Side::Right),
        ("changed", Side::Right),
        ("deleted", Side::Right),
        ("unchanged", Side::Right),
        ("took", Side::Right),
    ]);
    for batch in batches {
        let counts = &batch.counts;
        table.row([
            started(batch, zone),
            batch.id.clone(),
            batch.kind.clone(),
            batch.status_word().to_owned(),
            batch.tied_word().to_owned(),
            count(counts.fetched),
            count(counts.clean),
            count(counts.dlq.saturating_add(counts.rejected)),
            count(counts.inserted),
            count(counts.updated),
            count(counts.deleted),
            count(counts.unchanged()),
            took(batch, now),
        ]);
    }
    let result = json!({ "batches": batches.iter().map(Batch::json).collect::<Vec<_>>() });
    if batches.is_empty() {
        return Answer::new("no batch yet: start the producer, or ask it for a pull with `sisdmk poll`", result);
    }
    let loose = batches.iter().filter(|batch| batch.tied == Some(false)).count();
    let mut summary = counted(batches.len(), "batch", "batches");
    summary.push_str(match loose {
        0 => "; `sisdmk batches show <batch>` explains one",
        _ => "; where TIED says NO, records are not accounted for: `sisdmk batches show <batch>` says in which stage",
    });
    Answer::new(summary, result).text(table.render())
}

/// One batch, with its bookkeeping spelled out.
pub(crate) async fn show(settings: &Settings, prefix: &str) -> Outcome {
    let mut connection = postgres::connect(settings, As::User).await?;
    let mut found = postgres::batches(&mut connection, Some(prefix), 2).await?;
    if found.len() > 1 {
        let failure = Failure::config(format!("more than one batch begins with {prefix}"))
            .hint("give more of its id; `sisdmk batches` lists them");
        return Err(Refusal::new("usage", failure));
    }
    let Some(batch) = found.pop() else {
        let failure = Failure::runtime(format!("there is no batch {prefix}")).hint("`sisdmk batches` lists the latest");
        return Err(Refusal::new("not_found", failure));
    };
    let reports = postgres::batch_reports(&mut connection, &batch.id).await?;
    let reported = Counts::from_reports(&reports);
    let arrived = |stage: &str, name: &str| reports.get(&(stage.to_owned(), name.to_owned())).copied().unwrap_or(0);
    let arrivals = (arrived("processor", "raw_in"), arrived("sink", "clean_in"));
    let now = Timestamp(platform::clock::now_micros());
    let zone = Zone::of(settings.text("schedule.time_zone"));
    Ok(explained(&batch, reported, arrivals, zone, now))
}

/// `reported`: what the stages have reported. `arrivals`: how many raw records the processor and how
/// many clean records the sink have seen of this batch.
fn explained(batch: &Batch, reported: Counts, arrivals: (i64, i64), zone: Zone, now: Timestamp) -> Answer {
    let open = batch.status.is_none();
    // The row is filled when the batch is closed; until then the reports are all there is.
    let counts = if open { reported } else { batch.counts };
    let mut text = pairs([
        ("batch", batch.id.clone()),
        ("kind", batch.kind.clone()),
        ("source", batch.source.clone()),
        ("status", batch.status_word().to_owned()),
        (
            "tied",
            match batch.tied {
                Some(true) => "yes, every record is accounted for".to_owned(),
                Some(false) => "NO, the counts below do not add up".to_owned(),
                None => "not yet known, the batch is open".to_owned(),
            },
        ),
        ("started", started(batch, zone)),
        ("took", took(batch, now)),
        ("requests", batch.requests.map_or_else(|| "-".to_owned(), count)),
        ("trace", batch.trace_id.clone().unwrap_or_else(|| "-".to_owned())),
    ]);
    if let Some(detail) = &batch.detail {
        text.push_str(&format!("detail    {}\n", crate::table::clean(detail)));
    }
    text.push_str("\nWhere the records went\n");
    let mut equations = Vec::new();
    for equation in counts.equations() {
        let missing = equation.missing();
        let verdict = match missing {
            0 => "adds up".to_owned(),
            n if open => format!("{} still on the way", count(n.saturating_abs())),
            n if n > 0 => format!("DOES NOT ADD UP: {} missing", count(n)),
            n => format!("DOES NOT ADD UP: {} too many", count(n.saturating_neg())),
        };
        text.push_str(&format!("  {}\n    {}\n    {verdict}\n", equation.step, equation.write()));
        equations.push(json!({
            "step": equation.step,
            "equation": equation.write(),
            "missing": missing,
        }));
    }
    text.push_str(&format!(
        "  seen on the way: {} of {} raw records by the processor, {} of {} clean records by the sink\n",
        count(arrivals.0),
        count(counts.raw),
        count(arrivals.1),
        count(counts.clean),
    ));
    if counts.conflict > 0 {
        text.push_str(&format!(
            "  conflicts: {} with the same time of change and different contents\n",
            count(counts.conflict)
        ));
    }
    if !batch.dlq_by_code.is_empty() {
        text.push_str("\nDead letters by first reason\n");
        text.push_str(&dead_letters(batch).render());
    }
    let mut result = batch.json();
    if let Value::Object(object) = &mut result {
        if open {
            object.extend(counts.named().map(|(name, number)| (name.to_owned(), json!(number))));
        }
        object.insert("raw_in".to_owned(), json!(arrivals.0));
        object.insert("clean_in".to_owned(), json!(arrivals.1));
        object.insert("equations".to_owned(), json!(equations));
    }
    let summary = match (batch.status.as_deref(), batch.tied) {
        (None, _) => "the batch is open: run this again to see it go on".to_owned(),
        (Some(_), Some(true)) if counts.dlq + counts.rejected > 0 => {
            "`sisdmk reasons` says what to do about dead letters, `sisdmk dlq list --code <reason>` lists them"
                .to_owned()
        }
        (Some(status), Some(true)) => format!("{status}, and every record is accounted for"),
        (Some(status), _) => {
            format!("{status}, and not every record is accounted for: look at the step that does not add up")
        }
    };
    Answer::new(summary, result).text(text)
}

fn dead_letters(batch: &Batch) -> Table {
    let mut by_count: Vec<(&String, &i64)> = batch.dlq_by_code.iter().collect();
    by_count.sort_by_key(|(code, number)| (std::cmp::Reverse(**number), code.as_str()));
    let mut table = Table::new(&[("reason", Side::Left), ("count", Side::Right), ("meaning", Side::Left)]);
    for (code, number) in by_count {
        let meaning =
            rules::Code::ALL.iter().find(|known| known.as_str() == code).map_or("", |known| known.message_en());
        table.row([code.as_str(), &count(*number), meaning]);
    }
    table
}

fn started(batch: &Batch, zone: Zone) -> String {
    batch.started_at.map_or_else(|| "-".to_owned(), |at| zone.write(at))
}

/// How long it took, or has taken so far.
fn took(batch: &Batch, now: Timestamp) -> String {
    match (batch.duration_ms, batch.started_at, &batch.status) {
        (Some(ms), _, _) => span(ms),
        (None, Some(at), None) => format!("{} so far", span(now.0.saturating_sub(at.0) / 1_000)),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(status: Option<&str>, tied: Option<bool>) -> Batch {
        Batch {
            id: "0193a5c8-0000-7000-8000-000000000001".to_owned(),
            kind: "scheduled".to_owned(),
            source: "sdmk-modified/1".to_owned(),
            started_at: Timestamp::parse_rfc3339("2026-11-23T01:00:00Z"),
            finished_at: None,
            status: status.map(str::to_owned),
            tied,
            counts: Counts { fetched: 1_200, raw: 1_200, clean: 1_190, dlq: 10, inserted: 1_190, ..Counts::default() },
            requests: Some(12),
            dlq_by_code: [("nik_length".to_owned(), 10)].into(),
            duration_ms: status.map(|_| 2_345),
            trace_id: None,
            detail: None,
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-23T01:01:05Z").expect("a time")
    }

    #[test]
    fn the_list_is_one_line_a_batch() {
        let batches = [batch(Some("complete"), Some(true)), batch(None, None)];
        let answer = listed(&batches, Zone::of("Asia/Jakarta"), now());
        let lines: Vec<&str> = answer.text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("2026-11-23 08:00:00 WIB  0193a5c8-"));
        assert!(lines[1].contains("complete  yes"));
        assert!(lines[1].ends_with("2.3 s"));
        assert!(lines[2].ends_with("1 min 05 s so far"));
        assert_eq!(answer.result["batches"][0]["fetched"], 1_200);
        assert!(listed(&[], Zone::of("UTC"), now()).summary.contains("sisdmk poll"));
    }

    #[test]
    fn the_list_stands_under_the_next_and_the_last_pull() {
        let zone = Zone::of("Asia/Jakarta");
        let status = json!({
            "next_run": "2026-11-23T05:00:00.000000Z", "reason": "clock",
            "last_run": "2026-11-22T23:00:00.000000Z", "last_status": "complete",
        });
        let answer = under(Some(status.clone()), zone, listed(&[batch(None, None)], zone, now()));
        let first = answer.text.lines().next();
        assert_eq!(
            first,
            Some("next pull: 2026-11-23 12:00:00 WIB (by the clock); last pull: 2026-11-23 06:00:00 WIB (complete)")
        );
        assert_eq!(answer.result["producer"], status);
        let paused = json!({"next_run": null, "reason": "paused", "last_run": null, "last_status": null});
        let answer = under(Some(paused), zone, listed(&[], zone, now()));
        assert!(answer.text.starts_with("next pull: none (paused; `sisdmk resume` lets it go on); last pull: none\n"));
        let answer = under(None, zone, listed(&[], zone, now()));
        assert!(answer.text.starts_with("producer: not asked") && answer.result["producer"].is_null());
    }

    #[test]
    fn a_closed_batch_is_explained_from_its_row() {
        let answer = explained(
            &batch(Some("complete"), Some(true)),
            Counts::default(),
            (1_200, 1_190),
            Zone::of("Asia/Jakarta"),
            now(),
        );
        assert!(answer.text.contains("fetched 1,200 = raw 1,200 + quarantined 0\n    adds up"));
        assert!(answer.text.contains("nik_length"));
        assert_eq!(answer.result["equations"][1]["missing"], 0);
        assert_eq!(answer.result["clean_in"], 1_190);
    }

    #[test]
    fn an_open_batch_is_explained_from_the_reports() {
        let reported = Counts { fetched: 1_200, raw: 1_200, clean: 500, ..Counts::default() };
        let answer = explained(&batch(None, None), reported, (500, 0), Zone::of("UTC"), now());
        assert!(answer.text.contains("700 still on the way"));
        assert_eq!(answer.result["clean"], 500);
    }

    #[test]
    fn what_is_missing_is_said_loudly() {
        let mut short = batch(Some("incomplete"), Some(false));
        short.counts.inserted = 1_180;
        let answer = explained(&short, Counts::default(), (1_200, 1_180), Zone::of("UTC"), now());
        assert!(answer.text.contains("DOES NOT ADD UP: 10 missing"));
        assert!(answer.summary.contains("not every record"));
    }
}
