//! The pure core against a simulated world: random configurations, processes that exit, hang, ignore signals, crash and
//! leave things behind, hooks and probes that succeed, fail and hang, stop requests at any instant; virtual time. After
//! every action the invariants of DESIGN section 4 are checked. A failure prints the scenario, shrunk, and its timeline.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use proptest::prelude::*;
use softstop::config::{
    Condition, Config, Handler, OnExit, OnFailure, Probe, Process, ReadinessOnDrain, Restart, Retries, Rung, Step,
    Task, When,
};
use softstop::lifecycle::Machine;
use softstop::lifecycle::action::{Action, ProbeKind, What};
use softstop::lifecycle::event::{Event, Exit, Outcome, ProcId, RunId, Sender, SpawnError, SpawnErrorKind};
use softstop::plan::Plan;
use softstop::plan::budget::task_length;
use softstop::report::{Note, StepKind, TaskResult};
use softstop::signal::Signal;
use softstop::time::At;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// === the scenario ===

/// How one run of a process behaves.
#[derive(Clone, Debug)]
struct Life {
    /// Cannot be started at all.
    fails_to_start: Option<bool>,
    /// Ends by itself after so long, with this code.
    ends: Option<(u64, u8)>,
    /// Ends so long after a stop signal, with this code; `None`: ignores every signal but SIGKILL.
    obeys: Option<(u64, u8)>,
    /// SIGKILL does not end it either.
    unkillable: bool,
    /// So long does what it leaves in its group live after a stop signal; `Some(None)`: until SIGKILL.
    leaves: Option<Option<u64>>,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Ok(u64),
    Fails(u64),
    Hangs,
}

#[derive(Clone, Debug)]
struct Scenario {
    config: Config,
    /// Per process, its runs in turn (the last one again and again).
    lives: Vec<Vec<Life>>,
    /// What hooks and probes answer, in turn, round and round.
    answers: Vec<Answer>,
    /// Signals to softstop.
    signals: Vec<(u64, Signal, Sender)>,
    /// Daemons from other sessions: they live so long after SIGTERM, or until SIGKILL.
    stragglers: Vec<Option<u64>>,
}

fn life() -> impl Strategy<Value = Life> {
    (
        prop_oneof![9 => Just(None), 1 => any::<bool>().prop_map(Some)],
        prop_oneof![2 => Just(None), 2 => (0u64..20_000, prop_oneof![Just(0u8), Just(3u8)]).prop_map(Some)],
        prop_oneof![1 => Just(None), 4 => (0u64..5_000, prop_oneof![Just(0u8), Just(143u8), Just(7u8)]).prop_map(Some)],
        prop_oneof![20 => Just(false), 1 => Just(true)],
        prop_oneof![4 => Just(None), 1 => Just(Some(None)), 1 => (0u64..3_000).prop_map(|t| Some(Some(t)))],
    )
        .prop_map(|(fails_to_start, ends, obeys, unkillable, leaves)| Life {
            fails_to_start,
            ends,
            obeys,
            unkillable,
            leaves,
        })
}

fn handler() -> impl Strategy<Value = Handler> {
    prop_oneof![
        2 => Just(Handler::Exec(vec!["hook".into()])),
        1 => (0u64..8_000).prop_map(|t| Handler::Sleep(ms(t))),
        1 => Just(Handler::Signal { process: 0, signal: Signal::USR1 }),
    ]
}

fn task(on_failure: Vec<OnFailure>) -> impl Strategy<Value = Task> {
    (handler(), prop::option::of(1u64..10_000), 0u32..3, 0u64..2_000, prop::sample::select(on_failure)).prop_map(
        |(handler, timeout, retries, delay, on_failure)| Task {
            timeout: timeout.map(ms),
            retries: if retries == 2 { Retries::UntilTimeout } else { Retries::Count(retries) },
            retry_delay: ms(delay),
            on_failure,
            ..Task::new("task", handler)
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    (
        prop::collection::vec(task(vec![OnFailure::Ignore, OnFailure::Ignore, OnFailure::Stop]), 1..3),
        prop::option::of(0u64..5_000),
        prop::sample::select(vec![When::Requested, When::Always]),
    )
        .prop_map(|(tasks, reserve, when)| Step { tasks, reserve: reserve.map(ms), when })
}

fn probe() -> impl Strategy<Value = Probe> {
    (0u64..3_000, 1u64..5_000, 1u64..3_000, 1u32..4).prop_map(|(delay, period, timeout, failures)| Probe {
        initial_delay: ms(delay),
        period: ms(period),
        timeout: ms(timeout),
        failure_threshold: failures,
        ..Probe::new(Handler::Exec(vec!["probe".into()]))
    })
}

prop_compose! {
    fn process(index: usize)(
        restart in prop::sample::select(vec![Restart::Always, Restart::OnFailure, Restart::Never]),
        on_exit in prop::sample::select(vec![OnExit::Stop, OnExit::StopOnFailure, OnExit::Continue]),
        ladder in prop::collection::vec((prop::sample::select(vec![Signal::QUIT, Signal::TERM, Signal::INT]), prop::option::of(0u64..8_000)), 0..3),
        after in prop::collection::vec((0..index.max(1), prop::sample::select(vec![Condition::Started, Condition::Ready, Condition::Completed])), 0..if index == 0 { 1 } else { 3 }),
        startup in prop::option::weighted(0.2, probe()),
        readiness in prop::option::weighted(0.3, probe()),
        liveness in prop::option::weighted(0.2, probe()),
        post_start in prop::collection::vec(task(vec![OnFailure::Ignore, OnFailure::Restart, OnFailure::Stop]), 0..2),
        pre_stop in prop::option::weighted(0.3, task(vec![OnFailure::Ignore])),
        max_restarts in prop::option::of(0u32..4),
        received in any::<bool>(),
    ) -> Process {
        Process {
            restart, on_exit, startup, readiness, liveness, post_start, pre_stop, max_restarts,
            stop: ladder.into_iter().map(|(signal, wait)| Rung { signal, wait: wait.map(ms) }).collect(),
            after: if index == 0 { Vec::new() } else { after },
            stop_as_received: received,
            ..Process::new(format!("p{index}"), vec!["p".into()])
        }
    }
}

fn config() -> impl Strategy<Value = Config> {
    (
        (0u64..40_000, prop_oneof![1 => Just(0), 5 => 0u64..2_000], prop::option::of(0u64..10_000)),
        (1usize..4).prop_flat_map(|n| (0..n).map(process).collect::<Vec<_>>()),
        prop::collection::vec(task(vec![OnFailure::Ignore, OnFailure::Stop]), 0..2),
        prop::collection::vec(step(), 0..3),
        prop::collection::vec(step(), 0..3),
        prop::option::of(any::<u8>()),
        prop::sample::select(vec![ReadinessOnDrain::Fail, ReadinessOnDrain::Fail, ReadinessOnDrain::Keep]),
        any::<bool>(),
    )
        .prop_map(|((grace, reserve, stop), processes, init, drain, post_stop, forced, policy, main)| {
            let mut c = Config::with_defaults();
            c.grace = ms(grace);
            c.kill_reserve = ms(reserve).min(c.grace);
            c.stop_reserve = stop.map(ms);
            c.processes = processes;
            c.processes[0].main = main;
            c.init = init;
            c.drain = drain;
            c.post_stop = post_stop;
            c.exit_codes.forced = forced;
            c.exit_codes.map = [(143, 0), (3, 33)].into();
            // By its name every step is known again in the notes.
            for (steps, kind) in [(&mut c.drain, "drain"), (&mut c.post_stop, "post_stop")] {
                for (i, step) in steps.iter_mut().enumerate() {
                    step.tasks.iter_mut().enumerate().for_each(|(t, task)| task.name = format!("{kind} {i} {t}"));
                }
            }
            c.readiness_on_drain = policy;
            c
        })
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let signal = (
        0u64..60_000,
        prop::sample::select(vec![Signal::TERM, Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1]),
        prop::sample::select(vec![Sender::Outside, Sender::Process(7), Sender::Terminal]),
    );
    (
        config(),
        prop::collection::vec(prop::collection::vec(life(), 1..3), 4),
        prop::collection::vec(
            prop_oneof![
                3 => (0u64..4_000).prop_map(Answer::Ok),
                2 => (0u64..4_000).prop_map(Answer::Fails),
                1 => Just(Answer::Hangs),
            ],
            1..6,
        ),
        prop::collection::vec(signal, 0..5),
        prop::collection::vec(prop::option::of(0u64..6_000), 0..3),
    )
        .prop_map(|(config, lives, answers, signals, stragglers)| Scenario {
            config,
            lives,
            answers,
            signals,
            stragglers,
        })
}

// === the world ===

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Signal(usize),
    ProcessEnds(usize, u32, u8, i32),
    GroupEnds(usize, u32),
    StragglerEnds(usize),
    Answers(u64, bool),
}

#[derive(Debug, Default)]
struct Body {
    run: u32,
    alive: bool,
    /// Somebody is left of its group.
    group: bool,
    /// The leader was killed, so what it leaves is on its own.
    unkillable: bool,
}

/// What the exit code follows from.
#[derive(Debug, Default)]
struct Account {
    cause: String,
    /// The signal that began the stop, when one did.
    signal: Option<Signal>,
    last_exit: BTreeMap<usize, Exit>,
    /// The end of the latest attempt to start it, when that failed.
    not_started: BTreeMap<usize, u8>,
    cannot_start: BTreeSet<usize>,
    anything_ran: bool,
    /// SIGKILL went to somebody who needed it; or may have, at the very end.
    killed: bool,
    swept: bool,
    /// When something ended last: a process, a hook, a step.
    last_end: At,
}

struct World {
    scenario: Scenario,
    machine: Machine,
    now: At,
    queue: BinaryHeap<Reverse<(At, u64, Due)>>,
    seq: u64,
    bodies: Vec<Body>,
    stragglers: Vec<bool>,
    runs: BTreeMap<u64, What>,
    answered: usize,
    census: bool,
    t0: Option<At>,
    drain_left: usize,
    cut: bool,
    finished: Option<u8>,
    /// For I8: what is known of the end without asking the machine.
    ended: Account,
    /// Whose group, and whether stragglers, had a stop signal.
    told: (BTreeSet<usize>, bool),
    /// Its group may be signalled in this turn.
    zombie: Option<usize>,
    stopping_before: BTreeSet<usize>,
    timeline: Vec<String>,
}

impl World {
    fn new(scenario: Scenario) -> World {
        let plan = Plan::new(scenario.config.clone());
        let mut world = World {
            bodies: scenario.config.processes.iter().map(|_| Body::default()).collect(),
            stragglers: scenario.stragglers.iter().map(|_| true).collect(),
            drain_left: scenario.config.drain.iter().map(|s| s.tasks.len()).sum(),
            machine: Machine::new(plan),
            scenario,
            now: At::ZERO,
            queue: BinaryHeap::new(),
            seq: 0,
            runs: BTreeMap::new(),
            answered: 0,
            census: false,
            t0: None,
            cut: false,
            finished: None,
            ended: Account::default(),
            told: Default::default(),
            zombie: None,
            stopping_before: BTreeSet::new(),
            timeline: Vec::new(),
        };
        for (i, (at, _, _)) in world.scenario.signals.clone().into_iter().enumerate() {
            world.at(ms(at), Due::Signal(i));
        }
        world
    }

    fn at(&mut self, after: Duration, due: Due) {
        self.seq += 1;
        self.queue.push(Reverse((self.now + after, self.seq, due)));
    }

    fn life(&self, p: usize) -> Life {
        let lives = &self.scenario.lives[p % self.scenario.lives.len()];
        lives[(self.bodies[p].run as usize).saturating_sub(1).min(lives.len() - 1)].clone()
    }

    fn alone(&self) -> bool {
        self.bodies.iter().all(|b| !b.alive && !b.group) && self.stragglers.iter().all(|s| !*s)
    }

    /// Run to the end, or until nothing would ever happen without a stop request.
    fn run(&mut self) -> Result<(), String> {
        self.feed(Event::Begin)?;
        let mut events = 0;
        while self.finished.is_none() {
            events += 1;
            if events > 20_000 {
                return Err("livelock: 20,000 events".into());
            }
            let timer = self.machine.next_deadline();
            let next = self.queue.peek().map(|Reverse((at, ..))| *at);
            let asked = self.t0.is_some();
            match (next, timer) {
                // A container that nobody stops runs on; stop it in the end.
                _ if !asked && self.now > At::from_millis(90_000) => self.terminate()?,
                (None, None) => self.terminate()?,
                (Some(at), timer) if timer.is_none_or(|t| at <= t) => {
                    let Some(Reverse((_, _, due))) = self.queue.pop() else {
                        continue;
                    };
                    self.now = self.now.max(at);
                    self.happen(due)?;
                }
                (_, Some(at)) => {
                    if at < self.now && events > 10_000 {
                        return Err(format!("deadline {at:?} stays in the past"));
                    }
                    self.now = self.now.max(at);
                    self.feed(Event::Tick)?;
                }
                (Some(_), None) => unreachable!("covered above"),
            }
            if let Some(t0) = self.t0
                && self.now > t0 + self.scenario.config.grace
                && self.finished.is_none()
            {
                return Err("I1: still running after T0 + grace".into());
            }
        }
        Ok(())
    }

    fn terminate(&mut self) -> Result<(), String> {
        if self.t0.is_some() {
            return Err("I1: stopping, but no deadline is set".into());
        }
        self.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside })
    }

    fn happen(&mut self, due: Due) -> Result<(), String> {
        match due {
            Due::Signal(i) => {
                let (_, signal, sender) = self.scenario.signals[i];
                self.feed(Event::Signalled { signal, sender })
            }
            Due::ProcessEnds(p, run, code, signal) => {
                let body = &mut self.bodies[p];
                if !body.alive || body.run != run {
                    return Ok(());
                }
                body.alive = false;
                let left = self.life(p).leaves.is_some();
                self.bodies[p].group = left;
                let status = match Signal::from_number(signal) {
                    Some(signal) => Exit::Signal { signal, core: false },
                    None => Exit::Code(code),
                };
                self.ended.last_exit.insert(p, status);
                self.zombie = Some(p);
                self.feed(Event::Exited { process: ProcId(p), status })?;
                self.zombie = None;
                if !self.bodies[p].group && !self.bodies[p].alive {
                    self.feed(Event::GroupEmpty { process: ProcId(p) })?;
                }
                self.after_reap()
            }
            Due::GroupEnds(p, run) => {
                if self.bodies[p].group && self.bodies[p].run == run {
                    self.bodies[p].group = false;
                    self.feed(Event::GroupEmpty { process: ProcId(p) })?;
                }
                self.after_reap()
            }
            Due::StragglerEnds(i) => {
                self.ended.last_end = self.now;
                self.stragglers[i] = false;
                self.after_reap()
            }
            Due::Answers(run, ok) => {
                if self.runs.remove(&run).is_none() {
                    return Ok(());
                }
                let outcome =
                    if ok { Outcome::Ok } else { Outcome::Failed { reason: "exit code 5".into(), code: Some(5) } };
                self.feed(Event::RunDone { run: RunId(run), outcome })?;
                self.after_reap()
            }
        }
    }

    fn after_reap(&mut self) -> Result<(), String> {
        if self.alone() && self.t0.is_some() && self.finished.is_none() { self.feed(Event::Alone) } else { Ok(()) }
    }

    fn feed(&mut self, event: Event) -> Result<(), String> {
        if !matches!(event, Event::Tick | Event::Alone | Event::NotAlone) {
            self.ended.last_end = self.now;
        }
        self.timeline.push(format!("{:>9.3}s  {event:?}", self.now.since_start().as_secs_f64()));
        let stopping = self.machine.stopping();
        let actions = self.machine.step(self.now, event);
        for action in actions {
            self.perform(action)?;
        }
        if self.machine.stopping()
            && self.scenario.config.readiness_on_drain == ReadinessOnDrain::Fail
            && self.machine.ready()
        {
            return Err("I2: ready after the stop request".into());
        }
        if stopping && !self.machine.stopping() {
            return Err("a stop was taken back".into());
        }
        if std::mem::take(&mut self.census) && self.finished.is_none() {
            let answer = if self.alone() { Event::Alone } else { Event::NotAlone };
            self.feed(answer)?;
        }
        // Rendering never fails, whatever the state.
        let _status = self.machine.status(self.now);
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Result<(), String> {
        self.timeline.push(format!("               {action:?}"));
        if self.finished.is_some() {
            return Err(format!("an action after the end: {action:?}"));
        }
        match action {
            Action::Spawn { process } => self.spawn(process.0),
            Action::Signal { process, signal, wake, .. } => self.signal(process.0, signal, wake),
            Action::Forward { process, .. } => self.must_live(process.0),
            Action::Kill { process, because } => self.kill(process.0, because.left_overs),
            Action::SignalGroup { process, signal } => self.signal_group(process.0, signal),
            Action::Run { run, what, limit, .. } => self.hook(run.0, what, limit),
            Action::Cancel { run, kill } => {
                // A killed or terminated hook is reaped soon; SIGTERM it may well ignore.
                if kill || run.0 % 3 != 0 {
                    self.at(ms(2), Due::Answers(run.0, false));
                }
                Ok(())
            }
            Action::SignalStragglers { signal } => {
                self.ended.killed |= signal == Signal::KILL;
                if signal == Signal::KILL && !std::mem::take(&mut self.told.1) {
                    return Err("SIGKILL to stragglers that were not asked to stop".into());
                }
                self.told.1 |= signal != Signal::KILL;
                for i in 0..self.stragglers.len() {
                    match (signal == Signal::KILL, self.scenario.stragglers[i]) {
                        (true, _) => self.at(ms(1), Due::StragglerEnds(i)),
                        (false, Some(t)) => self.at(ms(t), Due::StragglerEnds(i)),
                        (false, None) => {}
                    }
                }
                Ok(())
            }
            Action::KillEverything => {
                self.ended.swept = true;
                for i in 0..self.stragglers.len() {
                    self.at(ms(1), Due::StragglerEnds(i));
                }
                for p in 0..self.bodies.len() {
                    self.sigkill(p);
                }
                Ok(())
            }
            Action::Census => {
                self.census = true;
                Ok(())
            }
            Action::Note(note) => self.note(&note),
            Action::Finish { code } => self.finish(code),
        }
    }

    fn spawn(&mut self, p: usize) -> Result<(), String> {
        if self.t0.is_some() {
            return Err(format!("I6: p{p} started after T0"));
        }
        if self.bodies[p].alive {
            return Err(format!("p{p} started twice"));
        }
        let after = &self.scenario.config.processes[p].after;
        for (on, condition) in after {
            if *condition == Condition::Started && self.bodies[*on].run == 0 {
                return Err(format!("p{p} started before p{on}"));
            }
        }
        self.stopping_before.remove(&p);
        self.bodies[p].run += 1;
        let (life, run) = (self.life(p), self.bodies[p].run);
        if let Some(transient) = life.fails_to_start {
            let kind = if transient { SpawnErrorKind::Transient } else { SpawnErrorKind::NotFound };
            let error = SpawnError { kind, text: "no".into() };
            self.ended.not_started.insert(p, if transient { 70 } else { 127 });
            return self.feed(Event::SpawnFailed { process: ProcId(p), error });
        }
        self.ended.not_started.remove(&p);
        self.ended.anything_ran = true;
        self.bodies[p].alive = true;
        self.bodies[p].unkillable = life.unkillable;
        if let Some((t, code)) = life.ends {
            self.at(ms(t), Due::ProcessEnds(p, run, code, 0));
        }
        self.feed(Event::Spawned { process: ProcId(p), pid: 100 + i32::try_from(p).unwrap_or(0) })
    }

    fn must_live(&self, p: usize) -> Result<(), String> {
        if self.bodies[p].alive { Ok(()) } else { Err(format!("I9: a signal to p{p}, which has been reaped")) }
    }

    fn signal(&mut self, p: usize, signal: Signal, ladder: bool) -> Result<(), String> {
        self.must_live(p)?;
        if !ladder && signal != Signal::USR1 {
            return Err(format!("{signal} to p{p} without SIGCONT: stopped, it could not act on it"));
        }
        if ladder && self.t0.is_some() && self.drain_left > 0 && !self.cut && !self.stopping_before.contains(&p) {
            return Err(format!("I3: {signal} to p{p} with {} drain tasks to go", self.drain_left));
        }
        let (life, run) = (self.life(p), self.bodies[p].run);
        if let (true, Some((t, code))) = (ladder, life.obeys) {
            self.at(ms(t), Due::ProcessEnds(p, run, code, if code == 7 { signal.number() } else { 0 }));
        }
        Ok(())
    }

    fn sigkill(&mut self, p: usize) {
        if self.bodies[p].unkillable {
            return;
        }
        let run = self.bodies[p].run;
        if self.bodies[p].alive {
            self.at(ms(1), Due::ProcessEnds(p, run, 0, 9));
        }
        self.at(ms(2), Due::GroupEnds(p, run));
    }

    fn kill(&mut self, p: usize, left_overs: bool) -> Result<(), String> {
        self.ended.killed |= self.t0.is_some();
        if left_overs {
            if !self.told.0.remove(&p) {
                return Err(format!("SIGKILL to the left-overs of p{p}, which were not asked to stop"));
            }
            if self.bodies[p].alive || !self.bodies[p].group {
                return Err(format!("I9: SIGKILL to the left-overs of p{p}, of which there are none"));
            }
        } else {
            self.must_live(p)?;
        }
        self.sigkill(p);
        Ok(())
    }

    fn signal_group(&mut self, p: usize, signal: Signal) -> Result<(), String> {
        if self.zombie != Some(p) && !self.bodies[p].group {
            return Err(format!("I9: a signal to the group of p{p}, which is gone"));
        }
        self.told.0.insert(p);
        let run = self.bodies[p].run;
        match (signal == Signal::KILL, self.life(p).leaves) {
            (true, Some(_)) => self.at(ms(1), Due::GroupEnds(p, run)),
            (false, Some(Some(t))) => self.at(ms(t), Due::GroupEnds(p, run)),
            _ => {}
        }
        Ok(())
    }

    fn hook(&mut self, run: u64, what: What, limit: Duration) -> Result<(), String> {
        if self.t0.is_some() {
            let allowed = match what {
                What::Init(_) | What::PostStart(..) => false,
                What::Probe(_, kind) => kind == ProbeKind::Readiness,
                What::PreStop(_) | What::Drain(..) | What::PostStop(..) => true,
            };
            if !allowed {
                return Err(format!("I6: {what:?} begun after T0"));
            }
            let end = self.t0.unwrap_or_default() + self.scenario.config.grace;
            if !matches!(what, What::Probe(..)) && self.now + limit > end {
                return Err(format!("I1: {what:?} may run past the grace"));
            }
        }
        self.runs.insert(run, what);
        let answer = self.scenario.answers[self.answered % self.scenario.answers.len()];
        self.answered += 1;
        match answer {
            Answer::Ok(t) => self.at(ms(t), Due::Answers(run, true)),
            Answer::Fails(t) => self.at(ms(t), Due::Answers(run, false)),
            Answer::Hangs => {}
        }
        Ok(())
    }

    fn note(&mut self, note: &Note) -> Result<(), String> {
        let text = note.to_string();
        if text.contains('\n') || text.is_empty() {
            return Err(format!("not one line: {text:?}"));
        }
        if matches!(
            note,
            Note::StopBegan { .. } | Note::TaskEnded { .. } | Note::StepEnded { .. } | Note::StepSkipped { .. }
        ) {
            self.ended.last_end = self.now;
        }
        match note {
            Note::StopBegan { cause, .. } => {
                self.t0 = Some(self.now);
                self.ended.cause.clone_from(cause);
                self.ended.signal = cause.split(' ').next().and_then(|word| Signal::parse(word).ok());
            }
            Note::CannotStart { process, .. } => {
                self.ended.cannot_start.insert(process[1..].parse().map_err(|_| "name".to_string())?);
            }
            // Unhealthy, and being stopped for a restart: that stop goes on when the container's begins.
            Note::Stopping { process, .. } if self.t0.is_none() => {
                self.stopping_before.insert(process[1..].parse().map_err(|_| "name".to_string())?);
            }
            Note::StopAgain { effect, .. } if *effect != "changes nothing" => self.cut = true,
            Note::OutOfTime { .. } => self.cut = true,
            // A hook of the start that would not end; processes are killed by an action of their own.
            Note::Killed { .. } if self.t0.is_some() => self.ended.killed = true,
            Note::ProbeFailed { reason, .. } if reason.is_empty() => return Err(format!("no reason: {text}")),
            Note::StepEnded { kind: StepKind::Drain, .. } => self.drain_left -= 1,
            Note::StepSkipped { kind: StepKind::Drain, .. } => self.drain_left -= 1,
            Note::Stopping { process, .. } if self.t0.is_some() => {
                let p: usize = process[1..].parse().map_err(|_| "name".to_string())?;
                let alive = |d: usize| self.bodies[d].alive && !self.bodies[d].unkillable;
                for (d, other) in self.scenario.config.processes.iter().enumerate() {
                    if other.after.iter().any(|(on, _)| *on == p) && alive(d) && !self.time_is_up() {
                        return Err(format!("I4: p{p} stops while p{d}, which needs it, lives"));
                    }
                }
            }
            _ => {}
        }
        self.check_reserve(note)
    }

    /// The stop of the processes has had all of its share.
    fn time_is_up(&self) -> bool {
        let budget = &self.machine.plan().budget;
        self.cut || self.t0.is_some_and(|t0| self.now >= budget.deadline(t0) - budget.after_stop())
    }

    /// I7, from the settings alone: what was stated is held for exactly that step, and a quarter for who stops.
    fn check_reserve(&mut self, note: &Note) -> Result<(), String> {
        let c = &self.scenario.config;
        let stated = |steps: &[Step]| steps.iter().filter_map(|s| s.reserve).sum::<Duration>();
        let (drain, post_stop) = (stated(&c.drain), stated(&c.post_stop));
        let free = c.grace.checked_sub(c.kill_reserve + drain + post_stop);
        let (Some(free), Some(t0), false) = (free, self.t0, self.cut) else { return Ok(()) };
        let (kind, name, share) = match note {
            Note::StepBegan { kind, name, share, .. } => (*kind, name, share.0),
            Note::StepSkipped { kind, name, result: TaskResult::NoTime } => (*kind, name, Duration::ZERO),
            Note::Stopping { process, .. } => {
                let pool = c.stop_reserve.unwrap_or(c.grace / 4).min(free);
                let p: usize = process[1..].parse().map_err(|_| "name".to_string())?;
                let first = !c.processes.iter().any(|other| other.after.iter().any(|(on, _)| *on == p));
                let left = (t0 + (c.grace - c.kill_reserve - post_stop)).left(self.now);
                let held = left + ms(1) >= pool || !first || self.stopping_before.contains(&p);
                return if held { Ok(()) } else { Err(format!("I7: {left:?} to stop in, of {pool:?} held")) };
            }
            _ => return Ok(()),
        };
        let place: Vec<usize> = name.split(' ').filter_map(|word| word.parse().ok()).collect();
        let step = if kind == StepKind::Drain { &c.drain[place[0]] } else { &c.post_stop[place[0]] };
        let silent = c.post_stop.iter().filter(|s| s.reserve.is_none()).count() as u32;
        let begun = matches!(note, Note::StepBegan { .. });
        if begun && kind == StepKind::Drain && self.ended.signal.is_none() && step.when == When::Requested {
            return Err(format!("{name:?} begun, and nobody asked for the stop"));
        }
        let held = match (step.reserve, kind) {
            (Some(reserve), _) => reserve,
            (None, StepKind::Drain) => Duration::ZERO,
            (None, StepKind::PostStop) => c.stop_reserve.unwrap_or(c.grace / 4).min(free) / 2 / silent,
        };
        let held = task_length(&step.tasks[place[1]]).map_or(held, |t| t.min(held));
        if share + ms(1) < held {
            Err(format!("I7: {share:?} for {name:?}, for which {held:?} is held"))
        } else {
            Ok(())
        }
    }

    /// I8: the code of the documented table, worked out from what happened. Where there is no main process, or the machine
    /// may rightly see it either way, nothing is said.
    fn expected_codes(&self) -> Vec<u8> {
        let c = &self.scenario.config;
        let main = c.processes.iter().position(|p| p.main).or((c.processes.len() == 1).then_some(0));
        let known = &self.ended;
        let failing = |word: &str| known.cause.contains(word);
        let subject = || known.cause[1..].split(' ').next().and_then(|p| p.parse::<usize>().ok()).unwrap_or_default();
        // That of the stop signal, or of the process whose end was the container's.
        let cause = || match known.signal {
            Some(signal) => 128 + signal.number() as u8,
            None if failing(" ended with ") => known.last_exit.get(&subject()).map_or(0, |e| e.code()),
            None => 0,
        };
        let map = |code: u8| c.exit_codes.map.get(&code).copied().unwrap_or(code);
        let own: Vec<u8> = if failing("could not be started") {
            vec![known.not_started[&subject()]]
        } else if failing("init task") || failing("a post_start task of") {
            // The hook's own code, or none of its own: it timed out, or what it was to signal was not there.
            vec![5, 1]
        } else if failing("waits for") {
            vec![1]
        } else if let (Some(signal), false) = (known.signal, known.anything_ran) {
            vec![map(128 + signal.number() as u8)]
        } else {
            let Some(main) = main else { return Vec::new() };
            let code = match (self.bodies[main].alive, known.not_started.get(&main), known.last_exit.get(&main)) {
                (true, ..) => 137,
                (false, Some(code), exit) => {
                    // Its end, unless it was to be tried again when the stop came.
                    let before = exit.map_or_else(cause, |e| e.code());
                    return self.forced(vec![map(*code), map(before)]);
                }
                (false, None, Some(exit)) => exit.code(),
                (false, None, None) if known.cannot_start.contains(&main) => 1,
                (false, None, None) => cause(),
            };
            vec![map(code)]
        };
        self.forced(own)
    }

    fn forced(&self, own: Vec<u8>) -> Vec<u8> {
        match self.scenario.config.exit_codes.forced {
            Some(forced) if self.ended.killed => vec![forced],
            Some(forced) if self.ended.swept => [own, vec![forced]].concat(),
            _ => own,
        }
    }

    fn finish(&mut self, code: u8) -> Result<(), String> {
        self.finished = Some(code);
        let t0 = self.t0.ok_or("finished without a stop")?;
        if self.now > t0 + self.scenario.config.grace {
            return Err(format!("I1: {:?} after T0, with {:?} grace", self.now.since(t0), self.scenario.config.grace));
        }
        if self.alone() && self.runs.is_empty() && self.now > self.ended.last_end + ms(1) {
            return Err(format!("X12: everything was over at {:?}", self.ended.last_end));
        }
        let expected = self.expected_codes();
        if !expected.is_empty() && !expected.contains(&code) {
            return Err(format!("I8: exit code {code}, where the table says {expected:?}: {:?}", self.ended));
        }
        if !self.alone() && !self.ended.swept {
            return Err("something is left alive that no SIGKILL was sent to".into());
        }
        let budget = &self.machine.plan().budget;
        if !self.alone() && self.now < budget.deadline(t0) && !self.bodies.iter().any(|b| b.unkillable) && !self.cut {
            return Err("ended early with something left alive".into());
        }
        if self.machine.next_deadline().is_some() {
            return Err("a timer after the end".into());
        }
        Ok(())
    }
}

fn check(scenario: Scenario) -> Result<World, TestCaseError> {
    let mut world = World::new(scenario);
    match world.run() {
        Ok(()) => Ok(world),
        Err(why) => Err(TestCaseError::fail(format!("{why}\n{}", world.timeline.join("\n")))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// I1–I4, I6–I9 and the contract of the machine, under any schedule.
    #[test]
    fn the_invariants_hold_in_any_world(scenario in scenario()) {
        check(scenario)?;
    }
}

/// `SOFTSTOP_CASES` for a long run.
fn cases() -> u32 {
    std::env::var("SOFTSTOP_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}
