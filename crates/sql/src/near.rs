//! Words that are nearly right.

/// The known word nearest to one that is not known, if it is near enough to be meant: a third of its letters may be put,
/// taken, changed or swapped with their neighbour, in any case.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = (word.chars().count() / 3).clamp(1, 3);
    let lower = word.to_lowercase();
    let others = known.filter(|other| *other != word);
    let near = others.map(|other| (distance(&lower, &other.to_lowercase()), other)).min()?;
    (near.0 <= far).then_some(near.1)
}

/// How many letters must be put, taken, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut least = (at(&row, j) + usize::from(x != *y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = j > 0 && last == Some(*y) && b.get(j - 1) == Some(&x);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(x);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = || ["customers", "orders", "max_delay"].into_iter();
        assert_eq!(nearest("oders", known()), Some("orders"));
        assert_eq!(nearest("Ordesr", known()), Some("orders"));
        assert_eq!(nearest("max_dealy", known()), Some("max_delay"));
        assert_eq!(nearest("people", known()), None);
    }
}
