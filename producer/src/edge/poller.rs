//! The loop: waits for the next cycle, does what the cycle says, and hands back what happened.

mod alarm;
mod aside;
mod facilities;
mod notes;

use crate::agenda::{self, First};
use crate::config::Config;
use crate::cycle::{Arrived, Ask, Cycle, Event, Fault, FaultKind, Note, Slice, Step};
use crate::edge::admin::{Command, Refusal, Status, StatusView};
use crate::edge::alerts::Alarm;
use crate::edge::metrics;
use crate::edge::quarantine::{Kept, Quarantine};
use crate::edge::raw_topic::{RawTopic, Transaction, Written};
use crate::edge::sisdmk::{Answer, CLOCKS_APART_MAX, Sisdmk};
use crate::incident;
use crate::region::Region;
use crate::report;
use crate::state::{
    BatchKind, BatchRecord, BatchState, BatchStatus, Entry, FacilitiesRecord, IncidentKind, Keys, ScheduleRecord,
    StateView,
};
use alarm::Met;
use platform::clock;
use platform::exit::Failure;
use platform::http::Health;
use platform::shutdown::Shutdown;
use platform::telemetry::TraceContext;
use schemas::{Timestamp, TraceId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinSet, block_in_place};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

/// How often the token's file is looked at while the source refuses the token.
const TOKEN_LOOK: Duration = Duration::from_secs(1);

/// The longest sleep before the clock is asked again: it may have been set.
const CLOCK_LOOK: Duration = Duration::from_secs(30);

/// Everything the loop works with.
#[derive(Debug)]
pub struct Poller {
    config: Config,
    keys: Keys,
    sisdmk: Arc<Sisdmk>,
    topic: RawTopic,
    quarantine: Quarantine,
    commands: Receiver<Command>,
    alarm: Alarm,
    status: Arc<Status>,
    health: Health,
    shutdown: Shutdown,
    /// What the state says, kept up with every committed transaction.
    view: StateView,
    /// When this process came up: due times before it are not served unless the state knows of one.
    came_up: Timestamp,
    /// Delay of the next scheduled cycle, drawn anew for each.
    jitter: Duration,
    /// The facilities as they were last read; none where the source is asked by region.
    facilities: Vec<Region>,
}

/// What the loop is to do next.
enum Next {
    Run(Box<BatchRecord>),
    Stop,
}

/// How a batch was left.
enum Left {
    Ended,
    Stopped,
}

/// What a lane's task came back with.
enum Happened {
    Answer(Box<Answer>),
    Waited,
}

/// What one batch needs besides its cycle.
struct Running {
    span: Span,
    trace: TraceContext,
    tasks: JoinSet<(usize, Happened)>,
    resting: BTreeSet<usize>,
    /// The last answer of each lane that was not the declared shape.
    odd: BTreeMap<usize, (Uuid, Vec<u8>)>,
    /// The last request of each lane that was answered or failed.
    requests: BTreeMap<usize, Uuid>,
    /// What each lane asked for last.
    asks: BTreeMap<usize, Ask>,
    /// Kinds of incident that this batch has met.
    met: BTreeSet<IncidentKind>,
    good_answers: u64,
}

/// The handles that a poller is made of.
#[derive(Debug)]
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The source.
    pub sisdmk: Sisdmk,
    /// The way into Kafka, opened.
    pub topic: RawTopic,
    /// What the state says.
    pub view: StateView,
    /// Wishes of operators.
    pub commands: Receiver<Command>,
    /// The way to those who are told about incidents.
    pub alarm: Alarm,
    /// What operators are shown.
    pub status: Arc<Status>,
    /// What readiness is made of.
    pub health: Health,
    /// The wish to stop.
    pub shutdown: Shutdown,
}

fn now() -> Timestamp {
    Timestamp(clock::now_micros())
}

/// A number in `[0, 1)` that nobody can foresee.
fn chance() -> f64 {
    // The low 32 bits of a version 4 UUID are random.
    let bits = u32::try_from(Uuid::new_v4().as_u128() & u128::from(u32::MAX)).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

impl Poller {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { config, sisdmk, topic, mut view, commands, alarm, status, health, shutdown } = parts;
        view.notices = incident::inherited(view.notices, &alarm.targets);
        let keys = Keys::of(&config.profile.profile.name);
        let quarantine = config.quarantine.clone();
        let jitter = config.jitter.mul_f64(chance());
        let sisdmk = Arc::new(sisdmk);
        Self {
            config,
            keys,
            sisdmk,
            topic,
            quarantine,
            commands,
            alarm,
            status,
            health,
            shutdown,
            view,
            came_up: now(),
            jitter,
            facilities: Vec::new(),
        }
    }

    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// Exit 3 when another producer has taken over, or Kafka refuses for good.
    pub async fn run(mut self) -> Result<(), Failure> {
        for (region, record) in &self.view.watermarks {
            metrics::watermark(region, record);
        }
        self.show();
        self.tell();
        let schedule = self.view.schedule.clone();
        let first = if let Some(open) = self.view.open_batch().cloned() {
            tracing::info!(
                batch_id = %open.batch_id, trace_id = open.trace_id, committed = open.committed.len(),
                planned = open.planned.len(), "resuming the batch that was left open"
            );
            Some(Next::Run(Box::new(open)))
        } else {
            match agenda::first(&schedule, self.config.run_on_start, self.is_another_credential()) {
                First::EndStop => {
                    self.clear_stop()?;
                    schedule.enabled.then(|| self.start_regular(None)).transpose()?
                }
                First::Start => Some(self.start_regular(Some(now()))?),
                First::Wait => None,
            }
        };
        match first {
            Some(Next::Run(batch)) => {
                if let Left::Stopped = self.batch(*batch).await? {
                    return Ok(());
                }
            }
            Some(Next::Stop) => return Ok(()),
            None => {}
        }
        loop {
            match self.next().await? {
                Next::Run(batch) => {
                    if let Left::Stopped = self.batch(*batch).await? {
                        return Ok(());
                    }
                }
                Next::Stop => return Ok(()),
            }
        }
    }

    /// Waits for the next batch: by the clock, by an operator, or by another token after a refusal.
    async fn next(&mut self) -> Result<Next, Failure> {
        loop {
            if self.shutdown.is_set() {
                return Ok(Next::Stop);
            }
            let schedule = self.view.schedule.clone();
            let mut wait = CLOCK_LOOK;
            match agenda::next(&self.config.schedule, &schedule, self.came_up, now(), self.jitter) {
                agenda::Next::Credentials => {
                    wait = TOKEN_LOOK;
                    if self.is_another_credential() {
                        tracing::info!("there is another token or secret; the source is asked again");
                        self.clear_stop()?;
                        if schedule.enabled {
                            return self.start_regular(None);
                        }
                    }
                }
                agenda::Next::Start { due } => return self.start_regular(Some(due)),
                agenda::Next::At(at) => {
                    let left = u64::try_from(at.0.saturating_sub(now().0)).unwrap_or(0);
                    // A millisecond more, so that the due time has come when it is looked at.
                    wait = wait.min(Duration::from_micros(left) + Duration::from_millis(1));
                }
                agenda::Next::Asked => {}
            }
            self.show();
            block_in_place(|| self.topic.rest());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.wait() => return Ok(Next::Stop),
                command = self.commands.recv() => match command {
                    Some(command) => if let Some(batch) = self.obey(command)? {
                        return Ok(Next::Run(Box::new(batch)));
                    },
                    None => return Ok(Next::Stop),
                },
                Some(taken) = self.alarm.taken.recv() => self.taken(taken)?,
            }
        }
    }

    fn start_regular(&mut self, due: Option<Timestamp>) -> Result<Next, Failure> {
        self.jitter = self.config.jitter.mul_f64(chance());
        let started = self.start(BatchKind::Scheduled, self.config.regions.clone(), None, due)?;
        Ok(started.map_or(Next::Stop, |batch| Next::Run(Box::new(batch))))
    }

    /// Does what an operator wants while no batch runs.
    fn obey(&mut self, command: Command) -> Result<Option<BatchRecord>, Failure> {
        match command {
            Command::Poll { region, since, reply } => {
                if self.view.schedule.stopped_for.is_some() {
                    let _ = reply.send(Err(Refusal::Stopped));
                    return Ok(None);
                }
                if region.is_some() && self.config.facilities.is_some() {
                    let _ = reply.send(Err(Refusal::ByFacility));
                    return Ok(None);
                }
                let regions = region.map_or_else(|| self.config.regions.clone(), |region| vec![region]);
                let started = self.start(BatchKind::Manual, regions, since, None)?;
                let answer = started.as_ref().map(|batch| batch.batch_id).ok_or(Refusal::Stopping);
                let _ = reply.send(answer);
                Ok(started)
            }
            Command::Switch { enabled, reply } => {
                let written = self.write_schedule(agenda::switched(&self.view.schedule, enabled))?;
                self.show();
                let _ = reply.send(written.then(|| self.status.get()).ok_or(Refusal::Stopping));
                Ok(None)
            }
            Command::Resume { reply } => {
                let was_stopped = self.view.schedule.stopped_for.is_some();
                let written = self.write_schedule(agenda::may_ask(&agenda::switched(&self.view.schedule, true)))?;
                self.show();
                let _ = reply.send(written.then(|| self.status.get()).ok_or(Refusal::Stopping));
                if was_stopped && written {
                    return self.start(BatchKind::Scheduled, self.config.regions.clone(), None, None);
                }
                Ok(None)
            }
        }
    }

    /// The same while a batch runs: no second batch, and a pause holds for the next one.
    fn obey_during_batch(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Poll { reply, .. } => {
                let _ = reply.send(Err(Refusal::BatchRunning));
            }
            Command::Switch { .. } | Command::Resume { .. } => {
                self.obey(command)?;
            }
        }
        Ok(())
    }

    fn renew_token(&self) -> bool {
        match self.sisdmk.renew_token() {
            Ok(changed) => changed,
            Err(fault) => {
                tracing::error!(error = %fault, "the source's token cannot be read; the former one stays");
                false
            }
        }
    }

    /// Whether we have another token or secret than the one that was refused; this process may be a later one.
    fn is_another_credential(&self) -> bool {
        let refused = self.view.schedule.refused.as_deref();
        refused.is_some_and(|refused| self.sisdmk.is_another_credential(refused))
    }

    /// The source may be asked again.
    fn clear_stop(&mut self) -> Result<(), Failure> {
        self.write_schedule(agenda::may_ask(&self.view.schedule))?;
        Ok(())
    }

    /// Writes the schedule. False when the process is to stop and it is not known to be written.
    fn write_schedule(&mut self, schedule: ScheduleRecord) -> Result<bool, Failure> {
        let entry = Entry::new(self.keys.schedule(), &schedule);
        let written = self.write(None, Vec::new(), vec![entry], &TraceContext::new_root())?;
        if written == Written::Committed {
            self.view.schedule = schedule;
        }
        Ok(written == Written::Committed)
    }

    /// Announces a batch. `None` when the process is to stop.
    fn start(
        &mut self,
        kind: BatchKind,
        regions: Vec<Region>,
        since: Option<Timestamp>,
        due: Option<Timestamp>,
    ) -> Result<Option<BatchRecord>, Failure> {
        let trace = TraceContext::new_root_sampled(self.config.sample_ratio);
        let former = self.view.batch.as_ref();
        let batch = BatchRecord {
            batch_id: Uuid::now_v7(),
            kind,
            state: BatchState::Open,
            status: None,
            started_at: now(),
            trace_id: TraceId(trace.trace_id).to_string(),
            since,
            planned: regions.iter().map(ToString::to_string).collect(),
            committed: Vec::new(),
            failed: Vec::new(),
            fetched: 0,
            raw: 0,
            quarantined: 0,
            requests: 0,
            ordinal: former.map_or(0, |former| former.ordinal),
            fetched_at: former.and_then(|former| former.fetched_at),
            facilities: self.config.facilities.is_some().then(FacilitiesRecord::default),
        };
        let schedule = agenda::started(&self.view.schedule, &batch, due);
        let entries = vec![Entry::new(self.keys.batch(), &batch), Entry::new(self.keys.schedule(), &schedule)];
        let event = report::started(&batch, &self.config.source());
        if self.write(None, vec![event], entries, &trace)? != Written::Committed {
            return Ok(None);
        }
        tracing::info!(batch_id = %batch.batch_id, trace_id = batch.trace_id, kind = kind.as_str(), regions = batch.planned.len(), "batch started");
        self.view.schedule = schedule;
        self.view.batch = Some(batch.clone());
        self.show();
        Ok(Some(batch))
    }

    fn write(
        &mut self,
        slice: Option<&Slice>,
        events: Vec<schemas::event::BatchEvent>,
        entries: Vec<Entry>,
        trace: &TraceContext,
    ) -> Result<Written, Failure> {
        let transaction = Transaction { slice, events, entries, traceparent: trace.traceparent() };
        // Kafka's client blocks; the runtime's other threads go on with requests and the admin endpoint.
        let written = block_in_place(|| self.topic.write(&transaction))?;
        if written == Written::TooLarge && slice.is_none() {
            return Err(Failure::environment("an event or a state entry is larger than its topic takes")
                .hint("run `sisdmk setup`"));
        }
        Ok(written)
    }

    /// Runs a batch to its end, or until the process is to stop; then it stays open.
    async fn batch(&mut self, batch: BatchRecord) -> Result<Left, Failure> {
        self.sisdmk.begin();
        self.show();
        let watermarks = self.view.watermarks.clone();
        let trace = trace_of(&batch, self.config.sample_ratio);
        let span = tracing::info_span!("batch", batch_id = %batch.batch_id, trace_id = batch.trace_id);
        trace.adopt(&span);
        let mut running = Running {
            trace: TraceContext::of(&span).unwrap_or(trace),
            span,
            tasks: JoinSet::new(),
            resting: BTreeSet::new(),
            odd: BTreeMap::new(),
            requests: BTreeMap::new(),
            asks: BTreeMap::new(),
            met: BTreeSet::new(),
            good_answers: 0,
        };
        let (limits, lanes) = (self.config.limits.clone(), self.config.lanes);
        let mut cycle = if self.config.facilities.is_some() {
            match self.over_facilities(batch, &mut running).await? {
                Ok(cycle) => cycle,
                Err(left) => return Ok(left),
            }
        } else {
            Cycle::new(batch, watermarks, limits, lanes)
        };
        running.resting.extend(0..cycle.lanes());
        let mut left = self.wake(&mut cycle, &mut running)?;
        while left.is_none() {
            tokio::select! {
                () = self.shutdown.wait() => left = Some(Left::Stopped),
                Some(command) = self.commands.recv() => self.obey_during_batch(command)?,
                Some(taken) = self.alarm.taken.recv() => self.taken(taken)?,
                Some(joined) = running.tasks.join_next() => {
                    let (lane, happened) = joined.map_err(|error| {
                        Failure::runtime("a request ended in a panic").because(error)
                    })?;
                    let event = self.happened(lane, happened, &cycle, &mut running)?;
                    left = self.step(lane, event, &mut cycle, &mut running)?;
                }
            }
        }
        running.tasks.shutdown().await;
        Ok(left.unwrap_or(Left::Stopped))
    }

    /// Gives every resting lane its turn.
    fn wake(&mut self, cycle: &mut Cycle, running: &mut Running) -> Result<Option<Left>, Failure> {
        for lane in std::mem::take(&mut running.resting) {
            if let Some(left) = self.step(lane, Event::Free, cycle, running)? {
                return Ok(Some(left));
            }
        }
        Ok(None)
    }

    /// Tells the cycle what happened and does what it says, until the lane waits for something.
    fn step(
        &mut self,
        lane: usize,
        event: Event,
        cycle: &mut Cycle,
        running: &mut Running,
    ) -> Result<Option<Left>, Failure> {
        let mut event = event;
        let mut others_may_go_on = false;
        loop {
            let step = cycle.next(lane, event, now());
            let notes = cycle.take_notes();
            others_may_go_on |= notes.iter().any(|note| matches!(note, Note::RegionFailed { .. } | Note::Heard));
            self.note(lane, notes, cycle, running)?;
            match step {
                Step::Fetch(ask) => {
                    let region = ask.region.as_str();
                    let span = tracing::info_span!(parent: &running.span, "source_request", region, page = ask.page);
                    let trace = TraceContext::of(&span).unwrap_or_else(|| running.trace.child());
                    running.asks.insert(lane, ask.clone());
                    let sisdmk = Arc::clone(&self.sisdmk);
                    let fetch = async move { (lane, Happened::Answer(Box::new(sisdmk.fetch(&ask, &trace).await))) };
                    running.tasks.spawn(fetch.instrument(span));
                    break;
                }
                Step::Wait(wait) => {
                    running.tasks.spawn(async move {
                        tokio::time::sleep(wait).await;
                        (lane, Happened::Waited)
                    });
                    break;
                }
                Step::RenewToken => event = Event::Token { changed: self.renew_token() },
                Step::Publish(slice) => {
                    event = match self.publish(&slice, running)? {
                        Written::Committed => Event::Published,
                        Written::TooLarge => Event::Refused { code: "record_too_large" },
                        Written::Stopped => return Ok(Some(Left::Stopped)),
                    };
                    others_may_go_on = true;
                }
                Step::Rest => {
                    running.resting.insert(lane);
                    break;
                }
                Step::End(batch) => return self.end(lane, *batch, running).map(Some),
            }
        }
        if others_may_go_on { self.wake(cycle, running) } else { Ok(None) }
    }

    /// What a lane's task came back with, as the cycle's event.
    fn happened(
        &mut self,
        lane: usize,
        happened: Happened,
        cycle: &Cycle,
        running: &mut Running,
    ) -> Result<Event, Failure> {
        let Happened::Answer(answer) = happened else { return Ok(Event::Waited) };
        let answer = *answer;
        running.requests.insert(lane, answer.request_id);
        let batch = cycle.batch();
        // Where the login before it failed, that is what was counted.
        if answer.sent {
            metrics::request(&self.config.profile.request.path, &answer.code, answer.took);
        }
        tracing::debug!(
            batch_id = %batch.batch_id, trace_id = batch.trace_id, request_id = %answer.request_id,
            code = answer.code, took_ms = answer.took.as_millis(), "request"
        );
        if let Some(apart) = answer.clocks_apart.filter(|apart| *apart > CLOCKS_APART_MAX) {
            let detail = format!("{} s apart", apart.as_secs());
            let request_id = Some(answer.request_id);
            self.meet(Met { kind: IncidentKind::Clock, region: None, detail, request_id }, batch, running)?;
        }
        if let Some(body) = answer.odd_body {
            running.odd.insert(lane, (answer.request_id, body));
        }
        let outcome = self.whole(answer.outcome, answer.request_id, lane, running);
        Ok(match outcome {
            Ok(arrived) => {
                running.good_answers += 1;
                running.odd.remove(&lane);
                Event::Page(arrived)
            }
            // Refused with the former token, while another lane has taken up the new one: asked again.
            Err(fault) if fault.kind == FaultKind::Auth && answer.token_was_replaced => Event::Waited,
            Err(fault) => Event::Fault { fault, chance: chance() },
        })
    }

    /// Publishes a complete slice.
    fn publish(&mut self, slice: &Slice, running: &Running) -> Result<Written, Failure> {
        let batch = &slice.batch;
        if slice.quarantined > 0 && !self.set_aside(slice, running) {
            return Ok(Written::TooLarge);
        }
        let mut entries = vec![Entry::new(self.keys.batch(), batch)];
        if let Some(record) = &slice.watermark {
            entries.push(Entry::new(self.keys.watermark(&slice.region), record));
        }
        let event = report::slice(slice, &self.config.source(), now());
        let written = self.write(Some(slice), event.into_iter().collect(), entries, &running.trace)?;
        if written == Written::Committed {
            metrics::slice(slice);
            tracing::info!(
                batch_id = %batch.batch_id, trace_id = batch.trace_id, region = slice.label,
                fetched = slice.fetched, raw = slice.raw, quarantined = slice.quarantined, "slice published"
            );
            if let Some(record) = slice.watermark {
                self.view.watermarks.insert(slice.region.clone(), record);
                metrics::watermark(&slice.region, &record);
            }
            self.view.batch = Some(batch.clone());
            self.show();
        }
        Ok(written)
    }

    /// Writes the end of a batch.
    fn end(&mut self, lane: usize, batch: BatchRecord, running: &mut Running) -> Result<Left, Failure> {
        let status = batch.status.unwrap_or(BatchStatus::Complete);
        if status == BatchStatus::AuthFailed {
            let detail = "credentials refused".to_owned();
            let request_id = running.requests.get(&lane).copied();
            self.meet(Met { kind: IncidentKind::AuthFailed, region: None, detail, request_id }, &batch, running)?;
        }
        let ended_at = now();
        let source = self.config.source();
        let mut events = vec![report::fetched(&batch, &source, ended_at)];
        let mut entries = vec![Entry::new(self.keys.batch(), &batch)];
        let schedule = agenda::ended(&self.view.schedule, status, || self.sisdmk.credential_mark());
        if schedule != self.view.schedule {
            entries.push(Entry::new(self.keys.schedule(), &schedule));
        }
        let over = self.over(&batch, running, ended_at);
        events.extend(over.events);
        entries.extend(over.entries);
        if self.write(None, events, entries, &running.trace)? != Written::Committed {
            return Ok(Left::Stopped);
        }
        tracing::info!(
            batch_id = %batch.batch_id, trace_id = batch.trace_id, status = status.as_str(),
            fetched = batch.fetched, raw = batch.raw, quarantined = batch.quarantined, requests = batch.requests,
            duration_ms = report::duration_ms(&batch, ended_at), "batch fetched"
        );
        self.is_over(over.incidents, over.notices);
        self.view.schedule = schedule;
        self.view.batch = Some(batch);
        self.show();
        Ok(Left::Ended)
    }

    /// Brings up to date what operators are shown.
    fn show(&self) {
        let (view, now) = (&self.view, now());
        let runs = view.open_batch().is_some();
        let outlook = agenda::outlook(&self.config.schedule, &view.schedule, self.came_up, now, self.jitter, runs);
        let shown = StatusView::new(self.config.source(), view, outlook);
        self.health.note("schedule", shown.schedule_line());
        self.status.set(shown);
    }
}

/// The batch's trace: its id from the state, so that a resumed batch goes on with it.
fn trace_of(batch: &BatchRecord, sample_ratio: f64) -> TraceContext {
    let root = TraceContext::new_root_sampled(sample_ratio);
    match TraceId::parse(batch.trace_id.as_bytes()) {
        Some(TraceId(trace_id)) => TraceContext { trace_id, ..root },
        None => root,
    }
}
