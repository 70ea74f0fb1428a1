//! One id from the request to the row.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use harness::tables::Tables;
use harness::{System, topics};
use serde_json::{Value, json};

use crate::{support, whole};

/// Goal: the ids of a request are the same in the source's log, in every topic and in the row, and `sisdmk trace` follows
/// them without showing a value.
/// Method: one batch; one request of the source's log that brought good and bad records; what each topic and table holds of it,
/// counted here and by the verb.
#[test]
fn one_id_leads_from_the_source_s_log_to_the_row() -> Result<()> {
    let (_dir, mut system) = support::system_with(|options| {
        options.settings.insert("source.regions".into(), "[\"32\", \"33\"]".into());
    })?;
    whole::start(&mut system, 3_000)?;
    let mut tables = Tables::open(&system)?;
    let batch = whole::first_batch(&mut tables)?;
    assert_eq!((&batch["status"], &batch["tied"]), (&json!("complete"), &json!(true)), "{batch}");
    let trace_id = batch["trace_id"].as_str().context("a trace")?;

    let requests: Vec<Value> = system.simulator()?.requests()?.collect::<Result<_>>()?;
    let ids: BTreeSet<&str> = requests.iter().filter_map(|request| request["x_request_id"].as_str()).collect();
    assert_eq!(ids.len(), requests.len(), "each request has an id of its own");
    for request in &requests {
        let id = request["x_request_id"].as_str().unwrap_or_default();
        assert_eq!(id.chars().nth(14), Some('7'), "a UUIDv7: {request}");
        let traceparent = request["traceparent"].as_str().unwrap_or_default();
        assert!(traceparent.starts_with(&format!("00-{trace_id}-")), "the batch's trace: {request}");
    }
    let request = requests.iter().find(|request| request["rows"] == 100).context("a full page")?;
    let id = request["x_request_id"].as_str().context("an id")?;
    let traceparent = request["traceparent"].as_str().context("a trace")?;

    let mut counts = Vec::new();
    for topic in ["sisdmk.raw", "sisdmk.clean", "sisdmk.dlq"] {
        let records = topics::read(&system, topic)?;
        let ours: Vec<_> = records
            .iter()
            .filter(|record| record.headers.get("sisdmk-request-id").is_some_and(|own| own == id))
            .collect();
        for record in &ours {
            assert_eq!(record.headers["sisdmk-batch-id"], batch["batch_id"].as_str().unwrap_or_default());
            assert!(record.headers["traceparent"].starts_with(&format!("00-{trace_id}-")), "{topic}");
            assert!(topic != "sisdmk.raw" || record.headers["traceparent"] == traceparent, "{record:?}");
        }
        counts.push(ours.len());
    }
    let [raw, clean, dead] = counts[..] else { panic!("three topics") };
    assert_eq!((raw, clean + dead), (100, 100), "every record of the page ends once");
    assert!(dead > 0, "some are bad");
    let rows = tables
        .number(&format!("SELECT count(*) FROM sdmk.person WHERE request_id = '{id}' AND trace_id = '{trace_id}'"))?;
    assert_eq!(usize::try_from(rows)?, clean, "one row each: nobody of one page came twice");

    let told = trace(&system, id)?;
    let matching: Vec<&Value> =
        told["topics"].as_array().context("topics")?.iter().map(|topic| &topic["matching"]).collect();
    assert_eq!(matching, [&json!(raw), &json!(clean), &json!(dead)], "{told}");
    assert_eq!(told["rows"]["matching"], json!(rows), "{told}");
    assert_eq!(told["batches"][0]["batch_id"], batch["batch_id"], "{told}");

    // From the row back: the person's record lies where the row says.
    let row = told["rows"]["rows"][0].clone();
    let person = trace(&system, row["person_id"].as_str().context("a person")?)?;
    let place = &person["topics"][0]["places"][0];
    assert_eq!((&place["partition"], &place["offset"]), (&row["raw_partition"], &row["raw_offset"]), "{person}");
    let whole = trace(&system, batch["batch_id"].as_str().context("an id")?)?;
    assert_eq!(whole["topics"][0]["matching"], batch["raw"], "{whole}");
    for nik in tables.column("SELECT nik::text FROM sdmk.person")?.into_iter().flatten() {
        assert!(![&told, &person, &whole].iter().any(|told| told.to_string().contains(&nik)), "a NIK is shown");
    }
    system.stop_stages()
}

/// `sisdmk trace`, for programs; also for people, where it must not fail either.
fn trace(system: &System, id: &str) -> Result<Value> {
    let output = system.console(&["trace", id, "--json"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(system.console(&["trace", id])?.status.success(), "for people");
    Ok(serde_json::from_str::<Value>(&text)?["result"].clone())
}
