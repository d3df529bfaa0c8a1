//! What the user asked for, as valid settings: no strings left to parse, no impossible values. Pure.
//!
//! [`check`] turns the file's text into a [`Config`] and collects every [`problem`] on the way, each at its place. The
//! wrapper's flags build the same [`Config`] with one process in it (`crate::cli`).

pub mod check;
pub mod expand;
pub mod fit;
pub mod listen;
pub mod network;
pub mod place;
pub mod platform;
pub mod prestop;
pub mod problem;
pub mod secrets;
pub mod wait;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::facts::Condition;
use crate::programs::{self, Program};
use crate::signal::Signal;

/// `terminationGracePeriodSeconds`' default in Kubernetes.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// The last slice of the budget: SIGKILL, reap, report. A quarter of the grace when that is less.
pub const DEFAULT_KILL_RESERVE: Duration = Duration::from_secs(1);
/// Where the kubelet reads a container's last words, unless the pod spec names another file.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Everything softstop needs to know before it starts anything.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from, absolute; `None`: flags.
    pub source: Option<PathBuf>,
    /// The whole budget from the first stop request to softstop's own end.
    pub grace: Duration,
    /// The last slice of `grace`, for SIGKILL, reaping and the report. Less than `grace`.
    pub kill_reserve: Duration,
    /// What the stop of the processes and `post_stop` hold together against the drain; `None`: a quarter of the grace.
    pub stop_reserve: Option<Duration>,
    /// Which signals to softstop ask for a stop. Every other one is forwarded.
    pub stop_on: StopOn,
    pub forward: Forward,
    pub readiness_on_drain: ReadinessOnDrain,
    pub http: Option<Http>,
    pub control: Control,
    pub log: LogConfig,
    pub exit_codes: ExitCodes,
    /// The processes that matter are another container's.
    pub sidecar: Option<Sidecar>,
    /// In order, before any process.
    pub init: Vec<Task>,
    /// At least one, unless this is a sidecar. Names are unique.
    pub processes: Vec<Process>,
    pub drain: Vec<Step>,
    pub post_stop: Vec<Step>,
    /// What happens to what the processes leave behind; a process may say otherwise for its group.
    pub stragglers: Stragglers,
    /// Where the JSON report goes at exit.
    pub report: Option<PathBuf>,
    /// Where the verdict goes when the file exists. `None` never writes one.
    pub termination_log: Option<PathBuf>,
    /// Who runs the container.
    pub platform: platform::Platform,
}

impl Config {
    /// A configuration with every default and no process: the base that the file's and the flags' readers fill in.
    pub fn with_defaults() -> Config {
        Config {
            source: None,
            grace: DEFAULT_GRACE,
            kill_reserve: DEFAULT_KILL_RESERVE,
            stop_reserve: None,
            stop_on: StopOn::Customary,
            forward: Forward::All,
            readiness_on_drain: ReadinessOnDrain::Fail,
            http: None,
            control: Control::default(),
            log: LogConfig { level: LogLevel::Info, format: LogFormat::Text },
            exit_codes: ExitCodes::default(),
            sidecar: None,
            init: Vec::new(),
            processes: Vec::new(),
            drain: Vec::new(),
            post_stop: Vec::new(),
            stragglers: Stragglers::default(),
            report: None,
            termination_log: Some(PathBuf::from(TERMINATION_LOG)),
            platform: platform::Platform::default(),
        }
    }

    /// The process whose exit code is the container's: the one marked, or the only one.
    pub fn main(&self) -> Option<usize> {
        let marked = self.processes.iter().position(|p| p.main);
        marked.or((self.processes.len() == 1).then_some(0))
    }
}

/// The default `kill_reserve` for a grace: one second, but never more than a quarter of it.
pub fn default_kill_reserve(grace: Duration) -> Duration {
    DEFAULT_KILL_RESERVE.min(grace / 4)
}

/// Which signals ask for a stop.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub enum StopOn {
    /// What is customary: SIGTERM and SIGINT, and from outside the container SIGQUIT and the main program's own stop signal.
    /// `lifecycle::signals` has the table.
    #[default]
    Customary,
    /// Just these, whoever sends them.
    Only(Vec<Signal>),
}

impl StopOn {
    /// Whether it asks for a stop when whoever runs the container sends it; `program`: the main process's, if it is a known one.
    pub fn asks_from_outside(&self, signal: Signal, program: Option<&Program>) -> bool {
        match self {
            StopOn::Only(list) => list.contains(&signal),
            StopOn::Customary => match signal {
                Signal::TERM | Signal::INT => true,
                _ if program.is_some_and(|p| p.stop == signal) => true,
                Signal::QUIT => program.is_none_or(|p| p.dumps_on != Some(signal)),
                _ => false,
            },
        }
    }

    /// Those that ask for a stop before there is a main program, whose own stop signal would count, too.
    pub fn before_the_start(&self, signal: Signal) -> bool {
        match self {
            StopOn::Customary => [Signal::TERM, Signal::INT, Signal::QUIT].contains(&signal),
            StopOn::Only(list) => list.contains(&signal),
        }
    }
}

/// Which signals that are not a stop request reach the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forward {
    /// Every one, as tini does.
    #[default]
    All,
    /// Only those the process catches, where the default action would end it: as if it were PID 1 itself.
    Caught,
}

/// What `/readyz` answers from the stop request on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessOnDrain {
    /// 503: the pod leaves every load balancer that probes it.
    #[default]
    Fail,
    /// As before: keeps the Service's fallback to serving, terminating endpoints alive.
    Keep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: listen::Listen,
    /// `GET /prestop`; `None`: it takes no orders.
    pub prestop: Option<prestop::PreStop>,
}

/// Where orders are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// An abstract address that follows from the PID namespace and softstop's pid, so that a client finds it unaided.
    #[default]
    Own,
    Off,
    /// An abstract address by name.
    Abstract(String),
    /// An absolute path of at most 107 bytes.
    Path(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// `[sidecar]`: softstop stands beside a main container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sidecar {
    pub follow: Option<Follow>,
}

/// The main container's process, in a PID namespace that both share: softstop stops when it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Its name, as `wait_process` has it.
    pub command: String,
    /// Until it runs, and until it has ended.
    pub waits: [Task; 2],
}

impl Follow {
    /// `appear_within`: if it has not been seen by then, it counts as one that has ended.
    pub fn new(command: String, appear_within: Duration) -> Follow {
        let wait = |what, until, timeout| Task {
            timeout,
            retries: Retries::UntilTimeout,
            ..Task::new(format!("{what} of {command}"), Handler::WaitCommand { command: command.clone(), until })
        };
        let waits = [wait("start", wait::Found::Running, Some(appear_within)), wait("end", wait::Found::Ended, None)];
        Follow { command, waits }
    }
}

/// `[stragglers]` and `[process.stragglers]`: processes that live on when those that softstop started have ended. What is `None` is the
/// container's, and there the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stragglers {
    /// They may end by themselves for so long before they are signalled. Default: not at all.
    pub wait: Option<Duration>,
    /// Default: SIGTERM; for a process's group the first signal of its ladder.
    pub signal: Option<Signal>,
    /// From that signal to SIGKILL. Default: all the time that the stop of the processes has; 10 s while the container goes on.
    pub timeout: Option<Duration>,
    /// The same when nobody asked for the stop. Default: [`DEFAULT_TIMEOUT_WHEN_ENDED`].
    pub timeout_when_ended: Option<Duration>,
}

impl Stragglers {
    /// A process's own words, and the container's where it has none.
    #[must_use]
    pub fn or(self, container: Stragglers) -> Stragglers {
        Stragglers {
            wait: self.wait.or(container.wait),
            signal: self.signal.or(container.signal),
            timeout: self.timeout.or(container.timeout),
            timeout_when_ended: self.timeout_when_ended.or(container.timeout_when_ended),
        }
    }
}

/// A container that ended by itself is to be restarted soon.
pub const DEFAULT_TIMEOUT_WHEN_ENDED: Duration = Duration::from_secs(3);

/// `[exit_codes]`: what softstop's own exit code is instead of the main process's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitCodes {
    /// The main process's code (128 + n for a signal) to the code to exit with.
    pub map: BTreeMap<u8, u8>,
    /// The code of a stop that needed SIGKILL, whatever the main process's was.
    pub forced: Option<u8>,
}

/// One supervised process.
#[derive(Clone, Debug)]
pub struct Process {
    pub name: String,
    /// Program and arguments; never empty. The program is looked up on the PATH the process gets.
    pub command: Vec<OsString>,
    pub identity: Identity,
    pub working_dir: Option<PathBuf>,
    /// Added to, and winning over, the environment softstop was started with.
    pub env: Vec<(OsString, OsString)>,
    pub stdin: Stdin,
    pub output: Output,
    pub restart: Restart,
    pub backoff: Backoff,
    /// Final failure after this many restarts within `backoff.reset`; `None` never gives up.
    pub max_restarts: Option<u32>,
    /// Its exit code is the container's.
    pub main: bool,
    pub on_exit: OnExit,
    /// What must hold before it starts: index into `Config::processes` and the condition.
    pub after: Vec<(usize, Condition)>,
    /// The ladder of stop signals; SIGKILL follows. Empty: the signal that asked for the stop (wrapper) or SIGTERM, with
    /// all the time there is.
    pub stop: Vec<Rung>,
    /// With an empty ladder: pass on the very signal that asked for the stop.
    pub stop_as_received: bool,
    /// Sent when the ladder has not ended it, so that it writes what it is doing before SIGKILL.
    pub diagnose: Option<Diagnose>,
    pub signal_to: SignalTo,
    /// What it is sent in place of a signal that it would get because softstop has got it, or that begins its stop where `stop` is empty.
    /// `None`: such a signal to softstop does nothing at all.
    pub rewrite: BTreeMap<Signal, Option<Signal>>,
    /// For what it leaves in its process group.
    pub stragglers: Stragglers,
    pub startup: Option<Probe>,
    pub readiness: Option<Probe>,
    pub liveness: Option<Probe>,
    /// In order, once it has started.
    pub post_start: Vec<Task>,
    pub pre_stop: Option<Task>,
    /// Hand it softstop's inherited descriptors, and leave what happens in the terminal to it: the wrapper's transparency.
    pub foreground: bool,
}

impl Config {
    /// The process that reads softstop's own standard input, and has the terminal when that is one. There is one at most.
    pub fn reader(&self) -> Option<usize> {
        self.processes.iter().position(|p| p.stdin == Stdin::Inherit)
    }

    /// Something in the stop waits for connections.
    pub fn waits_for_idle(&self) -> bool {
        let steps = self.drain.iter().chain(&self.post_stop).flat_map(|step| &step.tasks);
        let mut tasks = steps.chain(self.processes.iter().filter_map(|p| p.pre_stop.as_ref()));
        tasks.any(|task| matches!(task.handler, Handler::WaitIdle(_)))
    }

    /// `softstop -- CMD`.
    pub fn is_wrapper(&self) -> bool {
        self.processes.iter().any(|p| p.foreground)
    }
}

impl Process {
    pub fn is_probed(&self) -> bool {
        self.startup.is_some() || self.readiness.is_some() || self.liveness.is_some()
    }

    /// The program that it is started with, if that is one that takes signals its own way.
    pub fn program(&self) -> Option<&'static Program> {
        self.command.first()?.to_str().and_then(programs::named)
    }

    /// A process with every default, as the wrapper and the file's reader start from.
    pub fn new(name: impl Into<String>, command: Vec<OsString>) -> Process {
        Process {
            name: name.into(),
            command,
            identity: Identity::default(),
            working_dir: None,
            env: Vec::new(),
            stdin: Stdin::Null,
            output: Output::Inherit,
            restart: Restart::OnFailure,
            backoff: Backoff::default(),
            max_restarts: None,
            main: false,
            on_exit: OnExit::Stop,
            after: Vec::new(),
            stop: Vec::new(),
            stop_as_received: false,
            rewrite: BTreeMap::new(),
            diagnose: None,
            signal_to: SignalTo::Process,
            stragglers: Stragglers::default(),
            startup: None,
            readiness: None,
            liveness: None,
            post_start: Vec::new(),
            pre_stop: None,
            foreground: false,
        }
    }
}

/// Who a process runs as. Names are resolved when it first starts, so that they may come from a file an init
/// task writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// A name from /etc/passwd or a number.
    pub user: Option<String>,
    /// A name from /etc/group or a number; default: the user's own group.
    pub group: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    #[default]
    Null,
    Inherit,
}

/// What becomes of a process's standard output and error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// The process writes to softstop's own descriptors: no copy, no cost.
    #[default]
    Inherit,
    /// Each line with the process's name in front.
    Prefix,
    /// Each line as one JSON object.
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    Always,
    #[default]
    OnFailure,
    Never,
}

/// The delay before a restart: `initial` doubling to `max`, back to `initial` after `reset` of uninterrupted running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    pub initial: Duration,
    pub max: Duration,
    pub reset: Duration,
}

impl Backoff {
    pub const INITIAL: Duration = Duration::from_secs(1);
    pub const MAX: Duration = Duration::from_secs(300);
    pub const RESET: Duration = Duration::from_secs(600);
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { initial: Backoff::INITIAL, max: Backoff::MAX, reset: Backoff::RESET }
    }
}

/// What the final end of a process (one that is not restarted) means for the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExit {
    /// The container stops.
    Stop,
    /// The container stops if the process failed; a success counts as completed.
    StopOnFailure,
    /// The container goes on.
    Continue,
}

/// One rung of a stop ladder: send `signal`, wait up to `wait`, go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rung {
    pub signal: Signal,
    /// `None`: all the time there is.
    pub wait: Option<Duration>,
}

/// The signal upon which a program writes what its threads are doing (SIGQUIT to a JVM or a Go program), and how long that may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Diagnose {
    pub signal: Signal,
    /// Out of the process's own share; more than zero.
    pub wait: Duration,
}

/// Enough for the thread dump of a JVM with a thousand threads.
pub const DEFAULT_DIAGNOSE_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalTo {
    /// The process alone, as Kubernetes signals a container's first process.
    #[default]
    Process,
    /// Its whole process group, as a terminal does.
    Group,
}

/// Something to do once, with its time limit: an init task, a hook, a drain or post_stop step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub name: String,
    pub handler: Handler,
    /// For all attempts together; `None`: what its place allows (its share of the budget during a stop).
    pub timeout: Option<Duration>,
    pub retries: Retries,
    /// Pause between two attempts.
    pub retry_delay: Duration,
    pub on_failure: OnFailure,
}

impl Task {
    pub const RETRY_DELAY: Duration = Duration::from_secs(1);

    pub fn new(name: impl Into<String>, handler: Handler) -> Task {
        Task {
            name: name.into(),
            handler,
            timeout: None,
            retries: Retries::Count(0),
            retry_delay: Task::RETRY_DELAY,
            on_failure: OnFailure::Ignore,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retries {
    /// So many further attempts after a failed one.
    Count(u32),
    /// Again until the timeout: what an `[[init]]` that waits for a port does.
    UntilTimeout,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Report it and go on.
    Ignore,
    /// Restart the process it belongs to (post_start only).
    Restart,
    /// Stop the container (init, post_start) or end the drain here (drain).
    Stop,
}

/// What a task, hook, step or probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Run a program to its end; success is exit code 0. Never empty.
    Exec(Vec<OsString>),
    /// Success is 200 to 399, as the kubelet's probes count it.
    Http(HttpCall),
    /// Success is an accepted connection, closed at once.
    Tcp {
        host: String,
        port: u16,
    },
    Sleep(Duration),
    /// A signal to a process (index into `Config::processes`).
    Signal {
        process: usize,
        signal: Signal,
    },
    /// A signal to the processes of that name, whoever started them.
    SignalCommand {
        command: String,
        signal: Signal,
    },
    WaitIdle(wait::WaitIdle),
    WaitHttp(wait::WaitHttp),
    WaitFile(wait::WaitFile),
    /// For a process (index into `Config::processes`).
    WaitProcess {
        process: usize,
        until: wait::Until,
    },
    /// For the processes of that name, whoever started them.
    WaitCommand {
        command: String,
        until: wait::Found,
    },
}

impl Handler {
    /// It goes on until something holds; an attempt that fails is made again until the time is up.
    pub fn waits(&self) -> bool {
        match self {
            Handler::WaitIdle(_)
            | Handler::WaitHttp(_)
            | Handler::WaitFile(_)
            | Handler::WaitProcess { .. }
            | Handler::WaitCommand { .. } => true,
            Handler::Exec(_)
            | Handler::Http(_)
            | Handler::Tcp { .. }
            | Handler::Sleep(_)
            | Handler::Signal { .. }
            | Handler::SignalCommand { .. } => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    pub method: Method,
    pub host: String,
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
    /// Valid header names and values.
    pub headers: Vec<(String, String)>,
    /// For POST.
    pub body: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Post,
}

/// One entry of `[[drain]]` or `[[post_stop]]`: a task, or several side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// One, or the members of `parallel`; never empty.
    pub tasks: Vec<Task>,
    /// What earlier steps may not take from it.
    pub reserve: Option<Duration>,
    /// When not all reserves fit any more, this step's is kept before those of steps that are not essential. Has a `reserve`.
    pub essential: bool,
    pub when: When,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Only when somebody asked for the stop. Not when the main process ended by itself: then there is no traffic left
    /// to drain, and Kubernetes skips preStop too.
    #[default]
    Requested,
    Always,
}

/// A kubelet's probe with the kubelet's fields and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub handler: Handler,
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

impl Probe {
    pub const INITIAL_DELAY: Duration = Duration::ZERO;
    pub const PERIOD: Duration = Duration::from_secs(10);
    pub const TIMEOUT: Duration = Duration::from_secs(1);
    pub const SUCCESS_THRESHOLD: u32 = 1;
    pub const FAILURE_THRESHOLD: u32 = 3;

    pub fn new(handler: Handler) -> Probe {
        Probe {
            handler,
            initial_delay: Probe::INITIAL_DELAY,
            period: Probe::PERIOD,
            timeout: Probe::TIMEOUT,
            success_threshold: Probe::SUCCESS_THRESHOLD,
            failure_threshold: Probe::FAILURE_THRESHOLD,
        }
    }
}
