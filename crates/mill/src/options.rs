//! Options of definitions, as they are kept.

use bson::{Bson, Document, doc};
use millstream_sql::SqlError;
use millstream_sql::statement::{Literal, Options};

use crate::error::Result;

/// Refuses values that no option takes, and what nothing here does: better than taking it and doing something else.
pub(crate) fn refuse_unoffered(options: &Options) -> Result<()> {
    if options.integer("parallel")?.is_some_and(|lanes| !(1..=LANES_MAX).contains(&lanes)) {
        return Err(SqlError::new("22023", format!("parallel is a number from 1 to {LANES_MAX}")));
    }
    for (name, values) in [
        ("images", ["auto", "lookup", "mirror"].as_slice()),
        ("late", &["dead_letter", "drop"]),
        ("missing_image", &["fail", "null"]),
        ("numeric_as", &["decimal", "double"]),
        ("on_error", &["fail", "skip"]),
    ] {
        if let Some(value) = options.text(name)?
            && !values.contains(&value)
        {
            let message = format!("{name} cannot be '{value}'");
            return Err(SqlError::new("22023", message).hint(format!("it is one of: {}", values.join(", "))));
        }
    }
    if let Some(text) = options.interval("retain")?
        && crate::interval::millis(text)? <= 0
    {
        return Err(SqlError::new("22023", "retain is a length of time above zero"));
    }
    Ok(())
}

/// Lanes of a trigger, at most: each reads all changes of its table.
const LANES_MAX: u64 = 64;

/// How many lanes an object has (SQL-15.6).
pub(crate) fn lanes(options: &Options) -> u64 {
    // What cannot be read was refused.
    options.integer("parallel").ok().flatten().unwrap_or(1).clamp(1, LANES_MAX)
}

/// As documents have them.
pub(crate) fn to_document(options: &Options) -> Document {
    let value = |literal: &Literal| match literal {
        Literal::Boolean(value) => doc! {"boolean": *value},
        Literal::Interval(text) => doc! {"interval": text},
        Literal::Number(text) => doc! {"number": text},
        Literal::Text(text) => doc! {"text": text},
        Literal::Time(text) => doc! {"time": text},
        // Only sinks have paths.
        Literal::Paths(_) => doc! {"text": ""},
    };
    options.0.iter().map(|(name, literal)| (name.clone(), Bson::from(value(literal)))).collect()
}

/// From documents.
pub(crate) fn from_document(kept: Option<&Document>) -> Options {
    let literal = |value: &Bson| {
        let (kind, value) = value.as_document()?.iter().next()?;
        let text = || value.as_str().map(str::to_owned);
        match kind.as_str() {
            "boolean" => value.as_bool().map(Literal::Boolean),
            "interval" => text().map(Literal::Interval),
            "number" => text().map(Literal::Number),
            "time" => text().map(Literal::Time),
            _ => text().map(Literal::Text),
        }
    };
    let options = kept.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), literal(value)?)));
    Options(options.collect())
}
