//! The termination message of a softstop that has no history to tell. Pure.

use super::history::{TERMINATION_MESSAGE_MAX, cut};
use crate::exit;
use crate::text;

/// What happened in one line, and then why: as on standard error, which may have several lines.
pub fn refusal(code: u8, why: &str) -> String {
    let what = match code {
        exit::USAGE => "the command line is wrong, nothing was started",
        exit::CONFIG => "the configuration is wrong, nothing was started",
        _ => "softstop itself failed",
    };
    let text = text::lines(&format!("exit code {code}: {what}\n{}\n", why.trim_end()));
    cut(text, TERMINATION_MESSAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_the_code_and_why_and_has_room_in_the_termination_log() {
        assert_eq!(
            refusal(78, "error: no\x1b[2J\n\n"),
            "exit code 78: the configuration is wrong, nothing was started\nerror: no\u{fffd}[2J\n"
        );
        assert!(refusal(64, "").starts_with("exit code 64: the command line"));
        assert!(refusal(70, "x").contains("softstop itself failed\nx"));
        let long = refusal(78, &"\u{e9}".repeat(5000));
        assert!(long.len() <= TERMINATION_MESSAGE_MAX && long.len() > TERMINATION_MESSAGE_MAX - 3, "{}", long.len());
    }
}
