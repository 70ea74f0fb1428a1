//! Titles in the less tidy ways in which people write them: without the blank behind a dot (`dr.Contoh`), with blanks
//! inside (`A. Md. Keb`), and the many forms of specialities and diplomas.

use crate::title::{is_back_title, is_back_title_without_comma, is_front_title, tokens};

/// Most words that spell one title: `S. Tr. Keb`, `Sp. O. G. (K)`.
const WORDS_MAX: usize = 4;
/// Most parts of a speciality, and letters of one.
const SPECIALITY_PARTS_MAX: usize = 3;
const SPECIALITY_LETTERS_MAX: usize = 5;

/// The titles at the start of a text, each as it stands there.
pub(crate) fn front(text: &str) -> Vec<&str> {
    let mut titles = Vec::new();
    for mut token in tokens(text) {
        while let Some((title, rest)) = glued(token) {
            titles.push(title);
            token = rest;
        }
        if !is_front_title(token) {
            break;
        }
        titles.push(token);
    }
    titles
}

/// A front title with its dot and what is written right behind it: another one, or a name.
///
/// `H.M. Contoh` is left alone: a single letter may as well belong to initials.
pub(crate) fn glued(token: &str) -> Option<(&str, &str)> {
    let (title, rest) = token.split_at_checked(token.find('.')? + 1)?;
    let first = rest.split('.').next().unwrap_or_default();
    let goes_on = first.chars().nth(1).is_some() || rest.contains('.') && is_front_title(first_with_dot(rest));
    let is_name = first.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || !c.is_ascii());
    (is_name && goes_on && is_front_title(title) && !is_front_title(token)).then_some((title, rest))
}

fn first_with_dot(text: &str) -> &str {
    text.find('.').and_then(|dot| text.get(..=dot)).unwrap_or(text)
}

/// Whether a text holds nothing but back titles, commas and spaces.
pub(crate) fn are_back_titles(text: &str) -> bool {
    tokens(text).all(is_back_title) || text.split(',').all(are_spread_titles)
}

/// Titles with blanks inside, between two commas: always the longest that the next words spell.
fn are_spread_titles(text: &str) -> bool {
    let words: Vec<&str> = tokens(text).collect();
    let mut rest = words.as_slice();
    while !rest.is_empty() {
        let longest = (1..=WORDS_MAX.min(rest.len())).rev().find(|count| {
            let (title, _) = rest.split_at(*count);
            is_back_title(&title.concat())
        });
        let Some((_, after)) = longest.and_then(|count| rest.split_at_checked(count)) else { return false };
        rest = after;
    }
    true
}

/// Where the titles at the end of a text without commas begin; `None` if there are none.
pub(crate) fn tail(text: &str) -> Option<usize> {
    let words_max = if text.contains('.') { WORDS_MAX } else { 1 };
    let mut found = None;
    let mut head = text;
    while let Some(start) = last_title(head, words_max) {
        found = Some(start);
        head = head.get(..start).unwrap_or_default().trim_end_matches(' ');
    }
    found
}

/// Where the last title begins: the fewest words that spell one.
fn last_title(text: &str, words_max: usize) -> Option<usize> {
    let mut start = text.len();
    for count in 1..=words_max {
        if start == 0 {
            return None;
        }
        let before = text.get(..start)?.trim_end_matches(' ');
        start = before.rfind(' ').map_or(0, |blank| blank + 1);
        let title = text.get(start..)?;
        let is_title = match count {
            1 => is_back_title_without_comma(title),
            _ => is_spread_title_without_comma(title),
        };
        if is_title {
            return Some(start);
        }
    }
    None
}

/// Without a comma before it, a title with blanks needs a dot and a word that is no initial.
fn is_spread_title_without_comma(title: &str) -> bool {
    title.contains('.')
        && tokens(title).any(|word| word.bytes().filter(u8::is_ascii_alphabetic).count() > 1)
        && is_back_title(&title.replace(' ', ""))
}

/// `Sp.THT-KL`, `Sp.JP(K)-FIHA`, `Sp.B(K)Onk`, `Sp.Kep.MB`, `SpPD-KGEH`: one to three parts of up to five letters,
/// each with or without `(K)`. A single part without a dot behind `Sp` has four letters at most: `Spesialis` is a word.
pub(crate) fn is_specialist(token: &str) -> bool {
    let Some((b's' | b'S', [b'p' | b'P', rest @ ..])) = token.as_bytes().split_first() else { return false };
    let (has_dot, mut rest) = match rest {
        [b'.', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut parts = 0;
    let mut longest = 0;
    while !rest.is_empty() {
        let letters = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if letters == 0 || letters > SPECIALITY_LETTERS_MAX {
            return false;
        }
        (parts, longest) = (parts + 1, longest.max(letters));
        rest = rest.get(letters..).unwrap_or_default();
        let consultant = rest.strip_prefix(b".").unwrap_or(rest);
        if let [b'(', b'k' | b'K', b')', after @ ..] = consultant {
            rest = after;
        }
        rest = match rest {
            [b'.'] => &[],
            [b'.' | b'-', after @ ..] if !after.is_empty() => after,
            [b'.' | b'-', ..] => return false,
            rest => rest,
        };
    }
    let is_short = has_dot || parts > 1 || longest < SPECIALITY_LETTERS_MAX;
    matches!(parts, 1..=SPECIALITY_PARTS_MAX) && is_short
}

/// `A.Md.Rad`, `Amd.RMIK`, `S.Tr.Gz`: a diploma and up to six letters for its subject.
pub(crate) fn is_diploma(token: &str) -> bool {
    let Some(mut head) = token.as_bytes().first_chunk::<4>().copied() else { return false };
    head.make_ascii_lowercase();
    if !matches!(&head, b"a.md" | b"amd." | b"s.tr" | b"str.") {
        return false;
    }
    let letters = token.bytes().filter(|byte| *byte != b'.').count();
    token.bytes().all(|byte| byte == b'.' || byte.is_ascii_alphabetic()) && matches!(letters, 4..=9)
}
