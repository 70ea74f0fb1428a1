//! `sisdmk schema check` and `diff`: this program's schemas beside the registry's.

use platform::exit::Failure;
use platform::settings::Settings;
use serde_json::{Value, json};

use crate::contract::{SUBJECTS, Subject};
use crate::edge::registry::Registry;
use crate::evolution::{Change, changes};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::setup::plan::{FoundSchema, FoundSubject};
use crate::table::{Side, Table};

/// Whether the registry holds each schema, or would take it.
pub(crate) async fn check(settings: &Settings) -> Outcome {
    let registry = Registry::new(settings)?;
    let mut found = Vec::new();
    for subject in SUBJECTS {
        found.push((*subject, registry.look(subject).await?));
    }
    checked(&found)
}

/// How one subject stands: a word for programs, a sentence, and whether anything is wrong.
fn standing(subject: &Subject, found: Option<&FoundSubject>) -> (&'static str, String, bool) {
    let Some(found) = found else {
        return ("missing", "not registered: run `sisdmk setup`".to_owned(), true);
    };
    match &found.schema {
        FoundSchema::MayNotFollow(why) => ("incompatible", why.clone(), true),
        _ if found.compatibility.as_deref() != Some(subject.compatibility) => (
            "rule_differs",
            format!(
                "its rule must be {} and is {}: set it in the registry",
                subject.compatibility,
                found.compatibility.as_deref().unwrap_or("not set")
            ),
            true,
        ),
        FoundSchema::Registered => ("registered", "registered, as agreed".to_owned(), false),
        FoundSchema::None => ("missing", "not registered: run `sisdmk setup`".to_owned(), true),
        FoundSchema::MayFollow => {
            ("may_follow", "newer than the registry's and compatible: run `sisdmk setup`".to_owned(), true)
        }
    }
}

fn checked(found: &[(Subject, Option<FoundSubject>)]) -> Outcome {
    let mut table = Table::new(&[("schema", Side::Left), ("rule", Side::Left), ("state", Side::Left)]);
    let mut rows = Vec::new();
    let mut wrong = 0;
    for (subject, found) in found {
        let (state, sentence, is_wrong) = standing(subject, found.as_ref());
        let rule = found.as_ref().and_then(|found| found.compatibility.as_deref());
        table.row([subject.name, rule.unwrap_or("-"), &sentence]);
        rows.push(json!({
            "subject": subject.name,
            "state": state,
            "text": sentence,
            "compatibility": rule,
        }));
        wrong += usize::from(is_wrong);
    }
    let result = json!({ "subjects": rows });
    if wrong == 0 {
        return Ok(Answer::new("the registry holds these schemas", result).text(table.render()));
    }
    let failure = Failure::environment(format!(
        "{} not as agreed in the registry",
        match wrong {
            1 => "1 schema is".to_owned(),
            n => format!("{n} schemas are"),
        }
    ))
    .hint("the list says what to do; `sisdmk schema diff` shows the fields");
    Err(Refusal::new("contract_differs", failure).explained(result, table.render()))
}

/// The fields that differ between the registry's latest version and this program's schema.
pub(crate) async fn diff(settings: &Settings) -> Outcome {
    let registry = Registry::new(settings)?;
    let mut differences = Vec::new();
    for subject in SUBJECTS {
        let latest = registry.versions(subject).await?.pop();
        let changes = match &latest {
            None => None,
            Some((version, text)) => Some((
                *version,
                changes(text, subject.avsc).map_err(|error| {
                    Failure::environment(format!(
                        "version {version} of {} in the registry is not readable",
                        subject.name
                    ))
                    .because(error)
                })?,
            )),
        };
        differences.push((subject.name, changes));
    }
    Ok(differing(&differences))
}

/// The number of a subject's latest version, and what differs from it.
type Latest = (u32, Vec<Change>);

/// `found`: by subject, what differs from its latest version; `None` where there is none.
fn differing(found: &[(&str, Option<Latest>)]) -> Answer {
    let mut text = String::new();
    let mut rows: Vec<Value> = Vec::new();
    let mut all = 0;
    for (subject, found) in found {
        if !text.is_empty() {
            text.push('\n');
        }
        let Some((version, changes)) = found else {
            text.push_str(&format!("{subject}: not registered\n"));
            rows.push(json!({ "subject": subject, "version": null, "changes": [] }));
            continue;
        };
        all += changes.len();
        if changes.is_empty() {
            text.push_str(&format!("{subject}: the same as version {version} in the registry\n"));
        } else {
            text.push_str(&format!("{subject}: beside version {version} in the registry\n"));
            let mut table = Table::new(&[
                ("  field", Side::Left),
                ("in the registry", Side::Left),
                ("in this program", Side::Left),
            ]);
            for change in changes {
                let there = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
                table.row([format!("  {}", change.field), there(&change.before), there(&change.after)]);
            }
            text.push_str(&table.render());
        }
        rows.push(json!({
            "subject": subject,
            "version": version,
            "changes": changes.iter().map(|change| json!({
                "field": change.field, "registry": change.before, "program": change.after,
            })).collect::<Vec<_>>(),
        }));
    }
    Answer::new(
        match all {
            0 => "no field differs".to_owned(),
            1 => "1 field differs".to_owned(),
            n => format!("{n} fields differ"),
        },
        json!({ "subjects": rows }),
    )
    .text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standing_has_its_word() {
        let check = |found: Option<(Option<&str>, FoundSchema)>, state: &str, wrong: bool| {
            let found = found.map(|(rule, schema)| FoundSubject { compatibility: rule.map(str::to_owned), schema });
            let (word, _, is_wrong) = standing(&SUBJECTS[0], found.as_ref());
            assert_eq!((word, is_wrong), (state, wrong));
        };
        let rule = Some("FULL_TRANSITIVE");
        check(None, "missing", true);
        check(Some((rule, FoundSchema::None)), "missing", true);
        check(Some((rule, FoundSchema::Registered)), "registered", false);
        check(Some((rule, FoundSchema::MayFollow)), "may_follow", true);
        check(Some((None, FoundSchema::Registered)), "rule_differs", true);
        check(Some((rule, FoundSchema::MayNotFollow("x".to_owned()))), "incompatible", true);
    }

    #[test]
    fn a_check_fails_where_one_schema_is_not_as_agreed() {
        let good = FoundSubject { compatibility: Some("FULL_TRANSITIVE".to_owned()), schema: FoundSchema::Registered };
        assert!(checked(&[(SUBJECTS[0], Some(good.clone()))]).is_ok());
        let refusal = checked(&[(SUBJECTS[0], Some(good)), (SUBJECTS[1], None)]).expect_err("one is missing");
        assert_eq!(refusal.failure.exit.code(), 3);
        assert!(refusal.details.contains("sisdmk.audit-value  -"));
    }

    #[test]
    fn a_diff_shows_both_sides() {
        let change = Change { field: "nip".to_owned(), before: None, after: Some("string".to_owned()) };
        let answer = differing(&[("a", Some((3, vec![change]))), ("b", None), ("c", Some((1, vec![])))]);
        assert!(answer.text.contains("  nip    -                string"), "{}", answer.text);
        assert!(answer.text.contains("b: not registered"));
        assert_eq!(answer.summary, "1 field differs");
    }
}
