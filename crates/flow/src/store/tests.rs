//! State on disk, over restarts and crashes.

use std::collections::BTreeMap;
use std::ops::Bound;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

use super::{Sealed, Store, StoreOptions, Stores};
use crate::AggregateFunction as Function;
use crate::testing::{call, column, int, long, minus, plus};
use crate::{Change, Circuit, Error, Node};

/// What a store should show.
type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

fn stores(folder: &TempDir) -> Stores {
    Stores::open(folder.path(), 8 << 20).unwrap()
}

fn options() -> StoreOptions {
    // A cache so small that rows are read from the files, too.
    StoreOptions { fingerprint: b"one".to_vec(), cache_bytes: 1 << 10, flush: false, ..StoreOptions::default() }
}

fn circuit(store: Store) -> Result<Circuit, Error> {
    let calls = vec![call(Function::Count, vec![]), call(Function::Max, vec![column(1)])];
    let nodes =
        vec![Node::Source { source: 0 }, Node::Aggregate { input: 0, group: vec![column(0)], sets: None, calls }];
    Circuit::new(nodes, 1, store)
}

/// SQL-19.1: state and position come back together, whatever was done since the last commit.
#[test]
fn a_crash_goes_back_to_the_last_commit() {
    let folder = TempDir::new().unwrap();
    let row = |value: i32| [int(7), int(value)];
    {
        let mut circuit = circuit(stores(&folder).store("v", options()).unwrap()).unwrap();
        assert_eq!(circuit.position().unwrap(), None);
        circuit.step(vec![(0, vec![plus(1, &row(1)), plus(2, &row(2))])], 5).unwrap();
        circuit.commit(b"here").unwrap();
        circuit.step(vec![(0, vec![minus(2, &row(2)), plus(3, &row(9))])], 6).unwrap();
        assert_eq!(circuit.position().unwrap().as_deref(), Some(b"here".as_slice()));
    }
    let mut circuit = circuit(stores(&folder).store("v", options()).unwrap()).unwrap();
    assert_eq!(circuit.position().unwrap().as_deref(), Some(b"here".as_slice()));
    let output = circuit.step(vec![(0, vec![minus(2, &row(2)), plus(3, &row(9))])], 6).unwrap();
    let rows: Vec<_> = output.rows.iter().map(|change| (change.row.values.to_vec(), change.weight)).collect();
    assert_eq!(rows, [(vec![int(7), long(2), int(2)], -1), (vec![int(7), long(2), int(9)], 1)]);
    assert_eq!(circuit.stats()[1].rows, 3, "a group and two values");
}

#[test]
fn state_of_another_circuit_is_refused() {
    let folder = TempDir::new().unwrap();
    let stores = stores(&folder);
    let mut first = circuit(stores.store("v", options()).unwrap()).unwrap();
    first.step(vec![], 0).unwrap();
    first.commit(b"").unwrap();
    drop(first);
    let other = StoreOptions { fingerprint: b"two".to_vec(), ..options() };
    assert!(matches!(circuit(stores.store("v", other.clone()).unwrap()), Err(Error::OtherCircuit)));
    assert!(circuit(stores.store("v", options()).unwrap()).is_ok());
    assert_eq!(stores.names(), ["v"]);
    stores.remove("v").unwrap();
    assert!(circuit(stores.store("v", other).unwrap()).is_ok());
}

/// SQL-18.8: `max_state_bytes`.
#[test]
fn more_state_than_allowed_ends_the_run() {
    let folder = TempDir::new().unwrap();
    let limited = StoreOptions { limit_bytes: 2_000, ..options() };
    let mut circuit = circuit(stores(&folder).store("v", limited).unwrap()).unwrap();
    let rows = |from: i32, to: i32| -> Vec<Change> { (from..to).map(|id| plus(id, &[int(id), int(id)])).collect() };
    circuit.step(vec![(0, rows(0, 10))], 0).unwrap();
    let error = circuit.step(vec![(0, rows(10, 100))], 0).unwrap_err();
    assert!(matches!(error, Error::StateLimit { limit_bytes: 2_000 }));
}

/// Whatever is put, removed, committed and lost, a store shows what an ordered map shows.
#[test]
fn a_store_is_an_ordered_map() {
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let folder = TempDir::new().unwrap();
        let mut store = stores(&folder).store("v", options()).unwrap();
        let mut now = Contents::new();
        let mut committed = now.clone();
        let mut sealed: Option<(Sealed, Contents)> = None;
        for _ in 0..600 {
            let key = random.random_range(0..60_u8).to_be_bytes();
            match random.random_range(0..40) {
                0 if sealed.is_none() => {
                    store.commit(b"").unwrap();
                    committed.clone_from(&now);
                }
                1 => {
                    // What was sealed and not written is lost, too.
                    drop((store, sealed.take()));
                    store = stores(&folder).store("v", options()).unwrap();
                    now.clone_from(&committed);
                }
                2 if sealed.is_none() => sealed = Some((store.seal().unwrap(), now.clone())),
                3 => {
                    if let Some((written, before)) = sealed.take() {
                        let written = written.write(b"sealed".to_vec()).unwrap();
                        committed = before;
                        if random.random::<bool>() {
                            store.settle(written);
                            assert_eq!(store.position(), Some(b"sealed".as_slice()));
                        } else {
                            // A crash between the two.
                            drop(store);
                            store = stores(&folder).store("v", options()).unwrap();
                            assert_eq!(store.position(), Some(b"sealed".as_slice()));
                            now.clone_from(&committed);
                        }
                    }
                }
                4..15 => {
                    store.state(3).unwrap().remove(&key).unwrap();
                    now.remove(key.as_slice());
                }
                15..20 => {
                    let old = now.remove(key.as_slice()).map(|value| value.len());
                    store.state(3).unwrap().replace(&key, old, None).unwrap();
                }
                kind => {
                    let value = vec![random.random::<u8>(); random.random_range(0..40)];
                    let old = now.insert(key.to_vec(), value.clone()).map(|value| value.len());
                    let mut state = store.state(3).unwrap();
                    match kind {
                        20..30 => state.replace(&key, old, Some(value.into())).unwrap(),
                        _ => state.put(&key, value).unwrap(),
                    }
                }
            }
            let bytes: usize = now.iter().map(|(key, value)| key.len() + value.len()).sum();
            let stats = store.stats(4)[3];
            assert_eq!((stats.rows, stats.bytes), (now.len() as u64, bytes as u64), "seed {seed}");
            let probe = [random.random_range(0..60_u8)];
            let state = store.state(3).unwrap();
            assert_eq!(state.get(&probe).unwrap().as_deref(), now.get(probe.as_slice()).map(Vec::as_slice));
            let from = Bound::Excluded(probe.as_slice());
            let mut entries = state.range(from, Bound::Unbounded).map(|entry| {
                let (key, value) = entry.unwrap();
                (key.to_vec(), value.to_vec())
            });
            let mut want =
                now.range::<[u8], _>((from, Bound::Unbounded)).map(|(key, value)| (key.clone(), value.clone()));
            loop {
                let (got, wanted) = match random.random::<bool>() {
                    true => (entries.next(), want.next()),
                    false => (entries.next_back(), want.next_back()),
                };
                assert_eq!(got, wanted, "seed {seed}");
                if got.is_none() {
                    break;
                }
            }
        }
    }
}
