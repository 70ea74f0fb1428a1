//! `SdmkWorker` to bytes.

use xxhash_rust::xxh3::xxh3_64;

use super::{Body, Employment, Envelope, Pelatihan, Pendidikan};
use crate::avro::place::{self, array, opt_long, opt_text, symbol, text};
use crate::avro::{put_long, put_symbol, put_text, put_trace_id, put_uuid};
use crate::date::Date;
use crate::frame;
use crate::masked::Masked;

/// Encodes records one after the other, with one kept buffer.
///
/// The body is written first, because its hash stands before it in the record, and because the
/// hash decides whether the record is written at all:
///
/// ```
/// # use schemas::worker::{Body, Encoder, Envelope};
/// # fn publish(encoder: &mut Encoder, body: &Body<'_>, envelope: &Envelope<'_>, known: i64) -> Vec<u8> {
/// let mut out = Vec::new();
/// let encoded = encoder.body(body);
/// if encoded.content_hash() != known {
///     encoded.write(envelope, &mut out);
/// }
/// # out
/// # }
/// ```
#[derive(Debug)]
pub struct Encoder {
    schema_id: u32,
    /// Room for the longest body so far, and at most twice as much; what a shorter one leaves behind it means nothing.
    body: Vec<u8>,
}

/// Room at first: more than most bodies need.
const BODY_BYTES_FIRST: usize = 4_096;

/// A body that has been encoded and hashed and not yet been written.
#[derive(Debug)]
pub struct Encoded<'e> {
    schema_id: u32,
    body: &'e [u8],
    content_hash: i64,
}

impl Encoder {
    /// An encoder that writes `schema_id` into every frame.
    #[must_use]
    pub fn new(schema_id: u32) -> Self {
        Self { schema_id, body: vec![0; BODY_BYTES_FIRST] }
    }

    /// Encodes the business fields and hashes them.
    pub fn body(&mut self, body: &Body<'_>) -> Encoded<'_> {
        let length = loop {
            let length = put_body(&mut self.body, body);
            if length != place::FULL {
                break length;
            }
            // Once for a record that is longer than all before it.
            self.body.resize(self.body.len() * 2, 0);
        };
        let body = self.body.get(..length).unwrap_or_default();
        Encoded { schema_id: self.schema_id, body, content_hash: content_hash(body) }
    }

    /// Appends a whole frame to `out` and returns its `content_hash`.
    pub fn encode(&mut self, envelope: &Envelope<'_>, body: &Body<'_>, out: &mut Vec<u8>) -> i64 {
        let encoded = self.body(body);
        encoded.write(envelope, out);
        encoded.content_hash
    }
}

impl Encoded<'_> {
    /// XXH3-64 of the encoded business fields.
    #[must_use]
    pub fn content_hash(&self) -> i64 {
        self.content_hash
    }

    /// Appends a whole frame to `out`.
    pub fn write(&self, envelope: &Envelope<'_>, out: &mut Vec<u8>) {
        let texts = envelope.raw_topic.len() + envelope.wilayah_versi.len();
        out.reserve(HEAD_BYTES_MAX + texts + self.body.len());
        frame::write(self.schema_id, out);
        put_long(out, envelope.last_updated.0);
        put_long(out, envelope.fetched_at.0);
        put_long(out, i64::from(envelope.rules_revision));
        put_long(out, self.content_hash);
        put_symbol(out, envelope.stamp.index());
        put_symbol(out, envelope.op.index());
        put_uuid(out, &envelope.person_id.0);
        put_uuid(out, &envelope.batch_id);
        put_uuid(out, &envelope.request_id);
        put_trace_id(out, envelope.trace_id);
        put_text(out, envelope.raw_topic);
        put_long(out, i64::from(envelope.raw_partition));
        put_long(out, envelope.raw_offset);
        put_text(out, envelope.wilayah_versi);
        out.extend_from_slice(self.body);
    }
}

/// Bytes before the body, without the two texts of free length: prefix, seven numbers of at most
/// ten bytes, two enums, three UUIDs and a trace id, and every length.
const HEAD_BYTES_MAX: usize = 5 + 7 * 10 + 2 + 3 * 37 + 33 + 2 * 10;

/// XXH3-64 with seed 0, as the signed number that Avro and Postgres have.
fn content_hash(body: &[u8]) -> i64 {
    xxh3_64(body).cast_signed()
}

/// Writes the body from the start of `out` and returns where it ends, [`place::FULL`] where there was no room for it.
fn put_body(out: &mut [u8], body: &Body<'_>) -> usize {
    let at = text(out, 0, body.nik.expose());
    let at = text(out, at, body.nama.expose());
    let at = text(out, at, body.nama_asal.expose());
    let at = masked(out, at, body.gelar_depan.as_ref());
    let at = masked(out, at, body.gelar_belakang.as_ref());
    let at = opt_long(out, at, body.jenis_kelamin.map(|symbol| symbol.index().into()));
    let at = masked(out, at, body.tempat_lahir.as_ref());
    let at = date(out, at, body.tanggal_lahir);
    let at = masked(out, at, body.alamat.as_ref());
    let at = symbol(out, at, body.status_aktif.index());
    let at = text(out, at, &body.status_aktif_asal);
    let at = opt_text(out, at, body.kode_wilayah.as_deref());
    let at = opt_text(out, at, body.kode_wilayah_asal.as_deref());
    let at = array(out, at, &body.pendidikan, put_pendidikan);
    let at = array(out, at, &body.pelatihan, put_pelatihan);
    let at = array(out, at, &body.warnings, |out, at, code| text(out, at, code));
    array(out, at, &body.employments, put_employment)
}

fn put_employment(out: &mut [u8], at: usize, job: &Employment<'_>) -> usize {
    let at = text(out, at, &job.employment_key);
    let at = opt_text(out, at, job.kode_unit.as_deref());
    let at = opt_text(out, at, job.unit.as_deref());
    let at = opt_text(out, at, job.alamat.as_deref());
    let at = opt_text(out, at, job.id_jenis_sdmk.as_deref());
    let at = opt_text(out, at, job.jenis_sdmk.as_deref());
    let at = opt_text(out, at, job.status_pegawai.as_deref());
    let at = masked(out, at, job.nip.as_ref());
    let at = masked(out, at, job.str.as_ref());
    let at = date(out, at, job.str_tanggal);
    let at = date(out, at, job.str_berlaku_sampai);
    let at = masked(out, at, job.sip.as_ref());
    let at = date(out, at, job.sip_tanggal);
    let at = date(out, at, job.sip_berlaku_sampai);
    let at = date(out, at, job.tanggal_mulai);
    let at = date(out, at, job.tanggal_akhir);
    let at = opt_text(out, at, job.kode_wilayah.as_deref());
    opt_text(out, at, job.kode_wilayah_asal.as_deref())
}

fn put_pendidikan(out: &mut [u8], at: usize, education: &Pendidikan<'_>) -> usize {
    let at = opt_text(out, at, education.kode_prodi.as_deref());
    let at = opt_text(out, at, education.prodi.as_deref());
    let at = opt_text(out, at, education.jenjang.as_deref());
    let at = opt_text(out, at, education.kode_perti.as_deref());
    let at = opt_text(out, at, education.perguruan_tinggi.as_deref());
    let at = opt_text(out, at, education.tahun_lulus.as_deref());
    masked(out, at, education.no_ijazah.as_ref())
}

fn put_pelatihan(out: &mut [u8], at: usize, training: &Pelatihan<'_>) -> usize {
    let at = opt_text(out, at, training.nama.as_deref());
    let at = opt_text(out, at, training.penyelenggara.as_deref());
    let at = opt_text(out, at, training.tahun.as_deref());
    masked(out, at, training.no_sertifikat.as_ref())
}

#[inline]
fn masked(out: &mut [u8], at: usize, text: Option<&Masked<'_>>) -> usize {
    opt_text(out, at, text.map(Masked::expose))
}

#[inline]
fn date(out: &mut [u8], at: usize, date: Option<Date>) -> usize {
    opt_long(out, at, date.map(|date| i64::from(date.0)))
}
