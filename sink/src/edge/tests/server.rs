//! A PostgreSQL of one's own, as long as a test needs it; tests that run side by side share one.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use platform::clock::Deadline;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::edge::postgres::Address;
use crate::edge::writer;
use crate::migrations;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it is stopped and its data removed when the last test lets go of it.
struct Server {
    port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM waits for clients and SIGKILL leaves shared memory; SIGINT is the fast shutdown.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn shared() -> Arc<Server> {
    static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = running.upgrade() {
        return server;
    }
    let server = Arc::new(start());
    *running = Arc::downgrade(&server);
    server
}

/// The newest installed version's folder of programs.
fn programs() -> PathBuf {
    let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed")
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL's programs")
}

/// PostgreSQL refuses to run as root, so root runs it as the user `postgres`.
fn command(program: &Path) -> Command {
    let id = Command::new("id").arg("-u").output().expect("id");
    if id.stdout.trim_ascii() != b"0" {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

fn start() -> Server {
    let dir = tempfile::Builder::new().prefix("sisdmk-sink-test-").tempdir().expect("a folder");
    // Open to the user that the server runs as.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir.path(), mode).expect("permissions");
    let data = dir.path().join("data");
    let made = command(&programs().join("initdb"))
        .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
        .arg(&data)
        .current_dir(dir.path())
        .output()
        .expect("initdb");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = stack::free_port().expect("a port");
    let log = std::fs::File::create(dir.path().join("log")).expect("a log");
    let child = command(&programs().join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c"])
        .arg(format!("port={port}"))
        .args(["-c", "fsync=off", "-c", "shared_buffers=512MB", "-c", "max_wal_size=2GB"])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("postgres");
    let server = Server { port, child, _dir: dir };
    let deadline = Deadline::after(PATIENCE);
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(!deadline.passed(), "PostgreSQL does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// A database of one test, set up as `sisdmk setup` does it.
pub(super) struct Database {
    server: Arc<Server>,
    name: String,
    /// A connection as the administrator.
    pub(super) admin: PgConnection,
}

impl Database {
    /// Made and set up.
    pub(super) async fn new() -> Self {
        let mut database = Self::empty().await;
        migrations::run(&mut database.admin).await.expect("set up");
        database
    }

    /// Made, with nothing in it.
    pub(super) async fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = shared();
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let deadline = Deadline::after(PATIENCE);
        let mut first = loop {
            match PgConnection::connect_with(&options(&server, "postgres", "postgres")).await {
                Ok(connection) => break connection,
                Err(error) => assert!(!deadline.passed(), "PostgreSQL does not answer: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        first.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("a database");
        let admin = PgConnection::connect_with(&options(&server, &name, "postgres")).await.expect("a connection");
        Self { server, name, admin }
    }

    /// A connection as a login that is a member of `role` and of nothing else.
    pub(super) async fn login(&mut self, role: &str) -> PgConnection {
        let login = format!("{}_{role}", self.name);
        self.run(&format!("CREATE ROLE {login} LOGIN IN ROLE {role}")).await;
        PgConnection::connect_with(&options(&self.server, &self.name, &login)).await.expect("a connection")
    }

    /// A connection of the sink, ready to write.
    pub(super) async fn sink(&mut self) -> PgConnection {
        let login = format!("{}_sink", self.name);
        let made: bool = self.one(&format!("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{login}')")).await;
        if !made {
            self.run(&format!("CREATE ROLE {login} LOGIN IN ROLE sisdmk_sink")).await;
        }
        let url = format!("postgresql://{login}@127.0.0.1:{}/{}", self.server.port, self.name);
        let address = Address::new(&url, None, "test").expect("an address");
        let mut connection = address.connect().await.expect("a connection");
        writer::prepare(&mut connection).await.expect("stage tables");
        connection
    }

    /// Runs statements as the administrator.
    pub(super) async fn run(&mut self, sql: &str) {
        self.admin.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect(sql);
    }

    /// One value, asked for by the administrator.
    pub(super) async fn one<T>(&mut self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.admin).await.expect(sql)
    }
}

fn options(server: &Server, database: &str, user: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(server.port).username(user).database(database)
}
