//! The `[record]` part of a profile file.

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Field, Layout, Names, PersonField, Zone};
use crate::version::Stamp;

/// What is wrong with a profile, where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, {key}: {message}")]
pub struct LayoutError {
    /// Dotted key, or the section that lacks one.
    pub key: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

type Read<T> = Result<T, LayoutError>;

/// Where a profile says nothing: UU 17/2023 gives registrations for life, and these words mean nothing else.
const STR_FOR_LIFE: [&str; 1] = ["Seumur Hidup"];
/// Longest of these texts, in bytes without blanks.
const FOR_LIFE_BYTES_MAX: usize = 64;

pub(super) fn read(text: &str) -> Read<Layout> {
    let document = DeTable::parse(text).map_err(|error| LayoutError {
        key: "profile".to_owned(),
        line: line(text, error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let root = Section { text, path: String::new(), start: 0, table: document.get_ref() };

    let profile = root.section("profile")?;
    let name = profile.text("name")?;
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return Err(profile.error("name", "must be lower-case letters, digits and hyphens"));
    }
    let version = profile.version()?;

    let record = root.section("record")?;
    record.only(&[
        "code_system",
        "zone",
        "stamp",
        "stamp_formats",
        "date_formats",
        "str_for_life",
        "fields",
        "employment",
        "pendidikan",
        "pelatihan",
    ])?;
    let code_system = record.symbol("code_system", super::CodeSystem::ALL, super::CodeSystem::as_str)?;
    let zone = Zone::parse(record.text("zone")?).ok_or_else(|| {
        record.error("zone", "must be Asia/Jakarta, Asia/Makassar, Asia/Jayapura, UTC or an offset such as +07:00")
    })?;
    let stamp = record.symbol("stamp", Stamp::ALL, |stamp| match stamp {
        Stamp::Source => "source",
        Stamp::Fetched => "fetched",
    })?;
    let stamp_formats = match stamp {
        Stamp::Fetched if record.value("stamp_formats").is_none() => Vec::new(),
        _ => record.symbols("stamp_formats", super::StampFormat::ALL, super::StampFormat::as_str)?,
    };
    let date_formats = record.symbols("date_formats", super::DateFormat::ALL, super::DateFormat::as_str)?;

    let str_for_life = match record.value("str_for_life") {
        None => STR_FOR_LIFE.map(str::to_owned).to_vec(),
        Some(_) => record.texts("str_for_life")?,
    };

    let fields = record.section("fields")?;
    let person = fields.names::<PersonField>()?;
    if stamp == Stamp::Source && person.name(PersonField::LastUpdated).is_none() {
        return Err(fields.error("last_updated", "is needed where stamp = \"source\""));
    }
    Ok(Layout {
        name: name.to_owned(),
        version,
        code_system,
        zone,
        stamp,
        stamp_formats,
        date_formats,
        str_for_life,
        employment: record.list("employment", &person, PersonField::Employments)?,
        pendidikan: record.list("pendidikan", &person, PersonField::Pendidikan)?,
        pelatihan: record.list("pelatihan", &person, PersonField::Pelatihan)?,
        person,
    })
}

/// One table of the file, and where it stands.
struct Section<'t, 'i> {
    text: &'i str,
    path: String,
    start: usize,
    table: &'t DeTable<'i>,
}

impl<'t, 'i> Section<'t, 'i> {
    fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    /// An error at a key, or at the section that lacks it.
    fn error(&self, key: &str, message: impl Into<String>) -> LayoutError {
        let start = self.table.get_key_value(key).map_or(self.start, |(key, _)| key.span().start);
        LayoutError { key: self.child(key), line: line(self.text, start), message: message.into() }
    }

    fn child(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn section(&self, key: &str) -> Read<Section<'t, 'i>> {
        self.opt_section(key)?.ok_or_else(|| self.error(key, "section is missing"))
    }

    fn opt_section(&self, key: &str) -> Read<Option<Section<'t, 'i>>> {
        let Some((name, value)) = self.table.get_key_value(key) else {
            return Ok(None);
        };
        let table = value.get_ref().as_table().ok_or_else(|| self.error(key, "must be a section"))?;
        Ok(Some(Section { text: self.text, path: self.child(key), start: name.span().start, table }))
    }

    /// Refuses keys that nobody reads: a misspelt key would otherwise silently do nothing.
    fn only(&self, known: &[&str]) -> Read<()> {
        let mut unknown: Vec<_> = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).collect();
        unknown.sort_by_key(|key| key.span().start);
        unknown.first().map_or(Ok(()), |key| {
            Err(self.error(key.get_ref(), format!("unknown key; known here: {}", known.join(", "))))
        })
    }

    fn text(&self, key: &str) -> Read<&'t str> {
        match self.value(key).map(|value| value.get_ref()) {
            None => Err(self.error(key, "is missing")),
            Some(DeValue::String(text)) => Ok(text),
            Some(_) => Err(self.error(key, "must be text in quotes")),
        }
    }

    fn version(&self) -> Read<u32> {
        let key = "version";
        let value = self.value(key).ok_or_else(|| self.error(key, "is missing"))?;
        let version = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
            _ => None,
        };
        version.filter(|version| *version > 0).ok_or_else(|| self.error(key, "must be a whole number from 1"))
    }

    fn symbol<T: Copy>(&self, key: &str, all: &[T], name: fn(T) -> &'static str) -> Read<T> {
        let text = self.text(key)?;
        pick(text, all, name).ok_or_else(|| self.error(key, one_of(all, name)))
    }

    fn symbols<T: Copy + PartialEq>(&self, key: &str, all: &[T], name: fn(T) -> &'static str) -> Read<Vec<T>> {
        let list = match self.value(key).map(|value| value.get_ref()) {
            None => return Err(self.error(key, "is missing")),
            Some(DeValue::Array(list)) if !list.is_empty() => list,
            Some(_) => return Err(self.error(key, "must be a list of at least one")),
        };
        let mut symbols = Vec::with_capacity(list.len());
        for item in list.iter() {
            let symbol = item
                .get_ref()
                .as_str()
                .and_then(|text| pick(text, all, name))
                .ok_or_else(|| self.error(key, one_of(all, name)))?;
            if symbols.contains(&symbol) {
                return Err(self.error(key, format!("{} stands there twice", name(symbol))));
            }
            symbols.push(symbol);
        }
        Ok(symbols)
    }

    /// A list of short texts, which may be empty.
    fn texts(&self, key: &str) -> Read<Vec<String>> {
        let list = self.value(key).and_then(|value| value.get_ref().as_array());
        let list = list.ok_or_else(|| self.error(key, "must be a list of texts"))?;
        let texts = list.iter().map(|item| {
            let text = item.get_ref().as_str().unwrap_or_default();
            let bytes: usize = text.split_whitespace().map(str::len).sum();
            match bytes {
                1..=FOR_LIFE_BYTES_MAX => Ok(text.to_owned()),
                _ => Err(self.error(key, "each must be a text of 1 to 64 bytes without its blanks")),
            }
        });
        texts.collect()
    }

    /// The names of a set of our fields.
    fn names<F: Field>(&self) -> Read<Names<F>> {
        let keys: Vec<&str> = F::ALL.iter().map(|field| field.key()).collect();
        self.only(&keys)?;
        let mut names = Names::empty();
        for field in F::ALL {
            let key = field.key();
            if self.value(key).is_none() {
                continue;
            }
            let name = self.text(key)?;
            if name.is_empty() {
                return Err(self.error(key, "must name a field; leave the line out if there is none"));
            }
            if !names.insert(*field, name) {
                return Err(self.error(key, format!("{name} is already another field's name")));
            }
        }
        Ok(names)
    }

    /// The names of the fields of a list, which go together with the name of the list itself.
    fn list<F: Field>(&self, key: &str, person: &Names<PersonField>, list: PersonField) -> Read<Names<F>> {
        match (self.opt_section(key)?, person.name(list)) {
            (Some(section), Some(_)) => section.names(),
            (None, None) => Ok(Names::empty()),
            (Some(_), None) => {
                Err(self.error(key, format!("needs the list's own name, {}, in record.fields", list.key())))
            }
            (None, Some(_)) => {
                Err(self.error(key, format!("section is missing, while record.fields names {}", list.key())))
            }
        }
    }
}

fn pick<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Option<T> {
    all.iter().copied().find(|symbol| name(*symbol) == text)
}

fn one_of<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
    let names: Vec<_> = all.iter().map(|symbol| name(*symbol)).collect();
    format!("must be of: {}", names.join(", "))
}

/// Line, from 1, of a byte of the file.
fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::LayoutError;

    const GOOD: &str = r#"[profile]
name = "contoh"
version = 3

[auth]
kind = "whatever the producer knows"

[record]
code_system = "bps-2023"
zone = "Asia/Makassar"
stamp = "source"
stamp_formats = ["rfc3339", "epoch_ms"]
date_formats = ["dmy_slash"]

[record.fields]
nik = "nomor"
last_updated = "diubah"
employments = "kerja"

[record.employment]
unit = "nomor"
"#;

    #[test]
    fn a_profile_is_read_in_full() {
        let layout = Layout::from_profile_toml(GOOD).expect("a good profile");
        assert_eq!(layout.source(), "contoh/3");
        assert_eq!(layout.code_system, CodeSystem::Bps2023);
        assert_eq!(layout.zone.east_seconds(), 8 * 3_600);
        assert_eq!(layout.stamp, Stamp::Source);
        assert_eq!(layout.stamp_formats, [StampFormat::Rfc3339, StampFormat::EpochMs]);
        assert_eq!(layout.date_formats, [DateFormat::DmySlash]);
        assert_eq!(layout.person.name(PersonField::Nik), Some("nomor"));
        assert_eq!(layout.person.field("nomor"), Some(PersonField::Nik));
        assert_eq!(layout.person.name(PersonField::Nama), None);
        assert_eq!(layout.employment.field("nomor"), Some(EmploymentField::Unit));
        assert!(layout.pendidikan.is_empty() && layout.pelatihan.is_empty());
    }

    #[test]
    fn every_profile_that_ships_is_good_and_says_its_own_name() {
        for (name, text) in SHIPPED {
            let layout = Layout::from_profile_toml(text).expect("a shipped profile");
            assert_eq!(layout.name, *name);
            assert_eq!(shipped(name), Some(*text));
            assert!(layout.person.name(PersonField::Nik).is_some());
        }
        assert_eq!(shipped("no-such-profile"), None);
    }

    #[test]
    fn every_file_among_the_profiles_ships() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../producer/profiles");
        let files = std::fs::read_dir(folder).expect("producer/profiles");
        let mut files: Vec<String> =
            files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        files.sort();
        let mut shipped: Vec<String> = SHIPPED.iter().map(|(name, _)| format!("{name}.toml")).collect();
        shipped.sort();
        assert_eq!(files, shipped, "layout::SHIPPED lists every profile");
    }

    #[test]
    fn the_default_profile_names_every_field_of_ours() {
        let text = shipped("sdmk-modified").expect("the default profile");
        let layout = Layout::from_profile_toml(text).expect("a good profile");
        assert_eq!(layout.source(), "sdmk-modified/1");
        assert!(PersonField::ALL.iter().all(|field| layout.person.name(*field).is_some()));
        // No source is known that has an id for a job.
        let mut fields = EmploymentField::ALL.iter().filter(|field| **field != EmploymentField::Id);
        assert!(fields.all(|field| layout.employment.name(*field).is_some()));
        assert!(PendidikanField::ALL.iter().all(|field| layout.pendidikan.name(*field).is_some()));
        assert!(PelatihanField::ALL.iter().all(|field| layout.pelatihan.name(*field).is_some()));
        assert_eq!(layout.employment.field("TANGGAL_AKHIR_STR"), Some(EmploymentField::StrBerlakuSampai));
        assert_eq!(layout.employment.field("tanggal_akhir_str"), None);
    }

    #[test]
    fn words_for_life_are_the_profiles_own_or_the_usual_ones() {
        let of = |line: &str| {
            let text = GOOD.replacen("date_formats", &format!("{line}\ndate_formats"), 1);
            Layout::from_profile_toml(&text).map(|layout| layout.str_for_life)
        };
        assert_eq!(of("").expect("good"), ["Seumur Hidup"]);
        assert_eq!(of("str_for_life = []").expect("good"), [""; 0]);
        assert_eq!(of(r#"str_for_life = ["Lifetime", "9999-12-31"]"#).expect("good"), ["Lifetime", "9999-12-31"]);
        for line in ["str_for_life = 1", r#"str_for_life = "x""#, "str_for_life = [1]", r#"str_for_life = ["\u3000"]"#]
        {
            assert_eq!(of(line).expect_err(line).key, "record.str_for_life");
        }
        assert!(of(&format!("str_for_life = [\"{}\"]", "x".repeat(65))).is_err());
    }

    /// Changes the good profile in one place; what is found must name the key and its line.
    fn check(from: &str, to: &str, key: &str, line: usize, message: &str) {
        assert!(GOOD.contains(from), "{from}");
        let error = Layout::from_profile_toml(&GOOD.replacen(from, to, 1));
        let error: LayoutError = error.expect_err(to);
        assert_eq!((error.key.as_str(), error.line), (key, line), "{error}");
        assert!(error.message.contains(message), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key_and_line() {
        check("nik = \"nomor\"", "nikk = \"nomor\"", "record.fields.nikk", 16, "unknown key");
        check("unit =", "gaji =", "record.employment.gaji", 21, "unknown key");
        check("zone =", "zona =", "record.zona", 10, "unknown key");
        check("[record.employment]", "[record.jobs]\nx = 1\n[record.employment]", "record.jobs", 20, "unknown key");
        check("bps-2023", "bps-2024", "record.code_system", 9, "kemendagri-2025");
        check("Asia/Makassar", "WITA", "record.zone", 10, "Asia/Jayapura");
        check("\"source\"", "\"sumber\"", "record.stamp", 11, "fetched");
        check("\"epoch_ms\"", "\"epoch\"", "record.stamp_formats", 12, "epoch_ms");
        check("\"epoch_ms\"", "\"rfc3339\"", "record.stamp_formats", 12, "twice");
        check("\"epoch_ms\"", "5", "record.stamp_formats", 12, "epoch_ms");
        check("[\"dmy_slash\"]", "[]", "record.date_formats", 13, "at least one");
        check("[\"dmy_slash\"]", "\"iso\"", "record.date_formats", 13, "list");
        check("date_formats = [\"dmy_slash\"]", "", "record.date_formats", 8, "missing");
        check("\"diubah\"", "\"nomor\"", "record.fields.last_updated", 17, "already");
        check("\"diubah\"", "\"\"", "record.fields.last_updated", 17, "must name a field");
        check("\"diubah\"", "1", "record.fields.last_updated", 17, "text");
        check("last_updated = \"diubah\"", "", "record.fields.last_updated", 15, "stamp");
        check("employments = \"kerja\"", "", "record.employment", 20, "employments");
        check("[record.employment]\nunit = \"nomor\"", "", "record.employment", 8, "missing");
        check("version = 3", "version = 0", "profile.version", 3, "whole number");
        check("version = 3", "version = \"3\"", "profile.version", 3, "whole number");
        check("version = 3", "", "profile.version", 1, "missing");
        check("\"contoh\"", "\"Contoh 1\"", "profile.name", 2, "lower-case");
        check("[profile]", "[profil]", "profile", 1, "missing");
        check("[record]\n", "[record\n", "profile", 8, "");
    }

    #[test]
    fn a_source_without_stamps_needs_neither_their_field_nor_their_formats() {
        let text = GOOD
            .replace("\"source\"", "\"fetched\"")
            .replace("stamp_formats = [\"rfc3339\", \"epoch_ms\"]\n", "")
            .replace("last_updated = \"diubah\"\n", "");
        let layout = Layout::from_profile_toml(&text).expect("a good profile");
        assert_eq!(layout.stamp, Stamp::Fetched);
        assert!(layout.stamp_formats.is_empty());
    }
}
