//! Settings that clients change and that are kept with the data: the cluster parameters (CS-9.5).

use std::time::Duration;

use millstream_storage::{Space, Store};
use millstream_value::{ClusterTime, Doc, DocBuf, Value};

use crate::{Db, Result, ddl};

/// A row of the catalog.
const CHANGE_STREAM_OPTIONS: &[u8] = b"parameter changeStreamOptions";

/// The cluster parameter `changeStreamOptions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeStreamOptions {
    /// When it was last set; none if never.
    pub set_at: Option<ClusterTime>,
    /// How many seconds pre-images live; none: as long as their log entries.
    pub expire_after_seconds: Option<u64>,
}

impl ChangeStreamOptions {
    pub(crate) fn load(store: &Store) -> Result<Self> {
        let row = store.snapshot().get(Space::Catalog, CHANGE_STREAM_OPTIONS)?;
        Ok(row.map(|row| Self::decode(Doc::new(&row))).unwrap_or_default())
    }

    pub(crate) fn image_life(self) -> Option<Duration> {
        self.expire_after_seconds.map(Duration::from_secs)
    }

    fn encode(self) -> DocBuf {
        let mut row = DocBuf::new();
        row.push("setAt", self.set_at.unwrap_or_default());
        if let Some(seconds) = self.expire_after_seconds {
            row.push("expireAfterSeconds", i64::try_from(seconds).unwrap_or(i64::MAX));
        }
        row
    }

    fn decode(row: Doc<'_>) -> Self {
        let set_at = match row.get("setAt") {
            Some(Value::Timestamp(time)) => Some(time),
            _ => None,
        };
        let seconds = row.get("expireAfterSeconds").and_then(|value| value.as_integer());
        Self { set_at, expire_after_seconds: seconds.and_then(|seconds| u64::try_from(seconds).ok()) }
    }
}

impl Db {
    /// The cluster parameter `changeStreamOptions`.
    #[must_use]
    pub fn change_stream_options(&self) -> ChangeStreamOptions {
        *self.change_stream_options_slot().lock()
    }

    /// Says how long pre-images live. Older ones are gone for readers when this returns, and are removed in the
    /// background (CS-9.5.1).
    ///
    /// # Errors
    /// If it cannot be made durable; everything stays as it was then.
    pub fn set_image_expiry(&self, expire_after_seconds: Option<u64>) -> Result<()> {
        // Held all the while, so that what is durable last is what counts.
        let mut current = self.change_stream_options_slot().lock();
        let changed = ddl::in_loop(self, move |commit, _| {
            let changed = ChangeStreamOptions { set_at: Some(commit.tick()), expire_after_seconds };
            commit.put(Space::Catalog, CHANGE_STREAM_OPTIONS, changed.encode().into_bytes());
            Ok(changed)
        })?;
        self.store().set_image_life(changed.image_life());
        *current = changed;
        Ok(())
    }
}
