//! How much the operators of a running view hold, as its checkpoint tells it to whoever explains the view (SQL-18.7).

use bson::{Bson, Document, doc};
use millstream_flow::NodeStats;
use millstream_sql::plan::Held;

/// Where it stands in a checkpoint.
pub(crate) const HELD: &str = "held";

/// The statistics of a circuit's nodes by operators, and the bytes of the copies of the sources.
pub(crate) fn to_document(nodes: &[NodeStats], owners: &[usize], copies: NodeStats) -> Document {
    let mut held = Held::new();
    for (stats, owner) in nodes.iter().zip(owners).filter(|(stats, _)| stats.rows > 0) {
        let of_operator = held.entry(*owner).or_default();
        of_operator.rows += stats.rows;
        of_operator.bytes += stats.bytes;
    }
    let long = |number: u64| Bson::from(i64::try_from(number).unwrap_or(i64::MAX));
    let operators = held.into_iter().map(|(place, stats)| {
        Bson::from(vec![long(u64::try_from(place).unwrap_or(u64::MAX)), long(stats.rows), long(stats.bytes)])
    });
    doc! {"operators": operators.collect::<Vec<_>>(), "nodes": long(u64::try_from(nodes.len()).unwrap_or(0)), "copies": long(copies.bytes)}
}

/// What a checkpoint tells of a plan with so many nodes: what operators hold, and the bytes of the copies. `None`: nothing, or of
/// another plan.
pub(crate) fn from_checkpoint(checkpoint: &Document, nodes: usize) -> Option<(Held, i64)> {
    let told = checkpoint.get_document(HELD).ok()?;
    if usize::try_from(told.get_i64("nodes").ok()?) != Ok(nodes) {
        return None;
    }
    let operator = |operator: &Bson| {
        let numbers: Vec<u64> =
            operator.as_array()?.iter().filter_map(|number| u64::try_from(number.as_i64()?).ok()).collect();
        let [place, rows, bytes] = *numbers.as_slice() else { return None };
        Some((usize::try_from(place).ok()?, NodeStats { rows, bytes }))
    };
    let held = told.get_array("operators").ok()?.iter().filter_map(operator).collect();
    Some((held, told.get_i64("copies").unwrap_or(0)))
}
