//! Expressions and their values, as PostgreSQL 15 has them and where we differ.
//!
//! A case in `tests/golden/*.txt` is an expression, a line `= <text>` with PostgreSQL's value (`! <SQLSTATE>` for an error),
//! and, where ours is another one, a line `ours = <text>` or `ours ! <SQLSTATE>` with the rule in brackets; `ours only` stands for
//! PostgreSQL's line where it has no such thing. Numerics are compared without trailing zeros, arrays as JSON.
//!
//! `GOLDEN_PSQL="psql -h … -d …" cargo test -p millstream-sql --test golden` asks a running server for its lines and compares
//! them with those of the files; with `GOLDEN_WRITE=1` it puts them there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use millstream_flow::{Datum, Row};
use millstream_sql::expr::{Context, Names, from_ast};
use millstream_sql::statement::{Statement, ast, statement};
use millstream_sql::{Expr, SqlError, Type};

/// There are none: the cases are constants.
struct NoNames;

impl Names for NoNames {
    fn name(&mut self, parts: &[ast::Ident]) -> Result<Expr, SqlError> {
        Err(SqlError::new("42703", format!("no column {parts:?}")))
    }

    fn call(&mut self, _: &ast::Function) -> Result<Option<Expr>, SqlError> {
        Ok(None)
    }

    fn subquery(&mut self, _: &ast::Expr) -> Result<Expr, SqlError> {
        Err(SqlError::new("0A000", "no subqueries here"))
    }

    fn variable(&mut self, name: &str) -> Result<Expr, SqlError> {
        Err(SqlError::new("42P02", format!("no parameter {name}")))
    }
}

/// Our value as text, or `! <SQLSTATE>`.
fn ours(text: &str) -> String {
    match evaluate(text) {
        Ok(Some(text)) => format!("= {text}"),
        Ok(None) => "= NULL".to_owned(),
        Err(state) => format!("! {state}"),
    }
}

fn evaluate(text: &str) -> Result<Option<String>, String> {
    let context = Arc::new(Context {
        variables: Vec::new(),
        time_zone: jiff::tz::TimeZone::UTC,
        routine: Box::new(|_, _| Ok(Datum::Null)),
        clock: Box::new(|| 0),
    });
    let state = |error: SqlError| error.state.to_string();
    let syntax = parse(text).map_err(state)?;
    let expr = from_ast(&syntax, &mut NoNames).map_err(state)?;
    expr.check(&[], &[]).map_err(state)?;
    let text = Expr::Cast { value: Box::new(expr), to: Type::Text(None), attempt: false };
    match text.compile(&context).eval(&Row::new(Vec::new(), Vec::new())) {
        Ok(Datum::Text(text)) => Ok(Some(text.to_string())),
        Ok(_) => Ok(None),
        Err(error) => Err(error.state.to_string()),
    }
}

/// The expression as the statement layer reads it.
fn parse(text: &str) -> Result<ast::Expr, SqlError> {
    let wrong = || SqlError::new("42601", format!("{text} is no expression"));
    let Statement::Query(query) = statement(&format!("SELECT {text}"))? else { return Err(wrong()) };
    let ast::SetExpr::Select(select) = *query.body else { return Err(wrong()) };
    match select.projection.into_iter().next() {
        Some(ast::SelectItem::UnnamedExpr(expr)) => Ok(expr),
        _ => Err(wrong()),
    }
}

/// One case, by its lines.
#[derive(Default)]
struct Case {
    expr: String,
    postgres: Option<String>,
    ours: Option<String>,
}

/// The cases of a file, each after the lines that stand before it (comments and blanks).
fn cases(text: &str) -> Vec<(String, Case)> {
    let mut cases: Vec<(String, Case)> = Vec::new();
    let mut before = String::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            before.push_str(line);
            before.push('\n');
        } else if let Some((_, case)) = cases.last_mut().filter(|_| line.starts_with("= ") || line.starts_with("! ")) {
            case.postgres = Some(line.to_owned());
        } else if let Some((_, case)) = cases.last_mut().filter(|_| line.starts_with("ours ")) {
            case.ours = Some(line.to_owned());
        } else {
            cases.push((std::mem::take(&mut before), Case { expr: line.to_owned(), ..Case::default() }));
        }
    }
    cases
}

/// What is expected of us: our own line without the rule in brackets at its end, else PostgreSQL's.
fn expected(case: &Case) -> Option<String> {
    match &case.ours {
        Some(ours) => {
            let line = ours.trim_start_matches("ours only ").trim_start_matches("ours ");
            let (line, rule) = line.rsplit_once(" (")?;
            rule.ends_with(')').then(|| line.to_owned())
        }
        None => case.postgres.clone(),
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// SQL-2.2, SQL-3.5, SQL-3.6, SQL-4.2 to SQL-4.11, SQL-5, SQL-6, E-16
#[test]
fn expressions_have_their_values() {
    let mut wrong = String::new();
    let mut count = 0;
    for file in files() {
        for (_, case) in cases(&std::fs::read_to_string(&file).unwrap()) {
            count += 1;
            let Some(expected) = expected(&case) else {
                let _ = writeln!(wrong, "{}: {}: nothing is expected", file.display(), case.expr);
                continue;
            };
            let found = ours(&case.expr);
            if found != expected {
                let name = file.file_name().unwrap().to_string_lossy();
                let _ = writeln!(wrong, "{name}: {}\n  expected {expected}\n  found    {found}", case.expr);
            }
        }
    }
    assert!(count > 500, "only {count} cases");
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// How a value is shown: numerics without trailing zeros, arrays as JSON.
const SHOW: &str = "
SET client_min_messages = fatal; SET timezone = 'UTC';
CREATE FUNCTION pg_temp.show(v anyelement) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF v IS NULL THEN RETURN 'NULL'; END IF;
  IF pg_typeof(v) = 'numeric'::regtype THEN RETURN trim_scale(v::text::numeric)::text; END IF;
  IF pg_typeof(v)::text LIKE '%[]' THEN RETURN to_jsonb(v)::text; END IF;
  RETURN v::text;
END $$;
SET client_min_messages = error;
";

/// PostgreSQL's lines, by a running `psql`.
fn ask(psql: &str, exprs: &[&str]) -> Vec<String> {
    let mut words = psql.split_whitespace();
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .args(["-X", "-q", "-A", "-t", "-v", "VERBOSITY=sqlstate"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut script = SHOW.to_owned();
    for expr in exprs {
        let _ = writeln!(script, "\\echo @@\nSELECT pg_temp.show(x) FROM (SELECT {expr} AS x) s;\n\\echo :SQLSTATE");
    }
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answers = text.split("@@\n").skip(1).map(|answer| {
        let answer = answer.strip_suffix('\n').unwrap_or(answer);
        let (value, state) = answer.rsplit_once('\n').unwrap_or(("", answer));
        if state == "00000" { format!("= {value}") } else { format!("! {state}") }
    });
    let answers: Vec<String> = answers.collect();
    assert_eq!(answers.len(), exprs.len(), "psql answered {text}");
    answers
}

/// Only with a server; see above.
#[test]
fn postgres_agrees_with_the_files() {
    let Ok(psql) = std::env::var("GOLDEN_PSQL") else { return };
    let write = std::env::var_os("GOLDEN_WRITE").is_some();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let cases = cases(&text);
        let theirs: Vec<&Case> = cases.iter().map(|(_, case)| case).filter(|case| !is_ours_alone(case)).collect();
        let exprs: Vec<&str> = theirs.iter().map(|case| case.expr.as_str()).collect();
        let mut answers = ask(&psql, &exprs).into_iter();
        let mut out = String::new();
        for (before, case) in &cases {
            let _ = writeln!(out, "{before}{}", case.expr);
            if !is_ours_alone(case) {
                let _ = writeln!(out, "{}", answers.next().unwrap());
            }
            if let Some(ours) = &case.ours {
                let _ = writeln!(out, "{ours}");
            }
        }
        if write {
            std::fs::write(&file, &out).unwrap();
        } else {
            let differs = out.lines().zip(text.lines()).find(|(new, old)| new != old);
            assert_eq!(differs, None, "{}", file.display());
        }
    }
}

fn is_ours_alone(case: &Case) -> bool {
    case.ours.as_ref().is_some_and(|ours| ours.starts_with("ours only"))
}
