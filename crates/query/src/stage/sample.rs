//! `$sample`: some documents at random.
//!
//! Shape:  `{ $sample: { size: <integer that is not negative> } }`
//! Result: every document has the same chance. The randomness comes from the clock of the query's scope, so that
//!         the same clock gives the same sample.
//! Errors: 28745 to 28749 for the shape; 292 for more than the memory limit.
//! Source: MongoDB manual 8.0, "$sample (aggregation)".

use std::sync::Arc;

use millstream_value::{DocBuf, Element};

use super::{Documents, MEMORY_BYTES_MAX, Parsing, Row, Stream, too_much_memory};
use crate::{Error, Result};

pub(super) const SAMPLE: Row = Row::new("$sample", parse);

struct Sample {
    size: usize,
    seed: u64,
}

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(options) = spec.as_doc() else {
        return Err(Error::location(28745, "the $sample stage specification must be an object"));
    };
    let mut size = None;
    for option in options.elements() {
        if option.key() != "size" {
            return Err(Error::location(28748, format!("unrecognized option to $sample: {}", option.key())));
        }
        let value = option.value();
        if !value.is_number() {
            return Err(Error::location(28746, "size argument to $sample must be a number"));
        }
        let count = value.as_f64().and_then(millstream_value::number::truncated_i64);
        match count.map(usize::try_from) {
            Some(Ok(count)) => size = Some(count),
            _ => return Err(Error::location(28747, "size argument to $sample must not be negative")),
        }
    }
    let size = size.ok_or_else(|| Error::location(28749, "$sample stage must specify a size"))?;
    parsing.stream(Sample { size, seed: parsing.scope.now_ms.unsigned_abs() });
    Ok(())
}

impl Stream for Sample {
    fn run<'a>(self: Arc<Self>, input: Documents<'a>) -> Documents<'a> {
        super::group::lazily(move || self.collect(input))
    }
}

impl Sample {
    /// Reservoir sampling: the n-th document takes a place with a chance of size / n.
    fn collect(&self, input: Documents<'_>) -> Result<Vec<DocBuf>> {
        let mut random = self.seed;
        let mut kept: Vec<DocBuf> = Vec::new();
        let mut bytes = 0_usize;
        for (doc, seen) in input.zip(1_u64..) {
            let doc = doc?;
            if kept.len() < self.size {
                bytes += doc.size();
                kept.push(doc);
            } else {
                let place = usize::try_from(next(&mut random) % seen).unwrap_or(usize::MAX);
                if let Some(old) = kept.get_mut(place) {
                    bytes = bytes + doc.size() - old.size();
                    *old = doc;
                }
            }
            if bytes > MEMORY_BYTES_MAX {
                return Err(too_much_memory("$sample"));
            }
        }
        for last in (1..kept.len()).rev() {
            let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
            let other = usize::try_from(next(&mut random) % bound).unwrap_or_default();
            kept.swap(last, other);
        }
        Ok(kept)
    }
}

/// The next number of the splitmix64 sequence.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
