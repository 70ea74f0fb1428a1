//! The simulator as a process, and its control endpoints.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::process::Process;
use crate::wait;

/// What the simulator is started with.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// Health workers.
    pub workers: u64,
    /// Everything about them is derived from it.
    pub seed: u64,
    /// Share of bad records.
    pub bad_share: f64,
    /// Workers that change each second by themselves.
    pub changes_per_second: f64,
    /// Further arguments.
    pub more: Vec<String>,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self { workers: 20_000, seed: 4, bad_share: 0.02, changes_per_second: 0.0, more: Vec::new() }
    }
}

/// What the simulator says of itself.
#[derive(Debug, Deserialize)]
pub struct Summary {
    /// Health workers.
    pub workers: u64,
    /// Workers whose record is good at present.
    pub good: u64,
    /// Workers whose record is bad at present.
    pub bad: u64,
    /// Changes so far.
    pub changes: u64,
    /// Records given out so far.
    pub records_served: u64,
    /// Requests answered so far.
    pub requests: u64,
}

/// A bad record that was given out.
#[derive(Debug, Deserialize)]
pub struct BadRecord {
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Reason codes it must die of, sorted.
    pub codes: Vec<String>,
}

/// A running simulator.
pub struct Simulator {
    process: Process,
    address: SocketAddr,
    client: reqwest::blocking::Client,
    /// As whose records the truth is told: an option of the older service asks for that one's.
    shape: &'static str,
}

impl Simulator {
    pub(crate) fn start(
        program: &Path,
        options: &SimulatorOptions,
        address: SocketAddr,
        token_file: &Path,
        key_file: &Path,
        logs: &Path,
    ) -> Result<Self> {
        let mut arguments: Vec<String> = [
            ("--listen", address.to_string()),
            ("--workers", options.workers.to_string()),
            ("--seed", options.seed.to_string()),
            ("--bad-share", options.bad_share.to_string()),
            ("--changes-per-second", options.changes_per_second.to_string()),
            ("--token-file", token_file.display().to_string()),
            ("--identity-key-file", key_file.display().to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        arguments.extend(options.more.clone());
        let process = Process::start("simulator", program, &arguments, &[], logs, None)?;
        let mut simulator = Self {
            process,
            address,
            client: reqwest::blocking::Client::builder().timeout(Duration::from_secs(600)).build()?,
            shape: if options.more.iter().any(|option| option == "--biodata-status") {
                "biodata-facility"
            } else {
                "sdmk-modified"
            },
        };
        wait::until("the simulator to answer", Duration::from_secs(60), || {
            if let Some(status) = simulator.process.ended()? {
                bail!("the simulator ended with {status}: {}", simulator.process.log_tail());
            }
            Ok(simulator.summary().ok().map(|_| ()))
        })?;
        Ok(simulator)
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn get(&self, path: &str) -> Result<reqwest::blocking::Response> {
        let answer = self.client.get(format!("{}{path}", self.url())).send()?;
        Ok(answer.error_for_status()?)
    }

    fn post(&self, path: &str, body: String) -> Result<Value> {
        let answer = self
            .client
            .post(format!("{}{path}", self.url()))
            .header("content-type", "application/json")
            .body(body)
            .send()?
            .error_for_status()?
            .text()?;
        Ok(serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// Counts.
    pub fn summary(&self) -> Result<Summary> {
        Ok(serde_json::from_str(&self.get("/_control/summary")?.text()?)?)
    }

    /// Data stops changing by itself.
    pub fn freeze(&self) -> Result<()> {
        self.post("/_control/freeze", String::new()).map(drop)
    }

    /// Lets `count` workers change now.
    pub fn change(&self, count: u64) -> Result<()> {
        self.post(&format!("/_control/change?count={count}"), String::new()).map(drop)
    }

    /// Replaces the list of faults, a JSON array.
    pub fn faults(&self, faults: &Value) -> Result<()> {
        self.post("/_control/faults", faults.to_string()).map(drop)
    }

    /// The true state of every person, in NIK order.
    pub fn persons(&self) -> Result<impl Iterator<Item = Result<Value>>> {
        self.lines(&format!("/_control/truth/persons?shape={}", self.shape))
    }

    /// The bad records given out so far.
    pub fn bad_records(&self) -> Result<Vec<BadRecord>> {
        self.lines(&format!("/_control/truth/dead-letters?shape={}", self.shape))?
            .map(|line| Ok(serde_json::from_value(line?)?))
            .collect()
    }

    /// Whether the source has a time of change; without one it is the time of the fetch.
    #[must_use]
    pub fn has_stamps(&self) -> bool {
        self.shape == "sdmk-modified"
    }

    /// The code of every facility.
    pub fn facilities(&self) -> Result<Vec<String>> {
        self.lines("/_control/facilities")?.map(|line| Ok(serde_json::from_value(line?)?)).collect()
    }

    /// Tokens that were issued are worth nothing from now on.
    pub fn revoke_tokens(&self) -> Result<()> {
        self.post("/_control/tokens/revoke", String::new()).map(drop)
    }

    /// The log of requests.
    pub fn requests(&self) -> Result<impl Iterator<Item = Result<Value>>> {
        self.lines("/_control/requests")
    }

    fn lines(&self, path: &str) -> Result<impl Iterator<Item = Result<Value>> + use<>> {
        let reader = BufReader::with_capacity(1 << 16, self.get(path)?);
        Ok(reader.lines().map(|line| {
            let line = line.context("the simulator's answer was cut")?;
            serde_json::from_str(&line).context("a line of the simulator is not JSON")
        }))
    }
}
