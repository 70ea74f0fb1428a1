//! `console`, built for the end-to-end tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    console::main()
}
