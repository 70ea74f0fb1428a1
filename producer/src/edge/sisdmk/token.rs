//! The token: given to us in a file, or asked for with a name and a secret.
//!
//! It lives in memory only. One login goes out at a time, however many slices are read at once: whoever finds
//! the token missing or about to end waits for the one that is under way and takes its result, good or bad.
//! A login that was refused is not repeated until the secret is another one, or somebody says so
//! ([`Tokens::begin`]): sources lock accounts.

use crate::config::Credential;
use crate::cycle::{Fault, FaultKind};
use crate::profile::{Auth, AuthKind};
use platform::secrets::{SecretFault, SecretFile, SecretText};
use schemas::identity::IdentityKey;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a token that is about to end is still used after a login that failed, before the next one.
const RETRY: Duration = Duration::from_secs(5);

/// The shortest life of a token: less would be a login for every request.
const LIFE_MIN: Duration = Duration::from_secs(2);

/// A token, and its number: it grows with each other one.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) number: u64,
    pub(super) text: SecretText,
}

/// What a login brought.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) text: SecretText,
    /// The token's life, where it is known.
    pub(super) life: Option<Duration>,
}

/// Where tokens come from.
#[derive(Debug)]
pub(super) struct Tokens {
    kind: AuthKind,
    user: Option<String>,
    file: SecretFile,
    refresh_before: Duration,
    held: Mutex<Held>,
    /// Whoever holds it logs in.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held {
    /// The content of the file, as it was last read.
    secret: SecretText,
    number: u64,
    token: Option<Current>,
    /// The login was refused with this secret.
    refused: Option<Fault>,
    /// Logins that were answered or failed, and how the last one failed.
    logins: u64,
    failed: Option<Fault>,
}

#[derive(Debug, Clone)]
struct Current {
    text: SecretText,
    renew_at: Option<Instant>,
    ends_at: Option<Instant>,
}

impl Held {
    /// The token, unless it is missing or about to end.
    fn usable(&self, now: Instant) -> Option<Token> {
        let token = self.token.as_ref().filter(|token| token.renew_at.is_none_or(|at| now < at))?;
        Some(Token { number: self.number, text: token.text.clone() })
    }

    fn put(&mut self, token: Option<Current>) {
        self.token = token;
        self.number += 1;
    }
}

impl Tokens {
    /// Reads the secret; nobody is asked.
    pub(super) fn new(auth: &Auth, credential: &Credential) -> Result<Self, SecretFault> {
        let file = SecretFile::new(&credential.file);
        let secret = file.read_text()?;
        let refresh_before = auth.login.as_ref().map_or(0, |login| login.refresh_before_seconds);
        let tokens = Self {
            kind: auth.kind,
            user: credential.user.clone(),
            file,
            refresh_before: Duration::from_secs(u64::from(refresh_before)),
            held: Mutex::new(Held { secret, number: 0, token: None, refused: None, logins: 0, failed: None }),
            gate: tokio::sync::Mutex::new(()),
        };
        tokens.begin_with(&mut tokens.held());
        Ok(tokens)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing is done under the lock that could leave it half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the token in use.
    pub(super) fn number(&self) -> u64 {
        self.held().number
    }

    /// Who logs in, with what: the secret is read again, so that a new one counts from the next login on.
    pub(super) fn credentials(&self) -> (String, SecretText) {
        let read = self.file.read_text();
        let mut held = self.held();
        match read {
            Ok(secret) => held.secret = secret,
            Err(fault) => tracing::error!(error = %fault, "the source's secret cannot be read; the former one is used"),
        }
        (self.user.clone().unwrap_or_default(), held.secret.clone())
    }

    /// The token to use now. `log_in` is called where one has to be asked for.
    pub(super) async fn get<F>(&self, log_in: impl FnOnce() -> F) -> Result<Token, Fault>
    where
        F: Future<Output = Result<Issued, Fault>>,
    {
        let logins = match self.at_hand(None) {
            Ok(found) => return found,
            Err(logins) => logins,
        };
        let _gate = self.gate.lock().await;
        // Another one may have logged in, or failed to, while this one waited.
        if let Ok(found) = self.at_hand(Some(logins)) {
            return found;
        }
        let outcome = log_in().await;
        let now = Instant::now();
        let mut held = self.held();
        held.logins += 1;
        match outcome {
            Ok(Issued { text, life }) => {
                let life = life.map(|life| life.max(LIFE_MIN));
                let renew_at = life.map(|life| now + life.saturating_sub(self.refresh_before.min(life / 2)));
                held.put(Some(Current { text, renew_at, ends_at: life.map(|life| now + life) }));
                (held.failed, held.refused) = (None, None);
                held.usable(now).ok_or(Fault { kind: FaultKind::Auth, code: "login_no_token", retry_after: None })
            }
            Err(fault) => {
                held.failed = Some(fault);
                if fault.kind == FaultKind::Auth {
                    held.refused = Some(fault);
                    held.put(None);
                    return Err(fault);
                }
                // The source does not log us in just now, but what it gave us before is still good.
                let number = held.number;
                let token =
                    held.token.as_mut().filter(|token| token.ends_at.is_some_and(|at| now < at)).ok_or(fault)?;
                token.renew_at = Some(now + RETRY);
                Ok(Token { number, text: token.text.clone() })
            }
        }
    }

    /// What is known without asking: a token, or a failure that is not to be repeated. Else the number of logins.
    ///
    /// `waited_since`: the number of logins when this caller began to wait for one.
    fn at_hand(&self, waited_since: Option<u64>) -> Result<Result<Token, Fault>, u64> {
        let held = self.held();
        if let Some(token) = held.usable(Instant::now()) {
            return Ok(Ok(token));
        }
        if let Some(fault) = held.refused {
            return Ok(Err(fault));
        }
        match held.failed {
            Some(fault) if waited_since.is_some_and(|logins| logins != held.logins) => Ok(Err(fault)),
            _ => Err(held.logins),
        }
    }

    /// Begins anew, with what stands in the file now: whatever was refused may be tried once more.
    pub(super) fn begin(&self) {
        let read = self.file.read_text();
        let mut held = self.held();
        match read {
            Ok(secret) => held.secret = secret,
            Err(fault) => tracing::error!(error = %fault, "the source's secret cannot be read; the former one stays"),
        }
        self.begin_with(&mut held);
    }

    fn begin_with(&self, held: &mut Held) {
        (held.refused, held.failed) = (None, None);
        let token = match self.kind {
            AuthKind::Bearer => Some(Current { text: held.secret.clone(), renew_at: None, ends_at: None }),
            AuthKind::Login | AuthKind::Oauth2 => None,
        };
        let same = matches!((&token, &held.token), (Some(token), Some(former)) if token.text == former.text);
        if !same {
            held.put(token);
        }
    }

    /// The token in use was refused. True if there is another one, or the hope of one.
    ///
    /// # Errors
    /// When the file cannot be read; nothing is changed.
    pub(super) fn renew(&self) -> Result<bool, SecretFault> {
        let fresh = self.file.read_text()?;
        let mut held = self.held();
        let changed = held.secret != fresh;
        let hope = match self.kind {
            AuthKind::Bearer => changed,
            AuthKind::Login | AuthKind::Oauth2 => changed || held.refused.is_none(),
        };
        held.secret = fresh;
        if hope {
            self.begin_with(&mut held);
        }
        Ok(hope)
    }

    /// The mark of the credential in use.
    pub(super) fn mark(&self, key: &IdentityKey) -> String {
        self.mark_of(&self.held().secret.clone(), key)
    }

    /// The mark of the credential that stands in the file now; none while it cannot be read.
    pub(super) fn mark_of_file(&self, key: &IdentityKey) -> Option<String> {
        Some(self.mark_of(&self.file.glance()?, key))
    }

    fn mark_of(&self, secret: &SecretText, key: &IdentityKey) -> String {
        key.credential_mark(&[self.user.as_deref().unwrap_or_default().as_bytes(), secret.expose().as_bytes()])
    }
}
