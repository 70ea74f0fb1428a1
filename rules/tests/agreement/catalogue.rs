//! The catalogue of reasons: its page for people, and the promise that a code once released stays.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rules::{Code, Severity};

use crate::cases::folder;

fn severity(code: Code) -> &'static str {
    match code.severity() {
        Severity::Hard => "hard",
        Severity::Soft => "soft",
    }
}

/// `docs/reasons.md`.
fn page() -> String {
    let mut page = "# Reasons\n\nWhat can be wrong with a record, and what to do about it. `sisdmk reasons` prints the same. A hard reason refuses \
        the record: it becomes a dead letter. A soft one leaves it clean, with a warning.\nA code keeps its name and meaning for ever.\n"
        .to_owned();
    for (kind, title) in [(Severity::Hard, "Hard"), (Severity::Soft, "Soft")] {
        page.push_str(&format!(
            "\n## {title}\n\n| code | what is wrong | apa yang salah | who acts | what to do | yang harus dilakukan |\n|---|---|---|---|---|---|\n"
        ));
        for code in Code::ALL.iter().filter(|code| code.severity() == kind) {
            let action = code.action();
            page.push_str(&format!(
                "| `{code}` | {} | {} | {} | {} | {} |\n",
                code.message_en(),
                code.message_id(),
                action.by.as_str(),
                action.en,
                action.id
            ));
        }
    }
    page
}

#[test]
fn the_page_for_people_says_what_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reasons.md");
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == page(), "docs/reasons.md differs from the catalogue; it should be:\n{}", page());
}

#[test]
fn a_released_code_stays_with_its_severity_and_every_code_is_released() {
    let text = fs::read_to_string(folder("reasons_released.txt")).expect("reasons_released.txt");
    let released: BTreeMap<&str, &str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' ')).collect();
    for (name, kind) in &released {
        let code = Code::parse(name).unwrap_or_else(|| panic!("{name} was released and is gone"));
        assert_eq!(severity(code), *kind, "{name} was released with another severity");
    }
    for code in Code::ALL {
        assert!(released.contains_key(code.as_str()), "{code} is new: add `{code} {}`", severity(*code));
    }
}
