//! The checker sees each kind of anomaly, and nothing in a sound history.

use std::collections::BTreeMap;

use super::*;

const RAW_IN: [i64; 4] = [2, 3, 6, 7];

fn at(offset: i64) -> Place {
    Place { partition: 0, offset }
}

fn version(stamp: i64) -> Version {
    Version { last_updated: stamp, fetched_at: stamp + 100, rules_revision: 1, content_hash: stamp * 7 }
}

fn report(stage: &str, topic: &str, first: i64, next: i64, counts: &[(&str, i64)]) -> Report {
    Report {
        stage: stage.to_owned(),
        topic: topic.to_owned(),
        partition: 0,
        first,
        next,
        batch: "b".to_owned(),
        counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
    }
}

/// Four raw records in two transactions: a worker twice, a dead one, one found equal. Offsets 4 and 8 are markers.
fn sound() -> History {
    let raw = |offset: i64, key: &str| Raw {
        place: at(offset),
        key: Some(key.to_owned()),
        batch: "b".to_owned(),
        request: "r".to_owned(),
        digest: u64::try_from(offset).expect("an offset"),
    };
    let clean = |offset: i64, origin: i64, stamp: i64| Clean {
        place: at(offset),
        key: "p".to_owned(),
        batch: "b".to_owned(),
        state: Some((at(origin), version(stamp))),
    };
    let write = |order: i64, transaction: i64, stamp: i64, origin: i64| Write {
        order,
        transaction,
        person: "p".to_owned(),
        version: version(stamp),
        deleted: false,
        origin: at(origin),
    };
    let moved = |order: i64, transaction: i64, from: Option<i64>, to: i64| Move {
        order,
        transaction,
        topic: "sisdmk.clean".to_owned(),
        partition: 0,
        by_sink: true,
        from,
        to,
    };
    let told = vec![
        report("producer", "source", 0, 4, &[("fetched", 4), ("raw", 4)]),
        report("processor", "sisdmk.raw", 0, 4, &[("raw_in", 2), ("clean", 1), ("dlq", 1)]),
        report("processor", "sisdmk.raw", 4, 9, &[("raw_in", 2), ("clean", 1), ("processor_equal", 1)]),
    ];
    let sink = [
        report("sink", "sisdmk.clean", 0, 1, &[("clean_in", 1), ("inserted", 1)]),
        report("sink", "sisdmk.clean", 1, 3, &[("clean_in", 1), ("updated", 1)]),
    ];
    History {
        served: vec![Served { request: "r".to_owned(), rows: 4 }],
        raw: vec![raw(RAW_IN[0], "p"), raw(RAW_IN[1], "q"), raw(RAW_IN[2], "p"), raw(RAW_IN[3], "p")],
        clean: vec![clean(0, 2, 10), clean(2, 6, 20)],
        letters: vec![Letter { place: at(0), by_sink: false, origin: at(3), batch: "b".to_owned() }],
        reports: told.iter().chain(&sink).cloned().collect(),
        told,
        writes: vec![write(1, 500, 10, 2), write(2, 501, 20, 6)],
        moves: vec![moved(0, 400, None, 0), moved(1, 500, Some(0), 1), moved(2, 501, Some(1), 3)],
        rows: BTreeMap::from([("p".to_owned(), version(20))]),
    }
}

#[test]
fn a_sound_history_has_no_anomaly() {
    let verdict = check(&sound());
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn each_anomaly_is_found_and_called_by_its_name() {
    let check_one = |kind: Kind, what: &str, break_it: fn(&mut History)| {
        let mut history = sound();
        break_it(&mut history);
        let verdict = check(&history);
        assert!(verdict.has(kind), "{what}: {verdict}");
    };
    check_one(Kind::Lost, "a clean record that was never produced, offset moved on", |h| {
        h.clean.pop();
    });
    check_one(Kind::Lost, "a raw record behind the last report", |h| {
        let mut late = h.raw[0].clone();
        late.place = at(9);
        h.raw.push(late);
    });
    check_one(Kind::Lost, "a clean record that the sink has not taken", |h| {
        h.reports.pop();
    });
    check_one(Kind::Lost, "the newest state is not in the row", |h| {
        h.rows.insert("p".to_owned(), version(10));
    });
    check_one(Kind::Lost, "no row at all", |h| h.rows.clear());
    check_one(Kind::Duplicate, "one raw record is clean twice", |h| {
        let mut again = h.clean[1].clone();
        again.place = at(3);
        h.clean.push(again);
    });
    check_one(Kind::Duplicate, "clean and dead", |h| h.letters[0].origin = at(2));
    check_one(Kind::Duplicate, "more records than the answer had", |h| h.served[0].rows = 3);
    check_one(Kind::AbortedRead, "clean from an aborted raw record", |h| h.clean[1].state = Some((at(5), version(20))));
    check_one(Kind::AbortedRead, "a row of an aborted clean record", |h| h.writes[1].version = version(21));
    check_one(Kind::AbortedRead, "the sink counted an aborted record", |h| {
        h.reports.last_mut().expect("a report").counts.insert("sink_equal".to_owned(), 1);
    });
    check_one(Kind::AbortedRead, "a request that the source does not know", |h| h.served.clear());
    check_one(Kind::Torn, "half a slice", |h| {
        h.raw.pop();
    });
    check_one(Kind::Torn, "half a transaction of the processor", |h| h.letters.clear());
    check_one(Kind::Torn, "rows without a position", |h| h.writes[1].transaction = 999);
    check_one(Kind::Reordered, "the second state came first", |h| {
        h.clean[0].state = Some((at(6), version(10)));
        h.clean[1].state = Some((at(2), version(20)));
    });
    check_one(Kind::Reordered, "another partition than its raw record", |h| h.clean[1].place.partition = 1);
    check_one(Kind::Backwards, "an older state over a newer", |h| {
        let mut back = h.writes[0].clone();
        (back.order, back.transaction) = (3, 501);
        h.writes.push(back);
    });
    check_one(Kind::Backwards, "the same state twice", |h| {
        let mut again = h.writes[1].clone();
        again.order = 3;
        h.writes.push(again);
    });
    check_one(Kind::Untiled, "a gap", |h| h.reports[2].first = 5);
    check_one(Kind::Untiled, "an overlap", |h| h.reports[4].first = 0);
    check_one(Kind::Untiled, "not from the beginning", |h| h.reports[1].first = 1);
    check_one(Kind::Jumped, "a position that went back", |h| {
        h.moves.push(Move { order: 3, transaction: 502, from: Some(3), to: 1, ..h.moves[0].clone() });
    });
    check_one(Kind::Jumped, "a position moved from where it was not", |h| h.moves[2].from = Some(0));
    check_one(Kind::Misreported, "the ledger holds another count than was told", |h| {
        h.reports[1].counts.insert("dlq".to_owned(), 2);
    });
    check_one(Kind::Misreported, "a report that nobody told", |h| {
        h.told.pop();
    });
}

#[test]
fn a_deletion_and_its_return_are_no_step_back() {
    let mut history = sound();
    let mut gone = history.writes[1].clone();
    (gone.order, gone.deleted) = (3, true);
    let mut back = gone.clone();
    (back.order, back.deleted) = (4, false);
    history.writes.extend([gone, back]);
    assert!(check(&history).is_clean(), "{}", check(&history));
}

#[test]
fn an_operator_may_set_a_position_and_the_sink_goes_on_from_it() {
    let mut history = sound();
    let by_hand = Move { order: 3, transaction: 502, by_sink: false, from: Some(3), to: 1, ..history.moves[0].clone() };
    let again = Move { order: 4, transaction: 503, by_sink: true, from: Some(1), to: 3, ..by_hand.clone() };
    history.moves.extend([by_hand, again]);
    assert!(check(&history).is_clean(), "{}", check(&history));
    history.moves[4].from = Some(0);
    assert!(check(&history).has(Kind::Jumped));
}

#[test]
fn the_same_content_under_the_same_stamp_is_no_newer_row() {
    let mut history = sound();
    let polled_again = Version { fetched_at: 5_000, ..version(20) };
    history.clean[1].state = Some((at(6), polled_again));
    history.writes[1].version = polled_again;
    // The row keeps the earlier fetch: equal, whatever the clock says.
    let verdict = check(&history);
    assert!(verdict.is_clean(), "{verdict}");
}

/// The checker itself is deterministic, and a swap of any two neighbouring writes of one row is a step back.
#[test]
fn the_order_of_writes_is_that_of_the_trigger_and_not_of_the_list() {
    let mut history = sound();
    history.writes.reverse();
    assert!(check(&history).is_clean());
    history.writes[0].order = 0;
    assert!(check(&history).has(Kind::Backwards));
}

#[test]
fn a_run_in_which_little_passed_is_told_by_its_share() {
    let share = |planned| passed_percent(&sound(), planned);
    assert_eq!((share(4), share(8), share(2), share(0)), (100, 50, 100, 0));
}
