//! Through the parts of expressions.

use crate::Expr;
use crate::plan::rel::ColumnId;

impl Expr {
    /// The expressions that it is made of, to be changed.
    pub(crate) fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Column(_) | Self::KeyPart(_) | Self::Variable(_) | Self::Constant(_) | Self::Untyped(_) => Vec::new(),
            Self::Path(x, _) | Self::Negate(x) | Self::Not(x) | Self::Is(_, _, x) | Self::Cast { value: x, .. } => {
                vec![x]
            }
            Self::Arithmetic(_, a, b)
            | Self::Compare(_, a, b)
            | Self::Any(_, a, b)
            | Self::All(_, a, b)
            | Self::Matches(a, b, _)
            | Self::Operator(_, a, b)
            | Self::Like { value: a, pattern: b, .. } => vec![a, b],
            Self::CompareRows(_, a, b) => a.iter_mut().chain(b).collect(),
            Self::And(all) | Self::Or(all) | Self::Coalesce(all) | Self::Array(all) => all.iter_mut().collect(),
            Self::Call(_, all) | Self::Routine(_, all) => all.iter_mut().collect(),
            Self::Between { value, low, high, .. } => vec![value, low, high],
            Self::In(x, all) => [x.as_mut()].into_iter().chain(all).collect(),
            Self::Case { operand, branches, otherwise } => {
                let branches = branches.iter_mut().flat_map(|(when, then)| [when, then]);
                operand.as_deref_mut().into_iter().chain(branches).chain(otherwise.as_deref_mut()).collect()
            }
        }
    }

    /// Whether something holds for the expression or a part of it.
    pub(crate) fn any(&self, test: &mut dyn FnMut(&Expr) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|part| part.any(test))
    }

    /// The columns that it uses, each once.
    pub(crate) fn columns(&self) -> Vec<ColumnId> {
        let mut columns = Vec::new();
        self.any(&mut |part| {
            if let Self::Column(id) = part
                && !columns.contains(id)
            {
                columns.push(*id);
            }
            false
        });
        columns
    }

    /// Replaces what `replace` answers something for, from the top down; what was put in is not looked at again.
    pub(crate) fn rewrite(&mut self, replace: &mut dyn FnMut(&Expr) -> Option<Expr>) {
        if let Some(other) = replace(self) {
            *self = other;
            return;
        }
        for part in self.children_mut() {
            part.rewrite(replace);
        }
    }

    /// Its top-level conjuncts.
    pub(crate) fn conjuncts(self) -> Vec<Expr> {
        match self {
            Self::And(all) => all.into_iter().flat_map(Self::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// All of these.
    pub(crate) fn all_of(mut conditions: Vec<Expr>) -> Expr {
        match conditions.len() {
            1 => conditions.remove(0),
            _ => Self::And(conditions),
        }
    }
}
