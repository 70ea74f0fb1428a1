//! What a verb hands back, and how it is printed: words and tables for people, one JSON object for
//! programs. Pure but for [`print()`].

use std::io::Write;
use std::process::ExitCode;

use platform::exit::{Exit, Failure, sentence};
use serde_json::{Value, json};

/// What a verb has to say when it did what was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// One sentence, without a full stop; the last line for people, `summary` for programs.
    pub(crate) summary: String,
    /// What programs read.
    pub(crate) result: Value,
    /// What people read before the summary; lines, each ended. May be empty.
    pub(crate) text: String,
}

impl Answer {
    /// An answer that is one sentence and a value.
    pub(crate) fn new(summary: impl Into<String>, result: Value) -> Self {
        Self { summary: summary.into(), result, text: String::new() }
    }

    /// The same answer with what people read before the summary.
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

/// Why a verb did not do what was asked.
///
/// `text` and `result` carry what was found out before; `details` are part of the error, such as
/// the list of differences.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// A stable word for programs: `usage`, `configuration`, `contract_differs`, ...
    pub(crate) code: &'static str,
    /// What failed, where, and what to do.
    pub(crate) failure: Box<Failure>,
    /// What programs read beside the error.
    pub(crate) result: Value,
    /// What people read on standard output, as if nothing had happened; lines, each ended. May be
    /// empty.
    pub(crate) text: String,
    /// What belongs to the error and stands before its sentence; lines, each ended. May be empty.
    pub(crate) details: String,
}

impl Refusal {
    /// A refusal with a code of its own.
    pub(crate) fn new(code: &'static str, failure: Failure) -> Self {
        Self { code, failure: Box::new(failure), result: Value::Null, text: String::new(), details: String::new() }
    }

    /// The same refusal with what was found out before.
    pub(crate) fn with(mut self, result: Value, text: impl Into<String>) -> Self {
        self.result = result;
        self.text = text.into();
        self
    }

    /// The same refusal with what belongs to its error.
    pub(crate) fn explained(mut self, result: Value, details: impl Into<String>) -> Self {
        self.result = result;
        self.details = details.into();
        self
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let code = match failure.exit {
            Exit::Done | Exit::Runtime => "runtime",
            Exit::Config => "configuration",
            Exit::Environment => "environment",
        };
        Self::new(code, failure)
    }
}

/// What a verb returns.
pub(crate) type Outcome = Result<Answer, Refusal>;

/// What goes where, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Printed {
    /// For standard output.
    pub(crate) stdout: String,
    /// For standard error.
    pub(crate) stderr: String,
    /// For the operating system.
    pub(crate) exit: u8,
}

/// Lays an outcome out, for people or (`json`) for programs.
pub(crate) fn lay_out(command: &str, outcome: &Outcome, json: bool) -> Printed {
    match outcome {
        Ok(answer) => Printed {
            stdout: if json {
                envelope(command, true, &answer.summary, &answer.result, Value::Null)
            } else {
                paragraphs(&answer.text, &answer.summary)
            },
            stderr: String::new(),
            exit: Exit::Done.code(),
        },
        Err(refusal) if json => {
            // The hint has a field of its own, so the message is the sentence without it.
            let told = sentence(&refusal.failure);
            let hint = refusal.failure.hint.as_str();
            let message = told.strip_suffix(hint).map_or(told.as_str(), str::trim_end);
            let error = json!({ "code": refusal.code, "message": message, "hint": hint });
            Printed {
                stdout: envelope(command, false, message, &refusal.result, error),
                stderr: String::new(),
                exit: refusal.failure.exit.code(),
            }
        }
        Err(refusal) => Printed {
            stdout: refusal.text.clone(),
            stderr: match refusal.details.as_str() {
                "" => format!("error: {}\n", sentence(&refusal.failure)),
                details => format!("{details}\nerror: {}\n", sentence(&refusal.failure)),
            },
            exit: refusal.failure.exit.code(),
        },
    }
}

fn envelope(command: &str, ok: bool, summary: &str, result: &Value, error: Value) -> String {
    let object = json!({
        "command": command,
        "ok": ok,
        "summary": summary,
        "result": result,
        "error": error,
    });
    format!("{object}\n")
}

fn paragraphs(text: &str, summary: &str) -> String {
    match (text.is_empty(), summary.is_empty()) {
        (true, _) => format!("{summary}\n"),
        (false, true) => text.to_owned(),
        (false, false) => format!("{text}\n{summary}\n"),
    }
}

/// Prints an outcome and gives the exit code of the process.
///
/// A reader that has gone away (`sisdmk batches | head -1`) is not an error.
pub(crate) fn print(printed: &Printed) -> ExitCode {
    let _ = std::io::stdout().lock().write_all(printed.stdout.as_bytes());
    let _ = std::io::stderr().lock().write_all(printed.stderr.as_bytes());
    ExitCode::from(printed.exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Outcome {
        Err(Refusal::new("contract_differs", Failure::environment("2 things differ").hint("see the list"))
            .with(json!({"differences": [1, 2]}), "the list\n"))
    }

    #[test]
    fn people_read_the_text_and_then_the_summary() {
        let outcome = Ok(Answer::new("2 batches", json!([])).text("A\nb\n"));
        let printed = lay_out("batches", &outcome, false);
        assert_eq!(printed.stdout, "A\nb\n\n2 batches\n");
        assert_eq!((printed.stderr.as_str(), printed.exit), ("", 0));
    }

    #[test]
    fn programs_read_one_object_on_one_line() {
        let outcome = Ok(Answer::new("2 batches", json!({"n": 2})).text("not for programs\n"));
        assert_eq!(
            lay_out("batches", &outcome, true).stdout,
            "{\"command\":\"batches\",\"error\":null,\"ok\":true,\"result\":{\"n\":2},\"summary\":\"2 batches\"}\n"
        );
    }

    #[test]
    fn a_refusal_tells_people_on_standard_error_and_keeps_the_list_on_standard_output() {
        let printed = lay_out("setup", &refused(), false);
        assert_eq!(printed.stdout, "the list\n");
        assert_eq!(printed.stderr, "error: 2 things differ\n  see the list\n");
        assert_eq!(printed.exit, 3);
    }

    #[test]
    fn details_belong_to_the_error() {
        let refusal = Refusal::new("x", Failure::environment("2 things differ")).explained(Value::Null, "a\nb\n");
        let printed = lay_out("setup", &Err(refusal), false);
        assert_eq!((printed.stdout.as_str(), printed.stderr.as_str()), ("", "a\nb\n\nerror: 2 things differ\n"));
    }

    #[test]
    fn a_refusal_tells_programs_code_message_and_hint_apart() {
        let printed = lay_out("setup", &refused(), true);
        let object: Value = serde_json::from_str(&printed.stdout).expect("one JSON object");
        assert_eq!(
            object,
            json!({
                "command": "setup",
                "ok": false,
                "summary": "2 things differ",
                "result": {"differences": [1, 2]},
                "error": {"code": "contract_differs", "message": "2 things differ", "hint": "see the list"},
            })
        );
        assert_eq!((printed.stderr.as_str(), printed.exit), ("", 3));
    }
}
