//! Watchers of one namespace by a value that they require at one path.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_query::path::{Leaf, Path};
use millstream_value::Doc;

use super::interest::{Field, RequiredValue, key_of};
use super::{Reach, Subscription, Watchers, document_of};
use crate::entry::{Change, Form};

/// A document with more values than this at a path is routed to everyone: looking all of them up costs more.
const CANDIDATES_MAX: usize = 256;

pub(super) struct ValueIndex {
    field: Field,
    path: Path,
    by_key: HashMap<Box<[u8]>, Vec<Row>>,
    /// Watchers whose updates have a `fullDocument` that is not in the entry.
    looking_up: Watchers,
    /// All of them.
    all: Watchers,
}

/// A watcher of a value: its number, itself, and what it wants.
type Row = (u64, Arc<Subscription>, Forms);

/// Which operations a watcher wants.
#[derive(Clone, Copy, Default)]
struct Forms {
    insert: bool,
    update: bool,
    replace: bool,
    delete: bool,
}

impl Forms {
    fn of(forms: &[Form]) -> Self {
        let has = |form| forms.contains(&form);
        Self {
            insert: has(Form::Insert),
            update: has(Form::Update),
            replace: has(Form::Replace),
            delete: has(Form::Delete),
        }
    }

    fn has(self, form: Form) -> bool {
        match form {
            Form::Insert => self.insert,
            Form::Update => self.update,
            Form::Replace => self.replace,
            Form::Delete => self.delete,
            Form::Unknown => self.update || self.replace,
            Form::Command | Form::Noop => false,
        }
    }
}

impl ValueIndex {
    pub(super) fn new(value: &RequiredValue) -> Self {
        Self {
            field: value.field,
            path: value.parsed_path(),
            by_key: HashMap::new(),
            looking_up: Watchers::new(),
            all: Watchers::new(),
        }
    }

    pub(super) fn is_for(&self, value: &RequiredValue) -> bool {
        self.field == value.field && self.path.as_str() == value.path
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn add(&mut self, id: u64, value: &RequiredValue, watcher: &Arc<Subscription>) {
        let forms = Forms::of(&value.forms);
        for key in &value.keys {
            self.by_key.entry(key.clone()).or_default().push((id, Arc::clone(watcher), forms));
        }
        if value.looks_up && forms.update && self.field == Field::FullDocument {
            self.looking_up.insert(id, Arc::clone(watcher));
        }
        self.all.insert(id, Arc::clone(watcher));
    }

    pub(super) fn remove(&mut self, id: u64, value: &RequiredValue) {
        for key in &value.keys {
            if let Some(watchers) = self.by_key.get_mut(key) {
                watchers.retain(|row| row.0 != id);
                if watchers.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        self.looking_up.remove(&id);
        self.all.remove(&id);
    }

    pub(super) fn route(&self, change: Change<'_>, reach: &mut Reach<'_>) {
        let form = change.form();
        if form == Form::Unknown {
            return reach.all(&self.all);
        }
        if form == Form::Update {
            reach.all(&self.looking_up);
        }
        // A required value is never null, so an event without the field cannot pass.
        let (doc, path_root) = match self.field {
            Field::FullDocument => (document_of(change), None),
            Field::DocumentKey => match (form, change.o2()) {
                (Form::Delete, _) => (Some(change.o()), None),
                (_, Some(key)) => (Some(key), None),
                // Entries of other servers may lack the key: it is the document's `_id`.
                (_, None) => (Some(change.o()), Some("_id")),
            },
        };
        let Some(doc) = doc else { return };
        if path_root.is_some_and(|root| self.path.parts().first().is_none_or(|part| part.name() != root)) {
            return;
        }
        self.look_up(doc, form, reach);
    }

    fn look_up(&self, doc: Doc<'_>, form: Form, reach: &mut Reach<'_>) {
        let mut candidates = 0;
        let everyone = self.path.visit(doc, Leaf::Elements, &mut |found| {
            candidates += 1;
            if candidates > CANDIDATES_MAX {
                return Ok(true);
            }
            if let Some(element) = found.element {
                self.reach_key(&key_of(&element.value()), form, reach);
            }
            Ok(false)
        });
        if !matches!(everyone, Ok(false)) {
            reach.all(&self.all);
        }
    }

    fn reach_key(&self, key: &[u8], form: Form, reach: &mut Reach<'_>) {
        for (_, watcher, forms) in self.by_key.get(key).into_iter().flatten() {
            if forms.has(form) && watcher.note(reach.time) {
                reach.woken.push(Arc::clone(watcher));
            }
        }
    }
}
