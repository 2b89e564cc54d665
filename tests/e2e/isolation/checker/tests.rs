//! Histories written by hand. A line is a step, in the order in which they were sent and answered:
//! `<transaction> append x 1`, `read x 1 2`, `insert g 7`, `delete g 7`, `miss g 7` (a delete that found nothing),
//! `members g 7 8`, `commit`, `abort`, `lost` (a commit without an answer), `commits` (one that is sent, and answered later
//! by `commit`). Lists are called `x` to `z`, groups `g` to `h`. `a: append x 1` is a statement outside of transactions,
//! `at a 7` says that one reads at this time of the log; `end x 1 2` and `end g 7` say what is there at the end.

mod simulated;

use std::collections::BTreeSet;

use super::{Name, Report, check};
use crate::isolation::history::{Action, History, Outcome, ReadsAt, Step, Transaction};

const MILLISECOND: usize = 1_000_000;

fn history(text: &str) -> History {
    let mut history = History::default();
    let mut names: Vec<String> = Vec::new();
    for (line, now) in text.lines().map(str::trim).filter(|line| !line.is_empty()).zip((0..).step_by(10 * MILLISECOND))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers = |from: usize| -> Vec<i64> { words[from..].iter().map(|word| word.parse().unwrap()).collect() };
        if let ["at", name, time] = words[..] {
            // Of a transaction that has begun.
            let number = names.iter().position(|known| known == name).unwrap();
            history.transactions[number].reads_at = Some(ReadsAt::Asked(time.parse().unwrap()));
            continue;
        }
        if words[0] == "end" {
            let state = if words[1] < "i" { &mut history.groups } else { &mut history.lists };
            state.insert(words[1].to_owned(), numbers(2));
            continue;
        }
        let (name, alone) = words[0].strip_suffix(':').map_or((words[0], false), |name| (name, true));
        let number = names.iter().position(|known| known == name).unwrap_or_else(|| {
            let transaction = Transaction {
                client: names.len() + 1,
                number: 1,
                steps: Vec::new(),
                commit_sent: None,
                ended: 0,
                outcome: Outcome::Aborted,
                log_time: None,
                reads_at: None,
            };
            history.transactions.push(transaction);
            names.push(name.to_owned());
            names.len() - 1
        });
        let transaction = &mut history.transactions[number];
        let key = words.get(2).map(|word| (*word).to_owned()).unwrap_or_default();
        let action = match words[1] {
            "append" => Action::Append { list: key, value: numbers(3)[0] },
            "read" => Action::Read { list: key, values: numbers(3) },
            "insert" => Action::Insert { group: key, member: numbers(3)[0] },
            "delete" => Action::Delete { group: key, member: numbers(3)[0], found: true },
            "miss" => Action::Delete { group: key, member: numbers(3)[0], found: false },
            "members" => Action::Members { group: key, members: numbers(3) },
            "commits" => {
                transaction.commit_sent = Some(now);
                continue;
            }
            "commit" | "abort" | "lost" => {
                transaction.outcome = match words[1] {
                    "commit" => Outcome::Committed,
                    "lost" => Outcome::Unknown,
                    _ => Outcome::Aborted,
                };
                transaction.commit_sent = transaction.commit_sent.or((words[1] != "abort").then_some(now));
                transaction.ended = now + MILLISECOND as u64;
                // `commit 5` says its time in the log.
                transaction.log_time = words.get(2).map(|time| time.parse().unwrap());
                continue;
            }
            other => panic!("{other}"),
        };
        transaction.steps.push(Step { sent: now, answered: Some(now + MILLISECOND as u64), action });
        transaction.ended = now + MILLISECOND as u64;
        if alone {
            transaction.commit_sent = Some(now);
            transaction.outcome = Outcome::Committed;
        }
    }
    history
}

/// What is left of a history without some transactions: as if what they wrote or deleted had never been.
fn without(history: &History, removed: &BTreeSet<usize>) -> History {
    let mut gone = BTreeSet::new();
    let mut rest = History::default();
    for (number, transaction) in history.transactions.iter().enumerate() {
        if !removed.contains(&number) {
            rest.transactions.push(transaction.clone());
            continue;
        }
        gone.extend(transaction.steps.iter().filter_map(|step| match step.action {
            Action::Append { value, .. } => Some(value),
            Action::Insert { member, .. } | Action::Delete { member, found: true, .. } => Some(member),
            _ => None,
        }));
    }
    for transaction in &mut rest.transactions {
        transaction.steps.retain(|step| match step.action {
            Action::Insert { member, .. } | Action::Delete { member, .. } => !gone.contains(&member),
            _ => true,
        });
    }
    let kept = |values: &Vec<i64>| values.iter().copied().filter(|value| !gone.contains(value)).collect::<Vec<i64>>();
    for step in rest.transactions.iter_mut().flat_map(|transaction| &mut transaction.steps) {
        match &mut step.action {
            Action::Read { values, .. } => *values = kept(values),
            Action::Members { members, .. } => *members = kept(members),
            _ => {}
        }
    }
    rest.lists = history.lists.iter().map(|(list, values)| (list.clone(), kept(values))).collect();
    rest.groups = history.groups.iter().map(|(group, members)| (group.clone(), kept(members))).collect();
    rest
}

/// Finds exactly this name; the transactions that are shown are enough to show it, and none can be left out.
fn finds(name: Name, text: &str) -> Report {
    let history = history(text);
    let report = check(&history);
    let names: BTreeSet<Name> = report.anomalies.iter().map(|anomaly| anomaly.name).collect();
    assert_eq!(names, BTreeSet::from([name]), "{}", report.text(&history));
    let first = &report.anomalies[0];
    let shown: BTreeSet<usize> = first.transactions.iter().copied().collect();
    // What they delete must have been made.
    let deletes = |member: i64| {
        let steps = first.transactions.iter().flat_map(|one| &history.transactions[*one].steps);
        steps.clone().any(|step| matches!(step.action, Action::Delete { member: deleted, .. } if deleted == member))
    };
    let needed = |number: &usize| {
        let steps = &history.transactions[*number].steps;
        shown.contains(number)
            || steps.iter().any(|step| matches!(step.action, Action::Insert { member, .. } if deletes(member)))
    };
    let others: BTreeSet<usize> = (0..history.transactions.len()).filter(|number| !needed(number)).collect();
    let has = |removed: &BTreeSet<usize>| {
        check(&without(&history, removed)).anomalies.iter().any(|anomaly| anomaly.name == name)
    };
    assert!(has(&others), "these are not enough:\n{}", first.story(&history));
    for one in &shown {
        let mut fewer = others.clone();
        fewer.insert(*one);
        assert!(!has(&fewer), "transaction {one} can be left out:\n{}", first.story(&history));
    }
    report
}

fn is_clean(text: &str) -> Report {
    let history = history(text);
    let report = check(&history);
    assert!(report.anomalies.is_empty(), "{}", report.text(&history));
    report
}

#[test]
fn one_after_the_other_is_clean() {
    let report = is_clean(
        "a append x 1
         a commit
         b read x 1
         b append x 2
         b append y 3
         b read x 1 2
         b commit
         c: append x 4
         d read x 1 2 4
         d read y 3
         d commit
         end x 1 2 4
         end y 3",
    );
    assert_eq!((report.committed, report.write_skews.len()), (4, 0));
}

#[test]
fn a_snapshot_stays_as_it_was() {
    is_clean(
        "a append x 1
         a insert g 7
         a commit
         b read x 1
         c append x 2
         c delete g 7
         c insert g 8
         c commit
         b read x 1
         b members g 7
         b commit
         end x 1 2
         end g 8",
    );
}

#[test]
fn write_skew_is_said_and_allowed() {
    let report = is_clean(
        "a read x
         b read y
         a append y 1
         b append x 2
         a commit
         b commit
         end x 2
         end y 1",
    );
    assert_eq!(report.write_skews.len(), 1);
    assert_eq!(report.write_skews[0].name, Name::WriteSkew);
    assert_eq!(report.write_skews[0].transactions, [0, 1]);
}

#[test]
fn write_skew_over_predicates_is_allowed_too() {
    let report = is_clean(
        "a members g
         b members g
         a insert g 1
         b insert g 2
         a commit
         b commit
         end g 1 2",
    );
    assert_eq!(report.write_skews.len(), 1);
}

#[test]
fn no_answer_and_all_of_it_there_is_clean_and_so_is_nothing() {
    let report = is_clean(
        "a append x 1
         a append y 2
         a lost
         b append x 3
         b append y 4
         b lost
         c read x 1
         c insert g 5
         c delete g 5
         c lost
         end x 1
         end y 2",
    );
    assert_eq!(report.unanswered, 3);
}

#[test]
fn a_document_that_came_and_went_is_seen_by_nobody_in_particular() {
    is_clean(
        "a insert g 1
         b members g
         a commit
         c delete g 1
         d members g 1
         c commit
         e members g
         e miss g 1
         b commit
         d commit
         e commit
         end g",
    );
}

#[test]
fn a_value_that_was_aborted_is_a_dirty_read() {
    finds(
        Name::DirtyRead,
        "a append x 1
         b read x 1
         b commit
         a abort
         end x",
    );
}

#[test]
fn a_value_that_was_committed_later_is_a_dirty_read() {
    finds(
        Name::DirtyRead,
        "a insert g 1
         b members g 1
         a commit
         b commit
         end g 1",
    );
}

#[test]
fn an_aborted_reader_counts() {
    finds(
        Name::DirtyRead,
        "a append x 1
         b read x 1
         a abort
         b abort
         end x",
    );
}

#[test]
fn an_aborted_write_that_is_there_is_found() {
    finds(
        Name::AbortedWriteKept,
        "a append x 1
         a abort
         end x 1",
    );
}

#[test]
fn half_of_a_transaction_in_one_list_is_an_intermediate_read() {
    finds(
        Name::IntermediateRead,
        "a append x 1
         a append x 2
         a commit
         b read x 1
         b commit
         end x 1 2",
    );
}

#[test]
fn values_among_those_of_another_are_a_dirty_write() {
    finds(
        Name::DirtyWrite,
        "a append x 1
         b append x 2
         b commit
         a append x 3
         a commit
         end x 1 2 3",
    );
}

#[test]
fn two_that_read_the_same_version_and_both_wrote_are_a_lost_update() {
    finds(
        Name::LostUpdate,
        "z append x 9
         z commit
         a read x 9
         b read x 9
         a append x 1
         a commit
         b append x 2
         b commit
         end x 9 1 2",
    );
}

#[test]
fn a_lost_update_is_found_behind_others() {
    let report = finds(
        Name::LostUpdate,
        "a read x
         b: append x 1
         c: append x 2
         d: append x 3
         a append x 4
         a commit
         end x 1 2 3 4",
    );
    assert_eq!(report.anomalies[0].transactions, [0, 1]);
}

#[test]
fn an_update_that_was_written_over_is_a_lost_update() {
    finds(
        Name::LostUpdate,
        "a read x
         b read x
         a append x 1
         a commit
         b append x 2
         b commit
         end x 2",
    );
}

#[test]
fn two_that_deleted_the_same_are_a_lost_update() {
    finds(
        Name::LostUpdate,
        "a insert g 1
         a commit
         b delete g 1
         c delete g 1
         b commit
         c commit
         end g",
    );
}

#[test]
fn two_that_wrote_blindly_are_a_missed_conflict() {
    finds(
        Name::MissedConflict,
        "a read y
         b append y 1
         b append x 2
         b commit
         a append x 3
         a commit
         end x 2 3
         end y 1",
    );
}

#[test]
fn what_was_acknowledged_and_is_gone_is_a_lost_write() {
    finds(
        Name::LostWrite,
        "a append x 1
         a commit
         end x",
    );
    finds(
        Name::LostWrite,
        "a: insert g 1
         end g",
    );
    finds(
        Name::LostWrite,
        "a: insert g 1
         b: delete g 1
         end g 1",
    );
}

#[test]
fn a_part_of_a_transaction_is_torn() {
    finds(
        Name::TornTransaction,
        "a append x 1
         a append y 2
         a lost
         end x 1
         end y",
    );
    finds(
        Name::TornTransaction,
        "a append x 1
         a insert g 2
         a lost
         end x 1
         end g",
    );
}

#[test]
fn a_write_that_was_done_twice_is_found() {
    finds(
        Name::DuplicateWrite,
        "a: append x 1
         end x 1 1",
    );
}

#[test]
fn a_transaction_sees_its_own_writes() {
    finds(
        Name::OwnWriteUnseen,
        "a append x 1
         a read x
         a commit
         end x 1",
    );
    finds(
        Name::OwnWriteUnseen,
        "a insert g 1
         a members g
         a commit
         end g 1",
    );
    finds(
        Name::OwnWriteUnseen,
        "a: insert g 1
         b delete g 1
         b members g 1
         b commit
         end g",
    );
}

#[test]
fn two_states_of_one_list_are_a_non_repeatable_read() {
    finds(
        Name::NonRepeatableRead,
        "a read x
         b append x 1
         b commit
         a read x 1
         a commit
         end x 1",
    );
}

#[test]
fn a_part_of_another_transaction_is_read_skew() {
    finds(
        Name::ReadSkew,
        "b append x 1
         b append y 2
         b commit
         a read x
         a read y 2
         a commit
         end x 1
         end y 2",
    );
}

#[test]
fn read_skew_goes_around_three() {
    let report = finds(
        Name::ReadSkew,
        "b append x 1
         b append y 2
         b commits
         c read y 2
         c append z 3
         c commits
         a read x
         a read z 3
         a commit
         b commit
         c commit
         end x 1
         end y 2
         end z 3",
    );
    assert_eq!(report.anomalies[0].transactions.len(), 3);
}

#[test]
fn half_of_a_transaction_in_one_group_is_a_phantom() {
    finds(
        Name::Phantom,
        "a insert g 1
         a insert g 2
         a commits
         b members g 2
         a commit
         b commit
         end g 1 2",
    );
}

#[test]
fn two_states_of_one_group_are_a_phantom() {
    finds(
        Name::Phantom,
        "a members g
         b: insert g 1
         a members g 1
         a commit
         end g 1",
    );
    finds(
        Name::Phantom,
        "c insert g 1
         c insert g 2
         c commit
         a members g 1 2
         b delete g 1
         b delete g 2
         b commit
         a members g 2
         a commit
         end g",
    );
}

#[test]
fn what_was_acknowledged_before_must_be_seen() {
    finds(
        Name::StaleRead,
        "a: append x 1
         b read x
         b commit
         end x 1",
    );
}

#[test]
fn the_snapshot_is_that_of_the_first_read() {
    is_clean(
        "a append y 2
         b: append x 1
         a read x 1
         a commit
         end x 1
         end y 2",
    );
    finds(
        Name::LateSnapshot,
        "a read y
         b: append x 1
         a read x 1
         a commit
         end x 1
         end y",
    );
}

#[test]
fn two_that_see_two_others_in_different_orders_are_a_long_fork() {
    finds(
        Name::LongFork,
        "a append x 1
         b append y 2
         a commits
         b commits
         c read x 1
         c read y
         d read x
         d read y 2
         c commit
         d commit
         a commit
         b commit
         end x 1
         end y 2",
    );
}

#[test]
fn two_that_are_each_behind_the_other_are_a_circular_flow() {
    finds(
        Name::CircularFlow,
        "b append x 3
         b append y 2
         b commit
         a read y 2
         a append x 1
         a commit
         end x 1 3
         end y 2",
    );
}

#[test]
fn the_log_has_the_order_of_the_lists() {
    finds(
        Name::LogOrder,
        "a append x 1
         a commit 7
         b append x 2
         b commit 5
         end x 1 2",
    );
    is_clean(
        "a append x 1
         a commit 7
         b append x 2
         b commit 8
         c append y 3
         c commit 8
         end x 1 2
         end y 3",
    );
}

#[test]
fn reads_at_a_time_see_exactly_that_time() {
    let text = |time: u64| {
        format!(
            "a append x 1
             a commit 7
             b append x 2
             b commit 9
             c read x 1
             c abort
             at c {time}
             end x 1 2"
        )
    };
    is_clean(&text(7));
    is_clean(&text(8));
    finds(Name::LogOrder, &text(6));
    finds(Name::LogOrder, &text(9));
}

#[test]
fn a_list_that_was_seen_in_another_order_is_found() {
    finds(
        Name::IncompatibleOrder,
        "a append x 1
         b append x 2
         a commit
         b commit
         c read x 2
         c commit
         end x 1 2",
    );
}

#[test]
fn values_that_nobody_wrote_are_found() {
    finds(
        Name::FromNowhere,
        "a read x 1
         a commit
         end x",
    );
    let history = history("end g 4");
    assert_eq!(check(&history).anomalies[0].name, Name::FromNowhere);
}

#[test]
fn a_story_shows_what_matters_and_nothing_else() {
    let history = history(
        "d: append x 5
         e: append x 6
         z append x 9
         z append x 7
         z append y 8
         z commit
         a read x 5 6 9 7
         b members g
         b read x 5 6 9 7
         b read y 8
         a append x 1
         a commit 21474836481
         b append x 2
         b lost
         c: append x 3
         end x 5 6 9 7 1 2 3
         end y 8",
    );
    let report = check(&history);
    let expected = "\
5 transactions committed, 0 aborted, 1 without an answer; 0 pairs of write skew, which snapshot isolation allows

lost update (1 in all), shown by 2 transactions:
     0.060000 to    0.061000 s  client  4  transaction 4.1     begins, read list x: [5 6 9 7]
     0.070000 to    0.071000 s  client  5  transaction 5.1     begins, read group g: []
     0.080000 to    0.081000 s  client  5  transaction 5.1     read list x: [5 6 9 7]
     0.100000 to    0.101000 s  client  4  transaction 4.1     append 1 to list x
     0.110000 to    0.111000 s  client  4  transaction 4.1     commit: committed at (5, 1)
     0.120000 to    0.121000 s  client  5  transaction 5.1     append 2 to list x
     0.130000 to           - s  client  5  transaction 5.1     commit: no answer
  in the end, list x is [… 1 2 …]
  - 5.1 did not see what 4.1 did to x, so it began before 4.1 was committed
  - 5.1 wrote to x over what 4.1 had written, so it began after 4.1 was committed
";
    assert_eq!(report.text(&history), expected);
}
