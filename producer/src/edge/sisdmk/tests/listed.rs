//! Facilities that the source lists itself, and the settings that go with them.

use super::*;
use crate::config::FacilityList;

const LISTED: &str = r#"
[facilities]
path = "/rest/fasyankes"
records = "hasil.daftar"
code = "KODE"
"#;

fn settings(folder: &Path, more: &str) -> Vec<(&'static str, String)> {
    let shipped = schemas::layout::shipped("biodata-facility").expect("it ships");
    let profile = folder.join("profile.toml");
    std::fs::write(&profile, format!("{shipped}{more}")).expect("a profile");
    vec![
        ("source.profile", profile.to_str().expect("text").to_owned()),
        ("source.username", "dinkes".to_owned()),
        ("source.password_file", secret(folder, "password", "hunter2")),
    ]
}

fn lent<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    settings.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

#[tokio::test]
async fn a_list_of_the_source_is_read_in_the_order_of_its_codes() {
    let check = async |body: &str, wanted: Result<&[&str], (FaultKind, &str)>| {
        let folder = tempfile::tempdir().expect("a folder");
        let token = Script::Send(answer("200 OK", br#"{"token":"T"}"#));
        let (address, mut heads) = serve(vec![token, Script::Send(answer("200 OK", body.as_bytes()))]);
        let config = configured(&address, folder.path(), &lent(&settings(folder.path(), LISTED)));
        assert_eq!(config.facilities, Some(FacilityList::Source));
        let sisdmk = Sisdmk::new(&config, None).expect("a source");
        let (_, listed) = sisdmk.facilities(&TraceContext::new_root()).await;
        let listed = listed.as_ref().map(|codes| codes.iter().map(Region::as_str).collect::<Vec<_>>());
        assert_eq!(listed.map_err(|fault| (fault.kind, fault.code)), wanted.map(<[&str]>::to_vec), "{body}");
        let _login = heads.recv().await;
        let request = heads.recv().await.expect("a request");
        assert!(request.starts_with("GET /rest/fasyankes?token=T HTTP/1.1\r\n"), "{request}");
    };
    use FaultKind::{Auth, Format, Unreachable};
    let list = |entries: &str| format!(r#"{{"status":200,"hasil":{{"daftar":[{entries}]}}}}"#);
    check(&list(r#"{"KODE":"P2"},{"KODE":" P1 ","NAMA":"x"},{"KODE":7},{"KODE":"P2"}"#), Ok(&["7", "P1", "P2"])).await;
    check(&list(""), Err((Format, "facilities_missing"))).await;
    check(&list(r#"{"KODE":"P1"},{"NAMA":"x"}"#), Err((Format, "facility_unreadable"))).await;
    check(&list(r#"{"KODE":"3273015705900004"}"#), Err((Format, "facility_unreadable"))).await;
    check(r#"{"status":200,"data":[]}"#, Err((Format, "records_missing"))).await;
    check(r#"{"status":500}"#, Err((Unreachable, "in_body_failure"))).await;
    check(r#"{"status":401}"#, Err((Auth, "in_body_auth"))).await;
}

#[tokio::test]
async fn a_facility_is_asked_for_by_its_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = Script::Send(answer("200 OK", br#"{"token":"T"}"#));
    let rows = Script::Send(answer("200 OK", br#"{"status":200,"data":[{"NIK":"3273015705900004"}]}"#));
    let nobody = Script::Send(answer("200 OK", br#"{"status":404,"message":"Data tidak ditemukan"}"#));
    let (address, mut heads) = serve(vec![token, rows, nobody]);
    let sisdmk = source(&address, folder.path(), &lent(&settings(folder.path(), LISTED)));
    for (code, rows) in [("P3273000001", 1), ("P.x", 0)] {
        let region = Region::facility(code).expect("a code");
        let ask = Ask { region, since: None, until: None, page: 1, limit: None, cursor: None };
        let arrived = sisdmk.fetch(&ask, &TraceContext::new_root()).await.outcome.expect("a page");
        assert_eq!((arrived.page.len(), arrived.total, arrived.page.highest), (rows, None, None));
    }
    let _login = heads.recv().await;
    for code in ["P3273000001", "P.x"] {
        let request = heads.recv().await.expect("a request");
        assert!(
            request.starts_with(&format!("GET /rest/biodata?kdfasyankes={code}&token=T HTTP/1.1\r\n")),
            "{request}"
        );
    }
}

#[test]
fn settings_that_do_not_go_with_the_profile_are_refused_by_their_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let (token, key) =
        (secret(folder.path(), "token", TOKEN), secret(folder.path(), "key", "a key of invented people"));
    let list = folder.path().join("list");
    std::fs::write(&list, "P1\nP 2\n").expect("a list");
    let list = list.to_str().expect("text").to_owned();
    let refused = |profile: &[(&'static str, String)], more: &[(&'static str, &str)], key_named: &str| {
        let mut pairs = vec![
            ("kafka.bootstrap_servers", "127.0.0.1:1"),
            ("registry.url", "http://127.0.0.1:1"),
            ("source.base_url", "http://127.0.0.1:1"),
            ("source.token_file", token.as_str()),
            ("identity.hmac_key_file", key.as_str()),
            ("security.allow_plaintext", "true"),
        ];
        pairs.extend(lent(profile));
        pairs.extend_from_slice(more);
        let failure = Config::new(&Settings::from_pairs(pairs).expect("settings")).expect_err(key_named);
        let told = platform::exit::sentence(&failure);
        assert_eq!(failure.exit, platform::exit::Exit::Config);
        assert!(told.contains(key_named), "{told}");
    };
    let (alone, listed) = (settings(folder.path(), ""), settings(folder.path(), LISTED));
    refused(&listed[..1], &[], "source.username");
    refused(&listed, &[("source.regions", "32")], "source.regions");
    refused(&listed, &[("source.facilities_file", &list)], "line 2");
    refused(&[], &[("source.facilities_file", &list)], "source.facilities_file");
    settings(folder.path(), "");
    refused(&alone, &[], "source.facilities_file");
}
