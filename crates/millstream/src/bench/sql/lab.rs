//! An engine, a mill and a session for one case.

use std::path::Path;

use anyhow::Context as _;
use bson::{Document, doc};
use millstream_mill::{Session, SessionOptions};
use mongodb::{Client, Collection, Database};
use tempfile::TempDir;

use super::arguments::Sizes;
use super::child::Child;
use crate::bench::target::DATABASE;

/// Documents in one `insert_many`.
const BATCH: u64 = 1000;

/// How long statements may wait for a view.
const WAIT: &str = "TIMEOUT INTERVAL '1 hour'";

/// What one case works with.
pub(super) struct Lab {
    folder: TempDir,
    uri: String,
    engine: Option<Child>,
    mill: Child,
    session: Session,
    client: Client,
}

impl Lab {
    /// Starts everything: on a server that is there, or with an engine of its own.
    pub(super) async fn start(uri: Option<&str>, force: bool) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("millstream-bench-").tempdir();
        let folder = folder.context("could not create a temporary folder")?;
        let (engine, uri) = match uri {
            Some(uri) => (None, uri.to_owned()),
            None => {
                let (engine, uri) = Child::engine(&folder.path().join("engine")).await?;
                (Some(engine), uri)
            }
        };
        let client = Client::with_uri_str(&uri).await?;
        let is_there = client.list_database_names().await?.iter().any(|name| name == DATABASE);
        if is_there && !force {
            return Err(crate::exit::misuse(format!(
                "there is a database {DATABASE} already, perhaps of a benchmark that was cut off: --force drops it"
            )));
        }
        let session = session(&uri).await?;
        let mill = Child::mill(&uri, &folder.path().join("mill"))?;
        let mut lab = Self { folder, uri, engine, mill, session, client };
        lab.clear().await?;
        Ok(lab)
    }

    /// Removes what was made, and ends everything.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        // An engine of its own goes as a whole.
        if self.engine.is_none() {
            self.clear().await?;
        }
        self.mill.stop().await?;
        if let Some(mut engine) = self.engine {
            engine.stop().await?;
        }
        self.folder.close().context("the temporary folder could not be removed")
    }

    async fn clear(&mut self) -> anyhow::Result<()> {
        for kind in ["MATERIALIZED VIEW", "TRIGGER"] {
            self.sql(&format!("DROP {kind} IF EXISTS target")).await?;
        }
        self.database().drop().await?;
        Ok(())
    }

    /// Runs a statement.
    pub(super) async fn sql(&mut self, text: &str) -> anyhow::Result<()> {
        let statement = millstream_sql::statement::statement(text).map_err(failed)?;
        self.session.run(&statement).await.map(drop).map_err(failed).with_context(|| text.to_owned())
    }

    /// Waits until the object of the case, such as `MATERIALIZED VIEW`, has dealt with everything so far.
    pub(super) async fn caught_up(&mut self, kind: &str) -> anyhow::Result<()> {
        self.sql(&format!("WAIT FOR {kind} target {WAIT}")).await
    }

    /// The database of the benchmark.
    pub(super) fn database(&self) -> Database {
        self.client.database(DATABASE)
    }

    /// One of its collections.
    pub(super) fn collection(&self, name: &str) -> Collection<Document> {
        self.database().collection(name)
    }

    /// Makes collections, with pre-images if the case is to be measured with them.
    pub(super) async fn create(&self, names: &[&str], sizes: &Sizes) -> anyhow::Result<()> {
        for name in names {
            let images = doc! {"enabled": sizes.images};
            self.database().run_command(doc! {"create": name, "changeStreamPreAndPostImages": images}).await?;
        }
        Ok(())
    }

    /// Inserts documents by their numbers, in large batches, two at a time.
    pub(super) async fn fill(&self, name: &str, count: u64, document: fn(u64) -> Document) -> anyhow::Result<()> {
        let half = |from: u64, to: u64| {
            let collection = self.collection(name);
            async move {
                for first in (from..to).step_by(1000) {
                    collection.insert_many((first..to.min(first + BATCH)).map(document)).await?;
                }
                anyhow::Ok(())
            }
        };
        tokio::try_join!(half(0, count / 2), half(count / 2, count))?;
        Ok(())
    }

    /// The documents of a collection.
    pub(super) async fn count(&self, name: &str) -> anyhow::Result<u64> {
        Ok(self.collection(name).count_documents(doc! {}).await?)
    }

    /// Ends the mill, and the engine if it is its own.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.mill.stop().await?;
        match &mut self.engine {
            Some(engine) => engine.stop().await,
            None => Ok(()),
        }
    }

    /// Starts them again.
    pub(super) async fn start_again(&mut self) -> anyhow::Result<()> {
        if self.engine.is_some() {
            let (engine, uri) = Child::engine(&self.folder.path().join("engine")).await?;
            (self.engine, self.uri) = (Some(engine), uri);
        }
        self.mill = Child::mill(&self.uri, &self.folder.path().join("mill"))?;
        self.client = Client::with_uri_str(&self.uri).await?;
        self.session = session(&self.uri).await?;
        Ok(())
    }

    /// The bytes of the states of views.
    pub(super) fn state_bytes(&self) -> anyhow::Result<u64> {
        bytes_in(&self.folder.path().join("mill"))
    }

    /// The changes that failed for good.
    pub(super) async fn dead_letters(&self) -> anyhow::Result<u64> {
        let letters = self.client.database("millstream").collection::<Document>("dead_letters");
        let ours = doc! {"_id.object": {"$regex": format!("{DATABASE}.*target")}};
        Ok(letters.count_documents(ours).await?)
    }

    /// Processor time of the mill and of the engine, in seconds.
    pub(super) fn busy(&self) -> Busy {
        Busy { mill: self.mill.busy(), engine: self.engine.as_ref().and_then(Child::busy) }
    }
}

/// Processor time, in seconds, where it is known.
#[derive(Clone, Copy)]
pub(super) struct Busy {
    pub(super) mill: Option<f64>,
    pub(super) engine: Option<f64>,
}

async fn session(uri: &str) -> anyhow::Result<Session> {
    let options = SessionOptions { database: Some(DATABASE.to_owned()) };
    Session::connect(uri, options).await.map_err(failed)
}

fn failed(error: millstream_sql::SqlError) -> anyhow::Error {
    anyhow::anyhow!("{} {}", error.state.0, error.message)
}

fn bytes_in(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { bytes_in(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}
