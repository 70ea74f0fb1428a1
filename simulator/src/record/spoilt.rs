//! How flaws look: broken JSON, spoilt NIKs, regions that do not fit.
//!
//! What a flaw looks like belongs to the worker; it is the same at every revision that has it.

use super::Sheet;
use crate::dice::Dice;
use crate::flaw::{Flaw, Flaws};
use crate::person::Person;
use crate::population::put_digits;
use crate::wilayah::{CodeSystem, Wilayah};

impl Sheet<'_> {
    pub(super) fn not_an_object(mut self) {
        let index = self.person.index;
        let out = &mut *self.pen.out;
        match self.form.below(3) {
            0 => out.extend_from_slice(format!("\"baris rusak {index}\"").as_bytes()),
            1 => out.extend_from_slice(format!("[{index},\"{}\"]", self.person.nik()).as_bytes()),
            _ => out.extend_from_slice(index.to_string().as_bytes()),
        }
    }

    /// An extra field that breaks the record as JSON. Strings and brackets stay balanced, so that the record
    /// can still be cut out of its page.
    pub(super) fn broken_json(&mut self, flaw: Flaw) {
        let mut dice = self.person_dice();
        let key = "CATATAN";
        match flaw {
            Flaw::JsonInvalid => {
                let values: [&[u8]; 9] = [
                    b"undefined",
                    b"NaN",
                    b"tru",
                    b"012",
                    b"+1",
                    b".5",
                    b"\"\\x41\"",
                    b"\"dua\nbaris\"",
                    b"\"\xff\xfe\"",
                ];
                self.pen.key(key);
                self.pen.out.extend_from_slice(dice.pick(&values));
            }
            Flaw::JsonDuplicateKey => match dice.below(3) {
                0 => self.pen.raw("NIK", "\"1111111111111111\""),
                1 => self.pen.raw("NAM\\u0041", "\"Orang Lain\""),
                _ => self.pen.raw(key, "{\"a\":1,\"b\":2,\"a\":1}"),
            },
            Flaw::JsonNumberRange => {
                let value = dice.pick(&["1e400", "-1E+309", "123456789e999", "[1,2e308]"]);
                self.pen.raw(key, value);
            }
            Flaw::JsonSurrogate => {
                let value = dice.pick(&["\"\\ud83c\"", "\"\\udfe5 rs\"", "\"\\ud83cx\"", "\"\\ud83c\\ud83c\""]);
                self.pen.raw(key, value);
            }
            Flaw::JsonNul => {
                self.pen.key(key);
                let values: [&[u8]; 2] = [b"\"a\\u0000b\"", b"\"a\0b\""];
                self.pen.out.extend_from_slice(dice.pick(&values));
            }
            Flaw::JsonDepth => {
                self.pen.key(key);
                let depth = 70 + dice.below(60) as usize;
                self.pen.out.resize(self.pen.out.len() + depth, b'[');
                self.pen.out.resize(self.pen.out.len() + depth, b']');
            }
            _ => {}
        }
    }
}

/// Where a control character goes: 0 into the name, else into the address.
pub(super) fn control_place(dice: &mut Dice) -> u32 {
    dice.below(3)
}

/// Where a value of the wrong type goes: 0 address, 1 birth place, 2 the list of jobs, 3 the first job's facility.
pub(super) fn type_place(dice: &mut Dice, person: &Person) -> u32 {
    dice.below(if person.jobs.len() > 0 { 4 } else { 3 })
}

/// Whether a bad date stands in the first job.
pub(super) fn date_on_job(dice: &mut Dice, person: &Person) -> bool {
    dice.below(3) == 0 && person.jobs.len() > 0
}

/// The NIK with its own flaws. What identifies the worker stays in it as far as the flaw allows, so that two
/// bad records do not look like one person.
pub(super) fn spoiled_nik(person: &Person, flaws: Flaws, dice: &mut Dice) -> String {
    let mut nik = person.nik;
    let (year, month, day) = person.born.ymd();
    if flaws.has(Flaw::NikProvince) {
        nik[..2]
            .copy_from_slice(dice.pick(&["09", "10", "20", "30", "40", "54", "66", "77", "83", "98", "00"]).as_bytes());
    }
    if flaws.has(Flaw::NikBirthDay) {
        // 1..=28 becomes 72..=99 and 29..=31 becomes 32..=34: neither a man's day nor a woman's.
        put_digits(&mut nik[6..8], u64::from(if day <= 28 { day + 71 } else { day + 3 }));
    }
    if flaws.has(Flaw::NikBirthMonth) {
        put_digits(&mut nik[8..10], u64::from(month + 12));
    }
    if flaws.has(Flaw::NikBirthDate) {
        let (day, month) = dice.pick(&[(30, 2), (31, 2), (31, 4), (31, 6), (31, 9), (31, 11), (70, 2), (71, 11)]);
        put_digits(&mut nik[6..8], day);
        put_digits(&mut nik[8..10], month);
        put_digits(&mut nik[10..12], u64::from(year.unsigned_abs() % 100));
        // The birth date no longer tells people apart; a serial that no good worker has does.
        put_digits(&mut nik[12..16], 2_000 + u64::from(person.index) % 7_999);
    }
    if flaws.has(Flaw::NikSerial) {
        put_digits(&mut nik[12..16], 0);
    }
    String::from_utf8(nik.to_vec()).expect("digits")
}

/// The code of a province that neither is the regency's nor ever was, in the declared system.
pub(super) fn another_province<'a>(
    wilayah: &'a Wilayah,
    system: CodeSystem,
    regency: usize,
    dice: &mut Dice,
) -> &'a str {
    let own = wilayah.regencies[regency].province;
    // The first 32 provinces lie outside of Papua, whose provinces were one until 2022.
    let other = (own + 1 + dice.below(31) as usize) % 32;
    let other = if other == own { (other + 1) % 32 } else { other };
    match system {
        CodeSystem::Bps2023 => wilayah.provinces[other].bps,
        CodeSystem::Kemendagri2025 | CodeSystem::Kemendagri2022 => wilayah.provinces[other].code,
    }
}

/// A regency whose name nobody takes for this one's.
pub(super) fn another_regency(wilayah: &Wilayah, regency: usize, dice: &mut Dice) -> usize {
    let count = wilayah.regencies.len();
    let own = squeezed(wilayah.regencies[regency].bare);
    let first = regency + 40 + dice.below(400) as usize;
    (first..first + count)
        .map(|at| at % count)
        .find(|at| {
            let other = squeezed(wilayah.regencies[*at].bare);
            !other.contains(&own) && !own.contains(&other)
        })
        .unwrap_or((regency + 1) % count)
}

fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphabetic).map(|it| it.to_ascii_lowercase()).collect()
}
