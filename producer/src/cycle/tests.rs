//! The cycle against named histories, then against random ones with a source that changes under it.

mod cursor;
mod facilities;

use super::*;
use crate::hold::{Origin, Row};
use crate::region as regions;
use crate::state::BatchKind;
use schemas::PersonId;
use std::collections::BTreeMap;
use uuid::Uuid;

const SECOND: i64 = 1_000_000;

fn limits() -> Limits {
    Limits {
        tries_max: 4,
        backoff: Duration::from_secs(1),
        backoff_max: Duration::from_secs(30),
        retry_after_max: Duration::from_secs(300),
        slice_timeout: Duration::from_secs(1_800),
        cycle_timeout: Duration::from_secs(18_000),
        hold_bytes_max: 1 << 20,
        record_bytes_max: 100,
        can_quarantine: true,
        page_rows_max: Some(2),
        paging: PagingKind::Page,
        request_interval: Duration::ZERO,
        lookback: Duration::ZERO,
        by_regency: true,
        by_window: true,
    }
}

fn batch(planned: &[&str]) -> BatchRecord {
    BatchRecord {
        batch_id: Uuid::from_u128(1),
        kind: BatchKind::Scheduled,
        state: BatchState::Open,
        status: None,
        started_at: Timestamp(0),
        trace_id: String::new(),
        since: None,
        planned: planned.iter().map(|code| (*code).to_owned()).collect(),
        committed: Vec::new(),
        failed: Vec::new(),
        fetched: 0,
        raw: 0,
        quarantined: 0,
        requests: 0,
        ordinal: 7,
        fetched_at: None,
        facilities: None,
    }
}

fn region(code: &str) -> Region {
    Region::parse(code).expect("a code")
}

/// A page of records of `bytes` bytes each: (identity, last_updated).
fn page(rows: &[(u8, i64)], bytes: usize, at: i64) -> HeldPage {
    let body = rows.iter().flat_map(|(id, _)| vec![*id; bytes]).collect();
    let identity = |id: u8| Identity::person(PersonId(uuid::Builder::from_custom_bytes([id; 16]).into_uuid()));
    let held = rows
        .iter()
        .enumerate()
        .filter_map(|(index, (id, _))| Row::new(&(index * bytes..(index + 1) * bytes), identity(*id)))
        .collect();
    let origin = Origin { request_id: Uuid::nil(), traceparent: String::new(), fetched_at: Timestamp(at) };
    HeldPage::new(body, held, origin, rows.iter().map(|(_, stamp)| Timestamp(*stamp)).max())
}

fn arrived(rows: &[(u8, i64)], total: u64, at: i64) -> Event {
    Event::Page(Arrived { page: page(rows, 10, at), total: Some(total), next: None, source_time: Timestamp(at) })
}

fn fault(kind: FaultKind) -> Event {
    Event::Fault { fault: Fault { kind, code: "test", retry_after: None }, chance: 1.0 }
}

fn fetch(step: Step) -> Ask {
    match step {
        Step::Fetch(ask) => ask,
        other => panic!("a request was expected, not {other:?}"),
    }
}

fn publish(step: Step) -> Slice {
    match step {
        Step::Publish(slice) => *slice,
        other => panic!("a slice was expected, not {other:?}"),
    }
}

fn end(step: Step) -> BatchRecord {
    match step {
        Step::End(batch) => *batch,
        other => panic!("the end was expected, not {other:?}"),
    }
}

fn wait(step: Step) -> Duration {
    match step {
        Step::Wait(wait) => wait,
        other => panic!("a wait was expected, not {other:?}"),
    }
}

#[test]
fn the_watermark_moves_only_with_the_last_page() {
    let mut cycle = Cycle::new(batch(&["32"]), BTreeMap::new(), limits(), 1);
    let now = Timestamp(0);
    let ask = fetch(cycle.next(0, Event::Free, now));
    assert_eq!((ask.region.as_str(), ask.page, ask.since, ask.limit), ("32", 1, None, Some(2)));
    assert_eq!(fetch(cycle.next(0, arrived(&[(1, 10), (2, 20)], 3, 100), now)).page, 2);
    let slice = publish(cycle.next(0, arrived(&[(3, 15)], 3, 101), now));
    assert_eq!(slice.watermark.map(|record| record.watermark), Some(Timestamp(20)));
    assert_eq!(slice.watermark.map(|record| record.slice_started_at), Some(Timestamp(100)));
    assert_eq!((slice.first_ordinal, slice.fetched, slice.raw, slice.requests), (7, 3, 3, 2));
    assert_eq!(slice.batch.committed, ["32"]);
    assert_eq!(cycle.batch().committed, [""; 0], "nothing is true before the transaction is committed");
    let batch = end(cycle.next(0, Event::Published, now));
    assert_eq!((batch.status, batch.ordinal, batch.requests), (Some(BatchStatus::Complete), 10, 2));
    assert_eq!(batch.fetched_at, Some(Timestamp(101)));
}

#[test]
fn a_slice_begins_before_its_watermark() {
    let record =
        WatermarkRecord { watermark: Timestamp(1_000 * SECOND), batch_id: Uuid::nil(), slice_started_at: Timestamp(0) };
    let marks = BTreeMap::from([(region("32"), record)]);
    let limits = Limits { lookback: Duration::from_secs(600), ..limits() };
    // (since an operator asks for, since of the request, watermark afterwards)
    let check = |asked: Option<i64>, since: i64, after: Option<i64>| {
        let batch = BatchRecord { since: asked.map(Timestamp), ..batch(&["32"]) };
        let mut cycle = Cycle::new(batch, marks.clone(), limits.clone(), 1);
        assert_eq!(fetch(cycle.next(0, Event::Free, Timestamp(0))).since, Some(Timestamp(since)));
        let slice = publish(cycle.next(0, arrived(&[(1, 2_000 * SECOND)], 1, 3_000 * SECOND), Timestamp(0)));
        assert_eq!(slice.watermark.map(|record| record.watermark), after.map(Timestamp));
    };
    check(None, 400 * SECOND, Some(2_000 * SECOND));
    check(Some(100 * SECOND), 100 * SECOND, Some(2_000 * SECOND));
    // What lies between 1,000 s and 1,500 s is not read: the mark must not pass it.
    check(Some(1_500 * SECOND), 1_500 * SECOND, None);
}

#[test]
fn a_request_is_tried_four_times_and_two_unreachable_slices_end_the_batch() {
    let mut cycle = Cycle::new(batch(&["31", "32", "33"]), BTreeMap::new(), limits(), 1);
    let now = Timestamp(0);
    let mut step = cycle.next(0, Event::Free, now);
    for (code, last) in [("31", false), ("32", true)] {
        for wanted in [1, 2, 4] {
            assert_eq!(fetch(step).region.as_str(), code);
            assert_eq!(wait(cycle.next(0, fault(FaultKind::Unreachable), now)), Duration::from_secs(wanted));
            step = cycle.next(0, Event::Waited, now);
        }
        assert_eq!(fetch(step).region.as_str(), code);
        step = cycle.next(0, fault(FaultKind::Unreachable), now);
        if last {
            break;
        }
    }
    let batch = end(step);
    assert_eq!((batch.status, batch.requests), (Some(BatchStatus::Failed), 8));
    assert_eq!(batch.failed, ["31", "32"]);
    assert_eq!(batch.committed, [""; 0]);
}

#[test]
fn a_slice_in_between_starts_the_count_of_unreachable_ones_again() {
    let mut cycle = Cycle::new(batch(&["31", "32", "33"]), BTreeMap::new(), Limits { tries_max: 1, ..limits() }, 1);
    let now = Timestamp(0);
    fetch(cycle.next(0, Event::Free, now));
    fetch(cycle.next(0, fault(FaultKind::Unreachable), now));
    publish(cycle.next(0, arrived(&[], 0, 5), now));
    fetch(cycle.next(0, Event::Published, now));
    let batch = end(cycle.next(0, fault(FaultKind::Unreachable), now));
    assert_eq!(batch.status, Some(BatchStatus::Failed));
    assert_eq!((batch.committed, batch.failed), (vec!["32".to_owned()], vec!["31".to_owned(), "33".to_owned()]));
}

#[test]
fn waits_are_spread_and_the_source_is_heard_up_to_a_cap() {
    let check = |retry_after: Option<u64>, chance: f64, tries: u32, wanted: f64| {
        let mut cycle = Cycle::new(batch(&["31"]), BTreeMap::new(), Limits { tries_max: 99, ..limits() }, 1);
        let fault =
            Fault { kind: FaultKind::Unreachable, code: "test", retry_after: retry_after.map(Duration::from_secs) };
        let mut waited = Duration::ZERO;
        cycle.next(0, Event::Free, Timestamp(0));
        for _ in 0..tries {
            waited = wait(cycle.next(0, Event::Fault { fault, chance }, Timestamp(0)));
            cycle.next(0, Event::Waited, Timestamp(0));
        }
        assert!((waited.as_secs_f64() - wanted).abs() < 1e-6, "{waited:?} {wanted}");
    };
    check(None, 0.0, 1, 0.5);
    check(None, 0.5, 1, 0.75);
    check(None, 0.0, 3, 2.0);
    check(None, 0.0, 50, 15.0);
    check(Some(60), 0.0, 1, 60.0);
    check(Some(0), 0.0, 1, 0.5);
    check(Some(86_400), 0.0, 1, 300.0);
}

#[test]
fn a_refused_token_stops_the_batch_and_is_renewed_at_most_once() {
    let now = Timestamp(0);
    let mut cycle = Cycle::new(batch(&["31", "32"]), BTreeMap::new(), limits(), 1);
    fetch(cycle.next(0, Event::Free, now));
    let batch_1 = end(cycle.next(0, fault(FaultKind::Auth), now));
    assert_eq!((batch_1.status, batch_1.requests), (Some(BatchStatus::AuthFailed), 1));
    assert_eq!(batch_1.failed, [""; 0], "regions not tried are not failures of theirs");

    let mut cycle = Cycle::new(batch(&["31", "32"]), BTreeMap::new(), limits(), 1);
    fetch(cycle.next(0, Event::Free, now));
    fetch(cycle.next(0, arrived(&[(1, 1), (2, 2)], 3, 5), now));
    assert_eq!(cycle.next(0, fault(FaultKind::Auth), now), Step::RenewToken);
    assert_eq!(fetch(cycle.next(0, Event::Token { changed: true }, now)).page, 2);
    let batch_2 = end(cycle.next(0, fault(FaultKind::Auth), now));
    assert_eq!((batch_2.status, batch_2.fetched), (Some(BatchStatus::AuthFailed), 0));

    let mut cycle = Cycle::new(batch(&["31"]), BTreeMap::new(), limits(), 1);
    fetch(cycle.next(0, Event::Free, now));
    fetch(cycle.next(0, arrived(&[(1, 1), (2, 2)], 3, 5), now));
    assert_eq!(cycle.next(0, fault(FaultKind::Auth), now), Step::RenewToken);
    let batch_3 = end(cycle.next(0, Event::Token { changed: false }, now));
    assert_eq!(batch_3.status, Some(BatchStatus::AuthFailed));
}

#[test]
fn pages_that_are_no_answer_fail_the_slice_as_a_changed_format() {
    let check = |first: &[(u8, i64)], second: &[(u8, i64)], total: u64, code: &str| {
        let mut cycle = Cycle::new(batch(&["31"]), BTreeMap::new(), Limits { tries_max: 1, ..limits() }, 1);
        fetch(cycle.next(0, Event::Free, Timestamp(0)));
        if !first.is_empty() {
            fetch(cycle.next(0, arrived(first, total, 5), Timestamp(0)));
        }
        let batch = end(cycle.next(0, arrived(second, total, 5), Timestamp(0)));
        assert_eq!((batch.status, batch.fetched), (Some(BatchStatus::FormatChanged), 0), "{code}");
        let failed = |note: &Note| matches!(note, Note::RegionFailed { code: found, .. } if *found == code);
        assert!(cycle.take_notes().iter().any(failed), "{code}");
    };
    check(&[], &[], 3, "rows_missing");
    check(&[(1, 1), (2, 2)], &[(1, 1), (2, 2)], 5, "page_repeated");
}

#[test]
fn a_count_that_never_ties_fails_the_slice_after_three_passes() {
    let mut cycle = Cycle::new(batch(&["31"]), BTreeMap::new(), limits(), 1);
    let now = Timestamp(0);
    fetch(cycle.next(0, Event::Free, now));
    for pass in 1..=3 {
        assert_eq!(fetch(cycle.next(0, arrived(&[(pass, 1), (9, 1)], 3, 5), now)).page, 2);
        let step = cycle.next(0, arrived(&[(9, 1)], 3, 5), now);
        // Each pass finds one more; four identities joined never are three.
        if pass == 3 {
            assert_eq!(end(step).status, Some(BatchStatus::FormatChanged));
        } else if pass == 2 {
            // Two passes joined make three identities.
            assert_eq!(publish(step).fetched, 4);
            return;
        } else {
            assert_eq!(fetch(step).page, 1);
        }
    }
}

#[test]
fn a_record_too_large_is_set_aside_or_fails_the_slice() {
    let now = Timestamp(0);
    let check = |can_quarantine: bool| {
        let limits = Limits { record_bytes_max: 9, can_quarantine, ..limits() };
        let mut cycle = Cycle::new(batch(&["31"]), BTreeMap::new(), limits, 1);
        fetch(cycle.next(0, Event::Free, now));
        cycle.next(0, arrived(&[(1, 1)], 1, 5), now)
    };
    let slice = publish(check(true));
    assert_eq!((slice.fetched, slice.raw, slice.quarantined), (1, 0, 1));
    let batch = end(check(false));
    assert_eq!((batch.status, batch.failed), (Some(BatchStatus::Failed), vec!["31".to_owned()]));
}

#[test]
fn time_ends_a_slice_and_a_cycle() {
    let limits = Limits { tries_max: 99, slice_timeout: Duration::from_secs(10), ..limits() };
    let mut cycle = Cycle::new(batch(&["31", "32"]), BTreeMap::new(), limits, 1);
    fetch(cycle.next(0, Event::Free, Timestamp(0)));
    wait(cycle.next(0, fault(FaultKind::Unreachable), Timestamp(0)));
    let ask = fetch(cycle.next(0, Event::Waited, Timestamp(10 * SECOND)));
    assert_eq!(ask.region.as_str(), "32", "the first slice had its time");
    wait(cycle.next(0, fault(FaultKind::Unreachable), Timestamp(11 * SECOND)));
    let batch = end(cycle.next(0, Event::Waited, Timestamp(18_000 * SECOND)));
    assert_eq!((batch.status, batch.failed), (Some(BatchStatus::Failed), vec!["31".to_owned()]));
}

#[test]
fn a_resumed_batch_reads_only_what_is_left() {
    let mut open = batch(&["31", "32", "33"]);
    open.committed = vec!["31".to_owned()];
    open.failed = vec!["32".to_owned()];
    open.status = Some(BatchStatus::Failed);
    let mut cycle = Cycle::new(open.clone(), BTreeMap::new(), limits(), 1);
    assert_eq!(fetch(cycle.next(0, Event::Free, Timestamp(0))).region.as_str(), "33");
    publish(cycle.next(0, arrived(&[], 0, 5), Timestamp(0)));
    assert_eq!(end(cycle.next(0, Event::Published, Timestamp(0))).status, Some(BatchStatus::Failed));
    // Down for longer than a cycle may take: the batch is closed.
    let mut cycle = Cycle::new(BatchRecord { failed: Vec::new(), status: None, ..open }, BTreeMap::new(), limits(), 1);
    let batch = end(cycle.next(0, Event::Free, Timestamp(18_000 * SECOND)));
    assert_eq!(batch.status, Some(BatchStatus::Incomplete));
}

#[test]
fn a_province_that_takes_too_long_is_read_by_regency() {
    // 31 has six regencies. 100 rows at 2 a page and a second each do not fit into 40 s.
    let limits =
        Limits { request_interval: Duration::from_secs(1), slice_timeout: Duration::from_secs(40), ..limits() };
    let mut cycle = Cycle::new(batch(&["31"]), BTreeMap::new(), limits, 1);
    let now = Timestamp(0);
    fetch(cycle.next(0, Event::Free, now));
    let mut step = cycle.next(0, arrived(&[(1, 1), (2, 2)], 100, 50 * SECOND), now);
    let regencies = regions::regencies(&region("31"));
    for (index, regency) in (0_u8..).zip(&regencies) {
        assert_eq!(fetch(step).region, *regency);
        let slice = publish(cycle.next(0, arrived(&[(index, i64::from(index) * SECOND)], 1, 60 * SECOND), now));
        assert_eq!(slice.batch.committed.last().map(String::as_str), Some(regency.as_str()));
        step = cycle.next(0, Event::Published, now);
    }
    let ask = fetch(step);
    assert_eq!((ask.region.as_str(), ask.limit), ("31", Some(1)), "does the province hold more?");
    let slice = publish(cycle.next(0, arrived(&[(1, 1)], 6, 70 * SECOND), now));
    assert_eq!((slice.region.as_str(), slice.fetched), ("31", 0));
    assert_eq!(slice.watermark.map(|record| record.watermark), Some(Timestamp(5 * SECOND)));
    assert_eq!(end(cycle.next(0, Event::Published, now)).status, Some(BatchStatus::Complete));
}

/// A cycle over 34 (five regencies) that has just been split by regency, at 50 s of the source's clock.
fn split_by_regency(batch: BatchRecord, marks: BTreeMap<Region, WatermarkRecord>, lanes: usize) -> (Cycle, Step) {
    let limits =
        Limits { request_interval: Duration::from_secs(1), slice_timeout: Duration::from_secs(40), ..limits() };
    let mut cycle = Cycle::new(batch, marks, limits, lanes);
    let now = Timestamp(0);
    fetch(cycle.next(0, Event::Free, now));
    let step = cycle.next(0, arrived(&[(1, 1), (2, 2)], 100, 50 * SECOND), now);
    (cycle, step)
}

#[test]
fn the_end_of_a_group_waits_for_its_last_regency() {
    let (mut cycle, mut step) = split_by_regency(batch(&["34"]), BTreeMap::new(), 2);
    let now = Timestamp(0);
    let other = fetch(cycle.next(1, Event::Free, now)).region;
    assert_eq!(other.as_str(), "34.02");
    for wanted in ["34.01", "34.03", "34.04", "34.71"] {
        assert_eq!(fetch(step).region.as_str(), wanted);
        publish(cycle.next(0, arrived(&[], 0, 60 * SECOND), now));
        step = cycle.next(0, Event::Published, now);
    }
    assert_eq!(step, Step::Rest, "34.02 is still being read");
    publish(cycle.next(1, arrived(&[], 0, 60 * SECOND), now));
    assert_eq!(fetch(cycle.next(1, Event::Published, now)).region.as_str(), "34");
    assert_eq!(cycle.next(0, Event::Free, now), Step::Rest);
    publish(cycle.next(1, arrived(&[], 0, 70 * SECOND), now));
    assert_eq!(end(cycle.next(1, Event::Published, now)).status, Some(BatchStatus::Complete));
}

#[test]
fn a_province_with_a_regency_that_failed_is_not_committed() {
    let (mut cycle, mut step) = split_by_regency(batch(&["34"]), BTreeMap::new(), 1);
    let now = Timestamp(0);
    for regency in ["34.01", "34.02", "34.03", "34.04", "34.71"] {
        assert_eq!(fetch(step).region.as_str(), regency);
        publish(cycle.next(0, arrived(&[], 0, 60 * SECOND), now));
        let event = if regency == "34.02" { Event::Refused { code: "test" } } else { Event::Published };
        step = cycle.next(0, event, now);
    }
    let batch = end(step);
    assert_eq!((batch.status, batch.failed), (Some(BatchStatus::Failed), vec!["34.02".to_owned(), "34".to_owned()]));
    assert!(!batch.committed.contains(&"34".to_owned()));
}

#[test]
fn a_resumed_province_goes_no_further_than_its_oldest_regency() {
    // 34.01 was read at 10 s by a former process; what changed there since then may be unread.
    let record = WatermarkRecord {
        watermark: Timestamp(9 * SECOND),
        batch_id: Uuid::nil(),
        slice_started_at: Timestamp(10 * SECOND),
    };
    let open = BatchRecord { committed: vec!["34.01".to_owned()], ..batch(&["34"]) };
    let (mut cycle, step) = split_by_regency(open, BTreeMap::from([(region("34.01"), record)]), 1);
    let now = Timestamp(0);
    let ask = fetch(step);
    assert_eq!((ask.region.as_str(), ask.limit), ("34.01", Some(1)), "its total is needed, its rows are not");
    let mut step = cycle.next(0, arrived(&[(1, 1)], 3, 51 * SECOND), now);
    for regency in ["34.02", "34.03", "34.04", "34.71"] {
        assert_eq!(fetch(step).region.as_str(), regency);
        publish(cycle.next(0, arrived(&[(2, 40 * SECOND)], 1, 60 * SECOND), now));
        step = cycle.next(0, Event::Published, now);
    }
    fetch(step);
    let slice = publish(cycle.next(0, arrived(&[(1, 1)], 7, 70 * SECOND), now));
    assert_eq!(slice.watermark.map(|record| record.watermark), Some(Timestamp(10 * SECOND)));
}

#[test]
fn a_window_that_was_halved_is_complete_with_its_newer_half() {
    let limits = Limits { hold_bytes_max: 600, by_regency: false, ..limits() };
    let mut cycle = Cycle::new(batch(&["34"]), BTreeMap::new(), limits, 1);
    let (now, at) = (Timestamp(0), 1_700_000_000 * SECOND);
    fetch(cycle.next(0, Event::Free, now));
    let older = fetch(cycle.next(0, arrived(&[(1, at - 2), (2, at - 1)], 90, at), now));
    let middle = older.until.expect("an end");
    assert_eq!(older.since, None);
    let slice = publish(cycle.next(0, arrived(&[(1, at - 2)], 1, at), now));
    assert_eq!(slice.batch.committed, [""; 0], "the region is half read");
    assert_eq!(slice.watermark.map(|record| record.watermark), Some(middle));
    let newer = fetch(cycle.next(0, Event::Published, now));
    assert_eq!((newer.since, newer.until), (Some(middle), None));
    let slice = publish(cycle.next(0, arrived(&[(2, at - 1)], 1, at), now));
    assert_eq!(slice.batch.committed, ["34"]);
    assert_eq!(slice.watermark.map(|record| record.watermark), Some(Timestamp(at - 1)));
}

#[test]
fn a_slice_that_fits_alone_waits_until_another_lane_has_published() {
    // Ten rows at about 80 bytes each take two thirds of the hold.
    let limits = Limits { hold_bytes_max: 1_200, ..limits() };
    let mut cycle = Cycle::new(batch(&["31", "34"]), BTreeMap::new(), limits, 2);
    let now = Timestamp(0);
    fetch(cycle.next(0, Event::Free, now));
    assert_eq!(cycle.next(1, Event::Free, now), Step::Rest, "one lane finds out whether the source answers");
    let rows = |page: u8| [(2 * page, 1), (2 * page + 1, 1)];
    assert_eq!(fetch(cycle.next(0, arrived(&rows(0), 10, 5), now)).page, 2);
    assert_eq!(fetch(cycle.next(1, Event::Free, now)).region.as_str(), "34");
    assert_eq!(cycle.next(1, arrived(&rows(0), 10, 5), now), Step::Rest, "both do not fit");
    for page in 1..4 {
        fetch(cycle.next(0, arrived(&rows(page), 10, 5), now));
    }
    publish(cycle.next(0, arrived(&rows(4), 10, 5), now));
    let ask = fetch(cycle.next(0, Event::Published, now));
    assert_eq!((ask.region.as_str(), ask.page), ("34", 1));
}

/// A small source whose rows change while they are read.
struct Source {
    rows: Vec<SourceRow>,
    now: i64,
}

struct SourceRow {
    id: u8,
    province: &'static str,
    /// None: a row whose regency is not known; only the province has it.
    regency: Option<&'static str>,
    stamp: i64,
}

impl Source {
    fn answer(&self, ask: &Ask) -> Event {
        let mut rows: Vec<(u8, i64)> = self
            .rows
            .iter()
            .filter(|row| {
                if ask.region.is_province() {
                    row.province == ask.region.as_str()
                } else {
                    row.regency == Some(ask.region.as_str())
                }
            })
            .filter(|row| ask.since.is_none_or(|since| row.stamp >= since.0))
            .filter(|row| ask.until.is_none_or(|until| row.stamp < until.0))
            .map(|row| (row.id, row.stamp))
            .collect();
        // By something that has nothing to do with the time of change, as such services do.
        rows.sort_unstable();
        let total = u64::try_from(rows.len()).expect("few rows");
        let limit = usize::try_from(ask.limit.expect("a limit")).expect("a small limit");
        let first = usize::try_from(ask.page - 1).expect("a small page") * limit;
        let given: Vec<(u8, i64)> = rows.into_iter().skip(first).take(limit).collect();
        let mut page = page(&given, 10, self.now);
        page.highest = page.highest.filter(|highest| highest.0 <= self.now + 300 * SECOND);
        Event::Page(Arrived { page, total: Some(total), next: None, source_time: Timestamp(self.now) })
    }
}

/// Numbers that are the same for the same seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bound = u64::try_from(bound).expect("a small bound");
        usize::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound).expect("below a small bound")
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// Goal: whatever happens between two steps, no row that the watermark has passed is missing from what was
/// published, positions tile, and every request is counted.
/// Method: a source with changing rows, faults of every kind, crashes at any step; the model is what
/// was published: the newest stamp of each row.
#[test]
fn random_histories_lose_no_row_behind_a_watermark() {
    let places: [(&str, Option<&str>); 6] = [
        ("31", Some("31.71")),
        ("31", Some("31.74")),
        ("31", None),
        ("34", Some("34.71")),
        ("34", Some("34.04")),
        ("34", None),
    ];
    let (mut splits, mut remainders, mut slices, mut crashes) = (0, 0, 0, 0);
    for seed in 1..=400_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let faulty = chance.below(3);
        let limits = Limits {
            tries_max: 3,
            hold_bytes_max: [400, 1_200, 1 << 20][chance.below(3)],
            cycle_timeout: Duration::from_secs(1 << 30),
            slice_timeout: Duration::from_secs(1 << 20),
            by_regency: !chance.one_in(4),
            ..limits()
        };
        let lanes = 1 + chance.below(3);
        let mut source = Source { rows: Vec::new(), now: 1_700_000_000 * SECOND };
        for id in 0..u8::try_from(chance.below(40)).expect("few rows") {
            let (province, regency) = places[chance.below(places.len())];
            let age = i64::try_from(chance.below(100_000_000)).expect("a small number");
            source.rows.push(SourceRow { id, province, regency, stamp: source.now - age * SECOND });
        }
        let mut marks: BTreeMap<Region, WatermarkRecord> = BTreeMap::new();
        let mut published: BTreeMap<u8, i64> = BTreeMap::new();
        let mut stored = batch(&["31", "34"]);
        for cycle_number in 1..=4_u128 {
            stored = BatchRecord {
                batch_id: Uuid::from_u128(cycle_number),
                ordinal: stored.ordinal,
                started_at: Timestamp(source.now),
                ..batch(&["31", "34"])
            };
            // The last cycle is without faults and must complete.
            let last = cycle_number == 4;
            let mut cycle = Cycle::new(stored.clone(), marks.clone(), limits.clone(), lanes);
            // What each lane will be told; none: it rests.
            let mut events: Vec<Option<Event>> = vec![Some(Event::Free); lanes];
            let mut requests = 0;
            for step_number in 0.. {
                assert!(step_number < 20_000, "seed {seed}: the cycle does not end");
                source.now += SECOND / 10;
                if !last && chance.one_in(5) && !source.rows.is_empty() {
                    let index = chance.below(source.rows.len());
                    source.rows[index].stamp = source.now;
                }
                if faulty > 0 && !last && chance.one_in(150) {
                    crashes += 1;
                    requests = stored.requests;
                    cycle = Cycle::new(stored.clone(), marks.clone(), limits.clone(), lanes);
                    events = vec![Some(Event::Free); lanes];
                }
                let ready: Vec<usize> = (0..lanes).filter(|lane| events[*lane].is_some()).collect();
                assert!(!ready.is_empty(), "seed {seed}: every lane rests and the batch is open");
                let lane = ready[chance.below(ready.len())];
                let event = events[lane].take().expect("a lane that does not rest");
                let mut step = cycle.next(lane, event, Timestamp(source.now));
                if let Step::Publish(slice) = &step {
                    slices += 1;
                    assert_eq!(slice.first_ordinal, stored.ordinal, "seed {seed}: positions tile");
                    assert_eq!(slice.batch.ordinal, stored.ordinal + slice.fetched, "seed {seed}");
                    assert_eq!(slice.batch.requests, requests, "seed {seed}: requests are counted");
                    let refused = faulty > 1 && !last && chance.one_in(20);
                    let answer = if refused { Event::Refused { code: "test" } } else { Event::Published };
                    if !refused {
                        for (_, record) in slice.pages.iter().flat_map(HeldPage::records) {
                            let row = source.rows.iter().find(|row| row.id == record[0]).expect("a row of the source");
                            // A row may have changed since its page was given out; then its stamp is later than
                            // the slice's first request, and no watermark of this slice passes it.
                            let seen = published.entry(row.id).or_insert(i64::MIN);
                            let unchanged = slice.watermark.is_none_or(|mark| row.stamp <= mark.slice_started_at.0);
                            *seen = (*seen).max(if unchanged { row.stamp } else { i64::MIN });
                        }
                        if let Some(mark) = slice.watermark {
                            marks.insert(slice.region.clone(), mark);
                        }
                        stored = slice.batch.clone();
                    }
                    for event in events.iter_mut().filter(|event| event.is_none()) {
                        *event = Some(Event::Free);
                    }
                    events[lane] = None;
                    step = cycle.next(lane, answer, Timestamp(source.now));
                }
                let kinds = [FaultKind::Unreachable, FaultKind::Unreachable, FaultKind::Format];
                events[lane] = match step {
                    Step::Fetch(ask) => {
                        requests += 1;
                        if faulty > 1 && !last && chance.one_in(6) {
                            Some(fault(kinds[chance.below(kinds.len())]))
                        } else if faulty > 1 && !last && chance.one_in(200) {
                            Some(fault(FaultKind::Auth))
                        } else {
                            Some(source.answer(&ask))
                        }
                    }
                    Step::Wait(_) => Some(Event::Waited),
                    Step::RenewToken => Some(Event::Token { changed: chance.one_in(2) }),
                    Step::Publish(_) => panic!("seed {seed}: two slices at once"),
                    Step::Rest => None,
                    Step::End(batch) => {
                        stored = *batch;
                        break;
                    }
                };
                for note in cycle.take_notes() {
                    match note {
                        Note::Split { .. } => splits += 1,
                        Note::Remainder { .. } => remainders += 1,
                        Note::RegionFailed { .. } | Note::Heard => {
                            for event in events.iter_mut().filter(|event| event.is_none()) {
                                *event = Some(Event::Free);
                            }
                        }
                        _ => {}
                    }
                }
            }
            assert_eq!(stored.requests, requests, "seed {seed}: requests are counted");
            assert_eq!(stored.raw + stored.quarantined, stored.fetched, "seed {seed}");
            for row in &source.rows {
                let mark = marks.get(&region(row.province)).map(|mark| mark.watermark.0);
                if mark.is_some_and(|mark| row.stamp <= mark) {
                    let seen = published.get(&row.id).copied();
                    assert!(seen >= Some(row.stamp), "seed {seed}: row {} of {:?} is lost", row.id, row.regency);
                }
            }
            if last {
                // By window alone a tiny hold may be too small for rows of one second; else all is read.
                if stored.failed.is_empty() {
                    assert_eq!(stored.status, Some(BatchStatus::Complete), "seed {seed}");
                    for row in &source.rows {
                        assert!(published.contains_key(&row.id), "seed {seed}: row {} never came", row.id);
                    }
                }
            }
        }
    }
    // A run in which nothing happens proves nothing.
    assert!(
        splits > 100 && remainders > 10 && slices > 1_000 && crashes > 50,
        "{splits} {remainders} {slices} {crashes}"
    );
}
