//! What one record costs from its bytes to its frame: `cargo bench -p rules`.
//!
//! Prints nanoseconds a record, the best of many short rounds, so that on a busy machine some are not
//! interrupted. Beside it, in the same run, the way of the general libraries, which checks nothing:
//! `serde_json` into its own tree, and a value that is ready to be written through `apache-avro`. How many times as fast
//! ours is, is what can be compared between machines.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use rules::{Memory, RawRecord, Rules, Verdict, judge_and_count};
use schemas::layout::{Layout, shipped};
use schemas::version::Stamp;
use schemas::worker::{Encoder, Envelope, Op};
use schemas::{PersonId, SDMK_WORKER_AVSC, Timestamp, TraceId, frame};
use uuid::Uuid;

/// Two jobs with every field that a source can fill.
const FULL: &str = include_str!("../../schemas/test_data/rich_record.json");
/// Two jobs, an education and a training, as the simulator's rich records are: of 2,000 the one of middle length.
const RICH: &str = r#"{"NIK":"3207325810880001","NAMA":"Ni'mah Lumban Tobing AMK","JENIS_KELAMIN":"P","TEMPAT_LAHIR":"Ciamis","TANGGAL_LAHIR":"1988-10-18","ALAMAT":"Jl. Pahlawan No. 140","KODE_PROV":"32","KODE_KAB":"3207","NAMA_KAB":"KABUPATEN CIAMIS","STATUS_AKTIF":"Aktif","LAST_UPDATED":"2025-12-28T16:57:21+07:00","PEKERJAAN":[{"KODE_UNIT":"P3207000001","UNIT":"RS Kartini 1","KODE_KAB":3207,"KABKOT":"KABUPATEN CIAMIS","ID_JENIS_SDMK":201,"JENIS_SDMK":"Perawat","STATUS":"NON PNS","NIP":null,"TANGGAL_MULAI":"2011-10-21","STR":"7494909916021325","TANGGAL_STR":"2011-09-11","TANGGAL_AKHIR_STR":"2016-09-11"},{"KODE_UNIT":"P3207000001","UNIT":"RS Kartini 1","KODE_KAB":3207,"KABKOT":"Kabupaten Ciamis","ID_JENIS_SDMK":201,"JENIS_SDMK":"Perawat","STATUS":"NON PNS","NIP":null,"TANGGAL_MULAI":"2012-05-01","STR":"2046967826271486","TANGGAL_STR":"2012-03-22","TANGGAL_AKHIR_STR":"2017-03-22"}],"PENDIDIKAN":[{"KODE_PRODI":"14901","PRODI":"Profesi Ners","JENJANG":"Profesi","KODE_PERTI":"001001","PERGURUAN_TINGGI":"Universitas Contoh Nusantara","TAHUN_LULUS":"2010","NO_IJAZAH":"C-77683/2010"}],"PELATIHAN":[{"NAMA_PELATIHAN":"Bantuan Hidup Dasar","PENYELENGGARA":"Dinas Kesehatan Provinsi","TAHUN":"2013","NO_SERTIFIKAT":"S-95870/2013"}]}"#;
/// One job, as most workers have it.
const STANDARD: &str = r#"{"NIK":"3273015705900004","NAMA":"dr. Contoh Satu, Sp.A","JENIS_KELAMIN":"P","TEMPAT_LAHIR":"Bandung","TANGGAL_LAHIR":"1990-05-17","ALAMAT":"Jl. Contoh No. 1, RT 001 RW 002","KODE_PROV":"32","NAMA_PROV":"JAWA BARAT","KODE_KAB":"3273","NAMA_KAB":"KOTA BANDUNG","STATUS_AKTIF":"Aktif","LAST_UPDATED":"2026-11-20T08:15:30+07:00","PEKERJAAN":[{"KODE_UNIT":"P3273010101","UNIT":"PUSKESMAS CONTOH","KODE_PROV":32,"KODE_KAB":3273,"JENIS_SDMK":"Dokter","STATUS":"PNS","NIP":"199005172015042001","TANGGAL_MULAI":"2015-04-01","STR":"1211100215000001","TANGGAL_AKHIR_STR":"2027-02-01"}],"PENDIDIKAN":[],"PELATIHAN":[]}"#;
/// The standard one as some sources write it: with escapes, with letters beyond ASCII, with fields that the profile does
/// not know, and with blanks between everything.
const ODD: &str = r#"{ "NIK": "3273015705900004", "NAMA": "dr. Con\u0074oh D\u2019Satu, Sp.A", "JENIS_KELAMIN": "P", "TEMPAT_LAHIR": "Bandung \/ Cimahi", "TANGGAL_LAHIR": "1990-05-17", "AGAMA": "-", "ALAMAT": "Jl. Contoh № 1,  RT 001 “Atas”", "KODE_PROV": "32", "NAMA_PROV": "JAWA BARAT", "KODE_KAB": "32.73", "NAMA_KAB": "KOTA BANDUNG ", "STATUS_AKTIF": "Aktif", "LAST_UPDATED": "2026-11-20T08:15:30+07:00", "FOTO": { "URL": "a\/b", "UKURAN": [1, 2.5e3, null] }, "PEKERJAAN": [{ "KODE_UNIT": "p3273010101", "UNIT": "PUSKESMAS CONTOH", "KODE_PROV": 32, "KODE_KAB": 3273, "JENIS_SDMK": "Dokter", "STATUS": "PNS", "NIP": "19900517 201504 2 001", "TANGGAL_MULAI": "2015-04-01", "STR": "1211100215000001", "TANGGAL_AKHIR_STR": "2027-02-01" }], "PENDIDIKAN": [], "PELATIHAN": null }"#;
const ROUNDS: usize = 3_000;
const CALLS: u32 = 100;

fn main() -> io::Result<()> {
    let layout =
        Layout::from_profile_toml(shipped("sdmk-modified").expect("the default profile")).expect("a good profile");
    let rules = Rules::new(layout, &BTreeMap::new()).expect("good rules");
    let schema = Schema::parse_str(SDMK_WORKER_AVSC).expect("a schema of ours");
    let mut encoder = Encoder::new(1);
    let mut memory = Memory::default();
    let mut out = io::stdout().lock();
    for (name, record) in [("full", FULL), ("rich", RICH), ("standard", STANDARD), ("odd", ODD)] {
        let raw = RawRecord { payload: record.as_bytes(), fetched_at: Timestamp(1_795_137_999_123_456) };
        let mut bytes = Vec::new();
        work(&raw, &rules, &mut memory, &mut encoder, &mut bytes);
        let value = GenericDatumReader::builder(&schema)
            .build()
            .and_then(|reader| reader.read_value(&mut &bytes[frame::PREFIX_BYTES..]))
            .expect("a frame of ours");
        let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
        writeln!(out, "{name} record: {} B of JSON, frame of {} B", record.len(), bytes.len())?;
        let ours = best(|| work(black_box(&raw), &rules, &mut memory, &mut encoder, &mut bytes));
        let judged = best(|| matches!(judge_and_count(black_box(&raw), &rules, &mut memory).0, Verdict::Clean { .. }));
        let parsed = best(|| serde_json::from_slice::<serde_json::Value>(black_box(record.as_bytes())).is_ok());
        let written = best(|| writer.write_value_to_vec(black_box(&value).clone()).is_ok());
        for (what, nanoseconds) in [
            ("judge and encode", ours),
            ("judge alone", judged),
            ("serde_json alone", parsed),
            ("serde_json, apache-avro", parsed + written),
        ] {
            writeln!(out, "  {what:24}{nanoseconds:8.0} ns")?;
        }
        writeln!(out, "  {:24}{:8.1} times as fast", "ours", (parsed + written) / ours)?;
    }
    Ok(())
}

/// Bytes to frame, as the processor does it.
fn work(raw: &RawRecord<'_>, rules: &Rules, memory: &mut Memory, encoder: &mut Encoder, bytes: &mut Vec<u8>) {
    let (verdict, _) = judge_and_count(raw, rules, memory);
    let Verdict::Clean { last_updated, body } = &verdict else { panic!("the record is good") };
    let envelope = Envelope {
        last_updated: *last_updated,
        fetched_at: raw.fetched_at,
        rules_revision: rules::REVISION,
        stamp: Stamp::Source,
        op: Op::Update,
        person_id: PersonId(Uuid::from_u128(7)),
        batch_id: Uuid::from_u128(8),
        request_id: Uuid::from_u128(9),
        trace_id: TraceId([7; 16]),
        raw_topic: "sisdmk.raw",
        raw_partition: 3,
        raw_offset: 1_234_567,
        wilayah_versi: rules.wilayah_versi(),
    };
    bytes.clear();
    encoder.encode(&envelope, body, bytes);
}

/// Nanoseconds a call, in the best round.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut round = || {
        #[expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(work());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}
