//! The connection to Postgres. The only place that reads an error of Postgres, and it keeps the
//! SQLSTATE and the constraint's name: the server's texts hold whole rows.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use platform::exit::Failure;
use platform::secrets::SecretFile;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use crate::policy::{Fault, PgAnswer, SqlState};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Refuses an address that cannot be used, or that holds a password.
///
/// # Errors
/// Exit 2.
pub(crate) fn check_url(url: &str) -> Result<(), Failure> {
    let rest = url
        .strip_prefix("postgresql://")
        .or_else(|| url.strip_prefix("postgres://"))
        .ok_or_else(|| Failure::config("postgres.url does not begin with postgresql://"))?;
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let user_info = authority.rsplit_once('@').map_or("", |(user, _)| user);
    if user_info.contains(':') || url.contains("password=") {
        return Err(Failure::config("postgres.url holds a password")
            .hint("write it into a file and name that in postgres.password_file"));
    }
    // The error could repeat the address; what is wrong with it is for the operator to see there.
    PgConnectOptions::from_str(url).map_err(|_| {
        Failure::config("postgres.url cannot be used")
            .hint("postgresql://user@host:port/database?sslmode=verify-full&sslrootcert=/path")
    })?;
    Ok(())
}

/// How to reach the database.
#[derive(Debug)]
pub(crate) struct Address {
    options: PgConnectOptions,
    password: Option<SecretFile>,
}

impl Address {
    /// From a checked address.
    ///
    /// # Errors
    /// Exit 2 when the address cannot be used.
    pub(crate) fn new(url: &str, password_file: Option<PathBuf>, name: &str) -> Result<Self, Failure> {
        check_url(url)?;
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| Failure::config("postgres.url cannot be used"))?
            .application_name(name)
            // Statements are few and of our own; their slow ones show in the server's log.
            .disable_statement_logging()
            // One plan a batch, made for the rows at hand: a plan kept from the first batch, when
            // the tables were empty, would read whole tables for ever.
            .statement_cache_capacity(32);
        Ok(Self { options, password: password_file.map(SecretFile::new) })
    }

    /// Makes a connection and sets its session up.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Fault> {
        let options = match &self.password {
            None => self.options.clone(),
            Some(file) => {
                let password = file.read_text().map_err(|fault| Fault::Password(fault.to_string()))?;
                self.options.clone().password(password.expose())
            }
        };
        let connecting = PgConnection::connect_with(&options);
        let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| Fault::Connection("no answer within 10 s"))?
            .map_err(|error| fault(&error))?;
        crate::edge::nagle::switch_off(options.get_port());
        connection.execute(sqlx::raw_sql(include_str!("../sql/session.sql"))).await.map_err(|error| fault(&error))?;
        Ok(connection)
    }
}

/// What Postgres answered, if it was an answer.
pub(crate) fn answer(error: &sqlx::Error) -> Option<PgAnswer> {
    let sqlx::Error::Database(error) = error else { return None };
    Some(PgAnswer {
        sqlstate: SqlState::new(error.code().as_deref().unwrap_or_default()),
        constraint: error.constraint().map(str::to_owned),
    })
}

/// An error in our own terms, without any text that could hold a row.
pub(crate) fn fault(error: &sqlx::Error) -> Fault {
    if let Some(answer) = answer(error) {
        return Fault::Postgres(answer);
    }
    Fault::Connection(match error {
        sqlx::Error::Io(_) => "the link broke",
        sqlx::Error::Tls(_) => "TLS could not be agreed on; check sslmode and sslrootcert in postgres.url",
        sqlx::Error::Protocol(_) => "the server's answer was not understood",
        sqlx::Error::Configuration(_) => "the address cannot be used",
        _ => "the client gave up",
    })
}

/// Whether a connection is of no use after this fault.
pub(crate) fn ends_connection(fault: &Fault) -> bool {
    match fault {
        Fault::Connection(_) | Fault::Password(_) => true,
        // Everything but a statement that was simply in somebody's way: a server that is read-only
        // or going down keeps old connections as they are.
        Fault::Postgres(answer) => {
            !matches!(answer.sqlstate.to_string().as_str(), "40001" | "40P01" | "55P03" | "57014")
        }
        Fault::Publish { .. }
        | Fault::Consume { .. }
        | Fault::PositionMoved { .. }
        | Fault::PositionLost { .. }
        | Fault::CountsDiffer { .. }
        | Fault::NobodyToBlame { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_password_is_refused_without_repeating_it() {
        for url in ["postgresql://u:secret@h/db", "postgresql://h/db?user=u&password=secret", "h/db", "mysql://h/db"] {
            let failure = check_url(url).expect_err(url);
            assert_eq!(failure.exit.code(), 2);
            assert!(!platform::exit::sentence(&failure).contains("secret"));
        }
        for url in [
            "postgresql://u@h:5432/db?sslmode=verify-full",
            "postgres://u@127.0.0.1:5432/db",
            "postgresql:///db?host=/run/postgresql&user=u",
        ] {
            assert!(check_url(url).is_ok(), "{url}");
        }
    }
}
