//! The key of a job within its person, and the order of jobs.
//!
//! The sources that are known have no id for a job. Its unit's code comes closest and survives corrections of everything else; where it is
//! missing, the unit's name stands in. Jobs at one unit are numbered in an order that does not depend on the order in
//! which the source happens to send them.

use std::borrow::Cow;
use std::cmp::Ordering;

use schemas::worker::Employment;
use sha2::{Digest, Sha256};

/// Gives every job its key and sorts by it.
///
/// Shape: jobs of one person in source order, all fields set but the key, which is only set where the source has an id
/// for the job. Result: unique keys, ascending by bytes.
pub(crate) fn assign(jobs: &mut [Employment<'_>]) {
    for job in &mut *jobs {
        if job.employment_key.is_empty() {
            job.employment_key = unit_key(job.kode_unit.as_ref(), job.unit.as_deref());
        }
    }
    if jobs.len() < 2 {
        return;
    }
    // Stable: jobs that are alike in everything keep the source's order.
    jobs.sort_by(order);
    let mut number = 1_usize;
    let mut is_numbered = false;
    let mut unit = Cow::Borrowed("");
    for job in &mut *jobs {
        if job.employment_key == unit {
            number += 1;
            job.employment_key = Cow::Owned(numbered(&unit, number));
            is_numbered = true;
        } else {
            number = 1;
            unit = job.employment_key.clone();
        }
    }
    if is_numbered {
        jobs.sort_by(|a, b| a.employment_key.cmp(&b.employment_key));
    }
}

/// `unit~number`, of which many records have one.
fn numbered(unit: &str, number: usize) -> String {
    let digits_max = 4;
    let mut key = String::with_capacity(unit.len() + 1 + digits_max);
    key.push_str(unit);
    key.push('~');
    match u8::try_from(number) {
        Ok(digit @ 0..10) => key.push(char::from(b'0' + digit)),
        _ => key.push_str(&number.to_string()),
    }
    key
}

fn order(a: &Employment<'_>, b: &Employment<'_>) -> Ordering {
    a.employment_key
        .cmp(&b.employment_key)
        .then_with(|| a.id_jenis_sdmk.cmp(&b.id_jenis_sdmk))
        .then_with(|| a.tanggal_mulai.cmp(&b.tanggal_mulai))
        .then_with(|| a.status_pegawai.cmp(&b.status_pegawai))
        .then_with(|| a.nip.cmp(&b.nip))
        .then_with(|| a.str.cmp(&b.str))
        .then_with(|| a.sip.cmp(&b.sip))
}

/// The key before numbering, from the clean text of the source's own id.
pub(crate) fn of_id<'a>(id: &str) -> Cow<'a, str> {
    Cow::Owned(format!("ID:{}", unit_key(Some(&Cow::Borrowed(id)), None)))
}

/// The key before numbering, from the clean texts of the unit's code and name.
fn unit_key<'a>(code: Option<&Cow<'a, str>>, name: Option<&str>) -> Cow<'a, str> {
    let Some(code) = code else {
        let digest = Sha256::digest(name.unwrap_or_default().to_uppercase().as_bytes());
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        return Cow::Owned(format!("UNIT:{hex}"));
    };
    let is_key = |byte: u8| matches!(byte, b'!'..=b'}') && !byte.is_ascii_lowercase();
    if code.bytes().all(is_key) {
        return code.clone();
    }
    // `~` is doubled, so that a code can never equal another one's numbered key.
    let text = code.to_uppercase().replace('~', "~~");
    Cow::Owned(text.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn job(code: Option<&'static str>, name: Option<&'static str>, id: Option<&'static str>) -> Employment<'static> {
        Employment {
            kode_unit: code.map(Cow::Borrowed),
            unit: name.map(Cow::Borrowed),
            id_jenis_sdmk: id.map(Cow::Borrowed),
            ..Employment::default()
        }
    }

    fn keys(mut jobs: Vec<Employment<'_>>) -> Vec<String> {
        assign(&mut jobs);
        jobs.iter().map(|job| job.employment_key.to_string()).collect()
    }

    #[test]
    fn the_key_is_the_units_code_without_blanks_in_upper_case() {
        for (code, key) in [
            ("P3273010101", "P3273010101"),
            ("p3273 0101 01", "P3273010101"),
            ("12.34/a-b", "12.34/A-B"),
            ("é1", "É1"),
            ("a~2", "A~~2"),
            ("UNIT:0", "UNIT:0"),
        ] {
            assert_eq!(keys(vec![job(Some(code), Some("x"), None)]), [key]);
        }
    }

    #[test]
    fn without_a_code_the_key_comes_from_the_units_name() {
        // printf 'RS CONTOH' | sha256sum
        for name in ["RS CONTOH", "RS Contoh", "rs contoh"] {
            assert_eq!(keys(vec![job(None, Some(name), None)]), ["UNIT:7b14673f5513d19f"]);
        }
        // printf '' | sha256sum
        assert_eq!(keys(vec![job(None, None, None)]), ["UNIT:e3b0c44298fc1c14"]);
    }

    #[test]
    fn jobs_at_one_unit_are_numbered_in_an_order_of_their_own() {
        let jobs = || {
            vec![
                job(Some("A"), None, Some("2")),
                job(Some("B"), None, None),
                job(Some("A"), None, None),
                job(Some("a"), None, Some("10")),
            ]
        };
        let mut expected = jobs();
        assign(&mut expected);
        let found: Vec<_> = expected.iter().map(|job| (&*job.employment_key, job.id_jenis_sdmk.as_deref())).collect();
        assert_eq!(found, [("A", None), ("A~2", Some("10")), ("A~3", Some("2")), ("B", None)]);
        let mut turned: Vec<_> = jobs().into_iter().rev().collect();
        assign(&mut turned);
        assert_eq!(turned, expected);
    }

    #[test]
    fn an_id_of_the_source_goes_before_the_units_code() {
        let with_id = |id: &str, code| Employment { employment_key: of_id(id), ..job(code, None, None) };
        assert_eq!(
            keys(vec![
                with_id("a 7~1", Some("P1")),
                job(Some("P1"), None, None),
                with_id("8", None),
                with_id("8", None)
            ]),
            ["ID:8", "ID:8~2", "ID:A7~~1", "P1"]
        );
    }

    #[test]
    fn keys_are_unique_and_sorted_by_bytes_whatever_the_codes_are() {
        assert_eq!(
            keys(vec![
                job(Some("A"), None, None),
                job(Some("A~2"), None, None),
                job(Some("A"), None, None),
                job(Some("AB"), None, None)
            ]),
            ["A", "AB", "A~2", "A~~2"]
        );
        let ten: Vec<String> = keys((0..11).map(|_| job(Some("A"), None, None)).collect());
        assert_eq!(&ten[..4], ["A", "A~10", "A~11", "A~2"]);
    }

    proptest! {
        #[test]
        fn no_two_jobs_share_a_key(codes in prop::collection::vec(prop::option::of("[aA~2]{1,4}"), 0..12)) {
            let mut jobs: Vec<Employment<'_>> = codes.iter()
                .map(|code| Employment { kode_unit: code.as_deref().map(Cow::Borrowed), ..Employment::default() })
                .collect();
            assign(&mut jobs);
            let keys: BTreeSet<_> = jobs.iter().map(|job| job.employment_key.clone()).collect();
            prop_assert_eq!(keys.len(), jobs.len());
            prop_assert!(jobs.is_sorted_by(|a, b| a.employment_key < b.employment_key));
        }
    }
}
