//! A worker's jobs, educations and trainings: from the members of one JSON object to our types.

use std::borrow::Cow;

use schemas::json::{JsonFault, Scanner};
use schemas::layout::{EmploymentField as E, Fields, Order, PelatihanField as L, PendidikanField as D};
use schemas::worker::{Employment, Pelatihan, Pendidikan};

use crate::employment_key;
use crate::place::{CluePaths, Clues};
use crate::reading::{Reading, path};

/// One job, without its key unless the source has an id for it.
pub(crate) fn employment<'a>(
    scanner: &mut Scanner<'a>,
    reading: &mut Reading<'_>,
    order: &mut Order<E>,
    job: &mut Employment<'a>,
) -> Result<(), JsonFault> {
    let (names, paths) = (&reading.rules.layout.employment, &reading.rules.paths.employment);
    let mut clues = Clues::default();
    let mut id = None;
    let mut fields = Fields::new(names, order);
    while let Some(field) = fields.next(scanner)? {
        let path = path(paths, field);
        match field {
            E::KodeUnit => reading.text(scanner, path, &mut job.kode_unit)?,
            E::Unit => reading.text(scanner, path, &mut job.unit)?,
            E::Alamat => reading.text(scanner, path, &mut job.alamat)?,
            E::KodeProvinsi => reading.received(scanner, path, &mut clues.kode_provinsi)?,
            // Judged as any text, and never compared.
            E::NamaProvinsi => reading.text(scanner, path, &mut None)?,
            E::KodeKabupaten => reading.received(scanner, path, &mut clues.kode_kabupaten)?,
            E::NamaKabupaten => reading.clean(scanner, path, &mut clues.nama_kabupaten)?,
            E::IdJenisSdmk => reading.text(scanner, path, &mut job.id_jenis_sdmk)?,
            E::JenisSdmk => reading.text(scanner, path, &mut job.jenis_sdmk)?,
            E::StatusPegawai => reading.text(scanner, path, &mut job.status_pegawai)?,
            E::Nip => reading.masked(scanner, path, &mut job.nip)?,
            E::TanggalMulai => reading.date(scanner, path, &mut job.tanggal_mulai)?,
            E::TanggalAkhir => reading.date(scanner, path, &mut job.tanggal_akhir)?,
            E::Str => reading.masked(scanner, path, &mut job.str)?,
            E::StrTanggal => reading.date(scanner, path, &mut job.str_tanggal)?,
            E::StrBerlakuSampai => {
                let for_life = &reading.rules.str_for_life;
                reading.date_or(scanner, path, &mut job.str_berlaku_sampai, for_life)?;
            }
            E::Sip => reading.masked(scanner, path, &mut job.sip)?,
            E::SipTanggal => reading.date(scanner, path, &mut job.sip_tanggal)?,
            E::SipBerlakuSampai => reading.date(scanner, path, &mut job.sip_berlaku_sampai)?,
            E::Id => reading.text(scanner, path, &mut id)?,
        }
    }
    reading.count(reading.rules.declared.employment, &fields);
    if let Some(id) = id {
        job.employment_key = employment_key::of_id(&id);
    }
    let paths = CluePaths {
        kode_provinsi: path(paths, E::KodeProvinsi),
        kode_kabupaten: path(paths, E::KodeKabupaten),
        nama_kabupaten: path(paths, E::NamaKabupaten),
    };
    if let Some(place) = clues.judge(reading, &paths).good() {
        job.kode_wilayah = Some(Cow::Borrowed(place.kode));
        job.kode_wilayah_asal = Some(place.asal);
    }
    Ok(())
}

/// One education.
pub(crate) fn pendidikan<'a>(
    scanner: &mut Scanner<'a>,
    reading: &mut Reading<'_>,
    order: &mut Order<D>,
    education: &mut Pendidikan<'a>,
) -> Result<(), JsonFault> {
    let (names, paths) = (&reading.rules.layout.pendidikan, &reading.rules.paths.pendidikan);
    let mut fields = Fields::new(names, order);
    while let Some(field) = fields.next(scanner)? {
        let path = path(paths, field);
        match field {
            D::KodeProdi => reading.text(scanner, path, &mut education.kode_prodi)?,
            D::Prodi => reading.text(scanner, path, &mut education.prodi)?,
            D::Jenjang => reading.text(scanner, path, &mut education.jenjang)?,
            D::KodePerti => reading.text(scanner, path, &mut education.kode_perti)?,
            D::PerguruanTinggi => reading.text(scanner, path, &mut education.perguruan_tinggi)?,
            D::TahunLulus => reading.text(scanner, path, &mut education.tahun_lulus)?,
            D::NoIjazah => reading.masked(scanner, path, &mut education.no_ijazah)?,
        }
    }
    reading.count(reading.rules.declared.pendidikan, &fields);
    Ok(())
}

/// One training.
pub(crate) fn pelatihan<'a>(
    scanner: &mut Scanner<'a>,
    reading: &mut Reading<'_>,
    order: &mut Order<L>,
    training: &mut Pelatihan<'a>,
) -> Result<(), JsonFault> {
    let (names, paths) = (&reading.rules.layout.pelatihan, &reading.rules.paths.pelatihan);
    let mut fields = Fields::new(names, order);
    while let Some(field) = fields.next(scanner)? {
        let path = path(paths, field);
        match field {
            L::Nama => reading.text(scanner, path, &mut training.nama)?,
            L::Penyelenggara => reading.text(scanner, path, &mut training.penyelenggara)?,
            L::Tahun => reading.text(scanner, path, &mut training.tahun)?,
            L::NoSertifikat => reading.masked(scanner, path, &mut training.no_sertifikat)?,
        }
    }
    reading.count(reading.rules.declared.pelatihan, &fields);
    Ok(())
}
