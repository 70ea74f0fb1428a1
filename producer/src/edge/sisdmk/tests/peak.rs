//! What an answer costs at most: the bytes that a thread has taken from the allocator and not given back, at their peak.
//!
//! Everything that a test reads with runs on the test's own thread (`tokio::test` has one), and the servers of the
//! tests on others, so nothing but the reading is counted. What OpenSSL takes for itself is not seen.

#![expect(unsafe_code, reason = "an allocator is unsafe to write; this one hands everything to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes held now, and the most that were held at a time.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize, sign: isize) {
    // Where a thread ends its counter may be gone, and nobody asks for it any more.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        let now = now + isize::try_from(bytes).unwrap_or(isize::MAX) * sign;
        held.set((now, peak.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator with the arguments that came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Both may be there at a time, while one is copied into the other.
        count(bytes, 1);
        count(layout.size(), -1);
        unsafe { System.realloc(old, layout, bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        unsafe { System.dealloc(old, layout) }
    }
}

/// What came of `work`, and the most bytes that this thread held at a time on top of what it held before.
pub(super) async fn of<T>(work: impl Future<Output = T>) -> (T, usize) {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    let done = work.await;
    (done, usize::try_from(HELD.get().1 - before).unwrap_or(0))
}

#[tokio::test]
async fn the_peak_is_seen_and_not_the_end() {
    let (length, peak) = of(async {
        let large = vec![7_u8; 3_000_000];
        let length = large.len();
        drop(large);
        // What another thread takes is its own.
        std::thread::spawn(|| drop(vec![7_u8; 50_000_000])).join().expect("it ends");
        vec![7_u8; 1_000].len() + length
    })
    .await;
    assert_eq!(length, 3_001_000);
    assert!((3_000_000..3_100_000).contains(&peak), "{peak}");
}
