//! The start: init tasks in order, then the processes, each below what it waits for. Pure.

use std::fmt::Write as _;

use super::Planned;
use crate::config::{Condition, Process};
use crate::picture::measure::shown;
use crate::plan::budget::task_length;
use crate::time::Human;

impl Planned {
    /// The start order as a tree, in box characters or ASCII.
    pub fn tree(&self, unicode: bool) -> String {
        let config = &self.plan.config;
        let mut out = "start\n".to_owned();
        let deepest = self.deepest();
        let roots: Vec<usize> = (0..config.processes.len()).filter(|n| deepest[*n].is_none()).collect();
        let all = config.init.len() + roots.len();
        for (n, task) in config.init.iter().enumerate() {
            let limit = task_length(task).map_or(String::new(), |limit| format!(", up to {}", Human(limit)));
            let label = format!("init: {}{limit}", shown(&task.name, unicode));
            line(&mut out, "", n + 1 == all, &label, unicode);
        }
        for (n, root) in roots.iter().enumerate() {
            self.branch(*root, "", config.init.len() + n + 1 == all, &deepest, unicode, &mut out);
        }
        out
    }

    fn branch(&self, n: usize, before: &str, last: bool, deepest: &[Option<usize>], unicode: bool, out: &mut String) {
        let processes = &self.plan.config.processes;
        line(out, before, last, &self.label(n, unicode), unicode);
        let below: Vec<usize> = (0..processes.len()).filter(|other| deepest[*other] == Some(n)).collect();
        let rule = if unicode { "│  " } else { "|  " };
        let before = format!("{before}{}", if last { "   " } else { rule });
        for (nth, other) in below.iter().enumerate() {
            self.branch(*other, &before, nth + 1 == below.len(), deepest, unicode, out);
        }
    }

    fn label(&self, n: usize, unicode: bool) -> String {
        let processes = &self.plan.config.processes;
        let process = &processes[n];
        let mut label = shown(&process.name, unicode);
        let need =
            |(on, condition): &(usize, Condition)| format!("{} is {condition}", shown(&processes[*on].name, unicode));
        let needs: Vec<String> = process.after.iter().map(need).collect();
        if !needs.is_empty() {
            let _ = write!(label, ", when {}", needs.join(" and "));
        }
        if process.schedule.is_some() {
            label.push_str(", at its times (schedule)");
        } else if !process.autostart {
            let _ = write!(label, ", held down until softstop start {}", shown(&process.name, unicode));
        }
        if self.plan.main == Some(n) && processes.len() > 1 {
            label.push_str(" (main)");
        }
        label
    }

    /// Of each process, that one of those it waits for which comes last itself.
    fn deepest(&self) -> Vec<Option<usize>> {
        let processes = &self.plan.config.processes;
        let mut depth = vec![0usize; processes.len()];
        // There is no circle, so that after as many rounds as there are processes nothing changes any more.
        for _ in 0..processes.len() {
            let before = depth.clone();
            for (n, process) in processes.iter().enumerate() {
                let needs = process.after.iter().filter(|(on, _)| *on != n).map(|(on, _)| before[*on] + 1);
                depth[n] = needs.max().unwrap_or(0);
            }
            if depth == before {
                break;
            }
        }
        let deepest = |(n, process): (usize, &Process)| {
            process.after.iter().map(|(on, _)| *on).filter(|on| *on != n).max_by_key(|on| (depth[*on], usize::MAX - on))
        };
        processes.iter().enumerate().map(deepest).collect()
    }
}

fn line(out: &mut String, before: &str, last: bool, label: &str, unicode: bool) {
    let corner = match (last, unicode) {
        (true, true) => "└─ ",
        (false, true) => "├─ ",
        (true, false) => "`- ",
        (false, false) => "|- ",
    };
    let _ = writeln!(out, "{before}{corner}{label}");
}
