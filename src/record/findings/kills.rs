//! Who needed SIGKILL, and why. Pure.

use std::time::Duration;

use super::{Facts, Found};
use crate::programs;
use crate::record::slices::Kill;
use crate::time::Human;

impl Found {
    /// Why it needed SIGKILL: no later row says more of it.
    fn needed(&mut self, kill: &Kill, why: &str, help: impl Into<String>) {
        self.kill(kill, format!("{} needed SIGKILL {}: {why}", kill.process, when(kill)), help);
    }

    fn kill(&mut self, kill: &Kill, text: String, help: impl Into<String>) {
        self.explained.insert(kill.process.clone());
        self.error(&kill.process, text, help);
    }
}

impl Facts<'_> {
    /// Processes killed, not what they left behind, whose SIGKILL no row has explained.
    fn killed<'a>(&'a self, found: &Found) -> Vec<&'a Kill> {
        self.kills.iter().filter(|kill| !kill.stragglers && !found.explained.contains(&kill.process)).collect()
    }

    fn is_shell(&self, process: &str) -> bool {
        let program = self.program(process);
        programs::is_shell(program) || [".sh", ".bash"].iter().any(|end| program.ends_with(end))
    }
}

/// `20.0s after SIGTERM`; of one that had no time at all: from the stop request on.
fn when(kill: &Kill) -> String {
    match &kill.after {
        Some(signal) => format!("{} after {signal}", Human(kill.waited)),
        None => format!("{} after the stop request", Human(kill.at)),
    }
}

fn signal(kill: &Kill) -> &str {
    kill.after.as_deref().unwrap_or("SIGTERM")
}

/// What it said last, if that is known.
fn said(kill: &Kill) -> String {
    if kill.last_output.is_empty() { String::new() } else { format!("; its last words: {:?}", kill.last_output) }
}

pub(super) fn shell(facts: &Facts<'_>, found: &mut Found) {
    const EXEC: &str =
        "write exec before the last command of the script (sh -c 'exec app'), or name the program itself in `command`";
    for kill in facts.killed(found) {
        // One that has no child is deaf by itself.
        if facts.is_shell(&kill.process) && kill.children != Some(0) {
            let program = facts.program(&kill.process);
            let why = format!("it is a shell ({program}), which waits for its child and passes no signal on to it");
            found.needed(kill, &why, EXEC);
        }
    }
    let left = facts.of_stop("group_left").map(|event| (event.text("process"), "its child"));
    let left = left.filter(|(process, _)| facts.is_shell(process));
    let seen = facts.run.observed.shells.iter().map(|(process, child)| (process.as_str(), child.as_str()));
    for (process, child) in left.chain(seen) {
        if !found.explained.contains(process) && !found.names("shell", process) {
            let text = format!(
                "{process} is a shell ({}): it ended at its stop signal and left {child} behind, which was told to stop only then",
                facts.program(process)
            );
            found.warn(process, text, EXEC);
        }
    }
}

pub(super) fn stuck(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found) {
        let (how, help) = match kill.state {
            _ if kill.frozen => {
                ("it was frozen (cgroup.freeze)", "thaw it before the stop: it gets no signal but SIGKILL")
            }
            Some('D') => (
                "it was stuck in the kernel",
                "look at the file system or device that it waits for: no signal ends such a wait",
            ),
            Some('T') => ("a signal had stopped it", "find who sends it SIGSTOP or SIGTSTP"),
            Some('t') => ("a debugger held it", "detach the debugger before the stop"),
            _ => continue,
        };
        let place = if kill.wchan.is_empty() { String::new() } else { format!(" in {}", kill.wchan) };
        found.needed(kill, &format!("{how}{place}"), help);
    }
}

pub(super) fn job_cut(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found) {
        if facts.run.program(&kill.process).is_some_and(|setup| setup.task) {
            let text = format!("{} is a task, and was cut off by SIGKILL {}", kill.process, when(kill));
            let help = format!(
                "give its stop the time that the rest of a run takes: stop = {{ signal = \"{}\", wait = \"…\" }} and a longer grace; or make it safe to \
                 run again, and let it end at the signal",
                signal(kill)
            );
            found.kill(kill, text, help);
        }
    }
}

pub(super) fn wrong_signal(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found) {
        let Some(program) = programs::named(facts.program(&kill.process)) else { continue };
        let Some(preset) = &program.preset else { continue };
        if program.stop.to_string() != signal(kill) {
            let why = format!("{} ends gracefully upon {}", program.name(), program.stop);
            found.needed(kill, &why, format!("write stop = \"{}\"", preset.word()));
        }
    }
}

pub(super) fn slow_stop(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found).into_iter().filter(|kill| kill.signal_is == "caught") {
        let (busy, help) = match kill.connections {
            0 => {
                let longer = facts.longer_by(kill.waited.max(Duration::from_secs(5)));
                let help = format!(
                    "find what it does after the signal (diagnose = \"SIGQUIT\" makes a JVM or Go program say it), or give it more time: {longer}"
                );
                (String::new(), help)
            }
            n => {
                let help = "it waits for its clients: close idle keep-alive connections at the signal, or drain before it ([[drain]] wait_idle)";
                (format!(", {n} connections open"), help.to_owned())
            }
        };
        found.needed(kill, &format!("it handles {}, and had not finished{busy}{}", signal(kill), said(kill)), help);
    }
}

pub(super) fn deaf(facts: &Facts<'_>, found: &mut Found) {
    const HELP: &str = "have the program end at that signal, or name the one that ends it (stop = \"SIGINT\"; docs/programs.md); is it started through a \
                        shell or another wrapper that does not pass signals on?";
    for kill in facts.killed(found).into_iter().filter(|kill| kill.after.is_some()) {
        let how = match kill.signal_is.as_str() {
            "ignored" => "ignores",
            "blocked" => "blocks",
            _ => "did nothing about",
        };
        found.needed(kill, &format!("it {how} {}{}", signal(kill), said(kill)), HELP);
    }
}

pub(super) fn workers(facts: &Facts<'_>, found: &mut Found) {
    const HELP: &str = "stop the master with the signal upon which it waits for its workers (stop = \"nginx\" and other presets: docs/programs.md), leave \
                        signal_to at \"process\", and give what is left behind time: [stragglers] timeout";
    let known = found.has("port-held");
    for kill in facts.kills.iter().filter(|kill| kill.stragglers) {
        found.explained.insert(kill.process.clone());
        if !known {
            let whose = &kill.process;
            let text = format!("what {whose} left behind in its process group needed SIGKILL: its workers outlived it");
            found.error(whose, text, HELP);
        }
    }
    for event in facts.stragglers_killed().filter(|_| !known) {
        let which = event.list("which");
        let which = if which.is_empty() { String::new() } else { format!(": {}", which.join(", ")) };
        let text = format!("{} that the processes left behind needed SIGKILL{which}", event.count("count"));
        found.error("", text, HELP);
    }
}

/// What others had started was signalled in the middle of its work.
pub(super) fn orphan_cut(facts: &Facts<'_>, found: &mut Found) {
    if ["daemon", "shell", "port-held", "workers"].iter().any(|rule| found.has(rule)) {
        return;
    }
    if let Some(event) = facts.of_stop("stragglers").find(|event| event.text("signal") != "SIGKILL") {
        let which = event.list("which").join(", ");
        let who = if which.is_empty() { format!("{} processes", event.count("count")) } else { which };
        let text = format!(
            "{who}, started by a process that had ended, got {} in the middle of its work {} after the stop request",
            event.text("signal"),
            Human(facts.run.since_stop(event))
        );
        let help = "let jobs end by themselves: [stragglers] wait = \"10s\" (wrapper: --stragglers-wait 10s), within the grace";
        found.warn("", text, help);
    }
}

pub(super) fn sigkill(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found) {
        let (process, when) = (&kill.process, when(kill));
        let text = match &kill.after {
            None => format!("{process} got SIGKILL {when}, before any stop signal: no time was left for it"),
            Some(_) => format!("{process} needed SIGKILL {when}"),
        };
        found.kill(kill, text, "give the stop of the processes time that no drain can take: stop_reserve");
    }
    // Tasks that were interrupted, and what the summary alone names.
    for who in facts.run.end.iter().flat_map(|end| &end.forced) {
        if facts.run.program(who).is_some() && !found.explained.contains(who) {
            found.error(who, format!("{who} needed SIGKILL"), "see the report's timeline for what came before");
        }
    }
}
