//! How a process ends: one exit code, one clear sentence, one hint.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Exit codes of every binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked is done.
    Done = 0,
    /// It failed while running.
    Runtime = 1,
    /// The configuration or the command line is wrong; trying again without a change is pointless.
    Config = 2,
    /// The surroundings are not as agreed: a port is taken, a topic, schema or table differs.
    Environment = 3,
}

impl Exit {
    /// The number that the operating system sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Runtime => 1,
            Self::Config => 2,
            Self::Environment => 3,
        }
    }
}

/// Why a process ends, for the person who has to act.
///
/// `message` says what failed, `hint` what to do (empty where there is nothing to add), the source
/// is the cause underneath. None of them holds a value of a record or a secret.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What failed, one sentence without a full stop.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with an exit code and a message.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: String::new(), source: None }
    }

    /// Exit code 1.
    #[must_use]
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(Exit::Runtime, message)
    }

    /// Exit code 2.
    #[must_use]
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }

    /// Exit code 3.
    #[must_use]
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Exit::Environment, message)
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Everything that ended without a code of its own ended while running.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => {
                let message = error.to_string();
                Self {
                    exit: Exit::Runtime,
                    message,
                    hint: String::new(),
                    source: error.chain().nth(1).map(|cause| flat(cause).into()),
                }
            }
        }
    }
}

/// The text of an error with its causes, outermost first, separated by `: `.
#[must_use]
pub fn flat(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The sentence for a failure: message, causes, and the hint on a line of its own.
#[must_use]
pub fn sentence(failure: &Failure) -> String {
    let mut text = flat(failure);
    if !failure.hint.is_empty() {
        text.push_str("\n  ");
        text.push_str(&failure.hint);
    }
    text
}

/// Ends `main`: prints a failure once on standard error and gives its exit code.
pub fn report(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::from(Exit::Done.code()),
        Err(failure) => {
            // Where standard error is gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr().lock(), "error: {}", sentence(&failure));
            ExitCode::from(failure.exit.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_with_its_causes_and_its_hint() {
        let failure = Failure::environment("cannot listen on 127.0.0.1:8081")
            .because(std::io::Error::from(std::io::ErrorKind::AddrInUse))
            .hint("set producer.listen to a free port");
        assert_eq!(
            sentence(&failure),
            "cannot listen on 127.0.0.1:8081: address in use\n  set producer.listen to a free port"
        );
        assert_eq!(failure.exit.code(), 3);
    }

    #[test]
    fn a_failure_keeps_its_code_on_its_way_through_anyhow() {
        let through: Failure = anyhow::Error::new(Failure::config("bad")).into();
        assert_eq!(through.exit, Exit::Config);
        let other: Failure = anyhow::anyhow!("inner").context("outer").into();
        assert_eq!((other.exit, sentence(&other).as_str()), (Exit::Runtime, "outer: inner"));
    }
}
