//! Programs of the machine: where they are, and what to install when they are not there.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A variable of the caller's environment. Only where programs and the cache are is read from
/// there; what the stack does is decided by its options.
#[expect(
    clippy::disallowed_methods,
    reason = "this crate uses no other of ours, and these are not settings of the product"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// The program `name`, as the shell would find it.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    find(name, &path)
}

fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|dir| dir.join(name)).find(|candidate| is_executable(candidate))
}

/// Whether it is a file that somebody may run.
pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A command with a small, known environment: what the user has set for other programs of the
/// same kind (`QUARKUS_HTTP_PORT`, `PGDATA`, `JAVA_TOOL_OPTIONS` ...) must not reach the servers.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "JAVA_HOME"] {
        if let Some(value) = variable(name) {
            command.env(name, value);
        }
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_the_shell_finds_it() {
        assert!(find("sh", OsStr::new("/nowhere:/bin:/usr/bin")).is_some());
        assert_eq!(find("sh", OsStr::new("")), None);
        assert_eq!(find("passwd", OsStr::new("/etc")), None, "a file nobody may run");
    }
}
