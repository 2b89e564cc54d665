//! Filling a view's state for the first time, in pieces that are kept: a build that was cut short goes on (SQL-19.2).
//!
//! What comes out is kept beside, as rows of the answer, until the state is whole; then the answer is compared with what
//! the collection holds.

use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use millstream_flow::{Delta, Failure, SourceId};
use mongodb::raw_batch_cursor::RawBatch;

use super::Live;
use crate::commit::Commit;
use crate::difference::{self, Write};
use crate::error::{Result, bug, of_flow};
use crate::read;

/// Rows of the answer, while it is built.
const ANSWER: &[u8] = b"a";
/// Rows that are stored at a time.
const PAGE: usize = 1_000;

/// How far a build is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filling {
    /// Changes behind this are not in what was read first.
    pub(crate) since: Timestamp,
    /// The moment that is read; `None`: the deployment has no snapshots, and what is there is read.
    pub(crate) time: Option<Timestamp>,
    /// Something was read as it was after `since`, but not after this: the state is whole when it has got there.
    pub(crate) until: Option<Timestamp>,
    /// The copy that is being read.
    pub(crate) mirror: usize,
    /// The last document of it that was read.
    pub(crate) after: Option<Bson>,
    /// Documents that were read.
    pub(crate) read: u64,
    /// The answer is compared with the collection, and what is left of it is being stored, by who had the checkpoint with
    /// this fence.
    pub(crate) storing: Option<i64>,
    /// Rows that are stored.
    pub(crate) rows: i64,
}

impl Filling {
    /// Before anything was read, at a cluster time.
    pub(crate) fn new(time: Timestamp) -> Self {
        Self { since: time, time: Some(time), until: None, mirror: 0, after: None, read: 0, storing: None, rows: 0 }
    }

    /// As it is kept.
    pub(super) fn to_document(&self) -> Document {
        doc! {
            "since": self.since,
            "time": self.time,
            "until": self.until,
            "mirror": i64::try_from(self.mirror).unwrap_or(0),
            "after": self.after.clone().map(|id| doc! {"_id": id}),
            "read": i64::try_from(self.read).unwrap_or(0),
            "storing": self.storing,
            "rows": self.rows,
        }
    }

    /// From how it is kept.
    pub(super) fn from_document(kept: &Document) -> Option<Self> {
        let time = |name: &str| kept.get_timestamp(name).ok();
        Some(Self {
            since: time("since")?,
            time: time("time"),
            until: time("until"),
            mirror: usize::try_from(kept.get_i64("mirror").ok()?).ok()?,
            after: kept.get_document("after").ok().and_then(|after| after.get("_id").cloned()),
            read: u64::try_from(kept.get_i64("read").ok()?).ok()?,
            storing: kept.get_i64("storing").ok(),
            rows: kept.get_i64("rows").ok()?,
        })
    }
}

/// What a piece of a collection came to.
pub(crate) struct Loaded {
    /// How many documents it had.
    pub(crate) documents: u64,
    /// The `_id` of the last.
    pub(crate) last: Option<Bson>,
    pub(crate) failures: Vec<Failure>,
}

impl Live {
    /// Documents that were read.
    pub(crate) fn load(&mut self, mirror: usize, reply: &RawBatch, clock_ms: i64) -> Result<Loaded> {
        let copy = self.mirrors.get(mirror).cloned().ok_or_else(|| bug("no such copy"))?;
        let mut documents = Vec::new();
        let mut last = None;
        let circuit = &mut self.circuit;
        read::documents(reply, &mut |document| {
            let kept = copy.project(document);
            // What was read before a build was cut short may be read again, or moved behind what was read.
            let before = if copy.by_images { None } else { copy.put(circuit, &kept)? };
            documents.push((before, kept));
            Ok(())
        })?;
        let mut inputs = Vec::new();
        for (before, after) in &documents {
            self.feed(mirror, before.as_deref(), Some(after), &mut inputs);
        }
        if let Some((_, document)) = documents.last() {
            last = Some(difference::id(document));
        }
        let failures = self.fill(inputs, clock_ms)?;
        Ok(Loaded { documents: u64::try_from(documents.len()).unwrap_or(0), last, failures })
    }

    /// Commits that came after some of what was read, and are in the rest of it already: done again in their order, they
    /// lead to the same documents. `None`: a collection has to be read anew.
    pub(crate) fn catch_up(&mut self, commits: &[Commit], clock_ms: i64) -> Result<Option<Vec<Failure>>> {
        match self.inputs(commits, true)? {
            Some(inputs) => self.fill(inputs, clock_ms).map(Some),
            None => Ok(None),
        }
    }

    /// A step of a build.
    pub(crate) fn fill(&mut self, inputs: Vec<(SourceId, Delta)>, clock_ms: i64) -> Result<Vec<Failure>> {
        let output = self.circuit.step(inputs, clock_ms).map_err(|error| of_flow(&error))?;
        self.due_ms = output.due_ms;
        let (going, coming) = self.stored(&output.rows)?;
        for row in going {
            let key = [ANSWER, &difference::id_bytes(&row)].concat();
            self.circuit.notes().remove(&key).map_err(|error| of_flow(&error))?;
        }
        for row in coming {
            let key = [ANSWER, &difference::id_bytes(&row)].concat();
            self.circuit.notes().put(&key, row.as_bytes()).map_err(|error| of_flow(&error))?;
        }
        Ok(output.failures)
    }

    /// Compares the answer that was built with stored rows; what is left of it is new.
    pub(crate) fn compare(&mut self, reply: &RawBatch) -> Result<Vec<Write>> {
        let mut writes = Vec::new();
        let circuit = &mut self.circuit;
        let mut rows = 0;
        read::documents(reply, &mut |stored| {
            let key = [ANSWER, &difference::id_bytes(stored)].concat();
            match circuit.notes().get(&key).map_err(|error| of_flow(&error))? {
                None => writes.push(Write::delete(stored)),
                Some(bytes) => {
                    rows += 1;
                    let wanted = RawDocument::from_bytes(&bytes).map_err(|_| bug("a row of the answer is damaged"))?;
                    writes.extend(difference::change(stored, wanted));
                    circuit.notes().remove(&key).map_err(|error| of_flow(&error))?;
                }
            }
            Ok(())
        })?;
        self.rows += rows;
        Ok(writes)
    }

    /// The next rows of the answer that are not stored, those behind a key if one is given, and the key of the last; empty:
    /// that was all.
    pub(crate) fn unstored(&mut self, past: Option<&[u8]>) -> Result<(Vec<RawDocumentBuf>, Option<Vec<u8>>)> {
        let page = self.circuit.notes().page(ANSWER, past, PAGE).map_err(|error| of_flow(&error))?;
        let (mut rows, mut last) = (Vec::with_capacity(page.len()), None);
        for (key, bytes) in page {
            rows.push(RawDocumentBuf::from_bytes(bytes).map_err(|_| bug("a row of the answer is damaged"))?);
            self.circuit.notes().remove(&key).map_err(|error| of_flow(&error))?;
            last = Some(key);
        }
        self.rows += i64::try_from(rows.len()).unwrap_or(0);
        Ok((rows, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQL-19.2
    #[test]
    fn how_far_a_build_is_is_kept() {
        let time = |increment| Timestamp { time: 7, increment };
        let fresh = Filling::new(time(1));
        let on_its_way = Filling {
            until: Some(time(3)),
            time: None,
            mirror: 2,
            after: Some(doc! {"a": 1}.into()),
            read: 20_000,
            storing: Some(3),
            rows: 17,
            ..Filling::new(time(1))
        };
        let of_null = Filling { after: Some(Bson::Null), ..Filling::new(time(1)) };
        for filling in [fresh, on_its_way, of_null] {
            assert_eq!(Filling::from_document(&filling.to_document()), Some(filling));
        }
    }
}
