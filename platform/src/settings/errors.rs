//! All faults of a configuration at once.

use std::fmt;
use std::path::PathBuf;

use crate::exit::Failure;

/// Where a value comes from. Later ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table of settings.
    Default,
    /// The configuration file, with the line where it can be told (0: it cannot).
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag on the command line.
    Flag,
    /// Handed over by a program.
    Given,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, 0) => write!(f, "{}", path.display()),
            Self::File(path, line) => write!(f, "{} line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag --set"),
            Self::Given => f.write_str("program"),
        }
    }
}

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, or empty where a whole file is concerned.
    pub key: String,
    /// Where the value came from; none where it is missing.
    pub origin: Option<Origin>,
    /// What is wrong and what is allowed. A secret is never in it.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.key.is_empty()) {
            (Some(origin), false) => write!(f, "{} ({origin}): {}", self.key, self.message),
            (Some(origin), true) => write!(f, "{origin}: {}", self.message),
            (None, _) => write!(f, "{}: {}", self.key, self.message),
        }
    }
}

/// All faults of a configuration, in the order of the settings' table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// One fault of a key, found by a process that knows more about its meaning than the table.
    #[must_use]
    pub fn of(key: &str, message: impl Into<String>) -> Self {
        Self(vec![ConfigError { key: key.to_owned(), origin: None, message: message.into() }])
    }

    /// All faults of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// `Ok` when there is no fault.
    ///
    /// # Errors
    /// Itself, when there is one.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "configuration: {one}"),
            many => {
                write!(f, "configuration: {} faults", many.len())?;
                many.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Failure::config(errors.to_string())
    }
}
