//! The one table of all settings of all processes.
//!
//! Everything that is said about a setting anywhere (errors, `config show`, the contract's table)
//! comes from here.

use super::value::Kind;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// `section.key`, the name in the file and on the command line.
    pub key: &'static str,
    /// What a value looks like.
    pub kind: Kind,
    /// Unit of a plain number; empty where the kind says it or there is none.
    pub unit: &'static str,
    /// The value when nobody gives one, written as on the command line; none: unset.
    pub default: Option<&'static str>,
    /// Smallest value allowed, written like a value.
    pub min: Option<&'static str>,
    /// Largest value allowed, written like a value.
    pub max: Option<&'static str>,
    /// What it does, and what happens when it is too small or too large.
    pub doc: &'static str,
    /// The processes that read it.
    pub used_by: &'static [&'static str],
    /// The processes that refuse to start without it.
    pub needed_by: &'static [&'static str],
    /// True where the value is the path of a file that holds a secret.
    pub secret_file: bool,
}

const PRODUCER: &str = "producer";
const PROCESSOR: &str = "processor";
const SINK: &str = "sink";
const CONSOLE: &str = "console";
const ALL: &[&str] = &[PRODUCER, PROCESSOR, SINK, CONSOLE];

/// An optional setting without a default; the constant that every line below starts from.
const fn setting(key: &'static str, kind: Kind, used_by: &'static [&'static str], doc: &'static str) -> Setting {
    Setting {
        key,
        kind,
        unit: "",
        default: None,
        min: None,
        max: None,
        doc,
        used_by,
        needed_by: &[],
        secret_file: false,
    }
}

impl Setting {
    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    const fn within(mut self, min: &'static str, max: &'static str) -> Self {
        self.min = Some(min);
        self.max = Some(max);
        self
    }

    const fn needed(mut self, needed_by: &'static [&'static str]) -> Self {
        self.needed_by = needed_by;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret_file = true;
        self
    }
}

/// All settings, by section in the order the data flows.
pub const SETTINGS: &[Setting] = &[
    setting("kafka.bootstrap_servers", Kind::Text, ALL, "Brokers to start from, `host:port`, comma-separated.").needed(ALL),
    setting("kafka.properties", Kind::Table, ALL, "Further librdkafka properties (`[kafka.properties]`, or `--set kafka.properties.NAME=VALUE`), for example `security.protocol`. Those that carry a promise of the product are refused, secrets too. Files of certificates that they name are taken up when they change.").default(""),
    setting("kafka.password_file", Kind::Path, ALL, "File with the SASL password that goes with `kafka.properties` `sasl.username`; taken up when it changes.").secret(),
    setting("registry.url", Kind::Url, ALL, "The schema registry's Confluent API, with its path, for example `https://registry:8081/apis/ccompat/v7`.").needed(ALL),
    setting("registry.ca_file", Kind::Path, ALL, "PEM file with the authority that signed the registry's certificate; unset: the system's authorities."),
    setting("registry.username", Kind::Text, ALL, "User for HTTP basic authentication at the registry; unset: none."),
    setting("registry.password_file", Kind::Path, ALL, "File with that user's password.").secret(),
    setting("postgres.url", Kind::Url, &[SINK, CONSOLE], "`postgresql://user@host:port/database?sslmode=verify-full&sslrootcert=..`, without a password.").needed(&[SINK]),
    setting("postgres.password_file", Kind::Path, &[SINK, CONSOLE], "File with the password of that user.").secret(),
    setting("setup.postgres_url", Kind::Url, &[CONSOLE], "The same for the owner of the tables, used by `sisdmk setup` alone; unset: `postgres.url`."),
    setting("setup.postgres_password_file", Kind::Path, &[CONSOLE], "File with the owner's password.").secret(),
    setting("source.profile", Kind::Text, &[PRODUCER, PROCESSOR, CONSOLE], "Name of a shipped profile, or the path of a profile file.").default("sdmk-modified"),
    setting("source.base_url", Kind::Url, &[PRODUCER, CONSOLE], "Where the source's API starts; the profile's paths are added.").needed(&[PRODUCER]),
    setting("source.regions", Kind::List, &[PRODUCER], "Kemendagri codes to poll, `32` or `32.73`; empty: all provinces.").default(""),
    setting("source.facilities_file", Kind::Path, &[PRODUCER, CONSOLE], "File with the codes of the facilities to poll, one a line (profiles that ask by facility); read again for each batch."),
    setting("source.lookback", Kind::Duration, &[PRODUCER], "How far before its watermark a slice starts again. Too small: rows that become visible late are missed; too large: more rows are read twice, and dropped as equal.").default("10m").within("0s", "30d"),
    setting("source.token_file", Kind::Path, &[PRODUCER, CONSOLE], "File with the bearer token (profiles with `auth.kind = \"bearer\"`).").secret(),
    setting("source.username", Kind::Text, &[PRODUCER, CONSOLE], "User of the login (profiles with `auth.kind = \"login\"`)."),
    setting("source.password_file", Kind::Path, &[PRODUCER, CONSOLE], "File with that user's password.").secret(),
    setting("source.client_id", Kind::Text, &[PRODUCER, CONSOLE], "Client id (profiles with `auth.kind = \"oauth2\"`)."),
    setting("source.client_secret_file", Kind::Path, &[PRODUCER, CONSOLE], "File with that client's secret.").secret(),
    setting("source.requests_per_second", Kind::Number, &[PRODUCER], "Cap on requests to the source over all slices. Too small: a full pull does not end within its cycle; too large: the source answers 429.").unit("requests per second").default("10").within("0.01", "1000"),
    setting("source.concurrency", Kind::Int, &[PRODUCER], "Slices that are fetched at the same time; publishing is serial.").unit("slices").default("2").within("1", "32"),
    setting("source.page_size", Kind::Int, &[PRODUCER], "Records asked for in one page, at most what the profile allows.").unit("records").default("100").within("1", "10000"),
    setting("source.request_timeout", Kind::Duration, &[PRODUCER, CONSOLE], "Cap on one request, from connecting to the last byte of the body.").default("30s").within("100ms", "10m"),
    setting("source.slice_timeout", Kind::Duration, &[PRODUCER], "Cap on one slice with all its tries; then it fails.").default("30m").within("1s", "24h"),
    setting("source.cycle_timeout", Kind::Duration, &[PRODUCER], "Cap on one cycle; then its open slices fail and the batch is closed. Keep it below the period of `schedule.cron`.").default("5h").within("1s", "7d"),
    setting("source.retries", Kind::Int, &[PRODUCER], "Tries after the first one of a failed request; then its slice fails.").unit("tries").default("3").within("0", "10"),
    setting("source.backoff", Kind::Duration, &[PRODUCER], "Wait before the first retry; doubled for each further one, with jitter.").default("1s").within("1ms", "10m"),
    setting("source.backoff_max", Kind::Duration, &[PRODUCER], "Cap on that wait.").default("30s").within("1ms", "1h"),
    setting("source.retry_after_max", Kind::Duration, &[PRODUCER], "Cap on a wait that the source asks for with Retry-After.").default("5m").within("0s", "6h"),
    setting("source.body_bytes_max", Kind::Bytes, &[PRODUCER], "Cap on one answer's body after decompression; a longer one is a fault of the source.").default("32MiB").within("1KiB", "1GiB"),
    setting("source.record_bytes_max", Kind::Bytes, &[PRODUCER], "Cap on one record; a longer one goes to quarantine. Not more than the raw topic takes.").default("1MiB").within("1KiB", "1MiB"),
    setting("source.hold_bytes_max", Kind::Bytes, &[PRODUCER], "Memory for pages of slices that are not complete yet, over all slices; a slice that would exceed it is split.").default("128MiB").within("1MiB", "16GiB"),
    setting("identity.hmac_key_file", Kind::Path, &[PRODUCER, PROCESSOR, CONSOLE], "File with the key from which every person_id is made; read once, its fingerprint is checked at each start. Changing it is a migration.").secret().needed(&[PRODUCER, PROCESSOR]),
    setting("rules.status_aktif", Kind::Table, &[PROCESSOR, CONSOLE], "Raw value of the active status (case and blanks ignored) to `AKTIF`, `TIDAK_AKTIF`, `CUTI` or `TUGAS_BELAJAR`; any other raw value rejects the record. A table given replaces the default.").default("aktif=AKTIF,tidakaktif=TIDAK_AKTIF,nonaktif=TIDAK_AKTIF,non-aktif=TIDAK_AKTIF,cuti=CUTI,tugasbelajar=TUGAS_BELAJAR"),
    setting("schedule.cron", Kind::Text, &[PRODUCER], "When a cycle starts: minute, hour, day of month, month, day of week.").default("0 */6 * * *"),
    setting("schedule.time_zone", Kind::Text, &[PRODUCER], "The zone of `schedule.cron`.").default("Asia/Jakarta"),
    setting("schedule.run_on_start", Kind::Flag, &[PRODUCER], "Whether a cycle also runs right after the start.").default("false"),
    setting("schedule.jitter", Kind::Duration, &[PRODUCER], "A scheduled cycle starts up to this much later, at random, so that sites do not all ask at once.").default("1m").within("0s", "1h"),
    setting("quarantine.url", Kind::Url, &[PRODUCER], "Where pages and records that cannot be published are kept: `file:///..` or `s3://bucket/prefix`.").default("file:///var/lib/sisdmk/quarantine"),
    setting("quarantine.retention", Kind::Duration, &[PRODUCER], "How long they are kept; then they are taken out, counted and logged.").default("30d").within("1h", "400d"),
    setting("quarantine.bytes_max", Kind::Bytes, &[PRODUCER], "Cap on the whole store; the oldest makes room for what is new, counted and logged.").default("1GiB").within("1MiB", "1024GiB"),
    setting("quarantine.s3_endpoint", Kind::Url, &[PRODUCER], "The S3-compatible service of an `s3://` address; unset: Amazon's."),
    setting("quarantine.s3_region", Kind::Text, &[PRODUCER], "Its region.").default("us-east-1"),
    setting("quarantine.s3_key_id_file", Kind::Path, &[PRODUCER], "File with the id of its access key; needed for `s3://`. Read again for each request.").secret(),
    setting("quarantine.s3_secret_key_file", Kind::Path, &[PRODUCER], "File with the access key itself.").secret(),
    setting("alerts.alertmanager_url", Kind::Url, &[PRODUCER], "Alertmanager, without a path (its v2 API is used); unset: incidents are not pushed there."),
    setting("alerts.webhook_url", Kind::Url, &[PRODUCER], "Endpoint that gets one message as JSON when an incident begins and one when it is over; unset: none."),
    setting("alerts.webhook_token_file", Kind::Path, &[PRODUCER], "File with the bearer token of that endpoint; unset: none is sent.").secret(),
    setting("alerts.resend", Kind::Duration, &[PRODUCER], "How often an open incident is told to Alertmanager again. An alert that is not told again for five times as long is over for Alertmanager.").default("2m").within("1s", "1h"),
    setting("producer.listen", Kind::Address, &[PRODUCER], "Address of the producer's health, metrics and admin endpoints.").default("127.0.0.1:9101"),
    setting("producer.admin_url", Kind::Url, &[CONSOLE], "Where the console finds that admin endpoint.").default("http://127.0.0.1:9101"),
    setting("producer.admin_token_file", Kind::Path, &[PRODUCER, CONSOLE], "File with the bearer token of the admin endpoint; unset: it answers 403.").secret(),
    setting("processor.listen", Kind::Address, &[PROCESSOR], "Address of the processor's health and metrics.").default("127.0.0.1:9102"),
    setting("processor.instance", Kind::Text, &[PROCESSOR], "Name of this process in its transactional ids: different for each replica, the same after a restart.").default("0"),
    setting("processor.threads", Kind::Int, &[PROCESSOR], "Worker threads, each a member of the consumer group; more than there are partitions stand idle.").unit("threads").default("2").within("1", "64"),
    setting("processor.batch_records_max", Kind::Int, &[PROCESSOR], "Records in one transaction. Too small: the cost of a transaction dominates; too large: more is done again after a fault.").unit("records").default("50000").within("1", "100000"),
    setting("processor.batch_wait", Kind::Duration, &[PROCESSOR], "How long a transaction that is not full waits for more records.").default("100ms").within("1ms", "5s"),
    setting("processor.transaction_timeout", Kind::Duration, &[PROCESSOR, PRODUCER], "The broker aborts a transaction that is open for longer; it also bounds how long a crashed process hides later records from readers.").default("10s").within("1s", "10s"),
    setting("sink.listen", Kind::Address, &[SINK], "Address of the sink's health and metrics.").default("127.0.0.1:9103"),
    setting("sink.threads", Kind::Int, &[SINK], "Worker threads; each writes whole partitions over a connection of its own.").unit("threads").default("2").within("1", "64"),
    setting("sink.batch_rows_max", Kind::Int, &[SINK], "Records in one transaction of Postgres.").unit("records").default("20000").within("1", "100000"),
    setting("sink.batch_wait", Kind::Duration, &[SINK], "How long a batch that is not full waits for more records.").default("100ms").within("1ms", "5s"),
    setting("ledger.deadline", Kind::Duration, &[SINK], "A fetched batch whose counts do not tie after this time is closed as incomplete.").default("15m").within("1s", "7d"),
    setting("console.listen", Kind::Address, &[CONSOLE], "Address of the console's pages, REST and feed.").default("127.0.0.1:9104"),
    setting("telemetry.otlp_endpoint", Kind::Url, ALL, "Collector for traces, OTLP over HTTP; `/v1/traces` is added; unset: no traces leave the process."),
    setting("telemetry.sample_ratio", Kind::Number, ALL, "Share of batches that are traced.").unit("0 to 1").default("1").within("0", "1"),
    setting("telemetry.log_format", Kind::Choice(&["json", "text"]), ALL, "Form of the log lines on standard error.").default("json"),
    setting("telemetry.log_level", Kind::Text, ALL, "What is logged: `error`, `warn`, `info`, `debug`, `trace`, also by target, such as `info,sink=debug`.").default("info"),
    setting("security.allow_plaintext", Kind::Flag, ALL, "Whether links without encryption or without a verified peer are accepted, for every link. Only for a machine of one's own. Not needed where `producer.admin_url`, `alerts.*` or `telemetry.otlp_endpoint` is a loopback address such as `http://127.0.0.1:9101`.").default("false"),
];

/// The setting of that key.
#[must_use]
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
