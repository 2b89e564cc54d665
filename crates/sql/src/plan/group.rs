//! GROUP BY: grouping expressions and sets, and the relation of the groups (SQL-7.2, SQL-9.5, SQL-13.9).

use sqlparser::ast;

use crate::error::Result;
use crate::plan::binder::{Binder, Origin, Output};
use crate::plan::block::{Block, Place};
use crate::plan::rel::Rel;
use crate::plan::select::{grows, item_expr};
use crate::plan::syntax;
use crate::{Expr, SqlError};

impl Binder<'_> {
    /// GROUP BY: fills the block's groups; the sets, if there are several.
    pub(crate) fn group_by(&mut self, block: &mut Block, select: &ast::Select) -> Result<Option<Vec<Vec<usize>>>> {
        let ast::GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else {
            return Err(SqlError::new("0A000", "GROUP BY ALL is not supported"));
        };
        if !modifiers.is_empty() {
            return Err(SqlError::new("42601", "write ROLLUP (…), CUBE (…) or GROUPING SETS (…)"));
        }
        let anywhere =
            select.projection.iter().filter_map(item_expr).chain(select.having.as_ref()).chain(select.qualify.as_ref());
        let aliases = block.aliases.clone();
        block.grouped = !expressions.is_empty()
            || select.having.is_some()
            || anywhere.into_iter().any(|expr| syntax::has_aggregate(expr, &aliases));
        let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
        let mut several = false;
        for expr in expressions {
            let choices: Vec<Vec<Vec<&ast::Expr>>> = match expr {
                ast::Expr::GroupingSets(groups) => vec![groups.iter().map(|group| group.iter().collect()).collect()],
                ast::Expr::Rollup(groups) => {
                    let prefix = |n: usize| groups.iter().take(n).flatten().collect();
                    vec![(0..=groups.len()).rev().map(prefix).collect()]
                }
                ast::Expr::Cube(groups) => {
                    if groups.len() > 12 {
                        return Err(SqlError::new("54000", "CUBE takes at most 12 elements"));
                    }
                    let subset = |bits: usize| {
                        let chosen =
                            groups.iter().enumerate().filter(|(at, _)| bits & (1 << (groups.len() - 1 - at)) != 0);
                        chosen.flat_map(|(_, group)| group).collect()
                    };
                    vec![(0..1_usize << groups.len()).rev().map(subset).collect()]
                }
                plain => vec![vec![vec![plain]]],
            };
            several |=
                !matches!(choices.as_slice(), [only] if only.len() == 1 && !matches!(expr, ast::Expr::GroupingSets(_)));
            for choice in choices {
                let mut combined = Vec::new();
                for set in &sets {
                    for group in &choice {
                        let mut set = set.clone();
                        for expr in group {
                            let at = self.grouping_expression(block, expr, select)?;
                            if let Some(at) = at
                                && !set.contains(&at)
                            {
                                set.push(at);
                            }
                        }
                        combined.push(set);
                    }
                }
                sets = combined;
            }
        }
        if several {
            block.bits = Some(self.column(Some(crate::Type::Integer)));
        }
        Ok(several.then_some(sets))
    }

    /// The place of a grouping expression; `()` has none.
    fn grouping_expression(
        &mut self,
        block: &mut Block,
        expr: &ast::Expr,
        select: &ast::Select,
    ) -> Result<Option<usize>> {
        if matches!(expr, ast::Expr::Tuple(parts) if parts.is_empty()) {
            return Ok(None);
        }
        let numbered = match expr {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(number, _) => {
                    let at: usize = number.to_string().parse().unwrap_or(0);
                    let item = at.checked_sub(1).and_then(|at| select.projection.get(at)).and_then(item_expr);
                    let missing =
                        || SqlError::new("42P10", format!("GROUP BY position {number} is not in the select list"));
                    Some(item.ok_or_else(missing)?)
                }
                _ => None,
            },
            _ => None,
        };
        let bound = block.expr(self, numbered.unwrap_or(expr), Place::GroupBy)?;
        if let Some(at) = block.group.iter().position(|(_, known)| *known == bound) {
            return Ok(Some(at));
        }
        let id = self.column_for(&bound);
        block.group.push((id, bound));
        Ok(Some(block.group.len() - 1))
    }

    /// The groups, and the names of their key (SQL-14.3).
    pub(crate) fn aggregated(
        &mut self,
        rel: Rel,
        block: &mut Block,
        sets: Option<Vec<Vec<usize>>>,
        outputs: &[(Output, Expr)],
    ) -> Result<(Rel, Vec<String>)> {
        let mut key = Vec::with_capacity(block.group.len());
        for (at, (id, _)) in block.group.iter().enumerate() {
            let named =
                outputs.iter().find(|(_, expr)| *expr == Expr::Column(*id)).map(|(output, _)| output.name.clone());
            key.push(named.unwrap_or_else(|| format!("k{}", at + 1)));
        }
        let (bucket, end) = match block.origin {
            None => (None, None),
            Some(origin) => {
                let (bucket, end) = self.bucket(block, origin)?;
                (Some(bucket), Some(end))
            }
        };
        let sets = match (sets, block.bits) {
            (Some(sets), Some(bits)) => {
                if bucket.is_some() {
                    return Err(grows("GROUPING SETS"));
                }
                key.push("g".to_owned());
                Some((sets, bits))
            }
            _ => None,
        };
        let rel = Rel::Aggregate {
            input: Box::new(rel),
            group: std::mem::take(&mut block.group),
            sets,
            calls: std::mem::take(&mut block.aggregates),
            bucket,
        };
        // What comes out of a bucket is of the time at which it is over.
        let rel = match end {
            None => rel,
            Some(end) => {
                let time = self.column(Some(crate::Type::Timestamptz));
                block.origin = Some(Origin { time });
                rel.mapped(vec![(time, end)])
            }
        };
        Ok((rel, key))
    }
}
