//! Update operators.

mod add_to_set;
mod bit;
mod current_date;
mod each;
mod inc;
mod max;
mod min;
mod mul;
mod number;
mod pop;
mod pull;
mod pull_all;
mod push;
pub(super) mod rename;
mod set;
pub(super) mod set_on_insert;
mod unset;

use millstream_value::Element;

use super::target::Target;
use crate::Result;
use crate::expression::Scope;

/// An operator applied to one place.
pub(crate) type Change = Box<dyn Fn(&mut Target<'_, '_>) -> Result<()> + Send + Sync>;

/// An update operator: how it compiles one `path: operand`.
pub(crate) struct Modifier {
    /// The name a client writes.
    pub(crate) name: &'static str,
    /// Checks the operand (its name is the path) and compiles it.
    pub(crate) parse: fn(Element<'_>, &Scope) -> Result<Change>,
}

/// Every update operator, by the name a client writes.
// tidy: sorted by name
pub(crate) static MODIFIERS: &[Modifier] = &[
    add_to_set::ADD_TO_SET,
    bit::BIT,
    current_date::CURRENT_DATE,
    inc::INC,
    max::MAX,
    min::MIN,
    mul::MUL,
    pop::POP,
    pull::PULL,
    pull_all::PULL_ALL,
    push::PUSH,
    rename::RENAME,
    set::SET,
    set_on_insert::SET_ON_INSERT,
    unset::UNSET,
];

/// The operator called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Modifier> {
    MODIFIERS.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|index| MODIFIERS.get(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_found() {
        assert!(MODIFIERS.is_sorted_by_key(|row| row.name));
        assert!(MODIFIERS.iter().all(|row| find(row.name).is_some()));
        assert!(find("$bogus").is_none());
    }
}
