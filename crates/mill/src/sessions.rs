//! Sessions of many clients on one deployment.

use tokio::sync::Mutex;

use crate::error::Result;
use crate::session::{Session, SessionOptions};
use crate::temporary::remove_leftovers;

/// Sessions that share their connections, which are made when somebody asks for the first.
pub struct Sessions {
    uri: String,
    first: Mutex<Option<Session>>,
}

impl Sessions {
    /// On a deployment.
    #[must_use]
    pub fn new(uri: String) -> Self {
        remove_leftovers();
        Self { uri, first: Mutex::default() }
    }

    /// One more, in a database.
    ///
    /// # Errors
    /// The URI cannot be used, or nobody is there; the next is tried again.
    pub async fn session(&self, database: &str) -> Result<Session> {
        let mut first = self.first.lock().await;
        let known = match first.as_ref() {
            Some(known) => known,
            None => first.insert(Session::connect(&self.uri, SessionOptions::default()).await?),
        };
        Ok(known.another(database))
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("uri", &self.uri).finish_non_exhaustive()
    }
}
