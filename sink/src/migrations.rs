//! The tables, their roles and their starting positions: what `sisdmk setup` makes and what every
//! start of the sink checks.
//!
//! Forward only: a migration that was released is never changed, and there is no way back. The
//! sink itself changes nothing; where the database is not as this program knows it, it refuses to
//! start and names `sisdmk setup`.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _, SqlSafeStr as _};
use thiserror::Error;

/// Where the server keeps which migrations were applied.
const TABLE: &str = "sink.migration";

/// Why the tables are not as they must be.
#[derive(Debug, Error)]
pub enum MigrationFault {
    /// The database has never been set up, or not for this program.
    #[error("the tables are missing; run `sisdmk setup`")]
    Missing,
    /// A migration of this program has not been applied.
    #[error("migration {0} is not applied; run `sisdmk setup`")]
    Behind(i64),
    /// The database has a migration that this program does not know.
    #[error("the database has migration {0}, which this program does not know; start the newer program")]
    Ahead(i64),
    /// An applied migration has another text than this program's.
    #[error("migration {0} was applied with another text; restore the database, or start the program that made it")]
    Differs(i64),
    /// A migration broke off half-way.
    #[error("migration {0} was applied in part; restore the database, then run `sisdmk setup`")]
    Partial(i64),
    /// Postgres refused; its words know of tables and roles only, no record is involved.
    #[error("change or read the tables")]
    Postgres(#[from] sqlx::Error),
    /// A migration failed.
    #[error("apply the migrations")]
    Apply(#[source] sqlx::migrate::MigrateError),
}

/// Description and text of each migration; its version is its place here, from 1. Written out instead of `sqlx::migrate!`, for whose
/// sake sqlx, its client of Postgres and tokio would be compiled a second time, for the compiler's own use.
const MIGRATIONS: [(&str, &str); 3] = [
    ("tables", include_str!("../migrations/0001_tables.sql")),
    ("outcome", include_str!("../migrations/0002_outcome.sql")),
    ("views and grants", include_str!("../migrations/0003_views_and_grants.sql")),
];

fn migrator() -> Migrator {
    let of = |(version, (description, sql)): (i64, (&'static str, &'static str))| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations((1..).zip(MIGRATIONS).map(of).collect());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Makes roles, schemas and tables, or brings them up to date. May be run again at any time, also
/// while other setups run, and where roles or schemas are there already.
///
/// The connection's user must be a superuser, or own the database and be allowed to create roles,
/// or find the four roles made and be a member of `sisdmk_owner`.
///
/// # Errors
/// What Postgres refused, or which applied migration is not this program's.
pub async fn run(connection: &mut PgConnection) -> Result<(), MigrationFault> {
    connection.execute(sqlx::raw_sql(include_str!("sql/roles.sql"))).await?;
    // The tables belong to the role and not to whoever happens to run setup.
    connection.execute(sqlx::raw_sql("SET ROLE sisdmk_owner")).await?;
    let applied = migrator().run_direct(None, connection, false).await;
    let reset = connection.execute(sqlx::raw_sql("RESET ROLE")).await;
    applied.map_err(|error| match error {
        sqlx::migrate::MigrateError::VersionMissing(version) => MigrationFault::Ahead(version),
        sqlx::migrate::MigrateError::VersionMismatch(version) => MigrationFault::Differs(version),
        sqlx::migrate::MigrateError::Dirty(version) => MigrationFault::Partial(version),
        other => MigrationFault::Apply(other),
    })?;
    reset?;
    Ok(())
}

/// Compares what was applied with what this program knows. Changes nothing.
///
/// # Errors
/// The first difference, with what to do about it.
pub async fn check(connection: &mut PgConnection) -> Result<(), MigrationFault> {
    let rows = match sqlx::query(include_str!("sql/migrations_applied.sql")).fetch_all(&mut *connection).await {
        Ok(rows) => rows,
        // Undefined table, undefined schema.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P01" | "3F000")) => {
            return Err(MigrationFault::Missing);
        }
        Err(error) => return Err(error.into()),
    };
    let applied = rows
        .iter()
        .map(|row| Ok(Applied { version: row.try_get(0)?, success: row.try_get(1)?, checksum: row.try_get(2)? }))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    let migrator = migrator();
    let known: Vec<_> = migrator.iter().map(|migration| (migration.version, migration.checksum.as_ref())).collect();
    compare(&known, &applied)
}

/// One row of [`TABLE`].
struct Applied {
    version: i64,
    success: bool,
    checksum: Vec<u8>,
}

/// Both in the order of their versions.
fn compare(known: &[(i64, &[u8])], applied: &[Applied]) -> Result<(), MigrationFault> {
    if applied.is_empty() {
        return Err(MigrationFault::Missing);
    }
    for row in applied {
        let Some((_, checksum)) = known.iter().find(|(version, _)| *version == row.version) else {
            return Err(MigrationFault::Ahead(row.version));
        };
        if !row.success {
            return Err(MigrationFault::Partial(row.version));
        }
        if *checksum != row.checksum {
            return Err(MigrationFault::Differs(row.version));
        }
    }
    match known.iter().find(|(version, _)| applied.iter().all(|row| row.version != *version)) {
        Some((version, _)) => Err(MigrationFault::Behind(*version)),
        None => Ok(()),
    }
}

/// One region of `sdmk.wilayah`.
#[derive(Debug, Clone, Copy)]
pub struct Wilayah<'a> {
    /// Kemendagri 2025, dotted.
    pub kode: &'a str,
    /// Code of Statistics Indonesia, where it has one.
    pub kode_bps: Option<&'a str>,
    /// `provinsi`, `kabupaten`, `kota`.
    pub tingkat: &'a str,
    /// Name.
    pub nama: &'a str,
    /// The province of a regency.
    pub kode_induk: Option<&'a str>,
}

/// Makes `sdmk.wilayah` hold exactly these rows; rows that are as given are not touched.
///
/// # Errors
/// What Postgres refused.
pub async fn fill_wilayah(connection: &mut PgConnection, rows: &[Wilayah<'_>]) -> Result<(), MigrationFault> {
    let column = |of: fn(&Wilayah<'_>) -> Option<String>| rows.iter().map(of).collect::<Vec<Option<String>>>();
    sqlx::query(include_str!("sql/wilayah.sql"))
        .bind(column(|row| Some(row.kode.to_owned())))
        .bind(column(|row| row.kode_bps.map(str::to_owned)))
        .bind(column(|row| Some(row.tingkat.to_owned())))
        .bind(column(|row| Some(row.nama.to_owned())))
        .bind(column(|row| row.kode_induk.map(str::to_owned)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the position at which a partition is taken up for the first time. One that is there
/// already stays; the answer says whether it was written.
///
/// # Errors
/// What Postgres refused.
pub async fn start_position(
    connection: &mut PgConnection,
    topic: &str,
    partition: i32,
    next_offset: i64,
) -> Result<bool, MigrationFault> {
    let written = sqlx::query(include_str!("sql/start_position.sql"))
        .bind(topic)
        .bind(partition)
        .bind(next_offset)
        .execute(connection)
        .await?;
    Ok(written.rows_affected() == 1)
}

/// Puts a position where an operator wants it; the answer is where it was, if it was anywhere.
///
/// This accepts that records between the two are taken in twice or never; whoever calls it writes
/// that into `audit.event`, in the transaction of this connection if it has begun one.
///
/// # Errors
/// What Postgres refused.
pub async fn reset_position(
    connection: &mut PgConnection,
    topic: &str,
    partition: i32,
    next_offset: i64,
) -> Result<Option<i64>, MigrationFault> {
    let mut transaction = connection.begin().await?;
    // A sink that is just moving it ends first, or finds it moved.
    let before = sqlx::query(include_str!("sql/lock_position.sql"))
        .bind(topic)
        .bind(partition)
        .fetch_optional(&mut *transaction)
        .await?
        .map(|row| row.try_get(0))
        .transpose()?;
    sqlx::query(include_str!("sql/reset_position.sql"))
        .bind(topic)
        .bind(partition)
        .bind(next_offset)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &[(i64, &[u8])], applied: &[(i64, bool, &[u8])]) -> String {
        let applied: Vec<_> = applied
            .iter()
            .map(|&(version, success, checksum)| Applied { version, success, checksum: checksum.to_vec() })
            .collect();
        match compare(known, &applied) {
            Ok(()) => "same".to_owned(),
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn every_difference_has_its_name() {
        let known: &[(i64, &[u8])] = &[(1, b"a"), (2, b"b")];
        assert_eq!(check(known, &[(1, true, b"a"), (2, true, b"b")]), "same");
        assert_eq!(check(known, &[]), "Missing");
        assert_eq!(check(known, &[(1, true, b"a")]), "Behind(2)");
        assert_eq!(check(known, &[(1, true, b"a"), (2, true, b"b"), (3, true, b"c")]), "Ahead(3)");
        assert_eq!(check(known, &[(1, true, b"x"), (2, true, b"b")]), "Differs(1)");
        assert_eq!(check(known, &[(1, true, b"a"), (2, false, b"b")]), "Partial(2)");
    }

    #[test]
    fn every_file_is_a_migration_and_has_the_version_and_the_words_of_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
            .expect("migrations")
            .map(|entry| {
                let path = entry.expect("entry").path();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                (name, std::fs::read_to_string(path).expect("readable"))
            })
            .collect();
        files.sort();
        let name =
            |migration: &Migration| format!("{:04}_{}.sql", migration.version, migration.description.replace(' ', "_"));
        let known: Vec<(String, String)> =
            migrator().iter().map(|migration| (name(migration), migration.sql.as_str().to_owned())).collect();
        assert_eq!(known, files);
    }

    #[test]
    fn a_released_migration_keeps_the_checksum_that_databases_know() {
        // As `sqlx::migrate!` wrote it into the first databases: SHA-384 of the file.
        let first = migrator().iter().next().expect("a migration").checksum.to_vec();
        let hex: String = first.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "55305cb2feab7d71cd7fa6a648fa125800d6824f0ab96dbd883cdd2213b99ae2eac168ff2a33e2692cf8c20193a29392"
        );
    }
}
