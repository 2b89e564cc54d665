//! A store of whatever kind.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Fingerprint, SeenChange, SeenDocuments, SeenKey, SeenState};
use crate::Result;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A [`SeenDocuments`] whose kind is known only when the program runs.
#[derive(Clone)]
pub(crate) struct BoxedSeen(Arc<dyn Store>);

trait Store: Send + Sync {
    fn state(&self) -> Boxed<'_, SeenState>;
    fn set_state(&self, state: SeenState) -> Boxed<'_, ()>;
    fn find<'a>(&'a self, keys: &'a [SeenKey]) -> Boxed<'a, Vec<Option<Fingerprint>>>;
    fn list<'a>(&'a self, after: Option<&'a SeenKey>, count: usize) -> Boxed<'a, Vec<SeenKey>>;
    fn change<'a>(&'a self, changes: &'a [SeenChange]) -> Boxed<'a, ()>;
}

impl<T: SeenDocuments> Store for T {
    fn state(&self) -> Boxed<'_, SeenState> {
        Box::pin(SeenDocuments::state(self))
    }

    fn set_state(&self, state: SeenState) -> Boxed<'_, ()> {
        Box::pin(SeenDocuments::set_state(self, state))
    }

    fn find<'a>(&'a self, keys: &'a [SeenKey]) -> Boxed<'a, Vec<Option<Fingerprint>>> {
        Box::pin(SeenDocuments::find(self, keys))
    }

    fn list<'a>(&'a self, after: Option<&'a SeenKey>, count: usize) -> Boxed<'a, Vec<SeenKey>> {
        Box::pin(SeenDocuments::list(self, after, count))
    }

    fn change<'a>(&'a self, changes: &'a [SeenChange]) -> Boxed<'a, ()> {
        Box::pin(SeenDocuments::change(self, changes))
    }
}

impl BoxedSeen {
    pub(crate) fn new(store: impl SeenDocuments + 'static) -> Self {
        Self(Arc::new(store))
    }

    pub(crate) async fn state(&self) -> Result<SeenState> {
        self.0.state().await
    }

    pub(crate) async fn set_state(&self, state: SeenState) -> Result<()> {
        self.0.set_state(state).await
    }

    pub(crate) async fn find(&self, keys: &[SeenKey]) -> Result<Vec<Option<Fingerprint>>> {
        self.0.find(keys).await
    }

    pub(crate) async fn list(&self, after: Option<&SeenKey>, count: usize) -> Result<Vec<SeenKey>> {
        self.0.list(after, count).await
    }

    pub(crate) async fn change(&self, changes: &[SeenChange]) -> Result<()> {
        self.0.change(changes).await
    }
}
