//! `sisdmk dlq`: records that were refused, why, and what to do. Never what they say.

use std::collections::BTreeMap;

use platform::exit::Failure;
use platform::settings::Settings;
use schemas::Timestamp;
use schemas::layout::PersonField;
use serde_json::json;

use crate::command::{DlqListArgs, DlqPlace};
use crate::dead_letter::{DeadLetter, Envelope, Newest, known};
use crate::edge::kafka;
use crate::mask::{self, Outline};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::table::{Side, Table, clean, pairs};
use crate::verbs::reasons::{reason, told};
use crate::verbs::validate::profile;
use crate::words::{Zone, count, counted};

/// The latest dead letters.
pub(crate) fn list(settings: &Settings, args: &DlqListArgs) -> Outcome {
    let mut newest = Newest::new(usize::try_from(args.limit).unwrap_or(usize::MAX));
    let mut matching: usize = 0;
    kafka::read_dead_letters(settings, |envelope| {
        let letter = envelope.read();
        if letter.matches(args.code.as_deref(), args.stage.as_deref()) {
            matching += 1;
            newest.push(letter);
        }
    })?;
    let zone = Zone::of(settings.text("schedule.time_zone"));
    Ok(listed(&newest.into_newest_first(), matching, zone))
}

fn listed(letters: &[DeadLetter], matching: usize, zone: Zone) -> Answer {
    let result = json!({
        "matching": matching,
        "dead_letters": letters.iter().map(DeadLetter::json).collect::<Vec<_>>(),
    });
    if letters.is_empty() {
        return Answer::new("no dead letters", result);
    }
    let mut table = Table::new(&[
        ("place", Side::Left),
        ("failed", Side::Left),
        ("stage", Side::Left),
        ("reasons", Side::Left),
        ("field", Side::Left),
        ("tries", Side::Right),
        ("batch", Side::Left),
    ]);
    for letter in letters {
        table.row([
            letter.place.to_string(),
            zone.write(letter.failed_at),
            letter.stage.clone(),
            letter.codes.join(", "),
            letter.field.clone(),
            letter.attempts.map_or_else(String::new, |n| n.to_string()),
            letter.batch_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        ]);
    }
    let shown = if letters.len() < matching {
        format!("the newest {} of {}", letters.len(), counted(matching, "dead letter", "dead letters"))
    } else {
        counted(matching, "dead letter", "dead letters")
    };
    Answer::new(format!("{shown}; `sisdmk dlq show <place>` explains one, `sisdmk dlq groups` counts them"), result)
        .text(table.render())
}

/// One dead letter, explained.
pub(crate) fn show(settings: &Settings, place: DlqPlace) -> Outcome {
    let (_, layout) = profile(settings)?;
    let nik_name = layout.person.name(PersonField::Nik).unwrap_or_default();
    let zone = Zone::of(settings.text("schedule.time_zone"));
    let found = kafka::read_dead_letter(settings, place, |envelope, payload| {
        explained(&envelope, &mask::outline(payload, nik_name), zone)
    })?;
    found.ok_or_else(|| {
        let failure = Failure::runtime(format!("there is no dead letter at {place}"))
            .hint("it may have expired (they are kept for 30 days); `sisdmk dlq list` lists those that are there");
        Refusal::new("not_found", failure)
    })
}

fn explained(envelope: &Envelope<'_>, outline: &Outline, zone: Zone) -> Answer {
    let letter = envelope.read();
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut text = pairs([
        ("place", letter.place.to_string()),
        ("failed", zone.write(letter.failed_at)),
        ("failed first", dash(letter.first_failed_at.map(|at| zone.write(at)))),
        ("tries", dash(letter.attempts.map(|n| n.to_string()))),
        ("stage", letter.stage.clone()),
        ("field", letter.field.clone()),
        ("batch", dash(letter.batch_id.map(|id| id.to_string()))),
        ("raw record", dash(letter.origin.clone())),
        ("worker", envelope.shown_key()),
    ]);
    text.push_str("\nWhy it was refused\n");
    for code in &letter.codes {
        match known(code) {
            Some(code) => text.push_str(&told(code, "  ")),
            None => text.push_str(&format!("  {}\n    this release does not know this reason\n", clean(code))),
        }
    }
    text.push_str(&format!(
        "\nThe record, {} bytes: its fields, without what they say (a NIK masked)\n",
        count(i64::try_from(outline.bytes).unwrap_or(i64::MAX))
    ));
    let mut table = Table::new(&[("  field", Side::Left), ("holds", Side::Left)]);
    for field in &outline.fields {
        table.row([format!("  {}", field.path), field.kind.clone()]);
    }
    text.push_str(&table.render());
    if let Some(stopped) = &outline.stopped {
        text.push_str(&format!("  ({stopped})\n"));
    }
    text.push_str("\nHeaders\n");
    let headers = envelope.shown_headers();
    let mut table = Table::new(&[("  header", Side::Left), ("value", Side::Left)]);
    for (name, value) in &headers {
        table.row([&format!("  {name}"), value]);
    }
    text.push_str(&table.render());

    let mut result = letter.json();
    result["reasons"] =
        letter.codes.iter().map(|code| known(code).map_or_else(|| json!({ "code": code }), reason)).collect();
    result["record"] = json!({
        "bytes": outline.bytes,
        "stopped": outline.stopped,
        "fields": outline.fields.iter().map(|field| json!({"path": field.path, "kind": field.kind})).collect::<Vec<_>>(),
    });
    result["headers"] = headers.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let summary = match letter.codes.len() {
        0 => "no reason is written on it: another program put it there".to_owned(),
        n => counted(n, "reason", "reasons"),
    };
    Answer::new(summary, result).text(text)
}

/// How many, of which reasons, since when.
pub(crate) fn groups(settings: &Settings) -> Outcome {
    let mut groups = Groups::default();
    kafka::read_dead_letters(settings, |envelope| groups.push(&envelope.read()))?;
    let zone = Zone::of(settings.text("schedule.time_zone"));
    Ok(grouped(&groups, zone))
}

/// Counts by first reason and stage.
#[derive(Debug, Default)]
struct Groups(BTreeMap<(String, String), Group>);

#[derive(Debug, Clone, Copy)]
struct Group {
    letters: i64,
    first: Timestamp,
    last: Timestamp,
}

impl Groups {
    fn push(&mut self, letter: &DeadLetter) {
        let at = letter.failed_at;
        let group = self.0.entry((letter.code().to_owned(), letter.stage.clone())).or_insert(Group {
            letters: 0,
            first: at,
            last: at,
        });
        group.letters += 1;
        group.first = group.first.min(at);
        group.last = group.last.max(at);
    }
}

fn grouped(groups: &Groups, zone: Zone) -> Answer {
    let mut by_count: Vec<_> = groups.0.iter().collect();
    by_count.sort_by_key(|(_, group)| std::cmp::Reverse(group.letters));
    let mut table = Table::new(&[
        ("reason", Side::Left),
        ("stage", Side::Left),
        ("count", Side::Right),
        ("first", Side::Left),
        ("last", Side::Left),
        ("meaning", Side::Left),
    ]);
    for ((code, stage), group) in &by_count {
        table.row([
            code.as_str(),
            stage,
            &count(group.letters),
            &zone.write(group.first),
            &zone.write(group.last),
            known(code).map_or("", |code| code.message_en()),
        ]);
    }
    let all: i64 = by_count.iter().map(|(_, group)| group.letters).sum();
    let result = json!({
        "dead_letters": all,
        "groups": by_count.iter().map(|((code, stage), group)| json!({
            "code": code, "stage": stage, "count": group.letters,
            "first": group.first, "last": group.last,
        })).collect::<Vec<_>>(),
    });
    if table.is_empty() {
        return Answer::new("no dead letters", result);
    }
    Answer::new(
        format!(
            "{}, by their first reason; `sisdmk dlq list --code <reason>` lists one group",
            counted(usize::try_from(all).unwrap_or(0), "dead letter", "dead letters")
        ),
        result,
    )
    .text(table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(code: &str, at: &str) -> Vec<(String, Vec<u8>)> {
        [
            ("dlq.stage", "processor"),
            ("dlq.error.code", code),
            ("dlq.error.codes", code),
            ("dlq.error.field", "NIK"),
            ("dlq.attempts", "1"),
            ("dlq.failed.at", at),
            ("sisdmk-batch-id", "0193a5c8-0000-7000-8000-000000000001"),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .to_vec()
    }

    fn letter(offset: i64, code: &str, at: &str) -> DeadLetter {
        Envelope {
            place: DlqPlace { partition: 0, offset },
            timestamp_ms: None,
            key: None,
            headers: &headers(code, at),
        }
        .read()
    }

    #[test]
    fn the_list_names_place_reasons_and_batch() {
        let letters = [letter(17, "nik_length", "2026-11-23T01:00:00Z")];
        let answer = listed(&letters, 40, Zone::of("Asia/Jakarta"));
        let line = answer.text.lines().nth(1).expect("a line");
        assert_eq!(
            line,
            "sisdmk.dlq/0/17  2026-11-23 08:00:00 WIB  processor  nik_length  NIK        1  0193a5c8-0000-7000-8000-000000000001"
        );
        assert!(answer.summary.starts_with("the newest 1 of 40 dead letters"));
        assert_eq!(answer.result["dead_letters"][0]["place"], "sisdmk.dlq/0/17");
        assert_eq!(listed(&[], 0, Zone::of("UTC")).summary, "no dead letters");
    }

    #[test]
    fn groups_count_by_first_reason() {
        let mut groups = Groups::default();
        groups.push(&letter(1, "nik_length", "2026-11-23T03:00:00Z"));
        groups.push(&letter(2, "nama_missing", "2026-11-23T01:00:00Z"));
        groups.push(&letter(3, "nik_length", "2026-11-23T01:00:00Z"));
        let answer = grouped(&groups, Zone::of("UTC"));
        let first = answer.text.lines().nth(1).expect("a line");
        assert!(
            first.starts_with("nik_length    processor      2  2026-11-23 01:00:00 UTC  2026-11-23 03:00:00 UTC"),
            "{first}"
        );
        assert_eq!(answer.result["groups"][0]["count"], 2);
        assert!(answer.summary.starts_with("3 dead letters"));
    }

    #[test]
    fn a_letter_is_explained_in_both_languages_and_without_a_value() {
        let headers = headers("nik_length", "2026-11-23T01:00:00Z");
        let envelope =
            Envelope { place: DlqPlace { partition: 0, offset: 17 }, timestamp_ms: None, key: None, headers: &headers };
        let record = br#"{"NIK":"32730112058000","NAMA":"Budi Santoso"}"#;
        let answer = explained(&envelope, &mask::outline(record, "NIK"), Zone::of("UTC"));
        assert!(answer.text.contains(rules::Code::NikLength.message_id()));
        assert!(answer.text.contains("NAMA"));
        for said in [answer.text.as_str(), &answer.result.to_string()] {
            assert!(!said.contains("Budi") && !said.contains("32730112058000"), "{said}");
        }
        assert_eq!(answer.result["reasons"][0]["code"], "nik_length");
    }
}
