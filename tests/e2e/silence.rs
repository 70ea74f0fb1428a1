//! Operators who read a topic that falls silent.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use harness::breaking::Ending;
use harness::kafka_proxy::KafkaProxy;
use harness::topics::Record;

use crate::support;

/// Goal: who reads dead letters is told soon that no more come although there are more, and not only when the time for reading
/// gigabytes is over. Method: a proxy lets every request through but those for records, as a broker looks that goes away in the
/// middle; then the same question is asked with records again.
#[test]
fn reading_that_meets_silence_ends_and_says_so() -> Result<()> {
    let proxy = KafkaProxy::start()?;
    let (_dir, system) = support::system_with(|options| {
        options.kafka_proxy_port = Some(proxy.address().port());
        options.settings.insert("kafka.bootstrap_servers".to_owned(), format!("\"{}\"", proxy.address()));
    })?;
    let behind = system.stack.kafka_behind_proxy().context("a listener behind the proxy")?;
    proxy.lead_to(SocketAddr::from((Ipv4Addr::LOCALHOST, behind)));
    system.setup()?;
    let letter = Record { partition: 0, offset: 0, key: None, value: Some(b"{}".to_vec()), headers: BTreeMap::new() };
    system.publish("sisdmk.dlq", &[letter], Ending::Commit)?;

    proxy.withhold_records(true);
    let output = system.console(&["dlq", "list"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("sisdmk.dlq") && told.contains("nothing has come for 30 s"), "{told}");

    proxy.withhold_records(false);
    let output = system.console(&["dlq", "list", "--json"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"partition\""), "the letter is listed");
    Ok(())
}
