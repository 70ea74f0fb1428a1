//! A worker as a source writes it down: the source's field names, types and habits, and its flaws.
//!
//! Blanks, escapes, formats and left-out keys are drawn here. They leave no trace in what the record means.

mod history;
mod spoilt;

pub(crate) use self::history::{push_certificate, push_kode_perti};
use self::spoilt::{another_province, another_regency, control_place, date_on_job, spoiled_nik, type_place};
use crate::calendar::{DateFormat, Day, StampForm, push_day, push_number, push_stamp};
use crate::dice::{Dice, Purpose};
use crate::flaw::{Flaw, Flaws};
use crate::pen::{Pen, push_escaped, push_unicode_escape};
use crate::person::{CodeForm, Person, Reach, Region, Sex, Soft, push_regency_name};
use crate::population::{Make, beyond_every_stamp};
use crate::wilayah::Wilayah;

/// Which of the two services writes the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// `GET /rest/sdmk`: active status and stamp.
    SdmkModified,
    /// `GET /rest/biodata`: no stamp; `status`: whether it has the active status, which the observed one lacks.
    BiodataFacility { status: bool },
}

impl Shape {
    /// The flaws that a record of this shape really has.
    pub(crate) fn flaws(self, person: &Person) -> Flaws {
        match self {
            Self::SdmkModified => person.flaws,
            Self::BiodataFacility { status } => person.flaws.without(true, !status),
        }
    }

    /// The reason codes that a record of this shape must earn; none if it is good.
    pub(crate) fn codes(self, person: &Person) -> Vec<&'static str> {
        let flaws = self.flaws(person);
        let mut codes = flaws.codes();
        if self == (Self::BiodataFacility { status: false }) && flaws.json().is_none() {
            codes.push(Flaw::StatusAktifMissing.code());
            codes.sort_unstable();
        }
        codes
    }

    /// Whether a record of this shape must be refused.
    pub(crate) fn is_bad(self, person: &Person) -> bool {
        self == (Self::BiodataFacility { status: false }) || !self.flaws(person).is_empty()
    }

    fn has_status(self) -> bool {
        self != Self::BiodataFacility { status: false }
    }
}

/// Appends the record of `person`.
pub(crate) fn push_record(out: &mut Vec<u8>, person: &Person, wilayah: &Wilayah, make: &Make, shape: Shape) {
    let mut form = Dice::new(make.seed, Purpose::Form, person.index, person.revision);
    let noisy = !person.lean && form.chance(300_000);
    let flaws = shape.flaws(person);
    let sheet =
        Sheet { pen: Pen::new(out), form, noisy, text: String::with_capacity(64), person, wilayah, make, flaws, shape };
    if flaws.has(Flaw::JsonNotObject) {
        sheet.not_an_object();
    } else {
        sheet.object();
    }
}

/// What a source may write where it has nothing.
const BLANKS: [&str; 7] = ["\"\"", "\"-\"", "\"NULL\"", "\"N/A\"", "\"#N/A\"", "\"None\"", "\"  - \""];

struct Sheet<'a> {
    pen: Pen<'a>,
    form: Dice,
    /// Whether this record has harmless oddities at all.
    noisy: bool,
    text: String,
    person: &'a Person,
    wilayah: &'a Wilayah,
    make: &'a Make,
    flaws: Flaws,
    shape: Shape,
}

impl Sheet<'_> {
    fn object(mut self) {
        self.pen.open(b'{');
        self.nik();
        self.name();
        self.sex();
        self.birth();
        self.address();
        if let Some(flaw) = self.flaws.json() {
            self.broken_json(flaw);
        }
        let region_flaw = self.region_flaw(true);
        self.region(&self.person.region, true, region_flaw);
        if self.shape.has_status() {
            self.status();
        }
        if self.shape == Shape::SdmkModified {
            self.stamp();
        }
        if self.noisy && self.form.chance(50_000) {
            // A field that nobody declared.
            self.pen.raw("KETERANGAN", "{\"sumber\":[\"impor\",2019,{\"ok\":true}]}");
        }
        self.jobs();
        self.schools();
        self.trainings();
        if self.flaws.has(Flaw::JsonInvalid) && self.form.chance(200_000) {
            self.pen.out.push(b',');
        }
        self.pen.close(b'}');
    }

    fn person_dice(&self) -> Dice {
        // What a flaw looks like belongs to the worker, not to the oddities of one revision.
        Dice::new(self.make.seed, Purpose::Flaw, self.person.index, 1)
    }

    // -- values ---------------------------------------------------------------------------------------------

    /// A field without a value.
    fn nothing(&mut self, key: &str) {
        if self.noisy {
            match self.form.below(10) {
                0 => return,
                1..=3 => {
                    let blank = self.form.pick(&BLANKS);
                    return self.pen.raw(key, blank);
                }
                _ => {}
            }
        }
        self.pen.raw(key, "null");
    }

    /// What `self.text` holds, as a text field with harmless blanks and escapes.
    fn written(&mut self, key: &str) {
        self.pen.key(key);
        let out = &mut *self.pen.out;
        out.push(b'"');
        if self.noisy && !self.text.is_empty() {
            match self.form.below(40) {
                0 => {
                    out.extend_from_slice(b"  ");
                    push_escaped(out, &self.text);
                }
                1 => {
                    push_escaped(out, &self.text);
                    out.extend_from_slice(b" \\n");
                }
                2 => push_escaped(out, &self.text.replace(' ', "  ")),
                3 => push_escaped(out, &self.text.replace(' ', "\u{a0}")),
                4 => push_escaped(out, &self.text.replace(' ', "\t ")),
                5 => {
                    let mut rest = self.text.chars();
                    if let Some(first) = rest.next().filter(char::is_ascii) {
                        push_unicode_escape(out, u32::from(first));
                        push_escaped(out, rest.as_str());
                    } else {
                        push_escaped(out, &self.text);
                    }
                }
                6 if !self.text.contains(['"', '\\']) => {
                    out.extend_from_slice(self.text.replace('/', "\\/").as_bytes());
                }
                _ => push_escaped(out, &self.text),
            }
        } else {
            push_escaped(out, &self.text);
        }
        out.push(b'"');
    }

    /// A text that must arrive character by character.
    fn exact(&mut self, key: &str, value: &str) {
        self.pen.text(key, Some(value));
    }

    /// A text field, or one without a value.
    fn text(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => {
                self.text.clear();
                self.text.push_str(value);
                self.written(key);
            }
            None => self.nothing(key),
        }
    }

    /// Digits in `self.text`: as text, or as a number where `as_number`.
    fn digits(&mut self, key: &str, as_number: bool) {
        let number = as_number && !self.text.starts_with('0') && self.text.bytes().all(|byte| byte.is_ascii_digit());
        if self.text.contains(' ') {
            // The blank inside is part of what must be kept.
            let text = std::mem::take(&mut self.text);
            self.exact(key, &text);
            self.text = text;
        } else if number {
            self.pen.key(key);
            self.pen.out.extend_from_slice(self.text.as_bytes());
        } else {
            self.written(key);
        }
    }

    fn now_and_then(&mut self, per_million: u32) -> bool {
        self.noisy && self.form.chance(per_million)
    }

    fn date(&mut self, key: &str, day: Option<Day>) {
        let Some(day) = day else { return self.nothing(key) };
        let formats = &self.make.date_formats;
        let mut format = if self.noisy { self.form.pick(formats) } else { formats[0] };
        let (_, month, of_month) = day.ymd();
        if self.make.ambiguous_dates()
            && is_slashed(format)
            && of_month <= 12
            && of_month != month
            && let Some(clear) = formats.iter().find(|it| !is_slashed(**it))
        {
            format = *clear;
        }
        self.text.clear();
        push_day(&mut self.text, day, format);
        let as_number = format == DateFormat::ExcelSerial && self.form.chance(500_000);
        self.digits(key, as_number);
    }

    // -- the person -------------------------------------------------------------------------------------------

    fn nik(&mut self) {
        let key = "NIK";
        let mut dice = self.person_dice();
        if self.flaws.has(Flaw::NikMissing) {
            return match dice.below(4) {
                0 => {}
                1 => self.pen.raw(key, "null"),
                2 => self.pen.raw(key, "\"\""),
                _ => self.pen.raw(key, "\" - \""),
            };
        }
        let nik = spoiled_nik(self.person, self.flaws, &mut dice);
        if self.flaws.has(Flaw::NikNumberInexact) {
            let value = match dice.below(3) {
                0 => format!("{nik}.0"),
                1 => format!("{}.{}E+15", &nik[..1], &nik[1..]),
                _ => format!("{}.{}e15", &nik[..1], &nik[1..6]),
            };
            return self.pen.raw(key, &value);
        }
        if self.flaws.has(Flaw::NikSpreadsheet) {
            let value = match dice.below(5) {
                0 => format!("{}.{}E+15", &nik[..1], &nik[1..3]),
                1 => format!("{nik}.0"),
                2 => format!("'{nik}"),
                3 => format!("={nik}"),
                _ => format!("{},{}E+15", &nik[..1], &nik[1..6]),
            };
            return self.exact(key, &value);
        }
        if self.flaws.has(Flaw::NikLength) {
            let value = match dice.below(5) {
                0 => nik[..15].to_owned(),
                1 => format!("{nik}7"),
                2 => format!("{}O{}", &nik[..9], &nik[10..]),
                3 => format!("{} {}", &nik[..6], &nik[6..]),
                _ => return self.pen.raw(key, &nik[..15]),
            };
            return self.exact(key, &value);
        }
        // Numbers of Papua are above 2^53: a reader that goes through floating point spoils them.
        let as_number = !self.person.lean
            && !nik.starts_with('0')
            && self.form.chance(if nik.starts_with('9') { 200_000 } else { 15_000 });
        if as_number {
            self.pen.raw(key, &nik);
        } else if self.now_and_then(50_000) {
            self.exact(key, &format!(" {nik} "));
        } else {
            self.exact(key, &nik);
        }
    }

    fn name(&mut self) {
        let key = "NAMA";
        let mut dice = self.person_dice();
        if self.flaws.has(Flaw::NamaMissing) {
            return match dice.below(4) {
                0 => {}
                1 => self.pen.raw(key, "null"),
                2 => self.pen.raw(key, "\"   \""),
                _ => self.pen.raw(key, "\"n/a\""),
            };
        }
        self.text.clear();
        self.person.name.push_asal(&mut self.text);
        if self.flaws.has(Flaw::TextControlCharacter) && control_place(&mut dice) == 0 {
            self.text.push('\u{7}');
        }
        self.pen.key(key);
        let out = &mut *self.pen.out;
        out.push(b'"');
        push_escaped(out, &self.text);
        out.push(b'"');
    }

    fn sex(&mut self) {
        let key = "JENIS_KELAMIN";
        if self.person.soft == Some(Soft::JenisKelaminUnknown) {
            let odd = self.form.pick(&["X", "?", "Lainnya", "1"]);
            return self.exact(key, odd);
        }
        let Some(sex) = self.person.stated_sex else { return self.nothing(key) };
        let words: &[&str] = match sex {
            Sex::Man => &["l", "Laki-laki", "LAKI - LAKI", "PRIA", " L ", "Laki Laki"],
            Sex::Woman => &["p", "Perempuan", "PEREMPUAN", "Wanita", " P "],
        };
        let word = if self.now_and_then(400_000) { self.form.pick(words) } else { sex.letter() };
        self.exact(key, word);
    }

    fn birth(&mut self) {
        let mut dice = self.person_dice();
        if self.flaws.has(Flaw::FieldType) && type_place(&mut dice, self.person) == 1 {
            self.pen.raw("TEMPAT_LAHIR", "[]");
        } else {
            self.text.clear();
            if self.person.push_birth_place(&mut self.text, self.wilayah) {
                self.written("TEMPAT_LAHIR");
            } else {
                self.nothing("TEMPAT_LAHIR");
            }
        }
        let key = "TANGGAL_LAHIR";
        let on_job = date_on_job(&mut dice, self.person);
        if self.flaws.has(Flaw::DateInvalid) && !on_job {
            return self.impossible_date(key, dice);
        }
        if self.flaws.has(Flaw::DateAmbiguous) && !on_job {
            return self.exact(key, "03/04/1990");
        }
        self.date(key, self.person.birth_date);
    }

    fn impossible_date(&mut self, key: &str, mut dice: Dice) {
        let value = dice.pick(&[
            "1990-02-30",
            "31-04-1985",
            "1890-01-01",
            "2999-12-31",
            "bukan tanggal",
            "0000-00-00",
            "1990-13-01",
        ]);
        self.exact(key, value);
    }

    fn address(&mut self) {
        let key = "ALAMAT";
        let mut dice = self.person_dice();
        if self.flaws.has(Flaw::TextTooLong) {
            let mut long = String::with_capacity(5_000);
            while long.len() <= 4_200 {
                long.push_str("Jl. Panjang Sekali No. ");
                push_number(&mut long, u64::from(self.person.index), 1);
                long.push(' ');
            }
            return self.exact(key, long.trim_end());
        }
        if self.flaws.has(Flaw::FieldType) && type_place(&mut dice, self.person) == 0 {
            let value = dice.pick(&["true", "12.5", "{\"jalan\":\"Melati\"}", "[\"Jl. Melati\"]"]);
            return self.pen.raw(key, value);
        }
        let mut dice = self.person_dice();
        if self.flaws.has(Flaw::TextControlCharacter) && control_place(&mut dice) != 0 {
            let odd = dice.pick(&['\u{1b}', '\u{7}', '\u{202e}', '\u{200f}', '\u{2066}', '\u{81}']);
            return self.exact(key, &format!("Jl. Melati {odd}No. 1"));
        }
        self.text.clear();
        match self.person.address {
            Some(address) => {
                address.push(&mut self.text);
                self.written(key);
            }
            None => self.nothing(key),
        }
    }

    fn status(&mut self) {
        let key = "STATUS_AKTIF";
        let mut dice = self.person_dice();
        if self.flaws.has(Flaw::StatusAktifMissing) {
            match dice.below(3) {
                0 => {}
                1 => self.pen.raw(key, "null"),
                _ => self.pen.raw(key, "\"-\""),
            }
        } else if self.flaws.has(Flaw::StatusAktifUnknown) {
            let odd = dice.pick(&["Pensiun", "Meninggal", "Y", "Mutasi"]);
            self.exact(key, odd);
        } else {
            self.exact(key, self.person.status_asal);
        }
    }

    fn stamp(&mut self) {
        let key = "LAST_UPDATED";
        let mut dice = self.person_dice();
        if self.flaws.has(Flaw::LastUpdatedMissing) {
            return match dice.below(3) {
                0 => {}
                1 => self.pen.raw(key, "null"),
                _ => self.pen.raw(key, "\"\""),
            };
        }
        if self.flaws.has(Flaw::LastUpdatedInvalid) {
            let value =
                dice.pick(&["kemarin", "2026-13-45T10:00:00+07:00", "20/11/2026 08:15", "2026-11-20T25:61:00Z"]);
            return self.exact(key, value);
        }
        if self.flaws.has(Flaw::LastUpdatedTooOld) {
            let value = dice.pick(&["1970-01-01T07:00:00+07:00", "1999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]);
            return self.exact(key, value);
        }
        let stamp = if self.flaws.has(Flaw::LastUpdatedFuture) {
            beyond_every_stamp(self.person.stamp)
        } else {
            self.person.stamp
        };
        let decimals = if self.person.revision > 0 || stamp != stamp.whole_second() { 6 } else { 0 };
        let form = match self.form.below(100) {
            0..=9 => StampForm::Utc { decimals },
            10..=15 => StampForm::Offset { minutes: 8 * 60, decimals },
            16..=21 => StampForm::Offset { minutes: 9 * 60, decimals },
            22..=24 => StampForm::NaiveWib { decimals },
            25 => StampForm::Utc { decimals: 9 },
            26..=27 => StampForm::Offset { minutes: 7 * 60, decimals: 6 },
            _ => StampForm::Offset { minutes: 7 * 60, decimals },
        };
        self.text.clear();
        push_stamp(&mut self.text, stamp, form);
        let text = std::mem::take(&mut self.text);
        self.exact(key, &text);
        self.text = text;
    }

    // -- regions ----------------------------------------------------------------------------------------------

    /// The flaw of the person's region, or of the first job's: where both exist, the worker's dice decide.
    fn region_flaw(&self, of_person: bool) -> Option<Flaw> {
        let flaw = [Flaw::RegionUnknown, Flaw::RegionProvinceDiffers, Flaw::RegionNameDiffers]
            .into_iter()
            .find(|flaw| self.flaws.has(*flaw))?;
        let first_job = self.person.jobs.iter().next();
        let on_job =
            first_job.is_some_and(|job| job.region.reach == Reach::Regency) && self.person_dice().below(3) == 0;
        (on_job != of_person).then_some(flaw)
    }

    fn region(&mut self, region: &Region, of_person: bool, flaw: Option<Flaw>) {
        let system = self.make.code_system;
        let [prov, prov_name, kab, kab_name] = if of_person {
            ["KODE_PROV", "NAMA_PROV", "KODE_KAB", "NAMA_KAB"]
        } else {
            ["KODE_PROV", "PROVINSI", "KODE_KAB", "KABKOT"]
        };
        let numbers = !of_person;
        if region.reach == Reach::Nowhere {
            for key in [prov, prov_name, kab, kab_name] {
                self.nothing(key);
            }
            return;
        }
        let (wilayah, regency) = (self.wilayah, &self.wilayah.regencies[region.regency]);
        let mut dice = self.person_dice();
        // A lean job names its regency only.
        let with_province = of_person || !self.person.lean || flaw == Some(Flaw::RegionProvinceDiffers);
        self.text.clear();
        if flaw == Some(Flaw::RegionProvinceDiffers) {
            self.text.push_str(another_province(wilayah, system, region.regency, &mut dice));
        } else {
            self.text.push_str(region.province_digits(wilayah, system));
        }
        if region.reach == Reach::Regency && self.now_and_then(100_000) {
            self.nothing_if_harmless(prov, flaw);
        } else if with_province {
            self.digits(prov, numbers);
        }
        if !self.person.lean {
            let upper = self.form.chance(500_000);
            self.text.clear();
            crate::person::push_cased(&mut self.text, wilayah.provinces[regency.province].name, upper);
            self.written(prov_name);
        }
        if region.reach == Reach::Province {
            self.nothing(kab);
            return self.nothing(kab_name);
        }
        self.text.clear();
        if flaw == Some(Flaw::RegionUnknown) {
            self.text.push_str(dice.pick(&["9999", "00.00", "327", "ABCD", "32731", "8899"]));
        } else {
            region.push_asal(&mut self.text, wilayah, system);
        }
        let as_number = numbers && region.form == CodeForm::Plain;
        self.digits(kab, as_number);
        let style = if self.person.lean { self.form.below(2) } else { self.form.below(7) };
        self.text.clear();
        if flaw == Some(Flaw::RegionNameDiffers) {
            push_regency_name(&mut self.text, wilayah, another_regency(wilayah, region.regency, &mut dice), style);
        } else if self.now_and_then(50_000) {
            return self.nothing(kab_name);
        } else {
            push_regency_name(&mut self.text, wilayah, region.regency, style);
        }
        self.written(kab_name);
    }

    /// Leaves a province's code out, unless it is the flaw.
    fn nothing_if_harmless(&mut self, key: &str, flaw: Option<Flaw>) {
        if flaw == Some(Flaw::RegionProvinceDiffers) {
            self.digits(key, false);
        } else {
            self.nothing(key);
        }
    }
}

fn is_slashed(format: DateFormat) -> bool {
    matches!(format, DateFormat::DmySlash | DateFormat::MdySlash)
}
