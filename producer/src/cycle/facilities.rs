//! Facilities: thousands of small slices, several of which go out in one transaction.
//!
//! They are read in the order of their codes, by several lanes at once, and published in that order: then one
//! code in the state says how far the batch has come, and a crash costs what was not yet published, at most
//! [`GROUP_MAX`] facilities and what the lanes were at. What is complete before its turn waits in memory, within
//! the hold, and no lane runs further ahead than [`AHEAD_MAX`].

use super::{BatchState, Cycle, Doing, FaultKind, Limits, Note, Publishing, Reading, Step, Task};
use crate::hold::HeldPage;
use crate::region::Region;
use crate::state::{BatchRecord, BatchStatus, FacilitiesRecord};
use schemas::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most facilities in one transaction.
const GROUP_MAX: usize = 100;

/// The most bytes in one transaction before it goes out, unless the hold is small.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// How long a complete facility waits for others.
const GROUP_WAIT: Duration = Duration::from_secs(5);

/// How far lanes run ahead of the first facility that is not complete.
const AHEAD_MAX: usize = 2 * GROUP_MAX;

/// The most codes of facilities given up that the state names; the rest is counted.
const FAILED_TOLD_MAX: usize = 20;

/// Facilities that may all be without any record before that is taken for a failure of the source.
const EMPTY_MAX: u64 = 10;

/// The list and how far it is read.
#[derive(Debug, Clone)]
pub(super) struct Facilities {
    /// What this process has to read, in the order of the codes.
    codes: Vec<Region>,
    /// The first one that no lane has begun.
    upcoming: usize,
    /// The first one that is not published.
    first: usize,
    /// Those behind it that are complete, with their pages; none for one that was given up.
    complete: BTreeMap<usize, Option<Vec<HeldPage>>>,
    held_bytes: usize,
    /// When the first of them was complete.
    since: Option<Timestamp>,
    /// The group that is being published.
    publishing: std::ops::Range<usize>,
    /// Up to here each goes out alone: together they could not be published.
    alone_until: usize,
}

impl Facilities {
    /// True if a facility was not begun yet.
    pub(super) fn has_more(&self) -> bool {
        self.upcoming < self.codes.len()
    }

    /// Bytes of what is complete and waits.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn index(&self, region: &Region) -> Option<usize> {
        self.codes.binary_search(region).ok()
    }

    fn put(&mut self, index: usize, pages: Option<Vec<HeldPage>>, now: Option<Timestamp>) {
        self.held_bytes += bytes(&pages);
        self.complete.insert(index, pages);
        self.since = self.since.or(now);
    }

    /// How many in a row, from the first unpublished one on, are complete; at most those of one transaction.
    fn ready(&self) -> usize {
        let max = if self.first < self.alone_until { 1 } else { GROUP_MAX };
        (self.first..).take(max).take_while(|index| self.complete.contains_key(index)).count()
    }

    /// Whether what is ready should go out, and not wait for more.
    fn is_due(&self, limits: &Limits, now: Timestamp) -> bool {
        let ready = self.ready();
        let waited = self.since.is_some_and(|since| now >= super::later(since, GROUP_WAIT));
        let full = self.held_bytes >= GROUP_BYTES.min(limits.hold_bytes_max / 8);
        ready > 0 && (ready >= GROUP_MAX || self.first < self.alone_until || waited || full)
    }
}

fn bytes(pages: &Option<Vec<HeldPage>>) -> usize {
    pages.iter().flatten().map(HeldPage::held_bytes).sum()
}

impl Cycle {
    /// A cycle over facilities, in the order of their codes, each once: all that are behind what `batch` has
    /// done already.
    #[must_use]
    pub fn over_facilities(mut batch: BatchRecord, codes: &[Region], limits: Limits, lanes: usize) -> Self {
        let done = batch.facilities.take().unwrap_or_default();
        let codes = crate::facility::after(codes, done.through.as_deref()).to_vec();
        let planned = done.done + done.failed + super::count(codes.len());
        batch.facilities = Some(FacilitiesRecord { planned, ..done });
        batch.planned.clear();
        let mut cycle = Self::new(batch, BTreeMap::new(), limits, lanes);
        cycle.facilities = Some(Facilities {
            codes,
            upcoming: 0,
            first: 0,
            complete: BTreeMap::new(),
            held_bytes: 0,
            since: None,
            publishing: 0..0,
            alone_until: 0,
        });
        cycle
    }

    /// The next facility, unless the lanes are too far ahead already, or hold too much.
    pub(super) fn next_facility(&mut self) -> Option<Task> {
        let idle = self.is_idle();
        let facilities = self.facilities.as_mut()?;
        let full = facilities.held_bytes > self.limits.hold_bytes_max / 4;
        if (full || facilities.upcoming >= facilities.first + AHEAD_MAX) && !idle {
            return None;
        }
        let region = facilities.codes.get(facilities.upcoming)?.clone();
        facilities.upcoming += 1;
        Some(Task::Read(Box::new(self.plan(region))))
    }

    /// True if a lane that has nothing to read should publish what is ready.
    pub(super) fn must_publish(&self, now: Timestamp) -> bool {
        self.facilities.as_ref().is_some_and(|facilities| facilities.is_due(&self.limits, now))
    }

    /// True if anything can be published.
    pub(super) fn has_group(&self) -> bool {
        self.facilities.as_ref().is_some_and(|facilities| facilities.ready() > 0)
    }

    /// A facility is complete.
    pub(super) fn gather(&mut self, lane: usize, reading: Reading, now: Timestamp) -> Step {
        self.unreachable_in_a_row = 0;
        if let Some(facilities) = &mut self.facilities
            && let Some(index) = facilities.index(&reading.region)
        {
            facilities.put(index, Some(reading.hold.into_pages()), Some(now));
        }
        if self.must_publish(now) { self.publish_group(lane) } else { self.turn(lane, now) }
    }

    /// A facility is not read in this batch; what comes behind it does not wait for it.
    pub(super) fn give_up_facility(&mut self, region: &Region) {
        if let Some(facilities) = &mut self.facilities
            && let Some(index) = facilities.index(region)
        {
            facilities.put(index, None, None);
        }
    }

    /// Drops what is complete before its turn, to be read again later, where the first one in turn would not fit
    /// beside it. True if that one fits now.
    pub(super) fn make_room(&mut self, reading: &Reading) -> bool {
        let Some(facilities) = &mut self.facilities else { return false };
        if facilities.index(&reading.region) != Some(facilities.first) {
            return false;
        }
        let dropped: Vec<usize> = facilities.complete.keys().copied().collect();
        for index in dropped {
            // One that was given up stays so.
            if let Some(pages @ Some(_)) = facilities.complete.remove(&index) {
                facilities.held_bytes -= bytes(&pages);
                let region = facilities.codes.get(index).cloned();
                self.queue.extend(region.map(|region| Task::Read(Box::new(Reading::new(region, None)))));
            } else {
                facilities.complete.insert(index, None);
            }
        }
        let elsewhere = self.elsewhere_bytes();
        elsewhere == 0 || reading.reserved_bytes().saturating_add(elsewhere) <= self.limits.hold_bytes_max
    }

    /// Hands out the facilities that are complete, from the first unpublished one on.
    pub(super) fn publish_group(&mut self, lane: usize) -> Step {
        let mut batch = BatchRecord::clone(&self.batch);
        let Some(facilities) = &mut self.facilities else { return Step::Rest };
        let mut record = batch.facilities.take().unwrap_or_default();
        let group = facilities.first..facilities.first + facilities.ready();
        let mut pages = Vec::new();
        for index in group.clone() {
            let Some(complete) = facilities.complete.remove(&index) else { continue };
            facilities.held_bytes -= bytes(&complete);
            let code = facilities.codes.get(index).map(ToString::to_string);
            match complete {
                Some(mut of_facility) => {
                    record.done += 1;
                    pages.append(&mut of_facility);
                }
                None => {
                    record.failed += 1;
                    if batch.failed.len() < FAILED_TOLD_MAX {
                        batch.failed.extend(code.clone());
                    }
                }
            }
            record.through = code;
        }
        facilities.since = None;
        let first = facilities.codes.get(group.start).cloned();
        let last = facilities.codes.get(group.end.saturating_sub(1)).cloned();
        let Some((first, last)) = first.zip(last).filter(|_| !group.is_empty()) else { return Step::Rest };
        facilities.publishing = group;
        batch.facilities = Some(record);
        let label = if first == last { first.to_string() } else { format!("{first}..{last}") };
        let publishing =
            Publishing { region: last, label: Some(label), watermark: None, highest: None, total: 0, batch };
        self.publish(lane, pages, false, publishing)
    }

    /// The group is committed.
    pub(super) fn group_published(&mut self) {
        if let Some(facilities) = &mut self.facilities {
            facilities.first = facilities.publishing.end.max(facilities.first);
            facilities.publishing = 0..0;
        }
    }

    /// A group that cannot be published is read again one by one, so that one facility does not take others with
    /// it. False if it was one alone, or the batch is about to end.
    pub(super) fn read_one_by_one(&mut self) -> bool {
        let Some(facilities) = &mut self.facilities else { return false };
        let group = std::mem::take(&mut facilities.publishing);
        if group.len() <= 1 || self.ending.is_some() {
            return false;
        }
        facilities.alone_until = group.end;
        for index in group.rev() {
            if let Some(region) = facilities.codes.get(index).cloned() {
                self.queue.push_front(Task::Read(Box::new(Reading::new(region, None))));
            }
        }
        true
    }

    /// Ends the batch, after what is complete has been published: the records are good, whatever became of others.
    /// Where the source refuses us nothing more goes out.
    pub(super) fn finish(&mut self, lane: usize, status: BatchStatus) -> Step {
        if self.batch.state == BatchState::Open && self.ending.is_none() && self.has_group() {
            for lane in &mut self.lanes {
                lane.doing = Doing::Nothing;
            }
            // At the end of the list there may be more than one group left.
            self.ending = (status != BatchStatus::Complete).then_some(status);
            return self.publish_group(lane);
        }
        if status == BatchStatus::Complete
            && let Some(record) = self.batch.facilities.as_ref().filter(|record| record.done >= EMPTY_MAX)
            && self.batch.fetched == 0
        {
            // Each answer was good in itself. That nobody works anywhere is no news about health workers.
            let last = record.through.as_deref().and_then(Region::facility);
            let (status, fault) = (BatchStatus::FormatChanged, Some(FaultKind::Format));
            self.notes.extend(last.map(|region| Note::RegionFailed { region, status, fault, code: "rows_missing" }));
            return self.end(status);
        }
        self.end(status)
    }
}
