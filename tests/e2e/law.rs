//! The law of SQL over changes (SQL-1.2): whatever happens to the rows, what a view shows is what the query answers over the
//! rows as they are. A real PostgreSQL holds the same rows and is asked the same queries.

mod history;
mod queries;
mod view;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio_postgres::SimpleQueryMessage;

use crate::support::postgres::Postgres;
use history::Tables;
use view::View;

/// How many random queries a run makes, and how many batches of changes each of them follows.
const QUERIES: usize = 150;
const BATCHES: usize = 6;

/// Views over random queries follow random histories, and agree with PostgreSQL after every batch; the batch query over the
/// same rows agrees, too, in its order.
#[tokio::test]
async fn views_and_queries_agree_with_postgres() {
    let seed = std::env::var("LAW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count = std::env::var("LAW_QUERIES").ok().and_then(|count| count.parse().ok()).unwrap_or(QUERIES);
    let mut random = StdRng::seed_from_u64(seed);
    let postgres = Postgres::start();
    let client = postgres.connect().await;
    client.batch_execute(Tables::SCHEMA).await.expect("the tables");
    for number in 0..count {
        let mut tables = Tables::filled(&mut random, &client).await;
        let query = queries::random(&mut random);
        let mut view = View::start(&query, &tables);
        for batch in 0..=BATCHES {
            let expected = answer(&client, &query).await;
            let told = || format!("LAW_SEED={seed}, query {number}, batch {batch}:\n{query}\n{tables:?}");
            let mut rows = view.rows();
            let mut sorted = expected.clone();
            rows.sort();
            sorted.sort();
            assert_eq!(rows, sorted, "the view differs from PostgreSQL; {}", told());
            let mut once = View::query(&query, &tables);
            if !query.contains("ORDER BY _o") {
                once.sort();
                assert_eq!(once, sorted, "the batch query differs from PostgreSQL; {}", told());
            } else {
                assert_eq!(once, expected, "the batch query has another order than PostgreSQL; {}", told());
            }
            let changes = tables.change(&mut random, &client).await;
            view.follow(&changes);
        }
    }
}

/// PostgreSQL's answer, as text; numbers without needless zeros.
async fn answer(client: &tokio_postgres::Client, query: &str) -> Vec<Vec<Option<String>>> {
    let messages =
        client.simple_query(query).await.unwrap_or_else(|error| panic!("PostgreSQL refuses {query}: {error:?}"));
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(plain)).collect()),
        _ => None,
    });
    rows.collect()
}

/// `2.500` and `2.5` are one value.
fn plain(text: &str) -> String {
    let number = text.contains('.') && text.parse::<f64>().is_ok();
    if number { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}
