//! Where a scenario's choices come from: a seed, or a fuzzer's bytes.

#[path = "random.rs"]
#[allow(dead_code, reason = "the rounds draw by more of its methods")]
mod random;

use std::time::Duration;

use random::Random;

pub enum Draw<'a> {
    Seed(Random),
    /// Zeros when they are used up: the first and plainest of every choice.
    Bytes(&'a [u8]),
}

impl Draw<'_> {
    pub fn seed(seed: u64) -> Draw<'static> {
        Draw::Seed(Random(seed))
    }

    fn next(&mut self) -> u64 {
        match self {
            Draw::Seed(random) => random.next(),
            Draw::Bytes(bytes) => {
                let (head, rest) = bytes.split_at(bytes.len().min(2));
                *bytes = rest;
                head.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
            }
        }
    }

    /// 0 to `n` − 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
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
