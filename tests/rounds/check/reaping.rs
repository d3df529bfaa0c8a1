//! I5 and I9: everybody is reaped, once, and nobody else is ever signalled.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Findings, ROOM};
use crate::sys::MS;
use crate::trace::Call;

/// I5, from outside: no dead child stays one, and nothing of the round is left at the end.
pub fn everything_reaped(case: &Case, found: &mut Findings) {
    for zombie in &case.o.seen.zombies {
        let lay = zombie.last - zombie.first - case.frozen_after(zombie.first) - case.o.seen.stall;
        found.hold(5, lay <= ROOM, || format!("{} (pid {}) lay dead for {} ms", zombie.name, zombie.pid, lay / MS));
    }
    if case.o.seen.looks > 0 {
        found.checked(5);
    }
    found.hold(5, case.o.left.is_empty(), || format!("left behind: {}", case.o.left.join(", ")));
    // An orphan that was born is softstop's to reap, and no other's.
    let Some(reaped) = case.o.report["orphans_reaped"].as_u64() else { return };
    let gone = case.named("left_behind").next().is_none();
    let adopted = case.lives.iter().filter(|l| ["orphan", "session"].contains(&l.start.kind.as_str())).count() as u64;
    found.hold(5, !gone || reaped >= adopted, || format!("{reaped} orphans reaped, of {adopted} that there were"));
}

/// I9, from outside: the strangers have had no signal and are alive.
pub fn nobody_else(case: &Case, found: &mut Findings) {
    match &case.o.strangers {
        Ok(0) => {}
        Ok(_) => found.checked(9),
        Err(why) => found.hold(9, false, || why.clone()),
    }
    for life in case.lives.iter().filter(|l| l.name == "stranger") {
        let got: Vec<_> = life.signals().collect();
        found.hold(9, got.is_empty(), || format!("a stranger was signalled: {got:?}"));
    }
}

/// I5 and I9 by softstop's own system calls: every child that it made or adopted is reaped exactly once, and no signal goes to one
/// that has been.
pub fn system_calls(case: &Case, found: &mut Findings) {
    let calls = match &case.o.calls {
        None => return,
        Some(Err(why)) => {
            found.wrong.push(format!("no trace: {why}"));
            return;
        }
        Some(Ok(calls)) => calls,
    };
    let mut t = Trace::default();
    for call in calls {
        t.follow(call, case, found);
    }
    let known: BTreeSet<i32> = case.lives.iter().filter(|l| l.name != "stranger").map(|l| l.pid).collect();
    found.hold(5, t.alive.is_empty() || !t.alone, || format!("never reaped: {:?}", t.alive));
    let strange: Vec<&i32> = t.pinned.difference(&known).filter(|pid| !t.reaped.contains_key(pid)).collect();
    let strangers: Vec<i32> = case.lives.iter().filter(|l| l.name == "stranger").map(|l| l.pid).collect();
    found.hold(9, strange.iter().all(|pid| !strangers.contains(pid)), || format!("a stranger's pidfd: {strange:?}"));
    let left = case.named("left_behind").next().is_some();
    let alone = t.alone || (t.alone_before && t.alive.is_empty());
    found.hold(5, alone || left || case.t0.is_none(), || {
        "it ended without having been told that no child is left".to_owned()
    });
}

/// What one softstop has made and reaped so far.
#[derive(Default)]
struct Trace {
    /// Its own children, not yet reaped.
    alive: BTreeSet<i32>,
    reaped: BTreeMap<i32, u32>,
    pinned: BTreeSet<i32>,
    /// The last thing it heard of its children is that there are none.
    alone: bool,
    /// It had heard that when it made the child that is still there: at the very end those who write the report and the termination message.
    alone_before: bool,
}

impl Trace {
    fn follow(&mut self, call: &Call, case: &Case, found: &mut Findings) {
        match call.name.as_str() {
            "fork" | "vfork" | "clone" | "clone3" if call.result > 0 => {
                let pid = call.result as i32;
                self.reaped.remove(&pid);
                self.alive.insert(pid);
                (self.alone_before, self.alone) = (self.alone || self.alone_before && self.alive.len() == 1, false);
            }
            "waitid" | "wait4"
                if call.result == 0 && !call.arguments.contains("WNOWAIT") && call.arguments.contains("WEXITED") =>
            {
                if let Some(pid) = call.field("si_pid").filter(|pid| *pid > 0) {
                    let own = self.alive.remove(&pid);
                    let times = self.reaped.entry(pid).or_default();
                    // Of those that it adopted, a pid may have come again unseen.
                    *times += 1;
                    let once = own || *times == 1 || case.lives.iter().filter(|l| l.pid == pid).count() > 1;
                    found.hold(5, once, || format!("pid {pid} reaped {times} times"));
                }
            }
            "waitid" | "wait4" if call.result < 0 => self.alone |= call.arguments.contains("P_ALL"),
            "kill" => self.signal(call, case, found),
            "pidfd_open" => drop(call.number(0).map(|pid| self.pinned.insert(pid))),
            _ => {}
        }
    }

    fn signal(&mut self, call: &Call, case: &Case, found: &mut Findings) {
        let (Some(to), probe) = (call.number(0), call.arguments.ends_with(", 0")) else { return };
        if to == -1 {
            found.hold(9, case.s.pid1 && !case.s.strangers, || format!("kill(-1) among strangers: {}", call.arguments));
        } else if to > 0 && !probe {
            let stranger = case.lives.iter().any(|l| l.pid == to && l.name == "stranger");
            let gone = self.reaped.contains_key(&to) && !self.alive.contains(&to);
            found.hold(9, !stranger && !gone, || {
                format!("kill({}), reaped: {gone}, a stranger: {stranger}", call.arguments)
            });
        } else if !probe {
            // A group that softstop made; it lasts as long as it has a member.
            let made = self.alive.contains(&-to) || self.reaped.contains_key(&-to);
            found.hold(9, made, || format!("kill({}) to a group that it did not make", call.arguments));
        }
    }
}
