//! A query: its WITH, its set operations, VALUES, and what stands behind: ORDER BY, LIMIT.

use std::rc::Rc;

use millstream_flow::{Datum, SetOperation};
use sqlparser::ast::{self, SetExpr};

use crate::error::Result;
use crate::plan::Purpose;
use crate::plan::binder::{Binder, Bound, Cte, Output};
use crate::plan::block::{Block, Place};
use crate::plan::calls::sorting;
use crate::plan::from;
use crate::plan::recursive;
use crate::plan::rel::Rel;
use crate::plan::scope::{Scope, unique};
use crate::plan::select::{grows, nothing};
use crate::{Expr, SqlError};

/// What stands behind a query's body.
#[derive(Default)]
pub(crate) struct Tail<'q> {
    pub(crate) order: &'q [ast::OrderByExpr],
    offset: u64,
    limit: Option<u64>,
    with_ties: bool,
}

impl Tail<'_> {
    fn is_limited(&self) -> bool {
        self.limit.is_some() || self.offset > 0
    }
}

impl Binder<'_> {
    /// Resolves a query.
    pub(crate) fn query(&mut self, query: &ast::Query, parent: Option<&Rc<Scope>>) -> Result<Bound> {
        self.deeper(|binder| {
            let seen = binder.ctes.len();
            let bound = binder.with(query, parent).and_then(|()| binder.body(query, parent));
            binder.ctes.truncate(seen);
            bound
        })
    }

    fn with(&mut self, query: &ast::Query, parent: Option<&Rc<Scope>>) -> Result<()> {
        if !query.locks.is_empty() {
            return Err(SqlError::new("0A000", "FOR UPDATE and FOR SHARE are not supported"));
        }
        let Some(with) = &query.with else { return Ok(()) };
        if with.recursive && self.purpose == Purpose::View {
            return Err(recursive::refused());
        }
        for cte in &with.cte_tables {
            if matches!(
                *cte.query.body,
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
            ) {
                return Err(SqlError::new("0A000", "WITH queries that write are not supported"));
            }
            self.ctes.push(Cte {
                name: cte.alias.name.value.clone(),
                columns: cte.alias.columns.iter().map(|column| column.name.value.clone()).collect(),
                query: Rc::new((*cte.query).clone()),
                sees: self.ctes.len(),
                parent: parent.cloned(),
                rows: recursive::rows_of(cte, with.recursive),
            });
        }
        Ok(())
    }

    fn body(&mut self, query: &ast::Query, parent: Option<&Rc<Scope>>) -> Result<Bound> {
        let tail = self.tail(query)?;
        match &*query.body {
            SetExpr::Select(select) => self.select(select, &tail, parent),
            SetExpr::Query(inner) if tail.order.is_empty() && !tail.is_limited() => self.query(inner, parent),
            other => {
                let bound = self.set(other, parent)?;
                self.ended(bound, &tail)
            }
        }
    }

    fn tail<'q>(&mut self, query: &'q ast::Query) -> Result<Tail<'q>> {
        let mut tail = Tail::default();
        match query.order_by.as_ref().map(|order| &order.kind) {
            None => {}
            Some(ast::OrderByKind::Expressions(keys)) => tail.order = keys,
            Some(ast::OrderByKind::All(_)) => return Err(SqlError::new("0A000", "ORDER BY ALL is not supported")),
        }
        match &query.limit_clause {
            None => {}
            Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
                tail.limit = limit.as_ref().map(|limit| self.count(limit, "LIMIT")).transpose()?.flatten();
                let offset = offset.as_ref().map(|offset| self.count(&offset.value, "OFFSET")).transpose()?.flatten();
                tail.offset = offset.unwrap_or(0);
            }
            Some(ast::LimitClause::OffsetCommaLimit { .. }) => {
                return Err(SqlError::new("42601", "write LIMIT n OFFSET m"));
            }
        }
        if let Some(fetch) = &query.fetch {
            let one = Some(1);
            tail.limit = match &fetch.quantity {
                None => one,
                Some(quantity) => self.count(quantity, "FETCH FIRST")?,
            };
            tail.with_ties = fetch.with_ties;
            if fetch.percent {
                return Err(SqlError::new("0A000", "FETCH FIRST … PERCENT is not supported"));
            }
        }
        if tail.with_ties && tail.order.is_empty() {
            return Err(SqlError::new("42601", "WITH TIES needs ORDER BY"));
        }
        Ok(tail)
    }

    /// A constant number of rows; NULL: as many as there are.
    fn count(&mut self, expr: &ast::Expr, what: &str) -> Result<Option<u64>> {
        if matches!(expr, ast::Expr::Identifier(name) if name.value.eq_ignore_ascii_case("all")) {
            return Ok(None);
        }
        let mut block = Block::new(nothing());
        let expr = block.expr(self, expr, Place::Rows)?;
        let number = match self.constant(&expr)? {
            Datum::Null | Datum::Missing => return Ok(None),
            Datum::Int(n) => i64::from(n),
            Datum::Long(n) => n,
            // A literal or a parameter.
            Datum::Text(text) if text.parse::<i64>().is_ok() => text.parse().unwrap_or_default(),
            _ => return Err(SqlError::new("42804", format!("argument of {what} must be a whole number"))),
        };
        let state = if what == "OFFSET" { "2201X" } else { "2201W" };
        u64::try_from(number).map(Some).map_err(|_| SqlError::new(state, format!("{what} must not be negative")))
    }

    /// A body that is no SELECT.
    pub(crate) fn set(&mut self, body: &SetExpr, parent: Option<&Rc<Scope>>) -> Result<Bound> {
        match body {
            SetExpr::Select(select) => self.select(select, &Tail::default(), parent),
            SetExpr::Query(query) => self.query(query, parent),
            SetExpr::Values(values) => self.values(values, parent),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let all = match set_quantifier {
                    ast::SetQuantifier::All => true,
                    ast::SetQuantifier::None | ast::SetQuantifier::Distinct => false,
                    _ => return Err(SqlError::new("0A000", "UNION BY NAME is not supported")),
                };
                let operation = match op {
                    ast::SetOperator::Union => SetOperation::Union,
                    ast::SetOperator::Intersect => SetOperation::Intersect,
                    _ => SetOperation::Except,
                };
                let left = self.set(left, parent)?;
                let right = self.set(right, parent)?;
                self.set_operation(operation, all, left, right)
            }
            _ => Err(SqlError::new("0A000", "queries that write are not supported")),
        }
    }

    fn set_operation(&mut self, operation: SetOperation, all: bool, left: Bound, right: Bound) -> Result<Bound> {
        if left.columns.len() != right.columns.len() {
            let name = format!("{operation:?}").to_uppercase();
            return Err(SqlError::new("42601", format!("each {name} query must have the same number of columns")));
        }
        if left.columns.iter().chain(&right.columns).any(|column| column.spread) {
            return Err(SqlError::new("0A000", "set operations need columns that are named")
                .hint("list the columns instead of *"));
        }
        let union_all = operation == SetOperation::Union && all;
        match (left.changes.is_some(), right.changes.is_some()) {
            (false, false) => {}
            (true, true) if union_all => {}
            (true, true) => return Err(grows("this set operation")),
            _ => return Err(SqlError::new("0A000", "a change query and a table query cannot be put together")),
        }
        let mut columns = Vec::new();
        for (a, b) in left.columns.iter().zip(&right.columns) {
            let (a_kind, b_kind) =
                (self.types.get(a.column).cloned().flatten(), self.types.get(b.column).cloned().flatten());
            let kind = if a_kind == b_kind { a_kind } else { None };
            columns.push(Output { name: a.name.clone(), column: self.column(kind), spread: false });
        }
        let ids: Vec<_> = columns.iter().map(|column| column.column).collect();
        let of = |bound: &Bound| bound.columns.iter().map(|column| column.column).collect::<Vec<_>>();
        if union_all {
            let mut time = None;
            let mut ids = ids;
            let (mut left_ids, mut right_ids) = (of(&left), of(&right));
            if let (Some(l), Some(r)) = (left.changes, right.changes) {
                let both = self.column(Some(crate::Type::Timestamptz));
                ids.push(both);
                left_ids.push(l.time);
                right_ids.push(r.time);
                time = Some(crate::plan::binder::Origin { time: both });
            }
            // A UNION ALL of three is one of three branches, not of two of which one has two.
            let mut branches = match left.rel {
                Rel::UnionAll { branches, columns } if columns == left_ids => branches,
                rel => vec![(rel, left_ids, Expr::KeyPart(0))],
            };
            if let [(rel, _, key)] = branches.as_mut_slice() {
                let inner = std::mem::replace(rel, Rel::One);
                *rel = from::packed(inner, &left.key);
                *key = Expr::KeyPart(0);
            }
            branches.push((from::packed(right.rel, &right.key), right_ids, Expr::KeyPart(0)));
            return Ok(Bound {
                rel: Rel::UnionAll { branches, columns: ids },
                columns,
                key: vec!["branch".to_owned(), "key".to_owned()],
                changes: time,
                order: Vec::new(),
                limit: (0, None),
            });
        }
        let mut key: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        if all {
            key.push("n".to_owned());
        }
        let (left_ids, right_ids) = (of(&left), of(&right));
        Ok(Bound {
            rel: Rel::SetOperation {
                operation,
                all,
                left: Box::new((left.rel, left_ids)),
                right: Box::new((right.rel, right_ids)),
                columns: ids,
            },
            columns,
            key,
            changes: None,
            order: Vec::new(),
            limit: (0, None),
        })
    }

    fn values(&mut self, values: &ast::Values, parent: Option<&Rc<Scope>>) -> Result<Bound> {
        let scope =
            Rc::new(Scope { items: Vec::new(), merged: Vec::new(), parent: parent.cloned(), first_only: false });
        let mut block = Block::new(scope);
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let row: Result<Vec<_>> = row.iter().map(|expr| block.expr(self, expr, Place::Rows)).collect();
            rows.push(row?);
        }
        if !block.joins_before.is_empty() {
            return Err(
                SqlError::new("0A000", "subqueries in VALUES are not supported").hint("write SELECT … UNION ALL")
            );
        }
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            return Err(SqlError::new("42601", "VALUES lists must all be the same length"));
        }
        let mut columns = Vec::with_capacity(width);
        for at in 0..width {
            let mut kinds = rows.iter().filter_map(|row| row.get(at)).map(|expr| self.kind(expr));
            let first = kinds.next().flatten();
            let kind = if kinds.all(|kind| kind == first) { first } else { None };
            columns.push(Output { name: format!("column{}", at + 1), column: self.column(kind), spread: false });
        }
        let ids = columns.iter().map(|column| column.column).collect();
        Ok(Bound {
            rel: Rel::Values { rows, columns: ids },
            columns,
            key: vec!["n".to_owned()],
            changes: None,
            order: Vec::new(),
            limit: (0, None),
        })
    }

    /// ORDER BY and LIMIT over a query that is no single SELECT: by its columns only.
    fn ended(&mut self, mut bound: Bound, tail: &Tail<'_>) -> Result<Bound> {
        let mut order = Vec::with_capacity(tail.order.len());
        for key in tail.order {
            let column = self.output(&key.expr, &bound.columns)?;
            let Some(column) = column else {
                return Err(SqlError::new(
                    "0A000",
                    "ORDER BY of a set operation takes names and numbers of its columns",
                ));
            };
            order.push(sorting(Expr::Column(column), &key.options));
        }
        bound.order = order;
        self.limited(&mut bound, tail);
        Ok(bound)
    }

    pub(crate) fn limited(&mut self, bound: &mut Bound, tail: &Tail<'_>) {
        if !tail.is_limited() {
            return;
        }
        if bound.changes.is_some() {
            bound.limit = (tail.offset, tail.limit);
            return;
        }
        let input = std::mem::replace(&mut bound.rel, Rel::One);
        bound.rel = Rel::TopK {
            input: Box::new(input),
            partition: Vec::new(),
            order: bound.order.clone(),
            offset: tail.offset,
            limit: tail.limit,
            with_ties: tail.with_ties,
        };
    }

    /// The output that a name or a number in ORDER BY or GROUP BY means.
    pub(crate) fn output(&self, expr: &ast::Expr, columns: &[Output]) -> Result<Option<usize>> {
        match expr {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(number, _) => {
                    let at: usize = number.to_string().parse().unwrap_or(0);
                    let column = at.checked_sub(1).and_then(|at| columns.get(at));
                    let missing = || SqlError::new("42P10", format!("position {number} is not in the select list"));
                    column.map(|column| Some(column.column)).ok_or_else(missing)
                }
                _ => Ok(None),
            },
            ast::Expr::Identifier(name) => {
                let same = columns.iter().filter(|column| !column.spread);
                unique(&name.value, same.map(|column| (column.name.as_str(), column.column)))
            }
            _ => Ok(None),
        }
    }
}
