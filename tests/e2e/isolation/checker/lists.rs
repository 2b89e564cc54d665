//! Lists: what was appended is there once, in one order, and every read saw a beginning of that.

use std::collections::{HashMap, HashSet};

use super::facts::{Facts, Fate};
use super::graph::How;
use super::{Found, Name};
use crate::isolation::history::{Action, Key, Outcome};

/// How much of a list a transaction saw before its own writes.
type Bases<'a> = HashMap<(usize, &'a Key), usize>;

pub(super) fn look(found: &mut Found<'_>) {
    let facts = found.facts;
    for (list, values) in &facts.history.lists {
        last_state(found, list, values);
    }
    let mut bases = Bases::new();
    for (reader, transaction) in facts.history.transactions.iter().enumerate() {
        let mut own: HashMap<&Key, Vec<i64>> = HashMap::new();
        for (action, answered) in transaction.answered() {
            match action {
                Action::Append { list, value } => own.entry(list).or_default().push(*value),
                Action::Read { list, values } => {
                    let own = own.get(list).map_or(&[][..], Vec::as_slice);
                    let Some(others) = without_own(found, reader, list, values, own) else { continue };
                    if let Some(base) = read(found, reader, list, others, answered) {
                        bases.entry((reader, list)).or_insert(base);
                    }
                }
                _ => {}
            }
        }
    }
    orders(found, &bases);
    missing(found);
}

/// What is in a list in the end: every value once, from those that committed, each transaction's together.
fn last_state(found: &mut Found<'_>, list: &Key, values: &[i64]) {
    let facts = found.facts;
    let mut seen = HashSet::new();
    // Where each transaction's values ended, and which was the last.
    let mut ended: HashMap<usize, (usize, i64)> = HashMap::new();
    for (place, value) in values.iter().enumerate() {
        let Some((writer, of)) = facts.appenders.get(value) else {
            found.add(Name::FromNowhere, &[], list, format!("{list} has {value}, which nobody appended"));
            continue;
        };
        let label = facts.label(*writer);
        if *of != list {
            found.add(
                Name::FromNowhere,
                &[*writer],
                list,
                format!("{list} has {value}, which {label} appended to {of}"),
            );
        } else if !seen.insert(*value) {
            found.add(Name::DuplicateWrite, &[*writer], list, format!("{list} has {value} of {label} more than once"));
        } else if facts.fates[*writer] == Fate::Aborted {
            found.add(Name::AbortedWriteKept, &[*writer], list, format!("{list} has {value}, but {label} was aborted"));
        }
        if let Some((last, before)) = ended.insert(*writer, (place, *value)) {
            let between = facts.appenders.get(&values[place - 1]).map(|(writer, _)| *writer);
            if let (true, Some(between)) = (last + 1 != place, between) {
                let other = facts.label(between);
                let why = format!("{list} has values of {other} between {before} and {value} of {label}");
                found.add(Name::DirtyWrite, &[*writer, between], list, why);
            }
        }
    }
}

/// What a read shows of others; `None` if it does not end with what the reader had appended itself.
fn without_own<'v>(
    found: &mut Found<'_>,
    reader: usize,
    list: &Key,
    values: &'v [i64],
    own: &[i64],
) -> Option<&'v [i64]> {
    let others = values.strip_suffix(own);
    let clean = others.is_some_and(|others| others.iter().all(|value| !own.contains(value)));
    if !clean {
        let label = found.facts.label(reader);
        let why = format!("{label} had appended {own:?} to {list}, and did not see that at its end");
        found.add(Name::OwnWriteUnseen, &[reader], list, why);
    }
    others.filter(|_| clean)
}

/// Compares what a reader saw with what is there in the end; how long it was, if it is a beginning of that.
fn read(found: &mut Found<'_>, reader: usize, list: &Key, values: &[i64], answered: u64) -> Option<usize> {
    let facts = found.facts;
    let label = facts.label(reader);
    let mut whole = true;
    for value in values {
        let Some((writer, _)) = facts.appenders.get(value) else {
            found.add(
                Name::FromNowhere,
                &[reader],
                list,
                format!("{label} saw {value} in {list}, which nobody appended"),
            );
            return None;
        };
        let of = facts.label(*writer);
        if *writer == reader {
            let why = format!("{label} saw {value} in {list} before it appended that");
            found.add(Name::FromNowhere, &[reader], list, why);
            return None;
        }
        if facts.fates[*writer] == Fate::Aborted {
            let why = format!("{label} saw {value} of {of} in {list}, and {of} was never committed");
            found.add(Name::DirtyRead, &[reader, *writer], list, why);
            return None;
        }
        if facts.history.transactions[*writer].commit_sent.is_none_or(|sent| answered < sent) {
            let why = format!("{label} saw {value} of {of} in {list} before {of} was committed");
            found.add(Name::DirtyRead, &[reader, *writer], list, why);
            return None;
        }
        whole &= facts.places.contains_key(value);
    }
    let order = facts.history.lists.get(list).map_or(&[][..], Vec::as_slice);
    // What was seen and is gone is told of where the list's writers are looked at.
    let same = values.iter().zip(order).take_while(|(seen, last)| seen == last).count();
    if !whole || order.len() < values.len() {
        return None;
    }
    if same < values.len() {
        let ([seen, last], at) = ([values[same], order[same]], same);
        let writers = [seen, last].map(|value| facts.appenders.get(&value).map_or(reader, |(writer, _)| *writer));
        let why = format!("{label} saw {seen} at place {at} of {list}, where {last} is in the end");
        found.add(Name::IncompatibleOrder, &[reader, writers[0], writers[1]], list, why);
        return None;
    }
    edges(found, reader, list, order, values.len());
    Some(values.len())
}

/// What a read of the first `seen` values says.
fn edges(found: &mut Found<'_>, reader: usize, list: &Key, order: &[i64], seen: usize) {
    let facts = found.facts;
    let writer =
        |place: usize| order.get(place).and_then(|value| facts.appenders.get(value)).map(|(writer, _)| *writer);
    let (before, after) = (seen.checked_sub(1).and_then(writer), writer(seen));
    if let Some(before) = before {
        found.graph.saw(reader, before, list, How::Item);
    }
    match after {
        Some(after) if before == Some(after) => {
            let (label, of) = (facts.label(reader), facts.label(after));
            let why = format!("{label} saw {} of {of} in {list} and not {}", order[seen - 1], order[seen]);
            found.add(Name::IntermediateRead, &[reader, after], list, why);
        }
        Some(after) if after != reader && facts.is_committed(after) => {
            found.graph.missed(reader, after, list, How::Item);
        }
        _ => {}
    }
}

/// Of two that wrote to a list, the later has seen the earlier.
fn orders(found: &mut Found<'_>, bases: &Bases<'_>) {
    let facts = found.facts;
    for (list, values) in &facts.history.lists {
        let mut writers: Vec<usize> = Vec::new();
        for (writer, _) in values.iter().filter_map(|value| facts.appenders.get(value)) {
            if facts.is_committed(*writer) && writers.last() != Some(writer) {
                writers.push(*writer);
            }
        }
        for pair in writers.windows(2) {
            found.graph.wrote(pair[0], pair[1], list);
        }
        for writer in writers {
            // The first that it did not see may be further away.
            let first = bases.get(&(writer, list)).and_then(|base| values.get(*base));
            if let Some((unseen, _)) = first.and_then(|value| facts.appenders.get(value))
                && *unseen != writer
                && facts.is_committed(*unseen)
                && first_place(facts, list, writer) > first_place(facts, list, *unseen)
            {
                found.graph.wrote(*unseen, writer, list);
            }
        }
    }
}

fn first_place(facts: &Facts<'_>, list: &Key, writer: usize) -> Option<usize> {
    let steps = &facts.history.transactions[writer].steps;
    let places = steps.iter().filter_map(|step| match &step.action {
        Action::Append { list: of, value } if of == list => facts.places.get(value).copied(),
        _ => None,
    });
    places.min()
}

/// What was committed is there in the end.
fn missing(found: &mut Found<'_>) {
    let facts = found.facts;
    for (writer, transaction) in facts.history.transactions.iter().enumerate() {
        if !facts.is_committed(writer) {
            continue;
        }
        for step in &transaction.steps {
            let Action::Append { list, value } = &step.action else { continue };
            if facts.places.contains_key(value) {
                continue;
            }
            let label = facts.label(writer);
            let gone = format!("{label} appended {value} to {list}, and it is not there in the end");
            if transaction.outcome == Outcome::Unknown {
                let why = format!("{gone}, though another of its writes is");
                found.add(Name::TornTransaction, &[writer], list, why);
            } else if let Some(other) = overwriter(facts, writer, list) {
                let why = format!("{gone}: {} wrote over it without having seen it", facts.label(other));
                found.add(Name::LostUpdate, &[writer, other], list, why);
            } else {
                found.add(Name::LostWrite, &[writer], list, gone);
            }
        }
    }
}

/// Who began before the lost write was there, and wrote to the list after it: the first of those that are still there.
fn overwriter(facts: &Facts<'_>, writer: usize, list: &Key) -> Option<usize> {
    let all = &facts.history.transactions;
    let lost = &all[writer];
    let order = facts.history.lists.get(list)?;
    let others = order.iter().filter_map(|value| facts.appenders.get(value)).map(|(other, _)| *other);
    let after = |other: &usize| {
        let other = &all[*other];
        let later = match (other.log_time, lost.log_time) {
            (Some(other), Some(lost)) => other > lost,
            _ => Some(other.ended) > lost.commit_sent,
        };
        later && other.began() < lost.ended
    };
    others.filter(|other| *other != writer).filter(after).min_by_key(|other| all[*other].ended)
}
