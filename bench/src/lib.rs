//! How fast the pipeline is, what it costs, and how much memory it takes: against real servers of its own, with
//! everything on this machine.
//!
//! A round is a set of servers with empty tables, in which a population is loaded, changed as a whole, and given out
//! again nearly unchanged; once with all stages at the same time, once with one stage after the other. What arrived
//! is compared with the source before anything is shown: figures of a run that lost or changed a record do not exist.
//!
//! What this does not do is compare with other products.

mod figures;
mod floor;
mod log;
mod machine;
mod memory;
mod options;
mod parity;
mod part;
mod pause;
mod postgres;
mod proc;
mod progress;
mod report;
mod round;
mod sampler;
mod site;
mod table;
mod transactions;

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser as _;
use harness::{Binaries, interrupt};

pub use crate::figures::{Figures, Floor, Pause, PausedMemory, Phase, Run, Spread, Way};
pub use crate::machine::Machine;
pub use crate::options::{Options, Record, Records};
pub use crate::part::Part;
pub use crate::transactions::Pair;

/// The program: 0 when everything was measured and is within its bounds, 1 otherwise, 2 for a wrong option, 3 when
/// the servers cannot start.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let done = interrupt::catch().and_then(|()| {
        let figures = measure(&options, Binaries::beside_this_program()?)?;
        publish(&options, &figures)?;
        Ok(memory::over_limit(&figures))
    });
    let (code, message) = match done {
        Ok(over) if over.is_empty() => return ExitCode::SUCCESS,
        Ok(over) => (1, over.join("\n")),
        Err(_) if interrupt::is_set() => (130, "stopped".to_owned()),
        Err(error) => {
            (error.downcast_ref::<stack::StackError>().map_or(1, stack::StackError::exit_code), format!("{error:#}"))
        }
    };
    log::line(&format!("sisdmk-bench: {message}"));
    ExitCode::from(code)
}

/// Measures everything that is asked for. Leaves no process and no folder behind.
///
/// # Errors
/// A server or stage that fails, and whatever did not arrive as the source has it.
pub fn measure(options: &Options, binaries: Binaries) -> Result<Figures> {
    if options.dir.exists() {
        fs::remove_dir_all(&options.dir).with_context(|| format!("cannot empty {}", options.dir.display()))?;
    }
    fs::create_dir_all(&options.dir)?;
    let mut options = options.clone();
    options.dir = options.dir.canonicalize()?;
    let mut figures = Figures::new(options.workers, options.seed);
    for (record, rounds) in options.rounds() {
        for number in 1..=rounds {
            round::measure(&options, &binaries, record, (number, rounds), &mut figures)?;
        }
    }
    if options.transaction_rounds > 0 {
        transactions::measure(&options, &binaries, &mut figures)?;
    }
    if options.pause_seconds > 0 {
        pause::measure(&options, &binaries, &mut figures)?;
    }
    figures.machine = Machine::here();
    fs::remove_dir_all(&options.dir).with_context(|| format!("cannot remove {}", options.dir.display()))?;
    Ok(figures)
}

/// Shows the tables, and writes the files that were asked for.
fn publish(options: &Options, figures: &Figures) -> Result<()> {
    let tables = report::tables(figures);
    // Nobody is left to tell when standard output is closed.
    let _ = writeln!(std::io::stdout().lock(), "{tables}");
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_string_pretty(figures)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &options.write {
        let page = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let Some(page) = report::between_markers(&page, &tables) else {
            bail!("{} has no markers {} and {}", path.display(), report::BEGIN, report::END);
        };
        fs::write(path, page)?;
    }
    Ok(())
}
