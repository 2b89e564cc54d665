//! Who wrote what, and what became of those that were never answered.

use std::collections::{HashMap, HashSet};

use crate::isolation::history::{Action, History, Key, Outcome};

pub(super) struct Facts<'a> {
    pub(super) history: &'a History,
    /// What became of each transaction.
    pub(super) fates: Vec<Fate>,
    /// By value.
    pub(super) appenders: HashMap<i64, (usize, &'a Key)>,
    /// The place of each value in its list in the end; the first one.
    pub(super) places: HashMap<i64, usize>,
    pub(super) members: HashMap<i64, Member<'a>>,
    /// The members of each group, in the order in which their documents were sent.
    pub(super) groups: HashMap<&'a Key, Vec<i64>>,
    pub(super) present: HashSet<i64>,
}

/// The life of a document of a group.
pub(super) struct Member<'a> {
    pub(super) group: &'a Key,
    pub(super) inserter: usize,
    /// Those that found it and deleted it, or may have.
    pub(super) deleters: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Committed,
    Aborted,
    /// It only made what may have been deleted again, or deleted what others may have deleted.
    Unclear,
}

impl<'a> Facts<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut facts = Self {
            history,
            fates: Vec::new(),
            appenders: HashMap::new(),
            places: HashMap::new(),
            members: HashMap::new(),
            groups: HashMap::new(),
            present: history.groups.values().flatten().copied().collect(),
        };
        for values in history.lists.values() {
            for (place, value) in values.iter().enumerate() {
                facts.places.entry(*value).or_insert(place);
            }
        }
        facts.index();
        facts.settle();
        facts
    }

    pub(super) fn is_committed(&self, transaction: usize) -> bool {
        self.fates[transaction] == Fate::Committed
    }

    /// Who deleted a member; `None` if that is not clear.
    pub(super) fn deleters(&self, member: &Member<'_>) -> Option<Vec<usize>> {
        let fates = member.deleters.iter().map(|one| self.fates[*one]);
        let clear = fates.clone().all(|fate| fate != Fate::Unclear);
        clear.then(|| member.deleters.iter().copied().filter(|one| self.is_committed(*one)).collect())
    }

    /// `client.number`, by which stories call a transaction.
    pub(super) fn label(&self, transaction: usize) -> String {
        let one = &self.history.transactions[transaction];
        format!("{}.{}", one.client, one.number)
    }

    fn index(&mut self) {
        let mut deletes = Vec::new();
        for (number, transaction) in self.history.transactions.iter().enumerate() {
            for step in &transaction.steps {
                match &step.action {
                    Action::Append { list, value } => {
                        let before = self.appenders.insert(*value, (number, list));
                        assert!(before.is_none(), "the test wrote the value {value} twice");
                    }
                    Action::Insert { group, member } => {
                        let life = Member { group, inserter: number, deleters: Vec::new() };
                        let before = self.members.insert(*member, life);
                        assert!(before.is_none(), "the test wrote the member {member} twice");
                        self.groups.entry(group).or_default().push(*member);
                    }
                    Action::Delete { member, found, .. } if *found || step.answered.is_none() => {
                        deletes.push((*member, number));
                    }
                    _ => {}
                }
            }
        }
        for (member, number) in deletes {
            if let Some(member) = self.members.get_mut(&member)
                && !member.deleters.contains(&number)
            {
                member.deleters.push(number);
            }
        }
    }

    /// Decides about those without an answer: what is there in the end says it.
    fn settle(&mut self) {
        self.fates = self.history.transactions.iter().map(|one| self.first_look(one)).collect();
        // A document that somebody has certainly deleted was there.
        for member in self.members.values() {
            let deleted = member.deleters.iter().any(|one| self.fates[*one] == Fate::Committed);
            if deleted && self.fates[member.inserter] == Fate::Unclear {
                self.fates[member.inserter] = Fate::Committed;
            }
        }
        // One that is gone was deleted by the only one that can have done it.
        for (id, member) in &self.members {
            let gone = !self.present.contains(id) && self.fates[member.inserter] == Fate::Committed;
            let mut candidates = member.deleters.iter().filter(|one| self.fates[**one] != Fate::Aborted);
            if let (true, Some(only), None) = (gone, candidates.next(), candidates.next()) {
                self.fates[*only] = Fate::Committed;
            }
        }
    }

    fn first_look(&self, transaction: &crate::isolation::history::Transaction) -> Fate {
        match transaction.outcome {
            Outcome::Committed => return Fate::Committed,
            Outcome::Aborted => return Fate::Aborted,
            Outcome::Unknown => {}
        }
        let mut fate = Fate::Unclear;
        for step in &transaction.steps {
            match &step.action {
                Action::Append { value, .. } if self.places.contains_key(value) => return Fate::Committed,
                Action::Insert { member, .. } if self.present.contains(member) => return Fate::Committed,
                Action::Append { .. } => fate = Fate::Aborted,
                Action::Insert { member, .. } if self.members[member].deleters.is_empty() => fate = Fate::Aborted,
                _ => {}
            }
        }
        fate
    }
}
