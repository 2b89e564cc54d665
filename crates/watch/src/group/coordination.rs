//! What the members of a group know of each other: documents in a collection.
//!
//! The group:     `{ _id: "<group>/group", partitions, scope, pipeline, start: {token} | {time}, createdAt }`
//! A member:      `{ _id: "<group>/member/<member>", beat, leaseMs, leaving, joinedAt, seenAt, host, pid, read, caughtUp, busy }`
//! A partition:   `{ _id: "<group>/partition/<number>", partition, owner, epoch, ownedSince, position, updatedAt }`
//!
//! Everything is written conditionally and with majority, and read from the primary, so that whatever was confirmed stays
//! true when the servers elect another primary.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use mongodb::error::{ErrorKind, InsertManyError, WriteFailure};
use mongodb::options::{CollectionOptions, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Collection, Database};
use tokio::time::Instant;

use super::lease::Watched;
use super::{Group, PARTITIONS, PARTITIONS_MAX};
use crate::{Connection, Error, Result, SourceId, StartAt, Token};

/// A code of the server: there is such a document.
const DUPLICATE_KEY: i32 = 11000;

/// The documents of one group.
#[derive(Debug, Clone)]
pub(super) struct Coordination {
    connection: Connection,
    database: Database,
    rows: Collection<Document>,
    group: String,
}

/// What was agreed on when the group was made.
#[derive(Debug, Clone)]
pub(super) struct Founding {
    pub(super) partitions: u32,
    /// Where every partition begins.
    pub(super) start: StartAt,
}

/// How far a member has read, as others are told of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Progress {
    pub(super) read: Option<Token>,
    /// Whether the servers had nothing more when it last asked.
    pub(super) caught_up: bool,
    /// Its partitions with events under way.
    pub(super) busy: Vec<u32>,
}

/// All members and partitions.
#[derive(Debug)]
pub(super) struct View {
    /// When the reading of it began: what was done since may be missing.
    pub(super) began: Instant,
    /// By number.
    pub(super) partitions: Vec<Owned>,
    pub(super) members: Vec<Seen>,
}

/// Who has a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) owner: Option<String>,
    pub(super) epoch: i64,
}

/// A member as others see it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) beat: i64,
    pub(super) lease: Duration,
    pub(super) leaving: bool,
}

/// A partition that a member has just taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) partition: u32,
    pub(super) epoch: i64,
    pub(super) position: Option<Token>,
}

/// A partition's position, to be written by its owner only.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) partition: u32,
    pub(super) epoch: i64,
    pub(super) position: Option<Token>,
    /// Whether the owner gives the partition up.
    pub(super) release: bool,
}

impl Coordination {
    pub(super) fn new(connection: &Connection, group: &Group) -> Self {
        let options = CollectionOptions::builder()
            .write_concern(WriteConcern::majority())
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .build();
        let database = connection.client().database(&group.database);
        let rows = database.collection_with_options(&group.collection, options);
        Self { connection: connection.clone(), database, rows, group: group.name.clone() }
    }

    /// The group's founding, if it was founded; an error if that was for another source.
    pub(super) async fn founding(&self, source: &SourceId, partitions: Option<u32>) -> Result<Option<Founding>> {
        let Some(found) = self.group().await? else { return Ok(None) };
        self.check(&found, source)?;
        let count = found.get_i32("partitions").ok().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        if !(1..=PARTITIONS_MAX).contains(&count) {
            return Err(self.error(format!("its document says that it has {count} partitions")));
        }
        if let Some(wanted) = partitions.filter(|wanted| *wanted != count) {
            return Err(self.error(format!("it has {count} partitions, not {wanted}, and keeps those")));
        }
        let start = found.get_document("start").map_err(|_| self.error("its document does not say where it starts"))?;
        let start = match (start.get_document("token"), start.get_timestamp("time")) {
            (Ok(token), _) => StartAt::StartAfter(Token::from_reply(token)?),
            (_, Ok(time)) => StartAt::Time(time),
            _ => return Err(self.error("its document does not say where it starts")),
        };
        Ok(Some(Founding { partitions: count, start }))
    }

    /// The group's own document.
    pub(super) async fn group(&self) -> Result<Option<Document>> {
        self.rows.find_one(doc! {"_id": self.group_id()}).await.map_err(|error| self.explain(error))
    }

    /// Founds the group, unless another member was faster.
    pub(super) async fn found(&self, source: &SourceId, partitions: Option<u32>, start: &StartAt) -> Result<()> {
        let start = match start {
            StartAt::ResumeAfter(token) | StartAt::StartAfter(token) => doc! {"token": token.to_document()?},
            StartAt::Time(time) => doc! {"time": *time},
            StartAt::Now | StartAt::Snapshot => return Err(self.error("the servers tell no position to start from")),
        };
        let row = doc! {
            "_id": self.group_id(),
            "partitions": i32::try_from(partitions.unwrap_or(PARTITIONS)).unwrap_or(i32::MAX),
            "scope": source.scope.as_str(),
            "pipeline": source.pipeline.as_slice(),
            "start": start,
            "createdAt": DateTime::now(),
        };
        match self.rows.insert_one(row).await {
            Err(error) if !is_duplicate(&error) => Err(self.explain(error)),
            _ => Ok(()),
        }
    }

    /// Makes the documents of partitions that have none.
    pub(super) async fn make_partitions(&self, count: u32) -> Result<()> {
        let there = self.rows.count_documents(self.all("partition")).await.map_err(|error| self.explain(error))?;
        if there >= u64::from(count) {
            return Ok(());
        }
        let rows = (0..count).map(|partition| {
            doc! {"_id": self.partition(partition), "partition": partition, "owner": Bson::Null, "epoch": 0_i64}
        });
        match self.rows.insert_many(rows).ordered(false).await {
            Err(error) if !is_duplicate(&error) => Err(self.explain(error)),
            _ => Ok(()),
        }
    }

    pub(super) async fn join(&self, member: &str, lease: Duration) -> Result<()> {
        let row = doc! {
            "_id": self.id("member", member),
            "beat": 0_i64,
            "leaseMs": i64::try_from(lease.as_millis()).unwrap_or(i64::MAX),
            "joinedAt": DateTime::now(),
            "host": host(),
            "pid": i64::from(std::process::id()),
        };
        self.rows.insert_one(row).await.map(drop).map_err(|error| self.explain(error))
    }

    /// False: the member is none any more.
    pub(super) async fn renew(&self, member: &str, progress: &Progress) -> Result<bool> {
        let mut set = doc! {"caughtUp": progress.caught_up, "busy": progress.busy.as_slice()};
        if let Some(read) = &progress.read {
            set.insert("read", read.to_document()?);
        }
        let change = doc! {"$inc": {"beat": 1_i64}, "$set": set, "$currentDate": {"seenAt": true}};
        let renewed = self.rows.update_one(doc! {"_id": self.id("member", member)}, change).await;
        Ok(renewed.map_err(|error| self.explain(error))?.matched_count > 0)
    }

    /// Says that a member takes no more partitions.
    pub(super) async fn leaving(&self, member: &str) -> Result<()> {
        let which = doc! {"_id": self.id("member", member)};
        let told = self.rows.update_one(which, doc! {"$set": {"leaving": true}}).await;
        told.map(drop).map_err(|error| self.explain(error))
    }

    /// Removes somebody who has not renewed since `beat`, and frees what it owned. False: it has renewed.
    pub(super) async fn expel(&self, member: &str, beat: Option<i64>) -> Result<bool> {
        if let Some(beat) = beat {
            let which = doc! {"_id": self.id("member", member), "beat": beat};
            let removed = self.rows.delete_one(which).await.map_err(|error| self.explain(error))?;
            if removed.deleted_count == 0 {
                return Ok(false);
            }
        }
        self.free(member).await.map(|()| true)
    }

    /// Removes a member that has stopped working.
    pub(super) async fn leave(&self, member: &str) -> Result<()> {
        let which = doc! {"_id": self.id("member", member)};
        self.rows.delete_one(which).await.map_err(|error| self.explain(error))?;
        self.free(member).await
    }

    async fn free(&self, member: &str) -> Result<()> {
        let mut which = self.all("partition");
        which.insert("owner", member);
        let freed = self.rows.update_many(which, doc! {"$set": {"owner": Bson::Null}}).await;
        freed.map(drop).map_err(|error| self.explain(error))
    }

    /// Partitions first: an owner that is seen there has joined before, so that it is also among the members, unless it
    /// has gone.
    pub(super) async fn look(&self, partitions: u32) -> Result<View> {
        let began = Instant::now();
        let mut owners = vec![Owned::default(); usize::try_from(partitions).unwrap_or(0)];
        for row in self.find(self.all("partition"), doc! {"partition": 1, "owner": 1, "epoch": 1}).await? {
            let number = row.get_i32("partition").ok().and_then(|number| usize::try_from(number).ok());
            if let Some(place) = number.and_then(|number| owners.get_mut(number)) {
                place.owner = row.get_str("owner").ok().map(str::to_owned);
                place.epoch = row.get_i64("epoch").unwrap_or(0);
            }
        }
        let rows = self.find(self.all("member"), doc! {"beat": 1, "leaseMs": 1, "leaving": 1}).await?;
        let prefix = self.id("member", "");
        let seen = rows.iter().filter_map(|row| {
            Some(Seen {
                id: row.get_str("_id").ok()?.strip_prefix(&prefix)?.to_owned(),
                beat: row.get_i64("beat").ok()?,
                lease: Duration::from_millis(u64::try_from(row.get_i64("leaseMs").ok()?).ok()?),
                leaving: row.get_bool("leaving").unwrap_or(false),
            })
        });
        Ok(View { began, partitions: owners, members: seen.collect() })
    }

    /// Takes partitions that are free, or that were the member's own already; gives those that it got.
    pub(super) async fn take(&self, member: &str, partitions: &[u32]) -> Result<Vec<Taken>> {
        let ids: Vec<String> = partitions.iter().map(|partition| self.partition(*partition)).collect();
        let which = doc! {"_id": {"$in": &ids}, "owner": {"$in": [Bson::Null, Bson::from(member)]}};
        let change = doc! {
            "$set": {"owner": member},
            "$inc": {"epoch": 1_i64},
            "$currentDate": {"ownedSince": true},
        };
        self.rows.update_many(which, change).await.map_err(|error| self.explain(error))?;
        let rows = self.find(doc! {"_id": {"$in": ids}, "owner": member}, Document::new()).await?;
        let taken = rows.iter().map(|row| {
            let damaged = |_| self.error("a partition's document cannot be read");
            let partition = row.get_i32("partition").map_err(damaged)?;
            Ok(Taken {
                partition: u32::try_from(partition).unwrap_or(0),
                epoch: row.get_i64("epoch").map_err(damaged)?,
                position: row.get_document("position").ok().map(Token::from_reply).transpose()?,
            })
        });
        taken.collect()
    }

    /// Saves positions; those of partitions that are another's by now are not.
    pub(super) async fn save(&self, member: &str, places: &[Place]) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let mut updates = Vec::new();
        for place in places {
            let mut set = Document::new();
            if let Some(position) = &place.position {
                set.insert("position", position.to_document()?);
            }
            if place.release {
                set.insert("owner", Bson::Null);
            }
            let mut change = doc! {"$currentDate": {"updatedAt": true}};
            if !set.is_empty() {
                change.insert("$set", set);
            }
            let which = doc! {"_id": self.partition(place.partition), "owner": member, "epoch": place.epoch};
            updates.push(doc! {"q": which, "u": change});
        }
        let command = doc! {
            "update": self.rows.name(),
            "updates": updates,
            "ordered": false,
            "writeConcern": {"w": "majority"},
        };
        let reply = self.database.run_command(command).await.map_err(|error| self.explain(error))?;
        let refused = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document());
        match refused.map(|refused| refused.get_str("errmsg").unwrap_or("?").to_owned()) {
            Some(reason) => Err(self.error(format!("a position could not be saved: {reason}"))),
            None => Ok(()),
        }
    }

    /// The servers' clock.
    pub(super) async fn now(&self) -> Result<DateTime> {
        let reply = self.database.run_command(doc! {"hello": 1}).await.map_err(|error| self.explain(error))?;
        Ok(reply.get_datetime("localTime").copied().unwrap_or_else(|_| DateTime::now()))
    }

    /// Every document of a kind, as it is.
    pub(super) async fn rows(&self, kind: &str) -> Result<Vec<Document>> {
        self.find(self.all(kind), Document::new()).await
    }

    /// The member's name in the key of its document.
    pub(super) fn member_of<'r>(&self, row: &'r Document) -> Option<&'r str> {
        row.get_str("_id").ok()?.strip_prefix(&self.id("member", ""))
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::Group { group: self.group.clone(), reason: reason.into() }
    }

    async fn find(&self, which: Document, fields: Document) -> Result<Vec<Document>> {
        let mut cursor = self.rows.find(which).projection(fields).await.map_err(|error| self.explain(error))?;
        let mut rows = Vec::new();
        while cursor.advance().await.map_err(|error| self.explain(error))? {
            rows.push(cursor.deserialize_current().map_err(|error| self.explain(error))?);
        }
        Ok(rows)
    }

    fn check(&self, found: &Document, wanted: &SourceId) -> Result<()> {
        let scope = found.get_str("scope").unwrap_or_default();
        let stages = found.get_array("pipeline").ok().into_iter().flatten();
        let pipeline: Vec<&str> = stages.filter_map(Bson::as_str).collect();
        let (what, found, wanted) = if scope != wanted.scope {
            ("scope", scope.to_owned(), wanted.scope.clone())
        } else if pipeline != wanted.pipeline {
            ("pipeline", format!("[{}]", pipeline.join(",")), format!("[{}]", wanted.pipeline.join(",")))
        } else {
            return Ok(());
        };
        let watcher = format!("the group {} in {}", self.group, self.rows.namespace());
        Err(Error::OtherWatch { watcher, what, found, wanted })
    }

    fn group_id(&self) -> String {
        format!("{}/group", self.group)
    }

    fn id(&self, kind: &str, name: &str) -> String {
        format!("{}/{kind}/{name}", self.group)
    }

    fn partition(&self, partition: u32) -> String {
        self.id("partition", &format!("{partition:04}"))
    }

    /// All documents of a kind: by the range of their keys, so that no other index is needed. `0` follows `/`.
    fn all(&self, kind: &str) -> Document {
        doc! {"_id": {"$gte": format!("{}/{kind}/", self.group), "$lt": format!("{}/{kind}0", self.group)}}
    }

    fn explain(&self, error: mongodb::error::Error) -> Error {
        self.connection.explain(error, &format!("the group {} in {}", self.group, self.rows.namespace()))
    }
}

impl View {
    pub(super) fn is_owned(&self, partition: u32, owner: &str, epoch: i64) -> bool {
        self.partition(partition).is_some_and(|row| row.owner.as_deref() == Some(owner) && row.epoch == epoch)
    }

    pub(super) fn epoch(&self, partition: u32) -> i64 {
        self.partition(partition).map_or(0, |row| row.epoch)
    }

    fn partition(&self, partition: u32) -> Option<&Owned> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    /// All whose renewals are worth watching: the other members, and owners that are no members.
    pub(super) fn watched(&self, me: &str, lease: Duration) -> Vec<Watched> {
        let others = self.members.iter().filter(|member| member.id != me);
        let mut watched: Vec<Watched> = others
            .map(|member| Watched { id: member.id.clone(), beat: Some(member.beat), lease: member.lease })
            .collect();
        for owner in self.partitions.iter().filter_map(|partition| partition.owner.as_deref()) {
            if owner != me && watched.iter().all(|watched| watched.id != owner) {
                watched.push(Watched { id: owner.to_owned(), beat: None, lease });
            }
        }
        watched
    }
}

/// The name of this machine, for people.
pub(super) fn host() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = told.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    told.map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}

fn is_duplicate(error: &mongodb::error::Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), .. }) => {
            errors.iter().all(|error| error.code == DUPLICATE_KEY)
        }
        _ => false,
    }
}
