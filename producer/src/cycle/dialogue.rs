//! What the cycle is told and what it answers: its bounds, the events that go in, the steps that come out.

use crate::hold::HeldPage;
use crate::profile::PagingKind;
use crate::region::Region;
use crate::state::{BatchRecord, BatchStatus, WatermarkRecord};
use schemas::Timestamp;
use std::fmt;
use std::time::Duration;

/// The bounds of a cycle; each is a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Tries of one request, the first included.
    pub tries_max: u32,
    /// Wait before the second try; doubled for each further one.
    pub backoff: Duration,
    /// The longest of these waits.
    pub backoff_max: Duration,
    /// The longest wait that the source may ask for.
    pub retry_after_max: Duration,
    /// Time for one slice, re-reads included.
    pub slice_timeout: Duration,
    /// Time for the whole cycle.
    pub cycle_timeout: Duration,
    /// Bytes of held pages.
    pub hold_bytes_max: usize,
    /// Bytes of one record that `sisdmk.raw` takes.
    pub record_bytes_max: usize,
    /// True if a record that is too large, or a page of another shape, has a place to go.
    pub can_quarantine: bool,
    /// Rows on a page; none where the source is not told how many.
    pub page_rows_max: Option<u32>,
    /// How a long answer is cut into pages.
    pub paging: PagingKind,
    /// The shortest time between two requests.
    pub request_interval: Duration,
    /// How far before its watermark a slice begins.
    pub lookback: Duration,
    /// True if the source can be asked for a regency.
    pub by_regency: bool,
    /// True if the source can be asked for a window of change times.
    pub by_window: bool,
}

impl Limits {
    /// How long to wait after a number of failed tries of one request. `chance`, in `[0, 1)`, spreads the wait
    /// between half and the whole of it, so that many clients do not come back together. The source's own wish
    /// counts up to its cap.
    #[must_use]
    pub fn wait(&self, tries: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
        let doublings = tries.saturating_sub(1).min(20);
        let longest = self.backoff.saturating_mul(1 << doublings).min(self.backoff_max);
        let wait = longest.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        wait.max(retry_after.unwrap_or_default().min(self.retry_after_max))
    }
}

/// What a source gave us to ask for the next page with. It is not shown: nobody knows what it is made of.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// Wraps what the source gave.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The cursor itself, for a request.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cursor({} bytes)", self.0.len())
    }
}

/// One request for rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Of which region, or facility.
    pub region: Region,
    /// Changed at or after.
    pub since: Option<Timestamp>,
    /// Changed before; only where a window was split.
    pub until: Option<Timestamp>,
    /// Number of the page, from 1.
    pub page: u32,
    /// Rows on a page: the source's maximum, or 1 where only the total is wanted.
    pub limit: Option<u32>,
    /// What leads to this page; none for the first one, and where pages are numbered.
    pub cursor: Option<Cursor>,
}

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What it means for the slice.
    pub kind: FaultKind,
    /// Our short word for it: a label, never a value.
    pub code: &'static str,
    /// How long the source asks us to wait.
    pub retry_after: Option<Duration>,
}

/// What a failed request means for its slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// No good answer: network, time-out, 5xx, 429, a body cut short, a failure in the body.
    Unreachable,
    /// The token was refused.
    Auth,
    /// A whole answer that is not the declared shape.
    Format,
}

/// A page that arrived and was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The page.
    pub page: HeldPage,
    /// Rows over all pages, as the source says now.
    pub total: Option<u64>,
    /// What leads to the next page, where pages are chained.
    pub next: Option<Cursor>,
    /// The source's clock when it answered; unlike the page's `fetched_at` it may go back.
    pub source_time: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The lane is free: given to each lane at the beginning, and to each lane that rests whenever
    /// another one has published or given up, and after [`Note::Heard`].
    Free,
    /// The request of [`Step::Fetch`] was answered.
    Page(Arrived),
    /// It failed. `chance`, in `[0, 1)`, spreads the back-off.
    Fault {
        /// How.
        fault: Fault,
        /// For the jitter.
        chance: f64,
    },
    /// The time of [`Step::Wait`] is over.
    Waited,
    /// The answer to [`Step::RenewToken`]: true if there is another token now.
    Token {
        /// There is another token.
        changed: bool,
    },
    /// The slice of [`Step::Publish`] is committed.
    Published,
    /// It cannot be published, now or later.
    Refused {
        /// Our short word for the reason.
        code: &'static str,
    },
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Put this request, then give [`Event::Page`] or [`Event::Fault`].
    Fetch(Ask),
    /// Wait, then give [`Event::Waited`].
    Wait(Duration),
    /// Look for another token, then give [`Event::Token`].
    RenewToken,
    /// Write this slice in one transaction, then give [`Event::Published`] or [`Event::Refused`].
    Publish(Box<Slice>),
    /// Nothing for this lane now.
    Rest,
    /// Drop what the other lanes do and write the end of the batch. Nothing follows.
    End(Box<BatchRecord>),
}

/// A complete slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Its region; the last one of a group of facilities.
    pub region: Region,
    /// What it is called in reports and logs: the region, or `<first>..<last>` for a group of facilities.
    pub label: String,
    /// Its pages.
    pub pages: Vec<HeldPage>,
    /// Where the region's watermark goes; none: it stays.
    pub watermark: Option<WatermarkRecord>,
    /// Position of its first record in the running number of fetched records.
    pub first_ordinal: u64,
    /// Records of the slice.
    pub fetched: u64,
    /// Of these, small enough for `sisdmk.raw`.
    pub raw: u64,
    /// Of these, too large.
    pub quarantined: u64,
    /// Requests put for it since the last slice was published.
    pub requests: u64,
    /// The batch as it is once this slice is committed.
    pub batch: BatchRecord,
}

/// Something an operator should know; it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The source has given its first good answer in this cycle: other lanes may begin.
    Heard,
    /// A try failed.
    TryFailed {
        /// Of which region.
        region: Region,
        /// How.
        fault: Fault,
        /// Number of the try, from 1.
        try_number: u32,
    },
    /// A region is given up in this batch.
    RegionFailed {
        /// Which.
        region: Region,
        /// What it counts as.
        status: BatchStatus,
        /// What the source did, if it was the source.
        fault: Option<FaultKind>,
        /// Our short word for it.
        code: &'static str,
    },
    /// Two passes agreed with each other and not with the source's total.
    CountDiffers {
        /// Of which region.
        region: Region,
        /// Identities found.
        distinct: u64,
        /// What the source says.
        total: u64,
    },
    /// A slice is read in parts.
    Split {
        /// Which region.
        region: Region,
        /// By regency, else by window.
        by_regency: bool,
    },
    /// The regencies of a province did not account for all its rows.
    Remainder {
        /// The province.
        region: Region,
        /// Rows of its regencies.
        accounted: u64,
        /// Rows of the province.
        total: u64,
    },
}
