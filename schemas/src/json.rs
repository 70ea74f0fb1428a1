//! JSON, read the way this system needs it: strictly for one record, leniently for cutting a page
//! into its records.
//!
//! [`Scanner`] walks one record in place. It borrows text, keeps numbers as written (an `f64`
//! would silently change the NIKs of six provinces) and finds what general parsers let pass or
//! settle in their own way: duplicate keys, unpaired surrogates, NUL, numbers beyond an `f64`.
//! [`elements`] and [`members`] only find where values end, so that one damaged record does not
//! spoil its neighbours on the page.
//!
//! Source: RFC 8259; the stricter points are those of RFC 7493 (I-JSON).

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

mod block;
mod cut;
mod level;
mod number;
mod scanner;
mod text;

pub(crate) use block::Mark;
pub use cut::{Elements, Member, Members, PageFault, elements, members};
pub(crate) use level::fingerprint;
pub use scanner::Scanner;

/// Levels of objects and arrays that a record may nest, the record itself included.
pub const DEPTH_MAX: usize = 64;

/// What makes a record unreadable as a whole. Where several apply, the first in this order is
/// told, so that one record has one fault however it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum JsonFault {
    /// Bytes that are not UTF-8.
    #[error("bytes that are not UTF-8")]
    NotUtf8,
    /// Not exactly one JSON value.
    #[error("bytes that are not one JSON value")]
    Invalid,
    /// JSON, but no object.
    #[error("a JSON value that is not an object")]
    NotObject,
    /// The same key twice in one object, compared after resolving escapes.
    #[error("an object with the same key twice")]
    DuplicateKey,
    /// A number beyond the range of an `f64`.
    #[error("a number beyond the range of a double")]
    NumberRange,
    /// Half of a surrogate pair.
    #[error("an unpaired surrogate")]
    Surrogate,
    /// `\u0000` or a raw NUL in text, which Postgres cannot store.
    #[error("a NUL in text")]
    Nul,
    /// More than [`DEPTH_MAX`] levels.
    #[error("values nested more than 64 deep")]
    Depth,
}

/// One value as [`Scanner::value`] finds it.
#[derive(Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text with its escapes resolved; borrowed where there were none.
    Text(Cow<'a, str>),
    /// A number as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object, now open: its keys come from [`Scanner::key`].
    Object,
    /// An array, now open: its elements come from [`Scanner::element`].
    Array,
}

impl fmt::Debug for Value<'_> {
    /// The kind alone: what it holds is a value of a person's record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::Number(_) => "Number",
            Self::Bool(_) => "Bool",
            Self::Null => "Null",
            Self::Object => "Object",
            Self::Array => "Array",
        })
    }
}

/// Reads bytes that are one value and nothing else, such as a member of a page. An object or array
/// is checked to its end and comes back as its kind alone.
pub fn value(bytes: &[u8]) -> Result<Value<'_>, JsonFault> {
    let mut scanner = Scanner::new(bytes)?;
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value)
}

/// Digits of an exact integer without sign, fraction or exponent: the only numbers that may stand
/// where text is expected, since only they have one spelling.
#[must_use]
pub fn exact_integer(number: &str) -> Option<&str> {
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)
}
