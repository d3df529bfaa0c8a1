//! A debugger: this thread holds a process with ptrace. What a thread traces is let go when the thread or the [`Tracer`] ends.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::{SOON, processes, skip};

pub struct Tracer {
    pid: Pid,
}

impl Tracer {
    /// Attaches as `gdb -p` does: the process stands still, in state `t`. `None`, with the reason said, where ptrace is not
    /// permitted.
    #[track_caller]
    pub fn attach(pid: i32) -> Option<Tracer> {
        let tracer = Tracer { pid: Pid::from_raw(pid) };
        if let Err(errno @ (Errno::EPERM | Errno::ENOSYS)) = ptrace::attach(tracer.pid) {
            skip(&format!("ptrace: {errno}"));
            return None;
        }
        tracer.wait_for("its stop", |status| matches!(status, WaitStatus::Stopped(..)));
        Some(tracer)
    }

    /// Lets it run on, still traced: what it is sent next stops it again.
    #[track_caller]
    pub fn go_on(&self) {
        ptrace::cont(self.pid, None).unwrap();
    }

    /// As `strace` does: hands on every signal, until the process ends, and takes its end in.
    #[track_caller]
    pub fn follow_to_the_end(&self) -> WaitStatus {
        self.wait_for("its end", |status| {
            if let WaitStatus::Stopped(_, signal) = status {
                // ESRCH: SIGKILL has come between.
                let _ = ptrace::cont(self.pid, *signal);
            }
            matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..))
        })
    }

    /// Hands on every signal until the process has ended, and then does not wait for it: a zombie that nobody else can reap.
    #[track_caller]
    pub fn hold_its_end(&self) {
        let limit = Instant::now() + SOON;
        while processes::look(self.pid.as_raw()).is_some_and(|p| !p.is_zombie()) {
            let stops = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
            // waitid calls a stop before a signal a trap, without an event.
            if let Ok(WaitStatus::Stopped(_, signal) | WaitStatus::PtraceEvent(_, signal, _)) =
                waitid(Id::Pid(self.pid), stops)
            {
                let _ = ptrace::cont(self.pid, signal);
            }
            assert!(Instant::now() < limit, "{} does not end", self.pid);
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    #[track_caller]
    fn wait_for(&self, what: &str, mut condition: impl FnMut(&WaitStatus) -> bool) -> WaitStatus {
        let limit = Instant::now() + SOON;
        loop {
            let status = waitpid(self.pid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)).unwrap();
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < limit, "the tracer never saw {what} of {}", self.pid);
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // One that has ended is held until its tracer has waited for it.
        let _ = waitpid(self.pid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
        // One that runs has to be stopped first, which takes SIGSTOP: the end of this thread lets go of it as well.
        let _ = ptrace::detach(self.pid, None);
    }
}
