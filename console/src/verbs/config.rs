//! `sisdmk config show`: every setting, its value and where it comes from.

use platform::settings::{Origin, Settings};
use serde_json::json;

use crate::outcome::Answer;
use crate::table::{Side, Table};

/// The whole configuration; what is secret stands there as `(hidden)`.
pub(crate) fn show(settings: &Settings) -> Answer {
    let entries = settings.entries();
    let mut table = Table::new(&[("setting", Side::Left), ("value", Side::Left), ("from", Side::Left)]);
    for entry in &entries {
        let value = entry.value.as_deref().unwrap_or("(not set)");
        table.row([entry.key, value, &entry.origin.to_string()]);
    }
    let chosen = entries.iter().filter(|entry| entry.origin != Origin::Default).count();
    let result = entries
        .iter()
        .map(|entry| {
            json!({
                "key": entry.key,
                "value": entry.value,
                "from": entry.origin.to_string(),
                "doc": entry.doc,
            })
        })
        .collect::<Vec<_>>();
    Answer::new(format!("{} settings, {chosen} of them chosen by you", entries.len()), json!({ "settings": result }))
        .text(table.render())
}
