//! One raw record to one verdict.

use std::borrow::Cow;
use std::fmt;

use schemas::json::{JsonFault, Scanner, Value};
use schemas::layout::{Fields, PersonField as P};
use schemas::stamp::{self, StampFault};
use schemas::version::Stamp;
use schemas::worker::{Body, Employment, JenisKelamin, Pelatihan, Pendidikan, StatusAktif};
use schemas::{Date, Masked, Nik, Timestamp};

use crate::memory::{ListOrders, Memory};
use crate::place::{CluePaths, Clues};
use crate::reading::{FieldCounts, Found, Reading, list, path, scalar};
use crate::reason::{FieldPath, Reason};
use crate::rulebook::Rules;
use crate::{Code, employment_key, history, jenis_kelamin, nik, text, title};

/// One record as it came from the source.
#[derive(Clone, Copy)]
pub struct RawRecord<'a> {
    /// Its bytes, exactly as received.
    pub payload: &'a [u8],
    /// When the source gave it out. It is "now" for every rule, so that a replay judges the same.
    pub fetched_at: Timestamp,
}

/// What the rules say about a record.
#[derive(Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "almost every record is clean, and a box would cost each of them an allocation"
)]
pub enum Verdict<'a> {
    /// It can be published; its soft reasons are in `body.warnings`.
    Clean {
        /// The source's stamp, or `fetched_at` where the source has none.
        last_updated: Timestamp,
        /// The business fields.
        body: Body<'a>,
    },
    /// It is a dead letter.
    Rejected {
        /// Every hard reason, at least one, in catalogue order, then by field.
        reasons: Vec<Reason>,
    },
}

impl fmt::Debug for RawRecord<'_> {
    /// The size alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRecord").field("payload_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Verdict<'_> {
    /// Codes and counts; never a value of the record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean { body, .. } => f.debug_tuple("Clean").field(body).finish(),
            Self::Rejected { reasons } => f.debug_tuple("Rejected").field(reasons).finish(),
        }
    }
}

/// Judges one record by `docs/CONTRACT.md` section 11.
///
/// Result: the clean record, its texts borrowed from the payload wherever the clean form is a part of it; or every
/// hard reason at once. A record that cannot be read as JSON has that one reason only.
/// Never panics, whatever the bytes; takes memory in proportion to the payload at most.
#[must_use]
pub fn judge<'a>(raw: &RawRecord<'a>, rules: &Rules) -> Verdict<'a> {
    judge_and_count(raw, rules, &mut Memory::default()).0
}

/// As [`judge`], with the number of fields that the profile does not know and of those that it misses; none for a record
/// that cannot be read as JSON.
///
/// `memory` is kept from record to record: it makes the next one of the same source faster, and says nothing about it.
#[must_use]
pub fn judge_and_count<'a>(raw: &RawRecord<'a>, rules: &Rules, memory: &mut Memory) -> (Verdict<'a>, FieldCounts) {
    let mut reading = Reading::new(rules);
    let mut person = Person::default();
    match person.read(raw, &mut reading, memory) {
        Ok(()) => {
            let fields = reading.fields;
            (person.judge(raw.fetched_at, reading), fields)
        }
        Err(fault) => (Verdict::Rejected { reasons: vec![Reason::of_record(code_of(fault))] }, FieldCounts::default()),
    }
}

fn code_of(fault: JsonFault) -> Code {
    match fault {
        JsonFault::NotUtf8 | JsonFault::Invalid => Code::JsonInvalid,
        JsonFault::NotObject => Code::JsonNotObject,
        JsonFault::DuplicateKey => Code::JsonDuplicateKey,
        JsonFault::NumberRange => Code::JsonNumberRange,
        JsonFault::Surrogate => Code::JsonSurrogate,
        JsonFault::Nul => Code::JsonNul,
        JsonFault::Depth => Code::JsonDepth,
    }
}

/// The record, judged as far as single fields can be.
#[derive(Default)]
struct Person<'a> {
    nik: Found<(Nik<'a>, nik::Parts)>,
    /// As received, and in its parts.
    nama: Found<(Cow<'a, str>, title::Parts<'a>)>,
    /// As received, and what it means.
    status_aktif: Found<(Cow<'a, str>, StatusAktif)>,
    last_updated: Found<Timestamp>,
    jenis_kelamin: Option<JenisKelamin>,
    jenis_kelamin_is_unknown: bool,
    tempat_lahir: Option<Masked<'a>>,
    tanggal_lahir: Option<Date>,
    alamat: Option<Masked<'a>>,
    clues: Clues<'a>,
    employments: Vec<Employment<'a>>,
    pendidikan: Vec<Pendidikan<'a>>,
    pelatihan: Vec<Pelatihan<'a>>,
}

impl<'a> Person<'a> {
    /// The one pass over the payload.
    fn read(&mut self, raw: &RawRecord<'a>, reading: &mut Reading<'_>, memory: &mut Memory) -> Result<(), JsonFault> {
        let (layout, paths) = (&reading.rules.layout, &reading.rules.paths.person);
        let mut scanner = Scanner::record(raw.payload)?;
        let Memory { person: order, lists } = memory;
        let mut fields = Fields::new(&layout.person, order);
        while let Some(field) = fields.next(&mut scanner)? {
            self.field(&mut scanner, reading, lists, field, path(paths, field), raw.fetched_at)?;
        }
        scanner.end()?;
        reading.count(reading.rules.declared.person, &fields);
        Ok(())
    }

    fn field(
        &mut self,
        scanner: &mut Scanner<'a>,
        reading: &mut Reading<'_>,
        orders: &mut ListOrders,
        field: P,
        path: &FieldPath,
        fetched_at: Timestamp,
    ) -> Result<(), JsonFault> {
        match field {
            P::Nik => read_nik(reading, path, scanner, &mut self.nik)?,
            P::Nama => read_nama(reading, path, scanner, &mut self.nama)?,
            P::JenisKelamin => {
                let mut text = Found::Null;
                reading.clean(scanner, path, &mut text)?;
                self.jenis_kelamin = match &text {
                    Found::Good(text) => jenis_kelamin::read(text),
                    Found::Null | Found::Refused => None,
                };
                self.jenis_kelamin_is_unknown = matches!(text, Found::Good(_)) && self.jenis_kelamin.is_none();
            }
            P::TempatLahir => reading.masked(scanner, path, &mut self.tempat_lahir)?,
            P::TanggalLahir => {
                reading.date(scanner, path, &mut self.tanggal_lahir)?;
                let today = reading.rules.layout.zone.date_of(fetched_at);
                if self.tanggal_lahir.is_some_and(|date| date > today) {
                    reading.refuse(Code::DateInvalid, path);
                }
            }
            P::Alamat => reading.masked(scanner, path, &mut self.alamat)?,
            P::KodeProvinsi => reading.received(scanner, path, &mut self.clues.kode_provinsi)?,
            // Judged as any text, and never compared.
            P::NamaProvinsi => reading.text(scanner, path, &mut None)?,
            P::KodeKabupaten => reading.received(scanner, path, &mut self.clues.kode_kabupaten)?,
            P::NamaKabupaten => reading.clean(scanner, path, &mut self.clues.nama_kabupaten)?,
            P::StatusAktif => read_status_aktif(reading, path, scanner, &mut self.status_aktif)?,
            P::LastUpdated => self.last_updated = read_last_updated(reading, path, scanner, fetched_at)?,
            P::Employments => {
                list(scanner, reading, &mut orders.employment, path, &mut self.employments, history::employment)?
            }
            P::Pendidikan => {
                list(scanner, reading, &mut orders.pendidikan, path, &mut self.pendidikan, history::pendidikan)?
            }
            P::Pelatihan => {
                list(scanner, reading, &mut orders.pelatihan, path, &mut self.pelatihan, history::pelatihan)?
            }
        }
        Ok(())
    }

    /// What only the whole record can tell, and the verdict.
    fn judge(mut self, fetched_at: Timestamp, mut reading: Reading<'_>) -> Verdict<'a> {
        let (rules, paths) = (reading.rules, &reading.rules.paths.person);
        if rules.layout.stamp == Stamp::Fetched {
            self.last_updated = Found::Good(fetched_at);
        }
        for (is_null, code, field) in [
            (matches!(self.nik, Found::Null), Code::NikMissing, P::Nik),
            (matches!(self.nama, Found::Null), Code::NamaMissing, P::Nama),
            (matches!(self.status_aktif, Found::Null), Code::StatusAktifMissing, P::StatusAktif),
            (matches!(self.last_updated, Found::Null), Code::LastUpdatedMissing, P::LastUpdated),
        ] {
            if is_null {
                reading.refuse(code, path(paths, field));
            }
        }
        let clue_paths = CluePaths {
            kode_provinsi: path(paths, P::KodeProvinsi),
            kode_kabupaten: path(paths, P::KodeKabupaten),
            nama_kabupaten: path(paths, P::NamaKabupaten),
        };
        let place = self.clues.judge(&mut reading, &clue_paths);

        let reasons = reading.into_reasons();
        let (
            Found::Good((nik, digits)),
            Found::Good((nama_asal, name)),
            Found::Good((status_aktif_asal, status_aktif)),
            Found::Good(last_updated),
            [],
        ) = (self.nik, self.nama, self.status_aktif, self.last_updated, reasons.as_slice())
        else {
            debug_assert!(!reasons.is_empty(), "whatever is missing has told why");
            return Verdict::Rejected { reasons };
        };
        let soft = [
            (Code::NikRegionUnknown, !digits.has_known_regency(&rules.nik_regions)),
            (Code::NikKecamatanUnknown, digits.has_known_regency(&rules.nik_regions) && !digits.may_have_kecamatan()),
            (Code::NikBirthDateDiffers, self.tanggal_lahir.is_some_and(|date| !digits.has_birth_date(date))),
            (
                Code::NikSexDiffers,
                self.jenis_kelamin.is_some_and(|sex| !digits.has_sex(sex == JenisKelamin::Perempuan)),
            ),
            (Code::JenisKelaminUnknown, self.jenis_kelamin_is_unknown),
            (Code::TanggalLahirMissing, self.tanggal_lahir.is_none()),
            (Code::RegionMissing, matches!(place, Found::Null)),
        ];
        let warnings = soft.iter().filter(|(_, applies)| *applies).map(|(code, _)| Cow::Borrowed(code.as_str()));
        let (kode_wilayah, kode_wilayah_asal) = match place {
            Found::Good(place) => (Some(Cow::Borrowed(place.kode)), Some(place.asal)),
            Found::Null | Found::Refused => (None, None),
        };
        employment_key::assign(&mut self.employments);
        let body = Body {
            nik,
            nama: Masked::new(name.nama),
            nama_asal: Masked::new(nama_asal),
            gelar_depan: name.gelar_depan.map(Masked::new),
            gelar_belakang: name.gelar_belakang.map(Masked::new),
            jenis_kelamin: self.jenis_kelamin,
            tempat_lahir: self.tempat_lahir,
            tanggal_lahir: self.tanggal_lahir,
            alamat: self.alamat,
            status_aktif,
            status_aktif_asal,
            kode_wilayah,
            kode_wilayah_asal,
            pendidikan: self.pendidikan,
            pelatihan: self.pelatihan,
            warnings: warnings.collect(),
            employments: self.employments,
        };
        Verdict::Clean { last_updated, body }
    }
}

fn read_nik<'a>(
    reading: &mut Reading<'_>,
    path: &FieldPath,
    scanner: &mut Scanner<'a>,
    into: &mut Found<(Nik<'a>, nik::Parts)>,
) -> Result<(), JsonFault> {
    let text = match scanner.plain() {
        Some(text) if text::is_sound(text) => Found::Good(Cow::Borrowed(text)),
        Some(text) => reading.clean_of(Value::Text(Cow::Borrowed(text)), path),
        None => match scalar(scanner)? {
            Value::Number(number) if number.contains(['.', 'e', 'E']) => reading.refused(Code::NikNumberInexact, path),
            value => reading.clean_of(value, path),
        },
    };
    *into = text.and_then(|text| {
        let Some(digits) = nik::Parts::read(&text) else {
            return reading.refused(nik::form_reason(&text), path);
        };
        for code in digits.hard_reasons(&reading.rules.nik_regions) {
            reading.refuse(code, path);
        }
        match Nik::new(text) {
            Some(nik) => Found::Good((nik, digits)),
            None => reading.refused(Code::NikLength, path),
        }
    });
    Ok(())
}

fn read_nama<'a>(
    reading: &mut Reading<'_>,
    path: &FieldPath,
    scanner: &mut Scanner<'a>,
    into: &mut Found<(Cow<'a, str>, title::Parts<'a>)>,
) -> Result<(), JsonFault> {
    let mut received = Found::Null;
    reading.received(scanner, path, &mut received)?;
    *into = received.and_then(|received| match received.clean().and_then(title::split) {
        Some(parts) => Found::Good((received.into_received(), parts)),
        None => Found::Null,
    });
    Ok(())
}

fn read_status_aktif<'a>(
    reading: &mut Reading<'_>,
    path: &FieldPath,
    scanner: &mut Scanner<'a>,
    into: &mut Found<(Cow<'a, str>, StatusAktif)>,
) -> Result<(), JsonFault> {
    let mut received = Found::Null;
    reading.received(scanner, path, &mut received)?;
    *into = received.and_then(|received| {
        let Some(text) = received.clean() else {
            return Found::Null;
        };
        match reading.rules.status_aktif.read(&text) {
            Some(status) => Found::Good((received.into_received(), status)),
            None => reading.refused(Code::StatusAktifUnknown, path),
        }
    });
    Ok(())
}

/// Only where the source stamps its records: else the field is read as any text, and its value is not used.
fn read_last_updated(
    reading: &mut Reading<'_>,
    path: &FieldPath,
    scanner: &mut Scanner<'_>,
    fetched_at: Timestamp,
) -> Result<Found<Timestamp>, JsonFault> {
    let layout = &reading.rules.layout;
    let mut text = Found::Null;
    reading.clean(scanner, path, &mut text)?;
    Ok(text.and_then(|text| {
        if layout.stamp == Stamp::Fetched {
            return Found::Null;
        }
        let Some(stamp) = stamp::parse(&text, &layout.stamp_formats, layout.zone) else {
            return reading.refused(Code::LastUpdatedInvalid, path);
        };
        match stamp::credible(stamp, fetched_at) {
            Ok(()) => Found::Good(stamp),
            Err(StampFault::Future) => reading.refused(Code::LastUpdatedFuture, path),
            Err(StampFault::TooOld) => reading.refused(Code::LastUpdatedTooOld, path),
        }
    }))
}
