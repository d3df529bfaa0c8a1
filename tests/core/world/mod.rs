//! A simulated container around the pure core: which process lives, what is left of its group, which hooks are under way.
//! [`World`] knows the facts, tells the machine of them, carries out what it says and holds every action against the
//! invariants of DESIGN section 4 (`checks`), against the documented exit codes (`exit_code`) and against a model of the
//! parts, written from the documentation alone (`model`). It decides nothing: [`simulate`] plays scenarios drawn from a seed, [`explore`] everything that
//! could happen.

// Every target includes this module and uses a part of it.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod checks;
pub mod draw;
mod essential;
mod exit_code;
pub mod explore;
mod late;
mod model;
mod notices;
mod orders;
pub mod scenario;
pub mod seeds;
mod signals;
pub mod simulate;
mod slices;
pub mod small;
pub mod tell;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use softstop::config::Config;
use softstop::facts::{Awaited, Connections, Failure, Place, Several};
use softstop::lifecycle::Machine;
use softstop::lifecycle::action::{Action, What, Whom};
use softstop::lifecycle::event::{
    Client, Event, Exit, HookCaller, Order, Outcome, ProcId, Progress, RequestId, RunId, SpawnError, SpawnErrorKind,
};
use softstop::plan::Plan;
use softstop::report::Note;
use softstop::signal::Signal;
use softstop::time::At;

use checks::Stop;
use model::{Life, Model};
use scenario::Wish;

/// What was broken, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// `I1` … `I13`, or `contract` of the machine, or `model`: another promise of the documentation.
    pub what: &'static str,
    pub text: String,
}

pub type Checked = Result<(), Violation>;

pub fn broken(what: &'static str, text: impl Into<String>) -> Checked {
    Err(Violation { what, text: text.into() })
}

/// I1 to I13 by number, and 0 for everything else: how often each was really put to the test.
pub type Counts = [u64; 14];

/// Those that can be tested here: I10 to I12 are not the machine's.
pub const INVARIANTS: [usize; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13];

/// What the machine has done to the world: whoever drives it decides what follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// To be answered at once: `World::started` or `World::start_failed`.
    Spawn(usize),
    Signalled(usize, Signal),
    Killed(usize),
    GroupSignalled(usize, Signal),
    Ran(u64, What),
    Cancelled {
        run: u64,
        kill: bool,
    },
    StragglerSignalled(usize, Signal),
    Swept,
}

#[derive(Clone, Debug, Default, Hash)]
pub struct Body {
    /// Counted from 1.
    pub run: u32,
    pub alive: bool,
    /// Somebody is left of its group after it has ended.
    pub group: bool,
    /// SIGKILL has been sent.
    pub killed: bool,
    /// To what it left, too.
    pub group_killed: bool,
    /// Not even by SIGKILL.
    pub unkillable: bool,
    /// Stopped by a signal: it does nothing.
    pub suspended: bool,
}

#[derive(Clone, Debug, Default, Hash)]
pub struct Straggler {
    pub gone: bool,
    /// Not even by SIGKILL.
    pub unkillable: bool,
    pub signalled: bool,
    pub killed: bool,
    /// Not there yet.
    pub absent: bool,
    /// Started by this one of the stragglers: while that lives it is not among the outermost.
    pub parent: Option<usize>,
}

#[derive(Clone, Debug, Hash)]
pub struct Hook {
    pub what: What,
    /// Told to end; `true`: by SIGKILL.
    pub cancelled: Option<bool>,
}

#[derive(Clone)]
pub struct World {
    pub config: Rc<Config>,
    pub machine: Machine,
    pub now: At,
    pub bodies: Vec<Body>,
    pub stragglers: Vec<Straggler>,
    /// Under way.
    pub hooks: BTreeMap<u64, Hook>,
    pub stop: Option<Stop>,
    pub finished: Option<u8>,
    /// softstop was kept from running until then: what it could not do before is excused.
    pub stalled_until: At,
    /// When that was, as far as softstop can know.
    pub pauses: Vec<(At, At)>,
    pub effects: Vec<Effect>,
    pub counts: Counts,
    /// What happened, line by line; `None`: nobody will read it.
    pub timeline: Option<Vec<String>>,
    /// What the machine has noted, where somebody wants to read it.
    pub notes: Vec<(At, Note)>,
    pub notes_wanted: bool,
    /// Orders that wait for their answers.
    pub asks: BTreeMap<u64, Order>,
    next_ask: u64,
    begun: bool,
    /// So many init tasks are over.
    init_over: usize,
    /// By order.
    unready: bool,
    /// By an order that is being taken.
    ordered_signal: Option<(usize, Signal)>,
    lives: Vec<Life>,
    model: Model,
    spawning: Option<usize>,
    census: bool,
    /// Events are recorded before what is due is done; see `Machine::record_late`.
    pub late: bool,
    gone_late: Vec<usize>,
    /// The main program's, when that is what asked for the stop.
    own_stop_signal: Option<Signal>,
    /// What goes to the main process, should the latest signal be passed on.
    passed_on: Signal,
    /// What the machine has made of the signal that was fed last.
    understood: Option<signals::Meaning>,
    answered_signal: Option<Event>,
    /// The configuration is being read; it says the same again.
    rereads: Vec<Event>,
    /// Whom of the stragglers the machine has ordered to be signalled.
    standing: Option<Whom>,
    /// When the last process or interrupted task ended, and when a straggler was first signalled.
    leader_ended: At,
    stragglers_asked: Option<At>,
    /// Its group may be signalled in this turn.
    zombie: Option<usize>,
    unkillable: Vec<bool>,
    last_run: Option<u64>,
}

impl World {
    pub fn new(config: Config, stragglers: usize) -> World {
        World {
            unkillable: vec![false; config.processes.len()],
            bodies: vec![Body::default(); config.processes.len()],
            lives: config.processes.iter().map(|p| Life::new(!p.autostart)).collect(),
            stragglers: vec![Straggler::default(); stragglers],
            machine: Machine::new(Plan::new(config.clone())),
            model: Model::default(),
            config: Rc::new(config),
            now: At::ZERO,
            hooks: BTreeMap::new(),
            stop: None,
            finished: None,
            stalled_until: At::ZERO,
            pauses: Vec::new(),
            effects: Vec::new(),
            counts: Counts::default(),
            timeline: None,
            notes: Vec::new(),
            notes_wanted: false,
            asks: BTreeMap::new(),
            next_ask: 0,
            begun: false,
            init_over: 0,
            unready: false,
            ordered_signal: None,
            spawning: None,
            census: false,
            late: false,
            gone_late: Vec::new(),
            own_stop_signal: None,
            passed_on: Signal::TERM,
            understood: None,
            answered_signal: None,
            rereads: Vec::new(),
            standing: None,
            leader_ended: At::ZERO,
            stragglers_asked: None,
            zombie: None,
            last_run: None,
        }
    }

    /// What tells this world from others on their way through an exhaustive search.
    pub fn fingerprint(&self, state: &mut impl Hasher) {
        (&self.machine, self.now, &self.bodies, &self.stragglers, &self.hooks).hash(state);
        (&self.stop, self.finished, &self.lives, &self.model).hash(state);
        (&self.asks, self.next_ask, self.unready, self.begun, self.init_over).hash(state);
        (&self.pauses, self.late, &self.gone_late).hash(state);
        (self.standing, self.leader_ended, self.stragglers_asked).hash(state);
    }

    /// The next run of this process will not be ended even by SIGKILL.
    pub fn unkillable_next(&mut self, p: usize, unkillable: bool) {
        self.unkillable[p] = unkillable;
    }

    /// The process whose start is to be answered before anything else.
    pub fn to_start(&self) -> Option<usize> {
        self.spawning
    }

    /// The latest signal of its stop that it was sent.
    pub fn signalled_by(&self, p: usize) -> Option<Signal> {
        let life = &self.lives[p];
        let diagnose = self.config.processes[p].diagnose.filter(|_| life.diagnosed.is_some()).map(|d| d.signal);
        diagnose.or(life.sent.last().map(|(signal, _)| *signal))
    }

    pub fn age(&self, p: usize) -> std::time::Duration {
        self.now.since(self.lives[p].since)
    }

    pub fn alone(&self) -> bool {
        self.bodies.iter().all(|b| !b.alive && !b.group) && self.stragglers.iter().all(|s| s.gone || s.absent)
    }

    // === what may happen ===

    pub fn begin(&mut self) -> Checked {
        self.begun = true;
        self.feed(Event::Begin)
    }

    pub fn tick(&mut self) -> Checked {
        self.feed(Event::Tick)
    }

    pub fn wish(&mut self, wish: &Wish) -> Checked {
        match wish {
            Wish::Signal(signal, sender) => self.signal(*signal, *sender),
            Wish::Order(order) => self.order(order),
            Wish::Suspend(p, resume) => self.suspended(*p, !resume),
            Wish::Says(p, what) => self.notified(*p, what),
            Wish::Due(p) => self.time_comes(*p),
            Wish::Leave => self.asker_leaves(),
        }
    }

    /// A scheduled task is due.
    fn time_comes(&mut self, p: usize) -> Checked {
        // While init tasks run nothing starts, and it is not known here when they are over.
        // Of a scenario that was shrunk.
        let unknown = self.config.processes.get(p).is_none_or(|process| process.schedule.is_none());
        if unknown || !self.begun || !self.config.init.is_empty() && self.bodies.iter().all(|b| b.run == 0) {
            return Ok(());
        }
        self.is_scheduled(p);
        self.feed(Event::Scheduled { process: ProcId(p) })
    }

    /// Somebody stops a process by a signal, or continues it.
    pub fn suspended(&mut self, p: usize, suspended: bool) -> Checked {
        if !self.bodies[p].alive || self.bodies[p].suspended == suspended {
            return Ok(());
        }
        self.bodies[p].suspended = suspended;
        self.latch();
        let process = ProcId(p);
        self.feed(if suspended {
            Event::Suspended { process, signal: Signal::TTIN }
        } else {
            Event::Resumed { process }
        })
    }

    pub fn order(&mut self, order: &Order) -> Checked {
        if self.finished.is_some() {
            return Ok(());
        }
        let ask = self.next_ask;
        self.next_ask += 1;
        self.asks.insert(ask, order.clone());
        self.is_ordered(order);
        // Every other drain that is waited for comes over HTTP: the rules are the same.
        let hook = matches!(order, Order::Drain { wait: true }) && ask % 2 == 1;
        let by = if hook {
            Client::PreStop(HookCaller { from: std::net::Ipv4Addr::LOCALHOST.into(), kubelet: true })
        } else {
            Client::Local { uid: 0, pid: 7 }
        };
        self.feed(Event::Ordered { ask: RequestId(ask), order: order.clone(), by })?;
        self.was_ordered(ask, order);
        Ok(())
    }

    pub fn asker_leaves(&mut self) -> Checked {
        match self.asks.pop_first() {
            Some((ask, _)) => self.feed(Event::ClientGone { ask: RequestId(ask) }),
            None => Ok(()),
        }
    }

    pub fn started(&mut self, p: usize) -> Checked {
        self.spawning = None;
        if self.bodies[p].group {
            // It could not be ended, and was given up: nobody's group from now on.
            self.stragglers.push(Straggler { signalled: true, killed: true, unkillable: true, ..Straggler::default() });
        }
        let (run, unkillable) = (self.bodies[p].run + 1, self.unkillable[p]);
        self.bodies[p] = Body { run, alive: true, unkillable, ..Body::default() };
        self.has_started(p);
        self.feed(Event::Spawned { process: ProcId(p), pid: pid(p) })?;
        self.reap_when_answered()
    }

    pub fn start_failed(&mut self, p: usize, kind: SpawnErrorKind) -> Checked {
        self.spawning = None;
        self.bodies[p] = Body { run: self.bodies[p].run + 1, ..Body::default() };
        self.could_not_start(p, kind);
        self.feed(Event::SpawnFailed { process: ProcId(p), error: SpawnError { kind, text: "no".into() } })?;
        self.reap_when_answered()
    }

    /// A process ends, and leaves somebody in its group or nobody. Reported while it is a zombie, then reaped.
    pub fn ends(&mut self, p: usize, exit: Exit, leaves: bool) -> Checked {
        self.bodies[p].alive = false;
        self.bodies[p].suspended = false;
        self.leader_ended = self.now;
        self.bodies[p].group = leaves;
        self.has_ended(p, exit);
        self.zombie = Some(p);
        self.feed(Event::Exited { process: ProcId(p), status: exit })?;
        self.reap_when_answered()
    }

    /// A spawn is answered before anything else happens; a zombie is one until then.
    fn reap_when_answered(&mut self) -> Checked {
        if self.spawning.is_some() {
            return Ok(());
        }
        if let Some(p) = self.zombie.take()
            && !self.bodies[p].group
            && !self.bodies[p].alive
        {
            self.feed(Event::GroupEmpty { process: ProcId(p) })?;
            self.gone(p)?;
        }
        self.after_reap()
    }

    fn gone(&mut self, p: usize) -> Checked {
        if self.late {
            self.gone_late.push(p);
            return Ok(());
        }
        self.is_gone(p)
    }

    /// softstop gets to run again: what has happened meanwhile is told, then what is due is done.
    pub fn catch_up(&mut self) -> Checked {
        self.late = false;
        self.tick()?;
        for p in std::mem::take(&mut self.gone_late) {
            if !self.bodies[p].alive {
                self.is_gone(p)?;
            }
        }
        Ok(())
    }

    pub fn group_ends(&mut self, p: usize) -> Checked {
        self.bodies[p].group = false;
        self.feed(Event::GroupEmpty { process: ProcId(p) })?;
        self.gone(p)?;
        self.after_reap()
    }

    pub fn straggler_ends(&mut self, i: usize) -> Checked {
        self.stragglers[i].gone = true;
        self.something_ended();
        self.after_reap()?;
        self.look()
    }

    /// One more has been started or orphaned, by somebody who lives.
    pub fn straggler_appears(&mut self, i: usize) -> Checked {
        if self.alone() {
            return Ok(());
        }
        self.stragglers[i].absent = false;
        self.look()
    }

    /// Another of a group whose leader has ended.
    pub fn group_grows(&mut self, p: usize) -> Checked {
        if self.bodies[p].alive || !self.bodies[p].group || self.spawning.is_some() {
            return Ok(());
        }
        self.feed(Event::Unsignalled { group: Some(ProcId(p)) })
    }

    fn is_meant(&self, i: usize, whom: Whom) -> bool {
        let s = &self.stragglers[i];
        let outermost = s.parent.is_none_or(|parent| self.stragglers[parent].gone);
        !s.absent && !s.gone && !s.signalled && (whom == Whom::Everybody || outermost)
    }

    /// As the shell does all the time once it has signalled stragglers.
    fn look(&mut self) -> Checked {
        let Some(whom) = self.standing else { return Ok(()) };
        let unsignalled = (0..self.stragglers.len()).any(|i| self.is_meant(i, whom));
        let busy = self.finished.is_some() || self.spawning.is_some();
        if busy || !unsignalled { Ok(()) } else { self.feed(Event::Unsignalled { group: None }) }
    }

    pub fn answers(&mut self, run: u64, ok: bool) -> Checked {
        let Some(hook) = self.hooks.remove(&run) else {
            return broken("contract", format!("run {run} answered twice"));
        };
        self.has_answered(run, &hook, ok);
        // What the stop has interrupted is waited for as a process is.
        if matches!(hook.what.place, Place::Init | Place::PostStart(_) | Place::OnChange)
            && hook.cancelled == Some(false)
        {
            self.leader_ended = self.now;
        }
        let outcome =
            if ok { Outcome::Ok } else { Outcome::Failed(Failure::Ended { exit: Exit::Code(5), said: String::new() }) };
        let over = ok && hook.what == What::new(Place::Follow, 1) && hook.cancelled.is_none() && !self.late;
        self.feed(Event::RunDone { run: RunId(run), outcome })?;
        if over && self.stop.is_none() {
            return broken("model", "what the sidecar follows has ended, and the sidecar goes on");
        }
        self.after_reap()
    }

    pub fn waits(&self, what: What) -> bool {
        self.task(what).is_some_and(|t| t.handler.waits())
    }

    /// A wait says how far it is.
    pub fn goes_on(&mut self, run: u64, left: u64) -> Checked {
        let progress = Progress {
            awaited: Awaited::Idle(Connections { open: left, active: Some(left), new: 0, probes: false, quiet: None }),
            detail: (left > 1).then(|| Several { named: vec!["10.0.0.7:1".parse().unwrap()], all: 2 }),
            alarming: left > 5,
            last: left == 0,
        };
        self.feed(Event::Progress { run: RunId(run), progress })
    }

    /// softstop itself could not make the attempt.
    pub fn not_made(&mut self, run: u64) -> Checked {
        let Some(hook) = self.hooks.remove(&run) else {
            return broken("contract", format!("run {run} answered twice"));
        };
        self.has_not_been_made(run, &hook);
        self.feed(Event::RunDone {
            run: RunId(run),
            outcome: Outcome::Unknown { reason: Failure::Said("no".into()) },
        })?;
        self.after_reap()
    }

    /// As the reaper does when no child is left.
    fn after_reap(&mut self) -> Checked {
        let tell = self.alone() && self.machine.stopping() && self.finished.is_none() && self.spawning.is_none();
        if tell { self.feed(Event::Alone) } else { Ok(()) }
    }

    // === the machine ===

    fn feed(&mut self, event: Event) -> Checked {
        if self.finished.is_some() {
            return Ok(());
        }
        if self.spawning.is_some() {
            return broken("contract", format!("{event:?} before a spawn was answered"));
        }
        self.tell_event(&event);
        if !matches!(event, Event::Tick | Event::Alone | Event::NotAlone) {
            self.something_ended();
        }
        let before = self.machine.stopping();
        let actions =
            if self.late { self.machine.record_late(self.now, event) } else { self.machine.step(self.now, event) };
        for action in actions {
            self.tell_action(&action);
            self.perform(action)?;
        }
        if self.spawning.is_none()
            && let Some(answer) = self.answered_signal.take()
        {
            self.feed(answer)?;
        }
        if !self.late {
            self.check_state(before)?;
        }
        if self.spawning.is_none() && self.finished.is_none() {
            for answer in std::mem::take(&mut self.rereads) {
                self.feed(answer)?;
            }
        }
        if !self.late && self.spawning.is_none() && std::mem::take(&mut self.census) && self.finished.is_none() {
            let answer = if self.alone() { Event::Alone } else { Event::NotAlone };
            self.feed(answer)?;
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Checked {
        if self.finished.is_some() {
            return broken("contract", format!("an action after the end: {action:?}"));
        }
        match action {
            Action::Spawn { process } => {
                self.check_spawn(process.0)?;
                self.spawning = Some(process.0);
                self.effects.push(Effect::Spawn(process.0));
            }
            Action::Signal { process, signal, wake, .. } => {
                self.check_signal(process.0, signal, wake)?;
                if wake {
                    self.effects.push(Effect::Signalled(process.0, signal));
                }
            }
            Action::Diagnose { process, signal, .. } => {
                self.check_diagnose(process.0, signal)?;
                self.effects.push(Effect::Signalled(process.0, signal));
            }
            Action::Forward { process, signal, .. } => {
                self.understood = Some(signals::Meaning::PassOn);
                self.check_forward(process.0, signal)?;
            }
            Action::Kill { process, because } => {
                self.check_kill(process.0, because)?;
                self.sigkill(process.0);
            }
            Action::SignalByCommand { ask, process, signal, .. } => {
                self.check_signal(process.0, signal, false)?;
                self.answered_signal = Some(Event::SignalAnswered { ask, process, signal, error: None });
            }
            Action::SignalGroup { process, signal, .. } => {
                self.check_group_signal(process.0, signal)?;
                self.bodies[process.0].group_killed |= signal == Signal::KILL;
                self.effects.push(Effect::GroupSignalled(process.0, signal));
            }
            Action::Run { run, what, limit, context } => {
                if self.last_run.is_some_and(|last| run.0 <= last) {
                    return broken("contract", format!("run {} is not a new one", run.0));
                }
                self.last_run = Some(run.0);
                self.check_run(run.0, what, limit, &context)?;
                self.hooks.insert(run.0, Hook { what, cancelled: None });
                self.effects.push(Effect::Ran(run.0, what));
            }
            Action::Cancel { run, kill } => {
                self.check_cancel(run.0, kill)?;
                if let Some(hook) = self.hooks.get_mut(&run.0) {
                    hook.cancelled = Some(kill);
                }
                self.effects.push(Effect::Cancelled { run: run.0, kill });
            }
            Action::SignalStragglers { signal, whom } => {
                self.check_stragglers(signal)?;
                let kill = signal == Signal::KILL;
                self.standing = Some(whom).filter(|_| !kill);
                for i in 0..self.stragglers.len() {
                    let lives = !self.stragglers[i].gone && !self.stragglers[i].absent;
                    if kill && lives || self.is_meant(i, whom) {
                        self.stragglers[i].signalled = true;
                        self.stragglers[i].killed |= kill;
                        self.effects.push(Effect::StragglerSignalled(i, signal));
                    }
                }
            }
            Action::ReopenLogs if !self.config.has_log_files() => {
                return broken("contract", "log files are opened again, and there are none".to_string());
            }
            Action::ReopenLogs => {}
            Action::KillEverything => {
                self.check_sweep()?;
                self.stragglers.iter_mut().for_each(|s| s.killed = true);
                for p in 0..self.bodies.len() {
                    self.sigkill(p);
                }
                self.effects.push(Effect::Swept);
            }
            Action::Reread { ask, dry_run } => {
                self.understood = self.understood.or(ask.is_none().then_some(signals::Meaning::Reload));
                self.rereads.push(Event::Reread { ask, dry_run, read: Ok(Rc::clone(&self.config)) });
            }
            Action::Census => self.census = true,
            Action::Note(note) => {
                self.check_note(&note)?;
                self.notes.extend(self.notes_wanted.then_some((self.now, note)));
            }
            Action::Answer { ask, .. } => {
                if self.asks.remove(&ask.0).is_none() {
                    return broken("contract", format!("{ask:?} is answered, and nobody waits for that"));
                }
            }
            Action::Finish { code } => {
                self.finished = Some(code);
                self.check_end(code)?;
            }
        }
        Ok(())
    }

    fn sigkill(&mut self, p: usize) {
        self.bodies[p].killed |= self.bodies[p].alive;
        self.bodies[p].group_killed = true;
        self.effects.push(Effect::Killed(p));
    }
}

pub fn pid(p: usize) -> i32 {
    100 + i32::try_from(p).unwrap_or(0)
}
