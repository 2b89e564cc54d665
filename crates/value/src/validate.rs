//! The one full check of bytes that come from outside.

use crate::document::{kind, length, value_size};

/// How deep documents may nest in a message (CS-15).
pub const DEPTH_MAX: usize = 200;

/// Why bytes are not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid BSON: {0}")]
pub struct InvalidBson(pub &'static str);

/// Checks that `bytes` are exactly one well-formed document: lengths, terminators, UTF-8 of names and strings,
/// known types, and nesting of at most [`DEPTH_MAX`].
///
/// # Errors
/// [`InvalidBson`] with the first thing found wrong.
pub fn validate(bytes: &[u8]) -> Result<(), InvalidBson> {
    document(bytes, 0)
}

fn document(bytes: &[u8], depth: usize) -> Result<(), InvalidBson> {
    if depth > DEPTH_MAX {
        return Err(InvalidBson("nested too deeply"));
    }
    if length(bytes) != Some(bytes.len()) || bytes.len() < 5 {
        return Err(InvalidBson("document length does not fit"));
    }
    if bytes.last() != Some(&0) {
        return Err(InvalidBson("document is not terminated"));
    }
    let mut rest = bytes.get(4..bytes.len() - 1).unwrap_or_default();
    while let Some((&kind, after)) = rest.split_first() {
        let (end, ascii) = name_end(after).ok_or(InvalidBson("field name is not terminated"))?;
        let (name, after) = after.split_at_checked(end).ok_or(InvalidBson("field name is cut off"))?;
        if !ascii && std::str::from_utf8(name).is_err() {
            return Err(InvalidBson("field name is not UTF-8"));
        }
        let after = after.get(1..).unwrap_or_default();
        let size = value_size(kind, after).ok_or(InvalidBson("value is cut off or of an unknown type"))?;
        let (value, after) = after.split_at_checked(size).ok_or(InvalidBson("value is cut off"))?;
        check_value(kind, value, depth)?;
        rest = after;
    }
    Ok(())
}

/// How long the name at the start of `bytes` is, and whether it is plain ASCII, in one look.
fn name_end(bytes: &[u8]) -> Option<(usize, bool)> {
    let mut all = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == 0 {
            return Some((at, all < 0x80));
        }
        all |= byte;
    }
    None
}

fn check_value(kind: u8, bytes: &[u8], depth: usize) -> Result<(), InvalidBson> {
    match kind {
        kind::STRING | kind::CODE | kind::SYMBOL => string(bytes),
        kind::DOCUMENT | kind::ARRAY => document(bytes, depth + 1),
        kind::BOOL if bytes.first().is_some_and(|&b| b > 1) => Err(InvalidBson("boolean is neither 0 nor 1")),
        kind::REGEX if std::str::from_utf8(bytes).is_err() => Err(InvalidBson("regular expression is not UTF-8")),
        kind::DB_POINTER => string(bytes.get(..bytes.len().saturating_sub(12)).unwrap_or_default()),
        kind::CODE_WITH_SCOPE => {
            let rest = bytes.get(4..).ok_or(InvalidBson("code with scope is cut off"))?;
            let code = value_size(kind::STRING, rest).ok_or(InvalidBson("code with scope is cut off"))?;
            let (code, scope) = rest.split_at_checked(code).ok_or(InvalidBson("code with scope is cut off"))?;
            string(code)?;
            document(scope, depth + 1)
        }
        _ => Ok(()),
    }
}

fn string(bytes: &[u8]) -> Result<(), InvalidBson> {
    if bytes.len() < 5 || bytes.last() != Some(&0) {
        return Err(InvalidBson("string is not terminated"));
    }
    let text = bytes.get(4..bytes.len() - 1).unwrap_or_default();
    // Most text is ASCII, which is known sooner.
    if text.is_ascii() || std::str::from_utf8(text).is_ok() { Ok(()) } else { Err(InvalidBson("string is not UTF-8")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_bson_writes_and_refuses_every_cut() {
        let doc = bson::doc! {"a": 1, "s": "text", "n": {"x": [1, 2.5, "y"]}, "b": true, "r": bson::Regex { pattern: bson::raw::CString::try_from("a".to_owned()).unwrap(), options: bson::raw::CString::try_from("i".to_owned()).unwrap() }};
        let bytes = doc.to_vec().unwrap();
        assert_eq!(validate(&bytes), Ok(()));
        for cut in 0..bytes.len() {
            assert!(validate(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn refuses_deep_nesting() {
        let mut doc = bson::doc! {};
        for _ in 0..DEPTH_MAX + 1 {
            doc = bson::doc! {"a": doc};
        }
        assert_eq!(validate(&doc.to_vec().unwrap()), Err(InvalidBson("nested too deeply")));
    }

    #[test]
    fn every_single_byte_change_is_survived() {
        let bytes = bson::doc! {"a": [1, {"b": "c"}], "d": 1.5}.to_vec().unwrap();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut broken = bytes.clone();
                broken[at] ^= flip;
                if validate(&broken).is_ok() {
                    let _ = format!("{:?}", crate::Doc::new(&broken));
                }
                let _ = crate::Doc::new(&broken).values().count();
            }
        }
    }
}
