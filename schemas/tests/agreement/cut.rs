//! Cutting a page into its records.

use proptest::prelude::*;
use schemas::json::{PageFault, elements, members};

use super::json::{damaged, document};

fn cut(text: &str) -> Vec<Result<String, PageFault>> {
    elements(text.as_bytes()).map(|element| element.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect()
}

fn check(text: &str, expected: &[Result<&str, PageFault>]) {
    let expected: Vec<_> = expected.iter().map(|element| element.map(str::to_owned)).collect();
    assert_eq!(cut(text), expected, "{text}");
}

#[test]
fn elements_come_out_byte_for_byte() {
    check("[]", &[]);
    check(" [ \n ] \n", &[]);
    check("[1]", &[Ok("1")]);
    check("[ {\"a\": [1, 2]} ,\n\"b,]}\" , null]\n", &[Ok("{\"a\": [1, 2]}"), Ok("\"b,]}\""), Ok("null")]);
    check(r#"["a\"]", "\\"]"#, &[Ok(r#""a\"]""#), Ok(r#""\\""#)]);
}

#[test]
fn a_bad_record_does_not_spoil_its_neighbours() {
    let good = r#"{"NIK":"3273015705900004"}"#;
    for bad in [
        r#"{"NIK":"\ud800"}"#,
        r#"{"NIK":1e999}"#,
        r#"{"NIK":"a","NIK":"b"}"#,
        r#"{"NIK" "a"}"#,
        r#"{"NIK":}"#,
        r#"{NIK:'a'}"#,
        r#"{"a":1} {"b":2}"#,
        r#"{"a":[}"#,
        r#"{"a":[[{]}"#,
        r#"{"a":1}}"#,
        "{\"a\":\"\u{1}\0\n\"}",
        r#"{"a":"\x"}"#,
        "nonsense",
    ] {
        check(&format!("[{good},{bad},{good}]"), &[Ok(good), Ok(bad), Ok(good)]);
    }
    let mut page = b"[1,\"\xff\xfe\",2]".to_vec();
    assert_eq!(elements(&page).count(), 3);
    page.extend_from_slice(&[0xff]);
    assert_eq!(elements(&page).last(), Some(Err(PageFault::Trailing)));
}

#[test]
fn a_page_that_is_no_array_says_why() {
    for none in ["", " ", "{}", "null", "\"[]\"", "1", "]"] {
        check(none, &[Err(PageFault::NotArray)]);
    }
    check("[", &[Err(PageFault::Unclosed)]);
    check("[1,2", &[Ok("1"), Err(PageFault::Unclosed)]);
    check("[1,{\"a\":2}", &[Ok("1"), Err(PageFault::Unclosed)]);
    check("[1,\"a]", &[Ok("1"), Err(PageFault::Unclosed)]);
    check("[1,\"a\\", &[Ok("1"), Err(PageFault::Unclosed)]);
    check("[1,]", &[Ok("1"), Err(PageFault::Empty)]);
    check("[1,,2]", &[Ok("1"), Err(PageFault::Empty), Ok("2")]);
    check("[,]", &[Err(PageFault::Empty), Err(PageFault::Empty)]);
    check("[1] 2", &[Ok("1"), Err(PageFault::Trailing)]);
    check("[] ]", &[Err(PageFault::Trailing)]);
}

fn page(text: &str) -> Vec<Result<(String, String), PageFault>> {
    members(text.as_bytes())
        .map(|member| {
            let member = member?;
            let value = String::from_utf8_lossy(member.value).into_owned();
            Ok((member.name.into_owned(), value))
        })
        .collect()
}

#[test]
fn the_members_of_a_page_are_found_with_their_bytes() {
    let text = "\n{ \"status\" : 200,\"message\":\"a,}\\\"\", \"data\" :[ {\"x\":\"}\"}, [] ],\"d\\u0061ta\":{} }\n";
    let member = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
    assert_eq!(
        page(text),
        [
            member("status", "200"),
            member("message", "\"a,}\\\"\""),
            member("data", "[ {\"x\":\"}\"}, [] ]"),
            member("data", "{}"),
        ]
    );
    assert_eq!(page("{}"), []);
}

#[test]
fn a_page_that_is_no_object_says_why() {
    assert_eq!(page("<html>"), [Err(PageFault::NotObject)]);
    assert_eq!(page("[]"), [Err(PageFault::NotObject)]);
    assert_eq!(page("{"), [Err(PageFault::Unclosed)]);
    assert_eq!(page("{\"a\":[1"), [Err(PageFault::Unclosed)]);
    assert_eq!(page("{\"a\"}"), [Err(PageFault::Member)]);
    assert_eq!(page("{\"a\":}"), [Err(PageFault::Member)]);
    assert_eq!(page("{a:1}"), [Err(PageFault::Member)]);
    assert_eq!(page("{\"a\\x\":1}"), [Err(PageFault::Member)]);
    let one = Ok(("a".to_owned(), "1".to_owned()));
    assert_eq!(page("{\"a\":1,}"), [one.clone(), Err(PageFault::Empty)]);
    assert_eq!(page("{\"a\":1}}"), [one, Err(PageFault::Trailing)]);
}

#[test]
fn a_hostile_page_is_cut_in_one_pass() {
    // Each of these would take hours if a stray bracket searched all open ones.
    let half = 4_000_000;
    for text in [
        "[".repeat(half) + &"}".repeat(half),
        "[{".repeat(half) + &"]".repeat(half),
        "[".to_owned() + &"{".repeat(half) + &"]".repeat(half),
    ] {
        assert!(elements(text.as_bytes()).count() < half);
        assert!(members(text.as_bytes()).count() < half);
    }
}

proptest! {
    #[test]
    fn what_is_joined_is_cut_again(
        documents in prop::collection::vec(document(), 0..8),
        blank in "[ \\n\\t\\r]{0,2}",
    ) {
        // Elements end where they end even if their insides are no JSON; only a text that is not
        // closed would run on.
        let whole: Vec<_> = documents
            .into_iter()
            .filter(|document| elements(format!("[{document}]").as_bytes()).count() == 1)
            .filter(|document| !document.trim_matches([' ', '\n', '\t', '\r']).is_empty())
            .collect();
        let page = format!("{{\"status\":200,\"data\":{blank}[{blank}{}{blank}]{blank}}}", whole.join(&format!("{blank},{blank}")));
        let found: Result<Vec<_>, _> = members(page.as_bytes()).collect();
        let found = found.map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        prop_assert_eq!(found.len(), 2);
        let cut: Result<Vec<_>, _> = elements(found[1].value).collect();
        let cut = cut.map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        let expected: Vec<_> = whole
            .iter()
            .map(|document| document.trim_matches([' ', '\n', '\t', '\r']).as_bytes())
            .collect();
        prop_assert_eq!(cut, expected);
    }

    #[test]
    fn any_bytes_can_be_cut(bytes in damaged(document().prop_map(|text| format!("[{text},{text}]").into_bytes()))) {
        let items = elements(&bytes).count() + members(&bytes).count();
        prop_assert!(items <= 2 * bytes.len() + 2);
    }
}
