//! When a service has become idle: what connections there are at each look goes in, whether the wait is over comes out. Pure.
//!
//! Nobody tells when endpoints and load balancers have learnt that a pod is leaving. What can be seen is that no more connections
//! come. So the wait is over when none has come for `quiet`, and what was open is closed; a connection that has come and gone between
//! two looks is known by what TCP keeps of it for a minute (TIME_WAIT).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use super::event::Progress;
use crate::config::wait::WaitIdle;
use crate::report::and_more;
use crate::time::{At, Human};

/// So many connections are known one by one, and as many traces of closed ones. Of more only the number of the open ones is: a
/// service with so many is not idle, and this is what bounds the memory.
const MOST: usize = 65_536;
/// So many are named.
const NAMED: usize = 5;

/// A connection at one look.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Connection {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// Either side may still send: established, or closed by the peer alone. Else it is only a trace.
    pub open: bool,
    /// softstop has made it itself. It need not be said again at later looks.
    pub own: bool,
}

/// What is known of a connection from one look to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Open,
    Trace,
    Own,
}

/// What a look at the connections has come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Idle,
    NotYet {
        progress: Progress,
        /// When it can be over at the earliest, should nothing more come; `None`: as soon as connections close.
        at: Option<At>,
    },
}

pub struct Idle {
    rule: WaitIdle,
    began: At,
    /// The last one that came, or the beginning.
    arrival: At,
    /// Those that came since the beginning.
    arrivals: u64,
    /// At the last look, by the hash of its ends. `None` before the first.
    before: Option<HashMap<u64, Seen>>,
    look: Look,
}

/// What is being looked at.
#[derive(Default)]
struct Look {
    seen: HashMap<u64, Seen>,
    open: u64,
    /// Of those in `seen`, the open ones and the others.
    known: usize,
    traces: usize,
    arrivals: u64,
    named: Vec<SocketAddr>,
}

impl Idle {
    pub fn new(rule: WaitIdle, now: At) -> Idle {
        Idle { rule, began: now, arrival: now, arrivals: 0, before: None, look: Look::default() }
    }

    /// One connection of the look under way. It may be given twice.
    pub fn see(&mut self, connection: &Connection) {
        if self.rule.ignore.iter().any(|peers| peers.contains(connection.peer.ip())) {
            return;
        }
        let look = &mut self.look;
        let key = key(connection);
        let before = self.before.as_ref().map(|before| before.get(&key).copied());
        if connection.own || before == Some(Some(Seen::Own)) {
            if look.traces < MOST && look.seen.insert(key, Seen::Own).is_none() {
                look.traces += 1;
            }
            return;
        }
        if let Some(seen) = look.seen.get_mut(&key) {
            // The same ends may be of two sockets, the older of which is closed.
            if connection.open && *seen == Seen::Trace {
                *seen = Seen::Open;
                look.open += 1;
            }
            return;
        }
        look.open += u64::from(connection.open);
        let known = if connection.open { &mut look.known } else { &mut look.traces };
        if *known == MOST {
            return;
        }
        *known += 1;
        look.seen.insert(key, if connection.open { Seen::Open } else { Seen::Trace });
        if connection.open && look.named.len() < NAMED {
            look.named.push(connection.peer);
        }
        let new = match before {
            // What is there at the first look has come before.
            None => false,
            Some(None) => true,
            // The same two ends once more, after the first had closed.
            Some(Some(was)) => connection.open && was == Seen::Trace,
        };
        look.arrivals += u64::from(new);
    }

    /// Forget the look under way: it has failed. Who has come and gone meanwhile nobody knows, so the quiet window begins anew.
    pub fn dismiss(&mut self, now: At) {
        self.look = Look::default();
        self.arrival = now;
    }

    /// The look is complete. The time is that of its end.
    pub fn judge(&mut self, now: At) -> Verdict {
        let look = std::mem::take(&mut self.look);
        self.before = Some(look.seen);
        self.arrivals = self.arrivals.saturating_add(look.arrivals);
        if look.arrivals > 0 {
            self.arrival = now;
        }
        let ready = (self.began + self.rule.minimum).max(self.arrival + self.rule.quiet);
        let few = look.open <= u64::from(self.rule.connections);
        if few && now >= ready {
            return Verdict::Idle;
        }
        Verdict::NotYet {
            progress: Progress {
                text: self.words(look.open, few),
                detail: (!look.named.is_empty()).then(|| named(&look.named, look.open)),
            },
            at: few.then_some(ready),
        }
    }

    fn words(&self, open: u64, few: bool) -> String {
        let count = match open {
            0 => "no connection".to_owned(),
            1 => "1 connection".to_owned(),
            n => format!("{n} connections"),
        };
        let came = match self.arrivals {
            0 => String::new(),
            n => format!(", {n} new since the beginning"),
        };
        let quiet = if few { format!(", to be quiet for {}", Human(self.rule.quiet)) } else { String::new() };
        format!("{count}{came}{quiet}")
    }
}

fn named(peers: &[SocketAddr], open: u64) -> String {
    let mut words: Vec<String> = peers.iter().map(ToString::to_string).collect();
    words.sort();
    and_more(&words, usize::try_from(open).unwrap_or(usize::MAX))
}

fn key(connection: &Connection) -> u64 {
    let mut hasher = DefaultHasher::new();
    (connection.local, connection.peer).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::wait::Peers;

    fn rule() -> WaitIdle {
        WaitIdle {
            ports: vec![8080],
            listening: false,
            connections: 0,
            quiet: Duration::from_secs(2),
            minimum: Duration::ZERO,
            ignore: Vec::new(),
        }
    }

    fn connection(peer: &str, open: bool) -> Connection {
        Connection { local: "10.0.0.1:8080".parse().unwrap(), peer: peer.parse().unwrap(), open, own: false }
    }

    fn look(idle: &mut Idle, at: u64, open: &[&str], closed: &[&str]) -> Verdict {
        let open = open.iter().map(|peer| connection(peer, true));
        let closed = closed.iter().map(|peer| connection(peer, false));
        open.chain(closed).for_each(|c| idle.see(&c));
        idle.judge(At::from_millis(at))
    }

    fn text(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Idle => "idle".to_owned(),
            Verdict::NotYet { progress, .. } => progress.text.clone(),
        }
    }

    #[test]
    fn the_last_connection_and_then_quiet() {
        let mut idle = Idle::new(rule(), At::ZERO);
        let seen = look(&mut idle, 0, &["10.0.0.7:1", "10.0.0.7:2"], &[]);
        let Verdict::NotYet { progress, at } = &seen else { panic!("{seen:?}") };
        assert_eq!((progress.text.as_str(), *at), ("2 connections", None));
        assert_eq!(progress.detail.as_deref(), Some("10.0.0.7:1, 10.0.0.7:2"));
        let seen = look(&mut idle, 1000, &[], &["10.0.0.7:1"]);
        let soon = Verdict::NotYet {
            progress: Progress { text: "no connection, to be quiet for 2.0s".into(), detail: None },
            at: Some(At::from_millis(2000)),
        };
        assert_eq!(seen, soon, "those that close are no arrivals");
        assert_eq!(look(&mut idle, 2000, &[], &[]), Verdict::Idle);
    }

    #[test]
    fn who_comes_restarts_the_window_and_so_does_who_has_gone_again() {
        let mut idle = Idle::new(rule(), At::ZERO);
        look(&mut idle, 0, &[], &["10.0.0.7:9"]);
        assert_eq!(
            text(&look(&mut idle, 1500, &["10.0.0.7:1"], &["10.0.0.7:9"])),
            "1 connection, 1 new since the beginning"
        );
        assert_ne!(look(&mut idle, 3000, &[], &["10.0.0.7:1"]), Verdict::Idle);
        // Came and went in between; the other had closed already.
        let seen = look(&mut idle, 3400, &[], &["10.0.0.7:1", "10.0.0.7:2"]);
        assert_eq!(text(&seen), "no connection, 2 new since the beginning, to be quiet for 2.0s");
        assert_ne!(look(&mut idle, 5300, &[], &["10.0.0.7:2"]), Verdict::Idle);
        assert_eq!(look(&mut idle, 5400, &[], &[]), Verdict::Idle);
    }

    #[test]
    fn the_same_ends_once_more_are_an_arrival() {
        let mut idle = Idle::new(rule(), At::ZERO);
        look(&mut idle, 0, &[], &["10.0.0.7:1"]);
        look(&mut idle, 1000, &["10.0.0.7:1"], &[]);
        assert_ne!(look(&mut idle, 2900, &[], &[]), Verdict::Idle);
        assert_eq!(look(&mut idle, 3000, &[], &[]), Verdict::Idle);
    }

    #[test]
    fn a_minimum_some_that_may_stay_and_some_that_do_not_count() {
        let quiet = Duration::ZERO;
        let ignore = vec![Peers::Loopback, Peers::parse("10.1.0.0/16").unwrap()];
        let rule = WaitIdle { minimum: Duration::from_secs(5), connections: 1, quiet, ignore, ..rule() };
        let mut idle = Idle::new(rule, At::from_millis(100));
        look(&mut idle, 200, &[], &[]);
        let seen = look(&mut idle, 5000, &["10.0.0.7:1", "127.0.0.6:4", "10.1.2.3:4"], &["[::1]:5"]);
        let Verdict::NotYet { at, .. } = seen else { panic!("{seen:?}") };
        assert_eq!(at, Some(At::from_millis(5100)));
        assert_eq!(look(&mut idle, 5100, &["10.0.0.7:1", "127.0.0.1:7"], &[]), Verdict::Idle);
        assert_ne!(look(&mut idle, 5200, &["10.0.0.7:1", "10.0.0.7:2"], &[]), Verdict::Idle);
    }

    #[test]
    fn a_look_that_failed_is_none_and_one_may_see_twice() {
        let mut idle = Idle::new(rule(), At::ZERO);
        look(&mut idle, 0, &[], &[]);
        idle.see(&connection("10.0.0.7:1", true));
        idle.see(&connection("10.0.0.7:2", true));
        idle.dismiss(At::ZERO);
        let seen = look(&mut idle, 500, &["10.0.0.7:1", "10.0.0.7:1"], &["10.0.0.7:1"]);
        assert_eq!(text(&seen), "1 connection, 1 new since the beginning");
    }

    #[test]
    fn the_quiet_window_is_one_in_which_all_could_be_seen() {
        let mut idle = Idle::new(rule(), At::ZERO);
        look(&mut idle, 0, &[], &[]);
        idle.dismiss(At::from_millis(1900));
        let Verdict::NotYet { at, .. } = look(&mut idle, 2000, &[], &[]) else { panic!("nobody looked") };
        assert_eq!(at, Some(At::from_millis(3900)));
    }

    /// What softstop remembers of its own is less than TCP does.
    #[test]
    fn its_own_stay_its_own() {
        let mut idle = Idle::new(rule(), At::ZERO);
        look(&mut idle, 0, &[], &[]);
        idle.see(&Connection { own: true, ..connection("127.0.0.1:5", true) });
        let quiet = "no connection, to be quiet for 2.0s";
        assert_eq!(text(&look(&mut idle, 500, &[], &[])), quiet);
        assert_eq!(text(&look(&mut idle, 600, &["127.0.0.1:5"], &[])), quiet);
        assert_eq!(text(&look(&mut idle, 1900, &[], &["127.0.0.1:5"])), quiet);
        assert_eq!(look(&mut idle, 2000, &[], &["127.0.0.1:5"]), Verdict::Idle);
    }

    #[test]
    fn one_socket_closed_and_one_open_of_the_same_ends_count_once() {
        let mut idle = Idle::new(rule(), At::ZERO);
        let both = |idle: &mut Idle| {
            idle.see(&connection("10.0.0.7:1", false));
            idle.see(&connection("10.0.0.7:1", true));
            idle.see(&connection("10.0.0.7:1", true));
        };
        both(&mut idle);
        assert_eq!(text(&idle.judge(At::ZERO)), "1 connection");
        both(&mut idle);
        assert_eq!(text(&idle.judge(At::from_millis(1000))), "1 connection", "it was open before");
    }

    #[test]
    fn its_own_are_remembered_up_to_the_bound() {
        let mut idle = Idle::new(rule(), At::ZERO);
        for n in 0..MOST + 1000 {
            let peer = format!("10.{}.1.1:{}", n / 60_000, 1 + n % 60_000);
            let own = Connection { own: true, ..connection(&peer, true) };
            idle.see(&own);
            // Twice the same is one.
            if n < 1000 {
                idle.see(&own);
            }
        }
        assert_eq!(idle.look.seen.len(), MOST);
    }

    #[test]
    fn one_more_than_are_named_is_said() {
        let mut idle = Idle::new(rule(), At::ZERO);
        let peers: Vec<String> = (1..=NAMED + 1).map(|n| format!("10.0.0.7:{n}")).collect();
        peers.iter().for_each(|peer| idle.see(&connection(peer, true)));
        let Verdict::NotYet { progress, .. } = idle.judge(At::ZERO) else { panic!() };
        assert!(progress.detail.unwrap().ends_with(" and 1 more"));
    }

    #[test]
    fn those_of_another_order_are_named_in_one_order() {
        let mut idle = Idle::new(rule(), At::ZERO);
        let Verdict::NotYet { progress, .. } = look(&mut idle, 0, &["10.0.0.9:1", "10.0.0.7:1"], &[]) else { panic!() };
        assert_eq!(progress.detail.as_deref(), Some("10.0.0.7:1, 10.0.0.9:1"));
    }

    #[test]
    fn any_number_of_connections_is_counted_and_few_are_named() {
        let mut idle = Idle::new(rule(), At::ZERO);
        let many = MOST + 1000;
        for open in [false, true] {
            for n in 0..many {
                let peer = format!("10.{}.{}.{}:{}", usize::from(open), n / 60_000, 1, 1 + n % 60_000);
                idle.see(&connection(&peer, open));
            }
        }
        let kept = idle.look.seen.len();
        assert_eq!(kept, 2 * MOST);
        let seen = idle.judge(At::ZERO);
        let Verdict::NotYet { progress, .. } = &seen else { panic!("{seen:?}") };
        assert_eq!(progress.text, format!("{many} connections"));
        assert!(progress.detail.as_ref().unwrap().ends_with(&format!(" and {} more", many - NAMED)), "{progress:?}");
    }

    #[derive(Clone, Debug)]
    struct Life {
        from: u64,
        length: u64,
        leaves_trace: bool,
        ignored: bool,
    }

    fn life() -> impl Strategy<Value = Life> {
        (0u64..10_000, 0u64..4_000, any::<bool>(), any::<bool>())
            .prop_map(|(from, length, leaves_trace, ignored)| Life { from, length, leaves_trace, ignored })
    }

    proptest! {
        /// Against the plain reading of the rule, over every life a connection may have.
        #[test]
        fn it_is_over_when_the_rule_says_so(
            lives in proptest::collection::vec(life(), 0..12),
            pauses in proptest::collection::vec(1u64..300, 1..200),
            quiet in 0u64..3_000,
            minimum in 0u64..5_000,
            allowed in 0u32..3,
        ) {
            let millis = Duration::from_millis;
            let rule = WaitIdle {
                connections: allowed,
                quiet: millis(quiet),
                minimum: millis(minimum),
                ignore: vec![Peers::Loopback],
                ..rule()
            };
            let mut idle = Idle::new(rule, At::ZERO);
            let (mut now, mut last_look, mut last_arrival) = (0, None, 0);
            for pause in pauses {
                let mut open = 0;
                for (n, life) in lives.iter().enumerate().filter(|(_, l)| l.from <= now) {
                    let is_open = now < life.from + life.length;
                    if !is_open && !life.leaves_trace {
                        continue;
                    }
                    let peer = if life.ignored { format!("127.0.0.1:{}", n + 1) } else { format!("10.0.0.7:{}", n + 1) };
                    idle.see(&connection(&peer, is_open));
                    if !life.ignored {
                        open += u32::from(is_open);
                        if last_look.is_some_and(|look| life.from > look) {
                            last_arrival = now;
                        }
                    }
                }
                let over = open <= allowed && now >= minimum && now >= last_arrival + quiet;
                let verdict = idle.judge(At::from_millis(now));
                prop_assert_eq!(verdict == Verdict::Idle, over, "at {}: {:?}", now, verdict);
                if let Verdict::NotYet { at: Some(at), .. } = verdict {
                    prop_assert!(at > At::from_millis(now));
                }
                last_look = Some(now);
                now += pause;
            }
        }
    }
}
