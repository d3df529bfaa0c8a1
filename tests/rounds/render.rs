//! A round's configuration as a file or as flags.

use std::fmt::Write as _;

use crate::model::{Ask, Broken, Probe, Process, Scenario, Step, Task, What};

/// Where things are in this run of the round.
pub struct Places {
    /// This program, as the actors' command.
    pub actor: String,
    /// IP and port of softstop's endpoints.
    pub address: String,
    pub report: String,
}

impl Places {
    fn ip(&self) -> &str {
        self.address.split(':').next().unwrap_or_default()
    }

    fn command(&self, name: &str, words: &[String]) -> String {
        let all = [self.actor.as_str(), "actor", name].into_iter().chain(words.iter().map(String::as_str));
        let quoted: Vec<String> = all.map(|word| format!("{word:?}")).collect();
        format!("[{}]", quoted.join(", "))
    }
}

/// The file's text, and the line at which a broken one is broken.
pub fn toml(s: &Scenario, places: &Places) -> (String, Option<usize>) {
    let mut t = format!("grace = \"{}ms\"\nreport = {:?}\n", s.grace, places.report);
    for (key, value) in [("kill_reserve", s.kill_reserve), ("stop_reserve", s.stop_reserve)] {
        if let Some(ms) = value {
            let _ = writeln!(t, "{key} = \"{ms}ms\"");
        }
    }
    if s.keep {
        t += "readiness_on_drain = \"keep\"\n";
    }
    if s.http {
        let _ = writeln!(t, "[http]\nlisten = {:?}", places.address);
    }
    let _ = writeln!(t, "[log]\nlevel = \"debug\"\nformat = {:?}", if s.json_log { "json" } else { "text" });
    if !s.exit_codes.is_empty() || s.forced.is_some() {
        t += "[exit_codes]\n";
        s.exit_codes.iter().for_each(|(from, to)| t += &format!("{from} = {to}\n"));
        s.forced.iter().for_each(|code| t += &format!("forced = {code}\n"));
    }
    for init in &s.init {
        t += "[[init]]\n";
        t += &task(init, s, places).join("\n");
        t.push('\n');
    }
    s.processes.iter().for_each(|p| process(&mut t, p, s, places));
    s.drain.iter().for_each(|d| step(&mut t, "drain", d, s, places));
    s.post_stop.iter().for_each(|d| step(&mut t, "post_stop", d, s, places));
    match s.broken {
        Some(broken) => break_it(&t, broken),
        None => (t, None),
    }
}

fn process(t: &mut String, p: &Process, s: &Scenario, places: &Places) {
    let _ = writeln!(t, "[[process]]\nname = {:?}\ncommand = {}", p.name, places.command(&p.name, &p.words));
    if !p.ladder.is_empty() {
        let rung = |(signal, wait): &(i32, Option<u64>)| match wait {
            Some(ms) => format!("{{ signal = \"{signal}\", wait = \"{ms}ms\" }}"),
            None => format!("\"{signal}\""),
        };
        let _ = writeln!(t, "stop = [{}]", p.ladder.iter().map(rung).collect::<Vec<_>>().join(", "));
    }
    if p.to_group {
        *t += "signal_to = \"group\"\n";
    }
    if !p.after.is_empty() {
        let one = |(on, what): &(usize, &str)| format!("{} = \"{what}\"", s.processes[*on].name);
        let _ = writeln!(t, "after = {{ {} }}", p.after.iter().map(one).collect::<Vec<_>>().join(", "));
    }
    for (key, value) in [("restart", p.restart), ("on_exit", p.on_exit), ("output", p.output)] {
        if let Some(value) = value {
            let _ = writeln!(t, "{key} = {value:?}");
        }
    }
    if p.main {
        *t += "main = true\n";
    }
    let _ = writeln!(t, "backoff = {{ initial = \"{}ms\" }}", p.backoff);
    if let Some(n) = p.max_restarts {
        let _ = writeln!(t, "max_restarts = {n}");
    }
    for (kind, probe) in &p.probes {
        let _ = writeln!(t, "[process.{kind}]\n{}", probe_keys(probe, &format!("{}.{kind}", p.name), places));
    }
    if let Some(pre_stop) = &p.pre_stop {
        let _ = writeln!(t, "[process.pre_stop]\n{}", task(pre_stop, s, places).join("\n"));
    }
    for post_start in &p.post_start {
        let _ = writeln!(t, "[[process.post_start]]\n{}", task(post_start, s, places).join("\n"));
    }
}

fn probe_keys(probe: &Probe, name: &str, places: &Places) -> String {
    let asks = match &probe.what {
        Ask::Exec(words) => format!("exec = {}", places.command(name, words)),
        Ask::Tcp(port) => format!("tcp_socket = {{ host = {:?}, port = {port} }}", places.ip()),
    };
    format!("{asks}\nperiod = \"{}ms\"\nfailure_threshold = {}", probe.period, probe.failures)
}

fn step(t: &mut String, kind: &str, step: &Step, s: &Scenario, places: &Places) {
    let _ = writeln!(t, "[[{kind}]]");
    if let [only] = step.tasks.as_slice() {
        let _ = writeln!(t, "{}", task(only, s, places).join("\n"));
    } else {
        let members = step.tasks.iter().map(|member| format!("{{ {} }}", task(member, s, places).join(", ")));
        let _ = writeln!(t, "parallel = [ {} ]", members.collect::<Vec<_>>().join(", "));
    }
    if let Some(ms) = step.reserve {
        let _ = writeln!(t, "reserve = \"{ms}ms\"");
    }
    let when = match (kind, step.always) {
        ("drain", true) => Some("always"),
        ("post_stop", false) => Some("requested"),
        _ => None,
    };
    if let Some(when) = when {
        let _ = writeln!(t, "when = {when:?}");
    }
}

/// A line each.
fn task(task: &Task, s: &Scenario, places: &Places) -> Vec<String> {
    let mut lines = vec![format!("name = {:?}", task.name)];
    lines.push(match &task.what {
        What::Exec(words) => format!("exec = {}", places.command(&task.name, words)),
        What::Sleep(ms) => format!("sleep = \"{ms}ms\""),
        What::Signal(process, signal) => {
            format!("signal = {{ process = {:?}, signal = \"{signal}\" }}", s.processes[*process].name)
        }
        What::Tcp(port) => format!("tcp_socket = {{ host = {:?}, port = {port} }}", places.ip()),
    });
    lines.extend(task.timeout.map(|ms| format!("timeout = \"{ms}ms\"")));
    if task.retries > 0 {
        lines.push(format!("retries = {}", task.retries));
        lines.push("retry_delay = \"20ms\"".to_owned());
    }
    lines.extend(task.on_failure.map(|word| format!("on_failure = {word:?}")));
    lines
}

/// The wrapper's command line, for the first process alone.
pub fn flags(s: &Scenario, places: &Places) -> Vec<String> {
    let p = &s.processes[0];
    let mut flags = vec!["--grace".to_owned(), format!("{}ms", s.grace), "--report".to_owned(), places.report.clone()];
    let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
    flag("--log-level", "debug".to_owned());
    if let Some(ms) = s.kill_reserve {
        flag("--kill-reserve", format!("{ms}ms"));
    }
    if s.http {
        flag("--http", places.address.clone());
    }
    if let Some(output) = p.output {
        flag("--output", output.to_owned());
    }
    s.exit_codes.iter().for_each(|(from, to)| flag("-e", format!("{from}={to}")));
    if let Some(code) = s.forced {
        flag("--forced-exit-code", code.to_string());
    }
    if !p.ladder.is_empty() {
        let rung = |(signal, wait): &(i32, Option<u64>)| match wait {
            Some(ms) => format!("{signal}:{ms}ms"),
            None => signal.to_string(),
        };
        flag("--stop-signal", p.ladder.iter().map(rung).collect::<Vec<_>>().join(","));
    }
    if let Some(What::Sleep(ms)) = s.drain.first().map(|d| &d.tasks[0].what) {
        flag("--drain-sleep", format!("{ms}ms"));
    }
    if p.to_group {
        flags.push("-g".to_owned());
    }
    flags.extend(["--", &places.actor, "actor", &p.name].map(str::to_owned));
    flags.extend(p.words.iter().cloned());
    flags
}

/// The text made wrong, and the line (from 1) where it is.
fn break_it(text: &str, how: Broken) -> (String, Option<usize>) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = |start: &str| lines.iter().position(|line| line.starts_with(start));
    let (line, new) = match how {
        Broken::MisspeltKey => (at("command"), "comand = [\"true\"]".to_owned()),
        Broken::NonsenseDuration => (at("grace"), "grace = \"soon\"".to_owned()),
        Broken::BareNumber => (at("grace"), "grace = 2".to_owned()),
        // What is missing is told at the table it is missing from.
        Broken::MissingCommand => (at("command"), String::new()),
        Broken::UnknownDependency => {
            (at("command"), format!("{}\nafter = {{ nobody = \"ready\" }}", lines[at("command").unwrap_or(0)]))
        }
        Broken::BadSignal => (at("backoff"), "stop = \"SIGNOTHING\"".to_owned()),
        Broken::Unclosed => (at("name"), "name = \"never closed".to_owned()),
        Broken::SameName => (None, String::new()),
    };
    let mut wrong = match line {
        Some(line) => {
            // A second `after` would be a second mistake.
            if how == Broken::UnknownDependency {
                lines.retain(|l| !l.starts_with("after ="));
            }
            if how == Broken::BadSignal {
                lines.iter_mut().filter(|l| l.starts_with("stop =")).for_each(String::clear);
            }
            lines[line] = new;
            line + 1
        }
        None => {
            lines.extend([
                "[[process]]".to_owned(),
                format!("name = {:?}", name_of_first(text)),
                "command = [\"true\"]".to_owned(),
            ]);
            lines.len() - 1
        }
    };
    match how {
        Broken::MissingCommand => wrong -= 2,
        Broken::UnknownDependency => wrong += 1,
        _ => {}
    }
    (lines.join("\n") + "\n", Some(wrong))
}

fn name_of_first(text: &str) -> String {
    let after = text.split("[[process]]\nname = \"").nth(1).unwrap_or_default();
    after.split('"').next().unwrap_or_default().to_owned()
}
