//! The process on the wire: credentials, headers, and the faults that only a connection can have.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; nothing is left to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sisdmk-simulator"))
            .args(["--workers", "2000", "--started-at", "2026-11-23T00:00:00Z"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is piped");
        BufReader::new(out).read_line(&mut line).expect("it prints its address");
        let address = line.trim().strip_prefix("listening on http://").expect("its address");
        Self { address: address.parse().expect("an address"), child }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        stream
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    }

    fn ask(&self, request: &str) -> Answer {
        let mut whole = Vec::new();
        self.send(request).read_to_end(&mut whole).expect("it answers");
        answer(&whole)
    }

    fn get(&self, target: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"))
    }

    fn post(&self, target: &str, body: &str) -> Answer {
        let bytes = body.len();
        self.ask(&format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n{body}"
        ))
    }
}

fn answer(whole: &[u8]) -> Answer {
    let end = whole.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(whole[..end].to_vec()).expect("text");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    let mut answer = Answer { status, head, body: whole[end + 4..].to_vec() };
    if answer.header("Transfer-Encoding") == Some("chunked") {
        answer.body = joined(&answer.body);
    }
    answer
}

/// The chunks of a body, joined.
fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|it| it == b"\r\n").expect("a size");
        let size = std::str::from_utf8(&rest[..end]).expect("a size");
        let bytes = usize::from_str_radix(size, 16).expect("a size in hex");
        if bytes == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + bytes]);
        rest = &rest[end + 2 + bytes + 2..];
    }
}

fn file(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("a file can be written");
    path.to_str().expect("a path of text").to_owned()
}

#[test]
fn only_the_token_of_the_file_gets_in_and_a_new_file_counts_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = file(directory.path(), "token", "satu\n");
    let server = Server::start(&["--token-file", &token]);
    let status = |headers: &str| server.get("/rest/sdmk?kdprov=32", headers).status;
    assert_eq!(status("Authorization: Bearer satu\r\n"), 200);
    assert_eq!(server.get("/rest/sdmk?kdprov=32&token=satu", "").status, 200);
    for refused in ["", "Authorization: Bearer dua\r\n", "Authorization: Bearer \r\n", "Authorization: satu\r\n"] {
        assert_eq!(status(refused), 401, "{refused:?}");
    }
    file(directory.path(), "token", "dua");
    assert_eq!(status("Authorization: Bearer satu\r\n"), 401);
    assert_eq!(status("Authorization: Bearer dua\r\n"), 200);
    assert_eq!(server.post("/rest/login_ws", "username=a&password=b").status, 401);
}

#[test]
fn a_login_gives_a_token_until_it_is_revoked() {
    let directory = tempfile::tempdir().expect("a directory");
    let password = file(directory.path(), "password", "rahasia&lama\n");
    let secret = file(directory.path(), "secret", "kunci");
    let server = Server::start(&[
        "--username",
        "dinkes",
        "--password-file",
        &password,
        "--client-id",
        "klien",
        "--client-secret-file",
        &secret,
    ]);
    assert_eq!(server.post("/rest/login_ws", "username=dinkes&password=salah").status, 401);
    let token = server.post("/rest/login_ws", "username=dinkes&password=rahasia%26lama").json();
    let token = token["token"].as_str().expect("a token");
    let target = format!("/rest/biodata?kdfasyankes=P1101000001&token={token}");
    assert_eq!(server.get(&target, "").json()["status"], 200);
    let access = "/oauth2/v1/accesstoken?grant_type=client_credentials";
    assert_eq!(server.post(access, "client_id=klien&client_secret=lain").status, 401);
    assert_eq!(server.post("/oauth2/v1/accesstoken", "client_id=klien&client_secret=kunci").status, 400);
    let issued = server.post(access, "client_id=klien&client_secret=kunci").json();
    let bearer = format!("Authorization: Bearer {}\r\n", issued["access_token"].as_str().expect("a token"));
    assert_eq!(issued["expires_in"], 3_600);
    assert_eq!(server.get("/rest/sdmk?kdprov=32", &bearer).status, 200);
    let listed = server.get("/rest/fasyankes", &bearer).json();
    let control = String::from_utf8(server.get("/_control/facilities", "").body).expect("text");
    let control: Vec<Value> = control.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let codes: Vec<&Value> = listed["data"].as_array().expect("a list").iter().map(|entry| &entry["KODE"]).collect();
    assert_eq!((codes.len() > 500, codes), (true, control.iter().collect()));
    assert_eq!(server.post("/_control/tokens/revoke", "").json()["revoked"], 2);
    assert_eq!(server.get("/rest/sdmk?kdprov=32", &bearer).status, 401);
    assert_eq!(server.get(&target, "").status, 401);
    let log = String::from_utf8(server.get("/_control/requests", "").body).expect("text");
    assert_eq!(log.lines().count(), 10);
    assert!(log.contains("token=***") && !log.contains("issued-") && !log.contains("rahasia"));
    assert!(token.starts_with("issued-"));
}

#[test]
fn ids_of_requests_come_back_and_stand_in_the_log() {
    let server = Server::start(&["--token-any"]);
    let id = "0192f0c1-0000-7000-8000-000000000001";
    let parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
    let headers = format!("Authorization: Bearer t\r\nX-Request-ID: {id}\r\nTraceparent: {parent}\r\n");
    let answer = server.get("/rest/sdmk?kdkab=3273&limit=2", &headers);
    assert_eq!(answer.header("X-Request-ID"), Some(id));
    assert!(answer.header("Date").is_some_and(|it| it.ends_with(" GMT")));
    let rows = answer.json()["data"].as_array().map(Vec::len);
    assert_eq!(rows, Some(2));
    let given = server.get("/_control/summary", "");
    assert!(given.header("X-Request-ID").is_some_and(|it| it.len() == 36));
    let log = server.get("/_control/requests", "").json();
    assert_eq!((log["x_request_id"].as_str(), log["traceparent"].as_str()), (Some(id), Some(parent)));
    assert_eq!((log["status"].as_u64(), log["rows"].as_u64()), (Some(200), Some(2)));
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let server = Server::start(&["--token-any"]);
    let request = "GET /_control/summary HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /_control/truth/persons HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut whole = Vec::new();
    server.send(&format!("{request}{request}{last}")).read_to_end(&mut whole).expect("it answers");
    let text = String::from_utf8(whole).expect("text");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
    assert!(text.ends_with("0\r\n\r\n"));
    assert_eq!(server.ask("nonsense\r\n\r\n").status, 400);
}

#[test]
fn answers_are_compressed_for_those_who_accept_it() {
    let server = Server::start(&["--token-any", "--gzip"]);
    let plain = server.get("/rest/sdmk?kdprov=32&token=t", "");
    let packed = server.get("/rest/sdmk?kdprov=32&token=t", "Accept-Encoding: gzip, br\r\n");
    assert_eq!((plain.header("Content-Encoding"), packed.header("Content-Encoding")), (None, Some("gzip")));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).expect("gzip");
    assert!(unpacked == plain.body && packed.body.len() < plain.body.len() / 2);
}

#[test]
fn the_wire_breaks_as_it_is_told() {
    let server = Server::start(&["--token-any"]);
    let request = "GET /rest/sdmk?kdprov=32&token=t HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let fault = |text: &str| assert_eq!(server.post("/_control/faults", text).status, 200);
    let whole = server.ask(request);

    fault(r#"[{"kind":"cut_body","after_bytes":50}]"#);
    let cut = server.ask(request);
    assert_eq!((cut.body.len(), cut.header("Content-Length")), (50, whole.header("Content-Length")));

    fault(r#"[{"kind":"reset"}]"#);
    let error = server.send(request).read(&mut [0; 1]).expect_err("the connection is reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    fault(r#"[{"kind":"timeout"}]"#);
    let mut stream = server.send(request);
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout can be set");
    let error = stream.read(&mut [0; 1]).expect_err("no answer");
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
    fault(r#"[{"kind":"timeout","delay_ms":1}]"#);
    assert_eq!(server.send(request).read(&mut [0; 1]).expect("it closes"), 0, "it closes without an answer");

    fault(r#"[{"kind":"slow","delay_ms":2000,"trickle_ms":60}]"#);
    let mut stream = server.send(request);
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout can be set");
    assert!(stream.read(&mut [0; 1]).is_err(), "no answer yet");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
    let mut slow = Vec::new();
    stream.read_to_end(&mut slow).expect("it answers");
    assert!(answer(&slow).body == whole.body);

    assert!(server.ask(request).body == whole.body);
}

#[test]
fn two_processes_with_one_seed_give_the_same_bytes() {
    let (one, two) = (Server::start(&["--token-any"]), Server::start(&["--token-any"]));
    for target in ["/rest/sdmk?kdprov=35&token=t", "/_control/truth/persons"] {
        assert!(one.get(target, "").body == two.get(target, "").body, "{target}");
    }
}

#[test]
fn options_that_do_not_work_end_with_2() {
    for arguments in [&[][..], &["--token-file", "/nonexistent/token"], &["--token-any", "--bad-share", "7"]] {
        let ended = Command::new(env!("CARGO_BIN_EXE_sisdmk-simulator"))
            .args(arguments)
            .stderr(Stdio::null())
            .status()
            .expect("the simulator starts");
        assert_eq!(ended.code(), Some(2), "{arguments:?}");
    }
}
