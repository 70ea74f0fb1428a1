//! Records as they go out and as they come in.

use std::fmt;

use rdkafka::message::{BorrowedMessage, Message};

use super::headers::HeaderSet;
use super::native::HeaderIter;

/// A record to be sent; everything is borrowed and copied once, into librdkafka's queue.
#[derive(Clone, Copy)]
pub struct Out<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; none: by `murmur2` of the key, at random without a key.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a HeaderSet,
    /// Creation time in milliseconds since 1970 UTC; none: now.
    pub timestamp_ms: Option<i64>,
}

/// Without key and value: they are somebody's data.
impl fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("topic", &self.topic).field("partition", &self.partition).finish_non_exhaustive()
    }
}

/// A record that was received, borrowed from librdkafka's buffer for the time of one call.
#[derive(Clone, Copy)]
pub struct Msg<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's time in milliseconds since 1970 UTC, if it has one.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    message: &'a BorrowedMessage<'a>,
}

impl<'a> Msg<'a> {
    pub(crate) fn of(message: &'a BorrowedMessage<'a>) -> Self {
        Self {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key(),
            value: message.payload(),
            message,
        }
    }

    /// The value of the last header of that name. None when there is none or when it is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().filter(|(other, _)| *other == name.as_bytes()).last().and_then(|(_, value)| value)
    }

    /// All headers in order: name (bytes: a foreign writer is not bound to UTF-8) and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        HeaderIter::new(self.message)
    }
}

/// Coordinates only: key and value are somebody's data.
impl fmt::Debug for Msg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Msg({}/{}/{})", self.topic, self.partition, self.offset)
    }
}
