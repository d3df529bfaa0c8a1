//! What runs inside the namespace: the launcher that becomes the init, and the children it starts.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::signal::{SigSet, Signal};

use crate::{crowd, now_ns};

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
        crowd::MODE => crowd::process(&args[1]),
        "inside-loop" => loop_of_spawns(args[1].parse().unwrap()),
        "inside-lines" => lines(),
        "inside-nothing" => ExitCode::SUCCESS,
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

/// What starting so many takes at the least; on SIGTERM it ends them.
fn loop_of_spawns(count: usize) -> ExitCode {
    let set = SigSet::from(Signal::SIGTERM);
    set.thread_block().unwrap();
    let (this, said) = (std::env::current_exe().unwrap(), std::env::var("STARTED").unwrap());
    let (program, mode) = (c_string(this.as_os_str().as_encoded_bytes()), c_string(crowd::MODE.as_bytes()));
    let said = c_string(said.as_bytes());
    let argv = [program.as_ptr().cast_mut(), mode.as_ptr().cast_mut(), said.as_ptr().cast_mut(), std::ptr::null_mut()];
    let environment = [std::ptr::null_mut()];
    let mut attributes = std::mem::MaybeUninit::uninit();
    let none = SigSet::empty();
    // SAFETY: live memory of the right type, which it fills.
    assert_eq!(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) }, 0);
    // SAFETY: initialised above; the set is live.
    assert_eq!(unsafe { libc::posix_spawnattr_setsigmask(attributes.as_mut_ptr(), none.as_ref()) }, 0);
    let flags = libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;
    // SAFETY: as above.
    assert_eq!(unsafe { libc::posix_spawnattr_setflags(attributes.as_mut_ptr(), flags) }, 0);
    let spawn = |_| {
        let mut pid = 0;
        // SAFETY: a path and arrays of strings with their ends, all of them live, and attributes from above.
        let rc = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                std::ptr::null(),
                attributes.as_ptr(),
                argv.as_ptr(),
                environment.as_ptr(),
            )
        };
        assert_eq!(rc, 0, "posix_spawn");
        pid
    };
    let pids: Vec<i32> = (0..count).map(spawn).collect();
    set.wait().unwrap();
    for pid in &pids {
        // SAFETY: no memory is involved; nobody has waited for it.
        unsafe { libc::kill(*pid, libc::SIGTERM) };
    }
    for pid in pids {
        // SAFETY: a null pointer asks for no status.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
    ExitCode::SUCCESS
}

fn c_string(bytes: &[u8]) -> std::ffi::CString {
    std::ffi::CString::new(bytes).unwrap()
}

/// As fast as they are read.
fn lines() -> ExitCode {
    let mut out = std::io::BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let line = [&[b'x'; 99][..], b"\n"].concat();
    let count: usize = std::env::var("LINES").unwrap().parse().unwrap();
    (0..count).for_each(|_| out.write_all(&line).unwrap());
    out.flush().unwrap();
    ExitCode::SUCCESS
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
