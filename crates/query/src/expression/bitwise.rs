//! `$bitAnd`, `$bitOr`, `$bitXor`, `$bitNot`.
//!
//! Absent: null or missing gives null.
//! Result: `int`, or `long` if an operand is one.
//! Errors: `TypeMismatch` for anything else.
//! Source: MongoDB manual 8.0, "Bitwise Operators".

use millstream_value::Value;

use super::number::{Num, integer};
use super::operator::{Args, Operator};
use crate::{Error, Result};

pub(super) static BIT_AND: Operator = Operator::any("$bitAnd", |args| join(args, -1, |a, b| a & b));
pub(super) static BIT_NOT: Operator = Operator::exactly("$bitNot", 1, not);
pub(super) static BIT_OR: Operator = Operator::any("$bitOr", |args| join(args, 0, |a, b| a | b));
pub(super) static BIT_XOR: Operator = Operator::any("$bitXor", |args| join(args, 0, |a, b| a ^ b));

fn join<'v>(args: &Args<'_, 'v>, start: i64, with: fn(i64, i64) -> i64) -> Result<Option<Value<'v>>> {
    let (mut bits, mut ints) = (start, true);
    for at in 0..args.len() {
        let Some(number) = operand(args, at)? else { return Ok(Some(Value::Null)) };
        ints &= matches!(number, Num::Int(_));
        bits = with(bits, number.integer().unwrap_or(0));
    }
    Ok(Some(integer(bits, ints).into()))
}

fn not<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    Ok(Some(match operand(args, 0)? {
        None => Value::Null,
        Some(number) => integer(!number.integer().unwrap_or(0), matches!(number, Num::Int(_))).into(),
    }))
}

fn operand(args: &Args<'_, '_>, at: usize) -> Result<Option<Num>> {
    match args.get(at).and_then(Num::of) {
        Some(number @ (Num::Int(_) | Num::Long(_))) => Ok(Some(number)),
        None if args.nullish(at) => Ok(None),
        _ => Err(Error::type_mismatch(format!("{} only supports int and long operands.", args.name))),
    }
}
