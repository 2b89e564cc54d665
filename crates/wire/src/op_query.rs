//! `OP_QUERY` and `OP_REPLY`: the messages of old drivers. Today they carry only the first
//! `isMaster` or `hello` of a connection, and its answer.
//!
//! Shape:  `OP_QUERY`: flags i32, namespace, skip i32, count i32, document, [field selector]
//!         `OP_REPLY`: flags i32, cursor i64, from i32, count i32, documents
//! Source: MongoDB wire protocol, "Legacy Opcodes".

use bytes::Bytes;

use crate::cursor::{Cursor, document_length};
use crate::{Error, Flags, Header, Request, Result};

/// Longest `database.collection`, in bytes.
const MAX_NAMESPACE_BYTES: usize = 255;

/// What stands between the header of an `OP_REPLY` and its one document: no flags but "await
/// capable" (8), no cursor, from 0, one document.
pub(crate) const REPLY_PREFIX: [u8; 20] = [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];

/// Decodes what follows the header of an `OP_QUERY`.
pub(crate) fn decode(header: &Header, body: Bytes) -> Result<Request> {
    let mut cursor = Cursor::new(body);
    cursor.i32("the flags")?;
    let namespace = cursor.name(MAX_NAMESPACE_BYTES, "namespace")?;
    cursor.i32("the skip count")?;
    cursor.i32("the return count")?;
    let document = cursor.document()?;
    if !cursor.is_empty() {
        cursor.document()?;
    }
    cursor.finish()?;
    Ok(Request {
        id: header.request_id,
        body: unwrap(&document)?.unwrap_or(document),
        sequences: Vec::new(),
        flags: Flags::default(),
        legacy: Some(namespace),
        compressor: None,
    })
}

/// The command inside `{$query: <command>, $readPreference: ...}`, which drivers use to say where
/// the command should run.
fn unwrap(document: &Bytes) -> Result<Option<Bytes>> {
    let content = document.get(4..).unwrap_or_default();
    let inner = [&b"\x03$query\0"[..], b"\x03query\0"].iter().find_map(|prefix| content.strip_prefix(*prefix));
    let Some(inner) = inner else { return Ok(None) };
    let inner = inner.get(..document_length(inner)?).ok_or(Error::Truncated("a document"))?;
    Ok(Some(document.slice_ref(inner)))
}
