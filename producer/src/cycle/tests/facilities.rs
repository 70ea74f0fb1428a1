//! Facilities: groups, order, resuming, bounded memory.

use super::*;
use crate::facility;
use crate::state::FacilitiesRecord;

fn codes(count: usize) -> Vec<Region> {
    let all = (0..count).filter_map(|number| Region::facility(&format!("P{number:05}"))).collect();
    facility::in_order(all).expect("some")
}

fn limits() -> Limits {
    Limits { paging: PagingKind::None, page_rows_max: None, hold_bytes_max: 64 << 20, ..super::limits() }
}

fn of_facilities() -> BatchRecord {
    BatchRecord { facilities: Some(FacilitiesRecord::default()), ..batch(&[]) }
}

fn held(rows: &[(u8, i64)], bytes: usize) -> Event {
    Event::Page(Arrived { page: page(rows, bytes, 5), total: None, next: None, source_time: Timestamp(5) })
}

fn record(batch: &BatchRecord) -> FacilitiesRecord {
    batch.facilities.clone().expect("a batch over facilities")
}

#[test]
fn a_hundred_facilities_go_out_together_and_one_code_says_how_far() {
    let codes = codes(250);
    let mut cycle = Cycle::over_facilities(of_facilities(), &codes, limits(), 1);
    let now = Timestamp(0);
    let mut step = cycle.next(0, Event::Free, now);
    let mut groups = Vec::new();
    loop {
        step = match step {
            Step::Fetch(ask) => {
                assert!(ask.region.is_facility() && ask.since.is_none() && ask.limit.is_none());
                // Every third has nobody.
                let nobody = ask.region.as_str().ends_with(['0', '3', '6', '9']);
                cycle.next(0, held(if nobody { &[] } else { &[(1, 0)] }, 10), now)
            }
            Step::Publish(slice) => {
                assert_eq!((slice.watermark, slice.batch.committed.len()), (None, 0));
                groups.push((slice.label.clone(), slice.fetched, slice.requests, record(&slice.batch)));
                cycle.next(0, Event::Published, now)
            }
            Step::End(batch) => {
                assert_eq!((batch.status, batch.fetched, batch.requests), (Some(BatchStatus::Complete), 150, 250));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let told: Vec<_> =
        groups.iter().map(|(label, fetched, requests, _)| (label.as_str(), *fetched, *requests)).collect();
    assert_eq!(told, [("P00000..P00099", 60, 100), ("P00100..P00199", 60, 100), ("P00200..P00249", 30, 50)]);
    let last = &groups.last().expect("a group").3;
    assert_eq!((last.planned, last.done, last.failed, last.through.as_deref()), (250, 250, 0, Some("P00249")));
}

#[test]
fn the_state_stays_small_however_long_the_list_is() {
    let codes = codes(20_000);
    let mut cycle = Cycle::over_facilities(of_facilities(), &codes, Limits { tries_max: 1, ..limits() }, 1);
    let (now, mut asked, mut longest) = (Timestamp(0), 0_u64, 0);
    let mut step = cycle.next(0, Event::Free, now);
    let batch = loop {
        step = match step {
            Step::Fetch(_) => {
                asked += 1;
                // Every second one is not the declared shape: all of that is told in numbers.
                let event = if asked.is_multiple_of(2) { fault(FaultKind::Format) } else { held(&[(1, 0)], 10) };
                cycle.next(0, event, now)
            }
            Step::Publish(slice) => {
                longest = longest.max(serde_json::to_vec(&slice.batch).expect("JSON").len());
                cycle.next(0, Event::Published, now)
            }
            Step::End(batch) => break *batch,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((asked, record(&batch).done, record(&batch).failed), (20_000, 10_000, 10_000));
    assert_eq!((batch.status, batch.failed.len()), (Some(BatchStatus::FormatChanged), 20));
    assert!(longest < 1_000, "{longest} bytes with every transaction");
}

#[test]
fn a_complete_facility_waits_for_others_only_so_long() {
    let mut cycle = Cycle::over_facilities(of_facilities(), &codes(50), limits(), 1);
    fetch(cycle.next(0, Event::Free, Timestamp(0)));
    fetch(cycle.next(0, held(&[(1, 0)], 10), Timestamp(0)));
    let slice = publish(cycle.next(0, held(&[(2, 0)], 10), Timestamp(5 * SECOND)));
    assert_eq!((slice.label.as_str(), slice.fetched), ("P00000..P00001", 2));
}

#[test]
fn what_is_ahead_of_a_slow_one_waits_and_is_bounded() {
    let mut cycle = Cycle::over_facilities(of_facilities(), &codes(1_000), limits(), 2);
    let now = Timestamp(0);
    fetch(cycle.next(0, Event::Free, now));
    fetch(cycle.next(0, held(&[(1, 0)], 10), now));
    // Lane 0 is at the second one for long; lane 1 may run ahead, and nothing may go out before its turn.
    let mut step = cycle.next(1, Event::Free, now);
    let mut ahead = 0;
    while let Step::Fetch(_) = step {
        ahead += 1;
        step = cycle.next(1, held(&[(1, 0)], 10), Timestamp(60 * SECOND));
        if let Step::Publish(slice) = &step {
            assert_eq!(slice.label, "P00000", "only what is in turn");
            step = cycle.next(1, Event::Published, now);
        }
    }
    assert_eq!(step, Step::Rest);
    assert!((150..=200).contains(&ahead), "{ahead}");
    let slice = publish(cycle.next(0, held(&[(2, 0)], 10), now));
    assert_eq!(slice.label, "P00001..P00100");
}

#[test]
fn a_refusal_publishes_nothing_more_and_other_ends_publish_what_is_good() {
    let begin = || {
        let mut cycle = Cycle::over_facilities(of_facilities(), &codes(50), Limits { tries_max: 1, ..limits() }, 1);
        fetch(cycle.next(0, Event::Free, Timestamp(0)));
        fetch(cycle.next(0, held(&[(1, 0)], 10), Timestamp(0)));
        cycle
    };
    let now = Timestamp(0);
    let mut cycle = begin();
    assert_eq!(cycle.next(0, fault(FaultKind::Auth), now), Step::RenewToken);
    let batch = end(cycle.next(0, Event::Token { changed: false }, now));
    assert_eq!((batch.status, batch.fetched), (Some(BatchStatus::AuthFailed), 0));

    let mut cycle = begin();
    fetch(cycle.next(0, fault(FaultKind::Unreachable), now));
    let slice = publish(cycle.next(0, fault(FaultKind::Unreachable), now));
    assert_eq!((slice.label.as_str(), slice.fetched, record(&slice.batch).failed), ("P00000..P00002", 1, 2));
    let batch = end(cycle.next(0, Event::Published, now));
    assert_eq!(
        (batch.status, batch.failed),
        (Some(BatchStatus::Failed), vec!["P00001".to_owned(), "P00002".to_owned()])
    );
}

#[test]
fn a_source_where_nobody_works_anywhere_is_not_believed() {
    let run = |facilities: usize| {
        let mut cycle = Cycle::over_facilities(of_facilities(), &codes(facilities), limits(), 1);
        let mut step = cycle.next(0, Event::Free, Timestamp(0));
        loop {
            step = match step {
                Step::Fetch(_) => cycle.next(0, held(&[], 10), Timestamp(0)),
                Step::Publish(_) => cycle.next(0, Event::Published, Timestamp(0)),
                Step::End(batch) => break batch.status,
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(run(9), Some(BatchStatus::Complete));
    assert_eq!(run(10), Some(BatchStatus::FormatChanged));
}

#[test]
fn one_facility_that_cannot_be_published_does_not_take_others_with_it() {
    let mut cycle = Cycle::over_facilities(of_facilities(), &codes(3), limits(), 1);
    let now = Timestamp(0);
    let mut step = cycle.next(0, Event::Free, now);
    let (mut published, mut asked) = (Vec::new(), 0);
    let batch = loop {
        step = match step {
            Step::Fetch(_) => {
                asked += 1;
                cycle.next(0, held(&[(1, 0)], 10), now)
            }
            Step::Publish(slice) if slice.fetched > 0 && slice.label != "P00000" && slice.label != "P00002" => {
                cycle.next(0, Event::Refused { code: "record_too_large" }, now)
            }
            Step::Publish(slice) => {
                published.push((slice.label.clone(), slice.fetched));
                cycle.next(0, Event::Published, now)
            }
            Step::End(batch) => break *batch,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked, 6, "each was read once more");
    let told: Vec<(&str, u64)> = published.iter().map(|(label, fetched)| (label.as_str(), *fetched)).collect();
    assert_eq!(told, [("P00000", 1), ("P00001", 0), ("P00002", 1)]);
    assert_eq!((batch.status, batch.failed), (Some(BatchStatus::Failed), vec!["P00001".to_owned()]));
}

/// Goal: whatever fails and whenever the process dies, each facility's rows are published or it is counted as failed,
/// positions tile, memory stays within the hold, and little is asked twice.
/// Method: random answers, faults, refusals and crashes, each from what the state held at that moment.
#[test]
fn random_histories_lose_no_facility() {
    let (mut crashes, mut groups, mut refusals) = (0, 0, 0);
    for seed in 1..=150_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (total, lanes) = (1 + chance.below(600), 1 + chance.below(4));
        let codes = codes(total);
        let faulty = chance.below(2) == 1;
        let hold_bytes_max = [20_000, 1 << 20, 64 << 20][chance.below(3)];
        let limits = Limits { tries_max: 3, hold_bytes_max, cycle_timeout: Duration::from_secs(1 << 30), ..limits() };
        let mut stored = of_facilities();
        let mut published: BTreeMap<String, u32> = BTreeMap::new();
        let (mut now, mut asked, mut rows_stored) = (0_i64, 0, 0);
        'process: for process in 0.. {
            assert!(process < 200, "seed {seed}: no end");
            let mut cycle = Cycle::over_facilities(stored.clone(), &codes, limits.clone(), lanes);
            let mut events: Vec<Option<Event>> = vec![Some(Event::Free); lanes];
            let mut at: Vec<Option<Region>> = vec![None; lanes];
            loop {
                now += SECOND / 10;
                if faulty && chance.one_in(400) {
                    crashes += 1;
                    continue 'process;
                }
                let ready: Vec<usize> = (0..lanes).filter(|lane| events[*lane].is_some()).collect();
                assert!(!ready.is_empty(), "seed {seed}: every lane rests and the batch is open");
                let lane = ready[chance.below(ready.len())];
                let mut event = events[lane].take().expect("a lane that does not rest");
                let mut wakes = false;
                loop {
                    let step = cycle.next(lane, event, Timestamp(now));
                    wakes |= !cycle.take_notes().is_empty();
                    match step {
                        Step::Fetch(ask) => {
                            asked += 1;
                            let kinds = [FaultKind::Unreachable, FaultKind::Format];
                            events[lane] = Some(if faulty && chance.one_in(12) {
                                fault(kinds[chance.below(2)])
                            } else {
                                let rows = vec![(1, 0); chance.below(4)];
                                held(&rows, [10, 1_000][chance.below(2)])
                            });
                            at[lane] = Some(ask.region);
                            break;
                        }
                        Step::Wait(_) => {
                            events[lane] = Some(Event::Waited);
                            break;
                        }
                        Step::Publish(slice) => {
                            groups += 1;
                            wakes = true;
                            assert_eq!(slice.first_ordinal, stored.ordinal, "seed {seed}: positions tile");
                            let held: usize = slice.pages.iter().map(HeldPage::held_bytes).sum();
                            assert!(held <= hold_bytes_max, "seed {seed}: {held} bytes");
                            if faulty && chance.one_in(30) {
                                refusals += 1;
                                event = Event::Refused { code: "test" };
                                continue;
                            }
                            let (before, after) = (record(&stored), record(&slice.batch));
                            assert!(after.through > before.through, "seed {seed}");
                            let behind = facility::after(&codes, before.through.as_deref()).len();
                            let left = facility::after(&codes, after.through.as_deref()).len();
                            assert_eq!(count(behind - left), after.done + after.failed - before.done - before.failed);
                            *published.entry(slice.label.clone()).or_default() += 1;
                            rows_stored += slice.fetched;
                            stored = slice.batch.clone();
                            event = Event::Published;
                        }
                        Step::Rest => break,
                        Step::End(batch) => {
                            let done = record(&batch);
                            assert_eq!(batch.fetched, rows_stored, "seed {seed}");
                            if batch.status == Some(BatchStatus::Complete) || !faulty {
                                assert_eq!(done.done, count(total), "seed {seed}");
                            }
                            if record(&stored).through.as_deref() == codes.last().map(Region::as_str) {
                                assert_eq!(done.done + done.failed, count(total), "seed {seed}");
                            } else {
                                assert_ne!(batch.status, Some(BatchStatus::Complete), "seed {seed}");
                            }
                            if !faulty {
                                let again = if hold_bytes_max == 20_000 { total } else { 0 };
                                assert!(asked <= total + again, "seed {seed}: {asked} requests for {total}");
                            }
                            break 'process;
                        }
                        Step::RenewToken => panic!("seed {seed}: nobody refused"),
                    }
                }
                if wakes {
                    for event in events.iter_mut().filter(|event| event.is_none()) {
                        *event = Some(Event::Free);
                    }
                }
            }
        }
    }
    assert!(crashes > 20 && groups > 500 && refusals > 10, "{crashes} {groups} {refusals}");
}
