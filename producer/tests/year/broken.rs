//! The model is tested: in each of these years one promise is broken on purpose, and the model must say which.
//!
//! Broken is the shell, where it hands on what the pure parts said: what the model sees is what it would see if the part
//! itself had said so.

use std::panic::catch_unwind;

use crate::year;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// A watermark is an hour further than the slice that moved it.
    MarkTooFar,
    /// A slice goes out without its last page.
    PageLost,
    /// A region that was planned is neither read nor given up.
    RegionForgotten,
    /// One try more than is allowed.
    FifthTry,
    /// Nobody remembers that the credentials were refused.
    StopForgotten,
    /// Nobody remembers that an incident burns.
    BurnsTwice,
    /// Nobody says that an incident is over.
    NeverOver,
    /// What was due during downtime is not made up for.
    NoCatchUp,
    /// Each due time of a downtime is made up for.
    ManyCatchUps,
    /// A due time is not marked as served.
    ServedTwice,
    /// A cycle starts while another one runs.
    Overlap,
    /// A message is taken off before anybody heard it.
    MessageLost,
    /// A message is put before those that wait.
    MessageAhead,
}

/// Years tried before something that is broken counts as not found.
const YEARS_MAX: u64 = 3;

#[test]
fn a_year_in_which_a_promise_is_broken_is_found_out() {
    let check = |broken: Broken, says: &str| {
        let found = (1..=YEARS_MAX).find_map(|seed| catch_unwind(|| year(seed, broken)).err());
        let told = found.unwrap_or_else(|| panic!("{broken:?} was not found in {YEARS_MAX} years"));
        let told = told.downcast_ref::<String>().map_or("", String::as_str);
        assert!(told.contains(says), "{broken:?}: found as `{told}`");
    };
    check(Broken::MarkTooFar, "the watermark has passed row");
    check(Broken::PageLost, "the watermark has passed row");
    check(Broken::RegionForgotten, "a region is forgotten");
    check(Broken::FifthTry, "5 tries of one request");
    check(Broken::StopForgotten, "a request while the credentials are refused");
    check(Broken::BurnsTwice, "Firing twice");
    check(Broken::NeverOver, "something burns in fine weather");
    check(Broken::NoCatchUp, "a due time passes unserved");
    check(Broken::ManyCatchUps, "a second catch-up would follow");
    check(Broken::ServedTwice, "a due time is served twice");
    check(Broken::Overlap, "two cycles at once");
    check(Broken::MessageLost, "heard in the order told");
    check(Broken::MessageAhead, "heard in the order told");
}
