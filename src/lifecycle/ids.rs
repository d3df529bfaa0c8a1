//! A set of processes by their numbers, a bit for each: it takes no memory of its own per change, and finds the least at once. Pure.

const BITS: usize = u64::BITS as usize;

#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    words: Vec<u64>,
    count: usize,
    /// No word below this one has any.
    low: usize,
}

impl Ids {
    /// All below `end`.
    pub fn all(end: usize) -> Ids {
        let mut all = Ids { words: vec![0; end.div_ceil(BITS)], ..Ids::default() };
        (0..end).for_each(|id| all.insert(id));
        all
    }

    pub fn insert(&mut self, id: usize) {
        let (word, bit) = (id / BITS, 1 << (id % BITS));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.low = if self.count == 0 { word } else { self.low.min(word) };
        self.count += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    pub fn remove(&mut self, id: usize) {
        let (word, bit) = (id / BITS, 1 << (id % BITS));
        if let Some(word) = self.words.get_mut(word).filter(|word| **word & bit != 0) {
            *word &= !bit;
            self.count -= 1;
        }
    }

    /// The least, from `from` on.
    pub fn next(&self, from: usize) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        let first = (from / BITS).max(self.low);
        let below = if from / BITS == first { (1 << (from % BITS)) - 1 } else { 0 };
        let words = self.words.iter().enumerate().skip(first);
        let mut masked = words.map(|(n, word)| (n, if n == first { word & !below } else { *word }));
        masked.find(|(_, word)| *word != 0).map(|(n, word)| n * BITS + word.trailing_zeros() as usize)
    }

    /// Takes the least out.
    pub fn pop(&mut self) -> Option<usize> {
        let least = self.next(0)?;
        self.remove(least);
        self.low = least / BITS;
        Some(least)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_set(doings in prop::collection::vec((0u8..4, 0usize..300), 0..200)) {
            let (mut ids, mut model) = (Ids::default(), BTreeSet::new());
            for (what, id) in doings {
                match what {
                    0 | 1 => { ids.insert(id); model.insert(id); }
                    2 => { ids.remove(id); model.remove(&id); }
                    _ => prop_assert_eq!(ids.pop(), model.pop_first()),
                }
                prop_assert_eq!(ids.next(id), model.range(id..).next().copied());
                prop_assert_eq!(ids.next(0), model.first().copied());
            }
        }
    }

    #[test]
    fn all_are_those_below_the_end() {
        for end in [0, 1, 63, 64, 65, 200] {
            let mut all = Ids::all(end);
            assert!((0..end).all(|id| all.pop() == Some(id)) && all.pop().is_none(), "{end}");
        }
    }
}
