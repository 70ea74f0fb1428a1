//! The SISDMK simulator's process.
use std::process::ExitCode;

fn main() -> ExitCode {
    simulator::main()
}
