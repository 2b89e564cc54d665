//! The law (SQL-1.2): whatever the history, the sum of all that a circuit has put out is what it would put out for the sum
//! of its inputs at once. Random circuits over random histories: inserts, updates, deletes, NULLs, mixed types, rows that
//! fail, batches of any size, restarts, and crashes that go back to the last commit.

mod plan;

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

use self::plan::{SOURCES, WIDTH, plan};
use crate::testing::{Sum, dec, int, long, row, text};
use crate::{Change, Circuit, Datum, Delta, Store, StoreOptions, Stores};

/// What a source holds: columns by key.
type Table = BTreeMap<i32, Vec<Datum>>;

fn value(random: &mut StdRng) -> Datum {
    let number = random.random_range(0..4);
    match random.random_range(0..14) {
        0 => Datum::Null,
        1 => Datum::Missing,
        2 => text(if number == 0 { "bad" } else { "x" }),
        3 => long(i64::from(number)),
        4 => Datum::Double(f64::from(number)),
        5 => Datum::Double(f64::from(number) + 0.1),
        6 => dec(&format!("{number}.10")),
        7 => dec(&format!("{number}.0")),
        8 => Datum::Double([1e300, -1e300, f64::INFINITY, f64::NAN][usize::try_from(number).unwrap()]),
        _ => int(number),
    }
}

/// Some changes of a table, which it has made afterwards. A row may change several times.
fn batch(table: &mut Table, random: &mut StdRng) -> Delta {
    let mut delta = Delta::new();
    for _ in 0..random.random_range(0..7) {
        let id = random.random_range(0..12);
        let old = table.remove(&id);
        delta.extend(old.iter().map(|values| Change { row: row(id, values), weight: -1 }));
        if random.random_range(0..3) > 0 {
            let mut values: Vec<Datum> = (0..WIDTH).map(|_| value(random)).collect();
            // Often only one column changes.
            if let Some(mut old) = old.filter(|_| random.random::<bool>()) {
                old[0] = values.swap_remove(0);
                values = old;
            }
            delta.push(Change { row: row(id, &values), weight: 1 });
            table.insert(id, values);
        }
    }
    // The order within a batch does not matter.
    if random.random::<bool>() {
        delta.reverse();
    }
    delta
}

fn circuit(seed: u64, store: Store) -> Circuit {
    let (nodes, output) = plan(seed);
    Circuit::new(nodes, output, store).unwrap()
}

/// What the circuit answers for these tables at once.
fn at_once(seed: u64, tables: &[Table]) -> Sum {
    let inputs = tables.iter().enumerate().map(|(source, table)| {
        (source, table.iter().map(|(id, values)| Change { row: row(*id, values), weight: 1 }).collect())
    });
    let mut sum = Sum::default();
    sum.apply(&circuit(seed, Store::memory()).step(inputs.collect(), 0).unwrap());
    sum
}

/// Runs one history.
fn run(seed: u64, on_disk: bool) {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5EED);
    let folder = TempDir::new().unwrap();
    let open = || {
        if !on_disk {
            return Store::memory();
        }
        let options = StoreOptions { cache_bytes: 4 << 10, flush: false, ..StoreOptions::default() };
        Stores::open(folder.path(), 1 << 20).unwrap().store("v", options).unwrap()
    };
    let mut tables = vec![Table::new(); SOURCES];
    let mut running = circuit(seed, open());
    let mut sum = Sum::default();
    let mut committed = (tables.clone(), sum.clone());
    // What is on its way to the files while steps are made.
    let mut sealed = None;
    for step in 0..random.random_range(6..25) {
        let inputs: Vec<_> = tables.iter_mut().map(|table| batch(table, &mut random)).enumerate().collect();
        let output = running.step(inputs, 0).unwrap();
        for (at, change) in output.rows.iter().enumerate() {
            let again = output.rows.iter().skip(at + 1).any(|other| other.row == change.row);
            assert!(!again, "seed {seed}: a row is put out twice: {change:?}");
        }
        sum.apply(&output);
        let want = at_once(seed, &tables);
        assert!(sum == want, "seed {seed}, step {step}: {}", sum.difference(&want));
        if on_disk {
            match random.random_range(0..8) {
                0 if sealed.is_none() => {
                    running.commit(b"").unwrap();
                    committed = (tables.clone(), sum.clone());
                }
                1 => {
                    // A crash: everything since the last commit comes again.
                    drop((running, sealed.take()));
                    running = circuit(seed, open());
                    (tables, sum) = committed.clone();
                }
                2 if sealed.is_none() => sealed = Some((running.seal().unwrap(), (tables.clone(), sum.clone()))),
                3 => {
                    if let Some((state, then)) = sealed.take() {
                        running.settle(state.write(Vec::new()).unwrap());
                        committed = then;
                    }
                }
                _ => {}
            }
        }
    }
    let left_over = running.step(
        tables
            .iter()
            .map(|table| table.iter().map(|(id, values)| Change { row: row(*id, values), weight: -1 }).collect())
            .enumerate()
            .collect(),
        0,
    );
    sum.apply(&left_over.unwrap());
    assert_eq!(sum, at_once(seed, &vec![Table::new(); SOURCES]), "seed {seed}: nothing is left of what has gone");
    if let Some((state, _)) = sealed {
        running.settle(state.write(Vec::new()).unwrap());
    }
    let (fresh, mut emptied) = (circuit(seed, Store::memory()), running);
    let mut fresh = fresh;
    fresh.step(vec![], 0).unwrap();
    emptied.commit(b"").unwrap();
    fresh.commit(b"").unwrap();
    let rows = |circuit: &Circuit| circuit.stats().iter().map(|stats| stats.rows).collect::<Vec<_>>();
    assert_eq!(rows(&emptied), rows(&fresh), "seed {seed}: state is left of what has gone");
}

/// SQL-1.2, SQL-19.3
#[test]
fn differences_add_up_in_memory() {
    (0..200).for_each(|seed| run(seed, false));
}

/// SQL-1.2, SQL-19.1
#[test]
fn differences_add_up_over_restarts_and_crashes() {
    (1_000..1_040).for_each(|seed| run(seed, true));
}
