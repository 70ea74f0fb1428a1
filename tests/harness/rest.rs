//! Waiting until every stage has read everything.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{System, wait};

impl System {
    /// Waits until `sisdmk lag` says that processor, sink and ledger have read everything, twice in a row: the first
    /// look may fall between two stages.
    pub fn wait_read_everything(&self, limit: Duration) -> Result<()> {
        let mut last = Value::Null;
        let mut idle = 0;
        let waited = wait::until("every stage to have read everything", limit, || {
            let output = self.console(&["lag", "--json"])?;
            // A broker that is coming back is not an answer yet.
            if !output.status.success() {
                idle = 0;
                return Ok(None);
            }
            last = serde_json::from_slice(&output.stdout)?;
            let groups = last["result"]["groups"].as_array().context("groups")?;
            if groups.is_empty() {
                bail!("no groups: {last}");
            }
            let behind = groups.iter().any(|group| group["lag"] != 0);
            idle = if behind { 0 } else { idle + 1 };
            Ok((idle >= 2).then_some(()))
        });
        waited.with_context(|| format!("last answer: {last}"))
    }
}
