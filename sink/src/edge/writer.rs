//! One batch, one transaction.
//!
//! First the position is moved from where we believe it is to where the batch ends; if it is not
//! there, somebody else has the partition and nothing is written. Then the rows, the reports of the
//! ledger and, before the commit, the dead letters. So a batch is in the tables, in the ledger and
//! behind the position, or nowhere; only a dead letter may be there twice.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _};
use uuid::Uuid;

use crate::batch::{Batch, Read, read};
use crate::bisection::Bisection;
use crate::edge::postgres::{answer, fault};
use crate::letter::{Coordinates, Letter};
use crate::plan::{Entry, WritePlan, plan};
use crate::policy::{Fault, PgAnswer, Refusal};
use crate::report::{Run, runs};

mod rows;

/// Key of `sdmk.employment`.
const EMPLOYMENT_KEY: &str = "employment_pkey";

/// What a transaction did.
#[derive(Debug)]
pub(crate) struct Done {
    /// The ranges that it covers, with what became of their records.
    pub(crate) runs: Vec<Run>,
}

/// Records that are set aside, by their position in the batch.
pub(crate) type Refused = BTreeMap<usize, Refusal>;

/// Where dead letters go.
pub(crate) trait DeadLetters {
    /// Returns once all are acknowledged; an error means that none may be taken for safe. Called
    /// after the rows are written and before the commit; again with the same letters when a commit
    /// fails, so that a letter may be there twice.
    fn publish(&mut self, letters: &[Letter<'_>]) -> Result<(), Fault>;
}

/// A batch on its way into the tables: decoded once, tried until it is there.
pub(crate) struct Attempt<'b> {
    topic: &'b str,
    partition: i32,
    batch: &'b Batch,
    read: Vec<Option<Read<'b>>>,
    refused: Refused,
    runs: Vec<Run>,
    run_of: Vec<usize>,
    /// Whether jobs may be there of persons who are not.
    clears_jobs: bool,
}

/// Why a try failed.
enum Failed {
    /// Rows are to blame.
    Rows(PgAnswer),
    /// The world is.
    World(Fault),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::World(fault)
    }
}

/// The error of a statement that carries no row.
fn world(error: sqlx::Error) -> Failed {
    Failed::World(fault(&error))
}

/// The error of a statement that carries rows.
fn rows(error: sqlx::Error) -> Failed {
    match answer(&error) {
        Some(answer) if answer.blames_rows() => Failed::Rows(answer),
        _ => world(error),
    }
}

impl<'b> Attempt<'b> {
    /// Decodes a batch. Records that cannot be read are set aside at once.
    ///
    /// `refused`: what a try before has found to be bad, so that it is not searched for again.
    pub(crate) fn new(topic: &'b str, partition: i32, batch: &'b Batch, schema_id: u32, mut refused: Refused) -> Self {
        let mut read_all = Vec::with_capacity(batch.len());
        let mut batch_ids = Vec::with_capacity(batch.len());
        for (position, record) in batch.records().enumerate() {
            match read(record, schema_id) {
                Ok(read) => {
                    batch_ids.push((record.offset, read.batch_id()));
                    read_all.push(Some(read));
                }
                Err(refusal) => {
                    batch_ids.push((record.offset, record.header_batch_id().unwrap_or_default()));
                    read_all.push(None);
                    refused.insert(position, refusal);
                }
            }
        }
        let (runs, run_of) = runs(batch.position(), batch_ids.into_iter());
        Self { topic, partition, batch, read: read_all, refused, runs, run_of, clears_jobs: false }
    }

    /// When the source gave out each record that was read; for the latency from end to end.
    pub(crate) fn fetched_at(&self) -> impl Iterator<Item = schemas::Timestamp> + '_ {
        self.read.iter().flatten().map(Read::fetched_at)
    }

    /// What is set aside so far.
    pub(crate) fn into_refused(self) -> Refused {
        self.refused
    }

    /// Tries until the batch is committed, with as many tries as there are sets of bad rows.
    ///
    /// # Errors
    /// A fault of the world; nothing is written then, and the same attempt may be made again. After
    /// a fault of the connection or an unclear end of the commit the caller asks for the position.
    pub(crate) async fn commit(
        &mut self,
        connection: &mut PgConnection,
        dead_letters: &mut impl DeadLetters,
    ) -> Result<Done, Fault> {
        loop {
            let plan = self.plan();
            match self.transaction(connection, &plan, dead_letters).await {
                Ok(done) => return Ok(done),
                Err(Failed::World(fault)) => return Err(fault),
                // A new person's job is there already: somebody has deleted the person alone, by hand.
                Err(Failed::Rows(answer))
                    if answer.constraint.as_deref() == Some(EMPLOYMENT_KEY) && !self.clears_jobs =>
                {
                    self.clears_jobs = true;
                }
                Err(Failed::Rows(answer)) => {
                    // Nor may the search take such a person for guilty.
                    self.clears_jobs = true;
                    let found = self.search(connection, &plan, answer.clone()).await?;
                    if found.is_empty() {
                        return Err(Fault::NobodyToBlame {
                            topic: self.topic.to_owned(),
                            partition: self.partition,
                            answer,
                        });
                    }
                    for (position, answer) in found {
                        self.refused.insert(position, Refusal::NotStorable(answer));
                    }
                }
            }
        }
    }

    /// Plans what is not set aside. Records that were beaten by a refused one get their chance.
    fn plan(&self) -> WritePlan {
        let entries: Vec<Option<Entry>> = self
            .read
            .iter()
            .enumerate()
            .map(|(position, read)| match read {
                Some(read) if !self.refused.contains_key(&position) => Some(read.entry()),
                _ => None,
            })
            .collect();
        plan(&entries)
    }

    async fn transaction(
        &self,
        connection: &mut PgConnection,
        plan: &WritePlan,
        dead_letters: &mut impl DeadLetters,
    ) -> Result<Done, Failed> {
        #[cfg(feature = "sabotage")]
        platform::sabotage::point("batch_ready");
        // Dropped without a commit it is rolled back, before the next statement of the connection.
        let mut transaction = connection.begin().await.map_err(world)?;
        self.move_position(&mut transaction).await?;
        let mut runs = self.runs.clone();
        for position in &plan.superseded {
            runs[self.run_of[*position]].counts.superseded += 1;
        }
        for position in &plan.conflicts {
            runs[self.run_of[*position]].counts.conflict += 1;
        }
        for position in self.refused.keys() {
            runs[self.run_of[*position]].counts.rejected += 1;
        }
        self.write(&mut transaction, plan, &mut runs).await?;
        if runs.iter().any(|run| !run.counts.ties()) {
            return Err(self.counts_differ().into());
        }
        self.report(&mut transaction, &runs).await?;
        if !self.refused.is_empty() {
            dead_letters.publish(&self.letters())?;
        }
        #[cfg(feature = "sabotage")]
        platform::sabotage::point("rows_written");
        transaction.commit().await.map_err(world)?;
        #[cfg(feature = "sabotage")]
        platform::sabotage::point("rows_committed");
        Ok(Done { runs })
    }

    fn letters(&self) -> Vec<Letter<'_>> {
        self.refused
            .iter()
            .map(|(&position, refusal)| {
                let record = self.batch.record(position);
                let raw = match &self.read[position] {
                    Some(Read::State(worker)) => Coordinates {
                        topic: worker.raw_topic.as_ref(),
                        partition: worker.raw_partition,
                        offset: worker.raw_offset,
                    },
                    // Where it came from cannot be read; where it is can be told.
                    _ => Coordinates { topic: self.topic, partition: self.partition, offset: record.offset },
                };
                Letter { record, partition: self.partition, raw, refusal }
            })
            .collect()
    }

    fn counts_differ(&self) -> Fault {
        Fault::CountsDiffer {
            topic: self.topic.to_owned(),
            partition: self.partition,
            first_offset: self.batch.position(),
        }
    }

    async fn move_position(&self, connection: &mut PgConnection) -> Result<(), Failed> {
        let statement = include_str!("../sql/move_position.sql");
        #[cfg(feature = "sabotage")]
        let statement = if platform::sabotage::Sabotage::NoCompareAndSet.is_on() {
            "UPDATE sink.offset SET next_offset = $4, updated_at = now() WHERE topic = $1 AND partition = $2 AND $3 >= 0"
        } else {
            statement
        };
        let moved = sqlx::query(statement)
            .bind(self.topic)
            .bind(self.partition)
            .bind(self.batch.position())
            .bind(self.batch.next_position())
            .execute(connection)
            .await
            .map_err(world)?;
        if moved.rows_affected() == 1 {
            return Ok(());
        }
        Err(Failed::World(Fault::PositionMoved {
            topic: self.topic.to_owned(),
            partition: self.partition,
            expected: self.batch.position(),
        }))
    }

    async fn report(&self, connection: &mut PgConnection, runs: &[Run]) -> Result<(), Failed> {
        let column = |of: fn(&Run) -> i64| runs.iter().map(of).collect::<Vec<i64>>();
        let statement = include_str!("../sql/stage_reports.sql");
        // The key of the reports would be a second guard.
        #[cfg(feature = "sabotage")]
        let statement = if platform::sabotage::Sabotage::NoCompareAndSet.is_on() {
            concat!(include_str!("../sql/stage_reports.sql"), " ON CONFLICT DO NOTHING")
        } else {
            statement
        };
        sqlx::query(statement)
            .bind(self.topic)
            .bind(self.partition)
            .bind(column(|run| run.first_offset))
            .bind(column(|run| run.next_offset))
            .bind(runs.iter().map(|run| run.batch_id).collect::<Vec<Uuid>>())
            .bind(runs.iter().map(Run::counts_json).collect::<Vec<String>>())
            .execute(connection)
            .await
            .map_err(world)?;
        Ok(())
    }

    /// Finds the rows that were refused, by trying parts of the plan and rolling them back.
    async fn search(
        &self,
        connection: &mut PgConnection,
        plan: &WritePlan,
        refusal: PgAnswer,
    ) -> Result<Vec<(usize, PgAnswer)>, Fault> {
        let mut search = Bisection::new(plan.rows(), refusal);
        while let Some(range) = search.next_trial() {
            let part = plan.part(range.start, range.end);
            let mut runs = self.runs.clone();
            let mut transaction = connection.begin().await.map_err(|error| fault(&error))?;
            let tried = self.write(&mut transaction, &part, &mut runs).await;
            match tried {
                Ok(()) => transaction.rollback().await.map_err(|error| fault(&error))?,
                Err(Failed::Rows(answer)) => {
                    transaction.rollback().await.map_err(|error| fault(&error))?;
                    search.refused(range, answer);
                }
                Err(Failed::World(fault)) => return Err(fault),
            }
        }
        let row = |number: usize| {
            let part = plan.part(number, number + 1);
            part.before.into_iter().chain(part.deletions).chain(part.after).next()
        };
        Ok(search.into_found().into_iter().filter_map(|(number, answer)| Some((row(number)?, answer))).collect())
    }
}

/// Makes the stage tables of a connection.
///
/// # Errors
/// What Postgres refused.
pub(crate) async fn prepare(connection: &mut PgConnection) -> Result<(), Fault> {
    connection.execute(sqlx::raw_sql(include_str!("../sql/stage.sql"))).await.map_err(|error| fault(&error))?;
    Ok(())
}

/// Positions of partitions of a topic; those without a row are left out.
///
/// # Errors
/// What Postgres refused.
pub(crate) async fn positions(
    connection: &mut PgConnection,
    topic: &str,
    partitions: &BTreeSet<i32>,
) -> Result<BTreeMap<i32, i64>, Fault> {
    let partitions: Vec<i32> = partitions.iter().copied().collect();
    let found = sqlx::query(include_str!("../sql/positions.sql"))
        .bind(topic)
        .bind(partitions)
        .fetch_all(connection)
        .await
        .map_err(|error| fault(&error))?;
    found
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(|error| fault(&error))
}
