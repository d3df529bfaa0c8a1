//! `wait_process` and `signal` for processes found by their command.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ProgressReporter, pause};
use crate::config::handler::Found;
use crate::lifecycle::event::{Outcome, Progress};
use crate::report::and_more;
use crate::signal::Signal;
use crate::sys::commands::{self, Named, search};

/// Between two looks at least.
const LOOK: Duration = Duration::from_millis(100);
/// So many are named.
const NAMED: usize = 5;

pub(super) async fn wait(command: String, until: Found, reporter: ProgressReporter) -> Outcome {
    loop {
        let (took, found) = look(&command).await;
        match (found, until) {
            (Ok(found), Found::Ended) if found.is_empty() => return Outcome::Ok,
            (Ok(found), Found::Running) if !found.is_empty() => return Outcome::Ok,
            (Ok(found), Found::Ended) => {
                let pids = pids(found.iter());
                reporter.report(Progress::new(format!("{command} is still running ({pids})")));
            }
            (Ok(_), Found::Running) => reporter.report(Progress::new(format!("{command} is not running"))),
            (Err(error), _) => reporter.report(Progress::new(format!("processes cannot be seen: {error}"))),
        }
        sleep(pause(took, LOOK)).await;
    }
}

/// To the outermost processes of that name: a server's workers are its own to tell.
pub(super) async fn signal(command: String, signal: Signal, reporter: ProgressReporter) -> Outcome {
    let found = match look(&command).await.1 {
        Ok(found) => found,
        Err(error) => return Outcome::failed(format!("processes cannot be seen: {error}")),
    };
    let mut sent = Vec::new();
    for process in found.iter().filter(|process| process.outermost) {
        match commands::signal(process, signal) {
            Ok(()) => sent.push(process),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                let needs = "it runs as another user; add the capability KILL or run softstop as that user";
                let pid = process.pid;
                return Outcome::failed(format!("{signal} to {command} (pid {pid}) is not permitted: {needs}"));
            }
            // It has ended since.
            Err(_) => {}
        }
    }
    if sent.is_empty() {
        return Outcome::failed(format!("no process {command} is running"));
    }
    reporter.report(Progress::new(format!("{signal} sent to {command} ({})", pids(sent.into_iter()))));
    Outcome::Ok
}

async fn look(command: &str) -> (Duration, io::Result<Vec<Named>>) {
    let mut took = Duration::ZERO;
    let mut began = Instant::now();
    let mut search = match search(command) {
        Ok(search) => search,
        Err(error) => return (took, Err(error)),
    };
    while !search.go_on() {
        took += began.elapsed();
        tokio::task::yield_now().await;
        began = Instant::now();
    }
    (took + began.elapsed(), Ok(search.found()))
}

fn pids<'a>(processes: impl ExactSizeIterator<Item = &'a Named>) -> String {
    let count = processes.len();
    let pids: Vec<String> = processes.take(NAMED).map(|n| n.pid.to_string()).collect();
    format!("pid {}", and_more(&pids, count))
}
