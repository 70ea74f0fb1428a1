//! The rows of a plan: judged by key and version first, then written whole, each the cheapest way.
//!
//! Only new and newer states travel whole. New ones go straight into the tables with their jobs,
//! newer ones through a stage to the place where their row was found; what is equal or stale costs a
//! look-up and nothing else. Whatever another writer does to persons in between shows as a count that differs.

use schemas::version::{self, Outcome, Version};
use schemas::worker::{Employment, SdmkWorker};
use schemas::{PersonId, Timestamp};
use sqlx::postgres::PgConnection;
use sqlx::postgres::PgRow;
use sqlx::{Executor as _, Row as _};
use uuid::Uuid;

use super::{Attempt, Failed, rows, world};
use crate::batch::Read;
use crate::copy::{self, CopyBuffer};
use crate::edge::postgres::answer;
use crate::plan::{Entry, Word, WritePlan};
use crate::report::Run;
use crate::stage::{self, Place};

/// Key of `sdmk.person`.
const PERSON_KEY: &str = "person_pkey";

/// What a planned state is to the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// There is no row of this person.
    New,
    /// The row that stands here is to be replaced.
    Newer(Place),
    /// The row says the same, or something newer: nothing is to be written.
    Beaten,
}

impl Attempt<'_> {
    /// Writes a plan, or a part of one, and adds what became of its rows to the runs.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        plan: &WritePlan,
        runs: &mut [Run],
    ) -> Result<(), Failed> {
        if !plan.before.is_empty() {
            self.persons(connection, &plan.before, runs).await?;
        }
        if !plan.deletions.is_empty() {
            self.deletions(connection, &plan.deletions, runs).await?;
        }
        if !plan.after.is_empty() {
            // The stage tables are emptied by the commit; here they hold the rows from before.
            connection.execute(sqlx::raw_sql("TRUNCATE stage_change, stage_employment")).await.map_err(world)?;
            self.persons(connection, &plan.after, runs).await?;
        }
        Ok(())
    }

    async fn persons(
        &self,
        connection: &mut PgConnection,
        positions: &[usize],
        runs: &mut [Run],
    ) -> Result<(), Failed> {
        let planned: Vec<(usize, &SdmkWorker<'_>)> = positions
            .iter()
            .filter_map(|&position| match &self.read[position] {
                Some(Read::State(worker)) => Some((position, worker)),
                _ => None,
            })
            .collect();
        let standings = self.judge(connection, &planned, runs).await?;
        let judged = || planned.iter().map(|(_, worker)| *worker).zip(&standings);

        let new = || judged().filter(|(_, standing)| **standing == Standing::New).map(|(worker, _)| worker);
        let new_count = new().count();
        if new_count > 0 {
            let written = stream(connection, stage::COPY_PERSONS, new(), stage::person).await;
            let written = written.map_err(|error| match answer(&error) {
                // Somebody else wrote the same person since it was judged: no row is to blame.
                Some(answer) if answer.constraint.as_deref() == Some(PERSON_KEY) => self.counts_differ().into(),
                _ => rows(error),
            })?;
            self.expect(new_count, written)?;
        }

        let newer = || {
            judged().filter_map(|(worker, standing)| match standing {
                Standing::Newer(place) => Some((*place, worker)),
                Standing::New | Standing::Beaten => None,
            })
        };
        let newer_count = newer().count();
        if newer_count > 0 {
            stream(connection, stage::COPY_CHANGES, newer(), |row, (place, worker)| stage::change(row, place, worker))
                .await
                .map_err(rows)?;
            let statement = include_str!("../../sql/update_persons.sql");
            #[cfg(feature = "sabotage")]
            let statement = if platform::sabotage::Sabotage::NoNewerGuard.is_on() {
                statement.split("  AND sink.outcome(").next().unwrap_or(statement)
            } else {
                statement
            };
            let written = sqlx::query(statement).persistent(false).execute(&mut *connection).await.map_err(rows)?;
            self.expect(newer_count, written.rows_affected())?;
        }

        let jobs_of = |wanted: fn(Standing) -> bool| {
            judged().filter(move |(_, standing)| wanted(**standing)).flat_map(|(worker, _)| jobs(worker))
        };
        let new_jobs = || jobs_of(|standing| standing == Standing::New);
        let new_jobs_count = new_jobs().count();
        if new_jobs_count > 0 {
            if self.clears_jobs {
                let persons: Vec<Uuid> = new().map(|worker| worker.person_id.0).collect();
                sqlx::query("DELETE FROM sdmk.employment WHERE person_id = ANY ($1)")
                    .bind(persons)
                    .execute(&mut *connection)
                    .await
                    .map_err(world)?;
            }
            let written = stream(connection, stage::COPY_EMPLOYMENTS, new_jobs(), employment).await.map_err(rows)?;
            self.expect(new_jobs_count, written)?;
        }
        if newer_count > 0 {
            let newer_jobs = || jobs_of(|standing| matches!(standing, Standing::Newer(_)));
            if newer_jobs().next().is_some() {
                stream(connection, stage::STAGE_EMPLOYMENTS, newer_jobs(), employment).await.map_err(rows)?;
            }
            sqlx::query(include_str!("../../sql/write_employments.sql"))
                .persistent(false)
                .execute(connection)
                .await
                .map_err(rows)?;
        }
        Ok(())
    }

    /// Compares states with their rows, and counts what will become of each.
    async fn judge(
        &self,
        connection: &mut PgConnection,
        planned: &[(usize, &SdmkWorker<'_>)],
        runs: &mut [Run],
    ) -> Result<Vec<Standing>, Failed> {
        let found = sqlx::query(include_str!("../../sql/held_versions.sql"))
            .bind(planned.iter().map(|(_, worker)| worker.person_id.0).collect::<Vec<Uuid>>())
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(rows)?;
        let mut standings = vec![Standing::New; planned.len()];
        for row in &found {
            // Counted from 1.
            let ordinal = usize::try_from(row.try_get::<i64, _>(0).map_err(world)? - 1).unwrap_or(usize::MAX);
            let Some((standing, (position, worker))) = standings.get_mut(ordinal).zip(planned.get(ordinal)) else {
                return Err(self.counts_differ().into());
            };
            let counts = &mut runs[self.run_of[*position]].counts;
            let (held, deleted_at) = held(row).map_err(world)?;
            let judgement = version::compare_held(&worker.version, &held, deleted_at, worker.stamp);
            let outcome = judgement.outcome;
            #[cfg(feature = "sabotage")]
            let outcome = if platform::sabotage::Sabotage::NoNewerGuard.is_on() { Outcome::Newer } else { outcome };
            *standing = Standing::Beaten;
            match outcome {
                Outcome::Newer => {
                    let place: &[u8] = row.try_get(1).map_err(world)?;
                    *standing = Standing::Newer(place.try_into().map_err(|_| self.counts_differ())?);
                    counts.updated += 1;
                }
                Outcome::Equal => counts.sink_equal += 1,
                Outcome::Stale => counts.sink_stale += 1,
            }
            counts.conflict += i64::from(judgement.conflict);
        }
        for ((position, _), standing) in planned.iter().zip(&standings) {
            runs[self.run_of[*position]].counts.inserted += i64::from(*standing == Standing::New);
        }
        Ok(standings)
    }

    fn expect(&self, judged: usize, written: u64) -> Result<(), Failed> {
        if u64::try_from(judged) == Ok(written) { Ok(()) } else { Err(self.counts_differ().into()) }
    }

    async fn deletions(
        &self,
        connection: &mut PgConnection,
        positions: &[usize],
        runs: &mut [Run],
    ) -> Result<(), Failed> {
        let gone = positions.iter().filter_map(|&position| match self.read[position].as_ref().map(Read::entry) {
            Some(Entry { person_id, word: Word::Gone(at) }) => Some((self.run_number(position), person_id.0, at)),
            _ => None,
        });
        stream(connection, stage::COPY_DELETIONS, gone, |row, (run, person_id, at)| {
            stage::deletion(row, run, person_id, at);
        })
        .await
        .map_err(rows)?;
        let written = sqlx::query(include_str!("../../sql/write_deletions.sql"))
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(rows)?;
        let (mut staged, mut deleted) = (0, 0);
        let mut touched = 0;
        for row in &written {
            let number = |column: &str| row.try_get::<i64, _>(column).map_err(world);
            let counts = &mut self.run_mut(runs, row)?.counts;
            counts.deleted += number("deleted")?;
            counts.sink_equal += number("sink_equal")?;
            counts.sink_stale += number("sink_stale")?;
            staged += number("staged")?;
            deleted += number("deleted")?;
            touched = number("written")?;
        }
        match i64::try_from(positions.len()) {
            Ok(planned) if planned == staged && touched == deleted => Ok(()),
            _ => Err(self.counts_differ().into()),
        }
    }

    fn run_number(&self, position: usize) -> i32 {
        i32::try_from(self.run_of[position]).expect("a batch has at most 100,000 records and so runs")
    }

    fn run_mut<'r>(&self, runs: &'r mut [Run], row: &PgRow) -> Result<&'r mut Run, Failed> {
        let number: i32 = row.try_get("run").map_err(world)?;
        usize::try_from(number).ok().and_then(|number| runs.get_mut(number)).ok_or_else(|| self.counts_differ().into())
    }
}

/// The jobs of a person, each with the person's key.
fn jobs<'w>(worker: &'w SdmkWorker<'w>) -> impl Iterator<Item = (PersonId, &'w Employment<'w>)> {
    worker.body.employments.iter().map(|job| (worker.person_id, job))
}

fn employment(row: &mut CopyBuffer, (person_id, job): (PersonId, &Employment<'_>)) {
    stage::employment(row, person_id.0, job);
}

/// The version of a row, and when its person was found gone.
fn held(row: &PgRow) -> Result<(Version, Option<Timestamp>), sqlx::Error> {
    let time = |column: usize| row.try_get::<Option<&[u8]>, _>(column).map(|sent| sent.and_then(copy::time));
    let told = |column: usize| time(column)?.ok_or(sqlx::Error::RowNotFound);
    let version = Version {
        last_updated: told(2)?,
        fetched_at: told(3)?,
        rules_revision: row.try_get(4)?,
        content_hash: row.try_get(5)?,
    };
    Ok((version, time(6)?))
}

/// Streams rows into a table; the number of rows that the server took.
async fn stream<T>(
    connection: &mut PgConnection,
    statement: &'static str,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut CopyBuffer, T),
) -> Result<u64, sqlx::Error> {
    let mut buffer = CopyBuffer::new();
    buffer.start();
    let mut copy = connection.copy_in_raw(statement).await?;
    for item in items {
        write(&mut buffer, item);
        if buffer.is_full() {
            copy.send(buffer.bytes()).await?;
            buffer.clear();
        }
    }
    buffer.end();
    copy.send(buffer.bytes()).await?;
    copy.finish().await
}
