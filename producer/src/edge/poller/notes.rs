//! What the cycle notes on its way: log lines, incidents, pages of another shape set aside.

use super::alarm::Met;
use super::*;

impl Poller {
    /// Logs what the cycle noticed, opens incidents, keeps pages of another shape.
    pub(super) fn note(
        &mut self,
        lane: usize,
        notes: Vec<Note>,
        cycle: &Cycle,
        running: &mut Running,
    ) -> Result<(), Failure> {
        let batch = cycle.batch().clone();
        let (batch_id, trace_id) = (batch.batch_id, batch.trace_id.as_str());
        let request_id = running.requests.get(&lane).copied();
        let request = request_id.map(tracing::field::display);
        for note in notes {
            match note {
                Note::Heard => {}
                Note::TryFailed { region, fault, try_number } => tracing::warn!(
                    %batch_id, trace_id, request_id = request, region = region.as_str(), code = fault.code, try_number,
                    "request failed"
                ),
                Note::CountDiffers { region, distinct, total } => tracing::warn!(
                    %batch_id, trace_id, region = region.as_str(), distinct, total,
                    "two reads agree with each other and not with the source's total; taken as they are"
                ),
                Note::Split { region, by_regency } => tracing::info!(
                    %batch_id, trace_id, region = region.as_str(), by_regency, "the region is read in parts"
                ),
                Note::Remainder { region, accounted, total } => tracing::info!(
                    %batch_id, trace_id, region = region.as_str(), accounted, total,
                    "the regencies do not account for all rows; the province is read as a whole"
                ),
                Note::RegionFailed { region, status, fault, code } => {
                    tracing::error!(
                        %batch_id, trace_id, request_id = request, region = region.as_str(),
                        status = status.as_str(), code, "region given up"
                    );
                    let mut detail = code.to_owned();
                    let Some(kind) = incident::of_region(fault) else { continue };
                    if kind == IncidentKind::FormatChanged {
                        let differs = self.keep_odd_page(lane, code, &region, batch_id, running);
                        if !differs.is_empty() {
                            detail = format!("{code}: {}", differs.join("; "));
                        }
                    }
                    let met = Met { kind, region: Some(region.to_string()), detail, request_id };
                    self.meet(met, &batch, running)?;
                }
            }
        }
        Ok(())
    }
}
