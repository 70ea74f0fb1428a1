//! JSON text: finding its end, checking and resolving its escapes.

use super::{JsonFault, block};

/// What a pass over a text's bytes found.
pub(super) struct Span {
    /// Where the closing quote is.
    pub(super) end: usize,
    /// Whether there is anything to resolve.
    pub(super) escaped: bool,
    /// A fault of the record that does not hide where the text ends.
    pub(super) noted: Option<JsonFault>,
}

/// Finds the closing quote of a text from `at` on, where [`block::text_end`] has stopped, and checks
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
        at = block::text_end(bytes, at);
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
