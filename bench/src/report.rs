//! The figures as a page: Markdown, which a person reads on the terminal as it is.

use std::collections::BTreeSet;

use crate::figures::{Figures, Phase, Run, Spread, Way};
use crate::memory::{LIMIT_BYTES, mib};
use crate::options::Record;
use crate::part::Part;
use crate::table::{Table, grouped};
use crate::transactions;

/// Between these two lines of a page the tables are replaced.
pub(crate) const BEGIN: &str = "<!-- measured: begin -->";
/// The end of that place.
pub(crate) const END: &str = "<!-- measured: end -->";

/// What the first version aims at on two cores.
const AIM_WHOLE: f64 = 50_000.0;
const AIM_SINK: f64 = 100_000.0;
const AIM_OF_FLOOR: f64 = 0.7;

/// The page with the tables in their place; none where it has no place for them.
pub(crate) fn between_markers(page: &str, tables: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{tables}\n\n{END}{after}"))
}

/// Everything.
pub(crate) fn tables(figures: &Figures) -> String {
    let mut parts = vec![head(figures), aims(figures), rates(figures), floors(figures)];
    parts.extend(records(figures).into_iter().map(|record| budget(figures, record)));
    parts.push(bytes(figures));
    parts.push(memory(figures));
    parts.push(transactions::table(&figures.transactions));
    parts.extend(figures.pause.as_ref().map(|_| pause(figures)));
    parts.push(format!("### Compared before anything was shown\n\n- {}", figures.parity.join("\n- ")));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// Share of the machine, in percent, that others may have before the page says so.
const OTHERS_MAX: f64 = 20.0;

/// The largest share of the machine, in percent, that other work had during a stretch.
fn others(figures: &Figures) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let cores = figures.machine.cores as f64;
    figures.runs.iter().map(|run| 100.0 * run.rest_cpu_seconds / (run.seconds * cores)).fold(0.0, f64::max)
}

fn head(figures: &Figures) -> String {
    let machine = &figures.machine;
    let others = match others(figures) {
        share if share > OTHERS_MAX => format!(
            "\n**The machine was not quiet: other work had up to {} % of it. Take neither rates nor their ratios from these tables; processor time a \
             record holds better.**",
            grouped(share)
        ),
        _ => String::new(),
    };
    format!(
        "{} cores of {}, {} GiB, Linux {}; {}, commit {}.\n{} health workers, seed {}. {}.{others}",
        machine.cores,
        machine.cpu,
        machine.memory_gib,
        machine.kernel,
        machine.at,
        machine.commit,
        grouped_count(figures.workers),
        figures.seed,
        figures.settings
    )
}

fn records(figures: &Figures) -> BTreeSet<Record> {
    figures.runs.iter().map(|run| run.record).collect()
}

fn spread(figures: &Figures, (record, way, phase): (Record, Way, Phase), of: impl Fn(&Run) -> f64) -> Option<Spread> {
    let wanted = |run: &&Run| run.record == record && run.way == way && run.phase == phase;
    Spread::of(figures.runs.iter().filter(wanted).map(of))
}

/// The median, with the smallest and largest where there are several.
fn cell(spread: Option<Spread>, text: impl Fn(f64) -> String) -> String {
    match spread {
        None => "-".to_owned(),
        Some(it) if it.is_spread() => format!("{} ({} to {})", text(it.median), text(it.min), text(it.max)),
        Some(it) => text(it.median),
    }
}

fn grouped_count(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    grouped(number as f64)
}

/// How the sink's first load compares with the bare COPY of its round, with or without employments.
fn of_floor(figures: &Figures, record: Record, employments: bool) -> Option<Spread> {
    let ratios = figures.floors.iter().filter(|it| it.record == record && it.employments == employments);
    Spread::of(ratios.filter_map(|floor| {
        let is_its =
            |run: &&Run| (run.record, run.way, run.phase, run.round) == (record, Way::Sink, Phase::Load, floor.round);
        Some(figures.runs.iter().find(is_its)?.rate() / floor.rate())
    }))
}

fn aims(figures: &Figures) -> String {
    let mut table = Table::new(["aim on 2 cores", "aim", "measured"]);
    for phase in Phase::ALL {
        let whole = spread(figures, (Record::Standard, Way::Whole, phase), Run::rate);
        table.row([
            format!("end to end, standard record, {}, records/s", phase.name()),
            grouped(AIM_WHOLE),
            cell(whole, grouped),
        ]);
    }
    let sink = spread(figures, (Record::Person, Way::Sink, Phase::Load), Run::rate);
    table.row(["sink alone, person table only, first load, rows/s".to_owned(), grouped(AIM_SINK), cell(sink, grouped)]);
    let ratio = of_floor(figures, Record::Person, false);
    table.row(["the same beside a bare COPY".to_owned(), AIM_OF_FLOOR.to_string(), cell(ratio, two)]);
    table.row([
        "processor beside the same work without transactions".to_owned(),
        transactions::AIM.to_string(),
        cell(transactions::ratio(&figures.transactions), two),
    ]);
    let peak = Part::OURS.iter().filter_map(|part| figures.memory_peaks.get(part)).max().copied().unwrap_or(0);
    table.row([
        "largest process of ours, MiB".to_owned(),
        format!("at most {}", mib(LIMIT_BYTES)),
        mib(peak).to_string(),
    ]);
    table.text()
}

fn rates(figures: &Figures) -> String {
    let mut table = Table::new(["records/s".to_owned()].into_iter().chain(Phase::ALL.map(|it| it.name().to_owned())));
    for record in records(figures) {
        for way in Way::ALL {
            let cells = Phase::ALL.map(|phase| cell(spread(figures, (record, way, phase), Run::rate), grouped));
            if cells.iter().any(|cell| cell != "-") {
                table.row([format!("{}: {}", record.name(), way.name())].into_iter().chain(cells));
            }
        }
    }
    format!("### Speed: median (smallest to largest)\n\n{}", table.text())
}

fn floors(figures: &Figures) -> String {
    let mut table = Table::new([
        "bare COPY of the rows of the first load",
        "persons/s",
        "backend µs a person",
        "WAL B a person",
        "sink alone / COPY",
    ]);
    let kinds: BTreeSet<(Record, bool)> = figures.floors.iter().map(|it| (it.record, it.employments)).collect();
    if kinds.is_empty() {
        return String::new();
    }
    for (record, employments) in kinds {
        let of = |value: &dyn Fn(&crate::Floor) -> f64| {
            let wanted = figures.floors.iter().filter(|it| (it.record, it.employments) == (record, employments));
            Spread::of(wanted.map(value))
        };
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let count = |count: u64| count as f64;
        table.row([
            format!("{}: {}", record.name(), if employments { "person and employment" } else { "person" }),
            cell(of(&crate::Floor::rate), grouped),
            cell(of(&|it| it.backend_cpu_seconds * 1e6 / count(it.rows)), one),
            cell(of(&|it| count(it.wal_bytes) / count(it.rows)), grouped),
            cell(of_floor(figures, record, employments), two),
        ]);
    }
    format!("### The floor\n\n{}", table.text())
}

/// Columns of a budget: every leg where it is the one that works.
const BUDGET: [(Way, Phase); 9] = [
    (Way::Whole, Phase::Load),
    (Way::Whole, Phase::Update),
    (Way::Whole, Phase::Redelivery),
    (Way::Producer, Phase::Load),
    (Way::Processor, Phase::Load),
    (Way::Processor, Phase::Redelivery),
    (Way::Sink, Phase::Load),
    (Way::Sink, Phase::Update),
    (Way::Sink, Phase::Redelivery),
];

fn budget(figures: &Figures, record: Record) -> String {
    let measured: Vec<(Way, Phase)> = BUDGET
        .into_iter()
        .filter(|(way, phase)| spread(figures, (record, *way, *phase), Run::rate).is_some())
        .collect();
    let title = |(way, phase): &(Way, Phase)| {
        let way = way.name().trim_end_matches(" alone");
        let phase = match phase {
            Phase::Load => "load",
            Phase::Update => "update",
            Phase::Redelivery if way == "sink" => "all again",
            Phase::Redelivery => "unchanged",
        };
        format!("{way}, {phase}")
    };
    let mut table = Table::new([String::new()].into_iter().chain(measured.iter().map(title)));
    let median = |(way, phase): &(Way, Phase), of: &dyn Fn(&Run) -> f64| {
        spread(figures, (record, *way, *phase), of).map_or_else(|| "-".to_owned(), |it| one(it.median))
    };
    for part in Part::ALL {
        let cells = measured.iter().map(|column| median(column, &|run| run.micros(part)));
        table.row([part.name().to_owned()].into_iter().chain(cells));
    }
    let pipeline = |run: &Run| -> f64 {
        Part::ALL.into_iter().filter(|part| *part != Part::Simulator).map(|part| run.micros(part)).sum()
    };
    let cells = measured.iter().map(|column| median(column, &pipeline));
    table.row(["**all but the simulator**".to_owned()].into_iter().chain(cells));
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let cores = figures.machine.cores as f64;
    let busy = |run: &Run| 100.0 * (run.cpu_seconds.values().sum::<f64>()) / (run.seconds * cores);
    let rest = |run: &Run| 100.0 * run.rest_cpu_seconds / (run.seconds * cores);
    for (name, of) in [
        ("% of the machine, all of these", &busy as &dyn Fn(&Run) -> f64),
        ("% of the machine, everything else", &rest),
    ] {
        let cells = measured.iter().map(|(way, phase)| {
            spread(figures, (record, *way, *phase), of).map_or_else(|| "-".to_owned(), |it| grouped(it.median))
        });
        table.row([name.to_owned()].into_iter().chain(cells));
    }
    format!("### Budget, {} record: µs of processor time a record (medians)\n\n{}", record.name(), table.text())
}

fn bytes(figures: &Figures) -> String {
    let mut table = Table::new([
        "bytes a record",
        "sisdmk.raw",
        "sisdmk.clean",
        "WAL, first load",
        "WAL, updates",
        "WAL, all again",
    ]);
    for record in records(figures) {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let topic = |way: Way, name: &'static str| {
            let of = move |run: &Run| run.topic_bytes.get(name).copied().unwrap_or(0) as f64 / run.records as f64;
            cell(spread(figures, (record, way, Phase::Load), of), grouped)
        };
        let wal = |phase| {
            let of = |run: &Run| run.wal_bytes_per_record().unwrap_or(0.0);
            cell(spread(figures, (record, Way::Sink, phase), of), grouped)
        };
        table.row([
            record.name().to_owned(),
            topic(Way::Producer, "sisdmk.raw"),
            topic(Way::Processor, "sisdmk.clean"),
            wal(Phase::Load),
            wal(Phase::Update),
            wal(Phase::Redelivery),
        ]);
    }
    format!("### Bytes: topics as they lie on the broker's disk, WAL of the sink alone\n\n{}", table.text())
}

fn memory(figures: &Figures) -> String {
    let mut table = Table::new(["largest resident memory", "MiB", "limit"]);
    for (part, bytes) in &figures.memory_peaks {
        let name = if *part == Part::PostgresBackends { "Postgres, shared memory once" } else { part.name() };
        let limit = if Part::OURS.contains(part) { mib(LIMIT_BYTES).to_string() } else { String::new() };
        table.row([name.to_owned(), mib(*bytes).to_string(), limit]);
    }
    format!("### Memory\n\n{}", table.text())
}

fn pause(figures: &Figures) -> String {
    let Some(pause) = &figures.pause else { return String::new() };
    let mut table = Table::new(["resident memory, MiB", "when it stopped", "most, first half", "most, second half"]);
    for (part, memory) in &pause.memory {
        let cells = [memory.at_stop, memory.first_half, memory.second_half].map(|bytes| mib(bytes).to_string());
        table.row([part.name().to_owned()].into_iter().chain(cells));
    }
    format!(
        "### Postgres stopped for {} s\n\nMeanwhile {} records went into `sisdmk.clean`; {} s after it went on all of them were in the \
         tables.\n\n{}",
        grouped(pause.seconds),
        grouped_count(pause.records),
        one(pause.catch_up_seconds),
        table.text()
    )
}

fn one(number: f64) -> String {
    format!("{number:.1}")
}

fn two(number: f64) -> String {
    format!("{number:.2}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::figures::Floor;

    fn run(round: u32, way: Way, seconds: f64) -> Run {
        Run {
            record: Record::Person,
            round,
            way,
            phase: Phase::Load,
            records: 100_000,
            seconds,
            cpu_seconds: BTreeMap::from([(Part::Sink, 0.2), (Part::Simulator, 5.0), (Part::PostgresBackends, 1.0)]),
            rest_cpu_seconds: 0.1,
            wal_bytes: Some(40_000_000),
            topic_bytes: BTreeMap::new(),
        }
    }

    fn figures() -> Figures {
        let floor = |round, seconds| Floor {
            record: Record::Person,
            round,
            connections: 2,
            employments: false,
            rows: 100_000,
            seconds,
            backend_cpu_seconds: 0.6,
            wal_bytes: 37_000_000,
        };
        Figures {
            runs: vec![run(1, Way::Sink, 1.0), run(2, Way::Sink, 2.0), run(3, Way::Sink, 1.6)],
            floors: vec![floor(1, 0.5), floor(2, 1.0), floor(3, 1.2)],
            ..Figures::new(1, 1)
        }
    }

    #[test]
    fn a_round_is_compared_with_the_floor_of_its_own_round() {
        let ratio = of_floor(&figures(), Record::Person, false).expect("three rounds");
        assert_eq!([ratio.median, ratio.min, ratio.max].map(two), ["0.50", "0.50", "0.75"]);
        assert_eq!(of_floor(&figures(), Record::Person, true), None);
    }

    #[test]
    fn the_tables_show_medians_and_leave_the_simulator_out_of_the_sum() {
        let text = tables(&figures());
        assert!(text.contains("62,500 (50,000 to 100,000)"), "{text}");
        let sum = text.lines().find(|line| line.contains("all but the simulator")).expect("a sum");
        assert!(sum.contains("12.0"), "{sum}");
    }

    #[test]
    fn a_machine_that_had_other_work_is_told() {
        let mut figures = figures();
        figures.machine.cores = 2;
        assert!(!tables(&figures).contains("not quiet"));
        figures.runs[1].rest_cpu_seconds = 2.0;
        assert!(tables(&figures).contains("other work had up to 50 % of it"));
    }

    #[test]
    fn a_page_keeps_what_is_around_the_tables() {
        let page = format!("top\n{BEGIN}\nold\n{END}\nbottom\n");
        assert_eq!(between_markers(&page, "new"), Some(format!("top\n{BEGIN}\n\nnew\n\n{END}\nbottom\n")));
        assert_eq!(between_markers("no place", "new"), None);
    }
}
