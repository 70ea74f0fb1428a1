//! Whether a server really answers: one question in its own protocol.
//!
//! A port that accepts connections proves little: all servers open theirs before they can
//! do their work.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::tools;

/// An answer that takes longer counts as none; the question is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// More is no answer to these questions.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The question that a server answers when it is ready.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// Metadata from the broker of this cluster: it lists itself once it is no longer fenced.
    Kafka { port: u16, cluster_id: String },
    /// `GET` of a path, answered with 200.
    Http { port: u16, path: &'static str },
    /// `select 1` as the owner, in the product's database.
    Postgres {
        port: u16,
        /// Directory of `pg_isready` and `psql`.
        programs: PathBuf,
        passfile: PathBuf,
        role: &'static str,
        database: &'static str,
    },
}

impl Probe {
    /// Asks once; the error says in a few words what came instead.
    pub(crate) fn ask(&self) -> Result<(), String> {
        match self {
            Self::Kafka { port, cluster_id } => kafka(*port, cluster_id),
            Self::Http { port, path } => http(*port, path),
            Self::Postgres { port, programs, passfile, role, database } => {
                // Cheap, and without a line in the server's log before it listens.
                drop(connect(*port)?);
                let run = |program: &str, arguments: &[&str]| {
                    let mut command = tools::command(&programs.join(program));
                    command
                        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
                        .args(["-U", role, "-d", database])
                        .args(arguments)
                        .env("PGPASSFILE", passfile)
                        .env("PGCONNECT_TIMEOUT", ANSWER_TIMEOUT.as_secs().to_string())
                        .stdin(Stdio::null());
                    let output = command.output().map_err(|error| error.to_string())?;
                    if output.status.success() {
                        return Ok(());
                    }
                    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
                    let _ = write!(said, " {}", String::from_utf8_lossy(&output.stderr));
                    Err(said.trim().to_owned())
                };
                run("pg_isready", &[])?;
                run("psql", &["-w", "-q", "-X", "-c", "select 1"])
            }
        }
    }
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).map_err(|e| e.to_string())?;
    stream
        .set_read_timeout(Some(ANSWER_TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(ANSWER_TIMEOUT)))
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

fn http(port: u16, path: &str) -> Result<(), String> {
    let mut stream = connect(port)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut line = [0; 12];
    stream.read_exact(&mut line).map_err(|error| error.to_string())?;
    match &line {
        b"HTTP/1.1 200" => Ok(()),
        other => Err(String::from_utf8_lossy(other).into_owned()),
    }
}

fn kafka(port: u16, cluster_id: &str) -> Result<(), String> {
    let mut stream = connect(port)?;
    stream.write_all(&METADATA_REQUEST).map_err(|error| error.to_string())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(|error| error.to_string())?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Err(format!("an answer of {length} bytes is not Kafka's"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).map_err(|error| error.to_string())?;
    match broker_lists_itself(&answer, port, cluster_id) {
        Some(true) => Ok(()),
        Some(false) => Err("the broker does not list itself yet".to_owned()),
        None => Err("the answer is not Kafka's".to_owned()),
    }
}

/// Metadata request, version 4 (the newest without tagged fields is 8): no topics, create none.
const METADATA_REQUEST: [u8; 20] = [
    0, 0, 0, 16, // length of the rest
    0, 3, 0, 4, // API key Metadata, version 4
    0, 0, 0, 1, // correlation id
    0, 1, b's', // client id
    0, 0, 0, 0, // topics: an empty array is none, null would be all
    0, // do not create topics
];

/// Whether a metadata answer comes from this cluster and holds a broker at this port; `None` when
/// it is not such an answer.
fn broker_lists_itself(answer: &[u8], port: u16, cluster_id: &str) -> Option<bool> {
    let mut rest = Bytes(answer);
    rest.i32()?; // correlation id
    rest.i32()?; // throttle time
    let brokers = rest.i32()?;
    let mut listed = false;
    for _ in 0..brokers {
        rest.i32()?; // node id
        rest.string()?; // host
        listed |= rest.i32()? == i32::from(port);
        rest.string()?; // rack
    }
    let cluster = rest.string()?;
    Some(listed && cluster == cluster_id.as_bytes())
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A string with its length in front; null reads as empty.
    fn string(&mut self) -> Option<&'a [u8]> {
        let length = i16::from_be_bytes(self.take(2)?.try_into().ok()?);
        self.take(usize::try_from(length.max(0)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(brokers: &[i32], cluster: &str) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 1, 0, 0, 0, 0];
        bytes.extend(i32::try_from(brokers.len()).expect("few").to_be_bytes());
        for port in brokers {
            bytes.extend([0, 0, 0, 1, 0, 1, b'h']);
            bytes.extend(port.to_be_bytes());
            bytes.extend([0xff, 0xff]); // no rack
        }
        bytes.extend(i16::try_from(cluster.len()).expect("short").to_be_bytes());
        bytes.extend(cluster.as_bytes());
        bytes
    }

    #[test]
    fn a_broker_is_ready_when_its_own_cluster_lists_its_port() {
        let check = |brokers: &[i32], cluster, expected| {
            let bytes = answer(brokers, cluster);
            assert_eq!(broker_lists_itself(&bytes, 20_000, "abc"), expected);
        };
        check(&[20_000], "abc", Some(true));
        check(&[20_001, 20_000], "abc", Some(true));
        check(&[], "abc", Some(false)); // fenced
        check(&[20_001], "abc", Some(false));
        check(&[20_000], "other", Some(false)); // somebody else's broker on our port
    }

    #[test]
    fn bytes_that_are_cut_or_foreign_are_no_answer() {
        let whole = answer(&[20_000], "abc");
        for length in 0..whole.len() {
            let cut = whole.get(..length).expect("shorter");
            assert_eq!(broker_lists_itself(cut, 20_000, "abc"), None, "{length}");
        }
        assert_eq!(broker_lists_itself(b"HTTP/1.1 400 Bad Request", 1, "a"), None);
    }

    #[test]
    fn the_request_names_its_own_length() {
        assert_eq!(METADATA_REQUEST.len(), 4 + 16);
    }
}
