//! The edge against a server that answers with scripted bytes: what a well-behaved HTTP library would
//! never send.

mod auth;
mod drive;
mod lies;
mod listed;
mod peak;
mod third;
mod tls;

use super::link::{Pace, retry_after};
use super::*;
use crate::profile::Profile;
use crate::region::Region;
use platform::settings::Settings;
use reqwest::header::{HeaderValue, RETRY_AFTER};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

const PROFILE: &str = include_str!("../../../profiles/sdmk-modified.toml");
const TOKEN: &str = "hunter22-token";

/// What the server does with one connection.
#[derive(Clone)]
enum Script {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Sends these bytes and keeps the connection open without another one.
    Hang(Vec<u8>),
    /// Sends `head` and then the same piece again and again, as long as somebody reads.
    Drip { head: Vec<u8>, piece: Vec<u8>, pause: Duration },
}

/// A byte now and then, never a whole head.
fn drip() -> Script {
    Script::Drip { head: Vec::new(), piece: b"H".to_vec(), pause: Duration::from_millis(5) }
}

/// Serves one script a connection, in order, and hands out each request: its head and, with a length, its body. On a
/// thread of its own, so that what it holds is not taken for what the reader holds.
fn serve(scripts: Vec<Script>) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a mode");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (heads, received) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let mut connections = tokio::task::JoinSet::new();
            for script in scripts {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(play(script, stream, heads.clone()));
            }
            // Nobody listens any more.
            drop((listener, heads));
            connections.join_all().await;
        });
    });
    (address, received)
}

/// One connection.
async fn play(script: Script, mut stream: TcpStream, heads: mpsc::UnboundedSender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8(head.clone()).expect("text").to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().expect("a length"))];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    head.extend_from_slice(&body);
    let _ = heads.send(String::from_utf8(head).expect("text"));
    match script {
        Script::Send(bytes) => drop(stream.write_all(&bytes).await),
        Script::Hang(bytes) => {
            drop(stream.write_all(&bytes).await);
            let _ = stream.read_u8().await;
        }
        Script::Drip { head, piece, pause } => {
            if stream.write_all(&head).await.is_err() {
                return;
            }
            while stream.write_all(&piece).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn secret(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    path.to_str().expect("text").to_owned()
}

/// The source at this address. The folder holds the secrets.
fn source(address: &str, folder: &Path, more: &[(&str, &str)]) -> Sisdmk {
    Sisdmk::new(&configured(address, folder, more), None).expect("a source")
}

fn configured(address: &str, folder: &Path, more: &[(&str, &str)]) -> Config {
    let (token, key) = (secret(folder, "token", TOKEN), secret(folder, "key", "a key of invented people"));
    let mut pairs = vec![
        ("kafka.bootstrap_servers", "127.0.0.1:1"),
        ("registry.url", "http://127.0.0.1:1"),
        ("source.base_url", address),
        ("source.token_file", &token),
        ("identity.hmac_key_file", &key),
        ("security.allow_plaintext", "true"),
        ("source.request_timeout", "2s"),
        ("source.body_bytes_max", "64KiB"),
        ("source.requests_per_second", "1000"),
    ];
    pairs.extend_from_slice(more);
    Config::new(&Settings::from_pairs(pairs).expect("settings")).expect("a configuration")
}

fn ask() -> Ask {
    let at = |text| Timestamp::parse_rfc3339(text);
    Ask {
        region: Region::parse("32.73").expect("a code"),
        since: at("2026-11-20T08:15:30+07:00"),
        until: None,
        page: 2,
        limit: Some(100),
        cursor: None,
    }
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

const GOOD: &str =
    r#"{"status":200,"message":"OK","totalRowCount":101,"page":2,"limit":100,"data":[{"NIK":"3273015705900004"}]}"#;

async fn one(script: Script) -> Answer {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, _heads) = serve(vec![script]);
    source(&address, folder.path(), &[]).fetch(&ask(), &TraceContext::new_root()).await
}

#[tokio::test]
async fn a_request_says_what_is_wanted_and_who_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, mut heads) =
        serve(vec![Script::Send(answer("200 OK\r\ndate: Sun, 22 Nov 2026 08:49:37 GMT", GOOD.as_bytes()))]);
    let trace = TraceContext::new_root();
    let sisdmk = source(&address, folder.path(), &[]);
    let answer = sisdmk.fetch(&ask(), &trace).await;
    let head = heads.recv().await.expect("a request").to_ascii_lowercase();
    let line =
        "get /rest/sdmk?kdkab=3273&startmodifiedat=2026-11-20t01%3a15%3a30.000000z&page=2&limit=100 http/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
    assert!(head.contains(&format!("authorization: bearer {TOKEN}\r\n")));
    assert!(head.contains(&format!("x-request-id: {}\r\n", answer.request_id)));
    assert!(head.contains(&format!("traceparent: {}\r\n", trace.traceparent())));
    assert_eq!(answer.request_id.get_version_num(), 7);
    let arrived = answer.outcome.expect("a page");
    assert_eq!((arrived.total, arrived.page.len(), answer.code.as_str()), (Some(101), 1, "200"));
    assert_eq!(arrived.page.origin.traceparent, trace.traceparent());
}

#[tokio::test]
async fn each_fault_has_its_kind_and_its_word() {
    use FaultKind::{Auth, Format, Unreachable};
    let check = async |script: Script, kind: FaultKind, code: &str| {
        let fault = one(script).await.outcome.expect_err(code);
        assert_eq!((fault.kind, fault.code), (kind, code));
    };
    let send = |head: &str, body: &str| Script::Send(answer(head, body.as_bytes()));
    check(send("401 Unauthorized", ""), Auth, "http_401").await;
    check(send("403 Forbidden", "{}"), Auth, "http_403").await;
    check(send("200 OK", r#"{"status":401}"#), Auth, "in_body_auth").await;
    check(send("500 Oops", ""), Unreachable, "http_5xx").await;
    check(send("429 Slow", ""), Unreachable, "http_429").await;
    check(send("404 Not Found", ""), Unreachable, "http_4xx").await;
    check(send("204 No Content", ""), Unreachable, "http_other").await;
    check(send("302 Found\r\nlocation: http://127.0.0.2:1/elsewhere", ""), Unreachable, "http_redirect").await;
    check(send("200 OK", r#"{"status":500}"#), Unreachable, "in_body_failure").await;
    check(send("200 OK", ""), Unreachable, "empty_body").await;
    check(send("200 OK\r\ncontent-type: text/html", "<html>"), Format, "html").await;
    check(send("200 OK", r#"{"status":200}"#), Format, "total_missing").await;
    // Announced longer than it is: the connection ends within the body.
    let mut cut = answer("200 OK", GOOD.as_bytes());
    cut.truncate(cut.len() - 10);
    check(Script::Send(cut), Unreachable, "cut_body").await;
    // Whole as HTTP, cut as JSON.
    check(send("200 OK", GOOD.get(..GOOD.len() - 10).expect("a piece")), Unreachable, "cut_body").await;
    check(Script::Send(b"garbage\r\n\r\n".to_vec()), Unreachable, "network").await;
    check(Script::Send(Vec::new()), Unreachable, "network").await;
}

#[tokio::test]
async fn an_answer_of_another_shape_comes_with_its_bytes() {
    let answer = one(Script::Send(answer("200 OK", b"<html>maintenance</html>"))).await;
    assert_eq!(answer.odd_body.as_deref(), Some(b"<html>maintenance</html>".as_slice()));
}

#[tokio::test]
async fn time_and_size_are_bounded() {
    let check = async |script: Script, code: &str| {
        let fault = one(script).await.outcome.expect_err(code);
        assert_eq!((fault.kind, fault.code), (FaultKind::Unreachable, code));
    };
    check(Script::Hang(Vec::new()), "timeout").await;
    check(Script::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()), "timeout").await;
    check(drip(), "timeout").await;
    // Announced as too large, and too large without a word.
    check(Script::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{".to_vec()), "body_too_large").await;
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.extend_from_slice(&[b' '; 100_000]);
    check(Script::Hang(endless), "body_too_large").await;
    // Small as sent, too large unpacked.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&vec![b' '; 10_000_000]).expect("packed");
    let packed = packer.finish().expect("packed");
    assert!(packed.len() < 64 * 1024);
    check(Script::Send(answer("200 OK\r\ncontent-encoding: gzip", &packed)), "body_too_large").await;
}

#[tokio::test]
async fn a_packed_answer_is_unpacked() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(GOOD.as_bytes()).expect("packed");
    let packed = packer.finish().expect("packed");
    let arrived = one(Script::Send(answer("200 OK\r\ncontent-encoding: gzip", &packed))).await.outcome.expect("a page");
    assert_eq!(
        arrived.page.records().map(|(_, record)| record).collect::<Vec<_>>(),
        [br#"{"NIK":"3273015705900004"}"#]
    );
}

#[tokio::test]
async fn a_token_never_leaves_its_origin_and_never_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = PROFILE.replace("carry = \"header\"", "carry = \"query\"\nquery_name = \"token\"");
    assert!(Profile::parse(&profile).is_ok());
    let path = folder.path().join("profile.toml");
    std::fs::write(&path, profile).expect("a profile");
    // Wherever the source sends us, here to another port of this machine, the token does not follow.
    let (elsewhere, mut heads_elsewhere) = serve(vec![Script::Send(answer("200 OK", GOOD.as_bytes()))]);
    let (address, mut heads) =
        serve(vec![Script::Send(answer(&format!("307 Moved\r\nlocation: {elsewhere}/rest/sdmk?token={TOKEN}"), b""))]);
    let sisdmk = source(&address, folder.path(), &[("source.profile", path.to_str().expect("text"))]);
    let answer = sisdmk.fetch(&ask(), &TraceContext::new_root()).await;
    assert_eq!(answer.outcome.as_ref().expect_err("refused").code, "http_redirect");
    assert!(heads.recv().await.expect("a request").contains(TOKEN), "the profile wants it in the query");
    assert!(heads_elsewhere.try_recv().is_err(), "nobody else was asked");
    let refused = sisdmk.fetch(&ask(), &TraceContext::new_root()).await;
    for shown in [format!("{sisdmk:?}"), format!("{answer:?}"), format!("{refused:?}")] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    assert_eq!(refused.outcome.expect_err("nobody listens").kind, FaultKind::Unreachable);
}

#[tokio::test]
async fn another_token_is_taken_up_when_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, mut heads) = serve(vec![Script::Send(answer("200 OK", GOOD.as_bytes())); 2]);
    let sisdmk = source(&address, folder.path(), &[]);
    let mark = sisdmk.credential_mark();
    assert!(!sisdmk.renew_token().expect("a token") && !sisdmk.is_another_credential(&mark));
    secret(folder.path(), "token", "another");
    assert!(sisdmk.is_another_credential(&mark));
    sisdmk.fetch(&ask(), &TraceContext::new_root()).await;
    assert!(sisdmk.renew_token().expect("a token") && sisdmk.is_another_credential(&mark));
    assert!(!sisdmk.is_another_credential(&sisdmk.credential_mark()));
    sisdmk.fetch(&ask(), &TraceContext::new_root()).await;
    assert!(heads.recv().await.expect("a request").contains(TOKEN));
    assert!(heads.recv().await.expect("a request").contains("Bearer another\r\n"));
}

#[test]
fn the_wish_to_wait_is_understood_in_both_forms() {
    let now = http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
    let check = |text: &str, wanted: Option<u64>| {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).expect("a value"))]);
        assert_eq!(retry_after(&headers, now), wanted.map(Duration::from_secs), "{text}");
    };
    check("30", Some(30));
    check(" 0 ", Some(0));
    check("86400", Some(86_400));
    check("99999999999999999999", Some(u64::MAX));
    check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
    for none in ["", "-5", "abc", "1.5", "Sun, 06 Nov 1994 08:48:37 GMT", "Sun, 06 Nov 1994 08:50:37 +0000"] {
        check(none, None);
    }
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[test]
fn the_source_s_clock_is_believed_within_a_day() {
    let at = |text: &str| Timestamp::parse_rfc3339(text).expect("a time");
    let host = at("2026-11-23T00:00:10.5Z");
    let check = |date: Option<&str>, wanted: Timestamp, apart: Option<Duration>| {
        let value = date.map(|date| (DATE, HeaderValue::from_str(date).expect("a value")));
        assert_eq!(source_time(&HeaderMap::from_iter(value), host), (wanted, apart), "{date:?}");
    };
    let half = Duration::from_millis(500);
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    check(Some("Mon, 23 Nov 2026 00:00:10 GMT"), at("2026-11-23T00:00:10Z"), Some(half));
    check(Some("Mon, 23 Nov 2026 02:00:10 GMT"), at("2026-11-23T02:00:10Z"), Some(hours(2) - half));
    check(Some("Sun, 22 Nov 2026 22:00:10 GMT"), at("2026-11-22T22:00:10Z"), Some(hours(2) + half));
    check(Some("Wed, 25 Nov 2026 00:00:10 GMT"), host, Some(hours(48) - half));
    check(Some("tomorrow"), host, None);
    check(None, host, None);
}

#[test]
fn the_time_of_giving_out_never_goes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let sisdmk = source("http://127.0.0.1:1", folder.path(), &[]);
    for (source_time, given) in [(5, 5), (3, 5), (7, 7), (7, 7), (1, 7)] {
        assert_eq!(sisdmk.fetched_at(Timestamp(source_time)), Timestamp(given));
    }
}

#[test]
fn requests_are_spread_over_time() {
    let start = Instant::now();
    let pace = Pace { interval: Duration::from_millis(100), next: Mutex::new(None) };
    let taken: Vec<u128> = (0..4).map(|_| pace.take(start).duration_since(start).as_millis()).collect();
    assert_eq!(taken, [0, 100, 200, 300]);
    let late = start + Duration::from_secs(5);
    assert_eq!(pace.take(late), late);
}
