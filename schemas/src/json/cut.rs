//! Cutting a page: where the members of its object and the elements of its array end.
//!
//! Only texts and brackets are followed; what stands between them is not judged, so a record with
//! bad UTF-8, a lone surrogate or `1e999` is cut out as it is and judged alone. Brackets that
//! cross (`{"a": [}`) are closed up to the nearest one that fits, which keeps most of such damage
//! within its record too.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use super::{Value, block, value};

/// Why a page is not the object or array that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum PageFault {
    /// The page is no object.
    #[error("a page that is not a JSON object")]
    NotObject,
    /// The value is no array.
    #[error("a value that is not a JSON array")]
    NotArray,
    /// The bytes end before the object or array does: the answer was cut.
    #[error("a page that ends before its brackets close")]
    Unclosed,
    /// Something follows the closing bracket.
    #[error("bytes after the closing bracket")]
    Trailing,
    /// Nothing stands before a comma or after the last one.
    #[error("a comma without a value")]
    Empty,
    /// A member without a readable key, colon or value.
    #[error("a member without a key and a value")]
    Member,
}

/// One member of the page's object.
#[derive(Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its key, escapes resolved.
    pub name: Cow<'a, str>,
    /// The bytes of its value, blanks around it left out.
    pub value: &'a [u8],
}

impl fmt::Debug for Member<'_> {
    /// The name and the value's size; never the value, which may hold every record of a page.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("name", &self.name).field("value_bytes", &self.value.len()).finish()
    }
}

/// Cuts the elements out of the array that `bytes` is, for instance the value of a [`Member`].
///
/// Yields the exact bytes of each element, blanks around it left out. An empty element is an
/// error, and the next one follows. Any other error is the last item: what came before it stands.
#[must_use]
pub fn elements(bytes: &[u8]) -> Elements<'_> {
    Elements(Cut::new(bytes, b'[', b']', PageFault::NotArray))
}

/// Iterator of [`elements`].
#[derive(Debug)]
pub struct Elements<'a>(Cut<'a>);

/// Cuts the members out of the object that `bytes` is: a whole page. Errors are as in
/// [`elements`]; a key that comes twice is yielded twice.
#[must_use]
pub fn members(bytes: &[u8]) -> Members<'_> {
    Members(Cut::new(bytes, b'{', b'}', PageFault::NotObject))
}

/// Iterator of [`members`].
#[derive(Debug)]
pub struct Members<'a>(Cut<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], PageFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let range = self.0.next()?;
        Some(range.and_then(|(from, end)| match self.0.trimmed(from, end) {
            [] => Err(PageFault::Empty),
            element => Ok(element),
        }))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, PageFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let range = self.0.next()?;
        Some(range.and_then(|(from, end)| match self.0.trimmed(from, end) {
            [] => Err(PageFault::Empty),
            member => split_member(member).ok_or(PageFault::Member),
        }))
    }
}

/// `"key" : value`.
fn split_member(member: &[u8]) -> Option<Member<'_>> {
    let key_end = text_end(member.strip_prefix(b"\"")?, 0)? + 1;
    let (key, rest) = member.split_at_checked(key_end + 1)?;
    let rest = trim_start(rest).strip_prefix(b":")?;
    let value_bytes = trim(rest);
    if value_bytes.is_empty() {
        return None;
    }
    match value(key) {
        Ok(Value::Text(name)) => Some(Member { name, value: value_bytes }),
        _ => None,
    }
}

/// What both iterators share: the commas of the outermost object or array.
struct Cut<'a> {
    bytes: &'a [u8],
    at: usize,
    close: u8,
    state: State,
    /// Brackets that are open within the current value.
    open: Open,
}

enum State {
    /// Before the first item, or not at an array or object at all.
    Start,
    /// After a comma.
    Comma,
    /// After the closing bracket.
    Closed,
    /// Nothing more is yielded.
    Over,
    /// The first thing to say is that the brackets are missing.
    Refused(PageFault),
}

impl fmt::Debug for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("at", &self.at).field("of", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl<'a> Cut<'a> {
    fn new(bytes: &'a [u8], open: u8, close: u8, otherwise: PageFault) -> Self {
        let blanks = bytes.len() - trim_start(bytes).len();
        let found = bytes.get(blanks) == Some(&open);
        Self {
            bytes,
            at: blanks + 1,
            close,
            state: if found { State::Start } else { State::Refused(otherwise) },
            open: Open::default(),
        }
    }

    /// Range of the next item, blanks included.
    fn next(&mut self) -> Option<Result<(usize, usize), PageFault>> {
        match self.state {
            State::Over => return None,
            State::Refused(fault) => return self.stop(fault),
            State::Closed => return self.finish(),
            State::Start | State::Comma => {}
        }
        let from = self.at;
        let Some(end) = value_end(self.bytes, from, self.close, &mut self.open) else {
            return self.stop(PageFault::Unclosed);
        };
        let alone = matches!(self.state, State::Start);
        self.at = end + 1;
        self.state = if self.bytes.get(end) == Some(&b',') { State::Comma } else { State::Closed };
        if alone && matches!(self.state, State::Closed) && self.trimmed(from, end).is_empty() {
            return self.finish();
        }
        Some(Ok((from, end)))
    }

    fn finish(&mut self) -> Option<Result<(usize, usize), PageFault>> {
        let rest = self.trimmed(self.at, self.bytes.len());
        if rest.is_empty() {
            self.state = State::Over;
            None
        } else {
            self.stop(PageFault::Trailing)
        }
    }

    fn stop(&mut self, fault: PageFault) -> Option<Result<(usize, usize), PageFault>> {
        self.state = State::Over;
        Some(Err(fault))
    }

    fn trimmed(&self, from: usize, end: usize) -> &'a [u8] {
        trim(self.bytes.get(from..end).unwrap_or_default())
    }
}

/// Brackets that are open, in order, and how many of each kind: the counts tell at once that a
/// stray closer fits nothing, so that no page can make the search slow.
#[derive(Default)]
struct Open {
    brackets: Vec<u8>,
    objects: usize,
    arrays: usize,
}

impl Open {
    fn clear(&mut self) {
        self.brackets.clear();
        self.objects = 0;
        self.arrays = 0;
    }

    fn push(&mut self, bracket: u8) {
        self.brackets.push(bracket);
        *self.count(bracket) += 1;
    }

    fn count(&mut self, bracket: u8) -> &mut usize {
        if bracket == b'{' { &mut self.objects } else { &mut self.arrays }
    }

    /// Closes up to the nearest `bracket`; `false` if none is open.
    fn close(&mut self, bracket: u8) -> bool {
        if *self.count(bracket) == 0 {
            return false;
        }
        while let Some(last) = self.brackets.pop() {
            *self.count(last) -= 1;
            if last == bracket {
                break;
            }
        }
        true
    }
}

/// Index of the comma or of the `close` that ends the value from `at` on.
fn value_end(bytes: &[u8], mut at: usize, close: u8, open: &mut Open) -> Option<usize> {
    open.clear();
    loop {
        let byte = *bytes.get(at)?;
        match byte {
            b'"' => at = text_end(bytes, at + 1)?,
            b'{' | b'[' => open.push(byte),
            b'}' | b']' => {
                let fits = open.close(if byte == b'}' { b'{' } else { b'[' });
                if !fits && byte == close {
                    return Some(at);
                }
            }
            b',' if open.brackets.is_empty() => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// Index of the quote that closes the text from `at` on.
fn text_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = block::quote_or_backslash(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at),
            // A backslash takes the next byte with it, whatever that is.
            _ => at += 2,
        }
    }
}

/// Without the blanks that JSON allows around a value, and no others.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = bytes {
        bytes = rest;
    }
    trim_start(bytes)
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}
