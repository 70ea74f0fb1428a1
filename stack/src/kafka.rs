//! Apache Kafka: one process that is broker and controller, formatted once; two brokers more where asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
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

/// One process of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// Broker and controller; node 1.
    First,
    /// A broker alone, which hears from the controller of the first one.
    Further {
        /// Which.
        server: Server,
        /// Where the controller listens.
        controller_port: u16,
    },
}

impl Node {
    fn server(self) -> Server {
        match self {
            Self::First => Server::Kafka,
            Self::Further { server, .. } => server,
        }
    }

    fn id(self) -> usize {
        1 + Server::BROKERS.iter().position(|&broker| broker == self.server()).unwrap_or_default()
    }
}

/// Prepares the directory and says how to start the broker. A further one finds the first one's directory prepared.
pub(crate) fn prepare(
    options: &Options,
    java: &Java,
    programs: &Programs,
    node: Node,
    ports: &[u16],
) -> Result<Recipe, StackError> {
    let name = node.server().name();
    let dir = dir(options, node.server());
    let tmp = dir.join("tmp");
    fs::create_dir_all(&tmp).map_err(StackError::io("create", &tmp))?;
    let mut text = properties(options, node, ports);
    if node == Node::First {
        text.extend(options.kafka_proxy_tls.as_deref().map(secured));
    }
    for (name, text) in [(PROPERTIES, text), ("log4j2.properties", LOG4J.to_owned())] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(StackError::io("write", &path))?;
    }
    let log = options.dir.join("logs").join(name).with_extension("log");
    let arguments = |heap_mb: u32, rest: &[&str]| {
        let mut arguments = java::flags(128, heap_mb, &tmp);
        arguments.push("-Dlog4j2.configurationFile=log4j2.properties".to_owned());
        arguments.extend(["-cp".to_owned(), format!("{}/*", programs.kafka.display())]);
        arguments.extend(rest.iter().map(|&word| word.to_owned()));
        arguments
    };
    let archive = programs.archives.flag(Server::Kafka);
    let wanted = match node {
        Node::First => cluster_id().map_err(StackError::io("read", Path::new("/dev/urandom")))?,
        Node::Further { .. } => cluster_of(&dir_of_first(options))?.unwrap_or_default(),
    };
    let cluster_id = format(&dir, node.server(), &java.program, &log, wanted, |id| {
        // It needs a part of the broker's classes, and records none.
        let mut format_arguments =
            Vec::from_iter(archive.clone().filter(|_| matches!(programs.archives, Archives::Use(_))));
        format_arguments.extend(arguments(128, &["kafka.tools.StorageTool", "format", "-t", id, "-c", PROPERTIES]));
        format_arguments
    })?;
    let mut server_arguments = Vec::from_iter(archive);
    server_arguments.extend(arguments(options.kafka_heap_mb, &["kafka.Kafka", PROPERTIES]));
    Ok(Recipe {
        server: node.server(),
        program: java.program.clone(),
        arguments: server_arguments,
        working_dir: dir,
        user: None,
        log,
        ports: ports.to_vec(),
        probe: Probe::Kafka { port: port_at(ports, 0), cluster_id },
        stale_file: None,
    })
}

fn dir(options: &Options, server: Server) -> PathBuf {
    options.dir.join("data").join(server.name())
}

fn dir_of_first(options: &Options) -> PathBuf {
    dir(options, Server::Kafka)
}

fn port_at(ports: &[u16], index: usize) -> u16 {
    ports.get(index).copied().unwrap_or_default()
}

/// What is asked for that this crate does not do, before anything is made.
pub(crate) fn check(options: &Options) -> Result<(), StackError> {
    let refused = match options.kafka_brokers {
        1 if dir(options, Server::Kafka2).join(FORMATTED).exists() => {
            // Their topics want two replicas at least for every record.
            "this directory was begun with three brokers and cannot go on with one"
        }
        1 => return Ok(()),
        3 if options.kafka_proxy_port.is_some() => "a proxy stands in front of one broker, not of three",
        3 => return Ok(()),
        _ => "there are one or three brokers: with two none may go",
    };
    Err(StackError::Usage(refused.to_owned()))
}

/// The cluster that a directory was formatted for; none: it was not.
fn cluster_of(dir: &Path) -> Result<Option<String>, StackError> {
    let marker = dir.join(FORMATTED);
    match fs::read_to_string(&marker) {
        Ok(id) => Ok(Some(id.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StackError::io("read", &marker)(error)),
    }
}

/// Formats the directory for a cluster, once; the id that it has.
fn format(
    dir: &Path,
    server: Server,
    java: &Path,
    log: &Path,
    wanted: String,
    arguments: impl Fn(&str) -> Vec<String>,
) -> Result<String, StackError> {
    if let Some(id) = cluster_of(dir)? {
        return Ok(id);
    }
    let id = wanted;
    // Without the marker no broker ever ran here, so there is nothing to lose.
    let topics = dir.join(LOG_DIR);
    if topics.exists() {
        fs::remove_dir_all(&topics).map_err(StackError::io("remove", &topics))?;
    }
    let output = OpenOptions::new().create(true).append(true).open(log).map_err(StackError::io("open", log))?;
    let errors = output.try_clone().map_err(StackError::io("open", log))?;
    let mut command = tools::command(java);
    command.args(arguments(&id)).current_dir(dir).stdin(Stdio::null()).stdout(output).stderr(errors);
    let status = process::spawn(command, Bond::DiesWithOwner(libc::SIGKILL))
        .and_then(|mut child| child.wait())
        .map_err(StackError::io("run", java))?;
    if !status.success() {
        return Err(StackError::ServerFailed {
            server,
            detail: format!("its storage could not be formatted ({status})"),
            log: log.to_path_buf(),
            tail: server::tail(log),
        });
    }
    let marker = dir.join(FORMATTED);
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

/// How many ports a broker needs: for its clients, for its controller, and for those behind a proxy.
pub(crate) fn ports_wanted(options: &Options, server: Server) -> usize {
    match server {
        Server::Kafka if options.kafka_proxy_port.is_some() => 3,
        Server::Kafka => 2,
        _ => 1,
    }
}

/// The port of the controller among those of the first broker.
pub(crate) fn controller_port(ports: &[u16]) -> u16 {
    port_at(ports, 1)
}

/// `server.properties` for one node on a small machine.
fn properties(options: &Options, node: Node, ports: &[u16]) -> String {
    let port = port_at(ports, 0);
    let protocol = if options.kafka_proxy_tls.is_some() { "SASL_SSL" } else { "PLAINTEXT" };
    let (roles, controller_port, behind, advertised) = match node {
        Node::First => {
            let controller = controller_port(ports);
            let own = format!(",CONTROLLER://127.0.0.1:{controller}");
            // A port, and the proxy's port that clients who come in there are sent to.
            let proxied = |port: u16| format!("{own},PROXIED://127.0.0.1:{port}");
            let (behind, advertised) = match options.kafka_proxy_port {
                Some(proxy) => (proxied(port_at(ports, 2)), proxied(proxy)),
                None => (own.clone(), own),
            };
            ("broker,controller", controller, behind, advertised)
        }
        Node::Further { controller_port, .. } => ("broker", controller_port, String::new(), String::new()),
    };
    let id = node.id();
    let replicas = options.kafka_brokers;
    // Of three, two: one may go, and what was acknowledged is still there. Of one, one.
    let in_sync = replicas / 2 + 1;
    format!(
        "\
# Written at each start; changes are lost.
process.roles={roles}
node.id={id}
listeners=PLAINTEXT://127.0.0.1:{port}{behind}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:{protocol}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
# The voter is named here and not in the log (format --standalone): there its port would be fixed
# for ever, and the next start may need another one.
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={LOG_DIR}

# As many replicas as brokers, and leaders that have everything.
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
unclean.leader.election.enable=false
# Leaders go back to a broker that has returned within seconds; five minutes, the default, are longer than a test.
leader.imbalance.check.interval.seconds=5

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
        let mut options = Options::new("x");
        options.kafka_proxy_port = Some(20_003);
        options.kafka_proxy_tls = Some("/tls".into());
        let text = properties(&options, Node::First, &[20_000, 20_001, 20_002]);
        assert!(text.contains("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:SASL_SSL\n"));
        let added = secured(Path::new("/tls"));
        assert!(added.lines().all(|line| line.starts_with("listener.name.proxied.")), "{added}");
        assert!(added.contains("ssl.keystore.location=/tls/broker.pem\n"), "{added}");
    }

    fn map(text: &str) -> std::collections::BTreeMap<&str, &str> {
        let mut map = std::collections::BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (key, value) = line.split_once('=').expect("key=value");
            assert!(map.insert(key, value).is_none(), "{key} twice");
            assert!(!value.contains("0.0.0.0") && !value.contains("localhost"), "{line}");
        }
        map
    }

    #[test]
    fn the_properties_listen_on_this_machine_only_and_hold_each_key_once() {
        let mut options = Options::new("x");
        let two = "PLAINTEXT://127.0.0.1:20000,CONTROLLER://127.0.0.1:20001";
        let alone = properties(&options, Node::First, &[20_000, 20_001]);
        let alone = map(&alone);
        assert_eq!((alone["listeners"], alone["advertised.listeners"]), (two, two));
        assert_eq!((alone["default.replication.factor"], alone["min.insync.replicas"]), ("1", "1"));
        assert_eq!(alone["auto.create.topics.enable"], "false");
        assert_eq!(alone["message.max.bytes"], "3145728");
        options.kafka_proxy_port = Some(20_003);
        let proxied = properties(&options, Node::First, &[20_000, 20_001, 20_002]);
        let proxied = map(&proxied);
        assert_eq!(proxied["listeners"], format!("{two},PROXIED://127.0.0.1:20002"));
        assert_eq!(proxied["advertised.listeners"], format!("{two},PROXIED://127.0.0.1:20003"));
    }

    #[test]
    fn of_three_brokers_one_is_the_controller_and_two_have_every_record() {
        let mut options = Options::new("x");
        options.kafka_brokers = 3;
        let node = Node::Further { server: Server::Kafka3, controller_port: 20_001 };
        let third = properties(&options, node, &[20_009]);
        let third = map(&third);
        assert_eq!((third["process.roles"], third["node.id"]), ("broker", "3"));
        assert_eq!(third["listeners"], "PLAINTEXT://127.0.0.1:20009");
        assert_eq!(third["controller.quorum.voters"], "1@127.0.0.1:20001");
        for key in ["default.replication.factor", "offsets.topic.replication.factor"] {
            assert_eq!(third[key], "3");
        }
        for key in ["min.insync.replicas", "transaction.state.log.min.isr"] {
            assert_eq!(third[key], "2");
        }
        let first = properties(&options, Node::First, &[20_000, 20_001]);
        assert_eq!(map(&first)["controller.quorum.voters"], third["controller.quorum.voters"]);
    }

    #[test]
    fn two_brokers_a_proxy_before_three_and_one_after_three_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut options = Options::new(dir.path());
        let mut check = |brokers, proxy, expected| {
            options.kafka_brokers = brokers;
            options.kafka_proxy_port = proxy;
            assert_eq!(check(&options).map_err(|error| error.exit_code()), expected, "{brokers} {proxy:?}");
        };
        check(1, Some(1), Ok(()));
        check(3, None, Ok(()));
        check(3, Some(1), Err(2));
        check(2, None, Err(2));
        check(0, None, Err(2));
        fs::create_dir_all(dir.path().join("data/kafka-2")).expect("made");
        fs::write(dir.path().join("data/kafka-2").join(FORMATTED), "id").expect("written");
        check(1, None, Err(2));
        check(3, None, Ok(()));
    }
}
