//! The quarantine store by the admin endpoint: what is in it, how it looks from outside, and another try.
//!
//! Values never leave: a page is shown as its outline. Another try reads the kept bytes with the profile of this
//! process, because that is the one which will read the source; if they can be read now, the region is polled
//! again from where its slice began.

use super::{Admin, Command, error, refused};
use crate::config::Config;
use crate::edge::quarantine::{Item, Quarantine, QuarantineFault};
use crate::page;
use crate::profile::{Answer, Paging};
use crate::region::Region;
use crate::shape;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Json, Response};
use schemas::layout::Layout;
use serde_json::json;
use tokio::sync::oneshot;

/// What these handlers need beside the loop.
#[derive(Debug)]
pub struct Shelf {
    store: Quarantine,
    answer: Answer,
    paging: Paging,
    layout: Layout,
    record_bytes_max: usize,
}

impl Shelf {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            store: config.quarantine.clone(),
            answer: config.profile.answer.clone(),
            paging: config.profile.paging.clone(),
            layout: config.api.layout.clone(),
            record_bytes_max: config.limits.record_bytes_max,
        }
    }

    /// Our word for why these bytes still cannot be published; none if they can.
    fn still_wrong(&self, id: &str, bytes: &[u8]) -> Option<&'static str> {
        if id.ends_with(".record") {
            return (bytes.len() > self.record_bytes_max).then_some("record_too_large");
        }
        match page::read(bytes, None, &self.answer, &self.paging) {
            Err(fault) => Some(fault.code()),
            Ok(page) => {
                let records: Vec<&[u8]> = page.records.iter().filter_map(|range| bytes.get(range.clone())).collect();
                shape::lost_its_fields(&records, &self.layout).then_some("fields_missing")
            }
        }
    }
}

pub(super) async fn list(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if let Some(refused) = admin.refuse(&headers) {
        return refused;
    }
    match admin.shelf.store.list().await {
        Ok(items) => Json(json!({ "items": items })).into_response(),
        Err(fault) => failed(&fault),
    }
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Path((batch, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = admin.refuse(&headers) {
        return refused;
    }
    let (item, bytes) = match admin.shelf.store.read(&format!("{batch}/{name}")).await {
        Ok(found) => found,
        Err(fault) => return failed(&fault),
    };
    let shelf = &admin.shelf;
    let differs =
        if name.ends_with(".page") { shape::differences(&bytes, &shelf.answer, &shelf.layout) } else { Vec::new() };
    let still = shelf.still_wrong(&item.id, &bytes);
    Json(json!({ "item": item, "outline": shape::outline(&bytes), "differs_now": differs, "still_wrong": still }))
        .into_response()
}

pub(super) async fn retry(
    State(admin): State<Admin>,
    Path((batch, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = admin.refuse(&headers) {
        return refused;
    }
    let (item, bytes) = match admin.shelf.store.read(&format!("{batch}/{name}")).await {
        Ok(found) => found,
        Err(fault) => return failed(&fault),
    };
    if let Some(code) = admin.shelf.still_wrong(&item.id, &bytes) {
        let message = format!("it still cannot be published ({code}): correct the profile and restart the producer");
        return error(StatusCode::CONFLICT, "still_wrong", &message, None);
    }
    let Item { about: Some(about), .. } = item else {
        let message = "what is known about it is lost; poll its region with `sisdmk poll --region`";
        return error(StatusCode::CONFLICT, "region_unknown", message, None);
    };
    // Where the source is read by facility there is no region to ask for: everything is asked again.
    let region = Region::parse(&about.region).filter(Region::is_known);
    let (reply, answer) = oneshot::channel();
    match admin.ask(Command::Poll { region, since: about.since, reply }, answer).await {
        Ok(batch_id) => {
            let body = json!({ "batch_id": batch_id, "region": about.region, "since": about.since });
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
        Err(refusal) => refused(refusal),
    }
}

fn failed(fault: &QuarantineFault) -> Response {
    match fault {
        QuarantineFault::Missing => error(StatusCode::NOT_FOUND, "not_found", "not in quarantine", None),
        QuarantineFault::BadId => {
            error(StatusCode::BAD_REQUEST, "bad_id", "not the id of an object in quarantine", None)
        }
        QuarantineFault::Store(_) | QuarantineFault::Closed(_) | QuarantineFault::Open(_) => {
            tracing::error!(error = platform::exit::flat(fault), "the quarantine store cannot be read");
            error(StatusCode::BAD_GATEWAY, "store_failed", "the quarantine store does not answer; see the log", None)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::edge::admin::{COMMANDS_MAX, Status, router};
    use crate::edge::quarantine::{Kept, Place};
    use crate::profile::Profile;
    use platform::http::{self, Health};
    use platform::secrets::SecretFile;
    use platform::shutdown::Shutdown;
    use platform::telemetry::TraceContext;
    use schemas::Timestamp;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use uuid::Uuid;

    const PROFILE: &str = include_str!("../../../profiles/sdmk-modified.toml");

    pub(in crate::edge::admin) fn shelf(folder: PathBuf) -> Shelf {
        Shelf {
            store: Quarantine::new(Place::Folder(folder), 1 << 20, Duration::from_secs(3_600)),
            answer: Profile::parse(PROFILE).expect("the shipped profile").answer,
            paging: Profile::parse(PROFILE).expect("the shipped profile").paging,
            layout: Layout::from_profile_toml(PROFILE).expect("the shipped profile"),
            record_bytes_max: 50,
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_listed_shown_without_values_and_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        std::fs::write(&token, "hunter22").expect("a file");
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let shelf = shelf(folder.path().join("quarantine"));
        let store = shelf.store.clone();
        let (commands, mut wishes) = mpsc::channel(COMMANDS_MAX);
        let routes =
            router(Some(Arc::new(SecretFile::new(token))), commands, Arc::new(Status::default()), Arc::new(shelf));
        let listen = "127.0.0.1:0".parse().expect("an address");
        let server = http::serve("producer.listen", listen, Health::new(&[]), routes, Shutdown::new());
        let server = server.await.expect("a free port");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let ask = async |verb: &str, path: &str, token: &str| {
            let method = reqwest::Method::from_bytes(verb.as_bytes()).expect("a method");
            let url = format!("http://{}/admin/quarantine{path}", server.address());
            let answer = client.request(method, url).bearer_auth(token).send().await.expect("an answer");
            (answer.status().as_u16(), answer.json::<serde_json::Value>().await.expect("JSON"))
        };
        let (batch, since) = (Uuid::from_u128(1), Timestamp::parse_rfc3339("2026-11-01T00:00:00Z"));
        let about = |code: &str| Kept {
            kept_at: Timestamp(0),
            source: "sdmk-modified/0".to_owned(),
            region: "32".to_owned(),
            since,
            code: code.to_owned(),
            differs: vec!["data is missing".to_owned()],
        };
        let renamed = br#"{"status":200,"totalRowCount":1,"rows":[{"NIK":"SECRET"}]}"#.to_vec();
        store
            .keep_page(batch, Uuid::from_u128(2), renamed, &about("records_missing"), &TraceContext::new_root())
            .await
            .expect("kept");
        // The profile was corrected meanwhile: what was wrong once is right now.
        let good = br#"{"status":200,"totalRowCount":1,"data":[{"NIK":"SECRET"}]}"#.to_vec();
        store
            .keep_page(batch, Uuid::from_u128(3), good, &about("records_missing"), &TraceContext::new_root())
            .await
            .expect("kept");
        store
            .keep_record(
                batch,
                Uuid::from_u128(3),
                7,
                vec![b' '; 51],
                &about("record_too_large"),
                &TraceContext::new_root(),
            )
            .await
            .expect("kept");

        assert_eq!(ask("GET", "", "hunter23").await.0, 401);
        let (status, listed) = ask("GET", "", "hunter22").await;
        let ids: Vec<&str> =
            listed["items"].as_array().expect("items").iter().filter_map(|item| item["id"].as_str()).collect();
        assert_eq!((status, ids.len(), &listed["items"][0]["region"]), (200, 3, &json!("32")), "{listed}");

        let wrong = format!("/{batch}/{}.page", Uuid::from_u128(2));
        let (status, shown) = ask("GET", &wrong, "hunter22").await;
        assert_eq!((status, &shown["differs_now"]), (200, &json!(["data is missing", "rows is new (list)"])));
        assert_eq!(shown["still_wrong"], "records_missing");
        assert!(
            shown["outline"].to_string().contains("rows[].NIK") && !shown.to_string().contains("SECRET"),
            "{shown}"
        );

        for (path, status, code) in [
            (format!("{wrong}/retry"), 409, "still_wrong"),
            (format!("/{batch}/{}.7.record/retry", Uuid::from_u128(3)), 409, "still_wrong"),
            (format!("/{batch}/{}.page/retry", Uuid::from_u128(9)), 404, "not_found"),
            (format!("/{batch}/..%2Ftoken/retry"), 400, "bad_id"),
            (format!("/{batch}/{}.page.json/retry", Uuid::from_u128(2)), 400, "bad_id"),
        ] {
            let (found, answer) = ask("POST", &path, "hunter22").await;
            assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{path}");
        }
        let loop_ = tokio::spawn(async move {
            let Some(Command::Poll { region, since, reply }) = wishes.recv().await else { panic!("a poll") };
            let _ = reply.send(Ok(Uuid::from_u128(77)));
            (region.map(|region| region.to_string()), since)
        });
        let (status, answer) = ask("POST", &format!("/{batch}/{}.page/retry", Uuid::from_u128(3)), "hunter22").await;
        assert_eq!((status, answer["batch_id"].as_str()), (202, Some(&*Uuid::from_u128(77).to_string())));
        assert_eq!(loop_.await.expect("a poll"), (Some("32".to_owned()), since), "from where its slice began");
    }
}
