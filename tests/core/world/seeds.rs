//! Many scenarios, each from a seed of its own, on every processor.

use std::sync::atomic::{AtomicU64, Ordering};

/// Taken at a time by one processor.
const CHUNK: u64 = 64;

/// A number that a variable may say, `_` in it or not.
pub fn number(variable: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return otherwise };
    text.replace('_', "").parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}"))
}

/// `play` gets each of `count` seeds from `from` on, with its processor's own tally, until it says `false` of one. The tallies, and
/// the first seed of which it did.
pub fn play_all<T: Default + Send>(
    from: u64,
    count: u64,
    play: impl Fn(u64, &mut T) -> bool + Sync,
) -> (Vec<T>, Option<u64>) {
    let next = AtomicU64::new(0);
    let broken = AtomicU64::new(u64::MAX);
    let work = || {
        let mut tally = T::default();
        loop {
            let first = next.fetch_add(CHUNK, Ordering::Relaxed);
            if first >= count || first > broken.load(Ordering::Relaxed) {
                return tally;
            }
            for n in first..(first + CHUNK).min(count) {
                if !play(from.wrapping_add(n), &mut tally) {
                    broken.fetch_min(n, Ordering::Relaxed);
                }
            }
        }
    };
    let tallies = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("its panic is above")).collect()
    });
    let broken = broken.into_inner();
    (tallies, (broken != u64::MAX).then(|| from.wrapping_add(broken)))
}
