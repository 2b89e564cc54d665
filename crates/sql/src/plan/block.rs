//! One query block while it is resolved, and what names and calls in it mean.

use std::rc::Rc;

use sqlparser::ast;

use crate::error::Result;
use crate::expr::{Names, from_ast};
use crate::plan::binder::{Binder, Origin, Sorting};
use crate::plan::rel::{Aggregate, ColumnId, Join, Running, Window};
use crate::plan::scope::{Scope, no_column, path, unique};
use crate::plan::syntax;
use crate::plan::{Purpose, SourceColumn};
use crate::{Expr, SqlError, Type};

/// The FROM item that holds the arguments of a routine.
pub(crate) const ARGUMENTS: &str = "!arguments";

/// What resolving a block's expressions brings forth, beside the expressions.
pub(crate) struct Block {
    pub(crate) scope: Rc<Scope>,
    /// The aliases of its select list, and what they stand for.
    pub(crate) aliases: Vec<(String, ast::Expr)>,
    /// The windows of its WINDOW clause.
    pub(crate) named_windows: Vec<(String, ast::WindowSpec)>,
    /// The collection whose changes drive it.
    pub(crate) driver: Option<usize>,
    /// Over changes: the change that a row comes from.
    pub(crate) origin: Option<Origin>,
    /// Whether it has groups.
    pub(crate) grouped: bool,
    pub(crate) group: Vec<(ColumnId, Expr)>,
    /// The column of the grouping bits, if there are several sets.
    pub(crate) bits: Option<ColumnId>,
    pub(crate) aggregates: Vec<(ColumnId, Aggregate)>,
    pub(crate) windows: Vec<WindowGroup>,
    /// Joins that subqueries became, to be made before the groups and after them.
    pub(crate) joins_before: Vec<Subjoin>,
    pub(crate) joins_after: Vec<Subjoin>,
    /// The columns of FROM, once it is resolved: what may not stand outside of an aggregate.
    pub(crate) ungrouped: Vec<ColumnId>,
    /// The scans of FROM, which get more columns as names are resolved.
    pub(crate) scans: Vec<usize>,
}

/// The functions over one window.
pub(crate) struct WindowGroup {
    pub(crate) partition: Vec<Expr>,
    pub(crate) order: Vec<Sorting>,
    pub(crate) calls: Vec<(ColumnId, Window)>,
    pub(crate) running: Option<Running>,
}

/// A join that a subquery became; its left side is the block's relation at that point.
pub(crate) struct Subjoin {
    /// Everything but the left side.
    pub(crate) join: Join,
    /// Columns that have to be made after it.
    pub(crate) late: Vec<(ColumnId, Expr)>,
    /// Columns of the left side on which the right side depends in a way that is no equality: it is computed for each of
    /// their values.
    pub(crate) depends: Vec<ColumnId>,
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    AggregateArgument,
    GroupBy,
    Having,
    On,
    OrderBy,
    /// A FROM item's arguments.
    Rows,
    Select,
    Where,
    /// A conjunct of WHERE that comes after the windows, and QUALIFY.
    LateWhere,
    WindowArgument,
}

impl Place {
    pub(crate) fn allows_aggregates(self) -> bool {
        matches!(self, Self::Having | Self::OrderBy | Self::Select | Self::LateWhere | Self::WindowArgument)
    }

    pub(crate) fn allows_windows(self) -> bool {
        matches!(self, Self::OrderBy | Self::Select | Self::LateWhere)
    }

    fn name(self) -> &'static str {
        match self {
            Self::AggregateArgument => "the argument of an aggregate",
            Self::GroupBy => "GROUP BY",
            Self::Having => "HAVING",
            Self::On => "a join's condition",
            Self::OrderBy => "ORDER BY",
            Self::Rows => "FROM",
            Self::Select => "the select list",
            Self::Where | Self::LateWhere => "WHERE",
            Self::WindowArgument => "a window function",
        }
    }
}

impl Block {
    pub(crate) fn new(scope: Rc<Scope>) -> Self {
        Self {
            scope,
            aliases: Vec::new(),
            named_windows: Vec::new(),
            driver: None,
            origin: None,
            grouped: false,
            group: Vec::new(),
            bits: None,
            aggregates: Vec::new(),
            windows: Vec::new(),
            joins_before: Vec::new(),
            joins_after: Vec::new(),
            ungrouped: Vec::new(),
            scans: Vec::new(),
        }
    }

    /// Resolves an expression; in a grouped block what is outside of aggregates must be made of groups.
    pub(crate) fn expr(&mut self, binder: &mut Binder<'_>, expr: &ast::Expr, place: Place) -> Result<Expr> {
        let below = self.aliases.len();
        self.expr_below(binder, expr, place, below)
    }

    /// [`Block::expr`], which sees only the first `below` aliases.
    pub(crate) fn expr_below(
        &mut self,
        binder: &mut Binder<'_>,
        expr: &ast::Expr,
        place: Place,
        below: usize,
    ) -> Result<Expr> {
        let bound = self.raw(binder, expr, place, below)?;
        let bound = if self.grouped && place.allows_aggregates() { self.regroup(binder, bound)? } else { bound };
        binder.check(&bound)?;
        Ok(bound)
    }

    /// Resolves an expression without asking for groups.
    pub(crate) fn raw(
        &mut self,
        binder: &mut Binder<'_>,
        expr: &ast::Expr,
        place: Place,
        below: usize,
    ) -> Result<Expr> {
        let mut bound = from_ast(expr, &mut Resolver { binder, block: self, place, below })?;
        // Literals of intervals are constants: frames, bands and clocks look at them.
        bound.rewrite(&mut |part| match part {
            Expr::Cast { value, to: Type::Interval, attempt: false } if matches!(**value, Expr::Untyped(_)) => {
                binder.constant(part).ok().map(Expr::Constant)
            }
            _ => None,
        });
        let continuous = binder.purpose == Purpose::View || self.origin.is_some();
        if continuous && bound.any(&mut |part| matches!(part, Expr::Call(function, _) if function.volatile)) {
            return Err(SqlError::new("0A000", "volatile functions may not be used in views and change queries")
                .hint("they would give another answer whenever a row is looked at"));
        }
        Ok(bound)
    }

    /// Replaces what is a grouping expression by its column, and refuses other columns of FROM (SQL-9.5).
    pub(crate) fn regroup(&mut self, binder: &mut Binder<'_>, mut expr: Expr) -> Result<Expr> {
        let group = self.group.clone();
        expr.rewrite(&mut |part| group.iter().find(|(_, expr)| expr == part).map(|(id, _)| Expr::Column(*id)));
        for column in expr.columns() {
            let scanned = |scan: &usize| {
                binder.scans.get(*scan).is_some_and(|scan| scan.columns.iter().any(|(_, id)| *id == column))
            };
            if !self.ungrouped.contains(&column) && !self.scans.iter().any(scanned) {
                continue;
            }
            if !self.depends_on_group(binder, column) {
                return Err(SqlError::new(
                    "42803",
                    format!("{} must be in GROUP BY or in an aggregate", describe(binder, column)),
                ));
            }
            let any = Aggregate {
                function: millstream_flow::AggregateFunction::AnyValue,
                arguments: vec![Expr::Column(column)],
                distinct: false,
                order: Vec::new(),
                filter: None,
            };
            let id = self.aggregate(binder, any);
            expr.rewrite(&mut |part| (*part == Expr::Column(column)).then_some(Expr::Column(id)));
        }
        Ok(expr)
    }

    /// Whether the column is a field of a table that is grouped by its `_id`.
    fn depends_on_group(&self, binder: &Binder<'_>, column: ColumnId) -> bool {
        let id = SourceColumn::Field("_id".to_owned());
        let scan = binder.scans.iter().find(|scan| scan.columns.iter().any(|(_, id)| *id == column));
        let id = scan.and_then(|scan| scan.columns.iter().find(|(what, _)| *what == id));
        id.is_some_and(|(_, id)| self.group.iter().any(|(_, expr)| *expr == Expr::Column(*id)))
    }

    /// The column of an aggregate; equal ones are computed once.
    pub(crate) fn aggregate(&mut self, binder: &mut Binder<'_>, call: Aggregate) -> ColumnId {
        if let Some((id, _)) = self.aggregates.iter().find(|(_, known)| *known == call) {
            return *id;
        }
        let kind = call.kind(binder);
        let id = binder.column(kind);
        self.aggregates.push((id, call));
        id
    }
}

/// A column in words.
fn describe(binder: &Binder<'_>, column: ColumnId) -> String {
    let columns = binder.scans.iter().flat_map(|scan| &scan.columns);
    match columns.into_iter().find(|(_, id)| *id == column) {
        Some((SourceColumn::Field(name), _)) => format!("column \"{name}\""),
        _ => "a column".to_owned(),
    }
}

/// Resolves the names of one expression.
pub(crate) struct Resolver<'r, 'a> {
    pub(crate) binder: &'r mut Binder<'a>,
    pub(crate) block: &'r mut Block,
    pub(crate) place: Place,
    /// How many aliases are visible.
    pub(crate) below: usize,
}

impl Resolver<'_, '_> {
    /// Another expression of the same place.
    pub(crate) fn inner(&mut self, expr: &ast::Expr) -> Result<Expr> {
        from_ast(expr, self)
    }

    /// An expression of another place, with the same aliases.
    pub(crate) fn at(&mut self, place: Place, expr: &ast::Expr) -> Result<Expr> {
        self.block.raw(self.binder, expr, place, self.below)
    }

    /// What a select-list alias stands for, where it may be used (SQL-9.3).
    fn alias(&mut self, name: &str) -> Result<Option<Expr>> {
        let visible = self.block.aliases.iter().take(self.below);
        let mut found = visible.enumerate().filter(|(_, (alias, _))| alias == name);
        let Some((at, (_, expr))) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(SqlError::new("42702", format!("name \"{name}\" is ambiguous: several columns have it")));
        }
        let aliases = self.block.aliases.get(..at).unwrap_or_default();
        let legal = !syntax::mentions(expr, name)
            && (self.place.allows_aggregates() || !syntax::has_aggregate(expr, aliases))
            && (self.place.allows_windows() || !syntax::has_window(expr, aliases));
        if !legal {
            return Ok(None);
        }
        let expr = expr.clone();
        self.block.raw(self.binder, &expr, self.place, at).map(Some)
    }

    /// `NEW` and `OLD` of a change.
    fn image(&mut self, name: &str) -> Option<Expr> {
        let column = match name.to_ascii_uppercase().as_str() {
            "NEW" => SourceColumn::New,
            "OLD" => SourceColumn::Old,
            _ => return None,
        };
        self.block.driver.map(|scan| Expr::Column(self.binder.scan_column(scan, column)))
    }

    /// An argument of the routine whose query this is part of: it wins over every column (SQL-16.3).
    fn argument_of_routine(&self, name: &str) -> Result<Option<Expr>> {
        let mut around = Some(&self.block.scope);
        while let Some(scope) = around {
            if let Some(arguments) = scope.item(ARGUMENTS)? {
                return Ok(arguments.known(name)?.map(Expr::Column));
            }
            around = scope.parent.as_ref();
        }
        Ok(None)
    }

    /// The slot of a variable.
    pub(crate) fn slot(&self, name: &str) -> Option<usize> {
        self.binder.variables.iter().position(|variable| variable.name.eq_ignore_ascii_case(name))
    }
}

impl Names for Resolver<'_, '_> {
    fn name(&mut self, parts: &[ast::Ident]) -> Result<Expr> {
        let Some((first, rest)) = parts.split_first() else { return Err(SqlError::new("42601", "a name is missing")) };
        if let Some(image) = self.image(&first.value) {
            return Ok(path(image, rest));
        }
        if let Some(slot) = self.slot(&first.value) {
            return Ok(path(Expr::Variable(slot), rest));
        }
        if let Some(argument) = self.argument_of_routine(&first.value)? {
            return Ok(path(argument, rest));
        }
        let scope = Rc::clone(&self.block.scope);
        // An alias of FROM, in the innermost query that has it, comes before any column (SQL-3.7).
        let mut around = Some(Rc::clone(&scope));
        while let Some(scope) = around {
            if scope.item(&first.value)?.is_some() {
                return scope.qualified(self.binder, parts);
            }
            around = scope.parent.clone();
        }
        if let Some(known) = scope.known(&first.value)? {
            return Ok(path(known, rest));
        }
        if let Some(alias) = self.alias(&first.value)? {
            return Ok(path(alias, rest));
        }
        let mut around = Some(Rc::clone(&scope));
        while let Some(scope) = around {
            if let Some(expr) = scope.unqualified(self.binder, &first.value)? {
                return Ok(path(expr, rest));
            }
            around = scope.parent.clone();
        }
        // `CURRENT_USER` and its like are written without parentheses.
        if rest.is_empty()
            && first.quote_style.is_none()
            && let Some(shown) = self.shown(&first.value)
        {
            return Ok(shown);
        }
        let known = self.block.scope.items.iter().flat_map(|item| &item.known).map(|(name, _)| name.as_str());
        Err(no_column(&first.value, known.chain(self.block.aliases.iter().map(|(name, _)| name.as_str()))))
    }

    fn call(&mut self, function: &ast::Function) -> Result<Option<Expr>> {
        self.function(function)
    }

    fn subquery(&mut self, expr: &ast::Expr) -> Result<Expr> {
        self.subquery_expr(expr)
    }

    fn object(&mut self, expr: &ast::Expr, kind: &str) -> Result<Expr> {
        self.object_cast(expr, kind)
    }

    fn variable(&mut self, name: &str) -> Result<Expr> {
        if let Some(argument) = self.argument_of_routine(name)? {
            return Ok(argument);
        }
        let number: Option<usize> = name.strip_prefix('$').and_then(|number| number.parse().ok());
        let known = number.and_then(|number| self.binder.settings.parameters.get(number.checked_sub(1)?));
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let slot = self.slot(name).ok_or_else(|| SqlError::new("42P02", format!("there is no parameter {name}")))?;
        let text = self.binder.variables.get(slot).and_then(|variable| variable.text.clone());
        Ok(text.map_or(Expr::Variable(slot), Expr::Untyped))
    }
}

impl Resolver<'_, '_> {
    /// Something that may not stand here.
    pub(crate) fn misplaced(&self, state: &'static str, what: &str) -> SqlError {
        SqlError::new(state, format!("{what} may not stand in {}", self.place.name()))
    }
}

/// The one entry of a name among windows and the like.
pub(crate) fn by_name<'n, T>(name: &str, entries: &'n [(String, T)]) -> Result<Option<&'n T>> {
    unique(name, entries.iter().map(|(name, entry)| (name.as_str(), entry)))
}
