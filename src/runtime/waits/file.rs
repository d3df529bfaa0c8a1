//! `wait_file`: a file system may hang whoever merely looks at a name, so the looks are made by a process of its own: softstop itself, run
//! as `softstop __wait_file …`, which ends with 0 when the file is as it should be and writes a line whenever something else is in the way.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;
use std::time::Duration;

use super::ProgressReporter;
use crate::config::handler::WaitFile;
use crate::facts::{Awaited, FileState, Progress};
use crate::lifecycle::event::{RunId, SpawnError};
use crate::runtime::helper;
use crate::runtime::hooks::{ActiveRun, Captured, OnLine};
use crate::runtime::shell::{Owner, Shell};
use crate::tasks;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// A look that has not come to an end by then is one that hangs.
const SILENCE: Duration = Duration::from_millis(500);
/// In so much of a file the text is looked for.
const MOST: u64 = 1024 * 1024;

impl Shell {
    pub(in crate::runtime) fn start_wait_file(
        &mut self,
        run: RunId,
        wait: &WaitFile,
        reporter: ProgressReporter,
    ) -> Result<(), SpawnError> {
        let reporter = Rc::new(reporter);
        let (path, text) = (wait.path.display().to_string(), wait.contains.clone().unwrap_or_default());
        let (pid, said) = self.spawn_helper(&words(wait), &[])?;
        self.children.insert(pid, Owner::Run(run));
        tasks::spawn({
            let (reporter, path) = (Rc::clone(&reporter), path.clone());
            async move {
                tokio::time::sleep(SILENCE).await;
                if reporter.is_silent() {
                    reporter.report(Progress::of(Awaited::File { path, is: FileState::Hangs }));
                }
            }
        });
        let heard: OnLine = Rc::new(move |line| {
            if let Some(is) = read(line, &text) {
                reporter.report(Progress::of(Awaited::File { path: path.clone(), is }));
            }
        });
        let captured = Captured::listen([said], Some(heard));
        self.runs.insert(run, ActiveRun::Looking { pid, path: wait.path.clone(), _captured: captured });
        Ok(())
    }
}

fn words(wait: &WaitFile) -> Vec<OsString> {
    let gone = (!wait.exists).then(|| OsString::from("--gone"));
    let contains = wait.contains.as_ref().map(|text| OsString::from(format!("--contains={text}")));
    let path = ["--".into(), wait.path.clone().into()];
    [OsString::from("__wait_file")].into_iter().chain(gone).chain(contains).chain(path).collect()
}

/// The helper's whole life. It ends with softstop.
#[must_use]
pub fn look(wait: &WaitFile) -> u8 {
    let parent = std::os::unix::process::parent_id();
    helper::begin();
    // The kernel has named it `exe`, after the link that it was started by.
    let _ = std::fs::write("/proc/self/comm", "softstop");
    let mut last = String::new();
    loop {
        let Err(state) = holds(wait) else { return crate::exit::OK };
        let line = written(&state);
        if line != last {
            let _ = writeln!(io::stdout(), "{line}");
            last = line;
        }
        if std::os::unix::process::parent_id() != parent {
            return crate::exit::FAILED;
        }
        std::thread::sleep(LOOK);
    }
}

/// As the helper writes it.
fn written(state: &FileState) -> String {
    match state {
        FileState::Missing => "missing".into(),
        FileState::StillThere => "there".into(),
        FileState::NoFile => "no-file".into(),
        FileState::Without { .. } => "without".into(),
        FileState::Hangs => "hangs".into(),
        FileState::Unseen(error) => format!("unseen {error}"),
        FileState::Unread(error) => format!("unread {error}"),
    }
}

/// What the helper has written. `text`: the one that is looked for.
fn read(line: &str, text: &str) -> Option<FileState> {
    let (word, error) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "missing" => FileState::Missing,
        "there" => FileState::StillThere,
        "no-file" => FileState::NoFile,
        "without" => FileState::Without { text: text.to_owned() },
        "hangs" => FileState::Hangs,
        "unseen" => FileState::Unseen(error.to_owned()),
        "unread" => FileState::Unread(error.to_owned()),
        _ => return None,
    })
}

/// What is not as it should be.
fn holds(wait: &WaitFile) -> Result<(), FileState> {
    let Some(text) = &wait.contains else {
        return match (std::fs::metadata(&wait.path), wait.exists) {
            (Ok(_), true) => Ok(()),
            (Ok(_), false) => Err(FileState::StillThere),
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
        return Err(FileState::NoFile);
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).map_err(|error| FileState::Unread(error.to_string()))?;
    let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
    if found { Ok(()) } else { Err(FileState::Without { text: text.clone() }) }
}

fn not_there(error: &io::Error) -> FileState {
    if is_missing(error) { FileState::Missing } else { FileState::Unseen(error.to_string()) }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
