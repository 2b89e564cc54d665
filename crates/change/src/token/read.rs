//! Reading a token's text: only as far as a server needs it. The names of documents are walked over, not decoded.

use millstream_value::{ClusterTime, key};

use super::Position;
use crate::error::TokenError;

/// How deep a token's identifier may nest; documents nest less (CS-15).
const DEPTH_MAX: usize = 220;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Where in the log its event is.
    pub time: ClusterTime,
    /// 0, 1 or 2.
    pub version: u8,
    /// Event or high-water mark.
    pub kind: TokenKind,
    /// Position in the transaction or group.
    pub index: u32,
    /// Whether it is the token of an `invalidate`.
    pub from_invalidate: bool,
    /// Of the collection.
    pub uuid: Option<[u8; 16]>,
    /// Position among fragments, from 0.
    pub fragment: Option<u32>,
    /// How many bytes come before the fragment.
    pub(crate) base_bytes: usize,
    /// How far the documents were delivered, in a token from inside of a snapshot.
    pub(crate) position: Option<Position>,
}

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An event: resuming continues after it.
    Event,
    /// A point in time: resuming continues with the first event at or after it.
    HighWaterMark,
}

/// Reads the hex text of a token and the bits that tell its numbers' types.
pub(super) fn parts(data: &str, type_bits: &[u8]) -> Result<Parts, TokenError> {
    use TokenError as E;
    let bytes = unhex(data).ok_or(E::NotHex)?;
    let mut reader = Reader::new(&bytes, type_bits);
    let time = match reader.next()? {
        None => return Err(E::Empty),
        Some(Item::Time(time)) => time,
        Some(_) => ClusterTime::ZERO,
    };
    let version = match reader.next()? {
        None => return Err(E::NoVersion),
        Some(Item::Int(version)) => {
            u8::try_from(version).ok().filter(|version| *version <= 2).ok_or(E::Version(version))?
        }
        Some(_) => return Err(E::VersionType),
    };
    let kind = if version == 0 { TokenKind::Event } else { token_kind(reader.next()?)? };
    let index = match reader.next()? {
        None => return Err(E::NoIndex),
        Some(Item::Int(index)) => u32::try_from(index).map_err(|_| E::NegativeIndex(index))?,
        Some(_) => return Err(E::IndexType),
    };
    let from_invalidate = match version {
        0 => false,
        _ => match reader.next()? {
            None => return Err(E::NoFlag),
            Some(Item::Bool(flag)) => flag,
            Some(_) => return Err(E::FlagType),
        },
    };
    let mut item = reader.next()?;
    let uuid = match item {
        Some(Item::Uuid(uuid)) => Some(uuid),
        Some(Item::Null) if version >= 2 => None,
        Some(_) if version < 2 => None,
        None if version < 2 => None,
        _ => return Err(E::NoUuidField),
    };
    let identifier = reader.at;
    if uuid.is_some() || version >= 2 {
        item = reader.next()?;
    }
    match (&item, kind) {
        (None, TokenKind::Event) if version >= 2 => return Err(E::NoIdentifier),
        (Some(_), TokenKind::HighWaterMark) => return Err(E::UnexpectedIdentifier),
        (Some(Item::Object) | None, _) => {}
        (Some(_), TokenKind::Event) => return Err(E::IdentifierType),
    }
    let base_bytes = reader.at;
    let fragment = match reader.next()? {
        None => None,
        Some(Item::Int(number)) => Some(u32::try_from(number).map_err(|_| E::Fragment)?),
        Some(_) => return Err(E::Fragment),
    };
    if reader.next()?.is_some() {
        return Err(E::LeftOver);
    }
    let identifier = bytes.get(identifier..base_bytes).unwrap_or_default();
    let position = uuid.and_then(|uuid| Position::read(identifier, uuid, index, fragment));
    Ok(Parts { time, version, kind, index, from_invalidate, uuid, fragment, base_bytes, position })
}

fn token_kind(item: Option<Item>) -> Result<TokenKind, TokenError> {
    match item {
        None => Err(TokenError::NoType),
        Some(Item::Int(0)) => Ok(TokenKind::HighWaterMark),
        Some(Item::Int(128)) => Ok(TokenKind::Event),
        Some(Item::Int(other)) => Err(TokenError::Type(other)),
        Some(_) => Err(TokenError::TypeType),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

/// A value at the top level of a token.
enum Item {
    Time(ClusterTime),
    /// An int32.
    Int(i64),
    Bool(bool),
    Uuid([u8; 16]),
    Null,
    Object,
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    types: Bits<'a>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], type_bits: &'a [u8]) -> Self {
        Self { bytes, at: 0, types: Bits::new(type_bits) }
    }

    /// The next value, or nothing at the end.
    fn next(&mut self) -> Result<Option<Item>, TokenError> {
        let start = self.at;
        let tag = match self.bytes.get(self.at) {
            None => return Ok(None),
            Some(&key::END) => return Ok(None),
            Some(&tag) => tag,
        };
        let number = self.value(0)?;
        let body = self.bytes.get(start + 1..self.at).unwrap_or_default();
        Ok(Some(match tag {
            0x14 => Item::Null,
            0x6E => Item::Bool(false),
            0x6F => Item::Bool(true),
            0x46 => Item::Object,
            0x82 => {
                body.first_chunk().map_or(Item::Other, |t| Item::Time(ClusterTime::from_u64(u64::from_be_bytes(*t))))
            }
            0x5A => match body.split_first_chunk::<2>() {
                Some(([16, 4], uuid)) => uuid.try_into().map_or(Item::Other, Item::Uuid),
                _ => Item::Other,
            },
            // Only numbers and strings have type bits; an int32's are both clear.
            _ => match number {
                Some((value, true)) => Item::Int(value),
                _ => Item::Other,
            },
        }))
    }

    /// Walks over one value. Of a whole number also its value, and whether it is an int32.
    fn value(&mut self, depth: usize) -> Result<Option<(i64, bool)>, TokenError> {
        if depth > DEPTH_MAX {
            return Err(TokenError::Format("nested too deeply"));
        }
        let tag = self.byte()?;
        match tag {
            0x0A | 0x0F | 0x14 | 0x6E | 0x6F | 0xF0 => {}
            0x1E..=0x33 => return self.number(tag),
            0x3C => {
                self.types.take();
                self.text()?;
            }
            0xA0 => self.text()?,
            0x46 => self.object(depth)?,
            0xAA => {
                self.text()?;
                self.object(depth)?;
            }
            0x50 => {
                while !self.at_end_of_list()? {
                    self.nested(depth)?;
                }
            }
            0x5A => {
                let size = match self.byte()? {
                    0xFF => self.size()?,
                    size => usize::from(size),
                };
                self.skip(size.saturating_add(1))?;
            }
            0x64 => self.skip(12)?,
            0x78 | 0x82 => self.skip(8)?,
            0x8C => {
                self.name()?;
                self.name()?;
            }
            0x96 => {
                let size = self.size()?;
                self.skip(size.saturating_add(12))?;
            }
            _ => return Err(TokenError::UnknownType(tag)),
        }
        Ok(None)
    }

    fn object(&mut self, depth: usize) -> Result<(), TokenError> {
        while !self.at_end_of_list()? {
            self.byte()?;
            self.name()?;
            self.nested(depth)?;
        }
        Ok(())
    }

    fn nested(&mut self, depth: usize) -> Result<(), TokenError> {
        self.value(depth + 1)?;
        // The tail of a decimal that no double holds: a mark that no type has, exponent and digits.
        if matches!(self.bytes.get(self.at), Some(0x01 | 0xFF)) {
            self.skip(19)?;
        }
        Ok(())
    }

    fn at_end_of_list(&mut self) -> Result<bool, TokenError> {
        let next = *self.bytes.get(self.at).ok_or(CUT)?;
        if next == 0 {
            self.at += 1;
        }
        Ok(next == 0)
    }

    fn number(&mut self, tag: u8) -> Result<Option<(i64, bool)>, TokenError> {
        let (first, second) = (self.types.take(), self.types.take());
        let is_int = !first && !second;
        if tag == 0x29 && first && second {
            // Which of the special zeros it is (CS-5.3.4).
            for _ in 0..3 {
                self.types.take();
            }
        }
        let (size, negative) = match tag {
            0x1E => return Ok(None),
            0x29 => return Ok(Some((0, is_int))),
            0x2B..=0x32 => (usize::from(tag - 0x2A), false),
            0x20..=0x27 => (usize::from(0x28 - tag), true),
            _ => {
                self.skip(8)?;
                return Ok(None);
            }
        };
        let body = self.bytes.get(self.at..self.at + size).ok_or(CUT)?;
        let doubled = body.iter().fold(0_u64, |sum, &byte| (sum << 8) | u64::from(if negative { !byte } else { byte }));
        if doubled & 1 == 1 {
            // A fraction follows: eight bytes in all.
            self.skip(8)?;
            return Ok(None);
        }
        self.skip(size)?;
        let magnitude = i64::try_from(doubled >> 1).unwrap_or(i64::MAX);
        Ok(Some((if negative { -magnitude } else { magnitude }, is_int)))
    }

    /// Text up to a NUL that is not followed by `FF`.
    fn text(&mut self) -> Result<(), TokenError> {
        loop {
            self.name()?;
            if self.bytes.get(self.at) != Some(&0xFF) {
                return Ok(());
            }
            self.at += 1;
        }
    }

    fn name(&mut self) -> Result<(), TokenError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|&byte| byte == 0).ok_or(CUT)? + 1;
        Ok(())
    }

    fn size(&mut self) -> Result<usize, TokenError> {
        let size = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(CUT)?;
        self.at += 4;
        usize::try_from(u32::from_be_bytes(*size)).map_err(|_| CUT)
    }

    fn byte(&mut self) -> Result<u8, TokenError> {
        let byte = *self.bytes.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), TokenError> {
        let end = self.at.checked_add(bytes).filter(|end| *end <= self.bytes.len()).ok_or(CUT)?;
        self.at = end;
        Ok(())
    }
}

const CUT: TokenError = TokenError::Format("the key ends too early");

/// The type bits, in the order they were written (CS-5.3.4). Those not stored are zero.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(encoded: &'a [u8]) -> Self {
        let bytes = match encoded.split_first() {
            // The size is in the byte, or in four bytes after it.
            Some((0x80, rest)) => rest.get(4..).unwrap_or_default(),
            Some((size, rest)) if size & 0x80 != 0 => rest,
            _ => encoded,
        };
        Self { bytes, at: 0 }
    }

    fn take(&mut self) -> bool {
        let byte = self.bytes.get(self.at / 8).copied().unwrap_or(0);
        let bit = (byte >> (self.at % 8)) & 1 == 1;
        self.at += 1;
        bit
    }
}
