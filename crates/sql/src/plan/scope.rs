//! What names mean (SQL-2.3, SQL-3.7, SQL-3.8).

use std::rc::Rc;

use sqlparser::ast::Ident;

use crate::error::Result;
use crate::expr::Step;
use crate::near::nearest;
use crate::plan::SourceColumn;
use crate::plan::binder::Binder;
use crate::plan::rel::ColumnId;
use crate::{Expr, Notice, SqlError};

/// The FROM items of a query block, and of those around it.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) items: Vec<Item>,
    /// Columns that `USING` and `NATURAL` made one of two.
    pub(crate) merged: Vec<(String, Expr)>,
    pub(crate) parent: Option<Rc<Scope>>,
    /// Whether fields of no known column are the first item's alone: that which is written.
    pub(crate) first_only: bool,
}

/// A FROM item.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) alias: String,
    /// Its columns, where they are known.
    pub(crate) known: Vec<(String, ColumnId)>,
    /// Where its other fields are.
    pub(crate) open: Open,
}

/// Where the fields are that no list of columns tells.
#[derive(Clone, Debug)]
pub(crate) enum Open {
    /// There are none.
    No,
    /// In the documents of a collection.
    Scan(usize),
    /// In a column that is a document, as after `SELECT *`.
    Documents(Vec<ColumnId>),
    /// The item *is* this value: a row of `UNNEST`.
    Element(ColumnId),
}

impl Item {
    /// The column of a name, if the item's columns are known.
    pub(crate) fn known(&self, name: &str) -> Result<Option<ColumnId>> {
        unique(name, self.known.iter().map(|(name, id)| (name.as_str(), *id)))
    }

    /// A field of it; `None` if it has no such column.
    fn field(&self, binder: &mut Binder<'_>, name: &str) -> Result<Option<Expr>> {
        if let Some(column) = self.known(name)? {
            return Ok(Some(Expr::Column(column)));
        }
        let step = || vec![Step::Field(name.to_owned())];
        Ok(match &self.open {
            Open::No => None,
            Open::Scan(scan) => Some(Expr::Column(binder.scan_column(*scan, SourceColumn::Field(name.to_owned())))),
            Open::Documents(documents) => {
                let parts = documents.iter().map(|id| Expr::Path(Box::new(Expr::Column(*id)), step())).collect();
                Some(first_present(parts))
            }
            Open::Element(element) => Some(Expr::Path(Box::new(Expr::Column(*element)), step())),
        })
    }

    /// The whole item: its document, its element.
    pub(crate) fn whole(&self, binder: &mut Binder<'_>) -> Expr {
        match &self.open {
            Open::Scan(scan) => Expr::Column(binder.scan_column(*scan, SourceColumn::Whole)),
            Open::Element(element) => Expr::Column(*element),
            Open::Documents(documents) if self.known.is_empty() && documents.len() == 1 => {
                Expr::Column(documents.first().copied().unwrap_or_default())
            }
            Open::No | Open::Documents(_) => {
                let fields = self
                    .known
                    .iter()
                    .flat_map(|(name, id)| [Expr::Constant(millstream_flow::Datum::text(name)), Expr::Column(*id)]);
                Expr::Call(crate::plan::builtin("JSONB_BUILD_OBJECT"), fields.collect())
            }
        }
    }
}

impl Scope {
    /// Resolves a chain of names that begins with the alias of an item; what is left of the chain are steps into the value.
    pub(crate) fn qualified(&self, binder: &mut Binder<'_>, parts: &[Ident]) -> Result<Expr> {
        let Some((first, rest)) = parts.split_first() else { return Err(SqlError::new("42601", "a name is missing")) };
        let Some(item) = self.item(&first.value)? else { return Err(no_column(&first.value, std::iter::empty())) };
        let Some((column, steps)) = rest.split_first() else { return Ok(item.whole(binder)) };
        match item.field(binder, &column.value)? {
            Some(expr) => Ok(path(expr, steps)),
            None => Err(no_column(&column.value, item.known.iter().map(|(name, _)| name.as_str()))),
        }
    }

    /// The FROM item of this block with an alias.
    pub(crate) fn item(&self, alias: &str) -> Result<Option<&Item>> {
        unique(alias, self.items.iter().map(|item| (item.alias.as_str(), item)))
    }

    /// A column among those that are known (SQL-3.8a).
    pub(crate) fn known(&self, name: &str) -> Result<Option<Expr>> {
        if let Some(merged) = unique(name, self.merged.iter().map(|(name, expr)| (name.as_str(), expr)))? {
            return Ok(Some(merged.clone()));
        }
        let mut owners = Vec::new();
        for item in &self.items {
            owners.extend(item.known(name)?);
        }
        match owners.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(Expr::Column(*one))),
            _ => Err(SqlError::new("42702", format!("column reference \"{name}\" is ambiguous"))),
        }
    }

    /// A column by its name alone, without aliases.
    pub(crate) fn unqualified(&self, binder: &mut Binder<'_>, name: &str) -> Result<Option<Expr>> {
        if let Some(known) = self.known(name)? {
            return Ok(Some(known));
        }
        let items = if self.first_only { self.items.get(..1).unwrap_or_default() } else { &self.items };
        let open: Vec<&Item> = items.iter().filter(|item| !matches!(item.open, Open::No | Open::Element(_))).collect();
        let mut fields = Vec::new();
        for item in &open {
            fields.extend(item.field(binder, name)?);
        }
        if fields.len() > 1 {
            let owners = open.iter().map(|item| item.alias.as_str()).collect::<Vec<_>>().join(", ");
            if binder.settings.strict_columns {
                return Err(SqlError::new("42702", format!("column reference \"{name}\" is ambiguous"))
                    .hint(format!("qualify it with one of {owners}")));
            }
            binder.notice(Notice::new(format!(
                "column \"{name}\" is not qualified: each row takes it from the first of {owners} that has it"
            )));
        }
        Ok((!fields.is_empty()).then(|| first_present(fields)))
    }
}

/// An expression with steps into its value.
pub(crate) fn path(expr: Expr, steps: &[Ident]) -> Expr {
    if steps.is_empty() {
        return expr;
    }
    Expr::Path(Box::new(expr), steps.iter().map(|step| Step::Field(step.value.clone())).collect())
}

/// The first of these that is there at all, though it may be null (SQL-3.8c).
fn first_present(mut parts: Vec<Expr>) -> Expr {
    if parts.len() == 1 { parts.remove(0) } else { Expr::Call(crate::plan::builtin("!FIRST_PRESENT"), parts) }
}

/// The one entry of a name: exactly, else in another case if only one is like that (SQL-2.3).
pub(crate) fn unique<'n, T>(name: &str, entries: impl Iterator<Item = (&'n str, T)> + Clone) -> Result<Option<T>> {
    if let Some((_, exact)) = entries.clone().find(|(entry, _)| *entry == name) {
        return Ok(Some(exact));
    }
    let mut like = entries.filter(|(entry, _)| entry.eq_ignore_ascii_case(name));
    let first = like.next();
    if like.next().is_some() {
        return Err(SqlError::new(
            "42702",
            format!("name \"{name}\" is ambiguous: several differ from it in case only"),
        ));
    }
    Ok(first.map(|(_, entry)| entry))
}

/// There is no such column.
pub(crate) fn no_column<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> SqlError {
    let error = SqlError::new("42703", format!("column \"{name}\" does not exist"));
    match nearest(name, known.filter(|other| !other.starts_with('!'))) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}
