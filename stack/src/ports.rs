//! Which ports the servers get.
//!
//! A free port is taken from below the range that the kernel hands to outgoing connections. Two
//! things go wrong inside that range, both only now and then: while a killed server is restarted,
//! some outgoing connection may take its port; and a client that keeps dialling a dead server on
//! its own machine can be given that very port as its source, connects to itself, and holds it.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below this live the well-known ports of servers that the user may want to start later.
const LOWEST: u16 = 20_000;
/// What Linux uses for outgoing connections unless told otherwise.
const EPHEMERAL_DEFAULT: u16 = 32_768;
/// Fewer candidates than this make collisions likely, so the kernel chooses instead.
const CANDIDATES_MIN: u16 = 500;
const TRIES_MAX: u32 = 200;

/// Ports this process has given out: two servers that start at the same time must not both find
/// the same one free.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Whether a server could listen on `port` of 127.0.0.1 now. `SO_REUSEADDR` is set by the
/// standard library, as by the servers, so connections in `TIME_WAIT` are no obstacle.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A free port, preferably `wanted` (the one of the last start). `None`: the machine has none.
pub(crate) fn choose(wanted: Option<u16>) -> Option<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(port) = wanted
        && is_free(port)
        && !given.contains(&port)
    {
        given.insert(port);
        return Some(port);
    }
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    if let Some(candidates) = candidates(&range) {
        for attempt in 0..TRIES_MAX {
            let port = pick(&candidates, RandomState::new().hash_one(attempt));
            if !given.contains(&port) && is_free(port) {
                given.insert(port);
                return Some(port);
            }
        }
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).ok()?.port();
    given.insert(port);
    Some(port)
}

/// A free port of 127.0.0.1 that no outgoing connection of this machine is given, for a program that is started
/// beside the servers; kept from them for the life of this process. `None`: the machine has none.
#[must_use]
pub fn free_port() -> Option<u16> {
    choose(None)
}

/// Keeps a port that the caller has fixed from being chosen for another server.
pub(crate) fn reserve(port: u16) {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
}

/// Lets another server of this process have the port again.
pub(crate) fn release(port: u16) {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
}

/// The ports below the kernel's own range, from the text of `ip_local_port_range`.
fn candidates(ip_local_port_range: &str) -> Option<Range<u16>> {
    let first =
        ip_local_port_range.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(EPHEMERAL_DEFAULT);
    (first >= LOWEST + CANDIDATES_MIN).then_some(LOWEST..first)
}

fn pick(candidates: &Range<u16>, random: u64) -> u16 {
    let width = u64::from(candidates.end - candidates.start);
    let offset = u16::try_from(random % width).expect("the remainder is below a u16");
    candidates.start + offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_lie_below_the_range_of_outgoing_connections() {
        assert_eq!(candidates("32768\t60999\n"), Some(20_000..32_768));
        assert_eq!(candidates("49152 65535"), Some(20_000..49_152));
        assert_eq!(candidates(""), Some(20_000..32_768), "unreadable: the default of Linux");
        assert_eq!(candidates("1024 65535"), None, "nothing left below");
        assert_eq!(candidates("20100 65535"), None, "too few left below");
    }

    #[test]
    fn every_random_number_gives_a_candidate() {
        let range = 20_000..20_500;
        for random in [0, 1, 499, 500, u64::MAX] {
            assert!(range.contains(&pick(&range, random)));
        }
    }

    #[test]
    fn a_busy_port_is_not_chosen_even_when_wanted() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let busy = listener.local_addr().expect("bound").port();
        assert!(!is_free(busy));
        assert_ne!(choose(Some(busy)), Some(busy));
    }

    #[test]
    fn a_port_is_given_once_until_it_is_released() {
        let first = choose(None).expect("a free port");
        assert_ne!(choose(Some(first)), Some(first));
        release(first);
        assert_eq!(choose(Some(first)), Some(first));
    }
}
