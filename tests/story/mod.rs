//! What a scenario tells of the world around the core, line by line:
//!
//! ```text
//! ship logs: 2s, 0                 takes so long and ends so; `never` does not end; `not made` could not even be tried
//! warm: 1s, 1; 1s, not made; 2s, 0 one attempt after the other, the last for all that follow
//! liveness of web: 10ms, 0         a probe's answers
//! web at SIGTERM: 2s, 0            what a signal does to it; without such a line nothing
//! web start: transient; ok         how its starts go: `ok`, `transient`, `not found`
//! group of web: 2s                 what it leaves in its process group ends so long after it; `never`: only by SIGKILL
//! stragglers at SIGTERM: 2s        there are stragglers elsewhere, and what a signal does to them
//! 5s: web ends with 3              or `with SIGSEGV`
//! 5s: SIGHUP from the terminal     or `from pid 7`, or from outside the container
//! 5s: order restart web            an order over the control socket, as the command line has it
//! 5s: the first asker goes         (or second, third) without its answer
//! 5s: finish says 3 connections    a wait under way says how far it is; `finish` is its task
//! 5s: web sends ready              of itself: also `reloading`, `stopping`, `alive`, `unwell`, `status busy`, `more 5s`, `within 2s`
//! 5s: backup is due                the time of a scheduled task comes
//! 5s: orphan                       an adopted process is reaped
//! 5s: suspended for 1m             softstop does not run for so long
//! 5s: status                       what /status shows then
//! ```

use std::collections::HashMap;
use std::time::Duration;

use softstop::lifecycle::event::{Exit, Notification, Order, Sender, SpawnErrorKind};
use softstop::signal::Signal;

/// How one attempt ends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum End {
    Exit(Exit),
    Unknown,
    Never,
}

#[derive(Clone, Debug)]
pub enum Happening {
    Signal(Signal, Sender),
    Exit(String, Exit),
    Order(Order),
    AskerGoes(u64),
    Due(String),
    Orphan,
    Status,
    Suspended(Duration),
    /// Of itself.
    Sends(String, Notification),
    /// Of a task: how far it is.
    Says(String, String),
}

#[derive(Default)]
pub struct Story {
    pub happenings: Vec<(Duration, Happening)>,
    attempts: HashMap<String, Vec<(Duration, End)>>,
    starts: HashMap<String, Vec<Option<SpawnErrorKind>>>,
    seen: HashMap<String, usize>,
}

impl Story {
    pub fn read(text: &str) -> Story {
        let mut story = Story::default();
        for line in text.lines().filter(|l| !l.trim().is_empty()) {
            let (who, what) = line.split_once(": ").unwrap_or_else(|| panic!("not WHO: WHAT: {line:?}"));
            if let Ok(at) = humantime::parse_duration(who) {
                story.happenings.push((at, happening(what)));
            } else if let Some(process) = who.strip_suffix(" start") {
                story.starts.insert(process.to_string(), what.split("; ").map(start).collect());
            } else {
                story.attempts.insert(who.to_string(), what.split("; ").map(attempt).collect());
            }
        }
        story
    }

    pub fn tells_of(&self, who: &str) -> bool {
        self.attempts.contains_key(who)
    }

    /// The next attempt of `who`, if anything is told of it.
    pub fn next(&mut self, who: &str) -> Option<(Duration, End)> {
        let list = self.attempts.get(who)?;
        let seen = self.seen.entry(who.to_string()).or_default();
        *seen += 1;
        Some(list[(*seen - 1).min(list.len() - 1)])
    }

    /// How the next start of a process goes.
    pub fn start(&mut self, process: &str) -> Option<SpawnErrorKind> {
        let list = self.starts.get(process)?;
        let seen = self.seen.entry(format!("{process} start")).or_default();
        *seen += 1;
        list[(*seen - 1).min(list.len() - 1)]
    }
}

fn attempt(text: &str) -> (Duration, End) {
    let (after, end) = text.split_once(", ").unwrap_or((text, "0"));
    match end {
        _ if text == "never" => (Duration::ZERO, End::Never),
        "not made" => (duration(after), End::Unknown),
        code => (duration(after), End::Exit(exit(code))),
    }
}

fn start(text: &str) -> Option<SpawnErrorKind> {
    match text {
        "ok" => None,
        "transient" => Some(SpawnErrorKind::Transient),
        "not found" => Some(SpawnErrorKind::NotFound),
        _ => panic!("not ok, transient or not found: {text:?}"),
    }
}

fn duration(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn exit(text: &str) -> Exit {
    match text.parse() {
        Ok(code) => Exit::Code(code),
        Err(_) => Exit::Signal { signal: Signal::parse(text).unwrap(), core: false },
    }
}

fn happening(text: &str) -> Happening {
    if let Some((task, progress)) = text.split_once(" says ") {
        return Happening::Says(task.to_string(), progress.to_string());
    }
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        [process, "sends", what @ ..] => Happening::Sends((*process).to_string(), notification(what)),
        ["status"] => Happening::Status,
        ["suspended", "for", length] => Happening::Suspended(duration(length)),
        ["orphan"] => Happening::Orphan,
        ["the", nth, "asker", "goes"] => {
            let nth = ["first", "second", "third"].iter().position(|n| n == nth).unwrap();
            Happening::AskerGoes(nth as u64 + 1)
        }
        ["order", order @ ..] => Happening::Order(self::order(order)),
        [process, "is", "due"] => Happening::Due((*process).to_string()),
        [process, "ends", "with", how] => Happening::Exit((*process).to_string(), exit(how)),
        [signal, "from", "the", "terminal"] => Happening::Signal(Signal::parse(signal).unwrap(), Sender::Terminal),
        [signal, "from", "its", "parent"] => Happening::Signal(Signal::parse(signal).unwrap(), Sender::Parent(1)),
        [signal, "from", "the", "kernel"] => Happening::Signal(Signal::parse(signal).unwrap(), Sender::Kernel),
        [signal, "from", "pid", pid] => {
            Happening::Signal(Signal::parse(signal).unwrap(), Sender::Process(pid.parse().unwrap()))
        }
        [signal] => Happening::Signal(Signal::parse(signal).unwrap(), Sender::Outside),
        _ => panic!("nothing that can happen: {text:?}"),
    }
}

fn notification(words: &[&str]) -> Notification {
    match *words {
        ["ready"] => Notification::Ready,
        ["reloading"] => Notification::Reloading,
        ["stopping"] => Notification::Stopping,
        ["alive"] => Notification::Alive,
        ["unwell"] => Notification::Unwell,
        ["status", ref text @ ..] => Notification::Status(text.join(" ")),
        ["more", length] => Notification::MoreTime(duration(length)),
        ["within", length] => Notification::AliveWithin(duration(length)),
        _ => panic!("nothing to say: {words:?}"),
    }
}

fn order(words: &[&str]) -> Order {
    match *words {
        ["drain"] => Order::Drain { wait: true },
        ["drain", "--no-wait"] => Order::Drain { wait: false },
        ["stop"] => Order::Stop { wait: true, process: None },
        ["stop", "--no-wait"] => Order::Stop { wait: false, process: None },
        ["stop", process] => Order::Stop { wait: true, process: Some(process.to_string()) },
        ["stop", process, "--no-wait"] => Order::Stop { wait: false, process: Some(process.to_string()) },
        ["ready"] => Order::Ready,
        ["unready"] => Order::Unready,
        ["reopen"] => Order::Reopen,
        ["restart", process] => Order::Restart { process: process.to_string() },
        ["start", process] => Order::Start { process: process.to_string() },
        ["signal", process, signal] => {
            Order::Signal { process: process.to_string(), signal: Signal::parse(signal).unwrap() }
        }
        _ => panic!("no order: {words:?}"),
    }
}
