//! Walking a tree of names beside a document.

use millstream_value::{ArrayBuf, Doc, DocBuf, Element, Value};

use super::tree::{Action, Branch, Mode};
use crate::Result;
use crate::predicate::Predicate;

/// What a tree that is plain keeps of `doc`: runs of its own bytes.
pub(super) fn kept(branch: &Branch, doc: Doc<'_>) -> Result<DocBuf> {
    let mut out = Vec::with_capacity(doc.as_bytes().len());
    copy(branch, doc, &mut out)?;
    Ok(DocBuf::from_bytes(out))
}

// The recursion is bounded by the tree.
fn copy(branch: &Branch, doc: Doc<'_>, out: &mut Vec<u8>) -> Result<()> {
    let bytes = doc.as_bytes();
    let begin = out.len();
    // The length comes when it is known.
    out.extend_from_slice(&[0; 4]);
    // What is kept since `from` was not copied yet.
    let (mut from, mut at, mut last) = (4, 4, 0);
    for element in doc.elements() {
        // The type, the name and its end.
        let value = at + element.key_bytes().len() + 2;
        let end = value + element.bytes().len();
        let entry = branch.find_behind(element.key_bytes(), last);
        last = entry.map_or(last, |(place, _)| place + 1);
        match entry.map(|(_, entry)| &entry.action) {
            Some(Action::Include) => {}
            Some(Action::Nested(inner)) => {
                out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
                from = end;
                if let Some(nested) = element.as_doc() {
                    out.extend_from_slice(bytes.get(at..value).unwrap_or_default());
                    copy(inner, nested, out)?;
                } else if let Some(array) = element.as_array() {
                    let mut one = DocBuf::new();
                    one.push(element.key(), array_of(inner, Mode::Include, array, array)?);
                    let one = one.into_bytes();
                    out.extend_from_slice(one.get(4..one.len().saturating_sub(1)).unwrap_or_default());
                }
            }
            _ => {
                out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
                from = end;
            }
        }
        at = end;
    }
    out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
    out.push(0);
    let length = i32::try_from(out.len() - begin).unwrap_or(i32::MAX).to_le_bytes();
    if let Some(head) = out.get_mut(begin..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *head = length;
    }
    Ok(())
}

/// Projects `doc`; expressions see `root`. The recursion is bounded by the tree, whose paths are.
pub(super) fn document(branch: &Branch, mode: Mode, doc: Doc<'_>, root: Doc<'_>) -> Result<DocBuf> {
    let mut out = DocBuf::with_capacity(doc.as_bytes().len());
    let mut done = if branch.computes() { vec![false; branch.entries().len()] } else { Vec::new() };
    for element in doc.elements() {
        let Some((place, entry)) = branch.find(element.key_bytes()) else {
            if mode != Mode::Include {
                out.push_element(element);
            }
            continue;
        };
        match &entry.action {
            Action::Include => {
                out.push_element(element);
            }
            Action::Exclude | Action::ElemMatch(_) => {}
            Action::Slice(slice) => {
                out.push(element.key(), slice.apply(element));
            }
            Action::Compute(expression) => {
                if mode == Mode::Add {
                    out.push_some(element.key(), expression.eval(root)?);
                    mark(&mut done, place);
                }
            }
            Action::Nested(inner) => {
                if let Some(value) = nested(inner, mode, element, root)? {
                    out.push(element.key(), value);
                    mark(&mut done, place);
                }
            }
        }
    }
    if !branch.computes() {
        return Ok(out);
    }
    for (entry, done) in branch.entries().iter().zip(done) {
        match &entry.action {
            _ if done => {}
            Action::Compute(expression) => {
                out.push_some(&entry.name, expression.eval(root)?);
            }
            Action::ElemMatch(predicate) => {
                if let Some(matched) = first_match(predicate, doc.element(&entry.name))? {
                    out.array(&entry.name, |array: &mut ArrayBuf| {
                        array.push_element(matched);
                    });
                }
            }
            Action::Nested(inner) if inner.computes() => {
                out.push(&entry.name, document(inner, mode, Doc::empty(), root)?);
            }
            _ => {}
        }
    }
    Ok(out)
}

fn mark(done: &mut [bool], place: usize) {
    if let Some(slot) = done.get_mut(place) {
        *slot = true;
    }
}

/// What becomes of a value that paths go through; `None` if it goes.
fn nested<'a>(branch: &Branch, mode: Mode, element: Element<'a>, root: Doc<'_>) -> Result<Option<Value<'a>>> {
    if let Some(doc) = element.as_doc() {
        return Ok(Some(document(branch, mode, doc, root)?.into()));
    }
    if let Some(array) = element.as_array() {
        return Ok(Some(array_of(branch, mode, array, root)?.into()));
    }
    match mode {
        Mode::Include => Ok(None),
        Mode::Exclude => Ok(Some(element.value())),
        Mode::Add => Ok(Some(document(branch, mode, Doc::empty(), root)?.into())),
    }
}

// The recursion is bounded by the nesting of the document.
fn array_of(branch: &Branch, mode: Mode, array: Doc<'_>, root: Doc<'_>) -> Result<ArrayBuf> {
    let mut out = ArrayBuf::new();
    for element in array.elements() {
        if let Some(value) = nested(branch, mode, element, root)? {
            out.push(value);
        }
    }
    Ok(out)
}

fn first_match<'a>(predicate: &Predicate, field: Option<Element<'a>>) -> Result<Option<Element<'a>>> {
    let Some(array) = field.and_then(Element::as_array) else {
        return Ok(None);
    };
    // The predicate is `{<the empty name>: {$elemMatch: ...}}`, asked about the array as a whole.
    let mut holder = DocBuf::new();
    if let Some(field) = field {
        holder.push_as("", field);
    }
    let found = predicate.matches_at(holder.as_doc())?;
    Ok(found.and_then(|position| position.index).and_then(|index| array.elements().nth(index)))
}
