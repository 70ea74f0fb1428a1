//! What a caller may choose about a stack.

use std::path::PathBuf;

/// The choices for one stack; [`Options::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of the stack: `data/`, `logs/`, `stack.json`, `postgres.password`.
    /// It is created when missing, and found again with its data when not.
    pub dir: PathBuf,
    /// Port of the first broker; `None` takes a free one (the one of the last time, if still free).
    pub kafka_port: Option<u16>,
    /// How many brokers: 1 or 3. Default: 1. With three every topic has three replicas, and what is acknowledged is on two of
    /// them at least, so that any one broker may go; two could lose none and go on. The first one is also the controller: while
    /// it is down nobody becomes leader. Topics of an earlier start with one broker keep their one replica.
    pub kafka_brokers: u8,
    /// Makes the broker listen on one more port, chosen by the stack, and tell the clients that come
    /// in there to go on to this one: the port of a proxy in front of it. `None`: no such listener.
    /// Where nothing listens on that port clients get no further than the first answer. One broker only.
    pub kafka_proxy_port: Option<u16>,
    /// Let in at that listener only who comes by TLS with a certificate and logs in with SCRAM-SHA-512
    /// (`SASL_SSL`). The folder, an absolute path, holds `broker.pem` (key and certificate) and
    /// `authorities.pem` (whose certificates clients may show). Logins are made with
    /// [`Stack::kafka_tool`](crate::Stack::kafka_tool). Default: none, everybody is let in.
    pub kafka_proxy_tls: Option<PathBuf>,
    /// Port of the registry; `None` takes a free one.
    pub registry_port: Option<u16>,
    /// Port of Postgres; `None` takes a free one.
    pub postgres_port: Option<u16>,
    /// Also start Kafka Connect, with the connector that `connect/` configures. Default: false. It
    /// is downloaded the first time somebody asks for it.
    pub connect: bool,
    /// Port of Kafka Connect's REST API; `None` takes a free one.
    pub connect_port: Option<u16>,
    /// Also start Alertmanager, of the distribution's package. Default: false.
    pub alertmanager: bool,
    /// Port of Alertmanager; `None` takes a free one.
    pub alertmanager_port: Option<u16>,
    /// Whether Postgres waits for the disk at each commit. Default: true. Switching it off makes
    /// tests faster and loses nothing at `kill -9`, only when the machine itself goes down.
    pub postgres_fsync: bool,
    /// `shared_buffers` of Postgres in MiB. Default: 256. Below 16 it refuses to be useful; the
    /// pages used count to the memory of Postgres.
    pub postgres_shared_buffers_mb: u32,
    /// Largest heap of each broker in MiB. Default: 512. Too small ends the broker with an
    /// `OutOfMemoryError`; 256 carries a demonstration, not a benchmark.
    pub kafka_heap_mb: u32,
    /// Leave the servers running when this process ends. Default: false.
    pub detach: bool,
    /// Delete data, logs and the directory itself when the stack goes down. Default: false. For
    /// tests: it also makes the stop quicker, because nothing needs to be saved.
    pub discard: bool,
}

impl Options {
    /// The defaults, with the state in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            kafka_port: None,
            kafka_brokers: 1,
            kafka_proxy_port: None,
            kafka_proxy_tls: None,
            registry_port: None,
            postgres_port: None,
            connect: false,
            connect_port: None,
            alertmanager: false,
            alertmanager_port: None,
            postgres_fsync: true,
            postgres_shared_buffers_mb: 256,
            kafka_heap_mb: 512,
            detach: false,
            discard: false,
        }
    }
}
