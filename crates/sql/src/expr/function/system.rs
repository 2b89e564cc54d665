//! Functions of PostgreSQL's catalogue that are the same for every catalogue: what its tools ask beside their tables.
//!
//! Those that look something up are queries (`plan/system.rs`).

use millstream_flow::{Datum, RowError};

use super::{Context, Function, Takes};
use crate::Type;

type Result = std::result::Result<Datum, RowError>;

const ANY: &[Takes] = &[Takes::Any];
const BOOLEAN: Option<Type> = Some(Type::Boolean);
const TEXT: Option<Type> = Some(Type::Text(None));

const fn constant(
    name: &'static str,
    arguments: (usize, usize),
    result: Option<Type>,
    eval: fn(&[Datum], &Context) -> Result,
) -> Function {
    Function::new(name, arguments, ANY, result, eval).nulls()
}

fn yes(_: &[Datum], _: &Context) -> Result {
    Ok(Datum::Bool(true))
}

fn no(_: &[Datum], _: &Context) -> Result {
    Ok(Datum::Bool(false))
}

fn null(_: &[Datum], _: &Context) -> Result {
    Ok(Datum::Null)
}

fn zero(_: &[Datum], _: &Context) -> Result {
    Ok(Datum::Long(0))
}

// tidy: sorted by name
pub(super) static SYSTEM: &[Function] = &[
    constant("COL_DESCRIPTION", (2, 2), TEXT, null),
    constant("FORMAT_TYPE", (2, 2), TEXT, |a, _| Ok(format_type(a.first(), a.get(1)))),
    constant("HAS_ANY_COLUMN_PRIVILEGE", (2, 3), BOOLEAN, yes),
    constant("HAS_DATABASE_PRIVILEGE", (2, 3), BOOLEAN, yes),
    constant("HAS_SCHEMA_PRIVILEGE", (2, 3), BOOLEAN, yes),
    constant("HAS_TABLE_PRIVILEGE", (2, 3), BOOLEAN, yes),
    constant("OBJ_DESCRIPTION", (1, 2), TEXT, null),
    Function::new("PARSE_IDENT", (1, 1), &[Takes::Text], Some(Type::Array(None)), parse_ident),
    constant("PG_BACKEND_PID", (0, 0), Some(Type::Integer), |_, _| Ok(Datum::Int(0))),
    constant("PG_ENCODING_TO_CHAR", (1, 1), TEXT, |_, _| Ok(Datum::text("UTF8"))),
    constant("PG_FUNCTION_IS_VISIBLE", (1, 1), BOOLEAN, yes),
    constant("PG_GET_EXPR", (2, 3), TEXT, null),
    constant("PG_GET_FUNCTION_SQLBODY", (1, 1), TEXT, null),
    constant("PG_GET_STATISTICSOBJDEF_COLUMNS", (1, 1), TEXT, null),
    constant("PG_GET_USERBYID", (1, 1), TEXT, |_, _| Ok(Datum::text("millstream"))),
    constant("PG_IS_IN_RECOVERY", (0, 0), BOOLEAN, no),
    // A relation is no part of another: of its ancestors it is the only one.
    constant("PG_PARTITION_ANCESTORS", (1, 1), Some(Type::BigInt), |a, _| {
        Ok(a.first().cloned().unwrap_or(Datum::Null))
    }),
    constant("PG_RELATION_IS_PUBLISHABLE", (1, 1), BOOLEAN, no),
    constant("PG_RELATION_SIZE", (1, 2), Some(Type::BigInt), zero),
    constant("PG_TABLESPACE_LOCATION", (1, 1), TEXT, |_, _| Ok(Datum::text(""))),
    constant("PG_TABLE_IS_VISIBLE", (1, 1), BOOLEAN, yes),
    constant("PG_TABLE_SIZE", (1, 1), Some(Type::BigInt), zero),
    constant("PG_TOTAL_RELATION_SIZE", (1, 1), Some(Type::BigInt), zero),
    constant("PG_TYPE_IS_VISIBLE", (1, 1), BOOLEAN, yes),
    constant("SHOBJ_DESCRIPTION", (2, 2), TEXT, null),
];

/// The parts of a name.
fn parse_ident(a: &[Datum], _: &Context) -> Result {
    let Some(Datum::Text(text)) = a.first() else { return Ok(Datum::Null) };
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match (c, parts.last_mut()) {
            ('"', _) => quoted = !quoted,
            ('.', _) if !quoted => parts.push(String::new()),
            (_, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    if quoted || parts.iter().any(String::is_empty) {
        return Err(RowError::new("22023", format!("\"{text}\" is no name")));
    }
    Ok(Datum::Array(parts.into_iter().map(Datum::text).collect()))
}

/// The types that columns have, by PostgreSQL's numbers, and how they are written.
// Sorted by number.
pub(crate) static TYPES: &[(i64, &str, &str)] = &[
    (16, "bool", "boolean"),
    (17, "bytea", "bytea"),
    (18, "char", "\"char\""),
    (19, "name", "name"),
    (20, "int8", "bigint"),
    (21, "int2", "smallint"),
    (23, "int4", "integer"),
    (25, "text", "text"),
    (26, "oid", "oid"),
    (114, "json", "json"),
    (700, "float4", "real"),
    (701, "float8", "double precision"),
    (1043, "varchar", "character varying"),
    (1082, "date", "date"),
    (1083, "time", "time without time zone"),
    (1114, "timestamp", "timestamp without time zone"),
    (1184, "timestamptz", "timestamp with time zone"),
    (1186, "interval", "interval"),
    (1700, "numeric", "numeric"),
    (2950, "uuid", "uuid"),
    (3802, "jsonb", "jsonb"),
];

fn format_type(number: Option<&Datum>, modifier: Option<&Datum>) -> Datum {
    let whole = |value: Option<&Datum>| match value {
        Some(Datum::Int(number)) => Some(i64::from(*number)),
        Some(Datum::Long(number)) => Some(*number),
        _ => None,
    };
    let Some(number) = whole(number) else { return Datum::Null };
    let found = TYPES.binary_search_by_key(&number, |(known, ..)| *known).ok().and_then(|at| TYPES.get(at));
    Datum::text(match (found, whole(modifier)) {
        (None, _) if number == 0 => "-".to_owned(),
        (None, _) => "???".to_owned(),
        (Some((1043, _, words)), Some(length @ 4..)) => format!("{words}({})", length - 4),
        (Some((1700, _, words)), Some(size @ 4..)) => {
            format!("{words}({},{})", ((size - 4) >> 16) & 0xffff, (size - 4) & 0xffff)
        }
        (Some((.., words)), _) => (*words).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_postgresql_does() {
        let format = |number: i64, modifier: i64| format_type(Some(&Datum::Long(number)), Some(&Datum::Long(modifier)));
        assert_eq!(format(1184, -1), Datum::text("timestamp with time zone"));
        assert_eq!(format(1043, 14), Datum::text("character varying(10)"));
        assert_eq!(format(1700, (5 << 16) + 2 + 4), Datum::text("numeric(5,2)"));
        assert_eq!(format(0, -1), Datum::text("-"));
        assert!(TYPES.is_sorted_by_key(|(number, ..)| *number));
    }
}
