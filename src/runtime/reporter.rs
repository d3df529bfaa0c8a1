//! The account of what happens: the log line, the history, the termination log, the report.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::Clock;
use super::files::{self, Writers};
use crate::config::{LogFormat, ReadinessOnDrain};
use crate::output::files::LogFiles;
use crate::plan::Plan;
use crate::programs;
use crate::report::{Counters, History, Level, Note, ProcessSetup, Setup};
use crate::time::At;

pub(super) struct Reporter {
    clock: Clock,
    plan: Rc<Plan>,
    history: Rc<RefCell<History>>,
    /// That the termination message cannot be written was said: once is enough.
    message_failed: bool,
    pub(super) writers: Writers,
    /// The log is JSON.
    json: bool,
    /// Signals that were not passed on: when that was last said, and what has come since. One entry for each signal at most.
    unsaid: BTreeMap<i32, (At, Option<Note>)>,
    counters: Rc<RefCell<Counters>>,
}

/// Anybody may send signals by the thousand: of those that go nowhere one line each is written in so long.
const SAID_AGAIN: Duration = Duration::from_secs(10);

/// How long a file may take to be written. It takes a millisecond, unless its file system hangs: the first word holds up all that is
/// to be stopped, and what comes last nobody. (Without processor time it may take a little longer: see the writer.)
const FIRST_WORD_WAIT: Duration = Duration::from_millis(200);
const LAST_WORD_WAIT: Duration = Duration::from_secs(1);
/// Of the grace one file gets no more than this part.
const PART: u32 = 8;
/// However late it is, a file system that answers at once is given the time to.
const LEAST_WAIT: Duration = Duration::from_millis(20);

impl Reporter {
    pub(super) fn new(
        plan: Rc<Plan>,
        clock: Clock,
        logs: Rc<LogFiles>,
        history: Rc<RefCell<History>>,
        counters: Rc<RefCell<Counters>>,
    ) -> Reporter {
        history.borrow_mut().set_setup(setup(&plan));
        Reporter {
            clock,
            history,
            message_failed: false,
            writers: Writers::beside(logs),
            json: plan.config.log.format == LogFormat::Json,
            plan,
            unsaid: BTreeMap::new(),
            counters,
        }
    }

    /// After a reload. How the log is written stays as it is.
    pub(super) fn adopt(&mut self, plan: Rc<Plan>) {
        self.history.borrow_mut().set_setup(setup(&plan));
        self.counters.borrow_mut().retain(|process| plan.config.processes.iter().any(|p| p.name == process));
        self.plan = plan;
    }

    pub(super) fn note(&mut self, note: Note) {
        if let Note::Finished(_) = note {
            for (_, unsaid) in std::mem::take(&mut self.unsaid).into_values() {
                unsaid.into_iter().for_each(|note| self.say(note));
            }
        }
        if let Some(note) = self.worth_saying(note) {
            self.say(note);
        }
    }

    /// `None`: it is counted, and said with the next one of its kind or at the end.
    fn worth_saying(&mut self, note: Note) -> Option<Note> {
        let Note::SignalIgnored { signal, from, why, .. } = note else { return Some(note) };
        let now = self.clock.now();
        let number = signal.number();
        let (said, unsaid) = self.unsaid.remove(&number).map_or((None, None), |(at, unsaid)| (Some(at), unsaid));
        let before = match unsaid {
            Some(Note::SignalIgnored { times, .. }) => times,
            _ => 0,
        };
        let note = Note::SignalIgnored { signal, from, why, times: before + 1 };
        if let Some(said) = said.filter(|said| now.since(*said) < SAID_AGAIN) {
            self.unsaid.insert(number, (said, Some(note)));
            return None;
        }
        self.unsaid.insert(number, (now, None));
        Some(note)
    }

    fn say(&mut self, note: Note) {
        log(&note, self.json);
        self.counters.borrow_mut().count(&note);
        let first_word = matches!(note, Note::StopBegan { .. });
        self.history.borrow_mut().push(self.clock.now(), note);
        if first_word {
            // Whatever happens from here on, the kubelet finds at least why.
            self.write_termination_log((self.plan.config.grace / PART).min(FIRST_WORD_WAIT), true);
        }
    }

    /// For the report and the termination log alone.
    pub(super) fn record(&mut self, note: Note) {
        self.history.borrow_mut().push(self.clock.now(), note);
    }

    /// Both files as they stand, with so much of the grace left. `last`: nothing more follows, and what goes wrong is said.
    pub(super) fn write(&mut self, left: Duration, last: bool) {
        let limit = last_word_wait(left, self.plan.config.grace);
        self.write_termination_log(limit, last);
        if let Some(path) = &self.plan.config.report
            && let Err(error) = self.writers.write(path, true, &self.history.borrow().json(), limit)
            && last
        {
            tracing::warn!("cannot write the report to {}: {error}", path.display());
        }
    }

    fn write_termination_log(&mut self, limit: Duration, says: bool) {
        // Written only when it is there already.
        let path = self.plan.config.termination_log.as_ref().filter(|p| !files::is_missing_from_dev(p));
        let Some(path) = path else { return };
        let Err(error) = self.writers.write(path, false, &self.history.borrow().termination_message(), limit) else {
            return;
        };
        let no_file = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        if says && !no_file && !std::mem::replace(&mut self.message_failed, true) {
            tracing::warn!("cannot write the termination message to {}: {error}", path.display());
        }
    }
}

/// What the reader of a report has to know of the configuration.
fn setup(plan: &Plan) -> Setup {
    let process = |(n, process): (usize, &crate::config::Process)| {
        let mut words = process.command.iter().map(|word| word.to_string_lossy());
        let (executable, first) = (words.next().unwrap_or_default(), words.next());
        ProcessSetup {
            name: process.name.clone(),
            program: programs::started_by(&executable, first.as_deref()).to_owned(),
            kind: plan.kind(n),
        }
    };
    Setup {
        readiness_on_drain: match plan.config.readiness_on_drain {
            ReadinessOnDrain::Fail => "fail",
            ReadinessOnDrain::Keep => "keep",
        },
        processes: plan.config.processes.iter().enumerate().map(process).collect(),
    }
}

/// An eighth of the grace, and of what is left of it no more than half for both files.
fn last_word_wait(left: Duration, grace: Duration) -> Duration {
    (left / 4).min(grace / PART).clamp(LEAST_WAIT, LAST_WORD_WAIT)
}

fn log(note: &Note, json: bool) {
    // Only a structured log shows it.
    let event = json.then(|| serde_json::to_string(note).ok()).flatten();
    // Its kind is the first of what it is written as.
    let kind = event.as_deref().and_then(|text| text.strip_prefix(r#"{"event":""#)?.split('"').next());
    let process = note.process();
    match note.level() {
        Level::Error => tracing::error!(event = kind, process, "{note}"),
        Level::Warn => tracing::warn!(event = kind, process, "{note}"),
        Level::Info => tracing::info!(event = kind, process, "{note}"),
        Level::Debug => tracing::debug!(event = kind, process, "{note}"),
    }
    for detail in note.details() {
        tracing::warn!(process, "{detail}");
    }
}
