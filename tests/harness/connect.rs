//! The connector of `connect/`, run by the stack's Kafka Connect into a database of its own: the files as they are,
//! set up as their README says.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::System;
use crate::tables::Tables;

/// The database that the connector fills.
pub const DATABASE: &str = "consumer";
const CONNECTOR: &str = include_str!("../../connect/sisdmk-clean-to-postgres.json");
const MIGRATION: &str = include_str!("../../connect/migrations/0001_sdmk_worker.sql");
const LOGIN: &str = "demo_connect";
const PASSWORD: &str = "password-of-the-connector";

impl System {
    /// Makes the second database and its table, and starts the connector. The stack must have Connect.
    pub fn start_connector(&self) -> Result<()> {
        let url = self.connect_url()?;
        Tables::open(self)?.execute(&format!("CREATE DATABASE {DATABASE}"))?;
        let mut tables = Tables::open_database(self, DATABASE)?;
        tables.execute(MIGRATION)?;
        tables.execute(&format!("CREATE ROLE {LOGIN} LOGIN PASSWORD '{PASSWORD}' IN ROLE sdmk_connect"))?;
        self.write_connector_secrets()?;
        let client = reqwest::blocking::Client::new();
        let answer = client
            .post(format!("{url}/connectors"))
            .header("content-type", "application/json")
            .body(CONNECTOR)
            .send()?;
        let status = answer.status();
        if !status.is_success() {
            bail!("Connect refused the connector: {status} {}", answer.text()?);
        }
        Ok(())
    }

    /// What Connect says of the connector's only task: its state first, then all of it.
    pub fn connector_status(&self) -> Result<(String, String)> {
        let connector: Value = serde_json::from_str(CONNECTOR)?;
        let name = connector["name"].as_str().context("the connector has a name")?;
        let text = reqwest::blocking::get(format!("{}/connectors/{name}/status", self.connect_url()?))?.text()?;
        let status: Value = serde_json::from_str(&text)?;
        let state = status.pointer("/tasks/0/state").and_then(Value::as_str).unwrap_or("NO TASK YET");
        Ok((state.to_owned(), text))
    }

    /// Its password; nothing but the file may show it.
    #[must_use]
    pub fn connector_password(&self) -> &'static str {
        PASSWORD
    }

    fn connect_url(&self) -> Result<String> {
        self.stack.connect_url().context("the stack has no Connect")
    }

    /// The addresses and the password, where the connector's configuration looks for them.
    fn write_connector_secrets(&self) -> Result<()> {
        let path = self.stack.connect_dir().join("sisdmk-connect.properties");
        let registry = self.stack.registry_url().replace("/apis/ccompat/v7", "/apis/registry/v3");
        let postgres = self.stack.postgres_url();
        let (_, address) = postgres.split_once('@').context("an URL with a role")?;
        let (address, _) = address.split_once('/').context("an URL with a database")?;
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        write!(
            file,
            "registry.url={registry}\n\
             postgres.url=jdbc:postgresql://{address}/{DATABASE}?logServerErrorDetail=false\n\
             postgres.username={LOGIN}\n\
             postgres.password={PASSWORD}\n"
        )?;
        Ok(())
    }
}
