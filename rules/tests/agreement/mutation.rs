//! Goal: no bytes make the rules panic, and none are judged otherwise than the oracle judges them, above all none accepted
//! that it refuses. Method: golden records are damaged by chance, in their bytes and in their values, for a bounded
//! time; all verdicts are compared in every field. A record on which the two differ is kept in `tests/regressions/` and
//! judged in every later run.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::cases::{Book, folder, from_hex};
use crate::oracle::Oracle;
use crate::verdict::told;

/// Records that are judged between two looks at the clock.
const CHUNK: usize = 400;

#[expect(
    clippy::disallowed_methods,
    reason = "a test is asked for a longer run, or for one run again, by its environment"
)]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number")))
}

#[expect(clippy::disallowed_methods, reason = "the run is bounded by time, and another seed each time finds more")]
fn clocks() -> (Instant, u64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis());
    (Instant::now(), u64::try_from(since).unwrap_or(1))
}

/// SplitMix64: small, and the same for a seed everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("small")).expect("below a usize")
    }

    fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

/// Pieces of text that mean something to some rule.
const PIECES: [&str; 62] = [
    "0",
    "1",
    "9",
    "00",
    "0000",
    "40",
    "71",
    "72",
    "31",
    "29",
    "02",
    ".",
    ",",
    "-",
    "/",
    " ",
    "  ",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "'",
    "=",
    "E+15",
    ".0",
    "~",
    "~2",
    "dr.",
    "drg",
    "H.",
    "Hj.",
    "Ns.",
    "S.Kep",
    "S. Kep",
    "A.Md.",
    "Sp.",
    "Sp.OG(K)",
    "(K)",
    "-KL",
    "SKM",
    "MARS",
    "Kab.",
    "Kota",
    "Kep.",
    "Adm.",
    "\u{7}",
    "\u{202e}",
    "\u{200f}",
    "\u{1c}",
    "\u{85}",
    "e\u{301}",
    "É",
    "ß",
    "K",
    "٣",
    "NULL",
    "#N/A",
    "None",
    "Aktif",
    "Mei",
    "Seumur Hidup",
    "T00:00:00",
    "+07:00",
];

/// Pieces of JSON.
const TOKENS: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "-",
    "0",
    "1",
    ".",
    "e",
    "E+15",
    "1e400",
    "\\u0000",
    "\\ud83c",
    "\\udfe5",
    "\\u0041",
    "\\n",
    " ",
    "\n",
    "\"NIK\":",
    "\"NIK\":9301014101900003",
    "3.273015705900004E+15",
    "\"A\":1,",
    "[[[[",
    "]]]]",
    "{}",
    "[]",
    "\0",
    "é",
];

fn mutated_text(text: &str, dice: &mut Dice) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = dice.below(chars.len() + 1);
    let (head, tail) = chars.split_at(at);
    let (head, tail): (String, String) = (head.iter().collect(), tail.iter().collect());
    match dice.below(5) {
        0 => format!("{head}{}{tail}", dice.pick(&PIECES)),
        1 => format!("{head}{}", tail.chars().skip(1).collect::<String>()),
        2 => format!("{head}{}{}", dice.pick(&PIECES), tail.chars().skip(1).collect::<String>()),
        3 => (*dice.pick(&PIECES)).to_owned(),
        _ => format!("{tail}{head}"),
    }
}

/// Every value that is no object or list, as pointers.
fn scalars(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| {
            scalars(inner, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => {
            items.iter().take(3).enumerate().for_each(|(at, inner)| scalars(inner, &format!("{path}/{at}"), found));
        }
        _ => found.push(path.to_owned()),
    }
}

/// Changes one value, often to one that another golden record has there.
fn mutate_value(record: &mut Value, other: &Value, dice: &mut Dice) {
    let mut pointers = Vec::new();
    scalars(record, "", &mut pointers);
    if pointers.is_empty() {
        return;
    }
    let pointer = dice.pick(&pointers).clone();
    let Some(place) = record.pointer_mut(&pointer) else { return };
    *place = match dice.below(8) {
        0 | 1 => other.pointer(&pointer).cloned().unwrap_or(Value::Null),
        2 => json!(dice.next()),
        3 => dice.pick(&[json!(null), json!(true), json!({}), json!([]), json!([{}]), json!(1.5), json!(-1)]).clone(),
        _ => match &*place {
            Value::String(text) => json!(mutated_text(text, dice)),
            other => json!(mutated_text(&other.to_string(), dice)),
        },
    };
}

fn mutate_bytes(payload: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(payload.len() + 1);
    let end = (at + dice.below(6)).min(payload.len());
    match dice.below(5) {
        0 => {
            payload.splice(at..at, dice.pick(&TOKENS).bytes());
        }
        1 => {
            payload.splice(at..end, dice.pick(&TOKENS).bytes());
        }
        2 => {
            payload.drain(at..end);
        }
        3 if at < payload.len() => payload[at] ^= 1 << dice.below(8),
        _ => payload.insert(at, u8::try_from(dice.below(256)).expect("a byte")),
    }
}

fn damaged(book: &Book, dice: &mut Dice) -> (String, Vec<u8>) {
    let case = dice.pick(&book.cases);
    let other = dice.pick(&book.cases);
    let names: Vec<&String> = book.profiles.keys().collect();
    let profile = if dice.below(3) == 0 { (*dice.pick(&names)).clone() } else { case.profile.clone() };
    let mut payload = case.payload.clone();
    // Long records are slow and say nothing more.
    payload.truncate(20_000);
    if dice.below(10) < 7
        && let (Ok(mut record), Ok(other)) =
            (serde_json::from_slice::<Value>(&payload), serde_json::from_slice::<Value>(&other.payload))
    {
        for _ in 0..=dice.below(3) {
            mutate_value(&mut record, &other, dice);
        }
        payload = record.to_string().into_bytes();
    }
    if dice.below(10) < 4 {
        for _ in 0..=dice.below(3) {
            mutate_bytes(&mut payload, dice);
        }
    }
    (profile, payload)
}

/// Compares; on a difference keeps the record and fails.
fn compare(book: &Book, oracle: &mut Oracle, records: &[(String, Vec<u8>)], seed: u64) {
    let questions: Vec<(&str, &[u8])> =
        records.iter().map(|(profile, payload)| (profile.as_str(), payload.as_slice())).collect();
    for ((profile, payload), opinion) in records.iter().zip(oracle.ask(&questions)) {
        let ours = told(payload, book.fetched_at, &book.profiles[profile]);
        if ours == opinion {
            continue;
        }
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{:016x}.json", seed ^ u64::try_from(payload.len()).unwrap_or_default().rotate_left(40));
        let kept = json!({ "profile": profile, "record": hex }).to_string();
        let path = folder("regressions").join(&name);
        fs::write(&path, kept + "\n").expect("the record is kept");
        let shown = String::from_utf8_lossy(payload);
        panic!(
            "seed {seed}, {profile}, kept as tests/regressions/{name}:\n{shown}\n  rules  {ours}\n  oracle {opinion}"
        );
    }
}

#[test]
fn records_found_before_are_judged_alike() {
    let book = Book::read();
    let mut records = Vec::new();
    for file in fs::read_dir(folder("regressions")).expect("regressions") {
        let path = file.expect("a file").path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let kept: Value = serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON");
        let text = |key: &str| kept[key].as_str().unwrap_or_else(|| panic!("{}: {key}", path.display())).to_owned();
        records.push((text("profile"), from_hex(&text("record"))));
    }
    let questions: Vec<(&str, &[u8])> =
        records.iter().map(|(profile, payload)| (profile.as_str(), payload.as_slice())).collect();
    for ((profile, payload), opinion) in records.iter().zip(Oracle::start().ask(&questions)) {
        assert_eq!(told(payload, book.fetched_at, &book.profiles[profile]), opinion, "{profile}");
    }
}

#[test]
fn no_damage_is_judged_otherwise_than_the_oracle_judges_it() {
    let (started, millis) = clocks();
    let seed = setting("SISDMK_MUTATION_SEED").unwrap_or(millis);
    let bound = Duration::from_secs(setting("SISDMK_MUTATION_SECONDS").unwrap_or(5));
    let (book, mut oracle, mut dice) = (Book::read(), Oracle::start(), Dice(seed));
    let mut judged = 0;
    while judged == 0 || started.elapsed() < bound {
        let records: Vec<(String, Vec<u8>)> = (0..CHUNK).map(|_| damaged(&book, &mut dice)).collect();
        compare(&book, &mut oracle, &records, seed);
        judged += records.len();
    }
    #[expect(clippy::print_stdout, reason = "the seed must be known to repeat a run")]
    {
        println!("seed {seed}: {judged} damaged records judged alike in {:?}", started.elapsed());
    }
}
