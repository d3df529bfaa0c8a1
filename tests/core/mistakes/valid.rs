//! Valid configurations: every table and every key that there is, drawn from a seed, and where each stands.

use std::ops::Range;

use softstop::config::check::declare::{Described, Shape};
use softstop::config::check::keys::Section;

use super::super::declared::{is_table, row, section_of, table, values};
use super::draw::Draw;

/// Beside the keys that are always there.
const NO_OTHER: Option<&[&str]> = Some(&[]);

pub struct Valid {
    pub text: String,
    pub slots: Vec<Slot>,
    pub processes: Vec<Range<usize>>,
}

/// A key with its value.
pub struct Slot {
    pub section: &'static Section,
    pub key: &'static str,
    pub at: Range<usize>,
    pub value: Range<usize>,
    /// Within `{ … }`.
    pub inline: bool,
    /// Where its table's header or brace stands.
    pub header: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Init,
    PostStart,
    PreStop,
    PostExit,
    Drain,
    PostStop,
    Probe,
}

pub fn valid(d: &mut Draw) -> Valid {
    let out = Valid { text: String::new(), slots: Vec::new(), processes: Vec::new() };
    let mut b = Builder { d, out, header: 0, socket: false };
    let top = table("the top level");
    for row in top.rows().into_iter().filter(|row| !is_table(row) && row.name != "exit_codes") {
        if b.d.chance(50) {
            b.plain(top.section, row.name, false);
        }
    }
    if b.d.chance(50) {
        b.head("[http]");
        b.plain(section_of("[http]"), "listen", false);
        if b.d.chance(50) {
            // One token at the most, and a guard in any case.
            let token = b.d.pick(&["token", "token_file", "from"]);
            b.inline(section_of("[http]"), "prestop", &["from", token], NO_OTHER, false);
        }
    }
    if b.d.chance(30) {
        b.table("[control]", section_of("[control]"), &["socket"]);
    }
    if b.d.chance(20) {
        b.table("[sidecar]", section_of("[sidecar]"), &["follow"]);
    }
    if b.d.chance(20) {
        b.table("[notify]", section_of("[notify]"), &["socket"]);
    }
    if b.d.chance(30) {
        b.table("[log]", section_of("[log]"), &["level", "format"]);
    }
    if b.d.chance(30) {
        b.table("[stragglers]", section_of("stragglers"), &["wait", "signal", "timeout", "timeout_when_ended"]);
    }
    if b.d.chance(30) {
        b.out.text += "[exit_codes]\n143 = 0\nforced = 79\n";
    }
    for _ in 0..b.d.below(3) {
        b.task("[[init]]", section_of("a task"), Place::Init);
    }
    b.socket = b.d.chance(30);
    if b.socket {
        b.socket();
    }
    for i in 0..1 + b.d.below(3) as usize {
        b.process(i);
    }
    for _ in 0..b.d.below(3) {
        b.task("[[drain]]", section_of("a step"), Place::Drain);
    }
    for _ in 0..b.d.below(2) {
        b.task("[[post_stop]]", section_of("a step"), Place::PostStop);
    }
    if b.d.chance(30) {
        b.on_change();
    }
    b.out
}

/// The table that a value of this shape may be.
fn inner(shape: &'static Shape) -> Option<&'static Described> {
    match shape {
        Shape::Table(table) | Shape::Tables(table) => Some(table),
        Shape::Any(shapes) => shapes.iter().find_map(|shape| inner(shape)),
        _ => None,
    }
}

/// Those of its keys that say what to do.
pub fn handlers(title: &str) -> &'static [&'static str] {
    table(if title == "a step" { "a task" } else { title }).one_of
}

struct Builder<'a, 'd> {
    d: &'a mut Draw<'d>,
    out: Valid,
    header: usize,
    /// There is one, for the first process.
    socket: bool,
}

impl Builder<'_, '_> {
    fn head(&mut self, header: &str) {
        self.header = self.out.text.len();
        self.out.text += header;
        self.out.text.push('\n');
    }

    /// `key = value` as it comes.
    fn put(&mut self, section: &'static Section, key: &'static str, inline: bool, value: impl FnOnce(&mut Self)) {
        let at = self.out.text.len();
        let header = self.header;
        self.out.text += key;
        self.out.text += " = ";
        let from = self.out.text.len();
        value(self);
        let value = from..self.out.text.len();
        self.out.slots.push(Slot { section, key, at: at..value.end, value, inline, header });
        self.out.text += if inline { ", " } else { "\n" };
    }

    fn plain(&mut self, section: &'static Section, key: &'static str, inline: bool) {
        let values = values(row(section, key));
        assert!(!values.is_empty(), "give `{key}` of {} some examples", section.title);
        let value = &values[self.d.below(values.len() as u64) as usize];
        self.put(section, key, inline, |b| b.out.text += value);
    }

    fn table(&mut self, header: &str, section: &'static Section, always: &[&str]) {
        self.head(header);
        for key in section.keys {
            if always.contains(key) || self.d.chance(50) {
                self.plain(section, key, false);
            }
        }
    }

    /// The table of a key, with all of `always` and some of `sometimes` (`None`: of all others).
    fn inline(
        &mut self,
        outer: &'static Section,
        key: &'static str,
        always: &[&str],
        sometimes: Option<&[&str]>,
        inside: bool,
    ) {
        let section = inner(row(outer, key).shape).expect("its value may be a table").section;
        self.put(outer, key, inside, |b| {
            let header = std::mem::replace(&mut b.header, b.out.text.len());
            b.out.text += "{ ";
            for key in section.keys {
                let may = sometimes.is_none_or(|some| some.contains(key));
                if !(always.contains(key) || may && b.d.chance(50)) {
                    continue;
                }
                match *key {
                    "json" => {
                        let is = if b.d.chance(50) { "equals" } else { "at_most" };
                        b.inline(section, "json", &["pointer", is], NO_OTHER, true);
                    }
                    "metric" => b.inline(section, "metric", &["name", "at_most"], Some(&["labels"]), true),
                    _ => b.plain(section, key, true),
                }
            }
            b.close();
            b.header = header;
        });
    }

    fn close(&mut self) {
        if self.out.text.ends_with(", ") {
            self.out.text.truncate(self.out.text.len() - 2);
        }
        self.out.text += " }";
    }

    fn process(&mut self, i: usize) {
        let begin = self.out.text.len();
        let section = section_of("[[process]]");
        self.head("[[process]]");
        let name = ["web", "agent", "worker"][i];
        self.put(section, "name", false, |b| b.out.text += &format!("\"{name}\""));
        self.plain(section, "command", false);
        let mut notified = false;
        // Others wait for the first to be ready, which a task never is.
        let scheduled = i > 0 && self.d.chance(15);
        // What is written there is softstop's to read.
        let own_terminal = self.d.chance(15);
        for key in section.keys {
            match *key {
                "tty" if own_terminal => self.plain(section, "tty", false),
                "tty" => {}
                "stdin" | "output" if own_terminal => {}
                "kind" | "restart" | "restart_on" | "autostart" | "main" | "notify" if scheduled => {}
                "schedule" if scheduled && self.d.chance(50) => self.plain(section, "schedule", false),
                "schedule" if scheduled => {
                    let keys = &["cron", "time_zone", "concurrency", "jitter"];
                    self.inline(section, "schedule", keys, NO_OTHER, false);
                }
                "schedule" => {}
                "main" | "stdin" if i > 0 => {}
                "notify" if self.d.chance(20) => {
                    notified = true;
                    if self.d.chance(50) {
                        self.plain(section, "notify", false);
                    } else {
                        let by_descriptor = self.d.chance(30);
                        let keys: &[&str] = if by_descriptor { &["fd"] } else { &["access", "watchdog"] };
                        self.inline(section, "notify", &[keys, &["timeout"]].concat(), NO_OTHER, false);
                    }
                }
                "notify" => {}
                "sockets" if i > 0 || !self.socket => {}
                "sockets" => self.put(section, "sockets", false, |b| b.out.text += "[\"front\"]"),
                "name" | "command" | "logs" | "startup" | "readiness" | "liveness" | "post_start" | "pre_stop"
                | "post_exit" => {}
                "after" if i == 0 || !self.d.chance(60) => {}
                "after" => self.put(section, "after", false, |b| b.out.text += "{ web = \"ready\" }"),
                "backoff" if self.d.chance(30) => self.inline(section, "backoff", &[], None, false),
                "stop" if self.d.chance(30) => self.put(section, "stop", false, |b| {
                    b.out.text += "[ ";
                    for signal in ["\"SIGQUIT\"", "\"INT\""] {
                        b.out.text += "{ ";
                        b.put(section_of("stop"), "signal", true, |b| b.out.text += signal);
                        b.put(section_of("stop"), "wait", true, |b| b.out.text += "\"2s\"");
                        b.close();
                        b.out.text += ", ";
                    }
                    b.out.text += "\"SIGTERM\" ]";
                }),
                "backoff" => {}
                "diagnose" if self.d.chance(30) => self.inline(section, "diagnose", &["signal"], None, false),
                "stragglers" if self.d.chance(30) => self.inline(section, "stragglers", &["wait"], None, false),
                "stragglers" => {}
                "restart_on" if self.d.chance(30) => self.put(section, "restart_on", false, |b| {
                    b.out.text += "[ { ";
                    b.inline(section_of("restart_on"), "exit_codes", &["operator", "values"], None, true);
                    b.close();
                    b.out.text += " ]";
                }),
                "restart_on" => {}
                "restart_window" if !self.out.text[begin..].contains("\nmax_restarts") => {}
                _ if self.d.chance(35) => self.plain(section, key, false),
                _ => {}
            }
        }
        for kind in ["startup", "readiness", "liveness"] {
            if !(scheduled || notified && kind == "startup") && self.d.chance(35) {
                self.task(&format!("[process.{kind}]"), section_of("a probe"), Place::Probe);
            }
        }
        if self.d.chance(35) {
            self.task("[[process.post_start]]", section_of("a task"), Place::PostStart);
        }
        if self.d.chance(35) {
            self.task("[process.pre_stop]", section_of("a task"), Place::PreStop);
        }
        if self.d.chance(25) {
            self.task("[[process.post_exit]]", section_of("a task"), Place::PostExit);
        }
        self.out.processes.push(begin..self.out.text.len());
    }

    fn on_change(&mut self) {
        let section = section_of("[[on_change]]");
        self.head("[[on_change]]");
        self.plain(section, "paths", false);
        if self.d.chance(50) {
            self.plain(section, "settle", false);
        }
        match self.d.below(3) {
            0 => self.put(section, "restart", false, |b| b.out.text += "\"web\""),
            1 => self.put(section, "reload", false, |b| b.out.text += "true"),
            _ => self.plain(section, "exec", false),
        }
    }

    fn socket(&mut self) {
        let section = section_of("[[socket]]");
        self.head("[[socket]]");
        self.put(section, "name", false, |b| b.out.text += "\"front\"");
        let address = self.d.pick(handlers(section.title));
        self.plain(section, address, false);
        for key in ["backlog", "mode", "owner"] {
            let takes_it = if key == "backlog" { address != "udp" } else { address == "unix" };
            if takes_it && self.d.chance(40) {
                self.plain(section, key, false);
            }
        }
    }

    fn task(&mut self, header: &str, section: &'static Section, place: Place) {
        self.head(header);
        let is_step = matches!(place, Place::Drain | Place::PostStop);
        if is_step && self.d.chance(25) {
            self.put(section, "parallel", false, |b| {
                b.out.text += "[ ";
                for _ in 0..2 {
                    b.out.text += "{ ";
                    if !b.handler(section_of("a task"), place, true) {
                        b.plain(section_of("a task"), "retries", true);
                    }
                    b.close();
                    b.out.text += ", ";
                }
                b.out.text += "]";
            });
        } else {
            let before = self.out.text.len();
            let waits = self.handler(section, place, false);
            // How a program is started is said where one is.
            let of_programs = crate::declared::table("[[process]]").then[0].section.keys;
            let runs_one = self.out.text[before..].contains("exec = ");
            let no_more: &[&str] = if waits { &["retries", "retry_delay"] } else { &[] };
            for key in section.keys {
                if !handlers(section.title).contains(key)
                    && !no_more.contains(key)
                    && (runs_one || !of_programs.contains(key))
                    && !["parallel", "reserve", "essential", "when", "name", "on_failure"].contains(key)
                    && self.d.chance(35)
                {
                    self.plain(section, key, false);
                }
            }
            if place != Place::Probe && self.d.chance(35) {
                let words: &[&str] = match place {
                    Place::Init => &["stop", "ignore"],
                    Place::PostStart => &["restart", "stop", "ignore"],
                    Place::Drain => &["ignore", "stop"],
                    _ => &["ignore"],
                };
                let word = self.d.pick(words);
                self.put(section, "on_failure", false, |b| b.out.text += &format!("\"{word}\""));
            }
        }
        let essential = is_step && self.d.chance(20);
        for key in ["name", "reserve", "essential", "when"] {
            let needed = essential && key == "reserve";
            let allowed = is_step && (key != "essential" || essential) || key == "name" && place != Place::Probe;
            if allowed && (needed || self.d.chance(40)) {
                self.plain(section, key, false);
            }
        }
    }

    /// Whether it is one that waits until something holds.
    fn handler(&mut self, section: &'static Section, place: Place, inside: bool) -> bool {
        let handler = self.d.pick(handlers(section.title));
        match handler {
            "exec" => self.plain(section, "exec", inside),
            "http_get" | "http_post" | "grpc" | "tcp_socket" => self.inline(section, handler, &["port"], None, inside),
            "signal" if !matches!(place, Place::Init | Place::PostStop) => {
                // By its command a process of somebody else is meant.
                let who = if self.d.chance(70) { "process" } else { "command" };
                self.inline(section, "signal", &[who, "signal"], NO_OTHER, inside);
            }
            "wait_idle" if matches!(place, Place::Drain | Place::PostStop | Place::PreStop) => {
                let port = if self.d.chance(50) { "port" } else { "ports" };
                let more = &["connections", "silent", "quiet", "minimum", "ignore"];
                self.inline(section, "wait_idle", &[port], Some(more), inside);
                return true;
            }
            "wait_http" => {
                let more: &[&str] = match self.d.below(3) {
                    0 => &["host", "path", "headers", "status"],
                    1 => &["host", "json"],
                    _ => &["path", "metric"],
                };
                self.inline(section, "wait_http", &["port"], Some(more), inside);
                return true;
            }
            "wait_file" => {
                let more = if self.d.chance(50) { "exists" } else { "contains" };
                self.inline(section, "wait_file", &["path"], Some(&[more]), inside);
                return true;
            }
            "wait_process" => {
                // The only process that is there for certain is the one whose hooks these may be.
                let of_a_process = matches!(place, Place::Drain) && self.d.chance(60);
                let (who, more): (&str, &[&str]) = if of_a_process { ("name", &["until"]) } else { ("command", &[]) };
                self.inline(section, "wait_process", &[who], Some(more), inside);
                return true;
            }
            _ => self.plain(section, "sleep", inside),
        }
        false
    }
}
