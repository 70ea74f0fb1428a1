//! How long the processor takes to know everybody: fills `sisdmk.clean` with two versions of each person, starts one
//! processor and prints when it was ready, what it says about its view, and its memory.
//!
//! `cargo build --release --workspace --bins && cargo run --release -p bench --example view -- 2000000`

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use harness::{Binaries, Stage, System, SystemOptions, wait};
use platform::kafka::{HeaderSet, IdempotentProducer, KafkaConfig, Out};
use platform::settings::Settings;
use schemas::version::Stamp;
use schemas::worker::{Body, Employment, Encoder, Envelope, JenisKelamin, Op, StatusAktif};
use schemas::{Date, Masked, Nik, PersonId, Timestamp, TraceId};
use uuid::Uuid;

const CLEAN: &str = "sisdmk.clean";
const FLUSH_LIMIT: Duration = Duration::from_secs(60);
const READY_LIMIT: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    let persons: u64 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let here = std::env::current_exe()?;
    // Beside the folder of the examples.
    let programs = here.parent().and_then(Path::parent).context("no folder")?;
    let at = |name: &str| programs.join(name);
    let binaries = Binaries {
        producer: at("sisdmk-producer"),
        processor: at("sisdmk-processor"),
        sink: at("sisdmk-sink"),
        console: at("sisdmk"),
        simulator: at("sisdmk-simulator"),
    };
    let mut options = SystemOptions::new(dir.path().join("system"), binaries);
    options.throwaway = true;
    options.partitions = 12;
    let mut system = System::up(options)?;
    system.setup()?;

    let started = now();
    fill(&system, persons)?;
    say(&format!("{persons} persons, two versions each, written in {:.1} s", started.elapsed().as_secs_f64()));

    for round in 1..=2 {
        let started = now();
        system.spawn(Stage::Processor)?;
        let address = system.address("processor").context("no address")?;
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let metrics = || Ok::<_, anyhow::Error>(client.get(format!("http://{address}/metrics")).send()?.text()?);
        let sum = |text: &str, name: &str| -> f64 {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        wait::until("the view to hold everybody", READY_LIMIT, || {
            let Ok(ready) = client.get(format!("http://{address}/readyz")).send() else { return Ok(None) };
            #[expect(clippy::cast_precision_loss, reason = "some millions")]
            let all = sum(&metrics()?, "sisdmk_view_persons") == persons as f64;
            Ok((ready.status().is_success() && all).then_some(()))
        })?;
        let took = started.elapsed().as_secs_f64();
        let text = metrics()?;
        let status = fs::read_to_string(format!("/proc/{}/status", system.process(Stage::Processor)?.pid()))?;
        let memory: Vec<&str> =
            status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")).collect();
        say(&format!(
            "round {round}: ready {took:.1} s after its start, {:.1} s of reading over all workers ({:.0} records/s from start to \
             ready), {}",
            sum(&text, "sisdmk_view_rebuild_seconds_sum"),
            sum(&text, "sisdmk_view_persons") * 2.0 / took,
            memory.join(", ").split_whitespace().collect::<Vec<_>>().join(" ")
        ));
        system.stop(Stage::Processor)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn say(text: &str) {
    println!("{text}");
}

/// Writes every person, and then every person once more.
fn fill(system: &System, persons: u64) -> Result<()> {
    let servers = system.stack.bootstrap_servers();
    let settings =
        Settings::from_pairs([("kafka.bootstrap_servers", servers.as_str()), ("security.allow_plaintext", "true")])?;
    let producer = IdempotentProducer::connect(&KafkaConfig::new(&settings, "view-example")?)?;
    let url = format!("{}/subjects/{CLEAN}-value/versions/latest", system.stack.registry_url());
    let subject: serde_json::Value = serde_json::from_str(&reqwest::blocking::get(url)?.text()?)?;
    let mut encoder = Encoder::new(u32::try_from(subject["id"].as_u64().context("an id")?)?);
    let mut frame = Vec::new();
    for version in 0..2 {
        for number in 0..persons {
            frame.clear();
            let person_id = person(number);
            encoder.encode(
                &envelope(person_id, number, version),
                &body(&format!("Contoh {number} {version}")),
                &mut frame,
            );
            let key = person_id.to_string();
            producer.send(Out {
                topic: CLEAN,
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(&frame),
                headers: &HeaderSet::default(),
                timestamp_ms: None,
            })?;
        }
        producer.flush(FLUSH_LIMIT)?;
    }
    Ok(())
}

/// A number spread over a UUID as a keyed hash would.
fn person(number: u64) -> PersonId {
    let mix = |seed: u64| {
        let mixed = (number ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    let mut bytes = Uuid::from_u64_pair(mix(1), mix(2)).into_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    PersonId(Uuid::from_bytes(bytes))
}

fn envelope(person_id: PersonId, number: u64, version: i64) -> Envelope<'static> {
    Envelope {
        last_updated: Timestamp(1_795_137_330_000_000 + version),
        fetched_at: Timestamp(1_795_137_999_123_456 + version),
        rules_revision: 2,
        stamp: Stamp::Source,
        op: if version == 0 { Op::Create } else { Op::Update },
        person_id,
        batch_id: Uuid::from_u128(0x0193_6ad3_0f6a_7abc_8def_0123_4567_89ab),
        request_id: Uuid::from_u128(0x0193_6ad3_0f6a_7abc_8def_0123_4567_89ac),
        trace_id: TraceId([7; 16]),
        raw_topic: "sisdmk.raw",
        raw_partition: 3,
        raw_offset: i64::try_from(number).unwrap_or_default(),
        wilayah_versi: "kemendagri-2025>kemendagri-2025#07ad26f2",
    }
}

/// The standard record: one job.
fn body(nama: &str) -> Body<'_> {
    let date = Date::from_ymd(2015, 4, 1);
    Body {
        nik: Nik::new("3273015705900004").expect("16 digits"),
        nama: Masked::new(nama),
        nama_asal: Masked::new(nama),
        gelar_depan: None,
        gelar_belakang: None,
        jenis_kelamin: Some(JenisKelamin::Perempuan),
        tempat_lahir: Some(Masked::new("Bandung")),
        tanggal_lahir: Date::from_ymd(1990, 5, 17),
        alamat: Some(Masked::new("Jl. Contoh Sehat No. 1, Kec. Contoh")),
        status_aktif: StatusAktif::Aktif,
        status_aktif_asal: "Aktif".into(),
        kode_wilayah: Some("32.73".into()),
        kode_wilayah_asal: Some("3273".into()),
        pendidikan: Vec::new(),
        pelatihan: Vec::new(),
        warnings: Vec::new(),
        employments: vec![Employment {
            employment_key: "3273010".into(),
            kode_unit: Some("3273010".into()),
            unit: Some("Puskesmas Contoh".into()),
            jenis_sdmk: Some("Perawat".into()),
            status_pegawai: Some("PNS".into()),
            str: Some(Masked::new("1211100215000001")),
            str_tanggal: date,
            sip: Some(Masked::new("446/0001/SIP/2022")),
            sip_tanggal: date,
            tanggal_mulai: date,
            kode_wilayah: Some("32.73".into()),
            kode_wilayah_asal: Some("3273".into()),
            ..Employment::default()
        }],
    }
}
