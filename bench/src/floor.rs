//! The floor under the sink: the very same rows, put into empty tables of the same definition by COPY BINARY and
//! nothing else: no stage table, no comparison, no position, no report.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harness::tables::Tables;
use platform::clock::Stopwatch;

use crate::figures::Floor;
use crate::options::Record;
use crate::part::Part;
use crate::site::Site;

/// A table and what of it one connection copies: as the sink's workers do, whole partitions.
struct Table {
    name: &'static str,
    rows: &'static str,
}

const PERSON: Table = Table { name: "person", rows: "SELECT * FROM sdmk.person WHERE raw_partition % {n} = {i}" };
const EMPLOYMENT: Table = Table {
    name: "employment",
    rows: "SELECT e.* FROM sdmk.employment e JOIN sdmk.person p USING (person_id) WHERE p.raw_partition % {n} = {i}",
};

/// Measures what the sink has just loaded, over as many connections as it has.
pub(crate) fn measure(site: &mut Site, connections: usize) -> Result<Vec<Floor>> {
    let mut floors = vec![one(site, connections, &[PERSON])?];
    if site.record != Record::Person {
        floors.push(one(site, connections, &[PERSON, EMPLOYMENT])?);
    }
    Ok(floors)
}

impl Floor {
    pub(crate) fn of_round(self, round: u32) -> Self {
        Self { round, ..self }
    }
}

fn one(site: &mut Site, connections: usize, tables: &[Table]) -> Result<Floor> {
    for table in tables {
        create(&mut site.tables, table)?;
    }
    // Written by the server itself, so that nothing about a value can change on the way.
    let folder = site.tables.column("SELECT current_setting('data_directory')")?;
    let folder = PathBuf::from(folder.into_iter().flatten().next().context("the server has a data directory")?);
    let mut parts = Vec::new();
    for index in 0..connections {
        let mut copies = Vec::new();
        for table in tables {
            let file = folder.join(format!("floor-{}-{index}.copy", table.name));
            let rows = table.rows.replace("{n}", &connections.to_string()).replace("{i}", &index.to_string());
            site.tables.execute(&format!("COPY ({rows}) TO '{}' (FORMAT binary)", file.display()))?;
            copies.push((format!("COPY public.floor_{} FROM STDIN (FORMAT binary)", table.name), file));
        }
        parts.push((Tables::open(&site.system)?, copies));
    }
    let wal = site.wal_bytes()?;
    let from = site.sampler.now();
    let watch = Stopwatch::start();
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter_mut()
            .map(|(tables, copies)| scope.spawn(move || copies.iter().try_for_each(|copy| copy_in(tables, copy))))
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a copy returns its error"))
    })?;
    let seconds = watch.elapsed().as_secs_f64();
    let to = site.sampler.now();
    let wal_bytes = site.wal_bytes()?.saturating_sub(wal);
    let usage = site.sampler.usage(from, to);
    for table in tables {
        let same = site.tables.number(&format!(
            "SELECT (SELECT count(*) FROM public.floor_{0}) - (SELECT count(*) FROM sdmk.{0})",
            table.name
        ))?;
        ensure!(same == 0, "the floor of {} has {same} rows more than the table", table.name);
        site.tables.execute(&format!("DROP TABLE public.floor_{}", table.name))?;
    }
    parts.iter().flat_map(|(_, copies)| copies).try_for_each(|(_, file)| remove(file))?;
    let floor = Floor {
        record: site.record,
        round: 0,
        connections,
        employments: tables.len() > 1,
        rows: site.workers,
        seconds,
        backend_cpu_seconds: usage.cpu_seconds.get(&Part::PostgresBackends).copied().unwrap_or(0.0),
        wal_bytes,
    };
    site.tell(&format!(
        "bare COPY       {:<14} {:>9.0} records/s",
        if floor.employments { "with jobs" } else { "person alone" },
        floor.rate()
    ));
    Ok(floor)
}

/// The same columns, constraints, indexes and storage parameters.
fn create(tables: &mut Tables, table: &Table) -> Result<()> {
    let name = table.name;
    let parameters = tables.column(&format!(
        "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = 'sdmk.{name}'::regclass"
    ))?;
    let parameters = parameters.into_iter().flatten().next().context("the tables have storage parameters")?;
    tables
        .execute(&format!("CREATE TABLE public.floor_{name} (LIKE sdmk.{name} INCLUDING ALL) WITH ({parameters})"))?;
    Ok(())
}

fn copy_in(tables: &mut Tables, (statement, file): &(String, PathBuf)) -> Result<()> {
    tables.copy_in(statement, file).map(drop)
}

fn remove(file: &Path) -> Result<()> {
    std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))
}
