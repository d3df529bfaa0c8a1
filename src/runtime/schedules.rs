//! When scheduled tasks are due, by the clock on the wall. What is then done is the machine's to decide.
//!
//! The wall's clock may be set, and no timer of the loop follows it: so it is looked at again every [`LOOK`], and a change of it is noticed by then.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::files;
use super::shell::Shell;
use crate::config::{Config, Process, Schedule};
use crate::lifecycle::event::{Event, ProcId};
use crate::output::wall_clock;
use crate::plan::Plan;
use crate::schedule::zone::{self, Zone};
use crate::schedule::{self, LARGEST};

const LOOK: Duration = Duration::from_secs(30);
/// Of a zone's file, in bytes; the longest has 4 kB.
const MAX_ZONE: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Schedules {
    list: Vec<Scheduled>,
    look: Option<Instant>,
    /// The clock when it was last looked at.
    last: i64,
    /// Those that are known, by name.
    zones: BTreeMap<String, Zone>,
}

struct Scheduled {
    process: ProcId,
    schedule: Box<Schedule>,
    zone: Zone,
    /// How often it has been due: its jitter is another one each time.
    times: u32,
    /// Seconds since 1970.
    due: Option<i64>,
}

impl Schedules {
    /// Those of the configuration, with the files of their time zones.
    ///
    /// # Errors
    /// A zone that cannot be had: which process, which file and why.
    pub(super) fn open(config: &Config) -> Result<Schedules, String> {
        let zones = zones(config, &|_| false, &mut before_the_start)?;
        let mut schedules = Schedules { zones, ..Schedules::default() };
        schedules.list = schedules.of(config);
        Ok(schedules)
    }

    /// Those of the configuration, none of which has a time yet.
    fn of(&self, config: &Config) -> Vec<Scheduled> {
        let all = config.processes.iter().enumerate().filter(|(_, process)| !process.removed);
        let scheduled = |(id, process): (usize, &Process)| {
            let schedule = process.schedule.clone()?;
            let zone = schedule.time_zone.as_ref().and_then(|name| self.zones.get(name));
            let zone = zone.cloned().unwrap_or_else(Zone::utc);
            Some(Scheduled { process: ProcId(id), schedule, zone, times: 0, due: None })
        };
        all.filter_map(scheduled).collect()
    }

    /// After a reload: whose schedule is as before is due when it was.
    pub(super) fn adopt(&mut self, zones: BTreeMap<String, Zone>, plan: &Plan) {
        self.zones.extend(zones);
        let list = self.of(&plan.config);
        let before = std::mem::replace(&mut self.list, list);
        self.last = now();
        for scheduled in &mut self.list {
            let same = |old: &&Scheduled| old.process == scheduled.process && old.schedule == scheduled.schedule;
            match before.iter().find(same) {
                Some(old) => (scheduled.times, scheduled.due) = (old.times, old.due),
                None => scheduled.plan_next(self.last, plan),
            }
        }
        self.look_again();
    }

    /// From now on.
    fn begin(&mut self, plan: &Plan) {
        self.last = now();
        for scheduled in &mut self.list {
            scheduled.plan_next(self.last, plan);
        }
        self.look_again();
    }

    /// When to look at the clock again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.look
    }

    /// Of each process that has one, when it is next due, in seconds since 1970.
    pub(super) fn times(&self) -> impl Iterator<Item = (ProcId, Option<i64>)> + '_ {
        self.list.iter().map(|scheduled| (scheduled.process, scheduled.due))
    }

    /// Who is due by now; `None`: it is not the time to look.
    fn due(&mut self, plan: &Plan) -> Option<Vec<ProcId>> {
        self.look.filter(|at| *at <= Instant::now())?;
        let now = now();
        // Set back by more than summer time is: by the new clock the next time is sooner.
        let set_back = self.last - now > LARGEST;
        self.last = now;
        let mut due = Vec::new();
        for scheduled in &mut self.list {
            let Some(at) = scheduled.due.filter(|_| !set_back) else {
                scheduled.plan_next(now, plan);
                continue;
            };
            if at <= now {
                // What was missed by more is not made up for.
                due.extend((now - at <= LARGEST).then_some(scheduled.process));
                scheduled.plan_next(now, plan);
            }
        }
        self.look_again();
        Some(due)
    }

    fn look_again(&mut self) {
        let next = self.list.iter().filter_map(|scheduled| scheduled.due).min();
        // A moment later, as its second has to have begun.
        let left = next.map(|at| until(at) + Duration::from_millis(1));
        self.look = left.map(|left| Instant::now() + left.min(LOOK));
    }
}

impl Scheduled {
    fn plan_next(&mut self, now: i64, plan: &Plan) {
        let jitter = plan.part(self.process.0, self.times) * self.schedule.jitter.as_secs_f64();
        self.times = self.times.wrapping_add(1);
        // Rounding down: what is due is never before its time.
        self.due = schedule::next(&self.schedule.cron, &self.zone, now).map(|at| at + jitter as i64);
    }
}

impl Shell {
    pub(super) fn begin_schedules(&mut self) {
        self.schedules.begin(&self.plan);
        self.monitor.borrow_mut().scheduled(self.schedules.times());
    }

    /// Tell of those whose time has come.
    pub(super) fn start_scheduled(&mut self) {
        let Some(due) = self.schedules.due(&self.plan) else { return };
        for process in due {
            self.push(Event::Scheduled { process });
        }
        self.monitor.borrow_mut().scheduled(self.schedules.times());
    }
}

impl Shell {
    /// Those of another configuration that are not known yet.
    ///
    /// # Errors
    /// As [`Schedules::open`].
    pub(super) fn missing_zones(&mut self, config: &Config) -> Result<BTreeMap<String, Zone>, String> {
        let known = std::mem::take(&mut self.schedules.zones);
        let missing = zones(config, &|name| known.contains_key(name), &mut |path| self.read_aside(path, MAX_ZONE));
        self.schedules.zones = known;
        missing
    }
}

/// Reads a zone's file.
type Read<'r> = &'r mut dyn FnMut(&Path) -> io::Result<Vec<u8>>;

/// What nothing that runs can be held up by.
fn before_the_start(path: &Path) -> io::Result<Vec<u8>> {
    files::read(path, MAX_ZONE)
}

/// The zones of all schedules, but for those that are known.
fn zones(config: &Config, is_known: &dyn Fn(&str) -> bool, read: Read<'_>) -> Result<BTreeMap<String, Zone>, String> {
    let mut zones = BTreeMap::new();
    for process in &config.processes {
        let Some(name) = process.schedule.as_ref().and_then(|schedule| schedule.time_zone.as_ref()) else { continue };
        if !is_known(name) && !zones.contains_key(name) {
            let zone = zone::file(name).and_then(|path| zone_in(&path, read)).map_err(|why| {
                let process = &process.name;
                format!("{process}: time zone {name}: {why}; install tzdata or mount its file, or leave `time_zone` out for UTC")
            });
            zones.insert(name.clone(), zone?);
        }
    }
    Ok(zones)
}

fn zone_in(path: &Path, read: Read<'_>) -> Result<Zone, String> {
    let bytes = read(path).map_err(|error| error.to_string());
    bytes.and_then(|bytes| Zone::read(&bytes)).map_err(|why| format!("{}: {why}", path.display()))
}

/// For people at a terminal: the clock on their wall, by TZ or /etc/localtime, else UTC. `None`: nobody wants it.
pub(super) fn local_clock(config: &Config) -> Option<Zone> {
    let looked_at = || std::io::stdout().is_terminal() || std::io::stderr().is_terminal();
    if !config.times || config.is_wrapper() || !looked_at() {
        return None;
    }
    let by_name = std::env::var("TZ").ok().filter(|name| !name.is_empty());
    let by_name = by_name.and_then(|name| zone::file(name.trim_start_matches(':')).ok());
    let read = |path: &Path| zone_in(path, &mut before_the_start).ok();
    let zone = by_name.and_then(|path| read(&path)).or_else(|| read(Path::new("/etc/localtime")));
    Some(zone.unwrap_or_else(Zone::utc))
}

/// Seconds since 1970 by the clock on the wall.
fn now() -> i64 {
    i64::try_from(wall_clock().as_secs()).unwrap_or(i64::MAX)
}

/// How long ago the clock showed `at`.
pub(super) fn since(at: u64) -> Duration {
    wall_clock().saturating_sub(Duration::from_secs(at))
}

/// How long until the clock shows `at`.
pub(super) fn until(at: i64) -> Duration {
    Duration::from_secs(u64::try_from(at).unwrap_or_default()).saturating_sub(wall_clock())
}
