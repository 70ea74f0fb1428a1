//! The scanner against serde_json: the same values where both accept, a refusal wherever
//! serde_json refuses, and for each further refusal the fault that explains it.

use std::collections::HashSet;
use std::fmt;

use proptest::prelude::*;
use schemas::json::{DEPTH_MAX, JsonFault, Scanner, Value, value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value with everything kept: the order of members, and keys that come twice.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TreeVisitor;
        impl<'de> Visitor<'de> for TreeVisitor {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Number(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Number(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                let number = serde_json::Number::from_f64(value);
                Ok(Tree::Number(number.expect("serde_json gives finite numbers")))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Tree::Array(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Tree::Object(members))
            }
        }
        deserializer.deserialize_any(TreeVisitor)
    }
}

impl Tree {
    fn depth(&self) -> usize {
        match self {
            Self::Array(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|(_, item)| item.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn any(&self, test: &impl Fn(&Self) -> bool) -> bool {
        test(self)
            || match self {
                Self::Array(items) => items.iter().any(|item| item.any(test)),
                Self::Object(members) => members.iter().any(|(_, item)| item.any(test)),
                _ => false,
            }
    }

    /// The fault of ours that serde_json lets pass.
    fn fault(&self) -> Option<JsonFault> {
        let duplicate = self.any(&|tree| match tree {
            Self::Object(members) => {
                let mut keys = HashSet::new();
                members.iter().any(|(key, _)| !keys.insert(key))
            }
            _ => false,
        });
        let nul = self.any(&|tree| match tree {
            Self::Text(text) => text.contains('\0'),
            Self::Object(members) => members.iter().any(|(key, _)| key.contains('\0')),
            _ => false,
        });
        if duplicate {
            Some(JsonFault::DuplicateKey)
        } else if nul {
            Some(JsonFault::Nul)
        } else {
            (self.depth() > DEPTH_MAX).then_some(JsonFault::Depth)
        }
    }
}

/// The whole value through the pull API.
fn read(bytes: &[u8]) -> Result<Tree, JsonFault> {
    fn tree(scanner: &mut Scanner<'_>) -> Result<Tree, JsonFault> {
        Ok(match scanner.value()? {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(value),
            Value::Text(text) => Tree::Text(text.into_owned()),
            Value::Number(number) => match serde_json::from_str(number) {
                Ok(number) => Tree::Number(number),
                // Out of range: noted by the scanner.
                Err(_) => Tree::Null,
            },
            Value::Array => {
                let mut items = Vec::new();
                while scanner.element()? {
                    items.push(tree(scanner)?);
                }
                Tree::Array(items)
            }
            Value::Object => {
                let mut members = Vec::new();
                while let Some(key) = scanner.key()? {
                    let key = key.into_owned();
                    members.push((key, tree(scanner)?));
                }
                Tree::Object(members)
            }
        })
    }
    let mut scanner = Scanner::new(bytes)?;
    let tree = tree(&mut scanner)?;
    scanner.end()?;
    Ok(tree)
}

/// Skipping and leaving must judge exactly as reading does.
fn skip(bytes: &[u8]) -> Result<(), JsonFault> {
    let mut scanner = Scanner::new(bytes)?;
    scanner.skip()?;
    scanner.end()
}

fn compare(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = read(bytes);
    prop_assert_eq!(skip(bytes), ours.clone().map(|_| ()));
    prop_assert_eq!(value(bytes).map(|_| ()), ours.clone().map(|_| ()));
    let record = Scanner::record(bytes).and_then(Scanner::end);
    match (&ours, serde_json::from_slice::<Tree>(bytes)) {
        (Ok(ours), Ok(theirs)) => {
            prop_assert_eq!(theirs.fault(), None);
            prop_assert_eq!(ours, &theirs);
            let object = matches!(theirs, Tree::Object(_));
            prop_assert_eq!(record.err(), (!object).then_some(JsonFault::NotObject));
        }
        (Err(fault), Ok(theirs)) => prop_assert_eq!(theirs.fault(), Some(*fault)),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => prop_assert!(false, "accepted what serde_json refuses: {error}"),
    }
    Ok(())
}

/// A JSON text, mostly without faults, as its source.
pub(crate) fn document() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        20 => "[a-zA-Z0-9 ,:{}\\[\\]/'.-]{0,12}",
        4 => "[\u{a0}-\u{2fff}\u{10000}-\u{10ffff}]{1,3}",
        3 => prop::sample::select(vec![
            "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0041", "\\u00e9",
            "\\uD83D\\uDE00", "\\u0022", "\u{7f}",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec![
            "\\ud800", "\\uDC00", "\\uD800\\u0041", "\\u0000", "\0", "\n", "\u{1f}", "\\x", "\\u12",
            "\\uD800\\uD83D\\uDE00",
        ]).prop_map(str::to_owned),
    ];
    let text = prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()));
    // Few keys, in more than one spelling, so that duplicates are common.
    let key = prop_oneof![
        6 => text.clone(),
        2 => prop::sample::select(vec!["\"NIK\"", "\"N\\u0049K\"", "\"A\"", "\"\"", "\"NAMA\"", "\"\\u0041\""])
            .prop_map(str::to_owned),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no such numbers", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        prop::sample::select(vec!["1e999", "-1e400", "01", "1.", "+1", "-", "1e", "NaN", "0x1", "1e-999"])
            .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned), number, text,];
    let blank = "[ \\n\\t\\r]{0,2}";
    leaf.prop_recursive(6, 40, 6, move |inner| {
        let item = (blank, inner.clone(), blank).prop_map(|(a, item, b)| a + &item + &b);
        let member =
            (blank, key.clone(), blank, item.clone()).prop_map(|(a, key, b, item)| format!("{a}{key}{b}:{item}"));
        prop_oneof![
            (prop::collection::vec(item, 0..6), blank)
                .prop_map(|(items, blank)| format!("[{blank}{}]", items.join(","))),
            (prop::collection::vec(member, 0..6), blank)
                .prop_map(|(members, blank)| format!("{{{blank}{}}}", members.join(","))),
        ]
    })
}

/// Bytes with a few of them changed, left out, doubled or cut off.
pub(crate) fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, any::<u8>()), 1..4);
    (bytes, damage).prop_map(|(mut bytes, damage)| {
        for (index, kind, byte) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                3 => bytes.truncate(at),
                _ => bytes[at] = b"{}[],:\"\\0e. \x00\x1f\xff"[usize::from(byte) % 15],
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn documents_agree_with_serde_json(document in document()) {
        compare(document.as_bytes())?;
    }

    #[test]
    fn damaged_documents_agree_with_serde_json(
        bytes in damaged(document().prop_map(String::into_bytes)),
    ) {
        compare(&bytes)?;
    }

    #[test]
    fn damaged_records_agree_with_serde_json(
        bytes in damaged(Just(super::samples::RICH_RECORD.as_bytes().to_vec())),
    ) {
        compare(&bytes)?;
    }

    #[test]
    fn any_bytes_agree_with_serde_json(bytes: Vec<u8>) {
        compare(&bytes)?;
    }

    /// Long texts cross the eight-byte steps of the scanner at every place.
    #[test]
    fn a_special_byte_is_found_wherever_it_stands(
        before in "[ -!#-\\[\\]-~\u{e9}\u{4e00}]{0,40}",
        special in prop::sample::select(vec!["\"", "\\n", "\n", "\u{1f}", "\0", "\\"]),
        after in "[a-z]{0,20}",
    ) {
        compare(format!("\"{before}{special}{after}\"").as_bytes())?;
    }
}

#[test]
fn nesting_is_judged_alike_on_both_sides_of_the_limit() {
    for depth in [1, 20, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, 100, 1_000] {
        for (open, close, levels) in [("[", "]", 1), ("{\"a\":", "}", 1), ("[{\"b\":[", "]}]", 3)] {
            for (inner, own_levels, fault) in [
                ("1", 0, None),
                ("{}", 1, None),
                ("{\"a\":1,\"b\":[]}", 2, None),
                ("\"\\u0000\"", 0, Some(JsonFault::Nul)),
                ("[1e999]", 1, Some(JsonFault::NumberRange)),
                ("[1,]", 1, Some(JsonFault::Invalid)),
                ("[,1]", 1, Some(JsonFault::Invalid)),
                ("{\"a\"}", 1, Some(JsonFault::Invalid)),
                ("{1}", 1, Some(JsonFault::Invalid)),
                ("[1}", 1, Some(JsonFault::Invalid)),
                ("1 1", 0, Some(JsonFault::Invalid)),
                ("[", 1, Some(JsonFault::Invalid)),
            ] {
                let text = open.repeat(depth) + inner + &close.repeat(depth);
                let deep = (depth * levels + own_levels > DEPTH_MAX).then_some(JsonFault::Depth);
                let expected = fault.or(deep);
                assert_eq!(read(text.as_bytes()).err(), expected, "{depth} {open} {inner}");
                assert_eq!(skip(text.as_bytes()).err(), expected, "{depth} {open} {inner}");
            }
        }
    }
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    assert_eq!(read(deep.as_bytes()), Err(JsonFault::Depth));
    assert_eq!(read("[".repeat(200_000).as_bytes()), Err(JsonFault::Invalid));
}

#[test]
fn many_keys_are_compared_without_comparing_each_with_each() {
    let object = |count: usize, extra: &str| {
        let members: Vec<_> = (0..count).map(|i| format!("\"k{i}\":{i}")).collect();
        format!("{{{}{extra}}}", members.join(","))
    };
    for count in [1, 2, 63, 64, 65, 66, 200, 50_000] {
        assert_eq!(skip(object(count, "").as_bytes()), Ok(()), "{count}");
        for twin in [0, count / 2, count - 1] {
            for spelling in [format!("k{twin}"), format!("\\u006b{twin}")] {
                let text = object(count, &format!(",\"{spelling}\":0"));
                assert_eq!(skip(text.as_bytes()), Err(JsonFault::DuplicateKey), "{count} {spelling}");
            }
        }
    }
}

#[test]
fn the_gravest_fault_is_told_whatever_comes_first() {
    let check = |text: &[u8], expected: JsonFault| {
        let record = Scanner::record(text).and_then(Scanner::end);
        assert_eq!(record, Err(expected), "{}", text.escape_ascii());
    };
    check(b"", JsonFault::Invalid);
    check(b" ", JsonFault::Invalid);
    check(b"\xef\xbb\xbf{}", JsonFault::Invalid);
    check(b"{\"a\":\"\xff\"}", JsonFault::NotUtf8);
    check(b"{\"a\":1,\"a\":1e999,\"b\":\"\xff\"}", JsonFault::NotUtf8);
    check(b"{\"a\":1,\"a\":1e999,}", JsonFault::Invalid);
    check(b"{\"a\":1}{", JsonFault::Invalid);
    check(b"{} 1", JsonFault::Invalid);
    check(b"[1", JsonFault::Invalid);
    check(b"[{\"a\":1,\"a\":1}]", JsonFault::NotObject);
    check(b"1e999", JsonFault::NotObject);
    check(b"null", JsonFault::NotObject);
    check(b"{\"a\":\"\\u0000\",\"b\":\"\\ud800\",\"c\":1e999,\"a\":0}", JsonFault::DuplicateKey);
    check(b"{\"a\":\"\\u0000\",\"b\":\"\\ud800\",\"c\":1e999}", JsonFault::NumberRange);
    check(b"{\"a\":\"\\u0000\",\"b\":\"\\ud800\"}", JsonFault::Surrogate);
    check(b"{\"a\":\"\\u0000\"}", JsonFault::Nul);
    check(b"{\"a\":\"\0\"}", JsonFault::Nul);
    check(b"{\"\\u0000\":1}", JsonFault::Nul);
    check(b"{\"a\":\"\x01\"}", JsonFault::Invalid);
    check(b"{\"a\"\0:1}", JsonFault::Invalid);
    check(b"{\"a\":\"\\ude00\\ud83d\"}", JsonFault::Surrogate);
    check(b"{\"a\":{\"b\":1,\"b\":2}}", JsonFault::DuplicateKey);
    check(b"{\"a\":[{\"b\":1,\"\\u0062\":2}]}", JsonFault::DuplicateKey);
}

#[test]
fn the_same_key_in_different_objects_is_no_duplicate() {
    for text in [
        r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}],"c":{"a":1}}"#,
        r#"{"a":[{"x":1,"y":2},{"x":1,"y":2}],"x":1,"y":2}"#,
    ] {
        assert_eq!(skip(text.as_bytes()), Ok(()));
    }
}

#[test]
fn numbers_stay_as_written() {
    let mut scanner = Scanner::record(br#"{"NIK":9301014101900003,"b":-0.10E+5}"#).expect("object");
    assert_eq!(scanner.key(), Ok(Some("NIK".into())));
    assert_eq!(scanner.value(), Ok(Value::Number("9301014101900003")));
    assert_eq!(scanner.key(), Ok(Some("b".into())));
    assert_eq!(scanner.value(), Ok(Value::Number("-0.10E+5")));
    assert_eq!(scanner.key(), Ok(None));
    assert_eq!(scanner.end(), Ok(()));
}

#[test]
fn debug_shows_no_value_of_a_record() {
    let mut scanner = Scanner::record(br#"{"NIK":"3273015705900004"}"#).expect("object");
    assert_eq!(scanner.key(), Ok(Some("NIK".into())));
    let value = scanner.value().expect("text");
    assert_eq!(format!("{value:?}"), "Text");
    assert!(!format!("{scanner:?}").contains("3273"));
}
