//! Records a history: topics as a reader of committed records sees them, tables, and what the trigger saw.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::{Context, Result};
use schemas::{event, frame, worker};
use serde_json::Value;

use super::{Clean, History, Letter, Move, Place, Raw, Report, Served, Version, Write};
use crate::System;
use crate::tables::Tables;
use crate::topics::{self, Record};

/// Installs the triggers that see every write of a row. After `sisdmk setup`, before the first stage starts.
pub fn install(system: &System) -> Result<()> {
    Tables::open(system)?.execute(include_str!("witness.sql"))?;
    Ok(())
}

/// Records everything. The pipeline must be at rest.
pub fn record(system: &System) -> Result<History> {
    let mut tables = Tables::open(system)?;
    let mut history = History { served: served(system)?, ..History::default() };
    for record in topics::read(system, "sisdmk.raw")? {
        history.raw.push(Raw {
            place: place(&record),
            key: record.key.clone(),
            batch: header(&record, "sisdmk-batch-id"),
            request: header(&record, "sisdmk-request-id"),
            digest: digest(&record),
        });
    }
    for record in topics::read(system, "sisdmk.clean")? {
        history.clean.push(clean(&record)?);
    }
    for record in topics::read(system, "sisdmk.dlq")? {
        let number = |name: &str| header(&record, name).parse::<i64>().with_context(|| format!("{name} of a letter"));
        history.letters.push(Letter {
            place: place(&record),
            by_sink: header(&record, "dlq.stage") == "sink",
            origin: Place {
                partition: i32::try_from(number("__connect.errors.partition")?)?,
                offset: number("__connect.errors.offset")?,
            },
            batch: header(&record, "sisdmk-batch-id"),
        });
    }
    history.told = told(system)?;
    history.reports = tables
        .json(
            "SELECT jsonb_build_object('stage', stage, 'topic', topic, 'partition', partition, 'first', first_offset,
                 'next', next_offset, 'batch', batch_id, 'counts', counts)::text FROM audit.stage_report",
        )?
        .iter()
        .map(report)
        .collect::<Result<_>>()?;
    tables.stream(
        "SELECT jsonb_build_object('order', ordinal, 'transaction', transaction, 'person', person_id,
             'last_updated', (extract(epoch FROM last_updated) * 1000000)::bigint,
             'fetched_at', (extract(epoch FROM fetched_at) * 1000000)::bigint, 'rules_revision', rules_revision,
             'content_hash', content_hash::text, 'deleted', deleted, 'partition', raw_partition,
             'offset', raw_offset)::text FROM witness.write ORDER BY ordinal",
        |row| {
            history.writes.push(Write {
                order: number(&row, "order")?,
                transaction: number(&row, "transaction")?,
                person: text(&row, "person")?,
                version: version(&row)?,
                deleted: row["deleted"] == Value::Bool(true),
                origin: Place {
                    partition: i32::try_from(number(&row, "partition")?)?,
                    offset: number(&row, "offset")?,
                },
            });
            Ok(())
        },
    )?;
    history.moves = tables
        .json(
            "SELECT jsonb_build_object('order', ordinal, 'transaction', transaction, 'topic', topic,
                 'by_sink', by_sink, 'partition', partition, 'from', was, 'to', next_offset)::text FROM witness.move ORDER BY ordinal",
        )?
        .iter()
        .map(|row| {
            Ok(Move {
                order: number(row, "order")?,
                transaction: number(row, "transaction")?,
                topic: text(row, "topic")?,
                partition: i32::try_from(number(row, "partition")?)?,
                by_sink: row["by_sink"] == Value::Bool(true),
                from: row["from"].as_i64(),
                to: number(row, "to")?,
            })
        })
        .collect::<Result<_>>()?;
    tables.stream(
        "SELECT jsonb_build_object('person', person_id,
             'last_updated', (extract(epoch FROM last_updated) * 1000000)::bigint,
             'fetched_at', (extract(epoch FROM fetched_at) * 1000000)::bigint, 'rules_revision', rules_revision,
             'content_hash', content_hash::text)::text FROM sdmk.person",
        |row| {
            history.rows.insert(text(&row, "person")?, version(&row)?);
            Ok(())
        },
    )?;
    Ok(history)
}

fn served(system: &System) -> Result<Vec<Served>> {
    let mut served = Vec::new();
    for request in system.simulator()?.requests()? {
        let request = request?;
        if let (Some(id), Some(rows)) = (request["x_request_id"].as_str(), request["rows"].as_u64()) {
            served.push(Served { request: id.to_owned(), rows });
        }
    }
    Ok(served)
}

fn clean(record: &Record) -> Result<Clean> {
    let state = match &record.value {
        None => None,
        Some(value) => {
            let (schema_id, _) = frame::split(value)?;
            let worker = worker::decode(value, schema_id)?;
            let version = Version {
                last_updated: worker.version.last_updated.0,
                fetched_at: worker.version.fetched_at.0,
                rules_revision: worker.version.rules_revision,
                content_hash: worker.version.content_hash,
            };
            Some((Place { partition: worker.raw_partition, offset: worker.raw_offset }, version))
        }
    };
    Ok(Clean {
        place: place(record),
        key: record.key.clone().unwrap_or_default(),
        batch: header(record, "sisdmk-batch-id"),
        state,
    })
}

/// The reports on `sisdmk.audit`; those of the sink go straight into the ledger.
fn told(system: &System) -> Result<Vec<Report>> {
    let mut told = Vec::new();
    for record in topics::read(system, "sisdmk.audit")? {
        let Some(value) = &record.value else { continue };
        let (schema_id, _) = frame::split(value)?;
        let event = event::decode(value, schema_id)?;
        if event.event_type != event::EventType::StageReport {
            continue;
        }
        told.push(Report {
            stage: event.stage.context("a report names its stage")?,
            topic: event.topic.context("a report names its topic")?,
            partition: event.partition.context("a report names its partition")?,
            first: event.first_offset.context("a report has a first offset")?,
            next: event.next_offset.context("a report has a next offset")?,
            batch: event.batch_id.to_string(),
            counts: event.counts,
        });
    }
    Ok(told)
}

fn report(row: &Value) -> Result<Report> {
    let counts = row["counts"].as_object().context("counts is an object")?;
    let counts: BTreeMap<String, i64> =
        counts.iter().filter_map(|(name, count)| Some((name.clone(), count.as_i64()?))).collect();
    Ok(Report {
        stage: text(row, "stage")?,
        topic: text(row, "topic")?,
        partition: i32::try_from(number(row, "partition")?)?,
        first: number(row, "first")?,
        next: number(row, "next")?,
        batch: text(row, "batch")?,
        counts,
    })
}

fn version(row: &Value) -> Result<Version> {
    Ok(Version {
        last_updated: number(row, "last_updated")?,
        fetched_at: number(row, "fetched_at")?,
        rules_revision: i32::try_from(number(row, "rules_revision")?)?,
        content_hash: text(row, "content_hash")?.parse()?,
    })
}

fn digest(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&record.key, &record.value).hash(&mut hasher);
    hasher.finish()
}

fn place(record: &Record) -> Place {
    Place { partition: record.partition, offset: record.offset }
}

fn header(record: &Record, name: &str) -> String {
    record.headers.get(name).cloned().unwrap_or_default()
}

fn number(row: &Value, name: &str) -> Result<i64> {
    row[name].as_i64().with_context(|| format!("{name} is a number"))
}

fn text(row: &Value, name: &str) -> Result<String> {
    Ok(row[name].as_str().with_context(|| format!("{name} is a text"))?.to_owned())
}
