//! `millstream bench`: small figures of a real server, and what it leaves behind.

use bson::doc;
use serde_json::Value;

use crate::support::Server;
use crate::support::server::millstream;

const SMALL: &[&str] = &[
    "--seconds",
    "0.1",
    "--writes",
    "20",
    "--documents",
    "1000",
    "--watchers",
    "1,3",
    "--connections",
    "2",
    "--open",
    "5",
];

#[test]
fn every_case_gives_figures_and_nothing_is_left() {
    let server = Server::memory();
    let output = millstream().args(["bench", "--json", "--uri", &server.uri()]).args(SMALL).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for case in ["latency", "latency w=1", "throughput", "replay", "fanout idle 3", "fanout coll 3", "fanout own 3"] {
        assert!(figures.iter().any(|figure| figure["case"] == case), "{case} in\n{text}");
    }
    for case in ["transactions apart 2", "transactions hot 2", "transactions hot last 2"] {
        let committed = figures.iter().find(|figure| figure["case"] == case && figure["measure"] == "committed");
        let committed = committed.unwrap_or_else(|| panic!("{case} in\n{text}"));
        assert!(committed["median"].as_f64().is_some_and(|speed| speed > 0.0), "{committed}");
    }
    assert!(figures.iter().any(|figure| figure["case"] == "transactions open 5"), "{text}");
    for case in ["insert_one", "insert_many_100", "find_id", "update_inc", "delete_id", "range_100"] {
        let case = format!("crud {case} 2");
        let figure = figures.iter().find(|figure| figure["case"] == case.as_str()).unwrap_or_else(|| panic!("{case}"));
        assert!(figure["median"].as_f64().is_some_and(|speed| speed > 0.0), "{figure}");
    }
    assert!(figures.iter().all(|figure| figure["median"].is_number()), "{text}");
    assert!(!databases(&server).contains(&"millstream_bench".to_owned()));
}

#[test]
fn a_table_compares_servers_side_by_side() {
    let (one, two) = (Server::memory(), Server::memory());
    let mut command = millstream();
    command.args(["bench", "latency", "--uri", &one.uri(), "--uri", &two.uri()]);
    let output = command.args(["--label", "one", "--label", "two"]).args(SMALL).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let heading = text.lines().find(|line| line.contains("one")).unwrap_or_default();
    assert!(heading.contains("two"), "{text}");
    assert!(text.contains("event p50"), "{text}");
}

#[test]
fn a_database_that_was_there_is_not_touched() {
    let server = Server::memory();
    let mut connection = server.connect();
    connection.command("millstream_bench", doc! {"insert": "mine", "documents": [{"_id": 1}]}).unwrap();
    let run = |more: &[&str]| {
        millstream().args(["bench", "latency", "--uri", &server.uri()]).args(SMALL).args(more).output().unwrap()
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--force"));
    assert!(databases(&server).contains(&"millstream_bench".to_owned()));
    assert!(run(&["--force"]).status.success());
    assert!(!databases(&server).contains(&"millstream_bench".to_owned()));
}

const SMALL_SQL: &[&str] = &[
    "--changes",
    "200",
    "--rows",
    "200",
    "--customers",
    "10",
    "--rate",
    "200",
    "--seconds",
    "1",
    "--triggers",
    "20",
    "--state-mb",
    "1",
];

/// Every case on an engine of its own, and one on a server that is there and is left as it was.
#[test]
fn sql_is_measured_from_a_write_to_what_comes_of_it() {
    let server = Server::memory();
    let own = millstream().args(["bench", "sql", "--json"]).args(SMALL_SQL).output().unwrap();
    let there = ["bench", "sql", "group", "--json", "--uri", &server.uri()];
    let there = millstream().args(there).args(SMALL_SQL).output().unwrap();
    let wanted = [
        ("group", "mill"),
        ("group", "beside a writer"),
        ("group", "visible p50"),
        ("window", "mill"),
        ("join", "visible p99"),
        ("update", "visible p99"),
        ("trigger", "mill"),
        ("load", "documents"),
        ("restart", "until it shows a new change"),
    ];
    for (output, wanted) in [(own, wanted.as_slice()), (there, &wanted[..3])] {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let figures: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        for (case, measure) in wanted {
            let case = format!("sql {case}");
            let figure = figures.iter().find(|figure| figure["case"] == case && figure["measure"] == *measure);
            let figure = figure.unwrap_or_else(|| panic!("{case} {measure} in\n{text}"));
            assert!(figure["median"].as_f64().is_some_and(|value| value > 0.0), "{figure}");
        }
    }
    assert!(!databases(&server).contains(&"millstream_bench".to_owned()));
}

fn databases(server: &Server) -> Vec<String> {
    let reply = server.connect().command("admin", doc! {"listDatabases": 1, "nameOnly": true}).unwrap();
    let names = reply.get_array("databases").expect("databases").iter();
    names.filter_map(|found| Some(found.as_document()?.get_str("name").ok()?.to_owned())).collect()
}
