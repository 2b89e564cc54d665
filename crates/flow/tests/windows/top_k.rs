//! The first rows of partitions.

use millstream_flow::{Datum, Node, OrderKey, Row, key};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::support::{Relation, circuit, col, history, minus, plus, row};

fn by(column: usize, descending: bool) -> OrderKey {
    OrderKey { value: col(column), descending, nulls_first: descending }
}

/// SQL-9.7, SQL-8.4: partitions, offsets, limits and ties, whatever comes and goes.
#[test]
fn tops_are_kept() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let descending = rng.random_bool(0.5);
        let offset = rng.random_range(0..4_u64);
        let limit = rng.random_bool(0.8).then(|| rng.random_range(0..5_u64));
        let with_ties = rng.random_bool(0.4);
        let node =
            Node::TopK { input: 0, partition: vec![col(0)], order: vec![by(1, descending)], offset, limit, with_ties };
        let random = |rng: &mut StdRng, id| {
            let order = if rng.random_bool(0.15) { Datum::Null } else { Datum::Int(rng.random_range(0..5)) };
            row![id; rng.random_range(0..2), order, rng.random_range(0..3)]
        };
        let oracle = |rows: &[Row]| {
            let mut out = Vec::new();
            for partition in 0..2 {
                let mut rows: Vec<&Row> = rows.iter().filter(|row| *row.value(0) == Datum::Int(partition)).collect();
                let order = |a: &Row, b: &Row| {
                    let order = key::compare(a.value(1), b.value(1));
                    if descending { order.reverse() } else { order }
                };
                rows.sort_by(|a, b| order(a, b).then_with(|| key::compare_all(&a.key, &b.key)));
                let rest = &rows[rows.len().min(offset as usize)..];
                let within = limit.map_or(rest.len(), |limit| rest.len().min(limit as usize));
                let ties = match (within, with_ties) {
                    (1.., true) => rest[within..].iter().take_while(|row| order(row, rest[within - 1]).is_eq()).count(),
                    _ => 0,
                };
                out.extend(rest[..within + ties].iter().map(|row| (*row).clone()));
            }
            out
        };
        let what = || format!("offset {offset}, limit {limit:?}, ties {with_ties}");
        history(seed, (25, 4, 14), circuit(1, node), random, oracle, what);
    }
}

/// SQL-14.6, E-24
#[test]
fn the_two_largest_amounts() {
    let node = Node::TopK {
        input: 0,
        partition: vec![],
        order: vec![by(0, true)],
        offset: 0,
        limit: Some(2),
        with_ties: false,
    };
    let mut circuit = circuit(1, node);
    let mut view = Relation::default();
    let rows = [(1, 10), (2, 30), (3, 20), (4, 5), (5, 30)];
    let first = rows.iter().map(|(id, amt)| plus(row![*id; *amt])).collect();
    view.apply(&circuit.step(vec![(0, first)], 0).unwrap().rows);
    assert_eq!(view.rows(), [row![2; 30], row![5; 30]]);
    let output = circuit.step(vec![(0, vec![plus(row![6; 40])])], 0).unwrap();
    assert_eq!(output.rows, [minus(row![5; 30]), plus(row![6; 40])]);
    let output = circuit.step(vec![(0, vec![minus(row![6; 40])])], 0).unwrap();
    assert_eq!(output.rows, [plus(row![5; 30]), minus(row![6; 40])]);
}

/// SQL-9.7, E-24: `DISTINCT ON (region) … ORDER BY region, amt DESC`.
#[test]
fn the_first_row_of_each_region() {
    let node = Node::TopK {
        input: 0,
        partition: vec![col(0)],
        order: vec![by(0, false), by(1, true)],
        offset: 0,
        limit: Some(1),
        with_ties: false,
    };
    let mut circuit = circuit(1, node);
    let mut view = Relation::default();
    let rows = [(1, "N", 10), (2, "N", 30), (3, "S", 20), (4, "S", 5), (5, "N", 30)];
    let first = rows.iter().map(|(id, region, amt)| plus(row![*id; *region, *amt])).collect();
    view.apply(&circuit.step(vec![(0, first)], 0).unwrap().rows);
    assert_eq!(view.rows(), [row![2; "N", 30], row![3; "S", 20]]);
}
