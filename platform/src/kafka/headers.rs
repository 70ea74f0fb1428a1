//! Sets of record headers, built once and shared by many records.

use std::fmt;

use rdkafka::message::{Header, Headers, OwnedHeaders};

/// Headers of records to be sent, in order.
///
/// librdkafka takes a copy for each record, so the cost of a record is one copy of the set, not
/// building it again.
#[derive(Clone, Default)]
pub struct HeaderSet(OwnedHeaders);

impl HeaderSet {
    /// The headers, in this order; the same name may come twice.
    #[must_use]
    pub fn new(headers: &[(&str, &[u8])]) -> Self {
        headers
            .iter()
            .fold(Self(OwnedHeaders::new_with_capacity(headers.len())), |set, (name, value)| set.with(name, value))
    }

    /// The same set and one more header at its end.
    #[must_use]
    pub fn with(self, name: &str, value: &[u8]) -> Self {
        Self(self.0.insert(Header { key: name, value: Some(value) }))
    }

    /// Number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy in librdkafka's form; none for an empty set.
    pub(crate) fn copy(&self) -> Option<OwnedHeaders> {
        (!self.is_empty()).then(|| self.0.clone())
    }
}

/// Names only: a header may carry what does not belong into a log.
impl fmt::Debug for HeaderSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|header| header.key)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_grows_without_changing_its_copies() {
        let base = HeaderSet::new(&[("a", b"1"), ("b", b"")]);
        let more = base.clone().with("c", b"3");
        assert_eq!((base.len(), more.len()), (2, 3));
        assert_eq!(format!("{more:?}"), r#"["a", "b", "c"]"#);
        assert!(HeaderSet::default().copy().is_none());
    }
}
