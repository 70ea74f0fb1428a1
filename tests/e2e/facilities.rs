//! The older service: a login, one facility at a time, no time of change; compared with the truth in every field.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::tables::{Tables, check_equations};
use harness::{Stage, System, compare, wait};
use serde_json::Value;

use crate::{support, whole};

/// Facilities in one transaction, and two lanes: what a crash may cost (`producer::cycle`).
const ASKED_AGAIN_MAX: usize = 102;

/// Requests so far: for records by facility, and logins.
fn requests(system: &System) -> Result<(BTreeMap<String, usize>, usize)> {
    let (mut facilities, mut logins) = (BTreeMap::new(), 0);
    for request in system.simulator()?.requests()? {
        let request = request?;
        if request["path"] == "/rest/login_ws" {
            logins += 1;
            continue;
        }
        let query = request["query"].as_str().unwrap_or_default();
        let code = query.split('&').find_map(|pair| pair.strip_prefix("kdfasyankes=")).context("a facility")?;
        *facilities.entry(code.to_owned()).or_default() += 1;
    }
    Ok((facilities, logins))
}

/// Goal: a refused login stops everything, also after a restart, until the password is another one.
/// Method: a wrong password; the producer is killed and started again; then the right one comes.
fn a_wrong_password_stops_until_there_is_another(system: &mut System) -> Result<()> {
    let stopped = |system: &System| {
        wait::until("the producer to stop after the refusal", Duration::from_secs(120), || {
            let status = system.producer_status().ok();
            Ok(status.filter(|status| status["stopped_for"] == "auth_failed" && status["batch"]["state"] == "closed"))
        })
    };
    system.spawn(Stage::Producer)?;
    let status = stopped(system)?;
    assert_eq!(
        (&status["batch"]["status"], &status["batch"]["fetched"]),
        (&"auth_failed".into(), &0.into()),
        "{status}"
    );
    system.process(Stage::Producer)?.kill()?;
    system.spawn(Stage::Producer)?;
    let again = stopped(system)?;
    assert_eq!(again["batch"]["batch_id"], status["batch"]["batch_id"], "no other batch after the restart: {again}");
    // Not even an operator's poll goes out; that takes a `resume`.
    let output = system.console(&["poll", "--json"])?;
    let told: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(told["ok"], false, "{told}");
    let (facilities, logins) = requests(system)?;
    assert_eq!((facilities.len(), logins), (0, 1), "one login, and nothing else");
    system.secret("password", b"password-of-the-demonstration\n")?;
    Ok(())
}

/// Goal: thousands of small slices come through a login whose token goes in the query, a crash in the middle costs what
/// was not published and no more, changes are found by content, and nothing of the secret is in a log.
/// Method: the simulator's older shape. The producer is killed in the first batch, which has its facilities on file; a
/// second batch reads the same again without a change, a third one after changes.
#[test]
fn every_facility_is_read_and_a_crash_costs_only_what_was_in_flight() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    system.secret("password", b"a wrong one\n")?;
    system.secret("password.right", b"password-of-the-demonstration\n")?;
    let list = system.dir().join("facilities.txt");
    for (key, value) in [
        ("source.profile", "biodata-facility".to_owned()),
        ("source.username", "demonstration".to_owned()),
        ("source.password_file", system.secret_path("password").display().to_string()),
        ("source.facilities_file", list.display().to_string()),
    ] {
        system.set(key, &format!("\"{value}\""))?;
    }
    // Slow enough for a crash in the middle: some 550 facilities take more than five seconds.
    system.set("source.requests_per_second", "100")?;
    system.setup()?;
    let mut options = support::simulator(1_500);
    let password = system.secret_path("password.right").display().to_string();
    for argument in ["--biodata-status", "--username", "demonstration", "--password-file", &password] {
        options.more.push(argument.to_owned());
    }
    system.start_simulator(&options)?;
    let codes = system.simulator()?.facilities()?;
    assert!(codes.len() > 500, "{}", codes.len());
    // The order of the file does not count, nor does a code that nobody knows.
    let text: String = codes.iter().rev().map(|code| format!("{code}\n")).collect();
    std::fs::write(&list, format!("# every facility\n{text}P9999999999\n"))?;
    for stage in [Stage::Sink, Stage::Processor] {
        system.start(stage)?;
    }
    a_wrong_password_stops_until_there_is_another(&mut system)?;

    wait::until("a part of the first batch to be published", Duration::from_secs(120), || {
        let status = system.producer_status()?;
        Ok(status["batch"]["facilities"]["done"].as_u64().filter(|done| *done >= 100))
    })?;
    let before = system.producer_status()?["batch"].clone();
    system.kill_and_restart(Stage::Producer)?;
    let mut tables = Tables::open(&system)?;
    let first = before["batch_id"].as_str().context("a batch")?;
    let first = tables.wait_closed(first, whole::BATCH_LIMIT)?;
    assert_eq!((&first["status"], &first["tied"]), (&Value::from("complete"), &Value::from(true)), "{first}");
    check_equations(&first)?;
    let (asked, _) = requests(&system)?;
    assert_eq!(asked.len(), codes.len() + 1, "each facility was asked for");
    let again = asked.values().sum::<usize>() - asked.len();
    assert!((1..=ASKED_AGAIN_MAX).contains(&again), "{again} facilities were asked for again");
    // A batch that was left open is resumed, and none is begun beside it.
    assert_eq!(system.producer_status()?["batch"]["batch_id"], before["batch_id"]);
    tables.wait_at_rest(whole::BATCH_LIMIT)?;
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    assert!(comparison.persons > 1_000, "{comparison}");

    // Nothing has changed: no row is written, although there is no time of change. An issued token that the source
    // forgets is no reason to stop: each batch begins with a login.
    system.simulator()?.revoke_tokens()?;
    let row = tables.wait_closed(&system.poll()?, whole::BATCH_LIMIT)?;
    assert_eq!((&row["status"], &row["tied"]), (&Value::from("complete"), &Value::from(true)), "{row}");
    assert_eq!((row["inserted"].as_i64(), row["updated"].as_i64()), (Some(0), Some(0)), "{row}");
    system.simulator()?.change(300)?;
    let row = tables.wait_closed(&system.poll()?, whole::BATCH_LIMIT)?;
    assert!(row["updated"].as_i64() > Some(100), "{row}");
    tables.wait_at_rest(whole::BATCH_LIMIT)?;
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");

    let (_, logins) = requests(&system)?;
    assert_eq!(logins, 5, "the refused one, one for each batch, and one after the crash");
    system.stop_stages()?;
    for log in std::fs::read_dir(system.dir().join("logs"))? {
        let text = std::fs::read_to_string(log?.path())?;
        assert!(!text.contains("password-of-the-demonstration") && !text.contains("token="), "a secret is in a log");
    }
    Ok(())
}
