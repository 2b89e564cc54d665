//! `information_schema` and `pg_catalog` as tables, and what dashboards ask of them.

use super::Desk;

fn strings(rows: &[tokio_postgres::Row]) -> Vec<Vec<String>> {
    let row = |row: &tokio_postgres::Row| (0..row.len()).map(|at| row.get::<_, String>(at)).collect();
    rows.iter().map(row).collect()
}

/// The queries of Grafana's PostgreSQL data source, as they are sent.
#[tokio::test]
async fn grafana_finds_tables_and_columns() {
    let desk = Desk::new();
    let client = desk.connect().await;
    let version =
        client.query_one("SELECT current_setting('server_version_num')::int/100 as version", &[]).await.unwrap();
    assert_eq!(version.get::<_, i32>("version"), 1500);
    let timescale =
        client.query("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'", &[]).await.unwrap();
    assert!(timescale.is_empty());
    let path = "quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )";
    let tables = format!(
        "SELECT
    CASE WHEN
          {path}
      THEN quote_ident(table_name)
      ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
    END AS \"table\"
    FROM information_schema.tables
    WHERE quote_ident(table_schema) NOT IN ('information_schema',
                             'pg_catalog',
                             '_timescaledb_cache',
                             '_timescaledb_catalog',
                             '_timescaledb_internal',
                             '_timescaledb_config',
                             'timescaledb_information',
                             'timescaledb_experimental')
    ORDER BY CASE WHEN {path} THEN 0 ELSE 1 END, 1"
    );
    assert_eq!(strings(&client.query(&tables, &[]).await.unwrap()), [["orders"]]);
    let columns = format!(
        "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\"
    FROM information_schema.columns
    WHERE
      CASE WHEN array_length(parse_ident('orders'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('orders'))[1]
          AND quote_ident(table_name) = (parse_ident('orders'))[2]
        ELSE quote_ident(table_name) = 'orders'
          AND {path}
      END"
    );
    let columns = strings(&client.query(&columns, &[]).await.unwrap());
    for known in [["customer", "text"], ["at", "timestamp with time zone"], ["total", "double precision"]] {
        assert!(columns.contains(&known.map(str::to_owned).to_vec()), "{columns:?}");
    }
    for setting in ["server_version_num", "server_version", "search_path", "TimeZone", "standard_conforming_strings"] {
        let shown = client.simple_query(&format!("SHOW {setting}")).await.unwrap();
        assert!(!shown.is_empty(), "{setting}");
    }
}

/// What its panels send once `$__timeFilter` and the like are filled in.
#[tokio::test]
async fn grafana_reads_points_in_time() {
    let desk = Desk::new();
    let client = desk.connect().await;
    let points = "SELECT floor(extract(epoch from at)/3600)*3600 AS \"time\", customer #>> '{}' AS metric, SUM(total)::float8 AS value \
         FROM orders WHERE at BETWEEN '2025-09-05T00:00:00Z' AND '2025-09-06T00:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2";
    let points = points.replace("customer #>> '{}'", "customer::text");
    let rows = client.simple_query(&points).await.unwrap();
    let row = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.expect("a row");
    assert_eq!((row.get("metric"), row.get("value")), (Some("Ann"), Some("30")));
    let times = "SELECT at::timestamptz AS time, total::float8 AS value FROM orders WHERE at >= '2025-09-05T10:00:00Z' AND at <= '2025-09-05T11:00:00Z'";
    let rows = client.query(times, &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].columns()[0].type_().name(), "timestamptz");
    assert_eq!(rows[0].get::<_, f64>("value"), 30.0);
}

#[tokio::test]
async fn the_catalogue_can_be_joined_and_not_written() {
    let desk = Desk::new();
    let client = desk.connect().await;
    let joined = client
        .query(
            "SELECT c.relname, COUNT(*) AS columns FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.oid = 'orders'::regclass GROUP BY c.relname",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((joined[0].get::<_, String>(0), joined[0].get::<_, i64>(1)), ("orders".to_owned(), 7));
    let session =
        client.query_one("SELECT current_database(), current_schema(), current_user, version()", &[]).await.unwrap();
    assert_eq!([0, 1, 2].map(|at| session.get::<_, String>(at)), ["shop", "shop", "ann"]);
    assert!(session.get::<_, String>(3).contains("Millstream"));
    let refused = client.batch_execute("INSERT INTO pg_catalog.pg_class (oid) VALUES (1)").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42809");
    let refused = client.batch_execute("CREATE MATERIALIZED VIEW v AS SELECT relname FROM pg_catalog.pg_class").await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "0A000");
}
