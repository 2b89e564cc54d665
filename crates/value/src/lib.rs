//! Documents as raw bytes, and everything that is true of a single value.
//!
//! What it is: reading ([`Doc`], [`Element`], [`Value`]) and writing ([`DocBuf`], [`ArrayBuf`]) of BSON in place,
//! the total order of values ([`compare`]), bytes that keep that order ([`key`]), decimal numbers, error codes,
//! cluster times and namespaces. What it is not: a query language (see `query`) or a store (see `storage`).

mod bridge;
mod buffer;
mod code;
mod compare;
mod decimal;
pub mod document;
pub mod key;
mod namespace;
pub mod number;
mod object_id;
pub mod shell;
mod time;
mod validate;
mod value;

pub use bridge::{from_bson, from_bson_document, to_bson, to_bson_document};
pub use buffer::{ArrayBuf, DocBuf};
pub use code::Code;
pub use compare::{TextOrder, canonical_type, compare, compare_by, compare_docs, equal, equal_by};
pub use decimal::Decimal;
pub use document::{Doc, Element, Elements, kind};
pub use namespace::Namespace;
pub use object_id::{new_object_id, new_uuid};
pub use time::ClusterTime;
pub use validate::{DEPTH_MAX, InvalidBson, validate};
pub use value::{Value, type_name};
