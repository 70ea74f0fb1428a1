//! How fast a full batch is written, beside a bare COPY of the same rows into a table with the same
//! key. Prints; asserts only what must hold everywhere.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use platform::clock::Stopwatch;
use sqlx::postgres::PgConnection;

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
    let spent = bare_copy(&mut database, ROWS * BATCHES).await;
    tell("bare COPY of new rows", ROWS * BATCHES, spent);
    let backend = backend(&mut sink).await;
    let mut position = 0;
    for (what, stamp, jobs) in [
        ("new", 0, &[][..]),
        ("changed", 1, &[]),
        ("equal", 1, &[]),
        ("changed, one job new", 2, &[("A", "a")]),
        ("changed, one job the same", 3, &[("A", "a")]),
    ] {
        let (mut written, mut spent) = (0, Spent::default());
        for number in 0..BATCHES {
            let people: Vec<_> = (0..ROWS)
                .map(|row| Person::new(row * BATCHES + number).at(stamp, stamp).named(&stamp.to_string()).working(jobs))
                .collect();
            let batch = batch(position, &people);
            let meter = Meter::start(&backend);
            let mut attempt = Attempt::new("t", 0, &batch, SCHEMA_ID, Refused::new());
            let done = attempt.commit(&mut sink, &mut Nobody).await.expect("committed");
            spent = spent.and(meter.stop());
            written += done.runs.iter().map(|run| run.counts.clean_in).sum::<i64>();
            position = batch.next_position();
        }
        assert_eq!(u128::try_from(written), Ok(ROWS * BATCHES));
        tell(what, ROWS * BATCHES, spent);
    }
}

/// Time that passed, and processor time of this thread and of the server's process, in seconds. On
/// a machine that does other things as well only the last two can be compared.
#[derive(Clone, Copy, Default)]
struct Spent {
    passed: f64,
    here: f64,
    server: f64,
}

impl Spent {
    fn and(self, more: Self) -> Self {
        Self { passed: self.passed + more.passed, here: self.here + more.here, server: self.server + more.server }
    }
}

struct Meter<'b> {
    watch: Stopwatch,
    backend: &'b Path,
    at: (f64, f64),
}

impl<'b> Meter<'b> {
    fn start(backend: &'b Path) -> Self {
        Self { at: (on_cpu(Path::new(HERE)), on_cpu(backend)), watch: Stopwatch::start(), backend }
    }

    fn stop(self) -> Spent {
        let passed = self.watch.elapsed().as_secs_f64();
        Spent { passed, here: on_cpu(Path::new(HERE)) - self.at.0, server: on_cpu(self.backend) - self.at.1 }
    }
}

const HERE: &str = "/proc/thread-self/schedstat";

/// Where the kernel tells what the process of a connection has used.
async fn backend(connection: &mut PgConnection) -> PathBuf {
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.expect("a process");
    PathBuf::from(format!("/proc/{pid}/schedstat"))
}

/// Seconds on a processor. Source: the kernel's Documentation/scheduler/sched-stats.rst.
fn on_cpu(of: &Path) -> f64 {
    let told = std::fs::read_to_string(of).expect("Linux tells it");
    let nanoseconds: f64 = told.split(' ').next().and_then(|first| first.parse().ok()).expect("a number");
    nanoseconds / 1e9
}

fn tell(what: &str, rows: u128, spent: Spent) {
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let rows = rows as f64;
    writeln!(
        std::io::stderr().lock(),
        "{what}: {:.0} rows/s over one connection; processor {:.1} us a row at the server, {:.1} here",
        rows / spent.passed,
        spent.server * 1e6 / rows,
        spent.here * 1e6 / rows,
    )
    .expect("standard error");
}

/// The floor: the same values, in the same order, without stage, comparison, position and report.
async fn bare_copy(database: &mut Database, rows: u128) -> Spent {
    let batch = batch(0, &(0..rows).map(Person::new).collect::<Vec<_>>());
    let mut workers: Vec<_> = batch
        .records()
        .map(|record| schemas::worker::decode(record.value.expect("a state"), SCHEMA_ID).expect("a frame"))
        .collect();
    workers.sort_by_key(|worker| worker.person_id);
    let backend = backend(&mut database.admin).await;
    let meter = Meter::start(&backend);
    let mut copy = database.admin.copy_in_raw("COPY public.floor FROM STDIN (FORMAT binary)").await.expect("a copy");
    let mut buffer = CopyBuffer::new();
    buffer.start();
    for worker in &workers {
        crate::stage::person(&mut buffer, worker);
        if buffer.is_full() {
            copy.send(buffer.bytes()).await.expect("sent");
            buffer.clear();
        }
    }
    buffer.end();
    copy.send(buffer.bytes()).await.expect("sent");
    copy.finish().await.expect("copied");
    meter.stop()
}
