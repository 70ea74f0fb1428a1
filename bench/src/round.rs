//! One round: a population loaded, changed and given out again, with all stages together and with each alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use harness::{Binaries, Stage};

use crate::figures::{Figures, Phase, Run, Way};
use crate::floor;
use crate::log;
use crate::memory::Peaks;
use crate::options::{Options, Record};
use crate::parity;
use crate::progress::{Counters, Outcomes, given_at, log_from};
use crate::sampler::Moment;
use crate::site::Site;

/// What the producer has done with a record.
const FETCHED: [&str; 2] = ["raw", "quarantined"];
/// What can become of a record in the processor.
const JUDGED: [&str; 4] = ["clean", "dlq", "processor_equal", "processor_stale"];
/// What can become of a record in the sink.
pub(crate) const WRITTEN: [&str; 7] =
    ["inserted", "updated", "deleted", "sink_equal", "sink_stale", "superseded", "rejected"];
/// Members of a group join within this time; a change of partitions that comes later belongs to the work.
const JOINING_SECONDS: Moment = 5.0;

const RAW: &str = "sisdmk.raw";
const CLEAN: &str = "sisdmk.clean";

/// Measures one round of one kind of record.
pub(crate) fn measure(
    options: &Options,
    binaries: &Binaries,
    record: Record,
    (number, rounds): (u32, u32),
    figures: &mut Figures,
) -> Result<()> {
    log::line(&format!("{} records, round {number} of {rounds}", record.name()));
    // The person alone is there for the sink's floor.
    let ways: &[&str] = if record == Record::Person { &["legs"] } else { &["whole", "legs"] };
    for way in ways {
        let site = Site::up(options, binaries, record, &format!("{}-{number}-{way}", record.name()))?;
        let mut round = Round { site, number, connections: 2, figures };
        let measured = if *way == "whole" { round.whole() } else { round.legs() };
        measured.with_context(|| format!("{} records, round {number}, {way}", record.name()))?;
        let parity = parity::rows(&round.site)?;
        let Round { mut site, figures, .. } = round;
        figures.settings = site.settings()?;
        figures.parity.push(format!("round {number}, {way}: {parity}"));
        site.down(&mut figures.memory_peaks)?;
    }
    Ok(())
}

struct Round<'f> {
    site: Site,
    number: u32,
    /// Connections of the sink.
    connections: usize,
    figures: &'f mut Figures,
}

/// The state of the servers before a stretch.
struct Before {
    wal: u64,
    raw: u64,
    clean: u64,
}

/// When a stretch began and ended, and how many records it had.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    from: Moment,
    to: Moment,
    records: u64,
}

impl Round<'_> {
    /// All stages run and wait; a batch after the other goes through.
    fn whole(&mut self) -> Result<()> {
        let sink = self.site.start(Stage::Sink)?;
        let processor = self.site.start(Stage::Processor)?;
        self.site.start(Stage::Producer)?;
        for phase in Phase::ALL {
            let changed = self.site.change(phase)?;
            let before = self.before()?;
            let (judged, written) = (read(&processor)?, read(&sink)?);
            let from = self.site.sampler.now();
            let batch = self.site.poll(phase)?;
            let workers = self.site.workers;
            let to = self.site.follow("all records to be written", &[&processor, &sink], |at, now| {
                let [processor, sink] = now else { return Ok(None) };
                let clean = processor.sum(&["clean"]) - judged.sum(&["clean"]);
                let all_judged = processor.sum(&JUDGED) - judged.sum(&JUDGED) == workers;
                Ok((all_judged && sink.sum(&WRITTEN) - written.sum(&WRITTEN) == clean).then_some(at))
            })?;
            self.record(Way::Whole, phase, Stretch { from, to, records: workers }, &before, &[RAW, CLEAN])?;
            parity::batch(&mut self.site, &batch, phase, changed)?;
        }
        Ok(())
    }

    /// One stage after the other, each with all of its input there already.
    fn legs(&mut self) -> Result<()> {
        let mut published = 0;
        for phase in Phase::ALL {
            let changed = self.site.change(phase)?;
            let batch = self.producer_leg(phase)?;
            let clean = self.processor_leg(phase)?;
            published += clean;
            self.sink_leg(phase, clean, &batch, changed)?;
            if phase == Phase::Redelivery {
                self.again(published)?;
            }
            if phase == Phase::Load {
                let floors = floor::measure(&mut self.site, self.connections)?;
                self.figures.floors.extend(floors.into_iter().map(|floor| floor.of_round(self.number)));
            }
        }
        Ok(())
    }

    fn producer_leg(&mut self, phase: Phase) -> Result<String> {
        let counters = self.site.start(Stage::Producer)?;
        let before = self.before()?;
        let from = self.site.sampler.now();
        let batch = self.site.poll(phase)?;
        let workers = self.site.workers;
        let to = self
            .site
            .follow("the producer", &[&counters], |at, now| Ok((total(now, &FETCHED) == workers).then_some(at)))?;
        self.record(Way::Producer, phase, Stretch { from, to, records: workers }, &before, &[RAW])?;
        self.site.wait_fetched(&batch)?;
        self.stop(Stage::Producer)?;
        Ok(batch)
    }

    /// How many clean records there are.
    fn processor_leg(&mut self, phase: Phase) -> Result<u64> {
        let workers = self.site.workers;
        let before = self.before()?;
        let stretch = self.leg(Stage::Processor, &JUDGED, workers)?;
        let (stretch, last) = stretch;
        self.record(Way::Processor, phase, stretch, &before, &[CLEAN])?;
        self.stop(Stage::Processor)?;
        Ok(last.sum(&["clean"]))
    }

    fn sink_leg(&mut self, phase: Phase, clean: u64, batch: &str, changed: u64) -> Result<()> {
        let before = self.before()?;
        let (stretch, _) = self.leg(Stage::Sink, &WRITTEN, clean)?;
        // Of records given out again only the news arrive here: too few to say anything.
        if phase != Phase::Redelivery {
            self.record(Way::Sink, phase, stretch, &before, &[])?;
        }
        parity::batch(&mut self.site, batch, phase, changed)?;
        self.stop(Stage::Sink)
    }

    /// The sink takes in everything that was ever `published` once more, with the tables full: nothing is news.
    fn again(&mut self, published: u64) -> Result<()> {
        // A report stands for each range of the topic once, so those of the first time go with the positions.
        for statement in [
            format!("DELETE FROM audit.stage_report WHERE stage = 'sink' AND topic = '{CLEAN}'"),
            format!("UPDATE sink.offset SET next_offset = 0 WHERE topic = '{CLEAN}'"),
        ] {
            self.site.tables.execute(&statement)?;
        }
        let before = self.before()?;
        let (stretch, last) = self.leg(Stage::Sink, &WRITTEN, published)?;
        self.record(Way::Sink, Phase::Redelivery, stretch, &before, &[])?;
        let written = last.sum(&["inserted", "updated", "deleted", "rejected"]);
        ensure!(written == 0, "{written} records that the tables had already were written again");
        self.stop(Stage::Sink)
    }

    /// Runs a stage until it has done `records`, from the moment when all of its workers have their partitions.
    fn leg(&mut self, stage: Stage, outcomes: &[&str], records: u64) -> Result<(Stretch, Outcomes)> {
        let (log, length) = self.site.log(stage);
        let counters = self.site.spawn(stage)?;
        let mut seen: Vec<(Moment, u64)> = Vec::new();
        let last = self.site.follow(stage.name(), &[&counters], |at, now| {
            seen.push((at, total(now, outcomes)));
            Ok(now.first().filter(|now| now.sum(outcomes) >= records).cloned())
        })?;
        let given: Vec<Moment> =
            given_at(&log_from(&log, length)?).into_iter().map(|at| self.site.sampler.moment(at)).collect();
        let stretch = stretch(&given, &seen, records).with_context(|| {
            format!(
                "the log of the {} does not tell when it got its partitions, or the work was over then",
                stage.name()
            )
        })?;
        Ok((stretch, last))
    }

    fn before(&mut self) -> Result<Before> {
        Ok(Before {
            wal: self.site.wal_bytes()?,
            raw: self.site.topic_bytes(RAW)?,
            clean: self.site.topic_bytes(CLEAN)?,
        })
    }

    fn record(&mut self, way: Way, phase: Phase, stretch: Stretch, before: &Before, topics: &[&str]) -> Result<()> {
        // Before anything else is asked of the servers.
        self.site.sampler.now();
        let usage = self.site.sampler.usage(stretch.from, stretch.to);
        let mut topic_bytes = BTreeMap::new();
        for topic in topics {
            let then = if *topic == RAW { before.raw } else { before.clean };
            topic_bytes.insert((*topic).to_owned(), self.site.topic_bytes(topic)?.saturating_sub(then));
        }
        let writes = matches!(way, Way::Whole | Way::Sink);
        let wal_bytes = if writes { Some(self.site.wal_bytes()?.saturating_sub(before.wal)) } else { None };
        let run = Run {
            record: self.site.record,
            round: self.number,
            way,
            phase,
            records: stretch.records,
            seconds: stretch.to - stretch.from,
            cpu_seconds: usage.cpu_seconds,
            rest_cpu_seconds: usage.rest_cpu_seconds,
            wal_bytes,
            topic_bytes,
        };
        ensure!(run.seconds > 0.0 && run.records > 0, "a stretch of work took no time");
        self.site.tell(&format!("{:<15} {:<14} {:>9.0} records/s", way.name(), phase.name(), run.rate()));
        self.figures.runs.push(run);
        Ok(())
    }

    fn stop(&mut self, stage: Stage) -> Result<()> {
        let mut peaks = Peaks::new();
        self.site.stop(stage, &mut peaks)?;
        crate::memory::merge(&mut self.figures.memory_peaks, peaks);
        Ok(())
    }
}

fn read(counters: &Counters) -> Result<Outcomes> {
    counters.read().context("a stage that is ready does not tell its counters")
}

fn total(now: &[Outcomes], outcomes: &[&str]) -> u64 {
    now.iter().map(|now| now.sum(outcomes)).sum()
}

/// The stretch from the last time at which partitions were `given` while the members joined, to the end. `seen`: how
/// many records were done at each look; those done before the stretch are not counted.
fn stretch(given: &[Moment], seen: &[(Moment, u64)], records: u64) -> Option<Stretch> {
    let first = given.iter().copied().reduce(Moment::min)?;
    let from = given.iter().copied().filter(|at| *at <= first + JOINING_SECONDS).reduce(Moment::max)?;
    let done = seen.iter().take_while(|(at, _)| *at <= from).last().map_or(0, |(_, done)| *done);
    let to = seen.iter().find(|(_, done)| *done >= records)?.0;
    (to > from && done < records).then_some(Stretch { from, to, records: records - done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_begins_when_its_members_have_joined_and_counts_what_is_done_from_there() {
        let seen = [(1.0, 0), (2.0, 10), (3.0, 40), (4.0, 100), (5.0, 100)];
        let check =
            |given: &[f64], expected: Option<Stretch>| assert_eq!(stretch(given, &seen, 100), expected, "{given:?}");
        check(&[0.5], Some(Stretch { from: 0.5, to: 4.0, records: 100 }));
        check(&[0.5, 2.5], Some(Stretch { from: 2.5, to: 4.0, records: 90 }));
        // Long after the start: a change in the middle of the work.
        check(&[-4.0, 2.5], Some(Stretch { from: -4.0, to: 4.0, records: 100 }));
        check(&[], None);
        check(&[4.5], None);
    }
}
