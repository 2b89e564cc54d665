//! Groups: documents that come and go, and predicate reads that see all of them or a part.

use std::collections::HashSet;

use super::facts::{Facts, Fate, Member};
use super::graph::How;
use super::{Found, Name};
use crate::isolation::history::{Action, Key, Outcome, ReadsAt};

/// A transaction, and what it had done by itself before a read.
struct Reader {
    number: usize,
    inserted: HashSet<i64>,
    deleted: HashSet<i64>,
    /// Whose writes it saw for sure.
    saw: HashSet<usize>,
}

pub(super) fn look(found: &mut Found<'_>) {
    let facts = found.facts;
    for (number, transaction) in facts.history.transactions.iter().enumerate() {
        let saw = transaction.answered().flat_map(|(action, _)| writers_seen(facts, action)).collect();
        let mut reader = Reader { number, inserted: HashSet::new(), deleted: HashSet::new(), saw };
        for (action, answered) in transaction.answered() {
            match action {
                Action::Insert { member, .. } => {
                    reader.inserted.insert(*member);
                }
                Action::Delete { group, member, found: true } => {
                    present(found, &reader, group, *member, How::Item, answered);
                    reader.deleted.insert(*member);
                }
                Action::Delete { group, member, found: false } => absent(found, &reader, group, *member, How::Item),
                Action::Members { group, members } => predicate(found, &reader, group, members, answered),
                Action::Append { .. } | Action::Read { .. } | Action::Touch { .. } => {}
            }
        }
    }
    for (group, members) in &facts.groups {
        for member in members {
            last_state(found, group, *member, &facts.members[member]);
        }
    }
    for (group, members) in &facts.history.groups {
        for member in members.iter().filter(|member| !facts.members.contains_key(member)) {
            found.add(Name::FromNowhere, &[], group, format!("{group} has {member}, which nobody inserted"));
        }
    }
}

fn writers_seen(facts: &Facts<'_>, action: &Action) -> Vec<usize> {
    let inserter = |member: &i64| facts.members.get(member).map(|member| member.inserter);
    match action {
        Action::Read { values, .. } => {
            values.iter().filter_map(|value| facts.appenders.get(value)).map(|(writer, _)| *writer).collect()
        }
        Action::Members { members, .. } => members.iter().filter_map(inserter).collect(),
        Action::Delete { member, found: true, .. } => inserter(member).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn predicate(found: &mut Found<'_>, reader: &Reader, group: &Key, members: &[i64], answered: u64) {
    let facts = found.facts;
    let seen: HashSet<i64> = members.iter().copied().collect();
    if seen.len() < members.len() {
        let why = format!("{} saw a document twice in one read of {group}", facts.label(reader.number));
        found.add(Name::DuplicateWrite, &[reader.number], group, why);
    }
    for member in members {
        present(found, reader, group, *member, How::Predicate, answered);
    }
    for member in facts.groups.get(group).into_iter().flatten().filter(|member| !seen.contains(member)) {
        absent(found, reader, group, *member, How::Predicate);
    }
}

/// The reader saw a document.
fn present(found: &mut Found<'_>, reader: &Reader, group: &Key, id: i64, how: How, answered: u64) {
    let facts = found.facts;
    let label = facts.label(reader.number);
    if reader.deleted.contains(&id) {
        let why = format!("{label} saw {id} in {group} after it had deleted it");
        found.add(Name::OwnWriteUnseen, &[reader.number], group, why);
        return;
    }
    if reader.inserted.contains(&id) {
        return;
    }
    let Some(member) = facts.members.get(&id).filter(|member| member.group == group) else {
        found.add(Name::FromNowhere, &[reader.number], group, format!("{label} saw {id} in {group}"));
        return;
    };
    let inserter = member.inserter;
    let of = facts.label(inserter);
    let sent = facts.history.transactions[inserter].commit_sent;
    match facts.fates[inserter] {
        Fate::Unclear => {}
        Fate::Aborted => {
            let why = format!("{label} saw {id} of {of} in {group}, and {of} was never committed");
            found.add(Name::DirtyRead, &[reader.number, inserter], group, why);
        }
        Fate::Committed if sent.is_none_or(|sent| answered < sent) => {
            let why = format!("{label} saw {id} of {of} in {group} before {of} was committed");
            found.add(Name::DirtyRead, &[reader.number, inserter], group, why);
        }
        Fate::Committed => found.graph.saw(reader.number, inserter, group, how),
    }
    for deleter in facts.deleters(member).into_iter().flatten().filter(|deleter| *deleter != reader.number) {
        found.graph.missed(reader.number, deleter, group, how);
    }
}

/// The reader did not see a document: it came too early for it, or too late.
fn absent(found: &mut Found<'_>, reader: &Reader, group: &Key, id: i64, how: How) {
    let facts = found.facts;
    if reader.deleted.contains(&id) {
        return;
    }
    if reader.inserted.contains(&id) {
        let why = format!("{} did not see {id} in {group} after it had inserted it", facts.label(reader.number));
        found.add(Name::OwnWriteUnseen, &[reader.number], group, why);
        return;
    }
    let Some(member) = facts.members.get(&id).filter(|member| member.group == group) else { return };
    // What it inserts itself, later, is not there yet.
    if !facts.is_committed(member.inserter) || member.inserter == reader.number {
        return;
    }
    match facts.deleters(member).as_deref() {
        Some([]) => found.graph.missed(reader.number, member.inserter, group, how),
        Some([deleter]) if *deleter != reader.number && came_after(facts, reader, member.inserter) => {
            found.graph.saw(reader.number, *deleter, group, how);
        }
        // Early or late, nobody can say.
        _ => {}
    }
}

/// Whether the reader's snapshot has what another transaction did.
fn came_after(facts: &Facts<'_>, reader: &Reader, other: usize) -> bool {
    let before = &facts.history.transactions[other];
    let reads = &facts.history.transactions[reader.number];
    let at_once = !matches!(reads.reads_at, Some(ReadsAt::Asked(_)));
    reader.saw.contains(&other) || (at_once && before.outcome == Outcome::Committed && before.ended < reads.began())
}

/// What was inserted is there in the end unless it was deleted, and what was deleted is gone.
fn last_state(found: &mut Found<'_>, group: &Key, id: i64, member: &Member<'_>) {
    let facts = found.facts;
    let inserter = member.inserter;
    let here = facts.present.contains(&id);
    let of = facts.label(inserter);
    let Some(deleters) = facts.deleters(member) else { return };
    match (facts.fates[inserter], here) {
        (Fate::Aborted, true) => {
            found.add(Name::AbortedWriteKept, &[inserter], group, format!("{group} has {id}, but {of} was aborted"));
        }
        (Fate::Committed, false) if deleters.is_empty() => {
            let why = format!("{of} inserted {id} into {group}, nobody deleted it, and it is not there in the end");
            let acknowledged = facts.history.transactions[inserter].outcome == Outcome::Committed;
            let name = if acknowledged { Name::LostWrite } else { Name::TornTransaction };
            found.add(name, &[inserter], group, why);
        }
        (_, true) => {
            for deleter in &deleters {
                let why = format!("{} deleted {id} of {group}, and it is there in the end", facts.label(*deleter));
                let acknowledged = facts.history.transactions[*deleter].outcome == Outcome::Committed;
                let name = if acknowledged { Name::LostWrite } else { Name::TornTransaction };
                found.add(name, &[*deleter], group, why);
            }
        }
        _ => {}
    }
    if let [first, second, ..] = deleters.as_slice() {
        let why = format!("{} and {} both deleted {id} of {group}", facts.label(*first), facts.label(*second));
        found.add(Name::LostUpdate, &[*first, *second], group, why);
    }
}
