//! A verdict as plain JSON, as the golden files and the oracle tell it: nulls left out.

use std::cell::RefCell;

use rules::{Memory, RawRecord, Rules, Verdict, judge_and_count};
use schemas::worker::{Employment, Pelatihan, Pendidikan};
use schemas::{Date, Masked, Timestamp};
use serde_json::{Map, Value, json};

thread_local! {
    /// Kept as a stage keeps it: what came before must not change what is said.
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// What the rules say about a record.
pub(crate) fn told(payload: &[u8], fetched_at: Timestamp, rules: &Rules) -> Value {
    let raw = RawRecord { payload, fetched_at };
    match MEMORY.with_borrow_mut(|memory| judge_and_count(&raw, rules, memory).0) {
        Verdict::Rejected { reasons } => {
            let reasons: Vec<String> = reasons.iter().map(|it| format!("{}@{}", it.code, it.field)).collect();
            json!({ "verdict": "rejected", "reasons": reasons })
        }
        Verdict::Clean { last_updated, body } => fields([
            ("verdict", Some(json!("clean"))),
            ("warnings", Some(json!(body.warnings))),
            ("last_updated", Some(json!(last_updated.to_string()))),
            ("nik", Some(json!(body.nik.expose()))),
            ("nama", Some(json!(body.nama.expose()))),
            ("nama_asal", Some(json!(body.nama_asal.expose()))),
            ("gelar_depan", masked(body.gelar_depan.as_ref())),
            ("gelar_belakang", masked(body.gelar_belakang.as_ref())),
            ("jenis_kelamin", body.jenis_kelamin.map(|it| json!(it.as_str()))),
            ("tempat_lahir", masked(body.tempat_lahir.as_ref())),
            ("tanggal_lahir", day(body.tanggal_lahir)),
            ("alamat", masked(body.alamat.as_ref())),
            ("status_aktif", Some(json!(body.status_aktif.as_str()))),
            ("status_aktif_asal", Some(json!(body.status_aktif_asal))),
            ("kode_wilayah", text(body.kode_wilayah.as_deref())),
            ("kode_wilayah_asal", text(body.kode_wilayah_asal.as_deref())),
            ("employments", Some(body.employments.iter().map(job).collect())),
            ("pendidikan", Some(body.pendidikan.iter().map(education).collect())),
            ("pelatihan", Some(body.pelatihan.iter().map(training).collect())),
        ]),
    }
}

fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

fn text(text: Option<&str>) -> Option<Value> {
    text.map(|text| json!(text))
}

fn masked(text: Option<&Masked<'_>>) -> Option<Value> {
    text.map(|text| json!(text.expose()))
}

fn day(day: Option<Date>) -> Option<Value> {
    day.map(|day| json!(day.to_string()))
}

fn job(job: &Employment<'_>) -> Value {
    fields([
        ("employment_key", text(Some(&job.employment_key))),
        ("kode_unit", text(job.kode_unit.as_deref())),
        ("unit", text(job.unit.as_deref())),
        ("alamat", text(job.alamat.as_deref())),
        ("id_jenis_sdmk", text(job.id_jenis_sdmk.as_deref())),
        ("jenis_sdmk", text(job.jenis_sdmk.as_deref())),
        ("status_pegawai", text(job.status_pegawai.as_deref())),
        ("nip", masked(job.nip.as_ref())),
        ("str", masked(job.str.as_ref())),
        ("str_tanggal", day(job.str_tanggal)),
        ("str_berlaku_sampai", day(job.str_berlaku_sampai)),
        ("sip", masked(job.sip.as_ref())),
        ("sip_tanggal", day(job.sip_tanggal)),
        ("sip_berlaku_sampai", day(job.sip_berlaku_sampai)),
        ("tanggal_mulai", day(job.tanggal_mulai)),
        ("tanggal_akhir", day(job.tanggal_akhir)),
        ("kode_wilayah", text(job.kode_wilayah.as_deref())),
        ("kode_wilayah_asal", text(job.kode_wilayah_asal.as_deref())),
    ])
}

fn education(education: &Pendidikan<'_>) -> Value {
    fields([
        ("kode_prodi", text(education.kode_prodi.as_deref())),
        ("prodi", text(education.prodi.as_deref())),
        ("jenjang", text(education.jenjang.as_deref())),
        ("kode_perti", text(education.kode_perti.as_deref())),
        ("perguruan_tinggi", text(education.perguruan_tinggi.as_deref())),
        ("tahun_lulus", text(education.tahun_lulus.as_deref())),
        ("no_ijazah", masked(education.no_ijazah.as_ref())),
    ])
}

fn training(training: &Pelatihan<'_>) -> Value {
    fields([
        ("nama", text(training.nama.as_deref())),
        ("penyelenggara", text(training.penyelenggara.as_deref())),
        ("tahun", text(training.tahun.as_deref())),
        ("no_sertifikat", masked(training.no_sertifikat.as_ref())),
    ])
}
