//! A round from its seed.

use crate::draw_process::{process, words};
use crate::model::{Act, Broken, Doing, Scenario, Step, Stop, Task, What};
use crate::random::Random;
use crate::support::faults::Fault;

/// Nothing in a round takes longer than its grace, so this bounds a round.
const GRACE: (u64, u64) = (1200, 2000);
/// Nobody listens there.
const CLOSED: u16 = 21_999;

pub fn scenario(seed: u64, able: Able) -> Scenario {
    let r = &mut Random(seed);
    // In a fixed order, whatever this machine can do: a seed means the same round everywhere it can be played.
    let (pid1, wrapper) = (r.chance(50), r.chance(50));
    let traced = r.chance(20);
    let mut s = Scenario {
        seed,
        pid1: pid1 && able.namespaces,
        wrapper,
        grace: r.between(GRACE.0, GRACE.1),
        kill_reserve: None,
        stop_reserve: None,
        http: r.chance(60),
        keep: false,
        json_log: r.chance(20),
        exit_codes: [(143, 0), (137, 9), (3, 75), (0, 7)].into_iter().filter(|_| r.chance(20)).collect(),
        forced: r.chance(25).then_some(79),
        init: Vec::new(),
        processes: Vec::new(),
        drain: Vec::new(),
        post_stop: Vec::new(),
        stop: Stop {
            after_us: r.chance(30).then(|| r.below(40_000)),
            signal: r.one_of(&[libc::SIGTERM, libc::SIGTERM, libc::SIGINT, libc::SIGQUIT]),
        },
        unread: r.chance(15),
        strangers: r.chance(50),
        traced: traced && able.strace,
        place: Vec::new(),
        acts: Vec::new(),
        broken: None,
    };
    if r.chance(20) {
        s.kill_reserve = Some(r.between(300, 450));
    }
    if wrapper {
        the_wrapper(&mut s, r)
    } else {
        a_file(&mut s, r)
    }
    acts(&mut s, r);
    place(&mut s, r, able);
    s
}

/// What this machine can do.
#[derive(Clone, Copy)]
pub struct Able {
    pub namespaces: bool,
    pub strace: bool,
    /// Faults in front of softstop.
    pub faults: bool,
    /// A user id of this run's own.
    pub user: u32,
}

fn the_wrapper(s: &mut Scenario, r: &mut Random) {
    let mut p = process("main", true, s.stop.signal, r);
    p.output = r.one_of(&[None, None, Some("prefix"), Some("json")]);
    s.processes.push(p);
    if r.chance(40) {
        let ms = r.between(20, 300);
        s.drain.push(Step { tasks: vec![sleep(&format!("sleep {ms}ms"), ms)], reserve: None, always: false });
    }
}

fn a_file(s: &mut Scenario, r: &mut Random) {
    s.keep = r.chance(10);
    if r.chance(20) {
        s.stop_reserve = Some(r.between(100, 300));
    }
    for i in 0..r.between(2, 4) as usize {
        let mut p = process(["web", "db", "agent", "cache"][i], false, libc::SIGTERM, r);
        for on in 0..i {
            if r.chance(35) {
                p.after.push((on, r.one_of(&["started", "started", "ready"])));
            }
        }
        hooks(&mut p, i, r);
        s.processes.push(p);
    }
    if r.chance(50) {
        let main = r.below(s.processes.len() as u64) as usize;
        s.processes[main].main = true;
    }
    for i in 0..r.one_of(&[0, 0, 0, 1, 2]) {
        s.init.push(init(i, r));
    }
    for i in 0..r.below(4) {
        let step = drain_step(i, s.processes.len(), r);
        s.drain.push(step);
    }
    for i in 0..r.below(3) {
        let tasks = vec![exec_or_sleep(&format!("s{i}"), false, r)];
        let reserve = r.chance(40).then(|| r.between(50, 120));
        s.post_stop.push(Step { tasks, reserve, always: r.chance(80) });
    }
    if r.chance(7) {
        s.broken = Some(r.one_of(&Broken::ALL));
    }
}

fn hooks(p: &mut crate::model::Process, i: usize, r: &mut Random) {
    if r.chance(25) {
        let mut task = exec_or_sleep(&format!("{}.pre_stop", p.name), false, r);
        if r.chance(15) {
            task.what = What::Signal(i, libc::SIGUSR1);
        }
        p.pre_stop = Some(task);
    }
    if r.chance(20) {
        let mut task = exec_or_sleep(&format!("{}.post_start", p.name), false, r);
        let timeout = r.between(100, 400);
        // One that is shorter than its sleep is refused.
        task.timeout = Some(if let What::Sleep(ms) = task.what { timeout.max(ms) } else { timeout });
        task.on_failure = Some(r.one_of(&["ignore", "ignore", "ignore", "restart", "stop"]));
        p.post_start.push(task);
    }
}

fn init(i: u64, r: &mut Random) -> Task {
    let name = format!("i{i}");
    let what = match r.below(8) {
        0 => words(&["exit:4"]),
        1 => words(&["tick", "note:15", "wait"]),
        2 => words(&["sleep:150"]),
        _ => words(&["exit:0"]),
    };
    let on_failure = r.chance(60).then_some("ignore");
    Task { name, what: What::Exec(what), timeout: Some(r.between(100, 300)), retries: 0, on_failure }
}

fn drain_step(i: u64, processes: usize, r: &mut Random) -> Step {
    let several = if r.chance(25) { 2 } else { 1 };
    let mut tasks = Vec::new();
    for t in 0..several {
        let name = format!("d{i}.{t}");
        tasks.push(match r.below(10) {
            0 => task(&name, What::Signal(r.below(processes as u64) as usize, libc::SIGUSR1)),
            1 => Task { retries: 1, ..task(&name, What::Tcp(CLOSED)) },
            _ => exec_or_sleep(&name, true, r),
        });
    }
    if r.chance(8) {
        tasks[0].on_failure = Some("stop");
    }
    Step { tasks, reserve: r.chance(40).then(|| r.between(50, 140)), always: r.chance(25) }
}

fn task(name: &str, what: What) -> Task {
    Task { name: name.to_owned(), what, timeout: None, retries: 0, on_failure: None }
}

fn sleep(name: &str, ms: u64) -> Task {
    task(name, What::Sleep(ms))
}

/// A hook that is done, fails, takes its time, hangs, or hangs with a timeout of its own.
fn exec_or_sleep(name: &str, asks: bool, r: &mut Random) -> Task {
    if r.chance(25) {
        return sleep(name, r.between(10, 200));
    }
    let mut all = if asks { words(&["readyz"]) } else { Vec::new() };
    let mut made = task(name, What::Exec(Vec::new()));
    match r.below(10) {
        0 => all.extend(words(&["exit:5"])),
        1 => all.extend(words(&["crash"])),
        2 | 3 => all.extend(words(&["tick", "note:15", "wait"])),
        4 | 5 => {
            all.extend(words(&["tick", "note:15", "wait"]));
            made.timeout = Some(r.between(40, 200));
        }
        6 => all.push(format!("sleep:{}", r.between(5, 120))),
        7 => {
            all.extend(words(&["exit:5"]));
            made.retries = 1;
        }
        _ => all.extend(words(&["exit:0"])),
    }
    if asks && matches!(all.last().map(String::as_str), Some("exit:0")) {
        all.insert(all.len() - 1, "readyz".to_owned());
    }
    made.what = What::Exec(all);
    made
}

// === what goes wrong ===

fn acts(s: &mut Scenario, r: &mut Random) {
    let grace = s.grace as i64;
    for _ in 0..r.one_of(&[0, 1, 1, 2, 3]) {
        let at = r.below(s.grace / 2) as i64 - 60;
        let what = match r.below(10) {
            0..=2 => Doing::StopOne(r.next()),
            3..=5 => Doing::KillOne(r.next()),
            6 => Doing::Freeze(r.between(20, 250)),
            7 => Doing::Storm {
                signal: s.stop.signal,
                count: r.between(1, 2000) as u32,
                senders: r.between(1, 4) as u32,
            },
            8 => Doing::Storm { signal: r.one_of(&[libc::SIGTERM, libc::SIGINT]), count: 1, senders: 1 },
            _ => {
                let signal = r.one_of(&[libc::SIGUSR1, libc::SIGHUP, libc::SIGWINCH, libc::SIGCHLD, libc::SIGCONT]);
                Doing::Storm { signal, count: r.between(1, 300) as u32, senders: r.between(1, 3) as u32 }
            }
        };
        let stops = matches!(what, Doing::Storm { signal, .. } if signal == libc::SIGTERM || signal == libc::SIGINT || signal == libc::SIGQUIT);
        s.acts.push(Act { at: if stops { at.clamp(1, grace) } else { at }, what });
    }
    s.acts.sort_by_key(|act| act.at);
}

fn place(s: &mut Scenario, r: &mut Random, able: Able) {
    let (wanted, which) = (r.chance(15), r.next());
    if !wanted || !able.faults || s.broken.is_some() {
        return;
    }
    let mut all = if s.pid1 { Fault::harmless_as_pid1(able.user) } else { Fault::harmless(able.user) };
    // A stranger has to be of the same user, and strace may not look at another's.
    s.place = all.swap_remove((which % all.len() as u64) as usize);
    s.strangers = false;
    s.traced = false;
}
