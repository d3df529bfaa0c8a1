//! `wait_idle` on whatever softstop's own processes listen on: finds the ports first.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Teller, idle, pause};
use crate::config::wait::WaitIdle;
use crate::lifecycle::event::{Outcome, Progress};
use crate::report::{and_more, one_line};
use crate::runtime::Clock;
use crate::sys::listening::{Listener, Listening, search};

/// Before the next look where nothing can be seen, at least.
const LOOK: Duration = Duration::from_millis(500);
/// So many ports are waited for: the kernel compares each socket with each of them.
const MOST: usize = 256;
/// So many are named.
const NAMED: usize = 5;

/// `own`: the ports that softstop itself listens on.
pub(super) async fn wait(mut rule: WaitIdle, own: Vec<u16>, clock: Clock, teller: Teller) -> Outcome {
    let listening = loop {
        let began = Instant::now();
        match look(&own).await {
            Ok(listening) => break listening,
            // As good as a connection that stays: nobody knows whether anybody is served.
            Err(error) => teller.tell(Progress::new(format!("what listens cannot be seen: {error}"))),
        }
        sleep(pause(began.elapsed(), LOOK)).await;
    };
    if listening.listeners.is_empty() && rule.ports.is_empty() {
        teller.tell(Progress::new("nothing here listens on TCP, so there is nothing to wait for"));
        return Outcome::Ok;
    }
    teller.tell(Progress::new(words(&listening)));
    rule.ports.extend(listening.listeners.iter().map(|l| l.port));
    rule.ports.sort_unstable();
    rule.ports.dedup();
    rule.ports.truncate(MOST);
    idle::wait(rule, clock, teller).await
}

/// Whoever else has something to do gets a turn after every piece.
async fn look(own: &[u16]) -> std::io::Result<Listening> {
    let mut search = search(own);
    while !search.go_on()? {
        tokio::task::yield_now().await;
    }
    Ok(search.found())
}

/// `waiting for 8080 (node, pid 7), 9229 (node, pid 7)`.
fn words(listening: &Listening) -> String {
    let name = |l: &Listener| match &l.holder {
        Some((comm, pid)) => format!("{} ({}, pid {pid})", l.port, one_line(comm)),
        None => l.port.to_string(),
    };
    let count = listening.listeners.len();
    let mut text: Vec<String> = listening.listeners.iter().take(NAMED).map(name).collect();
    if count > MOST {
        text.truncate(1);
    }
    let ports = and_more(&text, count);
    let unsure = match &listening.unsure {
        Some(why) => format!("; {why}, so this is all that listens in the network namespace"),
        None => String::new(),
    };
    let most = if count > MOST { format!("; only the first {MOST} are waited for") } else { String::new() };
    format!("listening on TCP {ports}{unsure}{most}")
}
