//! What a message to NOTIFY_SOCKET says (sd_notify(3)). Pure.

use std::time::Duration;

use crate::lifecycle::event::Notification;
use crate::text::plain;

/// Of a status so many characters are kept.
const STATUS: usize = 256;
/// The longest time that somebody may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A message, taken apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    pub says: Vec<Notification>,
    /// MAINPID=
    pub main_pid: Option<i32>,
}

/// Lines `KEY=VALUE`. What is unknown, or is no value of its key, says nothing.
pub fn parse(bytes: &[u8]) -> Message {
    let mut message = Message::default();
    for line in String::from_utf8_lossy(bytes).split('\n') {
        let Some((key, value)) = line.split_once('=') else { continue };
        let says = match (key, value) {
            ("READY", "1") => Some(Notification::Ready),
            ("RELOADING", "1") => Some(Notification::Reloading),
            ("STOPPING", "1") => Some(Notification::Stopping),
            ("STATUS", text) => Some(Notification::Status(status(text))),
            ("WATCHDOG", "1") => Some(Notification::Alive),
            ("WATCHDOG", "trigger") => Some(Notification::Unwell),
            ("WATCHDOG_USEC", text) => microseconds(text).map(Notification::AliveWithin),
            ("EXTEND_TIMEOUT_USEC", text) => microseconds(text).map(Notification::MoreTime),
            ("MAINPID", text) => {
                message.main_pid = text.parse().ok().or(message.main_pid);
                None
            }
            _ => None,
        };
        message.says.extend(says);
    }
    message
}

fn status(text: &str) -> String {
    let text: String = text.trim().chars().take(STATUS).collect();
    plain(&text, ' ').into_owned()
}

fn microseconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(|us| Duration::from_micros(us).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_all_that_its_lines_say_in_their_order() {
        let text =
            "READY=1\nSTATUS=Listening on \u{1b}[31m:80 \nMAINPID=7\nWATCHDOG_USEC=2000000\nFDSTORE=1\nERRNO=2\nX\n=\n";
        let message = parse(text.as_bytes());
        let status = Notification::Status("Listening on  [31m:80".into());
        let within = Notification::AliveWithin(Duration::from_secs(2));
        assert_eq!(message, Message { says: vec![Notification::Ready, status, within], main_pid: Some(7) });
        let text =
            "RELOADING=1\nMONOTONIC_USEC=123\nSTOPPING=1\nWATCHDOG=1\nWATCHDOG=trigger\nEXTEND_TIMEOUT_USEC=1500";
        let more = Notification::MoreTime(Duration::from_micros(1500));
        let all =
            vec![Notification::Reloading, Notification::Stopping, Notification::Alive, Notification::Unwell, more];
        assert_eq!(parse(text.as_bytes()).says, all);
    }

    #[test]
    fn what_is_no_value_says_nothing_and_nothing_grows() {
        let text = "READY=0\nREADY=\nready=1\nWATCHDOG=2\nWATCHDOG_USEC=-1\nEXTEND_TIMEOUT_USEC=soon\nMAINPID=x";
        assert_eq!(parse(text.as_bytes()), Message::default());
        let long = Notification::MoreTime(LONGEST);
        assert_eq!(parse(format!("EXTEND_TIMEOUT_USEC={}", u64::MAX).as_bytes()).says, [long]);
        let long = parse(format!("STATUS={}", "é".repeat(5000)).as_bytes());
        assert_eq!(long.says, [Notification::Status("é".repeat(STATUS))]);
        assert_eq!(parse(b"STATUS=\xff\r\t").says, [Notification::Status("\u{fffd}".into())]);
        assert_eq!(parse(b"STATUS=").says, [Notification::Status(String::new())]);
    }
}
