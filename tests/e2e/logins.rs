//! The logins that a deployment with containers makes: enough for the product, and no more.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::tables::Tables;
use harness::{Stage, System};

use crate::support;

/// Goal: the product works for a database administrator who gives it two narrow logins, as `docker-compose.yml` does.
/// Method: its own scripts make secrets and logins on the real server; then setup and all stages run with them, and a
/// batch must tie.
#[test]
fn setup_and_all_stages_work_with_the_logins_of_the_deployment() -> Result<()> {
    let (dir, mut system) = support::system()?;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let made = Command::new(root.join("scripts/compose-secrets.sh")).arg(dir.path()).output()?;
    ensure!(made.status.success(), "{made:?}");
    let secrets = dir.path().join("secrets");
    std::fs::copy(system.stack.postgres_password_file(), secrets.join("postgres_admin"))?;
    let read = |name: &str| -> Result<String> { Ok(std::fs::read_to_string(secrets.join(name))?.trim().to_owned()) };

    let url = system.stack.postgres_url();
    let server = url.split_once('@').context("a URL with a user")?.1.to_owned();
    let (address, database) = server.split_once('/').context("a URL with a database")?;
    let (host, port) = address.split_once(':').context("a URL with a port")?;
    // Twice, as at a second start: nothing but passwords may change.
    for _ in 0..2 {
        let output = Command::new(root.join("deploy/compose/logins.sh"))
            .env("SECRETS", &secrets)
            .envs([("PGHOST", host), ("PGPORT", port), ("PGUSER", "sisdmk_admin"), ("PGDATABASE", database)])
            .output()?;
        ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    let ask = |user: &str, secret: &str, database: &str, sql: &str| -> Result<Output> {
        let url = format!("postgres://{user}@{address}/{database}");
        Ok(Command::new("psql").args(["-X", "-w", "-Atc", sql, &url]).env("PGPASSWORD", read(secret)?).output()?)
    };
    let may = |user, secret, database, sql| ask(user, secret, database, sql).map(|output| output.status.success());
    assert!(may("registry", "postgres_registry", "registry", "CREATE TABLE of_its_own ()")?);
    assert!(!may("registry", "postgres_registry", database, "SELECT 1")?, "the registry has no business here");
    assert!(!may("stream_sink", "postgres_sink", "registry", "SELECT 1")?, "nor the sink there");
    assert!(!may("stream_sink", "postgres_setup", database, "SELECT 1")?, "with another's password");
    assert!(!may("stream_setup", "postgres_setup", database, "CREATE ROLE another")?);

    for (section, key, user, secret) in [
        ("setup", "setup.postgres_url", "stream_setup", "postgres_setup"),
        ("postgres", "postgres.url", "stream_sink", "postgres_sink"),
    ] {
        let file = if section == "setup" { "setup.postgres_password_file" } else { "postgres.password_file" };
        system.set(key, &format!("\"postgres://{user}@{server}\""))?;
        system.set(file, &format!("\"{}\"", secrets.join(secret).display()))?;
    }
    let setup = system.console(&["setup", "--partitions", "4"])?;
    ensure!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    one_batch(&mut system)?;
    assert!(!may("stream_sink", "postgres_sink", database, "DROP TABLE sdmk.person")?);
    Ok(())
}

fn one_batch(system: &mut System) -> Result<()> {
    system.start_simulator(&support::simulator(200))?;
    for stage in Stage::ALL {
        system.start(stage)?;
    }
    let batch = system.poll()?;
    let row = Tables::open(system)?.wait_closed(&batch, Duration::from_secs(120))?;
    assert_eq!(row["tied"], true, "{row}");
    assert!(Tables::open(system)?.number("SELECT count(*) FROM sdmk.person")? > 100);
    system.stop_stages()
}
