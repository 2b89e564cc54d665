//! The bodies of triggers and procedures (SQL-15).

use sqlparser::ast;

use super::{Delete, Insert, Name, Update};

/// `[DECLARE …] BEGIN … END`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Its variables. Blocks inside of blocks have none.
    pub declarations: Vec<Declaration>,
    /// What it does, in order.
    pub statements: Vec<BodyStatement>,
}

/// `var type [:= e];`.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// The variable.
    pub name: String,
    /// Its type.
    pub data_type: ast::DataType,
    /// Its first value; none: NULL.
    pub value: Option<ast::Expr>,
}

/// One statement of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyStatement {
    /// `var := e;`.
    Assign {
        /// The variable.
        variable: String,
        /// Its new value.
        value: ast::Expr,
    },
    /// `BEGIN … END;`.
    Block(Block),
    /// `CALL p(…);`.
    Call(Call),
    /// `DELETE …;`.
    Delete(Box<Delete>),
    /// `FOR var IN query LOOP … END LOOP;`.
    For {
        /// Holds one row after the other, as a document.
        variable: String,
        /// The rows.
        query: Box<ast::Query>,
        /// What is done for each.
        body: Vec<BodyStatement>,
    },
    /// `IF e THEN … ELSIF … ELSE … END IF;`.
    If {
        /// Conditions and what is done for the first that is true.
        branches: Vec<(ast::Expr, Vec<BodyStatement>)>,
        /// What is done otherwise.
        otherwise: Vec<BodyStatement>,
    },
    /// `INSERT …;`.
    Insert(Box<Insert>),
    /// `PERFORM query;`.
    Perform(Box<ast::Query>),
    /// `RAISE {NOTICE|EXCEPTION} 'format' [, e …];`.
    Raise {
        /// How grave it is.
        level: RaiseLevel,
        /// The text, in which each `%` stands for an argument and `%%` for itself.
        format: String,
        /// The arguments.
        arguments: Vec<ast::Expr>,
    },
    /// `RETURN;`.
    Return,
    /// `SELECT e, … INTO var, … FROM …;`.
    SelectInto {
        /// The query, without its `INTO`.
        query: Box<ast::Query>,
        /// The variables, as many as columns.
        variables: Vec<String>,
    },
    /// `UPDATE …;`.
    Update(Box<Update>),
}

/// How grave a `RAISE` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaiseLevel {
    /// Ends the body with P0001.
    Exception,
    /// Tells.
    Notice,
}

/// `p(e, …)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The routine.
    pub name: Name,
    /// What it is given.
    pub arguments: Vec<ast::Expr>,
}
