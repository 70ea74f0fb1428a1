//! Invented people, as records of `sisdmk.clean`.

use schemas::version::{Stamp, Version};
use schemas::worker::{Body, Employment, Encoder, Envelope, JenisKelamin, Op, Pelatihan, Pendidikan, StatusAktif};
use schemas::{Date, Masked, Nik, PersonId, Timestamp, TraceId};
use uuid::Uuid;

use crate::batch::Batch;

/// Id of the schema in these tests.
pub(super) const SCHEMA_ID: u32 = 7;

/// A record before it is encoded.
#[derive(Clone)]
pub(super) struct Person {
    /// Number of the person.
    pub(super) number: u128,
    /// Microseconds since 1970.
    pub(super) last_updated: i64,
    /// Microseconds since 1970.
    pub(super) fetched_at: i64,
    /// Number of the batch.
    pub(super) batch: u128,
    /// Where stamps come from.
    pub(super) stamp: Stamp,
    /// What is written.
    pub(super) body: Body<'static>,
}

/// Midnight of 2026-01-01 UTC.
pub(super) const NEW_YEAR: i64 = 1_767_225_600_000_000;

impl Person {
    /// A person without jobs.
    pub(super) fn new(number: u128) -> Self {
        let body = Body {
            nik: Nik::new(format!("{:016}", 3_273_015_705_900_000 + number % 9_000)).expect("16 digits"),
            nama: Masked::new(format!("Contoh {number}")),
            nama_asal: Masked::new(format!("dr. Contoh {number}, Sp.A")),
            gelar_depan: Some(Masked::new("dr.")),
            gelar_belakang: None,
            jenis_kelamin: Some(JenisKelamin::Perempuan),
            tempat_lahir: Some(Masked::new("Bandung")),
            tanggal_lahir: Date::from_ymd(1990, 5, 17),
            alamat: Some(Masked::new("Jl. Contoh No. 1, RT 01 RW 02")),
            status_aktif: StatusAktif::Aktif,
            status_aktif_asal: "Aktif".into(),
            kode_wilayah: Some("32.73".into()),
            kode_wilayah_asal: Some("3273".into()),
            pendidikan: vec![Pendidikan {
                jenjang: Some("S1".into()),
                no_ijazah: Some(Masked::new("I-\"1\"")),
                ..Pendidikan::default()
            }],
            pelatihan: vec![Pelatihan { nama: Some("ACLS".into()), ..Pelatihan::default() }],
            warnings: vec!["region_missing".into(), "jenis_kelamin_unknown".into()],
            employments: Vec::new(),
        };
        Self { number, last_updated: NEW_YEAR, fetched_at: NEW_YEAR + 1, batch: 1, stamp: Stamp::Source, body }
    }

    /// With another `last_updated` and `fetched_at`, in microseconds after [`NEW_YEAR`].
    pub(super) fn at(mut self, last_updated: i64, fetched_at: i64) -> Self {
        (self.last_updated, self.fetched_at) = (NEW_YEAR + last_updated, NEW_YEAR + fetched_at);
        self
    }

    /// With another name, so with other content.
    pub(super) fn named(mut self, nama: &str) -> Self {
        self.body.nama = Masked::new(nama.to_owned());
        self
    }

    /// Of another batch.
    pub(super) fn of(mut self, batch: u128) -> Self {
        self.batch = batch;
        self
    }

    /// With jobs: key and unit.
    pub(super) fn working(mut self, jobs: &[(&'static str, &'static str)]) -> Self {
        self.body.employments = jobs
            .iter()
            .map(|(key, unit)| Employment {
                employment_key: (*key).into(),
                unit: Some((*unit).into()),
                nip: Some(Masked::new("199005172015032001")),
                str_tanggal: Date::from_ymd(2020, 2, 29),
                ..Employment::default()
            })
            .collect();
        self
    }

    /// Key, as on the topic.
    pub(super) fn key(&self) -> String {
        self.person_id().to_string()
    }

    /// Public identity.
    pub(super) fn person_id(&self) -> PersonId {
        // Spread over the key space as real ones are.
        PersonId(Uuid::from_u128(self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
    }

    /// The frame, and the version that it has.
    pub(super) fn encode(&self, encoder: &mut Encoder) -> (Vec<u8>, Version) {
        let envelope = Envelope {
            last_updated: Timestamp(self.last_updated),
            fetched_at: Timestamp(self.fetched_at),
            rules_revision: 1,
            stamp: self.stamp,
            op: Op::Update,
            person_id: self.person_id(),
            batch_id: Uuid::from_u128(self.batch),
            request_id: Uuid::from_u128(99),
            trace_id: TraceId([0xab; 16]),
            raw_topic: "sisdmk.raw",
            raw_partition: 3,
            raw_offset: 41,
            wilayah_versi: "kemendagri-2025>kemendagri-2025#07ad26f2",
        };
        let mut frame = Vec::new();
        let content_hash = encoder.encode(&envelope, &self.body, &mut frame);
        let version = Version {
            last_updated: envelope.last_updated,
            fetched_at: envelope.fetched_at,
            rules_revision: 1,
            content_hash,
        };
        (frame, version)
    }
}

/// A batch of these records, one offset after the other from `position`.
pub(super) fn batch(position: i64, people: &[Person]) -> Batch {
    let mut encoder = Encoder::new(SCHEMA_ID);
    let mut batch = Batch::new(position);
    for (offset, person) in (position..).zip(people) {
        let (frame, _) = person.encode(&mut encoder);
        batch.push(offset, Some(person.key().as_bytes()), Some(&frame), std::iter::empty());
    }
    batch
}
