//! Avro's binary encoding, as far as our two schemas need it: `long`, `string`, `enum`,
//! `["null", T]`, arrays and maps. Written by hand because this is the hot path of two stages and
//! the general library resolves the schema again for every record; tests hold it equal to that
//! library byte for byte.
//!
//! Reading never panics and never reserves more than the bytes at hand can justify.
//! Source: Apache Avro 1.12 specification, "Binary encoding".

use std::borrow::Cow;

use thiserror::Error;
use uuid::Uuid;

use crate::date::Date;
use crate::frame::FrameFault;
use crate::ids::{TraceId, UUID_TEXT_BYTES, parse_uuid};
use crate::masked::Masked;
use crate::nik::Nik;
use crate::timestamp::Timestamp;

pub(crate) mod place;

/// Why a frame could not be decoded. Carries the name of a field of ours, never a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeFault {
    /// The prefix is not the expected one.
    #[error("read the schema prefix")]
    Frame(#[from] FrameFault),
    /// The Avro datum is damaged or was written with another schema.
    #[error("decode field {field}: {kind}")]
    Field {
        /// Field of our schema where it was noticed.
        field: &'static str,
        /// What is wrong there.
        kind: FieldFault,
    },
    /// Bytes are left after the last field.
    #[error("decode the record: bytes after its last field")]
    Trailing,
}

/// What is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldFault {
    /// The datum ends within the field.
    #[error("the data ends here")]
    Truncated,
    /// A number does not fit its type.
    #[error("a number out of range")]
    Range,
    /// A length or count that the rest of the datum cannot hold.
    #[error("a length or count beyond the data")]
    Length,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A union branch that the schema does not have.
    #[error("an unknown union branch")]
    Branch,
    /// An enum symbol that the schema does not have.
    #[error("an unknown enum symbol")]
    Symbol,
    /// Text that is not the identifier this field holds (UUID, trace id, NIK).
    #[error("text of another form than this field has")]
    Form,
}

/// Appends a `long` or `int`: zigzag, then seven bits a byte, the lowest first.
#[inline]
pub(crate) fn put_long(out: &mut Vec<u8>, value: i64) {
    let zigzag = zigzag(value);
    match u8::try_from(zigzag) {
        Ok(byte @ 0..0x80) => out.push(byte),
        _ => put_long_bytes(out, zigzag),
    }
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn put_long_bytes(out: &mut Vec<u8>, mut rest: u64) {
    let mut bytes = [0_u8; LONG_BYTES_MAX];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        *byte = rest.to_le_bytes()[0] | 0x80;
        rest >>= 7;
        if rest == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    out.extend_from_slice(&bytes[..length]);
}

/// A 64-bit value takes at most ten bytes of seven bits.
const LONG_BYTES_MAX: usize = 10;

/// Appends a `string`.
#[inline]
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the length of a string or the count of a block. Both are far below 2^63: they count
/// things in memory.
#[inline]
pub(crate) fn put_length(out: &mut Vec<u8>, length: usize) {
    put_long(out, i64::try_from(length).unwrap_or(i64::MAX));
}

/// Appends a `["null", "string"]`.
#[inline]
pub(crate) fn put_opt_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => out.push(NULL),
        // Most texts are short: branch and length are two bytes written at once.
        Some(text) => match u8::try_from(text.len()) {
            Ok(length @ 0..0x40) => {
                out.extend_from_slice(&[PRESENT, length << 1]);
                out.extend_from_slice(text.as_bytes());
            }
            _ => {
                out.push(PRESENT);
                put_text(out, text);
            }
        },
    }
}

/// Appends a `["null", long]` or `["null", int]`.
#[inline]
pub(crate) fn put_opt_long(out: &mut Vec<u8>, value: Option<i64>) {
    match value {
        None => out.push(NULL),
        Some(value) => {
            out.push(PRESENT);
            put_long(out, value);
        }
    }
}

/// Appends an `enum`, by the place of its symbol.
#[inline]
pub(crate) fn put_symbol(out: &mut Vec<u8>, index: u8) {
    put_long(out, index.into());
}

/// Appends a UUID as a `string`.
#[inline]
pub(crate) fn put_uuid(out: &mut Vec<u8>, uuid: &Uuid) {
    put_length(out, UUID_TEXT_BYTES);
    let mut text = [0; UUID_TEXT_BYTES];
    out.extend_from_slice(uuid.hyphenated().encode_lower(&mut text).as_bytes());
}

/// Appends a trace id as a `string`.
#[inline]
pub(crate) fn put_trace_id(out: &mut Vec<u8>, trace_id: TraceId) {
    let text = trace_id.text();
    put_length(out, text.len());
    out.extend_from_slice(&text);
}

/// Branch of `["null", T]`, as written: 0 and 1 in zigzag.
const NULL: u8 = 0;
const PRESENT: u8 = 2;

/// Reads one datum from its first byte to its last.
///
/// A fault is kept, and from there on nothing is left to read: every further field comes out empty
/// or zero until [`Reader::end`] returns the first fault. So the code for a record is a plain list
/// of its fields, and the hot path carries no error from call to call. Whoever reads a record must
/// therefore ask `end` before using any of it.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    fault: Option<DecodeFault>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(datum: &'a [u8]) -> Self {
        Self { rest: datum, fault: None }
    }

    /// Whether everything read so far is good.
    pub(crate) fn good(&self) -> Result<(), DecodeFault> {
        self.fault.map_or(Ok(()), Err)
    }

    /// Whether everything is good and the datum ends here.
    pub(crate) fn end(&self) -> Result<(), DecodeFault> {
        self.good()?;
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeFault::Trailing) }
    }

    #[cold]
    fn fail(&mut self, field: &'static str, kind: FieldFault) {
        self.rest = &[];
        self.fault.get_or_insert(DecodeFault::Field { field, kind });
    }

    // Always inlined, like `bytes`: as calls they took a quarter of the time of a record.
    #[inline(always)]
    pub(crate) fn long(&mut self, field: &'static str) -> i64 {
        match self.rest {
            [byte @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                unzigzag(u64::from(*byte))
            }
            _ => self.long_bytes(field),
        }
    }

    fn long_bytes(&mut self, field: &'static str) -> i64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some((byte, rest)) = self.rest.split_first() else {
                self.fail(field, FieldFault::Truncated);
                return 0;
            };
            self.rest = rest;
            // The tenth byte has room for one bit only.
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return unzigzag(value);
            }
        }
        self.fail(field, FieldFault::Range);
        0
    }

    #[inline]
    pub(crate) fn int(&mut self, field: &'static str) -> i32 {
        i32::try_from(self.long(field)).unwrap_or_else(|_| {
            self.fail(field, FieldFault::Range);
            0
        })
    }

    #[inline]
    pub(crate) fn timestamp(&mut self, field: &'static str) -> Timestamp {
        Timestamp(self.long(field))
    }

    #[inline(always)]
    fn bytes(&mut self, field: &'static str) -> &'a [u8] {
        let length = usize::try_from(self.long(field)).unwrap_or(usize::MAX);
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else {
            self.fail(field, FieldFault::Length);
            return &[];
        };
        self.rest = rest;
        bytes
    }

    #[inline]
    pub(crate) fn text(&mut self, field: &'static str) -> &'a str {
        std::str::from_utf8(self.bytes(field)).unwrap_or_else(|_| {
            self.fail(field, FieldFault::Utf8);
            ""
        })
    }

    /// Steps over a string; whether it is UTF-8 is not asked.
    #[inline]
    pub(crate) fn skip_text(&mut self, field: &'static str) {
        self.bytes(field);
    }

    #[inline]
    pub(crate) fn uuid(&mut self, field: &'static str) -> Uuid {
        self.parsed(field, parse_uuid).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn trace_id(&mut self, field: &'static str) -> TraceId {
        self.parsed(field, TraceId::parse).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn nik(&mut self, field: &'static str) -> Nik<'a> {
        self.parsed(field, |bytes| Nik::new(std::str::from_utf8(bytes).ok()?)).unwrap_or(Nik::UNREAD)
    }

    /// A string that holds something of a fixed form; `None` after a fault.
    #[inline]
    fn parsed<T>(&mut self, field: &'static str, parse: impl FnOnce(&'a [u8]) -> Option<T>) -> Option<T> {
        let parsed = parse(self.bytes(field));
        if parsed.is_none() {
            self.fail(field, FieldFault::Form);
        }
        parsed
    }

    /// A `["null", T]`.
    #[inline]
    pub(crate) fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> T,
    ) -> Option<T> {
        match self.long(field) {
            0 => None,
            1 => Some(read(self, field)),
            _ => {
                self.fail(field, FieldFault::Branch);
                None
            }
        }
    }

    #[inline]
    pub(crate) fn opt_text(&mut self, field: &'static str) -> Option<Cow<'a, str>> {
        self.optional(field, Self::text).map(Cow::Borrowed)
    }

    #[inline]
    pub(crate) fn opt_masked(&mut self, field: &'static str) -> Option<Masked<'a>> {
        self.optional(field, Self::text).map(Masked::new)
    }

    #[inline]
    pub(crate) fn opt_date(&mut self, field: &'static str) -> Option<Date> {
        self.optional(field, Self::int).map(Date)
    }

    pub(crate) fn boolean(&mut self, field: &'static str) -> bool {
        match self.rest {
            [byte @ 0..=1, rest @ ..] => {
                self.rest = rest;
                *byte == 1
            }
            [] => {
                self.fail(field, FieldFault::Truncated);
                false
            }
            _ => {
                self.fail(field, FieldFault::Range);
                false
            }
        }
    }

    /// An enum, whose symbols are `all` in the order of the schema.
    #[inline]
    pub(crate) fn symbol<T: Copy>(&mut self, field: &'static str, all: &'static [T]) -> T {
        let index = usize::try_from(self.long(field)).unwrap_or(usize::MAX);
        *all.get(index).unwrap_or_else(|| {
            self.fail(field, FieldFault::Symbol);
            &all[0]
        })
    }

    /// An array or map: calls `item` once for each item. `item_bytes_min` is the fewest bytes an
    /// item can take, so that a damaged count is refused before anything is reserved for it.
    #[inline]
    pub(crate) fn blocks<T>(
        &mut self,
        field: &'static str,
        item_bytes_min: usize,
        mut item: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        let mut items = Vec::new();
        loop {
            let mut count = self.long(field);
            if count == 0 {
                return items;
            }
            if count < 0 {
                // Other writers may give the block's size in bytes after a negative count. The
                // items are read all the same, so the size says nothing new.
                count = count.saturating_neg();
                self.long(field);
            }
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count > self.rest.len() / item_bytes_min {
                self.fail(field, FieldFault::Length);
                return items;
            }
            items.reserve(count);
            for _ in 0..count {
                items.push(item(self));
                if self.fault.is_some() {
                    return items;
                }
            }
        }
    }
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
