//! Conditions that cannot fail, and those that can.
//!
//! Of the conditions of one filter the sure ones are evaluated first: a row that they leave out cannot fail at another. So it
//! makes no difference whether such a row was read at all, and they may be asked of whoever has it (SQL-20.2).

use millstream_flow::Datum;

use crate::Expr;
use crate::expr::Test;
use crate::plan::calculated::{Nulls, is_calculated};

impl Expr {
    /// Whether it has a value for every row.
    pub(crate) fn is_sure(&self) -> bool {
        match self {
            Self::Column(_) | Self::KeyPart(_) | Self::Variable(_) | Self::Constant(_) | Self::Untyped(_) => true,
            Self::Path(x, _) | Self::Is(Test::Null, _, x) => x.is_sure(),
            Self::Is(Test::True | Test::False | Test::Unknown, _, x) | Self::Not(x) => x.is_sure_condition(),
            Self::And(all) | Self::Or(all) => all.iter().all(Self::is_sure_condition),
            Self::Compare(_, a, b) => a.is_sure() && b.is_sure(),
            Self::Between { value, low, high, .. } => value.is_sure() && low.is_sure() && high.is_sure(),
            Self::In(x, all) => x.is_sure() && all.iter().all(Self::is_sure),
            Self::Coalesce(all) => all.iter().all(Self::is_sure),
            _ => false,
        }
    }

    /// Whether it is true, false or NULL for every row.
    pub(crate) fn is_sure_condition(&self) -> bool {
        let is_truth = matches!(
            self,
            Self::And(_)
                | Self::Between { .. }
                | Self::Compare(..)
                | Self::Constant(Datum::Bool(_) | Datum::Null)
                | Self::In(..)
                | Self::Is(..)
                | Self::Not(_)
                | Self::Or(_)
        );
        is_truth && self.is_sure()
    }

    /// Whether it fails for a value that is no text, and for nothing else.
    fn is_sure_of_texts(&self) -> bool {
        match self {
            Self::Like { value, pattern, .. } => {
                value.is_sure() && matches!(**pattern, Self::Untyped(_) | Self::Constant(Datum::Text(_)))
            }
            _ => false,
        }
    }
}

/// The conditions of a filter, by how sure they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) sure: Vec<Expr>,
    /// Of the others those that are evaluated first: one that is sure of texts, or calculations.
    pub(crate) first: Vec<Expr>,
    rest: Vec<Expr>,
    /// Whether some are evaluated after those, even if they are not kept here.
    has_more: bool,
}

impl Conditions {
    pub(crate) fn of(conditions: Vec<Expr>) -> Self {
        let (sure, mut rest): (Vec<_>, Vec<_>) = conditions.into_iter().partition(Expr::is_sure_condition);
        let of_texts = rest.iter().position(Expr::is_sure_of_texts).map(|at| rest.remove(at));
        let (first, rest): (Vec<_>, Vec<_>) = match of_texts {
            Some(like) => (vec![like], rest),
            // What stands before a calculation may be there to keep it from failing.
            None => {
                let calculations = rest.iter().take_while(|condition| is_calculated(condition)).count();
                let others = rest.split_off(calculations);
                (rest, others)
            }
        };
        let has_more = !rest.is_empty();
        Self { sure, first, rest, has_more }
    }

    /// Takes over others, which are evaluated after these: what stands behind the first that can fail is not evaluated wherever
    /// those are false, but may be where another is.
    pub(crate) fn extend(&mut self, others: Self) {
        self.sure.extend(others.sure);
        if self.are_sure() {
            self.first = others.first;
        } else {
            self.rest.extend(others.first);
        }
        self.rest.extend(others.rest);
        self.has_more |= others.has_more || !self.rest.is_empty();
    }

    /// Keeps those for which something holds.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Expr) -> bool) {
        self.sure.retain(&keep);
        if !self.first.iter().all(&keep) {
            self.first.clear();
        }
        self.rest.retain(keep);
    }

    /// Changes all of them.
    pub(crate) fn rewrite(&mut self, replace: &mut dyn FnMut(&Expr) -> Option<Expr>) {
        let all = self.sure.iter_mut().chain(&mut self.first).chain(&mut self.rest);
        all.for_each(|condition| condition.rewrite(replace));
    }

    /// Whether none can fail.
    pub(crate) fn are_sure(&self) -> bool {
        self.first.is_empty() && !self.has_more
    }

    /// The first ones, if they are calculations, and whether it matters that something in them is NULL.
    pub(crate) fn calculations(&self) -> Option<(&[Expr], Nulls)> {
        let nulls = if self.has_more { Nulls::Pass } else { Nulls::Drop };
        let are_calculations = !self.first.is_empty() && !self.first.iter().any(Expr::is_sure_of_texts);
        are_calculations.then_some((self.first.as_slice(), nulls))
    }

    /// All of them. Those that can fail are evaluated only where the sure ones are true.
    pub(crate) fn into_one(self) -> Expr {
        let unsure: Vec<Expr> = self.first.into_iter().chain(self.rest).collect();
        if self.sure.is_empty() || unsure.is_empty() {
            return Expr::all_of([self.sure, unsure].concat());
        }
        let branches = vec![(Expr::all_of(self.sure), Expr::all_of(unsure))];
        Expr::Case { operand: None, branches, otherwise: None }
    }

    /// What is true of every row that can pass, or fails if that row would; `None`: there is nothing of that kind.
    pub(crate) fn admission(&self) -> Option<Expr> {
        // Where those that are NULL matter, it is enough that they are not false.
        let first = match self.calculations() {
            Some((all, Nulls::Drop)) => Some(Expr::all_of(all.to_vec())),
            _ if self.first.is_empty() => None,
            _ => Some(Expr::Is(Test::False, true, Box::new(Expr::all_of(self.first.clone())))),
        };
        match (self.sure.is_empty(), first) {
            (true, first) => first,
            (false, None) => Some(Expr::all_of(self.sure.clone())),
            (false, Some(first)) => {
                let branches = vec![(Expr::all_of(self.sure.clone()), first)];
                Some(Expr::Case { operand: None, branches, otherwise: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Arithmetic, Comparison};

    fn compare(a: Expr, b: Expr) -> Expr {
        Expr::Compare(Comparison::Equal, Box::new(a), Box::new(b))
    }

    #[test]
    fn what_cannot_fail_comes_first() {
        let one = || Expr::Constant(Datum::Int(1));
        let quotient = Expr::Arithmetic(Arithmetic::Divide, Box::new(one()), Box::new(Expr::Column(0)));
        let (unsure, sure) = (compare(quotient, one()), compare(Expr::Column(1), one()));
        let bare = Expr::Column(2);
        assert!(sure.is_sure_condition() && !unsure.is_sure_condition() && !bare.is_sure_condition());
        assert!(!Expr::Or(vec![sure.clone(), bare.clone()]).is_sure_condition());
        let conditions = Conditions::of(vec![unsure.clone(), bare.clone(), sure.clone()]);
        // The bare one is evaluated where the calculation is NULL.
        let not_false = Expr::Is(Test::False, true, Box::new(unsure.clone()));
        let branches = vec![(sure.clone(), not_false)];
        assert_eq!(conditions.admission(), Some(Expr::Case { operand: None, branches, otherwise: None }));
        let branches = vec![(sure.clone(), Expr::And(vec![unsure.clone(), bare.clone()]))];
        assert_eq!(conditions.into_one(), Expr::Case { operand: None, branches, otherwise: None });
        let branches = vec![(sure.clone(), unsure.clone())];
        let alone = Conditions::of(vec![unsure.clone(), sure.clone()]);
        assert_eq!(alone.admission(), Some(Expr::Case { operand: None, branches, otherwise: None }));
        assert_eq!(Conditions::of(vec![sure.clone(), bare, unsure]).admission(), Some(sure));
    }
}
