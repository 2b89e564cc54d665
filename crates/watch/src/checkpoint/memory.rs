//! A position that is kept as long as the program runs.

use std::sync::Arc;

use parking_lot::Mutex;

use super::CheckpointStore;
use crate::{Result, Token};

/// A position in memory. Clones share it, so that a watch that begins again goes on where the last one ended.
#[derive(Debug, Clone, Default)]
pub struct MemoryCheckpoint(Arc<Mutex<Option<Token>>>);

impl MemoryCheckpoint {
    /// A position that is known already.
    pub(crate) fn at(position: Option<Token>) -> Self {
        Self(Arc::new(Mutex::new(position)))
    }

    /// The saved position.
    #[must_use]
    pub fn position(&self) -> Option<Token> {
        self.0.lock().clone()
    }
}

impl CheckpointStore for MemoryCheckpoint {
    async fn load(&mut self) -> Result<Option<Token>> {
        Ok(self.position())
    }

    async fn save(&mut self, token: &Token) -> Result<()> {
        *self.0.lock() = Some(token.clone());
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
