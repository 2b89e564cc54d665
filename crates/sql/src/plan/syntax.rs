//! What can be told from syntax alone.

use std::ops::ControlFlow;

use millstream_flow::{AggregateFunction, WindowFunction};
use sqlparser::ast::{self, Expr, Visit, Visitor};

/// The aggregates, by name (SQL-7.1).
// tidy: sorted by name
pub(crate) static AGGREGATES: &[AggregateName] = &[
    AggregateName { name: "ANY_VALUE", function: AggregateFunction::AnyValue, arguments: 1 },
    AggregateName { name: "ARRAY_AGG", function: AggregateFunction::ArrayAgg, arguments: 1 },
    AggregateName { name: "AVG", function: AggregateFunction::Avg, arguments: 1 },
    AggregateName { name: "BOOL_AND", function: AggregateFunction::BoolAnd, arguments: 1 },
    AggregateName { name: "BOOL_OR", function: AggregateFunction::BoolOr, arguments: 1 },
    AggregateName { name: "CORR", function: AggregateFunction::Corr, arguments: 2 },
    AggregateName { name: "COUNT", function: AggregateFunction::Count, arguments: 1 },
    AggregateName { name: "COVAR_POP", function: AggregateFunction::CovarPop, arguments: 2 },
    AggregateName { name: "COVAR_SAMP", function: AggregateFunction::CovarSamp, arguments: 2 },
    AggregateName { name: "EVERY", function: AggregateFunction::BoolAnd, arguments: 1 },
    AggregateName { name: "JSONB_AGG", function: AggregateFunction::ArrayAgg, arguments: 1 },
    AggregateName { name: "JSONB_OBJECT_AGG", function: AggregateFunction::JsonbObjectAgg, arguments: 2 },
    AggregateName { name: "JSON_AGG", function: AggregateFunction::ArrayAgg, arguments: 1 },
    AggregateName { name: "JSON_OBJECT_AGG", function: AggregateFunction::JsonbObjectAgg, arguments: 2 },
    AggregateName { name: "MAX", function: AggregateFunction::Max, arguments: 1 },
    AggregateName { name: "MIN", function: AggregateFunction::Min, arguments: 1 },
    AggregateName { name: "MODE", function: AggregateFunction::Mode, arguments: 0 },
    AggregateName { name: "PERCENTILE_CONT", function: AggregateFunction::PercentileCont, arguments: 1 },
    AggregateName { name: "PERCENTILE_DISC", function: AggregateFunction::PercentileDisc, arguments: 1 },
    AggregateName { name: "STDDEV", function: AggregateFunction::StddevSamp, arguments: 1 },
    AggregateName { name: "STDDEV_POP", function: AggregateFunction::StddevPop, arguments: 1 },
    AggregateName { name: "STDDEV_SAMP", function: AggregateFunction::StddevSamp, arguments: 1 },
    AggregateName { name: "STRING_AGG", function: AggregateFunction::StringAgg, arguments: 2 },
    AggregateName { name: "SUM", function: AggregateFunction::Sum, arguments: 1 },
    AggregateName { name: "VARIANCE", function: AggregateFunction::VarSamp, arguments: 1 },
    AggregateName { name: "VAR_POP", function: AggregateFunction::VarPop, arguments: 1 },
    AggregateName { name: "VAR_SAMP", function: AggregateFunction::VarSamp, arguments: 1 },
];

/// An aggregate's name.
pub(crate) struct AggregateName {
    pub(crate) name: &'static str,
    pub(crate) function: AggregateFunction,
    /// How many arguments it takes (`COUNT` any number).
    pub(crate) arguments: usize,
}

/// The window functions that are no aggregates, by name (SQL-8.3).
// tidy: sorted by name
pub(crate) static WINDOW_FUNCTIONS: &[WindowName] = &[
    WindowName { name: "CUME_DIST", function: WindowFunction::CumeDist, arguments: (0, 0) },
    WindowName { name: "DENSE_RANK", function: WindowFunction::DenseRank, arguments: (0, 0) },
    WindowName { name: "FIRST_VALUE", function: WindowFunction::FirstValue, arguments: (1, 1) },
    WindowName { name: "LAG", function: WindowFunction::Lag, arguments: (1, 3) },
    WindowName { name: "LAST_VALUE", function: WindowFunction::LastValue, arguments: (1, 1) },
    WindowName { name: "LEAD", function: WindowFunction::Lead, arguments: (1, 3) },
    WindowName { name: "NTH_VALUE", function: WindowFunction::NthValue, arguments: (2, 2) },
    WindowName { name: "NTILE", function: WindowFunction::Ntile, arguments: (1, 1) },
    WindowName { name: "PERCENT_RANK", function: WindowFunction::PercentRank, arguments: (0, 0) },
    WindowName { name: "RANK", function: WindowFunction::Rank, arguments: (0, 0) },
    WindowName { name: "ROW_NUMBER", function: WindowFunction::RowNumber, arguments: (0, 0) },
];

/// A window function's name.
pub(crate) struct WindowName {
    pub(crate) name: &'static str,
    pub(crate) function: WindowFunction,
    /// The least and the greatest number of arguments.
    pub(crate) arguments: (usize, usize),
}

/// The name of a function in upper case, if it is a plain one.
pub(crate) fn function_name(function: &ast::Function) -> Option<String> {
    match function.name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(name)] => Some(name.value.to_ascii_uppercase()),
        // PostgreSQL's own schema has the same functions.
        [schema, ast::ObjectNamePart::Identifier(name)] if schema.to_string().eq_ignore_ascii_case("pg_catalog") => {
            Some(name.value.to_ascii_uppercase())
        }
        _ => None,
    }
}

/// The aggregate of a name in upper case.
pub(crate) fn aggregate(name: &str) -> Option<&'static AggregateName> {
    AGGREGATES.iter().find(|row| row.name == name)
}

/// Whether the name stands in an expression, unqualified.
pub(crate) fn mentions(expr: &Expr, name: &str) -> bool {
    let mut found = Search { depth: 0, test: |part: &Expr, _| first_name(part).is_some_and(|first| first == name) };
    expr.visit(&mut found).is_break()
}

/// Whether there is an aggregate in it, once aliases are replaced.
pub(crate) fn has_aggregate(expr: &Expr, aliases: &[(String, Expr)]) -> bool {
    has(expr, aliases, &|function| {
        function.over.is_none()
            && function_name(function).is_some_and(|name| aggregate(&name).is_some() || name == "GROUPING")
    })
}

/// Whether there is a window function in it, once aliases are replaced.
pub(crate) fn has_window(expr: &Expr, aliases: &[(String, Expr)]) -> bool {
    has(expr, aliases, &|function| function.over.is_some())
}

fn has(expr: &Expr, aliases: &[(String, Expr)], test: &dyn Fn(&ast::Function) -> bool) -> bool {
    let mut search = Search {
        depth: 0,
        test: |part: &Expr, depth: usize| {
            if depth > 0 {
                return false;
            }
            if let Expr::Function(function) = part {
                return test(function);
            }
            let Some(name) = first_name(part) else { return false };
            let Some(at) = aliases.iter().position(|(alias, _)| alias == name) else { return false };
            let known = aliases.get(at).map(|(_, expr)| expr);
            known.is_some_and(|expr| !mentions(expr, name) && has(expr, aliases.get(..at).unwrap_or_default(), test))
        },
    };
    expr.visit(&mut search).is_break()
}

/// The first name of a chain of names.
fn first_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(name) => Some(&name.value),
        _ => None,
    }
}

/// Looks for an expression; knows how many subqueries deep it is.
struct Search<F> {
    depth: usize,
    test: F,
}

impl<F: FnMut(&Expr, usize) -> bool> Visitor for Search<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if (self.test)(expr, self.depth) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The top-level conjuncts of a condition.
pub(crate) fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => [conjuncts(left), conjuncts(right)].concat(),
        Expr::Nested(inner) => conjuncts(inner),
        other => vec![other],
    }
}

/// The arguments of a call: plain expressions; `*` is none.
pub(crate) fn arguments(function: &ast::Function) -> Option<Vec<&Expr>> {
    let ast::FunctionArguments::List(list) = &function.args else { return Some(Vec::new()) };
    let mut out = Vec::with_capacity(list.args.len());
    for argument in &list.args {
        match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => out.push(expr),
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard) => {}
            _ => return None,
        }
    }
    Some(out)
}

/// Whether a call is of `*`.
pub(crate) fn is_star(function: &ast::Function) -> bool {
    matches!(&function.args, ast::FunctionArguments::List(list)
        if matches!(list.args.as_slice(), [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)]))
}

/// The name of a column that has no alias: the last step of a path, or the function's (SQL-3.11).
pub(crate) fn default_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let step = access_chain.iter().rev().find_map(|step| match step {
                ast::AccessExpr::Dot(inner) => default_name(inner),
                ast::AccessExpr::Subscript(ast::Subscript::Index { index: Expr::Value(value) }) => match &value.value {
                    ast::Value::SingleQuotedString(name) => Some(name.clone()),
                    _ => None,
                },
                ast::AccessExpr::Subscript(_) => None,
            });
            step.or_else(|| default_name(root))
        }
        Expr::Function(function) => function_name(function).map(|name| name.to_ascii_lowercase()),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => default_name(expr),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        _ => None,
    }
}

/// The steps of a path, as the names of changed fields have them.
pub(crate) fn steps(path: &Expr) -> Option<Vec<String>> {
    let name = |ident: &ast::Ident| ident.value.clone();
    match path {
        Expr::Identifier(column) => Some(vec![name(column)]),
        Expr::CompoundIdentifier(names) => Some(names.iter().map(name).collect()),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut all = steps(root)?;
            for access in access_chain {
                match access {
                    ast::AccessExpr::Dot(Expr::Identifier(field)) => all.push(name(field)),
                    ast::AccessExpr::Subscript(ast::Subscript::Index { index: Expr::Value(value) }) => {
                        all.push(value.to_string().trim_matches('\'').to_owned());
                    }
                    _ => return None,
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// The only expression of a select list.
pub(crate) fn only_expression(query: &ast::Query) -> Option<&Expr> {
    match query.body.as_ref() {
        ast::SetExpr::Select(select) => match select.projection.as_slice() {
            [ast::SelectItem::UnnamedExpr(expression)] => Some(expression),
            _ => None,
        },
        _ => None,
    }
}

/// A path below `NEW` or `OLD`.
pub(crate) fn qualified(path: &Expr, image: &str) -> Expr {
    let image = ast::Ident::new(image);
    match path {
        Expr::Identifier(name) => Expr::CompoundIdentifier(vec![image, name.clone()]),
        Expr::CompoundIdentifier(names) => Expr::CompoundIdentifier([vec![image], names.clone()].concat()),
        Expr::CompoundFieldAccess { root, access_chain } => Expr::CompoundFieldAccess {
            root: Box::new(qualified(root, &image.value)),
            access_chain: access_chain.clone(),
        },
        other => other.clone(),
    }
}
