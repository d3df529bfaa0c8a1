//! The command line: what can be typed, and the [`Config`] that the wrapper's flags amount to. Pure, but for reading the
//! `SOFTSTOP_` variables, which clap does.

pub mod pod;
pub mod reading;
pub mod variables;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::config::check::values;
use crate::config::{
    Config, Control, Forward, Handler, Http, HttpCall, LogFormat, LogLevel, Method, OnExit, Output, Probe, Process,
    Restart, Rung, SignalTo, Stdin, Step, StopOn, Task, When, default_kill_reserve,
};
use crate::pod::fragment::Kind;
use crate::signal::Signal;

const ABOUT: &str = "\
The first process in a container: starts what it runs, answers the orchestrator's probes,
and ends everything inside the grace budget, in order, with an account of what happened.";

const AFTER: &str = "\
Examples:
  softstop -- nginx -g 'daemon off;'         as an entrypoint, in place of tini
  softstop --grace 30s --drain-sleep 5s --http 9180 --readiness http://localhost:8080/ -- /app
  softstop run -c softstop.toml              several processes, hooks, probes, an ordered drain
  softstop check -c softstop.toml            every mistake in a config, with line, column and fix
  softstop check --pod deployment.yaml       where a Kubernetes manifest and the config disagree
  softstop drain                             in a preStop hook: drain, then return
  softstop probe ready                       as Docker's HEALTHCHECK: exit code 0 or 1

Durations have a unit: 500ms, 30s, 1m30s. Signals are names or numbers: SIGTERM, TERM, 15.

Exit codes: the main process's own, 128+n when signal n ended it; 64 wrong command line,
70 softstop's own failure, 78 wrong configuration, 126 not executable, 127 not found.
Of orders to a running softstop: 0 done, 1 refused, 69 none answers, 77 not permitted.";

// The headings of --help.
const STOP: &str = "The stop";
const SIGNALS: &str = "Signals";
const PROBES: &str = "Probes";
const CONTROL: &str = "Control socket";
const EXIT: &str = "Exit code";
const ACCOUNT: &str = "Output, log and report";

#[derive(Parser, Debug)]
#[command(name = "softstop", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
#[command(next_line_help = true)]
#[command(
    override_usage = "softstop [FLAGS] -- CMD...\n       softstop run [-c FILE]\n       softstop check [-c FILE] [--pod FILE]\n       softstop manifest [-c FILE]\n       softstop status | drain | stop | ready | unready | restart | start | signal\n       softstop probe TARGET"
)]
pub struct Cli {
    #[command(flatten)]
    pub wrapper: Wrapper,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    #[command(next_line_help = true)]
    /// Run what a configuration file says; a flag or its variable wins over the file
    Run(Box<Run>),
    #[command(next_line_help = true)]
    /// Say every mistake in a configuration file, with line, column and fix; starts nothing
    Check(Check),
    /// Print the Kubernetes manifest that agrees with a configuration: probes, grace, preStop
    #[command(next_line_help = true)]
    Manifest(Manifest),
    /// Show what runs, how it is and, during a stop, where that is
    #[command(next_line_help = true)]
    Status {
        #[command(flatten)]
        instance: Instance,
        /// As JSON, with every field of /status
        #[arg(long)]
        json: bool,
    },
    /// Begin the stop with its drain and wait for the end of the drain; the processes go on until
    /// SIGTERM. Made for a preStop exec hook
    #[command(next_line_help = true, verbatim_doc_comment)]
    Drain(Waiting),
    /// Stop everything, and wait for the end
    #[command(next_line_help = true)]
    Stop {
        #[command(flatten)]
        waiting: Waiting,
        /// Where other supervisors take the name of a process.
        #[arg(hide = true)]
        name: Option<String>,
    },
    /// Answer on /readyz as the processes deserve again, after unready
    #[command(next_line_help = true)]
    Ready(Instance),
    /// Answer 503 on /readyz until softstop ready, without a stop
    #[command(next_line_help = true)]
    Unready(Instance),
    /// Stop a process as its ladder says and start it again
    #[command(next_line_help = true)]
    Restart(OneProcess),
    /// Start a process that has ended, or waits to be restarted
    #[command(next_line_help = true)]
    Start(OneProcess),
    /// Send a process a signal
    #[command(next_line_help = true)]
    Signal {
        /// The process, by its name
        name: String,
        /// SIGHUP, HUP or 1
        #[arg(value_name = "SIG", value_parser = Signal::parse)]
        signal: Signal,
        #[command(flatten)]
        instance: Instance,
    },
    /// Check something once and exit with 0 or 1: Docker's HEALTHCHECK, exec probes without curl
    #[command(next_line_help = true)]
    Probe(Box<ProbeOnce>),
    /// Wait for a file: softstop's own helper
    #[command(name = "__wait_file", hide = true)]
    WaitFile {
        #[arg(long)]
        gone: bool,
        #[arg(long)]
        contains: Option<String>,
        path: PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct ConfigFile {
    /// The configuration file
    /// [default: ./softstop.toml, else /etc/softstop.toml]
    #[arg(short, long, value_name = "FILE", env = "SOFTSTOP_CONFIG", hide_env_values = true, verbatim_doc_comment)]
    pub config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Also hold it against a Kubernetes manifest; - is standard input:
    /// helm template CHART | softstop check --pod -
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub pod: Option<PathBuf>,
    /// The container that runs softstop [default: as its command, args and variables show]
    #[arg(long, value_name = "NAME", requires = "pod")]
    pub container: Option<String>,
    /// Fail on warnings, too: exit code 1 when there is nothing worse
    #[arg(long)]
    pub strict: bool,
    /// What is found in the manifest as JSON, on standard output
    #[arg(long, requires = "pod")]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Manifest {
    #[command(flatten)]
    pub file: ConfigFile,
    /// spec (a pod's spec, to be put where it belongs), pod, deployment, statefulset, daemonset
    /// or job [default: spec]
    #[arg(long, value_name = "KIND", value_parser = words(&Kind::NAMES), hide_possible_values = true, verbatim_doc_comment)]
    pub kind: Option<String>,
}

/// Which running softstop is meant.
#[derive(Args, Debug)]
pub struct Instance {
    /// Its control socket: a path, or @name for an abstract address
    /// [default: as configured, else this container's own]
    #[arg(long, value_name = "SOCKET", env = "SOFTSTOP_CONTROL", hide_env_values = true, value_parser = control)]
    #[arg(verbatim_doc_comment)]
    pub control: Option<Control>,
    #[command(flatten)]
    pub file: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Waiting {
    /// Return once the order has been taken
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub instance: Instance,
}

#[derive(Args, Debug)]
pub struct OneProcess {
    /// The process, by its name
    pub name: String,
    #[command(flatten)]
    pub instance: Instance,
}

#[derive(Args, Debug)]
pub struct ProbeOnce {
    /// http://HOST:PORT/PATH (200 to 399 is well), tcp:PORT, tcp://HOST:PORT, or ready, live or
    /// startup: what the softstop of this container answers on /readyz, /livez and /startupz
    #[arg(value_name = "TARGET", value_parser = probe_target, verbatim_doc_comment)]
    pub target: Target,
    /// For the whole of it [default: 1s]
    #[arg(long, value_name = "DURATION", default_value = "1s", hide_default_value = true, value_parser = timeout)]
    pub timeout: Duration,
    /// Where softstop serves its endpoints, for when its control socket does not answer
    /// [default: as configured]
    #[arg(long, value_name = "LISTEN", env = "SOFTSTOP_HTTP", hide_env_values = true, value_parser = listen)]
    #[arg(verbatim_doc_comment)]
    pub http: Option<SocketAddr>,
    #[command(flatten)]
    pub instance: Instance,
}

/// What [`Command::Probe`] checks.
#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    /// An `Http` or `Tcp` handler.
    Call(Box<Handler>),
    Own(Health),
}

/// An endpoint of the running softstop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    Ready,
    Live,
    Startup,
}

impl Health {
    /// Where it is answered over HTTP.
    pub fn path(self) -> &'static str {
        match self {
            Health::Ready => "/readyz",
            Health::Live => "/livez",
            Health::Startup => "/startupz",
        }
    }
}

#[derive(Args, Debug)]
pub struct Run {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub common: Common,
}

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
    /// Serve /startupz /readyz /livez /healthz /status /metrics here: ADDRESS:PORT, :PORT or PORT
    /// [default: nothing listens]
    #[arg(long, value_name = "LISTEN", env = "SOFTSTOP_HTTP", value_parser = listen)]
    #[arg(help_heading = PROBES, hide_env_values = true, verbatim_doc_comment)]
    pub http: Option<SocketAddr>,
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
    /// At a stop request, answer 503 on /readyz and wait this long before the process is told to
    /// stop [default: 0s]
    #[arg(long, value_name = "DURATION", env = "SOFTSTOP_DRAIN_SLEEP", value_parser = duration)]
    #[arg(help_heading = STOP, hide_env_values = true, verbatim_doc_comment)]
    pub drain_sleep: Option<Duration>,
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

// === values ===

fn words(list: &'static [&'static str]) -> PossibleValuesParser {
    PossibleValuesParser::new(list)
}

/// A path that may be empty, which means none.
fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn in_one_line(wrong: values::Wrong) -> String {
    format!("{}; {}", wrong.sentence, wrong.help)
}

fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text, values::PAUSE).map_err(in_one_line)
}

fn grace(text: &str) -> Result<Duration, String> {
    values::duration(text, values::LIMIT).map_err(in_one_line)
}

fn stop_on(text: &str) -> Result<Signal, String> {
    values::stop_request(Signal::parse(text)?).map_err(in_one_line)
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    values::listen(text).map_err(in_one_line)
}

fn control(text: &str) -> Result<Control, String> {
    values::control(text).map_err(in_one_line)
}

fn remap(text: &str) -> Result<(u8, u8), String> {
    let wrong = || "write the code and what to exit with, each 0 to 255: 143=0".to_string();
    let (from, to) = text.split_once('=').unwrap_or((text, "0"));
    Ok((from.trim().parse().map_err(|_| wrong())?, to.trim().parse().map_err(|_| wrong())?))
}

fn rung(text: &str) -> Result<Rung, String> {
    let (signal, wait) = match text.split_once(':') {
        Some((signal, wait)) => (signal, Some(duration(wait)?)),
        None => (text, None),
    };
    let signal = values::ladder_signal(Signal::parse(signal)?).map_err(in_one_line)?;
    Ok(Rung { signal, wait })
}

fn straggler_signal(text: &str) -> Result<Signal, String> {
    values::ladder_signal(Signal::parse(text)?).map_err(in_one_line)
}

fn timeout(text: &str) -> Result<Duration, String> {
    values::duration(text, values::LIMIT).map_err(in_one_line)
}

/// A target as for `--startup`, or an endpoint of softstop's own.
fn probe_target(text: &str) -> Result<Target, String> {
    match text {
        "ready" => Ok(Target::Own(Health::Ready)),
        "live" => Ok(Target::Own(Health::Live)),
        "startup" => Ok(Target::Own(Health::Startup)),
        _ => match target(text) {
            Ok(handler) => Ok(Target::Call(Box::new(handler))),
            Err(why) if text.contains(':') => Err(why),
            Err(why) => Err(format!("{why}, or ready, live or startup for softstop's own")),
        },
    }
}

/// `http://HOST:PORT/PATH`, `tcp:PORT`, `tcp://HOST:PORT`.
fn target(text: &str) -> Result<Handler, String> {
    let wrong = || "write http://HOST:PORT/PATH, tcp:PORT or tcp://HOST:PORT".to_string();
    let host_and_port = |text: &str, default: Option<u16>| -> Result<(String, u16), String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().map_err(|_| wrong())?),
            _ => (text, default.ok_or_else(wrong)?),
        };
        if port == 0 {
            return Err(wrong());
        }
        let host = if host.is_empty() { "localhost" } else { host };
        Ok((values::host(host).map_err(in_one_line)?, port))
    };
    if let Some(rest) = text.strip_prefix("http://") {
        let (authority, path) = rest.find('/').map_or((rest, "/"), |i| rest.split_at(i));
        let (host, port) = host_and_port(authority, Some(80))?;
        let path = values::url_path(path).map_err(in_one_line)?;
        return Ok(Handler::Http(HttpCall { method: Method::Get, host, port, path, headers: Vec::new(), body: None }));
    }
    if text.starts_with("https://") {
        return Err("TLS is not in this version; probe the plain port, or with tcp:PORT".to_string());
    }
    let rest = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("tcp:")).ok_or_else(wrong)?;
    if let Ok(port) = rest.parse::<u16>()
        && port > 0
    {
        return Ok(Handler::Tcp { host: "localhost".to_string(), port });
    }
    let (host, port) = host_and_port(rest, None)?;
    Ok(Handler::Tcp { host, port })
}

// === flags to settings ===

impl Common {
    /// Lay the flags over a configuration.
    ///
    /// # Errors
    /// When together they contradict each other; one line.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        if let Some(grace) = self.grace {
            // A default reserve follows the grace; a stated one stays, if it can.
            if config.kill_reserve == default_kill_reserve(config.grace) {
                config.kill_reserve = default_kill_reserve(grace);
            }
            config.grace = grace;
        }
        if let Some(reserve) = self.kill_reserve {
            config.kill_reserve = reserve;
        }
        if config.kill_reserve >= config.grace {
            return Err(format!(
                "kill_reserve ({}) must be less than the grace ({}): nothing would be left to stop in",
                humantime::format_duration(config.kill_reserve),
                humantime::format_duration(config.grace)
            ));
        }
        if let Some(stop_on) = &self.stop_on {
            config.stop_on = StopOn::Only(stop_on.clone());
        }
        let stragglers = &mut config.stragglers;
        stragglers.wait = self.stragglers_wait.or(stragglers.wait);
        stragglers.signal = self.stragglers_signal.or(stragglers.signal);
        stragglers.timeout = self.stragglers_timeout.or(stragglers.timeout);
        stragglers.timeout_when_ended = self.stragglers_timeout_when_ended.or(stragglers.timeout_when_ended);
        match self.forward.as_deref() {
            Some("caught") => config.forward = Forward::Caught,
            Some(_) => config.forward = Forward::All,
            None => {}
        }
        if let Some(listen) = self.http {
            // Only the address: who may call /prestop is the file's to say.
            let prestop = config.http.take().and_then(|http| http.prestop);
            config.http = Some(Http { listen, prestop });
        }
        if let Some(control) = &self.control {
            config.control = control.clone();
        }
        if let Some(level) = &self.log_level {
            config.log.level = match level.as_str() {
                "error" => LogLevel::Error,
                "warn" => LogLevel::Warn,
                "debug" => LogLevel::Debug,
                _ => LogLevel::Info,
            };
        }
        if let Some(format) = &self.log_format {
            config.log.format = if format == "json" { LogFormat::Json } else { LogFormat::Text };
        }
        config.exit_codes.map.extend(self.exit_codes.iter().copied().collect::<BTreeMap<_, _>>());
        config.exit_codes.forced = self.forced_exit_code.or(config.exit_codes.forced);
        if let Some(report) = &self.report {
            config.report = Some(report.clone());
        }
        if let Some(file) = &self.termination_log {
            config.termination_log = Some(file.clone()).filter(|f| !f.as_os_str().is_empty());
        }
        Ok(())
    }
}

impl Wrapper {
    /// The configuration that the flags amount to: one process, in the foreground, whose end is the container's.
    ///
    /// # Errors
    /// When flags contradict each other; one line.
    pub fn config(&self) -> Result<Config, String> {
        let mut config = Config::with_defaults();
        self.common.apply(&mut config)?;
        if let Some(endless) = self.stop_signal.iter().rev().skip(1).find(|r| r.wait.is_none()) {
            let signal = endless.signal;
            return Err(format!("--stop-signal: what follows {signal} never comes; give it a wait: {signal}:10s"));
        }
        let program = self.cmd.first().map(Path::new).and_then(Path::file_name);
        let name = program.map_or_else(|| "main".to_string(), |n| n.to_string_lossy().into_owned());
        let group = self.group || self.signal_to.as_deref() == Some("group");
        let process = Process {
            stdin: Stdin::Inherit,
            output: match self.output.as_deref() {
                Some("prefix") => Output::Prefix,
                Some("json") => Output::Json,
                _ => Output::Inherit,
            },
            restart: Restart::Never,
            main: true,
            on_exit: OnExit::Stop,
            stop: self.stop_signal.clone(),
            stop_as_received: self.stop_signal.is_empty(),
            signal_to: if group { SignalTo::Group } else { SignalTo::Process },
            startup: self.startup.clone().map(|h| Probe {
                period: Duration::from_secs(1),
                failure_threshold: 300,
                ..Probe::new(h)
            }),
            readiness: self.readiness.clone().map(|h| Probe { period: Duration::from_secs(5), ..Probe::new(h) }),
            liveness: self.liveness.clone().map(Probe::new),
            foreground: true,
            ..Process::new(name, self.cmd.clone())
        };
        config.processes.push(process);
        if let Some(sleep) = self.drain_sleep {
            let name = format!("sleep {}", humantime::format_duration(sleep));
            let task = Task::new(name, Handler::Sleep(sleep));
            config.drain.push(Step { tasks: vec![task], reserve: None, essential: false, when: When::Requested });
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn wrap(args: &[&str]) -> Config {
        let all = ["softstop"].iter().chain(args).chain(&["--", "/bin/app", "-x"]);
        Cli::try_parse_from(all).unwrap().wrapper.config().unwrap()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_become_settings() {
        let c = wrap(&["--grace", "8s", "-s", "QUIT:5s,TERM", "--http", ":9180", "--readiness", "tcp:80", "-e", "143"]);
        assert_eq!(c.grace, Duration::from_secs(8));
        assert_eq!(c.kill_reserve, Duration::from_secs(1));
        assert_eq!(c.processes[0].name, "app");
        let wait = Some(Duration::from_secs(5));
        assert_eq!(c.processes[0].stop[0], Rung { signal: Signal::QUIT, wait });
        assert_eq!(c.http.unwrap().listen.port(), 9180);
        assert_eq!(c.exit_codes.map.get(&143), Some(&0));
        assert_eq!(wrap(&["--grace", "2s"]).kill_reserve, Duration::from_millis(500));
    }

    #[test]
    fn everything_behind_the_dashes_is_the_command() {
        let cli = Cli::try_parse_from(["softstop", "--", "run", "--grace", "-c"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.wrapper.cmd.len(), 3);
    }

    #[test]
    fn targets_are_read_as_people_write_them() {
        let http = |text| match target(text).unwrap() {
            Handler::Http(call) => (call.host, call.port, call.path),
            other => panic!("{other:?}"),
        };
        assert_eq!(http("http://localhost:8080/healthz"), ("localhost".into(), 8080, "/healthz".into()));
        assert_eq!(http("http://[::1]:80"), ("::1".into(), 80, "/".into()));
        assert_eq!(http("http://db"), ("db".into(), 80, "/".into()));
        assert_eq!(target("tcp:5432").unwrap(), Handler::Tcp { host: "localhost".into(), port: 5432 });
        assert_eq!(target("tcp://db:5432").unwrap(), Handler::Tcp { host: "db".into(), port: 5432 });
        for wrong in [
            "",
            "8080",
            "tcp:",
            "tcp:0",
            "http://x:y/",
            "ftp://x",
            "https://x/",
            "http://x:1/a b",
            "http://a\u{1f}b/",
            "http://x?a=b",
            "tcp:a b:1",
        ] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
