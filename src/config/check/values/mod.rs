//! What a string in the configuration, or after a flag, may mean: durations, signals, addresses, hosts, paths, headers, names. Whoever refuses one says
//! what is wrong with it, and what to write. Pure.

mod durations;
mod signals;

use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::handler::without_brackets;
use super::keys;
use crate::config::Control;
pub use crate::config::problem::Wrong;
use crate::text::number;
pub use durations::{A_DURATION, DAY, DurationRange, LIMIT, PAUSE, ROUND, duration, with_unit, words};
pub use signals::{A_SIGNAL, dump_signal, in_its_place, ladder_signal, rewritten, stop_request};

/// `10%`, at most `100%`: in hundredths.
pub fn percent(text: &str) -> Result<u32, Wrong> {
    let help = "write a part of the delay from \"0%\" to \"100%\", such as \"10%\"";
    let value = text.trim().strip_suffix('%').and_then(|n| number(n.trim_end())).filter(|n| *n <= 100);
    value.ok_or_else(|| Wrong::new(format!("{text:?} is no percentage from 0% to 100%"), help))
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

/// A host to connect to: a name, an IPv4 address, or an IPv6 address with or without brackets (given back without).
pub fn host(text: &str) -> Result<String, Wrong> {
    let help = "write a host name or an IP address alone, such as \"localhost\" or \"10.0.0.7\"";
    let bare = without_brackets(text);
    if bare.contains(':') && !bare.contains('/') {
        let help = format!("{help}; the port is a key of its own");
        let wrong = |_| Wrong::new(format!("{text:?} is not a host"), help);
        return bare.parse::<Ipv6Addr>().map(|_| bare.to_owned()).map_err(wrong);
    }
    let name = !bare.is_empty()
        && bare.len() <= 253
        && bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if name && bare == text { Ok(text.to_owned()) } else { Err(Wrong::new(format!("{text:?} is not a host"), help)) }
}

/// The path of a request, query included.
pub fn url_path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        let sentence = format!("the path {text:?} does not begin with a slash");
        return Err(Wrong::new(sentence, format!("write {:?}", format!("/{text}"))));
    }
    // No URI may hold these (RFC 3986, appendix A), and the client sends none that does.
    match text.chars().find(|c| !c.is_ascii_graphic() || "#\"<>`".contains(*c)) {
        Some(c) => {
            Err(Wrong::new(format!("the path contains {c:?}"), "write it percent-encoded, such as %20 for a space"))
        }
        None => Ok(text.to_owned()),
    }
}

/// Which service of a gRPC server, at most 200 characters; empty: the server as a whole.
pub fn service(text: &str) -> Result<String, Wrong> {
    const MOST: usize = 200;
    let help = "write its name alone, such as \"shop.v1.Orders\"";
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(format!("the service {text:?} contains a control character"), help));
    }
    let length = text.chars().count();
    if length > MOST {
        return Err(Wrong::new(format!("the service has {length} characters, more than {MOST}"), help));
    }
    Ok(text.to_owned())
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
pub fn header(name: &str, value: &str) -> Result<(), Wrong> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        let help = "write letters, digits and dashes, such as \"X-Token\"";
        return Err(Wrong::new(format!("{name:?} is not a header name"), help));
    }
    if ["content-length", "transfer-encoding", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(Wrong::new(format!("the header `{name}` is softstop's own to set"), "leave it out"));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        let sentence = format!("the value of the header `{name}` contains a control character");
        return Err(Wrong::new(sentence, "leave line breaks out of header values"));
    }
    Ok(())
}

/// A process's name: short, and safe in logs, metrics and command lines.
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
pub fn program_name(text: &str) -> Result<String, Wrong> {
    let help = "write the program's name as `ps -o comm` shows it, such as \"nginx\"";
    if text.is_empty() || text.len() > 255 || text.contains(|c: char| c == '/' || c.is_control()) {
        return Err(Wrong::new(format!("{text:?} is no program's name"), help));
    }
    Ok(text.to_owned())
}

/// A task's name: any line of text.
pub fn task_name(text: &str) -> Result<String, Wrong> {
    if text.trim().is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        let help = "write what the task does, such as \"wait for the database\"";
        return Err(Wrong::new("`name` must be one line of 1 to 200 bytes", help));
    }
    Ok(text.to_owned())
}

/// A user's or a group's name or number.
pub fn account(text: &str) -> Result<String, Wrong> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    // The last 32-bit number means "no change" to the kernel.
    let valid = if is_number {
        text.parse::<u32>().is_ok_and(|id| id != u32::MAX)
    } else {
        !text.starts_with('-') && !text.contains(|c: char| c.is_whitespace() || c.is_control() || ":/".contains(c))
    };
    if valid && !text.is_empty() {
        return Ok(text.to_owned());
    }
    let help = "write \"www-data\", \"www-data:www-data\", 1000 or \"1000:1000\"";
    Err(Wrong::new(format!("{text:?} is neither a name nor a number from 0 to 4294967294"), help))
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
        for text in ["a", "/a b", "/é", "/a>b", "/a\r\nX: y"] {
            assert!(url_path(text).is_err(), "{text}");
        }
        assert!(header("X-Token", "a b\té").is_ok());
        for (name, value) in [("X Token", ""), ("", ""), ("X", "a\r\nb"), ("Content-Length", "1")] {
            assert!(header(name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn names_and_accounts() {
        assert!(process_name("web-1.a_B").is_ok());
        assert!(process_name("my web").unwrap_err().help.ends_with("\"my-web\""));
        assert!(process_name("").is_err() && process_name(&"x".repeat(64)).is_err());
        assert!(task_name("wait for it").is_ok() && task_name("a\nb").is_err() && task_name(" ").is_err());
        assert!(account("www-data").is_ok() && account("1000").is_ok());
        for text in ["", "4294967295", "a b", "a:b"] {
            assert!(account(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_command_in_one_string_becomes_an_array() {
        assert_eq!(command_as_array("nginx -c /etc/x.conf"), r#"["nginx", "-c", "/etc/x.conf"]"#);
        assert_eq!(command_as_array("a | b"), r#"["sh", "-c", "a | b"]"#);
        assert_eq!(command_as_array("echo \"hi\""), r#"["sh", "-c", "echo \"hi\""]"#);
    }
}
