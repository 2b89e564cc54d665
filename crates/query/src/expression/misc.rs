//! What belongs to no family: `$rand`, sizes, timestamps, metadata, and what is refused.
//!
//! Source: MongoDB manual 8.0, "Aggregation Operations: expression operators".

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_value::{Doc, Value};

use super::compile::Compiler;
use super::node::{Env, Node};
use super::operator::{Args, Operator};
use super::string::size_value;
use crate::{Error, Result};

pub(super) static BINARY_SIZE: Operator = Operator::exactly("$binarySize", 1, binary_size);
pub(super) static BSON_SIZE: Operator = Operator::exactly("$bsonSize", 1, bson_size);
pub(super) static FUNCTION: Operator = Operator::own("$function", |name, _, _| Err(super::no_javascript(name)));
pub(super) static META: Operator = Operator::own("$meta", parse_meta);
pub(super) static RAND: Operator = Operator::own("$rand", parse_rand);
pub(super) static TS_INCREMENT: Operator =
    Operator::exactly("$tsIncrement", 1, |args| timestamp(args, 5_687_302, |time| time.increment));
pub(super) static TS_SECOND: Operator =
    Operator::exactly("$tsSecond", 1, |args| timestamp(args, 5_687_301, |time| time.seconds));

fn binary_size<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    match args.get(0) {
        Some(Value::String(text)) => Ok(Some(size_value(text.len()))),
        Some(Value::Binary(_, bytes)) => Ok(Some(size_value(bytes.len()))),
        _ if args.nullish(0) => Ok(Some(Value::Null)),
        _ => args.fail(51276, format_args!("requires a string or BinData argument, found: {}", args.type_name(0))),
    }
}

fn bson_size<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    match args.get(0) {
        Some(Value::Document(bytes)) => Ok(Some(size_value(bytes.len()))),
        _ if args.nullish(0) => Ok(Some(Value::Null)),
        _ => args.fail(31393, format_args!("requires a document input, found: {}", args.type_name(0))),
    }
}

fn timestamp<'v>(
    args: &Args<'_, 'v>,
    code: i32,
    part: fn(&millstream_value::ClusterTime) -> u32,
) -> Result<Option<Value<'v>>> {
    match args.get(0) {
        Some(Value::Timestamp(time)) => Ok(Some(Value::Int64(i64::from(part(time))))),
        _ if args.nullish(0) => Ok(Some(Value::Null)),
        _ => Err(Error::location(
            code,
            format!(" Argument to {} must be a timestamp, but is {}", args.name, args.type_name(0)),
        )),
    }
}

/// Metadata of the searches that are not offered: none of it is ever there.
fn parse_meta(name: &'static str, value: &Value<'_>, _: &mut Compiler<'_>) -> Result<Node> {
    let Some(wanted) = value.as_str() else {
        return Err(Error::location(17307, "$meta only supports string arguments"));
    };
    match wanted {
        "textScore" => Ok(Node::Lazy { name, run: no_text_score, args: Vec::new() }),
        "geoNearDistance" | "geoNearPoint" | "indexKey" | "randVal" | "recordId" | "searchHighlights"
        | "searchScore" | "searchScoreDetails" | "sortKey" | "vectorSearchScore" | "score" => Ok(Node::Literal(None)),
        other => Err(Error::location(17308, format!("Unsupported argument to $meta: {other}"))),
    }
}

fn no_text_score<'v>(_: &'static str, _: &'v [Node], _: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    Err(Error::location(40218, "query requires text score metadata, but it is not available"))
}

fn parse_rand(_: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    if !value.as_doc().or_else(|| value.as_array()).is_some_and(Doc::is_empty) {
        return Err(Error::location(3_040_501, "$rand does not currently accept arguments"));
    }
    let seed = compiler.scope().seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    Ok(Node::Random(Random(Arc::new(AtomicU64::new(seed)))))
}

/// A sequence of numbers in `[0, 1)`, made from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Random(Arc<AtomicU64>);

impl Random {
    /// The next number.
    pub(super) fn next(&self) -> f64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut bits = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        // 53 bits are what a double holds.
        let whole = i64::try_from(bits >> 11).unwrap_or_default();
        millstream_value::number::to_f64(whole) / 9_007_199_254_740_992.0
    }
}
