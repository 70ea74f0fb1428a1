//! What is too large to be read at once is read in parts: a province by its regencies, a region by halves of its
//! window.

use super::{Cycle, Doing, Publishing, Reading, Task, count};
use super::{Note, Step};
use crate::region::{self, Region};
use crate::state::{BatchRecord, BatchStatus};
use schemas::Timestamp;

/// No credible row is older than the year 2000, so a window without a lower bound is halved from there.
const WINDOW_FLOOR: Timestamp = Timestamp(946_684_800_000_000);

/// A window shorter than this is not halved.
const WINDOW_MIN_US: i64 = 2_000_000;

/// The regencies of one province, read in place of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) since: Option<Timestamp>,
    pub(super) keeps_watermark: bool,
    /// No row later than this is known to have been seen in every regency.
    pub(super) bound: Timestamp,
    pub(super) highest: Option<Timestamp>,
    pub(super) accounted: u64,
    pub(super) failed: bool,
}

impl Cycle {
    /// Whether a slice would take longer than a slice may, at the pace that is allowed.
    pub(super) fn is_too_long(&self, rows: usize, total: Option<u64>) -> bool {
        let (Some(total), Some(rows_max)) = (total, self.limits.page_rows_max) else { return false };
        let time = u128::from(total.div_ceil(u64::from(rows_max.max(1)))) * self.limits.request_interval.as_micros();
        // Four fifths: a slice may have to be read again in part, and requests take time themselves.
        total > count(rows) && time > self.limits.slice_timeout.as_micros() / 5 * 4
    }

    /// Replaces a reading by smaller ones.
    pub(super) fn split(&mut self, lane: usize, reading: Reading, started: Timestamp, now: Timestamp) -> Step {
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

    /// All regencies of a province are in; is that the province?
    pub(super) fn remainder(
        &mut self,
        lane: usize,
        province: Region,
        group: Group,
        total: Option<u64>,
        now: Timestamp,
    ) -> Step {
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
        self.publish(
            lane,
            Vec::new(),
            true,
            Publishing { region: province, label: None, watermark, highest: None, total: 0, batch },
        )
    }
}

/// Bytes that a slice will take, by its first page.
pub(super) fn expected_bytes(rows: usize, bytes: usize, total: Option<u64>) -> usize {
    match (total, count(rows)) {
        (Some(total), rows) if rows > 0 && total > rows => {
            let all = u128::from(total) * u128::try_from(bytes).unwrap_or(u128::MAX) / u128::from(rows);
            usize::try_from(all).unwrap_or(usize::MAX)
        }
        _ => bytes,
    }
}
