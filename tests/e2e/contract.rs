//! `docs/CONTRACT.md` against what `sisdmk setup` makes: topics and tables, as the document words them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use harness::System;
use harness::tables::Tables;
use platform::kafka::admin::Admin;
use platform::kafka::{Deadline, KafkaConfig};
use platform::settings::Settings;

use crate::support;

/// The cells of every row of the tables under a heading, without header and rule lines.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).expect("the section is there");
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// Words between back quotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn topics_and_tables_are_as_the_contract_words_them() -> Result<()> {
    let text = include_str!("../../docs/CONTRACT.md");
    let (_dir, system) = support::system()?;
    system.setup()?;
    topics(text, &system)?;
    columns(text, &mut Tables::open(&system)?)
}

fn topics(text: &str, system: &System) -> Result<()> {
    let servers = system.stack.bootstrap_servers();
    let settings =
        Settings::from_pairs([("kafka.bootstrap_servers", servers.as_str()), ("security.allow_plaintext", "true")])?;
    let admin = Admin::connect(&KafkaConfig::new(&settings, "sisdmk-tests")?)?;
    let rows = rows(text, "1. Topics");
    assert_eq!(rows.len(), 5, "{rows:?}");
    for row in rows {
        let name = quoted(&row[0])[0];
        let facts = admin.describe_topics(&[name], Deadline::after(support::ASK_LIMIT))?;
        let facts = facts.into_iter().next().flatten().with_context(|| format!("{name} is not there"))?;
        let partitions = if row[3] == "N" { 4 } else { row[3].parse()? };
        assert_eq!(facts.partitions, partitions, "{name}");
        for setting in quoted(&row[4]) {
            let (key, value) = setting.split_once('=').with_context(|| format!("{setting} is not key=value"))?;
            assert_eq!(facts.config.get(key).map(String::as_str), Some(value), "{name}: {key}");
        }
    }
    Ok(())
}

fn columns(text: &str, tables: &mut Tables) -> Result<()> {
    let there: BTreeMap<String, String> = tables
        .column(
            "SELECT column_name || ':' || format_type(a.atttypid, a.atttypmod)
             FROM information_schema.columns c
             JOIN pg_attribute a ON a.attrelid = 'sdmk.person'::regclass AND a.attname = c.column_name
             WHERE table_schema = 'sdmk' AND table_name = 'person'",
        )?
        .into_iter()
        .flatten()
        .filter_map(|column| column.split_once(':').map(|(name, kind)| (name.to_owned(), kind.to_owned())))
        .collect();
    let short = |kind: &str| match kind {
        "timestamp with time zone" => "timestamptz".to_owned(),
        "character(16)" => "char(16)".to_owned(),
        other => other.to_owned(),
    };
    let mut compared = 0;
    for row in rows(text, "3. Avro: `SdmkWorker`") {
        // A row may stand for several fields, with one type for all of them or one for each.
        let names = quoted(&row[0]);
        let kinds: Vec<&str> = row[2].split(", ").filter(|kind| *kind != "primary key").collect();
        for (index, name) in names.iter().enumerate() {
            let kind = kinds.get(index).or(kinds.last()).copied().unwrap_or("-");
            if kind == "-" || kind.starts_with("table ") {
                assert!(!there.contains_key(*name), "{name} is a column, the contract says it is none");
                continue;
            }
            assert_eq!(there.get(*name).map(|kind| short(kind)).as_deref(), Some(kind), "{name}");
            compared += 1;
        }
    }
    assert!(compared > 25, "{compared} columns");
    assert_eq!(there.len(), compared + 1, "deleted_at is the only column beside the contract's table");
    Ok(())
}
