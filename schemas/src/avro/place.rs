//! The same encoding into bytes that are already there, for records that are mostly short texts.
//!
//! Each function writes at `at` and returns where the next value goes. That place stays in a register from value to value;
//! in a `Vec` it goes through memory each time, and waiting for it was half the cost of a record. Where there is no room,
//! nothing is written and [`FULL`] is returned, which has no room for anything after it either: the caller asks once, at
//! the end.

use super::{LONG_BYTES_MAX, NULL, PRESENT, zigzag};

/// Beyond every place.
pub(crate) const FULL: usize = usize::MAX;

/// A `string`.
#[inline]
pub(crate) fn text(out: &mut [u8], at: usize, text: &str) -> usize {
    let at = length(out, at, text.len());
    bytes(out, at, text.as_bytes())
}

/// A `["null", "string"]`.
#[inline]
pub(crate) fn opt_text(out: &mut [u8], at: usize, text: Option<&str>) -> usize {
    match text {
        None => byte(out, at, NULL),
        Some(value) => some_text(out, at, value),
    }
}

fn some_text(out: &mut [u8], at: usize, value: &str) -> usize {
    // Most texts are short: then branch and length are a byte each.
    match u8::try_from(value.len()) {
        Ok(length @ 0..0x40) => {
            let at = pair(out, at, [PRESENT, length << 1]);
            bytes(out, at, value.as_bytes())
        }
        _ => {
            let at = byte(out, at, PRESENT);
            text(out, at, value)
        }
    }
}

/// A `["null", long]` or `["null", int]`.
#[inline]
pub(crate) fn opt_long(out: &mut [u8], at: usize, value: Option<i64>) -> usize {
    match value {
        None => byte(out, at, NULL),
        Some(value) => {
            let at = byte(out, at, PRESENT);
            long(out, at, value)
        }
    }
}

/// An `enum`, by the place of its symbol.
#[inline]
pub(crate) fn symbol(out: &mut [u8], at: usize, index: u8) -> usize {
    long(out, at, index.into())
}

/// An array; an empty one is the closing zero alone.
#[inline]
pub(crate) fn array<T>(
    out: &mut [u8],
    mut at: usize,
    items: &[T],
    put: impl Fn(&mut [u8], usize, &T) -> usize,
) -> usize {
    if !items.is_empty() {
        at = length(out, at, items.len());
        for item in items {
            at = put(out, at, item);
        }
    }
    byte(out, at, 0)
}

#[inline]
fn length(out: &mut [u8], at: usize, length: usize) -> usize {
    match u8::try_from(length) {
        Ok(short @ 0..0x40) => byte(out, at, short << 1),
        _ => long(out, at, i64::try_from(length).unwrap_or(i64::MAX)),
    }
}

fn long(out: &mut [u8], at: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    let Some(place) = out.get_mut(at..).and_then(|room| room.first_chunk_mut::<LONG_BYTES_MAX>()) else {
        return FULL;
    };
    let mut length = 0;
    for byte in place {
        length += 1;
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        *byte = if rest == 0 { low } else { low | 0x80 };
        if rest == 0 {
            break;
        }
    }
    at + length
}

#[inline]
fn byte(out: &mut [u8], at: usize, byte: u8) -> usize {
    match out.get_mut(at) {
        Some(place) => {
            *place = byte;
            at + 1
        }
        None => FULL,
    }
}

#[inline]
fn pair(out: &mut [u8], at: usize, bytes: [u8; 2]) -> usize {
    match out.get_mut(at..).and_then(|room| room.first_chunk_mut()) {
        Some(place) => {
            *place = bytes;
            at + 2
        }
        None => FULL,
    }
}

/// Bytes, few as they are in most texts: two copies of a fixed size that meet or overlap, in place, cost less than the call
/// of a general one.
#[inline]
fn bytes(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at.saturating_add(bytes.len());
    let Some(place) = out.get_mut(at..end) else { return FULL };
    match bytes.len() {
        4..8 => both_ends::<4>(place, bytes),
        8..=16 => both_ends::<8>(place, bytes),
        17..=32 => both_ends::<16>(place, bytes),
        _ => place.copy_from_slice(bytes),
    }
    end
}

/// Copies `N` to `2 * N` bytes.
#[inline]
fn both_ends<const N: usize>(place: &mut [u8], bytes: &[u8]) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) {
        if let Some(place) = place.first_chunk_mut() {
            *place = *first;
        }
        if let Some(place) = place.last_chunk_mut() {
            *place = *last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{put_length, put_opt_long, put_opt_text, put_symbol, put_text};
    use super::*;
    use proptest::prelude::*;

    /// Both ways of writing the same values; the second ends with the bytes that it did not write.
    fn both(texts: &[Option<String>], longs: &[Option<i64>], room: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut expected = Vec::new();
        let mut out = vec![0xee; room];
        let mut at = 0;
        put_length(&mut expected, texts.len());
        at = length(&mut out, at, texts.len());
        for value in texts {
            put_opt_text(&mut expected, value.as_deref());
            at = opt_text(&mut out, at, value.as_deref());
            let value = value.as_deref().unwrap_or("x");
            put_text(&mut expected, value);
            at = text(&mut out, at, value);
        }
        for value in longs {
            put_opt_long(&mut expected, *value);
            at = opt_long(&mut out, at, *value);
        }
        put_symbol(&mut expected, 3);
        at = symbol(&mut out, at, 3);
        let written = (at != FULL).then(|| out[..at].to_vec());
        if at != FULL {
            assert!(out[at..].iter().skip(LONG_BYTES_MAX).all(|byte| *byte == 0xee), "nothing behind the end");
        }
        (expected, written)
    }

    #[test]
    fn texts_of_every_length_are_whole() {
        for length in 0..300 {
            let value: String = ('!'..='~').cycle().take(length).collect();
            let (expected, written) = both(&[Some(value)], &[], 2_000);
            assert_eq!(written, Some(expected), "{length}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_same_encoding(
            texts in prop::collection::vec(prop::option::of("\\PC{0,50}"), 0..70),
            longs in prop::collection::vec(prop::option::of(prop_oneof![any::<i64>(), -200_000..200_000_i64]), 0..20),
            missing in 1..60_usize,
        ) {
            let (expected, written) = both(&texts, &longs, 100_000);
            prop_assert_eq!(written.as_ref(), Some(&expected));
            // A number asks for the room of the longest one.
            prop_assert_eq!(both(&texts, &longs, expected.len() + LONG_BYTES_MAX).1, Some(expected.clone()));
            prop_assert_eq!(both(&texts, &longs, expected.len().saturating_sub(missing)).1, None);
        }
    }
}
