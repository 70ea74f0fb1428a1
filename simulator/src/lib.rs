//! A SISDMK server with invented people, for demonstrations, tests and benchmarks.
//!
//! It promises to know the truth: which row every record that it gives out must become, and which reason codes
//! every bad one must earn. The truth is made first and the record is derived from it, so nothing here reads or
//! judges a record, and no other crate of this workspace is used.
//!
//! How it is used, its endpoints and its faults: `simulator/README.md`.

mod access;
mod book;
mod calendar;
mod control;
mod dice;
mod edge;
mod fault;
mod flaw;
mod message;
mod options;
mod pen;
mod person;
mod population;
mod profession;
mod record;
mod served;
mod service;
#[cfg(test)]
mod tests;
mod truth;
mod wilayah;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::edge::{clock, http};
use crate::options::Options;
use crate::service::Simulator;

/// The process: 0 after a signal to end, 1 at runtime faults, 2 for options that do not work.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let simulator = match simulator(&options) {
        Ok(simulator) => Arc::new(simulator),
        Err(error) => return complain(&error, 2),
    };
    match run(&options, &simulator) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, 1),
    }
}

fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    // Nobody is left to tell if the error stream is closed.
    let _ = writeln!(std::io::stderr().lock(), "sisdmk-simulator: {error:#}");
    ExitCode::from(code)
}

fn simulator(options: &Options) -> anyhow::Result<Simulator> {
    let accepted = options.accepted()?;
    let identity_key = options.identity_key()?;
    Ok(Simulator::new(options.make(clock::now())?, accepted, identity_key, options.offer()))
}

fn run(options: &Options, simulator: &Arc<Simulator>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(options.threads))
        .enable_all()
        .build()
        .context("failed to start threads")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for signals")?;
        let listener = tokio::net::TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("failed to listen on {}", options.listen))?;
        let address = listener.local_addr().context("failed to read the address")?;
        {
            let mut out = std::io::stdout().lock();
            writeln!(out, "listening on http://{address}").and_then(|()| out.flush()).context("failed to print")?;
        }
        if options.change_rate() > 0 {
            tokio::spawn(http::change_by_itself(Arc::clone(simulator), options.change_rate()));
        }
        tokio::select! {
            ended = http::serve(listener, Arc::clone(simulator)) => ended,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}
