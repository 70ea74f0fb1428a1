//! A worker as it truly is at one revision, before a source writes it down.
//!
//! Plain values without allocation: a page of a hundred is made anew for every request. What the pipeline must
//! keep "as received" (the spelling of a name, the form of a code) is part of the truth, so it is decided here;
//! blanks, escapes and formats that leave no trace are decided in `record`.

use crate::calendar::{Day, Stamp, push_number};
use crate::flaw::Flaws;
use crate::profession::{FACILITIES, PLACES, Profession, STATUS_PEGAWAI, Titles};
use crate::wilayah::{CodeSystem, Kind, Wilayah};

/// A soft disagreement: the record is kept with a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Soft {
    NikRegionUnknown,
    NikKecamatanUnknown,
    NikBirthDateDiffers,
    NikSexDiffers,
    JenisKelaminUnknown,
    TanggalLahirMissing,
    RegionMissing,
}

impl Soft {
    pub(crate) const ALL: [Self; 7] = [
        Self::NikRegionUnknown,
        Self::NikKecamatanUnknown,
        Self::NikBirthDateDiffers,
        Self::NikSexDiffers,
        Self::JenisKelaminUnknown,
        Self::TanggalLahirMissing,
        Self::RegionMissing,
    ];

    /// The warning's code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NikRegionUnknown => "nik_region_unknown",
            Self::NikKecamatanUnknown => "nik_kecamatan_unknown",
            Self::NikBirthDateDiffers => "nik_birth_date_differs",
            Self::NikSexDiffers => "nik_sex_differs",
            Self::JenisKelaminUnknown => "jenis_kelamin_unknown",
            Self::TanggalLahirMissing => "tanggal_lahir_missing",
            Self::RegionMissing => "region_missing",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sex {
    Man,
    Woman,
}

impl Sex {
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::Man => "L",
            Self::Woman => "P",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Man => Self::Woman,
            Self::Woman => Self::Man,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Aktif,
    TidakAktif,
    Cuti,
    TugasBelajar,
}

impl Status {
    pub(crate) const ALL: [Self; 4] = [Self::Aktif, Self::TidakAktif, Self::Cuti, Self::TugasBelajar];

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Aktif => "AKTIF",
            Self::TidakAktif => "TIDAK_AKTIF",
            Self::Cuti => "CUTI",
            Self::TugasBelajar => "TUGAS_BELAJAR",
        }
    }

    /// How sources write it; the first is the usual way.
    pub(crate) fn forms(self) -> &'static [&'static str] {
        match self {
            Self::Aktif => &["Aktif", "AKTIF", "aktif", " Aktif ", "Ak tif"],
            Self::TidakAktif => &["Tidak Aktif", "TIDAK AKTIF", "Non-Aktif", "nonaktif", "Non Aktif", "Tidak  Aktif"],
            Self::Cuti => &["Cuti", "CUTI", "cuti "],
            Self::TugasBelajar => &["Tugas Belajar", "TUGAS BELAJAR", "tugasbelajar", "Tugas\u{a0}Belajar"],
        }
    }
}

/// The blanks of a name as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameForm {
    Plain,
    Doubled,
    Padded,
    NoBreak,
    Tabbed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) words: [&'static str; 3],
    /// As received and composed; it replaces the first word.
    pub(crate) accented: Option<(&'static str, &'static str)>,
    pub(crate) titles: Titles,
    pub(crate) capitals: bool,
    pub(crate) form: NameForm,
    pub(crate) sex: Sex,
}

impl Name {
    /// The name without titles: NFC, blanks collapsed.
    pub(crate) fn push_nama(&self, out: &mut String) {
        self.push_words(out, true);
    }

    fn push_words(&self, out: &mut String, composed: bool) {
        let first = match self.accented {
            Some((_, nfc)) if composed => nfc,
            Some((received, _)) => received,
            None => self.words[0],
        };
        push_cased(out, first, self.capitals);
        for word in self.words.iter().skip(1).filter(|word| !word.is_empty()) {
            out.push(' ');
            push_cased(out, word, self.capitals);
        }
    }

    /// The titles before the name; nothing is pushed if there are none.
    pub(crate) fn push_front(&self, out: &mut String) {
        let haji = match self.sex {
            Sex::Man => "H.",
            Sex::Woman => "Hj.",
        };
        for (at, title) in self.titles.front.split(' ').enumerate() {
            if at > 0 {
                out.push(' ');
            }
            push_cased(out, if title == "H/" { haji } else { title }, self.capitals);
        }
    }

    /// The titles after the name.
    pub(crate) fn push_back(&self, out: &mut String) {
        push_cased(out, self.titles.back, self.capitals);
    }

    /// The name as received, every character.
    pub(crate) fn push_asal(&self, out: &mut String) {
        let start = out.len();
        if self.form == NameForm::Padded {
            out.push_str("  ");
        }
        if !self.titles.front.is_empty() {
            self.push_front(out);
            out.push(' ');
        }
        self.push_words(out, false);
        out.push_str(self.titles.link);
        self.push_back(out);
        match self.form {
            NameForm::Plain => {}
            NameForm::Padded => out.push(' '),
            NameForm::Doubled => replace_blanks(out, start, "  "),
            NameForm::NoBreak => replace_blanks(out, start, "\u{a0}"),
            NameForm::Tabbed => replace_blanks(out, start, " \t"),
        }
    }
}

/// Replaces each blank from `start` on.
fn replace_blanks(text: &mut String, start: usize, with: &str) {
    let replaced = text[start..].replace(' ', with);
    text.truncate(start);
    text.push_str(&replaced);
}

/// Appends `text`, in capitals where asked.
pub(crate) fn push_cased(out: &mut String, text: &str, capitals: bool) {
    if capitals {
        out.extend(text.chars().flat_map(char::to_uppercase));
    } else {
        out.push_str(text);
    }
}

/// How much a record says about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Regency,
    Province,
    Nowhere,
}

/// How the digits of a region code are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeForm {
    Plain,
    Dotted,
    Spaced,
}

/// A place in the words of a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub(crate) regency: usize,
    pub(crate) reach: Reach,
    pub(crate) form: CodeForm,
    /// The regency's code from before 2022 is written; only where there is one.
    pub(crate) retired: bool,
    /// The province's code is that of the old regency code.
    pub(crate) retired_province: bool,
}

impl Region {
    /// The internal code: `32.73`, or `32`.
    pub(crate) fn kode(&self, wilayah: &Wilayah) -> Option<&'static str> {
        let regency = &wilayah.regencies[self.regency];
        match self.reach {
            Reach::Regency => Some(regency.dotted),
            Reach::Province => Some(wilayah.provinces[regency.province].code),
            Reach::Nowhere => None,
        }
    }

    /// The digits of the regency's code in the source's system.
    pub(crate) fn regency_digits<'a>(&self, wilayah: &'a Wilayah, system: CodeSystem) -> &'a str {
        let regency = &wilayah.regencies[self.regency];
        match (system, &regency.retired) {
            (CodeSystem::Bps2023, _) => regency.bps,
            (_, Some(old)) if self.retired => old,
            _ => &regency.digits,
        }
    }

    /// The digits of the province's code in the source's system.
    pub(crate) fn province_digits<'a>(&self, wilayah: &'a Wilayah, system: CodeSystem) -> &'a str {
        let regency = &wilayah.regencies[self.regency];
        match (system, &regency.retired) {
            (CodeSystem::Bps2023, _) => wilayah.provinces[regency.province].bps,
            (_, Some(old)) if self.retired_province => &old[..2],
            _ => wilayah.provinces[regency.province].code,
        }
    }

    /// Appends the code that decides, as received and trimmed. False where there is none.
    pub(crate) fn push_asal(&self, out: &mut String, wilayah: &Wilayah, system: CodeSystem) -> bool {
        match self.reach {
            Reach::Nowhere => return false,
            Reach::Province => out.push_str(self.province_digits(wilayah, system)),
            Reach::Regency => {
                let digits = self.regency_digits(wilayah, system);
                let between = match self.form {
                    CodeForm::Plain => "",
                    CodeForm::Dotted => ".",
                    CodeForm::Spaced => " ",
                };
                out.push_str(&digits[..2]);
                out.push_str(between);
                out.push_str(&digits[2..]);
            }
        }
        true
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) street: &'static str,
    pub(crate) number: u32,
    pub(crate) block: Option<u32>,
}

impl Address {
    pub(crate) fn push(&self, out: &mut String) {
        out.push_str("Jl. ");
        out.push_str(self.street);
        out.push_str(" No. ");
        push_number(out, u64::from(self.number), 1);
        if let Some(block) = self.block {
            out.push_str(" RT ");
            push_number(out, u64::from(block % 20 + 1), 2);
            out.push_str("/RW ");
            push_number(out, u64::from(block / 20 + 1), 2);
        }
    }
}

/// A facility: the regency, and its number in it from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) regency: usize,
    pub(crate) number: u32,
}

impl Unit {
    /// `P3273000001` or, for every third, `3273003`.
    pub(crate) fn push_code(self, out: &mut String, wilayah: &Wilayah) {
        let width = if self.number % 3 == 2 {
            3
        } else {
            out.push('P');
            6
        };
        out.push_str(&wilayah.regencies[self.regency].digits);
        push_number(out, u64::from(self.number) + 1, width);
    }

    pub(crate) fn push_name(self, out: &mut String, capitals: bool) {
        let salt = self.regency + self.number as usize;
        push_cased(out, FACILITIES[salt % FACILITIES.len()], capitals);
        out.push(' ');
        push_cased(out, PLACES[(salt * 7) % PLACES.len()], capitals);
        out.push(' ');
        push_number(out, u64::from(self.number) + 1, 1);
    }

    pub(crate) fn address(self) -> Address {
        let salt = self.regency + self.number as usize;
        Address { street: PLACES[(salt * 11) % PLACES.len()], number: self.number % 200 + 1, block: None }
    }

    /// The facility whose code this is; case and blanks ignored.
    pub(crate) fn read(text: &str, wilayah: &Wilayah) -> Option<Self> {
        let code: String = text.chars().filter(|it| !it.is_whitespace()).map(|it| it.to_ascii_uppercase()).collect();
        let digits = code.strip_prefix('P').unwrap_or(&code);
        let regency = wilayah.regency(digits.get(..4)?)?;
        let number = digits.get(4..)?.parse::<u32>().ok()?.checked_sub(1)?;
        let unit = Self { regency, number };
        let mut written = String::new();
        unit.push_code(&mut written, wilayah);
        (written == code).then_some(unit)
    }
}

/// How a facility's code is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitForm {
    Plain,
    LowerCase,
    Spaced,
    /// No code; the name identifies the facility.
    NameOnly,
    /// Neither code nor name.
    Nothing,
}

/// A licence with its dates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Licence {
    pub(crate) number: u64,
    pub(crate) issued: Day,
    /// None: for life.
    pub(crate) until: Option<Day>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) unit: Unit,
    pub(crate) unit_form: UnitForm,
    pub(crate) unit_capitals: bool,
    pub(crate) has_address: bool,
    pub(crate) region: Region,
    pub(crate) profession: &'static Profession,
    pub(crate) status: Option<usize>,
    /// Serial of the civil servant's number, which only they have.
    pub(crate) nip: Option<u32>,
    pub(crate) start: Option<Day>,
    pub(crate) end: Option<Day>,
    pub(crate) str: Option<Licence>,
    pub(crate) sip: Option<Licence>,
}

impl Job {
    /// Appends the facility's code as it stands in the record, trimmed. False where there is none.
    pub(crate) fn push_kode_unit(&self, out: &mut String, wilayah: &Wilayah) -> bool {
        let start = out.len();
        match self.unit_form {
            UnitForm::NameOnly | UnitForm::Nothing => return false,
            UnitForm::Plain => self.unit.push_code(out, wilayah),
            UnitForm::LowerCase => {
                self.unit.push_code(out, wilayah);
                out[start..].make_ascii_lowercase();
            }
            UnitForm::Spaced => {
                self.unit.push_code(out, wilayah);
                out.insert(start + 4, ' ');
            }
        }
        true
    }

    /// Appends the facility's name. False where there is none.
    pub(crate) fn push_unit(&self, out: &mut String) -> bool {
        if self.unit_form == UnitForm::Nothing {
            return false;
        }
        self.unit.push_name(out, self.unit_capitals);
        true
    }

    pub(crate) fn status_pegawai(&self) -> Option<&'static str> {
        self.status.map(|at| STATUS_PEGAWAI[at])
    }

    /// Appends the 18 digits: birth date, year and month of appointment, sex, serial. False where there are none.
    pub(crate) fn push_nip(&self, out: &mut String, person: &Person) -> bool {
        let Some(serial) = self.nip else { return false };
        let (year, month, day) = person.born.ymd();
        let appointed = person.born.years_later(24);
        push_number(out, u64::from(year.unsigned_abs()), 4);
        push_number(out, u64::from(month), 2);
        push_number(out, u64::from(day), 2);
        push_number(out, u64::from(appointed.ymd().0.unsigned_abs()), 4);
        push_number(out, u64::from(appointed.ymd().1), 2);
        out.push(if person.sex == Sex::Man { '1' } else { '2' });
        push_number(out, u64::from(serial % 1000), 3);
        true
    }
}

/// Appends a licence to practise: `446/0001/SIP/2022`.
pub(crate) fn push_sip(out: &mut String, sip: &Licence) {
    push_number(out, 440 + sip.number % 20, 3);
    out.push('/');
    push_number(out, sip.number % 10_000, 4);
    out.push_str("/SIP/");
    push_number(out, u64::from(sip.issued.ymd().0.unsigned_abs()), 4);
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct School {
    pub(crate) school: usize,
    pub(crate) prodi_code: u32,
    pub(crate) prodi: &'static str,
    pub(crate) jenjang: &'static str,
    pub(crate) year: i32,
    /// Without number: no certificate.
    pub(crate) certificate: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Training {
    pub(crate) course: &'static str,
    pub(crate) provider: Option<&'static str>,
    pub(crate) year: i32,
    pub(crate) certificate: Option<u32>,
}

/// Everything about a worker at one revision.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) index: u32,
    pub(crate) revision: u32,
    pub(crate) stamp: Stamp,
    pub(crate) nik: [u8; 16],
    /// As in the NIK and in the NIP.
    pub(crate) born: Day,
    pub(crate) sex: Sex,
    /// As the record states them.
    pub(crate) birth_date: Option<Day>,
    pub(crate) stated_sex: Option<Sex>,
    pub(crate) name: Name,
    pub(crate) birth_place: Option<usize>,
    pub(crate) address: Option<Address>,
    pub(crate) status: Status,
    pub(crate) status_asal: &'static str,
    pub(crate) region: Region,
    /// The record leaves out what most sources do not fill.
    pub(crate) lean: bool,
    pub(crate) jobs: Vec3<Job>,
    pub(crate) schools: Vec3<School>,
    pub(crate) trainings: Vec3<Training>,
    pub(crate) soft: Option<Soft>,
    pub(crate) flaws: Flaws,
}

/// At most three things, without allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vec3<T>(pub(crate) [Option<T>; 3]);

impl<T: Copy> Vec3<T> {
    pub(crate) fn new() -> Self {
        Self([None; 3])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }
}

impl Person {
    /// The NIK as text.
    pub(crate) fn nik(&self) -> &str {
        std::str::from_utf8(&self.nik).expect("a NIK is made of ASCII digits")
    }

    /// Appends the place of birth. False where there is none.
    pub(crate) fn push_birth_place(&self, out: &mut String, wilayah: &Wilayah) -> bool {
        let Some(at) = self.birth_place else { return false };
        out.push_str(wilayah.regencies[at].bare);
        true
    }
}

/// How a regency's name is written; all of them name the same regency.
pub(crate) fn push_regency_name(out: &mut String, wilayah: &Wilayah, at: usize, style: u32) {
    let regency = &wilayah.regencies[at];
    let plain_kind = !regency.bare.starts_with("Administrasi");
    match (style, regency.dotted) {
        (1, _) => push_cased(out, regency.name, true),
        (2, _) if plain_kind => {
            out.push_str(if regency.kind == Kind::Kota { "KOTA " } else { "KAB. " });
            push_cased(out, regency.bare, true);
        }
        (3, _) if plain_kind => {
            out.push_str(if regency.kind == Kind::Kota { "Kota " } else { "Kab " });
            out.push_str(&regency.bare.replace("Kepulauan", "Kep."));
        }
        (4, _) if plain_kind => out.push_str(regency.bare),
        (5, _) => out.push_str(&regency.name.replace('-', " ")),
        (6, "12.12") => out.push_str("Kabupaten Toba Samosir"),
        (6, "76.01") => out.push_str("KAB. MAMUJU UTARA"),
        (6, "81.03") => out.push_str("Maluku Tenggara Barat"),
        _ => out.push_str(regency.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(front: &'static str, link: &'static str, back: &'static str, form: NameForm) -> Name {
        Name {
            words: ["Andre", "Contoh", ""],
            accented: Some(("Andre\u{301}", "André")),
            titles: Titles { front, link, back },
            capitals: false,
            form,
            sex: Sex::Woman,
        }
    }

    fn asal(name: Name) -> String {
        let mut text = String::new();
        name.push_asal(&mut text);
        text
    }

    #[test]
    fn a_name_is_kept_as_received_and_as_it_is() {
        let plain = name("dr. H/", ", ", "Sp.A", NameForm::Plain);
        assert_eq!(asal(plain), "dr. Hj. Andre\u{301} Contoh, Sp.A");
        let mut nama = String::new();
        plain.push_nama(&mut nama);
        assert_eq!(nama, "André Contoh");
        assert_eq!(asal(name("", "", "", NameForm::Doubled)), "Andre\u{301}  Contoh");
        assert_eq!(asal(name("Ns", ",", "S.Kep", NameForm::Padded)), "  Ns Andre\u{301} Contoh,S.Kep ");
    }

    #[test]
    fn the_code_of_a_facility_reads_back() {
        let wilayah = Wilayah::load();
        for number in [0, 1, 2, 700, 1_200] {
            let unit = Unit { regency: 100, number };
            let mut code = String::new();
            unit.push_code(&mut code, &wilayah);
            assert_eq!(Unit::read(&format!(" {} ", code.to_lowercase()), &wilayah), Some(unit));
        }
        assert_eq!(Unit::read("P9999000001", &wilayah), None);
        assert_eq!(Unit::read("P32730000001", &wilayah), None);
        assert_eq!(Unit::read("", &wilayah), None);
    }
}
