//! What `sisdmk setup` will do, decided before anything is changed. Pure.
//!
//! [`plan`] compares what was found with what is agreed. What is missing becomes a step; what is
//! there and differs becomes a difference, and one difference means that nothing at all is done:
//! setup never changes what somebody else made, and never makes half of a system.

use std::collections::BTreeMap;

use rules::wilayah::Wilayah;

use crate::contract::{
    AUDIT, CLEAN, PARTITIONS_DEFAULT, PROCESSOR_GROUP, RAW, SINK_GROUP, STATE, SUBJECTS, Subject, TOPICS, Topic, Width,
};
use crate::words::{count, counted};

/// Everything that was found, before anything is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Topics that exist, by name.
    pub(crate) topics: BTreeMap<String, FoundTopic>,
    /// Subjects of the registry, by name; one that is not there is missing here.
    pub(crate) subjects: BTreeMap<String, FoundSubject>,
    /// Committed positions by group, one per partition of its topic.
    pub(crate) committed: BTreeMap<String, BTreeMap<i32, i64>>,
    /// What stands in `sisdmk.state`.
    pub(crate) state: FoundState,
    /// The database.
    pub(crate) database: FoundDatabase,
}

/// A topic that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FoundTopic {
    /// Partitions.
    pub(crate) partitions: i32,
    /// Effective settings.
    pub(crate) settings: BTreeMap<String, String>,
    /// First offset and end of each partition.
    pub(crate) ends: BTreeMap<i32, Ends>,
}

/// The first offset that is still there, and the offset that the next record will get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Low watermark.
    pub(crate) first: i64,
    /// High watermark.
    pub(crate) end: i64,
}

/// A subject that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundSubject {
    /// Its own compatibility rule, if one is set.
    pub(crate) compatibility: Option<String>,
    /// How the registered versions stand to the schema of this program.
    pub(crate) schema: FoundSchema,
}

/// How the registered versions of a subject stand to the schema of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FoundSchema {
    /// The subject exists without any version.
    None,
    /// One of the versions is this schema.
    Registered,
    /// Other versions only, and this schema may follow them.
    MayFollow,
    /// Other versions only, and this schema may not follow them; why, in the checker's words.
    MayNotFollow(String),
}

/// What stands in `sisdmk.state`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FoundState {
    /// The fingerprint of the identity key.
    pub(crate) fingerprint: Option<String>,
    /// Whether a producer has written its own keys.
    pub(crate) used: bool,
}

/// What stands in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FoundDatabase {
    /// The tables.
    pub(crate) tables: FoundTables,
    /// Roles that the server does not have: they belong to the server, so a database that was
    /// restored elsewhere has its tables and not its roles.
    pub(crate) roles_missing: Vec<String>,
    /// `sdmk.wilayah` by `kode`: the other columns.
    pub(crate) regions: BTreeMap<String, Region>,
    /// `sink.offset`: next offset by topic and partition.
    pub(crate) positions: BTreeMap<(String, i32), i64>,
}

/// How the tables stand to the migrations of this program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum FoundTables {
    /// There are none.
    #[default]
    Missing,
    /// Made by an earlier release; the first migration that is not applied.
    Behind(i64),
    /// As this program knows them.
    Current,
    /// Not made by this program's migrations, in words.
    Foreign(String),
}

/// A row of `sdmk.wilayah` without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region {
    /// Code of the statistics office.
    pub(crate) kode_bps: Option<String>,
    /// Level.
    pub(crate) tingkat: String,
    /// Name.
    pub(crate) nama: String,
    /// Code of the region it lies in.
    pub(crate) kode_induk: Option<String>,
}

/// What is wished for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    /// `--partitions`, if it was given.
    pub(crate) partitions: Option<i32>,
    /// Fingerprint of the key in `identity.hmac_key_file`.
    pub(crate) fingerprint: &'a str,
    /// The regions of this program.
    pub(crate) regions: &'a [Wilayah],
}

/// One change that setup makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a topic.
    CreateTopic {
        /// Which one.
        topic: Topic,
        /// With how many partitions.
        partitions: i32,
    },
    /// Set the compatibility rule of a subject that has none.
    SetCompatibility(Subject),
    /// Register the schema of a subject.
    Register(Subject),
    /// Make roles and tables, or bring them up to date.
    Migrate {
        /// Whether there are no tables yet.
        new: bool,
        /// Whether any migration is to be applied.
        tables: bool,
        /// Roles to make.
        roles: usize,
    },
    /// Bring `sdmk.wilayah` to the table of this program.
    Regions {
        /// Rows that are not there.
        added: usize,
        /// Rows whose columns differ.
        changed: usize,
        /// Rows of regions that this program does not know.
        removed: usize,
    },
    /// Write the fingerprint of the identity key.
    WriteFingerprint(String),
    /// Write positions into `sink.offset`.
    SinkPositions(BTreeMap<(String, i32), i64>),
    /// Commit positions for a group.
    Commit {
        /// The group.
        group: &'static str,
        /// Its topic.
        topic: &'static str,
        /// Offset by partition.
        offsets: BTreeMap<i32, i64>,
    },
}

/// Something that is there and is not as agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Where: `topic sisdmk.raw, retention.ms`.
    pub(crate) place: String,
    /// What is agreed.
    pub(crate) wanted: String,
    /// What was found.
    pub(crate) found: String,
    /// What to do.
    pub(crate) remedy: String,
}

/// Steps to make, and differences that forbid them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In the order in which they are made.
    pub(crate) steps: Vec<Step>,
    /// Any one of them means that no step is made.
    pub(crate) differences: Vec<Difference>,
    /// Partitions of the record topics.
    pub(crate) partitions: i32,
}

/// Compares what was found with what is wanted.
pub(crate) fn plan(found: &Found, wanted: &Wanted<'_>) -> Plan {
    let mut plan = Plan { partitions: chosen_partitions(found, wanted.partitions), ..Plan::default() };
    plan.topics(found, wanted.partitions);
    plan.subjects(found);
    plan.database(&found.database, wanted.regions);
    plan.identity(&found.state, wanted.fingerprint);
    plan.sink_positions(found);
    plan.processor_positions(found);
    plan
}

/// The number asked for; without one, the number that an earlier setup chose, so that a second
/// `sisdmk setup` needs no memory of the first; without that, the default.
fn chosen_partitions(found: &Found, asked: Option<i32>) -> i32 {
    if let Some(asked) = asked {
        return asked;
    }
    let mut widths = TOPICS
        .iter()
        .filter(|topic| topic.width == Width::Chosen)
        .map(|topic| found.topics.get(topic.name).map(|topic| topic.partitions));
    match widths.next() {
        Some(Some(first)) if widths.all(|width| width == Some(first)) => first,
        _ => PARTITIONS_DEFAULT,
    }
}

impl Plan {
    fn differs(
        &mut self,
        place: impl Into<String>,
        wanted: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.differences.push(Difference {
            place: place.into(),
            wanted: wanted.into(),
            found: found.into(),
            remedy: remedy.into(),
        });
    }

    fn topics(&mut self, found: &Found, asked: Option<i32>) {
        for topic in TOPICS {
            let partitions = topic.partitions(self.partitions);
            let Some(there) = found.topics.get(topic.name) else {
                self.steps.push(Step::CreateTopic { topic: *topic, partitions });
                continue;
            };
            if there.partitions != partitions {
                let empty = there.ends.values().all(|ends| ends.end == 0);
                let again = match (topic.width, empty) {
                    (Width::Chosen, true) => {
                        format!(
                            "the topic is empty: delete it and run setup again, or say --partitions {}",
                            there.partitions
                        )
                    }
                    (Width::Chosen, false) if asked.is_some() => {
                        format!("run setup with --partitions {}", there.partitions)
                    }
                    (Width::Chosen, false) => {
                        "raw, clean and dlq must have the same number, and a topic with records cannot be re-divided: make the three anew".to_owned()
                    }
                    (Width::One, true) => "the topic is empty: delete it and run setup again".to_owned(),
                    (Width::One, false) => {
                        "its records need one order: move them to a topic with 1 partition".to_owned()
                    }
                };
                self.differs(
                    format!("topic {}, partitions", topic.name),
                    partitions.to_string(),
                    there.partitions.to_string(),
                    again,
                );
            }
            for (key, value) in topic.settings {
                let is = there.settings.get(*key).map(String::as_str);
                if is != Some(*value) {
                    self.differs(
                        format!("topic {}, {key}", topic.name),
                        *value,
                        is.unwrap_or("not told by the broker"),
                        format!(
                            "kafka-configs.sh --bootstrap-server .. --alter --topic {} --add-config {key}={value}",
                            topic.name
                        ),
                    );
                }
            }
        }
    }

    fn subjects(&mut self, found: &Found) {
        for subject in SUBJECTS {
            let there = found.subjects.get(subject.name);
            let place = format!("schema {}", subject.name);
            // The rule stands before the first version, so that no version escapes it.
            match there.and_then(|there| there.compatibility.as_deref()) {
                None => self.steps.push(Step::SetCompatibility(*subject)),
                Some(level) if level == subject.compatibility => {}
                Some(level) => self.differs(
                    format!("{place}, compatibility"),
                    subject.compatibility,
                    level,
                    format!("set the subject's compatibility to {} in the registry", subject.compatibility),
                ),
            }
            match there.map(|there| &there.schema) {
                None | Some(FoundSchema::None | FoundSchema::MayFollow) => {
                    self.steps.push(Step::Register(*subject));
                }
                Some(FoundSchema::Registered) => {}
                Some(FoundSchema::MayNotFollow(why)) => self.differs(
                    place,
                    "a schema that may follow those in the registry",
                    why.clone(),
                    "use the release of this program that fits the registry, or another registry; `sisdmk schema diff` shows the fields",
                ),
            }
        }
    }

    fn database(&mut self, found: &FoundDatabase, wanted: &[Wilayah]) {
        if let FoundTables::Foreign(how) = &found.tables {
            self.differs(
                "database, tables",
                "those of this program's migrations",
                how.clone(),
                "use the release of this program that made these tables, or a newer one",
            );
        }
        let tables = matches!(found.tables, FoundTables::Missing | FoundTables::Behind(_));
        if tables || !found.roles_missing.is_empty() {
            self.steps.push(Step::Migrate {
                new: found.tables == FoundTables::Missing,
                tables,
                roles: found.roles_missing.len(),
            });
        }
        let mut left = found.regions.clone();
        let (mut added, mut changed) = (0, 0);
        for row in wanted {
            match left.remove(row.kode) {
                None => added += 1,
                Some(there) if there == Region::from(row) => {}
                Some(_) => changed += 1,
            }
        }
        let removed = left.len();
        if added + changed + removed > 0 {
            self.steps.push(Step::Regions { added, changed, removed });
        }
    }

    fn identity(&mut self, found: &FoundState, wanted: &str) {
        match found.fingerprint.as_deref() {
            Some(there) if there == wanted => {}
            Some(there) => self.differs(
                format!("identity key, fingerprint in {STATE}"),
                wanted,
                there,
                "identity.hmac_key_file holds another key than the one these records were written with: put the first key back",
            ),
            None if found.used => self.differs(
                format!("identity key, fingerprint in {STATE}"),
                wanted,
                "none, although a producer has already written its state",
                "the topic has lost its record `identity`: restore it from a backup, or start with new topics",
            ),
            None => self.steps.push(Step::WriteFingerprint(wanted.to_owned())),
        }
    }

    /// `sink.offset`: one row per partition of clean, and one for audit.
    fn sink_positions(&mut self, found: &Found) {
        let positions = &found.database.positions;
        // A database that has never been written to reads everything from the beginning.
        let new_database = positions.is_empty();
        let mut missing = BTreeMap::new();
        for (name, partitions) in [(CLEAN, self.partitions), (AUDIT, 1)] {
            for partition in 0..partitions {
                let ends = ends_of(found, name, partition);
                match positions.get(&(name.to_owned(), partition)) {
                    Some(position) if *position <= ends.end => {}
                    Some(position) => self.differs(
                        format!("table sink.offset, {name}/{partition}"),
                        format!("at most {}, the topic's end", count(ends.end)),
                        count(*position),
                        "the topic is not the one that this database was filled from: use the topics and the database that belong together",
                    ),
                    None if new_database || ends.end == 0 => {
                        missing.insert((name.to_owned(), partition), ends.first);
                    }
                    None => self.differs(
                        format!("table sink.offset, {name}/{partition}"),
                        "a position",
                        "none, although the topic has records",
                        "the sink's position is lost: restore the table from a backup, or fill a new database from the topics",
                    ),
                }
            }
        }
        // The hint for lag tools follows the truth; it is never refused.
        let committed = found.committed.get(SINK_GROUP);
        let hints: BTreeMap<i32, i64> = (0..self.partitions)
            .filter(|partition| committed.is_none_or(|c| !c.contains_key(partition)))
            .map(|partition| {
                let row = (CLEAN.to_owned(), partition);
                let position = positions.get(&row).or_else(|| missing.get(&row));
                (partition, position.copied().unwrap_or(0))
            })
            .collect();
        if !missing.is_empty() {
            self.steps.push(Step::SinkPositions(missing));
        }
        if !hints.is_empty() {
            self.steps.push(Step::Commit { group: SINK_GROUP, topic: CLEAN, offsets: hints });
        }
    }

    fn processor_positions(&mut self, found: &Found) {
        let committed = found.committed.get(PROCESSOR_GROUP);
        let mut missing = BTreeMap::new();
        for partition in 0..self.partitions {
            let ends = ends_of(found, RAW, partition);
            let place = format!("position of {PROCESSOR_GROUP}, {RAW}/{partition}");
            match committed.and_then(|committed| committed.get(&partition)) {
                Some(offset) if *offset <= ends.end => {}
                Some(offset) => self.differs(
                    place,
                    format!("at most {}, the topic's end", count(ends.end)),
                    count(*offset),
                    format!("the topic was made anew and the group is older: delete the group with kafka-consumer-groups.sh --delete --group {PROCESSOR_GROUP}, then run setup again"),
                ),
                None if ends.end == 0 => {
                    missing.insert(partition, ends.first);
                }
                None => self.differs(
                    place,
                    "a position",
                    "none, although the topic has records",
                    format!("the processor's position is lost: decide where it goes on (the first record that is there is {}), then `sisdmk offsets reset --stage processor --partition {partition} --to first --reason ..`", count(ends.first)),
                ),
            }
        }
        if !missing.is_empty() {
            self.steps.push(Step::Commit { group: PROCESSOR_GROUP, topic: RAW, offsets: missing });
        }
    }
}

/// A topic that is yet to be made begins and ends at 0.
fn ends_of(found: &Found, topic: &str, partition: i32) -> Ends {
    found.topics.get(topic).and_then(|topic| topic.ends.get(&partition)).copied().unwrap_or_default()
}

impl From<&Wilayah> for Region {
    fn from(row: &Wilayah) -> Self {
        Self {
            kode_bps: Some(row.bps.to_owned()),
            tingkat: row.tingkat.as_str().to_owned(),
            nama: row.nama.to_owned(),
            kode_induk: row.induk.map(str::to_owned),
        }
    }
}

impl Step {
    /// What the step does, in the words of a list of things done.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::CreateTopic { topic, partitions } => format!(
                "made topic {} ({}, {})",
                topic.name,
                counted(usize::try_from(*partitions).unwrap_or(0), "partition", "partitions"),
                topic.keeps()
            ),
            Self::SetCompatibility(subject) => {
                format!("set the rule for schema {} to {}", subject.name, subject.compatibility)
            }
            Self::Register(subject) => format!("registered schema {}", subject.name),
            Self::Migrate { new, tables, roles } => {
                let tables = match (new, tables) {
                    (true, _) => "made the tables in schemas sdmk, audit and sink",
                    (false, true) => "brought the tables up to this release",
                    (false, false) => "looked at the tables",
                };
                match roles {
                    0 => tables.to_owned(),
                    n => format!("{tables}, and {}", counted(*n, "role", "roles")),
                }
            }
            Self::Regions { added, changed, removed } => {
                format!("filled sdmk.wilayah: {added} regions added, {changed} changed, {removed} removed")
            }
            Self::WriteFingerprint(fingerprint) => {
                format!("wrote the fingerprint of the identity key, {fingerprint}, to {STATE}")
            }
            Self::SinkPositions(rows) => format!(
                "wrote {} into sink.offset ({})",
                counted(rows.len(), "starting position", "starting positions"),
                origin(rows.values())
            ),
            Self::Commit { group, topic, offsets } => format!(
                "wrote {} of group {group} on {topic} ({})",
                counted(offsets.len(), "starting position", "starting positions"),
                origin(offsets.values())
            ),
        }
    }

    /// A stable word for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::CreateTopic { .. } => "create_topic",
            Self::SetCompatibility(_) => "set_compatibility",
            Self::Register(_) => "register_schema",
            Self::Migrate { .. } => "migrate",
            Self::Regions { .. } => "fill_regions",
            Self::WriteFingerprint(_) => "write_fingerprint",
            Self::SinkPositions(_) => "write_sink_positions",
            Self::Commit { .. } => "commit_positions",
        }
    }
}

fn origin<'a>(mut offsets: impl Iterator<Item = &'a i64>) -> &'static str {
    if offsets.all(|offset| *offset == 0) { "all 0" } else { "the first record that is there" }
}

#[cfg(test)]
mod tests;
