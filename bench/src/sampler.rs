//! Looks at processor time and memory of all parts, twenty times a second, from a thread of its own.
//!
//! Times are cumulative, so a window between any two moments can be cut out afterwards; a part whose process was
//! started anew goes on where the one before ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use platform::clock::{Stopwatch, now_micros};

use crate::part::Part;
use crate::postgres::Family;
use crate::proc::{self, Memory, Stat};

/// Time between two looks at processor time.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks between two looks at memory, which cost more.
const MEMORY_EVERY: usize = 5;

/// Seconds since the sampler began.
pub(crate) type Moment = f64;

/// Cumulative seconds of processor time at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at: Moment,
    /// By [`Part::index`], then everything the machine did.
    seconds: [f64; Part::ALL.len() + 1],
}

/// Memory of a part at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resident {
    pub(crate) part: Part,
    pub(crate) at: Moment,
    pub(crate) bytes: u64,
}

/// Processor time of a window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: BTreeMap<Part, f64>,
    /// What the machine did besides: this program, the kernel's own work, other people's processes.
    pub(crate) rest_cpu_seconds: f64,
}

/// A part that is one process at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Tracked {
    pid: u32,
    /// Ticks of the processes before.
    before: u64,
    last: u64,
}

impl Tracked {
    fn follow(&mut self, pid: u32) {
        *self = Self { pid, before: self.before + self.last, last: 0 };
    }

    fn look(&mut self) -> u64 {
        if let Some(stat) = Stat::of(self.pid) {
            // A process that has ended and is not reaped yet keeps its account.
            self.last = self.last.max(stat.ticks);
        }
        self.before + self.last
    }
}

struct State {
    clock: Stopwatch,
    ticks_per_second: f64,
    tracked: BTreeMap<Part, Tracked>,
    postgres: Option<Family>,
    samples: Vec<Sample>,
    memory: Vec<Resident>,
    peaks: BTreeMap<Part, u64>,
    looks: usize,
}

impl State {
    #[expect(clippy::cast_precision_loss, reason = "ticks of a run are far below 2^52")]
    fn look(&mut self) {
        let at = self.clock.elapsed().as_secs_f64();
        let mut seconds = self.samples.last().map_or([0.0; Part::ALL.len() + 1], |last| last.seconds);
        for (part, tracked) in &mut self.tracked {
            seconds[part.index()] = tracked.look() as f64 / self.ticks_per_second;
        }
        if let Some(ticks) = self.postgres.as_mut().and_then(Family::look) {
            seconds[Part::PostgresBackends.index()] = ticks.backends as f64 / self.ticks_per_second;
            seconds[Part::PostgresBackground.index()] = ticks.background as f64 / self.ticks_per_second;
        }
        if let Some(busy) = proc::busy_ticks_now() {
            seconds[Part::ALL.len()] = busy as f64 / self.ticks_per_second;
        }
        self.samples.push(Sample { at, seconds });
        if self.looks.is_multiple_of(MEMORY_EVERY) {
            self.look_at_memory(at);
        }
        self.looks += 1;
    }

    fn look_at_memory(&mut self, at: Moment) {
        for (part, tracked) in &self.tracked {
            let Some(memory) = Memory::of(tracked.pid) else { continue };
            self.memory.push(Resident { part: *part, at, bytes: memory.resident });
            let peak = self.peaks.entry(*part).or_default();
            *peak = memory.peak.max(*peak);
        }
        if let Some(postgres) = &self.postgres {
            let peak = self.peaks.entry(Part::PostgresBackends).or_default();
            *peak = postgres.memory().max(*peak);
        }
    }
}

/// The thread that looks; it ends with this.
pub(crate) struct Sampler {
    state: Arc<Mutex<State>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    clock: Stopwatch,
    /// Wall time at moment 0, for what other processes wrote into their logs.
    started_micros: i64,
}

impl Sampler {
    pub(crate) fn start() -> Self {
        let clock = Stopwatch::start();
        let started_micros = now_micros();
        let state = Arc::new(Mutex::new(State {
            clock,
            ticks_per_second: proc::ticks_per_second(),
            tracked: BTreeMap::new(),
            postgres: None,
            samples: Vec::new(),
            memory: Vec::new(),
            peaks: BTreeMap::new(),
            looks: 0,
        }));
        let ends = Arc::new(AtomicBool::new(false));
        let thread = {
            let (state, ends) = (Arc::clone(&state), Arc::clone(&ends));
            thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    lock(&state).look();
                    thread::sleep(LOOK_EVERY);
                }
            })
        };
        Self { state, ends, thread: Some(thread), clock, started_micros }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// From now on this process is that part.
    pub(crate) fn follow(&self, part: Part, pid: u32) {
        self.state().tracked.entry(part).or_default().follow(pid);
    }

    /// From now on these are the processes of Postgres, all but the backends in `excluded`.
    pub(crate) fn follow_postgres(&self, postmaster: u32, excluded: &[u32]) {
        let mut family = Family::new(postmaster);
        excluded.iter().for_each(|pid| family.exclude(*pid));
        self.state().postgres = Some(family);
    }

    /// The present moment; looks at everybody first.
    pub(crate) fn now(&self) -> Moment {
        self.state().look();
        self.clock.elapsed().as_secs_f64()
    }

    /// The present moment, without a look.
    pub(crate) fn clock(&self) -> Moment {
        self.clock.elapsed().as_secs_f64()
    }

    /// The moment of a wall time in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a run are far below 2^52")]
    pub(crate) fn moment(&self, micros: i64) -> Moment {
        micros.saturating_sub(self.started_micros) as f64 / 1e6
    }

    /// Processor time between two moments.
    pub(crate) fn usage(&self, from: Moment, to: Moment) -> Usage {
        let state = self.state();
        let (first, last) = (at(&state.samples, from), at(&state.samples, to));
        let spent: Vec<f64> = last.iter().zip(first).map(|(last, first)| (last - first).max(0.0)).collect();
        let cpu_seconds: BTreeMap<Part, f64> = Part::ALL.into_iter().zip(spent.iter().copied()).collect();
        let all = spent.last().copied().unwrap_or(0.0);
        Usage { rest_cpu_seconds: (all - cpu_seconds.values().sum::<f64>()).max(0.0), cpu_seconds }
    }

    /// The most memory that each part ever had.
    pub(crate) fn peaks(&self) -> BTreeMap<Part, u64> {
        let mut state = self.state();
        let at = self.clock.elapsed().as_secs_f64();
        state.look_at_memory(at);
        state.peaks.clone()
    }

    /// Memory over time.
    pub(crate) fn memory(&self) -> Vec<Resident> {
        self.state().memory.clone()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot be told to anybody here that it panicked.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cumulative times at a moment, on the line between the two samples around it.
fn at(samples: &[Sample], moment: Moment) -> [f64; Part::ALL.len() + 1] {
    let next = samples.partition_point(|sample| sample.at < moment);
    let (Some(after), Some(before)) = (samples.get(next).or(samples.last()), samples.get(next.saturating_sub(1)))
    else {
        return [0.0; Part::ALL.len() + 1];
    };
    let span = after.at - before.at;
    let share = if span > 0.0 { ((moment - before.at) / span).clamp(0.0, 1.0) } else { 1.0 };
    let mut between = before.seconds;
    for (value, after) in between.iter_mut().zip(after.seconds) {
        *value += (after - *value) * share;
    }
    between
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_cut_between_samples() {
        let sample = |moment, seconds| Sample { at: moment, seconds: [seconds; Part::ALL.len() + 1] };
        let samples = [sample(1.0, 10.0), sample(2.0, 12.0), sample(4.0, 20.0)];
        for (moment, expected) in [(0.0, 10.0), (1.0, 10.0), (1.5, 11.0), (2.0, 12.0), (3.0, 16.0), (9.0, 20.0)] {
            assert!((at(&samples, moment)[0] - expected).abs() < 1e-9, "{moment}");
        }
        assert!(at(&[], 1.0)[0].abs() < 1e-9);
    }

    #[test]
    fn a_part_that_was_started_anew_goes_on_where_it_was() {
        let mut tracked = Tracked { pid: u32::MAX, before: 5, last: 7 };
        assert_eq!(tracked.look(), 12);
        tracked.follow(u32::MAX);
        assert_eq!(tracked.look(), 12);
    }

    #[test]
    fn the_work_of_this_process_is_seen() {
        let sampler = Sampler::start();
        sampler.follow(Part::Sink, std::process::id());
        let from = sampler.now();
        let watch = Stopwatch::start();
        let mut number = 0_u64;
        while watch.elapsed() < Duration::from_millis(200) {
            number = std::hint::black_box(number.wrapping_mul(31).wrapping_add(7));
        }
        let to = sampler.now();
        let usage = sampler.usage(from, to);
        assert!(usage.cpu_seconds[&Part::Sink] > 0.05, "{usage:?}");
        assert!(sampler.peaks()[&Part::Sink] > 0);
        assert!(sampler.moment(now_micros()) >= to);
    }
}
