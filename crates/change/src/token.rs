//! Resume tokens: the names of events, in MongoDB's own layout.
//!
//! A token travels as `{_data: <upper-case hex>[, _typeBits: BinData(0)]}`. The hex digits are a key string, so that the
//! order of tokens as text is the order of events. Source: CS-5.1 to CS-5.5.

pub(crate) mod place;
mod read;

use std::cmp::Ordering;

use millstream_value::key::{self, TypeBits};
use millstream_value::{ClusterTime, Doc, DocBuf, Value, kind};

pub use self::place::Position;
pub use self::read::{Parts, TokenKind};
use crate::error::TokenError;
use crate::raw::{Raw, UUID_SUBTYPE, digits};

/// The layout that new tokens have.
pub const VERSION: u8 = 2;

/// The number that marks the token of an event; 0 marks a high-water mark.
const EVENT: i32 = 128;

/// A resume token as it travels. Tokens are equal and ordered by their text alone (CS-5.1.3).
#[derive(Clone, Debug)]
pub struct Token {
    data: String,
    type_bits: Option<Vec<u8>>,
}

impl Token {
    /// The token that stands before every event at `time` (CS-5.4.2).
    #[must_use]
    pub fn high_water_mark(time: ClusterTime) -> Self {
        let mut writer = KeyWriter::start(time, VERSION);
        writer.int(0);
        writer.int(0);
        writer.value(&Value::Bool(false));
        writer.value(&Value::Null);
        writer.finish().to_token()
    }

    /// Takes a token's document as a client sent it; checks its outer shape only, see [`Token::read`].
    ///
    /// # Errors
    /// `NoData` (40647) and `TypeBits` (40648).
    pub fn from_doc(doc: Doc<'_>) -> Result<Self, TokenError> {
        let shell = || millstream_value::shell::document(doc);
        let data = doc.str("_data").ok_or_else(|| TokenError::NoData(shell()))?.to_owned();
        let type_bits = match doc.get("_typeBits") {
            None => None,
            Some(Value::Binary(0, bytes)) => Some(bytes.into_owned()),
            Some(_) => return Err(TokenError::TypeBits(shell())),
        };
        Ok(Self { data, type_bits })
    }

    /// What the token says.
    ///
    /// # Errors
    /// Everything of CS-5.5 that concerns the token's text.
    pub fn read(&self) -> Result<Parts, TokenError> {
        read::parts(&self.data, self.type_bits.as_deref().unwrap_or_default())
    }

    /// The text in `_data`.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The token's document.
    #[must_use]
    pub fn to_doc(&self) -> DocBuf {
        let mut doc = DocBuf::with_capacity(self.data.len() + 40);
        doc.push("_data", self.data.as_str());
        doc.push_some("_typeBits", self.type_bits.as_ref().map(|bits| Value::Binary(0, bits.into())));
        doc
    }

    /// The token of the whole event, if this one is of a fragment: `base` bytes of it (see [`Parts::fragment`]).
    pub(crate) fn without_fragment(&self, base_bytes: usize) -> Self {
        let mut data = self.data.get(..base_bytes * 2).unwrap_or_default().to_owned();
        data.push_str("04");
        Self { data, type_bits: self.type_bits.clone() }
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Eq for Token {}

impl PartialOrd for Token {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Token {
    fn cmp(&self, other: &Self) -> Ordering {
        self.data.cmp(&other.data)
    }
}

/// What an event's token is made from (CS-5.2).
#[derive(Clone, Copy, Debug)]
pub struct EventName<'a> {
    /// Of the entry, or of the entry that committed the transaction.
    pub time: ClusterTime,
    /// 2, or an older one to match an older token (CS-5.2.3).
    pub version: u8,
    /// Position in the transaction or group.
    pub index: u32,
    /// Whether this is the invalidation that the event caused.
    pub from_invalidate: bool,
    /// Of the collection.
    pub uuid: Option<[u8; 16]>,
    /// `operationType`.
    pub operation: &'a str,
    /// What tells events of the same type apart.
    pub detail: Detail<'a>,
    /// Position among the fragments of a split event, from 0.
    pub fragment: Option<u32>,
}

/// The second field of an event's identifier.
#[derive(Clone, Copy, Debug)]
pub enum Detail<'a> {
    /// `documentKey`.
    Key(Doc<'a>),
    /// `operationDescription`.
    Description(Doc<'a>),
    /// How far a snapshot is.
    Position(&'a Position),
    /// None of them.
    None,
}

impl EventName<'_> {
    /// The token.
    #[must_use]
    pub fn token(&self) -> Token {
        self.encode().to_token()
    }

    /// The token's bytes, ready to be written into an event.
    pub(crate) fn encode(&self) -> Encoded {
        let mut writer = KeyWriter::start(self.time, self.version);
        if self.version > 0 {
            writer.int(EVENT);
        }
        writer.int(i32::try_from(self.index).unwrap_or(i32::MAX));
        if self.version > 0 {
            writer.value(&Value::Bool(self.from_invalidate));
        }
        match &self.uuid {
            Some(uuid) => writer.value(&Value::Binary(UUID_SUBTYPE, uuid.into())),
            None if self.version >= 2 => writer.value(&Value::Null),
            None => {}
        }
        if self.version >= 2 {
            self.identifier(&mut writer);
        } else if let Detail::Key(key) = self.detail {
            writer.value(&key.into());
        }
        if let Some(fragment) = self.fragment {
            writer.int(i32::try_from(fragment).unwrap_or(i32::MAX));
        }
        writer.finish()
    }

    fn identifier(&self, writer: &mut KeyWriter) {
        writer.bytes.extend_from_slice(b"\x46\x3CoperationType\0");
        writer.value(&self.operation.into());
        match self.detail {
            Detail::Key(doc) => {
                writer.bytes.extend_from_slice(b"\x46documentKey\0");
                writer.value(&doc.into());
            }
            Detail::Description(doc) => {
                writer.bytes.extend_from_slice(b"\x46operationDescription\0");
                writer.value(&doc.into());
            }
            // Without type bits: only the order of the key counts.
            Detail::Position(position) => position.write(&mut writer.bytes),
            Detail::None => {}
        }
        writer.bytes.push(0);
    }
}

/// A token before it becomes text.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    types: TypeBits,
}

impl Encoded {
    fn to_token(&self) -> Token {
        let data = self.bytes.iter().flat_map(|&byte| digits(byte)).map(char::from).collect();
        Token { data, type_bits: self.types.encoded() }
    }

    /// How many bytes of an event it takes, at most.
    pub(crate) fn size_hint(&self) -> usize {
        self.bytes.len() * 2 + 64
    }

    /// Writes the field `_id`.
    pub(crate) fn write(&self, out: &mut Raw) {
        let open = out.open_doc("_id");
        out.hex("_data", &self.bytes);
        if let Some(bits) = self.types.encoded() {
            out.binary("_typeBits", 0, &bits);
        }
        out.close(open);
    }
}

/// The `_id` of an event, as a token. `None` if it is not one.
pub(crate) fn of_event(event: Doc<'_>) -> Option<Token> {
    let id = event.element("_id").filter(|id| id.kind() == kind::DOCUMENT)?;
    Token::from_doc(id.as_doc()?).ok()
}

struct KeyWriter {
    bytes: Vec<u8>,
    types: TypeBits,
}

impl KeyWriter {
    fn start(time: ClusterTime, version: u8) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(128), types: TypeBits::new() };
        writer.value(&Value::Timestamp(time));
        writer.int(i32::from(version));
        writer
    }

    fn int(&mut self, value: i32) {
        self.value(&Value::Int32(value));
    }

    fn value(&mut self, value: &Value<'_>) {
        key::append_typed(value, &mut self.bytes, &mut self.types);
    }

    fn finish(mut self) -> Encoded {
        self.bytes.push(key::END);
        Encoded { bytes: self.bytes, types: self.types }
    }
}

#[cfg(test)]
mod tests;
