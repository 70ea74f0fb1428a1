//! What must be true, kept by other means than the code that is judged.

use std::collections::{BTreeMap, BTreeSet};

use producer::cycle::{Arrived, Ask, Fault, FaultKind};
use producer::hold::HeldPage;
use producer::incident::{Notice, Phase};
use producer::region::Region;
use producer::state::{BatchRecord, BatchStatus, IncidentKind, WatermarkRecord};
use uuid::Uuid;

use crate::world::{self, World};
use crate::{HOUR, JITTER_MAX, LANES, TRIES_MAX};

pub(crate) type Told = (Uuid, IncidentKind, Phase);

/// What must be true, kept by other means than the code that is judged.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) seed: u64,
    /// Newest stamp of each row that was published.
    pub(crate) published: BTreeMap<u8, i64>,
    /// The present request of each lane and how often it failed.
    pub(crate) tries: BTreeMap<usize, (String, u32)>,
    /// Refused requests since there were other credentials, an operator resumed or the process began.
    pub(crate) refused: usize,
    /// The token with which the source refused us, until there is another one or an operator resumes.
    pub(crate) stopped: Option<u32>,
    pub(crate) burning: BTreeSet<IncidentKind>,
    pub(crate) told: Vec<Told>,
    pub(crate) heard: Vec<Told>,
    pub(crate) open: Option<Uuid>,
    /// The due time that was served last.
    pub(crate) served: Option<i64>,
    pub(crate) batches: u64,
    pub(crate) catch_ups: u64,
    pub(crate) crashes: u64,
    pub(crate) pauses: u64,
    pub(crate) polls: u64,
    pub(crate) opened: BTreeMap<IncidentKind, u64>,
}

/// The last multiple of six hours of West Indonesian time that is not later.
pub(crate) fn due_until(at: i64) -> i64 {
    (at + 7 * HOUR).div_euclid(6 * HOUR) * 6 * HOUR - 7 * HOUR
}

impl Model {
    pub(crate) fn starts(&mut self, batch: &BatchRecord, due: Option<i64>, now: i64) {
        let seed = self.seed;
        assert_eq!(self.open, None, "seed {seed}: two cycles at once");
        self.open = Some(batch.batch_id);
        self.batches += 1;
        let Some(due) = due else { return };
        assert!(Some(due) > self.served, "seed {seed}: a due time is served twice");
        assert_eq!(due, due_until(now), "seed {seed}: not the last due time: a second catch-up would follow");
        self.catch_ups += u64::from(self.served.is_some_and(|served| due > served + 6 * HOUR));
        self.served = Some(due);
    }

    /// While nothing runs and the clock is on, nobody may wait past the next due time.
    pub(crate) fn waits_until(&self, until: i64, came_up: i64) {
        let next = due_until(self.served.unwrap_or(came_up)) + 6 * HOUR;
        assert!(until <= next + JITTER_MAX, "seed {}: a due time passes unserved", self.seed);
    }

    /// `token`: the one that stands in the file now.
    pub(crate) fn puts(&mut self, lane: usize, ask: &Ask, token: u32) {
        let seed = self.seed;
        if self.stopped.is_some_and(|refused| refused != token) {
            self.stopped = None;
        }
        assert_eq!(self.stopped, None, "seed {seed}: a request while the credentials are refused");
        let text = format!("{ask:?}");
        let entry = self.tries.entry(lane).or_default();
        if entry.0 != text {
            *entry = (text, 0);
        }
        assert!(entry.1 < TRIES_MAX, "seed {seed}: {} tries of one request", entry.1 + 1);
    }

    pub(crate) fn hears(&mut self, lane: usize, outcome: &Result<Arrived, Fault>) {
        match outcome {
            Ok(_) => drop(self.tries.remove(&lane)),
            Err(fault) => {
                self.tries.entry(lane).or_default().1 += 1;
                self.refused += usize::from(fault.kind == FaultKind::Auth);
            }
        }
        // Those that were on their way, and the one after a renewal.
        assert!(self.refused <= LANES + 1, "seed {}: {} refused requests", self.seed, self.refused);
    }

    pub(crate) fn publishes(&mut self, pages: &[HeldPage]) {
        for (_, record) in pages.iter().flat_map(HeldPage::records) {
            // As it was given out: it may have changed since.
            let (row, stamp) = world::read(record);
            let newest = self.published.entry(row).or_insert(stamp);
            *newest = stamp.max(*newest);
        }
    }

    /// Each region is read or given up, unless the batch ended before its end.
    pub(crate) fn ends(&self, batch: &BatchRecord) {
        let done = |region: &String| batch.committed.contains(region) || batch.failed.contains(region);
        let whole = batch.status == Some(BatchStatus::Complete);
        let seed = self.seed;
        assert!(!whole || batch.planned.iter().all(done), "seed {seed}: a region is forgotten: {batch:?}");
        assert!(!whole || batch.failed.is_empty(), "seed {seed}: complete, and a region is not: {batch:?}");
    }

    pub(crate) fn no_watermark_passes_a_gap(&self, world: &World, marks: &BTreeMap<Region, WatermarkRecord>) {
        let marks: BTreeMap<&str, i64> =
            marks.iter().map(|(region, mark)| (region.as_str(), mark.watermark.0)).collect();
        for (id, row) in (0..).zip(&world.rows) {
            if marks.get(row.province).is_some_and(|mark| row.stamp <= *mark) {
                let seen = self.published.get(&id).copied();
                assert!(seen >= Some(row.stamp), "seed {}: the watermark has passed row {id}", self.seed);
            }
        }
    }

    pub(crate) fn tells(&mut self, notice: &Notice) {
        let changed = match notice.phase {
            Phase::Firing => self.burning.insert(notice.kind),
            Phase::Resolved => self.burning.remove(&notice.kind),
        };
        assert!(changed, "seed {}: {:?} {:?} twice", self.seed, notice.kind, notice.phase);
        self.told.push((notice.id, notice.kind, notice.phase));
        *self.opened.entry(notice.kind).or_default() += u64::from(notice.phase == Phase::Firing);
    }
}
