//! Valid configurations: every table and every key that `config::check::keys` knows, drawn from a seed, and where each stands.

use std::ops::Range;

use softstop::config::check::keys::{self, Section};

use super::draw::Draw;

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
    Drain,
    PostStop,
    Probe,
}

pub fn valid(d: &mut Draw) -> Valid {
    let mut b = Builder { d, out: Valid { text: String::new(), slots: Vec::new(), processes: Vec::new() }, header: 0 };
    for key in keys::TOP.keys {
        if !["http", "control", "log", "exit_codes", "stragglers", "sidecar", "init", "process", "drain", "post_stop"]
            .contains(key)
            && b.d.chance(50)
        {
            b.plain(&keys::TOP, key, false);
        }
    }
    if b.d.chance(50) {
        b.head("[http]");
        b.plain(&keys::HTTP, "listen", false);
        if b.d.chance(50) {
            // One token at the most, and a guard in any case.
            let token = b.d.pick(&["token", "token_file", "from"]);
            b.inline_of(&keys::HTTP, "prestop", &keys::PRESTOP, &["from", token]);
        }
    }
    if b.d.chance(30) {
        b.table("[control]", &keys::CONTROL, &["socket"]);
    }
    if b.d.chance(20) {
        b.table("[sidecar]", &keys::SIDECAR, &["follow"]);
    }
    if b.d.chance(30) {
        b.table("[log]", &keys::LOG, &["level", "format"]);
    }
    if b.d.chance(30) {
        b.table("[stragglers]", &keys::STRAGGLERS, &["wait", "signal", "timeout", "timeout_when_ended"]);
    }
    if b.d.chance(30) {
        b.out.text += "[exit_codes]\n143 = 0\nforced = 79\n";
    }
    for _ in 0..b.d.below(3) {
        b.task("[[init]]", &keys::TASK, Place::Init);
    }
    for i in 0..1 + b.d.below(3) as usize {
        b.process(i);
    }
    for _ in 0..b.d.below(3) {
        b.task("[[drain]]", &keys::STEP, Place::Drain);
    }
    for _ in 0..b.d.below(2) {
        b.task("[[post_stop]]", &keys::STEP, Place::PostStop);
    }
    b.out
}

struct Builder<'a, 'd> {
    d: &'a mut Draw<'d>,
    out: Valid,
    header: usize,
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
        let value = self.d.pick(values(section, key));
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

    fn inline(&mut self, outer: &'static Section, key: &'static str, section: &'static Section, always: &[&str]) {
        self.inline_in(outer, key, section, always, false);
    }

    fn inline_in(
        &mut self,
        outer: &'static Section,
        key: &'static str,
        section: &'static Section,
        always: &[&str],
        inside: bool,
    ) {
        self.put(outer, key, inside, |b| {
            let header = std::mem::replace(&mut b.header, b.out.text.len());
            b.out.text += "{ ";
            for key in section.keys {
                if always.contains(key) || b.d.chance(50) {
                    b.plain(section, key, true);
                }
            }
            b.close();
            b.header = header;
        });
    }

    /// With these keys alone, each once.
    fn inline_of(&mut self, outer: &'static Section, key: &'static str, section: &'static Section, these: &[&str]) {
        self.put(outer, key, false, |b| {
            let header = std::mem::replace(&mut b.header, b.out.text.len());
            b.out.text += "{ ";
            for key in section.keys.iter().filter(|k| these.contains(k)) {
                b.plain(section, key, true);
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
        let section = &keys::PROCESS;
        self.head("[[process]]");
        let name = ["web", "agent", "worker"][i];
        self.put(section, "name", false, |b| b.out.text += &format!("\"{name}\""));
        self.plain(section, "command", false);
        for key in section.keys {
            match *key {
                "main" | "stdin" if i > 0 => {}
                "name" | "command" | "startup" | "readiness" | "liveness" | "post_start" | "pre_stop" => {}
                "after" if i == 0 || !self.d.chance(60) => {}
                "after" => self.put(section, "after", false, |b| b.out.text += "{ web = \"ready\" }"),
                "backoff" if self.d.chance(30) => self.inline(section, "backoff", &keys::BACKOFF, &[]),
                "stop" if self.d.chance(30) => self.put(section, "stop", false, |b| {
                    b.out.text += "[ ";
                    for signal in ["\"SIGQUIT\"", "\"INT\""] {
                        b.out.text += "{ ";
                        b.put(&keys::RUNG, "signal", true, |b| b.out.text += signal);
                        b.put(&keys::RUNG, "wait", true, |b| b.out.text += "\"2s\"");
                        b.close();
                        b.out.text += ", ";
                    }
                    b.out.text += "\"SIGTERM\" ]";
                }),
                "backoff" => {}
                "diagnose" if self.d.chance(30) => self.inline(section, "diagnose", &keys::DIAGNOSE, &["signal"]),
                "stragglers" if self.d.chance(30) => self.inline(section, "stragglers", &keys::STRAGGLERS, &["wait"]),
                "stragglers" => {}
                _ if self.d.chance(35) => self.plain(section, key, false),
                _ => {}
            }
        }
        for kind in ["startup", "readiness", "liveness"] {
            if self.d.chance(35) {
                self.task(&format!("[process.{kind}]"), &keys::PROBE, Place::Probe);
            }
        }
        if self.d.chance(35) {
            self.task("[[process.post_start]]", &keys::TASK, Place::PostStart);
        }
        if self.d.chance(35) {
            self.task("[process.pre_stop]", &keys::TASK, Place::PreStop);
        }
        self.out.processes.push(begin..self.out.text.len());
    }

    fn task(&mut self, header: &str, section: &'static Section, place: Place) {
        self.head(header);
        let is_step = matches!(place, Place::Drain | Place::PostStop);
        if is_step && self.d.chance(25) {
            self.put(section, "parallel", false, |b| {
                b.out.text += "[ ";
                for _ in 0..2 {
                    b.out.text += "{ ";
                    if !b.handler(&keys::TASK, place, true) {
                        b.plain(&keys::TASK, "retries", true);
                    }
                    b.close();
                    b.out.text += ", ";
                }
                b.out.text += "]";
            });
        } else {
            let waits = self.handler(section, place, false);
            let no_more: &[&str] = if waits { &["retries", "retry_delay"] } else { &[] };
            for key in section.keys {
                if !keys::HANDLERS.contains(key)
                    && !no_more.contains(key)
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
        let probe = place == Place::Probe;
        let allowed: &[&'static str] = if probe { keys::PROBE_HANDLERS } else { keys::HANDLERS };
        let handler = self.d.pick(allowed);
        match handler {
            "exec" => self.plain(section, "exec", inside),
            "http_get" => self.inline_in(section, "http_get", &keys::HTTP_GET, &["port"], inside),
            "http_post" => self.inline_in(section, "http_post", &keys::HTTP_POST, &["port"], inside),
            "tcp_socket" => self.inline_in(section, "tcp_socket", &keys::TCP_SOCKET, &["port"], inside),
            "signal" if !matches!(place, Place::Init | Place::PostStop) => {
                // By its command a process of somebody else is meant.
                let who = if self.d.chance(70) { "process" } else { "command" };
                self.some_of(section, "signal", &keys::SIGNAL, &[who, "signal"], &[], inside);
            }
            "wait_idle" if matches!(place, Place::Drain | Place::PostStop | Place::PreStop) => {
                let port = if self.d.chance(50) { "port" } else { "ports" };
                let more = &["connections", "silent", "quiet", "minimum", "ignore"];
                self.some_of(section, "wait_idle", &keys::WAIT_IDLE, &[port], more, inside);
                return true;
            }
            "wait_http" => {
                let more: &[&str] = match self.d.below(3) {
                    0 => &["host", "path", "headers", "status"],
                    1 => &["host", "json"],
                    _ => &["path", "metric"],
                };
                self.some_of(section, "wait_http", &keys::WAIT_HTTP, &["port"], more, inside);
                return true;
            }
            "wait_file" => {
                let more = if self.d.chance(50) { "exists" } else { "contains" };
                self.some_of(section, "wait_file", &keys::WAIT_FILE, &["path"], &[more], inside);
                return true;
            }
            "wait_process" => {
                // The only process that is there for certain is the one whose hooks these may be.
                let of_a_process = matches!(place, Place::Drain) && self.d.chance(60);
                let (who, more): (&str, &[&str]) = if of_a_process { ("name", &["until"]) } else { ("command", &[]) };
                self.some_of(section, "wait_process", &keys::WAIT_PROCESS, &[who], more, inside);
                return true;
            }
            _ => self.plain(section, "sleep", inside),
        }
        false
    }

    /// A table with all of `always` and some of `sometimes`.
    fn some_of(
        &mut self,
        outer: &'static Section,
        key: &'static str,
        section: &'static Section,
        always: &[&str],
        sometimes: &[&str],
        inside: bool,
    ) {
        self.put(outer, key, inside, |b| {
            let header = std::mem::replace(&mut b.header, b.out.text.len());
            b.out.text += "{ ";
            for key in section.keys {
                if always.contains(key) || sometimes.contains(key) && b.d.chance(50) {
                    match *key {
                        "json" => {
                            let is = if b.d.chance(50) { "equals" } else { "at_most" };
                            b.some_of(section, "json", &keys::JSON, &["pointer", is], &[], true);
                        }
                        "metric" => {
                            b.some_of(section, "metric", &keys::METRIC, &["name", "at_most"], &["labels"], true);
                        }
                        _ => b.plain(section, key, true),
                    }
                }
            }
            b.close();
            b.header = header;
        });
    }
}

/// Values that any key of that name takes. A new key must be given some: the test fails without.
pub fn values(section: &Section, key: &str) -> &'static [&'static str] {
    match (section.title, key) {
        (_, "grace") => &["\"30s\"", "\"1m\"", "'45s'"],
        (_, "kill_reserve") => &["\"1s\"", "\"500ms\""],
        (_, "stop_reserve") => &["\"2s\"", "\"0s\""],
        (_, "stop_on") => &["[\"SIGTERM\", \"SIGINT\"]", "[\"SIGRTMIN+3\"]"],
        (_, "forward") => &["\"all\"", "\"caught\""],
        (_, "readiness_on_drain") => &["\"fail\"", "\"keep\""],
        (_, "report" | "working_dir") => &["\"/tmp/x\"", "\"relative\""],
        (_, "termination_log") => &["\"\"", "\"/dev/termination-log\""],
        (_, "listen") => &["\"0.0.0.0:9180\"", "9180", "\":9180\"", "\"[::]:9180\"", "\"${NONE:-9180}\""],
        (_, "token") => &["\"0123456789abcdef\"", "\"${NONE:-0123456789abcdef}\""],
        (_, "token_file") => &["\"/run/secrets/prestop\""],
        (_, "from") => &["\"10.244.7.1\"", "[\"10.244.0.0/16\", \"fd00::/8\"]", "\"${NONE:-127.0.0.1}\""],
        (_, "follow") => &["\"worker\"", "\"${NONE:-nginx}\""],
        (_, "appear_within") => &["\"5m\"", "\"1ms\""],
        (_, "essential") => &["true", "false"],
        (_, "socket") => &["\"/run/softstop.sock\"", "\"@name\"", "\"off\""],
        (_, "level") => &["\"error\"", "\"warn\"", "\"info\"", "\"debug\""],
        (_, "format") => &["\"text\"", "\"json\""],
        ("[[process]]" | "wait_process", "name") => &["\"web\""],
        ("metric", "name") => &["\"in_flight\"", "\"a:b_2\""],
        ("wait_process" | "signal", "command") => &["\"nginx\"", "\"${HOST}\""],
        (_, "ports") => &["[8080]", "[8080, 8443, 8080]", "\"auto\""],
        (_, "connections") => &["0", "3"],
        (_, "silent" | "quiet" | "minimum") => &["\"2s\"", "\"0s\""],
        (_, "ignore") => &["[]", "[\"10.0.0.0/8\", \"loopback\", \"::1\"]", "\"::ffff:10.0.0.7,[fd00::7]\""],
        (_, "status") => &["200", "\"2xx\"", "\"5xx\""],
        (_, "pointer") => &["\"\"", "\"/in_flight\"", "\"/a~1b/0\""],
        (_, "equals") => &["0", "\"done\"", "true", "1.5"],
        (_, "at_most") => &["0", "2.5", "-1"],
        (_, "labels") => &["{ method = \"GET\" }", "{ }"],
        (_, "exists") => &["true", "false"],
        (_, "contains") => &["\"done\""],
        (_, "until") => &["\"ended\"", "\"ready\""],
        (_, "name") => &["\"a name\"", "\"é日\""],
        (_, "command" | "exec") => &["[\"true\"]", "['sh', '-c', 'echo $HOME']", "[\"a\", \"${HOST}\"]"],
        (_, "user" | "group") => &["\"www-data\"", "1000", "0"],
        (_, "env" | "headers") => &["{ A = \"b\", TOKEN = \"${HOST:-none}\" }", "{ }"],
        (_, "stdin") => &["\"null\"", "\"inherit\""],
        (_, "output") => &["\"inherit\"", "\"prefix\"", "\"json\""],
        (_, "restart") => &["\"always\"", "\"on_failure\"", "\"never\""],
        (_, "max_restarts") => &["0", "5", "1000000"],
        (_, "main") => &["true", "false"],
        (_, "on_exit") => &["\"stop\"", "\"stop_on_failure\"", "\"continue\""],
        (_, "stop") => &["\"SIGTERM\"", "\"15\"", "[\"SIGQUIT\"]"],
        (_, "signal_to") => &["\"process\"", "\"group\""],
        (_, "initial") => &["\"1s\"", "\"10ms\""],
        (_, "max") => &["\"5m\"", "\"1h\""],
        (_, "reset") => &["\"10m\""],
        (_, "diagnose") => &["\"SIGQUIT\"", "\"3\""],
        (_, "timeout_when_ended") => &["\"3s\"", "\"0s\""],
        ("signal" | "stop" | "diagnose" | "stragglers", "signal") => &["\"SIGUSR1\"", "\"HUP\""],
        (_, "wait") => &["\"1s\""],
        (_, "initial_delay") => &["\"0s\"", "\"3s\""],
        (_, "period" | "retry_delay") => &["\"1s\"", "\"10ms\""],
        ("stragglers", "timeout") => &["\"5s\"", "\"0s\""],
        (_, "timeout") => &["\"5s\"", "\"1m30s\""],
        (_, "success_threshold") => &["1"],
        (_, "failure_threshold") => &["1", "30"],
        (_, "retries") => &["0", "3", "1000"],
        (_, "reserve") => &["\"1s\"", "\"0s\""],
        (_, "when") => &["\"requested\"", "\"always\""],
        (_, "sleep") => &["\"1s\"", "\"2s\""],
        (_, "host") => &["\"db\"", "\"::1\"", "\"10.0.0.7\""],
        (_, "port") => &["8080", "1", "65535", "\"${NONE:-80}\""],
        (_, "path") => &["\"/\"", "\"/a?b=c\""],
        (_, "json" | "metric") => panic!("drawn key by key"),
        (_, "body") => &["\"\"", "'{}'"],
        ("signal", "process") => &["\"web\""],
        // Tables: drawn key by key.
        _ => panic!("give `{key}` of {} some values", section.title),
    }
}
