//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;

use crate::access::Accepted;
use crate::calendar::{DateFormat, Stamp};
use crate::population::{Make, RecordKind};
use crate::service::Offer;
use crate::truth::IdentityKey;
use crate::wilayah::CodeSystem;

/// A SISDMK server with invented people, for demonstrations, tests and benchmarks.
#[derive(Debug, clap::Parser)]
#[command(name = "sisdmk-simulator", version)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The same seed makes the same people.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many workers there are.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    workers: u32,
    /// The share of workers whose first record is bad, 0 to 1.
    #[arg(long, default_value = "0.02", value_parser = millionths)]
    bad_share: Millionths,
    /// How many workers change by themselves in a second; 0: none.
    #[arg(long, default_value = "0", value_parser = millionths)]
    changes_per_second: Millionths,
    /// What a record holds.
    #[arg(long, value_enum, default_value = "mixed")]
    record: RecordKind,
    /// The code system of the region codes.
    #[arg(long, value_enum, default_value = "kemendagri-2025")]
    code_system: CodeSystem,
    /// The date formats that the client's profile declares; the first is the usual one.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "iso,iso_midnight,dmy_dash")]
    date_formats: Vec<DateFormat>,
    /// File with the bearer token that is accepted. It is read at every request.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Accept any token that is not empty.
    #[arg(long)]
    token_any: bool,
    /// User name for `POST /rest/login_ws`.
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// File with its password.
    #[arg(long, requires = "username")]
    password_file: Option<PathBuf>,
    /// Client for `POST /oauth2/v1/accesstoken`.
    #[arg(long, requires = "client_secret_file")]
    client_id: Option<String>,
    /// File with its secret.
    #[arg(long, requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// How many seconds an issued token lasts.
    #[arg(long, default_value_t = 3_600)]
    token_seconds: u32,
    /// File with the key of the public identity; without it the truth has no person_id.
    #[arg(long)]
    identity_key_file: Option<PathBuf>,
    /// How many days the first stamps reach back.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    start_days_ago: u32,
    /// RFC 3339 instant before which the first stamps lie, instead of the host's clock: repeatable bytes.
    #[arg(long, value_parser = instant)]
    started_at: Option<Stamp>,
    /// Compress answers for clients that accept gzip.
    #[arg(long)]
    gzip: bool,
    /// Give the older service a STATUS_AKTIF, which the observed one lacks.
    #[arg(long)]
    biodata_status: bool,
    /// Threads that answer.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
}

/// A decimal number, counted in millionths: exact, and without floating point.
#[derive(Clone, Copy, Debug)]
struct Millionths(u64);

fn millionths(text: &str) -> Result<Millionths, String> {
    let refused = || format!("`{text}` is not a number such as 0.02");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 6 || !whole.bytes().chain(fraction.bytes()).all(|it| it.is_ascii_digit()) || text.is_empty() {
        return Err(refused());
    }
    let digits = format!("{whole}{fraction:0<6}");
    digits.parse().map(Millionths).map_err(|_| refused())
}

fn instant(text: &str) -> Result<Stamp, String> {
    Stamp::parse(text).ok_or_else(|| format!("`{text}` is not an RFC 3339 instant"))
}

impl Options {
    /// What the people are made of. `now` counts where no instant is given.
    pub(crate) fn make(&self, now: Stamp) -> anyhow::Result<Make> {
        let bad = u32::try_from(self.bad_share.0).ok().filter(|it| *it <= 1_000_000);
        let make = Make {
            seed: self.seed,
            workers: self.workers,
            bad_per_million: bad.context("--bad-share must be between 0 and 1")?,
            record: self.record,
            code_system: self.code_system,
            date_formats: self.date_formats.clone(),
            start_days_ago: self.start_days_ago,
            started_at: self.started_at.unwrap_or(now),
        };
        let slashed = [DateFormat::DmySlash, DateFormat::MdySlash];
        if make.ambiguous_dates() && make.date_formats.iter().all(|it| slashed.contains(it)) {
            anyhow::bail!("--date-formats needs one in which every date can be written without doubt");
        }
        Ok(make)
    }

    /// Changes in a second, in millionths.
    pub(crate) fn change_rate(&self) -> u64 {
        self.changes_per_second.0
    }

    /// Who may ask.
    pub(crate) fn accepted(&self) -> anyhow::Result<Accepted> {
        let accepted = Accepted {
            token_file: self.token_file.clone(),
            token_any: self.token_any,
            username: self.username.clone(),
            password_file: self.password_file.clone(),
            client_id: self.client_id.clone(),
            client_secret_file: self.client_secret_file.clone(),
            token_seconds: self.token_seconds,
        };
        if accepted.is_empty() {
            anyhow::bail!("nobody could get in: give --token-file, --token-any, --username or --client-id");
        }
        let files = [&accepted.token_file, &accepted.password_file, &accepted.client_secret_file];
        for file in files.into_iter().flatten() {
            std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        }
        Ok(accepted)
    }

    /// The key of the public identity.
    pub(crate) fn identity_key(&self) -> anyhow::Result<Option<IdentityKey>> {
        let Some(file) = &self.identity_key_file else { return Ok(None) };
        let bytes = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        IdentityKey::from_file_bytes(&bytes).with_context(|| format!("{} is empty", file.display())).map(Some)
    }

    pub(crate) fn offer(&self) -> Offer {
        Offer { gzip: self.gzip, biodata_status: self.biodata_status }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn shares_and_rates_are_exact() {
        let value = |text: &str| millionths(text).map(|it| it.0);
        assert_eq!(value("0.02"), Ok(20_000));
        assert_eq!(value("1"), Ok(1_000_000));
        assert_eq!(value("12.5"), Ok(12_500_000));
        assert_eq!(value(".5"), Ok(500_000));
        for text in ["", "-1", "1e3", "0.0000001", "x"] {
            assert!(value(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_any_credential_it_does_not_start() {
        assert!(Options::parse_from(["sisdmk-simulator"]).accepted().is_err());
        assert!(Options::parse_from(["sisdmk-simulator", "--token-any"]).accepted().is_ok());
        assert!(Options::try_parse_from(["sisdmk-simulator", "--username", "dinkes"]).is_err());
        assert!(Options::parse_from(["sisdmk-simulator", "--bad-share", "2"]).make(Stamp(0)).is_err());
    }
}
