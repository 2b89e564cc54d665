//! `OP_MSG`: flags, then sections in any order, then maybe a checksum.
//!
//! Shape:  flags u32, { kind u8, content }, ..., [crc u32]
//!         kind 0: one document, exactly once; kind 1: length i32 (itself included), name, documents
//! Flags:  bit 0 checksum present, 1 more to come, 16 exhaust allowed; other bits below 16 are
//!         errors, others above are ignored
//! Source: MongoDB wire protocol specification, "OP_MSG".

use bytes::Bytes;
use millstream_value::Doc;

use crate::cursor::Cursor;
use crate::{Error, Flags, Header, MAX_SECTIONS, MAX_SEQUENCE_NAME_BYTES, Request, Result, Sequence};

const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 1 << 1;
const EXHAUST_ALLOWED: u32 = 1 << 16;
const REQUIRED_BITS: u32 = 0xffff;
const CHECKSUM_BYTES: usize = 4;

pub(crate) const KIND_BODY: u8 = 0;
pub(crate) const KIND_SEQUENCE: u8 = 1;

impl Flags {
    fn parse(bits: u32) -> Result<Self> {
        let unknown = bits & REQUIRED_BITS & !(CHECKSUM_PRESENT | MORE_TO_COME);
        if unknown != 0 {
            return Err(Error::Flags(unknown));
        }
        Ok(Self {
            checksum_present: bits & CHECKSUM_PRESENT != 0,
            more_to_come: bits & MORE_TO_COME != 0,
            exhaust_allowed: bits & EXHAUST_ALLOWED != 0,
        })
    }

    /// The flags as they stand on the wire.
    pub(crate) fn bits(self) -> u32 {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        bit(self.checksum_present, CHECKSUM_PRESENT)
            | bit(self.more_to_come, MORE_TO_COME)
            | bit(self.exhaust_allowed, EXHAUST_ALLOWED)
    }
}

/// Decodes what follows the header of an `OP_MSG`.
pub(crate) fn decode(header: &Header, body: Bytes) -> Result<Request> {
    let mut cursor = Cursor::new(body.clone());
    let flags = Flags::parse(cursor.u32("the flags")?)?;
    let mut sections = cursor.into_rest();
    if flags.checksum_present {
        let content = sections.len().checked_sub(CHECKSUM_BYTES).ok_or(Error::Truncated("the checksum"))?;
        let checksum = sections.split_off(content);
        verify(header, &body, checksum)?;
    }
    let (body, sequences) = decode_sections(sections)?;
    let document = Doc::new(&body);
    if let Some(twice) = sequences.iter().find(|sequence| document.has(sequence.name())) {
        return Err(Error::DuplicateSequence(twice.name().to_owned()));
    }
    Ok(Request { id: header.request_id, body, sequences, flags, legacy: None, compressor: None })
}

fn verify(header: &Header, body: &[u8], checksum: Bytes) -> Result<()> {
    let found = Cursor::new(checksum).u32("the checksum")?;
    let covered = body.len().saturating_sub(CHECKSUM_BYTES);
    let covered = body.get(..covered).ok_or(Error::Truncated("the checksum"))?;
    let expected = crc32c::crc32c_append(crc32c::crc32c(&header.to_bytes()?), covered);
    if found == expected { Ok(()) } else { Err(Error::Checksum { found, expected }) }
}

fn decode_sections(sections: Bytes) -> Result<(Bytes, Vec<Sequence>)> {
    let mut cursor = Cursor::new(sections);
    let mut body = None;
    let mut sequences: Vec<Sequence> = Vec::new();
    let mut count = 0;
    while !cursor.is_empty() {
        count += 1;
        if count > MAX_SECTIONS {
            return Err(Error::Sections);
        }
        match cursor.u8("a section")? {
            KIND_BODY => {
                if body.replace(cursor.document()?).is_some() {
                    return Err(Error::Bodies(2));
                }
            }
            KIND_SEQUENCE => {
                let sequence = decode_sequence(&mut cursor)?;
                if sequences.iter().any(|other| other.name() == sequence.name()) {
                    return Err(Error::DuplicateSequence(sequence.name().to_owned()));
                }
                sequences.push(sequence);
            }
            kind => return Err(Error::SectionKind(kind)),
        }
    }
    Ok((body.ok_or(Error::Bodies(0))?, sequences))
}

fn decode_sequence(cursor: &mut Cursor) -> Result<Sequence> {
    let stated = cursor.i32("a section")?;
    let length = usize::try_from(stated)
        .ok()
        .and_then(|length| length.checked_sub(size_of::<i32>()))
        .ok_or(Error::SectionLength(stated))?;
    let mut section = Cursor::new(cursor.take(length, "a section")?);
    let name = section.name(MAX_SEQUENCE_NAME_BYTES, "sequence name")?;
    Sequence::decode(name, section.into_rest())
}
