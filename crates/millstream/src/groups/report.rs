//! Groups as text.

use millstream_watch::{GroupStatus, MemberStatus};
use serde_json::{Value, json};

use crate::parse::show_duration;
use crate::terminal::{columns, plain};

/// A row for each group.
pub(crate) fn list(groups: &[GroupStatus]) -> String {
    let mut rows = vec![["GROUP", "SCOPE", "MEMBERS", "PARTITIONS", "BEHIND"].map(str::to_owned).to_vec()];
    for group in groups {
        rows.push(vec![
            plain(&group.group),
            plain(&group.scope),
            group.members.len().to_string(),
            format!("{} of {} owned", group.owned(), group.partitions.len()),
            show_duration(group.lag()),
        ]);
    }
    columns(&rows)
}

/// One group: a line on it, and a row for each member.
pub(crate) fn show(group: &GroupStatus) -> String {
    let mut text = format!(
        "{} watches {}: {} of {} partitions owned, {} behind\n",
        plain(&group.group),
        plain(&group.scope),
        group.owned(),
        group.partitions.len(),
        show_duration(group.lag())
    );
    if group.members.is_empty() {
        return text + "nobody is in it now\n";
    }
    let mut rows = vec![["MEMBER", "HOST", "PROCESS", "PARTITIONS", "BEHIND", "SEEN"].map(str::to_owned).to_vec()];
    for member in &group.members {
        let leaving = if member.leaving { ", leaving" } else { "" };
        rows.push(vec![
            plain(&member.name),
            plain(&member.host),
            member.pid.to_string(),
            ranges(&member.partitions),
            show_duration(member.lag),
            format!("{} ago{leaving}", show_duration(member.silent_for)),
        ]);
    }
    text.push_str(&columns(&rows));
    text
}

/// One group as an object for a program.
pub(crate) fn json(group: &GroupStatus) -> Value {
    let member = |member: &MemberStatus| {
        json!({
            "name": member.name, "host": member.host, "pid": member.pid, "leaving": member.leaving,
            "silentSeconds": member.silent_for.as_secs_f64(), "lagSeconds": member.lag.as_secs_f64(),
            "partitions": member.partitions,
        })
    };
    let partitions: Vec<Value> = group
        .partitions
        .iter()
        .map(|partition| {
            json!({
                "partition": partition.fence.partition, "epoch": partition.fence.epoch, "owner": partition.owner,
                "lagSeconds": partition.lag.as_secs_f64(),
                "updatedAt": partition.updated.and_then(|at| at.try_to_rfc3339_string().ok()),
            })
        })
        .collect();
    json!({
        "group": group.group, "scope": group.scope, "lagSeconds": group.lag().as_secs_f64(),
        "createdAt": group.created.and_then(|at| at.try_to_rfc3339_string().ok()),
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
        "partitions": partitions,
    })
}

/// `0-3, 7`, of sorted numbers.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    let text = shown.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_a_range() {
        assert_eq!(ranges(&[0, 1, 2, 3, 7, 9, 10]), "0-3, 7, 9-10");
        assert_eq!(ranges(&[]), "none");
    }
}
