//! What a fault of the world means: try again, hold, or stop.
//!
//! Two things are kept apart by their types. A [`Refusal`] is about data: Postgres would refuse
//! this row at any time, so the row is set aside and the rest goes on. A [`Fault`] is about the
//! world: no row is to blame, and none may become a dead letter because of it.
//!
//! Of Postgres' answers only the SQLSTATE and the name of the constraint are kept. Its texts hold
//! whole rows ("Failing row contains (..)") and never leave the function that received them.

use std::fmt;

use thiserror::Error;

/// Five characters of the SQL standard, such as `23514`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SqlState([u8; 5]);

impl SqlState {
    /// Reads a code; anything but five ASCII letters or digits becomes `XX000`, internal error.
    pub(crate) fn new(code: &str) -> Self {
        match <[u8; 5]>::try_from(code.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_alphanumeric) => Self(code),
            _ => Self(*b"XX000"),
        }
    }

    fn class(self) -> [u8; 2] {
        [self.0[0], self.0[1]]
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What Postgres answered, without its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PgAnswer {
    /// Its code.
    pub(crate) sqlstate: SqlState,
    /// The constraint that it names; always one of ours.
    pub(crate) constraint: Option<String>,
}

impl fmt::Display for PgAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLSTATE {}", self.sqlstate)?;
        match &self.constraint {
            Some(constraint) => write!(f, ", constraint {constraint}"),
            None => Ok(()),
        }
    }
}

impl PgAnswer {
    /// Whether rows are to blame when a statement that carries rows gets this answer: class 22
    /// (data exception), class 23 (integrity constraint violation), 21000 (one statement would write a
    /// row twice) and 54000 (a key too long for an index page).
    pub(crate) fn blames_rows(&self) -> bool {
        matches!(&self.sqlstate.class(), b"22" | b"23") || matches!(&self.sqlstate.0, b"21000" | b"54000")
    }
}

/// Why one record is set aside. A closed list with stable codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a frame, or not a value of our schema.
    Undecodable(String),
    /// The key is not the record's `person_id`.
    IdentityMismatch,
    /// A tombstone without a readable `sisdmk-fetched-at`.
    HeaderMissing,
    /// Two jobs with one key; the table has place for one of them, and nobody knows for which.
    JobTwice,
    /// Postgres cannot hold it.
    NotStorable(PgAnswer),
}

impl Refusal {
    /// The reason code, in headers, counts and alerts.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "frame_undecodable",
            Self::IdentityMismatch => "identity_mismatch",
            Self::HeaderMissing => "header_missing",
            Self::JobTwice | Self::NotStorable(_) => "row_refused",
        }
    }

    /// One sentence without any value of the record.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Undecodable(what) => format!("the record is not readable: {what}"),
            Self::IdentityMismatch => "the key is not the person id of the record".to_owned(),
            Self::HeaderMissing => "a tombstone without a readable sisdmk-fetched-at header".to_owned(),
            Self::JobTwice => "two jobs of the record have the same employment_key".to_owned(),
            Self::NotStorable(answer) => format!("the table refuses the row: {answer}"),
        }
    }
}

/// A fault of the world around the sink.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection to Postgres, or it broke.
    #[error("reach Postgres: {0}")]
    Connection(&'static str),
    /// Postgres answered with an error that blames no row.
    #[error("write to Postgres: {0}")]
    Postgres(PgAnswer),
    /// The password file cannot be read.
    #[error("read the password of Postgres: {0}")]
    Password(String),
    /// A dead letter or an event could not be written.
    #[error("write to {topic}: {message}")]
    Publish {
        /// Where to.
        topic: &'static str,
        /// The client library's words; they know of no record.
        message: String,
    },
    /// Events cannot be read.
    #[error("read {topic}: {message}")]
    Consume {
        /// Where from.
        topic: &'static str,
        /// The client library's words.
        message: String,
    },
    /// Another one moved the position: a member of the group that was thought gone, or ourselves
    /// in a commit whose answer was lost.
    #[error("move the position of {topic}/{partition}: it is no longer at {expected}")]
    PositionMoved {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Where it was left.
        expected: i64,
    },
    /// There is no position for this partition, or the topic no longer holds it.
    #[error("find the position of {topic}/{partition}")]
    PositionLost {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
    },
    /// The statement's counts do not tie: a row was written by somebody else meanwhile, or a bug.
    #[error("tie the counts of {topic}/{partition} from {first_offset}: a row changed under the statement")]
    CountsDiffer {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// First position of the transaction.
        first_offset: i64,
    },
    /// Rows are refused together and accepted one by one.
    #[error("find the refused row of {topic}/{partition}: {answer} for all, none alone")]
    NobodyToBlame {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What Postgres said.
        answer: PgAnswer,
    },
}

/// What the sink does about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Roll back and try the same records again after a short wait.
    Retry,
    /// The same over a new connection; the partition is held and the process is not ready.
    Pause,
    /// Forget what is held, ask for the position, go on from there.
    Reload,
    /// The partition stands still until an operator acts; the process stays up and is not ready.
    Stop,
}

/// Times that a count that does not tie is tried again before it is called a bug.
pub(crate) const COUNT_TRIES_MAX: u32 = 5;

/// What to do about a fault, and what to tell the operator. `tries` counts the tries before.
pub(crate) fn action(fault: &Fault, tries: u32) -> (Action, &'static str) {
    match fault {
        Fault::Connection(_) => (Action::Pause, "Postgres is not reachable; the sink goes on by itself when it is"),
        Fault::Postgres(answer) => postgres(answer.sqlstate),
        Fault::Password(_) => (Action::Pause, "check postgres.password_file; it is read again at each try"),
        Fault::Publish { .. } => (
            Action::Pause,
            "the partition is held, because a dead letter or event must be written first; check the topic",
        ),
        Fault::Consume { .. } => {
            (Action::Pause, "Kafka is not reachable or refuses; the sink goes on by itself when it is")
        }
        Fault::PositionMoved { .. } => (Action::Reload, "another sink took this partition over"),
        Fault::PositionLost { .. } => {
            (Action::Stop, "records may be missing; `sisdmk offsets reset` accepts the gap and sets a new position")
        }
        Fault::CountsDiffer { .. } if tries < COUNT_TRIES_MAX => {
            (Action::Retry, "somebody else wrote the same rows; trying again")
        }
        Fault::CountsDiffer { .. } => (Action::Stop, "this is a bug: nothing was written; report it with this line"),
        Fault::NobodyToBlame { .. } if tries < COUNT_TRIES_MAX => (Action::Retry, "trying again"),
        Fault::NobodyToBlame { .. } => (Action::Stop, "this is a bug: nothing was written; report it with this line"),
    }
}

/// The same for an answer of Postgres. Source: PostgreSQL 15, appendix A, "Error Codes".
fn postgres(sqlstate: SqlState) -> (Action, &'static str) {
    match &sqlstate.0 {
        // Serialization failure, deadlock, lock not available, cancelled by a time-out.
        b"40001" | b"40P01" => (Action::Retry, "another transaction was in the way"),
        b"55P03" => (Action::Retry, "a lock was not free in time; look for a long transaction on sdmk or sink"),
        b"57014" => (Action::Retry, "a statement was cancelled or took too long"),
        b"25006" => (Action::Pause, "the server is read-only; a new connection is tried until it is not"),
        b"53100" => (Action::Pause, "the server's disk is full"),
        b"53300" => (Action::Pause, "the server has no connection left"),
        b"42501" => (
            Action::Pause,
            "a privilege is missing; run `sisdmk setup` and check that the login is a member of sisdmk_sink",
        ),
        _ => match &sqlstate.class() {
            b"08" | b"57" => (Action::Pause, "the server went away; a new connection is tried"),
            b"25" | b"40" => (Action::Pause, "the transaction was ended by the server; a new connection is tried"),
            b"28" | b"3D" => {
                (Action::Pause, "the server refuses the login; check postgres.url and postgres.password_file")
            }
            b"53" | b"58" => (Action::Pause, "the server is short of something; see its log"),
            b"42" => (Action::Pause, "a table or column is missing; run `sisdmk setup`"),
            // Whatever else it is, no record is to blame and none may be skipped.
            _ => (Action::Pause, "the server answered with an error; see its log"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: &str) -> PgAnswer {
        PgAnswer { sqlstate: SqlState::new(code), constraint: None }
    }

    #[test]
    fn only_data_blames_rows() {
        for code in ["22021", "22P05", "22008", "22001", "23502", "23514", "21000", "54000"] {
            assert!(answer(code).blames_rows(), "{code}");
        }
        for code in ["08006", "40001", "25006", "53100", "57P01", "55P03", "42501", "XX000", "54001"] {
            assert!(!answer(code).blames_rows(), "{code}");
        }
    }

    #[test]
    fn an_answer_shows_code_and_constraint_and_nothing_else() {
        let answer = PgAnswer { sqlstate: SqlState::new("23514"), constraint: Some("person_nik_length".to_owned()) };
        assert_eq!(
            Refusal::NotStorable(answer.clone()).sentence(),
            "the table refuses the row: SQLSTATE 23514, constraint person_nik_length"
        );
        assert_eq!(
            Fault::Postgres(answer).to_string(),
            "write to Postgres: SQLSTATE 23514, constraint person_nik_length"
        );
        assert_eq!(SqlState::new("Failing row contains").to_string(), "XX000");
    }

    #[test]
    fn transient_faults_never_stop_a_partition() {
        for code in [
            "40001", "40P01", "55P03", "57014", "25006", "53100", "53300", "57P01", "57P03", "08006", "28P01", "42P01",
            "XX000",
        ] {
            for tries in [0, 1_000] {
                let (action, advice) = action(&Fault::Postgres(answer(code)), tries);
                assert!(matches!(action, Action::Retry | Action::Pause), "{code}");
                assert!(!advice.is_empty());
            }
        }
        let publish = Fault::Publish { topic: "sisdmk.dlq", message: String::new() };
        assert_eq!(action(&publish, 1_000).0, Action::Pause);
    }

    #[test]
    fn a_lost_position_and_a_count_that_never_ties_stop_the_partition() {
        let lost = Fault::PositionLost { topic: "sisdmk.clean".to_owned(), partition: 3 };
        assert_eq!(action(&lost, 0).0, Action::Stop);
        assert!(action(&lost, 0).1.contains("sisdmk offsets reset"));
        let differs = Fault::CountsDiffer { topic: "sisdmk.clean".to_owned(), partition: 3, first_offset: 7 };
        assert_eq!(action(&differs, 0).0, Action::Retry);
        assert_eq!(action(&differs, COUNT_TRIES_MAX).0, Action::Stop);
    }
}
