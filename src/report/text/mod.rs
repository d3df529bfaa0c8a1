//! The one place that turns what happened into words. Lower case, one line, concrete.

mod answers;
mod attempts;
mod facts;
mod level;

use std::fmt;

use super::{MemoryLimit, Note, OwnLimit, Refusal, Secs, SignalMeaning};
use crate::facts::{KillReason, NextCtrlC, Who};
use crate::signal::Signal;
use crate::text::{plural, several};
use crate::time::Human;

pub use facts::side_by_side;
use facts::suspended_because;
pub use level::Level;

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::TaskBegan { place, name } => write!(f, "{place}: {name}"),
            Note::TaskEnded { place, name, attempts: 0, result, .. } => write!(f, "{place}: {name}: skipped: {result}"),
            Note::TaskEnded { place, name, attempts, took, result } => {
                write!(f, "{place}: {name}: {result} after {took}")?;
                if *attempts > 1 { write!(f, ", {attempts} attempts") } else { Ok(()) }
            }
            Note::Started { process, pid, restarts: 0 } => write!(f, "{process}: started (pid {pid})"),
            Note::Started { process, pid, restarts } => {
                write!(f, "{process}: started again (pid {pid}, restart {restarts})")
            }
            Note::StartFailed { process, error, retry_in: None } => write!(f, "{process}: {error}"),
            Note::StartFailed { process, error, retry_in: Some(d) } => {
                write!(f, "{process}: {error}; trying again in {d}")
            }
            Note::SaidReady { process, took } => write!(f, "{process}: notified as ready after {took}"),
            Note::StartedUp { process, took } => write!(f, "{process}: startup probe succeeded after {took}"),
            Note::Ready { process, .. } => write!(f, "{process}: ready"),
            Note::NotReady { process, reason } => write!(f, "{process}: not ready: {reason}"),
            Note::Followed { command } => write!(f, "sidecar: {command} runs; the stop begins when it has ended"),
            Note::AllReady { took } => write!(f, "ready after {took}"),
            Note::ProbeFailed { process, probe, failures, threshold, reason } if failures <= threshold => {
                write!(f, "{process}: {} probe failed ({failures} of {threshold}): {reason}", probe.name())
            }
            Note::ProbeFailed { process, probe, failures, reason, .. } => {
                write!(f, "{process}: {} probe failed ({failures} in a row): {reason}", probe.name())
            }
            Note::ProbeUnknown { process, probe, reason } => {
                write!(f, "{process}: {} probe could not be made, which counts for nothing: {reason}", probe.name())
            }
            Note::Unhealthy { process, reason } => write!(f, "{process}: {reason}; stopping it"),
            Note::Exited { process, exit, ran, .. } => write!(f, "{process}: ended with {exit} after {ran}"),
            Note::RunSkipped { process } => {
                write!(f, "{process}: its time has come and it still runs; this run is skipped (schedule.concurrency)")
            }
            Note::Replaced { process } => {
                write!(
                    f,
                    "{process}: its time has come and it still runs; stopping it for the next run (schedule.concurrency)"
                )
            }
            Note::ServiceEnded { process, by_probes } => {
                let why = if *by_probes { "it has probes, so it" } else { "it" };
                write!(f, "{process}: {why} is a service: its end counts as a failure, whatever its exit code")
            }
            Note::InBackground { process, command, pid, instead } => {
                write!(
                    f,
                    "{process}: {command} goes on in the background (pid {pid}), where softstop neither restarts it nor waits for it: "
                )?;
                match instead {
                    Some(instead) => write!(f, "run it in the foreground, {instead}"),
                    None => f.write_str("run it in the foreground"),
                }
            }
            Note::BackOff { process, restarts, delay } => write!(f, "{process}: restart {restarts} in {delay}"),
            Note::GaveUp { process, restarts } => {
                let restarts = several(*restarts, "restart", "restarts");
                write!(f, "{process}: not started again after {restarts} (max_restarts)")
            }
            Note::Held { process, needed_by } => {
                write!(f, "{process}: held down until softstop start {process}")?;
                left_alone(f, needed_by)
            }
            Note::CannotStart { process, on, why } => write!(f, "{process}: will never start: {on} {why}"),
            Note::SignalIgnored { signal, from, why, times } => {
                write!(f, "{signal} from {from} not passed on: {why}")?;
                if *times > 1 { write!(f, " ({times} times)") } else { Ok(()) }
            }
            Note::SignalForwarded { signal, process } => write!(f, "{process}: {signal} passed on"),
            Note::SignalMeans { signal, from, meaning } => {
                write!(f, "{signal} from {from}: ")?;
                means(f, *signal, *meaning)
            }
            Note::OwnLimitReached { limit: OwnLimit::ProcessorTime } => f.write_str(
                "softstop itself has used up the processor time that it was started with (RLIMIT_CPU, ulimit -t); \
                 at the hard limit the kernel kills it: raise or remove the limit",
            ),
            Note::OwnLimitReached { limit: OwnLimit::FileSize } => f.write_str(
                "a file that softstop writes has reached the longest that is allowed (RLIMIT_FSIZE, ulimit -f); \
                 what does not fit is lost and counted: raise or remove the limit",
            ),
            Note::StopBegan { cause, grace, deadline, next, .. } => {
                write!(f, "stopping: {cause}; {grace} grace, SIGKILL to what is left in {deadline}")?;
                match next {
                    Some(NextCtrlC::EndsDrain) => f.write_str("; Ctrl-C again ends the drain, then kills"),
                    Some(NextCtrlC::Kills) => f.write_str("; Ctrl-C again kills now"),
                    None => Ok(()),
                }
            }
            Note::NoHook => f.write_str(
                "no preStop hook has announced this stop, so the pod's grace may be shorter than softstop's (2s after an eviction): \
                 make softstop drain its preStop hook",
            ),
            Note::StopAgain { cause, effect } => write!(f, "stop requested again ({cause}): {effect}"),
            Note::Drained { up_to } => {
                write!(f, "drained; the processes go on until a stop is requested, up to {up_to}")
            }
            Note::Reloaded { difference } => write!(f, "reloaded: {difference}"),
            Note::FileChanged { path, does } => write!(f, "{} has changed: {does}", path.display()),
            Note::NotReloaded { why: Refusal::BadConfiguration(text) } => {
                // Its last line counts the problems; all of them are details.
                let counted = text.lines().last().unwrap_or_default();
                write!(f, "not reloaded: the configuration is refused, everything goes on as before: {counted}")
            }
            Note::NotReloaded { why } => write!(f, "not reloaded: {why}"),
            Note::Ordered { order, by, refused: None } => write!(f, "{order}, requested by {by}"),
            // What is wrong with it has lines of its own.
            Note::Ordered { order, by, refused: Some(Refusal::BadConfiguration(_)) } => {
                write!(f, "{order}, requested by {by}, refused: the configuration has mistakes")
            }
            Note::Ordered { order, by, refused: Some(why) } => write!(f, "{order}, requested by {by}, refused: {why}"),
            Note::StepBegan { kind, name, slice, left } => {
                write!(f, "{kind}: {name}: up to {slice} of the {left} left")
            }
            Note::Waiting { place, name, progress, waited, limit, .. } => {
                write!(f, "{place}: {name}: {progress}, {waited} of {limit}")
            }
            Note::StepEnded { kind, name, slice, took, result } => {
                write!(f, "{kind}: {name}: {result} after {took} of {slice}")
            }
            Note::StepSkipped { kind, name, result } => write!(f, "{kind}: {name}: skipped: {result}"),
            Note::Stopping { process, how, slice } => write!(f, "{process}: stopping: {how}, up to {slice}"),
            Note::NextRung { process, after, waited, signal } => {
                write!(f, "{process}: still running {waited} after {after}; sending {signal}")
            }
            Note::Diagnosing { process, after, waited, signal, wait } => {
                write!(f, "{process}: still running {waited}")?;
                match after {
                    Some(after) => write!(f, " after {after}")?,
                    None => f.write_str(" after its stop began")?,
                }
                write!(f, "; sending {signal} for a diagnosis, up to {wait} to write it")
            }
            Note::OomKilled { process, limit, kills, .. } => {
                write!(f, "{process}: killed by the kernel's OOM killer ({})", memory(*limit, *kills))
            }
            Note::OomKilledOthers { count, limit, kills } => {
                let (killed, memory) = (several(*count, "process", "processes"), memory(*limit, *kills));
                write!(f, "the kernel's OOM killer has killed {killed} that softstop did not start itself ({memory})")
            }
            Note::LastOutput { process, lines } => {
                write!(f, "{process}: its last output: {}", super::inspection::quoted(lines))
            }
            Note::PidsNear { current, max, complete, processes, zombies, parent } => {
                write!(f, "{current} of the {max} processes and threads that this container may have (pids.max)")?;
                if *processes > 0 || *complete { below(f, *complete, *processes, *zombies, parent.as_deref()) } else { Ok(()) }
            }
            Note::Killed { process, because, appeared_as, .. } => killed(f, process, because, appeared_as),
            Note::Stopped { process, exit: Some(exit), took, forced } => {
                let how = if *forced { "killed" } else { "stopped" };
                write!(f, "{process}: {how} after {took} with {exit}")
            }
            Note::Stopped { process, exit: None, took, .. } => {
                write!(f, "{process}: does not end {took} after it was told to stop")
            }
            Note::Stragglers { signal, count, which } => {
                write!(f, "{}: sending {signal}", several(*count, "straggler", "stragglers"))?;
                list(f, which)
            }
            Note::GroupLeft { process, signalled: 0 } => write!(f, "{process}: others of its process group still run"),
            Note::GroupLeft { process, signalled } => {
                let of_them = several(*signalled, "of them was", "of them were");
                write!(f, "{process}: others of its process group still run; {of_them} sent a stop signal")
            }
            Note::StragglersGone { took } => write!(f, "stragglers are gone after {took}"),
            Note::Starved { lost } => {
                write!(f, "softstop itself could not run for {lost} (paused, or no processor time left); ")?;
                f.write_str("what is being stopped has the lower priority now")
            }
            Note::OutOfTime { still_running } => {
                write!(f, "out of time: {}; sending SIGKILL to everything left", Running(still_running))
            }
            Note::Suspended { process, signal } => {
                let why = suspended_because(*signal);
                write!(
                    f,
                    "{process}: stopped by {signal}{why}; it does nothing until SIGCONT: softstop signal {process} CONT"
                )
            }
            Note::LogsReopened { signal, from } => write!(f, "{signal} from {from}: the log files are opened again"),
            Note::OutputLost { stream, lines, why } => {
                let (what, were) = plural(*lines, ("line", "was"), ("lines", "were"));
                write!(f, "{lines} {what} of {stream} {were} lost: {why}")
            }
            Note::LeftBehind { count, which } => {
                write!(f, "{} not end after SIGKILL: leaving", several(*count, "process does", "processes do"))?;
                list(f, which)
            }
            Note::Finished(result) => write!(f, "{result}"),
        }
    }
}

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Human(self.0).fmt(f)
    }
}

/// Those who still run.
pub(super) struct Running<'a>(pub &'a [Who]);

impl fmt::Display for Running<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(Who::to_string).collect();
        write!(f, "{} still running", names.join(", "))
    }
}

/// Who depends on what is held down.
fn left_alone(f: &mut fmt::Formatter<'_>, needed_by: &[String]) -> fmt::Result {
    match needed_by {
        [] => Ok(()),
        by => write!(f, "; what depends on it is left alone: {}", by.join(", ")),
    }
}

fn means(f: &mut fmt::Formatter<'_>, signal: Signal, meaning: SignalMeaning) -> fmt::Result {
    match meaning {
        SignalMeaning::OwnStopSignal { program } => {
            write!(f, "{program}'s stop signal, so this is a stop; --stop-on (stop_on) says otherwise")
        }
        SignalMeaning::FromOutside => f.write_str(
            "from whoever runs the container, so this is a stop; --stop-on SIGTERM,SIGINT (stop_on) has it passed on",
        ),
        SignalMeaning::FromInside => write!(
            f,
            "from inside the container, so it is passed on; --stop-on SIGTERM,SIGINT,{signal} (stop_on) makes it a stop"
        ),
        SignalMeaning::ReadsAgain => f.write_str(
            "the configuration is read again; rewrite = { SIGHUP = \"SIGHUP\" } of the main process has it passed on instead",
        ),
        SignalMeaning::AsksForDump { program } => write!(
            f,
            "{program} answers it with a dump and goes on, so it is passed on; --stop-on SIGTERM,SIGINT,{signal} (stop_on) makes it a stop"
        ),
    }
}

/// What there is below softstop, as far as it was counted.
fn below(
    f: &mut fmt::Formatter<'_>,
    complete: bool,
    processes: usize,
    zombies: usize,
    parent: Option<&str>,
) -> fmt::Result {
    let at_least = if complete { "" } else { "at least " };
    let processes = several(processes, "process", "processes");
    write!(f, "; {at_least}{processes} below softstop, {at_least}{zombies} of them zombies")?;
    parent.map_or(Ok(()), |parent| write!(f, ", most of which {parent} does not reap"))
}

fn list(f: &mut fmt::Formatter<'_>, which: &[String]) -> fmt::Result {
    if which.is_empty() { Ok(()) } else { write!(f, " ({})", which.join(", ")) }
}

/// `memory.max 128 MiB, 2 kills in this cgroup`.
fn memory(limit: Option<MemoryLimit>, kills: u64) -> String {
    let limit = limit
        .map_or_else(|| "no limit in this cgroup".to_owned(), |limit| format!("{} {}", limit.file, bytes(limit.bytes)));
    format!("{limit}, {} in this cgroup", several(kills, "kill", "kills"))
}

fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    // The largest in which it is a whole number, or at least ten.
    let unit = UNITS.iter().find(|(unit, _)| n >= *unit && (n.is_multiple_of(*unit) || n / unit >= 10));
    match unit {
        Some((unit, name)) => format!("{} {name}", n / unit),
        None => format!("{n} bytes"),
    }
}

fn killed(f: &mut fmt::Formatter<'_>, process: &str, because: &KillReason, appeared_as: &str) -> fmt::Result {
    let what = if because.stragglers { "stragglers still running" } else { "still running" };
    match because.after {
        Some(signal) => write!(f, "{process}: {what} {} after {signal}", Human(because.waited))?,
        None => write!(f, "{process}: {what} when its time was up")?,
    }
    f.write_str(if because.out_of_time { ", out of time; sending SIGKILL" } else { "; sending SIGKILL" })?;
    if appeared_as.is_empty() { Ok(()) } else { write!(f, " ({appeared_as})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_counted_is_not_said_to_be_nothing() {
        let note = |complete, processes, zombies| {
            let note = Note::PidsNear { current: 23, max: 24, complete, processes, zombies, parent: None };
            note.to_string().split_once("(pids.max)").expect("the counters come first").1.to_owned()
        };
        assert_eq!(note(true, 22, 1), "; 22 processes below softstop, 1 of them zombies");
        assert_eq!(note(true, 1, 0), "; 1 process below softstop, 0 of them zombies");
        assert_eq!(note(false, 9, 8), "; at least 9 processes below softstop, at least 8 of them zombies");
        assert_eq!(note(false, 0, 0), "", "nothing is known");
    }

    #[test]
    fn an_oom_kill_names_its_limit() {
        let note = |limit, kills| Note::OomKilled { process: "web".into(), pid: 7, limit, kills }.to_string();
        let limit = |bytes| Some(MemoryLimit { file: "memory.max", bytes });
        assert_eq!(
            note(limit(128 << 20), 2),
            "web: killed by the kernel's OOM killer (memory.max 128 MiB, 2 kills in this cgroup)"
        );
        assert_eq!(
            note(None, 1),
            "web: killed by the kernel's OOM killer (no limit in this cgroup, 1 kill in this cgroup)"
        );
        let sizes = [
            (1 << 30, "1 GiB"),
            (1536 << 20, "1536 MiB"),
            (20_000_000, "19 MiB"),
            (4096, "4 KiB"),
            (5000, "5000 bytes"),
        ];
        for (n, text) in sizes {
            assert_eq!(bytes(n), text);
        }
    }
}
