//! The outline of a record: its field names with kinds and lengths, never a value. Pure.
//!
//! A dead letter is often broken, so this does not parse into a tree: it walks the bytes, tells
//! every field it can still tell, and says where it had to stop. Duplicate keys stay visible.
//! Of one field, the NIK, the first two and the last two of sixteen digits are shown, which is
//! enough to recognise a record that one already has in hand and not enough to learn a number.

use schemas::foreign;

use crate::words::counted;

/// Lines of an outline; a record beyond it is cut, and the cut is told.
const LINES_MAX: usize = 400;
/// Nesting that is followed. Deeper is itself a hard reason (`json_depth`).
const DEPTH_MAX: usize = 64;

/// What a record looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Fields in the order of the record.
    pub(crate) fields: Vec<Field>,
    /// Why the walk ended before the end of the record; `None` for a well-formed one.
    pub(crate) stopped: Option<String>,
    /// Length of the record.
    pub(crate) bytes: usize,
}

/// One field: where it is, and what kind of value stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// `NIK`, `PEKERJAAN[0].KODE_KAB`; empty for a record that is not an object.
    pub(crate) path: String,
    /// `text, 16 digits (32************01)`, `number, 3 characters`, `list, 2 entries`, ...
    pub(crate) kind: String,
}

/// Outlines a record. `nik_name` is the source's name of the identity field.
pub(crate) fn outline(record: &[u8], nik_name: &str) -> Outline {
    let mut walk = Walk { record, at: 0, nik_name, fields: Vec::new() };
    let stopped = match walk.whole() {
        Ok(()) => None,
        Err(stop) => Some(match stop {
            Stop::Broken => format!("not readable as JSON from byte {} on", walk.at),
            Stop::Deep => format!("nested deeper than {DEPTH_MAX} at byte {}", walk.at),
            Stop::Long => format!("more than {LINES_MAX} fields; the rest is not shown"),
            Stop::Trailing => format!("something follows the record at byte {}", walk.at),
        }),
    };
    Outline { fields: walk.fields, stopped, bytes: record.len() }
}

/// A NIK as it may be shown: first two and last two of sixteen digits.
fn masked_nik(text: &[u8]) -> Option<String> {
    let digits = text.len() == 16 && text.iter().all(u8::is_ascii_digit);
    match text {
        [a, b, .., y, z] if digits => {
            Some([*a, *b].into_iter().chain([b'*'; 12]).chain([*y, *z]).map(char::from).collect())
        }
        _ => None,
    }
}

/// A field name, where it can be shown. Names come from outside too: a program that writes a
/// person's data as a key must not make it visible.
pub(crate) fn shown_name(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    if foreign::is_plain(&text) {
        text.into_owned()
    } else {
        format!("(unusual name, {})", counted(text.chars().count(), "character", "characters"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Broken,
    Deep,
    Long,
    Trailing,
}

struct Walk<'a> {
    record: &'a [u8],
    at: usize,
    nik_name: &'a str,
    fields: Vec<Field>,
}

impl<'a> Walk<'a> {
    fn whole(&mut self) -> Result<(), Stop> {
        self.value("", false, 0)?;
        self.blanks();
        if self.at < self.record.len() {
            return Err(Stop::Trailing);
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.record.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(Stop::Broken)
        }
    }

    fn note(&mut self, path: &str, kind: String) -> Result<usize, Stop> {
        if self.fields.len() >= LINES_MAX {
            return Err(Stop::Long);
        }
        self.fields.push(Field { path: path.to_owned(), kind });
        Ok(self.fields.len() - 1)
    }

    fn value(&mut self, path: &str, is_nik: bool, depth: usize) -> Result<(), Stop> {
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(path, depth),
            Some(b'[') => self.list(path, is_nik, depth),
            Some(b'"') => {
                let text = self.string()?;
                self.note(path, text_kind(text, is_nik)).map(|_| ())
            }
            Some(b'-' | b'0'..=b'9') => {
                let from = self.at;
                while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    self.at += 1;
                }
                let number = self.record.get(from..self.at).unwrap_or_default();
                self.note(path, number_kind(number, is_nik)).map(|_| ())
            }
            Some(b't') => self.word(path, b"true", "true or false"),
            Some(b'f') => self.word(path, b"false", "true or false"),
            Some(b'n') => self.word(path, b"null", "empty (null)"),
            _ => Err(Stop::Broken),
        }
    }

    fn word(&mut self, path: &str, word: &[u8], kind: &str) -> Result<(), Stop> {
        if self.record.get(self.at..self.at + word.len()) != Some(word) {
            return Err(Stop::Broken);
        }
        self.at += word.len();
        self.note(path, kind.to_owned()).map(|_| ())
    }

    fn object(&mut self, path: &str, depth: usize) -> Result<(), Stop> {
        if depth >= DEPTH_MAX {
            return Err(Stop::Deep);
        }
        self.expect(b'{')?;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return self.note(path, "group without fields".to_owned()).map(|_| ());
        }
        loop {
            self.blanks();
            let name = self.string()?;
            let shown = shown_name(name);
            let below = if path.is_empty() { shown } else { format!("{path}.{shown}") };
            self.blanks();
            self.expect(b':')?;
            self.value(&below, name == self.nik_name.as_bytes(), depth + 1)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Stop::Broken),
            }
        }
    }

    fn list(&mut self, path: &str, is_nik: bool, depth: usize) -> Result<(), Stop> {
        if depth >= DEPTH_MAX {
            return Err(Stop::Deep);
        }
        self.expect(b'[')?;
        let line = self.note(path, "list, not closed".to_owned())?;
        self.blanks();
        let mut entries: usize = 0;
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.value(&format!("{path}[{entries}]"), is_nik, depth + 1)?;
                entries += 1;
                self.blanks();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => {
                        self.at += 1;
                        break;
                    }
                    _ => return Err(Stop::Broken),
                }
            }
        }
        if let Some(field) = self.fields.get_mut(line) {
            field.kind = match entries {
                1 => "list, 1 entry".to_owned(),
                n => format!("list, {n} entries"),
            };
        }
        Ok(())
    }

    /// The bytes between two quotation marks, escapes as they stand.
    fn string(&mut self) -> Result<&'a [u8], Stop> {
        self.expect(b'"')?;
        let from = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = self.record.get(from..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => self.at = self.record.len().min(self.at + 2),
                Some(_) => self.at += 1,
                None => return Err(Stop::Broken),
            }
        }
    }
}

fn text_kind(raw: &[u8], is_nik: bool) -> String {
    let text = match std::str::from_utf8(raw) {
        Ok(text) => text,
        Err(_) => return format!("text, {}, not valid UTF-8", counted(raw.len(), "byte", "bytes")),
    };
    let trimmed = text.trim();
    if is_nik && let Some(masked) = masked_nik(trimmed.as_bytes()) {
        return format!("text, 16 digits ({masked})");
    }
    let characters = text.chars().count();
    let classes = [
        ("digits", text.chars().any(|c| c.is_ascii_digit())),
        ("letters", text.chars().any(char::is_alphabetic)),
        ("blanks", text.chars().any(char::is_whitespace)),
        ("control characters", text.chars().any(char::is_control)),
        ("other signs", text.chars().any(|c| !(c.is_alphanumeric() || c.is_whitespace() || c.is_control()))),
    ];
    let present: Vec<&str> = classes.iter().filter(|(_, present)| *present).map(|(name, _)| *name).collect();
    match (characters, present.as_slice()) {
        (0, _) => "text, empty".to_owned(),
        (n, ["digits"]) => format!("text, {}", counted(n, "digit", "digits")),
        (n, ["blanks"]) => format!("text, {}", counted(n, "blank", "blanks")),
        (n, parts) => format!("text, {}: {}", counted(n, "character", "characters"), parts.join(", ")),
    }
}

fn number_kind(raw: &[u8], is_nik: bool) -> String {
    if is_nik && let Some(masked) = masked_nik(raw) {
        return format!("number, 16 digits ({masked})");
    }
    let digits = raw.iter().filter(|b| b.is_ascii_digit()).count();
    let mut kind = format!("number, {}", counted(digits, "digit", "digits"));
    if raw.contains(&b'.') {
        kind.push_str(", with a fraction");
    }
    if raw.iter().any(|b| matches!(b, b'e' | b'E')) {
        kind.push_str(", with an exponent");
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(record: &[u8]) -> Vec<String> {
        let outline = outline(record, "NIK");
        let mut lines: Vec<String> =
            outline.fields.iter().map(|field| format!("{}: {}", field.path, field.kind)).collect();
        lines.extend(outline.stopped.map(|why| format!("! {why}")));
        lines
    }

    #[track_caller]
    fn check(record: &str, expected: &[&str]) {
        assert_eq!(lines(record.as_bytes()), expected, "{record}");
    }

    #[test]
    fn fields_are_told_by_kind_and_length_and_the_nik_by_four_digits() {
        check(
            r#"{"NIK":"3273011205800001","NAMA":"Budi S.","LAMA":null,"AKTIF":true,"UMUR":41,"X":{}}"#,
            &[
                "NIK: text, 16 digits (32************01)",
                "NAMA: text, 7 characters: letters, blanks, other signs",
                "LAMA: empty (null)",
                "AKTIF: true or false",
                "UMUR: number, 2 digits",
                "X: group without fields",
            ],
        );
        check(
            r#"{"NIK":3273011205800001,"NIP":"3273011205800001"}"#,
            &["NIK: number, 16 digits (32************01)", "NIP: text, 16 digits"],
        );
    }

    #[test]
    fn a_nik_that_is_none_is_told_by_its_shape_only() {
        check(r#"{"NIK":"327301120580001"}"#, &["NIK: text, 15 digits"]);
        check(r#"{"NIK":"3.27E+15"}"#, &["NIK: text, 8 characters: digits, letters, other signs"]);
        check(r#"{"NIK":3.27e15}"#, &["NIK: number, 5 digits, with a fraction, with an exponent"]);
        check(r#"{"NIK":""}"#, &["NIK: text, empty"]);
    }

    #[test]
    fn lists_are_counted_and_their_entries_numbered() {
        check(
            r#"{"PEKERJAAN":[{"KODE_KAB":"3273"},{"KODE_KAB":"3204"}],"PELATIHAN":[]}"#,
            &[
                "PEKERJAAN: list, 2 entries",
                "PEKERJAAN[0].KODE_KAB: text, 4 digits",
                "PEKERJAAN[1].KODE_KAB: text, 4 digits",
                "PELATIHAN: list, 0 entries",
            ],
        );
    }

    #[test]
    fn duplicate_keys_stay_visible() {
        check(r#"{"A":1,"A":2}"#, &["A: number, 1 digit", "A: number, 1 digit"]);
    }

    #[test]
    fn a_broken_record_is_told_up_to_where_it_breaks() {
        check(
            r#"{"NIK":"3273011205800001","NAMA":"Bu"#,
            &["NIK: text, 16 digits (32************01)", "! not readable as JSON from byte 36 on"],
        );
        check("", &["! not readable as JSON from byte 0 on"]);
        check("<html>", &["! not readable as JSON from byte 0 on"]);
        check(r#"{"A":1} x"#, &["A: number, 1 digit", "! something follows the record at byte 8"]);
        check(r#"{"A":[1"#, &["A: list, not closed", "A[0]: number, 1 digit", "! not readable as JSON from byte 7 on"]);
        check(r#""Budi""#, &[": text, 4 characters: letters"]);
        assert_eq!(lines(b"\"a\xff\""), [": text, 2 bytes, not valid UTF-8"]);
    }

    #[test]
    fn names_that_could_be_data_are_not_shown() {
        check(
            r#"{"3273011205800001":1,"Budi Santoso":2,"A3273011205":3,"STR_2":4}"#,
            &[
                "(unusual name, 16 characters): number, 1 digit",
                "(unusual name, 12 characters): number, 1 digit",
                "(unusual name, 11 characters): number, 1 digit",
                "STR_2: number, 1 digit",
            ],
        );
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = "[".repeat(100_000);
        let outlined = outline(deep.as_bytes(), "NIK");
        assert_eq!(outlined.fields.len(), DEPTH_MAX);
        assert!(outlined.stopped.is_some_and(|why| why.contains("deeper")));

        let long = format!("[{}1]", "1,".repeat(10_000));
        let outlined = outline(long.as_bytes(), "NIK");
        assert_eq!(outlined.fields.len(), LINES_MAX);
        assert!(outlined.stopped.is_some_and(|why| why.contains("more than")));
    }

    /// Goal: no run of characters of any value ever reaches the outline, whatever happens to the
    /// record on its way. Method: a record whose values are runs of one marker letter that occurs
    /// nowhere else, cut at every byte and with every byte replaced by each of a few troublemakers.
    #[test]
    fn no_value_leaks_however_the_record_is_broken() {
        let record = r#"{"NIK":"ZZZZZZZZZZZZZZZZ","N":{"M":["ZZZZ",null]},"T":"Z\"ZZ\u0041Z","U":-1.5e3}"#;
        let judge = |bytes: &[u8]| {
            let told = lines(bytes).join("\n");
            assert!(!told.contains("ZZ"), "{told}");
        };
        for at in 0..record.len() {
            judge(&record.as_bytes()[..at]);
            for byte in [b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', 0, 0xff] {
                let mut broken = record.as_bytes().to_vec();
                broken[at] = byte;
                judge(&broken);
            }
        }
    }
}
