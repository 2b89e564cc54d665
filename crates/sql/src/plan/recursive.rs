//! `WITH RECURSIVE`: a query that uses its own name (SQL-9.11).

use std::ops::ControlFlow;

use sqlparser::ast::{self, SetExpr};

use crate::error::Result;
use crate::plan::binder::{Binder, Bound, Cte, CteRows, Output};
use crate::plan::from::{self, From};
use crate::plan::rel::Rel;
use crate::plan::scope::{Item, Open};
use crate::{SqlError, Type};

/// What the name of a `WITH` query stands for.
pub(crate) fn rows_of(cte: &ast::Cte, recursive: bool) -> CteRows {
    if recursive && mentions(&cte.query, &cte.alias.name.value) { CteRows::Recursive } else { CteRows::Query }
}

fn mentions(query: &ast::Query, name: &str) -> bool {
    let found = ast::visit_relations(query, |relation| match relation.0.as_slice() {
        [only] if only.as_ident().is_some_and(|ident| ident.value.eq_ignore_ascii_case(name)) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether a relation is made of such a query.
pub(crate) fn within(rel: &Rel) -> bool {
    matches!(rel, Rel::Recursive { .. }) || rel.inputs().into_iter().any(within)
}

/// What is kept right for ever has no rounds.
pub(crate) fn refused() -> SqlError {
    SqlError::new("0A000", "WITH RECURSIVE is not supported in views and change queries")
}

pub(crate) fn used_again(name: &str) -> SqlError {
    SqlError::new("42P19", format!("recursive query \"{name}\" may use itself only once"))
}

impl Binder<'_> {
    /// The rows of a query that uses its own name: `base UNION [ALL] step`.
    pub(crate) fn recursive(&mut self, cte: &Cte) -> Result<Bound> {
        let form = || {
            let message = format!("recursive query \"{}\" must be of the form base UNION [ALL] step", cte.name);
            SqlError::new("42P19", message)
        };
        let query = &cte.query;
        if query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
            return Err(SqlError::new("0A000", "WITH, ORDER BY and LIMIT are not supported in a recursive query"));
        }
        let SetExpr::SetOperation { op: ast::SetOperator::Union, set_quantifier, left, right } = query.body.as_ref()
        else {
            return Err(form());
        };
        let distinct = !matches!(set_quantifier, ast::SetQuantifier::All);
        let base = from::named(self.set(left, cte.parent.as_ref())?, &cte.columns)?;
        if base.columns.iter().any(|column| column.spread) {
            return Err(SqlError::new("0A000", "a recursive query needs columns that are named")
                .hint("list the columns instead of *"));
        }
        let working = self.like(&base.columns);
        let names = base.columns.iter().map(|column| column.name.clone()).zip(working.iter().copied()).collect();
        self.ctes.push(Cte { rows: CteRows::Working(names), sees: self.ctes.len(), ..cte.clone() });
        let step = self.set(right, cte.parent.as_ref());
        let used = self.ctes.pop().is_some_and(|cte| cte.rows == CteRows::Used);
        let step = step?;
        if !used {
            return Err(form());
        }
        if step.columns.len() != base.columns.len() {
            return Err(SqlError::new("42601", "each UNION query must have the same number of columns"));
        }
        let columns = self.like(&base.columns);
        let ids = |bound: &Bound| bound.columns.iter().map(|column| column.column).collect::<Vec<_>>();
        let (base_ids, step_ids) = (ids(&base), ids(&step));
        let named = base.columns.iter().zip(&columns);
        let outputs = named.map(|(column, id)| Output { column: *id, ..column.clone() }).collect();
        Ok(Bound {
            rel: Rel::Recursive {
                base: Box::new((base.rel, base_ids)),
                step: Box::new((step.rel, step_ids)),
                distinct,
                columns,
            },
            columns: outputs,
            key: vec!["n".to_owned()],
            changes: None,
            order: Vec::new(),
            limit: (0, None),
        })
    }

    /// New columns for those of the base; their numbers may be of another type in later rounds.
    fn like(&mut self, columns: &[Output]) -> Vec<usize> {
        let widens = |kind: &Type| matches!(kind, Type::Integer | Type::BigInt | Type::Numeric(_) | Type::Double);
        let kinds = columns.iter().map(|column| self.types.get(column.column).cloned().flatten());
        let kinds: Vec<_> = kinds.map(|kind| kind.filter(|kind| !widens(kind))).collect();
        kinds.into_iter().map(|kind| self.column(kind)).collect()
    }

    /// The rows of the round before, as an item of FROM.
    pub(crate) fn working(
        &mut self,
        at: usize,
        name: &str,
        columns: Vec<(String, usize)>,
        alias: Option<&ast::TableAlias>,
    ) -> From {
        if let Some(cte) = self.ctes.get_mut(at) {
            cte.rows = CteRows::Used;
        }
        let alias = alias.map_or(name, |alias| &alias.name.value).to_owned();
        From {
            rel: Rel::Working(columns.iter().map(|(_, id)| *id).collect()),
            key: vec![alias.clone()],
            items: vec![Item { alias, known: columns, open: Open::No }],
            merged: Vec::new(),
            origin: None,
            driver: None,
            above: Vec::new(),
            bare: None,
        }
    }
}
