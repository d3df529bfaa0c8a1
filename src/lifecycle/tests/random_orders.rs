//! Orders of every kind at any instant, among signals, exits and the passing of time: each is answered once, nothing is started
//! after T0, readiness does not come back, and the end is never later than it was said to be.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::super::Machine;
use super::super::action::Action;
use super::super::event::{Client, Event, Exit, Order, ProcId, RequestId, Sender};
use crate::config::{Config, Handler, OnExit, Process, Restart, Rung, Step, Task, When};
use crate::plan::Plan;
use crate::signal::Signal;
use crate::time::At;

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

struct World {
    machine: Machine,
    now: At,
    alive: [bool; 2],
    /// SIGKILL has been sent.
    dying: BTreeSet<usize>,
    /// Whether a process ends when it is told to.
    obeys: [bool; 2],
    waiting: BTreeSet<u64>,
    end: Option<At>,
    finished: Option<At>,
}

impl World {
    fn feed(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let stopping = self.machine.stopping();
            let (mut spawned, mut answered) = (None, None);
            let actions = self.machine.step(self.now, event);
            assert!(!actions.iter().any(|a| stopping && matches!(a, Action::Spawn { .. })), "I6: {actions:?}");
            let mut census = false;
            for action in actions {
                match action {
                    Action::Spawn { process } => {
                        self.alive[process.0] = true;
                        spawned = Some(Event::Spawned { process, pid: 100 });
                    }
                    Action::Signal { process, signal, .. } => {
                        assert!(self.alive[process.0], "I9: a signal to what has ended");
                        if signal == Signal::TERM && self.obeys[process.0] {
                            self.dying.insert(process.0);
                        }
                    }
                    Action::SignalByCommand { ask, process, signal, .. } => {
                        assert!(self.alive[process.0], "I9: an ordered signal to what has ended");
                        if signal == Signal::TERM && self.obeys[process.0] {
                            self.dying.insert(process.0);
                        }
                        answered = Some(Event::SignalAnswered { ask, process, signal, error: None });
                    }
                    Action::Kill { process, .. } => drop(self.dying.insert(process.0)),
                    Action::KillEverything => self.dying.extend([0, 1]),
                    Action::Census => census = true,
                    Action::Answer { ask, .. } => assert!(self.waiting.remove(&ask.0), "{ask:?} was answered twice"),
                    Action::Finish { .. } => self.finished = Some(self.now),
                    _ => {}
                }
            }
            if census {
                events.insert(0, if self.alive == [false; 2] { Event::Alone } else { Event::NotAlone });
            }
            events.extend(answered.into_iter().chain(spawned));
            let end = self.machine.end();
            assert!(self.end.is_none() || end <= self.end, "the end moved from {:?} to {end:?}", self.end);
            self.end = end;
            assert!(!(self.machine.stopping() && self.machine.ready()), "I2");
        }
    }

    fn ends(&mut self, process: usize, status: Exit) {
        if std::mem::take(&mut self.alive[process]) {
            self.dying.remove(&process);
            self.feed(Event::Exited { process: ProcId(process), status });
            self.feed(Event::GroupEmpty { process: ProcId(process) });
        }
    }

    /// Time passes, deadline by deadline; those who have been told to end do so.
    fn pass(&mut self, until: At) {
        let mut turns = 0;
        while self.finished.is_none() {
            for process in std::mem::take(&mut self.dying) {
                self.ends(process, Exit::Signal { signal: Signal::KILL, core: false });
            }
            let next = self.machine.next_deadline().filter(|next| *next <= until);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.feed(Event::Tick);
            turns += 1;
            assert!(turns < 10_000, "it spins: {:?}", self.machine);
        }
        self.now = self.now.max(until);
    }

    fn happens(&mut self, n: u64, happening: &Happening) {
        match happening {
            Happening::Ordered(order) => {
                self.waiting.insert(n);
                let by = Client::Local { uid: 0, pid: 9 };
                self.feed(Event::Ordered { ask: RequestId(n), order: order.clone(), by });
            }
            Happening::Gone(which) => {
                if let Some(n) = self.waiting.iter().nth(*which).copied() {
                    self.waiting.remove(&n);
                    self.feed(Event::ClientGone { ask: RequestId(n) });
                }
            }
            Happening::Signalled(sender) => {
                self.feed(Event::Signalled { signal: Signal::TERM, sender: *sender, program: None })
            }
            Happening::Ends(process, code) => self.ends(*process, Exit::Code(*code)),
            Happening::Passes(ms) => self.pass(self.now + Duration::from_millis(*ms)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
    #[test]
    fn orders_at_any_instant_are_answered_and_break_nothing(
        list in prop::collection::vec(happenings(), 0..25),
        (grace, drain, policy) in (1..40u64, 0..30u64, any::<u8>()),
        obeys in any::<[bool; 2]>(),
    ) {
        let machine = Machine::new(Plan::new(config(grace, drain, policy)));
        let mut world = World {
            machine, now: At::ZERO, alive: [false; 2], dying: BTreeSet::new(), obeys,
            waiting: BTreeSet::new(), end: None, finished: None,
        };
        world.feed(Event::Begin);
        for (n, happening) in list.iter().enumerate() {
            if world.finished.is_some() {
                break;
            }
            world.happens(n as u64, happening);
        }
        if world.finished.is_none() {
            world.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Process(7), program: None });
            let end = world.end.expect("it stops");
            world.pass(end);
        }
        let finished = world.finished.expect("I1: it has ended");
        prop_assert!(Some(finished) <= world.end, "I1: {finished:?} is after {:?}", world.end);
        prop_assert!(world.waiting.is_empty(), "never answered: {:?}", world.waiting);
    }
}
