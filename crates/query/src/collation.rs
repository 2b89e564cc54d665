//! Collations: how texts compare in a language.
//!
//! Shape:  `{ locale, strength, caseLevel, caseFirst, numericOrdering, alternate, maxVariable, normalization, backwards }`
//! Absent: the language's own choice; strength 3. `{ locale: "simple" }` is no collation: texts compare by their bytes.
//! Errors: 40414 without `locale`, 40415 for an unknown field, `TypeMismatch`, 51024 for a strength outside of 1 to 5,
//!         `BadValue` for other values, `NotImplemented` for what the collation data at hand cannot do.
//! Source: MongoDB manual 8.0, "Collation"; the comparison is Unicode's, with the data of CLDR.
//!
//! Texts are always compared as if they were normalized, so `normalization` is kept and shown but changes nothing.

mod locale;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use icu_collator::options::{AlternateHandling, CaseLevel, CollatorOptions, MaxVariable, Strength};
use icu_collator::preferences::{CollationCaseFirst, CollationNumericOrdering};
use icu_collator::{CollatorBorrowed, CollatorPreferences};
use millstream_value::{Code, Doc, DocBuf, Element, TextOrder, Value, shell};

use crate::{Error, Result};

/// What MongoDB 8.0 calls the version of its collation data; clients may send it back.
const VERSION: &str = "57.1";

/// A collation that is not the simple one. Cheap to clone; equal if all of its options are.
#[derive(Clone)]
pub struct Collation(Arc<Parts>);

struct Parts {
    spec: DocBuf,
    collator: CollatorBorrowed<'static>,
}

impl Collation {
    /// Compiles a collation document; `None` is the simple collation.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub fn parse(spec: Doc<'_>) -> Result<Option<Self>> {
        if spec.is_empty() {
            return Ok(None);
        }
        let given = Given::read(spec)?;
        if given.locale == "simple" {
            if spec.len() > 1 {
                return Err(Error::failed_to_parse("the simple collation has no other options"));
            }
            return Ok(None);
        }
        let collation = given.compile(spec)?;
        Ok(Some(collation))
    }

    /// The document with all of its options, as it is stored and shown.
    #[must_use]
    pub fn spec(&self) -> Doc<'_> {
        self.0.spec.as_doc()
    }
}

/// The order of texts under a collation, or none: that of their bytes.
#[must_use]
pub fn order(collation: Option<&Collation>) -> Option<&dyn TextOrder> {
    collation.map(|collation| collation as &dyn TextOrder)
}

/// Whether values like this one may compare differently under another collation.
#[must_use]
pub fn applies_to(value: &Value<'_>) -> bool {
    let inside = |doc: Doc<'_>| doc.values().any(|inner| applies_to(&inner));
    match value {
        Value::String(_) | Value::Symbol(_) => true,
        Value::Document(bytes) | Value::Array(bytes) => inside(Doc::new(bytes)),
        _ => false,
    }
}

impl TextOrder for Collation {
    fn compare(&self, a: &str, b: &str) -> Ordering {
        self.0.collator.compare(a, b)
    }

    fn append_key(&self, text: &str, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let Ok(()) = self.0.collator.write_sort_key_to(text, out);
    }
}

impl PartialEq for Collation {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.spec == other.0.spec
    }
}

impl Eq for Collation {}

impl Hash for Collation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.spec.as_bytes().hash(state);
    }
}

impl std::fmt::Debug for Collation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collation({:?})", self.spec())
    }
}

/// The options that a client wrote.
#[derive(Default)]
struct Given {
    locale: String,
    case_level: Option<bool>,
    case_first: Option<CollationCaseFirst>,
    strength: Option<i32>,
    numeric: Option<bool>,
    alternate: Option<AlternateHandling>,
    max_variable: Option<MaxVariable>,
    normalization: bool,
    backwards: Option<bool>,
}

impl Given {
    fn read(spec: Doc<'_>) -> Result<Self> {
        let mut given = Self::default();
        for element in spec.elements() {
            match element.key() {
                "alternate" => {
                    given.alternate = Some(match text(element)? {
                        "non-ignorable" => AlternateHandling::NonIgnorable,
                        "shifted" => AlternateHandling::Shifted,
                        other => return Err(no_such_value(element, other)),
                    });
                }
                "backwards" => given.backwards = Some(truth(element)?),
                "caseFirst" => {
                    given.case_first = Some(match text(element)? {
                        "lower" => CollationCaseFirst::Lower,
                        "off" => CollationCaseFirst::False,
                        "upper" => CollationCaseFirst::Upper,
                        other => return Err(no_such_value(element, other)),
                    });
                }
                "caseLevel" => given.case_level = Some(truth(element)?),
                "locale" => text(element)?.clone_into(&mut given.locale),
                "maxVariable" => {
                    given.max_variable = Some(match text(element)? {
                        "punct" => MaxVariable::Punctuation,
                        "space" => MaxVariable::Space,
                        other => return Err(no_such_value(element, other)),
                    });
                }
                "normalization" => given.normalization = truth(element)?,
                "numericOrdering" => given.numeric = Some(truth(element)?),
                "strength" => given.strength = Some(strength(element)?),
                "version" => {
                    let version = text(element)?;
                    if version != VERSION {
                        let message = format!("the version of collations is {VERSION}, not {version}");
                        return Err(Error::new(Code::from_number(161), message));
                    }
                }
                other => {
                    let message = format!("BSON field 'collation.{other}' is an unknown field.");
                    return Err(Error::location(40415, message));
                }
            }
        }
        if !spec.has("locale") {
            let message = "BSON field 'collation.locale' is missing but a required field";
            return Err(Error::location(40414, message));
        }
        Ok(given)
    }

    fn compile(self, spec: Doc<'_>) -> Result<Collation> {
        let locale = locale::find(&self.locale, spec)?;
        let strength = self.strength.unwrap_or(3);
        let mut preferences = CollatorPreferences::from(&locale.id);
        preferences.case_first = self.case_first;
        preferences.numeric_ordering = self.numeric.map(|numeric| match numeric {
            true => CollationNumericOrdering::True,
            false => CollationNumericOrdering::False,
        });
        let mut options = CollatorOptions::default();
        options.strength = Some(match strength {
            1 => Strength::Primary,
            2 => Strength::Secondary,
            3 => Strength::Tertiary,
            4 => Strength::Quaternary,
            _ => Strength::Identical,
        });
        options.case_level = self.case_level.map(|on| if on { CaseLevel::On } else { CaseLevel::Off });
        options.alternate_handling = self.alternate;
        options.max_variable = self.max_variable;
        if self.backwards == Some(true) && strength == 1 {
            return Err(Error::bad_value("'backwards' has no effect with a strength of 1"));
        }
        let backwards = self.backwards.unwrap_or(locale.backwards);
        if backwards != locale.backwards {
            let message = format!("'backwards: {backwards}' is not supported with the locale '{}'", self.locale);
            return Err(Error::new(Code::NotImplemented, message));
        }
        let collator = CollatorBorrowed::try_new(preferences, options).map_err(|_| locale::invalid(spec))?;
        let resolved = collator.resolved_options();
        let case_level = resolved.case_level == CaseLevel::On;
        let case_first = match resolved.case_first {
            CollationCaseFirst::Upper => "upper",
            CollationCaseFirst::Lower => "lower",
            _ => "off",
        };
        if self.case_first.is_some() && case_first != "off" && !case_level && strength < 3 {
            return Err(Error::bad_value("'caseFirst' has no effect without 'caseLevel' or a strength of 3 or more"));
        }
        let mut spec = DocBuf::new();
        spec.push("locale", self.locale.as_str()).push("caseLevel", case_level).push("caseFirst", case_first);
        spec.push("strength", strength);
        spec.push("numericOrdering", resolved.numeric == CollationNumericOrdering::True);
        let shifted = resolved.alternate_handling == AlternateHandling::Shifted;
        spec.push("alternate", if shifted { "shifted" } else { "non-ignorable" });
        spec.push("maxVariable", if resolved.max_variable == MaxVariable::Space { "space" } else { "punct" });
        spec.push("normalization", self.normalization).push("backwards", backwards).push("version", VERSION);
        Ok(Collation(Arc::new(Parts { spec, collator })))
    }
}

fn text(element: Element<'_>) -> Result<&str> {
    element.as_str().ok_or_else(|| wrong_type(element, "'string'"))
}

fn truth(element: Element<'_>) -> Result<bool> {
    match element.value() {
        Value::Bool(truth) => Ok(truth),
        _ => Err(wrong_type(element, "'bool'")),
    }
}

fn strength(element: Element<'_>) -> Result<i32> {
    let value = element.value();
    if !value.is_number() {
        return Err(wrong_type(element, "'[long, int, decimal, double]'"));
    }
    let number = value.as_integer().and_then(|number| i32::try_from(number).ok());
    let out_of_range = |bound: &str| {
        let shown = shell::value(&value);
        Err(Error::location(51024, format!("BSON field 'strength' value must be {bound}, actual value '{shown}'")))
    };
    match number {
        Some(strength) if strength < 1 => out_of_range(">= 1"),
        Some(strength) if strength <= 5 => Ok(strength),
        _ => out_of_range("<= 5"),
    }
}

fn wrong_type(element: Element<'_>, expected: &str) -> Error {
    let (name, found) = (element.key(), element.value().type_name());
    let plural = if element.key() == "strength" { "types" } else { "type" };
    Error::type_mismatch(format!(
        "BSON field 'collation.{name}' is the wrong type '{found}', expected {plural} {expected}"
    ))
}

fn no_such_value(element: Element<'_>, value: &str) -> Error {
    Error::bad_value(format!(
        "Enumeration value '{value}' for field 'collation.{}' is not a valid value.",
        element.key()
    ))
}
