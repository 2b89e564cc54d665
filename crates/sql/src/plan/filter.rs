//! Conditions in the language of `find` (SQL-20.5).
//!
//! What is read once is asked for with a condition that is true wherever SQL's is; the mill evaluates SQL's again. Where the
//! deployment computes more than a condition, it has to be true nowhere else: then arrays, which MongoDB looks into and SQL
//! does not, are kept out by a guard.

use millstream_flow::{Datum, key};
use millstream_value::{DocBuf, Value};

use crate::expr::like::Pattern;
use crate::expr::{Comparison, Context, Expr, Step, Test};
use crate::plan::calculated::{self, Nulls, calculated};
use crate::plan::streamed::escaped;
use crate::plan::{Source, SourceColumn};

/// What of a condition is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// What is true wherever the condition is (SQL-20.2).
    Wide,
    /// What is true just where the condition is.
    Exact,
}

/// A path, as MongoDB writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The field that the document is in, where that is not all there is: an event's.
    root: Option<&'static str>,
    names: Vec<String>,
}

impl Path {
    /// In a document that is a field itself.
    pub(crate) fn within(self, root: &'static str) -> Self {
        Self { root: Some(root), ..self }
    }

    /// The names with dots between them.
    pub(crate) fn dotted(&self) -> String {
        self.first(self.names.len())
    }

    /// What it leads through in the document, from the outermost on.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = String> {
        (1..self.names.len()).map(|length| self.first(length))
    }

    /// The names of the way, without the field that the document is in.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    fn first(&self, length: usize) -> String {
        let names = self.names.iter().take(length).map(String::as_str);
        self.root.into_iter().chain(names).collect::<Vec<_>>().join(".")
    }
}

/// The path of a top-level field and steps into it, if MongoDB's paths can say it.
pub(crate) fn path(column: &str, steps: &[Step]) -> Option<Path> {
    let steps = steps.iter().map(|step| match step {
        Step::Field(name) => Some(name.as_str()),
        Step::Index(_) => None,
    });
    let names: Option<Vec<&str>> = std::iter::once(Some(column)).chain(steps).collect();
    let names = names.filter(|names| names.iter().all(|name| plain(name)))?;
    Some(Path { root: None, names: names.into_iter().map(str::to_owned).collect() })
}

impl Source {
    /// A filter in the language of `find` that lets through every document whose row can matter; `None`: all.
    #[must_use]
    pub fn filter(&self, context: &Context) -> Option<DocBuf> {
        let path = |expr: &Expr| self.path(expr);
        let translation = Translation { path: &path, mode: Mode::Wide, context };
        let conditions = self.conditions.iter();
        let sure = conditions.filter_map(|condition| translation.condition(condition, true));
        let first = self.streamed.calculations().and_then(|(all, nulls)| calculated(all, true, nulls, &path, context));
        let parts: Vec<DocBuf> = sure.chain(first).collect();
        (!parts.is_empty()).then(|| listed("$and", &parts))
    }

    /// A filter that lets through the documents that satisfy all conditions, and no others; empty: all. `None`: there is none.
    pub(crate) fn exact_filter(&self, context: &Context) -> Option<DocBuf> {
        let path = |expr: &Expr| self.path(expr);
        let translation = Translation { path: &path, mode: Mode::Exact, context };
        let parts = self.conditions.iter().map(|condition| translation.condition(condition, true));
        Some(all_of(parts.collect::<Option<Vec<_>>>()?).unwrap_or_default())
    }

    /// The path of a column, if MongoDB's paths can say it.
    pub(crate) fn path(&self, expr: &Expr) -> Option<Path> {
        let (column, steps) = match expr {
            Expr::Path(inner, steps) => (inner.as_ref(), steps.as_slice()),
            column => (column, &[][..]),
        };
        let Expr::Column(at) = column else { return None };
        match self.columns.get(*at)? {
            SourceColumn::Field(name) => path(name, steps),
            _ => None,
        }
    }
}

/// Makes match expressions of conditions.
pub(crate) struct Translation<'t> {
    path: &'t dyn Fn(&Expr) -> Option<Path>,
    mode: Mode,
    context: &'t Context,
}

impl<'t> Translation<'t> {
    /// One that is true wherever the condition is; `path` says which expressions are paths.
    pub(crate) fn wide(path: &'t dyn Fn(&Expr) -> Option<Path>, context: &'t Context) -> Self {
        Self { path, mode: Mode::Wide, context }
    }

    fn path(&self, expr: &Expr) -> Option<Path> {
        (self.path)(expr)
    }

    /// A condition, or where `is` is false its negation, as a match expression; `None`: it is not translated.
    pub(crate) fn condition(&self, condition: &Expr, is: bool) -> Option<DocBuf> {
        let (mode, context) = (self.mode, self.context);
        match condition {
            Expr::And(parts) if is => self.all(parts, is),
            Expr::Or(parts) if !is => self.all(parts, is),
            Expr::And(parts) | Expr::Or(parts) => {
                let parts = parts.iter().map(|part| self.condition(part, is));
                Some(listed("$or", &parts.collect::<Option<Vec<_>>>()?))
            }
            Expr::Not(inner) => self.condition(inner, !is),
            Expr::Is(Test::Null, not, value) => {
                let path = self.path(value)?;
                Some(if *not == is { is_not_null(&path, mode) } else { is_null(&path, mode) })
            }
            Expr::Compare(op, a, b) => {
                let op = if is { *op } else { op.opposite() };
                let found = match (self.path(a), self.path(b)) {
                    (Some(a), Some(b)) => (mode == Mode::Wide).then(|| calculated::compared(op, &a, &b)),
                    (Some(path), None) => compared(&path, op, b, mode, context),
                    (None, Some(path)) => compared(&path, crate::plan::clock::turned(op), a, mode, context),
                    (None, None) => None,
                };
                found.or_else(|| self.calculated(condition, is))
            }
            Expr::Between { value, low, high, symmetric: false } => {
                let path = self.path(value)?;
                let (above, below) = match is {
                    true => (Comparison::GreaterOrEqual, Comparison::LessOrEqual),
                    false => (Comparison::Less, Comparison::Greater),
                };
                let above = compared(&path, above, low, mode, context);
                let below = compared(&path, below, high, mode, context);
                match (is, mode) {
                    (true, Mode::Wide) => all_of(above.into_iter().chain(below).collect()),
                    (true, Mode::Exact) => all_of(vec![above?, below?]),
                    (false, _) => Some(listed("$or", &[above?, below?])),
                }
            }
            Expr::In(value, list) => {
                let path = self.path(value)?;
                let mut all = Vec::new();
                for literal in list {
                    all.extend(forms(literal, context)?);
                }
                one_of(&path, &all, is, mode)
            }
            Expr::Like { value, pattern, escape, ignore_case: false } if is => {
                let escape = escape.as_ref().map_or(Some('\\'), |escape| escape.chars().next());
                let pattern = match pattern.as_ref() {
                    Expr::Untyped(text) => text.clone(),
                    pattern => match constant(pattern, context)? {
                        Datum::Text(text) => text.to_string(),
                        _ => return None,
                    },
                };
                begins(&self.path(value)?, &Pattern::new(&pattern, escape, false), mode)
            }
            _ => None,
        }
    }

    /// What cannot fail and is made of several fields.
    fn calculated(&self, condition: &Expr, is: bool) -> Option<DocBuf> {
        let is_meant = self.mode == Mode::Wide && condition.is_sure_condition();
        is_meant
            .then(|| calculated(std::slice::from_ref(condition), is, Nulls::Drop, self.path, self.context))
            .flatten()
    }

    /// Parts that all hold: what is not translated becomes true.
    fn all(&self, parts: &[Expr], is: bool) -> Option<DocBuf> {
        let parts = parts.iter().map(|part| self.condition(part, is));
        match self.mode {
            Mode::Wide => all_of(parts.flatten().collect()),
            Mode::Exact => all_of(parts.collect::<Option<Vec<_>>>()?),
        }
    }
}

/// Whether a name means itself in a dotted path.
pub(crate) fn plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['.', '\0']) && !name.starts_with('$') && name.parse::<u64>().is_err()
}

fn compared(path: &Path, op: Comparison, literal: &Expr, mode: Mode, context: &Context) -> Option<DocBuf> {
    let forms = forms(literal, context)?;
    match op {
        Comparison::Equal => one_of(path, &forms, true, mode),
        Comparison::NotEqual => one_of(path, &forms, false, mode),
        Comparison::Less => in_order(path, "$lt", &forms, mode),
        Comparison::LessOrEqual => in_order(path, "$lte", &forms, mode),
        Comparison::Greater => in_order(path, "$gt", &forms, mode),
        Comparison::GreaterOrEqual => in_order(path, "$gte", &forms, mode),
        Comparison::Distinct | Comparison::NotDistinct => None,
    }
}

/// The value is one of the forms; or is something else, and not NULL.
fn one_of(path: &Path, forms: &[Form], is: bool, mode: Mode) -> Option<DocBuf> {
    if (!is || mode == Mode::Exact) && !forms.iter().all(|form| form.is_exact) {
        return None;
    }
    let mut listed_forms = DocBuf::new();
    listed_forms.nest(&path.dotted(), |inner| {
        inner.array(if is { "$in" } else { "$nin" }, |all| {
            for form in forms {
                all.push(form.value.clone());
            }
            if !is {
                all.push(Value::Null);
            }
        });
    });
    let mut parts =
        vec![if is { listed_forms } else { listed("$or", &[listed_forms, of_type(&path.dotted(), "array")]) }];
    if mode == Mode::Exact {
        if is {
            parts.push(no_array(&path.dotted()));
        } else {
            parts.push(not_of_type(&path.dotted(), "undefined"));
        }
        parts.extend(path.prefixes().map(|prefix| no_array(&prefix)));
    }
    all_of(parts)
}

/// One of the forms compares so. What MongoDB orders otherwise is let through: NaN above all numbers.
fn in_order(path: &Path, operator: &str, forms: &[Form], mode: Mode) -> Option<DocBuf> {
    let not_a_number = |form: &Form| matches!(form.value, Value::Double(number) if number.is_nan());
    if forms.iter().any(not_a_number) {
        return None;
    }
    let dotted = path.dotted();
    let compared = |form: &Form| {
        let mut one = DocBuf::new();
        one.nest(&dotted, |inner| {
            inner.push(operator, form.value.clone());
        });
        one
    };
    let mut parts: Vec<DocBuf> = forms.iter().map(compared).collect();
    let is_number = |form: &Form| matches!(form.value, Value::Int32(_) | Value::Int64(_));
    if operator.starts_with("$gt") && (mode == Mode::Wide || forms.iter().any(is_number)) {
        let mut one = DocBuf::new();
        one.push(&dotted, f64::NAN);
        parts.push(one);
    }
    let either = listed("$or", &parts);
    if mode == Mode::Wide {
        return Some(either);
    }
    // The bounds of a fraction are wider than itself, and of other types SQL's order is its own.
    let is_exact =
        |form: &Form| is_number(form) || matches!(form.value, Value::Bool(_) | Value::Date(_) | Value::String(_));
    if !forms.iter().all(is_exact) {
        return None;
    }
    let guards = path.prefixes().chain([dotted.clone()]).map(|path| no_array(&path));
    all_of([either].into_iter().chain(guards).collect())
}

fn is_null(path: &Path, mode: Mode) -> DocBuf {
    let dotted = path.dotted();
    let mut null = DocBuf::new();
    null.push(&dotted, Value::Null);
    // Newer servers hold undefined for something else.
    let mut parts = vec![null, of_type(&dotted, "undefined")];
    if mode == Mode::Exact {
        parts = vec![listed("$and", &[listed("$or", &parts), no_array(&dotted)])];
    }
    parts.extend(path.prefixes().map(|prefix| of_type(&prefix, "array")));
    listed("$or", &parts)
}

fn is_not_null(path: &Path, mode: Mode) -> DocBuf {
    let dotted = path.dotted();
    let mut there = DocBuf::new();
    there.nest(&dotted, |inner| {
        inner.push("$ne", Value::Null);
    });
    let there = listed("$or", &[there, of_type(&dotted, "array")]);
    if mode == Mode::Wide {
        return there;
    }
    let guards = path.prefixes().map(|prefix| no_array(&prefix));
    let parts: Vec<DocBuf> = [there, not_of_type(&dotted, "undefined")].into_iter().chain(guards).collect();
    listed("$and", &parts)
}

/// The value is a text with the beginning of a pattern.
fn begins(path: &Path, pattern: &Pattern, mode: Mode) -> Option<DocBuf> {
    let (beginning, is_whole) = pattern.beginning()?;
    if beginning.contains('\0') || (mode == Mode::Exact && !is_whole) {
        return None;
    }
    let mut regex = String::from("^");
    for c in beginning.chars() {
        regex.extend(escaped(c).into_iter().chain([c]));
    }
    let mut one = DocBuf::new();
    one.nest(&path.dotted(), |inner| {
        inner.push("$regex", regex.as_str());
    });
    if mode == Mode::Wide {
        return Some(one);
    }
    let guards = path.prefixes().chain([path.dotted()]).map(|path| no_array(&path));
    all_of([one].into_iter().chain(guards).collect())
}

pub(crate) fn of_type(path: &str, name: &str) -> DocBuf {
    let mut one = DocBuf::new();
    one.nest(path, |inner| {
        inner.push("$type", name);
    });
    one
}

pub(crate) fn not_of_type(path: &str, name: &str) -> DocBuf {
    let mut one = DocBuf::new();
    one.nest(path, |inner| {
        inner.nest("$not", |inner| {
            inner.push("$type", name);
        });
    });
    one
}

fn no_array(path: &str) -> DocBuf {
    not_of_type(path, "array")
}

/// `None`: there are no parts.
pub(crate) fn all_of(mut parts: Vec<DocBuf>) -> Option<DocBuf> {
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(listed("$and", &parts)),
    }
}

/// `$and` or `$or` of match expressions.
pub(crate) fn listed(operator: &str, parts: &[DocBuf]) -> DocBuf {
    let mut out = DocBuf::new();
    out.array(operator, |all| {
        for part in parts {
            all.push_document(part.as_bytes());
        }
    });
    out
}

/// One stored form of a constant that SQL holds for equal to it.
struct Form {
    value: Value<'static>,
    /// Whether all that MongoDB holds for equal to it is equal for SQL, too.
    is_exact: bool,
}

/// Every stored form of a constant (SQL-4.5, SQL-4.10). `None`: it is no constant, or NULL, or of a type that is not compared
/// this way.
fn forms(literal: &Expr, context: &Context) -> Option<Vec<Form>> {
    if let Expr::Untyped(text) = literal {
        return Some(text_forms(text, context));
    }
    match constant(literal, context)? {
        // What has a type may be meant as it stands.
        Datum::Text(text) => {
            let mut forms = text_forms(&text, context);
            let is_exact = forms.len() == 1;
            forms.iter_mut().for_each(|form| form.is_exact &= is_exact);
            Some(forms)
        }
        value @ (Datum::Int(_)
        | Datum::Long(_)
        | Datum::Decimal(_)
        | Datum::Bool(_)
        | Datum::Instant(_)
        | Datum::Binary(..)) => Some(stored(&value, context)),
        Datum::ObjectId(id) => {
            let text = Value::String(millstream_value::shell::hex(&id).into());
            Some([Value::ObjectId(id), text].into_iter().map(|value| Form { value, is_exact: false }).collect())
        }
        _ => None,
    }
}

/// What a text may be stored as: text, or what it reads as.
fn text_forms(text: &str, context: &Context) -> Vec<Form> {
    crate::expr::stored_forms(text, context).iter().flat_map(|form| stored(form, context)).collect()
}

/// What is the same for every row.
pub(crate) fn constant(literal: &Expr, context: &Context) -> Option<Datum> {
    match literal {
        Expr::Constant(value) => Some(value.clone()),
        Expr::Variable(slot) => context.variables.get(*slot).cloned(),
        Expr::Path(inner, steps) => {
            let Expr::Variable(slot) = inner.as_ref() else { return None };
            Some(crate::expr::step_into(context.variables.get(*slot)?, steps))
        }
        _ => None,
    }
}

/// How a value is stored: a decimal is equal to the double that it rounds to, too (SQL-4.5), which is another number if the two
/// differ.
fn stored(value: &Datum, context: &Context) -> Vec<Form> {
    let Datum::Decimal(number) = value else {
        return vec![Form { value: crate::expr::to_value(value, &context.time_zone), is_exact: true }];
    };
    let double = number.to_f64();
    let is_exact = key::compare(value, &Datum::Double(double)).is_eq();
    vec![Form { value: Value::Decimal(*number), is_exact }, Form { value: Value::Double(double), is_exact }]
}
