//! Inspections in, states out.

use proptest::prelude::*;

use super::listeners::{Listener, Owner};
use super::*;
use crate::config::network::Network;

const SECOND: Duration = Duration::from_secs(1);

fn rule() -> WaitIdle {
    WaitIdle::on(vec![8080])
}

fn listener() -> Listener {
    Listener { local: "0.0.0.0:8080".parse().unwrap(), inode: 7, cgroup: None, owner: Owner::Ours }
}

fn listeners(one: Listener) -> Listeners {
    let mut listeners = Listeners::default();
    listeners.add(one);
    listeners
}

fn idle_from(rule: WaitIdle, now: u64, node: &[IpAddr]) -> Idle {
    Idle::new(rule, vec![8080], listeners(listener()), node, At::from_millis(now))
}

fn idle(rule: WaitIdle) -> Idle {
    idle_from(rule, 0, &[])
}

/// Something moves on it.
fn busy(peer: &str) -> Connection {
    let flow = Flow { received: Duration::ZERO, sent: Duration::ZERO, heard: Duration::ZERO };
    Connection {
        local: "10.0.0.1:8080".parse().unwrap(),
        peer: peer.parse().unwrap(),
        stage: Stage::Open,
        flow: Some(flow),
        unread: false,
        unsent: false,
        accepted: true,
        cgroup: None,
        own: false,
        closed: None,
    }
}

fn quiet_for(peer: &str, quiet: Duration) -> Connection {
    Connection { flow: Some(Flow { received: quiet, sent: quiet, heard: quiet }), ..busy(peer) }
}

fn trace(peer: &str) -> Connection {
    Connection { stage: Stage::Trace, flow: None, ..busy(peer) }
}

fn ended(peer: &str) -> Ended {
    let Connection { local, peer, .. } = busy(peer);
    Ended { local, peer, own: false, received: None }
}

fn look_at(idle: &mut Idle, at: u64, all: &[Connection]) -> IdleState {
    all.iter().for_each(|c| idle.see(c, At::from_millis(at)));
    idle.judge(At::from_millis(at))
}

fn look(idle: &mut Idle, at: u64, open: &[&str], closed: &[&str]) -> IdleState {
    let open = open.iter().map(|peer| busy(peer));
    let closed = closed.iter().map(|peer| trace(peer));
    look_at(idle, at, &open.chain(closed).collect::<Vec<_>>())
}

fn text(state: &IdleState) -> String {
    match state {
        IdleState::Idle => "idle".to_owned(),
        IdleState::NotYet { progress, .. } => progress.awaited.to_string(),
    }
}

#[test]
fn the_last_connection_and_then_quiet() {
    let mut idle = idle(rule());
    let seen = look(&mut idle, 0, &["10.0.0.7:1", "10.0.0.7:2"], &[]);
    let IdleState::NotYet { progress, at } = &seen else { panic!("{seen:?}") };
    assert_eq!((progress.awaited.to_string().as_str(), *at), ("2 open, 2 active", None));
    assert_eq!(progress.detail.as_ref().unwrap().to_string(), "10.0.0.7:1, 10.0.0.7:2");
    let seen = look(&mut idle, 1000, &[], &["10.0.0.7:1"]);
    assert_eq!(text(&seen), "no connection, to be quiet for 2.0s");
    let soon = matches!(seen, IdleState::NotYet { at: Some(at), .. } if at == At::from_millis(2000));
    assert!(soon, "those that close are no arrivals: {seen:?}");
    assert_eq!(look(&mut idle, 2000, &[], &[]), IdleState::Idle);
}

#[test]
fn a_pool_of_open_connections_is_idle_once_it_is_silent() {
    let mut idle = idle(rule());
    let pool = |quiet: u64| {
        (1..=14).map(|n| quiet_for(&format!("10.0.0.7:{n}"), Duration::from_millis(quiet))).collect::<Vec<_>>()
    };
    assert_eq!(text(&look_at(&mut idle, 0, &pool(1900))), "14 open, 14 active");
    let seen = look_at(&mut idle, 1000, &pool(2900));
    assert_eq!(text(&seen), "14 open, 0 active, to be quiet for 2.0s");
    let IdleState::NotYet { at, .. } = seen else { panic!("{seen:?}") };
    assert_eq!(at, Some(At::from_millis(2000)));
    assert_eq!(look_at(&mut idle, 2000, &pool(3900)), IdleState::Idle);
    let conclusion = idle.conclusion().unwrap();
    assert_eq!((conclusion.awaited.to_string().as_str(), conclusion.last), ("14 open, 0 active", true));
    assert_eq!(look_at(&mut idle, 2000, &[]), IdleState::Idle);
    assert_eq!(idle.conclusion(), None);
}

#[test]
fn a_request_on_an_open_connection_is_as_good_as_a_new_one() {
    let mut idle = idle(WaitIdle { quiet: 5 * SECOND, silent: SECOND, ..rule() });
    let at = |quiet: u64| [quiet_for("10.0.0.7:1", Duration::from_millis(quiet))];
    look_at(&mut idle, 0, &at(9000));
    let seen = look_at(&mut idle, 3000, &at(1500));
    let IdleState::NotYet { at: Some(ready), .. } = seen else { panic!("{seen:?}") };
    assert_eq!(ready, At::from_millis(6500));
    // And if it is closed right after.
    idle.ended(&Ended { received: Some(Duration::from_millis(100)), ..ended("10.0.0.7:1") }, At::from_millis(6400));
    let seen = look_at(&mut idle, 6400, &[]);
    let IdleState::NotYet { at: Some(ready), progress } = seen else { panic!("{seen:?}") };
    assert_eq!(
        (ready, progress.awaited.to_string().as_str()),
        (At::from_millis(11_300), "no connection, to be quiet for 5.0s")
    );
}

#[test]
fn whoever_waits_for_an_answer_is_active_however_long() {
    let old = 60 * SECOND;
    let quiet = quiet_for("10.0.0.7:1", old);
    let flow = |received, sent| Some(Flow { received, sent, heard: old });
    let is_active = |connection: &Connection| rule().is_active(connection);
    assert!(!is_active(&quiet));
    assert!(is_active(&Connection { flow: flow(old, old + SECOND), ..quiet }), "asked, and not answered");
    assert!(!is_active(&Connection { flow: flow(old + SECOND, old), ..quiet }));
    assert!(is_active(&Connection { flow: flow(old, SECOND), ..quiet }), "sent a second ago");
    assert!(is_active(&Connection { flow: flow(SECOND, SECOND), ..quiet }), "came a second ago");
    assert!(is_active(&Connection { unread: true, ..quiet }));
    assert!(is_active(&Connection { accepted: false, ..quiet }));
    let streams = WaitIdle { silent: 90 * SECOND, ..rule() };
    assert!(streams.is_active(&quiet), "a stream that pauses for longer");
    // Nobody knows.
    assert!(is_active(&Connection { flow: None, ..quiet }));
    assert!(!is_active(&Connection { flow: None, stage: Stage::Closing, ..quiet }));
}

/// LAST_ACK, CLOSING, FIN_WAIT1: the network interface is gone right after softstop is.
#[test]
fn what_the_peer_does_not_have_yet_is_not_over() {
    let closing = |heard| Connection {
        stage: Stage::Closing,
        unsent: true,
        flow: Some(Flow { received: 60 * SECOND, sent: 60 * SECOND, heard }),
        ..busy("10.0.0.7:1")
    };
    for (connection, active) in [
        (closing(SECOND), true),
        (Connection { flow: None, ..closing(SECOND) }, true),
        (Connection { stage: Stage::Open, ..closing(SECOND) }, true),
        // It has gone without a word.
        (closing(11 * SECOND), false),
        (Connection { unsent: false, ..closing(SECOND) }, false),
    ] {
        let mut idle = idle(WaitIdle { quiet: Duration::ZERO, ..rule() });
        assert_eq!(look_at(&mut idle, 100, &[connection]) != IdleState::Idle, active, "{connection:?}");
    }
}

#[test]
fn where_activity_cannot_be_seen_all_open_ones_count_and_it_is_said() {
    let mut idle = idle(rule());
    let unknown = Connection { flow: None, ..busy("10.0.0.7:1") };
    assert_eq!(text(&look_at(&mut idle, 9000, &[unknown])), "1 open, activity unknown");
}

#[test]
fn a_connection_between_two_looks_is_known_by_its_end() {
    let mut idle = idle(rule());
    idle.ended(&ended("10.0.0.7:8"), At::ZERO);
    look(&mut idle, 0, &["10.0.0.7:9"], &[]);
    // One that was seen is no new one, however late its end is told.
    look(&mut idle, 500, &[], &[]);
    idle.ended(&ended("10.0.0.7:9"), At::from_millis(1000));
    assert_eq!(text(&look(&mut idle, 1000, &[], &[])), "no connection, to be quiet for 2.0s");
    for (at, peer) in [(1900, "10.0.0.7:1"), (3800, "10.0.0.7:2")] {
        idle.ended(&ended(peer), At::from_millis(at));
        assert_ne!(look(&mut idle, at, &[], &[]), IdleState::Idle);
    }
    // Told twice, by its trace and by its end, it is one.
    assert_eq!(
        text(&look(&mut idle, 3900, &[], &["10.0.0.7:2"])),
        "no connection, 2 new since the beginning, to be quiet for 2.0s"
    );
    assert_ne!(look(&mut idle, 5799, &[], &[]), IdleState::Idle);
    assert_eq!(look(&mut idle, 5800, &[], &[]), IdleState::Idle);
}

#[test]
fn those_that_only_a_counter_has_seen_restart_the_window() {
    let mut idle = idle(rule());
    look(&mut idle, 0, &[], &[]);
    idle.missed(3);
    let seen = look(&mut idle, 1900, &[], &[]);
    assert_eq!(text(&seen), "no connection, 3 new since the beginning, to be quiet for 2.0s");
    assert_ne!(look(&mut idle, 3800, &[], &[]), IdleState::Idle);
    assert_eq!(look(&mut idle, 3900, &[], &[]), IdleState::Idle);
}

#[test]
fn a_port_nobody_listens_on_is_waited_for_with_a_warning() {
    let mut idle = Idle::new(rule(), vec![8080, 8099], Listeners::default(), &[], At::ZERO);
    idle.listen(listeners(listener()));
    let seen = look(&mut idle, 9000, &[], &[]);
    let IdleState::NotYet { progress, at: None } = seen else { panic!("{seen:?}") };
    assert!(
        progress.alarming && progress.awaited.to_string().starts_with("nothing listens on TCP 8099: "),
        "{progress:?}"
    );
    // As soon as somebody does, it is as any.
    let late = Listener { local: "127.0.0.1:8099".parse().unwrap(), inode: 8, ..listener() };
    assert!(!idle.knows(late.local, 8));
    idle.listen(listeners(late));
    assert!(idle.knows(late.local, 8));
    assert_eq!(look(&mut idle, 9100, &[], &[]), IdleState::Idle);
    // Where every process has ended nobody is expected to.
    let rule = WaitIdle { served: false, quiet: Duration::ZERO, ..rule() };
    let mut idle = Idle::new(rule, vec![8080], Listeners::default(), &[], At::ZERO);
    assert_eq!(look(&mut idle, 1, &[], &[]), IdleState::Idle);
}

#[test]
fn the_node_s_probes_do_not_hold_it_up() {
    let node: IpAddr = "10.244.0.1".parse().unwrap();
    let probe = |n: u64| format!("10.244.0.1:{}", 40_000 + n);
    // Known by the traces of those before the stop.
    let mut known = idle_from(rule(), 60_000, &[node]);
    let traces = |upto: u64| {
        (0..upto)
            .map(|n| Connection { closed: Some(Duration::from_millis(500 + n * 2000)), ..trace(&probe(n)) })
            .collect::<Vec<_>>()
    };
    look_at(&mut known, 60_000, &traces(8));
    known.ended(&ended(&probe(9)), At::from_millis(61_500));
    let seen = look(&mut known, 61_500, &[], &[]);
    assert_eq!(text(&seen), "no connection, the node's probes aside, to be quiet for 2.0s");
    assert_eq!(look(&mut known, 62_000, &[], &[]), IdleState::Idle);
    assert_eq!(known.conclusion().unwrap().awaited.to_string(), "no connection, the node's probes aside");
    // Without traces from the third on.
    let mut unknown = idle_from(rule(), 60_000, &[node]);
    look(&mut unknown, 60_000, &[], &[]);
    for n in 0..3 {
        let at = 61_000 + n * 2000;
        unknown.ended(&ended(&probe(n)), At::from_millis(at));
        assert_eq!(look(&mut unknown, at, &[], &[]) == IdleState::Idle, n == 2, "{n}");
    }
    // Of another address they are clients.
    let mut clients = idle_from(rule(), 60_000, &[]);
    look_at(&mut clients, 60_000, &traces(8));
    clients.ended(&ended(&probe(9)), At::from_millis(61_500));
    look(&mut clients, 61_500, &[], &[]);
    assert_ne!(look(&mut clients, 63_400, &[], &[]), IdleState::Idle);
}

#[test]
fn who_comes_restarts_the_window_and_so_does_who_has_gone_again() {
    let mut idle = idle(rule());
    look(&mut idle, 0, &[], &["10.0.0.7:9"]);
    assert_eq!(
        text(&look(&mut idle, 1500, &["10.0.0.7:1"], &["10.0.0.7:9"])),
        "1 open, 1 active, 1 new since the beginning"
    );
    assert_ne!(look(&mut idle, 3000, &[], &["10.0.0.7:1"]), IdleState::Idle);
    // Came and went in between; the other had closed already.
    let seen = look(&mut idle, 3400, &[], &["10.0.0.7:1", "10.0.0.7:2"]);
    assert_eq!(text(&seen), "no connection, 2 new since the beginning, to be quiet for 2.0s");
    assert_ne!(look(&mut idle, 5300, &[], &["10.0.0.7:2"]), IdleState::Idle);
    assert_eq!(look(&mut idle, 5400, &[], &[]), IdleState::Idle);
}

#[test]
fn one_that_is_on_its_way_is_one_arrival() {
    let mut idle = idle(rule());
    look(&mut idle, 0, &[], &[]);
    look_at(&mut idle, 1900, &[Connection { stage: Stage::Arriving, ..busy("10.0.0.7:1") }]);
    assert_ne!(look(&mut idle, 2100, &[], &[]), IdleState::Idle);
    let seen = look(&mut idle, 2200, &["10.0.0.7:1"], &[]);
    assert!(text(&seen).starts_with("1 open, 1 active"), "{seen:?}");
}

#[test]
fn the_same_ends_once_more_are_an_arrival() {
    let mut idle = idle(rule());
    look(&mut idle, 0, &[], &["10.0.0.7:1"]);
    look(&mut idle, 1000, &["10.0.0.7:1"], &[]);
    assert_ne!(look(&mut idle, 2900, &[], &[]), IdleState::Idle);
    look(&mut idle, 2950, &[], &[]);
    look(&mut idle, 2960, &["10.0.0.7:1"], &[]);
    assert_ne!(look(&mut idle, 4950, &[], &[]), IdleState::Idle);
    assert_eq!(look(&mut idle, 4960, &[], &[]), IdleState::Idle);
}

#[test]
fn a_minimum_some_that_may_stay_and_some_that_do_not_count() {
    let quiet = Duration::ZERO;
    let ignore = Network::parse_list("loopback,10.1.0.0/16").unwrap();
    let rule = WaitIdle { minimum: 5 * SECOND, connections: 1, quiet, ignore, ..rule() };
    let mut idle = idle_from(rule, 100, &[]);
    look(&mut idle, 200, &[], &[]);
    let seen = look(&mut idle, 5000, &["10.0.0.7:1", "127.0.0.6:4", "10.1.2.3:4"], &["[::1]:5"]);
    let IdleState::NotYet { at, .. } = seen else { panic!("{seen:?}") };
    assert_eq!(at, Some(At::from_millis(5100)));
    assert_eq!(look(&mut idle, 5100, &["10.0.0.7:1", "127.0.0.1:7"], &[]), IdleState::Idle);
    assert_ne!(look(&mut idle, 5200, &["10.0.0.7:1", "10.0.0.7:2"], &[]), IdleState::Idle);
}

#[test]
fn a_look_that_failed_is_none_and_one_may_see_twice() {
    let mut idle = idle(rule());
    look(&mut idle, 0, &[], &[]);
    idle.see(&busy("10.0.0.7:1"), At::ZERO);
    idle.see(&busy("10.0.0.7:2"), At::ZERO);
    idle.dismiss(At::ZERO);
    let seen = look(&mut idle, 500, &["10.0.0.7:1", "10.0.0.7:1"], &["10.0.0.7:1"]);
    assert_eq!(text(&seen), "1 open, 1 active, 2 new since the beginning");
}

#[test]
fn the_quiet_window_is_one_in_which_all_could_be_seen() {
    let mut idle = idle(rule());
    look(&mut idle, 0, &[], &[]);
    idle.dismiss(At::from_millis(1900));
    let IdleState::NotYet { at, .. } = look(&mut idle, 2000, &[], &[]) else { panic!("nobody looked") };
    assert_eq!(at, Some(At::from_millis(3900)));
}

/// What softstop remembers of its own is less than TCP does.
#[test]
fn its_own_stay_its_own() {
    let mut idle = idle(rule());
    look(&mut idle, 0, &[], &[]);
    idle.see(&Connection { own: true, ..busy("127.0.0.1:5") }, At::ZERO);
    idle.ended(&Ended { own: true, ..ended("127.0.0.1:6") }, At::ZERO);
    let quiet = "no connection, to be quiet for 2.0s";
    assert_eq!(text(&look(&mut idle, 500, &[], &[])), quiet);
    assert_eq!(text(&look(&mut idle, 600, &["127.0.0.1:5"], &["127.0.0.1:6"])), quiet);
    idle.ended(&ended("127.0.0.1:5"), At::from_millis(1900));
    assert_eq!(text(&look(&mut idle, 1900, &[], &["127.0.0.1:5"])), quiet);
    assert_eq!(look(&mut idle, 2000, &[], &["127.0.0.1:5"]), IdleState::Idle);
}

#[test]
fn one_socket_closed_and_one_open_of_the_same_ends_count_once() {
    let mut idle = idle(rule());
    let both = |idle: &mut Idle| {
        idle.see(&trace("10.0.0.7:1"), At::ZERO);
        idle.see(&busy("10.0.0.7:1"), At::ZERO);
        idle.see(&busy("10.0.0.7:1"), At::ZERO);
    };
    both(&mut idle);
    assert_eq!(text(&idle.judge(At::ZERO)), "1 open, 1 active");
    both(&mut idle);
    assert_eq!(text(&idle.judge(At::from_millis(1000))), "1 open, 1 active", "it was open before");
}

#[test]
fn one_more_than_are_named_is_said_and_all_in_order() {
    let mut idle = idle(rule());
    let peers: Vec<String> = (1..=NAMED + 1).rev().map(|n| format!("10.0.0.7:{n}")).collect();
    peers.iter().for_each(|peer| idle.see(&busy(peer), At::ZERO));
    let IdleState::NotYet { progress, .. } = idle.judge(At::ZERO) else { panic!() };
    assert_eq!(
        progress.detail.unwrap().to_string(),
        "10.0.0.7:2, 10.0.0.7:3, 10.0.0.7:4, 10.0.0.7:5, 10.0.0.7:6 and 1 more"
    );
}

#[test]
fn any_number_of_connections_is_counted_and_no_more_are_remembered() {
    let mut idle = idle(rule());
    let many = MOST + 1000;
    let peer = |n: usize| SocketAddr::from(([10, 0, 1, (n / 60_000) as u8], 1 + (n % 60_000) as u16));
    let all = |idle: &mut Idle| {
        (0..many).for_each(|n| idle.see(&Connection { peer: peer(n), ..busy("10.0.0.7:1") }, At::ZERO));
    };
    for round in 0..2 {
        all(&mut idle);
        let seen = idle.judge(At::from_millis(round));
        let IdleState::NotYet { progress, .. } = &seen else { panic!("{seen:?}") };
        assert_eq!(progress.awaited.to_string(), format!("{many} open, {many} active"));
        assert!(
            progress.detail.as_ref().unwrap().to_string().ends_with(&format!(" and {} more", many - NAMED)),
            "{progress:?}"
        );
        assert_eq!(idle.known.len(), MOST);
    }
    for round in 2..30 {
        idle.judge(At::from_millis(round));
    }
    assert_eq!(idle.known.len(), 0);
}

/// What a client does: comes, asks now and then, goes.
#[derive(Clone, Debug)]
struct Life {
    from: u64,
    length: u64,
    /// After the beginning, and how long the answer takes.
    requests: Vec<(u64, u64)>,
    leaves_trace: bool,
    ignored: bool,
}

fn life() -> impl Strategy<Value = Life> {
    let requests = proptest::collection::vec((0u64..4_000, 0u64..1_500), 0..4);
    (0u64..10_000, 0u64..6_000, requests, any::<bool>(), any::<bool>()).prop_map(
        |(from, length, mut requests, leaves_trace, ignored)| {
            requests.sort_unstable();
            Life { from, length, requests, leaves_trace, ignored }
        },
    )
}

impl Life {
    fn end(&self) -> u64 {
        self.from + self.length
    }

    fn asked(&self) -> impl Iterator<Item = u64> {
        self.requests.iter().map(|(at, _)| self.from + at).filter(|at| *at < self.end())
    }

    /// The last time something came, and was sent, as TCP has it: at the latest now.
    fn moved(&self, now: u64) -> (u64, u64) {
        let answers = self.requests.iter().map(|(at, took)| self.from + at + took);
        let last = |times: &mut dyn Iterator<Item = u64>| times.filter(|at| *at <= now).max().unwrap_or(self.from);
        (last(&mut self.asked()), last(&mut answers.filter(|at| *at < self.end())))
    }
}

proptest! {
    /// Over every life that clients may have: as long as one is served, has come or has asked within the quiet window, it is not over; and
    /// when none is, and has not, it is.
    #[test]
    fn it_is_over_when_nobody_is_served_and_nobody_comes(
        lives in proptest::collection::vec(life(), 0..12),
        pauses in proptest::collection::vec(1u64..300, 1..200),
        quiet in 0u64..3_000,
        silent in 0u64..3_000,
        minimum in 0u64..5_000,
    ) {
        let millis = Duration::from_millis;
        let rule = WaitIdle {
            quiet: millis(quiet),
            silent: millis(silent),
            minimum: millis(minimum),
            ignore: Network::parse_list("loopback").unwrap(),
            ..rule()
        };
        let mut idle = idle(rule);
        let (mut now, mut last_inspection) = (0, None);
        for pause in pauses {
            // What the rule rests on, plainly.
            let (mut served, mut last) = (false, 0);
            for (n, life) in lives.iter().enumerate().filter(|(_, l)| l.from <= now) {
                let host = if life.ignored { "127.0.0.1" } else { "10.0.0.7" };
                let peer = format!("{host}:{}", n + 1);
                let (received, sent) = life.moved(now);
                let flow = Flow { received: millis(now - received), sent: millis(now - sent), heard: millis(0) };
                if now < life.end() {
                    idle.see(&Connection { flow: Some(flow), ..busy(&peer) }, At::from_millis(now));
                } else {
                    if last_inspection.is_none_or(|look| look < life.end()) {
                        let received = Some(millis(now - received));
                        idle.ended(&Ended { received, ..ended(&peer) }, At::from_millis(now));
                    }
                    if life.leaves_trace {
                        idle.see(&trace(&peer), At::from_millis(now));
                    }
                }
                if !life.ignored {
                    let open = now < life.end();
                    served |= open && (received > sent || now - received < silent || now - sent < silent);
                    last = last.max(life.from).max(received);
                }
            }
            let state = idle.judge(At::from_millis(now));
            if state == IdleState::Idle {
                prop_assert!(!served, "at {now}: somebody is served");
                prop_assert!(now >= last + quiet || last == 0, "at {now}: somebody came or asked at {last}");
                prop_assert!(now >= minimum);
            } else if !served && last_inspection.is_some() {
                // A look later than it came, at the most, it is known.
                prop_assert!(now < minimum || now < last + quiet + 300, "at {now}, last {last}: {state:?}");
            }
            if let IdleState::NotYet { at: Some(at), .. } = state {
                prop_assert!(at > At::from_millis(now));
            }
            last_inspection = Some(now);
            now += pause;
        }
    }
}
