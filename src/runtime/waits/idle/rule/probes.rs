//! The probes of the node, known by how they come. A kubelet asks at whole seconds by a clock that does not drift, each time over a short
//! connection of its own, from an address of the node. What the node passes on for clients comes from there, too, but not like that. Pure.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::At;

/// So many are remembered of each address: the latest.
const MOST: usize = 128;
/// From more addresses no node probes.
const ADDRESSES: usize = 16;
/// A probe comes this much earlier or later than its clock has it, at most. A loop that sleeps a second between two requests is later by
/// the time that each takes, and later again each time.
const TOLERANCE: Duration = Duration::from_millis(20);
/// So many at the least make a series.
const SERIES: u32 = 3;
/// The longest period that is looked for, in seconds, a kubelet's by default; probes that come more seldom fit between two quiet windows.
const LONGEST: u8 = 10;
/// In between come so many in a second of other series (readiness, liveness, startup), and no more.
const BETWEEN: usize = 2;

/// What has come from the node's addresses.
#[derive(Default)]
pub struct Probes {
    of: Vec<(IpAddr, Vec<At>)>,
    /// So far what comes is history: it restarts nothing.
    began: At,
    /// Until another comes: it is a look at each for each, and thousands may come between two questions.
    sums: Cell<Option<Sums>>,
}

/// What they come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Since the beginning, but for probes.
    pub arrivals: u64,
    pub last: Option<At>,
    /// Probes, since the beginning.
    pub probes: u64,
}

impl Probes {
    pub fn new(node: &[IpAddr], began: At) -> Probes {
        let of = node.iter().take(ADDRESSES).map(|ip| (ip.to_canonical(), Vec::new())).collect();
        Probes { of, began, sums: Cell::default() }
    }

    pub fn is_node(&self, peer: IpAddr) -> bool {
        self.of.iter().any(|(ip, _)| *ip == peer.to_canonical())
    }

    /// A connection from the node, in whatever order.
    pub fn came(&mut self, peer: IpAddr, at: At) {
        let Some((_, times)) = self.of.iter_mut().find(|(ip, _)| *ip == peer.to_canonical()) else { return };
        let place = times.partition_point(|t| *t <= at);
        times.insert(place, at);
        if times.len() > MOST {
            times.remove(0);
        }
        self.sums.take();
    }

    pub fn sums(&self) -> Sums {
        let sums = self.sums.get().unwrap_or_else(|| self.add_up());
        self.sums.set(Some(sums));
        sums
    }

    fn add_up(&self) -> Sums {
        let mut sums = Sums::default();
        for (_, times) in &self.of {
            let regular = regular(times);
            for (at, regular) in times.iter().zip(regular).filter(|(at, _)| **at > self.began) {
                if regular {
                    sums.probes += 1;
                } else {
                    sums.arrivals += 1;
                    sums.last = sums.last.max(Some(*at));
                }
            }
        }
        sums
    }
}

/// Which of them are part of a series. They are in order.
fn regular(times: &[At]) -> Vec<bool> {
    let mut found = vec![false; times.len()];
    let near = |at: At| {
        let first = times.partition_point(|t| *t + TOLERANCE < at);
        times.get(first).filter(|t| **t <= at + TOLERANCE).map(|_| first)
    };
    let between = |from: At, to: At| {
        let first = times.partition_point(|t| *t <= from + TOLERANCE);
        times.partition_point(|t| *t + TOLERANCE < to).saturating_sub(first)
    };
    for last in times {
        for seconds in 1..=LONGEST {
            let period = Duration::from_secs(seconds.into());
            // From the last one back, for as long as each is where it should be.
            let mut series = Vec::new();
            for n in 0.. {
                let distance = period * n;
                if distance > last.since_start() {
                    break;
                }
                let Some(index) = near(*last - distance) else { break };
                if n > 0 && between(*last - distance, *last - distance + period) > BETWEEN * usize::from(seconds) + 1 {
                    break;
                }
                series.push(index);
            }
            if series.len() >= SERIES as usize {
                series.into_iter().for_each(|index| found[index] = true);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODE: &str = "10.244.0.1";

    fn probes(began: u64, times: &[u64]) -> Sums {
        let ip = NODE.parse().unwrap();
        let mut probes = Probes::new(&[ip], At::from_millis(began));
        times.iter().for_each(|at| probes.came(ip, At::from_millis(*at)));
        probes.sums()
    }

    fn sums(arrivals: u64, last: Option<u64>, probes: u64) -> Sums {
        Sums { arrivals, last: last.map(At::from_millis), probes }
    }

    #[test]
    fn a_kubelet_s_probes_are_known_by_their_clock() {
        // Known at once by what came before the stop.
        assert_eq!(probes(10_000, &[2_000, 4_003, 6_001, 8_000, 10_005, 12_002]), sums(0, None, 2));
        // Without that, from the third on, and the first two in hindsight.
        assert_eq!(probes(0, &[1_500, 3_500]), sums(2, Some(3_500), 0));
        assert_eq!(probes(0, &[1_500, 3_500, 5_504]), sums(0, None, 3));
        // Readiness every second, liveness every three, startup still every two.
        let mut all: Vec<u64> = (1..20).map(|n| n * 1000 + 123).collect();
        all.extend((1..6).map(|n| n * 3000 + 777));
        all.extend((1..9).map(|n| n * 2000 + 300));
        all.reverse();
        assert_eq!(probes(0, &all).arrivals, 0);
    }

    #[test]
    fn whatever_else_comes_from_the_node_counts() {
        // In between, a request.
        assert_eq!(probes(0, &[1_000, 2_000, 3_000, 3_400, 4_000]), sums(1, Some(3_400), 4));
        // `while curl …; do sleep 1; done`
        assert_eq!(probes(0, &[1_000, 2_030, 3_060, 4_090, 5_120]).probes, 0);
        // Regular, but by no clock of whole seconds.
        assert_eq!(probes(0, &[1_000, 2_500, 4_000, 5_500]).probes, 0);
        // Ten a second are clients, however regular.
        let many: Vec<u64> = (0..60).map(|n| n * 100).collect();
        assert_eq!(probes(0, &many[1..]).probes, 0);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_of_the_node() {
        let nodes: Vec<IpAddr> = (0..100).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        let mut probes = Probes::new(&nodes, At::ZERO);
        assert!(probes.is_node("::ffff:10.0.0.15".parse().unwrap()) && !probes.is_node(nodes[16]));
        (0..1000).for_each(|n| probes.came(nodes[1], At::from_millis(n * 7 + 1)));
        probes.came(nodes[50], At::from_millis(1));
        assert_eq!(probes.of[1].1.len(), MOST);
        assert_eq!(probes.of[1].1.last(), Some(&At::from_millis(6994)));
    }

    proptest! {
        /// Who comes at random is a client, but for what looks like a clock by chance; and nobody is counted twice or not at all.
        #[test]
        fn everybody_is_counted_once(times in proptest::collection::vec(1u64..20_000, 0..60), began in 0u64..10_000) {
            let seen = probes(began, &times);
            let since = times.iter().filter(|at| **at > began).count() as u64;
            prop_assert_eq!(seen.arrivals + seen.probes, since);
            prop_assert_eq!(seen.last.is_some(), seen.arrivals > 0);
        }

        /// A clock of whole seconds is found with whatever jitter a kubelet has.
        #[test]
        fn a_clock_is_found(period in 1u64..10, first in 1u64..3_000, jitter in proptest::collection::vec(0u64..10, 3..12)) {
            let times: Vec<u64> = jitter.iter().enumerate().map(|(n, j)| first + n as u64 * period * 1000 + j).collect();
            prop_assert_eq!(probes(0, &times).arrivals, 0);
        }

        /// A clock that drifts, or is of no whole seconds, is none.
        #[test]
        fn who_sleeps_between_two_requests_is_a_client(took in 25u64..400, count in 3usize..9) {
            let times: Vec<u64> = (0..count as u64).map(|n| 500 + n * (1000 + took)).collect();
            let off = took * 2 % 1000;
            // Two of three that are whole seconds apart make no series; every second one may.
            prop_assume!(off > 45 && off < 955);
            prop_assume!((1..5).all(|n| (took * n) % 1000 > 25 && (took * n) % 1000 < 975));
            prop_assert_eq!(probes(0, &times).probes, 0);
        }
    }
}
