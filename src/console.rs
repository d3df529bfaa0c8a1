//! What is said before there is a log, or instead of one.

use std::io::Write;

use softstop::exit;

pub(crate) fn usage_error(why: &str) -> u8 {
    say(&in_usage(why));
    exit::USAGE
}

pub(crate) fn in_usage(why: &str) -> String {
    format!("error: {why}\n\nFor more information, try 'softstop --help'.")
}

/// To standard error; if nobody can read it there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
