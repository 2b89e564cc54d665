//! Netting: what comes and goes in one difference was never there.

use crate::{Change, Delta, Failure, key};

/// Nets a difference: afterwards it holds, for each key, the rows that go and then the rows that come. A difference in which
/// nothing goes stays as it is, in its order, which is what circuits over changes rely on.
pub(crate) fn rows(delta: &mut Delta) {
    if delta.iter().all(|change| change.weight > 0) {
        return;
    }
    delta.sort_by(|a, b| key::compare_all(&a.row.key, &b.row.key));
    let mut netted = Delta::with_capacity(delta.len());
    let mut rest = delta.drain(..).peekable();
    while let Some(first) = rest.next() {
        let start = netted.len();
        netted.push(first);
        while let Some(next) = rest.next_if(|next| same_key(netted.get(start), next)) {
            let found = netted.iter_mut().skip(start).find(|change| change.row == next.row);
            match found {
                Some(change) => change.weight += next.weight,
                None => netted.push(next),
            }
        }
        if netted.len() - start > 1
            && let Some(run) = netted.get_mut(start..)
        {
            run.sort_by_key(|change| change.weight > 0);
        }
    }
    netted.retain(|change| change.weight != 0);
    drop(rest);
    *delta = netted;
}

fn same_key(first: Option<&Change>, next: &Change) -> bool {
    first.is_some_and(|first| key::compare_all(&first.row.key, &next.row.key).is_eq())
}

/// Nets failures in the same way.
pub(crate) fn failures(failures: &mut Vec<Failure>) {
    if failures.iter().all(|failure| failure.weight > 0) {
        return;
    }
    failures.sort_by(|a, b| key::compare_all(&a.key, &b.key).then_with(|| a.error.cmp(&b.error)));
    let mut netted: Vec<Failure> = Vec::with_capacity(failures.len());
    for next in failures.drain(..) {
        let alike = |first: &&mut Failure| first.error == next.error && key::compare_all(&first.key, &next.key).is_eq();
        match netted.iter_mut().rev().take_while(alike).find(|first| first.key == next.key) {
            Some(first) => first.weight += next.weight,
            None => netted.push(next),
        }
    }
    netted.retain(|failure| failure.weight != 0);
    *failures = netted;
}

#[cfg(test)]
mod tests {
    use crate::{Datum, Row};

    use super::*;

    fn change(key: i32, value: i32, weight: i64) -> Change {
        Change { row: Row::new(vec![Datum::Int(key)], vec![Datum::Int(value)]), weight }
    }

    #[test]
    fn what_comes_and_goes_vanishes_and_goings_stand_first() {
        let mut delta = vec![change(2, 1, 1), change(1, 5, 1), change(2, 1, -1), change(1, 4, -1), change(2, 2, 1)];
        rows(&mut delta);
        assert_eq!(delta, [change(1, 4, -1), change(1, 5, 1), change(2, 2, 1)]);
    }

    #[test]
    fn what_only_comes_keeps_its_order() {
        let sequence = vec![change(2, 1, 1), change(1, 5, 1), change(2, 1, 1)];
        let mut delta = sequence.clone();
        rows(&mut delta);
        assert_eq!(delta, sequence);
    }
}
