#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use support::account::{REPORT, forced, line, stopped};
use support::cgroup::{Cgroup, Kind};
use support::{Dir, Ended, Launch, ROOM, Running, SOON, account, processes};

#[test]
fn cpu() {
    for words in ["\"busy\"", "\"ignore:TERM\", \"busy\""] {
        for many in [true, false] {
    let cpu = Cgroup::new(Kind::Cpu).unwrap();
    let dir = Dir::new();
    let mut config = format!("grace = \"8s\"\nreport = {:?}\n", dir.text(REPORT));
    if many {
    for i in 0..50 {
        config += &format!("[[process]]\nname = \"busy{i}\"\ncommand = [\"perl\", {:?}, \"say:up\", {words}]\n", support::CHILD);
    }
    } else {
        config += &format!("[[process]]\nname = \"busy\"\ncommand = [\"perl\", {:?}, \"many:49\", {words}, \"end\", \"say:up\", {words}]\n", support::CHILD);
    }
    let mut running = Launch::new(["run", "-c", &dir.write("softstop.toml", &config)]).start();
    running.wait_for_count("up", if many {50} else {1});
    cpu.limit_cpu(5);
    for p in running.processes() { cpu.add(p.pid); }
    running.wait_until("throttled", |_| cpu.throttled() > 5);
    let asked = Instant::now();
    running.term();
    running.wait_for("stopped in");
    println!("#### {words} {many} account after {:?}", asked.elapsed());
    let throttled = cpu.throttled();
    let e = running.wait(SOON*3);
    println!("#### end after {:?} {throttled}", asked.elapsed());
    for l in account::log(&e.all()).iter().filter(|l| l.contains("stopped in") || l.contains("could not") || l.contains("leaving") || l.contains("out of time:")) { println!("{l}"); }
    }}
    panic!();
}
