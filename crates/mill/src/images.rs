//! Documents before and after a change where the deployment keeps none (SQL-12.6): an own copy of the collection has them, or
//! they are looked up.

use std::collections::BTreeSet;

use bson::raw::cstr;
use bson::{Document, RawDocumentBuf, Timestamp, doc};
use futures::TryStreamExt;
use millstream_sql::SqlError;
use millstream_sql::plan::Plan;
use millstream_sql::statement::Options;
use millstream_watch::Event;
use mongodb::Client;

use crate::commit::{Commit, Place};
use crate::deployment::{Deployment, before};
use crate::error::{Result, bug, of_driver};
use crate::hub::{Name, namespace};
use crate::read::{Find, Moment, is_moment_over};

/// Where the documents before and after a change come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Images {
    /// The deployment keeps them.
    Kept,
    /// The document is looked up, and may be later than the change; of the one before only the key is known.
    Lookup,
    /// An own copy of the collection, from a snapshot on, has both.
    Mirror,
}

impl Images {
    pub(crate) fn of(options: &Options) -> Result<Self> {
        match options.text("images")? {
            None | Some("auto") => Ok(Self::Kept),
            Some("lookup") => Ok(Self::Lookup),
            Some("mirror") => Ok(Self::Mirror),
            Some(other) => Err(SqlError::new("22023", format!("images cannot be '{other}'"))),
        }
    }

    /// Commits whose changes of some collections have their documents.
    pub(crate) async fn complete(
        self,
        client: &Client,
        commits: Vec<Commit>,
        of: &BTreeSet<Name>,
    ) -> Result<Vec<Commit>> {
        if self != Self::Lookup {
            return Ok(commits);
        }
        let mut complete = Vec::with_capacity(commits.len());
        for commit in commits {
            let mut events = Vec::with_capacity(commit.events().len());
            for event in commit.events() {
                let name = namespace(event).map(|(database, name)| (database.to_owned(), name.to_owned()));
                let wanted = name.is_some_and(|name| of.contains(&name));
                events.push(if wanted { looked_up(client, event).await? } else { event.clone() });
            }
            complete.extend(Commit::of(events));
        }
        Ok(complete)
    }
}

/// The collections of which a view goes by images, since the deployment keeps them (SQL-12.6).
pub(crate) async fn kept(client: &Client, plan: &Plan, options: &Options) -> Result<BTreeSet<Name>> {
    let mut kept = BTreeSet::new();
    if plan.changes || options.text("images")? == Some("mirror") {
        return Ok(kept);
    }
    for source in &plan.sources {
        let database = client.database(&source.database);
        let named = database.list_collections().filter(doc! {"name": &source.collection}).await;
        let mut named = named.map_err(|error| of_driver(&error))?;
        while let Some(named) = named.try_next().await.map_err(|error| of_driver(&error))? {
            if named.options.change_stream_pre_and_post_images.is_some_and(|images| images.enabled) {
                kept.insert((source.database.clone(), source.collection.clone()));
            }
        }
    }
    Ok(kept)
}

/// A change with the document as it is by now, and the key of the one before.
pub(crate) async fn looked_up(client: &Client, event: &Event) -> Result<Event> {
    let Some(key) = event.document_key().filter(|_| event.operation() != "insert") else { return Ok(event.clone()) };
    let mut raw = event.raw().to_owned();
    if event.operation() == "update"
        && event.raw().get_document("fullDocument").is_err()
        && let Some((database, collection)) = namespace(event)
    {
        let which = Document::try_from(key).map_err(|error| bug(&error.to_string()))?;
        let rows = client.database(database).collection::<RawDocumentBuf>(collection);
        if let Some(found) = rows.find_one(which).await.map_err(|error| of_driver(&error))? {
            raw = with(&raw, "fullDocument", found)?;
        }
    }
    if event.raw().get_document("fullDocumentBeforeChange").is_err() {
        raw = with(&raw, "fullDocumentBeforeChange", key.to_owned())?;
    }
    Event::new(raw).map_err(|error| bug(&error.to_string()))
}

/// A change with the documents before and after it that a copy has; what it has not stays as it came.
pub(crate) fn with_images(event: &Event, old: Option<RawDocumentBuf>, new: Option<RawDocumentBuf>) -> Result<Event> {
    let mut raw = event.raw().to_owned();
    if let Some(new) = new.filter(|_| event.operation() == "update") {
        raw = with(&raw, "fullDocument", new)?;
    }
    if let Some(old) = old {
        raw = with(&raw, "fullDocumentBeforeChange", old)?;
    }
    Event::new(raw).map_err(|error| bug(&error.to_string()))
}

/// How a copy is made for the changes from a place on: it is read as of a time, and from a second place on it takes in the
/// changes, of which those up to the first one are for it alone. That one may be in the middle of a commit.
pub(crate) fn copied_at(place: &Place) -> Result<(Timestamp, Place)> {
    let time = place.time().ok_or_else(|| SqlError::new("22023", "a token without a time is no place to start"))?;
    Ok((before(time), Place::Time(time)))
}

/// Refuses a start in the past of which a deployment has no snapshot any more: what a copy of then would be, nobody can tell.
pub(crate) async fn check_copied_at(deployment: &Deployment, start: &Place, names: &BTreeSet<Name>) -> Result<()> {
    let (time, _) = copied_at(start)?;
    for (database, collection) in names {
        let find = Find { few: Some(1), ..Find::all(database, collection) };
        if let Err(error) = find.open(deployment.client(), &mut Moment::Time(time)).await {
            return Err(if is_moment_over(&error) { no_copy(&error) } else { error });
        }
    }
    Ok(())
}

/// That a copy cannot be made as of a time.
pub(crate) fn no_copy(error: &SqlError) -> SqlError {
    let message = format!("images = 'mirror' copies the collection as it was at the start: {}", error.message);
    SqlError::new("MS002", message)
        .hint("start = 'now' copies what is there; images = 'auto' and 'lookup' need no copy")
}

/// A document with a field, whose null, if there is one, goes.
fn with(raw: &RawDocumentBuf, name: &str, value: RawDocumentBuf) -> Result<RawDocumentBuf> {
    let mut made = RawDocumentBuf::new();
    for field in raw {
        let (known, value) = field.map_err(|error| bug(&error.to_string()))?;
        if known.as_str() != name {
            made.append(known, value);
        }
    }
    made.append(if name == "fullDocument" { cstr!("fullDocument") } else { cstr!("fullDocumentBeforeChange") }, value);
    Ok(made)
}
