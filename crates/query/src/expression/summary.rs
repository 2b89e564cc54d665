//! Summaries of a list or array: `$sum`, `$avg`, `$min`, `$max`, `$stdDevPop`, `$stdDevSamp`, and the first, last,
//! smallest or largest `n`.
//!
//! Shape:  any number of arguments, or one that is an array; `{input: <array>, n: <count>}` for those with `n`.
//! Absent: does not count.
//! Source: MongoDB manual 8.0, "Accumulators (in other stages)".

use millstream_value::{Value, compare_by};

use super::accumulator::positive;
use super::accumulator::summary::{Deviation, Kind, Summary};
use super::array::items;
use super::limit;
use super::operator::{Args, Name, Operator, required};
use crate::Result;

pub(super) static AVG: Operator = Operator::any("$avg", |args| Ok(Some(summary(args, Kind::Average))));
pub(super) static FIRST_N: Operator = counted("$firstN");
pub(super) static LAST_N: Operator = counted("$lastN");
pub(super) static MAX: Operator = Operator::any("$max", |args| Ok(Some(extreme(args, true))));
pub(super) static MAX_N: Operator = counted("$maxN");
pub(super) static MIN: Operator = Operator::any("$min", |args| Ok(Some(extreme(args, false))));
pub(super) static MIN_N: Operator = counted("$minN");
pub(super) static STD_DEV_POP: Operator = Operator::any("$stdDevPop", |args| Ok(Some(deviation(args, false))));
pub(super) static STD_DEV_SAMP: Operator = Operator::any("$stdDevSamp", |args| Ok(Some(deviation(args, true))));
pub(super) static SUM: Operator = Operator::any("$sum", |args| Ok(Some(summary(args, Kind::Sum))));

/// The values to summarize: a lone array stands for its elements.
fn values<'v>(args: &Args<'_, 'v>) -> Vec<Value<'v>> {
    if let [Some(array @ Value::Array(_))] = args.all() {
        return items(array).unwrap_or_default();
    }
    args.all().iter().flatten().cloned().collect()
}

fn summary(args: &Args<'_, '_>, kind: Kind) -> Value<'static> {
    let mut summary = Summary::new(kind);
    for value in values(args) {
        summary.take(&value);
    }
    summary.result()
}

fn deviation(args: &Args<'_, '_>, sample: bool) -> Value<'static> {
    let mut deviation = Deviation::new(sample);
    for value in values(args) {
        deviation.take(&value);
    }
    deviation.result()
}

fn extreme<'v>(args: &Args<'_, 'v>, largest: bool) -> Value<'v> {
    let values = values(args).into_iter().filter(|value| !value.is_nullish());
    let compare = |a: &Value<'_>, b: &Value<'_>| compare_by(a, b, args.order());
    let best = if largest { values.max_by(compare) } else { values.min_by(compare) };
    best.unwrap_or(Value::Null)
}

static NAMES: &[Name] = &[required("n", 5_787_906), required("input", 5_787_907)];

const fn counted(name: &'static str) -> Operator {
    Operator::named(name, NAMES, 5_787_901, 5_787_801, several)
}

fn several<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let count = positive(args.get(0))?;
    let Some(mut values) = args.get(1).and_then(items) else {
        return args.fail(5_788_200, format_args!("requires 'input' to be an array, found: {}", args.type_name(1)));
    };
    match args.name {
        "$firstN" => values.truncate(count),
        "$lastN" => {
            values.drain(..values.len().saturating_sub(count));
        }
        name => {
            values.retain(|value| !value.is_nullish());
            let compare = |a: &Value<'_>, b: &Value<'_>| compare_by(a, b, args.order());
            values.sort_by(|a, b| if name == "$maxN" { compare(b, a) } else { compare(a, b) });
            values.truncate(count);
        }
    }
    limit::array(values.into_iter().map(Some)).map(Some)
}
