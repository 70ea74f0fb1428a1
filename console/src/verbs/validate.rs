//! `sisdmk validate`: the configuration, the source's profile, its list of facilities and the status mapping,
//! without a connection. All faults at once.

use platform::exit::Failure;
use platform::settings::{ConfigErrors, Link, Settings, links};
use producer::probe;
use producer::profile::Profile;
use rules::Rules;
use schemas::layout::{self, Layout};
use serde_json::json;

use crate::outcome::{Answer, Outcome, Refusal};
use crate::table::pairs;
use crate::words::counted;

/// Processes that this configuration may be for.
const PROCESSES: &[&str] = &["producer", "processor", "sink", "console"];

/// Checks everything that can be checked on this machine alone.
pub(crate) fn run(settings: &Settings) -> Outcome {
    let mut faults: Vec<String> = Vec::new();
    let told = |errors: ConfigErrors| errors.0.into_iter().map(|error| error.to_string());
    for process in PROCESSES {
        if let Err(errors) = settings.require_for(process) {
            for fault in told(errors) {
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
    }
    if let Err(errors) = links(settings, &Link::ALL) {
        faults.extend(told(errors));
    }
    let unreadable = unreadable_secrets(settings);

    let profile = profile(settings);
    let mut lines = vec![("settings", settings_line(settings))];
    let mut result = json!({ "unreadable_secrets": unreadable });
    match profile {
        Err(failure) => faults.push(platform::exit::sentence(&failure)),
        Ok((profile, layout)) => {
            if let Err(errors) = settings.require(&profile.needed_settings()) {
                faults.extend(told(errors).filter(|fault| !faults.contains(fault)).collect::<Vec<_>>());
            }
            lines.push(("profile", profile.source()));
            lines.push((
                "records",
                format!(
                    "region codes {}, times without zone are {}",
                    layout.code_system.as_str(),
                    offset(layout.zone.east_seconds()),
                ),
            ));
            result["profile"] = json!(profile.source());
            // That the list is missing is told above, with what else the profile needs.
            let told =
                settings.opt_path("source.facilities_file").is_none() && settings.list("source.regions").is_empty();
            match probe::facilities(settings, &profile) {
                Ok(Some(count)) => {
                    lines.push(("facilities", counted(count, "code", "codes")));
                    result["facilities"] = json!(count);
                }
                Err(failure) if !told => faults.push(platform::exit::sentence(&failure)),
                Ok(None) | Err(_) => {}
            }
            let mapping = settings.table("rules.status_aktif");
            lines.push(("active status", counted(mapping.len(), "value mapped", "values mapped")));
            match Rules::new(layout, &mapping) {
                Ok(rules) => {
                    lines.push(("rules", format!("revision {}, regions {}", rules::REVISION, rules.wilayah_versi())));
                    result["rules_revision"] = json!(rules::REVISION);
                    result["wilayah_versi"] = json!(rules.wilayah_versi());
                }
                Err(error) => faults.extend(error.faults.iter().map(ToString::to_string)),
            }
        }
    }
    let mut text = pairs(lines);
    for path in &unreadable {
        text.push_str(&format!("note: {path}\n"));
    }
    if faults.is_empty() {
        return Ok(Answer::new(
            "the configuration is complete and consistent; `sisdmk doctor` probes the connections",
            result,
        )
        .text(text));
    }
    result["faults"] = json!(faults);
    let details: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
    let failure = Failure::config(format!("{} in the configuration", counted(faults.len(), "fault", "faults")))
        .hint("correct what is listed above; `sisdmk config show` prints every setting and where it comes from");
    let mut refusal = Refusal::new("configuration", failure).explained(result, details);
    refusal.text = text;
    Err(refusal)
}

fn settings_line(settings: &Settings) -> String {
    let entries = settings.entries();
    let chosen = entries.iter().filter(|entry| entry.origin != platform::settings::Origin::Default).count();
    format!("{}, {chosen} of them chosen by you", entries.len())
}

/// `UTC+07:00`.
fn offset(east_seconds: i64) -> String {
    let sign = if east_seconds < 0 { '-' } else { '+' };
    let minutes = east_seconds.abs() / 60;
    format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Files of secrets that are named and that this user cannot use. A note and not a fault: the
/// process that needs the file may run as somebody else.
fn unreadable_secrets(settings: &Settings) -> Vec<String> {
    platform::settings::SETTINGS
        .iter()
        .filter(|setting| setting.secret_file)
        .filter_map(|setting| {
            let path = settings.opt_path(setting.key)?;
            let fault = platform::secrets::read(path).err()?;
            Some(format!(
                "{}: this user fails to {}",
                setting.key,
                platform::exit::sentence(&Failure::from(fault)).trim_start_matches("failed to ")
            ))
        })
        .collect()
}

/// The source's profile: a shipped one by its name, else the file at that path.
pub(crate) fn profile(settings: &Settings) -> Result<(Profile, Layout), Failure> {
    let name = settings.text("source.profile");
    let text = match layout::shipped(name) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(name).map_err(|error| {
            let shipped: Vec<&str> = layout::SHIPPED.iter().map(|(name, _)| *name).collect();
            Failure::config(format!("cannot read the profile {name}"))
                .because(error)
                .hint(format!("source.profile is the path of a profile file, or one of: {}", shipped.join(", ")))
        })?,
    };
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::config(format!("the profile {name} is wrong: {error}")).hint("correct that line of the file")
    };
    let profile = Profile::parse(&text).map_err(|error| wrong(&error))?;
    let layout = Layout::from_profile_toml(&text).map_err(|error| wrong(&error))?;
    Ok((profile, layout))
}
