//! `$sort`: orders the documents.
//!
//! Shape:  `{ $sort: { <path>: 1 | -1, ... } }`
//! Absent: a missing field sorts as null; documents with equal keys keep their order.
//! Errors: 15973 if the argument is no document, 15976 if it is empty, 292 for more than the memory limit.
//! Source: MongoDB manual 8.0, "$sort (aggregation)".

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use millstream_value::{DocBuf, Element};

use super::{Documents, MEMORY_BYTES_MAX, Parsing, Row, Stage, too_much_memory};
use crate::sort::Sort;
use crate::{Error, Result};

pub(super) const SORT: Row = Row::new("$sort", parse);

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(fields) = spec.as_doc() else {
        return Err(Error::location(15973, "the $sort key specification must be an object"));
    };
    if fields.is_empty() {
        return Err(Error::location(15976, "$sort stage must have at least one sort key"));
    }
    let sort = Sort::parse(fields, parsing.scope)?;
    parsing.push(Stage::Sort(Arc::new(sort)));
    Ok(())
}

/// The documents of `input` in order; no more than `limit` of them, if there is one.
pub(super) fn run(sort: Arc<Sort>, limit: Option<usize>, input: Documents<'_>) -> Documents<'_> {
    super::group::lazily(move || sorted(&sort, limit, input))
}

fn sorted(sort: &Sort, limit: Option<usize>, input: Documents<'_>) -> Result<Vec<DocBuf>> {
    // A heap whose greatest element is on top: what comes after `limit` smaller ones is never wanted.
    let mut heap: BinaryHeap<Keyed> = BinaryHeap::new();
    let mut bytes = 0_usize;
    for (index, doc) in input.enumerate() {
        let doc = doc?;
        let keyed = Keyed { key: sort.key(doc.as_doc())?, index, doc };
        bytes += keyed.bytes();
        heap.push(keyed);
        if limit.is_some_and(|limit| heap.len() > limit)
            && let Some(last) = heap.pop()
        {
            bytes -= last.bytes();
        }
        if bytes > MEMORY_BYTES_MAX {
            return Err(too_much_memory("$sort"));
        }
    }
    Ok(heap.into_sorted_vec().into_iter().map(|keyed| keyed.doc).collect())
}

/// A document with its sort key, ordered by it and then by arrival.
struct Keyed {
    key: Vec<u8>,
    index: usize,
    doc: DocBuf,
}

impl Keyed {
    fn bytes(&self) -> usize {
        self.key.len() + self.doc.size() + size_of::<Self>()
    }
}

impl Ord for Keyed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then(self.index.cmp(&other.index))
    }
}

impl PartialOrd for Keyed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Keyed {}
