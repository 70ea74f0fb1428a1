//! A source of the newer kind: client credentials against a token that does not live long, and a list of its facilities
//! that it gives out itself; compared with the truth in every field.

use anyhow::{Context, Result};
use harness::tables::{Tables, check_equations};
use harness::{Stage, System, compare, topics, wait};
use serde_json::{Value, json};

use crate::{support, whole};

/// How the source is asked, in place of what the shipped profile declares.
const AUTH: &str = r#"[auth]
kind = "oauth2"
carry = "header"

[auth.login]
path = "/oauth2/v1/accesstoken"
user = "client_id"
secret = "client_secret"
query = { grant_type = "client_credentials" }
token = "access_token"
expires_in = "expires_in"
refresh_before_seconds = 4

"#;

const FACILITIES: &str = r#"
[facilities]
path = "/rest/fasyankes"
code = "KODE"
"#;

/// Life of a token. It is replaced 4 s before its end, and a batch takes longer than the other 4 s: more than 500
/// facilities, 100 of them a second.
const TOKEN_SECONDS: &str = "8";

const FIRST_SECRET: &str = "rahasia-pertama";
const SECOND_SECRET: &str = "rahasia-kedua";

const LOGIN: &str = "/oauth2/v1/accesstoken";
const LIST: &str = "/rest/fasyankes";
const PEOPLE: &str = "/rest/biodata";

/// Path and status of each request since the first `skip`, in their order.
fn requests(system: &System, skip: usize) -> Result<Vec<(String, u64)>> {
    let told = |request: Result<Value>| {
        let request = request?;
        let path = request["path"].as_str().context("a path")?.to_owned();
        Ok((path, request["status"].as_u64().context("a status")?))
    };
    system.simulator()?.requests()?.skip(skip).map(told).collect()
}

fn count(requests: &[(String, u64)], path: &str, status: u64) -> usize {
    requests.iter().filter(|(of, with)| of == path && *with == status).count()
}

fn complete(tables: &mut Tables, batch: &str) -> Result<Value> {
    let row = tables.wait_closed(batch, whole::BATCH_LIMIT)?;
    assert_eq!((&row["status"], &row["tied"]), (&Value::from("complete"), &Value::from(true)), "{row}");
    check_equations(&row)?;
    tables.wait_at_rest(whole::BATCH_LIMIT)?;
    Ok(row)
}

/// Tokens were replaced while the batch was under way, each before its end: none was refused, nothing was asked twice.
fn renewed_in_time(requests: &[(String, u64)], facilities: usize) {
    let logins = count(requests, LOGIN, 200);
    assert_eq!(requests.first().map(|(path, _)| path.as_str()), Some(LOGIN), "nobody is asked without a token");
    assert!(logins >= 2, "{logins} logins");
    assert_eq!(count(requests, PEOPLE, 200), facilities, "each facility once");
    assert!(requests.iter().all(|(_, status)| *status != 401), "a token was used beyond its end");
    let last = requests.iter().rposition(|(path, _)| path == LOGIN).unwrap_or_default();
    let (before, after) = requests.split_at(last);
    assert!(count(before, PEOPLE, 200) > 0 && count(after, PEOPLE, 200) > 0, "not in the middle");
}

/// Goal: a secret that was replaced at the source stops the producer after one refused login, and the new one in its file is
/// taken up by the process that runs, without a hand on it; a list of facilities that does not come any more is an
/// incident, and those that were listed before are read all the same.
fn another_secret_is_taken_up(system: &mut System, tables: &mut Tables, facilities: usize) -> Result<()> {
    let process = system.process(Stage::Producer)?.pid();
    let seen = requests(system, 0)?.len();
    system.secret("client.secret.right", SECOND_SECRET.as_bytes())?;
    let refused = system.poll()?;
    wait::until("the producer to stop after the refusal", whole::BATCH_LIMIT, || {
        let status = system.producer_status()?;
        Ok((status["stopped_for"] == "auth_failed" && status["batch"]["state"] == "closed").then_some(()))
    })?;
    assert_eq!(tables.wait_closed(&refused, whole::BATCH_LIMIT)?["status"], "auth_failed");
    assert_eq!(requests(system, seen)?, [(LOGIN.to_owned(), 401)], "one login, and nothing else");

    system.simulator()?.change(300)?;
    system.simulator()?.faults(&json!([{"kind": "html", "match": {"path": LIST}, "times": 4}]))?;
    system.secret("client.secret", SECOND_SECRET.as_bytes())?;
    let batch = wait::until("a batch with the other secret", whole::BATCH_LIMIT, || {
        let id = system.producer_status()?["batch"]["batch_id"].as_str().map(str::to_owned);
        Ok(id.filter(|id| *id != refused))
    })?;
    let row = complete(tables, &batch)?;
    assert!(row["updated"].as_i64() > Some(100), "{row}");
    let after = requests(system, seen + 1)?;
    assert_eq!(count(&after, LIST, 200), 4, "asked for four times, and no list came");
    renewed_in_time(&after, facilities);
    assert_eq!(system.producer_status()?["incidents"][0]["kind"], "format_changed");
    assert_eq!(system.process(Stage::Producer)?.pid(), process, "nobody has started it again");
    Ok(())
}

/// Goal: answers that unpack to 64 MiB cost the facility that was asked for, and nothing else; the process stays small.
fn a_bomb_costs_one_facility(system: &mut System, tables: &mut Tables, facilities: usize) -> Result<()> {
    let seen = requests(system, 0)?.len();
    let records = topics::count(system, "sisdmk.raw")?;
    // Nobody else asks before the first answer is good.
    system.simulator()?.faults(&json!([{"kind": "padding", "match": {"path": PEOPLE}, "times": 4}]))?;
    let row = tables.wait_closed(&system.poll()?, whole::BATCH_LIMIT)?;
    assert_eq!((&row["status"], &row["tied"]), (&Value::from("failed"), &Value::from(true)), "{row}");
    let status = system.producer_status()?;
    assert_eq!(status["batch"]["facilities"]["failed"], 1, "{status}");
    let told = (&status["incidents"][0]["kind"], &status["incidents"][0]["detail"]);
    assert_eq!(told, (&Value::from("unreachable"), &Value::from("body_too_large")), "{status}");
    assert_eq!(status["incidents"].as_array().map(Vec::len), Some(1), "the list is there again: {status}");
    let asked = requests(system, seen)?;
    assert_eq!(count(&asked, PEOPLE, 200), facilities + 3, "one of them four times");
    let brought = topics::count(system, "sisdmk.raw")? - records;
    assert_eq!(Some(brought), row["raw"].as_i64(), "{row}");
    let resident = support::resident_kib(system, Stage::Producer)?;
    assert!(resident > 0 && resident < support::PRODUCER_KIB_MAX, "{resident} KiB");
    tables.wait_at_rest(whole::BATCH_LIMIT)
}

/// Goal: the producer reads a source whose tokens live for seconds and which lists its facilities itself; every row is the
/// truth, every request is counted, and neither token nor secret stands in a log.
/// Method: the shipped profile of the older service with another login and a list; the list is not there at first. Then
/// the secret is replaced, and at last some answers are bombs.
#[test]
#[expect(clippy::print_stdout, reason = "figures for whoever runs it")]
fn tokens_are_renewed_in_the_middle_and_the_source_lists_its_facilities() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    let shipped = schemas::layout::shipped("biodata-facility").context("it ships")?;
    let (before, rest) = shipped.split_once("[auth]").context("a login")?;
    let (_, after) = rest.split_once("[request]").context("a request")?;
    let profile = system.dir().join("oauth2.toml");
    let text = format!("{before}{AUTH}[request]{after}{FACILITIES}");
    std::fs::write(&profile, text.replace("name = \"biodata-facility\"", "name = \"oauth2-facility\""))?;
    for name in ["client.secret", "client.secret.right"] {
        system.secret(name, FIRST_SECRET.as_bytes())?;
    }
    for (key, value) in [
        ("source.profile", profile.display().to_string()),
        ("source.client_id", "klien".to_owned()),
        ("source.client_secret_file", system.secret_path("client.secret").display().to_string()),
        ("source.backoff", "10ms".to_owned()),
    ] {
        system.set(key, &format!("\"{value}\""))?;
    }
    system.set("source.requests_per_second", "100")?;
    system.setup()?;
    let mut options = support::simulator(1_500);
    let right = system.secret_path("client.secret.right").display().to_string();
    let more = [
        "--gzip",
        "--biodata-status",
        "--client-id",
        "klien",
        "--client-secret-file",
        &right,
        "--token-seconds",
        TOKEN_SECONDS,
    ];
    options.more.extend(more.map(str::to_owned));
    system.start_simulator(&options)?;
    system.simulator()?.faults(&json!([{"kind": "status", "status": 503, "match": {"path": LIST}, "times": 2}]))?;
    let facilities = system.simulator()?.facilities()?.len();
    assert!(facilities > 500, "{facilities}");
    for stage in [Stage::Sink, Stage::Processor, Stage::Producer] {
        system.start(stage)?;
    }

    let mut tables = Tables::open(&system)?;
    let first = wait::until("the first batch", whole::BATCH_LIMIT, || Ok(tables.batch_ids()?.into_iter().next()))?;
    complete(&mut tables, &first)?;
    let asked = requests(&system, 0)?;
    assert_eq!((count(&asked, LIST, 503), count(&asked, LIST, 200)), (2, 1), "the list came at the third try");
    renewed_in_time(&asked, facilities);
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal() && comparison.persons > 1_000, "{comparison}");

    another_secret_is_taken_up(&mut system, &mut tables, facilities)?;
    a_bomb_costs_one_facility(&mut system, &mut tables, facilities)?;
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");

    // The producer's own count of its logins is the source's.
    let asked = requests(&system, 0)?;
    let logins = count(&asked, LOGIN, 200) + count(&asked, LOGIN, 401);
    let label = format!("endpoint=\"{LOGIN}\"");
    let counted = support::metric_of(&system, Stage::Producer, "sisdmk_source_requests_total", &label)?;
    assert_eq!(usize::try_from(counted)?, logins);
    println!(
        "{facilities} facilities, {} requests, {logins} logins of them, producer's peak {} MiB",
        asked.len(),
        support::resident_kib(&mut system, Stage::Producer)? / 1024,
    );
    no_secret_is_told(&mut system)
}

/// No token and no secret: not in a topic, not at an endpoint, not in a log.
fn no_secret_is_told(system: &mut System) -> Result<()> {
    let check = |text: &str, place: &str| {
        for secret in ["issued-", FIRST_SECRET, SECOND_SECRET] {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    };
    for topic in ["sisdmk.raw", "sisdmk.state", "sisdmk.audit", "sisdmk.dlq"] {
        let records = topics::read(system, topic)?;
        assert!(!records.is_empty(), "{topic} is empty");
        for record in records {
            check(&String::from_utf8_lossy(&record.value.unwrap_or_default()), topic);
            check(&format!("{:?} {:?}", record.key, record.headers), topic);
        }
    }
    check(&system.producer_status()?.to_string(), "the status");
    check(&support::metrics(system, Stage::Producer)?, "the metrics");
    system.stop_stages()?;
    for log in std::fs::read_dir(system.dir().join("logs"))? {
        check(&std::fs::read_to_string(log?.path())?, "a log");
    }
    Ok(())
}
