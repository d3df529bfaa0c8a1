//! `wait_file`: a file system may hang whoever merely looks at a name, so the looks are made by a process of its own: softstop itself, run
//! as `softstop __wait_file …`, which ends with 0 when the file is as it should be and writes a line whenever something else is in the way.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::ProgressReporter;
use crate::config::handler::WaitFile;
use crate::lifecycle::event::{Outcome, Progress, RunId};
use crate::runtime::hooks::{ActiveRun, Captured, OnLine};
use crate::runtime::shell::Shell;
use crate::signal::Signal;
use crate::sys::process;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// A look that has not come to an end by then is one that hangs.
const SILENCE: Duration = Duration::from_millis(500);
/// In so much of a file the text is looked for.
const MOST: u64 = 1024 * 1024;

impl Shell {
    pub(super) fn start_check(&mut self, run: RunId, wait: &WaitFile) -> Result<(), Outcome> {
        let reporter = Rc::new(ProgressReporter::new(run, self.done.clone()));
        let path = wait.path.display().to_string();
        let (pid, pipes) = self.spawn_helper(run, &command(wait))?;
        tokio::task::spawn_local({
            let (reporter, path) = (Rc::clone(&reporter), path.clone());
            async move {
                tokio::time::sleep(SILENCE).await;
                if reporter.is_silent() {
                    reporter.report(Progress::new(format!(
                        "{path} cannot be looked at yet: its file system does not answer"
                    )));
                }
            }
        });
        let heard: OnLine = Rc::new(move |line| reporter.report(Progress::new(format!("{path} {line}"))));
        let captured = Captured::listen_and(pipes, Some(heard));
        self.runs.insert(run, ActiveRun::Looking { pid, path: wait.path.clone(), _captured: captured });
        Ok(())
    }
}

fn command(wait: &WaitFile) -> Vec<OsString> {
    let mut command: Vec<OsString> = vec![own_program().into(), "__wait_file".into()];
    if !wait.exists {
        command.push("--gone".into());
    }
    if let Some(text) = &wait.contains {
        command.push(format!("--contains={text}").into());
    }
    command.push("--".into());
    command.push(wait.path.clone().into());
    command
}

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

/// The helper's whole life. It ends with softstop.
#[must_use]
pub fn look(wait: &WaitFile) -> u8 {
    let parent = std::os::unix::process::parent_id();
    let _ = process::parent_death_signal(Signal::KILL);
    // The kernel has named it `exe`, after the link that it was started by.
    let _ = std::fs::write("/proc/self/comm", "softstop");
    let mut last = String::new();
    loop {
        let Err(why) = holds(wait) else { return crate::exit::OK };
        if why != last {
            let _ = writeln!(io::stdout(), "{why}");
            last = why;
        }
        if std::os::unix::process::parent_id() != parent {
            return crate::exit::FAILED;
        }
        std::thread::sleep(LOOK);
    }
}

/// What is not as it should be, in words that follow the path.
fn holds(wait: &WaitFile) -> Result<(), String> {
    let Some(text) = &wait.contains else {
        return match (std::fs::metadata(&wait.path), wait.exists) {
            (Ok(_), true) => Ok(()),
            (Ok(_), false) => Err("is still there".into()),
            (Err(error), false) if is_missing(&error) => Ok(()),
            (Err(error), _) => Err(not_there(&error)),
        };
    };
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let open = || -> io::Result<(File, bool)> {
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&wait.path)?;
        let is_file = file.metadata()?.is_file();
        Ok((file, is_file))
    };
    let (file, is_file) = open().map_err(|error| not_there(&error))?;
    if !is_file {
        return Err("is there, but is no file to look into".into());
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
    if found { Ok(()) } else { Err(format!("is there, without {text:?} in it")) }
}

fn not_there(error: &io::Error) -> String {
    if is_missing(error) { "is not there".into() } else { format!("cannot be looked at: {error}") }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
