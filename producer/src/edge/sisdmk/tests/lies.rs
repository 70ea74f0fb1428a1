//! Answers that lie, from the bytes on the wire to what is published: how often is asked, how long is waited, that
//! nothing false goes out, that no watermark passes what may be missing, and what it costs in memory.

use super::drive::{Ran, region};
use super::*;
use crate::state::{BatchStatus, IncidentKind};

/// The waits between four tries, all chances at their worst.
const WAITS: [u64; 3] = [1, 2, 4];

/// The most that the reader may hold at a time for a source whose bodies have 64 KiB at most, whatever comes.
const SMALL_PEAK_MAX: usize = 1 << 20;

fn json(body: &str) -> Script {
    Script::Send(answer("200 OK\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT", body.as_bytes()))
}

fn page(total: u64, records: &[&str]) -> String {
    format!(r#"{{"status":200,"message":"OK","totalRowCount":{total},"data":[{}]}}"#, records.join(","))
}

/// A record of an invented person; the last digits of the NIK tell them apart.
fn person(number: u32) -> String {
    format!(r#"{{"NIK":"327301570590{number:04}","LAST_UPDATED":"2026-11-20T08:15:30+07:00"}}"#)
}

async fn run(scripts: Vec<Script>, more: &[(&str, &str)]) -> (Ran, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, mut heads) = serve(scripts);
    let quarantine = format!("file://{}", folder.path().join("quarantine").display());
    let mut settings = vec![("quarantine.url", quarantine.as_str())];
    settings.extend_from_slice(more);
    let (ran, peak) = peak::of(region(&address, folder.path(), &settings)).await;
    // Of a request that was given up the server may not have heard yet.
    let mut requests = 0;
    while requests < ran.batch.requests && heads.recv().await.is_some() {
        requests += 1;
    }
    while heads.try_recv().is_ok() {
        requests += 1;
    }
    let peak_max =
        body_bytes_max(&settings).map_or(SMALL_PEAK_MAX, |bytes| bytes / 2 * HALF_BODIES_MAX + SMALL_PEAK_MAX);
    assert!(peak <= peak_max, "{peak} bytes at a time, {peak_max} are allowed");
    (ran, usize::try_from(requests).expect("few"))
}

/// Halves of a body of the largest size that fit into the most that the reader may hold at a time: the body as it grows, and what
/// is known about its records.
const HALF_BODIES_MAX: usize = 5;

/// What a test sets in MiB, if it does.
fn body_bytes_max(settings: &[(&str, &str)]) -> Option<usize> {
    let (_, value) = settings.iter().find(|(key, _)| *key == "source.body_bytes_max")?;
    Some(value.strip_suffix("MiB")?.parse::<usize>().expect("a number") << 20)
}

/// The same answer four times, and then the slice is given up: nothing out, no watermark.
async fn never(script: Script, code: &str, status: BatchStatus, more: &[(&str, &str)]) {
    let (ran, requests) = run(vec![script; 6], more).await;
    assert_eq!((requests, ran.batch.requests), (4, 4), "{code}");
    assert_eq!(ran.failed, [code; 4]);
    // What the cycle itself finds wrong is not spread by chance: half of each wait.
    let share = if code == "rows_missing" { 0.5 } else { 1.0 };
    assert_eq!(ran.waits, WAITS.map(|wait| Duration::from_secs(wait).mul_f64(share)), "{code}");
    assert_eq!((ran.batch.status, ran.batch.failed.as_slice()), (Some(status), ["31".to_owned()].as_slice()), "{code}");
    assert_eq!((ran.batch.fetched, ran.slices.len(), ran.watermark()), (0, 0, None), "{code}");
    let incident =
        if status == BatchStatus::FormatChanged { IncidentKind::FormatChanged } else { IncidentKind::Unreachable };
    assert_eq!(ran.incidents, [incident], "{code}");
    assert_eq!(ran.odd, if status == BatchStatus::FormatChanged && code != "rows_missing" { 4 } else { 0 }, "{code}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_asked_for_four_times_and_leaves_nothing_behind() {
    use BatchStatus::{Failed, FormatChanged};
    never(json(r#"{"status":500,"message":"x","data":[]}"#), "in_body_failure", Failed, &[]).await;
    let mut cut = answer("200 OK", page(1, &[&person(1)]).as_bytes());
    cut.truncate(cut.len() - 5);
    never(Script::Send(cut), "cut_body", Failed, &[]).await;
    never(json(""), "empty_body", Failed, &[]).await;
    let login_page = "200 OK\r\ncontent-type: text/html";
    never(Script::Send(answer(login_page, b"<!DOCTYPE html><form>")), "html", FormatChanged, &[]).await;
    never(json(&page(7, &[])), "rows_missing", FormatChanged, &[]).await;
    never(json(r#"{"status":200,"totalRowCount":1,"data":[],"data":[{}]}"#), "name_twice", FormatChanged, &[]).await;
    never(Script::Send(answer("302 Found\r\nlocation: /login", b"")), "http_redirect", Failed, &[]).await;
}

#[tokio::test]
async fn a_body_in_another_encoding_is_another_shape() {
    let text = page(1, &[&person(1)]);
    let wide = |mark: &[u8], big: bool| {
        let units = text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
        mark.iter().copied().chain(units).collect::<Vec<u8>>()
    };
    for body in [wide(b"\xff\xfe", false), wide(b"\xfe\xff", true), wide(b"", false), wide(b"", true)] {
        never(Script::Send(answer("200 OK", &body)), "not_json", BatchStatus::FormatChanged, &[]).await;
    }
    // The mark that some services put before UTF-8 changes nothing.
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let (ran, _) = run(vec![Script::Send(answer("200 OK", &marked))], &[]).await;
    assert_eq!((ran.records(), ran.batch.status), ((1, 1), Some(BatchStatus::Complete)));
}

#[tokio::test]
async fn bombs_and_drips_are_bounded() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&vec![b' '; 10_000_000]).expect("packed");
    let bomb = answer("200 OK\r\ncontent-encoding: gzip", &packer.finish().expect("packed"));
    never(Script::Send(bomb), "body_too_large", BatchStatus::Failed, &[]).await;
    // A byte now and then, each in time: the time of a request is over all of it. Here a byte each 50 ms against
    // 300 ms, as it were one each 5 s against 30 s.
    let short = [("source.request_timeout", "300ms")];
    let slow = |head: &[u8], piece: &[u8]| Script::Drip {
        head: head.to_vec(),
        piece: piece.to_vec(),
        pause: Duration::from_millis(50),
    };
    never(slow(b"", b"H"), "timeout", BatchStatus::Failed, &short).await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n{";
    never(slow(head, b" "), "timeout", BatchStatus::Failed, &short).await;
    never(slow(b"HTTP/1.1 200 OK\r\nx: ", b"y"), "timeout", BatchStatus::Failed, &short).await;
    never(
        Script::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()),
        "timeout",
        BatchStatus::Failed,
        &short,
    )
    .await;
}

/// Goal: an answer as large as any may be, or larger, costs a known multiple of `source.body_bytes_max` and no more.
/// Method: the cap that ships, and bodies that are endless, that unpack to three times the cap, that open brackets to the
/// end, that hold millions of records of two bytes, and one record that is nearly all of it. One try each.
#[tokio::test]
async fn what_is_as_large_as_it_may_be_costs_a_known_multiple() {
    use BatchStatus::{Complete, Failed, FormatChanged};
    let cap = 32 << 20;
    let settings = [("source.body_bytes_max", "32MiB"), ("source.retries", "0"), ("source.request_timeout", "60s")];
    let check = async |script: Script, code: Option<&str>, status: BatchStatus, fetched: u64| {
        let (ran, requests) = run(vec![script], &settings).await;
        assert_eq!((requests, ran.failed.first().copied(), ran.batch.status), (1, code, Some(status)));
        assert_eq!((ran.batch.fetched, ran.watermark().is_some()), (fetched, false), "{code:?}");
    };
    let endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":[".to_vec();
    let flood = Script::Drip { head: endless, piece: b"{\"A\":1},".repeat(10_000), pause: Duration::ZERO };
    check(flood, Some("body_too_large"), Failed, 0).await;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..96 {
        packer.write_all(&[b' '; 1 << 20]).expect("packed");
    }
    let bomb = packer.finish().expect("packed");
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    check(Script::Send(answer("200 OK\r\ncontent-encoding: gzip", &bomb)), Some("body_too_large"), Failed, 0).await;

    let of = |piece: &str, end: &str| {
        let head = r#"{"status":200,"totalRowCount":1,"data":["#;
        let count = (cap - head.len() - end.len()) / piece.len();
        json(&format!("{head}{}{end}", piece.repeat(count)))
    };
    check(of("[", ""), Some("cut_body"), Failed, 0).await;
    check(of("{\"a\":[", ""), Some("cut_body"), Failed, 0).await;
    check(of("{},", "{}]}"), Some("records_too_many"), FormatChanged, 0).await;
    // One record larger than any may be: it goes into quarantine, and its slice is complete.
    let body = format!(r#"{{"status":200,"totalRowCount":1,"data":["{}"]}}"#, "x".repeat(cap - 100));
    check(json(&body), None, Complete, 1).await;
}

#[tokio::test]
async fn a_total_that_is_wrong_is_read_again_and_then_taken_as_it_is_found() {
    let (one, two) = (person(1), person(2));
    // (total, pages of one pass, requests of two passes)
    let first = page(5, &[&one, &two]);
    let (ran, requests) = run(vec![json(&first), json(&page(5, &[])), json(&first), json(&page(5, &[]))], &[]).await;
    assert_eq!((requests, ran.records(), ran.waits.len()), (4, (2, 2), 0), "two reads agree");
    assert_eq!(ran.incidents, [], "taken as it is, with a warning");
    let (ran, requests) = run(vec![json(&page(1, &[&one, &two])); 2], &[]).await;
    assert_eq!((requests, ran.records()), (2, (2, 2)), "more than it says");
    // Never the same twice: after three passes nothing is believed.
    let passes: Vec<Script> = (1..=3).flat_map(|n| [json(&page(9, &[&person(n)])), json(&page(9, &[]))]).collect();
    let (ran, requests) = run(passes, &[]).await;
    assert_eq!((requests, ran.records(), ran.watermark()), (6, (0, 0), None));
    assert_eq!(
        (ran.batch.status, ran.incidents),
        (Some(BatchStatus::FormatChanged), vec![IncidentKind::FormatChanged])
    );
}

#[tokio::test]
async fn the_same_page_twice_is_a_source_that_does_not_page() {
    let full = page(4, &[&person(1), &person(2)]);
    let (ran, requests) = run(vec![json(&full); 8], &[]).await;
    assert_eq!((requests, ran.failed.as_slice()), (5, ["page_repeated"; 4].as_slice()));
    assert_eq!((ran.records(), ran.watermark()), ((0, 0), None));
    assert_eq!(
        (ran.batch.status, ran.incidents),
        (Some(BatchStatus::FormatChanged), vec![IncidentKind::FormatChanged])
    );
}

#[tokio::test]
async fn a_record_that_no_parser_takes_does_not_spoil_its_ninety_nine_neighbours() {
    for broken in [
        r#"{"NIK":"3273015705900100","NAMA":"\ud800"}"#.as_bytes(),
        br#"{"NIK":"3273015705900100","X":1e999}"#,
        br#"{"NIK":"3273015705900100","NIK":"3273015705900100"}"#,
        // ISO-8859-1, as a service sends that was never asked what it speaks.
        b"{\"NIK\":\"3273015705900100\",\"NAMA\":\"Ren\xe9\"}",
    ] {
        let good: Vec<String> = (1..100).map(person).collect();
        let mut body = br#"{"status":200,"totalRowCount":100,"data":["#.to_vec();
        body.extend_from_slice(broken);
        for record in &good {
            body.push(b',');
            body.extend_from_slice(record.as_bytes());
        }
        body.extend_from_slice(b"]}");
        let head = "200 OK\r\ncontent-type: application/json; charset=ISO-8859-1";
        let (ran, requests) = run(vec![Script::Send(answer(head, &body))], &[]).await;
        let shown = String::from_utf8_lossy(broken);
        // It goes out with its bytes and without an identity; its reasons are found by the rules.
        assert_eq!((requests, ran.records()), (1, (100, 99)), "{shown}");
        let first = ran.slices.iter().flat_map(|slice| &slice.pages).flat_map(|page| page.records()).next();
        assert_eq!(first.map(|(_, bytes)| bytes), Some(broken), "{shown}");
        assert_eq!(ran.batch.status, Some(BatchStatus::Complete), "{shown}");
    }
}

#[tokio::test]
async fn a_list_with_an_empty_place_is_another_shape_and_its_page_is_kept() {
    let (one, two) = (person(1), person(2));
    for broken in [format!("{one},{two},"), format!("{one},,{two}"), format!(",{one},{two}")] {
        // Also where the total says that all are there: who leaves out what he cannot write counts as he likes.
        never(json(&page(2, &[&broken])), "records_broken", BatchStatus::FormatChanged, &[]).await;
    }
    // A comma that is missing makes one record of two, which goes out with its bytes and becomes a dead letter; the total
    // tells that one is short, and the second read finds the same.
    let glued = format!("{one} {two}");
    let body = page(3, &[&glued, &person(3)]);
    let empty = page(3, &[]);
    let (ran, requests) = run(vec![json(&body), json(&empty), json(&body), json(&empty)], &[]).await;
    assert_eq!((requests, ran.records().0, ran.batch.status), (4, 2, Some(BatchStatus::Complete)));
    let first = ran.slices.iter().flat_map(|slice| &slice.pages).flat_map(|page| page.records()).next();
    assert_eq!(first.map(|(_, bytes)| bytes), Some(glued.as_bytes()));
}

#[tokio::test]
async fn a_nik_that_is_a_number_is_the_same_person() {
    let number = r#"{"NIK":9171011203850003}"#;
    let (ran, _) = run(vec![json(&page(2, &[number, r#"{"NIK":"9171011203850003","X":1}"#]))], &[]).await;
    // Two rows and one identity: the total does not tie, and the second read settles it.
    assert_eq!(ran.batch.status, Some(BatchStatus::Failed), "nobody answers the second read");
    let (ran, _) = run(vec![json(&page(1, &[number]))], &[]).await;
    assert_eq!(ran.records(), (1, 1));
}

#[tokio::test]
async fn a_wish_to_wait_is_granted_up_to_its_cap() {
    let busy = |head: &str| Script::Send(answer(head, b""));
    // By the source's own clock, which is an hour off.
    let date = |seconds: i64| {
        let at = chrono::DateTime::from_timestamp_micros(clock::now_micros()).expect("a time");
        (at + chrono::TimeDelta::seconds(seconds - 3_600)).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let scripts = vec![
        busy("429 Slow\r\nretry-after: 7"),
        busy(&format!("503 Busy\r\ndate: {}\r\nretry-after: {}", date(0), date(40))),
        busy("429 Slow\r\nretry-after: 86400"),
        json(&page(1, &[&person(1)])),
    ];
    let (ran, requests) = run(scripts, &[]).await;
    assert_eq!((requests, ran.records()), (4, (1, 1)));
    assert_eq!(ran.waits, [7, 40, 300].map(Duration::from_secs));
}

#[tokio::test]
async fn a_refusal_within_a_slice_leaves_nothing_of_it() {
    let first = json(&page(3, &[&person(1), &person(2)]));
    let refusals = [Script::Send(answer("401 No", b"")), json(r#"{"status":403}"#)];
    for refusal in refusals {
        let (ran, requests) = run(vec![first.clone(), refusal.clone(), json("{}")], &[]).await;
        assert_eq!((requests, ran.records(), ran.watermark()), (2, (0, 0), None));
        assert_eq!((ran.batch.status, ran.waits.len()), (Some(BatchStatus::AuthFailed), 0));
        assert_eq!(ran.incidents, [IncidentKind::AuthFailed]);
    }
}
