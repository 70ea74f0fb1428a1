//! The ledger's transactions against a real server.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::Timestamp;
use schemas::event::{BatchEvent, BatchKind, BatchStatus, EventType, event_id};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::people::NEW_YEAR;
use super::server::Database;
use crate::edge::ledger::{AUDIT, Closed, Taken, close_batches, record};
use crate::migrations::start_position;
use crate::policy::Fault;

const SCHEMA_ID: u32 = 8;
const DEADLINE: Duration = Duration::from_secs(900);

struct Book {
    database: Database,
    sink: PgConnection,
    position: i64,
}

impl Book {
    async fn new() -> Self {
        let mut database = Database::new().await;
        start_position(&mut database.admin, AUDIT, 0, 0).await.expect("a position");
        let sink = database.sink().await;
        Self { database, sink, position: 0 }
    }

    async fn take(&mut self, events: Vec<BatchEvent>) -> Result<(), Fault> {
        let taken: Vec<_> = (self.position..).zip(events).map(|(offset, event)| Taken { offset, event }).collect();
        let next = taken.last().map_or(self.position, |taken| taken.offset + 1);
        record(&mut self.sink, self.position, next, &taken).await?;
        self.position = next;
        Ok(())
    }

    async fn close(&mut self, deadline: Duration) -> Vec<Closed> {
        close_batches(&mut self.sink, SCHEMA_ID, deadline).await.expect("looked at")
    }

    async fn row(&mut self) -> serde_json::Value {
        let text: String = self.database.one("SELECT to_jsonb(b)::text FROM audit.batch b").await;
        serde_json::from_str(&text).expect("JSON")
    }
}

fn id() -> Uuid {
    Uuid::from_u128(0x0193_6ad3_0f6a_7abc_8def_0123_4567_89ab)
}

fn event(event_type: EventType, parts: &[&str], counts: &[(&str, i64)]) -> BatchEvent {
    BatchEvent {
        event_id: event_id(id(), event_type, parts),
        event_type,
        occurred_at: Timestamp(NEW_YEAR),
        batch_id: id(),
        kind: BatchKind::Scheduled,
        source: "sdmk-modified/1".to_owned(),
        stage: None,
        topic: None,
        partition: None,
        first_offset: None,
        next_offset: None,
        region: None,
        counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        status: None,
        tied: None,
        started_at: Some(Timestamp(NEW_YEAR)),
        duration_ms: None,
        request_id: None,
        trace_id: None,
        detail: None,
    }
}

fn report(stage: &str, partition: i32, first: i64, next: i64, counts: &[(&str, i64)]) -> BatchEvent {
    let mut event = event(EventType::StageReport, &[stage, &partition.to_string(), &first.to_string()], counts);
    (event.stage, event.topic) = (Some(stage.to_owned()), Some("sisdmk.raw".to_owned()));
    (event.partition, event.first_offset, event.next_offset) = (Some(partition), Some(first), Some(next));
    event
}

fn fetched(counts: &[(&str, i64)], status: BatchStatus) -> BatchEvent {
    let mut event = event(EventType::BatchFetched, &[], counts);
    event.status = Some(status);
    event
}

fn started() -> BatchEvent {
    event(EventType::BatchStarted, &[], &[])
}

/// 3 records: one dead, two clean, one inserted and one updated.
fn whole() -> Vec<BatchEvent> {
    vec![
        started(),
        report("producer", 0, 0, 3, &[("fetched", 3), ("raw", 3)]),
        report("processor", 0, 0, 2, &[("raw_in", 2), ("clean", 1), ("dlq", 1), ("dlq.nik_length", 1)]),
        report("processor", 1, 0, 1, &[("raw_in", 1), ("clean", 1)]),
        report("sink", 0, 0, 1, &[("clean_in", 1), ("inserted", 1)]),
        report("sink", 1, 0, 1, &[("clean_in", 1), ("updated", 1)]),
        fetched(&[("fetched", 3), ("raw", 3), ("requests", 2)], BatchStatus::Complete),
    ]
}

#[tokio::test]
async fn a_batch_that_ties_gets_its_row_and_one_event() {
    let mut book = Book::new().await;
    book.take(whole()).await.expect("taken");
    let closed = book.close(DEADLINE).await;
    assert_eq!(closed.len(), 1);
    assert!(book.close(DEADLINE).await.is_empty(), "once");
    let row = book.row().await;
    for (name, count) in [
        ("fetched", 3),
        ("raw", 3),
        ("clean", 2),
        ("dlq", 1),
        ("inserted", 1),
        ("updated", 1),
        ("requests", 2),
        ("rejected", 0),
    ] {
        assert_eq!(row[name], count, "{name}");
    }
    assert_eq!((&row["status"], &row["tied"], &row["kind"]), (&"complete".into(), &true.into(), &"scheduled".into()));
    assert_eq!(row["dlq_by_code"], serde_json::json!({"nik_length": 1}));
    assert!(!row["finished_at"].is_null() && !row["duration"].is_null());
    let value: Vec<u8> = book.database.one("SELECT value FROM sink.outbox WHERE published_at IS NULL").await;
    let event = schemas::event::decode(&value, SCHEMA_ID).expect("an event");
    assert_eq!(
        (event.event_type, event.tied, event.status),
        (EventType::BatchClosed, Some(true), Some(BatchStatus::Complete))
    );
    let counts: BTreeMap<_, _> = event.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!((counts["fetched"], counts["clean"], counts["dlq.nik_length"]), (3, 2, 1));
}

#[tokio::test]
async fn events_that_come_again_change_nothing() {
    let mut book = Book::new().await;
    let mut events = whole();
    events.extend(whole());
    book.take(events).await.expect("taken");
    book.take(whole()).await.expect("taken");
    assert_eq!(book.close(DEADLINE).await.len(), 1);
    assert_eq!(book.row().await["fetched"], 3);
    book.take(whole()).await.expect("taken");
    assert!(book.close(DEADLINE).await.is_empty());
    assert_eq!(book.database.one::<i64>("SELECT count(*) FROM audit.event").await, 2);
    assert_eq!(book.database.one::<i64>("SELECT count(*) FROM audit.stage_report").await, 5);
    assert_eq!(book.database.one::<i64>("SELECT count(*) FROM sink.outbox").await, 1);
}

#[tokio::test]
async fn a_batch_waits_for_the_last_report_and_closes_when_it_comes() {
    let mut book = Book::new().await;
    let mut events = whole();
    let late = events.remove(3);
    book.take(events).await.expect("taken");
    assert!(book.close(DEADLINE).await.is_empty());
    assert!(book.row().await["status"].is_null());
    book.take(vec![late]).await.expect("taken");
    assert!(book.close(DEADLINE).await[0].closing.tied);
}

#[tokio::test]
async fn a_batch_that_does_not_tie_is_closed_at_its_deadline_and_stays_closed() {
    let mut book = Book::new().await;
    let mut events = whole();
    let late = events.remove(3);
    book.take(events).await.expect("taken");
    assert_eq!(book.close(Duration::ZERO).await.len(), 1);
    let row = book.row().await;
    assert_eq!((&row["status"], &row["tied"]), (&"incomplete".into(), &false.into()));
    assert_eq!(row["detail"], "processor is short by 1: raw is 3, raw_in is 2");
    book.take(vec![late]).await.expect("taken");
    assert!(book.close(DEADLINE).await.is_empty());
    assert_eq!(book.row().await["status"], "incomplete");
}

#[tokio::test]
async fn the_producer_s_word_about_its_end_is_kept_when_it_is_worse() {
    let mut book = Book::new().await;
    book.take(vec![fetched(&[("fetched", 2), ("raw", 1)], BatchStatus::AuthFailed)]).await.expect("taken");
    assert_eq!(book.close(Duration::ZERO).await.len(), 1);
    let row = book.row().await;
    assert_eq!((&row["status"], &row["tied"]), (&"auth_failed".into(), &false.into()));
}

#[tokio::test]
async fn of_two_ledgers_one_takes_an_event_and_one_closes_a_batch() {
    let mut book = Book::new().await;
    book.take(whole()).await.expect("taken");
    let mut other = book.database.sink().await;
    let taken = [Taken { offset: 0, event: started() }];
    let fault = record(&mut other, 0, 1, &taken).await.expect_err("moved");
    assert!(matches!(fault, Fault::PositionMoved { expected: 0, .. }));
    let (left, right) = tokio::join!(
        close_batches(&mut book.sink, SCHEMA_ID, DEADLINE),
        close_batches(&mut other, SCHEMA_ID, DEADLINE)
    );
    assert_eq!(left.expect("looked at").len() + right.expect("looked at").len(), 1);
    assert_eq!(book.database.one::<i64>("SELECT count(*) FROM sink.outbox").await, 1);
}

#[tokio::test]
async fn a_second_report_of_a_range_that_says_something_else_is_not_taken() {
    let mut book = Book::new().await;
    book.take(whole()).await.expect("taken");
    book.take(vec![report("processor", 1, 0, 1, &[("raw_in", 1), ("clean", 0), ("dlq", 1)])]).await.expect("taken");
    let counts: String = book
        .database
        .one("SELECT counts::text FROM audit.stage_report WHERE stage = 'processor' AND partition = 1")
        .await;
    assert_eq!(counts, r#"{"clean": 1, "raw_in": 1}"#);
}
