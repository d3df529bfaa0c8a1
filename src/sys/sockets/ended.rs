//! The ends of TCP connections as they happen: the kernel tells of each socket that it takes apart (sock_diag's groups for that, Linux 4.3
//! and later; no capability is needed). A connection of a millisecond, which no listing shows, is known by its end; so is the port that it
//! came to, and from whom.

#![expect(unsafe_code, reason = "libc has no wrapper for SO_ATTACH_FILTER")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, SockFlag, bind, recv};

use super::{Socket, diag, parse_messages};

/// The groups `SKNLGRP_INET_TCP_DESTROY`, the first, and `SKNLGRP_INET6_TCP_DESTROY`, the third: a bit for each.
const GROUPS: u32 = 0b101;
/// One message has 380 bytes.
const MESSAGE: usize = 4096;
/// So many are taken at once; the others stay where they are.
const PIECE: usize = 256;

/// Those whose local port is one of these.
#[derive(Debug)]
pub struct Endings {
    file: File,
    ports: Vec<u16>,
}

/// Of those that have ended since they were asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Piece {
    pub sockets: Vec<Socket>,
    /// There were more than the kernel keeps for us.
    pub lost: bool,
}

impl Endings {
    /// # Errors
    /// The kernel is older, a sandbox refuses it, or there is no descriptor to be had.
    pub fn watch(ports: &[u16]) -> io::Result<Endings> {
        let socket = diag::open(SockFlag::SOCK_NONBLOCK)?;
        // Where the kernel takes no filter it is made here.
        let _ = filter(&socket, ports);
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(Endings { file: File::from(socket), ports: ports.to_vec() })
    }

    /// For who waits for it to be readable.
    ///
    /// # Errors
    /// No descriptor is to be had.
    pub fn duplicate(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Never waits.
    ///
    /// # Errors
    /// None that passes.
    pub fn piece(&self) -> io::Result<Piece> {
        let mut piece = Piece::default();
        let mut buffer = [0; MESSAGE];
        for _ in 0..PIECE {
            match recv(self.file.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(n) => {
                    let found = parse_messages(buffer.get(..n).unwrap_or_default())?;
                    // A listener's own end has no peer.
                    let connection = |s: &Socket| self.ports.contains(&s.local.port()) && s.peer.port() != 0;
                    piece.sockets.extend(found.sockets.into_iter().filter(connection));
                }
                Err(nix::Error::EINTR) => {}
                Err(nix::Error::EAGAIN) => return Ok(piece),
                Err(nix::Error::ENOBUFS) => piece.lost = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(piece)
    }
}

/// The kernel's program for "the local port is one of these", so that the others wake nobody and fill no queue.
fn filter(socket: &OwnedFd, ports: &[u16]) -> io::Result<()> {
    /// `idiag_sport`, after `struct nlmsghdr` and four bytes.
    const PORT: u32 = 16 + 4;
    // Values of the header files linux/filter.h and linux/bpf_common.h, which libc has as u32.
    let (load, equal, done) = (
        libc::BPF_LD | libc::BPF_H | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    let operation = |code: u32, jt: usize, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: u8::try_from(jt).unwrap_or(u8::MAX),
        jf: 0,
        k,
    };
    let mut program = vec![operation(load, 0, PORT)];
    // A jump is a byte long.
    if ports.len() > usize::from(u8::MAX) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Over the comparisons that are left, and the refusal.
    program.extend(ports.iter().enumerate().map(|(i, port)| operation(equal, ports.len() - i, u32::from(*port))));
    program.extend([operation(done, 0, 0), operation(done, 0, u32::MAX)]);
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or_default();
    // SAFETY: the kernel copies the program, which lives until the call is over; descriptor, pointers and sizes are of what they say.
    let rc = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const filter).cast(), size)
    };
    Errno::result(rc)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn connections_between_two_listings_are_known_whoever_closes_first() {
        let listeners: Vec<_> =
            ["127.0.0.1:0", "[::1]:0", "[::]:0", "127.0.0.1:0"].map(|to| TcpListener::bind(to).unwrap()).into();
        let port = |n: usize| listeners[n].local_addr().unwrap().port();
        let endings = Endings::watch(&[port(0), 1, port(1), port(2)]).unwrap();
        let mut clients = Vec::new();
        for (n, host) in [(0, "127.0.0.1"), (1, "::1"), (2, "127.0.0.1"), (3, "127.0.0.1"), (0, "127.0.0.1")] {
            let client = TcpStream::connect((host, port(n))).unwrap();
            let server = listeners[n].accept().unwrap().0;
            if n != 3 {
                let peer = client.local_addr().unwrap();
                clients.push((std::net::SocketAddr::new(peer.ip().to_canonical(), peer.port()), port(n)));
            }
            if n == 0 { drop((server, client)) } else { drop((client, server)) }
        }
        drop(listeners);
        let began = Instant::now();
        let mut seen = Vec::new();
        while seen.len() < clients.len() && began.elapsed() < Duration::from_secs(20) {
            let piece = endings.piece().unwrap();
            assert!(!piece.lost);
            seen.extend(piece.sockets);
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut seen: Vec<_> = seen.iter().map(|s| (s.peer, s.local.port())).collect();
        seen.sort_unstable();
        clients.sort_unstable();
        assert_eq!(seen, clients);
    }

    #[test]
    fn more_than_the_kernel_keeps_are_said_to_be_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let endings = Endings::watch(&[address.port()]).unwrap();
        let began = Instant::now();
        let mut lost = false;
        while !lost && began.elapsed() < Duration::from_secs(60) {
            for _ in 0..2000 {
                let client = TcpStream::connect(address).unwrap();
                drop((listener.accept().unwrap(), client));
            }
            while let piece = endings.piece().unwrap()
                && (piece.lost || !piece.sockets.is_empty())
            {
                lost |= piece.lost;
            }
        }
        assert!(lost);
    }
}
