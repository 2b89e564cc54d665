//! Events whose documents are values of a program's own type.

use std::fmt::Display;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bson::{Document, RawBsonRef};
use futures_core::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Batching, Event, EventStream, Failure, Handle, Queue, Result, Stats, Watch};

/// What kind of change an event is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OperationType {
    /// A new document.
    Insert,
    /// Fields of a document changed.
    Update,
    /// A document was replaced.
    Replace,
    /// A document was deleted.
    Delete,
    /// A collection is gone.
    Drop,
    /// A collection has another name.
    Rename,
    /// A database is gone.
    DropDatabase,
    /// The stream has nothing more to show.
    Invalidate,
    /// Any other kind, such as those that have to be asked for.
    Other(String),
}

/// What an update did.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateDescription {
    /// Fields with new values, by their paths.
    pub updated_fields: Document,
    /// Paths of fields that are gone.
    pub removed_fields: Vec<String>,
    /// Arrays that lost their ends.
    pub truncated_arrays: Vec<TruncatedArray>,
}

/// An array that lost its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TruncatedArray {
    /// Its path.
    pub field: String,
    /// How many elements it has now.
    pub new_size: i64,
}

/// An event whose documents are values of a type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedEvent<T> {
    /// What kind of change it is.
    pub operation: OperationType,
    /// Which document, if it is about one.
    pub key: Option<Document>,
    /// The document after the change, if the event has it.
    pub full_document: Option<T>,
    /// The document before the change, if the event has it.
    pub before: Option<T>,
    /// What an update did.
    pub update: Option<UpdateDescription>,
    /// The event as it came.
    pub event: Event,
}

impl<T: DeserializeOwned> TypedEvent<T> {
    /// Reads the documents of an event; the error says which one is no `T`, and why.
    pub fn of(event: Event) -> std::result::Result<Self, String> {
        Ok(Self {
            operation: OperationType::of(event.operation()),
            key: read(&event, "documentKey")?,
            full_document: read(&event, "fullDocument")?,
            before: read(&event, "fullDocumentBeforeChange")?,
            update: read(&event, "updateDescription")?,
            event,
        })
    }
}

/// None: the field is absent or null.
fn read<T: DeserializeOwned>(event: &Event, field: &str) -> std::result::Result<Option<T>, String> {
    match event.field(field) {
        None | Some(RawBsonRef::Null) => Ok(None),
        Some(RawBsonRef::Document(document)) => bson::deserialize_from_slice(document.as_bytes())
            .map(Some)
            .map_err(|error| format!("the event's {field} cannot be read: {error}")),
        Some(_) => Err(format!("the event's {field} is no document")),
    }
}

impl OperationType {
    fn of(name: &str) -> Self {
        match name {
            "insert" => Self::Insert,
            "update" => Self::Update,
            "replace" => Self::Replace,
            "delete" => Self::Delete,
            "drop" => Self::Drop,
            "rename" => Self::Rename,
            "dropDatabase" => Self::DropDatabase,
            "invalidate" => Self::Invalidate,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A [`Watch`] whose events have documents of a type. One that is no `T` fails at once: trying again would not help.
pub struct TypedWatch<T> {
    watch: Watch,
    documents: PhantomData<fn() -> T>,
}

impl Watch {
    /// Events with documents of a type.
    #[must_use]
    pub fn typed<T: DeserializeOwned + Send + 'static>(self) -> TypedWatch<T> {
        TypedWatch { watch: self, documents: PhantomData }
    }
}

impl<T: DeserializeOwned + Send + 'static> TypedWatch<T> {
    /// As [`Watch::for_each`].
    pub async fn for_each<F, Fut, E>(self, callback: F) -> Result<Handle>
    where
        F: Fn(TypedEvent<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let callback = Arc::new(callback);
        self.watch
            .for_each(move |event| {
                let callback = Arc::clone(&callback);
                async move {
                    let typed = TypedEvent::of(event).map_err(Failure::lasting)?;
                    callback(typed).await.map_err(|error| Failure::of(&error))
                }
            })
            .await
    }

    /// As [`Watch::for_each_batch`]. One event that is no `T` fails its whole batch.
    pub async fn for_each_batch<F, Fut, E>(self, batching: Batching, callback: F) -> Result<Handle>
    where
        F: Fn(Vec<TypedEvent<T>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let callback = Arc::new(callback);
        self.watch
            .for_each_batch(batching, move |events| {
                let callback = Arc::clone(&callback);
                async move {
                    let typed: std::result::Result<_, _> = events.into_iter().map(TypedEvent::of).collect();
                    callback(typed.map_err(Failure::lasting)?).await.map_err(|error| Failure::of(&error))
                }
            })
            .await
    }

    /// As [`Watch::queue`].
    pub async fn queue(self) -> Result<TypedQueue<T>> {
        Ok(TypedQueue { queue: self.watch.queue().await?, documents: PhantomData })
    }

    /// As [`Watch::stream`].
    pub async fn stream(self) -> Result<TypedStream<T>> {
        Ok(TypedStream { state: State::Running(self.watch.stream().await?), documents: PhantomData })
    }
}

/// A [`Queue`] of typed events.
pub struct TypedQueue<T> {
    queue: Queue,
    documents: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> TypedQueue<T> {
    /// The next event, when it comes. None: the watch has ended.
    ///
    /// # Errors
    /// An event is no `T`, and the settings say to stop there.
    pub async fn get(&mut self) -> Result<Option<TypedEvent<T>>> {
        while let Some(event) = self.queue.get().await {
            match TypedEvent::of(event) {
                Ok(event) => return Ok(Some(event)),
                Err(reason) => self.queue.give_up(&reason).await?,
            }
        }
        Ok(None)
    }

    /// The next event, if it comes in time.
    ///
    /// # Errors
    /// As [`TypedQueue::get`].
    pub async fn get_within(&mut self, time: Duration) -> Result<Option<TypedEvent<T>>> {
        let deadline = std::time::Instant::now() + time;
        while let Some(event) =
            self.queue.get_within(deadline.saturating_duration_since(std::time::Instant::now())).await
        {
            match TypedEvent::of(event) {
                Ok(event) => return Ok(Some(event)),
                Err(reason) => self.queue.give_up(&reason).await?,
            }
        }
        Ok(None)
    }

    /// The queue behind it: `done`, `give_up`, `stats`, `stop`.
    pub fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// As [`Queue::join`].
    pub async fn join(self) -> Result<()> {
        self.queue.join().await
    }
}

/// An [`EventStream`] of typed events.
pub struct TypedStream<T> {
    state: State,
    documents: PhantomData<fn() -> T>,
}

enum State {
    Running(EventStream),
    GivingUp(Pin<Box<dyn Future<Output = (EventStream, Result<()>)> + Send>>),
    Over,
}

impl<T> TypedStream<T> {
    /// How it is doing; None while an event is put aside.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        match &self.state {
            State::Running(stream) => Some(stream.stats()),
            State::GivingUp(_) | State::Over => None,
        }
    }

    /// As [`EventStream::join`].
    pub async fn join(self) -> Result<()> {
        match self.state {
            State::Running(stream) => stream.join().await,
            State::GivingUp(given_up) => {
                let (stream, outcome) = given_up.await;
                outcome?;
                stream.join().await
            }
            State::Over => Ok(()),
        }
    }
}

impl<T: DeserializeOwned> Stream for TypedStream<T> {
    type Item = Result<TypedEvent<T>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Running(stream) => match ready!(Pin::new(stream).poll_next(context)) {
                    Some(Ok(event)) => match TypedEvent::of(event) {
                        Ok(event) => return Poll::Ready(Some(Ok(event))),
                        Err(reason) => {
                            if let State::Running(mut stream) = std::mem::replace(&mut self.state, State::Over) {
                                self.state = State::GivingUp(Box::pin(async move {
                                    let outcome = stream.give_up(&reason).await;
                                    (stream, outcome)
                                }));
                            }
                        }
                    },
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => return Poll::Ready(None),
                },
                State::GivingUp(given_up) => {
                    let (stream, outcome) = ready!(given_up.as_mut().poll(context));
                    self.state = State::Over;
                    match outcome {
                        Ok(()) => self.state = State::Running(stream),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Order {
        total: i32,
    }

    #[test]
    fn documents_are_values_and_what_is_absent_is_none() {
        let event = Event::new(rawdoc! {
            "_id": {"_data": "82"},
            "operationType": "update",
            "documentKey": {"_id": 7},
            "fullDocument": {"_id": 7, "total": 3},
            "fullDocumentBeforeChange": bson::RawBson::Null,
            "updateDescription": {
                "updatedFields": {"total": 3},
                "removedFields": ["note"],
                "truncatedArrays": [{"field": "lines", "newSize": 2}],
            },
        });
        let typed = TypedEvent::<Order>::of(event.unwrap()).unwrap();
        assert_eq!((typed.operation, typed.full_document), (OperationType::Update, Some(Order { total: 3 })));
        assert_eq!((typed.before, typed.key), (None, Some(bson::doc! {"_id": 7})));
        let update = typed.update.unwrap();
        assert_eq!((update.removed_fields.len(), update.truncated_arrays[0].new_size), (1, 2));
    }

    #[test]
    fn what_is_no_such_value_is_named() {
        let event = Event::new(rawdoc! {"_id": {"_data": "82"}, "fullDocument": {"total": "three"}}).unwrap();
        let reason = TypedEvent::<Order>::of(event).unwrap_err();
        assert!(reason.starts_with("the event's fullDocument cannot be read"), "{reason}");
    }
}
