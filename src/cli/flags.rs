//! The flags of the wrapper and of `run`, each with its `SOFTSTOP_` variable.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::drain::{Hidden, Ports, diagnose, hidden, ports};
use super::values::{
    any_path, control, duration, grace, listen, remap, rung, stop_on, straggler_signal, target, timeout, words,
};
use crate::config::listen::Listen;
use crate::config::{Control, Diagnose, Handler, Rung};
use crate::signal::Signal;

// The headings of --help.
const STOP: &str = "The stop";
const SIGNALS: &str = "Signals";
const PROBES: &str = "Probes";
const CONTROL: &str = "Control socket";
const EXIT: &str = "Exit code";
const ACCOUNT: &str = "Output, log and report";

/// What `run` and the wrapper have in common; for `run` it wins over the file.
#[derive(Args, Debug, Default)]
pub struct Common {
    /// The whole budget of a stop: the pod's terminationGracePeriodSeconds
    /// [default: 30s]
    #[arg(long, value_name = "DURATION", env = "SOFTSTOP_GRACE", value_parser = grace)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub grace: Option<Duration>,
    /// The budget's last slice, for SIGKILL and the report
    /// [default: 1s, or a quarter of the grace when that is less]
    #[arg(long, value_name = "DURATION", env = "SOFTSTOP_KILL_RESERVE", value_parser = duration)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub kill_reserve: Option<Duration>,
    /// The signals that ask for a stop, with commas between them [default: SIGTERM, SIGINT and,
    /// from outside, SIGQUIT and the program's own stop signal]
    #[arg(long, value_name = "SIGNALS", env = "SOFTSTOP_STOP_ON", value_delimiter = ',', value_parser = stop_on)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub stop_on: Option<Vec<Signal>>,
    /// What it leaves behind may end by itself for so long before it is signalled: jobs of a cron
    /// daemon, ssh sessions
    /// [default: 0s]
    #[arg(long, value_name = "DURATION", env = "SOFTSTOP_STRAGGLERS_WAIT", value_parser = duration)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub stragglers_wait: Option<Duration>,
    /// The signal that it gets then; what is in its group, the process's own first stop signal
    /// [default: SIGTERM]
    #[arg(long, value_name = "SIGNAL", env = "SOFTSTOP_STRAGGLERS_SIGNAL", value_parser = straggler_signal)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub stragglers_signal: Option<Signal>,
    /// SIGKILL follows so long after that signal
    /// [default: all the time there is]
    #[arg(long, value_name = "DURATION", env = "SOFTSTOP_STRAGGLERS_TIMEOUT", value_parser = duration)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub stragglers_timeout: Option<Duration>,
    /// The same where nobody asked for the stop: the process has ended by itself
    /// [default: 3s]
    #[arg(long, value_name = "DURATION", env = "SOFTSTOP_STRAGGLERS_TIMEOUT_WHEN_ENDED", value_parser = duration)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub stragglers_timeout_when_ended: Option<Duration>,
    /// Which other signals are passed on: all, or (caught) only those that the process catches
    /// or that would not end it [default: all; softstop run: caught]
    #[arg(long, value_name = "WHICH", env = "SOFTSTOP_FORWARD", value_parser = words(&["all", "caught"]))]
    #[arg(help_heading = SIGNALS, hide_env_values = true, hide_possible_values = true, verbatim_doc_comment)]
    pub forward: Option<String>,
    /// Serve /startupz /readyz /livez /healthz /status /metrics here: PORT or :PORT for every
    /// address, IPv4 and IPv6; else ADDRESS:PORT
    /// [default: nothing listens]
    #[arg(long, value_name = "LISTEN", env = "SOFTSTOP_HTTP", value_parser = listen)]
    #[arg(help_heading = PROBES, hide_env_values = true, verbatim_doc_comment)]
    pub http: Option<Listen>,
    /// Where status is asked and orders are taken: a path, @name for an abstract address, or off
    /// [default: an abstract address that softstop status finds]
    #[arg(long, value_name = "SOCKET", env = "SOFTSTOP_CONTROL", value_parser = control)]
    #[arg(help_heading = CONTROL, hide_env_values = true, verbatim_doc_comment)]
    pub control: Option<Control>,
    /// The least important line of softstop's own log: error, warn, info or debug
    /// [default: info]
    #[arg(long, value_name = "LEVEL", env = "SOFTSTOP_LOG_LEVEL", value_parser = words(&["error", "warn", "info", "debug"]))]
    #[arg(help_heading = ACCOUNT, hide_env_values = true, hide_possible_values = true, verbatim_doc_comment)]
    pub log_level: Option<String>,
    /// softstop's own log as text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "SOFTSTOP_LOG_FORMAT", value_parser = words(&["text", "json"]))]
    #[arg(help_heading = ACCOUNT, hide_env_values = true, hide_possible_values = true, verbatim_doc_comment)]
    pub log_format: Option<String>,
    /// Exit with TO where the main process's code is FROM, e.g. 143=0; =0 may be left out.
    /// Several with commas, or the flag several times
    #[arg(short = 'e', long = "exit-code", value_name = "FROM=TO", env = "SOFTSTOP_EXIT_CODE_MAP", value_delimiter = ',', value_parser = remap)]
    #[arg(help_heading = EXIT, hide_env_values = true, verbatim_doc_comment)]
    pub exit_codes: Vec<(u8, u8)>,
    /// Exit with N when the stop needed SIGKILL, whatever the main process's code is
    /// [default: that code]
    #[arg(long, value_name = "N", env = "SOFTSTOP_FORCED_EXIT_CODE")]
    #[arg(help_heading = EXIT, hide_env_values = true, verbatim_doc_comment)]
    pub forced_exit_code: Option<u8>,
    /// Write the account of the run here at exit, as JSON
    #[arg(long, value_name = "FILE", env = "SOFTSTOP_REPORT")]
    #[arg(help_heading = ACCOUNT, hide_env_values = true)]
    pub report: Option<PathBuf>,
    /// Write the verdict here, if the file exists
    /// [default: /dev/termination-log]
    #[arg(long, value_name = "FILE", env = "SOFTSTOP_TERMINATION_LOG", value_parser = any_path())]
    #[arg(help_heading = ACCOUNT, hide_env_values = true, verbatim_doc_comment)]
    pub termination_log: Option<PathBuf>,
    /// Have the kernel send softstop this signal when its parent dies
    /// [default: none]
    #[arg(short = 'p', long, value_name = "SIGNAL", env = "SOFTSTOP_PARENT_DEATH_SIGNAL", value_parser = Signal::parse)]
    #[arg(help_heading = SIGNALS, hide_env_values = true, verbatim_doc_comment)]
    pub parent_death_signal: Option<Signal>,
}

#[derive(Args, Debug)]
pub struct Wrapper {
    #[command(flatten)]
    pub common: Common,
    /// How the process is stopped: signals with waits between them, e.g. SIGQUIT:20s,SIGTERM:3s;
    /// SIGKILL follows the last
    /// [default: the stop signal that softstop got]
    #[arg(short = 's', long, value_name = "LADDER", env = "SOFTSTOP_STOP_SIGNAL", value_delimiter = ',', value_parser = rung)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub stop_signal: Vec<Rung>,
    /// Send signals to the process alone or to its whole process group
    /// [default: process]
    #[arg(long, value_name = "WHOM", env = "SOFTSTOP_SIGNAL_TO", value_parser = words(&["process", "group"]))]
    #[arg(help_heading = SIGNALS, hide_env_values = true, hide_possible_values = true, verbatim_doc_comment)]
    pub signal_to: Option<String>,
    /// Short for --signal-to group
    #[arg(short = 'g', long = "group", conflicts_with = "signal_to", help_heading = SIGNALS)]
    pub group: bool,
    /// At a stop request, answer 503 on /readyz and tell the process only when no client comes
    /// any more and no connection is active: on the TCP ports that it listens on (auto), or on
    /// these, with commas between them [default: it is told at once]
    #[arg(long, value_name = "PORTS", env = "SOFTSTOP_DRAIN", value_delimiter = ',', value_parser = ports)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub drain: Vec<Ports>,
    /// At a stop request, answer 503 on /readyz and wait this long before the process is told to
    /// stop; with --drain, at least this long [default: 0s; with --drain in Kubernetes and ECS
    /// 5s, or a third of the grace if that is less]
    #[arg(long, value_name = "DURATION", env = "SOFTSTOP_DRAIN_SLEEP", value_parser = duration)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub drain_sleep: Option<Duration>,
    /// The wait of --drain takes no longer than this [default: what the grace leaves to it; 6s
    /// where neither the grace nor the platform is known]
    #[arg(long, value_name = "DURATION", env = "SOFTSTOP_DRAIN_TIMEOUT", value_parser = timeout)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub drain_timeout: Option<Duration>,
    /// Let a preStop hook over HTTP begin the stop, by GET /prestop: from these networks, with
    /// token:TEXT, or with token-file:FILE; several with commas, and all must hold. Needs --http
    /// [default: nobody; softstop drain as an exec hook needs nothing]
    #[arg(long, value_name = "GUARD", env = "SOFTSTOP_PRESTOP", value_parser = hidden)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub prestop: Option<Hidden>,
    /// Before SIGKILL, send this and wait a moment for what the process writes upon it: SIGQUIT
    /// for the thread dump of a JVM or a Go program, SIGQUIT:3s with the time for it (1s)
    /// [default: none]
    #[arg(long, value_name = "SIGNAL", env = "SOFTSTOP_DIAGNOSE", value_parser = diagnose)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub diagnose: Option<Diagnose>,
    /// The process has started once this answers: http://HOST:PORT/PATH, tcp:PORT or
    /// tcp://HOST:PORT; asked every second, for five minutes
    #[arg(long, value_name = "TARGET", env = "SOFTSTOP_STARTUP", value_parser = target)]
    #[arg(help_heading = PROBES, hide_env_values = true, verbatim_doc_comment)]
    pub startup: Option<Handler>,
    /// The process is ready while this answers (a target as for --startup), asked every 5s
    /// [default: once it has started]
    #[arg(long, value_name = "TARGET", env = "SOFTSTOP_READINESS", value_parser = target)]
    #[arg(help_heading = PROBES, hide_env_values = true, verbatim_doc_comment)]
    pub readiness: Option<Handler>,
    /// The process is alive while this answers (a target as for --startup), asked every 10s;
    /// three failures in a row end it, and with it the container
    #[arg(long, value_name = "TARGET", env = "SOFTSTOP_LIVENESS", value_parser = target)]
    #[arg(help_heading = PROBES, hide_env_values = true, verbatim_doc_comment)]
    pub liveness: Option<Handler>,
    /// The process's output: inherit (untouched), prefix (its name before each line) or json
    /// [default: inherit]
    #[arg(long, value_name = "HOW", env = "SOFTSTOP_OUTPUT", value_parser = words(&["inherit", "prefix", "json"]))]
    #[arg(help_heading = ACCOUNT, hide_env_values = true, hide_possible_values = true, verbatim_doc_comment)]
    pub output: Option<String>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD", num_args = 1..)]
    pub cmd: Vec<OsString>,
}
