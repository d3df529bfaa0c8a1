//! From flags to settings: what `run` lays over its file, and the configuration that the wrapper's amount to. Pure.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::flags::{Common, Wrapper};
use super::values::StopStep;
use crate::config::check::values::words;
use crate::config::fit::{self, Cut};
use crate::config::platform::Platform;
use crate::config::{
    Config, Handler, Http, OnExit, Output, Probe, Process, Restart, Rung, SignalTo, Stdin, StopOn, Stragglers,
    default_kill_reserve,
};

impl Common {
    /// Lay the flags over a configuration.
    ///
    /// # Errors
    /// When together they contradict each other; one line.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        self.budget(config)?;
        if !self.stop_on.is_empty() {
            config.stop_on = StopOn::Only(self.stop_on.clone());
        }
        let stragglers = Stragglers {
            wait: self.stragglers_wait,
            signal: self.stragglers_signal,
            timeout: self.stragglers_timeout,
            timeout_when_ended: self.stragglers_timeout_when_ended,
        };
        config.stragglers = stragglers.or(config.stragglers);
        config.forward = self.forward.unwrap_or(config.forward);
        if let Some(listen) = self.http {
            // Only the address: who may call /prestop is the file's to say.
            let prestop = config.http.take().and_then(|http| http.prestop);
            config.http = Some(Http { listen, prestop });
        }
        if let Some(control) = &self.control {
            config.control = control.clone();
        }
        config.log.level = self.log_level.unwrap_or(config.log.level);
        config.log.format = self.log_format.unwrap_or(config.log.format);
        config.color = self.color.unwrap_or(config.color);
        config.exit_codes.map.extend(self.exit_codes.iter().copied());
        config.exit_codes.forced = self.forced_exit_code.or(config.exit_codes.forced);
        if let Some(report) = &self.report {
            config.report = Some(report.clone());
        }
        if let Some(file) = &self.termination_log {
            config.termination_log = Some(file.clone()).filter(|f| !f.as_os_str().is_empty());
        }
        Ok(())
    }

    fn budget(&self, config: &mut Config) -> Result<(), String> {
        if let Some(grace) = self.grace {
            // A default reserve follows the grace; a stated one stays, if it can.
            if config.kill_reserve == default_kill_reserve(config.grace) {
                config.kill_reserve = default_kill_reserve(grace);
            }
            config.grace = grace;
        }
        config.kill_reserve = self.kill_reserve.unwrap_or(config.kill_reserve);
        if config.kill_reserve < config.grace {
            return Ok(());
        }
        let [reserve, grace] = [config.kill_reserve, config.grace].map(humantime::format_duration);
        Err(format!("kill_reserve ({reserve}) must be less than the grace ({grace}): nothing would be left to stop in"))
    }
}

impl Wrapper {
    /// The configuration that the flags amount to on a `platform`: one process, in the foreground, whose end is the container's.
    ///
    /// # Errors
    /// When flags contradict each other; one line.
    pub fn config(&self, platform: Platform) -> Result<Config, String> {
        let mut config = Config { platform, ..Config::with_defaults() };
        self.common.apply(&mut config)?;
        if let (Some(http), prestop @ Some(_)) = (&mut config.http, self.prestop()?) {
            http.prestop = prestop;
        }
        let stop = ladder(&self.own.stop_signal, config.grace.saturating_sub(config.kill_reserve))?;
        let process = Process {
            output: self.own.output.unwrap_or_default(),
            stop_as_received: stop.is_empty(),
            stop,
            diagnose: self.own.diagnose,
            signal_to: if self.own.group { SignalTo::Group } else { self.own.signal_to.unwrap_or(SignalTo::Process) },
            rewrite: self.own.rewrite.iter().copied().collect(),
            startup: probe(self.own.startup.as_ref(), |p| {
                (p.period, p.failure_threshold) = (Duration::from_secs(1), 300)
            }),
            readiness: probe(self.own.readiness.as_ref(), |p| p.period = Duration::from_secs(5)),
            liveness: probe(self.own.liveness.as_ref(), |_| {}),
            foreground: true,
            ..main_process(&self.cmd)
        };
        // Room for one: a first push makes some for four.
        config.processes = vec![process];
        config.drain = self.drain_steps(config.grace, platform)?;
        Ok(config)
    }
}

/// A command that was typed: the main process, in the foreground, called as its program is.
pub(super) fn main_process(cmd: &[OsString]) -> Process {
    let program = cmd.first().map(Path::new).and_then(Path::file_name);
    let name = program.map_or_else(|| "main".to_string(), |n| n.to_string_lossy().into_owned());
    let (stdin, output) = (Stdin::Inherit, Output::Inherit);
    let (restart, on_exit) = (Restart::Never, OnExit::Stop);
    Process { stdin, output, restart, on_exit, main: true, ..Process::new(name, cmd.to_vec()) }
}

fn probe(handler: Option<&Handler>, change: impl FnOnce(&mut Probe)) -> Option<Box<Probe>> {
    let mut probe = Box::new(Probe::new(handler?.clone()));
    change(&mut probe);
    Some(probe)
}

/// `time`: from the stop request to the kill.
fn ladder(steps: &[StopStep], time: Duration) -> Result<Vec<Rung>, String> {
    let mut rungs = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            StopStep::As(preset) if steps.len() == 1 => return Ok(Rung::of_preset(preset, time)),
            StopStep::As(preset) => {
                return Err(format!("--stop-signal: {} stands alone: it is all of the ladder", preset.word()));
            }
            StopStep::Rung(rung) => rungs.push(*rung),
        }
    }
    match rungs.iter().rev().skip(1).find(|rung| rung.wait.is_none()) {
        Some(Rung { signal, .. }) => {
            Err(format!("--stop-signal: what follows {signal} never comes; give it a wait: {signal}:10s"))
        }
        None => Ok(rungs),
    }
}

/// What can be lived with, and is hardly meant; a line each.
pub fn warnings(config: &Config) -> Vec<String> {
    let cuts = fit::cuts(config, &config.drain.iter().collect::<Vec<_>>(), &[]);
    let line = |Cut { wants, gets, grace: enough }: Cut| {
        let [wants, gets, grace, enough] = [wants, gets, config.grace, enough].map(words);
        format!(
            "the drain takes at least {wants}, and can have {gets} of a grace of {grace}; shorten it, or raise --grace to at least {enough}"
        )
    };
    cuts.into_iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::reading;
    use crate::signal::Signal;

    fn wrap(args: &[&str]) -> Config {
        let all = ["softstop"].iter().chain(args).chain(&["--", "/bin/app", "-x"]).map(OsString::from);
        reading::read(&all.collect::<Vec<_>>()).unwrap().wrapper.config(Platform::Unknown).unwrap()
    }

    #[test]
    fn a_drain_that_does_not_fit_into_the_grace_is_warned_of() {
        let said = warnings(&wrap(&["--grace", "5s", "--drain-sleep", "10s"]));
        let line = "the drain takes at least 10s, and can have 2s750ms of a grace of 5s; shorten it, or raise --grace to at least 15s";
        assert_eq!(said, [line]);
        assert_eq!(warnings(&wrap(&["--grace", "15s", "--drain-sleep", "10s"])), [""; 0]);
    }

    #[test]
    fn a_known_program_is_a_whole_ladder_within_the_grace() {
        let stop = &wrap(&["--grace", "21s", "--kill-reserve", "1s", "-s", "nginx"]).processes[0].stop;
        let wait = Some(Duration::from_secs(15));
        assert_eq!(stop[..], [Rung { signal: Signal::QUIT, wait }, Rung { signal: Signal::TERM, wait: None }]);
        let words = ["softstop", "-s", "nginx,TERM", "--", "x"].map(OsString::from);
        let refused = reading::read(&words).unwrap().wrapper.config(Platform::Unknown).unwrap_err();
        assert_eq!(refused, "--stop-signal: nginx stands alone: it is all of the ladder");
    }

    #[test]
    fn flags_become_settings() {
        let c = wrap(&["--grace", "8s", "-s", "QUIT:5s,TERM", "--http", ":9180", "--readiness", "tcp:80", "-e", "143"]);
        assert_eq!(c.grace, Duration::from_secs(8));
        assert_eq!(c.kill_reserve, Duration::from_secs(1));
        assert_eq!(c.processes[0].name, "app");
        let wait = Some(Duration::from_secs(5));
        assert_eq!(c.processes[0].stop[0], Rung { signal: Signal::QUIT, wait });
        assert_eq!(c.http.unwrap().listen.port(), 9180);
        assert_eq!(c.exit_codes.map.get(&143), Some(&0));
        let rewrite = &wrap(&["--rewrite", "TERM:QUIT,1:0", "--rewrite", "USR1:none"]).processes[0].rewrite;
        assert_eq!(rewrite[&Signal::TERM], Some(Signal::QUIT));
        assert_eq!((rewrite[&Signal::HUP], rewrite[&Signal::USR1]), (None, None));
        assert_eq!(wrap(&["--grace", "2s"]).kill_reserve, Duration::from_millis(500));
    }
}
