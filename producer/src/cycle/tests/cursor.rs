//! Pages that are chained: each answer says what leads to the next one.

use super::*;

fn chained(rows: &[(u8, i64)], total: Option<u64>, next: Option<&str>) -> Event {
    let next = next.map(|text| Cursor::new(text.to_owned()));
    Event::Page(Arrived { page: page(rows, 10, 5), total, next, source_time: Timestamp(5) })
}

fn cycle(tries_max: u32) -> Cycle {
    let limits = Limits { paging: PagingKind::Cursor, tries_max, ..limits() };
    Cycle::new(batch(&["31"]), BTreeMap::new(), limits, 1)
}

fn cursor(ask: &Ask) -> Option<&str> {
    ask.cursor.as_ref().map(Cursor::expose)
}

#[test]
fn the_chain_is_followed_to_its_end() {
    let (mut cycle, now) = (cycle(4), Timestamp(0));
    assert_eq!(cursor(&fetch(cycle.next(0, Event::Free, now))), None);
    assert_eq!(cursor(&fetch(cycle.next(0, chained(&[(1, 1), (2, 2)], None, Some("a")), now))), Some("a"));
    // A page without rows is not the end as long as something leads on.
    assert_eq!(cursor(&fetch(cycle.next(0, chained(&[], None, Some("b")), now))), Some("b"));
    // A failed request is put again for the same page.
    wait(cycle.next(0, fault(FaultKind::Unreachable), now));
    assert_eq!(cursor(&fetch(cycle.next(0, Event::Waited, now))), Some("b"));
    let slice = publish(cycle.next(0, chained(&[(3, 3)], None, None), now));
    assert_eq!((slice.fetched, slice.requests), (3, 4));
    assert_eq!(slice.watermark.map(|record| record.watermark), Some(Timestamp(3)));
}

#[test]
fn a_chain_that_leads_round_in_a_circle_fails_the_slice() {
    for circle in [&["a", "a"][..], &["a", "b", "a"], &["a", "b", "c", "b"]] {
        let (mut cycle, now) = (cycle(1), Timestamp(0));
        fetch(cycle.next(0, Event::Free, now));
        let (last, before) = circle.split_last().expect("a circle");
        for (id, next) in (1..).zip(before) {
            fetch(cycle.next(0, chained(&[(id, 1), (id + 100, 1)], None, Some(next)), now));
        }
        let batch = end(cycle.next(0, chained(&[(50, 1)], None, Some(last)), now));
        assert_eq!(
            (batch.status, batch.fetched, batch.requests),
            (Some(BatchStatus::FormatChanged), 0, count(circle.len()))
        );
        let told = |note: &Note| matches!(note, Note::RegionFailed { code: "cursor_repeated", .. });
        assert!(cycle.take_notes().iter().any(told), "{circle:?}");
    }
}

#[test]
fn the_same_page_under_another_cursor_fails_the_slice() {
    let (mut cycle, now) = (cycle(1), Timestamp(0));
    fetch(cycle.next(0, Event::Free, now));
    fetch(cycle.next(0, chained(&[(1, 1), (2, 1)], None, Some("a")), now));
    let batch = end(cycle.next(0, chained(&[(1, 1), (2, 1)], None, Some("b")), now));
    assert_eq!((batch.status, batch.fetched), (Some(BatchStatus::FormatChanged), 0));
}

#[test]
fn another_pass_begins_without_a_cursor() {
    let (mut cycle, now) = (cycle(4), Timestamp(0));
    fetch(cycle.next(0, Event::Free, now));
    fetch(cycle.next(0, chained(&[(1, 1), (2, 1)], Some(4), Some("a")), now));
    // One is missing: read again, and the same cursors are no circle.
    assert_eq!(cursor(&fetch(cycle.next(0, chained(&[(3, 1)], Some(4), None), now))), None);
    assert_eq!(cursor(&fetch(cycle.next(0, chained(&[(1, 1), (2, 1)], Some(4), Some("a")), now))), Some("a"));
    assert_eq!(publish(cycle.next(0, chained(&[(3, 1), (4, 1)], Some(4), None), now)).fetched, 4);
}

#[test]
fn a_cursor_is_not_printed() {
    let mut cycle = cycle(4);
    cycle.next(0, Event::Free, Timestamp(0));
    let step = cycle.next(0, chained(&[(1, 1)], None, Some("SECRET")), Timestamp(0));
    assert!(!format!("{step:?} {cycle:?}").contains("SECRET"));
}
