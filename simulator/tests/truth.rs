//! Goal: what the simulator says about its records by construction is what the rules say about them by reading.
//! Method: the simulator runs as a process, every province is pulled page by page as a producer would, each record is
//! judged, and the verdict is compared in every field with the simulator's truth. Only this test knows both: the
//! simulator itself uses no other crate of the workspace, and nothing of the rules.

#[path = "../../rules/tests/agreement/verdict.rs"]
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rules::{Code, Rules, wilayah};
use schemas::Timestamp;
use schemas::json::{elements, members};
use schemas::layout::{Layout, shipped};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Codes that no source can earn alone: they are about headers, keys, topics and tables.
const OF_STAGES: [Code; 5] =
    [Code::HeaderMissing, Code::IdentityMismatch, Code::RecordTooLarge, Code::FrameUndecodable, Code::RowRefused];
/// What the truth adds to the record: the key's and the tables' business.
const NOT_JUDGED: [&str; 2] = ["person_id", "wilayah_versi"];

struct Simulator {
    child: Child,
    address: String,
}

impl Simulator {
    fn start(more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sisdmk-simulator"))
            .args(["--token-any", "--workers", "6000", "--bad-share", "0.2"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on http://").expect("an address").to_owned();
        Self { child, address }
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out can be set");
        let head = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer t\r\n\r\n";
        stream.write_all(format!("GET {path} {head}").as_bytes()).expect("it reads");
        let mut whole = Vec::new();
        stream.read_to_end(&mut whole).expect("it answers");
        let end = whole.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
        let (head, body) = (String::from_utf8_lossy(&whole[..end]).to_lowercase(), &whole[end + 4..]);
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        if head.contains("transfer-encoding: chunked") { joined(body) } else { body.to_vec() }
    }

    fn lines(&self, path: &str) -> Vec<Value> {
        let body = self.get(path);
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
    }

    /// Every record, as its bytes.
    fn pull(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for row in wilayah::rows().iter().filter(|row| row.induk.is_none()) {
            for page in 1.. {
                let body = self.get(&format!("/rest/sdmk?kdprov={}&page={page}&limit=100", row.kode));
                let data = members(&body).map(|member| member.expect("a page")).find(|member| member.name == "data");
                let found = elements(data.expect("data").value).map(|record| record.expect("a record").to_vec());
                let before = records.len();
                records.extend(found);
                if records.len() == before {
                    break;
                }
            }
        }
        records
    }
}

/// The chunks of a body: each its length in hexadecimal, a line end, the bytes, a line end.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|it| it == b"\r\n").expect("a chunk's length");
        let length = std::str::from_utf8(&body[..line]).expect("digits");
        let length = usize::from_str_radix(length, 16).expect("hexadecimal");
        let (chunk, rest) = body[line + 2..].split_at(length);
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(chunk);
        body = &rest[2..];
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As a verdict tells it: nulls left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let there = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

fn truths(simulator: &Simulator) -> BTreeMap<String, Value> {
    let persons = simulator.lines("/_control/truth/persons").into_iter().map(|person| {
        let Value::Object(mut person) = without_nulls(person) else { panic!("an object") };
        person.retain(|key, _| !NOT_JUDGED.contains(&key.as_str()));
        (person["nik"].as_str().expect("a NIK").to_owned(), Value::Object(person))
    });
    persons.collect()
}

fn codes(letter: &Map<String, Value>, key: &str) -> BTreeSet<String> {
    let codes = letter[key].as_array().expect("a list").iter();
    codes.map(|code| code.as_str().expect("a text").split('@').next().unwrap_or_default().to_owned()).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator's stamps lie before the host's clock, which is \"now\" for the rules"
)]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(i64::try_from(since.as_micros()).expect("before the year 292277"))
}

/// Judges everything of one simulator; the codes that were met.
fn check(more: &[&str], declare: impl Fn(&str) -> String) -> BTreeSet<String> {
    let simulator = Simulator::start(more);
    let profile = declare(shipped("sdmk-modified").expect("it ships"));
    let layout = Layout::from_profile_toml(&profile).expect("a good profile");
    let rules = Rules::new(layout, &BTreeMap::new()).expect("a good profile");
    let records = simulator.pull();
    let fetched_at = now();
    assert_eq!(records.len(), 6_000);
    let mut persons = truths(&simulator);
    let letters: BTreeMap<String, Map<String, Value>> = simulator
        .lines("/_control/truth/dead-letters")
        .into_iter()
        .map(|letter| {
            let Value::Object(letter) = letter else { panic!("an object") };
            (letter["sha256"].as_str().expect("a digest").to_owned(), letter)
        })
        .collect();
    let mut met = BTreeSet::new();
    for record in &records {
        let digest: String = Sha256::digest(record).iter().map(|byte| format!("{byte:02x}")).collect();
        let Value::Object(mut told) = verdict::told(record, fetched_at, &rules) else { panic!("an object") };
        let shown = String::from_utf8_lossy(record);
        match letters.get(&digest) {
            Some(letter) => {
                assert_eq!(told["verdict"], "rejected", "{letter:?}: {shown}");
                let found = codes(&told, "reasons");
                assert_eq!(found, codes(letter, "codes"), "{shown}");
                met.extend(found);
            }
            None => {
                assert_eq!(told.remove("verdict"), Some("clean".into()), "{told:?}: {shown}");
                met.extend(codes(&told, "warnings"));
                let truth = persons.remove(told["nik"].as_str().expect("a NIK")).expect("the truth knows everybody");
                assert_eq!(Value::Object(told), truth, "{shown}");
            }
        }
    }
    assert!(persons.is_empty(), "{} persons were not given out", persons.len());
    met
}

#[test]
fn the_rules_and_the_simulators_truth_agree_about_every_record_and_every_reason() {
    let mut met = BTreeSet::new();
    for (seed, system) in [("11", "kemendagri-2025"), ("12", "kemendagri-2022"), ("13", "bps-2023")] {
        let declare = |profile: &str| profile.replace("\"kemendagri-2025\"", &format!("\"{system}\""));
        met.extend(check(&["--seed", seed, "--code-system", system], declare));
    }
    let formats = "iso,dmy_slash,mdy_slash,d_month_y,excel_serial";
    met.extend(check(&["--seed", "14", "--date-formats", formats], |profile| {
        let list = format!("[\"{}\"]", formats.replace(',', "\", \""));
        profile.replace(r#"["iso", "iso_midnight", "dmy_dash"]"#, &list)
    }));
    met.extend(check(&["--seed", "15", "--record", "rich"], str::to_owned));
    for code in Code::ALL.iter().filter(|code| !OF_STAGES.contains(code)) {
        assert!(met.contains(code.as_str()), "the simulator never has {code}");
    }
}
