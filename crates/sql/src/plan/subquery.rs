//! Subqueries in expressions: each becomes a join of the block's relation with the subquery's (SQL-9.9).
//!
//! A subquery that uses columns from outside is taken apart: equalities with them become the join's keys, other conditions
//! its residual, and groups, windows and limits on the way up are made per value of the keys. Where that does not do, the
//! subquery is computed for each distinct combination of the outer columns that it uses.

use std::rc::Rc;

use millstream_flow::{AggregateFunction, Datum, JoinKind, SetOperation};
use sqlparser::ast;

use crate::error::Result;
use crate::expr::{Comparison, Test};
use crate::plan::binder::{Binder, Bound};
use crate::plan::block::{ARGUMENTS, Place, Resolver, Subjoin};
use crate::plan::rel::{Aggregate, ColumnId, Join, Over, Rel};
use crate::plan::scope::{Item, Open, Scope};
use crate::plan::syntax;
use crate::{Expr, SqlError, Type};

/// A subquery without its outer columns.
struct Pulled {
    rel: Rel,
    /// Over the outer side, over the subquery.
    keys: Vec<(Expr, Expr)>,
    residual: Vec<Expr>,
    /// Columns to make after the join.
    late: Vec<(ColumnId, Expr)>,
    /// Columns that are NULL where there is no row, but should be zero.
    counts: Vec<ColumnId>,
}

impl Resolver<'_, '_> {
    /// `EXISTS`, `IN`, `ANY`, `ALL`, `ARRAY(…)` and scalar subqueries.
    pub(crate) fn subquery_expr(&mut self, expr: &ast::Expr) -> Result<Expr> {
        match expr {
            ast::Expr::Exists { subquery, negated } => {
                let bound = self.inner_query(subquery)?;
                let mark = self.marked(bound, None)?;
                Ok(negate(*negated, mark))
            }
            ast::Expr::InSubquery { expr, subquery, negated } => {
                let values = match &**expr {
                    ast::Expr::Tuple(parts) => parts.iter().map(|part| self.inner(part)).collect::<Result<Vec<_>>>()?,
                    one => vec![self.inner(one)?],
                };
                let bound = self.inner_query(subquery)?;
                let mark = self.marked(bound, Some((Comparison::Equal, values)))?;
                Ok(negate(*negated, mark))
            }
            ast::Expr::AnyOp { left, compare_op, right, .. } => {
                let value = self.inner(left)?;
                let bound = self.inner_query(query_of(right)?)?;
                self.marked(bound, Some((comparison(compare_op)?, vec![value])))
            }
            ast::Expr::AllOp { left, compare_op, right } => {
                let value = self.inner(left)?;
                let bound = self.inner_query(query_of(right)?)?;
                let opposite = comparison(compare_op)?.opposite();
                let mark = self.marked(bound, Some((opposite, vec![value])))?;
                Ok(negate(true, mark))
            }
            ast::Expr::Subquery(query) => {
                let bound = self.inner_query(query)?;
                self.scalar(bound)
            }
            ast::Expr::Function(function) if syntax::function_name(function).as_deref() == Some("ARRAY") => {
                let ast::FunctionArguments::Subquery(query) = &function.args else {
                    return Err(SqlError::new("42601", "ARRAY takes a list or a subquery"));
                };
                let bound = self.inner_query(query)?;
                self.array(bound)
            }
            other => Err(SqlError::new("0A000", format!("{other} is not supported"))),
        }
    }

    /// Resolves the subquery; it sees this block's items.
    fn inner_query(&mut self, query: &ast::Query) -> Result<Bound> {
        let scope = Rc::clone(&self.block.scope);
        let bound = self.binder.query(query, Some(&scope))?;
        if bound.changes.is_some() {
            return Err(SqlError::new("0A000", "a subquery may not be a change query"));
        }
        Ok(bound)
    }

    /// A routine's query, whose arguments are columns of a scope of their own (SQL-16.3).
    pub(crate) fn routine_query(&mut self, query: &ast::Query, names: &[String], values: &[Expr]) -> Result<Expr> {
        let mut known = Vec::new();
        let mut columns = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let id = self.binder.column_for(value);
            known.extend(names.get(at).map(|name| (name.clone(), id)));
            known.push((format!("${}", at + 1), id));
            columns.push((id, value.clone()));
        }
        // One expression without FROM is put in place of the call.
        let plain = match &*query.body {
            ast::SetExpr::Select(select)
                if select.from.is_empty() && query.order_by.is_none() && query.with.is_none() =>
            {
                match select.projection.as_slice() {
                    [ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. }]
                        if select.selection.is_none() && !syntax::has_aggregate(expr, &[]) =>
                    {
                        Some(expr)
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        let item = Item { alias: ARGUMENTS.to_owned(), known, open: Open::No };
        let scope = Rc::new(Scope { items: vec![item], merged: Vec::new(), parent: None, first_only: false });
        if let Some(expr) = plain {
            let mut block = crate::plan::block::Block::new(scope);
            block.origin = self.block.origin;
            let mut result = self.binder.deeper(|binder| block.expr(binder, expr, Place::Rows))?;
            if !block.joins_before.is_empty() {
                return Err(SqlError::new("0A000", "subqueries in a function's expression are not supported"));
            }
            result.rewrite(&mut |part| match part {
                Expr::Column(id) => columns.iter().find(|(column, _)| column == id).map(|(_, value)| value.clone()),
                _ => None,
            });
            return Ok(result);
        }
        let mut bound = self.binder.deeper(|binder| binder.query(query, Some(&scope)))?;
        bound.rel.rewrite(&mut |part| match part {
            Expr::Column(id) => columns.iter().find(|(column, _)| column == id).map(|(_, value)| value.clone()),
            _ => None,
        });
        if bound.columns.len() > 1 {
            bound.columns.truncate(1);
        }
        let input = std::mem::replace(&mut bound.rel, Rel::One);
        bound.rel = Rel::TopK {
            input: Box::new(input),
            partition: Vec::new(),
            order: bound.order.clone(),
            offset: 0,
            limit: Some(1),
            with_ties: false,
        };
        self.scalar(bound)
    }

    /// A column that says whether a row of the subquery compares so with the values; without values, whether there is one.
    fn marked(&mut self, bound: Bound, compared: Option<(Comparison, Vec<Expr>)>) -> Result<Expr> {
        let mut conditions = Vec::new();
        if let Some((comparison, values)) = &compared {
            if values.len() != bound.columns.len() || bound.columns.iter().any(|column| column.spread) {
                return Err(SqlError::new("42601", "the subquery has another number of columns"));
            }
            for (value, column) in values.iter().zip(&bound.columns) {
                let column = Box::new(Expr::Column(column.column));
                conditions.push(Expr::Compare(*comparison, Box::new(value.clone()), column));
            }
        }
        let mark = self.binder.column(Some(Type::Boolean));
        self.attach(bound.rel, JoinKind::Mark, conditions, Some(mark))?;
        Ok(Expr::Column(mark))
    }

    /// The one value of a subquery.
    fn scalar(&mut self, bound: Bound) -> Result<Expr> {
        let [column] = bound.columns.as_slice() else {
            return Err(SqlError::new("42601", "a subquery in an expression must have one column"));
        };
        let column = column.column;
        self.attach(bound.rel, JoinKind::Single, Vec::new(), None)?;
        Ok(Expr::Column(column))
    }

    /// The values of a subquery as an array.
    fn array(&mut self, bound: Bound) -> Result<Expr> {
        let [column] = bound.columns.as_slice() else {
            return Err(SqlError::new("42601", "a subquery in ARRAY must have one column"));
        };
        let kind = self.binder.types.get(column.column).cloned().flatten();
        let id = self.binder.column(Some(Type::Array(kind.map(Box::new))));
        let call = Aggregate {
            function: AggregateFunction::ArrayAgg,
            arguments: vec![Expr::Column(column.column)],
            distinct: false,
            order: bound.order.clone(),
            filter: None,
        };
        let rel = Rel::Aggregate {
            input: Box::new(bound.rel),
            group: Vec::new(),
            sets: None,
            calls: vec![(id, call)],
            bucket: None,
        };
        self.attach(rel, JoinKind::Single, Vec::new(), None)?;
        Ok(Expr::Coalesce(vec![Expr::Column(id), Expr::Array(Vec::new())]))
    }

    /// Joins the subquery to the block, at the point where the expression is.
    fn attach(&mut self, rel: Rel, kind: JoinKind, conditions: Vec<Expr>, mark: Option<ColumnId>) -> Result<()> {
        let after = self.block.grouped && self.place.allows_aggregates();
        let free = self.binder.free(&rel);
        let (rel, keys, mut residual, late, depends) = match self.binder.pull(rel.clone(), &free)? {
            Some(pulled) => {
                let mut late = pulled.late;
                let zero =
                    |id: &ColumnId| (*id, Expr::Coalesce(vec![Expr::Column(*id), Expr::Constant(Datum::Long(0))]));
                // The late columns are made of counts that are zero where there is nothing.
                let counts: Vec<_> = pulled.counts.iter().map(zero).collect();
                if !late.is_empty() || !counts.is_empty() {
                    for (_, expr) in &mut late {
                        expr.rewrite(&mut |part| match part {
                            Expr::Column(id) => {
                                counts.iter().find(|(count, _)| count == id).map(|(_, zero)| zero.clone())
                            }
                            _ => None,
                        });
                    }
                }
                let late = [counts, late].concat();
                (pulled.rel, pulled.keys, pulled.residual, late, Vec::new())
            }
            None => (rel, Vec::new(), Vec::new(), Vec::new(), free),
        };
        // They are the subquery's filters: a row for which one is NULL is not among its rows.
        residual = residual.into_iter().map(|c| Expr::Is(Test::True, false, Box::new(c))).collect();
        residual.extend(conditions);
        let mut join = Join { left: Rel::One, right: rel, kind, keys, residual, mark, over: Over::Relations };
        if self.block.origin.is_some() {
            join.over = Over::Lookup;
        }
        if after {
            for (outer, _) in &mut join.keys {
                *outer = self.block.regroup(self.binder, outer.clone())?;
            }
            for condition in &mut join.residual {
                *condition = self.block.regroup(self.binder, condition.clone())?;
            }
        }
        let joins = if after { &mut self.block.joins_after } else { &mut self.block.joins_before };
        joins.push(Subjoin { join, late, depends });
        Ok(())
    }
}

impl Binder<'_> {
    /// The columns that a relation uses but nothing in it makes.
    pub(crate) fn free(&self, rel: &Rel) -> Vec<ColumnId> {
        fn visit(binder: &Binder<'_>, rel: &Rel, used: &mut Vec<ColumnId>, made: &mut Vec<ColumnId>) {
            for expr in rel.expressions() {
                used.extend(expr.columns());
            }
            made.extend(binder.columns_of(rel));
            if let Rel::Temporal { clock, .. } = rel {
                made.push(*clock);
            }
            for input in rel.inputs() {
                visit(binder, input, used, made);
            }
        }
        let (mut used, mut made) = (Vec::new(), Vec::new());
        visit(self, rel, &mut used, &mut made);
        made.extend(self.clock);
        used.retain(|id| !made.contains(id));
        used.sort_unstable();
        used.dedup();
        used
    }

    /// Takes a relation's outer columns out of it; `None` where that cannot be done with keys and conditions alone.
    fn pull(&mut self, rel: Rel, free: &[ColumnId]) -> Result<Option<Pulled>> {
        let uses = |expr: &Expr| expr.columns().iter().any(|id| free.contains(id));
        let own = self.free(&rel);
        if own.is_empty() {
            return Ok(Some(Pulled { rel, keys: vec![], residual: vec![], late: vec![], counts: vec![] }));
        }
        Ok(match rel {
            Rel::Filter { input, conditions } => {
                let Some(mut pulled) = self.pull(*input, free)? else { return Ok(None) };
                let mut kept = Vec::new();
                for condition in conditions {
                    let touches = |expr: &Expr| expr.columns().iter().any(|id| pulled.counts.contains(id));
                    if touches(&condition)
                        || condition.columns().iter().any(|id| pulled.late.iter().any(|(late, _)| late == id))
                    {
                        return Ok(None);
                    }
                    if !uses(&condition) {
                        kept.push(condition);
                        continue;
                    }
                    let outer =
                        |expr: &Expr| !expr.columns().is_empty() && expr.columns().iter().all(|id| free.contains(id));
                    match condition {
                        Expr::Compare(Comparison::Equal, a, b) if outer(&a) && !uses(&b) => pulled.keys.push((*a, *b)),
                        Expr::Compare(Comparison::Equal, a, b) if outer(&b) && !uses(&a) => pulled.keys.push((*b, *a)),
                        other => pulled.residual.push(other),
                    }
                }
                pulled.rel = pulled.rel.filtered(kept);
                Some(pulled)
            }
            Rel::Map { input, columns } => {
                let Some(mut pulled) = self.pull(*input, free)? else { return Ok(None) };
                let mut kept = Vec::new();
                for (id, expr) in columns {
                    let late =
                        |id: &ColumnId| pulled.counts.contains(id) || pulled.late.iter().any(|(late, _)| late == id);
                    if uses(&expr) || expr.columns().iter().any(late) {
                        pulled.late.push((id, expr));
                    } else {
                        kept.push((id, expr));
                    }
                }
                pulled.rel = pulled.rel.mapped(kept);
                Some(pulled)
            }
            Rel::Aggregate { input, group, sets: None, calls, bucket: None } => {
                if group.iter().any(|(_, expr)| uses(expr))
                    || calls.iter().any(|(_, call)| call.arguments.iter().any(uses))
                {
                    return Ok(None);
                }
                let Some(mut pulled) = self.pull(*input, free)? else { return Ok(None) };
                if !pulled.residual.is_empty() || !pulled.late.is_empty() || !pulled.counts.is_empty() {
                    return Ok(None);
                }
                let global = group.is_empty();
                let mut group = group;
                for (_, inner) in &mut pulled.keys {
                    let id = self.column_for(inner);
                    group.push((id, std::mem::replace(inner, Expr::Column(id))));
                }
                if global {
                    let counts = calls.iter().filter(|(_, call)| call.function == AggregateFunction::Count);
                    pulled.counts = counts.map(|(id, _)| *id).collect();
                }
                let rel = std::mem::replace(&mut pulled.rel, Rel::One);
                pulled.rel = Rel::Aggregate { input: Box::new(rel), group, sets: None, calls, bucket: None };
                Some(pulled)
            }
            Rel::Window { input, mut partition, order, calls, running: None } => {
                let Some(mut pulled) = self.pull(*input, free)? else { return Ok(None) };
                if !pulled.residual.is_empty() || !pulled.late.is_empty() || !pulled.counts.is_empty() {
                    return Ok(None);
                }
                partition.extend(pulled.keys.iter().map(|(_, inner)| inner.clone()));
                let rel = std::mem::replace(&mut pulled.rel, Rel::One);
                pulled.rel = Rel::Window { input: Box::new(rel), partition, order, calls, running: None };
                Some(pulled)
            }
            Rel::TopK { input, mut partition, order, offset, limit, with_ties } => {
                let Some(mut pulled) = self.pull(*input, free)? else { return Ok(None) };
                if !pulled.residual.is_empty() || !pulled.counts.is_empty() || order.iter().any(|key| uses(&key.value))
                {
                    return Ok(None);
                }
                partition.extend(pulled.keys.iter().map(|(_, inner)| inner.clone()));
                let rel = std::mem::replace(&mut pulled.rel, Rel::One);
                pulled.rel = Rel::TopK { input: Box::new(rel), partition, order, offset, limit, with_ties };
                Some(pulled)
            }
            Rel::Join(join) if join.kind == JoinKind::Inner && matches!(join.over, Over::Relations) => {
                let Join { left, right, keys, residual, .. } = *join;
                if keys.iter().any(|(a, b)| uses(a) || uses(b)) {
                    return Ok(None);
                }
                let (Some(left), Some(right)) = (self.pull(left, free)?, self.pull(right, free)?) else {
                    return Ok(None);
                };
                if !left.late.is_empty()
                    || !right.late.is_empty()
                    || !left.counts.is_empty()
                    || !right.counts.is_empty()
                {
                    return Ok(None);
                }
                let (outer, own): (Vec<_>, Vec<_>) = residual.into_iter().partition(uses);
                let join = Join {
                    left: left.rel,
                    right: right.rel,
                    kind: JoinKind::Inner,
                    keys,
                    residual: own,
                    mark: None,
                    over: Over::Relations,
                };
                Some(Pulled {
                    rel: Rel::Join(Box::new(join)),
                    keys: [left.keys, right.keys].concat(),
                    residual: [left.residual, right.residual, outer].concat(),
                    late: Vec::new(),
                    counts: Vec::new(),
                })
            }
            _ => None,
        })
    }

    /// A LATERAL join.
    pub(crate) fn join_lateral(&mut self, left: Rel, right: Rel, kind: JoinKind, conditions: Vec<Expr>) -> Result<Rel> {
        let free = self.free(&right);
        if free.is_empty() {
            return Ok(Rel::Join(Box::new(self.split(left, right, kind, conditions)?)));
        }
        if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
            return Err(SqlError::new("0A000", "RIGHT and FULL joins with LATERAL are not supported"));
        }
        if let Some(pulled) = self.pull(right.clone(), &free)?
            && pulled.counts.is_empty()
            && (pulled.late.is_empty() || kind == JoinKind::Inner)
        {
            let mut join = self.split(left, pulled.rel, kind, conditions)?;
            join.keys.extend(pulled.keys);
            join.residual.extend(pulled.residual);
            return Ok(Rel::Join(Box::new(join)).mapped(pulled.late));
        }
        let (right, keys) = self.depend(&left, right, &free)?;
        let mut join = self.split(left, right, kind, conditions)?;
        join.keys.extend(keys);
        Ok(Rel::Join(Box::new(join)))
    }

    /// Computes a relation for each distinct combination of the outer columns that it uses; the keys that bind it to them.
    pub(crate) fn depend(&mut self, left: &Rel, mut right: Rel, free: &[ColumnId]) -> Result<(Rel, Vec<(Expr, Expr)>)> {
        let available = self.columns_of(left);
        if free.iter().any(|id| !available.contains(id)) {
            return Err(SqlError::new("0A000", "this subquery uses columns of more than one query around it")
                .hint("write it as a join"));
        }
        let copies: Vec<_> = free.iter().map(|id| self.types.get(*id).cloned().flatten()).collect();
        let copies: Vec<_> = copies.into_iter().map(|kind| self.column(kind)).collect();
        let domain = Rel::SetOperation {
            operation: SetOperation::Distinct,
            all: false,
            left: Box::new((left.clone(), free.to_vec())),
            right: Box::new((Rel::One, Vec::new())),
            columns: copies.clone(),
        };
        right.rewrite(&mut |part| match part {
            Expr::Column(id) => {
                let at = free.iter().position(|outer| outer == id)?;
                copies.get(at).map(|copy| Expr::Column(*copy))
            }
            _ => None,
        });
        let right = self.inside(right, &domain, &copies)?;
        // NULLs are one value here: within an array they are equal.
        let whole = |id: &ColumnId| Expr::Array(vec![Expr::Column(*id)]);
        Ok((right, free.iter().map(whole).zip(copies.iter().map(whole)).collect()))
    }

    /// The relation with the domain joined in where its columns are used first.
    fn inside(&mut self, rel: Rel, domain: &Rel, copies: &[ColumnId]) -> Result<Rel> {
        let unsupported = || {
            SqlError::new("0A000", "this subquery depends on its surroundings in a way that is not supported")
                .hint("write it as a join")
        };
        if self.free(&rel).is_empty() {
            if matches!(rel, Rel::One) {
                return Ok(domain.clone());
            }
            let join = Join {
                left: domain.clone(),
                right: rel,
                kind: JoinKind::Inner,
                keys: Vec::new(),
                residual: Vec::new(),
                mark: None,
                over: Over::Relations,
            };
            return Ok(Rel::Join(Box::new(join)));
        }
        let by = |copies: &[ColumnId]| copies.iter().map(|id| Expr::Column(*id)).collect::<Vec<_>>();
        Ok(match rel {
            Rel::Filter { input, conditions } => {
                Rel::Filter { input: Box::new(self.inside(*input, domain, copies)?), conditions }
            }
            Rel::Map { input, columns } => Rel::Map { input: Box::new(self.inside(*input, domain, copies)?), columns },
            Rel::Rekey { input, mut key } => {
                key.extend(by(copies));
                Rel::Rekey { input: Box::new(self.inside(*input, domain, copies)?), key }
            }
            Rel::FlatMap { input, function, arguments, columns, outer } => Rel::FlatMap {
                input: Box::new(self.inside(*input, domain, copies)?),
                function,
                arguments,
                columns,
                outer,
            },
            Rel::Aggregate { input, mut group, sets: None, calls, bucket: None } if !group.is_empty() => {
                group.extend(copies.iter().map(|id| (*id, Expr::Column(*id))));
                let input = Box::new(self.inside(*input, domain, copies)?);
                Rel::Aggregate { input, group, sets: None, calls, bucket: None }
            }
            Rel::Aggregate { input, group, sets: None, calls, bucket: None } if group.is_empty() => {
                // There is a row for every combination, also for those for which there is nothing to aggregate.
                let input = self.inside(*input, domain, copies)?;
                let keys: Vec<_> = copies.iter().map(|id| self.types.get(*id).cloned().flatten()).collect();
                let keys: Vec<_> = keys.into_iter().map(|kind| self.column(kind)).collect();
                let group = keys.iter().copied().zip(by(copies)).collect();
                let counts = calls.iter().filter(|(_, call)| call.function == AggregateFunction::Count);
                let zero = |(id, _): &(ColumnId, Aggregate)| {
                    (*id, Expr::Coalesce(vec![Expr::Column(*id), Expr::Constant(Datum::Long(0))]))
                };
                let zeros = counts.map(zero).collect();
                let groups = Rel::Aggregate { input: Box::new(input), group, sets: None, calls, bucket: None };
                let whole = |expr: Expr| Expr::Array(vec![expr]);
                let join = Join {
                    left: domain.clone(),
                    right: groups,
                    kind: JoinKind::Left,
                    keys: copies
                        .iter()
                        .zip(&keys)
                        .map(|(a, b)| (whole(Expr::Column(*a)), whole(Expr::Column(*b))))
                        .collect(),
                    residual: Vec::new(),
                    mark: None,
                    over: Over::Relations,
                };
                Rel::Join(Box::new(join)).mapped(zeros)
            }
            Rel::Window { input, mut partition, order, calls, running: None } => {
                partition.extend(by(copies));
                let input = Box::new(self.inside(*input, domain, copies)?);
                Rel::Window { input, partition, order, calls, running: None }
            }
            Rel::TopK { input, mut partition, order, offset, limit, with_ties } => {
                partition.extend(by(copies));
                let input = Box::new(self.inside(*input, domain, copies)?);
                Rel::TopK { input, partition, order, offset, limit, with_ties }
            }
            Rel::Join(mut join) if matches!(join.over, Over::Relations) => {
                let (in_left, in_right) = (!self.free(&join.left).is_empty(), !self.free(&join.right).is_empty());
                match (in_left, in_right, join.kind) {
                    (
                        _,
                        false,
                        JoinKind::Inner
                        | JoinKind::Left
                        | JoinKind::Semi
                        | JoinKind::Anti
                        | JoinKind::Mark
                        | JoinKind::Single,
                    ) => {
                        let left = std::mem::replace(&mut join.left, Rel::One);
                        join.left = self.inside(left, domain, copies)?;
                    }
                    (false, true, JoinKind::Inner | JoinKind::Right) => {
                        let right = std::mem::replace(&mut join.right, Rel::One);
                        join.right = self.inside(right, domain, copies)?;
                    }
                    _ => return Err(unsupported()),
                }
                Rel::Join(join)
            }
            _ => return Err(unsupported()),
        })
    }

    /// Makes the joins that subqueries became.
    pub(crate) fn join_all(&mut self, mut rel: Rel, joins: Vec<Subjoin>) -> Result<Rel> {
        for Subjoin { mut join, late, depends } in joins {
            if !depends.is_empty() {
                let right = std::mem::replace(&mut join.right, Rel::One);
                let (right, keys) = self.depend(&rel, right, &depends)?;
                join.right = right;
                join.keys.extend(keys);
            }
            join.left = rel;
            rel = Rel::Join(Box::new(join)).mapped(late);
        }
        Ok(rel)
    }

    /// `WHERE EXISTS (…)` and `WHERE x IN (…)` keep or drop rows: no mark is needed for that, and equalities become keys.
    pub(crate) fn filters_to_joins(&mut self, rel: Rel, mut conditions: Vec<Expr>) -> Result<(Rel, Vec<Expr>)> {
        let Rel::Join(mut join) = rel else { return Ok((rel, conditions)) };
        let (Some(mark), JoinKind::Mark) = (join.mark, join.kind) else { return Ok((Rel::Join(join), conditions)) };
        let uses = conditions.iter().filter(|condition| condition.columns().contains(&mark)).count();
        let kept = conditions.iter().position(|condition| *condition == Expr::Column(mark));
        let dropped = conditions.iter().position(|condition| *condition == Expr::Not(Box::new(Expr::Column(mark))));
        let never_null = join.residual.iter().all(|condition| matches!(condition, Expr::Is(..)));
        let (at, kind) = match (kept, dropped) {
            (Some(at), _) => (at, JoinKind::Semi),
            (_, Some(at)) if never_null => (at, JoinKind::Anti),
            _ => return Ok((Rel::Join(join), conditions)),
        };
        if uses != 1 {
            return Ok((Rel::Join(join), conditions));
        }
        conditions.remove(at);
        let left = std::mem::replace(&mut join.left, Rel::One);
        let (left, conditions) = self.filters_to_joins(left, conditions)?;
        let residual = std::mem::take(&mut join.residual);
        let right = std::mem::replace(&mut join.right, Rel::One);
        let right_columns = self.columns_of(&right);
        for condition in residual {
            let inner = |expr: &Expr| expr.columns().iter().all(|id| right_columns.contains(id));
            match condition {
                Expr::Compare(Comparison::Equal, a, b) if inner(&b) && !inner(&a) => join.keys.push((*a, *b)),
                other => join.residual.push(other),
            }
        }
        (join.left, join.right, join.kind, join.mark) = (left, right, kind, None);
        Ok((Rel::Join(join), conditions))
    }
}

fn negate(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

fn query_of(expr: &ast::Expr) -> Result<&ast::Query> {
    match expr {
        ast::Expr::Subquery(query) => Ok(query),
        ast::Expr::Nested(inner) => query_of(inner),
        other => Err(SqlError::new("42601", format!("{other} is no subquery"))),
    }
}

fn comparison(operator: &ast::BinaryOperator) -> Result<Comparison> {
    use ast::BinaryOperator as B;
    Ok(match operator {
        B::Eq => Comparison::Equal,
        B::NotEq => Comparison::NotEqual,
        B::Lt => Comparison::Less,
        B::LtEq => Comparison::LessOrEqual,
        B::Gt => Comparison::Greater,
        B::GtEq => Comparison::GreaterOrEqual,
        other => return Err(SqlError::new("0A000", format!("{other} is not supported with ANY and ALL"))),
    })
}
