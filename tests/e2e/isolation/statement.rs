//! What clients send, and what the answers say.

use std::collections::HashMap;

use bson::{Document, doc};
use mongodb::error::{Error, Result as Answer};
use mongodb::options::ReturnDocument;
use mongodb::{ClientSession, Collection};

use super::history::{Action, Key};

/// Batches of reads inside transactions are small, so that they take several.
const BATCH: u32 = 3;

#[derive(Clone, Debug)]
pub(super) enum Statement {
    Append {
        list: Key,
        value: i64,
    },
    AppendAndRead {
        list: Key,
        value: i64,
    },
    Read {
        list: Key,
    },
    ReadSeveral {
        lists: Vec<Key>,
    },
    Insert {
        group: Key,
        members: Vec<i64>,
    },
    Delete {
        group: Key,
        member: i64,
    },
    Members {
        group: Key,
        how: How,
    },
    /// Writes to all documents of a group.
    Touch {
        group: Key,
    },
    /// Reads a group and deletes it.
    Clear {
        group: Key,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Find,
    Aggregate,
    Distinct,
}

impl Statement {
    /// What it may have done where there is no answer.
    pub(super) fn intended(&self) -> Vec<Action> {
        match self.clone() {
            Self::Append { list, value } | Self::AppendAndRead { list, value } => vec![Action::Append { list, value }],
            Self::Insert { group, members } => inserts(&group, &members),
            Self::Delete { group, member } => vec![Action::Delete { group, member, found: false }],
            Self::Read { list } => vec![Action::Read { list, values: Vec::new() }],
            Self::ReadSeveral { lists } => {
                lists.into_iter().map(|list| Action::Read { list, values: Vec::new() }).collect()
            }
            Self::Touch { group } => vec![Action::Touch { group }],
            Self::Members { group, .. } | Self::Clear { group } => vec![Action::Members { group, members: Vec::new() }],
        }
    }

    pub(super) async fn perform(
        &self,
        lists: &Collection<Document>,
        groups: &Collection<Document>,
        mut session: Option<&mut ClientSession>,
    ) -> Answer<Vec<Action>> {
        match self.clone() {
            Self::Append { list, value } => {
                let push = doc! {"$push": {"values": value}};
                let update = lists.update_one(doc! {"_id": &list}, push).upsert(true);
                match session {
                    Some(session) => update.session(session).await?,
                    None => update.await?,
                };
                Ok(vec![Action::Append { list, value }])
            }
            Self::AppendAndRead { list, value } => {
                let push = doc! {"$push": {"values": value}};
                let change = lists.find_one_and_update(doc! {"_id": &list}, push).upsert(true);
                let change = change.return_document(ReturnDocument::After);
                let changed = match session {
                    Some(session) => change.session(session).await?,
                    None => change.await?,
                };
                let values = changed.as_ref().map(values).unwrap_or_default();
                Ok(vec![Action::Append { list: list.clone(), value }, Action::Read { list, values }])
            }
            Self::Read { list } => {
                let find = lists.find_one(doc! {"_id": &list});
                let found = match session {
                    Some(session) => find.session(session).await?,
                    None => find.await?,
                };
                Ok(vec![Action::Read { list, values: found.as_ref().map(values).unwrap_or_default() }])
            }
            Self::ReadSeveral { lists: wanted } => {
                let found = find(lists, doc! {"_id": {"$in": &wanted}}, &mut session).await?;
                let id = |found: &Document| found.get_str("_id").expect("a name").to_owned();
                let mut found: HashMap<Key, Vec<i64>> = found.iter().map(|found| (id(found), values(found))).collect();
                let read = |list: Key| Action::Read { values: found.remove(&list).unwrap_or_default(), list };
                Ok(wanted.into_iter().map(read).collect())
            }
            Self::Insert { group, members } => {
                let documents = members.iter().map(|member| doc! {"_id": member, "group": &group});
                let insert = groups.insert_many(documents);
                match session {
                    Some(session) => insert.session(session).await?,
                    None => insert.await?,
                };
                Ok(inserts(&group, &members))
            }
            Self::Delete { group, member } => {
                let delete = groups.delete_one(doc! {"_id": member, "group": &group});
                let deleted = match session {
                    Some(session) => delete.session(session).await?,
                    None => delete.await?,
                };
                Ok(vec![Action::Delete { group, member, found: deleted.deleted_count == 1 }])
            }
            Self::Members { group, how } => {
                let members = members(groups, &group, how, &mut session).await?;
                Ok(vec![Action::Members { group, members }])
            }
            Self::Touch { group } => {
                let session = session.expect("a transaction");
                let touch = doc! {"$inc": {"touched": 1}};
                groups.update_many(doc! {"group": &group}, touch).session(session).await?;
                Ok(vec![Action::Touch { group }])
            }
            Self::Clear { group } => {
                let members = members(groups, &group, How::Find, &mut session).await?;
                let session = session.expect("a transaction");
                let deleted = groups.delete_many(doc! {"group": &group}).session(session).await?.deleted_count;
                if deleted != members.len() as u64 {
                    return Err(Error::custom(format!("saw {members:?} in {group} and deleted {deleted}")));
                }
                let read = Action::Members { group: group.clone(), members: members.clone() };
                let delete = |member: i64| Action::Delete { group: group.clone(), member, found: true };
                Ok(std::iter::once(read).chain(members.into_iter().map(delete)).collect())
            }
        }
    }
}

fn inserts(group: &Key, members: &[i64]) -> Vec<Action> {
    members.iter().map(|member| Action::Insert { group: group.clone(), member: *member }).collect()
}

/// The values of a list's document.
pub(super) fn values(list: &Document) -> Vec<i64> {
    let values = list.get_array("values").expect("a list");
    values.iter().map(|value| value.as_i64().expect("a value")).collect()
}

/// All that a find finds; inside a transaction in several batches.
async fn find(
    collection: &Collection<Document>,
    filter: Document,
    session: &mut Option<&mut ClientSession>,
) -> Answer<Vec<Document>> {
    let mut found = Vec::new();
    match session {
        Some(session) => {
            let mut cursor = collection.find(filter).batch_size(BATCH).session(&mut **session).await?;
            while let Some(document) = cursor.next(session).await {
                found.push(document?);
            }
        }
        None => {
            let mut cursor = collection.find(filter).await?;
            while cursor.advance().await? {
                found.push(cursor.deserialize_current()?);
            }
        }
    }
    Ok(found)
}

async fn members(
    groups: &Collection<Document>,
    group: &Key,
    how: How,
    session: &mut Option<&mut ClientSession>,
) -> Answer<Vec<i64>> {
    let filter = doc! {"group": group};
    let id = |found: &Document| found.get_i64("_id").expect("a member");
    match how {
        How::Find => Ok(find(groups, filter, session).await?.iter().map(id).collect()),
        How::Distinct => {
            let distinct = groups.distinct("_id", filter);
            let found = match session {
                Some(session) => distinct.session(&mut **session).await?,
                None => distinct.await?,
            };
            Ok(found.iter().map(|id| id.as_i64().expect("a member")).collect())
        }
        How::Aggregate => {
            let stages = [doc! {"$match": filter}, doc! {"$group": {"_id": null, "members": {"$push": "$_id"}}}];
            let aggregate = groups.aggregate(stages);
            let row = match session {
                Some(session) => {
                    let mut cursor = aggregate.session(&mut **session).await?;
                    cursor.next(session).await.transpose()?
                }
                None => {
                    let mut cursor = aggregate.await?;
                    if cursor.advance().await? { Some(cursor.deserialize_current()?) } else { None }
                }
            };
            let members = row.map(|row| row.get_array("members").expect("the members").clone()).unwrap_or_default();
            Ok(members.iter().map(|member| member.as_i64().expect("a member")).collect())
        }
    }
}
