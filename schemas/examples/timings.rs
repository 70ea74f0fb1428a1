//! Times the hot paths over one rich record and prints nanoseconds a record, the best of several
//! rounds: `cargo run --release -p schemas --example timings [name]`.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use schemas::identity::{self, IdentityKey};
use schemas::json::{self, Scanner, Value};
use schemas::layout::{Layout, shipped};
use schemas::version::Stamp;
use schemas::worker::{self, Body, Employment, Encoder, Envelope, JenisKelamin, Op, Pendidikan, StatusAktif};
use schemas::{Date, Masked, Nik, PersonId, Timestamp, TraceId};
use uuid::Uuid;

const RECORD: &str = include_str!("../test_data/rich_record.json");
/// Many short rounds: on a busy machine some of them are not interrupted.
const ROUNDS: usize = 2_000;
const CALLS: u32 = 200;

fn main() -> io::Result<()> {
    let layout =
        Layout::from_profile_toml(shipped("sdmk-modified").expect("the default profile")).expect("a good profile");
    let key = IdentityKey::from_secret(b"contoh").expect("a key");
    let nik = Nik::new("3273015705900004").expect("16 digits");
    let (envelope, body) = (envelope(), body());
    let mut encoder = Encoder::new(1);
    let mut frame = Vec::new();
    encoder.encode(&envelope, &body, &mut frame);
    let page = format!("[{}]", vec![RECORD; 100].join(","));

    let mut buffer = Vec::new();
    let record = RECORD.as_bytes();
    let mut works: Vec<Work<'_>> = vec![
        (
            "encode",
            1.0,
            Box::new(|| {
                best(|| {
                    buffer.clear();
                    encoder.encode(black_box(&envelope), black_box(&body), &mut buffer)
                })
            }),
        ),
        ("decode", 1.0, Box::new(|| best(|| worker::decode(black_box(&frame), 1)))),
        ("decode_version", 1.0, Box::new(|| best(|| worker::decode_version(black_box(&frame), 1)))),
        ("decode_head", 1.0, Box::new(|| best(|| worker::decode_head(black_box(&frame), 1)))),
        ("peek", 1.0, Box::new(|| best(|| identity::peek(black_box(record), &layout)))),
        ("read", 1.0, Box::new(|| best(|| read_all(black_box(record), &layout)))),
        ("skip", 1.0, Box::new(|| best(|| json::value(black_box(record))))),
        ("person_id", 1.0, Box::new(|| best(|| key.person_id(black_box(&nik))))),
        ("cut", 100.0, Box::new(|| best(|| json::elements(black_box(page.as_bytes())).count()))),
        ("serde_json", 1.0, Box::new(|| best(|| serde_json::from_slice::<serde_json::Value>(black_box(record))))),
    ];

    let only = std::env::args().nth(1);
    let out = &mut io::stdout().lock();
    writeln!(out, "record {} B of JSON, frame {} B", RECORD.len(), frame.len())?;
    for (name, records, work) in &mut works {
        if only.as_deref().is_none_or(|only| only == *name) {
            writeln!(out, "{name:16} {:8.1} ns", work() / *records)?;
        }
    }
    Ok(())
}

/// Name, records in one call, and what measures a call.
type Work<'w> = (&'static str, f64, Box<dyn FnMut() -> f64 + 'w>);

/// Nanoseconds a call, in the best round.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut round = |calls: u32| {
        #[expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
        let start = Instant::now();
        for _ in 0..calls {
            black_box(work());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    let calls = if round(10) > 20_000.0 { 5 } else { CALLS };
    (0..ROUNDS).map(|_| round(calls)).fold(f64::INFINITY, f64::min)
}

/// Every value of the record, its names looked up as the rules do.
fn read_all(record: &[u8], layout: &Layout) -> Result<usize, json::JsonFault> {
    let mut scanner = Scanner::record(record)?;
    let mut known = 0;
    while let Some(key) = scanner.key()? {
        known += usize::from(layout.person.field(&key).is_some());
        if let Value::Array = scanner.value()? {
            while scanner.element()? {
                if let Value::Object = scanner.value()? {
                    while let Some(key) = scanner.key()? {
                        known += usize::from(layout.employment.field(&key).is_some());
                        black_box(scanner.value()?);
                    }
                }
            }
        }
    }
    scanner.end()?;
    Ok(known)
}

fn envelope() -> Envelope<'static> {
    Envelope {
        last_updated: Timestamp(1_795_137_330_000_000),
        fetched_at: Timestamp(1_795_137_999_123_456),
        rules_revision: 1,
        stamp: Stamp::Source,
        op: Op::Update,
        person_id: PersonId(Uuid::from_u128(0x0b33_01da_b4a6_8e95_9019_49ff_0c59_c28e)),
        batch_id: Uuid::from_u128(0x0193_6ad3_0f6a_7abc_8def_0123_4567_89ab),
        request_id: Uuid::from_u128(0x0193_6ad3_0f6a_7abc_8def_0123_4567_89ac),
        trace_id: TraceId([7; 16]),
        raw_topic: "sisdmk.raw",
        raw_partition: 3,
        raw_offset: 1_234_567,
        wilayah_versi: "kemendagri-2025>kemendagri-2025#07ad26f2",
    }
}

fn body() -> Body<'static> {
    let date = Date::from_ymd(2015, 4, 1);
    let job = |key: &'static str, unit: &'static str| Employment {
        employment_key: key.into(),
        kode_unit: Some(key.into()),
        unit: Some(unit.into()),
        alamat: Some("Jl. Contoh Sehat No. 1, Kec. Contoh".into()),
        id_jenis_sdmk: Some("101".into()),
        jenis_sdmk: Some("Dokter Spesialis".into()),
        status_pegawai: Some("PNS".into()),
        nip: Some(Masked::new("199005172015042001")),
        str: Some(Masked::new("1211100215000001")),
        str_tanggal: date,
        str_berlaku_sampai: None,
        sip: Some(Masked::new("446/0001/SIP/2022")),
        sip_tanggal: date,
        sip_berlaku_sampai: date,
        tanggal_mulai: date,
        tanggal_akhir: None,
        kode_wilayah: Some("32.73".into()),
        kode_wilayah_asal: Some("3273".into()),
    };
    Body {
        nik: Nik::new("3273015705900004").expect("16 digits"),
        nama: Masked::new("Contoh Satu Dua Tiga"),
        nama_asal: Masked::new("dr. Contoh Satu Dua Tiga, Sp.A"),
        gelar_depan: Some(Masked::new("dr.")),
        gelar_belakang: Some(Masked::new("Sp.A")),
        jenis_kelamin: Some(JenisKelamin::Perempuan),
        tempat_lahir: Some(Masked::new("Bandung")),
        tanggal_lahir: Date::from_ymd(1990, 5, 17),
        alamat: Some(Masked::new("Jl. Contoh No. 1, RT 001 RW 002")),
        status_aktif: StatusAktif::Aktif,
        status_aktif_asal: "Aktif".into(),
        kode_wilayah: Some("32.73".into()),
        kode_wilayah_asal: Some("3273".into()),
        pendidikan: vec![Pendidikan {
            kode_prodi: Some("11201".into()),
            prodi: Some("Kedokteran".into()),
            jenjang: Some("Profesi".into()),
            kode_perti: Some("001002".into()),
            perguruan_tinggi: Some("Universitas Contoh".into()),
            tahun_lulus: Some("2014".into()),
            no_ijazah: Some(Masked::new("C-0001/2014")),
        }],
        pelatihan: Vec::new(),
        warnings: Vec::new(),
        employments: vec![job("P3273010101", "PUSKESMAS CONTOH"), job("P3273020101", "RSUD CONTOH KABUPATEN")],
    }
}
