//! Kafka Connect: one standalone worker without connectors, for those who ask for it.
//!
//! What it is to copy, and where, is said over its REST API: this crate knows no topic and no
//! table. Only where a sink has read up to survives a restart, because that is in Kafka;
//! connectors are given again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::StackError;
use crate::java::{self, Java};
use crate::kafka;
use crate::options::Options;
use crate::probe::Probe;
use crate::server::{Recipe, Server};

/// A sink with one task and records of some kilobytes.
const HEAP_MB: u32 = 384;
const PROPERTIES: &str = "worker.properties";

/// The working directory of the worker: file names in a connector's configuration begin here.
pub(crate) fn dir(options: &Options) -> PathBuf {
    options.dir.join("data/connect")
}

/// Prepares the directory and says how to start the worker; `jars` is one class path.
pub(crate) fn prepare(
    options: &Options,
    java: &Java,
    jars: &Path,
    bootstrap_servers: &str,
    port: u16,
) -> Result<Recipe, StackError> {
    let dir = dir(options);
    let tmp = dir.join("tmp");
    fs::create_dir_all(&tmp).map_err(StackError::io("create", &tmp))?;
    for (name, text) in
        [(PROPERTIES, properties(bootstrap_servers, port)), ("log4j2.properties", kafka::LOG4J.to_owned())]
    {
        let path = dir.join(name);
        fs::write(&path, text).map_err(StackError::io("write", &path))?;
    }
    let mut arguments = java::flags(64, HEAP_MB, &tmp);
    arguments.extend([
        // A driver may take the machine's zone for that of a timestamp without one.
        "-Duser.timezone=UTC".to_owned(),
        "-Dlog4j2.configurationFile=log4j2.properties".to_owned(),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
        "org.apache.kafka.connect.cli.ConnectStandalone".to_owned(),
        PROPERTIES.to_owned(),
    ]);
    Ok(Recipe {
        server: Server::Connect,
        program: java.program.clone(),
        arguments,
        working_dir: dir,
        user: None,
        log: options.dir.join("logs/connect.log"),
        ports: vec![port],
        probe: Probe::Http { port, path: "/health" },
        stale_file: None,
    })
}

fn properties(bootstrap_servers: &str, port: u16) -> String {
    format!(
        "\
# Written at each start; changes are lost.
bootstrap.servers={bootstrap_servers}
listeners=http://127.0.0.1:{port}
# A connector that says nothing gets bytes, and not a guess.
key.converter=org.apache.kafka.connect.converters.ByteArrayConverter
value.converter=org.apache.kafka.connect.converters.ByteArrayConverter
# Of sources only; the positions of a sink are its consumer group's.
offset.storage.file.filename=source-offsets
# How long a task that fails while nothing new arrives may keep it to itself, among other things.
offset.flush.interval.ms=2000
# Asks the jars what they hold, instead of looking at each class of all of them.
plugin.discovery=service_load
# ${{file:<name>:<key>}} in a connector's configuration: no password is in it, and the REST API shows none.
config.providers=file
config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_listens_on_this_machine_only_and_reads_secrets_from_files() {
        let text = properties("127.0.0.1:1", 20_004);
        assert!(text.contains("bootstrap.servers=127.0.0.1:1\nlisteners=http://127.0.0.1:20004\n"));
        assert!(text.contains("# ${file:<name>:<key>} in"), "{text}");
        assert!(text.contains("config.providers=file\n"));
    }
}
