//! What went wrong in a run, in words, and the change that would help: a table, each row a condition on what is known of it. Pure.
//!
//! Earlier rows are more certain: what one has explained of a process the general ones below it do not say again. docs/report.md lists them.
//! Those of [`outside`] are for what only `softstop drill` has seen.

mod outside;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::slices::Kill;
use super::{Outcome, Part, Run, Slice};
use crate::picture::{Remark, Weight};
use crate::programs;
use crate::sorted;
use crate::time::Human;

/// Something that went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The row's.
    #[serde(rename = "rule")]
    pub name: &'static str,
    #[serde(serialize_with = "weight")]
    pub weight: Weight,
    /// The process or step that it is about; empty: the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    pub text: String,
    /// The change that would help.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde has it so")]
fn weight<S: Serializer>(weight: &Weight, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(weight.name())
}

impl Finding {
    /// It never ran as it should, so nothing is known of its stop.
    pub fn is_never_ready(&self) -> bool {
        self.name == outside::NEVER_READY
    }

    /// Something is to be changed: it is no mere note.
    pub fn counts(&self) -> bool {
        self.weight < Weight::Note
    }

    /// The same of another run, in which times are others.
    pub fn is_same(&self, other: &Finding) -> bool {
        self.name == other.name && self.subject == other.subject
    }
}

impl From<Finding> for Remark {
    fn from(finding: Finding) -> Remark {
        Remark { weight: finding.weight, text: finding.text, help: finding.help }
    }
}

/// One thing that is looked for.
pub struct Rule {
    pub name: &'static str,
    /// For the page: when it is found.
    pub when: &'static str,
    find: fn(&Facts<'_>, &mut Found),
}

pub const RULES: &[Rule] = &[
    Rule { name: "daemon", when: "a program went into the background", find: daemon },
    Rule { name: outside::NEVER_READY, when: "drill: it was not ready in time", find: outside::never_ready },
    Rule { name: "ended", when: "drill: it ended before the stop was requested", find: outside::ended },
    Rule { name: "crash", when: "drill: after a crash it was not ready again", find: outside::crash },
    Rule { name: "no-end", when: "the report has no end, or the runner sent SIGKILL", find: no_end },
    Rule { name: "last-call", when: "SIGTERM came while the preStop hook was still waited for", find: last_call },
    Rule { name: "shell", when: "a shell needed SIGKILL, or ended and left its child behind", find: shell },
    Rule { name: "stuck", when: "SIGKILL to a process in state `D`, `T`, `t`, or frozen", find: stuck },
    Rule { name: "job-cut", when: "a task (`kind = \"task\"`, `schedule`) needed SIGKILL", find: job_cut },
    Rule {
        name: "wrong-signal",
        when: "a known program needed SIGKILL after a signal that is not its own",
        find: wrong_signal,
    },
    Rule { name: "slow-stop", when: "SIGKILL to a process that catches its stop signal", find: slow_stop },
    Rule {
        name: "deaf",
        when: "SIGKILL to a process that ignores, blocks or does not act on its stop signal",
        find: deaf,
    },
    Rule {
        name: "port-held",
        when: "a process said that its address is already in use; drill: requests were taken by the socket of what was left behind",
        find: port_held,
    },
    Rule { name: "workers", when: "what a process left behind needed SIGKILL", find: workers },
    Rule { name: "sigkill", when: "anything else needed SIGKILL", find: sigkill },
    Rule {
        name: "orphan-cut",
        when: "what a process had left behind was signalled in the middle of its work",
        find: orphan_cut,
    },
    Rule { name: "readiness", when: "`/readyz` stayed a success during the drain", find: readiness },
    Rule { name: "drain-cut", when: "a drain step was cut short or had no time", find: drain_cut },
    Rule { name: "drain-short", when: "a drain step gave up waiting; drill: requests were refused", find: drain_short },
    Rule { name: "cut-off", when: "drill: requests that were taken got no whole answer", find: outside::cut_off },
    Rule { name: "server-errors", when: "drill: answers of 500 and above", find: outside::server_errors },
    Rule { name: "no-answer", when: "drill: no answer within `--patience`", find: outside::no_answer },
    Rule { name: "slow-flush", when: "a post_stop step was cut short, timed out or had no time", find: slow_flush },
    Rule { name: "grace-small", when: "the grace was over before everything had ended", find: grace_small },
    Rule { name: "step-failed", when: "a step failed", find: step_failed },
    Rule { name: "out-of-memory", when: "the kernel's OOM killer has killed something", find: out_of_memory },
    Rule { name: "crash-loop", when: "a process was started again five times or more", find: crash_loop },
    Rule { name: "left", when: "drill: something was still there after softstop's end", find: outside::left },
    Rule { name: "no-hook", when: "a drain in a pod without a preStop hook", find: no_hook },
    Rule { name: "starved", when: "softstop itself got no processor time during the stop", find: starved },
    Rule {
        name: "nearly-spent",
        when: "all went well, with less than a tenth of the grace to spare",
        find: nearly_spent,
    },
];

/// Everything that is found, in the order of the table.
pub fn of(run: &Run) -> Vec<Finding> {
    let facts = Facts { run, slices: run.slices(), kills: run.kills() };
    let mut found = Found { list: Vec::new(), explained: BTreeSet::new(), rule: "" };
    for rule in RULES {
        found.rule = rule.name;
        (rule.find)(&facts, &mut found);
    }
    sorted::by_key(&mut found.list, |finding| finding.weight);
    found.list
}

struct Facts<'a> {
    run: &'a Run,
    slices: Vec<Slice>,
    kills: Vec<Kill>,
}

struct Found {
    list: Vec<Finding>,
    /// Processes whose SIGKILL has been explained.
    explained: BTreeSet<String>,
    rule: &'static str,
}

impl Found {
    fn has(&self, rule: &str) -> bool {
        self.list.iter().any(|finding| finding.name == rule)
    }

    fn names(&self, rule: &str, subject: &str) -> bool {
        self.list.iter().any(|finding| finding.name == rule && finding.subject == subject)
    }

    fn error(&mut self, subject: &str, text: String, help: impl Into<String>) {
        self.note(Weight::Error, subject, text, help.into());
    }

    fn warn(&mut self, subject: &str, text: String, help: impl Into<String>) {
        self.note(Weight::Warning, subject, text, help.into());
    }

    fn note(&mut self, weight: Weight, subject: &str, text: String, help: String) {
        self.list.push(Finding { name: self.rule, weight, subject: subject.to_owned(), text, help });
    }

    /// The same of a process's SIGKILL.
    fn kill(&mut self, kill: &Kill, text: String, help: impl Into<String>) {
        self.explained.insert(kill.process.clone());
        self.error(&kill.process, text, help);
    }
}

impl Facts<'_> {
    fn program(&self, process: &str) -> &str {
        self.run.program(process).map_or("", |setup| setup.program.as_str())
    }

    fn is_shell(&self, process: &str) -> bool {
        let program = self.program(process);
        programs::is_shell(program) || [".sh", ".bash"].iter().any(|end| program.ends_with(end))
    }

    fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a super::Event> {
        self.run.events.iter().filter(move |event| event.name == name)
    }

    fn stragglers_killed(&self) -> impl Iterator<Item = &super::Event> {
        self.run.of_stop().filter(|event| event.name == "stragglers" && event.text("signal") == "SIGKILL")
    }

    fn steps(&self, part: Part) -> impl Iterator<Item = &Slice> {
        self.slices.iter().filter(move |slice| slice.part == part)
    }

    /// Processes killed, not what they left behind, whose SIGKILL no row has explained.
    fn killed<'a>(&'a self, found: &Found) -> Vec<&'a Kill> {
        self.kills.iter().filter(|kill| !kill.stragglers && !found.explained.contains(&kill.process)).collect()
    }

    /// With room for so much more, in whole seconds.
    fn longer_by(&self, more: Duration) -> String {
        let grace = self.run.grace.unwrap_or_default().saturating_add(more);
        let secs = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        format!("grace = \"{secs}s\" and terminationGracePeriodSeconds: {secs}")
    }
}

/// `20.0s after SIGTERM`; of one that had no time at all: `at the deadline`.
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

fn no_end(facts: &Facts<'_>, found: &mut Found) {
    let run = facts.run;
    let at = run.observed.killed.or((run.end.is_none() && run.stop_began.is_some()).then(|| run.last()));
    let Some(at) = at else { return };
    let running: Vec<&str> =
        facts.slices.iter().filter(|slice| slice.outcome == Outcome::Open).map(|slice| slice.name.as_str()).collect();
    let doing = if running.is_empty() { String::new() } else { format!(", during: {}", running.join(", ")) };
    let late = run.observed.killed.and(run.grace).filter(|grace| at >= *grace);
    if let Some(grace) = late {
        let text =
            format!("it was still there after the grace of {}, when a kubelet sends SIGKILL{doing}", Human(grace));
        let help = "look at the log: softstop itself is to be gone by then, so the machine did not let it run";
        return found.error("", text, help);
    }
    found.error(
        "",
        format!("softstop was killed before the end of the stop, {} after the request or later{doing}", Human(at)),
        "whoever runs the container waits for less than `grace`: terminationGracePeriodSeconds (less what a preStop hook takes before softstop \
         is told), `docker stop -t`, stop_grace_period; softstop check --pod FILE compares them. Or memory ran out: see the container's last state",
    );
}

fn last_call(facts: &Facts<'_>, found: &mut Found) {
    if facts.run.of_stop().any(|event| event.name == "stop_again" && event.text("effect") == "last_call") {
        found.error(
            "",
            "SIGTERM came while the preStop hook was still waited for: the pod's whole grace was used up by the drain, and two seconds were left"
                .to_owned(),
            "raise terminationGracePeriodSeconds to `grace`, or lower the timeouts of the drain",
        );
    }
}

fn shell(facts: &Facts<'_>, found: &mut Found) {
    const EXEC: &str =
        "write exec before the last command of the script (sh -c 'exec app'), or name the program itself in `command`";
    for kill in facts.killed(found) {
        // One that has no child is deaf by itself.
        if facts.is_shell(&kill.process) && kill.children != Some(0) {
            let text = format!(
                "{} needed SIGKILL {}: it is a shell ({}), which waits for its child and passes no signal on to it",
                kill.process,
                when(kill),
                facts.program(&kill.process)
            );
            found.kill(kill, text, EXEC);
        }
    }
    let left = facts.run.of_stop().filter(|event| event.name == "group_left");
    let left = left.map(|event| (event.text("process"), "its child")).filter(|(process, _)| facts.is_shell(process));
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

fn stuck(facts: &Facts<'_>, found: &mut Found) {
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
        found.kill(kill, format!("{} needed SIGKILL {}: {how}{place}", kill.process, when(kill)), help);
    }
}

fn job_cut(facts: &Facts<'_>, found: &mut Found) {
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

fn wrong_signal(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found) {
        let Some(program) = programs::named(facts.program(&kill.process)) else { continue };
        let Some(preset) = &program.preset else { continue };
        if program.stop.to_string() == signal(kill) {
            continue;
        }
        let text = format!(
            "{} needed SIGKILL {}: {} ends gracefully upon {}",
            kill.process,
            when(kill),
            program.name(),
            program.stop
        );
        found.kill(kill, text, format!("write stop = \"{}\"", preset.word()));
    }
}

fn slow_stop(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found).into_iter().filter(|kill| kill.signal_is == "caught") {
        let busy = match kill.connections {
            0 => String::new(),
            n => format!(", {n} connections open"),
        };
        let text = format!(
            "{} needed SIGKILL {}: it handles {}, and had not finished{busy}{}",
            kill.process,
            when(kill),
            signal(kill),
            said(kill)
        );
        let help = if kill.connections > 0 {
            "it waits for its clients: close idle keep-alive connections at the signal, or drain before it ([[drain]] wait_idle)".to_owned()
        } else {
            let longer = facts.longer_by(kill.waited.max(Duration::from_secs(5)));
            format!(
                "find what it does after the signal (diagnose = \"SIGQUIT\" makes a JVM or Go program say it), or give it more time: {longer}"
            )
        };
        found.kill(kill, text, help);
    }
}

fn deaf(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found).into_iter().filter(|kill| kill.after.is_some()) {
        let how = match kill.signal_is.as_str() {
            "ignored" => format!("it ignores {}", signal(kill)),
            "blocked" => format!("it blocks {}", signal(kill)),
            _ => format!("it did nothing about {}", signal(kill)),
        };
        let text = format!("{} needed SIGKILL {}: {how}{}", kill.process, when(kill), said(kill));
        let help = "have the program end at that signal, or name the one that ends it (stop = \"SIGINT\"; docs/programs.md); is it started through a \
                    shell or another wrapper that does not pass signals on?";
        found.kill(kill, text, help);
    }
}

fn workers(facts: &Facts<'_>, found: &mut Found) {
    const HELP: &str = "stop the master with the signal upon which it waits for its workers (stop = \"nginx\" and other presets: docs/programs.md), leave \
                        signal_to at \"process\", and give what is left behind time: [stragglers] timeout";
    if found.has("port-held") {
        found.explained.extend(facts.kills.iter().filter(|kill| kill.stragglers).map(|kill| kill.process.clone()));
        return;
    }
    for kill in facts.kills.iter().filter(|kill| kill.stragglers) {
        let text =
            format!("what {} left behind in its process group needed SIGKILL: its workers outlived it", kill.process);
        found.explained.insert(kill.process.clone());
        found.error(&kill.process, text, HELP);
    }
    for event in facts.stragglers_killed() {
        let which = event.list("which");
        let which = if which.is_empty() { String::new() } else { format!(": {}", which.join(", ")) };
        let text = format!("{} that the processes left behind needed SIGKILL{which}", event.count("count"));
        found.error("", text, HELP);
    }
}

/// What others had started was signalled in the middle of its work.
fn orphan_cut(facts: &Facts<'_>, found: &mut Found) {
    if ["daemon", "shell", "port-held", "workers"].iter().any(|rule| found.has(rule)) {
        return;
    }
    let mut stragglers = facts.run.of_stop().filter(|event| event.name == "stragglers");
    if let Some(event) = stragglers.find(|event| event.text("signal") != "SIGKILL") {
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

fn sigkill(facts: &Facts<'_>, found: &mut Found) {
    for kill in facts.killed(found) {
        let text = if kill.after.is_none() {
            format!("{} got SIGKILL {}, before any stop signal: no time was left for it", kill.process, when(kill))
        } else {
            format!("{} needed SIGKILL {}", kill.process, when(kill))
        };
        found.kill(kill, text, "give the stop of the processes time that no drain can take: stop_reserve");
    }
    // Tasks that were interrupted, and what the summary alone names.
    let Some(end) = &facts.run.end else { return };
    let known = |who: &&String| facts.run.program(who).is_some() && !found.explained.contains(*who);
    let left: Vec<String> = end.forced.iter().filter(known).cloned().collect();
    for who in left {
        found.error(&who, format!("{who} needed SIGKILL"), "see the report's timeline for what came before");
    }
}

fn daemon(facts: &Facts<'_>, found: &mut Found) {
    for event in facts.events("in_background") {
        let (process, command) = (event.text("process"), event.text("command"));
        let help = match event.text("instead") {
            "" => "keep it in the foreground, so that its end, its restarts and its stop are known".to_owned(),
            instead => format!("keep it in the foreground: {instead}"),
        };
        let text = format!(
            "{process} went into the background ({command}, pid {}): softstop saw its end, not the server's",
            event.count("pid")
        );
        found.error(process, text, help);
    }
}

fn drain_cut(facts: &Facts<'_>, found: &mut Found) {
    for step in facts.steps(Part::Drain) {
        let why = if step.reason.is_empty() { String::new() } else { format!(": {}", step.reason) };
        match step.outcome {
            Outcome::Cut => {
                let text = format!("drain step {:?} was cut short after {}{why}", step.name, Human(step.took()));
                let longer = facts.longer_by(step.took().max(Duration::from_secs(5)));
                found.warn(
                    &step.name,
                    text,
                    format!("give the whole more time ({longer}), or this step a `timeout` that fits and a `reserve`"),
                );
            }
            Outcome::NoTime => {
                let text = format!("drain step {:?} never began: no time was left for it", step.name);
                found.warn(
                    &step.name,
                    text,
                    "give it a `reserve`, which the steps before it cannot take, or lower their timeouts",
                );
            }
            _ => {}
        }
    }
}

fn drain_short(facts: &Facts<'_>, found: &mut Found) {
    for step in facts.steps(Part::Drain).filter(|step| step.outcome == Outcome::TimedOut) {
        let why = if step.reason.is_empty() { String::new() } else { format!(": {}", step.reason) };
        let text = format!("drain step {:?} gave up after {}{why}", step.name, Human(step.took()));
        found.warn(
            &step.name,
            text,
            "raise its `timeout`, and `grace` with it; or have clients close: docs/stop/drain.md",
        );
    }
    outside::refused(facts, found);
}

fn slow_flush(facts: &Facts<'_>, found: &mut Found) {
    for step in facts.steps(Part::PostStop) {
        let (how, help) = match step.outcome {
            Outcome::Cut => (
                format!("was cut short after {}", Human(step.took())),
                "give it a `reserve` as long as it takes, and `grace` room for that",
            ),
            Outcome::TimedOut => {
                (format!("timed out after {}", Human(step.took())), "raise its `timeout` and `reserve`")
            }
            Outcome::NoTime => (
                "never began: no time was left for it".to_owned(),
                "give it a `reserve`, which nothing before it can take",
            ),
            _ => continue,
        };
        found.warn(&step.name, format!("post_stop step {:?} {how}", step.name), help);
    }
}

fn grace_small(facts: &Facts<'_>, found: &mut Found) {
    let late = facts.run.of_stop().filter(|event| event.name == "out_of_time");
    let mut who: Vec<String> =
        late.map(|event| event.text("waiting_for").to_owned()).filter(|who| !who.is_empty()).collect();
    who.extend(facts.kills.iter().filter(|kill| kill.out_of_time).map(|kill| kill.process.clone()));
    sorted::sort(&mut who);
    who.dedup();
    // Of these it has been said what would help.
    who.retain(|who| {
        !["shell", "stuck", "wrong-signal", "slow-stop", "deaf"].iter().any(|rule| found.names(rule, who))
    });
    let over = facts.run.end.as_ref().is_some_and(|end| !end.within_grace);
    if who.is_empty() && !over {
        return;
    }
    let grace = facts.run.grace.unwrap_or_default();
    let text = match who.as_slice() {
        [] => format!("the stop took longer than the grace of {}", Human(grace)),
        who => format!("the grace of {} was over before {} had had its time", Human(grace), who.join(", ")),
    };
    let help = format!(
        "softstop plan shows what the configuration asks for; raise the grace ({}), or lower the waits and timeouts before",
        facts.longer_by(grace / 2)
    );
    found.error("", text, help);
}

fn readiness(facts: &Facts<'_>, found: &mut Found) {
    let (seen, keeps) = (&facts.run.observed, facts.run.setup.keeps_ready);
    let drained = facts.steps(Part::Drain).next().is_some();
    let help = if keeps {
        "leave readiness_on_drain out, unless something else takes the instance out of the balancer"
    } else {
        "probe softstop's /readyz ([http] listen = \":9180\"), which turns 503 at the request, and not the program's own"
    };
    if let Some(at) = seen.ready_until {
        let text =
            format!("readiness was still a success {} after the stop request: load balancers go on sending", Human(at));
        found.error("", text, help);
    } else if keeps && drained && !seen.clients {
        let text = "readiness stayed during the drain (readiness_on_drain = \"keep\"): load balancers went on sending";
        found.warn("", text.to_owned(), help);
    }
}

fn step_failed(facts: &Facts<'_>, found: &mut Found) {
    for step in facts.slices.iter().filter(|slice| slice.outcome == Outcome::Failed) {
        let text = format!("step {:?} failed: {}", step.name, step.reason);
        found.warn(&step.name, text, "its own lines say why; on_failure = \"ignore\" where that is as it should be");
    }
}

fn out_of_memory(facts: &Facts<'_>, found: &mut Found) {
    const HELP: &str = "raise the container's memory limit, or lower what the program takes";
    for event in facts.events("oom_killed") {
        let process = event.text("process");
        found.error(process, format!("{process} was killed by the kernel: out of memory"), HELP);
    }
    if let Some(event) = facts.events("oom_killed_others").last() {
        let text = format!(
            "the kernel has killed {} processes that softstop did not start itself: out of memory",
            event.count("count")
        );
        found.error("", text, HELP);
    }
}

fn port_held(facts: &Facts<'_>, found: &mut Found) {
    let mut known = BTreeSet::new();
    for event in facts.events("last_output") {
        let process = event.text("process");
        let says = |line: &&str| {
            let line = line.to_ascii_lowercase();
            line.contains("address already in use") || line.contains("eaddrinuse")
        };
        if let Some(line) = event.list("lines").into_iter().find(says)
            && known.insert(process.to_owned())
        {
            let text = format!("{process} could not have its port: {line:?}");
            let help = "an earlier process still holds it: one that went into the background, or a worker that outlived its master; [[socket]] holds a \
                        port over restarts";
            found.error(process, text, help);
        }
    }
    outside::socket_kept(facts, found);
}

fn crash_loop(facts: &Facts<'_>, found: &mut Found) {
    let mut most: Vec<(&str, u64)> = Vec::new();
    for event in facts.events("started") {
        let (process, restarts) = (event.text("process"), event.count("restarts"));
        match most.iter_mut().find(|(name, _)| *name == process) {
            Some((_, known)) => *known = restarts.max(*known),
            None => most.push((process, restarts)),
        }
    }
    for (process, restarts) in most.into_iter().filter(|(_, restarts)| *restarts >= 5) {
        let text = format!("{process} was started again {restarts} times");
        found.warn(process, text, "its last output is in the report (last_output)");
    }
}

fn no_hook(facts: &Facts<'_>, found: &mut Found) {
    if facts.events("no_hook").next().is_some() {
        let text = "the drain began with SIGTERM: no preStop hook told softstop of the stop before".to_owned();
        let help = "add lifecycle: { preStop: { exec: { command: [\"/softstop\", \"drain\"] } } }, which softstop manifest prints".to_owned();
        found.note(Weight::Note, "", text, help);
    }
}

fn starved(facts: &Facts<'_>, found: &mut Found) {
    let lost: Duration = facts
        .run
        .of_stop()
        .filter(|event| event.name == "starved")
        .filter_map(|event| event.secs("lost_seconds"))
        .sum();
    if !lost.is_zero() {
        let text = format!("softstop itself got no processor time for {} during the stop", Human(lost));
        found.note(
            Weight::Note,
            "",
            text,
            "raise the container's CPU limit or request: a stop needs processor time, too".to_owned(),
        );
    }
}

fn nearly_spent(facts: &Facts<'_>, found: &mut Found) {
    let (Some(end), Some(grace), true) = (&facts.run.end, facts.run.grace, !found.list.iter().any(Finding::counts))
    else {
        return;
    };
    let left = grace.saturating_sub(end.took);
    if facts.run.stop_began.is_some() && left < grace / 10 {
        let text = format!("{} of the grace of {} were left", Human(left), Human(grace));
        found.note(Weight::Note, "", text, format!("leave some room: {}", facts.longer_by(grace / 4)));
    }
}
