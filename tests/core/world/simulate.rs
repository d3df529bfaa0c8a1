//! Plays one scenario in virtual time, as its seed says.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use softstop::facts::Place;
use softstop::lifecycle::action::What;
use softstop::lifecycle::event::{Exit, SpawnErrorKind};
use softstop::signal::Signal;
use softstop::time::At;

use super::checks::MS;
use super::draw::Draw;
use super::scenario::{Answer, Moment, Obeys, Scenario, Start};
use super::{Checked, Effect, World, broken};

/// A container that nobody stops is stopped then: everything that can happen before has.
const PATIENCE: At = At::from_millis(90_000);
/// Or after so many events: crash loops and fast probes show what they have to show long before.
const PATIENT_EVENTS: u64 = 400;
/// Far more than any scenario needs.
const EVENTS: u64 = 10_000;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Request(usize),
    Ends(usize, u32, End),
    GroupEnds(usize, u32),
    StragglerEnds(usize),
    StragglerAppears(usize),
    GroupGrows(usize, u32),
    Answers(u64, bool),
    Unknown(u64),
    GoesOn(u64, u64),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum End {
    ByItself,
    Obeying(Signal),
    Killed,
}

/// softstop did not get to run until now.
struct Pause {
    since: At,
    all: bool,
    known: bool,
}

pub struct Simulation<'a> {
    scenario: &'a Scenario,
    pub world: World,
    queue: BinaryHeap<Reverse<(At, u64, Due)>>,
    seq: u64,
    answered: usize,
    events: u64,
    after_stop_queued: bool,
}

/// What became of a scenario.
pub fn play(scenario: &Scenario, timeline: bool) -> (World, Checked) {
    let mut simulation = Simulation::new(scenario);
    if timeline {
        simulation.world.timeline = Some(Vec::new());
    }
    let result = simulation.run();
    (simulation.world, result)
}

/// The same, with what the machine has noted.
pub fn play_noted(scenario: &Scenario) -> (World, Checked) {
    let mut simulation = Simulation::new(scenario);
    simulation.world.notes_wanted = true;
    let result = simulation.run();
    (simulation.world, result)
}

/// What is drawn there, as small as it gets while it still breaks `what`.
pub fn shrunk(draw: Draw, what: &str) -> Scenario {
    draw.shrunk(Scenario::draw, |scenario| play(scenario, false).1.is_err_and(|violation| violation.what == what))
}

impl<'a> Simulation<'a> {
    fn new(scenario: &'a Scenario) -> Simulation<'a> {
        let world = World::new(scenario.config.clone(), scenario.stragglers.len());
        let mut simulation = Simulation {
            scenario,
            world,
            queue: BinaryHeap::new(),
            seq: 0,
            answered: 0,
            events: 0,
            after_stop_queued: false,
        };
        for (i, kin) in scenario.stragglers.iter().enumerate() {
            let straggler = &mut simulation.world.stragglers[i];
            straggler.parent = i.checked_sub(1).filter(|_| kin.below);
            straggler.absent = kin.appears.is_some();
            if let Some(at) = kin.appears {
                simulation.after(at, Due::StragglerAppears(i));
            }
        }
        for (i, request) in scenario.requests.iter().enumerate() {
            if let Moment::At(at) = request.when {
                simulation.after(at, Due::Request(i));
            }
        }
        simulation
    }

    fn after(&mut self, delay: Duration, due: Due) {
        self.seq += 1;
        self.queue.push(Reverse((self.world.now + delay, self.seq, due)));
    }

    fn run(&mut self) -> Checked {
        self.world.begin()?;
        self.react()?;
        while self.world.finished.is_none() {
            self.events += 1;
            if self.events > EVENTS {
                return broken("I1", format!("livelock: {EVENTS} events"));
            }
            self.next()?;
            self.requests_with_event()?;
        }
        Ok(())
    }

    fn next(&mut self) -> Checked {
        let timer = self.world.machine.next_deadline();
        let next = self.queue.peek().map(|Reverse((at, ..))| *at);
        let stopping = self.world.stop.is_some();
        match (next, timer) {
            _ if !stopping && (self.world.now > PATIENCE || self.events > PATIENT_EVENTS) => {
                self.request(Signal::TERM)?
            }
            (None, None) => self.request(Signal::TERM)?,
            (Some(at), timer) if timer.is_none_or(|t| at <= t) => {
                if let Some(pause) = self.pass(at) {
                    return self.catch_up(&pause);
                }
                let Some(Reverse((_, _, due))) = self.queue.pop() else { return Ok(()) };
                self.happen(due)?;
            }
            (_, Some(at)) => {
                if at < self.world.now && self.events > EVENTS / 2 {
                    return broken("contract", format!("deadline {at:?} stays in the past"));
                }
                if let Some(pause) = self.pass(at) {
                    return self.catch_up(&pause);
                }
                self.world.tick()?;
            }
            (Some(_), None) => unreachable!("covered above"),
        }
        self.react()
    }

    /// Everything that has happened while softstop did not get to run.
    fn catch_up(&mut self, pause: &Pause) -> Checked {
        if pause.all {
            self.put_off(pause.since);
        }
        self.world.resumes(pause.since, pause.known)?;
        while let Some(Reverse((at, ..))) = self.queue.peek()
            && *at <= self.world.now
        {
            let Some(Reverse((_, _, due))) = self.queue.pop() else { break };
            self.happen(due)?;
            self.react()?;
        }
        self.world.catch_up()?;
        self.react()
    }

    /// Time goes on, or jumps: softstop did not get to run.
    fn pass(&mut self, at: At) -> Option<Pause> {
        let (before, t0) = (self.world.now, self.world.stop.as_ref().map(|s| s.t0));
        self.world.now = self.world.now.max(at);
        let mut pause: Option<Pause> = None;
        for stall in &self.scenario.stalls {
            let Some(base) = (if stall.of_stop { t0 } else { Some(At::ZERO) }) else { continue };
            let (from, until) = (base + stall.from, base + stall.from + stall.length);
            if from <= self.world.now && self.world.now < until && self.world.stalled_until < until {
                self.world.now = until;
                self.world.stalled_until = until;
                let one = Pause { since: from.max(before), all: stall.all, known: stall.known };
                // One follows on the other: all that softstop knows is that it did not get to run.
                pause = Some(match pause {
                    None => one,
                    Some(p) => {
                        Pause { since: p.since.min(one.since), all: p.all && one.all, known: p.known && one.known }
                    }
                });
            }
        }
        pause
    }

    /// Nobody got to run: everything comes so much later. Only who wants something of softstop is outside of it all.
    fn put_off(&mut self, since: At) {
        let lost = self.world.now.since(since);
        let queue = std::mem::take(&mut self.queue);
        self.queue = queue
            .into_iter()
            .map(|Reverse((at, seq, due))| {
                let outside = matches!(due, Due::Request(_)) || at <= since;
                Reverse((if outside { at } else { at + lost }, seq, due))
            })
            .collect();
    }

    fn request(&mut self, signal: Signal) -> Checked {
        self.world.signal(signal, softstop::lifecycle::event::Sender::Outside)
    }

    fn requests_with_event(&mut self) -> Checked {
        if self.world.stop.is_some() && !std::mem::replace(&mut self.after_stop_queued, true) {
            for (i, request) in self.scenario.requests.iter().enumerate() {
                if let Moment::AfterStop(delay) = request.when {
                    self.after(delay, Due::Request(i));
                }
            }
        }
        for request in &self.scenario.requests {
            if request.when == Moment::WithEvent(self.events) && self.world.finished.is_none() {
                self.world.wish(&request.what)?;
                self.react()?;
            }
        }
        Ok(())
    }

    fn happen(&mut self, due: Due) -> Checked {
        let world = &mut self.world;
        match due {
            Due::Request(i) => world.wish(&self.scenario.requests[i].what),
            Due::Ends(p, run, end) => {
                let body = &world.bodies[p];
                if !body.alive || body.run != run {
                    return Ok(());
                }
                let life = self.scenario.life(p, run);
                let killed = Exit::Signal { signal: Signal::KILL, core: false };
                let exit = match (end, life.ends, life.obeys) {
                    (End::ByItself, Some((_, exit)), _) => exit,
                    (End::Obeying(_), _, Some((_, Obeys::Code(code)))) => Exit::Code(code),
                    (End::Obeying(signal), _, _) => Exit::Signal { signal, core: false },
                    _ => killed,
                };
                world.ends(p, exit, life.leaves.is_some())
            }
            Due::GroupEnds(p, run) if world.bodies[p].group && world.bodies[p].run == run => world.group_ends(p),
            Due::StragglerEnds(i) if !world.stragglers[i].gone => world.straggler_ends(i),
            Due::StragglerAppears(i) => world.straggler_appears(i),
            Due::GroupGrows(p, run) if world.bodies[p].run == run => world.group_grows(p),
            Due::Answers(run, ok) if world.hooks.contains_key(&run) => world.answers(run, ok),
            Due::Unknown(run) if world.hooks.contains_key(&run) => world.not_made(run),
            // Also of one that is over by now: on its way when it was cancelled.
            Due::GoesOn(run, left) => world.goes_on(run, left),
            Due::GroupEnds(..) | Due::GroupGrows(..) | Due::StragglerEnds(_) | Due::Answers(..) | Due::Unknown(_) => {
                Ok(())
            }
        }
    }

    /// What the machine did sets other things in motion.
    fn react(&mut self) -> Checked {
        let mut effects = Vec::new();
        loop {
            effects.append(&mut self.world.effects);
            if effects.is_empty() {
                return Ok(());
            }
            // A spawn is answered before anything else is told.
            let next = effects.iter().position(|effect| matches!(effect, Effect::Spawn(_))).unwrap_or(0);
            let effect = effects.remove(next);
            self.follow(effect)?;
        }
    }

    fn follow(&mut self, effect: Effect) -> Checked {
        match effect {
            Effect::Spawn(p) => return self.spawn(p),
            Effect::Signalled(p, signal) => {
                // SIGCONT comes behind it.
                self.world.suspended(p, false)?;
                let run = self.world.bodies[p].run;
                if let Some((delay, _)) = self.scenario.life(p, run).obeys {
                    self.after(delay, Due::Ends(p, run, End::Obeying(signal)));
                }
            }
            Effect::Killed(p) => {
                if !self.world.bodies[p].unkillable {
                    let run = self.world.bodies[p].run;
                    self.after(MS, Due::Ends(p, run, End::Killed));
                    self.after(2 * MS, Due::GroupEnds(p, run));
                }
            }
            Effect::GroupSignalled(p, signal) => {
                let run = self.world.bodies[p].run;
                match (signal == Signal::KILL, self.scenario.life(p, run).leaves) {
                    (true, Some(_)) => self.after(MS, Due::GroupEnds(p, run)),
                    (false, Some(Some(delay))) => {
                        // Nobody comes in no time.
                        self.after((delay / 2).max(Duration::from_micros(1)), Due::GroupGrows(p, run));
                        self.after(delay, Due::GroupEnds(p, run));
                    }
                    _ => {}
                }
            }
            Effect::Ran(run, what) => self.hook(run, what),
            // A killed or terminated hook is reaped soon; SIGTERM it may well ignore.
            Effect::Cancelled { run, kill } if kill || run % 3 != 0 => self.after(2 * MS, Due::Answers(run, false)),
            Effect::Cancelled { .. } => {}
            Effect::StragglerSignalled(i, signal) => {
                let obeys = self.scenario.stragglers.get(i).and_then(|kin| kin.obeys);
                match (signal == Signal::KILL, obeys) {
                    (true, _) if i < self.scenario.stragglers.len() => self.after(MS, Due::StragglerEnds(i)),
                    (false, Some(delay)) => self.after(delay, Due::StragglerEnds(i)),
                    _ => {}
                }
            }
            Effect::Swept => {
                for i in 0..self.scenario.stragglers.len() {
                    self.after(MS, Due::StragglerEnds(i));
                }
                for run in self.world.hooks.keys().copied().collect::<Vec<_>>() {
                    self.after(MS, Due::Answers(run, false));
                }
            }
        }
        Ok(())
    }

    fn spawn(&mut self, p: usize) -> Checked {
        let run = self.world.bodies[p].run + 1;
        let life = self.scenario.life(p, run);
        match life.start {
            Start::Transient => self.world.start_failed(p, SpawnErrorKind::Transient),
            Start::NotFound => self.world.start_failed(p, SpawnErrorKind::NotFound),
            Start::Works => {
                self.world.unkillable_next(p, life.unkillable);
                if let Some((delay, _)) = life.ends {
                    self.after(delay, Due::Ends(p, run, End::ByItself));
                }
                self.world.started(p)
            }
        }
    }

    fn hook(&mut self, run: u64, what: What) {
        // Now and then the system is short of something, and the answer comes at once.
        if what.is_probe() && run % 23 == 7 {
            self.after(Duration::ZERO, Due::Unknown(run));
            return;
        }
        let (ok, takes) = match what.place {
            Place::Probe(p, _) => self.probe(p.0),
            _ => {
                // Not of thousands of attempts: the events are counted.
                if run < 200 && self.world.waits(what) {
                    for n in 0..1 + run % 5 {
                        self.after(Duration::from_millis(n * (40 + run % 7 * 300)), Due::GoesOn(run, 4 - n / 2));
                    }
                }
                let answer = self.scenario.answers[self.answered % self.scenario.answers.len()];
                self.answered += 1;
                match answer {
                    Answer::Ok(takes) => (true, Some(takes)),
                    Answer::Fails(takes) => (false, Some(takes)),
                    Answer::Hangs => (false, None),
                }
            }
        };
        if let Some(takes) = takes {
            self.after(takes, Due::Answers(run, ok));
        }
    }

    fn probe(&self, p: usize) -> (bool, Option<Duration>) {
        let body = &self.world.bodies[p];
        let health = self.scenario.life(p, body.run).health;
        let age = self.world.age(p);
        let good = health.from.is_some_and(|from| age >= from && health.until.is_none_or(|until| age < from + until));
        (good, health.takes)
    }
}
