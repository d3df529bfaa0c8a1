//! Whether an answer is what a `wait_http` waits for: its status, a value in its JSON, the sum of a metric's samples. Pure.

use serde_json::Value;

use crate::config::handler::{Is, JsonValue, Metric, WaitHttp};
use crate::facts::Unfit;
use crate::json;
use crate::text::plain;

/// Of a value that is not as it should be, so much is quoted, in characters.
const QUOTED: usize = 60;

/// # Errors
/// What is not as it should be.
pub fn check(wait: &WaitHttp, status: u16, body: &[u8]) -> Result<(), Unfit> {
    let (low, high) = wait.status;
    if !(low..=high).contains(&status) {
        return Err(Unfit::Status { status, wanted: wait.status });
    }
    if let Some(json) = &wait.json {
        check_json(json, body)?;
    }
    match &wait.metric {
        Some(metric) => check_metric(metric, body),
        None => Ok(()),
    }
}

fn check_json(wanted: &JsonValue, body: &[u8]) -> Result<(), Unfit> {
    let answer = json::parse(body).map_err(Unfit::Unreadable)?;
    let pointer = wanted.pointer.clone();
    let Some(value) = answer.pointer(&pointer) else { return Err(Unfit::NoValue { pointer }) };
    let holds = match &wanted.is {
        // 0 and 0.0 are the same number.
        Is::Equal(Value::Number(number)) => value.as_f64().is_some_and(|v| number.as_f64() == Some(v)),
        Is::Equal(other) => value == other,
        Is::AtMost(most) => value.as_f64().is_some_and(|v| v <= most.get()),
    };
    if holds {
        return Ok(());
    }
    let is = plain(&value.to_string(), ' ').chars().take(QUOTED).collect();
    Err(Unfit::Value { pointer, is })
}

fn check_metric(wanted: &Metric, body: &[u8]) -> Result<(), Unfit> {
    let text = String::from_utf8_lossy(body);
    let samples = text.lines().filter_map(sample).filter(|s| s.name == wanted.name && s.has(&wanted.labels));
    let (count, sum) = samples.fold((0usize, 0.0), |(n, sum), sample| (n + 1, sum + sample.value));
    let metric = wanted.name.clone();
    if count == 0 {
        return Err(Unfit::NoSample { metric });
    }
    // Not a number is not at most anything.
    if sum <= wanted.at_most.get() { Ok(()) } else { Err(Unfit::Sum { metric, is: sum.to_string() }) }
}

/// One line of the text format: `name{label="value",...} 12.5 1700000000000`.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample<'a> {
    pub name: &'a str,
    pub labels: Vec<(&'a str, String)>,
    pub value: f64,
}

impl Sample<'_> {
    fn has(&self, labels: &[(String, String)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.iter().any(|(n, v)| n == name && v == value))
    }
}

/// The sample in a line (Prometheus, exposition formats, text format 0.0.4; of OpenMetrics what is the same). `None` for comments,
/// empty lines and what is none.
pub fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    let mut labels = Vec::new();
    rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once('=')?;
            let (value, after) = quoted(after.trim_start())?;
            labels.push((label.trim(), value));
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        rest = rest.strip_prefix('}')?;
    } else if !line[end..].starts_with([' ', '\t']) {
        return None;
    }
    // `+Inf`, `-Inf` and `NaN` are numbers here as there. A time stamp may follow.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

/// A label's value and what follows its closing quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HttpCall;
    use crate::config::handler::Finite;

    fn wait() -> WaitHttp {
        WaitHttp { call: HttpCall::get("localhost", 80, "/"), status: (200, 299), json: None, metric: None }
    }

    fn json(pointer: &str, is: Is) -> WaitHttp {
        WaitHttp { json: Some(JsonValue { pointer: pointer.into(), is }), ..wait() }
    }

    fn at_most(n: f64) -> Is {
        Is::AtMost(Finite::new(n).unwrap())
    }

    fn metric(labels: &[(&str, &str)]) -> WaitHttp {
        let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let metric = Metric { name: "in_flight".into(), labels, at_most: Finite::new(0.0).unwrap() };
        WaitHttp { metric: Some(metric), ..wait() }
    }

    #[test]
    fn a_status() {
        assert_eq!(check(&wait(), 204, b""), Ok(()));
        assert_eq!(check(&wait(), 503, b"").unwrap_err().to_string(), "answers 503, not 200 to 299");
        assert_eq!(
            check(&WaitHttp { status: (200, 200), ..wait() }, 204, b"").unwrap_err().to_string(),
            "answers 204, not 200"
        );
    }

    #[test]
    fn a_value_in_json() {
        let body = br#"{"in_flight": 3, "a/b": {"m~n": [true, "x", 0.0]}}"#;
        assert_eq!(check(&json("/in_flight", at_most(3.0)), 200, body), Ok(()));
        assert_eq!(check(&json("/in_flight", at_most(2.5)), 200, body).unwrap_err().to_string(), "/in_flight is 3");
        for (pointer, value) in
            [("/a~1b/m~0n/0", Value::from(true)), ("/a~1b/m~0n/1", "x".into()), ("/a~1b/m~0n/2", 0.into())]
        {
            assert_eq!(check(&json(pointer, Is::Equal(value)), 200, body), Ok(()), "{pointer}");
        }
        assert_eq!(
            check(&json("/in_flight", Is::Equal("3".into())), 200, body).unwrap_err().to_string(),
            "/in_flight is 3"
        );
        assert_eq!(check(&json("/nothing", at_most(0.0)), 200, body).unwrap_err().to_string(), "there is no /nothing");
        assert_eq!(
            check(&json("/a~1b/m~0n/1", at_most(9.0)), 200, body).unwrap_err().to_string(),
            "/a~1b/m~0n/1 is \"x\""
        );
        assert_eq!(check(&json("", Is::Equal(7.into())), 200, b"7"), Ok(()));
        assert!(check(&json("/x", at_most(0.0)), 200, b"<html>").unwrap_err().to_string().contains("not JSON"));
        let deep = "[".repeat(100_000);
        assert!(check(&json("/0", at_most(0.0)), 200, deep.as_bytes()).is_err());
    }

    #[test]
    fn the_sum_of_a_metric() {
        let body = b"# HELP in_flight x\n# TYPE in_flight gauge\nin_flight{method=\"GET\",path=\"/a\\\"b,}\"} 2\n\
                     in_flight{method=\"POST\"} 0 1700000000000\nin_flight_total 7\nother 9\nin_flight{method=\"PUT\"} 0\n";
        assert_eq!(check(&metric(&[]), 200, body).unwrap_err().to_string(), "in_flight is 2");
        assert_eq!(check(&metric(&[("method", "POST")]), 200, body), Ok(()));
        assert_eq!(check(&metric(&[("path", "/a\"b,}")]), 200, body).unwrap_err().to_string(), "in_flight is 2");
        assert_eq!(
            check(&metric(&[("method", "X")]), 200, body).unwrap_err().to_string(),
            "there is no sample of in_flight"
        );
        assert_eq!(check(&metric(&[]), 200, b"in_flight NaN").unwrap_err().to_string(), "in_flight is NaN");
        assert_eq!(check(&metric(&[]), 200, b"in_flight -Inf"), Ok(()));
        assert_eq!(check(&metric(&[]), 200, b"").unwrap_err().to_string(), "there is no sample of in_flight");
    }

    #[test]
    fn lines_that_are_no_samples() {
        for line in [
            "",
            "#",
            "# in_flight 1",
            "in_flight",
            "in_flight x",
            "in_flight{",
            "in_flight{a} 1",
            "in_flight{a=\"1} 1",
            "é 1",
        ] {
            assert_eq!(sample(line), None, "{line:?}");
        }
        assert_eq!(sample("job:a_b9:sum 1").map(|s| s.name), Some("job:a_b9:sum"));
        for line in ["a 1", "  a\t1 ", "a{} 1", "a { } 1", "a{b=\"c\",} 1", "a{ b = \"c\" , d=\"e\" } 1 # {x=\"y\"} 2"]
        {
            assert_eq!(sample(line).map(|s| (s.name, s.value)), Some(("a", 1.0)), "{line:?}");
        }
    }
}
