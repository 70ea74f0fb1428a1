//! The producer's configuration: everything read and checked before any connection is opened.

use crate::cycle::Limits;
use crate::edge::facilities;
use crate::edge::quarantine::{Address, Bucket, Place, Quarantine};
use crate::profile::{AuthKind, Profile};
use crate::region::{self, Region};
use crate::schedule::Schedule;
use platform::exit::Failure;
use platform::kafka::KafkaConfig;
use platform::secrets::{self, SecretFile};
use platform::settings::{Link, Settings, links};
use schemas::identity::IdentityKey;
use schemas::layout::{self, Layout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of the process: client id, transactional id, label.
pub const PROCESS: &str = "sisdmk-producer";

/// A slice of the whole hold goes out in one transaction, so it gets more time than the processor's small
/// ones. Too small: a large slice never goes out over a slow link; too large: readers of `sisdmk.raw`
/// wait this long when the producer's machine is lost within a transaction.
const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_secs(60);

/// What it takes to ask the source.
#[derive(Debug, Clone)]
pub struct Api {
    /// What the profile says about the source.
    pub profile: Profile,
    /// Where its records keep identity and stamp.
    pub layout: Layout,
    /// `scheme://host[:port][/path]`, without a slash at the end.
    pub base_url: String,
    /// Time of one request, from connecting to the last byte.
    pub request_timeout: Duration,
    /// Bytes of one body after decompression.
    pub body_bytes_max: usize,
    /// The shortest time between two requests.
    pub request_interval: Duration,
    /// What we are known by.
    pub credential: Credential,
}

/// What we are known by: a token, or a name with its secret.
#[derive(Debug, Clone)]
pub struct Credential {
    /// File with the token, the password or the client's secret.
    pub file: PathBuf,
    /// The user, or the client; none with a token.
    pub user: Option<String>,
}

/// Where the codes of the facilities come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FacilityList {
    /// A file of ours, one code a line.
    File(PathBuf),
    /// The source, as the profile's section `[facilities]` says.
    Source,
}

/// Configuration of one producer.
#[derive(Debug)]
pub struct Config {
    /// What the profile says about the source.
    pub profile: Profile,
    /// How the source is asked.
    pub api: Api,
    /// Regions of a scheduled batch; empty where the source is asked by facility.
    pub regions: Vec<Region>,
    /// Where the facilities come from; none where the source is asked by region.
    pub facilities: Option<FacilityList>,
    /// Bounds of a cycle.
    pub limits: Limits,
    /// Slices read at the same time, 1 or more.
    pub lanes: usize,
    /// Makes every `person_id`; read once.
    pub identity_key: IdentityKey,
    /// When a cycle is due.
    pub schedule: Schedule,
    /// Whether a cycle runs right after the start.
    pub run_on_start: bool,
    /// The most by which a scheduled cycle is late on purpose.
    pub jitter: Duration,
    /// Where pages and records go that cannot be published.
    pub quarantine: Quarantine,
    /// Address of health, metrics and admin.
    pub listen: SocketAddr,
    /// The admin endpoint's token; without it the endpoint answers 403.
    pub admin_token: Option<Arc<SecretFile>>,
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// Share of batches that are traced.
    pub sample_ratio: f64,
    /// Who is told about incidents.
    pub alerts: Alerts,
}

/// Who is told about incidents, and how often.
#[derive(Debug, Clone)]
pub struct Alerts {
    /// Alertmanager, without a path.
    pub alertmanager_url: Option<String>,
    /// A plain endpoint. It may hold a secret, so it is never logged.
    pub webhook_url: Option<String>,
    /// Bearer token of that endpoint.
    pub webhook_token: Option<Arc<SecretFile>>,
    /// How often an open incident is told to Alertmanager again.
    pub resend: Duration,
}

impl Config {
    /// Reads and checks the settings, the profile and the key.
    ///
    /// # Errors
    /// Exit 2: what is missing or does not fit, by its key.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        settings.require_for("producer")?;
        links(settings, &[Link::Kafka, Link::Registry, Link::Source, Link::Alerts, Link::Quarantine, Link::Telemetry])?;
        let api = Api::new(settings)?;
        let profile = api.profile.clone();
        let facilities = facility_list(settings, &profile)?;
        let admin_token = settings.opt_path("producer.admin_token_file").map(SecretFile::new);
        if let Some(token) = &admin_token {
            token.read()?;
        }
        let alerts = Alerts {
            alertmanager_url: settings.opt_text("alerts.alertmanager_url").map(str::to_owned),
            webhook_url: settings.opt_text("alerts.webhook_url").map(str::to_owned),
            webhook_token: settings.opt_path("alerts.webhook_token_file").map(SecretFile::new).map(Arc::new),
            resend: settings.duration("alerts.resend"),
        };
        if let Some(token) = &alerts.webhook_token {
            token.read()?;
        }
        let key = secrets::read(settings.path("identity.hmac_key_file"))?;
        let identity_key = IdentityKey::from_secret(key.expose())
            .map_err(|error| bad("identity.hmac_key_file", &error.to_string()))?;
        let schedule = Schedule::parse(settings.text("schedule.cron"), settings.text("schedule.time_zone"))
            .map_err(|error| bad("schedule", &error.to_string()))?;
        let quarantine = quarantine(settings)?;
        let kafka = KafkaConfig::new(settings, PROCESS)?;
        let transaction_timeout = kafka.transaction_timeout().max(TRANSACTION_TIMEOUT_MIN);
        Ok(Self {
            regions: match facilities {
                None => regions(settings.list("source.regions"), &profile)?,
                Some(_) => Vec::new(),
            },
            facilities,
            limits: limits(settings, &api),
            lanes: settings.count("source.concurrency").max(1),
            run_on_start: settings.flag("schedule.run_on_start"),
            jitter: settings.duration("schedule.jitter"),
            listen: settings.address("producer.listen"),
            sample_ratio: settings.number("telemetry.sample_ratio"),
            admin_token: admin_token.map(Arc::new),
            kafka: kafka.with_transaction_timeout(transaction_timeout),
            profile,
            api,
            identity_key,
            schedule,
            quarantine,
            alerts,
        })
    }

    /// `<profile>/<version>`.
    #[must_use]
    pub fn source(&self) -> String {
        self.profile.source()
    }
}

impl Api {
    /// Reads and checks what it takes to ask the source, and nothing else.
    ///
    /// # Errors
    /// Exit 2: what is missing or does not fit, by its key.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        settings.require(&["source.base_url"])?;
        let (profile, layout) = profile(settings.text("source.profile"))?;
        let credential = Credential::new(settings, profile.auth.kind)?;
        secrets::read_text(&credential.file)?;
        Ok(Self {
            profile,
            layout,
            base_url: base_url(settings.text("source.base_url"))?,
            request_timeout: settings.duration("source.request_timeout"),
            body_bytes_max: bytes(settings, "source.body_bytes_max"),
            request_interval: Duration::from_secs_f64(1.0 / settings.number("source.requests_per_second")),
            credential,
        })
    }
}

impl Credential {
    fn new(settings: &Settings, kind: AuthKind) -> Result<Self, Failure> {
        let (user, key) = match kind {
            AuthKind::Bearer => (None, "source.token_file"),
            AuthKind::Login => (Some("source.username"), "source.password_file"),
            AuthKind::Oauth2 => (Some("source.client_id"), "source.client_secret_file"),
        };
        let needed: Vec<&str> = user.into_iter().chain([key]).collect();
        settings.require(&needed)?;
        let user = user.map(|key| settings.text(key).to_owned());
        Ok(Self { file: settings.path(key).to_path_buf(), user })
    }
}

fn bad(key: &str, message: &str) -> Failure {
    Failure::config(format!("{key}: {message}"))
}

fn bytes(settings: &Settings, key: &str) -> usize {
    usize::try_from(settings.bytes(key)).unwrap_or(usize::MAX)
}

/// A shipped profile by its name, or a file: anything with a slash or the ending `.toml`.
fn profile(name: &str) -> Result<(Profile, Layout), Failure> {
    let is_file = name.contains('/') || Path::new(name).extension().is_some_and(|ending| ending == "toml");
    let text = match layout::shipped(name) {
        _ if is_file => std::fs::read_to_string(name)
            .map_err(|error| bad("source.profile", "the profile file cannot be read").because(error))?,
        Some(text) => text.to_owned(),
        None => {
            return Err(bad("source.profile", "no profile of that name ships with this program")
                .hint("name a shipped profile, or give the path of a profile file"));
        }
    };
    let profile = Profile::parse(&text).map_err(|error| bad("source.profile", &error.to_string()))?;
    let layout = Layout::from_profile_toml(&text).map_err(|error| bad("source.profile", &error.to_string()))?;
    Ok((profile, layout))
}

/// The regions to poll, each once and none within another: all provinces where none is given.
fn regions(given: &[String], profile: &Profile) -> Result<Vec<Region>, Failure> {
    let mut regions = Vec::new();
    for code in given {
        let region = Region::parse(code)
            .filter(Region::is_known)
            .ok_or_else(|| bad("source.regions", "holds a code that is not a province (`32`) or regency (`32.73`)"))?;
        regions.push(region);
    }
    if regions.is_empty() {
        regions = region::provinces();
    }
    regions.sort();
    regions.dedup();
    let provinces: Vec<Region> = regions.iter().filter(|region| region.is_province()).cloned().collect();
    regions.retain(|region| region.is_province() || !provinces.contains(&region.province()));
    let asks = |region: &Region| {
        if region.is_province() { profile.request.province.is_some() } else { profile.request.regency.is_some() }
    };
    if regions.iter().all(asks) {
        Ok(regions)
    } else {
        Err(bad("source.regions", "names a kind of region that the profile has no request parameter for"))
    }
}

/// Where the facilities come from. The file is read once here, so that a wrong one is found before any
/// connection is opened.
pub(crate) fn facility_list(settings: &Settings, profile: &Profile) -> Result<Option<FacilityList>, Failure> {
    const KEY: &str = "source.facilities_file";
    if profile.request.facility.is_some() && !settings.list("source.regions").is_empty() {
        return Err(bad("source.regions", "has no meaning with a profile that asks by facility"));
    }
    match (settings.opt_path(KEY), profile.request.facility.is_some(), profile.facilities.is_some()) {
        (None, false, _) => Ok(None),
        (Some(_), false, _) => Err(bad(KEY, "has no meaning with a profile that asks by region")),
        (None, true, true) => Ok(Some(FacilityList::Source)),
        (None, true, false) => {
            Err(bad(KEY, "is needed: the profile asks by facility and does not say where they are listed"))
        }
        (Some(path), true, _) => {
            facilities::read(path).map_err(|fault| bad(KEY, &fault.to_string()))?;
            Ok(Some(FacilityList::File(path.to_path_buf())))
        }
    }
}

/// Rows to ask for in one page.
pub(crate) fn page_rows_max(settings: &Settings, profile: &Profile) -> u32 {
    let page_size = u32::try_from(settings.int("source.page_size")).unwrap_or(u32::MAX);
    profile.paging.limit_max.unwrap_or(u32::MAX).min(page_size).max(1)
}

fn limits(settings: &Settings, api: &Api) -> Limits {
    let profile = &api.profile;
    Limits {
        tries_max: u32::try_from(settings.int("source.retries")).unwrap_or(0) + 1,
        backoff: settings.duration("source.backoff"),
        backoff_max: settings.duration("source.backoff_max"),
        retry_after_max: settings.duration("source.retry_after_max"),
        slice_timeout: settings.duration("source.slice_timeout"),
        cycle_timeout: settings.duration("source.cycle_timeout"),
        hold_bytes_max: bytes(settings, "source.hold_bytes_max"),
        record_bytes_max: bytes(settings, "source.record_bytes_max"),
        can_quarantine: true,
        page_rows_max: profile.paging.limit.is_some().then(|| page_rows_max(settings, profile)),
        paging: profile.paging.kind,
        request_interval: api.request_interval,
        lookback: settings.duration("source.lookback"),
        // Without a total nobody could tell whether the regencies are all of the province.
        by_regency: profile.request.regency.is_some() && profile.answer.total.is_some(),
        by_window: profile.request.since.is_some() && profile.request.until.is_some(),
    }
}

/// Where the quarantine store is; nothing is opened yet.
fn quarantine(settings: &Settings) -> Result<Quarantine, Failure> {
    let place = match Address::parse(settings.text("quarantine.url")) {
        Some(Address::Folder(folder)) => Place::Folder(folder),
        Some(Address::Bucket(name, prefix)) => {
            settings.require(&["quarantine.s3_key_id_file", "quarantine.s3_secret_key_file"])?;
            let secret = |key: &str| {
                let file = SecretFile::new(settings.path(key));
                file.read_text().map(|_| Arc::new(file))
            };
            Place::Bucket(Bucket {
                name,
                prefix,
                endpoint: settings.opt_text("quarantine.s3_endpoint").map(str::to_owned),
                region: settings.text("quarantine.s3_region").to_owned(),
                key_id: secret("quarantine.s3_key_id_file")?,
                secret_key: secret("quarantine.s3_secret_key_file")?,
            })
        }
        None => return Err(bad("quarantine.url", "must be `file:///folder` or `s3://bucket/prefix`")),
    };
    let (bytes_max, keep_for) = (settings.bytes("quarantine.bytes_max"), settings.duration("quarantine.retention"));
    Ok(Quarantine::new(place, bytes_max, keep_for))
}

fn base_url(text: &str) -> Result<String, Failure> {
    let url = reqwest::Url::parse(text).map_err(|_| bad("source.base_url", "is not a URL"))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(bad("source.base_url", "must be `https://host[:port][/path]`, without user, query or fragment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_each_asked_once() {
        let (profile, _) = profile("sdmk-modified").expect("a shipped profile");
        let check = |given: &[&str], wanted: &[&str]| {
            let given: Vec<String> = given.iter().map(|code| (*code).to_owned()).collect();
            let found = regions(&given, &profile).expect("good codes");
            assert_eq!(found.iter().map(Region::as_str).collect::<Vec<_>>(), wanted);
        };
        check(&["32", "31", "32"], &["31", "32"]);
        check(&["32.73", "32", "34.71"], &["32", "34.71"]);
        assert_eq!(regions(&[], &profile).expect("all").len(), 38);
        for bad in ["3273", "99", "32.99", "Jawa Barat"] {
            assert!(regions(&[bad.to_owned()], &profile).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_checked() {
        assert_eq!(base_url("https://sdmk.example/api/").expect("good"), "https://sdmk.example/api");
        for bad in ["sdmk.example", "ftp://sdmk.example", "https://u:p@sdmk.example", "https://sdmk.example/?token=1"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}
