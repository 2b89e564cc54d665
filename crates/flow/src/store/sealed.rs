//! A commit on its way to the files, while the circuit goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use fjall::Slice;

use super::disk::Disk;
use super::state::{META, NODE_BYTES};
use crate::Result;

/// Keys that have changed and their values now; `None`: the key was removed.
pub(super) type Rows = BTreeMap<Slice, Option<Slice>>;

/// All that a circuit has changed since its last commit, up to some moment. Until it is written it lies over the files.
#[derive(Debug)]
pub struct Sealed {
    pub(super) rows: Arc<Rows>,
    /// `None`: of a circuit that is kept in memory.
    pub(super) disk: Option<Disk>,
}

/// What tells a circuit that its [`Sealed`] state is in the files.
#[derive(Debug)]
#[must_use = "the circuit has to be told, before its state can be sealed again"]
pub struct Committed {
    pub(super) position: Vec<u8>,
}

impl Sealed {
    /// Makes it durable together with `position`, whatever that is to the caller. May take its time; the circuit can be used
    /// meanwhile.
    ///
    /// # Errors
    /// The store cannot write; the circuit is of no more use then.
    pub fn write(self, position: Vec<u8>) -> Result<Committed> {
        if let Some(disk) = self.disk {
            disk.write(&self.rows, (&position_key(), &position))?;
        }
        Ok(Committed { position })
    }
}

pub(super) const POSITION: &[u8] = b"position";

fn position_key() -> Vec<u8> {
    let mut key = Vec::with_capacity(NODE_BYTES + POSITION.len());
    key.extend_from_slice(&META.to_be_bytes());
    key.extend_from_slice(POSITION);
    key
}
