//! The worked applications of `examples/rust-applications`, each run as its users would, with what it needs.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures::TryStreamExt;
use millstream_watch::Connection;
use mongodb::{Collection, Database};

use crate::support::programs::{Program, rust_example};
use crate::support::{Postgres, Redis, Server};

const WAIT_MAX: Duration = Duration::from_secs(30);

async fn shop(server: &Server) -> Database {
    Connection::new(&server.uri()).await.unwrap().client().database("shop")
}

/// Starts an application and waits until it sees changes.
fn start(server: &Server, name: &str, more: &[&str]) -> Program {
    let mut arguments = vec![name, "--uri"];
    let uri = server.uri();
    arguments.push(&uri);
    arguments.extend(more);
    let mut program = rust_example(&uri, "applications", &arguments);
    program.wait_for_error_line("watching");
    program
}

async fn all(collection: Collection<Document>) -> Vec<Document> {
    collection.find(doc! {}).sort(doc! {"_id": 1}).await.unwrap().try_collect().await.unwrap()
}

async fn set(collection: &Collection<Document>, id: i32, fields: Document) {
    let changed = collection.update_one(doc! {"_id": id}, doc! {"$set": fields}).await.unwrap();
    assert_eq!(changed.matched_count, 1);
}

/// Until it is so, or for a time that a busy machine does not need.
macro_rules! until {
    ($what:expr) => {
        let began = Instant::now();
        while !$what {
            assert!(began.elapsed() < WAIT_MAX, "waited in vain: {}", stringify!($what));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_log() {
    let server = Server::memory();
    let shop = shop(&server).await;
    let mut program = start(&server, "audit-log", &[]);
    let customers = shop.collection::<Document>("customers");
    customers.insert_one(doc! {"_id": 1, "name": "Anna"}).await.unwrap();
    set(&customers, 1, doc! {"name": "Anne"}).await;
    // Killed in between: it goes on behind its last row.
    program.child.kill().unwrap();
    customers.delete_one(doc! {"_id": 1}).await.unwrap();
    shop.collection("orders").insert_one(doc! {"_id": 7}).await.unwrap();
    let _program = start(&server, "audit-log", &[]);
    let audit = shop.collection::<Document>("audit");
    until!(audit.count_documents(doc! {}).await.unwrap() >= 4);
    let rows = all(audit).await;
    let what: Vec<_> = rows.iter().map(|row| row.get_str("what").unwrap()).collect();
    assert_eq!(what, ["insert", "update", "delete", "insert"]);
    assert_eq!(rows[1].get_document("before").unwrap(), &doc! {"_id": 1, "name": "Anna"});
    assert_eq!(rows[1].get_document("after").unwrap(), &doc! {"_id": 1, "name": "Anne"});
    assert_eq!(rows[2].get_document("before").unwrap(), &doc! {"_id": 1, "name": "Anne"});
    assert_eq!(rows[3].get_document("where").unwrap(), &doc! {"db": "shop", "coll": "orders"});
    assert!(rows.iter().all(|row| row.get_datetime("at").is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_invalidation() {
    let (server, redis) = (Server::memory(), Redis::start());
    let products = shop(&server).await.collection::<Document>("products");
    products.insert_many((1..=3).map(|id| doc! {"_id": id, "price": 10})).await.unwrap();
    let mut cache = redis.connect().await;
    for id in 1..=3 {
        redis::cmd("SET").arg(format!("product:{id}")).arg("cached").exec_async(&mut cache).await.unwrap();
    }
    let mut program = start(&server, "cache-invalidation", &["--redis", &redis.uri()]);
    set(&products, 1, doc! {"price": 12}).await;
    products.delete_one(doc! {"_id": 3}).await.unwrap();
    let forgotten = BTreeSet::from([program.must_line(), program.must_line()]);
    assert_eq!(forgotten, BTreeSet::from(["forgot product:1".to_owned(), "forgot product:3".to_owned()]));
    let mut left: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut cache).await.unwrap();
    left.sort();
    assert_eq!(left, ["change_stream_tokens:cache-invalidation", "product:2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn critical_data() {
    let server = Server::memory();
    let shop = shop(&server).await;
    let payment = |number: &str, cents: i64| doc! {"_id": number, "account": "anna", "cents": cents};
    let mut program = start(&server, "critical-data", &[]);
    let payments = shop.collection("payments");
    // One is in the ledger already, as after a crash; one is nonsense.
    shop.collection("ledger").insert_one(payment("p2", 200)).await.unwrap();
    payments.insert_many([payment("p1", 100), payment("p2", 200), payment("p3", -5)]).await.unwrap();
    payments.insert_one(doc! {"_id": "p4", "cents": 7_i64}).await.unwrap();
    payments.insert_one(payment("p5", 500)).await.unwrap();
    let lines = [program.must_line(), program.must_line(), program.must_line()];
    assert_eq!(lines, ["entered p1 of anna", "p2 is there already", "entered p5 of anna"]);
    let ledger: Vec<_> = all(shop.collection("ledger")).await;
    assert_eq!(ledger, [payment("p1", 100), payment("p2", 200), payment("p5", 500)]);
    let letters = all(shop.collection("dead_letters")).await;
    let errors: Vec<_> = letters.iter().map(|letter| letter.get_str("error").unwrap()).collect();
    assert!(errors.len() == 2 && errors[0] == "a payment of -5 cents" && errors[1].contains("account"), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_alerts() {
    let server = Server::memory();
    let shop = shop(&server).await;
    let mut program = start(&server, "inventory-alerts", &[]);
    let products = shop.collection::<Document>("products");
    products.insert_one(doc! {"_id": 1, "name": "lamp", "stock": 20, "reorder_at": 10}).await.unwrap();
    for stock in [15, 9, 8, 5, 0, 30, 100] {
        set(&products, 1, doc! {"stock": stock}).await;
    }
    let expected = [
        "low stock: lamp (15 -> 9)",
        "out of stock: lamp (5 -> 0)",
        "unusual change: lamp (5 -> 0)",
        "unusual change: lamp (30 -> 100)",
    ];
    assert_eq!([(); 4].map(|()| program.must_line()), expected);
    until!(shop.collection::<Document>("alerts").count_documents(doc! {}).await.unwrap() == 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_notifications() {
    let server = Server::memory();
    let orders = shop(&server).await.collection::<Document>("orders");
    let mut program = start(&server, "live-notifications", &["--listen", "127.0.0.1:0"]);
    let address = program.must_line().replace("listening at ", "");
    let visit = |name: &str| {
        let mut visitor = TcpStream::connect(&address).unwrap();
        writeln!(visitor, "{name}").unwrap();
        let mut lines = BufReader::new(visitor).lines().map(Result::unwrap);
        assert_eq!(lines.next(), Some(format!("hello {name}")));
        lines
    };
    let (anna, ben) = (visit("anna"), visit("ben"));
    orders.insert_one(doc! {"_id": 1, "customer": "anna", "status": "new"}).await.unwrap();
    orders.insert_one(doc! {"_id": 2, "customer": "ben", "status": "new"}).await.unwrap();
    set(&orders, 1, doc! {"status": "shipped"}).await;
    assert_eq!(ben.take(1).collect::<Vec<_>>(), ["order 2 is new"]);
    let heard: Vec<_> = anna.take(2).collect();
    // What is told is the order as it is by then.
    assert_eq!(heard.last().map(String::as_str), Some("order 1 is shipped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn order_processing() {
    let server = Server::memory();
    let orders = shop(&server).await.collection::<Document>("orders");
    let mut program = start(&server, "order-processing", &[]);
    let order =
        |id: i32, cents: i64, express: bool| doc! {"_id": id, "status": "new", "cents": cents, "express": express};
    orders.insert_many([order(1, 500, false), order(2, 20_000, false), order(3, 100, true)]).await.unwrap();
    let lines: Vec<String> = (0..9).map(|_| program.must_line()).collect();
    let of = |action: &str| -> Vec<&str> {
        lines.iter().filter(|line| line.starts_with(action)).map(|line| line.as_str()).collect()
    };
    // They came together, so the most urgent was charged first.
    assert_eq!(
        of("charge"),
        ["charge order 3 (priority 3)", "charge order 2 (priority 1)", "charge order 1 (priority 0)"]
    );
    assert_eq!((of("pack").len(), of("follow").len()), (3, 3));
    assert!(all(orders).await.iter().all(|order| order.get_str("status").is_ok_and(|status| status == "delivered")));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_copy() {
    let (server, postgres) = (Server::memory(), Postgres::start());
    let customers = shop(&server).await.collection::<Document>("customers");
    // Two are there before it begins.
    customers.insert_many([doc! {"_id": 1, "name": "Anna"}, doc! {"_id": 2, "name": "Ben"}]).await.unwrap();
    let flags = ["--postgres", &postgres.uri()];
    let mut program = start(&server, "postgres-copy", &flags);
    let client = postgres.connect().await;
    let changes = || async { client.query_one("SELECT changes FROM copied", &[]).await.unwrap().get::<_, i64>(0) };
    until!(changes().await >= 2);
    customers.insert_one(doc! {"_id": 3, "name": "Cleo", "email": "cleo@example.com"}).await.unwrap();
    set(&customers, 1, doc! {"email": "anna@example.com"}).await;
    program.child.kill().unwrap();
    customers.delete_one(doc! {"_id": 2}).await.unwrap();
    let _program = start(&server, "postgres-copy", &flags);
    until!(changes().await >= 5);
    assert_eq!(changes().await, 5);
    let rows = client.query("SELECT id, name, email FROM customers ORDER BY id", &[]).await.unwrap();
    let rows: Vec<(i32, String, Option<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let email = |text: &str| Some(text.to_owned());
    let expected =
        [(1, "Anna".to_owned(), email("anna@example.com")), (3, "Cleo".to_owned(), email("cleo@example.com"))];
    assert_eq!(rows, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn search_index() {
    let server = Server::memory();
    let shop = shop(&server).await;
    let mut program = start(&server, "search-index", &[]);
    let products = shop.collection::<Document>("products");
    products.insert_many((0..50).map(|id| doc! {"_id": id, "name": "Lamp"})).await.unwrap();
    for n in 0..50 {
        set(&products, 7, doc! {"name": format!("Desk Lamp {n}")}).await;
    }
    let (mut changes, mut written) = (0, 0);
    while changes < 100 {
        let line = program.must_line();
        let numbers: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        changes += numbers[0];
        written += numbers[1];
    }
    assert_eq!(changes, 100);
    assert!((50..100).contains(&written), "{written}");
    let index = all(shop.collection("search_index")).await;
    assert_eq!(index.len(), 50);
    assert_eq!(index[7], doc! {"_id": 7, "name": "Desk Lamp 49", "words": ["desk", "lamp", "49"]});
}

#[tokio::test(flavor = "multi_thread")]
async fn workflow() {
    let server = Server::memory();
    let shop = shop(&server).await;
    let mut program = start(&server, "workflow", &[]);
    shop.collection("orders").insert_one(doc! {"_id": 1, "item": "lamp"}).await.unwrap();
    assert_eq!(program.must_line(), "order 1: payments due");
    set(&shop.collection("payments"), 1, doc! {"status": "paid"}).await;
    assert_eq!(program.must_line(), "order 1: shipments packing");
    set(&shop.collection("shipments"), 1, doc! {"status": "arrived"}).await;
    assert_eq!(program.must_line(), "order 1: complete");
    let orders = all(shop.collection("orders")).await;
    assert_eq!(orders, [doc! {"_id": 1, "item": "lamp", "status": "complete"}]);
}
