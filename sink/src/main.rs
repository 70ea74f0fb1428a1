//! The sink's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    sink::main()
}
