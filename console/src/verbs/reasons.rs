//! `sisdmk reasons`: the catalogue of reasons, in both languages.

use rules::{Code, Severity};
use serde_json::{Value, json};

use crate::outcome::Answer;
use crate::words::counted;

/// Every reason in catalogue order.
pub(crate) fn run() -> Answer {
    let all = Code::ALL;
    let of = |severity: Severity| all.iter().filter(move |code| code.severity() == severity);
    let mut text = String::new();
    for (severity, title) in [
        (Severity::Hard, "Reasons that refuse a record: it goes to the dead letters"),
        (Severity::Soft, "Reasons that mark a record: it is taken, with a warning"),
    ] {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(title);
        text.push('\n');
        for code in of(severity) {
            text.push('\n');
            text.push_str(&told(*code, ""));
        }
    }
    let (hard, soft) = (of(Severity::Hard).count(), of(Severity::Soft).count());
    Answer::new(
        format!("{}: {hard} refuse a record, {soft} mark it", counted(all.len(), "reason", "reasons")),
        json!({ "reasons": all.iter().map(|code| reason(*code)).collect::<Vec<_>>() }),
    )
    .text(text)
}

/// One reason, for people: its code after `indent`, and below it what it says and what to do.
pub(crate) fn told(code: Code, indent: &str) -> String {
    let action = code.action();
    let (en, id) = (code.message_en(), code.message_id());
    let lines = [
        code.as_str().to_owned(),
        format!("  en  {en}"),
        format!("  id  {id}"),
        format!("  to do, by the {}:", action.by.as_str()),
        format!("  en  {}", action.en),
        format!("  id  {}", action.id),
    ];
    lines.map(|line| format!("{indent}{line}\n")).concat()
}

/// One reason, for programs.
pub(crate) fn reason(code: Code) -> Value {
    json!({
        "code": code.as_str(),
        "severity": match code.severity() {
            Severity::Hard => "hard",
            Severity::Soft => "soft",
        },
        "message_en": code.message_en(),
        "message_id": code.message_id(),
        "action": {
            "by": code.action().by.as_str(),
            "en": code.action().en,
            "id": code.action().id,
        },
    })
}
