//! `/metrics`: the [`Status`] in Prometheus' text format 0.0.4. Pure.
//!
//! Names follow the Prometheus conventions: base units, `_total` on counters and nowhere else, states as one series each
//! with 0 or 1. Cardinality is bounded by the configuration: labels hold names from it and fixed words.

use std::fmt::{Display, Write};

use crate::status::{Phase, ProcessStatus, Seen, State, Status, Why};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric, each with its HELP and TYPE. A metric without a sample now (a stop that has not begun) is left out whole.
pub fn render(status: &Status) -> String {
    let mut page = Page(String::with_capacity(2048 + 1024 * status.processes.len()));
    whole(&mut page, status);
    processes(&mut page, &status.processes);
    if let Some(task) = &status.init {
        let name = "softstop_init_task_running_seconds";
        page.gauge(
            name,
            "How long the current init task has been running.",
            [("task", &task.name)],
            task.running.as_secs_f64(),
        );
    }
    stop(&mut page, status);
    page.0
}

fn whole(page: &mut Page, status: &Status) {
    page.gauge("softstop_info", "The running softstop; always 1.", [("version", status.version)], 1);
    page.head("softstop_phase", "gauge", "1 for the phase the container is in, 0 for the others.");
    for phase in Phase::ALL {
        page.sample("softstop_phase", [("phase", phase.name())], u8::from(status.phase == *phase));
    }
    page.gauge("softstop_started", "1 when /startupz answers 200.", NO_LABELS, u8::from(status.started));
    page.gauge("softstop_ready", "1 when /readyz answers 200.", NO_LABELS, u8::from(status.ready));
    page.gauge("softstop_live", "1 when /livez answers 200.", NO_LABELS, u8::from(status.live));
    page.gauge("softstop_stopping", "1 from the stop request on.", NO_LABELS, u8::from(status.stop.is_some()));
    page.gauge("softstop_uptime_seconds", "Since softstop started.", NO_LABELS, status.uptime.as_secs_f64());
    page.gauge("softstop_grace_seconds", "The whole budget of a stop.", NO_LABELS, status.grace.as_secs_f64());
    page.head("softstop_orphans_reaped_total", "counter", "Processes reaped that softstop did not start itself.");
    page.sample("softstop_orphans_reaped_total", NO_LABELS, status.orphans_reaped);
    seen(page, &status.seen);
}

/// The label `command` has at most 17 values: see [`crate::report::Orphans`].
fn seen(page: &mut Page, seen: &Seen) {
    if !seen.orphans.is_empty() {
        let name = "softstop_orphans_by_command_total";
        page.head(
            name,
            "counter",
            "Processes reaped that softstop did not start itself, by command and the process they came from.",
        );
        for leaked in &seen.orphans {
            let process = leaked.process.as_deref().unwrap_or_default();
            page.sample(name, [("command", leaked.command.as_str()), ("process", process)], leaked.count);
        }
    }
    if let Some(kills) = seen.oom_kills {
        page.head(
            "softstop_oom_kills_total",
            "counter",
            "Processes that the kernel killed in this cgroup because memory had run out.",
        );
        page.sample("softstop_oom_kills_total", NO_LABELS, kills);
    }
    if let Some(pids) = seen.pids {
        page.gauge("softstop_pids_current", "Processes and threads in this cgroup.", NO_LABELS, pids.current);
        page.gauge("softstop_pids_max", "How many there may be (pids.max).", NO_LABELS, pids.max);
    }
}

fn processes(page: &mut Page, processes: &[ProcessStatus]) {
    type Read = fn(&ProcessStatus) -> Option<f64>;
    let table: [(&str, &str, &str, Read); 8] = [
        ("softstop_process_up", "gauge", "1 when the process is running.", |p| bit(p.state == State::Running)),
        ("softstop_process_started", "gauge", "1 when the process counts as started.", |p| bit(p.started)),
        ("softstop_process_ready", "gauge", "1 when the process counts as ready.", |p| bit(p.ready)),
        ("softstop_process_stopped", "gauge", "1 when a signal has stopped the process (SIGSTOP, SIGTTIN).", |p| {
            bit(p.stopped)
        }),
        ("softstop_process_live", "gauge", "1 when the process counts as live.", |p| bit(p.live)),
        ("softstop_process_restarts_total", "counter", "How often the process was restarted.", |p| {
            Some(f64::from(p.restarts))
        }),
        ("softstop_process_running_seconds", "gauge", "Since the process was last started.", |p| {
            p.running.map(|d| d.as_secs_f64())
        }),
        (
            "softstop_process_last_exit_code",
            "gauge",
            "How the process last ended: its exit code, 128 + n for a signal.",
            |p| p.last_exit.as_ref().map(|e| f64::from(e.exit_code)),
        ),
    ];
    for (name, kind, help, read) in table {
        if processes.iter().all(|p| read(p).is_none()) {
            continue;
        }
        page.head(name, kind, help);
        for p in processes {
            if let Some(value) = read(p) {
                page.sample(name, [("process", &p.name)], value);
            }
        }
    }
    scheduled(page, processes);
    let name = "softstop_process_waiting_reason";
    let waiting = |p: &&ProcessStatus| p.state == State::Waiting && p.reason.is_some();
    if processes.iter().any(|p| waiting(&p)) {
        page.head(name, "gauge", "1 for the reason why the process is waiting.");
        for p in processes.iter().filter(waiting) {
            page.sample(name, [("process", p.name.as_str()), ("reason", p.reason.map_or("", Why::name))], 1);
        }
    }
}

fn scheduled(page: &mut Page, processes: &[ProcessStatus]) {
    let scheduled = || processes.iter().filter_map(|p| Some((p, p.schedule.as_ref()?)));
    if scheduled().next().is_none() {
        return;
    }
    let name = "softstop_process_scheduled_runs_total";
    page.head(name, "counter", "Runs of a scheduled task by their result; skipped: its time came, and it still ran.");
    for (p, schedule) in scheduled() {
        let results = [("succeeded", schedule.succeeded), ("failed", schedule.failed), ("skipped", schedule.skipped)];
        for (result, count) in results {
            page.sample(name, [("process", p.name.as_str()), ("result", result)], count);
        }
    }
    let name = "softstop_process_next_run_seconds";
    page.head(name, "gauge", "Until the next time of a scheduled task.");
    for (p, schedule) in scheduled() {
        if let Some(next) = schedule.next_in {
            page.sample(name, [("process", p.name.as_str())], next.as_secs_f64());
        }
    }
}

fn stop(page: &mut Page, status: &Status) {
    let Some(stop) = &status.stop else { return };
    page.gauge(
        "softstop_stop_step_info",
        "The step of the stop that is under way; always 1.",
        [("step", &stop.step)],
        1,
    );
    for (name, help, value) in [
        ("softstop_stop_elapsed_seconds", "Since the stop was requested.", stop.elapsed),
        ("softstop_stop_deadline_in_seconds", "Until everything left is killed.", stop.deadline_in),
        ("softstop_stop_step_deadline_in_seconds", "Until the current step is cut short.", stop.step_deadline_in),
    ] {
        page.gauge(name, help, NO_LABELS, value.as_secs_f64());
    }
}

fn bit(b: bool) -> Option<f64> {
    Some(f64::from(u8::from(b)))
}

const NO_LABELS: [(&str, &str); 0] = [];

struct Page(String);

impl Page {
    /// `help` is one line without backslashes.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample<S: AsRef<str>, const N: usize>(&mut self, name: &str, labels: [(&str, S); N], value: impl Display) {
        self.write(format_args!("{name}"));
        for (i, (label, text)) in labels.iter().enumerate() {
            self.write(format_args!("{}{label}=\"{}\"", if i == 0 { '{' } else { ',' }, escape(text.as_ref())));
        }
        self.write(format_args!("{} {value}\n", if N == 0 { "" } else { "}" }));
    }

    fn gauge<S: AsRef<str>, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [(&str, S); N],
        value: impl Display,
    ) {
        self.head(name, "gauge", help);
        self.sample(name, labels, value);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a String cannot fail");
    }
}

/// A label's value as the format wants it: backslash, quote and line feed escaped, everything else as it is.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::facts::{Cause, Sender};
    use crate::report::{Leaked, OTHERS};
    use crate::signal::Signal;
    use crate::status::{LastExit, Pids, Stage, StopStatus, TaskStatus};

    fn process(name: &str, restarts: u32) -> ProcessStatus {
        ProcessStatus { restarts, ..ProcessStatus::well(name) }
    }

    fn status(names: &[&str]) -> Status {
        let processes = names.iter().map(|n| process(n, 2)).collect();
        Status { ready: false, orphans_reaped: 10_000, ..Status::well(processes) }
    }

    fn everything(name: &str) -> Status {
        let mut status = status(&["web", name]);
        status.init = Some(TaskStatus { name: name.into(), running: Duration::from_secs(3), progress: None });
        status.stop = Some(StopStatus {
            progress: Vec::new(),
            cause: Cause::Signal { signal: Signal::TERM, sender: Sender::Outside },
            stage: Stage::Drain,
            step: name.into(),
            elapsed: Duration::from_millis(1500),
            deadline_in: Duration::from_secs(27),
            step_deadline_in: Duration::ZERO,
        });
        let leaked = |command: &str, process: Option<&str>| Leaked {
            command: command.into(),
            process: process.map(str::to_owned),
            count: 3,
        };
        status.seen.orphans = vec![leaked(name, Some(name)), leaked(name, None), leaked(OTHERS, None)];
        status.seen.oom_kills = Some(4);
        status.seen.pids = Some(Pids { current: 80, max: 100 });
        let p = &mut status.processes[1];
        (p.state, p.reason, p.pid, p.running) = (State::Waiting, Some(Why::CrashLoopBackOff), None, None);
        p.last_exit = Some(LastExit { exit_code: 143, signal: Some(Signal::TERM), reason: Why::Error });
        status
    }

    /// Labels of one sample, sorted as they stand, and its value.
    type Sample = (Vec<(String, String)>, f64);

    /// Reads the text format strictly: HELP then TYPE then the samples of each family, in one block; no sample twice.
    fn parse(page: &str) -> HashMap<String, (String, Vec<Sample>)> {
        let mut families: HashMap<String, (String, Vec<Sample>)> = HashMap::new();
        let mut seen = HashSet::new();
        let mut current = String::new();
        assert!(page.ends_with('\n'));
        let mut lines = page.strip_suffix('\n').unwrap().split('\n');
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').unwrap();
                assert!(!text.is_empty() && !text.contains('\\'), "{line}");
                let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
                assert!(["gauge", "counter"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                assert!(families.insert(name.into(), (kind.into(), Vec::new())).is_none(), "{name} twice");
                current = name.into();
                continue;
            }
            assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_string()), "twice: {line}");
            let end = line.find(['{', ' ']).unwrap();
            let (name, rest) = line.split_at(end);
            assert_eq!(name, current, "a sample outside its family: {line}");
            assert!(
                name.starts_with("softstop_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{name}"
            );
            let (labels, value) = parse_labels(rest);
            let value = value.strip_prefix(' ').unwrap().parse::<f64>().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            families.get_mut(name).unwrap().1.push((labels, value));
        }
        for (name, (_, samples)) in &families {
            assert!(!samples.is_empty(), "{name} has no sample");
        }
        families
    }

    fn parse_labels(text: &str) -> (Vec<(String, String)>, &str) {
        let mut labels = Vec::new();
        let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
        loop {
            let (label, tail) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = tail.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (i, '"') => break i,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("unknown escape \\{c}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
            labels.push((label.to_string(), value));
            rest = &tail[end + 1..];
            match rest.split_at(1) {
                (",", tail) => rest = tail,
                ("}", tail) => return (labels, tail),
                other => panic!("after a label: {other:?}"),
            }
        }
    }

    fn value(page: &HashMap<String, (String, Vec<Sample>)>, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<_> = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        page[name].1.iter().find(|(l, _)| *l == wanted).unwrap_or_else(|| panic!("no {name}{labels:?}")).1
    }

    #[test]
    fn a_running_container() {
        let text = render(&status(&["web"]));
        let page = parse(&text);
        assert_eq!(value(&page, "softstop_info", &[("version", "0.1.0")]), 1.0);
        assert_eq!(value(&page, "softstop_phase", &[("phase", "Running")]), 1.0);
        assert_eq!(value(&page, "softstop_phase", &[("phase", "Failed")]), 0.0);
        assert_eq!(value(&page, "softstop_ready", &[]), 0.0);
        assert_eq!(value(&page, "softstop_live", &[]), 1.0);
        assert_eq!(value(&page, "softstop_uptime_seconds", &[]), 7.412);
        assert_eq!(value(&page, "softstop_orphans_reaped_total", &[]), 10_000.0);
        assert_eq!(value(&page, "softstop_process_up", &[("process", "web")]), 1.0);
        assert_eq!(value(&page, "softstop_process_restarts_total", &[("process", "web")]), 2.0);
        assert_eq!(value(&page, "softstop_process_running_seconds", &[("process", "web")]), 5.25);
        for absent in ["softstop_stop_elapsed_seconds", "softstop_process_last_exit_code", "softstop_stop_step_info"] {
            assert!(!page.contains_key(absent), "{absent}");
        }
        assert!(text.contains("\n# TYPE softstop_orphans_reaped_total counter\nsoftstop_orphans_reaped_total 10000\n"));
    }

    #[test]
    fn a_stopping_container() {
        let page = parse(&render(&everything("agent")));
        assert_eq!(value(&page, "softstop_stopping", &[]), 1.0);
        assert_eq!(value(&page, "softstop_stop_elapsed_seconds", &[]), 1.5);
        assert_eq!(value(&page, "softstop_stop_deadline_in_seconds", &[]), 27.0);
        assert_eq!(value(&page, "softstop_stop_step_info", &[("step", "agent")]), 1.0);
        assert_eq!(value(&page, "softstop_process_up", &[("process", "agent")]), 0.0);
        assert_eq!(value(&page, "softstop_process_last_exit_code", &[("process", "agent")]), 143.0);
        let waiting = [("process", "agent"), ("reason", "CrashLoopBackOff")];
        assert_eq!(value(&page, "softstop_process_waiting_reason", &waiting), 1.0);
        assert_eq!(value(&page, "softstop_init_task_running_seconds", &[("task", "agent")]), 3.0);
        assert_eq!(value(&page, "softstop_oom_kills_total", &[]), 4.0);
        assert_eq!(value(&page, "softstop_pids_current", &[]) / value(&page, "softstop_pids_max", &[]), 0.8);
    }

    #[test]
    fn a_reason_is_shown_of_those_alone_that_wait_for_one() {
        let mut status = status(&["ends", "starts", "backs-off"]);
        let p = &mut status.processes;
        (p[0].state, p[0].reason) = (State::Terminated, Some(Why::Error));
        (p[1].state, p[1].reason) = (State::Waiting, None);
        let name = "softstop_process_waiting_reason";
        assert!(!parse(&render(&status)).contains_key(name));
        let p = &mut status.processes;
        (p[2].state, p[2].reason) = (State::Waiting, Some(Why::CrashLoopBackOff));
        let page = parse(&render(&status));
        assert_eq!(page[name].1.len(), 1);
        assert_eq!(value(&page, name, &[("process", "backs-off"), ("reason", "CrashLoopBackOff")]), 1.0);
    }

    proptest! {
        #[test]
        fn any_name_survives_the_escaping(name in "(?s)[\"\\\\\n,{}= a-zé\r]{1,12}") {
            prop_assume!(name != "web");
            let page = parse(&render(&everything(&name)));
            prop_assert_eq!(value(&page, "softstop_process_restarts_total", &[("process", &name)]), 2.0);
            prop_assert_eq!(value(&page, "softstop_stop_step_info", &[("step", &name)]), 1.0);
            let labels = [("command", name.as_str()), ("process", &name)];
            prop_assert_eq!(value(&page, "softstop_orphans_by_command_total", &labels), 3.0);
        }
    }
}
