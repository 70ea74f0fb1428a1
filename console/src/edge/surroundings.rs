//! All of Kafka, registry and Postgres that `sisdmk setup` looks at and makes.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::clock;
use platform::exit::Failure;
use platform::kafka::admin::{Admin, TopicSpec};
use platform::kafka::{Deadline, FaultKind, HeaderSet, IdempotentProducer, KafkaConfig, KafkaFault, Out, read_to_end};
use platform::secrets;
use platform::settings::Settings;
use schemas::Timestamp;
use schemas::identity::IdentityKey;
use serde_json::{Value, json};
use sink::migrations::{self, MigrationFault};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::contract::{CLEAN, IDENTITY_KEY, PROCESSOR_GROUP, RAW, SINK_GROUP, STATE, SUBJECTS, TOPICS, Topic};
use crate::edge::kafka::{self, ANSWER_MAX, blocking};
use crate::edge::postgres::{self, As, fault};
use crate::edge::registry::Registry;
use crate::setup::plan::{Ends, Found, FoundDatabase, FoundState, FoundTables, FoundTopic, Region, Step};

/// Pause between two tries of something that the brokers have not all heard of yet.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Connections to everything, and the key's fingerprint.
pub(crate) struct Surroundings<'a> {
    settings: &'a Settings,
    config: KafkaConfig,
    admin: Admin,
    registry: Registry,
    database: PgConnection,
    fingerprint: String,
}

impl<'a> Surroundings<'a> {
    /// Reads and checks every setting and secret first, then connects; from then on no other setup
    /// of this database runs.
    pub(crate) async fn open(settings: &'a Settings) -> Result<Self, Failure> {
        settings.require(&[
            "kafka.bootstrap_servers",
            "registry.url",
            postgres::url_key(settings, As::Owner),
            "identity.hmac_key_file",
        ])?;
        let fingerprint = fingerprint(settings)?;
        let config = kafka::config(settings)?;
        let registry = Registry::new(settings)?;
        postgres::options(settings, As::Owner)?;

        let admin = Admin::connect(&config).map_err(|fault| kafka::failure(settings, &fault))?;
        blocking(|| admin.brokers(Deadline::after(ANSWER_MAX))).map_err(|fault| kafka::failure(settings, &fault))?;
        let mut database = postgres::connect(settings, As::Owner).await?;
        lock(&mut database).await?;
        Ok(Self { settings, config, admin, registry, database, fingerprint })
    }

    /// Fingerprint of the configured identity key.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Everything that is there. Changes nothing.
    pub(crate) async fn look(&mut self) -> Result<Found, Failure> {
        // Positions before ends: a stage that runs meanwhile is then never seen beyond the end.
        let mut found = Found { database: look_at_database(&mut self.database).await?, ..Found::default() };
        look_at_registry(&self.registry, &mut found).await?;
        look_at_kafka(self.settings, &self.config, &self.admin, &mut found)?;
        Ok(found)
    }

    /// Makes one change.
    pub(crate) async fn make(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::CreateTopic { topic, partitions } => {
                self.create(topic, *partitions).map_err(|fault| kafka::failure(self.settings, &fault))
            }
            Step::SetCompatibility(subject) => self.registry.set_compatibility(subject).await,
            Step::Register(subject) => self.registry.register(subject).await,
            Step::Migrate { .. } => {
                migrations::run(&mut self.database).await.map_err(|error| migration_failure("make the tables", &error))
            }
            Step::Regions { .. } => fill_regions(&mut self.database).await,
            Step::WriteFingerprint(fingerprint) => {
                write_fingerprint(&self.config, fingerprint).map_err(|fault| kafka::failure(self.settings, &fault))
            }
            Step::SinkPositions(rows) => write_positions(&mut self.database, rows).await,
            Step::Commit { group, topic, offsets } => {
                let offsets: Vec<(i32, i64)> = offsets.iter().map(|(p, o)| (*p, *o)).collect();
                patiently(|| self.admin.set_group_offsets(group, topic, &offsets))
                    .map_err(|fault| kafka::failure(self.settings, &fault))
            }
        }
    }

    /// Makes a topic and waits until the brokers know it as it was asked for.
    fn create(&self, topic: &Topic, partitions: i32) -> Result<(), KafkaFault> {
        let spec = TopicSpec {
            name: topic.name.to_owned(),
            partitions,
            config: topic.settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        patiently(|| self.admin.create_topics(std::slice::from_ref(&spec), Deadline::after(ANSWER_MAX)))?;
        patiently(|| self.admin.watermarks(topic.name, Deadline::after(ANSWER_MAX))).map(drop)
    }
}

/// Notes topics, positions of the groups, and what stands in `sisdmk.state`.
pub(crate) fn look_at_kafka(
    settings: &Settings,
    config: &KafkaConfig,
    admin: &Admin,
    found: &mut Found,
) -> Result<(), Failure> {
    let failed = |fault| kafka::failure(settings, &fault);
    // Positions before ends, as in `look`.
    for (group, topic) in [(PROCESSOR_GROUP, RAW), (SINK_GROUP, CLEAN)] {
        match kafka::committed(admin, group, topic) {
            Ok(offsets) => {
                found.committed.insert(group.to_owned(), offsets);
            }
            // No topic, no position.
            Err(fault) if fault.kind == FaultKind::Missing => {}
            Err(fault) => return Err(failed(fault)),
        }
    }
    found.topics = topics(admin).map_err(failed)?;
    if found.topics.contains_key(STATE) {
        found.state = read_state(config).map_err(failed)?;
    }
    Ok(())
}

fn topics(admin: &Admin) -> Result<BTreeMap<String, FoundTopic>, KafkaFault> {
    let names: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
    let facts = blocking(|| admin.describe_topics(&names, Deadline::after(ANSWER_MAX)))?;
    facts
        .into_iter()
        .flatten()
        .map(|facts| {
            let ends = kafka::ends(admin, &facts.name)?
                .into_iter()
                .map(|found| {
                    let ends = Ends { first: found.first, end: found.end };
                    (found.partition, ends)
                })
                .collect();
            let topic = FoundTopic {
                partitions: i32::try_from(facts.partitions).unwrap_or(i32::MAX),
                settings: facts.config,
                ends,
            };
            Ok((facts.name, topic))
        })
        .collect()
}

/// Notes the subjects of the registry.
pub(crate) async fn look_at_registry(registry: &Registry, found: &mut Found) -> Result<(), Failure> {
    for subject in SUBJECTS {
        if let Some(there) = registry.look(subject).await? {
            found.subjects.insert(subject.name.to_owned(), there);
        }
    }
    Ok(())
}

/// Tries again while the brokers are still telling each other about a change.
fn patiently<T>(mut call: impl FnMut() -> Result<T, KafkaFault>) -> Result<T, KafkaFault> {
    let deadline = Deadline::after(ANSWER_MAX);
    blocking(|| {
        loop {
            match call() {
                Err(fault) if (fault.is_retriable() || fault.kind == FaultKind::Missing) && !deadline.passed() => {
                    std::thread::sleep(AGAIN_AFTER);
                }
                outcome => return outcome,
            }
        }
    })
}

/// Fingerprint of the key in `identity.hmac_key_file`.
pub(crate) fn fingerprint(settings: &Settings) -> Result<String, Failure> {
    settings.require(&["identity.hmac_key_file"])?;
    let bytes = secrets::read(settings.path("identity.hmac_key_file"))?;
    let key = IdentityKey::from_secret(bytes.expose())
        .map_err(|_| Failure::config("the file of identity.hmac_key_file is empty"))?;
    Ok(key.fingerprint())
}

/// What stands in `sisdmk.state`.
fn read_state(config: &KafkaConfig) -> Result<FoundState, KafkaFault> {
    let mut state = FoundState::default();
    blocking(|| {
        read_to_end(config, STATE, true, Deadline::after(ANSWER_MAX * 2), |message| {
            match (message.key, message.value) {
                (Some(key), Some(value)) if key == IDENTITY_KEY.as_bytes() => {
                    let value: Value = serde_json::from_slice(value).unwrap_or(Value::Null);
                    // A record that cannot be read is another fingerprint than ours, not none.
                    let text = value["fingerprint"].as_str().unwrap_or("(not readable)");
                    state.fingerprint = Some(text.to_owned());
                }
                (Some(key), None) if key == IDENTITY_KEY.as_bytes() => state.fingerprint = None,
                _ => state.used = true,
            }
        })
    })?;
    Ok(state)
}

fn write_fingerprint(config: &KafkaConfig, fingerprint: &str) -> Result<(), KafkaFault> {
    let value = json!({
        "fingerprint": fingerprint,
        "written_at": Timestamp(clock::now_micros()),
    })
    .to_string();
    blocking(|| {
        let producer = IdempotentProducer::connect(config)?;
        producer.send(Out {
            topic: STATE,
            partition: Some(0),
            key: Some(IDENTITY_KEY.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &HeaderSet::default(),
            timestamp_ms: None,
        })?;
        producer.flush(ANSWER_MAX).map(drop)
    })
}

async fn lock(database: &mut PgConnection) -> Result<(), Failure> {
    let failed = |error: sqlx::Error| {
        let busy = matches!(&error, sqlx::Error::Database(error) if error.code().as_deref() == Some("55P03"));
        if busy {
            Failure::runtime("another `sisdmk setup` is running on this database")
                .hint("wait until it has ended, then run this again")
        } else {
            fault("begin the setup", &error)
        }
    };
    sqlx::query("SET lock_timeout = '60s'").execute(&mut *database).await.map_err(failed)?;
    sqlx::query(include_str!("../sql/setup_lock.sql")).execute(&mut *database).await.map_err(failed)?;
    Ok(())
}

/// Notes tables, roles, regions and positions.
pub(crate) async fn look_at_database(database: &mut PgConnection) -> Result<FoundDatabase, Failure> {
    let read = |error| fault("read the tables", &error);
    let tables = tables(database).await?;
    let roles_missing = sqlx::query(include_str!("../sql/roles_missing.sql"))
        .fetch_all(&mut *database)
        .await
        .map_err(read)?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(read)?;
    let mut found = FoundDatabase { tables, roles_missing, ..FoundDatabase::default() };
    if matches!(found.tables, FoundTables::Behind(_) | FoundTables::Current) {
        found.regions = match regions(database).await {
            // Only the owner and readers may look at them. What cannot be seen is not held against
            // the database; `sisdmk setup`, as the owner, sees it.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
                rules::wilayah::rows().iter().map(|row| (row.kode.to_owned(), Region::from(row))).collect()
            }
            regions => regions.map_err(read)?,
        };
        found.positions = postgres::sink_positions(database).await?;
    }
    Ok(found)
}

/// How the tables stand to this program's migrations.
async fn tables(database: &mut PgConnection) -> Result<FoundTables, Failure> {
    match migrations::check(database).await {
        Ok(()) => Ok(FoundTables::Current),
        Err(MigrationFault::Missing) => Ok(FoundTables::Missing),
        Err(MigrationFault::Behind(version)) => Ok(FoundTables::Behind(version)),
        Err(MigrationFault::Ahead(version)) => {
            Ok(FoundTables::Foreign(format!("migration {version} is of a newer release")))
        }
        Err(MigrationFault::Differs(version)) => {
            Ok(FoundTables::Foreign(format!("migration {version} was applied with another text")))
        }
        Err(MigrationFault::Partial(version)) => {
            Ok(FoundTables::Foreign(format!("migration {version} was applied in part")))
        }
        Err(error @ (MigrationFault::Postgres(_) | MigrationFault::Apply(_))) => {
            Err(migration_failure("read the tables", &error))
        }
    }
}

async fn regions(database: &mut PgConnection) -> Result<BTreeMap<String, Region>, sqlx::Error> {
    sqlx::query(include_str!("../sql/regions.sql"))
        .fetch_all(database)
        .await?
        .iter()
        .map(|row| {
            let region = Region {
                kode_bps: row.try_get("kode_bps")?,
                tingkat: row.try_get("tingkat")?,
                nama: row.try_get("nama")?,
                kode_induk: row.try_get("kode_induk")?,
            };
            Ok((row.try_get("kode")?, region))
        })
        .collect()
}

async fn fill_regions(database: &mut PgConnection) -> Result<(), Failure> {
    let rows: Vec<migrations::Wilayah<'_>> = rules::wilayah::rows()
        .iter()
        .map(|row| migrations::Wilayah {
            kode: row.kode,
            kode_bps: Some(row.bps),
            tingkat: row.tingkat.as_str(),
            nama: row.nama,
            kode_induk: row.induk,
        })
        .collect();
    migrations::fill_wilayah(database, &rows).await.map_err(|error| migration_failure("fill sdmk.wilayah", &error))
}

async fn write_positions(database: &mut PgConnection, rows: &BTreeMap<(String, i32), i64>) -> Result<(), Failure> {
    const DOING: &str = "write the sink's starting positions";
    let failed = |error: sqlx::Error| fault(DOING, &error);
    let mut transaction = database.begin().await.map_err(failed)?;
    for ((topic, partition), next_offset) in rows {
        migrations::start_position(&mut transaction, topic, *partition, *next_offset)
            .await
            .map_err(|error| migration_failure(DOING, &error))?;
    }
    transaction.commit().await.map_err(failed)
}

fn migration_failure(doing: &str, error: &MigrationFault) -> Failure {
    use sqlx::migrate::MigrateError;
    match error {
        MigrationFault::Postgres(error)
        | MigrationFault::Apply(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            fault(doing, error)
        }
        other => Failure::environment(format!("cannot {doing}: {other}"))
            .hint("use the release of this program that made these tables, or a newer one"),
    }
}
