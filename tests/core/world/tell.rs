//! A scenario and what came of it, for people.

use std::fmt::{Display, Write as _};

use softstop::config::Config;
use softstop::lifecycle::action::Action;
use softstop::lifecycle::event::Event;

use super::scenario::Scenario;
use super::{Checked, World};

impl World {
    fn line(&mut self, text: impl FnOnce() -> String) {
        let at = self.now.since_start().as_secs_f64();
        if let Some(lines) = &mut self.timeline {
            let text = text();
            lines.push(format!("{at:>11.6}s  {text}"));
        }
    }

    pub(super) fn tell_event(&mut self, event: &Event) {
        self.line(|| format!("{event:?}"));
    }

    pub(super) fn tell_action(&mut self, action: &Action) {
        self.line(|| match action {
            Action::Note(note) => format!("        {note}"),
            other => format!("    ──► {other:?}"),
        });
    }
}

impl Scenario {
    /// Everything that is not as it would be anyway.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut say = |what: &str, value: &dyn Display| writeln!(text, "{what:>12}: {value}").unwrap();
        say("settings", &different(&settings(&self.config), &settings(&Config::with_defaults())));
        for (i, process) in self.config.processes.iter().enumerate() {
            let plain = softstop::config::Process::new(process.name.clone(), process.command.clone());
            say(&process.name, &different(&fields(process), &fields(&plain)));
            for life in &self.lives[i] {
                say("a run", &different(&fields(life), &fields(&super::scenario::Life::plain())));
            }
        }
        for (what, tasks) in [("drain", &self.config.drain), ("post_stop", &self.config.post_stop)] {
            tasks.iter().for_each(|step| say(what, &format!("{step:?}")));
        }
        self.config.init.iter().for_each(|task| say("init", &format!("{task:?}")));
        say("hooks answer", &format!("{:?}", self.answers));
        self.requests.iter().for_each(|r| say("request", &format!("{r:?}")));
        self.stragglers.iter().for_each(|s| say("straggler", &format!("{s:?}")));
        self.stalls.iter().for_each(|s| say("stall", &format!("{s:?}")));
        text
    }
}

fn settings(config: &Config) -> Vec<String> {
    fields(&Config {
        processes: Vec::new(),
        init: Vec::new(),
        drain: Vec::new(),
        post_stop: Vec::new(),
        ..config.clone()
    })
}

/// A struct's fields, each as one line of its own pretty form.
fn fields(value: &dyn std::fmt::Debug) -> Vec<String> {
    let text = format!("{value:#?}");
    let mut fields: Vec<String> = Vec::new();
    for line in text.lines().skip(1) {
        let inner = line.strip_prefix("    ").unwrap_or(line);
        if inner.starts_with([' ', '}', ']', ')']) && !fields.is_empty() {
            let last = fields.last_mut().unwrap();
            last.push_str(inner.trim());
        } else {
            fields.push(inner.to_string());
        }
    }
    fields
}

fn different(these: &[String], those: &[String]) -> String {
    let changed: Vec<&str> = these.iter().filter(|f| !those.contains(f)).map(String::as_str).collect();
    if changed.is_empty() { "as usual".into() } else { changed.join(" ") }
}

/// What to print of a scenario that breaks something.
pub fn failure(from: &str, scenario: &Scenario, world: &World, result: &Checked) -> String {
    let why = match result {
        Ok(()) => "nothing is broken".to_string(),
        Err(violation) => format!("{}: {}", violation.what, violation.text),
    };
    let timeline = world.timeline.as_ref().map(|lines| lines.join("\n")).unwrap_or_default();
    format!("{from}: {why}\n\nthe scenario, shrunk:\n{}\nwhat happened:\n{timeline}\n", scenario.text())
}
