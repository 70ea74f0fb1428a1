//! A third source, by a profile alone: other names, nested answers, chained pages behind links, OAuth 2, the token in
//! a header of its own.

use super::drive::{batch, drive};
use super::*;
use crate::cycle::Cycle;
use crate::state::BatchStatus;
use std::collections::BTreeMap;

/// Invented, as its records are.
const THIRD: &str = r#"
[profile]
name = "contoh-ketiga"
version = 4

[auth]
kind = "oauth2"
carry = "header"
header_name = "X-Kunci"
header_scheme = ""

[auth.login]
path = "/kunci"
user = "nama"
secret = "rahasia"
form = { grant_type = "client_credentials" }
token = "hasil.kunci"
expires_in = "hasil.detik"

[request]
method = "GET"
path = "/v9/tenaga"
regency = "wilayah"
since = "sejak"
time_format = "rfc3339"

[paging]
kind = "cursor"
cursor = "lanjut"
next = "tautan.berikut"
next_is = "link"
limit = "banyak"
limit_max = 2

[answer]
records = "isi.daftar"
total = "isi.jumlah"

[record]
code_system = "bps-2023"
zone = "Asia/Makassar"
stamp = "source"
stamp_formats = ["epoch_ms"]
date_formats = ["dmy_slash"]

[record.fields]
nik = "nomor_induk"
nama = "nama_lengkap"
status_aktif = "masih_aktif"
last_updated = "diubah"
"#;

fn send(body: &str) -> Script {
    Script::Send(answer("200 OK", body.as_bytes()))
}

fn with(folder: &Path, profile: &str) -> Vec<(&'static str, String)> {
    let path = folder.join("third.toml");
    std::fs::write(&path, profile).expect("a profile");
    vec![
        ("source.profile", path.to_str().expect("text").to_owned()),
        ("source.client_id", "dinkes".to_owned()),
        ("source.client_secret_file", secret(folder, "client", "hunter2")),
        ("source.regions", "32.73".to_owned()),
    ]
}

#[tokio::test]
async fn a_third_source_takes_a_file_and_no_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = |nik: &str, at: i64| format!(r#"{{"nomor_induk":"{nik}","diubah":{at},"masih_aktif":"ya"}}"#);
    let (one, two, three) = (
        record("3273015705900001", 1_763_000_000_000),
        record("3273015705900002", 1_763_100_000_000),
        record("3273015705900003", 1_763_050_000_000),
    );
    let page = |rows: &str, link: &str| {
        send(&format!(r#"{{"isi":{{"jumlah":3,"daftar":[{rows}]}},"tautan":{{"berikut":{link}}}}}"#))
    };
    let (address, mut heads) = serve(vec![
        send(r#"{"hasil":{"kunci":"K-1","detik":3600}}"#),
        page(&format!("{one},{two}"), r#""https://elsewhere.example/v9/tenaga?banyak=2&lanjut=a%2Fb+c""#),
        page(&three, "null"),
    ]);
    let settings = with(folder.path(), THIRD);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let config = configured(&address, folder.path(), &settings);
    let sisdmk = Sisdmk::new(&config, None).expect("a source");
    let ran = drive(&sisdmk, Cycle::new(batch(&["32.73"]), BTreeMap::new(), config.limits.clone(), 1)).await;
    assert_eq!((ran.batch.status, ran.failed.as_slice()), (Some(BatchStatus::Complete), [""; 0].as_slice()));
    assert_eq!((ran.records(), ran.watermark()), ((3, 3), Some(Timestamp(1_763_100_000_000_000))));
    let published = ran.slices.iter().flat_map(|slice| &slice.pages).flat_map(|page| page.records());
    let published: Vec<&[u8]> = published.map(|(_, bytes)| bytes).collect();
    assert_eq!(published, [one.as_bytes(), two.as_bytes(), three.as_bytes()]);
    assert_eq!(config.source(), "contoh-ketiga/4");

    let login = heads.recv().await.expect("a login");
    assert!(login.starts_with("POST /kunci HTTP/1.1\r\n"), "{login}");
    assert!(login.ends_with("\r\n\r\ngrant_type=client_credentials&nama=dinkes&rahasia=hunter2"), "{login}");
    let first = heads.recv().await.expect("a request");
    assert!(first.starts_with("GET /v9/tenaga?wilayah=3273&banyak=2 HTTP/1.1\r\n"), "{first}");
    assert!(first.contains("x-kunci: K-1\r\n") && !first.contains("authorization"), "{first}");
    // The link leads elsewhere; what is asked is our own address, with the cursor out of the link.
    let second = heads.recv().await.expect("a request");
    assert!(second.starts_with("GET /v9/tenaga?wilayah=3273&banyak=2&lanjut=a%2Fb+c HTTP/1.1\r\n"), "{second}");
}

#[tokio::test]
async fn a_link_that_leads_in_a_circle_or_nowhere_is_another_shape() {
    for (link, code) in
        [("\"?lanjut=x\"", "cursor_repeated"), ("\"/v9/tenaga?hal=2\"", "next_unusable"), ("7", "next_unusable")]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let page = |nik: u64| {
            send(&format!(
                r#"{{"isi":{{"jumlah":9,"daftar":[{{"nomor_induk":"{nik}"}}]}},"tautan":{{"berikut":{link}}}}}"#
            ))
        };
        let mut scripts = vec![send(r#"{"hasil":{"kunci":"K-1"}}"#)];
        scripts.extend((0..5).map(|number| page(3_273_015_705_900_001 + number)));
        let (address, _heads) = serve(scripts);
        let settings = with(folder.path(), THIRD);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let config = configured(&address, folder.path(), &settings);
        let sisdmk = Sisdmk::new(&config, None).expect("a source");
        let ran = drive(&sisdmk, Cycle::new(batch(&["32.73"]), BTreeMap::new(), config.limits, 1)).await;
        assert_eq!(ran.failed, [code; 4]);
        assert_eq!((ran.batch.status, ran.records()), (Some(BatchStatus::FormatChanged), (0, 0)));
    }
}
