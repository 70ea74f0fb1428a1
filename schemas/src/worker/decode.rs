//! Bytes to `SdmkWorker`, borrowing every text.

use super::{Body, Employment, JenisKelamin, Op, Pelatihan, Pendidikan, SdmkWorker, StatusAktif};
use crate::avro::{DecodeFault, Reader};
use crate::frame;
use crate::ids::PersonId;
use crate::masked::Masked;
use crate::version::{Stamp, Version};

/// Decodes a whole frame written with our schema.
///
/// Errors: any other schema id, and any bytes that are not exactly one record of that schema.
/// It does not check `content_hash`: Kafka has a checksum of its own around every batch.
pub fn decode(frame: &[u8], schema_id: u32) -> Result<SdmkWorker<'_>, DecodeFault> {
    let reader = &mut Reader::new(frame::datum(frame, schema_id)?);
    let worker = SdmkWorker {
        version: version(reader),
        stamp: reader.symbol("stamp", Stamp::ALL),
        op: reader.symbol("op", Op::ALL),
        person_id: PersonId(reader.uuid("person_id")),
        batch_id: reader.uuid("batch_id"),
        request_id: reader.uuid("request_id"),
        trace_id: reader.trace_id("trace_id"),
        raw_topic: reader.text("raw_topic").into(),
        raw_partition: reader.int("raw_partition"),
        raw_offset: reader.long("raw_offset"),
        wilayah_versi: reader.text("wilayah_versi").into(),
        body: body(reader),
    };
    reader.end()?;
    Ok(worker)
}

/// Decodes only the four fields that a view of the topic needs, which stand first for that reason.
pub fn decode_version(frame: &[u8], schema_id: u32) -> Result<Version, DecodeFault> {
    let reader = &mut Reader::new(frame::datum(frame, schema_id)?);
    let version = version(reader);
    reader.good()?;
    Ok(version)
}

/// What a view of the topic keeps of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What decides between two records of one worker.
    pub version: Version,
    /// Whether `last_updated` is the source's own.
    pub stamp: Stamp,
    /// Create, update or delete.
    pub op: Op,
    /// Public identity, as the record itself says it.
    pub person_id: PersonId,
    /// Number of the province, the first two digits of `kode_wilayah`; 0 where the record names no region.
    pub province: u8,
}

/// Decodes what a view keeps: the fields up to `person_id`, and past the others up to the region. Nothing is checked that is
/// only stepped over.
pub fn decode_head(frame: &[u8], schema_id: u32) -> Result<Head, DecodeFault> {
    let reader = &mut Reader::new(frame::datum(frame, schema_id)?);
    let version = version(reader);
    let stamp = reader.symbol("stamp", Stamp::ALL);
    let op = reader.symbol("op", Op::ALL);
    let person_id = PersonId(reader.uuid("person_id"));
    for field in ["batch_id", "request_id", "trace_id", "raw_topic"] {
        reader.skip_text(field);
    }
    reader.long("raw_partition");
    reader.long("raw_offset");
    for field in ["wilayah_versi", "nik", "nama", "nama_asal"] {
        reader.skip_text(field);
    }
    for field in ["gelar_depan", "gelar_belakang"] {
        reader.optional(field, Reader::skip_text);
    }
    reader.optional("jenis_kelamin", Reader::long);
    reader.optional("tempat_lahir", Reader::skip_text);
    reader.optional("tanggal_lahir", Reader::long);
    reader.optional("alamat", Reader::skip_text);
    reader.long("status_aktif");
    reader.skip_text("status_aktif_asal");
    let province = province(reader.optional("kode_wilayah", Reader::text));
    reader.good()?;
    Ok(Head { version, stamp, op, person_id, province })
}

/// Number of the province of a `kode_wilayah` (`32.73`, `32`); 0 for none.
#[must_use]
pub fn province(kode_wilayah: Option<&str>) -> u8 {
    kode_wilayah.and_then(|kode| kode.get(..2)?.parse().ok()).unwrap_or(0)
}

fn version(reader: &mut Reader<'_>) -> Version {
    Version {
        last_updated: reader.timestamp("last_updated"),
        fetched_at: reader.timestamp("fetched_at"),
        rules_revision: reader.int("rules_revision"),
        content_hash: reader.long("content_hash"),
    }
}

fn body<'a>(reader: &mut Reader<'a>) -> Body<'a> {
    Body {
        nik: reader.nik("nik"),
        nama: Masked::new(reader.text("nama")),
        nama_asal: Masked::new(reader.text("nama_asal")),
        gelar_depan: reader.opt_masked("gelar_depan"),
        gelar_belakang: reader.opt_masked("gelar_belakang"),
        jenis_kelamin: reader.optional("jenis_kelamin", |reader, field| reader.symbol(field, JenisKelamin::ALL)),
        tempat_lahir: reader.opt_masked("tempat_lahir"),
        tanggal_lahir: reader.opt_date("tanggal_lahir"),
        alamat: reader.opt_masked("alamat"),
        status_aktif: reader.symbol("status_aktif", StatusAktif::ALL),
        status_aktif_asal: reader.text("status_aktif_asal").into(),
        kode_wilayah: reader.opt_text("kode_wilayah"),
        kode_wilayah_asal: reader.opt_text("kode_wilayah_asal"),
        // The least an item can take: a byte for each null, one for an empty text.
        pendidikan: reader.blocks("pendidikan", 7, pendidikan),
        pelatihan: reader.blocks("pelatihan", 4, pelatihan),
        warnings: reader.blocks("warnings", 1, |reader| reader.text("warnings").into()),
        employments: reader.blocks("employments", 18, employment),
    }
}

fn employment<'a>(reader: &mut Reader<'a>) -> Employment<'a> {
    Employment {
        employment_key: reader.text("employment_key").into(),
        kode_unit: reader.opt_text("kode_unit"),
        unit: reader.opt_text("unit"),
        alamat: reader.opt_text("alamat"),
        id_jenis_sdmk: reader.opt_text("id_jenis_sdmk"),
        jenis_sdmk: reader.opt_text("jenis_sdmk"),
        status_pegawai: reader.opt_text("status_pegawai"),
        nip: reader.opt_masked("nip"),
        str: reader.opt_masked("str"),
        str_tanggal: reader.opt_date("str_tanggal"),
        str_berlaku_sampai: reader.opt_date("str_berlaku_sampai"),
        sip: reader.opt_masked("sip"),
        sip_tanggal: reader.opt_date("sip_tanggal"),
        sip_berlaku_sampai: reader.opt_date("sip_berlaku_sampai"),
        tanggal_mulai: reader.opt_date("tanggal_mulai"),
        tanggal_akhir: reader.opt_date("tanggal_akhir"),
        kode_wilayah: reader.opt_text("kode_wilayah"),
        kode_wilayah_asal: reader.opt_text("kode_wilayah_asal"),
    }
}

fn pendidikan<'a>(reader: &mut Reader<'a>) -> Pendidikan<'a> {
    Pendidikan {
        kode_prodi: reader.opt_text("kode_prodi"),
        prodi: reader.opt_text("prodi"),
        jenjang: reader.opt_text("jenjang"),
        kode_perti: reader.opt_text("kode_perti"),
        perguruan_tinggi: reader.opt_text("perguruan_tinggi"),
        tahun_lulus: reader.opt_text("tahun_lulus"),
        no_ijazah: reader.opt_masked("no_ijazah"),
    }
}

fn pelatihan<'a>(reader: &mut Reader<'a>) -> Pelatihan<'a> {
    Pelatihan {
        nama: reader.opt_text("nama"),
        penyelenggara: reader.opt_text("penyelenggara"),
        tahun: reader.opt_text("tahun"),
        no_sertifikat: reader.opt_masked("no_sertifikat"),
    }
}
