//! The wrapper's drain and its preStop endpoint: what `--drain` and `--prestop` take, and the settings that they amount to. Pure.

use std::path::PathBuf;
use std::time::Duration;

use super::flags::Wrapper;
use super::values::in_one_line;
use crate::config::check::values;
use crate::config::network::Network;
use crate::config::platform::Platform;
use crate::config::prestop::{PreStop, Secret, Token};
use crate::config::wait::WaitIdle;
use crate::config::{DEFAULT_DIAGNOSE_WAIT, Diagnose, Handler, Step, Task, When};
use crate::signal::Signal;

/// The step's name in the log.
const NAME: &str = "open connections";
/// The default minimum takes no more than this part of the grace.
const PART: u32 = 3;

/// One word of `--drain`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ports {
    /// Those that the program and its children listen on at the stop request.
    Auto,
    One(u16),
}

/// What may hold a token: shown by nobody.
#[derive(Clone)]
pub struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

/// Anything: clap would show a value that it refuses.
#[expect(clippy::unnecessary_wraps, reason = "a parser of clap's")]
pub(super) fn hidden(text: &str) -> Result<Hidden, String> {
    Ok(Hidden(text.to_owned()))
}

pub(super) fn ports(text: &str) -> Result<Ports, String> {
    if text.trim() == "auto" {
        return Ok(Ports::Auto);
    }
    let port = text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    port.map(Ports::One).ok_or_else(|| "write auto, or ports with commas between them: 8080,8443".to_owned())
}

/// `SIGQUIT`, `QUIT:2s`.
pub(super) fn diagnose(text: &str) -> Result<Diagnose, String> {
    let (signal, wait) = match text.split_once(':') {
        Some((signal, wait)) => (signal, values::duration(wait, values::LIMIT).map_err(in_one_line)?),
        None => (text, DEFAULT_DIAGNOSE_WAIT),
    };
    let signal = values::dump_signal(Signal::parse(signal)?).map_err(in_one_line)?;
    Ok(Diagnose { signal, wait })
}

/// Who may call `GET /prestop`: networks with commas between them, `token:TEXT`, `token-file:FILE`.
///
/// # Errors
/// What is wrong, without a token.
fn guard(text: &str) -> Result<PreStop, String> {
    let mut guard = PreStop { token: None, from: Vec::new() };
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let token = if let Some(token) = word.strip_prefix("token:") {
            let secret = Secret::new(token).map_err(|why| {
                format!("--prestop: the token {why}; make one with `head -c 24 /dev/urandom | base64`")
            })?;
            Some(Token::Value(secret))
        } else {
            word.strip_prefix("token-file:").map(|file| Token::File(PathBuf::from(file)))
        };
        match token {
            Some(_) if guard.token.is_some() => {
                return Err("--prestop: there is one token; leave the others out".into());
            }
            Some(token) => guard.token = Some(token),
            None => guard.from.extend(networks(word)?),
        }
    }
    if guard.token.is_none() && (guard.from.is_empty() || guard.from.iter().any(|n| n.is_everybody())) {
        return Err(
            "--prestop lets everybody in who reaches the port; write token:TEXT, token-file:FILE, or the network \
                    that the kubelet calls from: 10.244.0.0/16"
                .into(),
        );
    }
    Ok(guard)
}

/// What is no network may be a token whose prefix was forgotten, so it is not shown.
fn networks(word: &str) -> Result<Vec<Network>, String> {
    let wrong = "--prestop: neither a network (10.244.0.0/16) nor token:TEXT or token-file:FILE";
    Network::parse_list(word).map_err(|_| wrong.to_owned())
}

impl Wrapper {
    /// The guard of `GET /prestop`.
    ///
    /// # Errors
    /// One line, without a token.
    pub(super) fn prestop(&self) -> Result<Option<PreStop>, String> {
        let guard = self.prestop.as_ref().map(|hidden| guard(&hidden.0)).transpose()?;
        if guard.is_some() && self.common.http.is_none() {
            return Err("--prestop without --http: nothing listens that could answer it; add --http 9180".into());
        }
        Ok(guard)
    }

    /// The drain steps. With `--drain`, `--drain-sleep` is the least that its wait takes; alone it is a sleep.
    ///
    /// # Errors
    /// When flags contradict each other; one line.
    pub(super) fn drain_steps(&self, grace: Duration, platform: Platform) -> Result<Vec<Step>, String> {
        let step = |task| vec![Step { tasks: vec![task], reserve: None, essential: false, when: When::Requested }];
        if self.drain.is_empty() {
            return match (self.drain_sleep, self.drain_timeout) {
                (_, Some(_)) => {
                    Err("--drain-timeout without --drain: there is nothing to wait for; add --drain auto".into())
                }
                (Some(sleep), None) => {
                    let name = format!("sleep {}", humantime::format_duration(sleep));
                    Ok(step(Task::new(name, Handler::Sleep(sleep))))
                }
                (None, None) => Ok(Vec::new()),
            };
        }
        let mut ports: Vec<u16> =
            self.drain.iter().filter_map(|p| if let Ports::One(port) = p { Some(*port) } else { None }).collect();
        ports.sort_unstable();
        ports.dedup();
        let minimum = self.drain_sleep.unwrap_or_else(|| platform.lag().min(grace / PART));
        let idle = WaitIdle { listening: self.drain.contains(&Ports::Auto), minimum, ..WaitIdle::on(ports) };
        let unstated = self.common.grace.is_none() && self.drain_sleep.is_none();
        let longest = if unstated { platform.longest_drain() } else { None };
        let timeout = self.drain_timeout.or(longest);
        Ok(step(Task { timeout, ..Task::new(NAME, Handler::WaitIdle(idle)) }))
    }
}
