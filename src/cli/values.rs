//! What a value after a flag may be, and what it means. Pure.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Target;
use crate::config::check::{values, word};
use crate::config::listen::Listen;
use crate::config::{Control, GrpcCall, Handler, HttpCall, Rung, Scheme, Stop, stop_word};
use crate::endpoint::Health;
use crate::programs::Preset;
use crate::signal::Signal;

pub(super) fn in_one_line(wrong: values::Wrong) -> String {
    format!("{}; {}", wrong.sentence, wrong.help)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text, values::PAUSE).map_err(in_one_line)
}

pub(super) fn stop_on(text: &str) -> Result<Signal, String> {
    values::stop_request(Signal::parse(text)?).map_err(in_one_line)
}

pub(super) fn listen(text: &str) -> Result<Listen, String> {
    Listen::parse(text).map_err(in_one_line)
}

pub(super) fn control(text: &str) -> Result<Control, String> {
    values::control(text).map_err(in_one_line)
}

/// A word of an enum: those of its flag's form.
pub(super) fn one_of<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    word(text).map_err(|words| format!("write one of {}", words.join(", ")))
}

/// An exit code.
pub(super) fn byte(text: &str) -> Result<u8, String> {
    let number: i64 = text.parse().map_err(|why: std::num::ParseIntError| why.to_string())?;
    u8::try_from(number).map_err(|_| format!("{number} is not in 0..=255"))
}

/// The PORT of a Procfile's first process.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| "write a port's number, 1 to 65535: --port 3000".to_owned())
}

/// `web=2`.
pub(super) fn formation(text: &str) -> Result<(String, u32), String> {
    let (name, count) = text.split_once('=').unwrap_or_default();
    match count.trim().parse() {
        Ok(count) if !name.trim().is_empty() => Ok((name.trim().to_owned(), count)),
        _ => Err("write how many of which: web=2,worker=0".to_owned()),
    }
}

pub(super) fn remap(text: &str) -> Result<(u8, u8), String> {
    let (from, to) = text.split_once('=').unwrap_or((text, "0"));
    let codes = from.trim().parse().and_then(|from| Ok((from, to.trim().parse()?)));
    codes.map_err(|_| "write the code and what to exit with, each 0 to 255: 143=0".to_owned())
}

/// A part of `--stop-signal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopStep {
    Rung(Rung),
    /// The whole of it.
    As(&'static Preset),
}

pub(super) fn stop_step(text: &str) -> Result<StopStep, String> {
    match (stop_word(text), rung(text)) {
        (Ok(Stop::Preset(_, preset)), _) => Ok(StopStep::As(preset)),
        (_, Ok(rung)) => Ok(StopStep::Rung(rung)),
        (Err(near), Err(_)) if near.help.starts_with("did you mean") => Err(in_one_line(near)),
        (_, Err(why)) => Err(why),
    }
}

fn rung(text: &str) -> Result<Rung, String> {
    let (signal, wait) = match text.split_once(':') {
        Some((signal, wait)) => (signal, Some(duration(wait)?)),
        None => (text, None),
    };
    Ok(Rung { signal: ladder_signal(signal)?, wait })
}

/// `TERM:QUIT`, `HUP:0`.
pub(super) fn rewrite(text: &str) -> Result<(Signal, Option<Signal>), String> {
    let (from, to) = text.split_once(':').ok_or("write the signal and what is sent in its place: TERM:QUIT, HUP:0")?;
    Ok((values::rewritten(from).map_err(in_one_line)?, values::in_its_place(to).map_err(in_one_line)?))
}

pub(super) fn ladder_signal(text: &str) -> Result<Signal, String> {
    values::ladder_signal(Signal::parse(text)?).map_err(in_one_line)
}

/// Of `status --watch`.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match timeout(text)? {
        interval if interval < Duration::from_millis(100) => {
            Err("less than 100ms shows nothing more; write 100ms or more".to_owned())
        }
        interval => Ok(interval),
    }
}

/// Of what cannot take for ever.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    values::duration(text, values::LIMIT).map_err(in_one_line)
}

/// A target as for `--startup`, or an endpoint of softstop's own.
pub(super) fn probe_target(text: &str) -> Result<Target, String> {
    if let Some(health) = Health::ALL.into_iter().find(|health| health.word() == text) {
        return Ok(Target::Own(health));
    }
    match target(text) {
        Ok(handler) => Ok(Target::Call(Box::new(handler))),
        Err(why) if text.contains(':') => Err(why),
        Err(why) => Err(format!("{why}, or ready, live or startup for softstop's own")),
    }
}

/// `http://HOST:PORT/PATH`, `https://…`, `grpc://HOST:PORT/SERVICE`, `tcp:PORT`, `tcp://HOST:PORT`.
pub(super) fn target(text: &str) -> Result<Handler, String> {
    for (prefix, scheme, port) in [("http://", Scheme::Http, 80), ("https://", Scheme::Https, 443)] {
        let Some(rest) = text.strip_prefix(prefix) else { continue };
        if scheme == Scheme::Https && !cfg!(feature = "https") {
            return Err("this softstop was built without https; probe the plain port, or with tcp:PORT".to_string());
        }
        let (authority, path) = rest.find('/').map_or((rest, "/"), |i| rest.split_at(i));
        let (host, port) = host_and_port(authority, Some(port))?;
        let path = values::url_path(path).map_err(in_one_line)?;
        return Ok(Handler::Http(HttpCall { scheme, ..HttpCall::get(host, port, path) }));
    }
    if let Some(rest) = text.strip_prefix("grpc://") {
        let (authority, service) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(authority, None)?;
        let service = values::service(service).map_err(in_one_line)?;
        return Ok(Handler::Grpc(GrpcCall { host, port, service }));
    }
    let rest = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("tcp:")).ok_or_else(no_target)?;
    if let Ok(port) = rest.parse::<u16>()
        && port > 0
    {
        return Ok(Handler::Tcp { host: "localhost".to_string(), port });
    }
    let (host, port) = host_and_port(rest, None)?;
    Ok(Handler::Tcp { host, port })
}

fn no_target() -> String {
    "write http://HOST:PORT/PATH, https://HOST:PORT/PATH, grpc://HOST:PORT/SERVICE, tcp:PORT or tcp://HOST:PORT"
        .to_string()
}

/// `default`: the port where there is none; `None`: there has to be one.
fn host_and_port(text: &str, default: Option<u16>) -> Result<(String, u16), String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (text, default),
    };
    let port = port.filter(|port| *port > 0).ok_or_else(no_target)?;
    let host = if host.is_empty() { "localhost" } else { host };
    Ok((values::host(host).map_err(in_one_line)?, port))
}

pub(super) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a whole number, such as 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_people_write_them() {
        let http = |text| match target(text).unwrap() {
            Handler::Http(call) => (call.host, call.port, call.path),
            other => panic!("{other:?}"),
        };
        assert_eq!(http("http://localhost:8080/healthz"), ("localhost".into(), 8080, "/healthz".into()));
        assert_eq!(http("http://[::1]:80"), ("::1".into(), 80, "/".into()));
        assert_eq!(http("http://db"), ("db".into(), 80, "/".into()));
        assert_eq!(target("tcp:5432").unwrap(), Handler::Tcp { host: "localhost".into(), port: 5432 });
        assert_eq!(target("tcp://db:5432").unwrap(), Handler::Tcp { host: "db".into(), port: 5432 });
        let grpc = |service: &str| GrpcCall { host: "localhost".into(), port: 9090, service: service.into() };
        assert_eq!(target("grpc://:9090").unwrap(), Handler::Grpc(grpc("")));
        assert_eq!(target("grpc://localhost:9090/shop.v1.Orders").unwrap(), Handler::Grpc(grpc("shop.v1.Orders")));
        assert_eq!(target("https://db/x").is_ok(), cfg!(feature = "https"));
        for wrong in [
            "",
            "8080",
            "grpc://db",
            "grpc://db:1/a\u{1f}b",
            "tcp:",
            "tcp:0",
            "http://x:y/",
            "ftp://x",
            "https://x:y/",
            "http://x:1/a b",
            "http://a\u{1f}b/",
            "http://x?a=b",
            "tcp:a b:1",
        ] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
