//! Apache Kafka: one process that is broker and controller, formatted once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;
use std::process::Stdio;

use crate::cache::Programs;
use crate::error::StackError;
use crate::java::{self, Archives, Java};
use crate::options::Options;
use crate::probe::Probe;
use crate::process::{self, Bond};
use crate::server::{self, Recipe, Server};
use crate::tools;

/// Room for the largest record of the product, its headers and the frame of a batch.
const MESSAGE_BYTES_MAX: u32 = 3 * 1024 * 1024;

/// All paths in the properties are relative to the working directory: no character of the user's
/// own path can then mean something to Kafka, as a comma would.
const PROPERTIES: &str = "server.properties";
const LOG_DIR: &str = "topics";
/// Written after a format that ended well; a format cut off in the middle is done again.
const FORMATTED: &str = "cluster.id";

/// Prepares the directory and says how to start the broker.
pub(crate) fn prepare(
    options: &Options,
    java: &Java,
    programs: &Programs,
    ports: &[u16],
) -> Result<Recipe, StackError> {
    let port_at = |index: usize| ports.get(index).copied().unwrap_or_default();
    let (port, controller_port) = (port_at(0), port_at(1));
    let proxied = options.kafka_proxy_port.map(|advertised| (port_at(2), advertised));
    let dir = options.dir.join("data/kafka");
    let tmp = dir.join("tmp");
    fs::create_dir_all(&tmp).map_err(StackError::io("create", &tmp))?;
    let mut text = properties(port, controller_port, proxied, options.kafka_proxy_tls.is_some());
    text.extend(options.kafka_proxy_tls.as_deref().map(secured));
    for (name, text) in [(PROPERTIES, text), ("log4j2.properties", LOG4J.to_owned())] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(StackError::io("write", &path))?;
    }
    let log = options.dir.join("logs/kafka.log");
    let arguments = |heap_mb: u32, rest: &[&str]| {
        let mut arguments = java::flags(128, heap_mb, &tmp);
        arguments.push("-Dlog4j2.configurationFile=log4j2.properties".to_owned());
        arguments.extend(["-cp".to_owned(), format!("{}/*", programs.kafka.display())]);
        arguments.extend(rest.iter().map(|&word| word.to_owned()));
        arguments
    };
    let archive = programs.archives.flag(Server::Kafka);
    let cluster_id = format(&dir, &java.program, &log, |id| {
        // It needs a part of the broker's classes, and records none.
        let mut format_arguments =
            Vec::from_iter(archive.clone().filter(|_| matches!(programs.archives, Archives::Use(_))));
        format_arguments.extend(arguments(128, &["kafka.tools.StorageTool", "format", "-t", id, "-c", PROPERTIES]));
        format_arguments
    })?;
    let mut server_arguments = Vec::from_iter(archive);
    server_arguments.extend(arguments(options.kafka_heap_mb, &["kafka.Kafka", PROPERTIES]));
    Ok(Recipe {
        server: Server::Kafka,
        program: java.program.clone(),
        arguments: server_arguments,
        working_dir: dir,
        user: None,
        log,
        ports: ports.to_vec(),
        probe: Probe::Kafka { port, cluster_id },
        stale_file: None,
    })
}

/// Gives the directory its cluster id, once; the id.
fn format(dir: &Path, java: &Path, log: &Path, arguments: impl Fn(&str) -> Vec<String>) -> Result<String, StackError> {
    let marker = dir.join(FORMATTED);
    match fs::read_to_string(&marker) {
        Ok(id) => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StackError::io("read", &marker)(error)),
    }
    // Without the marker no broker ever ran here, so there is nothing to lose.
    let topics = dir.join(LOG_DIR);
    if topics.exists() {
        fs::remove_dir_all(&topics).map_err(StackError::io("remove", &topics))?;
    }
    let id = cluster_id().map_err(StackError::io("read", Path::new("/dev/urandom")))?;
    let output = OpenOptions::new().create(true).append(true).open(log).map_err(StackError::io("open", log))?;
    let errors = output.try_clone().map_err(StackError::io("open", log))?;
    let mut command = tools::command(java);
    command.args(arguments(&id)).current_dir(dir).stdin(Stdio::null()).stdout(output).stderr(errors);
    let status = process::spawn(command, Bond::DiesWithOwner(libc::SIGKILL))
        .and_then(|mut child| child.wait())
        .map_err(StackError::io("run", java))?;
    if !status.success() {
        return Err(StackError::ServerFailed {
            server: Server::Kafka,
            detail: format!("its storage could not be formatted ({status})"),
            log: log.to_path_buf(),
            tail: server::tail(log),
        });
    }
    fs::write(&marker, &id).map_err(StackError::io("write", &marker))?;
    Ok(id)
}

/// 16 random bytes as Kafka writes a UUID.
fn cluster_id() -> io::Result<String> {
    loop {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let id = base64_url(&bytes);
        // A leading dash would read as an option; Kafka avoids it in the same way.
        if !id.starts_with('-') {
            return Ok(id);
        }
    }
}

/// Base64 with the alphabet for URLs and without padding.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(group.get(index).copied().unwrap_or(0));
        }
        for index in 0..=group.len() {
            let six = (bits >> (18 - 6 * index)) & 63;
            let letter = usize::try_from(six).ok().and_then(|six| ALPHABET.get(six));
            text.extend(letter.map(|&letter| char::from(letter)));
        }
    }
    text
}

/// How many ports the broker needs: for its clients, for its controller, and for those behind a proxy.
pub(crate) fn ports_wanted(options: &Options) -> usize {
    if options.kafka_proxy_port.is_some() { 3 } else { 2 }
}

/// `server.properties` for one node on a small machine. `proxied`: a port, and the proxy's port that
/// clients who come in there are sent to.
fn properties(port: u16, controller_port: u16, proxied: Option<(u16, u16)>, is_secured: bool) -> String {
    let protocol = if is_secured { "SASL_SSL" } else { "PLAINTEXT" };
    let proxied = |which: fn((u16, u16)) -> u16| {
        proxied.map(which).map(|port| format!(",PROXIED://127.0.0.1:{port}")).unwrap_or_default()
    };
    let (behind, advertised) = (proxied(|ports| ports.0), proxied(|ports| ports.1));
    format!(
        "\
# Written at each start; changes are lost.
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{behind}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:{protocol}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
# The voter is named here and not in the log (format --standalone): there its port would be fixed
# for ever, and the next start may need another one.
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={LOG_DIR}

# One node.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# A quick start: few internal partitions, and a new group that waits just long enough for all threads of a program.
# Without any wait the first of them gets every partition and hands half of them over seconds later.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=200

# Topics are made by `sisdmk setup` and by nobody else.
auto.create.topics.enable=false
message.max.bytes={MESSAGE_BYTES_MAX}
replica.fetch.max.bytes={MESSAGE_BYTES_MAX}

# Two cores. The cleaner would else take 128 MiB of the heap before it has anything to clean.
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=33554432
"
    )
}

/// What the listener behind the proxy asks of clients where it lets only those in whom it knows.
fn secured(folder: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let lines = [
        ("sasl.enabled.mechanisms", "SCRAM-SHA-512".to_owned()),
        (
            "scram-sha-512.sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned(),
        ),
        ("ssl.client.auth", "required".to_owned()),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", at("broker.pem")),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", at("authorities.pem")),
    ];
    lines.iter().map(|(name, value)| format!("listener.name.proxied.{name}={value}\n")).collect()
}

/// Runs one of Kafka's own tools; what it says.
pub(crate) fn tool(
    options: &Options,
    java: &Path,
    jars: &Path,
    class: &str,
    arguments: &[&str],
) -> Result<String, StackError> {
    let dir = options.dir.join("data/kafka");
    let mut command = tools::command(java);
    command
        .args(java::flags(16, 128, &dir.join("tmp")))
        .arg("-Dlog4j2.configurationFile=log4j2.properties")
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .arg(class)
        .args(arguments)
        .current_dir(&dir)
        .stdin(Stdio::null());
    let output = command.output().map_err(StackError::io("run", java))?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(said)
    } else {
        Err(StackError::Tool { tool: class.to_owned(), status: output.status, output: said })
    }
}

/// To standard output, which is the log file: what the JVM itself says stands there too.
pub(crate) const LOG4J: &str = "\
# Written at each start; changes are lost.
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSSX}{UTC} %p %c{1} %m%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
# Hundreds of lines at each start that say what server.properties says.
logger.config.name=org.apache.kafka.common.config
logger.config.level=warn
logger.kafkaconfig.name=kafka.server.KafkaConfig
logger.kafkaconfig.level=warn
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let check = |bytes: &[u8], expected| assert_eq!(base64_url(bytes), expected);
        check(b"", "");
        check(b"f", "Zg");
        check(b"fo", "Zm8");
        check(b"foo", "Zm9v");
        check(b"foobar", "Zm9vYmFy");
        check(&[0xfb, 0xff], "-_8");
        assert_eq!(cluster_id().expect("random bytes").len(), 22);
    }

    #[test]
    fn only_the_listener_behind_the_proxy_asks_who_comes() {
        let text = properties(20_000, 20_001, Some((20_002, 20_003)), true);
        assert!(text.contains("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:SASL_SSL\n"));
        let added = secured(Path::new("/tls"));
        assert!(added.lines().all(|line| line.starts_with("listener.name.proxied.")), "{added}");
        assert!(added.contains("ssl.keystore.location=/tls/broker.pem\n"), "{added}");
    }

    #[test]
    fn the_properties_listen_on_this_machine_only_and_hold_each_key_once() {
        let text = properties(20_000, 20_001, Some((20_002, 20_003)), false);
        let mut keys = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (key, value) = line.split_once('=').expect("key=value");
            assert!(keys.insert(key), "{key} twice");
            assert!(!value.contains("0.0.0.0") && !value.contains("localhost"), "{line}");
        }
        let two = "PLAINTEXT://127.0.0.1:20000,CONTROLLER://127.0.0.1:20001";
        assert!(text.contains(&format!("\nlisteners={two},PROXIED://127.0.0.1:20002\n")));
        assert!(text.contains(&format!("\nadvertised.listeners={two},PROXIED://127.0.0.1:20003\n")));
        assert!(properties(20_000, 20_001, None, false).contains(&format!("\nlisteners={two}\n")));
        assert!(text.contains("\nauto.create.topics.enable=false\n"));
        assert!(text.contains("\nmessage.max.bytes=3145728\n"));
    }
}
