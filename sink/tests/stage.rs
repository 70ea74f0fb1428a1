//! The sink as a process, against real Kafka, registry and PostgreSQL.
//!
//! Everything before it is played by the test: it publishes clean records and the events of the
//! other stages as those do, in transactions, and looks at tables, topics and health.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr as _;
use std::time::Duration;

use platform::clock::Deadline;
use platform::kafka::admin::{Admin, TopicSpec};
use platform::kafka::{Ended, HeaderSet, KafkaConfig, Out, TxnProducer, read_to_end};
use platform::registry::Registry;
use platform::settings::Settings;
use schemas::event::{BatchEvent, BatchKind, BatchStatus, EventType, event_id};
use schemas::version::Stamp;
use schemas::worker::{Body, Encoder, Envelope, Op, StatusAktif};
use schemas::{Masked, Nik, PersonId, Timestamp, TraceId};
use sink::migrations;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use stack::{Options, Server, Stack};
use uuid::Uuid;

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(90);
/// 2026-01-01 UTC, in microseconds.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

/// A record that stands on a topic.
struct Found {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
}

struct World {
    stack: Stack,
    dir: tempfile::TempDir,
    kafka: KafkaConfig,
    runtime: tokio::runtime::Runtime,
    admin: PgConnection,
    clean_id: u32,
    audit_id: u32,
    address: SocketAddr,
    sink: Option<Child>,
    producer: TxnProducer,
    /// Records published so far, by partition; only what this test published.
    published: u128,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(sink) = &mut self.sink {
            let _ = sink.kill();
            let _ = sink.wait();
        }
    }
}

impl World {
    /// Servers, topics, schemas, tables and positions, as `sisdmk setup` makes them.
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sisdmk-sink-stage-").tempdir().expect("a folder");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), mode).expect("permissions");
        let options = Options {
            discard: true,
            postgres_fsync: false,
            kafka_heap_mb: 256,
            ..Options::new(dir.path().join("stack"))
        };
        let stack = Stack::up(options).expect("the servers");
        let settings = settings(&stack, &[]);
        let kafka = KafkaConfig::new(&settings, "test").expect("a configuration");
        let topic = |name: &str, partitions, cleanup: &str| TopicSpec {
            name: name.to_owned(),
            partitions,
            config: vec![
                ("cleanup.policy".to_owned(), cleanup.to_owned()),
                ("max.message.bytes".to_owned(), "2097152".to_owned()),
            ],
        };
        let topics = [
            topic("sisdmk.clean", PARTITIONS, "compact"),
            topic("sisdmk.dlq", PARTITIONS, "delete"),
            topic("sisdmk.audit", 1, "delete"),
        ];
        Admin::connect(&kafka)
            .and_then(|admin| admin.create_topics(&topics, Deadline::after(PATIENCE)))
            .expect("topics");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let registry = Registry::new(&settings).expect("a registry");
        let (clean_id, audit_id) = runtime.block_on(async {
            let clean = registry.register("sisdmk.clean-value", schemas::SDMK_WORKER_AVSC).await.expect("registered");
            (clean, registry.register("sisdmk.audit-value", schemas::BATCH_EVENT_AVSC).await.expect("registered"))
        });
        let mut admin = runtime.block_on(connect(&stack));
        runtime.block_on(async {
            migrations::run(&mut admin).await.expect("tables");
            for partition in 0..PARTITIONS {
                migrations::start_position(&mut admin, "sisdmk.clean", partition, 0).await.expect("a position");
            }
            migrations::start_position(&mut admin, "sisdmk.audit", 0, 0).await.expect("a position");
            admin
                .execute("CREATE ROLE test_sink LOGIN PASSWORD 'of-no-use-elsewhere' IN ROLE sisdmk_sink")
                .await
                .expect("a login");
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port().expect("a port")));
        let producer = TxnProducer::connect(&kafka, "test", Deadline::after(PATIENCE)).expect("a producer");
        Self { stack, dir, kafka, runtime, admin, clean_id, audit_id, address, sink: None, producer, published: 0 }
    }

    fn command(&self, more: &[(&str, &str)]) -> Command {
        let password = self.dir.path().join("password");
        std::fs::write(&password, "of-no-use-elsewhere\n").expect("a secret");
        let user = self.stack.postgres_url();
        let (scheme, rest) = user.split_once("://").expect("a URL");
        let (_, host) = rest.split_once('@').expect("a user");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sisdmk-sink"));
        let mut set = |key: &str, value: &str| {
            command.arg("--set").arg(format!("{key}={value}"));
        };
        set("kafka.bootstrap_servers", &self.stack.bootstrap_servers());
        set("registry.url", &self.stack.registry_url());
        set("postgres.url", &format!("{scheme}://test_sink@{host}"));
        set("postgres.password_file", &password.display().to_string());
        set("security.allow_plaintext", "true");
        set("sink.listen", &self.address.to_string());
        for (key, value) in more {
            set(key, value);
        }
        command
    }

    fn start(&mut self, more: &[(&str, &str)]) {
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).expect("a log");
        let child =
            self.command(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the sink");
        self.sink = Some(child);
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("sink.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn kill(&mut self) {
        let mut sink = self.sink.take().expect("a sink");
        sink.kill().expect("killed");
        sink.wait().expect("ended");
    }

    fn stop(&mut self) -> ExitStatus {
        let mut sink = self.sink.take().expect("a sink");
        let asked = Command::new("kill").args(["-TERM", &sink.id().to_string()]).status().expect("kill");
        assert!(asked.success());
        let deadline = Deadline::after(Duration::from_secs(30));
        loop {
            if let Some(status) = sink.try_wait().expect("its status") {
                return status;
            }
            assert!(!deadline.passed(), "the sink does not end within 30 s: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a condition; what it saw last is told when it never comes.
    fn wait<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        mut see: impl FnMut(&mut Self) -> T,
        good: impl Fn(&T) -> bool,
    ) -> T {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let seen = see(self);
            if good(&seen) {
                return seen;
            }
            assert!(!deadline.passed(), "waited in vain for {what}; last seen: {seen:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn readyz(&self) -> (bool, String) {
        let answer = get(self.address, "/readyz?verbose").unwrap_or_default();
        (answer.starts_with("HTTP/1.1 200"), answer)
    }

    fn wait_ready(&mut self) {
        self.wait("ready", |world| world.readyz(), |(ready, _)| *ready);
    }

    fn one<T>(&mut self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.admin);
        self.runtime.block_on(query).expect(sql)
    }

    fn run(&mut self, sql: &str) {
        let run = self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql)));
        self.runtime.block_on(run).expect(sql);
    }

    fn wait_rows(&mut self, rows: i64) {
        self.wait("rows", |world| world.one::<i64>("SELECT count(*) FROM sdmk.person"), |found| *found == rows);
    }

    /// Publishes `count` new persons of a batch in one transaction, spread over the partitions.
    fn publish(&mut self, count: u128, batch_id: Uuid) {
        let mut encoder = Encoder::new(self.clean_id);
        let headers = HeaderSet::new(&[("sisdmk-batch-id", batch_id.to_string().as_bytes())]);
        self.producer.begin().expect("begun");
        for number in self.published..self.published + count {
            let (key, frame) = person(&mut encoder, number, batch_id);
            self.send(number, Some(&key), Some(&frame), &headers);
        }
        self.published += count;
        self.commit();
    }

    fn send(&self, number: u128, key: Option<&str>, value: Option<&[u8]>, headers: &HeaderSet) {
        let partition = i32::try_from(number % 4).expect("small");
        let out = Out {
            topic: "sisdmk.clean",
            partition: Some(partition),
            key: key.map(str::as_bytes),
            value,
            headers,
            timestamp_ms: None,
        };
        self.producer.send(out).expect("sent");
    }

    fn commit(&mut self) {
        self.producer.flush(PATIENCE).expect("flushed");
        let ended = self.producer.commit(PATIENCE);
        assert!(matches!(ended, Ended::Committed), "not committed");
    }

    fn tell(&mut self, events: &[BatchEvent]) {
        let headers = HeaderSet::default();
        self.producer.begin().expect("begun");
        for event in events {
            let mut value = Vec::new();
            schemas::event::encode(event, self.audit_id, &mut value);
            let key = event.batch_id.to_string();
            let out = Out {
                topic: "sisdmk.audit",
                partition: Some(0),
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &headers,
                timestamp_ms: None,
            };
            self.producer.send(out).expect("sent");
        }
        self.commit();
    }

    fn read(&self, topic: &str) -> Vec<Found> {
        let mut found = Vec::new();
        read_to_end(&self.kafka, topic, true, Deadline::after(PATIENCE), |message| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.push(Found {
                key: message.key.map(<[u8]>::to_vec),
                value: message.value.map(<[u8]>::to_vec),
                headers: message.headers().map(|(name, value)| (text(name), text(value.unwrap_or_default()))).collect(),
            });
        })
        .expect("read");
        found
    }

    /// The reports of the sink tile every partition and say what the tables hold.
    fn check_books(&mut self) {
        let gaps: i64 = self.one(
            "SELECT count(*) FROM (SELECT first_offset, lag(next_offset, 1, 0::bigint) OVER (PARTITION BY partition ORDER BY first_offset) AS before
             FROM audit.stage_report WHERE stage = 'sink') r WHERE first_offset <> before",
        );
        assert_eq!(gaps, 0, "reports do not tile");
        let inserted: i64 = self.one("SELECT coalesce(sum((counts->>'inserted')::bigint), 0)::bigint FROM audit.stage_report WHERE stage = 'sink'");
        assert_eq!(inserted, self.one::<i64>("SELECT count(*) FROM sdmk.person"), "counts are not the table's");
        let taken: i64 = self.one("SELECT coalesce(sum((counts->>'clean_in')::bigint), 0)::bigint FROM audit.stage_report WHERE stage = 'sink'");
        assert_eq!(u128::try_from(taken), Ok(self.published), "records were counted twice or not at all");
    }
}

fn settings(stack: &Stack, more: &[(&str, &str)]) -> Settings {
    let (kafka, registry) = (stack.bootstrap_servers(), stack.registry_url());
    let mut pairs = vec![
        ("kafka.bootstrap_servers", kafka.as_str()),
        ("registry.url", registry.as_str()),
        ("security.allow_plaintext", "true"),
    ];
    pairs.extend(more);
    Settings::from_pairs(pairs).expect("settings")
}

async fn connect(stack: &Stack) -> PgConnection {
    let password = std::fs::read_to_string(stack.postgres_password_file()).expect("a password");
    let options = PgConnectOptions::from_str(&stack.postgres_url()).expect("a URL").password(password.trim_end());
    PgConnection::connect_with(&options).await.expect("a connection")
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn person(encoder: &mut Encoder, number: u128, batch_id: Uuid) -> (String, Vec<u8>) {
    let person_id = PersonId(Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
    let envelope = Envelope {
        last_updated: Timestamp(NEW_YEAR),
        fetched_at: Timestamp(NEW_YEAR + 1),
        rules_revision: 1,
        stamp: Stamp::Source,
        op: Op::Create,
        person_id,
        batch_id,
        request_id: Uuid::from_u128(1),
        trace_id: TraceId([7; 16]),
        raw_topic: "sisdmk.raw",
        raw_partition: i32::try_from(number % 4).expect("small"),
        raw_offset: i64::try_from(number).expect("small"),
        wilayah_versi: "kemendagri-2025>kemendagri-2025#07ad26f2",
    };
    let body = Body {
        nik: Nik::new(format!("{:016}", 3_273_015_705_900_000 + number)).expect("16 digits"),
        nama: Masked::new(format!("Contoh {number}")),
        nama_asal: Masked::new(format!("Contoh {number}")),
        gelar_depan: None,
        gelar_belakang: None,
        jenis_kelamin: None,
        tempat_lahir: None,
        tanggal_lahir: None,
        alamat: None,
        status_aktif: StatusAktif::Aktif,
        status_aktif_asal: "Aktif".into(),
        kode_wilayah: None,
        kode_wilayah_asal: None,
        pendidikan: Vec::new(),
        pelatihan: Vec::new(),
        warnings: Vec::new(),
        employments: Vec::new(),
    };
    let mut frame = Vec::new();
    encoder.encode(&envelope, &body, &mut frame);
    (person_id.to_string(), frame)
}

fn event(batch_id: Uuid, event_type: EventType, parts: &[&str], counts: &[(&str, i64)]) -> BatchEvent {
    BatchEvent {
        event_id: event_id(batch_id, event_type, parts),
        event_type,
        occurred_at: Timestamp(NEW_YEAR),
        batch_id,
        kind: BatchKind::Manual,
        source: "sdmk-modified/1".to_owned(),
        stage: None,
        topic: None,
        partition: None,
        first_offset: None,
        next_offset: None,
        region: None,
        counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        status: (event_type == EventType::BatchFetched).then_some(BatchStatus::Complete),
        tied: None,
        started_at: Some(Timestamp(NEW_YEAR)),
        duration_ms: None,
        request_id: None,
        trace_id: Some(TraceId([7; 16])),
        detail: None,
    }
}

/// What the other stages tell of a batch in which every record became clean.
fn story(batch_id: Uuid, records: i64, first: i64) -> Vec<BatchEvent> {
    let mut processor =
        event(batch_id, EventType::StageReport, &["processor"], &[("raw_in", records), ("clean", records)]);
    (processor.stage, processor.topic) = (Some("processor".to_owned()), Some("sisdmk.raw".to_owned()));
    (processor.partition, processor.first_offset, processor.next_offset) =
        (Some(0), Some(first), Some(first + records));
    vec![
        event(batch_id, EventType::BatchStarted, &[], &[]),
        processor,
        event(batch_id, EventType::BatchFetched, &[], &[("fetched", records), ("raw", records), ("requests", 1)]),
    ]
}

/// Goal: rows, dead letters, a tied batch with its event, idle lag zero; and after `kill -9` at any
/// moment no record is lost or counted twice.
#[test]
fn records_become_rows_once_and_a_batch_is_closed() {
    let mut world = World::new();
    world.start(&[]);
    world.wait_ready();

    let first = Uuid::from_u128(0xa1);
    world.publish(3_000, first);
    // Two that cannot be read.
    let headers =
        HeaderSet::new(&[("sisdmk-batch-id", first.to_string().as_bytes()), ("sisdmk-source", b"sdmk-modified/1")]);
    world.producer.begin().expect("begun");
    world.send(0, Some("not a person"), Some(b"not a frame"), &headers);
    world.send(1, Some("not one either"), None, &headers);
    world.commit();
    world.published += 2;
    world.tell(&story(first, 3_002, 0));
    let status = "SELECT coalesce((SELECT status || ' ' || tied FROM audit.batch WHERE batch_id = '00000000-0000-0000-0000-0000000000a1'), '')";
    world.wait("the batch's close", |world| world.one::<String>(status), |found| found == "complete true");
    assert_eq!(world.one::<i64>("SELECT count(*) FROM sdmk.person"), 3_000);
    assert_eq!(world.one::<String>("SELECT inserted || '/' || rejected FROM audit.batch"), "3000/2");
    world.check_books();

    let letters = world.read("sisdmk.dlq");
    assert_eq!(letters.len(), 2);
    let letter = &letters[0];
    assert_eq!(
        (letter.key.as_deref(), letter.value.as_deref()),
        (Some(&b"not a person"[..]), Some(&b"not a frame"[..]))
    );
    let header = |name: &str| letter.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    assert_eq!(header("dlq.stage"), Some("sink"));
    assert_eq!(header("dlq.error.code"), Some("frame_undecodable"));
    assert_eq!(header("sisdmk-source"), Some("sdmk-modified/1"));
    assert_eq!(header("__connect.errors.topic"), Some("sisdmk.clean"));
    let closed = "the event of the close";
    world.wait(
        closed,
        |world| {
            let events = world.read("sisdmk.audit");
            events.iter().filter_map(|found| schemas::event::decode(found.value.as_deref()?, world.audit_id).ok()).any(
                |event| {
                    event.event_type == EventType::BatchClosed
                        && event.tied == Some(true)
                        && event.counts["inserted"] == 3_000
                },
            )
        },
        |found| *found,
    );
    // The group's positions are a hint, and at the log's end when idle.
    world.wait(
        "idle positions at the end",
        |world| {
            let admin = Admin::connect(&world.kafka).expect("a client");
            let held = admin.watermarks("sisdmk.clean", Deadline::after(PATIENCE)).expect("ends");
            let told =
                admin.group_offsets("sisdmk-sink", "sisdmk.clean", Deadline::after(PATIENCE)).expect("positions");
            held.iter().map(|one| (one.partition, Some(one.high))).collect::<Vec<_>>() == told
        },
        |same| *same,
    );

    for round in 0..5_u64 {
        world.publish(4_000, Uuid::from_u128(0xb0 + u128::from(round)));
        // Killed before, in and after its transactions.
        std::thread::sleep(Duration::from_millis(37 * round));
        world.kill();
        world.start(&[("sink.batch_rows_max", "500")]);
    }
    world.wait_rows(23_000);
    world.check_books();
    world.wait_ready();
    let status = world.stop();
    assert!(status.success(), "{status}: {}", world.log());
    world.check_books();
    let log = world.log();
    assert!(!log.contains("Contoh") && !log.contains("32730157059"), "a value of a record is in the log");
}

/// Goal: a lost position stops its partition alone, is told, and ends with an operator's reset.
#[test]
fn a_lost_position_stops_one_partition_until_it_is_reset() {
    let mut world = World::new();
    world.run("DELETE FROM sink.offset WHERE topic = 'sisdmk.clean' AND partition = 2");
    world.start(&[]);
    world.publish(400, Uuid::from_u128(1));
    world.wait_rows(300);
    let told =
        world.wait("the lost position", |world| world.readyz(), |(_, lines)| lines.contains("sisdmk offsets reset"));
    assert!(!told.0 && told.1.contains("[-]position of sisdmk.clean/2"), "{}", told.1);
    let metrics = get(world.address, "/metrics").expect("metrics");
    assert!(metrics.contains(r#"sisdmk_sink_partition_stopped{partition="2",topic="sisdmk.clean"} 1"#), "{metrics}");
    let reset = migrations::reset_position(&mut world.admin, "sisdmk.clean", 2, 0);
    world.runtime.block_on(reset).expect("reset");
    world.wait_rows(400);
    world.wait_ready();
    // Past the topic's end: lost as well.
    let beyond = migrations::reset_position(&mut world.admin, "sisdmk.clean", 1, 999_999);
    world.runtime.block_on(beyond).expect("reset");
    world.publish(4, Uuid::from_u128(2));
    world.wait(
        "the lost position",
        |world| world.readyz(),
        |(ready, lines)| !ready && lines.contains("[-]position of sisdmk.clean/1"),
    );
    assert!(world.stop().success());
}

/// Goal: no outage makes a dead letter or loses a record; the flow resumes without a restart.
#[test]
fn the_sink_outlives_its_servers() {
    let mut world = World::new();
    world.start(&[]);
    world.wait_ready();
    world.publish(1_000, Uuid::from_u128(1));
    world.wait_rows(1_000);

    world.stack.server(Server::Postgres).kill();
    world.publish(1_000, Uuid::from_u128(2));
    world.wait("not ready", |world| world.readyz(), |(ready, _)| !ready);
    world.stack.server(Server::Postgres).start().expect("started again");
    world.admin = world.runtime.block_on(connect(&world.stack));
    world.wait_rows(2_000);
    world.wait_ready();

    // A server that takes connections and refuses to write.
    world.run("ALTER SYSTEM SET default_transaction_read_only = on");
    world.run("SELECT pg_reload_conf()");
    world.publish(1_000, Uuid::from_u128(3));
    world.wait("not ready", |world| world.readyz(), |(_, lines)| lines.contains("25006"));
    world.run("SET default_transaction_read_only = off");
    world.run("ALTER SYSTEM RESET default_transaction_read_only");
    world.run("SELECT pg_reload_conf()");
    world.wait_rows(3_000);
    world.wait_ready();

    world.stack.server(Server::Kafka).kill();
    world.stack.server(Server::Kafka).start().expect("started again");
    world.producer = TxnProducer::connect(&world.kafka, "test", Deadline::after(PATIENCE)).expect("a producer");
    world.publish(1_000, Uuid::from_u128(4));
    world.wait_rows(4_000);
    world.wait_ready();
    world.check_books();
    assert!(world.read("sisdmk.dlq").is_empty());
    assert!(world.stop().success());
}

/// Goal: what is not as agreed is refused at the start, with the fix.
#[test]
fn a_start_against_other_tables_or_topics_is_refused() {
    let mut world = World::new();
    let refused = |world: &World, code: i32, word: &str| {
        let output = world.command(&[]).output().expect("the sink");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(word), "{word} is not in {told}");
    };
    world.run("UPDATE sink.migration SET checksum = '' WHERE version = 2");
    refused(&world, 3, "migration 2 was applied with another text");
    world.run("DELETE FROM sink.migration WHERE version = 2");
    refused(&world, 3, "sisdmk setup");
    let output = world.command(&[("security.allow_plaintext", "false")]).output().expect("the sink");
    assert_eq!(output.status.code(), Some(2));
    let output = world.command(&[("postgres.url", "postgresql://u:hunter22@127.0.0.1/x")]).output().expect("the sink");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && !told.contains("hunter22"), "{told}");
}
