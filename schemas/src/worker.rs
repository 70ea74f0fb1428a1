//! `SdmkWorker`, the value on `sisdmk.clean`: the whole current state of one health worker.
//!
//! `schemas/avro/sdmk_worker.avsc` is the contract; these types say the same in Rust, and a test
//! compares them. Personal values are [`Masked`], and the types that hold values of a record show
//! none of them in `Debug`.

use std::borrow::Cow;
use std::fmt;

use uuid::Uuid;

use crate::date::Date;
use crate::ids::{PersonId, TraceId};
use crate::masked::Masked;
use crate::nik::Nik;
use crate::symbols::symbols;
use crate::timestamp::Timestamp;
use crate::version::{Stamp, Version};

mod decode;
mod encode;

pub use decode::{Head, decode, decode_head, decode_version, province};
pub use encode::{Encoded, Encoder};

symbols! {
    /// What the record does to the worker's state.
    pub enum Op {
        /// First seen, or seen again after a deletion.
        Create = "c",
        /// Newer than what was known.
        Update = "u",
        /// Gone at the source.
        Delete = "d",
    }
}

symbols! {
    /// Sex as the source states it.
    pub enum JenisKelamin {
        /// Male.
        LakiLaki = "L",
        /// Female.
        Perempuan = "P",
        /// A symbol of a newer schema; never written by these programs.
        TidakDiketahui = "TIDAK_DIKETAHUI",
    }
}

symbols! {
    /// Whether the worker works, in our own words; the raw value is kept beside it.
    pub enum StatusAktif {
        /// At work.
        Aktif = "AKTIF",
        /// Not, or no longer.
        TidakAktif = "TIDAK_AKTIF",
        /// On leave.
        Cuti = "CUTI",
        /// On study assignment.
        TugasBelajar = "TUGAS_BELAJAR",
        /// A symbol of a newer schema; never written by these programs.
        TidakDiketahui = "TIDAK_DIKETAHUI",
    }
}

/// A decoded record of `sisdmk.clean`, borrowing its text from the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdmkWorker<'a> {
    /// What decides between two records of one worker.
    pub version: Version,
    /// Whether `last_updated` is the source's own.
    pub stamp: Stamp,
    /// Create, update or delete.
    pub op: Op,
    /// Public identity; also the Kafka key.
    pub person_id: PersonId,
    /// Batch that brought the record.
    pub batch_id: Uuid,
    /// HTTP request that brought the record.
    pub request_id: Uuid,
    /// Trace of the batch.
    pub trace_id: TraceId,
    /// Topic of the raw record.
    pub raw_topic: Cow<'a, str>,
    /// Partition of the raw record.
    pub raw_partition: i32,
    /// Offset of the raw record.
    pub raw_offset: i64,
    /// Version of the region tables that mapped its codes.
    pub wilayah_versi: Cow<'a, str>,
    /// The business fields, which `content_hash` covers.
    pub body: Body<'a>,
}

/// Everything of a record that is not business content: all fields before `nik` except the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The source's stamp, or `fetched_at` where `stamp` is [`Stamp::Fetched`].
    pub last_updated: Timestamp,
    /// When the source gave it out; kept by replays.
    pub fetched_at: Timestamp,
    /// Revision of the rules that judged it.
    pub rules_revision: i32,
    /// Whether `last_updated` is the source's own.
    pub stamp: Stamp,
    /// Create, update or delete.
    pub op: Op,
    /// Public identity; also the Kafka key.
    pub person_id: PersonId,
    /// Batch that brought the record.
    pub batch_id: Uuid,
    /// HTTP request that brought the record.
    pub request_id: Uuid,
    /// Trace of the batch.
    pub trace_id: TraceId,
    /// Topic of the raw record.
    pub raw_topic: &'a str,
    /// Partition of the raw record.
    pub raw_partition: i32,
    /// Offset of the raw record.
    pub raw_offset: i64,
    /// Version of the region tables that mapped its codes.
    pub wilayah_versi: &'a str,
}

/// The business fields of a worker, from `nik` to the end of the Avro record.
#[derive(Clone, PartialEq, Eq)]
pub struct Body<'a> {
    /// Sixteen digits.
    pub nik: Nik<'a>,
    /// Name without titles.
    pub nama: Masked<'a>,
    /// Name as received, every character.
    pub nama_asal: Masked<'a>,
    /// Titles before the name.
    pub gelar_depan: Option<Masked<'a>>,
    /// Titles after the name.
    pub gelar_belakang: Option<Masked<'a>>,
    /// Sex.
    pub jenis_kelamin: Option<JenisKelamin>,
    /// Place of birth.
    pub tempat_lahir: Option<Masked<'a>>,
    /// Date of birth.
    pub tanggal_lahir: Option<Date>,
    /// Home address.
    pub alamat: Option<Masked<'a>>,
    /// Whether the worker works.
    pub status_aktif: StatusAktif,
    /// The same as received.
    pub status_aktif_asal: Cow<'a, str>,
    /// Kemendagri 2025, dotted: `32.73`, or `32` where only the province is known.
    pub kode_wilayah: Option<Cow<'a, str>>,
    /// The source's code as received, trimmed.
    pub kode_wilayah_asal: Option<Cow<'a, str>>,
    /// Education, in source order.
    pub pendidikan: Vec<Pendidikan<'a>>,
    /// Training, in source order.
    pub pelatihan: Vec<Pelatihan<'a>>,
    /// Codes of soft reasons, catalogue order, each once.
    pub warnings: Vec<Cow<'a, str>>,
    /// Jobs, sorted by `employment_key`.
    pub employments: Vec<Employment<'a>>,
}

/// One job of a worker.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Employment<'a> {
    /// Key within the person: from the unit's code or name.
    pub employment_key: Cow<'a, str>,
    /// Code of the unit.
    pub kode_unit: Option<Cow<'a, str>>,
    /// Name of the unit.
    pub unit: Option<Cow<'a, str>>,
    /// Address of the unit.
    pub alamat: Option<Cow<'a, str>>,
    /// The source's id of the kind of health worker.
    pub id_jenis_sdmk: Option<Cow<'a, str>>,
    /// The kind of health worker.
    pub jenis_sdmk: Option<Cow<'a, str>>,
    /// Employment status: PNS, PPPK, ...
    pub status_pegawai: Option<Cow<'a, str>>,
    /// Civil service number.
    pub nip: Option<Masked<'a>>,
    /// Registration number (Surat Tanda Registrasi).
    pub str: Option<Masked<'a>>,
    /// Day the registration was given.
    pub str_tanggal: Option<Date>,
    /// Last day of the registration; none: for life.
    pub str_berlaku_sampai: Option<Date>,
    /// Licence number (Surat Izin Praktik).
    pub sip: Option<Masked<'a>>,
    /// Day the licence was given.
    pub sip_tanggal: Option<Date>,
    /// Last day of the licence.
    pub sip_berlaku_sampai: Option<Date>,
    /// First day of the job.
    pub tanggal_mulai: Option<Date>,
    /// Last day of the job.
    pub tanggal_akhir: Option<Date>,
    /// Region of the unit, as in [`Body::kode_wilayah`].
    pub kode_wilayah: Option<Cow<'a, str>>,
    /// The source's code as received, trimmed.
    pub kode_wilayah_asal: Option<Cow<'a, str>>,
}

/// One education of a worker.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pendidikan<'a> {
    /// Code of the programme.
    pub kode_prodi: Option<Cow<'a, str>>,
    /// Programme.
    pub prodi: Option<Cow<'a, str>>,
    /// Level.
    pub jenjang: Option<Cow<'a, str>>,
    /// Code of the institution.
    pub kode_perti: Option<Cow<'a, str>>,
    /// Institution.
    pub perguruan_tinggi: Option<Cow<'a, str>>,
    /// Year of graduation, as text.
    pub tahun_lulus: Option<Cow<'a, str>>,
    /// Number of the diploma.
    pub no_ijazah: Option<Masked<'a>>,
}

/// One training of a worker.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pelatihan<'a> {
    /// Name of the training.
    pub nama: Option<Cow<'a, str>>,
    /// Who held it.
    pub penyelenggara: Option<Cow<'a, str>>,
    /// Year, as text.
    pub tahun: Option<Cow<'a, str>>,
    /// Number of the certificate.
    pub no_sertifikat: Option<Masked<'a>>,
}

impl fmt::Debug for Body<'_> {
    /// Only counts and reason codes: every other field is a value of a person's record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("pendidikan", &self.pendidikan.len())
            .field("pelatihan", &self.pelatihan.len())
            .field("employments", &self.employments.len())
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// `Debug` that shows the type and none of its values.
macro_rules! hidden {
    ($($name:ident),+) => {
        $(
            impl fmt::Debug for $name<'_> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($name)).finish_non_exhaustive()
                }
            }
        )+
    };
}
hidden!(Employment, Pendidikan, Pelatihan);
