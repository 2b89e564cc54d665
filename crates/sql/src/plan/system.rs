//! What PostgreSQL's tools ask of the catalogue beside its tables: functions of the session, and functions that look something
//! up, which are queries over `pg_catalog."!objects"`.
//!
//! That relation's columns have names that nobody else has, so that an argument is never taken for one of them.

use millstream_flow::Datum;
use sqlparser::ast;

use crate::error::Result;
use crate::expr::function;
use crate::plan::Relation;
use crate::plan::block::Resolver;
use crate::plan::syntax;
use crate::statement::{Statement, statement};
use crate::{Expr, SqlError, Type};

/// Functions that look up an object by its number: what they answer.
// tidy: sorted by name
static LOOKUPS: &[(&str, &str)] = &[
    ("PG_GET_CONSTRAINTDEF", "!text"),
    ("PG_GET_FUNCTIONDEF", "!text"),
    ("PG_GET_FUNCTION_ARGUMENTS", "!arguments"),
    ("PG_GET_FUNCTION_IDENTITY_ARGUMENTS", "!arguments"),
    ("PG_GET_FUNCTION_RESULT", "!result"),
    ("PG_GET_INDEXDEF", "!text"),
    ("PG_GET_RULEDEF", "!text"),
    ("PG_GET_TRIGGERDEF", "!text"),
    ("PG_GET_VIEWDEF", "!text"),
];

/// Functions of the session: the setting that they show.
// tidy: sorted by name
static SHOWN: &[(&str, &str)] = &[
    ("CURRENT_CATALOG", "database"),
    ("CURRENT_DATABASE", "database"),
    ("CURRENT_ROLE", "session_authorization"),
    ("CURRENT_SCHEMA", "database"),
    ("CURRENT_USER", "session_authorization"),
    ("SESSION_USER", "session_authorization"),
    ("USER", "session_authorization"),
    ("VERSION", "version"),
];

impl Resolver<'_, '_> {
    /// What such a call means.
    pub(crate) fn system_function(&mut self, name: &str, call: &ast::Function) -> Result<Option<Expr>> {
        let Some(arguments) = syntax::arguments(call) else { return Ok(None) };
        if let (Some(shown), []) = (self.shown(name), arguments.as_slice()) {
            return Ok(Some(shown));
        }
        if let (Some((_, column)), Some(number)) = (LOOKUPS.iter().find(|(known, _)| *known == name), arguments.first())
        {
            return self.looked_up(column, "!oid", &number.to_string()).map(Some);
        }
        match (name, arguments.as_slice()) {
            ("CURRENT_SCHEMAS", [_]) => {
                let own = self.binder.settings.shown.get("database").cloned().unwrap_or_default();
                let names = ["pg_catalog", own.as_str()].map(|name| Expr::Constant(Datum::text(name)));
                Ok(Some(Expr::Array(names.to_vec())))
            }
            ("CURRENT_SETTING", [setting, rest @ ..]) => {
                let setting = self.inner(setting)?;
                let Datum::Text(setting) = self.binder.constant(&setting)? else {
                    return Err(SqlError::new("42804", "CURRENT_SETTING takes the name of a setting"));
                };
                let shown = self.binder.settings.shown.get(&setting.to_lowercase());
                match (shown, rest.is_empty()) {
                    (Some(value), _) => Ok(Some(Expr::Constant(Datum::text(value)))),
                    (None, false) => Ok(Some(Expr::Constant(Datum::Null))),
                    (None, true) => Err(SqlError::new("42704", format!("there is no setting \"{setting}\""))),
                }
            }
            // Unlike the cast it answers NULL for what is not there.
            ("TO_REGCLASS", [name]) => {
                Ok(Some(self.object_cast(name, "regclass").unwrap_or(Expr::Constant(Datum::Null))))
            }
            _ => Ok(None),
        }
    }

    /// What a function of the session answers.
    pub(crate) fn shown(&self, name: &str) -> Option<Expr> {
        let (_, setting) = SHOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        self.binder.settings.shown.get(*setting).map(|text| Expr::Constant(Datum::text(text)))
    }

    /// `x::regclass` and its like. A literal is a name, whose number this is; another value is a number, and this its name.
    pub(crate) fn object_cast(&mut self, expr: &ast::Expr, kind: &str) -> Result<Expr> {
        let value = self.inner(expr)?;
        let Expr::Untyped(text) = &value else {
            if matches!(self.binder.kind(&value), Some(Type::Text(_))) {
                return Ok(value);
            }
            return match kind {
                "regrole" => Ok(Expr::Constant(Datum::text("millstream"))),
                "regtype" => match function("FORMAT_TYPE") {
                    Some(format) => Ok(Expr::Call(format, vec![value, Expr::Constant(Datum::Null)])),
                    None => Err(SqlError::new("42704", "there is no type regtype")),
                },
                _ => self.looked_up("!name", "!oid", &expr.to_string()),
            };
        };
        if let Ok(number) = text.parse() {
            return Ok(Expr::Constant(Datum::Long(number)));
        }
        let name = text.rsplit('.').next().unwrap_or_default().trim_matches('"');
        let found = match self.binder.catalog.relation("pg_catalog", "!objects") {
            Relation::Rows { rows, .. } => rows.into_iter().find_map(|row| match row.as_slice() {
                [number, Datum::Text(of), Datum::Text(own), ..]
                    if of.as_ref() == kind && own.trim_matches('"') == name =>
                {
                    Some(number.clone())
                }
                _ => None,
            }),
            _ => None,
        };
        found.map(Expr::Constant).ok_or_else(|| SqlError::new("42P01", format!("\"{text}\" does not exist")))
    }

    /// A column of the object for which another column is equal to something.
    fn looked_up(&mut self, wanted: &str, by: &str, value: &str) -> Result<Expr> {
        let text = format!(
            "SELECT \"!x\".\"{wanted}\" FROM pg_catalog.\"!objects\" \"!x\" WHERE \"!x\".\"{by}\" = {value} LIMIT 1"
        );
        match statement(&text)? {
            Statement::Query(query) => self.inner(&ast::Expr::Subquery(query)),
            _ => Err(SqlError::new("XX000", "internal error: a query that is none")),
        }
    }
}
