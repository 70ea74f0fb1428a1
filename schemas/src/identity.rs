//! The identity of a record, read the same way by everybody who needs it, and the public id made
//! from it.
//!
//! Producer and processor both call [`peek`] or [`read`]: if they read the identity differently,
//! one person would live under two keys. Nothing is repaired: sixteen digits, or no identity.

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use uuid::Builder;

use crate::ids::PersonId;
use crate::json::{JsonFault, Scanner, Value, exact_integer};
use crate::layout::{Layout, PersonField};
use crate::nik::Nik;
use crate::stamp;
use crate::timestamp::Timestamp;
use crate::version::Stamp;

/// The secret that turns a NIK into a [`PersonId`]. Without it, 2.7e10 likely NIKs are few enough
/// to be tried one by one, so a plain hash would hide nothing.
#[derive(Clone)]
pub struct IdentityKey(
    /// HMAC after the key and before any input; cloned for every use.
    Hmac<Sha256>,
);

/// A key file without a key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an identity key file that is empty")]
pub struct EmptyKey;

/// What [`IdentityKey::fingerprint`] signs. It can never be a NIK, so no person has this HMAC.
const FINGERPRINT_INPUT: &[u8] = b"sisdmk identity fingerprint v1";

/// What comes before every credential that is marked; it can never be a NIK either.
const CREDENTIAL_INPUT: &[u8] = b"sisdmk credential mark v1";

impl IdentityKey {
    /// `secret` is the whole key: the file's bytes without the one trailing newline that editors add, which whoever
    /// reads secret files has taken off already.
    pub fn from_secret(secret: &[u8]) -> Result<Self, EmptyKey> {
        if secret.is_empty() {
            return Err(EmptyKey);
        }
        let hmac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Ok(Self(hmac))
    }

    /// Sixteen hexadecimal digits that tell two keys apart and say nothing about either.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let high = self.sign(FINGERPRINT_INPUT) >> 64;
        format!("{high:016x}")
    }

    /// Sixteen hexadecimal digits by which a credential is known again, without being kept. `parts`: what the
    /// credential is made of, in a fixed order. Without the key the mark says nothing, not even to somebody who
    /// tries likely passwords one by one.
    #[must_use]
    pub fn credential_mark(&self, parts: &[&[u8]]) -> String {
        let mut input = CREDENTIAL_INPUT.to_vec();
        for part in parts {
            input.extend_from_slice(&part.len().to_be_bytes());
            input.extend_from_slice(part);
        }
        format!("{:016x}", self.sign(&input) >> 64)
    }

    /// The first 128 bits of HMAC-SHA-256(key, the 16 digits) as a version 8 UUID.
    #[must_use]
    pub fn person_id(&self, nik: &Nik<'_>) -> PersonId {
        let bits = self.sign(nik.expose().as_bytes());
        PersonId(Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
    }

    /// The first 128 bits of the HMAC.
    fn sign(&self, input: &[u8]) -> u128 {
        let mut hmac = self.0.clone();
        hmac.update(input);
        let signed: [u8; 32] = hmac.finalize().into_bytes().into();
        let first = signed.first_chunk().expect("sixteen of 32 bytes");
        u128::from_be_bytes(*first)
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(masked)")
    }
}

/// What can be told about a record without judging it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The identity, if it can be read.
    pub nik: Option<Nik<'a>>,
    /// The source's stamp, if it has one and it can be read; not yet believed.
    pub last_updated: Option<Timestamp>,
}

/// Reads identity and stamp in one pass. A record with any JSON-level fault has neither.
#[must_use]
pub fn peek<'a>(record: &'a [u8], layout: &Layout) -> Peek<'a> {
    scan(record, layout).unwrap_or_default()
}

/// The identity of a record: sixteen ASCII digits after trimming Unicode blanks, given as text or
/// as an exact JSON integer. `None` for anything else and for any JSON-level fault of the record.
#[must_use]
pub fn read<'a>(record: &'a [u8], layout: &Layout) -> Option<Nik<'a>> {
    peek(record, layout).nik
}

/// The stamp of a record, for the watermark; `None` as in [`read`], and where the layout has none.
#[must_use]
pub fn read_stamp(record: &[u8], layout: &Layout) -> Option<Timestamp> {
    peek(record, layout).last_updated
}

/// The identity that one value of a record gives.
#[must_use]
pub fn nik<'a>(value: &Value<'a>) -> Option<Nik<'a>> {
    match value {
        Value::Text(Cow::Borrowed(text)) => Nik::new(text.trim()),
        Value::Text(Cow::Owned(text)) => Nik::new(text.trim().to_owned()),
        Value::Number(number) => Nik::new(exact_integer(number)?),
        _ => None,
    }
}

fn scan<'a>(record: &'a [u8], layout: &Layout) -> Result<Peek<'a>, JsonFault> {
    let mut peek = Peek::default();
    let mut scanner = Scanner::record(record)?;
    while let Some(key) = scanner.key()? {
        match layout.person.field(&key) {
            Some(PersonField::Nik) => peek.nik = nik(&scalar(&mut scanner)?),
            Some(PersonField::LastUpdated) if layout.stamp == Stamp::Source => {
                peek.last_updated = match scalar(&mut scanner)? {
                    Value::Text(text) => stamp::parse(&text, &layout.stamp_formats, layout.zone),
                    Value::Number(number) => {
                        exact_integer(number).and_then(|text| stamp::parse(text, &layout.stamp_formats, layout.zone))
                    }
                    _ => None,
                }
            }
            _ => scanner.skip()?,
        }
    }
    scanner.end()?;
    Ok(peek)
}

/// The next value; an object or array is passed over.
fn scalar<'a>(scanner: &mut Scanner<'a>) -> Result<Value<'a>, JsonFault> {
    let value = scanner.value()?;
    if matches!(value, Value::Object | Value::Array) {
        scanner.leave()?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::shipped;
    use proptest::prelude::*;

    const KEY: &[u8] = b"sisdmk-contoh-kunci-identitas-0001";

    fn key() -> IdentityKey {
        IdentityKey::from_secret(KEY).expect("a key")
    }

    fn layout() -> Layout {
        Layout::from_profile_toml(shipped("sdmk-modified").expect("a profile")).expect("a layout")
    }

    /// Python: `hmac.new(key, nik, sha256).digest()[:16]`, with the version and variant bits of a
    /// version 8 UUID; `hmac.new(key, b"sisdmk identity fingerprint v1", sha256).hexdigest()[:16]`.
    #[test]
    fn the_public_identity_of_a_known_nik_never_changes() {
        let nik = Nik::new("3273015705900004").expect("16 digits");
        let person_id = key().person_id(&nik);
        assert_eq!(person_id.to_string(), "0b3301da-b4a6-8e95-9019-49ff0c59c28e");
        assert_eq!(person_id.0.get_version_num(), 8);
        assert_eq!(person_id.0.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(key().fingerprint(), "84fb6d8277ca2807");
    }

    #[test]
    fn a_credential_is_known_again_and_by_nobody_else() {
        let mark = key().credential_mark(&[b"user", b"password"]);
        assert_eq!(mark, key().credential_mark(&[b"user", b"password"]));
        assert_eq!(mark.len(), 16);
        for other in [&[b"user".as_slice(), b"Password"] as &[&[u8]], &[b"userp", b"assword"], &[b"user"], &[]] {
            assert_ne!(key().credential_mark(other), mark);
        }
        let another = IdentityKey::from_secret(b"another key").expect("a key");
        assert_ne!(another.credential_mark(&[b"user", b"password"]), mark);
        assert_ne!(key().credential_mark(&[]), key().fingerprint());
    }

    #[test]
    fn an_empty_key_is_refused_and_every_byte_of_another_counts() {
        assert_eq!(IdentityKey::from_secret(b"").err(), Some(EmptyKey));
        let print = |key: &[u8]| IdentityKey::from_secret(key).expect("a key").fingerprint();
        assert_ne!(print(b"key"), print(b"key\n"));
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        assert_eq!(format!("{:?}", key()), "IdentityKey(masked)");
    }

    fn check(record: &str, expected: Option<&str>) {
        let layout = layout();
        let found = read(record.as_bytes(), &layout);
        let found = found.as_ref().map(Nik::expose);
        assert_eq!(found, expected, "{record}");
    }

    #[test]
    fn sixteen_digits_are_an_identity_in_every_spelling_of_json() {
        let nik = Some("9301014101900003");
        check(r#"{"NIK":"9301014101900003"}"#, nik);
        check(r#" {"A":{"NIK":"1"},"NIK" : "9301014101900003" } "#, nik);
        check(r#"{"NIK":"9\u0033\u00301014101900003"}"#, nik);
        check(r#"{"N\u0049K":"9301014101900003"}"#, nik);
        check("{\"NIK\":\"\u{a0} 9301014101900003\\t\\n\"}", nik);
        // Beyond 2^53: through an f64 it would end in 4.
        check(r#"{"NIK":9301014101900003}"#, nik);
        check(r#"{"NIK":"0000000000000000"}"#, Some("0000000000000000"));
    }

    #[test]
    fn nothing_is_repaired_into_an_identity() {
        for record in [
            r#"{}"#,
            r#"{"nik":"9301014101900003"}"#,
            r#"{"NIK":null}"#,
            r#"{"NIK":""}"#,
            r#"{"NIK":true}"#,
            r#"{"NIK":["9301014101900003"]}"#,
            r#"{"NIK":{"NIK":"9301014101900003"}}"#,
            r#"{"NIK":"930101410190000"}"#,
            r#"{"NIK":"93010141019000034"}"#,
            r#"{"NIK":"9301014101900003.0"}"#,
            r#"{"NIK":"'9301014101900003"}"#,
            r#"{"NIK":"9301 0141 0190 0003"}"#,
            r#"{"NIK":"9.30101410190000E+15"}"#,
            r#"{"NIK":9301014101900003.0}"#,
            r#"{"NIK":9.301014101900003e15}"#,
            r#"{"NIK":-9301014101900003}"#,
            r#"{"NIK":930101410190000}"#,
            r#"{"NIK":93010141019000034}"#,
            r#"{"NIK":0}"#,
            r#"[{"NIK":"9301014101900003"}]"#,
            r#""9301014101900003""#,
        ] {
            check(record, None);
        }
    }

    #[test]
    fn a_record_with_any_json_fault_has_no_identity() {
        for record in [
            &br#"{"NIK":"9301014101900003""#[..],
            br#"{"NIK":"9301014101900003"}}"#,
            br#"{"NIK":"9301014101900003","NIK":"9301014101900003"}"#,
            br#"{"NIK":"9301014101900003","A":1,"\u0041":1}"#,
            br#"{"NIK":"9301014101900003","A":[{"B":1,"B":1}]}"#,
            br#"{"NIK":"9301014101900003","A":1e999}"#,
            br#"{"NIK":"9301014101900003","A":"\ud800"}"#,
            br#"{"NIK":"9301014101900003","A":"\u0000"}"#,
            b"{\"NIK\":\"9301014101900003\",\"A\":\"\xff\"}",
            b"",
        ] {
            let layout = layout();
            assert_eq!(peek(record, &layout), Peek::default(), "{}", record.escape_ascii());
        }
        let deep = format!(r#"{{"NIK":"9301014101900003","A":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        check(&deep, None);
    }

    #[test]
    fn the_stamp_is_read_beside_the_identity() {
        let mut layout = layout();
        let record = br#"{"LAST_UPDATED":"2026-11-20 08:15:30","NIK":"9301014101900003"}"#;
        let stamp = Timestamp::parse_rfc3339("2026-11-20T01:15:30Z");
        let found = peek(record, &layout);
        assert_eq!(found.last_updated, stamp);
        assert_eq!(found.nik, Nik::new("9301014101900003"));
        assert_eq!(read_stamp(record, &layout), stamp);
        assert_eq!(read_stamp(br#"{"LAST_UPDATED":1795137330000}"#, &layout), None, "not a declared format");
        layout.stamp_formats = vec![crate::layout::StampFormat::EpochMs];
        assert_eq!(read_stamp(br#"{"LAST_UPDATED":1795137330000}"#, &layout), Some(Timestamp(1_795_137_330_000_000)));
        assert_eq!(read_stamp(br#"{"LAST_UPDATED":[1]}"#, &layout), None);
        layout.stamp = Stamp::Fetched;
        assert_eq!(read_stamp(br#"{"LAST_UPDATED":1795137330000}"#, &layout), None);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_peeked_at(bytes: Vec<u8>, nik in "[0-9]{16}", cut in 0..40_usize) {
            let layout = layout();
            let _ = peek(&bytes, &layout);
            let record = format!(r#"{{"NIK":"{nik}","NAMA":"x"}}"#);
            prop_assert_eq!(read(record.as_bytes(), &layout), Nik::new(nik.as_str()));
            let cut = record.as_bytes().get(..cut).unwrap_or_default();
            prop_assert_eq!(read(cut, &layout).is_some(), cut.len() == record.len());
        }

        #[test]
        fn different_niks_have_different_ids(a in "[0-9]{16}", b in "[0-9]{16}") {
            let id = |nik: &str| key().person_id(&Nik::new(nik.to_owned()).expect("16 digits"));
            prop_assert_eq!(id(&a) == id(&b), a == b);
            prop_assert_eq!(id(&a).0.get_version_num(), 8);
        }
    }
}
