//! Rows in Postgres' binary COPY format, written by hand.
//!
//! Text COPY would need escaping of every value and a parser for every date and number at the
//! server; binary costs the server a length check a field. Values are written as the types of the
//! stage tables, so a column added there is added here.
//!
//! What this module does not do is judge values. A time or a day that Postgres cannot hold is
//! written as one that it refuses (never as one of its infinities), a NUL is left in its text: the
//! row is then refused by the server and set aside like every other bad row.
//!
//! Source: PostgreSQL 15, COPY, "Binary Format"; `src/backend/utils/adt/*` for `*_recv`.

use schemas::Date;
use schemas::Timestamp;
use uuid::Uuid;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Microseconds from 1970-01-01, our epoch, to 2000-01-01, that of Postgres.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days between the same two.
const EPOCH_DAYS: i32 = 10_957;
/// Object id of the type `text`, the elements of our arrays.
const TEXT_OID: i32 = 25;
/// Bytes after which a buffer is worth a message of its own.
const CHUNK_BYTES: usize = 256 * 1024;

/// A growing piece of a COPY stream.
///
/// Begin with [`CopyBuffer::start`], write tuples field by field, send and clear it whenever it is
/// [`full`](CopyBuffer::is_full), and end with [`CopyBuffer::end`].
#[derive(Debug, Default)]
pub(crate) struct CopyBuffer {
    bytes: Vec<u8>,
}

impl CopyBuffer {
    /// An empty buffer with room for one message.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4) }
    }

    /// Drops what is held and writes the header of a stream.
    pub(crate) fn start(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(SIGNATURE);
        // No flags, no header extension.
        self.bytes.extend_from_slice(&[0; 8]);
    }

    /// Writes the end of a stream.
    pub(crate) fn end(&mut self) {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    }

    /// What is held.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True once the buffer is worth sending.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
    }

    /// Forgets what was sent; the memory stays.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Begins a row of `fields` fields.
    pub(crate) fn tuple(&mut self, fields: i16) {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
    }

    /// SQL null.
    pub(crate) fn null(&mut self) {
        self.length(-1);
    }

    /// `integer`.
    pub(crate) fn integer(&mut self, value: i32) {
        self.fixed(value.to_be_bytes());
    }

    /// `bigint`.
    pub(crate) fn bigint(&mut self, value: i64) {
        self.fixed(value.to_be_bytes());
    }

    /// `uuid`.
    pub(crate) fn uuid(&mut self, value: Uuid) {
        self.fixed(value.into_bytes());
    }

    /// `tid`.
    pub(crate) fn place(&mut self, value: [u8; 6]) {
        self.fixed(value);
    }

    /// `text`, and `char(n)`, which travels alike.
    pub(crate) fn text(&mut self, value: &str) {
        self.sized(value.as_bytes());
    }

    /// `text`: bytes as lower-case hexadecimal digits.
    pub(crate) fn hex(&mut self, value: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.patched(|bytes| {
            bytes.extend(
                value.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]]),
            );
        });
    }

    /// `text` or null.
    pub(crate) fn opt_text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    /// `timestamp with time zone`.
    pub(crate) fn timestamp(&mut self, value: Timestamp) {
        // The two ends of the range mean minus and plus infinity to Postgres; what they are moved to is
        // no time of ours either, and the table refuses it.
        let micros = value.0.saturating_sub(EPOCH_MICROS).clamp(i64::MIN + 1, i64::MAX - 1);
        self.fixed(micros.to_be_bytes());
    }

    /// `date` or null.
    pub(crate) fn opt_date(&mut self, value: Option<Date>) {
        match value {
            // The same as with times.
            Some(value) => {
                let days = value.0.saturating_sub(EPOCH_DAYS).clamp(i32::MIN + 1, i32::MAX - 1);
                self.fixed(days.to_be_bytes());
            }
            None => self.null(),
        }
    }

    /// `jsonb`: `write` appends the JSON text.
    pub(crate) fn jsonb(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.patched(|bytes| {
            // Version of the wire form.
            bytes.push(1);
            write(bytes);
        });
    }

    /// `text[]` without nulls.
    pub(crate) fn text_array<'t>(&mut self, values: impl ExactSizeIterator<Item = &'t str>) {
        self.patched(|bytes| {
            // An empty array has no dimension at all.
            let dimensions: i32 = if values.len() == 0 { 0 } else { 1 };
            bytes.extend_from_slice(&dimensions.to_be_bytes());
            bytes.extend_from_slice(&0_i32.to_be_bytes());
            bytes.extend_from_slice(&TEXT_OID.to_be_bytes());
            if dimensions == 1 {
                bytes.extend_from_slice(&wire_length(values.len()).to_be_bytes());
                bytes.extend_from_slice(&1_i32.to_be_bytes());
                for value in values {
                    bytes.extend_from_slice(&wire_length(value.len()).to_be_bytes());
                    bytes.extend_from_slice(value.as_bytes());
                }
            }
        });
    }

    fn length(&mut self, length: i32) {
        self.bytes.extend_from_slice(&length.to_be_bytes());
    }

    fn fixed<const N: usize>(&mut self, value: [u8; N]) {
        self.sized(&value);
    }

    fn sized(&mut self, value: &[u8]) {
        self.length(wire_length(value.len()));
        self.bytes.extend_from_slice(value);
    }

    /// A field whose length is known once it is written.
    fn patched(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.length(0);
        write(&mut self.bytes);
        let length = wire_length(self.bytes.len() - start - 4);
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// A `timestamp with time zone` as the server sends it; none where it is no such value.
pub(crate) fn time(sent: &[u8]) -> Option<Timestamp> {
    let micros = i64::from_be_bytes(sent.try_into().ok()?);
    Some(Timestamp(micros.saturating_add(EPOCH_MICROS)))
}

fn wire_length(length: usize) -> i32 {
    i32::try_from(length).expect("a field comes out of a Kafka record of at most 2 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(write: impl FnOnce(&mut CopyBuffer)) -> Vec<u8> {
        let mut buffer = CopyBuffer::new();
        write(&mut buffer);
        buffer.bytes
    }

    #[test]
    fn a_stream_is_a_header_tuples_and_an_end() {
        let mut buffer = CopyBuffer::new();
        buffer.text("left over from the stream before");
        buffer.start();
        buffer.tuple(2);
        buffer.integer(-2);
        buffer.null();
        buffer.end();
        assert_eq!(
            buffer.bytes(),
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x04\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff"
        );
    }

    #[test]
    fn times_and_days_count_from_2000() {
        assert_eq!(field(|buffer| buffer.timestamp(Timestamp(EPOCH_MICROS + 1)))[4..], 1_i64.to_be_bytes());
        assert_eq!(field(|buffer| buffer.opt_date(Some(Date(EPOCH_DAYS - 1))))[4..], (-1_i32).to_be_bytes());
    }

    #[test]
    fn no_value_becomes_an_infinity() {
        for micros in [i64::MIN, i64::MIN + EPOCH_MICROS, i64::MAX] {
            let written = field(|buffer| buffer.timestamp(Timestamp(micros)));
            assert!(written[4..] != i64::MIN.to_be_bytes() && written[4..] != i64::MAX.to_be_bytes(), "{micros}");
        }
        for days in [i32::MIN, i32::MIN + EPOCH_DAYS, i32::MAX] {
            let written = field(|buffer| buffer.opt_date(Some(Date(days))));
            assert!(written[4..] != i32::MIN.to_be_bytes() && written[4..] != i32::MAX.to_be_bytes(), "{days}");
        }
    }

    #[test]
    fn fields_of_unknown_length_are_measured() {
        assert_eq!(field(|buffer| buffer.jsonb(|bytes| bytes.extend_from_slice(b"[]"))), b"\0\0\0\x03\x01[]");
        assert_eq!(
            field(|buffer| buffer.text_array(["ab", ""].into_iter())),
            b"\0\0\0\x1e\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\x02\0\0\0\x01\0\0\0\x02ab\0\0\0\0"
        );
        assert_eq!(field(|buffer| buffer.text_array([].into_iter())), b"\0\0\0\x0c\0\0\0\0\0\0\0\0\0\0\0\x19");
    }
}
