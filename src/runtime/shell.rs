//! The loop and what it holds: which pid is whose, which runs are under way, what is being watched.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Clock;
use super::background::Adopted;
use super::changes::Changes;
use super::control::Orders;
use super::environment::FilesRead;
use super::groups::Groups;
use super::hooks::{ActiveRun, News};
use super::inspections::Inspections;
use super::job_control::given_terminal;
use super::monitor::Monitor;
use super::notify::Notices;
use super::outputs::Outputs;
use super::perform::Killed;
use super::program::{self, Recognised};
use super::reaper::Reaping;
use super::reload::Reloads;
use super::reporter::Reporter;
use super::schedules::Schedules;
use super::sockets::Sockets;
use super::starvation::Starvation;
use super::stragglers::Stragglers;
use super::waits::listening::Found;
use crate::config::{Identity, Output};
use crate::lifecycle::Machine;
use crate::lifecycle::event::{Event, ProcId, RunId, Sender};
use crate::output::Sink;
use crate::plan::Plan;
use crate::signal::Signal;
use crate::sys::mask::{self, Disposition};
use crate::sys::signals::{Early, Inherited, Received, Signals};
use crate::sys::spawn::PendingExec;
use crate::sys::stdio::{ready, watch};
use crate::sys::terminal::Terminal;
use crate::sys::tree;
use crate::sys::users::Credentials;

/// Without signals all that was started is killed, in so long.
const LAST_SWEEP: Duration = Duration::from_millis(100);
/// After the end what children and softstop have written is waited for as long as somebody reads it and the grace lasts. A reader
/// that reads nothing for so long has gone, for all we know: a container that is to be restarted must not wait longer for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// So long it may take before the termination message is written a first time, so that whoever is cut short has left it.
const QUICK: Duration = Duration::from_millis(500);
/// Of the grace so much is kept for what comes after it: the termination message, the report, and the exit itself on a busy machine.
const LEAVE: Duration = Duration::from_millis(500);
/// Before something is due, so many times whatever has arrived is asked for: an answer that is there is read in the first, and its
/// reader heard in the second. After a pause also who is yet to be accepted, sends what it wants, and is answered: a few more.
const ROUNDS: u32 = 3;
const ROUNDS_LATE: u32 = 16;

/// Whose child a pid is. One that is not listed is an adopted orphan.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Process(ProcId),
    Run(RunId),
}

pub(super) struct Shell {
    pub machine: Rc<RefCell<Machine>>,
    pub plan: Rc<Plan>,
    pub clock: Clock,
    pub reporter: Reporter,
    pub inherited: Inherited,
    /// Descriptors from 3 up that softstop was started with and has not let go of yet.
    pub inherited_fds: Vec<OwnedFd>,
    /// What is handed to processes.
    pub sockets: Sockets,
    /// How they say how they are.
    pub notices: Notices,
    /// What children get, before what they are given themselves.
    pub environment: Rc<Vec<(OsString, OsString)>>,
    pub children: HashMap<i32, Owner>,
    pub groups: Groups,
    pub adopted: Adopted,
    pub pending_exec: HashMap<i32, PendingExec>,
    /// Whom processes run as, as far as it has been looked up.
    pub users: Vec<(Identity, Option<Credentials>)>,
    pub env_files: FilesRead,
    pub runs: HashMap<RunId, ActiveRun>,
    /// Where what goes on in the background says how far it is, and how it ended.
    pub done: mpsc::UnboundedSender<News>,
    pub outputs: Outputs,
    /// There is one, and a process that reads it.
    pub terminal: Option<Terminal>,
    /// softstop itself has sent that process SIGINT in this run of it.
    pub sent_interrupt: bool,
    pub sink: Sink,
    pub reaping: Reaping,
    pub stragglers: Stragglers,
    pub exit: Option<u8>,
    pub starvation: Starvation,
    /// Something is due, and what has happened before is still being told; a [`Event::Tick`] ends it.
    late: bool,
    pub inspections: Inspections,
    pub recognised: Option<Recognised>,
    pub monitor: Rc<RefCell<Monitor>>,
    pub killed: Killed,
    /// Who listened when the stop began, if a step is to wait for connections.
    pub listening: Option<Found>,
    pub schedules: Schedules,
    pub reloads: Reloads,
    pub changes: Changes,
    queue: VecDeque<Event>,
    answers: mpsc::UnboundedReceiver<News>,
    pub orders: Orders,
}

impl Shell {
    /// Made where it stays: the frame in which it is put together lasts no longer than this.
    #[inline(never)]
    pub(super) fn new(
        machine: Rc<RefCell<Machine>>,
        clock: Clock,
        inherited: Inherited,
        inherited_fds: Vec<OwnedFd>,
        sink: Sink,
        orders: Orders,
        monitor: Rc<RefCell<Monitor>>,
    ) -> Box<Shell> {
        let plan = Rc::clone(machine.borrow().plan());
        let outputs = Outputs::new(sink.clone(), &plan.config, Rc::clone(&orders.keeper));
        // As many answers as there are runs under way, and those the machine bounds; what a wait says of itself is not much, and the loop
        // takes it as fast as it comes.
        let (done, answers) = mpsc::unbounded_channel();
        let counters = Rc::clone(&monitor.borrow().counters);
        Box::new(Shell {
            reporter: Reporter::new(
                Rc::clone(&plan),
                clock,
                Rc::clone(&outputs.log_files),
                Rc::clone(&orders.history),
                counters,
            ),
            outputs,
            groups: Groups::new(plan.config.processes.len()),
            adopted: Adopted::new(),
            terminal: given_terminal(&plan.config),
            machine,
            plan,
            clock,
            inherited,
            inherited_fds,
            sockets: Sockets::default(),
            notices: Notices::default(),
            environment: Rc::default(),
            children: HashMap::new(),
            pending_exec: HashMap::new(),
            users: Vec::new(),
            env_files: FilesRead::default(),
            runs: HashMap::new(),
            done,
            sent_interrupt: false,
            sink,
            reaping: Reaping::default(),
            stragglers: Stragglers::new(),
            exit: None,
            starvation: Starvation::new(),
            late: false,
            inspections: Inspections::new(),
            recognised: None,
            monitor,
            killed: Killed::default(),
            listening: None,
            schedules: Schedules::default(),
            reloads: Reloads::default(),
            changes: Changes::default(),
            queue: VecDeque::new(),
            answers,
            orders,
        })
    }

    pub(super) fn push(&mut self, event: Event) {
        self.queue.push_back(event);
    }

    /// The first start, before anything that need not be waited for. A stop that was requested already (`pending`) comes first: no half
    /// start.
    pub(super) fn begin(&mut self, pending: &[Signal]) {
        for signal in pending.iter().filter(|s| self.plan.config.stop_on.before_the_start(**s)) {
            let (signal, sender) = (*signal, Sender::Unknown);
            self.queue.push_back(Event::Signalled { signal, sender, program: None });
        }
        self.push(Event::Begin);
        self.turn();
    }

    /// The loop. Every arm only makes events.
    pub(super) async fn run(mut self: Box<Shell>, early: Early) -> u8 {
        let (mut signals, readable) = match signals_of(early) {
            Ok(both) => both,
            Err(error) => return self.deaf(&error),
        };
        self.begin_the_rest();
        while self.exit.is_none() {
            // A turn is over: a pause in its last moments is known by nothing else.
            self.check_starvation();
            let deadline = self.next_deadline();
            let wake = deadline.into_iter().chain(self.next_of_its_own()).min();
            tokio::select! {
                biased;
                () = wait_for(Some(&readable), signals.more()) => self.receive(&signals.drain()),
                Some(news) = self.answers.recv() => self.heard(news),
                () = wait_for(self.notices.watched(), self.notices.more()) => self.receive_notices(),
                () = wait_for(self.changes.watched(), false) => self.changes.reported(),
                Some(message) = self.orders.next() => self.ordered(message),
                () = sleep_until(wake) => {}
                // More processes than are signalled, or given another priority, in one turn.
                () = tokio::task::yield_now(), if self.stragglers.under_way() || self.starvation.under_way() => {}
                // More dead than one turn takes: everybody else gets a turn between two.
                () = tokio::task::yield_now(), if self.reaping.changed => {}
            }
            let paused = self.turn_begins(deadline);
            // Whatever woke us: a storm of signals or of dying children must not keep a deadline waiting.
            let now = Instant::now();
            if is_due(deadline, now) {
                self.catch_up(if paused { ROUNDS_LATE } else { ROUNDS }, &mut signals).await;
            }
            self.go_on(now);
            self.turn();
            self.inspect_container();
        }
        let code = self.end().await;
        // Nothing is gained from putting it away, descriptor by descriptor and string by string: the kernel does that.
        std::mem::forget((signals, readable, self));
        code
    }

    /// After the first start, which need not wait for it.
    fn begin_the_rest(&mut self) {
        self.monitor.borrow_mut().begin();
        self.begin_schedules();
        self.begin_last_stop();
    }

    /// The machine's, and when the loop turns at the latest.
    fn next_deadline(&mut self) -> Option<Instant> {
        let deadline = self.machine.borrow().next_deadline().map(|at| self.clock.instant(at));
        deadline.into_iter().chain(self.next_beat()).min()
    }

    /// When the first of those is due that the machine does not know of.
    fn next_of_its_own(&self) -> Option<Instant> {
        let all = [
            self.groups.next_inspection(),
            self.stragglers.next(),
            self.schedules.next(),
            self.reloads.next(),
            self.changes.next(),
        ];
        all.into_iter().flatten().min()
    }

    /// Something is due. First what has happened: who ended or answered in time is not late because softstop is (a busy machine, SIGSTOP).
    async fn catch_up(&mut self, rounds: u32, signals: &mut Signals) {
        self.late = true;
        for _ in 0..rounds {
            // What has arrived is read by tasks of its own: they get to run, and say what it was.
            tokio::task::yield_now().await;
            while let Ok(news) = self.answers.try_recv() {
                self.heard(news);
            }
            while let Some(message) = self.orders.next_now() {
                self.ordered(message);
            }
        }
        self.receive(&signals.drain());
        self.receive_late_notices();
        if self.reaping.changed {
            self.reap();
        }
        self.inspect_groups();
        self.push(Event::Tick);
    }

    /// What is done piece by piece, or has a time of its own.
    fn go_on(&mut self, now: Instant) {
        self.inspect_groups_again(now);
        self.start_scheduled();
        self.go_on_rereading();
        self.go_on_looking();
        self.go_on_lowering();
        self.go_on_signalling();
        self.find_stragglers();
        self.count_the_crowd();
    }

    /// Without signals there is neither a stop nor a child's end: give up at once.
    fn deaf(mut self: Box<Shell>, error: &std::io::Error) -> u8 {
        let why = format!("cannot receive signals: {error}; killing what was started");
        tracing::error!("{why}");
        let _swept = tree::kill_everything(LAST_SWEEP, PATIENCE, &mut self.stragglers.crowd.strangers);
        super::refusal::record(self.plan.config.termination_log.as_deref(), crate::exit::INTERNAL, &why);
        self.sink.flush_some();
        crate::exit::INTERNAL
    }

    fn receive(&mut self, received: &[Received]) {
        for received in received {
            match received.signal {
                Signal::CHLD => self.reaping.changed = true,
                Signal::TSTP if self.suspended(received) => {}
                // `nohup softstop run`.
                Signal::HUP if received.sender == Sender::Terminal && is_ignored(Signal::HUP) => {}
                signal => {
                    self.push(Event::Signalled { signal, sender: program::known(received.sender), program: None })
                }
            }
            if received.signal == Signal::WINCH {
                self.resize_terminals();
            }
            if received.signal == Signal::CONT {
                let _given = self.pass_terminal_on();
            }
        }
    }

    /// Feed every event to the machine and carry out what it says, until nothing more follows.
    fn turn(&mut self) {
        loop {
            self.tell_queue();
            if self.exit.is_some() || !(self.reaping.changed || self.reaping.census) {
                return;
            }
            if self.reap() || self.follow_stopped() {
                // The rest in the next turn: signals and probes come in between.
                return;
            }
        }
    }

    /// Whatever is known by now, before what follows.
    pub(super) fn tell_queue(&mut self) {
        while self.exit.is_none()
            && let Some(event) = self.queue.pop_front()
        {
            self.step(event);
        }
    }

    /// One event, and the answers that must come before any other.
    pub(super) fn step(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let event = self.with_program(event);
            let now = self.clock.now();
            self.late &= event != Event::Tick;
            let mut machine = self.machine.borrow_mut();
            let actions = if self.late { machine.record_late(now, event) } else { machine.step(now, event) };
            let stopping = machine.end().is_some();
            let other = (!Rc::ptr_eq(machine.plan(), &self.plan)).then(|| Rc::clone(machine.plan()));
            drop(machine);
            if let Some(plan) = other {
                self.adopt(plan);
            }
            if stopping {
                self.find_listeners();
                self.sockets.let_go();
            }
            for action in actions {
                next = self.perform(action).or(next);
                self.check_starvation();
            }
        }
    }

    /// The last lines: what children have written, the report, the log. Bounded, whoever reads them or does not.
    async fn end(&mut self) -> u8 {
        let until = Instant::now() + output_time(self.left_or_grace());
        let mut all_out = self.deliver(until.min(Instant::now() + QUICK)).await;
        self.orders.keeper.end();
        self.last_outputs_at_the_end();
        self.orders.history.borrow_mut().set_orphans(self.monitor.borrow().orphans.list());
        let leave = until.min(Instant::now() + QUICK / 2);
        let keeper = Rc::clone(&self.orders.keeper);
        tokio::join!(self.orders.close(leave), keeper.everybody_left(leave), self.reporter.writers.end(leave.into()));
        self.take_terminal_back();
        if !all_out {
            let left = self.left_or_grace();
            self.reporter.write(left, false);
            all_out = self.deliver(until).await;
        }
        if !all_out {
            let late = Instant::now() >= until;
            let why = if late { "not read before the grace was over" } else { "nobody reads them" };
            self.sink.give_up(self.outputs.captures.discard(), why);
        }
        // Between lines that say whose they are a line of ours is none of a program's.
        let named = self.plan.config.processes.iter().any(|p| p.output != Output::Inherit);
        self.sink.tell_losses(named);
        self.record_losses();
        let left = self.left_or_grace();
        self.reporter.write(left, true);
        // What that had to say.
        self.sink.flush_until(Instant::now() + (self.left_or_grace() / 4).min(QUICK)).await;
        // Their files go with them.
        (self.sockets, self.notices) = (Sockets::default(), Notices::default());
        self.exit.unwrap_or(crate::exit::INTERNAL)
    }

    pub(super) fn left_or_grace(&self) -> Duration {
        self.left(Instant::now()).unwrap_or(self.plan.config.grace)
    }

    /// Of the grace, once the stop has begun.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.machine.borrow().end().map(|at| self.clock.instant(at).saturating_duration_since(now))
    }
}

/// Signals from here on, and a descriptor that is readable when there are some.
fn signals_of(early: Early) -> std::io::Result<(Signals, AsyncFd<File>)> {
    let signals = early.receive()?;
    let file = File::from(signals.as_fd().try_clone_to_owned()?);
    Ok((signals, watch(file, Interest::READABLE)?))
}

/// How much of what is left of the grace the output may take.
fn output_time(left: Duration) -> Duration {
    left - LEAVE.min(left / 2)
}

/// As softstop was started: it changes none but SIGCHLD's.
fn is_ignored(signal: Signal) -> bool {
    mask::disposition(signal) == Some(Disposition::Ignored)
}

/// For what is emptied right after. `more`: the last time something was left, of which the descriptor does not tell again. Everybody else gets a
/// turn in between.
async fn wait_for(fd: Option<&AsyncFd<File>>, more: bool) {
    match more {
        true => tokio::task::yield_now().await,
        false => ready(fd, Interest::READABLE).await,
    }
}

/// Whether something that has this time is to be done; `None`: it has none.
pub(super) fn is_due(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_time_is_due_from_then_on_and_what_has_none_never() {
        let now = Instant::now();
        let later = now + Duration::from_millis(1);
        assert_eq!([Some(now), Some(later), None].map(|at| is_due(at, now)), [true, false, false]);
        assert!(is_due(Some(now), later));
    }

    #[test]
    fn of_the_grace_something_is_kept_for_what_comes_after_the_output() {
        let ms = Duration::from_millis;
        for (left, output) in [(ms(4000), ms(3500)), (ms(1000), ms(500)), (ms(400), ms(200)), (ms(0), ms(0))] {
            assert_eq!(output_time(left), output, "{left:?} left");
        }
    }
}
