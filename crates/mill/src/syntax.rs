//! Small pieces of syntax trees: made, and looked through.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast;

/// `SELECT e`.
pub(crate) fn select(expression: &ast::Expr) -> Box<ast::Query> {
    let item = ast::SelectItem::ExprWithAlias { expr: expression.clone(), alias: ast::Ident::new("value") };
    select_items(vec![item])
}

/// `SELECT …` of several items.
pub(crate) fn select_items(projection: Vec<ast::SelectItem>) -> Box<ast::Query> {
    let select = ast::Select {
        select_token: ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: ast::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
    };
    Box::new(ast::Query {
        with: None,
        body: Box::new(ast::SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    })
}

/// What a statement uses: the names in FROM, of one or two parts, and the routines that are called, by their names in lower
/// case and the numbers of arguments.
pub(crate) type Uses = (BTreeSet<(Option<String>, String)>, BTreeSet<(String, usize)>);

/// What a piece of syntax uses.
pub(crate) fn used<V: ast::Visit>(tree: &V) -> Uses {
    let mut relations = BTreeSet::new();
    let _ = ast::visit_relations(tree, |name| {
        let parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone()).collect();
        match parts.as_slice() {
            [name] => drop(relations.insert((None, name.clone()))),
            [database, name] => drop(relations.insert((Some(database.clone()), name.clone()))),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    let mut functions = BTreeSet::new();
    let _ = ast::visit_expressions(tree, |expression| {
        if let ast::Expr::Function(function) = expression {
            let arguments = match &function.args {
                ast::FunctionArguments::List(list) => list.args.len(),
                ast::FunctionArguments::None | ast::FunctionArguments::Subquery(_) => 0,
            };
            let name = function.name.0.last().and_then(|name| name.as_ident());
            functions.extend(name.map(|name| (name.value.to_lowercase(), arguments)));
        }
        ControlFlow::<()>::Continue(())
    });
    (relations, functions)
}
