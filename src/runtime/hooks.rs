//! Tasks, hooks, steps and probes: their exec and network handlers, each answered by one `RunDone`.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use super::helper::Then;
use super::outputs::{Ends, output_pipes};
use super::shell::{Owner, Shell};
use super::waits::{self, ProgressReporter};
use crate::config::handler::WaitHttp;
use crate::config::{GrpcCall, Handler, HttpCall, Launch, Output, Process};
use crate::facts::Failure;
use crate::http::client;
use crate::lifecycle::action::What;
use crate::lifecycle::event::{Event, Exit, Outcome, ProcId, Progress, RunContext, RunId, SpawnError, SpawnErrorKind};
use crate::plan::Plan;
use crate::resolver::{self, NoAddress};
use crate::signal::Signal;
use crate::sys::spawn::{self, Spawn};
use crate::sys::stdio::watch;
use crate::sys::target;
use crate::tasks;
use crate::text::plain;
use crate::variables;

/// Of a probe's output so much is kept, as by the kubelet; the rest is read and dropped.
const KEPT_OUTPUT: usize = 10 * 1024;
/// So many processes may be reading the files of names: some may be held by a file system that hangs, and each probe would add to them.
const READERS: usize = 64;
/// Of a failed probe's output so much is told.
const TOLD_OUTPUT: usize = 200;

/// What a run consists of right now.
pub(super) enum ActiveRun {
    Exec {
        pid: i32,
        captured: Option<Captured>,
    },
    /// A file is being looked at by a helper process.
    Looking {
        pid: i32,
        path: PathBuf,
        _captured: Captured,
    },
    Task(AbortHandle),
}

/// What comes from the background.
pub(super) enum News {
    // Boxed: a channel has room for 32 of them from the first on.
    Progress(RunId, Box<Progress>),
    Answered(RunId, Box<Outcome>),
    /// All that a process said before it ended unasked has been read.
    LastOutput(ProcId, Vec<String>),
    /// A process has written the line that it was to write, or has closed its descriptor without.
    Line {
        pid: i32,
        line: bool,
    },
    /// What a helper has said, and what follows from it. `None`: not all of it, in its time.
    Helper {
        pid: i32,
        said: Option<Vec<u8>>,
        then: Then,
    },
}

/// What is done with each line that a helper says.
pub(super) type OnLine = Rc<dyn Fn(&str)>;

/// What to do with an address.
pub(super) enum Network {
    Http(HttpCall),
    Grpc(GrpcCall),
    Tcp,
    Wait(Box<WaitHttp>, ProgressReporter),
}

impl Shell {
    #[inline(never)] // its frame is not its caller's
    pub(super) fn start_run(&mut self, run: RunId, what: What, context: &RunContext) {
        let plan = Rc::clone(&self.plan);
        let reporter = ProgressReporter::new(run, self.done.clone());
        let started = match plan.handler(what) {
            Some(Handler::Exec(command)) => self.start_exec(run, what, command, context).map_err(not_started),
            Some(Handler::Http(call)) => self.start_network(run, &call.host, call.port, Network::Http(call.clone())),
            Some(Handler::Grpc(call)) => self.start_network(run, &call.host, call.port, Network::Grpc(call.clone())),
            Some(Handler::Tcp { host, port }) => self.start_network(run, host, *port, Network::Tcp),
            Some(Handler::WaitHttp(wait)) => self.start_network(
                run,
                &wait.call.host,
                wait.call.port,
                Network::Wait(Box::new(wait.clone()), reporter),
            ),
            Some(Handler::WaitFile(wait)) => self.start_wait_file(run, wait, reporter).map_err(not_started),
            Some(Handler::WaitIdle(rule)) => self.start_wait_idle(run, rule, reporter),
            Some(Handler::WaitCommand { command, until }) => {
                self.in_background(run, waits::command::wait(command.clone(), *until, reporter))
            }
            Some(Handler::SignalCommand { command, signal }) => {
                self.in_background(run, waits::command::signal(command.clone(), *signal, reporter))
            }
            // The machine does these by itself.
            Some(Handler::Sleep(_) | Handler::Signal { .. } | Handler::WaitProcess { .. }) | None => {
                Err(Outcome::Failed(Failure::NothingToDo))
            }
        };
        if let Err(outcome) = started {
            self.push(Event::RunDone { run, outcome });
        }
    }

    pub(super) fn heard(&mut self, news: News) {
        match news {
            News::Progress(run, progress) => self.push(Event::Progress { run, progress: *progress }),
            News::Answered(run, outcome) => self.run_answered(run, *outcome),
            News::LastOutput(process, lines) => self.last_output(process, lines),
            News::Line { pid, line } => self.line_written(pid, line),
            News::Helper { pid, said, then } => self.helper_heard(pid, said, then),
        }
    }

    /// An attempt in the background has ended; one that was cancelled meanwhile is not listed any more.
    pub(super) fn run_answered(&mut self, run: RunId, outcome: Outcome) {
        if self.runs.remove(&run).is_some() {
            self.push(Event::RunDone { run, outcome });
        }
    }

    pub(super) fn cancel_run(&mut self, run: RunId, kill: bool) {
        match self.runs.get(&run) {
            // Its leader has not been reaped while it is listed: the group is its own.
            Some(ActiveRun::Exec { pid, .. }) => {
                let pid = *pid;
                let signal = if kill { Signal::KILL } else { Signal::TERM };
                if kill {
                    self.killed.pids.insert(pid);
                }
                // A sandbox that refuses process groups (gVisor) leaves the hook itself.
                for signal in [signal, Signal::CONT] {
                    let _ = target::signal_group(pid, signal).or_else(|_| target::signal(pid, signal));
                }
                // What it says is not wanted any more.
                self.runs.insert(run, ActiveRun::Exec { pid, captured: None });
            }
            Some(ActiveRun::Looking { pid, path, .. }) => {
                let (pid, path) = (*pid, path.clone());
                let _ = target::signal(pid, Signal::KILL);
                // What a file system that hangs holds of it is nobody's concern any more.
                self.children.remove(&pid);
                self.reporter.writers.hold(pid, path);
                self.run_answered(run, Outcome::Failed(Failure::Cancelled));
            }
            Some(ActiveRun::Task(task)) => {
                task.abort();
                self.run_answered(run, Outcome::Failed(Failure::Cancelled));
            }
            None => {}
        }
    }

    // === exec ===

    fn start_exec(
        &mut self,
        run: RunId,
        what: What,
        command: &[OsString],
        context: &RunContext,
    ) -> Result<(), SpawnError> {
        let plan = Rc::clone(&self.plan);
        let (launch, form) = surroundings(&plan, what);
        let probe = what.is_probe();
        // Of a probe all is read, whatever its process does.
        let of = process_of(&plan, what).filter(|_| !probe);
        let credentials = self.resolve(&launch.identity)?;
        let env = self.environment_for(credentials.as_ref(), &launch, &environment(&plan, what, context), false)?;
        let read = probe || of.map_or(form != Output::Inherit, Process::is_read_at_all);
        let pipes = read.then(|| output_pipes(credentials.as_ref())).transpose()?;
        let ends = Ends::of(of, pipes.as_ref())?;
        let wait = self.exec_wait();
        let program = Spawn {
            working_dir: launch.working_dir.as_deref(),
            credentials: credentials.as_ref(),
            limits: &launch.limits,
            stdout: ends.stdio(0),
            stderr: ends.stdio(1),
            ..Spawn::new(command, &env, &self.inherited)
        };
        let child = spawn::spawn_within(&program, wait)?;
        let pid = self.started(child);
        self.children.insert(pid, Owner::Run(run));
        drop(ends);
        let captured = match pipes {
            Some(pipes) if probe => Some(Captured::listen([pipes.stdout, pipes.stderr], None)),
            Some(pipes) => {
                self.pass_on(what, pid, form, pipes);
                None
            }
            None => None,
        };
        self.runs.insert(run, ActiveRun::Exec { pid, captured });
        Ok(())
    }

    /// A run's process has ended; it is still a zombie.
    #[inline(never)] // its frame is not its caller's
    pub(super) fn exec_ended(&mut self, run: RunId, exit: Exit) {
        match self.runs.remove(&run) {
            Some(ActiveRun::Exec { captured, .. }) => {
                let said = captured.as_ref().map(Captured::last_line).unwrap_or_default();
                let failure = Failure::Ended { exit, said };
                let outcome = if exit.success() { Outcome::Ok } else { Outcome::Failed(failure) };
                self.push(Event::RunDone { run, outcome });
            }
            Some(ActiveRun::Looking { .. }) => {
                let outcome = if exit.success() { Outcome::Ok } else { Outcome::Failed(Failure::Helper { exit }) };
                self.push(Event::RunDone { run, outcome });
            }
            Some(task @ ActiveRun::Task(_)) => {
                self.runs.insert(run, task);
            }
            None => {}
        }
    }

    // === network ===

    pub(super) fn start_network(&mut self, run: RunId, host: &str, port: u16, then: Network) -> Result<(), Outcome> {
        if let Some(addrs) = client::local_addresses(host, port) {
            return self.in_background(run, then.call(addrs));
        }
        let files = self.open_names(host)?;
        let host = host.to_owned();
        self.in_background(run, async move {
            match resolver::look_up(&host, port, files).await {
                Ok(addrs) => then.call(addrs).await,
                Err(NoAddress::NotFound(why)) => Outcome::Failed(Failure::NotResolved { why }),
                Err(NoAddress::NotAsked(why)) => not_looked_up(&host, &why),
            }
        })
    }

    /// The files that names are looked up in, read by processes of their own, as their file system may hang.
    fn open_names(&mut self, host: &str) -> Result<resolver::Files, Outcome> {
        if self.reporter.writers.holding(resolver::HOSTS) + self.reporter.writers.holding(resolver::CONF) > READERS {
            return Err(not_looked_up(host, "/etc does not answer, its file system hangs"));
        }
        let opened = resolver::Files::open();
        if opened.is_err() {
            self.processes_may_be_short();
        }
        let (files, readers) = opened.map_err(|error| not_looked_up(host, &error.to_string()))?;
        for (pid, path) in readers {
            self.reporter.writers.hold(pid, path.into());
        }
        Ok(files)
    }
}

impl Network {
    async fn call(self, addrs: Vec<SocketAddr>) -> Outcome {
        match self {
            Network::Http(call) => client::call(&call, &addrs).await,
            Network::Grpc(call) => client::grpc(&call, &addrs).await,
            Network::Tcp => client::tcp(&addrs).await,
            Network::Wait(wait, reporter) => waits::http(*wait, addrs, reporter).await,
        }
    }
}

/// Whose hook or probe it is; `None`: no process's.
pub(super) fn process_of(plan: &Plan, what: What) -> Option<&Process> {
    what.place.process().and_then(|p| plan.config.processes.get(p.0))
}

/// How the program of a run is started, and what becomes of its output. A hook belongs to its process: same user, directory, environment, limits,
/// output, unless it says otherwise. Others run as softstop does.
fn surroundings(plan: &Plan, what: What) -> (Launch, Output) {
    let own = plan.task(what).map(|task| &task.launch);
    match process_of(plan, what) {
        Some(p) => (own.map_or_else(|| p.launch.clone(), |own| own.within(&p.launch)), p.output),
        None => {
            let outputs = plan.config.processes.iter().map(|p| p.output);
            let output = outputs.into_iter().find(|o| *o != Output::Inherit).unwrap_or_default();
            (own.cloned().unwrap_or_default(), output)
        }
    }
}

/// That nobody could be asked is nobody's fault.
fn not_looked_up(host: &str, why: &str) -> Outcome {
    Outcome::Unknown { reason: Failure::NotLookedUp { host: host.to_owned(), why: why.to_owned() } }
}

/// What a program that could not be started amounts to: only where the system is short of something is it nobody's fault.
fn not_started(error: SpawnError) -> Outcome {
    match error.kind {
        SpawnErrorKind::Transient => Outcome::Unknown { reason: Failure::Said(error.text) },
        _ => Outcome::Failed(Failure::Said(error.text)),
    }
}

/// What hooks and steps are given.
fn environment(plan: &Plan, what: What, context: &RunContext) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    if !what.is_probe() {
        env.push((variables::REASON.into(), context.reason.name().into()));
        env.push((variables::REMAINING_MS.into(), context.remaining.as_millis().to_string().into()));
    }
    env.extend(context.exit_code.map(|code| (variables::EXIT_CODE.into(), code.to_string().into())));
    if let Some(Exit::Signal { signal, .. }) = context.end {
        env.push((variables::EXIT_SIGNAL.into(), signal.to_string().into()));
    }
    let ended = context.end.and(what.place.process());
    env.extend(ended.map(|p| (variables::PROCESS.into(), plan.name(p.0).into())));
    env
}

/// The beginning of what a child says; the rest is read and dropped, so that it never blocks. Ends with its value: a
/// grandchild that holds the pipe keeps nothing of ours.
pub(super) struct Captured {
    kept: Rc<RefCell<Vec<u8>>>,
    pipes: Vec<Rc<AsyncFd<File>>>,
    readers: Vec<AbortHandle>,
}

impl Captured {
    /// `heard`: gets the last line of what has just been captured.
    pub(super) fn listen(pipes: impl IntoIterator<Item = OwnedFd>, heard: Option<OnLine>) -> Captured {
        let mut captured = Captured { kept: Rc::default(), pipes: Vec::new(), readers: Vec::new() };
        for fd in pipes {
            let Ok(pipe) = watch(File::from(fd), Interest::READABLE).map(Rc::new) else { continue };
            let reader = tasks::spawn(read_on(Rc::clone(&pipe), Rc::clone(&captured.kept), heard.clone()));
            captured.readers.push(reader.abort_handle());
            captured.pipes.push(pipe);
        }
        captured
    }

    /// Of everything said until now, as far as it is kept: the last line with something in it, in printable characters and bounded.
    fn last_line(&self) -> String {
        for pipe in &self.pipes {
            let mut chunk = [0; KEPT_OUTPUT];
            if let Ok(n) = pipe.get_ref().read(&mut chunk) {
                keep(&self.kept, &chunk[..n]);
            }
        }
        last_line(&String::from_utf8_lossy(&self.kept.borrow()))
    }
}

fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    plain(line, ' ').chars().take(TOLD_OUTPUT).collect()
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.readers.iter().for_each(AbortHandle::abort);
    }
}

fn keep(kept: &RefCell<Vec<u8>>, chunk: &[u8]) {
    let mut kept = kept.borrow_mut();
    let room = KEPT_OUTPUT.saturating_sub(kept.len());
    kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
}

async fn read_on(pipe: Rc<AsyncFd<File>>, kept: Rc<RefCell<Vec<u8>>>, heard: Option<OnLine>) {
    let mut chunk = [0; 4096];
    loop {
        let Ok(mut ready) = pipe.readable().await else { return };
        match ready.try_io(|pipe| pipe.get_ref().read(&mut chunk)) {
            Ok(Ok(0)) => return,
            Ok(Ok(n)) => {
                keep(&kept, &chunk[..n]);
                if let Some(heard) = &heard {
                    heard(&last_line(&String::from_utf8_lossy(&chunk[..n])));
                }
            }
            Ok(Err(e)) if e.kind() != io::ErrorKind::Interrupted => return,
            Ok(Err(_)) | Err(_) => {}
        }
        // A child that never stops talking must not keep the loop from its work.
        tokio::task::yield_now().await;
    }
}
