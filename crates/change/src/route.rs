//! Who may care about a change: from an entry to the watchers it may concern, without asking each of them.
//!
//! Order: namespace (hash), then operation type, then an equality that the watcher's leading `$match` requires on
//! `documentKey.*` or `fullDocument.*` (hash of the value's key bytes). Routing may be wider than a filter, never
//! narrower (CS-6.6.1): whoever is routed to still evaluates everything.

mod index;
mod interest;
mod subscription;

use std::collections::HashMap;
use std::sync::Arc;

use millstream_value::{ClusterTime, Doc};

use self::index::ValueIndex;
pub(crate) use self::interest::Interest;
use self::interest::{Place, Spot};
pub use self::subscription::Subscription;
use crate::entry::{Change, Entry, Form};

/// Watchers by a number of their own.
type Watchers = HashMap<u64, Arc<Subscription>>;

/// All watchers, by what they watch.
#[derive(Default)]
pub(crate) struct Router {
    collections: HashMap<Box<str>, Node>,
    databases: HashMap<Box<str>, Node>,
    cluster: Node,
    /// Those who read the log itself.
    everything: Watchers,
    /// For building names without allocating.
    name: String,
}

/// Watchers of one namespace.
#[derive(Default)]
struct Node {
    inserts: Watchers,
    updates: Watchers,
    replaces: Watchers,
    deletes: Watchers,
    /// DDL, which may end a stream whatever its filter (CS-6.6.4).
    commands: Watchers,
    /// Those that require a value.
    values: Vec<ValueIndex>,
}

impl Router {
    /// Notes for every watcher that an entry may concern it; adds those that must be woken to `woken`. `parts` are the
    /// entries whose operations it shows: itself, or those of the large transaction that it commits; none if they are not
    /// known.
    pub(crate) fn route(&mut self, entry: &Entry, parts: &[Entry], woken: &mut Vec<Arc<Subscription>>) {
        let mut reach = Reach { time: entry.time(), woken };
        reach.all(&self.everything);
        // The first entries of a large transaction show nothing yet.
        let nobody = self.collections.is_empty() && self.databases.is_empty() && self.cluster.is_empty();
        if nobody || entry.is_partial() {
            return;
        }
        if parts.is_empty() {
            return self.reach_everyone(&mut reach);
        }
        for part in parts {
            // What cannot be read may concern anyone.
            let Ok(changes) = part.operations() else { return self.reach_everyone(&mut reach) };
            // A transaction is often the same for many documents of one collection: what was told once of an entry need not
            // be told again, but to those who want certain values.
            let mut told = None;
            for change in changes {
                let what = (change.names(), change.form());
                if told != Some(what) {
                    told = (!self.route_change(change, &mut reach)).then_some(what);
                }
            }
        }
    }

    /// Says whether more than the namespace and the form of a change decided.
    fn route_change(&mut self, change: Change<'_>, reach: &mut Reach<'_>) -> bool {
        match change.form() {
            Form::Noop => false,
            Form::Command => {
                self.route_command(change, reach);
                true
            }
            // Their events are those of commands, and filtered as such.
            _ if change.is_definition() => {
                self.route_name(change.db(), Some(change.coll()), reach);
                reach.all(&self.cluster.commands);
                true
            }
            Form::Insert | Form::Update | Form::Replace | Form::Delete | Form::Unknown => {
                let nodes = [
                    self.collections.get(change.ns()),
                    self.databases.get(change.db()),
                    Some(&self.cluster).filter(|cluster| !cluster.is_empty()),
                ];
                nodes.into_iter().flatten().fold(false, |looked, node| {
                    node.route(change, reach);
                    looked || !node.values.is_empty()
                })
            }
        }
    }

    fn route_command(&mut self, change: Change<'_>, reach: &mut Reach<'_>) {
        if let Some(names) = change.renamed() {
            for (db, coll) in names {
                self.route_name(db, Some(coll), reach);
            }
        } else {
            self.route_name(change.db(), change.named(), reach);
        }
        reach.all(&self.cluster.commands);
    }

    fn route_name(&mut self, db: &str, coll: Option<&str>, reach: &mut Reach<'_>) {
        if let Some(node) = self.databases.get(db) {
            reach.all(&node.commands);
        }
        if let Some(coll) = coll {
            self.name.clear();
            self.name.extend([db, ".", coll]);
            if let Some(node) = self.collections.get(self.name.as_str()) {
                reach.all(&node.commands);
            }
        }
    }

    fn reach_everyone(&self, reach: &mut Reach<'_>) {
        let nodes = self.collections.values().chain(self.databases.values()).chain([&self.cluster]);
        for node in nodes {
            // Every watcher is among the commands of some node: any command may end or concern it.
            reach.all(&node.commands);
        }
    }

    /// Whether nobody watches.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.collections.is_empty()
            && self.databases.is_empty()
            && self.cluster.is_empty()
            && self.everything.is_empty()
    }

    /// Adds a watcher.
    pub(crate) fn add(&mut self, id: u64, interest: &Interest, watcher: &Arc<Subscription>) {
        for place in interest.places() {
            let node = match place {
                Place::Everything => {
                    self.everything.insert(id, Arc::clone(watcher));
                    continue;
                }
                Place::Collection(name, _) => self.collections.entry(name.as_str().into()).or_default(),
                Place::Database(name, _) => self.databases.entry(name.as_str().into()).or_default(),
                Place::Cluster(_) => &mut self.cluster,
            };
            if let Some(spot) = place.spot() {
                node.add(id, spot, watcher);
            }
        }
    }

    /// Removes a watcher that was added with the same interest.
    pub(crate) fn remove(&mut self, id: u64, interest: &Interest) {
        for place in interest.places() {
            match place {
                Place::Everything => {
                    self.everything.remove(&id);
                }
                Place::Collection(name, spot) => remove_from(&mut self.collections, name, id, spot),
                Place::Database(name, spot) => remove_from(&mut self.databases, name, id, spot),
                Place::Cluster(spot) => self.cluster.remove(id, spot),
            }
        }
    }
}

fn remove_from(nodes: &mut HashMap<Box<str>, Node>, name: &str, id: u64, spot: &Spot) {
    if let Some(node) = nodes.get_mut(name) {
        node.remove(id, spot);
        if node.is_empty() {
            nodes.remove(name);
        }
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        let Self { inserts, updates, replaces, deletes, commands, values } = self;
        [inserts, updates, replaces, deletes, commands].into_iter().all(HashMap::is_empty) && values.is_empty()
    }

    fn route(&self, change: Change<'_>, reach: &mut Reach<'_>) {
        match change.form() {
            Form::Insert => reach.all(&self.inserts),
            Form::Update => reach.all(&self.updates),
            Form::Replace => reach.all(&self.replaces),
            Form::Delete => reach.all(&self.deletes),
            Form::Unknown => {
                reach.all(&self.updates);
                reach.all(&self.replaces);
            }
            Form::Command | Form::Noop => {}
        }
        for index in &self.values {
            index.route(change, reach);
        }
    }

    fn by_form(&mut self, form: Form) -> Option<&mut Watchers> {
        match form {
            Form::Insert => Some(&mut self.inserts),
            Form::Update => Some(&mut self.updates),
            Form::Replace => Some(&mut self.replaces),
            Form::Delete => Some(&mut self.deletes),
            Form::Command => Some(&mut self.commands),
            Form::Noop | Form::Unknown => None,
        }
    }

    fn add(&mut self, id: u64, spot: &Spot, watcher: &Arc<Subscription>) {
        for form in &spot.forms {
            if let Some(watchers) = self.by_form(*form) {
                watchers.insert(id, Arc::clone(watcher));
            }
        }
        if let Some(value) = &spot.value {
            let at = self.values.iter().position(|index| index.is_for(value)).unwrap_or(self.values.len());
            if at == self.values.len() {
                self.values.push(ValueIndex::new(value));
            }
            if let Some(index) = self.values.get_mut(at) {
                index.add(id, value, watcher);
            }
        }
    }

    fn remove(&mut self, id: u64, spot: &Spot) {
        for form in &spot.forms {
            if let Some(watchers) = self.by_form(*form) {
                watchers.remove(&id);
            }
        }
        if let Some(value) = &spot.value {
            for index in self.values.iter_mut().filter(|index| index.is_for(value)) {
                index.remove(id, value);
            }
            self.values.retain(|index| !index.is_empty());
        }
    }
}

/// An entry on its way to watchers.
struct Reach<'a> {
    time: ClusterTime,
    woken: &'a mut Vec<Arc<Subscription>>,
}

impl Reach<'_> {
    fn all(&mut self, watchers: &Watchers) {
        for watcher in watchers.values() {
            if watcher.note(self.time) {
                self.woken.push(Arc::clone(watcher));
            }
        }
    }
}

/// The document that routing looks into for `fullDocument`: inserts and replacements carry it.
fn document_of(change: Change<'_>) -> Option<Doc<'_>> {
    matches!(change.form(), Form::Insert | Form::Replace).then(|| change.o())
}
