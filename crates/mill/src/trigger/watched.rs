//! Which changes a trigger has to see (SQL-20.3): those that it is for, as far as an event tells it.

use std::sync::Arc;

use millstream_flow::{Datum, Row};
use millstream_sql::Expr;
use millstream_sql::expr::Context;
use millstream_sql::plan::Watched;

use super::deal::values;
use super::plan::{OF_CHANGE, Planned};
use super::run::Trigger;
use crate::change::Change;
use crate::images::Images;
use crate::wants::{Interest, document};

/// The variables that tell the kind of a change.
const OPERATIONS: [&str; 3] = ["CHANGE_TYPE()", "TG_OP", "TRIGGER_ACTION"];

impl Planned {
    /// What it wants of its table. All of the documents: a dead letter has them, for whatever body it is tried again with. And
    /// all of the changes where it keeps a copy.
    pub(crate) fn interest(&self, context: &Arc<Context>, images: Images) -> Interest {
        if images == Images::Mirror && self.needs_images() {
            return Interest::new(None, None);
        }
        Interest::new(self.watched(|watched| watched.streamed(context)).and_then(document), None)
    }

    /// What must be true of the variables of a change that can matter, unless it fails.
    pub(super) fn admission(&self) -> Option<Expr> {
        self.watched(|watched| watched.admission())
    }

    fn watched<T>(&self, tell: impl FnOnce(&Watched<'_>) -> Option<T>) -> Option<T> {
        let slot = |name: &str| OF_CHANGE.iter().position(|(known, _)| *known == name);
        let operations: Vec<usize> = OPERATIONS.into_iter().filter_map(slot).collect();
        let (events, when) = (self.events.as_slice(), self.condition.as_ref());
        tell(&Watched { events, when, new: slot("NEW")?, old: slot("OLD")?, operations: &operations })
    }
}

impl Trigger {
    /// Whether a change can matter: what cannot has no place in a transaction. It is the same whoever else asks for it.
    pub(super) fn matters(&self, change: &Change) -> bool {
        let Some(admission) = &self.admission else { return true };
        let lacks =
            self.options.images != Images::Lookup && !self.options.missing_is_null && change.missing().is_some();
        if lacks {
            return true;
        }
        let context = self.surroundings.context(values(change));
        !matches!(admission.compile(&context).eval(&Row::new(vec![], vec![])), Ok(value) if value != Datum::Bool(true))
    }
}
