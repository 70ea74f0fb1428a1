//! What must hold before a figure is worth anything.

use anyhow::{Context, Result, ensure};
use harness::compare;
use harness::tables::check_equations;
use serde_json::Value;

use crate::figures::Phase;
use crate::site::Site;

/// Longest time the ledger may take to close a batch whose records are all in the tables.
const CLOSE_LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// Checks that a closed batch of `workers` records, of which `changed` are news, says what it must.
fn check(batch: &Value, phase: Phase, workers: u64, changed: u64) -> Result<()> {
    let count = |name: &str| batch[name].as_u64().with_context(|| format!("audit.batch has no {name}"));
    ensure!(batch["status"] == "complete" && batch["tied"] == true, "the batch is not complete or does not tie");
    check_equations(batch)?;
    let equal = count("sink_equal")? + count("processor_equal")?;
    let counted = [count("fetched")?, count("inserted")?, count("updated")?, equal];
    let expected = match phase {
        Phase::Load => [workers, workers, 0, 0],
        Phase::Update => [workers, 0, workers, 0],
        Phase::Redelivery => [workers, 0, changed, workers - changed],
    };
    ensure!(
        counted == expected,
        "{}: fetched, inserted, updated, equal are {counted:?} and should be {expected:?}",
        phase.name()
    );
    Ok(())
}

/// Waits until the batch is closed, and checks it and the number of rows.
pub(crate) fn batch(site: &mut Site, id: &str, phase: Phase, changed: u64) -> Result<()> {
    let batch = site.tables.wait_closed(id, CLOSE_LIMIT)?;
    check(&batch, phase, site.workers, changed).with_context(|| format!("batch {id}"))?;
    let rows = site.tables.number("SELECT count(*) FROM sdmk.person")?;
    ensure!(u64::try_from(rows)? == site.workers, "sdmk.person has {rows} rows and should have {}", site.workers);
    Ok(())
}

/// Compares every field of every row with the source's truth; a sentence about it.
pub(crate) fn rows(site: &Site) -> Result<String> {
    let comparison = compare::rows(&site.system)?;
    ensure!(comparison.is_equal() && comparison.persons == site.workers, "{comparison}");
    Ok(format!(
        "{} records: {} persons and {} employments equal the source in every field",
        site.record.name(),
        comparison.persons,
        comparison.employments
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn closed(inserted: u64, updated: u64, equal: u64) -> Value {
        let all = inserted + updated + equal;
        json!({"status": "complete", "tied": true, "fetched": all, "raw": all, "quarantined": 0, "clean": all,
               "deletes_found": 0, "dlq": 0, "processor_equal": 0, "processor_stale": 0, "inserted": inserted,
               "updated": updated, "deleted": 0, "sink_equal": equal, "sink_stale": 0, "superseded": 0, "rejected": 0})
    }

    #[test]
    fn each_phase_has_its_own_counts() {
        let holds = |batch: &Value, phase, changed| check(batch, phase, 200, changed).is_ok();
        assert!(holds(&closed(200, 0, 0), Phase::Load, 0));
        assert!(!holds(&closed(199, 0, 0), Phase::Load, 0));
        assert!(holds(&closed(0, 200, 0), Phase::Update, 200));
        assert!(!holds(&closed(0, 199, 1), Phase::Update, 200));
        assert!(holds(&closed(0, 2, 198), Phase::Redelivery, 2));
        assert!(!holds(&closed(0, 3, 197), Phase::Redelivery, 2));
    }

    #[test]
    fn a_batch_that_does_not_tie_is_no_figure() {
        for (name, value) in [("tied", json!(false)), ("status", json!("incomplete")), ("raw", json!(1))] {
            let mut batch = closed(200, 0, 0);
            batch[name] = value;
            assert!(check(&batch, Phase::Load, 200, 0).is_err(), "{name}");
        }
    }
}
