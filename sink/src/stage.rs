//! Records as rows of the stage tables: the one place that knows their columns.
//!
//! The order here is the order of `sql/stage.sql`, `sql/copy_persons.sql` and `sql/copy_employments.sql`; a test reads every
//! column back from a real server.

use schemas::Masked;
use schemas::Timestamp;
use schemas::worker::{Employment, Pelatihan, Pendidikan, SdmkWorker};
use uuid::Uuid;

use crate::copy::CopyBuffer;

/// Fills `sdmk.person` itself.
pub(crate) const COPY_PERSONS: &str = include_str!("sql/copy_persons.sql");
/// Fills `stage_change`.
pub(crate) const COPY_CHANGES: &str = "COPY stage_change FROM STDIN (FORMAT binary)";
/// Fills `sdmk.employment` itself.
pub(crate) const COPY_EMPLOYMENTS: &str = include_str!("sql/copy_employments.sql");
/// Fills `stage_employment`.
pub(crate) const STAGE_EMPLOYMENTS: &str = "COPY stage_employment FROM STDIN (FORMAT binary)";
/// Fills `stage_deletion`.
pub(crate) const COPY_DELETIONS: &str = "COPY stage_deletion FROM STDIN (FORMAT binary)";

const PERSON_FIELDS: i16 = 27;
const EMPLOYMENT_FIELDS: i16 = 19;
const DELETION_FIELDS: i16 = 3;

/// Where a row stands in its table, as Postgres sends and takes a `tid`.
pub(crate) type Place = [u8; 6];

/// Writes one row of `sdmk.person`, whose `deleted_at` is null.
pub(crate) fn person(row: &mut CopyBuffer, worker: &SdmkWorker<'_>) {
    row.tuple(PERSON_FIELDS);
    fields(row, worker);
}

/// Writes one row of `stage_change`.
pub(crate) fn change(row: &mut CopyBuffer, place: Place, worker: &SdmkWorker<'_>) {
    row.tuple(PERSON_FIELDS + 2);
    row.place(place);
    row.text_array(worker.body.employments.iter().map(|job| job.employment_key.as_ref()));
    fields(row, worker);
}

/// The columns of `sdmk.person` that a record determines.
fn fields(row: &mut CopyBuffer, worker: &SdmkWorker<'_>) {
    let body = &worker.body;
    row.timestamp(worker.version.last_updated);
    row.timestamp(worker.version.fetched_at);
    row.integer(worker.version.rules_revision);
    row.bigint(worker.version.content_hash);
    row.uuid(worker.person_id.0);
    row.uuid(worker.batch_id);
    row.uuid(worker.request_id);
    row.hex(&worker.trace_id.0);
    row.integer(worker.raw_partition);
    row.bigint(worker.raw_offset);
    row.text(&worker.wilayah_versi);
    row.text(body.nik.expose());
    row.text(body.nama.expose());
    row.text(body.nama_asal.expose());
    row.opt_text(exposed(&body.gelar_depan));
    row.opt_text(exposed(&body.gelar_belakang));
    row.opt_text(body.jenis_kelamin.map(schemas::worker::JenisKelamin::as_str));
    row.opt_text(exposed(&body.tempat_lahir));
    row.opt_date(body.tanggal_lahir);
    row.opt_text(exposed(&body.alamat));
    row.text(body.status_aktif.as_str());
    row.text(&body.status_aktif_asal);
    row.opt_text(body.kode_wilayah.as_deref());
    row.opt_text(body.kode_wilayah_asal.as_deref());
    row.jsonb(|out| array(out, &body.pendidikan, pendidikan));
    row.jsonb(|out| array(out, &body.pelatihan, pelatihan));
    row.text_array(body.warnings.iter().map(AsRef::as_ref));
}

/// Writes one row of `sdmk.employment` or `stage_employment`.
pub(crate) fn employment(row: &mut CopyBuffer, person_id: Uuid, job: &Employment<'_>) {
    row.tuple(EMPLOYMENT_FIELDS);
    row.uuid(person_id);
    row.text(&job.employment_key);
    row.opt_text(job.kode_unit.as_deref());
    row.opt_text(job.unit.as_deref());
    row.opt_text(job.alamat.as_deref());
    row.opt_text(job.id_jenis_sdmk.as_deref());
    row.opt_text(job.jenis_sdmk.as_deref());
    row.opt_text(job.status_pegawai.as_deref());
    row.opt_text(exposed(&job.nip));
    row.opt_text(exposed(&job.str));
    row.opt_date(job.str_tanggal);
    row.opt_date(job.str_berlaku_sampai);
    row.opt_text(exposed(&job.sip));
    row.opt_date(job.sip_tanggal);
    row.opt_date(job.sip_berlaku_sampai);
    row.opt_date(job.tanggal_mulai);
    row.opt_date(job.tanggal_akhir);
    row.opt_text(job.kode_wilayah.as_deref());
    row.opt_text(job.kode_wilayah_asal.as_deref());
}

/// Writes one row of `stage_deletion`.
pub(crate) fn deletion(row: &mut CopyBuffer, run: i32, person_id: Uuid, at: Timestamp) {
    row.tuple(DELETION_FIELDS);
    row.integer(run);
    row.uuid(person_id);
    row.timestamp(at);
}

fn exposed<'m>(value: &'m Option<Masked<'_>>) -> Option<&'m str> {
    value.as_ref().map(Masked::expose)
}

fn pendidikan(out: &mut Vec<u8>, item: &Pendidikan<'_>) {
    object(
        out,
        &[
            ("kode_prodi", item.kode_prodi.as_deref()),
            ("prodi", item.prodi.as_deref()),
            ("jenjang", item.jenjang.as_deref()),
            ("kode_perti", item.kode_perti.as_deref()),
            ("perguruan_tinggi", item.perguruan_tinggi.as_deref()),
            ("tahun_lulus", item.tahun_lulus.as_deref()),
            ("no_ijazah", exposed(&item.no_ijazah)),
        ],
    );
}

fn pelatihan(out: &mut Vec<u8>, item: &Pelatihan<'_>) {
    object(
        out,
        &[
            ("nama", item.nama.as_deref()),
            ("penyelenggara", item.penyelenggara.as_deref()),
            ("tahun", item.tahun.as_deref()),
            ("no_sertifikat", exposed(&item.no_sertifikat)),
        ],
    );
}

fn array<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// A JSON object of text or null, all keys always there.
fn object(out: &mut Vec<u8>, fields: &[(&str, Option<&str>)]) {
    for (position, (name, value)) in fields.iter().enumerate() {
        out.push(if position == 0 { b'{' } else { b',' });
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        serde_json::to_writer(&mut *out, value).expect("text is always JSON and memory takes it");
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_order_and_all_their_keys() {
        let items = [
            Pelatihan {
                nama: Some("ACLS \"lanjut\"\n".into()),
                no_sertifikat: Some(Masked::new("S-1")),
                ..Pelatihan::default()
            },
            Pelatihan::default(),
        ];
        let mut out = Vec::new();
        array(&mut out, &items, pelatihan);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"[{"nama":"ACLS \"lanjut\"\n","penyelenggara":null,"tahun":null,"no_sertifikat":"S-1"},{"nama":null,"penyelenggara":null,"tahun":null,"no_sertifikat":null}]"#
        );
        let mut out = Vec::new();
        array(&mut out, &[], pendidikan);
        assert_eq!(out, b"[]");
    }
}
