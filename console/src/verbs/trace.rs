//! `sisdmk trace`: follows one id from the request to the row: a batch, a request or a person. Coordinates, times
//! and ids are shown, never a value of a record.

use std::collections::BTreeMap;

use platform::exit::Failure;
use platform::settings::Settings;
use schemas::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::edge::kafka::{self, Seen};
use crate::edge::postgres::{self, As};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::table::{Side, Table, clean};
use crate::words::{Zone, count, counted};

/// Places of one topic that are shown; the rest are counted.
const PLACES_MAX: usize = 20;

/// Batches that are shown.
const BATCHES_MAX: usize = 5;

/// The topics on the way, in the order of the way.
const TOPICS: [&str; 3] = ["sisdmk.raw", "sisdmk.clean", "sisdmk.dlq"];

/// What one topic holds of the id.
#[derive(Debug, Default, Clone, PartialEq)]
struct Found {
    matching: i64,
    places: Vec<Seen>,
}

/// Follows the id.
pub(crate) async fn run(settings: &Settings, id: Uuid) -> Outcome {
    let mut topics: BTreeMap<&str, Found> = BTreeMap::new();
    for topic in TOPICS {
        let found = topics.entry(topic).or_default();
        kafka::follow(settings, topic, id, |seen| {
            found.matching += 1;
            if found.places.len() < PLACES_MAX {
                found.places.push(seen);
            }
        })?;
    }
    let mut connection = postgres::connect(settings, As::User).await?;
    let (rows, total) = postgres::trace_persons(&mut connection, id).await?;
    let mut batch_ids: Vec<String> = vec![id.to_string()];
    let of_places = topics.values().flat_map(|found| &found.places).filter_map(|seen| seen.batch_id.clone());
    let of_rows = rows.iter().filter_map(|row| row["batch_id"].as_str().map(str::to_owned));
    for batch_id in of_places.chain(of_rows) {
        if !batch_ids.contains(&batch_id) {
            batch_ids.push(batch_id);
        }
    }
    let mut batches = Vec::new();
    for batch_id in batch_ids.iter().take(BATCHES_MAX + 1) {
        if let Some(batch) = postgres::batches(&mut connection, Some(batch_id), 1).await?.pop() {
            let reports = postgres::batch_reports(&mut connection, &batch.id).await?;
            let reported: Vec<Value> = reports
                .iter()
                .map(|((stage, name), total)| json!({ "stage": stage, "count": name, "total": total }))
                .collect();
            let mut shown = batch.json();
            shown["reports"] = Value::Array(reported);
            batches.push(shown);
        }
    }
    let zone = Zone::of(settings.text("schedule.time_zone"));
    told(id, &batches, &topics, &rows, total, zone)
}

fn told(
    id: Uuid,
    batches: &[Value],
    topics: &BTreeMap<&str, Found>,
    rows: &[Value],
    total: i64,
    zone: Zone,
) -> Outcome {
    let places: Vec<Value> = TOPICS
        .iter()
        .filter_map(|topic| Some((topic, topics.get(topic)?)))
        .map(|(topic, found)| {
            let places: Vec<Value> = found.places.iter().map(Seen::json).collect();
            json!({ "topic": topic, "matching": found.matching, "places": places })
        })
        .collect();
    let result = json!({
        "id": id.to_string(), "batches": batches, "topics": places, "rows": { "matching": total, "rows": rows },
    });
    let everywhere: i64 = topics.values().map(|found| found.matching).sum::<i64>() + total;
    if batches.is_empty() && everywhere == 0 {
        let failure = Failure::runtime(format!("nothing is known of {id}")).hint(
            "raw records are kept for 37 days, dead letters for 30; is it the id of a batch, a request or a person?",
        );
        return Err(Refusal::new("not_found", failure).with(result, ""));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), clean);
    let time = |value: &Value| {
        value.as_str().and_then(Timestamp::parse_rfc3339).map_or_else(|| "-".to_owned(), |at| zone.write(at))
    };
    let mut lines = String::new();
    for batch in batches {
        lines.push_str(&format!(
            "batch {} ({}, {}) of {}, trace {}\n",
            text(&batch["batch_id"]),
            text(&batch["kind"]),
            batch["status"].as_str().map_or_else(|| "open".to_owned(), clean),
            time(&batch["started_at"]),
            text(&batch["trace_id"]),
        ));
        let reported = batch["reports"].as_array().into_iter().flatten();
        let reported: Vec<String> = reported
            .map(|report| {
                let total = count(report["total"].as_i64().unwrap_or(0));
                format!("{} {} {total}", text(&report["stage"]), text(&report["count"]))
            })
            .collect();
        lines.push_str(&format!(
            "  {}\n",
            if reported.is_empty() { "no report".to_owned() } else { reported.join(", ") }
        ));
    }
    let mut table = Table::new(&[
        ("place", Side::Left),
        ("person", Side::Left),
        ("request", Side::Left),
        ("batch", Side::Left),
        ("fetched", Side::Left),
        ("reasons", Side::Left),
    ]);
    for topic in TOPICS {
        let Some(found) = topics.get(topic) else { continue };
        for seen in &found.places {
            let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let fetched = json!(seen.fetched_at);
            table.row([
                format!("{topic}/{}/{}", seen.partition, seen.offset),
                or(&seen.person_id),
                or(&seen.request_id),
                or(&seen.batch_id),
                time(&fetched),
                or(&seen.codes),
            ]);
        }
    }
    for row in rows {
        table.row([
            "sdmk.person".to_owned(),
            text(&row["person_id"]),
            text(&row["request_id"]),
            text(&row["batch_id"]),
            time(&row["fetched_at"]),
            format!("raw {}/{}", row["raw_partition"], row["raw_offset"]),
        ]);
    }
    if !table.is_empty() {
        lines.push('\n');
        lines.push_str(&table.render());
    }
    let held: Vec<String> = TOPICS
        .iter()
        .filter_map(|topic| Some(format!("{} in {topic}", count(topics.get(topic)?.matching))))
        .chain([format!("{} in sdmk.person", counted(usize::try_from(total).unwrap_or(0), "row", "rows"))])
        .collect();
    Ok(Answer::new(held.join(", "), result).text(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(offset: i64) -> Seen {
        Seen {
            partition: 2,
            offset,
            person_id: Some("0193a5c8-0000-8000-8000-000000000009".to_owned()),
            request_id: Some("0193a5c8-0000-7000-8000-000000000002".to_owned()),
            batch_id: Some("0193a5c8-0000-7000-8000-000000000001".to_owned()),
            fetched_at: Some("2026-11-23T01:00:00.000000Z".to_owned()),
            traceparent: None,
            codes: None,
        }
    }

    #[test]
    fn the_way_is_told_in_its_order_with_coordinates() {
        let topics = BTreeMap::from([
            ("sisdmk.raw", Found { matching: 21, places: vec![seen(7), seen(9)] }),
            ("sisdmk.clean", Found { matching: 1, places: vec![seen(3)] }),
            ("sisdmk.dlq", Found::default()),
        ]);
        let row = json!({
            "person_id": "0193a5c8-0000-8000-8000-000000000009", "request_id": "0193a5c8-0000-7000-8000-000000000002",
            "batch_id": "0193a5c8-0000-7000-8000-000000000001", "fetched_at": "2026-11-23T01:00:00.000000Z",
            "raw_partition": 2, "raw_offset": 7,
        });
        let answer =
            told(Uuid::from_u128(1), &[], &topics, std::slice::from_ref(&row), 1, Zone::of("UTC")).expect("found");
        let places: Vec<&str> = answer
            .text
            .lines()
            .filter(|line| line.contains('/'))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(places, ["sisdmk.raw/2/7", "sisdmk.raw/2/9", "sisdmk.clean/2/3", "sdmk.person"]);
        assert_eq!(answer.summary, "21 in sisdmk.raw, 1 in sisdmk.clean, 0 in sisdmk.dlq, 1 row in sdmk.person");
        assert_eq!(answer.result["topics"][0]["matching"], 21);
        assert_eq!(answer.result["rows"]["rows"][0], row);
    }

    #[test]
    fn an_id_that_nobody_knows_is_said_to_be_unknown() {
        let refusal = told(Uuid::from_u128(1), &[], &BTreeMap::new(), &[], 0, Zone::of("UTC")).expect_err("unknown");
        assert_eq!((refusal.code, refusal.failure.exit.code()), ("not_found", 1));
    }
}
