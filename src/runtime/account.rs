//! The account of what happens: the log line, the history, the termination log, the report.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Clock, files};
use crate::config::{Config, LogFormat};
use crate::report::{History, Level, Note};
use crate::time::At;

pub(super) struct Account {
    clock: Clock,
    history: History,
    report: Option<PathBuf>,
    /// Written only when it is there already.
    termination_log: Option<PathBuf>,
    /// That it cannot be written was said: once is enough.
    verdict_failed: Cell<bool>,
    /// The log is JSON.
    json: bool,
    /// Signals that were not passed on: when that was last said, and what has come since. One entry for each signal at most.
    unsaid: BTreeMap<i32, (At, Option<Note>)>,
}

/// Anybody may send signals by the thousand: of those that go nowhere one line each is written in so long.
const SAID_AGAIN: Duration = Duration::from_secs(10);

impl Account {
    pub(super) fn new(config: &Config, clock: Clock) -> Account {
        Account {
            clock,
            history: History::default(),
            report: config.report.clone(),
            termination_log: config.termination_log.clone(),
            verdict_failed: Cell::new(false),
            json: config.log.format == LogFormat::Json,
            unsaid: BTreeMap::new(),
        }
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
        let number = signal.0.number();
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
        let first_word = matches!(note, Note::StopBegan { .. });
        self.history.push(self.clock.now(), note);
        if first_word {
            // Whatever happens from here on, the kubelet finds at least why.
            self.write_termination_log();
        }
    }

    /// The last thing that is written.
    pub(super) fn close(&self) {
        self.write_termination_log();
        if let Some(path) = &self.report
            && let Err(error) = files::write(path, true, &self.history.json())
        {
            tracing::warn!("cannot write the report to {}: {error}", path.display());
        }
    }

    fn write_termination_log(&self) {
        let Some(path) = self.termination_log.as_ref().filter(|p| p.exists()) else { return };
        if let Err(error) = files::write(path, false, &self.history.termination_message())
            && !self.verdict_failed.replace(true)
        {
            tracing::warn!("cannot write the verdict to {}: {error}", path.display());
        }
    }
}

fn log(note: &Note, json: bool) {
    // Only a structured log shows it.
    let event = json.then(|| serde_json::to_value(note).ok()).flatten();
    let kind = event.as_ref().and_then(|e| e.get("event")).and_then(|e| e.as_str());
    let process = note.process();
    match note.level() {
        Level::Error => tracing::error!(event = kind, process, "{note}"),
        Level::Warn => tracing::warn!(event = kind, process, "{note}"),
        Level::Info => tracing::info!(event = kind, process, "{note}"),
        Level::Debug => tracing::debug!(event = kind, process, "{note}"),
    }
}
