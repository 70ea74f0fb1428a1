//! The processor's work without transactions: read, judged, compared and encoded by its own library, reported as it
//! reports, and sent by a producer that is idempotent and nothing more. At least once, as far as anybody without
//! transactions can promise: positions are committed once their records are on the broker, and nobody waits for the answer.
//!
//! It lives in the benchmark alone. The product has no such switch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use platform::clock;
use platform::kafka::{Consumer, HeaderSet, IdempotentProducer, KafkaConfig, KafkaFault, Msg, Out, PollEvent};
use platform::secrets;
use platform::settings::{CommonArgs, Settings};
use processor::carried::{Carried, LastCarried};
use processor::report;
use processor::runs::Runs;
use processor::transform::{RAW_TOPIC, RawMessage, Transform, Transformed};
use processor::view::{View, Written};
use rules::Rules;
use schemas::Timestamp;
use schemas::identity::IdentityKey;
use schemas::layout::{self, Layout};

use super::{CLEAN, REPORTS};

/// Its name among the clients, and of the group whose positions it commits.
const NAME: &str = "sisdmk-bench";
/// Longest time until everything sent is on the broker.
const FLUSH_LIMIT: Duration = Duration::from_secs(60);

/// What all workers share: read from the very file that the processor reads.
pub(super) struct Plan {
    pub(super) kafka: KafkaConfig,
    rules: Arc<Rules>,
    key: Arc<IdentityKey>,
    threads: usize,
    batch_records_max: usize,
    batch_wait: Duration,
    flow_max: Duration,
}

/// The registry's ids, as they stand in the frames of the real topics.
#[derive(Clone, Copy)]
pub(super) struct SchemaIds {
    pub(super) clean: u32,
    pub(super) audit: u32,
}

impl Plan {
    pub(super) fn read(configuration: &Path) -> Result<Self> {
        let settings = Settings::load(&CommonArgs { config: Some(configuration.to_owned()), set: Vec::new() })?;
        let profile = layout::shipped(settings.text("source.profile")).context("a shipped profile")?;
        let rules = Rules::new(Layout::from_profile_toml(profile)?, &settings.table("rules.status_aktif"))?;
        let key = secrets::read(settings.path("identity.hmac_key_file"))?;
        Ok(Self {
            kafka: KafkaConfig::new(&settings, NAME)?,
            rules: Arc::new(rules),
            key: Arc::new(IdentityKey::from_secret(key.expose())?),
            threads: settings.count("processor.threads"),
            batch_records_max: settings.count("processor.batch_records_max"),
            batch_wait: settings.duration("processor.batch_wait"),
            flow_max: processor::flow_max(settings.duration("processor.transaction_timeout")),
        })
    }

    /// Works until `records` are done, and calls `look` with the number of those that are, again and again.
    ///
    /// Partitions are dealt like cards: there is no group, whose joining would have to be left out of the time again.
    pub(super) fn run(&self, partitions: i32, ids: SchemaIds, records: u64, mut look: impl FnMut(u64)) -> Result<()> {
        let (done, ends) = (AtomicU64::new(0), AtomicBool::new(false));
        let mut hands: Vec<Vec<i32>> = vec![Vec::new(); self.threads];
        for (partition, worker) in (0..partitions).zip((0..self.threads).cycle()) {
            hands[worker].push(partition);
        }
        let workers = hands.iter().map(|hand| Worker::new(self, hand, ids)).collect::<Result<Vec<_>>>()?;
        std::thread::scope(|scope| {
            let threads: Vec<_> = workers
                .into_iter()
                .map(|mut worker| {
                    let (done, ends) = (&done, &ends);
                    scope.spawn(move || {
                        while !ends.load(Ordering::Relaxed) {
                            match worker.batch() {
                                Ok(taken) => done.fetch_add(taken, Ordering::Relaxed),
                                Err(error) => {
                                    ends.store(true, Ordering::Relaxed);
                                    return Err(error);
                                }
                            };
                        }
                        Ok(())
                    })
                })
                .collect();
            while !ends.load(Ordering::Relaxed) {
                let now = done.load(Ordering::Relaxed);
                look(now);
                ends.fetch_or(now >= records || harness::interrupt::is_set(), Ordering::Relaxed);
                std::thread::sleep(super::LOOK_EVERY);
            }
            threads.into_iter().try_for_each(|thread| thread.join().expect("a worker returns its error"))
        })
    }
}

struct Worker<'p> {
    plan: &'p Plan,
    ids: SchemaIds,
    consumer: Consumer,
    producer: IdempotentProducer,
    transform: Transform,
    views: BTreeMap<i32, View>,
    runs: Runs,
}

impl<'p> Worker<'p> {
    fn new(plan: &'p Plan, partitions: &[i32], ids: SchemaIds) -> Result<Self> {
        let consumer = Consumer::manual(&plan.kafka)?;
        let starts: Vec<(&str, i32, i64)> = partitions.iter().map(|partition| (RAW_TOPIC, *partition, 0)).collect();
        consumer.assign(&starts)?;
        let mut runs = Runs::default();
        partitions.iter().for_each(|partition| runs.assign(*partition, 0));
        Ok(Self {
            plan,
            ids,
            consumer,
            producer: IdempotentProducer::connect(&plan.kafka)?,
            transform: Transform::new(Arc::clone(&plan.rules), Arc::clone(&plan.key), ids.clean),
            views: partitions.iter().map(|partition| (*partition, View::default())).collect(),
            runs,
        })
    }

    /// As one transaction of the processor, without one; the number of records that are done.
    fn batch(&mut self) -> Result<u64> {
        let now = Timestamp(clock::now_micros());
        let Self { plan, consumer, producer, transform, views, runs, .. } = self;
        let mut page = LastCarried::default();
        let mut failed = None;
        let outcome = consumer.poll_while_flowing(plan.batch_records_max, plan.batch_wait, plan.flow_max, |message| {
            if failed.is_none()
                && let Some(view) = views.get_mut(&message.partition)
            {
                failed = take(producer, transform, view, runs, &mut page, message, now).err();
            }
        });
        failed.map_or(Ok(()), Err)?;
        for event in outcome.events {
            match event {
                PollEvent::Fault(fault) if fault.is_retriable() => {}
                event => bail!("without transactions: {event:?}"),
            }
        }
        for (_, partition, next) in self.consumer.positions() {
            if let Some(next) = next {
                self.runs.skip_to(partition, next);
            }
        }
        if self.runs.is_empty() {
            return Ok(0);
        }
        self.report(now)?;
        let delivered = self.producer.flush(FLUSH_LIMIT)?;
        for (partition, view) in &mut self.views {
            let written = delivered.partitions.iter().find(|one| one.topic == CLEAN && one.partition == *partition);
            let written = written.map(|one| Written {
                first_offset: one.first_offset,
                last_offset: one.last_offset,
                count: one.count,
            });
            ensure!(view.commit(written), "somebody else writes to {CLEAN}");
        }
        let next = self.runs.next_offsets();
        let positions: Vec<(&str, i32, i64)> =
            next.iter().map(|(partition, next)| (RAW_TOPIC, *partition, *next)).collect();
        self.consumer.commit_hint(&positions)?;
        let done: i64 = self.runs.open().map(|run| run.raw_in).sum();
        self.runs.commit();
        Ok(u64::try_from(done)?)
    }

    fn report(&self, now: Timestamp) -> Result<(), KafkaFault> {
        let mut frame = Vec::new();
        for run in self.runs.open() {
            report::encode(run, now, self.ids.audit, &mut frame);
            let key = run.batch_id.to_string();
            self.producer.send(Out {
                topic: REPORTS,
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(&frame),
                headers: &HeaderSet::default(),
                timestamp_ms: None,
            })?;
        }
        Ok(())
    }
}

/// Judges one record and sends it where it is news.
fn take(
    producer: &IdempotentProducer,
    transform: &mut Transform,
    view: &mut View,
    runs: &mut Runs,
    page: &mut LastCarried<HeaderSet>,
    message: &Msg<'_>,
    now: Timestamp,
) -> Result<()> {
    let (provenance, carried) = page.read(&Carried::of(message.headers()), |carried| {
        let headers: Vec<(&str, &[u8])> = carried.present().collect();
        HeaderSet::new(&headers)
    });
    let raw = RawMessage {
        partition: message.partition,
        offset: message.offset,
        key: message.key,
        payload: message.value.unwrap_or_default(),
        provenance,
    };
    let transformed = transform.apply(raw, view, now);
    let outcome = transformed.outcome();
    match transformed {
        Transformed::Clean { person_id, frame } => producer.send(Out {
            topic: CLEAN,
            partition: Some(message.partition),
            key: Some(person_id.to_string().as_bytes()),
            value: Some(frame),
            headers: carried,
            timestamp_ms: message.timestamp_ms,
        })?,
        Transformed::Equal | Transformed::Stale => {}
        Transformed::Dead { code, .. } => bail!("a record of this source is a dead letter: {code}"),
    }
    runs.take(message.partition, message.offset, provenance.batch_id, outcome);
    runs.count_fields(message.partition, transform.fields());
    if transform.conflict() {
        runs.count_conflict(message.partition);
    }
    Ok(())
}
