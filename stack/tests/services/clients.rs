//! The smallest clients that can tell whether data are there. They speak for themselves, so that
//! a mistake in the probes of the library cannot hide here.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use stack::Stack;

/// Creates a topic with one partition.
pub(crate) fn create_topic(stack: &Stack, name: &str) {
    let mut body = 1_i32.to_be_bytes().to_vec();
    put_string(&mut body, name);
    body.extend(1_i32.to_be_bytes()); // partitions
    body.extend(1_i16.to_be_bytes()); // replicas
    body.extend(0_i32.to_be_bytes()); // assignments
    body.extend(0_i32.to_be_bytes()); // configuration
    body.extend(30_000_i32.to_be_bytes()); // deadline
    body.push(0); // not only to validate
    let answer = kafka(stack, 19, 2, &body).expect("the broker answers");
    // Correlation id, throttle time, count, name, error code.
    let code = answer.get(14 + name.len()..16 + name.len()).expect("an error code");
    assert_eq!(code, [0, 0], "topic {name}");
}

/// Whether the broker knows a topic.
pub(crate) fn has_topic(stack: &Stack, name: &str) -> bool {
    // All topics, create none.
    let body = [0xff, 0xff, 0xff, 0xff, 0];
    kafka(stack, 3, 4, &body).is_some_and(|answer| answer.windows(name.len()).any(|window| window == name.as_bytes()))
}

fn kafka(stack: &Stack, key: i16, version: i16, body: &[u8]) -> Option<Vec<u8>> {
    let mut request = key.to_be_bytes().to_vec();
    request.extend(version.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    put_string(&mut request, "test");
    request.extend(body);
    let length = u32::try_from(request.len()).expect("a short request");
    let mut stream = TcpStream::connect(stack.bootstrap_servers()).ok()?;
    stream.write_all(&length.to_be_bytes()).ok()?;
    stream.write_all(&request).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("fits")];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(i16::try_from(text.len()).expect("short").to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// One request to the registry: status and body.
pub(crate) fn registry(stack: &Stack, method: &str, path: &str, body: &str) -> (u16, String) {
    let url = stack.registry_url();
    let (address, root) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("an URL");
    let mut stream = TcpStream::connect(address).expect("the registry listens");
    let length = body.len();
    write!(
        stream,
        "{method} /{root}{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.get(9..12).and_then(|code| code.parse().ok()).expect("a status");
    (status, answer)
}

/// The output of `psql`, or what it complained of.
pub(crate) fn psql(stack: &Stack, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args([&stack.postgres_url(), "-w", "-X", "-q", "-A", "-t", "-c", sql])
        .env("PGPASSFILE", stack.postgres_passfile())
        .env("PGCONNECT_TIMEOUT", "5")
        .output()
        .expect("psql runs");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
