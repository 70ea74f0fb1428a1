//! JSON text: finding its end, checking and resolving its escapes.

use super::JsonFault;

/// What a pass over a text's bytes found.
pub(super) struct Span {
    /// Where the closing quote is.
    pub(super) end: usize,
    /// Whether there is anything to resolve.
    pub(super) escaped: bool,
    /// A fault of the record that does not hide where the text ends.
    pub(super) noted: Option<JsonFault>,
}

/// Index of the closing quote of a text without anything special in it, which nearly every text
/// is, or of the first special byte. `from` is the byte after the opening quote.
#[inline]
pub(super) fn plain_end(bytes: &[u8], from: usize) -> usize {
    block::find::<true>(bytes, from)
}

/// Finds the closing quote of a text from `at` on, where [`plain_end`] has stopped, and checks
/// everything before it. `None` if it is not JSON.
#[cold]
pub(super) fn span(bytes: &[u8], mut at: usize) -> Option<Span> {
    let mut escaped = false;
    let mut noted: Option<JsonFault> = None;
    let mut note = |fault| noted = Some(noted.map_or(fault, |known| known.min(fault)));
    loop {
        match bytes.get(at)? {
            b'"' => {
                return Some(Span { end: at, escaped, noted });
            }
            b'\\' => {
                escaped = true;
                let escape = escape(bytes, at)?;
                match escape.unit {
                    Some(Unit::Char('\0')) => note(JsonFault::Nul),
                    Some(Unit::Half) => note(JsonFault::Surrogate),
                    Some(Unit::Char(_)) | None => {}
                }
                at += escape.length;
            }
            // Postgres and half of the world's tools stop at it, so it is a fault of its own.
            0 => {
                note(JsonFault::Nul);
                at += 1;
            }
            _ => return None,
        }
        at = plain_end(bytes, at);
    }
}

/// Text with its escapes resolved. `text` has passed [`span`]; half surrogate pairs, whose record
/// is refused anyway, become U+FFFD.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        let Some(escape) = escape(escaped.as_bytes(), 0) else {
            break;
        };
        match escape.unit {
            Some(Unit::Char(char)) => out.push(char),
            Some(Unit::Half) => out.push(char::REPLACEMENT_CHARACTER),
            None => out.push(char::from(short(escaped.as_bytes()[1]).unwrap_or(b'?'))),
        }
        rest = escaped.get(escape.length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

struct Escape {
    /// Bytes from the backslash on.
    length: usize,
    /// What a `\u` escape stands for; `None` for the short ones.
    unit: Option<Unit>,
}

enum Unit {
    Char(char),
    /// Half of a surrogate pair, without the other half.
    Half,
}

/// The escape whose backslash is at `at`.
fn escape(bytes: &[u8], at: usize) -> Option<Escape> {
    let kind = *bytes.get(at + 1)?;
    if kind != b'u' {
        return short(kind).map(|_| Escape { length: 2, unit: None });
    }
    let first = hex4(bytes, at + 2)?;
    if let Some(char) = char::from_u32(first) {
        return Some(Escape { length: 6, unit: Some(Unit::Char(char)) });
    }
    let half = Escape { length: 6, unit: Some(Unit::Half) };
    let followed = bytes.get(at + 6..at + 8) == Some(b"\\u".as_slice());
    if first >= 0xdc00 || !followed {
        return Some(half);
    }
    // A broken escape after the half is found when its own turn comes.
    match hex4(bytes, at + 8) {
        Some(second @ 0xdc00..=0xdfff) => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Some(Escape { length: 12, unit: char::from_u32(code).map(Unit::Char) })
        }
        _ => Some(half),
    }
}

fn short(kind: u8) -> Option<u8> {
    match kind {
        b'"' | b'\\' | b'/' => Some(kind),
        b'b' => Some(0x08),
        b'f' => Some(0x0c),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
}

/// Index of the next quote or backslash from `at` on, or the length: enough to find where a text
/// ends when its insides are not judged.
#[inline]
pub(super) fn quote_or_backslash(bytes: &[u8], at: usize) -> usize {
    block::find::<false>(bytes, at)
}

/// Finding a byte by blocks instead of one by one: texts are most of a record.
mod block {
    /// Most texts of a record end within one block.
    const BYTES: usize = 16;
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    /// Index of the next quote or backslash, or also control character, or the length.
    #[inline]
    pub(super) fn find<const CONTROLS: bool>(bytes: &[u8], mut at: usize) -> usize {
        while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            if let Some(place) = first::<CONTROLS>(block) {
                return at + place;
            }
            at += BYTES;
        }
        while let Some(byte) = bytes.get(at) {
            if matches!(byte, b'"' | b'\\') || (CONTROLS && *byte < 0x20) {
                break;
            }
            at += 1;
        }
        at
    }

    #[inline]
    fn first<const CONTROLS: bool>(block: &[u8; BYTES]) -> Option<usize> {
        let ([low, high], _) = block.as_chunks::<8>() else {
            return None;
        };
        let low = marks::<CONTROLS>(u64::from_le_bytes(*low));
        let high = marks::<CONTROLS>(u64::from_le_bytes(*high));
        let (marks, from) = if low != 0 { (low, 0) } else { (high, 8) };
        let place = (marks.trailing_zeros() / 8).to_le_bytes()[0];
        (marks != 0).then_some(from + usize::from(place))
    }

    /// The high bit of every byte that is looked for. It may also be set in bytes above one, so
    /// only the lowest is meant.
    /// Source: S. E. Anderson, "Bit Twiddling Hacks", hasless and haszero.
    #[inline]
    fn marks<const CONTROLS: bool>(word: u64) -> u64 {
        let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let quotes = if CONTROLS {
            // With this bit turned, the quote (0x22) is 0x20 and stands right above the controls,
            // which stay among themselves: one comparison finds all.
            below(word ^ (ONES * 0x02), 0x21)
        } else {
            is(b'"')
        };
        (quotes | is(b'\\')) & HIGHS
    }

    #[cfg(test)]
    mod tests {
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn blocks_find_what_bytes_find(
                bytes in prop::collection::vec(prop_oneof![
                    6 => any::<u8>(),
                    20 => 0x20..0x7f_u8,
                    1 => prop::sample::select(b"\"\\!# []\0\x1f\x20\x22\x9f\xa2\xdc".to_vec()),
                ], 0..70),
                from in 0..70_usize,
            ) {
                let find = |special: &dyn Fn(u8) -> bool| {
                    let rest = bytes.iter().enumerate().skip(from);
                    let found = rest.into_iter().find(|(_, byte)| special(**byte));
                    found.map_or(bytes.len().max(from), |(place, _)| place)
                };
                let text = |byte: u8| matches!(byte, b'"' | b'\\');
                prop_assert_eq!(super::find::<false>(&bytes, from), find(&text));
                prop_assert_eq!(
                    super::find::<true>(&bytes, from),
                    find(&|byte| text(byte) || byte < 0x20)
                );
            }
        }
    }
}
