//! Trace contexts as they travel in headers: W3C Trace Context, version 00.

use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

/// The identity of one span, enough to continue its trace elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Of the whole trace; never all zero.
    pub trace_id: [u8; 16],
    /// Of this span; never all zero.
    pub span_id: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// The first span of a new, recorded trace.
    #[must_use]
    pub fn new_root() -> Self {
        Self::new_root_sampled(1.0)
    }

    /// The first span of a new trace that is recorded with this probability (0 to 1).
    #[must_use]
    pub fn new_root_sampled(ratio: f64) -> Self {
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        let (a, b) = (a.as_bytes(), b.as_bytes());
        // Bytes 6 and 8 of a UUID hold its version and variant; only random bytes are taken.
        let mut trace_id = [0; 16];
        trace_id[..6].copy_from_slice(&a[..6]);
        trace_id[6..12].copy_from_slice(&a[10..]);
        trace_id[12..].copy_from_slice(&b[..4]);
        let lot = f64::from(u32::from_be_bytes([trace_id[12], trace_id[13], trace_id[14], trace_id[15]]));
        let sampled = lot < ratio * (f64::from(u32::MAX) + 1.0);
        Self { trace_id, span_id: new_span_id(), sampled }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: new_span_id(), ..*self }
    }

    /// The header's value, 55 characters.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id_hex(), hex(&self.span_id), u8::from(self.sampled))
    }

    /// The trace id as 32 lower-case hex digits.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        hex(&self.trace_id)
    }

    /// Reads a `traceparent` header. None where it is not one: an unreadable context is no context.
    ///
    /// Versions above 00 are read as far as 00 goes, as W3C asks for; `ff` is not a version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version]: [u8; 1] = unhex(version)?;
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace_id, span_id, [flags]): ([u8; 16], [u8; 8], [u8; 1]) = (unhex(trace)?, unhex(span)?, unhex(flags)?);
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The context of a span of this process, for headers of what it sends. None while traces are
    /// off: then send the context that came in.
    #[must_use]
    pub fn of(span: &tracing::Span) -> Option<Self> {
        let context = span.context();
        let span = context.span();
        let context = span.span_context();
        context.is_valid().then(|| Self {
            trace_id: context.trace_id().to_bytes(),
            span_id: context.span_id().to_bytes(),
            sampled: context.is_sampled(),
        })
    }

    /// Makes the span a child of this context. Call it before the span is entered; without traces
    /// it does nothing.
    pub fn adopt(&self, span: &tracing::Span) {
        let parent = opentelemetry::Context::new().with_remote_span_context(self.remote());
        // It fails where no exporter runs or the span is disabled: then there is nothing to tell.
        let _ = span.set_parent(parent);
    }

    /// Links the span to this context: what it works on came from there.
    pub fn link(&self, span: &tracing::Span) {
        span.add_link(self.remote());
    }

    fn remote(&self) -> SpanContext {
        SpanContext::new(
            TraceId::from_bytes(self.trace_id),
            SpanId::from_bytes(self.span_id),
            if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
            true,
            TraceState::default(),
        )
    }
}

/// The `traceparent` form.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

fn new_span_id() -> [u8; 8] {
    let id = Uuid::new_v4();
    let bytes = id.as_bytes();
    // Bytes 9 to 15 are random to the last bit, so are 0 to 5; never all zero in practice, and a
    // set bit makes sure.
    let mut span_id = [0; 8];
    span_id[..7].copy_from_slice(&bytes[9..]);
    span_id[7] = bytes[0] | 1;
    span_id
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes of lower-case hex digits.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_survives_its_header() {
        for _ in 0..100 {
            let root = TraceContext::new_root();
            let child = root.child();
            assert_eq!(TraceContext::parse(&child.traceparent()), Some(child));
            assert_eq!((child.trace_id, child.sampled), (root.trace_id, true));
            assert_ne!(child.span_id, root.span_id);
            assert_eq!(child.traceparent().len(), 55);
        }
    }

    #[test]
    fn headers_are_read_as_w3c_says() {
        let check = |text: &str, sampled: Option<bool>| {
            assert_eq!(TraceContext::parse(text).map(|context| context.sampled), sampled, "{text}");
        };
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(true));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", Some(false));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", Some(true));
        check("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", Some(true));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None);
        check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
        check("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", None);
        check("", None);
    }

    #[test]
    fn a_trace_is_recorded_with_the_probability_that_was_asked_for() {
        assert!((0..200).all(|_| TraceContext::new_root_sampled(1.0).sampled));
        assert!((0..200).all(|_| !TraceContext::new_root_sampled(0.0).sampled));
        let some = (0..4_000).filter(|_| TraceContext::new_root_sampled(0.5).sampled).count();
        assert!((1_500..2_500).contains(&some), "{some} of 4000");
    }
}
