//! One worker: a member of the group, a connection, and the partitions that the group gives it.
//!
//! The thread polls, and writes between polls. While a transaction runs it goes on polling, with
//! everything paused, so that a slow server costs time and not the membership. Where a partition is
//! taken up comes from `sink.offset` alone; what the group has committed is a hint for lag tools.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use platform::clock::{Stopwatch, now_micros};
use platform::exit::Failure;
use platform::http::Health;
use platform::kafka::{Consumer, Deadline, FaultKind, KafkaFault, PollEvent, PollOutcome, RebalanceEvent, Start};
use platform::metrics;
use platform::shutdown::Shutdown;
use platform::telemetry::TraceContext;
use schemas::Timestamp;
use sqlx::postgres::PgConnection;
use tracing::Instrument as _;

use crate::config::{Config, HELD_BYTES_MAX, POLL_RECORDS_MAX};
use crate::edge::dead_letters::DlqTopic;
use crate::edge::gauges;
use crate::edge::postgres::{Address, ends_connection};
use crate::edge::writer::{self, Attempt, Done};
use crate::partition::{Partition, Standing, backoff};
use crate::policy::{Action, Fault, action};

/// Topic that the sink takes in.
pub(crate) const CLEAN: &str = "sisdmk.clean";
/// Group of all sinks.
const GROUP: &str = "sisdmk-sink";
/// While a transaction runs the group hears from us this often.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How often positions are told to the group, lags measured and stopped partitions looked at.
const HINT_EVERY: Duration = Duration::from_secs(1);
const MEASURE_EVERY: Duration = Duration::from_secs(10);
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(5);
/// How long a poll waits for records that are said to be at hand already.
const AT_HAND: Duration = Duration::from_millis(5);
/// Header with the trace of a record.
const TRACEPARENT: &str = "traceparent";

/// Does something every so often.
struct Every {
    span: Duration,
    last: Option<Duration>,
}

impl Every {
    fn new(span: Duration) -> Self {
        Self { span, last: None }
    }

    fn is_due(&mut self, now: Duration) -> bool {
        let due = self.last.is_none_or(|last| now.saturating_sub(last) >= self.span);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// A worker; one thread drives it.
pub(crate) struct Worker {
    config: Arc<Config>,
    schema_id: u32,
    health: Health,
    check: String,
    clock: Stopwatch,
    runtime: tokio::runtime::Runtime,
    address: Address,
    connection: Option<PgConnection>,
    connect_tries: u32,
    connect_after: Duration,
    consumer: Consumer,
    partitions: BTreeMap<i32, Partition>,
    paused: BTreeSet<i32>,
    dead_letters: DlqTopic,
    hinted: BTreeMap<i32, i64>,
    hint: Every,
    measure: Every,
    look_again: Every,
}

impl Worker {
    /// Joins the group.
    ///
    /// # Errors
    /// Exit 2 or 3 when a client cannot be made.
    pub(crate) fn join(config: Arc<Config>, number: usize, schema_id: u32, health: Health) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::environment("cannot start a worker's runtime").because(error))?;
        let address = Address::new(
            &config.postgres_url,
            config.postgres_password_file.clone(),
            &format!("sisdmk-sink worker {number}"),
        )?;
        let consumer = Consumer::subscribe(&config.kafka, CLEAN, GROUP, Start::Held)
            .map_err(|fault| Failure::config(format!("failed to {fault}")))?;
        Ok(Self {
            schema_id,
            health,
            check: check_name(number),
            clock: Stopwatch::start(),
            runtime,
            address,
            connection: None,
            connect_tries: 0,
            connect_after: Duration::ZERO,
            consumer,
            partitions: BTreeMap::new(),
            paused: BTreeSet::new(),
            dead_letters: DlqTopic::new(config.kafka.clone()),
            hinted: BTreeMap::new(),
            hint: Every::new(HINT_EVERY),
            measure: Every::new(MEASURE_EVERY),
            look_again: Every::new(LOOK_AGAIN_EVERY),
            config,
        })
    }

    /// Works until asked to stop. A transaction in hand is finished; records that wait for one are
    /// not, and are read again by whoever comes next.
    ///
    /// # Errors
    /// Exit 1 when the group's client is broken for good.
    pub(crate) fn run(mut self, shutdown: &Shutdown) -> Result<(), Failure> {
        while !shutdown.is_set() {
            self.step()?;
        }
        Ok(())
    }

    /// One round: write what is due or wait for records, then find positions, tell and measure.
    fn step(&mut self) -> Result<(), Failure> {
        self.renew();
        match self.next_due() {
            Some(number) => {
                self.write(number)?;
                // What arrived meanwhile goes into the batches that are still to be written.
                self.fill(Duration::ZERO)?;
            }
            None if self.is_crowded() => self.breathe()?,
            None => self.fill(self.config.batch_wait)?,
        }
        self.find_positions();
        self.resume_running();
        let now = self.clock.elapsed();
        if self.hint.is_due(now) {
            self.tell_the_group();
        }
        if self.measure.is_due(now) {
            self.measure_lag();
        }
        self.tell_health();
        Ok(())
    }

    /// Where password or certificates have changed, puts another member of the group in the place of this one. What is held is
    /// forgotten with the partitions, and read again from the position of the table.
    fn renew(&mut self) {
        if !self.consumer.is_outdated() {
            return;
        }
        match Consumer::subscribe(&self.config.kafka, CLEAN, GROUP, Start::Held) {
            Ok(successor) => {
                self.consumer = successor;
                let ours: Vec<i32> = self.partitions.keys().copied().collect();
                ours.into_iter().for_each(|number| self.forget(number));
            }
            Err(fault) => tracing::warn!(error = %fault, "the former consumer goes on; trying again"),
        }
    }

    /// Whether what is held, for lack of a server to write it to, takes all the memory there is for it.
    fn is_crowded(&self) -> bool {
        self.held_bytes() >= HELD_BYTES_MAX
    }

    /// Takes nothing in, and polls all the same, so that the group knows that we live.
    fn breathe(&mut self) -> Result<(), Failure> {
        let running: Vec<i32> = self.running().collect();
        for number in running {
            if !self.paused.contains(&number) {
                self.pause(number);
            }
        }
        self.take(1, self.config.batch_wait).map(|_| ())
    }

    fn running(&self) -> impl Iterator<Item = i32> + '_ {
        let runs =
            |(number, partition): (&i32, &Partition)| (partition.standing == Standing::Running).then_some(*number);
        self.partitions.iter().filter_map(runs)
    }

    /// The due partition with the most records.
    fn next_due(&self) -> Option<i32> {
        let now = self.clock.elapsed();
        let wait = if self.is_crowded() { Duration::ZERO } else { self.config.batch_wait };
        self.partitions
            .iter()
            .filter(|(_, partition)| partition.is_due(now, self.config.batch_rows_max, wait))
            .max_by_key(|(_, partition)| partition.batch.len())
            .map(|(number, _)| *number)
    }

    fn held_bytes(&self) -> usize {
        self.partitions.values().map(|partition| partition.batch.bytes()).sum()
    }

    /// Takes records in until a batch is full, memory is short, or `wait` has passed and no more are at hand.
    fn fill(&mut self, wait: Duration) -> Result<(), Failure> {
        let deadline = Deadline::after(wait);
        loop {
            // Partitions that are held are paused and get nothing.
            let fullest = self.running().map(|number| self.partitions[&number].batch.len()).max().unwrap_or(0);
            let room = self.config.batch_rows_max.saturating_sub(fullest).min(POLL_RECORDS_MAX);
            if room == 0 || self.is_crowded() {
                return Ok(());
            }
            let taken = self.take(room, deadline.remaining().max(AT_HAND))?;
            if deadline.passed() && taken < room {
                return Ok(());
            }
        }
    }

    /// One poll.
    fn take(&mut self, records_max: usize, wait: Duration) -> Result<usize, Failure> {
        // Records wait from the beginning of the poll that brings them: a lonely one is then due
        // when its poll ends.
        let now = self.clock.elapsed();
        let partitions = &mut self.partitions;
        let outcome = self.consumer.poll(records_max, wait, |message| {
            // A record of a partition that does not run (just assigned, stopped) comes again: it
            // is sought to its position before it runs.
            if let Some(partition) = partitions.get_mut(&message.partition)
                && matches!(partition.standing, Standing::Running | Standing::Held(_))
            {
                partition.batch.push(message.offset, message.key, message.value, message.headers());
            }
        });
        for partition in self.partitions.values_mut() {
            partition.waits_since(now);
        }
        let records = outcome.records;
        self.meet(outcome)?;
        Ok(records)
    }

    /// Deals with what a poll met besides records.
    fn meet(&mut self, outcome: PollOutcome) -> Result<(), Failure> {
        for event in outcome.events {
            match event {
                PollEvent::Rebalance(RebalanceEvent::Assigned(numbers)) => {
                    for number in numbers {
                        self.partitions.insert(number, Partition::assigned());
                        self.paused.insert(number);
                    }
                }
                PollEvent::Rebalance(RebalanceEvent::Revoked(numbers) | RebalanceEvent::Lost(numbers)) => {
                    for number in numbers {
                        self.forget(number);
                    }
                }
                PollEvent::PositionLost { partition, .. } => self.stop(partition, &lost(partition)),
                PollEvent::Fault(fault) => self.meet_kafka(&fault)?,
            }
        }
        Ok(())
    }

    fn meet_kafka(&mut self, fault: &KafkaFault) -> Result<(), Failure> {
        match fault.kind {
            // The group's client mends these by itself.
            FaultKind::Retriable | FaultKind::Timeout | FaultKind::Missing => {
                tracing::debug!(error = %fault, "kafka consumer");
                Ok(())
            }
            // A client that is made of another password takes this one's place as soon as there is one.
            FaultKind::Login => {
                tracing::debug!(error = %fault, "kafka consumer");
                self.health.not_ok(&self.kafka_check(), format!("failed to {fault}"));
                Ok(())
            }
            FaultKind::Denied
            | FaultKind::Config
            | FaultKind::Fatal
            | FaultKind::Fenced
            | FaultKind::Abortable
            | FaultKind::TooLarge => {
                Err(Failure::runtime(format!("failed to {fault}")).hint("the process must be started again"))
            }
        }
    }

    fn forget(&mut self, number: i32) {
        self.partitions.remove(&number);
        self.paused.remove(&number);
        self.hinted.remove(&number);
        let label = number.to_string();
        let _ = metrics::stage_lag().remove_label_values(&["sink", &label]);
        let _ = gauges::stopped().remove_label_values(&[CLEAN, &label]);
        self.health.forget(&position_check(number));
    }

    /// Stands still until an operator acts.
    fn stop(&mut self, number: i32, fault: &Fault) {
        let Some(partition) = self.partitions.get_mut(&number) else { return };
        let (_, advice) = action(fault, u32::MAX);
        partition.stop();
        tracing::error!(topic = CLEAN, partition = number, error = %fault, advice, "the partition stands still");
        gauges::stopped().with_label_values(&[CLEAN, &number.to_string()]).set(1);
        self.health.not_ok(&position_check(number), format!("failed to {fault}; {advice}"));
        self.pause(number);
    }

    fn pause(&mut self, number: i32) {
        match self.consumer.pause(CLEAN, &[number]) {
            Ok(()) => {
                self.paused.insert(number);
            }
            // It went away meanwhile; the next poll says so.
            Err(fault) => tracing::debug!(error = %fault, partition = number, "not paused"),
        }
    }

    /// Goes back to where the batch of a paused partition ends; whether it may go on from there.
    fn is_in_place(&self, number: i32) -> bool {
        // What librdkafka handed out while the partition was paused was not kept: back to it.
        let next = self.partitions.get(&number).map(|partition| partition.batch.next_position());
        if let Some(next) = next
            && self.consumer.position(CLEAN, number).is_some_and(|position| position > next)
            && let Err(fault) = self.consumer.seek(CLEAN, number, next)
        {
            // It stays paused, and with it the records in their order.
            tracing::warn!(error = %fault, partition = number, "the partition cannot go on; trying again");
            return false;
        }
        true
    }

    /// A connection, if there is one or can be one now.
    fn connect(&mut self) -> bool {
        if self.connection.is_some() {
            return true;
        }
        let now = self.clock.elapsed();
        if now < self.connect_after {
            return false;
        }
        let address = &self.address;
        let connecting = async {
            let mut connection = address.connect().await?;
            writer::prepare(&mut connection).await?;
            Ok::<_, Fault>(connection)
        };
        match self.runtime.block_on(connecting) {
            Ok(connection) => {
                self.connection = Some(connection);
                self.connect_tries = 0;
                true
            }
            Err(fault) => {
                self.connect_tries = self.connect_tries.saturating_add(1);
                self.connect_after = now + backoff(self.connect_tries);
                let (_, advice) = action(&fault, 0);
                tracing::warn!(error = %fault, advice, "no connection to Postgres; trying again");
                self.health.not_ok(&self.check, format!("failed to {fault}; {advice}"));
                false
            }
        }
    }

    /// Takes up partitions whose position is to be asked for, and looks again at stopped ones.
    fn find_positions(&mut self) {
        let looks_again = self.partitions.values().any(|partition| matches!(partition.standing, Standing::Stopped(_)))
            && self.look_again.is_due(self.clock.elapsed());
        let wanted: BTreeSet<i32> = self
            .partitions
            .iter()
            .filter(|(_, partition)| match partition.standing {
                Standing::Asking => true,
                Standing::Stopped(_) => looks_again,
                Standing::Running | Standing::Held(_) => false,
            })
            .map(|(number, _)| *number)
            .collect();
        if wanted.is_empty() || !self.connect() {
            return;
        }
        let Some(connection) = &mut self.connection else { return };
        let found = match self.runtime.block_on(writer::positions(connection, CLEAN, &wanted)) {
            Ok(found) => found,
            Err(fault) => {
                tracing::warn!(error = %fault, "positions cannot be read; trying again");
                self.connection = None;
                return;
            }
        };
        for number in wanted {
            let standing = self.partitions.get(&number).map(|partition| partition.standing);
            match (standing, found.get(&number).copied()) {
                (Some(Standing::Asking), None) => self.stop(number, &lost(number)),
                (Some(Standing::Asking), Some(position)) => self.start(number, position),
                // An operator gave it another one.
                (Some(Standing::Stopped(at)), Some(position)) if at != Some(position) => self.start(number, position),
                _ => {}
            }
        }
    }

    /// Takes a partition in from a position.
    fn start(&mut self, number: i32, position: i64) {
        if let Err(fault) = self.consumer.seek(CLEAN, number, position) {
            // Not taken up yet; it stays as it is and is tried again in the next round.
            tracing::warn!(error = %fault, partition = number, "the partition cannot be taken up; trying again");
            return;
        }
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.start(position);
            tracing::info!(topic = CLEAN, partition = number, position, "taking the partition in");
            gauges::stopped().with_label_values(&[CLEAN, &number.to_string()]).set(0);
            self.health.ok(&position_check(number));
            self.paused.insert(number);
        }
    }

    /// Writes the batch of one partition.
    fn write(&mut self, number: i32) -> Result<(), Failure> {
        if !self.connect() {
            self.hold(number);
            return Ok(());
        }
        let (Some(mut connection), Some(mut partition)) = (self.connection.take(), self.partitions.remove(&number))
        else {
            return Ok(());
        };
        let refused = std::mem::take(&mut partition.refused);
        let mut attempt = Attempt::new(CLEAN, number, &partition.batch, self.schema_id, refused);
        let span = tracing::info_span!("write", partition = number, records = partition.batch.len());
        let trace = partition.batch.record(0).header(TRACEPARENT).and_then(TraceContext::parse);
        if let Some(trace) = trace {
            trace.adopt(&span);
        }
        let committing = attempt.commit(&mut connection, &mut self.dead_letters).instrument(span);
        let (outcome, met) = self.runtime.block_on(alive(&self.consumer, &self.partitions, number, committing));
        if outcome.is_ok() {
            let now = Timestamp(now_micros());
            let latency = metrics::end_to_end_latency();
            attempt.fetched_at().for_each(|at| latency.observe(gauges::seconds(at, now)));
        }
        partition.refused = attempt.into_refused();
        self.connection = Some(connection);
        self.partitions.insert(number, partition);
        match outcome {
            Ok(done) => self.done(number, &done),
            Err(fault) => self.failed(number, fault),
        }
        if let Some(met) = met {
            self.paused.extend(self.partitions.keys());
            for outcome in met {
                self.meet(outcome)?;
            }
        }
        Ok(())
    }

    fn done(&mut self, number: i32, done: &Done) {
        for run in &done.runs {
            gauges::count(&run.counts);
        }
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.done();
        }
    }

    fn hold(&mut self, number: i32) {
        let now = self.clock.elapsed();
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.hold(now);
        }
        self.pause(number);
    }

    fn failed(&mut self, number: i32, fault: Fault) {
        let tries = self.partitions.get_mut(&number).map_or(0, |partition| partition.doubt(&fault));
        let (action, advice) = action(&fault, tries);
        gauges::faults().with_label_values(&[label(action)]).inc();
        if ends_connection(&fault) {
            self.connection = None;
        }
        match action {
            Action::Retry | Action::Pause => {
                tracing::warn!(topic = CLEAN, partition = number, tries, error = %fault, advice, "nothing was written; trying again");
                if action == Action::Pause {
                    self.health.not_ok(&self.check, format!("failed to {fault}; {advice}"));
                }
                self.hold(number);
            }
            Action::Reload => self.reload(number, advice),
            Action::Stop => self.stop(number, &fault),
        }
    }

    /// The position was moved by somebody: asks where it is and goes on from there.
    fn reload(&mut self, number: i32, advice: &str) {
        let Some(connection) = &mut self.connection else { return };
        let found = self.runtime.block_on(writer::positions(connection, CLEAN, &BTreeSet::from([number])));
        let Some(partition) = self.partitions.get_mut(&number) else { return };
        match found {
            Err(fault) => {
                tracing::warn!(topic = CLEAN, partition = number, error = %fault, "the position cannot be read; trying again");
                self.connection = None;
                self.hold(number);
            }
            Ok(found) => match found.get(&number).copied() {
                // Ours after all: the answer to the commit was lost on its way.
                Some(position) if position == partition.batch.next_position() => {
                    tracing::info!(topic = CLEAN, partition = number, position, "the batch was committed");
                    partition.done();
                }
                Some(position) => {
                    tracing::warn!(
                        topic = CLEAN,
                        partition = number,
                        position,
                        advice,
                        "going on from the position of the table"
                    );
                    partition.standing = Standing::Asking;
                    self.start(number, position);
                }
                None => self.stop(number, &lost(number)),
            },
        }
    }

    /// Goes on with every partition that is paused without a reason.
    fn resume_running(&mut self) {
        if self.paused.is_empty() || self.is_crowded() {
            return;
        }
        let running: Vec<i32> = self.running().filter(|number| self.paused.contains(number)).collect();
        let ready: Vec<i32> = running.into_iter().filter(|number| self.is_in_place(*number)).collect();
        if ready.is_empty() {
            return;
        }
        match self.consumer.resume(CLEAN, &ready) {
            Ok(()) => self.paused.retain(|number| !ready.contains(number)),
            Err(fault) => tracing::debug!(error = %fault, partitions = ?ready, "not resumed"),
        }
    }

    /// Tells the group how far we are: for lag tools only. At the end of the topic this is the log's
    /// end, past the markers of transactions, so that an idle lag is zero.
    fn tell_the_group(&mut self) {
        let mut hints = Vec::new();
        for (number, partition) in &self.partitions {
            if partition.standing != Standing::Running {
                continue;
            }
            let position = self.position(*number, partition);
            if self.hinted.get(number) != Some(&position) {
                hints.push((CLEAN, *number, position));
            }
        }
        match self.consumer.commit_hint(&hints) {
            Ok(()) => self.hinted.extend(hints.into_iter().map(|(_, number, position)| (number, position))),
            Err(fault) => tracing::debug!(error = %fault, "the group was not told our positions"),
        }
    }

    /// Everything before this is in the tables, or is nothing to be taken in.
    fn position(&self, number: i32, partition: &Partition) -> i64 {
        let position = partition.batch.position();
        if !partition.batch.is_empty() {
            return position;
        }
        self.consumer.position(CLEAN, number).map_or(position, |next| next.max(position))
    }

    fn kafka_check(&self) -> String {
        format!("{} kafka", self.check)
    }

    fn measure_lag(&self) {
        let kafka = self.kafka_check();
        match self.look_at_ends() {
            Ok(()) => self.health.forget(&kafka),
            Err(fault) => {
                // A broker that is away brings no records and no faults either: this is where it is noticed.
                tracing::debug!(error = %fault, "the lag cannot be measured now");
                self.health.not_ok(&kafka, format!("failed to {fault}"));
            }
        }
    }

    /// Stops at the first fault: every further question would wait for its own time-out.
    fn look_at_ends(&self) -> Result<(), KafkaFault> {
        if self.partitions.is_empty() {
            // Also without any, which is how it is once the group has given up on a member that it does not hear.
            return self.consumer.partitions(CLEAN).map(drop);
        }
        for (number, partition) in &self.partitions {
            let (_, end) = self.consumer.watermarks(CLEAN, *number)?;
            let lag = match partition.standing {
                Standing::Running | Standing::Held(_) => end - self.position(*number, partition),
                Standing::Asking | Standing::Stopped(Some(_) | None) => continue,
            };
            metrics::stage_lag().with_label_values(&["sink", &number.to_string()]).set(lag.max(0));
        }
        Ok(())
    }

    fn tell_health(&self) {
        let held = self.partitions.values().any(|partition| {
            matches!(partition.standing, Standing::Held(_))
                || (partition.standing == Standing::Asking && self.connection.is_none())
        });
        if !held {
            self.health.ok(&self.check);
        }
    }
}

/// Waits for a transaction; when it takes long, pauses everything and polls now and then, so that
/// the group knows that we live. Gives what these polls met; none: there was no need for any.
async fn alive(
    consumer: &Consumer,
    partitions: &BTreeMap<i32, Partition>,
    writing: i32,
    committing: impl Future<Output = Result<Done, Fault>>,
) -> (Result<Done, Fault>, Option<Vec<PollOutcome>>) {
    let mut committing = std::pin::pin!(committing);
    let mut met = None;
    loop {
        tokio::select! {
            outcome = &mut committing => return (outcome, met),
            () = tokio::time::sleep(ALIVE_EVERY) => {
                let met = met.get_or_insert_with(|| {
                    let mine: Vec<i32> = partitions.keys().copied().chain([writing]).collect();
                    if let Err(fault) = consumer.pause(CLEAN, &mine) {
                        tracing::debug!(error = %fault, "not paused");
                    }
                    Vec::new()
                });
                met.push(consumer.poll(1, Duration::ZERO, |_| {}));
            }
        }
    }
}

fn lost(partition: i32) -> Fault {
    Fault::PositionLost { topic: CLEAN.to_owned(), partition }
}

fn label(action: Action) -> &'static str {
    match action {
        Action::Retry => "retry",
        Action::Pause => "pause",
        Action::Reload => "reload",
        Action::Stop => "stop",
    }
}

/// Name of the check of one worker.
pub(crate) fn check_name(number: usize) -> String {
    format!("worker {number}")
}

fn position_check(number: i32) -> String {
    format!("position of {CLEAN}/{number}")
}
