//! `config.system.preimages`: the stored pre-images as a collection that can be queried (CS-9.2.1).
//!
//! Its documents come in the order of time. They are made from the images and from the log entries that those belong
//! to, which know the collection; an image never outlives its entry.

use std::iter::Peekable;

use bytes::Bytes;
use millstream_change::entry::Entry;
use millstream_storage::{Image, LogEntry, Store};
use millstream_value::{ClusterTime, DocBuf, Value};

use crate::query::Documents;
use crate::{Db, Result};

/// The name under which the pre-images are shown.
pub const PREIMAGES: &str = "config.system.preimages";

/// Bytes of images, and of log entries, that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

impl Db {
    /// All pre-images that have not expired, oldest first.
    pub(crate) fn preimages(&self) -> Documents {
        Box::new(Rows {
            store: self.store().clone(),
            place: (ClusterTime::ZERO, 0),
            images: Vec::new().into_iter(),
            entries: Vec::new().into_iter().peekable(),
            known: None,
        })
    }
}

struct Rows {
    store: Store,
    /// Where to read on.
    place: (ClusterTime, u32),
    images: std::vec::IntoIter<Image>,
    /// Entries of the log, from that of the last image on.
    entries: Peekable<std::vec::IntoIter<LogEntry>>,
    /// The entry of the last image: that of a transaction has many.
    known: Option<Entry>,
}

impl Iterator for Rows {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let image = match self.next_image() {
                Ok(image) => image?,
                Err(error) => return Some(Err(error)),
            };
            match self.owner(&image) {
                Ok(Some(uuid)) => return Some(Ok(document(&image, uuid))),
                // Its part of the log was dropped a moment ago, and the image with it.
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Rows {
    fn next_image(&mut self) -> Result<Option<Image>> {
        if self.images.len() == 0 {
            self.images = self.store.images(self.place, CHUNK_BYTES)?.into_iter();
        }
        let image = self.images.next();
        if let Some(image) = &image {
            self.place = match image.index.checked_add(1) {
                Some(next) => (image.time, next),
                None => (image.time.next(), 0),
            };
        }
        Ok(image)
    }

    /// The collection that an image belongs to.
    fn owner(&mut self, image: &Image) -> Result<Option<[u8; 16]>> {
        if let Some(known) = self.known.as_ref().filter(|known| known.time() == image.time) {
            return Ok(known.owner_of_image(image.index));
        }
        while self.entries.next_if(|entry| entry.time < image.time).is_some() {}
        if self.entries.peek().is_none() {
            self.entries = match self.store.read_log(image.time, CHUNK_BYTES) {
                Ok(batch) => batch.entries.into_iter().peekable(),
                Err(millstream_storage::Error::HistoryLost { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        }
        self.known = self.entries.next_if(|entry| entry.time == image.time).map(Entry::read);
        Ok(self.known.as_ref().and_then(|entry| entry.owner_of_image(image.index)))
    }
}

fn document(image: &Image, uuid: [u8; 16]) -> Bytes {
    let mut row = DocBuf::with_capacity(image.before.len() + 128);
    row.nest("_id", |id| {
        id.push("nsUUID", Value::Binary(4, uuid.as_slice().into()));
        id.push("ts", image.time).push("applyOpsIndex", i64::from(image.index));
    });
    row.push("operationTime", Value::Date(i64::try_from(image.wall_ms).unwrap_or(i64::MAX)));
    row.push("preImage", millstream_value::Doc::new(&image.before));
    row.into_bytes().into()
}
