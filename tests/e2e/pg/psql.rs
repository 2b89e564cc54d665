//! psql: statements, errors, transactions, and the backslash commands, which run as queries.

use super::Desk;

/// SQL-1.6, SQL-4.2: columns with a static type have it, others are jsonb.
#[test]
fn statements_answer_as_postgresql_does() {
    let desk = Desk::new();
    let table = desk.run(&[
        "SELECT customer, COUNT(*) AS orders, SUM(total) AS spent FROM orders GROUP BY customer ORDER BY customer",
    ]);
    let expected = " customer | orders | spent 
----------+--------+-------
 \"Ann\"    |      2 | 50
 \"Bob\"    |      1 | 12.5
(2 rows)

";
    assert_eq!(table, expected);
    let values = "SELECT 1, 2.50, 'x', true, NULL::text, DATE '2025-09-05', TIMESTAMPTZ '2025-09-05 10:00:00.25+00', INTERVAL '1 day 2 hours', '{\"a\": [1]}'::jsonb, '\\x00ff'::bytea, TIME '10:00', 1e20::float8";
    let row = desk.run(&["\\pset format unaligned", "\\t on", values]);
    assert!(
        row.ends_with(
            "1|2.5|x|t||2025-09-05|2025-09-05 10:00:00.25+00|1 day 02:00:00|{\"a\": [1]}|\\x00ff|10:00:00|1e+20\n"
        ),
        "{row}"
    );
    let all = desk.run(&["SELECT * FROM orders ORDER BY _id LIMIT 1"]);
    assert!(all.contains(" _id | customer | status | total |               at               "), "{all}");
    assert!(all.contains("\"2025-09-05T10:00:00.25+00:00\""), "{all}");
    let writes = desk.run(&[
        "INSERT INTO orders (_id, customer, total) VALUES (4, 'Cleo', 7), (5, 'Dan', 8)",
        "UPDATE orders SET total = 9 WHERE _id = 4 RETURNING _id, total::int AS total",
        "DELETE FROM orders WHERE _id > 3",
        "CREATE MATERIALIZED VIEW spent AS SELECT customer, COUNT(*) AS orders FROM orders GROUP BY customer",
    ]);
    let expected = "\
INSERT 0 2
 _id | total 
-----+-------
 4   |     9
(1 row)

UPDATE 1
DELETE 2
CREATE MATERIALIZED VIEW
";
    assert_eq!(writes, expected);
}

#[test]
fn several_statements_come_in_one_message() {
    let desk = Desk::new();
    let shown = desk.run(&["SELECT 1 AS a; ; INSERT INTO t (_id) VALUES (1); SELECT 2 AS b"]);
    assert_eq!(shown, " a \n---\n 1\n(1 row)\n\nINSERT 0 1\n b \n---\n 2\n(1 row)\n\n");
    let output = desk.output(&["SELECT 1; SELECT nope FROM (SELECT 1 AS a) t; INSERT INTO t (_id) VALUES (2)"]);
    assert!(!output.status.success());
    assert_eq!(desk.run(&["\\t on", "SELECT COUNT(*) FROM t"]).lines().last().unwrap_or_default().trim(), "");
    assert!(desk.run(&["SELECT COUNT(*) FROM t"]).contains("     1\n"));
}

#[test]
fn errors_have_their_class_their_place_and_a_way_out() {
    let desk = Desk::new();
    let output = desk.output(&["SELECT total,\n  nam FROM (SELECT 1 AS total, 2 AS name) t"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("ERROR:  42703: column \"nam\" does not exist"), "{errors}");
    assert!(errors.contains("HINT:  did you mean \"name\"?"), "{errors}");
    let output = desk.output(&["SELECT 1 +\n  * 2"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("ERROR:  42601:") && errors.contains("LINE 2:   * 2\n          ^"), "{errors}");
    let output = desk.output(&["SELECT * FROM ordes"]);
    let notices = String::from_utf8(output.stderr).unwrap();
    assert!(notices.contains("WARNING:  01000: table \"shop.ordes\" does not exist"), "{notices}");
    assert!(notices.contains("HINT:  did you mean \"orders\"?"), "{notices}");
}

#[test]
fn transactions_have_a_state() {
    let desk = Desk::new();
    let prompt = ["\\set PROMPT1 '%x>'", "BEGIN", "\\echo :ERROR"];
    assert_eq!(desk.run(&prompt), "BEGIN\nfalse\n");
    let mut psql = desk.psql();
    psql.args([
        "-c",
        "BEGIN",
        "-c",
        "INSERT INTO t (_id) VALUES (1)",
        "-c",
        "SELECT 1/0",
        "-c",
        "SELECT 1",
        "-c",
        "COMMIT",
    ]);
    let output = psql.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text, "BEGIN\nINSERT 0 1\nROLLBACK\n");
    assert!(errors.contains("22012") && errors.contains("25P02"), "{errors}");
    let committed = desk.run(&[
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "INSERT INTO t (_id) VALUES (2)",
        "COMMIT",
        "SELECT _id FROM t",
    ]);
    assert_eq!(committed, "BEGIN\nINSERT 0 1\nCOMMIT\n _id \n-----\n 2\n(1 row)\n\n");
}

#[test]
fn the_backslash_commands_list_what_there_is() {
    let desk = Desk::new();
    desk.run(&[
        "CREATE UNIQUE INDEX email_key ON people (email)",
        "INSERT INTO people (_id, name) VALUES (1, 'Ann')",
        "CREATE INDEX by_customer ON orders (customer, total DESC)",
        "CREATE VIEW paid AS SELECT _id, customer FROM orders WHERE status = 'paid'",
        "CREATE MATERIALIZED VIEW spent AS SELECT customer, COUNT(*) AS orders FROM orders GROUP BY customer",
        "CREATE FUNCTION twice(x int) RETURNS int LANGUAGE SQL IMMUTABLE AS 'SELECT x * 2'",
    ]);
    let tables = desk.run(&["\\dt"]);
    let expected = "          List of relations
 Schema |  Name  | Type  |   Owner    
--------+--------+-------+------------
 shop   | orders | table | millstream
 shop   | people | table | millstream
(2 rows)

";
    assert_eq!(tables, expected);
    assert!(desk.run(&["\\dv"]).contains(" shop   | paid | view | millstream\n(1 row)"));
    assert!(desk.run(&["\\dm"]).contains(" shop   | spent | materialized view | millstream\n(1 row)"));
    let indexes = desk.run(&["\\di"]);
    assert!(indexes.contains("| by_customer ") && indexes.contains("| people_pkey "), "{indexes}");
    let everything = desk.run(&["\\d"]);
    assert!(["orders", "people", "paid", "spent"].iter().all(|name| everything.contains(name)), "{everything}");
    let orders = desk.run(&["\\d orders"]);
    for line in [
        "                        Table \"shop.orders\"",
        " _id      | integer                  |           | not null | ",
        " customer | text                     |           |          | ",
        " total    | double precision         |           |          | ",
        " at       | timestamp with time zone |           |          | ",
        " tags     | jsonb                    |           |          | ",
        "    \"orders_pkey\" PRIMARY KEY, btree (_id)",
        "    \"by_customer\" btree (customer, total DESC)",
    ] {
        assert!(orders.contains(line), "{line}\n{orders}");
    }
    let people = desk.run(&["\\d people"]);
    assert!(people.contains(" name   | text    | "), "{people}");
    assert!(people.contains("\"email_key\" UNIQUE"), "{people}");
    let spent = desk.run(&["\\d spent"]);
    assert!(spent.contains("Materialized view \"shop.spent\""), "{spent}");
    assert!(spent.contains(" orders   | bigint | "), "{spent}");
    let paid = desk.run(&["\\d+ paid"]);
    assert!(paid.contains("View definition:\n SELECT _id, customer FROM orders"), "{paid}");
    let routines = desk.run(&["\\df"]);
    assert!(routines.contains(" shop   | twice | "), "{routines}");
    assert!(desk.run(&["\\l"]).contains(" shop "), "databases");
    assert!(desk.run(&["\\dn"]).contains(" shop | millstream"), "schemas");
    for empty in ["\\du", "\\dT", "\\dx", "\\dD", "\\db", "\\dS orders"] {
        desk.run(&[empty]);
    }
    assert!(desk.output(&["\\d nothing"]).stderr.starts_with(b"Did not find any relation named \"nothing\"."));
}

/// What psql asks when somebody presses Tab.
#[test]
fn tab_completion_finds_names() {
    let desk = Desk::new();
    let tables = "SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c \
         WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND (pg_catalog.quote_ident(c.relname)) LIKE 'or%' \
         AND pg_catalog.pg_table_is_visible(c.oid) \
         AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog') \
         UNION ALL SELECT pg_catalog.quote_ident(n.nspname) || '.' FROM pg_catalog.pg_namespace n \
         WHERE pg_catalog.quote_ident(n.nspname) || '.' LIKE 'or%' \
         AND (SELECT pg_catalog.count(*) FROM pg_catalog.pg_namespace \
              WHERE pg_catalog.substring(pg_catalog.quote_ident(nspname) || '.',1,2) = \
                    pg_catalog.substring('or',1,pg_catalog.length(pg_catalog.quote_ident(nspname))+1)) > 1 LIMIT 1000";
    assert!(desk.run(&[tables]).contains("\n orders\n(1 row)"));
    let columns = "SELECT attname FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c \
         WHERE c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attname) LIKE 'cust%' \
         AND c.relname = 'orders' AND pg_catalog.pg_table_is_visible(c.oid) LIMIT 1000";
    assert!(desk.run(&[columns]).contains("\n customer\n(1 row)"));
}
