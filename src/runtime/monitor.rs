//! What softstop sees of the container beside what it does itself: whom the kernel killed because memory had run out, whose orphans it reaps,
//! what a process said before it died, how near the limit of processes is. Nothing is decided by it, so the machine does not know of
//! it: it is told in the log and the report, and shown in the status.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::schedules;
use super::shell::{Owner, Shell};
use crate::lifecycle::event::{Event, Exit, ProcId};
use crate::record::LastStop;
use crate::report::{Counters, MemoryLimit, Note, OTHERS, Orphans};
use crate::signal::Signal;
use crate::status::{Pids, Status, Why};
use crate::sys::cgroup::Cgroup;
use crate::sys::{procfs, tree};

/// The counters are looked at when softstop is awake anyway, and no more often than this.
const LOOK: Duration = Duration::from_secs(1);
/// The number of processes, when nothing points to a want of them.
const PIDS_LOOK: Duration = Duration::from_secs(10);
/// A kill that has been counted is somebody else's when no child of softstop's has died of it after so long: what has much memory
/// takes long to die.
const UNEXPLAINED: Duration = Duration::from_secs(5);
/// Warned of at these parts of pids.max, in per cent, once each until it has fallen well below.
const NEAR: [u64; 2] = [80, 95];
const FAR: u64 = 70;
/// Counting all processes may take so long.
const COUNTING: Duration = Duration::from_millis(20);
/// Of so many orphans in a second the command is looked up, which takes longer than reaping them; a storm of more must starve nobody.
const ORPHAN_LOOKS: u32 = 256;

pub(super) struct Monitor {
    cgroup: Cgroup,
    pub orphans: Orphans,
    /// When the second began for which orphans are counted, and how many were looked at.
    orphan_inspections: (Instant, u32),
    /// The kernel's counter of kills as far as they have been told. `None`: it does not say.
    reported_kills: Option<u64>,
    unexplained_since: Option<Instant>,
    next_inspection: Instant,
    next_pids_inspection: Instant,
    /// How many of [`NEAR`] have been warned of.
    warned: usize,
    /// Per process.
    deaths: Vec<Death>,
    /// When each scheduled task is next due, in seconds since 1970.
    times: Vec<(ProcId, Option<i64>)>,
    /// Of what was said: whoever says it counts.
    pub counters: Rc<RefCell<Counters>>,
    /// How the run before this one ended.
    pub last_stop: Option<LastStop>,
}

/// The last end of a process.
#[derive(Clone, Default)]
struct Death {
    oom: bool,
    last_output: Vec<String>,
}

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Everybody who can reach the probe port.
    Anybody,
    /// The owner, over the control socket.
    Owner,
}

impl Monitor {
    pub(super) fn new(processes: usize) -> Monitor {
        let now = Instant::now();
        Monitor {
            cgroup: Cgroup::default(),
            orphans: Orphans::default(),
            orphan_inspections: (now, 0),
            reported_kills: None,
            unexplained_since: None,
            next_inspection: now,
            next_pids_inspection: now,
            warned: 0,
            deaths: vec![Death::default(); processes],
            times: Vec::new(),
            counters: Rc::default(),
            last_stop: None,
        }
    }

    /// Finds softstop's own control group. What has happened in it before is nobody's of ours.
    pub(super) fn begin(&mut self) {
        self.cgroup = Cgroup::find();
        self.reported_kills = self.cgroup.oom_kills();
    }

    pub(super) fn show(&self, status: &mut Status, audience: Audience) {
        status.seen.orphans = self.orphans.list();
        status.seen.oom_kills = self.cgroup.oom_kills();
        status.seen.pids = self.cgroup.pids().map(|pids| Pids { current: pids.current, max: pids.max });
        status.seen.last_stop = self.last_stop.as_ref().map(|last| shown(last, audience));
        let counters = self.counters.borrow();
        status.seen.drain_steps_cut = counters.drain_steps_cut();
        for (process, at) in &self.times {
            let schedule = status.processes.iter_mut().find(|p| p.id == process.0).and_then(|p| p.schedule.as_mut());
            if let (Some(schedule), Some(at)) = (schedule, at) {
                schedule.next_in = Some(schedules::until(*at));
            }
        }
        for process in &mut status.processes {
            process.sigkills = counters.sigkills(&process.name);
            for (probe, failures) in &mut process.probe_failures {
                *failures = counters.failed_probes(&process.name, *probe);
            }
            let Some(death) = self.deaths.get(process.id) else { continue };
            if let Some(exit) = process.last_exit.as_mut().filter(|_| death.oom) {
                exit.reason = Why::OomKilled;
            }
            match audience {
                Audience::Owner => process.last_output.clone_from(&death.last_output),
                // Its own words may be about anything.
                Audience::Anybody => process.status = None,
            }
        }
    }

    pub(super) fn scheduled(&mut self, times: impl Iterator<Item = (ProcId, Option<i64>)>) {
        self.times = times.collect();
    }

    /// After a reload there are so many, and others at these places.
    pub(super) fn adopt(&mut self, processes: usize, others: &[usize]) {
        self.deaths.resize(processes, Death::default());
        others.iter().for_each(|id| self.deaths[*id] = Death::default());
    }

    /// Whether there is time to look at one more.
    fn may_inspect_orphan(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.orphan_inspections.0) >= Duration::from_secs(1) {
            self.orphan_inspections = (now, 0);
        }
        self.orphan_inspections.1 += 1;
        self.orphan_inspections.1 <= ORPHAN_LOOKS
    }

    /// The process has ended, and these are its last words.
    pub(super) fn said_last(&mut self, process: ProcId, lines: &[String]) {
        self.deaths[process.0].last_output = lines.to_vec();
    }

    fn limit(&self) -> Option<MemoryLimit> {
        self.cgroup.memory_limit().map(|(file, bytes)| MemoryLimit { file, bytes })
    }

    /// The kernel has killed somebody of whom nothing has been told yet: how many in all.
    fn take_kill(&mut self) -> Option<u64> {
        let (kills, reported) = (self.cgroup.oom_kills()?, self.reported_kills.as_mut()?);
        if kills <= *reported {
            return None;
        }
        *reported += 1;
        self.unexplained_since = None;
        Some(kills)
    }

    /// Kills that no child of softstop's has died of: how many, and in all.
    fn kills_of_others(&mut self, now: Instant) -> Option<(u64, u64)> {
        let (kills, reported) = (self.cgroup.oom_kills()?, self.reported_kills.as_mut()?);
        if kills <= *reported {
            self.unexplained_since = None;
            return None;
        }
        if now.saturating_duration_since(*self.unexplained_since.get_or_insert(now)) < UNEXPLAINED {
            return None;
        }
        self.unreported_kills()
    }

    /// Kills of which nothing has been told: how many, and in all. From now on they have been. At the end of softstop nobody can die of
    /// them any more.
    fn unreported_kills(&mut self) -> Option<(u64, u64)> {
        let (kills, reported) = (self.cgroup.oom_kills()?, self.reported_kills.as_mut()?);
        self.unexplained_since = None;
        let count = kills.saturating_sub(std::mem::replace(reported, kills));
        (count > 0).then_some((count, kills))
    }

    /// Nearer to pids.max than has been said.
    fn pids_are_near(&mut self) -> Option<Pids> {
        let pids = self.cgroup.pids()?;
        let is_at = |percent: u64| pids.current.saturating_mul(100) >= pids.max.saturating_mul(percent);
        let near = NEAR.iter().filter(|percent| is_at(**percent)).count();
        if near == 0 && !is_at(FAR) {
            self.warned = 0;
        }
        let news = near > self.warned;
        self.warned = self.warned.max(near);
        news.then_some(Pids { current: pids.current, max: pids.max })
    }
}

impl Shell {
    /// Whatever woke softstop.
    pub(super) fn inspect_container(&mut self) {
        let now = Instant::now();
        let mut monitor = self.monitor.borrow_mut();
        if now < monitor.next_inspection || self.no_time_to_inspect() {
            return;
        }
        monitor.next_inspection = now + LOOK;
        let others = monitor.kills_of_others(now);
        let pids = if now >= monitor.next_pids_inspection {
            monitor.next_pids_inspection = now + PIDS_LOOK;
            monitor.pids_are_near()
        } else {
            None
        };
        drop(monitor);
        self.report_kills(others);
        if let Some(pids) = pids {
            self.report_pids(pids);
        }
    }

    /// Before the summary: a worker's death may have been what ended the container, and nobody had time to look.
    pub(super) fn last_kills(&mut self) {
        let others = self.monitor.borrow_mut().unreported_kills();
        self.report_kills(others);
    }

    fn report_kills(&mut self, others: Option<(u64, u64)>) {
        let Some((count, kills)) = others else { return };
        let limit = self.monitor.borrow().limit();
        self.reporter.note(Note::OomKilledOthers { count, limit, kills });
    }

    /// Something points to a want of processes: the next look at the counters is at these, too.
    pub(super) fn processes_may_be_short(&mut self) {
        self.monitor.borrow_mut().next_pids_inspection = Instant::now();
    }

    fn report_pids(&mut self, pids: Pids) {
        // In the stop the processor time is better spent, and a crowd is counted anyway.
        let stopping = self.machine.borrow().stopping();
        let census = if stopping { tree::Census::default() } else { tree::census(COUNTING) };
        let parent = census.worst_parent.map(|(comm, pid)| format!("{comm} (pid {pid})"));
        self.reporter.note(Note::PidsNear {
            current: pids.current,
            max: pids.max,
            complete: census.complete,
            processes: census.processes,
            zombies: census.zombies,
            parent,
        });
    }

    /// An adopted orphan has died and is a zombie still.
    pub(super) fn count_orphan(&mut self, pid: i32) {
        self.push(Event::OrphanReaped);
        let now = Instant::now();
        let may_look = self.monitor.borrow_mut().may_inspect_orphan(now) && !self.no_time_to_inspect();
        let stat = if may_look { procfs::stat(pid) } else { None };
        let of = stat.as_ref().and_then(|stat| {
            let owner = self.groups.owner(stat.pgid).or_else(|| self.groups.owner(stat.session))?;
            Some(self.plan.name(owner.0))
        });
        let command = stat.as_ref().map_or(OTHERS, |stat| stat.comm.as_str());
        let mut monitor = self.monitor.borrow_mut();
        monitor.orphans.add(command, of);
        monitor.next_pids_inspection = now;
    }

    /// A process of ours has died, of SIGKILL perhaps: if that was not softstop's doing, was it the kernel's?
    #[inline(never)] // its frame is not its caller's
    pub(super) fn inspect_death(&mut self, pid: i32, owner: Option<Owner>, exit: Exit) {
        let by_softstop = self.killed.pids.remove(&pid) || self.killed.everybody;
        if let Some(Owner::Process(process)) = owner {
            self.monitor.borrow_mut().deaths[process.0] = Death::default();
        }
        if by_softstop || owner.is_none() || !matches!(exit, Exit::Signal { signal: Signal::KILL, .. }) {
            return;
        }
        let mut monitor = self.monitor.borrow_mut();
        let Some(kills) = monitor.take_kill() else { return };
        let limit = monitor.limit();
        let name = match owner {
            Some(Owner::Process(process)) => {
                monitor.deaths[process.0].oom = true;
                self.plan.name(process.0).to_owned()
            }
            _ => procfs::stat(pid).map_or_else(|| "a hook".to_owned(), |stat| format!("hook {}", stat.comm)),
        };
        drop(monitor);
        self.reporter.note(Note::OomKilled { process: name, pid, limit, kills });
    }
}

/// What is found in a report may have words of a process in it.
fn shown(last: &LastStop, audience: Audience) -> LastStop {
    let mut last = last.clone();
    last.ended_ago = schedules::since(last.ended_at);
    if audience == Audience::Anybody {
        last.findings.iter_mut().for_each(|found| found.text.clear());
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_where_nothing_is_known() {
        let mut monitor = Monitor::new(1);
        assert_eq!(
            (monitor.take_kill(), monitor.kills_of_others(Instant::now()), monitor.unreported_kills()),
            (None, None, None)
        );
        assert!(monitor.pids_are_near().is_none());
        monitor.begin();
        assert_eq!(monitor.take_kill(), None, "what happened before is nobody's of ours");
    }

    #[test]
    fn a_storm_of_orphans_is_not_looked_at_one_by_one() {
        let (mut monitor, now) = (Monitor::new(0), Instant::now());
        assert_eq!((0..1000).filter(|_| monitor.may_inspect_orphan(now)).count(), ORPHAN_LOOKS as usize);
        assert!(monitor.may_inspect_orphan(now + Duration::from_secs(2)), "another second");
    }
}
