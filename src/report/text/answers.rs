//! The words of answers to orders. Pure.

use std::fmt;

use super::left_alone;
use crate::facts::{Changed, Difference, Later};
use crate::report::{Done, NotSent, Refusal};
use crate::time::Human;

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::Draining { left } => write!(f, "draining; SIGKILL to what is left in {}", Human(*left)),
            Done::Stopping { left } => write!(f, "stopping; SIGKILL to what is left in {}", Human(*left)),
            Done::Drained(None) => f.write_str("nothing to drain"),
            Done::Drained(Some(took)) => write!(f, "drained in {}", Human(*took)),
            Done::Stopped(result) => result.fmt(f),
            Done::Unready { already } => f.write_str(if *already { "unready already" } else { "unready" }),
            Done::Ready { but_for } if but_for.is_empty() => f.write_str("ready"),
            Done::Ready { but_for } => write!(f, "no longer held unready, but not ready yet: {}", but_for.join(", ")),
            Done::RunsAlready { process, pid } => write!(f, "{process} is running already (pid {pid})"),
            Done::Started { process, pid } => write!(f, "{process}: started (pid {pid})"),
            Done::Holding { process } => {
                write!(f, "{process}: stopping; it is then held down until softstop start {process}")
            }
            Done::Held { process, needed_by } => {
                write!(f, "{process}: down, and held so until softstop start {process}")?;
                left_alone(f, needed_by)
            }
            Done::DownAlready { process } => write!(f, "{process} is down already; softstop start {process} starts it"),
            Done::Reopened => f.write_str("the log files are opened again"),
            Done::Reloading(difference) => write!(f, "reloading: {difference}"),
            Done::Reloaded(difference) => write!(f, "reloaded: {difference}"),
            Done::WouldReload(difference) => write!(f, "a reload would do this: {difference}"),
            Done::Sent { process, signal, pid: Some(pid) } => write!(f, "{process}: {signal} sent (pid {pid})"),
            Done::Sent { process, signal, pid: None } => write!(f, "{process}: {signal} sent; it has ended"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoDrain => f.write_str("there was no drain"),
            Refusal::NotAllDrained(steps) => {
                let steps: Vec<String> = steps.iter().map(|(name, result)| format!("{name} ({result})")).collect();
                write!(f, "the drain is over, but not all of it was done: {}", steps.join(", "))
            }
            Refusal::DrainEnded => f.write_str("the drain was ended by a second stop request"),
            Refusal::StaysUnready(cause) => write!(f, "softstop is stopping ({cause}): nothing brings readiness back"),
            Refusal::NothingStarts(cause) => write!(f, "softstop is stopping ({cause}): nothing is started any more"),
            Refusal::StopRequested(cause) => write!(f, "the stop was requested meanwhile ({cause})"),
            Refusal::Stopped => f.write_str("softstop has stopped"),
            Refusal::NoSuchProcess { name, meant: Some(meant), .. } => {
                write!(f, "there is no process {name:?}: did you mean {meant}?")
            }
            Refusal::NoSuchProcess { name, meant: None, known } => {
                write!(f, "there is no process {name:?}; there are: {}", known.join(", "))
            }
            Refusal::NoLogFiles => f.write_str("no process writes into a file: there is nothing to open again"),
            Refusal::NotRunning { process } => write!(f, "{process} is not running"),
            Refusal::NotYetStarted { process, why: Some(why) } => {
                write!(f, "{process} has not been started yet: {why}")
            }
            Refusal::NotYetStarted { process, why: None } => {
                write!(f, "{process} has not been started yet: init tasks are running")
            }
            Refusal::WaitsInVain { process, on } => {
                write!(f, "{process} cannot be started: {on} can never be what it waits for")
            }
            Refusal::StartFailed { process, error: Some(error) } => write!(f, "{process}: {error}"),
            Refusal::StartFailed { process, error: None } => write!(f, "{process}: could not be started"),
            Refusal::NothingReloads(cause) => {
                write!(f, "softstop is stopping ({cause}): its configuration is not read any more")
            }
            Refusal::NoConfiguration => {
                f.write_str("it was started without a configuration: the wrapper's flags hold until its end")
            }
            Refusal::NotUpYet => f.write_str("the init tasks are running: reload once they are done"),
            // The first line is for the log, which has the others behind it.
            Refusal::BadConfiguration(text) => {
                write!(f, "the configuration is refused, everything goes on as before:\n{}", text.trim_end())
            }
            Refusal::NotAllStarted { difference, failed } => {
                let failed: Vec<String> = failed.iter().map(|(process, why)| format!("{process}: {why}")).collect();
                write!(f, "reloaded, but not everything runs: {}; done: {difference}", failed.join("; "))
            }
            Refusal::Removed { process } => write!(f, "{process}: a reload has taken it out of the configuration"),
            Refusal::HeldDown { process } => write!(f, "{process}: another order holds it down now"),
            Refusal::StartedAgain { process } => write!(f, "{process}: another order has it started again"),
            Refusal::NotSent { process, signal, why } => {
                let why = match why {
                    NotSent::NotPermitted => "it runs as another user, which softstop may not signal",
                    NotSent::Ended => "it has ended",
                };
                write!(f, "{process}: {signal} was not sent: {why}")
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { added, removed, restarted, changed, settings, later } = self;
        let with_keys = |list: &[Changed]| {
            list.iter().map(|c| format!("{} ({})", c.process, c.keys.join(", "))).collect::<Vec<_>>()
        };
        let parts = [
            ("added", added.clone()),
            ("removed", removed.clone()),
            ("restarted", with_keys(restarted)),
            ("changed without a restart", with_keys(changed)),
            ("settings", settings.iter().map(ToString::to_string).collect()),
            ("takes effect at the next start", later.iter().map(ToString::to_string).collect()),
        ];
        let mut said = parts.into_iter().filter(|(_, list)| !list.is_empty()).peekable();
        if self.changes_nothing() {
            f.write_str(if said.peek().is_none() { "nothing has changed" } else { "nothing changes now; " })?;
        }
        for (n, (what, list)) in said.enumerate() {
            write!(f, "{}{what}: {}", if n == 0 { "" } else { "; " }, list.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Later::Setting(name) => f.write_str(name),
            Later::Process { process, key } => write!(f, "{key} of {process}"),
            Later::Socket(name) => write!(f, "socket {name}"),
        }
    }
}
