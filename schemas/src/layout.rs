//! The layout of a source's records: which of its fields are ours, and how its codes, stamps and
//! dates are written. Declared in the `[record]` part of a profile file, because the live
//! contract of SISDMK is not public and a mistake must be correctable without a new program.
//!
//! The other sections of a profile belong to the producer and are not looked at here.

use crate::Date;
use crate::date::digits;
use crate::symbols::symbols;
use crate::timestamp::{DAY_MICROS, SECOND_MICROS, Timestamp, split_offset};
use crate::version::Stamp;

mod fields;
mod names;
mod profile;

pub use fields::{Fields, Order};
pub use names::{Field, Names};
pub use profile::LayoutError;

symbols! {
    /// Whose codes a source writes for regions. Never guessed: 169 four-digit strings are valid
    /// in two systems and mean different places.
    pub enum CodeSystem {
        /// Kemendagri, Kepmendagri 300.2.2-2430/2025: 38 provinces.
        Kemendagri2025 = "kemendagri-2025",
        /// Kemendagri, Permendagri 58/2021 with the splits of 2022.
        Kemendagri2022 = "kemendagri-2022",
        /// BPS from 2023 on.
        Bps2023 = "bps-2023",
        /// BPS before 2023.
        Bps2020 = "bps-2020",
    }
}

symbols! {
    /// How a source writes stamps. A source may write several; they never fit the same text.
    pub enum StampFormat {
        /// RFC 3339 with its offset.
        Rfc3339 = "rfc3339",
        /// `YYYY-MM-DD[ T]HH:MM:SS[.f]` on the clock of [`Layout::zone`].
        Naive = "naive",
        /// Milliseconds since 1970-01-01 UTC, as text or number.
        EpochMs = "epoch_ms",
    }
}

symbols! {
    /// How a source writes dates. A text that fits two of its formats with different results is
    /// refused by the rules.
    pub enum DateFormat {
        /// `1990-05-17`.
        Iso = "iso",
        /// `1990-05-17 00:00:00`.
        IsoMidnight = "iso_midnight",
        /// `17-05-1990`.
        DmyDash = "dmy_dash",
        /// `17/05/1990`.
        DmySlash = "dmy_slash",
        /// `05/17/1990`.
        MdySlash = "mdy_slash",
        /// `17 Mei 1990`.
        DMonthY = "d_month_y",
        /// Days since 1899-12-30, as spreadsheets count.
        ExcelSerial = "excel_serial",
    }
}

symbols! {
    /// Our fields of the person, by their keys in `[record.fields]`.
    pub enum PersonField {
        /// NIK.
        Nik = "nik",
        /// Name with its titles.
        Nama = "nama",
        /// Sex.
        JenisKelamin = "jenis_kelamin",
        /// Place of birth.
        TempatLahir = "tempat_lahir",
        /// Date of birth.
        TanggalLahir = "tanggal_lahir",
        /// Home address.
        Alamat = "alamat",
        /// Code of the province.
        KodeProvinsi = "kode_provinsi",
        /// Name of the province.
        NamaProvinsi = "nama_provinsi",
        /// Code of the regency.
        KodeKabupaten = "kode_kabupaten",
        /// Name of the regency.
        NamaKabupaten = "nama_kabupaten",
        /// Whether the worker works.
        StatusAktif = "status_aktif",
        /// The source's own stamp.
        LastUpdated = "last_updated",
        /// List of jobs.
        Employments = "employments",
        /// List of educations.
        Pendidikan = "pendidikan",
        /// List of trainings.
        Pelatihan = "pelatihan",
    }
}

symbols! {
    /// Our fields of a job, by their keys in `[record.employment]`.
    pub enum EmploymentField {
        /// Code of the unit.
        KodeUnit = "kode_unit",
        /// Name of the unit.
        Unit = "unit",
        /// Address of the unit.
        Alamat = "alamat",
        /// Code of the unit's province.
        KodeProvinsi = "kode_provinsi",
        /// Name of the unit's province.
        NamaProvinsi = "nama_provinsi",
        /// Code of the unit's regency.
        KodeKabupaten = "kode_kabupaten",
        /// Name of the unit's regency.
        NamaKabupaten = "nama_kabupaten",
        /// Id of the kind of health worker.
        IdJenisSdmk = "id_jenis_sdmk",
        /// Kind of health worker.
        JenisSdmk = "jenis_sdmk",
        /// Employment status.
        StatusPegawai = "status_pegawai",
        /// Civil service number.
        Nip = "nip",
        /// First day of the job.
        TanggalMulai = "tanggal_mulai",
        /// Last day of the job.
        TanggalAkhir = "tanggal_akhir",
        /// Registration number.
        Str = "str",
        /// Day of the registration.
        StrTanggal = "str_tanggal",
        /// Last day of the registration.
        StrBerlakuSampai = "str_berlaku_sampai",
        /// Licence number.
        Sip = "sip",
        /// Day of the licence.
        SipTanggal = "sip_tanggal",
        /// Last day of the licence.
        SipBerlakuSampai = "sip_berlaku_sampai",
        /// The source's own id of the job, from which its key is made where there is one.
        Id = "id",
    }
}

symbols! {
    /// Our fields of an education, by their keys in `[record.pendidikan]`.
    pub enum PendidikanField {
        /// Code of the programme.
        KodeProdi = "kode_prodi",
        /// Programme.
        Prodi = "prodi",
        /// Level.
        Jenjang = "jenjang",
        /// Code of the institution.
        KodePerti = "kode_perti",
        /// Institution.
        PerguruanTinggi = "perguruan_tinggi",
        /// Year of graduation.
        TahunLulus = "tahun_lulus",
        /// Number of the diploma.
        NoIjazah = "no_ijazah",
    }
}

symbols! {
    /// Our fields of a training, by their keys in `[record.pelatihan]`.
    pub enum PelatihanField {
        /// Name of the training.
        Nama = "nama",
        /// Who held it.
        Penyelenggara = "penyelenggara",
        /// Year.
        Tahun = "tahun",
        /// Number of the certificate.
        NoSertifikat = "no_sertifikat",
    }
}

/// The clock of stamps that carry no offset. Indonesia has three and no summer time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone {
    east_micros: i64,
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self { east_micros: 0 };

    /// One of the names of `docs/CONTRACT.md` section 8, or an offset such as `+07:00`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let offset = match name {
            "Asia/Jakarta" => "+07:00",
            "Asia/Makassar" => "+08:00",
            "Asia/Jayapura" => "+09:00",
            "UTC" => "Z",
            offset if offset.starts_with(['+', '-']) => offset,
            _ => return None,
        };
        split_offset(offset.as_bytes()).map(|east_micros| Self { east_micros })
    }

    /// Seconds east of UTC.
    #[must_use]
    pub fn east_seconds(self) -> i64 {
        self.east_micros / SECOND_MICROS
    }

    /// Microseconds east of UTC.
    pub(crate) fn east_micros(self) -> i64 {
        self.east_micros
    }

    /// The day that this clock's calendar shows at a moment.
    #[must_use]
    pub fn date_of(self, moment: Timestamp) -> Date {
        let days = moment.0.saturating_add(self.east_micros).div_euclid(DAY_MICROS);
        Date(i32::try_from(days).expect("i64 microseconds are fewer than 2^31 days"))
    }
}

/// How to read the records of one source.
#[derive(Clone, Debug)]
pub struct Layout {
    /// `[profile] name`.
    pub name: String,
    /// `[profile] version`.
    pub version: u32,
    /// Of every region code.
    pub code_system: CodeSystem,
    /// Of stamps without an offset.
    pub zone: Zone,
    /// Whether records carry a stamp of their own.
    pub stamp: Stamp,
    /// Formats of that stamp, in the order they are tried.
    pub stamp_formats: Vec<StampFormat>,
    /// Formats of every date.
    pub date_formats: Vec<DateFormat>,
    /// What stands for the end of a registration that has none; case and blanks ignored.
    pub str_for_life: Vec<String>,
    /// Names of the record's own fields.
    pub person: Names<PersonField>,
    /// Names of the fields of a job.
    pub employment: Names<EmploymentField>,
    /// Names of the fields of an education.
    pub pendidikan: Names<PendidikanField>,
    /// Names of the fields of a training.
    pub pelatihan: Names<PelatihanField>,
}

impl Layout {
    /// Reads the `[profile]` name and version and the `[record]` part of a profile file.
    ///
    /// Errors: the first key, from the top, that is missing, unknown or of a value that it may
    /// not have, with its line.
    pub fn from_profile_toml(text: &str) -> Result<Self, LayoutError> {
        profile::read(text)
    }

    /// `<profile>/<version>`, as in the `sisdmk-source` header.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }
}

/// The text of a profile that ships with the programs, by its name.
#[must_use]
pub fn shipped(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}

/// Name and text of every profile that ships with the programs.
pub const SHIPPED: &[(&str, &str)] = &[
    ("sdmk-modified", include_str!("../../producer/profiles/sdmk-modified.toml")),
    ("biodata-facility", include_str!("../../producer/profiles/biodata-facility.toml")),
];

/// Milliseconds since 1970, digits only. Fifteen of them reach the year 33658.
pub(crate) fn epoch_ms(text: &str) -> Option<Timestamp> {
    let (high, low) = match text.len() {
        1..=9 => ("", text),
        10..=15 => text.split_at_checked(text.len() - 9)?,
        _ => return None,
    };
    let (high, low) = (digits(high.as_bytes())?, digits(low.as_bytes())?);
    Some(Timestamp((i64::from(high) * 1_000_000_000 + i64::from(low)) * 1_000))
}
