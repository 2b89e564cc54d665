//! Functions that stand in FROM and give rows (SQL-6.9).

use std::sync::Arc;

use millstream_flow::{Datum, Row, RowError, ScalarRef, TableFunction};
use millstream_value::Doc;

use super::{Arithmetic, Comparison, Context, Expr, arithmetic, cast, compare, number};
use crate::Type;

type Result<T> = std::result::Result<T, RowError>;
/// Rows: the component of the key, and the columns.
type Rows = Vec<(Datum, Vec<Datum>)>;

/// The longest series: more rows than that somebody meant otherwise.
const ROWS_MAX: usize = 10_000_000;

/// One function of the table.
pub struct SetFunction {
    /// Its name in upper case.
    pub name: &'static str,
    /// The least and the greatest number of arguments.
    pub arguments: (usize, usize),
    /// Its columns' names and types. `UNNEST` has one for each argument.
    columns: &'static [(&'static str, Option<Type>)],
    rows: fn(&[Datum], &Context) -> Result<Rows>,
}

// tidy: sorted by name
static FUNCTIONS: &[SetFunction] = &[
    SetFunction {
        name: "GENERATE_SERIES",
        arguments: (2, 3),
        columns: &[("generate_series", None)],
        rows: generate_series,
    },
    SetFunction { name: "JSONB_ARRAY_ELEMENTS", arguments: (1, 1), columns: &[("value", None)], rows: array_elements },
    SetFunction {
        name: "JSONB_EACH",
        arguments: (1, 1),
        columns: &[("key", Some(Type::Text(None))), ("value", None)],
        rows: each,
    },
    SetFunction {
        name: "JSONB_OBJECT_KEYS",
        arguments: (1, 1),
        columns: &[("jsonb_object_keys", Some(Type::Text(None)))],
        rows: keys,
    },
    SetFunction { name: "JSON_ARRAY_ELEMENTS", arguments: (1, 1), columns: &[("value", None)], rows: array_elements },
    SetFunction {
        name: "JSON_EACH",
        arguments: (1, 1),
        columns: &[("key", Some(Type::Text(None))), ("value", None)],
        rows: each,
    },
    SetFunction {
        name: "JSON_OBJECT_KEYS",
        arguments: (1, 1),
        columns: &[("json_object_keys", Some(Type::Text(None)))],
        rows: keys,
    },
    SetFunction { name: "UNNEST", arguments: (1, usize::MAX), columns: &[("unnest", None)], rows: unnest },
];

/// The function of a name, in any case.
#[must_use]
pub fn table_function(name: &str) -> Option<&'static SetFunction> {
    let upper = name.to_ascii_uppercase();
    FUNCTIONS.iter().find(|function| function.name == upper)
}

impl SetFunction {
    /// The names and types of its columns for such arguments.
    #[must_use]
    pub fn columns(&self, arguments: usize) -> Vec<(String, Option<Type>)> {
        let repeat = if self.name == "UNNEST" { arguments } else { 1 };
        let columns = self.columns.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone()));
        columns.cycle().take(self.columns.len() * repeat).collect()
    }

    /// What makes the rows. With `ordinality` the 1-based place is one more column at the end.
    #[must_use]
    pub fn compile(&self, arguments: &[Expr], ordinality: bool, context: &Arc<Context>) -> Arc<dyn TableFunction> {
        let typed = |argument: &Expr| match argument {
            // A literal of an array or a document.
            Expr::Untyped(text) if self.name != "GENERATE_SERIES" => {
                let to = if self.name == "UNNEST" { Type::Array(None) } else { Type::Document };
                Expr::Cast { value: Box::new(Expr::Untyped(text.clone())), to, attempt: false }.compile(context)
            }
            other => other.compile(context),
        };
        Arc::new(Compiled {
            arguments: arguments.iter().map(typed).collect(),
            rows: self.rows,
            width: self.columns(arguments.len()).len() + usize::from(ordinality),
            ordinality,
            context: context.clone(),
        })
    }
}

struct Compiled {
    arguments: Vec<ScalarRef>,
    rows: fn(&[Datum], &Context) -> Result<Rows>,
    width: usize,
    ordinality: bool,
    context: Arc<Context>,
}

impl TableFunction for Compiled {
    fn rows(&self, row: &Row) -> Result<Rows> {
        let arguments = self.arguments.iter().map(|argument| argument.eval(row)).collect::<Result<Vec<_>>>()?;
        let mut rows = (self.rows)(&arguments, &self.context)?;
        if self.ordinality {
            for (at, (_, columns)) in rows.iter_mut().enumerate() {
                columns.push(Datum::Long(i64::try_from(at).unwrap_or(i64::MAX).saturating_add(1)));
            }
        }
        Ok(rows)
    }

    fn width(&self) -> usize {
        self.width
    }
}

/// Rows with their 1-based places as keys.
fn placed(columns: impl Iterator<Item = Vec<Datum>>) -> Rows {
    let place = |at: usize| i32::try_from(at + 1).map_or(Datum::Null, Datum::Int);
    columns.enumerate().map(|(at, columns)| (place(at), columns)).collect()
}

/// The elements; of several arrays side by side, the shorter ones padded.
fn unnest(arguments: &[Datum], _: &Context) -> Result<Rows> {
    let mut arrays: Vec<&[Datum]> = Vec::with_capacity(arguments.len());
    for argument in arguments {
        arrays.push(match argument {
            Datum::Array(values) => values,
            value if value.is_null() => &[],
            other => return Err(RowError::new("42804", format!("UNNEST takes an array, not {}", cast::name(other)))),
        });
    }
    let longest = arrays.iter().map(|array| array.len()).max().unwrap_or(0);
    let row = |at: usize| arrays.iter().map(|array| array.get(at).cloned().unwrap_or(Datum::Null)).collect();
    Ok(placed((0..longest).map(row)))
}

fn array_elements(arguments: &[Datum], _: &Context) -> Result<Rows> {
    match arguments.first() {
        Some(Datum::Array(values)) => Ok(placed(values.iter().map(|value| vec![value.clone()]))),
        None => Ok(Vec::new()),
        Some(value) if value.is_null() => Ok(Vec::new()),
        Some(other) => {
            Err(RowError::new("22023", format!("JSONB_ARRAY_ELEMENTS takes an array, not {}", cast::name(other))))
        }
    }
}

/// Names and values of a document's fields.
fn fields(arguments: &[Datum], columns: impl Fn(&str, Datum) -> Vec<Datum>) -> Result<Rows> {
    match arguments.first() {
        Some(Datum::Document(bytes)) => {
            Ok(placed(Doc::new(bytes).elements().map(|field| columns(field.key(), Datum::from_value(&field.value())))))
        }
        None => Ok(Vec::new()),
        Some(value) if value.is_null() => Ok(Vec::new()),
        Some(other) => Err(RowError::new("22023", format!("a document is needed, not {}", cast::name(other)))),
    }
}

fn each(arguments: &[Datum], _: &Context) -> Result<Rows> {
    fields(arguments, |name, value| vec![Datum::text(name), value])
}

fn keys(arguments: &[Datum], _: &Context) -> Result<Rows> {
    fields(arguments, |name, _| vec![Datum::text(name)])
}

/// From the first to the last value, both included. The value is the key.
fn generate_series(arguments: &[Datum], context: &Context) -> Result<Rows> {
    if arguments.iter().any(Datum::is_null) {
        return Ok(Vec::new());
    }
    let (Some(first), Some(last)) = (arguments.first(), arguments.get(1)) else { return Ok(Vec::new()) };
    let numbers = number::is_number(first) && number::is_number(last);
    let step = match arguments.get(2) {
        Some(step) => step.clone(),
        None if numbers => Datum::Int(1),
        None => return Err(RowError::new("42883", "a series of times needs a step")),
    };
    let zero = if numbers { Datum::Int(0) } else { Datum::Interval(millstream_flow::Interval::default()) };
    let within = match compare::order(&step, &zero, context) {
        Some(std::cmp::Ordering::Greater) => Comparison::LessOrEqual,
        Some(std::cmp::Ordering::Less) => Comparison::GreaterOrEqual,
        Some(std::cmp::Ordering::Equal) => return Err(RowError::new("22023", "the step can not be zero")),
        None => return Err(RowError::new("42804", format!("the step can not be {}", cast::name(&step)))),
    };
    // A series of dates is one of timestamps with a zone, of midnights.
    let mut next = match first {
        Datum::Date(_) => cast::cast(first, &Type::Timestamptz, context)?,
        other => other.clone(),
    };
    let mut rows = Vec::new();
    while compare::values(within, &next, last, context) == Some(true) {
        if rows.len() == ROWS_MAX {
            return Err(RowError::new("54000", "the series is too long"));
        }
        rows.push((next.clone(), vec![next.clone()]));
        next = match arithmetic::values(Arithmetic::Add, &next, &step, context) {
            Ok(next) => next,
            // Past the last number that there is.
            Err(error) if matches!(error.state.0, "22003" | "22008") => break,
            Err(error) => return Err(error),
        };
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Arc<Context> {
        Arc::new(Context {
            variables: Vec::new(),
            time_zone: jiff::tz::TimeZone::UTC,
            routine: Box::new(|_, _| Ok(Datum::Null)),
            clock: Box::new(|| 0),
        })
    }

    fn rows(name: &str, arguments: &[Expr]) -> Result<Rows> {
        let function = table_function(name).unwrap();
        function.compile(arguments, false, &context()).rows(&Row::new(Vec::new(), Vec::new()))
    }

    fn constant(value: i32) -> Expr {
        Expr::Constant(Datum::Int(value))
    }

    fn columns(name: &str, arguments: &[Expr]) -> Vec<Vec<Datum>> {
        rows(name, arguments).unwrap().into_iter().map(|(_, columns)| columns).collect()
    }

    /// SQL-6.7, SQL-6.9, E-23
    #[test]
    fn arrays_become_rows() {
        let array = Expr::Array(vec![constant(7), constant(8)]);
        let two = [(Datum::Int(1), vec![Datum::Int(7)]), (Datum::Int(2), vec![Datum::Int(8)])];
        assert_eq!(rows("unnest", std::slice::from_ref(&array)).unwrap(), two);
        let padded = columns("UNNEST", &[array.clone(), Expr::Array(vec![constant(1)])]);
        assert_eq!(padded, [[Datum::Int(7), Datum::Int(1)], [Datum::Int(8), Datum::Null]]);
        assert!(rows("UNNEST", &[Expr::Constant(Datum::Null)]).unwrap().is_empty());
        assert!(rows("UNNEST", &[Expr::Array(Vec::new())]).unwrap().is_empty());
        assert_eq!(rows("UNNEST", &[constant(1)]).unwrap_err().state.0, "42804");
        assert_eq!(columns("JSONB_ARRAY_ELEMENTS", std::slice::from_ref(&array)), [[Datum::Int(7)], [Datum::Int(8)]]);
        assert_eq!(rows("JSON_ARRAY_ELEMENTS", &[constant(1)]).unwrap_err().state.0, "22023");
        let with_place = table_function("UNNEST").unwrap().compile(&[array], true, &context());
        let rows = with_place.rows(&Row::new(Vec::new(), Vec::new())).unwrap();
        assert_eq!(rows.last().unwrap().1, [Datum::Int(8), Datum::Long(2)]);
        assert_eq!(with_place.width(), 2);
    }

    /// SQL-6.6
    #[test]
    fn fields_become_rows() {
        let document = || vec![Expr::Untyped(r#"{"a": 1, "b": "x"}"#.to_owned())];
        let both = [[Datum::text("a"), Datum::Int(1)], [Datum::text("b"), Datum::text("x")]];
        assert_eq!(columns("JSONB_EACH", &document()), both);
        assert_eq!(columns("JSON_EACH", &document()), both);
        assert_eq!(columns("JSONB_OBJECT_KEYS", &document()), [[Datum::text("a")], [Datum::text("b")]]);
        assert_eq!(columns("JSON_OBJECT_KEYS", &document()).len(), 2);
    }

    /// SQL-6.9
    #[test]
    fn series_go_up_and_down() {
        assert_eq!(columns("GENERATE_SERIES", &[constant(1), constant(3)]).len(), 3);
        assert_eq!(
            columns("GENERATE_SERIES", &[constant(5), constant(1), constant(-2)]).last().unwrap(),
            &[Datum::Int(1)]
        );
        assert_eq!(rows("GENERATE_SERIES", &[constant(1), constant(3), constant(0)]).unwrap_err().state.0, "22023");
        let date =
            |text: &str| Expr::Cast { value: Box::new(Expr::Untyped(text.to_owned())), to: Type::Date, attempt: false };
        let step =
            Expr::Cast { value: Box::new(Expr::Untyped("1 month".to_owned())), to: Type::Interval, attempt: false };
        let months = columns("GENERATE_SERIES", &[date("2025-01-31"), date("2025-04-30"), step]);
        assert_eq!(months.len(), 4);
        assert!(matches!(months.first().unwrap()[..], [Datum::Instant(_)]));
    }
}
