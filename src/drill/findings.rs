//! What went wrong, and the change that would help: a table of rules over what was measured. Pure.

use std::time::Duration;

use serde::Serialize;

use super::record::{Event, Record};
use super::run::{AtStop, Run, Setup};
use super::tally::{Failures, Why};
use crate::time::Human;

/// Something that went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// One word, stable.
    pub rule: &'static str,
    /// A process, a step, or what drill itself did.
    pub who: String,
    /// One line.
    pub what: String,
    /// What to do about it; one line.
    pub change: String,
}

type Rule = (&'static str, fn(&Run, &Setup, &mut Findings));

/// In the order in which they are said: what explains others comes before them.
const RULES: &[Rule] = &[
    ("background", background),
    (NEVER_READY, never_ready),
    ("ended", ended),
    ("shell", shell),
    ("port_held", port_held),
    ("stragglers", stragglers),
    ("deaf", killed),
    ("step", step),
    ("job_cut", job_cut),
    ("late", late),
    ("readiness_stays", readiness_stays),
    ("drain_short", drain_short),
    ("cut_off", cut_off),
    ("server_errors", server_errors),
    ("no_answer", no_answer),
    ("crash", crash),
    ("left", left),
];

/// Its row: nothing is known of the stop of what never ran as it should.
pub const NEVER_READY: &str = "never_ready";

/// Shells, as the kernel names them.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"];

/// What was found so far.
#[derive(Default)]
struct Findings {
    rule: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, who: &str, what: String, change: String) {
        self.add_as(self.rule, who, what, change);
    }

    fn add_as(&mut self, rule: &'static str, who: &str, what: String, change: String) {
        self.list.push(Finding { rule, who: who.to_owned(), what, change });
    }

    fn has(&self, rule: &str) -> bool {
        self.list.iter().any(|finding| finding.rule == rule)
    }

    fn names(&self, rule: &str, who: &str) -> bool {
        self.list.iter().any(|finding| finding.rule == rule && finding.who == who)
    }
}

/// Everything that went wrong in a run; nothing: all went well.
pub fn of(run: &Run, setup: &Setup) -> Vec<Finding> {
    let mut found = Findings::default();
    for (rule, check) in RULES {
        found.rule = rule;
        check(run, setup, &mut found);
    }
    found.list
}

fn events<'a>(run: &'a Run, name: &'a str) -> impl Iterator<Item = (&'a Record, &'a Event)> {
    run.record.iter().flat_map(move |record| record.named(name).map(move |event| (record, event)))
}

/// It has forked and gone on behind softstop's back.
fn background(run: &Run, _: &Setup, found: &mut Findings) {
    for (_, event) in events(run, "in_background") {
        let process = event.text("process");
        let what =
            format!("{process}: {} (pid {}) went on in the background", event.text("command"), event.number("pid"));
        let change = match event.text("instead") {
            "" => "keep it in the foreground: most servers have a flag for that, -f, -D or --nodaemon".to_owned(),
            instead => format!("keep it in the foreground: {instead}"),
        };
        found.add(process, what, change);
    }
}

fn never_ready(run: &Run, _: &Setup, found: &mut Findings) {
    if let Some(why) = run.never_ready.as_ref().filter(|_| !found.has("background")) {
        let change = "its lines above say more; --ready-timeout gives it longer".to_owned();
        found.add("softstop", format!("it was stopped before it was ready: {why}"), change);
    }
}

fn ended(run: &Run, _: &Setup, found: &mut Findings) {
    if run.requested || run.crash.is_some() || found.has("background") {
        return;
    }
    let (cause, code) = run
        .record
        .as_ref()
        .map_or((String::new(), run.exit_code), |record| (format!(" ({})", record.cause), Some(record.exit_code)));
    let code = code.map_or_else(String::new, |code| format!(" with exit code {code}"));
    let what = format!("it ended{code} before the stop was requested{cause}");
    found.add(
        "softstop",
        what,
        "its last lines say why; a drill needs something that runs until it is stopped".to_owned(),
    );
}

/// A shell that runs the program as its child: it passes no signal on, and what it leaves behind is signalled late.
fn shell(run: &Run, setup: &Setup, found: &mut Findings) {
    let is_shell = |process: &&AtStop| SHELLS.contains(&process.command.as_str()) && process.children > 0;
    for process in run.at_stop.iter().filter(is_shell) {
        let name = process.name.as_str();
        let forced = run.record.as_ref().is_some_and(|record| record.forced.iter().any(|forced| forced == name));
        let to_group = setup.program(name).is_some_and(|program| program.to_group);
        // One that ignores it does so itself, whatever is below it; one that catches it may pass it on.
        if process.ignores_sigterm || !forced && (process.catches_sigterm || to_group) {
            continue;
        }
        let what = if forced {
            format!("{name}: needed SIGKILL: it is a shell, and {} below it was never told to stop", process.child)
        } else {
            format!(
                "{name}: it is a shell, which ends at once and leaves {} behind, not told to stop before",
                process.child
            )
        };
        let argv = setup.program(name).map_or(&[][..], |program| &program.argv);
        let change = match argv {
            [_, flag, script, ..] if flag.starts_with('-') && flag.contains('c') => format!(
                "name the program itself, or write exec before it: command = [\"sh\", \"-c\", \"exec {}\"]",
                script.trim_start_matches("exec ").replace('"', "'")
            ),
            _ => "write exec before the program in the last line of the script: exec /app/server".to_owned(),
        };
        found.add(name, what, change);
    }
}

/// What was left behind needed SIGKILL.
fn stragglers_killed(run: &Run) -> Option<(Duration, String)> {
    let mut last = None;
    for (record, event) in events(run, "killed").filter(|(_, event)| event.is("stragglers")) {
        last = Some((record.since_request(event), format!("what {} left in its group", event.text("process"))));
    }
    for (record, event) in events(run, "stragglers") {
        let which = event.list("which").join(", ");
        if event.text("signal") == "SIGKILL" {
            return Some((record.since_request(event), which));
        }
        last = Some((record.since_request(event), which));
    }
    let forced = run.record.as_ref()?.forced.iter().any(|who| run.at_stop.iter().all(|process| process.name != *who));
    last.filter(|_| forced)
}

/// Requests were taken by nobody: a helper that was left behind has the listening socket.
fn port_held(run: &Run, setup: &Setup, found: &mut Findings) {
    let (Some((_, which)), Some(call)) = (stragglers_killed(run), &setup.load) else { return };
    let unanswered = [Why::Timeout, Why::Cut, Why::Reset].into_iter().filter_map(|why| failures(run, why));
    let count: u64 = unanswered.map(|failures| failures.count).sum();
    if count == 0 {
        return;
    }
    let which = if which.is_empty() { "what was left behind".to_owned() } else { which };
    let what = format!(
        "port {}: {count} requests were taken and never answered after its server had ended: {which} still holds it",
        call.port
    );
    let change = "have the server close its listening socket in what it starts (close-on-exec), or end that with it: signal_to = \"group\"";
    found.add(&format!("port {}", call.port), what, change.to_owned());
}

fn stragglers(run: &Run, _: &Setup, found: &mut Findings) {
    if found.has("port_held") || found.has("background") || found.has("shell") {
        return;
    }
    if let Some((at, which)) = stragglers_killed(run) {
        let which = if which.is_empty() { String::new() } else { format!(" ({which})") };
        let what = format!("what the processes left behind{which} needed SIGKILL {} after the stop request", Human(at));
        let change =
            "have its parent end it, or give it time and a signal that it takes: [stragglers] signal and timeout";
        found.add("stragglers", what, change.to_owned());
    }
}

/// Processes that needed SIGKILL, by what they made of the signal before.
fn killed(run: &Run, setup: &Setup, found: &mut Findings) {
    for (_, event) in events(run, "killed").filter(|(_, event)| !event.is("stragglers")) {
        let name = event.text("process");
        if found.names("shell", name) || found.names("deaf", name) || found.names("slow", name) {
            continue;
        }
        let signal = match event.text("after") {
            "" => "its stop signal",
            signal => signal,
        };
        let waited = Human(event.seconds("waited_seconds"));
        let process = run.at_stop.iter().find(|process| process.name == name);
        let ignores = process.is_some_and(|process| process.ignores_sigterm && signal == "SIGTERM");
        let catches = process.is_some_and(|process| process.catches_sigterm && signal == "SIGTERM");
        if ignores || !catches {
            let does = if ignores { "ignores" } else { "did not end upon" };
            let what = format!("{name}: {does} {signal}; SIGKILL after {waited}");
            let change = format!(
                "have it end upon {signal}, or name the signal that it ends upon: {}",
                if setup.wrapper { "--stop-signal QUIT" } else { "stop = \"SIGQUIT\"" }
            );
            found.add_as("deaf", name, what, change);
            continue;
        }
        let what = format!("{name}: catches {signal} and was still at work when it was killed after {waited}");
        let longer = run.grace.0 * 2;
        let change = if event.is("out_of_time") {
            format!(
                "give it more time, softstop drill --grace {} shows how much it takes; or have it do less at its end",
                short(longer)
            )
        } else {
            "its own ladder was too short: a longer wait in stop, or have it do less at its end".to_owned()
        };
        found.add_as("slow", name, what, change);
    }
}

/// A duration as it is typed.
fn short(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

/// Steps of the drain and after it that were not done.
fn step(run: &Run, _: &Setup, found: &mut Findings) {
    for step in run.record.iter().flat_map(|record| &record.steps) {
        let took = Human(step.took.0);
        let why = if step.why.is_empty() { String::new() } else { format!(" ({})", step.why) };
        let (what, change) = match step.outcome.as_str() {
            "cut" => (
                format!("was cut short after {took}, all that the grace left to it{why}"),
                "hold time for it: reserve for this step, or a longer grace; or have it do less".to_owned(),
            ),
            "no_time" => (
                "was not begun: nothing of the grace was left".to_owned(),
                "hold time for it: reserve for this step, or a longer grace".to_owned(),
            ),
            "timed_out" => (
                format!("did not end within its timeout of {took}{why}"),
                "a longer timeout for this step, or have it do less".to_owned(),
            ),
            "failed" => (
                format!("failed after {took}{why}"),
                "its own lines say why; on_failure = \"ignore\" where that is as it should be".to_owned(),
            ),
            _ => continue,
        };
        found.add(&step.name, format!("{} step {}: {what}", step.kind, step.name), change);
    }
}

/// What others had started was signalled in the middle of its work.
fn job_cut(run: &Run, _: &Setup, found: &mut Findings) {
    if ["background", "shell", "port_held", "stragglers"].iter().any(|rule| found.has(rule)) {
        return;
    }
    let first = events(run, "stragglers").find(|(_, event)| event.text("signal") != "SIGKILL");
    if let Some((record, event)) = first.filter(|_| run.requested) {
        let (signal, which) = (event.text("signal"), event.list("which").join(", "));
        let who = if which.is_empty() { format!("{} processes", event.number("count")) } else { which };
        let at = Human(record.since_request(event));
        let what =
            format!("{who}, started by a process that had ended, got {signal} in the middle of its work after {at}");
        let change =
            "let jobs end by themselves: [stragglers] wait = \"10s\" (--stragglers-wait 10s), within the grace"
                .to_owned();
        found.add("stragglers", what, change);
    }
}

fn late(run: &Run, _: &Setup, found: &mut Findings) {
    let over = run.record.as_ref().is_some_and(|record| record.began.is_some() && !record.within_grace);
    if run.killed || over {
        let grace = Human(run.grace.0);
        let what = format!("it was still there at the end of the grace of {grace}, when a kubelet sends SIGKILL");
        let change =
            "look at the log: softstop itself is to be gone by then, so the machine did not let it run".to_owned();
        found.add("softstop", what, change);
    }
}

fn failures(run: &Run, why: Why) -> Option<&Failures> {
    let load = run.load.as_ref()?;
    load.of(why).filter(|_| run.load_requested.is_some())
}

/// `12 requests, 0.3s to 2.0s after the stop request,`.
fn between(run: &Run, failures: &Failures) -> String {
    let (first, last) = (run.since_request(failures.first), run.since_request(failures.last));
    let s = if failures.count == 1 { "" } else { "s" };
    format!("{} request{s}, {} to {} after the stop request,", failures.count, Human(first), Human(last))
}

/// Balancers go by readiness: while it does not turn they go on.
fn readiness_stays(run: &Run, setup: &Setup, found: &mut Findings) {
    if run.load.is_none() || !run.requested || run.turned_after.is_some() || run.failed() == 0 {
        return;
    }
    let what = format!("readiness did not turn before the end: clients went on, and {} requests failed", run.failed());
    let change = if setup.keeps_ready {
        "take readiness_on_drain = \"keep\" out: /readyz then answers 503 from the stop request on".to_owned()
    } else if let Some(url) = &setup.readiness {
        format!("have the readinessProbe ask softstop's /readyz and not {url}, which knows nothing of the stop")
    } else {
        "serve /readyz and have the readinessProbe ask it: [http] listen = \":9180\"".to_owned()
    };
    found.add("readiness", what, change);
}

fn drain_short(run: &Run, setup: &Setup, found: &mut Findings) {
    let (Some(refused), Some(call)) = (failures(run, Why::Refused), &setup.load) else { return };
    if found.has("readiness_stays") || found.has("ended") || found.has("background") || run.crash.is_some() {
        return;
    }
    let lag = setup.lag.unwrap_or_default();
    let what = format!("{} were refused: clients went on for {}", between(run, refused), Human(lag));
    let least = short(Duration::from_secs((lag.as_secs_f64()).ceil() as u64));
    let change = if setup.wrapper {
        format!("--drain auto --drain-sleep {least} (SOFTSTOP_DRAIN=auto, SOFTSTOP_DRAIN_SLEEP={least})")
    } else {
        format!("a step [[drain]] with wait_idle = {{ port = {}, minimum = \"{least}\" }}", call.port)
    };
    found.add(&format!("port {}", call.port), what, change);
}

/// Taken, and never answered to the end.
fn cut_off(run: &Run, setup: &Setup, found: &mut Findings) {
    if ["ended", "background", "port_held", "readiness_stays"].iter().any(|rule| found.has(rule)) || run.crash.is_some()
    {
        return;
    }
    let Some(cut) = [Why::Cut, Why::Reset].into_iter().filter_map(|why| failures(run, why)).max_by_key(|f| f.count)
    else {
        return;
    };
    let how = cut.why.words();
    let what = format!("{} were {how}: they had been taken, and got no whole answer", between(run, cut));
    let to_group = setup.programs.iter().find(|program| program.to_group);
    let change = match to_group {
        Some(program) => format!(
            "{}: signal_to = \"group\" sends the signal to its workers as well: leave it out, and have it wait for them before it ends",
            program.name
        ),
        None => {
            let port = setup.load.as_ref().map_or(80, |call| call.port);
            let drain = if setup.wrapper {
                "--drain auto".to_owned()
            } else {
                format!("[[drain]] wait_idle = {{ port = {port} }}")
            };
            format!("have the server finish what it has taken before it ends, or wait for it: {drain}")
        }
    };
    let who = to_group.map_or_else(|| "requests".to_owned(), |program| program.name.clone());
    found.add(&who, what, change);
}

fn server_errors(run: &Run, _: &Setup, found: &mut Findings) {
    if let Some(errors) = failures(run, Why::ServerError).filter(|_| run.crash.is_none()) {
        let what = format!("{} were answered with 5xx", between(run, errors));
        let change = "answer requests as ever until the last one: that it stops is said by /readyz alone".to_owned();
        found.add("requests", what, change);
    }
}

fn no_answer(run: &Run, setup: &Setup, found: &mut Findings) {
    if found.has("port_held") || found.has("readiness_stays") || run.crash.is_some() {
        return;
    }
    for failures in [Why::Timeout, Why::Other].into_iter().filter_map(|why| failures(run, why)) {
        let what = format!("{} were {} for {}", between(run, failures), failures.why.words(), Human(setup.patience));
        found.add("requests", what, "is the server stuck, or --patience too short for what it does?".to_owned());
    }
}

/// After a crash it was neither ready again nor did it end.
fn crash(run: &Run, _: &Setup, found: &mut Findings) {
    if let Some(crash) = run.crash.as_ref().filter(|crash| crash.again.is_none() && run.requested) {
        let what = format!("{}: after its crash it was not ready again", crash.process);
        found.add(
            &crash.process,
            what,
            "restart = \"on_failure\" for it; its last lines say why it does not start".to_owned(),
        );
    }
}

fn left(run: &Run, _: &Setup, found: &mut Findings) {
    if !run.left.is_empty() && !run.killed {
        let what = format!("still there after softstop's end: {}", run.left.join(", "));
        found.add("softstop", what, "that is a fault of softstop's: report it, please".to_owned());
    }
}
