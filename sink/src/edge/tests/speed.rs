//! How fast a full batch is written, beside a bare COPY of the same rows into a table with the same
//! key. Prints; asserts only what must hold everywhere.

use std::io::Write as _;

use platform::clock::Stopwatch;

use super::people::{Person, SCHEMA_ID, batch};
use super::server::Database;
use crate::copy::CopyBuffer;
use crate::edge::writer::{Attempt, DeadLetters, Refused};
use crate::letter::Letter;
use crate::migrations::start_position;
use crate::policy::Fault;

struct Nobody;

impl DeadLetters for Nobody {
    fn publish(&mut self, _: &[Letter<'_>]) -> Result<(), Fault> {
        Err(Fault::Publish { topic: "sisdmk.dlq", message: "no letter is expected".to_owned() })
    }
}

#[tokio::test]
async fn full_batches_of_new_changed_and_equal_persons_are_written() {
    const ROWS: u128 = 20_000;
    const BATCHES: u128 = 2;
    let mut database = Database::new().await;
    start_position(&mut database.admin, "t", 0, 0).await.expect("a position");
    let mut sink = database.sink().await;
    database.run("CREATE TABLE public.floor (LIKE sdmk.person) WITH (fillfactor = 50)").await;
    database.run("ALTER TABLE public.floor DROP COLUMN deleted_at, ADD PRIMARY KEY (person_id)").await;
    let floor = bare_copy(&mut database, ROWS * BATCHES).await;
    writeln!(std::io::stderr().lock(), "bare COPY of new rows: {floor:.0} rows/s over one connection")
        .expect("standard error");
    let mut position = 0;
    for (what, stamp, jobs) in [
        ("new", 0, &[][..]),
        ("changed", 1, &[]),
        ("equal", 1, &[]),
        ("changed, one job new", 2, &[("A", "a")]),
        ("changed, one job the same", 3, &[("A", "a")]),
    ] {
        let (mut written, mut seconds) = (0, 0.0);
        for number in 0..BATCHES {
            let people: Vec<_> = (0..ROWS)
                .map(|row| Person::new(row * BATCHES + number).at(stamp, stamp).named(&stamp.to_string()).working(jobs))
                .collect();
            let batch = batch(position, &people);
            let watch = Stopwatch::start();
            let mut attempt = Attempt::new("t", 0, &batch, SCHEMA_ID, Refused::new());
            let done = attempt.commit(&mut sink, &mut Nobody).await.expect("committed");
            seconds += watch.elapsed().as_secs_f64();
            written += done.runs.iter().map(|run| run.counts.clean_in).sum::<i64>();
            position = batch.next_position();
        }
        assert_eq!(u128::try_from(written), Ok(ROWS * BATCHES));
        #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
        let rate = written as f64 / seconds;
        writeln!(std::io::stderr().lock(), "{what}: {rate:.0} rows/s over one connection").expect("standard error");
    }
}

/// The floor: the same values, in the same order, without stage, comparison, position and report.
async fn bare_copy(database: &mut Database, rows: u128) -> f64 {
    let batch = batch(0, &(0..rows).map(Person::new).collect::<Vec<_>>());
    let mut workers: Vec<_> = batch
        .records()
        .map(|record| schemas::worker::decode(record.value.expect("a state"), SCHEMA_ID).expect("a frame"))
        .collect();
    workers.sort_by_key(|worker| worker.person_id);
    let watch = Stopwatch::start();
    let mut copy = database.admin.copy_in_raw("COPY public.floor FROM STDIN (FORMAT binary)").await.expect("a copy");
    let mut buffer = CopyBuffer::new();
    buffer.start();
    for worker in &workers {
        crate::stage::state(&mut buffer, worker);
        if buffer.is_full() {
            copy.send(buffer.bytes()).await.expect("sent");
            buffer.clear();
        }
    }
    buffer.end();
    copy.send(buffer.bytes()).await.expect("sent");
    copy.finish().await.expect("copied");
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let rate = rows as f64 / watch.elapsed().as_secs_f64();
    rate
}
