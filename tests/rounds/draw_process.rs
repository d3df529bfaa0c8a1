//! One process of a round from the seed: what it does, what its stop is, what is asked of it.

use crate::model::{Ask, Probe, Process};
use crate::random::Random;

pub fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

/// `alone`: the wrapper's, which has no ladder but by a flag and is not restarted.
pub fn process(name: &str, alone: bool, received: i32, r: &mut Random) -> Process {
    let mut p = Process { name: name.to_owned(), backoff: r.between(10, 60), ..Process::default() };
    if r.chance(45) {
        p.ladder = ladder(r);
    }
    p.to_group = r.chance(20);
    if !alone {
        p.restart = r.one_of(&[None, None, Some("always"), Some("never")]);
        p.on_exit = r.one_of(&[None, None, None, Some("continue"), Some("stop")]);
        p.max_restarts = r.chance(30).then(|| r.below(3) as u32);
        p.output = r.one_of(&[None, None, Some("inherit"), Some("prefix"), Some("json")]);
    }
    let signals = p.ladder_signals(received);
    if r.chance(40) {
        p.words.push(format!("lines:{}", r.between(1, 40)));
    }
    for _ in 0..r.one_of(&[0, 0, 1, 2]) {
        p.words.extend(descendant(&signals, r));
    }
    p.words.extend(behaviour(&signals, r));
    if !alone {
        probes(&mut p, r);
    }
    p.words.push("up".to_owned());
    p.words.extend(last(r));
    p.words.push("wait".to_owned());
    p
}

fn ladder(r: &mut Random) -> Vec<(i32, Option<u64>)> {
    let real_time = 37;
    let (first, second) =
        (r.one_of(&[libc::SIGTERM, libc::SIGQUIT, libc::SIGINT, real_time]), r.one_of(&[libc::SIGTERM, libc::SIGUSR2]));
    match r.below(4) {
        0 => vec![(first, None)],
        1 => vec![(first, Some(r.between(30, 300)))],
        2 => vec![(first, Some(r.between(30, 200))), (second, None)],
        _ => vec![(first, Some(r.between(30, 150))), (second, Some(r.between(30, 200)))],
    }
}

fn behaviour(signals: &[i32], r: &mut Random) -> Vec<String> {
    let note = |signals: &[i32]| signals.iter().map(|signal| format!("note:{signal}")).collect();
    let (first, last) = (signals[0], signals[signals.len() - 1]);
    match r.below(7) {
        // Ends only by SIGKILL.
        0 => note(&[signals, &[libc::SIGTERM]].concat()),
        // Ends by the last rung alone.
        1 if first != last => vec![format!("note:{first}"), format!("end-on:{last}:0:{}", r.below(80))],
        1 | 2 => vec![format!("end-on:{first}:0")],
        3 => vec![format!("end-on:{first}:0:{}", r.below(400))],
        4 => vec![format!("end-on:{first}:{}:{}", r.one_of(&[1, 3, 143, 128 + first]), r.below(100))],
        // By the signal's default action.
        _ => Vec::new(),
    }
}

fn descendant(signals: &[i32], r: &mut Random) -> Vec<String> {
    if r.chance(20) {
        return vec![format!("orphans:{}", r.between(1, 30))];
    }
    let mut all = words(&[r.one_of(&["fork", "session"])]);
    // Daemons are sent SIGTERM, whatever the process's own ladder is.
    let told = if all[0] == "session" { &[libc::SIGTERM][..] } else { signals };
    all.extend(behaviour(told, r));
    if r.chance(20) {
        all.push("lines:5".to_owned());
    }
    if r.chance(15) {
        all.extend(descendant(signals, r));
    }
    all.extend(match r.below(6) {
        0 => words(&["stop-self", "wait"]),
        1 => words(&["sleep:30", "exit:0"]),
        2 => words(&["sleep:60", "crash"]),
        _ => words(&["wait"]),
    });
    all.push("end".to_owned());
    all
}

/// After it is up.
fn last(r: &mut Random) -> Vec<String> {
    match r.below(24) {
        0 => words(&["fill"]),
        1 => words(&["stop-self"]),
        2 => words(&["crash"]),
        3 => words(&["sleep:40", "crash"]),
        4 => words(&["exit:0"]),
        5 => words(&["sleep:80", "exit:3"]),
        6 => words(&["pester:10:15"]),
        7 => words(&["pester:15:400"]),
        8 => words(&["orphans:20", "sleep:30", "orphans:20"]),
        _ => Vec::new(),
    }
}

fn probes(p: &mut Process, r: &mut Random) {
    let port = 21_000 + u16::from(p.name.bytes().next().unwrap_or(0));
    let mut listens = false;
    for kind in ["startup", "readiness", "liveness"] {
        if !r.chance(15) {
            continue;
        }
        let what = match r.below(10) {
            0 => Ask::Exec(words(&["exit:1"])),
            1 => Ask::Exec(words(&["note:15", "wait"])),
            2..=5 => Ask::Exec(words(&["exit:0"])),
            _ => {
                listens = true;
                Ask::Tcp(port)
            }
        };
        let failures = if kind == "liveness" { 3 } else { 5 };
        p.probes.push((kind, Probe { what, period: r.between(40, 120), failures }));
    }
    if listens {
        p.words.push(format!("listen:{port}"));
    }
}
