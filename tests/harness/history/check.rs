//! The judgement of a history: one function for each kind of promise.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Anomaly, Clean, History, Kind, Move, Place, Report, Verdict, Version};

/// What a record of `sisdmk.raw` may end as without leaving a record of its own.
const SILENT: [&str; 2] = ["processor_equal", "processor_stale"];
/// What a record of `sisdmk.clean` may end as.
const SINK_OUTCOMES: [&str; 7] =
    ["inserted", "updated", "deleted", "sink_equal", "sink_stale", "superseded", "rejected"];

/// Judges a history of a pipeline at rest. Pure.
#[must_use]
pub fn check(history: &History) -> Verdict {
    let mut found = Found::default();
    fetched(history, &mut found);
    processed(history, &mut found);
    in_order(history, &mut found);
    taken_in(history, &mut found);
    rows(history, &mut found);
    positions(history, &mut found);
    tiles(&history.reports, &mut found);
    ledger(history, &mut found);
    Verdict {
        anomalies: found.0,
        judged: format!(
            "{} raw, {} clean, {} dead, {} writes of rows, {} moves, {} reports",
            history.raw.len(),
            history.clean.len(),
            history.letters.len(),
            history.writes.len(),
            history.moves.len(),
            history.reports.len()
        ),
    }
}

#[derive(Default)]
struct Found(Vec<Anomaly>);

impl Found {
    fn add(&mut self, kind: Kind, what: String) {
        self.0.push(Anomaly { kind, what });
    }
}

/// Source to raw: a slice is all or nothing, and nothing is invented.
fn fetched(history: &History, found: &mut Found) {
    let served: HashMap<&str, u64> = history.served.iter().map(|one| (one.request.as_str(), one.rows)).collect();
    let mut by_request: BTreeMap<&str, u64> = BTreeMap::new();
    let mut by_batch: BTreeMap<&str, i64> = BTreeMap::new();
    for raw in &history.raw {
        *by_request.entry(&raw.request).or_default() += 1;
        *by_batch.entry(&raw.batch).or_default() += 1;
    }
    for (request, records) in by_request {
        match served.get(request) {
            None => found.add(Kind::AbortedRead, format!("request {request} is in sisdmk.raw, the source knows none")),
            Some(rows) if *rows < records => found
                .add(Kind::Duplicate, format!("request {request} brought {rows} rows and is {records} raw records")),
            Some(_) => {}
        }
    }
    let mut reported: BTreeMap<&str, i64> = BTreeMap::new();
    for report in history.reports.iter().filter(|report| report.stage == "producer") {
        *reported.entry(&report.batch).or_default() += report.count("raw");
    }
    for batch in by_batch.keys().chain(reported.keys()).collect::<BTreeSet<_>>() {
        let (there, told) = (count_of(&by_batch, batch), count_of(&reported, batch));
        if there != told {
            found.add(
                Kind::Torn,
                format!("batch {batch}: {there} records in sisdmk.raw, the producer's reports say {told}"),
            );
        }
    }
}

fn count_of(counts: &BTreeMap<&str, i64>, name: &str) -> i64 {
    counts.get(name).copied().unwrap_or(0)
}

/// Raw to clean or dead: each offset has one outcome, and its report says the same.
fn processed(history: &History, found: &mut Found) {
    let committed: HashSet<Place> = history.raw.iter().map(|raw| raw.place).collect();
    let mut outcomes: HashMap<Place, u64> = HashMap::new();
    let clean = history.clean.iter().filter_map(|clean| clean.state.map(|(origin, _)| (origin, clean.place, "clean")));
    let dead = history.letters.iter().filter(|letter| !letter.by_sink);
    let dead = dead.map(|letter| (letter.origin, letter.place, "dlq"));
    for (origin, place, topic) in clean.chain(dead) {
        *outcomes.entry(origin).or_default() += 1;
        if !committed.contains(&origin) {
            found.add(Kind::AbortedRead, format!("sisdmk.{topic} {place} was made of raw {origin}, never committed"));
        }
    }
    for (place, times) in &outcomes {
        if *times > 1 {
            found.add(Kind::Duplicate, format!("raw {place} ended {times} times"));
        }
    }
    let reports = Ranges::of(&history.reports, "processor");
    let mut in_report: HashMap<*const Report, InReport> = HashMap::new();
    for raw in &history.raw {
        match reports.find(raw.place) {
            None => found.add(Kind::Lost, format!("raw {} is in no report of the processor", raw.place)),
            Some(report) => {
                let inside = in_report.entry(report).or_default();
                inside.raw += 1;
                if !outcomes.contains_key(&raw.place) {
                    inside.silent.push(raw.place);
                }
                if raw.batch != report.batch {
                    found.add(Kind::Torn, format!("raw {} is of another batch than its report", raw.place));
                }
            }
        }
    }
    for clean in &history.clean {
        if let Some((origin, _)) = clean.state
            && let Some(report) = reports.find(origin)
        {
            in_report.entry(report).or_default().clean += 1;
        }
    }
    for letter in history.letters.iter().filter(|letter| !letter.by_sink) {
        if let Some(report) = reports.find(letter.origin) {
            in_report.entry(report).or_default().dead += 1;
        }
    }
    for report in reports.all() {
        let nothing = InReport::default();
        let inside = in_report.get(&std::ptr::from_ref(report)).unwrap_or(&nothing);
        processor_report(report, inside, found);
    }
}

#[derive(Default)]
struct InReport {
    raw: i64,
    clean: i64,
    dead: i64,
    silent: Vec<Place>,
}

fn processor_report(report: &Report, inside: &InReport, found: &mut Found) {
    let range = format!("raw {}/{}..{}", report.partition, report.first, report.next);
    let silent = report.sum(&SILENT);
    let missing = i64::try_from(inside.silent.len()).unwrap_or(i64::MAX);
    if missing > silent {
        let first = inside.silent.first().map(ToString::to_string).unwrap_or_default();
        found.add(Kind::Lost, format!("{range}: {missing} records ended nowhere, {silent} may have; first {first}"));
    }
    let clean = report.count("clean") - report.count("deletes_found");
    for (name, there, told) in [("clean", inside.clean, clean), ("dlq", inside.dead, report.count("dlq"))] {
        if there != told {
            found.add(Kind::Torn, format!("{range}: {there} records of sisdmk.{name}, the report says {told}"));
        }
    }
    if inside.raw != report.count("raw_in") {
        let kind = if inside.raw < report.count("raw_in") { Kind::AbortedRead } else { Kind::Lost };
        found.add(kind, format!("{range}: {} records, {} were taken in", inside.raw, report.count("raw_in")));
    }
}

/// The order of one person's records is the same in clean as in raw.
fn in_order(history: &History, found: &mut Found) {
    let mut clean: Vec<&Clean> = history.clean.iter().collect();
    clean.sort_by_key(|clean| clean.place);
    let mut last: HashMap<&str, (Place, Place)> = HashMap::new();
    for one in clean {
        let Some((origin, _)) = one.state else { continue };
        if let Some((before, place)) = last.insert(&one.key, (origin, one.place))
            && before.partition == origin.partition
            && before.offset > origin.offset
        {
            found.add(
                Kind::Reordered,
                format!("clean {} came from raw {origin}, after clean {place} from raw {before}", one.place),
            );
        }
        if origin.partition != one.place.partition {
            found.add(Kind::Reordered, format!("clean {} came from raw {origin}, another partition", one.place));
        }
    }
}

/// Clean to the tables, by the sink's own counts.
fn taken_in(history: &History, found: &mut Found) {
    let reports = Ranges::of(&history.reports, "sink");
    let mut there: HashMap<*const Report, i64> = HashMap::new();
    for clean in &history.clean {
        match reports.find(clean.place) {
            Some(report) => *there.entry(report).or_default() += 1,
            None => found.add(Kind::Lost, format!("clean {} is in no report of the sink", clean.place)),
        }
    }
    for report in reports.all() {
        let there = there.get(&std::ptr::from_ref(report)).copied().unwrap_or(0);
        let counted = report.sum(&SINK_OUTCOMES);
        let range = format!("clean {}/{}..{}", report.partition, report.first, report.next);
        if counted > there {
            found.add(Kind::AbortedRead, format!("{range}: {there} committed records, {counted} were taken in"));
        }
        if counted < there {
            found.add(Kind::Lost, format!("{range}: {there} committed records, {counted} were taken in"));
        }
    }
}

/// Every row went forward only, to states that were committed, and ended at the newest.
fn rows(history: &History, found: &mut Found) {
    let mut states: HashMap<&str, HashMap<Version, Place>> = HashMap::new();
    let refused: HashSet<Place> =
        history.letters.iter().filter(|letter| letter.by_sink).map(|letter| letter.origin).collect();
    let mut newest: BTreeMap<&str, Version> = BTreeMap::new();
    for clean in &history.clean {
        let Some((origin, version)) = clean.state else { continue };
        states.entry(&clean.key).or_default().insert(version, origin);
        if !refused.contains(&origin) {
            newest.entry(&clean.key).and_modify(|kept| *kept = newer(*kept, version)).or_insert(version);
        }
    }
    let mut writes: Vec<_> = history.writes.iter().collect();
    writes.sort_by_key(|write| write.order);
    let mut last: HashMap<&str, (Version, bool)> = HashMap::new();
    for write in writes {
        let person = write.person.as_str();
        if !states.get(person).is_some_and(|states| states.contains_key(&write.version)) {
            found.add(
                Kind::AbortedRead,
                format!("person {person}: a state from raw {} was written that no clean record has", write.origin),
            );
        }
        if let Some((before, deleted)) = last.insert(person, (write.version, write.deleted))
            && before >= write.version
            && !(before == write.version && deleted != write.deleted)
        {
            found.add(Kind::Backwards, format!("person {person}: raw {} was written over a newer state", write.origin));
        }
    }
    for (person, version) in newest {
        match history.rows.get(person) {
            None => found.add(Kind::Lost, format!("person {person} has clean records and no row")),
            Some(row) if newer(*row, version) != *row => {
                found.add(Kind::Lost, format!("person {person}: the newest clean record is not in the row"));
            }
            Some(_) => {}
        }
    }
}

/// The same content under the same stamp is no news.
fn newer(kept: Version, other: Version) -> Version {
    let same = kept.last_updated == other.last_updated && kept.content_hash == other.content_hash;
    if same || kept > other { kept } else { other }
}

/// Positions of the sink went on from where they were, each in the transaction of its rows.
fn positions(history: &History, found: &mut Found) {
    let mut moves: Vec<&Move> = history.moves.iter().collect();
    moves.sort_by_key(|one| one.order);
    let mut last: HashMap<(&str, i32), i64> = HashMap::new();
    for one in &moves {
        let before = last.insert((&one.topic, one.partition), one.to);
        let from = one.from.unwrap_or(0);
        if one.by_sink && (before.is_some_and(|before| before != from) || one.to < from) {
            found.add(Kind::Jumped, format!("{}/{} moved from {from} to {}", one.topic, one.partition, one.to));
        }
    }
    let moving: HashSet<i64> =
        moves.iter().filter(|one| one.topic == "sisdmk.clean").map(|one| one.transaction).collect();
    let alone: BTreeSet<i64> =
        history.writes.iter().map(|write| write.transaction).filter(|one| !moving.contains(one)).collect();
    for transaction in alone {
        found.add(Kind::Torn, format!("transaction {transaction} of the database wrote rows and moved no position"));
    }
}

/// Ranges of each partition begin at 0 and each where the one before it ended.
fn tiles(reports: &[Report], found: &mut Found) {
    let mut sorted: Vec<&Report> = reports.iter().collect();
    sorted.sort_by_key(|report| (&report.stage, &report.topic, report.partition, report.first, report.next));
    let mut next: HashMap<(&str, &str, i32), i64> = HashMap::new();
    for report in sorted {
        let expected = next.insert((&report.stage, &report.topic, report.partition), report.next).unwrap_or(0);
        if expected != report.first || report.next < report.first {
            found.add(
                Kind::Untiled,
                format!(
                    "{} on {}/{}: {}..{} does not begin at {expected}",
                    report.stage, report.topic, report.partition, report.first, report.next
                ),
            );
        }
    }
}

/// The ledger holds exactly what the stages before the sink told.
fn ledger(history: &History, found: &mut Found) {
    let key = |report: &Report| (report.stage.clone(), report.topic.clone(), report.partition, report.first);
    let held: BTreeMap<_, &Report> =
        history.reports.iter().filter(|report| report.stage != "sink").map(|report| (key(report), report)).collect();
    let mut told = BTreeSet::new();
    for report in &history.told {
        told.insert(key(report));
        if held.get(&key(report)) != Some(&report) {
            found.add(
                Kind::Misreported,
                format!("{} {}/{}: told and not in the ledger", report.stage, report.partition, report.first),
            );
        }
    }
    for report in held.values().filter(|report| !told.contains(&key(report))) {
        found.add(
            Kind::Misreported,
            format!("{} {}/{}: in the ledger and never told", report.stage, report.partition, report.first),
        );
    }
}

/// The reports of one stage, to find the one that covers a place.
struct Ranges<'h>(BTreeMap<(i32, i64), &'h Report>);

impl<'h> Ranges<'h> {
    fn of(reports: &'h [Report], stage: &str) -> Self {
        Self(
            reports
                .iter()
                .filter(|report| report.stage == stage && report.topic != "sisdmk.audit")
                .map(|report| ((report.partition, report.first), report))
                .collect(),
        )
    }

    fn find(&self, place: Place) -> Option<&'h Report> {
        let (_, report) = self.0.range(..=(place.partition, place.offset)).next_back()?;
        report.covers(place).then_some(*report)
    }

    fn all(&self) -> impl Iterator<Item = &'h Report> + '_ {
        self.0.values().copied()
    }
}

/// How many of the states that a test planned have passed, in percent, at most 100. One that was polled twice counts once.
#[must_use]
pub fn passed_percent(history: &History, planned: usize) -> usize {
    let passed = history.raw.iter().map(|raw| raw.digest).collect::<HashSet<_>>().len();
    (passed * 100).checked_div(planned).unwrap_or(0).min(100)
}
