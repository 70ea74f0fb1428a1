//! A year of a producer without waiting: the pure cycle, agenda and incidents, driven by a source, operators and
//! crashes as they come, against a small model that knows none of their code.
//!
//! Goal: whatever happens in a year, at every step: no watermark passes a row that was not published; no request
//! is tried more than 1 + 3 times; none goes out while the credentials are refused; of each kind at most one
//! incident burns, and its beginnings and ends alternate; cycles do not overlap; each due time is served once, and
//! after downtime one cycle catches up.
//! Method: everything is drawn from a seed, which is printed with a failure; `SISDMK_YEAR_SEED=n` replays one.
//! The shell below does what the real loop does with what the pure parts say, and nothing else; where `broken` says so,
//! it breaks a promise.

mod broken;
mod model;
mod world;

use broken::Broken;
use model::{Model, Told};
use producer::agenda::{self, First, Next};
use producer::cycle::{Ask, Cycle, Event, FaultKind, Limits, Note, Step};
use producer::incident::{self, Notice, Target};
use producer::profile::PagingKind;
use producer::region::Region;
use producer::schedule::Schedule;
use producer::state::{
    BatchKind, BatchRecord, BatchState, BatchStatus, IncidentKind, IncidentRecord, IncidentsRecord, ScheduleRecord,
    WatermarkRecord,
};
use schemas::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;
use world::{Chance, SourceRow, Weather, World};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// 2028-01-01T00:00:00Z: a leap year.
const BEGIN: i64 = 1_830_297_600 * SECOND;
const PROVINCES: [&str; 3] = ["31", "34", "94"];
const JITTER_MAX: i64 = 60 * SECOND;
const TRIES_MAX: u32 = 4;
const LANES: usize = 2;

/// What survives a crash.
#[derive(Default)]
struct Durable {
    schedule: ScheduleRecord,
    batch: Option<BatchRecord>,
    watermarks: BTreeMap<Region, WatermarkRecord>,
    incidents: IncidentsRecord,
    notices: Vec<Notice>,
}

/// A process that runs, and what it forgets when it dies.
struct Process {
    came_up: i64,
    jitter: i64,
    token: u32,
    running: Option<Running>,
}

struct Running {
    cycle: Cycle,
    /// What each lane waits for and until when; none: it rests.
    lanes: Vec<Option<(i64, Waiting)>>,
    met: BTreeSet<IncidentKind>,
    good_answers: u64,
}

enum Waiting {
    Free,
    Answer { ask: Ask, token: u32 },
    Time,
}

impl Running {
    fn wake(&mut self, now: i64) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_none()) {
            *lane = Some((now, Waiting::Free));
        }
    }
}

struct Year {
    world: World,
    model: Model,
    durable: Durable,
    schedule: Schedule,
    limits: Limits,
    broken: Broken,
}

fn limits(broken: Broken) -> Limits {
    Limits {
        tries_max: TRIES_MAX + u32::from(broken == Broken::FifthTry),
        backoff: Duration::from_secs(1),
        backoff_max: Duration::from_secs(30),
        retry_after_max: Duration::from_secs(300),
        slice_timeout: Duration::from_secs(1_800),
        cycle_timeout: Duration::from_secs(5 * 3_600),
        hold_bytes_max: 1 << 20,
        record_bytes_max: 1_000,
        can_quarantine: true,
        page_rows_max: Some(3),
        paging: PagingKind::Page,
        request_interval: Duration::from_millis(100),
        lookback: Duration::from_secs(600),
        by_regency: false,
        by_window: false,
    }
}

impl Year {
    fn new(seed: u64, broken: Broken) -> Self {
        let mut chance = Chance::of(seed);
        let mut rows = Vec::new();
        for _ in 0..60 {
            let age = chance.between(DAY, 900 * DAY);
            rows.push(SourceRow { province: chance.place(&PROVINCES), stamp: BEGIN - age });
        }
        let world = World {
            chance,
            now: BEGIN,
            rows,
            weather: Weather::Fine,
            weather_until: BEGIN + DAY,
            token_file: 1,
            good_token: 1,
            new_token_at: None,
            webhook_down_until: BEGIN,
            passes: 0,
            left_out: None,
        };
        let schedule = Schedule::parse("0 */6 * * *", "Asia/Jakarta").expect("a schedule");
        let model = Model { seed, ..Model::default() };
        Self { world, model, durable: Durable::default(), schedule, limits: limits(broken), broken }
    }

    /// Lives until `end`; a process dies now and then and stays away for a while.
    fn run(&mut self, end: i64, may_die: bool) {
        while self.world.now < end {
            let dies_at = self.world.now + self.world.chance.between(HOUR, 12 * DAY);
            self.live(if may_die { end.min(dies_at) } else { end });
            if may_die && self.world.now < end {
                self.model.crashes += 1;
                let away = if self.world.chance.one_in(4) { 20 * DAY } else { HOUR };
                let until = self.world.now + self.world.chance.between(SECOND, away);
                self.world.pass(until);
            }
        }
    }

    /// One process, from its start to its death or `until`. Dying in the middle of a batch is the rule: see `step`.
    fn live(&mut self, until: i64) {
        let (came_up, jitter, token) = (self.world.now, self.draw_jitter(), self.world.token_file);
        let mut process = Process { came_up, jitter, token, running: None };
        (self.model.refused, self.model.tries) = (0, BTreeMap::new());
        if self.broken == Broken::NoCatchUp {
            self.durable.schedule.last_due = self.durable.schedule.last_due.map(|_| Timestamp(came_up));
        }
        if let Some(open) = self.durable.batch.clone().filter(|batch| batch.state == BatchState::Open) {
            process.running = Some(self.resume(open));
        } else {
            let newer = self.world.token_file == self.world.good_token;
            if agenda::first(&self.durable.schedule, false, newer) == First::EndStop {
                self.may_ask(&mut process);
                if self.durable.schedule.enabled {
                    self.start(&mut process, BatchKind::Scheduled, None);
                }
            }
        }
        while self.world.now < until {
            self.deliver();
            if process.running.is_none() {
                self.idle(&mut process, until);
            } else if self.world.chance.one_in(700) {
                return;
            } else {
                self.step(&mut process);
            }
        }
    }

    fn draw_jitter(&mut self) -> i64 {
        self.world.chance.between(0, JITTER_MAX)
    }

    fn resume(&self, batch: BatchRecord) -> Running {
        let cycle = Cycle::new(batch, self.durable.watermarks.clone(), self.limits.clone(), LANES);
        let lanes = (0..LANES).map(|_| Some((self.world.now, Waiting::Free))).collect();
        Running { cycle, lanes, met: BTreeSet::new(), good_answers: 0 }
    }

    fn may_ask(&mut self, process: &mut Process) {
        self.durable.schedule = agenda::may_ask(&self.durable.schedule);
        process.token = self.world.token_file;
        self.model.refused = 0;
    }

    fn start(&mut self, process: &mut Process, kind: BatchKind, due: Option<Timestamp>) {
        process.jitter = self.draw_jitter();
        let planned = match kind {
            BatchKind::Manual => vec![self.world.chance.place(&PROVINCES).to_owned()],
            _ => PROVINCES.map(str::to_owned).to_vec(),
        };
        let batch = BatchRecord {
            batch_id: Uuid::from_u128(u128::from(self.model.batches) + 1),
            kind,
            state: BatchState::Open,
            status: None,
            started_at: Timestamp(self.world.now),
            trace_id: String::new(),
            since: None,
            planned,
            committed: Vec::new(),
            failed: Vec::new(),
            fetched: 0,
            raw: 0,
            quarantined: 0,
            requests: 0,
            ordinal: self.durable.batch.as_ref().map_or(0, |batch| batch.ordinal),
            fetched_at: None,
            facilities: None,
        };
        self.model.starts(&batch, due.map(|due| due.0), self.world.now);
        self.durable.schedule = agenda::started(&self.durable.schedule, &batch, due);
        self.durable.batch = Some(batch.clone());
        process.token = self.world.token_file;
        process.running = Some(self.resume(batch));
    }

    /// Nothing runs: wait for the clock, for an operator, for other credentials.
    fn idle(&mut self, process: &mut Process, until: i64) {
        let jitter = Duration::from_secs(u64::try_from(process.jitter / SECOND).expect("positive"));
        let (came_up, now) = (Timestamp(process.came_up), Timestamp(self.world.now));
        let asked_at = self.world.now + self.world.chance.between(HOUR, 8 * DAY);
        match agenda::next(&self.schedule, &self.durable.schedule, came_up, now, jitter) {
            Next::Start { due } => return self.start_due(process, due),
            Next::Credentials if self.world.token_file != process.token => {
                self.may_ask(process);
                if self.durable.schedule.enabled {
                    self.start(process, BatchKind::Scheduled, None);
                }
                return;
            }
            Next::Credentials => self.world.pass((self.world.now + HOUR).min(asked_at).min(until)),
            Next::At(at) => {
                self.model.waits_until(at.0, process.came_up);
                // A little late, as a timer is.
                self.world.pass((at.0 + SECOND / 100).min(asked_at).min(until));
            }
            Next::Asked => self.world.pass(asked_at.min(until)),
        }
        if self.world.now >= asked_at {
            self.operate(process);
        }
    }

    fn start_due(&mut self, process: &mut Process, due: Timestamp) {
        let former = self.durable.schedule.last_due;
        let due = match former.filter(|_| self.broken == Broken::ManyCatchUps) {
            Some(former) => Timestamp(model::due_until(former.0) + 6 * HOUR),
            None => due,
        };
        self.start(process, BatchKind::Scheduled, Some(due));
        if self.broken == Broken::ServedTwice {
            self.durable.schedule.last_due = former.or(Some(Timestamp(due.0 - HOUR)));
        }
    }

    fn operate(&mut self, process: &mut Process) {
        let was_stopped = self.durable.schedule.stopped_for.is_some();
        match self.world.chance.below(4) {
            0 if !was_stopped => {
                self.model.polls += 1;
                self.start(process, BatchKind::Manual, None);
            }
            1 => {
                self.model.pauses += 1;
                self.durable.schedule = agenda::switched(&self.durable.schedule, false);
            }
            _ => {
                self.model.stopped = None;
                self.durable.schedule = agenda::switched(&self.durable.schedule, true);
                self.may_ask(process);
                if was_stopped {
                    self.start(process, BatchKind::Scheduled, None);
                }
            }
        }
    }

    /// The next thing that happens to a lane of the batch that runs.
    fn step(&mut self, process: &mut Process) {
        if self.broken == Broken::Overlap && self.world.chance.one_in(50) {
            return self.start(process, BatchKind::Manual, None);
        }
        let running = process.running.as_mut().expect("a batch runs");
        let ready = (0..LANES).filter_map(|lane| running.lanes[lane].as_ref().map(|(at, _)| (*at, lane))).min();
        let (at, lane) = ready.unwrap_or_else(|| panic!("seed {}: all lanes rest, the batch is open", self.model.seed));
        self.world.pass(at);
        let (_, waiting) = running.lanes[lane].take().expect("it was ready");
        let event = match waiting {
            Waiting::Free => Event::Free,
            Waiting::Time => Event::Waited,
            Waiting::Answer { ask, token } => {
                let outcome = self.world.answer(&ask, token);
                // Refused with the former token while another lane has taken up the new one: asked again.
                let refused = outcome.as_ref().is_err_and(|fault| fault.kind == FaultKind::Auth);
                if refused && token != process.token {
                    Event::Waited
                } else {
                    self.model.hears(lane, &outcome);
                    if self.world.weather == Weather::ClockApart && outcome.is_ok() {
                        let batch = running.cycle.batch().clone();
                        running.met.insert(IncidentKind::Clock);
                        let (durable, model) = (&mut self.durable, &mut self.model);
                        meet(durable, model, self.broken, IncidentKind::Clock, None, &batch, self.world.now);
                    }
                    running.good_answers += u64::from(outcome.is_ok());
                    outcome.map_or_else(|fault| Event::Fault { fault, chance: 0.5 }, Event::Page)
                }
            }
        };
        self.tell_cycle(process, lane, event);
    }

    fn tell_cycle(&mut self, process: &mut Process, lane: usize, first: Event) {
        let (mut event, now) = (first, self.world.now);
        loop {
            let running = process.running.as_mut().expect("a batch runs");
            let step = running.cycle.next(lane, event, Timestamp(now));
            for note in running.cycle.take_notes() {
                match note {
                    Note::Heard => running.wake(now),
                    Note::RegionFailed { region, fault, .. } => {
                        running.wake(now);
                        let Some(kind) = incident::of_region(fault) else { continue };
                        running.met.insert(kind);
                        let batch = running.cycle.batch().clone();
                        meet(&mut self.durable, &mut self.model, self.broken, kind, Some(region), &batch, now);
                    }
                    _ => {}
                }
            }
            // The lane itself does not rest: it is at this step.
            running.lanes[lane] = None;
            match step {
                Step::Fetch(ask) => {
                    self.model.puts(lane, &ask, self.world.token_file);
                    let took = self.world.chance.below(2 * SECOND) + SECOND / 10;
                    running.lanes[lane] = Some((now + took, Waiting::Answer { ask, token: process.token }));
                    return;
                }
                Step::Wait(wait) => {
                    let wait = i64::try_from(wait.as_micros()).expect("a short wait");
                    running.lanes[lane] = Some((now + wait, Waiting::Time));
                    return;
                }
                Step::RenewToken => {
                    let changed = process.token != self.world.token_file;
                    process.token = self.world.token_file;
                    if changed {
                        self.model.refused = 0;
                    }
                    event = Event::Token { changed };
                }
                Step::Publish(mut slice) => {
                    match self.broken {
                        Broken::MarkTooFar => {
                            slice.watermark.iter_mut().for_each(|mark| mark.watermark.0 += HOUR);
                        }
                        Broken::PageLost => drop(slice.pages.pop()),
                        _ => {}
                    }
                    if let Some(mark) = slice.watermark {
                        self.durable.watermarks.insert(slice.region.clone(), mark);
                    }
                    self.model.publishes(&slice.pages);
                    self.model.no_watermark_passes_a_gap(&self.world, &self.durable.watermarks);
                    self.durable.batch = Some(slice.batch.clone());
                    running.wake(now);
                    running.lanes[lane] = None;
                    event = Event::Published;
                }
                Step::Rest => return,
                Step::End(batch) => return self.end(*batch, process),
            }
        }
    }

    fn end(&mut self, mut batch: BatchRecord, process: &mut Process) {
        let Running { mut met, good_answers, .. } = process.running.take().expect("a batch ran");
        let status = batch.status.unwrap_or(BatchStatus::Complete);
        if self.broken == Broken::RegionForgotten {
            batch.committed.pop();
        }
        self.model.ends(&batch);
        let now = self.world.now;
        if status == BatchStatus::AuthFailed {
            met.insert(IncidentKind::AuthFailed);
            let (durable, model) = (&mut self.durable, &mut self.model);
            meet(durable, model, self.broken, IncidentKind::AuthFailed, None, &batch, now);
            self.model.stopped = Some(process.token);
        }
        if self.broken != Broken::StopForgotten {
            self.durable.schedule = agenda::ended(&self.durable.schedule, status, String::new);
        }
        if good_answers > 0 && self.broken != Broken::NeverOver {
            let configured = PROVINCES.map(str::to_owned);
            for (kind, record) in incident::resolved(&mut self.durable.incidents, &met, &batch, &configured) {
                let webhook = BTreeSet::from([Target::Webhook]);
                let notice = incident::ended(kind, &record, &batch, Timestamp(now), &webhook);
                self.model.tells(&notice);
                assert_eq!(incident::queue(&mut self.durable.notices, notice), None, "the receiver is back in time");
            }
        }
        self.durable.batch = Some(batch);
        self.model.open = None;
        self.model.tries.clear();
    }

    /// The webhook takes what waits, unless it is down; now and then its answer is lost and it hears it again.
    fn deliver(&mut self) {
        if self.world.now < self.world.webhook_down_until || self.durable.notices.is_empty() {
            return;
        }
        if self.world.chance.one_in(10) {
            self.world.webhook_down_until = self.world.now + self.world.chance.between(HOUR, 2 * DAY);
            return;
        }
        match self.broken {
            Broken::MessageLost => drop(self.durable.notices.remove(0)),
            Broken::MessageAhead => self.durable.notices.rotate_right(1),
            _ => {}
        }
        for notice in self.durable.notices.clone() {
            self.model.heard.push((notice.id, notice.kind, notice.phase));
            if self.world.chance.one_in(10) {
                return;
            }
            assert!(incident::taken(&mut self.durable.notices, notice.id, Target::Webhook));
        }
    }
}

fn meet(
    durable: &mut Durable,
    model: &mut Model,
    broken: Broken,
    kind: IncidentKind,
    region: Option<Region>,
    batch: &BatchRecord,
    now: i64,
) {
    let record = IncidentRecord {
        opened_at: Timestamp(now),
        batch_id: batch.batch_id,
        region: region.map(|region| region.to_string()),
        detail: String::new(),
        request_id: None,
        trace_id: String::new(),
    };
    let known = if broken == Broken::BurnsTwice { IncidentsRecord::new() } else { durable.incidents.clone() };
    if let Some(open) = incident::opened(&known, kind, record.clone()) {
        durable.incidents = open;
        let notice = incident::begun(kind, &record, &BTreeSet::from([Target::Webhook]));
        model.tells(&notice);
        assert_eq!(incident::queue(&mut durable.notices, notice), None, "the receiver is back in time");
    }
}

fn year(seed: u64, broken: Broken) -> Model {
    let mut year = Year::new(seed, broken);
    year.run(BEGIN + 366 * DAY, true);
    // Then all is well for a week, and everything must be.
    (year.world.weather, year.world.weather_until) = (Weather::Fine, i64::MAX);
    (year.world.token_file, year.world.new_token_at) = (year.world.good_token, None);
    year.world.webhook_down_until = year.world.now;
    year.durable.schedule = agenda::may_ask(&agenda::switched(&year.durable.schedule, true));
    year.model.stopped = None;
    year.run(year.world.now + 8 * DAY, false);
    let Year { model, world, durable, .. } = year;
    assert_eq!(durable.incidents, IncidentsRecord::new(), "seed {seed}: something burns in fine weather");
    assert_eq!(model.burning, BTreeSet::new(), "seed {seed}");
    // Somebody may have paused it in that week.
    let read_at = durable.schedule.last_started.map_or(i64::MIN, |at| at.0);
    assert!(read_at > world.now - 8 * DAY, "seed {seed}: no cycle in a week of fine weather");
    for (id, row) in (0..).zip(&world.rows) {
        if row.stamp < read_at.min(world.now - 7 * DAY) {
            assert_eq!(model.published.get(&id), Some(&row.stamp), "seed {seed}: row {id} never came");
        }
    }
    let mut heard: Vec<Told> = Vec::new();
    for told in &model.heard {
        if !heard.contains(told) {
            heard.push(*told);
        }
    }
    assert_eq!(heard[..], model.told[..heard.len()], "seed {seed}: heard in the order told");
    assert!(heard.len() + durable.notices.len() >= model.told.len(), "seed {seed}: a message is lost");
    model
}

#[test]
#[expect(clippy::print_stdout, reason = "the test runner shows it with the failure")]
fn a_year_goes_by_and_every_promise_holds() {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, not a setting of the product")]
    let one = std::env::var("SISDMK_YEAR_SEED").ok().and_then(|text| text.parse().ok());
    if let Some(seed) = one {
        println!("SISDMK_YEAR_SEED={seed}");
        year(seed, Broken::Nothing);
        return;
    }
    let mut sums = Model::default();
    for seed in 1..=20 {
        println!("SISDMK_YEAR_SEED={seed}");
        let model = year(seed, Broken::Nothing);
        sums.batches += model.batches;
        sums.catch_ups += model.catch_ups;
        sums.crashes += model.crashes;
        sums.pauses += model.pauses;
        sums.polls += model.polls;
        for (kind, count) in model.opened {
            *sums.opened.entry(kind).or_default() += count;
        }
    }
    let Model { batches, catch_ups, crashes, pauses, polls, opened, .. } = sums;
    println!(
        "20 years: {batches} batches, {catch_ups} catch-ups, {crashes} crashes, {pauses} pauses, {polls} polls, {opened:?}"
    );
    // A year in which nothing happens proves nothing.
    let rarest = opened.values().copied().min().unwrap_or_default();
    assert!(batches > 5_000 && catch_ups > 100 && crashes > 300, "too little happened");
    assert!(pauses > 50 && polls > 50 && opened.len() == 4 && rarest > 50, "too little happened");
}
