//! Disks that are full: of Postgres, and of the broker.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use harness::tables::Tables;
use harness::{Stage, System, compare, wait};
use stack::Server;

use crate::world::{self, BATCH_LIMIT, STEP_LIMIT};

/// Longest time after there is room again until the batch that met the full disk is closed.
const RESUME_LIMIT: Duration = Duration::from_secs(60);
/// What a small disk has beyond what was moved onto it.
const ROOM_BYTES: u64 = 48 << 20;

/// Goal: a disk that is full loses nothing, makes no dead letter and needs nobody but whoever makes room; meanwhile the stage whose
/// server it is says so.
/// Method: the folders of tables and of topics are moved onto a small file system of their own, in memory, which is filled to the last
/// byte while the stages run; a batch begins, the fault is seen, room is made, and the batch must end. A broker whose disk is full
/// ends itself: its supervisor starts it again.
///
/// To mount takes root. Another user gets the nearest thing: Postgres answers with the code of a full disk, and the broker
/// is allowed no file longer than those it has.
#[test]
fn a_full_disk_is_waited_out_and_nothing_is_lost() -> Result<()> {
    let (dir, mut system) = world::system(|_| {})?;
    world::set_up(&mut system, 400)?;
    let nothing = dir.path().join("nothing");
    fs::create_dir(&nothing)?;
    let mounts = SmallDisk::mount(&nothing, 4096)?.is_some();
    // They go before the servers do.
    let _disks = if mounts {
        vec![onto_a_small_disk(&mut system, Server::Postgres)?, onto_a_small_disk(&mut system, Server::Kafka)?]
    } else {
        Vec::new()
    };
    let mut tables = Tables::open(&system)?;
    world::start(&mut system, &mut tables)?;

    if mounts {
        postgres(&mut system, &mut tables, |system, full| {
            if full { fill(&folder(system, Server::Postgres)?) } else { make_room(&folder(system, Server::Postgres)?) }
        })?;
        broker(&mut system, &mut tables, |system, full| {
            if full { fill(&folder(system, Server::Kafka)?) } else { make_room(&folder(system, Server::Kafka)?) }
        })?;
    } else {
        postgres(&mut system, &mut tables, |system, full| as_if_full(system, full))?;
        broker(&mut system, &mut tables, |system, full| {
            // What it is started with again knows no limit.
            if full { no_longer_files(system) } else { Ok(()) }
        })?;
    }

    let letters = harness::topics::read(&system, "sisdmk.dlq")?;
    ensure!(
        letters.iter().all(|letter| letter.headers["dlq.stage"] == "processor"),
        "a full disk is nobody's dead letter"
    );
    let verdict = world::judge(&system)?;
    assert!(verdict.is_clean(), "{verdict}");
    let comparison = compare::compare(&system)?;
    assert!(comparison.is_equal(), "{comparison}");
    system.stop_stages()
}

/// The sink says that Postgres has no room, and writes the batch once there is.
fn postgres(
    system: &mut System,
    tables: &mut Tables,
    mut full: impl FnMut(&mut System, bool) -> Result<()>,
) -> Result<()> {
    full(system, true)?;
    system.simulator()?.change(300)?;
    let batch = system.poll()?;
    let log = system.process(Stage::Sink)?.log_path().to_owned();
    wait::until("the sink to meet the full disk", STEP_LIMIT, || {
        Ok(fs::read_to_string(&log)?.contains("SQLSTATE 53100").then_some(()))
    })?;
    ensure!(tables.batch(&batch)?.is_none_or(|row| row["finished_at"].is_null()), "the batch waits");
    full(system, false)?;
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!((&row["status"], &row["tied"]), (&"complete".into(), &true.into()), "{row}");
    Ok(())
}

/// The broker ends; what was acknowledged before is there when it is back, and what was not comes again.
fn broker(
    system: &mut System,
    tables: &mut Tables,
    mut full: impl FnMut(&mut System, bool) -> Result<()>,
) -> Result<()> {
    system.simulator()?.change(300)?;
    // The producer takes no poll without the broker.
    let batch = system.poll()?;
    full(system, true)?;
    wait::until("the broker to end", STEP_LIMIT, || {
        Ok((!system.stack.server(Server::Kafka).is_running()).then_some(()))
    })?;
    full(system, false)?;
    system.stack.server(Server::Kafka).start()?;
    let row = tables.wait_closed(&batch, RESUME_LIMIT)?;
    assert_eq!((&row["status"], &row["tied"]), (&"complete".into(), &true.into()), "{row}");
    tables.wait_at_rest(BATCH_LIMIT)
}

/// Where a server has what grows.
fn folder(system: &System, server: Server) -> Result<PathBuf> {
    let data = system.stack.dir().join("data");
    let folder = match server {
        Server::Postgres => data.join("postgres").canonicalize()?.join("base"),
        Server::Kafka => data.join("kafka/topics"),
        other => bail!("{} has no small disk", other.name()),
    };
    Ok(folder)
}

/// A file system in memory; it goes with this.
struct SmallDisk(CString);

impl SmallDisk {
    /// None: this user may not mount.
    fn mount(folder: &Path, bytes: u64) -> Result<Option<Self>> {
        let target = CString::new(folder.as_os_str().as_encoded_bytes())?;
        let options = CString::new(format!("size={bytes}"))?;
        let kind = c"tmpfs".as_ptr();
        #[expect(unsafe_code, reason = "mount(2) with strings that live as long as the call")]
        let mounted = unsafe { libc::mount(kind, target.as_ptr(), kind, 0, options.as_ptr().cast()) };
        if mounted == 0 {
            return Ok(Some(Self(target)));
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Ok(None);
        }
        Err(error).with_context(|| format!("cannot mount at {}", folder.display()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "umount2(2) with a string that lives as long as the call")]
        // Whoever still has files open on it keeps them; the folder is what it was before. An error could be told to nobody.
        let _ = unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Stops a server, moves its folder onto a file system of its own, and starts it again.
fn onto_a_small_disk(system: &mut System, server: Server) -> Result<SmallDisk> {
    let folder = folder(system, server)?;
    system.stack.server(server).stop();
    let before = folder.with_extension("before");
    fs::rename(&folder, &before)?;
    fs::create_dir(&folder)?;
    let size = run(Command::new("du").args(["-s", "-B1"]).arg(&before))?;
    let size: u64 = size.split_whitespace().next().context("a size")?.parse()?;
    let disk = SmallDisk::mount(&folder, size + ROOM_BYTES)?.context("it may be mounted, as was tried before")?;
    // Files with holes stay so, and everything stays whose it is.
    run(Command::new("cp").args(["-a", "--sparse=always"]).arg(before.join(".")).arg(&folder))?;
    system.stack.server(server).start()?;
    Ok(disk)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

const BALLAST: &str = "ballast";

/// Writes until nothing more goes in.
fn fill(folder: &Path) -> Result<()> {
    let mut file = File::create(folder.join(BALLAST))?;
    let piece = vec![1; 4096];
    loop {
        match file.write(&piece) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn make_room(folder: &Path) -> Result<()> {
    Ok(fs::remove_file(folder.join(BALLAST))?)
}

/// Postgres says what it says when its disk is full, to whoever writes a person.
fn as_if_full(system: &System, full: bool) -> Result<()> {
    let mut tables = Tables::open(system)?;
    tables.execute(if full {
        "CREATE FUNCTION witness.full() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON sdmk.person EXECUTE FUNCTION witness.full()"
    } else {
        "DROP TRIGGER disk_is_full ON sdmk.person"
    })?;
    Ok(())
}

/// The broker may make no file longer than a page.
fn no_longer_files(system: &mut System) -> Result<()> {
    let pid = system.stack.server(Server::Kafka).pid().to_string();
    run(Command::new("prlimit").args(["--pid", &pid, "--fsize=4096:4096"])).map(drop)
}
