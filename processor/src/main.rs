//! The processor's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    processor::main()
}
