//! One SELECT, in the order of SQL-9.1.

use std::rc::Rc;

use millstream_flow::{Datum, JoinKind, SetOperation};
use sqlparser::ast::{self, SelectItem};

use crate::error::Result;
use crate::plan::binder::{Binder, Bound, Output, Sorting};
use crate::plan::block::{Block, Place};
use crate::plan::calls::sorting;
use crate::plan::from::{self, From};
use crate::plan::query::Tail;
use crate::plan::rel::Rel;
use crate::plan::scope::{Open, Scope};
use crate::plan::{Purpose, SourceColumn, clock, syntax};
use crate::{Expr, SqlError};

/// Columns of a query (SQL-22.1).
const COLUMNS_MAX: usize = 1_000;

/// More of something than a statement may have (SQL-22.1).
pub(crate) fn too_many(what: &str, limit: usize) -> SqlError {
    SqlError::new("54000", format!("a query has {limit} {what} at most"))
}

impl Binder<'_> {
    /// One SELECT.
    pub(crate) fn select(
        &mut self,
        select: &ast::Select,
        tail: &Tail<'_>,
        parent: Option<&Rc<Scope>>,
    ) -> Result<Bound> {
        unsupported(select)?;
        let mut driver = from::driver(select.selection.as_ref())?;
        let from = self.from(&select.from, &mut driver, parent)?;
        let mut block = Block::new(Rc::new(from.scope(parent)));
        block.driver = from.driver.or_else(|| single_driver(self, &from));
        block.origin = from.origin;
        block.aliases = aliases(&select.projection);
        block.named_windows = named_windows(select)?;
        let over_changes = from.origin.is_some();

        // WHERE: what comes before groups and windows, and what comes after.
        let mut late = Vec::new();
        let mut early = from.above.clone();
        for conjunct in select.selection.as_ref().map(syntax::conjuncts).unwrap_or_default() {
            if from::change_detected(conjunct).is_some() {
                continue;
            }
            if syntax::has_window(conjunct, &[]) {
                return Err(SqlError::new("42P20", "window functions may not stand in WHERE")
                    .hint("give the function an alias and use that, or write QUALIFY"));
            }
            if syntax::has_window(conjunct, &block.aliases) {
                late.push(conjunct);
                continue;
            }
            let condition = block.expr(self, conjunct, Place::Where)?;
            self.check_condition(&condition, "WHERE")?;
            early.extend(condition.conjuncts());
        }
        let rel = self.join_all(from.rel, std::mem::take(&mut block.joins_before))?;
        let (rel, early) = self.filters_to_joins(rel, early)?;
        let (rel, early) = self.sunk(rel, early);
        let mut rel = self.filter_by_clock(rel, early, over_changes)?;

        // GROUP BY.
        let sets = self.group_by(&mut block, select)?;
        block.ungrouped = self.columns_of(&rel);
        scans(&rel, &mut block.scans);
        let mut outputs = self.projection(&mut block, select)?;
        let having = match &select.having {
            None => Vec::new(),
            Some(having) => {
                if !block.grouped {
                    block.grouped = true;
                }
                let condition = block.expr(self, having, Place::Having)?;
                self.check_condition(&condition, "HAVING")?;
                condition.conjuncts()
            }
        };
        let mut last = Vec::new();
        for conjunct in late.into_iter().chain(select.qualify.as_ref()) {
            let condition = block.expr(self, conjunct, Place::LateWhere)?;
            self.check_condition(&condition, "QUALIFY")?;
            last.extend(condition.conjuncts());
        }
        let mut order = Vec::with_capacity(tail.order.len());
        for key in tail.order {
            let names: Vec<_> = outputs.iter().map(|(output, _)| output.clone()).collect();
            let value = match self.output(&key.expr, &names)? {
                Some(column) => Expr::Column(column),
                None => block.expr(self, &key.expr, Place::OrderBy)?,
            };
            order.push(sorting(value, &key.options));
        }
        if let (true, false, [only], None) = (order.is_empty(), block.grouped, block.scans.as_slice(), &select.distinct)
        {
            // A materialized view is read in its own order.
            for (name, descending) in self.scans.get(*only).map(|scan| scan.order.clone()).unwrap_or_default() {
                let value = Expr::Column(self.scan_column(*only, SourceColumn::Field(name)));
                order.push(Sorting { value, descending, nulls_first: descending });
            }
        }
        let distinct_on = match &select.distinct {
            Some(ast::Distinct::On(keys)) => {
                let mut on = Vec::with_capacity(keys.len());
                for key in keys {
                    let names: Vec<_> = outputs.iter().map(|(output, _)| output.clone()).collect();
                    on.push(match self.output(key, &names)? {
                        Some(column) => Expr::Column(column),
                        None => block.expr(self, key, Place::Select)?,
                    });
                }
                Some(on)
            }
            _ => None,
        };

        // The relation, in the order of evaluation.
        rel = self.join_all(rel, std::mem::take(&mut block.joins_before))?;
        let mut key = from.key;
        if block.grouped {
            let (grouped, names) = self.aggregated(rel, &mut block, sets, &outputs)?;
            rel = grouped;
            key = names;
        }
        rel = self.join_all(rel, std::mem::take(&mut block.joins_after))?;
        let (joined, having) = self.filters_to_joins(rel, having)?;
        rel = self.filter_by_clock(joined, having, over_changes)?;
        for window in std::mem::take(&mut block.windows) {
            rel = Rel::Window {
                input: Box::new(rel),
                partition: window.partition,
                order: window.order,
                calls: window.calls,
                running: window.running,
            };
        }
        rel = self.filter_by_clock(rel, last, over_changes)?;
        let made: Vec<_> =
            outputs.iter().filter(|(output, expr)| *expr != Expr::Column(output.column)).cloned().collect();
        rel = rel.mapped(made.into_iter().map(|(output, expr)| (output.column, expr)).collect());
        let columns: Vec<Output> = outputs.drain(..).map(|(output, _)| output).collect();

        let mut bound = Bound { rel, columns, key, changes: block.origin, order, limit: (0, None) };
        match &select.distinct {
            Some(ast::Distinct::Distinct) => self.distinct(&mut bound)?,
            Some(ast::Distinct::On(_)) => self.distinct_on(&mut bound, distinct_on.unwrap_or_default())?,
            _ => {}
        }
        self.limited(&mut bound, tail);
        Ok(bound)
    }

    /// The select list: its columns and what they are.
    fn projection(&mut self, block: &mut Block, select: &ast::Select) -> Result<Vec<(Output, Expr)>> {
        let mut outputs: Vec<(Output, Expr)> = Vec::new();
        let mut used: Vec<String> = Vec::new();
        let mut at = 0;
        for item in &select.projection {
            let (expr, alias) = match item {
                SelectItem::UnnamedExpr(expr) => (expr, None),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.clone())),
                SelectItem::Wildcard(_) => {
                    let items = block.scope.items.clone();
                    for item in &items {
                        self.star(block, item, &mut outputs)?;
                    }
                    continue;
                }
                SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let alias = from::names(name)?.pop().unwrap_or_default();
                    let scope = Rc::clone(&block.scope);
                    let Some(item) = scope.item(&alias)? else {
                        return Err(SqlError::new("42P01", format!("\"{alias}\" is no item of FROM")));
                    };
                    self.star(block, item, &mut outputs)?;
                    continue;
                }
                other => return Err(SqlError::new("0A000", format!("{other} is not supported in a select list"))),
            };
            let bound = block.expr_below(self, expr, Place::Select, at)?;
            if alias.is_some() {
                at += 1;
            }
            let wanted = alias.clone().or_else(|| syntax::default_name(expr));
            let name = wanted.unwrap_or_else(|| format!("column{}", outputs.len() + 1));
            let name = if alias.is_some() && self.purpose == Purpose::View { name } else { fresh(name, &used) };
            used.push(name.clone());
            let column = match bound {
                Expr::Column(id) => id,
                // What meets nothing stays text.
                Expr::Untyped(_) => self.column(Some(crate::Type::Text(None))),
                _ => self.column_for(&bound),
            };
            outputs.push((Output { name, column, spread: false }, bound));
        }
        if outputs.len() > COLUMNS_MAX {
            return Err(too_many("columns", COLUMNS_MAX));
        }
        Ok(outputs)
    }

    /// `*` of one item.
    fn star(
        &mut self,
        block: &Block,
        item: &crate::plan::scope::Item,
        outputs: &mut Vec<(Output, Expr)>,
    ) -> Result<()> {
        if block.grouped {
            return Err(SqlError::new("42803", "* may not stand in a grouped query"));
        }
        for (name, column) in &item.known {
            let used: Vec<String> = outputs.iter().map(|(output, _)| output.name.clone()).collect();
            let name = fresh(name.clone(), &used);
            outputs.push((Output { name, column: *column, spread: false }, Expr::Column(*column)));
        }
        let documents = match &item.open {
            Open::No => Vec::new(),
            Open::Scan(scan) => vec![self.scan_column(*scan, SourceColumn::Whole)],
            Open::Documents(documents) => documents.clone(),
            Open::Element(_) => return Ok(()),
        };
        for column in documents {
            let name = format!("*{}", item.alias);
            outputs.push((Output { name, column, spread: true }, Expr::Column(column)));
        }
        Ok(())
    }

    fn distinct(&mut self, bound: &mut Bound) -> Result<()> {
        if bound.changes.is_some() {
            return Err(grows("DISTINCT"));
        }
        if bound.columns.iter().any(|column| column.spread) {
            return Err(
                SqlError::new("0A000", "DISTINCT needs columns that are named").hint("list the columns instead of *")
            );
        }
        let ids: Vec<_> = bound.columns.iter().map(|column| column.column).collect();
        let listed = |key: &Sorting| matches!(key.value, Expr::Column(id) if ids.contains(&id));
        if !bound.order.iter().all(listed) {
            return Err(SqlError::new("42P10", "for SELECT DISTINCT, ORDER BY expressions must be in the select list"));
        }
        let fresh: Vec<_> = ids.iter().map(|id| self.types.get(*id).cloned().flatten()).collect();
        let fresh: Vec<_> = fresh.into_iter().map(|kind| self.column(kind)).collect();
        for key in &mut bound.order {
            if let Expr::Column(id) = &mut key.value
                && let Some(at) = ids.iter().position(|known| known == id)
            {
                *id = fresh.get(at).copied().unwrap_or(*id);
            }
        }
        for (column, id) in bound.columns.iter_mut().zip(&fresh) {
            column.column = *id;
        }
        bound.key = bound.columns.iter().map(|column| column.name.clone()).collect();
        let rel = std::mem::replace(&mut bound.rel, Rel::One);
        bound.rel = Rel::SetOperation {
            operation: SetOperation::Distinct,
            all: false,
            left: Box::new((rel, ids)),
            right: Box::new((Rel::One, Vec::new())),
            columns: fresh,
        };
        Ok(())
    }

    fn distinct_on(&mut self, bound: &mut Bound, on: Vec<Expr>) -> Result<()> {
        if bound.changes.is_some() {
            return Err(grows("DISTINCT ON"));
        }
        let leading = bound.order.iter().take(on.len());
        if !bound.order.is_empty() && !leading.clone().all(|key| on.contains(&key.value)) {
            return Err(SqlError::new(
                "42P10",
                "SELECT DISTINCT ON expressions must match the first ORDER BY expressions",
            ));
        }
        let input = std::mem::replace(&mut bound.rel, Rel::One);
        let first = Rel::TopK {
            input: Box::new(input),
            partition: on.clone(),
            order: bound.order.clone(),
            offset: 0,
            limit: Some(1),
            with_ties: false,
        };
        let name = |(at, expr): (usize, &Expr)| {
            let output = bound.columns.iter().find(|column| *expr == Expr::Column(column.column));
            output.map_or_else(|| format!("k{}", at + 1), |output| output.name.clone())
        };
        bound.key = on.iter().enumerate().map(name).collect();
        bound.rel = Rel::Rekey { input: Box::new(first), key: on };
        Ok(())
    }

    /// The rows for which the conditions hold, those on the clock by the clock (SQL-11).
    fn filter_by_clock(&mut self, rel: Rel, conditions: Vec<Expr>, over_changes: bool) -> Result<Rel> {
        let clock = if over_changes { None } else { self.clock };
        let Some(clock) = clock else { return Ok(rel.filtered(conditions)) };
        let (timed, plain): (Vec<_>, Vec<_>) =
            conditions.into_iter().partition(|condition| condition.columns().contains(&clock));
        let rel = rel.filtered(plain);
        if timed.is_empty() {
            return Ok(rel);
        }
        let condition = Expr::all_of(timed);
        let instants = clock::instants(&condition, clock, &self.settings.time_zone)?;
        Ok(Rel::Temporal { input: Box::new(rel), condition, instants, clock })
    }

    /// The value of an expression without columns.
    pub(crate) fn constant(&self, expr: &Expr) -> Result<Datum> {
        if !expr.columns().is_empty() || expr.any(&mut |part| matches!(part, Expr::Variable(_) | Expr::KeyPart(_))) {
            return Err(SqlError::new("0A000", "this must be a constant"));
        }
        let context = crate::plan::bare_context(self.settings);
        let row = millstream_flow::Row::new(vec![], vec![]);
        Ok(expr.compile(&context).eval(&row)?)
    }
}

/// The scans whose columns a relation has.
fn scans(rel: &Rel, found: &mut Vec<usize>) {
    match rel {
        Rel::Scan(scan) => found.push(*scan),
        Rel::Aggregate { .. }
        | Rel::One
        | Rel::Recursive { .. }
        | Rel::SetOperation { .. }
        | Rel::UnionAll { .. }
        | Rel::Values { .. }
        | Rel::Working(_) => {}
        Rel::Join(join) if matches!(join.kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) => {
            scans(&join.left, found)
        }
        other => other.inputs().into_iter().for_each(|rel| scans(rel, found)),
    }
}

/// The driven collection of a FROM that is just that, or a join of it with tables.
fn single_driver(binder: &Binder<'_>, from: &From) -> Option<usize> {
    fn search(binder: &Binder<'_>, rel: &Rel, found: &mut Vec<usize>) {
        if let Rel::Scan(scan) = rel
            && binder.scans.get(*scan).is_some_and(|scan| scan.driven)
        {
            found.push(*scan);
        }
        match rel {
            Rel::Scan(_) | Rel::Join(_) | Rel::Filter { .. } | Rel::FlatMap { .. } => {
                rel.inputs().into_iter().for_each(|rel| search(binder, rel, found));
            }
            // What is below a subquery is not in sight.
            Rel::Rekey { input, .. } if matches!(**input, Rel::Join(_)) => search(binder, input, found),
            _ => {}
        }
    }
    let direct =
        from.items.iter().any(
            |item| matches!(item.open, Open::Scan(scan) if binder.scans.get(scan).is_some_and(|scan| scan.driven)),
        ) || from.items.iter().any(|item| !item.known.is_empty());
    let mut found = Vec::new();
    if direct {
        search(binder, &from.rel, &mut found);
    }
    match found.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// No FROM items.
pub(crate) fn nothing() -> Rc<Scope> {
    Rc::new(Scope { items: Vec::new(), merged: Vec::new(), parent: None, first_only: false })
}

/// The expression of a select item.
pub(crate) fn item_expr(item: &SelectItem) -> Option<&ast::Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// The aliases of a select list, in order.
fn aliases(projection: &[SelectItem]) -> Vec<(String, ast::Expr)> {
    let aliased = projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } => Some((alias.value.clone(), expr.clone())),
        _ => None,
    });
    aliased.collect()
}

fn named_windows(select: &ast::Select) -> Result<Vec<(String, ast::WindowSpec)>> {
    let windows = select.named_window.iter().map(|ast::NamedWindowDefinition(name, definition)| match definition {
        ast::NamedWindowExpr::WindowSpec(spec) => Ok((name.value.clone(), spec.clone())),
        ast::NamedWindowExpr::NamedWindow(other) => Ok((
            name.value.clone(),
            ast::WindowSpec {
                window_name: Some(other.clone()),
                partition_by: Vec::new(),
                order_by: Vec::new(),
                window_frame: None,
            },
        )),
    });
    windows.collect()
}

/// A name that no column before has.
fn fresh(name: String, used: &[String]) -> String {
    if !used.contains(&name) {
        return name;
    }
    (2..).map(|n| format!("{name}_{n}")).find(|name| !used.contains(name)).unwrap_or(name)
}

/// State that would grow for ever (SQL-13.9, SQL-13.14).
pub(crate) fn grows(what: &str) -> SqlError {
    SqlError::new("MS004", format!("{what} over changes would keep every change for ever"))
        .hint("use a running window aggregate, or materialize the change query and make a view over its collection")
}

fn unsupported(select: &ast::Select) -> Result<()> {
    let what = if select.top.is_some() {
        "TOP"
    } else if select.into.is_some() {
        "SELECT INTO"
    } else if !select.lateral_views.is_empty() {
        "LATERAL VIEW"
    } else if select.prewhere.is_some() {
        "PREWHERE"
    } else if !select.connect_by.is_empty() {
        "CONNECT BY"
    } else if !select.sort_by.is_empty() || !select.cluster_by.is_empty() || !select.distribute_by.is_empty() {
        "SORT BY"
    } else {
        return Ok(());
    };
    Err(SqlError::new("0A000", format!("{what} is not supported")))
}
