//! Starts and stops the local servers; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    stack::main()
}
