//! Where a scenario's choices come from: a seed, a fuzzer's bytes, or choices that were made before, of which some are left out.

#[path = "random.rs"]
#[allow(dead_code, reason = "the rounds draw by more of its methods")]
mod random;

use std::time::Duration;

use random::Random;

pub struct Draw<'a> {
    from: Source<'a>,
    /// What was chosen so far.
    made: Vec<u64>,
}

enum Source<'a> {
    Seed(Random),
    Bytes(&'a [u8]),
    Choices(&'a [u64]),
}

/// So often a smaller one is tried: some seconds.
const TRIES: usize = 20_000;

impl<'a> Draw<'a> {
    pub fn seed(seed: u64) -> Draw<'a> {
        Draw { from: Source::Seed(Random(seed)), made: Vec::new() }
    }

    pub fn bytes(bytes: &'a [u8]) -> Draw<'a> {
        Draw { from: Source::Bytes(bytes), made: Vec::new() }
    }

    fn again(choices: &'a [u64]) -> Draw<'a> {
        Draw { from: Source::Choices(choices), made: Vec::new() }
    }

    /// What `make` makes of it, as small as it gets while it still `fails`: with fewer choices, or plainer ones. The same ends as the same.
    pub fn shrunk<T>(mut self, make: impl Fn(&mut Draw) -> T, fails: impl Fn(&T) -> bool) -> T {
        make(&mut self);
        let (mut best, mut tries) = (self.made, TRIES);
        let mut is_better = |best: &mut Vec<u64>, choices: &[u64]| {
            let mut again = Draw::again(choices);
            let made = make(&mut again);
            let smaller = tries > 0 && (again.made.len(), &again.made) < (best.len(), &*best);
            tries -= usize::from(smaller);
            let better = smaller && fails(&made);
            if better {
                *best = again.made;
            }
            better
        };
        loop {
            let before = best.clone();
            for length in [64, 16, 4, 2, 1] {
                let mut end = best.len();
                while end > 0 {
                    let (at, rest) = (end.saturating_sub(length), best[end..].to_vec());
                    let without = [&best[..at], &rest].concat();
                    let plain = [&best[..at], &vec![0; end - at], &rest].concat();
                    let _ = is_better(&mut best, &without) || is_better(&mut best, &plain);
                    end = at.min(best.len());
                }
            }
            for at in 0..best.len() {
                let smaller: [fn(u64) -> u64; 2] = [|choice| choice / 2, |choice| choice.saturating_sub(1)];
                for smaller in smaller {
                    loop {
                        let mut choices = best.clone();
                        choices.iter_mut().skip(at).take(1).for_each(|choice| *choice = smaller(*choice));
                        if !is_better(&mut best, &choices) {
                            break;
                        }
                    }
                }
            }
            if best == before {
                return make(&mut Draw::again(&best));
            }
        }
    }

    /// 0 to `n` − 1. Where nothing is left to choose from, 0: the first and plainest of every choice.
    pub fn below(&mut self, n: u64) -> u64 {
        let next = match &mut self.from {
            Source::Seed(random) => random.next(),
            Source::Bytes(bytes) => {
                let (head, rest) = bytes.split_at(bytes.len().min(2));
                *bytes = rest;
                head.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
            }
            Source::Choices(choices) => choices.split_off_first().copied().unwrap_or(0),
        };
        self.made.push(next % n.max(1));
        next % n.max(1)
    }

    /// Rather not: 0 is `false`.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) >= 100 - percent
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    pub fn maybe<T>(&mut self, percent: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| make(self))
    }

    pub fn many<T>(&mut self, least: u64, most: u64, mut make: impl FnMut(&mut Self, usize) -> T) -> Vec<T> {
        let n = least + self.below(most - least + 1);
        (0..n).map(|i| make(self, i as usize)).collect()
    }

    /// Up to `most` ms: often whole seconds, so that things fall together; sometimes nothing, sometimes odd microseconds.
    pub fn span(&mut self, most: u64) -> Duration {
        match self.below(10) {
            0 => Duration::ZERO,
            1..=4 => Duration::from_secs(self.below(most / 1000 + 1)),
            5 => Duration::from_micros(self.below(50_000)),
            _ => Duration::from_millis(self.below(most + 1)),
        }
    }
}
