//! Conditions that a deployment calculates, by `$expr` (SQL-20.5): columns compared with columns, arithmetic, functions.
//!
//! What MongoDB calculates is not always what SQL does. So it decides only over rows whose fields are what makes sense of the
//! condition: numbers that are not too large, texts, times of the years 1 to 9999. There SQL's condition cannot fail, nor can
//! MongoDB's. All other rows pass. Where not all numbers are integers, what is nearly so passes, too: the two round in their own
//! ways. Nothing here is exact.

use millstream_flow::Datum;
use millstream_value::{DocBuf, Value};

use crate::Expr;
use crate::expr::{Arithmetic, Comparison, Context};
use crate::plan::aggregation::{NULLS, array, condition, field, is_one_of, kind_of, names, operator, text};
use crate::plan::filter::{Path, constant, path};

/// Types whose values MongoDB compares as SQL does, but for NaN, and decimals with doubles.
// Sorted.
const ALIKE: [&str; 9] = ["bool", "date", "decimal", "double", "int", "long", "objectId", "string", "timestamp"];
const INTEGERS: [&str; 2] = ["int", "long"];

/// The limits that numbers are tried with: the first with which no integer gets too large.
const LIMITS: [i64; 6] =
    [1_000_000_000_000_000_000, 100_000_000_000_000, 1_000_000_000_000, 1_000_000_000, 1_000_000, 10_000];
/// What fits a long, and twice so.
const INTEGER_MAX: f64 = 4e18;
/// Where something is divided, it is a double's digits that have to be enough.
const DIVIDED_MAX: f64 = 1e15;
/// Texts are shorter, and years fewer.
const LENGTH_MAX: f64 = 1e9;
/// What is divided by is no nearer to zero.
const DIVISOR_MIN: f64 = 1e-9;
/// How near two numbers are that may be equal, for each unit of what they were made of.
const TOLERANCE: f64 = 1e-9;
/// And of numbers so small that a double has no smaller ones.
const UNIT_MIN: f64 = 1e-200;
/// What conditions consist of, at most, and how deep in each other: servers do not go deep.
const PARTS_MAX: usize = 200;
const DEPTH_MAX: usize = 12;
/// Quotients in all: each may be a thousand million times what it is made of, and is written down twice.
const QUOTIENTS_MAX: usize = 3;
/// The first and the last millisecond of the years 1 to 9999.
const TIMES: [i64; 2] = [-62_135_596_800_000, 253_402_300_799_999];

/// Whether rows in which something is NULL matter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// Not where that makes the condition NULL.
    Drop,
    /// Something else may fail for them.
    Pass,
}

/// Whether a condition is one that may be calculated, as far as its form tells.
pub(crate) fn is_calculated(condition: &Expr) -> bool {
    let constant = |expr: &Expr| match expr {
        Expr::Constant(value) => Some(value.clone()),
        _ => None,
    };
    let path = |expr: &Expr| {
        let (inner, steps) = match expr {
            Expr::Path(inner, steps) => (inner.as_ref(), steps.as_slice()),
            other => (other, &[][..]),
        };
        let is_place = matches!(inner, Expr::Column(_) | Expr::Variable(_));
        is_place.then(|| path("x", steps)).flatten()
    };
    let mut reader = Reader {
        path: &path,
        constant: &constant,
        is_utc: true,
        guards: Vec::new(),
        parts: 0,
        depth: 0,
        quotients: 0,
        nulls: Nulls::Drop,
    };
    reader.condition(condition, true).is_some() && !reader.guards.is_empty()
}

/// A filter that lets through every row for which all conditions, or where `is` is false their negations, are true, and those
/// for which one of them may fail; `None`: all.
pub(crate) fn calculated(
    conditions: &[Expr],
    is: bool,
    nulls: Nulls,
    path: &dyn Fn(&Expr) -> Option<Path>,
    context: &Context,
) -> Option<DocBuf> {
    let constant = |expr: &Expr| constant(expr, context);
    let is_utc = context.time_zone == jiff::tz::TimeZone::UTC;
    let mut reader =
        Reader { path, constant: &constant, is_utc, guards: Vec::new(), parts: 0, depth: 0, quotients: 0, nulls };
    let all = conditions.iter().map(|condition| reader.condition(condition, is)).collect::<Option<Vec<_>>>()?;
    if reader.guards.is_empty() {
        return None;
    }
    Some(expression(condition(all_of(reader.guards), all_of(all), Value::Bool(true))))
}

/// A filter that lets through every row in which two columns compare so.
pub(crate) fn compared(op: Comparison, a: &Path, b: &Path) -> DocBuf {
    let (a, b) = (field(a), field(b));
    let types = || array([kind_of(a.clone()), kind_of(b.clone())]);
    let is_one_valued = matches!(op, Comparison::Distinct | Comparison::NotDistinct);
    let known = names(if is_one_valued { ALIKE.iter().chain(&NULLS) } else { ALIKE.iter().chain(&[]) });
    let (left, right) = if is_one_valued { (or_null(a.clone()), or_null(b.clone())) } else { (a.clone(), b.clone()) };
    let mut any = vec![
        operator(name(op), array([left, right])),
        operator("$not", array([operator("$setIsSubset", array([types(), known]))])),
        operator("$setIsSubset", array([names(&["decimal", "double"]), types()])),
    ];
    let is_order = !matches!(name(op), "$eq" | "$ne");
    if is_order {
        any.push(operator("$in", array([Value::Double(f64::NAN), array([a.clone(), b.clone()])])));
    }
    let any = operator("$or", array(any));
    if is_one_valued {
        return expression(any);
    }
    let nulls = operator("$setIntersection", array([types(), names(&NULLS)]));
    expression(operator("$and", array([operator("$eq", array([nulls, array([])])), any])))
}

/// What an operator is called.
fn name(op: Comparison) -> &'static str {
    match op {
        Comparison::Equal | Comparison::NotDistinct => "$eq",
        Comparison::NotEqual | Comparison::Distinct => "$ne",
        Comparison::Less => "$lt",
        Comparison::LessOrEqual => "$lte",
        Comparison::Greater => "$gt",
        Comparison::GreaterOrEqual => "$gte",
    }
}

fn expression(value: Value<'static>) -> DocBuf {
    let mut out = DocBuf::new();
    out.push("$expr", value);
    out
}

fn all_of(mut parts: Vec<Value<'static>>) -> Value<'static> {
    match (parts.len(), parts.pop()) {
        (1, Some(one)) => one,
        (_, last) => operator("$and", array(parts.into_iter().chain(last))),
    }
}

fn pair(name: &str, a: Value<'static>, b: Value<'static>) -> Value<'static> {
    operator(name, array([a, b]))
}

fn or_null(value: Value<'static>) -> Value<'static> {
    pair("$ifNull", value, Value::Null)
}

/// What has to be so of a field for a condition to be calculated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text of ASCII, whose case every server knows.
    Ascii,
    Divisor,
    Integer,
    IntegerDivisor,
    Number,
    Text,
    Time,
}

/// A field, or the first of several that is not NULL.
struct Leaf {
    value: Value<'static>,
    kind: Kind,
}

impl Leaf {
    /// True where it is what it has to be. It cannot fail, whatever the field holds: numbers have their own place in the order of
    /// all values, with NaN before them.
    fn guard(self, limit: i64, nulls: Nulls) -> Value<'static> {
        let Self { value, kind } = self;
        let within = |low: Value<'static>, high: Value<'static>| {
            vec![pair("$gte", value.clone(), low), pair("$lte", value.clone(), high)]
        };
        let is = |name: &str| pair("$eq", kind_of(value.clone()), text(name.to_owned()));
        let guard = match kind {
            Kind::Text => is("string"),
            Kind::Ascii => {
                let lengths =
                    pair("$eq", operator("$strLenBytes", value.clone()), operator("$strLenCP", value.clone()));
                condition(is("string"), lengths, Value::Bool(false))
            }
            Kind::Time => all_of(within(Value::Date(TIMES[0]), Value::Date(TIMES[1]))),
            Kind::Number | Kind::Integer | Kind::Divisor | Kind::IntegerDivisor => {
                let mut all = within(whole(-limit), whole(limit));
                if matches!(kind, Kind::Integer | Kind::IntegerDivisor) {
                    all.push(is_one_of(kind_of(value.clone()), &INTEGERS));
                }
                if matches!(kind, Kind::Divisor | Kind::IntegerDivisor) {
                    let above = pair("$gte", value.clone(), Value::Double(DIVISOR_MIN));
                    all.push(pair("$or", above, pair("$lte", value.clone(), Value::Double(-DIVISOR_MIN))));
                }
                all_of(all)
            }
        };
        match nulls {
            Nulls::Drop => pair("$or", pair("$eq", or_null(value), Value::Null), guard),
            Nulls::Pass => guard,
        }
    }
}

/// As narrow as it may be.
fn whole(value: i64) -> Value<'static> {
    i32::try_from(value).map_or(Value::Int64(value), Value::Int32)
}

/// A number that is calculated.
enum Number {
    Constant(Datum),
    Field(Value<'static>),
    /// An integer, and whether SQL has it as one.
    Integer(Value<'static>, bool),
    /// `$abs`, `$ceil` or `$floor`.
    Of(&'static str, Box<Number>),
    Product(Box<Number>, Box<Number>),
    Quotient(Box<Number>, Box<Number>),
    Remainder(Box<Number>, Box<Number>),
    /// `$add` or `$subtract`.
    Sum(&'static str, Box<Number>, Box<Number>),
}

/// Reads conditions as expressions of MongoDB's, of which each is true where the condition is, as long as the guards are.
struct Reader<'r> {
    path: &'r dyn Fn(&Expr) -> Option<Path>,
    constant: &'r dyn Fn(&Expr) -> Option<Datum>,
    is_utc: bool,
    nulls: Nulls,
    guards: Vec<Value<'static>>,
    parts: usize,
    depth: usize,
    quotients: usize,
}

impl Reader<'_> {
    /// A condition, or where `is` is false its negation.
    fn condition(&mut self, condition: &Expr, is: bool) -> Option<Value<'static>> {
        self.within(|reader| reader.condition_within(condition, is))
    }

    fn condition_within(&mut self, condition: &Expr, is: bool) -> Option<Value<'static>> {
        let (all, any) = if is { ("$and", "$or") } else { ("$or", "$and") };
        let how = |op: Comparison| if is { op } else { op.opposite() };
        match condition {
            Expr::And(parts) | Expr::Or(parts) => {
                let parts = parts.iter().map(|part| self.condition(part, is));
                let parts = array(parts.collect::<Option<Vec<_>>>()?);
                Some(operator(if matches!(condition, Expr::And(_)) { all } else { any }, parts))
            }
            Expr::Not(inner) => self.condition(inner, !is),
            Expr::Compare(op, a, b) => self.compared(how(*op), a, b),
            Expr::Between { value, low, high, symmetric: false } => {
                let above = self.compared(how(Comparison::GreaterOrEqual), value, low)?;
                Some(pair(all, above, self.compared(how(Comparison::LessOrEqual), value, high)?))
            }
            Expr::In(value, list) => {
                let each = list.iter().map(|one| self.compared(how(Comparison::Equal), value, one));
                Some(operator(any, array(each.collect::<Option<Vec<_>>>()?)))
            }
            _ => None,
        }
    }

    fn compared(&mut self, op: Comparison, a: &Expr, b: &Expr) -> Option<Value<'static>> {
        if matches!(op, Comparison::Distinct | Comparison::NotDistinct) {
            return None;
        }
        let mut leaves = Vec::new();
        let (is, limit) = if self.is_text(a) || self.is_text(b) {
            let text = |reader: &mut Self| Some((reader.text(a, &mut leaves)?, reader.text(b, &mut leaves)?));
            let (a, b) = self.within(text)?;
            (pair(name(op), a, b), 0)
        } else {
            let (a, b) = (self.number(a, false, &mut leaves)?, self.number(b, false, &mut leaves)?);
            let most = if a.is_divided() || b.is_divided() { DIVIDED_MAX } else { INTEGER_MAX };
            let fits = |limit: &&i64| {
                #[expect(clippy::cast_precision_loss, reason = "a power of ten")]
                let limit = **limit as f64;
                a.fits(limit, most).is_some() && b.fits(limit, most).is_some()
            };
            let limit = *LIMITS.iter().find(fits)?;
            (self::numbers(op, &a, &b)?, limit)
        };
        for leaf in leaves {
            let guard = leaf.guard(limit, self.nulls);
            if !self.guards.contains(&guard) {
                self.guards.push(guard);
            }
        }
        Some(is)
    }

    /// Reads what is in something else; `None`: it would be too long or too deep.
    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.parts >= PARTS_MAX || self.depth >= DEPTH_MAX {
            return None;
        }
        self.parts += 1;
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    /// Whether it can be nothing but a text.
    fn is_text(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Untyped(_) => true,
            Expr::Call(function, _) => matches!(function.name, "LOWER" | "UPPER"),
            other => matches!((self.constant)(other), Some(Datum::Text(_))),
        }
    }

    fn text(&self, expr: &Expr, leaves: &mut Vec<Leaf>) -> Option<Value<'static>> {
        let literal = |constant: &str| operator("$literal", text(constant.to_owned()));
        match expr {
            Expr::Untyped(constant) => return Some(literal(constant)),
            Expr::Call(function, arguments) => {
                let name = match function.name {
                    "LOWER" => "$toLower",
                    "UPPER" => "$toUpper",
                    _ => return None,
                };
                let [argument] = arguments.as_slice() else { return None };
                return Some(operator(name, self.leaf(argument, Kind::Ascii, leaves)?));
            }
            _ => {}
        }
        match (self.constant)(expr) {
            Some(Datum::Text(constant)) => Some(literal(&constant)),
            Some(_) => None,
            None => self.leaf(expr, Kind::Text, leaves),
        }
    }

    fn leaf(&self, expr: &Expr, kind: Kind, leaves: &mut Vec<Leaf>) -> Option<Value<'static>> {
        let value = field(&(self.path)(expr)?);
        leaves.push(Leaf { value: value.clone(), kind });
        Some(value)
    }

    /// A number; `is_integer`: it must be one.
    fn number(&mut self, expr: &Expr, is_integer: bool, leaves: &mut Vec<Leaf>) -> Option<Number> {
        self.within(|reader| reader.number_within(expr, is_integer, leaves))
    }

    fn number_within(&mut self, expr: &Expr, is_integer: bool, leaves: &mut Vec<Leaf>) -> Option<Number> {
        let kind = if is_integer { Kind::Integer } else { Kind::Number };
        match expr {
            Expr::Negate(x) => {
                let zero = Box::new(Number::Constant(Datum::Int(0)));
                Some(Number::Sum("$subtract", zero, Box::new(self.number(x, is_integer, leaves)?)))
            }
            Expr::Arithmetic(how, a, b) => self.arithmetic(*how, a, b, is_integer, leaves),
            Expr::Coalesce(all) => {
                let (last, fields) = all.split_last()?;
                let mut value = match (self.constant)(last) {
                    Some(constant) => self::constant_value(&number_of(constant, is_integer)?)?,
                    None => field(&(self.path)(last)?),
                };
                for one in fields.iter().rev() {
                    value = pair("$ifNull", field(&(self.path)(one)?), value);
                }
                leaves.push(Leaf { value: value.clone(), kind });
                Some(Number::Field(value))
            }
            Expr::Call(function, arguments) => match (function.name, arguments.as_slice()) {
                ("ABS", [x]) => Some(Number::Of("$abs", Box::new(self.number(x, is_integer, leaves)?))),
                ("CEIL" | "CEILING", [x]) => {
                    Some(Number::Of("$ceil", Box::new(Number::Field(self.leaf(x, kind, leaves)?))))
                }
                ("FLOOR", [x]) => Some(Number::Of("$floor", Box::new(Number::Field(self.leaf(x, kind, leaves)?)))),
                ("MOD", [a, b]) => self.arithmetic(Arithmetic::Modulo, a, b, is_integer, leaves),
                ("CHARACTER_LENGTH" | "CHAR_LENGTH" | "LENGTH", [x]) => self.length("$strLenCP", x, leaves),
                ("OCTET_LENGTH", [x]) => self.length("$strLenBytes", x, leaves),
                ("DATE_PART" | "EXTRACT", [unit, time]) if self.is_utc => {
                    let unit = match unit {
                        Expr::Untyped(unit) => unit.to_ascii_lowercase(),
                        Expr::Constant(Datum::Text(unit)) => unit.to_ascii_lowercase(),
                        _ => return None,
                    };
                    let part = part(&unit)?;
                    Some(Number::Integer(operator(part, self.leaf(time, Kind::Time, leaves)?), false))
                }
                _ => None,
            },
            other => match (self.constant)(other) {
                Some(value) => number_of(value, is_integer).map(Number::Constant),
                None => self.leaf(other, kind, leaves).map(Number::Field),
            },
        }
    }

    /// A length, which is an integer: that of NULL is 0 here, since no server takes that of null.
    fn length(&self, name: &str, expr: &Expr, leaves: &mut Vec<Leaf>) -> Option<Number> {
        let value = self.leaf(expr, Kind::Text, leaves)?;
        Some(Number::Integer(operator(name, pair("$ifNull", value, text(String::new()))), true))
    }

    fn arithmetic(
        &mut self,
        how: Arithmetic,
        a: &Expr,
        b: &Expr,
        is_integer: bool,
        leaves: &mut Vec<Leaf>,
    ) -> Option<Number> {
        let (is_divided, is_integer) = match how {
            Arithmetic::Add | Arithmetic::Multiply | Arithmetic::Subtract => (false, is_integer),
            // What is left of two numbers jumps where their quotient is an integer: so they must be known to the last digit.
            Arithmetic::Modulo => (true, true),
            Arithmetic::Divide if !is_integer => (true, false),
            Arithmetic::Divide | Arithmetic::Power => return None,
        };
        let left = Box::new(self.number(a, is_integer, leaves)?);
        let right = if is_divided { self.divisor(b, is_integer, leaves)? } else { self.number(b, is_integer, leaves)? };
        let right = Box::new(right);
        Some(match how {
            Arithmetic::Add => Number::Sum("$add", left, right),
            Arithmetic::Subtract => Number::Sum("$subtract", left, right),
            Arithmetic::Multiply => Number::Product(left, right),
            Arithmetic::Modulo => Number::Remainder(left, right),
            // SQL has the parts of times as decimals, whose quotients are not cut.
            _ if left.is_of_times() => return None,
            _ => {
                self.quotients += 1;
                if self.quotients > QUOTIENTS_MAX {
                    return None;
                }
                Number::Quotient(left, right)
            }
        })
    }

    /// A constant or a field, which is not zero.
    fn divisor(&mut self, expr: &Expr, is_integer: bool, leaves: &mut Vec<Leaf>) -> Option<Number> {
        if let Some(value) = (self.constant)(expr) {
            let value = number_of(value, is_integer)?;
            return (magnitude_of(&value)? >= DIVISOR_MIN).then_some(Number::Constant(value));
        }
        let kind = if is_integer { Kind::IntegerDivisor } else { Kind::Divisor };
        self.leaf(expr, kind, leaves).map(Number::Field)
    }
}

/// What a part of a time in UTC is called.
fn part(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "day" => "$dayOfMonth",
        "doy" => "$dayOfYear",
        "hour" => "$hour",
        "isodow" => "$isoDayOfWeek",
        "isoyear" => "$isoWeekYear",
        "minute" => "$minute",
        "month" => "$month",
        "week" => "$isoWeek",
        "year" => "$year",
        _ => return None,
    })
}

/// A constant, if it is a number to calculate with.
fn number_of(value: Datum, is_integer: bool) -> Option<Datum> {
    let is_whole = matches!(value, Datum::Int(_) | Datum::Long(_));
    (is_whole || (!is_integer && magnitude_of(&value)?.is_finite())).then_some(value)
}

fn magnitude_of(value: &Datum) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a bound")]
    match value {
        Datum::Int(value) => Some(f64::from(*value).abs()),
        Datum::Long(value) => Some((*value as f64).abs()),
        Datum::Double(value) => Some(value.abs()),
        Datum::Decimal(value) => Some(value.to_f64().abs()),
        _ => None,
    }
}

fn constant_value(value: &Datum) -> Option<Value<'static>> {
    Some(match value {
        Datum::Int(value) => Value::Int32(*value),
        Datum::Long(value) => Value::Int64(*value),
        Datum::Double(value) => Value::Double(*value),
        Datum::Decimal(value) => Value::Decimal(*value),
        _ => return None,
    })
}

impl Number {
    /// How large it can be where no field is larger than a limit; `None`: an integer on the way may be larger than it must.
    fn fits(&self, limit: f64, most: f64) -> Option<f64> {
        let found = match self {
            Self::Constant(value) => magnitude_of(value)?,
            Self::Field(_) => limit,
            Self::Integer(..) => LENGTH_MAX,
            Self::Of(_, x) => x.fits(limit, most)? + 1.0,
            Self::Sum(_, a, b) => a.fits(limit, most)? + b.fits(limit, most)?,
            Self::Product(a, b) => a.fits(limit, most)? * b.fits(limit, most)?,
            Self::Quotient(a, b) | Self::Remainder(a, b) => {
                b.fits(limit, most)?;
                a.fits(limit, most)?
            }
        };
        (found <= most).then_some(found)
    }

    fn any(&self, holds: &impl Fn(&Self) -> bool) -> bool {
        holds(self)
            || match self {
                Self::Constant(_) | Self::Field(_) | Self::Integer(..) => false,
                Self::Of(_, x) => x.any(holds),
                Self::Product(a, b) | Self::Quotient(a, b) | Self::Remainder(a, b) | Self::Sum(_, a, b) => {
                    a.any(holds) || b.any(holds)
                }
            }
    }

    fn is_divided(&self) -> bool {
        self.any(&|part| matches!(part, Self::Quotient(..)))
    }

    fn is_of_times(&self) -> bool {
        self.any(&|part| matches!(part, Self::Integer(_, false)))
    }

    /// The types that must be integers for it to be one; `None`: it is none.
    fn types(&self) -> Option<Vec<Value<'static>>> {
        match self {
            Self::Constant(value) => matches!(value, Datum::Int(_) | Datum::Long(_)).then(Vec::new),
            Self::Field(value) => Some(vec![kind_of(value.clone())]),
            // That of other numbers is not taken.
            Self::Integer(..) | Self::Remainder(..) => Some(Vec::new()),
            Self::Of(_, x) => x.types(),
            Self::Product(a, b) | Self::Quotient(a, b) | Self::Sum(_, a, b) => joined(a, b),
        }
    }

    fn value(&self) -> Value<'static> {
        match self {
            Self::Constant(value) => constant_value(value).unwrap_or(Value::Null),
            Self::Field(value) | Self::Integer(value, _) => value.clone(),
            Self::Of(name, x) => operator(name, x.value()),
            Self::Sum(name, a, b) => pair(name, a.value(), b.value()),
            Self::Product(a, b) => pair("$multiply", a.value(), b.value()),
            Self::Remainder(a, b) => pair("$mod", a.value(), b.value()),
            Self::Quotient(a, b) => {
                let quotient = pair("$divide", a.value(), b.value());
                // Of integers SQL drops the fraction.
                match joined(a, b) {
                    None => quotient,
                    Some(types) => if_integers(types, operator("$trunc", quotient.clone()), quotient),
                }
            }
        }
    }

    /// What bounds it and all that it is made of, so that it is wrong by no more than a small part of this.
    fn magnitude(&self) -> Value<'static> {
        match self {
            Self::Constant(value) => Value::Double(magnitude_of(value).unwrap_or_default()),
            Self::Integer(value, _) => value.clone(),
            Self::Of("$abs", x) => x.magnitude(),
            Self::Field(_) | Self::Of(..) | Self::Remainder(..) => operator("$abs", self.value()),
            Self::Sum(_, a, b) => pair("$add", a.magnitude(), b.magnitude()),
            Self::Product(a, b) => pair("$multiply", a.magnitude(), b.magnitude()),
            Self::Quotient(a, b) => pair("$divide", a.magnitude(), b.magnitude()),
        }
    }
}

/// The types that must be integers for both to be.
fn joined(a: &Number, b: &Number) -> Option<Vec<Value<'static>>> {
    let mut all = a.types()?;
    for one in b.types()? {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    Some(all)
}

fn if_integers(types: Vec<Value<'static>>, then: Value<'static>, otherwise: Value<'static>) -> Value<'static> {
    if types.is_empty() {
        return then;
    }
    condition(pair("$setIsSubset", array(types), names(&INTEGERS)), then, otherwise)
}

/// A comparison that is true where SQL's is. With a null in it, it compares null with a number or with null, and is false.
fn numbers(op: Comparison, a: &Number, b: &Number) -> Option<Value<'static>> {
    let (types, is_known) = match joined(a, b) {
        Some(types) => (types, true),
        None => (Vec::new(), false),
    };
    let tolerance = |sign: f64| {
        let unit = array([a.magnitude(), b.magnitude(), Value::Double(UNIT_MIN)]);
        pair("$multiply", Value::Double(sign * TOLERANCE), operator("$add", unit))
    };
    let limit = |exact: f64, near: Value<'static>| {
        if is_known { if_integers(types.clone(), Value::Double(exact), near) } else { near }
    };
    let difference = |a: &Number, b: &Number| pair("$subtract", a.value(), b.value());
    let apart = || operator("$abs", difference(a, b));
    Some(match op {
        Comparison::Equal if is_known && types.is_empty() => pair("$eq", a.value(), b.value()),
        Comparison::Equal => pair("$lt", apart(), limit(0.5, tolerance(1.0))),
        // Of numbers that are only nearly known it cannot be told that they are equal.
        Comparison::NotEqual if !is_known => return None,
        Comparison::NotEqual => pair("$gt", apart(), limit(0.0, Value::Double(-1.0))),
        Comparison::Less => pair("$gt", difference(b, a), limit(0.0, tolerance(-1.0))),
        Comparison::LessOrEqual => pair("$gt", difference(b, a), limit(-0.5, tolerance(-1.0))),
        Comparison::Greater => pair("$gt", difference(a, b), limit(0.0, tolerance(-1.0))),
        Comparison::GreaterOrEqual => pair("$gt", difference(a, b), limit(-0.5, tolerance(-1.0))),
        Comparison::Distinct | Comparison::NotDistinct => return None,
    })
}
