//! The poll cycle as a state machine: which request goes out next, what is published, when the batch
//! ends. Pure: time, chance and everything that happens are arguments.
//!
//! A cycle is one batch. It reads its regions, each as a slice: all pages from `watermark - lookback` on,
//! held until they are complete, then published in one transaction with the new watermark. Whatever goes
//! wrong with a slice, it leaves nothing behind.
//!
//! Several slices may be read at the same time, each by a *lane*: the caller gives each lane's events to
//! [`Cycle::next`] and does what comes back. Publishing is serial: a [`Step::Publish`] is carried out and
//! answered before any other event is given.
//!
//! A province that is too large for the hold or for the time of a slice is read by its regencies, and a
//! region that still is, by halves of its window. A row whose regency code is missing or unknown is in no
//! regency, so after the regencies the province is asked for its total once more, and read as a whole
//! if the regencies did not account for all of it.

mod dialogue;

pub use dialogue::{Arrived, Ask, Event, Fault, FaultKind, Limits, Note, Slice, Step};

use crate::hold::{Check, HeldPage, Hold, Row};
use crate::region::{self, Region};
use crate::state::{BatchRecord, BatchState, BatchStatus, WatermarkRecord};
use crate::watermark;
use schemas::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Passes over a slice whose count does not tie, before it fails (DESIGN: after three).
const PASSES_MAX: u32 = 3;

/// Unreachable slices in a row that end the batch.
const UNREACHABLE_SLICES_MAX: u32 = 2;

/// No credible row is older than the year 2000, so a window without a lower bound is halved from there.
const WINDOW_FLOOR: Timestamp = Timestamp(946_684_800_000_000);

/// A window shorter than this is not halved.
const WINDOW_MIN_US: i64 = 2_000_000;

/// Something to read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    region: Region,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The region is complete once this is published; false for all windows but the last.
    completes: bool,
    /// The watermark stays: the slice begins later than the watermark allows.
    keeps_watermark: bool,
    may_split_by_regency: bool,
    /// The source's time at the first request.
    started: Option<Timestamp>,
    deadline: Option<Timestamp>,
    page: u32,
    hold: Hold,
    /// Bytes that the first page says the whole will take.
    expected_bytes: usize,
}

impl Reading {
    fn new(region: Region, since: Option<Timestamp>) -> Self {
        let may_split_by_regency = region.is_province();
        Self {
            region,
            since,
            until: None,
            completes: true,
            keeps_watermark: false,
            may_split_by_regency,
            started: None,
            deadline: None,
            page: 1,
            hold: Hold::default(),
            expected_bytes: 0,
        }
    }

    /// The same from its beginning, for another time.
    fn afresh(self) -> Self {
        Self { started: None, deadline: None, page: 1, hold: Hold::default(), expected_bytes: 0, ..self }
    }

    fn reserved_bytes(&self) -> usize {
        self.hold.held_bytes().max(self.expected_bytes)
    }
}

/// The regencies of one province, read in place of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    since: Option<Timestamp>,
    keeps_watermark: bool,
    /// No row later than this is known to have been seen in every regency.
    bound: Timestamp,
    highest: Option<Timestamp>,
    accounted: u64,
    failed: bool,
}

/// Work that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    Read(Box<Reading>),
    /// Only the total, of a regency that this batch has already committed.
    Account {
        region: Region,
        since: Option<Timestamp>,
    },
    /// The end of a province's group; begins when all its regencies are done.
    CloseGroup(Region),
}

impl Task {
    fn region(&self) -> &Region {
        match self {
            Self::Read(reading) => &reading.region,
            Self::Account { region, .. } | Self::CloseGroup(region) => region,
        }
    }
}

/// What a lane is at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Doing {
    Nothing,
    Read(Reading),
    Account { region: Region, since: Option<Timestamp>, deadline: Timestamp },
    Remainder { province: Region, group: Group, deadline: Timestamp },
    Publish(Publishing),
}

impl Doing {
    fn region(&self) -> Option<&Region> {
        match self {
            Self::Nothing => None,
            Self::Read(reading) => Some(&reading.region),
            Self::Account { region, .. } => Some(region),
            Self::Remainder { province, .. } => Some(province),
            Self::Publish(publishing) => Some(&publishing.region),
        }
    }
}

/// One slice being read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lane {
    doing: Doing,
    /// Failed tries of the present request.
    tries: u32,
}

/// What becomes true when the transaction is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Publishing {
    region: Region,
    watermark: Option<WatermarkRecord>,
    highest: Option<Timestamp>,
    total: u64,
    batch: BatchRecord,
}

/// One cycle.
#[derive(Debug, Clone)]
pub struct Cycle {
    limits: Limits,
    batch: BatchRecord,
    watermarks: BTreeMap<Region, WatermarkRecord>,
    queue: VecDeque<Task>,
    groups: BTreeMap<Region, Group>,
    lanes: Vec<Lane>,
    /// Requests put since the last published slice.
    requests: u64,
    unreachable_in_a_row: u32,
    cycle_deadline: Timestamp,
    token_worked: bool,
    token_renewed: bool,
    notes: Vec<Note>,
}

fn later(at: Timestamp, span: Duration) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Cycle {
    /// A cycle over what `batch` has planned and neither committed nor given up: all of it for a new
    /// batch, the rest for one that a former process left open. `lanes`: slices read at the same time, at
    /// least one.
    #[must_use]
    pub fn new(
        batch: BatchRecord,
        watermarks: BTreeMap<Region, WatermarkRecord>,
        limits: Limits,
        lanes: usize,
    ) -> Self {
        let open = |code: &&String| !batch.committed.contains(code) && !batch.failed.contains(code);
        let regions: Vec<Region> = batch.planned.iter().filter(open).filter_map(|code| Region::parse(code)).collect();
        let cycle_deadline = later(batch.started_at, limits.cycle_timeout);
        let mut cycle = Self {
            limits,
            batch,
            watermarks,
            queue: VecDeque::new(),
            groups: BTreeMap::new(),
            lanes: vec![Lane { doing: Doing::Nothing, tries: 0 }; lanes.max(1)],
            requests: 0,
            unreachable_in_a_row: 0,
            cycle_deadline,
            token_worked: false,
            token_renewed: false,
            notes: Vec::new(),
        };
        cycle.queue = regions.into_iter().map(|region| Task::Read(Box::new(cycle.plan(region)))).collect();
        cycle
    }

    /// The batch as it stands in the state.
    #[must_use]
    pub fn batch(&self) -> &BatchRecord {
        &self.batch
    }

    /// Number of lanes; they are numbered from 0.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// What has happened since this was asked last.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// One step on for a lane. `now` is this host's clock; it decides on deadlines only.
    /// After [`Step::End`], and for a lane that does not exist, the step is [`Step::Rest`].
    pub fn next(&mut self, lane: usize, event: Event, now: Timestamp) -> Step {
        if lane >= self.lanes.len() || self.batch.state == BatchState::Closed {
            return Step::Rest;
        }
        match event {
            Event::Free => self.turn(lane, now),
            Event::Page(arrived) => self.arrived(lane, arrived, now),
            Event::Fault { fault, chance } => self.failed_try(lane, fault, chance, now),
            Event::Waited | Event::Token { changed: true } => self.fetch(lane, now),
            Event::Token { changed: false } => self.end(BatchStatus::AuthFailed),
            Event::Published => self.published(lane, now),
            Event::Refused { code } => self.give_up(lane, BatchStatus::Failed, None, code, now),
        }
    }

    fn doing(&mut self, lane: usize, doing: Doing) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.doing = doing;
        }
    }

    fn take(&mut self, lane: usize) -> Doing {
        self.lanes.get_mut(lane).map_or(Doing::Nothing, |lane| std::mem::replace(&mut lane.doing, Doing::Nothing))
    }

    /// The first reading of a region.
    fn plan(&self, region: Region) -> Reading {
        let allowed = watermark::since(self.stored(&region), self.limits.lookback);
        let mut reading = Reading::new(region, allowed);
        if let Some(since) = self.batch.since {
            // What lies between the watermark and a later `since` is not read, so the mark must stay.
            reading.keeps_watermark = allowed.is_none_or(|allowed| since > allowed);
            reading.since = Some(since);
        }
        reading
    }

    fn stored(&self, region: &Region) -> Option<Timestamp> {
        self.watermarks.get(region).map(|record| record.watermark)
    }

    /// Takes up the next task that may begin.
    fn turn(&mut self, lane: usize, now: Timestamp) -> Step {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.tries = 0;
        }
        if now >= self.cycle_deadline && !self.queue.is_empty() {
            return self.end(BatchStatus::Incomplete);
        }
        // One lane alone finds out whether the source answers and takes the token.
        if !self.token_worked && self.lanes.iter().any(|lane| lane.doing != Doing::Nothing) {
            return Step::Rest;
        }
        let deadline = later(now, self.limits.slice_timeout);
        match self.next_task() {
            Some(Task::Read(mut reading)) => {
                reading.deadline = Some(deadline);
                self.doing(lane, Doing::Read(*reading));
                self.fetch(lane, now)
            }
            Some(Task::Account { region, since }) => {
                self.doing(lane, Doing::Account { region, since, deadline });
                self.fetch(lane, now)
            }
            Some(Task::CloseGroup(province)) => match self.groups.remove(&province) {
                Some(group) if !group.failed => {
                    self.doing(lane, Doing::Remainder { province, group, deadline });
                    self.fetch(lane, now)
                }
                Some(_) | None => {
                    self.batch.failed.push(province.to_string());
                    self.turn(lane, now)
                }
            },
            None if self.lanes.iter().all(|lane| lane.doing == Doing::Nothing) => self.end(BatchStatus::Complete),
            None => Step::Rest,
        }
    }

    /// The first task in the queue that may begin now: no two of one region at a time, because the windows
    /// of a region are read in their order, and no end of a group before its regencies.
    fn next_task(&mut self) -> Option<Task> {
        let busy: Vec<&Region> = self.lanes.iter().filter_map(|lane| lane.doing.region()).collect();
        let may_begin = |index: usize, task: &Task| match task {
            Task::Read(_) | Task::Account { .. } => !busy.contains(&task.region()),
            Task::CloseGroup(province) => {
                let waiting = self.queue.iter().take(index).map(Task::region);
                !busy.iter().copied().chain(waiting).any(|region| region.province() == *province)
            }
        };
        let index = self.queue.iter().enumerate().position(|(index, task)| may_begin(index, task))?;
        self.queue.remove(index)
    }

    /// Puts the request of the lane, unless its time is over.
    fn fetch(&mut self, lane: usize, now: Timestamp) -> Step {
        if now >= self.cycle_deadline {
            return self.end(BatchStatus::Incomplete);
        }
        let limit = self.limits.page_rows_max;
        let total_only = limit.map(|_| 1);
        let ask =
            |region: &Region, since, until, page, limit| Ask { region: region.clone(), since, until, page, limit };
        let (asked, deadline) = match self.lanes.get(lane).map(|lane| &lane.doing) {
            Some(Doing::Read(reading)) => (
                ask(&reading.region, reading.since, reading.until, reading.page, limit),
                reading.deadline.unwrap_or(self.cycle_deadline),
            ),
            Some(Doing::Account { region, since, deadline }) => (ask(region, *since, None, 1, total_only), *deadline),
            Some(Doing::Remainder { province, group, deadline }) => {
                (ask(province, group.since, None, 1, total_only), *deadline)
            }
            Some(Doing::Nothing | Doing::Publish(_)) | None => return self.turn(lane, now),
        };
        if now >= deadline {
            let fault = Some(FaultKind::Unreachable);
            return self.give_up(lane, BatchStatus::Failed, fault, "slice_timeout", now);
        }
        self.requests += 1;
        Step::Fetch(asked)
    }

    fn arrived(&mut self, lane: usize, arrived: Arrived, now: Timestamp) -> Step {
        if !std::mem::replace(&mut self.token_worked, true) {
            self.notes.push(Note::Heard);
        }
        let fetched_at = arrived.page.origin.fetched_at;
        self.batch.fetched_at = self.batch.fetched_at.max(Some(fetched_at));
        match self.take(lane) {
            Doing::Read(reading) => self.page(lane, reading, arrived, now),
            Doing::Account { region, since: _, deadline: _ } => {
                if let Some(group) = self.groups.get_mut(&region.province()) {
                    group.accounted += arrived.total.unwrap_or_default();
                    if let Some(record) = self.watermarks.get(&region) {
                        group.bound = group.bound.min(record.slice_started_at);
                        group.highest = group.highest.max(Some(record.watermark));
                    }
                }
                self.turn(lane, now)
            }
            Doing::Remainder { province, group, deadline: _ } => {
                self.remainder(lane, province, group, arrived.total, now)
            }
            other @ (Doing::Nothing | Doing::Publish(_)) => {
                self.doing(lane, other);
                Step::Rest
            }
        }
    }

    /// A page of the lane's slice.
    fn page(&mut self, lane: usize, mut reading: Reading, arrived: Arrived, now: Timestamp) -> Step {
        let Arrived { page, total, source_time } = arrived;
        let shape = |code| Fault { kind: FaultKind::Format, code, retry_after: None };
        let (rows, first) = (page.len(), reading.page == 1 && reading.hold.pass() == 1);
        if reading.hold.repeats(&page) {
            self.doing(lane, Doing::Read(reading));
            return self.failed_try(lane, shape("page_repeated"), 0.0, now);
        }
        if rows == 0 && reading.hold.rows() == 0 && total.is_some_and(|total| total > 0) {
            self.doing(lane, Doing::Read(reading));
            return self.failed_try(lane, shape("rows_missing"), 0.0, now);
        }
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.tries = 0;
        }
        let started = *reading.started.get_or_insert(source_time);
        if !self.limits.can_quarantine && page.records().any(|(row, _)| row.len() > self.limits.record_bytes_max) {
            self.doing(lane, Doing::Read(reading));
            return self.give_up(lane, BatchStatus::Failed, None, "record_too_large", now);
        }
        if first {
            reading.expected_bytes = expected_bytes(rows, page.held_bytes(), total);
        }
        let too_long = first && self.is_too_long(rows, total);
        reading.hold.push(page, total);
        let reserved = reading.reserved_bytes();
        if too_long || reserved > self.limits.hold_bytes_max {
            return self.split(lane, reading, started, now);
        }
        let elsewhere: usize = self.lanes.iter().map(|lane| lane.reserved_bytes()).sum();
        if elsewhere > 0 && reserved.saturating_add(elsewhere) > self.limits.hold_bytes_max {
            // It fits alone: it begins again when another lane has given its pages away.
            self.queue.push_front(Task::Read(Box::new(reading.afresh())));
            return Step::Rest;
        }
        let rows_max = self.limits.page_rows_max.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
        let last = match (rows_max, reading.hold.total()) {
            (None, _) => true,
            (Some(_), _) if rows == 0 => true,
            (Some(_), Some(total)) => reading.hold.rows() >= total,
            (Some(rows_max), None) => rows < rows_max,
        };
        if last {
            return self.complete(lane, reading, started, now);
        }
        reading.page += 1;
        self.doing(lane, Doing::Read(reading));
        self.fetch(lane, now)
    }

    /// Whether a slice would take longer than a slice may, at the pace that is allowed.
    fn is_too_long(&self, rows: usize, total: Option<u64>) -> bool {
        let (Some(total), Some(rows_max)) = (total, self.limits.page_rows_max) else { return false };
        let time = u128::from(total.div_ceil(u64::from(rows_max.max(1)))) * self.limits.request_interval.as_micros();
        // Four fifths: a slice may have to be read again in part, and requests take time themselves.
        total > count(rows) && time > self.limits.slice_timeout.as_micros() / 5 * 4
    }

    /// Replaces a reading by smaller ones.
    fn split(&mut self, lane: usize, reading: Reading, started: Timestamp, now: Timestamp) -> Step {
        if reading.may_split_by_regency && self.limits.by_regency {
            self.notes.push(Note::Split { region: reading.region.clone(), by_regency: true });
            self.queue.push_front(Task::CloseGroup(reading.region.clone()));
            for regency in region::regencies(&reading.region).into_iter().rev() {
                if self.batch.committed.iter().any(|code| code == regency.as_str()) {
                    self.queue.push_front(Task::Account { region: regency, since: reading.since });
                } else {
                    let mut part = Reading::new(regency, reading.since);
                    part.keeps_watermark = reading.keeps_watermark;
                    self.queue.push_front(Task::Read(Box::new(part)));
                }
            }
            let Reading { region, since, keeps_watermark, .. } = reading;
            let group = Group { since, keeps_watermark, bound: started, highest: None, accounted: 0, failed: false };
            self.groups.insert(region, group);
            return self.turn(lane, now);
        }
        let low = reading.since.unwrap_or(WINDOW_FLOOR);
        let high = reading.until.unwrap_or(started);
        if !self.limits.by_window || high.0.saturating_sub(low.0) < WINDOW_MIN_US {
            self.doing(lane, Doing::Read(reading));
            return self.give_up(lane, BatchStatus::Failed, None, "hold_too_small", now);
        }
        self.notes.push(Note::Split { region: reading.region.clone(), by_regency: false });
        // Whole seconds: sources are known to cut fractions off.
        let middle = Timestamp((low.0 + (high.0 - low.0) / 2).div_euclid(1_000_000) * 1_000_000);
        let Reading { since, until, completes, .. } = reading;
        let whole = Reading { may_split_by_regency: false, ..reading.afresh() };
        // The older half first: a row changed meanwhile moves into the half that is still to be read.
        let newer = Reading { since: Some(middle), until, completes, ..whole.clone() };
        let older = Reading { since, until: Some(middle), completes: false, ..whole };
        self.queue.push_front(Task::Read(Box::new(newer)));
        self.queue.push_front(Task::Read(Box::new(older)));
        self.turn(lane, now)
    }

    /// The last page of a pass is there.
    fn complete(&mut self, lane: usize, mut reading: Reading, started: Timestamp, now: Timestamp) -> Step {
        match reading.hold.check(PASSES_MAX) {
            Check::Ties => {}
            Check::Settled => self.notes.push(Note::CountDiffers {
                region: reading.region.clone(),
                distinct: reading.hold.distinct(),
                total: reading.hold.total().unwrap_or_default(),
            }),
            Check::Again => {
                reading.hold.again();
                reading.page = 1;
                self.doing(lane, Doing::Read(reading));
                return self.fetch(lane, now);
            }
            Check::Short => {
                self.doing(lane, Doing::Read(reading));
                let fault = Some(FaultKind::Format);
                return self.give_up(lane, BatchStatus::FormatChanged, fault, "count_differs", now);
            }
        }
        let Reading { region, until, completes, keeps_watermark, hold, .. } = reading;
        let accounted = hold.total().unwrap_or_default();
        let pages = hold.into_pages();
        let highest = pages.iter().filter_map(|page| page.highest).max();
        let bound = until.map_or(started, |until| until.min(started));
        let watermark = if keeps_watermark { None } else { self.advanced(&region, highest, bound, started) };
        let batch = BatchRecord::clone(&self.batch);
        self.publish(lane, pages, completes, Publishing { region, watermark, highest, total: accounted, batch })
    }

    /// The record of a watermark that moves; none if it stays.
    fn advanced(
        &self,
        region: &Region,
        highest: Option<Timestamp>,
        bound: Timestamp,
        started: Timestamp,
    ) -> Option<WatermarkRecord> {
        let stored = self.stored(region);
        let watermark = watermark::advance(stored, highest, bound)?;
        let batch_id = self.batch.batch_id;
        (Some(watermark) != stored).then_some(WatermarkRecord { watermark, batch_id, slice_started_at: started })
    }

    /// All regencies of a province are in; is that the province?
    fn remainder(&mut self, lane: usize, province: Region, group: Group, total: Option<u64>, now: Timestamp) -> Step {
        let Group { since, keeps_watermark, bound, highest, accounted, failed: _ } = group;
        if let Some(total) = total.filter(|total| *total > accounted) {
            self.notes.push(Note::Remainder { region: province.clone(), accounted, total });
            let mut whole = Reading::new(province, since);
            whole.may_split_by_regency = false;
            whole.keeps_watermark = keeps_watermark;
            self.queue.push_front(Task::Read(Box::new(whole)));
            return self.turn(lane, now);
        }
        let watermark = if keeps_watermark { None } else { self.advanced(&province, highest, bound, bound) };
        let batch = BatchRecord::clone(&self.batch);
        self.publish(lane, Vec::new(), true, Publishing { region: province, watermark, highest: None, total: 0, batch })
    }

    /// Hands a complete slice out. `publishing.batch` is the batch as it stands.
    fn publish(&mut self, lane: usize, pages: Vec<HeldPage>, completes: bool, mut publishing: Publishing) -> Step {
        let too_large = |row: &Row| row.len() > self.limits.record_bytes_max;
        let quarantined = count(pages.iter().flat_map(HeldPage::records).filter(|(row, _)| too_large(row)).count());
        let fetched = pages.iter().map(|page| count(page.len())).sum();
        let raw = count(pages.iter().flat_map(HeldPage::records).filter(|(row, _)| !too_large(row)).count());
        let (first_ordinal, requests) = (self.batch.ordinal, self.requests);
        let batch = &mut publishing.batch;
        batch.fetched += fetched;
        batch.raw += raw;
        batch.quarantined += quarantined;
        batch.ordinal += fetched;
        batch.requests += requests;
        if completes {
            batch.committed.push(publishing.region.to_string());
        }
        let (region, watermark) = (publishing.region.clone(), publishing.watermark);
        let batch = batch.clone();
        self.doing(lane, Doing::Publish(publishing));
        Step::Publish(Box::new(Slice {
            region,
            pages,
            watermark,
            first_ordinal,
            fetched,
            raw,
            quarantined,
            requests,
            batch,
        }))
    }

    fn published(&mut self, lane: usize, now: Timestamp) -> Step {
        if let Doing::Publish(publishing) = self.take(lane) {
            let Publishing { region, watermark, highest, total, batch } = publishing;
            if let Some(record) = watermark {
                self.watermarks.insert(region.clone(), record);
            }
            if let Some(group) = self.groups.get_mut(&region.province()).filter(|_| !region.is_province()) {
                group.accounted += total;
                group.highest = group.highest.max(highest);
            }
            self.batch = batch;
            self.requests = 0;
            self.unreachable_in_a_row = 0;
        }
        self.turn(lane, now)
    }

    /// One request failed.
    fn failed_try(&mut self, lane: usize, fault: Fault, chance: f64, now: Timestamp) -> Step {
        let Some(at) = self.lanes.get_mut(lane) else { return Step::Rest };
        let Some(region) = at.doing.region().cloned() else { return self.turn(lane, now) };
        at.tries += 1;
        let tries = at.tries;
        self.notes.push(Note::TryFailed { region, fault, try_number: tries });
        let status = match fault.kind {
            FaultKind::Auth if self.token_worked && !self.token_renewed => {
                self.token_renewed = true;
                return Step::RenewToken;
            }
            FaultKind::Auth => return self.end(BatchStatus::AuthFailed),
            FaultKind::Unreachable => BatchStatus::Failed,
            FaultKind::Format => BatchStatus::FormatChanged,
        };
        if tries >= self.limits.tries_max {
            return self.give_up(lane, status, Some(fault.kind), fault.code, now);
        }
        let doublings = tries.saturating_sub(1).min(20);
        let longest = self.limits.backoff.saturating_mul(1 << doublings).min(self.limits.backoff_max);
        // Between half and the whole of it, so that many clients do not come back together.
        let wait = longest.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        let asked = fault.retry_after.unwrap_or_default().min(self.limits.retry_after_max);
        Step::Wait(wait.max(asked))
    }

    /// The region of the lane is not read in this batch.
    fn give_up(
        &mut self,
        lane: usize,
        status: BatchStatus,
        fault: Option<FaultKind>,
        code: &'static str,
        now: Timestamp,
    ) -> Step {
        let Some(region) = self.take(lane).region().cloned() else { return self.turn(lane, now) };
        self.batch.status = self.batch.status.max(Some(status));
        self.batch.failed.push(region.to_string());
        // Its other windows would leave a hole behind them.
        self.queue.retain(|task| !matches!(task, Task::Read(reading) if reading.region == region));
        if let Some(group) = self.groups.get_mut(&region.province()).filter(|_| !region.is_province()) {
            group.failed = true;
        }
        self.notes.push(Note::RegionFailed { region, status, fault, code });
        self.unreachable_in_a_row =
            if fault == Some(FaultKind::Unreachable) { self.unreachable_in_a_row + 1 } else { 0 };
        if self.unreachable_in_a_row >= UNREACHABLE_SLICES_MAX {
            return self.end(BatchStatus::Failed);
        }
        self.turn(lane, now)
    }

    fn end(&mut self, status: BatchStatus) -> Step {
        self.queue.clear();
        self.groups.clear();
        for lane in &mut self.lanes {
            lane.doing = Doing::Nothing;
        }
        self.batch.state = BatchState::Closed;
        self.batch.status = self.batch.status.max(Some(status));
        self.batch.requests += std::mem::take(&mut self.requests);
        Step::End(Box::new(self.batch.clone()))
    }
}

impl Lane {
    fn reserved_bytes(&self) -> usize {
        match &self.doing {
            Doing::Read(reading) => reading.reserved_bytes(),
            Doing::Nothing | Doing::Account { .. } | Doing::Remainder { .. } | Doing::Publish(_) => 0,
        }
    }
}

/// Bytes that a slice will take, by its first page.
fn expected_bytes(rows: usize, bytes: usize, total: Option<u64>) -> usize {
    match (total, count(rows)) {
        (Some(total), rows) if rows > 0 && total > rows => {
            let all = u128::from(total) * u128::try_from(bytes).unwrap_or(u128::MAX) / u128::from(rows);
            usize::try_from(all).unwrap_or(usize::MAX)
        }
        _ => bytes,
    }
}

#[cfg(test)]
mod tests;
