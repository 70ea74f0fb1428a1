//! What holds for the record as a whole: lists, all reasons at once, nothing of it in what is said about it.

use super::*;

#[test]
fn lists_are_arrays_of_objects_or_nothing() {
    for name in ["PEKERJAAN", "PENDIDIKAN", "PELATIHAN"] {
        let pointer = format!("/{name}");
        let refused = format!("field_type@{name}");
        for value in [
            json!({}),
            json!({ "a": [{}] }),
            json!("x"),
            json!(""),
            json!(0),
            json!(false),
            json!([1]),
            json!([null]),
            json!([[]]),
            json!([{}, "x", { "y": [] }]),
        ] {
            check(&[(&pointer, value)], &[&refused]);
        }
        for value in [Value::Null, json!([]), json!([{}])] {
            check(&[(&pointer, value)], &[]);
        }
        check(&[(&pointer, json!(vec![json!({}); 1_000]))], &[]);
        check(&[(&pointer, json!(vec![json!({}); 1_001]))], &[&format!("list_too_long@{name}")]);
        assert_eq!(reasons(&without(&[name]), rules()), [""; 0]);
    }
    // What stands beside a bad element is judged.
    check(
        &[("/PEKERJAAN", json!([0, { "TANGGAL_STR": "x" }]))],
        &["date_invalid@PEKERJAAN[].TANGGAL_STR", "field_type@PEKERJAAN"],
    );
    check(
        &[("/PENDIDIKAN", json!([{ "PRODI": true }, null]))],
        &["field_type@PENDIDIKAN", "field_type@PENDIDIKAN[].PRODI"],
    );
}

#[test]
fn every_text_field_has_the_same_three_reasons_and_blanks() {
    let text_fields = [
        ("", &["TEMPAT_LAHIR", "ALAMAT", "JENIS_KELAMIN", "NAMA_PROV", "NAMA_KAB", "KODE_PROV", "KODE_KAB"][..]),
        (
            "PEKERJAAN",
            &[
                "KODE_UNIT",
                "UNIT",
                "ALAMAT",
                "ID_JENIS_SDMK",
                "JENIS_SDMK",
                "STATUS",
                "NIP",
                "STR",
                "SIP",
                "KODE_PROV",
                "PROVINSI",
                "KODE_KAB",
                "KABKOT",
            ],
        ),
        (
            "PENDIDIKAN",
            &["KODE_PRODI", "PRODI", "JENJANG", "KODE_PERTI", "PERGURUAN_TINGGI", "TAHUN_LULUS", "NO_IJAZAH"],
        ),
        ("PELATIHAN", &["NAMA_PELATIHAN", "PENYELENGGARA", "TAHUN", "NO_SERTIFIKAT"]),
    ];
    for (list, fields) in text_fields {
        for field in fields {
            let (pointer, path) = match list {
                "" => (format!("/{field}"), (*field).to_owned()),
                list => (format!("/{list}/0/{field}"), format!("{list}[].{field}")),
            };
            let change = |value: Value| {
                let mut record = good();
                let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
                match record.pointer_mut(parent).expect("its parent") {
                    Value::Object(map) => map.insert(key.to_owned(), value),
                    _ => panic!("no object"),
                };
                reasons(record.to_string().as_bytes(), rules())
            };
            for (value, code) in [
                (json!(true), "field_type"),
                (json!({}), "field_type"),
                (json!([]), "field_type"),
                (json!(1.5), "field_type"),
                (json!(-1), "field_type"),
                (json!("a\u{0}b".replace('\0', "\u{1}")), "text_control_character"),
                (json!("a\u{2067}"), "text_control_character"),
                (json!("a".repeat(4_097)), "text_too_long"),
            ] {
                assert_eq!(change(value), [format!("{code}@{path}")], "{path}");
            }
            let both = format!("\u{9f}{}", "é".repeat(2_048));
            assert_eq!(
                change(json!(both)),
                [format!("text_control_character@{path}"), format!("text_too_long@{path}")]
            );
            // KODE_PROV alone may be null where KODE_KAB is there; a null sex or region only warns.
            assert!(change(json!("#N/A")).iter().all(|code| !code.contains('@')), "{path}");
        }
    }
}

#[test]
fn fields_that_the_profile_does_not_know_or_misses_are_counted_and_nothing_else() {
    let count = |payload: &[u8]| {
        let (verdict, fields) =
            judge_and_count(&RawRecord { payload, fetched_at: fetched_at() }, rules(), &mut Memory::default());
        assert_eq!(verdict, self::verdict(payload, rules()));
        (fields.unknown, fields.missing)
    };
    // The good record has one field that nobody declared, and a second job without eight of its eighteen.
    let (unknown, missing) = count(&with(&[]));
    assert_eq!((unknown, missing), (1, 8));
    assert_eq!(count(&without(&["UNDECLARED"])), (0, missing));
    assert_eq!(count(&without(&["ALAMAT"])), (1, missing + 1));
    assert_eq!(count(&with(&[("/ALAMAT", Value::Null)])), (1, missing), "null is there");
    let renamed = String::from_utf8(with(&[])).expect("UTF-8").replace("\"STR\":", "\"NO_STR\":");
    assert_eq!(count(renamed.as_bytes()), (2, missing + 1));
    assert_eq!(count(&with(&[("/PENDIDIKAN/0/X", json!({"Y": 1}))])), (2, missing));
    assert_eq!(count(&with(&[("/PELATIHAN", json!([{}, {}]))])), (1, missing + 8));
    assert_eq!(count(b"{}"), (0, 15));
    assert_eq!(count(b"{\"A\":1,\"A\":1}"), (0, 0), "not readable");
}

#[test]
fn all_reasons_come_at_once_in_catalogue_order() {
    let payload = json!({
        "PEKERJAAN": [{ "KODE_KAB": "9999", "TANGGAL_SIP": "?" }, 5],
        "ALAMAT": "a".repeat(5_000),
        "TEMPAT_LAHIR": "\u{8}",
        "KODE_KAB": "3273", "KODE_PROV": "31", "NAMA_KAB": "Kota Cimahi",
        "LAST_UPDATED": "1970-01-01T00:00:00Z",
        "STATUS_AKTIF": "?",
        "NIK": "0000000000000000"
    });
    assert_eq!(
        reasons(payload.to_string().as_bytes(), rules()),
        [
            "nik_province@NIK",
            "nik_birth_day@NIK",
            "nik_birth_month@NIK",
            "nik_serial@NIK",
            "nama_missing@NAMA",
            "status_aktif_unknown@STATUS_AKTIF",
            "last_updated_too_old@LAST_UPDATED",
            "date_invalid@PEKERJAAN[].TANGGAL_SIP",
            "region_unknown@PEKERJAAN[].KODE_KAB",
            "region_province_differs@KODE_PROV",
            "region_name_differs@NAMA_KAB",
            "field_type@PEKERJAAN",
            "text_control_character@TEMPAT_LAHIR",
            "text_too_long@ALAMAT",
        ]
    );
}

#[test]
fn every_hard_reason_of_a_record_can_be_had_and_every_soft_one() {
    // The catalogue holds nothing that cannot happen: together with those of the stages alone these are all.
    let of_stages =
        [Code::HeaderMissing, Code::IdentityMismatch, Code::RecordTooLarge, Code::FrameUndecodable, Code::RowRefused];
    let slashes = rules_of(&profile().replace("\"iso\"", "\"iso\", \"dmy_slash\", \"mdy_slash\""));
    let rules = rules();
    let mut found: Vec<String> = of_stages.iter().map(ToString::to_string).collect();
    let mut add = |payload: &[u8], rules: &Rules| {
        found.extend(reasons(payload, rules).iter().filter_map(|reason| reason.split('@').next()).map(str::to_owned));
    };
    for payload in
        [&b"x"[..], b"[]", br#"{"a":1,"a":1}"#, br#"{"a":1e999}"#, br#"{"a":"\ud800"}"#, br#"{"a":"\u0000"}"#, b"{}"]
    {
        add(payload, rules);
    }
    add(format!("{}{}", "{\"a\":".repeat(64), "{}".to_owned() + &"}".repeat(64)).as_bytes(), rules);
    for (pointer, value) in [
        ("/NIK", json!(1.5)),
        ("/NIK", json!("'1")),
        ("/NIK", json!("1")),
        ("/NIK", json!("0000000000000000")),
        ("/NIK", json!("3273013002900004")),
        ("/NIK", json!("3200010101900004")),
        ("/NIK", json!("3273991705900004")),
        ("/STATUS_AKTIF", json!("?")),
        ("/LAST_UPDATED", json!("?")),
        ("/LAST_UPDATED", json!("2030-01-01T00:00:00Z")),
        ("/LAST_UPDATED", json!("1990-01-01T00:00:00Z")),
        ("/TANGGAL_LAHIR", json!("?")),
        ("/KODE_KAB", json!("?")),
        ("/KODE_PROV", json!("?")),
        ("/NAMA_KAB", json!("?")),
        ("/ALAMAT", json!(true)),
        ("/ALAMAT", json!("\u{7}")),
        ("/ALAMAT", json!("a".repeat(5_000))),
        ("/PELATIHAN", json!(vec![json!({}); 1_001])),
        ("/JENIS_KELAMIN", json!("?")),
        ("/TANGGAL_LAHIR", Value::Null),
    ] {
        add(&with(&[(pointer, value)]), rules);
    }
    add(
        &with(&[
            ("/JENIS_KELAMIN", json!("L")),
            ("/TANGGAL_LAHIR", json!("1991-01-01")),
            ("/KODE_KAB", Value::Null),
            ("/KODE_PROV", Value::Null),
        ]),
        rules,
    );
    add(&with(&[("/TANGGAL_LAHIR", json!("05/04/1990"))]), &slashes);
    for code in Code::ALL {
        assert!(found.iter().any(|found| found == code.as_str()), "{code}");
    }
}

#[test]
fn a_clean_record_borrows_its_texts_from_the_payload() {
    use std::borrow::Cow;
    let payload = br#"{"NIK":"3273015705900004","NAMA":"dr. Contoh Satu, Sp.A","STATUS_AKTIF":" Aktif","LAST_UPDATED":"2026-11-20T08:15:30+07:00","ALAMAT":"  Jl. Contoh ",
        "KODE_KAB":"3273","PEKERJAAN":[{"KODE_UNIT":" P1 ","UNIT":"RS","NIP":1}]}"#;
    let rules = rules();
    let body = clean(payload, rules);
    let job = &body.employments[0];
    for text in [
        body.nama.clone().into_inner(),
        body.nama_asal.clone().into_inner(),
        body.status_aktif_asal.clone(),
        job.employment_key.clone(),
    ] {
        assert!(matches!(text, Cow::Borrowed(_)));
    }
    for text in [
        body.kode_wilayah,
        body.kode_wilayah_asal,
        job.kode_unit.clone(),
        job.unit.clone(),
        body.alamat.map(schemas::Masked::into_inner),
    ] {
        assert!(matches!(text, Some(Cow::Borrowed(_))));
    }
}

/// Every text of a JSON value that is long enough to be told from our own words.
fn values_of(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.trim().len() > 4 => found.push(text.trim().to_owned()),
        Value::Number(number) if number.to_string().len() > 4 => found.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| values_of(item, found)),
        Value::Object(map) => map.values().for_each(|item| values_of(item, found)),
        _ => {}
    }
}

#[test]
fn nothing_of_a_record_shows_in_what_the_rules_say_about_it() {
    let canary = "KENARI7Q";
    let rules = rules();
    let mut records = vec![good()];
    // Every field in turn becomes a canary, so that every reason is told about one.
    for pointer in [
        "/NIK",
        "/NAMA",
        "/JENIS_KELAMIN",
        "/TEMPAT_LAHIR",
        "/TANGGAL_LAHIR",
        "/ALAMAT",
        "/KODE_PROV",
        "/NAMA_PROV",
        "/KODE_KAB",
        "/NAMA_KAB",
        "/STATUS_AKTIF",
        "/LAST_UPDATED",
        "/PEKERJAAN",
        "/PEKERJAAN/0/KODE_UNIT",
        "/PEKERJAAN/0/UNIT",
        "/PEKERJAAN/0/TANGGAL_STR",
        "/PEKERJAAN/0/KODE_KAB",
        "/PEKERJAAN/0/KABKOT",
        "/PEKERJAAN/0/NIP",
        "/PENDIDIKAN/0/PRODI",
    ] {
        for value in
            [json!(canary), json!(format!("{canary}\u{7}")), json!({ canary: canary }), json!(canary.repeat(600))]
        {
            let mut record = good();
            *record.pointer_mut(pointer).expect("it exists") = value;
            records.push(record);
        }
    }
    let mut said = String::new();
    for record in &records {
        let payload = record.to_string().into_bytes();
        let raw = RawRecord { payload: &payload, fetched_at: fetched_at() };
        let verdict = judge(&raw, rules);
        said.push_str(&format!("{raw:?} {verdict:?} {verdict:#?} {rules:?}"));
        match &verdict {
            Verdict::Clean { body, .. } => {
                said.push_str(&format!("{body:?} {:?} {:?}", body.employments, body.pendidikan))
            }
            Verdict::Rejected { reasons } => reasons.iter().for_each(|reason| {
                let action = reason.code.action();
                said.push_str(&format!("{reason:?} {reason} {} {} {}", reason.code.message_id(), action.en, action.id));
            }),
        }
        let mut values = Vec::new();
        values_of(record, &mut values);
        for value in values {
            assert!(!said.contains(&value), "a value of the record was shown");
        }
        said.clear();
    }
}
