//! The network and the clock: all that cannot be repeated.
pub(crate) mod clock;
pub(crate) mod http;
