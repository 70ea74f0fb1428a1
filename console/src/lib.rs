//! `sisdmk`, the operator's command.
//!
//! It makes the surroundings that the stages need (`setup`), says whether they are there (`doctor`,
//! `validate`), and shows what the stages do: batches, lag, dead letters. It changes a running
//! producer only through its authenticated admin endpoint. It never prints a value of a record:
//! dead letters are shown by reason, field names and lengths.
//!
//! One verb is one module below `verbs`; `edge` speaks to Kafka, the registry, Postgres and the
//! producer; everything else is pure.

mod batch;
mod command;
mod contract;
mod dead_letter;
mod edge;
mod evolution;
mod mask;
mod outcome;
mod setup;
mod shape;
mod table;
mod verbs;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use platform::exit::{Exit, Failure};
use platform::settings::Settings;

use command::Cli;
use outcome::{Outcome, Printed, Refusal, lay_out};

/// Runs the command line of this process and gives its exit code.
pub fn main() -> ExitCode {
    outcome::print(&run(std::env::args_os().collect()))
}

/// Runs a command line, program name first, and gives what is to be printed.
fn run(arguments: Vec<OsString>) -> Printed {
    let json = arguments.iter().any(|argument| argument == "--json");
    if arguments.iter().skip(1).any(command::looks_like_nik) {
        let failure = Failure::config("an argument holds 16 digits, as a NIK does")
            .hint("arguments stay in the shell's history and in the list of processes: never write a NIK there");
        return lay_out("sisdmk", &Err(Refusal::new("usage", failure)), json);
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&error, json),
    };
    lay_out(cli.verb.name(), &perform(&cli), cli.json)
}

fn perform(cli: &Cli) -> Outcome {
    let settings = Settings::load(&cli.common).map_err(Failure::from)?;
    runtime()?.block_on(verbs::perform(&cli.verb, &settings))
}

fn runtime() -> Result<tokio::runtime::Runtime, Refusal> {
    tokio::runtime::Builder::new_multi_thread()
        // One verb at a time: more threads would only cost their stacks.
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::environment("cannot start the runtime").because(error).into())
}

/// clap's own words; help and version go to standard output and are no error.
fn refuse_usage(error: &clap::Error, json: bool) -> Printed {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Printed { stdout: text, stderr: String::new(), exit: Exit::Done.code() }
        }
        _ if json => {
            let message = text.trim_start_matches("error: ").trim_end();
            let (message, hint) = message.split_once("\n").unwrap_or((message, ""));
            let failure = Failure::config(message.trim()).hint(hint.split_whitespace().collect::<Vec<_>>().join(" "));
            lay_out("sisdmk", &Err(Refusal::new("usage", failure)), true)
        }
        _ => Printed { stdout: String::new(), stderr: text, exit: Exit::Config.code() },
    }
}

#[cfg(test)]
mod tests;
