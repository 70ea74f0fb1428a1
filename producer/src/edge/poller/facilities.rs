//! The list of facilities of a batch: read again for each one, because facilities come and go.

use super::*;
use crate::config::FacilityList;
use crate::cycle::Fault;
use crate::edge::facilities;

impl Poller {
    /// The cycle over the facilities as they are listed now, or how the batch was left where there is no list.
    ///
    /// A list that cannot be read does not stop a process that has one: the former one is taken.
    pub(super) async fn over_facilities(
        &mut self,
        batch: BatchRecord,
        running: &mut Running,
    ) -> Result<Result<Cycle, Left>, Failure> {
        let read = match self.config.facilities.clone() {
            Some(FacilityList::File(path)) => facilities::read(&path).map_err(|fault| (None, fault.to_string())),
            Some(FacilityList::Source) => match self.listed_by_source(running).await {
                Some(Ok(codes)) => Ok(codes),
                Some(Err(fault)) => Err((Some(fault), format!("{} in the list of facilities", fault.code))),
                None => return Ok(Err(Left::Stopped)),
            },
            None => Ok(Vec::new()),
        };
        let (limits, lanes) = (self.config.limits.clone(), self.config.lanes);
        match read {
            Ok(codes) => self.facilities = codes,
            Err((Some(Fault { kind: FaultKind::Auth, .. }), _)) => {
                return self.left_without_a_list(batch, BatchStatus::AuthFailed, running).map(Err);
            }
            Err((fault, detail)) => {
                tracing::error!(
                    batch_id = %batch.batch_id, trace_id = batch.trace_id, detail, former = self.facilities.len(),
                    "the list of facilities cannot be read; the former one is used, if there is one"
                );
                let kind = incident::of_region(fault.map(|fault| fault.kind));
                let changed = kind == Some(IncidentKind::FormatChanged);
                let status = if changed { BatchStatus::FormatChanged } else { BatchStatus::Failed };
                if let Some(kind) = kind {
                    let request_id = running.requests.get(&0).copied();
                    self.meet(Met { kind, region: None, detail, request_id }, &batch, running)?;
                }
                if self.facilities.is_empty() {
                    return self.left_without_a_list(batch, status, running).map(Err);
                }
            }
        }
        Ok(Ok(Cycle::over_facilities(batch, &self.facilities, limits, lanes)))
    }

    /// Closes a batch that has nothing to read.
    fn left_without_a_list(
        &mut self,
        mut batch: BatchRecord,
        status: BatchStatus,
        running: &mut Running,
    ) -> Result<Left, Failure> {
        batch.state = BatchState::Closed;
        batch.status = batch.status.max(Some(status));
        self.end(0, batch, running)
    }

    /// Asks the source for the list, as often as for any page. `None` when the process is to stop.
    async fn listed_by_source(&mut self, running: &mut Running) -> Option<Result<Vec<Region>, Fault>> {
        let limits = self.config.limits.clone();
        let mut tries = 0;
        loop {
            let trace = running.trace.child();
            let (request_id, listed) = tokio::select! {
                () = self.shutdown.wait() => return None,
                listed = self.sisdmk.facilities(&trace) => listed,
            };
            running.requests.insert(0, request_id);
            let fault = match listed {
                Ok(codes) => {
                    running.good_answers += 1;
                    return Some(Ok(codes));
                }
                Err(fault) => fault,
            };
            tries += 1;
            tracing::warn!(%request_id, code = fault.code, try_number = tries, "the list of facilities did not come");
            if tries >= limits.tries_max || fault.kind == FaultKind::Auth {
                return Some(Err(fault));
            }
            let wait = limits.wait(tries, fault.retry_after, chance());
            tokio::select! {
                () = self.shutdown.wait() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}
