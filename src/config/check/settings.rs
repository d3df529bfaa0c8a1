//! What stands at the top of the file, and its tables of settings. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::declare::table;
use super::exit_codes::{Codes, ExitCodes};
use super::handler::Handler;
use super::http::{self, Http, HttpKeys};
use super::include::Patterns;
use super::kinds::{FilePath, Limit, Many, Pause, Sub, Word, strings};
use super::logs::{self, AllLogs, AllLogsKeys};
use super::notify::NotifySocketKeys;
use super::on_change::{OnChange, OnChangeKeys};
use super::process::{Process, ProcessKeys, Stdin};
use super::reader::Reader;
use super::sidecar::{self, Sidecar, SidecarKeys};
use super::socket::{self, SocketKeys};
use super::stop_on::{StopOn, StopSignals};
use super::stragglers::{self, Stragglers, StragglersKeys};
use super::task::{Step, StepKeys, Task, TaskKeys};
use super::values;
use crate::config::platform::Platform;

/// The last slice of the budget: SIGKILL, reap, report. A quarter of the grace when that is less.
const DEFAULT_KILL_RESERVE: Duration = Duration::from_secs(1);
/// Where the kubelet reads a container's last words, unless the pod spec names another file.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Whose end is the container's where a process does not say so itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitWhen {
    /// The main process's.
    Main,
    /// The last one's.
    All,
    /// The first one's; of tasks one that has failed.
    Any,
}

/// Whether names and warnings are in colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// On a terminal, unless NO_COLOR or TERM=dumb is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// Everything softstop needs to know before it starts anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The file it was read from, absolute; `None`: flags.
    pub source: Option<PathBuf>,
    /// That file is a Procfile.
    pub procfile: bool,
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
    /// By the command line alone, as `times`: it depends on who looks.
    pub color: Color,
    /// On a terminal lines have the time of day.
    pub times: bool,
    /// Of what the processes say.
    pub logs: AllLogs,
    pub exit_codes: ExitCodes,
    /// The processes that matter are another container's.
    pub sidecar: Option<Sidecar>,
    /// Held by softstop, and handed to the processes that name them. Each is named by one at least, names are unique.
    pub sockets: Vec<socket::Socket>,
    /// Where processes with `notify` say how they are; `None`: an abstract address of softstop's own.
    pub notify_socket: Option<socket::UnixAt>,
    /// In order, before any process.
    pub init: Vec<Task>,
    /// At least one, unless this is a sidecar. Names are unique.
    pub processes: Vec<Process>,
    pub drain: Vec<Step>,
    pub post_stop: Vec<Step>,
    /// Files that are watched while everything runs.
    pub on_change: Vec<OnChange>,
    /// What happens to what the processes leave behind; a process may say otherwise for its group.
    pub stragglers: Stragglers,
    /// Where the JSON report goes at exit.
    pub report: Option<PathBuf>,
    /// Where the termination message goes when the file exists. `None` never writes one.
    pub termination_log: Option<PathBuf>,
    /// Who runs the container.
    pub platform: Platform,
}

impl Config {
    /// A configuration with every default and no process: the base that the file's and the flags' readers fill in.
    pub fn with_defaults() -> Config {
        Config {
            source: None,
            procfile: false,
            grace: TopKeys::grace,
            kill_reserve: DEFAULT_KILL_RESERVE,
            stop_reserve: None,
            stop_on: StopOn::Customary,
            forward: Forward::All,
            readiness_on_drain: TopKeys::readiness_on_drain,
            http: None,
            control: Control::default(),
            log: LogConfig { level: LogKeys::level, format: LogKeys::format },
            color: Color::default(),
            times: true,
            logs: AllLogs::default(),
            exit_codes: ExitCodes::default(),
            sidecar: None,
            sockets: Vec::new(),
            notify_socket: None,
            init: Vec::new(),
            processes: Vec::new(),
            drain: Vec::new(),
            post_stop: Vec::new(),
            on_change: Vec::new(),
            stragglers: Stragglers::default(),
            report: None,
            termination_log: Some(PathBuf::from(TERMINATION_LOG)),
            platform: Platform::default(),
        }
    }

    /// The process whose exit code is the container's: the one marked, or the only one.
    pub fn main(&self) -> Option<usize> {
        let mut present = self.processes.iter().enumerate().filter(|(_, p)| !p.removed);
        let marked = present.clone().find(|(_, p)| p.main).map(|(id, _)| id);
        let first = present.next().map(|(id, _)| id);
        marked.or(first.filter(|_| present.next().is_none()))
    }

    /// The process that reads softstop's own standard input, and has the terminal when that is one. There is one at most.
    pub fn reader(&self) -> Option<usize> {
        self.processes.iter().position(|p| p.stdin == Stdin::Inherit)
    }

    /// Something in the stop waits for connections.
    pub fn waits_for_idle(&self) -> bool {
        let steps = self.drain.iter().chain(&self.post_stop).flat_map(|step| &step.tasks);
        let mut tasks = steps.chain(self.processes.iter().filter_map(|p| p.pre_stop.as_deref()));
        tasks.any(|task| matches!(task.handler, Handler::WaitIdle(_)))
    }

    /// Some process writes into a file.
    pub fn has_log_files(&self) -> bool {
        self.processes.iter().any(|p| p.logs.to.iter().any(|to| to.file().is_some()))
    }

    /// `softstop -- CMD`.
    pub fn is_wrapper(&self) -> bool {
        self.processes.iter().any(|p| p.foreground)
    }
}

/// The default `kill_reserve` for a grace: one second, but never more than a quarter of it.
pub fn default_kill_reserve(grace: Duration) -> Duration {
    DEFAULT_KILL_RESERVE.min(grace / 4)
}

/// Which signals that are not a stop request reach the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forward {
    /// Every one, as tini does.
    All,
    /// Only those the process catches, where the default action would end it: as if it were PID 1 itself.
    Caught,
}

/// What `/readyz` answers from the stop request on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessOnDrain {
    /// 503: the pod leaves every load balancer that probes it.
    Fail,
    /// As before: keeps the Service's fallback to serving, terminating endpoints alive.
    Keep,
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

impl Control {
    /// The file of its socket.
    pub fn path(&self) -> Option<&Path> {
        if let Control::Path(path) = self { Some(path) } else { None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

table! {
    pub struct TopKeys in "the top level" {
        /// The whole budget from the first stop request to softstop's own end: the pod's `terminationGracePeriodSeconds`.
        grace: Limit { words: "duration, 1ms to 24h", examples: &["\"30s\"", "\"1m\"", "'45s'"] } = Duration::from_secs(30);
        /// The last slice of `grace`: SIGKILL, reaping, the report. Nothing else gets it.
        kill_reserve: Limit {
            words: "duration, less than `grace`",
            unset: "`\"1s\"`, or a quarter of `grace` when that is less",
            examples: &["\"1s\"", "\"500ms\""],
        };
        /// What no drain step may take from the stop of the processes and the `post_stop` steps without a `reserve`.
        stop_reserve: Pause {
            unset: "a quarter of `grace`, or what the stated reserves leave",
            examples: &["\"2s\"", "\"0s\""],
        };
        /// The signals that ask for a stop, whoever sends them; a further one changes nothing but may hurry it. Every other signal is
        /// forwarded. Not SIGKILL, SIGSTOP, SIGCONT, SIGCHLD or the signals of a fault.
        stop_on: StopSignals {
            unset: "SIGTERM, SIGINT and, [from outside the container](signals.md#what-each-does), SIGQUIT and the main program's own stop signal",
            examples: &["[\"SIGTERM\", \"SIGINT\"]", "[\"SIGRTMIN+3\"]"],
        };
        /// Which [other signals](signals.md#what-each-does) are passed on to the main process: all, or
        /// [only those that it catches](signals.md#held-back-forward--caught) where the default would end it.
        forward: Word<Forward> = Forward::Caught;
        /// What `/readyz` answers from the stop request on: 503, or as before. `/livez` stays as it is.
        readiness_on_drain: Word<ReadinessOnDrain> = ReadinessOnDrain::Fail;
        /// Whose end is the container's, where a process has no `on_exit`: the [main](exit-codes.md) one's, the last one's, or the first
        /// one's (of [tasks](configuration/process.md#services-and-tasks), one that has failed).
        exit_when: Word<ExitWhen> { unset: "see [`on_exit`](configuration/process.md#process)", examples: &["\"all\"", "\"any\""] };
        /// Further files, read as if they stood behind this one: [more](configuration.md#include). `*` and `?` in a name stand for other characters; a relative path
        /// is seen from this file's folder.
        include: Patterns {
            unset: "none",
            words: "array of paths",
            help: "write include = [\"conf.d/*.toml\"]",
            examples: &["[\"conf.d/*.toml\"]", "[]"],
        };
        /// Where the report of the run is written as JSON at exit.
        report: FilePath { words: "path, a relative one from where softstop was started", unset: "none" };
        /// Where the termination message goes, when the file exists.
        termination_log: TerminationLog = TERMINATION_LOG;
        /// The probe endpoints: [more](configuration/container.md#http).
        http: Sub<HttpKeys<'static>> { unset: "nothing listens", help: "write `[http]` and below it listen = \":9180\"" };
        /// Where orders are taken: [more](configuration/container.md#control).
        control: Sub<ControlKeys<'static>> { help: "write `[control]` and below it socket = \"/run/softstop.sock\"" };
        /// softstop's own log: [more](configuration/container.md#log).
        log: Sub<LogKeys<'static>> { help: "write `[log]` and below it level = \"info\"" };
        /// What is kept of the processes' last lines: [more](configuration/output.md#logs).
        logs: Sub<AllLogsKeys<'static>> { help: "write `[logs]` and below it memory = \"1Mi\"" };
        /// What softstop exits with: [more](configuration.md#exit_codes).
        exit_codes: Codes { examples: &["{ 143 = 0, forced = 79 }"] };
        /// What happens to what the processes leave behind: [more](configuration/stop.md#stragglers).
        stragglers: Sub<StragglersKeys<'static>> { help: stragglers::HELP };
        /// softstop stands beside a main container: [more](configuration/container.md#sidecar).
        sidecar: Sub<SidecarKeys<'static>> { help: "write `[sidecar]`, and below it follow = \"worker\" if need be" };
        /// Where processes with `notify` say how they are: [more](configuration/container.md#notify).
        notify: Sub<NotifySocketKeys<'static>> { help: "write `[notify]` and below it socket = \"/run/notify.sock\"" };
        /// Sockets that softstop holds and hands to processes: [more](configuration/sockets.md#socket).
        socket: Many<SocketKeys<'static>> { unset: "none" };
        /// Tasks before any process: [more](configuration/tasks.md#init).
        init: Many<TaskKeys<'static>> { unset: "none" };
        /// The processes: [more](configuration/process.md#process).
        process: Many<ProcessKeys<'static>> { unset: "at least one, unless there is `[sidecar]`" };
        /// Steps before any stop signal: [more](configuration/tasks.md#drain-and-post_stop).
        drain: Many<StepKeys<'static>> { unset: "none" };
        /// Steps after every process has ended: [more](configuration/tasks.md#drain-and-post_stop).
        post_stop: Many<StepKeys<'static>> { unset: "none" };
        /// Files that are watched, and what is done when they have changed: [more](configuration/container.md#on_change).
        on_change: Many<OnChangeKeys<'static>> { unset: "none" };
    }
}

table! {
    pub struct ControlKeys in "[control]" {
        /// A path gets mode 0600; what cannot be had there is a warning. `"@name"` is an abstract address of that name. At most 107 bytes.
        socket: Socket { unset: "an abstract address that clients find by themselves" };
    }
}

table! {
    pub struct LogKeys in "[log]" {
        /// The least important line that is still written.
        level: Word<LogLevel> = LogLevel::Info;
        /// A line for people, or a JSON object per line.
        format: Word<LogFormat> = LogFormat::Text;
    }
}

strings! {
    /// `None`: none is written.
    TerminationLog Option<PathBuf>, "path, or `\"\"` for none", "", ["\"\"", "\"/dev/termination-log\""],
        |reader, field, _| reader.parsed(field, "write a path, or \"\" to write none", |text| {
            if text.is_empty() { Ok(None) } else { values::path("termination_log", text).map(Some) }
        });
    Socket Control, "absolute path, `\"@name\"`, or `\"off\"`", r"/[\s\S]+|@[\s\S]+|off",
        ["\"/run/softstop.sock\"", "\"@name\"", "\"off\""],
        |reader, field, _| reader.parsed(
            field, "write socket = \"/run/softstop.sock\" or socket = \"off\"", values::control);
}

/// Everything at the top that is no list of processes, tasks or steps, and no part of the budget.
pub fn settings(reader: &mut Reader<'_>, top: &TopKeys<'_>, config: &mut Config) {
    config.stop_on = top.stop_on.read(reader).map(StopOn::Only).unwrap_or_default();
    // The wrapper is as transparent as tini; what is written down here need not die of a stray SIGHUP.
    config.forward = top.forward.read(reader).unwrap_or(TopKeys::forward);
    config.readiness_on_drain = top.readiness_on_drain.read(reader).unwrap_or(config.readiness_on_drain);
    config.report = top.report.read(reader);
    // Its files have been read by now.
    let _patterns = top.include.read(reader);
    if top.termination_log.is_given() {
        config.termination_log = top.termination_log.read(reader).unwrap_or_default();
    }
    config.http = top.http.open(reader).and_then(|keys| http::http(reader, &keys));
    config.control = top.control.open(reader).and_then(|keys| keys.socket.read(reader)).unwrap_or_default();
    config.notify_socket = top.notify.open(reader).and_then(|keys| keys.socket.read(reader));
    config.log = top.log.open(reader).map_or(config.log, |keys| LogConfig {
        level: keys.level.read(reader).unwrap_or(config.log.level),
        format: keys.format.read(reader).unwrap_or(config.log.format),
    });
    config.logs = top.logs.open(reader).map_or(config.logs, |keys| logs::all(reader, &keys));
    config.sidecar = top.sidecar.open(reader).map(|keys| sidecar::sidecar(reader, &keys));
    config.stragglers =
        top.stragglers.open(reader).map_or(config.stragglers, |keys| stragglers::stragglers(reader, &keys));
    config.exit_codes = top.exit_codes.read(reader).unwrap_or_default();
}
