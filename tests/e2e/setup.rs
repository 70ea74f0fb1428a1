//! `sisdmk setup`: everything once, nothing twice, and no change to what differs.

use anyhow::Result;
use harness::tables::Tables;
use serde_json::Value;

use crate::support;

#[test]
fn setup_makes_everything_once_and_refuses_what_differs() -> Result<()> {
    let (_dir, system) = support::system()?;
    system.setup()?;

    let again = system.console(&["setup", "--partitions", "4", "--json"])?;
    let answer: Value = serde_json::from_slice(&again.stdout)?;
    assert!(again.status.success(), "{answer}");
    assert!(answer["summary"].as_str().is_some_and(|text| text.contains("nothing to do")), "{answer}");

    let more = system.console(&["setup", "--partitions", "6"])?;
    let text = both(&more);
    assert_eq!(more.status.code(), Some(3), "{text}");
    assert!(text.contains("sisdmk.raw") && text.contains('6') && text.contains('4'), "{text}");

    // Regions are there for whoever reads the tables.
    let mut tables = Tables::open(&system)?;
    assert_eq!(tables.number("SELECT count(*) FROM sdmk.wilayah")?, 552);

    // Another identity key would give every worker a second identity.
    system.secret("hmac.key", b"another key")?;
    let other = system.console(&["setup", "--partitions", "4"])?;
    let text = both(&other);
    assert!(!other.status.success(), "{text}");
    assert!(text.contains("identity.hmac_key_file"), "{text}");
    Ok(())
}

/// Everything that a person sees.
fn both(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_wrong_setting_is_named_with_key_file_and_what_is_allowed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("sisdmk.toml");
    std::fs::write(&file, "[kafka]\nbootstrap_server = \"127.0.0.1:9092\"\n[source]\npage_size = 0\n")?;
    for program in [support::binaries().console, support::binaries().producer] {
        let mut command = std::process::Command::new(&program);
        if program == support::binaries().console {
            command.arg("validate");
        }
        let output = command.arg("--config").arg(&file).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        for word in ["kafka.bootstrap_server", "kafka.bootstrap_servers", "sisdmk.toml", "source.page_size"] {
            assert!(text.contains(word), "{word} is not in:\n{text}");
        }
    }
    Ok(())
}
