//! What runs inside the namespace: the launcher that becomes the init, and the children it starts.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

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
    // SAFETY: the set is initialised by sigemptyset before use; all pointers are to values of our own.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGUSR1);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    say(0);
    loop {
        let mut signal = 0;
        // SAFETY: both pointers are to values of our own.
        unsafe { libc::sigwait(&raw const set, &raw mut signal) };
        say(now_ns());
    }
}

/// Double-forks as fast as it can; says when it began and waits.
fn orphans(count: u32) -> ExitCode {
    say(now_ns());
    for _ in 0..count {
        // SAFETY: this process has one thread; the children do nothing but fork and _exit.
        unsafe {
            let pid = loop {
                match libc::fork() {
                    -1 => std::thread::yield_now(),
                    pid => break pid,
                }
            };
            if pid == 0 {
                while libc::fork() == -1 {}
                libc::_exit(0);
            }
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
    say(now_ns());
    loop {
        std::thread::park();
    }
}
