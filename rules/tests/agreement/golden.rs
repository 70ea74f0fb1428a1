//! The golden files against the oracle and against the rules.

use std::collections::BTreeSet;
use std::fs;

use rules::{Code, REVISION};
use sha2::{Digest, Sha256};

use crate::cases::{Book, folder};
use crate::oracle::Oracle;
use crate::verdict::told;

/// Codes of the stages: no record alone can earn them, so they have tests where they are made.
const OF_STAGES: [Code; 5] =
    [Code::HeaderMissing, Code::IdentityMismatch, Code::RecordTooLarge, Code::FrameUndecodable, Code::RowRefused];

#[test]
fn the_golden_files_the_oracle_and_the_rules_agree_in_every_field() {
    let book = Book::read();
    assert!(book.cases.len() >= 300, "{} cases", book.cases.len());
    let questions: Vec<(&str, &[u8])> =
        book.cases.iter().map(|case| (case.profile.as_str(), case.payload.as_slice())).collect();
    let opinions = Oracle::start().ask(&questions);
    let mut differences = Vec::new();
    for (case, oracle) in book.cases.iter().zip(opinions) {
        let ours = told(&case.payload, book.fetched_at, &book.profiles[&case.profile]);
        for (who, verdict) in [("the oracle", &oracle), ("the rules", &ours)] {
            if *verdict != case.expected {
                differences.push(format!(
                    "{}\n  rule    {}\n  golden  {}\n  {who} {verdict}",
                    case.place, case.rule, case.expected
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn names_are_unique_and_every_reason_of_a_record_stands_in_the_golden_files() {
    let book = Book::read();
    let places: BTreeSet<&str> = book.cases.iter().map(|case| case.place.as_str()).collect();
    assert_eq!(places.len(), book.cases.len(), "two cases of one name");
    let told: BTreeSet<&str> = book
        .cases
        .iter()
        .flat_map(|case| ["reasons", "warnings"].into_iter().filter_map(|list| case.expected[list].as_array()))
        .flatten()
        .filter_map(|reason| reason.as_str()?.split('@').next())
        .collect();
    for code in Code::ALL.iter().filter(|code| !OF_STAGES.contains(code)) {
        assert!(told.contains(code.as_str()), "no golden case has {code}");
    }
}

#[test]
fn a_changed_verdict_is_a_new_revision() {
    let book = Book::read();
    let mut lines: Vec<String> = book
        .cases
        .iter()
        .map(|case| {
            let verdict = told(&case.payload, book.fetched_at, &book.profiles[&case.profile]);
            let payload: String = case.payload.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} {payload} {verdict}\n", case.profile)
        })
        .collect();
    lines.sort();
    let digest: String =
        Sha256::digest(lines.concat().as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let now = format!("{REVISION} {} {digest}", lines.len());
    let file = fs::read_to_string(folder("golden").join("revisions.txt")).expect("revisions.txt");
    let known: Vec<&str> = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let revisions: Vec<i32> =
        known.iter().map(|line| line.split(' ').next().and_then(|it| it.parse().ok()).expect("a revision")).collect();
    assert!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "one line for a revision, in order");
    assert_eq!(
        known.last().copied(),
        Some(now.as_str()),
        "verdicts changed: raise rules::REVISION, say in CONTRACT 11.11 what changed and add this line; where cases were \
         only added or taken away, correct the line"
    );
    for (one, other) in known.iter().zip(known.iter().skip(1)) {
        assert_ne!(one.split(' ').nth(2), other.split(' ').nth(2), "a revision without a changed verdict");
    }
}
