//! The oracle as a process: records in, verdicts out, many at a time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A running oracle. It ends with its input.
pub(crate) struct Oracle {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// A missing Python fails the test: it never passes without its second opinion.
    pub(crate) fn start() -> Self {
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracle/main.py");
        let mut child = Command::new("python3")
            // No compiled files beside the sources.
            .args(["-B".as_ref(), main.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 3.11 or newer is needed for the oracle of these tests");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, answers }
    }

    /// Its verdicts about records, each under a profile.
    pub(crate) fn ask(&mut self, questions: &[(&str, &[u8])]) -> Vec<Value> {
        let mut stdin = self.child.stdin.take().expect("piped");
        let answers = &mut self.answers;
        let (verdicts, stdin) = std::thread::scope(|scope| {
            // Written from another thread: both pipes hold less than the whole.
            let writer = scope.spawn(move || {
                for (profile, payload) in questions {
                    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
                    writeln!(stdin, "{}", json!({ "profile": profile, "record": hex })).expect("the oracle reads");
                }
                stdin
            });
            let verdicts = questions.iter().map(|_| {
                let mut line = String::new();
                answers.read_line(&mut line).expect("the oracle answers");
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("the oracle broke off: {error}"))
            });
            (verdicts.collect(), writer.join().expect("written"))
        });
        self.child.stdin = Some(stdin);
        verdicts
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends by itself; what it returned does not matter any more.
        let _ = self.child.wait();
    }
}
