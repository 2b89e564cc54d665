//! Who is connected: for CancelRequest, which comes on a connection of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use millstream_mill::{Session, Sessions};
use millstream_sql::SqlError;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// What all connections share.
pub(crate) struct Registry {
    sessions: Sessions,
    /// By their numbers: the secret, and what cancels the statement that runs.
    clients: Mutex<HashMap<i32, (i32, Arc<Cancel>)>>,
    next: AtomicI32,
    /// True when all is to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// A connection's place among the others; dropping it leaves.
pub(crate) struct Place {
    registry: Arc<Registry>,
    pub(crate) number: i32,
    pub(crate) secret: i32,
    pub(crate) cancel: Arc<Cancel>,
}

/// Whether the statement that runs is to be cancelled.
#[derive(Default)]
pub(crate) struct Cancel {
    asked: AtomicBool,
    news: Notify,
}

impl Cancel {
    /// Ends when somebody has asked.
    pub(crate) async fn asked(&self) {
        let news = self.news.notified();
        if !self.is_asked() {
            news.await;
        }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// What was asked was for a statement that is over.
    pub(crate) fn forget(&self) {
        self.asked.store(false, Ordering::Release);
    }

    fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.news.notify_waiters();
    }
}

impl Registry {
    pub(crate) fn new(uri: String, stop: watch::Receiver<bool>) -> Self {
        Self { sessions: Sessions::new(uri), clients: Mutex::default(), next: AtomicI32::new(1), stop }
    }

    /// A session in a database.
    pub(crate) async fn session(&self, database: &str) -> Result<Session, SqlError> {
        self.sessions.session(database).await
    }

    /// A place for one more.
    pub(crate) fn enter(self: &Arc<Self>) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let secret: i32 = rand::random();
        let cancel = Arc::new(Cancel::default());
        self.clients.lock().insert(number, (secret, Arc::clone(&cancel)));
        Place { registry: Arc::clone(self), number, secret, cancel }
    }

    /// Cancels what a client's statement does, if it is one that knows the secret.
    pub(crate) fn cancel(&self, number: i32, secret: i32) {
        let clients = self.clients.lock();
        if let Some((known, cancel)) = clients.get(&number)
            && *known == secret
        {
            cancel.ask();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.clients.lock().remove(&self.number);
    }
}
