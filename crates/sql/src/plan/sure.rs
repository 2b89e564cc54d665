//! Conditions that cannot fail, and those that can.
//!
//! Of the conditions of one filter the sure ones are evaluated first: a row that they leave out cannot fail at another. So it
//! makes no difference whether such a row was read at all, and they may be asked of whoever has it (SQL-20.2).

use millstream_flow::Datum;

use crate::Expr;
use crate::expr::Test;

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
    /// One that is sure of texts.
    pub(crate) of_texts: Option<Expr>,
    /// Whether there are more.
    rest: Vec<Expr>,
}

impl Conditions {
    pub(crate) fn of(conditions: Vec<Expr>) -> Self {
        let (sure, mut rest): (Vec<_>, Vec<_>) = conditions.into_iter().partition(Expr::is_sure_condition);
        let of_texts = rest.iter().position(Expr::is_sure_of_texts).map(|at| rest.remove(at));
        Self { sure, of_texts, rest }
    }

    /// Takes over others, of which only one that is sure of texts is kept: what stands behind it is not evaluated wherever it is
    /// false, but may be where another is.
    pub(crate) fn extend(&mut self, others: Self) {
        self.sure.extend(others.sure);
        self.of_texts = self.of_texts.take().or(others.of_texts);
        self.rest.extend(others.rest);
    }

    /// Keeps those for which something holds.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Expr) -> bool) {
        self.sure.retain(&keep);
        self.of_texts = self.of_texts.take().filter(&keep);
        self.rest.retain(keep);
    }

    /// Changes all of them.
    pub(crate) fn rewrite(&mut self, replace: &mut dyn FnMut(&Expr) -> Option<Expr>) {
        let all = self.sure.iter_mut().chain(&mut self.of_texts).chain(&mut self.rest);
        all.for_each(|condition| condition.rewrite(replace));
    }

    /// Whether none can fail.
    pub(crate) fn are_sure(&self) -> bool {
        self.of_texts.is_none() && self.rest.is_empty()
    }

    /// All of them. Those that can fail are evaluated only where the sure ones are true.
    pub(crate) fn into_one(self) -> Expr {
        let unsure: Vec<Expr> = self.of_texts.into_iter().chain(self.rest).collect();
        if self.sure.is_empty() || unsure.is_empty() {
            return Expr::all_of([self.sure, unsure].concat());
        }
        let branches = vec![(Expr::all_of(self.sure), Expr::all_of(unsure))];
        Expr::Case { operand: None, branches, otherwise: None }
    }

    /// What is true of every row that can pass, or fails if that row would; `None`: there is nothing of that kind.
    pub(crate) fn admission(&self) -> Option<Expr> {
        let of_texts = self.of_texts.clone().map(|like| Expr::Is(Test::False, true, Box::new(like)));
        match (self.sure.is_empty(), of_texts) {
            (true, of_texts) => of_texts,
            (false, None) => Some(Expr::all_of(self.sure.clone())),
            (false, Some(of_texts)) => {
                let branches = vec![(Expr::all_of(self.sure.clone()), of_texts)];
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
        let conditions = Conditions::of(vec![unsure.clone(), sure.clone(), bare.clone()]);
        assert_eq!(conditions.admission(), Some(sure.clone()));
        let branches = vec![(sure, Expr::And(vec![unsure, bare]))];
        assert_eq!(conditions.into_one(), Expr::Case { operand: None, branches, otherwise: None });
    }
}
