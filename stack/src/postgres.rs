//! PostgreSQL from the distribution, with a cluster of the stack's own.
//!
//! It refuses to run as root. So under root it runs as an unprivileged user, and its data must
//! lie where that user can reach them: a stack below `/root` keeps them in `/var/lib/sisdmk-stack`
//! instead, with a link where they would have been. It listens on 127.0.0.1 only, without a
//! socket file (whose path may be 107 bytes long at most), and asks everybody for the password.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::checksums::hex;
use crate::error::StackError;
use crate::options::Options;
use crate::probe::Probe;
use crate::process::{self, Bond, ProcessId};
use crate::server::{self, Recipe, Server, User};
use crate::tools;

/// Owner of the database; a superuser of this cluster, because `sisdmk setup` makes roles.
pub(crate) const ROLE: &str = "sisdmk_admin";
/// The product's database.
pub(crate) const DATABASE: &str = "healthforce";
/// Three stages, a console and somebody with `psql`; each idle connection costs memory.
const CONNECTIONS_MAX: u32 = 60;
/// Where Debian and Ubuntu put the programs, one directory for each major version.
const PACKAGES: &str = "/usr/lib/postgresql";
/// Where data go that the unprivileged user could not reach in the stack's directory.
const ELSEWHERE: &str = "/var/lib/sisdmk-stack";
/// In each directory there: whose data it holds.
const BELONGS_TO: &str = "stack-dir";

/// The file with the password of [`ROLE`], readable by the caller only.
pub(crate) fn password_file(dir: &Path) -> PathBuf {
    dir.join("postgres.password")
}

/// The same password in the form that `psql` reads (`PGPASSFILE`).
pub(crate) fn passfile(dir: &Path) -> PathBuf {
    dir.join("postgres.pgpass")
}

/// Whether there is a PostgreSQL to start; asked before anything is downloaded.
pub(crate) fn check_installed() -> Result<(), StackError> {
    newest_programs().map(drop)
}

/// Prepares the cluster and says how to start the server.
pub(crate) fn prepare(options: &Options, port: u16) -> Result<Recipe, StackError> {
    let log = options.dir.join("logs/postgres.log");
    let user = unprivileged_user()?;
    let link = link_in(&options.dir);
    let programs;
    let data = if link.exists() {
        let data = fs::canonicalize(&link).map_err(StackError::io("find", &link))?;
        programs = programs_for(&data)?;
        data
    } else {
        programs = newest_programs()?;
        let parent = place(&options.dir, user)?;
        initialise(options, &programs, user, &parent, &log)?
    };
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    for setting in settings(options, port) {
        arguments.extend(["-c".to_owned(), setting]);
    }
    Ok(Recipe {
        server: Server::Postgres,
        program: programs.join("postgres"),
        arguments,
        user,
        log,
        ports: vec![port],
        probe: Probe::Postgres { port, programs, passfile: passfile(&options.dir), role: ROLE, database: DATABASE },
        // It holds a pid. Should the kernel have given that pid to another process of the same
        // user, Postgres would take it for itself; that no server is left is known before.
        stale_file: Some(data.join("postmaster.pid")),
        working_dir: data,
    })
}

/// Deletes the data of a stack that lie outside its directory.
pub(crate) fn discard(dir: &Path) {
    if let Ok(data) = fs::canonicalize(link_in(dir))
        && let Some(parent) = data.parent()
        && parent.starts_with(ELSEWHERE)
    {
        // Best effort; the next start of any stack tries again.
        let _ = fs::remove_dir_all(parent);
    }
}

fn link_in(dir: &Path) -> PathBuf {
    dir.join("data/postgres")
}

fn settings(options: &Options, port: u16) -> Vec<String> {
    let on_off = if options.postgres_fsync { "on" } else { "off" };
    vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        format!("max_connections={CONNECTIONS_MAX}"),
        format!("shared_buffers={}MB", options.postgres_shared_buffers_mb),
        format!("fsync={on_off}"),
        // Torn pages come from a machine that goes down, which is given up without fsync.
        format!("full_page_writes={on_off}"),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "log_line_prefix=%m [%p] ".to_owned(),
        // No ERROR of a client's statement: its text may quote a value, and a value may be about
        // a person. The client gets it; starts, crashes and refused connections are still here.
        "log_min_messages=log".to_owned(),
        "log_min_error_statement=panic".to_owned(),
        "log_error_verbosity=terse".to_owned(),
    ]
}

/// The user the server must run as; none: the caller.
fn unprivileged_user() -> Result<Option<User>, StackError> {
    if !process::is_root() {
        return Ok(None);
    }
    let path = Path::new("/etc/passwd");
    let text = fs::read_to_string(path).map_err(StackError::io("read", path))?;
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| user_in(&text, name))
        .map(Some)
        .ok_or_else(|| StackError::MissingTool {
            tool: "a user to run Postgres as",
            remedy: "Postgres refuses to run as root and there is neither a user postgres nor a user nobody; run this as an ordinary user".to_owned(),
        })
}

/// `name:x:uid:gid:...`
fn user_in(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(User { uid, gid })
    })
}

fn missing() -> StackError {
    StackError::MissingTool {
        tool: "PostgreSQL",
        remedy: format!("no initdb in {PACKAGES}/*/bin and none on PATH; install it with `apt-get install postgresql`"),
    }
}

fn newest_programs() -> Result<PathBuf, StackError> {
    installed().pop().map(|(_, dir)| dir).or_else(programs_on_path).ok_or_else(missing)
}

/// The programs of the version that made these data: another major version cannot read them.
fn programs_for(data: &Path) -> Result<PathBuf, StackError> {
    let path = data.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(StackError::io("read", &path))?;
    let wanted = text.trim();
    installed()
        .into_iter()
        .find(|(version, _)| version.to_string() == wanted)
        .map(|(_, dir)| dir)
        .or_else(programs_on_path)
        .ok_or_else(|| StackError::MissingTool {
            tool: "PostgreSQL",
            remedy: format!(
                "the data in {} were made by version {wanted}, which is no longer installed; install `postgresql-{wanted}`, or delete the stack's directory to begin anew",
                data.display()
            ),
        })
}

/// Major versions with the directories of their programs, oldest first.
fn installed() -> Vec<(u32, PathBuf)> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(PACKAGES)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let dir = entry.path().join("bin");
            has_programs(&dir).then_some((version, dir))
        })
        .collect();
    found.sort();
    found
}

fn programs_on_path() -> Option<PathBuf> {
    let initdb = fs::canonicalize(tools::on_path("initdb")?).ok()?;
    let dir = initdb.parent()?.to_path_buf();
    has_programs(&dir).then_some(dir)
}

fn has_programs(dir: &Path) -> bool {
    ["postgres", "initdb", "psql", "pg_isready"].iter().all(|name| tools::is_executable(&dir.join(name)))
}

/// The directory to make the cluster in.
fn place(dir: &Path, user: Option<User>) -> Result<PathBuf, StackError> {
    let here = dir.join("data");
    let Some(user) = user else {
        return Ok(here);
    };
    clean_elsewhere(Path::new(ELSEWHERE));
    let absolute = fs::canonicalize(&here).map_err(StackError::io("find", &here))?;
    let reachable = absolute
        .ancestors()
        .all(|dir| fs::metadata(dir).is_ok_and(|meta| may_pass(meta.mode(), meta.uid(), meta.gid(), user)));
    if reachable {
        return Ok(here);
    }
    let mut random = [0; 8];
    random_bytes(&mut random)?;
    let there = Path::new(ELSEWHERE).join(hex(&random));
    fs::create_dir_all(&there).map_err(StackError::io("create", &there))?;
    for dir in [Path::new(ELSEWHERE), &there] {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(StackError::io("open", dir))?;
    }
    let note = there.join(BELONGS_TO);
    fs::write(&note, dir.as_os_str().as_encoded_bytes()).map_err(StackError::io("write", &note))?;
    Ok(there)
}

/// Whether a directory with these permissions can be passed by the user.
fn may_pass(mode: u32, owner: u32, group: u32, user: User) -> bool {
    let bit = if owner == user.uid {
        0o100
    } else if group == user.gid {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

/// Deletes what belongs to stacks whose directory is gone: who deletes it means the data too.
fn clean_elsewhere(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let there = entry.path();
        let Ok(dir) = fs::read_to_string(there.join(BELONGS_TO)) else {
            continue;
        };
        let gone = matches!(
            fs::symlink_metadata(&dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound
        );
        let runs = fs::read_to_string(there.join("postgres/postmaster.pid"))
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse().ok())
            .and_then(ProcessId::of)
            .is_some();
        if gone && !runs {
            // Best effort: another stack may be deleting it at this moment.
            let _ = fs::remove_dir_all(&there);
        }
    }
}

/// Makes the cluster and the database beside their place, then moves them there complete.
fn initialise(
    options: &Options,
    programs: &Path,
    user: Option<User>,
    parent: &Path,
    log: &Path,
) -> Result<PathBuf, StackError> {
    let new = parent.join("postgres.new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(StackError::io("remove", &new))?;
    }
    DirBuilder::new().mode(0o700).create(&new).map_err(StackError::io("create", &new))?;
    let mut random = [0; 24];
    random_bytes(&mut random)?;
    let password = hex(&random);
    // A copy of its own, because initdb reads it as the other user.
    let pwfile = parent.join("postgres.pwfile");
    write_secret(&pwfile, &password)?;
    if let Some(user) = user {
        for path in [&new, &pwfile] {
            chown(path, Some(user.uid), Some(user.gid)).map_err(StackError::io("own", path))?;
        }
    }
    let run = |program: &str, arguments: &[&str], input: &str| {
        let mut command = tools::command(&programs.join(program));
        command.args(arguments).current_dir(&new);
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
        run_logged(command, input, log)
    };
    let data = new.display().to_string();
    let pwfile_option = format!("--pwfile={}", pwfile.display());
    let mut initdb = vec![
        "-D",
        &data,
        "-U",
        ROLE,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        // Sorts by code point, the same on every machine, and needs no installed locale.
        "--locale=C.UTF-8",
        &pwfile_option,
    ];
    if !options.postgres_fsync {
        initdb.push("--no-sync");
    }
    run("initdb", &initdb, "")?;
    fs::remove_file(&pwfile).map_err(StackError::io("remove", &pwfile))?;
    run("postgres", &["--single", "-D", &data, "template1"], &format!("create database {DATABASE}\n"))?;
    write_secret(&password_file(&options.dir), &format!("{password}\n"))?;
    write_secret(&passfile(&options.dir), &format!("127.0.0.1:*:*:{ROLE}:{password}\n"))?;
    let data = parent.join("postgres");
    fs::rename(&new, &data).map_err(StackError::io("create", &data))?;
    let link = link_in(&options.dir);
    if link != data {
        symlink(&data, &link).map_err(StackError::io("link", &link))?;
    }
    Ok(data)
}

fn run_logged(mut command: Command, input: &str, log: &Path) -> Result<(), StackError> {
    let output = OpenOptions::new().create(true).append(true).open(log).map_err(StackError::io("open", log))?;
    let errors = output.try_clone().map_err(StackError::io("open", log))?;
    command.stdin(Stdio::piped()).stdout(output).stderr(errors);
    let program = PathBuf::from(command.get_program());
    let status = process::spawn(command, Bond::DiesWithOwner(libc::SIGKILL))
        .and_then(|mut child| {
            if let Some(mut stdin) = child.stdin.take() {
                // If it ended before it read, its status says why.
                let _ = stdin.write_all(input.as_bytes());
            }
            child.wait()
        })
        .map_err(StackError::io("run", &program))?;
    if status.success() {
        return Ok(());
    }
    Err(StackError::ServerFailed {
        server: Server::Postgres,
        detail: format!("{} did not make its files ({status})", program.display()),
        log: log.to_path_buf(),
        tail: server::tail(log),
    })
}

/// Writes a file that nobody else may read, not even for a moment.
fn write_secret(path: &Path, text: &str) -> Result<(), StackError> {
    // Removed first: an existing file would keep its owner and permissions.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StackError::io("replace", path)(error));
        }
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(StackError::io("write", path))
}

fn random_bytes(bytes: &mut [u8]) -> Result<(), StackError> {
    let path = Path::new("/dev/urandom");
    File::open(path).and_then(|mut file| file.read_exact(bytes)).map_err(StackError::io("read", path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_user_is_read_from_the_lines_of_passwd() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgres:x:105:113::/var/lib:/bin/sh\nbad:x:y:1\nfake:x:0:0::/:/bin/sh\n";
        assert_eq!(user_in(passwd, "postgres"), Some(User { uid: 105, gid: 113 }));
        assert_eq!(user_in(passwd, "post"), None);
        assert_eq!(user_in(passwd, "bad"), None);
        assert_eq!(user_in(passwd, "fake"), None, "another name of root is root");
    }

    #[test]
    fn a_directory_is_passed_by_the_bit_of_the_class_the_user_is_in() {
        let user = User { uid: 5, gid: 7 };
        let check = |mode, owner, group, expected| {
            assert_eq!(may_pass(mode, owner, group, user), expected, "{mode:o} {owner} {group}");
        };
        check(0o700, 0, 0, false);
        check(0o755, 0, 0, true);
        check(0o700, 5, 0, true);
        check(0o710, 0, 7, true);
        check(0o701, 0, 7, false); // the group decides, as in the kernel
    }

    #[test]
    fn the_settings_listen_on_this_machine_only_and_hold_each_key_once() {
        let mut options = Options::new("x");
        let keys = |options: &Options| -> Vec<String> { settings(options, 20_003) };
        let all = keys(&options);
        let names: BTreeSet<&str> = all.iter().filter_map(|setting| setting.split('=').next()).collect();
        assert_eq!(names.len(), all.len());
        for wanted in ["listen_addresses=127.0.0.1", "port=20003", "shared_buffers=256MB", "fsync=on"] {
            assert!(all.iter().any(|setting| setting == wanted), "{wanted}");
        }
        options.postgres_fsync = false;
        assert!(keys(&options).contains(&"fsync=off".to_owned()));
    }

    #[test]
    fn a_secret_is_readable_by_its_owner_only_also_when_it_replaces_an_open_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("opened");
        write_secret(&path, "new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "new");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn only_data_of_stacks_that_are_gone_are_deleted() {
        let root = tempfile::tempdir().expect("a directory");
        let make = |name: &str, belongs_to: Option<&Path>| {
            let dir = root.path().join(name);
            fs::create_dir(&dir).expect("created");
            if let Some(stack) = belongs_to {
                fs::write(dir.join(BELONGS_TO), stack.as_os_str().as_encoded_bytes()).expect("written");
            }
            dir
        };
        let gone = make("gone", Some(Path::new("/nowhere/at/all")));
        let kept = make("kept", Some(root.path()));
        let strange = make("strange", None);
        clean_elsewhere(root.path());
        assert!(!gone.exists() && kept.exists() && strange.exists());
    }
}
