//! Titles before and after a name.
//!
//! A name is split and nothing more: spelling and case stay, and the words of the three parts are the words of the
//! whole. What does not fit the known patterns stays in the name, because a wrong cut cannot be undone by a reader.

use std::borrow::Cow;
use std::ops::Range;

use crate::title_forms;

/// Longest title that is known, in bytes without dots.
const TITLE_BYTES_MAX: usize = 12;

/// A name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) nama: Cow<'a, str>,
    pub(crate) gelar_depan: Option<Cow<'a, str>>,
    pub(crate) gelar_belakang: Option<Cow<'a, str>>,
}

/// Splits a clean text; `None` if it holds nothing but commas and spaces.
pub(crate) fn split(name: Cow<'_, str>) -> Option<Parts<'_>> {
    let text: &str = &name;
    let first = tokens(text).next()?;
    let first_is_front = is_front_title(first);
    // Decided by the first token for almost every name, so the loop is not run to its end.
    let is_titles_only = (first_is_front || is_back_title(first)) && tokens(text).skip(1).all(is_title);
    if is_titles_only {
        return Some(whole(name));
    }
    let front: Vec<&str> =
        if first_is_front || title_forms::glued(first).is_some() { title_forms::front(text) } else { Vec::new() };
    let rest_start = match front.last() {
        Some(last) => end_of(text, last),
        None => 0,
    };
    let rest_start = text.len() - tail(text, rest_start).trim_start_matches([' ', ',']).len();
    let rest = tail(text, rest_start);

    let comma = rest.find(',').unwrap_or(rest.len());
    let after = tail(rest, comma + 1);
    if !title_forms::are_back_titles(after) {
        return Some(whole(name));
    }
    let trimmed = after.trim_matches([' ', ',']);
    let before = rest.get(..comma).unwrap_or_default().trim_end_matches(' ');
    let before_end = rest_start + before.len();
    // Titles may begin before the comma, as in `Contoh S.Kep, Ns`.
    let (nama_end, back_start) = match title_forms::tail(before) {
        Some(start) => {
            let nama = before.get(..start).unwrap_or_default().trim_end_matches(' ');
            (rest_start + nama.len(), rest_start + start)
        }
        None if trimmed.is_empty() => (before_end, before_end),
        None => (before_end, start_of(text, trimmed)),
    };
    if nama_end == rest_start {
        return Some(whole(name));
    }
    let back_end = if trimmed.is_empty() { before_end } else { end_of(text, trimmed) };
    let (nama, belakang): (Range<usize>, Range<usize>) = (rest_start..nama_end, back_start..back_end);
    let gelar_depan = match front.as_slice() {
        [] => None,
        // As long as no comma stands between them, the titles with their spaces are a part of the text.
        [first, .., last] if !text.get(start_of(text, first)..end_of(text, last)).unwrap_or_default().contains(',') => {
            Some(part(&name, start_of(text, first)..end_of(text, last)))
        }
        [only] => Some(part(&name, start_of(text, only)..end_of(text, only))),
        front => Some(Cow::Owned(front.join(" "))),
    };
    Some(Parts {
        nama: part(&name, nama),
        gelar_depan,
        gelar_belakang: (!belakang.is_empty()).then(|| part(&name, belakang)),
    })
}

fn whole(name: Cow<'_, str>) -> Parts<'_> {
    Parts { nama: name, gelar_depan: None, gelar_belakang: None }
}

/// Words between spaces and commas.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|token| !token.is_empty())
}

fn tail(text: &str, start: usize) -> &str {
    text.get(start..).unwrap_or_default()
}

/// Offset of a part of `text` in it.
fn start_of(text: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

fn end_of(text: &str, part: &str) -> usize {
    start_of(text, part) + part.len()
}

fn part<'a>(name: &Cow<'a, str>, range: Range<usize>) -> Cow<'a, str> {
    match name {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(range).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(range).unwrap_or_default().to_owned()),
    }
}

/// A token without its dots, lower case; empty for one that is too long to be a title or not ASCII.
struct Folded {
    bytes: [u8; TITLE_BYTES_MAX],
    length: usize,
    has_dot: bool,
}

impl Folded {
    fn new(token: &str) -> Self {
        let mut folded = Self { bytes: [0; TITLE_BYTES_MAX], length: 0, has_dot: false };
        for byte in token.bytes() {
            if byte == b'.' {
                folded.has_dot = true;
                continue;
            }
            match folded.bytes.get_mut(folded.length) {
                Some(place) if byte.is_ascii() => *place = byte.to_ascii_lowercase(),
                _ => return Self { length: 0, ..folded },
            }
            folded.length += 1;
        }
        folded
    }

    fn title(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn is_title(token: &str) -> bool {
    let folded = Folded::new(token);
    is_front(&folded) || is_back(&folded, token)
}

pub(crate) fn is_front_title(token: &str) -> bool {
    is_front(&Folded::new(token))
}

pub(crate) fn is_back_title(token: &str) -> bool {
    is_back(&Folded::new(token), token)
}

fn is_front(folded: &Folded) -> bool {
    match folded.title() {
        b"dr" | b"drg" | b"prof" | b"ns" | b"ners" | b"apt" | b"hj" | b"drs" | b"dra" | b"bdn" => true,
        // One letter, or a syllable that is a name too: only its dot makes it a title.
        b"h" | b"ir" | b"tn" | b"ny" | b"kh" | b"ftr" => folded.has_dot,
        _ => false,
    }
}

fn is_back(folded: &Folded, token: &str) -> bool {
    match folded.title() {
        b"skep" | b"ns" | b"ners" | b"sked" | b"skg" | b"skm" | b"skp" | b"sst" | b"strkeb" | b"strkep" | b"strgz"
        | b"strkes" | b"sfarm" | b"sgz" | b"sgizi" | b"sft" | b"ssi" | b"spsi" | b"spd" | b"sag" | b"ssos" | b"st"
        | b"se" | b"sh" | b"skom" => true,
        b"amd" | b"amdkep" | b"amdkeb" | b"amdgz" | b"amdfarm" | b"amdak" | b"amdkes" | b"amk" | b"amkeb" | b"amkl"
        | b"apt" | b"bd" | b"bdn" | b"ftr" | b"rd" | b"psikolog" | b"dietisien" => true,
        b"mkes" | b"mkep" | b"mkeb" | b"mfarm" | b"mfarmklin" | b"msi" | b"msc" | b"mbiomed" | b"mgizi" | b"mgz"
        | b"mked" | b"mkm" | b"mars" | b"mpd" | b"mpsi" | b"mph" | b"mm" | b"mh" | b"mhkes" | b"mtrkeb" | b"mtrkep"
        | b"mtrkes" | b"mkessos" | b"phd" | b"finasim" | b"fiha" | b"fics" | b"facs" | b"kic" | b"kgeh" | b"kemd"
        | b"kger" | b"kgh" | b"khom" | b"kkv" | b"kpti" => true,
        [b's', b'p', speciality @ ..] => {
            let letters = speciality.strip_suffix(b"(k)").unwrap_or(speciality);
            (matches!(letters.len(), 1..=4) && letters.iter().all(u8::is_ascii_lowercase))
                || title_forms::is_specialist(token)
        }
        _ => title_forms::is_specialist(token) || title_forms::is_diploma(token),
    }
}

/// Without a comma before it, a title needs a dot or a spelling that is no name.
pub(crate) fn is_back_title_without_comma(token: &str) -> bool {
    let folded = Folded::new(token);
    (folded.has_dot || matches!(folded.title(), b"amk" | b"amkeb" | b"amkl" | b"mars" | b"skm" | b"sst"))
        && is_back(&folded, token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(name: &str, nama: &str, depan: Option<&str>, belakang: Option<&str>) {
        for name in [Cow::Borrowed(name), Cow::Owned(name.to_owned())] {
            let parts = split(name.clone()).expect("a name");
            assert_eq!(
                (parts.nama.as_ref(), parts.gelar_depan.as_deref(), parts.gelar_belakang.as_deref()),
                (nama, depan, belakang),
                "{name}"
            );
        }
    }

    #[test]
    fn titles_are_cut_before_and_after() {
        check("dr. Contoh Satu, Sp.A", "Contoh Satu", Some("dr."), Some("Sp.A"));
        check("CONTOH DUA A.Md.Kep", "CONTOH DUA", None, Some("A.Md.Kep"));
        check("Ns. Contoh Tiga, S.Kep", "Contoh Tiga", Some("Ns."), Some("S.Kep"));
        check("Contoh Empat", "Contoh Empat", None, None);
        check("Contoh", "Contoh", None, None);
        check(
            "Prof. Dr. dr. Contoh Lima, Sp.OG(K), M.Kes",
            "Contoh Lima",
            Some("Prof. Dr. dr."),
            Some("Sp.OG(K), M.Kes"),
        );
        check("DRG CONTOH ENAM", "CONTOH ENAM", Some("DRG"), None);
        check("apt. Contoh Tujuh, S.Farm., M.Farm.", "Contoh Tujuh", Some("apt."), Some("S.Farm., M.Farm."));
        check("Hj. Contoh Delapan, S.ST, Bdn", "Contoh Delapan", Some("Hj."), Some("S.ST, Bdn"));
        check("H. Contoh Sembilan, SKM", "Contoh Sembilan", Some("H."), Some("SKM"));
        check("Contoh Sepuluh SKM", "Contoh Sepuluh", None, Some("SKM"));
        check("Contoh Sebelas S.Kep. Ns.", "Contoh Sebelas", None, Some("S.Kep. Ns."));
        check("Contoh,S.Kep,Ns", "Contoh", None, Some("S.Kep,Ns"));
        check("dr.,Contoh", "Contoh", Some("dr."), None);
        check("dr., Hj. Contoh", "Contoh", Some("dr. Hj."), None);
        check("Dr Hj Contoh Satu Sp.PD MARS", "Contoh Satu", Some("Dr Hj"), Some("Sp.PD MARS"));
        check("Contoh Satu, Ph.D", "Contoh Satu", None, Some("Ph.D"));
        check("Contoh Satu, SE, MM", "Contoh Satu", None, Some("SE, MM"));
        check("Contoh Satu, Sp.KJ(K)", "Contoh Satu", None, Some("Sp.KJ(K)"));
        check("Contoh Satu, Sp.K.F.R", "Contoh Satu", None, Some("Sp.K.F.R"));
        check("Bdn. Contoh Satu S.Tr.Keb", "Contoh Satu", Some("Bdn."), Some("S.Tr.Keb"));
    }

    #[test]
    fn dots_and_blanks_may_stand_anywhere_in_a_title() {
        check("dr.Contoh Satu", "Contoh Satu", Some("dr."), None);
        check("Drs.H.Contoh, M.Kes", "Contoh", Some("Drs.H."), Some("M.Kes"));
        check("Prof.Dr.dr.Contoh,Sp.A", "Contoh", Some("Prof.Dr.dr."), Some("Sp.A"));
        check("Hj.Contoh", "Contoh", Some("Hj."), None);
        check("dr., H.Contoh", "Contoh", Some("dr. H."), None);
        check("dr.H. Contoh", "Contoh", Some("dr.H."), None);
        check("Contoh Satu, S. Kep", "Contoh Satu", None, Some("S. Kep"));
        check("Contoh Satu, S Kep, Ns", "Contoh Satu", None, Some("S Kep, Ns"));
        check("Contoh Satu, A. Md. Keb", "Contoh Satu", None, Some("A. Md. Keb"));
        check("Contoh Satu, A Md Kep", "Contoh Satu", None, Some("A Md Kep"));
        check("Contoh Satu, Sp. OG (K), M. Kes", "Contoh Satu", None, Some("Sp. OG (K), M. Kes"));
        check("Contoh S. Kep", "Contoh", None, Some("S. Kep"));
        check("Contoh Satu A. Md. Keb.", "Contoh Satu", None, Some("A. Md. Keb."));
        check("Contoh Satu S. Farm. Apt.", "Contoh Satu", None, Some("S. Farm. Apt."));
        check("dr. Contoh Sp. A", "Contoh", Some("dr."), Some("Sp. A"));
        check("Contoh A.Md.Kep, S.KM", "Contoh", None, Some("A.Md.Kep, S.KM"));
        check("Contoh S.Kep., ", "Contoh", None, Some("S.Kep."));
    }

    #[test]
    fn specialities_are_written_in_many_ways() {
        for back in [
            "Sp.THT-KL",
            "Sp.THT-BKL(K)",
            "Sp.JP(K)-FIHA",
            "Sp.JP(K), FIHA",
            "Sp.B(K)Onk",
            "Sp.PD-KGEH, FINASIM",
            "SpOT(K)",
            "Sp.Kep.MB",
            "Sp.Perio",
            "Sp.B.(K)",
            "SpPD-KHOM",
            "Sp.An-KIC",
            "Sp.K.F.R.",
            "Sp.A (K)",
        ] {
            check(&format!("dr. Contoh, {back}"), "Contoh", Some("dr."), Some(back));
        }
        for back in [
            "S.Tr.Gz",
            "S.Tr.Rad",
            "STr.Keb",
            "A.Md.RMIK",
            "Amd.Rad",
            "A.Md.Far",
            "S.K.M.",
            "S.Kep.,Ners",
            "M.Psi., Psikolog",
            "S.Gz., RD",
            "M.K.M",
            "S.Ft., Ftr",
            "M.Tr.Keb",
            "S.KG",
        ] {
            check(&format!("Contoh, {back}"), "Contoh", None, Some(back));
        }
    }

    #[test]
    fn what_may_be_a_name_stays_in_the_name() {
        check("H Contoh", "H Contoh", None, None);
        check("Ir Contoh", "Ir Contoh", None, None);
        check("Contoh SE", "Contoh SE", None, None);
        check("Contoh Ns", "Contoh Ns", None, None);
        check("H.M. Contoh", "H.M. Contoh", None, None);
        check("H.M.Contoh", "H.M.Contoh", None, None);
        check("dr.S.Kep", "dr.S.Kep", None, None);
        check("Contoh S. E.", "Contoh S. E.", None, None);
        check("Contoh S Kep", "Contoh S Kep", None, None);
        check("Contoh, S. Jakarta", "Contoh, S. Jakarta", None, None);
        check("Contoh, Amdani", "Contoh, Amdani", None, None);
        check("Contoh, Stroberi.", "Contoh, Stroberi.", None, None);
        check("Drajat.Contoh", "Drajat.Contoh", None, None);
        check("Contoh dr. Satu", "Contoh dr. Satu", None, None);
        check("Contoh Sp", "Contoh Sp", None, None);
        check("Drajat Contoh", "Drajat Contoh", None, None);
        check("D'Contoh O'o'u", "D'Contoh O'o'u", None, None);
        check("Contoh, Jakarta", "Contoh, Jakarta", None, None);
        check("dr. Contoh, Satu, Sp.A", "dr. Contoh, Satu, Sp.A", None, None);
        check("Contoh, Spesialis", "Contoh, Spesialis", None, None);
        check("Contoh Sp.A(KK)", "Contoh Sp.A(KK)", None, None);
        check("Contoh Ｓ.Kep", "Contoh Ｓ.Kep", None, None);
    }

    #[test]
    fn nothing_but_titles_is_a_name() {
        for name in [
            "dr.",
            "Ns",
            "dr. S.Kep",
            "H. Ir.",
            "SKM",
            "dr., S.Kep",
            "Sp.A",
            ", S.Kep",
            "Se Mars",
            "S. Kep",
            "dr. S. Kep",
            "H.H.",
        ] {
            check(name, name, None, None);
        }
        check("H", "H", None, None);
    }

    #[test]
    fn commas_alone_are_no_name_and_loose_ones_are_dropped() {
        for name in ["", ",", " , ", ",,,"] {
            assert_eq!(split(Cow::Borrowed(name)), None, "{name:?}");
        }
        check("Contoh,", "Contoh", None, None);
        check(", Contoh", "Contoh", None, None);
        check("Contoh , S.Kep,", "Contoh", None, Some("S.Kep"));
        check("Contoh,, S.Kep", "Contoh", None, Some("S.Kep"));
        check(", Contoh, Satu", ", Contoh, Satu", None, None);
    }

    #[test]
    fn the_ordinary_name_is_borrowed() {
        for name in ["dr. Contoh Satu, Sp.A", "Prof. Dr. Contoh", "Contoh"] {
            let parts = split(Cow::Borrowed(name)).expect("a name");
            let all = [Some(parts.nama), parts.gelar_depan, parts.gelar_belakang];
            assert!(all.iter().flatten().all(|part| matches!(part, Cow::Borrowed(_))), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_word_is_lost_or_invented(
            name in prop_oneof![
                "\\PC{0,40}",
                prop::collection::vec(
                    prop::sample::select(vec![
                        "dr.", "Dr", "drg", "Prof.", "H.", "H", "Hj", "Ns", "Ir.", "apt.", "Contoh", "Satu", "DUA", "É", "S.Kep", "SKM", "Sp.A(K)", "A.Md.Keb",
                        "Mars", "SE", ",", ",", ", ", ".", "Sp", "M.Kes,", "dr.Contoh", "Drs.H.Satu", "S.", "Kep", "A.", "Md.", "Keb", "(K)", "Sp.THT-KL",
                    ]),
                    0..8,
                ).prop_map(|words| words.join(" ")),
                prop::collection::vec(prop::sample::select(vec!["dr.", "Contoh", "S.Kep", ",", " ", "H.", "Sp.", "-", "(k)"]), 0..12).prop_map(|words| words.concat()),
            ]
        ) {
            let clean = name.split_whitespace().collect::<Vec<_>>().join(" ");
            let letters = |text: &str| text.replace([' ', ','], "");
            let Some(parts) = split(Cow::Borrowed(clean.as_str())) else {
                prop_assert_eq!(letters(&clean), "");
                return Ok(());
            };
            let again = [parts.gelar_depan.as_deref(), Some(parts.nama.as_ref()), parts.gelar_belakang.as_deref()];
            let found: String = again.into_iter().flatten().map(letters).collect();
            prop_assert_eq!(found, letters(&clean));
            prop_assert!(tokens(&parts.nama).next().is_some());
            for part in again.into_iter().flatten() {
                prop_assert!(!part.is_empty() && part.trim() == part, "{:?}", part);
            }
        }
    }
}
