//! What a process was doing right before SIGKILL: facts, their one line, and the lines with the details. Pure.

use std::fmt;

use serde::Serialize;

use crate::facts::{Disposition, Several};

/// Of everything that is listed, so much is told in the log; the report has all that was looked at.
const TOLD: usize = 5;

/// Every fact may be missing: no /proc, not permitted, no time to look. Lists are bounded by who looks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Inspection {
    /// The kernel's letter: R running, S sleeping, D uninterruptible, T stopped, t traced, Z zombie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<char>,
    /// Its control group, or one above, is frozen (version 2's cgroup.freeze): it gets no signal but SIGKILL.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// What the last signal of its ladder is to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_is: Option<Disposition>,
    /// The kernel function it sleeps in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wchan: Option<String>,
    /// How many threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_connections: Option<Count>,
    /// Its threads, when it has more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each_thread: Vec<InspectedThread>,
    /// Its TCP connections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
    /// The kernel functions it is in, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernel_stack: Vec<String>,
    /// The last it said, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_output: Vec<String>,
}

/// How many there are of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Count {
    pub count: usize,
    /// False: there was too much to look at all of it, so there may be more.
    pub complete: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InspectedThread {
    pub name: String,
    pub state: char,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wchan: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Connection {
    pub local: String,
    pub peer: String,
    pub state: String,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.complete { "" } else { " or more" };
        write!(f, "{}{more}", self.count)
    }
}

/// `state: D, wchan: nfs_wait, threads: 12, children: 2, open files: 40, open connections: 3, last output: "…"`; what is not known is left
/// out.
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = [
            self.state.map(|state| format!("state: {state}")),
            self.frozen.then(|| "frozen by cgroup.freeze".to_owned()),
            self.wchan.as_ref().map(|wchan| format!("wchan: {wchan}")),
            self.threads.map(|n| format!("threads: {n}")),
            self.children.filter(|n| *n > 0).map(|n| format!("children: {n}")),
            self.open_files.map(|n| format!("open files: {n}")),
            self.open_connections.map(|n| format!("open connections: {n}")),
        ];
        let mut known: Vec<String> = facts.into_iter().flatten().collect();
        if known.is_empty() {
            known.push("nothing known: /proc does not show it".to_string());
        }
        known.extend(self.last_output.last().map(|line| format!("last output: {line:?}")));
        f.write_str(&known.join(", "))
    }
}

impl Inspection {
    /// What does not fit into the one line, a few lines at the most.
    pub fn details(&self) -> Vec<String> {
        let threads = self.each_thread.iter().map(|t| match &t.wchan {
            Some(wchan) => format!("{} {} {wchan}", t.name, t.state),
            None => format!("{} {}", t.name, t.state),
        });
        let connections = self.connections.iter().map(|c| format!("{} from {} ({})", c.local, c.peer, c.state));
        let stack =
            (!self.kernel_stack.is_empty()).then(|| format!("in the kernel: {}", self.kernel_stack.join(" < ")));
        let output = match self.last_output.as_slice() {
            // Its last line has been told.
            [] | [_] => None,
            lines => Some(format!("last output: {}", quoted(lines))),
        };
        let threads = listed("threads", threads.collect(), self.threads.map_or(0, |n| n as usize));
        let connections =
            listed("connections", connections.collect(), self.open_connections.map_or(0, |count| count.count));
        stack.into_iter().chain(threads).chain(connections).chain(output).collect()
    }
}

/// `threads: a, b and 7 more`.
fn listed(what: &str, mut named: Vec<String>, all: usize) -> Option<String> {
    if named.is_empty() {
        return None;
    }
    let all = all.max(named.len());
    named.truncate(TOLD);
    Some(format!("{what}: {}", Several { named, all }))
}

/// The last few lines of an output, as one.
pub(super) fn quoted(lines: &[String]) -> String {
    let from = lines.len().saturating_sub(TOLD);
    lines[from..].iter().map(|line| format!("{line:?}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(count: usize) -> Option<Count> {
        Some(Count { count, complete: true })
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let look = Inspection {
            state: Some('D'),
            wchan: Some("nfs_wait".into()),
            threads: Some(12),
            children: Some(0),
            open_files: count(40),
            open_connections: count(3),
            ..Inspection::default()
        };
        assert_eq!(look.to_string(), "state: D, wchan: nfs_wait, threads: 12, open files: 40, open connections: 3");
        assert_eq!(look.details(), Vec::<String>::new());
        let frozen =
            Inspection { state: Some('S'), frozen: true, wchan: Some("get_signal".into()), ..Inspection::default() };
        assert_eq!(frozen.to_string(), "state: S, frozen by cgroup.freeze, wchan: get_signal");
        assert_eq!(Inspection { state: Some('T'), ..Inspection::default() }.to_string(), "state: T");
        assert_eq!(Count { count: 4096, complete: false }.to_string(), "4096 or more");
        let silent = Inspection { last_output: vec!["a \"b\"".into()], ..Inspection::default() };
        assert_eq!(silent.to_string(), "nothing known: /proc does not show it, last output: \"a \\\"b\\\"\"");
    }

    #[test]
    fn details_are_a_few_lines_and_say_what_they_leave_out() {
        let thread =
            |n: usize| InspectedThread { name: format!("t{n}"), state: 'S', wchan: (n == 0).then(|| "futex".into()) };
        let connection =
            Connection { local: "10.0.0.1:80".into(), peer: "10.0.0.2:5".into(), state: "close_wait".into() };
        let look = Inspection {
            threads: Some(200),
            each_thread: (0..9).map(thread).collect(),
            open_connections: count(1),
            connections: vec![connection],
            kernel_stack: vec!["nfs_wait".into(), "vfs_read".into()],
            last_output: (0..8).map(|n| format!("line {n}")).collect(),
            ..Inspection::default()
        };
        assert_eq!(
            look.details(),
            [
                "in the kernel: nfs_wait < vfs_read",
                "threads: t0 S futex, t1 S, t2 S, t3 S, t4 S and 195 more",
                "connections: 10.0.0.1:80 from 10.0.0.2:5 (close_wait)",
                "last output: \"line 3\", \"line 4\", \"line 5\", \"line 6\", \"line 7\"",
            ]
        );
    }
}
