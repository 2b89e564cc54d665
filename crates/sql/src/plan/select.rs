//! A query: its WITH, its set operations, and each SELECT in the order of SQL-9.1.

use std::rc::Rc;

use millstream_flow::{Datum, JoinKind, SetOperation};
use sqlparser::ast::{self, SelectItem, SetExpr};

use crate::error::Result;
use crate::plan::binder::{Binder, Bound, Cte, Origin, Output, Sorting};
use crate::plan::block::{Block, Place};
use crate::plan::calls::sorting;
use crate::plan::from::{self, From};
use crate::plan::rel::Rel;
use crate::plan::scope::{Open, Scope, unique};
use crate::plan::{Purpose, SourceColumn, clock, syntax};
use crate::{Expr, SqlError};

/// What stands behind a query's body.
#[derive(Default)]
struct Tail<'q> {
    order: &'q [ast::OrderByExpr],
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
        if with.recursive {
            return Err(SqlError::new("0A000", "WITH RECURSIVE is not supported"));
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
            _ => return Err(SqlError::new("42804", format!("argument of {what} must be a whole number"))),
        };
        let state = if what == "OFFSET" { "2201X" } else { "2201W" };
        u64::try_from(number).map(Some).map_err(|_| SqlError::new(state, format!("{what} must not be negative")))
    }

    /// A body that is no SELECT.
    fn set(&mut self, body: &SetExpr, parent: Option<&Rc<Scope>>) -> Result<Bound> {
        match body {
            SetExpr::Select(select) => self.select(select, &Tail::default(), parent),
            SetExpr::Query(query) => self.query(query, parent),
            SetExpr::Values(values) => self.values(values, parent),
            SetExpr::Table(table) => {
                let name = table.table_name.clone().unwrap_or_default();
                let text = match &table.schema_name {
                    Some(schema) => format!("SELECT * FROM {}.{}", quoted(schema), quoted(&name)),
                    None => format!("SELECT * FROM {}", quoted(&name)),
                };
                let query = crate::plan::parsed(&text)?;
                self.query(&query, parent)
            }
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

    fn limited(&mut self, bound: &mut Bound, tail: &Tail<'_>) {
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
    fn output(&self, expr: &ast::Expr, columns: &[Output]) -> Result<Option<usize>> {
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

    /// One SELECT.
    fn select(&mut self, select: &ast::Select, tail: &Tail<'_>, parent: Option<&Rc<Scope>>) -> Result<Bound> {
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

    /// GROUP BY: fills the block's groups; the sets, if there are several.
    fn group_by(&mut self, block: &mut Block, select: &ast::Select) -> Result<Option<Vec<Vec<usize>>>> {
        let ast::GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else {
            return Err(SqlError::new("0A000", "GROUP BY ALL is not supported"));
        };
        if !modifiers.is_empty() {
            return Err(SqlError::new("42601", "write ROLLUP (…), CUBE (…) or GROUPING SETS (…)"));
        }
        let anywhere =
            select.projection.iter().filter_map(item_expr).chain(select.having.as_ref()).chain(select.qualify.as_ref());
        let aliases = block.aliases.clone();
        block.grouped = !expressions.is_empty()
            || select.having.is_some()
            || anywhere.into_iter().any(|expr| syntax::has_aggregate(expr, &aliases));
        let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
        let mut several = false;
        for expr in expressions {
            let choices: Vec<Vec<Vec<&ast::Expr>>> = match expr {
                ast::Expr::GroupingSets(groups) => vec![groups.iter().map(|group| group.iter().collect()).collect()],
                ast::Expr::Rollup(groups) => {
                    let prefix = |n: usize| groups.iter().take(n).flatten().collect();
                    vec![(0..=groups.len()).rev().map(prefix).collect()]
                }
                ast::Expr::Cube(groups) => {
                    if groups.len() > 12 {
                        return Err(SqlError::new("54000", "CUBE takes at most 12 elements"));
                    }
                    let subset = |bits: usize| {
                        let chosen =
                            groups.iter().enumerate().filter(|(at, _)| bits & (1 << (groups.len() - 1 - at)) != 0);
                        chosen.flat_map(|(_, group)| group).collect()
                    };
                    vec![(0..1_usize << groups.len()).rev().map(subset).collect()]
                }
                plain => vec![vec![vec![plain]]],
            };
            several |=
                !matches!(choices.as_slice(), [only] if only.len() == 1 && !matches!(expr, ast::Expr::GroupingSets(_)));
            for choice in choices {
                let mut combined = Vec::new();
                for set in &sets {
                    for group in &choice {
                        let mut set = set.clone();
                        for expr in group {
                            let at = self.grouping_expression(block, expr, select)?;
                            if let Some(at) = at
                                && !set.contains(&at)
                            {
                                set.push(at);
                            }
                        }
                        combined.push(set);
                    }
                }
                sets = combined;
            }
        }
        if several {
            block.bits = Some(self.column(Some(crate::Type::Integer)));
        }
        Ok(several.then_some(sets))
    }

    /// The place of a grouping expression; `()` has none.
    fn grouping_expression(
        &mut self,
        block: &mut Block,
        expr: &ast::Expr,
        select: &ast::Select,
    ) -> Result<Option<usize>> {
        if matches!(expr, ast::Expr::Tuple(parts) if parts.is_empty()) {
            return Ok(None);
        }
        let numbered = match expr {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(number, _) => {
                    let at: usize = number.to_string().parse().unwrap_or(0);
                    let item = at.checked_sub(1).and_then(|at| select.projection.get(at)).and_then(item_expr);
                    let missing =
                        || SqlError::new("42P10", format!("GROUP BY position {number} is not in the select list"));
                    Some(item.ok_or_else(missing)?)
                }
                _ => None,
            },
            _ => None,
        };
        let bound = block.expr(self, numbered.unwrap_or(expr), Place::GroupBy)?;
        if let Some(at) = block.group.iter().position(|(_, known)| *known == bound) {
            return Ok(Some(at));
        }
        let id = self.column_for(&bound);
        block.group.push((id, bound));
        Ok(Some(block.group.len() - 1))
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
                _ => self.column_for(&bound),
            };
            outputs.push((Output { name, column, spread: false }, bound));
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

    /// The groups, and the names of their key (SQL-14.3).
    fn aggregated(
        &mut self,
        rel: Rel,
        block: &mut Block,
        sets: Option<Vec<Vec<usize>>>,
        outputs: &[(Output, Expr)],
    ) -> Result<(Rel, Vec<String>)> {
        let mut key = Vec::with_capacity(block.group.len());
        for (at, (id, _)) in block.group.iter().enumerate() {
            let named =
                outputs.iter().find(|(_, expr)| *expr == Expr::Column(*id)).map(|(output, _)| output.name.clone());
            key.push(named.unwrap_or_else(|| format!("k{}", at + 1)));
        }
        let (bucket, end) = match block.origin {
            None => (None, None),
            Some(origin) => {
                let (bucket, end) = self.bucket(block, origin)?;
                (Some(bucket), Some(end))
            }
        };
        let sets = match (sets, block.bits) {
            (Some(sets), Some(bits)) => {
                if bucket.is_some() {
                    return Err(grows("GROUPING SETS"));
                }
                key.push("g".to_owned());
                Some((sets, bits))
            }
            _ => None,
        };
        let rel = Rel::Aggregate {
            input: Box::new(rel),
            group: std::mem::take(&mut block.group),
            sets,
            calls: std::mem::take(&mut block.aggregates),
            bucket,
        };
        // What comes out of a bucket is of the time at which it is over.
        let rel = match end {
            None => rel,
            Some(end) => {
                let time = self.column(Some(crate::Type::Timestamptz));
                block.origin = Some(Origin { time });
                rel.mapped(vec![(time, end)])
            }
        };
        Ok((rel, key))
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
        Rel::Aggregate { .. } | Rel::SetOperation { .. } | Rel::UnionAll { .. } | Rel::Values { .. } | Rel::One => {}
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
fn item_expr(item: &SelectItem) -> Option<&ast::Expr> {
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

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
