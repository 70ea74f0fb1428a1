//! The ledger: takes the events of `sisdmk.audit` into the tables, closes batches, and publishes
//! what it closed.
//!
//! Each process runs one. Several may run: the position is moved by compare-and-set like any other,
//! a batch is locked while it is closed, and the event of its close has the same id whoever sends it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use platform::clock::Stopwatch;
use platform::exit::Failure;
use platform::http::Health;
use platform::kafka::{Consumer, HeaderSet, IdempotentProducer, KafkaFault, Out, PollEvent};
use platform::metrics;
use platform::shutdown::Shutdown;
use platform::telemetry::TraceContext;
use schemas::event::{BatchEvent, EventType, event_id};
use schemas::{Timestamp, TraceId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use crate::closing::{OpenBatch, announced, lower, payload, unfit};
use crate::config::{Config, PUBLISH_TIMEOUT};
use crate::edge::gauges;
use crate::edge::postgres::{Address, ends_connection, fault};
use crate::edge::writer;
use crate::ledger::{Closing, Sums, close};
use crate::partition::backoff;
use crate::policy::{Action, Fault, action};

/// Topic of the ledger's events.
pub(crate) const AUDIT: &str = "sisdmk.audit";
/// Its only partition.
const PARTITION: i32 = 0;
/// Name of the ledger's health check.
pub(crate) const CHECK: &str = "ledger";
/// Events taken in by one transaction.
const EVENTS_MAX: usize = 500;
/// How long one round waits for events. It also bounds how long a batch that ties stays open.
const ROUND: Duration = Duration::from_millis(500);
/// How often figures over all batches are read again.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// One event as it was read.
pub(super) struct Taken {
    /// Its offset.
    pub(super) offset: i64,
    /// What it tells.
    pub(super) event: BatchEvent,
}

/// The ledger of one process; one thread drives it.
pub(crate) struct Ledger {
    config: Arc<Config>,
    schema_id: u32,
    health: Health,
    runtime: tokio::runtime::Runtime,
    address: Address,
    connection: Option<PgConnection>,
    consumer: Consumer,
    producer: Option<IdempotentProducer>,
    position: Option<i64>,
    held: Vec<Taken>,
    clock: Stopwatch,
    measured: Option<Duration>,
}

impl Ledger {
    /// Makes its clients.
    ///
    /// # Errors
    /// Exit 2 or 3 when one cannot be made.
    pub(crate) fn new(config: Arc<Config>, schema_id: u32, health: Health) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::environment("cannot start the ledger's runtime").because(error))?;
        let address = Address::new(&config.postgres_url, config.postgres_password_file.clone(), "sisdmk-sink ledger")?;
        let consumer =
            Consumer::manual(&config.kafka).map_err(|fault| Failure::config(format!("failed to {fault}")))?;
        Ok(Self {
            config,
            schema_id,
            health,
            runtime,
            address,
            connection: None,
            consumer,
            producer: None,
            position: None,
            held: Vec::new(),
            clock: Stopwatch::start(),
            measured: None,
        })
    }

    /// Works until asked to stop.
    pub(crate) fn run(mut self, shutdown: &Shutdown) {
        let mut tries = 0;
        while !shutdown.is_set() {
            match self.round() {
                Ok(()) => {
                    tries = 0;
                    self.health.ok(CHECK);
                }
                Err(fault) => {
                    self.failed(&fault, tries);
                    tries = tries.saturating_add(1);
                    let _ = shutdown.wait_blocking(backoff(tries));
                }
            }
        }
    }

    fn failed(&mut self, fault: &Fault, tries: u32) {
        let (action, advice) = action(fault, tries);
        match action {
            // Another process took the same events; go on from where it is.
            Action::Reload => tracing::debug!(error = %fault, "another ledger was faster"),
            Action::Retry | Action::Pause => {
                tracing::warn!(error = %fault, advice, "the ledger stands still; trying again");
                self.health.not_ok(CHECK, format!("failed to {fault}; {advice}"));
            }
            Action::Stop => {
                // It is looked at again every few seconds, and told once.
                if tries == 0 {
                    tracing::error!(error = %fault, advice, "the ledger stands still");
                }
                gauges::stopped().with_label_values(&[AUDIT, "0"]).set(1);
                self.health.not_ok(CHECK, format!("failed to {fault}; {advice}"));
            }
        }
        if ends_connection(fault) {
            self.connection = None;
        }
        // Whatever it was: the position of the table is always right.
        self.position = None;
        self.held.clear();
    }

    fn round(&mut self) -> Result<(), Fault> {
        if self.consumer.is_outdated() {
            self.consumer = Consumer::manual(&self.config.kafka).map_err(|fault| unread(&fault))?;
            self.position = None;
        }
        if self.connection.is_none() {
            self.connection = Some(self.runtime.block_on(self.address.connect())?);
        }
        let position = match self.position {
            Some(position) => position,
            None => self.take_up()?,
        };
        let next = self.take(position)?;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let work = async {
            if next > position {
                record(connection, position, next, &self.held).await?;
                self.position = Some(next);
                self.held.clear();
            }
            close_batches(connection, self.schema_id, self.config.ledger_deadline).await
        };
        let closed = self.runtime.block_on(work)?;
        let any = !closed.is_empty();
        closed.iter().for_each(tell);
        self.publish()?;
        let now = self.clock.elapsed();
        if any || self.measured.is_none_or(|last| now.saturating_sub(last) >= MEASURE_EVERY) {
            self.measured = Some(now);
            self.measure()?;
        }
        Ok(())
    }

    /// Starts to read where the table says.
    fn take_up(&mut self) -> Result<i64, Fault> {
        let Some(connection) = &mut self.connection else { return Err(lost()) };
        let found = self.runtime.block_on(writer::positions(connection, AUDIT, &BTreeSet::from([PARTITION])))?;
        let position = found.get(&PARTITION).copied().ok_or_else(lost)?;
        self.consumer.assign(&[(AUDIT, PARTITION, position)]).map_err(|fault| unread(&fault))?;
        self.held.clear();
        self.position = Some(position);
        gauges::stopped().with_label_values(&[AUDIT, "0"]).set(0);
        tracing::info!(topic = AUDIT, position, "taking the events in");
        Ok(position)
    }

    /// Reads events; the position after them.
    fn take(&mut self, position: i64) -> Result<i64, Fault> {
        let (held, schema_id) = (&mut self.held, self.schema_id);
        let mut next = held.last().map_or(position, |taken| taken.offset + 1);
        let outcome = self.consumer.poll(EVENTS_MAX, ROUND, |message| {
            if message.offset < next {
                return;
            }
            next = message.offset + 1;
            let event = message.value.map(|value| schemas::event::decode(value, schema_id));
            let event = match event {
                Some(Ok(event)) => match unfit(&event) {
                    None => event,
                    Some(why) => unreadable(message.offset, message.timestamp_ms, why),
                },
                Some(Err(fault)) => unreadable(message.offset, message.timestamp_ms, &fault.to_string()),
                None => unreadable(message.offset, message.timestamp_ms, "it has no value"),
            };
            held.push(Taken { offset: message.offset, event });
        });
        for event in outcome.events {
            match event {
                PollEvent::PositionLost { .. } => return Err(lost()),
                PollEvent::Rebalance(_) => {}
                PollEvent::Fault(fault) if fault.is_retriable() => tracing::debug!(error = %fault, "kafka consumer"),
                PollEvent::Fault(fault) => return Err(unread(&fault)),
            }
        }
        Ok(next)
    }

    /// Sends what was closed. What was sent and not marked is sent again: the same event, the same id.
    fn publish(&mut self) -> Result<(), Fault> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let (producer, kafka, schema_id) = (&mut self.producer, &self.config.kafka, self.schema_id);
        self.runtime.block_on(async {
            let mut transaction = connection.begin().await.map_err(|error| fault(&error))?;
            let rows = sqlx::query(include_str!("../sql/outbox_take.sql"))
                .fetch_all(&mut *transaction)
                .await
                .map_err(|error| fault(&error))?;
            if rows.is_empty() {
                return transaction.rollback().await.map_err(|error| fault(&error));
            }
            let letters =
                rows.iter().map(OutboxRow::of).collect::<Result<Vec<_>, _>>().map_err(|error| fault(&error))?;
            send(producer, kafka, schema_id, &letters)
                .map_err(|fault| Fault::Publish { topic: AUDIT, message: fault.message })?;
            sqlx::query(include_str!("../sql/outbox_done.sql"))
                .bind(letters.iter().map(|letter| letter.id).collect::<Vec<i64>>())
                .execute(&mut *transaction)
                .await
                .map_err(|error| fault(&error))?;
            transaction.commit().await.map_err(|error| fault(&error))
        })
    }

    fn measure(&mut self) -> Result<(), Fault> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let row = self
            .runtime
            .block_on(sqlx::query(include_str!("../sql/streak.sql")).fetch_one(connection))
            .map_err(|error| fault(&error))?;
        let read =
            || Ok::<_, sqlx::Error>((row.try_get("failed")?, row.try_get("last_success")?, row.try_get("open")?));
        let (failed, last_success, open): (i64, Option<f64>, i64) = read().map_err(|error| fault(&error))?;
        metrics::consecutive_failed_batches().set(failed);
        gauges::open_batches().with_label_values(&[] as &[&str]).set(open);
        if let Some(at) = last_success {
            metrics::last_success_timestamp().set(at);
        }
        if let (Some(position), Ok((_, end))) = (self.position, self.consumer.watermarks(AUDIT, PARTITION)) {
            let position = self.consumer.position(AUDIT, PARTITION).map_or(position, |next| next.max(position));
            metrics::stage_lag().with_label_values(&["ledger", "0"]).set((end - position).max(0));
        }
        Ok(())
    }
}

fn lost() -> Fault {
    Fault::PositionLost { topic: AUDIT.to_owned(), partition: PARTITION }
}

fn unread(fault: &KafkaFault) -> Fault {
    Fault::Consume { topic: AUDIT, message: fault.message.clone() }
}

/// An event of ours about an event that nobody can read, so that the gap is on record.
fn unreadable(offset: i64, timestamp_ms: Option<i64>, why: &str) -> BatchEvent {
    tracing::error!(topic = AUDIT, offset, error = why, "an event cannot be read");
    BatchEvent {
        event_id: event_id(Uuid::nil(), EventType::TidakDiketahui, &["unreadable", AUDIT, &offset.to_string()]),
        event_type: EventType::TidakDiketahui,
        occurred_at: Timestamp(timestamp_ms.unwrap_or(0).saturating_mul(1_000)),
        batch_id: Uuid::nil(),
        kind: schemas::event::BatchKind::TidakDiketahui,
        source: String::new(),
        stage: None,
        topic: Some(AUDIT.to_owned()),
        partition: Some(PARTITION),
        first_offset: Some(offset),
        next_offset: Some(offset + 1),
        region: None,
        counts: std::collections::BTreeMap::new(),
        status: None,
        tied: None,
        started_at: None,
        duration_ms: None,
        request_id: None,
        trace_id: None,
        detail: Some(format!("an event cannot be read: {why}")),
    }
}

/// Events with times that no calendar holds are sorted out by [`unfit`].
fn moment(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.0).unwrap_or_default()
}

fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp(at.timestamp_micros())
}

/// Takes events into the tables and moves the position over them, in one transaction.
pub(super) async fn record(
    connection: &mut PgConnection,
    position: i64,
    next: i64,
    taken: &[Taken],
) -> Result<(), Fault> {
    let mut transaction = connection.begin().await.map_err(|error| fault(&error))?;
    let moved = sqlx::query(include_str!("../sql/move_position.sql"))
        .bind(AUDIT)
        .bind(PARTITION)
        .bind(position)
        .bind(next)
        .execute(&mut *transaction)
        .await
        .map_err(|error| fault(&error))?;
    if moved.rows_affected() != 1 {
        return Err(Fault::PositionMoved { topic: AUDIT.to_owned(), partition: PARTITION, expected: position });
    }
    let (reports, others): (Vec<_>, Vec<_>) =
        taken.iter().map(|taken| &taken.event).partition(|event| event.event_type == EventType::StageReport);
    for event in &others {
        if matches!(event.event_type, EventType::BatchStarted | EventType::BatchFetched) {
            record_batch(&mut transaction, event).await?;
        }
    }
    if !others.is_empty() {
        record_events(&mut transaction, &others).await?;
    }
    if !reports.is_empty() {
        record_reports(&mut transaction, &reports).await?;
    }
    transaction.commit().await.map_err(|error| fault(&error))
}

async fn record_batch(connection: &mut PgConnection, event: &BatchEvent) -> Result<(), Fault> {
    let count = |name: &str| event.counts.get(name).copied();
    sqlx::query(include_str!("../sql/record_batch.sql"))
        .bind(event.batch_id)
        .bind(lower(event.kind.as_str()))
        .bind(&event.source)
        .bind(event.started_at.map(moment))
        .bind(event.trace_id.map(|id| id.to_string()))
        .bind(count("fetched").unwrap_or(0))
        .bind(count("raw").unwrap_or(0))
        .bind(count("quarantined").unwrap_or(0))
        .bind(count("requests"))
        .execute(connection)
        .await
        .map_err(|error| fault(&error))?;
    Ok(())
}

async fn record_events(connection: &mut PgConnection, events: &[&BatchEvent]) -> Result<(), Fault> {
    fn column<T>(events: &[&BatchEvent], of: impl Fn(&BatchEvent) -> T) -> Vec<T> {
        events.iter().map(|event| of(event)).collect()
    }
    let recorded = sqlx::query(include_str!("../sql/record_events.sql"))
        .bind(column(events, |event| event.event_id))
        .bind(column(events, |event| lower(event.event_type.as_str())))
        .bind(column(events, |event| moment(event.occurred_at)))
        .bind(column(events, |event| event.batch_id))
        .bind(column(events, |event| lower(event.kind.as_str())))
        .bind(column(events, |event| event.source.clone()))
        .bind(column(events, |event| event.region.clone()))
        .bind(column(events, |event| event.status.map(|status| lower(status.as_str()))))
        .bind(column(events, |event| event.detail.clone()))
        .bind(column(events, payload))
        .execute(connection)
        .await
        .map_err(|error| fault(&error))?;
    let repeated = u64::try_from(events.len()).unwrap_or(u64::MAX).saturating_sub(recorded.rows_affected());
    gauges::ledger_events().with_label_values(&["recorded"]).inc_by(recorded.rows_affected());
    gauges::ledger_events().with_label_values(&["repeated"]).inc_by(repeated);
    Ok(())
}

async fn record_reports(connection: &mut PgConnection, events: &[&BatchEvent]) -> Result<(), Fault> {
    fn column<T>(events: &[&BatchEvent], of: impl Fn(&BatchEvent) -> T) -> Vec<T> {
        events.iter().map(|event| of(event)).collect()
    }
    let rows = sqlx::query(include_str!("../sql/record_reports.sql"))
        .bind(column(events, |event| event.stage.clone().unwrap_or_default()))
        .bind(column(events, |event| event.topic.clone().unwrap_or_default()))
        .bind(column(events, |event| event.partition.unwrap_or_default()))
        .bind(column(events, |event| event.first_offset.unwrap_or_default()))
        .bind(column(events, |event| event.next_offset.unwrap_or_default()))
        .bind(column(events, |event| event.batch_id))
        .bind(column(events, |event| event.region.clone()))
        .bind(column(events, |event| serde_json::json!(event.counts).to_string()))
        .bind(column(events, |event| moment(event.occurred_at)))
        .fetch_all(connection)
        .await
        .map_err(|error| fault(&error))?;
    for row in &rows {
        let read = || Ok::<_, sqlx::Error>((row.try_get("fresh")?, row.try_get("same")?, row.try_get("late")?));
        let (fresh, same, late): (bool, bool, bool) = read().map_err(|error| fault(&error))?;
        let outcome = match (fresh, same, late) {
            (true, _, false) => "recorded",
            (true, _, true) => "late",
            (false, true, _) => "repeated",
            (false, false, _) => {
                let (stage, topic): (String, String) =
                    (row.try_get("stage").unwrap_or_default(), row.try_get("topic").unwrap_or_default());
                let (partition, first_offset): (i32, i64) =
                    (row.try_get("partition").unwrap_or_default(), row.try_get("first_offset").unwrap_or_default());
                tracing::error!(
                    stage,
                    topic,
                    partition,
                    first_offset,
                    "two reports of one range differ; the first one counts"
                );
                "differs"
            }
        };
        gauges::ledger_events().with_label_values(&[outcome]).inc();
    }
    Ok(())
}

/// A batch that was closed.
pub(super) struct Closed {
    /// Which one.
    batch: OpenBatch,
    /// How it was closed.
    pub(super) closing: Closing,
    /// From its start to its close.
    duration_ms: Option<i64>,
}

/// Closes every batch that ties or is overdue.
pub(super) async fn close_batches(
    connection: &mut PgConnection,
    schema_id: u32,
    deadline: Duration,
) -> Result<Vec<Closed>, Fault> {
    let mut transaction = connection.begin().await.map_err(|error| fault(&error))?;
    let rows = sqlx::query(include_str!("../sql/open_batches.sql"))
        .fetch_all(&mut *transaction)
        .await
        .map_err(|error| fault(&error))?;
    if rows.is_empty() {
        transaction.rollback().await.map_err(|error| fault(&error))?;
        return Ok(Vec::new());
    }
    let mut closed = Vec::new();
    for row in &rows {
        let open = Open::of(row).map_err(|error| fault(&error))?;
        let Some(announced) = announced(&open.payload, open.recorded_at) else { continue };
        let sums = sums(&mut transaction, open.batch.batch_id).await?;
        let Some(closing) = close(&announced, &sums, open.now, deadline) else { continue };
        write_close(&mut transaction, schema_id, &open, &closing).await?;
        let duration_ms = open.batch.duration_ms(open.now);
        closed.push(Closed { batch: open.batch, closing, duration_ms });
    }
    transaction.commit().await.map_err(|error| fault(&error))?;
    Ok(closed)
}

/// An open batch with what is needed to decide about it.
struct Open {
    batch: OpenBatch,
    payload: String,
    recorded_at: Timestamp,
    now: Timestamp,
}

impl Open {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let trace_id: Option<String> = row.try_get("trace_id")?;
        Ok(Self {
            batch: OpenBatch {
                batch_id: row.try_get("batch_id")?,
                kind: row.try_get("kind")?,
                source: row.try_get("source")?,
                started_at: row.try_get::<Option<DateTime<Utc>>, _>("started_at")?.map(timestamp),
                trace_id: trace_id.and_then(|text| TraceId::parse(text.as_bytes())),
            },
            payload: row.try_get("payload")?,
            recorded_at: timestamp(row.try_get("recorded_at")?),
            now: timestamp(row.try_get("now")?),
        })
    }
}

async fn sums(connection: &mut PgConnection, batch_id: Uuid) -> Result<Sums, Fault> {
    let rows = sqlx::query(include_str!("../sql/sums.sql"))
        .bind(vec![batch_id])
        .fetch_all(connection)
        .await
        .map_err(|error| fault(&error))?;
    let mut sums = Sums::default();
    for row in &rows {
        let read = || Ok::<_, sqlx::Error>((row.try_get("stage")?, row.try_get("name")?, row.try_get("total")?));
        let (stage, name, total): (&str, &str, i64) = read().map_err(|error| fault(&error))?;
        sums.add(stage, name, total);
    }
    Ok(sums)
}

async fn write_close(
    connection: &mut PgConnection,
    schema_id: u32,
    open: &Open,
    closing: &Closing,
) -> Result<(), Fault> {
    let mut query = sqlx::query(include_str!("../sql/close_batch.sql"))
        .bind(open.batch.batch_id)
        .bind(lower(closing.status.as_str()))
        .bind(closing.tied)
        .bind(&closing.detail)
        .bind(closing.counts.requests)
        .bind(serde_json::json!(closing.counts.dlq_by_code).to_string())
        .bind(moment(open.now));
    for (_, count) in &closing.counts.columns {
        query = query.bind(*count);
    }
    query.execute(&mut *connection).await.map_err(|error| fault(&error))?;
    let event = open.batch.closed(closing, open.now);
    let mut value = Vec::new();
    schemas::event::encode(&event, schema_id, &mut value);
    sqlx::query(include_str!("../sql/outbox_put.sql"))
        .bind(event.event_id)
        .bind(open.batch.batch_id.to_string())
        .bind(value)
        .execute(connection)
        .await
        .map_err(|error| fault(&error))?;
    Ok(())
}

/// One line and the metrics of a closed batch.
#[expect(clippy::cast_precision_loss, reason = "a span of time for a histogram")]
fn tell(closed: &Closed) {
    let Closed { batch, closing, duration_ms } = closed;
    let status = lower(closing.status.as_str());
    metrics::batches().with_label_values(&[&batch.kind, &status]).inc();
    if let Some(duration_ms) = duration_ms {
        metrics::batch_duration().with_label_values(&[&batch.kind]).observe(*duration_ms as f64 / 1e3);
    }
    for (name, count) in &closing.counts.columns {
        let stage = match *name {
            "fetched" | "raw" | "quarantined" => "producer",
            "clean" | "deletes_found" | "dlq" | "processor_equal" | "processor_stale" => "processor",
            _ => "sink",
        };
        metrics::batch_records().with_label_values(&[stage, name]).set(*count);
    }
    let (batch_id, kind, tied, detail) = (batch.batch_id, &batch.kind, closing.tied, &closing.detail);
    if tied {
        tracing::info!(%batch_id, kind, status, tied, duration_ms, "batch closed");
    } else {
        gauges::untied().with_label_values(&[kind]).inc();
        tracing::error!(%batch_id, kind, status, tied, duration_ms, detail, "batch closed, and its counts do not tie");
    }
}

/// An event that waits to be sent.
struct OutboxRow {
    id: i64,
    key: String,
    value: Vec<u8>,
}

impl OutboxRow {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { id: row.try_get("id")?, key: row.try_get("key")?, value: row.try_get("value")? })
    }
}

fn send(
    producer: &mut Option<IdempotentProducer>,
    kafka: &platform::kafka::KafkaConfig,
    schema_id: u32,
    rows: &[OutboxRow],
) -> Result<(), KafkaFault> {
    let sending = match producer.take().filter(|producer| !producer.is_outdated()) {
        Some(producer) => producer,
        None => IdempotentProducer::connect(kafka)?,
    };
    for row in rows {
        let trace_id = schemas::event::decode(&row.value, schema_id).ok().and_then(|event| event.trace_id);
        let headers = trace_id.map_or_else(HeaderSet::default, |trace_id| {
            let context = TraceContext { trace_id: trace_id.0, ..TraceContext::new_root() };
            HeaderSet::new(&[("traceparent", context.traceparent().as_bytes())])
        });
        sending.send(Out {
            topic: AUDIT,
            partition: Some(PARTITION),
            key: Some(row.key.as_bytes()),
            value: Some(&row.value),
            headers: &headers,
            timestamp_ms: None,
        })?;
    }
    sending.flush(PUBLISH_TIMEOUT)?;
    // Only one without a fault is kept.
    *producer = Some(sending);
    Ok(())
}
