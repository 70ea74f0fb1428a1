//! Reading the values of a record: type, length, control characters, and the reasons found on the way.

use std::borrow::Cow;

use schemas::json::{JsonFault, Scanner, Value, exact_integer};
use schemas::layout::{Field, Fields, Order};
use schemas::{Date, Masked};

use crate::date;
use crate::reason::{FieldPath, Reason};
use crate::rulebook::Rules;
use crate::text::{self, Received, TEXT_BYTES_MAX};
use crate::word::Word;
use crate::{Code, Severity};

/// Most elements of one list; nobody has so many jobs, and each costs memory whatever it holds.
pub(crate) const LIST_ELEMENTS_MAX: usize = 1_000;

/// Room for the first elements of a list.
const FIRST_ROOM_BYTES_MAX: usize = 1_024;

/// What stands in a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Found<T> {
    /// Null, a blank in disguise, or no such field.
    #[default]
    Null,
    /// Something that is refused, its reason told: no other rule applies to it.
    Refused,
    /// A value.
    Good(T),
}

impl<T> Found<T> {
    /// The value, where null and refused are alike.
    pub(crate) fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Null | Self::Refused => None,
        }
    }

    pub(crate) fn and_then<U>(self, next: impl FnOnce(T) -> Found<U>) -> Found<U> {
        match self {
            Self::Null => Found::Null,
            Self::Refused => Found::Refused,
            Self::Good(value) => next(value),
        }
    }
}

/// Fields of a record that do not stand as the profile says. They change no verdict; a sudden change of their numbers
/// shows that the source changed its structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldCounts {
    /// Fields with a name that the profile does not declare.
    pub unknown: u32,
    /// Names that the profile declares and that the record, or an element of a list, does not have.
    pub missing: u32,
}

/// Reasons collected while one record is read.
pub(crate) struct Reading<'r> {
    pub(crate) rules: &'r Rules,
    pub(crate) fields: FieldCounts,
    reasons: Vec<Reason>,
}

impl<'r> Reading<'r> {
    pub(crate) fn new(rules: &'r Rules) -> Self {
        Self { rules, fields: FieldCounts::default(), reasons: Vec::new() }
    }

    /// An object with `declared` names in the profile was read to its end.
    #[inline]
    pub(crate) fn count<F: Field>(&mut self, declared: u32, fields: &Fields<'_, F>) {
        self.fields.missing += declared.saturating_sub(fields.known());
        self.fields.unknown += fields.unknown();
    }

    /// Tells a hard reason, once for each code and field however many jobs have it.
    #[cold]
    pub(crate) fn refuse(&mut self, code: Code, field: &FieldPath) {
        debug_assert_eq!(code.severity(), Severity::Hard);
        if !self.reasons.iter().any(|reason| reason.code == code && reason.field == *field) {
            self.reasons.push(Reason { code, field: field.clone() });
        }
    }

    /// As `refuse`, for the end of a rule.
    #[cold]
    pub(crate) fn refused<T>(&mut self, code: Code, field: &FieldPath) -> Found<T> {
        self.refuse(code, field);
        Found::Refused
    }

    /// All reasons, in catalogue order.
    pub(crate) fn into_reasons(mut self) -> Vec<Reason> {
        self.reasons.sort();
        self.reasons
    }

    /// Reads the next value as text as received, blank or not; null where there is no text at all.
    ///
    /// Like everything here that reads a value, it is written where it belongs and not returned: a fault shares its place
    /// with the text in a `Result`, and taking them apart again cost more than finding the text.
    #[inline]
    pub(crate) fn received<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        field: &FieldPath,
        into: &mut Found<Received<'a>>,
    ) -> Result<(), JsonFault> {
        match scanner.plain() {
            Some(text) if text.len() <= TEXT_BYTES_MAX => *into = Found::Good(Received::Plain(text)),
            Some(text) => *into = self.received_of(Value::Text(Cow::Borrowed(text)), field),
            None => *into = self.received_of(scalar(scanner)?, field),
        }
        Ok(())
    }

    /// Reads the next value as clean text.
    #[inline]
    pub(crate) fn clean<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        field: &FieldPath,
        into: &mut Found<Cow<'a, str>>,
    ) -> Result<(), JsonFault> {
        match scanner.plain() {
            Some(text) if text::is_sound(text) => *into = Found::Good(Cow::Borrowed(text)),
            Some(text) => *into = self.clean_of(Value::Text(Cow::Borrowed(text)), field),
            None => *into = self.clean_of(scalar(scanner)?, field),
        }
        Ok(())
    }

    /// As `received`, of a value that has been read.
    #[cold]
    pub(crate) fn received_of<'a>(&mut self, value: Value<'a>, field: &FieldPath) -> Found<Received<'a>> {
        let text = match value {
            Value::Null => return Found::Null,
            Value::Text(text) => Some(text),
            Value::Number(number) => exact_integer(number).map(Cow::Borrowed),
            Value::Bool(_) | Value::Object | Value::Array => None,
        };
        let Some(text) = text else {
            return self.refused(Code::FieldType, field);
        };
        match Received::new(text) {
            Ok(received) => Found::Good(received),
            Err(faults) => {
                if faults.control_character {
                    self.refuse(Code::TextControlCharacter, field);
                }
                if faults.too_long {
                    self.refuse(Code::TextTooLong, field);
                }
                Found::Refused
            }
        }
    }

    /// As `clean`, of a value that has been read.
    #[cold]
    pub(crate) fn clean_of<'a>(&mut self, value: Value<'a>, field: &FieldPath) -> Found<Cow<'a, str>> {
        self.received_of(value, field).and_then(|received| match received.into_clean() {
            Some(text) => Found::Good(text),
            None => Found::Null,
        })
    }

    /// Reads the next value as clean text, for a field whose null and fault are alike.
    pub(crate) fn text<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        field: &FieldPath,
        into: &mut Option<Cow<'a, str>>,
    ) -> Result<(), JsonFault> {
        self.text_as(scanner, field, into, |text| text)
    }

    /// As `text`, for a personal field.
    pub(crate) fn masked<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        field: &FieldPath,
        into: &mut Option<Masked<'a>>,
    ) -> Result<(), JsonFault> {
        self.text_as(scanner, field, into, Masked::new)
    }

    /// Almost every value of a record goes through here.
    #[inline]
    fn text_as<'a, T>(
        &mut self,
        scanner: &mut Scanner<'a>,
        field: &FieldPath,
        into: &mut Option<T>,
        make: impl Fn(Cow<'a, str>) -> T,
    ) -> Result<(), JsonFault> {
        match scanner.plain() {
            Some(text) if text::is_sound(text) => *into = Some(make(Cow::Borrowed(text))),
            Some(text) => *into = self.clean_of(Value::Text(Cow::Borrowed(text)), field).good().map(make),
            None if scanner.null() => *into = None,
            None => *into = self.clean_of(scalar(scanner)?, field).good().map(make),
        }
        Ok(())
    }

    /// Reads the next value as a date.
    pub(crate) fn date(
        &mut self,
        scanner: &mut Scanner<'_>,
        field: &FieldPath,
        into: &mut Option<Date>,
    ) -> Result<(), JsonFault> {
        self.date_or(scanner, field, into, &[])
    }

    /// As `date`; a text that is none, but one of `words`, is no date and no fault either.
    pub(crate) fn date_or(
        &mut self,
        scanner: &mut Scanner<'_>,
        field: &FieldPath,
        into: &mut Option<Date>,
        words: &[Word],
    ) -> Result<(), JsonFault> {
        let formats = &self.rules.layout.date_formats;
        let value = match scanner.plain() {
            Some(text) => {
                // A text that is a date as it stands needs no cleaning first.
                if let Ok(date) = date::read(text, formats) {
                    *into = Some(date);
                    return Ok(());
                }
                Value::Text(Cow::Borrowed(text))
            }
            None => scalar(scanner)?,
        };
        let text = self.clean_of(value, field).good();
        *into = text.and_then(|text| match date::read(&text, formats) {
            Ok(date) => Some(date),
            Err(_) if Word::new(&text).is_some_and(|word| words.contains(&word)) => None,
            Err(code) => self.refused(code, field).good(),
        });
        Ok(())
    }
}

/// The next value; the inside of an object or array, which no field has, is passed over.
pub(crate) fn scalar<'a>(scanner: &mut Scanner<'a>) -> Result<Value<'a>, JsonFault> {
    let value = scanner.value();
    if matches!(value, Ok(Value::Object | Value::Array)) {
        scanner.leave()?;
    }
    value
}

/// Reads the next value as a list of objects; `read` fills one from the scanner, which stands within it, to its end.
pub(crate) fn list<'a, T: Default, F: Field>(
    scanner: &mut Scanner<'a>,
    reading: &mut Reading<'_>,
    order: &mut Order<F>,
    path: &FieldPath,
    items: &mut Vec<T>,
    read: impl Fn(&mut Scanner<'a>, &mut Reading<'_>, &mut Order<F>, &mut T) -> Result<(), JsonFault>,
) -> Result<(), JsonFault> {
    items.clear();
    // A worker has few jobs. Left to itself the first room would be for four, and beyond what allocators keep at hand.
    let first = (FIRST_ROOM_BYTES_MAX / size_of::<T>()).min(4);
    match scanner.value() {
        Ok(Value::Array) => {}
        Ok(Value::Null) => return Ok(()),
        Err(fault) => return Err(fault),
        Ok(other) => {
            if other == Value::Object {
                scanner.leave()?;
            }
            reading.refuse(Code::FieldType, path);
            return Ok(());
        }
    }
    let mut seen = 0_usize;
    while scanner.element()? {
        seen += 1;
        if seen > LIST_ELEMENTS_MAX {
            reading.refuse(Code::ListTooLong, path);
            scanner.skip()?;
            continue;
        }
        match scanner.value() {
            Ok(Value::Object) => {
                if items.is_empty() {
                    *items = Vec::with_capacity(first);
                }
                read(scanner, reading, order, items.push_mut(T::default()))?;
            }
            Err(fault) => return Err(fault),
            Ok(other) => {
                if other == Value::Array {
                    scanner.leave()?;
                }
                reading.refuse(Code::FieldType, path);
            }
        }
    }
    Ok(())
}

/// The path of a field among those of its object.
#[inline]
pub(crate) fn path<F: Field>(paths: &[FieldPath], field: F) -> &FieldPath {
    paths.get(field.slot()).unwrap_or(&FieldPath::WHOLE)
}
