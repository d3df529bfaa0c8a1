//! `[[process]]`: one supervised process. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::{Backoff, BackoffKeys};
use super::declare::{Declared, table};
use super::handler::{self, exec::Command};
use super::here::Surroundings;
use super::kinds::{Bool, Int, Limit, Many, MapOf, Sub, Word, strings};
use super::ladder::{Diagnose, Dump, Ladder, Rung, Stop};
use super::launch::{self, Launch, LaunchKeys};
use super::logs::{self, LogTarget, Logs, LogsKeys, ReadLogs};
use super::notify::{self, Notify, NotifyOrTable};
use super::probe::{self, Probe, ProbeKeys};
use super::program;
use super::reader::{Field, Reader};
use super::restart::{CodeList, Restart, RestartRule, RuleKeys, restarts};
use super::rewrite::Rewrite;
use super::schedule::{self, CronOrTable, Schedule};
use super::socket::SocketNames;
use super::stragglers::{self, Stragglers, StragglersKeys};
use super::task::{self, Names, Site, Task, TaskKeys};
use super::values;
use crate::config::place::Place;
use crate::config::problem::Span;
use crate::facts::{Condition, Exit, ProbeKind, ProcessKind};
use crate::programs::{self, Program};
use crate::signal::Signal;

/// One supervised process. What few have is in boxes: there may be thousands without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    pub name: String,
    /// Program and arguments; never empty. The program is looked up on the PATH the process gets.
    pub command: Vec<OsString>,
    pub launch: Launch,
    pub stdin: Stdin,
    /// It has a terminal of its own; what it writes there is captured.
    pub tty: bool,
    /// What it is handed, from descriptor 3 up: indices into `Config::sockets`, each once.
    pub sockets: Vec<usize>,
    pub output: Output,
    /// Where that goes, as far as softstop reads it.
    pub logs: Logs,
    /// `false`: an order starts it.
    pub autostart: bool,
    /// `None`: it follows from the rest, see [`crate::plan::Plan`].
    pub kind: Option<ProcessKind>,
    /// Exit codes (128 + n for a signal) that are a success as 0 is.
    pub success_codes: Vec<u8>,
    pub restart: Restart,
    /// The first that matches an end of its own says what follows; `restart` where none does.
    pub restart_on: Vec<RestartRule>,
    pub backoff: Backoff,
    /// Final failure after this many restarts within `restart_window`; `None` never gives up.
    pub max_restarts: Option<u32>,
    /// `None`: they count until it has run for `backoff.reset`.
    pub restart_window: Option<Duration>,
    /// Started at its times; `None`: with the container.
    pub schedule: Option<Box<Schedule>>,
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
    /// It says itself when it is ready. Without `startup`.
    pub notify: Option<Notify>,
    pub startup: Option<Box<Probe>>,
    pub readiness: Option<Box<Probe>>,
    pub liveness: Option<Box<Probe>>,
    /// In order, once it has started.
    pub post_start: Vec<Task>,
    pub pre_stop: Option<Box<Task>>,
    /// In order, at every end of it. Each has a timeout.
    pub post_exit: Vec<Task>,
    /// What it says itself: the rest follows from who is beside it.
    pub stated: Stated,
    /// Hand it softstop's inherited descriptors, and leave what happens in the terminal to it: the wrapper's transparency.
    pub foreground: bool,
    /// A reload has taken it out: it is being stopped, or is gone and its place is free. No configuration that was read has one.
    pub removed: bool,
}

impl Process {
    /// Such an end is what it was to come to.
    pub fn is_success(&self, exit: Exit) -> bool {
        exit.success() || self.success_codes.contains(&exit.code())
    }

    /// It shows whether it is well: by probes, or by what it says itself.
    pub fn is_probed(&self) -> bool {
        self.notify.is_some() || self.startup.is_some() || self.readiness.is_some() || self.liveness.is_some()
    }

    /// In which form its standard output (0) or error (1) goes on. Where nothing is said, a file has lines as they are.
    pub fn form(&self, stream: usize) -> Output {
        match self.logs.to[stream] {
            LogTarget::File(_) if !self.stated.output => Output::Plain,
            _ => self.output,
        }
    }

    /// softstop reads that stream; else the process has a descriptor of softstop's own, or none.
    pub fn is_read(&self, stream: usize) -> bool {
        self.form(stream) != Output::Inherit
    }

    /// One of the two.
    pub fn is_read_at_all(&self) -> bool {
        self.is_read(0) || self.is_read(1)
    }

    pub fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_deref(),
            ProbeKind::Readiness => self.readiness.as_deref(),
            ProbeKind::Liveness => self.liveness.as_deref(),
        }
    }

    /// The program that it is started with, if that is one that takes signals its own way.
    pub fn program(&self) -> Option<&'static Program> {
        self.program_at().map(|(program, _)| program)
    }

    /// And at which word of `command` that stands.
    pub fn program_at(&self) -> Option<(&'static Program, usize)> {
        // What is no UTF-8 is the name of none.
        let words: Vec<&str> = self.command.iter().map(|word| word.to_str().unwrap_or_default()).collect();
        programs::run_by(&words)
    }

    /// A process with every default, as the wrapper and the file's reader start from.
    pub fn new(name: impl Into<String>, command: Vec<OsString>) -> Process {
        Process {
            name: name.into(),
            command,
            launch: Launch::default(),
            stdin: ProcessKeys::stdin,
            tty: ProcessKeys::tty,
            sockets: Vec::new(),
            output: Output::Inherit,
            logs: Logs::default(),
            autostart: ProcessKeys::autostart,
            kind: None,
            success_codes: Vec::new(),
            restart: ProcessKeys::restart,
            restart_on: Vec::new(),
            backoff: Backoff::default(),
            max_restarts: None,
            restart_window: None,
            schedule: None,
            main: ProcessKeys::main,
            on_exit: OnExit::Stop,
            after: Vec::new(),
            stop: Vec::new(),
            stop_as_received: false,
            rewrite: BTreeMap::new(),
            diagnose: None,
            signal_to: ProcessKeys::signal_to,
            stragglers: Stragglers::default(),
            notify: None,
            startup: None,
            readiness: None,
            liveness: None,
            post_start: Vec::new(),
            pre_stop: None,
            post_exit: Vec::new(),
            stated: Stated::default(),
            foreground: false,
            removed: false,
        }
    }
}

/// Whose defaults depend on the other processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stated {
    /// By `exit_when`, too, unless that is the main process.
    pub on_exit: bool,
    pub output: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
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
    /// Each line as it is.
    Plain,
    /// Each line with the process's name in front.
    Prefix,
    /// Each line as one JSON object.
    Json,
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

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalTo {
    /// The process alone, as Kubernetes signals a container's first process.
    Process,
    /// Its whole process group, as a terminal does.
    Group,
}

table! {
    pub struct ProcessKeys in "[[process]]" then [LaunchKeys<'static>] {
        /// Letters, digits, `.`, `_`, `-`, at most 63. Each process has its own.
        name: ProcessName { required: true };
        /// Program and arguments. A program without a slash is looked up on the PATH the process gets.
        command: Command { required: true, examples: &["[\"true\"]", "['sh', '-c', 'echo $HOME']", "[\"a\", \"${HOST}\"]"] };
        /// What it reads: nothing, or softstop's own standard input. One process at most inherits; on a terminal it is in the foreground, and
        /// Ctrl-C is its: [signals/terminals.md](signals/terminals.md).
        stdin: Word<Stdin> = Stdin::Null;
        /// It sees a terminal, one of its own: colours, lines as they are written. What it writes still goes through `output`, which is
        /// `"prefix"` unless it says `"json"`: [local.md](local.md#a-terminal-for-each).
        tty: Bool = false;
        /// Names of [`[[socket]]`](configuration/sockets.md#socket): it is handed these, in this order, from descriptor 3 up.
        sockets: SocketNames { unset: "none", words: "array of names", help: "write sockets = [\"web\"]", examples: &[] };
        /// softstop's own descriptors; each line as it is; with the process's name in front; as a JSON object: [more](configuration/output.md#output).
        output: Word<Output> { unset: "`\"inherit\"` for one process, `\"prefix\"` for several; `\"plain\"` in a file" };
        /// Where its lines go, files and their rotation, what is kept for `softstop logs`: [logs.md](logs.md).
        logs: Sub<LogsKeys<'static>> { unset: "to softstop's own standard output and error", help: logs::HELP };
        /// `false`: it is held down until [`softstop start NAME`](control.md#hold-and-release).
        autostart: Bool = true;
        /// What its end is: never expected, whatever its code; or what it is for: [more](configuration/process.md#services-and-tasks).
        kind: Word<ProcessKind> { unset: "[it depends](configuration/process.md#services-and-tasks)", examples: &["\"service\""] };
        /// Exit codes that are a success as 0 is; 128 + n for an end by signal n.
        success_codes: CodeList {
            unset: "0 alone",
            words: "array of integers, 0 to 255",
            help: "write success_codes = [3, 143]",
            examples: &["[3]", "[0, 143]"],
        };
        /// Whether it is started again when it ends. Of a [service](configuration/process.md#services-and-tasks) any end is a failure, also with 0. Nothing is started
        /// again once a stop was asked for.
        restart: Word<Restart> = Restart::OnFailure;
        /// Rules for its own ends, the first that matches; where none does, and when softstop has stopped it, `restart` decides:
        /// [more](configuration/restart.md#restart_on).
        restart_on: Many<RuleKeys<'static>> { unset: "none" };
        /// The delay before a restart: [more](configuration/restart.md#backoff).
        backoff: Sub<BackoffKeys<'static>> { help: "write backoff = { initial = \"1s\", max = \"5m\", reset = \"10m\" }" };
        /// After so many restarts within `restart_window` it is not started again; unless `on_exit` is `"continue"` that ends the
        /// container, whatever the exit code.
        max_restarts: Int<0, 1_000_000> {
            unset: "no limit",
            help: "write a number such as 5, or leave it out to never give up",
            examples: &["0", "5", "1000000"],
        };
        /// Restarts count for so long from the first of them; the next one after that is the first again. Needs `max_restarts`.
        restart_window: Limit {
            unset: "until it has run for `backoff.reset` without an end",
            examples: &["\"10m\""],
        };
        /// When it is started, by the clock on the wall: a task that runs at its times, [more](configuration/restart.md#schedule).
        schedule: CronOrTable {
            unset: "none",
            words: "string or table",
            help: schedule::EXAMPLE,
            examples: &["\"*/5 * * * *\"", "\"@daily\""],
        };
        /// Its exit code is the container's. At most one.
        main: Bool = false;
        /// What its end, when it is not restarted, means for the container: it stops; it stops unless the end was a success; it goes on.
        on_exit: Word<OnExit> { unset: "see below" };
        /// What must hold before it starts: `{ web = "ready" }`. Conditions are `started`, `ready` and `completed` (ended with 0 and not
        /// restarted). One that has held once counts, also when the other is restarted later, or this one: that tries again with
        /// its `backoff`. It stops before what it waits for.
        after: MapOf<Word<Condition>> {
            unset: "none",
            help: "write after = { web = \"ready\" }; conditions are started, ready and completed",
        };
        /// How it is stopped: as one of the [known programs](programs.md) is, `"nginx"`, or by a ladder of signals: [more](configuration/stop.md#stop). SIGKILL
        /// follows.
        stop: Ladder {
            unset: "`\"SIGTERM\"`",
            words: "program, signal, table or array",
            help: "write stop = \"nginx\", or stop = [ { signal = \"SIGQUIT\", wait = \"20s\" }, \"SIGTERM\" ]",
            examples: &["\"SIGTERM\"", "\"15\"", "[\"SIGQUIT\"]", "\"nginx\"", "\"php-fpm\""],
        };
        /// A signal upon which the program writes what it is doing, sent before SIGKILL: [more](configuration/stop.md#diagnose).
        diagnose: Dump {
            unset: "none",
            help: "write diagnose = { signal = \"SIGQUIT\", wait = \"1s\" }",
            examples: &["\"SIGQUIT\"", "\"3\""],
        };
        /// Whether signals go to it alone or to its process group.
        signal_to: Word<SignalTo> = SignalTo::Process;
        /// What it is sent in place of a signal: [signals.md](signals.md#another-signal-in-its-place). `"none"`: such a signal to softstop does nothing.
        rewrite: Rewrite {
            unset: "none",
            words: "table of signals",
            help: "write rewrite = { SIGHUP = \"SIGUSR1\", SIGWINCH = \"none\" }",
            examples: &["{ SIGTERM = \"SIGQUIT\" }", "{ HUP = \"none\" }"],
        };
        /// The same for what it leaves in its process group: [more](configuration/stop.md#stragglers).
        stragglers: Sub<StragglersKeys<'static>> { unset: "the container's", help: stragglers::HELP };
        /// It says itself when it is ready, over NOTIFY_SOCKET (systemd's `Type=notify`) or a descriptor (s6), and has not `started` before:
        /// [readiness.md](readiness.md). Instead of `startup`.
        notify: NotifyOrTable {
            unset: "`false`",
            words: "boolean or table",
            help: "write notify = true, notify = { watchdog = \"30s\" } or notify = { fd = 3 }",
            examples: &["true", "false"],
        };
        /// A [probe](configuration/probes.md#probes): until it succeeds the other two wait and it has not `started`; when it fails the process is stopped and
        /// restarted.
        startup: Sub<ProbeKeys<'static>> { unset: "none", help: PROBE };
        /// A [probe](configuration/probes.md#probes): whether `/readyz` counts it as ready.
        readiness: Sub<ProbeKeys<'static>> { unset: "none", help: PROBE };
        /// A [probe](configuration/probes.md#probes): when it fails the process is stopped and restarted, even if it then ends with 0; with `restart = "never"` its
        /// `on_exit` decides.
        liveness: Sub<ProbeKeys<'static>> { unset: "none", help: PROBE };
        /// [Tasks](configuration/tasks.md#tasks) once it has started; it is not ready before they are done.
        post_start: Many<TaskKeys<'static>> { unset: "none" };
        /// One [task](configuration/tasks.md#tasks) right before its own stop signal.
        pre_stop: Sub<TaskKeys<'static>> { unset: "none", help: "write `[process.pre_stop]` and below it exec = [\"/app/deregister\"]" };
        /// [Tasks](configuration/tasks.md#tasks) at every end of it, before it is started again: [more](configuration/tasks.md#post_exit).
        post_exit: Many<TaskKeys<'static>> { unset: "none" };
    }
}

const PROBE: &str = "write `[process.{name}]` and below it http_get = { port = 8080 }";

strings! {
    ProcessName String, "string", "[A-Za-z0-9._-]{1,63}", ["\"web\""],
        |reader, field, _| reader.parsed(field, "write a name in quotes, such as \"web\"", values::process_name);
}

/// A process as far as it alone can be judged, and where its parts stand for judging them together.
pub struct ReadProcess<'t> {
    pub process: Process,
    pub keys: &'t ProcessKeys<'t>,
    /// The names of its sockets, with their places. `None`: refused.
    pub sockets: Option<Vec<(String, Span)>>,
    pub logs: ReadLogs<'t>,
    /// What it waits for, with the place of the key.
    pub after: Vec<(usize, Condition, Span)>,
    /// Its ladder is a preset, which takes what there is.
    pub is_preset: bool,
    /// What its probes ask on this host.
    pub probed: Vec<Probed>,
}

/// A port on this host, and the probe that asks it.
pub struct Probed {
    pub port: u16,
    pub span: Span,
    /// A connection is all that it asks for.
    pub by_connection: bool,
}

/// Every process's name, checked, in order; read first because hooks and `after` refer to them.
pub fn names(reader: &mut Reader<'_>, tables: &[ProcessKeys<'_>]) -> Names {
    let mut names = Names::default();
    let mut spans: Vec<Span> = Vec::with_capacity(tables.len());
    for (i, keys) in tables.iter().enumerate() {
        let table = &keys.table;
        spans.push(keys.name.field.as_ref().map_or(table.header.clone(), Field::span));
        let help = "add name = \"web\" below `[[process]]`";
        let name = keys.name.needed(reader, table, "the process has no name", help);
        if let Some(name) = &name {
            let first = *names.index.entry(name.clone()).or_insert(i);
            if first != i && !reader.has_enough() {
                reader.named_twice("processes", name, &spans[i], &spans[first]);
            }
        }
        names.list.push(name);
        let kind = keys.kind.field.as_ref().and_then(|field| field.value.get_ref().as_str());
        names.tasks.push(kind == Some("task") || keys.schedule.is_given());
    }
    names
}

/// `time`: from the stop request to the kill.
pub fn process<'t>(
    reader: &mut Reader<'_>,
    keys: &'t ProcessKeys<'t>,
    index: usize,
    names: &Names,
    time: Duration,
) -> ReadProcess<'t> {
    let name = names.list[index].clone().unwrap_or_else(|| format!("process {}", index + 1));
    let mut p = program_of(reader, keys, name);
    p.stdin = keys.stdin.read(reader).unwrap_or(p.stdin);
    p.tty = keys.tty.read(reader).unwrap_or(p.tty);
    p.autostart = keys.autostart.read(reader).unwrap_or(p.autostart);
    p.signal_to = keys.signal_to.read(reader).unwrap_or(p.signal_to);
    restarts(reader, keys, &mut p);
    p.rewrite = keys.rewrite.read(reader).unwrap_or_default();
    let stop = keys.stop.read(reader);
    let preset = stop.as_ref().and_then(Stop::preset);
    p.stop = stop.map(|stop| stop.rungs(time)).unwrap_or_default();
    program::program(reader, keys, &p, preset);
    p.diagnose = keys.diagnose.read(reader);
    p.stragglers = keys.stragglers.open(reader).map_or(p.stragglers, |keys| stragglers::stragglers(reader, &keys));
    hooks(reader, keys, &mut p, index, names);
    let mut probed = Vec::new();
    [p.startup, p.readiness, p.liveness] =
        [&keys.startup, &keys.readiness, &keys.liveness].map(|key| probe::probe(reader, key, &mut probed));
    p.notify = keys.notify.read(reader).flatten();
    notify::alone(reader, keys, &p);
    reader.surroundings = Surroundings::default();

    let logs;
    (p.logs, logs) = keys.logs.open(reader).map(|keys| logs::logs(reader, keys)).unwrap_or_default();
    p.main = keys.main.read(reader).unwrap_or(p.main);
    let (on_exit, output) = (keys.on_exit.read(reader), keys.output.read(reader));
    p.stated = Stated { on_exit: on_exit.is_some(), output: output.is_some() };
    (p.on_exit, p.output) = (on_exit.unwrap_or(p.on_exit), output.unwrap_or(p.output));
    schedule::scheduled(reader, keys, &mut p);
    let (sockets, after) = (keys.sockets.read_or(reader, Vec::new()), after(reader, keys, index, names));
    ReadProcess { process: p, keys, sockets, logs, after, is_preset: preset.is_some(), probed }
}

/// A process as far as what it starts goes; its hooks and probes are read in its surroundings.
fn program_of(reader: &mut Reader<'_>, keys: &ProcessKeys<'_>, name: String) -> Process {
    let launch = launch::launch(reader, &LaunchKeys::keys(keys.table.clone()));
    reader.surroundings = Surroundings::new(&launch.env, launch.working_dir.as_deref());
    let help = "add command = [\"/app/server\", \"--port\", \"8080\"]";
    let command = keys.command.needed(reader, &keys.table, &format!("the process {name:?} has no command"), help);
    Process { launch, ..Process::new(name, command.unwrap_or_default()) }
}

fn hooks(reader: &mut Reader<'_>, keys: &ProcessKeys<'_>, p: &mut Process, index: usize, names: &Names) {
    let site = |place: Place, name: &str| Site {
        place,
        names,
        owner: Some(index),
        fallback: format!("{name} {}", place.key()),
    };
    p.post_start = task::tasks(reader, &keys.post_start, &site(Place::PostStart(()), &p.name));
    let pre_stop = hook(reader, keys);
    p.pre_stop = pre_stop.and_then(|keys| task::task(reader, &keys, &site(Place::PreStop(()), &p.name))).map(Box::new);
    p.post_exit = task::tasks(reader, &keys.post_exit, &site(Place::PostExit(()), &p.name));
}

fn hook<'t>(reader: &mut Reader<'_>, keys: &ProcessKeys<'t>) -> Option<TaskKeys<'t>> {
    let field = keys.pre_stop.field.as_ref()?;
    if field.value.get_ref().is_array() {
        let help = "write `[process.pre_stop]` once; what it does may be a script";
        reader.error(&field.span(), "`pre_stop` is one task, not an array", help);
        return None;
    }
    keys.pre_stop.open(reader)
}

/// `after = { web = "ready" }`.
fn after(
    reader: &mut Reader<'_>,
    keys: &ProcessKeys<'_>,
    index: usize,
    names: &Names,
) -> Vec<(usize, Condition, Span)> {
    let Some(entries) = keys.after.entries(reader) else { return Vec::new() };
    let mut list = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let condition = reader.word::<Condition>(&Field::new(key, value));
        let Some(other) = handler::process(reader, &key.span(), name, names) else { continue };
        if other == index {
            reader.error(&key.span(), format!("{name:?} waits for itself"), "leave it out, or name another process");
        } else if let Some(condition) = condition {
            list.push((other, condition, key.span()));
        }
    }
    list
}
