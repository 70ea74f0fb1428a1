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
            let action = code.action();
            text.push_str(&format!(
                "\n{}\n  en  {}\n  id  {}\n  to do, by the {}:\n  en  {}\n  id  {}\n",
                code.as_str(),
                code.message_en(),
                code.message_id(),
                action.by.as_str(),
                action.en,
                action.id,
            ));
        }
    }
    let (hard, soft) = (of(Severity::Hard).count(), of(Severity::Soft).count());
    Answer::new(
        format!("{}: {hard} refuse a record, {soft} mark it", counted(all.len(), "reason", "reasons")),
        json!({ "reasons": all.iter().map(|code| reason(*code)).collect::<Vec<_>>() }),
    )
    .text(text)
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
