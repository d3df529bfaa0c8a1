//! What a person at a terminal is told before the start: what starts in which order, on which ports, and where to look. Pure.

use std::path::Path;

use crate::config::{Condition, Config, Control, procfile};
use crate::plan::Plan;
use crate::text::several;
use crate::time::Human;

/// So many processes are listed.
const LISTED: usize = 20;

/// A line each. `here`: the folder that softstop was started in.
pub fn lines(plan: &Plan, here: Option<&Path>) -> Vec<String> {
    let config = &plan.config;
    let order = order(config);
    let width = order.iter().take(LISTED).map(|id| plan.name(*id).len()).max().unwrap_or(0);
    let mut lines = vec![format!(
        "{} of {}; Ctrl-C stops them within {}{}",
        several(config.processes.len(), "process", "processes"),
        source(config, here).unwrap_or_else(|| "the command line".to_owned()),
        Human(config.grace),
        status(config, here).map_or_else(String::new, |how| format!("; to see them: {how}"))
    )];
    for id in order.iter().take(LISTED) {
        let parts = parts(plan, *id).join(", ");
        lines.push(format!("  {:width$}  {parts}", plan.name(*id)).trim_end().to_owned());
    }
    if let Some(more) = order.len().checked_sub(LISTED).filter(|more| *more > 0) {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// Who waits for nobody first, then who waits for them, and so on.
fn order(config: &Config) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(config.processes.len());
    let mut placed = vec![false; config.processes.len()];
    // Cycles have been refused; with one the rest would stand in no order.
    while order.len() < placed.len() {
        let ready = |id: &usize| !placed[*id] && config.processes[*id].after.iter().all(|(on, _)| placed[*on]);
        let next: Vec<usize> = (0..placed.len()).filter(ready).collect();
        let next = if next.is_empty() { (0..placed.len()).filter(|id| !placed[*id]).collect() } else { next };
        next.iter().for_each(|id| placed[*id] = true);
        order.extend(next);
    }
    order
}

fn parts(plan: &Plan, id: usize) -> Vec<String> {
    let Some(process) = plan.config.processes.get(id) else { return Vec::new() };
    let mut parts = Vec::new();
    if let Some(port) = procfile::port(process) {
        parts.push(format!("PORT {port}"));
    }
    let held = process.sockets.iter().filter_map(|socket| plan.config.sockets.get(*socket));
    parts.extend(held.map(|socket| format!("socket {}", socket.name)));
    for (on, condition) in &process.after {
        let is = match condition {
            Condition::Started => "has started",
            Condition::Ready => "is ready",
            Condition::Completed => "has completed",
        };
        parts.push(format!("after {} {is}", plan.name(*on)));
    }
    if process.schedule.is_some() {
        parts.push("by its schedule".to_owned());
    }
    if !process.autostart {
        parts.push(format!("waits for softstop start {}", process.name));
    }
    parts
}

/// As it would be typed in that folder.
fn source(config: &Config, here: Option<&Path>) -> Option<String> {
    let file = config.source.as_deref()?;
    let near = here.and_then(|here| file.strip_prefix(here).ok());
    Some(near.unwrap_or(file).display().to_string())
}

/// The command that asks this softstop; `None`: there is none.
fn status(config: &Config, here: Option<&Path>) -> Option<String> {
    Some(match &config.control {
        Control::Off => return None,
        Control::Path(path) => format!("softstop status --control {}", path.display()),
        Control::Abstract(name) => format!("softstop status --control @{name}"),
        Control::Own => match source(config, here) {
            Some(file) if file != "softstop.toml" && file != "Procfile" => format!("softstop status -c {file}"),
            _ => "softstop status".to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::read;

    fn shown(text: &str, file: &str, change: impl FnOnce(&mut Config)) -> Vec<String> {
        let (mut config, _) = read(text, file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
        config.source = Some(Path::new("/home/me").join(file));
        change(&mut config);
        lines(&Plan::new(config), Some(Path::new("/home/me")))
    }

    #[test]
    fn a_procfile_has_its_ports_and_the_command_to_look() {
        let lines = shown("web: a\nworker: b\n", "Procfile", |config| config.processes[1].autostart = false);
        assert_eq!(
            lines,
            [
                "2 processes of Procfile; Ctrl-C stops them within 30.0s; to see them: softstop status",
                "  web     PORT 5000",
                "  worker  PORT 5100, waits for softstop start worker",
            ]
        );
    }

    #[test]
    fn a_configuration_has_its_order() {
        let text =
            "[[process]]\nname='web'\ncommand=['a']\nafter={db='ready'}\n[[process]]\nname='db'\ncommand=['b']\n";
        let lines = shown(text, "dev/my.toml", |_| ());
        assert_eq!(
            lines[0],
            "2 processes of dev/my.toml; Ctrl-C stops them within 30.0s; to see them: softstop status -c dev/my.toml"
        );
        assert_eq!(lines[1..], ["  db", "  web  after db is ready"]);
        let many: String = (0..25).map(|i| format!("p{i}: x\n")).collect();
        let lines = shown(&many, "Procfile", |config| config.control = Control::Off);
        assert_eq!((lines.len(), lines[21].as_str()), (22, "  and 5 more"));
        assert!(lines[0].ends_with("30.0s"), "{}", lines[0]);
    }
}
