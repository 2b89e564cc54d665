//! Which rows a frame holds, as ranges of places (SQL-8.2).

use super::distance::{End, Way, go};
use super::rows::{Partition, just_after};
use crate::operators::order;
use crate::store::after;
use crate::{Bound, Datum, Exclude, Frame, FrameUnit, Offset, OrderKey, Result};

/// Places from one up to another one; to the end of the partition where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Vec<u8>,
    pub(super) to: Option<Vec<u8>>,
}

impl Span {
    fn empty() -> Self {
        Self { from: Vec::new(), to: Some(Vec::new()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }

    fn without(self, hole: &Self) -> [Self; 2] {
        let before = match &self.to {
            Some(to) if *to < hole.from => to,
            _ => &hole.from,
        };
        let before = Self { from: self.from.clone(), to: Some(before.clone()) };
        let behind = match &hole.to {
            Some(to) => Self { from: self.from.max(to.clone()), to: self.to },
            None => Self::empty(),
        };
        [before, behind]
    }
}

/// The row that a frame belongs to.
#[derive(Clone, Copy)]
pub(in crate::operators) struct Current<'a> {
    pub(in crate::operators) place: &'a [u8],
    /// What its peers share.
    pub(in crate::operators) order: &'a [u8],
    /// The order's one value, where frames go distances from it.
    pub(in crate::operators) key: &'a Datum,
}

impl Current<'_> {
    fn peers(&self) -> Span {
        Span { from: self.order.to_vec(), to: after_order(self.order) }
    }

    fn itself(&self) -> Span {
        Span { from: self.place.to_vec(), to: Some(just_after(self.place)) }
    }
}

/// The end of the rows of an order; without `ORDER BY` all rows are peers.
pub(super) fn after_order(order: &[u8]) -> Option<Vec<u8>> {
    after(order)
}

/// The frame of a row without what it excludes: ranges in order.
pub(super) fn spans(
    partition: Partition<'_, '_>,
    order: Option<&OrderKey>,
    frame: &Frame,
    row: Current<'_>,
) -> Result<Vec<Span>> {
    let from = start(partition, order, frame, row)?;
    let to = end(partition, order, frame, row)?;
    let (Some(from), Some(to)) = (from, to) else { return Ok(Vec::new()) };
    let whole = Span { from, to };
    let mut spans = match frame.exclude {
        Exclude::NoOthers => vec![whole],
        Exclude::CurrentRow => whole.without(&row.itself()).into(),
        Exclude::Group => whole.without(&row.peers()).into(),
        Exclude::Ties => {
            let peers = row.peers();
            let [before, _] = Span { from: peers.from.clone(), to: peers.to.clone() }.without(&row.itself());
            let [_, behind] = peers.without(&row.itself());
            let [first, rest] = whole.without(&before);
            let [second, third] = rest.without(&behind);
            vec![first, second, third]
        }
    };
    spans.retain(|span| !span.is_empty());
    Ok(spans)
}

/// Where the frame begins; `None`: behind all rows.
fn start(
    partition: Partition<'_, '_>,
    order: Option<&OrderKey>,
    frame: &Frame,
    row: Current<'_>,
) -> Result<Option<Vec<u8>>> {
    let peers = || if frame.unit == FrameUnit::Rows { row.place } else { row.order }.to_vec();
    Ok(match (&frame.start, frame.unit) {
        (Bound::UnboundedPreceding, _) => Some(Vec::new()),
        (Bound::UnboundedFollowing, _) => None,
        (Bound::CurrentRow, _) => Some(peers()),
        (
            Bound::Preceding(Offset::Count(0)) | Bound::Following(Offset::Count(0)),
            FrameUnit::Rows | FrameUnit::Groups,
        ) => Some(peers()),
        (Bound::Preceding(Offset::Count(n)), FrameUnit::Rows) => {
            Some(partition.nth_before(row.place, *n)?.map(|row| row.place().to_vec()).unwrap_or_default())
        }
        (Bound::Following(Offset::Count(n)), FrameUnit::Rows) => {
            partition.nth_after(row.place, *n)?.map(|row| row.place().to_vec())
        }
        (Bound::Preceding(Offset::Count(n)), FrameUnit::Groups) => {
            Some(group_before(partition, row.order, *n)?.unwrap_or_default())
        }
        (Bound::Following(Offset::Count(n)), FrameUnit::Groups) => group_after(partition, row.order, *n)?,
        (Bound::Preceding(offset) | Bound::Following(offset), _) => {
            let reached = reach(&frame.start, order, offset, row.key, true);
            Some(reached.unwrap_or_else(|| row.order.to_vec()))
        }
    })
}

/// Where the frame ends (exclusive): `Some(None)`: with the partition; `None`: before all rows.
fn end(
    partition: Partition<'_, '_>,
    order: Option<&OrderKey>,
    frame: &Frame,
    row: Current<'_>,
) -> Result<Option<Option<Vec<u8>>>> {
    let peers = || if frame.unit == FrameUnit::Rows { Some(just_after(row.place)) } else { after_order(row.order) };
    Ok(match (&frame.end, frame.unit) {
        (Bound::UnboundedPreceding, _) => None,
        (Bound::UnboundedFollowing, _) => Some(None),
        (Bound::CurrentRow, _) => Some(peers()),
        (
            Bound::Preceding(Offset::Count(0)) | Bound::Following(Offset::Count(0)),
            FrameUnit::Rows | FrameUnit::Groups,
        ) => Some(peers()),
        (Bound::Preceding(Offset::Count(n)), FrameUnit::Rows) => {
            partition.nth_before(row.place, *n)?.map(|row| Some(just_after(row.place())))
        }
        (Bound::Following(Offset::Count(n)), FrameUnit::Rows) => {
            Some(partition.nth_after(row.place, *n)?.map(|row| just_after(row.place())))
        }
        (Bound::Preceding(Offset::Count(n)), FrameUnit::Groups) => {
            group_before(partition, row.order, *n)?.map(|order| after_order(&order))
        }
        (Bound::Following(Offset::Count(n)), FrameUnit::Groups) => {
            Some(group_after(partition, row.order, *n)?.and_then(|order| after_order(&order)))
        }
        (Bound::Preceding(offset) | Bound::Following(offset), _) => {
            let reached = reach(&frame.end, order, offset, row.key, false);
            Some(after_order(&reached.unwrap_or_else(|| row.order.to_vec())))
        }
    })
}

/// The order of the place that a `RANGE` bound reaches.
fn reach(bound: &Bound, order: Option<&OrderKey>, offset: &Offset, key: &Datum, is_start: bool) -> Option<Vec<u8>> {
    let by = order?;
    let to_lesser = matches!(bound, Bound::Preceding(_)) != by.descending;
    let way = if to_lesser { Way::Down } else { Way::Up };
    let end = if is_start != by.descending { End::Least } else { End::Greatest };
    let mut reached = Vec::with_capacity(16);
    order::append_key(by, &go(key, way, offset, end)?, &mut reached);
    Some(reached)
}

/// The order of the `n`th group before one.
pub(in crate::operators) fn group_before(
    partition: Partition<'_, '_>,
    order: &[u8],
    n: u64,
) -> Result<Option<Vec<u8>>> {
    let mut at = order.to_vec();
    for _ in 0..n {
        match partition.before(&at)? {
            Some(row) => at = row.order()?.to_vec(),
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The order of the `n`th group behind one.
pub(super) fn group_after(partition: Partition<'_, '_>, order: &[u8], n: u64) -> Result<Option<Vec<u8>>> {
    let mut at = order.to_vec();
    for _ in 0..n {
        let Some(from) = after_order(&at) else { return Ok(None) };
        match partition.between(&from, None).next().transpose()? {
            Some(row) => at = row.order()?.to_vec(),
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}
