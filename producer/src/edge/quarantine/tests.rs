//! A folder for real; a bucket as a small server that checks the signature.

use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse as _;
use axum::routing::any;
use hmac::{Hmac, KeyInit as _, Mac as _};
use platform::secrets::SecretFile;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const DAY: Duration = Duration::from_secs(86_400);

fn about() -> Kept {
    Kept {
        kept_at: Timestamp(0),
        source: "sdmk-modified/1".to_owned(),
        region: "32".to_owned(),
        since: None,
        code: "html".to_owned(),
        differs: vec!["the answer is HTML".to_owned()],
    }
}

fn folder(path: PathBuf, bytes_max: u64) -> Quarantine {
    Quarantine::new(Place::Folder(path), bytes_max, DAY)
}

#[tokio::test]
async fn what_is_kept_is_there_byte_for_byte_and_for_this_user_alone() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let root = temporary.path().join("deep/er");
    let store = folder(root.clone(), 1 << 20);
    let (batch, request) = (Uuid::from_u128(1), Uuid::from_u128(2));
    store.keep_page(batch, request, b"<html>".to_vec(), &about(), &TraceContext::new_root()).await.expect("kept");
    store
        .keep_page(batch, request, b"<HTML>\0".to_vec(), &about(), &TraceContext::new_root())
        .await
        .expect("kept again");
    store.keep_record(batch, request, 3, b"{}".to_vec(), &about(), &TraceContext::new_root()).await.expect("kept");
    let of_batch = root.join(batch.to_string());
    let mut names: Vec<_> = fs::read_dir(&of_batch)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    let expected = ["3.record", "3.record.json", "page", "page.json"].map(|ending| format!("{request}.{ending}"));
    assert_eq!(names, expected);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(fs::read(of_batch.join(format!("{request}.page"))).expect("a file"), b"<HTML>\0");
    assert_eq!(mode(&of_batch.join(format!("{request}.page"))), 0o600);
    assert_eq!((mode(&of_batch), mode(&root)), (0o700, 0o700));
    let (item, bytes) = store.read(&format!("{batch}/{request}.page")).await.expect("kept");
    assert_eq!((item.about, bytes.as_slice()), (Some(about()), b"<HTML>\0".as_slice()));
}

#[tokio::test]
async fn nobody_else_can_enter_before_the_first_byte_is_written() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let root = temporary.path().to_path_buf();
    let (batch, request) = (Uuid::from_u128(1), Uuid::from_u128(2));
    // The folder of the store is open to all, that of the batch too, and the write itself fails: what would hide a
    // file after it was written never runs.
    let of_batch = root.join(batch.to_string());
    fs::create_dir_all(of_batch.join(format!("{request}.page.json/in the way"))).expect("a folder");
    for path in [&root, &of_batch] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let store = folder(root.clone(), 1 << 20);
    store
        .keep_page(batch, request, b"<html>".to_vec(), &about(), &TraceContext::new_root())
        .await
        .expect_err("a folder is in the way");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&of_batch), 0o700);
    // A batch that is new in an open store is closed from the beginning.
    let other = Uuid::from_u128(3);
    store.keep_page(other, request, b"<html>".to_vec(), &about(), &TraceContext::new_root()).await.expect("kept");
    assert_eq!((mode(&root.join(other.to_string())), mode(&root)), (0o700, 0o755));
    // Where that cannot be had, nothing is written.
    let closed = Uuid::from_u128(4);
    fs::write(root.join(closed.to_string()), b"").expect("a file in the way");
    let fault = store
        .keep_page(closed, request, b"<html>".to_vec(), &about(), &TraceContext::new_root())
        .await
        .expect_err("no folder");
    assert!(matches!(fault, QuarantineFault::Open(_)), "{fault}");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_says_so() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let file = temporary.path().join("file");
    fs::write(&file, b"").expect("a file");
    let store = folder(file, 1 << 20);
    assert!(
        store.keep_page(Uuid::nil(), Uuid::nil(), b"x".to_vec(), &about(), &TraceContext::new_root()).await.is_err()
    );
}

#[tokio::test]
async fn the_oldest_makes_room_and_what_is_too_old_goes() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let root = temporary.path().to_path_buf();
    let store = folder(root.clone(), 20_000);
    let keep = async |request: u128| {
        let (batch, request_id) = (Uuid::from_u128(1), Uuid::from_u128(request));
        let trace = TraceContext::new_root();
        store.keep_page(batch, request_id, vec![b'x'; 5_000], &about(), &trace).await.expect("kept");
        // Files of one moment have no order: each gets a time of its own.
        for ending in ["page", "page.json"] {
            let path = root.join(format!("{}/{}.{ending}", Uuid::from_u128(1), Uuid::from_u128(request)));
            let at = clock::now() - DAY / 2 + Duration::from_secs(u64::try_from(request).expect("small"));
            fs::File::options().write(true).open(path).and_then(|file| file.set_modified(at)).expect("a time");
        }
    };
    let ids = async || {
        let items = store.list().await.expect("a list");
        let number = |item: &Item| item.id.chars().rev().nth(5).and_then(|digit| digit.to_digit(10));
        items.iter().filter_map(number).collect::<Vec<_>>()
    };
    for request in 1..=3 {
        keep(request).await;
    }
    assert_eq!(ids().await, [3, 2, 1], "newest first");
    let before = removed().with_label_values(&["room"]).get();
    keep(4).await;
    assert_eq!(ids().await, [4, 3, 2], "the oldest made room");
    assert_eq!(removed().with_label_values(&["room"]).get(), before + 1, "and was counted");
    let later = Timestamp(clock::now_micros() + 43_200_000_000 + 3_000_000);
    store.sweep(0, later).await.expect("swept");
    assert_eq!(ids().await, [4], "a day after they were kept");
}

#[test]
fn addresses_are_read() {
    let check = |url: &str, expected: Option<Address>| assert_eq!(Address::parse(url), expected, "{url}");
    let bucket = |name: &str, prefix: &str| Some(Address::Bucket(name.to_owned(), Key::from(prefix)));
    check("file:///var/q", Some(Address::Folder(PathBuf::from("/var/q"))));
    check("s3://bucket", bucket("bucket", ""));
    check("s3://bucket/", bucket("bucket", ""));
    check("s3://bucket/a/b/", bucket("bucket", "a/b"));
    for bad in [
        "/var/q",
        "file://host/q",
        "s3:///prefix",
        "s3://user:password@bucket/q",
        "s3://bucket/q?key=1",
        "s3://bucket/q#1",
        "s3://bucket:9000/q",
        "gs://bucket/q",
        "https://bucket/q",
    ] {
        check(bad, None);
    }
}

#[derive(Clone, Default)]
struct Service {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    refused: Arc<Mutex<Vec<String>>>,
    /// `X-Request-ID` and `traceparent` of each request.
    ids: Arc<Mutex<Vec<(String, String)>>>,
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut hmac: Hmac<Sha256> = Hmac::new_from_slice(key).expect("any length");
    hmac.update(text.as_bytes());
    hmac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The signature of version 4, computed from what arrived: AWS, "Signature Version 4 signing process".
fn signature(method: &Method, uri: &Uri, headers: &HeaderMap, secret: &str) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = header("authorization");
    let part = |name: &str| authorization.split([' ', ',']).find_map(|part| part.strip_prefix(name));
    let (credential, signed) = (part("Credential=")?, part("SignedHeaders=")?);
    let mut query: Vec<&str> = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    query.sort_unstable();
    let query: Vec<String> =
        query.iter().map(|pair| if pair.contains('=') { (*pair).to_owned() } else { format!("{pair}=") }).collect();
    let canonical: String = signed.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let request = format!(
        "{method}\n{}\n{}\n{canonical}\n{signed}\n{}",
        uri.path(),
        query.join("&"),
        header("x-amz-content-sha256")
    );
    let (_, scope) = credential.split_once('/')?;
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", header("x-amz-date"), hex(&Sha256::digest(request)));
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
    Some(hex(&hmac(&key, &text)))
}

async fn serve(
    State(service): State<Service>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let given = header("authorization");
    service.ids.lock().expect("a lock").push((header("x-request-id"), header("traceparent")));
    let expected = signature(&method, &uri, &headers, "secret-of-the-test").unwrap_or_default();
    if !given.contains("Credential=id-of-the-test/") || !given.ends_with(&format!("Signature={expected}")) {
        service.refused.lock().expect("a lock").push(format!("{method} {uri} {given}"));
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut objects = service.objects.lock().expect("a lock");
    let path = uri.path().trim_start_matches("/bucket").trim_start_matches('/').to_owned();
    match method {
        Method::PUT => {
            objects.insert(path, body.to_vec());
            ([("etag", "\"1\"")], "").into_response()
        }
        // Several at once, as S3 takes them.
        Method::POST if uri.query().is_some_and(|query| query.starts_with("delete")) => {
            let text = String::from_utf8_lossy(&body).into_owned();
            let keys: Vec<&str> = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()).collect();
            let deleted: String = keys.iter().map(|key| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
            objects.retain(|key, _| !keys.contains(&key.as_str()));
            ([("content-type", "application/xml")], format!("<DeleteResult>{deleted}</DeleteResult>")).into_response()
        }
        Method::DELETE => {
            objects.remove(&path);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::GET if path.is_empty() => {
            let query: BTreeMap<String, String> =
                reqwest::Url::parse(&format!("http://x{uri}")).expect("a URL").query_pairs().into_owned().collect();
            let prefix = query.get("prefix").cloned().unwrap_or_default();
            let (mut contents, mut folders) = (String::new(), std::collections::BTreeSet::new());
            for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
                match key[prefix.len()..].split_once('/') {
                    Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
                    None => contents.push_str(&format!(
                        "<Contents><Key>{key}</Key><LastModified>2026-11-23T00:00:00.000Z</LastModified><ETag>1</ETag><Size>{}</Size></Contents>",
                        bytes.len()
                    )),
                }
            }
            let folders: String = folders
                .iter()
                .map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"))
                .collect();
            let text = format!(
                "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{contents}{folders}</ListBucketResult>"
            );
            ([("content-type", "application/xml")], text).into_response()
        }
        _ => match objects.get(&path) {
            Some(bytes) => {
                let headers = [("last-modified", "Mon, 23 Nov 2026 00:00:00 GMT"), ("etag", "\"1\"")];
                (headers, bytes.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

#[tokio::test]
async fn a_bucket_is_written_with_the_keys_of_the_files_and_a_true_signature() {
    let temporary = tempfile::tempdir().expect("a folder");
    let secret = |name: &str, value: &str| {
        let path = temporary.path().join(name);
        fs::write(&path, value).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        Arc::new(SecretFile::new(path))
    };
    let service = Service::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let routes = Router::new().fallback(any(serve)).with_state(service.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let store = Quarantine::new(
        Place::Bucket(Bucket {
            name: "bucket".to_owned(),
            prefix: Key::from("site/a"),
            endpoint: Some(endpoint),
            region: "ap-southeast-3".to_owned(),
            key_id: secret("id", "id-of-the-test\n"),
            secret_key: secret("key", "secret-of-the-test\n"),
        }),
        1 << 20,
        Duration::from_secs(400 * 86_400),
    );
    let (batch, request) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let trace = TraceContext::new_root();
    let kept = store.keep_page(batch, request, b"<html>".to_vec(), &about(), &trace).await;
    assert_eq!(*service.refused.lock().expect("a lock"), [""; 0], "{kept:?}");
    kept.expect("kept");
    let ids = std::mem::take(&mut *service.ids.lock().expect("a lock"));
    let each: std::collections::BTreeSet<&str> = ids.iter().map(|(id, _)| id.as_str()).collect();
    assert!(ids.len() >= 3 && each.len() == ids.len(), "an id for each request: {ids:?}");
    for (id, traceparent) in &ids {
        assert_eq!(Uuid::parse_str(id).expect("an id").get_version_num(), 7);
        let of = TraceContext::parse(traceparent).expect("a context");
        assert_eq!((of.trace_id, of.span_id == trace.span_id), (trace.trace_id, false), "a span of the batch's trace");
    }
    let id = format!("{batch}/{request}.page");
    let names: Vec<String> = service.objects.lock().expect("a lock").keys().cloned().collect();
    assert_eq!(names, [format!("site/a/{id}"), format!("site/a/{id}.json")]);
    let items = store.list().await.expect("a list");
    assert_eq!(items, [Item { id: id.clone(), bytes: 6, about: Some(about()) }]);
    assert_eq!(store.read(&id).await.expect("kept").1, b"<html>");
    store.sweep(1 << 20, Timestamp(clock::now_micros())).await.expect("swept");
    assert_eq!(service.objects.lock().expect("a lock").len(), 0, "everything made room");
    // Other keys in the files hold at once: the service refuses them.
    fs::write(temporary.path().join("key"), "another").expect("a file");
    assert!(store.list().await.is_err());
    assert_eq!(service.refused.lock().expect("a lock").len(), 1);
}
