//! The schema registry: look-ups for everybody, changes for `sisdmk` alone.
//!
//! A program never registers a schema by itself: [`Registry::schema_id`] only looks up. Nothing is
//! cached here, neither an answer nor an outage: callers ask once at their start and keep the id.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Method, StatusCode};
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id_and_type, get_schema_by_subject_and_version, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{SchemaType, SuppliedSchema};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exit::Failure;
use crate::secrets::{self, SecretText};
use crate::settings::Settings;
use crate::telemetry::TraceContext;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the registry did not answer as wished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryFault {
    /// There is no such subject, version or id.
    #[error("find {what} in the schema registry")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The subject is there, but none of its versions is this schema.
    #[error("find this schema among the versions of subject {subject}")]
    Different {
        /// The subject.
        subject: String,
    },
    /// The registry refuses the change, for example because the schema is not compatible.
    #[error("change {what} in the schema registry: it refuses ({reason})")]
    Refused {
        /// What was to be changed.
        what: String,
        /// The registry's words.
        reason: String,
    },
    /// The registry does not let this user in.
    #[error("use the schema registry: access denied ({status})")]
    Denied {
        /// The HTTP status.
        status: u16,
    },
    /// No answer, or an answer that only a later try can better.
    #[error("reach the schema registry: {reason}")]
    Unreachable {
        /// What happened on the way.
        reason: String,
    },
}

impl RegistryFault {
    /// Whether the same call may work later without a change.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// A client of the registry's Confluent API.
#[derive(Clone)]
pub struct Registry {
    url: String,
    ca: Option<reqwest::Certificate>,
    user: Option<(String, Option<SecretText>)>,
    client: Client,
}

impl Registry {
    /// From `registry.*`.
    ///
    /// # Errors
    /// Exit 2 when `registry.url` is missing, or a file it needs is not fit for use.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        settings.require(&["registry.url"])?;
        let ca = settings.opt_path("registry.ca_file").map(|path| certificate(path.to_owned())).transpose()?;
        let password = settings.opt_path("registry.password_file").map(secrets::read_text).transpose()?;
        let user = settings.opt_text("registry.username").map(|user| (user.to_owned(), password));
        let client = builder(ca.as_ref())
            .build()
            .map_err(|error| Failure::config("the schema registry's client cannot be made").because(error))?;
        let url = settings.text("registry.url").trim_end_matches('/').to_owned();
        Ok(Self { url, ca, user, client })
    }

    /// The id under which this schema is registered for the subject. It is looked up, never made.
    ///
    /// Schemas are compared by meaning (as JSON), not by their text.
    ///
    /// # Errors
    /// `NotFound` without the subject, `Different` when none of its versions is this schema,
    /// `Unreachable`, `Denied`.
    pub async fn schema_id(&self, subject: &str, schema: &str) -> Result<u32, RegistryFault> {
        let path = format!("/subjects/{subject}");
        let body = json!({ "schema": schema, "schemaType": "AVRO" });
        let what = format!("subject {subject}");
        match self.call(Method::POST, &path, Some(body), &what).await {
            Ok(found) => match found.get("id").and_then(Value::as_u64).map(u32::try_from) {
                Some(Ok(id)) => return Ok(id),
                _ => return Err(RegistryFault::Unreachable { reason: "an answer without an id".to_owned() }),
            },
            // Not there by its text. It may be by its meaning, or the subject may be missing.
            Err(RegistryFault::NotFound { .. } | RegistryFault::Refused { .. }) => {}
            Err(fault) => return Err(fault),
        }
        for version in self.versions(subject).await?.into_iter().rev() {
            let registered = get_schema_by_subject_and_version(&self.converter()?, subject, Some(version))
                .await
                .map_err(|error| fault(&what, &error))?;
            if same(&registered.schema, schema) {
                return Ok(registered.id);
            }
        }
        Err(RegistryFault::Different { subject: subject.to_owned() })
    }

    /// Registers the schema as a version of the subject, if it is not one already, and returns its id.
    ///
    /// # Errors
    /// `Refused` when it is not compatible; `Unreachable`, `Denied`.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryFault> {
        match self.schema_id(subject, schema).await {
            Err(RegistryFault::NotFound { .. } | RegistryFault::Different { .. }) => {}
            known => return known,
        }
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
        post_schema(&self.converter()?, subject.to_owned(), supplied)
            .await
            .map(|registered| registered.id)
            .map_err(|error| fault(&format!("subject {subject}"), &error))
    }

    /// The versions of a subject, ascending.
    ///
    /// # Errors
    /// `NotFound` without the subject; `Unreachable`, `Denied`.
    pub async fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryFault> {
        let answer = self
            .call(Method::GET, &format!("/subjects/{subject}/versions"), None, &format!("subject {subject}"))
            .await?;
        let versions: Option<Vec<u32>> = answer.as_array().and_then(|versions| {
            versions.iter().map(|version| version.as_u64().and_then(|version| u32::try_from(version).ok())).collect()
        });
        let mut versions = versions
            .ok_or_else(|| RegistryFault::Unreachable { reason: "an answer that is no list of versions".to_owned() })?;
        versions.sort_unstable();
        Ok(versions)
    }

    /// One version of a subject: its id and its text. None stands for the latest.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`, `Denied`.
    pub async fn schema(&self, subject: &str, version: Option<u32>) -> Result<(u32, String), RegistryFault> {
        get_schema_by_subject_and_version(&self.converter()?, subject, version)
            .await
            .map(|registered| (registered.id, registered.schema))
            .map_err(|error| fault(&format!("subject {subject}"), &error))
    }

    /// The text of the schema with that id.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`, `Denied`.
    pub async fn schema_by_id(&self, id: u32) -> Result<String, RegistryFault> {
        get_schema_by_id_and_type(id, &self.converter()?, SchemaType::Avro)
            .await
            .map(|registered| registered.schema)
            .map_err(|error| fault(&format!("schema id {id}"), &error))
    }

    /// Whether the schema may become the next version of the subject; the registry's reasons when not.
    /// A subject that does not exist takes any schema.
    ///
    /// # Errors
    /// `Unreachable`, `Denied`.
    pub async fn is_compatible(&self, subject: &str, schema: &str) -> Result<Result<(), Vec<String>>, RegistryFault> {
        let path = format!("/compatibility/subjects/{subject}/versions?verbose=true");
        let body = json!({ "schema": schema, "schemaType": "AVRO" });
        let answer = match self.call(Method::POST, &path, Some(body), &format!("subject {subject}")).await {
            Err(RegistryFault::NotFound { .. }) => return Ok(Ok(())),
            Err(RegistryFault::Refused { reason, .. }) => return Ok(Err(vec![reason])),
            answer => answer?,
        };
        match answer.get("is_compatible").and_then(Value::as_bool) {
            Some(true) => Ok(Ok(())),
            Some(false) => {
                let messages = answer.get("messages").and_then(Value::as_array);
                let texts = messages.map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect());
                Ok(Err(texts.unwrap_or_default()))
            }
            None => Err(RegistryFault::Unreachable { reason: "an answer without a verdict".to_owned() }),
        }
    }

    /// The compatibility level of a subject's own; none where it follows the registry's default.
    ///
    /// # Errors
    /// `Unreachable`, `Denied`.
    pub async fn compatibility(&self, subject: &str) -> Result<Option<String>, RegistryFault> {
        match self.call(Method::GET, &format!("/config/{subject}"), None, &format!("subject {subject}")).await {
            Ok(answer) => Ok(answer.get("compatibilityLevel").and_then(Value::as_str).map(str::to_owned)),
            Err(RegistryFault::NotFound { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Sets the compatibility level of a subject, such as `FULL_TRANSITIVE`.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`, `Denied`.
    pub async fn set_compatibility(&self, subject: &str, level: &str) -> Result<(), RegistryFault> {
        let what = format!("the compatibility of subject {subject}");
        self.call(Method::PUT, &format!("/config/{subject}"), Some(json!({ "compatibility": level })), &what)
            .await
            .map(|_| ())
    }

    /// One call; the answer's JSON on success.
    async fn call(&self, method: Method, path: &str, body: Option<Value>, what: &str) -> Result<Value, RegistryFault> {
        let unreachable = |error: reqwest::Error| RegistryFault::Unreachable { reason: told(error) };
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .header("x-request-id", Uuid::now_v7().to_string())
            .header("traceparent", trace())
            .header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, password.as_ref().map(SecretText::expose));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/vnd.schemaregistry.v1+json").body(body.to_string());
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        if status.is_success() {
            return serde_json::from_str(&text)
                .map_err(|_| RegistryFault::Unreachable { reason: "an answer that is not JSON".to_owned() });
        }
        let reason = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|body| body.get("message").and_then(Value::as_str).map(str::to_owned))
            .unwrap_or_else(|| status.to_string());
        Err(by_status(status.as_u16(), what, reason))
    }

    /// Settings of the converter for one call: a request id belongs to one request.
    fn converter(&self) -> Result<SrSettings, RegistryFault> {
        let mut settings = SrSettings::new_builder(self.url.clone());
        let request_id = Uuid::now_v7().to_string();
        settings.set_timeout(CALL_TIMEOUT).add_header("x-request-id", &request_id).add_header("traceparent", &trace());
        if let Some((user, password)) = &self.user {
            settings.set_basic_authorization(user, password.as_ref().map(SecretText::expose));
        }
        settings
            .build_with(builder(self.ca.as_ref()))
            .map_err(|error| RegistryFault::Unreachable { reason: error.error })
    }
}

/// A trace of its own, of which nothing is recorded: the registry's log can still be joined with its caller's.
fn trace() -> String {
    TraceContext::new_root_sampled(0.0).traceparent()
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("url", &self.url).finish_non_exhaustive()
    }
}

fn builder(ca: Option<&reqwest::Certificate>) -> ClientBuilder {
    let builder = Client::builder()
        .timeout(CALL_TIMEOUT)
        .connect_timeout(CALL_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    match ca {
        Some(ca) => builder.tls_certs_merge([ca.clone()]),
        None => builder,
    }
}

fn certificate(path: PathBuf) -> Result<reqwest::Certificate, Failure> {
    let failed = || Failure::config(format!("registry.ca_file: {} cannot be used", path.display()));
    let pem = std::fs::read(&path).map_err(|error| failed().because(error))?;
    reqwest::Certificate::from_pem(&pem).map_err(|error| failed().because(error))
}

/// Whether two schemas mean the same: equal as JSON, whatever their white space and key order.
fn same(left: &str, right: &str) -> bool {
    match (serde_json::from_str::<Value>(left), serde_json::from_str::<Value>(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => false,
    }
}

/// The text of a transport error with its causes, without the address.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn by_status(status: u16, what: &str, reason: String) -> RegistryFault {
    match status {
        404 => RegistryFault::NotFound { what: what.to_owned() },
        401 | 403 => RegistryFault::Denied { status },
        400 | 409 | 422 => RegistryFault::Refused { what: what.to_owned(), reason },
        _ => RegistryFault::Unreachable { reason: format!("status {status}: {reason}") },
    }
}

/// The converter's error, sorted. It keeps the status in its text only; where it cannot be found
/// there the fault is one of the world, which is the careful reading: it is tried again.
fn fault(what: &str, error: &SRCError) -> RegistryFault {
    let status = error
        .error
        .rsplit_once("status ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .and_then(|status| status.parse::<u16>().ok())
        .filter(|status| StatusCode::from_u16(*status).is_ok());
    let reason = error.cause.clone().unwrap_or_default();
    match status {
        Some(status) => by_status(status, what, reason),
        None => RegistryFault::Unreachable { reason: error.error.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_compared_by_meaning() {
        let check = |left: &str, right: &str, equal: bool| assert_eq!(same(left, right), equal, "{left} {right}");
        check(r#"{"type":"record","name":"a"}"#, "{ \"name\": \"a\",\n \"type\": \"record\" }", true);
        check(r#"["null","string"]"#, r#"["string","null"]"#, false);
        check(r#""string""#, r#""string""#, true);
        check("{", "{", false);
    }

    #[test]
    fn an_outage_is_never_taken_for_a_missing_schema() {
        let converter = |status: &str| {
            let text = format!("HTTP request to schema registry failed with status {status}");
            fault("subject s", &SRCError::non_retryable_without_cause(&text))
        };
        assert_eq!(converter("404 Not Found"), RegistryFault::NotFound { what: "subject s".into() });
        assert_eq!(converter("401 Unauthorized"), RegistryFault::Denied { status: 401 });
        for status in ["500 Internal Server Error", "502 Bad Gateway", "504 Gateway Timeout", "429 Too Many Requests"] {
            assert!(converter(status).is_retriable(), "{status}");
        }
        let other = fault(
            "x",
            &SRCError::retryable_with_cause(std::io::Error::other("refused"), "http call to schema registry failed"),
        );
        assert!(other.is_retriable());
        assert!(matches!(by_status(409, "s", "no".into()), RegistryFault::Refused { .. }));
    }
}
