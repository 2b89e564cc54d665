//! Several statements in one text (SQL-1.5), and where mistakes are (SQL-21.1).

use super::super::{Script, Statement, complete, script};
use super::show;

/// SQL-1.5: statements and bodies, and where each of them is.
#[test]
fn semicolons_separate_statements_but_not_those_of_bodies() {
    let text = "SELECT 'a;b' /* ; */;; -- ;\nCREATE TRIGGER x ON t FOR INSERT AS BEGIN
        IF a THEN b := CASE WHEN c THEN 1 ELSE 2 END; ELSE b := 2; END IF;
        FOR r IN SELECT * FROM t LOOP BEGIN b := r.end; END; END LOOP;
    END;
    BEGIN; INSERT INTO t (a) VALUES ($$;$$); COMMIT;
    CREATE PROCEDURE p() LANGUAGE SQL AS DECLARE a int; b int := 1; BEGIN RETURN; END;
    SELECT 'ü';  SELECT 2 ";
    let parts: Vec<&str> = script(text).unwrap().iter().map(|(_, span)| &text[span.start..span.end]).collect();
    let starts: Vec<&str> = parts.iter().map(|part| part.split([' ', '\n']).next().unwrap()).collect();
    assert_eq!(starts, ["SELECT", "CREATE", "BEGIN", "INSERT", "COMMIT", "CREATE", "SELECT", "SELECT"]);
    assert!(parts[1].ends_with("END") && parts[5].ends_with("END"));
    assert_eq!(&parts[6..], ["SELECT 'ü'", "SELECT 2"]);
}

/// SQL-1.5: what stands before a mistake is there before it is met.
#[test]
fn a_script_is_read_statement_by_statement() {
    let mut statements = Script::new("BEGIN; SELECT 1; SELEC 2; SELECT 'x").unwrap();
    assert_eq!(statements.next().unwrap().unwrap().0, Statement::Begin);
    assert!(statements.next().unwrap().is_ok());
    let error = statements.next().unwrap().unwrap_err();
    assert_eq!(show(&error), "error 42601 at 18: expected a statement, found \"SELEC\"\nhint: did you mean SELECT?");
    assert!(statements.next().is_none());
    let mut statements = Script::new("SELECT 1;\nSELECT 'x").unwrap();
    assert!(statements.next().unwrap().is_ok());
    assert_eq!(show(&statements.next().unwrap().unwrap_err()), "error 42601 at 18: a string is not closed");
    assert!(statements.next().is_none());
}

/// SQL-21.1: the character, not the byte, also behind other lines and inside of quoted bodies.
#[test]
fn errors_name_the_character() {
    let at = |text: &str| script(text).unwrap_err().position.unwrap();
    assert_eq!(at("SELECT 'ü';\nSELECT FROM t"), 20);
    assert_eq!(at("SELECT 1 +"), 11);
    let body = "CREATE FUNCTION f() RETURNS int LANGUAGE SQL AS $x$\nSELECT 1 +* 2 $x$";
    assert_eq!(&body[at(body) - 1..], "* 2 $x$");
    let body = "CREATE PROCEDURE p() LANGUAGE SQL AS '\nBEGIN a b; END'";
    assert_eq!(&body[at(body) - 1..], "a b; END'");
}

#[test]
fn a_shell_knows_when_a_text_is_complete() {
    let rest = |text: &'static str| complete(text).rest.trim();
    assert_eq!(complete("SELECT 1; SELECT\n2;").statements, ["SELECT 1", "SELECT\n2"]);
    assert_eq!(rest("SELECT 1; SELECT\n2;"), "");
    assert_eq!(rest("SELECT 1; SELECT"), "SELECT");
    for open in [
        "SELECT ';",
        "SELECT \";",
        "SELECT /* ;",
        "SELECT $$;",
        "SELECT $a$;$$;",
        "CREATE TRIGGER x ON t FOR INSERT AS BEGIN a := 1;",
    ] {
        assert_eq!(rest(open), open);
        assert!(complete(open).statements.is_empty());
    }
    let body = "CREATE OR REPLACE PROCEDURE p() LANGUAGE SQL AS BEGIN IF a THEN b := 1; END IF; END";
    assert_eq!(complete(&format!("{body};\nBEGIN; ")).statements, [body, "BEGIN"]);
    let explained = format!("EXPLAIN (FORMAT JSON) {body}");
    assert_eq!(
        complete(&format!("{explained}; EXPLAIN SELECT 1;")).statements,
        [explained.as_str(), "EXPLAIN SELECT 1"]
    );
    assert_eq!(complete("-- nothing\n").statements, Vec::<&str>::new());
}
