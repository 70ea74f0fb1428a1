//! A stage that finds something else than it was promised refuses to start, and names the fix.

use std::time::Duration;

use anyhow::Result;
use harness::{Stage, System};

use crate::support;

const END_LIMIT: Duration = Duration::from_secs(60);

/// Starts a stage, waits for its end; exit code and what it said.
fn refused(system: &mut System, stage: Stage) -> Result<(Option<i32>, String)> {
    let process = system.spawn(stage)?;
    let status = process.wait(END_LIMIT)?;
    let text = std::fs::read_to_string(process.log_path())?;
    std::fs::remove_file(process.log_path())?;
    Ok((status.code(), text))
}

fn assert_refused(system: &mut System, stage: Stage, code: i32, words: &[&str]) -> Result<()> {
    let (found, text) = refused(system, stage)?;
    assert_eq!(found, Some(code), "{}: {text}", stage.name());
    for word in words {
        assert!(text.contains(word), "{}: `{word}` is not in:\n{text}", stage.name());
    }
    Ok(())
}

/// Goal: nothing runs on a contract that differs. Method: the contract is broken in one way after the other.
#[test]
fn a_stage_refuses_a_contract_that_differs() -> Result<()> {
    let (_dir, mut system) = support::system()?;

    // Nothing was set up: topics are missing.
    for stage in Stage::ALL {
        assert_refused(&mut system, stage, 3, &["sisdmk setup"])?;
    }
    system.setup()?;

    // Another identity key.
    let key = std::fs::read(system.secret_path("hmac.key"))?;
    system.secret("hmac.key", b"another key")?;
    for stage in [Stage::Producer, Stage::Processor] {
        assert_refused(&mut system, stage, 2, &["identity.hmac_key_file"])?;
    }
    system.secret("hmac.key", &key)?;

    // A topic with another cleanup policy: compaction of raw would lose versions.
    system.alter_topic("sisdmk.raw", "cleanup.policy", "compact")?;
    for stage in [Stage::Producer, Stage::Processor] {
        assert_refused(&mut system, stage, 3, &["sisdmk.raw", "cleanup.policy", "sisdmk setup"])?;
    }
    system.alter_topic("sisdmk.raw", "cleanup.policy", "delete")?;

    // A topic with more partitions than the others: one person would be in two places.
    system.add_partitions("sisdmk.clean", 8)?;
    assert_refused(&mut system, Stage::Processor, 3, &["sisdmk.clean", "partitions", "sisdmk setup"])?;
    Ok(())
}

#[test]
fn a_registry_without_the_schema_is_refused() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    system.setup()?;
    system.delete_subject("sisdmk.clean-value")?;
    for stage in [Stage::Processor, Stage::Sink] {
        assert_refused(&mut system, stage, 3, &["sisdmk.clean-value", "sisdmk setup"])?;
    }
    Ok(())
}

#[test]
fn a_missing_table_is_refused() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    system.setup()?;
    let mut tables = harness::tables::Tables::open(&system)?;
    tables.execute("DELETE FROM sink.migration WHERE version = (SELECT max(version) FROM sink.migration)")?;
    assert_refused(&mut system, Stage::Sink, 3, &["sisdmk setup"])
}

#[test]
fn a_port_that_is_taken_is_said_in_one_sentence() -> Result<()> {
    let (_dir, mut system) = support::system()?;
    system.setup()?;
    for stage in Stage::ALL {
        let address = system.address(stage.name()).expect("an address");
        let _taken = std::net::TcpListener::bind(address)?;
        let (code, text) = refused(&mut system, stage)?;
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(text.contains(&format!("{}.listen", stage.name())), "{text}");
    }
    Ok(())
}
