//! A store of whatever kind.

use std::future::Future;
use std::pin::Pin;

use super::CheckpointStore;
use crate::{Result, Token};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A [`CheckpointStore`] whose kind is known only when the program runs.
pub(crate) struct BoxedCheckpoint(Box<dyn Store>);

trait Store: Send {
    fn load(&mut self) -> Boxed<'_, Option<Token>>;
    fn save<'a>(&'a mut self, token: &'a Token) -> Boxed<'a, ()>;
    fn flush(&mut self) -> Boxed<'_, ()>;
}

impl<T: CheckpointStore> Store for T {
    fn load(&mut self) -> Boxed<'_, Option<Token>> {
        Box::pin(CheckpointStore::load(self))
    }

    fn save<'a>(&'a mut self, token: &'a Token) -> Boxed<'a, ()> {
        Box::pin(CheckpointStore::save(self, token))
    }

    fn flush(&mut self) -> Boxed<'_, ()> {
        Box::pin(CheckpointStore::flush(self))
    }
}

impl BoxedCheckpoint {
    pub(crate) fn new(store: impl CheckpointStore + 'static) -> Self {
        Self(Box::new(store))
    }

    pub(crate) async fn load(&mut self) -> Result<Option<Token>> {
        self.0.load().await
    }

    pub(crate) async fn save(&mut self, token: &Token) -> Result<()> {
        self.0.save(token).await
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.0.flush().await
    }
}
