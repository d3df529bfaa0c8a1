//! The whole life as a story: a configuration, how everybody behaves, and the timeline that follows, in `scenarios/*.txt`
//! (`story` has their words). Virtual time, the pure core. Every action of the core stands in the timeline, in its order.
//! `BLESS=1 cargo test --test scenarios` writes the timelines anew; read the difference.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot be read fails its test")]

mod story;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use softstop::config::check;
use softstop::facts::{Awaited, Failure, Place, Several};
use softstop::lifecycle::Machine;
use softstop::lifecycle::action::{Action, Answer, What, Whom};
use softstop::lifecycle::event::{Client, Event, Exit, Outcome, ProcId, Progress, RequestId, RunId, SpawnError};
use softstop::plan::Plan;
use softstop::report::{Level, Note};
use softstop::signal::Signal;
use softstop::time::{At, Human};
use story::{End, Happening, Story};

/// After SIGKILL.
const AT_ONCE: Duration = Duration::from_millis(1);
const LONGEST: At = At::from_millis(24 * 3_600_000);

enum Due {
    Event(Event),
    Happening(Happening),
    StragglersEnded,
}

struct World {
    machine: Machine,
    story: Story,
    now: At,
    seq: u64,
    asked: u64,
    due: BTreeMap<(At, u64), Due>,
    alive: Vec<bool>,
    /// Something of its group is left.
    group: Vec<bool>,
    stragglers: bool,
    /// The attempt that will answer, by run.
    running: BTreeMap<RunId, String>,
    timeline: String,
}

impl World {
    fn new(machine: Machine, mut story: Story) -> World {
        let alive = vec![false; machine.plan().config.processes.len()];
        let happenings = std::mem::take(&mut story.happenings);
        let mut world = World {
            machine,
            stragglers: story.tells_of("stragglers at SIGTERM"),
            story,
            now: At::ZERO,
            seq: 0,
            asked: 0,
            due: BTreeMap::new(),
            group: alive.clone(),
            alive,
            running: BTreeMap::new(),
            timeline: String::new(),
        };
        happenings.into_iter().for_each(|(at, what)| world.soon(at, Due::Happening(what)));
        world
    }

    fn soon(&mut self, after: Duration, due: Due) {
        self.seq += 1;
        self.due.insert((self.now + after, self.seq), due);
    }

    fn say(&mut self, text: &str) {
        let _ = writeln!(self.timeline, "{:8.3}s  {text}", self.now.since_start().as_secs_f64());
    }

    fn run(mut self) -> String {
        self.feed(Event::Begin);
        while !self.machine.finished() {
            let timer = self.machine.next_deadline();
            let next = self.due.first_key_value().map(|((at, _), _)| *at);
            let (at, due) = match (next, timer) {
                (Some(at), timer) if timer.is_none_or(|t| at <= t) => (at, self.due.pop_first().unwrap().1),
                (_, Some(at)) => (at, Due::Event(Event::Tick)),
                _ => panic!("nothing will ever happen:\n{}", self.timeline),
            };
            self.now = self.now.max(at);
            assert!(self.now < LONGEST, "no end:\n{}", self.timeline);
            match due {
                Due::Event(event) => self.feed(event),
                Due::Happening(what) => self.happen(what),
                Due::StragglersEnded => {
                    self.stragglers = false;
                    self.census(true);
                }
            }
        }
        // After the end nothing happens any more.
        for event in [Event::Tick, Event::Signalled { signal: Signal::TERM, sender: SENDER, program: None }] {
            assert_eq!(self.machine.step(self.now, event.clone()), [], "{}", self.timeline);
            assert_eq!(self.machine.record_late(self.now, event), [], "{}", self.timeline);
        }
        assert_eq!(self.machine.next_deadline(), None);
        self.status();
        self.timeline
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Signal(signal, sender) => {
                let asked = self.machine.whose_program_decides(signal, sender);
                let program = asked.and_then(|id| self.machine.plan().config.processes[id.0].program());
                self.feed(Event::Signalled { signal, sender, program });
            }
            Happening::Exit(name, status) => {
                let process = self.find(&name);
                self.feed(Event::Exited { process, status });
            }
            Happening::Order(order) => {
                self.asked += 1;
                self.say(&format!("    order {}: {order}", self.asked));
                let ask = RequestId(self.asked);
                self.feed(Event::Ordered { ask, order, by: Client::Local { uid: 0, pid: 0 } });
            }
            Happening::AskerGoes(ask) => self.feed(Event::ClientGone { ask: RequestId(ask) }),
            Happening::Due(name) => {
                let process = self.find(&name);
                self.feed(Event::Scheduled { process });
            }
            Happening::Orphan => self.feed(Event::OrphanReaped),
            Happening::Status => self.status(),
            Happening::Suspended(length) => self.suspended(length),
            Happening::Sends(process, what) => {
                let process = self.find(&process);
                self.feed(Event::Notified { process, what });
            }
            Happening::Says(task, text) => {
                let run = self.running.iter().rfind(|(_, of)| **of == task).map(|(run, _)| *run);
                let run = run.unwrap_or_else(|| panic!("{task:?} has not begun"));
                let peers = Several { named: vec!["10.0.0.7:41234".parse().expect("an address")], all: 1 };
                let progress =
                    Progress { detail: Some(peers), ..Progress::of(Awaited::Success(Failure::Said(text.to_owned()))) };
                self.feed(Event::Progress { run, progress });
            }
        }
    }

    /// softstop does not get to run: what happens meanwhile is told at once afterwards, before anything is due.
    fn suspended(&mut self, length: Duration) {
        self.now = self.now + length;
        self.say("    on again");
        let late = self.machine.record_late(self.now, Event::Late { lost: length });
        late.into_iter().for_each(|action| self.perform(action));
        while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 <= self.now) {
            if let Due::Event(event) = entry.remove() {
                let gone = self.all_of(&event);
                for event in [event].into_iter().chain(gone) {
                    self.machine.record_late(self.now, event).into_iter().for_each(|action| self.perform(action));
                }
            }
        }
        self.feed(Event::Tick);
    }

    /// A process has ended, and with it all of its group, if nothing else is told.
    fn all_of(&mut self, event: &Event) -> Option<Event> {
        let Event::Exited { process, .. } = *event else { return None };
        self.alive[process.0] = false;
        let left = self.story.tells_of(&format!("group of {}", self.name(process)));
        self.group[process.0] = left;
        (!left).then_some(Event::GroupEmpty { process })
    }

    fn find(&self, name: &str) -> ProcId {
        let processes = &self.machine.plan().config.processes;
        ProcId(processes.iter().position(|p| p.name == name).unwrap_or_else(|| panic!("no process {name:?}")))
    }

    fn feed(&mut self, event: Event) {
        let ended = if let Event::Exited { process, .. } = event { Some(process) } else { None };
        if ended.is_some_and(|process| !std::mem::take(&mut self.alive[process.0])) {
            return;
        }
        if let Event::GroupEmpty { process } = event
            && !std::mem::take(&mut self.group[process.0])
        {
            return;
        }
        let empty = matches!(event, Event::GroupEmpty { .. });
        let mut census = self.step(event);
        if let Some(process) = ended {
            let who = format!("group of {}", self.name(process));
            self.group[process.0] = true;
            match self.story.next(&who) {
                None => census |= self.group_ends(process),
                Some((_, End::Never)) => {}
                Some((after, _)) => self.soon(after, Due::Event(Event::GroupEmpty { process })),
            }
        }
        self.census(census || ended.is_some() || empty);
    }

    fn group_ends(&mut self, process: ProcId) -> bool {
        self.group[process.0] = false;
        self.step(Event::GroupEmpty { process })
    }

    /// As the reaper has it: the dead, their groups, then whether anybody is left. `true`: it was asked for.
    fn step(&mut self, event: Event) -> bool {
        let mut census = false;
        for action in self.machine.step(self.now, event) {
            census |= action == Action::Census;
            self.perform(action);
        }
        census
    }

    fn census(&mut self, wanted: bool) {
        let alone = !self.stragglers && !self.alive.iter().chain(&self.group).any(|a| *a);
        if wanted && !self.machine.finished() {
            let again = self.step(if alone { Event::Alone } else { Event::NotAlone });
            self.census(again);
        }
    }

    fn name(&self, id: ProcId) -> String {
        self.machine.plan().name(id.0).to_string()
    }

    fn what(&self, what: What) -> String {
        match what.place {
            Place::Probe(process, kind) => format!("{} of {}", kind.name(), self.name(process)),
            _ => self.machine.plan().task(what).unwrap().name.clone(),
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Note(note) => {
                let level = match note.level() {
                    Level::Info => "",
                    Level::Debug => "debug: ",
                    Level::Warn => "warning: ",
                    Level::Error => "error: ",
                };
                self.say(&format!("{level}{note}"));
                if let Note::Finished(result) = &note {
                    let words = serde_json::to_string(result).unwrap().replace('"', "");
                    self.say(&format!("    result {words}"));
                }
            }
            Action::Reread { .. } => panic!("a scenario has one configuration"),
            Action::Spawn { process } => self.spawn(process),
            Action::Signal { process, signal, wake, .. } => {
                let name = self.name(process);
                self.say(&format!("    {signal}{} to {name}", if wake { " and SIGCONT" } else { "" }));
                self.signalled(process, signal);
            }
            Action::Diagnose { process, signal, .. } => {
                let name = self.name(process);
                self.say(&format!("    {signal} to {name}, for a diagnosis"));
                self.signalled(process, signal);
            }
            Action::Forward { process, signal, sender } => {
                let name = self.name(process);
                self.say(&format!("    {signal} from {sender} passed on to {name}"));
                self.signalled(process, signal);
            }
            Action::Kill { process, because } => {
                let waited = Human(because.waited);
                let after = because.after.map_or_else(|| "nothing".to_string(), |s| s.to_string());
                let late = if because.out_of_time { ", out of time" } else { "" };
                let what = if because.stragglers { "what is left of " } else { "" };
                let name = self.name(process);
                self.say(&format!("    SIGKILL to {what}{name}, {waited} after {after}{late}"));
                self.killed(process);
            }
            Action::SignalByCommand { ask, process, signal, .. } => {
                let name = self.name(process);
                self.say(&format!("    {signal} to {name}"));
                self.signalled(process, signal);
                self.soon(Duration::ZERO, Due::Event(Event::SignalAnswered { ask, process, signal, error: None }));
            }
            Action::SignalGroup { process, signal, whom } => {
                let name = self.name(process);
                if self.story.tells_of(&format!("group of {name}")) {
                    let whom =
                        if whom == Whom::Everybody && signal != Signal::KILL { "all that is" } else { "what is" };
                    self.say(&format!("    {signal} to {whom} left of {name}"));
                }
            }
            Action::Run { run, what, limit, context } => {
                let of = self.what(what);
                let code = context.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
                if !what.is_probe() {
                    self.say(&format!("    run {of}: {} for {}{code}", context.reason.name(), Human(limit)));
                }
                let (after, end) = self.story.next(&of).unwrap_or((Duration::ZERO, End::Exit(Exit::Code(0))));
                self.running.insert(run, of);
                let outcome = match end {
                    End::Never => return,
                    End::Exit(Exit::Code(0)) => Outcome::Ok,
                    End::Exit(exit) => Outcome::Failed(Failure::Ended { exit, said: String::new() }),
                    End::Unknown => Outcome::Unknown { reason: Failure::Said("no process to be had".to_string()) },
                };
                self.soon(after, Due::Event(Event::RunDone { run, outcome }));
            }
            Action::Cancel { run, kill } => {
                let of = self.running.get(&run).unwrap().clone();
                let signal = if kill { "SIGKILL" } else { "SIGTERM" };
                self.say(&format!("    {signal} to {of}"));
                if self.story.next(&format!("{of} at {signal}")).is_some_and(|(_, end)| end == End::Never) {
                    return;
                }
                self.soon(AT_ONCE, Due::Event(Event::RunDone { run, outcome: Outcome::failed("ended") }));
            }
            Action::SignalStragglers { signal, whom } => {
                let all = whom == Whom::Everybody && signal != Signal::KILL;
                self.say(&format!("    {signal} to {}stragglers", if all { "all " } else { "" }));
                // Of whoever has been asked nobody is asked again.
                if !all {
                    self.stragglers_signalled(signal);
                }
            }
            Action::KillEverything => {
                self.say("    SIGKILL to everything");
                (0..self.alive.len()).for_each(|i| self.killed(ProcId(i)));
                self.stragglers_signalled(Signal::KILL);
            }
            Action::Census => {}
            Action::ReopenLogs => self.say("    log files opened again"),
            Action::Answer { ask, answer } => {
                let text = match answer {
                    Answer::Done(text) => format!("done: {text}"),
                    Answer::Refused(why) => format!("refused: {why}"),
                };
                self.say(&format!("    answer {}, {text}", ask.0));
            }
            Action::Finish { code } => self.say(&format!("    exit {code}")),
        }
    }

    fn spawn(&mut self, process: ProcId) {
        let event = match self.story.start(&self.name(process)) {
            None => {
                self.alive[process.0] = true;
                Event::Spawned { process, pid: 10 + process.0 as i32 }
            }
            Some(kind) => {
                Event::SpawnFailed { process, error: SpawnError { kind, text: format!("no start: {kind:?}") } }
            }
        };
        let census = self.step(event);
        self.census(census);
    }

    fn signalled(&mut self, process: ProcId, signal: Signal) {
        let who = format!("{} at {signal}", self.name(process));
        if let Some((after, End::Exit(status))) = self.story.next(&who) {
            self.soon(after, Due::Event(Event::Exited { process, status }));
        }
    }

    fn killed(&mut self, process: ProcId) {
        let name = self.name(process);
        let ends = |world: &World, who: &str| !world.story.tells_of(&format!("{who} at SIGKILL"));
        if self.alive[process.0] && ends(self, &name) {
            let status = Exit::Signal { signal: Signal::KILL, core: false };
            self.soon(AT_ONCE, Due::Event(Event::Exited { process, status }));
        }
        if self.group[process.0] && ends(self, &format!("group of {name}")) {
            self.soon(AT_ONCE, Due::Event(Event::GroupEmpty { process }));
        }
    }

    fn stragglers_signalled(&mut self, signal: Signal) {
        let told = self.story.next(&format!("stragglers at {signal}"));
        let killed = (signal == Signal::KILL).then_some((AT_ONCE, End::Exit(Exit::Code(0))));
        if let Some((after, End::Exit(_))) = told.or(killed) {
            self.soon(after, Due::StragglersEnded);
        }
    }

    fn status(&mut self) {
        let status = self.machine.status(self.now);
        let flag = |is: bool, name: &str| if is { format!(", {name}") } else { format!(", not {name}") };
        let mut text = format!("    status: {:?}", status.phase);
        text += &(flag(status.started, "started") + &flag(status.ready, "ready") + &flag(status.live, "live"));
        if status.unready {
            text += ", held unready";
        }
        let _ = write!(text, ", {} orphans", status.orphans_reaped);
        if let Some(init) = &status.init {
            let _ = write!(text, ", init {} for {}", init.name, Human(init.running));
        }
        self.say(&text);
        for (i, p) in status.processes.iter().enumerate() {
            let words = serde_json::to_string(p).unwrap().replace('"', "");
            let stopping = if self.machine.is_being_stopped(ProcId(i)) { " is being stopped" } else { "" };
            self.say(&format!("      {words}{stopping}"));
        }
        if let Some(stop) = &status.stop {
            let words = serde_json::to_string(stop).unwrap().replace('"', "");
            self.say(&format!("      stop {words}"));
        }
    }
}

const SENDER: softstop::lifecycle::event::Sender = softstop::lifecycle::event::Sender::Outside;

fn told(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut parts = text.splitn(3, "\n---\n");
    let (settings, told) = (parts.next().unwrap(), parts.next().expect("CONFIG --- STORY --- TIMELINE"));
    let expected = parts.next().unwrap_or_default();
    let (config, _) = check::read(settings, "scenario", &|_| None).unwrap_or_else(|p| panic!("{file:?}: {p}"));
    let timeline = World::new(Machine::new(Plan::new(config)), Story::read(told)).run();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, format!("{settings}\n---\n{}\n---\n{timeline}", told.trim_end())).unwrap();
    } else {
        assert_eq!(expected, timeline, "{file:?}, if that is right: BLESS=1\n{timeline}");
    }
}

#[test]
fn every_scenario_goes_as_it_is_told() {
    let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files.iter().for_each(|file| told(file));
}
