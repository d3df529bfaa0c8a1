//! What is seen of a drilled softstop while it runs: its own status over the control socket, and its processes in /proc.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::run::{AtStop, Seen};
use crate::control::protocol::{self, Reply, Request, StatusRequest};
use crate::control::socket::{Address, connect_now};
use crate::json;
use crate::signal::Signal;
use crate::sorted;
use crate::sys::{listening, procfs, tree};

/// For one answer of the status.
const STATUS_WAIT: Duration = Duration::from_secs(5);
/// Of an answer, in bytes; it grows with the configuration.
const MOST: u64 = 16 * 1024 * 1024;
/// For a look at who listens.
const LOOK: Duration = Duration::from_millis(200);
/// So many processes are looked at one by one.
const MOST_PROCESSES: usize = 2000;

/// The status of a softstop; `None`: it does not answer.
pub async fn status(control: &Address) -> Option<Value> {
    let asked = async {
        let stream = connect_now(control).ok()?;
        stream.set_nonblocking(true).ok()?;
        let mut stream = UnixStream::from_std(stream).ok()?;
        stream.write_all(protocol::line(&Request::Status(StatusRequest::default())).as_bytes()).await.ok()?;
        let mut line = Vec::new();
        BufReader::new(stream).take(MOST).read_until(b'\n', &mut line).await.ok()?;
        match Reply::parse(&line).ok()? {
            Reply::Status(status) => json::parse(status.as_bytes()).ok(),
            _ => None,
        }
    };
    timeout(STATUS_WAIT, asked).await.ok().flatten()
}

/// The processes in a status.
pub fn listed(status: &Value) -> impl Iterator<Item = &Value> {
    status["processes"].as_array().into_iter().flatten()
}

/// Counts everything below drill.
pub fn look(seen: &mut Seen) {
    let Ok(all) = tree::descendants(&|_| false) else { return };
    let (living, dead): (Vec<_>, Vec<_>) = all.into_iter().partition(|process| process.lives);
    seen.most_processes = seen.most_processes.max(living.len());
    let needs = living.iter().take(MOST_PROCESSES).filter_map(|process| procfs::needs(process.pid));
    seen.most_memory = seen.most_memory.max(needs.map(|needs| needs.resident).sum());
    let dead: Vec<(i32, u64)> = dead.into_iter().map(|process| (process.pid, process.started)).collect();
    let still = dead.iter().filter(|process| seen.dead.contains(process)).count();
    seen.most_zombies = seen.most_zombies.max(still);
    seen.dead = dead;
}

/// The processes that the status names, as /proc has them.
pub fn processes(status: &Value) -> Vec<AtStop> {
    let Ok(all) = tree::descendants(&|_| false) else { return Vec::new() };
    let needs = |(n, process): (usize, &tree::Descendant)| {
        procfs::needs(process.pid).map(|needs| (needs.inner_pid, (n, needs)))
    };
    let inner: BTreeMap<i32, (usize, procfs::Needs)> = sorted::collected(all.iter().enumerate().filter_map(needs));
    let known = listed(status).filter_map(|process| {
        let pid = i32::try_from(process["pid"].as_i64()?).ok()?;
        let (n, needs) = inner.get(&pid)?;
        let own = &all[*n];
        let mut children = all.iter().filter(|other| other.ppid == own.pid && other.lives);
        let child = children.next().map(|child| child.comm.clone());
        Some(AtStop {
            name: process["name"].as_str().unwrap_or_default().to_owned(),
            pid,
            command: own.comm.clone(),
            children: usize::from(child.is_some()) + children.count(),
            child: child.unwrap_or_default(),
            catches_sigterm: needs.caught.contains(Signal::TERM),
            ignores_sigterm: needs.ignored.contains(Signal::TERM),
        })
    });
    known.collect()
}

/// SIGKILL to the process of that name, or to the main one; its name. `None`: it does not run.
pub fn kill(status: &Value, name: Option<&str>) -> Option<String> {
    let all = status["processes"].as_array()?;
    let is_meant = |process: &&Value| match name {
        Some(name) => process["name"] == name,
        None => process["main"] == true || all.len() == 1,
    };
    let found = all.iter().find(is_meant).or_else(|| all.first().filter(|_| name.is_none()))?;
    let pid = i32::try_from(found["pid"].as_i64()?).ok()?;
    let below = tree::descendants(&|_| false).ok()?;
    let victim = below.iter().find(|process| procfs::needs(process.pid).is_some_and(|needs| needs.inner_pid == pid))?;
    tree::signal(victim, &[Signal::KILL]).ok()?;
    Some(found["name"].as_str().unwrap_or_default().to_owned())
}

/// Whether anything below listens on a TCP port that is not one of `own`.
pub fn listens(own: &[u16]) -> bool {
    let mut search = listening::search(own);
    if search.go_on_for(LOOK).is_err() {
        return false;
    }
    search.found().listeners.iter().any(|listener| matches!(listener.holder, listening::Holder::Process(..)))
}
