//! `softstop logs`: what is kept of the processes' last lines, and what follows.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Failure, Meant, SOON, connect, find, no_answer, unavailable};
use crate::control::protocol::{self, LogLine, LogsRequest, Reply, Request};
use crate::exit;
use crate::output::lines::{COLOURS, Format, Piece};
use crate::output::sink::colour_wanted;
use crate::text::{plain, plural};

/// The longest line of an answer, in bytes: a piece of 16 KiB, each byte escaped.
const MAX_LINE: u64 = 256 * 1024;

/// How lines are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// As they come over the socket.
    pub json: bool,
    pub timestamps: bool,
}

/// Prints the lines; the exit code. `note` is added when nobody is there.
#[must_use]
pub fn logs(meant: &Meant, request: LogsRequest, how: Shown, note: Option<&str>) -> u8 {
    let one = request.process.clone();
    let read = find(meant).and_then(|place| connect(&place, SOON)).and_then(|stream| {
        let mut printer = Printer::new(one, how);
        let done = read(&stream, request, &mut |reply| printer.print(reply));
        // Closed by the end of this process, for which softstop waits.
        std::mem::forget(stream);
        done
    });
    read.unwrap_or_else(|failure| failure.say(note))
}

/// To the last line, or until `show` has no use for more.
fn read(
    mut stream: &UnixStream,
    request: LogsRequest,
    show: &mut dyn FnMut(Reply) -> io::Result<()>,
) -> Result<u8, Failure> {
    let lost = |e: io::Error| unavailable(format!("the connection to softstop is lost: {e}"));
    // The first line comes soon: that it is refused, or what is there.
    let patience = (!request.follow).then_some(Duration::from_secs(60));
    stream.set_read_timeout(patience).map_err(lost)?;
    stream.set_write_timeout(Some(SOON)).map_err(lost)?;
    let _ = stream.write_all(protocol::line(&Request::Logs(request)).as_bytes());
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        io::Read::take(&mut lines, MAX_LINE).read_until(b'\n', &mut line).map_err(lost)?;
        if line.is_empty() {
            return Err(unavailable("softstop ended, or closed the connection, before it had said everything"));
        }
        match Reply::parse(&line).map_err(unavailable)? {
            Reply::Done(_) => return Ok(exit::OK),
            no @ (Reply::Refused(_) | Reply::Denied(_) | Reply::Malformed(_)) => return Err(no_answer(no, "")),
            reply => match show(reply) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(exit::OK),
                Err(e) => return Err(Failure { code: exit::INTERNAL, text: format!("cannot write the lines: {e}") }),
            },
        }
    }
}

struct Printer {
    /// The one process that is asked for: its lines need no name in front.
    one: Option<String>,
    how: Shown,
    coloured: bool,
    /// Names are padded to the longest so far, each in its own colour.
    names: Vec<String>,
    width: usize,
}

impl Printer {
    fn new(one: Option<String>, how: Shown) -> Printer {
        let [no_color, term] = ["NO_COLOR", "TERM"].map(std::env::var_os);
        let coloured = io::stdout().is_terminal() && colour_wanted(no_color.as_deref(), term.as_deref());
        Printer { one, how, coloured, names: Vec::new(), width: 0 }
    }

    fn print(&mut self, reply: Reply) -> io::Result<()> {
        match reply {
            Reply::Line(line) if self.how.json => {
                let text = serde_json::to_string(&line).unwrap_or_default();
                writeln!(io::stdout(), "{text}")
            }
            Reply::Line(line) => {
                let text = self.text(&line);
                io::stdout().write_all(&text)
            }
            Reply::Missed { process, lines } => {
                let (what, are) = plural(lines, ("line", "is"), ("lines", "are"));
                let process = plain(&process, ' ');
                let of = if process.is_empty() { "hooks".into() } else { process };
                writeln!(io::stderr(), "softstop: {of}: {lines} {what} came faster than they were read, and {are} gone")
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self, line: &LogLine) -> Vec<u8> {
        let timestamps = self.how.timestamps;
        let format = match self.one.as_ref() == Some(&line.process) {
            true => Format::Plain { timestamps, alone: false },
            false => self.behind_its_name(line, timestamps),
        };
        let LogLine { partial, continued, .. } = *line;
        let mut text = Vec::new();
        format.write(
            &mut text,
            Piece { bytes: line.line.as_bytes(), continued, partial },
            "",
            &plain(&line.timestamp, ' '),
        );
        text
    }

    fn behind_its_name(&mut self, line: &LogLine, timestamps: bool) -> Format {
        let name = plain(&line.process, ' ').into_owned();
        let number = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.width = self.width.max(name.chars().count());
            self.names.push(name.clone());
            self.names.len() - 1
        });
        Format::prefix(&name, self.width, self.coloured.then_some(COLOURS[number % COLOURS.len()]), timestamps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_process_stand_alone_and_those_of_several_behind_their_names() {
        let line = |process: &str, text: &str| LogLine {
            timestamp: "2026-11-22T10:00:00.000Z".into(),
            process: process.into(),
            stream: "stdout".into(),
            line: text.into(),
            partial: text == "begin",
            continued: text == "rest",
        };
        let text = |printer: &mut Printer, line| String::from_utf8(printer.text(&line)).unwrap();
        let mut printer = Printer { coloured: false, ..Printer::new(Some("web".into()), Shown::default()) };
        assert_eq!(text(&mut printer, line("web", "a")), "a\n");
        assert_eq!(text(&mut printer, line("web", "begin")), "begin [cut]\n");
        assert_eq!(text(&mut printer, line("web pre_stop", "b")), "web pre_stop | b\n");
        let how = Shown { timestamps: true, json: false };
        let mut printer = Printer { coloured: false, ..Printer::new(None, how) };
        assert_eq!(text(&mut printer, line("worker", "begin")), "2026-11-22T10:00:00.000Z worker | begin [cut]\n");
        assert_eq!(text(&mut printer, line("web", "rest")), "2026-11-22T10:00:00.000Z web    + rest\n");
        printer.coloured = true;
        assert!(text(&mut printer, line("web", "c")).contains("\x1b[33mweb    |\x1b[0m c\n"));
    }
}
