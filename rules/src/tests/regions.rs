//! Regions of the person and of every job, in each declared code system.

use super::*;

#[test]
fn region_reasons_of_the_person() {
    let unknown = "region_unknown@KODE_KAB";
    for (kab, prov, name, expected) in [
        (json!("3273"), json!("32"), json!("Kota Bandung"), &[][..]),
        (json!("32.73"), json!(32), json!("Bandung"), &[]),
        (json!("3273"), Value::Null, Value::Null, &[]),
        (json!("3273"), json!("-"), json!("#N/A"), &[]),
        (json!("3299"), json!("32"), json!("Kota Bandung"), &[unknown]),
        (json!("327"), json!("99"), json!("x"), &[unknown]),
        (json!("327301"), json!("32"), Value::Null, &[unknown]),
        (json!("Bandung"), json!("32"), Value::Null, &[unknown]),
        (json!(32.73), json!("32"), Value::Null, &["field_type@KODE_KAB"]),
        (json!([3273]), json!("99"), json!("x"), &["field_type@KODE_KAB"]),
        (json!("3273"), json!("31"), json!("Kota Bandung"), &["region_province_differs@KODE_PROV"]),
        (json!("3273"), json!("99"), json!("Kota Bandung"), &["region_province_differs@KODE_PROV"]),
        (json!("3273"), json!("Jawa Barat"), Value::Null, &["region_province_differs@KODE_PROV"]),
        (json!("3273"), json!("32"), json!("Kabupaten Bandung"), &["region_name_differs@NAMA_KAB"]),
        (
            json!("3273"),
            json!("31"),
            json!("Kota Cimahi"),
            &["region_province_differs@KODE_PROV", "region_name_differs@NAMA_KAB"],
        ),
        (json!("3273"), json!(true), json!("Kota Cimahi"), &["region_name_differs@NAMA_KAB", "field_type@KODE_PROV"]),
        (json!("9101"), json!("91"), json!("Merauke"), &[]),
        (json!("9101"), json!("93"), json!("KAB. MERAUKE"), &[]),
        (json!("9301"), json!("91"), json!("Merauke"), &["region_province_differs@KODE_PROV"]),
        (Value::Null, json!("32"), json!("anything"), &[]),
        (Value::Null, json!("97"), Value::Null, &["region_unknown@KODE_PROV"]),
        (Value::Null, json!("3"), Value::Null, &["region_unknown@KODE_PROV"]),
        (Value::Null, Value::Null, json!("Kota Bandung"), &["region_missing"]),
    ] {
        check(&[("/KODE_KAB", kab), ("/KODE_PROV", prov), ("/NAMA_KAB", name)], expected);
    }
    check(&[("/NAMA_PROV", json!("Bali"))], &[]);
    check(&[("/NAMA_PROV", json!(false))], &["field_type@NAMA_PROV"]);
}

#[test]
fn region_results_are_the_code_of_today_and_the_code_as_received() {
    let rules = rules();
    for (kab, prov, kode, asal) in [
        (json!(" 32.73 "), json!("32"), Some("32.73"), Some("32.73")),
        (json!("32 73"), json!("32"), Some("32.73"), Some("32 73")),
        (json!(9101), json!(91), Some("93.01"), Some("9101")),
        (json!("9271"), Value::Null, Some("96.71"), Some("9271")),
        (json!("-"), json!(" 32 "), Some("32"), Some("32")),
        (Value::Null, Value::Null, None, None),
    ] {
        let payload = with(&[("/KODE_KAB", kab), ("/KODE_PROV", prov), ("/NAMA_KAB", Value::Null)]);
        let body = clean(&payload, rules);
        assert_eq!((body.kode_wilayah.as_deref(), body.kode_wilayah_asal.as_deref()), (kode, asal));
    }
}

#[test]
fn region_reasons_of_a_job_name_the_jobs_field_and_nothing_is_missing_there() {
    check(&[("/PEKERJAAN/1/KODE_KAB", json!("9999"))], &["region_unknown@PEKERJAAN[].KODE_KAB"]);
    check(&[("/PEKERJAAN/1/KODE_PROV", json!("32"))], &["region_province_differs@PEKERJAAN[].KODE_PROV"]);
    check(&[("/PEKERJAAN/0/KABKOT", json!("Kota Cimahi"))], &["region_name_differs@PEKERJAAN[].KABKOT"]);
    check(&[("/PEKERJAAN/1/KODE_PROV", Value::Null), ("/PEKERJAAN/1/KODE_KAB", Value::Null)], &[]);
}

#[test]
fn every_regency_is_judged_by_the_declared_system_with_its_own_codes_and_name() {
    for (system, code) in [
        ("kemendagri-2025", (|row| row.kode.to_owned()) as fn(&crate::wilayah::Wilayah) -> String),
        ("kemendagri-2022", |row| row.kode.replace('.', "")),
        ("bps-2023", |row| row.bps.to_owned()),
    ] {
        let rules = rules_of(&profile().replace("kemendagri-2025", system));
        for row in crate::wilayah::rows() {
            let province = crate::wilayah::rows().iter().find(|province| Some(province.kode) == row.induk);
            let changes = match province {
                Some(province) => [
                    ("/KODE_KAB", json!(code(row))),
                    ("/KODE_PROV", json!(code(province))),
                    ("/NAMA_KAB", json!(row.nama)),
                ],
                None => [("/KODE_KAB", Value::Null), ("/KODE_PROV", json!(code(row))), ("/NAMA_KAB", Value::Null)],
            };
            let mut all = changes.to_vec();
            all.push(("/PEKERJAAN", json!([])));
            let payload = with(&all);
            assert_eq!(clean(&payload, &rules).kode_wilayah.as_deref(), Some(row.kode), "{system} {}", row.nama);
        }
    }
}

#[test]
fn a_source_of_the_other_system_shows_in_its_names() {
    // 3171 is Jakarta Pusat for Kemendagri and Jakarta Selatan for BPS; 9501 Jayawijaya or Merauke.
    let bps = rules_of(&profile().replace("kemendagri-2025", "bps-2023"));
    for (kode, prov, kemendagri_name, bps_name) in [
        ("3171", "31", "Jakarta Pusat", "Jakarta Selatan"),
        ("9501", "95", "Jayawijaya", "Merauke"),
        ("1101", "11", "Aceh Selatan", "Simeulue"),
    ] {
        let named = |name: &str| {
            with(&[
                ("/KODE_KAB", json!(kode)),
                ("/KODE_PROV", json!(prov)),
                ("/NAMA_KAB", json!(name)),
                ("/PEKERJAAN", json!([])),
            ])
        };
        assert_eq!(reasons(&named(kemendagri_name), rules()), [""; 0]);
        assert_eq!(reasons(&named(bps_name), rules()), ["region_name_differs@NAMA_KAB"]);
        assert_eq!(reasons(&named(bps_name), &bps), [""; 0]);
        assert_eq!(reasons(&named(kemendagri_name), &bps), ["region_name_differs@NAMA_KAB"]);
    }
}
