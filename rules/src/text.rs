//! Text of a record: what is refused in it, and its clean form.
//!
//! Almost every text is plain (printable ASCII without doubled or outer blanks); one pass over its bytes says so, and
//! then it is its own clean form, borrowed from the payload.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Longest text, in bytes as received.
pub(crate) const TEXT_BYTES_MAX: usize = 4_096;

/// What is wrong with a text whatever field it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextFaults {
    pub(crate) control_character: bool,
    pub(crate) too_long: bool,
}

/// A text as received, already found free of [`TextFaults`].
pub(crate) enum Received<'a> {
    /// A part of the payload that is plain, as nearly every text is.
    Plain(&'a str),
    /// Any other.
    Other { text: Cow<'a, str>, is_plain: bool },
}

impl<'a> Received<'a> {
    pub(crate) fn new(text: Cow<'a, str>) -> Result<Self, TextFaults> {
        if text.len() <= TEXT_BYTES_MAX && is_plain(text.as_bytes()) {
            return Ok(match text {
                Cow::Borrowed(text) => Self::Plain(text),
                text => Self::Other { text, is_plain: true },
            });
        }
        let faults =
            TextFaults { control_character: text.chars().any(is_control), too_long: text.len() > TEXT_BYTES_MAX };
        if faults == TextFaults::default() { Ok(Self::Other { text, is_plain: false }) } else { Err(faults) }
    }

    /// Every character as received.
    #[inline]
    pub(crate) fn into_received(self) -> Cow<'a, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Other { text, .. } => text,
        }
    }

    /// As received, blanks trimmed at both ends.
    #[inline]
    pub(crate) fn trimmed(&self) -> Cow<'a, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Other { text, is_plain: true } => text.clone(),
            Self::Other { text: Cow::Borrowed(text), .. } => Cow::Borrowed(text.trim()),
            Self::Other { text: Cow::Owned(text), .. } => Cow::Owned(text.trim().to_owned()),
        }
    }

    /// The clean text; `None` for a blank in disguise.
    #[inline(always)]
    pub(crate) fn clean(&self) -> Option<Cow<'a, str>> {
        let text = match self {
            Self::Plain(text) => Cow::Borrowed(*text),
            Self::Other { text, is_plain: true } => text.clone(),
            Self::Other { text, .. } => tidy(text),
        };
        (!is_blank(&text)).then_some(text)
    }

    /// The clean text, where what was received is not needed any more.
    #[inline]
    pub(crate) fn into_clean(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Other { text, is_plain: true } => (!is_blank(&text)).then_some(text),
            received => received.clean(),
        }
    }
}

/// Every byte of a word is `byte`.
const fn bytes(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Printable ASCII only, no blank at an end, no two blanks in a row.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    if text.first() == Some(&b' ') || text.last() == Some(&b' ') {
        return false;
    }
    let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) else {
        if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            // The two overlap: of the last four only what comes after the first, then filler.
            let spare = 8 * (8 - text.len());
            let low = u64::from(u32::from_le_bytes(*first));
            let high = (u64::from(u32::from_le_bytes(*last)) >> spare) << 32;
            return is_plain_word((low | high | (bytes(b'!') << (64 - spare))).to_le_bytes());
        }
        let is_printable = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        return is_printable && !text.array_windows().any(|pair| pair == b"  ");
    };
    // Eight bytes at a time; each step repeats the last byte of the one before, so that no pair is missed.
    let mut rest = text;
    let mut is_plain = is_plain_word(*first) & is_plain_word(*last);
    while let Some((_, after)) = rest.split_first_chunk::<7>() {
        let Some(word) = after.first_chunk::<8>() else { break };
        is_plain &= is_plain_word(*word);
        rest = after;
    }
    is_plain
}

/// Printable ASCII only, no two blanks in a row.
#[inline]
fn is_plain_word(word: [u8; 8]) -> bool {
    let word = u64::from_le_bytes(word);
    // Below, the high bit of a byte of `word` is clear, so sums do not run into the next byte.
    let low = word & bytes(0x7f);
    let is_ascii = word == low;
    let from_space = low + bytes(0x60);
    let is_delete = low + bytes(0x01);
    let printable = (from_space & !is_delete) & bytes(0x80) == bytes(0x80);
    // The high bit is set for every byte that is not a space.
    let not_space = (low ^ bytes(b' ')) + bytes(0x7f);
    let spaces = !not_space & bytes(0x80);
    is_ascii & printable & (spaces & (spaces << 8) == 0)
}

/// Cc without the blanks among them, and the controls of writing direction, which make a text read otherwise than it
/// is stored.
fn is_control(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        || matches!(
            c,
            '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        )
}

/// Whether a plain text is its own clean form: not too long, and no blank in disguise.
#[inline]
pub(crate) fn is_sound(text: &str) -> bool {
    match text.len() {
        // Beyond the longest blank in disguise none has to be compared.
        5..=TEXT_BYTES_MAX => true,
        ..=4 => !is_blank(text),
        _ => false,
    }
}

/// Whether a text is what people and programs write for "nothing", ASCII case ignored.
#[inline]
pub(crate) fn is_blank(text: &str) -> bool {
    let is = |blank: &str| text.eq_ignore_ascii_case(blank);
    match text.len() {
        0 => true,
        1 => text == "-",
        3 => is("N/A"),
        4 => is("NULL") || is("None") || is("#N/A"),
        _ => false,
    }
}

/// NFC, trimmed, runs of blanks made one space.
fn tidy<'a>(text: &Cow<'a, str>) -> Cow<'a, str> {
    if is_nfc_quick(text.chars()) != IsNormalized::Yes {
        return Cow::Owned(one_space(&text.nfc().collect::<String>()));
    }
    match text {
        // The clean form of a text with nothing but outer blanks is a part of it.
        Cow::Borrowed(text) if has_single_spaces(text.trim()) => Cow::Borrowed(text.trim()),
        text => Cow::Owned(one_space(text)),
    }
}

fn has_single_spaces(text: &str) -> bool {
    let mut last_is_blank = false;
    text.chars().all(|c| {
        let is_blank = c.is_whitespace();
        let single = !is_blank || (c == ' ' && !last_is_blank);
        last_is_blank = is_blank;
        single
    })
}

fn one_space(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !tidy.is_empty() {
            tidy.push(' ');
        }
        tidy.push_str(word);
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(text: &str) -> Option<String> {
        Received::new(Cow::Borrowed(text)).expect("no fault").into_clean().map(Cow::into_owned)
    }

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(clean(text).as_deref(), expected, "{text:?}");
    }

    #[test]
    fn blanks_are_trimmed_and_runs_become_one_space() {
        check("Jl. Contoh No. 1", Some("Jl. Contoh No. 1"));
        check("  Jl.  Contoh \t\n No. 1 ", Some("Jl. Contoh No. 1"));
        check("\u{00a0}Contoh\u{3000}Satu\u{2028}", Some("Contoh Satu"));
        check("\u{0085}a\u{000b}b\u{000c}c\r\n", Some("a b c"));
        check("x", Some("x"));
        check("a\u{00a0}b", Some("a b"));
    }

    #[test]
    fn nfc_joins_what_belongs_together_and_folds_nothing_else() {
        check("Jose\u{0301}", Some("José"));
        check("José", Some("José"));
        check("\u{212b}", Some("\u{00c5}"));
        check("ﬁ", Some("ﬁ"));
        check("  Jose\u{0301}   x ", Some("José x"));
        check("O'o'u", Some("O'o'u"));
        check("O\u{2019}o", Some("O\u{2019}o"));
    }

    #[test]
    fn blanks_in_disguise_are_null_and_nothing_like_them_is() {
        for blank in
            ["", " ", "-", " - ", "NULL", "null", "#N/A", "#n/a", "N/A", "n/a", "None", "NONE", "\t", "\u{00a0}"]
        {
            check(blank, None);
        }
        for text in ["--", "- -", "0", "N.A", "nil", "none.", "NULL NULL", "#REF!", "N / A", "\u{2013}", "tidak ada"] {
            check(text, Some(text));
        }
    }

    #[test]
    fn control_characters_and_direction_marks_are_refused_and_blanks_are_not() {
        for c in ('\0'..='\u{20}').chain('\u{7f}'..='\u{a0}') {
            let text = format!("a{c}b");
            let found = Received::new(Cow::Borrowed(&text));
            let is_blank = matches!(c, '\t'..='\r' | ' ' | '\u{85}' | '\u{a0}');
            assert_eq!(found.is_ok(), is_blank, "{c:?}");
        }
        for c in
            "\u{061c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".chars()
        {
            let fault = Received::new(Cow::Owned(format!("{c}a"))).err();
            assert_eq!(fault, Some(TextFaults { control_character: true, too_long: false }), "{c:?}");
        }
        for text in ["a\u{200d}b", "a\u{200b}b", "\u{feff}a", "a\u{2065}", "a\u{206a}", "😀"] {
            assert!(Received::new(Cow::Borrowed(text)).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn length_is_counted_in_bytes_as_received() {
        for (text, good) in [
            ("a".repeat(4_096), true),
            ("a".repeat(4_097), false),
            (" ".repeat(4_097), false),
            ("é".repeat(2_048), true),
            (format!("{}a", "é".repeat(2_048)), false),
        ] {
            assert_eq!(Received::new(Cow::Borrowed(&text)).is_ok(), good, "{}", text.len());
        }
        let both = format!("\u{7}{}", "a".repeat(4_096));
        let fault = Received::new(Cow::Owned(both)).err();
        assert_eq!(fault, Some(TextFaults { control_character: true, too_long: true }));
    }

    #[test]
    fn the_ordinary_text_stays_borrowed() {
        for text in ["Contoh", " Contoh ", "Contoh Satu", "\tContoh Satu\n", "José"] {
            let clean = Received::new(Cow::Borrowed(text)).expect("no fault").into_clean();
            assert!(matches!(clean, Some(Cow::Borrowed(_))), "{text:?}");
        }
    }

    #[test]
    fn trimming_alone_keeps_what_is_inside() {
        let trimmed = |text: &'static str| Received::new(Cow::Borrowed(text)).expect("no fault").trimmed();
        assert_eq!(trimmed(" 32 .\u{00a0} 73 "), "32 .\u{00a0} 73");
        assert_eq!(trimmed("32.73"), "32.73");
    }

    fn is_plain_by_the_byte(text: &[u8]) -> bool {
        let printable = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let single = !text.windows(2).any(|pair| pair == b"  ");
        printable && single && text.first() != Some(&b' ') && text.last() != Some(&b' ')
    }

    #[test]
    fn every_byte_at_every_place_is_seen() {
        for length in 0..40 {
            let text = vec![b'a'; length];
            assert!(is_plain(&text));
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = text.clone();
                    text[at] = byte;
                    assert_eq!(is_plain(&text), is_plain_by_the_byte(&text), "{byte} at {at} of {length}");
                    if let Some(next) = text.get_mut(at + 1) {
                        *next = b' ';
                        assert_eq!(
                            is_plain(&text),
                            is_plain_by_the_byte(&text),
                            "{byte} and a blank at {at} of {length}"
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn plain_is_what_it_is_by_the_byte(text in prop::collection::vec(prop_oneof![8 => Just(b'a'), 4 => Just(b' '), 1 => any::<u8>()], 0..40)) {
            prop_assert_eq!(is_plain(&text), is_plain_by_the_byte(&text));
        }

        #[test]
        fn clean_text_is_clean_and_keeps_its_words(text in "\\PC{0,40}|[ \\t\u{a0}a-cA-C.,éè\u{301}-]{0,20}") {
            if let Ok(received) = Received::new(Cow::Borrowed(&text)) {
                let words: Vec<String> = text.nfc().collect::<String>().split_whitespace().map(str::to_owned).collect();
                match received.into_clean() {
                    Some(clean) => {
                        prop_assert_eq!(clean.split(' ').map(str::to_owned).collect::<Vec<_>>(), words);
                        let again = Received::new(clean.clone()).ok().and_then(Received::into_clean);
                        prop_assert_eq!(again, Some(clean));
                    }
                    None => prop_assert!(words.len() <= 1),
                }
            }
        }
    }
}
