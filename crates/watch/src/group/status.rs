//! How a group is doing: read from its documents, by anybody who may read them.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{DateTime, Document};

use super::coordination::Coordination;
use super::{Fence, Group};
use crate::{Connection, Result, Token};

/// A group at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupStatus {
    /// Its name.
    pub group: String,
    /// What it watches, in words.
    pub scope: String,
    /// When it was founded.
    pub created: Option<DateTime>,
    /// The servers' clock.
    pub now: DateTime,
    /// Those who are there, by name.
    pub members: Vec<MemberStatus>,
    /// All partitions, by number.
    pub partitions: Vec<PartitionStatus>,
}

/// One member.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// The machine that it runs on.
    pub host: String,
    /// Its process there.
    pub pid: i64,
    /// When it came.
    pub joined: Option<DateTime>,
    /// How long ago it renewed its lease.
    pub silent_for: Duration,
    /// Whether it is about to go.
    pub leaving: bool,
    /// What it has.
    pub partitions: Vec<u32>,
    /// The largest lag of its partitions.
    pub lag: Duration,
}

/// One partition.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionStatus {
    /// Its number and its fencing number.
    pub fence: Fence,
    /// The member that has it.
    pub owner: Option<String>,
    /// Everything up to here was dealt with. None: nothing yet since the group's beginning.
    pub position: Option<Token>,
    /// When that was saved.
    pub updated: Option<DateTime>,
    /// How old the first change may be that was not dealt with, give or take a second; zero if there is none.
    pub lag: Duration,
}

impl GroupStatus {
    /// Reads it. None: there is no such group.
    ///
    /// # Errors
    /// What keeps the documents from being read.
    pub async fn read(connection: &Connection, database: &str, group: &str) -> Result<Option<Self>> {
        Self::of(connection, &Group::new(group, database)).await
    }

    /// The same, for a group with a collection of its own.
    ///
    /// # Errors
    /// As [`GroupStatus::read`].
    pub async fn of(connection: &Connection, group: &Group) -> Result<Option<Self>> {
        let coordination = Coordination::new(connection, group);
        let Some(founding) = coordination.group().await? else { return Ok(None) };
        let rows = coordination.rows("partition").await?;
        let members = coordination.rows("member").await?;
        let now = coordination.now().await?;
        let created = founding.get_datetime("createdAt").ok().copied();
        let members: BTreeMap<&str, &Document> =
            members.iter().filter_map(|row| Some((coordination.member_of(row)?, row))).collect();
        let partitions: Vec<PartitionStatus> =
            rows.iter().map(|row| partition(row, &members, now, created)).collect::<Result<_>>()?;
        let members = members.iter().map(|(name, row)| member(name, row, &partitions, now)).collect();
        Ok(Some(Self {
            group: group.name.clone(),
            scope: founding.get_str("scope").unwrap_or_default().to_owned(),
            created,
            now,
            members,
            partitions,
        }))
    }

    /// The largest lag of all partitions.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.partitions.iter().map(|partition| partition.lag).max().unwrap_or_default()
    }

    /// How many partitions have an owner.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.partitions.iter().filter(|partition| partition.owner.is_some()).count()
    }
}

fn partition(
    row: &Document,
    members: &BTreeMap<&str, &Document>,
    now: DateTime,
    created: Option<DateTime>,
) -> Result<PartitionStatus> {
    let number = row.get_i32("partition").unwrap_or(0);
    let position = row.get_document("position").ok().map(Token::from_reply).transpose()?;
    let owner = row.get_str("owner").ok().map(str::to_owned);
    let worker = owner.as_deref().and_then(|owner| members.get(owner).copied());
    // A partition with nothing under way is where its owner's stream is, though that is rarely saved.
    let is_busy = |worker: &Document| {
        let busy = worker.get_array("busy").ok().into_iter().flatten();
        busy.into_iter()
            .any(|partition| partition.as_i64() == Some(i64::from(number)) || partition.as_i32() == Some(number))
    };
    let idle = worker.filter(|worker| !is_busy(worker));
    let read = idle.and_then(|worker| Token::from_reply(worker.get_document("read").ok()?).ok());
    let time = [&position, &read].into_iter().filter_map(|token| token.as_ref()?.time()).max();
    let caught_up = idle.is_some_and(|worker| worker.get_bool("caughtUp").unwrap_or(false));
    let since = time.map(|time| DateTime::from_millis(i64::from(time.time) * 1000)).or(created);
    let lag = if caught_up { Duration::ZERO } else { since.map(|since| between(since, now)).unwrap_or_default() };
    Ok(PartitionStatus {
        fence: Fence { partition: u32::try_from(number).unwrap_or(0), epoch: row.get_i64("epoch").unwrap_or(0) },
        owner,
        position,
        updated: row.get_datetime("updatedAt").ok().copied(),
        lag,
    })
}

fn member(name: &str, row: &Document, partitions: &[PartitionStatus], now: DateTime) -> MemberStatus {
    let own = || partitions.iter().filter(|partition| partition.owner.as_deref() == Some(name));
    let joined = row.get_datetime("joinedAt").ok().copied();
    let seen = row.get_datetime("seenAt").ok().copied().or(joined);
    MemberStatus {
        name: name.to_owned(),
        host: row.get_str("host").unwrap_or_default().to_owned(),
        pid: row.get_i64("pid").unwrap_or(0),
        joined,
        silent_for: seen.map(|seen| between(seen, now)).unwrap_or_default(),
        leaving: row.get_bool("leaving").unwrap_or(false),
        partitions: own().map(|partition| partition.fence.partition).collect(),
        lag: own().map(|partition| partition.lag).max().unwrap_or_default(),
    }
}

fn between(since: DateTime, now: DateTime) -> Duration {
    let ms = now.timestamp_millis().saturating_sub(since.timestamp_millis());
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
