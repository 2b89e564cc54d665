//! What resolving a whole statement has in common: the columns there are, the collections that are read, the notices.

use std::rc::Rc;

use sqlparser::ast;

use crate::error::Result;
use crate::plan::rel::{ColumnId, Rel};
use crate::plan::scope::Scope;
use crate::plan::{Catalog, Purpose, Settings, SourceColumn, Uses, Variable};
use crate::{Expr, Notice, SqlError, Type};

/// How deep queries may be nested in each other, views included.
const DEPTH_MAX: usize = 40;

/// Resolves one statement.
pub(crate) struct Binder<'a> {
    pub(crate) catalog: &'a dyn Catalog,
    pub(crate) settings: &'a Settings,
    pub(crate) purpose: Purpose,
    pub(crate) variables: &'a [Variable],
    /// What is known of each column's type.
    pub(crate) types: Vec<Option<Type>>,
    pub(crate) scans: Vec<Scan>,
    pub(crate) notices: Vec<Notice>,
    /// The `WITH` queries in sight, the innermost last.
    pub(crate) ctes: Vec<Cte>,
    /// The clock of a view, where it may be named.
    pub(crate) clock: Option<ColumnId>,
    /// The database of one-part names: inside of a view that is the view's.
    pub(crate) database: String,
    pub(crate) uses: Uses,
    /// Whether it asks the catalogue.
    pub(crate) asks_catalogue: bool,
    depth: usize,
}

/// A collection that is read.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) database: String,
    pub(crate) collection: String,
    pub(crate) driven: bool,
    pub(crate) columns: Vec<(SourceColumn, ColumnId)>,
    /// The order in which it is read if nothing else is said (SQL-14.6).
    pub(crate) order: Vec<(String, bool)>,
}

/// A `WITH` query: a name for a text, resolved anew wherever it is used (SQL-9.11).
#[derive(Clone)]
pub(crate) struct Cte {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) query: Rc<ast::Query>,
    /// How many `WITH` queries it sees itself.
    pub(crate) sees: usize,
    /// The scope around it.
    pub(crate) parent: Option<Rc<Scope>>,
    /// What kind of name it is.
    pub(crate) rows: CteRows,
}

/// What the name of a `WITH` query stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CteRows {
    /// The rows of its query.
    Query,
    /// Those of a query that uses its own name.
    Recursive,
    /// Inside of such a query: the rows of the round before, with their columns; once.
    Working(Vec<(String, ColumnId)>),
    /// They are used already.
    Used,
}

/// A resolved query.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) rel: Rel,
    pub(crate) columns: Vec<Output>,
    /// The names of the key's components.
    pub(crate) key: Vec<String>,
    /// Over changes: what is known of the change that a row comes from.
    pub(crate) changes: Option<Origin>,
    /// The order of the answer.
    pub(crate) order: Vec<Sorting>,
    /// Over changes: outputs to skip and to stop after.
    pub(crate) limit: (u64, Option<u64>),
}

/// Which change a row comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Its time.
    pub(crate) time: ColumnId,
}

/// A column of a resolved query.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) column: ColumnId,
    /// Whether its fields are columns.
    pub(crate) spread: bool,
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sorting {
    pub(crate) value: Expr,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(
        catalog: &'a dyn Catalog,
        settings: &'a Settings,
        purpose: Purpose,
        variables: &'a [Variable],
    ) -> Self {
        Self {
            catalog,
            settings,
            purpose,
            variables,
            types: Vec::new(),
            scans: Vec::new(),
            notices: Vec::new(),
            ctes: Vec::new(),
            clock: None,
            database: settings.database.clone(),
            uses: Uses::default(),
            asks_catalogue: false,
            depth: 0,
        }
    }

    /// A new column.
    pub(crate) fn column(&mut self, kind: Option<Type>) -> ColumnId {
        self.types.push(kind);
        self.types.len() - 1
    }

    /// A new column for an expression.
    pub(crate) fn column_for(&mut self, expr: &Expr) -> ColumnId {
        let kind = self.kind(expr);
        self.column(kind)
    }

    /// What is known of an expression's type.
    pub(crate) fn kind(&self, expr: &Expr) -> Option<Type> {
        let variables: Vec<_> = self.variables.iter().map(|variable| variable.kind.clone()).collect();
        expr.static_type(&self.types, &variables)
    }

    /// Refuses what can never work (SQL-4.1).
    pub(crate) fn check(&self, expr: &Expr) -> Result<()> {
        let variables: Vec<_> = self.variables.iter().map(|variable| variable.kind.clone()).collect();
        expr.check(&self.types, &variables)
    }

    /// Refuses a condition that is never one.
    pub(crate) fn check_condition(&self, expr: &Expr, place: &str) -> Result<()> {
        self.check(expr)?;
        match self.kind(expr) {
            None | Some(Type::Boolean) => Ok(()),
            Some(other) => Err(SqlError::new("42804", format!("argument of {place} must be boolean, not {other}"))),
        }
    }

    /// The column of a scan.
    pub(crate) fn scan_column(&mut self, scan: usize, what: SourceColumn) -> ColumnId {
        let known = self.scans.get(scan).and_then(|scan| scan.columns.iter().find(|(column, _)| *column == what));
        if let Some((_, column)) = known {
            return *column;
        }
        let column = self.column(what.kind());
        if let Some(scan) = self.scans.get_mut(scan) {
            scan.columns.push((what, column));
        }
        column
    }

    /// The columns of a relation, as far as they are known by now.
    pub(crate) fn columns_of(&self, rel: &Rel) -> Vec<ColumnId> {
        match rel {
            Rel::Scan(scan) => {
                self.scans.get(*scan).map(|scan| scan.columns.iter().map(|(_, id)| *id).collect()).unwrap_or_default()
            }
            Rel::One => Vec::new(),
            Rel::Filter { input, .. }
            | Rel::Temporal { input, .. }
            | Rel::Rekey { input, .. }
            | Rel::TopK { input, .. } => self.columns_of(input),
            Rel::Map { input, columns } => {
                let mut all = self.columns_of(input);
                all.extend(columns.iter().map(|(id, _)| *id));
                all
            }
            Rel::FlatMap { input, columns, .. } => [self.columns_of(input), columns.clone()].concat(),
            Rel::Join(join) => {
                let mut all = self.columns_of(&join.left);
                if !matches!(
                    join.kind,
                    millstream_flow::JoinKind::Semi | millstream_flow::JoinKind::Anti | millstream_flow::JoinKind::Mark
                ) {
                    all.extend(self.columns_of(&join.right));
                }
                all.extend(join.mark);
                all
            }
            Rel::Aggregate { group, sets, calls, .. } => {
                let bits = sets.iter().map(|(_, bits)| *bits);
                group.iter().map(|(id, _)| *id).chain(bits).chain(calls.iter().map(|(id, _)| *id)).collect()
            }
            Rel::Window { input, calls, .. } => {
                let mut all = self.columns_of(input);
                all.extend(calls.iter().map(|(id, _)| *id));
                all
            }
            Rel::Recursive { columns, .. }
            | Rel::SetOperation { columns, .. }
            | Rel::UnionAll { columns, .. }
            | Rel::Values { columns, .. }
            | Rel::Working(columns) => columns.clone(),
        }
    }

    /// Goes one query deeper.
    pub(crate) fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        let answer = if self.depth > DEPTH_MAX {
            Err(SqlError::new("54001", format!("queries are nested more than {DEPTH_MAX} deep")))
        } else {
            inner(self)
        };
        self.depth -= 1;
        answer
    }

    /// Tells the author something once.
    pub(crate) fn notice(&mut self, notice: Notice) {
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }
}
