//! Whatever the bytes are, judging them ends and keeps its promises.

use std::cell::RefCell;

use super::*;

thread_local! {
    /// What a thread remembers of every record of these tests.
    static REMEMBERED: RefCell<Memory> = RefCell::default();
}

/// What must hold whatever the bytes are.
fn check_invariants(payload: &[u8], rules: &Rules) {
    let verdict = verdict(payload, rules);
    assert_eq!(verdict, self::verdict(payload, rules), "the same bytes, the same verdict");
    REMEMBERED.with_borrow_mut(|memory| {
        let raw = RawRecord { payload, fetched_at: fetched_at() };
        let counted = judge_and_count(&raw, rules, &mut Memory::default());
        assert_eq!(counted.0, verdict);
        assert_eq!(judge_and_count(&raw, rules, memory), counted, "the same verdict after whatever came before");
    });
    let identity = identity::read(payload, rules.layout());
    match verdict {
        Verdict::Clean { last_updated, body } => {
            assert_eq!(identity.as_ref(), Some(&body.nik));
            assert_eq!(identity::read_stamp(payload, rules.layout()), Some(last_updated));
            assert_ne!(body.status_aktif, StatusAktif::TidakDiketahui);
            assert!(body.employments.is_sorted_by(|a, b| a.employment_key < b.employment_key));
        }
        Verdict::Rejected { reasons } => {
            assert!(!reasons.is_empty() && reasons.is_sorted());
            assert!(reasons.windows(2).all(|pair| pair[0] != pair[1]));
            let json_faults = reasons.iter().filter(|reason| reason.code <= Code::JsonDepth).count();
            if json_faults > 0 {
                assert_eq!((reasons.len(), identity), (1, None));
            }
        }
    }
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|flag| json!(flag)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,20}".prop_map(|text| json!(text)),
        ".{0,10}".prop_map(|text| json!(text)),
        prop::sample::select(vec![
            "",
            "-",
            "3273015705900004",
            "9101011203850003",
            "3.17E+15",
            "1990-05-17",
            "17-05-1990",
            "31-02-1990",
            "L",
            "P",
            "Aktif",
            "32",
            "3273",
            "32.73",
            "9101",
            "Kota Bandung",
            "2026-11-20T08:15:30+07:00",
            "dr. Contoh, Sp.A",
            "K1",
            "\u{7}",
            "\u{a0}",
        ])
        .prop_map(|text| json!(text)),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    any_scalar().prop_recursive(3, 24, 5, |inner| {
        let key = prop_oneof![
            "[A-Z_]{1,12}",
            prop::sample::select(vec!["NIK", "NAMA", "KODE_UNIT", "KODE_KAB", "TANGGAL_STR", "UNIT", "PRODI"])
                .prop_map(str::to_owned)
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        check_invariants(&bytes, rules());
    }

    #[test]
    fn no_damage_to_a_good_record_makes_it_panic(
        at in 0..2_000_usize, length in 0..20_usize, bytes in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut payload = with(&[]);
        let from = at.min(payload.len());
        let end = (from + length).min(payload.len());
        payload.splice(from..end, bytes);
        check_invariants(&payload, rules());
    }

    #[test]
    fn no_value_in_any_field_makes_it_panic(
        changes in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "NIK", "NAMA", "JENIS_KELAMIN", "TEMPAT_LAHIR", "TANGGAL_LAHIR", "ALAMAT", "KODE_PROV", "NAMA_PROV", "KODE_KAB", "NAMA_KAB", "STATUS_AKTIF", "LAST_UPDATED",
                    "PEKERJAAN", "PENDIDIKAN", "PELATIHAN",
                ]),
                any_value(),
            ),
            0..4,
        ),
        job in prop::collection::btree_map(
            prop::sample::select(vec!["KODE_UNIT", "UNIT", "KODE_PROV", "KODE_KAB", "KABKOT", "NIP", "TANGGAL_MULAI", "TANGGAL_STR", "SIP"]).prop_map(str::to_owned),
            any_scalar(),
            0..6,
        ),
    ) {
        let mut record = good();
        let fields = record.as_object_mut().expect("an object");
        fields.insert("PEKERJAAN".into(), json!([job.clone(), job]));
        for (name, value) in changes {
            fields.insert(name.to_owned(), value);
        }
        check_invariants(record.to_string().as_bytes(), rules());
    }
}
