//! `sisdmk quarantine`: what could not be published, how it looks from outside, and another try. All of it by the
//! producer's admin endpoint: the store and the profile that counts are the producer's.

use platform::settings::Settings;
use schemas::Timestamp;
use serde_json::Value;

use crate::edge::admin::Admin;
use crate::outcome::{Answer, Outcome};
use crate::table::{Side, Table, clean, pairs};
use crate::words::{Zone, count, counted};

/// What is kept, newest first.
pub(crate) async fn list(settings: &Settings) -> Outcome {
    let result = Admin::new(settings)?.quarantine("").await?;
    Ok(listed(result, Zone::of(settings.text("schedule.time_zone"))))
}

fn listed(result: Value, zone: Zone) -> Answer {
    let items = result["items"].as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        return Answer::new("nothing is in quarantine", result);
    }
    let mut table = Table::new(&[
        ("kept", Side::Left),
        ("id", Side::Left),
        ("region", Side::Left),
        ("why", Side::Left),
        ("bytes", Side::Right),
    ]);
    for item in &items {
        table.row([
            time(&item["kept_at"], zone),
            text(&item["id"]),
            text(&item["region"]),
            text(&item["code"]),
            count(item["bytes"].as_i64().unwrap_or(0)),
        ]);
    }
    let mut summary = counted(items.len(), "object", "objects");
    summary
        .push_str("; `sisdmk quarantine show <id>` says how one differs, `sisdmk quarantine retry <id>` tries again");
    Answer::new(summary, result).text(table.render())
}

/// One object: what is known about it, how it differs from the profile now, and its outline without values.
pub(crate) async fn show(settings: &Settings, id: &str) -> Outcome {
    let result = Admin::new(settings)?.quarantine(&format!("/{id}")).await?;
    Ok(shown(result, Zone::of(settings.text("schedule.time_zone"))))
}

fn shown(result: Value, zone: Zone) -> Answer {
    let item = &result["item"];
    let all = |value: &Value| {
        let words: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
        if words.is_empty() { "-".to_owned() } else { words.join("; ") }
    };
    let mut lines = pairs([
        ("id", text(&item["id"])),
        ("kept", time(&item["kept_at"], zone)),
        ("region", text(&item["region"])),
        ("changed since", time(&item["since"], zone)),
        ("why", text(&item["code"])),
        ("differed then", all(&item["differs"])),
        ("differs now", all(&result["differs_now"])),
        ("bytes", count(item["bytes"].as_i64().unwrap_or(0))),
    ]);
    let mut table = Table::new(&[("field", Side::Left), ("holds", Side::Left)]);
    for place in result["outline"].as_array().into_iter().flatten() {
        let kinds = place["kinds"].as_object().into_iter().flatten();
        let kinds: Vec<String> =
            kinds.map(|(kind, times)| format!("{kind} {}", count(times.as_i64().unwrap_or(0)))).collect();
        let path = place["path"].as_str().filter(|path| !path.is_empty()).unwrap_or("(all)");
        table.row([path.to_owned(), kinds.join(", ")]);
    }
    lines.push('\n');
    lines.push_str(&table.render());
    let summary = match result["still_wrong"].as_str() {
        Some(code) => format!("it still cannot be published ({}); no value of it is shown", clean(code)),
        None => "it can be published now: `sisdmk quarantine retry <id>`".to_owned(),
    };
    Answer::new(summary, result).text(lines)
}

/// Reads the kept bytes again with the producer's present profile, and polls the region if they are good now.
pub(crate) async fn retry(settings: &Settings, id: &str) -> Outcome {
    let result = Admin::new(settings)?.quarantine_retry(id).await?;
    let summary = format!(
        "it can be read now: batch {} asks region {} again; `sisdmk batches` shows how it goes",
        text(&result["batch_id"]),
        text(&result["region"])
    );
    Ok(Answer::new(summary, result))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), clean)
}

fn time(value: &Value, zone: Zone) -> String {
    value.as_str().and_then(Timestamp::parse_rfc3339).map_or_else(|| "-".to_owned(), |at| zone.write(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "0193a5c8-0000-7000-8000-000000000001/0193a5c8-0000-7000-8000-000000000002.page";

    #[test]
    fn what_is_kept_is_one_line_each() {
        let item = json!({"id": ID, "bytes": 12_345, "kept_at": "2026-11-23T01:00:00.000000Z", "region": "32", "code": "html"});
        let lost = json!({"id": ID, "bytes": 1});
        let answer = listed(json!({"items": [item, lost]}), Zone::of("Asia/Jakarta"));
        let lines: Vec<&str> = answer.text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].starts_with("2026-11-23 08:00:00 WIB  0193a5c8-") && lines[1].ends_with("html  12,345"),
            "{lines:?}"
        );
        assert!(lines[2].starts_with("- "), "{lines:?}");
        assert_eq!(listed(json!({"items": []}), Zone::of("UTC")).summary, "nothing is in quarantine");
    }

    #[test]
    fn one_is_shown_by_its_outline_and_says_whether_it_is_good_now() {
        let mut result = json!({
            "item": {"id": ID, "bytes": 10, "kept_at": null, "region": "32", "code": "records_missing", "since": null, "differs": ["data is missing"]},
            "outline": [{"path": "", "kinds": {"object": 1}}, {"path": "rows[].NIK", "kinds": {"null": 1, "text": 99}}],
            "differs_now": ["data is missing", "rows is new (list)"],
            "still_wrong": "records_missing",
        });
        let answer = shown(result.clone(), Zone::of("UTC"));
        assert!(answer.text.contains("differs now    data is missing; rows is new (list)"), "{}", answer.text);
        assert!(
            answer.text.contains("rows[].NIK  null 1, text 99") && answer.text.contains("(all)"),
            "{}",
            answer.text
        );
        assert!(answer.summary.contains("still cannot"));
        result["still_wrong"] = Value::Null;
        assert!(shown(result, Zone::of("UTC")).summary.contains("sisdmk quarantine retry"));
    }
}
