//! Positions that are lost and topics that are no longer what was agreed: alarm, stop, and a way out that is named.

use anyhow::{Context as _, Result, ensure};
use harness::breaking;
use harness::tables::Tables;
use harness::{Stage, System, compare, wait};

use crate::world::{self, BATCH_LIMIT, STEP_LIMIT};

/// Goal: where records are gone that were not read, that partition stands still and says so, the others go on, and only
/// `sisdmk offsets reset` moves it; what it did is on record.
/// Method: sink and processor are stopped, a batch waits for each; the sink's position is put beyond the end of a log, and a
/// log is cut behind the processor's. Then the group's positions are deleted. A topic that was changed under a running stage is refused at its
/// next start.
#[test]
fn a_lost_position_stops_one_partition_until_an_operator_accepts_the_gap() -> Result<()> {
    let (_dir, mut system) = world::system(|options| {
        options.settings.insert("ledger.deadline".into(), "\"5s\"".into());
    })?;
    world::set_up(&mut system, 400)?;
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;
    system.wait_read_everything(BATCH_LIMIT)?;

    sink_beyond_the_end(&mut system, &mut tables)?;
    processor_behind_a_cut(&mut system, &mut tables)?;
    processor_without_positions(&mut system, &mut tables)?;
    assert_eq!(
        tables.number("SELECT count(*) FROM audit.event WHERE event_type = 'operator_action'")?,
        6,
        "one for the sink, one for the processor's partition, four for its group"
    );

    // A topic that changes under a running stage is met at its next start.
    system.add_partitions("sisdmk.raw", 8)?;
    system.stop(Stage::Processor)?;
    let process = system.spawn(Stage::Processor)?;
    assert_eq!(process.wait(STEP_LIMIT)?.code(), Some(3));
    assert!(process.log_tail().contains("partitions"), "{}", process.log_tail());
    Ok(())
}

/// The sink's position lies beyond the end of partition 0, as after a topic was made anew; it meets that at its start.
fn sink_beyond_the_end(system: &mut System, tables: &mut Tables) -> Result<()> {
    system.stop(Stage::Sink)?;
    let others =
        tables.number("SELECT min(next_offset) FROM sink.offset WHERE topic = 'sisdmk.clean' AND partition > 0")?;
    system.simulator()?.change(200)?;
    system.poll()?;
    tables.execute("UPDATE sink.offset SET next_offset = 1000000 WHERE topic = 'sisdmk.clean' AND partition = 0")?;
    system.spawn(Stage::Sink)?;
    says(system, "sink", &["sisdmk.clean/0", "sisdmk offsets reset"])?;
    wait::until("the other partitions to go on", BATCH_LIMIT, || {
        let behind = tables.number(&format!(
            "SELECT count(*) FROM sink.offset WHERE topic = 'sisdmk.clean' AND partition > 0 AND next_offset <= {others}"
        ))?;
        Ok((behind == 0).then_some(()))
    })?;
    // Nobody resets by accident what is not lost.
    refused(system, "sink", 1)?;
    reset(system, "sink", 0)?;
    system.process(Stage::Sink)?.wait_ready()?;
    tables.wait_at_rest(BATCH_LIMIT)?;
    system.wait_read_everything(BATCH_LIMIT)?;
    let comparison = compare::rows(system)?;
    ensure!(comparison.is_equal(), "everything was taken in again: {comparison}");
    Ok(())
}

/// The log of `sisdmk.raw` is cut behind the processor's position while the processor is down.
fn processor_behind_a_cut(system: &mut System, tables: &mut Tables) -> Result<()> {
    system.stop(Stage::Processor)?;
    let before = breaking::end_of(system, "sisdmk.raw", 0)?;
    system.simulator()?.change(200)?;
    system.poll()?;
    let cut = wait::until("records behind the processor's position", BATCH_LIMIT, || {
        let end = breaking::end_of(system, "sisdmk.raw", 0)?;
        Ok((end > before + 1).then_some(end))
    })?;
    breaking::delete_records(system, "sisdmk.raw", 0, cut)?;
    system.spawn(Stage::Processor)?;
    says(system, "processor", &["sisdmk.raw/0", "sisdmk offsets reset"])?;
    // The group has members: its positions are theirs.
    let members = system.console(&[
        "offsets",
        "reset",
        "--stage",
        "processor",
        "--partition",
        "0",
        "--to",
        "first",
        "--reason",
        "members",
    ])?;
    ensure!(!members.status.success(), "a group with members was changed");
    let words = String::from_utf8_lossy(&members.stderr).into_owned();
    ensure!(words.contains("stop the stages"), "{words}");
    system.stop(Stage::Processor)?;
    reset(system, "processor", 0)?;
    system.start(Stage::Processor)?;
    tables.wait_at_rest(BATCH_LIMIT)?;
    system.wait_read_everything(BATCH_LIMIT)
}

/// All positions of the processor's group are deleted, as an expiry would.
fn processor_without_positions(system: &mut System, tables: &mut Tables) -> Result<()> {
    system.stop(Stage::Processor)?;
    breaking::delete_group(system, "sisdmk-processor")?;
    system.simulator()?.change(50)?;
    system.spawn(Stage::Processor)?;
    let ended = wait::until("the processor to stand still or to end", STEP_LIMIT, || {
        if let Some(status) = system.process(Stage::Processor)?.ended()? {
            return Ok(Some(status.code()));
        }
        let text = ready_text(system, "processor")?;
        Ok(text.contains("sisdmk offsets reset").then_some(None))
    })?;
    ensure!(matches!(ended, None | Some(3)), "{ended:?}");
    if ended.is_none() {
        system.stop(Stage::Processor)?;
    }
    for partition in 0..4 {
        let to = breaking::end_of(system, "sisdmk.raw", partition)?.to_string();
        let partition = partition.to_string();
        let done = system.console(&[
            "offsets",
            "reset",
            "--stage",
            "processor",
            "--partition",
            &partition,
            "--to",
            &to,
            "--reason",
            "expired",
        ])?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    system.start(Stage::Processor)?;
    world::batch(system, tables, 50)
}

fn ready_text(system: &System, stage: &str) -> Result<String> {
    let address = system.address(stage).context("it listens")?;
    let answer = reqwest::blocking::get(format!("http://{address}/readyz?verbose"));
    // It may not listen yet.
    Ok(answer.and_then(reqwest::blocking::Response::text).unwrap_or_default())
}

/// Waits until a stage is not ready for these reasons, and goes on living.
fn says(system: &mut System, stage: &str, words: &[&str]) -> Result<()> {
    let mut last = String::new();
    let said = wait::until(&format!("the {stage} to name the lost position"), STEP_LIMIT, || {
        last = ready_text(system, stage)?;
        Ok(words.iter().all(|word| last.contains(word)).then_some(()))
    });
    said.with_context(|| format!("last answer:\n{last}"))
}

fn reset(system: &System, stage: &str, partition: i32) -> Result<()> {
    let partition = partition.to_string();
    let whose = ["offsets", "reset", "--json", "--stage", stage, "--partition", &partition];
    let arguments = [whose.as_slice(), &["--to", "first", "--reason", "retention"]].concat();
    let mut said = String::new();
    // A member that has just left may be on the coordinator's list for a moment.
    let done = wait::until("the position to be reset", STEP_LIMIT, || {
        let output = system.console(&arguments)?;
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(output.status.success().then_some(()))
    });
    done.with_context(|| said.clone())
}

fn refused(system: &System, stage: &str, partition: i32) -> Result<()> {
    let partition = partition.to_string();
    let done = system.console(&[
        "offsets",
        "reset",
        "--stage",
        stage,
        "--partition",
        &partition,
        "--to",
        "first",
        "--reason",
        "by mistake",
    ])?;
    ensure!(done.status.code() == Some(1), "{done:?}");
    Ok(())
}
