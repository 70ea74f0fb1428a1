//! Alertmanager, of the distribution's package, for those who ask for it: it takes alerts and tells
//! nobody.

use std::fs;
use std::path::PathBuf;

use crate::error::StackError;
use crate::options::Options;
use crate::probe::Probe;
use crate::server::{Recipe, Server};
use crate::tools;

/// The package's name for the program, and that of Prometheus' own archives.
const PROGRAMS: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];
const CONFIGURATION: &str = "alertmanager.yml";

/// Where it is; asked before anything is downloaded.
pub(crate) fn program() -> Result<PathBuf, StackError> {
    PROGRAMS.iter().find_map(|name| tools::on_path(name)).ok_or_else(|| StackError::MissingTool {
        tool: "Alertmanager",
        remedy: "install it with `apt-get install --no-install-recommends prometheus-alertmanager`".to_owned(),
    })
}

/// Prepares the directory and says how to start the server.
pub(crate) fn prepare(options: &Options, port: u16) -> Result<Recipe, StackError> {
    let dir = options.dir.join("data/alertmanager");
    fs::create_dir_all(&dir).map_err(StackError::io("create", &dir))?;
    let path = dir.join(CONFIGURATION);
    // No group waits: what was told shows at once.
    let text = "# Written at each start; changes are lost.\nroute:\n  receiver: nobody\n  group_wait: 0s\nreceivers:\n  - name: nobody\n";
    fs::write(&path, text).map_err(StackError::io("write", &path))?;
    Ok(Recipe {
        server: Server::Alertmanager,
        program: program()?,
        arguments: vec![
            format!("--config.file={CONFIGURATION}"),
            "--storage.path=state".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
            // Alone: without it a second port is opened, on all addresses.
            "--cluster.listen-address=".to_owned(),
        ],
        working_dir: dir,
        user: None,
        log: options.dir.join("logs/alertmanager.log"),
        ports: vec![port],
        probe: Probe::Http { port, path: "/-/ready" },
        stale_file: None,
    })
}
