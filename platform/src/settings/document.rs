//! The settings for people: the contract's table, and values without secrets.

use super::table::{SETTINGS, Setting};
use super::value::{Value, show};

/// Stands for a value that is not shown.
pub(crate) const HIDDEN: &str = "(hidden)";

/// The table of all settings in Markdown, as it stands in `docs/CONTRACT.md`.
#[must_use]
pub fn markdown_table() -> String {
    let mut text =
        String::from("| setting | value | default | bounds | read by | meaning |\n|---|---|---|---|---|---|\n");
    for setting in SETTINGS {
        let kind = match setting.unit {
            "" => setting.kind.name(),
            unit => format!("{}, {unit}", setting.kind.name()),
        };
        let default = match setting.default {
            None => "-".to_owned(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let bounds = match (setting.min, setting.max) {
            (Some(min), Some(max)) => format!("`{min}` to `{max}`"),
            (Some(min), None) => format!("from `{min}`"),
            (None, Some(max)) => format!("to `{max}`"),
            (None, None) => "-".to_owned(),
        };
        let used_by: Vec<String> = setting
            .used_by
            .iter()
            .map(
                |process| {
                    if setting.needed_by.contains(process) { format!("{process}!") } else { (*process).to_owned() }
                },
            )
            .collect();
        let row = format!(
            "| `{}` | {kind} | {default} | {bounds} | {} | {} |\n",
            setting.key,
            used_by.join(", "),
            setting.doc.replace('|', "\\|"),
        );
        text.push_str(&row);
    }
    text.push_str(
        "\n`!`: that process does not start without it. An empty default is an empty list or table; `-` is unset.\n",
    );
    text
}

/// The value as anybody may see it.
///
/// A path of a secret's file is shown only when it looks like a path: somebody who pastes the secret
/// itself there should not find it in the output.
pub(crate) fn public(setting: &Setting, value: &Value) -> String {
    match value {
        Value::Path(path) if setting.secret_file && !path.to_string_lossy().contains('/') => HIDDEN.to_owned(),
        Value::Table(table) => {
            let shown: Vec<String> = table
                .iter()
                .map(|(name, value)| format!("{name}={}", if sounds_secret(name) { HIDDEN } else { value.as_str() }))
                .collect();
            shown.join(",")
        }
        other => show(other),
    }
}

/// Names under which secrets are given to clients.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "token", "jaas", ".pem", "oauthbearer.config"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BEGIN: &str = "<!-- settings:begin -->\n";
    const END: &str = "<!-- settings:end -->";

    /// The document is part of the product: it says what the code says, to the letter.
    #[test]
    fn the_contract_lists_every_setting_as_it_is() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONTRACT.md");
        let contract = std::fs::read_to_string(&path).expect("the contract stands beside the crates");
        let begin = contract.find(BEGIN).expect("the contract marks where the settings begin") + BEGIN.len();
        let end = contract.find(END).expect("the contract marks where the settings end");
        assert_eq!(
            &contract[begin..end],
            markdown_table(),
            "docs/CONTRACT.md differs: put the table on the right between the marks"
        );
    }
}
