//! The positional `$` of `find`: the one element that the filter matched.

use millstream_value::{ArrayBuf, Doc, DocBuf};

use crate::path::Part;
use crate::predicate::Position;
use crate::{Error, Result};

/// The document with the first array on the way cut down to the matched element; `None` if there is no array.
pub(super) fn narrow(doc: Doc<'_>, parts: &[Part], position: Position) -> Result<Option<DocBuf>> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(None);
    };
    let Some(target) = doc.element(part.name()) else {
        return Ok(None);
    };
    let mut out = DocBuf::with_capacity(doc.as_bytes().len());
    for element in doc.elements() {
        if element.key_bytes() != target.key_bytes() {
            out.push_element(element);
        } else if let Some(array) = element.as_array() {
            let index = position.index.ok_or_else(no_match)?;
            let matched = array
                .elements()
                .nth(index)
                .ok_or_else(|| Error::location(51247, "positional operator '.$' element mismatch"))?;
            out.array(element.key(), |inner: &mut ArrayBuf| {
                inner.push_element(matched);
            });
        } else {
            let inner = match element.as_doc() {
                Some(inner) => narrow(inner, rest, position)?,
                None => None,
            };
            match inner {
                Some(inner) => out.push(element.key(), inner),
                None => return Ok(None),
            };
        }
    }
    Ok(Some(out))
}

fn no_match() -> Error {
    Error::location(51246, "positional operator '.$' couldn't find a matching element in the array")
}
