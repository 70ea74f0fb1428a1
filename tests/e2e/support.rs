//! What the end-to-end tests share.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::{Binaries, SimulatorOptions, Stage, System, SystemOptions};
use tempfile::TempDir;

/// Longest time a server may take to answer one question.
pub(crate) const ASK_LIMIT: Duration = Duration::from_secs(20);

/// The seed of all random data here, printed so that a failure can be repeated.
#[expect(clippy::print_stdout, reason = "the test runner shows it with the failure")]
pub(crate) fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, not a setting of the product")]
    let seed = std::env::var("SISDMK_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_123);
    println!("seed: SISDMK_TEST_SEED={seed}");
    seed
}

/// The stages as cargo built them for this test run.
pub(crate) fn binaries() -> Binaries {
    let at = |path: &str| Path::new(path).to_path_buf();
    Binaries {
        producer: at(env!("CARGO_BIN_EXE_stage-producer")),
        processor: at(env!("CARGO_BIN_EXE_stage-processor")),
        sink: at(env!("CARGO_BIN_EXE_stage-sink")),
        console: at(env!("CARGO_BIN_EXE_stage-console")),
        simulator: at(env!("CARGO_BIN_EXE_stage-simulator")),
    }
}

/// Servers and configuration in a folder that goes with the test, or stays for whoever sets `SISDMK_TEST_KEEP` to look at
/// its logs.
pub(crate) fn system() -> Result<(TempDir, System)> {
    system_with(|_| {})
}

/// The same, after `choose` has changed what it wants to be different.
#[expect(clippy::print_stdout, reason = "the test runner shows it with the failure")]
pub(crate) fn system_with(choose: impl FnOnce(&mut SystemOptions)) -> Result<(TempDir, System)> {
    let mut dir = tempfile::tempdir()?;
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, not a setting of the product")]
    let keep = std::env::var_os("SISDMK_TEST_KEEP").is_some();
    dir.disable_cleanup(keep);
    println!("folder: {}{}", dir.path().display(), if keep { "" } else { " (SISDMK_TEST_KEEP=1 keeps it)" });
    let mut options = SystemOptions::new(dir.path().join("system"), binaries());
    // No test here cuts the power; kill -9 of Postgres keeps what the kernel has.
    options.throwaway = !keep;
    // Only the batch at the start and those that a test asks for.
    options.settings.insert("schedule.cron".into(), "\"0 0 1 1 *\"".into());
    choose(&mut options);
    let system = System::up(options)?;
    Ok((dir, system))
}

/// Groups notice a dead member after 6 s instead of the 30 that ship: for tests that kill one.
pub(crate) fn notice_the_dead_soon(options: &mut SystemOptions) {
    options.settings.insert("kafka.properties.\"session.timeout.ms\"".into(), "\"6000\"".into());
    options.settings.insert("kafka.properties.\"heartbeat.interval.ms\"".into(), "\"1500\"".into());
}

/// A source whose data changes only when a test says so.
pub(crate) fn simulator(workers: u64) -> SimulatorOptions {
    SimulatorOptions { workers, seed: seed(), bad_share: 0.05, changes_per_second: 0.0, more: Vec::new() }
}

/// The batch of records that a test writes by hand: nobody announces it.
pub(crate) const BATCH_BY_HAND: &str = "0193a000-0000-7000-8000-0000000000ff";

fn ask(system: &System, stage: Stage, path: &str) -> Result<(bool, String)> {
    let address = system.address(stage.name()).context("no address")?;
    let client = reqwest::blocking::Client::builder().timeout(ASK_LIMIT).build()?;
    let answer = client.get(format!("http://{address}{path}")).send()?;
    Ok((answer.status().is_success(), answer.text()?))
}

/// Whether a stage is ready, and what it says about it.
pub(crate) fn readiness(system: &System, stage: Stage) -> Result<(bool, String)> {
    ask(system, stage, "/readyz?verbose")
}

/// Everything that a stage measures, as Prometheus reads it.
pub(crate) fn metrics(system: &System, stage: Stage) -> Result<String> {
    Ok(ask(system, stage, "/metrics")?.1)
}

/// The sum of a metric over all its labels; 0 where there is none.
pub(crate) fn metric(system: &System, stage: Stage, name: &str) -> Result<i64> {
    metric_of(system, stage, name, "")
}

/// The sum of a metric over its series with this label, written as `name="value"`; 0 where there is none.
pub(crate) fn metric_of(system: &System, stage: Stage, name: &str, label: &str) -> Result<i64> {
    let text = metrics(system, stage)?;
    let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values = text.lines().filter(of).filter(|line| line.contains(label));
    values.map(|line| Ok(line.rsplit(' ').next().context("a value")?.parse::<i64>()?)).sum()
}

/// Peak of the producer's own memory that is allowed, KiB.
pub(crate) const PRODUCER_KIB_MAX: u64 = 256 * 1024;

/// Peak resident memory of a stage that runs, KiB.
pub(crate) fn resident_kib(system: &mut System, stage: Stage) -> Result<u64> {
    let pid = system.process(stage)?.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
