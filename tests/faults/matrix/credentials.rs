//! Password and certificates of Kafka, rotated while everything runs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::authority::{Authority, Signed};
use harness::proxy::Weather;
use harness::tables::Tables;
use harness::{Stage, System, SystemOptions, compare, wait};

use crate::support;
use crate::world::{self, BATCH_LIMIT, STEP_LIMIT};

const LOGIN: &str = "sisdmk";
const PASSWORDS: [&str; 3] = ["password-of-yesterday", "password-of-today", "password-of-tomorrow"];
/// Longest time from the last step of a rotation until the flow goes on.
const RESUME_LIMIT: Duration = Duration::from_secs(60);
/// What readiness says while a change waits.
const NOTE: &str = "[+]kafka credentials ok: a change is not taken up";

/// Goal: the password, the authorities and the certificates of the link to Kafka are replaced, in whatever order, without a
/// restart, a lost record or a double one; what cannot be used yet replaces nothing.
/// Method: the broker lets the stages in by SASL_SSL alone, with a login and a certificate. After every rotation all links are
/// reset, so that each client has to log in again; then a batch passes. The password is changed
/// - at the broker first: a batch is under way, all stages are red until the file follows, and end it then; so does a sink that
///   starts meanwhile;
/// - in the file first: all stages stay as they are until the broker follows.
///
/// Then the broker gets another authority and a certificate of its, and the stages too: their certificate for a while without
/// its key.
#[test]
fn password_and_certificates_of_kafka_are_rotated_without_a_restart() -> Result<()> {
    let (old, new) = (Authority::new("authority of yesterday")?, Authority::new("authority of today")?);
    let mut prepared = Ok(());
    let (dir, mut system) = world::system(|options| prepared = secured(options, &old))?;
    prepared?;
    password_at_the_broker(&system, PASSWORDS[0])?;
    system.secret("kafka.password", PASSWORDS[0].as_bytes())?;
    give_client(&system, &old.sign("client")?)?;
    system.secret("ca.pem", &old.pem()?)?;
    world::set_up(&mut system, 600)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;
    // The product itself says that this link needs no leave to be plain.
    let listed = system.console(&["dlq", "list", "--set", "security.allow_plaintext=false"])?;
    ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let processes = Stage::ALL.map(|stage| system.process(stage).map(|process| process.pid()).unwrap_or_default());

    broker_first(&mut system, &mut tables)?;
    file_first(&system, &mut tables)?;
    certificates(&system, &mut tables, &dir.path().join("system/tls"), &old, &new)?;

    tables.wait_at_rest(BATCH_LIMIT)?;
    let verdict = world::judge(&system)?;
    assert!(verdict.is_clean(), "{verdict}");
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    for (stage, process) in Stage::ALL.into_iter().zip(processes) {
        ensure!(system.process(stage)?.pid() == process, "the {} was started again", stage.name());
        let log = log(&mut system, stage)?;
        ensure!(PASSWORDS.iter().all(|password| !log.contains(password)), "the {} wrote a password", stage.name());
        ensure!(!log.contains("PRIVATE KEY"), "the {} wrote a key", stage.name());
    }
    system.stop_stages()
}

/// Makes the broker ask who comes, and tells the stages how to answer.
fn secured(options: &mut SystemOptions, authority: &Authority) -> Result<()> {
    let folder = options.dir.join("tls");
    std::fs::create_dir_all(&folder)?;
    broker_files(&folder, authority, &authority.pem()?)?;
    options.proxied = true;
    options.kafka_proxy_tls = Some(std::fs::canonicalize(&folder)?);
    let secret = |name: &str| format!("\"{}\"", options.dir.join("secrets").join(name).display());
    let properties = [
        ("security.protocol", "\"SASL_SSL\"".to_owned()),
        ("sasl.mechanism", "\"SCRAM-SHA-512\"".to_owned()),
        ("sasl.username", format!("\"{LOGIN}\"")),
        ("ssl.ca.location", secret("ca.pem")),
        ("ssl.certificate.location", secret("client.pem")),
        ("ssl.key.location", secret("client.key")),
    ];
    let password = secret("kafka.password");
    for (name, value) in properties {
        options.settings.insert(format!("kafka.properties.\"{name}\""), value);
    }
    options.settings.insert("kafka.password_file".to_owned(), password);
    Ok(())
}

/// The broker's certificate, and the authorities whose clients it lets in.
fn broker_files(folder: &Path, authority: &Authority, trusted: &[u8]) -> Result<()> {
    let broker = authority.sign("broker")?;
    std::fs::write(folder.join("broker.pem"), [broker.key, broker.certificate].concat())?;
    std::fs::write(folder.join("authorities.pem"), trusted)?;
    Ok(())
}

fn give_client(system: &System, client: &Signed) -> Result<()> {
    system.secret("client.pem", &client.certificate)?;
    system.secret("client.key", &client.key)
}

/// From now on the broker knows this password and no other one.
fn password_at_the_broker(system: &System, password: &str) -> Result<()> {
    let login = format!("SCRAM-SHA-512=[iterations=4096,password={password}]");
    configure(system, &["--entity-type", "users", "--entity-name", LOGIN], &login)
}

fn configure(system: &System, place: &[&str], setting: &str) -> Result<()> {
    let arguments: Vec<&str> = place.iter().copied().chain(["--alter", "--add-config", setting]).collect();
    system.stack.kafka_tool("kafka.admin.ConfigCommand", &arguments)?;
    Ok(())
}

fn log(system: &mut System, stage: Stage) -> Result<String> {
    Ok(std::fs::read_to_string(system.process(stage)?.log_path())?)
}

/// Waits until every stage says something like this about itself.
fn all(system: &System, what: &str, limit: Duration, says: impl Fn(bool, &str) -> bool) -> Result<()> {
    for stage in Stage::ALL {
        wait::until(&format!("the {} to say: {what}", stage.name()), limit, || {
            let (ready, text) = support::readiness(system, stage)?;
            Ok(says(ready, &text).then_some(()))
        })?;
    }
    Ok(())
}

/// Batches pass, one after the other, until every stage has taken the change up: clients are replaced under them.
fn taken_up_under_way(system: &System, tables: &mut Tables) -> Result<()> {
    wait::until("every stage to take the change up", RESUME_LIMIT, || {
        world::batch(system, tables, 30)?;
        let said = Stage::ALL.iter().map(|stage| support::readiness(system, *stage)).collect::<Result<Vec<_>>>()?;
        Ok(said.iter().all(|(_, text)| !text.contains(NOTE)).then_some(()))
    })?;
    all(system, "all is well", STEP_LIMIT, |ready, _| ready)
}

/// Every link is made anew, and a batch passes over the new ones.
fn links_are_made_anew(system: &System, tables: &mut Tables) -> Result<()> {
    system.links()?.kafka.reset();
    system.simulator()?.change(100)?;
    let batch = system.poll()?;
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    Ok(())
}

/// The broker has another password, and nobody can log in until the file has it too.
fn broker_first(system: &mut System, tables: &mut Tables) -> Result<()> {
    system.simulator()?.change(200)?;
    system.links()?.source.set(Weather::Hold);
    let batch = system.poll()?;
    password_at_the_broker(system, PASSWORDS[1])?;
    system.links()?.kafka.reset();
    system.links()?.source.restore();
    all(system, "Kafka does not let me in", STEP_LIMIT, |ready, _| !ready)?;
    for stage in [Stage::Processor, Stage::Sink] {
        wait::until(&format!("the {} to name the cause", stage.name()), STEP_LIMIT, || {
            Ok(log(system, stage)?.contains("Authentication failure").then_some(()))
        })?;
    }
    ensure!(tables.batch(&batch)?.is_none_or(|row| row["finished_at"].is_null()), "the batch waits");
    // Who starts now waits too.
    let mut late = system.spawn_another(Stage::Sink, "late")?;
    system.secret("kafka.password", PASSWORDS[1].as_bytes())?;
    late.wait_ready()?;
    let ended = late.stop()?;
    ensure!(ended.success(), "the late sink ended with {ended}");
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    all(system, "all is well", RESUME_LIMIT, |ready, _| ready)?;
    links_are_made_anew(system, tables)
}

/// The file has another password, which is of no use until the broker has it too.
fn file_first(system: &System, tables: &mut Tables) -> Result<()> {
    system.secret("kafka.password", PASSWORDS[2].as_bytes())?;
    all(system, "a change waits", STEP_LIMIT, |ready, text| ready && text.contains(NOTE))?;
    world::batch(system, tables, 50)?;
    password_at_the_broker(system, PASSWORDS[2])?;
    taken_up_under_way(system, tables)?;
    links_are_made_anew(system, tables)
}

/// Authorities and certificates on both sides. `folder`: the broker's files.
fn certificates(system: &System, tables: &mut Tables, folder: &Path, old: &Authority, new: &Authority) -> Result<()> {
    let both = [old.pem()?, new.pem()?].concat();
    let next = folder.join("next");
    std::fs::create_dir_all(&next)?;
    let setting = |what: &str, folder: &Path, name: &str| -> Result<String> {
        let path = std::fs::canonicalize(folder.join(name)).context("the broker's file")?;
        Ok(format!("listener.name.proxied.ssl.{what}.location={}", path.display()))
    };
    let broker = ["--entity-type", "brokers", "--entity-name", "1"];
    // The broker trusts both, then the clients do and show the new one.
    std::fs::write(folder.join("both.pem"), &both)?;
    configure(system, &broker, &setting("truststore", folder, "both.pem")?)?;
    let client = new.sign("client")?;
    system.secret("ca.pem", &both)?;
    system.secret("client.pem", &client.certificate)?;
    all(system, "a change waits", STEP_LIMIT, |ready, text| ready && text.contains(NOTE))?;
    world::batch(system, tables, 50)?;
    give_client(system, &client)?;
    taken_up_under_way(system, tables)?;
    // Who shows or trusts the old one only is out from now on.
    broker_files(&next, new, &new.pem()?)?;
    let settings = [setting("keystore", &next, "broker.pem")?, setting("truststore", &next, "authorities.pem")?];
    configure(system, &broker, &settings.join(","))?;
    links_are_made_anew(system, tables)
}
