//! The Confluent frame around every Avro value: a zero byte, the schema's id in four bytes
//! big-endian, then the Avro datum.
//!
//! Source: Confluent Schema Registry, "Wire format".

use thiserror::Error;

/// Bytes before the Avro datum.
pub const PREFIX_BYTES: usize = 5;
/// The largest frame that is read: `max.message.bytes` of `sisdmk.clean`. It bounds what a
/// damaged length or count can make the decoder reserve.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;

const MAGIC: u8 = 0;
/// Newer Confluent clients may write a GUID after this byte instead of an id.
const MAGIC_GUID: u8 = 1;

/// Why bytes are not a frame that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameFault {
    /// Fewer bytes than a prefix has.
    #[error("a value shorter than the five bytes of a schema prefix")]
    Short,
    /// More bytes than the topic lets through.
    #[error("a value larger than 2 MiB")]
    Long,
    /// A schema GUID instead of an id: well-formed, but not written by these programs.
    #[error("a schema GUID in the prefix, which is not supported; the writer must use schema ids")]
    Guid,
    /// Not a Confluent frame at all.
    #[error("a value that does not begin with the schema prefix")]
    Magic,
    /// Another schema than the reader was started with.
    #[error("schema id {found} where {expected} was expected")]
    SchemaId {
        /// Id in the prefix.
        found: u32,
        /// Id of the reader's schema.
        expected: u32,
    },
}

/// Appends the prefix for `schema_id`.
pub fn write(schema_id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&schema_id.to_be_bytes());
}

/// Schema id and Avro datum of a frame.
pub fn split(frame: &[u8]) -> Result<(u32, &[u8]), FrameFault> {
    let (prefix, datum) = frame.split_first_chunk::<PREFIX_BYTES>().ok_or(FrameFault::Short)?;
    let [magic, id @ ..] = *prefix;
    match magic {
        MAGIC if frame.len() > FRAME_BYTES_MAX => Err(FrameFault::Long),
        MAGIC => Ok((u32::from_be_bytes(id), datum)),
        MAGIC_GUID => Err(FrameFault::Guid),
        _ => Err(FrameFault::Magic),
    }
}

/// Avro datum of a frame written with the schema that the caller can read.
pub fn datum(frame: &[u8], schema_id: u32) -> Result<&[u8], FrameFault> {
    match split(frame)? {
        (found, datum) if found == schema_id => Ok(datum),
        (found, _) => Err(FrameFault::SchemaId { found, expected: schema_id }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_zero_byte_and_the_id_big_endian() {
        let mut out = vec![9];
        write(0x0102_0304, &mut out);
        assert_eq!(out, [9, 0, 1, 2, 3, 4]);
        assert_eq!(split(&out[1..]), Ok((0x0102_0304, &[][..])));
        assert_eq!(split(&[0, 0, 0, 0, 7, 1, 2]), Ok((7, &[1, 2][..])));
        assert_eq!(datum(&[0, 0, 0, 0, 7, 1, 2], 7), Ok(&[1, 2][..]));
    }

    #[test]
    fn every_other_prefix_is_named() {
        assert_eq!(split(&[]), Err(FrameFault::Short));
        assert_eq!(split(&[0, 0, 0, 0]), Err(FrameFault::Short));
        assert_eq!(split(&[1, 0, 0, 0, 7]), Err(FrameFault::Guid));
        assert_eq!(split(b"{\"a\":1}"), Err(FrameFault::Magic));
        assert_eq!(split(&vec![0; FRAME_BYTES_MAX + 1]), Err(FrameFault::Long));
        assert_eq!(datum(&[0, 0, 0, 0, 7], 8), Err(FrameFault::SchemaId { found: 7, expected: 8 }));
    }
}
