//! The quarantine store: pages and records that cannot be published, kept byte for byte.
//!
//! One object for each, `<batch id>/<request id>.page` or `<batch id>/<request id>.<index>.record`, and
//! beside it the same with `.json`: what is known about it ([`Kept`]). A local folder, readable by this user
//! alone, because they hold personal data; or a bucket. Keeping the same thing again replaces it, so a repeated
//! transaction leaves no second copy.
//!
//! The store is bounded: what is older than the retention goes, and the oldest makes room for what is new.
//! Each is counted and logged, because with an oversized record the only copy goes that we have.

mod place;

pub use place::{Address, Bucket, Place};

use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload};
use platform::clock;
use platform::exit::Failure;
use platform::metrics::{IntCounterVec, IntGaugeVec, counter, gauge};
use platform::telemetry::TraceContext;
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;
use uuid::Uuid;

/// Objects that a list tells, the newest.
pub const LISTED_MAX: usize = 500;

/// Ending of what is known about an object.
const ABOUT: &str = ".json";

/// The store.
#[derive(Debug, Clone)]
pub struct Quarantine {
    /// Opened when it is first needed: until then nothing has to be there.
    store: OnceLock<Arc<dyn ObjectStore>>,
    place: Place,
    /// Sum over all objects.
    bytes_max: u64,
    keep_for: Duration,
}

/// What is known about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When it was put here.
    pub kept_at: Timestamp,
    /// `<profile>/<version>`.
    pub source: String,
    /// Of which region it was asked.
    pub region: String,
    /// Where its slice began: from there the region is asked again.
    pub since: Option<Timestamp>,
    /// Our word for why it is here: the code of the fault, or `record_too_large`.
    pub code: String,
    /// How a page differs from what its profile declared.
    pub differs: Vec<String>,
}

/// One object as a list tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `<batch id>/<name>`.
    pub id: String,
    /// Bytes of the object.
    pub bytes: u64,
    /// What is known about it; none where that is lost.
    #[serde(flatten)]
    pub about: Option<Kept>,
}

/// Why the store did not do what was asked. The store's own text may hold addresses, so it stays inside.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineFault {
    /// No object of that name.
    #[error("find it in the quarantine store")]
    Missing,
    /// It is not the name of an object.
    #[error("take that for the id of an object in quarantine")]
    BadId,
    /// The store does not do it.
    #[error("reach the quarantine store")]
    Store(#[source] object_store::Error),
    /// The folder cannot be made, or the address cannot be used.
    #[error("open the quarantine store")]
    Closed(#[source] Failure),
    /// Others could read what is put into the folder of a batch.
    #[error("keep others out of the quarantine store")]
    Open(#[source] std::io::Error),
}

impl From<object_store::Error> for QuarantineFault {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            error => Self::Store(error),
        }
    }
}

impl Quarantine {
    /// The store there. A folder is made when something is kept first.
    #[must_use]
    pub fn new(place: Place, bytes_max: u64, keep_for: Duration) -> Self {
        Self { store: OnceLock::new(), place, bytes_max, keep_for }
    }

    fn store(&self) -> Result<&Arc<dyn ObjectStore>, QuarantineFault> {
        if self.store.get().is_none() {
            // Two that open it at a time open the same; one of them is kept.
            let _ = self.store.set(self.place.open().map_err(QuarantineFault::Closed)?);
        }
        Ok(self.store.get().expect("it was set just now"))
    }

    /// Keeps a whole answer that is not the declared shape; `trace`: that of its batch.
    ///
    /// # Errors
    /// When it is not safely stored.
    pub async fn keep_page(
        &self,
        batch_id: Uuid,
        request_id: Uuid,
        body: Vec<u8>,
        about: &Kept,
        trace: &TraceContext,
    ) -> Result<(), QuarantineFault> {
        place::TRACE.scope(*trace, self.keep(batch_id, &format!("{request_id}.page"), body, about)).await
    }

    /// Keeps a record that is too large; `index` is its place on the page, from 0.
    ///
    /// # Errors
    /// When it is not safely stored.
    pub async fn keep_record(
        &self,
        batch_id: Uuid,
        request_id: Uuid,
        index: usize,
        record: Vec<u8>,
        about: &Kept,
        trace: &TraceContext,
    ) -> Result<(), QuarantineFault> {
        let name = format!("{request_id}.{index}.record");
        place::TRACE.scope(*trace, self.keep(batch_id, &name, record, about)).await
    }

    async fn keep(&self, batch_id: Uuid, name: &str, bytes: Vec<u8>, about: &Kept) -> Result<(), QuarantineFault> {
        let about = serde_json::to_vec(about).expect("text keys and finite numbers");
        let adds = u64::try_from(bytes.len() + about.len()).unwrap_or(u64::MAX);
        self.sweep(adds, Timestamp(clock::now_micros())).await?;
        for (name, bytes) in [(format!("{name}{ABOUT}"), about), (name.to_owned(), bytes)] {
            let batch = batch_id.to_string();
            let key = self.place.key(&batch, &name);
            let store = self.store()?;
            self.place.enclose(&batch).map_err(QuarantineFault::Open)?;
            store.put(&key, PutPayload::from(bytes)).await?;
            self.place.hide(&batch, &name);
        }
        Ok(())
    }

    /// Everything in the store, oldest first.
    async fn objects(&self) -> Result<Vec<ObjectMeta>, QuarantineFault> {
        let mut objects = Vec::new();
        // Batch by batch: a list of a whole bucket would come as a stream of all its pages.
        let store = self.store()?;
        for batch in store.list_with_delimiter(self.place.prefix()).await?.common_prefixes {
            objects.extend(store.list_with_delimiter(Some(&batch)).await?.objects);
        }
        objects.sort_by(|left, right| {
            (left.last_modified, left.location.as_ref()).cmp(&(right.last_modified, right.location.as_ref()))
        });
        Ok(objects)
    }

    /// Takes out what is too old, and the oldest until `adds` bytes more fit under the cap.
    ///
    /// # Errors
    /// When the store cannot be listed, or does not let go of something.
    pub async fn sweep(&self, adds: u64, now: Timestamp) -> Result<(), QuarantineFault> {
        let objects = self.objects().await?;
        let mut held: u64 = objects.iter().map(|object| object.size).sum();
        let (mut count, keep_us) = (objects.len(), i64::try_from(self.keep_for.as_micros()).unwrap_or(i64::MAX));
        for object in objects {
            let too_old = object.last_modified.timestamp_micros() < now.0.saturating_sub(keep_us);
            if !too_old && held.saturating_add(adds) <= self.bytes_max {
                break;
            }
            match self.store()?.delete(&object.location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            (held, count) = (held.saturating_sub(object.size), count.saturating_sub(1));
            let why = if too_old { "old" } else { "room" };
            if !object.location.as_ref().ends_with(ABOUT) {
                removed().with_label_values(&[why]).inc();
                tracing::warn!(object = %object.location, bytes = object.size, why, "taken out of quarantine");
            }
        }
        holds().with_label_values(&["bytes"]).set(i64::try_from(held).unwrap_or(i64::MAX));
        holds().with_label_values(&["objects"]).set(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(())
    }

    /// The newest objects, newest first.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn list(&self) -> Result<Vec<Item>, QuarantineFault> {
        let mut items = Vec::new();
        let objects = self.objects().await?;
        for object in objects.iter().rev().filter(|object| !object.location.as_ref().ends_with(ABOUT)).take(LISTED_MAX)
        {
            let Some(id) = self.place.id(&object.location) else { continue };
            let about = self.about(&id).await;
            items.push(Item { id, bytes: object.size, about });
        }
        Ok(items)
    }

    /// One object with its bytes.
    ///
    /// # Errors
    /// No such object, or the store cannot be reached.
    pub async fn read(&self, id: &str) -> Result<(Item, Vec<u8>), QuarantineFault> {
        let key = self.key(id, "")?;
        let bytes = self.store()?.get(&key).await?.bytes().await?.to_vec();
        let about = self.about(id).await;
        Ok((Item { id: id.to_owned(), bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX), about }, bytes))
    }

    async fn about(&self, id: &str) -> Option<Kept> {
        let bytes = self.store().ok()?.get(&self.key(id, ABOUT).ok()?).await.ok()?.bytes().await.ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// `<batch id>/<request id>.page` or `.<index>.record`: nothing else leads into the store.
    fn key(&self, id: &str, ending: &str) -> Result<Key, QuarantineFault> {
        let (batch, name) = id.split_once('/').ok_or(QuarantineFault::BadId)?;
        let (request, rest) = name.split_once('.').ok_or(QuarantineFault::BadId)?;
        let index = |text: &str| !text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        let good = rest == "page" || rest.strip_suffix(".record").is_some_and(index);
        if good && Uuid::parse_str(batch).is_ok() && Uuid::parse_str(request).is_ok() {
            Ok(self.place.key(batch, &format!("{name}{ending}")))
        } else {
            Err(QuarantineFault::BadId)
        }
    }
}

fn removed() -> &'static IntCounterVec {
    static METRIC: LazyLock<IntCounterVec> = LazyLock::new(|| {
        counter(
            "sisdmk_quarantine_removed_total",
            "Objects taken out of quarantine because they were old, or to make room.",
            &["why"],
        )
    });
    &METRIC
}

fn holds() -> &'static IntGaugeVec {
    static METRIC: LazyLock<IntGaugeVec> = LazyLock::new(|| {
        gauge("sisdmk_quarantine_holds", "What the quarantine store holds, as it was last looked at.", &["unit"])
    });
    &METRIC
}

#[cfg(test)]
mod tests;
