//! What clients of Kafka are made of besides settings: password and certificates, read from files and taken up anew when
//! those change.
//!
//! A client of librdkafka keeps what it was made of, so a change needs new clients. Two steps lead there. [`Following`] looks
//! at the files, and takes a new content up only when a broker has let a client in that was made of it: half a file, or a
//! password that the broker does not know yet, never replaces what works. Then every client that was made of the former content
//! [is outdated](Made::is_outdated), and its owner makes another one where nothing is under way.
//!
//! Contents are handed to librdkafka as text and not as paths, so that all clients of one edition are made of the same bytes,
//! whatever happens to the files meanwhile. Contents are compared and never logged.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::admin::Admin;
use super::config::KafkaConfig;
use crate::clock::Deadline;
use crate::exit::Failure;
use crate::http::Health;
use crate::secrets;
use crate::shutdown::Shutdown;

/// How often the files are looked at. Twice the same new content is a change: who writes several files is given that long.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a content that was refused is tried again.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// How long a broker may take to let a client in. The end of the process waits for it.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// Largest file of certificates; the whole of what browsers trust is a twentieth of it.
const CERTIFICATE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Name of the check that says that a change waits.
const CHECK: &str = "kafka credentials";

/// Properties that name a file, and the property that takes its content instead; none: librdkafka reads the file itself.
const FILES: [(&str, Option<&str>); 5] = [
    ("ssl.ca.location", Some("ssl.ca.pem")),
    ("ssl.certificate.location", Some("ssl.certificate.pem")),
    ("ssl.key.location", Some("ssl.key.pem")),
    ("ssl.crl.location", None),
    ("ssl.keystore.location", None),
];
const PASSWORD: &str = "sasl.password";

/// One file, and what its content is for.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    /// The property that names it; none for the password.
    named_by: Option<&'static str>,
    /// The property that takes its content.
    content_of: Option<&'static str>,
}

/// The contents of all files, by the property that takes them or names the file.
type Contents = BTreeMap<&'static str, Vec<u8>>;

struct Shared {
    sources: Vec<Source>,
    contents: Mutex<Contents>,
    edition: AtomicU64,
}

/// The contents that clients are made of at present; clones share them.
#[derive(Clone)]
pub(super) struct Credentials(Arc<Shared>);

/// Which contents a client was made of.
pub(super) struct Made {
    of: u64,
    shared: Arc<Shared>,
}

impl Made {
    /// Whether clients are made of something else by now.
    pub(super) fn is_outdated(&self) -> bool {
        self.shared.edition.load(Ordering::Acquire) != self.of
    }
}

impl Credentials {
    /// Reads the password's file and those that these properties name.
    ///
    /// # Errors
    /// Exit 2 when one is not fit for use.
    pub(super) fn read(properties: &BTreeMap<String, String>, password: Option<&Path>) -> Result<Self, Failure> {
        let named = FILES.iter().filter_map(|(named_by, content_of)| {
            // A folder, and the word `probe`, are librdkafka's own to read: at each client that it makes.
            let path = properties.get(*named_by).map(PathBuf::from).filter(|path| !path.is_dir() && !is_word(path))?;
            Some(Source { path, named_by: Some(named_by), content_of: *content_of })
        });
        let password =
            password.map(|path| Source { path: path.to_owned(), named_by: None, content_of: Some(PASSWORD) });
        let sources: Vec<Source> = named.chain(password).collect();
        let contents = sources
            .iter()
            .map(|source| Ok((source.name(), source.read_aloud()?)))
            .collect::<Result<Contents, Failure>>()?;
        Ok(Self::of(sources, contents))
    }

    fn of(sources: Vec<Source>, contents: Contents) -> Self {
        Self(Arc::new(Shared { sources, contents: Mutex::new(contents), edition: AtomicU64::new(0) }))
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // It is replaced as a whole.
        self.0.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client that is made now is made of. Asked before it is made: one that is made while contents change is outdated.
    pub(super) fn made(&self) -> Made {
        Made { of: self.0.edition.load(Ordering::Acquire), shared: Arc::clone(&self.0) }
    }

    /// Puts the contents in the place of the paths.
    pub(super) fn give(&self, properties: &mut BTreeMap<String, String>) {
        let contents = self.contents();
        for source in &self.0.sources {
            let content = contents.get(source.name()).map(Vec::as_slice);
            // Text was asked for when it was read.
            let text = content.and_then(|content| std::str::from_utf8(content).ok());
            if let (Some(property), Some(text)) = (source.content_of, text) {
                if let Some(name) = source.named_by {
                    properties.remove(name);
                }
                properties.insert(property.to_owned(), text.to_owned());
            }
        }
    }

    /// What the files hold now; none while one of them cannot be read, with its path.
    fn look(&self) -> Result<Contents, String> {
        self.0.sources.iter().map(|source| Ok((source.name(), source.read()?))).collect()
    }

    fn take_up(&self, contents: Contents) {
        *self.contents() = contents;
        self.0.edition.fetch_add(1, Ordering::AcqRel);
    }
}

/// Whether it is a word of librdkafka's and not a path.
fn is_word(path: &Path) -> bool {
    path.as_os_str() == "probe"
}

impl Source {
    fn name(&self) -> &'static str {
        self.named_by.unwrap_or(PASSWORD)
    }

    /// Whether nobody may see its content.
    fn is_secret(&self) -> bool {
        matches!(self.content_of, Some(PASSWORD | "ssl.key.pem"))
    }

    /// Reads it at the start: what is wrong with it ends the process.
    fn read_aloud(&self) -> Result<Vec<u8>, Failure> {
        if self.is_secret() {
            // Tells too that others can read it.
            return Ok(secrets::read_text(&self.path)?.expose().as_bytes().to_vec());
        }
        self.read().map_err(|why| Failure::config(format!("failed to {why}")))
    }

    /// Reads it. The error says why not, as the end of a sentence that begins with "failed to".
    fn read(&self) -> Result<Vec<u8>, String> {
        if self.is_secret() {
            let secret = secrets::quietly(&self.path).map_err(|fault| fault.to_string())?;
            return self.text(secret.expose().to_vec());
        }
        let unreadable = |error: std::io::Error| format!("read {}: {error}", self.path.display());
        let file = std::fs::File::open(&self.path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(CERTIFICATE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > CERTIFICATE_BYTES_MAX) {
            return Err(format!("read {}: it is longer than 4 MiB", self.path.display()));
        }
        self.text(bytes)
    }

    fn text(&self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let is_text = std::str::from_utf8(&bytes).is_ok_and(|text| !text.contains('\0'));
        if self.content_of.is_some() && !is_text {
            return Err(format!("read {}: it is not text", self.path.display()));
        }
        Ok(bytes)
    }
}

/// What is to be done about what the files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// They hold what is in use.
    Nothing,
    /// Somebody may still be writing.
    Wait,
    /// A client is to be made of it, to see whether a broker lets it in.
    Try,
}

/// What was seen in the files.
#[derive(Default)]
struct Seen {
    /// The newest content, if it is not the one in use.
    other: Option<Contents>,
    /// When it is tried again; none: it was not tried.
    again: Option<Duration>,
}

impl Seen {
    /// Decides about a look at the files. `now` is a time since any beginning.
    fn look(&mut self, used: &Contents, found: &Contents, now: Duration) -> Next {
        if found == used {
            *self = Self::default();
            return Next::Nothing;
        }
        if self.other.as_ref() != Some(found) {
            *self = Self { other: Some(found.clone()), again: None };
            return Next::Wait;
        }
        if self.again.is_some_and(|again| now < again) {
            return Next::Wait;
        }
        self.again = Some(now + TRY_EVERY);
        Next::Try
    }
}

/// Looks after the files until it is dropped.
#[derive(Debug)]
#[must_use = "the files are followed as long as this lives"]
pub struct Following {
    stop: Shutdown,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            // It may have panicked, which its own message has told.
            let _ = thread.join();
        }
    }
}

impl KafkaConfig {
    /// Takes password and certificates up when their files change, for this configuration and its clones. While a change waits,
    /// because a file cannot be read or no broker lets a client in that is made of it, that is logged once and stands in
    /// readiness as a note.
    ///
    /// # Errors
    /// Exit 3 when there is no thread for it.
    pub fn follow_files(&self, health: &Health) -> Result<Following, Failure> {
        let stop = Shutdown::new();
        if self.credentials().0.sources.is_empty() {
            return Ok(Following { stop, thread: None });
        }
        let (config, health, until) = (self.clone(), health.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("credentials".to_owned())
            .spawn(move || follow(&config, &health, &until))
            .map_err(|error| Failure::environment("cannot start a thread").because(error))?;
        Ok(Following { stop, thread: Some(thread) })
    }
}

fn follow(config: &KafkaConfig, health: &Health, stop: &Shutdown) {
    let credentials = config.credentials();
    let clock = crate::clock::Stopwatch::start();
    let mut seen = Seen::default();
    let mut told: Option<String> = None;
    while !stop.wait_blocking(LOOK_EVERY) {
        let waits = match credentials.look() {
            Err(why) => Some(format!("failed to {why}")),
            Ok(found) => {
                let next = seen.look(&credentials.contents(), &found, clock.elapsed());
                match next {
                    Next::Nothing => None,
                    Next::Wait => continue,
                    Next::Try => match is_let_in(config, found.clone()) {
                        Ok(()) => {
                            credentials.take_up(found);
                            seen = Seen::default();
                            tracing::info!("password or certificates of Kafka have changed; every client is made anew");
                            None
                        }
                        Err(why) => Some(why),
                    },
                }
            }
        };
        if waits != told {
            match &waits {
                Some(why) => {
                    tracing::warn!(
                        error = why,
                        "a change of Kafka's password or certificates is not taken up; what was read before stays in use"
                    );
                    health.note(CHECK, format!("a change is not taken up: {why}"));
                }
                None => health.forget(CHECK),
            }
            told = waits;
        }
    }
}

/// Makes a client of these contents and lets it ask a broker.
fn is_let_in(config: &KafkaConfig, contents: Contents) -> Result<(), String> {
    let candidate = config.with_credentials(Credentials::of(config.credentials().0.sources.clone(), contents));
    let admin = Admin::connect(&candidate).map_err(|fault| format!("failed to {fault}"))?;
    match admin.brokers(Deadline::after(TRY_LIMIT)) {
        Ok(_) => Ok(()),
        // Always in the same words, so that they are told once. Why it was not let in stands in librdkafka's own lines.
        Err(fault) => {
            tracing::debug!(error = %fault, "a change of Kafka's password or certificates was tried in vain");
            Err("no broker lets a client in that is made of it".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(path: &Path, content: &str) {
        fs::write(path, content).expect("write");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
    }

    fn contents(text: &str) -> Contents {
        Contents::from([(PASSWORD, text.as_bytes().to_vec())])
    }

    #[test]
    fn a_content_is_tried_when_it_was_seen_twice_and_again_after_a_while() {
        let (used, new, newer) = (contents("old"), contents("new"), contents("newer"));
        let mut seen = Seen::default();
        let mut look = |found: &Contents, second: u64| seen.look(&used, found, Duration::from_secs(second));
        assert_eq!(look(&used, 0), Next::Nothing);
        assert_eq!(look(&new, 1), Next::Wait);
        assert_eq!(look(&newer, 2), Next::Wait, "still being written");
        assert_eq!(look(&newer, 3), Next::Try);
        assert_eq!(look(&newer, 4), Next::Wait, "it was refused a moment ago");
        assert_eq!(look(&newer, 8), Next::Try);
        assert_eq!(look(&new, 9), Next::Wait);
        assert_eq!(look(&new, 10), Next::Try, "another one need not wait for it");
        assert_eq!(look(&used, 11), Next::Nothing, "taken back");
        assert_eq!(look(&new, 12), Next::Wait);
    }

    #[test]
    fn contents_take_the_place_of_paths_and_every_client_made_before_a_change_is_outdated() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        write(&at("password"), "hunter22\n");
        write(&at("ca.pem"), "authority\n");
        let mut properties = BTreeMap::from([
            ("ssl.ca.location".to_owned(), at("ca.pem").display().to_string()),
            ("ssl.certificate.location".to_owned(), folder.path().display().to_string()),
            ("linger.ms".to_owned(), "5".to_owned()),
        ]);
        let credentials = Credentials::read(&properties, Some(&at("password"))).expect("read");
        let (made, before) = (credentials.made(), properties.clone());
        credentials.give(&mut properties);
        assert_eq!(properties["sasl.password"], "hunter22");
        assert_eq!(properties["ssl.ca.pem"], "authority\n");
        assert!(!properties.contains_key("ssl.ca.location"), "it would be read once more");
        assert_eq!(properties["ssl.certificate.location"], before["ssl.certificate.location"], "a folder stays one");

        write(&at("password"), "another");
        let found = credentials.look().expect("readable");
        assert!(!made.is_outdated());
        credentials.take_up(found);
        assert!(made.is_outdated() && !credentials.made().is_outdated());
        credentials.give(&mut properties);
        assert_eq!(properties["sasl.password"], "another");
    }

    #[test]
    fn a_file_that_is_away_or_open_to_others_is_told_by_its_path_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        write(&path, "hunter22");
        let credentials = Credentials::read(&BTreeMap::new(), Some(&path)).expect("read");
        let refused = |what: &str| {
            let why = credentials.look().expect_err(what);
            assert!(why.contains("password") && !why.contains("hunter22"), "{why}");
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).expect("chmod");
        refused("others may write it");
        fs::remove_file(&path).expect("remove");
        refused("it is away");
        let failure = Credentials::read(&BTreeMap::new(), Some(&path)).err().expect("refused");
        assert_eq!(failure.exit, crate::exit::Exit::Config);
    }

    #[test]
    fn what_no_client_can_be_made_of_is_refused_without_a_word_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = folder.path().join("ca.pem");
        write(&ca, "");
        let settings = crate::settings::Settings::from_pairs([
            ("kafka.bootstrap_servers", "127.0.0.1:1"),
            ("kafka.properties.security.protocol", "ssl"),
            ("kafka.properties.ssl.ca.location", ca.to_str().expect("text")),
        ])
        .expect("settings");
        let config = KafkaConfig::new(&settings, "test").expect("config");
        let half = b"-----BEGIN CERTIFICATE-----\nMIIB".to_vec();
        let why = is_let_in(&config, Contents::from([("ssl.ca.location", half)])).expect_err("half");
        assert!(why.starts_with("failed to start the admin client") && !why.contains("MIIB"), "{why}");
    }
}
