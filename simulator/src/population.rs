//! Who the workers are: each a function of the seed, its index and its revision.
//!
//! Workers of a regency are a contiguous range of indices, so that a region is a range and a page an offset.

use std::ops::Range;

use crate::calendar::{DAY, DateFormat, Day, SECOND, Stamp};
use crate::dice::{Dice, Purpose, Shuffle};
use crate::flaw::Flaws;
use crate::person::{
    Address, CodeForm, Job, Licence, Name, NameForm, Person, Reach, Region, School, Sex, Soft, Status, Training, Unit,
    UnitForm, Vec3,
};
use crate::profession::{
    ACCENTED, COURSES, FAMILY, MEN, PLACES, PROVIDERS, Profession, SCHOOLS, STATUS_PEGAWAI, WOMEN, profession,
};
use crate::wilayah::{CodeSystem, Wilayah};

/// How much a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum RecordKind {
    /// No job: the person alone, about 350 bytes. A change of the jobs then changes the stamp only.
    Person,
    /// One job, about 600 bytes of JSON.
    Standard,
    /// Two jobs, education and training, about 1.2 kB.
    Rich,
    /// No job to three jobs, every field that sources fill or leave empty.
    Mixed,
}

/// What a population is made of.
#[derive(Clone, Debug)]
pub(crate) struct Make {
    /// The same seed makes the same people.
    pub(crate) seed: u64,
    /// How many there are.
    pub(crate) workers: u32,
    /// Out of a million: those whose first record is bad.
    pub(crate) bad_per_million: u32,
    /// The shape of a record.
    pub(crate) record: RecordKind,
    /// Of all region codes.
    pub(crate) code_system: CodeSystem,
    /// Formats that the consumer's profile declares.
    pub(crate) date_formats: Vec<DateFormat>,
    /// The oldest first stamp lies this many days before `started_at`.
    pub(crate) start_days_ago: u32,
    /// First stamps lie before it.
    pub(crate) started_at: Stamp,
}

impl Make {
    /// Whether `03/04/1990` means two days under the declared formats.
    pub(crate) fn ambiguous_dates(&self) -> bool {
        self.date_formats.contains(&DateFormat::DmySlash) && self.date_formats.contains(&DateFormat::MdySlash)
    }
}

/// When a worker's record is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Good,
    /// Bad from this revision on, and until before the other one if there is one.
    Bad {
        from: u32,
        until: Option<u32>,
    },
}

impl Fate {
    pub(crate) fn is_bad_at(self, revision: u32) -> bool {
        match self {
            Self::Good => false,
            Self::Bad { from, until } => revision >= from && until.is_none_or(|until| revision < until),
        }
    }
}

const WORKERS_PER_UNIT: u32 = 50;
/// Every revision changes exactly one of these, in turn.
const ASPECTS: u32 = 4;
const TITLE: u32 = 0;
const STATUS: u32 = 1;
const ADDRESS: u32 = 2;
const JOBS: u32 = 3;
/// A worker's second job may lie in the regency that is this many further on.
const AWAY: usize = 7;

/// Everybody.
#[derive(Debug)]
pub(crate) struct Population {
    pub(crate) make: Make,
    pub(crate) wilayah: Wilayah,
    starts: Vec<u32>,
    first_birth: Day,
    births: u64,
    identities: Shuffle,
}

impl Population {
    pub(crate) fn new(make: Make) -> Self {
        let wilayah = Wilayah::load();
        let starts = wilayah.starts(make.workers);
        let first_birth = Day::from_ymd(1958, 1, 1);
        let births = u64::try_from(Day::from_ymd(2003, 12, 31).0 - first_birth.0 + 1).expect("a span of years");
        // Each worker gets its own pair of birth date and serial, so NIKs differ whatever their region is.
        let identities = Shuffle::new(make.seed, 0, births * u64::from(make.workers).div_ceil(births).max(1));
        Self { make, wilayah, starts, first_birth, births, identities }
    }

    /// The workers of a regency.
    pub(crate) fn of_regency(&self, regency: usize) -> Range<u32> {
        self.starts[regency]..self.starts[regency + 1]
    }

    /// The workers of a province.
    pub(crate) fn of_province(&self, province: usize) -> Range<u32> {
        let regencies = &self.wilayah.provinces[province].regencies;
        self.starts[regencies.start]..self.starts[regencies.end]
    }

    /// The regency in which a worker lives.
    pub(crate) fn home(&self, index: u32) -> usize {
        self.starts.partition_point(|start| *start <= index).saturating_sub(1).min(self.wilayah.regencies.len() - 1)
    }

    /// The stamp of a worker's revision 0.
    pub(crate) fn first_stamp(&self, index: u32) -> Stamp {
        let seconds = self.make.start_days_ago.saturating_mul(86_400).max(1);
        let mut dice = self.dice(Purpose::Stamp, index, 0);
        let ago = i64::from(dice.below(seconds)) * SECOND;
        Stamp(self.make.started_at.whole_second().0 - ago)
    }

    fn dice(&self, purpose: Purpose, index: u32, turn: u32) -> Dice {
        Dice::new(self.make.seed, purpose, index, turn)
    }

    /// When this worker's record is bad.
    pub(crate) fn fate(&self, index: u32) -> Fate {
        if self.make.bad_per_million == 0 {
            return Fate::Good;
        }
        let mut dice = self.dice(Purpose::Fate, index, 0);
        if dice.chance(self.make.bad_per_million) {
            let until = dice.chance(500_000).then(|| 1 + dice.below(2));
            return Fate::Bad { from: 0, until };
        }
        if dice.chance(self.make.bad_per_million / 4) {
            let from = 1 + dice.below(2);
            let until = dice.chance(500_000).then(|| from + 1 + dice.below(2));
            return Fate::Bad { from, until };
        }
        Fate::Good
    }

    /// How often `aspect` has changed up to `revision`; each revision changes one aspect.
    fn turn(&self, index: u32, revision: u32, aspect: u32) -> u32 {
        let first = self.dice(Purpose::Change, index, 0).below(ASPECTS);
        (revision + (first + aspect) % ASPECTS) / ASPECTS
    }

    /// The NIK and what it says: digits, birth date, sex, regency of registration.
    fn identity(&self, index: u32, soft: Option<Soft>) -> ([u8; 16], Day, Sex, usize) {
        let mut dice = self.dice(Purpose::Registration, index, 0);
        let place = self.identities.at(u64::from(index));
        let born = Day(self.first_birth.0 + i32::try_from(place % self.births).expect("a span of years"));
        let serial = 1 + place / self.births;
        let sex = if dice.chance(680_000) { Sex::Woman } else { Sex::Man };
        // Most are registered where they live; the others somewhere, in proportion to its people.
        let registered = if dice.chance(860_000) { self.home(index) } else { self.home(dice.below(self.make.workers)) };
        let regency = &self.wilayah.regencies[registered];
        let district = dice.pick(&regency.districts);
        let prefix = match &regency.retired {
            Some(old) if dice.chance(600_000) => old,
            _ => &regency.digits,
        };
        let (year, month, day) = born.ymd();
        let day = if sex == Sex::Woman { day + 40 } else { day };
        let mut nik = [b'0'; 16];
        nik[..4].copy_from_slice(prefix.as_bytes());
        if soft == Some(Soft::NikRegionUnknown) {
            // No regency was ever numbered 00, 70 or 99.
            nik[2..4].copy_from_slice(dice.pick(&["00", "70", "99"]).as_bytes());
        }
        nik[4..6].copy_from_slice(district.as_bytes());
        if soft == Some(Soft::NikKecamatanUnknown) {
            // No kecamatan has number 00, whichever were retired.
            nik[4..6].copy_from_slice(b"00");
        }
        put_digits(&mut nik[6..8], u64::from(day));
        put_digits(&mut nik[8..10], u64::from(month));
        put_digits(&mut nik[10..12], u64::from(year.unsigned_abs() % 100));
        put_digits(&mut nik[12..16], serial);
        (nik, born, sex, registered)
    }

    /// The NIK alone, as a number.
    pub(crate) fn nik_number(&self, index: u32) -> u64 {
        let soft = self.soft(index, self.fate(index));
        self.identity(index, soft).0.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    }

    /// A worker with a bad record somewhere has no soft disagreement, so that its codes are exactly its flaws.
    fn soft(&self, index: u32, fate: Fate) -> Option<Soft> {
        let mut dice = self.dice(Purpose::Person, index, 1);
        (fate == Fate::Good && dice.chance(30_000)).then(|| dice.pick(&Soft::ALL))
    }

    /// The worker at a revision. `stamp` is when that revision came to be.
    pub(crate) fn person(&self, index: u32, revision: u32, stamp: Stamp) -> Person {
        let fate = self.fate(index);
        let soft = self.soft(index, fate);
        let (nik, born, sex, registered) = self.identity(index, soft);
        let home = self.home(index);
        let mut dice = self.dice(Purpose::Person, index, 0);
        let profession = profession(dice.below(100));
        let name = self.name(&mut dice, index, revision, sex, profession);
        let (status, status_asal) = self.status(index, revision);
        let mut region = self.region(&mut dice, home);
        if fate != Fate::Good {
            region.reach = Reach::Regency;
        }
        if soft == Some(Soft::RegionMissing) {
            region.reach = Reach::Nowhere;
        }
        let birth_date = match soft {
            Some(Soft::TanggalLahirMissing) => None,
            Some(Soft::NikBirthDateDiffers) => Some(Day(born.0 + 400)),
            _ => Some(born),
        };
        let unstated = soft.is_none() && dice.chance(10_000);
        let stated_sex = match soft {
            Some(Soft::JenisKelaminUnknown) => None,
            Some(Soft::NikSexDiffers) => Some(sex.other()),
            _ => (!unstated).then_some(sex),
        };
        let birth_place = dice.chance(970_000).then_some(registered);
        let flaws = if fate.is_bad_at(revision) {
            Flaws::draw(&mut self.dice(Purpose::Flaw, index, 0), self.make.ambiguous_dates())
        } else {
            Flaws::default()
        };
        Person {
            index,
            revision,
            stamp,
            nik,
            born,
            sex,
            birth_date,
            stated_sex,
            name,
            birth_place,
            address: self.address(index, revision),
            status,
            status_asal,
            region,
            lean: self.make.record != RecordKind::Mixed,
            jobs: self.jobs(index, revision, home, born, profession),
            schools: self.schools(index, born, profession),
            trainings: self.trainings(index, born),
            soft,
            flaws,
        }
    }

    fn name(&self, dice: &mut Dice, index: u32, revision: u32, sex: Sex, profession: &Profession) -> Name {
        let first = match sex {
            Sex::Man => dice.pick(&MEN),
            Sex::Woman => dice.pick(&WOMEN),
        };
        let words = match dice.below(20) {
            0 => [first, "", ""],
            1..=13 => [first, dice.pick(&FAMILY), ""],
            _ => [first, dice.pick(&FAMILY), dice.pick(&FAMILY)],
        };
        let turn = self.turn(index, revision, TITLE);
        let start = self.dice(Purpose::Title, index, 0).below(1_000);
        let count = u32::try_from(profession.titles.len()).expect("a short list");
        let mixed = self.make.record == RecordKind::Mixed;
        Name {
            words,
            accented: dice.chance(5_000).then(|| dice.pick(&ACCENTED)),
            titles: profession.titles[((start + turn) % count) as usize],
            capitals: dice.chance(250_000),
            form: match dice.below(100) {
                0..=1 if mixed => NameForm::Doubled,
                2 if mixed => NameForm::Padded,
                3 if mixed => NameForm::NoBreak,
                4 if mixed => NameForm::Tabbed,
                _ => NameForm::Plain,
            },
            sex,
        }
    }

    fn status(&self, index: u32, revision: u32) -> (Status, &'static str) {
        let turn = self.turn(index, revision, STATUS);
        let mut dice = self.dice(Purpose::Status, index, 0);
        let usual = match dice.below(100) {
            0..=87 => 0,
            88..=93 => 1,
            94..=96 => 2,
            _ => 3,
        };
        // On even turns the usual status, on odd ones another: two in a row always differ.
        let at = if turn.is_multiple_of(2) {
            usual
        } else {
            (usual + 1 + self.dice(Purpose::Status, index, turn).below(3)) % 4
        };
        let status = Status::ALL[at as usize];
        let usual_form = self.make.record != RecordKind::Mixed || dice.chance(700_000);
        (status, if usual_form { status.forms()[0] } else { dice.pick(status.forms()) })
    }

    fn address(&self, index: u32, revision: u32) -> Option<Address> {
        let turn = self.turn(index, revision, ADDRESS);
        let mut dice = self.dice(Purpose::Address, index, 0);
        let unknown = dice.chance(80_000) && turn == 0;
        let (street, number) = (dice.pick(&PLACES), 1 + dice.below(200));
        let block = (self.make.record == RecordKind::Mixed && dice.chance(400_000)).then(|| dice.below(200));
        (!unknown).then_some(Address { street, number: number + turn, block })
    }

    fn region(&self, dice: &mut Dice, regency: usize) -> Region {
        let old = self.wilayah.regencies[regency].retired.is_some();
        let lean = self.make.record != RecordKind::Mixed;
        let only_province = dice.chance(10_000);
        let form = match dice.below(100) {
            0..=9 if !lean => CodeForm::Dotted,
            10 if !lean => CodeForm::Spaced,
            _ => CodeForm::Plain,
        };
        let (retired, retired_province) = match self.make.code_system {
            CodeSystem::Kemendagri2025 => {
                let retired = old && dice.chance(500_000);
                (retired, retired && dice.chance(700_000))
            }
            CodeSystem::Kemendagri2022 => (old, old),
            CodeSystem::Bps2023 => (false, false),
        };
        // Where a province was split, its code alone would not say which part is meant.
        let reach = if only_province && !old && !lean { Reach::Province } else { Reach::Regency };
        Region { regency, reach, form, retired, retired_province }
    }

    /// How many facilities a regency has.
    pub(crate) fn units(&self, regency: usize) -> u32 {
        let workers = self.of_regency(regency);
        (workers.end - workers.start) / WORKERS_PER_UNIT + 1
    }

    fn jobs(&self, index: u32, revision: u32, home: usize, born: Day, profession: &'static Profession) -> Vec3<Job> {
        let mut dice = self.dice(Purpose::Job, index, 0);
        let turn = self.turn(index, revision, JOBS);
        let changed = turn % 2;
        let usual = match self.make.record {
            RecordKind::Person => 0,
            RecordKind::Standard => 1,
            RecordKind::Rich => 2,
            RecordKind::Mixed => match dice.below(100) {
                0..=5 => 0,
                6..=71 => 1,
                72..=93 => 2,
                _ => 3,
            },
        };
        let mixed = self.make.record == RecordKind::Mixed;
        let count = match (mixed && changed == 1, usual) {
            (false, usual) => usual,
            (true, 0 | 1) => usual + 1,
            (true, usual) => usual - 1,
        };
        let first_unit = (index - self.starts[home]) / WORKERS_PER_UNIT;
        let same_unit = mixed && dice.chance(300_000);
        let away = mixed && dice.chance(80_000);
        let mut jobs = Vec3::new();
        for slot in 0..count {
            let mut dice = self.dice(Purpose::Job, index, slot + 1);
            let regency = if slot == 1 && away { (home + AWAY) % self.wilayah.regencies.len() } else { home };
            let step = match slot {
                0 => 0,
                1 if same_unit || away => 0,
                _ => slot + 1,
            };
            // Where the number of jobs stays, a change moves the last one to the next facility.
            let moved = if !mixed && slot + 1 == count { turn } else { 0 };
            let unit = Unit { regency, number: (first_unit + step + moved % 2) % self.units(regency) };
            jobs.0[slot as usize] = Some(self.job(&mut dice, unit, born, profession, moved));
        }
        jobs
    }

    fn job(&self, dice: &mut Dice, unit: Unit, born: Day, profession: &'static Profession, moved: u32) -> Job {
        let lean = self.make.record != RecordKind::Mixed;
        let mut region = self.region(dice, unit.regency);
        if !lean && dice.chance(50_000) {
            region.reach = Reach::Nowhere;
        }
        let kinds = u32::try_from(STATUS_PEGAWAI.len()).expect("a short list");
        // Weighted by hand: PNS and PPPK are half of all.
        let status = (dice.pick(&[0, 0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 5]) + moved) % kinds;
        let start = Day(born.years_later(23).0 + i32::try_from(dice.below(365)).unwrap_or(0));
        let licensed = profession.licensed && dice.chance(930_000);
        let str_issued = Day(start.0 - 40);
        // For life since the law of 2023; older ones keep an end.
        let str_until = (!dice.chance(600_000)).then(|| str_issued.years_later(5));
        let str = Licence {
            number: 1_000_000_000_000_000 + dice.bits() % 8_000_000_000_000_000,
            issued: str_issued,
            until: str_until,
        };
        let sip_issued = Day(start.0 + 10);
        let sip =
            Licence { number: dice.bits() % 1_000_000, issued: sip_issued, until: Some(sip_issued.years_later(5)) };
        Job {
            unit,
            unit_form: match dice.below(100) {
                0..=3 if !lean => UnitForm::LowerCase,
                4..=6 if !lean => UnitForm::Spaced,
                7..=9 if !lean => UnitForm::NameOnly,
                10 if !lean => UnitForm::Nothing,
                _ => UnitForm::Plain,
            },
            unit_capitals: dice.chance(600_000),
            has_address: !lean && dice.chance(800_000),
            region,
            profession,
            status: (lean || dice.chance(980_000)).then_some(status as usize),
            nip: (status <= 2).then(|| 1 + dice.below(999)),
            start: (lean || dice.chance(960_000)).then_some(start),
            end: (!lean && dice.chance(60_000)).then(|| start.years_later(2)),
            str: licensed.then_some(str),
            sip: (licensed && !lean && dice.chance(850_000)).then_some(sip),
        }
    }

    fn schools(&self, index: u32, born: Day, profession: &Profession) -> Vec3<School> {
        let mut dice = self.dice(Purpose::School, index, 0);
        let count = match self.make.record {
            RecordKind::Person | RecordKind::Standard => 0,
            RecordKind::Rich => 1,
            RecordKind::Mixed => dice.below(3),
        };
        let mut schools = Vec3::new();
        for slot in 0..count {
            let upper = slot == 1;
            schools.0[slot as usize] = Some(School {
                school: dice.below(u32::try_from(SCHOOLS.len()).expect("a short list")) as usize,
                prodi_code: if upper { 13_101 } else { profession.prodi_code },
                prodi: if upper { "Ilmu Kesehatan Masyarakat" } else { profession.prodi },
                jenjang: if upper { "S2" } else { profession.jenjang },
                year: born.ymd().0 + 22 + i32::try_from(3 * slot).unwrap_or(0),
                certificate: dice.chance(900_000).then(|| dice.below(100_000)),
            });
        }
        schools
    }

    fn trainings(&self, index: u32, born: Day) -> Vec3<Training> {
        let mut dice = self.dice(Purpose::Training, index, 0);
        let count = match self.make.record {
            RecordKind::Person | RecordKind::Standard => 0,
            RecordKind::Rich => 1,
            RecordKind::Mixed => dice.below(10).saturating_sub(6).min(2),
        };
        let mut trainings = Vec3::new();
        for slot in 0..count {
            trainings.0[slot as usize] = Some(Training {
                course: dice.pick(&COURSES),
                provider: dice.chance(900_000).then(|| dice.pick(&PROVIDERS)),
                year: born.ymd().0 + 25,
                certificate: dice.chance(800_000).then(|| dice.below(100_000)),
            });
        }
        trainings
    }

    /// Workers who may have a job at this facility: all who have one are among them.
    pub(crate) fn candidates(&self, unit: Unit) -> Vec<u32> {
        let mut found = Vec::new();
        let units = self.units(unit.regency);
        let homes = self.wilayah.regencies.len();
        let mut block = |home: usize, number: u32| {
            let workers = self.of_regency(home);
            let first = workers.start + number * WORKERS_PER_UNIT;
            found.extend(first.min(workers.end)..(first + WORKERS_PER_UNIT).min(workers.end));
        };
        for back in 0..units.min(5) {
            block(unit.regency, (unit.number + units - back % units) % units);
        }
        let away = (unit.regency + homes - AWAY) % homes;
        for number in (unit.number..self.units(away)).step_by(units as usize) {
            block(away, number);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Writes `value` into all of `place`, with leading zeros.
pub(crate) fn put_digits(place: &mut [u8], value: u64) {
    let mut rest = value;
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// A stamp that no clock has reached: what a source with a wrong clock writes.
pub(crate) fn beyond_every_stamp(stamp: Stamp) -> Stamp {
    Stamp(stamp.0 + 20 * 365 * DAY)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A population for tests, with many bad records.
    pub(crate) fn make(workers: u32) -> Make {
        Make {
            seed: 42,
            workers,
            bad_per_million: 200_000,
            record: RecordKind::Mixed,
            code_system: CodeSystem::Kemendagri2025,
            date_formats: vec![DateFormat::Iso, DateFormat::IsoMidnight, DateFormat::DmyDash],
            start_days_ago: 400,
            started_at: Stamp::parse("2026-11-23T00:00:00Z").expect("valid"),
        }
    }

    #[test]
    fn no_two_workers_share_a_nik() {
        let population = Population::new(make(200_000));
        let niks: std::collections::HashSet<u64> = (0..200_000).map(|index| population.nik_number(index)).collect();
        assert_eq!(niks.len(), 200_000);
    }

    #[test]
    fn some_numbers_lie_above_what_a_float_holds_and_some_have_retired_prefixes() {
        let population = Population::new(make(20_000));
        let beyond = (0..20_000).filter(|index| population.nik_number(*index) > 1 << 53).count();
        assert!(beyond > 200, "{beyond}");
        let retired: std::collections::HashSet<u64> =
            population.wilayah.regencies.iter().filter_map(|it| it.retired.as_ref()?.parse().ok()).collect();
        let old = (0..20_000).filter(|it| retired.contains(&(population.nik_number(*it) / 1_000_000_000_000))).count();
        assert!(old > 50, "{old}");
    }

    #[test]
    fn every_revision_changes_something_that_can_be_seen() {
        for record in [RecordKind::Standard, RecordKind::Rich, RecordKind::Mixed] {
            let population = Population::new(Make { record, bad_per_million: 0, ..make(300) });
            for index in 0..300 {
                let seen = |revision| {
                    let person = population.person(index, revision, Stamp(0));
                    let mut text = String::new();
                    person.name.push_asal(&mut text);
                    let jobs: Vec<_> = person.jobs.iter().map(|it| (it.unit, it.status)).collect();
                    (text, person.status, person.address.map(|it| it.number), jobs)
                };
                for revision in 0..9 {
                    assert_ne!(seen(revision), seen(revision + 1), "{record:?}, worker {index}, revision {revision}");
                }
            }
        }
    }

    #[test]
    fn whoever_works_at_a_facility_is_among_its_candidates() {
        let population = Population::new(Make { workers: 60_000, ..make(0) });
        for index in (0..60_000).step_by(37) {
            for revision in 0..5 {
                for job in population.person(index, revision, Stamp(0)).jobs.iter() {
                    assert!(population.candidates(job.unit).contains(&index));
                }
            }
        }
    }
}
