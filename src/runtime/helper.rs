//! softstop itself as a process of its own, for what may hang: started, read, and at its end told to the loop. What each does stands beside what
//! follows from it: `sources`, `changes`, `last_stop`, `waits::file`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::timeout;

use super::hooks::News;
use super::shell::Shell;
use crate::config::check::MAX_BYTES;
use crate::exit;
use crate::lifecycle::event::SpawnError;
use crate::signal::Signal;
use crate::sys::process;
use crate::sys::spawn::{self, Handed, Spawn, Stdio};
use crate::sys::stdio::{pipe, read_all, watch};
use crate::tasks;

/// What one sends at the most: the texts of a configuration, as JSON, which may be twice as long.
const SENT: usize = 4 * MAX_BYTES;

impl Shell {
    /// `softstop WORDS`: its pid, and what it says. It has softstop's own environment.
    pub(super) fn spawn_helper(
        &mut self,
        words: &[OsString],
        handed: &[Handed<'_>],
    ) -> Result<(i32, OwnedFd), SpawnError> {
        let argv = [&[own_program().into()][..], words].concat();
        let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let pipe = pipe().map_err(|error| SpawnError::transient(format!("no pipe for its output: {error}")));
        let (said, to) = pipe?;
        let wait = self.exec_wait();
        let program = Spawn { stdout: Stdio::Fd(to.as_fd()), handed, ..Spawn::new(&argv, &env, &self.inherited) };
        let child = spawn::spawn_within(&program, wait)?;
        Ok((self.started(child), said))
    }

    /// One that is waited for no longer than `limit`; what it has said by its end is given to `then`. `about` is what it is at, should it
    /// never end.
    pub(super) fn start_helper(
        &mut self,
        words: &[OsString],
        handed: &[Handed<'_>],
        about: PathBuf,
        limit: Duration,
        then: Then,
    ) -> Result<(), String> {
        let (pid, said) = self.spawn_helper(words, handed).map_err(|e| e.text)?;
        self.reporter.writers.hold(pid, about);
        let said = watch(File::from(said), Interest::READABLE).map_err(|e| e.to_string())?;
        let done = self.done.clone();
        tasks::spawn(async move {
            let said = timeout(limit, read_all(&said, SENT)).await.ok();
            let _ = done.send(News::Helper { pid, said: said.map(Result::unwrap_or_default), then });
        });
        Ok(())
    }

    /// It has said all, or took too long.
    pub(super) fn helper_heard(&mut self, pid: i32, said: Option<Vec<u8>>, then: Then) {
        if said.is_none() {
            self.reporter.writers.give_up(pid);
        }
        then(self, pid, said);
    }
}

/// What follows from what a helper, by its pid, has said. `None`: it has not said all of it, in its time.
pub(super) type Then = fn(&mut Shell, i32, Option<Vec<u8>>);

/// softstop itself: the file that runs, not whatever has its name by now (an update in place, a child that may write there).
fn own_program() -> PathBuf {
    // In a child that has not executed anything yet it leads there, too.
    let running = PathBuf::from("/proc/self/exe");
    if running.read_link().is_ok() {
        return running;
    }
    // Without /proc only a name is left.
    std::env::args_os().next().map_or_else(|| PathBuf::from("/softstop"), PathBuf::from)
}

// === in that process ===

/// It ends with softstop.
pub(super) fn begin() {
    let _ = process::parent_death_signal(Signal::KILL);
}

/// Says all that it has to; its exit code.
pub(super) fn say(text: &str) -> u8 {
    if io::stdout().write_all(text.as_bytes()).is_ok() { exit::OK } else { exit::FAILED }
}
