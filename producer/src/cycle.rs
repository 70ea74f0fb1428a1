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
mod facilities;
mod split;

pub use dialogue::{Arrived, Ask, Cursor, Event, Fault, FaultKind, Limits, Note, Slice, Step};

use self::facilities::Facilities;
use self::split::{Group, expected_bytes};
use crate::hold::{Check, HeldPage, Hold, Identity, Row};
use crate::profile::PagingKind;
use crate::region::Region;
use crate::state::{BatchRecord, BatchState, BatchStatus, WatermarkRecord};
use crate::watermark;
use schemas::Timestamp;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

/// Passes over a slice whose count does not tie, before it fails (DESIGN: after three).
const PASSES_MAX: u32 = 3;

/// Unreachable slices in a row that end the batch.
const UNREACHABLE_SLICES_MAX: u32 = 2;

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
    /// What leads to that page, and marks of what has led to the pages of this pass.
    cursor: Option<Cursor>,
    cursors: HashSet<Identity>,
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
            cursor: None,
            cursors: HashSet::new(),
            hold: Hold::default(),
            expected_bytes: 0,
        }
    }

    /// Goes to the first page again.
    fn rewind(&mut self) {
        self.page = 1;
        self.cursor = None;
        self.cursors.clear();
    }

    /// The same from its beginning, for another time.
    fn afresh(mut self) -> Self {
        self.rewind();
        Self { started: None, deadline: None, hold: Hold::default(), expected_bytes: 0, ..self }
    }

    fn reserved_bytes(&self) -> usize {
        self.hold.held_bytes().max(self.expected_bytes)
    }
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
    /// What the slice is called where it is more than one region.
    label: Option<String>,
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
    /// Where the source is asked by facility.
    facilities: Option<Facilities>,
    /// The batch ends like this once what is being published is committed.
    ending: Option<BatchStatus>,
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
            facilities: None,
            ending: None,
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
        if now >= self.cycle_deadline && self.has_more() {
            return self.finish(lane, BatchStatus::Incomplete);
        }
        // One lane alone finds out whether the source answers and takes the token.
        if !self.token_worked && self.lanes.iter().any(|lane| lane.doing != Doing::Nothing) {
            return Step::Rest;
        }
        let deadline = later(now, self.limits.slice_timeout);
        match self.next_task().or_else(|| self.next_facility()) {
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
            None if self.is_idle() => self.finish(lane, BatchStatus::Complete),
            None if self.must_publish(now) => self.publish_group(lane),
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

    /// True if no lane is at anything.
    fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.doing == Doing::Nothing)
    }

    /// True if anything waits to be read.
    fn has_more(&self) -> bool {
        !self.queue.is_empty() || self.facilities.as_ref().is_some_and(Facilities::has_more)
    }

    /// Puts the request of the lane, unless its time is over.
    fn fetch(&mut self, lane: usize, now: Timestamp) -> Step {
        if now >= self.cycle_deadline {
            return self.finish(lane, BatchStatus::Incomplete);
        }
        let limit = self.limits.page_rows_max;
        let total_only = limit.map(|_| 1);
        let ask = |region: &Region, since, until, page, limit| Ask {
            region: region.clone(),
            since,
            until,
            page,
            limit,
            cursor: None,
        };
        let (asked, deadline) = match self.lanes.get(lane).map(|lane| &lane.doing) {
            Some(Doing::Read(reading)) => (
                Ask {
                    cursor: reading.cursor.clone(),
                    ..ask(&reading.region, reading.since, reading.until, reading.page, limit)
                },
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
        let Arrived { page, total, next, source_time } = arrived;
        let shape = |code| Fault { kind: FaultKind::Format, code, retry_after: None };
        let (rows, first) = (page.len(), reading.page == 1 && reading.hold.pass() == 1);
        if reading.hold.repeats(&page) {
            self.doing(lane, Doing::Read(reading));
            return self.failed_try(lane, shape("page_repeated"), 0.0, now);
        }
        if rows == 0 && reading.hold.rows() == 0 && next.is_none() && total.is_some_and(|total| total > 0) {
            self.doing(lane, Doing::Read(reading));
            return self.failed_try(lane, shape("rows_missing"), 0.0, now);
        }
        if next.as_ref().is_some_and(|next| reading.cursors.contains(&Identity::bytes(next.expose().as_bytes()))) {
            // What has led to a page of this pass already leads round in a circle.
            self.doing(lane, Doing::Read(reading));
            return self.failed_try(lane, shape("cursor_repeated"), 0.0, now);
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
        if self.elsewhere_bytes() > 0
            && reserved.saturating_add(self.elsewhere_bytes()) > self.limits.hold_bytes_max
            && !self.make_room(&reading)
        {
            // It fits alone: it begins again when another lane has given its pages away.
            self.queue.push_front(Task::Read(Box::new(reading.afresh())));
            return if self.has_group() { self.publish_group(lane) } else { Step::Rest };
        }
        if self.is_last(rows, next.is_some(), &reading.hold) {
            return self.complete(lane, reading, started, now);
        }
        reading.page += 1;
        reading.cursors.extend(next.as_ref().map(|next| Identity::bytes(next.expose().as_bytes())));
        reading.cursor = next;
        self.doing(lane, Doing::Read(reading));
        self.fetch(lane, now)
    }

    /// Whether a page is the last one of its pass; `hold` has it already.
    fn is_last(&self, rows: usize, has_next: bool, hold: &Hold) -> bool {
        match (self.limits.paging, self.limits.page_rows_max, hold.total()) {
            (PagingKind::None, _, _) => true,
            (PagingKind::Cursor, _, _) => !has_next,
            (PagingKind::Page, _, _) if rows == 0 => true,
            (PagingKind::Page, _, Some(total)) => hold.rows() >= total,
            // Without a total, a page that is not full is the last one; where nobody says what full is, an empty one.
            (PagingKind::Page, Some(rows_max), None) => rows < usize::try_from(rows_max).unwrap_or(usize::MAX),
            (PagingKind::Page, None, None) => false,
        }
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
                reading.rewind();
                self.doing(lane, Doing::Read(reading));
                return self.fetch(lane, now);
            }
            Check::Short => {
                self.doing(lane, Doing::Read(reading));
                let fault = Some(FaultKind::Format);
                return self.give_up(lane, BatchStatus::FormatChanged, fault, "count_differs", now);
            }
        }
        if reading.region.is_facility() {
            return self.gather(lane, reading, now);
        }
        let Reading { region, until, completes, keeps_watermark, hold, .. } = reading;
        let accounted = hold.total().unwrap_or_default();
        let pages = hold.into_pages();
        let highest = pages.iter().filter_map(|page| page.highest).max();
        let bound = until.map_or(started, |until| until.min(started));
        let watermark = if keeps_watermark { None } else { self.advanced(&region, highest, bound, started) };
        let batch = BatchRecord::clone(&self.batch);
        self.publish(
            lane,
            pages,
            completes,
            Publishing { region, label: None, watermark, highest, total: accounted, batch },
        )
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
        let label = publishing.label.take().unwrap_or_else(|| region.to_string());
        let batch = batch.clone();
        self.doing(lane, Doing::Publish(publishing));
        Step::Publish(Box::new(Slice {
            region,
            label,
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
            let Publishing { region, watermark, highest, total, batch, .. } = publishing;
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
            self.group_published();
        }
        match self.ending {
            Some(status) => self.end(status),
            None => self.turn(lane, now),
        }
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
        Step::Wait(self.limits.wait(tries, fault.retry_after, chance))
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
        let taken = self.take(lane);
        let Some(region) = taken.region().cloned() else { return self.turn(lane, now) };
        if region.is_facility() && matches!(taken, Doing::Publish(_)) && self.read_one_by_one() {
            return self.turn(lane, now);
        }
        self.batch.status = self.batch.status.max(Some(status));
        if region.is_facility() {
            self.give_up_facility(&region);
        } else {
            self.batch.failed.push(region.to_string());
        }
        // Its other windows would leave a hole behind them.
        self.queue.retain(|task| !matches!(task, Task::Read(reading) if reading.region == region));
        if let Some(group) = self.groups.get_mut(&region.province()).filter(|_| !region.is_province()) {
            group.failed = true;
        }
        self.notes.push(Note::RegionFailed { region, status, fault, code });
        self.unreachable_in_a_row =
            if fault == Some(FaultKind::Unreachable) { self.unreachable_in_a_row + 1 } else { 0 };
        if self.unreachable_in_a_row >= UNREACHABLE_SLICES_MAX {
            return self.finish(lane, BatchStatus::Failed);
        }
        match self.ending {
            Some(status) => self.end(status),
            None => self.turn(lane, now),
        }
    }

    /// Bytes that are held or reserved for anything but the slice at hand.
    fn elsewhere_bytes(&self) -> usize {
        let lanes: usize = self.lanes.iter().map(Lane::reserved_bytes).sum();
        lanes + self.facilities.as_ref().map_or(0, Facilities::held_bytes)
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

#[cfg(test)]
mod tests;
