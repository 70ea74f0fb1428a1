//! The lists of a record: jobs, education, training.

use super::spoilt::{date_on_job, type_place};
use super::{Shape, Sheet};
use crate::calendar::push_number;
use crate::flaw::Flaw;
use crate::person::{Job, Licence, push_sip};
use crate::profession::SCHOOLS;

impl Sheet<'_> {
    pub(super) fn jobs(&mut self) {
        let key = "PEKERJAAN";
        let mut dice = self.person_dice();
        if self.flaws.has(Flaw::FieldType) && type_place(&mut dice, self.person) == 2 {
            let value = dice.pick(&["\"RS CONTOH\"", "{}", "[17]", "5", "[[]]"]);
            return self.pen.raw(key, value);
        }
        if self.person.jobs.len() == 0 && self.noisy {
            match self.form.below(3) {
                0 => return,
                1 => return self.pen.raw(key, "null"),
                _ => {}
            }
        }
        self.pen.open_at(key, b'[');
        let person = self.person;
        for (slot, job) in person.jobs.iter().enumerate() {
            self.pen.open(b'{');
            self.job(job, slot == 0);
            self.pen.close(b'}');
        }
        self.pen.close(b']');
    }

    fn job(&mut self, job: &Job, first: bool) {
        let lean = self.person.lean;
        let wilayah = self.wilayah;
        let mut dice = self.person_dice();
        self.text.clear();
        if job.push_kode_unit(&mut self.text, wilayah) {
            // Facility codes arrive with blanks around them.
            if self.form.chance(200_000) && !lean {
                self.text.insert(0, ' ');
                self.text.push(' ');
            }
            let as_number = self.form.chance(300_000);
            self.digits("KODE_UNIT", as_number);
        } else {
            self.nothing("KODE_UNIT");
        }
        self.text.clear();
        if first && self.flaws.has(Flaw::FieldType) && type_place(&mut dice, self.person) == 3 {
            self.pen.raw("UNIT", "false");
        } else if job.push_unit(&mut self.text) {
            self.written("UNIT");
        } else {
            self.nothing("UNIT");
        }
        if !lean {
            self.text.clear();
            if job.has_address {
                job.unit.address().push(&mut self.text);
                self.written("ALAMAT");
            } else {
                self.nothing("ALAMAT");
            }
        }
        let flaw = if first { self.region_flaw(false) } else { None };
        self.region(&job.region, false, flaw);
        self.text.clear();
        push_number(&mut self.text, u64::from(job.profession.id), 1);
        let as_number = !self.now_and_then(300_000);
        self.digits("ID_JENIS_SDMK", as_number);
        self.text("JENIS_SDMK", Some(job.profession.label));
        self.text("STATUS", job.status_pegawai());
        self.text.clear();
        if job.push_nip(&mut self.text, self.person) {
            let as_number = self.now_and_then(100_000);
            self.digits("NIP", as_number);
        } else {
            self.nothing("NIP");
        }
        self.date("TANGGAL_MULAI", job.start);
        if !lean {
            self.date("TANGGAL_AKHIR", job.end);
        }
        self.licences(job, first);
    }

    fn licences(&mut self, job: &Job, first: bool) {
        match &job.str {
            Some(str) => {
                self.text.clear();
                push_number(&mut self.text, str.number, 16);
                let as_number = self.now_and_then(100_000);
                self.digits("STR", as_number);
            }
            None => self.nothing("STR"),
        }
        self.date("TANGGAL_STR", job.str.map(|it| it.issued));
        let mut dice = self.person_dice();
        let on_job = first && date_on_job(&mut dice, self.person);
        if on_job && self.flaws.has(Flaw::DateInvalid) {
            self.impossible_date("TANGGAL_AKHIR_STR", dice);
        } else if on_job && self.flaws.has(Flaw::DateAmbiguous) {
            self.exact("TANGGAL_AKHIR_STR", "05/06/2024");
        } else {
            match job.str {
                // Words for what an empty end says too.
                Some(Licence { until: None, .. }) if self.now_and_then(300_000) => {
                    let words = self.form.pick(&["Seumur Hidup", "SEUMUR HIDUP", " seumur  hidup"]);
                    self.exact("TANGGAL_AKHIR_STR", words);
                }
                str => self.date("TANGGAL_AKHIR_STR", str.and_then(|it| it.until)),
            }
        }
        if self.person.lean {
            return;
        }
        match &job.sip {
            Some(sip) => {
                self.text.clear();
                push_sip(&mut self.text, sip);
                self.written("SIP");
            }
            None => self.nothing("SIP"),
        }
        self.date("TANGGAL_SIP", job.sip.map(|it: Licence| it.issued));
        if self.shape == Shape::SdmkModified {
            self.date("TANGGAL_AKHIR_SIP", job.sip.and_then(|it| it.until));
        }
    }

    pub(super) fn schools(&mut self) {
        if self.person.lean && self.person.schools.len() == 0 {
            return;
        }
        self.pen.open_at("PENDIDIKAN", b'[');
        let person = self.person;
        for school in person.schools.iter() {
            self.pen.open(b'{');
            self.text.clear();
            push_number(&mut self.text, u64::from(school.prodi_code), 1);
            let as_number = self.now_and_then(300_000);
            self.digits("KODE_PRODI", as_number);
            self.text("PRODI", Some(school.prodi));
            self.text("JENJANG", Some(school.jenjang));
            self.text.clear();
            push_kode_perti(&mut self.text, school.school);
            self.written("KODE_PERTI");
            self.text("PERGURUAN_TINGGI", Some(SCHOOLS[school.school]));
            self.text.clear();
            push_number(&mut self.text, u64::from(school.year.unsigned_abs()), 4);
            let as_number = self.now_and_then(300_000);
            self.digits("TAHUN_LULUS", as_number);
            match school.certificate {
                Some(number) => {
                    self.text.clear();
                    push_certificate(&mut self.text, 'C', number, school.year);
                    self.written("NO_IJAZAH");
                }
                None => self.nothing("NO_IJAZAH"),
            }
            self.pen.close(b'}');
        }
        self.pen.close(b']');
    }

    pub(super) fn trainings(&mut self) {
        if self.flaws.has(Flaw::ListTooLong) {
            // One more than anybody takes.
            let many = vec!["{}"; 1_001].join(",");
            return self.pen.raw("PELATIHAN", &format!("[{many}]"));
        }
        if self.person.lean && self.person.trainings.len() == 0 {
            return;
        }
        self.pen.open_at("PELATIHAN", b'[');
        let person = self.person;
        for training in person.trainings.iter() {
            self.pen.open(b'{');
            self.text("NAMA_PELATIHAN", Some(training.course));
            self.text("PENYELENGGARA", training.provider);
            self.text.clear();
            push_number(&mut self.text, u64::from(training.year.unsigned_abs()), 4);
            let as_number = self.now_and_then(300_000);
            self.digits("TAHUN", as_number);
            match training.certificate {
                Some(number) => {
                    self.text.clear();
                    push_certificate(&mut self.text, 'S', number, training.year);
                    self.written("NO_SERTIFIKAT");
                }
                None => self.nothing("NO_SERTIFIKAT"),
            }
            self.pen.close(b'}');
        }
        self.pen.close(b']');
    }
}

pub(crate) fn push_kode_perti(out: &mut String, school: usize) {
    push_number(out, 1_001 + u64::try_from(school).unwrap_or(0), 6);
}

/// Appends `C-00017/2014`.
pub(crate) fn push_certificate(out: &mut String, letter: char, number: u32, year: i32) {
    out.push(letter);
    out.push('-');
    push_number(out, u64::from(number), 5);
    out.push('/');
    push_number(out, u64::from(year.unsigned_abs()), 4);
}
