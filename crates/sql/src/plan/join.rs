//! Joins of FROM items: relations with relations, changes with relations, changes with changes (SQL-9.8, SQL-13.6).

use std::rc::Rc;

use millstream_flow::JoinKind;
use sqlparser::ast;

use crate::error::Result;
use crate::expr::{Comparison, Names};
use crate::plan::binder::Binder;
use crate::plan::block::{Block, Place, Resolver, Subjoin};
use crate::plan::clock;
use crate::plan::from::{self, From};
use crate::plan::rel::{Join, Over, Rel};
use crate::plan::scope::{Open, Scope};
use crate::{Expr, Notice, SqlError};

impl Binder<'_> {
    pub(crate) fn join(
        &mut self,
        left: From,
        right: From,
        kind: JoinKind,
        constraint: &ast::JoinConstraint,
        lateral: bool,
        parent: Option<&Rc<Scope>>,
    ) -> Result<From> {
        let (mut left, mut right) = (left.component(), right.component());
        let mut conditions = Vec::new();
        let mut merged = [left.merged.clone(), right.merged.clone()].concat();
        let origin = left.origin.or(right.origin);
        let scope = Scope {
            items: [left.items.clone(), right.items.clone()].concat(),
            merged: merged.clone(),
            parent: parent.cloned(),
            first_only: false,
        };
        let mut block = Block::new(Rc::new(scope));
        block.origin = origin;
        match constraint {
            ast::JoinConstraint::None => {}
            ast::JoinConstraint::On(expr) => {
                let condition = block.expr(self, expr, Place::On)?;
                self.check_condition(&condition, "ON")?;
                conditions = condition.conjuncts();
            }
            ast::JoinConstraint::Using(names) => {
                for name in names {
                    let name = from::names(name)?.pop().unwrap_or_default();
                    let (condition, one) = self.using(&left, &right, &name, kind)?;
                    conditions.push(condition);
                    merged.push((name, one));
                }
            }
            ast::JoinConstraint::Natural => {
                let all_known = |from: &From| from.items.iter().all(|item| matches!(item.open, Open::No));
                if !all_known(&left) || !all_known(&right) {
                    return Err(SqlError::new("0A000", "NATURAL joins need sides whose columns are known")
                        .hint("write ON, or USING with the columns"));
                }
                let names: Vec<String> =
                    left.items.iter().flat_map(|item| &item.known).map(|(name, _)| name.clone()).collect();
                for name in names {
                    if right.items.iter().any(|item| matches!(item.known(&name), Ok(Some(_)))) {
                        let (condition, one) = self.using(&left, &right, &name, kind)?;
                        conditions.push(condition);
                        merged.push((name, one));
                    }
                }
            }
        }
        let over_both = self.subqueries_in_on(&mut left, &mut right, std::mem::take(&mut block.joins_before))?;
        if !over_both.is_empty() && (kind != JoinKind::Inner || lateral) {
            return Err(SqlError::new("0A000", "a subquery in the condition of an outer join may use one side only")
                .hint("put it into a subquery in FROM"));
        }
        // Conditions on the clock stand above an inner join as well as in it.
        let clock = self.clock;
        let (timed, conditions): (Vec<_>, Vec<_>) =
            conditions.into_iter().partition(|c| clock.is_some_and(|clock| c.columns().contains(&clock)));
        if !timed.is_empty() && kind != JoinKind::Inner {
            return Err(clock::not_monotone("the clock in the condition of an outer join"));
        }
        let key = [left.key.clone(), right.key.clone()].concat();
        let driver = left.driver.or(right.driver);
        let items = [left.items, right.items].concat();
        let above = [left.above, right.above, timed].concat();
        // What is made of subqueries over both sides is there only above the join.
        let made: Vec<_> = over_both.iter().flat_map(|join| self.made(join)).collect();
        let (late, conditions): (Vec<_>, Vec<_>) =
            conditions.into_iter().partition(|c| c.columns().iter().any(|id| made.contains(id)));
        let over_changes = (left.origin, right.origin);
        let (rel, origin) = match over_changes {
            (None, None) => (self.join_relations(left.rel, right.rel, kind, conditions, lateral)?, None),
            (Some(l), Some(r)) => {
                let (rel, origin) = self.join_changes(left.rel, right.rel, kind, conditions, l, r)?;
                (rel, Some(origin))
            }
            (Some(origin), None) => {
                if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
                    return Err(keeps_the_table());
                }
                let mut join = self.split(left.rel, right.rel, kind, conditions)?;
                join.over = Over::Lookup;
                (Rel::Join(Box::new(join)), Some(origin))
            }
            (None, Some(origin)) => {
                let kind = match kind {
                    JoinKind::Inner => JoinKind::Inner,
                    JoinKind::Right => JoinKind::Left,
                    _ => return Err(keeps_the_table()),
                };
                let width = (key.len() - 1, 1);
                let mut join = self.split(right.rel, left.rel, kind, conditions)?;
                join.over = Over::Lookup;
                // The key stands in the order of the text.
                let order = (width.1..width.0 + width.1).chain(0..width.1).map(Expr::KeyPart).collect();
                (Rel::Rekey { input: Box::new(Rel::Join(Box::new(join))), key: order }, Some(origin))
            }
        };
        let rel = self.join_all(rel, over_both)?;
        let (rel, late) = self.filters_to_joins(rel, late)?;
        Ok(From { rel: rel.filtered(late), items, merged, key, origin, driver, above, bare: None })
    }

    /// Joins subqueries of a condition to the side whose columns they use; gives those that use both.
    fn subqueries_in_on(&mut self, left: &mut From, right: &mut From, joins: Vec<Subjoin>) -> Result<Vec<Subjoin>> {
        let mut over_both = Vec::new();
        for mut subjoin in joins {
            let own = self.columns_of(&subjoin.join.right);
            let join = &subjoin.join;
            let expressions = join.keys.iter().map(|(outer, _)| outer).chain(&join.residual);
            let mut used: Vec<_> = expressions.flat_map(Expr::columns).chain(subjoin.depends.iter().copied()).collect();
            used.retain(|id| !own.contains(id));
            let side = [&mut *right, &mut *left].into_iter().find(|side| {
                let columns = self.columns_of(&side.rel);
                used.iter().all(|id| columns.contains(id))
            });
            match side {
                Some(side) => {
                    if side.origin.is_none() {
                        subjoin.join.over = Over::Relations;
                    }
                    let rel = std::mem::replace(&mut side.rel, Rel::One);
                    side.rel = self.join_all(rel, vec![subjoin])?;
                }
                None => over_both.push(subjoin),
            }
        }
        Ok(over_both)
    }

    /// The columns that a subquery's join makes.
    fn made(&self, subjoin: &Subjoin) -> Vec<usize> {
        let late = subjoin.late.iter().map(|(id, _)| *id);
        self.columns_of(&subjoin.join.right).into_iter().chain(subjoin.join.mark).chain(late).collect()
    }

    fn join_relations(
        &mut self,
        left: Rel,
        right: Rel,
        kind: JoinKind,
        conditions: Vec<Expr>,
        lateral: bool,
    ) -> Result<Rel> {
        if lateral {
            return self.join_lateral(left, right, kind, conditions);
        }
        let join = self.split(left, right, kind, conditions)?;
        if join.keys.is_empty()
            && !matches!(
                (&join.left, &join.right),
                (Rel::One | Rel::Values { .. }, _) | (_, Rel::One | Rel::Values { .. })
            )
        {
            self.notice(Notice::new("a join without an equality compares all pairs of rows"));
        }
        Ok(Rel::Join(Box::new(join)))
    }

    /// A join whose conditions are told apart: equalities between the sides, and the rest.
    pub(crate) fn split(&mut self, left: Rel, right: Rel, kind: JoinKind, conditions: Vec<Expr>) -> Result<Join> {
        let left_columns = self.columns_of(&left);
        let right_columns = self.columns_of(&right);
        let (mut left, mut right) = (left, right);
        let mut keys = Vec::new();
        let mut residual = Vec::new();
        let (mut left_only, mut right_only) = (Vec::new(), Vec::new());
        for condition in conditions {
            let columns = condition.columns();
            let in_left =
                |expr: &Expr| !expr.columns().is_empty() && expr.columns().iter().all(|c| left_columns.contains(c));
            let in_right =
                |expr: &Expr| !expr.columns().is_empty() && expr.columns().iter().all(|c| right_columns.contains(c));
            match condition {
                Expr::Compare(Comparison::Equal, a, b) if in_left(&a) && in_right(&b) => keys.push((*a, *b)),
                Expr::Compare(Comparison::Equal, a, b) if in_right(&a) && in_left(&b) => keys.push((*b, *a)),
                other if kind == JoinKind::Inner && !columns.is_empty() && in_left(&other) => left_only.push(other),
                other
                    if matches!(kind, JoinKind::Inner | JoinKind::Left) && !columns.is_empty() && in_right(&other) =>
                {
                    right_only.push(other);
                }
                other => residual.push(other),
            }
        }
        left = left.filtered(left_only);
        right = right.filtered(right_only);
        Ok(Join { left, right, kind, keys, residual, mark: None, over: Over::Relations })
    }

    /// Puts conditions on one side of a join below it, where that changes nothing: what does not pass is not kept there, nor
    /// read. Gives the conditions that are left.
    pub(crate) fn sunk(&self, rel: Rel, conditions: Vec<Expr>) -> (Rel, Vec<Expr>) {
        let movable = |condition: &Expr| {
            let volatile = |part: &Expr| match part {
                Expr::Call(function, _) => function.volatile,
                Expr::KeyPart(_) | Expr::Routine(..) => true,
                _ => false,
            };
            !condition.columns().is_empty() && !condition.any(&mut |part| volatile(part))
        };
        match rel {
            Rel::Join(mut join) if !matches!(join.over, Over::Changes(_)) => {
                use JoinKind as J;
                let (left_columns, right_columns) = (self.columns_of(&join.left), self.columns_of(&join.right));
                let to_left = matches!(join.kind, J::Inner | J::Left | J::Semi | J::Anti | J::Mark | J::Single);
                let to_right = matches!(join.kind, J::Inner | J::Right);
                let (mut left, mut right, mut rest) = (Vec::new(), Vec::new(), Vec::new());
                for condition in conditions {
                    let columns = condition.columns();
                    match movable(&condition) {
                        true if to_left && columns.iter().all(|id| left_columns.contains(id)) => left.push(condition),
                        true if to_right && columns.iter().all(|id| right_columns.contains(id)) => {
                            right.push(condition)
                        }
                        _ => rest.push(condition),
                    }
                }
                let below = |side: &mut Rel, conditions| {
                    let (rel, rest) = self.sunk(std::mem::replace(side, Rel::One), conditions);
                    *side = rel.filtered(rest);
                };
                below(&mut join.left, left);
                below(&mut join.right, right);
                (Rel::Join(join), rest)
            }
            Rel::Rekey { input, key } if matches!(*input, Rel::Join(_)) => {
                let (movable, mut rest): (Vec<_>, Vec<_>) = conditions.into_iter().partition(movable);
                let (input, stayed) = self.sunk(*input, movable);
                rest.extend(stayed);
                (Rel::Rekey { input: Box::new(input), key }, rest)
            }
            other => (other, conditions),
        }
    }

    /// `USING (name)`: the condition, and the one column that it makes of two.
    fn using(&mut self, left: &From, right: &From, name: &str, kind: JoinKind) -> Result<(Expr, Expr)> {
        let side = |binder: &mut Self, from: &From| {
            let mut block = Block::new(Rc::new(from.scope(None)));
            let ident = ast::Ident::new(name);
            Resolver { binder, block: &mut block, place: Place::On, below: 0 }.name(&[ident])
        };
        let (a, b) = (side(self, left)?, side(self, right)?);
        let condition = Expr::Compare(Comparison::Equal, Box::new(a.clone()), Box::new(b.clone()));
        let one = match kind {
            JoinKind::Right => b,
            JoinKind::Full => Expr::Coalesce(vec![a, b]),
            _ => a,
        };
        Ok((condition, one))
    }
}

fn keeps_the_table() -> SqlError {
    SqlError::new(
        "0A000",
        "a join of changes with a table may keep unmatched changes, but not unmatched rows of the table",
    )
    .hint("put the changes on the side that is kept")
}
