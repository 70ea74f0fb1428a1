//! One open object or array, and the keys that an object has had.

use std::borrow::Cow;
use std::collections::HashSet;

use super::text;

/// An open object or array.
pub(super) struct Level<'a> {
    /// Whether it is an object.
    pub(super) object: bool,
    /// Nothing of it has been read yet, so no comma is due.
    pub(super) first: bool,
    /// Where its keys begin among those of all open objects.
    pub(super) keys_from: usize,
    /// A bit for every key seen: most keys are told to be new without comparing any.
    filter: [u64; 4],
    /// Whether a key of it had escapes.
    escaped: bool,
    /// All its keys, once they are too many to compare one by one.
    many: Option<HashSet<Cow<'a, str>>>,
}

/// Keys of one object that are compared one by one.
const FEW_KEYS_MAX: usize = 64;

impl<'a> Level<'a> {
    pub(super) fn new(object: bool, keys_from: usize) -> Self {
        Self { object, first: true, keys_from, filter: [0; 4], escaped: false, many: None }
    }

    /// Whether the object has had a key before.
    ///
    /// `known` are the keys it has had, as they stand in the record; `raw` is the new one as it
    /// stands there, `key` the same with its escapes resolved, `escaped` whether it has any.
    #[inline]
    pub(super) fn repeats(&mut self, known: &[&'a str], raw: &'a str, key: &str, escaped: bool) -> bool {
        self.escaped |= escaped;
        let [.., low, high] = fingerprint(key.as_bytes()).to_le_bytes();
        let bit = 1 << (low & 63);
        let word = &mut self.filter[usize::from(high & 3)];
        let maybe = *word & bit != 0;
        *word |= bit;
        (maybe || known.len() >= FEW_KEYS_MAX) && self.has(known, raw)
    }

    #[cold]
    fn has(&mut self, known: &[&'a str], raw: &'a str) -> bool {
        if known.len() >= FEW_KEYS_MAX {
            let all = || known.iter().copied().map(resolved).collect();
            !self.many.get_or_insert_with(all).insert(resolved(raw))
        } else if self.escaped {
            let key = resolved(raw);
            known.iter().any(|other| resolved(other) == key)
        } else {
            known.contains(&raw)
        }
    }
}

/// A key with its escapes resolved: a raw text has a backslash exactly where it has an escape.
fn resolved(raw: &str) -> Cow<'_, str> {
    if raw.contains('\\') { Cow::Owned(text::unescape(raw)) } else { Cow::Borrowed(raw) }
}

/// Mixes a name's length, its first and its last eight bytes (four of a shorter name): names of
/// fields differ there. Its best bits are the highest. Equal for equal names; a guess otherwise, so
/// names that agree must still be compared.
#[inline]
pub(crate) fn fingerprint(name: &[u8]) -> u64 {
    let mixed = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(23),
        _ => short(name),
    };
    let length = u64::try_from(name.len()).unwrap_or(u64::MAX);
    (mixed ^ length.rotate_left(56)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// All bytes of a name of fewer than eight: a loop over them costs more than the rest of a look-up.
#[inline]
fn short(name: &[u8]) -> u64 {
    match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32,
        _ => match name {
            [] => 0,
            // One to three bytes: the first, the middle and the last are all of them.
            [first, .., last] => {
                let middle = name.get(name.len() / 2).copied().unwrap_or_default();
                u64::from(*first) | u64::from(middle) << 8 | u64::from(*last) << 16
            }
            [only] => u64::from(*only),
        },
    }
}
