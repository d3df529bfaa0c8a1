//! The wrapper's drain and its preStop endpoint: what `--drain` and `--prestop` take, and the settings that they amount to. Pure.

use std::path::PathBuf;
use std::time::Duration;

use super::flags::Wrapper;
use super::values::in_one_line;
use crate::config::check::values;
use crate::config::handler::{DEFAULT_QUIET, WaitIdle};
use crate::config::network::Network;
use crate::config::platform::Platform;
use crate::config::prestop::{PreStop, Secret, Token};
use crate::config::{DEFAULT_DIAGNOSE_WAIT, Diagnose, Handler, Step, Task, When};
use crate::signal::Signal;
use crate::sorted;

/// The step's name in the log.
const NAME: &str = "open connections";
/// The default minimum takes no more than this part of the grace, and the quiet window than that: with a short grace there is still to be
/// an end of the wait that is no timeout.
const MINIMUM: u32 = 3;
const QUIET: u32 = 6;

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

/// Anything: a value that is refused is shown.
#[expect(clippy::unnecessary_wraps, reason = "as every reader of a value")]
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
        let guard = self.own.prestop.as_ref().map(|hidden| guard(&hidden.0)).transpose()?;
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
        if self.own.drain.is_empty() {
            return match (self.own.drain_sleep, self.own.drain_timeout) {
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
            self.own.drain.iter().filter_map(|p| if let Ports::One(port) = p { Some(*port) } else { None }).collect();
        sorted::sort(&mut ports);
        ports.dedup();
        let unstated = self.common.grace.is_none() && self.own.drain_sleep.is_none();
        let longest = if unstated { platform.longest_drain() } else { None };
        let timeout = self.own.drain_timeout.or(longest);
        let most = timeout.unwrap_or(grace);
        let quiet = DEFAULT_QUIET.min(grace / QUIET);
        let minimum = self.own.drain_sleep.unwrap_or_else(|| platform.lag().min(grace / MINIMUM).min(most));
        let listening = self.own.drain.contains(&Ports::Auto);
        let idle = WaitIdle { listening, quiet, minimum, ..WaitIdle::on(ports) };
        if idle.least() > most {
            return Err(format!(
                "{} ({}) is less than the least that the wait of --drain takes ({}): it can never succeed",
                if self.own.drain_timeout.is_some() { "--drain-timeout" } else { "the grace" },
                humantime::format_duration(most),
                humantime::format_duration(idle.least())
            ));
        }
        Ok(step(Task { timeout, ..Task::new(NAME, Handler::WaitIdle(idle)) }))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::reading;

    fn steps(platform: Platform, flags: &[&str]) -> Result<Vec<Step>, String> {
        let all = ["softstop"].iter().chain(flags).chain(&["--", "/bin/app"]).map(OsString::from);
        let all: Vec<OsString> = all.collect();
        reading::read(&all).unwrap().wrapper.config(platform).map(|config| config.drain)
    }

    /// Least, quiet, most.
    fn times(platform: Platform, flags: &[&str]) -> (Duration, Duration, Option<Duration>) {
        let steps = steps(platform, &[&["--drain", "auto"], flags].concat()).unwrap();
        let [Step { tasks, .. }] = steps.as_slice() else { panic!("{steps:?}") };
        let Handler::WaitIdle(idle) = &tasks[0].handler else { panic!("{tasks:?}") };
        assert!(idle.listening && idle.ports.is_empty());
        (idle.minimum, idle.quiet, tasks[0].timeout)
    }

    #[test]
    fn what_a_platform_is_known_for_is_the_default() {
        use Platform::{Ecs, Kubernetes, Unknown};
        let s = Duration::from_secs;
        for platform in [Kubernetes, Ecs] {
            assert_eq!(times(platform, &[]), (s(5), s(2), None));
        }
        assert_eq!(times(Unknown, &[]), (s(0), s(2), Some(s(6))));
        assert_eq!(times(Unknown, &["--grace", "40s"]), (s(0), s(2), None), "who says the grace knows");
        assert_eq!(times(Unknown, &["--drain-sleep", "9s"]), (s(9), s(2), None));
        assert_eq!(times(Kubernetes, &["--grace", "6s"]), (s(2), s(1), None));
        assert_eq!(times(Kubernetes, &["--drain-timeout", "3s"]), (s(3), s(2), Some(s(3))));
        assert_eq!(times(Kubernetes, &["--drain-sleep", "0s"]), (s(0), s(2), None));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for (flags, said) in [
            (&["--drain-timeout", "3s"][..], "--drain-timeout without --drain"),
            (&["--drain", "auto", "--drain-timeout", "1s"], "can never succeed"),
            (&["--drain", "80", "--drain-sleep", "9s", "--drain-timeout", "8s"], "can never succeed"),
            (&["--drain", "80", "--drain-sleep", "31s"], "can never succeed"),
        ] {
            let why = steps(Platform::Unknown, flags).unwrap_err();
            assert!(why.contains(said), "{flags:?}: {why}");
        }
    }

    #[test]
    fn a_platform_is_known_by_what_it_sets() {
        let of = |name: &str| Platform::of(&|asked| asked == name);
        assert_eq!(of("KUBERNETES_SERVICE_HOST"), Platform::Kubernetes);
        assert_eq!(of("ECS_CONTAINER_METADATA_URI_V4"), Platform::Ecs);
        assert_eq!(of("PATH"), Platform::Unknown);
    }
}
