//! Postgres: what the sink does while it is unwell, and after it was restored.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::tables::{SINK_LOGIN, Tables};
use harness::{Stage, System, compare, wait};

use crate::world::{self, BATCH_LIMIT, STEP_LIMIT};

/// Longest time after the end of a fault until its batch is closed.
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// Goal: no illness of Postgres loses a record, makes a dead letter, or needs a hand; meanwhile readiness is red.
/// Method: one system; the sink's connections are ended, its login may have none, its password becomes another one before the file
/// does, the server takes no writes, its tables are locked for longer than a statement waits. A batch is begun under each, and ends after it. Then reports come twice.
/// At last the database is restored from a backup that is older by two batches: the sink goes on from the position that
/// was restored with the rows.
#[test]
fn the_sink_waits_for_postgres_and_goes_on_from_what_was_restored() -> Result<()> {
    let (dir, mut system) = world::system(|options| {
        options.settings.insert("sink.batch_rows_max".into(), "100".into());
    })?;
    world::set_up(&mut system, 600)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;

    let login = format!("rolname = '{SINK_LOGIN}'");
    let end_sessions = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{SINK_LOGIN}'");
    // Connections that break, and break again.
    under(
        &mut system,
        &mut tables,
        |tables| tables.execute(&end_sessions).map(drop),
        |tables| tables.execute(&end_sessions).map(drop),
    )?;
    ensure!(tables.number(&format!("SELECT count(*) FROM pg_roles WHERE {login}"))? == 1, "the sink's login");
    // No connection is to be had.
    let none_left = format!("ALTER ROLE {SINK_LOGIN} CONNECTION LIMIT 0");
    let enough = format!("ALTER ROLE {SINK_LOGIN} CONNECTION LIMIT -1");
    under(
        &mut system,
        &mut tables,
        |tables| {
            tables.execute(&none_left)?;
            tables.execute(&end_sessions).map(drop)
        },
        |tables| tables.execute(&enough).map(drop),
    )?;
    password_rotated(&mut system, &mut tables, &end_sessions)?;
    // A failover that left the connections at a replica.
    read_only(&mut system, &mut tables)?;
    // Somebody holds the table for longer than the sink waits for a lock.
    let mut holder = Tables::open(&system)?;
    holder.execute("BEGIN; LOCK TABLE sdmk.person IN ACCESS EXCLUSIVE MODE")?;
    let batch = begin(&mut system)?;
    wait::until("a lock time-out of the sink", STEP_LIMIT, || {
        Ok(log(&mut system)?.contains("SQLSTATE 55P03").then_some(()))
    })?;
    holder.execute("COMMIT")?;
    tables.wait_closed(&batch, RESUME_LIMIT)?;

    reports_told_twice_count_once(&system, &mut tables)?;
    ensure!(
        harness::topics::read(&system, "sisdmk.dlq")?.iter().all(|letter| letter.headers["dlq.stage"] == "processor")
    );
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");

    restored(&mut system, dir.path())?;
    let verdict = world::judge(&system)?;
    assert!(verdict.is_clean(), "{verdict}");
    system.stop_stages()
}

/// Begins a batch under a fault, sees the sink not ready, ends the fault, and waits for the batch.
fn under(
    system: &mut System,
    tables: &mut Tables,
    begin_fault: impl FnOnce(&mut Tables) -> Result<()>,
    end_fault: impl FnOnce(&mut Tables) -> Result<()>,
) -> Result<()> {
    begin_fault(tables)?;
    let batch = begin(system)?;
    end_fault(tables)?;
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    Ok(())
}

fn begin(system: &mut System) -> Result<String> {
    system.simulator()?.change(100)?;
    system.poll()
}

fn log(system: &mut System) -> Result<String> {
    Ok(std::fs::read_to_string(system.process(Stage::Sink)?.log_path())?)
}

/// Waits until the sink says why it is not ready.
fn not_ready(system: &System) -> Result<()> {
    let address = system.address("sink").expect("the sink listens");
    wait::until("the sink to say that it is not ready", STEP_LIMIT, || {
        let answer = reqwest::blocking::get(format!("http://{address}/readyz?verbose"))?;
        let red = !answer.status().is_success();
        Ok((red && answer.text()?.contains("Postgres")).then_some(()))
    })
}

/// The login gets another password, and some time later the secret's file: the same process goes on with it.
fn password_rotated(system: &mut System, tables: &mut Tables, end_sessions: &str) -> Result<()> {
    const ANOTHER: &str = "password-after-the-rotation";
    let process = system.process(Stage::Sink)?.pid();
    tables.execute(&format!("ALTER ROLE {SINK_LOGIN} PASSWORD '{ANOTHER}'"))?;
    tables.execute(end_sessions)?;
    let batch = begin(system)?;
    not_ready(system)?;
    // Red is at first the session that was ended.
    wait::until("the old password to be refused", STEP_LIMIT, || {
        Ok(log(system)?.contains("SQLSTATE 28P01").then_some(()))
    })?;
    system.secret("sink.password", ANOTHER.as_bytes())?;
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    ensure!(
        system.process(Stage::Sink)?.pid() == process && !log(system)?.contains(ANOTHER),
        "no restart, no word of it"
    );
    Ok(())
}

fn read_only(system: &mut System, tables: &mut Tables) -> Result<()> {
    crate::random::read_only(system, true)?;
    let batch = begin(system)?;
    not_ready(system)?;
    ensure!(log(system)?.contains("SQLSTATE 25006"), "read-only was met");
    crate::random::read_only(system, false)?;
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!(row["tied"], true, "{row}");
    Ok(())
}

/// The same reports on `sisdmk.audit` again: the ledger's sums stay.
fn reports_told_twice_count_once(system: &System, tables: &mut Tables) -> Result<()> {
    const SUMS: &str = "SELECT stage || ' ' || name || ' ' || sum(count::bigint)
        FROM audit.stage_report, jsonb_each_text(counts) AS c (name, count) GROUP BY stage, name ORDER BY 1";
    system.wait_read_everything(BATCH_LIMIT)?;
    let before = tables.column(SUMS)?;
    let events = harness::topics::read(system, "sisdmk.audit")?;
    system.publish("sisdmk.audit", &events, harness::breaking::Ending::Commit)?;
    system.wait_read_everything(BATCH_LIMIT)?;
    assert_eq!(tables.column(SUMS)?, before);
    Ok(())
}

/// A backup is taken, two batches pass, the backup is restored.
fn restored(system: &mut System, dir: &std::path::Path) -> Result<()> {
    let backup = dir.join("backup.dump");
    let url = system.stack.postgres_url();
    let passfile = system.stack.postgres_passfile();
    let run = |program: &str, arguments: &[&str]| -> Result<()> {
        let output = Command::new(program).args(arguments).env("PGPASSFILE", &passfile).output()?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    let backup = backup.display().to_string();
    run("pg_dump", &["--format=custom", "--file", &backup, "--dbname", &url])?;
    let mut tables = Tables::open(system)?;
    for _ in 0..2 {
        world::batch(system, &mut tables, 200)?;
    }
    system.wait_read_everything(BATCH_LIMIT)?;
    let moved = tables.number("SELECT sum(next_offset)::bigint FROM sink.offset WHERE topic = 'sisdmk.clean'")?;
    drop(tables);
    system.stop(Stage::Sink)?;
    run("pg_restore", &["--clean", "--if-exists", "--dbname", &url, &backup])?;
    let mut tables = Tables::open(system)?;
    let back = tables.number("SELECT sum(next_offset)::bigint FROM sink.offset WHERE topic = 'sisdmk.clean'")?;
    ensure!(back < moved, "the backup is older: {back} and {moved}");
    system.start(Stage::Sink)?;
    system.wait_read_everything(BATCH_LIMIT)?;
    tables.wait_at_rest(BATCH_LIMIT)?;
    let comparison = compare::compare(system)?;
    assert!(comparison.is_equal(), "{comparison}");
    Ok(())
}
