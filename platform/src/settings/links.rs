//! Which links a process uses, and whether they are encrypted and verified.

use super::{ConfigError, ConfigErrors, Settings};

/// A link of a process to the world outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// To the brokers.
    Kafka,
    /// To the schema registry.
    Registry,
    /// To Postgres, as the process's own user.
    Postgres,
    /// To Postgres, as the owner of the tables.
    SetupPostgres,
    /// To the source's API.
    Source,
    /// To the producer's admin endpoint.
    Admin,
    /// To Alertmanager and the webhook.
    Alerts,
    /// To the quarantine store.
    Quarantine,
    /// To the collector of traces.
    Telemetry,
}

impl Link {
    /// Every one that a process may use.
    pub const ALL: [Self; 9] = [
        Self::Kafka,
        Self::Registry,
        Self::Postgres,
        Self::SetupPostgres,
        Self::Source,
        Self::Admin,
        Self::Alerts,
        Self::Quarantine,
        Self::Telemetry,
    ];
}

/// Refuses the links among these that are plaintext or do not verify their peer, unless
/// `security.allow_plaintext` is set. Links that are not configured are left alone, and so are those to the
/// producer's admin endpoint, to Alertmanager and webhook and to the collector where they are given as a loopback
/// address: they never leave the machine.
///
/// # Errors
/// Every such link with its key and the fix.
pub fn links(settings: &Settings, links: &[Link]) -> Result<(), ConfigErrors> {
    if settings.flag("security.allow_plaintext") {
        return Ok(());
    }
    let mut errors = ConfigErrors::default();
    let mut refuse = |key: &str, origin: &str, fix: &str| {
        errors.0.push(ConfigError {
            key: key.to_owned(),
            origin: Some(settings.origin(origin).clone()),
            message: format!("{fix}, or set security.allow_plaintext on a machine of your own"),
        });
    };
    for link in links {
        match link {
            Link::Kafka => {
                let properties = settings.table("kafka.properties");
                let protocol = properties.get("security.protocol").map_or("plaintext", String::as_str);
                if !matches!(protocol.to_ascii_lowercase().as_str(), "ssl" | "sasl_ssl") {
                    refuse(
                        "kafka.properties.security.protocol",
                        "kafka.properties",
                        "the link to Kafka is not encrypted: set it to `SASL_SSL` or `SSL`",
                    );
                }
            }
            Link::Registry => http(settings, "registry.url", &mut refuse),
            Link::Source => http(settings, "source.base_url", &mut refuse),
            Link::Quarantine => http(settings, "quarantine.s3_endpoint", &mut refuse),
            Link::Admin => http_beyond(settings, "producer.admin_url", &mut refuse),
            Link::Alerts => {
                http_beyond(settings, "alerts.alertmanager_url", &mut refuse);
                http_beyond(settings, "alerts.webhook_url", &mut refuse);
            }
            Link::Telemetry => http_beyond(settings, "telemetry.otlp_endpoint", &mut refuse),
            Link::Postgres => postgres(settings, "postgres.url", &mut refuse),
            Link::SetupPostgres => postgres(settings, "setup.postgres_url", &mut refuse),
        }
    }
    errors.into_result()
}

fn http(settings: &Settings, key: &str, refuse: &mut impl FnMut(&str, &str, &str)) {
    if settings.opt_text(key).is_some_and(|url| url.to_ascii_lowercase().starts_with("http://")) {
        refuse(key, key, "the link is not encrypted: use an `https://` address");
    }
}

/// The same for a link that may be plain as long as it stays on this machine. Names are not looked up: only an
/// address says where it leads.
fn http_beyond(settings: &Settings, key: &str, refuse: &mut impl FnMut(&str, &str, &str)) {
    let host = settings.opt_text(key).and_then(|url| reqwest::Url::parse(url).ok());
    let address = host.and_then(|url| url.host_str()?.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok());
    if !address.is_some_and(|address| address.is_loopback()) {
        http(settings, key, refuse);
    }
}

fn postgres(settings: &Settings, key: &str, refuse: &mut impl FnMut(&str, &str, &str)) {
    let Some(url) = settings.opt_text(key) else { return };
    let verified = reqwest::Url::parse(url).is_ok_and(|url| {
        let modes: Vec<_> = url.query_pairs().filter(|(name, _)| name == "sslmode" || name == "ssl-mode").collect();
        !modes.is_empty() && modes.iter().all(|(_, mode)| mode == "verify-full")
    });
    if !verified {
        refuse(key, key, "the server's certificate is not verified: add `?sslmode=verify-full`");
    }
}
