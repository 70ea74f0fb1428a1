//! Whole records through [`judge`]: what must pass as it is, what must be refused and why, and what no record can do.
//!
//! All people are invented.

mod damage;
mod fields;
mod regions;
mod whole;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use schemas::identity;
use schemas::layout::Layout;
use schemas::worker::{Body, JenisKelamin, StatusAktif};
use schemas::{Date, Timestamp};
use serde_json::{Value, json};

use crate::{Code, Memory, RawRecord, Rules, Severity, Verdict, judge, judge_and_count};

const FETCHED_AT: &str = "2026-11-23T01:02:03.000004Z";

/// The shipped default profile.
pub(crate) fn profile() -> String {
    schemas::layout::shipped("sdmk-modified").expect("it ships").to_owned()
}

pub(crate) fn layout(profile: &str) -> Layout {
    Layout::from_profile_toml(profile).expect("a good profile")
}

fn rules_of(profile: &str) -> Rules {
    Rules::new(layout(profile), &BTreeMap::new()).expect("a good profile")
}

fn rules() -> &'static Rules {
    static RULES: LazyLock<Rules> = LazyLock::new(|| rules_of(&profile()));
    &RULES
}

fn fetched_at() -> Timestamp {
    Timestamp::parse_rfc3339(FETCHED_AT).expect("a time")
}

fn moment(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("a time")
}

fn date(text: &str) -> Option<Date> {
    Some(Date::parse_iso(text).expect("a date"))
}

/// A record without any reason, with two jobs.
fn good() -> Value {
    json!({
        "NIK": "3273015705900004", "NAMA": "dr. Contoh Satu, Sp.A", "JENIS_KELAMIN": "P",
        "TEMPAT_LAHIR": "Bandung", "TANGGAL_LAHIR": "1990-05-17", "ALAMAT": "Jl. Contoh No. 1",
        "KODE_PROV": "32", "NAMA_PROV": "JAWA BARAT", "KODE_KAB": "3273", "NAMA_KAB": "KOTA BANDUNG",
        "STATUS_AKTIF": "Aktif", "LAST_UPDATED": "2026-11-20T08:15:30+07:00",
        "PEKERJAAN": [
            {
                "KODE_UNIT": " P3273010101 ", "UNIT": "PUSKESMAS CONTOH", "ALAMAT": "Jl. Contoh No. 2", "KODE_PROV": 32, "PROVINSI": "JAWA BARAT",
                "KODE_KAB": 3273, "KABKOT": "KOTA BANDUNG", "ID_JENIS_SDMK": 101, "JENIS_SDMK": "Dokter Spesialis", "STATUS": "PNS",
                "NIP": "199005172015042001", "TANGGAL_MULAI": "2015-04-01", "TANGGAL_AKHIR": null, "STR": "1211100215000001", "TANGGAL_STR": "2015-02-01",
                "TANGGAL_AKHIR_STR": null, "SIP": "446/0001/SIP/2022", "TANGGAL_SIP": "2022-03-01", "TANGGAL_AKHIR_SIP": "2027-03-01"
            },
            {
                "KODE_UNIT": "K1", "UNIT": "KLINIK CONTOH", "ALAMAT": "-", "KODE_PROV": "31", "PROVINSI": "DKI JAKARTA", "KODE_KAB": "31.71", "KABKOT": "Jakarta Pusat",
                "ID_JENIS_SDMK": 101, "JENIS_SDMK": "Dokter Spesialis", "STATUS": "NON PNS", "TANGGAL_MULAI": "01-02-2020"
            }
        ],
        "PENDIDIKAN": [{
            "KODE_PRODI": "11201", "PRODI": "Kedokteran", "JENJANG": "Profesi", "KODE_PERTI": "001002", "PERGURUAN_TINGGI": "Universitas Contoh",
            "TAHUN_LULUS": 2014, "NO_IJAZAH": "C-0001/2014"
        }],
        "PELATIHAN": [{ "NAMA_PELATIHAN": "ACLS", "PENYELENGGARA": "Contoh", "TAHUN": "2019", "NO_SERTIFIKAT": "A/1" }],
        "UNDECLARED": { "x": [1, 2.5, true, null] }
    })
}

/// The good record with values put at JSON pointers; `Value::Null` at a path that does not exist is fine.
fn with(changes: &[(&str, Value)]) -> Vec<u8> {
    let mut record = good();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        match record.pointer_mut(parent).expect("its parent exists") {
            Value::Object(map) => {
                map.insert(key.to_owned(), value.clone());
            }
            parent => panic!("no object to change: {parent}"),
        }
    }
    record.to_string().into_bytes()
}

fn without(keys: &[&str]) -> Vec<u8> {
    let mut record = good();
    for key in keys {
        record.as_object_mut().expect("an object").remove(*key);
    }
    record.to_string().into_bytes()
}

fn verdict<'a>(payload: &'a [u8], rules: &Rules) -> Verdict<'a> {
    judge(&RawRecord { payload, fetched_at: fetched_at() }, rules)
}

/// Reasons of a rejected record as `code@field`, or warnings of a clean one as `code`.
fn reasons(payload: &[u8], rules: &Rules) -> Vec<String> {
    match verdict(payload, rules) {
        Verdict::Clean { body, .. } => body.warnings.iter().map(ToString::to_string).collect(),
        Verdict::Rejected { reasons } => {
            assert!(!reasons.is_empty());
            assert!(reasons.is_sorted(), "{reasons:?}");
            assert!(reasons.iter().all(|reason| reason.code.severity() == Severity::Hard));
            reasons.iter().map(|reason| format!("{}@{}", reason.code, reason.field)).collect()
        }
    }
}

fn clean<'a>(payload: &'a [u8], rules: &Rules) -> Body<'a> {
    match verdict(payload, rules) {
        Verdict::Clean { body, .. } => body,
        Verdict::Rejected { reasons } => panic!("refused: {reasons:?}"),
    }
}

fn check(changes: &[(&str, Value)], expected: &[&str]) {
    let payload = with(changes);
    assert_eq!(reasons(&payload, rules()), expected, "{changes:?}");
}
