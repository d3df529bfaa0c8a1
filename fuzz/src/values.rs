//! What a string may mean: signals, durations, addresses, hosts, paths, headers, names. What is accepted means the same once
//! it is printed and read again; what is refused says why in one line and what to write.

use softstop::config::check::values::{self, DurationRange, LIMIT, PAUSE, ROUND, Wrong};
use softstop::config::listen::Listen;
use softstop::config::{HttpCall, Method, Scheme};
use softstop::http::client::{call_over, local_addresses};
use softstop::lifecycle::event::Outcome;
use softstop::signal::Signal;

use super::assert_one_line;
use super::trickle::{Trickle, block_on};

pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    signal(text);
    [LIMIT, PAUSE, ROUND].into_iter().for_each(|range| duration(text, range));
    if let Some(address) = judged(Listen::parse(text)) {
        assert!(address.port() > 0);
        assert_eq!(Listen::parse(&address.to_string()), Ok(address));
    }
    for name in [values::process_name(text), values::task_name(text), values::account(text)] {
        if let Some(name) = judged(name) {
            assert_one_line(&name);
        }
    }
    let _path = judged(values::path("report", text));
    assert_one_line(&values::command_as_array(text));
    request(text);
}

fn judged<T>(read: Result<T, Wrong>) -> Option<T> {
    read.map_err(|wrong| {
        assert_one_line(&wrong.sentence);
        assert_one_line(&wrong.help);
    })
    .ok()
}

fn signal(text: &str) {
    match Signal::parse(text) {
        Ok(signal) => {
            assert!((1..=64).contains(&signal.number()));
            // 16, 32 and 33 have no portable name; their number does.
            let shown = signal.to_string();
            let shown = shown.strip_prefix("signal ").unwrap_or(&shown);
            assert_eq!(Signal::parse(shown), Ok(signal));
            let _stop = judged(values::stop_request(signal));
            let _rung = judged(values::ladder_signal(signal));
        }
        Err(sentence) => assert_one_line(&sentence),
    }
}

fn duration(text: &str, range: DurationRange) {
    if let Some(duration) = judged(values::duration(text, range)) {
        assert!((range.min..=range.max).contains(&duration), "{duration:?} is outside {range:?}");
        assert_eq!(values::duration(&values::words(duration), range), Ok(duration));
    }
}

/// A host, a path and a header that are accepted make a request that can be sent.
fn request(text: &str) {
    let mut call = HttpCall {
        scheme: Scheme::Http,
        method: Method::Post,
        host: "db".into(),
        port: 80,
        path: "/".into(),
        headers: Vec::new(),
        body: Some("x".into()),
    };
    let accepted = |call: &HttpCall| {
        let answer = b"\xffHTTP/1.1 204 No Content\r\n\r\n";
        let outcome = block_on(call_over(call, Trickle::answering(answer, &mut Vec::new())));
        assert_eq!(outcome, Outcome::Ok, "accepted and cannot be sent: {call:?}");
    };
    if let Some(host) = judged(values::host(text)) {
        let _addresses = local_addresses(&host, 80);
        accepted(&HttpCall { host, ..call.clone() });
    }
    if let Some(path) = judged(values::url_path(text)) {
        accepted(&HttpCall { path, ..call.clone() });
    }
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    if judged(values::header(name, value)).is_some() {
        call.headers.push((name.into(), value.into()));
        accepted(&call);
    }
}
