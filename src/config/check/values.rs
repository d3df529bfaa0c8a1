//! What a string in the configuration, or after a flag, may mean: durations, addresses, hosts, paths, headers. Pure.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::keys;
use crate::config::Control;
use crate::config::listen::Listen;
use crate::signal::Signal;

/// Longest time anything may be told to take.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a text is not the value it should be: one sentence, and what to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub sentence: String,
    pub help: String,
}

impl Wrong {
    pub fn new(sentence: impl Into<String>, help: impl Into<String>) -> Wrong {
        Wrong { sentence: sentence.into(), help: help.into() }
    }

    /// Says whose value it is.
    pub fn in_field(mut self, name: &str) -> Wrong {
        self.sentence = format!("`{name}`: {}", self.sentence);
        self
    }
}

/// The least and the most a duration may be, both included.
#[derive(Clone, Copy, Debug)]
pub struct DurationRange {
    pub min: Duration,
    pub max: Duration,
}

/// A time limit.
pub const LIMIT: DurationRange = DurationRange { min: Duration::from_millis(1), max: DAY };
/// A pause or a reserve, which may be nothing.
pub const PAUSE: DurationRange = DurationRange { min: Duration::ZERO, max: DAY };
/// What comes round again: never so often that it becomes a busy loop.
pub const ROUND: DurationRange = DurationRange { min: Duration::from_millis(10), max: DAY };

/// So many characters are plenty for a duration.
const LONGEST_TEXT: usize = 64;

/// The text without its fractions, and the text; both without zeros that mean nothing, whose number would look like a large value.
/// `None`: a number is larger than any duration can be. (humantime adds up without a check of its own, and panics near the end of its range.)
fn plain_numbers(text: &str) -> Option<(String, String)> {
    /// A day in nanoseconds has 14 digits; in seconds and more, nothing needs ten.
    const SMALL_UNITS: [&str; 5] = ["n", "u", "\u{b5}", "ms", "mil"];
    let (mut whole, mut exact) = (String::new(), String::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        if !digits.is_empty() {
            let significant = digits.trim_start_matches('0');
            let number = if significant.is_empty() { "0" } else { significant };
            whole.push_str(number);
            exact.push_str(number);
            rest = after;
            let small = SMALL_UNITS.iter().any(|unit| after.trim_start().starts_with(unit));
            if number.len() > if small { 14 } else { 9 } {
                return None;
            }
            let fraction = after.strip_prefix('.').filter(|f| f.starts_with(|c: char| c.is_ascii_digit()));
            if let Some(fraction) = fraction {
                let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
                let significant = fraction[..end].trim_end_matches('0');
                if !significant.is_empty() {
                    exact.push('.');
                    exact.push_str(significant);
                }
                rest = &fraction[end..];
            }
        } else {
            whole.push(first);
            exact.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Some((whole, exact))
}

/// `30s`, `1m30s`, `500ms`, `1.5s`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn duration(text: &str, range: DurationRange) -> Result<Duration, Wrong> {
    let example = "write a duration such as \"30s\", \"1m30s\" or \"500ms\"";
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Wrong::new("an empty duration", example));
    }
    if trimmed.starts_with('-') {
        return Err(Wrong::new("a duration cannot be negative", example));
    }
    if trimmed != "0" && trimmed.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(Wrong::new(
            format!("{text:?} has no unit"),
            format!("write \"{trimmed}s\" for seconds, \"{trimmed}ms\" for milliseconds"),
        ));
    }
    let too_long = || {
        Wrong::new(
            format!("{text:?} is longer than {}", words(range.max)),
            format!("write at most \"{}\"", words(range.max)),
        )
    };
    if trimmed.len() > LONGEST_TEXT {
        return Err(Wrong::new(format!("a duration of more than {LONGEST_TEXT} characters"), example));
    }
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let parts: Vec<&str> = trimmed.split_whitespace().collect();
    // humantime takes "1 0s" for ten seconds.
    if parts.windows(2).any(|pair| pair[0].ends_with(number) && pair[1].starts_with(number)) {
        return Err(Wrong::new(format!("{text:?} is no duration"), example));
    }
    let (whole, exact) = plain_numbers(trimmed).ok_or_else(too_long)?;
    let value = humantime::parse_duration(&exact).map_err(|error| match error {
        // Of whole units only what is far too long overflows; with a fraction it may also be finer than its unit can have.
        humantime::DurationError::NumberOverflow
            if exact.contains('.') && humantime::parse_duration(&whole).is_ok_and(|d| d <= range.max) =>
        {
            Wrong::new(
                format!("{text:?} has a fraction that is too fine"),
                "write a smaller unit, such as \"1500ms\" for 1.5 s or \"20m\" for a third of an hour",
            )
        }
        humantime::DurationError::NumberOverflow => too_long(),
        humantime::DurationError::UnknownUnit { unit, .. } if !unit.is_empty() => Wrong::new(
            format!("{text:?} is no duration: there is no unit `{unit}`"),
            "units are ms, s, m, h and d: \"1m30s\"",
        ),
        _ => Wrong::new(format!("{text:?} is no duration"), example),
    })?;
    if value < range.min {
        let least = words(range.min);
        return Err(Wrong::new(format!("{text:?} is too short"), format!("write at least \"{least}\"")));
    }
    if value > range.max { Err(too_long()) } else { Ok(value) }
}

/// A signal that may ask softstop to stop.
///
/// # Errors
/// It cannot be caught, the kernel sends it for its own reasons, or softstop ignores it.
pub fn stop_request(signal: Signal) -> Result<Signal, Wrong> {
    let help = "name signals such as SIGTERM, SIGINT, SIGQUIT or SIGRTMIN+3";
    let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];
    match signal {
        Signal::KILL | Signal::STOP => Err(Wrong::new(format!("{signal} cannot be caught, by no process"), help)),
        Signal::TTIN | Signal::TTOU => {
            Err(Wrong::new(format!("{signal} cannot ask for a stop: softstop ignores it, to use the terminal"), help))
        }
        _ if [Signal::CHLD, Signal::CONT].contains(&signal) || faults.contains(&signal.number()) => {
            Err(Wrong::new(format!("{signal} cannot ask for a stop: the kernel sends it for its own reasons"), help))
        }
        _ => Ok(signal),
    }
}

/// A signal that may stand in a ladder.
///
/// # Errors
/// It ends nothing, or comes by itself at the end.
pub fn ladder_signal(signal: Signal) -> Result<Signal, Wrong> {
    let help = match signal {
        Signal::KILL => "leave it out: SIGKILL follows when the ladder ends",
        Signal::STOP | Signal::CONT => "write a signal that asks the process to end, such as \"SIGTERM\"",
        _ => return Ok(signal),
    };
    Err(Wrong::new(format!("{signal} cannot be a stop signal"), help))
}

/// A signal that softstop passes on, and so can pass on as another.
///
/// # Errors
/// softstop passes no such signal on.
pub fn rewritten(text: &str) -> Result<Signal, Wrong> {
    let help = "write a signal that softstop passes on or stops upon, such as SIGHUP or SIGTERM";
    let signal = Signal::parse(text).map_err(|sentence| Wrong::new(sentence, help))?;
    let own = [4, 5, 6, 7, 8, 11, 31, 32, 33].contains(&signal.number());
    if own || matches!(signal, Signal::KILL | Signal::STOP | Signal::CHLD | Signal::URG | Signal::TTIN | Signal::TTOU) {
        return Err(Wrong::new(format!("{signal} is not passed on, so it cannot be rewritten"), help));
    }
    Ok(signal)
}

/// What is sent in place of one; `None`: nothing.
///
/// # Errors
/// It is no signal, or none that a process can be sent in another's place.
pub fn in_its_place(text: &str) -> Result<Option<Signal>, Wrong> {
    let help = "write a signal such as \"SIGQUIT\", or \"none\"";
    if ["", "0", "none"].contains(&text.trim()) {
        return Ok(None);
    }
    Signal::parse(text).map(Some).map_err(|sentence| Wrong::new(sentence, help))
}

/// What may be asked of a process before SIGKILL, so that it says what it is doing.
///
/// # Errors
/// No process can answer to it.
pub fn dump_signal(signal: Signal) -> Result<Signal, Wrong> {
    if matches!(signal, Signal::KILL | Signal::STOP | Signal::CONT) {
        let help =
            "write the signal upon which the program tells what it is doing, such as \"SIGQUIT\" for a JVM or Go";
        return Err(Wrong::new(format!("{signal} cannot be a diagnostic signal"), help));
    }
    Ok(signal)
}

/// A duration as people write it: `1m 30s` without the space.
pub fn words(duration: Duration) -> String {
    if duration == DAY { "24h".into() } else { humantime::format_duration(duration).to_string().replace(' ', "") }
}

/// Words of Compose, Kubernetes and systemd.
const WORDS_OF_OTHERS: &[(&str, &str)] = &[
    ("unless_stopped", "always"),
    ("no", "never"),
    ("onfailure", "on_failure"),
    ("service_started", "started"),
    ("service_healthy", "ready"),
    ("healthy", "ready"),
    ("running", "started"),
    ("service_completed_successfully", "completed"),
];

/// An enum's word that is not one of its words.
pub fn not_a_word(name: &str, text: &str, words: &[&str]) -> Wrong {
    let sentence = format!("`{name}` cannot be {text:?}");
    let lower = text.to_ascii_lowercase().replace('-', "_");
    let lower = WORDS_OF_OTHERS.iter().find(|(theirs, _)| *theirs == lower).map_or(lower.as_str(), |(_, ours)| ours);
    match words.iter().copied().find(|w| *w == lower).or_else(|| crate::nearest::nearest(text, words.iter().copied())) {
        Some(word) => Wrong::new(sentence, format!("did you mean \"{word}\"? it is one of {}", keys::list(words))),
        None => Wrong::new(sentence, format!("write one of {}", keys::list(words))),
    }
}

/// Where to listen.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn listen(text: &str) -> Result<Listen, Wrong> {
    Listen::parse(text).map_err(|(sentence, help)| Wrong::new(sentence, help))
}

/// A host to connect to: a name, an IPv4 address, or an IPv6 address with or without brackets (given back without).
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn host(text: &str) -> Result<String, Wrong> {
    let help = "write a host name or an IP address alone, such as \"localhost\" or \"10.0.0.7\"";
    let bare = text.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(text);
    if bare.contains(':') && !bare.contains('/') {
        return match bare.parse::<Ipv6Addr>() {
            Ok(_) => Ok(bare.to_owned()),
            Err(_) => {
                Err(Wrong::new(format!("{text:?} is not a host"), format!("{help}; the port is a key of its own")))
            }
        };
    }
    let name = !bare.is_empty()
        && bare.len() <= 253
        && bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if name && bare == text { Ok(text.to_owned()) } else { Err(Wrong::new(format!("{text:?} is not a host"), help)) }
}

/// The path of a request, query included.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn url_path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        return Err(Wrong::new(
            format!("the path {text:?} does not begin with a slash"),
            format!("write {:?}", format!("/{text}")),
        ));
    }
    // No URI may hold these (RFC 3986, appendix A), and the client sends none that does.
    match text.chars().find(|c| !c.is_ascii_graphic() || "#\"<>`".contains(*c)) {
        Some(c) => {
            Err(Wrong::new(format!("the path contains {c:?}"), "write it percent-encoded, such as %20 for a space"))
        }
        None => Ok(text.to_owned()),
    }
}

/// The path of a file or folder; a relative one is taken from the directory softstop was started in.
///
/// # Errors
/// It is empty.
pub fn path(name: &str, text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new(format!("`{name}` is empty"), format!("write a path, or leave `{name}` out")));
    }
    Ok(PathBuf::from(text))
}

/// Where the control socket is: an absolute path, `@name` for an abstract address, or `off`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn control(text: &str) -> Result<Control, Wrong> {
    let help = "write a path such as \"/run/softstop.sock\", \"@name\" for an abstract address, or \"off\"";
    // sun_path has 108 bytes: a path's end with NUL, an abstract name begins with it.
    let too_long = |what: &str, bytes: usize| {
        let sentence = format!("{what} has {bytes} bytes, more than the 107 that a socket's address can have");
        Err(Wrong::new(sentence, "choose a shorter one"))
    };
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(format!("{text:?} contains a control character"), help));
    }
    match (text, text.strip_prefix('@')) {
        ("off", _) => Ok(Control::Off),
        (_, Some("")) => Err(Wrong::new("the abstract address has no name", help)),
        (_, Some(name)) if name.len() > 107 => too_long("the abstract address", name.len()),
        (_, Some(name)) => Ok(Control::Abstract(name.to_string())),
        _ if text.starts_with('/') && text.ends_with('/') => Err(Wrong::new(
            format!("{text:?} is a directory"),
            format!("write the socket's own path: \"{text}softstop.sock\""),
        )),
        _ if text.starts_with('/') && text.len() > 107 => too_long("the socket's path", text.len()),
        _ if text.starts_with('/') => Ok(Control::Path(PathBuf::from(text))),
        _ => Err(Wrong::new(format!("{text:?} is not an address for the control socket"), help)),
    }
}

/// A request header, name and value.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn header(name: &str, value: &str) -> Result<(), Wrong> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Wrong::new(
            format!("{name:?} is not a header name"),
            "write letters, digits and dashes, such as \"X-Token\"",
        ));
    }
    if ["content-length", "transfer-encoding", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(Wrong::new(format!("the header `{name}` is softstop's own to set"), "leave it out"));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Wrong::new(
            format!("the value of the header `{name}` contains a control character"),
            "leave line breaks out of header values",
        ));
    }
    Ok(())
}

/// A process's name: short, and safe in logs, metrics and command lines.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn process_name(text: &str) -> Result<String, Wrong> {
    let valid =
        !text.is_empty() && text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if valid {
        return Ok(text.to_owned());
    }
    let mut safe: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).take(63).collect();
    if safe.trim_matches('-').is_empty() {
        safe = "web".into();
    }
    let what = "letters, digits, `.`, `_` and `-`, at most 63 of them";
    Err(Wrong::new(format!("{text:?} cannot be a process's name"), format!("names are {what}: \"{safe}\"")))
}

/// A process's name as the kernel has it.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn program_name(text: &str) -> Result<String, Wrong> {
    let help = "write the program's name as `ps -o comm` shows it, such as \"nginx\"";
    if text.is_empty() || text.len() > 255 || text.contains(|c: char| c == '/' || c.is_control()) {
        return Err(Wrong::new(format!("{text:?} is no program's name"), help));
    }
    Ok(text.to_owned())
}

/// A task's name: any line of text.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn task_name(text: &str) -> Result<String, Wrong> {
    if text.trim().is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err(Wrong::new(
            "`name` must be one line of 1 to 200 bytes",
            "write what the task does, such as \"wait for the database\"",
        ));
    }
    Ok(text.to_owned())
}

/// A user's or a group's name or number.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn account(text: &str) -> Result<String, Wrong> {
    let number = text.bytes().all(|b| b.is_ascii_digit());
    // The last 32-bit number means "no change" to the kernel.
    let valid = if number {
        text.parse::<u32>().is_ok_and(|id| id != u32::MAX)
    } else {
        !text.starts_with('-') && !text.contains(|c: char| c.is_whitespace() || c.is_control() || ":/".contains(c))
    };
    if valid && !text.is_empty() {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{text:?} is neither a name nor a number from 0 to 4294967294"),
        "write \"www-data\", \"www-data:www-data\", 1000 or \"1000:1000\"",
    ))
}

/// The array that a command written as one string most likely means.
pub fn command_as_array(text: &str) -> String {
    let plain = !text.trim().is_empty() && text.chars().all(|c| c.is_alphanumeric() || " ./_-=:,@%+".contains(c));
    if !plain {
        return for_a_shell(text);
    }
    let quoted: Vec<String> = text.split_whitespace().map(|p| format!("{p:?}")).collect();
    format!("[{}]", quoted.join(", "))
}

/// The array that has a shell run the line.
pub fn for_a_shell(line: &str) -> String {
    format!("[\"sh\", \"-c\", {line:?}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let ms = |text: &str| duration(text, PAUSE).unwrap().as_millis();
        assert_eq!(
            (ms("30s"), ms("1m30s"), ms(" 1m 30s "), ms("500ms"), ms("1.5s"), ms("0s"), ms("0"), ms("24h"), ms("1d")),
            (30_000, 90_000, 90_000, 500, 1500, 0, 0, 86_400_000, 86_400_000)
        );
    }

    #[test]
    fn a_number_with_many_digits_is_what_it_is() {
        let exact = |text: &str| duration(text, PAUSE).unwrap();
        assert_eq!(exact("1.5000000000000000000000000000000000s"), Duration::from_millis(1500));
        assert_eq!(exact("000000000000000000000001s"), Duration::from_secs(1));
        assert_eq!(exact("0.000000001s"), Duration::from_nanos(1));
        assert_eq!(exact("86400000000000ns 0.0s"), DAY);
        assert_eq!(exact("2m 0.50s"), Duration::from_millis(120_500));
        for text in ["1.0000000000000000000000000000000001s", "1.3333333333333333333333333333s", "0.3333h", "1.5ns"] {
            assert_eq!(
                duration(text, LIMIT).unwrap_err().sentence,
                format!("{text:?} has a fraction that is too fine")
            );
        }
        let wrong = duration(&format!("{}1s", "0".repeat(64)), LIMIT).unwrap_err();
        assert_eq!(wrong.sentence, "a duration of more than 64 characters");
    }

    #[test]
    fn a_wrong_duration_says_what_to_write() {
        let wrong = |text: &str| duration(text, LIMIT).unwrap_err();
        assert_eq!(wrong("30").help, "write \"30s\" for seconds, \"30ms\" for milliseconds");
        assert!(wrong("-5s").sentence.contains("negative"));
        assert!(wrong("5 parsecs").sentence.contains("`parsecs`"));
        assert!(wrong("0s").help.contains("at least \"1ms\""));
        assert!(wrong("25h").help.contains("at most \"24h\""));
        for text in [
            "",
            " ",
            "soon",
            "s",
            "1..5s",
            "18446744073709551615s 500ms 500ms",
            "999999999999y",
            "9999999999999999999999h",
            "1s\u{e9}",
            "1 0s",
            "1. 05s",
            "1 .05s",
            "184467440 737095516 15s 500ms 500ms",
        ] {
            assert!(duration(text, LIMIT).is_err(), "{text}");
        }
        for text in
            ["9999999999999999999999h", "1000000000s", "86400000000001ns", "99999999999999.5us", "25.5h", "1e9s1y"]
        {
            let long = wrong(text).sentence;
            assert!(long.ends_with("is longer than 24h") || text.contains('e'), "{long}");
        }
        // Nine digits of everything: no sum can overflow.
        assert!(duration(&"999999999y".repeat(6), LIMIT).is_err());
        assert!(duration(&"999999999s1000ms".repeat(4), LIMIT).is_err());
    }

    #[test]
    fn hosts_paths_and_headers() {
        for text in ["localhost", "db", "db.prod.svc.cluster.local", "10.0.0.1", "a_b"] {
            assert_eq!(host(text).unwrap(), text);
        }
        assert_eq!(host("[::1]").unwrap(), "::1");
        assert_eq!(host("fe80::1").unwrap(), "fe80::1");
        for text in ["", "db:5432", "http://db", "a b", "[db]", "é"] {
            assert!(host(text).is_err(), "{text}");
        }
        assert!(url_path("/a?b=c&d=%20").is_ok());
        assert!(
            url_path("a").is_err()
                && url_path("/a b").is_err()
                && url_path("/é").is_err()
                && url_path("/a>b").is_err()
                && url_path("/a\r\nX: y").is_err()
        );
        assert!(header("X-Token", "a b\té").is_ok());
        assert!(
            header("X Token", "").is_err()
                && header("", "").is_err()
                && header("X", "a\r\nb").is_err()
                && header("Content-Length", "1").is_err()
        );
    }

    #[test]
    fn names_and_accounts() {
        assert!(process_name("web-1.a_B").is_ok());
        assert!(process_name("my web").unwrap_err().help.ends_with("\"my-web\""));
        assert!(process_name("").is_err() && process_name(&"x".repeat(64)).is_err());
        assert!(task_name("wait for it").is_ok() && task_name("a\nb").is_err() && task_name(" ").is_err());
        assert!(account("www-data").is_ok() && account("1000").is_ok());
        assert!(
            account("").is_err()
                && account("4294967295").is_err()
                && account("a b").is_err()
                && account("a:b").is_err()
        );
    }

    #[test]
    fn a_command_in_one_string_becomes_an_array() {
        assert_eq!(command_as_array("nginx -c /etc/x.conf"), r#"["nginx", "-c", "/etc/x.conf"]"#);
        assert_eq!(command_as_array("a | b"), r#"["sh", "-c", "a | b"]"#);
        assert_eq!(command_as_array("echo \"hi\""), r#"["sh", "-c", "echo \"hi\""]"#);
    }
}
