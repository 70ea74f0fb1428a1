//! The simulator as a whole, without its network.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::access::Accepted;
use crate::calendar::{DateFormat, Stamp};
use crate::flaw;
use crate::message::{Body, Delivery, Reply, Request};
use crate::population::tests::make;
use crate::population::{Make, RecordKind};
use crate::service::{Offer, Simulator};
use crate::truth::IdentityKey;
use crate::wilayah::CodeSystem;

const NOW: &str = "2026-11-23T06:00:00Z";

fn start(make: Make) -> Arc<Simulator> {
    let accepted = Accepted { token_any: true, token_seconds: 60, ..Accepted::default() };
    let key = IdentityKey::from_file_bytes(b"kunci uji");
    Arc::new(Simulator::new(make, accepted, key, Offer { biodata_status: true, ..Offer::default() }))
}

fn now() -> Stamp {
    Stamp::parse(NOW).expect("valid")
}

fn ask(simulator: &Arc<Simulator>, method: &str, target: &str) -> Reply {
    let mut request = Request::new(method, target);
    request.headers.push(("authorization".to_owned(), "Bearer t".to_owned()));
    simulator.answer(&request, now())
}

fn text(reply: Reply) -> Vec<u8> {
    match reply.body {
        Body::Whole(body) => body,
        Body::Pieces(pieces) => pieces.flatten().collect(),
    }
}

fn get(simulator: &Arc<Simulator>, target: &str) -> Vec<u8> {
    let reply = ask(simulator, "GET", target);
    assert_eq!(reply.status, 200, "{target}");
    text(reply)
}

fn post(simulator: &Arc<Simulator>, target: &str, body: &str) -> u16 {
    let mut request = Request::new("POST", target);
    request.body = body.as_bytes().to_vec();
    simulator.answer(&request, now()).status
}

fn lines(simulator: &Arc<Simulator>, target: &str) -> Vec<Value> {
    let body = get(simulator, target);
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("a JSON value a line"))
        .collect()
}

/// The records of a page, cut at their brackets: what stands in them is not read.
fn cut(page: &[u8]) -> Vec<Vec<u8>> {
    let marker = b"\"data\":[";
    let start = page.windows(marker.len()).position(|it| it == marker).expect("data") + marker.len();
    let (mut records, mut record, mut depth, mut in_text, mut escaped) = (Vec::new(), Vec::new(), 0, false, false);
    for byte in &page[start..] {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth -= 1,
            _ => {}
        }
        if depth < 0 || (depth == 0 && *byte == b',' && !in_text) {
            records.push(std::mem::take(&mut record));
            if depth < 0 {
                break;
            }
        } else {
            record.push(*byte);
        }
    }
    records.retain(|it| !it.is_empty());
    records
}

/// Everybody, province by province and page by page.
fn pull(simulator: &Arc<Simulator>, more: &str) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for province in &simulator.population.wilayah.provinces {
        for page in 1.. {
            let body = get(simulator, &format!("/rest/sdmk?kdprov={}&page={page}&limit=100{more}", province.code));
            let found = cut(&body);
            let last = found.len() < 100;
            records.extend(found);
            if last {
                break;
            }
        }
    }
    records
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn truth(simulator: &Arc<Simulator>) -> BTreeMap<String, Value> {
    lines(simulator, "/_control/truth/persons")
        .into_iter()
        .map(|person| (person["nik"].as_str().expect("a NIK").to_owned(), person))
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (one, two, three) = (start(make(2_000)), start(make(2_000)), start(Make { seed: 43, ..make(2_000) }));
    for simulator in [&one, &two, &three] {
        assert_eq!(post(simulator, "/_control/change?count=700", ""), 200);
    }
    let first = pull(&one, "");
    assert_eq!(first.len(), 2_000);
    assert!(first == pull(&one, ""), "two pulls in a row differ");
    assert!(first == pull(&two, ""), "two simulators with one seed differ");
    assert!(first != pull(&three, ""), "another seed changes nothing");
    assert_eq!(get(&one, "/_control/truth/persons"), get(&two, "/_control/truth/persons"));
}

#[test]
fn every_good_page_is_json_in_every_shape_and_code_system() {
    for record in [RecordKind::Person, RecordKind::Standard, RecordKind::Rich, RecordKind::Mixed] {
        for code_system in [CodeSystem::Kemendagri2025, CodeSystem::Kemendagri2022, CodeSystem::Bps2023] {
            let simulator = start(Make { record, code_system, bad_per_million: 0, ..make(1_200) });
            let truth = truth(&simulator);
            let records = pull(&simulator, "");
            assert_eq!((records.len(), truth.len()), (1_200, 1_200));
            for record in records {
                let record: Value = serde_json::from_slice(&record).expect("a good record is JSON");
                let nik = match &record["NIK"] {
                    Value::String(text) => text.trim().to_owned(),
                    number => number.to_string(),
                };
                let person = truth.get(&nik).expect("the truth knows everybody");
                assert_eq!(record["NAMA"], person["nama_asal"]);
                assert_eq!(record["STATUS_AKTIF"], person["status_aktif_asal"]);
                let jobs = record["PEKERJAAN"].as_array().map_or(0, Vec::len);
                assert_eq!(Some(jobs), person["employments"].as_array().map(Vec::len));
            }
        }
    }
}

#[test]
fn a_person_has_about_350_bytes_a_standard_record_600_and_a_rich_one_1200() {
    for (record, range) in
        [(RecordKind::Person, 300..400), (RecordKind::Standard, 570..650), (RecordKind::Rich, 1_100..1_300)]
    {
        let simulator = start(Make { record, bad_per_million: 0, ..make(5_000) });
        let bytes: usize = pull(&simulator, "").iter().map(Vec::len).sum();
        assert!(range.contains(&(bytes / 5_000)), "{record:?}: {} bytes", bytes / 5_000);
    }
}

#[test]
fn every_flaw_appears_is_labelled_and_leaves_its_neighbours_whole() {
    let slashed = vec![DateFormat::Iso, DateFormat::DmySlash, DateFormat::MdySlash];
    let simulator = start(Make { bad_per_million: 500_000, date_formats: slashed, ..make(12_000) });
    let records = pull(&simulator, "");
    assert_eq!(records.len(), 12_000, "each record can be cut out of its page");
    let bad = lines(&simulator, "/_control/truth/dead-letters");
    let mut codes_of = BTreeMap::new();
    for letter in &bad {
        let codes: Vec<&str> = letter["codes"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(!codes.is_empty() && codes.is_sorted());
        codes_of.insert(letter["sha256"].as_str().expect("a digest"), codes);
    }
    assert_eq!(codes_of.len(), bad.len(), "no two bad records are the same bytes");
    let seen: BTreeSet<&str> = codes_of.values().flatten().copied().collect();
    for flaw in flaw::ALL {
        assert!(seen.contains(flaw.code()), "{} never appears", flaw.code());
    }
    assert!(codes_of.values().any(|codes| codes.len() == 2));
    let served: HashSet<String> = records.iter().map(|it| sha256(it)).collect();
    assert!(codes_of.keys().all(|it| served.contains(*it)), "the digests are those of the bytes that went out");
    for record in &records {
        let codes = codes_of.get(sha256(record).as_str());
        let broken = codes.is_some_and(|it| it.iter().any(|code| code.starts_with("json_")));
        // A duplicate key, a lone NUL escape or deep nesting is beyond what this reader notices.
        let readable = serde_json::from_slice::<Value>(record).is_ok();
        assert!(readable || broken, "a record that is not labelled as broken JSON cannot be read");
    }
}

#[test]
fn the_niks_of_bad_records_are_nobody_elses() {
    let simulator = start(Make { bad_per_million: 500_000, ..make(16_000) });
    let mut identities = HashSet::new();
    for record in pull(&simulator, "") {
        let Ok(Value::Object(record)) = serde_json::from_slice(&record) else { continue };
        let nik = match record.get("NIK") {
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            _ => continue,
        };
        // Records with a key twice hide their real NIK from this reader.
        if nik.len() == 16 && nik.bytes().all(|it| it.is_ascii_digit()) && nik != "1111111111111111" {
            assert!(identities.insert(nik), "two records look like one person");
        }
    }
    assert!(identities.len() > 10_000);
}

#[test]
fn the_truth_of_a_person_is_complete_and_in_order() {
    let simulator = start(make(2_000));
    let persons = lines(&simulator, "/_control/truth/persons");
    let columns = [
        "nik",
        "person_id",
        "nama",
        "nama_asal",
        "gelar_depan",
        "gelar_belakang",
        "jenis_kelamin",
        "tempat_lahir",
        "tanggal_lahir",
        "alamat",
        "status_aktif",
        "status_aktif_asal",
        "kode_wilayah",
        "kode_wilayah_asal",
        "wilayah_versi",
        "pendidikan",
        "pelatihan",
        "warnings",
        "last_updated",
        "employments",
    ];
    let job_columns = [
        "employment_key",
        "kode_unit",
        "unit",
        "alamat",
        "id_jenis_sdmk",
        "jenis_sdmk",
        "status_pegawai",
        "nip",
        "str",
        "str_tanggal",
        "str_berlaku_sampai",
        "sip",
        "sip_tanggal",
        "sip_berlaku_sampai",
        "tanggal_mulai",
        "tanggal_akhir",
        "kode_wilayah",
        "kode_wilayah_asal",
    ];
    let keys = |value: &Value| value.as_object().map(|it| it.keys().cloned().collect::<BTreeSet<_>>());
    let expected = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>());
    let niks: Vec<&str> = persons.iter().filter_map(|it| it["nik"].as_str()).collect();
    assert!(niks.is_sorted());
    let mut warnings = BTreeSet::new();
    let mut doubled = 0;
    for person in &persons {
        assert_eq!(keys(person), expected(&columns));
        let jobs = person["employments"].as_array().expect("a list");
        let job_keys: Vec<&str> = jobs.iter().filter_map(|it| it["employment_key"].as_str()).collect();
        assert!(job_keys.is_sorted());
        assert_eq!(job_keys.iter().collect::<HashSet<_>>().len(), jobs.len());
        doubled += job_keys.iter().filter(|it| it.ends_with("~2")).count();
        assert!(jobs.iter().all(|job| keys(job) == expected(&job_columns)));
        warnings.extend(person["warnings"].as_array().expect("a list").iter().map(Value::to_string));
    }
    assert_eq!(warnings.len(), 7, "{warnings:?}");
    assert!(doubled > 10);
}

#[test]
fn what_was_last_good_and_given_out_stands_while_a_record_is_bad() {
    let simulator = start(Make { bad_per_million: 1_000_000 / 2, ..make(1_200) });
    let mut last_good: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..5 {
        pull(&simulator, "");
        let book = simulator.book.read().expect("not poisoned");
        for index in 0..1_200 {
            let row = book.row(index);
            if !simulator.population.fate(index).is_bad_at(row.revision) {
                last_good.insert(index, row.revision);
            }
        }
        drop(book);
        let known: Vec<u64> = truth(&simulator).keys().filter_map(|it| it.parse().ok()).collect();
        let expected: BTreeSet<u64> = last_good.keys().map(|it| simulator.population.nik_number(*it)).collect();
        assert_eq!(known, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(post(&simulator, "/_control/change?count=1200", ""), 200);
    }
    // Bad at first and good later, and the other way round, both happened.
    assert!(last_good.values().any(|it| *it > 0) && last_good.values().any(|it| *it == 0));
}

#[test]
fn a_changed_worker_comes_with_the_next_window_and_nobody_else() {
    let simulator = start(Make { bad_per_million: 0, ..make(4_000) });
    assert_eq!(post(&simulator, "/_control/change?count=150", ""), 200);
    let found = pull(&simulator, "&startModifiedAt=2026-11-23T13%3A00%3A00%2B07%3A00");
    assert_eq!(found.len(), 150);
    let truth = truth(&simulator);
    let changed = truth.values().filter(|it| it["last_updated"] == "2026-11-23T06:00:00.000000Z").count();
    assert_eq!(changed, 150);
    assert!(pull(&simulator, "&startModifiedAt=2026-11-23T13%3A00%3A00.000001%2B07%3A00").is_empty());
    assert_eq!(pull(&simulator, "&endModifiedAt=2026-11-23T05%3A59%3A59Z").len(), 3_850);
}

#[test]
fn frozen_data_does_not_change_by_itself_but_on_demand() {
    let simulator = start(make(500));
    let changes = || {
        let summary: Value = serde_json::from_slice(&get(&simulator, "/_control/summary")).expect("JSON");
        (summary["changes"].as_u64(), summary["frozen"].as_bool())
    };
    simulator.change_by_itself(5, now());
    assert_eq!(changes(), (Some(5), Some(false)));
    assert_eq!(post(&simulator, "/_control/freeze", ""), 200);
    simulator.change_by_itself(5, now());
    assert_eq!(changes(), (Some(5), Some(true)));
    assert_eq!(post(&simulator, "/_control/change?count=7", ""), 200);
    assert_eq!(changes(), (Some(12), Some(true)));
    assert_eq!(post(&simulator, "/_control/thaw", ""), 200);
    simulator.change_by_itself(1, now());
    assert_eq!(changes(), (Some(13), Some(false)));
    assert_eq!(post(&simulator, "/_control/change?count=501", ""), 400);
    assert_eq!(post(&simulator, "/_control/change", ""), 400);
}

#[test]
fn a_facility_lists_whoever_works_there() {
    let simulator = start(make(3_000));
    let mut jobs = 0;
    let facilities = lines(&simulator, "/_control/facilities");
    for code in &facilities {
        let target = format!("/rest/biodata?kdfasyankes={}", code.as_str().expect("text"));
        let records = cut(&get(&simulator, &target));
        jobs += records.len();
        for record in &records {
            if let Ok(record) = serde_json::from_slice::<Value>(record)
                && let Some(record) = record.as_object()
            {
                assert!(!record.contains_key("LAST_UPDATED"));
            }
        }
    }
    let persons = lines(&simulator, "/_control/truth/persons?shape=biodata-facility");
    assert!(persons.len() > 2_000 && jobs > persons.len());
    assert!(persons.iter().all(|it| it["last_updated"].is_null()));
    let unknown: Value = serde_json::from_slice(&get(&simulator, "/rest/biodata?kdfasyankes=X")).expect("JSON");
    assert_eq!(unknown["status"], 404);
}

#[test]
fn wrong_parameters_are_refused() {
    let simulator = start(make(100));
    for target in [
        "/rest/sdmk",
        "/rest/sdmk?kdprov=32&kdkab=3273",
        "/rest/sdmk?kdprov=99",
        "/rest/sdmk?kdkab=32.73",
        "/rest/sdmk?kdprov=32&page=0",
        "/rest/sdmk?kdprov=32&limit=101",
        "/rest/sdmk?kdprov=32&startModifiedAt=2026-11-20",
        // A plus that was not escaped is a blank.
        "/rest/sdmk?kdprov=32&startModifiedAt=2026-11-20T08:15:30+07:00",
    ] {
        assert_eq!(ask(&simulator, "GET", target).status, 400, "{target}");
    }
    assert_eq!(ask(&simulator, "DELETE", "/rest/sdmk?kdprov=32").status, 405);
    assert_eq!(ask(&simulator, "GET", "/rest/other").status, 404);
    assert_eq!(ask(&simulator, "GET", "/_control/other").status, 404);
}

#[test]
fn each_fault_spoils_the_answer_in_its_way() {
    let simulator = start(Make { bad_per_million: 0, ..make(5_000) });
    let target = "/rest/sdmk?kdprov=32&page=2&limit=100";
    let good: Value = serde_json::from_slice(&get(&simulator, target)).expect("JSON");
    let served = || {
        let summary: Value = serde_json::from_slice(&get(&simulator, "/_control/summary")).expect("JSON");
        summary["records_served"].as_u64().expect("a number")
    };
    let spoiled = |fault: &str| {
        assert_eq!(post(&simulator, "/_control/faults", fault), 200, "{fault}");
        let before = served();
        let reply = ask(&simulator, "GET", target);
        (reply.status, reply.delivery, reply.headers.clone(), text(reply), served() - before)
    };
    let body = |fault: &str| -> Value {
        let (status, .., body, _) = spoiled(fault);
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("JSON")
    };
    let (status, _, headers, _, counted) = spoiled(r#"[{"kind":"status","status":429,"retry_after":"2"}]"#);
    assert_eq!((status, headers, counted), (429, vec![("Retry-After", "2".to_owned())], 0));
    assert_eq!(spoiled(r#"[{"kind":"reset"}]"#).1, Delivery::Reset);
    assert!(matches!(spoiled(r#"[{"kind":"timeout"}]"#).1, Delivery::Hold { .. }));
    assert_eq!(spoiled(r#"[{"kind":"cut_body","after_bytes":10}]"#).1, Delivery::Cut { after: 10 });
    assert_eq!(spoiled(r#"[{"kind":"truncated_json","after_bytes":10}]"#).3.len(), 10);
    assert!(spoiled(r#"[{"kind":"html"}]"#).3.starts_with(b"<!DOCTYPE html>"));
    assert!(spoiled(r#"[{"kind":"gzip_garbage"}]"#).2.contains(&("Content-Encoding", "gzip".to_owned())));
    assert_eq!(spoiled(r#"[{"kind":"padding","bytes":70}]"#).3[..70], [b' '; 70]);
    let (.., delivery, _, _, counted) = spoiled(r#"[{"kind":"slow","delay_ms":1}]"#);
    assert!(matches!(delivery, Delivery::Slow { .. }));
    assert_eq!(counted, 100);
    assert_eq!(body(r#"[{"kind":"error_in_200","status":401}]"#)["status"], 401);
    let total = good["totalRowCount"].as_i64().expect("a number");
    assert_eq!(body(r#"[{"kind":"wrong_total","by":-3}]"#)["totalRowCount"].as_i64(), Some(total - 3));
    let empty = body(r#"[{"kind":"empty_page"}]"#);
    assert_eq!((empty["totalRowCount"].as_i64(), empty["data"].as_array().map(Vec::len)), (Some(total), Some(0)));
    assert_ne!(body(r#"[{"kind":"repeat_page"}]"#)["data"], good["data"]);
    assert_eq!(body(r#"[{"kind":"shift","by":1}]"#)["data"][0], good["data"][1]);
    assert_eq!(body(r#"[{"kind":"rename_field","from":"data","to":"rows"}]"#)["rows"], good["data"]);
    assert_eq!(post(&simulator, "/_control/faults", r#"[{"kind":"date_shift","seconds":300}]"#), 200);
    assert_eq!(ask(&simulator, "GET", target).date_shift_seconds, 300);
    assert_eq!(serde_json::from_slice::<Value>(&get(&simulator, target)).expect("JSON"), good);
    assert_eq!(post(&simulator, "/_control/faults", "[{}]"), 400);
}
