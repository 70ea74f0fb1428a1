//! Our codecs against apache-avro: the same bytes for the same value, and every value back.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use schemas::event::{self, BatchEvent, BatchKind, BatchStatus, EventType};
use schemas::version::{Stamp, Version};
use schemas::worker::{
    self, Body, Employment, Encoder, Envelope, JenisKelamin, Op, Pelatihan, Pendidikan, SdmkWorker, StatusAktif,
};
use schemas::{
    BATCH_EVENT_AVSC, Date, DecodeFault, FieldFault, Masked, Nik, PersonId, SDMK_WORKER_AVSC, Timestamp, TraceId, frame,
};
use uuid::Uuid;

use super::json::damaged;

const SCHEMA_ID: u32 = 0x0a0b_0c0d;

fn schema(avsc: &str) -> Schema {
    Schema::parse_str(avsc).expect("a schema of ours")
}

/// The datum that apache-avro writes for a value.
fn theirs(schema: &Schema, value: &Avro) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().expect("a writer");
    let datum = writer.write_value_to_vec(value.clone());
    datum.expect("a value of the schema")
}

/// The value that apache-avro reads from the datum in a frame.
fn read_by_them(schema: &Schema, frame: &[u8]) -> Avro {
    let reader = GenericDatumReader::builder(schema).build().expect("a reader");
    let mut datum = &frame[frame::PREFIX_BYTES..];
    let value = reader.read_value(&mut datum).expect("a datum of the schema");
    assert!(datum.is_empty());
    value
}

fn text(text: &str) -> Avro {
    Avro::String(text.to_owned())
}

fn optional(value: Option<Avro>) -> Avro {
    match value {
        None => Avro::Union(0, Box::new(Avro::Null)),
        Some(value) => Avro::Union(1, Box::new(value)),
    }
}

fn opt_text(value: Option<&str>) -> Avro {
    optional(value.map(text))
}

fn opt_masked(value: Option<&Masked<'_>>) -> Avro {
    opt_text(value.map(Masked::expose))
}

fn opt_date(value: Option<Date>) -> Avro {
    optional(value.map(|date| Avro::Date(date.0)))
}

fn symbol(index: u8, symbol: &str) -> Avro {
    Avro::Enum(index.into(), symbol.to_owned())
}

fn record(fields: Vec<(&str, Avro)>) -> Avro {
    Avro::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn array<T>(items: &[T], item: impl Fn(&T) -> Avro) -> Avro {
    Avro::Array(items.iter().map(item).collect())
}

/// The value as apache-avro sees it.
fn worker_avro(worker: &SdmkWorker<'_>) -> Avro {
    let body = &worker.body;
    record(vec![
        ("last_updated", Avro::TimestampMicros(worker.version.last_updated.0)),
        ("fetched_at", Avro::TimestampMicros(worker.version.fetched_at.0)),
        ("rules_revision", Avro::Int(worker.version.rules_revision)),
        ("content_hash", Avro::Long(worker.version.content_hash)),
        ("stamp", symbol(worker.stamp.index(), worker.stamp.as_str())),
        ("op", symbol(worker.op.index(), worker.op.as_str())),
        ("person_id", Avro::Uuid(worker.person_id.0)),
        ("batch_id", Avro::Uuid(worker.batch_id)),
        ("request_id", Avro::Uuid(worker.request_id)),
        ("trace_id", text(&worker.trace_id.to_string())),
        ("raw_topic", text(&worker.raw_topic)),
        ("raw_partition", Avro::Int(worker.raw_partition)),
        ("raw_offset", Avro::Long(worker.raw_offset)),
        ("wilayah_versi", text(&worker.wilayah_versi)),
        ("nik", text(body.nik.expose())),
        ("nama", text(body.nama.expose())),
        ("nama_asal", text(body.nama_asal.expose())),
        ("gelar_depan", opt_masked(body.gelar_depan.as_ref())),
        ("gelar_belakang", opt_masked(body.gelar_belakang.as_ref())),
        ("jenis_kelamin", optional(body.jenis_kelamin.map(|sex| symbol(sex.index(), sex.as_str())))),
        ("tempat_lahir", opt_masked(body.tempat_lahir.as_ref())),
        ("tanggal_lahir", opt_date(body.tanggal_lahir)),
        ("alamat", opt_masked(body.alamat.as_ref())),
        ("status_aktif", symbol(body.status_aktif.index(), body.status_aktif.as_str())),
        ("status_aktif_asal", text(&body.status_aktif_asal)),
        ("kode_wilayah", opt_text(body.kode_wilayah.as_deref())),
        ("kode_wilayah_asal", opt_text(body.kode_wilayah_asal.as_deref())),
        (
            "pendidikan",
            array(&body.pendidikan, |education| {
                record(vec![
                    ("kode_prodi", opt_text(education.kode_prodi.as_deref())),
                    ("prodi", opt_text(education.prodi.as_deref())),
                    ("jenjang", opt_text(education.jenjang.as_deref())),
                    ("kode_perti", opt_text(education.kode_perti.as_deref())),
                    ("perguruan_tinggi", opt_text(education.perguruan_tinggi.as_deref())),
                    ("tahun_lulus", opt_text(education.tahun_lulus.as_deref())),
                    ("no_ijazah", opt_masked(education.no_ijazah.as_ref())),
                ])
            }),
        ),
        (
            "pelatihan",
            array(&body.pelatihan, |training| {
                record(vec![
                    ("nama", opt_text(training.nama.as_deref())),
                    ("penyelenggara", opt_text(training.penyelenggara.as_deref())),
                    ("tahun", opt_text(training.tahun.as_deref())),
                    ("no_sertifikat", opt_masked(training.no_sertifikat.as_ref())),
                ])
            }),
        ),
        ("warnings", array(&body.warnings, |code| text(code))),
        ("employments", array(&body.employments, employment_avro)),
    ])
}

fn employment_avro(job: &Employment<'_>) -> Avro {
    record(vec![
        ("employment_key", text(&job.employment_key)),
        ("kode_unit", opt_text(job.kode_unit.as_deref())),
        ("unit", opt_text(job.unit.as_deref())),
        ("alamat", opt_text(job.alamat.as_deref())),
        ("id_jenis_sdmk", opt_text(job.id_jenis_sdmk.as_deref())),
        ("jenis_sdmk", opt_text(job.jenis_sdmk.as_deref())),
        ("status_pegawai", opt_text(job.status_pegawai.as_deref())),
        ("nip", opt_masked(job.nip.as_ref())),
        ("str", opt_masked(job.str.as_ref())),
        ("str_tanggal", opt_date(job.str_tanggal)),
        ("str_berlaku_sampai", opt_date(job.str_berlaku_sampai)),
        ("sip", opt_masked(job.sip.as_ref())),
        ("sip_tanggal", opt_date(job.sip_tanggal)),
        ("sip_berlaku_sampai", opt_date(job.sip_berlaku_sampai)),
        ("tanggal_mulai", opt_date(job.tanggal_mulai)),
        ("tanggal_akhir", opt_date(job.tanggal_akhir)),
        ("kode_wilayah", opt_text(job.kode_wilayah.as_deref())),
        ("kode_wilayah_asal", opt_text(job.kode_wilayah_asal.as_deref())),
    ])
}

fn event_avro(event: &BatchEvent) -> Avro {
    record(vec![
        ("event_id", Avro::Uuid(event.event_id)),
        ("event_type", symbol(event.event_type.index(), event.event_type.as_str())),
        ("occurred_at", Avro::TimestampMicros(event.occurred_at.0)),
        ("batch_id", text(&event.batch_id.to_string())),
        ("kind", symbol(event.kind.index(), event.kind.as_str())),
        ("source", text(&event.source)),
        ("stage", opt_text(event.stage.as_deref())),
        ("topic", opt_text(event.topic.as_deref())),
        ("partition", optional(event.partition.map(Avro::Int))),
        ("first_offset", optional(event.first_offset.map(Avro::Long))),
        ("next_offset", optional(event.next_offset.map(Avro::Long))),
        ("region", opt_text(event.region.as_deref())),
        (
            "counts",
            Avro::Map(
                event.counts.iter().map(|(name, count)| (name.clone(), Avro::Long(*count))).collect::<HashMap<_, _>>(),
            ),
        ),
        ("status", optional(event.status.map(|status| symbol(status.index(), status.as_str())))),
        ("tied", optional(event.tied.map(Avro::Boolean))),
        ("started_at", optional(event.started_at.map(|moment| Avro::TimestampMicros(moment.0)))),
        ("duration_ms", optional(event.duration_ms.map(Avro::Long))),
        ("request_id", opt_text(event.request_id.map(|id| id.to_string()).as_deref())),
        ("trace_id", opt_text(event.trace_id.map(|id| id.to_string()).as_deref())),
        ("detail", opt_text(event.detail.as_deref())),
    ])
}

// Boxed, like the other parts below: strategies are nested by value otherwise, and a worker's would
// not fit a test's stack.
fn any_cow() -> BoxedStrategy<Cow<'static, str>> {
    prop_oneof![
        8 => "[ -~\u{a0}-\u{2fff}]{0,20}",
        1 => "[a-z]{60,200}",
        1 => Just(String::new()),
    ]
    .prop_map(Cow::Owned)
    .boxed()
}

fn any_masked() -> BoxedStrategy<Masked<'static>> {
    any_cow().prop_map(Masked::new).boxed()
}

fn any_date() -> BoxedStrategy<Option<Date>> {
    option::of(any::<i32>().prop_map(Date)).boxed()
}

fn any_uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

prop_compose! {
    fn any_employment()(
        employment_key in any_cow(),
        text in prop::array::uniform8(option::of(any_cow())),
        [nip, str, sip] in prop::array::uniform3(option::of(any_masked())),
        dates in prop::array::uniform6(any_date()),
    ) -> Employment<'static> {
        let [kode_unit, unit, alamat, id_jenis_sdmk, jenis_sdmk, status_pegawai, kode_wilayah, kode_wilayah_asal] = text;
        let [str_tanggal, str_berlaku_sampai, sip_tanggal, sip_berlaku_sampai, tanggal_mulai, tanggal_akhir] = dates;
        Employment {
            employment_key, kode_unit, unit, alamat, id_jenis_sdmk, jenis_sdmk, status_pegawai, nip,
            str, str_tanggal, str_berlaku_sampai, sip, sip_tanggal, sip_berlaku_sampai,
            tanggal_mulai, tanggal_akhir, kode_wilayah, kode_wilayah_asal,
        }
    }
}

prop_compose! {
    fn any_pendidikan()(
        text in prop::array::uniform6(option::of(any_cow())),
        no_ijazah in option::of(any_masked()),
    ) -> Pendidikan<'static> {
        let [kode_prodi, prodi, jenjang, kode_perti, perguruan_tinggi, tahun_lulus] = text;
        Pendidikan { kode_prodi, prodi, jenjang, kode_perti, perguruan_tinggi, tahun_lulus, no_ijazah }
    }
}

prop_compose! {
    fn any_pelatihan()(
        [nama, penyelenggara, tahun] in prop::array::uniform3(option::of(any_cow())),
        no_sertifikat in option::of(any_masked()),
    ) -> Pelatihan<'static> {
        Pelatihan { nama, penyelenggara, tahun, no_sertifikat }
    }
}

prop_compose! {
    fn any_body()(
        nik in "[0-9]{16}",
        [nama, nama_asal] in prop::array::uniform2(any_masked()),
        [gelar_depan, gelar_belakang, tempat_lahir, alamat] in prop::array::uniform4(option::of(any_masked())),
        jenis_kelamin in option::of(select(JenisKelamin::ALL)),
        tanggal_lahir in any_date(),
        status_aktif in select(StatusAktif::ALL),
        status_aktif_asal in any_cow(),
        [kode_wilayah, kode_wilayah_asal] in prop::array::uniform2(option::of(any_cow())),
        pendidikan in prop::collection::vec(any_pendidikan().boxed(), 0..3),
        pelatihan in prop::collection::vec(any_pelatihan().boxed(), 0..3),
        warnings in prop::collection::vec(any_cow(), 0..3),
        employments in prop::collection::vec(any_employment().boxed(), 0..4),
    ) -> Body<'static> {
        Body {
            nik: Nik::new(nik).expect("16 digits"),
            nama, nama_asal, gelar_depan, gelar_belakang, jenis_kelamin, tempat_lahir, tanggal_lahir,
            alamat, status_aktif, status_aktif_asal, kode_wilayah, kode_wilayah_asal, pendidikan,
            pelatihan, warnings, employments,
        }
    }
}

prop_compose! {
    /// `content_hash` is not yet the body's: the encoder sets it.
    fn any_worker()(
        [last_updated, fetched_at] in prop::array::uniform2(any_timestamp()),
        rules_revision: i32,
        stamp in select(Stamp::ALL),
        op in select(Op::ALL),
        [person_id, batch_id, request_id] in prop::array::uniform3(any_uuid()),
        trace_id: [u8; 16],
        [raw_topic, wilayah_versi] in prop::array::uniform2(any_cow()),
        raw_partition: i32,
        raw_offset: i64,
        body in any_body().boxed(),
    ) -> SdmkWorker<'static> {
        SdmkWorker {
            version: Version { last_updated, fetched_at, rules_revision, content_hash: 0 },
            stamp, op, person_id: PersonId(person_id), batch_id, request_id,
            trace_id: TraceId(trace_id), raw_topic, raw_partition, raw_offset, wilayah_versi, body,
        }
    }
}

prop_compose! {
    fn any_event()(
        [event_id, batch_id] in prop::array::uniform2(any_uuid()),
        event_type in select(EventType::ALL),
        occurred_at in any_timestamp(),
        kind in select(BatchKind::ALL),
        source in any_cow(),
        [stage, topic, region, detail] in prop::array::uniform4(option::of(any_cow().prop_map(Cow::into_owned))),
        partition: Option<i32>,
        [first_offset, next_offset, duration_ms] in prop::array::uniform3(any::<Option<i64>>()),
        counts in prop::collection::btree_map("[a-z_.]{0,20}", any::<i64>(), 0..6),
        status in option::of(select(BatchStatus::ALL)),
        tied: Option<bool>,
        started_at in option::of(any_timestamp()),
        request_id in option::of(any_uuid()),
        trace_id: Option<[u8; 16]>,
    ) -> BatchEvent {
        BatchEvent {
            event_id, event_type, occurred_at, batch_id, kind, source: source.into_owned(), stage, topic,
            partition, first_offset, next_offset, region, counts, status, tied, started_at, duration_ms,
            request_id, trace_id: trace_id.map(TraceId), detail,
        }
    }
}

/// Encodes with our encoder; the worker gets the hash that was written.
fn encode(worker: &mut SdmkWorker<'_>) -> Vec<u8> {
    let envelope = Envelope {
        last_updated: worker.version.last_updated,
        fetched_at: worker.version.fetched_at,
        rules_revision: worker.version.rules_revision,
        stamp: worker.stamp,
        op: worker.op,
        person_id: worker.person_id,
        batch_id: worker.batch_id,
        request_id: worker.request_id,
        trace_id: worker.trace_id,
        raw_topic: &worker.raw_topic,
        raw_partition: worker.raw_partition,
        raw_offset: worker.raw_offset,
        wilayah_versi: &worker.wilayah_versi,
    };
    let mut out = vec![0xee];
    let content_hash = Encoder::new(SCHEMA_ID).encode(&envelope, &worker.body, &mut out);
    worker.version.content_hash = content_hash;
    assert_eq!(out.remove(0), 0xee, "the frame is appended");
    out
}

fn framed(datum: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(SCHEMA_ID, &mut out);
    out.extend_from_slice(datum);
    out
}

proptest! {
    #[test]
    fn workers_are_written_as_apache_avro_writes_them_and_read_back(mut worker in any_worker()) {
        let schema = schema(SDMK_WORKER_AVSC);
        let frame = encode(&mut worker);
        let avro = worker_avro(&worker);
        prop_assert_eq!(&frame, &framed(&theirs(&schema, &avro)));
        prop_assert_eq!(worker::decode(&frame, SCHEMA_ID), Ok(worker.clone()));
        prop_assert_eq!(worker::decode_version(&frame, SCHEMA_ID), Ok(worker.version));
        prop_assert_eq!(worker::decode_head(&frame, SCHEMA_ID), Ok(head(&worker)));
        prop_assert_eq!(read_by_them(&schema, &frame), avro);
    }

    #[test]
    fn the_hash_covers_the_business_fields_and_nothing_else(
        mut worker in any_worker(),
        mut other in any_worker(),
    ) {
        encode(&mut worker);
        let body = std::mem::replace(&mut other.body, worker.body.clone());
        encode(&mut other);
        prop_assert_eq!(other.version.content_hash, worker.version.content_hash);
        let changed = body != worker.body;
        other.body = body;
        encode(&mut other);
        prop_assert_eq!(other.version.content_hash != worker.version.content_hash, changed);
    }

    #[test]
    fn damaged_workers_are_decoded_or_refused(
        frame in damaged(any_worker().prop_map(|mut worker| encode(&mut worker))),
    ) {
        let _ = (worker::decode_version(&frame, SCHEMA_ID), worker::decode_head(&frame, SCHEMA_ID));
        if let Ok(mut worker) = worker::decode(&frame, SCHEMA_ID) {
            // Whatever was accepted is a value that can be written and read.
            let again = encode(&mut worker);
            prop_assert_eq!(worker::decode_head(&again, SCHEMA_ID), Ok(head(&worker)));
            prop_assert_eq!(worker::decode(&again, SCHEMA_ID), Ok(worker));
        }
    }

    #[test]
    fn any_datum_is_decoded_or_refused(datum: Vec<u8>) {
        let frame = framed(&datum);
        let _ = (worker::decode(&frame, SCHEMA_ID), event::decode(&frame, SCHEMA_ID));
        let _ = (worker::decode(&datum, SCHEMA_ID), event::decode(&datum, SCHEMA_ID));
    }

    #[test]
    fn events_agree_with_apache_avro(event in any_event()) {
        let schema = schema(BATCH_EVENT_AVSC);
        let mut frame = Vec::new();
        event::encode(&event, SCHEMA_ID, &mut frame);
        let avro = event_avro(&event);
        let theirs = theirs(&schema, &avro);
        // They write a map in no order at all.
        if event.counts.len() < 2 {
            prop_assert_eq!(&frame, &framed(&theirs));
        }
        prop_assert_eq!(read_by_them(&schema, &frame), avro);
        prop_assert_eq!(event::decode(&framed(&theirs), SCHEMA_ID), Ok(event.clone()));
        prop_assert_eq!(event::decode(&frame, SCHEMA_ID), Ok(event));
    }

    #[test]
    fn damaged_events_are_decoded_or_refused(frame in damaged(any_event().prop_map(|event| {
        let mut frame = Vec::new();
        event::encode(&event, SCHEMA_ID, &mut frame);
        frame
    }))) {
        let _ = event::decode(&frame, SCHEMA_ID);
    }
}

/// A worker with nothing optional: small enough to point at its bytes.
fn plain_worker() -> SdmkWorker<'static> {
    SdmkWorker {
        version: Version { last_updated: Timestamp(0), fetched_at: Timestamp(0), rules_revision: 1, content_hash: 0 },
        stamp: Stamp::Source,
        op: Op::Create,
        person_id: PersonId(Uuid::nil()),
        batch_id: Uuid::nil(),
        request_id: Uuid::nil(),
        trace_id: TraceId([0; 16]),
        raw_topic: "sisdmk.raw".into(),
        raw_partition: 0,
        raw_offset: 0,
        wilayah_versi: "kemendagri-2025>kemendagri-2025#07ad26f2".into(),
        body: Body {
            nik: Nik::new("3273015705900004").expect("16 digits"),
            nama: Masked::new("CONTOH"),
            nama_asal: Masked::new("CONTOH"),
            gelar_depan: None,
            gelar_belakang: None,
            jenis_kelamin: None,
            tempat_lahir: None,
            tanggal_lahir: None,
            alamat: None,
            status_aktif: StatusAktif::Aktif,
            status_aktif_asal: "Aktif".into(),
            kode_wilayah: None,
            kode_wilayah_asal: None,
            pendidikan: Vec::new(),
            pelatihan: Vec::new(),
            warnings: Vec::new(),
            employments: Vec::new(),
        },
    }
}

#[test]
fn the_hash_of_a_known_record_never_changes() {
    let mut worker = plain_worker();
    let frame = encode(&mut worker);
    let body = frame.windows(17).position(|window| window == b"\x203273015705900004").expect("the NIK with its length");
    // Another implementation of the same hash over the same slice, and the number itself: a
    // change of either would make every stored row look different from itself.
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.update(&frame[body..]);
    assert_eq!(worker.version.content_hash.cast_unsigned(), hash.digest());
    assert_eq!(worker.version.content_hash, KNOWN_HASH);
}

const KNOWN_HASH: i64 = -6_453_288_178_673_914_295;

#[test]
fn what_is_wrong_with_a_frame_is_told_by_field_and_never_by_value() {
    let mut worker = plain_worker();
    let good = encode(&mut worker);
    let refuse = |frame: &[u8]| worker::decode(frame, SCHEMA_ID).expect_err("must be refused");
    let field = |field, kind| DecodeFault::Field { field, kind };
    let find = |needle: &[u8]| good.windows(needle.len()).position(|window| window == needle).expect("in the frame");

    assert_eq!(
        worker::decode(&good, 7),
        Err(DecodeFault::Frame(frame::FrameFault::SchemaId { found: SCHEMA_ID, expected: 7 }))
    );
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(refuse(&longer), DecodeFault::Trailing);
    assert_eq!(refuse(&good[..good.len() - 1]), field("employments", FieldFault::Truncated));
    assert_eq!(refuse(&good[..frame::PREFIX_BYTES]), field("last_updated", FieldFault::Truncated));

    let nik = find(b"3273015705900004");
    let mut changed = good.clone();
    changed[nik] = b'x';
    assert_eq!(refuse(&changed), field("nik", FieldFault::Form));
    let nama = find(b"CONTOH");
    let mut changed = good.clone();
    changed[nama] = 0xff;
    assert_eq!(refuse(&changed), field("nama", FieldFault::Utf8));
    let mut changed = good.clone();
    changed[nama - 1] = 0x7f;
    assert_eq!(refuse(&changed), field("nama", FieldFault::Length));
    let id = find(b"00000000-0000-0000");
    let mut changed = good.clone();
    changed[id] = b'F';
    assert_eq!(refuse(&changed), field("person_id", FieldFault::Form));
    // The enums before it, and the union branch of gelar_depan behind nama_asal.
    let mut changed = good.clone();
    changed[id - 2] = 6;
    assert_eq!(refuse(&changed), field("op", FieldFault::Symbol));
    let mut changed = good.clone();
    changed[id - 2] = 1;
    assert_eq!(refuse(&changed), field("op", FieldFault::Symbol));
    let mut changed = good.clone();
    changed[nama + 13] = 4;
    assert_eq!(refuse(&changed), field("gelar_depan", FieldFault::Branch));

    for fault in [refuse(&changed).to_string(), format!("{:?}", refuse(&changed))] {
        assert!(fault.contains("gelar_depan") && !fault.contains("CONTOH"));
    }
}

#[test]
fn lengths_and_counts_are_bounded_by_the_bytes_at_hand() {
    let mut worker = plain_worker();
    let good = encode(&mut worker);
    let head = &good[..good.len() - 1];
    let refuse = |tail: &[u8], kind| {
        let frame = [head, tail].concat();
        assert_eq!(
            worker::decode(&frame, SCHEMA_ID),
            Err(DecodeFault::Field { field: "employments", kind }),
            "{tail:02x?}"
        );
    };
    // 2^62 items; the same as a block with a size; the least count there is.
    refuse(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0], FieldFault::Length);
    refuse(&[0x7f, 0x02, 0], FieldFault::Length);
    refuse(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0], FieldFault::Length);
    // More than 64 bits, and a number without an end.
    refuse(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], FieldFault::Range);
    refuse(&[0xff; 11], FieldFault::Range);
    refuse(&[0xff; 3], FieldFault::Truncated);
}

#[test]
fn blocks_with_sizes_are_read_as_other_writers_write_them() {
    let mut worker = plain_worker();
    let good = encode(&mut worker);
    // Two blocks of one job each, the second with its size in front.
    let job = [&[0x02, b'K'][..], &[0; 17]].concat();
    let size = [0x26];
    let frame = [&good[..good.len() - 1], &[0x02], &job, &[0x01], &size, &job, &[0]].concat();
    let read = worker::decode(&frame, SCHEMA_ID).expect("two blocks");
    let keys: Vec<_> = read.body.employments.iter().map(|job| &*job.employment_key).collect();
    assert_eq!(keys, ["K", "K"]);
}

#[test]
fn debug_shows_no_value_of_a_person() {
    let mut worker = plain_worker();
    worker.body.tanggal_lahir = Date::from_ymd(1990, 5, 17);
    worker.body.alamat = Some(Masked::new("Jl. Rahasia"));
    worker.body.employments.push(Employment {
        employment_key: "RAHASIA".into(),
        nip: Some(Masked::new("1990")),
        ..Employment::default()
    });
    worker.body.pendidikan.push(Pendidikan { no_ijazah: Some(Masked::new("RAHASIA")), ..Pendidikan::default() });
    worker.body.pelatihan.push(Pelatihan { nama: Some("RAHASIA".into()), ..Pelatihan::default() });
    let debug =
        format!("{worker:?} {:?} {:?} {:?}", worker.body.employments, worker.body.pendidikan, worker.body.pelatihan);
    for value in ["3273", "CONTOH", "1990", "7441", "ahasia", "AHASIA", "Aktif"] {
        assert!(!debug.contains(value), "{value} is in {debug}");
    }
}

#[test]
fn an_event_has_the_same_id_however_often_it_is_made() {
    let batch = Uuid::parse_str("01936ad3-0f6a-7abc-8def-0123456789ab").expect("a UUID");
    let parts = ["processor", "sisdmk.raw", "3", "17"];
    let id = event::event_id(batch, EventType::StageReport, &parts);
    assert_eq!(id, event::event_id(batch, EventType::StageReport, &parts));
    assert_eq!(id.get_version_num(), 5);
    assert_eq!(id.to_string(), KNOWN_EVENT_ID);
    let others = [
        event::event_id(Uuid::nil(), EventType::StageReport, &parts),
        event::event_id(batch, EventType::BatchClosed, &parts),
        event::event_id(batch, EventType::StageReport, &["processor", "sisdmk.raw", "31", "7"]),
        event::event_id(batch, EventType::StageReport, &["processor", "sisdmk.raw", "3"]),
        event::event_id(batch, EventType::StageReport, &[]),
    ];
    for other in others {
        assert_ne!(id, other);
    }
}

// Python: uuid.uuid5(batch, "STAGE_REPORT\nprocessor\nsisdmk.raw\n3\n17").
const KNOWN_EVENT_ID: &str = "2d93736e-5003-5e3c-a8b3-782b88fa0750";

#[test]
fn counts_are_written_in_the_order_of_their_names() {
    let counts = BTreeMap::from([("raw".to_owned(), 2), ("fetched".to_owned(), 3)]);
    let mut frames = [Vec::new(), Vec::new()];
    for frame in &mut frames {
        let event = BatchEvent {
            event_id: Uuid::nil(),
            event_type: EventType::BatchFetched,
            occurred_at: Timestamp(0),
            batch_id: Uuid::nil(),
            kind: BatchKind::Scheduled,
            source: "sdmk-modified/1".to_owned(),
            stage: None,
            topic: None,
            partition: None,
            first_offset: None,
            next_offset: None,
            region: None,
            counts: counts.clone(),
            status: Some(BatchStatus::Complete),
            tied: None,
            started_at: None,
            duration_ms: None,
            request_id: None,
            trace_id: None,
            detail: None,
        };
        event::encode(&event, SCHEMA_ID, frame);
    }
    assert_eq!(frames[0], frames[1]);
    let at = |name: &[u8]| frames[0].windows(name.len()).position(|window| window == name);
    assert!(at(b"fetched") < at(b"raw"));
}

/// What a view keeps of a worker, taken from all of it.
fn head(worker: &worker::SdmkWorker<'_>) -> worker::Head {
    worker::Head {
        version: worker.version,
        stamp: worker.stamp,
        op: worker.op,
        person_id: worker.person_id,
        province: worker::province(worker.body.kode_wilayah.as_deref()),
    }
}
