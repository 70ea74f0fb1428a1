//! What the tables must hold once a worker's record has been read correctly.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::calendar::{Day, push_iso, push_number};
use crate::pen::Pen;
use crate::person::{Job, Person, push_sip};
use crate::population::Population;
use crate::profession::SCHOOLS;
use crate::record::{Shape, push_certificate, push_kode_perti};
use crate::wilayah::CodeSystem;

/// The key of the public identity. `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct IdentityKey(Vec<u8>);

impl std::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityKey(..)")
    }
}

impl IdentityKey {
    /// The key file's bytes without one trailing newline. None if nothing is left.
    pub(crate) fn from_file_bytes(bytes: &[u8]) -> Option<Self> {
        let key = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        (!key.is_empty()).then(|| Self(key.to_vec()))
    }

    /// The first 128 bits of HMAC-SHA-256(key, NIK) in the form of a version 8 UUID.
    pub(crate) fn person_id(&self, nik: &str) -> uuid::Uuid {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(nik.as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(first).into_uuid()
    }
}

/// `<declared system>><internal system>#<8 hex>`.
pub(crate) fn wilayah_versi(population: &Population) -> String {
    format!(
        "{}>{}#{}",
        population.make.code_system.name(),
        CodeSystem::Kemendagri2025.name(),
        population.wilayah.table_hash
    )
}

/// Writes the truth of one person after the other.
pub(crate) struct TruthWriter<'a> {
    population: &'a Population,
    key: Option<&'a IdentityKey>,
    shape: Shape,
    wilayah_versi: String,
    text: String,
}

impl<'a> TruthWriter<'a> {
    pub(crate) fn new(population: &'a Population, key: Option<&'a IdentityKey>, shape: Shape) -> Self {
        Self { population, key, shape, wilayah_versi: wilayah_versi(population), text: String::new() }
    }

    /// Appends one line for `person`.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, person: &Person) {
        let mut pen = Pen::new(out);
        pen.open(b'{');
        self.person(&mut pen, person);
        self.lists(&mut pen, person);
        pen.open_at("warnings", b'[');
        if let Some(soft) = person.soft {
            pen.element(soft.code());
        }
        pen.close(b']');
        if self.shape == Shape::SdmkModified {
            pen.text("last_updated", Some(&person.stamp.to_string()));
        } else {
            pen.text("last_updated", None);
        }
        self.employments(&mut pen, person);
        pen.close(b'}');
        out.push(b'\n');
    }

    fn person(&mut self, pen: &mut Pen<'_>, person: &Person) {
        let population = self.population;
        pen.text("nik", Some(person.nik()));
        pen.text("person_id", self.key.map(|key| key.person_id(person.nik()).to_string()).as_deref());
        self.some(pen, "nama", |text| person.name.push_nama(text));
        self.some(pen, "nama_asal", |text| person.name.push_asal(text));
        self.maybe(pen, "gelar_depan", |text| {
            person.name.push_front(text);
            !text.is_empty()
        });
        self.maybe(pen, "gelar_belakang", |text| {
            person.name.push_back(text);
            !text.is_empty()
        });
        pen.text("jenis_kelamin", person.stated_sex.map(|it| it.letter()));
        self.maybe(pen, "tempat_lahir", |text| person.push_birth_place(text, &population.wilayah));
        self.day(pen, "tanggal_lahir", person.birth_date);
        self.maybe(pen, "alamat", |text| person.address.inspect(|it| it.push(text)).is_some());
        pen.text("status_aktif", Some(person.status.symbol()));
        pen.text("status_aktif_asal", Some(person.status_asal));
        pen.text("kode_wilayah", person.region.kode(&population.wilayah));
        let system = population.make.code_system;
        self.maybe(pen, "kode_wilayah_asal", |text| person.region.push_asal(text, &population.wilayah, system));
        pen.text("wilayah_versi", Some(&self.wilayah_versi));
    }

    fn lists(&mut self, pen: &mut Pen<'_>, person: &Person) {
        pen.open_at("pendidikan", b'[');
        for school in person.schools.iter() {
            pen.open(b'{');
            self.some(pen, "kode_prodi", |text| push_number(text, u64::from(school.prodi_code), 1));
            pen.text("prodi", Some(school.prodi));
            pen.text("jenjang", Some(school.jenjang));
            self.some(pen, "kode_perti", |text| push_kode_perti(text, school.school));
            pen.text("perguruan_tinggi", Some(SCHOOLS[school.school]));
            self.some(pen, "tahun_lulus", |text| push_number(text, u64::from(school.year.unsigned_abs()), 4));
            self.maybe(pen, "no_ijazah", |text| {
                school.certificate.inspect(|it| push_certificate(text, 'C', *it, school.year)).is_some()
            });
            pen.close(b'}');
        }
        pen.close(b']');
        pen.open_at("pelatihan", b'[');
        for training in person.trainings.iter() {
            pen.open(b'{');
            pen.text("nama", Some(training.course));
            pen.text("penyelenggara", training.provider);
            self.some(pen, "tahun", |text| push_number(text, u64::from(training.year.unsigned_abs()), 4));
            self.maybe(pen, "no_sertifikat", |text| {
                training.certificate.inspect(|it| push_certificate(text, 'S', *it, training.year)).is_some()
            });
            pen.close(b'}');
        }
        pen.close(b']');
    }

    fn employments(&mut self, pen: &mut Pen<'_>, person: &Person) {
        let population = self.population;
        let (wilayah, system) = (&population.wilayah, population.make.code_system);
        pen.open_at("employments", b'[');
        for (key, job) in keyed_jobs(population, person) {
            pen.open(b'{');
            pen.text("employment_key", Some(&key));
            self.maybe(pen, "kode_unit", |text| job.push_kode_unit(text, wilayah));
            self.maybe(pen, "unit", |text| job.push_unit(text));
            self.maybe(pen, "alamat", |text| {
                if job.has_address {
                    job.unit.address().push(text);
                }
                job.has_address
            });
            self.some(pen, "id_jenis_sdmk", |text| push_number(text, u64::from(job.profession.id), 1));
            pen.text("jenis_sdmk", Some(job.profession.label));
            pen.text("status_pegawai", job.status_pegawai());
            self.maybe(pen, "nip", |text| job.push_nip(text, person));
            self.maybe(pen, "str", |text| job.str.inspect(|it| push_number(text, it.number, 16)).is_some());
            self.day(pen, "str_tanggal", job.str.map(|it| it.issued));
            self.day(pen, "str_berlaku_sampai", job.str.and_then(|it| it.until));
            self.maybe(pen, "sip", |text| job.sip.inspect(|it| push_sip(text, it)).is_some());
            self.day(pen, "sip_tanggal", job.sip.map(|it| it.issued));
            let sip_until = job.sip.and_then(|it| it.until).filter(|_| self.shape == Shape::SdmkModified);
            self.day(pen, "sip_berlaku_sampai", sip_until);
            self.day(pen, "tanggal_mulai", job.start);
            self.day(pen, "tanggal_akhir", job.end);
            pen.text("kode_wilayah", job.region.kode(wilayah));
            self.maybe(pen, "kode_wilayah_asal", |text| job.region.push_asal(text, wilayah, system));
            pen.close(b'}');
        }
        pen.close(b']');
    }

    fn some(&mut self, pen: &mut Pen<'_>, key: &str, write: impl FnOnce(&mut String)) {
        self.text.clear();
        write(&mut self.text);
        pen.text(key, Some(&self.text));
    }

    /// A field that is null unless `write` says that it wrote a value.
    fn maybe(&mut self, pen: &mut Pen<'_>, key: &str, write: impl FnOnce(&mut String) -> bool) {
        self.text.clear();
        let present = write(&mut self.text);
        pen.text(key, present.then_some(self.text.as_str()));
    }

    fn day(&mut self, pen: &mut Pen<'_>, key: &str, day: Option<Day>) {
        self.maybe(pen, key, |text| day.inspect(|it| push_iso(text, *it)).is_some());
    }
}

/// The jobs with their keys, sorted by key.
fn keyed_jobs<'a>(population: &Population, person: &'a Person) -> Vec<(String, &'a Job)> {
    let mut jobs: Vec<(String, Order, &Job)> = person
        .jobs
        .iter()
        .enumerate()
        .map(|(position, job)| (base_key(population, job), Order::new(person, job, position), job))
        .collect();
    jobs.sort_by(|one, two| (&one.0, &one.1).cmp(&(&two.0, &two.1)));
    let mut keyed: Vec<(String, &Job)> = Vec::with_capacity(jobs.len());
    let mut same = 0;
    for (at, (base, _, job)) in jobs.iter().enumerate() {
        same = if at > 0 && jobs[at - 1].0 == *base { same + 1 } else { 1 };
        keyed.push((if same == 1 { base.clone() } else { format!("{base}~{same}") }, job));
    }
    keyed.sort_by(|one, two| one.0.cmp(&two.0));
    keyed
}

/// The facility's code without blanks, in capitals; without one, a digest of its name.
fn base_key(population: &Population, job: &Job) -> String {
    let mut text = String::new();
    if job.push_kode_unit(&mut text, &population.wilayah) {
        return text.split_whitespace().collect::<String>().to_uppercase();
    }
    job.push_unit(&mut text);
    let digest = Sha256::digest(text.to_uppercase().as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("UNIT:{hex}")
}

/// What decides between jobs at one facility: null first, text by bytes, then the position in the record.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    id_jenis_sdmk: String,
    tanggal_mulai: Option<Day>,
    status_pegawai: Option<&'static str>,
    nip: Option<String>,
    str: Option<u64>,
    sip: Option<String>,
    position: usize,
}

impl Order {
    fn new(person: &Person, job: &Job, position: usize) -> Self {
        let mut nip = String::new();
        let has_nip = job.push_nip(&mut nip, person);
        Self {
            id_jenis_sdmk: job.profession.id.to_string(),
            tanggal_mulai: job.start,
            status_pegawai: job.status_pegawai(),
            nip: has_nip.then_some(nip),
            // Sixteen digits each, so the order of numbers is the order of their text.
            str: job.str.map(|it| it.number),
            sip: job.sip.map(|it| {
                let mut text = String::new();
                push_sip(&mut text, &it);
                text
            }),
            position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_id_is_the_head_of_an_hmac_as_uuid_8() {
        let key = IdentityKey::from_file_bytes(b"key\n").expect("not empty");
        assert_eq!(key.0, b"key");
        // HMAC-SHA-256("key", "The quick brown fox jumps over the lazy dog") = f7bc83f430538424b13298e6aa6fb143...
        let id = key.person_id("The quick brown fox jumps over the lazy dog");
        assert_eq!(id.to_string(), "f7bc83f4-3053-8424-b132-98e6aa6fb143");
        assert_eq!(IdentityKey::from_file_bytes(b"\n").map(|it| it.0), None);
    }
}
