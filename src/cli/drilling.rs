//! The flags of `softstop drill`, and what their values may be. Pure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::declare::{Form, Place, bytes, flags, given as switch, path};
use super::values::{duration, target, timeout};
use crate::config::{Handler, HttpCall, Scheme};

// The headings of --help.
const WHAT: &str = "What is drilled";
const LOAD: &str = "Load";
const STOP: &str = "The stop";
const SAID: &str = "What is said";

flags! {
    pub struct Drilling {
        /// Drill the wrapper around what stands behind the two dashes, not a configuration:
        /// softstop drill --wrapper -- /app/server
        wrapper: bool = switch { heading: Some(WHAT) } page {
            meaning: "The wrapper around what stands behind the two dashes, not a configuration; flags of the wrapper go before \
                its program: `softstop drill --wrapper -- --drain auto -- /app/server`.",
        };
        /// How long it may take until it is ready [default: 60s]
        ready_timeout: Option<Duration> = timeout { value: "DURATION", heading: Some(WHAT) } page {
            default: "`60s`",
            meaning: "How long it may take until it is ready.",
        };
        /// Ask this, http://HOST:PORT/PATH, all the time: until after the stop, when clients stop
        /// [default: no load]
        load: Option<HttpCall> = url { value: "URL", heading: Some(LOAD) } page {
            default: "no load",
            meaning: "What is asked, `http://HOST:PORT/PATH`, from readiness until clients stop. It is also asked whether it is ready.",
        };
        /// So many requests a second, every other one over a new connection [default: 20]
        rate: Option<u32> = rate { value: "N", heading: Some(LOAD), requires: Some("load") } page {
            default: "`20`",
            meaning: "So many requests a second, 1 to 10000; every other one over a new connection.",
        };
        /// The others go over so many kept ones at the most [default: 4]
        connections: Option<u32> = connections { value: "N", heading: Some(LOAD), requires: Some("load") } page {
            default: "`4`",
            meaning: "The others go over so many connections that are kept, 0 to 1000.",
        };
        /// Clients go on so long after readiness has turned: the time that the load balancers of
        /// the platform need to notice [default: 0s]
        lag: Option<Duration> = duration { value: "DURATION", heading: Some(LOAD), requires: Some("load") } page {
            default: "`0s`",
            meaning: "Clients go on so long after readiness has turned: what the load balancers of the platform take to notice, 5 s in \
                many a cluster.",
        };
        /// The readiness that the load balancers see, http://HOST:PORT/PATH
        /// [default: softstop's own]
        readiness_url: Option<HttpCall> = url { value: "URL", heading: Some(LOAD), requires: Some("load") } page {
            default: "softstop's own, `/readyz`",
            meaning: "Whose answer the load balancers go by: the `httpGet` of the pod's readinessProbe.",
        };
        /// A request that has no whole answer by then has failed [default: 5s]
        patience: Option<Duration> = timeout { value: "DURATION", heading: Some(LOAD), requires: Some("load") } page {
            default: "`5s`",
            meaning: "A request that has no whole answer by then has failed.",
        };
        /// The stop is requested so long after it is ready [default: 1s]
        before: Option<Duration> = duration { value: "DURATION", heading: Some(STOP) } page {
            default: "`1s`",
            meaning: "The stop is requested so long after it is ready.",
        };
        /// Announce the stop as a preStop hook does that runs softstop drain, and send SIGTERM when
        /// it is drained [default: SIGTERM alone]
        pre_stop: bool = switch { heading: Some(STOP) } page {
            meaning: "The stop is announced by `softstop drain`, as by a pod's preStop hook; SIGTERM follows when that has ended. \
                Without it SIGTERM comes alone.",
        };
        /// Try this grace in place of the configured one; several with commas, one drill after the
        /// other [default: as configured]
        grace: Vec<Duration> = timeout { value: "DURATION", heading: Some(STOP), commas: true } page {
            default: "as configured",
            meaning: "In place of the configured one; several with commas are tried one after the other: `--grace 10s,20s,30s`.",
        };
        /// Drill so many times, for the distribution [default: 1]
        repeat: Option<u32> = repeat { value: "N", heading: Some(STOP) } page {
            default: "`1`",
            meaning: "So many drills, 1 to 1000; what is said goes by the slowest.",
        };
        /// Rehearse a crash: SIGKILL to the main process, or to NAME, so long after it is ready
        kill_at: Option<KillAt> = kill_at { value: "[NAME:]DURATION", heading: Some(STOP) } page {
            default: "none",
            meaning: "Rehearses a crash: SIGKILL to the main process, or to `NAME`, so long after it is ready. The stop is requested \
                when it is ready again.",
        };
        /// Everything that was measured as JSON, on standard output
        json: bool = switch { heading: Some(SAID) } page {
            meaning: "[Everything that was measured](drill.md#json), on standard output.",
        };
        /// Write a JUnit report here, for CI
        junit: Option<PathBuf> = path { value: "FILE", form: Form::Path, heading: Some(SAID) } page {
            default: "none",
            meaning: "Where a JUnit report is written, for CI.",
        };
        /// Write a summary here, for a pull request
        markdown: Option<PathBuf> = path { value: "FILE", form: Form::Path, heading: Some(SAID) } page {
            default: "none",
            meaning: "Where a summary in Markdown is written (appended to, as `$GITHUB_STEP_SUMMARY` is to be), for a pull request.",
        };
        /// Draw the slowest stop here
        svg: Option<PathBuf> = path { value: "FILE", form: Form::Path, heading: Some(SAID) } page {
            default: "none",
            meaning: "Where the slowest stop is drawn: steps, processes, open connections and failed requests against the grace.",
        };
        /// Keep softstop's own report of the slowest stop here
        report: Option<PathBuf> = path { value: "FILE", form: Form::Path, heading: Some(SAID) } page {
            default: "none",
            meaning: "Where [softstop's own report](stop/outcome.md) of the slowest stop is kept.",
        };
        /// Not the output of what is drilled
        quiet: bool = switch { heading: Some(SAID) } page {
            meaning: "What is drilled writes to nowhere; else both its streams go to standard error.",
        };
        /// With --wrapper the program, with flags of the wrapper before it if need be; else one more
        /// command beside the processes, as for softstop run
        cmd: Vec<OsString> = bytes { place: Some(Place::Last), value: "CMD", form: Form::Any };
    }
}

/// A crash that is rehearsed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KillAt {
    /// `None`: the main process.
    pub process: Option<String>,
    pub after: Duration,
}

fn kill_at(text: &str) -> Result<KillAt, String> {
    let (process, after) = match text.rsplit_once(':') {
        Some(("", _)) => return Err("write how long after it is ready, 2s, or whom and how long: web:2s".to_owned()),
        Some((process, after)) => (Some(process.to_owned()), after),
        None => (None, text),
    };
    Ok(KillAt { process, after: duration(after)? })
}

fn url(text: &str) -> Result<HttpCall, String> {
    match target(text) {
        Ok(Handler::Http(call)) if call.scheme == Scheme::Http => Ok(call),
        Ok(_) => {
            Err("load is plain HTTP: write http://HOST:PORT/PATH, the port that a balancer in front of it would use"
                .to_owned())
        }
        Err(_) => Err("write http://HOST:PORT/PATH".to_owned()),
    }
}

fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number: u32 = text.parse().map_err(|_| format!("write a number, {least} to {most}"))?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("{number} is not in {least} to {most}")) }
}

fn rate(text: &str) -> Result<u32, String> {
    number(text, 1, 10_000)
}

fn connections(text: &str) -> Result<u32, String> {
    number(text, 0, 1000)
}

fn repeat(text: &str) -> Result<u32, String> {
    number(text, 1, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_told_by_time_and_name() {
        let s = Duration::from_secs;
        assert_eq!(kill_at("2s"), Ok(KillAt { process: None, after: s(2) }));
        assert_eq!(kill_at("web: 1:2s"), Ok(KillAt { process: Some("web: 1".to_owned()), after: s(2) }));
        for wrong in ["", "web", ":2s", "web:", "2"] {
            assert!(kill_at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn load_is_plain_http() {
        assert_eq!(url("http://localhost:8080/x").map(|call| call.path), Ok("/x".to_owned()));
        for wrong in ["tcp:80", "localhost:80", "", "grpc://x:1"] {
            assert!(url(wrong).unwrap_err().contains("write http://"), "{wrong}");
        }
        assert_eq!(rate("0"), Err("0 is not in 1 to 10000".to_owned()));
        assert_eq!(connections("x"), Err("write a number, 0 to 1000".to_owned()));
    }
}
