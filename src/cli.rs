//! The command line: what can be typed, and the [`Config`](crate::config::Config) that the wrapper's flags amount to. Pure, but for
//! reading the `SOFTSTOP_` variables, which clap does.

mod advice;
pub mod drain;
pub mod flags;
pub mod pod;
pub mod reading;
pub mod settings;
mod values;
pub mod variables;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::listen::Listen;
use crate::config::{Control, Handler};
use crate::pod::fragment::Kind;
use crate::signal::Signal;
pub use flags::{Common, Wrapper};
use values::{control, listen, probe_target, timeout, words};

const ABOUT: &str = "\
The first process in a container: starts what it runs, answers the orchestrator's probes,
and ends everything inside the grace budget, in order, with an account of what happened.";

const AFTER: &str = "\
Examples:
  softstop -- nginx -g 'daemon off;'         as an entrypoint, in place of tini
  softstop --grace 30s --drain auto --http 9180 --readiness http://localhost:8080/ -- /app
  softstop run softstop.toml                 several processes, hooks, probes, an ordered drain
  softstop check softstop.toml               every mistake in a config, with line, column and fix
  softstop check --pod deployment.yaml       where a Kubernetes manifest and the config disagree
  softstop drain                             in a preStop hook: drain, then return
  softstop probe ready                       as Docker's HEALTHCHECK: exit code 0 or 1
  softstop as tini -s -- /app                as tini, dumb-init or catatonit, also by link

Durations have a unit: 500ms, 30s, 1m30s. Signals are names or numbers: SIGTERM, TERM, 15.

Exit codes: the main process's own, 128+n when signal n ended it; 64 wrong command line,
70 softstop's own failure, 78 wrong configuration, 126 not executable, 127 not found.
Of orders to a running softstop: 0 done, 1 refused, 69 none answers, 77 not permitted.";

#[derive(Parser, Debug)]
#[command(name = "softstop", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(next_line_help = true)]
#[command(
    override_usage = "softstop [FLAGS] -- CMD...\n       softstop run [FILE]\n       softstop check [FILE] [--pod FILE]\n       softstop manifest [FILE | -- ARGS]\n       softstop status | drain | stop | ready | unready | restart | start | signal\n       softstop probe TARGET\n       softstop as tini [ARGS]"
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

/// The configuration file as many people name it, without a flag.
#[derive(Args, Debug)]
pub struct Named {
    /// The configuration file; the same as -c FILE
    #[arg(value_name = "FILE")]
    named: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    named: Named,
    /// Also hold it against a Kubernetes manifest; - is standard input:
    /// helm template CHART | softstop check --pod -
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub pod: Option<PathBuf>,
    /// The container that runs softstop [default: as its command, args and variables show]
    #[arg(long, value_name = "NAME", requires = "pod")]
    pub container: Option<String>,
    /// It is to run where this is checked: also look for the programs, users and folders that it
    /// names [default: when softstop is /softstop, or the file /etc/softstop.toml]
    #[arg(long, conflicts_with = "pod", verbatim_doc_comment)]
    pub here: bool,
    /// Fail on warnings, too: exit code 1 when there is nothing worse
    #[arg(long)]
    pub strict: bool,
    /// What is found as JSON, on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Manifest {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    named: Named,
    /// spec (a pod's spec, to be put where it belongs), pod, deployment, statefulset, daemonset
    /// or job [default: spec]
    #[arg(long, value_name = "KIND", value_parser = words(&Kind::NAMES), hide_possible_values = true, verbatim_doc_comment)]
    pub kind: Option<String>,
    /// For the wrapper instead of a configuration: what follows /softstop in the container, as in
    /// softstop manifest -- --drain auto --http 9180 -- /app/server
    #[arg(last = true, value_name = "ARGS", verbatim_doc_comment)]
    pub args: Vec<OsString>,
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
    pub http: Option<Listen>,
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
    named: Named,
    #[command(flatten)]
    pub common: Common,
    /// Nothing yet: refused with what to type.
    #[arg(last = true, hide = true)]
    cmd: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_behind_the_dashes_is_the_command() {
        let cli = Cli::try_parse_from(["softstop", "--", "run", "--grace", "-c"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.wrapper.cmd.len(), 3);
    }
}
