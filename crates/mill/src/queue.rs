//! The rows of a subscription that wait for whoever takes them (SQL-22.1).
//!
//! The queue has room for so many bytes. Who makes rows waits while it is full, and so reads no further; if nothing is taken
//! for too long, the subscription ends.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bson::RawDocumentBuf;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Result;

/// What a row takes up besides its bytes.
const ROW_BYTES: usize = 64;

/// A row, and its room.
type Waiting = (Result<RawDocumentBuf>, Option<OwnedSemaphorePermit>);

/// A queue's end where rows are put in.
#[derive(Clone)]
pub(crate) struct Sender {
    rows: UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    bytes: u32,
    full_for: Duration,
}

/// A queue's end where rows are taken out.
#[derive(Debug)]
pub(crate) struct Receiver(UnboundedReceiver<Waiting>);

/// Why a row was not put into a queue.
#[derive(Debug, PartialEq)]
pub(crate) enum Unsent {
    /// It was full for too long.
    Full,
    /// Nobody is there to take it.
    Gone,
}

/// A queue of so many bytes that may be full for so long.
pub(crate) fn queue(bytes: u32, full_for: Duration) -> (Sender, Receiver) {
    let (rows, taken) = unbounded_channel();
    let room = Arc::new(Semaphore::new(usize::try_from(bytes).unwrap_or(Semaphore::MAX_PERMITS)));
    (Sender { rows, room, bytes, full_for }, Receiver(taken))
}

impl Sender {
    /// Puts a row in when there is room. One that is larger than the queue waits for all of it.
    pub(crate) async fn send(&self, row: RawDocumentBuf) -> std::result::Result<(), Unsent> {
        let bytes = u32::try_from(row.as_bytes().len() + ROW_BYTES).unwrap_or(u32::MAX).min(self.bytes);
        let room = tokio::time::timeout(self.full_for, Arc::clone(&self.room).acquire_many_owned(bytes)).await;
        let room = room.map_err(|_| Unsent::Full)?.ok();
        self.rows.send((Ok(row), room)).map_err(|_| Unsent::Gone)
    }

    /// Puts in what ended the subscription, behind all that waits.
    pub(crate) fn end(&self, error: millstream_sql::SqlError) {
        // Perhaps nobody listens any more.
        let _ = self.rows.send((Err(error), None));
    }

    /// Waits until nobody takes rows any more.
    pub(crate) async fn closed(&self) {
        self.rows.closed().await;
    }
}

impl Receiver {
    /// The next row. The future may be dropped half-way.
    pub(crate) async fn next(&mut self) -> Result<Option<RawDocumentBuf>> {
        self.0.recv().await.map(|(row, _)| row).transpose()
    }

    /// The next row, if it has come.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RawDocumentBuf>>> {
        self.0.poll_recv(context).map(|waiting| waiting.map(|(row, _)| row).transpose())
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    /// SQL-22.1: a row waits for room, and for so long only.
    #[tokio::test]
    async fn a_queue_is_full_by_its_bytes() {
        let row = rawdoc! {"n": 1};
        let of_two = u32::try_from(2 * (row.as_bytes().len() + ROW_BYTES)).unwrap();
        let (rows, mut taken) = queue(of_two, Duration::from_millis(10));
        for _ in 0..2 {
            assert_eq!(rows.send(row.clone()).await, Ok(()));
        }
        assert_eq!(rows.send(row.clone()).await, Err(Unsent::Full));
        assert!(taken.next().await.unwrap().is_some());
        assert_eq!(rows.send(row.clone()).await, Ok(()));
        for _ in 0..2 {
            assert!(taken.next().await.unwrap().is_some());
        }
        let large = rawdoc! {"text": "x".repeat(1_000)};
        assert_eq!(rows.send(large).await, Ok(()), "it has the queue for itself");
        assert_eq!(rows.send(row.clone()).await, Err(Unsent::Full));
        drop(taken);
        rows.closed().await;
    }
}
