//! Postgres stands still while everything before it goes on at full speed: memory must stay flat, and afterwards
//! everything must arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::tables::check_equations;
use harness::{Binaries, Stage, interrupt};
use platform::clock::Deadline;
use stack::Server;

use crate::figures::{Figures, Pause, PausedMemory};
use crate::log;
use crate::options::{Options, Record};
use crate::parity;
use crate::part::Part;
use crate::progress::{Counters, Outcomes};
use crate::round::WRITTEN;
use crate::sampler::{Moment, Resident};
use crate::site::Site;

/// Time between two looks at whether the producer has nothing to do.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest time until every batch of the pause is closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(600);

/// Loads, stops Postgres in the middle, has everything given out again and again, and lets it go on.
pub(crate) fn measure(options: &Options, binaries: &Binaries, figures: &mut Figures) -> Result<()> {
    log::line(&format!("Postgres stopped for {} s", options.pause_seconds));
    let mut site = Site::up(options, binaries, Record::Standard, "pause")?;
    let sink = site.start(Stage::Sink)?;
    let processor = site.start(Stage::Processor)?;
    site.start(Stage::Producer)?;
    let mut batch = site.poll_everything()?;
    let mut batches = 1;
    site.follow("the first rows", &[&sink], |_, now| Ok((written(now) > 0).then_some(())))?;

    let before = clean(&[read(&processor)?]);
    let from = site.sampler.now();
    site.system.stack.server(Server::Postgres).pause();
    let deadline = Deadline::after(Duration::from_secs(options.pause_seconds));
    while !deadline.passed() {
        interrupt::check()?;
        if site.is_fetched(&batch)? {
            // The processor publishes news only.
            site.system.simulator()?.change(options.workers)?;
            batch = site.poll_everything()?;
            batches += 1;
        }
        std::thread::sleep(deadline.remaining().min(LOOK_EVERY));
    }
    let to = site.sampler.now();
    let records = clean(&[read(&processor)?]) - before;
    site.system.stack.server(Server::Postgres).resume();

    site.wait_fetched(&batch)?;
    let caught_up = site.follow("the sink to catch up", &[&processor, &sink], |at, now| {
        let [processor, sink] = now else { return Ok(None) };
        let (processor, sink) = (std::slice::from_ref(processor), std::slice::from_ref(sink));
        Ok((judged(processor) == batches * options.workers && written(sink) == clean(processor)).then_some(at))
    })?;
    site.tables.wait_at_rest(CLOSE_LIMIT)?;
    for id in site.tables.batch_ids()? {
        let Some(row) = site.tables.batch(&id)? else { continue };
        ensure!(row["status"] == "complete" && row["tied"] == true, "batch {id} is not complete or does not tie");
        check_equations(&row)?;
    }
    figures.parity.push(format!("Postgres stopped: {}", parity::rows(&site)?));
    let memory = site.sampler.memory();
    figures.pause = Some(Pause {
        seconds: to - from,
        records,
        catch_up_seconds: caught_up - to,
        memory: Part::OURS.into_iter().map(|part| (part, paused(&memory, part, from, to))).collect::<BTreeMap<_, _>>(),
    });
    site.down(&mut figures.memory_peaks)
}

fn read(processor: &Counters) -> Result<Outcomes> {
    processor.read().context("the processor does not tell its counters")
}

fn clean(now: &[Outcomes]) -> u64 {
    now.iter().map(|now| now.sum(&["clean"])).sum()
}

fn judged(now: &[Outcomes]) -> u64 {
    now.iter().map(|now| now.sum(&["clean", "processor_equal", "processor_stale"])).sum()
}

fn written(now: &[Outcomes]) -> u64 {
    now.iter().map(|now| now.sum(&WRITTEN)).sum()
}

/// Memory of a part between two moments.
fn paused(memory: &[Resident], part: Part, from: Moment, to: Moment) -> PausedMemory {
    let middle = f64::midpoint(from, to);
    let most = |from: Moment, to: Moment| {
        let within = memory.iter().filter(|it| it.part == part && it.at >= from && it.at < to);
        within.map(|it| it.bytes).max().unwrap_or(0)
    };
    let before = memory.iter().rfind(|it| it.part == part && it.at <= from);
    PausedMemory {
        at_stop: before.map_or(0, |it| it.bytes),
        first_half: most(from, middle),
        second_half: most(middle, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_of_a_pause_are_told_apart() {
        let look = |at, bytes| Resident { part: Part::Sink, at, bytes };
        let other = Resident { part: Part::Broker, at: 3.0, bytes: 999 };
        let memory = [look(0.0, 5), look(1.0, 6), look(2.0, 9), look(2.5, 8), look(4.0, 7), other, look(6.0, 50)];
        assert_eq!(paused(&memory, Part::Sink, 1.0, 5.0), PausedMemory { at_stop: 6, first_half: 9, second_half: 7 });
        assert_eq!(paused(&memory, Part::Producer, 1.0, 5.0), PausedMemory::default());
    }
}
