//! SQL over the real engine: sessions, and the mill that runs what they define.

mod batches;
mod changes;
mod command;
mod definitions;
mod keeping_up;
mod lifecycle;
mod lost;
mod mirrors;
mod natives;
mod pushed;
mod queries;
mod random;
mod restarts;
mod streamed;
mod triggers;
mod views;
mod webhooks;
mod writes;

use std::path::Path;
use std::time::{Duration, Instant};

use bson::{Bson, Document};
use millstream_mill::{Answer, Mill, MillOptions, Natives, Outcome, Rows, Session, SessionOptions};
use millstream_sql::SqlError;
use millstream_sql::statement::script;
use mongodb::{Client, Collection};
use tempfile::TempDir;

use crate::support::Server;

/// For how long a busy machine may need for anything.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A server, a session on it, and perhaps a mill.
pub(crate) struct Lab {
    pub(crate) server: Server,
    pub(crate) session: Session,
    pub(crate) client: Client,
    mill: Option<Mill>,
    /// What the mill's connections call themselves.
    pub(crate) mill_name: Option<String>,
    natives: Natives,
    folder: TempDir,
}

impl Lab {
    /// Without a mill.
    pub(crate) async fn new() -> Self {
        Self::on(Server::with(&["--memory", "--mill", "off"])).await
    }

    /// On a server, without a mill.
    pub(crate) async fn on(server: Server) -> Self {
        let options = SessionOptions { database: Some("shop".to_owned()) };
        let session = Session::connect(&server.uri(), options).await.unwrap();
        let client = Client::with_uri_str(server.uri()).await.unwrap();
        let (natives, folder) = (Natives::new(), tempfile::tempdir().unwrap());
        Self { server, session, client, mill: None, mill_name: None, natives, folder }
    }

    /// With one.
    pub(crate) async fn with_mill() -> Self {
        let mut lab = Self::new().await;
        lab.start_mill().await;
        lab
    }

    /// With native routines, for its session and the mills to come.
    pub(crate) fn register(&mut self, natives: Natives) {
        self.session.set_natives(natives.clone());
        self.natives = natives;
    }

    pub(crate) async fn start_mill(&mut self) {
        let mut options = MillOptions::new(self.folder.path().join("state"));
        options.lease = Duration::from_secs(1);
        let name = self.mill_name.as_ref().map_or_else(String::new, |name| format!("&appName={name}"));
        options.natives = self.natives.clone();
        self.mill = Some(Mill::start(&format!("{}{name}", self.server.uri()), options).await.unwrap());
    }

    pub(crate) async fn stop_mill(&mut self) {
        self.mill.take().unwrap().stop().await.unwrap();
    }

    /// Ends the mill as a crash would.
    pub(crate) fn drop_mill(&mut self) {
        drop(self.mill.take());
    }

    /// A copy of the state of the mill, which does not run.
    pub(crate) fn copy_of_state(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&self.folder.path().join("state"), copy.path());
        copy
    }

    /// Puts a copy in the place of the state.
    pub(crate) fn set_state(&self, copy: &TempDir) {
        let state = self.folder.path().join("state");
        std::fs::remove_dir_all(&state).unwrap();
        copy_folder(copy.path(), &state);
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.client.database("shop").collection(name)
    }

    /// The documents of a collection in the order of their `_id`s.
    pub(crate) async fn documents(&self, name: &str) -> Vec<Document> {
        use futures::TryStreamExt;
        let found = self.collection(name).find(bson::doc! {}).sort(bson::doc! {"_id": 1}).await.unwrap();
        found.try_collect().await.unwrap()
    }

    /// Runs a script; gives the last answer.
    pub(crate) async fn answer(&mut self, text: &str) -> Result<Answer, SqlError> {
        let mut last = None;
        for (statement, _) in script(text)? {
            last = Some(self.session.run(&statement).await?);
        }
        Ok(last.expect("a statement"))
    }

    /// Runs a script; the rows of its last statement.
    pub(crate) async fn rows(&mut self, text: &str) -> Vec<Document> {
        let answer = self.answer(text).await.unwrap_or_else(|error| panic!("{text}: {} {error}", error.state));
        match answer.outcome {
            Outcome::Rows(rows) => all(rows).await,
            Outcome::Done { returning: Some(rows), .. } => all(rows).await,
            Outcome::Done { .. } => Vec::new(),
            Outcome::Subscription(_) => panic!("{text} is a subscription"),
        }
    }

    /// Runs a script; what its last statement did.
    pub(crate) async fn tag(&mut self, text: &str) -> String {
        match self.answer(text).await.unwrap_or_else(|error| panic!("{text}: {} {error}", error.state)).outcome {
            Outcome::Done { tag, .. } => tag,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// The class of the error of a script.
    pub(crate) async fn fails(&mut self, text: &str) -> &'static str {
        match self.answer(text).await {
            Err(error) => error.state.0,
            Ok(answer) => panic!("{text}: {:?}", answer.outcome),
        }
    }

    /// Subscribes.
    pub(crate) async fn subscribe(&mut self, text: &str) -> Rows {
        match self.answer(text).await.unwrap_or_else(|error| panic!("{text}: {} {error}", error.state)).outcome {
            Outcome::Subscription(rows) => rows,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Waits until everything has dealt with what was written so far.
    pub(crate) async fn settle(&mut self) {
        self.tag("WAIT FOR ALL TIMEOUT INTERVAL '50 seconds'").await;
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// All rows as documents.
pub(crate) async fn all(rows: Rows) -> Vec<Document> {
    rows.all()
        .await
        .unwrap()
        .iter()
        .map(|row| Document::try_from(row.as_ref() as &bson::RawDocument).unwrap())
        .collect()
}

/// The next row of a subscription.
pub(crate) async fn next(rows: &mut Rows) -> Document {
    let row = tokio::time::timeout(WAIT_MAX, rows.next()).await.expect("a row in time").unwrap().expect("a row");
    Document::try_from(row.as_ref() as &bson::RawDocument).unwrap()
}

/// The values of one column.
pub(crate) fn column(rows: &[Document], name: &str) -> Vec<Bson> {
    rows.iter().map(|row| row.get(name).cloned().unwrap_or(Bson::Null)).collect()
}

/// Waits until something holds.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < WAIT_MAX, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the rows of a query are as they should be.
pub(crate) async fn eventually_rows(lab: &mut Lab, query: &str, holds: impl Fn(&[Document]) -> bool) {
    let since = Instant::now();
    loop {
        let rows = lab.rows(query).await;
        if holds(&rows) {
            return;
        }
        assert!(since.elapsed() < WAIT_MAX, "waited in vain: {query}: {rows:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
