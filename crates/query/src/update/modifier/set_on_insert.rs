//! `$setOnInsert`: `$set`, but only where an upsert makes a new document.
//!
//! Shape:  `{ $setOnInsert: { <path>: <value>, ... } }`
//! Absent: as `$set`; a document that exists is left alone.
//! Source: MongoDB manual 8.0, "$setOnInsert".

use super::{Modifier, set};

pub(super) const SET_ON_INSERT: Modifier = Modifier { name: NAME, parse: set::parse };

pub(crate) const NAME: &str = "$setOnInsert";
