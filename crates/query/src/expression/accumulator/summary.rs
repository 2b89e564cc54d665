//! `$sum`, `$avg`, `$stdDevPop`, `$stdDevSamp`.
//!
//! Absent: what is not a number does not count.
//! Result: `$sum` has the widest type it met (an `int` or `long` that does not fit becomes a `long` or `double`), 0
//!         for nothing; the others are `double` (`$avg` of decimals `decimal`), null for nothing.
//! Doubles are summed with compensation, so that the order hardly matters.

use millstream_value::{Decimal, Value, number};

use super::{Fold, Row, parse};
use crate::Result;
use crate::expression::number::Num;

pub(super) static AVG: Row =
    Row { name: "$avg", parse: parse::unary, start: |_, _, _| Box::new(Summary::new(Kind::Average)) };
pub(super) static STD_DEV_POP: Row =
    Row { name: "$stdDevPop", parse: parse::unary, start: |_, _, _| Box::new(Deviation::new(false)) };
pub(super) static STD_DEV_SAMP: Row =
    Row { name: "$stdDevSamp", parse: parse::unary, start: |_, _, _| Box::new(Deviation::new(true)) };
pub(super) static SUM: Row =
    Row { name: "$sum", parse: parse::unary, start: |_, _, _| Box::new(Summary::new(Kind::Sum)) };

/// What is asked of a sum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::expression) enum Kind {
    /// The sum itself.
    Sum,
    /// Divided by the count.
    Average,
}

/// A sum of numbers of all types.
pub(in crate::expression) struct Summary {
    kind: Kind,
    count: i64,
    widest: u8,
    integers: i128,
    doubles: Compensated,
    decimals: Decimal,
}

impl Summary {
    /// Of nothing.
    pub(in crate::expression) fn new(kind: Kind) -> Self {
        let doubles = Compensated::default();
        Self { kind, count: 0, widest: 0, integers: 0, doubles, decimals: Decimal::zero() }
    }

    /// Takes one more value; what is not a number does not count.
    pub(in crate::expression) fn take(&mut self, value: &Value<'_>) {
        let Some(number) = Num::of(value) else { return };
        self.count += 1;
        let rank = match number {
            Num::Int(v) => {
                self.integers += i128::from(v);
                0
            }
            Num::Long(v) => {
                self.integers += i128::from(v);
                1
            }
            Num::Double(v) => {
                self.doubles.add(v);
                2
            }
            Num::Decimal(v) => {
                self.decimals = self.decimals.plus(v);
                3
            }
        };
        self.widest = self.widest.max(rank);
    }

    /// The result.
    pub(in crate::expression) fn result(&self) -> Value<'static> {
        if self.kind == Kind::Average && self.count == 0 {
            return Value::Null;
        }
        if self.widest == 3 {
            let total = self.decimal_total();
            return Value::Decimal(match self.kind {
                Kind::Sum => total,
                Kind::Average => total.over(self.count.into()),
            });
        }
        match self.kind {
            Kind::Average => Value::Double(self.total() / number::to_f64(self.count)),
            Kind::Sum if self.widest == 2 => Value::Double(self.total()),
            Kind::Sum => match (i32::try_from(self.integers), i64::try_from(self.integers)) {
                (Ok(small), _) if self.widest == 0 => Value::Int32(small),
                (_, Ok(large)) => Value::Int64(large),
                _ => Value::Double(self.total()),
            },
        }
    }

    fn total(&self) -> f64 {
        let mut total = self.doubles;
        for part in halves(self.integers) {
            total.add(part);
        }
        total.value()
    }

    fn decimal_total(&self) -> Decimal {
        let mut total = self.decimals;
        if self.integers != 0 {
            total = total.plus(Decimal::parse(&self.integers.to_string()).unwrap_or_else(Decimal::zero));
        }
        if self.doubles.used {
            total = total.plus(Decimal::from_f64_15(self.doubles.value()));
        }
        total
    }
}

impl Fold for Summary {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        if let Some(value) = &value {
            self.take(value);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        Ok(self.result())
    }
}

/// An integer as doubles whose sum it is, to 106 bits.
#[expect(clippy::cast_precision_loss, reason = "what the first one loses is the second")]
#[expect(clippy::cast_possible_truncation, reason = "a double made from an i128 fits it")]
fn halves(value: i128) -> [f64; 2] {
    let high = value as f64;
    [high, value.saturating_sub(high as i128) as f64]
}

/// A sum of doubles that keeps what rounding cuts off (Neumaier's).
#[derive(Clone, Copy, Default)]
struct Compensated {
    used: bool,
    sum: f64,
    rest: f64,
    special: f64,
}

impl Compensated {
    fn add(&mut self, value: f64) {
        self.used = true;
        // An infinity would turn the rest into NaN: it is kept apart.
        if !value.is_finite() {
            self.special += value;
            return;
        }
        let sum = self.sum + value;
        if self.sum.abs() >= value.abs() {
            self.rest += (self.sum - sum) + value;
        } else {
            self.rest += (value - sum) + self.sum;
        }
        self.sum = sum;
    }

    fn value(self) -> f64 {
        if !self.special.is_finite() {
            return self.special;
        }
        if self.sum.is_finite() { self.sum + self.rest } else { self.sum }
    }
}

/// The standard deviation, in one pass (Welford's).
pub(in crate::expression) struct Deviation {
    sample: bool,
    count: i64,
    mean: f64,
    squares: f64,
}

impl Deviation {
    /// Of nothing: of a whole population, or estimated from a sample.
    pub(in crate::expression) const fn new(sample: bool) -> Self {
        Self { sample, count: 0, mean: 0.0, squares: 0.0 }
    }

    /// Takes one more value; what is not a number does not count.
    pub(in crate::expression) fn take(&mut self, value: &Value<'_>) {
        let Some(number) = value.as_f64() else { return };
        self.count += 1;
        let delta = number - self.mean;
        self.mean += delta / number::to_f64(self.count);
        self.squares += delta * (number - self.mean);
    }

    /// The result.
    pub(in crate::expression) fn result(&self) -> Value<'static> {
        let divisor = if self.sample { self.count - 1 } else { self.count };
        if divisor <= 0 {
            return Value::Null;
        }
        Value::Double((self.squares / number::to_f64(divisor)).sqrt())
    }
}

impl Fold for Deviation {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        if let Some(value) = &value {
            self.take(value);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        Ok(self.result())
    }
}
