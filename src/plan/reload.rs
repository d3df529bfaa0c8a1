//! What a new configuration changes, while the processes of the one before run. Pure.
//!
//! A process has its number for as long as it is there: everything that goes on knows it by that. So the new configuration is laid over the
//! one before, by names: who stays keeps its place, who is new gets one that is free, and who is no longer there keeps its own, marked,
//! until it has ended.

use std::collections::BTreeMap;

use crate::config::{Act, Config, Process, Task};
use crate::facts::{Changed, Difference, Later};
use crate::sorted;

/// A configuration to go over to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reload {
    /// Each process in its place; what has to wait for the next start is as before.
    pub config: Config,
    pub difference: Difference,
    /// Who is new.
    pub added: Vec<usize>,
    /// Who has to be started anew for what is new, of those that were there.
    pub restarted: Vec<usize>,
    /// Who has changed otherwise.
    pub changed: Vec<usize>,
}

/// What is so of a process, by its number.
type Is<'a> = &'a dyn Fn(usize) -> bool;

impl Reload {
    /// `is_free`: nothing goes on at the place of a process that was removed before. `is_up`: who is not takes over what is new without being
    /// started for it.
    pub fn new(old: &Config, mut new: Config, is_free: Is<'_>, is_up: Is<'_>) -> Reload {
        let places = places(old, &new, is_free);
        renumber(&mut new, &places);
        let mut difference = Difference::default();
        settings(old, &mut new, &mut difference);
        let mut processes = old.processes.clone();
        take_out(&mut processes, &places, is_free, &mut difference);
        let (mut added, mut restarts, mut changes, mut down) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (mut process, id) in std::mem::take(&mut new.processes).into_iter().zip(places) {
            if let Some(before) = old.processes.get(id).filter(|before| !before.removed) {
                if keep(&mut process.stdin, &before.stdin) {
                    difference.later.push(Later::Process { process: process.name.clone(), key: "stdin" });
                }
                let keys = Keys::of((before, old), (&process, &new));
                // A run that is under way comes to its end.
                let goes_on = keys.restart.is_empty() || before.schedule.is_some() || process.schedule.is_some();
                let all = Changed { process: process.name.clone(), keys: [keys.restart, keys.at_once].concat() };
                match (goes_on, is_up(id)) {
                    _ if all.keys.is_empty() => {}
                    (true, _) => changes.push((id, all)),
                    (false, true) => restarts.push((id, all)),
                    (false, false) => down.push((id, all)),
                }
            } else {
                difference.added.push(process.name.clone());
                added.push(id);
            }
            match processes.get_mut(id) {
                Some(place) => *place = process,
                None => processes.push(process),
            }
        }
        new.processes = processes;
        changes.append(&mut down);
        let (restarted, changed);
        (restarted, difference.restarted) = restarts.into_iter().unzip();
        (changed, difference.changed) = changes.into_iter().unzip();
        Reload { config: new, difference, added, restarted, changed }
    }
}

/// Who is not in the new configuration is marked.
fn take_out(processes: &mut [Process], places: &[usize], is_free: Is<'_>, difference: &mut Difference) {
    for (id, process) in processes.iter_mut().enumerate().filter(|(id, _)| !places.contains(id)) {
        if !process.removed {
            difference.removed.push(process.name.clone());
            process.removed = true;
            process.sockets.clear();
        } else if is_free(id) {
            process.after.clear();
        }
    }
}

/// For each process of `new`, in its order, its place.
fn places(old: &Config, new: &Config, is_free: Is<'_>) -> Vec<usize> {
    let known: BTreeMap<&str, usize> =
        sorted::collected(old.processes.iter().enumerate().map(|(id, p)| (p.name.as_str(), id)));
    let is_gone = |id: usize| old.processes[id].removed && is_free(id);
    let kept = |p: &Process| known.get(p.name.as_str()).copied().filter(|id| !is_gone(*id));
    // Of what ends yet somebody may still speak by its number, and of others by theirs.
    let ends = (0..old.processes.len()).any(|id| old.processes[id].removed && !is_free(id));
    let free = (0..old.processes.len()).filter(|id| !ends && is_gone(*id)).chain(old.processes.len()..);
    let mut free = free.into_iter();
    new.processes.iter().map(|p| kept(p).or_else(|| free.next()).unwrap_or_default()).collect()
}

/// Whoever is named by number, by the one of its place.
fn renumber(config: &mut Config, places: &[usize]) {
    let hooks = config.processes.iter_mut().flat_map(|p| {
        p.after.iter_mut().for_each(|(on, _)| *on = places[*on]);
        p.post_start.iter_mut().chain(p.pre_stop.as_deref_mut()).chain(&mut p.post_exit)
    });
    let steps = config.drain.iter_mut().chain(&mut config.post_stop).flat_map(|step| &mut step.tasks);
    let on_change = config.on_change.iter_mut().filter_map(|rule| match &mut rule.act {
        Act::Task(task) => Some(&mut **task),
        Act::Restart(process) => {
            *process = places[*process];
            None
        }
        Act::Reload => None,
    });
    let tasks = hooks.chain(steps).chain(&mut config.init).chain(on_change);
    tasks.for_each(|task: &mut Task| {
        if let Some(process) = task.handler.process_mut() {
            *process = places[*process];
        }
    });
}

/// Takes `new` apart, so that no field is forgotten. Of the fields in each further line, which are named as their keys are, makes a list of those
/// that are not as in `old`. The first line's are no keys, or show in the others; the second's are looked at behind it.
macro_rules! compare {
    ($type:ident of $new:expr, $old:expr; [$($not:ident)+] [$($other:ident)+] $($list:ident: $($key:ident)+;)+) => {
        let $type { $($not: _,)+ $($other,)+ $($($key,)+)+ } = $new;
        $(let $list = named(&[$((stringify!($key), *$key != $old.$key)),+]);)+
    };
}

fn named(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect()
}

/// The keys of the container's. What has to wait for the next start becomes as before.
fn settings(old: &Config, new: &mut Config, difference: &mut Difference) {
    // Where it was read from is no setting, nor is who runs the container.
    compare! { Config of new, old;
        [source platform procfile processes]
        [http control log sidecar sockets notify_socket init color times logs]
        before: grace kill_reserve stop_reserve stop_on forward readiness_on_drain;
        behind: exit_codes drain post_stop on_change stragglers report termination_log;
    }
    let level = named(&[("log.level", log.level != old.log.level)]);
    difference.settings.extend([before, level, behind].concat());
    let mut later = |name, is: bool| {
        if is {
            difference.later.push(Later::Setting(name));
        }
    };
    later("http", keep(http, &old.http));
    later("control", keep(control, &old.control));
    later("notify", keep(notify_socket, &old.notify_socket));
    later("log.format", keep(&mut log.format, &old.log.format));
    later("color", keep(color, &old.color) | keep(times, &old.times));
    later("logs", keep(logs, &old.logs));
    later("sidecar", keep(sidecar, &old.sidecar));
    later("init", keep(init, &old.init));
    for socket in sockets {
        if let Some(held) = old.sockets.iter().find(|held| held.name == socket.name)
            && keep(socket, held)
        {
            difference.later.push(Later::Socket(held.name.clone()));
        }
    }
}

/// Makes it as before, and says whether it was not.
fn keep<T: Clone + PartialEq>(new: &mut T, old: &T) -> bool {
    let differs = new != old;
    if differs {
        new.clone_from(old);
    }
    differs
}

/// A process that runs cannot take over what is new: its program was started with what was before.
pub fn needs_restart(old: (&Process, &Config), new: (&Process, &Config)) -> bool {
    !Keys::of(old, new).restart.is_empty()
}

/// Of one process, what is new.
struct Keys {
    /// What its program is started with.
    restart: Vec<&'static str>,
    at_once: Vec<&'static str>,
}

impl Keys {
    /// Each with its configuration.
    fn of((old, before): (&Process, &Config), (new, all): (&Process, &Config)) -> Keys {
        // Who has the terminal (`stdin`) is settled when softstop starts.
        compare! { Process of new, old;
            [name removed stated foreground stop_as_received stdin]
            [launch sockets]
            program: command;
            streams: output logs tty notify;
            at_once: autostart kind success_codes restart restart_on backoff max_restarts restart_window schedule main on_exit after stop
                diagnose signal_to rewrite stragglers startup readiness liveness post_start pre_stop post_exit;
        }
        let names = |list: &[usize], config: &Config| -> Vec<String> {
            list.iter().filter_map(|index| Some(config.sockets.get(*index)?.name.clone())).collect()
        };
        let launch = named(&[
            ("user", launch.identity != old.launch.identity),
            ("working_dir", launch.working_dir != old.launch.working_dir),
            ("env", launch.env != old.launch.env),
            ("env_file", launch.env_files != old.launch.env_files),
            ("file_env", launch.file_env != old.launch.file_env),
            ("clear_env", launch.clear_env != old.launch.clear_env),
            ("limits", launch.limits != old.launch.limits),
            ("sockets", names(sockets, all) != names(&old.sockets, before)),
        ]);
        Keys { restart: [program, launch, streams].concat(), at_once }
    }
}
