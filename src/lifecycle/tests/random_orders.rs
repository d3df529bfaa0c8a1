//! Orders of every kind at any instant, among signals, exits and the passing of time: each is answered once, nothing is started
//! after T0, readiness does not come back, and the end is never later than it was said to be.

use std::time::Duration;

use proptest::prelude::*;

use super::super::event::{Event, Exit, Order, Sender};
use super::world::World;
use crate::config::{Config, Handler, OnExit, Process, Restart, Rung, Step, Task, When};
use crate::signal::Signal;

#[derive(Clone, Debug)]
enum Happening {
    Ordered(Order),
    /// One of those who wait goes away.
    Gone(usize),
    Signalled(Sender),
    Ends(usize, u8),
    Passes(u64),
}

fn happenings() -> impl Strategy<Value = Happening> {
    let name = || prop_oneof![Just("web".to_string()), Just("db".to_string()), Just("nobody".to_string())];
    let order = prop_oneof![
        any::<bool>().prop_map(|wait| Order::Drain { wait }),
        any::<bool>().prop_map(|wait| Order::Stop { wait, process: None }),
        Just(Order::Ready),
        Just(Order::Unready),
        name().prop_map(|process| Order::Restart { process }),
        name().prop_map(|process| Order::Start { process }),
        name().prop_map(|process| Order::Signal { process, signal: Signal::USR1 }),
    ];
    let sender = prop_oneof![Just(Sender::Outside), Just(Sender::Process(7)), Just(Sender::Terminal)];
    prop_oneof![
        4 => order.prop_map(Happening::Ordered),
        1 => (0..8usize).prop_map(Happening::Gone),
        1 => sender.prop_map(Happening::Signalled),
        2 => (0..2usize, 0..3u8).prop_map(|(process, code)| Happening::Ends(process, code)),
        4 => (1..6000u64).prop_map(Happening::Passes),
    ]
}

fn step(seconds: u64) -> Step {
    Step {
        tasks: vec![Task::new("s", Handler::Sleep(Duration::from_secs(seconds)))],
        reserve: None,
        essential: false,
        when: When::Requested,
    }
}

fn config(grace: u64, drain: u64, policy: u8) -> Config {
    let mut c = Config::with_defaults();
    c.grace = Duration::from_secs(grace);
    c.kill_reserve = crate::config::default_kill_reserve(c.grace);
    c.drain = vec![step(drain), step(1)];
    c.post_stop = vec![step(1)];
    for name in ["web", "db"] {
        let mut process = Process::new(name, vec![name.into()]);
        process.restart = [Restart::Always, Restart::OnFailure, Restart::Never][usize::from(policy % 3)];
        process.on_exit = [OnExit::Stop, OnExit::StopOnFailure, OnExit::Continue][usize::from(policy / 3 % 3)];
        process.stop = vec![Rung { signal: Signal::TERM, wait: Some(Duration::from_secs(4)) }];
        c.processes.push(process);
    }
    c.processes[0].after = vec![(1, crate::config::Condition::Started)];
    c
}

fn happens(world: &mut World, happening: &Happening) {
    match happening {
        Happening::Ordered(order) => world.order(order.clone()),
        Happening::Gone(nth) => world.client_leaves(*nth),
        Happening::Signalled(sender) => {
            world.feed(Event::Signalled { signal: Signal::TERM, sender: *sender, program: None });
        }
        Happening::Ends(process, code) => world.ends(*process, Exit::Code(*code)),
        Happening::Passes(ms) => world.pass(Duration::from_millis(*ms)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
    #[test]
    fn orders_at_any_instant_are_answered_and_break_nothing(
        list in prop::collection::vec(happenings(), 0..25),
        (grace, drain, policy) in (1..40u64, 0..30u64, any::<u8>()),
        deaf in prop::collection::btree_set(0..2usize, 0..=2),
    ) {
        let mut world = World::with(config(grace, drain, policy), deaf);
        for happening in list.iter() {
            if world.finished.is_some() {
                break;
            }
            happens(&mut world, happening);
        }
        if world.finished.is_none() {
            world.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Process(7), program: None });
            let end = world.end.expect("it stops");
            world.pass(end.since(world.now));
        }
        let finished = world.finished.expect("I1: it has ended");
        prop_assert!(Some(finished) <= world.end, "I1: {finished:?} is after {:?}", world.end);
        prop_assert!(world.waiting.is_empty(), "never answered: {:?}", world.waiting);
    }
}
