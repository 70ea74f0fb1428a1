//! Every region and every code of four digits, under each declared system, against the oracle.

use rules::wilayah::{self, Wilayah};
use serde_json::{Value, json};

use crate::cases::Book;
use crate::oracle::Oracle;
use crate::verdict::told;

type CodeOf = fn(&Wilayah) -> &'static str;

const SYSTEMS: [(&str, CodeOf); 3] =
    [("default", |row| row.kode), ("kemendagri-2022", |row| row.kode), ("bps-2023", |row| row.bps)];

fn record(fields: &Value) -> Vec<u8> {
    let mut record = json!({
        "NIK": "3273015705900004", "NAMA": "Contoh", "STATUS_AKTIF": "Aktif", "LAST_UPDATED": "2026-11-20T08:15:30Z",
    });
    record.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    record.to_string().into_bytes()
}

fn compare(book: &Book, questions: &[(&str, Vec<u8>)]) -> Vec<Value> {
    let asked: Vec<(&str, &[u8])> = questions.iter().map(|(profile, record)| (*profile, record.as_slice())).collect();
    let opinions = Oracle::start().ask(&asked);
    for ((profile, record), oracle) in questions.iter().zip(&opinions) {
        let ours = told(record, book.fetched_at, &book.profiles[*profile]);
        assert_eq!(ours, *oracle, "{profile} {}", String::from_utf8_lossy(record));
    }
    opinions
}

#[test]
fn all_514_regencies_and_38_provinces_are_themselves_in_every_system() {
    let book = Book::read();
    let mut questions = Vec::new();
    let mut expected = Vec::new();
    for (profile, code) in SYSTEMS {
        for row in wilayah::rows() {
            let province = wilayah::rows().iter().find(|province| Some(province.kode) == row.induk);
            questions.push((
                profile,
                match province {
                    Some(province) => {
                        record(&json!({"KODE_PROV": code(province), "KODE_KAB": code(row), "NAMA_KAB": row.nama}))
                    }
                    None => record(&json!({ "KODE_PROV": code(row) })),
                },
            ));
            expected.push(row.kode);
        }
    }
    assert_eq!(expected.len(), 3 * (514 + 38));
    let opinions = compare(&book, &questions);
    for (opinion, kode) in opinions.iter().zip(expected) {
        assert_eq!(opinion["kode_wilayah"], kode, "{opinion}");
    }
}

#[test]
fn every_code_of_four_digits_means_the_same_to_both() {
    let book = Book::read();
    for (profile, _, regencies) in [("default", "kemendagri-2025", 514 + 26), ("bps-2023", "bps-2023", 514)] {
        let questions: Vec<_> =
            (0..10_000).map(|code| (profile, record(&json!({ "KODE_KAB": format!("{code:04}") })))).collect();
        let opinions = compare(&book, &questions);
        let known = opinions.iter().filter(|opinion| opinion["verdict"] == "clean").count();
        assert_eq!(known, regencies, "{profile}");
    }
}

#[test]
fn a_code_of_both_systems_that_means_two_places_is_told_apart_by_the_name() {
    let book = Book::read();
    let today =
        |code: &str| wilayah::rows().iter().find(|row| row.kode.replace('.', "") == code && row.induk.is_some());
    let two: Vec<(&Wilayah, &Wilayah)> = wilayah::rows()
        .iter()
        .filter(|row| row.induk.is_some())
        .filter_map(|bps| Some((bps, today(bps.bps)?)))
        .filter(|(bps, kemendagri)| bps.kode != kemendagri.kode)
        .collect();
    assert_eq!(two.len(), 169);
    let mut questions = Vec::new();
    for (bps, kemendagri) in &two {
        for profile in ["default", "bps-2023"] {
            for name in [bps.nama, kemendagri.nama] {
                questions.push((profile, record(&json!({ "KODE_KAB": bps.bps, "NAMA_KAB": name }))));
            }
        }
    }
    for (opinions, (bps, kemendagri)) in compare(&book, &questions).chunks(4).zip(two) {
        assert_eq!(opinions[0]["reasons"], json!(["region_name_differs@NAMA_KAB"]), "{bps:?}");
        assert_eq!(opinions[1]["kode_wilayah"], kemendagri.kode);
        assert_eq!(opinions[2]["kode_wilayah"], bps.kode);
        assert_eq!(opinions[3]["reasons"], json!(["region_name_differs@NAMA_KAB"]), "{kemendagri:?}");
    }
}
