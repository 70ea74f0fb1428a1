//! The strict pull scanner for one record.

use std::borrow::Cow;
use std::fmt;

use super::level::Level;
use super::{DEPTH_MAX, JsonFault, Mark, Value, block, number, text};

/// Walks one JSON value in place, member by member.
///
/// Two kinds of faults: where the bytes are no JSON, the call that meets it returns `Err` and
/// nothing more can be read. A fault that leaves the structure readable (duplicate key, number out
/// of range, surrogate, NUL, depth) is noted, reading goes on, and [`Scanner::end`] returns the
/// first of them in the order of [`JsonFault`]. So **a record is good only when `end` says so**.
///
/// ```
/// use schemas::json::{JsonFault, Scanner, Value};
///
/// fn name(record: &[u8]) -> Result<Option<String>, JsonFault> {
///     let mut scanner = Scanner::record(record)?;
///     let mut name = None;
///     while let Some(key) = scanner.key()? {
///         match &*key {
///             "NAMA" => match scanner.value()? {
///                 Value::Text(text) => name = Some(text.into_owned()),
///                 Value::Object | Value::Array => scanner.leave()?,
///                 _ => {}
///             },
///             _ => scanner.skip()?,
///         }
///     }
///     scanner.end()?;
///     Ok(name)
/// }
/// assert_eq!(name(br#"{"NIK": 1, "NAMA": "a\u0062c"}"#), Ok(Some("abc".to_owned())));
/// assert_eq!(name(br#"{"NAMA": "a", "N\u0041MA": "b"}"#), Err(JsonFault::DuplicateKey));
/// ```
#[must_use = "a record is good only when `end` says so"]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Open objects and arrays, the innermost last.
    levels: Vec<Level<'a>>,
    /// Keys of all open objects as they stand in the record, those of the innermost last.
    keys: Vec<&'a str>,
    /// Whether the last text had escapes.
    escaped: bool,
    noted: Option<JsonFault>,
}

/// Digits of a number that need no further look: they are within every range.
const DIGITS_MAX: usize = 18;

impl<'a> Scanner<'a> {
    /// Begins before a value of any kind.
    pub fn new(bytes: &'a [u8]) -> Result<Self, JsonFault> {
        let text = std::str::from_utf8(bytes).map_err(|_| JsonFault::NotUtf8)?;
        Ok(Self { text, at: 0, levels: Vec::with_capacity(4), keys: Vec::new(), escaped: false, noted: None })
    }

    /// Begins within a record, which must be an object: the next thing to read is its first key.
    pub fn record(bytes: &'a [u8]) -> Result<Self, JsonFault> {
        let mut scanner = Self::new(bytes)?;
        match scanner.value()? {
            Value::Object => Ok(scanner),
            _ => match scanner.end() {
                Err(fault) => Err(fault.min(JsonFault::NotObject)),
                Ok(()) => Err(JsonFault::NotObject),
            },
        }
    }

    /// The next key of the innermost open object, or `None` where it ends, which closes it. After a
    /// key its value must be read or skipped.
    #[inline]
    pub fn key(&mut self) -> Result<Option<Cow<'a, str>>, JsonFault> {
        if !self.next(b'}')? {
            return Ok(None);
        }
        if self.byte() != Some(b'"') {
            return Err(JsonFault::Invalid);
        }
        let raw = self.span().ok_or(JsonFault::Invalid)?;
        let key = self.resolved(raw);
        self.remember(raw, &key);
        self.skip_blanks();
        if self.byte() != Some(b':') {
            return Err(JsonFault::Invalid);
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Passes over the next key of the innermost open object if it is written as in `mark`: a comma, the key between its
    /// quotes, a colon, no blank and no escape. `false` if not, and nothing has happened.
    #[inline]
    pub(crate) fn pass_mark(&mut self, mark: &Mark) -> bool {
        let Some(level) = self.levels.last_mut() else {
            return false;
        };
        // The first key has the opening bracket before it instead of a comma, which is not compared.
        let first = u32::from(level.first);
        let at = self.at - usize::from(level.first);
        let found = mark.is_at(self.text.as_bytes(), at, first);
        if found {
            level.first = false;
            self.at = at + mark.length();
        }
        found
    }

    /// As `pass_mark`, where blanks stand before the key.
    pub(crate) fn pass_spaced_mark(&mut self, mark: &Mark) -> bool {
        let Some(level) = self.levels.last_mut() else {
            return false;
        };
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        if !level.first {
            if bytes.get(at) != Some(&b',') {
                return false;
            }
            at += 1;
        }
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
            at += 1;
        }
        // The last of the blanks stands in the place of the comma. Without any, `pass_mark` has looked.
        let found = at > self.at && mark.is_at(bytes, at - 1, 1);
        if found {
            level.first = false;
            self.at = at - 1 + mark.length();
        }
        found
    }

    /// Closes the innermost open object if it ends right here; `false` if not, or not without a further look, and nothing has
    /// happened.
    pub(crate) fn pass_end(&mut self) -> bool {
        let ends = self.byte() == Some(b'}') && self.levels.last().is_some_and(|level| level.object);
        if ends {
            self.at += 1;
            self.close();
        }
        ends
    }

    fn close(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.keys.truncate(level.keys_from);
        }
    }

    /// Notes that a key has come again, where the caller knows better than the scanner.
    #[cold]
    pub(crate) fn note_repeated_key(&mut self) {
        self.note(JsonFault::DuplicateKey);
    }

    /// The next value if it is plain, as nearly every one is: a text of printable ASCII without escapes, not empty, without a
    /// blank at an end and without two blanks in a row; or a number of digits alone, up to 18, as an exact integer is
    /// written. `None` for any other, which is still the next value.
    #[inline]
    pub fn plain(&mut self) -> Option<&'a str> {
        self.skip_blanks();
        if self.byte() != Some(b'"') {
            return self.digits();
        }
        let from = self.at + 1;
        let end = block::plain_end(self.text.as_bytes(), from)?;
        self.at = end + 1;
        // Both ends are at quotes, which are never inside a character.
        self.text.get(from..end)
    }

    /// The digits of `plain`.
    fn digits(&mut self) -> Option<&'a str> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let count = rest.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
        let is_whole = !matches!(rest.get(count), Some(b'.' | b'e' | b'E'));
        let is_good = matches!(count, 1..=DIGITS_MAX) && (count == 1 || rest.first() != Some(&b'0'));
        if !is_whole || !is_good {
            return None;
        }
        let digits = self.text.get(self.at..self.at + count)?;
        self.at += count;
        Some(digits)
    }

    /// Whether the next value is `null`, which is then passed over; else it is still the next value.
    #[inline]
    pub fn null(&mut self) -> bool {
        self.skip_blanks();
        self.byte() == Some(b'n') && self.literal("null").is_ok()
    }

    /// Whether the innermost open array has another element, which is then the next value;
    /// where it ends, `false` closes it.
    #[inline]
    pub fn element(&mut self) -> Result<bool, JsonFault> {
        self.next(b']')
    }

    /// The next value. An object or array is now open, and must be read to its end or left.
    /// One that is nested too deep is skipped and reads as `null`.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, JsonFault> {
        self.skip_blanks();
        match self.byte() {
            Some(b'"') => self.text().map(Value::Text),
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b't') => self.literal("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.literal("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.literal("null").map(|()| Value::Null),
            _ => self.number().map(Value::Number),
        }
    }

    /// Skips the next value, whatever it is, and checks it as strictly as if it were read.
    #[inline]
    pub fn skip(&mut self) -> Result<(), JsonFault> {
        let depth = self.levels.len();
        self.pass()?;
        self.leave_to(depth)
    }

    /// Skips what is left of the innermost open object or array and closes it.
    pub fn leave(&mut self) -> Result<(), JsonFault> {
        self.leave_to(self.levels.len().saturating_sub(1))
    }

    /// Skips what is left, and tells whether the whole is good.
    pub fn end(mut self) -> Result<(), JsonFault> {
        self.leave_to(0)?;
        self.skip_blanks();
        if self.at != self.text.len() {
            return Err(JsonFault::Invalid);
        }
        self.noted.map_or(Ok(()), Err)
    }

    fn leave_to(&mut self, depth: usize) -> Result<(), JsonFault> {
        while self.levels.len() > depth {
            let more = match self.levels.last() {
                Some(level) if level.object => self.key()?.is_some(),
                _ => self.element()?,
            };
            if more {
                self.pass()?;
            }
        }
        Ok(())
    }

    /// As `value`, without resolving a text.
    #[inline]
    fn pass(&mut self) -> Result<(), JsonFault> {
        self.skip_blanks();
        if self.byte() == Some(b'"') {
            self.span().map(|_| ()).ok_or(JsonFault::Invalid)
        } else {
            self.value().map(|_| ())
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    fn note(&mut self, fault: JsonFault) {
        self.noted = Some(self.noted.map_or(fault, |known| known.min(fault)));
    }

    /// Moves to the next member or element of the innermost level, or past its end.
    #[inline]
    fn next(&mut self, close: u8) -> Result<bool, JsonFault> {
        let level = self.levels.last_mut().ok_or(JsonFault::Invalid)?;
        debug_assert_eq!(level.object, close == b'}', "key() is for objects, element() for arrays");
        let first = std::mem::replace(&mut level.first, false);
        self.skip_blanks();
        match self.byte() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.close();
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                self.skip_blanks();
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(JsonFault::Invalid),
        }
    }

    fn open(&mut self, object: bool) -> Result<Value<'a>, JsonFault> {
        if self.levels.len() == DEPTH_MAX {
            self.note(JsonFault::Depth);
            self.pass_deep()?;
            return Ok(Value::Null);
        }
        self.at += 1;
        self.levels.push(Level::new(object, self.keys.len()));
        Ok(if object { Value::Object } else { Value::Array })
    }

    /// Passes over a value that is nested too deep. It is still read as JSON, because bytes that
    /// are no JSON at all are the graver fault; its keys are not compared.
    fn pass_deep(&mut self) -> Result<(), JsonFault> {
        // Whether each open level is an object; one byte a level keeps a hostile record small.
        let mut open: Vec<bool> = Vec::new();
        loop {
            // A value begins here.
            self.skip_blanks();
            let mut opened = true;
            match self.byte() {
                Some(b'{') => open.push(true),
                Some(b'[') => open.push(false),
                _ => {
                    self.pass()?;
                    opened = false;
                }
            }
            if opened {
                self.at += 1;
            }
            // Close what ends here, then go to the next value.
            loop {
                let Some(object) = open.last().copied() else {
                    return Ok(());
                };
                self.skip_blanks();
                match self.byte() {
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    Some(b',') if !opened => {
                        self.at += 1;
                        self.pass_key(object)?;
                        break;
                    }
                    Some(_) if opened => {
                        self.pass_key(object)?;
                        break;
                    }
                    _ => return Err(JsonFault::Invalid),
                }
                self.at += 1;
                open.pop();
                opened = false;
            }
        }
    }

    /// The key before a value of an object that is nested too deep.
    fn pass_key(&mut self, object: bool) -> Result<(), JsonFault> {
        if !object {
            return Ok(());
        }
        self.skip_blanks();
        if self.byte() != Some(b'"') {
            return Err(JsonFault::Invalid);
        }
        self.span().ok_or(JsonFault::Invalid)?;
        self.skip_blanks();
        if self.byte() != Some(b':') {
            return Err(JsonFault::Invalid);
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over the text at the opening quote and returns it with its escapes, of which
    /// `self.escaped` tells. `None` if it is no JSON.
    ///
    /// Two registers and a flag in place, rather than a struct: with the latter the compiler
    /// copied it through the stack in overlapping pieces, which cost more than finding the end.
    #[inline]
    fn span(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let from = self.at + 1;
        let mut end = block::text_end(bytes, from);
        self.escaped = false;
        if bytes.get(end) != Some(&b'"') {
            let span = text::span(bytes, end)?;
            if let Some(fault) = span.noted {
                self.note(fault);
            }
            self.escaped = span.escaped;
            end = span.end;
        }
        self.at = end + 1;
        // Both ends are at quotes, which are never inside a character.
        self.text.get(from..end)
    }

    #[inline]
    fn text(&mut self) -> Result<Cow<'a, str>, JsonFault> {
        let raw = self.span().ok_or(JsonFault::Invalid)?;
        Ok(self.resolved(raw))
    }

    /// The last text with its escapes resolved.
    #[inline]
    fn resolved(&self, raw: &'a str) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(text::unescape(raw)) } else { Cow::Borrowed(raw) }
    }

    #[inline]
    fn number(&mut self) -> Result<&'a str, JsonFault> {
        let rest = self.text.get(self.at..).ok_or(JsonFault::Invalid)?;
        let length = number::length(rest.as_bytes()).ok_or(JsonFault::Invalid)?;
        let number = rest.get(..length).ok_or(JsonFault::Invalid)?;
        if !number::in_range(number) {
            self.note(JsonFault::NumberRange);
        }
        self.at += length;
        Ok(number)
    }

    #[inline]
    fn literal(&mut self, literal: &str) -> Result<(), JsonFault> {
        let bytes = self.text.as_bytes();
        let end = self.at + literal.len();
        if bytes.get(self.at..end) != Some(literal.as_bytes()) {
            return Err(JsonFault::Invalid);
        }
        self.at = end;
        Ok(())
    }

    /// Notes a key that the innermost object has already had, and keeps a new one.
    #[inline]
    fn remember(&mut self, raw: &'a str, key: &str) {
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        let known = self.keys.get(level.keys_from..).unwrap_or_default();
        if level.repeats(known, raw, key, self.escaped) {
            self.note(JsonFault::DuplicateKey);
        } else {
            self.keys.push(raw);
        }
    }
}

impl fmt::Debug for Scanner<'_> {
    /// Where it stands; never the record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").field("at", &self.at).field("depth", &self.levels.len()).finish_non_exhaustive()
    }
}
