//! A request whose answer is not waited for: for who has something else to do meanwhile.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::{Failure, MAX_ANSWER, Place, SOON, connect, unavailable};
use crate::control::protocol::{self, Reply, Request};

/// Read at once.
const CHUNK: usize = 64 * 1024;

impl Place {
    /// # Errors
    /// It is gone, does not take the connection within `patience`, or this user may not ask.
    pub fn ask(&self, request: &Request, patience: Duration) -> Result<Exchange, Failure> {
        let mut stream = connect(self, patience)?;
        let lost = |e: io::Error| unavailable(format!("the connection was lost: {e}"));
        stream.set_write_timeout(Some(SOON)).map_err(lost)?;
        // It fits into an empty socket; who is rejected has its answer already, and may not be able to send any more.
        let _ = stream.write_all(protocol::line(request).as_bytes());
        stream.set_nonblocking(true).map_err(lost)?;
        let softstop = getsockopt(&stream, PeerCredentials).map_or(0, |peer| peer.pid());
        Ok(Exchange { stream, softstop, bytes: Vec::new(), looked_at: 0 })
    }
}

/// One request under way. Who drops it no longer waits for the answer.
pub struct Exchange {
    stream: UnixStream,
    softstop: i32,
    /// Of the answer, not taken yet.
    bytes: Vec<u8>,
    /// There is no end of a line in so many of them.
    looked_at: usize,
}

impl AsFd for Exchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Exchange {
    /// The pid of the softstop that answers; 0 where this PID namespace does not show it.
    pub fn softstop(&self) -> i32 {
        self.softstop
    }

    /// The lines of the answer that have arrived. Never waits.
    ///
    /// # Errors
    /// There will be no more: the connection is closed, or what came is no answer.
    pub fn receive(&mut self) -> Result<Vec<Reply>, Failure> {
        let mut chunk = vec![0; CHUNK];
        let mut replies = Vec::new();
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) if replies.is_empty() => {
                    return Err(unavailable("softstop ended, or closed the connection, before it answered"));
                }
                Ok(0) => return Ok(replies),
                Ok(n) => self.bytes.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(replies),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if !replies.is_empty() => return Ok(replies),
                Err(e) => return Err(unavailable(format!("the connection was lost: {e}"))),
            }
            self.take(&mut replies)?;
        }
    }

    /// Whole lines.
    fn take(&mut self, replies: &mut Vec<Reply>) -> Result<(), Failure> {
        while let Some(end) = self.bytes[self.looked_at..].iter().position(|b| *b == b'\n') {
            let rest = self.bytes.split_off(self.looked_at + end + 1);
            let line = std::mem::replace(&mut self.bytes, rest);
            self.looked_at = 0;
            replies.push(Reply::parse(&line).map_err(unavailable)?);
        }
        self.looked_at = self.bytes.len();
        if self.looked_at as u64 > MAX_ANSWER {
            return Err(unavailable(format!("the answer has a line of more than {MAX_ANSWER} bytes")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::stdio::until_hung_up;

    #[test]
    fn lines_are_taken_as_they_come_and_the_end_is_said_once_they_are() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut exchange = Exchange { stream: ours, softstop: 0, bytes: Vec::new(), looked_at: 0 };
        assert!(exchange.receive().unwrap().is_empty(), "nothing has come");
        let (one, two) = (Reply::Progress("one".into()), Reply::Done("two".into()));
        let line = one.line();
        theirs.write_all(&line.as_bytes()[..7]).unwrap();
        assert!(exchange.receive().unwrap().is_empty(), "half a line");
        theirs.write_all(&line.as_bytes()[7..]).unwrap();
        theirs.write_all(two.line().as_bytes()).unwrap();
        drop(theirs);
        until_hung_up(&exchange.stream);
        assert_eq!(exchange.receive().unwrap(), [one, two]);
        assert!(exchange.receive().unwrap_err().text.contains("before it answered"));
    }

    #[test]
    fn what_is_no_answer_ends_it() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut exchange = Exchange { stream: ours, softstop: 0, bytes: Vec::new(), looked_at: 0 };
        theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap();
        assert!(exchange.receive().unwrap_err().text.contains("cannot be read"));
    }
}
