//! Holds what arrived against the simulator's truth: every field of every person and employment, every dead
//! letter, and nothing else anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::tables::{Tables, check_equations};
use crate::topics::{self, Record};
use crate::{Simulator, System};

/// Differences told in full; the rest is counted.
const TOLD_MAX: usize = 20;

/// Columns of `sdmk.person` that our own stages determine; the source knows nothing of them.
const PROVENANCE: [&str; 10] = [
    "fetched_at",
    "rules_revision",
    "content_hash",
    "batch_id",
    "request_id",
    "trace_id",
    "raw_partition",
    "raw_offset",
    "deleted_at",
    "employments",
];

/// What was compared and what differed.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Persons whose every field was compared.
    pub persons: u64,
    /// Employments compared with them.
    pub employments: u64,
    /// Different bad records given out by the source.
    pub bad_records: u64,
    /// Dead letters found; a bad record that was polled twice died twice.
    pub dead_letters: u64,
    /// Dead letters by their first code.
    pub by_code: BTreeMap<String, u64>,
    /// Batches whose equations hold.
    pub batches: u64,
    /// Sentences that name person, column or code, never a value.
    pub told: Vec<String>,
    /// All differences, also those not told.
    pub differences: u64,
}

impl Comparison {
    /// Whether everything is as the source has it.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences == 0
    }

    fn differ(&mut self, what: impl FnOnce() -> String) {
        self.differences += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(what());
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "compared with the source: {} persons and {} employments field by field, {} bad records against {} dead letters, \
             counts of {} batches: {}",
            self.persons,
            self.employments,
            self.bad_records,
            self.dead_letters,
            self.batches,
            if self.is_equal() { "equal" } else { "NOT EQUAL" }
        )?;
        for told in &self.told {
            writeln!(out, "  - {told}")?;
        }
        let untold = self.differences - u64::try_from(self.told.len()).unwrap_or(u64::MAX).min(self.differences);
        if untold > 0 {
            writeln!(out, "  - and {untold} more")?;
        }
        Ok(())
    }
}

/// Compares everything. The source must be frozen and the pipeline at rest.
pub fn compare(system: &System) -> Result<Comparison> {
    let simulator = system.simulator()?;
    let mut tables = Tables::open(system)?;
    let mut comparison = Comparison::default();
    persons(&mut comparison, simulator, &mut tables)?;
    let letters = topics::read(system, "sisdmk.dlq")?;
    dead_letters(&mut comparison, simulator, &letters)?;
    ledger(&mut comparison, system, &mut tables, &letters)?;
    Ok(comparison)
}

/// Compares every field of every row and nothing else, without holding more than a page of them.
pub fn rows(system: &System) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    persons(&mut comparison, system.simulator()?, &mut Tables::open(system)?)?;
    Ok(comparison)
}

/// Every row of the tables against every person of the truth, both in NIK order.
fn persons(comparison: &mut Comparison, simulator: &Simulator, tables: &mut Tables) -> Result<()> {
    let columns: BTreeSet<String> = tables
        .column(
            "SELECT column_name::text FROM information_schema.columns
             WHERE table_schema = 'sdmk' AND table_name = 'person'",
        )?
        .into_iter()
        .flatten()
        .filter(|column| !PROVENANCE.contains(&column.as_str()))
        .collect();
    if columns.is_empty() {
        bail!("sdmk.person has no columns");
    }
    // Without a time of change it is the time of the fetch, of which the source knows nothing.
    let columns: BTreeSet<String> =
        columns.into_iter().filter(|column| simulator.has_stamps() || column != "last_updated").collect();
    let mut truth = simulator.persons()?;
    let mut expected = truth.next().transpose()?;
    tables.stream(include_str!("persons.sql"), |row| {
        let nik = text(&row, "nik")?;
        while let Some(person) = expected.take_if(|person| person["nik"].as_str() < Some(nik)) {
            comparison.differ(|| format!("person {} is not in sdmk.person", person["person_id"]));
            expected = truth.next().transpose()?;
        }
        match expected.take_if(|person| person["nik"].as_str() == Some(nik)) {
            None => {
                comparison.differ(|| format!("person {} is in sdmk.person and not at the source", row["person_id"]))
            }
            Some(person) => {
                one_person(comparison, &columns, &person, &row)?;
                expected = truth.next().transpose()?;
            }
        }
        Ok(())
    })?;
    while let Some(person) = expected {
        comparison.differ(|| format!("person {} is not in sdmk.person", person["person_id"]));
        expected = truth.next().transpose()?;
    }
    let stray = tables.number(
        "SELECT count(*) FROM sdmk.employment e
         WHERE NOT EXISTS (SELECT FROM sdmk.person p WHERE p.person_id = e.person_id)",
    )?;
    if stray > 0 {
        comparison.differ(|| format!("{stray} rows of sdmk.employment belong to no person"));
    }
    Ok(())
}

fn one_person(comparison: &mut Comparison, columns: &BTreeSet<String>, person: &Value, row: &Value) -> Result<()> {
    comparison.persons += 1;
    let truth = person.as_object().context("a person is an object")?;
    for column in columns {
        match truth.get(column) {
            None => comparison.differ(|| format!("the source's truth says nothing about column {column}")),
            Some(value) if *value != row[column] => {
                comparison.differ(|| format!("person {}: column {column} differs", row["person_id"]))
            }
            Some(_) => {}
        }
    }
    let (expected, found) = (
        truth.get("employments").and_then(Value::as_array).context("employments is a list")?,
        row["employments"].as_array().context("employments is a list")?,
    );
    comparison.employments += u64::try_from(expected.len())?;
    if expected.len() != found.len() {
        comparison.differ(|| {
            format!(
                "person {}: {} employments at the source, {} in sdmk.employment",
                row["person_id"],
                expected.len(),
                found.len()
            )
        });
        return Ok(());
    }
    for (expected, found) in expected.iter().zip(found) {
        let names = expected
            .as_object()
            .into_iter()
            .chain(found.as_object())
            .flat_map(|object| object.keys())
            .collect::<BTreeSet<_>>();
        for name in names {
            if expected.get(name) != found.get(name) {
                comparison.differ(|| format!("person {}: column {name} of an employment differs", row["person_id"]));
            }
        }
    }
    if !row["deleted_at"].is_null() {
        comparison.differ(|| format!("person {} is marked as deleted", row["person_id"]));
    }
    Ok(())
}

/// Every dead letter is a bad record of the source with the codes it must die of, and every bad record is there.
fn dead_letters(comparison: &mut Comparison, simulator: &Simulator, letters: &[Record]) -> Result<()> {
    let expected: HashMap<String, Vec<String>> =
        simulator.bad_records()?.into_iter().map(|bad| (bad.sha256, bad.codes)).collect();
    comparison.bad_records = u64::try_from(expected.len())?;
    comparison.dead_letters = u64::try_from(letters.len())?;
    let mut found = HashSet::new();
    for letter in letters {
        let place = format!("sisdmk.dlq/{}/{}", letter.partition, letter.offset);
        let header = |name: &str| letter.headers.get(name).map(String::as_str).unwrap_or_default();
        *comparison.by_code.entry(header("dlq.error.code").to_owned()).or_default() += 1;
        let bytes = letter.value.as_deref().unwrap_or_default();
        let sha256 = hex(&Sha256::digest(bytes));
        let Some(codes) = expected.get(&sha256) else {
            comparison.differ(|| {
                format!(
                    "dead letter {place} ({}) is a record that the source calls good, or not its bytes",
                    header("dlq.error.codes")
                )
            });
            continue;
        };
        let mut given: Vec<&str> = header("dlq.error.codes").split(',').collect();
        given.sort_unstable();
        if given != *codes {
            comparison.differ(|| {
                format!("dead letter {place} has the codes {}, and should have {}", given.join(","), codes.join(","))
            });
        }
        found.insert(sha256);
    }
    for (sha256, codes) in &expected {
        if !found.contains(sha256) {
            comparison
                .differ(|| format!("a bad record that the source gave out ({}) is no dead letter", codes.join(",")));
        }
    }
    Ok(())
}

/// Every batch is closed and ties, and its counts are those of the topics.
fn ledger(comparison: &mut Comparison, system: &System, tables: &mut Tables, letters: &[Record]) -> Result<()> {
    let batches = tables.json("SELECT to_jsonb(b)::text FROM audit.batch b ORDER BY started_at")?;
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for batch in &batches {
        let id = batch["batch_id"].as_str().unwrap_or_default();
        if batch["tied"] != Value::Bool(true) {
            comparison.differ(|| format!("batch {id} does not tie: {}", batch["detail"]));
        } else if let Err(error) = check_equations(batch) {
            comparison.differ(|| format!("batch {id}: {error}"));
        } else {
            comparison.batches += 1;
        }
        for name in ["raw", "clean", "dlq", "rejected", "inserted"] {
            *sums.entry(name).or_default() += batch[name].as_i64().unwrap_or(0);
        }
    }
    if batches.is_empty() {
        comparison.differ(|| "audit.batch is empty".to_owned());
    }
    let sum = |name: &str| sums.get(name).copied().unwrap_or(0);
    let origins = origins(system)?;
    let rows = tables.number("SELECT count(*) FROM sdmk.person")?;
    for (what, counted, there) in [
        ("records of sisdmk.raw", sum("raw"), i64::try_from(origins.len())?),
        ("records of sisdmk.clean", sum("clean"), topics::count(system, "sisdmk.clean")?),
        ("dead letters", sum("dlq") + sum("rejected"), i64::try_from(letters.len())?),
        ("rows of sdmk.person", sum("inserted"), rows),
    ] {
        if counted != there {
            comparison.differ(|| format!("{what}: the batches count {counted}, there are {there}"));
        }
    }
    tiles(comparison, tables)?;
    provenance(comparison, tables, &origins)
}

/// The ranges of every stage cover their input without a gap and without an overlap.
fn tiles(comparison: &mut Comparison, tables: &mut Tables) -> Result<()> {
    for broken in tables.column(include_str!("tiles.sql"))? {
        comparison.differ(|| format!("the ranges of {} do not tile", broken.unwrap_or_default()));
    }
    Ok(())
}

/// What a row must say of the raw record at a partition and offset, as a number: millions of them are kept at once.
type Origins = HashMap<(i32, i64), u64>;

fn origin<'a>(of: impl Fn(&str) -> &'a [u8], key: &[u8], trace_id: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, of("batch_id"), of("request_id"), of("fetched_at"), trace_id).hash(&mut hasher);
    hasher.finish()
}

/// The origins that `sisdmk.raw` holds.
fn origins(system: &System) -> Result<Origins> {
    let mut origins = Origins::new();
    topics::each(system, "sisdmk.raw", |record| {
        let header = |name: &str| record.header(name).unwrap_or_default();
        let of = |column: &str| match column {
            "batch_id" => header("sisdmk-batch-id"),
            "request_id" => header("sisdmk-request-id"),
            _ => header("sisdmk-fetched-at"),
        };
        let trace_id = header("traceparent").split(|byte| *byte == b'-').nth(1).unwrap_or_default();
        let origin = origin(of, record.key.unwrap_or_default(), trace_id);
        origins.insert((record.partition, record.offset), origin);
    })?;
    Ok(origins)
}

/// A row names the raw record it came from, and that record belongs to the same person, batch and request.
fn provenance(comparison: &mut Comparison, tables: &mut Tables, origins: &Origins) -> Result<()> {
    tables.stream(include_str!("provenance.sql"), |row| {
        let place =
            (i32::try_from(row["raw_partition"].as_i64().unwrap_or(-1))?, row["raw_offset"].as_i64().unwrap_or(-1));
        let of = |column: &str| row[column].as_str().unwrap_or_default().as_bytes();
        if origins.get(&place) != Some(&origin(of, of("person_id"), of("trace_id"))) {
            comparison
                .differ(|| format!("person {}: the row's origin is not the raw record it names", row["person_id"]));
        }
        Ok(())
    })
}

fn text<'a>(row: &'a Value, name: &str) -> Result<&'a str> {
    row[name].as_str().with_context(|| format!("a row has no {name}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
