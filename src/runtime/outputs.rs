//! What children write, as far as softstop reads it: where it leads, where the lines of each go, who is being read, and what was lost. How it is read is
//! [`crate::output`]'s.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use tokio::time::Instant;

use super::hooks::{News, process_of};
use super::shell::{Owner, PATIENCE, Shell};
use crate::config::{Config, LogTarget, Output, Process};
use crate::lifecycle::action::What;
use crate::lifecycle::event::{ProcId, SpawnError, SpawnErrorKind};
use crate::output::files::LogFiles;
use crate::output::kept::Keeper;
use crate::output::{Capture, Captures, Sink, Source, Stream};
use crate::report::Note;
use crate::sys::pty::{self, Pty};
use crate::sys::spawn::Stdio;
use crate::sys::stdio::pipe;
use crate::sys::users::Credentials;

/// Of what a process said before it died, so many lines are told.
const TOLD: usize = 5;

pub(super) struct Outputs {
    pub captures: Captures,
    pub log_files: Rc<LogFiles>,
    keeper: Rc<Keeper>,
    /// Of each process; `None`: softstop reads nothing of it.
    processes: Vec<Option<Source>>,
    /// By name.
    hooks: BTreeMap<String, Source>,
    /// By the pid of who writes.
    capturing: HashMap<i32, Capture>,
    /// Processes that have ended unasked, and whose last output is still being read.
    awaited: BTreeSet<ProcId>,
}

impl Outputs {
    pub(super) fn new(sink: Sink, config: &Config, keeper: Rc<Keeper>) -> Outputs {
        let log_files = Rc::<LogFiles>::default();
        let names = config.processes.iter().map(|p| p.name.as_str());
        let captures = Captures::new(sink, names, Rc::clone(&log_files));
        let processes = config.processes.iter().map(|p| source(&captures, p, &keeper)).collect();
        let (hooks, capturing, awaited) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Outputs { captures, log_files, keeper, processes, hooks, capturing, awaited }
    }

    /// After a reload; at the places `others` are others now.
    pub(super) fn adopt(&mut self, old: &Config, new: &Config, others: &[usize]) {
        self.awaited.retain(|id| !others.contains(&id.0));
        self.processes.resize_with(new.processes.len(), || None);
        for (id, process) in new.processes.iter().enumerate() {
            let same = |before: &Process| {
                before.name == process.name && before.output == process.output && before.logs == process.logs
            };
            if !old.processes.get(id).is_some_and(same) {
                self.processes[id] = source(&self.captures, process, &self.keeper);
            }
        }
        // How their lines look may be otherwise.
        self.hooks.clear();
    }

    /// The last lines of a process.
    pub(super) fn tail(&self, process: ProcId) -> Vec<String> {
        self.processes[process.0].as_ref().map(Source::tail).unwrap_or_default()
    }
}

fn source(captures: &Captures, process: &Process, keeper: &Rc<Keeper>) -> Option<Source> {
    process.is_read_at_all().then(|| captures.source_for(process, &process.name, keeper))
}

impl Shell {
    // === what is begun to be read ===

    /// What its output is to be read from, new for each start.
    pub(super) fn to_read(
        &self,
        id: ProcId,
        config: &Process,
        credentials: Option<&Credentials>,
    ) -> Result<ToRead, SpawnError> {
        if config.tty {
            return own_terminal(pty::size_within(self.outputs.captures.prefix(config)), credentials)
                .map(ToRead::Terminal);
        }
        match self.outputs.processes[id.0] {
            Some(_) => output_pipes(credentials).map(ToRead::Pipes),
            None => Ok(ToRead::Nothing),
        }
    }

    /// Of a program that was just started.
    pub(super) fn read_output(&mut self, id: ProcId, pid: i32, read: ToRead) {
        let Some(source) = &self.outputs.processes[id.0] else { return };
        source.forget_tail();
        let capture = match read {
            // Its own end must be nobody's but its: it ends with it.
            ToRead::Terminal(Pty { ours, theirs }) => {
                drop(theirs);
                source.capture_terminal(ours)
            }
            ToRead::Pipes(pipes) => source.capture(pipes.stdout, pipes.stderr),
            ToRead::Nothing => return,
        };
        match capture {
            Ok(capture) => drop(self.outputs.capturing.insert(pid, capture)),
            Err(error) => {
                tracing::warn!("{}: its output cannot be read: {error}", self.plan.config.processes[id.0].name)
            }
        }
    }

    /// A hook's output belongs into the container's log, unlike with the kubelet, who hides it.
    pub(super) fn pass_on(&mut self, what: What, pid: i32, form: Output, pipes: OutputPipes) {
        let key = what.place.key();
        let name = match what.place.process() {
            Some(p) => format!("{} {key}", self.plan.name(p.0)),
            None => key.to_string(),
        };
        let (Outputs { captures, keeper, hooks, .. }, plan) = (&mut self.outputs, &self.plan);
        let source = hooks.entry(name).or_insert_with_key(|name| match process_of(plan, what) {
            Some(process) => captures.source_for(process, name, keeper),
            None => captures.source_of_hook(name, form, keeper),
        });
        match source.capture(pipes.stdout, pipes.stderr) {
            Ok(capture) => drop(self.outputs.capturing.insert(pid, capture)),
            Err(error) => tracing::warn!("a hook's output cannot be read: {error}"),
        }
    }

    /// softstop's own window may have another size: so have those of the terminals that it reads.
    pub(super) fn resize_terminals(&self) {
        for (pid, capture) in &self.outputs.capturing {
            if let Some(Owner::Process(id)) = self.children.get(pid)
                && let Some(process) = self.plan.config.processes.get(id.0)
            {
                capture.resize(pty::size_within(self.outputs.captures.prefix(process)));
            }
        }
    }

    // === the last of it ===

    /// Of a child that has been reaped. It is told if it is that of a process that nobody asked to end.
    pub(super) fn read_last_output(&mut self, pid: i32, unasked: Option<ProcId>) {
        let Some(capture) = self.outputs.capturing.remove(&pid) else { return };
        let source = unasked.and_then(|process| self.outputs.processes[process.0].clone());
        let (done, awaited) = (self.done.clone(), unasked.zip(source));
        self.outputs.awaited.extend(unasked);
        capture.process_ended(move || {
            if let Some((process, source)) = awaited {
                // The loop is gone only when everything is.
                let _ = done.send(News::LastOutput(process, source.tail()));
            }
        });
    }

    /// All that a process said before it ended unasked has been read.
    pub(super) fn last_output(&mut self, process: ProcId, lines: Vec<String>) {
        if self.outputs.awaited.remove(&process)
            && let Some(note) = self.note_of_last_output(process, lines)
        {
            self.reporter.note(note);
        }
    }

    /// The end has come first. The summary is the log's last line, and the output stands above it: this is for the report.
    pub(super) fn last_outputs_at_the_end(&mut self) {
        for process in std::mem::take(&mut self.outputs.awaited) {
            if let Some(note) = self.note_of_last_output(process, self.outputs.tail(process)) {
                self.reporter.record(note);
            }
        }
    }

    fn note_of_last_output(&self, process: ProcId, mut lines: Vec<String>) -> Option<Note> {
        lines.retain(|line| !line.trim().is_empty());
        if lines.is_empty() {
            return None;
        }
        self.monitor.borrow_mut().said_last(process, &lines);
        let lines = lines.split_off(lines.len().saturating_sub(TOLD));
        Some(Note::LastOutput { process: self.plan.name(process.0).to_owned(), lines })
    }

    /// Hands out all that was written; `false` when it was not read in time.
    pub(super) async fn deliver(&self, until: Instant) -> bool {
        let all = async {
            self.outputs.captures.finish().await;
            tokio::join!(self.sink.flushed(), self.outputs.log_files.finish(PATIENCE));
        };
        tokio::select! {
            biased;
            () = all => true,
            () = self.sink.stalled(PATIENCE) => false,
            () = tokio::time::sleep_until(until) => false,
        }
    }

    pub(super) fn record_losses(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let lines = self.sink.lost(stream);
            if lines > 0 {
                let why = self.sink.lost_because(stream);
                self.reporter.record(Note::OutputLost { stream: stream.long_name().to_owned(), lines, why });
            }
        }
        for (stream, lines, why) in self.outputs.log_files.losses().into_iter().chain(self.outputs.captures.dropped()) {
            self.reporter.record(Note::OutputLost { stream, lines, why });
        }
    }
}

/// The terminal that a process writes to. Its user may open it again by name.
fn own_terminal(size: pty::Size, user: Option<&Credentials>) -> Result<Pty, SpawnError> {
    let pty = pty::open(size).map_err(|error| {
        let short = matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EMFILE | libc::ENFILE | libc::ENOMEM));
        let kind = if short { SpawnErrorKind::Transient } else { SpawnErrorKind::Setup };
        SpawnError { kind, text: format!("no terminal for it (tty): /dev/ptmx: {error}") }
    })?;
    if let Some(user) = user {
        // Where it is not permitted all else works as before.
        let _ = std::os::unix::fs::fchown(&pty.theirs, Some(user.uid), None);
    }
    Ok(pty)
}

/// What softstop reads of a process.
pub(super) enum ToRead {
    Terminal(Pty),
    Pipes(OutputPipes),
    Nothing,
}

impl ToRead {
    pub(super) fn ends(&self, process: &Process) -> Result<Ends<'_>, SpawnError> {
        match self {
            ToRead::Terminal(pty) => Ok(Ends([End::Given(pty.theirs.as_fd()), End::Given(pty.theirs.as_fd())])),
            ToRead::Pipes(pipes) => Ends::of(Some(process), Some(pipes)),
            ToRead::Nothing => Ends::of(Some(process), None),
        }
    }

    pub(super) fn stdin(&self, inherits: bool) -> Stdio<'_> {
        match self {
            ToRead::Terminal(pty) => Stdio::Terminal(pty.theirs.as_fd()),
            ToRead::Pipes(_) | ToRead::Nothing if inherits => Stdio::Inherit,
            ToRead::Pipes(_) | ToRead::Nothing => Stdio::Null,
        }
    }
}

/// The reading ends stay here, the writing ends go to the child and are dropped here.
pub(super) struct OutputPipes {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    to_stdout: OwnedFd,
    to_stderr: OwnedFd,
}

/// The child's user may open the pipes again by name: to log to /dev/stderr is what many programs are configured to.
pub(super) fn output_pipes(user: Option<&Credentials>) -> Result<OutputPipes, SpawnError> {
    let make = || -> io::Result<OutputPipes> {
        let ((stdout, to_stdout), (stderr, to_stderr)) = (pipe()?, pipe()?);
        if let Some(user) = user {
            // Where it is not permitted all else works as before.
            for fd in [&to_stdout, &to_stderr] {
                let _ = std::os::unix::fs::fchown(fd, Some(user.uid), Some(user.gid));
            }
        }
        Ok(OutputPipes { stdout, stderr, to_stdout, to_stderr })
    };
    make().map_err(|error| SpawnError::transient(format!("no pipe for its output: {error}")))
}

/// Where the standard output and error of a process, or a hook, lead.
pub(super) struct Ends<'p>([End<'p>; 2]);

enum End<'p> {
    Given(BorrowedFd<'p>),
    /// softstop's own of the same number.
    Own,
    /// softstop's other one, by a number out of the way.
    Other(OwnedFd),
    Nowhere,
}

impl<'p> Ends<'p> {
    /// `pipes`: of what softstop reads; of what is no process's, all.
    pub(super) fn of(process: Option<&Process>, pipes: Option<&'p OutputPipes>) -> Result<Ends<'p>, SpawnError> {
        let end = |stream: usize| -> io::Result<End<'p>> {
            if let Some(pipes) = pipes.filter(|_| process.is_none_or(|process| process.is_read(stream))) {
                return Ok(End::Given([&pipes.to_stdout, &pipes.to_stderr][stream].as_fd()));
            }
            Ok(match (process.map(|process| &process.logs.to[stream]), stream) {
                (Some(LogTarget::Stdout), 1) => End::Other(io::stdout().as_fd().try_clone_to_owned()?),
                (Some(LogTarget::Stderr), 0) => End::Other(io::stderr().as_fd().try_clone_to_owned()?),
                (Some(LogTarget::None), _) => End::Nowhere,
                _ => End::Own,
            })
        };
        let made = end(0).and_then(|first| Ok([first, end(1)?]));
        made.map(Ends).map_err(|error| SpawnError::transient(format!("no descriptor for its output: {error}")))
    }

    pub(super) fn stdio(&self, stream: usize) -> Stdio<'_> {
        match &self.0[stream] {
            End::Given(fd) => Stdio::Fd(*fd),
            End::Own => Stdio::Inherit,
            End::Other(fd) => Stdio::Fd(fd.as_fd()),
            End::Nowhere => Stdio::Null,
        }
    }

    /// Which of the two are softstop's own.
    pub(super) fn inherits(&self) -> [bool; 2] {
        [0, 1].map(|stream| matches!(self.0[stream], End::Own))
    }
}
