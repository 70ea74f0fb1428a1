//! The `sisdmk` command; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    console::main()
}
