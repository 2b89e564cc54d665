//! FROM: tables, views, subqueries, functions that make rows, and joins (SQL-3.8, SQL-9.8, SQL-13).

use std::collections::BTreeMap;
use std::rc::Rc;

use millstream_flow::{Datum, JoinKind};
use sqlparser::ast::{self, TableFactor};

use crate::error::Result;
use crate::expr::Test;
use crate::near::nearest;
use crate::plan::binder::{Binder, Bound, CteRows, Origin, Scan};
use crate::plan::block::{Block, Place};
use crate::plan::recursive;
use crate::plan::rel::Rel;
use crate::plan::scope::{Item, Open, Scope, unique};
use crate::plan::select::too_many;
use crate::plan::{Column, Purpose, Relation, SourceColumn, syntax};
use crate::{Expr, Notice, SqlError};

/// FROM items so far.
pub(crate) struct From {
    pub(crate) rel: Rel,
    pub(crate) items: Vec<Item>,
    pub(crate) merged: Vec<(String, Expr)>,
    /// The key's components: one an item.
    pub(crate) key: Vec<String>,
    pub(crate) origin: Option<Origin>,
    /// The collection whose changes these are, if it is one directly.
    pub(crate) driver: Option<usize>,
    /// Conditions that must be applied above all joins: those on the clock.
    pub(crate) above: Vec<Expr>,
    /// The name of the key's one component, where that is a value that may be NULL: a group's, a column's.
    pub(crate) bare: Option<String>,
}

/// Items of FROM (SQL-22.1).
const ITEMS_MAX: usize = 64;

/// What drives a block, as its WHERE says.
pub(crate) enum Driver {
    /// Nothing.
    None,
    /// The first collection of FROM.
    First,
    /// The item with this alias.
    Alias(String),
}

impl Binder<'_> {
    /// All of FROM.
    pub(crate) fn from(
        &mut self,
        tables: &[ast::TableWithJoins],
        driver: &mut Driver,
        parent: Option<&Rc<Scope>>,
    ) -> Result<From> {
        let mut from: Option<From> = None;
        for table in tables {
            let first = self.factor(&table.relation, from.as_ref(), driver, parent)?;
            // A comma is a cross join of what its sides are, but rows of a function and LATERAL see what is before them.
            let (mut current, rest) = match first {
                Factor::Item(item) => (*item, from.take()),
                rows => {
                    let left = from.take().unwrap_or_else(empty);
                    (self.combine(left, rows, JoinKind::Inner, &ast::JoinConstraint::None, parent)?, None)
                }
            };
            for join in &table.joins {
                let (kind, constraint) = join_kind(&join.join_operator)?;
                let right = self.factor(&join.relation, Some(&current), driver, parent)?;
                current = self.combine(current, right, kind, constraint, parent)?;
            }
            from = Some(match rest {
                None => current,
                Some(rest) => {
                    self.combine(rest, Factor::item(current), JoinKind::Inner, &ast::JoinConstraint::None, parent)?
                }
            });
        }
        let from = from.unwrap_or_else(empty);
        if from.items.len() > ITEMS_MAX {
            return Err(too_many("items in FROM", ITEMS_MAX));
        }
        let images = ["NEW", "OLD"];
        if from.origin.is_some() || self.variables.iter().any(|variable| images.contains(&variable.name.as_str())) {
            let reserved = |item: &&Item| images.iter().any(|image| item.alias.eq_ignore_ascii_case(image));
            if let Some(item) = from.items.iter().find(reserved) {
                return Err(SqlError::new("42939", format!("\"{}\" is the image of a change here", item.alias))
                    .hint("give the table another alias"));
            }
        }
        let mut aliases: Vec<&str> = from.items.iter().map(|item| item.alias.as_str()).collect();
        aliases.sort_unstable();
        if let Some(twice) = aliases.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
            return Err(SqlError::new("42712", format!("table name \"{twice}\" is given more than once"))
                .hint("give one of them another alias"));
        }
        match driver {
            Driver::None => {}
            Driver::First => return Err(SqlError::new("0A000", "CHANGE_DETECTED() needs a collection in FROM")),
            Driver::Alias(alias) => {
                let alias = alias.clone();
                if !from.items.iter().any(|item| item.alias == alias) {
                    return Err(SqlError::new("42P01", format!("\"{alias}\" is no item of FROM")));
                }
                return Err(SqlError::new("0A000", format!("\"{alias}\" is no collection whose changes could drive")));
            }
        }
        Ok(from)
    }

    /// One item of FROM.
    fn factor(
        &mut self,
        factor: &TableFactor,
        before: Option<&From>,
        driver: &mut Driver,
        parent: Option<&Rc<Scope>>,
    ) -> Result<Factor> {
        match factor {
            TableFactor::Table { name, alias, args, with_ordinality, sample, .. } => {
                if sample.is_some() {
                    return Err(SqlError::new("0A000", "TABLESAMPLE is not supported"));
                }
                if let Some(args) = args {
                    return self.call(name, &args.args, *with_ordinality, alias.as_ref(), before, driver, parent);
                }
                self.table(name, alias.as_ref(), driver).map(Factor::item)
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                self.call(name, args, *with_ordinality, alias.as_ref(), before, driver, parent)
            }
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
                let arguments = self.arguments(array_exprs.iter(), before, parent)?;
                self.function_rows("UNNEST", arguments, *with_ordinality, alias.as_ref())
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                let scope = match (lateral, before) {
                    (true, Some(before)) => Some(Rc::new(before.scope(parent))),
                    _ => parent.cloned(),
                };
                let bound = self.query(subquery, scope.as_ref())?;
                let name = alias.as_ref().map_or("subquery", |alias| &alias.name.value);
                if bound.changes.is_some() {
                    already_driven(driver, name);
                }
                let item = self.derived(name, alias.as_ref(), bound)?;
                Ok(if *lateral { Factor::Lateral(Box::new(item)) } else { Factor::item(item) })
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                let nested = self.from(std::slice::from_ref(table_with_joins), &mut Driver::None, parent)?;
                Ok(Factor::item(nested))
            }
            other => Err(SqlError::new("0A000", format!("{other} is not supported in FROM"))),
        }
    }

    /// A name in FROM.
    fn table(&mut self, name: &ast::ObjectName, alias: Option<&ast::TableAlias>, driver: &mut Driver) -> Result<From> {
        let parts = names(name)?;
        let (database, collection) = match parts.as_slice() {
            [one] => {
                if let Some(at) = self.cte(one)?
                    && let Some(cte) = self.ctes.get(at).cloned()
                {
                    if let CteRows::Working(columns) = cte.rows {
                        return Ok(self.working(at, one, columns, alias));
                    }
                    let kept = self.ctes.split_off(cte.sees.min(at));
                    let bound = match cte.rows {
                        CteRows::Query => self.deeper(|binder| binder.query(&cte.query, cte.parent.as_ref())),
                        CteRows::Recursive => self.deeper(|binder| binder.recursive(&cte)),
                        CteRows::Working(_) | CteRows::Used => Err(recursive::used_again(one)),
                    };
                    self.ctes.extend(kept);
                    let bound = named(bound?, &cte.columns)?;
                    if bound.changes.is_some() {
                        already_driven(driver, alias.map_or(one.as_str(), |alias| &alias.name.value));
                    }
                    return self.derived(one, alias, bound);
                }
                (self.database.clone(), one.clone())
            }
            [database, collection] => (database.clone(), collection.clone()),
            _ => {
                return Err(SqlError::new("0A000", format!("tables of other deployments are not offered: {name}")));
            }
        };
        let shown = alias.map_or(collection.as_str(), |alias| &alias.name.value).to_owned();
        self.uses.relations.insert((database.clone(), collection.clone()));
        match self.catalog.relation(&database, &collection) {
            Relation::View { query, columns } => {
                let bound = self.deeper(|binder| {
                    let ctes = std::mem::take(&mut binder.ctes);
                    let around = std::mem::replace(&mut binder.database, database);
                    let bound = binder.query(&query, None);
                    (binder.ctes, binder.database) = (ctes, around);
                    bound
                })?;
                let bound = named(bound, &columns)?;
                if bound.changes.is_some() {
                    already_driven(driver, &shown);
                }
                self.derived(&collection, alias, bound)
            }
            Relation::Rows { .. } if self.purpose == Purpose::View => {
                Err(SqlError::new("0A000", format!("{name} tells what there is now: it has no changes to follow")))
            }
            Relation::Rows { columns, rows } => {
                self.asks_catalogue = true;
                let rows = rows.into_iter().map(|row| row.into_iter().map(Expr::Constant).collect()).collect();
                let known: Vec<_> =
                    columns.into_iter().map(|(name, kind)| (name.to_owned(), self.column(Some(kind)))).collect();
                let columns = known.iter().map(|(_, id)| *id).collect();
                let item = Item { alias: shown.clone(), known, open: Open::No };
                let rel = Rel::Values { rows, columns };
                let (items, key) = (vec![item], vec![shown]);
                Ok(From {
                    rel,
                    items,
                    merged: Vec::new(),
                    key,
                    origin: None,
                    driver: None,
                    above: Vec::new(),
                    bare: None,
                })
            }
            Relation::Collection { exists } => {
                if !exists {
                    self.missing(&database, &collection)?;
                }
                let (scan, item) = self.scan(&database, &collection, &shown, driver);
                let item = Item { open: Open::Scan(scan), ..item };
                Ok(self.scanned(scan, item))
            }
            Relation::Materialized { columns, order } => {
                let (scan, mut item) = self.scan(&database, &collection, &shown, driver);
                if let Some(scan) = self.scans.get_mut(scan) {
                    scan.order = order;
                }
                if columns.iter().any(|column| column.spread) {
                    item.open = Open::Scan(scan);
                } else {
                    // `_id` is stored first.
                    let id = columns.iter().find(|column| column.name == "_id").cloned();
                    let id = id.unwrap_or(Column { name: "_id".to_owned(), kind: None, spread: false });
                    for column in [&id].into_iter().chain(columns.iter().filter(|column| column.name != "_id")) {
                        let place = self.scan_column(scan, SourceColumn::Field(column.name.clone()));
                        if let Some(kind) = self.types.get_mut(place) {
                            kind.clone_from(&column.kind);
                        }
                        item.known.push((column.name.clone(), place));
                    }
                }
                Ok(self.scanned(scan, item))
            }
        }
    }

    /// The place of the `WITH` query that a name means: the innermost of that name, else of the one name that is like it.
    fn cte(&self, name: &str) -> Result<Option<usize>> {
        let names: BTreeMap<&str, usize> =
            self.ctes.iter().enumerate().map(|(at, cte)| (cte.name.as_str(), at)).collect();
        unique(name, names.iter().map(|(name, at)| (*name, *at)))
    }

    /// A collection that is not there: an empty table, told of (SQL-3.2).
    fn missing(&mut self, database: &str, collection: &str) -> Result<()> {
        let relations = self.catalog.relations(database);
        let near = nearest(collection, relations.iter().map(String::as_str));
        let hint = near.map(|near| format!("did you mean \"{near}\"?"));
        if self.settings.strict_tables {
            let mut error = SqlError::new("42P01", format!("table \"{database}.{collection}\" does not exist"));
            error.hint = hint;
            return Err(error);
        }
        let text = format!("table \"{database}.{collection}\" does not exist: it is read as an empty one");
        self.notice(Notice { hint, ..Notice::new(text) });
        Ok(())
    }

    fn scan(&mut self, database: &str, collection: &str, alias: &str, driver: &mut Driver) -> (usize, Item) {
        let driven = match driver {
            Driver::None => false,
            Driver::First => true,
            Driver::Alias(wanted) => wanted == alias,
        };
        if driven {
            *driver = Driver::None;
        }
        self.scans.push(Scan {
            database: database.to_owned(),
            collection: collection.to_owned(),
            driven,
            columns: Vec::new(),
            order: Vec::new(),
        });
        (self.scans.len() - 1, Item { alias: alias.to_owned(), known: Vec::new(), open: Open::No })
    }

    fn scanned(&mut self, scan: usize, item: Item) -> From {
        let driven = self.scans.get(scan).is_some_and(|scan| scan.driven);
        let origin = driven.then(|| Origin { time: self.scan_column(scan, SourceColumn::Time) });
        From {
            rel: Rel::Scan(scan),
            key: vec![item.alias.clone()],
            items: vec![item],
            merged: Vec::new(),
            origin,
            driver: driven.then_some(scan),
            above: Vec::new(),
            bare: None,
        }
    }

    /// A subquery as an item.
    fn derived(&mut self, name: &str, alias: Option<&ast::TableAlias>, bound: Bound) -> Result<From> {
        let columns: Vec<String> =
            alias.iter().flat_map(|alias| &alias.columns).map(|column| column.name.value.clone()).collect();
        let bound = named(bound, &columns)?;
        let alias = alias.map_or(name, |alias| &alias.name.value).to_owned();
        let known = bound.columns.iter().filter(|column| !column.spread);
        let known = known.map(|column| (column.name.clone(), column.column)).collect();
        let documents: Vec<_> =
            bound.columns.iter().filter(|column| column.spread).map(|column| column.column).collect();
        let open = if documents.is_empty() { Open::No } else { Open::Documents(documents) };
        // The item's own key is one component of the key of what it is joined with.
        let bare = bound.key.first().filter(|_| bound.key.len() == 1 && may_be_null(&bound.rel)).cloned();
        let rel = packed(bound.rel, &bound.key);
        Ok(From {
            rel,
            key: vec![alias.clone()],
            items: vec![Item { alias, known, open }],
            merged: Vec::new(),
            origin: bound.changes,
            driver: None,
            above: Vec::new(),
            bare,
        })
    }

    /// `CHANGES(t)`, `UNNEST(a)`, `GENERATE_SERIES(1, 3)`.
    #[expect(clippy::too_many_arguments, reason = "the parts of one syntax node")]
    fn call(
        &mut self,
        name: &ast::ObjectName,
        arguments: &[ast::FunctionArg],
        ordinality: bool,
        alias: Option<&ast::TableAlias>,
        before: Option<&From>,
        driver: &mut Driver,
        parent: Option<&Rc<Scope>>,
    ) -> Result<Factor> {
        let parts = names(name)?;
        let upper = parts.last().map(|part| part.to_ascii_uppercase()).unwrap_or_default();
        let expressions = arguments.iter().map(|argument| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr),
            other => Err(SqlError::new("42601", format!("{other} is no argument of {name}"))),
        });
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        if upper == "CHANGES" {
            let table = match expressions.as_slice() {
                [ast::Expr::Identifier(table)] => ast::ObjectName::from(vec![table.clone()]),
                [ast::Expr::CompoundIdentifier(parts)] => ast::ObjectName::from(parts.clone()),
                _ => return Err(SqlError::new("42601", "CHANGES takes one collection")),
            };
            let mut own = Driver::First;
            let item = self.table(&table, alias, &mut own)?;
            if matches!(own, Driver::First) {
                return Err(SqlError::new("0A000", format!("{table} is no collection whose changes could be read")));
            }
            if let Some(item) = item.items.first() {
                already_driven(driver, &item.alias);
            }
            return Ok(Factor::item(item));
        }
        let arguments = self.arguments(expressions.into_iter(), before, parent)?;
        self.function_rows(&upper, arguments, ordinality, alias)
    }

    fn arguments<'e>(
        &mut self,
        expressions: impl Iterator<Item = &'e ast::Expr>,
        before: Option<&From>,
        parent: Option<&Rc<Scope>>,
    ) -> Result<Vec<Expr>> {
        let scope = match before {
            Some(before) => Rc::new(before.scope(parent)),
            None => {
                Rc::new(Scope { items: Vec::new(), merged: Vec::new(), parent: parent.cloned(), first_only: false })
            }
        };
        let mut block = Block::new(scope);
        block.origin = before.and_then(|before| before.origin);
        expressions.map(|expr| block.expr(self, expr, Place::Rows)).collect()
    }

    /// A function that makes rows.
    fn function_rows(
        &mut self,
        name: &str,
        arguments: Vec<Expr>,
        ordinality: bool,
        alias: Option<&ast::TableAlias>,
    ) -> Result<Factor> {
        let Some(function) = crate::expr::table_function(name) else {
            // A function of one value is one row of it.
            if let Some(function) = crate::expr::function(name)
                && !ordinality
                && (function.arguments.0..=function.arguments.1).contains(&arguments.len())
            {
                let shown = alias.map_or_else(|| name.to_ascii_lowercase(), |alias| alias.name.value.clone());
                let value = Expr::Array(vec![Expr::Call(function, arguments)]);
                let column = alias.and_then(|alias| alias.columns.first()).map(|column| column.name.value.clone());
                let id = self.column(function.result.clone());
                let known = vec![(column.unwrap_or_else(|| shown.clone()), id)];
                let item = Item { alias: shown, known, open: Open::Element(id) };
                return Ok(Factor::Rows { function: "UNNEST", arguments: vec![value], columns: vec![id], item });
            }
            return Err(SqlError::new("42883", format!("function {} does not exist", name.to_ascii_lowercase()))
                .hint("functions in FROM are UNNEST, GENERATE_SERIES, JSONB_EACH and the like"));
        };
        if arguments.len() < function.arguments.0 || arguments.len() > function.arguments.1 {
            return Err(SqlError::new("42883", format!("wrong number of arguments for {}", function.name)));
        }
        let shown = alias.map_or_else(|| function.name.to_ascii_lowercase(), |alias| alias.name.value.clone());
        let mut names: Vec<String> =
            alias.iter().flat_map(|alias| &alias.columns).map(|column| column.name.value.clone()).collect();
        let described = function.columns(arguments.len());
        let single = described.len() == 1;
        let mut columns = Vec::new();
        let mut known = Vec::new();
        for (at, (name, kind)) in described.into_iter().enumerate() {
            let id = self.column(kind);
            columns.push(id);
            let default = if single { shown.clone() } else { name };
            known.push((names.get(at).cloned().unwrap_or(default), id));
        }
        if ordinality {
            let id = self.column(Some(crate::Type::BigInt));
            columns.push(id);
            let at = known.len();
            known.push((names.get(at).cloned().unwrap_or_else(|| "ordinality".to_owned()), id));
        }
        if names.len() > known.len() {
            names.truncate(known.len());
            return Err(SqlError::new("42P10", format!("\"{shown}\" has {} columns", known.len())));
        }
        // The element itself: `i.x` is a field of it.
        let open = match (single, columns.first()) {
            (true, Some(element)) => Open::Element(*element),
            _ => Open::No,
        };
        let item = Item { alias: shown, known, open };
        Ok(Factor::Rows { function: function.name, arguments, columns, item })
    }

    /// Joins what is there with one more item.
    fn combine(
        &mut self,
        left: From,
        right: Factor,
        kind: JoinKind,
        constraint: &ast::JoinConstraint,
        parent: Option<&Rc<Scope>>,
    ) -> Result<From> {
        let (right, lateral) = match right {
            Factor::Rows { function, arguments, columns, item } => {
                return self.flat_map(left, function, arguments, columns, item, kind, constraint, parent);
            }
            Factor::Item(right) => (*right, false),
            Factor::Lateral(right) => (*right, true),
        };
        if left.items.is_empty() && !lateral {
            return Ok(right);
        }
        self.join(left, right, kind, constraint, lateral, parent)
    }

    #[expect(clippy::too_many_arguments, reason = "a join's parts")]
    fn flat_map(
        &mut self,
        left: From,
        function: &'static str,
        arguments: Vec<Expr>,
        columns: Vec<usize>,
        item: Item,
        kind: JoinKind,
        constraint: &ast::JoinConstraint,
        parent: Option<&Rc<Scope>>,
    ) -> Result<From> {
        let outer = match kind {
            JoinKind::Inner => false,
            JoinKind::Left => true,
            _ => return Err(SqlError::new("0A000", "RIGHT and FULL joins with rows of a function are not supported")),
        };
        let mut from = left.component();
        from.rel = Rel::FlatMap { input: Box::new(from.rel), function, arguments, columns, outer };
        from.key.push(item.alias.clone());
        from.items.push(item);
        from.driver = None;
        let condition = match constraint {
            ast::JoinConstraint::None => None,
            ast::JoinConstraint::On(ast::Expr::Value(value)) if value.value == ast::Value::Boolean(true) => None,
            ast::JoinConstraint::On(expr) if !outer => Some(expr),
            _ => return Err(SqlError::new("0A000", "a LEFT join with rows of a function takes ON TRUE only")),
        };
        if let Some(expr) = condition {
            let mut block = Block::new(Rc::new(from.scope(parent)));
            block.origin = from.origin;
            let condition = block.expr(self, expr, Place::On)?;
            from.rel = from.rel.filtered(condition.conjuncts());
        }
        Ok(from)
    }
}

/// An item of FROM before it is joined with what is left of it.
enum Factor {
    Item(Box<From>),
    /// A subquery that may use what is left of it.
    Lateral(Box<From>),
    /// The rows of a function.
    Rows {
        function: &'static str,
        arguments: Vec<Expr>,
        columns: Vec<usize>,
        item: Item,
    },
}

impl Factor {
    fn item(from: From) -> Self {
        Self::Item(Box::new(from))
    }
}

impl From {
    /// The scope of these items.
    pub(crate) fn scope(&self, parent: Option<&Rc<Scope>>) -> Scope {
        Scope { items: self.items.clone(), merged: self.merged.clone(), parent: parent.cloned(), first_only: false }
    }

    /// As it is joined with other items. A key that is NULL becomes a document, since there NULL stands for a missing row.
    pub(crate) fn component(mut self) -> Self {
        if let Some(name) = self.bare.take() {
            let key = || Box::new(Expr::KeyPart(0));
            let is_null = Expr::Is(Test::Null, false, key());
            let fields = vec![Expr::Constant(Datum::text(name)), Expr::Constant(Datum::Null)];
            let document = Expr::Call(crate::plan::builtin("JSONB_BUILD_OBJECT"), fields);
            let key = Expr::Case { operand: None, branches: vec![(is_null, document)], otherwise: Some(key()) };
            self.rel = Rel::Rekey { input: Box::new(self.rel), key: vec![key] };
        }
        self
    }
}

/// Whether the one component of a relation's key is a value of its rows, which may be NULL.
fn may_be_null(rel: &Rel) -> bool {
    matches!(rel.keyed_by(), Rel::Aggregate { .. } | Rel::Rekey { .. } | Rel::SetOperation { .. })
}

fn empty() -> From {
    From {
        rel: Rel::One,
        items: Vec::new(),
        merged: Vec::new(),
        key: Vec::new(),
        origin: None,
        driver: None,
        above: Vec::new(),
        bare: None,
    }
}

/// `CHANGE_DETECTED()` over an item that is driven already is simply true (SQL-13.1).
fn already_driven(driver: &mut Driver, alias: &str) {
    let this = match driver {
        Driver::None => false,
        Driver::First => true,
        Driver::Alias(wanted) => wanted == alias,
    };
    if this {
        *driver = Driver::None;
    }
}

/// The relation with a key of one component, whatever it had (SQL-14.3).
pub(crate) fn packed(rel: Rel, key: &[String]) -> Rel {
    if key.len() == 1 {
        return rel;
    }
    let fields = key.iter().enumerate().flat_map(|(at, name)| [Expr::Constant(Datum::text(name)), Expr::KeyPart(at)]);
    let document = Expr::Call(crate::plan::builtin("JSONB_BUILD_OBJECT"), fields.collect());
    Rel::Rekey { input: Box::new(rel), key: vec![document] }
}

/// The query's columns under other names.
pub(crate) fn named(mut bound: Bound, names: &[String]) -> Result<Bound> {
    if names.len() > bound.columns.len() {
        return Err(SqlError::new(
            "42P10",
            format!("there are {} columns, but {} names", bound.columns.len(), names.len()),
        ));
    }
    for (column, name) in bound.columns.iter_mut().zip(names) {
        column.name.clone_from(name);
    }
    Ok(bound)
}

/// The parts of a name.
pub(crate) fn names(name: &ast::ObjectName) -> Result<Vec<String>> {
    let parts = name.0.iter().map(|part| match part {
        ast::ObjectNamePart::Identifier(name) => Ok(name.value.clone()),
        ast::ObjectNamePart::Function(_) => Err(SqlError::new("42601", format!("{name} is no name"))),
    });
    parts.collect()
}

fn join_kind(operator: &ast::JoinOperator) -> Result<(JoinKind, &ast::JoinConstraint)> {
    use ast::JoinOperator as J;
    Ok(match operator {
        J::Join(on) | J::Inner(on) | J::CrossJoin(on) => (JoinKind::Inner, on),
        J::Left(on) | J::LeftOuter(on) => (JoinKind::Left, on),
        J::Right(on) | J::RightOuter(on) => (JoinKind::Right, on),
        J::FullOuter(on) => (JoinKind::Full, on),
        _ => return Err(SqlError::new("0A000", "this kind of join is not supported")),
    })
}

/// Which item drives the block: what its `CHANGE_DETECTED` says.
pub(crate) fn driver(selection: Option<&ast::Expr>) -> Result<Driver> {
    let mut driver = Driver::None;
    for conjunct in selection.map(syntax::conjuncts).unwrap_or_default() {
        let Some(function) = change_detected(conjunct) else { continue };
        if !matches!(driver, Driver::None) {
            return Err(SqlError::new("0A000", "CHANGE_DETECTED() may stand only once in a query"));
        }
        driver = match syntax::arguments(function).as_deref() {
            Some([]) => Driver::First,
            Some([ast::Expr::Identifier(alias)]) => Driver::Alias(alias.value.clone()),
            _ => return Err(SqlError::new("42883", "CHANGE_DETECTED takes the alias of a FROM item, or nothing")),
        };
    }
    Ok(driver)
}

/// The call, if the conjunct is `CHANGE_DETECTED(…)`.
pub(crate) fn change_detected(conjunct: &ast::Expr) -> Option<&ast::Function> {
    match conjunct {
        ast::Expr::Function(function) => (syntax::function_name(function)? == "CHANGE_DETECTED").then_some(function),
        ast::Expr::Nested(inner) => change_detected(inner),
        _ => None,
    }
}
