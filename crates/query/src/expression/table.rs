//! The table of operators.

use super::operator::Operator;
use super::{arithmetic as math, boolean, comparison, conditional, object};

/// Every operator, by the name that is written.
// tidy: sorted
pub(super) static OPERATORS: &[&Operator] = &[
    &math::ABS,
    &math::ADD,
    &boolean::AND,
    &math::CEIL,
    &comparison::CMP,
    &conditional::COND,
    &conditional::CONST,
    &math::DIVIDE,
    &comparison::EQ,
    &math::EXP,
    &math::FLOOR,
    &object::GET_FIELD,
    &comparison::GT,
    &comparison::GTE,
    &conditional::IF_NULL,
    &conditional::LITERAL,
    &math::LN,
    &math::LOG,
    &math::LOG10,
    &comparison::LT,
    &comparison::LTE,
    &object::MERGE_OBJECTS,
    &math::MOD,
    &math::MULTIPLY,
    &comparison::NE,
    &boolean::NOT,
    &boolean::OR,
    &math::POW,
    &math::ROUND,
    &object::SET_FIELD,
    &math::SQRT,
    &math::SUBTRACT,
    &conditional::SWITCH,
    &math::TRUNC,
    &object::UNSET_FIELD,
];
