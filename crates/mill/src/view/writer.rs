//! What a view writes: the difference that an epoch makes, together with the place behind it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use bson::Document;
use millstream_sql::SqlError;

use crate::checkpoint::{self, Appending, Checkpoint, NotCommitted};
use crate::dead_letters::{self, Letter};
use crate::definition::{Definition, kind_id};
use crate::difference::Write;
use crate::error::Result;
use crate::run::{End, Stop, target};

/// The state of an error that says that a key is there already.
const UNIQUE: &str = "23505";

/// An epoch that is in the state, and is about to be written.
pub(super) struct Unwritten {
    pub(super) writes: Vec<Write>,
    pub(super) letters: Vec<Letter>,
    /// The view's row of checkpoints.
    pub(super) row: Document,
}

/// Writes epochs, one after the other.
pub(super) struct Writer {
    pub(super) checkpoint: Checkpoint,
    definition: Arc<Definition>,
    database: String,
    collection: String,
    stop: Stop,
}

impl Writer {
    pub(super) fn new(checkpoint: Checkpoint, definition: Arc<Definition>, stop: Stop) -> Result<Self> {
        let (database, collection) = target(&definition)?;
        Ok(Self { checkpoint, definition, database, collection, stop })
    }

    /// Writes what an epoch changes, together with its place. An end: it is not known to be written.
    pub(super) async fn write(&mut self, Unwritten { writes, letters, row }: Unwritten) -> Result<Option<End>> {
        let (writes, letters) = (Arc::new(writes), Arc::new(letters));
        let definition = Arc::clone(&self.definition);
        let (database, collection) = (self.database.clone(), self.collection.clone());
        // After a build that was cut short a row of changes may be there already: then it is tried again in the other way.
        let is_there = Arc::new(AtomicBool::new(false));
        let committed = tokio::select! {
            biased;
            committed = self.checkpoint.commit(row, |session| {
                let (writes, letters) = (Arc::clone(&writes), Arc::clone(&letters));
                let (definition, is_there) = (Arc::clone(&definition), Arc::clone(&is_there));
                let (database, collection) = (database.clone(), collection.clone());
                Box::pin(async move {
                    let appending = if is_there.load(Relaxed) { Appending::Upsert } else { Appending::Insert };
                    let done = checkpoint::write(session, &database, &collection, &writes, appending).await;
                    done.map_err(|error| match (appending, error.state.0) {
                        (Appending::Insert, UNIQUE) if writes.iter().any(|write| matches!(write, Write::Append(_))) => {
                            is_there.store(true, Relaxed);
                            SqlError::new("40001", "some of the rows are there already")
                        }
                        _ => error,
                    })?;
                    dead_letters::note(session, &definition.id, kind_id(definition.kind), &letters).await
                })
            }) => committed,
            () = self.stop.stopped() => return Ok(Some(End::Stopped)),
        };
        match committed {
            Ok(()) => Ok(None),
            Err(NotCommitted::TakenOver) => Ok(Some(End::TakenOver)),
            Err(NotCommitted::Failed(error)) => Err(error),
        }
    }
}
