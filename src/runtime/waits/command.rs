//! `wait_process` and `signal` for processes found by their command.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ProgressReporter, pause};
use crate::config::handler::Found;
use crate::facts::{Awaited, Failure, Outcome, Progress, Several, Unseen};
use crate::signal::Signal;
use crate::sys::commands::{self, Named, search};

/// Between two looks at least.
const LOOK: Duration = Duration::from_millis(100);
/// So many are named.
const NAMED: usize = 5;

pub(in crate::runtime) async fn wait(command: String, until: Found, reporter: ProgressReporter) -> Outcome {
    loop {
        let (took, found) = look(&command).await;
        match (found, until) {
            (Ok(found), Found::Ended) if found.is_empty() => return Outcome::Ok,
            (Ok(found), Found::Running) if !found.is_empty() => return Outcome::Ok,
            (Ok(found), Found::Ended) => {
                let pids = pids(found.iter());
                reporter.report(Progress::of(Awaited::EndOf { command: command.clone(), pids }));
            }
            (Ok(_), Found::Running) => reporter.report(Progress::of(Awaited::StartOf { command: command.clone() })),
            (Err(error), _) => reporter.report(Progress::of(Awaited::Success(unseen(&error)))),
        }
        sleep(pause(took, LOOK)).await;
    }
}

/// To the outermost processes of that name: a server's workers are its own to tell.
pub(in crate::runtime) async fn signal(command: String, signal: Signal, reporter: ProgressReporter) -> Outcome {
    let found = match look(&command).await.1 {
        Ok(found) => found,
        Err(error) => return Outcome::Failed(unseen(&error)),
    };
    let mut sent = Vec::new();
    for process in found.iter().filter(|process| process.outermost) {
        match commands::signal(process, signal) {
            Ok(()) => sent.push(process),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                return Outcome::Failed(Failure::NotPermitted { signal, command, pid: process.pid });
            }
            // It has ended since.
            Err(_) => {}
        }
    }
    if sent.is_empty() {
        return Outcome::Failed(Failure::NoProcess { command });
    }
    reporter.report(Progress::of(Awaited::Signalled { signal, command, pids: pids(sent.into_iter()) }));
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

fn pids<'a>(processes: impl ExactSizeIterator<Item = &'a Named>) -> Several<i32> {
    let all = processes.len();
    Several { named: processes.take(NAMED).map(|n| n.pid).collect(), all }
}

fn unseen(error: &io::Error) -> Failure {
    Failure::Unseen { what: Unseen::Processes, error: error.to_string() }
}
