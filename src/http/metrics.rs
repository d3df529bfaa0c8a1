//! `/metrics`: the [`Status`] in Prometheus' text format 0.0.4. Pure.
//!
//! Names follow the Prometheus conventions: base units, `_total` on counters and nowhere else, states as one series each
//! with 0 or 1. Cardinality is bounded by the configuration: labels hold names from it and fixed words.

use std::fmt::{Display, Write};

use crate::status::{Phase, ProcessStatus, Status};

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
    for (phase, name) in [
        (Phase::Pending, "Pending"),
        (Phase::Running, "Running"),
        (Phase::Succeeded, "Succeeded"),
        (Phase::Failed, "Failed"),
    ] {
        page.sample("softstop_phase", [("phase", name)], u8::from(status.phase == phase));
    }
    page.gauge("softstop_started", "1 when /startupz answers 200.", NO_LABELS, u8::from(status.started));
    page.gauge("softstop_ready", "1 when /readyz answers 200.", NO_LABELS, u8::from(status.ready));
    page.gauge("softstop_live", "1 when /livez answers 200.", NO_LABELS, u8::from(status.live));
    page.gauge("softstop_stopping", "1 from the stop request on.", NO_LABELS, u8::from(status.stop.is_some()));
    page.gauge("softstop_uptime_seconds", "Since softstop started.", NO_LABELS, status.uptime.as_secs_f64());
    page.gauge("softstop_grace_seconds", "The whole budget of a stop.", NO_LABELS, status.grace.as_secs_f64());
    page.head("softstop_orphans_reaped_total", "counter", "Processes reaped that softstop did not start itself.");
    page.sample("softstop_orphans_reaped_total", NO_LABELS, status.orphans_reaped);
}

fn processes(page: &mut Page, processes: &[ProcessStatus]) {
    type Read = fn(&ProcessStatus) -> Option<f64>;
    let table: [(&str, &str, &str, Read); 7] = [
        ("softstop_process_up", "gauge", "1 when the process is running.", |p| bit(p.state == "Running")),
        ("softstop_process_started", "gauge", "1 when the process counts as started.", |p| bit(p.started)),
        ("softstop_process_ready", "gauge", "1 when the process counts as ready.", |p| bit(p.ready)),
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
    let name = "softstop_process_waiting_reason";
    let waiting = |p: &&ProcessStatus| p.state == "Waiting" && p.reason.is_some();
    if processes.iter().any(|p| waiting(&p)) {
        page.head(name, "gauge", "1 for the reason why the process is waiting.");
        for p in processes.iter().filter(waiting) {
            page.sample(name, [("process", p.name.as_str()), ("reason", p.reason.unwrap_or_default())], 1);
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
