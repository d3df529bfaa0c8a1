//! Every interleaving of a small world: at each moment everything that could happen next does, in a world of its own. The
//! search ends when nothing new is left; it is exhaustive for the world's configuration and limits.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Duration;

use softstop::config::Config;
use softstop::lifecycle::event::{Exit, SpawnErrorKind};
use softstop::signal::Signal;
use softstop::time::At;

use super::scenario::Wish;
use super::{Checked, Counts, Violation, World, broken};

/// A configuration, and how often what has no end of its own may happen.
#[derive(Clone)]
pub struct Small {
    pub name: &'static str,
    pub config: Config,
    pub limits: Limits,
    /// What may be wanted of softstop, each at any moment.
    pub wishes: Vec<Wish>,
    pub stragglers: usize,
    /// Even SIGKILL does not end this process.
    pub unkillable: Option<usize>,
    /// Processes may leave somebody in their group.
    pub leaves: bool,
    /// Things happen at deadlines of the machine and at multiples of this.
    pub grid: Duration,
    /// So long softstop may not get to run.
    pub pauses: Vec<Duration>,
    /// Somebody asks for the stop by then.
    pub horizon: At,
    /// Small enough to be searched for every mutant.
    pub quick: bool,
}

/// What is still to come at most.
#[derive(Clone, Debug, Default, Hash)]
pub struct Limits {
    /// Ends that nobody asked for, of each process.
    pub ends: u8,
    pub failed_starts: u8,
    /// Failures of hooks and probes that were not cancelled.
    pub failures: u8,
    /// softstop does not get to run.
    pub pauses: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    Starts(usize),
    FailsToStart(usize, SpawnErrorKind),
    Ends(usize, Exit, bool),
    /// As it was told to, or by SIGKILL.
    Obeys(usize, Exit, bool),
    GroupEnds(usize),
    StragglerEnds(usize),
    Answers(u64, bool),
    Wish(usize),
    /// The machine's next deadline.
    Tick,
    /// Time passes, up to the next multiple of the grid.
    Pass(At),
    /// softstop does not get to run for so long; what happens meanwhile follows, and then it does.
    Pause(Duration),
    Resume,
}

#[derive(Clone)]
struct Place {
    world: World,
    limits: Limits,
    ends: Vec<u8>,
    wishes_left: Vec<bool>,
}

/// Each word is multiplied into the sum and the product folded, as ahash and foldhash do it. The standard library's hasher, which guards
/// against chosen keys, took half of the search in a debug build.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, i: u8) {
        self.write_u64(u64::from(i));
    }

    fn write_u16(&mut self, i: u16) {
        self.write_u64(u64::from(i));
    }

    fn write_u32(&mut self, i: u32) {
        self.write_u64(u64::from(i));
    }

    fn write_u64(&mut self, i: u64) {
        let product = u128::from(self.0 ^ i ^ 0x243f_6a88_85a3_08d3) * 0x5851_f42d_4c95_7f2d;
        self.0 = ((product as u64) ^ ((product >> 64) as u64)).rotate_left(23);
    }

    fn write_usize(&mut self, i: usize) {
        self.write_u64(i as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug, Default)]
pub struct Explored {
    pub states: u64,
    pub transitions: u64,
    pub ends: u64,
    /// In how many transitions each invariant was put to the test.
    pub counts: Counts,
}

impl Place {
    fn new(small: &Small) -> Result<Place, Violation> {
        let mut world = World::new(small.config.clone(), small.stragglers);
        if let Some(p) = small.unkillable {
            world.unkillable_next(p, true);
        }
        world.begin()?;
        let ends = vec![small.limits.ends; small.config.processes.len()];
        Ok(Place { world, limits: small.limits.clone(), ends, wishes_left: vec![true; small.wishes.len()] })
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = Folded::default();
        self.world.fingerprint(&mut hasher);
        (&self.limits, &self.ends, &self.wishes_left).hash(&mut hasher);
        hasher.finish()
    }

    fn choices(&self, small: &Small) -> Vec<Choice> {
        let world = &self.world;
        if world.finished.is_some() {
            return Vec::new();
        }
        if let Some(p) = world.to_start() {
            let failed =
                [SpawnErrorKind::Transient, SpawnErrorKind::NotFound].map(|kind| Choice::FailsToStart(p, kind));
            let may_fail = self.limits.failed_starts > 0;
            return [Choice::Starts(p)].into_iter().chain(failed.into_iter().filter(|_| may_fail)).collect();
        }
        let mut choices = Vec::new();
        for p in 0..world.bodies.len() {
            self.of_process(p, small, &mut choices);
        }
        for (i, s) in world.stragglers.iter().enumerate() {
            if !s.gone && !s.unkillable {
                choices.push(Choice::StragglerEnds(i));
            }
        }
        for (run, hook) in &world.hooks {
            let killed = hook.cancelled == Some(true);
            if !killed {
                choices.push(Choice::Answers(*run, true));
            }
            if hook.cancelled.is_some() || self.limits.failures > 0 {
                choices.push(Choice::Answers(*run, false));
            }
        }
        let late = world.stop.is_none() && world.now >= small.horizon;
        let asked = |i: &usize| self.wishes_left[*i];
        choices.extend((0..small.wishes.len()).filter(asked).map(Choice::Wish));
        if world.late {
            choices.push(Choice::Resume);
        } else if !self.urgent() && !late {
            self.time(small, &mut choices);
            let pauses = small.pauses.iter().filter(|_| self.limits.pauses > 0);
            choices.extend(pauses.map(|length| Choice::Pause(*length)));
        }
        choices
    }

    fn of_process(&self, p: usize, small: &Small, choices: &mut Vec<Choice>) {
        let body = &self.world.bodies[p];
        let leaves: &[bool] = if small.leaves { &[false, true] } else { &[false] };
        if body.alive {
            let killed = Exit::Signal { signal: Signal::KILL, core: false };
            for leaves in leaves {
                if body.killed && !body.unkillable {
                    choices.push(Choice::Obeys(p, killed, *leaves));
                } else if let Some(signal) = self.world.signalled_by(p) {
                    choices.push(Choice::Obeys(p, Exit::Code(0), *leaves));
                    choices.push(Choice::Obeys(p, Exit::Signal { signal, core: false }, *leaves));
                }
                if self.ends[p] > 0 && !body.killed {
                    choices.push(Choice::Ends(p, Exit::Code(0), *leaves));
                    choices.push(Choice::Ends(p, Exit::Code(3), *leaves));
                }
            }
        } else if body.group && !body.unkillable {
            choices.push(Choice::GroupEnds(p));
        }
    }

    /// What has been sent SIGKILL ends before any time passes.
    fn urgent(&self) -> bool {
        let world = &self.world;
        let dying = world.bodies.iter().any(|b| (b.killed && b.alive || b.group_killed && b.group) && !b.unkillable);
        let hooks = world.hooks.values().any(|h| h.cancelled == Some(true));
        dying || hooks || world.stragglers.iter().any(|s| s.killed && !s.gone && !s.unkillable)
    }

    fn time(&self, small: &Small, choices: &mut Vec<Choice>) {
        let now = self.world.now;
        let deadline = self.world.machine.next_deadline();
        let grid = u64::try_from(small.grid.as_micros()).unwrap();
        let next = At::from_micros((now.as_micros() / grid + 1) * grid);
        if deadline.is_some() {
            choices.push(Choice::Tick);
        }
        // Nothing is timed and nobody asks for anything: time alone changes nothing.
        if deadline.is_some_and(|at| next < at) || (deadline.is_none() && now < small.horizon) {
            choices.push(Choice::Pass(next));
        }
    }

    fn apply(&mut self, choice: Choice, small: &Small) -> Checked {
        let world = &mut self.world;
        match choice {
            Choice::Starts(p) => world.started(p)?,
            Choice::FailsToStart(p, kind) => {
                self.limits.failed_starts -= 1;
                world.start_failed(p, kind)?;
            }
            Choice::Ends(p, exit, leaves) => {
                self.ends[p] -= 1;
                world.ends(p, exit, leaves)?;
            }
            Choice::Obeys(p, exit, leaves) => world.ends(p, exit, leaves)?,
            Choice::GroupEnds(p) => world.group_ends(p)?,
            Choice::StragglerEnds(i) => world.straggler_ends(i)?,
            Choice::Answers(run, ok) => {
                let asked_to_end = world.hooks.get(&run).is_some_and(|h| h.cancelled.is_some());
                if !ok && !asked_to_end {
                    self.limits.failures -= 1;
                }
                world.answers(run, ok)?;
            }
            Choice::Wish(i) => {
                self.wishes_left[i] = false;
                world.wish(&small.wishes[i])?;
            }
            Choice::Tick => {
                world.now = world.now.max(world.machine.next_deadline().unwrap_or(world.now));
                world.tick()?;
            }
            Choice::Pass(at) => world.now = at,
            Choice::Pause(length) => {
                self.limits.pauses -= 1;
                let since = world.now;
                world.now = since + length;
                world.stalled_until = world.now;
                world.resumes(since, true)?;
            }
            Choice::Resume => world.catch_up()?,
        }
        self.world.effects.clear();
        Ok(())
    }
}

/// Everything that can happen, until nothing new is left or something is broken; then the way there.
pub fn explore(small: &Small) -> Result<Explored, (Violation, Vec<Choice>)> {
    let mut explored = Explored::default();
    let mut seen = HashSet::<u64, BuildHasherDefault<Folded>>::default();
    let start = Place::new(small).map_err(|v| (v, Vec::new()))?;
    let choices = start.choices(small);
    // Where it came by, with what may happen there and how much of it has; the last of that happens to the place itself.
    let mut path: Vec<(Option<Place>, Vec<Choice>, usize)> = vec![(Some(start), choices, 0)];
    let way = |path: &[(Option<Place>, Vec<Choice>, usize)]| path.iter().map(|(_, c, next)| c[*next - 1]).collect();
    while let Some((place, choices, next)) = path.last_mut() {
        let Some(choice) = choices.get(*next).copied() else {
            path.pop();
            continue;
        };
        *next += 1;
        let Some(mut place) = (if *next < choices.len() { place.clone() } else { place.take() }) else { continue };
        place.world.counts = Counts::default();
        if let Err(violation) = place.apply(choice, small) {
            return Err((violation, way(&path)));
        }
        explored.transitions += 1;
        (0..explored.counts.len()).for_each(|i| explored.counts[i] += u64::from(place.world.counts[i] > 0));
        if !seen.insert(place.fingerprint()) {
            continue;
        }
        explored.states += 1;
        if place.world.finished.is_some() {
            explored.ends += 1;
            continue;
        }
        let choices = place.choices(small);
        if choices.is_empty() {
            let Err(violation) = broken("I1", "nothing can happen any more, and it has not ended") else { continue };
            return Err((violation, way(&path)));
        }
        path.push((Some(place), choices, 0));
    }
    Ok(explored)
}

/// The way again, with everything left out that is not needed to break the same thing, and told.
pub fn shown(small: &Small, way: &[Choice], what: &str) -> String {
    let mut way = way.to_vec();
    let mut i = way.len();
    while i > 0 {
        i -= 1;
        let mut shorter = way.clone();
        shorter.remove(i);
        if walk(small, &shorter).is_some_and(|(_, v)| v.what == what) {
            way = shorter;
        }
    }
    match walk(small, &way) {
        Some((place, v)) => {
            let timeline = place.world.timeline.unwrap_or_default().join("\n");
            format!("{}: {}: {}\n{timeline}\nthe choices: {way:?}", small.name, v.what, v.text)
        }
        None => format!("{}: broken once, and not again: {way:?}", small.name),
    }
}

fn walk(small: &Small, way: &[Choice]) -> Option<(Place, Violation)> {
    let mut place = Place::new(small).ok()?;
    place.world.timeline = Some(Vec::new());
    for choice in way {
        if !place.choices(small).contains(choice) {
            return None;
        }
        if let Err(violation) = place.apply(*choice, small) {
            return Some((place, violation));
        }
    }
    None
}
