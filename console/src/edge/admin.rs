//! The producer's admin endpoint, the only way in which this command changes a running producer.

use std::time::Duration;

use platform::exit::Failure;
use platform::secrets::SecretFile;
use platform::settings::{Link, Settings, links};
use serde_json::Value;
use uuid::Uuid;

use crate::outcome::Refusal;
use crate::table::clean;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a whole answer; the endpoint answers from memory.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The endpoint with its token.
pub(crate) struct Admin {
    client: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Admin {
    /// Reads address and token from the configuration; connects to nothing yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        links(settings, &[Link::Admin])?;
        let token = settings
            .opt_path("producer.admin_token_file")
            .map(|path| SecretFile::new(path).read_text().map(|token| token.expose().to_owned()))
            .transpose()
            .map_err(Failure::from)?;
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            // The token is for this endpoint alone: it is never carried to another address.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent("sisdmk")
            .build()
            .map_err(|error| Failure::environment("cannot start the HTTP client").because(error.without_url()))?;
        Ok(Self { client, base: settings.text("producer.admin_url").trim_end_matches('/').to_owned(), token })
    }

    /// `GET /admin/status`.
    pub(crate) async fn status(&self) -> Result<Value, Refusal> {
        self.ask(self.client.get(self.url("status"))).await
    }

    /// `POST /admin/pause` or `/admin/resume`; the status after it.
    pub(crate) async fn switch(&self, what: &str) -> Result<Value, Refusal> {
        self.ask(self.client.post(self.url(what))).await
    }

    /// `POST /admin/poll`; the answer with the batch id.
    pub(crate) async fn poll(&self, wish: &Value) -> Result<Value, Refusal> {
        self.ask(self.client.post(self.url("poll")).json(wish)).await
    }

    /// `GET /admin/quarantine`, and what is below it: `path` is empty or `/<id>`.
    pub(crate) async fn quarantine(&self, path: &str) -> Result<Value, Refusal> {
        self.ask(self.client.get(self.url(&format!("quarantine{path}")))).await
    }

    /// `POST /admin/quarantine/<id>/retry`; the answer with the batch id.
    pub(crate) async fn quarantine_retry(&self, id: &str) -> Result<Value, Refusal> {
        self.ask(self.client.post(self.url(&format!("quarantine/{id}/retry")))).await
    }

    fn url(&self, what: &str) -> String {
        format!("{}/admin/{what}", self.base)
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, Refusal> {
        let trace = platform::telemetry::TraceContext::new_root();
        let mut request =
            request.header("X-Request-ID", Uuid::now_v7().to_string()).header("traceparent", trace.traceparent());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let unreachable = |error: reqwest::Error| {
            let failure = Failure::environment(format!("the producer does not answer at {}", self.base))
                .because(innermost(&error))
                .hint("is sisdmk-producer running? producer.admin_url must be the address of its producer.listen");
            Refusal::new("producer_unreachable", failure)
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(unreachable)?;
        judge(status, &body)
    }
}

/// The cause below all others: the outer ones only repeat that a request was sent.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER_MAX.as_secs());
    }
    let mut next = std::error::Error::source(error);
    let mut cause = "the connection broke".to_owned();
    while let Some(deeper) = next {
        cause = deeper.to_string();
        next = deeper.source();
    }
    cause
}

/// What an answer of the endpoint means.
fn judge(status: u16, body: &[u8]) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if (200..300).contains(&status) && value.is_object() {
        return Ok(value);
    }
    let told = |name: &str| value["error"][name].as_str().map(clean).unwrap_or_default();
    Err(match (status, told("code").as_str()) {
        (401, _) => Refusal::new(
            "unauthorized",
            Failure::config("the producer does not accept this token")
                .hint("producer.admin_token_file must hold the same token here and at the producer"),
        ),
        (403, _) => Refusal::new(
            "forbidden",
            Failure::config("the producer's admin endpoint is closed").hint(
                "set producer.admin_token_file for the producer and for this command, then start the producer anew",
            ),
        ),
        (409, "batch_running") => Refusal::new(
            "batch_running",
            Failure::runtime("a batch is already running")
                .hint("`sisdmk batches` shows it; ask again when it has ended"),
        ),
        (409, "still_wrong") => Refusal::new(
            "still_wrong",
            Failure::runtime(told("message")).hint("`sisdmk quarantine show` says what differs from the profile"),
        ),
        (404, "not_found") => Refusal::new(
            "not_found",
            Failure::runtime("that is not in quarantine").hint("`sisdmk quarantine list` shows what is"),
        ),
        (409, _) => Refusal::new(
            "conflict",
            Failure::runtime(format!("the producer refuses: {}", told("message")))
                .hint("`sisdmk doctor` shows its state"),
        ),
        (400 | 422, _) => Refusal::new(
            "refused",
            Failure::config(format!("the producer does not take this: {}", told("message")))
                .hint("check --region and --since"),
        ),
        (404 | 405, _) | (200..300, _) => Refusal::new(
            "not_a_producer",
            Failure::environment("what answers there is not a producer of this release")
                .hint("producer.admin_url must be the address of producer.listen"),
        ),
        (status, _) => Refusal::new(
            "producer_failed",
            Failure::runtime(format!("the producer answers with status {status}: {}", told("message")))
                .hint("the producer's log tells more, by the request's id"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_what_an_operator_can_act_on() {
        let check = |status: u16, body: &str, code: &str, exit: u8| {
            let refusal = judge(status, body.as_bytes()).expect_err(body);
            assert_eq!((refusal.code, refusal.failure.exit.code()), (code, exit), "{status} {body}");
        };
        check(401, "", "unauthorized", 2);
        check(403, r#"{"error":{"code":"forbidden","message":"x"}}"#, "forbidden", 2);
        check(409, r#"{"error":{"code":"batch_running"}}"#, "batch_running", 1);
        check(409, r#"{"error":{"code":"stopped","message":"auth"}}"#, "conflict", 1);
        check(409, r#"{"error":{"code":"still_wrong","message":"x"}}"#, "still_wrong", 1);
        check(404, r#"{"error":{"code":"not_found","message":"x"}}"#, "not_found", 1);
        check(400, r#"{"error":{"code":"region","message":"unknown"}}"#, "refused", 2);
        check(200, "<html>", "not_a_producer", 3);
        check(404, "", "not_a_producer", 3);
        check(500, "", "producer_failed", 1);
        assert_eq!(judge(202, br#"{"batch_id":"x"}"#).expect("an answer")["batch_id"], "x");
    }
}
