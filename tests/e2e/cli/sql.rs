//! `millstream sql`: scripts, forms of rows, errors, a person at a terminal; and the examples of `docs/sql.md`.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use bson::doc;

use crate::support::programs::Program;
use crate::support::server::{binary, free_port, millstream, signal};
use crate::support::{Screen, Server, root};

/// What a run has written, and its exit code.
struct Run {
    out: String,
    errors: String,
    code: i32,
}

fn sql(server: &Server, arguments: &[&str], input: &str) -> Run {
    let mut command = millstream();
    command.args(["sql", "--uri", &server.uri(), "--db", "shop"]).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { out: text(output.stdout), errors: text(output.stderr), code: output.status.code().unwrap() }
}

/// A server with some orders.
fn shop() -> Server {
    let server = Server::memory();
    let orders = vec![
        doc! {"_id": 1, "customer": "Ann", "status": "paid", "total": 30},
        doc! {"_id": 2, "customer": "Bob, Jr.", "status": "new", "total": 12.5},
        doc! {"_id": 3, "customer": "", "status": "paid"},
    ];
    server.connect().command("shop", doc! {"insert": "orders", "documents": orders}).unwrap();
    server
}

#[test]
fn rows_come_as_tables_documents_and_values() {
    let server = shop();
    let query = "SELECT _id, customer, total FROM orders ORDER BY _id";
    let table = sql(&server, &["-c", query], "");
    let expected = "\
| _id | customer | total |
|-----|----------|-------|
|   1 | Ann      |    30 |
|   2 | Bob, Jr. |  12.5 |
|   3 |          |  NULL |
(3 rows)
";
    assert_eq!((table.out.as_str(), table.code), (expected, 0), "{}", table.errors);
    let json = sql(&server, &["-c", query, "--format", "json"], "");
    assert_eq!(json.out.lines().nth(1).unwrap(), r#"{"_id":2,"customer":"Bob, Jr.","total":12.5}"#);
    let csv = sql(&server, &["-c", query, "--format", "csv"], "");
    assert_eq!(csv.out, "_id,customer,total\r\n1,Ann,30\r\n2,\"Bob, Jr.\",12.5\r\n3,\"\",\r\n");
}

/// SQL-1.5: the first error stops a script and names the statement's number; what is before it is done.
#[test]
fn the_first_error_stops_a_script() {
    let server = shop();
    let script = "INSERT INTO t (_id) VALUES (1);\n\\x\nINSERT INTO t (_id)\n  VALUES (2);\nSELECT\n  oops FROM (SELECT 1 AS one) s;\nINSERT INTO t (_id) VALUES (3);\n";
    let run = sql(&server, &[], script);
    assert_eq!(run.code, 1);
    let lines: Vec<&str> = run.errors.lines().collect();
    assert!(lines[0].starts_with("ERROR 42703: "), "{}", run.errors);
    assert_eq!(*lines.last().unwrap(), "STATEMENT: 3 of standard input", "{}", run.errors);
    assert_eq!(run.out, "INSERT 0 1\na line for each field\nINSERT 0 1\n");
    let left = sql(&server, &["-c", "SELECT _id FROM t ORDER BY _id", "--format", "csv"], "");
    assert_eq!(left.out, "_id\r\n1\r\n2\r\n");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let server = Server::memory();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.sql");
    std::fs::write(&file, "SELECT 1 AS one;\n\nSELECT 'ü',\n  1 + + FROM t;\n").unwrap();
    let run = sql(&server, &["-f", file.to_str().unwrap(), "--format", "csv"], "");
    assert_eq!((run.out.as_str(), run.code), ("one\r\n1\r\n", 1));
    let expected = format!(
        "ERROR 42601: expected an expression, found \"FROM\"\nLINE 4:   1 + + FROM t;\n                ^\nSTATEMENT: 2 of {}\n",
        file.display()
    );
    assert_eq!(run.errors, expected);
    let run = sql(&server, &["-c", "SELEC 1"], "");
    assert_eq!(
        run.errors,
        "ERROR 42601: expected a statement, found \"SELEC\"\nLINE 1: SELEC 1\n        ^\nHINT: did you mean SELECT?\n"
    );
}

#[test]
fn exit_codes_say_what_kind_of_failure_it_was() {
    let server = Server::memory();
    assert_eq!(sql(&server, &["--set", "colour=red", "-c", "SELECT 1"], "").code, 2);
    assert_eq!(sql(&server, &["-f", "/nowhere.sql"], "").code, 2);
    assert_eq!(sql(&server, &["-c", "\\nope"], "").code, 2);
    assert_eq!(sql(&server, &["-c", "SELECT 1 / 0"], "").code, 1);
    let nobody = format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=500", free_port());
    let output = millstream().args(["sql", "--uri", &nobody, "-c", "SELECT 1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn lines_with_a_backslash_are_for_the_shell() {
    let server = shop();
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner.sql");
    let written = folder.path().join("written.csv");
    std::fs::write(&inner, "SELECT 2 AS two;\n").unwrap();
    let script = format!(
        "\\dt\n\\x\nSELECT 1 AS one;\n\\x\n\\format csv\n\\i {}\n\\o {}\nSELECT 3 AS three;\n\\o\nSELECT 4 AS four;\n\\q\nSELECT 5;\n",
        inner.display(),
        written.display()
    );
    let run = sql(&server, &[], &script);
    let expected = "\
| name   | kind  |
|--------|-------|
| orders | table |
(1 row)
a line for each field
-[ RECORD 1 ]
one | 1
(1 row)
a line for each row
two\r\n2\r\nfour\r\n4\r
";
    assert_eq!((run.out.as_str(), run.code), (expected, 0), "{}", run.errors);
    assert_eq!(std::fs::read_to_string(written).unwrap(), "three\r\n3\r\n");
    assert!(sql(&server, &["-c", "\\d orders"], "").out.contains("| customer "));
}

#[test]
fn settings_hold_for_the_session() {
    let server = Server::memory();
    let query = "SELECT TIMESTAMPTZ '2025-07-01 12:00Z' AS at";
    let run = sql(
        &server,
        &["--set", "time_zone=Europe/Rome", "-c", query, "-c", "SHOW strict_tables", "--format", "csv"],
        "",
    );
    assert_eq!(run.out, "at\r\n2025-07-01 14:00:00+02\r\nstrict_tables\r\noff\r\n", "{}", run.errors);
}

/// SQL-13.12: a change query is shown as changes happen, until Ctrl-C.
#[test]
fn changes_are_shown_until_ctrl_c() {
    let server = shop();
    let query = "SELECT _id, CHANGE_TYPE() AS what, total FROM orders WHERE CHANGE_DETECTED()";
    let mut command = millstream();
    command.args(["sql", "--uri", &server.uri(), "--db", "shop", "--format", "json", "-c", query]);
    let mut program = Program::start("sql", &mut command);
    let mut connection = server.connect();
    program.wait_for_error_line("changes are shown as they come");
    let update = doc! {"q": {"_id": 1}, "u": {"$set": {"total": 31}}};
    connection.command("shop", doc! {"update": "orders", "updates": [update]}).unwrap();
    connection.command("shop", doc! {"delete": "orders", "deletes": [{"q": {"_id": 2}, "limit": 1}]}).unwrap();
    assert_eq!(program.must_line(), r#"{"_id":1,"what":"UPDATE","total":31}"#);
    assert_eq!(program.must_line(), r#"{"_id":2,"what":"DELETE","total":12.5}"#);
    signal(&program.child, "-INT");
    let (rest, status) = program.finish();
    assert!(status.success() && rest.is_empty(), "{status} {rest:?}");
}

fn at_a_terminal(server: &Server, state: &Path) -> Screen {
    let line = format!("{} sql --uri '{}' --db shop", binary().display(), server.uri());
    let mut screen = Screen::run(&line, &[("XDG_STATE_HOME", &state.display().to_string())]);
    screen.wait_for("shop=> ");
    screen
}

#[test]
fn a_person_at_a_terminal_has_several_lines_and_a_history() {
    let server = shop();
    let state = tempfile::tempdir().unwrap();
    let mut screen = at_a_terminal(&server, state.path());
    screen.type_in("SELECT _id,\r customer FROM orders\r WHERE _id = 1;\r");
    screen.wait_for("| Ann      |");
    screen.wait_for("(1 row)");
    screen.wait_for("shop=> ");
    screen.type_in("BEGIN;\r");
    screen.wait_for("shop=*> ");
    screen.type_in("SELECT oops FROM (SELECT 1 AS one) s;\r");
    screen.wait_for("ERROR 42703");
    screen.wait_for("shop=*> ");
    screen.type_in("ROLLBACK;\r");
    screen.wait_for("shop=> ");
    // Ctrl-C ends a subscription, and no more. It is typed once: a terminal drops what it has not shown yet with each.
    screen.type_in("SELECT * FROM orders WHERE CHANGE_DETECTED();\r");
    screen.wait_for("Ctrl-C ends");
    screen.type_in("\u{3}");
    screen.wait_for("cancelled");
    screen.wait_for("shop=> ");
    let (shown, status) = screen.end("\\q\r");
    assert!(status.success(), "{status}: {shown}");
    let history = std::fs::read_to_string(state.path().join("millstream/sql_history")).unwrap();
    assert!(history.contains("BEGIN;") && history.contains("WHERE _id = 1;"), "{history}");
}

#[test]
fn the_tab_key_completes_names() {
    let server = shop();
    server
        .connect()
        .command("shop", doc! {"insert": "shipments", "documents": [{"_id": 1, "carrier": "Post"}]})
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut screen = at_a_terminal(&server, state.path());
    screen.type_in("TABLE ship\t;\r");
    screen.wait_for("| Post    |");
    screen.wait_for("shop=> ");
    screen.end("\\q\r");
}

/// Every example of `docs/sql.md`, in its order.
#[test]
fn the_guide_shows_what_happens() {
    let guide = std::fs::read_to_string(root().join("docs/sql.md")).unwrap();
    let server = Server::with(&["--memory", "--mill", "off"]);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").display().to_string();
    let mut mill = Program::start("mill", millstream().args(["run", "--uri", &server.uri(), "--state", &state]));
    mill.wait_for_error_line("the mill runs");
    let mut shown = String::new();
    let mut live: Option<Program> = None;
    let mut examples = 0;
    for (kind, text) in blocks(&guide) {
        match kind {
            "sql" => {
                let run = sql(&server, &[], text);
                assert_eq!(run.code, 0, "{text}\n{}", run.errors);
                shown = run.out;
            }
            "sql live" => {
                let mut command = millstream();
                let program =
                    Program::start("live", command.args(["sql", "--uri", &server.uri(), "--db", "shop", "-c", text]));
                live.insert(program).wait_for_error_line("changes are shown as they come");
            }
            "text" if !shown.is_empty() => {
                assert_eq!(std::mem::take(&mut shown), text);
                examples += 1;
            }
            "text live" => {
                let mut program = live.take().expect("a query that runs");
                let lines: Vec<String> = text.lines().map(|_| program.must_line().trim_end().to_owned()).collect();
                assert_eq!(lines.join("\n") + "\n", text);
                shown.clear();
                examples += 1;
            }
            _ => {}
        }
    }
    assert_eq!(examples, 7);
    signal(&mill.child, "-TERM");
    assert!(mill.finish().1.success());
}

/// The code blocks of a page, with what stands behind their first fence.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("```") {
        let (kind, after) = after.split_once('\n').expect("a block begins with a line of its own");
        let (text, after) = after.split_once("```").expect("a block ends");
        blocks.push((kind, text));
        rest = after;
    }
    blocks
}

/// `millstream serve` alone keeps views, also across a restart, and ends cleanly with its mill.
#[test]
fn the_server_runs_what_is_defined() {
    let mut server = Server::durable();
    let rows = |server: &Server| {
        let ask = "WAIT FOR MATERIALIZED VIEW spent; SELECT _id, total FROM spent ORDER BY _id";
        let run = sql(server, &["--format", "json"], ask);
        assert_eq!(run.code, 0, "{}", run.errors);
        run.out
    };
    let run = sql(
        &server,
        &[],
        "INSERT INTO orders (_id, customer, total) VALUES (1, 'Ann', 30), (2, 'Bob', 12);
         CREATE MATERIALIZED VIEW spent AS SELECT customer, SUM(total) AS total FROM orders GROUP BY customer;",
    );
    assert_eq!(run.code, 0, "{}", run.errors);
    assert!(
        rows(&server).ends_with("{\"_id\":\"Ann\",\"total\":30}\n{\"_id\":\"Bob\",\"total\":12}\n"),
        "{}",
        rows(&server)
    );
    assert!(server.terminate().0.success());
    server.start_again();
    let run = sql(&server, &[], "UPDATE orders SET total = 31 WHERE customer = 'Ann'");
    assert_eq!(run.code, 0, "{}", run.errors);
    assert!(rows(&server).contains("{\"_id\":\"Ann\",\"total\":31}\n"), "{}", rows(&server));
}
