//! Writes and bodies.

use std::fmt::{self, Display, Formatter};

use sqlparser::ast;

use super::super::{
    Assignment, Block, BodyStatement, Call, Conflict, ConflictAction, Declaration, Delete, Insert, Path, RaiseLevel,
    Source, Update, Value,
};
use super::{ident, list, text, tree, when};

impl Display for Insert {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "INSERT INTO {}{}", self.table, alias(self.alias.as_deref()))?;
        if !self.targets.is_empty() {
            write!(f, " ({})", list(&self.targets, Path::to_string))?;
        }
        match &self.source {
            Source::Default => f.write_str(" DEFAULT VALUES")?,
            Source::Query(query) => write!(f, " {}", tree(query))?,
            Source::Values(rows) => {
                write!(f, " VALUES {}", list(rows, |row| format!("({})", list(row, Value::to_string))))?;
            }
        }
        if let Some(conflict) = &self.conflict {
            conflict.fmt(f)?;
        }
        f.write_str(&returning(&self.returning))
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("DEFAULT"),
            Self::Expr(expr) => f.write_str(&tree(expr)),
        }
    }
}

impl Display for Conflict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(" ON CONFLICT")?;
        if !self.targets.is_empty() {
            write!(f, " ({})", list(&self.targets, Path::to_string))?;
        }
        match &self.action {
            ConflictAction::Nothing => f.write_str(" DO NOTHING"),
            ConflictAction::Update { set, filter } => {
                write!(f, " DO UPDATE SET {}{}", list(set, Assignment::to_string), condition(filter.as_ref()))
            }
        }
    }
}

impl Display for Assignment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.target, self.value)
    }
}

impl Display for Update {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let set = list(&self.set, Assignment::to_string);
        write!(f, "UPDATE {}{} SET {set}", self.table, alias(self.alias.as_deref()))?;
        if !self.from.is_empty() {
            write!(f, " FROM {}", list(&self.from, tree))?;
        }
        write!(f, "{}{}", condition(self.filter.as_ref()), returning(&self.returning))
    }
}

impl Display for Delete {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DELETE FROM {}{}", self.table, alias(self.alias.as_deref()))?;
        if !self.using.is_empty() {
            write!(f, " USING {}", list(&self.using, tree))?;
        }
        write!(f, "{}{}", condition(self.filter.as_ref()), returning(&self.returning))
    }
}

fn alias(alias: Option<&str>) -> String {
    alias.map(|alias| format!(" AS {}", ident(alias))).unwrap_or_default()
}

/// ` WHERE e`.
pub(super) fn condition(filter: Option<&ast::Expr>) -> String {
    filter.map(|filter| format!(" WHERE {}", tree(filter))).unwrap_or_default()
}

fn returning(items: &[ast::SelectItem]) -> String {
    if items.is_empty() { String::new() } else { format!(" RETURNING {}", list(items, tree)) }
}

impl Display for Block {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.declarations.is_empty() {
            f.write_str("DECLARE ")?;
            for Declaration { name, data_type, value } in &self.declarations {
                let value = value.as_ref().map(|value| format!(" := {}", tree(value))).unwrap_or_default();
                write!(f, "{} {data_type}{value}; ", ident(name))?;
            }
        }
        write!(f, "BEGIN {}END", body(&self.statements))
    }
}

/// Statements, each with its semicolon and a blank.
fn body(statements: &[BodyStatement]) -> String {
    statements.iter().map(|statement| format!("{statement}; ")).collect()
}

impl Display for BodyStatement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assign { variable, value } => write!(f, "{} := {}", ident(variable), tree(value)),
            Self::Block(block) => block.fmt(f),
            Self::Call(call) => write!(f, "CALL {call}"),
            Self::Delete(delete) => delete.fmt(f),
            Self::For { variable, query, body: inner } => {
                write!(f, "FOR {} IN {} LOOP {}END LOOP", ident(variable), tree(query), body(inner))
            }
            Self::If { branches, otherwise } => {
                for (index, (condition, statements)) in branches.iter().enumerate() {
                    let word = if index == 0 { "IF" } else { "ELSIF" };
                    write!(f, "{word} {} THEN {}", tree(condition), body(statements))?;
                }
                write!(f, "{}{}END IF", when(!otherwise.is_empty(), "ELSE "), body(otherwise))
            }
            Self::Insert(insert) => insert.fmt(f),
            Self::Perform(query) => write!(f, "PERFORM {}", tree(query)),
            Self::Raise { level, format, arguments } => {
                let level = match level {
                    RaiseLevel::Exception => "EXCEPTION",
                    RaiseLevel::Notice => "NOTICE",
                };
                write!(f, "RAISE {level} {}", text(format))?;
                arguments.iter().try_for_each(|argument| write!(f, ", {}", tree(argument)))
            }
            Self::Return => f.write_str("RETURN"),
            Self::SelectInto { query, variables } => {
                let mut query = query.clone();
                if let ast::SetExpr::Select(select) = &mut *query.body {
                    let targets = variables.iter().map(|name| ast::Expr::Identifier(quoted(name))).collect();
                    select.into = Some(ast::SelectInto { temporary: false, unlogged: false, table: false, targets });
                }
                f.write_str(&tree(&query))
            }
            Self::Update(update) => update.fmt(f),
        }
    }
}

fn quoted(name: &str) -> ast::Ident {
    if ident(name) == name { ast::Ident::new(name) } else { ast::Ident::with_quote('"', name) }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, list(&self.arguments, tree))
    }
}
