//! Resume tokens, as opaque as the protocol wants them.

use bson::{RawBsonRef, RawDocument, RawDocumentBuf, Timestamp};
use mongodb::change_stream::event::ResumeToken;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, document_from_json, extended_json::JsonMode, to_json};

/// The longest text that is looked at as a token. A token holds a document key, which is below
/// 16 MiB of BSON and twice that in hexadecimal.
const LONGEST_TEXT_BYTES: usize = 40 << 20;

/// A place in a change stream: the `_id` of an event, or a server's word for "nothing up to here".
#[derive(Debug, Clone, PartialEq)]
pub struct Token(RawDocumentBuf);

impl Token {
    /// Reads a token that a person gives: the hexadecimal text of `_data`, the token as JSON
    /// (`{"_data": "82…"}`), or a whole event as JSON, whose `_id` is taken.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim().trim_matches(|c| c == '"' || c == '\'');
        if text.is_empty() {
            return bad("it is empty");
        }
        if text.len() > LONGEST_TEXT_BYTES {
            return bad("it is too long");
        }
        if text.starts_with('{') {
            return Self::parse_json(text);
        }
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return bad(format!("'{odd}' is not a hexadecimal digit"));
        }
        if text.len() % 2 == 1 {
            return bad("it has an odd number of digits, so part of it is missing");
        }
        let mut token = RawDocumentBuf::new();
        token.append(bson::raw::cstr!("_data"), text);
        Ok(Self(token))
    }

    /// The token in a reply.
    pub(crate) fn from_reply(token: &bson::Document) -> Result<Self> {
        RawDocumentBuf::try_from(token).map(Self).map_err(unreadable)
    }

    /// The token as it is on the wire, or as it was kept.
    #[must_use]
    pub fn from_raw(token: &RawDocument) -> Self {
        Self(token.to_owned())
    }

    /// Of nothing: no server takes it.
    pub(crate) fn empty() -> Self {
        Self(RawDocumentBuf::new())
    }

    /// The token as a command takes it.
    pub(crate) fn to_document(&self) -> Result<bson::Document> {
        bson::Document::try_from(self.as_raw()).map_err(|error| Error::BadToken { reason: error.to_string() })
    }

    /// The token of a driver.
    pub fn from_driver(token: &ResumeToken) -> Result<Self> {
        let bytes = bson::serialize_to_vec(&Holder { token }).map_err(unreadable)?;
        let holder = RawDocument::from_bytes(&bytes).map_err(unreadable)?;
        match holder.get("token").map_err(unreadable)? {
            Some(RawBsonRef::Document(token)) => Ok(Self(token.to_owned())),
            _ => Err(Error::NoToken),
        }
    }

    /// The token in the driver's type.
    pub fn to_driver(&self) -> Result<ResumeToken> {
        let mut holder = RawDocumentBuf::new();
        holder.append(bson::raw::cstr!("token"), self.0.as_ref());
        let held: Held = bson::deserialize_from_slice(holder.as_bytes()).map_err(unreadable)?;
        Ok(held.token)
    }

    /// The `_id` of an event.
    pub fn of_event(event: &RawDocument) -> Result<Self> {
        match event.get("_id") {
            Ok(Some(RawBsonRef::Document(token))) => Ok(Self(token.to_owned())),
            Ok(_) => Err(Error::NoToken),
            Err(error) => Err(Error::BadEvent(error.to_string())),
        }
    }

    /// The token as it is on the wire.
    pub fn as_raw(&self) -> &RawDocument {
        &self.0
    }

    /// The hexadecimal text by which tokens are compared, if the token has one.
    pub fn data(&self) -> Option<&str> {
        self.0.get_str("_data").ok()
    }

    /// The cluster time that the token names. Every server since 4.2 writes it first: a byte that says that a time
    /// follows, and its eight bytes.
    pub fn time(&self) -> Option<Timestamp> {
        let digits = self.data()?.strip_prefix("82")?.get(..16)?;
        let bits = u64::from_str_radix(digits, 16).ok()?;
        let [a, b, c, d, e, f, g, h] = bits.to_be_bytes();
        Some(Timestamp { time: u32::from_be_bytes([a, b, c, d]), increment: u32::from_be_bytes([e, f, g, h]) })
    }

    /// The token as canonical Extended JSON, which [`Token::parse`] takes back exactly.
    pub fn to_json(&self) -> String {
        to_json(&self.0, JsonMode::Canonical)
    }

    fn parse_json(text: &str) -> Result<Self> {
        let document = document_from_json(text).map_err(|error| Error::BadToken { reason: error.to_string() })?;
        let token = match document.get_document("_id") {
            Ok(id) if !document.contains_key("_data") => id,
            _ => &document,
        };
        if token.get_str("_data").is_err() {
            return bad("it has no \"_data\" text");
        }
        RawDocumentBuf::try_from(token).map(Self).map_err(|error| Error::BadToken { reason: error.to_string() })
    }
}

#[derive(Serialize)]
struct Holder<'a> {
    token: &'a ResumeToken,
}

#[derive(Deserialize)]
struct Held {
    token: ResumeToken,
}

fn bad<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::BadToken { reason: reason.into() })
}

fn unreadable(error: bson::error::Error) -> Error {
    Error::BadEvent(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "8268A1B2C0000000012B042C0100296E";

    #[test]
    fn hexadecimal_text_json_and_event_are_the_same_token() {
        let hex = Token::parse(HEX).unwrap();
        assert_eq!(hex.data(), Some(HEX));
        let json = format!("{{\"_data\": \"{HEX}\"}}");
        assert_eq!(Token::parse(&json).unwrap(), hex);
        let event = format!("{{\"operationType\": \"insert\", \"_id\": {json}}}");
        assert_eq!(Token::parse(&event).unwrap(), hex);
        assert_eq!(Token::parse(&format!(" '{HEX}'\n")).unwrap(), hex);
    }

    /// CS-5.1.1: a token may carry type bits, which must come back as they were.
    #[test]
    fn type_bits_survive_text_and_driver() {
        let text =
            format!("{{\"_data\":\"{HEX}\",\"_typeBits\":{{\"$binary\":{{\"base64\":\"ggAB\",\"subType\":\"00\"}}}}}}");
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.to_json(), text);
        let driver = token.to_driver().unwrap();
        assert_eq!(Token::from_driver(&driver).unwrap(), token);
    }

    /// CS-5.2.
    #[test]
    fn the_time_stands_in_front() {
        let time = |text: &str| Token::parse(text).unwrap().time();
        assert_eq!(time(HEX), Some(Timestamp { time: 0x68A1_B2C0, increment: 1 }));
        assert_eq!(time("82FFFFFFFF0000000A"), Some(Timestamp { time: u32::MAX, increment: 10 }));
        assert_eq!(time("8268A1B2C0"), None);
        assert_eq!(time("8168A1B2C0000000012B"), None);
    }

    #[test]
    fn says_what_is_wrong() {
        let reason = |text: &str| Token::parse(text).unwrap_err().to_string();
        assert!(reason("").contains("it is empty"));
        assert!(reason("82X").contains("'X' is not a hexadecimal digit"));
        assert!(reason("826").contains("odd number of digits"));
        assert!(reason("{\"a\": 1}").contains("no \"_data\""));
        assert!(reason("{\"a\": ").contains("not a resume token"));
    }
}
