//! Who works on which partition: computed by every member for itself, from what all of them can see.
//!
//! Fair:   nobody has more than one partition more than another.
//! Sticky: only what is too much for its owner moves.
//! Alike:  the same view gives everybody the same answer, so that two members rarely want the same partition. Where views
//!         differ for a moment, taking a partition is conditional, and the next view puts it right.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What one member has to do about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Its own that others should have.
    pub(super) give_up: Vec<u32>,
    /// Free ones that it should have.
    pub(super) take: Vec<u32>,
}

/// The plan of the member `me`. `members` are those who stay, `owners` has for each partition its owner if there is one;
/// that of an owner who does not stay becomes free in time.
pub(super) fn plan(me: &str, members: &[&str], owners: &[Option<&str>]) -> Plan {
    let mut owned: BTreeMap<&str, Vec<u32>> = members.iter().map(|member| (*member, Vec::new())).collect();
    let mut free = Vec::new();
    for (partition, owner) in (0..).zip(owners) {
        match owner {
            None => free.push(partition),
            Some(owner) => {
                if let Some(partitions) = owned.get_mut(owner) {
                    partitions.push(partition);
                }
            }
        }
    }
    let mut plan = Plan::default();
    let (Some(base), Some(extra)) = (owners.len().checked_div(owned.len()), owners.len().checked_rem(owned.len()))
    else {
        return plan;
    };
    // Where partitions are left over, those who have the most keep one more.
    let mut ranked: Vec<(&str, Vec<u32>)> = owned.into_iter().collect();
    ranked.sort_by_key(|(member, partitions)| (Reverse(partitions.len()), *member));
    let mut free = free.into_iter();
    for (rank, (member, partitions)) in ranked.into_iter().enumerate() {
        let quota = base + usize::from(rank < extra);
        let taken: Vec<u32> = free.by_ref().take(quota.saturating_sub(partitions.len())).collect();
        if member == me {
            plan.give_up = partitions.into_iter().skip(quota).collect();
            plan.take = taken;
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn plans<'m>(members: &[&'m str], owners: &[Option<&str>]) -> Vec<(&'m str, Plan)> {
        members.iter().map(|member| (*member, plan(member, members, owners))).collect()
    }

    #[test]
    fn the_first_takes_all_and_gives_half_to_the_second() {
        assert_eq!(plan("a", &["a"], &[None; 5]), Plan { give_up: vec![], take: vec![0, 1, 2, 3, 4] });
        let owners = [Some("a"); 5];
        assert_eq!(plan("a", &["a", "b"], &owners), Plan { give_up: vec![3, 4], take: vec![] });
        assert_eq!(plan("b", &["a", "b"], &owners), Plan::default());
        let owners = [Some("a"), Some("a"), Some("a"), None, None];
        assert_eq!(plan("a", &["a", "b"], &owners), Plan::default());
        assert_eq!(plan("b", &["a", "b"], &owners), Plan { give_up: vec![], take: vec![3, 4] });
    }

    #[test]
    fn what_a_leaving_member_has_is_not_free_yet() {
        let owners = [Some("a"), Some("gone"), Some("gone"), None];
        assert_eq!(plan("a", &["a"], &owners), Plan { give_up: vec![], take: vec![3] });
        assert_eq!(plan("gone", &["a"], &owners), Plan::default());
        assert_eq!(plan("a", &[], &owners), Plan::default());
    }

    #[test]
    fn more_members_than_partitions_leave_some_without() {
        let members = ["a", "b", "c"];
        let takes: Vec<_> = plans(&members, &[None, None]).into_iter().map(|(_, plan)| plan.take).collect();
        assert_eq!(takes, [vec![0], vec![1], vec![]]);
    }

    /// Members come and go at random; after each change the plans are carried out until there is nothing left to do.
    #[test]
    fn fair_within_one_and_no_move_too_many() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut owners: Vec<Option<&str>> = vec![None; random.random_range(1..70)];
            for _ in 0..20 {
                let mut members: Vec<&str> = names.iter().copied().filter(|_| random.random_bool(0.5)).collect();
                if members.is_empty() {
                    members.push("a");
                }
                for owner in &mut owners {
                    *owner = owner.filter(|owner| members.contains(owner));
                }
                let before = owners.clone();
                let mut rounds = 0;
                loop {
                    let plans = plans(&members, &owners);
                    if plans.iter().all(|(_, plan)| *plan == Plan::default()) {
                        break;
                    }
                    for (member, plan) in plans {
                        for partition in plan.give_up {
                            assert_eq!(owners[partition as usize].take(), Some(member));
                        }
                        for partition in plan.take {
                            assert_eq!(owners[partition as usize].replace(member), None, "two want {partition}");
                        }
                    }
                    rounds += 1;
                    assert!(rounds <= 2, "one round to give up, one to take");
                }
                let (base, extra) = (owners.len() / members.len(), owners.len() % members.len());
                let count = |owners: &[Option<&str>], member| owners.iter().filter(|o| **o == Some(member)).count();
                let mut had: Vec<usize> = members.iter().map(|member| count(&before, member)).collect();
                had.sort_unstable_by_key(|count| Reverse(*count));
                let too_many: usize =
                    (0..).zip(&had).map(|(rank, had)| had.saturating_sub(base + usize::from(rank < extra))).sum();
                let moved = before.iter().zip(&owners).filter(|(old, new)| old.is_some() && old != new).count();
                assert_eq!(moved, too_many, "seed {seed}");
                for member in &members {
                    let has = count(&owners, member);
                    assert!(has == base || has == base + 1, "seed {seed}: {member} has {has}");
                }
            }
        }
    }
}
