//! Apicurio Registry, with its schemas in a file.
//!
//! As delivered it keeps everything in memory. Here it writes to an H2 database in its own data
//! directory, and not to the Postgres of the stack: a test that takes Postgres down must see what
//! the sink does, not what a registry without its store does; and both start at the same time.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::Programs;
use crate::error::StackError;
use crate::java::{self, Java};
use crate::options::Options;
use crate::probe::Probe;
use crate::server::{Recipe, Server};

/// The Confluent-compatible API.
pub(crate) const API_PATH: &str = "/apis/ccompat/v7";
/// Enough for its parsers and the connections to H2; it holds schemas, not records.
const HEAP_MB: u32 = 256;

/// Prepares the directory and says how to start the registry.
pub(crate) fn prepare(options: &Options, java: &Java, programs: &Programs, port: u16) -> Result<Recipe, StackError> {
    let dir = options.dir.join("data/registry");
    // Quarkus reads config/application.properties below its working directory, over its own.
    let config = dir.join("config");
    let tmp = dir.join("tmp");
    for new in [&config, &tmp] {
        fs::create_dir_all(new).map_err(StackError::io("create", new))?;
    }
    let file = config.join("application.properties");
    fs::write(&file, properties(port)).map_err(StackError::io("write", &file))?;
    let mut arguments = java::flags(48, HEAP_MB, &tmp);
    arguments.extend(programs.archives.flag(Server::Registry));
    arguments.push("-jar".to_owned());
    arguments.push(runner(&programs.registry)?.display().to_string());
    Ok(Recipe {
        server: Server::Registry,
        program: java.program.clone(),
        arguments,
        working_dir: dir,
        user: None,
        log: options.dir.join("logs/registry.log"),
        ports: vec![port],
        probe: Probe::Http { port, path: "/apis/ccompat/v7/subjects" },
        stale_file: None,
    })
}

/// The jar to run; its name holds the version, which only `pom.xml` knows.
fn runner(dir: &Path) -> Result<PathBuf, StackError> {
    fs::read_dir(dir)
        .map_err(StackError::io("list", dir))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with("-runner.jar"))
        .ok_or_else(|| StackError::Checksum {
            file: dir.display().to_string(),
            detail: "it holds no -runner.jar; delete the directory and try again".to_owned(),
        })
}

fn properties(port: u16) -> String {
    format!(
        "\
# Written at each start; changes are lost.
quarkus.http.host=127.0.0.1
quarkus.http.port={port}
# No page of a browser has business here.
quarkus.http.cors=false
# A line for every request of every client would bury what matters.
quarkus.http.access-log.enabled=false
quarkus.banner.enabled=false
# As delivered the format of the date is broken.
quarkus.log.console.format=%d{{yyyy-MM-dd'T'HH:mm:ss.SSSX}} %p %c{{1}} %m%n

apicurio.storage.kind=sql
apicurio.storage.sql.kind=h2
# WRITE_DELAY=0: a schema that was answered with its id is in the file, also after kill -9.
# FILE_LOCK=FS: the lock of the operating system, which ends with the process.
apicurio.datasource.url=jdbc:h2:file:./registry;WRITE_DELAY=0;FILE_LOCK=FS;DB_CLOSE_ON_EXIT=FALSE
apicurio.datasource.username=sa
apicurio.datasource.password=sa
# As delivered: 20 connections from the start.
apicurio.datasource.jdbc.initial-size=1
apicurio.datasource.jdbc.min-size=1
apicurio.datasource.jdbc.max-size=8
apicurio.import.work-dir=tmp
apicurio.storage.snapshot.location=tmp
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_listens_on_this_machine_only_and_keeps_its_data_in_a_file() {
        let text = properties(20_002);
        assert!(text.contains("quarkus.http.host=127.0.0.1\nquarkus.http.port=20002\n"));
        assert!(text.contains("apicurio.datasource.url=jdbc:h2:file:./registry;WRITE_DELAY=0;"));
    }
}
