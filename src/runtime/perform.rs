//! One function per action.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::shell::{Owner, Shell};
use super::{notify, sockets};
use crate::config::{Config, Forward, Identity, Process, SignalTo, Stdin};
use crate::facts::NotPassedOn;
use crate::lifecycle::action::{Action, KillReason};
use crate::lifecycle::event::{Event, ProcId, RequestId, Sender, SpawnError, SpawnErrorKind};
use crate::report::{Inspection, NotSent, Note};
use crate::signal::Signal;
use crate::sys::procfs;
use crate::sys::spawn::{self, Child, ExecStatus, Handed, Spawn, reader};
use crate::sys::users::files::MAX_FILE;
use crate::sys::users::{self, Credentials};
use crate::sys::{by_name, process, reap, target, tree};

/// One sweep with SIGKILL over everything takes so much of our processor time, and of what is left of the grace no more than this
/// part; the machine orders the next.
const SWEEP_WORK: Duration = Duration::from_millis(20);
const SWEEP_LIMIT: u32 = 2;
/// Sweeps take no more than this part of the time once one has reached everybody.
const SWEEP_PART: u32 = 20;
/// With less than this left, nobody looks through all processes any more: leaving in time comes first.
const LOOK: Duration = Duration::from_millis(100);
/// Whoever reads for softstop what it has to know is given so much longer while it only waits for a processor, outside of a stop: a process
/// without its further groups cannot read its files, and a JVM that is not known is stopped by the signal that asks for its dump.
const STARVED_WAIT: Duration = Duration::from_secs(1);
/// Of the processes left over, so many are named.
const NAMED: usize = 10;
/// Of a program with a terminal, where nobody has said of which kind: as docker has it.
const TERM: &str = "xterm";
/// What helps when a process runs as another user.
pub(super) const NEEDS: &str = "add the capability KILL or run softstop as that user";

/// Whom softstop has sent SIGKILL.
#[derive(Default)]
pub(super) struct Killed {
    /// Children that have not been reaped.
    pub pids: HashSet<i32>,
    pub everybody: bool,
    /// Not before then everybody again: they were all reached.
    pub next_sweep: Option<Instant>,
}

impl Shell {
    /// Carry one action out; a spawn's answer comes back at once.
    pub(super) fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn { process } => return Some(self.spawn_process(process)),
            Action::Signal { process, signal, to, wake } => self.signal_process(process, signal, to, wake),
            Action::Diagnose { process, signal, to } => self.diagnose(process, signal, to),
            Action::Forward { process, signal, sender } => self.forward(process, signal, sender),
            Action::Kill { process, because } => self.kill(process, because),
            Action::SignalByCommand { ask, process, signal, to } => self.signal_by_order(ask, process, signal, to),
            Action::SignalGroup { process, signal, whom } => self.signal_group(process, signal, whom),
            // Its limit is the machine's to watch: it cancels.
            Action::Run { run, what, context, .. } => self.start_run(run, what, &context),
            Action::Cancel { run, kill } => self.cancel_run(run, kill),
            Action::SignalStragglers { signal, whom } => self.signal_stragglers(None, signal, whom),
            Action::KillEverything => self.kill_everything(),
            Action::Census => self.reaping.census = true,
            Action::ReopenLogs => drop(self.outputs.log_files.reopen()),
            Action::Note(Note::StragglersGone { .. }) if !self.stragglers_were_told() => {}
            // The summary is the last line.
            Action::Note(note @ Note::Finished(_)) => {
                self.break_off_signalling(None);
                self.report_left_behind();
                self.last_kills();
                self.reporter.note(note);
            }
            Action::Note(note) => {
                self.tell_clients(&note);
                self.reporter.note(note);
            }
            Action::Finish { code } => self.exit = Some(code),
            Action::Reread { ask, dry_run } => self.reread(ask, dry_run),
            Action::Answer { ask, answer } => self.answer(ask, answer),
        }
        None
    }

    // === starting ===

    fn spawn_process(&mut self, id: ProcId) -> Event {
        match self.try_spawn(id) {
            Ok(pid) => {
                self.children.insert(pid, Owner::Process(id));
                self.groups.begin(id, pid);
                self.stragglers.forget(id);
                Event::Spawned { process: id, pid }
            }
            Err(error) => {
                if error.kind == SpawnErrorKind::Transient {
                    self.processes_may_be_short();
                }
                Event::SpawnFailed { process: id, error }
            }
        }
    }

    fn try_spawn(&mut self, id: ProcId) -> Result<i32, SpawnError> {
        let plan = Rc::clone(&self.plan);
        let config = &plan.config.processes[id.0];
        let launch = &config.launch;
        let credentials = self.resolve(&launch.identity)?;
        let credentials = credentials.as_ref();
        let env = self.environment_of(config, &plan.config, credentials)?;
        let line = notify::line_pipe(config)?;
        let read = self.to_read(id, config, credentials)?;
        let ends = read.ends(config)?;
        let inherits_input = config.stdin == Stdin::Inherit;
        if let Some(user) = credentials.filter(|_| !config.tty) {
            allow_by_name(&config.name, user.uid, inherits_input, ends.inherits());
        }
        let wait = self.exec_wait();
        let mut handed = self.sockets.of(config, &plan.config);
        handed.extend(line.as_ref().map(|(number, theirs, _)| Handed { number: *number, fd: theirs.as_fd() }));
        let program = Spawn {
            working_dir: launch.working_dir.as_deref(),
            credentials,
            limits: &launch.limits,
            stdin: read.stdin(inherits_input),
            stdout: ends.stdio(0),
            stderr: ends.stdio(1),
            foreground: inherits_input && self.terminal.is_some(),
            keep_fds: config.foreground,
            handed: &handed,
            ..Spawn::new(&config.command, &env, &self.inherited)
        };
        let child = spawn::spawn_within(&program, wait)?;
        let pid = self.started(child);
        drop(ends);
        if let Some((_, theirs, ours)) = line {
            drop(theirs);
            self.await_line(pid, ours);
        }
        self.read_output(id, pid, read);
        self.sent_interrupt &= !inherits_input;
        if config.foreground {
            // The program has its own; held here too they would keep pipes and sockets of others open.
            self.inherited_fds.clear();
        }
        Ok(pid)
    }

    /// With what goes with its sockets, its terminal, and the way it says how it is.
    fn environment_of(
        &mut self,
        process: &Process,
        config: &Config,
        credentials: Option<&Credentials>,
    ) -> Result<Rc<Vec<(OsString, OsString)>>, SpawnError> {
        let mut env = self.environment_for(credentials, &process.launch, &[], process.foreground)?;
        let mut more = sockets::environment(process, config);
        if process.notify.is_some() {
            // Those that softstop itself was given are not its.
            Rc::make_mut(&mut env)
                .retain(|(name, _)| !["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"].iter().any(|own| name == own));
            more.extend(self.notices.variables(process));
        }
        if process.tty && !env.iter().any(|(name, _)| name == "TERM") {
            more.push(("TERM".into(), TERM.into()));
        }
        if !more.is_empty() {
            Rc::make_mut(&mut env).extend(more);
        }
        Ok(env)
    }

    /// Whom to run as: looked up at the first start that asks, which may be after an init task has written the file, and kept. As hooks run as
    /// their process does, no file is read during a stop.
    pub(super) fn resolve(&mut self, identity: &Identity) -> Result<Option<Credentials>, SpawnError> {
        if let Some((_, found)) = self.users.iter().find(|(known, _)| known == identity) {
            return Ok(found.clone());
        }
        let found = users::resolve(identity, &mut |path| self.read_aside(Path::new(path), MAX_FILE))?;
        if let Some(warning) = found.warning {
            tracing::warn!("{warning}");
        }
        self.users.push((identity.clone(), found.credentials.clone()));
        Ok(found.credentials)
    }

    /// A file, and one byte more than `most` at the most: by a process of its own, as its file system may hang.
    pub(super) fn read_aside(&mut self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let read = reader::read(path, most, self.exec_wait(), self.starved_wait());
        read.held.into_iter().for_each(|pid| self.reporter.writers.hold(pid, path.into()));
        read.bytes
    }

    /// See [`STARVED_WAIT`].
    pub(super) fn starved_wait(&self) -> Duration {
        if self.machine.borrow().stopping() { Duration::ZERO } else { STARVED_WAIT }
    }

    /// How long to wait for the next exec's result.
    pub(super) fn exec_wait(&mut self) -> Duration {
        self.pending_exec.retain(|_, pending| match pending.finish() {
            None => true,
            Some(result) => {
                if let Err(error) = result {
                    tracing::warn!("{}", error.text);
                }
                false
            }
        });
        share_of_exec_wait(self.pending_exec.len(), self.left(Instant::now()))
    }

    /// Note a child whose exec may not be over; its pid.
    pub(super) fn started(&mut self, child: Child) -> i32 {
        if let ExecStatus::Pending(pending) = child.exec {
            self.pending_exec.insert(child.pid, pending);
        }
        child.pid
    }

    // === signals ===

    /// A rung of a process's ladder (`wake`), or a signal that a hook or a diagnosis wants.
    fn signal_process(&mut self, id: ProcId, signal: Signal, to: SignalTo, wake: bool) {
        let Some(pid) = self.groups.of(id) else { return };
        let sent = match (to, wake) {
            (SignalTo::Group, true) => self.signal_members(pid, signal),
            (SignalTo::Process, true) => {
                let sent = target::signal(pid, signal);
                let _ = target::signal(pid, Signal::CONT);
                sent
            }
            (_, false) => self.send(id, pid, signal, to),
        };
        self.was_sent(id, signal, &sent);
    }

    fn was_sent(&mut self, id: ProcId, signal: Signal, sent: &io::Result<()>) {
        self.complain(id, signal, sent);
        if sent.is_err() {
            self.push(Event::NotSent { process: id, signal });
        }
    }

    fn send(&mut self, id: ProcId, pid: i32, signal: Signal, to: SignalTo) -> io::Result<()> {
        self.sent_interrupt |= signal == Signal::INT && self.plan.config.reader() == Some(id.0);
        if signal == Signal::KILL {
            self.killed.pids.insert(pid);
        }
        match to {
            SignalTo::Process => target::signal(pid, signal),
            SignalTo::Group => target::signal_with_group(pid, signal),
        }
    }

    #[inline(never)] // its frame is not its caller's
    fn diagnose(&mut self, id: ProcId, signal: Signal, to: SignalTo) {
        let Some(pid) = self.groups.of(id) else { return };
        let sent = self.send(id, pid, signal, to);
        let _ = self.send(id, pid, Signal::CONT, to);
        self.was_sent(id, signal, &sent);
    }

    #[inline(never)] // its frame is not its caller's
    fn signal_by_order(&mut self, ask: RequestId, id: ProcId, signal: Signal, to: SignalTo) {
        let sent = match self.groups.of(id) {
            Some(pid) => self.send(id, pid, signal, to),
            None => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        };
        self.complain(id, signal, &sent);
        let error = sent.err().map(|error| match error.raw_os_error() {
            Some(libc::EPERM) => NotSent::NotPermitted,
            _ => NotSent::Ended,
        });
        self.push(Event::SignalAnswered { ask, process: id, signal, error });
    }

    fn forward(&mut self, id: ProcId, signal: Signal, sender: Sender) {
        let Some(pid) = self.groups.of(id) else { return };
        let process = self.plan.name(id.0).to_string();
        let held_back = self.plan.config.forward == Forward::Caught
            && procfs::default_is_fatal(signal)
            && procfs::catches(pid, signal) == Some(false);
        if held_back {
            let (from, why) = (sender, NotPassedOn::NotCaught);
            self.reporter.note(Note::SignalIgnored { signal, from, why, times: 1 });
            return;
        }
        let to = self.plan.config.processes[id.0].signal_to;
        let sent = self.send(id, pid, signal, to);
        self.complain(id, signal, &sent);
        if sent.is_ok() {
            self.reporter.note(Note::SignalForwarded { signal, process });
        }
    }

    fn kill(&mut self, id: ProcId, because: KillReason) {
        let Some(pid) = self.groups.of(id) else { return };
        let process = self.plan.name(id.0).to_string();
        let look = (!because.stragglers).then(|| self.look_at(id, pid, because.after));
        let appeared_as = look.as_ref().map(Inspection::to_string).unwrap_or_default();
        self.reporter.note(Note::Killed { process, because, appeared_as, look: look.map(Box::new) });
        let sent = if because.stragglers {
            target::signal_leaderless_group(pid, Signal::KILL)
        } else {
            self.killed.pids.insert(pid);
            let _ = target::signal_group(pid, Signal::KILL);
            target::signal(pid, Signal::KILL)
        };
        self.complain(id, Signal::KILL, &sent);
    }

    /// What a process about to be killed is doing, and the last it said.
    fn look_at(&mut self, id: ProcId, pid: i32, after: Option<Signal>) -> Inspection {
        let mut look = self.inspections.look(pid);
        look.signal_is = after.and_then(|signal| procfs::disposition(pid, signal));
        // What sleeps otherwise has its wait channel.
        if look.state == Some('D') && !self.no_time_to_inspect() {
            let (functions, held) = self.inspections.stack(pid);
            look.kernel_stack = functions;
            held.into_iter().for_each(|pid| self.reporter.writers.hold(pid, "the kernel stack".into()));
        }
        look.last_output = self.outputs.tail(id);
        look
    }

    fn complain(&self, id: ProcId, signal: Signal, sent: &io::Result<()>) {
        match sent {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                tracing::warn!("{}: {signal} is not permitted: it runs as another user; {NEEDS}", self.plan.name(id.0));
            }
            // ESRCH: it has just ended; that will be seen.
            _ => {}
        }
    }

    // === what is left over ===

    fn kill_everything(&mut self) {
        let began = Instant::now();
        // As PID 1, at the very end, leaving is the faster way: the kernel kills everybody at once. And who is left when PID 1 leaves is
        // killed anyway: a crowd needs the processor to end, more than to be killed again.
        if process::is_pid1() && (self.no_time_to_inspect() || self.killed.next_sweep.is_some_and(|at| began < at)) {
            return;
        }
        self.killed.everybody = true;
        // Whatever it took from others they have no use for any more.
        let _ = process::raise_priority();
        let limit = self.left_or_grace() / SWEEP_LIMIT;
        let swept = tree::kill_everything(SWEEP_WORK, limit, &mut self.stragglers.crowd.strangers);
        self.killed.next_sweep = swept.complete.then(|| Instant::now() + began.elapsed().saturating_mul(SWEEP_PART));
    }

    pub(super) fn no_time_to_inspect(&self) -> bool {
        self.left(Instant::now()).is_some_and(|left| left < LOOK)
    }

    /// Who is still there although it was sent SIGKILL: in uninterruptible sleep, frozen, or dead and held by a debugger.
    fn report_left_behind(&mut self) {
        if self.reaping.alone || self.no_time_to_inspect() {
            return;
        }
        let own = process::own_pid();
        let mut left = tree::descendants(&|pid| self.reporter.writers.owns(pid)).unwrap_or_default();
        // A zombie of ours that cannot be reaped is one that a debugger has not waited for yet.
        left.retain(|t| t.lives || t.ppid == own && reap::peek_at(t.pid).is_none());
        if !left.is_empty() {
            let which =
                left.iter().take(NAMED).map(|t| format!("{} (pid {}, {})", t.comm, t.pid, procfs::snapshot(t.pid)));
            self.reporter.note(Note::LeftBehind { count: left.len(), which: which.collect() });
        }
    }
}

/// Half as long for each that has none yet, so that any number of programs on a file system that hangs costs half a second; and no more
/// than a part of what is left of the grace.
fn share_of_exec_wait(pending: usize, left: Option<Duration>) -> Duration {
    let halved = 1u32.checked_shl(u32::try_from(pending).unwrap_or(u32::MAX)).unwrap_or(0);
    let wait = spawn::EXEC_WAIT.checked_div(halved).unwrap_or_default();
    left.map_or(wait, |left| wait.min(left / 8))
}

/// What a process of another user inherits it may open by name, as far as softstop may allow that.
fn allow_by_name(name: &str, uid: u32, input: bool, outputs: [bool; 2]) {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let [out, err] = outputs;
    let streams = [("stdin", stdin.as_fd(), input), ("stdout", stdout.as_fd(), out), ("stderr", stderr.as_fd(), err)];
    for (stream, fd, _) in streams.into_iter().filter(|(.., inherited)| *inherited) {
        if let Err(error) = by_name::allow(fd, uid, stream == "stdin") {
            tracing::debug!(
                "{name}: uid {uid} may not open /dev/{stream} by name ({error}); output = \"prefix\" gives it pipes of its own"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_is_waited_for_half_as_long_beside_each_that_hangs_and_for_an_eighth_of_what_is_left() {
        let ms = Duration::from_millis;
        for (pending, left, wait) in [
            (0, None, ms(250)),
            (1, None, ms(125)),
            (3, Some(ms(60_000)), Duration::from_micros(31_250)),
            (0, Some(ms(800)), ms(100)),
            (0, Some(Duration::ZERO), Duration::ZERO),
            (32, None, Duration::ZERO),
            (usize::MAX, None, Duration::ZERO),
        ] {
            assert_eq!(share_of_exec_wait(pending, left), wait, "{pending} pending, {left:?} left");
        }
    }
}
