//! What a text may not exceed (SQL-22.1).

use super::super::{script, statement};
use super::show;

/// SQL-22.1
#[test]
fn a_text_has_a_size() {
    let text = format!("SELECT '{}'", "x".repeat(1 << 20));
    assert_eq!(statement(&text).unwrap_err().state.0, "54000");
    assert!(statement(&format!("SELECT '{}'", "x".repeat(1 << 19))).is_ok());
}

/// SQL-2.4
#[test]
fn a_name_has_a_length() {
    assert!(statement(&format!("SELECT {}", "x".repeat(255))).is_ok());
    let error = statement(&format!("SELECT a, \"{}\"", "é".repeat(128))).unwrap_err();
    assert_eq!(show(&error), "error 42622 at 11: a name of 256 bytes; at most 255 are allowed");
}

/// SQL-22.1: what is deep in any way is refused, and what is allowed neither ends the stack nor takes long.
#[test]
fn an_expression_has_a_depth() {
    let nested =
        |n: usize, open: &str, inner: &str, close: &str| format!("SELECT {}{inner}{}", open.repeat(n), close.repeat(n));
    let deep = [
        nested(300, "(", "1", ")"),
        nested(300, "abs(", "1", ")"),
        nested(300, "a[", "1", "]"),
        nested(300, "CASE WHEN a THEN ", "1", " END"),
        nested(300, "NOT ", "a", ""),
        nested(300, "- ", "a", ""),
        nested(300, "", "1", " + 1"),
        nested(300, "", "a", " OR b"),
        nested(300, "", "a", "::text"),
        nested(300, "(SELECT ", "1", ")"),
        nested(300, "", "1", " UNION ALL SELECT 1"),
        format!("SELECT 1 FROM {}a{}", "(".repeat(300), ")".repeat(300)),
        nested(150, "(", "1", " + 1 + 1)"),
    ];
    for text in deep {
        assert_eq!(statement(&text).unwrap_err().state.0, "54001", "{text}");
    }
    let allowed = [
        nested(190, "(", "1", ")"),
        nested(90, "(1 + ", "1", ")"),
        nested(190, "abs(", "1", ")"),
        nested(95, "CASE WHEN a THEN ", "1", " END"),
        nested(190, "NOT ", "a", ""),
        nested(190, "- ", "a", ""),
        nested(190, "", "1", " + 1"),
        nested(190, "", "1", " UNION ALL SELECT 1"),
        nested(90, "(SELECT ", "1", ")"),
        format!("SELECT {}", vec!["1 + 1 + 1"; 1_000].join(", ")),
        format!("SELECT CASE {} END", "WHEN a = 1 + 1 THEN b + 2 ".repeat(300)),
        format!("SELECT a IN ({})", vec!["-1"; 10_000].join(", ")),
    ];
    for text in allowed {
        let parsed = statement(&text).unwrap_or_else(|error| panic!("{text}: {}", show(&error)));
        assert_eq!(statement(&parsed.to_string()).unwrap(), parsed);
    }
}

/// SQL-22.1: also those inside of others count.
#[test]
fn a_body_has_so_many_statements() {
    let body =
        |n: usize| format!("CREATE TRIGGER x ON t FOR INSERT AS BEGIN IF a THEN {}END IF; END", "b := 1; ".repeat(n));
    assert!(statement(&body(255)).is_ok());
    let error = statement(&body(256)).unwrap_err();
    assert_eq!((error.state.0, error.message.as_str()), ("54000", "a body has 256 statements at most"));
    let nested =
        format!("CREATE TRIGGER x ON t FOR INSERT AS BEGIN {}{}END", "IF a THEN ".repeat(250), "END IF; ".repeat(250));
    assert!(statement(&nested).is_ok());
}

#[test]
fn many_statements_take_no_more_than_one_by_one() {
    let text = "SELECT 'ü' AS a;\n".repeat(20_000);
    assert_eq!(script(&text).unwrap().len(), 20_000);
}
