//! Looking into Postgres, and the logins that an operator would make.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::System;
use crate::wait;

/// The sink's login in a test system; it is a member of `sisdmk_sink` and of nothing else.
pub const SINK_LOGIN: &str = "demo_sink";
/// Its password.
pub const SINK_PASSWORD: &str = "password-of-the-demonstration";

/// What is sent to a COPY at a time.
const COPY_PIECE_BYTES: usize = 256 * 1024;

/// A connection as the database's administrator, for tests that look or tamper.
pub struct Tables {
    runtime: tokio::runtime::Runtime,
    connection: PgConnection,
}

impl Tables {
    /// Connects.
    pub fn open(system: &System) -> Result<Self> {
        Self::connect(PgConnectOptions::from_str(&system.stack.postgres_url())?, system)
    }

    /// Connects to another database of the same server.
    pub fn open_database(system: &System, database: &str) -> Result<Self> {
        Self::connect(PgConnectOptions::from_str(&system.stack.postgres_url())?.database(database), system)
    }

    fn connect(options: PgConnectOptions, system: &System) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let password = std::fs::read_to_string(system.stack.postgres_password_file())?;
        let options = options.password(password.trim_end_matches('\n'));
        let connection = runtime.block_on(PgConnection::connect_with(&options))?;
        Ok(Self { runtime, connection })
    }

    /// Runs statements; the number of rows they touched.
    pub fn execute(&mut self, sql: &str) -> Result<u64> {
        let run = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection);
        Ok(self.runtime.block_on(run)?.rows_affected())
    }

    /// Feeds a file to a `COPY .. FROM STDIN`; the number of rows.
    pub fn copy_in(&mut self, statement: &str, file: &std::path::Path) -> Result<u64> {
        use std::io::Read as _;
        let mut file = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut piece = vec![0; COPY_PIECE_BYTES];
        self.runtime.block_on(async {
            let mut copy = self.connection.copy_in_raw(statement).await?;
            loop {
                let length = file.read(&mut piece)?;
                let Some(piece) = piece.get(..length).filter(|piece| !piece.is_empty()) else { break };
                copy.send(piece).await?;
            }
            Ok(copy.finish().await?)
        })
    }

    /// The first column of every row, which must be text or null.
    pub fn column(&mut self, sql: &str) -> Result<Vec<Option<String>>> {
        let run = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connection);
        self.runtime.block_on(run)?.iter().map(|row| Ok(row.try_get::<Option<String>, _>(0)?)).collect()
    }

    /// One number.
    pub fn number(&mut self, sql: &str) -> Result<i64> {
        let run = sqlx::query_scalar::<_, Option<i64>>(AssertSqlSafe(sql)).fetch_one(&mut self.connection);
        Ok(self.runtime.block_on(run)?.unwrap_or(0))
    }

    /// One JSON value, given as text.
    pub fn json(&mut self, sql: &str) -> Result<Vec<Value>> {
        self.column(sql)?.into_iter().map(|text| Ok(serde_json::from_str(&text.context("a row is null")?)?)).collect()
    }

    /// Rows of JSON text in pages, for results too large to hold: `next` gets each value.
    pub fn stream(&mut self, query: &str, mut next: impl FnMut(Value) -> Result<()>) -> Result<()> {
        self.execute(&format!("BEGIN; DECLARE rows_of_truth NO SCROLL CURSOR FOR {query}"))?;
        loop {
            let page = self.json("FETCH 5000 FROM rows_of_truth")?;
            if page.is_empty() {
                break;
            }
            page.into_iter().try_for_each(&mut next)?;
        }
        self.execute("COMMIT")?;
        Ok(())
    }

    /// The row of a batch in `audit.batch`, as JSON.
    pub fn batch(&mut self, batch_id: &str) -> Result<Option<Value>> {
        Ok(self.json(&format!("SELECT to_jsonb(b)::text FROM audit.batch b WHERE batch_id = '{batch_id}'"))?.pop())
    }

    /// Ids of all batches, oldest first.
    pub fn batch_ids(&mut self) -> Result<Vec<String>> {
        Ok(self
            .column("SELECT batch_id::text FROM audit.batch ORDER BY started_at, batch_id")?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Waits until no batch is open: a producer that was started again may have begun one of its own.
    pub fn wait_at_rest(&mut self, limit: Duration) -> Result<()> {
        wait::until("every batch to be closed", limit, || {
            let open = self.number("SELECT count(*) FROM audit.batch WHERE finished_at IS NULL")?;
            Ok((open == 0).then_some(()))
        })
    }

    /// Waits until a batch is closed; its row.
    pub fn wait_closed(&mut self, batch_id: &str, limit: Duration) -> Result<Value> {
        wait::until(&format!("batch {batch_id} to be closed"), limit, || {
            Ok(self.batch(batch_id)?.filter(|row| !row["finished_at"].is_null()))
        })
    }
}

/// Makes the login with which the sink works.
pub fn make_sink_login(system: &System) -> Result<()> {
    let mut tables = Tables::open(system)?;
    if tables.number(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{SINK_LOGIN}'"))? > 0 {
        return Ok(());
    }
    tables.execute(&format!("CREATE ROLE {SINK_LOGIN} LOGIN PASSWORD '{SINK_PASSWORD}' IN ROLE sisdmk_sink"))?;
    Ok(())
}

/// Checks the equations of `docs/CONTRACT.md` section 4 on a closed batch; every number is one that was counted.
pub fn check_equations(batch: &Value) -> Result<()> {
    let count = |name: &str| batch[name].as_i64().with_context(|| format!("audit.batch has no {name}"));
    let sum = |names: &[&str]| names.iter().map(|name| count(name)).sum::<Result<i64>>();
    let raw = count("raw")?;
    let clean = count("clean")?;
    for (left, right, what) in [
        (count("fetched")?, sum(&["raw", "quarantined"])?, "fetched = raw + quarantined"),
        (
            raw,
            sum(&["clean", "dlq", "processor_equal", "processor_stale"])? - count("deletes_found")?,
            "raw = clean - deletes_found + dlq + processor_equal + processor_stale",
        ),
        (
            clean,
            sum(&["inserted", "updated", "deleted", "sink_equal", "sink_stale", "superseded", "rejected"])?,
            "clean = inserted + updated + deleted + sink_equal + sink_stale + superseded + rejected",
        ),
    ] {
        if left != right {
            bail!("{what} does not hold: {left} and {right}");
        }
    }
    Ok(())
}
