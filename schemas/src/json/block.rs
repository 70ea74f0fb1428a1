//! Finding a byte sixteen at a time instead of one by one: texts are most of a record.
//!
//! The vectors are those of `wide`: SSE2 or NEON, which every processor of the platform has, and plain loops elsewhere.

use wide::u8x16;

/// Most texts of a record end within one block.
const BYTES: usize = 16;

/// Index of the next quote or backslash from `at` on, or the length: enough to find where a text
/// ends when its insides are not judged.
#[inline]
pub(super) fn quote_or_backslash(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, |block| (is(block, b'"') | is(block, b'\\')).to_bitmask())
}

/// Index of the closing quote of a text without anything special in it, which nearly every text
/// is, or of the first special byte: backslash, control character. `from` is the byte after the opening quote. The length
/// where the text does not end.
#[inline]
pub(super) fn text_end(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, |block| (is(block, b'"') | is(block, b'\\') | is_outside(block, 0x20, 0xff)).to_bitmask())
}

/// Index of the closing quote of a text that is plain: printable ASCII, not empty, without escapes, without a blank at an
/// end and without two blanks in a row. `None` for any other text. `from` is the byte after the opening quote.
#[inline]
pub(super) fn plain_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    // Whether a blank is the byte before the block. Where the text begins one is supposed, so that another is the second.
    let mut blank_before = 1;
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let block = u8x16::new(*block);
        let stops = (is(block, b'"') | is(block, b'\\') | is_outside(block, b' ', b'~')).to_bitmask();
        let blanks = is(block, b' ').to_bitmask();
        let after_blanks = blanks << 1 | blank_before;
        if stops != 0 {
            let end = at + index(stops);
            let up_to_the_end = stops ^ (stops - 1);
            let is_tidy = after_blanks & (blanks | stops) & up_to_the_end == 0;
            return (is_tidy && bytes.get(end) == Some(&b'"')).then_some(end);
        }
        if after_blanks & blanks != 0 {
            return None;
        }
        blank_before = blanks >> (BYTES - 1);
        at += BYTES;
    }
    last_plain_end(bytes, from)
}

/// As `plain_end`, for a text that ends in the last few bytes, or not at all: apart, because a block that is filled up
/// here would go through memory everywhere.
#[cold]
fn last_plain_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut last = b' ';
    for (end, byte) in bytes.iter().enumerate().skip(from) {
        match (last, byte) {
            (b' ', b' ' | b'"') | (_, b'\\') => return None,
            (_, b'"') => return Some(end),
            (_, b' '..=b'~') => last = *byte,
            _ => return None,
        }
    }
    None
}

/// A few bytes that are looked for at one place: most keys of a record can be foretold, and then need not be read.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    bytes: [u8; Self::BYTES_MAX],
    /// A bit for each byte that counts.
    counted: u32,
    length: usize,
}

impl Mark {
    /// Longest one.
    const BYTES_MAX: usize = 2 * BYTES;

    /// `None` for more bytes than it can hold.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut mark = Self { bytes: [0; Self::BYTES_MAX], counted: 0, length: bytes.len() };
        mark.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        mark.counted = u32::MAX.checked_shr(u32::try_from(Self::BYTES_MAX - bytes.len()).ok()?).unwrap_or_default();
        Some(mark)
    }

    /// Bytes of it.
    #[inline]
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Whether these are the bytes at `at`, the first `ignored` of them left out. `false` where fewer than
    /// the longest mark has are left, though they may be the ones.
    #[inline]
    pub(super) fn is_at(&self, bytes: &[u8], at: usize, ignored: u32) -> bool {
        let Some(found) = bytes.get(at..).and_then(|rest| rest.first_chunk::<{ Self::BYTES_MAX }>()) else {
            return false;
        };
        let ([low, high], [our_low, our_high]) = (halves(found), halves(&self.bytes));
        let same = low.simd_eq(our_low).to_bitmask() | high.simd_eq(our_high).to_bitmask() << BYTES;
        let counted = self.counted & (u32::MAX << ignored);
        same & counted == counted
    }
}

#[inline]
fn halves(bytes: &[u8; Mark::BYTES_MAX]) -> [u8x16; 2] {
    let (low, high) = bytes.split_at(BYTES);
    [low, high].map(|half| half.first_chunk().map_or(u8x16::ZERO, |half| u8x16::new(*half)))
}

/// Index of the first byte from `at` on that `marks` gives a bit, or the length.
#[inline]
fn find(bytes: &[u8], mut at: usize, marks: impl Fn(u8x16) -> u32) -> usize {
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let marks = marks(u8x16::new(*block));
        if marks != 0 {
            return at + index(marks);
        }
        at += BYTES;
    }
    // What fills up the last block may be found too.
    let rest = bytes.get(at..).unwrap_or_default();
    let mut block = [0; BYTES];
    if let Some(place) = block.get_mut(..rest.len()) {
        place.copy_from_slice(rest);
    }
    let marks = marks(u8x16::new(block));
    let found = if marks == 0 { BYTES } else { index(marks) };
    at.saturating_add(found).min(bytes.len())
}

#[inline]
fn is(block: u8x16, byte: u8) -> u8x16 {
    block.simd_eq(u8x16::splat(byte))
}

/// Bytes that are not `first` to `last`.
#[inline]
fn is_outside(block: u8x16, first: u8, last: u8) -> u8x16 {
    // One comparison for both ends: what is below the first wraps around to above the last.
    let from_first = block - u8x16::splat(first);
    from_first.max(u8x16::splat(last - first + 1)).simd_eq(from_first)
}

/// Place of the lowest bit of a mask that has one.
#[inline]
fn index(marks: u32) -> usize {
    usize::from(marks.trailing_zeros().to_le_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find_by_the_byte(bytes: &[u8], from: usize, special: impl Fn(u8) -> bool) -> usize {
        let found = bytes.iter().enumerate().skip(from).find(|(_, byte)| special(**byte));
        found.map_or(bytes.len(), |(place, _)| place)
    }

    /// The same in words of its own.
    fn plain_end_by_the_byte(bytes: &[u8], from: usize) -> Option<usize> {
        let end = find_by_the_byte(bytes, from, |byte| byte == b'"');
        let text = bytes.get(from..end).filter(|_| end < bytes.len())?;
        let is_printable = text.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\\');
        let is_tidy = !text.is_empty() && !text.starts_with(b" ") && !text.ends_with(b" ");
        (is_printable && is_tidy && !text.windows(2).any(|pair| pair == b"  ")).then_some(end)
    }

    #[test]
    fn every_byte_at_every_place_is_seen() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'a'; length];
                    text.extend(b"\",");
                    text[at] = byte;
                    for next in [b'a', b' ', b'"'] {
                        if at + 1 < length {
                            text[at + 1] = next;
                        }
                        let expected = plain_end_by_the_byte(&text, 0);
                        assert_eq!(plain_end(&text, 0), expected, "{byte} and {next} at {at} of {length}");
                        let expected = find_by_the_byte(&text, 0, |byte| matches!(byte, b'"' | b'\\' | ..0x20));
                        assert_eq!(text_end(&text, 0), expected, "{byte} and {next} at {at} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_mark_is_found_where_all_its_bytes_are_and_nowhere_else() {
        let bytes: Vec<u8> = (0..100).collect();
        for length in 1..=Mark::BYTES_MAX {
            let mark = Mark::new(&bytes[5..5 + length]).expect("it fits");
            assert_eq!(mark.length(), length);
            assert!(mark.is_at(&bytes, 5, 0) && !mark.is_at(&bytes, 4, 0) && !mark.is_at(&bytes, 6, 0));
            assert!(!mark.is_at(&bytes[..5 + Mark::BYTES_MAX - 1], 5, 0), "too few bytes to look at");
            for at in 0..length {
                let mut other = bytes.clone();
                other[5 + at] ^= 0x20;
                assert!(!mark.is_at(&other, 5, 0), "{at} of {length}");
                assert_eq!(mark.is_at(&other, 5, 1), at == 0, "{at} of {length} without the first");
            }
        }
        assert!(Mark::new(&bytes[..=Mark::BYTES_MAX]).is_none());
    }

    proptest! {
        #[test]
        fn blocks_find_what_bytes_find(
            bytes in prop::collection::vec(prop_oneof![
                6 => any::<u8>(),
                20 => 0x20..0x7f_u8,
                8 => Just(b'a'),
                3 => Just(b' '),
                1 => prop::sample::select(b"\"\\!# []\0\x1f\x20\x22\x9f\xa2\xdc".to_vec()),
            ], 0..70),
            from in 0..70_usize,
        ) {
            let text = |byte: u8| matches!(byte, b'"' | b'\\');
            prop_assert_eq!(quote_or_backslash(&bytes, from), find_by_the_byte(&bytes, from, text));
            prop_assert_eq!(text_end(&bytes, from), find_by_the_byte(&bytes, from, |byte| text(byte) || byte < 0x20));
            prop_assert_eq!(plain_end(&bytes, from), plain_end_by_the_byte(&bytes, from));
        }

        #[test]
        fn texts_of_many_blocks_are_plain_where_their_bytes_are(
            words in prop::collection::vec(prop_oneof![20 => "[a-z.,'-]{1,18}", 1 => Just(String::new()), 1 => Just("é".to_owned())], 0..9),
        ) {
            let text = format!("{}\"", words.join(" "));
            prop_assert_eq!(plain_end(text.as_bytes(), 0), plain_end_by_the_byte(text.as_bytes(), 0));
        }
    }
}
