//! Where a watcher keeps its place.

mod boxed;
mod collection;
mod file;
mod memory;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
mod redis;

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::{Connection, Error, JsonMode, Result, Source, Token, to_json};

pub(crate) use boxed::BoxedCheckpoint;
pub use collection::{CollectionCheckpoint, TOKENS};
pub use file::FileCheckpoint;
pub use memory::MemoryCheckpoint;
#[cfg(feature = "postgres")]
pub use postgres::PostgresCheckpoint;
#[cfg(feature = "redis")]
pub use redis::RedisCheckpoint;

/// Which source a position belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceId {
    /// The servers of the URI, without user and password.
    pub servers: Vec<String>,
    /// What was watched, in words.
    pub scope: String,
    /// The whole pipeline as canonical Extended JSON. A token resumes only under a pipeline that
    /// lets its event through (CS-5.8.4), so the pipeline is part of the identity.
    pub pipeline: Vec<String>,
}

/// In what a position that was kept is for something else than what is watched now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// `server`, `scope` or `pipeline`.
    pub(crate) what: &'static str,
    pub(crate) found: String,
    pub(crate) wanted: String,
}

impl SourceId {
    /// The identity of a source on a connection.
    pub fn new(connection: &Connection, source: &Source) -> Self {
        let stage = |stage: &bson::Document| {
            bson::RawDocumentBuf::try_from(stage).map(|raw| to_json(&raw, JsonMode::Canonical)).unwrap_or_default()
        };
        Self {
            servers: connection.servers().to_vec(),
            scope: source.scope.to_string(),
            pipeline: source.full_pipeline().iter().map(stage).collect(),
        }
    }

    /// The first thing in which a position that was kept is for something else than this.
    pub(crate) fn difference(&self, kept: &Self) -> Option<Difference> {
        let text = |pipeline: &[String]| format!("[{}]", pipeline.join(","));
        let (what, found, wanted) = if kept.servers != self.servers {
            ("server", kept.servers.join(","), self.servers.join(","))
        } else if kept.scope != self.scope {
            ("scope", kept.scope.clone(), self.scope.clone())
        } else if kept.pipeline != self.pipeline {
            ("pipeline", text(&kept.pipeline), text(&self.pipeline))
        } else {
            return None;
        };
        Some(Difference { what, found, wanted })
    }

    /// An error if a position that was kept under a watcher's name is for something else than this.
    pub(crate) fn check(&self, kept: &Self, watcher: &str) -> Result<()> {
        match self.difference(kept) {
            None => Ok(()),
            Some(Difference { what, found, wanted }) => {
                Err(Error::OtherWatch { watcher: watcher.to_owned(), what, found, wanted })
            }
        }
    }
}

/// A store for the position of one source.
///
/// `save` is called after an event has been dealt with: a store may be behind what was handled,
/// never ahead of it.
pub trait CheckpointStore: Send {
    /// The saved position, if there is one; an error if it is another source's.
    fn load(&mut self) -> impl Future<Output = Result<Option<Token>>> + Send;

    /// Replaces the saved position.
    fn save(&mut self, token: &Token) -> impl Future<Output = Result<()>> + Send;

    /// Makes the last saved position survive a power cut.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let source = |server: &str, scope: &str, pipeline: &[&str]| SourceId {
            servers: texts(&[server]),
            scope: scope.to_owned(),
            pipeline: texts(pipeline),
        };
        let this = source("a:1", "database shop", &["{}"]);
        let what = |kept: &SourceId| this.difference(kept).map(|difference| difference.what);
        assert_eq!(what(&this.clone()), None);
        assert_eq!(what(&source("a:2", "database other", &[])), Some("server"));
        assert_eq!(what(&source("a:1", "database other", &[])), Some("scope"));
        assert_eq!(what(&source("a:1", "database shop", &[])), Some("pipeline"));
        let text = this.check(&source("a:1", "cluster", &[]), "copier in shop.tokens").unwrap_err().to_string();
        assert!(text.contains("copier in shop.tokens was kept for another scope (cluster, this is database"), "{text}");
    }
}
