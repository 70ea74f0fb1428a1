//! Postgres: one connection, a handful of statements.
//!
//! What the database says in its own words never leaves this module: it may quote a row. Only the
//! SQLSTATE and what it means does.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use platform::exit::{Exit, Failure};
use platform::secrets::SecretFile;
use platform::settings::{Link, Settings, links};
use schemas::Timestamp;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::batch::{Batch, Counts};

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Longest run of one statement that only reads, milliseconds.
const STATEMENT_MAX_MS: &str = "30000";

/// As whom to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// The owner of the tables: `setup.postgres_url`, else `postgres.url`.
    Owner,
    /// The user of `postgres.url`.
    User,
}

/// The setting that says where the database is.
pub(crate) fn url_key(settings: &Settings, who: As) -> &'static str {
    match who {
        As::Owner if settings.is_set("setup.postgres_url") => "setup.postgres_url",
        As::Owner | As::User => "postgres.url",
    }
}

/// Checks everything that can be checked without a connection.
pub(crate) fn options(settings: &Settings, who: As) -> Result<PgConnectOptions, Failure> {
    let key = url_key(settings, who);
    settings.require(&[key])?;
    let (link, password_key) = if key == "setup.postgres_url" {
        (Link::SetupPostgres, "setup.postgres_password_file")
    } else {
        (Link::Postgres, "postgres.password_file")
    };
    links(settings, &[link])?;
    // The client also looks for a password in the environment; an explicit one, even an empty
    // one, keeps it to the file.
    let password = match settings.opt_path(password_key) {
        Some(path) => SecretFile::new(path).read_text().map_err(Failure::from)?.expose().to_owned(),
        None => String::new(),
    };
    // The error is not chained: it could repeat the address.
    let options = PgConnectOptions::from_str(settings.text(key)).map_err(|_| {
        Failure::config(format!("{key} is not an address of a database"))
            .hint("write it as postgresql://user@host:5432/database")
    })?;
    Ok(options.password(&password).application_name("sisdmk").disable_statement_logging())
}

/// Connects.
pub(crate) async fn connect(settings: &Settings, who: As) -> Result<PgConnection, Failure> {
    let key = url_key(settings, who);
    let mut options = options(settings, who)?;
    if who == As::User {
        options = options.options([("statement_timeout", STATEMENT_MAX_MS)]);
    }
    let connected = tokio::time::timeout(CONNECT_MAX, PgConnection::connect_with(&options)).await;
    match connected {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(fault(&format!("connect to the database of {key}"), &error)),
        Err(_) => Err(Failure::environment(format!(
            "cannot connect to the database of {key}: no answer within {} s",
            CONNECT_MAX.as_secs()
        ))
        .hint("is Postgres running, and are host and port right? `sisdmk config show` prints the address")),
    }
}

/// Where rows come from that carry this id, at most 20, and how many there are. Nothing about the persons.
pub(crate) async fn trace_persons(connection: &mut PgConnection, id: Uuid) -> Result<(Vec<Value>, i64), Failure> {
    let found = sqlx::query(include_str!("../sql/trace_persons.sql")).bind(id).fetch_all(connection).await;
    let found = found.map_err(|error| fault("read sdmk.person", &error))?;
    let read = |row: &PgRow| -> Result<(Value, i64), sqlx::Error> {
        let time = |name: &str| row.try_get::<DateTime<Utc>, _>(name).map(|at| Timestamp(at.timestamp_micros()));
        let text = |name: &str| row.try_get::<Uuid, _>(name).map(|id| id.to_string());
        let value = json!({
            "person_id": text("person_id")?,
            "batch_id": text("batch_id")?,
            "request_id": text("request_id")?,
            "trace_id": row.try_get::<String, _>("trace_id")?,
            "raw_partition": row.try_get::<i32, _>("raw_partition")?,
            "raw_offset": row.try_get::<i64, _>("raw_offset")?,
            "last_updated": time("last_updated")?,
            "fetched_at": time("fetched_at")?,
            "deleted": row.try_get::<bool, _>("deleted")?,
        });
        Ok((value, row.try_get::<i64, _>("rows")?))
    };
    let rows: Vec<(Value, i64)> =
        found.iter().map(read).collect::<Result<_, _>>().map_err(|error| fault("read sdmk.person", &error))?;
    let total = rows.first().map_or(0, |(_, total)| *total);
    Ok((rows.into_iter().map(|(row, _)| row).collect(), total))
}

/// A fault of the database in our own words; `doing` reads after "cannot".
pub(crate) fn fault(doing: &str, error: &sqlx::Error) -> Failure {
    let (exit, what, hint) = match error {
        sqlx::Error::Database(database) => {
            let state = database.code().unwrap_or_default().into_owned();
            let (exit, meaning, hint) = meaning(&state);
            (exit, format!("{meaning} (SQLSTATE {state})"), hint)
        }
        sqlx::Error::Io(error) => (
            Exit::Environment,
            format!("the server does not answer ({})", error.kind()),
            "is Postgres running, and are host and port right? `sisdmk config show` prints the address",
        ),
        sqlx::Error::Tls(_) => (
            Exit::Environment,
            "the encrypted connection could not be made".to_owned(),
            "check sslmode and sslrootcert in the address, and the server's certificate",
        ),
        sqlx::Error::ColumnNotFound(_) | sqlx::Error::ColumnDecode { .. } => (
            Exit::Environment,
            "a table is not as this program knows it".to_owned(),
            "run `sisdmk setup` of the same release",
        ),
        _ => (Exit::Runtime, "the client gave up".to_owned(), "try again; `sisdmk doctor` probes the link"),
    };
    Failure::new(exit, format!("cannot {doing}: {what}")).hint(hint)
}

/// What an SQLSTATE means to an operator. Source: PostgreSQL, Appendix A.
fn meaning(state: &str) -> (Exit, &'static str, &'static str) {
    match state {
        "28P01" | "28000" => (
            Exit::Environment,
            "the server refuses this user or password",
            "check the user in the address and the content of the password file",
        ),
        "3D000" => {
            (Exit::Environment, "there is no such database", "create the database, or correct its name in the address")
        }
        "42P01" | "3F000" => (Exit::Environment, "the tables are not there", "run `sisdmk setup` first"),
        "42703" => {
            (Exit::Environment, "a table is not as this program knows it", "run `sisdmk setup` of the same release")
        }
        "42501" => (
            Exit::Environment,
            "this user may not do that",
            "make the user a member of the right role: sisdmk_auditor to look, sisdmk_owner for setup",
        ),
        "57P03" | "53300" | "57P01" => {
            (Exit::Environment, "the server takes no connections now", "wait a moment and try again")
        }
        "57014" => (Exit::Runtime, "the statement took too long", "try again when the database is less busy"),
        "23514" | "23505" | "40001" | "40P01" => (Exit::Runtime, "somebody else changed the same rows", "run it again"),
        _ => (Exit::Runtime, "the database refuses it", "the server's log has the details"),
    }
}

/// The latest batches, or those whose id begins with `prefix`.
pub(crate) async fn batches(
    connection: &mut PgConnection,
    prefix: Option<&str>,
    limit: u32,
) -> Result<Vec<Batch>, Failure> {
    let read = |error| fault("read the batches", &error);
    sqlx::query(include_str!("../sql/batches.sql"))
        .bind(i64::from(limit))
        .bind(prefix)
        .fetch_all(connection)
        .await
        .map_err(read)?
        .iter()
        .map(batch)
        .collect::<Result<_, _>>()
        .map_err(read)
}

fn moment(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    let at: Option<DateTime<Utc>> = row.try_get(column)?;
    Ok(at.map(|at| Timestamp(at.timestamp_micros())))
}

fn batch(row: &PgRow) -> Result<Batch, sqlx::Error> {
    let by_code: Option<sqlx::types::Json<BTreeMap<String, i64>>> = row.try_get("dlq_by_code")?;
    Ok(Batch {
        id: row.try_get::<Uuid, _>("batch_id")?.to_string(),
        kind: row.try_get("kind")?,
        source: row.try_get("source")?,
        started_at: moment(row, "started_at")?,
        finished_at: moment(row, "finished_at")?,
        status: row.try_get("status")?,
        tied: row.try_get("tied")?,
        counts: Counts {
            fetched: row.try_get("fetched")?,
            raw: row.try_get("raw")?,
            quarantined: row.try_get("quarantined")?,
            clean: row.try_get("clean")?,
            deletes_found: row.try_get("deletes_found")?,
            dlq: row.try_get("dlq")?,
            processor_equal: row.try_get("processor_equal")?,
            processor_stale: row.try_get("processor_stale")?,
            inserted: row.try_get("inserted")?,
            updated: row.try_get("updated")?,
            deleted: row.try_get("deleted")?,
            sink_equal: row.try_get("sink_equal")?,
            sink_stale: row.try_get("sink_stale")?,
            superseded: row.try_get("superseded")?,
            rejected: row.try_get("rejected")?,
            conflict: row.try_get("conflict")?,
        },
        requests: row.try_get("requests")?,
        dlq_by_code: by_code.map(|json| json.0).unwrap_or_default(),
        duration_ms: row.try_get("duration_ms")?,
        trace_id: row.try_get("trace_id")?,
        detail: row.try_get("detail")?,
    })
}

/// What the stages have reported for a batch: totals by stage and name.
pub(crate) async fn batch_reports(
    connection: &mut PgConnection,
    batch_id: &str,
) -> Result<BTreeMap<(String, String), i64>, Failure> {
    let read = |error| fault("read the stages' reports", &error);
    let id = Uuid::parse_str(batch_id).unwrap_or_default();
    sqlx::query(include_str!("../sql/batch_reports.sql"))
        .bind(id)
        .fetch_all(connection)
        .await
        .map_err(read)?
        .iter()
        .map(|row| Ok(((row.try_get("stage")?, row.try_get("name")?), row.try_get("total")?)))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(read)
}

/// `sink.offset`: how far the sink has taken in each partition.
pub(crate) async fn sink_positions(connection: &mut PgConnection) -> Result<BTreeMap<(String, i32), i64>, Failure> {
    let read = |error| fault("read the sink's positions", &error);
    sqlx::query(include_str!("../sql/sink_positions.sql"))
        .fetch_all(connection)
        .await
        .map_err(read)?
        .iter()
        .map(|row| Ok(((row.try_get("topic")?, row.try_get("partition")?), row.try_get("next_offset")?)))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(read)
}
