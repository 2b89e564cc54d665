//! Figures, their units, medians and ratios.

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    PerSecond,
    Percent,
    Kilobytes,
}

/// One figure of one run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measure {
    /// What was measured.
    pub(crate) name: &'static str,
    /// How much, in the unit.
    pub(crate) value: f64,
    /// The unit, which also says which direction is good.
    pub(crate) unit: Unit,
}

impl Measure {
    /// A time in milliseconds, from one in microseconds.
    pub(crate) fn micros(name: &'static str, micros: u64) -> Self {
        Self { name, value: micros as f64 / 1000.0, unit: Unit::Milliseconds }
    }

    /// A rate: so many in so many seconds.
    pub(crate) fn rate(name: &'static str, count: u64, seconds: f64) -> Self {
        let value = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Self { name, value, unit: Unit::PerSecond }
    }

    /// What each of so many took of some seconds.
    pub(crate) fn each(name: &'static str, seconds: f64, count: u64) -> Self {
        let value = if count > 0 { seconds * 1e6 / count as f64 } else { 0.0 };
        Self { name, value, unit: Unit::Microseconds }
    }

    /// How much of a whole is left, in percent.
    pub(crate) fn percent(name: &'static str, part: f64, whole: f64) -> Self {
        let value = if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
        Self { name, value, unit: Unit::Percent }
    }

    /// An amount of memory.
    pub(crate) fn kilobytes(name: &'static str, value: f64) -> Self {
        Self { name, value, unit: Unit::Kilobytes }
    }
}

impl Unit {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::PerSecond => "/s",
            Self::Percent => "%",
            Self::Kilobytes => "KB",
        }
    }

    fn better(self) -> Better {
        match self {
            Self::Microseconds | Self::Milliseconds | Self::Kilobytes => Better::Lower,
            Self::PerSecond | Self::Percent => Better::Higher,
        }
    }

    /// How many times better `value` is than `base`; below 1 it is worse.
    pub(crate) fn ratio(self, value: f64, base: f64) -> Option<f64> {
        let (above, below) = match self.better() {
            Better::Higher => (value, base),
            Better::Lower => (base, value),
        };
        (below > 0.0 && above >= 0.0).then(|| above / below)
    }

    /// A value with as many digits as mean something.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Milliseconds => format!("{value:.2}"),
            Self::Microseconds | Self::Percent | Self::Kilobytes => format!("{value:.1}"),
            Self::PerSecond => thousands(value),
        }
    }
}

/// The middle value; between two, their mean.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 }
}

/// `65,900`.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        let left = digits.len() - position;
        if position > 0 && left % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn ratios_say_how_much_better() {
        assert_eq!(Unit::PerSecond.ratio(200.0, 100.0), Some(2.0));
        assert_eq!(Unit::Milliseconds.ratio(0.5, 1.0), Some(2.0));
        assert_eq!(Unit::Milliseconds.ratio(0.0, 1.0), None);
        assert_eq!(Unit::PerSecond.ratio(1.0, 0.0), None);
    }

    #[test]
    fn values_are_shown_with_sense() {
        assert_eq!(Unit::PerSecond.show(65_900.4), "65,900");
        assert_eq!(Unit::PerSecond.show(1_234_567.0), "1,234,567");
        assert_eq!(Unit::PerSecond.show(-123.0), "-123");
        assert_eq!(Unit::Milliseconds.show(0.404), "0.40");
    }

    #[test]
    fn made_from_raw_figures() {
        assert_eq!(Measure::micros("p50", 404).value, 0.404);
        assert_eq!(Measure::rate("events", 100, 2.0).value, 50.0);
        assert_eq!(Measure::rate("events", 100, 0.0).value, 0.0);
        assert_eq!(Measure::percent("kept", 45.0, 50.0).value, 90.0);
    }
}
