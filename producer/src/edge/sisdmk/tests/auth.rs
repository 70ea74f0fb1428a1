//! Logins: what is sent, what is taken for a refusal, how often they go out, and that nothing shows.

use super::*;
use std::os::unix::fs::symlink;
use std::sync::Arc;

const LOGIN: &str = r#"
kind = "login"
carry = "query"
query_name = "token"

[auth.login]
path = "/rest/login_ws"
user = "username"
secret = "password"
token = "token"
status = "status"
status_ok = [200]
status_auth = [401, 403]
"#;

/// As SATUSEHAT has it.
const OAUTH2: &str = r#"
kind = "oauth2"
carry = "header"

[auth.login]
path = "/oauth2/v1/accesstoken"
user = "client_id"
secret = "client_secret"
query = { grant_type = "client_credentials" }
token = "access_token"
expires_in = "expires_in"
refresh_before_seconds = 1
"#;

/// The default profile with another `[auth]`, a password in its file, and the source that asks with it.
fn logging_in(address: &str, folder: &Path, auth: &str) -> Sisdmk {
    let (before, rest) = PROFILE.split_once("[auth]").expect("its section");
    let (_, after) = rest.split_once("[request]").expect("the next section");
    let profile = folder.join("profile.toml");
    std::fs::write(&profile, format!("{before}[auth]{auth}\n[request]{after}")).expect("a profile");
    let profile = profile.to_str().expect("text").to_owned();
    let password = folder.join("password").to_str().expect("text").to_owned();
    if !Path::new(&password).exists() {
        secret(folder, "password", "hunter2+& 1");
    }
    let more = [
        ("source.profile", profile.as_str()),
        ("source.username", "dinkes"),
        ("source.password_file", &password),
        ("source.client_id", "client-7"),
        ("source.client_secret_file", &password),
    ];
    source(address, folder, &more)
}

fn send(head: &str, body: &str) -> Script {
    Script::Send(answer(head, body.as_bytes()))
}

fn good() -> Script {
    send("200 OK", GOOD)
}

async fn fetch(sisdmk: &Sisdmk) -> Answer {
    sisdmk.fetch(&ask(), &TraceContext::new_root()).await
}

#[track_caller]
fn assert_fault(answer: &Answer, kind: FaultKind, code: &str) {
    let fault = answer.outcome.as_ref().expect_err(code);
    assert_eq!((fault.kind, fault.code), (kind, code));
}

#[tokio::test]
async fn a_login_sends_a_form_and_its_token_goes_where_the_profile_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = send("200 OK", r#"{"status":200,"token":"T&1 x"}"#);
    let (address, mut heads) = serve(vec![token, good(), good()]);
    let sisdmk = logging_in(&address, folder.path(), LOGIN);
    for _ in 0..2 {
        fetch(&sisdmk).await.outcome.expect("a page");
    }
    let login = heads.recv().await.expect("a login");
    assert!(login.starts_with("POST /rest/login_ws HTTP/1.1\r\n"), "{login}");
    assert!(login.ends_with("\r\n\r\nusername=dinkes&password=hunter2%2B%26+1"), "{login}");
    assert!(login.contains("content-type: application/x-www-form-urlencoded\r\n"), "{login}");
    assert!(login.contains("x-request-id: ") && login.contains("traceparent: 00-"), "{login}");
    for _ in 0..2 {
        let request = heads.recv().await.expect("a request");
        assert!(request.contains("&token=T%261+x HTTP/1.1\r\n"), "{request}");
        assert!(!request.contains("authorization"), "{request}");
    }
}

#[tokio::test]
async fn oauth2_is_spoken_as_satusehat_has_it_and_a_token_is_renewed_before_its_end() {
    // A number or a text, both are seen. The second token outlives the test.
    let folder = tempfile::tempdir().expect("a folder");
    let (address, mut heads) = serve(vec![
        send("200 OK", r#"{"access_token":"one","expires_in":"2","token_type":"Bearer"}"#),
        good(),
        send("200 OK", r#"{"access_token":"two","expires_in":3600}"#),
        good(),
        good(),
    ]);
    let sisdmk = logging_in(&address, folder.path(), OAUTH2);
    fetch(&sisdmk).await.outcome.expect("a page");
    let login = heads.recv().await.expect("a login");
    assert!(login.starts_with("POST /oauth2/v1/accesstoken?grant_type=client_credentials HTTP/1.1\r\n"), "{login}");
    assert!(login.ends_with("\r\n\r\nclient_id=client-7&client_secret=hunter2%2B%26+1"), "{login}");
    assert!(heads.recv().await.expect("a request").contains("authorization: Bearer one\r\n"));
    // One second before its end: nothing was refused, and yet there is a new one.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    fetch(&sisdmk).await.outcome.expect("a page");
    fetch(&sisdmk).await.outcome.expect("a page");
    assert!(heads.recv().await.expect("a login").starts_with("POST "));
    for _ in 0..2 {
        assert!(heads.recv().await.expect("a request").contains("authorization: Bearer two\r\n"));
    }
}

#[tokio::test]
async fn many_slices_wait_for_one_login() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut scripts = vec![send("200 OK", r#"{"status":200,"token":"T"}"#)];
    scripts.extend(vec![good(); 8]);
    let (address, mut heads) = serve(scripts);
    let sisdmk = Arc::new(logging_in(&address, folder.path(), LOGIN));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let sisdmk = Arc::clone(&sisdmk);
        all.spawn(async move { fetch(&sisdmk).await.outcome.is_ok() });
    }
    assert_eq!(all.join_all().await, [true; 8]);
    let mut logins = 0;
    for _ in 0..9 {
        logins += usize::from(heads.recv().await.expect("a request").starts_with("POST "));
    }
    assert_eq!(logins, 1);
}

#[tokio::test]
async fn a_login_that_fails_fails_for_all_who_wait_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, mut heads) = serve(vec![send("503 Busy\r\nretry-after: 7", ""), send("200 OK", "{}")]);
    let sisdmk = Arc::new(logging_in(&address, folder.path(), LOGIN));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let sisdmk = Arc::clone(&sisdmk);
        all.spawn(async move { fetch(&sisdmk).await });
    }
    for answer in all.join_all().await {
        assert_fault(&answer, FaultKind::Unreachable, "login_http_5xx");
        assert_eq!(answer.outcome.expect_err("busy").retry_after, Some(Duration::from_secs(7)));
        assert!(!answer.sent);
    }
    assert!(heads.recv().await.expect("a login").starts_with("POST "));
    assert!(heads.try_recv().is_err(), "one login for all");
}

#[tokio::test]
async fn a_refused_login_is_not_repeated_until_the_secret_is_another_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, mut heads) =
        serve(vec![send("401 No", ""), send("200 OK", r#"{"status":200,"token":"T"}"#), good(), send("403 No", "")]);
    let sisdmk = logging_in(&address, folder.path(), LOGIN);
    for _ in 0..3 {
        assert_fault(&fetch(&sisdmk).await, FaultKind::Auth, "login_refused");
    }
    assert!(!sisdmk.renew_token().expect("a secret"), "the same password is no hope");
    assert_fault(&fetch(&sisdmk).await, FaultKind::Auth, "login_refused");
    assert!(heads.recv().await.expect("a login").starts_with("POST "));
    assert!(heads.try_recv().is_err(), "nothing went out after the refusal");

    let refused = sisdmk.credential_mark();
    secret(folder.path(), "password", "another");
    assert!(sisdmk.is_another_credential(&refused));
    assert!(sisdmk.renew_token().expect("a secret"));
    fetch(&sisdmk).await.outcome.expect("a page");
    assert!(heads.recv().await.expect("a login").ends_with("password=another"));
    assert!(heads.recv().await.expect("a request").starts_with("GET "));
    // An operator may say so too.
    sisdmk.begin();
    assert_fault(&fetch(&sisdmk).await, FaultKind::Auth, "login_refused");
    assert!(heads.recv().await.expect("a login").starts_with("POST "));
}

#[tokio::test]
async fn each_failure_of_a_login_has_its_kind_and_its_word() {
    use FaultKind::{Auth, Format, Unreachable};
    let check = async |auth: &str, script: Script, kind: FaultKind, code: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let (address, _heads) = serve(vec![script]);
        assert_fault(&fetch(&logging_in(&address, folder.path(), auth)).await, kind, code);
    };
    check(LOGIN, send("401 No", "{}"), Auth, "login_refused").await;
    check(LOGIN, send("403 No", "<html>"), Auth, "login_refused").await;
    check(LOGIN, send("200 OK", r#"{"status":401,"message":"x"}"#), Auth, "login_refused").await;
    check(LOGIN, send("200 OK", r#"{"status":"403"}"#), Auth, "login_refused").await;
    for body in [r#"{"status":200}"#, r#"{"status":200,"token":""}"#, r#"{"status":200,"token":null}"#] {
        check(LOGIN, send("200 OK", body), Auth, "login_no_token").await;
    }
    check(LOGIN, send("200 OK", r#"{"status":500,"token":"T"}"#), Unreachable, "login_in_body_failure").await;
    check(LOGIN, send("200 OK\r\ncontent-type: text/html", "<html>"), Format, "login_not_json").await;
    check(LOGIN, send("200 OK", r#"{"status":200,"tok"#), Unreachable, "login_cut_body").await;
    check(LOGIN, send("200 OK", ""), Unreachable, "login_cut_body").await;
    check(LOGIN, send("429 Slow", ""), Unreachable, "login_http_429").await;
    check(LOGIN, send("400 Bad", r#"{"error":"invalid_client"}"#), Unreachable, "login_http_4xx").await;
    check(LOGIN, send("404 None", ""), Unreachable, "login_http_4xx").await;
    check(LOGIN, send("302 Found\r\nlocation: /login", ""), Unreachable, "login_http_redirect").await;
    check(LOGIN, Script::Hang(Vec::new()), Unreachable, "login_timeout").await;
    check(LOGIN, Script::Send(Vec::new()), Unreachable, "login_network").await;
    check(OAUTH2, send("400 Bad", r#"{"error":"invalid_client"}"#), Auth, "login_refused").await;
    check(OAUTH2, send("400 Bad", r#"{"error":"invalid_request"}"#), Unreachable, "login_http_4xx").await;
    check(OAUTH2, send("401 No", r#"{"error":"invalid_client"}"#), Auth, "login_refused").await;
    let folder = tempfile::tempdir().expect("a folder");
    let nobody = logging_in("http://127.0.0.1:1", folder.path(), LOGIN);
    assert_fault(&fetch(&nobody).await, Unreachable, "login_connect");
}

#[tokio::test]
async fn a_token_that_is_about_to_end_is_used_while_the_login_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, mut heads) = serve(vec![
        send("200 OK", r#"{"access_token":"one","expires_in":8}"#),
        good(),
        send("503 Busy", ""),
        good(),
        good(),
    ]);
    let auth = OAUTH2.replace("refresh_before_seconds = 1", "refresh_before_seconds = 60");
    let sisdmk = logging_in(&address, folder.path(), &auth);
    fetch(&sisdmk).await.outcome.expect("a page");
    tokio::time::sleep(Duration::from_millis(4_100)).await;
    fetch(&sisdmk).await.outcome.expect("a page with the old token");
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(heads.recv().await.expect("a request").split(' ').next().expect("a method").to_owned());
    }
    assert_eq!(seen, ["POST", "GET", "POST", "GET"]);
}

#[tokio::test]
async fn a_refused_token_brings_another_login_and_others_in_flight_do_not_bring_a_third() {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, mut heads) = serve(vec![
        send("200 OK", r#"{"status":200,"token":"one"}"#),
        send("401 No", ""),
        send("200 OK", r#"{"status":200,"token":"two"}"#),
        good(),
    ]);
    let sisdmk = logging_in(&address, folder.path(), LOGIN);
    let refused = fetch(&sisdmk).await;
    assert_fault(&refused, FaultKind::Auth, "http_401");
    assert!(!refused.token_was_replaced);
    assert!(sisdmk.renew_token().expect("a secret"), "a login may bring another token");
    fetch(&sisdmk).await.outcome.expect("a page");
    let mut last = String::new();
    for _ in 0..4 {
        last = heads.recv().await.expect("a request");
    }
    assert!(last.contains("token=two "), "{last}");
}

/// Secrets as Kubernetes mounts them: the file is a link into `..data`, itself a link that is swapped at once. A
/// Vault agent renames a new file over the old one.
#[tokio::test]
async fn a_secret_that_an_agent_swaps_is_taken_up_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let version = |name: &str, content: &str| {
        let dir = folder.path().join(name);
        std::fs::create_dir(&dir).expect("a folder");
        secret(&dir, "password", content);
    };
    version("..2026_11_28_1", "first");
    symlink("..2026_11_28_1", folder.path().join("..data")).expect("a link");
    symlink("..data/password", folder.path().join("password")).expect("a link");
    let token = || send("200 OK", r#"{"status":200,"token":"T"}"#);
    let (address, mut heads) = serve(vec![send("401 No", ""), token(), good(), token(), good()]);
    let sisdmk = logging_in(&address, folder.path(), LOGIN);
    assert_fault(&fetch(&sisdmk).await, FaultKind::Auth, "login_refused");
    assert!(heads.recv().await.expect("a login").ends_with("password=first"));
    let refused = sisdmk.credential_mark();

    // A swap that leaves the content as it was is no reason to try again.
    let swap = |name: &str| {
        symlink(name, folder.path().join("..data_tmp")).expect("a link");
        std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).expect("a swap");
    };
    version("..2026_11_28_2", "first");
    swap("..2026_11_28_2");
    assert!(!sisdmk.is_another_credential(&refused));
    version("..2026_11_28_3", "second\n");
    swap("..2026_11_28_3");
    std::fs::remove_dir_all(folder.path().join("..2026_11_28_1")).expect("the old one goes");
    assert!(sisdmk.is_another_credential(&refused));
    sisdmk.begin();
    fetch(&sisdmk).await.outcome.expect("a page");
    assert!(heads.recv().await.expect("a login").ends_with("password=second"));
    assert!(heads.recv().await.expect("a request").starts_with("GET "));

    // As Vault's agent does it, and while no file is there the former secret stays.
    std::fs::remove_file(folder.path().join("password")).expect("a moment without");
    assert!(!sisdmk.is_another_credential(&sisdmk.credential_mark()));
    secret(folder.path(), "password.next", "third");
    std::fs::rename(folder.path().join("password.next"), folder.path().join("password")).expect("a rename");
    sisdmk.begin();
    fetch(&sisdmk).await.outcome.expect("a page");
    assert!(heads.recv().await.expect("a login").ends_with("password=third"));
}

#[test]
fn a_refused_credential_is_known_again_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = logging_in("http://127.0.0.1:1", folder.path(), LOGIN);
    let refused = before.credential_mark();
    assert!(!refused.contains("hunter2") && refused.len() == 16);
    drop(before);
    // Touched, or mounted anew: the content is what counts.
    secret(folder.path(), "password", "hunter2+& 1\n");
    let after = logging_in("http://127.0.0.1:1", folder.path(), LOGIN);
    assert!(!after.is_another_credential(&refused));
    secret(folder.path(), "password", "another");
    assert!(after.is_another_credential(&refused));
}

/// What a log would hold at the most talkative level, those of the HTTP client included.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics while holding it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_secret_nor_token_stands_in_a_log_an_error_or_a_debug_text() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber alone, `tracing` asks the thread that meets a place in the code first whether anybody listens
    // there, and that may be a thread of another test. With two it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().expect("a folder");
    let (address, _heads) = serve(vec![
        send("200 OK", r#"{"status":200,"token":"TOPSECRET"}"#),
        good(),
        send("401 No", r#"{"message":"TOPSECRET"}"#),
        send("302 Moved\r\nlocation: http://127.0.0.1:1/?token=TOPSECRET", ""),
        Script::Send(b"garbage TOPSECRET\r\n\r\n".to_vec()),
        Script::Hang(Vec::new()),
    ]);
    let sisdmk = logging_in(&address, folder.path(), LOGIN);
    let mut shown = String::new();
    for _ in 0..6 {
        let answer = fetch(&sisdmk).await;
        shown.push_str(&format!("{answer:?} {sisdmk:?}"));
    }
    let log = String::from_utf8_lossy(&log.0.lock().expect("the test is over")).into_owned();
    assert!(log.contains("login"), "the log was listened to: {log}");
    for (what, text) in [("log", &log), ("debug text", &shown)] {
        for hidden in ["TOPSECRET", "hunter2", "token="] {
            assert!(!text.contains(hidden), "{hidden} stands in the {what}:\n{text}");
        }
    }
}
