//! The views of a worker's partitions, and how they come to know what the topic says.
//!
//! A view is brought up to the end of its partition before the first record is judged, and again after every fault: what a
//! transaction left behind is read and not guessed. What was read once is kept: a view that goes away with its partition waits
//! for its return, and then only what came after is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::clock::{Deadline, Stopwatch};
use platform::kafka::{Consumer, Deliveries, FaultKind, KafkaConfig, KafkaFault, Msg, PollEvent};
use schemas::worker::{self, Op};
use schemas::{PersonId, Timestamp};

use crate::edge::telemetry::Telemetry;
use crate::provenance::header;
use crate::view::{Provinces, View, Word, Written};

pub(crate) const CLEAN_TOPIC: &str = "sisdmk.clean";

/// Records read before the group is polled and the clock is looked at: some ten milliseconds.
const RECORDS_PER_POLL: usize = 10_000;
/// How long one poll waits for the topic.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Nothing came for so long: somebody's open transaction hides the rest, or the broker is away. Longer than the broker needs to
/// abort a transaction of a killed process.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// How often the way is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Memory for views of partitions that this process has not at present, over all its workers.
const KEPT_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Older than this they are read anew: a tombstone that was written and compacted away meanwhile would be missed. Far below the
/// topic's `delete.retention.ms`.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Views of partitions that went away, for whichever worker of the process gets them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<(i32, View, Stopwatch)>>>);

impl Kept {
    fn list(&self) -> MutexGuard<'_, Vec<(i32, View, Stopwatch)>> {
        // Every change is one removal or one push.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, partition: i32, view: View) {
        let mut list = self.list();
        list.retain(|(other, ..)| *other != partition);
        list.push((partition, view, Stopwatch::start()));
        while list.iter().map(|(_, view, _)| view.table().bytes()).sum::<usize>() > KEPT_BYTES_MAX {
            list.remove(0);
        }
    }

    fn take(&self, partition: i32) -> Option<View> {
        let mut list = self.list();
        list.retain(|(_, _, since)| since.elapsed() < KEPT_FOR);
        let index = list.iter().position(|(other, ..)| *other == partition)?;
        Some(list.swap_remove(index).1)
    }
}

const NOBODY: Provinces = [0; size_of::<Provinces>() / size_of::<u32>()];

/// Whether to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// Nothing has happened.
    GoOn,
    /// Partitions changed, or the process is to stop.
    LeaveIt,
}

/// The views of one worker.
pub(crate) struct Views {
    kafka: KafkaConfig,
    clean_schema_id: u32,
    held: BTreeMap<i32, View>,
    kept: Kept,
    /// Asks where logs end, open transactions included.
    ends: Option<Consumer>,
    /// Persons by province of each partition, as they were told.
    told: BTreeMap<i32, Provinces>,
    telemetry: Telemetry,
}

impl Views {
    pub(crate) fn new(kafka: &KafkaConfig, clean_schema_id: u32, kept: Kept, telemetry: Telemetry) -> Self {
        Self {
            kafka: kafka.clone(),
            clean_schema_id,
            held: BTreeMap::new(),
            kept,
            ends: None,
            told: BTreeMap::new(),
            telemetry,
        }
    }

    /// Password or certificates are others by now: what is asked next is asked by a new client.
    pub(crate) fn reconnect(&mut self) {
        self.ends = None;
    }

    /// The view of a partition that was brought up to its end.
    pub(crate) fn get_mut(&mut self, partition: i32) -> Option<&mut View> {
        self.held.get_mut(&partition)
    }

    /// A partition has gone; its view is kept for its return.
    pub(crate) fn release(&mut self, partition: i32) {
        if let Some(mut view) = self.held.remove(&partition) {
            view.abort();
            let told = self.told.remove(&partition).unwrap_or(NOBODY);
            self.telemetry.view_gone(partition, &told);
            self.kept.put(partition, view);
        }
    }

    /// The open transaction left nothing behind, or nobody knows: the topic will tell.
    pub(crate) fn abort(&mut self) {
        self.held.values_mut().for_each(View::abort);
    }

    /// The open transaction is committed and has delivered this. False where somebody else wrote to a partition of ours too: then
    /// [`catch_up`](Self::catch_up) reads what it was.
    pub(crate) fn commit(&mut self, delivered: &Deliveries) -> bool {
        let mut alone = true;
        for (partition, view) in &mut self.held {
            let written =
                delivered.partitions.iter().find(|one| one.topic == CLEAN_TOPIC && one.partition == *partition);
            alone &= view.commit(written.map(|one| Written {
                first_offset: one.first_offset,
                last_offset: one.last_offset,
                count: one.count,
            }));
        }
        alone
    }

    /// Whether a partition that a reader of committed records finds to end at `end` holds something unknown.
    pub(crate) fn is_behind(&self, partition: i32, end: i64) -> bool {
        self.held.get(&partition).is_some_and(|view| view.is_behind(end))
    }

    /// Tells how many persons stand where.
    pub(crate) fn tell(&mut self) {
        for (partition, view) in &self.held {
            let told = self.told.entry(*partition).or_insert(NOBODY);
            self.telemetry.view(*partition, view.table(), told);
            *told = *view.table().provinces();
        }
    }

    /// Reads what the views of these partitions do not know, up to where their logs end at this moment, open transactions
    /// included. Ask for the committed positions first: whoever had the partition before us has then ended.
    ///
    /// `meanwhile` is called all the time; it keeps the membership in the group. False: it said to leave it, and views may not be
    /// complete.
    pub(crate) fn catch_up(
        &mut self,
        partitions: &[i32],
        mut meanwhile: impl FnMut() -> Meanwhile,
    ) -> Result<bool, KafkaFault> {
        let mut missing: Vec<(i32, i64)> = Vec::new();
        for &partition in partitions {
            let (low, end) = self.ends()?.watermarks(CLEAN_TOPIC, partition)?;
            let view = self.held.entry(partition).or_insert_with(|| self.kept.take(partition).unwrap_or_default());
            view.abort();
            if view.next() > end {
                // The topic is not the one that it was.
                *view = View::default();
            }
            view.reached(low);
            if view.next() < end {
                missing.push((partition, end));
            }
        }
        if !missing.is_empty() {
            let since = Stopwatch::start();
            let positions =
                missing.iter().map(|(partition, end)| end - self.held.get(partition).map_or(0, View::next)).sum();
            if !self.read(&missing, &mut meanwhile)? {
                return Ok(false);
            }
            self.telemetry.caught_up(since.elapsed(), missing.len(), positions);
            self.tell();
        }
        // Only now: what was left in the middle is still to be told.
        self.telemetry.view_read();
        Ok(true)
    }

    fn ends(&mut self) -> Result<&Consumer, KafkaFault> {
        Ok(match &mut self.ends {
            Some(ends) => ends,
            none => none.insert(Consumer::manual_uncommitted(&self.kafka)?),
        })
    }

    /// Reads each partition from where its view stands up to its end.
    fn read(&mut self, missing: &[(i32, i64)], meanwhile: &mut impl FnMut() -> Meanwhile) -> Result<bool, KafkaFault> {
        let next = |held: &BTreeMap<i32, View>, partition: i32| held.get(&partition).map_or(0, View::next);
        let left = |held: &BTreeMap<i32, View>| -> i64 {
            missing.iter().map(|(partition, end)| (end - next(held, *partition)).max(0)).sum()
        };
        let starts: Vec<(&str, i32, i64)> =
            missing.iter().map(|(partition, _)| (CLEAN_TOPIC, *partition, next(&self.held, *partition))).collect();
        let reader = Consumer::manual(&self.kafka)?;
        reader.assign(&starts)?;
        let all = left(&self.held);
        let mut strange = 0_u64;
        let (mut told, mut stall, mut before) = (None::<Stopwatch>, Deadline::after(STALL_LIMIT), all);
        loop {
            let held = &mut self.held;
            let schema_id = self.clean_schema_id;
            let outcome = reader.poll(RECORDS_PER_POLL, POLL_WAIT, |message| {
                let known = held.get_mut(&message.partition).zip(word(message, schema_id));
                match known {
                    Some((view, (person_id, word))) => view.learn(person_id, word),
                    None => strange += 1,
                }
            });
            for (partition, _) in missing {
                if let (Some(view), Some(next)) =
                    (self.held.get_mut(partition), reader.position(CLEAN_TOPIC, *partition))
                {
                    view.reached(next);
                }
            }
            for event in outcome.events {
                match event {
                    PollEvent::Fault(fault) if !fault.is_retriable() => return Err(fault),
                    PollEvent::PositionLost { partition, .. } => {
                        // Cut while it was read: nobody knows what was there.
                        self.held.remove(&partition);
                        let message = format!("read {CLEAN_TOPIC}: partition {partition} was cut while it was read");
                        return Err(KafkaFault::new(FaultKind::Retriable, message));
                    }
                    PollEvent::Fault(_) | PollEvent::Rebalance(_) => {}
                }
            }
            let left = left(&self.held);
            if left == 0 {
                if strange > 0 {
                    // The sink refuses them too, one by one and with their place.
                    tracing::warn!(
                        records = strange,
                        "records of {CLEAN_TOPIC} that this program did not write were passed over"
                    );
                }
                return Ok(true);
            }
            if left < before {
                (before, stall) = (left, Deadline::after(STALL_LIMIT));
            } else if stall.passed() {
                let why = open_transaction(&reader, missing)
                    .unwrap_or_else(|| format!("nothing came for {} s", STALL_LIMIT.as_secs()));
                return Err(KafkaFault::new(FaultKind::Timeout, format!("read {CLEAN_TOPIC} to its end: {why}")));
            }
            if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                told = Some(Stopwatch::start());
                let partitions: Vec<i32> = missing.iter().map(|(partition, _)| *partition).collect();
                self.telemetry.reading_view(&partitions, all - left, all);
            }
            if meanwhile() == Meanwhile::LeaveIt {
                return Ok(false);
            }
        }
    }
}

/// What keeps a reader of committed records from an end: a transaction that does not end although it must have long ago.
fn open_transaction(reader: &Consumer, missing: &[(i32, i64)]) -> Option<String> {
    missing.iter().find_map(|(partition, end)| {
        let (_, committed) = reader.watermarks(CLEAN_TOPIC, *partition).ok()?;
        (committed < *end).then(|| {
            format!("a transaction that was begun at offset {committed} of partition {partition} does not end")
        })
    })
}

/// What a record of the topic says, and about whom; `None` for one that the sink refuses.
fn word(message: &Msg<'_>, schema_id: u32) -> Option<(PersonId, Word)> {
    let person_id = PersonId::parse(message.key?)?;
    let Some(frame) = message.value else {
        let at = std::str::from_utf8(message.header(header::FETCHED_AT)?).ok()?;
        return Some((person_id, Word::Gone(Timestamp::parse_rfc3339(at)?)));
    };
    let head = worker::decode_head(frame, schema_id).ok()?;
    let word = match head.op {
        Op::Delete => Word::Gone(head.version.fetched_at),
        Op::Create | Op::Update => Word::State { version: head.version, stamp: head.stamp, province: head.province },
    };
    (head.person_id == person_id).then_some((person_id, word))
}
