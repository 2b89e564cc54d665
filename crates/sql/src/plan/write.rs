//! Writes as queries: which rows they touch and what each becomes (SQL-10).

use std::rc::Rc;

use millstream_flow::{AggregateFunction, Bound as FrameEnd, Datum, Exclude, Frame, FrameUnit, WindowFunction};
use sqlparser::ast;

use crate::error::Result;
use crate::expr::Step;
use crate::plan::binder::{Binder, Bound, Output};
use crate::plan::block::{Block, Place};
use crate::plan::from::Driver;
use crate::plan::rel::{Rel, Window};
use crate::plan::scope::{Item, Open, Scope};
use crate::plan::{
    Catalog, Column, Computed, Conflict, Plan, Purpose, Relation, Settings, SourceColumn, Target, Variable, Write,
    WriteAction, builtin, syntax,
};
use crate::statement::{self, Assignment, ConflictAction, Name, Path, Value};
use crate::{Expr, SqlError, Type};

impl Write {
    /// Plans an `INSERT`.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn insert(
        insert: &statement::Insert,
        variables: &[Variable],
        catalog: &dyn Catalog,
        settings: &Settings,
    ) -> Result<Self> {
        let (database, collection) = target(&insert.table, catalog, settings)?;
        let mut binder = Binder::new(catalog, settings, Purpose::Batch, variables);
        let targets: Vec<Target> = insert.targets.iter().map(steps).collect();
        check_targets(&targets)?;
        let bound = match &insert.source {
            statement::Source::Default => binder.rows(&[vec![]])?,
            statement::Source::Query(query) => {
                let bound = binder.query(query, None)?;
                if bound.changes.is_some() {
                    return Err(SqlError::new(
                        "0A000",
                        "a change query cannot be inserted; make it a materialized view",
                    ));
                }
                let (order, bound) = (bound.order.clone(), binder.stored(bound));
                Bound { order, ..bound }
            }
            statement::Source::Values(rows) => binder.rows(rows)?,
        };
        let whole = matches!(&insert.source, statement::Source::Default) || targets.is_empty();
        let wrong = if targets.is_empty() { bound.columns.len() > 1 } else { bound.columns.len() != targets.len() };
        if wrong {
            let message = match targets.is_empty() {
                true => "INSERT without a list of columns takes one document".to_owned(),
                false => format!("INSERT has {} target columns but {} values", targets.len(), bound.columns.len()),
            };
            return Err(SqlError::new("42601", message).hint("list the columns: INSERT INTO t (a, b) VALUES …"));
        }
        let alias = insert.alias.clone().unwrap_or_else(|| insert.table.name.clone());
        let conflict = insert.conflict.as_ref().map(|conflict| binder.conflict(conflict, &alias)).transpose()?;
        let returning = binder.returning(&insert.returning, &alias)?;
        let plan = Plan::of(binder, bound)?;
        let targets = (!whole).then_some(targets);
        Ok(Self { plan, database, collection, action: WriteAction::Insert { targets, conflict }, returning })
    }

    /// Plans an `UPDATE`.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn update(
        update: &statement::Update,
        variables: &[Variable],
        catalog: &dyn Catalog,
        settings: &Settings,
    ) -> Result<Self> {
        let (database, collection) = target(&update.table, catalog, settings)?;
        let mut binder = Binder::new(catalog, settings, Purpose::Batch, variables);
        let alias = update.alias.clone().unwrap_or_else(|| update.table.name.clone());
        let targets: Vec<(Target, bool)> =
            update.set.iter().map(|one| (steps(&one.target), is_value(&one.value))).collect();
        check_targets(&targets.iter().map(|(target, _)| target.clone()).collect::<Vec<_>>())?;
        if targets.iter().any(|(target, _)| matches!(target.first(), Some(Step::Field(name)) if name == "_id")) {
            return Err(
                SqlError::new("0A000", "_id cannot be changed").hint("insert the document anew and delete the old one")
            );
        }
        let bound = binder.touched(&update.table, &alias, &update.from, update.filter.as_ref(), &update.set)?;
        let returning = binder.returning(&update.returning, &alias)?;
        let plan = Plan::of(binder, bound)?;
        Ok(Self { plan, database, collection, action: WriteAction::Update { targets }, returning })
    }

    /// Plans a `DELETE`.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn delete(
        delete: &statement::Delete,
        variables: &[Variable],
        catalog: &dyn Catalog,
        settings: &Settings,
    ) -> Result<Self> {
        let (database, collection) = target(&delete.table, catalog, settings)?;
        let mut binder = Binder::new(catalog, settings, Purpose::Batch, variables);
        let alias = delete.alias.clone().unwrap_or_else(|| delete.table.name.clone());
        let bound = binder.touched(&delete.table, &alias, &delete.using, delete.filter.as_ref(), &[])?;
        let returning = binder.returning(&delete.returning, &alias)?;
        let plan = Plan::of(binder, bound)?;
        Ok(Self { plan, database, collection, action: WriteAction::Delete, returning })
    }
}

impl Computed {
    /// Plans one expression without columns: of a trigger's body, an argument, a setting.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn plan(expr: &ast::Expr, variables: &[Variable], catalog: &dyn Catalog, settings: &Settings) -> Result<Self> {
        let mut binder = Binder::new(catalog, settings, Purpose::Batch, variables);
        let mut block = Block::new(crate::plan::select::nothing());
        let plain = block.expr(&mut binder, expr, Place::Rows)?;
        if block.joins_before.is_empty() && block.joins_after.is_empty() {
            return Ok(Self::Plain(plain));
        }
        let rel = binder.join_all(Rel::One, block.joins_before)?;
        let column = binder.column_for(&plain);
        let bound = Bound {
            rel: rel.mapped(vec![(column, plain)]),
            columns: vec![Output { name: "value".to_owned(), column, spread: false }],
            key: Vec::new(),
            changes: None,
            order: Vec::new(),
            limit: (0, None),
        };
        Ok(Self::Query(Box::new(Plan::of(binder, bound)?)))
    }
}

impl Binder<'_> {
    /// The rows of a query with NULL in place of what is missing: a field is left out only for `DEFAULT`.
    fn stored(&mut self, bound: Bound) -> Bound {
        let mut made = Vec::new();
        let mut columns = Vec::with_capacity(bound.columns.len());
        for column in &bound.columns {
            let id = self.column(self.types.get(column.column).cloned().flatten());
            made.push((id, null_if_missing(Expr::Column(column.column))));
            columns.push(Output { column: id, ..column.clone() });
        }
        Bound { rel: bound.rel.mapped(made), columns, ..bound }
    }

    /// The rows of `VALUES`.
    fn rows(&mut self, rows: &[Vec<Value>]) -> Result<Bound> {
        let mut block = Block::new(crate::plan::select::nothing());
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            return Err(SqlError::new("42601", "VALUES lists must all be the same length"));
        }
        let mut bound_rows = Vec::with_capacity(rows.len());
        for row in rows {
            let mut bound = Vec::with_capacity(width);
            for value in row {
                bound.push(match value {
                    Value::Default => Expr::Constant(Datum::Missing),
                    Value::Expr(expr) => null_if_missing(block.expr(self, expr, Place::Rows)?),
                });
            }
            bound_rows.push(bound);
        }
        let ids: Vec<_> = (0..width).map(|_| self.column(None)).collect();
        let name = |(at, id): (usize, &usize)| Output { name: format!("column{}", at + 1), column: *id, spread: false };
        let columns = ids.iter().enumerate().map(name).collect();
        // Subqueries in values are joined to a row without columns.
        let joins = std::mem::take(&mut block.joins_before);
        let rel = if joins.is_empty() {
            Rel::Values { rows: bound_rows, columns: ids }
        } else if let [row] = bound_rows.as_slice() {
            let rel = self.join_all(Rel::One, joins)?;
            rel.mapped(ids.into_iter().zip(row.iter().cloned()).collect())
        } else {
            return Err(SqlError::new("0A000", "subqueries in VALUES of several rows are not supported")
                .hint("insert the rows one by one, or INSERT … SELECT"));
        };
        let key = vec!["n".to_owned()];
        Ok(Bound { rel, columns, key, changes: None, order: Vec::new(), limit: (0, None) })
    }

    /// The rows that an `UPDATE` or `DELETE` touches: the document, how many rows matched it, the new values.
    fn touched(
        &mut self,
        table: &Name,
        alias: &str,
        others: &[ast::TableWithJoins],
        filter: Option<&ast::Expr>,
        set: &[Assignment],
    ) -> Result<Bound> {
        let mut tables = vec![table_with_alias(table, alias)];
        tables.extend(others.iter().cloned());
        let from = self.from(&tables, &mut Driver::None, None)?;
        if from.origin.is_some() {
            return Err(SqlError::new("0A000", "a write cannot be driven by changes").hint("use a trigger"));
        }
        let mut scope = from.scope(None);
        scope.first_only = true;
        let mut block = Block::new(Rc::new(scope));
        let mut conditions = Vec::new();
        for conjunct in filter.map(syntax::conjuncts).unwrap_or_default() {
            let condition = block.expr(self, conjunct, Place::Where)?;
            self.check_condition(&condition, "WHERE")?;
            conditions.extend(condition.conjuncts());
        }
        let rel = self.join_all(from.rel, std::mem::take(&mut block.joins_before))?;
        let (rel, conditions) = self.filters_to_joins(rel, conditions)?;
        let mut rel = rel.filtered(conditions);
        let Some(Item { open: Open::Scan(scan), .. }) = from.items.first() else {
            return Err(SqlError::new("42809", format!("\"{}\" is no collection", table.name)));
        };
        let whole = self.scan_column(*scan, SourceColumn::Whole);
        let count = self.column(Some(Type::BigInt));
        if from.items.len() > 1 {
            // The first match of each row counts, by row key (SQL-10.5).
            let frame = Frame {
                unit: FrameUnit::Rows,
                start: FrameEnd::UnboundedPreceding,
                end: FrameEnd::UnboundedFollowing,
                exclude: Exclude::NoOthers,
            };
            let call = Window {
                function: WindowFunction::Aggregate(AggregateFunction::Count),
                arguments: Vec::new(),
                filter: None,
                ignore_nulls: false,
                frame,
            };
            let counted = Rel::Window {
                input: Box::new(rel),
                partition: vec![Expr::KeyPart(0)],
                order: Vec::new(),
                calls: vec![(count, call)],
                running: None,
            };
            rel = Rel::TopK {
                input: Box::new(counted),
                partition: vec![Expr::KeyPart(0)],
                order: Vec::new(),
                offset: 0,
                limit: Some(1),
                with_ties: false,
            };
        } else {
            rel = rel.mapped(vec![(count, Expr::Constant(Datum::Long(1)))]);
        }
        let mut made = Vec::with_capacity(set.len());
        for assignment in set {
            let value = match &assignment.value {
                Value::Default => Expr::Constant(Datum::Null),
                Value::Expr(expr) => null_if_missing(block.expr(self, expr, Place::Select)?),
            };
            made.push((self.column_for(&value), value));
        }
        rel = self.join_all(rel, std::mem::take(&mut block.joins_before))?;
        let ids: Vec<_> = [whole, count].into_iter().chain(made.iter().map(|(id, _)| *id)).collect();
        let rel = rel.mapped(made);
        let output = |(at, id): (usize, usize)| Output { name: format!("column{}", at + 1), column: id, spread: false };
        let columns = ids.into_iter().enumerate().map(output).collect();
        Ok(Bound { rel, columns, key: from.key, changes: None, order: Vec::new(), limit: (0, None) })
    }

    fn conflict(&mut self, conflict: &statement::Conflict, alias: &str) -> Result<Conflict> {
        let targets = conflict.targets.iter().map(steps).collect();
        let ConflictAction::Update { set, filter } = &conflict.action else {
            return Ok(Conflict { targets, update: None, condition: None });
        };
        if conflict.targets.is_empty() {
            return Err(SqlError::new("42601", "ON CONFLICT DO UPDATE needs the columns that are unique"));
        }
        let mut block = self.documents(&[alias, "excluded"]);
        let mut update = Vec::with_capacity(set.len());
        for assignment in set {
            let value = match &assignment.value {
                Value::Default => None,
                Value::Expr(expr) => Some(null_if_missing(block.expr(self, expr, Place::Rows)?)),
            };
            update.push((steps(&assignment.target), value));
        }
        let condition = filter.as_ref().map(|filter| block.expr(self, filter, Place::Where)).transpose()?;
        without_subqueries(&block)?;
        let in_place = |expr: &mut Expr| places(expr, &block);
        update.iter_mut().filter_map(|(_, value)| value.as_mut()).for_each(in_place);
        let mut condition = condition;
        condition.iter_mut().for_each(in_place);
        Ok(Conflict { targets, update: Some(update), condition })
    }

    /// `RETURNING`.
    fn returning(&mut self, items: &[ast::SelectItem], alias: &str) -> Result<Option<Vec<(Column, Expr)>>> {
        if items.is_empty() {
            return Ok(None);
        }
        let mut block = self.documents(&[alias]);
        let mut out: Vec<(Column, Expr)> = Vec::new();
        for item in items {
            let (expr, name) = match item {
                ast::SelectItem::UnnamedExpr(expr) => (expr, syntax::default_name(expr)),
                ast::SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.clone())),
                ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..) => {
                    let column = Column { name: "*".to_owned(), kind: Some(Type::Document), spread: true };
                    out.push((column, Expr::Column(0)));
                    continue;
                }
                other @ ast::SelectItem::ExprWithAliases { .. } => {
                    return Err(SqlError::new("0A000", format!("{other} is not supported in RETURNING")));
                }
            };
            let mut value = block.expr(self, expr, Place::Rows)?;
            let kind = self.kind(&value);
            places(&mut value, &block);
            let name = name.unwrap_or_else(|| format!("column{}", out.len() + 1));
            out.push((Column { name, kind, spread: false }, value));
        }
        without_subqueries(&block)?;
        Ok(Some(out))
    }

    /// A block over whole documents, one an alias, of which the first one's fields need no qualifier.
    fn documents(&mut self, aliases: &[&str]) -> Block {
        let item = |alias: &&str| {
            let column = self.column(Some(Type::Document));
            Item { alias: (*alias).to_owned(), known: Vec::new(), open: Open::Documents(vec![column]) }
        };
        let items = aliases.iter().map(item).collect();
        Block::new(Rc::new(Scope { items, merged: Vec::new(), parent: None, first_only: true }))
    }
}

/// Columns of documents by their place.
fn places(expr: &mut Expr, block: &Block) {
    expr.rewrite(&mut |part| match part {
        Expr::Column(id) => {
            let at = block
                .scope
                .items
                .iter()
                .position(|item| matches!(&item.open, Open::Documents(all) if all.contains(id)));
            at.map(Expr::Column)
        }
        _ => None,
    });
}

fn without_subqueries(block: &Block) -> Result<()> {
    if block.joins_before.is_empty() {
        return Ok(());
    }
    Err(SqlError::new("0A000", "subqueries are not supported in RETURNING and ON CONFLICT"))
}

fn null_if_missing(expr: Expr) -> Expr {
    Expr::Call(builtin("!STORED"), vec![expr])
}

fn is_value(value: &Value) -> bool {
    matches!(value, Value::Expr(_))
}

/// The steps of a path that is written.
fn steps(path: &Path) -> Target {
    [vec![Step::Field(path.column.clone())], path.steps.clone()].concat()
}

/// Refuses targets of which one is part of another: which one would win?
fn check_targets(targets: &[Target]) -> Result<()> {
    for (at, a) in targets.iter().enumerate() {
        if targets.iter().skip(at + 1).any(|b| a.starts_with(b) || b.starts_with(a)) {
            return Err(SqlError::new("42701", "a column is written more than once"));
        }
    }
    Ok(())
}

/// The collection that is written.
fn target(name: &Name, catalog: &dyn Catalog, settings: &Settings) -> Result<(String, String)> {
    if name.connection.is_some() {
        return Err(SqlError::new("0A000", "tables of other deployments are not offered"));
    }
    let database = name.database.clone().unwrap_or_else(|| settings.database.clone());
    if !catalog.is_writable(&database) {
        return Err(SqlError::new("42501", format!("the tables of \"{database}\" can be read, but not written")));
    }
    match catalog.relation(&database, &name.name) {
        Relation::Collection { .. } => Ok((database, name.name.clone())),
        Relation::View { .. } | Relation::Materialized { .. } => {
            Err(SqlError::new("42809", format!("\"{}\" is a view: it cannot be written", name.name)))
        }
        Relation::Rows { .. } => {
            Err(SqlError::new("42809", format!("\"{}\" is part of the catalogue: it cannot be written", name.name)))
        }
    }
}

fn table_with_alias(table: &Name, alias: &str) -> ast::TableWithJoins {
    let parts = table.database.iter().chain([&table.name]).map(ast::Ident::new).collect::<Vec<_>>();
    ast::TableWithJoins {
        relation: ast::TableFactor::Table {
            name: ast::ObjectName::from(parts),
            alias: Some(ast::TableAlias {
                explicit: true,
                name: ast::Ident::new(alias),
                columns: Vec::new(),
                at: None,
            }),
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        },
        joins: Vec::new(),
    }
}
