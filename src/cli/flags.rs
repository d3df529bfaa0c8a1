//! The flags of the wrapper and of `run`, each with its `SOFTSTOP_` variable.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::declare::{Flag, Form, Group, Place, bytes, flags, given, path};
use super::drain::{Hidden, Ports, diagnose, hidden, ports};
use super::values::{
    StopStep, byte, control, duration, ladder_signal, listen, one_of, remap, rewrite, stop_on, stop_step, target,
    timeout,
};
use crate::config::listen::Listen;
use crate::config::{Color, Control, Diagnose, Forward, Handler, LogFormat, LogLevel, Output, SignalTo};
use crate::signal::Signal;

// The headings of --help.
const STOP: &str = "The stop";
const SIGNALS: &str = "Signals";
const PROBES: &str = "Probes";
const CONTROL: &str = "Control socket";
const EXIT: &str = "Exit code";
const ACCOUNT: &str = "Output, log and report";

flags! {
    /// What `run` and the wrapper have in common; for `run` it wins over the file.
    pub struct Common {
        /// The whole budget of a stop: the pod's terminationGracePeriodSeconds
        /// [default: 30s]
        grace: Option<Duration> = timeout { value: "DURATION", variable: "SOFTSTOP_GRACE", heading: Some(STOP) } page {
            default: "`30s`",
            meaning: "The whole budget of a stop: the pod's `terminationGracePeriodSeconds`.",
        };
        /// The budget's last slice, for SIGKILL and the report
        /// [default: 1s, or a quarter of the grace when that is less]
        kill_reserve: Option<Duration> = duration {
            value: "DURATION", variable: "SOFTSTOP_KILL_RESERVE", heading: Some(STOP),
        } page {
            default: "`1s`, or a quarter of the grace when that is less",
            meaning: "The budget's last slice: SIGKILL, reaping, the report.",
        };
        /// The signals that ask for a stop, with commas between them [default: SIGTERM, SIGINT and,
        /// from outside, SIGQUIT and the program's own stop signal]
        stop_on: Vec<Signal> = stop_on {
            value: "SIGNALS", variable: "SOFTSTOP_STOP_ON", heading: Some(STOP), commas: true,
        } page {
            default: "SIGTERM, SIGINT and, [from outside](signals.md#what-each-does), SIGQUIT and the program's own stop \
                signal",
            meaning: "The signals that ask for a stop, and no others do. `--stop-on TERM,SIGRTMIN+3`",
        };
        /// What it leaves behind may end by itself for so long before it is signalled: jobs of a cron
        /// daemon, ssh sessions
        /// [default: 0s]
        stragglers_wait: Option<Duration> = duration {
            value: "DURATION", variable: "SOFTSTOP_STRAGGLERS_WAIT", heading: Some(STOP),
        } page {
            default: "`0s`",
            meaning: "What the program [leaves behind](stop/stragglers.md) may end by itself for so long before it is \
                signalled: jobs of a cron daemon, ssh sessions.",
        };
        /// The signal that it gets then; what is in its group, the process's own first stop signal
        /// [default: SIGTERM]
        stragglers_signal: Option<Signal> = ladder_signal {
            value: "SIGNAL", variable: "SOFTSTOP_STRAGGLERS_SIGNAL", heading: Some(STOP),
        } page {
            default: "the program's first stop signal for its group, SIGTERM for others",
            meaning: "The signal that it gets then.",
        };
        /// SIGKILL follows so long after that signal
        /// [default: all the time there is]
        stragglers_timeout: Option<Duration> = duration {
            value: "DURATION", variable: "SOFTSTOP_STRAGGLERS_TIMEOUT", heading: Some(STOP),
        } page {
            default: "all the time there is",
            meaning: "SIGKILL follows so long after that signal.",
        };
        /// The same where nobody asked for the stop: the process has ended by itself
        /// [default: 3s]
        stragglers_timeout_when_ended: Option<Duration> = duration {
            value: "DURATION", variable: "SOFTSTOP_STRAGGLERS_TIMEOUT_WHEN_ENDED", heading: Some(STOP),
        } page {
            default: "`3s`",
            meaning: "The same where nobody asked for the stop: the program has ended by itself.",
        };
        /// Which other signals are passed on: all, or (caught) only those that the process catches
        /// or that would not end it [default: all; softstop run: caught]
        forward: Option<Forward> = one_of {
            value: "WHICH", variable: "SOFTSTOP_FORWARD", heading: Some(SIGNALS), form: Form::Words(&["all", "caught"]),
        } page {
            default: "`all`; `run`: `caught`",
            meaning: "Which other signals are passed on: `all`, or `caught`, [no signal that would end a process which \
                does not catch it](signals.md#held-back-forward--caught).",
        };
        /// Serve {endpoints} here: PORT or :PORT for every
        /// address, IPv4 and IPv6; else ADDRESS:PORT
        /// [default: nothing listens]
        http: Option<Listen> = listen { value: "LISTEN", variable: "SOFTSTOP_HTTP", heading: Some(PROBES) } page {
            default: "nothing listens",
            meaning: "Where the [endpoints](endpoints.md) are served: `9180` and `:9180` are every address, [IPv4 and \
                IPv6](endpoints.md#addresses); `0.0.0.0:9180` is IPv4 alone, `localhost:9180` 127.0.0.1.",
        };
        /// Where status is asked and orders are taken: a path, @name for an abstract address, or off
        /// [default: an abstract address that softstop status finds]
        control: Option<Control> = control {
            value: "SOCKET", variable: "SOFTSTOP_CONTROL", heading: Some(CONTROL),
        } page {
            default: "an abstract address that clients find",
            meaning: "Where [orders](control.md) are taken: a path, `@name` for an abstract address, or `off`. For a \
                client: where to give them.",
        };
        /// The least important line of softstop's own log: error, warn, info or debug
        /// [default: info]
        log_level: Option<LogLevel> = one_of {
            value: "LEVEL", variable: "SOFTSTOP_LOG_LEVEL", heading: Some(ACCOUNT), form: Form::Words(&["error", "warn", "info", "debug"]),
        } page {
            default: "`info`",
            meaning: "`error`, `warn`, `info` or `debug`.",
        };
        /// softstop's own log as text or json [default: text]
        log_format: Option<LogFormat> = one_of {
            value: "FORMAT", variable: "SOFTSTOP_LOG_FORMAT", heading: Some(ACCOUNT), form: Form::Words(&["text", "json"]),
        } page {
            default: "`text`",
            meaning: "`text`, or `json`: an object a line.",
        };
        /// Names and warnings in colour: always, never, or (auto) on a terminal, unless NO_COLOR or
        /// TERM=dumb is set [default: auto]
        color: Option<Color> = one_of {
            value: "WHEN", variable: "SOFTSTOP_COLOR", heading: Some(ACCOUNT), form: Form::Words(&["auto", "always", "never"]),
        } page {
            default: "`auto`",
            meaning: "Names before lines and warnings in colour: on a terminal unless `NO_COLOR` or `TERM=dumb` is set (`auto`), `always` \
                or `never`.",
        };
        /// Exit with TO where the main process's code is FROM, e.g. 143=0; =0 may be left out.
        /// Several with commas, or the flag several times
        exit_codes: Vec<(u8, u8)> = remap {
            long: "exit-code", short: Some('e'), value: "FROM=TO", variable: "SOFTSTOP_EXIT_CODE_MAP", heading: Some(EXIT), commas: true,
        } page {
            default: "none",
            meaning: "[Remaps](exit-codes.md#remapping) the main process's code: `-e 143=0`, short `-e 143`; several with \
                commas or with several flags.",
        };
        /// Exit with N when the stop needed SIGKILL, whatever the main process's code is
        /// [default: that code]
        forced_exit_code: Option<u8> = byte {
            value: "N", variable: "SOFTSTOP_FORCED_EXIT_CODE", heading: Some(EXIT),
        } page {
            default: "none",
            meaning: "What softstop exits with when the stop needed SIGKILL.",
        };
        /// Write the report of the run here at exit, as JSON
        report: Option<PathBuf> = path {
            value: "FILE", variable: "SOFTSTOP_REPORT", heading: Some(ACCOUNT), form: Form::Path,
        } page {
            default: "none",
            meaning: "Where the [report](stop/outcome.md) is written at exit, as JSON.",
        };
        /// Write the termination message here, if the file exists
        /// [default: /dev/termination-log]
        termination_log: Option<PathBuf> = path {
            value: "FILE", variable: "SOFTSTOP_TERMINATION_LOG", heading: Some(ACCOUNT), form: Form::Any,
        } page {
            default: "`/dev/termination-log`",
            meaning: "Where the termination message is written, if the file exists. Empty: nowhere.",
        };
        /// Have the kernel send softstop this signal when its parent dies
        /// [default: none]
        parent_death_signal: Option<Signal> = Signal::parse {
            short: Some('p'), value: "SIGNAL", variable: "SOFTSTOP_PARENT_DEATH_SIGNAL", heading: Some(SIGNALS),
        } page {
            default: "none",
            meaning: "What the kernel sends softstop when its parent dies: `-p TERM`.",
        };
    }
}

flags! {
    /// What the wrapper alone has: `run` has its file for that.
    pub struct Own {
        /// How the process is stopped: as a known program is (nginx, php-fpm, postgres …), or by
        /// signals with waits between them, e.g. SIGQUIT:20s,SIGTERM:3s; SIGKILL follows the last
        /// [default: the stop signal that softstop got]
        stop_signal: Vec<StopStep> = stop_step {
            short: Some('s'), value: "LADDER", variable: "SOFTSTOP_STOP_SIGNAL", heading: Some(STOP), commas: true,
            in_file: "write stop = \"SIGQUIT\" for the process",
        } page {
            default: "the stop signal that softstop got",
            meaning: "How the program is stopped: as a [known program](programs.md) is, `-s nginx`, or by signals with the \
                time before the next, SIGKILL after the last. `-s QUIT:20s,TERM:3s`; the last may have all the time there \
                is: `-s QUIT`",
        };
        /// Send signals to the process alone or to its whole process group
        /// [default: process]
        signal_to: Option<SignalTo> = one_of {
            value: "WHOM", variable: "SOFTSTOP_SIGNAL_TO", heading: Some(SIGNALS), form: Form::Words(&["process", "group"]),
            in_file: "write signal_to = \"group\" for the process",
        } page {
            default: "`process`",
            meaning: "`process`, or `group`: [its whole process group](signals.md#one-process-or-its-group).",
        };
        /// Short for --signal-to group
        group: bool = given {
            long: "group", short: Some('g'), heading: Some(SIGNALS), conflicts: Some("signal_to"),
            in_file: "write signal_to = \"group\" for the process",
        } page {
            meaning: "Short for `--signal-to group`.",
        };
        /// Send the process another signal in place of one: TERM:QUIT; with HUP:0 a SIGHUP does
        /// nothing at all. Several with commas, or the flag several times
        rewrite: Vec<(Signal, Option<Signal>)> = rewrite {
            value: "A:B", variable: "SOFTSTOP_REWRITE", heading: Some(SIGNALS), commas: true,
            in_file: "write rewrite = { SIGTERM = \"SIGQUIT\" } for the process",
        } page {
            default: "none",
            meaning: "The program gets [signal B in place of A](signals.md#another-signal-in-its-place): `TERM:QUIT`; with \
                `HUP:0` a SIGHUP to softstop does nothing at all. Several with commas or with several flags.",
        };
        /// At a stop request, answer 503 on /readyz and tell the process only when no client comes
        /// any more and no connection is active: on the TCP ports that it listens on (auto), or on
        /// these, with commas between them [default: it is told at once]
        drain: Vec<Ports> = ports {
            value: "PORTS", variable: "SOFTSTOP_DRAIN", heading: Some(STOP), commas: true,
            in_file: "write a step [[drain]] with wait_idle = { port = 8080 }",
        } page {
            default: "the program is told at once",
            meaning: "At a stop request `/readyz` turns 503, and the program is told only when no client comes any more \
                and no connection is active: [`wait_idle`](configuration/waits.md#wait_idle) on the TCP ports that it and \
                its children listen on (`auto`), or on these: `8080,8443`. [More](stop/drain.md#whatever-listens).",
        };
        /// At a stop request, answer 503 on /readyz and wait this long before the process is told to
        /// stop; with --drain, at least this long [default: 0s; with --drain in Kubernetes and ECS
        /// 5s, or a third of the grace if that is less]
        drain_sleep: Option<Duration> = duration {
            value: "DURATION", variable: "SOFTSTOP_DRAIN_SLEEP", heading: Some(STOP),
            in_file: "write a step [[drain]] with sleep = \"5s\"",
        } page {
            default: "none; with `--drain` in Kubernetes and ECS `5s`, or a third of the grace if that is less",
            meaning: "At a stop request `/readyz` turns 503, and the program is told only so much later: the time the load \
                balancers need. With `--drain`, the least that its wait takes where something listens.",
        };
        /// The wait of --drain takes no longer than this [default: what the grace leaves to it; 6s
        /// where neither the grace nor the platform is known]
        drain_timeout: Option<Duration> = timeout {
            value: "DURATION", variable: "SOFTSTOP_DRAIN_TIMEOUT", heading: Some(STOP),
            in_file: "write timeout = \"20s\" for the step [[drain]]",
        } page {
            default: "what the grace leaves to a drain; `6s` where neither the grace nor the platform is known",
            meaning: "The most that the wait of `--drain` takes.",
        };
        /// Let a preStop hook over HTTP begin the stop, by GET /prestop: from these networks, with
        /// token:TEXT, or with token-file:FILE; several with commas, and all must hold. Needs --http
        /// [default: nobody; softstop drain as an exec hook needs nothing]
        prestop: Option<Hidden> = hidden {
            value: "GUARD", variable: "SOFTSTOP_PRESTOP", heading: Some(STOP),
            in_file: "write [http.prestop] with from, token or token_file",
        } page {
            default: "none",
            meaning: "Who may call [`GET /prestop`](control/prestop.md#as-a-prestop-hook-over-http), a preStop hook of the kind \
                httpGet: networks (`10.244.0.0/16`), `token:TEXT` or `token-file:FILE`, several with commas, and all \
                must hold. Needs `--http`. The hook `softstop drain` needs neither.",
        };
        /// Before SIGKILL, send this and wait a moment for what the process writes upon it: SIGQUIT
        /// for the thread dump of a JVM or a Go program, SIGQUIT:3s with the time for it (1s)
        /// [default: none]
        diagnose: Option<Diagnose> = diagnose {
            value: "SIGNAL", variable: "SOFTSTOP_DIAGNOSE", heading: Some(STOP),
            in_file: "write diagnose = \"SIGQUIT\" for the process",
        } page {
            default: "none",
            meaning: "Before SIGKILL the program is asked [what it is doing](diagnosis.md#a-thread-dump): `QUIT` for a JVM \
                or a Go program, `QUIT:3s` with the time for it (1s).",
        };
        /// The process has started once this answers: http://HOST:PORT/PATH, https://…,
        /// grpc://HOST:PORT/SERVICE, tcp:PORT or tcp://HOST:PORT; asked every second,
        /// for five minutes
        startup: Option<Handler> = target {
            value: "TARGET", variable: "SOFTSTOP_STARTUP", heading: Some(PROBES),
            in_file: "write [process.startup] below the process",
        } page {
            default: "none",
            meaning: "The program has started once this answers; asked every second, and more often [until it first \
                does](configuration/probes.md#until-the-first-success). After five minutes it is given up.",
        };
        /// The process is ready while this answers (a target as for --startup), asked every 5s
        /// [default: once it has started]
        readiness: Option<Handler> = target {
            value: "TARGET", variable: "SOFTSTOP_READINESS", heading: Some(PROBES),
            in_file: "write [process.readiness] below the process",
        } page {
            default: "ready once started",
            meaning: "The program is ready while this answers; asked every 5s, and more often [until it first \
                does](configuration/probes.md#until-the-first-success); unready after 3 failures in a row.",
        };
        /// The process is alive while this answers (a target as for --startup), asked every 10s;
        /// three failures in a row end it, and with it the container
        liveness: Option<Handler> = target {
            value: "TARGET", variable: "SOFTSTOP_LIVENESS", heading: Some(PROBES),
            in_file: "write [process.liveness] below the process",
        } page {
            default: "none",
            meaning: "Asked every 10s; after 3 failures in a row the program is stopped and the container ends.",
        };
        /// The process's output: inherit (untouched), plain (line by line), prefix (its name before
        /// each) or json [default: inherit]
        output: Option<Output> = one_of {
            value: "HOW", variable: "SOFTSTOP_OUTPUT", heading: Some(ACCOUNT), form: Form::Words(&["inherit", "plain", "prefix", "json"]),
            in_file: "write output = \"prefix\" for the process",
        } page {
            default: "`inherit`",
            meaning: "`inherit`: the program writes to softstop's own descriptors. `plain`: line by line through softstop, \
                for [`softstop logs`](logs.md). `prefix`: each line with its name in front. `json`: each line as an object.",
        };
    }
}

flags! {
    pub struct Behind {
        /// The program and its arguments
        cmd: Vec<OsString> = bytes { place: Some(Place::LastRequired), value: "CMD", form: Form::Any };
    }
}

const COUNT: usize = Common::ROWS.len() + Own::ROWS.len() + Behind::ROWS.len();

/// What the wrapper takes: listed when softstop is built, as every start goes by it.
pub const WRAPPER: &[&Flag] = &{
    let mut all: [&Flag; COUNT] = [&Behind::ROWS[0].flag; COUNT];
    let mut at = 0;
    while at < COUNT - Behind::ROWS.len() {
        let of_own = at >= Common::ROWS.len();
        all[at] = if of_own { &Own::ROWS[at - Common::ROWS.len()].flag } else { &Common::ROWS[at].flag };
        at += 1;
    }
    all
};

/// One program, and no file.
#[derive(Debug, Default)]
pub struct Wrapper {
    pub common: Common,
    pub own: Own,
    /// The program and its arguments.
    pub cmd: Vec<OsString>,
}
