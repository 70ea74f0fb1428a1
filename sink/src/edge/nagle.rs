//! Connections that do not wait for acknowledgements.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on: the last small message of a COPY is held back until the server has
//! acknowledged the one before, which takes it 40 ms when it has nothing to say. Every COPY then ends with that
//! wait, and a batch has several. sqlx lends nobody its sockets, so they are found among those of this
//! process. To be deleted with the first release that has sqlx's pull request 4336.

use std::fs;
use std::net::TcpStream;
use std::os::fd::{BorrowedFd, RawFd};

/// Switches it off for every connection of this process to that port.
///
/// Where it cannot (another kernel, no `/proc`), connections work as before, only slower.
pub(crate) fn switch_off(port: u16) {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    for stream in numbers.filter_map(duplicate) {
        if stream.peer_addr().is_ok_and(|peer| peer.port() == port) && stream.nodelay().is_ok_and(|off| !off) {
            let _ = stream.set_nodelay(true);
        }
    }
}

/// A second handle of an open descriptor, whatever it is of; the option belongs to the socket behind both.
fn duplicate(number: RawFd) -> Option<TcpStream> {
    #[expect(
        unsafe_code,
        reason = "the standard library cannot duplicate a descriptor that is only known by its number"
    )]
    // SAFETY: the number is handed to fcntl(F_DUPFD_CLOEXEC) and nothing else. Should another thread have closed it
    // since the folder was read, the kernel says so; should it name something new, that is what is duplicated.
    let open = unsafe { BorrowedFd::borrow_raw(number) };
    open.try_clone_to_owned().ok().map(TcpStream::from)
}
