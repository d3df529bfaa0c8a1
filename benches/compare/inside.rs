//! What runs inside the namespace: the launcher that becomes the init, and the children it starts.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::signal::{SigSet, Signal};

use crate::now_ns;

pub fn run(args: &[String]) -> ExitCode {
    match args[0].as_str() {
        // Notes the time and becomes the init: what lies between is exec to the child's first instruction.
        "inside-launch" => {
            let error = Command::new(&args[1]).args(&args[2..]).env("LAUNCHED_NS", now_ns().to_string()).exec();
            eprintln!("compare: cannot execute {}: {error}", args[1]);
            ExitCode::FAILURE
        }
        "inside-first" => {
            let now = now_ns();
            let launched: u64 = std::env::var("LAUNCHED_NS").unwrap().parse().unwrap();
            say(now - launched);
            ExitCode::SUCCESS
        }
        "inside-idle" => {
            say(0);
            loop {
                std::thread::park();
            }
        }
        "inside-usr1" => answer_usr1(),
        "inside-orphans" => orphans(args[1].parse().unwrap()),
        other => panic!("{other}"),
    }
}

fn say(number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{number}").unwrap();
    out.flush().unwrap();
}

/// Says when each SIGUSR1 came.
fn answer_usr1() -> ExitCode {
    let set = SigSet::from(Signal::SIGUSR1);
    set.thread_block().unwrap();
    say(0);
    loop {
        set.wait().unwrap();
        say(now_ns());
    }
}

/// Double-forks as fast as it can; says when it began and waits.
fn orphans(count: u32) -> ExitCode {
    say(now_ns());
    for _ in 0..count {
        let pid = loop {
            // SAFETY: this process has one thread; the child does nothing but fork and _exit.
            match unsafe { libc::fork() } {
                -1 => std::thread::yield_now(),
                pid => break pid,
            }
        };
        if pid == 0 {
            // SAFETY: as above.
            while unsafe { libc::fork() } == -1 {}
            // SAFETY: ends this process without the parent's exit handlers.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: a null pointer asks for no status.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
    say(now_ns());
    loop {
        std::thread::park();
    }
}
