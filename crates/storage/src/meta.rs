//! The store's own rows. They share a table with the catalog, behind a zero byte: a table of their own would cost a
//! new store a dozen flushes.
//!
//! `clock`                        -> the last cluster time, when no log entry carries it
//! `lost`                         -> entries before this cluster time are dropped
//! `sweep`, space (u8), prefix (u32) -> keys under this prefix are to be removed

use std::ops::Bound;

use crate::{
    ClusterTime, Error, Result, Slice, Space,
    engine::{Table, View},
};

const CLOCK: &[u8] = b"\0clock";
const LOST: &[u8] = b"\0lost";
const SWEEP: &[u8] = b"\0sweep";
const END: &[u8] = b"\x01";

/// What the rows said when the store was opened.
pub(crate) struct Meta {
    pub(crate) clock: ClusterTime,
    pub(crate) lost_before: Option<ClusterTime>,
    pub(crate) sweeps: Vec<(Space, u32)>,
}

impl Meta {
    pub(crate) fn read(view: &View, table: &Table) -> Result<Self> {
        let time = |key| view.get(table, key)?.map(|value| to_time(&value)).transpose();
        let mut sweeps = Vec::new();
        for row in view.range(table, Bound::Included(SWEEP), Bound::Excluded(END)) {
            sweeps.push(to_sweep(&row?.0)?);
        }
        Ok(Self { clock: time(CLOCK)?.unwrap_or_default(), lost_before: time(LOST)?, sweeps })
    }
}

pub(crate) fn clock_row(time: ClusterTime) -> (Slice, Slice) {
    (Slice::from_static(CLOCK), Slice::copy_from_slice(&time.to_be_bytes()))
}

pub(crate) fn lost_row(time: ClusterTime) -> (Slice, Slice) {
    (Slice::from_static(LOST), Slice::copy_from_slice(&time.to_be_bytes()))
}

pub(crate) fn sweep_key(space: Space, prefix: u32) -> Slice {
    let mut key = SWEEP.to_vec();
    key.push(space.number());
    key.extend_from_slice(&prefix.to_be_bytes());
    key.into()
}

fn to_time(value: &[u8]) -> Result<ClusterTime> {
    let bytes = value.first_chunk::<8>().filter(|_| value.len() == 8).ok_or_else(damaged)?;
    Ok(ClusterTime::from_u64(u64::from_be_bytes(*bytes)))
}

fn to_sweep(key: &[u8]) -> Result<(Space, u32)> {
    let parts = key.strip_prefix(SWEEP).and_then(|rest| rest.split_first());
    let (space, prefix) = parts.ok_or_else(damaged)?;
    let space = Space::from_number(*space).ok_or_else(damaged)?;
    let prefix = prefix.first_chunk::<4>().ok_or_else(damaged)?;
    Ok((space, u32::from_be_bytes(*prefix)))
}

fn damaged() -> Error {
    Error::Corrupt("the store's own rows".into())
}
