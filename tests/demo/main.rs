//! `make demo`: the whole system on this machine, with synthetic people, told step by step.

mod env;
mod options;
mod show;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser as _;
use harness::tables::Tables;
use harness::{Binaries, SimulatorOptions, Stage, System, SystemOptions, compare, interrupt, wait};

use crate::options::Options;
use crate::show::{Show, count};

fn main() -> ExitCode {
    let options = Options::parse();
    let mut show = Show::new();
    if let Err(error) = interrupt::catch() {
        show.fault(&error);
        return ExitCode::from(1);
    }
    match run(&options, &mut show) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(_) if interrupt::is_set() => {
            show.line("Stopped.");
            ExitCode::from(130)
        }
        Err(error) => {
            show.fault(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// The code of the fault that started the chain: a server that cannot start is an environment fault (3).
fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<stack::StackError>().map_or(1, stack::StackError::exit_code)
}

/// Whether everything that arrived is as the source has it.
fn run(options: &Options, show: &mut Show) -> Result<bool> {
    if options.dir.exists() {
        std::fs::remove_dir_all(&options.dir).with_context(|| format!("cannot empty {}", options.dir.display()))?;
    }
    std::fs::create_dir_all(&options.dir)?;
    let dir = options.dir.canonicalize()?;

    show.step("Starting Kafka, schema registry and Postgres");
    let mut settings = SystemOptions::new(&dir, Binaries::beside_this_program()?);
    // Without ONCE the data changes all the time, and a batch a minute shows it.
    let cron = if options.once { "\"0 0 1 1 *\"" } else { "\"* * * * *\"" };
    settings.settings.insert("schedule.cron".into(), cron.into());
    settings.connect = options.connect;
    let mut system = System::up(settings)?;
    show.done();

    show.step("Making topics, schemas and tables (sisdmk setup)");
    system.setup()?;
    show.done();

    if options.connect {
        show.step("Starting Kafka Connect's copy of sisdmk.clean in a second database");
        system.start_connector()?;
        show.done();
    }

    show.step(&format!("Starting a SISDMK server with {} synthetic health workers", count(options.workers)));
    let simulator = SimulatorOptions {
        workers: options.workers,
        seed: options.seed,
        changes_per_second: 5.0,
        ..SimulatorOptions::default()
    };
    system.start_simulator(&simulator)?;
    if options.once {
        system.simulator()?.freeze()?;
    }
    show.done();

    show.step("Starting sink, processor and producer");
    for stage in [Stage::Sink, Stage::Processor, Stage::Producer] {
        system.start(stage)?;
    }
    show.done();

    let mut tables = Tables::open(&system)?;
    let first = first_batch(&mut tables)?;
    let row = follow(show, &mut tables, &first, options.batch_limit())?;
    show.batch("First batch: everything", &row);

    if options.once {
        return finish(options, show, &mut system, &mut tables);
    }
    let env = env::write(&system)?;
    show.addresses(&system, &env);
    keep_going(show, &mut tables, vec![first])?;
    show.line("Stopping ...");
    // What it names is gone.
    std::fs::remove_file(env)?;
    system.stop_stages()?;
    show.line(&format!("Stopped, servers and all. Logs: {}", system.dir().join("logs").display()));
    Ok(true)
}

/// Changes, a second batch with faults on the way if asked for, then the comparison.
fn finish(options: &Options, show: &mut Show, system: &mut System, tables: &mut Tables) -> Result<bool> {
    let changes = (options.workers / 20).max(1);
    show.line(&format!("\n{} of them change at the source.", count(changes)));
    system.simulator()?.change(changes)?;
    let second = system.poll()?;
    if options.kill {
        for stage in Stage::ALL {
            show.step(&format!("kill -9 of the {}, and a new one", stage.name()));
            system.kill_and_restart(stage)?;
            show.done();
        }
    }
    let row = follow(show, tables, &second, options.batch_limit())?;
    show.batch("Second batch: what changed", &row);
    // A producer that came up after the end of the batch has begun another one.
    tables.wait_at_rest(options.batch_limit())?;

    show.step("Comparing every field of every row with the source");
    let comparison = compare::compare(system)?;
    show.done();
    show.comparison(&comparison);
    system.stop_stages()?;
    Ok(comparison.is_equal())
}

fn first_batch(tables: &mut Tables) -> Result<String> {
    wait::until("the first batch to start", Duration::from_secs(60), || {
        interrupt::check()?;
        Ok(tables.batch_ids()?.into_iter().next())
    })
}

/// Shows the rows arriving until the batch is closed.
fn follow(show: &mut Show, tables: &mut Tables, batch: &str, limit: Duration) -> Result<serde_json::Value> {
    let started = now();
    let row = wait::until(&format!("batch {batch} to be closed"), limit, || {
        interrupt::check()?;
        let row = tables.batch(batch)?.filter(|row| !row["finished_at"].is_null());
        if row.is_none() && show.shows_progress() {
            show.progress(written(tables, batch)?, started.elapsed());
        }
        Ok(row)
    });
    show.progress_end();
    row
}

/// Rows of `sdmk.person` that a batch has written so far, by the sink's own reports: counting the rows would read the whole
/// table again and again, and with millions of them take a good part of the machine from what is shown.
fn written(tables: &mut Tables, batch: &str) -> Result<i64> {
    tables.number(&format!(
        "SELECT sum((counts ->> 'inserted')::bigint + (counts ->> 'updated')::bigint)::bigint
           FROM audit.stage_report WHERE batch_id = '{batch}' AND stage = 'sink'"
    ))
}

/// Tells of every further batch until Ctrl-C.
fn keep_going(show: &mut Show, tables: &mut Tables, mut told: Vec<String>) -> Result<()> {
    while !interrupt::is_set() {
        for batch in tables.batch_ids()? {
            if told.contains(&batch) {
                continue;
            }
            let row = tables.batch(&batch)?.filter(|row| !row["finished_at"].is_null());
            if let Some(row) = row {
                show.batch_line(&row);
                told.push(batch);
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the demonstration tells how long things took")]
fn now() -> Instant {
    Instant::now()
}
