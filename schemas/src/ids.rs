//! Identifiers that travel as text: UUIDs of 36 characters and trace ids of 32 hexadecimal digits.
//!
//! One spelling only, lower case with hyphens, because keys are compared as bytes: a key written
//! in another way would put the same person on another partition.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Length of a UUID as text.
pub(crate) const UUID_TEXT_BYTES: usize = 36;
/// Length of a trace id as text.
pub(crate) const TRACE_ID_TEXT_BYTES: usize = 32;

/// The public, stable identity of a health worker: a version 8 UUID made from the NIK by
/// [`crate::identity::IdentityKey::person_id`]. It says nothing about the NIK to anyone without
/// the key, so it may be shown, logged and used as a Kafka key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub Uuid);

impl PersonId {
    /// Reads a Kafka key: exactly 36 characters, lower case, with hyphens. Anything else is `None`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        parse_uuid(text).map(Self)
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl Serialize for PersonId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PersonId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(text.as_bytes()).ok_or_else(|| de::Error::custom("not a person id"))
    }
}

/// The W3C trace id of the batch or record, 16 bytes, written as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    /// Exactly 32 lower-case hexadecimal digits; anything else is `None`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; TRACE_ID_TEXT_BYTES] = text.try_into().ok()?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
            *byte = hex_pair(*pair)?;
        }
        Some(Self(bytes))
    }

    /// The 32 characters, without an allocation.
    pub(crate) fn text(&self) -> [u8; TRACE_ID_TEXT_BYTES] {
        let mut text = [0; TRACE_ID_TEXT_BYTES];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0x0f)]];
        }
        text
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(text.as_bytes()).ok_or_else(|| de::Error::custom("not a trace id"))
    }
}

/// Reads the one spelling of a UUID that we write; `None` for every other one.
pub(crate) fn parse_uuid(text: &[u8]) -> Option<Uuid> {
    let text: &[u8; UUID_TEXT_BYTES] = text.try_into().ok()?;
    if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
        return None;
    }
    let mut bytes = [0; 16];
    // Where each byte's two digits begin, the hyphens left out.
    const STARTS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    for (byte, start) in bytes.iter_mut().zip(STARTS) {
        *byte = hex_pair([text[start], text[start + 1]])?;
    }
    Some(Uuid::from_bytes(bytes))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Value of a lower-case hexadecimal digit, or `NOT_HEX`.
const HEX_VALUES: [u8; 256] = {
    let mut values = [NOT_HEX; 256];
    let mut value: u8 = 0;
    while value < 16 {
        values[HEX[value as usize] as usize] = value;
        value += 1;
    }
    values
};
const NOT_HEX: u8 = 0xff;

fn hex_pair([high, low]: [u8; 2]) -> Option<u8> {
    let (high, low) = (HEX_VALUES[usize::from(high)], HEX_VALUES[usize::from(low)]);
    (high != NOT_HEX && low != NOT_HEX).then_some(high << 4 | low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_one_spelling_of_a_uuid_is_read() {
        let good = "01936ad3-0f6a-7abc-8def-0123456789ab";
        assert_eq!(parse_uuid(good.as_bytes()).map(|uuid| uuid.to_string()), Some(good.to_owned()));
        for bad in [
            "",
            "01936AD3-0F6A-7ABC-8DEF-0123456789AB",
            "01936ad30f6a7abc8def0123456789ab",
            "{01936ad3-0f6a-7abc-8def-0123456789a}",
            "01936ad3-0f6a-7abc-8def-0123456789a",
            "01936ad3-0f6a-7abc-8def-0123456789abc",
            "01936ad3-0f6a-7abc-8def_0123456789ab",
            "01936ad3-0f6a-7abc-8def-0123456789ag",
            "0193-6ad30f6a-7abc-8def-0123456789ab",
        ] {
            assert_eq!(parse_uuid(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_trace_id_is_32_lower_case_digits() {
        let good = "0af7651916cd43dd8448eb211c80319c";
        let trace_id = TraceId::parse(good.as_bytes()).expect("32 digits");
        assert_eq!(trace_id.to_string(), good);
        assert_eq!(trace_id.text(), good.as_bytes());
        for bad in [
            "",
            "0AF7651916CD43DD8448EB211C80319C",
            "0af7651916cd43dd8448eb211c80319",
            "0af7651916cd43dd8448eb211c80319c0",
            "0af7651916cd43dd8448eb211c80319g",
        ] {
            assert_eq!(TraceId::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_uuid_and_trace_id_reads_back(value: u128, text: Vec<u8>) {
            let uuid = Uuid::from_u128(value);
            prop_assert_eq!(parse_uuid(uuid.to_string().as_bytes()), Some(uuid));
            prop_assert_eq!(PersonId::parse(PersonId(uuid).to_string().as_bytes()), Some(PersonId(uuid)));
            let trace_id = TraceId(value.to_be_bytes());
            prop_assert_eq!(TraceId::parse(&trace_id.text()), Some(trace_id));
            let _ = (parse_uuid(&text), TraceId::parse(&text));
        }
    }
}
