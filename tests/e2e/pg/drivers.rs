//! Drivers: tokio-postgres for the extended protocol, and the Python program of `examples/`.

use tokio_postgres::types::Type;

use super::Desk;
use crate::support::programs::Program;
use crate::support::root;

#[tokio::test]
async fn parameters_and_results_are_binary() {
    let desk = Desk::new();
    let client = desk.connect().await;
    let row = client
        .query_one(
            "SELECT $1::int + 1, $2::bigint, $3::float8, $4::text, $5::boolean, $6::bytea, $7::int IS NULL",
            &[&41_i32, &7_i64, &0.5_f64, &"x", &true, &b"\x00\xff".as_slice(), &None::<i32>],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i64>(1), row.get::<_, f64>(2)), (42, 7, 0.5));
    assert_eq!((row.get::<_, &str>(3), row.get::<_, bool>(4)), ("x", true));
    assert_eq!((row.get::<_, Vec<u8>>(5), row.get::<_, bool>(6)), (vec![0, 255], true));
    // SQL-4.10: a text takes the type of what it meets.
    let statement = client.prepare("SELECT _id::int FROM orders WHERE total > $1 ORDER BY 1 LIMIT $2").await.unwrap();
    assert_eq!(statement.params(), [Type::TEXT, Type::INT8]);
    let rows = client.query(&statement, &[&"15", &10_i64]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), [1, 3]);
    let written =
        client.execute("UPDATE orders SET total = $1::int WHERE _id = $2::int", &[&31_i32, &1_i32]).await.unwrap();
    assert_eq!(written, 1);
    let returned =
        client.query("INSERT INTO orders (_id, total) VALUES ($1, $2::int) RETURNING total::int", &[&"x", &5_i32]);
    assert_eq!(returned.await.unwrap()[0].get::<_, i32>(0), 5);
}

/// SQL-1.6
#[tokio::test]
async fn what_has_no_static_type_is_jsonb() {
    let desk = Desk::new();
    let client = desk.connect().await;
    let statement =
        client.prepare("SELECT customer, COUNT(*) AS orders, 'x' AS word FROM orders GROUP BY customer").await.unwrap();
    let types: Vec<&Type> = statement.columns().iter().map(|column| column.type_()).collect();
    assert_eq!(types, [&Type::JSONB, &Type::INT8, &Type::TEXT]);
    let all = client.prepare("SELECT * FROM orders").await.unwrap();
    let names: Vec<&str> = all.columns().iter().map(|column| column.name()).collect();
    assert_eq!(names, ["_id", "customer", "status", "total", "at", "tags", "address"]);
}

#[tokio::test]
async fn errors_and_transactions_of_the_extended_protocol() {
    let desk = Desk::new();
    let mut client = desk.connect().await;
    let error = client.query("SELECT nope FROM (SELECT 1 AS a) t", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42703");
    let error = client.query("SELECT 1; SELECT 2", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42601");
    // The connection goes on.
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t (_id) VALUES (1)", &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t (_id) VALUES (2)", &[]).await.unwrap();
    // A portal is read in parts.
    let statement = transaction.prepare("SELECT i::int FROM generate_series(1, 5) AS i").await.unwrap();
    let portal = transaction.bind(&statement, &[]).await.unwrap();
    let mut sizes = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 2).await.unwrap();
        sizes.push(rows.len());
        if rows.len() < 2 {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    transaction.commit().await.unwrap();
    let rows = client.query("SELECT _id::int FROM t", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_psycopg_program_uses_it_as_any_postgresql() {
    let desk = Desk::new();
    let mut command = std::process::Command::new(root().join(".venv/bin/python"));
    command.arg("-u").arg(root().join("examples/python-postgres/orders.py"));
    command.env("POSTGRES_URL", format!("postgresql://ann@127.0.0.1:{}/market", desk.port));
    let lines = Program::start("orders.py", &mut command).succeed();
    let expected =
        ["Ann spent 50", "Bob spent 12.5", "columns: _id, customer, total", "INSERT 7", "UPDATE 8", "DELETE 8"];
    assert_eq!(lines, expected);
}
