//! The rules of a person's own fields, each with what it refuses and what it takes.

use super::*;

#[test]
fn a_good_record_becomes_the_clean_one_field_by_field() {
    let (payload, rules) = (with(&[]), rules());
    let Verdict::Clean { last_updated, body } = verdict(&payload, rules) else { panic!("refused") };
    assert_eq!(last_updated, moment("2026-11-20T01:15:30Z"));
    assert_eq!(body.nik.expose(), "3273015705900004");
    assert_eq!(body.nama.expose(), "Contoh Satu");
    assert_eq!(body.nama_asal.expose(), "dr. Contoh Satu, Sp.A");
    assert_eq!(body.gelar_depan.as_ref().map(|text| text.expose()), Some("dr."));
    assert_eq!(body.gelar_belakang.as_ref().map(|text| text.expose()), Some("Sp.A"));
    assert_eq!(body.jenis_kelamin, Some(JenisKelamin::Perempuan));
    assert_eq!(body.tempat_lahir.as_ref().map(|text| text.expose()), Some("Bandung"));
    assert_eq!(body.tanggal_lahir, date("1990-05-17"));
    assert_eq!(body.alamat.as_ref().map(|text| text.expose()), Some("Jl. Contoh No. 1"));
    assert_eq!((body.status_aktif, &*body.status_aktif_asal), (StatusAktif::Aktif, "Aktif"));
    assert_eq!((body.kode_wilayah.as_deref(), body.kode_wilayah_asal.as_deref()), (Some("32.73"), Some("3273")));
    assert!(body.warnings.is_empty());

    let [clinic, centre] = body.employments.as_slice() else { panic!("two jobs") };
    assert_eq!((&*clinic.employment_key, &*centre.employment_key), ("K1", "P3273010101"));
    assert_eq!(centre.kode_unit.as_deref(), Some("P3273010101"));
    assert_eq!(centre.unit.as_deref(), Some("PUSKESMAS CONTOH"));
    assert_eq!(centre.alamat.as_deref(), Some("Jl. Contoh No. 2"));
    assert_eq!(centre.id_jenis_sdmk.as_deref(), Some("101"));
    assert_eq!(centre.jenis_sdmk.as_deref(), Some("Dokter Spesialis"));
    assert_eq!(centre.status_pegawai.as_deref(), Some("PNS"));
    assert_eq!(centre.nip.as_ref().map(|text| text.expose()), Some("199005172015042001"));
    assert_eq!(centre.str.as_ref().map(|text| text.expose()), Some("1211100215000001"));
    assert_eq!((centre.str_tanggal, centre.str_berlaku_sampai), (date("2015-02-01"), None));
    assert_eq!(centre.sip.as_ref().map(|text| text.expose()), Some("446/0001/SIP/2022"));
    assert_eq!((centre.sip_tanggal, centre.sip_berlaku_sampai), (date("2022-03-01"), date("2027-03-01")));
    assert_eq!((centre.tanggal_mulai, centre.tanggal_akhir), (date("2015-04-01"), None));
    assert_eq!((centre.kode_wilayah.as_deref(), centre.kode_wilayah_asal.as_deref()), (Some("32.73"), Some("3273")));
    assert_eq!((clinic.alamat.as_deref(), clinic.nip.as_ref()), (None, None));
    assert_eq!((clinic.kode_wilayah.as_deref(), clinic.kode_wilayah_asal.as_deref()), (Some("31.71"), Some("31.71")));
    assert_eq!(clinic.tanggal_mulai, date("2020-02-01"));

    let [education] = body.pendidikan.as_slice() else { panic!("one education") };
    assert_eq!(education.kode_prodi.as_deref(), Some("11201"));
    assert_eq!(education.prodi.as_deref(), Some("Kedokteran"));
    assert_eq!(education.jenjang.as_deref(), Some("Profesi"));
    assert_eq!(education.kode_perti.as_deref(), Some("001002"));
    assert_eq!(education.perguruan_tinggi.as_deref(), Some("Universitas Contoh"));
    assert_eq!(education.tahun_lulus.as_deref(), Some("2014"));
    assert_eq!(education.no_ijazah.as_ref().map(|text| text.expose()), Some("C-0001/2014"));
    let [training] = body.pelatihan.as_slice() else { panic!("one training") };
    assert_eq!((training.nama.as_deref(), training.penyelenggara.as_deref()), (Some("ACLS"), Some("Contoh")));
    assert_eq!(
        (training.tahun.as_deref(), training.no_sertifikat.as_ref().map(|text| text.expose())),
        (Some("2019"), Some("A/1"))
    );
}

#[test]
fn only_what_is_mandatory_is_needed() {
    let payload = br#"{"NIK":9171011203850003,"NAMA":"CONTOH DUA A.Md.Kep","STATUS_AKTIF":"Tidak Aktif","LAST_UPDATED":"2026-11-20T10:00:00+09:00"}"#;
    let rules = rules();
    let body = clean(payload, rules);
    assert_eq!(body.nik.expose(), "9171011203850003");
    assert_eq!(body.status_aktif, StatusAktif::TidakAktif);
    assert_eq!(body.gelar_belakang.as_ref().map(|text| text.expose()), Some("A.Md.Kep"));
    assert_eq!(body.warnings, ["tanggal_lahir_missing", "region_missing"]);
    assert!(body.employments.is_empty() && body.pendidikan.is_empty() && body.pelatihan.is_empty());
    assert_eq!((body.kode_wilayah, body.kode_wilayah_asal), (None, None));
}

#[test]
fn an_exact_integer_is_text_to_its_last_digit() {
    // Odd and above 2^53: the number that a double would change.
    check(&[("/NIK", json!(9_301_014_101_900_003_u64)), ("/TANGGAL_LAHIR", json!("1990-01-01"))], &[]);
    let payload = with(&[("/NIK", json!(9_301_014_101_900_003_u64))]);
    let rules = rules();
    assert_eq!(clean(&payload, rules).nik.expose(), "9301014101900003");
    let payload = with(&[("/KODE_KAB", json!(3273)), ("/PEKERJAAN/0/NIP", json!(199_005_172_015_042_001_u64))]);
    let body = clean(&payload, rules);
    assert_eq!(body.kode_wilayah_asal.as_deref(), Some("3273"));
    assert_eq!(body.employments[1].nip.as_ref().map(|text| text.expose()), Some("199005172015042001"));
}

#[test]
fn json_faults_are_the_only_reason_of_their_record() {
    let rules = rules();
    for (payload, code) in [
        (&b""[..], "json_invalid"),
        (b" ", "json_invalid"),
        (b"{", "json_invalid"),
        (b"{}{}", "json_invalid"),
        (b"{\"NIK\":}", "json_invalid"),
        (b"{\"NIK\":'1'}", "json_invalid"),
        (b"{\"NIK\":01}", "json_invalid"),
        (b"{\"NIK\":NaN}", "json_invalid"),
        (b"{\"NIK\":\"\x01\"}", "json_invalid"),
        (b"{\"NIK\":\"\xff\"}", "json_invalid"),
        (b"\xef\xbb\xbf{}", "json_invalid"),
        (b"<html>", "json_invalid"),
        (b"[]", "json_not_object"),
        (b"null", "json_not_object"),
        (b"\"x\"", "json_not_object"),
        (b"1e999", "json_not_object"),
        (b"{\"NIK\":\"1\",\"NIK\":\"1\"}", "json_duplicate_key"),
        (b"{\"NIK\":\"1\",\"N\\u0049K\":\"1\"}", "json_duplicate_key"),
        (b"{\"OTHER\":{\"a\":1,\"a\":1}}", "json_duplicate_key"),
        (b"{\"PEKERJAAN\":[{\"SIP\":1,\"SIP\":1}]}", "json_duplicate_key"),
        (b"{\"OTHER\":1e999}", "json_number_range"),
        (b"{\"NIK\":-1e400}", "json_number_range"),
        (b"{\"NAMA\":\"\\ud800\"}", "json_surrogate"),
        (b"{\"OTHER\":\"\\udc00x\"}", "json_surrogate"),
        (b"{\"NAMA\":\"a\\u0000b\"}", "json_nul"),
        (b"{\"NAMA\":\"a\0b\"}", "json_nul"),
        (b"{\"\\u0000\":1}", "json_nul"),
    ] {
        assert_eq!(reasons(payload, rules), [format!("{code}@")], "{:?}", String::from_utf8_lossy(payload));
    }
    let nested = |levels: usize| format!("{{\"NIK\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(reasons(nested(64).as_bytes(), rules), ["json_depth@"]);
    assert!(reasons(nested(63).as_bytes(), rules).contains(&"field_type@NIK".to_owned()));
}

#[test]
fn nik_reasons() {
    for (value, reason) in [
        (Value::Null, "nik_missing@NIK"),
        (json!(""), "nik_missing@NIK"),
        (json!("-"), "nik_missing@NIK"),
        (json!("#N/A"), "nik_missing@NIK"),
        (json!(" null "), "nik_missing@NIK"),
        (json!(3.17E+15), "nik_number_inexact@NIK"),
        (json!(0.5), "nik_number_inexact@NIK"),
        (json!(-5), "field_type@NIK"),
        (json!(true), "field_type@NIK"),
        (json!(["3273015705900004"]), "field_type@NIK"),
        (json!({ "NIK": "3273015705900004" }), "field_type@NIK"),
        (json!("3.17E+15"), "nik_spreadsheet@NIK"),
        (json!("'3273015705900004"), "nik_spreadsheet@NIK"),
        (json!("3273015705900004.0"), "nik_spreadsheet@NIK"),
        (json!("327301570590000"), "nik_length@NIK"),
        (json!(327_301_570_590_000_u64), "nik_length@NIK"),
        (json!("3273 0157 0590 0004"), "nik_length@NIK"),
        (json!("32730157059OOOO4"), "nik_length@NIK"),
        (json!("0973015705900004"), "nik_province@NIK"),
        (json!("3273017205900004"), "nik_birth_day@NIK"),
        (json!("3273013205900004"), "nik_birth_day@NIK"),
        (json!("3273014005900004"), "nik_birth_day@NIK"),
        (json!("3273015713900004"), "nik_birth_month@NIK"),
        (json!("3273017104900004"), "nik_birth_date@NIK"),
        (json!("3273015705900000"), "nik_serial@NIK"),
        (json!("32730157059000\u{7}4"), "text_control_character@NIK"),
        (json!("\u{200e}3273015705900004"), "text_control_character@NIK"),
        (json!("3".repeat(4_097)), "text_too_long@NIK"),
    ] {
        check(&[("/NIK", value)], &[reason]);
    }
    assert_eq!(reasons(&without(&["NIK"]), rules()), ["nik_missing@NIK"]);
    let payload = with(&[]);
    for (number, reason) in [
        ("3273015705900004.0", "nik_number_inexact@NIK"),
        ("3273015705900004e0", "nik_number_inexact@NIK"),
        ("-0", "field_type@NIK"),
    ] {
        let text = String::from_utf8(payload.clone()).expect("UTF-8").replace("\"3273015705900004\"", number);
        assert_eq!(reasons(text.as_bytes(), rules()), [reason], "{number}");
    }
    check(&[("/NIK", json!("0901013002900000"))], &["nik_province@NIK", "nik_birth_date@NIK", "nik_serial@NIK"]);
    // Blanks around it are no fault.
    check(&[("/NIK", json!("\u{a0} 3273015705900004\t"))], &[]);
}

#[test]
fn soft_reasons_mark_and_do_not_refuse() {
    check(&[("/NIK", json!("3200015705900004"))], &["nik_region_unknown"]);
    // Registered in Merauke before the split: a retired prefix is a known one.
    check(&[("/NIK", json!("9101015705900004"))], &[]);
    check(&[("/TANGGAL_LAHIR", json!("1990-05-18"))], &["nik_birth_date_differs"]);
    // The digits have no century.
    check(&[("/TANGGAL_LAHIR", json!("1990-05-17"))], &[]);
    check(&[("/JENIS_KELAMIN", json!("L"))], &["nik_sex_differs"]);
    check(&[("/JENIS_KELAMIN", json!("X"))], &["jenis_kelamin_unknown"]);
    check(&[("/JENIS_KELAMIN", json!("-"))], &[]);
    check(&[("/JENIS_KELAMIN", json!(" PEREMPUAN "))], &[]);
    check(&[("/TANGGAL_LAHIR", json!("NULL"))], &["tanggal_lahir_missing"]);
    check(&[("/KODE_KAB", Value::Null), ("/KODE_PROV", json!(""))], &["region_missing"]);
    check(
        &[
            ("/NIK", json!("3200015705900004")),
            ("/TANGGAL_LAHIR", Value::Null),
            ("/JENIS_KELAMIN", json!("?")),
            ("/KODE_KAB", Value::Null),
            ("/KODE_PROV", Value::Null),
        ],
        &["nik_region_unknown", "jenis_kelamin_unknown", "tanggal_lahir_missing", "region_missing"],
    );
    // A dead letter carries its hard reasons only.
    check(&[("/JENIS_KELAMIN", json!("?")), ("/NAMA", Value::Null)], &["nama_missing@NAMA"]);
}

#[test]
fn names_keep_every_character_and_are_split() {
    let rules = rules();
    let payload = with(&[("/NAMA", json!("  ns.  José\u{0301}  O'o'u ,\tS.Kep "))]);
    let body = clean(&payload, rules);
    assert_eq!(body.nama_asal.expose(), "  ns.  José\u{0301}  O'o'u ,\tS.Kep ");
    assert_eq!(body.nama.expose(), "José\u{0301} O'o'u");
    assert_eq!(body.gelar_depan.as_ref().map(|text| text.expose()), Some("ns."));
    assert_eq!(body.gelar_belakang.as_ref().map(|text| text.expose()), Some("S.Kep"));
    for value in [Value::Null, json!(""), json!("None"), json!(" , ")] {
        check(&[("/NAMA", value)], &["nama_missing@NAMA"]);
    }
    check(&[("/NAMA", json!(false))], &["field_type@NAMA"]);
    check(&[("/NAMA", json!("Contoh\u{202e}Satu"))], &["text_control_character@NAMA"]);
    check(&[("/NAMA", json!("Contoh\nSatu"))], &[]);
}

#[test]
fn status_reasons() {
    for (value, reasons) in [
        (json!("Tidak Aktif"), &[][..]),
        (json!("CUTI"), &[]),
        (json!("tugas  belajar"), &[]),
        (json!("Pensiun"), &["status_aktif_unknown@STATUS_AKTIF"]),
        (json!(1), &["status_aktif_unknown@STATUS_AKTIF"]),
        (json!("aktif".repeat(20)), &["status_aktif_unknown@STATUS_AKTIF"]),
        (Value::Null, &["status_aktif_missing@STATUS_AKTIF"]),
        (json!("-"), &["status_aktif_missing@STATUS_AKTIF"]),
        (json!(true), &["field_type@STATUS_AKTIF"]),
    ] {
        check(&[("/STATUS_AKTIF", value)], reasons);
    }
    let payload = with(&[("/STATUS_AKTIF", json!(" NON\u{a0}Aktif "))]);
    let body = clean(&payload, rules()).status_aktif_asal.into_owned();
    assert_eq!(body, " NON\u{a0}Aktif ");
    let status = BTreeMap::from([("1".to_owned(), "AKTIF".to_owned())]);
    let declared = Rules::new(layout(&profile()), &status).expect("good");
    assert_eq!(clean(&with(&[("/STATUS_AKTIF", json!(1))]), &declared).status_aktif, StatusAktif::Aktif);
    assert_eq!(reasons(&with(&[]), &declared), ["status_aktif_unknown@STATUS_AKTIF"]);
}

#[test]
fn last_updated_reasons() {
    for (value, reason) in [
        (Value::Null, Some("last_updated_missing")),
        (json!(""), Some("last_updated_missing")),
        (json!("kemarin"), Some("last_updated_invalid")),
        (json!("2026-11-20"), Some("last_updated_invalid")),
        (json!("2026-02-30T00:00:00Z"), Some("last_updated_invalid")),
        (json!(1_763_600_000_000_u64), Some("last_updated_invalid")),
        (json!(1.5), Some("field_type")),
        (json!("2026-11-23T01:07:03.000004Z"), None),
        (json!("2026-11-23T01:07:03.000005Z"), Some("last_updated_future")),
        (json!("2026-11-23T08:07:03.000004+07:00"), None),
        (json!("2026-11-23 08:07:04"), Some("last_updated_future")),
        (json!("9999-12-31T23:59:59Z"), Some("last_updated_future")),
        (json!("2000-01-01T00:00:00Z"), None),
        (json!("1999-12-31T23:59:59.999999Z"), Some("last_updated_too_old")),
        (json!("2000-01-01 06:59:59"), Some("last_updated_too_old")),
        (json!("0001-01-01T00:00:00Z"), Some("last_updated_too_old")),
    ] {
        let expected: Vec<String> = reason.map(|reason| format!("{reason}@LAST_UPDATED")).into_iter().collect();
        assert_eq!(reasons(&with(&[("/LAST_UPDATED", value.clone())]), rules()), expected, "{value}");
    }
    let stamp = |text: &str| match verdict(&with(&[("/LAST_UPDATED", json!(text))]), rules()) {
        Verdict::Clean { last_updated, .. } => last_updated,
        Verdict::Rejected { reasons } => panic!("{reasons:?}"),
    };
    assert_eq!(stamp("2026-11-20T08:15:30.123456999+07:00"), moment("2026-11-20T01:15:30.123456Z"));
    assert_eq!(stamp("2026-11-20 08:15:30"), moment("2026-11-20T01:15:30Z"));
}

#[test]
fn without_a_stamp_of_its_own_a_record_is_as_old_as_its_fetch() {
    let fetched = rules_of(&profile().replace("stamp = \"source\"", "stamp = \"fetched\""));
    for payload in [with(&[]), without(&["LAST_UPDATED"]), with(&[("/LAST_UPDATED", json!("kemarin"))])] {
        let Verdict::Clean { last_updated, .. } = verdict(&payload, &fetched) else { panic!("refused") };
        assert_eq!(last_updated, fetched_at());
    }
}

#[test]
fn date_reasons_name_their_field() {
    let jobs =
        ["TANGGAL_MULAI", "TANGGAL_AKHIR", "TANGGAL_STR", "TANGGAL_AKHIR_STR", "TANGGAL_SIP", "TANGGAL_AKHIR_SIP"];
    for name in jobs {
        for (value, reason) in [
            (json!("31-02-2020"), Some("date_invalid")),
            (json!("1899-12-31"), Some("date_invalid")),
            (json!(44_000), Some("date_invalid")),
            (json!("\u{1b}"), Some("text_control_character")),
            (json!({}), Some("field_type")),
            (json!("2199-12-31"), None),
            (json!("2020-01-02 00:00:00"), None),
            (json!(" - "), None),
            (Value::Null, None),
        ] {
            let expected: Vec<String> =
                reason.map(|reason| format!("{reason}@PEKERJAAN[].{name}")).into_iter().collect();
            assert_eq!(
                reasons(&with(&[(&format!("/PEKERJAAN/1/{name}"), value.clone())]), rules()),
                expected,
                "{name} {value}"
            );
        }
    }
    // A registration alone is given for life, and only in the words that the profile declares.
    for (name, text, reason) in [
        ("TANGGAL_AKHIR_STR", "Seumur Hidup", None),
        ("TANGGAL_AKHIR_STR", " SEUMUR  HIDUP\t", None),
        ("TANGGAL_AKHIR_STR", "Seumur Hidup.", Some("date_invalid")),
        ("TANGGAL_AKHIR_STR", "Lifetime", Some("date_invalid")),
        ("TANGGAL_AKHIR_SIP", "Seumur Hidup", Some("date_invalid")),
        ("TANGGAL_STR", "Seumur Hidup", Some("date_invalid")),
        ("TANGGAL_AKHIR", "Seumur Hidup", Some("date_invalid")),
    ] {
        let payload = with(&[(&format!("/PEKERJAAN/1/{name}"), json!(text))]);
        let expected: Vec<String> = reason.map(|reason| format!("{reason}@PEKERJAAN[].{name}")).into_iter().collect();
        assert_eq!(reasons(&payload, rules()), expected, "{name} {text}");
    }
    let declared = rules_of(&profile().replace("[record.fields]", "str_for_life = [\"9999-12-31\"]\n[record.fields]"));
    for (text, expected) in [("9999-12-31", &[][..]), ("Seumur Hidup", &["date_invalid@PEKERJAAN[].TANGGAL_AKHIR_STR"])]
    {
        assert_eq!(reasons(&with(&[("/PEKERJAAN/1/TANGGAL_AKHIR_STR", json!(text))]), &declared), expected);
    }
    // Told once, however many jobs have it.
    check(
        &[
            ("/PEKERJAAN/0/TANGGAL_STR", json!("x")),
            ("/PEKERJAAN/1/TANGGAL_STR", json!("y")),
            ("/TANGGAL_LAHIR", json!("z")),
        ],
        &["date_invalid@PEKERJAAN[].TANGGAL_STR", "date_invalid@TANGGAL_LAHIR"],
    );
    let slashes = rules_of(&profile().replace("\"dmy_dash\"", "\"dmy_slash\", \"mdy_slash\""));
    assert_eq!(
        reasons(
            &with(&[("/TANGGAL_LAHIR", json!("05/04/1990")), ("/PEKERJAAN/1/TANGGAL_MULAI", Value::Null)]),
            &slashes
        ),
        ["date_ambiguous@TANGGAL_LAHIR"]
    );
    assert_eq!(
        reasons(
            &with(&[("/TANGGAL_LAHIR", json!("17/05/1990")), ("/PEKERJAAN/1/TANGGAL_MULAI", Value::Null)]),
            &slashes
        ),
        [""; 0]
    );
}

#[test]
fn nobody_is_born_after_the_fetch_by_the_calendar_of_the_source() {
    // 01:02 UTC on the 23rd is 08:02 in Jakarta, the same day; 18:00 UTC is already the next day there.
    let rules = rules();
    let at = |fetched: &str, born: &str| {
        let payload = with(&[("/TANGGAL_LAHIR", json!(born)), ("/LAST_UPDATED", json!("2026-11-01T00:00:00Z"))]);
        match judge(&RawRecord { payload: &payload, fetched_at: moment(fetched) }, rules) {
            Verdict::Clean { .. } => None,
            Verdict::Rejected { reasons } => Some(reasons[0].code),
        }
    };
    assert_eq!(at("2026-11-23T01:02:03Z", "2026-11-23"), None);
    assert_eq!(at("2026-11-23T01:02:03Z", "2026-11-24"), Some(Code::DateInvalid));
    assert_eq!(at("2026-11-23T18:00:00Z", "2026-11-24"), None);
    assert_eq!(at("2026-11-23T16:59:59Z", "2026-11-24"), Some(Code::DateInvalid));
}
