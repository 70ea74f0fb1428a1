//! `.demo/env`: the addresses of a running demonstration, for shells.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use harness::System;

/// Writes the file: `. .demo/env` makes `psql`, `$KAFKA` and `$REGISTRY` mean this demonstration. The password stays in its own file.
pub(crate) fn write(system: &System) -> Result<PathBuf> {
    let postgres = system.stack.postgres_url();
    let (user, rest) = postgres.trim_start_matches("postgres://").split_once('@').context("a URL has a user")?;
    let (server, database) = rest.split_once('/').context("a URL has a database")?;
    let (host, port) = server.split_once(':').context("a URL has a port")?;
    let text = format!(
        "export KAFKA={kafka}\nexport REGISTRY={registry}\n\
         export PGHOST={host} PGPORT={port} PGUSER={user} PGDATABASE={database} PGPASSWORD=\"$(cat '{password}')\"\n\
         export PGTZ=Asia/Jakarta\n\
         export PATH=\"{programs}:$PATH\"\n",
        kafka = system.stack.bootstrap_servers(),
        registry = system.stack.registry_url(),
        password = system.stack.postgres_password_file().display(),
        programs = system.console_path().parent().context("a program is in a folder")?.display(),
    );
    let path = system.dir().join("env");
    fs::write(&path, text)?;
    Ok(path)
}
