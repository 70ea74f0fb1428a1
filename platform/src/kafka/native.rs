//! The two calls that the Rust binding does not offer as they are needed.
//!
//! - `rd_kafka_flush` with its real time-out. The binding's `flush` calls it with 0 and polls in
//!   steps of 100 ms, which would cost every transaction up to 100 ms and would not cut short the
//!   linger time.
//! - Headers by bytes. The binding's accessor panics when a header's name is not UTF-8, and a record
//!   that somebody else wrote must not stop a process.

#![expect(unsafe_code, reason = "two calls of librdkafka's C API; each block says why it is sound")]

use std::ffi::{CStr, c_void};
use std::os::raw::c_char;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Message};

/// Waits until every record of the producer is delivered or has failed, sending at once what still
/// lingers. Another thread must serve the producer's events meanwhile.
///
/// Errors: the code, which is the time-out one when records are left.
pub(crate) fn flush<C: ClientContext>(client: &Client<C>, timeout: Duration) -> Result<(), RDKafkaErrorCode> {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client owns the handle and is borrowed for the whole call; the function is
    // documented as thread safe.
    let code: RDKafkaErrorCode = unsafe { c::rd_kafka_flush(client.native_ptr(), millis) }.into();
    match code {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code),
    }
}

/// The headers of a message, one by one.
pub(crate) struct HeaderIter<'a> {
    headers: Option<&'a BorrowedHeaders>,
    next: usize,
}

impl<'a> HeaderIter<'a> {
    pub(crate) fn new(message: &'a BorrowedMessage<'_>) -> Self {
        Self { headers: message.headers(), next: 0 }
    }
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let headers: &'a BorrowedHeaders = self.headers?;
        let mut name: *const c_char = ptr::null();
        let mut value: *const c_void = ptr::null();
        let mut size: usize = 0;
        // SAFETY: a `BorrowedHeaders` is librdkafka's own header list behind a reference (that is how
        // the binding makes it), and the call only reads it. Past the end it returns an error and
        // leaves the out parameters alone.
        let code: RDKafkaErrorCode = unsafe {
            let list = ptr::from_ref(headers).cast::<c::rd_kafka_headers_t>();
            c::rd_kafka_header_get_all(list, self.next, &raw mut name, &raw mut value, &raw mut size)
        }
        .into();
        if code != RDKafkaErrorCode::NoError || name.is_null() {
            return None;
        }
        self.next += 1;
        // SAFETY: on success the name is a terminated string and the value, where it is not null,
        // has `size` bytes; both live as long as the header list, which `'a` borrows.
        let (name, value) = unsafe {
            let name = CStr::from_ptr(name).to_bytes();
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
            (name, value)
        };
        Some((name, value))
    }
}
