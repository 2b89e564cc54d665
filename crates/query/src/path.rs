//! Dotted paths, parsed once, and the two ways to follow them.
//!
//! [`Path::get`] goes through documents only. [`Path::visit`] is the way of predicates: arrays on the way are entered,
//! a number may be a field's name or a place in an array, and an array at the end stands for its elements and itself.

use millstream_value::{Code, Doc, Element, Value};

use crate::{Error, Result};

/// How many parts a path may have (MongoDB's limit for field paths).
pub const PARTS_MAX: usize = 200;

/// A dotted path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    text: String,
    parts: Vec<Part>,
}

/// One name of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    name: String,
    index: Option<usize>,
}

/// What an array at the end of a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Its elements, then itself: comparisons.
    Elements,
    /// Itself only: `$size`, `$elemMatch`.
    Whole,
}

/// A value that a path leads to.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The value; `None` where the path ends early.
    pub element: Option<Element<'a>>,
    /// The place in the first array on the way, if one was entered.
    pub index: Option<usize>,
}

impl Path {
    /// Splits `text` at its dots. Any text is a path: see [`Path::checked`] for those that come from a specification.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { text: text.to_owned(), parts: text.split('.').map(Part::new).collect() }
    }

    /// Splits `text` and holds it to the rules for field paths of projections, sort orders and expressions.
    ///
    /// # Errors
    /// 40352 (empty), 40353 (ends with a dot), 15998 (empty name), 16410 (`$` first), 16411 (NUL), `Overflow`.
    pub fn checked(text: &str) -> Result<Self> {
        check(text)?;
        Ok(Self::parse(text))
    }

    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The value at the path, through documents only.
    #[must_use]
    pub fn get<'a>(&self, doc: Doc<'a>) -> Option<Value<'a>> {
        self.element(doc).map(Element::value)
    }

    /// The element at the path, through documents only.
    #[must_use]
    pub fn element<'a>(&self, doc: Doc<'a>) -> Option<Element<'a>> {
        let (last, way) = self.parts.split_last()?;
        let mut doc = doc;
        for part in way {
            doc = doc.element(&part.name)?.as_doc()?;
        }
        doc.element(&last.name)
    }

    /// Calls `visit` for everything that the path leads to, until it answers true or fails.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn visit<'a>(
        &self,
        doc: Doc<'a>,
        leaf: Leaf,
        visit: &mut impl FnMut(Found<'a>) -> Result<bool>,
    ) -> Result<bool> {
        through_document(doc, &self.parts, leaf, None, visit)
    }
}

impl Part {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), index: array_index(name) }
    }

    /// The name as written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The place in an array that the name may mean.
    #[must_use]
    pub const fn index(&self) -> Option<usize> {
        self.index
    }
}

/// The value at `path`, through documents only.
#[must_use]
pub fn get<'a>(doc: Doc<'a>, path: &Path) -> Option<Value<'a>> {
    path.get(doc)
}

/// The array place that a name means: digits without a leading zero.
#[must_use]
pub fn array_index(name: &str) -> Option<usize> {
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    let canonical = name == "0" || !name.starts_with('0');
    if digits && canonical { name.parse().ok() } else { None }
}

/// Holds `text` to the rules for field paths.
///
/// # Errors
/// See [`Path::checked`].
pub fn check(text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::location(40352, "FieldPath cannot be constructed with empty string"));
    }
    if text.ends_with('.') {
        return Err(Error::location(40353, "FieldPath must not end with a '.'."));
    }
    if text.split('.').count() > PARTS_MAX {
        return Err(Error::new(Code::Overflow, "FieldPath is too long"));
    }
    text.split('.').try_for_each(check_name)
}

/// Holds one name of a path to the rules for field names.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::location(15998, "FieldPath field names may not be empty strings."));
    }
    if name.starts_with('$') {
        return Err(Error::location(
            16410,
            "FieldPath field names may not start with '$'. Consider using $getField or $setField.",
        ));
    }
    if name.contains('\0') {
        return Err(Error::location(16411, "FieldPath field names may not contain '\\0'."));
    }
    Ok(())
}

// The recursion is bounded by the nesting of the document, which is checked where documents enter the process.
fn through_document<'a>(
    doc: Doc<'a>,
    parts: &[Part],
    leaf: Leaf,
    index: Option<usize>,
    visit: &mut impl FnMut(Found<'a>) -> Result<bool>,
) -> Result<bool> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(false);
    };
    let Some(element) = doc.element(&part.name) else {
        return visit(Found { element: None, index });
    };
    if rest.is_empty() {
        return at_end(element, leaf, index, visit);
    }
    if let Some(inner) = element.as_doc() {
        return through_document(inner, rest, leaf, index, visit);
    }
    match element.as_array() {
        Some(array) => through_array(array, rest, leaf, index, visit),
        None => visit(Found { element: None, index }),
    }
}

fn at_end<'a>(
    element: Element<'a>,
    leaf: Leaf,
    index: Option<usize>,
    visit: &mut impl FnMut(Found<'a>) -> Result<bool>,
) -> Result<bool> {
    if leaf == Leaf::Elements
        && let Some(array) = element.as_array()
    {
        for (place, inner) in array.elements().enumerate() {
            if visit(Found { element: Some(inner), index: index.or(Some(place)) })? {
                return Ok(true);
            }
        }
    }
    visit(Found { element: Some(element), index })
}

/// The rest of a path inside an array: every document in it, and the element whose place the next name means.
fn through_array<'a>(
    array: Doc<'a>,
    parts: &[Part],
    leaf: Leaf,
    index: Option<usize>,
    visit: &mut impl FnMut(Found<'a>) -> Result<bool>,
) -> Result<bool> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(false);
    };
    for (place, element) in array.elements().enumerate() {
        if let Some(doc) = element.as_doc()
            && through_document(doc, parts, leaf, index.or(Some(place)), visit)?
        {
            return Ok(true);
        }
        if part.index != Some(place) {
            continue;
        }
        let found = if rest.is_empty() {
            // A place that the path names itself is not searched further, even if it holds an array.
            visit(Found { element: Some(element), index })?
        } else if let Some(doc) = element.as_doc() {
            through_document(doc, rest, leaf, index, visit)?
        } else if let Some(inner) = element.as_array() {
            through_array(inner, rest, leaf, index, visit)?
        } else {
            false
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_value::{DocBuf, shell};

    fn document() -> DocBuf {
        let mut doc = DocBuf::new();
        doc.array("a", |a| {
            for n in 1..3 {
                let mut inner = DocBuf::new();
                inner.push("b", n);
                a.push(inner);
            }
            a.push(7);
        });
        doc
    }

    fn visited(path: &str, leaf: Leaf) -> Vec<String> {
        let doc = document();
        let mut seen = vec![];
        Path::parse(path)
            .visit(doc.as_doc(), leaf, &mut |found| {
                let value = found.element.map_or("missing".to_owned(), |e| shell::value(&e.value()));
                seen.push(format!("{value}@{:?}", found.index));
                Ok(false)
            })
            .unwrap();
        seen
    }

    #[test]
    fn arrays_on_the_way_are_entered() {
        assert_eq!(visited("a.b", Leaf::Elements), ["1@Some(0)", "2@Some(1)"]);
        assert_eq!(visited("a.1.b", Leaf::Elements), ["missing@Some(0)", "missing@Some(1)", "2@None"]);
        assert_eq!(visited("a.2", Leaf::Elements), ["missing@Some(0)", "missing@Some(1)", "7@None"]);
        assert_eq!(visited("a", Leaf::Whole).len(), 1);
        assert_eq!(visited("a", Leaf::Elements).len(), 4);
        assert_eq!(visited("x.y", Leaf::Elements), ["missing@None"]);
    }

    #[test]
    fn a_place_has_no_leading_zero() {
        assert_eq!(array_index("0"), Some(0));
        assert_eq!(array_index("10"), Some(10));
        assert_eq!(array_index("01"), None);
        assert_eq!(array_index(""), None);
        assert_eq!(array_index("99999999999999999999999"), None);
    }
}
