//! sock_diag asked by a process of its own. To say what moves on a connection (TCP_INFO) the kernel takes that socket's lock, and a process
//! may hold it for as long as it likes: it sends from memory that a file system or a debugger does not bring in, and whoever asks waits with
//! it, in a sleep that no signal ends. So who asks must be somebody who can be given up. It is a fork without exec, as in
//! [`writer`]; it passes requests to the kernel and the answers on, and ends with its end of the socket.

#![expect(unsafe_code, reason = "fork without exec")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::diag::{self, ANSWER, Request};
use super::{Query, Socket, parse_messages};
use crate::sys::spawn::writer;
use crate::sys::stdio;

/// A walk by another process. Dropped, the process ends. (No descriptor is made non-blocking: each call says that it does not wait.)
#[derive(Debug)]
pub struct Relay {
    pid: i32,
    socket: AsyncFd<File>,
    /// `None`: all of it has come.
    request: Option<Request>,
}

impl Relay {
    /// # Errors
    /// As fork, socketpair and epoll have it: EAGAIN, EMFILE, ENOMEM.
    pub fn start() -> io::Result<Relay> {
        let kind = SockType::SeqPacket;
        let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
        // Before the fork: an error of it has no other way to be said.
        let netlink = diag::open(SockFlag::empty())?;
        // SAFETY: `run` is made for that: async-signal-safe calls alone.
        let pid = unsafe { writer::in_child(|| run(theirs.as_fd(), netlink.as_fd())) }?;
        match stdio::watch(File::from(ours), Interest::READABLE) {
            Ok(socket) => Ok(Relay { pid, socket, request: None }),
            Err(error) => {
                writer::end(pid);
                Err(error)
            }
        }
    }

    /// Begins a walk.
    ///
    /// # Errors
    /// It has ended, or does not take any more.
    pub fn begin(&mut self, query: &Query) -> io::Result<()> {
        self.ask(Some(Request::first()), query)
    }

    fn ask(&mut self, request: Option<Request>, query: &Query) -> io::Result<()> {
        self.request = request;
        if let Some(request) = request {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            send(self.socket.get_ref().as_raw_fd(), &request.bytes(query), flags)?;
        }
        Ok(())
    }

    /// The next few dozen; `None` at the end. For as long as the kernel takes, which is for who calls to bound.
    ///
    /// # Errors
    /// What the kernel answers, or that the process has ended.
    pub async fn piece(&mut self, query: &Query) -> io::Result<Option<Vec<Socket>>> {
        let Some(request) = self.request else { return Ok(None) };
        let mut buffer = vec![0; ANSWER];
        let n = loop {
            match recv(self.socket.get_ref().as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "who asks the kernel has ended")),
                Ok(n) => break n,
                Err(nix::Error::EAGAIN) => self.socket.readable().await?.clear_ready(),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let mut answer = parse_messages(buffer.get(..n).unwrap_or_default())?;
        answer.sockets.retain(|s| query.wants(s));
        if answer.over {
            self.ask(request.next(), query)?;
        }
        Ok(Some(answer.sockets))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // What SIGKILL does not end at once is reaped as any other child.
        writer::end(self.pid);
    }
}

// === in the child: async-signal-safe calls alone ===

fn run(to: BorrowedFd<'_>, kernel: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: in the child; the two are all that is used.
    let [to, kernel] = unsafe { writer::close_all_but([to, kernel]) }?.map(|fd| fd.as_raw_fd());
    let mut buffer = [0; ANSWER];
    loop {
        let n = received(to, &mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        send(kernel, buffer.get(..n).unwrap_or_default(), MsgFlags::empty())?;
        let mut over = false;
        while !over {
            let n = received(kernel, &mut buffer)?;
            let piece = buffer.get(..n).unwrap_or_default();
            send(to, piece, MsgFlags::MSG_NOSIGNAL)?;
            over = is_last(piece);
        }
    }
}

fn received(from: i32, buffer: &mut [u8]) -> nix::Result<usize> {
    loop {
        match recv(from, buffer, MsgFlags::empty()) {
            Err(nix::Error::EINTR) => {}
            result => return result,
        }
    }
}

/// One of the messages is the dump's last, or an error; what is no message ends it, too.
fn is_last(bytes: &[u8]) -> bool {
    diag::messages(bytes)
        .any(|message| message.is_none_or(|(kind, _)| [libc::NLMSG_DONE, libc::NLMSG_ERROR].contains(&kind)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::super::TcpState;
    use super::*;
    use crate::signal::Signal;
    use crate::sys::target;

    const SOON: Duration = Duration::from_secs(20);

    fn in_a_runtime<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    }

    #[test]
    fn what_moves_is_told_walk_after_walk_and_the_process_ends_with_its_relay() {
        use std::io::Write;
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = listener.accept().unwrap();
        let query = Query { states: TcpState::ESTABLISHED.bit(), ports: vec![port], flow: true };
        let pid = in_a_runtime(async {
            let mut relay = Relay::start().unwrap();
            let began = Instant::now();
            let mut received = Vec::new();
            for walk in 0..2 {
                relay.begin(&query).unwrap();
                let mut found = Vec::new();
                while let Some(piece) = relay.piece(&query).await.unwrap() {
                    found.extend(piece);
                }
                let [socket] = found.as_slice() else { panic!("{found:?}") };
                assert_eq!(socket.unread, walk);
                received.push(socket.flow.unwrap().received);
                std::thread::sleep(Duration::from_millis(50));
                client.write_all(b"?").unwrap();
            }
            assert!(received.iter().all(|ago| *ago <= began.elapsed() + Duration::from_secs(1)), "{received:?}");
            assert!(relay.piece(&query).await.unwrap().is_none(), "it is over");
            // Somebody kills it.
            relay.begin(&query).unwrap();
            target::signal(relay.pid, Signal::KILL).unwrap();
            let killed = async {
                while relay.piece(&query).await?.is_some() {}
                io::Result::Ok(())
            };
            // All of it may have come before.
            if tokio::time::timeout(SOON, killed).await.unwrap().is_ok() {
                let ended = tokio::time::timeout(SOON, async {
                    while relay.begin(&query).is_ok() {
                        tokio::task::yield_now().await
                    }
                });
                ended.await.unwrap();
            }
            relay.pid
        });
        assert_eq!(crate::sys::reap::reap(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD), "reaped");
        drop(server);
    }

    #[test]
    fn the_last_piece_is_known() {
        let message = |kind: libc::c_int, length: usize| {
            let mut bytes = u32::try_from(length).unwrap().to_ne_bytes().to_vec();
            bytes.extend((kind as u16).to_ne_bytes());
            bytes.resize(length.max(16), 0);
            bytes
        };
        let some = message(20, 88);
        let done = message(libc::NLMSG_DONE, 20);
        assert!(!is_last(&some) && is_last(&done) && is_last(&message(libc::NLMSG_ERROR, 36)));
        assert!(is_last(&[some.clone(), some.clone(), done].concat()) && !is_last(&[some.clone(), some].concat()));
        assert!(!is_last(&[]) && is_last(&[0; 16]), "what is no message ends it");
    }
}
