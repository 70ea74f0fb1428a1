//! Text that must not leave the process by accident.

use std::borrow::Cow;
use std::fmt;

/// A personal value of a record: `Debug` shows only its length in bytes, and there is neither
/// `Display` nor `Serialize`, so that a log line, an error or a panic message cannot carry it.
/// Code that really needs the text says so with [`Masked::expose`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Masked<'a>(Cow<'a, str>);

impl<'a> Masked<'a> {
    /// Wraps a personal value.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// The value itself, for the one place that writes it where it belongs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The value with its ownership, borrowed still if it was borrowed.
    #[must_use]
    pub fn into_inner(self) -> Cow<'a, str> {
        self.0
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masked({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_and_nothing_else() {
        assert_eq!(format!("{:?}", Masked::new("Contoh Satu")), "Masked(11)");
        assert_eq!(format!("{:#?}", Some(Masked::new(""))), "Some(\n    Masked(0),\n)");
    }
}
