//! Sorting, made once. The standard library makes its sorts anew for each type, 5 kB of code each time (docs/performance.md); a list here is one of names,
//! ports or rows. Pure.

use std::cmp::Ordering;

/// From the least to the greatest. What is equal keeps its order.
pub fn sort<T: Ord>(list: &mut [T]) {
    by(list, Ord::cmp);
}

/// By what `key` says of each.
pub fn by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    by(list, |one, other| key(one).cmp(&key(other)));
}

fn by<T>(list: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    // Where each comes from is sorted, which is the same code for all; then each is put there.
    let mut order: Vec<usize> = (0..list.len()).collect();
    places(&mut order, &|one, other| compare(&list[one], &list[other]));
    for start in 0..list.len() {
        let mut to = start;
        loop {
            let from = std::mem::replace(&mut order[to], to);
            if from == start {
                break;
            }
            list.swap(to, from);
            to = from;
        }
    }
}

#[inline(never)]
fn places(order: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    order.sort_unstable_by(|one, other| compare(*one, *other).then(one.cmp(other)));
}

/// What comes, one by one. `collect` sorts it first, for a map or a set.
pub fn collected<C: Default + Extend<T>, T>(items: impl IntoIterator<Item = T>) -> C {
    let mut all = C::default();
    all.extend(items);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_the_standard_library_makes_of_it(list: Vec<(u8, u16)>) {
            let (mut ours, mut theirs) = (list.clone(), list.clone());
            by_key(&mut ours, |pair| pair.0 % 8);
            theirs.sort_by_key(|pair| pair.0 % 8);
            prop_assert_eq!(&ours, &theirs);
            sort(&mut ours);
            theirs.sort();
            prop_assert_eq!(ours, theirs);
            let set: std::collections::BTreeSet<_> = collected(list.iter());
            prop_assert_eq!(set, list.iter().collect());
        }
    }
}
