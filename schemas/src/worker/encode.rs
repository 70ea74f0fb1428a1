//! `SdmkWorker` to bytes.

use xxhash_rust::xxh3::xxh3_64;

use super::{Body, Employment, Envelope, Pelatihan, Pendidikan};
use crate::avro::{put_length, put_long, put_opt_long, put_opt_text, put_symbol, put_text, put_trace_id, put_uuid};
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
    body: Vec<u8>,
}

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
        Self { schema_id, body: Vec::with_capacity(2_048) }
    }

    /// Encodes the business fields and hashes them.
    pub fn body(&mut self, body: &Body<'_>) -> Encoded<'_> {
        self.body.clear();
        put_body(&mut self.body, body);
        Encoded { schema_id: self.schema_id, body: &self.body, content_hash: content_hash(&self.body) }
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

fn put_body(out: &mut Vec<u8>, body: &Body<'_>) {
    put_text(out, body.nik.expose());
    put_text(out, body.nama.expose());
    put_text(out, body.nama_asal.expose());
    put_masked(out, body.gelar_depan.as_ref());
    put_masked(out, body.gelar_belakang.as_ref());
    put_opt_long(out, body.jenis_kelamin.map(|symbol| symbol.index().into()));
    put_masked(out, body.tempat_lahir.as_ref());
    put_date(out, body.tanggal_lahir);
    put_masked(out, body.alamat.as_ref());
    put_symbol(out, body.status_aktif.index());
    put_text(out, &body.status_aktif_asal);
    put_opt_text(out, body.kode_wilayah.as_deref());
    put_opt_text(out, body.kode_wilayah_asal.as_deref());
    put_array(out, &body.pendidikan, put_pendidikan);
    put_array(out, &body.pelatihan, put_pelatihan);
    put_array(out, &body.warnings, |out, code| put_text(out, code));
    put_array(out, &body.employments, put_employment);
}

fn put_employment(out: &mut Vec<u8>, job: &Employment<'_>) {
    put_text(out, &job.employment_key);
    put_opt_text(out, job.kode_unit.as_deref());
    put_opt_text(out, job.unit.as_deref());
    put_opt_text(out, job.alamat.as_deref());
    put_opt_text(out, job.id_jenis_sdmk.as_deref());
    put_opt_text(out, job.jenis_sdmk.as_deref());
    put_opt_text(out, job.status_pegawai.as_deref());
    put_masked(out, job.nip.as_ref());
    put_masked(out, job.str.as_ref());
    put_date(out, job.str_tanggal);
    put_date(out, job.str_berlaku_sampai);
    put_masked(out, job.sip.as_ref());
    put_date(out, job.sip_tanggal);
    put_date(out, job.sip_berlaku_sampai);
    put_date(out, job.tanggal_mulai);
    put_date(out, job.tanggal_akhir);
    put_opt_text(out, job.kode_wilayah.as_deref());
    put_opt_text(out, job.kode_wilayah_asal.as_deref());
}

fn put_pendidikan(out: &mut Vec<u8>, education: &Pendidikan<'_>) {
    put_opt_text(out, education.kode_prodi.as_deref());
    put_opt_text(out, education.prodi.as_deref());
    put_opt_text(out, education.jenjang.as_deref());
    put_opt_text(out, education.kode_perti.as_deref());
    put_opt_text(out, education.perguruan_tinggi.as_deref());
    put_opt_text(out, education.tahun_lulus.as_deref());
    put_masked(out, education.no_ijazah.as_ref());
}

fn put_pelatihan(out: &mut Vec<u8>, training: &Pelatihan<'_>) {
    put_opt_text(out, training.nama.as_deref());
    put_opt_text(out, training.penyelenggara.as_deref());
    put_opt_text(out, training.tahun.as_deref());
    put_masked(out, training.no_sertifikat.as_ref());
}

fn put_array<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    // An empty array is the closing zero alone.
    if !items.is_empty() {
        put_length(out, items.len());
        for item in items {
            put(out, item);
        }
    }
    out.push(0);
}

fn put_masked(out: &mut Vec<u8>, text: Option<&Masked<'_>>) {
    put_opt_text(out, text.map(Masked::expose));
}

fn put_date(out: &mut Vec<u8>, date: Option<Date>) {
    put_opt_long(out, date.map(|date| i64::from(date.0)));
}
