//! Who may ask: a token given at start, or one that was issued by a login.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::calendar::{SECOND, Stamp};
use crate::message::{Reply, Request};
use crate::pen::Pen;

/// The credentials that a source accepts. Files are read at every use, so that replacing one takes effect at once.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// A bearer token; white space around it does not count.
    pub(crate) token_file: Option<PathBuf>,
    /// Any token that is not empty.
    pub(crate) token_any: bool,
    /// Of `POST /rest/login_ws`.
    pub(crate) username: Option<String>,
    /// Its password.
    pub(crate) password_file: Option<PathBuf>,
    /// Of `POST /oauth2/v1/accesstoken`.
    pub(crate) client_id: Option<String>,
    /// Its secret.
    pub(crate) client_secret_file: Option<PathBuf>,
    /// How long an issued token lasts.
    pub(crate) token_seconds: u32,
}

impl Accepted {
    /// Whether anybody can get in at all.
    pub(crate) fn is_empty(&self) -> bool {
        !self.token_any && self.token_file.is_none() && self.username.is_none() && self.client_id.is_none()
    }
}

#[derive(Debug)]
pub(crate) struct Access {
    accepted: Accepted,
    issued: Mutex<BTreeMap<String, Stamp>>,
}

impl Access {
    pub(crate) fn new(accepted: Accepted) -> Self {
        Self { accepted, issued: Mutex::default() }
    }

    /// Whether the request carries a token that is valid: in the header, or in the query as `token`.
    pub(crate) fn allows(&self, request: &Request, now: Stamp) -> bool {
        let bearer = request.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
        let Some(token) = bearer.or_else(|| request.parameter("token")).map(str::trim).filter(|it| !it.is_empty())
        else {
            return false;
        };
        if self.accepted.token_any {
            return true;
        }
        if self.accepted.token_file.as_ref().is_some_and(|file| secret(file).as_deref() == Some(token)) {
            return true;
        }
        let issued = self.issued.lock().expect("nobody panics while holding it");
        issued.get(token).is_some_and(|until| now < *until)
    }

    /// Issued tokens are worth nothing from now on. Result: how many there were.
    pub(crate) fn revoke_all(&self) -> usize {
        std::mem::take(&mut *self.issued.lock().expect("nobody panics while holding it")).len()
    }

    fn issue(&self, now: Stamp) -> String {
        // Whoever looks for a token where none may be knows it by its beginning.
        let token = format!("issued-{}", uuid::Uuid::new_v4().simple());
        let until = Stamp(now.0 + i64::from(self.accepted.token_seconds) * SECOND);
        let mut issued = self.issued.lock().expect("nobody panics while holding it");
        issued.retain(|_, until| now < *until);
        issued.insert(token.clone(), until);
        token
    }

    /// `POST /rest/login_ws`.
    pub(crate) fn login(&self, request: &Request, now: Stamp) -> Reply {
        let given = (request.form_field("username"), request.form_field("password"));
        let expected = (self.accepted.username.clone(), self.accepted.password_file.as_ref().and_then(secret));
        if !matches(&given, &expected) {
            return Reply::source_status(401, 401, "Username atau password salah");
        }
        let mut body = Vec::new();
        let mut pen = Pen::new(&mut body);
        pen.open(b'{');
        pen.text("token", Some(&self.issue(now)));
        pen.close(b'}');
        Reply::json(200, body)
    }

    /// `POST /oauth2/v1/accesstoken?grant_type=client_credentials`.
    pub(crate) fn oauth2(&self, request: &Request, now: Stamp) -> Reply {
        if request.form_field("grant_type").as_deref() != Some("client_credentials") {
            return oauth2_error(400, "unsupported_grant_type");
        }
        let given = (request.form_field("client_id"), request.form_field("client_secret"));
        let expected = (self.accepted.client_id.clone(), self.accepted.client_secret_file.as_ref().and_then(secret));
        if !matches(&given, &expected) {
            return oauth2_error(401, "invalid_client");
        }
        let mut body = Vec::new();
        let mut pen = Pen::new(&mut body);
        pen.open(b'{');
        pen.text("access_token", Some(&self.issue(now)));
        pen.raw("expires_in", &self.accepted.token_seconds.to_string());
        pen.text("token_type", Some("Bearer"));
        pen.close(b'}');
        Reply::json(200, body)
    }
}

/// The name and the secret are both set, and both are the expected ones.
fn matches(given: &(Option<String>, Option<String>), expected: &(Option<String>, Option<String>)) -> bool {
    expected.0.is_some() && expected.1.is_some() && given == expected
}

fn oauth2_error(status: u16, code: &str) -> Reply {
    let mut body = Vec::new();
    let mut pen = Pen::new(&mut body);
    pen.open(b'{');
    pen.text("error", Some(code));
    pen.close(b'}');
    Reply::json(status, body)
}

/// A secret file's content without white space around it; none if it cannot be read or is empty.
fn secret(file: &PathBuf) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
