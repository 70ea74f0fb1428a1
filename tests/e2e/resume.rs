//! A full pull that is killed again and again goes on where it was.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::{Stage, System, topics, wait};
use serde_json::Value;

use crate::support;

const WORKERS: u64 = 100_000;
/// Longest time of the whole pull on a busy machine.
const PULL_LIMIT: Duration = Duration::from_secs(300);
/// `source.concurrency`.
const LANES: usize = 2;

/// Goal: `kill -9` of the producer at any point of a full pull costs no more than the slices in flight, and a full pull needs
/// little memory.
/// Method: 100,000 workers and a hold so small that most provinces are read by their regencies, at 100 requests a second; four
/// kills. From the source's log: which slices were asked for rows again after a kill. Then a pull of changes, for the price of one.
#[test]
#[expect(clippy::print_stdout, reason = "figures for whoever runs it")]
fn a_full_pull_goes_on_after_each_kill() -> Result<()> {
    let (_dir, mut system) = support::system_with(|options| {
        let settings = [
            ("source.hold_bytes_max", "\"1MiB\""),
            ("source.requests_per_second", "100"),
            ("source.lookback", "\"0s\""),
            ("schedule.run_on_start", "false"),
        ];
        options.settings.extend(settings.map(|(key, value)| (key.to_owned(), value.to_owned())));
    })?;
    system.setup()?;
    system.start_simulator(&support::simulator(WORKERS))?;
    system.start(Stage::Producer)?;
    let batch_id = system.poll()?;
    let (mut asked, mut resident) = (Vec::new(), 0);
    for committed in [15, 90, 180, 270] {
        wait::until(&format!("{committed} slices"), PULL_LIMIT, || {
            let batch = system.producer_status()?["batch"].clone();
            // None yet where the producer has just started again.
            let is_under_way = batch.is_null() || batch["state"] == "open";
            anyhow::ensure!(is_under_way, "the pull was over before the kill: {batch}");
            Ok((batch["committed"].as_array().map_or(0, Vec::len) >= committed).then_some(()))
        })?;
        resident = resident.max(support::resident_kib(&mut system, Stage::Producer)?);
        system.process(Stage::Producer)?.kill()?;
        asked.push(slices_asked(&system)?);
        system.start(Stage::Producer)?;
    }
    let batch = wait::until("the end of the pull", PULL_LIMIT, || {
        let batch = system.producer_status()?["batch"].clone();
        Ok((batch["state"] == "closed").then_some(batch))
    })?;
    resident = resident.max(support::resident_kib(&mut system, Stage::Producer)?);
    assert_eq!((&batch["batch_id"], &batch["status"]), (&Value::from(batch_id), &Value::from("complete")));
    let slices = batch["committed"].as_array().map_or(0, Vec::len);
    assert!(slices > 300, "{slices} slices: the hold did not split them");
    asked.push(slices_asked(&system)?);

    // A slice that is asked from its first page in two lives of the producer is one that was in flight.
    let mut again = Vec::new();
    for lives in asked.windows(2) {
        let repeated =
            lives[1].iter().filter(|(slice, times)| lives[0].get(*slice).is_some_and(|before| *times > before));
        again.push(repeated.count());
    }
    // For each lane: what it read, what waited for room in the hold, and the first page of a province whose regencies are
    // not all in.
    assert!(again.iter().all(|count| *count <= 3 * LANES), "asked again after each kill: {again:?}");
    let raw = topics::count(&system, "sisdmk.raw")?;
    assert!(raw >= i64::try_from(WORKERS)?, "{raw}");
    assert!(resident > 0 && resident < support::PRODUCER_KIB_MAX, "{resident} KiB");

    let changed = 1_000;
    system.simulator()?.change(changed)?;
    system.poll()?;
    let second = wait::until("the pull of changes", PULL_LIMIT, || {
        let second = system.producer_status()?["batch"].clone();
        Ok((second["state"] == "closed" && second["batch_id"] != batch["batch_id"]).then_some(second))
    })?;
    let fetched = second["fetched"].as_u64().context("a count")?;
    assert!(fetched >= changed, "{second}");
    let mut bytes = 0;
    let id = second["batch_id"].as_str().context("an id")?;
    topics::each(&system, "sisdmk.raw", |message| {
        if message.header("sisdmk-batch-id") == Some(id.as_bytes()) {
            bytes += message.value.map_or(0, <[u8]>::len);
        }
    })?;
    println!(
        "full pull: {slices} slices, {} requests, {raw} records, asked again after each kill {again:?}, peak {} MiB; \
         {changed} changed: {fetched} records, {} requests, {} bytes, that is {:.3} requests and {} bytes each",
        batch["requests"],
        resident / 1024,
        second["requests"],
        bytes,
        second["requests"].as_f64().unwrap_or(0.0) / 1_000.0,
        bytes / 1_000,
    );
    system.stop_stages()
}

/// How often each slice was asked for its first page of rows so far, by the source's log.
fn slices_asked(system: &System) -> Result<BTreeMap<String, u64>> {
    let mut asked = BTreeMap::new();
    for request in system.simulator()?.requests()? {
        let request = request?;
        let query = request["query"].as_str().unwrap_or_default();
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        // A limit of 1 asks for a total and not for rows.
        if parameter("page") == Some("1") && parameter("limit") != Some("1") {
            let region = parameter("kdkab").or_else(|| parameter("kdprov")).context("a region")?;
            let until = parameter("endModifiedAt").unwrap_or_default();
            *asked.entry(format!("{region} {until}")).or_default() += 1;
        }
    }
    Ok(asked)
}
